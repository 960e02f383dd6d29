/* Transcripts: followers are dialled and answer; what the leader says to them, and what it then holds. */
#include "tests/unit/leader_fixture.h"

static void test_a_follower_with_nothing_gets_the_state_then_the_stream(void **state) {
    (void)state;
    serve();
    set("k", "v");
    model_delete(&store, SLICE("k"));
    set("a|b", "v");
    dial(0);
    said(0, "LEAD|boss|0|" OWN_TEXT "|3\n");
    answers(0, "SYNC|f0|-|0\n");
    said(0, "FULL|" OWN_TEXT "|3|2\nREPLICATEX|a%7Cb|v|3|2000|0\nEND|1|3\n");
    assert_string_equal(leader_link_state(&links[0]), "online");
    set("k", "w"); /* behind a FULL the clock is said, though it has not changed */
    said(0, "CLOCK|2000\nREPLICATE|k|w|3\n");
    answers(0, "ACK|5\n");
    assert_int_equal(links[0].acked_index, 5);
    answers(0, "ACK|6\n"); /* not written yet */
    assert_int_equal(links[0].acked_index, 5);
    hang_up(0);
}

static void test_lines_that_happen_during_a_state_come_between_its_slices(void **state) {
    (void)state;
    struct line line;
    const char *reason;
    uint64_t lines = 0;
    serve();
    for (unsigned i = 0; i < 40; i++) {
        char key[] = {'a', (char)('0' + i), '\0'};
        set(key, "v");
    }
    dial(0);
    answers(0, "SYNC|f0|-|0\n");
    buf_reset(&outs[0]);
    bool ended = false;
    for (unsigned i = 0; !ended; i++) {
        if (i % 5 == 0) {
            set("live", "x");
        }
        /* A slice is a bucket and is not cut; a live line is: its rest comes next. */
        assert_int_equal(leader_link_fill(&links[0], &leader, &outs[0], buf_used(&outs[0]) + 7), LEADER_GO_ON);
        ended = links[0].phase == LEADER_LINK_STREAM;
    }
    for (struct slice rest = buf_slice(&outs[0]); rest.len > 0; lines++) {
        size_t n = (size_t)((const char *)memchr(rest.ptr, '\n', rest.len) - rest.ptr);
        assert_int_equal(line_decode(slice_first(rest, n), &scratch, &line, &reason), LINE_OK);
        rest = slice_skip(rest, n + 1);
    }
    assert_int_equal(line.verb, LINE_END);
    assert_int_equal(line.index, history_index(history));
    assert_int_equal(lines, line.count + (line.index - 40) + 1); /* state, live lines, END: each once */
    hang_up(0);
}

static void test_a_position_in_the_backlog_is_continued_and_one_that_fell_out_is_not(void **state) {
    (void)state;
    serve();
    dial(0);
    answers(0, "SYNC|f0|-|0\n");
    said(0, "LEAD|boss|0|" OWN_TEXT "|0\nFULL|" OWN_TEXT "|0|0\nEND|0|0\n");
    set("k", "1");
    said(0, "CLOCK|2000\nREPLICATE|k|1|1\n");
    hang_up(0);
    set("k", "2");
    dial(0);
    answers(0, "SYNC|f0|" OWN_TEXT "|2\n");
    said(0, "LEAD|boss|0|" OWN_TEXT "|3\nCONTINUE|" OWN_TEXT "|2\nREPLICATE|k|2|2\n");
    hang_up(0);
    for (unsigned i = 0; i < 100000; i++) {
        set("k", "3");
    }
    dial(0);
    answers(0, "SYNC|f0|" OWN_TEXT "|3\n");
    said(0, "LEAD|boss|0|" OWN_TEXT "|100003\nFULL|" OWN_TEXT
            "|100003|0\nREPLICATEX|k|3|100002|2000|0\nEND|1|100003\n");
    assert_int_equal(leader.full_syncs, 2);
    assert_int_equal(leader.partial_syncs, 1);
    assert_int_equal(leader.partial_refused, 1);
    hang_up(0);
}

static void test_a_link_that_falls_out_of_the_backlog_is_left(void **state) {
    (void)state;
    struct slice next;
    serve();
    for (size_t i = 0; i < 2; i++) {
        dial(i);
        answers(i, "SYNC|f|-|0\n");
    }
    said(0, "LEAD|boss|0|" OWN_TEXT "|0\nFULL|" OWN_TEXT "|0|0\nEND|0|0\n");
    for (unsigned i = 0; i < 100000; i++) {
        set("k", "3");
    }
    assert_int_equal(leader_link_peek(&links[0], &leader, &next), LEADER_CLOSE);              /* in STREAM */
    assert_int_equal(leader_link_fill(&links[1], &leader, &outs[1], SIZE_MAX), LEADER_CLOSE); /* in STATE */
    hang_up(0);
    hang_up(1);
}

static void test_it_pings_when_idle_and_leaves_a_follower_that_is_silent(void **state) {
    (void)state;
    serve();
    dial(0);
    answers(0, "SYNC|f0|-|0\n");
    said(0, "LEAD|boss|0|" OWN_TEXT "|0\nFULL|" OWN_TEXT "|0|0\nEND|0|0\n");
    assert_int_equal(wait(950), 0);
    said(0, "");
    assert_int_equal(wait(50), 0);
    said(0, "PING|0\n");
    answers(0, "ACK|0\n");
    set("k", "v"); /* a line is due: no PING before it is sent */
    assert_int_equal(wait(1500), 0);
    said(0, "CLOCK|3000\nREPLICATE|k|v|1\n");
    assert_int_equal(wait(3450), 0);
    said(0, "PING|2\nPING|2\nPING|2\n");
    assert_int_equal(wait(50), 1);
}

/* For WAIT: not at the next second, but as soon as all there is has been sent; once. */
static void test_it_pings_at_once_when_it_is_asked_to(void **state) {
    (void)state;
    serve();
    dial(0);
    answers(0, "SYNC|f0|-|0\n");
    said(0, "LEAD|boss|0|" OWN_TEXT "|0\nFULL|" OWN_TEXT "|0|0\nEND|0|0\n");
    set("k", "v");
    leader_link_ask(&links[0]);
    assert_int_equal(wait(50), 0); /* the line is not sent yet: no PING before it */
    said(0, "CLOCK|2000\nREPLICATE|k|v|1\n");
    assert_int_equal(wait(50), 0);
    said(0, "PING|2\n");
    answers(0, "ACK|2\n");
    assert_int_equal(links[0].acked_index, 2);
    assert_int_equal(wait(900), 0);
    said(0, "");
}

static void test_a_follower_that_knows_only_the_specification(void **state) {
    (void)state;
    serve();
    set("plain", "v");
    model_set(&store, SLICE("soon"), SLICE("v"), 9000);
    dial_as(0, false);
    wait(450);
    said(0, "LEAD|boss|0|" OWN_TEXT "|2\n");
    wait(50);
    said(0, "REPLICATEX|soon|v|1|2000|9000\nREPLICATE|plain|v|1\n");
    assert_string_equal(leader_link_state(&links[0]), "spec-only");
    wait(60000); /* it never says anything, and is told nothing but the history */
    said(0, "");
    set("plain", "w");
    said(0, "CLOCK|62500\nREPLICATE|plain|w|2\n");
    hang_up(0);
}

static void patch(const char *key, size_t offset, const char *bytes) {
    model_patch(&store, slice_from_text(key), offset, slice_from_text(bytes));
}

/* The next n bytes are sent, whatever they are. */
static void sends(size_t i, size_t n, const char *expected) {
    struct slice next;
    assert_int_equal(leader_link_peek(&links[i], &leader, &next), LEADER_GO_ON);
    next = slice_first(next, n);
    assert_true(slice_equals(next, slice_from_text(expected)));
    leader_link_sent(&links[i], &leader, next.len, now_ms);
}

/* It does not know PATCHX: it gets the whole value, once, however many patches there were. */
static void test_a_patch_for_one_that_knows_only_the_specification(void **state) {
    (void)state;
    serve();
    set("k", "value");
    dial_as(0, false);
    wait(500);
    said(0, "LEAD|boss|0|" OWN_TEXT "|1\nREPLICATE|k|value|1\n");
    patch("k", 0, "V");
    patch("k", 4, "EN");
    set("other", "PATCHX|");
    patch("gone", 1, "x");
    model_delete(&store, SLICE("gone"));
    patch("a|b", 0, "x");
    said(0, "REPLICATE|k|ValuEN|3\nCLOCK|2500\nREPLICATE|other|PATCHX||1\nBATCH|2\nREPLICATE|gone||1\n"
            "DELETE|gone|2\nBATCH|2\nREPLICATEX|a%7Cb||3|2500|0\nREPLICATEX|a%7Cb|x|3|2500|0\n");
    /* The rest of a line is no line: */
    set("k", "PATCHX|k|0|x");
    patch("k", 0, "p");
    sends(0, sizeof("REPLICATE|k|") - 1, "REPLICATE|k|");
    sends(0, 3, "PAT");
    said(0, "CHX|k|0|x|4\nREPLICATE|k|pATCHX|k|0|x|5\n");
    patch("k", 1, "a");
    sends(0, 20, "REPLICATE|k|paTCHX|k");
    patch("k", 2, "t");
    said(0, "|0|x|6\nREPLICATE|k|patCHX|k|0|x|7\n");
    hang_up(0);
}

static void test_one_that_is_known_to_speak_is_waited_for(void **state) {
    (void)state;
    serve();
    set("k", "v");
    dial_as(0, true);
    wait(4950);
    said(0, "LEAD|boss|0|" OWN_TEXT "|1\n");
    assert_int_equal(wait(50), 1);
}

static void test_a_late_sync_means_another_dial(void **state) {
    (void)state;
    serve();
    set("k", "v");
    dial_as(0, false);
    wait(500);
    said(0, "LEAD|boss|0|" OWN_TEXT "|1\nREPLICATE|k|v|1\n");
    closes(0, "SYNC|f0|-|0\n");
    assert_true(links[0].knows_sync); /* for the driver to remember */
}

/* As long as nothing was said to it, late is in time: a leader that listens must not miss who holds the data.
 */
static void test_a_late_sync_is_in_time_while_the_leader_listens(void **state) {
    (void)state;
    dial_as(0, false);
    wait(700);
    answers(0, "SYNC|f0|" A_TEXT "|5\n");
    wait(300);
    said(0, "LEAD|boss|0|" OWN_TEXT "|0\nPULL\n");
    assert_int_equal(leader.phase, LEADER_PULLING);
    hang_up(0);
}

static void test_an_empty_leader_takes_the_most_advanced_state_before_it_serves(void **state) {
    (void)state;
    for (size_t i = 0; i < LINKS; i++) {
        dial(i);
        said_lead(i);
    }
    answers(0, "SYNC|f0|" B_TEXT "|900\n");
    answers(1, "SYNC|f1|" A_TEXT "|6\n");
    answers(2, "SYNC|f2|" A_TEXT "|5\n");
    wait(LEADER_LISTEN_MS);
    assert_int_equal(leader.phase, LEADER_PULLING);
    said(0, "PING|0\n");
    said(1, "PULL\n");
    said(2, "PING|0\n");
    answers(1, "FULL|" A_TEXT "|6|3\nREPLICATEX|k|v|2|500|0\n");
    assert_int_equal(leader.phase, LEADER_PULLING);
    answers(1, "END|1|6\n");
    assert_int_equal(leader.phase, LEADER_SERVING);
    assert_true(holds("k", "v", 2));
    assert_int_equal(store.floor, 3);
    assert_true(history_id(history) > OWN); /* a new history */
    assert_int_equal(history_index(history), 0);
    said_full(1, "REPLICATEX|k|v|2|500|0\nEND|1");
    wait(50);
    said_full(2, "REPLICATEX|k|v|2|500|0\nEND|1"); /* what it has, the other had */
    said(0, "PULL\n");                             /* but this one may have what no other has */
    answers(0, "FULL|" B_TEXT "|900|0\nREPLICATEX|k|old|1|400|0\nREPLICATEX|only|x|1|400|0\nEND|2|900\n");
    assert_true(holds("k", "v", 2));
    assert_true(holds("only", "x", 4)); /* above the floor: its 1 may have been another's */
    said(2, "CLOCK|400\nREPLICATE|only|x|4\n");
    for (size_t i = 0; i < LINKS; i++) {
        hang_up(i);
    }
}

static void test_a_follower_without_data_waits_until_the_leader_serves(void **state) {
    (void)state;
    dial(0);
    answers(0, "SYNC|f0|-|0\n");
    wait(950);
    said_lead(0);
    wait(50);
    said_full(0, "END|0");
    hang_up(0);
}

/* Its leader may have died without a word: it lets go of it within LINK_TIMEOUT_MS. */
static void test_a_follower_that_follows_another_is_waited_for(void **state) {
    (void)state;
    const char *refusal = "ERROR|two leaders: node f0 follows old\n";
    dial(0);
    closes(0, refusal);
    wait(LEADER_LISTEN_MS + 500);
    assert_int_equal(leader.phase, LEADER_LISTENING);
    dial(0);
    closes(0, refusal);
    wait(LEADER_REFUSED_WAIT_MS - 50);
    assert_int_equal(leader.phase, LEADER_LISTENING);
    dial(0);
    answers(0, "SYNC|f0|" A_TEXT "|7\n");
    wait(50);
    assert_int_equal(leader.phase, LEADER_PULLING);
    hang_up(0);
}

static void test_nobody_is_waited_for_without_end(void **state) {
    (void)state;
    int64_t began_ms = now_ms;
    while (leader.phase == LEADER_LISTENING && now_ms < began_ms + 20000) {
        dial(0);
        closes(0, "ERROR|two leaders: node f0 follows old\n");
        wait(200);
    }
    assert_int_equal(leader.phase, LEADER_SERVING);
    assert_int_equal(now_ms - began_ms, LEADER_WAIT_MOST_MS);
}

static void test_one_that_is_connected_and_silent_is_waited_for(void **state) {
    (void)state;
    dial(0);
    assert_int_equal(wait(LINK_TIMEOUT_MS - 50), 0);
    assert_int_equal(leader.phase, LEADER_LISTENING);
    assert_int_equal(wait(50), 1);
    wait(50);
    assert_int_equal(leader.phase, LEADER_SERVING);
}

static void test_one_that_is_silent_does_not_keep_from_taking_what_another_has(void **state) {
    (void)state;
    dial(0);
    dial(1);
    answers(1, "SYNC|f1|" A_TEXT "|7\n");
    wait(LEADER_LISTEN_MS);
    assert_int_equal(leader.phase, LEADER_PULLING);
    hang_up(0);
    hang_up(1);
}

static void test_the_new_history_is_younger_than_the_one_taken_whatever_the_clock_says(void **state) {
    (void)state;
    dial(0);
    answers(0, "SYNC|f0|00ffffffffff0000|6\n");
    wait(LEADER_LISTEN_MS);
    answers(0, "FULL|00ffffffffff0000|6|0\nEND|0|6\n");
    assert_int_equal(history_id(history), UINT64_C(0x0100000000000000));
    hang_up(0);
}

/* PULL breaks off at: nothing said, the state begun, a connection that closes; then the next one is asked. */
static void test_a_state_that_breaks_off_is_dropped_and_the_next_follower_is_asked(void **state) {
    (void)state;
    for (size_t i = 0; i < LINKS; i++) {
        dial(i);
    }
    answers(0, "SYNC|f0|" A_TEXT "|9\n");
    answers(1, "SYNC|f1|" A_TEXT "|8\n");
    answers(2, "SYNC|f2|" A_TEXT "|7\n");
    wait(LEADER_LISTEN_MS);
    assert_ptr_equal(leader.taking, &links[0]);
    answers(0, "FULL|" A_TEXT "|9|0\nREPLICATEX|half|v|1|500|0\n");
    hang_up(0);
    assert_int_equal(store.count, 0);
    assert_int_equal(leader.phase, LEADER_LISTENING);
    dial(0); /* it is back at once, and still the most advanced: but the others come first now */
    answers(0, "SYNC|f0|" A_TEXT "|9\n");
    answers(1, "ACK|0\n");
    answers(2, "ACK|0\n");
    wait(LEADER_LISTEN_MS);
    assert_ptr_equal(leader.taking, &links[1]);
    for (int second = 0; second < 3; second++) { /* f1 is alive, but gives nothing */
        assert_int_equal(wait(1000), 0);
        answers(0, "ACK|0\n");
        answers(1, "ACK|0\n");
        answers(2, "ACK|0\n");
    }
    assert_int_equal(wait(1000), 1);
    assert_null(leader.taking);
    answers(0, "ACK|0\n");
    answers(2, "ACK|0\n");
    wait(LEADER_LISTEN_MS);
    assert_ptr_equal(leader.taking, &links[2]);
    hang_up(2);
    answers(0, "ACK|0\n");
    wait(LEADER_LISTEN_MS); /* once more round */
    assert_ptr_equal(leader.taking, &links[0]);
    answers(0, "FULL|" A_TEXT "|9|0\nREPLICATEX|k|v|1|500|0\nEND|1|9\n");
    assert_int_equal(leader.phase, LEADER_SERVING);
    assert_int_equal(leader.failed_count, 0);
    assert_true(holds("k", "v", 1));
    assert_int_equal(store.count, 1);
    hang_up(0);
}

static void test_a_state_that_cannot_be_taken_now_is_asked_for_again(void **state) {
    (void)state;
    dial(0);
    answers(0, "SYNC|f0|" A_TEXT "|9\n");
    wait(LEADER_LISTEN_MS);
    store.refuse_full = true;
    closes(0, "FULL|" A_TEXT "|9|0\n");
    assert_int_equal(leader.phase, LEADER_LISTENING);
    store.refuse_full = false;
    dial(0);
    answers(0, "SYNC|f0|" A_TEXT "|9\n");
    wait(LEADER_LISTEN_MS);
    answers(0, "FULL|" A_TEXT "|9|0\nREPLICATEX|k|v|1|500|0\nEND|1|9\n");
    assert_true(holds("k", "v", 1));
    hang_up(0);
}

static void test_a_state_that_is_still_arriving_is_waited_for(void **state) {
    (void)state;
    dial(0);
    answers(0, "SYNC|f0|" A_TEXT "|9\n");
    wait(LEADER_LISTEN_MS);
    answers(0, "FULL|" A_TEXT "|9|0\n");
    for (int second = 0; second < 20; second++) { /* a long line */
        assert_int_equal(wait(1000), 0);
        leader_link_heard(&links[0], now_ms);
    }
    answers(0, "REPLICATEX|k|v|1|500|0\nEND|1|9\n");
    assert_true(holds("k", "v", 1));
    hang_up(0);
}

static void test_while_nothing_is_written_a_further_state_of_the_same_history_is_taken_whole(void **state) {
    (void)state;
    dial(0);
    answers(0, "SYNC|f0|" A_TEXT "|5\n");
    wait(LEADER_LISTEN_MS);
    answers(0, "FULL|" A_TEXT "|5|0\nREPLICATEX|k|1|1|500|0\nREPLICATEX|gone|1|1|500|0\nEND|2|5\n");
    said(0, "LEAD|boss|0|" OWN_TEXT "|0\nPULL\n"
            "FULL|0000000007d00000|0|0\nREPLICATEX|k|1|1|500|0\nREPLICATEX|gone|1|1|500|0\nEND|2|0\n");
    dial(1);
    answers(1, "SYNC|f1|" A_TEXT "|8\n");
    assert_int_equal(leader.phase, LEADER_PULLING);
    wait(50);
    answers(1, "FULL|" A_TEXT "|8|2\nREPLICATEX|k|2|3|500|0\nEND|1|8\n");
    assert_true(holds("k", "2", 3));
    assert_int_equal(store.count, 1);
    struct slice next;
    assert_int_equal(leader_link_peek(&links[0], &leader, &next), LEADER_CLOSE); /* it is brought up to date */
    hang_up(0);
    dial(0);
    answers(0, "SYNC|f0|0000000007d00000|0\n"); /* this leader's own former history: nothing to be taken */
    assert_int_equal(links[0].phase, LEADER_LINK_STATE);
    hang_up(0);
    hang_up(1);
}

/* On f0's data lies part of a state that broke off: f1 is ahead of it in A, and has never seen that part. */
static void test_a_further_state_does_not_take_the_place_of_a_mixture(void **state) {
    (void)state;
    dial(0);
    answers(0, "SYNC|f0|" B_TEXT "|5\n");
    wait(LEADER_LISTEN_MS);
    answers(0, "FULL|" A_TEXT "|0|0\nREPLICATEX|k|1|1|500|0\nREPLICATEX|of A|1|1|500|0\nEND|2|0\n");
    dial(1);
    answers(1, "SYNC|f1|" B_TEXT "|8\n");
    assert_int_equal(leader.phase, LEADER_SERVING);
    wait(50);
    answers(1, "FULL|" B_TEXT "|8|0\nREPLICATEX|k|2|2|500|0\nREPLICATEX|late|1|1|500|0\nEND|2|8\n");
    assert_true(holds("of A", "1", 1));
    assert_true(holds("late", "1", 1));
    assert_int_equal(store.count, 3);
    dial(2);
    answers(2, "SYNC|f2|" A_TEXT "|3\n"); /* and of A a part was there only */
    assert_ptr_equal(leader.taking, &links[2]);
    for (size_t i = 0; i < LINKS; i++) {
        hang_up(i);
    }
}

/* f1 has a history of which this leader has all keys and yet not the state. */
static void test_a_further_state_takes_the_place_of_its_own_history_only(void **state) {
    (void)state;
    dial(0);
    answers(0, "SYNC|f0|" A_TEXT "|5\n");
    wait(LEADER_LISTEN_MS);
    answers(0, "FULL|" A_TEXT "|5|0\nREPLICATEX|k|1|1|500|0\nEND|1|5\n");
    dial(1);
    answers(1, "SYNC|f1|" B_TEXT "|2\n");
    wait(50);
    answers(1, "FULL|" B_TEXT "|2|0\nEND|0|2\n");
    assert_int_equal(history_index(history), 0);
    dial(2);
    answers(2, "SYNC|f2|" B_TEXT "|3\n");
    wait(50);
    answers(2, "FULL|" B_TEXT "|3|0\nREPLICATEX|of B|1|1|500|0\nEND|1|3\n");
    assert_true(holds("k", "1", 1));
    assert_true(holds("of B", "1", 1));
    for (size_t i = 0; i < LINKS; i++) {
        hang_up(i);
    }
}

/* It took A's state, wrote, gave way, and leads on under a new history in which nothing is written yet. */
static void test_a_leader_that_leads_on_keeps_what_it_had_written(void **state) {
    (void)state;
    dial(0);
    answers(0, "SYNC|f0|" A_TEXT "|5\n");
    wait(LEADER_LISTEN_MS);
    answers(0, "FULL|" A_TEXT "|5|0\nREPLICATEX|k|1|1|500|0\nEND|1|5\n");
    set("written", "v");
    hang_up(0);
    const struct position led = history_position(history);
    leader_resume(&leader, &led, true, now_ms);
    assert_int_equal(history_index(history), 0);
    dial(1);
    answers(1, "SYNC|f1|" A_TEXT "|8\n");
    wait(50);
    answers(1, "FULL|" A_TEXT "|8|0\nREPLICATEX|k|2|2|500|0\nREPLICATEX|late|1|1|500|0\nEND|2|8\n");
    assert_true(holds("written", "v", 1));
    assert_true(holds("late", "1", 1));
    hang_up(1);
}

/* f0 was given the first state under the history of that time: with part of the second among it, it is not that
 * history's any more. And the leader goes on serving, however often the second breaks off. */
static void test_a_second_state_that_breaks_off_leaves_another_history(void **state) {
    (void)state;
    struct slice next;
    dial(0);
    answers(0, "SYNC|f0|" A_TEXT "|5\n");
    wait(LEADER_LISTEN_MS);
    answers(0, "FULL|" A_TEXT "|5|0\nREPLICATEX|k|1|1|500|0\nEND|1|5\n");
    leader_link_fill(&links[0], &leader, &outs[0], SIZE_MAX);
    uint64_t id = history_id(history);
    dial(1);
    answers(1, "SYNC|f1|" A_TEXT "|8\n");
    wait(50);
    answers(1, "FULL|" A_TEXT "|8|0\nREPLICATEX|more|1|1|500|0\n");
    hang_up(1);
    assert_int_equal(leader.phase, LEADER_SERVING);
    assert_true(holds("k", "1", 1));
    assert_true(history_id(history) > id);
    assert_int_equal(leader_link_peek(&links[0], &leader, &next), LEADER_CLOSE);
    hang_up(0);
    dial(1);
    answers(1, "SYNC|f1|" A_TEXT "|8\n");
    assert_int_equal(leader.phase, LEADER_SERVING); /* once it has failed it must not hold up anybody */
    assert_ptr_equal(leader.taking, &links[1]);
    hang_up(1);
}

static void test_a_leader_that_has_written_takes_the_keys_it_lacks(void **state) {
    (void)state;
    serve();
    dial(1);
    answers(1, "SYNC|f1|-|0\n");
    said(1, "LEAD|boss|0|" OWN_TEXT "|0\nFULL|" OWN_TEXT "|0|0\nEND|0|0\n");
    set("k", "new");
    said(1, "CLOCK|2000\nREPLICATE|k|new|1\n");
    dial(0);
    answers(0, "SYNC|f0|" A_TEXT "|5\n");
    assert_int_equal(leader.phase, LEADER_SERVING);
    wait(50);
    said(0, "LEAD|boss|0|" OWN_TEXT "|2\nPULL\n");
    answers(0, "FULL|" A_TEXT "|5|21\nREPLICATEX|k|old|7|500|0\nREPLICATEX|lost|x|3|500|90000\n");
    set("meanwhile", "y");
    answers(0, "REPLICATEX|meanwhile|old|3|500|0\nEND|3|5\n");
    assert_true(holds("k", "new", 8)); /* its next version must not be one that is known from A */
    assert_true(holds("lost", "x", 3));
    assert_true(holds("meanwhile", "y", 4));
    assert_int_equal(leader.adopted, 1);
    assert_int_equal(history_id(history), OWN);
    said(1, "REPLICATE|k|new|8\nREPLICATEX|lost|x|3|500|90000\n"
            "CLOCK|2050\nREPLICATE|meanwhile|y|1\nREPLICATE|meanwhile|y|4\n"
            "FLOOR|21\n"); /* what was deleted in A had no higher version: followers have to know too */
    set("deleted in A", "z");
    assert_true(holds("deleted in A", "z", 22));
    assert_int_equal(links[0].phase, LEADER_LINK_STATE); /* and then it gets the whole */
    hang_up(0);
    dial(0);
    answers(0, "SYNC|f0|" A_TEXT "|5\n"); /* broke off before END: it has nothing new to give */
    assert_int_equal(links[0].phase, LEADER_LINK_STATE);
    hang_up(0);
    hang_up(1);
}

/* The states of several histories meet: whichever comes first, no key of another is lost. */
static void test_a_less_advanced_follower_may_hold_what_no_other_has(void **state) {
    (void)state;
    serve();
    set("k", "new");
    dial(0);
    answers(0, "SYNC|f0|" A_TEXT "|5\n");
    answers(0, "FULL|" A_TEXT "|5|0\nEND|0|5\n");
    dial(1);
    answers(1, "SYNC|f1|" B_TEXT "|900\n"); /* an older history, which A does not hold */
    assert_ptr_equal(leader.taking, &links[1]);
    answers(1, "FULL|" B_TEXT "|900|0\nREPLICATEX|only|x|1|400|0\nEND|1|900\n");
    assert_true(holds("only", "x", 1));
    dial(2);
    answers(2, "SYNC|f2|" B_TEXT "|899\n"); /* f1 had all of this */
    assert_null(leader.taking);
    for (size_t i = 0; i < LINKS; i++) {
        hang_up(i);
    }
}

static void test_one_state_is_taken_at_a_time(void **state) {
    (void)state;
    serve();
    set("k", "v");
    dial(0);
    dial(1);
    answers(0, "SYNC|f0|" A_TEXT "|5\n");
    answers(1, "SYNC|f1|" B_TEXT "|5\n");
    assert_ptr_equal(leader.taking, &links[0]);
    assert_int_equal(links[1].phase, LEADER_LINK_HELD);
    answers(0, "FULL|" A_TEXT "|5|0\nEND|0|5\n");
    wait(50);
    assert_ptr_equal(leader.taking, &links[1]);
    hang_up(0);
    hang_up(1);
}

static void test_lines_out_of_place_close_the_link(void **state) {
    (void)state;
    serve();
    static const struct {
        const char *lines, *said;
    } cases[] = {
        {"REPLICATE|k|v|1\n", "ERROR|a follower does not say that here\n"},
        {"PULL\n", "ERROR|a follower does not say that here\n"},
        {"SYNC|f0|x|1\n", "ERROR|bad history id\n"},
        {"ERROR|two leaders: you and me\n", ""},
        {"SYNC|f0|" A_TEXT "|1\nREPLICATEX|k|v|1|1|0\n", "ERROR|a state is expected: FULL, REPLICATEX, END\n"},
        {"SYNC|f0|" A_TEXT "|1\nEND|0|1\n", "ERROR|a state is expected: FULL, REPLICATEX, END\n"},
        {"SYNC|f0|" A_TEXT "|1\nFULL|" A_TEXT "|1|0\nFULL|" A_TEXT "|1|0\n",
         "ERROR|a state is expected: FULL, REPLICATEX, END\n"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        set("k", "v");
        dial(0);
        buf_reset(&outs[0]);
        closes(0, cases[i].lines);
        buf_append_byte(&outs[0], '\0');
        assert_string_equal(buf_slice(&outs[0]).ptr, cases[i].said);
    }
    assert_int_equal(leader.lines_malformed, 6);
    assert_int_equal(store.count, 1);
    dial(0);
    closes(0, "ERROR|two leaders: node x leads\n");
    assert_string_equal(links[0].refusal, "two leaders: node x leads");
    dial(0);
    answers(0, "LATER|x\nWHO\nANNOUNCE|f0|127.0.0.1|1|0|false\n");
    assert_int_equal(leader.lines_unknown, 1);
    hang_up(0);
    assert_null(leader.links);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_a_follower_with_nothing_gets_the_state_then_the_stream),
        TEST(test_lines_that_happen_during_a_state_come_between_its_slices),
        TEST(test_a_position_in_the_backlog_is_continued_and_one_that_fell_out_is_not),
        TEST(test_a_link_that_falls_out_of_the_backlog_is_left),
        TEST(test_it_pings_when_idle_and_leaves_a_follower_that_is_silent),
        TEST(test_it_pings_at_once_when_it_is_asked_to),
        TEST(test_a_follower_that_knows_only_the_specification),
        TEST(test_a_patch_for_one_that_knows_only_the_specification),
        TEST(test_one_that_is_known_to_speak_is_waited_for),
        TEST(test_a_late_sync_means_another_dial),
        TEST(test_a_late_sync_is_in_time_while_the_leader_listens),
        TEST(test_an_empty_leader_takes_the_most_advanced_state_before_it_serves),
        TEST(test_a_follower_without_data_waits_until_the_leader_serves),
        TEST(test_a_follower_that_follows_another_is_waited_for),
        TEST(test_nobody_is_waited_for_without_end),
        TEST(test_one_that_is_connected_and_silent_is_waited_for),
        TEST(test_one_that_is_silent_does_not_keep_from_taking_what_another_has),
        TEST(test_the_new_history_is_younger_than_the_one_taken_whatever_the_clock_says),
        TEST(test_a_state_that_breaks_off_is_dropped_and_the_next_follower_is_asked),
        TEST(test_a_state_that_cannot_be_taken_now_is_asked_for_again),
        TEST(test_a_state_that_is_still_arriving_is_waited_for),
        TEST(test_while_nothing_is_written_a_further_state_of_the_same_history_is_taken_whole),
        TEST(test_a_further_state_does_not_take_the_place_of_a_mixture),
        TEST(test_a_further_state_takes_the_place_of_its_own_history_only),
        TEST(test_a_leader_that_leads_on_keeps_what_it_had_written),
        TEST(test_a_second_state_that_breaks_off_leaves_another_history),
        TEST(test_a_leader_that_has_written_takes_the_keys_it_lacks),
        TEST(test_a_less_advanced_follower_may_hold_what_no_other_has),
        TEST(test_one_state_is_taken_at_a_time),
        TEST(test_lines_out_of_place_close_the_link),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
