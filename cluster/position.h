/* position.h: a place in some history: which one, and the index of the last line of it that was applied. */
#ifndef KVNODE_CLUSTER_POSITION_H
#define KVNODE_CLUSTER_POSITION_H

#include <stdint.h>

struct position {
    uint64_t history_id; /* 0: nowhere, no data */
    uint64_t index;
};

/* Which is more advanced: the younger history, then the greater index. Negative, 0 or positive, as strcmp. */
static inline int position_compare(struct position a, struct position b) {
    if (a.history_id != b.history_id) {
        return a.history_id < b.history_id ? -1 : 1;
    }
    return a.index < b.index ? -1 : a.index > b.index;
}

#endif
