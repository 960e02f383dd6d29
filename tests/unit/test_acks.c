/* What a reply waits for in a group that votes: the node's disk, the voters, and a round of pings, each of
 * which may be the last. And what a client that came before there was a journal waits for. */
#include "tests/unit/journal_scene.h"

static size_t answers_before;

/* A leader of a group of voters, with some data on its disk and on theirs. */
static void begin(bool quorum) {
    scene_begin(JOURNAL_FSYNC_EVERYSEC, (struct random){1});
    scene_fill();
    history_write_acks(scene->history, quorum);
    scene_settle(20);
    scene->leads = true;
    scene->committed_index = history_index(scene->history);
    scene->round = 4;
    scene->asked_round = 5;
    answers_before = scene->answers;
}

static void asks(const char *requests) {
    scene_send(requests);
    scene_settle(10);
}

static void is_told(size_t answers) {
    scene_settle(10);
    assert_int_equal(scene->answers - answers_before, answers);
}

static void voters_have_all(void) { scene->committed_index = history_index(scene->history); }

static void a_group_of_acks_leader_waits_for_no_voter(void **state) {
    (void)state;
    begin(false);
    asks("WR");
    is_told(2);
    assert_int_equal(scene->acks.fence.held_count, 0);
    scene_end();
}

static void a_write_is_answered_when_voters_have_it_and_one_led_still(void **state) {
    (void)state;
    for (int round_first = 0; round_first < 2; round_first++) {
        begin(true);
        asks("W");
        is_told(0);
        if (round_first) {
            scene->round = 5;
        } else {
            voters_have_all();
        }
        is_told(0);
        voters_have_all();
        scene->round = 5;
        is_told(1);
        scene_end();
    }
}

static void a_read_waits_for_what_it_has_seen_and_for_a_round_of_its_own(void **state) {
    (void)state;
    begin(true);
    asks("W");
    voters_have_all();
    scene->round = 5;
    is_told(1);
    scene->asked_round = 6; /* the pings of round 5 have left before */
    asks("R");
    is_told(1);
    scene->round = 6;
    is_told(2);
    scene_end();
}

static void the_disk_may_be_the_last(void **state) {
    (void)state;
    begin(true);
    scene->fsync = JOURNAL_FSYNC_ALWAYS;
    journal_set_fsync(scene->journal, JOURNAL_FSYNC_ALWAYS);
    scene_settle(20);
    disk_wait(scene->disk, DISK_FDATASYNC);
    scene_send("W");
    for (int i = 0; i < 20; i++) {
        scene_turn();
    }
    voters_have_all();
    scene->round = 5;
    for (int i = 0; i < 20; i++) {
        scene_turn();
    }
    assert_int_equal(scene->answers, answers_before);
    disk_wait(scene->disk, 0);
    is_told(1);
    scene_end();
}

/* "The stricter wins." */
static void who_asks_for_the_quorum_waits_where_the_group_does_not(void **state) {
    (void)state;
    begin(false);
    conn_ask_quorum(scene->conn, true);
    asks("W");
    is_told(0);
    conn_ask_quorum(scene->conn, false);
    asks("R"); /* does not overtake */
    is_told(0);
    voters_have_all();
    scene->round = 5;
    is_told(2);
    asks("W");
    is_told(3);
    scene_end();
}

static void who_does_not_lead_waits_for_its_disk_alone(void **state) {
    (void)state;
    begin(true);
    scene->leads = false;
    conn_ask_quorum(scene->conn, true);
    asks("WR");
    is_told(2);
    scene_end();
}

static void others_words_wait_as_their_hearer_asks(void **state) {
    (void)state;
    begin(false);
    conn_ask_quorum(scene->conn, true);
    buf_append_text(conn_out(scene->conn), "0\n");
    conn_flush(scene->conn);
    scene->asked++;
    is_told(0);
    scene->round = 5;
    is_told(1);
    scene_end();
}

static void who_leads_no_more_closes_what_it_holds(void **state) {
    (void)state;
    begin(true);
    asks("WR");
    scene->leads = false;
    acks_break(&scene->acks);
    assert_int_equal(scene->deposed, 1);
    is_told(0);

    /* It follows, takes the new leader's state, and leads again: nothing that was is taken for what is. */
    scene_take_state(1000, history_index(scene->history) - 1);
    scene_settle(20);
    scene->leads = true;
    scene->committed_index = 0;
    scene->round = 0;
    scene->asked_round = 7;
    history_write_acks(scene->history, true);
    asks("W");
    is_told(0);
    scene->round = 7;
    is_told(0);
    voters_have_all();
    is_told(1);
    scene_end();
}

/* "Reads with acks=leader are answered unheld", those of a quorum wait for it. */
static void while_the_disk_takes_nothing_voters_are_waited_for(void **state) {
    (void)state;
    begin(true);
    disk_fail(scene->disk, DISK_PWRITE, 1, SIZE_MAX, ENOSPC);
    asks("W");
    assert_int_equal(scene->breaks, 1);
    assert_true(scene->refuses);
    is_told(0);
    asks("R");
    is_told(0);
    voters_have_all();
    scene->round = 5;
    is_told(1);
    disk_fail(scene->disk, 0, 1, 0, 0);
    scene_end();
}

static void who_came_before_the_journal_waits_for_it(void **state) {
    (void)state;
    scene_begin(JOURNAL_FSYNC_ALWAYS, (struct random){2});
    scene_send("W");
    scene_answers_all();
    scene_start_again();
    assert_non_null(scene->conn); /* it has come while the data was read */
    answers_before = scene->answers;
    disk_wait(scene->disk, DISK_FDATASYNC);
    scene_send("W");
    for (int i = 0; i < 20; i++) {
        scene_turn();
    }
    assert_int_equal(scene->answers, answers_before);
    disk_wait(scene->disk, 0);
    scene_answers_all();
    scene_crash_at_the_end();
    scene_end();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_group_of_acks_leader_waits_for_no_voter),
        cmocka_unit_test(a_write_is_answered_when_voters_have_it_and_one_led_still),
        cmocka_unit_test(a_read_waits_for_what_it_has_seen_and_for_a_round_of_its_own),
        cmocka_unit_test(the_disk_may_be_the_last),
        cmocka_unit_test(who_asks_for_the_quorum_waits_where_the_group_does_not),
        cmocka_unit_test(who_does_not_lead_waits_for_its_disk_alone),
        cmocka_unit_test(others_words_wait_as_their_hearer_asks),
        cmocka_unit_test(who_leads_no_more_closes_what_it_holds),
        cmocka_unit_test(while_the_disk_takes_nothing_voters_are_waited_for),
        cmocka_unit_test(who_came_before_the_journal_waits_for_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
