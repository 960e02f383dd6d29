/* What goes when memory runs out, policy by policy; what entries remember of their use; who may not evict, how
 * much is done at once, and what the history says of it. */
#include "tests/unit/keyspace_fixture.h"
#include "tests/unit/random.h"

#include <stdio.h>

enum { KEYS = 4000, MINUTE_MS = 60000, DAY_MS = 24 * 60 * MINUTE_MS };
#define FAR_MS ((int64_t)DAY_MS * 365)

/* --- Short forms --- */

struct name {
    char text[32];
};

static struct name name_of(const char *group, int i) {
    struct name name;
    snprintf(name.text, sizeof(name.text), "%s:%07d", group, i);
    return name;
}

static struct key key_of(struct fixture *f, const char *name) {
    return keyspace_key(f->keyspace, slice_from_text(name));
}

/* ttl_ms 0: no deadline. */
static void set(struct fixture *f, const char *name, int64_t ttl_ms) {
    struct key key = key_of(f, name);
    struct keyspace_set set = {.value = SLICE("0123456789abcdef0123456789abcdef")};
    if (ttl_ms != 0) {
        set.deadline = KEYSPACE_DEADLINE_SET;
        set.deadline_ms = keyspace_now_ms(f->keyspace) + ttl_ms;
    }
    assert_int_equal(keyspace_set(f->keyspace, &key, &set, NULL), ERR_NONE);
}

static const struct entry *peek(struct fixture *f, const char *name) {
    struct key key = key_of(f, name);
    return keyspace_find(f->keyspace, &key, KEYSPACE_QUIETLY);
}

static void read_key(struct fixture *f, const char *name) {
    struct key key = key_of(f, name);
    assert_non_null(keyspace_find(f->keyspace, &key, KEYSPACE_READ));
}

static int survivors(struct fixture *f, const char *group, int n) {
    int there = 0;
    for (int i = 0; i < n; i++) {
        there += peek(f, name_of(group, i).text) != NULL;
    }
    return there;
}

static bool over_limit(const struct fixture *f) {
    return keyspace_used_bytes(f->keyspace) > keyspace_maxmemory_bytes(f->keyspace);
}

/* Runs the loop until the limit holds. */
static bool within_limit(void *fixture) { return !over_limit(fixture); }

static void run_until_within_limit(struct fixture *f) {
    assert_true(loop_fixture_until(f->loop, within_limit, f));
}

/* --- What an entry remembers --- */

static void distances_are_rounded_by_little_and_never_towards_zero(void **state) {
    (void)state;
    struct random random = random_start("distances");
    for (int i = 0; i < 200000; i++) {
        int64_t ms = (int64_t)(random_magnitude(&random) >> 16);
        int64_t again = eviction_decode_distance(eviction_encode_distance(ms));
        assert_true(again >= ms);
        assert_true(again - ms <= ms >> EVICTION_MANTISSA_BITS);
        assert_int_equal(eviction_decode_distance(eviction_encode_distance(-ms)), -again);
        assert_true(eviction_encode_distance(-ms) < 1U << 24);
    }
    assert_int_equal(eviction_encode_distance(0), 0);
}

static void an_entry_is_idle_since_it_was_last_used(void **state) {
    struct fixture *f = *state;
    set(f, "a", 0);
    assert_true(keyspace_idle_ms(f->keyspace, peek(f, "a")) < 100);
    struct key a = key_of(f, "a");
    const int64_t idle_ms[] = {1000, 3600 * 1000, (int64_t)40 * DAY_MS};
    for (size_t i = 0; i < 3; i++) {
        assert_true(keyspace_set_idle_ms(f->keyspace, &a, idle_ms[i]));
        int64_t told_ms = keyspace_idle_ms(f->keyspace, peek(f, "a"));
        assert_in_range(told_ms, idle_ms[i], idle_ms[i] + (idle_ms[i] >> 18) + 100);
    }
    read_key(f, "a");
    assert_true(keyspace_idle_ms(f->keyspace, peek(f, "a")) < 100);
    assert_true(keyspace_set_idle_ms(f->keyspace, &a, 5000));
    set(f, "a", 0);
    assert_true(keyspace_idle_ms(f->keyspace, peek(f, "a")) < 100);
    struct key none = key_of(f, "none");
    assert_false(keyspace_set_idle_ms(f->keyspace, &none, 1));
    assert_false(keyspace_set_frequency(f->keyspace, &none, 1));
}

static void a_read_that_is_no_use_changes_nothing(void **state) {
    struct fixture *f = *state;
    set(f, "a", 0);
    struct key a = key_of(f, "a");
    keyspace_set_idle_ms(f->keyspace, &a, 5000);
    assert_true(keyspace_set_touching(f->keyspace, false));
    read_key(f, "a");
    assert_true(keyspace_idle_ms(f->keyspace, peek(f, "a")) >= 5000);
    assert_false(keyspace_set_touching(f->keyspace, true));
    read_key(f, "a");
    assert_true(keyspace_idle_ms(f->keyspace, peek(f, "a")) < 100);
}

static struct entry *entry_written_at(int64_t timestamp_ms) {
    struct entry_fields fields = {.value = SLICE("v"), .version = 1, .timestamp_ms = timestamp_ms};
    struct entry *entry = entry_create(SLICE("k"), &fields, 0);
    assert_non_null(entry);
    return entry;
}

static void a_use_of_an_old_entry_makes_it_young(void **state) {
    (void)state;
    struct eviction eviction;
    eviction_init(&eviction, 1);
    const int64_t written_ms = 1700000000000;
    struct entry *entry = entry_written_at(written_ms);
    for (int64_t age_ms = 1; age_ms < (int64_t)20 * 365 * DAY_MS; age_ms = age_ms * 3 + 7) {
        int64_t now_ms = written_ms + age_ms;
        entry_set_access(entry, 0);
        assert_int_equal(eviction_idle_ms(entry, now_ms), age_ms);
        eviction_touch(&eviction, entry, now_ms);
        assert_int_equal(eviction_idle_ms(entry, now_ms), 0);
        int64_t later_ms = now_ms + age_ms / 10 + 1000;
        int64_t idle_ms = eviction_idle_ms(entry, later_ms), wanted_ms = later_ms - now_ms;
        assert_in_range(idle_ms, wanted_ms - EVICTION_TOUCH_MS - (age_ms >> 17), wanted_ms);
    }
    entry_destroy(entry);
}

/* Bits that a counter has left, or a clock that was set back. */
static void a_use_in_the_future_is_none(void **state) {
    (void)state;
    const int64_t now_ms = 1700000000000;
    struct entry *entry = entry_written_at(now_ms - 5000);
    entry_set_access(entry, eviction_encode_distance(FAR_MS));
    assert_int_equal(eviction_idle_ms(entry, now_ms), 5000);
    entry_destroy(entry);
}

static void a_key_that_is_read_all_the_time_is_stored_to_now_and_then(void **state) {
    (void)state;
    struct eviction eviction;
    eviction_init(&eviction, 1);
    const int64_t written_ms = 1700000000000;
    struct entry *entry = entry_written_at(written_ms);
    int stores = 0;
    for (int64_t ms = 0; ms < 6400; ms++) {
        uint32_t before = entry_access(entry);
        eviction_touch(&eviction, entry, written_ms + ms);
        stores += entry_access(entry) != before;
    }
    assert_in_range(stores, 100, 101);
    entry_destroy(entry);
}

/* Redis's own table for lfu-log-factor 10: 100 hits make 10, 1000 make 18, 100,000 make 142. */
static void a_counter_rises_with_the_logarithm_of_the_uses(void **state) {
    (void)state;
    static const struct {
        int uses;
        unsigned least, most;
    } rows[] = {{100, 7, 15}, {1000, 12, 27}, {100000, 110, 175}, {4000000, 255, 255}};
    struct eviction eviction;
    struct random random = random_start("counters");
    eviction_init(&eviction, random_u64(&random));
    eviction_set_policy(&eviction, EVICTION_ALLKEYS_LFU);
    const int64_t now_ms = 1700000000000;
    for (size_t row = 0; row < sizeof(rows) / sizeof(rows[0]); row++) {
        struct entry *entry = entry_written_at(now_ms);
        eviction_note_write(&eviction, entry, now_ms);
        assert_int_equal(eviction_frequency(&eviction, entry, now_ms), 5);
        for (int i = 0; i < rows[row].uses; i++) {
            eviction_touch(&eviction, entry, now_ms);
        }
        assert_in_range(eviction_frequency(&eviction, entry, now_ms), rows[row].least, rows[row].most);
        entry_destroy(entry);
    }
}

static void a_counter_falls_with_the_minutes(void **state) {
    (void)state;
    struct eviction eviction;
    eviction_init(&eviction, 1);
    eviction_set_policy(&eviction, EVICTION_ALLKEYS_LFU);
    const int64_t now_ms = 1700000000000;
    struct entry *entry = entry_written_at(now_ms);
    eviction_set_frequency(entry, 200, now_ms);
    assert_int_equal(eviction_frequency(&eviction, entry, now_ms + 10 * MINUTE_MS), 190);
    assert_int_equal(eviction_frequency(&eviction, entry, now_ms + 300 * MINUTE_MS), 0);
    assert_int_equal(eviction_frequency(&eviction, entry, now_ms - 10 * MINUTE_MS), 200); /* it was set back */
    eviction.lfu_decay_minutes = 5;
    assert_int_equal(eviction_frequency(&eviction, entry, now_ms + 10 * MINUTE_MS), 198);
    eviction.lfu_decay_minutes = 0;
    assert_int_equal(eviction_frequency(&eviction, entry, now_ms + 10 * MINUTE_MS), 200);
    entry_destroy(entry);
}

/* --- Policy by policy --- */

/* Four groups of keys: with and without a deadline, used and unused; or with a near and a far deadline. */
static void fill(struct fixture *f) {
    for (int i = 0; i < KEYS; i++) {
        set(f, name_of("keep-used", i).text, 0);
        set(f, name_of("keep-idle", i).text, 0);
        set(f, name_of("ttl-used", i).text, FAR_MS);
        set(f, name_of("ttl-idle", i).text, FAR_MS / 2);
    }
    bool counts = keyspace_policy(f->keyspace) == EVICTION_ALLKEYS_LFU ||
                  keyspace_policy(f->keyspace) == EVICTION_VOLATILE_LFU;
    for (int i = 0; i < KEYS; i++) {
        const char *const used[] = {"keep-used", "ttl-used"}, *const idle[] = {"keep-idle", "ttl-idle"};
        for (size_t g = 0; g < 2; g++) {
            struct name used_name = name_of(used[g], i), idle_name = name_of(idle[g], i);
            struct key used_key = key_of(f, used_name.text), idle_key = key_of(f, idle_name.text);
            if (counts) {
                keyspace_set_frequency(f->keyspace, &used_key, 100);
                keyspace_set_frequency(f->keyspace, &idle_key, 3);
            } else {
                keyspace_set_idle_ms(f->keyspace, &used_key, i);
                keyspace_set_idle_ms(f->keyspace, &idle_key, 1000000 + i);
            }
        }
    }
}

/* What is left of the groups when data of a given share of the memory has gone, in thousandths. */
struct left {
    int keep_used, keep_idle, ttl_used, ttl_idle;
};

static struct left left_after(struct fixture *f, enum eviction_policy policy, size_t percent) {
    keyspace_set_policy(f->keyspace, policy);
    fill(f);
    keyspace_set_maxmemory(f->keyspace, keyspace_used_bytes(f->keyspace) * (100 - percent) / 100);
    run_until_within_limit(f);
    return (struct left){
        survivors(f, "keep-used", KEYS) * 1000 / KEYS,
        survivors(f, "keep-idle", KEYS) * 1000 / KEYS,
        survivors(f, "ttl-used", KEYS) * 1000 / KEYS,
        survivors(f, "ttl-idle", KEYS) * 1000 / KEYS,
    };
}

static void noeviction_keeps_everything(void **state) {
    struct fixture *f = *state;
    keyspace_set_policy(f->keyspace, EVICTION_NOEVICTION);
    fill(f);
    keyspace_set_maxmemory(f->keyspace, keyspace_used_bytes(f->keyspace) / 2);
    for (int i = 0; i < 100; i++) {
        ev_run(loop_ev(f->loop), EVRUN_NOWAIT);
        assert_int_equal(keyspace_make_room(f->keyspace), ERR_OUT_OF_MEMORY);
    }
    assert_int_equal(keyspace_count(f->keyspace), 4 * KEYS);
    assert_int_equal(keyspace_stats(f->keyspace)->evicted, 0);
}

static void allkeys_policies_let_the_unused_go(void **state) {
    static const enum eviction_policy policies[] = {EVICTION_ALLKEYS_LRU, EVICTION_ALLKEYS_LFU};
    for (size_t i = 0; i < 2; i++) {
        struct left left = left_after(*state, policies[i], 40);
        assert_false(over_limit(*state));
        assert_true(left.keep_used > 980 && left.ttl_used > 980);
        assert_in_range(left.keep_idle, 20, 400);
        assert_in_range(left.ttl_idle, 20, 400);
        teardown(state);
        setup(state);
    }
}

static void volatile_policies_let_the_unused_go_of_keys_that_would_expire(void **state) {
    static const enum eviction_policy policies[] = {EVICTION_VOLATILE_LRU, EVICTION_VOLATILE_LFU,
                                                    EVICTION_VOLATILE_TTL};
    for (size_t i = 0; i < 3; i++) {
        struct left left = left_after(*state, policies[i], 20);
        assert_false(over_limit(*state));
        assert_int_equal(left.keep_used, 1000);
        assert_int_equal(left.keep_idle, 1000);
        assert_true(left.ttl_used > 970);
        assert_true(left.ttl_idle < 400);
        teardown(state);
        setup(state);
    }
}

static void random_policies_care_for_nothing(void **state) {
    struct left left = left_after(*state, EVICTION_ALLKEYS_RANDOM, 40);
    assert_false(over_limit(*state));
    assert_in_range(left.keep_used, 500, 700);
    assert_in_range(left.keep_idle, 500, 700);
    assert_in_range(left.ttl_used, 500, 700);
    assert_in_range(left.ttl_idle, 500, 700);
    teardown(state);
    setup(state);
    left = left_after(*state, EVICTION_VOLATILE_RANDOM, 20);
    assert_false(over_limit(*state));
    assert_int_equal(left.keep_used + left.keep_idle, 2000);
    assert_in_range(left.ttl_used, 450, 750);
    assert_in_range(left.ttl_idle, 450, 750);
}

/* A candidate waits in the pool; when it is used there, another one goes. */
static void a_use_saves_a_candidate(void **state) {
    struct fixture *f = *state;
    keyspace_set_policy(f->keyspace, EVICTION_ALLKEYS_LRU);
    keyspace_set_maxmemory_samples(f->keyspace, 64);
    for (int i = 0; i < 40; i++) {
        struct name name = name_of("k", i);
        set(f, name.text, 0);
        struct key key = key_of(f, name.text);
        keyspace_set_idle_ms(f->keyspace, &key, 1000000 - i * 1000);
    }
    keyspace_set_maxmemory(f->keyspace, keyspace_used_bytes(f->keyspace) - 1);
    assert_int_equal(keyspace_make_room(f->keyspace), ERR_NONE);
    assert_null(peek(f, "k:0000000"));
    read_key(f, "k:0000001");
    keyspace_set_maxmemory(f->keyspace, keyspace_used_bytes(f->keyspace) - 1);
    assert_int_equal(keyspace_make_room(f->keyspace), ERR_NONE);
    assert_non_null(peek(f, "k:0000001"));
    assert_null(peek(f, "k:0000002"));
}

static void what_has_expired_goes_first_and_counts_as_expired(void **state) {
    struct fixture *f = *state;
    keyspace_set_policy(f->keyspace, EVICTION_ALLKEYS_LRU);
    for (int i = 0; i < 200; i++) {
        set(f, name_of("stays", i).text, 0);
    }
    for (int i = 0; i < 200; i++) {
        set(f, name_of("expires", i).text, 1);
    }
    int64_t begin_ms = keyspace_now_ms(f->keyspace);
    while (keyspace_now_ms(f->keyspace) < begin_ms + 2) {
        ev_run(loop_ev(f->loop), EVRUN_NOWAIT);
    }
    keyspace_set_maxmemory(f->keyspace, keyspace_used_bytes(f->keyspace) * 80 / 100);
    while (over_limit(f)) {
        assert_int_equal(keyspace_make_room(f->keyspace), ERR_NONE);
    }
    assert_true(keyspace_stats(f->keyspace)->expired > 50);
    assert_true(keyspace_stats(f->keyspace)->evicted < 5);
}

/* --- When nothing can go --- */

static void without_a_key_that_would_expire_volatile_policies_refuse(void **state) {
    struct fixture *f = *state;
    for (int i = 0; i < 1000; i++) {
        set(f, name_of("k", i).text, 0);
    }
    keyspace_set_maxmemory(f->keyspace, keyspace_used_bytes(f->keyspace) - 1);
    for (enum eviction_policy policy = EVICTION_VOLATILE_LRU; policy <= EVICTION_VOLATILE_TTL; policy++) {
        keyspace_set_policy(f->keyspace, policy);
        assert_int_equal(keyspace_make_room(f->keyspace), ERR_OUT_OF_MEMORY);
    }
    struct key key = key_of(f, "k:0000007");
    assert_int_equal(keyspace_expire(f->keyspace, &key, keyspace_now_ms(f->keyspace) + FAR_MS), ERR_NONE);
    int writes = 0; /* it may have to be looked for */
    while (keyspace_stats(f->keyspace)->evicted == 0 && writes++ < 100) {
        assert_int_equal(keyspace_make_room(f->keyspace), ERR_NONE);
    }
    assert_null(peek(f, "k:0000007"));
    assert_int_equal(keyspace_count(f->keyspace), 999);
    key = key_of(f, "k:0000008");
    assert_int_equal(keyspace_delete(f->keyspace, &key, KEYSPACE_ALWAYS, 0, NULL), ERR_NONE);
    assert_int_equal(keyspace_make_room(f->keyspace), ERR_NONE);
}

/* Few keys would expire, in a large table: they are found, in not many writes more than it takes to look at all
 * of it in parts; none of the writes is refused as long as there is one left. */
static void rare_keys_that_would_expire_are_found(void **state) {
    enum { MANY = 100000, RARE = 10 };
    struct fixture *f = *state;
    keyspace_set_policy(f->keyspace, EVICTION_VOLATILE_LRU);
    for (int i = 0; i < MANY; i++) {
        set(f, name_of("k", i).text, 0);
    }
    for (int i = 0; i < RARE; i++) {
        set(f, name_of("rare", i).text, FAR_MS);
    }
    keyspace_set_maxmemory(f->keyspace, keyspace_used_bytes(f->keyspace) / 2);
    int writes = 0;
    enum err err = ERR_NONE;
    while (err == ERR_NONE && writes++ < 1000) {
        err = keyspace_make_room(f->keyspace);
    }
    assert_int_equal(err, ERR_OUT_OF_MEMORY);
    assert_int_equal(keyspace_deadline_count(f->keyspace), 0);
    assert_in_range(writes, RARE / 2, 400);
    assert_int_equal(keyspace_count(f->keyspace), MANY);
}

static void without_a_limit_there_is_always_room(void **state) {
    struct fixture *f = *state;
    set(f, "a", 0);
    assert_int_equal(keyspace_make_room(f->keyspace), ERR_NONE);
    keyspace_set_maxmemory(f->keyspace, 1);
    assert_int_equal(keyspace_make_room(f->keyspace), ERR_OUT_OF_MEMORY);
    keyspace_set_maxmemory(f->keyspace, 0);
    assert_int_equal(keyspace_make_room(f->keyspace), ERR_NONE);
}

/* An empty table is larger than the limit. */
static void when_all_has_gone_and_it_is_not_enough_writes_are_refused(void **state) {
    struct fixture *f = *state;
    keyspace_set_policy(f->keyspace, EVICTION_ALLKEYS_LRU);
    set(f, "a", 0);
    keyspace_set_maxmemory(f->keyspace, 1);
    assert_int_equal(keyspace_make_room(f->keyspace), ERR_OUT_OF_MEMORY);
    assert_int_equal(keyspace_count(f->keyspace), 0);
}

/* What was flushed is given back by and by: no key goes for it, and no write is refused. */
static void flushed_memory_makes_nobody_wait(void **state) {
    struct fixture *f = *state;
    for (int i = 0; i < 20000; i++) {
        set(f, name_of("k", i).text, 0);
    }
    keyspace_set_maxmemory(f->keyspace, keyspace_used_bytes(f->keyspace));
    keyspace_flush(f->keyspace);
    size_t before = keyspace_used_bytes(f->keyspace);
    assert_int_equal(keyspace_make_room(f->keyspace), ERR_NONE); /* noeviction */
    keyspace_set_policy(f->keyspace, EVICTION_ALLKEYS_LRU);
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(keyspace_make_room(f->keyspace), ERR_NONE);
        set(f, name_of("fresh", i).text, 0);
        assert_true(keyspace_used_bytes(f->keyspace) <= before + (32 << 10)); /* the new table itself */
    }
    assert_int_equal(keyspace_count(f->keyspace), 1000);
}

/* --- Who evicts, how much at once, and what it says --- */

static void a_follower_evicts_nothing(void **state) {
    struct fixture *f = *state;
    keyspace_set_policy(f->keyspace, EVICTION_ALLKEYS_LRU);
    for (int i = 0; i < 1000; i++) {
        set(f, name_of("k", i).text, 0);
    }
    keyspace_set_owner(f->keyspace, false);
    keyspace_set_maxmemory(f->keyspace, keyspace_used_bytes(f->keyspace) / 2);
    for (int i = 0; i < 100; i++) {
        ev_run(loop_ev(f->loop), EVRUN_NOWAIT);
        assert_int_equal(keyspace_make_room(f->keyspace), ERR_NONE);
    }
    assert_int_equal(keyspace_count(f->keyspace), 1000);
    keyspace_set_owner(f->keyspace, true); /* it leads: now it does */
    run_until_within_limit(f);
    assert_in_range(keyspace_count(f->keyspace), 300, 700);
}

static void during_a_pause_nothing_is_evicted(void **state) {
    struct fixture *f = *state;
    keyspace_set_policy(f->keyspace, EVICTION_ALLKEYS_LRU);
    for (int i = 0; i < 1000; i++) {
        set(f, name_of("k", i).text, 0);
    }
    keyspace_set_paused(f->keyspace, true);
    keyspace_set_maxmemory(f->keyspace, keyspace_used_bytes(f->keyspace) / 2);
    for (int i = 0; i < 100; i++) {
        ev_run(loop_ev(f->loop), EVRUN_NOWAIT);
        assert_int_equal(keyspace_make_room(f->keyspace), ERR_NONE);
    }
    assert_int_equal(keyspace_count(f->keyspace), 1000);
    keyspace_set_paused(f->keyspace, false);
    run_until_within_limit(f);
    assert_in_range(keyspace_count(f->keyspace), 300, 700);
}

static void an_eviction_is_a_deletion_in_the_history(void **state) {
    struct fixture *f = *state;
    keyspace_set_policy(f->keyspace, EVICTION_ALLKEYS_LRU);
    set(f, "a", 0);
    set(f, "a", 0);
    set(f, "a", 0);
    struct slice bytes;
    uint64_t last_index;
    while (history_read(f->history, &f->reader, &bytes, &last_index) && bytes.len > 0) {
        history_advance(f->history, &f->reader, bytes.len);
    }
    keyspace_set_maxmemory(f->keyspace, keyspace_used_bytes(f->keyspace) - 1);
    assert_int_equal(keyspace_make_room(f->keyspace), ERR_NONE);
    assert_true(history_read(f->history, &f->reader, &bytes, &last_index));
    assert_int_equal(bytes.len, strlen("DELETE|a|4\n"));
    assert_memory_equal(bytes.ptr, "DELETE|a|4\n", bytes.len);
    assert_int_equal(keyspace_floor(f->keyspace), 4);
    assert_int_equal(keyspace_stats(f->keyspace)->evicted, 1);
    assert_int_equal(keyspace_stats(f->keyspace)->deletes, 0);
}

/* In the steady state a write pays for what the one before it brought, and the data stays at the limit. */
static void at_the_limit_each_write_evicts_what_it_needs(void **state) {
    struct fixture *f = *state;
    keyspace_set_policy(f->keyspace, EVICTION_ALLKEYS_LRU);
    for (int i = 0; i < 10000; i++) {
        struct name name = name_of("k", i);
        set(f, name.text, 0);
        struct key key = key_of(f, name.text);
        keyspace_set_idle_ms(f->keyspace, &key, 1000);
    }
    size_t limit = keyspace_used_bytes(f->keyspace);
    keyspace_set_maxmemory(f->keyspace, limit);
    for (int i = 0; i < 20000; i++) {
        assert_int_equal(keyspace_make_room(f->keyspace), ERR_NONE);
        assert_false(over_limit(f));
        set(f, name_of("more", i).text, 0);
        assert_true(keyspace_used_bytes(f->keyspace) <= limit + 256);
    }
    assert_in_range(keyspace_count(f->keyspace), 9500, 10001); /* longer chains take their part */
    assert_int_equal(survivors(f, "k", 10000), 0);
}

/* A limit that falls makes no write wait for all that is too much: each pays twice what came in. */
static void far_over_the_limit_a_write_does_little(void **state) {
    struct fixture *f = *state;
    keyspace_set_policy(f->keyspace, EVICTION_ALLKEYS_LRU);
    for (int i = 0; i < 50000; i++) {
        set(f, name_of("k", i).text, 0);
    }
    keyspace_set_maxmemory(f->keyspace, keyspace_used_bytes(f->keyspace) / 2);
    assert_int_equal(keyspace_make_room(f->keyspace),
                     ERR_NONE); /* pays for all that was written without a limit */
    assert_in_range(keyspace_stats(f->keyspace)->evicted, 1, 512);
    for (int i = 0; i < 1000; i++) {
        uint64_t before = keyspace_stats(f->keyspace)->evicted;
        size_t used = keyspace_used_bytes(f->keyspace);
        set(f, name_of("more", i).text, 0);
        assert_int_equal(keyspace_make_room(f->keyspace), ERR_NONE);
        assert_in_range(keyspace_stats(f->keyspace)->evicted - before, 1, 8);
        assert_true(keyspace_used_bytes(f->keyspace) < used);
    }
    assert_true(over_limit(f));
    run_until_within_limit(f);
    assert_false(over_limit(f));
}

/* Values that are larger than what goes for them. */
static void large_values_push_out_many_small_ones(void **state) {
    struct fixture *f = *state;
    static char large[4096];
    keyspace_set_policy(f->keyspace, EVICTION_ALLKEYS_LRU);
    for (int i = 0; i < 20000; i++) {
        set(f, name_of("k", i).text, 0);
    }
    size_t limit = keyspace_used_bytes(f->keyspace);
    keyspace_set_maxmemory(f->keyspace, limit);
    for (int i = 0; i < 200; i++) {
        assert_int_equal(keyspace_make_room(f->keyspace), ERR_NONE);
        struct name name = name_of("large", i);
        struct key key = key_of(f, name.text);
        struct keyspace_set set = {.value = slice_of(large, sizeof(large))};
        assert_int_equal(keyspace_set(f->keyspace, &key, &set, NULL), ERR_NONE);
        assert_true(keyspace_used_bytes(f->keyspace) <= limit + 3 * sizeof(large));
    }
}

static void a_new_table_does_not_confuse_the_pool(void **state) {
    struct fixture *f = *state;
    keyspace_set_policy(f->keyspace, EVICTION_ALLKEYS_LRU);
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < 500; i++) {
            assert_int_equal(keyspace_make_room(f->keyspace), ERR_NONE);
            set(f, name_of("k", i).text, 0);
        }
        if (round == 0) {
            keyspace_set_maxmemory(f->keyspace, keyspace_used_bytes(f->keyspace) * 3 / 4);
        }
        if (round % 3 == 2) {
            keyspace_flush(f->keyspace);
        }
    }
    assert_true(keyspace_stats(f->keyspace)->evicted > 1000);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(distances_are_rounded_by_little_and_never_towards_zero),
        TEST(an_entry_is_idle_since_it_was_last_used),
        TEST(a_read_that_is_no_use_changes_nothing),
        TEST(a_use_of_an_old_entry_makes_it_young),
        TEST(a_use_in_the_future_is_none),
        TEST(a_key_that_is_read_all_the_time_is_stored_to_now_and_then),
        TEST(a_counter_rises_with_the_logarithm_of_the_uses),
        TEST(a_counter_falls_with_the_minutes),
        TEST(noeviction_keeps_everything),
        TEST(allkeys_policies_let_the_unused_go),
        TEST(volatile_policies_let_the_unused_go_of_keys_that_would_expire),
        TEST(random_policies_care_for_nothing),
        TEST(a_use_saves_a_candidate),
        TEST(what_has_expired_goes_first_and_counts_as_expired),
        TEST(without_a_key_that_would_expire_volatile_policies_refuse),
        TEST(rare_keys_that_would_expire_are_found),
        TEST(without_a_limit_there_is_always_room),
        TEST(when_all_has_gone_and_it_is_not_enough_writes_are_refused),
        TEST(flushed_memory_makes_nobody_wait),
        TEST(a_follower_evicts_nothing),
        TEST(during_a_pause_nothing_is_evicted),
        TEST(an_eviction_is_a_deletion_in_the_history),
        TEST(at_the_limit_each_write_evicts_what_it_needs),
        TEST(far_over_the_limit_a_write_does_little),
        TEST(large_values_push_out_many_small_ones),
        TEST(a_new_table_does_not_confuse_the_pool),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
