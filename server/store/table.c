#include "server/store/table.h"

#include "server/store/table_layout.h"

#include <assert.h>

enum {
    LEAST_BUCKETS = 16,
    LEAST_DIRECTORY = 8, /* pointers */
};

/* Entries a bucket: above the first one is split, below the second one is merged. At 6 the buckets of a million
 * keys cost 13 bytes a key, chained ones included, and nine keys of ten are in the first bucket of their chain.
 */
enum { GROW_LOAD = 6, SHRINK_LOAD = 3 };

/* ---- memory, counted ---- */

static void *take(struct table *table, size_t bytes) {
    void *memory = heap_alloc(heap_class(bytes));
    if (memory != NULL) {
        table->used_bytes += heap_class(bytes);
    }
    return memory;
}

static struct bucket *take_buckets(struct table *table, size_t n) {
    size_t bytes = heap_class(n * sizeof(struct bucket));
    struct bucket *buckets = heap_alloc_lines(bytes);
    if (buckets != NULL) {
        table->used_bytes += bytes;
    }
    return buckets;
}

static void give_back(struct table *table, void *memory, size_t bytes) {
    table->used_bytes -= heap_class(bytes);
    heap_free(memory);
}

static void give_back_buckets(struct table *table, struct bucket *buckets, size_t n) {
    give_back(table, buckets, n * sizeof(struct bucket));
}

static void give_back_entry(struct table *table, struct entry *entry) {
    table->used_bytes -= entry_allocated_bytes(entry);
    entry_destroy(entry);
}

/* ---- the memory of the buckets ---- */

static bool resize_directory(struct table *table, size_t capacity) {
    struct bucket **segments = take(table, capacity * sizeof(*segments));
    if (segments == NULL) {
        return false;
    }
    size_t kept = capacity < table->directory_capacity ? capacity : table->directory_capacity;
    memcpy(segments, table->segments, kept * sizeof(*segments));
    give_back(table, table->segments, table->directory_capacity * sizeof(*segments));
    table->segments = segments;
    table->directory_capacity = capacity;
    return true;
}

static bool resize_first_segment(struct table *table, size_t buckets) {
    struct bucket *segment = take_buckets(table, buckets);
    if (segment == NULL) {
        return false;
    }
    size_t kept = buckets < table->first_segment_buckets ? buckets : table->first_segment_buckets;
    memcpy(segment, table->segments[0], kept * sizeof(*segment));
    give_back_buckets(table, table->segments[0], table->first_segment_buckets);
    table->segments[0] = segment;
    table->first_segment_buckets = buckets;
    return true;
}

/* Memory for the bucket after the last. Moves no more than the first segment, and that only while it is short.
 */
static bool provide_bucket(struct table *table) {
    uint64_t index = table->bucket_count;
    if (index < SEGMENT_BUCKETS) {
        return index < table->first_segment_buckets ||
               resize_first_segment(table, table->first_segment_buckets * 2);
    }
    if (index % SEGMENT_BUCKETS != 0) {
        return true;
    }
    size_t segment = index / SEGMENT_BUCKETS;
    if (segment == table->directory_capacity && !resize_directory(table, table->directory_capacity * 2)) {
        return false;
    }
    table->segments[segment] = take_buckets(table, SEGMENT_BUCKETS);
    return table->segments[segment] != NULL;
}

/* After the last bucket has gone: a segment that it was the first of, half of a directory or of a first segment
 * that are three quarters empty. (Without memory for the smaller one, the larger one stays.) */
static void release_behind_last(struct table *table) {
    uint64_t end = table->bucket_count;
    if (end >= SEGMENT_BUCKETS) {
        if (end % SEGMENT_BUCKETS == 0) {
            give_back_buckets(table, table->segments[end / SEGMENT_BUCKETS], SEGMENT_BUCKETS);
            if (table->directory_capacity > LEAST_DIRECTORY &&
                end / SEGMENT_BUCKETS <= table->directory_capacity / 4) {
                resize_directory(table, table->directory_capacity / 2);
            }
        }
    } else if (table->first_segment_buckets > LEAST_BUCKETS && end <= table->first_segment_buckets / 4) {
        resize_first_segment(table, table->first_segment_buckets / 2);
    }
}

static void set_bucket_count(struct table *table, uint64_t count) {
    table->bucket_count = count;
    table->wide_mask = ((uint64_t)2 << (63 - __builtin_clzll(count))) - 1;
    table->grow_above = count * GROW_LOAD;
    table->shrink_below = count > LEAST_BUCKETS ? count * SHRINK_LOAD : 0;
}

/* ---- splitting and merging ---- */

/* Buckets that have been taken out of a chain and may go into another. */
struct spares {
    struct bucket *first;
};

static void spares_push(struct spares *spares, struct bucket *bucket) {
    bucket_set_next(bucket, spares->first);
    spares->first = bucket;
}

static struct bucket *spares_pop(struct spares *spares) {
    struct bucket *bucket = spares->first;
    assert(bucket != NULL);
    spares->first = bucket_next(bucket);
    return bucket;
}

static void spares_free(struct table *table, struct spares *spares) {
    while (spares->first != NULL) {
        give_back_buckets(table, spares_pop(spares), 1);
    }
}

static void append_with_spares(struct chain_end *end, struct spares *spares, const struct bucket *from,
                               unsigned slot) {
    if (chain_end_is_full(end)) {
        chain_extend(end, spares_pop(spares));
    }
    chain_append(end, bucket_entry(from, slot), bucket_tag_at(from, slot), bucket_deadline_at(from, slot));
}

/* Copies a bucket out, so that its own memory is spare before its entries need a place. Returns the next one.
 */
static struct bucket *empty_into_spares(struct bucket *bucket, struct bucket *copy, struct spares *spares) {
    *copy = *bucket;
    spares_push(spares, bucket);
    return bucket_next(copy);
}

/* The next split will want these; it comes some insertions later. */
static void prefetch_next_split(const struct table *table) {
    uint64_t next = table->bucket_count - (scan_mask(table) + 1);
    bucket_prefetch_entries(bucket_at(table, next));
    heap_prefetch(bucket_at(table, next + 1)); /* there is one: next is at most the middle */
}

/* No allocation but the bucket itself: when i of the chained buckets have been read, at most 8 (i + 1) entries
 * want a place, and i buckets are spare, which is enough however the entries divide: chain_extra_buckets(a) +
 * chain_extra_buckets(b) <= chain_extra_buckets(a + b). */
static bool split_bucket(struct table *table) {
    if (!provide_bucket(table)) {
        return false;
    }
    uint64_t high_bit = scan_mask(table) + 1;
    struct bucket *low = bucket_at(table, table->bucket_count - high_bit);
    struct bucket *high = bucket_at(table, table->bucket_count);
    struct bucket copy = *low;
    bucket_prefetch_entries(&copy);
    struct bucket *next = bucket_next(&copy);
    bucket_init(low);
    bucket_init(high);
    struct chain_end ends[2] = {{low, 0}, {high, 0}};
    struct spares spares = {NULL};
    for (;;) {
        unsigned used = bucket_used(&copy);
        for (unsigned slot = 0; slot < used; slot++) {
            uint64_t hash = table_hash(table, entry_key(bucket_entry(&copy, slot)));
            append_with_spares(&ends[(hash & high_bit) != 0], &spares, &copy, slot);
        }
        if (next == NULL) {
            break;
        }
        bucket_prefetch_entries(next);
        next = empty_into_spares(next, &copy, &spares);
    }
    spares_free(table, &spares);
    set_bucket_count(table, table->bucket_count + 1);
    prefetch_next_split(table);
    return true;
}

/* As in a split, a chain's own buckets suffice for all but the entries of its first. */
static bool reserve_for_merge(struct table *table, size_t low_used, size_t high_used, struct spares *spares) {
    size_t moved = high_used < BUCKET_SLOTS ? high_used : BUCKET_SLOTS;
    size_t needed = chain_extra_buckets(low_used + moved) - chain_extra_buckets(low_used);
    for (size_t i = 0; i < needed; i++) {
        struct bucket *bucket = take_buckets(table, 1);
        if (bucket == NULL) {
            spares_free(table, spares);
            return false;
        }
        spares_push(spares, bucket);
    }
    return true;
}

static bool merge_last_bucket(struct table *table) {
    uint64_t last = table->bucket_count - 1;
    uint64_t high_bit = (uint64_t)1 << (63 - __builtin_clzll(last));
    struct bucket *low = bucket_at(table, last - high_bit);
    struct bucket copy = *bucket_at(table, last);
    struct bucket *next = bucket_next(&copy);
    struct spares spares = {NULL};
    if (!reserve_for_merge(table, chain_used(low), chain_used(&copy), &spares)) {
        return false;
    }
    struct chain_end end = chain_find_end(low);
    for (;;) {
        unsigned used = bucket_used(&copy);
        for (unsigned slot = 0; slot < used; slot++) {
            append_with_spares(&end, &spares, &copy, slot);
        }
        if (next == NULL) {
            break;
        }
        next = empty_into_spares(next, &copy, &spares);
    }
    spares_free(table, &spares);
    set_bucket_count(table, last);
    release_behind_last(table);
    return true;
}

/* At most one step after every change of the count. Without memory for it the step is put off: the table goes
 * on with longer chains, or with more buckets than it needs. */
static void settle(struct table *table) {
    if (table->count > table->grow_above) {
        split_bucket(table);
    } else if (table->count < table->shrink_below && table->pins == 0) {
        merge_last_bucket(table);
    }
}

/* ---- create, destroy ---- */

struct table *table_create(const uint8_t secret[16]) {
    struct table *table = heap_alloc(heap_class(sizeof(*table)));
    if (table == NULL) {
        return NULL;
    }
    *table = (struct table){
        .key = siphash_key_from(secret),
        .directory_capacity = LEAST_DIRECTORY,
        .first_segment_buckets = LEAST_BUCKETS,
        .used_bytes = heap_class(sizeof(*table)),
    };
    table->segments = take(table, LEAST_DIRECTORY * sizeof(*table->segments));
    if (table->segments == NULL) {
        goto free_table;
    }
    table->segments[0] = take_buckets(table, LEAST_BUCKETS);
    if (table->segments[0] == NULL) {
        goto free_directory;
    }
    for (size_t i = 0; i < LEAST_BUCKETS; i++) {
        bucket_init(&table->segments[0][i]);
    }
    set_bucket_count(table, LEAST_BUCKETS);
    return table;

free_directory:
    heap_free(table->segments);
free_table:
    heap_free(table);
    return NULL;
}

/* The entries of a bucket and what is chained behind it. Returns how many entries. */
static size_t destroy_chain(struct table *table, struct bucket *first) {
    size_t freed = 0;
    struct bucket *bucket = first, *next;
    do {
        next = bucket_next(bucket);
        bucket_prefetch_entries(bucket);
        unsigned used = bucket_used(bucket);
        for (unsigned slot = 0; slot < used; slot++) {
            give_back_entry(table, bucket_entry(bucket, slot));
        }
        freed += used;
        if (bucket != first) {
            give_back_buckets(table, bucket, 1);
        }
        bucket = next;
    } while (bucket != NULL);
    bucket_init(first);
    table->count -= freed;
    return freed;
}

/* Works down from the last bucket, giving every segment back once it is empty. */
bool table_destroy_slice(struct table **table_at, size_t budget) {
    struct table *table = *table_at;
    if (table == NULL) {
        return true;
    }
    for (size_t spent = 0; table->bucket_count > 0; table->bucket_count--) {
        if (spent >= budget) {
            return false;
        }
        uint64_t last = table->bucket_count - 1;
        spent += 1 + destroy_chain(table, bucket_at(table, last));
        if (last != 0 && last % SEGMENT_BUCKETS == 0) {
            give_back_buckets(table, table->segments[last / SEGMENT_BUCKETS], SEGMENT_BUCKETS);
        }
    }
    give_back_buckets(table, table->segments[0], table->first_segment_buckets);
    give_back(table, table->segments, table->directory_capacity * sizeof(*table->segments));
    assert(table->count == 0 && table->used_bytes == heap_class(sizeof(*table)));
    heap_free(table);
    *table_at = NULL;
    return true;
}

void table_destroy(struct table **table) { table_destroy_slice(table, SIZE_MAX); }

/* ---- find, put, remove ---- */

uint64_t table_hash(const struct table *table, struct slice key) {
    return siphash_1_3(table->key, key.ptr, key.len);
}

void table_prefetch_bucket(const struct table *table, uint64_t hash) { heap_prefetch(bucket_of(table, hash)); }

/* An entry that does not begin with a cache line has its key, or the end of it, in the next one. */
static void prefetch_key(const struct entry *entry) {
    heap_prefetch(entry);
    if ((uintptr_t)entry % HEAP_LINE_BYTES != 0) {
        heap_prefetch((const char *)entry + HEAP_LINE_BYTES - 1);
    }
}

/* The entry of this bucket that will probably match; if none will, the next bucket, which is returned. */
static const struct bucket *prefetch_step(const struct bucket *bucket, uint64_t hash) {
    uint64_t matches = bucket_matches(bucket, bucket_tag(hash));
    if (matches != 0) {
        prefetch_key(bucket_entry(bucket, bucket_first_slot(matches)));
        return NULL;
    }
    const struct bucket *next = bucket_next(bucket);
    heap_prefetch(next); /* harmless when there is none */
    return next;
}

void table_prefetch_entries(const struct table *table, const uint64_t *hashes, size_t n) {
    struct {
        const struct bucket *bucket;
        uint64_t hash;
    } chained[TABLE_PREFETCH_MAX];
    size_t count = 0;
    assert(n <= TABLE_PREFETCH_MAX);
    for (size_t i = 0; i < n; i++) {
        chained[count].bucket = prefetch_step(bucket_of(table, hashes[i]), hashes[i]);
        chained[count].hash = hashes[i];
        count += chained[count].bucket != NULL;
    }
    for (size_t i = 0; i < count; i++) {
        prefetch_step(chained[i].bucket, chained[i].hash);
    }
}

/* memcmp's call costs more than the comparison of a key of ordinary size. */
static inline bool bytes_equal(const char *a, const char *b, size_t n) {
    uint64_t x, y;
    if (n < sizeof(x) || n > 64) {
        return memcmp(a, b, n) == 0;
    }
    for (size_t i = 0; i + sizeof(x) < n; i += sizeof(x)) {
        memcpy(&x, a + i, sizeof(x));
        memcpy(&y, b + i, sizeof(y));
        if (x != y) {
            return false;
        }
    }
    memcpy(&x, a + n - sizeof(x), sizeof(x));
    memcpy(&y, b + n - sizeof(y), sizeof(y));
    return x == y;
}

static inline bool key_is(const struct entry *entry, struct slice key) {
    return entry_key_len(entry) == key.len &&
           (key.len == 0 || bytes_equal((const char *)entry->bytes + entry_key_at(entry), key.ptr, key.len));
}

/* A place is two words, which a function returns in registers. */
static inline struct table_place place_of(struct entry *entry, const struct bucket *bucket, unsigned slot) {
    return (struct table_place){entry, (uintptr_t)bucket | slot};
}
static inline struct bucket *place_bucket(const struct table_place *place) {
    return (struct bucket *)(place->at &
                             ~(uintptr_t)(BUCKET_SLOTS - 1)); /* NOLINT(performance-no-int-to-ptr) */
}
static inline unsigned place_slot(const struct table_place *place) {
    return (unsigned)(place->at & (BUCKET_SLOTS - 1));
}

typedef bool entry_wanted(const struct table *table, const struct entry *entry, const void *what);

/* The first entry with the tag of that hash that is wanted. Inlined with what it calls: this is the hot path.
 */
static inline __attribute__((always_inline)) struct table_place
search(const struct table *table, uint64_t hash, entry_wanted *is_wanted, const void *what) {
    uint64_t tag = bucket_tag(hash);
    for (struct bucket *bucket = bucket_of(table, hash); bucket != NULL; bucket = bucket_next(bucket)) {
        for (uint64_t matches = bucket_matches(bucket, tag); matches != 0; matches &= matches - 1) {
            unsigned slot = bucket_first_slot(matches);
            struct entry *entry = bucket_entry(bucket, slot);
            if (is_wanted(table, entry, what)) {
                return place_of(entry, bucket, slot);
            }
        }
    }
    return (struct table_place){0};
}

static inline bool has_key(const struct table *table, const struct entry *entry, const void *key) {
    (void)table;
    return key_is(entry, *(const struct slice *)key);
}

struct table_place table_find_place(const struct table *table, uint64_t hash, struct slice key) {
    return search(table, hash, has_key, &key);
}

struct entry *table_find(const struct table *table, uint64_t hash, struct slice key) {
    return search(table, hash, has_key, &key).entry;
}

static inline bool has_hash(const struct table *table, const struct entry *entry, const void *hash) {
    return table_hash(table, entry_key(entry)) == *(const uint64_t *)hash;
}

struct entry *table_find_hash(const struct table *table, uint64_t hash) {
    return search(table, hash, has_hash, &hash).entry;
}

/* The entry there has that deadline from now on (0: none). The bucket is written only if it must be: a cache
 * line that stays clean need not go back to memory. */
static inline void note_deadline(struct table *table, const struct table_place *place, int64_t deadline_ms) {
    struct bucket *bucket = place_bucket(place);
    unsigned slot = place_slot(place);
    assert(bucket_entry(bucket, slot) == place->entry); /* nothing has changed since the look-up */
    bool had_deadline = bucket_deadline_at(bucket, slot), has_deadline = deadline_ms != 0;
    if (had_deadline != has_deadline) {
        table->deadline_count += (size_t)has_deadline - (size_t)had_deadline;
        bucket_set_deadline(bucket, slot, has_deadline);
    }
}

/* In the place of the entry that has, or had, old_bytes there is now this one. */
static void note_entry(struct table *table, const struct table_place *place, size_t old_bytes,
                       const struct entry *entry) {
    table->used_bytes += entry_allocated_bytes(entry) - old_bytes;
    bucket_set_entry(place_bucket(place), place_slot(place), entry);
}

bool table_overwrite_in_place(struct table *table, const struct table_place *place,
                              const struct entry_fields *fields) {
    if (!entry_overwrite(place->entry, fields, table->mark)) {
        return false;
    }
    note_deadline(table, place, fields->deadline_ms);
    return true;
}

struct entry *table_succeed(struct table *table, const struct table_place *place,
                            const struct entry_fields *fields) {
    struct entry *entry = entry_create_successor(place->entry, fields, table->mark);
    if (entry != NULL) {
        table_exchange(table, place, entry);
    }
    return entry;
}

struct entry *table_overwrite(struct table *table, const struct table_place *place,
                              const struct entry_fields *fields) {
    if (table_overwrite_in_place(table, place, fields)) {
        return place->entry;
    }
    struct entry *entry = table_succeed(table, place, fields);
    if (entry != NULL) {
        entry_destroy(place->entry);
    }
    return entry;
}

/* Room for one more entry; false: out of memory. */
static inline bool extend_chain(struct table *table, uint64_t hash, struct chain_end *end) {
    *end = chain_find_end(bucket_of(table, hash));
    if (chain_end_is_full(end)) {
        struct bucket *fresh = take_buckets(table, 1);
        if (fresh == NULL) {
            return false;
        }
        chain_extend(end, fresh);
    }
    return true;
}

static inline void append(struct table *table, struct chain_end *end, uint64_t hash, struct entry *entry,
                          bool has_deadline) {
    chain_append(end, entry, bucket_tag(hash), has_deadline);
    table->used_bytes += entry_allocated_bytes(entry);
    table->deadline_count += has_deadline;
    table->count++;
    settle(table);
}

static struct entry *insert(struct table *table, uint64_t hash, struct slice key,
                            const struct entry_fields *fields) {
    struct entry *entry = entry_create(key, fields, table->mark);
    if (entry == NULL) {
        return NULL;
    }
    struct chain_end end;
    if (!extend_chain(table, hash, &end)) {
        entry_destroy(entry);
        return NULL;
    }
    append(table, &end, hash, entry, fields->deadline_ms != 0);
    return entry;
}

struct entry *table_put_reserve(struct table *table, uint64_t hash, struct slice key,
                                struct entry_reserve *reserve, const struct entry_fields *fields) {
    struct table_place place = search(table, hash, has_key, &key);
    struct chain_end end;
    if (place.entry == NULL && !extend_chain(table, hash, &end)) {
        return NULL;
    }
    uint32_t access = place.entry == NULL ? 0 : entry_access(place.entry);
    struct entry *entry = entry_fill(reserve, key, fields, table->mark, access);
    if (place.entry == NULL) {
        append(table, &end, hash, entry, fields->deadline_ms != 0);
    } else {
        table_exchange(table, &place, entry);
        entry_destroy(place.entry);
    }
    return entry;
}

struct entry *table_put(struct table *table, uint64_t hash, struct slice key,
                        const struct entry_fields *fields) {
    struct table_place place = search(table, hash, has_key, &key);
    return place.entry != NULL ? table_overwrite(table, &place, fields) : insert(table, hash, key, fields);
}

void table_exchange(struct table *table, const struct table_place *place, struct entry *entry) {
    note_deadline(table, place, entry_deadline_ms(entry));
    note_entry(table, place, entry_allocated_bytes(place->entry), entry);
}

void table_restore(struct table *table, const struct table_place *place, struct slice image) {
    memcpy(place->entry, image.ptr, image.len);
    note_deadline(table, place, entry_deadline_ms(place->entry));
}

struct entry *table_set_deadline(struct table *table, const struct table_place *place, int64_t deadline_ms) {
    size_t old_bytes = entry_allocated_bytes(place->entry);
    struct entry *entry = entry_set_deadline(place->entry, deadline_ms, table->mark);
    if (entry != NULL) {
        note_deadline(table, place, deadline_ms);
    }
    if (entry != NULL && entry != place->entry) {
        note_entry(table, place, old_bytes, entry);
    }
    return entry;
}

bool table_remove(struct table *table, uint64_t hash, struct slice key) {
    struct table_place place = search(table, hash, has_key, &key);
    if (place.entry == NULL) {
        return false;
    }
    struct bucket *bucket = place_bucket(&place);
    table->deadline_count -= bucket_deadline_at(bucket, place_slot(&place));
    table->count--;
    struct bucket *unneeded = chain_remove(bucket_of(table, hash), bucket, place_slot(&place));
    if (unneeded != NULL) {
        give_back_buckets(table, unneeded, 1);
    }
    give_back_entry(table, place.entry);
    settle(table);
    return true;
}

size_t table_count(const struct table *table) { return table->count; }

size_t table_deadline_count(const struct table *table) { return table->deadline_count; }

size_t table_used_bytes(const struct table *table) { return table->used_bytes; }

void table_set_mark(struct table *table, unsigned mark) {
    assert(mark <= ENTRY_MARK_MAX);
    table->mark = mark;
}

unsigned table_mark(const struct table *table) { return table->mark; }

void table_pin(struct table *table) { table->pins++; }

void table_unpin(struct table *table) {
    assert(table->pins > 0);
    table->pins--;
}
