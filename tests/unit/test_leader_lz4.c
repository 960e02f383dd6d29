/* Transcripts: a leader that offers compression; what it says is lines all the same, and the link tells from
 * where on they go as LZ4 frames. */
#include "tests/unit/leader_fixture.h"

static void serve_and_offer(void) {
    serve();
    leader.offers_lz4 = true;
}

static void test_without_the_flag_nothing_is_offered_nor_taken(void **state) {
    (void)state;
    serve();
    dial(0);
    said(0, "LEAD|boss|0|" OWN_TEXT "|0\n");
    answers(0, "SYNC|f0|-|0|-|lz4\n");
    assert_false(links[0].lz4);
    said(0, "FULL|" OWN_TEXT "|0|0\nEND|0|0\n");
    hang_up(0);
}

static void test_an_offer_that_is_taken_holds_from_the_answer_to_sync_on(void **state) {
    (void)state;
    serve_and_offer();
    dial(0);
    said(0, "LEAD|boss|0|" OWN_TEXT "|0|-|lz4\n");
    assert_false(links[0].lz4);
    answers(0, "SYNC|f0|-|0|-|lz4\n");
    assert_true(links[0].lz4);
    said(0, "FULL|" OWN_TEXT "|0|0\nEND|0|0\n");
    hang_up(0);
    set("k", "v");
    dial(0);
    assert_false(links[0].lz4);
    answers(0, "SYNC|f0|" OWN_TEXT "|0|-|lz4\n");
    said(0, "LEAD|boss|0|" OWN_TEXT "|2|-|lz4\nCONTINUE|" OWN_TEXT "|0\nCLOCK|2000\nREPLICATE|k|v|1\n");
    assert_true(links[0].lz4);
    hang_up(0);
}

static void test_each_follower_has_its_own_way(void **state) {
    (void)state;
    serve_and_offer();
    for (size_t i = 0; i < LINKS; i++) {
        dial(i);
    }
    answers(0, "SYNC|f0|-|0|-|lz4\n");
    answers(1, "SYNC|f1|-|0\n");          /* does not know it, or does not want it */
    answers(2, "SYNC|f2|-|0|-|zstd19\n"); /* of the future */
    assert_true(links[0].lz4);
    assert_false(links[1].lz4);
    assert_false(links[2].lz4);
    for (size_t i = 0; i < LINKS; i++) {
        said(i, "LEAD|boss|0|" OWN_TEXT "|0|-|lz4\nFULL|" OWN_TEXT "|0|0\nEND|0|0\n");
        hang_up(i);
    }
}

static void test_a_peer_that_knows_only_the_specification_gets_plain_lines(void **state) {
    (void)state;
    serve_and_offer();
    set("k", "v");
    dial_as(0, false);
    wait(LEADER_SPEC_ONLY_AFTER_MS);
    assert_false(links[0].lz4);
    said(0, "LEAD|boss|0|" OWN_TEXT "|1|-|lz4\nREPLICATE|k|v|1\n");
    closes(0, "SYNC|f0|-|0|-|lz4\n"); /* too late: lines have gone already. It is dialled again. */
}

static void test_a_term_stands_before_it(void **state) {
    (void)state;
    history_restart(history, OWN, 3, NULL);
    leader_recover(&leader, 4);
    leader.offers_lz4 = true;
    wait(LEADER_LISTEN_MS);
    leader_term_kept(&leader);
    dial(0);
    said(0, "LEAD|boss|0|" OWN_TEXT "|4|5-boss|lz4\n");
    answers(0, "SYNC|f0|" OWN_TEXT "|4|5-boss|lz4\n");
    assert_true(links[0].lz4);
    said(0, "CONTINUE|" OWN_TEXT "|4\n");
    hang_up(0);
}

/* PULL is the leader's, and compressed; what the follower answers is not. */
static void test_a_state_is_pulled_in_plain_lines(void **state) {
    (void)state;
    leader.offers_lz4 = true;
    dial(0);
    answers(0, "SYNC|f0|" A_TEXT "|7|-|lz4\n");
    wait(LEADER_LISTEN_MS);
    assert_true(links[0].lz4);
    said(0, "LEAD|boss|0|" OWN_TEXT "|0|-|lz4\nPULL\n");
    answers(0, "FULL|" A_TEXT "|7|0\nREPLICATEX|k|v|1|500|0\nEND|1|7\n");
    assert_true(holds("k", "v", 1));
    hang_up(0);
}

int main(void) {
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_without_the_flag_nothing_is_offered_nor_taken),
        TEST(test_an_offer_that_is_taken_holds_from_the_answer_to_sync_on),
        TEST(test_each_follower_has_its_own_way),
        TEST(test_a_peer_that_knows_only_the_specification_gets_plain_lines),
        TEST(test_a_term_stands_before_it),
        TEST(test_a_state_is_pulled_in_plain_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
