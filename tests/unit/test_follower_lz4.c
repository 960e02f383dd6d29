/* Transcripts: what a follower answers a leader that offers compression, and from where on its link has it. */
#include "tests/unit/follower_fixture.h"

static void test_an_offer_is_taken_in_sync(void **state) {
    (void)state;
    follower.takes_lz4 = true;
    say("LEAD|boss|0|" A_TEXT "|7|-|lz4\n");
    answered("SYNC|me|-|0|-|lz4\n");
    assert_true(first.lz4);
    say("FULL|" A_TEXT "|7|0\nEND|0|7\n"); /* as the driver has it of the frames */
    is_at(A, 7);
    reconnect(&first);
    assert_false(first.lz4);
    say("LEAD|boss|0|" A_TEXT "|8|2-boss|lz4\n");
    answered("SYNC|me|" A_TEXT "|7|-|lz4\n");
    say("CONTINUE|" A_TEXT "|7\nTERM|2|boss\n");
    reconnect(&first);
    say("LEAD|boss|0|" A_TEXT "|8|2-boss|lz4\n");
    answered("SYNC|me|" A_TEXT "|8|2-boss|lz4\n");
}

static void test_what_is_not_offered_is_not_asked_for(void **state) {
    (void)state;
    follower.takes_lz4 = true;
    say("LEAD|boss|0|" A_TEXT "|7\n");
    answered("SYNC|me|-|0\n");
    assert_false(first.lz4);
    reconnect(&first);
    say("LEAD|boss|0|" A_TEXT "|7|-|zstd19\n"); /* of the future */
    answered("SYNC|me|-|0\n");
    assert_false(first.lz4);
}

static void test_without_the_flag_an_offer_is_passed_over(void **state) {
    (void)state;
    say("LEAD|boss|0|" A_TEXT "|7|-|lz4\n");
    answered("SYNC|me|-|0\n");
    assert_false(first.lz4);
    say("FULL|" A_TEXT "|7|0\nEND|0|7\n");
    is_at(A, 7);
}

/* Only when the leader is believed: SYNC says from where on. */
static void test_nothing_is_compressed_before_the_proof(void **state) {
    (void)state;
    follower.takes_lz4 = true;
    nobody_answers = true;
    assert_int_equal(say_on(&first, "LEAD|boss|0|" A_TEXT "|7|-|lz4\n"), FOLLOWER_PROVE);
    assert_false(first.lz4);
    answered("");
    assert_int_equal(proof(&first, "boss", 0, true), FOLLOWER_GO_ON);
    answered("SYNC|me|-|0|-|lz4\n");
    assert_true(first.lz4);
}

static void test_what_cannot_be_read_is_refused_and_counted(void **state) {
    (void)state;
    follower.takes_lz4 = true;
    say("LEAD|boss|0|" A_TEXT "|7|-|lz4\n");
    buf_reset(&out);
    assert_int_equal(follower_link_unreadable(&follower, "no frame", &out), FOLLOWER_CLOSE);
    answered("ERROR|no frame\n");
    assert_int_equal(follower.lines_malformed, 1);
}

int main(void) {
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_an_offer_is_taken_in_sync),
        TEST(test_what_is_not_offered_is_not_asked_for),
        TEST(test_without_the_flag_an_offer_is_passed_over),
        TEST(test_nothing_is_compressed_before_the_proof),
        TEST(test_what_cannot_be_read_is_refused_and_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
