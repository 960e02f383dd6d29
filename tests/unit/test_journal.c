/* The journal at work: what clients are told is what a recovery finds, whatever becomes of the disk, of the
 * history, of the journal itself; and where that is over, all goes on. */
#include "server/journal/journal.h"

#include "tests/unit/journal_scene.h"

static const enum journal_fsync modes[] = {JOURNAL_FSYNC_NO, JOURNAL_FSYNC_EVERYSEC, JOURNAL_FSYNC_ALWAYS};
enum { MODES = sizeof(modes) / sizeof(modes[0]) };

static const enum journal_phase phases[] = {JOURNAL_PHASE_SWITCHING, JOURNAL_PHASE_STATE, JOURNAL_PHASE_ENDING,
                                            JOURNAL_PHASE_TAIL};
enum { PHASES = sizeof(phases) / sizeof(phases[0]) };

static struct random seed;

/* Which of many it is that fails. */
static char which[96];

static int say_which(void **state) {
    (void)state;
    if (which[0] != '\0') {
        print_error("it was %s\n", which);
    }
    which[0] = '\0';
    return 0;
}

static void begin(enum journal_fsync fsync) {
    scene_begin(fsync, (struct random){random_u64(&seed)});
    scene_fill();
    scene_send("WWRW");
    scene_answers_all();
    scene_reach(JOURNAL_PHASE_TAIL);
}

static void it_keeps_what_it_says(void **state) {
    (void)state;
    for (size_t m = 0; m < MODES; m++) {
        begin(modes[m]);
        for (int i = 0; i < 3; i++) {
            scene_compact_to(JOURNAL_PHASE_STATE);
            scene_send("WWRWW");
            scene_turn();
            scene_send("W");
            scene_answers_all();
            scene_reach(JOURNAL_PHASE_TAIL);
            scene_send("WRW");
            scene_answers_all();
        }
        assert_true(journal_finish(scene->journal));
        scene_promise(scene->synced, &scene->synced_count, scene->state);
        scene_crash_everywhere(8);
        scene_end();
    }
}

static void story_of_a_fault(void) {
    scene_send("WWR");
    scene_settle(3);
    journal_compact(scene->journal);
    for (int i = 0; i < 12; i++) {
        scene_send(i % 3 == 0 ? "WR" : "W");
        if (i % 2 == 0) {
            scene_settle(1);
        } else {
            scene_turn();
        }
    }
    scene_settle(20);
    scene_pass_ms(1200);
}

/* Whether there was such a call. */
static bool a_call_fails(enum journal_fsync fsync, unsigned calls, size_t nth, size_t times, int error,
                         bool partly) {
    snprintf(which, sizeof(which), "fsync %d, calls %x, from %zu, times %zu", (int)fsync, calls, nth, times);
    scene_begin(fsync, (struct random){random_u64(&seed)});
    scene->disk->partly = partly;
    disk_fail(scene->disk, calls, nth, times, error);
    scene_fill();
    story_of_a_fault();
    scene_pass_ms(2500);
    bool failed = disk_has_failed(scene->disk);
    scene->disk->fails = 0;
    if (scene->fatals > 0) {
        assert_int_equal(scene->disk->failed, DISK_FDATASYNC);
        assert_int_equal(times == 1, journal_directory_meta(scene->directory)->kept.forgetful);
        size_t told = scene->told_count, ops = scene->disk->op_count;
        scene_send("WR");
        scene_pass_ms(3000);
        assert_int_equal(scene->told_count, told);
        assert_false(journal_finish(scene->journal));
        assert_true(journal_directory_meta(scene->directory)->kept.forgetful);
        assert_false(journal_directory_meta(scene->directory)->clean);
        assert_int_equal(scene->disk->op_count, ops);
    } else {
        assert_int_not_equal(scene->disk->failed, DISK_FDATASYNC);
        scene_goes_on();
        scene_finishes();
    }
    scene_crash_everywhere(1);
    scene_end();
    return failed;
}

static void each_call_fails_once_and_for_a_while(void **state) {
    (void)state;
    static const int errors[] = {ENOSPC, EIO, EDQUOT};
    static const unsigned calls[] = {DISK_PWRITE, DISK_FDATASYNC, DISK_FSYNC,
                                     DISK_OPEN,   DISK_RENAME,    DISK_UNLINK};
    size_t runs = 0;
    for (size_t m = 0; m < MODES; m++) {
        for (size_t c = 0; c < sizeof(calls) / sizeof(calls[0]); c++) {
            for (size_t k = 0; k < (calls[c] == DISK_PWRITE ? 4 : 2); k++) {
                size_t nth = 1;
                while (a_call_fails(modes[m], calls[c], nth, k % 2 == 0 ? 1 : 3, errors[nth % 3], k >= 2)) {
                    nth++;
                    runs++;
                }
            }
        }
    }
    printf("%zu calls failed\n", runs);
    which[0] = '\0';
}

/* --- What may happen in each phase --- */

static void another_history(void) { scene_take_state(history_id(scene->history) + 1, 500); }
static void the_history_further_on(void) {
    scene_take_state(history_id(scene->history), history_index(scene->history) + 100);
}
static void the_history_from_before(void) {
    uint64_t index = history_index(scene->history);
    scene_take_state(history_id(scene->history), index > 40 ? index - 40 : 1);
}
static void another_compaction(void) { journal_compact(scene->journal); }
static void a_full_disk(void) { disk_fail(scene->disk, DISK_PWRITE | DISK_OPEN, 1, 2, ENOSPC); }

/* DEBUG RELOAD: refused in trouble, or while a state is taken, and then nothing has changed; else the store is
 * emptied and has all again. The history, and who is held, notice nothing. */
static void a_reload(void) {
    uint64_t digest = scene_digest(&scene->store), floor = scene->store.floor;
    uint64_t id = history_id(scene->history), index = history_index(scene->history);
    size_t ops, told_before = scene->told_count;
    disk_wait(scene->disk, 0);
    const char *in_the_way = journal_settle(scene->journal);
    assert_int_equal(in_the_way != NULL, scene->journal->trouble != NULL || !scene->is_whole);
    if (in_the_way == NULL) {
        scene->disk->fails = 0;
        ops = scene_ops();
        model_clear(&scene->store);
        scene->store.floor = 0;
        assert_true(journal_reload(scene->journal));
        assert_int_equal(scene_ops(), ops); /* of what changes a file */
    }
    assert_int_equal(scene_digest(&scene->store), digest);
    assert_int_equal(scene->store.floor, floor);
    assert_int_equal(history_id(scene->history), id);
    assert_int_equal(history_index(scene->history), index);
    assert_int_equal(scene->told_count, told_before);
}

static void (*const events[])(void) = {another_history,  the_history_further_on, the_history_from_before,
                                       scene_lose_lines, another_compaction,     a_full_disk,
                                       a_reload};

static void in_phase(enum journal_phase phase, size_t event) {
    snprintf(which, sizeof(which), "fsync %d, phase %d, event %zu", (int)scene->fsync, (int)phase, event);
    scene_compact_to(phase);
    scene_send("W");
    events[event]();
    scene_turn();
}

/* Each event in each phase, and what comes then. */
static void in_each_phase(void (*comes_then)(void)) {
    for (size_t m = 0; m < MODES; m++) {
        for (size_t p = 0; p < PHASES; p++) {
            for (size_t e = 0; e < sizeof(events) / sizeof(events[0]); e++) {
                begin(modes[m]);
                in_phase(phases[p], e);
                comes_then();
                scene_crash_everywhere(1);
                scene_end();
            }
        }
    }
    which[0] = '\0';
}

static void it_goes_on(void) {
    scene_send("WWR");
    scene_turn();
    disk_wait(scene->disk, 0);
    scene_pass_ms(2500);
    scene_goes_on();
    scene_finishes();
}

static void in_each_phase_it_may_happen(void **state) {
    (void)state;
    in_each_phase(it_goes_on);
}

static void it_finishes(void) {
    disk_wait(scene->disk, 0);
    scene_finishes();
}

static void it_finishes_in_each_phase(void **state) {
    (void)state;
    in_each_phase(it_finishes);
}

/* All of it, in any order. */
static void live(int steps) {
    static const unsigned gates[] = {0, 0, DISK_FDATASYNC, DISK_UNLINK, DISK_FSYNC, DISK_OPEN};
    struct random *random = &scene->random;
    bool is_closed = false;
    for (int i = 0; i < steps; i++) {
        size_t what = random_below(random, 12);
        if (what < 5) {
            scene_send(what < 3 ? "WW" : "WR");
        } else if (what == 5) {
            unsigned gate = gates[random_below(random, sizeof(gates) / sizeof(gates[0]))];
            disk_wait(scene->disk, gate);
            is_closed = gate != 0;
        } else if (what == 6) {
            disk_fail(scene->disk, DISK_PWRITE | DISK_OPEN | DISK_RENAME | DISK_FSYNC | DISK_UNLINK,
                      1 + random_below(random, 3), 1 + random_below(random, 3), EIO);
        } else if (what == 7) {
            events[random_below(random, sizeof(events) / sizeof(events[0]))]();
        } else if (what == 8) {
            journal_compact(scene->journal);
        } else if (what == 9) {
            scene->is_whole = random_below(random, 3) > 0;
        } else if (what == 10) {
            played_clock_pass_ms((int64_t)random_below(random, 1000));
        }
        if (is_closed) {
            scene_turn();
        } else {
            scene_settle((int)random_below(random, 4));
        }
    }
}

static void whatever_comes(void **state) {
    (void)state;
    for (int i = 0; i < 15; i++) {
        begin(modes[i % MODES]);
        snprintf(which, sizeof(which), "life %d", i);
        live(40);
        scene->is_whole = true;
        scene->disk->fails = 0;
        disk_wait(scene->disk, 0);
        scene_pass_ms(4000);
        scene_goes_on();
        scene_finishes();
        scene_crash_everywhere(1);
        scene_end();
    }
    which[0] = '\0';
}

/* --- One at a time --- */

static void it_reloads_again_and_again(void) {
    a_reload();
    scene_send("WWR");
    scene_settle(2);
    a_reload();
    scene->disk->fails = 0;
    scene_pass_ms(2500);
    a_reload();
    scene_goes_on();
    scene_finishes();
}

static void a_reload_finds_what_another_event_has_left(void **state) {
    (void)state;
    in_each_phase(it_reloads_again_and_again);
}

/* What is left in the store by then is no state of it. */
static void a_reload_that_does_not_have_it_all_stops_the_node(void **state) {
    (void)state;
    for (size_t m = 0; m < MODES; m++) {
        for (size_t k = 0; k < 2; k++) {
            begin(modes[m]);
            scene_compact_to(JOURNAL_PHASE_STATE);
            scene_send("WW");
            scene_answers_all();
            assert_null(journal_settle(scene->journal));
            size_t told_before = scene->told_count;
            model_clear(&scene->store);
            if (k == 0) {
                scene_lose_lines(); /* the node is where the files are not */
            } else {                /* there is no memory for all of it */
                scene->store.fail_next = ERR_NO_MEMORY;
                scene->store.fail_after = 10;
            }
            assert_false(journal_reload(scene->journal));
            assert_int_equal(scene->fatals, 1);
            assert_true(journal_directory_meta(scene->directory)->kept.forgetful);
            scene_send("WR");
            scene_pass_ms(3000);
            assert_false(journal_finish(scene->journal));
            assert_int_equal(scene->told_count, told_before);
            scene_crash_everywhere(1);
            scene_end();
        }
    }
}

static size_t told(void) { return scene->told_count == 0 ? 0 : scene->told[scene->told_count - 1].state; }

static void turns(int n) {
    for (int i = 0; i < n; i++) {
        scene_turn();
    }
}

static void with_always_nothing_leaves_before_it_is_synced(void **state) {
    (void)state;
    begin(JOURNAL_FSYNC_ALWAYS);
    size_t before = told();
    disk_wait(scene->disk, DISK_FDATASYNC);
    scene_send("W");
    turns(20);
    scene_send("R");
    turns(20);
    assert_int_equal(told(), before);
    disk_wait(scene->disk, 0);
    scene_answers_all();
    assert_int_equal(told(), scene->state);
    scene_end();
}

static size_t take_nothing(struct conn *conn, void *context, struct slice in) {
    (void)conn;
    (void)context;
    return in.len;
}

static void forget_listener(struct conn *conn, void *context, enum close_reason reason) {
    (void)conn;
    (void)context;
    (void)reason;
}

/* Messages, invalidations: who has written may be another client. */
static void others_do_not_hear_of_it_before(void **state) {
    (void)state;
    static const struct conn_handler listens = {
        .on_input = take_nothing, .on_close = forget_listener, .fenced = true};
    int fds[2];
    char heard[16];
    begin(JOURNAL_FSYNC_ALWAYS);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    struct conn *listener = conn_adopt(scene->net, fds[0], &listens, NULL, 100);
    assert_non_null(listener);
    disk_wait(scene->disk, DISK_FDATASYNC);
    scene_send("W");
    turns(3);
    buf_append_text(conn_out(listener), "news");
    conn_flush(listener);
    turns(20);
    assert_int_equal(recv(fds[1], heard, sizeof(heard), MSG_DONTWAIT), -1);
    disk_wait(scene->disk, 0);
    scene_answers_all();
    scene_settle(5);
    assert_int_equal(recv(fds[1], heard, sizeof(heard), MSG_DONTWAIT), 4);
    scene_end();
    close(fds[1]);
}

static void what_was_read_at_a_start_is_synced_before_it_is_told(void **state) {
    (void)state;
    begin(JOURNAL_FSYNC_NO);
    scene->fsync = JOURNAL_FSYNC_ALWAYS;
    scene_start_again();
    size_t answers = scene->answers;
    disk_wait(scene->disk, DISK_FDATASYNC);
    scene_send("R");
    turns(20);
    assert_int_equal(scene->answers, answers);
    disk_wait(scene->disk, 0);
    scene_answers_all();
    scene_crash_at_the_end();
    scene_end();
}

static void after_a_sync_that_failed_the_next_start_writes_all_of_it_again(void **state) {
    (void)state;
    begin(JOURNAL_FSYNC_NO);
    scene_send("WWW");
    scene_answers_all();
    size_t known = scene->state;
    disk_fail(scene->disk, DISK_FDATASYNC, 1, 1, EIO);
    journal_ask_sync(scene->journal);
    scene_settle(5);
    assert_int_equal(scene->fatals, 1);
    assert_false(journal_finish(scene->journal));
    scene->disk->fails = 0;
    scene->fsync = JOURNAL_FSYNC_ALWAYS;
    scene_start_again(); /* reads what the disk does not have */
    assert_int_equal(scene->digests[scene->state], scene->digests[known]);
    size_t answers = scene->answers;
    disk_wait(scene->disk, DISK_FDATASYNC);
    scene_send("R");
    turns(50);
    assert_int_equal(scene->answers, answers);
    disk_wait(scene->disk, 0);
    scene_answers_all();
    scene_crash_at_the_end();
    scene_finishes();
    scene_end();
}

static void behind_a_sync_that_failed_in_trouble_nothing_is_told(void **state) {
    (void)state;
    begin(JOURNAL_FSYNC_EVERYSEC);
    disk_fail(scene->disk, DISK_OPEN | DISK_FDATASYNC, 2, 2, EIO);
    journal_compact(scene->journal);
    scene_settle(5);
    assert_true(scene->refuses);
    scene_pass_ms(2000);
    assert_int_equal(scene->fatals, 1);
    size_t answers = scene->answers;
    scene_change(); /* as what has expired is deleted */
    scene_send("R");
    scene_pass_ms(2000);
    assert_int_equal(scene->answers, answers);
    scene_end();
}

static void trouble_that_is_over_makes_nothing_safe(void **state) {
    (void)state;
    begin(JOURNAL_FSYNC_EVERYSEC);
    scene_lose_lines(); /* now a whole state has to be written */
    scene_settle(1);
    scene_reach(JOURNAL_PHASE_STATE);
    disk_fail(scene->disk, DISK_PWRITE, 1, 1, ENOSPC);
    scene_settle(5);
    assert_true(scene->refuses);
    disk_wait(scene->disk, DISK_FDATASYNC);
    for (int i = 0; scene->refuses && i < 100; i++) {
        played_clock_pass_ms(100);
        scene_turn();
    }
    assert_false(scene->refuses);
    size_t answers = scene->answers;
    scene_send("R");
    turns(20);
    assert_int_equal(scene->answers, answers);
    disk_wait(scene->disk, 0);
    scene_answers_all();
    scene_crash_at_the_end();
    scene_end();
}

static void a_file_that_was_left_behind_is_not_in_the_way(void **state) {
    (void)state;
    begin(JOURNAL_FSYNC_EVERYSEC);
    disk_fail(scene->disk, DISK_FSYNC | DISK_UNLINK, 1, 2, EIO);
    journal_compact(scene->journal);
    scene_settle(5);
    assert_int_equal(scene->troubles, 1);
    scene_pass_ms(3000);
    scene_goes_on();
    scene_finishes();
    scene_crash_everywhere(1);
    scene_end();
}

static void while_old_segments_are_removed_it_is_written(void **state) {
    (void)state;
    begin(JOURNAL_FSYNC_EVERYSEC);
    disk_wait(scene->disk, DISK_UNLINK);
    journal_compact(scene->journal);
    while (scene->journal->phase != JOURNAL_PHASE_TAIL || !worker_busy(scene->journal->janitor)) {
        worker_wait(scene->journal->worker);
        scene_turn();
    }
    assert_true(journal_compact(scene->journal));
    scene_send("WR");
    turns(10);
    assert_int_equal(told(), scene->state);
    disk_wait(scene->disk, 0);
    scene_settle(20);
    scene_goes_on();
    scene_end();
}

static void a_stronger_fsync_holds_at_once(void **state) {
    (void)state;
    begin(JOURNAL_FSYNC_NO);
    disk_wait(scene->disk, DISK_FDATASYNC);
    scene_send("W");
    turns(20);
    assert_int_equal(told(), scene->state);
    journal_set_fsync(scene->journal, JOURNAL_FSYNC_ALWAYS);
    size_t answers = scene->answers;
    scene_send("R");
    turns(20);
    assert_int_equal(scene->answers, answers);
    disk_wait(scene->disk, 0);
    scene_answers_all();
    scene->fsync = JOURNAL_FSYNC_ALWAYS;
    scene_crash_at_the_end();
    scene_end();
}

static void a_weaker_fsync_holds_when_meta_says_so(void **state) {
    (void)state;
    struct journal_status status;
    begin(JOURNAL_FSYNC_ALWAYS);
    disk_fail(scene->disk, DISK_PWRITE, 1, 1, ENOSPC);
    journal_set_fsync(scene->journal, JOURNAL_FSYNC_NO);
    scene_settle(5);
    assert_true(disk_has_failed(scene->disk));
    journal_status(scene->journal, &status);
    assert_int_equal(status.fsync, JOURNAL_FSYNC_ALWAYS);
    assert_int_equal(journal_directory_meta(scene->directory)->weakest_fsync, JOURNAL_FSYNC_ALWAYS);
    assert_int_equal(scene->troubles, 0);
    scene_send("W");
    scene_answers_all();
    scene_pass_ms(2000);
    journal_status(scene->journal, &status);
    assert_int_equal(status.fsync, JOURNAL_FSYNC_NO);
    assert_int_equal(journal_directory_meta(scene->directory)->weakest_fsync, JOURNAL_FSYNC_NO);
    journal_set_fsync(scene->journal, JOURNAL_FSYNC_EVERYSEC);
    scene_settle(5);
    assert_int_equal(journal_directory_meta(scene->directory)->weakest_fsync, JOURNAL_FSYNC_NO);
    scene_end();
}

static void meta_remembers_the_weakest_fsync_of_a_run(void **state) {
    (void)state;
    begin(JOURNAL_FSYNC_NO);
    journal_set_fsync(scene->journal, JOURNAL_FSYNC_ALWAYS);
    scene_settle(5);
    disk_fail(scene->disk, DISK_PWRITE, 1, 1, ENOSPC);
    journal_set_fsync(scene->journal, JOURNAL_FSYNC_EVERYSEC);
    scene_settle(5);
    assert_true(disk_has_failed(scene->disk));
    scene_pass_ms(2000);
    assert_int_equal(scene->journal->config.fsync, JOURNAL_FSYNC_EVERYSEC);
    assert_int_equal(journal_directory_meta(scene->directory)->weakest_fsync, JOURNAL_FSYNC_NO);
    scene_end();
}

/* A follower's leader does not wait for its disk. */
static void append_megabytes(size_t n) {
    static char value[1 << 20];
    memset(value, 'm', sizeof(value));
    for (size_t i = 0; i < n; i++) {
        history_replicate(scene->history, SLICE("large"), slice_of(value, sizeof(value)), i + 1, 1000, 0);
        scene_turn();
    }
}

static size_t kept_bytes(void) { return history_backlog_bytes(scene->history) + scene->journal->out.capacity; }

static void however_long_the_disk_stands_still_memory_has_an_end(void **state) {
    (void)state;
    const size_t most = JOURNAL_BEHIND_BYTES + ((size_t)8 << 20);
    begin(JOURNAL_FSYNC_ALWAYS);
    disk_wait(scene->disk, DISK_FDATASYNC);
    scene_send("W");
    turns(3);
    append_megabytes(100);
    assert_true(scene->high);
    append_megabytes(100);
    assert_true(kept_bytes() < most);
    disk_wait(scene->disk, 0);
    scene_note_state();
    scene_settle(20);
    scene_pass_ms(3000);
    assert_false(scene->high);
    scene_goes_on();
    scene_crash_at_the_end();
    scene_end();
}

static void however_long_the_disk_is_full_memory_has_an_end(void **state) {
    (void)state;
    begin(JOURNAL_FSYNC_EVERYSEC);
    disk_fail(scene->disk, DISK_PWRITE, 1, 100000, ENOSPC);
    for (int i = 0; i < 20; i++) {
        append_megabytes(20);
        scene_pass_ms(1100);
    }
    assert_true(kept_bytes() < 2 * JOURNAL_BEHIND_BYTES);
    scene->disk->fails = 0;
    scene_note_state();
    scene_pass_ms(3000);
    scene_goes_on();
    scene_crash_at_the_end();
    scene_end();
}

int main(void) {
    played_clock.is_real = true;
    seed = random_start("test_journal");
    played_clock.is_real = false;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(it_keeps_what_it_says, say_which),
        cmocka_unit_test_teardown(each_call_fails_once_and_for_a_while, say_which),
        cmocka_unit_test_teardown(in_each_phase_it_may_happen, say_which),
        cmocka_unit_test_teardown(it_finishes_in_each_phase, say_which),
        cmocka_unit_test_teardown(whatever_comes, say_which),
        cmocka_unit_test_teardown(a_reload_finds_what_another_event_has_left, say_which),
        cmocka_unit_test_teardown(a_reload_that_does_not_have_it_all_stops_the_node, say_which),
        cmocka_unit_test_teardown(with_always_nothing_leaves_before_it_is_synced, say_which),
        cmocka_unit_test_teardown(others_do_not_hear_of_it_before, say_which),
        cmocka_unit_test_teardown(what_was_read_at_a_start_is_synced_before_it_is_told, say_which),
        cmocka_unit_test_teardown(after_a_sync_that_failed_the_next_start_writes_all_of_it_again, say_which),
        cmocka_unit_test_teardown(behind_a_sync_that_failed_in_trouble_nothing_is_told, say_which),
        cmocka_unit_test_teardown(trouble_that_is_over_makes_nothing_safe, say_which),
        cmocka_unit_test_teardown(a_file_that_was_left_behind_is_not_in_the_way, say_which),
        cmocka_unit_test_teardown(while_old_segments_are_removed_it_is_written, say_which),
        cmocka_unit_test_teardown(a_stronger_fsync_holds_at_once, say_which),
        cmocka_unit_test_teardown(a_weaker_fsync_holds_when_meta_says_so, say_which),
        cmocka_unit_test_teardown(meta_remembers_the_weakest_fsync_of_a_run, say_which),
        cmocka_unit_test_teardown(however_long_the_disk_stands_still_memory_has_an_end, say_which),
        cmocka_unit_test_teardown(however_long_the_disk_is_full_memory_has_an_end, say_which),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    printf("%zu crashes were looked at\n", scene_crashes);
    return failed;
}
