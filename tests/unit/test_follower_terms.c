/* Transcripts: the terms of a history as a follower hears, keeps and tells them. */
#include "tests/unit/follower_fixture.h"

static void is_of_term(uint64_t number, const char *node_id) {
    const struct term *term = lineage_last(history_lineage(history));
    assert_int_equal(term->number, number);
    assert_string_equal(term->node_id, node_id);
}

static void test_a_term_counts_and_its_line_is_kept(void **state) {
    (void)state;
    follow_a();
    say("CLOCK|600\nREPLICATE|k|v|1\nTERM|2|boss\nREPLICATE|k|w|2\n");
    is_at(A, 4);
    is_of_term(2, "boss");
    assert_int_equal(lineage_next_term(history_lineage(history), 0), 3);
    struct buf lines;
    buf_init(&lines, SIZE_MAX);
    struct history_reader reader = {0};
    struct slice kept = SLICE("");
    uint64_t last = 0;
    assert_true(history_open(history, &reader, 0) && history_read(history, &reader, &kept, &last));
    assert_true(slice_equals(kept, SLICE("CLOCK|600\nREPLICATE|k|v|1\nTERM|2|boss\nREPLICATE|k|w|2\n")));
    history_close(history, &reader);
    reconnect(&first);
    say("LEAD|boss|0|" A_TEXT "|4|2-boss\n");
    answered("SYNC|me|" A_TEXT "|4|2-boss\n");
}

static void test_a_state_has_a_term_too(void **state) {
    (void)state;
    say("LEAD|boss|0|" A_TEXT "|7|2-boss\n");
    answered("SYNC|me|-|0\n");
    say("FULL|" A_TEXT "|7|3|2-boss\nREPLICATEX|k|v|2|500|0\nEND|1|7\n");
    is_of_term(2, "boss");
    reconnect(&first);
    say("LEAD|boss|0|" A_TEXT "|9|2-boss\n");
    answered("SYNC|me|" A_TEXT "|7|2-boss\n");
    say("FULL|" A_TEXT "|7|3|2-boss\nTERM|3|boss\nREPLICATEX|k|v|2|500|0\nEND|1|8\n");
    is_of_term(3, "boss");
    assert_null(lineage_at(history_lineage(history), 7));
    reconnect(&first);
    say("LEAD|boss|0|" A_TEXT "|9|3-boss\n");
    answered("SYNC|me|" A_TEXT "|8|3-boss\n");
    say("FULL|" A_TEXT
        "|9|3|3-boss\nSINCE|0|-\nSINCE|4|2-boss\nSINCE|8|3-boss\nREPLICATEX|k|v|2|500|0\nEND|1|9\n");
    is_of_term(3, "boss");
    assert_int_equal(lineage_at(history_lineage(history), 3)->number, 0);
    assert_int_equal(lineage_at(history_lineage(history), 7)->number, 2);
}

static void test_a_plain_line_after_continue_is_of_the_time_that_was_said_before(void **state) {
    (void)state;
    follow_a();
    say("CLOCK|600\nREPLICATE|k|v|1\n");
    struct group_data data = model_data(&store);
    reconnect(&first);
    follower_init(&follower, "me", 0, history, &data); /* another life, with what a disk has kept */
    say("LEAD|boss|0|" A_TEXT "|3\n");
    answered("SYNC|me|" A_TEXT "|2\n");
    say("CONTINUE|" A_TEXT "|2\nREPLICATE|k|w|2\n");
    holds("k", "w", 2, 600);
}

static void test_the_terms_of_a_state_come_in_their_order(void **state) {
    (void)state;
    static const char *const wrong[] = {"SINCE|4|2-boss\nSINCE|4|3-boss\n", "SINCE|4|2-boss\nSINCE|5|2-boss\n",
                                        "SINCE|4|2-boss\nSINCE|5|-\n", "END|0|7\nSINCE|4|2-boss\n"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        say("LEAD|boss|0|" A_TEXT "|7|2-boss\nFULL|" A_TEXT "|7|3|2-boss\n");
        buf_reset(&out);
        refused(&first, wrong[i], "ERROR|SINCE out of place\n");
        reconnect(&first);
    }
}

/* Else the lines SINCE that this node writes to its disk and to others would not go on, either. */
static void test_a_term_is_later_than_the_one_before(void **state) {
    (void)state;
    static const char *const wrong[] = {"TERM|2|boss\n", "TERM|1|zzzz\n", "TERM|2|boss-a\n"};
    follow_a();
    say("TERM|2|boss-b\n");
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        reconnect(&first);
        say("LEAD|boss|0|" A_TEXT "|1|2-boss-b\nCONTINUE|" A_TEXT "|1\n");
        buf_reset(&out);
        refused(&first, wrong[i], "ERROR|TERM is not later than the one before it\n");
        is_at(A, 1);
        is_of_term(2, "boss-b");
    }
    reconnect(&first);
    say("LEAD|boss|0|" A_TEXT "|1|2-boss-b\nFULL|" A_TEXT "|1|0|2-boss-b\n");
    buf_reset(&out);
    refused(&first, "TERM|2|boss\n", "ERROR|TERM is not later than the one before it\n");
    reconnect(&first);
    say("LEAD|boss|0|" A_TEXT "|1|2-boss-b\n");
    buf_reset(&out);
    refused(&first, "TERM|9223372036854775808|boss\n", "ERROR|bad term\n"); /* nobody could begin another */
}

static void test_no_term_of_a_state_begins_behind_it(void **state) {
    (void)state;
    say("LEAD|boss|0|" A_TEXT "|7|2-boss\nFULL|" A_TEXT "|7|3|2-boss\nSINCE|0|-\nSINCE|99|2-boss\n");
    buf_reset(&out);
    refused(&first, "END|0|7\n", "ERROR|SINCE is behind END\n");
}

static void test_a_batch_holds_no_term(void **state) {
    (void)state;
    follow_a();
    say("BATCH|2\n");
    refused(&first, "TERM|2|boss\n", "ERROR|a BATCH holds changes only\n");
    is_at(A, 0);
    is_of_term(0, "");
}

/* What the disk had was of another line; whether it has this one nobody has been asked yet. */
static void test_nothing_of_a_state_that_has_just_come_is_durable(void **state) {
    (void)state;
    follower.keeps = true;
    follow_a();
    say("CLOCK|600\nREPLICATE|k|v|1\n");
    follower.durable_index = 2;
    say("PING|2\n");
    answered("ACK|2|2\n");
    reconnect(&first);
    say("LEAD|boss|0|" A_TEXT "|9|1-boss\n");
    buf_reset(&out);
    say("FULL|" A_TEXT "|9|3|1-boss\nREPLICATEX|k|w|2|500|0\nEND|1|9\nPING|9\n");
    answered("ACK|9|0\n");
    follower.durable_index = 9;
    say("PING|9\n");
    answered("ACK|9|9\n");
}

static void lead_in(const struct term *term) {
    struct lineage lineage;
    lineage_begin(&lineage, term, 12);
    history_restart(history, A, 12, &lineage);
    follower_lead(&follower);
}

static void test_of_two_leaders_of_one_history_the_later_term_leads(void **state) {
    (void)state;
    lead_in(&(struct term){2, "me"});
    refused(&first, "LEAD|boss|0|" A_TEXT "|99|1-boss\n",
            "ERROR|two leaders: node me leads group 0 with the older history " A_TEXT ", in the later term\n");
    reconnect(&first);
    refused(&first, "LEAD|boss|0|" A_TEXT "|99\n",
            "ERROR|two leaders: node me leads group 0 with the older history " A_TEXT ", in the later term\n");
    reconnect(&first);
    assert_int_equal(say_on(&first, "LEAD|boss|0|" A_TEXT "|3|2-nobody\n"), FOLLOWER_STEP_DOWN);
    reconnect(&first);
    refused(&first, "LEAD|boss|0|" C_TEXT "|3|9-boss\n",
            "ERROR|two leaders: node me leads group 0 with the older history " A_TEXT "\n");
    reconnect(&first);
    assert_int_equal(say_on(&first, "LEAD|boss|0|" A_TEXT "|3|3-boss\n"), FOLLOWER_STEP_DOWN);
}

static void test_a_follower_leaves_its_leader_for_one_of_a_later_term(void **state) {
    (void)state;
    follow_a();
    assert_int_equal(say_on(&second, "LEAD|late|0|" A_TEXT "|0|1-late\n"), FOLLOWER_GO_ON);
    answered("SYNC|me|" A_TEXT "|0\n");
    assert_ptr_equal(follower.leader_link, &second);
    reconnect(&first);
    refused(&first, "LEAD|boss|0|" A_TEXT "|50\n", "ERROR|two leaders: node me follows late\n");
}

/* What a leader that has asked for the state gets. */
static void pull(const char *line) {
    reconnect(&first);
    say("LEAD|boss|0|" A_TEXT "|0\n");
    buf_reset(&out);
    assert_int_equal(say_on(&first, line), FOLLOWER_SEND_STATE);
}

static void test_a_leader_that_has_the_beginning_gets_the_tail(void **state) {
    (void)state;
    follow_a();
    say("CLOCK|600\nREPLICATE|k|v|1\nTERM|2|boss\nREPLICATE|k|w|2\n");
    pull("PULL\n");
    assert_false(first.pulled.tail);
    pull("PULL|" A_TEXT "|2\n");
    assert_true(first.pulled.tail);
    assert_int_equal(first.pulled.index, 2);
    pull("PULL|" A_TEXT "|3|2-boss\n");
    assert_true(first.pulled.tail);
    pull("PULL|" A_TEXT "|3\n"); /* a line 3 that this node has not got */
    assert_false(first.pulled.tail);
    pull("PULL|" C_TEXT "|2\n");
    assert_false(first.pulled.tail);
}

static void test_who_has_nothing_has_no_tail(void **state) {
    (void)state;
    say("LEAD|boss|0|" A_TEXT "|0\n");
    assert_int_equal(say_on(&first, "PULL\n"), FOLLOWER_SEND_STATE);
    assert_false(first.pulled.tail);
}

static void test_or_the_state_where_the_backlog_has_moved_on(void **state) {
    (void)state;
    struct lineage lineage;
    lineage_begin(&lineage, &(struct term){2, "boss"}, 12);
    history_restart(history, A, 12, &lineage);
    pull("PULL|" A_TEXT "|12|2-boss\n");
    assert_true(first.pulled.tail);
    pull("PULL|" A_TEXT "|11|2-boss\n");
    assert_false(first.pulled.tail);
    buf_reset(&out);
    follower_write_state_context(&follower, &out);
    answered("SINCE|12|2-boss\n");
}

/* Its leader has lost the end of its lines, and leads on in a later term: what is here may be all that is left
 * of those. */
static void test_who_leads_on_in_a_later_term_may_lack_what_was_sent_before(void **state) {
    (void)state;
    say("LEAD|boss|0|" A_TEXT "|50|1-boss\nFULL|" A_TEXT "|50|0|1-boss\nREPLICATEX|k|v|1|400|0\n");
    reconnect(&first);
    buf_reset(&out);
    say("LEAD|boss|0|" A_TEXT "|60|1-boss\n");
    answered("SYNC|me|-|0\n");
    reconnect(&first);
    say("LEAD|boss|0|" A_TEXT "|40|2-boss\n");
    answered("SYNC|me|0000000000010007|0\n");
}

/* Likewise of what was here before. It is not gone on from, but who would do that has all of it. */
static void test_nor_need_it_have_what_lies_under_a_part_of_a_state(void **state) {
    (void)state;
    follow_a();
    say("TERM|1|boss\nDELETE|k|3\n");
    reconnect(&first);
    say("LEAD|boss|0|" A_TEXT "|50|2-boss\nFULL|" A_TEXT "|50|0|2-boss\nREPLICATEX|k|v|4|400|0\n");
    reconnect(&first);
    buf_reset(&out);
    say("LEAD|boss|0|" A_TEXT "|40|3-boss\n");
    answered("SYNC|me|" A_TEXT "|2|1-boss\n");
    refused(&first, "CONTINUE|" A_TEXT "|2\n", "ERROR|CONTINUE from where this node is not\n");
    reconnect(&first);
    say("LEAD|boss|0|" A_TEXT "|40|3-boss\n");
    answered("SYNC|me|-|0\n");
    reconnect(&first);
    say("LEAD|boss|0|" A_TEXT "|40|4-boss\n");
    answered("SYNC|me|" A_TEXT "|2|1-boss\n");
}

static void test_a_mixture_is_nobodys_beginning(void **state) {
    (void)state;
    follow_a();
    say("CLOCK|600\nREPLICATE|k|v|1\n");
    reconnect(&first);
    say("LEAD|boss|0|" C_TEXT "|9\n");
    say("FULL|" C_TEXT "|9|0\nREPLICATEX|x|y|1|500|0\n");
    reconnect(&first);
    buf_reset(&out);
    pull("PULL|" A_TEXT "|2\n");
    assert_false(first.pulled.tail);
}

int main(void) {
#define TRANSCRIPT(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TRANSCRIPT(test_a_term_counts_and_its_line_is_kept),
        TRANSCRIPT(test_a_state_has_a_term_too),
        TRANSCRIPT(test_the_terms_of_a_state_come_in_their_order),
        TRANSCRIPT(test_a_term_is_later_than_the_one_before),
        TRANSCRIPT(test_no_term_of_a_state_begins_behind_it),
        TRANSCRIPT(test_a_batch_holds_no_term),
        TRANSCRIPT(test_nothing_of_a_state_that_has_just_come_is_durable),
        TRANSCRIPT(test_a_plain_line_after_continue_is_of_the_time_that_was_said_before),
        TRANSCRIPT(test_of_two_leaders_of_one_history_the_later_term_leads),
        TRANSCRIPT(test_a_follower_leaves_its_leader_for_one_of_a_later_term),
        TRANSCRIPT(test_a_leader_that_has_the_beginning_gets_the_tail),
        TRANSCRIPT(test_who_has_nothing_has_no_tail),
        TRANSCRIPT(test_or_the_state_where_the_backlog_has_moved_on),
        TRANSCRIPT(test_who_leads_on_in_a_later_term_may_lack_what_was_sent_before),
        TRANSCRIPT(test_nor_need_it_have_what_lies_under_a_part_of_a_state),
        TRANSCRIPT(test_a_mixture_is_nobodys_beginning),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
