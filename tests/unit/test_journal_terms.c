/* The terms of a history in its journal: what is told of a term is on the disk, its number before its line; and
 * what later lines rely on, terms and the clock, is there after each start. */
#include "server/journal/journal.h"

#include "tests/unit/journal_scene.h"

static const enum journal_fsync modes[] = {JOURNAL_FSYNC_NO, JOURNAL_FSYNC_EVERYSEC, JOURNAL_FSYNC_ALWAYS};
enum { MODES = sizeof(modes) / sizeof(modes[0]) };

static void begin(enum journal_fsync fsync) {
    scene_begin(fsync, (struct random){1});
    scene_fill();
    scene_send("WW");
    scene_answers_all();
    scene_reach(JOURNAL_PHASE_TAIL);
}

static void begin_term(uint64_t number) {
    const struct term term = {number, "me"};
    history_begin_term(scene->history, &term);
    scene_note_state();
}

static void turns(int n) {
    for (int i = 0; i < n; i++) {
        scene_turn();
    }
}

/* What a start finds behind that many operations of the disk; random NULL: of a kill; else of a power cut. */
static void recover_at(const struct place *place, size_t ops, struct random *random, struct recovered *out) {
    static struct image image;
    image_make(&image, scene->disk, ops, random);
    image_store(&image, place);
    image_free(&image);
    scene_recover(place, out);
    place_remove_segments(place);
    assert_string_equal(out->error, "");
}

/* All that is in the history now is found, as it is. */
static void all_is_found(void) {
    struct place place;
    struct recovered found;
    place_make(&place);
    scene_recover(&place, &found); /* makes it */
    recover_at(&place, scene->disk->op_count, NULL, &found);
    assert_int_equal(found.index, history_index(scene->history));
    assert_true(found.digest == scene_digest(&scene->store));
    place_remove(&place);
}

/* --- Before it is told --- */

static void no_power_cut_takes(uint64_t number) {
    struct place place;
    struct recovered found;
    place_make(&place);
    scene_recover(&place, &found);
    for (int i = 0; i < 20; i++) {
        recover_at(&place, scene->disk->op_count, &scene->random, &found);
        assert_int_equal(found.loaded.term_number, number);
    }
    place_remove(&place);
}

static void nor_at_or_behind_a_change_of_the_voters(void **state) {
    (void)state;
    struct voters voters;
    assert_true(voters_parse(SLICE("a,b,c"), &voters));
    begin(JOURNAL_FSYNC_EVERYSEC);
    disk_wait(scene->disk, DISK_FDATASYNC);
    history_write_voters(scene->history, &voters);
    scene_note_state();
    uint64_t index = history_index(scene->history);
    turns(20);
    assert_int_equal(journal_written_index(scene->journal), index);
    assert_in_range(journal_durable_index(scene->journal), 0, index - 1);
    disk_wait(scene->disk, 0);
    scene_settle(10);
    assert_in_range(journal_durable_index(scene->journal), index, UINT64_MAX);
    scene_end();
}

/* Who asks in the same iteration must not be told of the line that was left. */
static void nothing_of_a_history_that_has_just_begun_is_durable(void **state) {
    (void)state;
    begin(JOURNAL_FSYNC_EVERYSEC);
    uint64_t index = history_index(scene->history);
    assert_in_range(journal_durable_index(scene->journal), index, UINT64_MAX);
    history_restart(scene->history, history_id(scene->history), index, NULL);
    assert_int_equal(journal_durable_index(scene->journal), 0);
    assert_int_equal(journal_written_index(scene->journal), 0);
    assert_int_equal(journal_synced_index(scene->journal), 0);
    scene_end();
}

static void nothing_at_or_behind_a_term_is_told_before_it_is_synced(void **state) {
    (void)state;
    for (size_t m = 0; m < MODES; m++) {
        begin(modes[m]);
        size_t answers = scene->answers;
        disk_wait(scene->disk, DISK_FDATASYNC);
        begin_term(1);
        uint64_t index = history_index(scene->history);
        scene_send("W");
        turns(20);
        scene_send("R");
        turns(20);
        assert_int_equal(scene->answers, answers);
        assert_int_equal(journal_written_index(scene->journal), index);
        assert_in_range(journal_durable_index(scene->journal), 0, index - 1);
        disk_wait(scene->disk, 0);
        scene_settle(10); /* long before a second is over */
        assert_int_equal(scene->asked, 0);
        assert_in_range(journal_durable_index(scene->journal), index, UINT64_MAX);
        no_power_cut_takes(1);
        disk_wait(scene->disk, DISK_FDATASYNC); /* and from here on it is as -fsync says */
        scene_send("W");
        turns(20);
        assert_int_equal(scene->asked > 0, modes[m] == JOURNAL_FSYNC_ALWAYS);
        disk_wait(scene->disk, 0);
        scene_answers_all();
        scene_crash_everywhere(1);
        scene_end();
    }
}

/* --- Its number --- */

static uint64_t number_in_meta(void) {
    char path[256], bytes[JOURNAL_META_BYTES];
    struct journal_meta meta;
    snprintf(path, sizeof(path), "%s/meta", scene->place.path);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, bytes, sizeof(bytes), 0), (ssize_t)sizeof(bytes));
    close(fd);
    assert_int_equal(journal_meta_read(slice_of(bytes, sizeof(bytes)), &meta), JOURNAL_META_OK);
    return meta.kept.term;
}

static void its_number_is_in_meta_before_its_owner_hears_of_it(void **state) {
    (void)state;
    for (size_t m = 0; m < MODES; m++) {
        begin(modes[m]);
        for (uint64_t number = 5; number < 8; number++) {
            size_t kept = scene->kept;
            uint64_t written = journal_written_index(scene->journal);
            journal_keep_term(scene->journal, number);
            for (int i = 0; scene->kept == kept && i < 2000; i++) {
                assert_int_equal(journal_written_index(scene->journal), written);
                scene_turn();
            }
            assert_int_equal(scene->kept, kept + 1);
            assert_int_equal(number_in_meta(), number);
            begin_term(number);
            scene_settle(10);
        }
        assert_true(journal_finish(scene->journal));
        assert_int_equal(number_in_meta(), 7);
        scene_end();
    }
}

/* Another number is asked for while the disk is at the one before. */
static void only_the_last_number_that_was_asked_for_is_told(void **state) {
    (void)state;
    begin(JOURNAL_FSYNC_EVERYSEC);
    journal_keep_term(scene->journal, 5);
    journal_write_meta_if_due(scene->journal);
    journal_keep_term(scene->journal, 6);
    worker_wait(scene->journal->worker);
    assert_int_equal(scene->kept, 0);
    scene_settle(10);
    assert_int_equal(scene->kept, 1);
    assert_int_equal(number_in_meta(), 6);
    scene_end();
}

static void a_number_that_the_disk_refuses_is_tried_again_every_second(void **state) {
    (void)state;
    static const unsigned calls[] = {DISK_PWRITE, DISK_FDATASYNC};
    for (size_t c = 0; c < 2 * MODES; c++) {
        begin(modes[c / 2]);
        scene_pass_ms(1200); /* what is there is synced */
        disk_fail(scene->disk, calls[c % 2], 1, 3, EIO);
        journal_keep_term(scene->journal, 5);
        scene_settle(5);
        for (size_t tries = 1; tries <= 3; tries++) {
            assert_int_equal(scene->disk->calls, tries);
            scene_pass_ms(800);
            assert_int_equal(scene->disk->calls, tries);
            assert_int_equal(scene->kept, 0);
            for (int ms = 800; ms < 1200 && scene->disk->calls == tries; ms += 20) {
                played_clock_pass_ms(20);
                scene_settle(3);
            }
        }
        assert_int_equal(scene->kept, 1);
        assert_int_equal(number_in_meta(), 5);
        assert_int_equal(scene->fatals + scene->troubles, 0);
        scene->disk->fails = 0;
        begin_term(5);
        scene_goes_on();
        scene_finishes();
        scene_end();
    }
}

/* --- What later lines rely on --- */

/* A change of the leader's, at a time that it has said before. */
static void change_at(int64_t now_ms, size_t k) {
    char key[16];
    scene->store.now_ms = now_ms;
    model_set(&scene->store, scene_key(key, k), scene_value(20), 0);
    scene_note_state();
}

static void a_plain_line_keeps_its_time_across_a_switch_of_a_leader(void **state) {
    (void)state;
    for (size_t m = 0; m < MODES; m++) {
        begin(modes[m]);
        int64_t now_ms = loop_now_ms(scene->loop) + 100000;
        change_at(now_ms, 1);
        scene_settle(5);
        scene_compact_to(JOURNAL_PHASE_SWITCHING);
        change_at(now_ms, 2);
        disk_wait(scene->disk, 0);
        scene_reach(JOURNAL_PHASE_TAIL);
        change_at(now_ms, 3); /* CLOCK was said in the segment before */
        scene_settle(5);
        all_is_found();
        change_at(now_ms + 1, 4);
        change_at(now_ms + 1, 5);
        scene_settle(5);
        all_is_found();
        scene_end();
    }
}

/* A node that hears its leader's lines. */
struct hearing {
    struct follower follower;
    struct follower_link link;
    struct buf scratch, out;
};

static void hear_begin(struct hearing *hearing) {
    struct group_data data = model_data(&scene->store);
    buf_init(&hearing->scratch, SIZE_MAX);
    buf_init(&hearing->out, SIZE_MAX);
    follower_init(&hearing->follower, "me", 0, scene->history, &data);
    follower_link_init(&hearing->link, 0);
    hearing->link.began = true;
    hearing->link.phase = FOLLOWER_SYNCING;
    hearing->follower.leader_link = &hearing->link;
}

static void hear(struct hearing *hearing, const char *lines) {
    struct line line;
    struct slice rest = slice_from_text(lines);
    while (rest.len > 0) {
        struct slice bytes = slice_take_until(&rest, '\n');
        assert_int_equal(follower_link_line(&hearing->link, &hearing->follower, bytes, 0, &hearing->scratch,
                                            &line, &hearing->out),
                         FOLLOWER_GO_ON);
    }
    follower_link_keep(&hearing->link, &hearing->follower);
    scene_note_state();
}

static void hear_end(struct hearing *hearing) {
    follower_link_deinit(&hearing->link, &hearing->follower);
    buf_deinit(&hearing->scratch);
    buf_deinit(&hearing->out);
}

static void a_plain_line_keeps_its_time_across_a_switch_of_a_follower(void **state) {
    (void)state;
    static const enum journal_phase phases[] = {JOURNAL_PHASE_SWITCHING, JOURNAL_PHASE_STATE};
    struct hearing hearing;
    for (size_t i = 0; i < 2 * MODES; i++) {
        char text[64];
        begin(modes[i / 2]);
        hear_begin(&hearing);
        snprintf(text, sizeof(text), "CONTINUE|%016llx|%llu\n", (unsigned long long)history_id(scene->history),
                 (unsigned long long)history_index(scene->history));
        hear(&hearing, text);
        hear(&hearing, "CLOCK|5000000000000\nREPLICATE|key01|a|900\n");
        scene_settle(5);
        scene_compact_to(phases[i % 2]);
        hear(&hearing, "REPLICATE|key02|b|900\nBATCH|2\nREPLICATE|key03|c|900\nREPLICATE|key04|d|900\n");
        disk_wait(scene->disk, 0);
        scene_reach(JOURNAL_PHASE_TAIL);
        hear(&hearing, "REPLICATE|key05|e|900\n");
        hear(&hearing, "BATCH|2\nREPLICATE|key06|f|900\nREPLICATE|key07|f|900\n");
        scene_settle(5);
        all_is_found();
        hear(&hearing, "CLOCK|5000000000001\nREPLICATE|key08|g|900\n");
        hear(&hearing, "REPLICATE|key09|h|900\n");
        scene_settle(5);
        all_is_found();
        hear_end(&hearing);
        scene_end();
    }
}

static void a_plain_line_behind_a_start_keeps_its_time(void **state) {
    (void)state;
    struct hearing hearing;
    char text[64];
    begin(JOURNAL_FSYNC_EVERYSEC);
    change_at(5000000000000, 1);
    scene_settle(5);
    scene_compact_to(JOURNAL_PHASE_STATE);
    scene_reach(JOURNAL_PHASE_TAIL);
    scene_start_again();
    hear_begin(&hearing);
    snprintf(text, sizeof(text), "CONTINUE|%016llx|%llu\n", (unsigned long long)history_id(scene->history),
             (unsigned long long)history_index(scene->history));
    hear(&hearing, text);
    hear(&hearing, "REPLICATE|key02|b|900\n");
    assert_int_equal(model_find(&scene->store, SLICE("key02"))->timestamp_ms, 5000000000000);
    scene_settle(5);
    all_is_found();
    hear_end(&hearing);
    scene_end();
}

/* Each line that is found is of the term that it was of: also when that began while a state was being written,
 * and whether or not that state has come to its end. */
static void terms_are_found_wherever_they_begin(void **state) {
    (void)state;
    static const enum journal_phase phases[] = {JOURNAL_PHASE_SWITCHING, JOURNAL_PHASE_STATE,
                                                JOURNAL_PHASE_ENDING, JOURNAL_PHASE_TAIL};
    for (size_t p = 0; p < sizeof(phases) / sizeof(phases[0]); p++) {
        struct place place;
        struct recovered found;
        begin(JOURNAL_FSYNC_EVERYSEC);
        begin_term(1);
        scene_send("WW");
        scene_answers_all();
        scene_compact_to(phases[p]);
        begin_term(2);
        scene_send("W");
        scene_turn();
        disk_wait(scene->disk, 0);
        scene_answers_all();
        scene_pass_ms(1500);
        scene_reach(JOURNAL_PHASE_TAIL);
        const struct lineage *lineage = history_lineage(scene->history);
        place_make(&place);
        scene_recover(&place, &found);
        for (size_t ops = 0; ops <= scene->disk->op_count; ops++) {
            recover_at(&place, ops, NULL, &found);
            for (uint64_t index = 0; found.history_id != 0 && index <= found.index; index++) {
                const struct term *term = lineage_at(&found.lineage, index);
                assert_true(term != NULL ? term_compare(term, lineage_at(lineage, index)) == 0
                                         : index < found.lineage.terms[0].from &&
                                               found.lineage.terms[0].term.number == 0);
            }
        }
        assert_int_equal(found.index, history_index(scene->history));
        assert_int_equal(found.loaded.term_number, 2);
        place_remove(&place);
        scene_end();
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_at_or_behind_a_term_is_told_before_it_is_synced),
        cmocka_unit_test(nor_at_or_behind_a_change_of_the_voters),
        cmocka_unit_test(nothing_of_a_history_that_has_just_begun_is_durable),
        cmocka_unit_test(its_number_is_in_meta_before_its_owner_hears_of_it),
        cmocka_unit_test(only_the_last_number_that_was_asked_for_is_told),
        cmocka_unit_test(a_number_that_the_disk_refuses_is_tried_again_every_second),
        cmocka_unit_test(a_plain_line_keeps_its_time_across_a_switch_of_a_leader),
        cmocka_unit_test(a_plain_line_keeps_its_time_across_a_switch_of_a_follower),
        cmocka_unit_test(a_plain_line_behind_a_start_keeps_its_time),
        cmocka_unit_test(terms_are_found_wherever_they_begin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
