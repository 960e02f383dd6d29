#include "server/dispatch/large_value.h"

#include "server/store/keyspace.h"

static void lend(void *entry) { entry_lend(entry); }

static void give_back(void *entry) { entry_give_back(entry); }

static const struct conn_lender lender = {.lend = lend, .give_back = give_back};

void large_value_write(struct conn *conn, const struct entry *entry, struct slice bytes, struct slice tail) {
    conn_write_large(conn, bytes, tail, entry_is_lendable(entry) ? &lender : NULL, (void *)entry);
}
