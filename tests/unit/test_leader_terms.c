/* Transcripts: a leader that goes on with the history that is on its disk. */
#include "tests/unit/leader_fixture.h"

#define H      UINT64_C(0x0000000000020000)
#define H_TEXT "0000000000020000"

/* After a restart: k and l at line 5 of H, which is of this term. */
static void recovered(const struct term *term) {
    model_put(&store, SLICE("k"), SLICE("v"), 1, 500, 0);
    model_put(&store, SLICE("l"), SLICE("w"), 1, 500, 0);
    struct lineage lineage;
    lineage_begin(&lineage, term, 5);
    history_restart(history, H, 5, &lineage);
    leader_recover(&leader, 0);
}

static void is_at(uint64_t index, uint64_t number, const char *node_id) {
    struct position here = history_position(history);
    assert_int_equal(here.history_id, H);
    assert_int_equal(here.index, index);
    assert_int_equal(here.term.number, number);
    assert_string_equal(here.term.node_id, node_id);
}

/* Its term is on the disk. */
static void term_kept(uint64_t number) {
    assert_int_equal(leader.phase, LEADER_TERM);
    assert_int_equal(leader.term_number, number);
    leader_term_kept(&leader);
    assert_int_equal(leader.phase, LEADER_SERVING);
}

/* A recovered leader serves in term 2. */
static void serves_on(void) {
    recovered(&(struct term){1, "boss"});
    wait(LEADER_LISTEN_MS);
    term_kept(2);
}

/* f0 comes then, of another leader's term 2 of H, and is asked for what it has. */
static void another_term_comes_late(void) {
    dial(0);
    buf_reset(&outs[0]);
    answers(0, "SYNC|f0|" H_TEXT "|9|2-f0\n");
    wait(50);
    said(0, "PULL\n");
}

static void test_it_begins_a_term_and_continues_those_that_are_on_its_line(void **state) {
    (void)state;
    recovered(NULL);
    dial(0);
    said(0, "LEAD|boss|0|" H_TEXT "|5\n");
    answers(0, "SYNC|f0|" H_TEXT "|5\n");
    wait(LEADER_LISTEN_MS);
    is_at(5, 0, ""); /* not before the disk has it */
    said(0, "PING|5\n");
    term_kept(1);
    is_at(6, 1, "boss");
    wait(50);
    said(0, "CONTINUE|" H_TEXT "|5\nTERM|1|boss\n");
    set("m", "x");
    said(0, "CLOCK|2050\nREPLICATE|m|x|1\n");
    dial(1);
    said(1, "LEAD|boss|0|" H_TEXT "|8|1-boss\n");
    answers(1, "SYNC|f1|" H_TEXT "|8|1-boss\n");
    said(1, "CONTINUE|" H_TEXT "|8\n");
    assert_int_equal(leader.full_syncs, 0);
    dial(2);
    buf_reset(&outs[2]);
    answers(2, "SYNC|f2|-|0\n");
    said(2, "FULL|" H_TEXT "|8|0|1-boss\nSINCE|5|-\nSINCE|6|1-boss\nREPLICATEX|k|v|1|500|0\n"
            "REPLICATEX|l|w|1|500|0\nREPLICATEX|m|x|1|2050|0\nEND|3|8\n");
    hang_up(2);
    hang_up(0);
    hang_up(1);
}

static void test_its_term_is_above_any_that_it_has_heard_of(void **state) {
    (void)state;
    recovered(&(struct term){3, "boss"});
    leader_recover(&leader, 6); /* what its disk knows of */
    dial(0);
    answers(0, "SYNC|f0|" H_TEXT "|4|2-x\n"); /* another one's, and behind */
    dial(1);
    answers(1, "SYNC|f1|0000000000010000|9|99-x\n"); /* of another history: that is no matter */
    wait(LEADER_LISTEN_MS);
    term_kept(7);
    hang_up(0);
    hang_up(1);
}

/* Somebody of this history has said the last number that there is. */
static void test_where_the_numbers_are_used_up_another_history_begins(void **state) {
    (void)state;
    recovered(NULL);
    dial(0);
    dial(1);
    answers(0, "SYNC|f0|" H_TEXT "|4|9223372036854775807-x\n");
    answers(1, "SYNC|f1|" H_TEXT "|4\n");
    wait(LEADER_LISTEN_MS);
    answers(0, "FULL|" H_TEXT "|4|0|9223372036854775807-x\nREPLICATEX|n|b|1|700|0\nEND|1|4\n");
    assert_int_equal(leader.phase, LEADER_SERVING);
    assert_true(history_id(history) > H);
    assert_true(holds("k", "v", 1) && holds("n", "b", 1));
    wait(50);
    assert_int_equal(links[1].phase, LEADER_LINK_STATE);
    hang_up(0);
    hang_up(1);
}

static void test_nor_does_a_follower_that_is_behind_use_them_up(void **state) {
    (void)state;
    recovered(&(struct term){UINT64_C(9223372036854775807), "boss"});
    dial(0);
    answers(0, "SYNC|f0|" H_TEXT "|4|1-x\n");
    wait(LEADER_LISTEN_MS);
    assert_int_equal(leader.phase, LEADER_SERVING);
    assert_true(history_id(history) > H);
    dial(1);
    answers(1, "SYNC|f1|" H_TEXT "|5|9223372036854775807-boss\n"); /* all that it has is here */
    assert_int_equal(links[1].phase, LEADER_LINK_STATE);
    hang_up(0);
    hang_up(1);
}

/* Who was elected takes nothing from a follower. What that one has and the state drops is told to it: the
 * leader's last line of the follower's term, or of the last one before it. */
static void test_a_state_tells_which_lines_it_loses(void **state) {
    (void)state;
    recovered(&(struct term){1, "boss"});
    leader_elected(&leader, 3);
    set("m", "x");
    is_at(8, 3, "boss");
    static const struct {
        const char *position, *common;
    } cases[] = {
        {"9|2-f0", "|5|1-boss"},   /* 1-boss ended at 5: 6 to 9 are another leader's, */
        {"7|1-boss", "|5|1-boss"}, /* or its own, that this one never had */
        {"9|3-boss", "|8|3-boss"}, /* it has miscounted */
        {"4|1-a", "|0|-"},         /* of a term that is older than all that are known here */
        {"4|1-boss", ""},          /* all that it has is here, but it is too far behind */
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[300];
        dial(0);
        buf_reset(&outs[0]);
        snprintf(text, sizeof(text), "SYNC|f0|" H_TEXT "|%s\n", cases[i].position);
        answers(0, text);
        snprintf(text, sizeof(text),
                 "FULL|" H_TEXT "|8|0|3-boss%s\nSINCE|5|1-boss\nSINCE|6|3-boss\nREPLICATEX|k|v|1|500|0\n"
                 "REPLICATEX|l|w|1|500|0\nREPLICATEX|m|x|1|1000|0\nEND|3|8\n",
                 cases[i].common);
        said(0, text);
        hang_up(0);
    }
}

/* Not where there are no terms: the line is what it always was. */
static void test_without_terms_nothing_is_told(void **state) {
    (void)state;
    serve();
    set("k", "v");
    dial(0);
    buf_reset(&outs[0]);
    answers(0, "SYNC|f0|" OWN_TEXT "|9\n"); /* it has miscounted */
    said(0, "FULL|" OWN_TEXT "|1|0\nREPLICATEX|k|v|1|2000|0\nEND|1|1\n");
    hang_up(0);
}

static void test_followers_hear_what_was_committed(void **state) {
    (void)state;
    recovered(&(struct term){1, "boss"});
    leader_elected(&leader, 3);
    dial(0);
    buf_reset(&outs[0]);
    answers(0, "SYNC|f0|" H_TEXT "|5|1-boss\n");
    wait(LEADER_PING_EVERY_MS);
    said(0, "CONTINUE|" H_TEXT "|5\nTERM|3|boss\n");
    wait(LEADER_PING_EVERY_MS);
    said(0, "PING|6\n"); /* not known */
    leader.committed_index = 6;
    wait(LEADER_PING_EVERY_MS);
    said(0, "PING|6|0|6\n");
    leader.committed_index = 7; /* of another history, a moment ago */
    wait(LEADER_PING_EVERY_MS);
    said(0, "PING|6\n");
    hang_up(0);
}

static void test_a_history_that_begins_has_no_term(void **state) {
    (void)state;
    serve();
    set("k", "v");
    dial(0);
    buf_reset(&outs[0]);
    answers(0, "SYNC|f0|-|0\n");
    said(0, "FULL|" OWN_TEXT "|1|0\nREPLICATEX|k|v|1|2000|0\nEND|1|1\n");
    hang_up(0);
}

/* It has lines that this leader's disk has not got: first those. */
static void test_it_takes_the_tail_of_one_that_is_ahead(void **state) {
    (void)state;
    recovered(NULL);
    dial(0);
    dial(1);
    answers(0, "SYNC|f0|" H_TEXT "|9\n");
    answers(1, "SYNC|f1|" H_TEXT "|5\n");
    wait(LEADER_LISTEN_MS);
    assert_int_equal(leader.phase, LEADER_PULLING);
    said(0, "LEAD|boss|0|" H_TEXT "|5\nPULL|" H_TEXT "|5\n");
    answers(0, "CONTINUE|" H_TEXT "|5\nCLOCK|700\nREPLICATE|k|a|2\nNEWVERB|x\nDELETE|l|2\n");
    assert_int_equal(leader.phase, LEADER_PULLING);
    answers(0, "ACK|9\nEND|0|9\n");
    assert_true(holds("k", "a", 2));
    assert_null(model_find(&store, SLICE("l")));
    is_at(9, 0, "");
    term_kept(1);
    wait(50);
    said(0, "CONTINUE|" H_TEXT "|9\nTERM|1|boss\n");
    said(1, "LEAD|boss|0|" H_TEXT "|5\nPING|5\nCONTINUE|" H_TEXT
            "|5\nCLOCK|700\nREPLICATE|k|a|2\nNEWVERB|x\nDELETE|l|2\nTERM|1|boss\n");
    assert_int_equal(leader.full_syncs, 0);
    hang_up(0);
    hang_up(1);
}

static void test_a_batch_of_a_tail_is_taken_whole_or_not_at_all(void **state) {
    (void)state;
    recovered(NULL);
    dial(0);
    answers(0, "SYNC|f0|" H_TEXT "|9\n");
    wait(LEADER_LISTEN_MS);
    answers(0, "CONTINUE|" H_TEXT "|5\nCLOCK|700\nBATCH|2\nREPLICATE|k|a|2\n");
    closes(0, "END|0|9\n");
    assert_true(holds("k", "v", 1));
    is_at(6, 0, "");
    term_kept(1); /* with what it has */
    dial(0);
    answers(0, "SYNC|f0|" H_TEXT "|9\n"); /* whose lines 7 to 9 have no place in it any more */
    buf_reset(&outs[0]);
    wait(50);
    said(0, "PULL\n");
    answers(0, "FULL|" H_TEXT "|9|0\nREPLICATEX|k|a|2|700|0\nREPLICATEX|n|b|1|700|0\nEND|2|9\n");
    assert_true(holds("n", "b", 1) && holds("k", "v", 3)); /* above the other's 2 */
    assert_int_equal(leader.adopted, 1);
    hang_up(0);
}

static void test_a_later_term_is_more_than_a_greater_index(void **state) {
    (void)state;
    recovered(&(struct term){1, "boss"});
    dial(0);
    dial(1);
    answers(0, "SYNC|f0|" H_TEXT "|5|1-boss\n");
    answers(1, "SYNC|f1|" H_TEXT "|4|2-f1\n");
    wait(LEADER_LISTEN_MS);
    said(1, "LEAD|boss|0|" H_TEXT "|5|1-boss\nPULL|" H_TEXT "|5|1-boss\n");
    /* They have parted at line 4: what only this leader has stays, and that is another history. */
    answers(1, "FULL|" H_TEXT "|4|7|2-f1\nSINCE|2|1-boss\nSINCE|4|2-f1\nREPLICATEX|k|new|5|700|0\nEND|1|4\n");
    assert_true(holds("k", "new", 5) && holds("l", "w", 1));
    assert_int_equal(store.floor, 7);
    assert_int_equal(leader.phase, LEADER_SERVING);
    assert_true(history_id(history) > H);
    assert_int_equal(history_position(history).term.number, 0);
    said_full(1, "REPLICATEX|k|new|5|700|0\nREPLICATEX|l|w|1|500|0\nEND|2");
    wait(50);
    buf_reset(&outs[0]);
    assert_int_equal(links[0].phase, LEADER_LINK_STATE); /* all of it is here */
    hang_up(0);
    hang_up(1);
}

/* This leader is at the beginning of what it has, and its backlog goes back less far. */
static void test_a_state_of_the_same_line_takes_the_place_of_what_is_here(void **state) {
    (void)state;
    recovered(NULL);
    dial(0);
    answers(0, "SYNC|f0|" H_TEXT "|40|2-f0\n");
    wait(LEADER_LISTEN_MS);
    answers(0, "FULL|" H_TEXT
               "|40|0|2-f0\nSINCE|0|-\nSINCE|6|1-x\nSINCE|9|2-f0\nREPLICATEX|k|new|5|700|0\nEND|1|40\n");
    assert_true(holds("k", "new", 5));
    assert_null(model_find(&store, SLICE("l"))); /* deleted meanwhile */
    is_at(40, 2, "f0");
    term_kept(3);
    is_at(41, 3, "boss");
    buf_reset(&outs[0]);
    wait(50);
    said(0, "CONTINUE|" H_TEXT "|40\nTERM|3|boss\n");
    hang_up(0);
}

static void test_a_state_that_breaks_off_leaves_a_history_of_its_own(void **state) {
    (void)state;
    recovered(NULL);
    dial(0);
    answers(0, "SYNC|f0|" H_TEXT "|40\n");
    wait(LEADER_LISTEN_MS);
    answers(0, "FULL|" H_TEXT "|40|0\nREPLICATEX|k|new|5|700|0\n");
    hang_up(0);
    assert_int_equal(leader.phase, LEADER_SERVING);
    assert_true(history_id(history) > H);
    assert_true(holds("k", "new", 5) && holds("l", "w", 1));
}

static void test_a_follower_of_a_later_term_that_comes_late_gives_what_is_missing(void **state) {
    (void)state;
    serves_on();
    another_term_comes_late();
    answers(0, "FULL|" H_TEXT "|9|0|2-f0\nSINCE|3|1-boss\nSINCE|6|2-f0\nREPLICATEX|k|x|9|700|0\nREPLICATEX|"
               "only|y|1|700|0\nEND|2|9\n");
    assert_true(holds("k", "v", 10) && holds("only", "y", 1));
    assert_int_equal(links[0].phase, LEADER_LINK_STATE);
    hang_up(0);
    dial(0);
    answers(0, "SYNC|f0|" H_TEXT "|9|2-f0\n"); /* it had not come to its END */
    assert_int_equal(links[0].phase, LEADER_LINK_STATE);
    hang_up(0);
    dial(0);
    answers(0, "SYNC|f0|" H_TEXT "|8|2-f0\n"); /* nor is what was on that line any news */
    assert_int_equal(links[0].phase, LEADER_LINK_STATE);
    hang_up(0);
    dial(0);
    answers(0, "SYNC|f0|" H_TEXT "|8|2-x\n");
    assert_int_equal(links[0].phase, LEADER_LINK_TAKING);
    hang_up(0);
}

/* Who elects and what a reply waits for belong to the history that is adopted from, not to this leader's. */
static void test_the_voters_of_what_it_adopts_from_are_not_its_own(void **state) {
    (void)state;
    serves_on();
    another_term_comes_late();
    answers(0, "FULL|" H_TEXT "|9|0|2-f0\nSINCE|3|1-boss\nSINCE|6|2-f0\nVOTERS|f0,f1,f2\nACKS|quorum\n"
               "REPLICATEX|only|y|1|700|0\nEND|1|9\n");
    assert_true(holds("only", "y", 1));
    assert_int_equal(leader.adopted, 1);
    assert_int_equal(links[0].phase, LEADER_LINK_STATE);
    assert_int_equal(history_voters(history)->count, 0);
    assert_false(history_quorum(history));
    hang_up(0);
}

/* f0 has a part of another history's state on top of H: of H it does not say the terms, nor where they began.
 */
static void test_of_a_history_whose_terms_are_not_known_an_older_one_is_news(void **state) {
    (void)state;
    serve();
    set("m", "x");
    dial(0);
    answers(0, "SYNC|f0|" H_TEXT "|9|2-f0\n");
    buf_reset(&outs[0]);
    wait(50);
    said(0, "PULL\n");
    answers(0, "FULL|0000000000030000|0|0\nREPLICATEX|k|v|1|700|0\nEND|1|0\n");
    assert_int_equal(links[0].phase, LEADER_LINK_STATE);
    dial(1);
    answers(1, "SYNC|f1|" H_TEXT "|8|1-boss\n"); /* it may have parted at 5 */
    assert_int_equal(links[1].phase, LEADER_LINK_TAKING);
    hang_up(0);
    hang_up(1);
}

/* That it gave way, and leads on from a part of another's state, takes its own terms from nobody. */
static void test_who_leads_again_knows_the_terms_of_what_it_led(void **state) {
    (void)state;
    serves_on();
    struct position led = history_position(history);
    leader_resume(&leader, &led, true, now_ms);
    assert_true(history_id(history) > H);
    dial(0);
    answers(0, "SYNC|f0|" H_TEXT "|5|1-boss\n");
    assert_int_equal(links[0].phase, LEADER_LINK_STATE);
    dial(1);
    answers(1, "SYNC|f1|" H_TEXT "|6|1-boss\n");
    assert_int_equal(links[1].phase, LEADER_LINK_TAKING);
    hang_up(0);
    hang_up(1);
}

/* "Nothing" was said to a leader of the term before: perhaps of a part of a state that this one has not got. */
static void test_who_has_nothing_is_asked_again_in_the_new_term(void **state) {
    (void)state;
    recovered(&(struct term){1, "boss"});
    dial(0);
    said(0, "LEAD|boss|0|" H_TEXT "|5|1-boss\n");
    answers(0, "SYNC|f0|-|0\n");
    wait(LEADER_LISTEN_MS);
    dial(1);
    term_kept(2);
    assert_int_equal(wait(50), 1);
    dial(0);
    said(0, "LEAD|boss|0|" H_TEXT "|6|2-boss\n");
    answers(0, "SYNC|f0|-|0\n");
    assert_int_equal(links[0].phase, LEADER_LINK_STATE);
    hang_up(0);
    answers(1, "SYNC|f1|-|0\n"); /* to what it heard then */
    assert_int_equal(wait(50), 1);
}

/* f0's lines and this leader's own have parted, so that the store is no state of f0's history: what f1 has of
 * it does not take its place. */
static void test_what_has_parted_and_was_joined_is_nobodys_beginning(void **state) {
    (void)state;
    recovered(&(struct term){1, "boss"});
    dial(0);
    dial(1);
    answers(0, "SYNC|f0|" H_TEXT "|4|3-f0\n");
    answers(1, "SYNC|f1|" H_TEXT "|9|2-f1\n");
    wait(LEADER_LISTEN_MS);
    answers(0, "FULL|" H_TEXT "|4|0|3-f0\nSINCE|2|1-boss\nSINCE|4|3-f0\nREPLICATEX|m|x|1|700|0\nEND|1|4\n");
    assert_true(holds("k", "v", 1) && holds("m", "x", 1));
    wait(50);
    assert_int_equal(links[1].phase, LEADER_LINK_TAKING);
    answers(1, "FULL|" H_TEXT "|9|0|2-f1\nSINCE|2|1-boss\nSINCE|5|2-f1\nREPLICATEX|n|y|1|700|0\nEND|1|9\n");
    assert_true(holds("k", "v", 1) && holds("m", "x", 1) && holds("n", "y", 1));
    hang_up(0);
    hang_up(1);
}

/* Nor does a later state of a history take the place of one that has parted from it. */
static void test_two_states_that_have_parted_are_joined(void **state) {
    (void)state;
    dial(0);
    dial(1);
    answers(0, "SYNC|f0|" H_TEXT "|6|2-f0\n");
    answers(1, "SYNC|f1|" H_TEXT "|9|1-f1\n");
    wait(LEADER_LISTEN_MS);
    answers(0, "FULL|" H_TEXT "|6|0|2-f0\nSINCE|0|-\nSINCE|5|2-f0\nREPLICATEX|m|x|1|700|0\nEND|1|6\n");
    wait(50);
    assert_int_equal(links[1].phase, LEADER_LINK_TAKING);
    answers(1, "FULL|" H_TEXT "|9|0|1-f1\nSINCE|0|-\nSINCE|5|1-f1\nREPLICATEX|n|y|1|700|0\nEND|1|9\n");
    assert_true(holds("m", "x", 1) && holds("n", "y", 1));
    hang_up(0);
    hang_up(1);
}

/* And where keys of another history were taken besides, it is a state of neither. */
static void test_a_state_to_which_others_keys_came_keeps_them(void **state) {
    (void)state;
    dial(0);
    dial(1);
    answers(0, "SYNC|f0|" H_TEXT "|6\n");
    wait(LEADER_LISTEN_MS);
    answers(0, "FULL|" H_TEXT "|6|0\nREPLICATEX|m|x|1|700|0\nEND|1|6\n");
    answers(1, "SYNC|f1|0000000000010000|9\n");
    wait(50);
    answers(1, "FULL|0000000000010000|9|0\nREPLICATEX|n|y|1|700|0\nEND|1|9\n");
    dial(2);
    answers(2, "SYNC|f2|" H_TEXT "|7\n");
    wait(50);
    answers(2, "FULL|" H_TEXT "|7|0\nREPLICATEX|m|z|2|700|0\nEND|1|7\n");
    assert_non_null(model_find(&store, SLICE("n")));
    hang_up(0);
    hang_up(1);
    hang_up(2);
}

static void test_what_is_no_answer_to_pull_closes_the_link(void **state) {
    (void)state;
    static const char *const answers_of[] = {"REPLICATEX|k|a|2|700|0\n",
                                             "END|0|9\n",
                                             "CONTINUE|" H_TEXT "|4\n",
                                             "CONTINUE|" H_TEXT "|5\nEND|0|9\n",
                                             "CONTINUE|" H_TEXT "|5\nFULL|" H_TEXT "|40|0\n",
                                             "FULL|" H_TEXT "|40|0\nCONTINUE|" H_TEXT "|5\n"};
    for (size_t i = 0; i < sizeof(answers_of) / sizeof(answers_of[0]); i++) {
        void *none = NULL;
        if (i > 0) {
            setup(&none);
        }
        recovered(NULL);
        dial(0);
        answers(0, "SYNC|f0|" H_TEXT "|9\n");
        wait(LEADER_LISTEN_MS);
        closes(0, answers_of[i]);
        assert_true(holds("l", "w", 1));
        assert_true(leader.phase == LEADER_TERM || leader.phase == LEADER_SERVING);
        if (i + 1 < sizeof(answers_of) / sizeof(answers_of[0])) {
            teardown(&none);
        }
    }
}

int main(void) {
#define TRANSCRIPT(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TRANSCRIPT(test_it_begins_a_term_and_continues_those_that_are_on_its_line),
        TRANSCRIPT(test_its_term_is_above_any_that_it_has_heard_of),
        TRANSCRIPT(test_where_the_numbers_are_used_up_another_history_begins),
        TRANSCRIPT(test_nor_does_a_follower_that_is_behind_use_them_up),
        TRANSCRIPT(test_a_state_tells_which_lines_it_loses),
        TRANSCRIPT(test_without_terms_nothing_is_told),
        TRANSCRIPT(test_followers_hear_what_was_committed),
        TRANSCRIPT(test_a_history_that_begins_has_no_term),
        TRANSCRIPT(test_the_voters_of_what_it_adopts_from_are_not_its_own),
        TRANSCRIPT(test_of_a_history_whose_terms_are_not_known_an_older_one_is_news),
        TRANSCRIPT(test_who_leads_again_knows_the_terms_of_what_it_led),
        TRANSCRIPT(test_it_takes_the_tail_of_one_that_is_ahead),
        TRANSCRIPT(test_a_batch_of_a_tail_is_taken_whole_or_not_at_all),
        TRANSCRIPT(test_a_later_term_is_more_than_a_greater_index),
        TRANSCRIPT(test_a_state_of_the_same_line_takes_the_place_of_what_is_here),
        TRANSCRIPT(test_a_state_that_breaks_off_leaves_a_history_of_its_own),
        TRANSCRIPT(test_a_follower_of_a_later_term_that_comes_late_gives_what_is_missing),
        TRANSCRIPT(test_who_has_nothing_is_asked_again_in_the_new_term),
        TRANSCRIPT(test_what_has_parted_and_was_joined_is_nobodys_beginning),
        TRANSCRIPT(test_two_states_that_have_parted_are_joined),
        TRANSCRIPT(test_a_state_to_which_others_keys_came_keeps_them),
        TRANSCRIPT(test_what_is_no_answer_to_pull_closes_the_link),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
