#include "server/store/table.h"

#include "server/store/table_layout.h"

/* For table_sample. A cell (see scan_mask) with more entries than this is not seen in 10^7 buckets. */
enum { SAMPLE_CELL_ENTRIES = 32, SAMPLE_TRIES = 64, SAMPLE_WALK_CELLS = 64, SAMPLE_SMALL_CELLS = 64 };

/* The most that table_sample_next looks at: it is about 20 us, if nothing of it is in a cache. */
enum { SAMPLE_NEXT_CELLS = 128 };

/* ---- scans ---- */

/* Why a scan misses nothing (the cursor is Pieter Noordhuis's, from Redis's dict.c; linear hashing makes it
 * simple).
 *
 * Write a hash with its bits reversed, lowest bit first: that is a point on a line, and it never changes for a
 * key. A cell, being all hashes that end in the same `level` bits, is an interval of that line, and counting
 * through the cells with a reversed carry goes through the intervals from left to right. So a cursor is a
 * position: everything to its left has been visited.
 *
 * When the table has grown since the last call, the cells are halves of what they were: the position is still
 * the border of one, and the scan goes on there: nothing is missed and nothing repeated. When it has shrunk,
 * the position may be in the middle of a larger cell; the scan then begins at that cell's left end (the mask
 * cuts the cursor's upper bits) and visits some of it again, and misses nothing. Splits and merges within a
 * level move entries inside of one cell only. While pinned the table does not shrink: each key that stays is
 * visited exactly once. */

static uint64_t reverse_bits(uint64_t x) {
    x = (x >> 1 & 0x5555555555555555U) | (x & 0x5555555555555555U) << 1;
    x = (x >> 2 & 0x3333333333333333U) | (x & 0x3333333333333333U) << 2;
    x = (x >> 4 & 0x0f0f0f0f0f0f0f0fU) | (x & 0x0f0f0f0f0f0f0f0fU) << 4;
    return __builtin_bswap64(x);
}

static uint64_t next_cursor(uint64_t cursor, uint64_t mask) {
    return reverse_bits(reverse_bits(cursor | ~mask) + 1);
}

static void visit_chain(const struct bucket *bucket, table_visit *visit, void *context) {
    for (; bucket != NULL; bucket = bucket_next(bucket)) {
        bucket_prefetch_entries(bucket);
        unsigned used = bucket_used(bucket);
        for (unsigned slot = 0; slot < used; slot++) {
            visit(context, bucket_entry(bucket, slot));
        }
    }
}

static void visit_chain_deadlines(const struct bucket *bucket, table_visit *visit, void *context) {
    for (; bucket != NULL; bucket = bucket_next(bucket)) {
        for (unsigned bits = bucket_deadlines(bucket); bits != 0; bits &= bits - 1) {
            visit(context, bucket_entry(bucket, (unsigned)__builtin_ctz(bits)));
        }
    }
}

typedef void chain_visit(const struct bucket *bucket, table_visit *visit, void *context);

static inline uint64_t scan_cell(const struct table *table, uint64_t cursor, chain_visit *visit_chain_of,
                                 table_visit *visit, void *context) {
    uint64_t mask = scan_mask(table);
    uint64_t cell = cursor & mask, other_half = cell + mask + 1;
    visit_chain_of(bucket_at(table, cell), visit, context);
    if (other_half < table->bucket_count) {
        visit_chain_of(bucket_at(table, other_half), visit, context);
    }
    return next_cursor(cursor, mask);
}

uint64_t table_scan(const struct table *table, uint64_t cursor, table_visit *visit, void *context) {
    return scan_cell(table, cursor, visit_chain, visit, context);
}

uint64_t table_scan_deadlines(const struct table *table, uint64_t cursor, table_visit *visit, void *context) {
    return scan_cell(table, cursor, visit_chain_deadlines, visit, context);
}

/* ---- samples ---- */

/* A sample is a run of neighbours: their order is that of a secret hash, so they have nothing in common. The
 * run must begin at a random entry, not at a random bucket: else entries that are alone in a bucket would be
 * drawn too often. */
struct run {
    uint64_t cell;
    size_t skip;  /* entries before the first one */
    size_t cells; /* the most that may be walked */
};

static uint64_t next_random(uint64_t *state) { /* splitmix64 */
    uint64_t x = *state += 0x9e3779b97f4a7c15U;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9U;
    x = (x ^ x >> 27) * 0x94d049bb133111ebU;
    return x ^ x >> 31;
}

static size_t cell_used(const struct table *table, uint64_t cell) {
    uint64_t other_half = cell + scan_mask(table) + 1;
    return chain_used(bucket_at(table, cell)) +
           (other_half < table->bucket_count ? chain_used(bucket_at(table, other_half)) : 0);
}

/* Large: draw a cell and a place in it until there is an entry: every entry is equally likely. Small: count. */
static struct run choose_run(const struct table *table, uint64_t random, size_t n) {
    uint64_t mask = scan_mask(table);
    if (mask < SAMPLE_SMALL_CELLS) {
        return (struct run){0, next_random(&random) % table->count, 2 * (mask + 1)};
    }
    struct run run = {0, 0, n + SAMPLE_WALK_CELLS < mask ? n + SAMPLE_WALK_CELLS : mask};
    for (unsigned tries = 0; tries < SAMPLE_TRIES; tries++) {
        uint64_t drawn = next_random(&random);
        run.cell = drawn / SAMPLE_CELL_ENTRIES & mask;
        run.skip = drawn % SAMPLE_CELL_ENTRIES;
        if (run.skip < cell_used(table, run.cell)) {
            return run;
        }
    }
    run.skip = 0; /* a table that was pinned while nearly all was removed: better an uneven choice than none */
    return run;
}

static size_t take_chain(const struct bucket *bucket, size_t *skip, struct entry **out, size_t n) {
    size_t taken = 0;
    for (; bucket != NULL && taken < n; bucket = bucket_next(bucket)) {
        unsigned used = bucket_used(bucket), slot = (unsigned)(*skip < used ? *skip : used);
        *skip -= slot;
        for (; slot < used && taken < n; slot++) {
            out[taken++] = bucket_entry(bucket, slot);
        }
    }
    return taken;
}

size_t table_sample(const struct table *table, uint64_t random, struct entry **out, size_t n) {
    n = n < table->count ? n : table->count;
    if (n == 0) {
        return 0;
    }
    uint64_t mask = scan_mask(table);
    struct run run = choose_run(table, random, n);
    size_t taken = 0;
    for (; run.cells > 0 && taken < n; run.cells--, run.cell = (run.cell + 1) & mask) {
        uint64_t other_half = run.cell + mask + 1;
        taken += take_chain(bucket_at(table, run.cell), &run.skip, out + taken, n - taken);
        if (other_half < table->bucket_count) {
            taken += take_chain(bucket_at(table, other_half), &run.skip, out + taken, n - taken);
        }
    }
    return taken;
}

static size_t take_deadlines(const struct bucket *bucket, struct entry **out, size_t n) {
    size_t taken = 0;
    for (; bucket != NULL; bucket = bucket_next(bucket)) {
        for (unsigned bits = bucket_deadlines(bucket); bits != 0 && taken < n; bits &= bits - 1) {
            out[taken] = bucket_entry(bucket, (unsigned)__builtin_ctz(bits));
            heap_prefetch(out[taken++]);
        }
    }
    return taken;
}

static size_t take_all(const struct bucket *bucket, struct entry **out, size_t n) {
    size_t skip = 0;
    return take_chain(bucket, &skip, out, n);
}

/* The entries of the next cell, whose bucket was fetched the last time, and the bucket of the one after it. */
static void prefetch_hand(const struct table *table, uint64_t hand) {
    uint64_t mask = scan_mask(table);
    for (uint64_t at = hand & mask; at < table->bucket_count; at += mask + 1) {
        bucket_prefetch_entries(bucket_at(table, at));
    }
    for (uint64_t at = (hand + 1) & mask; at < table->bucket_count; at += mask + 1) {
        heap_prefetch(bucket_at(table, at));
    }
}

size_t table_sample_next(const struct table *table, uint64_t *hand, bool with_deadline, size_t least,
                         struct entry **out, size_t n) {
    uint64_t mask = scan_mask(table);
    uint64_t cells = mask < SAMPLE_NEXT_CELLS ? mask + 1 : SAMPLE_NEXT_CELLS;
    size_t taken = 0;
    for (; cells > 0 && taken < least; cells--, ++*hand) {
        for (uint64_t at = *hand & mask; at < table->bucket_count; at += mask + 1) {
            const struct bucket *bucket = bucket_at(table, at);
            taken += with_deadline ? take_deadlines(bucket, out + taken, n - taken)
                                   : take_all(bucket, out + taken, n - taken);
        }
    }
    if (!with_deadline) {
        prefetch_hand(table, *hand);
    }
    return taken;
}
