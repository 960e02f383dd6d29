/* The table against a plain array of what it should hold, with every byte of its memory counted and any
 * allocation made to fail. */
#include "server/store/table.h"

#include "tests/unit/random.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* ---- the heap under the table ---- */

enum { PREFIX_BYTES = 64 };

/* The prefix of an allocation holds its size. */
static size_t heap_live_bytes;
static size_t heap_allowed = SIZE_MAX;         /* allocations until they fail */
static size_t heap_largest_allowed = SIZE_MAX; /* bytes */

static void *counted_alloc(size_t bytes) {
    if (heap_allowed == 0 || bytes > heap_largest_allowed) {
        return NULL;
    }
    heap_allowed -= heap_allowed != SIZE_MAX;
    void *memory;
    if (posix_memalign(&memory, PREFIX_BYTES, PREFIX_BYTES + bytes) != 0) {
        abort();
    }
    *(size_t *)memory = bytes;
    memset((char *)memory + PREFIX_BYTES, 0xa5, bytes);
    heap_live_bytes += bytes;
    return (char *)memory + PREFIX_BYTES;
}

void *heap_alloc(size_t bytes) { return counted_alloc(bytes); }

void *heap_alloc_lines(size_t bytes) { return counted_alloc(bytes); }

void heap_free(void *memory) {
    if (memory != NULL) {
        void *start = (char *)memory - PREFIX_BYTES;
        heap_live_bytes -= *(size_t *)start;
        free(start);
    }
}

static int heap_start(void **state) {
    (void)state;
    heap_live_bytes = 0;
    heap_allowed = heap_largest_allowed = SIZE_MAX;
    return 0;
}

static void assert_heap_is_empty(void) { assert_int_equal(heap_live_bytes, 0); }

/* ---- the model ---- */

enum { KEYS = 3000, KEY_MAX = 40, VALUE_MAX = 200 };

struct item {
    bool present;
    unsigned visits;
    unsigned mark;
    uint64_t value_seed;
    struct entry_fields fields; /* value.ptr is not used */
};

struct model {
    struct table *table;
    struct random random;
    size_t count;
    size_t deadlines;
    struct item items[KEYS];
};

/* A key's bytes hold its number, some of them NUL; length 4 to KEY_MAX. */
static struct slice key_of(size_t number, char room[KEY_MAX]) {
    uint32_t id = (uint32_t)number;
    memset(room, 'k', KEY_MAX);
    memcpy(room, &id, sizeof(id));
    return slice_of(room, 4 + number % (KEY_MAX - 3));
}

static size_t number_of(const struct entry *entry) {
    uint32_t id;
    assert_true(entry_key(entry).len >= sizeof(id));
    memcpy(&id, entry_key(entry).ptr, sizeof(id));
    return id;
}

static struct slice value_of(uint64_t seed, size_t len, char room[VALUE_MAX]) {
    struct random random = {seed};
    random_bytes(&random, room, len);
    return slice_of(room, len);
}

static struct table *create(void) {
    static const uint8_t secret[16] = "a secret for all";
    struct table *table = table_create(secret);
    assert_non_null(table);
    return table;
}

static struct entry *find(const struct table *table, size_t number) {
    char room[KEY_MAX];
    struct slice key = key_of(number, room);
    return table_find(table, table_hash(table, key), key);
}

static struct table_place find_place(const struct table *table, struct slice key) {
    return table_find_place(table, table_hash(table, key), key);
}

static struct entry *put(struct table *table, size_t number) {
    char room[KEY_MAX];
    struct slice key = key_of(number, room);
    struct entry_fields fields = {.value = SLICE("value"), .version = 1};
    return table_put(table, table_hash(table, key), key, &fields);
}

static bool take_out(struct table *table, size_t number) {
    char room[KEY_MAX];
    struct slice key = key_of(number, room);
    return table_remove(table, table_hash(table, key), key);
}

static struct model *model_create(const char *test) {
    struct model *model = calloc(1, sizeof(*model));
    assert_non_null(model);
    model->table = create();
    model->random = random_start(test);
    return model;
}

static void model_destroy(struct model *model) {
    table_destroy(&model->table);
    assert_null(model->table);
    free(model);
    assert_heap_is_empty();
}

static int64_t random_deadline(struct model *model) {
    return random_below(&model->random, 3) > 0 ? 0 : 1 + (int64_t)(random_u64(&model->random) >> 17);
}

static void model_put(struct model *model, size_t number) {
    struct item *item = &model->items[number];
    char key_room[KEY_MAX], value_room[VALUE_MAX];
    struct slice key = key_of(number, key_room);
    uint64_t seed = random_u64(&model->random);
    struct entry_fields fields = {
        .value = value_of(seed, random_below(&model->random, VALUE_MAX), value_room),
        .version = random_magnitude(&model->random),
        .timestamp_ms = (int64_t)(random_u64(&model->random) >> 16),
        .deadline_ms = random_deadline(model),
    };
    unsigned mark = (unsigned)random_below(&model->random, 16);
    table_set_mark(model->table, mark);
    uint64_t hash = table_hash(model->table, key);
    struct table_place place = table_find_place(model->table, hash, key);
    struct entry *entry = place.entry == NULL || random_below(&model->random, 2) == 0
                              ? table_put(model->table, hash, key, &fields)
                              : table_overwrite(model->table, &place, &fields);
    if (entry == NULL) {
        return;
    }
    model->count += !item->present;
    model->deadlines -= item->present && item->fields.deadline_ms != 0;
    model->deadlines += fields.deadline_ms != 0;
    *item = (struct item){.present = true, .mark = mark, .value_seed = seed, .fields = fields};
}

static void model_set_deadline(struct model *model, size_t number) {
    struct item *item = &model->items[number];
    char room[KEY_MAX];
    struct table_place place = find_place(model->table, key_of(number, room));
    if (place.entry == NULL) {
        return;
    }
    int64_t deadline_ms = random_deadline(model);
    unsigned mark = (unsigned)random_below(&model->random, 16);
    table_set_mark(model->table, mark);
    struct entry *entry = table_set_deadline(model->table, &place, deadline_ms);
    if (entry == NULL) {
        return;
    }
    assert_ptr_equal(entry, find(model->table, number));
    model->deadlines += (size_t)(deadline_ms != 0) - (size_t)(item->fields.deadline_ms != 0);
    item->fields.deadline_ms = deadline_ms;
    item->mark = mark;
}

static void model_remove(struct model *model, size_t number) {
    struct item *item = &model->items[number];
    assert_int_equal(take_out(model->table, number), item->present);
    model->count -= item->present;
    model->deadlines -= item->present && item->fields.deadline_ms != 0;
    item->present = false;
}

static void model_check_key(const struct model *model, size_t number) {
    const struct item *item = &model->items[number];
    const struct entry *entry = find(model->table, number);
    assert_int_equal(entry != NULL, item->present);
    if (entry == NULL) {
        return;
    }
    char room[VALUE_MAX];
    assert_true(slice_equals(entry_value(entry), value_of(item->value_seed, item->fields.value.len, room)));
    assert_int_equal(entry_version(entry), item->fields.version);
    assert_int_equal(entry_timestamp_ms(entry), item->fields.timestamp_ms);
    assert_int_equal(entry_deadline_ms(entry), item->fields.deadline_ms);
    assert_int_equal(entry_mark(entry), item->mark);
}

static void model_check_counts(const struct model *model) {
    assert_int_equal(table_count(model->table), model->count);
    assert_int_equal(table_deadline_count(model->table), model->deadlines);
    assert_int_equal(table_used_bytes(model->table), heap_live_bytes);
}

static void count_visit(void *context, struct entry *entry) {
    struct model *model = context;
    size_t number = number_of(entry);
    assert_true(number < KEYS);
    assert_true(model->items[number].present);
    model->items[number].visits++;
}

typedef uint64_t scan(const struct table *table, uint64_t cursor, table_visit *visit, void *context);

/* A whole scan of a table that nobody changes. */
static void model_scan(struct model *model, scan *step) {
    for (size_t i = 0; i < KEYS; i++) {
        model->items[i].visits = 0;
    }
    uint64_t cursor = 0;
    do {
        cursor = step(model->table, cursor, count_visit, model);
    } while (cursor != 0);
}

static void model_check(struct model *model) {
    model_check_counts(model);
    for (size_t i = 0; i < KEYS; i++) {
        model_check_key(model, i);
    }
    model_scan(model, table_scan);
    for (size_t i = 0; i < KEYS; i++) {
        assert_int_equal(model->items[i].visits, model->items[i].present);
    }
    model_scan(model, table_scan_deadlines);
    for (size_t i = 0; i < KEYS; i++) {
        const struct item *item = &model->items[i];
        assert_int_equal(item->visits, item->present && item->fields.deadline_ms != 0);
    }
}

/* Insertions prevail, or removals, so that the table grows and shrinks. */
static void model_step(struct model *model, unsigned percent_put) {
    size_t number = random_below(&model->random, KEYS);
    size_t drawn = random_below(&model->random, 100);
    if (drawn < 10) {
        model_set_deadline(model, number);
    } else if (random_below(&model->random, 100) < percent_put) {
        model_put(model, number);
    } else {
        model_remove(model, number);
    }
    model_check_key(model, number);
    model_check_counts(model);
}

/* ---- tests ---- */

static void an_empty_table_is_small(void **state) {
    (void)state;
    struct table *table = create();
    assert_int_equal(table_count(table), 0);
    assert_null(find(table, 1));
    assert_false(take_out(table, 1));
    assert_int_equal(table_used_bytes(table), heap_live_bytes);
    assert_true(table_used_bytes(table) < 2048);
    struct entry *sample[4];
    assert_int_equal(table_sample(table, 1, sample, 4), 0);
    table_destroy(&table);
    table_destroy(&table);
    assert_heap_is_empty();
}

static void behaves_like_a_map(void **state) {
    (void)state;
    struct model *model = model_create("behaves_like_a_map");
    for (size_t round = 0; round < 8; round++) {
        for (size_t i = 0; i < 10000; i++) {
            model_step(model, round % 2 == 0 ? 80 : 10);
        }
        model_check(model);
    }
    model_destroy(model);
}

/* A third of all allocations fail: what the table then says it has not done, it has not done. */
static void a_failed_allocation_changes_nothing(void **state) {
    (void)state;
    struct model *model = model_create("a_failed_allocation_changes_nothing");
    for (size_t round = 0; round < 8; round++) {
        for (size_t i = 0; i < 5000; i++) {
            heap_allowed = random_below(&model->random, 3);
            model_step(model, round % 2 == 0 ? 80 : 10);
        }
        heap_allowed = SIZE_MAX;
        model_check(model);
    }
    model_destroy(model);
}

static void every_allocation_of_a_put_may_fail(void **state) {
    (void)state;
    struct table *table = create();
    size_t failed = 0;
    for (size_t i = 0; i < 2000; i++) {
        heap_allowed = 0;
        assert_null(put(table, i));
        assert_null(find(table, i));
        assert_int_equal(table_used_bytes(table), heap_live_bytes);
        heap_allowed = 1; /* the entry is there, another bucket for it, or for the split, is not */
        if (put(table, i) == NULL) {
            failed++;
            assert_null(find(table, i));
            assert_int_equal(table_used_bytes(table), heap_live_bytes);
            heap_allowed = SIZE_MAX;
            assert_non_null(put(table, i));
        }
        assert_int_equal(table_count(table), i + 1);
    }
    assert_true(failed > 20);
    heap_allowed = SIZE_MAX;
    table_destroy(&table);
    assert_heap_is_empty();
}

/* Inserts 500 keys, then overwrites them; memory fails now and then. */
static void takes_a_reserve_or_leaves_it(void **state) {
    (void)state;
    enum { RESERVES = 500 };
    struct table *table = create();
    size_t failed = 0, put = 0;
    for (size_t i = 0; i < 2 * (size_t)RESERVES; i++) {
        char room[KEY_MAX];
        struct slice key = key_of(i % RESERVES, room);
        struct entry_reserve reserve;
        assert_true(entry_reserve(&reserve, key.len, ENTRY_LENDABLE_BYTES + i));
        memset((char *)reserve.value.ptr, (int)i, reserve.value.len);
        struct entry_fields fields = {
            .value = reserve.value, .version = i + 1, .deadline_ms = i % 3 == 0 ? 5 : 0};
        struct entry *reserved = reserve.entry;
        heap_allowed = i % 2;
        struct entry *entry = table_put_reserve(table, table_hash(table, key), key, &reserve, &fields);
        heap_allowed = SIZE_MAX;
        if (entry == NULL) {
            failed++;
            assert_ptr_equal(reserve.entry, reserved);
            entry_reserve_deinit(&reserve);
        } else {
            put++;
            assert_null(reserve.entry);
            assert_ptr_equal(entry, reserved);
            assert_ptr_equal(find(table, i % RESERVES), entry);
            assert_int_equal(entry_version(entry), i + 1);
        }
        assert_int_equal(heap_live_bytes, table_used_bytes(table));
    }
    assert_true(failed > 0 && put > RESERVES);
    size_t count = table_count(table), deadlines = table_deadline_count(table);
    assert_true(count <= RESERVES && deadlines > RESERVES / 4 && deadlines < count);
    table_destroy(&table);
    assert_heap_is_empty();
}

static void a_table_is_created_wholly_or_not_at_all(void **state) {
    (void)state;
    static const uint8_t secret[16];
    size_t allowed = 0;
    struct table *table;
    for (; heap_allowed = allowed, (table = table_create(secret)) == NULL; allowed++) {
        assert_int_equal(heap_live_bytes, 0);
        assert_true(allowed < 10);
    }
    assert_true(allowed > 0);
    table_destroy(&table);
    assert_heap_is_empty();
}

static size_t bucket_bytes(const struct table *table, size_t entries) {
    return table_used_bytes(table) - entries * entry_allocated_bytes(find(table, 0));
}

/* Without memory for buckets the chains get long; with memory again they are split one by one. */
static void resizing_is_put_off_and_made_up_for(void **state) {
    (void)state;
    enum { FEW = 2000, MANY = 40000 };
    struct table *table = create(), *never_short = create();
    heap_largest_allowed = 64; /* an entry, a chained bucket */
    for (size_t i = 0; i < MANY; i++) {
        assert_non_null(put(table, i * 37));
        if (i == FEW) {
            heap_largest_allowed = SIZE_MAX;
        }
        assert_non_null(put(never_short, i * 37));
    }
    for (size_t i = 0; i < MANY; i++) {
        assert_non_null(find(table, i * 37));
    }
    assert_int_equal(bucket_bytes(table, MANY), bucket_bytes(never_short, MANY));
    table_destroy(&table);
    table_destroy(&never_short);
    assert_heap_is_empty();
}

static void grows_to_a_million_and_back_to_nothing(void **state) {
    (void)state;
    enum { MILLION = 1000000 };
    struct table *table = create();
    size_t empty_bytes = table_used_bytes(table);
    char room[32];
    struct entry_fields fields = {.value = SLICE("0123456789abcdef0123456789abcdef"), .version = 1};
    for (unsigned i = 0; i < MILLION; i++) {
        snprintf(room, sizeof(room), "key:%011u", i);
        struct slice key = slice_of(room, 15);
        if (table_put(table, table_hash(table, key), key, &fields) == NULL) {
            fail();
        }
    }
    assert_int_equal(table_count(table), MILLION);
    assert_int_equal(table_used_bytes(table), heap_live_bytes);
    assert_true(table_used_bytes(table) <= (size_t)78 * MILLION); /* and the allocator has 2 for itself */
    for (unsigned i = 0; i < MILLION; i++) {
        snprintf(room, sizeof(room), "key:%011u", i);
        struct slice key = slice_of(room, 15);
        uint64_t hash = table_hash(table, key);
        if (table_find(table, hash, key) == NULL || !table_remove(table, hash, key)) {
            fail();
        }
    }
    assert_int_equal(table_count(table), 0);
    assert_int_equal(table_used_bytes(table), heap_live_bytes);
    assert_true(table_used_bytes(table) <= 4 * empty_bytes);
    table_destroy(&table);
    assert_heap_is_empty();
}

/* ---- scans ---- */

static bool stays(size_t number) { return number % 3 == 0; }

/* Between the calls of a scan many keys come and go; every third key stays, and is visited. */
static void scan_while_changing(struct model *model, bool growing, bool pinned) {
    for (size_t i = 0; i < KEYS; i++) {
        model->items[i].visits = 0;
        if (stays(i)) {
            model_put(model, i);
        } else if (growing == model->items[i].present) {
            growing ? model_remove(model, i) : model_put(model, i);
        }
    }
    size_t changes = 1 + random_below(&model->random, 200);
    unsigned percent_put = growing ? 90 : 5;
    uint64_t cursor = 0;
    do {
        cursor = table_scan(model->table, cursor, count_visit, model);
        for (size_t i = 0; i < changes; i++) {
            size_t number = random_below(&model->random, KEYS);
            if (stays(number)) {
                continue;
            }
            unsigned visits = model->items[number].visits;
            random_below(&model->random, 100) < percent_put ? model_put(model, number)
                                                            : model_remove(model, number);
            model->items[number].visits = visits;
        }
    } while (cursor != 0);
    for (size_t i = 0; i < KEYS; i += 3) {
        assert_true(model->items[i].visits >= 1);
        assert_true(!pinned || model->items[i].visits == 1);
    }
}

static void a_scan_misses_no_key_that_stays(void **state) {
    (void)state;
    struct model *model = model_create("a_scan_misses_no_key_that_stays");
    for (size_t round = 0; round < 150; round++) {
        scan_while_changing(model, round % 2 == 0, false);
    }
    model_destroy(model);
}

static void a_pinned_scan_visits_each_key_once(void **state) {
    (void)state;
    struct model *model = model_create("a_pinned_scan_visits_each_key_once");
    for (size_t round = 0; round < 150; round++) {
        table_pin(model->table);
        scan_while_changing(model, random_below(&model->random, 2) == 0, true);
        table_unpin(model->table);
    }
    model_destroy(model);
}

static void a_foreign_cursor_does_no_harm(void **state) {
    (void)state;
    struct model *model = model_create("a_foreign_cursor_does_no_harm");
    for (size_t i = 0; i < KEYS; i++) {
        model_put(model, i);
    }
    for (size_t i = 0; i < 10000; i++) {
        uint64_t next = table_scan(model->table, random_magnitude(&model->random), count_visit, model);
        assert_true(next < KEYS);
    }
    model_destroy(model);
}

static void a_pinned_table_does_not_shrink(void **state) {
    (void)state;
    enum { MANY = 20000 };
    struct table *table = create();
    for (size_t i = 0; i < MANY; i++) {
        assert_non_null(put(table, i));
    }
    table_pin(table);
    table_pin(table);
    table_unpin(table);
    for (size_t i = 100; i < MANY; i++) {
        assert_true(take_out(table, i));
    }
    assert_true(table_used_bytes(table) > (size_t)MANY / 8 * 64);
    struct entry *sample[3];
    assert_true(table_sample(table, 1, sample, 3) <= 3);
    table_unpin(table);
    /* Every change from now on merges a bucket. */
    for (size_t i = 0; i < MANY; i++) {
        assert_non_null(put(table, 100));
        assert_true(take_out(table, 100));
    }
    assert_true(table_used_bytes(table) < 20000);
    assert_int_equal(table_used_bytes(table), heap_live_bytes);
    table_destroy(&table);
    assert_heap_is_empty();
}

/* ---- samples ---- */

/* Are the draws as even as those of a fair die? Chi squared over its degrees of freedom is 1 on average then,
 * and off it by the root of 2 / keys; the keys of one sample are neighbours, which makes draws of n at a time n
 * times as clumsy. */
static bool is_even(struct table *table, size_t keys, size_t draws, size_t n, struct random *random) {
    size_t *drawn = calloc(keys, sizeof(*drawn));
    assert_non_null(drawn);
    size_t total = 0;
    for (size_t i = 0; i < draws; i++) {
        struct entry *sample[16];
        size_t got = table_sample(table, random_u64(random), sample, n);
        assert_true(got <= n && (got == n || keys < n));
        for (size_t j = 0; j < got; j++) {
            for (size_t k = 0; k < j; k++) {
                assert_ptr_not_equal(sample[j], sample[k]);
            }
            drawn[number_of(sample[j])]++;
        }
        total += got;
    }
    double expected = (double)total / (double)keys, sum = 0;
    for (size_t i = 0; i < keys; i++) {
        double off = (double)drawn[i] - expected;
        sum += off * off / expected;
    }
    free(drawn);
    double freedom = (double)(keys > 1 ? keys - 1 : 1), off = sum / freedom - 1;
    return off < 0 || off * off < 400 * 2 * (double)n / freedom;
}

/* At several points between two doublings, where some buckets are split and some are not. */
static void every_key_is_as_likely_in_a_sample(void **state) {
    (void)state;
    struct random random = random_start("every_key_is_as_likely_in_a_sample");
    const size_t counts[] = {700, 1600, 3100, 4000, 5000, 6100};
    for (size_t i = 0; i < sizeof(counts) / sizeof(*counts); i++) {
        struct table *table = create();
        for (size_t k = 0; k < counts[i]; k++) {
            assert_non_null(put(table, k));
        }
        assert_true(is_even(table, counts[i], counts[i] * 20, 1, &random));
        assert_true(is_even(table, counts[i], counts[i] * 10, 5, &random));
        table_destroy(&table);
    }
    assert_heap_is_empty();
}

static void a_sample_of_a_small_table_is_found(void **state) {
    (void)state;
    struct random random = random_start("a_sample_of_a_small_table_is_found");
    for (size_t keys = 1; keys < 40; keys++) {
        struct table *table = create();
        for (size_t k = 0; k < keys; k++) {
            assert_non_null(put(table, k));
        }
        assert_true(is_even(table, keys, keys * 200, 1, &random));
        struct entry *sample[64];
        assert_int_equal(table_sample(table, random_u64(&random), sample, 64), keys);
        table_destroy(&table);
    }
    assert_heap_is_empty();
}

/* Every key, or every key with a deadline, comes up once a round, whatever the number of buckets. */
static void the_next_samples_go_all_around(void **state) {
    (void)state;
    const size_t counts[] = {1, 40, 700, 1600, 5000, 6100};
    for (size_t i = 0; i < 2 * sizeof(counts) / sizeof(*counts); i++) {
        size_t keys = counts[i / 2], wanted = 0, met = 0;
        bool with_deadline = i % 2 == 1;
        struct table *table = create();
        for (size_t k = 0; k < keys; k++) {
            assert_non_null(put(table, k));
            char room[KEY_MAX];
            struct table_place place = find_place(table, key_of(k, room));
            bool has_deadline = k % 37 == 0;
            assert_non_null(table_set_deadline(table, &place, has_deadline ? 99 : 0));
            wanted += has_deadline || !with_deadline;
        }
        uint8_t *seen = calloc(keys, 1);
        uint64_t hand = 12345;
        for (size_t calls = 0; met < wanted; calls++) {
            struct entry *sample[64];
            size_t got = table_sample_next(table, &hand, with_deadline, 5, sample, 64);
            size_t fresh = 0;
            for (size_t j = 0; j < got; j++) {
                size_t number = number_of(sample[j]);
                assert_true(number % 37 == 0 || !with_deadline);
                fresh += seen[number]++ == 0;
            }
            met += fresh;
            assert_true(fresh == got || met == wanted); /* the last call may begin the next round */
            assert_true(calls < 2000);
        }
        assert_int_equal(met, wanted);
        free(seen);
        table_destroy(&table);
    }
    assert_heap_is_empty();
}

static void a_hash_finds_its_entry(void **state) {
    (void)state;
    struct table *table = create();
    for (size_t k = 0; k < 3000; k++) {
        assert_non_null(put(table, k));
    }
    for (size_t k = 0; k < 4000; k++) {
        char room[KEY_MAX];
        uint64_t hash = table_hash(table, key_of(k, room));
        assert_ptr_equal(table_find_hash(table, hash), find(table, k));
    }
    table_destroy(&table);
    assert_heap_is_empty();
}

/* ---- entries and their neighbours ---- */

static void a_key_and_value_may_be_those_of_the_entry(void **state) {
    (void)state;
    struct table *table = create();
    struct entry *entry = put(table, 7);
    struct slice key = entry_key(entry);
    uint64_t hash = table_hash(table, key);
    struct entry_fields fields = {
        .value = slice_skip(entry_value(entry), 2), .version = 70000, .deadline_ms = 9};
    entry = table_put(table, hash, key, &fields);
    assert_int_equal(table_count(table), 1);
    assert_ptr_equal(entry, find(table, 7));
    assert_true(slice_equals(entry_value(entry), SLICE("lue")));
    assert_true(table_remove(table, hash, entry_key(entry)));
    assert_int_equal(table_count(table), 0);
    table_destroy(&table);
    assert_heap_is_empty();
}

static void finds_only_the_whole_key(void **state) {
    (void)state;
    struct table *table = create();
    char room[200];
    memset(room, 'x', sizeof(room));
    struct entry_fields fields = {.value = SLICE("v"), .version = 1};
    const uint64_t same_hash = 0x1234; /* whatever the hash is: only the key decides */
    for (size_t len = 0; len < sizeof(room); len++) {
        assert_non_null(table_put(table, same_hash, slice_of(room, len), &fields));
        assert_int_equal(table_count(table), 1);
        for (size_t i = 0; i < len; i++) {
            room[i] ^= 1;
            assert_null(table_find(table, same_hash, slice_of(room, len)));
            room[i] ^= 1;
        }
        assert_null(table_find(table, same_hash, slice_of(room, len + 1)));
        assert_true(table_remove(table, same_hash, slice_of(room, len)));
    }
    assert_non_null(table_put(table, same_hash, slice_of(NULL, 0), &fields));
    assert_non_null(table_find(table, same_hash, SLICE("")));
    table_destroy(&table);
    assert_heap_is_empty();
}

static void prefetching_changes_nothing(void **state) {
    (void)state;
    struct model *model = model_create("prefetching_changes_nothing");
    for (size_t i = 0; i < KEYS; i++) {
        if (i % 2 == 0) {
            model_put(model, i);
        }
    }
    uint64_t hashes[TABLE_PREFETCH_MAX];
    for (size_t i = 0; i < KEYS; i++) {
        char room[KEY_MAX];
        size_t n = i % TABLE_PREFETCH_MAX;
        hashes[n] = table_hash(model->table, key_of(i, room));
        table_prefetch_bucket(model->table, hashes[n]);
        table_prefetch_entries(model->table, hashes, n + 1);
    }
    model_check(model);
    model_destroy(model);
}

static void destroys_in_slices(void **state) {
    (void)state;
    enum { MANY = 100000, BUDGET = 100 };
    struct table *table = create();
    for (size_t i = 0; i < MANY; i++) {
        assert_non_null(put(table, i));
    }
    size_t slices = 0;
    for (; !table_destroy_slice(&table, BUDGET); slices++) {
        assert_int_equal(table_used_bytes(table), heap_live_bytes);
    }
    assert_null(table);
    assert_in_range(slices, MANY / BUDGET / 2, MANY / BUDGET * 2);
    assert_true(table_destroy_slice(&table, BUDGET));
    assert_heap_is_empty();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(an_empty_table_is_small, heap_start),
        cmocka_unit_test_setup(behaves_like_a_map, heap_start),
        cmocka_unit_test_setup(a_failed_allocation_changes_nothing, heap_start),
        cmocka_unit_test_setup(every_allocation_of_a_put_may_fail, heap_start),
        cmocka_unit_test_setup(takes_a_reserve_or_leaves_it, heap_start),
        cmocka_unit_test_setup(a_table_is_created_wholly_or_not_at_all, heap_start),
        cmocka_unit_test_setup(resizing_is_put_off_and_made_up_for, heap_start),
        cmocka_unit_test_setup(grows_to_a_million_and_back_to_nothing, heap_start),
        cmocka_unit_test_setup(a_scan_misses_no_key_that_stays, heap_start),
        cmocka_unit_test_setup(a_pinned_scan_visits_each_key_once, heap_start),
        cmocka_unit_test_setup(a_foreign_cursor_does_no_harm, heap_start),
        cmocka_unit_test_setup(a_pinned_table_does_not_shrink, heap_start),
        cmocka_unit_test_setup(every_key_is_as_likely_in_a_sample, heap_start),
        cmocka_unit_test_setup(a_sample_of_a_small_table_is_found, heap_start),
        cmocka_unit_test_setup(the_next_samples_go_all_around, heap_start),
        cmocka_unit_test_setup(a_hash_finds_its_entry, heap_start),
        cmocka_unit_test_setup(a_key_and_value_may_be_those_of_the_entry, heap_start),
        cmocka_unit_test_setup(finds_only_the_whole_key, heap_start),
        cmocka_unit_test_setup(prefetching_changes_nothing, heap_start),
        cmocka_unit_test_setup(destroys_in_slices, heap_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
