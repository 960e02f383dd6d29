/* entry.h: one key with its value and what is known of it, in one allocation.
 *
 * Layout (packed; a 15-byte key and a 32-byte value fit a 64-byte allocation):
 *
 *   flags:16 | access:24 | timestamp:48 | key length | value length | version | [deadline:48] | key | value
 *   | [borrowers:32]
 *
 * The lengths and the version take as many bytes as they need (the version of a value that can be lent: eight,
 * so that its place does not depend on it); flags says how many. An entry is owned by the table it is in; a
 * pointer to it, and slices of it, die with the next operation that may change the table. But a large value can
 * be lent: as long as it is, its bytes stay where and as they are, though the table may have another entry by
 * then, or none. It is freed with the last loan.
 *
 * The layout is in this header so that reading costs no call; nobody but these functions looks at it.
 */
#ifndef KVNODE_SERVER_STORE_ENTRY_H
#define KVNODE_SERVER_STORE_ENTRY_H

#include "protocol/slice.h"
#include "server/store/heap.h"

#include <stdint.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "an entry's numbers are stored little-endian");

/* 8-byte aligned. */
struct entry {
    uint16_t flags;
    uint8_t bytes[];
};

/* flags: three widths as powers of two, whether there is room for a deadline, whether it is untold, and the
 * sync mark. */
enum {
    ENTRY_KEY_WIDTH = 0,
    ENTRY_VALUE_WIDTH = 2,
    ENTRY_VERSION_WIDTH = 4,
    ENTRY_WIDTH_MASK = 3,
    ENTRY_DEADLINE_FIELD = 1 << 6,
    ENTRY_UNTOLD = 1 << 7,
    ENTRY_MARK = 8, /* the shift of four bits */
    ENTRY_MARK_MAX = 15,
};

/* Where the fields are in bytes. */
enum {
    ENTRY_ACCESS_AT = 0,
    ENTRY_TIMESTAMP_AT = 3,
    ENTRY_NUMBERS_AT = 9,
    ENTRY_TIME_BYTES = 6,
    ENTRY_FLAGS_BYTES = 2,
};

/* Bytes that stand at an offset of a value from now on, with zeros before them where it was shorter. */
struct entry_patch {
    size_t offset;
    struct slice bytes;
};

/* Everything an entry says but its key. The patches (ascending and apart) are made on value. */
struct entry_fields {
    struct slice value;
    uint64_t version;
    int64_t timestamp_ms; /* Unix ms of the last write; 0 to 2^48 - 1 */
    int64_t deadline_ms;  /* Unix ms at which it expires; 0: never; at most 2^48 - 1 */
    const struct entry_patch *patches;
    size_t patch_count;
};

/* The length of a value of so many bytes with patches. */
static inline size_t entry_patched_len(size_t value_len, const struct entry_patch *patches, size_t count) {
    size_t end = count == 0 ? 0 : patches[count - 1].offset + patches[count - 1].bytes.len;
    return end > value_len ? end : value_len;
}

static inline size_t entry_fields_value_len(const struct entry_fields *fields) {
    return entry_patched_len(fields->value.len, fields->patches, fields->patch_count);
}

static inline uint64_t entry_load(const uint8_t *at, unsigned width_log2) {
    uint16_t two;
    uint32_t four;
    uint64_t eight;
    switch (width_log2) {
    case 0:
        return *at;
    case 1:
        memcpy(&two, at, sizeof(two));
        return two;
    case 2:
        memcpy(&four, at, sizeof(four));
        return four;
    default:
        memcpy(&eight, at, sizeof(eight));
        return eight;
    }
}

static inline int64_t entry_load_time(const uint8_t *at) {
    return (int64_t)(entry_load(at, 2) | entry_load(at + 4, 1) << 32);
}

static inline unsigned entry_width(const struct entry *entry, unsigned which) {
    return entry->flags >> which & ENTRY_WIDTH_MASK;
}

static inline size_t entry_key_len(const struct entry *entry) {
    return entry_load(entry->bytes + ENTRY_NUMBERS_AT, entry_width(entry, ENTRY_KEY_WIDTH));
}

static inline size_t entry_value_len_at(const struct entry *entry) {
    return ENTRY_NUMBERS_AT + ((size_t)1 << entry_width(entry, ENTRY_KEY_WIDTH));
}

static inline size_t entry_version_at(const struct entry *entry) {
    return entry_value_len_at(entry) + ((size_t)1 << entry_width(entry, ENTRY_VALUE_WIDTH));
}

static inline size_t entry_deadline_at(const struct entry *entry) {
    return entry_version_at(entry) + ((size_t)1 << entry_width(entry, ENTRY_VERSION_WIDTH));
}

static inline size_t entry_key_at(const struct entry *entry) {
    return entry_deadline_at(entry) + ((entry->flags & ENTRY_DEADLINE_FIELD) != 0 ? ENTRY_TIME_BYTES : 0);
}

static inline struct slice entry_key(const struct entry *entry) {
    return slice_of(entry->bytes + entry_key_at(entry), entry_key_len(entry));
}

static inline struct slice entry_value(const struct entry *entry) {
    size_t len = entry_load(entry->bytes + entry_value_len_at(entry), entry_width(entry, ENTRY_VALUE_WIDTH));
    return slice_of(entry->bytes + entry_key_at(entry) + entry_key_len(entry), len);
}

/* The same for who knows how long key and value are. */
static inline struct slice entry_value_of(const struct entry *entry, size_t key_len, size_t value_len) {
    return slice_of(entry->bytes + entry_key_at(entry) + key_len, value_len);
}

static inline uint64_t entry_version(const struct entry *entry) {
    return entry_load(entry->bytes + entry_version_at(entry), entry_width(entry, ENTRY_VERSION_WIDTH));
}

static inline int64_t entry_timestamp_ms(const struct entry *entry) {
    return entry_load_time(entry->bytes + ENTRY_TIMESTAMP_AT);
}

/* 0: none */
static inline int64_t entry_deadline_ms(const struct entry *entry) {
    return (entry->flags & ENTRY_DEADLINE_FIELD) == 0
               ? 0
               : entry_load_time(entry->bytes + entry_deadline_at(entry));
}

/* True when the deadline is there and not after now_ms. */
static inline bool entry_expired(const struct entry *entry, int64_t now_ms) {
    int64_t deadline_ms = entry_deadline_ms(entry);
    return deadline_ms != 0 && deadline_ms <= now_ms;
}

/* 24 bits that the eviction policy may use as it likes; 0 in a new entry; kept when the value is overwritten.
 */
static inline uint32_t entry_access(const struct entry *entry) {
    const uint8_t *at = entry->bytes + ENTRY_ACCESS_AT;
    return (uint32_t)(entry_load(at, 1) | entry_load(at + 2, 0) << 16);
}

static inline void entry_set_access(struct entry *entry, uint32_t access) {
    memcpy(entry->bytes + ENTRY_ACCESS_AT, &access, 3);
}

/* The sync mark: 0 to 15, what table_set_mark() said when the entry was last written (see table.h). */
static inline unsigned entry_mark(const struct entry *entry) {
    return entry->flags >> ENTRY_MARK & ENTRY_MARK_MAX;
}

static inline void entry_set_mark(struct entry *entry, unsigned mark) {
    entry->flags = (uint16_t)((entry->flags & ~((unsigned)ENTRY_MARK_MAX << ENTRY_MARK)) | mark << ENTRY_MARK);
}

/* It was written, and what it says will be told later: until then no other write may take its place. */
static inline bool entry_untold(const struct entry *entry) { return (entry->flags & ENTRY_UNTOLD) != 0; }

static inline void entry_set_untold(struct entry *entry, bool untold) {
    entry->flags = (uint16_t)((entry->flags & ~(unsigned)ENTRY_UNTOLD) | (untold ? ENTRY_UNTOLD : 0U));
}

/* From this length of a value on it can be lent. */
enum { ENTRY_LENDABLE_BYTES = 64 << 10, ENTRY_BORROWERS_BYTES = 4 };

static inline size_t entry_trailer_bytes(size_t value_len) {
    return value_len >= ENTRY_LENDABLE_BYTES ? ENTRY_BORROWERS_BYTES : 0;
}

/* All of it that does not change while it is lent. */
static inline struct slice entry_image(const struct entry *entry) {
    struct slice value = entry_value(entry);
    return slice_of(entry, (size_t)(value.ptr + value.len - (const char *)entry));
}

/* Bytes that the allocator gives to the entry (its size class). */
static inline size_t entry_allocated_for(const struct entry *entry, struct slice value) {
    return heap_class((size_t)(value.ptr + value.len - (const char *)entry) + entry_trailer_bytes(value.len));
}
static inline size_t entry_allocated_bytes(const struct entry *entry) {
    return entry_allocated_for(entry, entry_value(entry));
}

static inline bool entry_is_lendable(const struct entry *entry) {
    return entry_value(entry).len >= ENTRY_LENDABLE_BYTES;
}
/* Of one that is lendable. A loan is nothing that the table sees: so it takes a const one. */
void entry_lend(const struct entry *entry);
void entry_give_back(const struct entry *entry);

/* For the table that owns the entry. NULL: out of memory. key and value may point into an entry that is there
 * already, patches may not. */
struct entry *entry_create(struct slice key, const struct entry_fields *fields, unsigned mark);
/* In its place. False: the fields do not fit there (they are of another size class), or it is lent: nothing has
 * changed, and the table needs a successor. */
bool entry_overwrite(struct entry *entry, const struct entry_fields *fields, unsigned mark);
/* Another entry of the same key; the old one stays as it is. NULL: out of memory. */
struct entry *entry_create_successor(const struct entry *old, const struct entry_fields *fields, unsigned mark);
/* When another entry than the old one is returned, the old one has been freed. NULL: out of memory, and it is
 * as it was. */
struct entry *entry_set_deadline(struct entry *old, int64_t deadline_ms, unsigned mark);
void entry_destroy(struct entry *entry); /* with the last loan, if it is lent */

/* A large value (one that can be lent) that is still on its way, in the memory that will be its entry: nobody
 * has to copy it. entry NULL: none. */
struct entry_reserve {
    struct entry *entry; /* not one yet */
    size_t key_len;
    struct slice value; /* its place; ENTRY_BORROWERS_BYTES behind it may be written, too */
};
/* False: out of memory. What is not written to is not touched. */
bool entry_reserve(struct entry_reserve *out, size_t key_len, size_t value_len);
void entry_reserve_deinit(struct entry_reserve *reserve);
/* The value is there: the rest is filled in. fields->value is the reserve's, and there are no patches. It is
 * the caller's now. */
struct entry *entry_fill(struct entry_reserve *reserve, struct slice key, const struct entry_fields *fields,
                         unsigned mark, uint32_t access);

#endif
