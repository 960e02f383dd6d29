/* Transcripts: what is said to a follower, what it answers, what it then holds. */
#include "tests/unit/follower_fixture.h"

static void test_a_new_follower_gets_the_state_and_then_the_stream(void **state) {
    (void)state;
    say("LEAD|boss|0|" A_TEXT "|7\n");
    answered("SYNC|me|-|0\n");
    assert_true(follower_linked(&follower));
    say("FULL|" A_TEXT "|7|3\nREPLICATEX|k|v|2|500|0\nCLOCK|600\nREPLICATE|live|x|4\nEND|1|9\n");
    holds("k", "v", 2, 500);
    holds("live", "x", 4, 600);
    is_at(A, 9);
    assert_int_equal(store.floor, 3);
    say("REPLICATE|k|w|3\nDELETE|live|5\nEXPIREX|k|9000\nCLOCK|700\nREPLICATE|z|a|b|6\n");
    holds("k", "w", 3, 600);
    assert_int_equal(model_find(&store, SLICE("k"))->deadline_ms, 9000);
    holds("z", "a|b", 6, 700);
    lacks("live");
    assert_int_equal(store.floor, 5);
    is_at(A, 14);
    say("FLUSH|8\n");
    assert_int_equal(store.count, 0);
    assert_int_equal(store.floor, 8);
    say("FLOOR|12\nFLOOR|11\n");
    assert_int_equal(store.floor, 12);
    say("PING|17\n");
    answered("ACK|17\n");
}

#define TAIL                                                                                                   \
    "CLOCK|600\nREPLICATE|k|v|1\r\nBATCH|3\nREPLICATE|a|1|1\nFUTURE|x\nDELETE|a|2\nHARK|1|2\nFLOOR|9\n"        \
    "REPLICATEX|k%7C|a%0Ab|10|600|9000\nEXPIREX|k|0\n"

static void test_its_history_says_what_its_leaders_says(void **state) {
    (void)state;
    say("LEAD|boss|0|" A_TEXT "|7\nFULL|" A_TEXT "|7|0\nREPLICATE|live|x|4\nEND|0|9\n");
    assert_int_equal(history_first_index(history), 10); /* what came with the state is in no line */
    say(TAIL);
    is_at(A, 19);
    assert_true(slice_equals(history_lines_behind(history, 9), SLICE(TAIL)));
    reconnect(&first);
    buf_reset(&out);
    say("LEAD|boss|0|" A_TEXT "|20\nCONTINUE|" A_TEXT "|19\nDELETE|k|11\n");
    answered("SYNC|me|" A_TEXT "|19\n");
    assert_true(slice_equals(history_lines_behind(history, 9), SLICE(TAIL "DELETE|k|11\n")));
    is_at(A, 20);
}

/* Should it lead one day: who is at a place of that history goes on. */
static void test_its_history_serves_others(void **state) {
    (void)state;
    struct leader leader;
    struct leader_link link;
    struct group_data data = model_data(&store);
    struct slice tail;
    say("LEAD|boss|0|" A_TEXT "|7\nFULL|" A_TEXT "|7|0\nEND|0|9\n" TAIL);
    leader_init(&leader, "me", 0, history, &data, now_ms);
    leader.phase = LEADER_SERVING;
    buf_reset(&out);
    leader_link_open(&link, &leader, "other", true, now_ms, &out);
    assert_int_equal(
        leader_link_line(&link, &leader, SLICE("SYNC|other|" A_TEXT "|11"), now_ms, &scratch, &out),
        LEADER_GO_ON);
    answered("LEAD|me|0|" A_TEXT "|19\nCONTINUE|" A_TEXT "|11\n");
    assert_int_equal(leader_link_peek(&link, &leader, &tail), LEADER_GO_ON);
    assert_true(slice_equals(tail, slice_from_text(strstr(TAIL, "BATCH"))));
    leader_link_close(&link, &leader, now_ms);
}

/* They count; else the next PING would end the link, and a FULL follow, each time. */
static void test_lines_of_the_future_count(void **state) {
    (void)state;
    follow_a();
    say("FUTURE\nREPLICATE|k|v|1\nFUTURE|k|v\nPING|3\n");
    answered("ACK|3\n");
    say("BATCH|2\nFUTURE|k\nREPLICATE|k|w|2\nPING|6\n");
    answered("ACK|6\n");
    holds("k", "w", 2, now_ms);
    assert_int_equal(first.unknown, 3);
    assert_int_equal(follower.lines_unknown, 3);
    say("FULL|" A_TEXT "|6|0\nFUTURE|k\nEND|0|7\nPING|7\n"); /* END has counted it */
    answered("ACK|7\n");
    assert_int_equal(first.unknown, 4);
}

static void test_a_term_counts_is_kept_and_changes_no_data(void **state) {
    (void)state;
    follow_a();
    store.fail_next = ERR_NO_MEMORY; /* for whoever asks */
    say("TERM|2|boss\nPING|1\n");
    answered("ACK|1\n");
    store.fail_next = ERR_NONE;
    say("REPLICATE|k|v|1\nTERM|3|boss\nPING|3\n");
    answered("ACK|3\n");
    holds("k", "v", 1, now_ms);
    assert_int_equal(follower.lines_unknown, 0);
    reconnect(&first);
    assert_true(
        slice_equals(history_lines_behind(history, 0), SLICE("TERM|2|boss\nREPLICATE|k|v|1\nTERM|3|boss\n")));
}

static void test_a_batch_that_fails_is_not_in_the_history(void **state) {
    (void)state;
    follow_a();
    say("REPLICATE|k|v|1\n");
    store.fail_next = ERR_NO_MEMORY;
    assert_int_equal(say_on(&first, "REPLICATE|k|w|2\nBATCH|1\nREPLICATE|k|x|3\n"), FOLLOWER_CLOSE);
    is_at(A, 1);
    reconnect(&first);
    say("LEAD|boss|0|" A_TEXT "|4\nCONTINUE|" A_TEXT "|1\nREPLICATE|k|w|2\nBATCH|2\nREPLICATE|k|x|3\n");
    is_at(A, 2);
    reconnect(&first); /* in the middle of it */
    assert_true(slice_equals(history_lines_behind(history, 0), SLICE("REPLICATE|k|v|1\nREPLICATE|k|w|2\n")));
}

static void test_bare_lines_count_and_are_not_kept(void **state) {
    (void)state;
    say("REPLICATE|k|v|5\nREPLICATE|k|w|6\nREPLICATE|k|old|1\n");
    assert_int_equal(history_index(history), 2);
    assert_int_equal(history_first_index(history), 3);
    assert_false(follower_is_clean(&follower));
}

static void test_it_goes_on_where_it_was(void **state) {
    (void)state;
    follow_a();
    say("CLOCK|500\nREPLICATE|k|v|1\n");
    reconnect(&first);
    assert_false(follower_linked(&follower));
    say("LEAD|boss|0|" A_TEXT "|3\n");
    answered("SYNC|me|" A_TEXT "|2\n");
    say("CONTINUE|" A_TEXT "|2\nREPLICATE|k|w|2\n"); /* the clock of the history is remembered */
    holds("k", "w", 2, 500);
    is_at(A, 3);
    assert_int_equal(follower.partial_syncs, 1);
}

static void test_it_serves_its_old_data_until_end(void **state) {
    (void)state;
    follow_a();
    say("CLOCK|500\nREPLICATE|old|1|1\nREPLICATE|both|1|1\n");
    reconnect(&first);
    say("LEAD|boss|0|" A_TEXT "|90\nFULL|" A_TEXT "|90|5\n");
    holds("old", "1", 1, 500);
    say("REPLICATEX|both|2|9|600|0\n");
    holds("both", "2", 9, 600);
    holds("old", "1", 1, 500);
    is_at(A, 3); /* it could still go on from there */
    say("END|1|90\n");
    lacks("old");
    holds("both", "2", 9, 600);
    is_at(A, 90);
}

static void test_it_acknowledges_every_100_ms_while_lines_arrive(void **state) {
    (void)state;
    follow_a();
    say("DELETE|k|1\n");
    after(50);
    answered("");
    after(50);
    answered("ACK|1\n");
    after(1000);
    answered("");
    say("LATER|from a future version\nDELETE|k|2\n");
    after(0);
    answered("ACK|3\n");
    assert_int_equal(follower.lines_unknown, 1);
}

static void test_it_acknowledges_while_a_state_or_a_long_line_arrives(void **state) {
    (void)state;
    say("LEAD|boss|0|" A_TEXT "|0\nFULL|" A_TEXT "|0|0\n");
    buf_reset(&out);
    assert_int_equal(after(100), FOLLOWER_GO_ON);
    answered("ACK|0\n");
    say("END|0|0\n");
    for (int i = 0; i < 10; i++) { /* ten seconds of one line */
        assert_int_equal(after(1000), FOLLOWER_GO_ON);
        assert_int_equal(follower_link_part(&first, &follower, SLICE("REPL"), now_ms, &out), FOLLOWER_GO_ON);
    }
    answered("ACK|0\nACK|0\nACK|0\nACK|0\nACK|0\n"); /* so that the leader keeps the link */
}

static void test_a_silent_leader_is_left(void **state) {
    (void)state;
    follow_a();
    assert_int_equal(after(LINK_TIMEOUT_MS - 1), FOLLOWER_GO_ON);
    assert_int_equal(after(1), FOLLOWER_CLOSE);
}

static void test_a_peer_that_knows_only_the_specification_may_be_silent(void **state) {
    (void)state;
    assert_int_equal(after(100 * LINK_TIMEOUT_MS), FOLLOWER_GO_ON);
    say("REPLICATE|k|v|1\n");
    assert_int_equal(after(100 * LINK_TIMEOUT_MS), FOLLOWER_GO_ON);
    say("REPLICATE|k|w|2\n");
    holds("k", "w", 2, now_ms);
}

static void test_plain_lines_before_any_clock_have_the_time_of_the_state(void **state) {
    (void)state;
    follower.unix_offset_ms = 5000000;
    say("REPLICATE|bare|v|1\n");
    holds("bare", "v", 1, 6000000);
    reconnect(&first);
    say("LEAD|boss|0|" A_TEXT "|0\nFULL|" A_TEXT "|0|0\nREPLICATE|k|v|1\nEND|1|1\nREPLICATE|k|w|2\n");
    holds("k", "w", 2, 6000000);
}

static void test_a_batch_applies_all_or_none(void **state) {
    (void)state;
    follow_a();
    say("CLOCK|500\nBATCH|3\nREPLICATE|a|1|1\nREPLICATE|b|1|1\n");
    assert_int_equal(store.count, 0);
    is_at(A, 1);
    reconnect(&first); /* in the middle */
    assert_int_equal(store.count, 0);
    say("LEAD|boss|0|" A_TEXT "|5\n");
    answered("SYNC|me|" A_TEXT "|1\n");
    say("CONTINUE|" A_TEXT "|1\nBATCH|3\nREPLICATE|a|1|1\nREPLICATE|b|1|1\nREPLICATEX|c%7C|1|1|9|0\n");
    holds("a", "1", 1, 500);
    holds("b", "1", 1, 500);
    holds("c|", "1", 1, 9);
    is_at(A, 5);
}

static void test_a_batch_holds_changes_only(void **state) {
    (void)state;
    const char *const lines[] = {"CLOCK|5\n", "BATCH|1\n", "PING|1\n", "WHO\n", "END|1|1\n"};
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        reconnect(&first);
        say("LEAD|boss|0|" A_TEXT "|0\nFULL|" A_TEXT "|0|0\nEND|0|0\nBATCH|2\nREPLICATE|a|1|1\n");
        buf_reset(&out);
        refused(&first, lines[i], "ERROR|a BATCH holds changes only\n");
        assert_int_equal(store.count, 0);
    }
}

static void test_a_malformed_line_changes_nothing(void **state) {
    (void)state;
    follow_a();
    say("CLOCK|500\nREPLICATE|k|v|1\n");
    refused(&first, "REPLICATE|k|w|x\n", "ERROR|bad version\n");
    reconnect(&second);
    refused(&second, "REPLICATEX|k|%|2|0|0\n", "ERROR|bad escape\n");
    holds("k", "v", 1, 500);
    is_at(A, 2);
    assert_int_equal(follower.lines_malformed, 2);
}

static void test_lines_out_of_place_close_the_link(void **state) {
    (void)state;
    static const struct {
        const char *before, *line, *answer;
    } cases[] = {
        {"", "PING|1\n", "ERROR|LEAD or REPLICATE is expected first\n"},
        {"", "END|0|0\n", "ERROR|LEAD or REPLICATE is expected first\n"},
        {"", "FLUSH|1\n", "ERROR|not allowed without LEAD\n"},
        {"", "FLOOR|1\n", "ERROR|not allowed without LEAD\n"},
        {"", "BATCH|1\n", "ERROR|not allowed without LEAD\n"},
        {"", "MESSAGE|c|t\n", "ERROR|MESSAGE is taken after NODE only\n"},
        {"LEAD|boss|0|" A_TEXT "|0\n", "MESSAGE|c|t\n", "ERROR|MESSAGE is taken after NODE only\n"},
        {"LEAD|boss|0|" A_TEXT "|0\n", "NODE|boss\n", "ERROR|NODE must be the first line\n"},
        {"NODE|boss\n", "NODE|boss\n", "ERROR|NODE must be the first line\n"},
        {"NODE|boss\n", "LEAD|boss|0|" A_TEXT "|0\n", "ERROR|LEAD must be the first line\n"},
        {"NODE|boss\n", "REPLICATE|k|v|1\n", "ERROR|LEAD or REPLICATE is expected first\n"},
        {"LEAD|boss|0|" A_TEXT "|0\n", "LEAD|boss|0|" A_TEXT "|0\n", "ERROR|LEAD must be the first line\n"},
        {"LEAD|boss|0|" A_TEXT "|0\n", "END|0|0\n", "ERROR|END without FULL\n"},
        {"LEAD|boss|0|" A_TEXT "|0\n", "CONTINUE|" A_TEXT "|1\n",
         "ERROR|CONTINUE from where this node is not\n"},
        {"LEAD|boss|0|" A_TEXT "|0\n", "ACK|1\n", "ERROR|a leader does not say that\n"},
        {"LEAD|boss|0|" A_TEXT "|0\nFULL|" A_TEXT "|0|0\n", "PULL\n", "ERROR|PULL after FULL\n"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        reconnect(&first);
        say(cases[i].before);
        buf_reset(&out);
        refused(&first, cases[i].line, cases[i].answer);
        history_restart(history, 0, 0, NULL);
        follower_follow(&follower);
    }
}

static void test_a_ping_that_names_another_index_leads_to_a_full_sync(void **state) {
    (void)state;
    follow_a();
    say("DELETE|k|1\n");
    refused(&first, "PING|5\n", "ERROR|PING names another index than this node has counted\n");
    is_at(A, 1); /* what it has may be the last copy: it does not deny it */
    reconnect(&first);
    say("LEAD|other|0|" C_TEXT "|0\n");
    answered("SYNC|me|" A_TEXT "|1\n");
    reconnect(&first);
    say("LEAD|boss|0|" A_TEXT "|5\n"); /* but whoever has all of that history has to send it again */
    answered("SYNC|me|-|0\n");
    say("FULL|" A_TEXT "|5|0\nEND|0|5\nPING|5\n");
    answered("ACK|5\n");
    reconnect(&first);
    say("LEAD|boss|0|" A_TEXT "|5\n");
    answered("SYNC|me|" A_TEXT "|5\n");
}

static void test_a_state_that_cannot_begin_now_is_refused_and_changes_nothing(void **state) {
    (void)state;
    follow_a();
    say("CLOCK|500\nREPLICATE|k|a|1\n");
    reconnect(&first);
    say("LEAD|other|0|" B_TEXT "|50\n");
    buf_reset(&out);
    store.refuse_full = true;
    refused(&first, "FULL|" B_TEXT "|50|9\n", "ERROR|too many states have broken off: a moment, please\n");
    holds("k", "a", 1, 500);
    is_at(A, 2);
    store.refuse_full = false;
    reconnect(&first);
    say("LEAD|boss|0|" A_TEXT "|2\n");
    answered("SYNC|me|" A_TEXT "|2\n"); /* nothing of B lies over it */
}

/* The state of B lies over the data of A@2: the lines of A behind 2 do not take it away. */
static void test_what_another_leader_began_to_send_is_not_continued(void **state) {
    (void)state;
    follow_a();
    say("CLOCK|500\nREPLICATE|k|a|1\n");
    reconnect(&first);
    say("LEAD|other|0|" B_TEXT "|50\n");
    answered("SYNC|me|" A_TEXT "|2\n");
    say("FULL|" B_TEXT "|50|0\nREPLICATEX|k|b|1|400|0\n");
    reconnect(&first);
    say("LEAD|boss|0|" A_TEXT "|3\n");
    answered("SYNC|me|-|0\n");
}

/* What it gives then is of no history: who takes it must not take it for what SYNC named. */
static void test_part_of_a_state_over_older_data_is_told(void **state) {
    (void)state;
    follow_a();
    say("CLOCK|500\nREPLICATE|k|a|1\n");
    assert_int_equal(follower_state_position(&follower).history_id, A);
    assert_int_equal(follower_state_position(&follower).index, 2);
    reconnect(&first);
    say("LEAD|other|0|" B_TEXT "|50\nFULL|" B_TEXT "|50|0\nREPLICATEX|b|b|1|400|0\n");
    reconnect(&first);
    is_at(A, 2);
    assert_int_equal(follower_state_position(&follower).history_id, UINT64_C(0x10000));
    assert_int_equal(follower_state_position(&follower).index, 0);
    say("LEAD|heir|0|" C_TEXT "|0\nFULL|" C_TEXT "|7|0\nEND|0|7\n");
    assert_int_equal(follower_state_position(&follower).index, 7);
}

/* Who was empty and has part of a state must not deny it: it may be all that is left. */
static void test_part_of_a_state_is_data(void **state) {
    (void)state;
    say("LEAD|boss|0|" A_TEXT "|50\nFULL|" A_TEXT "|50|0\nREPLICATEX|k|v|1|400|0\n");
    buf_reset(&out);
    reconnect(&first);
    say("LEAD|heir|0|" C_TEXT "|0\n"); /* no place in A: another node at any place of A may lack it */
    answered("SYNC|me|0000000000010007|0\n");
    assert_int_equal(say_on(&first, "PULL\n"), FOLLOWER_SEND_STATE);
    reconnect(&first);
    say("LEAD|boss|0|" A_TEXT "|50\n"); /* who has all of it need not be given the part */
    answered("SYNC|me|-|0\n");
}

static void test_a_bare_line_is_applied_if_it_is_newer(void **state) {
    (void)state;
    say("REPLICATE|user1|Alice|1\n");
    holds("user1", "Alice", 1, now_ms);
    say("REPLICATE|user1|Bob|1\nREPLICATE|user1|Bob|3\nREPLICATE|user1|Carol|2\n");
    holds("user1", "Bob", 3, now_ms);
    say("CLOCK|500\nREPLICATEX|a%7C|b|1|400|0\nREPLICATE|user2|Dan|1\nDELETE|user1|3\n");
    holds("a|", "b", 1, 400);
    holds("user2", "Dan", 1, 500);
    holds("user1", "Bob", 3, 1000000);
    say("DELETE|user1|4\n");
    lacks("user1");
    answered("");
}

static void test_bare_lines_cannot_use_up_the_versions(void **state) {
    (void)state;
    say("DELETE|nothing|9223372036854775807\n"); /* it is not there: nothing is newer */
    assert_int_equal(store.floor, 0);
    is_at(0, 0);
    refused(&first, "DELETE|nothing|18446744073709551615\n",
            "ERROR|a version above 9223372036854775807 is not taken without LEAD\n");
    refused(&second, "REPLICATEX|k|v|9223372036854775808|1|0\n",
            "ERROR|a version above 9223372036854775807 is not taken without LEAD\n");
    assert_int_equal(store.floor, 0);
    assert_int_equal(store.max_version, 0);
    reconnect(&first);
    say("REPLICATE|k|v|9223372036854775807\n");
    holds("k", "v", 9223372036854775807, now_ms);
}

static void test_bare_lines_make_a_history_of_their_own(void **state) {
    (void)state;
    say("REPLICATE|user1|Alice|1\nREPLICATE|user1|Alice|1\nREPLICATE|user2|Bob|1\n");
    reconnect(&first);
    say("LEAD|boss|0|" B_TEXT "|0\n"); /* older than any leader's: it is never the most advanced of a group */
    answered("SYNC|me|0000000000010007|2\n");
}

static void test_bare_lines_on_top_of_a_leaders_data_are_ahead_of_it(void **state) {
    (void)state;
    follow_a();
    reconnect(&first);
    say("REPLICATE|user1|Alice|1\n");
    is_at(history_make_id(now_ms, 7), 1);
    reconnect(&first);
    say("LEAD|boss|0|" A_TEXT "|0\nFULL|" A_TEXT "|0|0\nEND|0|0\n");
    is_at(A, 0);
    reconnect(&first);
    now_ms++;
    say("REPLICATE|user1|Alice|1\n"); /* another history, not the one before */
    is_at(history_make_id(now_ms, 7), 1);
}

/* The leader whose state broke off has all that this node had then, but not what came after. */
static void test_a_bare_line_on_top_of_part_of_a_state_is_not_denied(void **state) {
    (void)state;
    say("REPLICATE|user1|Alice|1\n");
    reconnect(&first);
    say("LEAD|boss|0|" A_TEXT "|50\nFULL|" A_TEXT "|50|0\nREPLICATEX|k|v|1|400|0\n");
    reconnect(&first);
    say("REPLICATE|user2|Bob|1\n");
    buf_reset(&out);
    reconnect(&first);
    say("LEAD|boss|0|" A_TEXT "|50\n");
    answered("SYNC|me|0000000000010007|2\n");
}

static void test_strangers_are_refused_while_a_leader_is_linked_and_by_a_leader(void **state) {
    (void)state;
    follow_a();
    refused(&second, "REPLICATE|k|v|1\n",
            "ERROR|this node follows a live leader: it takes changes only from it\n");
    reconnect(&second);
    follower_lead(&follower);
    refused(&second, "REPLICATE|k|v|1\n",
            "ERROR|this node is the leader of its group: it takes no changes from others\n");
    assert_int_equal(store.count, 0);
    assert_int_equal(follower.lines_refused, 2);
}

/* A bare link that was there before the leader's is no way around it. */
static void test_a_bare_link_ends_when_a_leader_comes(void **state) {
    (void)state;
    assert_int_equal(say_on(&second, "REPLICATE|k|v|1\n"), FOLLOWER_GO_ON);
    say("LEAD|boss|0|" A_TEXT "|0\n");
    buf_reset(&out);
    refused(&second, "REPLICATE|k|w|2\n",
            "ERROR|this node follows a live leader: it takes changes only from it\n");
    holds("k", "v", 1, now_ms);
}

static void test_a_leader_of_another_group_is_refused(void **state) {
    (void)state;
    refused(&first, "LEAD|boss|1|" A_TEXT "|0\n", "ERROR|wrong group: node me is in group 0\n");
    reconnect(&first);
    refused(&first, "LEAD|me|0|" A_TEXT "|0\n", "ERROR|that is this node's own id\n");
    assert_false(follower_linked(&follower));
}

static void test_of_two_leaders_it_follows_the_older_history(void **state) {
    (void)state;
    follow_a();
    refused(&second, "LEAD|young|0|" C_TEXT "|0\n", "ERROR|two leaders: node me follows boss\n");
    assert_ptr_equal(follower.leader_link, &first);
    reconnect(&second);
    assert_int_equal(say_on(&second, "LEAD|old|0|" B_TEXT "|0\n"), FOLLOWER_GO_ON);
    answered("SYNC|me|" A_TEXT "|0\n");
    assert_ptr_equal(follower.leader_link, &second);
    /* The link that has lost its place says nothing more here, and ends even if it keeps silent. */
    assert_int_equal(after(0), FOLLOWER_CLOSE);
    refused(&first, "REPLICATE|k|v|1\n", "ERROR|another link has taken this one's place\n");
    follower_link_deinit(&first, &follower);
    assert_ptr_equal(follower.leader_link, &second);
    assert_int_equal(store.count, 0);
}

/* The rest of its batch would be applied, and counted in the place of the new link's lines. */
static void test_a_link_that_loses_its_place_in_a_batch_does_not_end_it(void **state) {
    (void)state;
    follow_a();
    say("BATCH|2\nREPLICATE|a|1|1\n");
    assert_int_equal(say_on(&second, "LEAD|boss|0|" A_TEXT "|3\nCONTINUE|" A_TEXT "|0\n"), FOLLOWER_GO_ON);
    answered("SYNC|me|" A_TEXT "|0\n");
    refused(&first, "REPLICATE|b|1|1\n", "ERROR|another link has taken this one's place\n");
    assert_int_equal(store.count, 0);
    is_at(A, 0);
}

static void test_a_leader_that_comes_back_takes_its_own_place(void **state) {
    (void)state;
    follow_a();
    assert_int_equal(say_on(&second, "LEAD|boss|0|" C_TEXT "|0\n"), FOLLOWER_GO_ON);
    answered("SYNC|me|" A_TEXT "|0\n");
    assert_ptr_equal(follower.leader_link, &second);
}

static void test_a_silent_leader_is_no_hindrance_to_another(void **state) {
    (void)state;
    follow_a();
    now_ms += LINK_TIMEOUT_MS;
    assert_int_equal(say_on(&second, "LEAD|young|0|" C_TEXT "|0\n"), FOLLOWER_GO_ON);
    assert_ptr_equal(follower.leader_link, &second);
}

static void test_of_two_leaders_the_younger_steps_down(void **state) {
    (void)state;
    history_restart(history, A, 12, NULL);
    follower_lead(&follower);
    refused(&first, "LEAD|young|0|" C_TEXT "|0\n",
            "ERROR|two leaders: node me leads group 0 with the older history " A_TEXT "\n");
    reconnect(&first);
    assert_int_equal(say_on(&first, "LEAD|old|0|" B_TEXT "|9\n"), FOLLOWER_STEP_DOWN);
    answered("");
    follower_follow(&follower);
    assert_int_equal(proof(&first, "old", 0, true), FOLLOWER_GO_ON);
    answered("SYNC|me|" A_TEXT "|12\n");
    assert_int_equal(say_on(&first, "PULL\n"), FOLLOWER_SEND_STATE);
    say("PING|9\n"); /* while its state is on its way */
    answered("ACK|0\n");
    say("FULL|" B_TEXT "|9|0\nEND|0|9\n");
    is_at(UINT64_C(0x10000), 9);
}

/* The leader took this node for one that knows only the specification, and has not read its SYNC yet. */
static void test_a_stream_before_full_or_continue_is_not_applied(void **state) {
    (void)state;
    say("LEAD|boss|0|" A_TEXT "|9\nREPLICATE|k|v|1\nCLOCK|5\nBATCH|2\nFLUSH|3\n");
    assert_int_equal(store.count, 0);
    assert_int_equal(store.floor, 0);
    assert_int_equal(first.batch_left, 0);
    is_at(0, 0);
}

static void test_a_message_is_handed_over_for_a_node_that_has_proved_itself(void **state) {
    (void)state;
    follow_a();
    say_on(&second, "NODE|other\n");
    assert_int_equal(say_on(&second, "MESSAGE|chan%7Cnel|text\n"), FOLLOWER_MESSAGE);
    assert_true(slice_equals(said.key, SLICE("chan|nel")));
    assert_true(slice_equals(said.value, SLICE("text")));
    assert_int_equal(say_on(&second, "LATER|from a future version\nMESSAGE||\n"), FOLLOWER_MESSAGE);
    is_at(A, 0);
    refused(&second, "MESSAGE|channel\n", "ERROR|too few fields\n");
}

static void test_a_connection_begins_with_what_a_peer_says_first(void **state) {
    (void)state;
    static const char *const lines[] = {"POST / HTTP/1.1\r\n",
                                        "\n",
                                        "HELLO\n",
                                        "replicate|k|v|1\n",
                                        "WHO?\n",
                                        "WHO|x / HTTP/1.1\n",
                                        "NODE|boss| / HTTP/1.1\r\n",
                                        "LEAD|boss|0|" A_TEXT "|0| / HTTP/1.0\n",
                                        "HTTP/1.1\n"};
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        reconnect(&first);
        refused(&first, lines[i], "ERROR|no peer begins with that\n");
    }
    assert_int_equal(follower.lines_malformed, sizeof(lines) / sizeof(lines[0]));
    assert_int_equal(follower.lines_unknown, 0);
    reconnect(&first);
    say("REPLICATE|k|GET / HTTP/1.1|1\nHELLO\n\n"); /* afterwards a verb of the future is passed over */
    assert_int_equal(follower.lines_unknown, 2);
}

/* Before its LF: a stranger's line need not end. */
static void test_a_first_line_is_judged_by_its_part(void **state) {
    (void)state;
    static const struct {
        const char *part;
        enum follower_verdict verdict;
    } cases[] = {
        {"", FOLLOWER_GO_ON},
        {"R", FOLLOWER_GO_ON},
        {"REPLICATEX", FOLLOWER_GO_ON},
        {"LEAD|", FOLLOWER_GO_ON},
        {"REPLICATE|k", FOLLOWER_GO_ON},
        {"WHO\r", FOLLOWER_GO_ON},
        {"POST / HTTP/1.1\r", FOLLOWER_CLOSE},
        {"P", FOLLOWER_GO_ON},
        {"PO", FOLLOWER_CLOSE},
        {"REP|", FOLLOWER_CLOSE},
        {"|", FOLLOWER_CLOSE},
        {"\r", FOLLOWER_CLOSE},
        {"REPLICATEXX", FOLLOWER_CLOSE},
        {"\x16\x03\x01", FOLLOWER_CLOSE},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        reconnect(&first);
        struct slice part = slice_from_text(cases[i].part);
        assert_int_equal(follower_link_part(&first, &follower, part, now_ms, &out), cases[i].verdict);
        answered(cases[i].verdict == FOLLOWER_CLOSE ? "ERROR|no peer begins with that\n" : "");
    }
    reconnect(&first);
    say("REPLICATE|k|v|1\n");
    assert_int_equal(follower_link_part(&first, &follower, SLICE("PO"), now_ms, &out), FOLLOWER_GO_ON);
}

/* What would be refused when it is whole takes no memory until then. */
static void test_a_strangers_long_line_is_not_waited_for(void **state) {
    (void)state;
    static char part[5000];
    memset(part, 'x', sizeof(part));
    memcpy(part, "REPLICATE|k|", 12);
    struct slice more = slice_of(part, sizeof(part)), little = slice_first(more, 4000);
    assert_int_equal(follower_link_part(&first, &follower, more, now_ms, &out), FOLLOWER_GO_ON);
    follower_lead(&follower);
    assert_int_equal(follower_link_part(&first, &follower, little, now_ms, &out), FOLLOWER_GO_ON);
    assert_int_equal(follower_link_part(&first, &follower, more, now_ms, &out), FOLLOWER_CLOSE);
    answered("ERROR|a line so long is taken of the group's leader only\n");
    follower_follow(&follower);
    say_on(&second, "LEAD|boss|0|" A_TEXT "|0\n");
    assert_true(follower_linked(&follower));
    answered("SYNC|me|-|0\n");
    assert_int_equal(follower_link_part(&second, &follower, more, now_ms, &out), FOLLOWER_GO_ON);
    reconnect(&first);
    assert_int_equal(follower_link_part(&first, &follower, more, now_ms, &out), FOLLOWER_CLOSE);
    answered("ERROR|a line so long is taken of the group's leader only\n");
}

static void test_lead_is_believed_when_that_node_has_answered_who(void **state) {
    (void)state;
    nobody_answers = true;
    assert_int_equal(say_on(&first, "LEAD|boss|0|" A_TEXT "|0\n"), FOLLOWER_PROVE);
    assert_false(follower_linked(&follower));
    answered("");
    assert_int_equal(proof(&first, "boss", 0, true), FOLLOWER_GO_ON);
    answered("SYNC|me|-|0\n");
    assert_true(follower_linked(&follower));
}

static void test_lead_is_not_believed_of_a_node_that_answers_otherwise(void **state) {
    (void)state;
    static const struct {
        const char *node_id;
        uint16_t group;
        bool leader;
        const char *answer;
    } cases[] = {
        {"other", 0, true, "ERROR|node boss is not known, or has not answered WHO where it announces itself\n"},
        {"boss", 1, true, "ERROR|node boss answers WHO as no leader of group 0\n"},
        {"boss", 0, false, "ERROR|node boss answers WHO as no leader of group 0\n"},
    };
    nobody_answers = true;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        reconnect(&first);
        assert_int_equal(say_on(&first, "LEAD|boss|0|" A_TEXT "|0\n"), FOLLOWER_PROVE);
        assert_int_equal(proof(&first, cases[i].node_id, cases[i].group, cases[i].leader), FOLLOWER_CLOSE);
        answered(cases[i].answer);
        assert_false(follower_linked(&follower));
    }
    reconnect(&first);
    assert_int_equal(say_on(&first, "NODE|boss\n"), FOLLOWER_PROVE);
    assert_int_equal(follower_link_proof(&first, &follower, NULL, now_ms, &out), FOLLOWER_CLOSE);
    answered(cases[0].answer);
}

static void test_a_proof_that_does_not_come_ends_the_link(void **state) {
    (void)state;
    nobody_answers = true;
    history_restart(history, C_ID, 0, NULL);
    follower_lead(&follower);
    assert_int_equal(say_on(&first, "LEAD|x|0|" A_TEXT "|0\n"), FOLLOWER_PROVE);
    assert_int_equal(after(FOLLOWER_PROOF_WITHIN_MS - 1), FOLLOWER_GO_ON);
    assert_true(follower.leading);
    assert_int_equal(after(1), FOLLOWER_CLOSE);
    answered("ERROR|node x is not known, or has not answered WHO where it announces itself\n");
    assert_true(follower.leading);
}

/* Two that claim to lead are asked at once. */
static void test_what_is_proved_late_is_weighed_against_what_came_meanwhile(void **state) {
    (void)state;
    nobody_answers = true;
    assert_int_equal(say_on(&first, "LEAD|young|0|" A_TEXT "|0\n"), FOLLOWER_PROVE);
    assert_int_equal(say_on(&second, "LEAD|old|0|" B_TEXT "|0\n"), FOLLOWER_PROVE);
    assert_int_equal(proof(&second, "old", 0, true), FOLLOWER_GO_ON);
    buf_reset(&out);
    assert_int_equal(proof(&first, "young", 0, true), FOLLOWER_CLOSE);
    answered("ERROR|two leaders: node me follows old\n");
    assert_ptr_equal(follower.leader_link, &second);
}

/* --- It gave way to a leader that does not come --- */

/* Ticks until it has to lead again; false: it does not have to within a minute. */
static bool leads_again(bool other_leads, int64_t *took_ms) {
    for (*took_ms = 0; *took_ms < 60000; *took_ms += 50, now_ms += 50) {
        if (follower_tick(&follower, other_leads, now_ms)) {
            return true;
        }
    }
    return false;
}

static void give_way(const char *lead) {
    history_restart(history, C_ID, 12, NULL);
    follower_lead(&follower);
    assert_int_equal(say_on(&first, lead), FOLLOWER_STEP_DOWN);
    follower_follow(&follower);
    assert_int_equal(proof(&first, first.peer_id, 0, true), FOLLOWER_GO_ON);
    buf_reset(&out);
}

static void test_who_gave_way_to_a_leader_that_does_not_come_leads_again(void **state) {
    (void)state;
    int64_t took_ms;
    give_way("LEAD|old|0|" A_TEXT "|9\n");
    assert_false(leads_again(false, &took_ms)); /* as long as the link stands */
    reconnect(&first);
    assert_true(leads_again(false, &took_ms));
    assert_int_equal(took_ms, FOLLOWER_LEADS_AGAIN_AFTER_MS - 50); /* since the last tick with the link */
    is_at(C_ID, 12);
    assert_true(follower_is_clean(&follower));
    follower_lead(&follower);
    assert_false(leads_again(false, &took_ms)); /* once */
}

static void test_it_waits_as_long_as_another_leader_lives(void **state) {
    (void)state;
    int64_t took_ms;
    give_way("LEAD|old|0|" A_TEXT "|9\n");
    reconnect(&first);
    assert_false(leads_again(true, &took_ms));
    assert_true(leads_again(false, &took_ms));
}

static void test_what_a_leader_left_half_done_is_seen(void **state) {
    (void)state;
    int64_t took_ms;
    give_way("LEAD|old|0|" A_TEXT "|9\n");
    say("FULL|" A_TEXT "|9|0\nREPLICATEX|k|v|1|400|0\n");
    reconnect(&first);
    assert_true(leads_again(false, &took_ms));
    is_at(C_ID, 12);
    assert_false(follower_is_clean(&follower));
}

static void test_whoever_has_had_the_leaders_state_follows_for_good(void **state) {
    (void)state;
    int64_t took_ms;
    give_way("LEAD|old|0|" A_TEXT "|9\n");
    say("FULL|" A_TEXT "|9|0\nEND|0|9\n");
    reconnect(&first);
    assert_false(leads_again(false, &took_ms));
    give_way("LEAD|old|0|" A_TEXT "|9\n");
    say("CONTINUE|" C_TEXT "|12\n");
    reconnect(&first);
    assert_false(leads_again(false, &took_ms));
}

static void test_who_never_led_does_not_begin_to(void **state) {
    (void)state;
    int64_t took_ms;
    follow_a();
    reconnect(&first);
    assert_false(leads_again(false, &took_ms));
}

static void test_who_is_answered_on_any_link(void **state) {
    (void)state;
    assert_int_equal(say_on(&first, "WHO\n"), FOLLOWER_FACTS);
    follow_a();
    assert_int_equal(say_on(&first, "WHO\n"), FOLLOWER_FACTS);
    assert_int_equal(say_on(&first, "ERROR|no\n"), FOLLOWER_CLOSE);
}

static void test_out_of_memory_closes_and_the_line_is_said_again(void **state) {
    (void)state;
    follow_a();
    store.fail_next = ERR_NO_MEMORY;
    refused(&first, "REPLICATE|k|v|1\n", "ERROR|out of memory\n");
    is_at(A, 0);
    reconnect(&first);
    say("LEAD|boss|0|" A_TEXT "|2\nCONTINUE|" A_TEXT "|0\nBATCH|1\n");
    buf_reset(&out);
    store.fail_next = ERR_NO_MEMORY;
    refused(&first, "REPLICATE|k|v|1\n", "ERROR|out of memory\n");
    is_at(A, 0);
    reconnect(&first);
    say("LEAD|boss|0|" A_TEXT "|2\n"); /* nothing of it is there: no FULL is needed */
    answered("SYNC|me|" A_TEXT "|0\n");
    say("CONTINUE|" A_TEXT "|0\nCLOCK|500\nREPLICATE|k|v|1\n");
    holds("k", "v", 1, 500);
    is_at(A, 2);
}

/* Half of a batch is at no place of a history: it is good enough to be taken, and not to be continued. */
static void test_half_of_a_batch_is_mended_by_a_full_sync(void **state) {
    (void)state;
    follow_a();
    say("CLOCK|500\nBATCH|3\nREPLICATE|a|1|1\nREPLICATE|b|1|1\n");
    store.fail_next = ERR_NO_MEMORY;
    store.fail_after = 1;
    refused(&first, "REPLICATE|c|1|1\n", "ERROR|out of memory\n");
    holds("a", "1", 1, 500);
    lacks("b");
    is_at(A, 1); /* for another leader: it may be the last copy */
    reconnect(&first);
    say("LEAD|boss|0|" A_TEXT "|5\n");
    answered("SYNC|me|-|0\n");
    say("FULL|" A_TEXT "|5|0\nBATCH|2\nREPLICATE|a|2|2\n");
    store.fail_next = ERR_NO_MEMORY; /* and again, over the state that has begun */
    store.fail_after = 1;
    refused(&first, "REPLICATE|b|2|2\n", "ERROR|out of memory\n");
    reconnect(&first);
    say("LEAD|boss|0|" A_TEXT "|5\n");
    answered("SYNC|me|-|0\n");
    say("FULL|" A_TEXT "|5|0\nREPLICATEX|b|2|2|600|0\nEND|1|5\n");
    holds("b", "2", 2, 600);
    lacks("a");
    reconnect(&first);
    say("LEAD|boss|0|" A_TEXT "|5\n");
    answered("SYNC|me|" A_TEXT "|5\n");
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_a_new_follower_gets_the_state_and_then_the_stream),
        TEST(test_its_history_says_what_its_leaders_says),
        TEST(test_its_history_serves_others),
        TEST(test_lines_of_the_future_count),
        TEST(test_a_term_counts_is_kept_and_changes_no_data),
        TEST(test_a_batch_that_fails_is_not_in_the_history),
        TEST(test_bare_lines_count_and_are_not_kept),
        TEST(test_it_goes_on_where_it_was),
        TEST(test_it_serves_its_old_data_until_end),
        TEST(test_it_acknowledges_every_100_ms_while_lines_arrive),
        TEST(test_it_acknowledges_while_a_state_or_a_long_line_arrives),
        TEST(test_a_silent_leader_is_left),
        TEST(test_a_peer_that_knows_only_the_specification_may_be_silent),
        TEST(test_plain_lines_before_any_clock_have_the_time_of_the_state),
        TEST(test_a_batch_applies_all_or_none),
        TEST(test_a_batch_holds_changes_only),
        TEST(test_a_malformed_line_changes_nothing),
        TEST(test_lines_out_of_place_close_the_link),
        TEST(test_a_ping_that_names_another_index_leads_to_a_full_sync),
        TEST(test_a_state_that_cannot_begin_now_is_refused_and_changes_nothing),
        TEST(test_what_another_leader_began_to_send_is_not_continued),
        TEST(test_part_of_a_state_over_older_data_is_told),
        TEST(test_part_of_a_state_is_data),
        TEST(test_a_bare_line_is_applied_if_it_is_newer),
        TEST(test_bare_lines_cannot_use_up_the_versions),
        TEST(test_bare_lines_make_a_history_of_their_own),
        TEST(test_bare_lines_on_top_of_a_leaders_data_are_ahead_of_it),
        TEST(test_a_bare_line_on_top_of_part_of_a_state_is_not_denied),
        TEST(test_strangers_are_refused_while_a_leader_is_linked_and_by_a_leader),
        TEST(test_a_bare_link_ends_when_a_leader_comes),
        TEST(test_a_leader_of_another_group_is_refused),
        TEST(test_of_two_leaders_it_follows_the_older_history),
        TEST(test_a_link_that_loses_its_place_in_a_batch_does_not_end_it),
        TEST(test_a_leader_that_comes_back_takes_its_own_place),
        TEST(test_a_silent_leader_is_no_hindrance_to_another),
        TEST(test_of_two_leaders_the_younger_steps_down),
        TEST(test_a_stream_before_full_or_continue_is_not_applied),
        TEST(test_a_message_is_handed_over_for_a_node_that_has_proved_itself),
        TEST(test_a_connection_begins_with_what_a_peer_says_first),
        TEST(test_a_first_line_is_judged_by_its_part),
        TEST(test_a_strangers_long_line_is_not_waited_for),
        TEST(test_lead_is_believed_when_that_node_has_answered_who),
        TEST(test_lead_is_not_believed_of_a_node_that_answers_otherwise),
        TEST(test_a_proof_that_does_not_come_ends_the_link),
        TEST(test_what_is_proved_late_is_weighed_against_what_came_meanwhile),
        TEST(test_who_gave_way_to_a_leader_that_does_not_come_leads_again),
        TEST(test_it_waits_as_long_as_another_leader_lives),
        TEST(test_what_a_leader_left_half_done_is_seen),
        TEST(test_whoever_has_had_the_leaders_state_follows_for_good),
        TEST(test_who_never_led_does_not_begin_to),
        TEST(test_who_is_answered_on_any_link),
        TEST(test_out_of_memory_closes_and_the_line_is_said_again),
        TEST(test_half_of_a_batch_is_mended_by_a_full_sync),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
