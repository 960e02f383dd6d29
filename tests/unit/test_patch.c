/* keyspace_patch and PATCHX: what the value is, what the history says of it, and what a follower makes of it.
 */
#include "tests/unit/keyspace_fixture.h"

#include <stdio.h>

enum { LONG = 300 };

static struct key key_of(struct fixture *f, const char *name) {
    return keyspace_key(f->keyspace, slice_from_text(name));
}

static const struct entry *find(struct fixture *f, const char *name) {
    struct key key = key_of(f, name);
    return keyspace_find(f->keyspace, &key, KEYSPACE_QUIETLY);
}

static void set(struct fixture *f, const char *name, struct slice value, int64_t deadline_ms) {
    struct key key = key_of(f, name);
    struct keyspace_set request = {.value = value,
                                   .deadline =
                                       deadline_ms == 0 ? KEYSPACE_DEADLINE_CLEAR : KEYSPACE_DEADLINE_SET,
                                   .deadline_ms = deadline_ms};
    assert_int_equal(keyspace_set(f->keyspace, &key, &request, NULL), ERR_NONE);
}

/* A value of LONG bytes. */
static void set_long(struct fixture *f, const char *name, int64_t deadline_ms) {
    char value[LONG];
    memset(value, 'v', sizeof(value));
    set(f, name, slice_of(value, sizeof(value)), deadline_ms);
}

static enum err patch(struct fixture *f, const char *name, size_t count, const struct entry_patch *patches) {
    struct key key = key_of(f, name);
    return keyspace_patch(f->keyspace, &key, NULL, patches, count, NULL);
}

static enum err patch_one(struct fixture *f, const char *name, size_t offset, struct slice bytes) {
    return patch(f, name, 1, &(struct entry_patch){offset, bytes});
}

/* What the history says, with '@' for the time of now. */
static const char *said_at(struct fixture *f, const char *format) {
    static char expected[512];
    const char *at = format;
    size_t n = 0;
    for (; *at != '\0'; at++) {
        if (*at == '@') {
            n += (size_t)snprintf(expected + n, sizeof(expected) - n, "%lld",
                                  (long long)keyspace_now_ms(f->keyspace));
        } else {
            expected[n++] = *at;
        }
    }
    expected[n] = '\0';
    return expected;
}

static void the_history_says_the_bytes_where_that_is_shorter(void **state) {
    struct fixture *f = *state;
    set_long(f, "a", 4000000000000);
    said(f);
    assert_int_equal(patch_one(f, "a", 7, SLICE("X")), ERR_NONE);
    assert_string_equal(said(f), said_at(f, "PATCHX|a|7|X|2|@\n"));
    assert_int_equal(entry_deadline_ms(find(f, "a")), 4000000000000);
    assert_int_equal(entry_version(find(f, "a")), 2);
    const struct entry_patch far_apart[] = {{0, SLICE("\0b")}, {LONG + 2, SLICE("z")}};
    assert_int_equal(patch(f, "a", 2, far_apart), ERR_NONE);
    assert_string_equal(said(f), said_at(f, "BATCH|2\nPATCHX|a|0|~b|3|@\nPATCHX|a|302|z|3|@\n"));
    struct slice value = entry_value(find(f, "a"));
    assert_int_equal(value.len, LONG + 3);
    assert_memory_equal(value.ptr, "\0bvvvvvXv", 9);
    assert_memory_equal(value.ptr + LONG - 1, "v\0\0z", 4);
    /* Where all of it is shorter, or as long, it is said as ever. */
    set(f, "b", SLICE("12345"), 0);
    assert_int_equal(patch_one(f, "b", 2, SLICE("x")), ERR_NONE);
    assert_string_equal(said(f), "REPLICATE|b|12345|1\nREPLICATE|b|12x45|2\n");
}

/* To who has not got it yet a key that is patched is on its way: a new one is said to be there first. */
static void a_new_key_is_said_to_be_there_before_it_is_patched(void **state) {
    struct fixture *f = *state;
    assert_int_equal(patch_one(f, "a", 1000, SLICE("x")), ERR_NONE);
    assert_string_equal(said(f), said_at(f, "BATCH|2\nREPLICATE|a||1\nPATCHX|a|1000|x|1|@\n"));
    assert_int_equal(entry_value(find(f, "a")).len, 1001);
    keyspace_batch_begin(f->keyspace);
    assert_int_equal(patch_one(f, "b", 1000, SLICE("x")), ERR_NONE);
    assert_int_equal(patch_one(f, "b", 0, SLICE("y")), ERR_NONE);
    keyspace_batch_end(f->keyspace);
    assert_string_equal(said(f),
                        said_at(f, "BATCH|3\nREPLICATE|b||1\nPATCHX|b|1000|x|1|@\nPATCHX|b|0|y|2|@\n"));
}

static void what_would_be_too_long_changes_nothing(void **state) {
    struct fixture *f = *state;
    set(f, "a", SLICE("v"), 0);
    said(f);
    assert_int_equal(patch_one(f, "a", LIMIT_VALUE_BYTES, SLICE("x")), ERR_VALUE_TOO_LONG);
    assert_int_equal(patch_one(f, "a", SIZE_MAX, SLICE("x")), ERR_VALUE_TOO_LONG);
    assert_string_equal(said(f), "");
    assert_int_equal(entry_version(find(f, "a")), 1);
}

/* A value that grows at its end by little is copied now and then only. */
static void a_value_that_grows_stays_where_it_is_most_of_the_time(void **state) {
    struct fixture *f = *state;
    size_t moves = 0;
    const char *before = NULL;
    for (size_t i = 0; i < 20000; i++) {
        assert_int_equal(patch_one(f, "a", i * 10, SLICE("0123456789")), ERR_NONE);
        const char *now = entry_value(find(f, "a")).ptr;
        moves += now != before;
        before = now;
        said(f);
    }
    assert_true(moves < 100);
}

/* --- A follower */

static void a_line_says_what_the_bytes_are_however_often(void **state) {
    struct fixture *f = *state;
    keyspace_set_owner(f->keyspace, false);
    assert_int_equal(apply(f, "REPLICATEX|a|0123456789|4|7|4000000000000"), ERR_NONE);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(apply(f, "PATCHX|a|8|xyz|5|1000"), ERR_NONE);
        assert_int_equal(apply(f, "PATCHX|a|13|~%7E|6|2000"), ERR_NONE);
        assert_true(slice_equals(entry_value(find(f, "a")), SLICE("01234567xyz\0\0\0~")));
        assert_int_equal(entry_version(find(f, "a")), 6);
        assert_int_equal(entry_timestamp_ms(find(f, "a")), 2000);
        assert_int_equal(entry_deadline_ms(find(f, "a")), 4000000000000);
    }
    assert_string_equal(said(f), "");
}

/* A key of which the arriving state has said nothing yet comes with its state line: what is here of it is old,
 * or nothing. */
static void while_a_state_arrives_what_it_has_not_brought_is_not_patched(void **state) {
    struct fixture *f = *state;
    keyspace_set_owner(f->keyspace, false);
    assert_int_equal(apply(f, "REPLICATE|old|is old|1"), ERR_NONE);
    assert_int_equal(apply(f, "REPLICATE|gone|is old|1"), ERR_NONE);
    assert_true(keyspace_full_begin(f->keyspace));
    assert_int_equal(apply(f, "REPLICATEX|came|before|1|1000|0"), ERR_NONE);
    assert_int_equal(apply(f, "PATCHX|came|0|B|2|1000"), ERR_NONE);
    assert_int_equal(apply(f, "PATCHX|old|0|X|2|1000"), ERR_NONE);
    assert_int_equal(apply(f, "PATCHX|gone|0|X|2|1000"), ERR_NONE);
    assert_int_equal(apply(f, "PATCHX|missing|0|X|2|1000"), ERR_NONE);
    assert_true(slice_equals(entry_value(find(f, "came")), SLICE("Before")));
    assert_true(slice_equals(entry_value(find(f, "old")), SLICE("is old")));
    assert_null(find(f, "missing"));
    assert_int_equal(apply(f, "REPLICATEX|old|Xs new|2|1000|0"), ERR_NONE);
    assert_int_equal(apply(f, "PATCHX|old|1|S|3|1000"), ERR_NONE);
    keyspace_full_end(f->keyspace, false);
    assert_true(slice_equals(entry_value(find(f, "old")), SLICE("XS new")));
    assert_null(find(f, "gone"));
    assert_int_equal(apply(f, "PATCHX|came|6|!|3|1000"), ERR_NONE);
    assert_true(slice_equals(entry_value(find(f, "came")), SLICE("Before!")));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(the_history_says_the_bytes_where_that_is_shorter),
        TEST(a_new_key_is_said_to_be_there_before_it_is_patched),
        TEST(what_would_be_too_long_changes_nothing),
        TEST(a_value_that_grows_stays_where_it_is_most_of_the_time),
        TEST(a_line_says_what_the_bytes_are_however_often),
        TEST(while_a_state_arrives_what_it_has_not_brought_is_not_patched),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
