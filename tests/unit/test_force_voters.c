/* A group goes on with what one of its voters has: wherever that is cut off, DIR holds the old history as it
 * was, or the new one, wholly. */
#include "server/tools/force_voters.h"

#include "cluster/election.h"
#include "tests/unit/journal_scene.h"

static struct voters forced; /* the node itself, and another */

/* What DIR holds. */
struct held {
    uint64_t history_id, index, digest;
    size_t keys;
    struct voters voters;
    bool quorum;
    struct term term;
    struct journal_meta meta;
};

static void add_entry(void *context, const struct entry *entry) {
    struct slice parts[] = {entry_key(entry), entry_value(entry)};
    uint64_t numbers[] = {entry_version(entry), (uint64_t)entry_timestamp_ms(entry),
                          (uint64_t)entry_deadline_ms(entry)};
    uint64_t sum = digest_add(UINT64_C(0xcbf29ce484222325), numbers, sizeof(numbers));
    for (size_t i = 0; i < 2; i++) {
        sum = digest_add(digest_add(sum, parts[i].ptr, parts[i].len), "|", 1);
    }
    *(uint64_t *)context += sum;
}

static void look(const char *path, struct held *out) {
    struct kept_data kept;
    uint64_t cursor = 0;
    const struct kept_data_wish wish = {.path = path, .what = "looking"};
    assert_int_equal(kept_data_open(&kept, &wish), TOOL_OK);
    const struct journal_found *found = kept_data_found(&kept);
    *out = (struct held){.history_id = found->history_id,
                         .index = found->index,
                         .keys = keyspace_count(kept.keyspace),
                         .voters = kept.voters,
                         .quorum = kept.quorum,
                         .term = found->term,
                         .meta = *journal_directory_meta(kept.directory)};
    do {
        cursor = keyspace_scan_stored(kept.keyspace, cursor, add_entry, &out->digest);
    } while (cursor != 0);
    kept_data_close(&kept);
}

/* More than is gathered for one write. */
static void add_large_values(void) {
    static char bytes[700000];
    char key[16];
    memset(bytes, 'l', sizeof(bytes));
    for (size_t k = 0; k < 3; k++) {
        model_set(&scene->store, scene_key(key, k), slice_of(bytes, sizeof(bytes)), 0);
        scene_note_state();
    }
}

/* A node that has voted, and may have forgotten something, ends without a word. */
static void make_kept(bool large) {
    struct voters voters;
    scene_begin(JOURNAL_FSYNC_EVERYSEC, (struct random){1});
    const char *node_id = journal_directory_meta(scene->directory)->node_id;
    assert_true(voters_parse(SLICE("a,b,c"), &voters));
    forced = (struct voters){.count = 0};
    assert_true(voters_add(&forced, node_id) && voters_add(&forced, "new"));
    scene_fill();
    if (large) {
        add_large_values();
    }
    scene_send("WWWWWW");
    scene_answers_all();
    history_begin_term(scene->history, &(struct term){4, "a"});
    history_write_voters(scene->history, &voters);
    history_write_acks(scene->history, true);
    scene_note_state();
    scene_compact_to(JOURNAL_PHASE_STATE);
    scene_reach(JOURNAL_PHASE_TAIL);
    scene_send("WWW");
    scene_answers_all();
    const struct journal_kept kept = {
        .term = 5, .voted_for = "b", .forgetful = true, .formed_id = 7, .formed = voters, .complete = true};
    const struct journal_peer peers[] = {{"b", "192.0.2.1", 1}, {"new", "192.0.2.2", 2}};
    journal_keep(scene->journal, &kept);
    journal_keep_peers(scene->journal, peers, 2);
    scene_pass_ms(1500);
    disk_record_meta(scene->disk);
    journal_destroy(&scene->journal);
    journal_directory_close(&scene->directory);
}

static void end(void) {
    disk_wait(scene->disk, 0);
    scene_end();
}

static enum tool_status force(void) {
    struct kept_data kept;
    const struct kept_data_wish wish = {
        .path = scene->place.path, .what = "reading", .mend = true, .disk = &scene->disk->disk};
    enum tool_status status = kept_data_open(&kept, &wish);
    status = status == TOOL_OK ? force_voters(&kept, &forced) : status;
    kept_data_close(&kept);
    return status;
}

static bool is_old(const struct held *held, const struct held *old) {
    return held->history_id == old->history_id;
}

static void is_one_of_both(const struct held *held, const struct held *old) {
    assert_int_equal(held->digest, old->digest);
    assert_int_equal(held->keys, old->keys);
    assert_int_equal(held->quorum, true);
    assert_string_equal(held->meta.node_id, old->meta.node_id);
    if (is_old(held, old)) {
        assert_int_equal(held->index, old->index);
        assert_memory_equal(&held->voters, &old->voters, sizeof(held->voters));
        assert_int_equal(term_compare(&held->term, &old->term), 0);
        assert_true(held->meta.kept.forgetful);
        assert_int_equal(held->meta.kept.formed_id, 7);
        bool raised = held->meta.kept.term != 5;
        assert_int_equal(held->meta.kept.term, raised ? 6 : 5);
        assert_string_equal(held->meta.kept.voted_for, raised ? "" : "b");
    } else {
        assert_int_equal(held->index, 1);
        assert_int_equal(held->term.number, 0);
        assert_memory_equal(&held->voters, &forced, sizeof(held->voters));
        assert_true(held->meta.kept.term >= 6);
        assert_string_equal(held->meta.kept.voted_for, "");
    }
}

static void is_finished(const struct held *held, const struct held *old) {
    is_one_of_both(held, old);
    assert_false(is_old(held, old));
    assert_false(held->meta.kept.forgetful);
    assert_true(held->meta.clean);
    assert_false(journal_meta_may_have_forgotten(&held->meta, NULL));
    assert_int_equal(held->meta.kept.formed_id, 0);
    assert_int_equal(held->meta.peers.count, 1);
    assert_string_equal(held->meta.peers.all[0].node_id, "new");
}

/* Behind that many operations; random NULL: of a kill; else of a power cut. */
static void look_behind(const struct place *place, size_t ops, struct random *random, struct held *out) {
    static struct image image;
    image_make(&image, scene->disk, ops, random);
    image_store(&image, place);
    const struct image_file *meta = &image.files[scene->disk->meta_file];
    place_write(place, "meta", slice_of(meta->bytes, meta->n));
    image_free(&image);
    look(place->path, out);
    place_empty(place);
}

static void at_any_moment_it_is_the_old_one_or_the_new_one(void **state) {
    (void)state;
    struct held old, held;
    struct place place;
    size_t were_old = 0, were_new = 0;
    make_kept(false);
    look(scene->place.path, &old);
    assert_int_equal(old.voters.count, 3);
    assert_int_equal(old.term.number, 4);
    size_t from = scene->disk->op_count;
    assert_int_equal(force(), TOOL_OK);
    look(scene->place.path, &held);
    is_finished(&held, &old);
    assert_int_equal(held.meta.kept.term, 6);
    place_make(&place);
    assert_int_equal(mkdir(place.path, 0700), 0);
    for (size_t ops = from; ops <= scene->disk->op_count; ops++) {
        for (size_t i = 0; i <= 40; i++) {
            look_behind(&place, ops, i == 0 ? NULL : &scene->random, &held);
            is_one_of_both(&held, &old);
            were_old += is_old(&held, &old);
            were_new += !is_old(&held, &old);
        }
    }
    assert_true(were_old > 100 && were_new > 100);
    is_finished(&held, &old); /* behind the last of them, whatever the power cut has met */
    place_remove(&place);
    end();
}

/* True: there was such a call. */
static bool a_call_fails(unsigned call, size_t nth) {
    struct held old, held;
    make_kept(true);
    look(scene->place.path, &old);
    disk_fail(scene->disk, call, nth, 1, EIO);
    enum tool_status status = force();
    bool failed = disk_has_failed(scene->disk);
    scene->disk->fails = 0;
    look(scene->place.path, &held);
    if (status == TOOL_OK) {
        is_finished(&held, &old);
    } else {
        assert_true(failed);
        is_one_of_both(&held, &old);
        assert_int_equal(force(), TOOL_OK); /* once more */
        look(scene->place.path, &held);
        is_finished(&held, &old);
    }
    end();
    return failed;
}

static void whatever_call_fails_it_is_one_of_them_and_can_be_done_again(void **state) {
    (void)state;
    static const unsigned calls[] = {DISK_PWRITE, DISK_FDATASYNC, DISK_FSYNC,
                                     DISK_OPEN,   DISK_RENAME,    DISK_UNLINK};
    for (size_t c = 0; c < sizeof(calls) / sizeof(calls[0]); c++) {
        size_t nth = 1;
        while (a_call_fails(calls[c], nth)) {
            nth++;
        }
        assert_in_range(nth, 2, 20);
    }
}

/* What a start finds: the state, its voters, and room for the next term. */
static void a_start_goes_on_with_it(void **state) {
    (void)state;
    struct place place;
    struct recovered found;
    make_kept(false);
    assert_int_equal(force(), TOOL_OK);
    uint64_t digest = scene_digest(&scene->store);
    scene_start_again();
    assert_true(scene_digest(&scene->store) == digest);
    assert_int_equal(history_index(scene->history), 1);
    assert_memory_equal(history_voters(scene->history), &forced, sizeof(forced));
    assert_true(history_quorum(scene->history));
    struct journal_kept kept;
    journal_kept(scene->journal, &kept);
    assert_false(kept.forgetful);
    assert_int_equal(kept.term, 6);
    const struct term term = {7, "me"};
    journal_keep_term(scene->journal, term.number);
    scene_settle(5);
    history_begin_term(scene->history, &term);
    scene_note_state();
    scene_goes_on();
    assert_true(journal_finish(scene->journal));
    place_make(&place);
    scene_recover(&place, &found); /* makes it */
    static struct image image;
    image_make(&image, scene->disk, scene->disk->op_count, NULL);
    image_store(&image, &place);
    image_free(&image);
    scene_recover(&place, &found);
    assert_true(found.digest == scene_digest(&scene->store));
    assert_int_equal(found.loaded.term_number, 7);
    place_remove(&place);
    end();
}

static void the_only_one_elects_itself(void **state) {
    (void)state;
    make_kept(false);
    assert_true(voters_remove(&forced, "new"));
    assert_int_equal(force(), TOOL_OK);
    scene_start_again();
    struct journal_kept kept;
    journal_kept(scene->journal, &kept);
    const struct election_kept before = {.number = kept.term, .forgetful = kept.forgetful};
    struct election election;
    struct election_action action;
    uint64_t led = 0;
    election_init(&election, forced.ids[0], 0, ELECTION_TIMEOUT_MS, scene->history, &before, 1, 0);
    for (int64_t now_ms = 0; now_ms < 3 * ELECTION_TIMEOUT_MS; now_ms += 50) {
        election_tick(&election, now_ms);
        while (election_next(&election, &action)) {
            led = action.type == ELECTION_LEAD ? action.kept.number : led;
            if (action.type == ELECTION_KEEP) {
                election_kept(&election, now_ms);
            }
        }
    }
    assert_int_equal(led, 7);
    end();
}

static void it_is_refused(void **state) {
    (void)state;
    struct held before, after;
    make_kept(false);
    look(scene->place.path, &before);
    assert_true(voters_parse(SLICE("a,b"), &forced));
    assert_int_equal(force(), TOOL_MISUSED);
    assert_true(voters_add(&forced, before.meta.node_id));
    struct journal_directory *running;
    char reason[JOURNAL_REASON_BYTES];
    running =
        journal_directory_open(&(struct journal_wish){.path = scene->place.path}, &journal_disk_system, reason);
    assert_non_null(running);
    assert_int_equal(force(), TOOL_MISUSED);
    journal_directory_close(&running);
    look(scene->place.path, &after);
    assert_memory_equal(&after.meta, &before.meta, sizeof(after.meta));
    is_one_of_both(&after, &before);
    assert_true(is_old(&after, &before));
    place_remove_segments(&scene->place);
    assert_int_equal(force(), TOOL_FAILED);
    end();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(at_any_moment_it_is_the_old_one_or_the_new_one),
        cmocka_unit_test(whatever_call_fails_it_is_one_of_them_and_can_be_done_again),
        cmocka_unit_test(a_start_goes_on_with_it),
        cmocka_unit_test(the_only_one_elects_itself),
        cmocka_unit_test(it_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
