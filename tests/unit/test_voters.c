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
    line_transfer(&out, "a");
    says(&out, "TRANSFER|a\n");
    line_ping_round(&out, 9, 4);
    says(&out, "PING|9|4\n");
    line_ack_round(&out, 9, 7, 4);
    says(&out, "ACK|9|7|4\n");
    buf_deinit(&out);
}

#define LONGEST_ID "123456789012345678901234567890123456789"

static void test_lines_of_forming_byte_for_byte(void **state) {
    (void)state;
    struct voters voters;
    struct buf out;
    buf_init(&out, 1000);
    line_voter(&out, "a", 7, 3, 0, 0);
    says(&out, "VOTER|a|7|3|-|-\n");
    line_voter(&out, LONGEST_ID "a", 16383, 9, UINT64_MAX, 10);
    says(&out, "VOTER|" LONGEST_ID "a|16383|9|ffffffffffffffff|000000000000000a\n");
    assert_true(voters_parse(SLICE("a,b"), &voters));
    line_form(&out, 7, &voters, 10);
    says(&out, "FORM|7|2|a,b|000000000000000a\n");
    line_formed(&out, "b", 10, true, slice_of(NULL, 0));
    says(&out, "FORMED|b|000000000000000a|yes\n");
    line_formed(&out, "b", 10, false, SLICE("it is in another one|100%\n"));
    says(&out, "FORMED|b|000000000000000a|no|it is in another one%7C100%25%0A\n");
    line_unform(&out, 10);
    says(&out, "UNFORM|000000000000000a\n");
    buf_deinit(&out);
}

/* The longest that there are. */
static void test_a_set_of_nine_and_the_longest_reason_fit(void **state) {
    (void)state;
    struct voters voters = {0};
    struct buf out;
    char reason[LINE_REASON_BYTES + 1] = "";
    buf_init(&out, 2000);
    for (char id[] = LONGEST_ID "0"; voters.count < VOTERS_MOST; id[sizeof(id) - 2]++) {
        assert_true(voters_add(&voters, id));
    }
    line_form(&out, 16383, &voters, UINT64_MAX);
    says(&out, "FORM|16383|9|" LONGEST_ID "0," LONGEST_ID "1," LONGEST_ID "2," LONGEST_ID "3," LONGEST_ID
               "4," LONGEST_ID "5," LONGEST_ID "6," LONGEST_ID "7," LONGEST_ID "8|ffffffffffffffff\n");
    memset(reason, '|', LINE_REASON_BYTES);
    line_formed(&out, LONGEST_ID "a", UINT64_MAX, false, slice_from_text(reason));
    struct buf scratch;
    struct line line;
    const char *bad;
    buf_init(&scratch, 1000);
    assert_int_equal(line_decode(slice_first(buf_slice(&out), buf_used(&out) - 1), &scratch, &line, &bad),
                     LINE_OK);
    assert_true(slice_equals(line.text, slice_from_text(reason)));
    buf_deinit(&scratch);
    buf_deinit(&out);
}

static struct line decoded(const char *text, struct buf *scratch) {
    struct line line;
    const char *reason;
    assert_int_equal(line_decode(slice_from_text(text), scratch, &line, &reason), LINE_OK);
    return line;
}

static void test_lines_of_forming_are_read(void **state) {
    (void)state;
    struct buf scratch;
    buf_init(&scratch, 1000);
    struct line line = decoded("VOTER|a|7|0|000000000000000a|-|x", &scratch);
    assert_int_equal(line.verb, LINE_VOTER);
    assert_string_equal(line.node_id, "a");
    assert_int_equal(line.group, 7);
    assert_int_equal(line.count, 0);
    assert_int_equal(line.history_id, 10);
    assert_int_equal(line.forming_id, 0);
    line = decoded("VOTER|a|7|9|-|000000000000000b", &scratch);
    assert_int_equal(line.count, 9);
    assert_int_equal(line.history_id, 0);
    assert_int_equal(line.forming_id, 11);
    line = decoded("FORM|7|2|b,a|000000000000000a|x", &scratch);
    assert_int_equal(line.verb, LINE_FORM);
    assert_int_equal(line.group, 7);
    assert_int_equal(line.count, 2);
    assert_int_equal(line.history_id, 10);
    assert_true(slice_equals(line.text, SLICE("b,a")));
    line = decoded("FORMED|b|000000000000000a|no|a%7Cb%25|x", &scratch);
    assert_int_equal(line.verb, LINE_FORMED);
    assert_string_equal(line.node_id, "b");
    assert_int_equal(line.history_id, 10);
    assert_false(line.yes);
    assert_true(slice_equals(line.text, SLICE("a|b%")));
    line = decoded("FORMED|b|000000000000000a|no", &scratch);
    assert_true(!line.yes && line.text.len == 0);
    line = decoded("FORMED|b|000000000000000a|yes|of the future %", &scratch);
    assert_true(line.yes && line.text.len == 0);
    line = decoded("UNFORM|000000000000000a", &scratch);
    assert_int_equal(line.verb, LINE_UNFORM);
    assert_int_equal(line.history_id, 10);
    assert_true(line.verb > LINE_LAST_OF_HISTORY);
    buf_deinit(&scratch);
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
                                        "VOTED|b|3|real|yes",
                                        "VOTER|a|7|10|-|-",
                                        "VOTER|a|16384|3|-|-",
                                        "VOTER|a|7|3|-",
                                        "VOTER|a|7|3|0000000000000000|-",
                                        "VOTER|a b|7|3|-|-",
                                        "FORM|7|3|a,b|000000000000000a",
                                        "FORM|7|0||000000000000000a",
                                        "FORM|7|2|a,a|000000000000000a",
                                        "FORM|7|2|a,b|-",
                                        "FORM|7|2|a,b",
                                        "FORMED|b|-|yes",
                                        "FORMED|b|000000000000000a",
                                        "FORMED|b|000000000000000a|maybe",
                                        "FORMED|b|000000000000000a|no|50%",
                                        "UNFORM|-",
                                        "UNFORM"};
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
        cmocka_unit_test(test_a_list_is_parsed_and_written),
        cmocka_unit_test(test_what_is_no_list_is_refused),
        cmocka_unit_test(test_a_set_grows_and_shrinks),
        cmocka_unit_test(test_their_lines_byte_for_byte),
        cmocka_unit_test(test_lines_of_forming_byte_for_byte),
        cmocka_unit_test(test_a_set_of_nine_and_the_longest_reason_fit),
        cmocka_unit_test(test_lines_of_forming_are_read),
        cmocka_unit_test(test_wrong_lines_are_malformed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
