/* table_layout.h: what a table is made of, for table.c and table_walk.c.
 *
 * Linear hashing (W. Litwin, 1980). With 2^level <= bucket_count < 2^(level + 1), bucket v of the first 2^level
 * has been split when v + 2^level < bucket_count:
 *
 *     0           next to split      2^level           bucket_count      2^(level + 1)
 *     |  split    |  not yet split   |  their halves   |  not there yet  |
 *
 * A split moves those entries of one bucket whose hash has bit `level` set to a new bucket at the end; a merge
 * undoes the last split. The two loads at which that happens are far apart, so that no load makes both happen
 * in turn.
 */
#ifndef KVNODE_SERVER_STORE_TABLE_LAYOUT_H
#define KVNODE_SERVER_STORE_TABLE_LAYOUT_H

#include "server/store/bucket.h"
#include "server/store/siphash.h"
#include "server/store/table.h"

enum { SEGMENT_BUCKETS = 4096 };

struct table {
    struct siphash_key key;
    uint64_t wide_mask; /* 2^(level + 1) - 1 */
    uint64_t bucket_count;
    struct bucket **segments; /* each of SEGMENT_BUCKETS, but the first, which has fewer while they suffice */
    size_t directory_capacity;
    size_t first_segment_buckets;
    size_t count;
    size_t grow_above; /* entries */
    size_t shrink_below;
    size_t deadline_count;
    size_t used_bytes;
    unsigned pins;
    unsigned mark;
};

static inline struct bucket *bucket_at(const struct table *table, uint64_t index) {
    return table->segments[index / SEGMENT_BUCKETS] + index % SEGMENT_BUCKETS;
}

static inline struct bucket *bucket_of(const struct table *table, uint64_t hash) {
    uint64_t index = hash & table->wide_mask;
    return bucket_at(table, index < table->bucket_count ? index : index & table->wide_mask >> 1);
}

/* 2^level - 1. A cell is what hashes equal under this mask: bucket v and, if it has been split, its other half.
 */
static inline uint64_t scan_mask(const struct table *table) { return table->wide_mask >> 1; }

#endif
