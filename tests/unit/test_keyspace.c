/* The operations on the store: versions, the floor, conditions, deadlines, flush, states, and what the history
 * says of it. */
#include "tests/unit/keyspace_fixture.h"

#include <stdio.h>

static bool run_until(struct fixture *f, bool (*done)(void *fixture)) {
    return loop_fixture_until(f->loop, done, f);
}

/* --- Short forms. */

static struct key key_of(struct fixture *f, const char *name) {
    return keyspace_key(f->keyspace, slice_from_text(name));
}

static uint64_t set(struct fixture *f, const char *name, const char *value) {
    struct key key = key_of(f, name);
    struct keyspace_result result;
    assert_int_equal(
        keyspace_set(f->keyspace, &key, &(struct keyspace_set){.value = slice_from_text(value)}, &result),
        ERR_NONE);
    return result.version;
}

static void set_until(struct fixture *f, const char *name, int64_t deadline_ms) {
    struct key key = key_of(f, name);
    struct keyspace_set request = {
        .value = SLICE("v"), .deadline = KEYSPACE_DEADLINE_SET, .deadline_ms = deadline_ms};
    assert_int_equal(keyspace_set(f->keyspace, &key, &request, NULL), ERR_NONE);
}

static const struct entry *peek(struct fixture *f, const char *name) {
    struct key key = key_of(f, name);
    return keyspace_find(f->keyspace, &key, KEYSPACE_QUIETLY);
}

static uint64_t version_of(struct fixture *f, const char *name) {
    const struct entry *entry = peek(f, name);
    return entry == NULL ? 0 : entry_version(entry);
}

static uint64_t delete_key(struct fixture *f, const char *name) {
    struct key key = key_of(f, name);
    struct keyspace_result result;
    assert_int_equal(keyspace_delete(f->keyspace, &key, KEYSPACE_ALWAYS, 0, &result), ERR_NONE);
    return result.version;
}

static bool apply_if_newer(struct fixture *f, const char *text, bool adopt) {
    struct buf scratch;
    struct line line;
    const char *reason = "";
    buf_init(&scratch, 4096);
    assert_int_equal(line_decode(slice_from_text(text), &scratch, &line, &reason), LINE_OK);
    bool done = (adopt ? keyspace_adopt(f->keyspace, &line)
                       : keyspace_apply_if_newer(f->keyspace, &line, 1234)) == ERR_NONE;
    buf_deinit(&scratch);
    return done;
}

/* --- Versions --- */

static void versions_count_the_writes_of_a_key(void **state) {
    struct fixture *f = *state;
    assert_int_equal(set(f, "a", "1"), 1);
    assert_int_equal(set(f, "a", "2"), 2);
    assert_int_equal(set(f, "b", "1"), 1);
    assert_string_equal(said(f), "REPLICATE|a|1|1\nREPLICATE|a|2|2\nREPLICATE|b|1|1\n");
}

static void a_version_never_repeats_after_a_deletion(void **state) {
    struct fixture *f = *state;
    set(f, "a", "1");
    set(f, "a", "2");
    assert_int_equal(delete_key(f, "a"), 3);
    assert_int_equal(keyspace_floor(f->keyspace), 3);
    assert_int_equal(set(f, "a", "3"), 4);
    assert_int_equal(set(f, "new", "1"), 4); /* floor + 1 */
    assert_string_equal(said(f),
                        "REPLICATE|a|1|1\nREPLICATE|a|2|2\nDELETE|a|3\nREPLICATE|a|3|4\nREPLICATE|new|1|4\n");
}

static void a_flush_raises_the_floor_over_every_version(void **state) {
    struct fixture *f = *state;
    set(f, "a", "1");
    set(f, "a", "2");
    set(f, "b", "1");
    said(f);
    keyspace_flush(f->keyspace);
    assert_int_equal(keyspace_count(f->keyspace), 0);
    assert_null(peek(f, "a"));
    assert_string_equal(said(f), "FLUSH|2\n");
    assert_int_equal(set(f, "b", "2"), 3);
    said(f);
    keyspace_flush(f->keyspace);
    keyspace_flush(f->keyspace); /* nothing to empty: nothing to say */
    assert_string_equal(said(f), "FLUSH|3\n");
}

static void the_last_version_is_an_error_not_a_zero(void **state) {
    struct fixture *f = *state;
    assert_int_equal(apply(f, "REPLICATE|a|1|18446744073709551615"), ERR_NONE);
    struct key key = key_of(f, "a");
    struct keyspace_set request = {.value = SLICE("x")};
    assert_int_equal(keyspace_set(f->keyspace, &key, &request, NULL), ERR_VERSIONS_EXHAUSTED);
    assert_int_equal(version_of(f, "a"), UINT64_MAX);
}

/* --- Conditions --- */

static void conditions_hold_or_change_nothing(void **state) {
    struct fixture *f = *state;
    struct key a = key_of(f, "a");
    struct keyspace_set request = {.value = SLICE("1"), .condition = KEYSPACE_IF_PRESENT};
    assert_int_equal(keyspace_set(f->keyspace, &a, &request, NULL), ERR_PRECONDITION);
    request.condition = KEYSPACE_IF_VERSION;
    request.version = 0;
    assert_int_equal(keyspace_set(f->keyspace, &a, &request, NULL), ERR_PRECONDITION);
    request.condition = KEYSPACE_IF_ABSENT;
    assert_int_equal(keyspace_set(f->keyspace, &a, &request, NULL), ERR_NONE);
    assert_int_equal(keyspace_set(f->keyspace, &a, &request, NULL), ERR_PRECONDITION);
    request.condition = KEYSPACE_IF_VERSION;
    request.version = 2;
    assert_int_equal(keyspace_set(f->keyspace, &a, &request, NULL), ERR_PRECONDITION);
    request.version = 1;
    assert_int_equal(keyspace_set(f->keyspace, &a, &request, NULL), ERR_NONE);
    assert_int_equal(version_of(f, "a"), 2);
    assert_int_equal(keyspace_delete(f->keyspace, &a, KEYSPACE_IF_VERSION, 1, NULL), ERR_PRECONDITION);
    assert_int_equal(keyspace_delete(f->keyspace, &a, KEYSPACE_IF_VERSION, 2, NULL), ERR_NONE);
    assert_int_equal(keyspace_delete(f->keyspace, &a, KEYSPACE_ALWAYS, 0, NULL), ERR_NO_SUCH_KEY);
    assert_string_equal(said(f), "REPLICATE|a|1|1\nREPLICATE|a|1|2\nDELETE|a|3\n");
}

static void a_value_may_be_written_over_itself(void **state) {
    struct fixture *f = *state;
    set(f, "a", "0123456789");
    struct key a = key_of(f, "a");
    struct slice value = entry_value(keyspace_find(f->keyspace, &a, KEYSPACE_QUIETLY));
    struct keyspace_set request = {.value = slice_skip(value, 4)};
    assert_int_equal(keyspace_set(f->keyspace, &a, &request, NULL), ERR_NONE);
    assert_true(slice_equals(entry_value(peek(f, "a")), SLICE("456789")));
    assert_string_equal(said(f), "REPLICATE|a|0123456789|1\nREPLICATE|a|456789|2\n");
}

/* --- Deadlines --- */

static bool a_is_gone(void *fixture) {
    struct fixture *f = fixture;
    return peek(f, "a") == NULL;
}
static bool store_is_empty(void *fixture) {
    struct fixture *f = fixture;
    return keyspace_count(f->keyspace) == 0;
}

static void a_key_expires_for_its_owner_by_a_deletion(void **state) {
    struct fixture *f = *state;
    int64_t deadline_ms = keyspace_now_ms(f->keyspace) + 30;
    char expected[128];
    set_until(f, "a", deadline_ms);
    assert_int_equal(keyspace_deadline_count(f->keyspace), 1);
    assert_true(run_until(f, a_is_gone));
    assert_true(keyspace_now_ms(f->keyspace) >= deadline_ms);
    assert_int_equal(keyspace_count(f->keyspace), 0);
    assert_int_equal(keyspace_stats(f->keyspace)->expired, 1);
    snprintf(expected, sizeof(expected), "REPLICATEX|a|v|1|%lld|%lld\nDELETE|a|2\n",
             (long long)(deadline_ms - 30), (long long)deadline_ms);
    assert_string_equal(said(f), expected);
}

static void the_sweep_finds_what_nobody_asks_for(void **state) {
    struct fixture *f = *state;
    int64_t deadline_ms = keyspace_now_ms(f->keyspace) + 20;
    for (int i = 0; i < 5000; i++) {
        char name[32];
        snprintf(name, sizeof(name), "key:%d", i);
        set_until(f, name, deadline_ms);
    }
    assert_true(run_until(f, store_is_empty));
    assert_int_equal(keyspace_stats(f->keyspace)->expired, 5000);
}

static bool deadline_has_passed(void *fixture) {
    struct fixture *f = fixture;
    return peek(f, "a") == NULL;
}

static void a_follower_hides_what_has_expired_and_waits(void **state) {
    struct fixture *f = *state;
    keyspace_set_owner(f->keyspace, false);
    set_until(f, "a", keyspace_now_ms(f->keyspace) + 20);
    said(f);
    assert_true(run_until(f, deadline_has_passed));
    assert_int_equal(keyspace_count(f->keyspace), 1);
    assert_string_equal(said(f), "");
    assert_int_equal(apply(f, "DELETE|a|2"), ERR_NONE);
    assert_int_equal(keyspace_count(f->keyspace), 0);
}

static void a_pause_keeps_what_has_expired_and_hides_it(void **state) {
    struct fixture *f = *state;
    set(f, "a", "v");
    set_until(f, "a", keyspace_now_ms(f->keyspace) + 20);
    keyspace_set_paused(f->keyspace, true);
    said(f);
    assert_true(run_until(f, deadline_has_passed));
    for (int i = 0; i < 20; i++) { /* the sweep comes every 100 ms */
        ev_run(loop_ev(f->loop), EVRUN_ONCE);
    }
    assert_int_equal(keyspace_count(f->keyspace), 1);
    assert_string_equal(said(f), "");
    /* A write all the same comes behind the expiry. */
    assert_int_equal(set(f, "a", "w"), 4);
    set_until(f, "a", keyspace_now_ms(f->keyspace) + 20);
    assert_true(run_until(f, deadline_has_passed));
    keyspace_set_paused(f->keyspace, false);
    assert_true(run_until(f, store_is_empty));
    assert_int_equal(keyspace_stats(f->keyspace)->expired, 2);
}

static void deadlines_are_set_kept_and_cleared(void **state) {
    struct fixture *f = *state;
    int64_t deadline_ms = keyspace_now_ms(f->keyspace) + 100000;
    struct key a = key_of(f, "a");
    assert_int_equal(keyspace_expire(f->keyspace, &a, deadline_ms), ERR_NO_SUCH_KEY);
    set(f, "a", "1");
    assert_int_equal(keyspace_expire(f->keyspace, &a, deadline_ms), ERR_NONE);
    assert_int_equal(version_of(f, "a"), 1);
    struct keyspace_set request = {.value = SLICE("2"), .deadline = KEYSPACE_DEADLINE_KEEP};
    assert_int_equal(keyspace_set(f->keyspace, &a, &request, NULL), ERR_NONE);
    assert_int_equal(entry_deadline_ms(peek(f, "a")), deadline_ms);
    assert_int_equal(keyspace_expire(f->keyspace, &a, 0), ERR_NONE);
    assert_int_equal(entry_deadline_ms(peek(f, "a")), 0);
    assert_int_equal(keyspace_expire(f->keyspace, &a, 1), ERR_NONE); /* it has passed: a deletion */
    assert_null(peek(f, "a"));
    set(f, "b", "1");
    set_until(f, "b", 1); /* likewise */
    assert_null(peek(f, "b"));
    assert_int_equal(keyspace_deadline_count(f->keyspace), 0);
}

/* --- Replication --- */

static void lines_are_applied_as_they_say(void **state) {
    struct fixture *f = *state;
    keyspace_set_owner(f->keyspace, false);
    assert_int_equal(apply(f, "REPLICATE|a|x|7"), ERR_NONE);
    assert_int_equal(version_of(f, "a"), 7);
    assert_int_equal(entry_timestamp_ms(peek(f, "a")), 1234);
    assert_int_equal(apply(f, "REPLICATEX|b%7C|y|3|55|281474976710655"), ERR_NONE);
    assert_int_equal(entry_timestamp_ms(peek(f, "b|")), 55);
    assert_int_equal(entry_deadline_ms(peek(f, "b|")), 281474976710655);
    assert_int_equal(apply(f, "EXPIREX|b%7C|0"), ERR_NONE);
    assert_int_equal(entry_deadline_ms(peek(f, "b|")), 0);
    assert_int_equal(apply(f, "EXPIREX|missing|5"), ERR_NONE);
    assert_int_equal(apply(f, "DELETE|a|8"), ERR_NONE);
    assert_null(peek(f, "a"));
    assert_int_equal(keyspace_floor(f->keyspace), 8);
    assert_int_equal(apply(f, "FLUSH|9"), ERR_NONE);
    assert_int_equal(keyspace_count(f->keyspace), 0);
    assert_int_equal(keyspace_floor(f->keyspace), 9);
    assert_string_equal(said(f), "");
}

static void a_bare_line_counts_only_when_it_is_newer(void **state) {
    struct fixture *f = *state;
    assert_true(apply_if_newer(f, "REPLICATE|a|one|1", false));
    assert_false(apply_if_newer(f, "REPLICATE|a|other|1", false));
    assert_true(apply_if_newer(f, "REPLICATE|a|two|2", false));
    assert_false(apply_if_newer(f, "DELETE|a|2", false));
    assert_true(slice_equals(entry_value(peek(f, "a")), SLICE("two")));
    assert_true(apply_if_newer(f, "DELETE|a|3", false));
    assert_null(peek(f, "a"));
    assert_int_equal(keyspace_floor(f->keyspace), 3);
    assert_false(apply_if_newer(f, "DELETE|a|4", false)); /* of a missing key: it is newer than nothing */
    assert_false(apply_if_newer(f, "DELETE|nothing|18446744073709551615", false));
    assert_int_equal(keyspace_floor(f->keyspace), 3);
    assert_int_equal(set(f, "new", "1"), 4);
}

static void a_bare_line_is_newer_than_what_has_expired_and_repeats_no_version(void **state) {
    struct fixture *f = *state;
    keyspace_set_owner(f->keyspace, false);
    assert_int_equal(apply(f, "REPLICATEX|a|old|5|1|2"), ERR_NONE);
    assert_int_equal(apply(f, "REPLICATEX|b|old|5|1|2"), ERR_NONE);
    assert_int_equal(apply(f, "REPLICATEX|last|old|18446744073709551615|1|2"), ERR_NONE);
    assert_null(peek(f, "a"));
    assert_false(apply_if_newer(f, "DELETE|a|9", false));
    assert_true(apply_if_newer(f, "REPLICATE|a|new|2", false));
    assert_true(slice_equals(entry_value(peek(f, "a")), SLICE("new")));
    assert_int_equal(version_of(f, "a"), 6);
    assert_false(apply_if_newer(f, "REPLICATE|a|newer|6", false));
    assert_true(apply_if_newer(f, "REPLICATE|b|new|9", false));
    assert_int_equal(version_of(f, "b"), 9);
    assert_true(apply_if_newer(f, "REPLICATE|last|new|1", false));
    assert_int_equal(version_of(f, "last"), UINT64_MAX);
}

static void a_bare_line_is_newer_than_what_a_state_has_dropped(void **state) {
    struct fixture *f = *state;
    keyspace_set_owner(f->keyspace, false);
    assert_int_equal(apply(f, "REPLICATE|a|old|5"), ERR_NONE);
    assert_true(keyspace_full_begin(f->keyspace));
    keyspace_full_end(f->keyspace, false);
    assert_true(apply_if_newer(f, "REPLICATE|a|new|1", false));
    assert_int_equal(version_of(f, "a"), 1);
}

static void only_missing_keys_are_adopted_as_writes(void **state) {
    struct fixture *f = *state;
    set(f, "a", "mine");
    set(f, "gone", "x");
    delete_key(f, "gone"); /* floor 2 */
    said(f);
    assert_false(apply_if_newer(f, "REPLICATEX|a|mine|1|55|0", true));
    assert_true(apply_if_newer(f, "REPLICATEX|b|theirs|9|55|0", true));
    assert_true(apply_if_newer(f, "REPLICATEX|c|theirs|1|55|0", true)); /* 1 may have been taken: floor + 1 */
    assert_int_equal(version_of(f, "b"), 9);
    assert_int_equal(version_of(f, "c"), 3);
    assert_string_equal(said(f), "REPLICATEX|b|theirs|9|55|0\nREPLICATEX|c|theirs|3|55|0\n");
}

static void what_is_not_adopted_repeats_no_version_all_the_same(void **state) {
    struct fixture *f = *state;
    set(f, "a", "mine");
    set(f, "b", "same");
    set(f, "c", "mine");
    set_until(f, "d|", 281474976710655);
    int64_t a_ms = entry_timestamp_ms(peek(f, "a")), d_ms = entry_timestamp_ms(peek(f, "d|"));
    char expected[200];
    said(f);
    assert_false(apply_if_newer(f, "REPLICATEX|a|theirs|9|55|0", true)); /* there it was counted to 9 */
    assert_false(apply_if_newer(f, "REPLICATEX|b|same|1|55|0", true));
    assert_false(apply_if_newer(f, "REPLICATEX|c|theirs|1|55|0", true)); /* 1 is two values */
    assert_false(apply_if_newer(f, "REPLICATEX|d%7C|theirs|3|55|0", true));
    assert_false(apply_if_newer(f, "REPLICATEX|a|theirs|9|55|0", true)); /* again: enough is enough */
    snprintf(expected, sizeof(expected),
             "REPLICATE|a|mine|10\nREPLICATE|c|mine|2\nREPLICATEX|d%%7C|v|4|%lld|281474976710655\n",
             (long long)d_ms);
    assert_string_equal(said(f), expected);
    assert_true(slice_equals(entry_value(peek(f, "a")), SLICE("mine")));
    assert_int_equal(entry_timestamp_ms(peek(f, "a")), a_ms);
    assert_int_equal(entry_deadline_ms(peek(f, "d|")), 281474976710655);
    assert_int_equal(version_of(f, "b"), 1);
    assert_int_equal(set(f, "a", "next"), 11);
    assert_int_equal(set(f, "c", "next"), 3);
    assert_int_equal(set(f, "d|", "next"), 5);
    assert_false(apply_if_newer(f, "REPLICATEX|a|theirs|18446744073709551615|55|0", true));
    assert_int_equal(version_of(f, "a"), 11); /* above that there is none to go on from */
    keyspace_flush(f->keyspace);
    assert_int_equal(keyspace_floor(f->keyspace), 11);
}

static void an_adopted_floor_is_a_line_of_its_own(void **state) {
    struct fixture *f = *state;
    set(f, "a", "v");
    said(f);
    keyspace_adopt_floor(f->keyspace, 21);
    assert_int_equal(keyspace_floor(f->keyspace), 21);
    assert_string_equal(said(f), "FLOOR|21\n");
    keyspace_adopt_floor(f->keyspace, 21); /* nothing to say */
    assert_string_equal(said(f), "");
    assert_int_equal(set(f, "b", "v"), 22);
    apply(f, "FLOOR|30");
    assert_int_equal(keyspace_floor(f->keyspace), 30);
    apply(f, "FLOOR|29");
    assert_int_equal(keyspace_floor(f->keyspace), 30);
    apply(f, "DELETE||40"); /* as older nodes said it */
    assert_int_equal(keyspace_floor(f->keyspace), 40);
    assert_int_equal(keyspace_count(f->keyspace), 2);
}

static void count_visit(void *context, const struct entry *entry) {
    (void)entry;
    *(size_t *)context += 1;
}

/* By what everybody can see. */
static size_t count_met(struct fixture *f) {
    size_t met = 0;
    uint64_t cursor = 0;
    do {
        cursor = keyspace_scan(f->keyspace, cursor, count_visit, &met);
    } while (cursor != 0);
    return met;
}

/* key:0, key:step, ... below key:KEYS, by a leader's line. */
enum { KEYS = 30000 };
static void apply_keys(struct fixture *f, int step, const char *value, unsigned version) {
    for (int i = 0; i < KEYS; i += step) {
        char line[64];
        snprintf(line, sizeof(line), "REPLICATE|key:%d|%s|%u", i, value, version);
        assert_int_equal(apply(f, line), ERR_NONE);
    }
}

static bool memory_is_of_what_is_met(void *fixture) {
    struct fixture *f = fixture;
    return keyspace_count(f->keyspace) == count_met(f);
}

static bool full_begins(void *fixture) {
    struct fixture *f = fixture;
    return keyspace_full_begin(f->keyspace);
}

static void a_full_state_drops_what_it_did_not_touch(void **state) {
    struct fixture *f = *state;
    keyspace_set_owner(f->keyspace, false);
    apply_keys(f, 1, "old", 1);
    assert_true(keyspace_full_begin(f->keyspace));
    apply_keys(f, 3, "new", 2);
    apply(f, "EXPIREX|key:1|281474976710655"); /* touched, not sent */
    assert_int_equal(count_met(f), KEYS);
    keyspace_full_end(f->keyspace, false);
    assert_int_equal(keyspace_count(f->keyspace),
                     KEYS); /* before they are dropped: nobody meets them any more */
    assert_int_equal(count_met(f), KEYS / 3 + 1);
    assert_null(peek(f, "key:4"));
    apply(f, "REPLICATE|key:2|after|3"); /* after END: stays */
    assert_true(run_until(f, memory_is_of_what_is_met));
    assert_int_equal(keyspace_count(f->keyspace), KEYS / 3 + 2);
    assert_int_equal(version_of(f, "key:3"), 2);
    assert_int_equal(version_of(f, "key:1"), 1);
    assert_int_equal(version_of(f, "key:2"), 3);
    assert_null(peek(f, "key:4"));
}

static void a_state_that_begins_does_not_bring_back_what_the_one_before_dropped(void **state) {
    struct fixture *f = *state;
    keyspace_set_owner(f->keyspace, false);
    apply_keys(f, 1, "old", 1);
    assert_true(keyspace_full_begin(f->keyspace));
    apply_keys(f, 3, "new", 2);
    keyspace_full_end(f->keyspace, false);
    assert_true(keyspace_full_begin(f->keyspace)); /* nothing has been given back yet */
    apply(f, "REPLICATE|key:0|newer|3");
    apply(f, "REPLICATE|key:1|newer|3");
    apply(f, "EXPIREX|key:2|281474976710655"); /* is no key any more */
    assert_null(peek(f, "key:2"));
    assert_int_equal(count_met(f), KEYS / 3 + 1);
    for (int i = 0; i < 100; i++) {
        const struct entry *entry = keyspace_random(f->keyspace);
        struct key key = keyspace_key(f->keyspace, entry_key(entry));
        assert_ptr_equal(keyspace_find(f->keyspace, &key, KEYSPACE_QUIETLY), entry);
    }
    assert_true(run_until(f, memory_is_of_what_is_met));
    assert_int_equal(keyspace_count(f->keyspace), KEYS / 3 + 1);
    keyspace_full_end(f->keyspace, false); /* of the second state, which had two keys */
    assert_int_equal(count_met(f), 2);
    assert_true(run_until(f, memory_is_of_what_is_met));
    assert_int_equal(keyspace_count(f->keyspace), 2);
}

static void count_told(void *context, const struct keyspace *keyspace, enum keyspace_event event,
                       struct slice key) {
    (void)keyspace, (void)event, (void)key;
    ++*(size_t *)context;
}

/* Also of those that somebody asks for before they are given back: who watches a key or has it cached must
 * know.
 */
static void every_key_that_is_dropped_is_told_of_once(void **state) {
    struct fixture *f = *state;
    size_t deleted = 0;
    keyspace_set_owner(f->keyspace, false);
    apply_keys(f, 1, "old", 1);
    assert_true(keyspace_full_begin(f->keyspace));
    keyspace_full_end(f->keyspace, false);
    struct keyspace_observer observer = {
        .events = KEYSPACE_DELETED, .happened = count_told, .context = &deleted};
    keyspace_observe(f->keyspace, &observer);
    assert_null(peek(f, "key:7"));
    assert_null(peek(f, "key:7"));
    assert_int_equal(deleted, 1);
    assert_true(run_until(f, store_is_empty));
    assert_int_equal(deleted, KEYS);
    keyspace_unobserve(f->keyspace, &observer);
}

/* END while the leavings of broken states are still being marked as old. */
static void a_state_may_end_in_the_middle_of_a_pass(void **state) {
    struct fixture *f = *state;
    keyspace_set_owner(f->keyspace, false);
    apply_keys(f, 1, "old", 1);
    for (int broken = 0; broken < 5; broken++) {
        assert_true(keyspace_full_begin(f->keyspace));
        apply_keys(f, 2 + broken, "broken", 2);
    }
    for (int turns = 0; turns < 3; turns++) {
        ev_run(loop_ev(f->loop), EVRUN_NOWAIT);
        assert_int_equal(count_met(f), KEYS);
    }
    assert_true(keyspace_full_begin(f->keyspace));
    apply_keys(f, 10, "whole", 3);
    assert_int_equal(count_met(f), KEYS);
    keyspace_full_end(f->keyspace, false);
    assert_int_equal(count_met(f), KEYS / 10);
    assert_true(keyspace_full_begin(f->keyspace));
    assert_int_equal(count_met(f), KEYS / 10);
    assert_true(run_until(f, memory_is_of_what_is_met));
    assert_int_equal(keyspace_count(f->keyspace), KEYS / 10);
    assert_int_equal(version_of(f, "key:20"), 3);
}

static void states_that_break_off_drop_nothing_however_many(void **state) {
    struct fixture *f = *state;
    keyspace_set_owner(f->keyspace, false);
    apply_keys(f, 1, "old", 1);
    for (int broken = 0; broken < 40; broken++) {
        assert_true(run_until(f, full_begins));
        apply_keys(f, 7, "broken", 2);
        assert_int_equal(count_met(f), KEYS);
    }
    assert_true(run_until(f, full_begins));
    apply_keys(f, 3, "new", 3);
    keyspace_full_end(f->keyspace, false);
    assert_int_equal(count_met(f), KEYS / 3);
    assert_null(peek(f, "key:7"));
    assert_true(run_until(f, memory_is_of_what_is_met));
    assert_int_equal(keyspace_count(f->keyspace), KEYS / 3);
}

/* What begins faster than the table can be walked is put off: neither the loop is held nor a key kept that the
 * state does not have. */
static void a_state_that_cannot_be_told_from_those_before_it_is_put_off(void **state) {
    struct fixture *f = *state;
    int begun = 0;
    keyspace_set_owner(f->keyspace, false);
    apply_keys(f, 1, "old", 1);
    while (keyspace_full_begin(f->keyspace)) {
        apply_keys(f, 2, "broken", 2);
        assert_in_range(++begun, 1, 15);
    }
    assert_int_equal(begun, 15);
    assert_int_equal(count_met(f), KEYS);
    assert_true(run_until(f, full_begins));
    apply_keys(f, 3, "new", 3);
    keyspace_full_end(f->keyspace, false);
    assert_int_equal(count_met(f), KEYS / 3);
}

static void a_flush_in_the_middle_of_a_state_is_part_of_it(void **state) {
    struct fixture *f = *state;
    keyspace_set_owner(f->keyspace, false);
    apply_keys(f, 1, "old", 1);
    assert_true(keyspace_full_begin(f->keyspace));
    keyspace_full_end(f->keyspace, false); /* all of it is to be dropped */
    assert_true(keyspace_full_begin(f->keyspace));
    apply(f, "REPLICATE|a|sent|1");
    apply(f, "FLUSH|9");
    assert_int_equal(count_met(f), 0);
    apply(f, "REPLICATE|b|live|10");
    keyspace_full_end(f->keyspace, false);
    assert_true(run_until(f, memory_is_of_what_is_met));
    assert_null(peek(f, "a"));
    assert_int_equal(version_of(f, "b"), 10);
    assert_true(keyspace_full_begin(f->keyspace)); /* breaks off */
    apply(f, "FLUSH|11");
    apply(f, "REPLICATE|c|live|12");
    assert_true(keyspace_full_begin(f->keyspace));
    assert_int_equal(version_of(f, "c"), 12);
    keyspace_full_end(f->keyspace, false);
    assert_int_equal(count_met(f), 0);
}

/* --- Looking at all of it --- */

static void a_pinned_scan_meets_each_key_once_across_a_flush_too(void **state) {
    struct fixture *f = *state;
    for (int i = 0; i < 2000; i++) {
        char name[32];
        snprintf(name, sizeof(name), "key:%d", i);
        set(f, name, "v");
    }
    size_t met = 0;
    uint64_t cursor = 0;
    keyspace_pin(f->keyspace);
    do {
        cursor = keyspace_scan(f->keyspace, cursor, count_visit, &met);
    } while (cursor != 0);
    assert_int_equal(met, 2000);
    cursor = keyspace_scan(f->keyspace, 0, count_visit, &met);
    keyspace_flush(f->keyspace);
    while (cursor != 0) { /* ends */
        cursor = keyspace_scan(f->keyspace, cursor, count_visit, &met);
    }
    keyspace_unpin(f->keyspace);
    assert_null(keyspace_random(f->keyspace));
    set(f, "only", "v");
    const struct entry *any = keyspace_random(f->keyspace);
    assert_non_null(any);
    assert_true(slice_equals(entry_key(any), SLICE("only")));
}

static void a_live_key_is_found_among_many_expired_ones(struct fixture *f) {
    keyspace_set_active_expiry(f->keyspace, false);
    for (int i = 0; i < 2000; i++) {
        char name[32];
        snprintf(name, sizeof(name), "expired:%d", i);
        struct key key = keyspace_key(f->keyspace, slice_from_text(name));
        struct keyspace_set set = {.value = SLICE("v"),
                                   .deadline = KEYSPACE_DEADLINE_SET,
                                   .deadline_ms = keyspace_now_ms(f->keyspace) + 1};
        assert_int_equal(keyspace_set(f->keyspace, &key, &set, NULL), ERR_NONE);
    }
    set(f, "live", "v");
    int64_t soon_ms = keyspace_now_ms(f->keyspace) + 1;
    while (keyspace_now_ms(f->keyspace) <= soon_ms) {
        ev_run(loop_ev(f->loop), EVRUN_NOWAIT);
    }
    assert_int_equal(keyspace_count(f->keyspace), 2001);
    const struct entry *any = keyspace_random(f->keyspace);
    assert_non_null(any);
    assert_true(slice_equals(entry_key(any), SLICE("live")));
}

/* What it meets goes, and what is left is looked through. */
static void a_random_key_of_an_owner_is_a_live_one(void **state) {
    struct fixture *f = *state;
    a_live_key_is_found_among_many_expired_ones(f);
    assert_true(keyspace_count(f->keyspace) < 2001);
}

static void a_random_key_of_a_follower_is_a_live_one(void **state) {
    struct fixture *f = *state;
    keyspace_set_owner(f->keyspace, false);
    a_live_key_is_found_among_many_expired_ones(f);
    assert_int_equal(keyspace_count(f->keyspace), 2001);
}

static bool memory_is_back(void *fixture) {
    struct fixture *f = fixture;
    return keyspace_used_bytes(f->keyspace) < 64 << 10;
}

static void a_flush_gives_the_memory_back_in_the_background(void **state) {
    struct fixture *f = *state;
    for (int i = 0; i < 20000; i++) {
        char name[32];
        snprintf(name, sizeof(name), "key:%d", i);
        set(f, name, "0123456789abcdef0123456789abcdef");
    }
    assert_true(keyspace_used_bytes(f->keyspace) > 1 << 20);
    keyspace_flush(f->keyspace);
    assert_true(run_until(f, memory_is_back));
}

static void hits_and_misses_are_counted_by_reads_only(void **state) {
    struct fixture *f = *state;
    set(f, "a", "1");
    struct key a = key_of(f, "a"), b = key_of(f, "b");
    keyspace_find(f->keyspace, &a, KEYSPACE_READ);
    keyspace_find(f->keyspace, &b, KEYSPACE_READ);
    keyspace_find(f->keyspace, &b, KEYSPACE_QUIETLY);
    assert_int_equal(keyspace_stats(f->keyspace)->hits, 1);
    assert_int_equal(keyspace_stats(f->keyspace)->misses, 1);
    assert_int_equal(keyspace_stats(f->keyspace)->writes, 1);
}

/* --- Observers */

struct heard {
    struct keyspace_observer observer;
    char text[256];
};

static void hear(void *context, const struct keyspace *keyspace, enum keyspace_event event, struct slice key) {
    struct heard *heard = context;
    struct key looked_up = keyspace_key(keyspace, key);
    bool there = keyspace_peek(keyspace, &looked_up) != NULL;
    size_t n = strlen(heard->text);
    snprintf(heard->text + n, sizeof(heard->text) - n, "%d:%.*s:%s ", __builtin_ctz(event), (int)key.len,
             key.ptr, there ? "there" : "missing");
}

static void listen_for(struct fixture *f, struct heard *heard, uint32_t events) {
    heard->observer.events = events;
    heard->observer.happened = hear;
    heard->observer.context = heard;
    keyspace_observe(f->keyspace, &heard->observer);
}

static void expect_heard(struct heard *heard, const char *expected) {
    assert_string_equal(heard->text, expected);
    heard->text[0] = '\0';
}

static void every_observer_hears_of_the_events_that_it_asked_for(void **state) {
    struct fixture *f = *state;
    struct heard one = {0}, two = {0}, three = {0};
    listen_for(f, &one, KEYSPACE_WRITTEN);
    listen_for(f, &two, KEYSPACE_NEW | KEYSPACE_DELETED);
    listen_for(f, &three, 0);
    set(f, "a", "1");
    set(f, "a", "2");
    delete_key(f, "a");
    expect_heard(&one, "1:a:there 1:a:there ");
    expect_heard(&two, "0:a:there 5:a:there ");
    expect_heard(&three, "");
    listen_for(f, &three, KEYSPACE_WRITTEN);
    listen_for(f, &one, KEYSPACE_NEW);
    keyspace_unobserve(f->keyspace, &two.observer);
    keyspace_unobserve(f->keyspace, &two.observer);
    set(f, "a", "3");
    delete_key(f, "a");
    expect_heard(&one, "0:a:there ");
    expect_heard(&two, "");
    expect_heard(&three, "1:a:there ");
    keyspace_unobserve(f->keyspace, &one.observer);
    keyspace_unobserve(f->keyspace, &three.observer);
    set(f, "a", "4");
    expect_heard(&one, "");
    expect_heard(&three, "");
}

/* --- A value that is in its entry already */

static struct entry_reserve reserve_for(const char *key, char fill) {
    struct entry_reserve reserve;
    assert_true(entry_reserve(&reserve, strlen(key), ENTRY_LENDABLE_BYTES));
    memset((char *)reserve.value.ptr, fill, reserve.value.len);
    return reserve;
}

static void a_reserve_is_taken_by_a_write_like_any_other(void **state) {
    struct fixture *f = *state;
    struct heard heard = {0};
    struct key a = key_of(f, "a");
    listen_for(f, &heard, KEYSPACE_NEW | KEYSPACE_WRITTEN | KEYSPACE_TIMED);
    size_t used = 0;
    const struct entry *lent = NULL;
    for (int i = 0; i < 2; i++) {
        struct entry_reserve reserve = reserve_for("a", (char)('0' + i));
        const char *at = reserve.value.ptr;
        struct keyspace_set set = {.value = reserve.value, .reserve = &reserve};
        assert_int_equal(keyspace_set(f->keyspace, &a, &set, NULL), ERR_NONE);
        assert_null(reserve.entry);
        const struct entry *entry = keyspace_find(f->keyspace, &a, KEYSPACE_QUIETLY);
        assert_ptr_equal(entry_value(entry).ptr, at);
        assert_int_equal(entry_version(entry), i + 1);
        used = i == 0 ? keyspace_used_bytes(f->keyspace) : used;
        if (lent == NULL) {
            entry_lend(lent = entry);
        }
    }
    assert_int_equal(entry_value(lent).ptr[ENTRY_LENDABLE_BYTES - 1], '0');
    entry_give_back(lent);
    assert_int_equal(keyspace_used_bytes(f->keyspace), used);
    expect_heard(&heard, "0:a:there 1:a:there 1:a:there ");
    keyspace_unobserve(f->keyspace, &heard.observer);
}

static void a_reserve_is_left_where_it_does_not_fit_or_nothing_is_stored(void **state) {
    struct fixture *f = *state;
    struct key a = key_of(f, "a"), other = key_of(f, "other");
    struct entry_reserve reserve = reserve_for("a", 'r');
    struct keyspace_set set = {.value = reserve.value, .reserve = &reserve};
    assert_int_equal(keyspace_set(f->keyspace, &other, &set, NULL), ERR_NONE); /* a copy */
    assert_non_null(reserve.entry);
    set.condition = KEYSPACE_IF_PRESENT;
    assert_int_equal(keyspace_set(f->keyspace, &a, &set, NULL), ERR_PRECONDITION);
    assert_non_null(reserve.entry);
    set = (struct keyspace_set){
        .value = reserve.value, .reserve = &reserve, .deadline = KEYSPACE_DEADLINE_SET, .deadline_ms = 1};
    assert_int_equal(keyspace_set(f->keyspace, &a, &set, NULL), ERR_NONE);
    assert_non_null(reserve.entry);
    assert_null(keyspace_find(f->keyspace, &a, KEYSPACE_QUIETLY));
    set = (struct keyspace_set){.value = SLICE("small"), .reserve = &reserve};
    assert_int_equal(keyspace_set(f->keyspace, &a, &set, NULL), ERR_NONE);
    assert_non_null(reserve.entry);
    entry_reserve_deinit(&reserve);
    assert_true(slice_equals(entry_value(keyspace_find(f->keyspace, &a, KEYSPACE_QUIETLY)), SLICE("small")));
    const struct entry *copy = keyspace_find(f->keyspace, &other, KEYSPACE_QUIETLY);
    assert_int_equal(entry_value(copy).len, ENTRY_LENDABLE_BYTES);
    assert_int_equal(entry_value(copy).ptr[ENTRY_LENDABLE_BYTES - 1], 'r');
}

static bool a_has_expired(void *fixture) {
    struct fixture *f = fixture;
    struct key a = key_of(f, "a");
    return keyspace_peek(f->keyspace, &a) == NULL;
}

/* A look does not delete what has expired, though the keyspace owns it. */
static void an_observer_that_looks_changes_nothing(void **state) {
    struct fixture *f = *state;
    struct heard heard = {0};
    keyspace_set_active_expiry(f->keyspace, false);
    set_until(f, "a", keyspace_now_ms(f->keyspace) + 20);
    set(f, "b", "1");
    assert_true(run_until(f, a_has_expired));
    said(f);
    listen_for(f, &heard, KEYSPACE_FLUSHED);
    struct key a = key_of(f, "a");
    assert_null(keyspace_peek(f->keyspace, &a));
    assert_int_equal(keyspace_count(f->keyspace), 2);
    keyspace_flush(f->keyspace);
    expect_heard(&heard, "10::missing ");
    assert_int_equal(keyspace_stats(f->keyspace)->expired, 0);
    assert_string_equal(said(f), "FLUSH|1\n");
    keyspace_unobserve(f->keyspace, &heard.observer);
}

/* A state has what has expired and is not deleted yet: all else that looks finds nothing. */
static void a_scan_of_what_is_stored_meets_what_has_expired(void **state) {
    struct fixture *f = *state;
    keyspace_set_active_expiry(f->keyspace, false);
    set_until(f, "a", keyspace_now_ms(f->keyspace) + 20);
    set(f, "b", "1");
    assert_true(run_until(f, a_has_expired));
    assert_int_equal(count_met(f), 1);
    size_t met = 0;
    uint64_t cursor = 0;
    do {
        cursor = keyspace_scan_stored(f->keyspace, cursor, count_visit, &met);
    } while (cursor != 0);
    assert_int_equal(met, 2);
}

/* More often than there are marks, and with no turn of the loop in which any could be freed. */
static void a_reload_has_what_it_is_given_and_nobody_hears_of_it(void **state) {
    struct fixture *f = *state;
    struct heard heard = {0};
    set(f, "a", "1");
    set(f, "b", "1");
    assert_int_equal(delete_key(f, "b"), 2);
    said(f);
    size_t used_bytes = keyspace_used_bytes(f->keyspace);
    for (int i = 0; i < 40; i++) {
        listen_for(f, &heard, UINT32_MAX & ~(uint32_t)KEYSPACE_FLUSHED);
        uint64_t floor = keyspace_reload_begin(f->keyspace);
        assert_int_equal(floor, 2);
        assert_int_equal(keyspace_count(f->keyspace), 0);
        assert_int_equal(keyspace_floor(f->keyspace), 0);
        assert_true(keyspace_full_begin(f->keyspace));
        assert_int_equal(apply(f, "REPLICATEX|a|9|7|5|0"), ERR_NONE);
        keyspace_raise_floor(f->keyspace, 2);
        keyspace_full_end(f->keyspace, false);
        assert_true(keyspace_reload_end(f->keyspace, floor));
        assert_int_equal(version_of(f, "a"), 7);
        assert_null(peek(f, "b"));
        assert_int_equal(keyspace_used_bytes(f->keyspace), used_bytes);
        expect_heard(&heard, "");
    }
    assert_string_equal(said(f), "");
    set(f, "a", "1");
    assert_string_not_equal(heard.text, "");
    keyspace_unobserve(f->keyspace, &heard.observer);
}

static void a_reload_that_brings_another_floor_says_so(void **state) {
    struct fixture *f = *state;
    set(f, "a", "1");
    assert_int_equal(delete_key(f, "a"), 2);
    uint64_t floor = keyspace_reload_begin(f->keyspace);
    assert_false(keyspace_reload_end(f->keyspace, floor));
    assert_int_equal(keyspace_floor(f->keyspace), 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(versions_count_the_writes_of_a_key),
        TEST(a_version_never_repeats_after_a_deletion),
        TEST(a_flush_raises_the_floor_over_every_version),
        TEST(the_last_version_is_an_error_not_a_zero),
        TEST(conditions_hold_or_change_nothing),
        TEST(a_value_may_be_written_over_itself),
        TEST(a_key_expires_for_its_owner_by_a_deletion),
        TEST(the_sweep_finds_what_nobody_asks_for),
        TEST(a_follower_hides_what_has_expired_and_waits),
        TEST(a_pause_keeps_what_has_expired_and_hides_it),
        TEST(deadlines_are_set_kept_and_cleared),
        TEST(lines_are_applied_as_they_say),
        TEST(a_bare_line_counts_only_when_it_is_newer),
        TEST(a_bare_line_is_newer_than_what_has_expired_and_repeats_no_version),
        TEST(a_bare_line_is_newer_than_what_a_state_has_dropped),
        TEST(only_missing_keys_are_adopted_as_writes),
        TEST(what_is_not_adopted_repeats_no_version_all_the_same),
        TEST(an_adopted_floor_is_a_line_of_its_own),
        TEST(a_full_state_drops_what_it_did_not_touch),
        TEST(a_state_that_begins_does_not_bring_back_what_the_one_before_dropped),
        TEST(every_key_that_is_dropped_is_told_of_once),
        TEST(a_state_may_end_in_the_middle_of_a_pass),
        TEST(states_that_break_off_drop_nothing_however_many),
        TEST(a_state_that_cannot_be_told_from_those_before_it_is_put_off),
        TEST(a_flush_in_the_middle_of_a_state_is_part_of_it),
        TEST(a_pinned_scan_meets_each_key_once_across_a_flush_too),
        TEST(a_random_key_of_an_owner_is_a_live_one),
        TEST(a_random_key_of_a_follower_is_a_live_one),
        TEST(a_flush_gives_the_memory_back_in_the_background),
        TEST(hits_and_misses_are_counted_by_reads_only),
        TEST(every_observer_hears_of_the_events_that_it_asked_for),
        TEST(a_reserve_is_taken_by_a_write_like_any_other),
        TEST(a_reserve_is_left_where_it_does_not_fit_or_nothing_is_stored),
        TEST(a_reserve_is_taken_by_a_write_like_any_other),
        TEST(a_reserve_is_left_where_it_does_not_fit_or_nothing_is_stored),
        TEST(an_observer_that_looks_changes_nothing),
        TEST(a_scan_of_what_is_stored_meets_what_has_expired),
        TEST(a_reload_has_what_it_is_given_and_nobody_hears_of_it),
        TEST(a_reload_that_brings_another_floor_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
