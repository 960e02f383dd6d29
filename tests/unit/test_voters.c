#include "protocol/voters.h"

#include "protocol/line.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static void test_a_list_is_parsed_and_written(void **state) {
    (void)state;
    struct voters voters;
    char text[VOTERS_MAX_BYTES];
    assert_true(voters_parse(SLICE("a,b-1,C_2"), &voters));
    assert_int_equal(voters.count, 3);
    assert_string_equal(voters.ids[1], "b-1");
    assert_true(slice_equals(slice_of(text, voters_write(text, &voters)), SLICE("a,b-1,C_2")));
    assert_int_equal(voters_find(&voters, "C_2"), 2);
    assert_int_equal(voters_find(&voters, "c_2"), -1);
    assert_true(voters_parse(SLICE("a"), &voters));
    assert_int_equal(voters_majority(&voters), 1);
}

static void test_what_is_no_list_is_refused(void **state) {
    (void)state;
    static const char *const wrong[] = {
        "", ",", "a,", ",a", "a,,b", "a,a", "a b", "a|b", "1,2,3,4,5,6,7,8,9,10"};
    struct voters voters = {.count = 77};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_false(voters_parse(slice_from_text(wrong[i]), &voters));
    }
    assert_int_equal(voters.count, 77);
}

static void test_a_set_grows_and_shrinks(void **state) {
    (void)state;
    struct voters voters = {0};
    for (char id[] = "1"; id[0] <= '9'; id[0]++) {
        assert_true(voters_add(&voters, id));
        assert_false(voters_add(&voters, id));
    }
    assert_false(voters_add(&voters, "x"));
    assert_int_equal(voters_majority(&voters), 5);
    assert_true(voters_remove(&voters, "1") && voters_remove(&voters, "9"));
    assert_false(voters_remove(&voters, "9"));
    assert_int_equal(voters.count, 7);
    assert_string_equal(voters.ids[0], "2");
    assert_int_equal(voters_majority(&voters), 4);
}

static void says(struct buf *out, const char *expected) {
    struct buf scratch;
    struct line line;
    const char *reason;
    buf_init(&scratch, 1000);
    assert_true(slice_equals(buf_slice(out), slice_from_text(expected)));
    assert_int_equal(line_decode(slice_first(buf_slice(out), buf_used(out) - 1), &scratch, &line, &reason),
                     LINE_OK);
    buf_deinit(&scratch);
    buf_reset(out);
}

static void test_their_lines_byte_for_byte(void **state) {
    (void)state;
    struct voters voters;
    struct buf out;
    buf_init(&out, 1000);
    assert_true(voters_parse(SLICE("a,b"), &voters));
    line_voters(&out, &voters);
    says(&out, "VOTERS|a,b\n");
    line_acks(&out, true);
    says(&out, "ACKS|quorum\n");
    line_acks(&out, false);
    says(&out, "ACKS|leader\n");
    line_vote(&out, "a", 7, 3, LINE_PHASE_PRE, 1, 99, &(struct term){2, "b"});
    says(&out, "VOTE|a|7|0000000000000001|3|2-b|99|pre\n");
    line_vote(&out, "a", 7, 3, LINE_PHASE_TRANSFER, 1, 0, &(struct term){0});
    says(&out, "VOTE|a|7|0000000000000001|3|-|0|transfer\n");
    line_voted(&out, "b", 3, LINE_PHASE_REAL, true, false);
    says(&out, "VOTED|b|3|real|yes|firm\n");
    line_voted(&out, "b", 3, LINE_PHASE_PRE, false, true);
    says(&out, "VOTED|b|3|pre|no|forgetful\n");
    line_timeout_now(&out, 3);
    says(&out, "TIMEOUT_NOW|3\n");
    line_ping_round(&out, 9, 4);
    says(&out, "PING|9|4\n");
    line_ack_round(&out, 9, 7, 4);
    says(&out, "ACK|9|7|4\n");
    buf_deinit(&out);
}

static void test_wrong_lines_are_malformed(void **state) {
    (void)state;
    static const char *const wrong[] = {"VOTERS|",
                                        "VOTERS|a,a",
                                        "ACKS|most",
                                        "VOTE|a|7|0000000000000001|0|-|0|pre",
                                        "VOTE|a|7|0000000000000001|3|-|0|now",
                                        "VOTE|a|7|0000000000000001|3|0-a|0|pre",
                                        "VOTED|b|3|real|maybe|firm",
                                        "VOTED|b|3|real|yes|sure",
                                        "TIMEOUT_NOW|0",
                                        "VOTED|b|3|real|yes"};
    struct buf scratch;
    buf_init(&scratch, 1000);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct line line;
        const char *reason;
        assert_int_equal(line_decode(slice_from_text(wrong[i]), &scratch, &line, &reason), LINE_MALFORMED);
    }
    buf_deinit(&scratch);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_list_is_parsed_and_written), cmocka_unit_test(test_what_is_no_list_is_refused),
        cmocka_unit_test(test_a_set_grows_and_shrinks),      cmocka_unit_test(test_their_lines_byte_for_byte),
        cmocka_unit_test(test_wrong_lines_are_malformed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
