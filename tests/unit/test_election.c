/* Transcripts: what a voter is told, and what it has to be done for it. */
#include "cluster/election.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define H      UINT64_C(0x0000000000000001)
#define H_TEXT "0000000000000001"

static struct history *history;
static struct election election;
static int64_t now_ms;
static struct buf done; /* what the driver has been asked to do, a line each */

static void begin(uint64_t number, const char *voted_for, bool forgetful) {
    struct election_kept kept = {.number = number, .forgetful = forgetful};
    snprintf(kept.voted_for, sizeof(kept.voted_for), "%s", voted_for);
    election_init(&election, "a", 0, ELECTION_TIMEOUT_MS, history, &kept, 1, now_ms);
}

/* Node a of the voters a, b, c; its last line is 5, of term 1-b. */
static int setup(void **state) {
    (void)state;
    struct lineage lineage;
    struct voters voters;
    now_ms = 10000;
    history = history_create(H, 1 << 16);
    lineage_begin(&lineage, &(struct term){1, "b"}, 5);
    history_restart(history, H, 5, &lineage);
    assert_true(voters_parse(SLICE("a,b,c"), &voters));
    history_note_voters(history, &voters);
    buf_init(&done, SIZE_MAX);
    begin(1, "b", false);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    history_destroy(&history);
    buf_deinit(&done);
    return 0;
}

/* Since this was asked last; stops behind a KEEP until it is done. */
static void does(const char *expected) {
    struct election_action action;
    buf_reset(&done);
    while (election_next(&election, &action)) {
        switch (action.type) {
        case ELECTION_SEND:
            buf_printf(&done, "%s: %s", action.to, action.text);
            break;
        case ELECTION_KEEP:
            buf_printf(&done, "KEEP %llu %s%s\n", (unsigned long long)action.kept.number, action.kept.voted_for,
                       action.kept.forgetful ? " forgetful" : "");
            break;
        case ELECTION_LEAVE:
            buf_append_text(&done, "LEAVE\n");
            break;
        case ELECTION_LEAD:
            buf_printf(&done, "LEAD %llu\n", (unsigned long long)action.kept.number);
            break;
        case ELECTION_STOP:
            buf_printf(&done, "STOP %s\n", action.text);
            break;
        }
    }
    buf_append_byte(&done, '\0');
    assert_string_equal(buf_slice(&done).ptr, expected);
}

static void hears(const char *from, const char *text) {
    struct buf scratch;
    struct line line;
    const char *reason;
    buf_init(&scratch, 1000);
    assert_int_equal(line_decode(slice_from_text(text), &scratch, &line, &reason), LINE_OK);
    election_line(&election, from, &line, now_ms);
    buf_deinit(&scratch);
}

static void wait(int64_t ms) {
    for (int64_t until_ms = now_ms + ms; now_ms < until_ms;) {
        now_ms += 50;
        election_tick(&election, now_ms);
    }
}

static void kept(void) { election_kept(&election, now_ms); }

static bool led_by(const char *node_id, uint64_t number, uint64_t index) {
    struct position position = {H, {number, ""}, index};
    snprintf(position.term.node_id, sizeof(position.term.node_id), "%s", node_id);
    return election_take_lead(&election, node_id, &position, now_ms);
}

/* Until it asks. */
static void nothing_is_heard(void) {
    for (int i = 0; i < 30 && election.phase == ELECTION_FOLLOWER; i++) {
        wait(50);
    }
    assert_int_equal(election.phase, ELECTION_ASKING);
}

static void wins(void) {
    nothing_is_heard();
    does("b: VOTE|a|0|" H_TEXT "|2|1-b|5|pre\nc: VOTE|a|0|" H_TEXT "|2|1-b|5|pre\n");
    hears("c", "VOTED|c|2|pre|yes|firm");
    does("LEAVE\nKEEP 2 a\n");
    kept();
    does("b: VOTE|a|0|" H_TEXT "|2|1-b|5|real\nc: VOTE|a|0|" H_TEXT "|2|1-b|5|real\n");
    hears("b", "VOTED|b|2|real|yes|firm");
    does("LEAD 2\n");
}

static void test_it_asks_stands_and_leads(void **state) {
    (void)state;
    wins();
    assert_int_equal(election.phase, ELECTION_LEADING);
}

static void test_its_own_vote_counts_when_it_is_on_the_disk(void **state) {
    (void)state;
    struct voters alone;
    assert_true(voters_parse(SLICE("a"), &alone));
    history_note_voters(history, &alone);
    for (int i = 0; i < 30 && election.phase != ELECTION_STANDING; i++) {
        wait(50);
    }
    does("LEAVE\nKEEP 2 a\n");
    assert_int_equal(election.phase, ELECTION_STANDING);
    kept();
    does("LEAD 2\n");
}

static void test_a_vote_is_told_when_it_is_on_the_disk_and_given_once(void **state) {
    (void)state;
    hears("b", "VOTE|b|0|" H_TEXT "|2|1-b|5|real");
    does("LEAVE\nKEEP 2 b\n");
    assert_false(election_is_settled(&election));
    hears("c", "VOTE|c|0|" H_TEXT "|2|1-b|9|real");
    does("");
    kept();
    assert_true(election_is_settled(&election));
    does("b: VOTED|a|2|real|yes|firm\nc: VOTED|a|2|real|no|firm\n");
    hears("b", "VOTE|b|0|" H_TEXT "|2|1-b|5|real"); /* again: the answer was lost */
    does("b: VOTED|a|2|real|yes|firm\n");
    begin(2, "b", false); /* after a restart, too */
    hears("c", "VOTE|c|0|" H_TEXT "|2|1-b|9|real");
    does("c: VOTED|a|2|real|no|firm\n");
}

static void test_who_has_less_gets_no_vote(void **state) {
    (void)state;
    hears("b", "VOTE|b|0|" H_TEXT "|2|1-b|4|pre");
    does("b: VOTED|a|1|pre|no|firm\n");
    hears("b", "VOTE|b|0|" H_TEXT "|2|-|99|pre");
    does("b: VOTED|a|1|pre|no|firm\n");
    hears("b", "VOTE|b|0|0000000000000002|2|1-b|99|pre"); /* another history */
    does("b: VOTED|a|1|pre|no|firm\n");
    hears("b", "VOTE|b|7|" H_TEXT "|2|1-b|99|pre"); /* another group */
    does("b: VOTED|a|1|pre|no|firm\n");
    hears("b", "VOTE|b|0|" H_TEXT "|2|1-c|1|pre"); /* a later term */
    does("b: VOTED|a|2|pre|yes|firm\n");
    hears("c", "VOTE|b|0|" H_TEXT "|2|1-c|1|pre"); /* who says it is not who asks */
    does("");
}

static void test_nobody_gets_a_vote_while_a_leader_is_heard(void **state) {
    (void)state;
    assert_true(led_by("b", 1, 5));
    does("");
    hears("c", "VOTE|c|0|" H_TEXT "|2|1-b|9|real");
    does("c: VOTED|a|1|real|no|firm\n");
    assert_int_equal(election.kept.number, 1);
    hears("c", "VOTE|c|0|" H_TEXT "|2|1-b|9|transfer"); /* unless the leader wants it */
    does("LEAVE\nKEEP 2 c\n");
}

static void test_a_leader_that_is_gone_is_followed_by_a_question_at_once(void **state) {
    (void)state;
    assert_true(led_by("b", 1, 5));
    election_gone(&election, "c", now_ms);
    wait(ELECTION_DEAD_WAIT_MS + 50);
    assert_int_equal(election.phase, ELECTION_FOLLOWER);
    election_gone(&election, "b", now_ms);
    wait(ELECTION_DEAD_WAIT_MS + 50);
    assert_int_equal(election.phase, ELECTION_ASKING);
}

static void test_a_lead_of_a_greater_term_is_taken_and_kept_before_anything_is_said(void **state) {
    (void)state;
    assert_true(led_by("c", 3, 9));
    does("LEAVE\nKEEP 3 c\n");
    assert_false(election_is_settled(&election));
    kept();
    assert_true(election_is_settled(&election));
    assert_false(led_by("b", 2, 9)); /* it has to know */
    does("b: VOTED|a|3|real|no|firm\n");
    struct position of_another = {H + 1, {4, "b"}, 1}, of_no_leader = {H, {4, "c"}, 1};
    assert_false(election_take_lead(&election, "b", &of_another, now_ms));
    assert_false(election_take_lead(&election, "b", &of_no_leader, now_ms));
    does("");
}

static void test_a_leader_stops_when_it_hears_of_a_greater_term(void **state) {
    (void)state;
    wins();
    hears("c", "VOTED|c|7|real|no|firm");
    does("STOP a greater term was seen\nLEAVE\nKEEP 7 \n");
    assert_int_equal(election.phase, ELECTION_FOLLOWER);
}

static void test_and_when_no_majority_echoes(void **state) {
    (void)state;
    wins();
    wait(ELECTION_TIMEOUT_MS - 100);
    election_echo(&election, "c", now_ms);
    wait(ELECTION_TIMEOUT_MS - 100);
    does("");
    wait(200);
    does("STOP no majority has echoed for a timeout\n");
}

static void test_it_hands_over(void **state) {
    (void)state;
    wins();
    election_hand_over(&election, "c", now_ms);
    does("STOP it has handed over\nc: TIMEOUT_NOW|2\n");
    wait(ELECTION_TIMEOUT_MS - 50);
    does(""); /* the other one has its time */
}

static void test_it_stands_at_once_when_its_leader_says_so(void **state) {
    (void)state;
    assert_true(led_by("b", 1, 5));
    hears("c", "TIMEOUT_NOW|1"); /* no leader of its */
    does("");
    hears("b", "TIMEOUT_NOW|1");
    does("LEAVE\nKEEP 2 a\n");
    kept();
    does("b: VOTE|a|0|" H_TEXT "|2|1-b|5|transfer\nc: VOTE|a|0|" H_TEXT "|2|1-b|5|transfer\n");
}

static void test_votes_count_in_their_phase_and_term(void **state) {
    (void)state;
    nothing_is_heard();
    hears("b", "VOTED|b|2|real|yes|firm");
    hears("b", "VOTED|b|3|pre|yes|firm");
    hears("x", "VOTED|x|2|pre|yes|firm");
    assert_int_equal(election.phase, ELECTION_ASKING);
    hears("b", "VOTED|b|2|pre|yes|firm");
    assert_int_equal(election.phase, ELECTION_STANDING);
    hears("b", "VOTED|b|2|pre|yes|firm"); /* late */
    assert_int_equal(election.phase, ELECTION_STANDING);
}

/* "A candidate wins with a majority of firm votes, or with the votes of all." */
static void test_forgetful_votes_count_when_they_are_of_all(void **state) {
    (void)state;
    nothing_is_heard();
    hears("b", "VOTED|b|2|pre|yes|forgetful");
    assert_int_equal(election.phase, ELECTION_ASKING);
    hears("c", "VOTED|c|2|pre|yes|forgetful");
    assert_int_equal(election.phase, ELECTION_STANDING);
    begin(1, "b", true); /* and a forgetful candidate needs all */
    nothing_is_heard();
    hears("b", "VOTED|b|2|pre|yes|firm");
    assert_int_equal(election.phase, ELECTION_ASKING);
    hears("c", "VOTED|c|2|pre|yes|firm");
    assert_int_equal(election.phase, ELECTION_STANDING);
}

static void test_it_is_firm_again_when_all_that_a_lead_named_is_durable(void **state) {
    (void)state;
    begin(1, "b", true);
    election_durable(&election, 99); /* no leader has said yet how far it goes */
    does("");
    assert_true(led_by("b", 1, 9));
    election_durable(&election, 8);
    does("");
    election_durable(&election, 9);
    does("KEEP 1 b\n");
}

static void test_a_round_that_fails_doubles_the_wait(void **state) {
    (void)state;
    for (int i = 0; i < 6; i++) {
        int64_t least_ms = election.wait_ms, began_ms = now_ms;
        for (int ticks = 0; ticks < 250 && election.phase == ELECTION_FOLLOWER; ticks++) {
            wait(50);
        }
        assert_int_equal(election.phase, ELECTION_ASKING);
        assert_in_range(now_ms - began_ms, least_ms, 2 * least_ms + 50);
        wait(ELECTION_TIMEOUT_MS);
        assert_int_equal(election.phase, ELECTION_FOLLOWER);
    }
    assert_int_equal(election.wait_ms, ELECTION_LONGEST_WAIT_MS);
    assert_int_equal(election.kept.number, 1); /* nothing was kept for it */
}

/* It asks, stands, and hears that c has voted for another one. */
static void a_round_is_contested(void) {
    char vote[64];
    while (election.phase != ELECTION_ASKING) {
        wait(50);
    }
    snprintf(vote, sizeof(vote), "VOTED|c|%llu|pre|yes|firm", (unsigned long long)election.kept.number + 1);
    hears("c", vote);
    for (struct election_action action; election_next(&election, &action);) {
    }
    kept();
    snprintf(vote, sizeof(vote), "VOTED|c|%llu|real|no|firm", (unsigned long long)election.kept.number);
    hears("c", vote);
}

/* Of two that stand in one term, and a third that is dead. */
static void test_a_round_that_another_one_contests_is_tried_again_soon(void **state) {
    (void)state;
    int64_t most_ms[] = {0, 2 * ELECTION_DEAD_WAIT_MS, 3 * ELECTION_DEAD_WAIT_MS, 5 * ELECTION_DEAD_WAIT_MS};
    for (size_t round = 0; round < sizeof(most_ms) / sizeof(most_ms[0]); round++) {
        int64_t before_ms = now_ms;
        a_round_is_contested();
        assert_true(round == 0 || now_ms - before_ms <= most_ms[round] + 100); /* ticks of 50 ms */
    }
    assert_int_equal(election.wait_ms, ELECTION_TIMEOUT_MS);
    a_round_is_contested(); /* and not for ever */
    assert_int_equal(election.wait_ms, 2 * ELECTION_TIMEOUT_MS);
}

static void test_who_votes_not_and_whose_state_arrives_does_not_ask(void **state) {
    (void)state;
    election.arriving = true;
    wait(3000);
    does("");
    election.arriving = false;
    struct voters others;
    assert_true(voters_parse(SLICE("b,c"), &others));
    history_note_voters(history, &others);
    history_note_voters(history, &others); /* and it was none before */
    wait(3000);
    does("");
}

static void test_of_those_that_have_nothing_yet_the_proposer_alone_stands(void **state) {
    (void)state;
    struct voters voters = *history_voters(history);
    history_restart(history, H, 0, NULL);
    history_note_voters(history, &voters);
    begin(0, "", false);
    wait(3000);
    does("");
    hears("b", "VOTE|b|0|" H_TEXT "|1|-|0|pre"); /* and gets the votes of the others */
    does("b: VOTED|a|1|pre|yes|firm\n");
    election.proposes = true;
    nothing_is_heard();
    does("b: VOTE|a|0|" H_TEXT "|1|-|0|pre\nc: VOTE|a|0|" H_TEXT "|1|-|0|pre\n");
}

static void test_who_was_a_voter_until_the_last_change_may_ask_and_does_not_count_itself(void **state) {
    (void)state;
    struct voters others;
    assert_true(voters_parse(SLICE("b,c"), &others));
    history_note_voters(history, &others);
    nothing_is_heard();
    hears("b", "VOTED|b|2|pre|yes|firm");
    assert_int_equal(election.phase, ELECTION_ASKING);
    hears("c", "VOTED|c|2|pre|yes|firm");
    assert_int_equal(election.phase, ELECTION_STANDING);
}

static void test_a_voter_that_comes_late_is_asked_again(void **state) {
    (void)state;
    nothing_is_heard();
    does("b: VOTE|a|0|" H_TEXT "|2|1-b|5|pre\nc: VOTE|a|0|" H_TEXT "|2|1-b|5|pre\n");
    election_linked(&election, "c");
    does("c: VOTE|a|0|" H_TEXT "|2|1-b|5|pre\n");
    election_linked(&election, "x");
    does("");
}

int main(void) {
#define TRANSCRIPT(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TRANSCRIPT(test_it_asks_stands_and_leads),
        TRANSCRIPT(test_its_own_vote_counts_when_it_is_on_the_disk),
        TRANSCRIPT(test_a_vote_is_told_when_it_is_on_the_disk_and_given_once),
        TRANSCRIPT(test_who_has_less_gets_no_vote),
        TRANSCRIPT(test_nobody_gets_a_vote_while_a_leader_is_heard),
        TRANSCRIPT(test_a_leader_that_is_gone_is_followed_by_a_question_at_once),
        TRANSCRIPT(test_a_lead_of_a_greater_term_is_taken_and_kept_before_anything_is_said),
        TRANSCRIPT(test_a_leader_stops_when_it_hears_of_a_greater_term),
        TRANSCRIPT(test_and_when_no_majority_echoes),
        TRANSCRIPT(test_it_hands_over),
        TRANSCRIPT(test_it_stands_at_once_when_its_leader_says_so),
        TRANSCRIPT(test_votes_count_in_their_phase_and_term),
        TRANSCRIPT(test_forgetful_votes_count_when_they_are_of_all),
        TRANSCRIPT(test_it_is_firm_again_when_all_that_a_lead_named_is_durable),
        TRANSCRIPT(test_a_round_that_fails_doubles_the_wait),
        TRANSCRIPT(test_a_round_that_another_one_contests_is_tried_again_soon),
        TRANSCRIPT(test_who_votes_not_and_whose_state_arrives_does_not_ask),
        TRANSCRIPT(test_of_those_that_have_nothing_yet_the_proposer_alone_stands),
        TRANSCRIPT(test_who_was_a_voter_until_the_last_change_may_ask_and_does_not_count_itself),
        TRANSCRIPT(test_a_voter_that_comes_late_is_asked_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
