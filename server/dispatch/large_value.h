/* large_value.h: stored values that go from the store to the socket uncopied, for both front-ends. */
#ifndef KVNODE_SERVER_DISPATCH_LARGE_VALUE_H
#define KVNODE_SERVER_DISPATCH_LARGE_VALUE_H

#include "server/net/conn.h"
#include "server/store/entry.h"

/* Appends bytes, which lie in the entry's value, and tail to the output (conn_write_large). What the socket
 * does not take at once is lent to the conn by the entry, whatever becomes of that: no value is copied, or held
 * up the loop for, because of a client that asks for it. */
void large_value_write(struct conn *conn, const struct entry *entry, struct slice bytes, struct slice tail);

#endif
