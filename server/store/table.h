/* table.h: a hash table of entries that grows and shrinks one bucket at a time (linear hashing).
 *
 * Single-threaded, owned by its creator; knows nothing of clocks, history, routing or clients. A bucket is one
 * cache line: eight entry pointers, a tag byte for each (part of the hash, so that a miss rarely touches an
 * entry), a bit for each that has a deadline, and the bucket that is chained behind, if there is one. The
 * bucket array lives in segments of fixed size, so that growing never copies it (but for the first 256 KB,
 * which start small): an insertion splits at most one bucket, a removal merges at most one. No operation takes
 * longer for a larger table. A resize that gets no memory is put off.
 *
 * Hash: SipHash-1-3 of the key under a 128-bit secret of the process, so that a client cannot choose colliding
 * keys.
 */
#ifndef KVNODE_SERVER_STORE_TABLE_H
#define KVNODE_SERVER_STORE_TABLE_H

#include "server/store/entry.h"

struct table;

struct table *table_create(const uint8_t secret[16]); /* NULL: out of memory */
void table_destroy(struct table **table);             /* frees all at once; NULL-safe, nulls it */

uint64_t table_hash(const struct table *table, struct slice key);

/* Hints, for batches: first the bucket of every key, then the entries that will probably match, at most
 * TABLE_PREFETCH_MAX at a time. An entry of the second bucket of a chain is fetched too; one key in ten is
 * there.
 */
enum { TABLE_PREFETCH_MAX = 64 };
void table_prefetch_bucket(const struct table *table, uint64_t hash);
void table_prefetch_entries(const struct table *table, const uint64_t *hashes, size_t n);

/* The entry of that key or NULL. hash is table_hash of key, here and below. */
struct entry *table_find(const struct table *table, uint64_t hash, struct slice key);

/* Where that is: what writes it then need not look for it again. Dies with the next change of the table. */
struct table_place {
    struct entry *entry; /* NULL: there is none */
    uintptr_t at;        /* inside: its bucket, which is a cache line, and in the low bits its slot */
};
struct table_place table_find_place(const struct table *table, uint64_t hash, struct slice key);

/* An entry whose key has this hash, or NULL: for those who keep hashes and not keys. */
struct entry *table_find_hash(const struct table *table, uint64_t hash);

/* Inserts or overwrites. Overwrites in place when the new value fits the old allocation's size class. value may
 * point into the entry that is overwritten. Returns the entry; NULL when out of memory: the table is then as it
 * was. */
struct entry *table_put(struct table *table, uint64_t hash, struct slice key,
                        const struct entry_fields *fields);

/* The same with a value that is in its entry already: takes the reserve, but when out of memory. */
struct entry *table_put_reserve(struct table *table, uint64_t hash, struct slice key,
                                struct entry_reserve *reserve, const struct entry_fields *fields);

/* table_put where there is an entry already. */
struct entry *table_overwrite(struct table *table, const struct table_place *place,
                              const struct entry_fields *fields);

/* For a write that may be taken back, in two ways. In place; false: it does not fit there, and nothing has
 * changed. table_restore: what entry_image was before. */
bool table_overwrite_in_place(struct table *table, const struct table_place *place,
                              const struct entry_fields *fields);
void table_restore(struct table *table, const struct table_place *place, struct slice image);
/* Or by another entry: the old one is the caller's from now on, and table_exchange puts it back, so that the
 * new one is. NULL: out of memory, and nothing has changed. */
struct entry *table_succeed(struct table *table, const struct table_place *place,
                            const struct entry_fields *fields);
void table_exchange(struct table *table, const struct table_place *place, struct entry *entry);

/* Sets (0: clears) the deadline of the entry that is there; nothing else of it changes, not even the mark's
 * meaning as "written" (the mark is renewed). Returns the entry, which may have moved; NULL: out of memory. */
struct entry *table_set_deadline(struct table *table, const struct table_place *place, int64_t deadline_ms);

/* Frees the entry of that key; false when there is none. */
bool table_remove(struct table *table, uint64_t hash, struct slice key);

size_t table_count(const struct table *table);          /* entries */
size_t table_deadline_count(const struct table *table); /* entries that have a deadline */
size_t table_used_bytes(const struct table *table);     /* entries as allocated, buckets, directory */

/* Calls visit for every entry in the buckets that the cursor stands for and returns the next cursor; starts
 * with 0, 0 again means all has been visited. A key that is there from the first call to the last is visited at
 * least once whatever is inserted or removed in between; exactly once as long as the table is pinned. visit
 * must not change the table. */
typedef void table_visit(void *context, struct entry *entry);
uint64_t table_scan(const struct table *table, uint64_t cursor, table_visit *visit, void *context);

/* While pinned (counted) the table does not shrink. */
void table_pin(struct table *table);
void table_unpin(struct table *table);

/* The sweep: as table_scan, but only entries with a deadline, and buckets without one cost no entry access. */
uint64_t table_scan_deadlines(const struct table *table, uint64_t cursor, table_visit *visit, void *context);

/* Up to n entries from random places (for sampled eviction and RANDOMKEY); fewer, perhaps none, in a sparse
 * table. random is the caller's random number. Returns how many. */
size_t table_sample(const struct table *table, uint64_t random, struct entry **out, size_t n);

/* The entries that come next in the order of a secret hash, at least `least` of them (whole buckets are taken;
 * n at most, which is enough for 32 more), or those of as many buckets as a call may look at: fewer in a sparse
 * table. *hand says where, and moves on: it is any number at first, and may go on in another table. Every entry
 * that stays comes up once a round. with_deadline: only entries that have one. What the next call will want is
 * prefetched. */
size_t table_sample_next(const struct table *table, uint64_t *hand, bool with_deadline, size_t least,
                         struct entry **out, size_t n);

/* Every entry written from now on (put, set_deadline) carries this mark, 0 to 15. */
void table_set_mark(struct table *table, unsigned mark);
unsigned table_mark(const struct table *table);

/* Destroying in slices: frees some (about budget entries) of a table that nobody uses any more; true when all
 * is gone and the table itself is freed (*table is NULL then). */
bool table_destroy_slice(struct table **table, size_t budget);

#endif
