/* keyspace_reload.c: all of it once more from lines, unseen. */
#include "server/store/keyspace_internal.h"

enum { FREE_AT_ONCE = 1 << 16 };

uint64_t keyspace_reload_begin(struct keyspace *keyspace) {
    uint64_t floor = keyspace->floor;
    keyspace_tell(keyspace, KEYSPACE_FLUSHED, SLICE(""));
    keyspace_set_telling(keyspace, false);
    keyspace_empty(keyspace);
    while (keyspace->dead != NULL) { /* else all of it would be there twice */
        keyspace_free_flushed(keyspace, FREE_AT_ONCE);
    }
    /* No entry has a mark: all but one are free, however many states have begun. */
    keyspace->marks.used = (uint16_t)(1U << table_mark(keyspace->table));
    keyspace->marks.old = table_mark(keyspace->table);
    keyspace->marks.dropped = keyspace->marks.leaving = 0;
    keyspace->filling = false;
    keyspace->floor = 0;
    return floor;
}

bool keyspace_reload_end(struct keyspace *keyspace, uint64_t floor) {
    bool is_same = keyspace->floor == floor;
    keyspace_raise_floor(keyspace, floor);
    keyspace_set_telling(keyspace, true);
    return is_same;
}
