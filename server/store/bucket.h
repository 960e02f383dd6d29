/* bucket.h: one cache line of a table: eight entries with a tag byte each. Private to the table.
 *
 *   tags      8 bytes; 0: the slot holds no entry
 *   link      bits 0 to 47: the next bucket of the chain, or 0; bit 48 + i: the entry in slot i has a deadline
 *   pointers  eight of 48 bits: what a 64-bit process has for user addresses unless it asks for more. So eight
 *             entries fit and not seven, and the table of a million keys costs a byte less a key
 *
 * Chains are compact: entries fill the slots from 0 on, and only the last bucket of a chain may have free
 * slots. So a chain of n entries has exactly chain_extra_buckets(n) buckets after the first, and a split of it
 * never needs more than it frees.
 *
 * The tags of a bucket are compared all at once, as bytes of one 64-bit word.
 */
#ifndef KVNODE_SERVER_STORE_BUCKET_H
#define KVNODE_SERVER_STORE_BUCKET_H

#include "server/store/entry.h"

#include <assert.h>

enum { BUCKET_SLOTS = 8, BUCKET_POINTER_BYTES = 6, BUCKET_DEADLINES_SHIFT = 48 };

#define BUCKET_POINTER_MASK (((uint64_t)1 << 48) - 1)

struct bucket {
    uint64_t tags;
    uint64_t link;
    uint8_t pointers[BUCKET_SLOTS * BUCKET_POINTER_BYTES];
} __attribute__((aligned(HEAP_LINE_BYTES)));

_Static_assert(sizeof(struct bucket) == HEAP_LINE_BYTES, "a bucket is a cache line");
_Static_assert(sizeof(void *) == 8, "48-bit pointers need a 64-bit process");

static inline void bucket_init(struct bucket *bucket) { bucket->tags = bucket->link = 0; }

/* The top byte of the hash; the buckets are chosen by the low bits. */
static inline uint64_t bucket_tag(uint64_t hash) { return hash >> 56 != 0 ? hash >> 56 : 1; }

/* Bit 7 of every byte that is zero; exact: no borrow from the byte below. */
static inline uint64_t bucket_zero_bytes(uint64_t word) {
    const uint64_t low_bits = 0x7f7f7f7f7f7f7f7fU;
    return ~(((word & low_bits) + low_bits) | word | low_bits);
}

/* A bit for every slot with that tag; walk it with bucket_first_slot and x &= x - 1. */
static inline uint64_t bucket_matches(const struct bucket *bucket, uint64_t tag) {
    return bucket_zero_bytes(bucket->tags ^ tag * 0x0101010101010101U);
}

static inline unsigned bucket_first_slot(uint64_t matches) { return (unsigned)__builtin_ctzll(matches) / 8; }

/* Entries in this bucket. */
static inline unsigned bucket_used(const struct bucket *bucket) {
    uint64_t free_slots = bucket_zero_bytes(bucket->tags);
    return free_slots == 0 ? BUCKET_SLOTS : bucket_first_slot(free_slots);
}

static inline struct bucket *bucket_next(const struct bucket *bucket) {
    return (struct bucket *)(bucket->link & BUCKET_POINTER_MASK); /* NOLINT(performance-no-int-to-ptr) */
}

static inline void bucket_set_next(struct bucket *bucket, const struct bucket *next) {
    assert((uintptr_t)next >> 48 == 0);
    bucket->link = (bucket->link & ~BUCKET_POINTER_MASK) | (uintptr_t)next;
}

/* Reads the two bytes before the pointer too: so slot 7 does not read over the bucket's end. */
static inline struct entry *bucket_entry(const struct bucket *bucket, unsigned slot) {
    uint64_t word;
    const uint8_t *at =
        (const uint8_t *)bucket + offsetof(struct bucket, pointers) + slot * BUCKET_POINTER_BYTES;
    memcpy(&word, at - (sizeof(word) - BUCKET_POINTER_BYTES), sizeof(word));
    return (struct entry *)(word >> 16); /* NOLINT(performance-no-int-to-ptr) */
}

static inline void bucket_set_entry(struct bucket *bucket, unsigned slot, const struct entry *entry) {
    uint64_t word = (uintptr_t)entry;
    assert(word >> 48 == 0);
    memcpy(bucket->pointers + slot * BUCKET_POINTER_BYTES, &word, BUCKET_POINTER_BYTES);
}

static inline uint64_t bucket_tag_at(const struct bucket *bucket, unsigned slot) {
    return bucket->tags >> (8 * slot) & 0xff;
}

/* A bit for every slot whose entry has a deadline. */
static inline unsigned bucket_deadlines(const struct bucket *bucket) {
    return (unsigned)(bucket->link >> BUCKET_DEADLINES_SHIFT & 0xff);
}

static inline bool bucket_deadline_at(const struct bucket *bucket, unsigned slot) {
    return (bucket_deadlines(bucket) >> slot & 1) != 0;
}

static inline void bucket_set_deadline(struct bucket *bucket, unsigned slot, bool has_deadline) {
    uint64_t bit = (uint64_t)1 << (BUCKET_DEADLINES_SHIFT + slot);
    bucket->link = has_deadline ? bucket->link | bit : bucket->link & ~bit;
}

static inline void bucket_set(struct bucket *bucket, unsigned slot, const struct entry *entry, uint64_t tag,
                              bool has_deadline) {
    bucket->tags = (bucket->tags & ~((uint64_t)0xff << (8 * slot))) | tag << (8 * slot);
    bucket_set_deadline(bucket, slot, has_deadline);
    bucket_set_entry(bucket, slot, entry);
}

static inline void bucket_copy_slot(struct bucket *to, unsigned to_slot, const struct bucket *from,
                                    unsigned from_slot) {
    bucket_set(to, to_slot, bucket_entry(from, from_slot), bucket_tag_at(from, from_slot),
               bucket_deadline_at(from, from_slot));
}

static inline void bucket_prefetch_entries(const struct bucket *bucket) {
    unsigned used = bucket_used(bucket);
    for (unsigned slot = 0; slot < used; slot++) {
        heap_prefetch(bucket_entry(bucket, slot));
    }
}

static inline size_t chain_extra_buckets(size_t entries) {
    return entries == 0 ? 0 : (entries - 1) / BUCKET_SLOTS;
}

static inline size_t chain_used(const struct bucket *bucket) {
    size_t entries = 0;
    for (; bucket != NULL; bucket = bucket_next(bucket)) {
        entries += bucket_used(bucket);
    }
    return entries;
}

/* Where a chain is appended to. */
struct chain_end {
    struct bucket *last;
    unsigned used; /* of last */
};

static inline struct chain_end chain_find_end(struct bucket *bucket) {
    for (struct bucket *next = bucket_next(bucket); next != NULL; next = bucket_next(bucket)) {
        bucket = next;
    }
    return (struct chain_end){bucket, bucket_used(bucket)};
}

static inline bool chain_end_is_full(const struct chain_end *end) { return end->used == BUCKET_SLOTS; }

/* Hangs an empty bucket behind a full last one; an entry must follow. */
static inline void chain_extend(struct chain_end *end, struct bucket *fresh) {
    bucket_init(fresh);
    bucket_set_next(end->last, fresh);
    *end = (struct chain_end){fresh, 0};
}

/* end is not full. */
static inline void chain_append(struct chain_end *end, const struct entry *entry, uint64_t tag,
                                bool has_deadline) {
    bucket_set(end->last, end->used++, entry, tag, has_deadline);
}

/* Takes the entry in that slot of a bucket of the chain out of it: the last one of the chain fills its place.
 * Returns the bucket that the chain no longer needs, or NULL. */
static inline struct bucket *chain_remove(struct bucket *first, struct bucket *bucket, unsigned slot) {
    struct bucket *last = first, *before = NULL;
    for (struct bucket *next = bucket_next(last); next != NULL; next = bucket_next(last)) {
        before = last;
        last = next;
    }
    unsigned last_slot = bucket_used(last) - 1;
    bucket_copy_slot(bucket, slot, last, last_slot);
    bucket_set(last, last_slot, NULL, 0, false);
    if (before == NULL || last_slot > 0) {
        return NULL;
    }
    bucket_set_next(before, NULL);
    return last;
}

#endif
