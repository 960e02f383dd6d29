/* What a voter must not forget, in meta: what is told of it is on the disk, whole, whatever else is written
 * there meanwhile, and whatever the disk refuses. */
#include "server/journal/journal.h"

#include "tests/unit/journal_scene.h"

static const enum journal_fsync modes[] = {JOURNAL_FSYNC_NO, JOURNAL_FSYNC_EVERYSEC, JOURNAL_FSYNC_ALWAYS};
enum { MODES = sizeof(modes) / sizeof(modes[0]), MOST_GIVEN = 100 };

static struct random seed;

static struct {
    size_t count, told, peers;
    struct {
        size_t ops, count;
    } promises[MOST_GIVEN];
    size_t promise_count;
} given;

/* The nth that is given: all of it says which. */
static struct journal_kept kept_of(size_t n) {
    struct journal_kept kept = {
        .term = n / 2, .forgetful = n % 3 == 0, .proposer = n % 2 == 0, .complete = n % 5 == 0};
    if (n == 0) {
        return (struct journal_kept){.term = 0};
    }
    snprintf(kept.voted_for, sizeof(kept.voted_for), "node-%zu", n / 2);
    if (n % 4 != 0) {
        kept.formed_id = n;
        assert_true(voters_add(&kept.formed, kept.voted_for) && voters_add(&kept.formed, "b"));
    } else {
        kept.proposer = kept.complete = false;
    }
    return kept;
}

static bool is_kept(const struct journal_kept *a, const struct journal_kept *b) {
    return a->term == b->term && strcmp(a->voted_for, b->voted_for) == 0 && a->forgetful == b->forgetful &&
           a->formed_id == b->formed_id && memcmp(&a->formed, &b->formed, sizeof(a->formed)) == 0 &&
           a->proposer == b->proposer && a->complete == b->complete;
}

static size_t peers_of(size_t n, struct journal_peer peers[VOTERS_MOST]) {
    size_t count = n == 0 ? 0 : 1 + n % VOTERS_MOST;
    for (size_t i = 0; i < count; i++) {
        snprintf(peers[i].node_id, sizeof(peers[i].node_id), "peer-%zu", i);
        snprintf(peers[i].host, sizeof(peers[i].host), "192.0.2.%zu", i);
        peers[i].port = (uint16_t)n;
    }
    return count;
}

static void on_kept(void) {
    size_t i = given.promise_count++;
    assert_true(i < MOST_GIVEN);
    assert_true(i == 0 || given.promises[i - 1].count < given.count); /* once each */
    given.promises[i].ops = scene_ops();
    given.promises[i].count = given.told = given.count;
}

static void begin(enum journal_fsync fsync) {
    memset(&given, 0, sizeof(given));
    scene_begin(fsync, (struct random){random_u64(&seed)});
    scene->on_kept = on_kept;
    scene_fill();
    scene_send("WW");
    scene_answers_all();
    scene_reach(JOURNAL_PHASE_TAIL);
    disk_record_meta(scene->disk);
}

static void keep(void) {
    struct journal_kept kept = kept_of(++given.count), now;
    journal_keep(scene->journal, &kept);
    journal_kept(scene->journal, &now);
    now.forgetful = kept.forgetful; /* more so, when the journal has failed */
    assert_true(is_kept(&kept, &now));
}

static void keep_peers(void) {
    struct journal_peer peers[VOTERS_MOST] = {0};
    size_t n = peers_of(++given.peers, peers);
    journal_keep_peers(scene->journal, peers, n);
}

static void is_told(void) {
    for (int i = 0; given.told < given.count && i < 60; i++) {
        scene_settle(3);
        if (i >= 10) {
            played_clock_pass_ms(200);
        }
    }
    assert_int_equal(given.told, given.count);
}

static struct journal_meta meta_on_disk(void) {
    char bytes[JOURNAL_META_BYTES];
    struct journal_meta meta;
    int fd = open(place_name(&scene->place, "meta"), O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, bytes, sizeof(bytes), 0), (ssize_t)sizeof(bytes));
    close(fd);
    assert_int_equal(journal_meta_read(slice_of(bytes, sizeof(bytes)), &meta), JOURNAL_META_OK);
    return meta;
}

/* A start finds one that was given, whole, and none that is older than what was told. */
static void meta_is_good(const struct journal_meta *meta, size_t ops) {
    size_t told = 0, n = given.count + 1;
    for (size_t i = 0; i < given.promise_count && given.promises[i].ops <= ops; i++) {
        told = given.promises[i].count;
    }
    struct journal_kept wanted;
    struct journal_peer peers[VOTERS_MOST];
    do {
        if (n-- == told) {
            fail_msg("behind %zu operations: term %llu, voted for %s, is none that was given from %zu on", ops,
                     (unsigned long long)meta->kept.term, meta->kept.voted_for, told);
        }
        wanted = kept_of(n);
        wanted.forgetful |= meta->kept.forgetful && scene->fatals > 0; /* the journal has said so */
    } while (!is_kept(&meta->kept, &wanted));
    size_t count = meta->peers.count, number = count == 0 ? 0 : meta->peers.all[0].port;
    memset(peers, 0, sizeof(peers));
    assert_int_equal(peers_of(number, peers), count);
    assert_memory_equal(peers, meta->peers.all, count * sizeof(peers[0]));
}

/* random NULL: a kill; else a power cut. */
static void crash_at(size_t ops, struct random *random) {
    static struct image image;
    struct journal_meta meta;
    image_make(&image, scene->disk, ops, random);
    const struct image_file *file = &image.files[scene->disk->meta_file];
    assert_int_equal(journal_meta_read(slice_of(file->bytes, file->n), &meta), JOURNAL_META_OK);
    image_free(&image);
    meta_is_good(&meta, ops);
    scene_crashes++;
}

static void crash_everywhere(size_t power_cuts) {
    for (size_t ops = scene->disk->meta_from_op; ops <= scene->disk->op_count; ops++) {
        crash_at(ops, NULL);
        for (size_t i = 0; i < power_cuts; i++) {
            crash_at(ops, &scene->random);
        }
    }
}

/* --- Stories --- */

/* Whatever meta is written for, keeps are in between. */
static void story(void) {
    static const enum journal_phase phases[] = {JOURNAL_PHASE_SWITCHING, JOURNAL_PHASE_STATE,
                                                JOURNAL_PHASE_ENDING, JOURNAL_PHASE_TAIL};
    keep();
    scene_turn();
    keep();
    keep(); /* the thread is at the first, perhaps */
    scene_send("W");
    scene_settle(4);
    keep_peers();
    scene_turn();
    keep();
    scene_send("WW");
    scene_settle(4);
    journal_set_fsync(scene->journal, JOURNAL_FSYNC_NO);
    keep();
    scene_turn();
    journal_set_fsync(scene->journal, JOURNAL_FSYNC_ALWAYS);
    scene_send("W");
    scene_settle(6);
    journal_set_fsync(scene->journal, scene->fsync);
    scene_turn();
    for (size_t p = 0; p < sizeof(phases) / sizeof(phases[0]); p++) {
        keep();
        scene_send("W");
        journal_compact(scene->journal);
        for (int i = 0; scene->journal->phase != phases[p] && i < 50; i++) {
            scene_settle(1);
        }
        keep();
        keep_peers();
        scene_turn();
    }
    scene_pass_ms(3500);
    keep();
    scene_pass_ms(2500);
}

static void what_is_told_is_there_after_every_crash(void **state) {
    (void)state;
    for (size_t m = 0; m < MODES; m++) {
        begin(modes[m]);
        story();
        is_told();
        assert_true(journal_finish(scene->journal));
        struct journal_meta meta = meta_on_disk();
        struct journal_kept newest = kept_of(given.count);
        assert_true(is_kept(&meta.kept, &newest));
        assert_int_equal(meta.peers.all[0].port, given.peers);
        crash_everywhere(20);
        scene_end();
    }
}

/* True: there was such a call. */
static bool a_call_fails(enum journal_fsync fsync, unsigned call, size_t nth, size_t times, bool partly) {
    begin(fsync);
    scene->disk->partly = partly;
    disk_fail(scene->disk, call, nth, times, partly ? ENOSPC : EIO);
    story();
    bool failed = disk_has_failed(scene->disk);
    scene->disk->fails = 0;
    if (scene->fatals > 0) {
        size_t told = given.told;
        keep();
        scene_pass_ms(3000);
        assert_int_equal(given.told, told);
        assert_false(journal_finish(scene->journal));
        assert_true(meta_on_disk().kept.forgetful);
    } else {
        is_told();
        assert_true(journal_finish(scene->journal));
        struct journal_meta meta = meta_on_disk();
        struct journal_kept newest = kept_of(given.count);
        assert_true(is_kept(&meta.kept, &newest));
    }
    crash_everywhere(2);
    scene_end();
    return failed;
}

static void what_is_told_is_there_whatever_call_fails(void **state) {
    (void)state;
    for (size_t m = 0; m < MODES; m++) {
        for (size_t times = 1; times <= 4; times += 3) {
            size_t writes = 1, syncs = 1;
            while (a_call_fails(modes[m], DISK_PWRITE, writes, times, times > 1)) {
                writes++;
            }
            while (a_call_fails(modes[m], DISK_FDATASYNC, syncs, times, false)) {
                syncs++;
            }
            assert_in_range(writes, 15, 200);
            assert_in_range(syncs, 15, 200);
        }
    }
}

/* --- Forgetful --- */

static void start_in_another_system(void) {
    struct journal_meta meta = meta_on_disk();
    char slot[JOURNAL_META_SLOT_BYTES];
    meta.counter++;
    snprintf(meta.boot_id, sizeof(meta.boot_id), "00000000-0000-0000-0000-000000000000");
    journal_meta_write(slot, &meta);
    int fd = open(place_name(&scene->place, "meta"), O_WRONLY | O_CLOEXEC);
    assert_int_equal(pwrite(fd, slot, sizeof(slot), (off_t)journal_meta_offset(meta.counter)), sizeof(slot));
    close(fd);
    scene_start_again();
}

static bool forgets(void) {
    struct journal_kept kept;
    journal_kept(scene->journal, &kept);
    return kept.forgetful;
}

static void firm(void) {
    struct journal_kept kept;
    journal_kept(scene->journal, &kept);
    kept.forgetful = false;
    given.count++;
    journal_keep(scene->journal, &kept);
}

static void only_a_keep_makes_it_firm_and_a_dirty_start_undoes_that(void **state) {
    (void)state;
    for (size_t m = 0; m < MODES; m++) {
        bool dirties = modes[m] != JOURNAL_FSYNC_ALWAYS;
        begin(modes[m]);
        assert_false(forgets());
        for (int i = 0; i < 2; i++) {
            start_in_another_system();
            assert_int_equal(forgets(), dirties);
            assert_int_equal(meta_on_disk().kept.forgetful, dirties);
            scene_goes_on();
            scene_start_again(); /* it stays so */
            assert_int_equal(forgets(), dirties);
            journal_keep_term(scene->journal, 10 + (uint64_t)i);
            given.count++;
            is_told();
            assert_int_equal(meta_on_disk().kept.forgetful, dirties);
            firm();
            is_told();
            assert_false(meta_on_disk().kept.forgetful);
            scene_start_again();
            assert_false(forgets());
            assert_int_equal(meta_on_disk().kept.term, 10 + i);
        }
        scene_end();
    }
}

/* What was asked for before, and what is asked for behind it, is not to hide that the disk has lost something.
 */
static void a_journal_that_is_given_up_is_forgetful_whatever_is_asked_for(void **state) {
    (void)state;
    for (size_t m = 0; m < MODES; m++) {
        begin(modes[m]);
        scene_settle(5);
        disk_fail(scene->disk, DISK_FDATASYNC, 1, 1, EIO);
        scene_change();
        journal_ask_sync(scene->journal);
        journal_follow_history(scene->journal);
        assert_true(journal_encode(scene->journal));
        journal_write(scene->journal);
        journal_sync_if_due(scene->journal);
        assert_true(worker_busy(scene->journal->worker));
        keep(); /* the first, and firm */
        worker_wait(scene->journal->worker);
        assert_int_equal(scene->fatals, 1);
        struct journal_meta meta = meta_on_disk();
        assert_true(meta.kept.forgetful);
        assert_string_equal(meta.kept.voted_for, "node-0");
        firm();
        scene_pass_ms(2000);
        assert_true(meta_on_disk().kept.forgetful);
        assert_false(journal_finish(scene->journal));
        assert_true(meta_on_disk().kept.forgetful);
        assert_int_equal(given.told, 0);
        scene_start_again();
        assert_true(forgets());
        scene_end();
    }
}

/* --- What else is asked for --- */

static void a_smaller_term_is_none(void **state) {
    (void)state;
    begin(JOURNAL_FSYNC_EVERYSEC);
    struct journal_kept kept = {.term = 7, .voted_for = "b", .forgetful = true}, now;
    given.count++;
    journal_keep(scene->journal, &kept);
    is_told();
    kept = (struct journal_kept){.term = 6, .voted_for = "c", .formed_id = 5, .formed = {1, {"a"}}};
    given.count++;
    journal_keep(scene->journal, &kept);
    is_told();
    kept.term = 7;
    snprintf(kept.voted_for, sizeof(kept.voted_for), "b");
    struct journal_meta meta = meta_on_disk();
    assert_true(is_kept(&meta.kept, &kept));
    journal_keep_term(scene->journal, 7);
    journal_kept(scene->journal, &now);
    assert_true(is_kept(&now, &kept));
    journal_keep_term(scene->journal, 8);
    journal_kept(scene->journal, &now);
    assert_int_equal(now.term, 8);
    assert_string_equal(now.voted_for, "");
    assert_int_equal(now.formed_id, 5);
    scene_end();
}

static void addresses_are_written_when_they_are_others(void **state) {
    (void)state;
    struct journal_peer peers[VOTERS_MOST];
    begin(JOURNAL_FSYNC_EVERYSEC);
    scene_pass_ms(1500);
    assert_int_equal(journal_peers(scene->journal, peers), 0);
    for (int i = 0; i < 3; i++) {
        keep_peers();
        scene_settle(3);
        struct journal_meta meta = meta_on_disk();
        assert_int_equal(meta.peers.count, 1 + given.peers % VOTERS_MOST);
        assert_int_equal(meta.peers.all[0].port, given.peers);
        given.peers--;
        keep_peers(); /* the same */
        scene_pass_ms(1500);
        assert_int_equal(meta_on_disk().counter, meta.counter);
    }
    keep_peers();
    keep();
    uint64_t counter = meta_on_disk().counter;
    is_told();
    scene_settle(5);
    assert_int_equal(meta_on_disk().counter, counter + 1); /* together */
    assert_int_equal(meta_on_disk().peers.all[0].port, given.peers);
    assert_int_equal(given.promise_count, 1);
    scene_start_again();
    assert_int_equal(journal_peers(scene->journal, peers), 1 + given.peers % VOTERS_MOST);
    assert_int_equal(peers[0].port, given.peers);
    journal_keep_peers(scene->journal, peers, 0);
    scene_settle(5);
    assert_int_equal(meta_on_disk().peers.count, 0);
    scene_end();
}

/* --- What does not hold it up --- */

static void not_the_removal_of_old_segments(void **state) {
    (void)state;
    begin(JOURNAL_FSYNC_EVERYSEC);
    scene_compact_to(JOURNAL_PHASE_ENDING);
    disk_wait(scene->disk, DISK_UNLINK);
    for (int i = 0; !worker_busy(scene->journal->janitor) && i < 100; i++) {
        worker_wait(scene->journal->worker);
        scene_turn();
    }
    for (int i = 0; i < 3; i++) {
        keep();
        for (int turns = 0; given.told < given.count && turns < 10; turns++) {
            worker_wait(scene->journal->worker);
            scene_turn();
        }
        assert_int_equal(given.told, given.count);
        assert_true(worker_busy(scene->journal->janitor));
    }
    disk_wait(scene->disk, 0);
    scene_settle(5);
    scene_goes_on();
    scene_end();
}

/* With -fsync always there is another sync to be made whenever one has ended. */
static void nor_a_sync_after_the_other(void **state) {
    (void)state;
    begin(JOURNAL_FSYNC_ALWAYS);
    for (int i = 0; i < 20; i++) {
        scene_send("W");
        scene_turn();
        keep();
        for (int turns = 0; given.told < given.count && turns < 3; turns++) {
            scene_send("W");
            worker_wait(scene->journal->worker);
            scene_turn();
        }
        assert_int_equal(given.told, given.count);
    }
    scene_answers_all();
    scene_end();
}

static void a_stronger_fsync_stays_while_a_weaker_one_is_written(void **state) {
    (void)state;
    begin(JOURNAL_FSYNC_EVERYSEC);
    journal_set_fsync(scene->journal, JOURNAL_FSYNC_NO);
    journal_write_meta_if_due(scene->journal);
    journal_set_fsync(scene->journal, JOURNAL_FSYNC_ALWAYS);
    scene_settle(5);
    assert_int_equal(scene->journal->config.fsync, JOURNAL_FSYNC_ALWAYS);
    journal_set_fsync(scene->journal, JOURNAL_FSYNC_NO);
    scene_settle(5);
    assert_int_equal(scene->journal->config.fsync, JOURNAL_FSYNC_NO);
    scene_end();
}

int main(void) {
    seed = random_start("test_journal_kept");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_told_is_there_after_every_crash),
        cmocka_unit_test(what_is_told_is_there_whatever_call_fails),
        cmocka_unit_test(only_a_keep_makes_it_firm_and_a_dirty_start_undoes_that),
        cmocka_unit_test(a_journal_that_is_given_up_is_forgetful_whatever_is_asked_for),
        cmocka_unit_test(a_smaller_term_is_none),
        cmocka_unit_test(addresses_are_written_when_they_are_others),
        cmocka_unit_test(not_the_removal_of_old_segments),
        cmocka_unit_test(nor_a_sync_after_the_other),
        cmocka_unit_test(a_stronger_fsync_stays_while_a_weaker_one_is_written),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    printf("%zu crashes were looked at\n", scene_crashes);
    return failed;
}
