/* position.h: a place in some history: which one, and the last line of it that was applied: its index, and the
 * term that it is of. Two lines of one history with the same index are one only if their terms are the same. */
#ifndef KVNODE_CLUSTER_POSITION_H
#define KVNODE_CLUSTER_POSITION_H

#include "protocol/term.h"

struct position {
    uint64_t history_id; /* 0: nowhere, no data */
    struct term term;
    uint64_t index;
};

/* Which is more advanced in one history: the later term, then the greater index. As strcmp. */
static inline int position_compare_in_history(const struct position *a, const struct position *b) {
    int terms = term_compare(&a->term, &b->term);
    return terms != 0 ? terms : a->index < b->index ? -1 : a->index > b->index;
}

/* Which is more advanced: the younger history, then as above. */
static inline int position_compare(const struct position *a, const struct position *b) {
    if (a->history_id != b->history_id) {
        return a->history_id < b->history_id ? -1 : 1;
    }
    return position_compare_in_history(a, b);
}

#endif
