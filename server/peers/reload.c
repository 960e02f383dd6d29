#include "server/peers/reload.h"

#include "server/journal/journal.h"
#include "server/store/keyspace.h"

enum reload_result reload_from_journal(struct journal *journal, struct keyspace *keyspace,
                                       const char **reason) {
    *reason = journal_settle(journal);
    if (*reason != NULL) {
        return RELOAD_NOT_NOW;
    }
    uint64_t floor = keyspace_reload_begin(keyspace);
    bool is_loaded = journal_reload(journal);
    bool is_same = keyspace_reload_end(keyspace, floor);
    *reason = !is_loaded ? "the journal cannot be read"
              : is_same  ? NULL
                         : "the journal has another floor than the store had";
    return !is_loaded ? RELOAD_FAILED : is_same ? RELOAD_DONE : RELOAD_OTHER_FLOOR;
}
