#define _GNU_SOURCE 1 /* memmem */
#include "server/journal/recovery.h"
#include "tests/unit/failing_disk.h"
#include "tests/unit/journal_fixture.h"
#include "tests/unit/journal_story.h"

#define FIRST  "journal-0000000001.log"
#define SECOND "journal-0000000002.log"
#define THIRD  "journal-0000000003.log"

static const struct log silent = {.level = LOG_ERROR, .fd = 2};

struct fixture {
    struct place place;
    struct failing_disk failing; /* nothing fails, and nothing is synced: no power goes here */
    struct journal_directory *directory;
    struct pen first, second;
    size_t first_synced, first_synced_at, second_synced, second_synced_at;
};

static int not_synced(void *context, int fd) {
    (void)fd;
    return failing_disk_fails(context) ? -1 : 0;
}

static int setup(void **state) {
    struct fixture *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    *state = f;
    place_make(&f->place);
    failing_disk_init(&f->failing, 0, EIO);
    f->failing.disk.fsync = f->failing.disk.fdatasync = not_synced;
    char reason[JOURNAL_REASON_BYTES];
    f->directory =
        journal_directory_open(&(struct journal_wish){.path = f->place.path}, &f->failing.disk, reason);
    assert_non_null(f->directory);
    place_mark(f->directory, false);
    f->first_synced = story_first_segment(&f->first, &f->first_synced_at);
    f->second_synced = story_second_segment(&f->second, &f->second_synced_at);
    return 0;
}

static int teardown(void **state) {
    struct fixture *f = *state;
    pen_deinit(&f->first);
    pen_deinit(&f->second);
    journal_directory_close(&f->directory);
    place_remove(&f->place);
    free(f);
    return 0;
}

static void write_pen(const struct fixture *f, const char *name, const struct pen *pen) {
    place_write(&f->place, name, buf_slice(&pen->out));
}

static void remove_file(const struct fixture *f, const char *name) { unlink(place_name(&f->place, name)); }

/* --- One recovery --- */

struct reader {
    struct model model;
    uint64_t index;
    uint64_t batch_left;
    size_t fulls, ends, states;
    bool refuses; /* history lines */
};

/* A batch comes whole, lines come in order, a state in its place. */
static const char *take(void *context, enum journal_kind kind, struct slice line, uint64_t index) {
    struct reader *reader = context;
    struct line decoded;
    struct buf none;
    const char *reason;
    buf_init(&none, 1000);
    assert_int_equal(line_decode(line, &none, &decoded, &reason), LINE_OK);
    buf_deinit(&none);
    assert_int_equal(kind == JOURNAL_HISTORY, index != JOURNAL_NO_INDEX);
    switch (kind) {
    case JOURNAL_FULL:
        assert_int_equal(decoded.verb, LINE_FULL);
        assert_int_equal(reader->fulls++, 0);
        reader->index = decoded.index;
        return NULL;
    case JOURNAL_END:
        assert_int_equal(decoded.verb, LINE_END);
        reader->ends++;
        return NULL;
    case JOURNAL_STATE:
        assert_int_equal(reader->batch_left, 0);
        reader->states++;
        break;
    case JOURNAL_HISTORY:
        if (reader->refuses) {
            return "not today";
        }
        assert_int_equal(index, ++reader->index);
        reader->batch_left =
            decoded.verb == LINE_BATCH ? decoded.count : reader->batch_left - (reader->batch_left > 0);
        break;
    }
    model_apply(&reader->model, line);
    return NULL;
}

/* Reads all; what was found is copied, without its terms. */
static enum journal_step recover_in_steps(struct fixture *f, struct reader *reader, struct journal_found *found,
                                          size_t lines, bool mend) {
    *reader = (struct reader){.refuses = reader->refuses};
    struct journal_recovery *recovery = journal_recovery_create(f->directory, take, reader);
    assert_non_null(recovery);
    enum journal_step step;
    size_t steps = 0;
    do {
        step = journal_recovery_step(recovery, lines);
        assert_true(++steps < 100000);
    } while (step == JOURNAL_STEP_GOES_ON);
    assert_int_equal(journal_recovery_step(recovery, lines), step);
    *found = *journal_recovery_found(recovery);
    assert_true(step != JOURNAL_STEP_DONE || found->bytes_done == found->bytes_total);
    assert_true(step != JOURNAL_STEP_DONE || !mend || journal_recovery_mend(recovery, &silent));
    journal_recovery_destroy(&recovery);
    return step;
}

static enum journal_step recover(struct fixture *f, struct reader *reader, struct journal_found *found) {
    return recover_in_steps(f, reader, found, 1000000, true);
}

static void assert_story(const struct reader *reader, uint64_t index) {
    struct model expected;
    assert_true(story_is_place(index));
    assert_int_equal(reader->index, index);
    assert_int_equal(reader->batch_left, 0);
    assert_int_equal(reader->ends, 1);
    story_model(&expected, index);
    assert_memory_equal(&reader->model, &expected, sizeof(expected));
}

static uint64_t assert_recovers(struct fixture *f) {
    struct reader reader = {0};
    struct journal_found found;
    if (recover(f, &reader, &found) != JOURNAL_STEP_DONE) {
        fail_msg("%s", found.reason);
    }
    assert_int_equal(reader.index, found.index);
    assert_story(&reader, found.index);
    return found.index;
}

static void assert_refused(struct fixture *f, const char *word) {
    struct reader reader = {0};
    struct journal_found found;
    assert_int_equal(recover(f, &reader, &found), JOURNAL_STEP_REFUSED);
    if (strstr(found.reason, word) == NULL || strstr(found.reason, f->place.path) == NULL) {
        fail_msg("%s", found.reason);
    }
}

/* The right prefix, which stays what it is once it was mended; or a refusal that says where. True: recovered.
 */
static bool survives(struct fixture *f, uint64_t *index) {
    struct reader reader = {0}, again = {0};
    struct journal_found found, found_again;
    if (recover(f, &reader, &found) == JOURNAL_STEP_REFUSED) {
        assert_non_null(strstr(found.reason, f->place.path));
        assert_non_null(strstr(found.reason, "journal-"));
        return false;
    }
    *index = found.index;
    assert_story(&reader, found.index);
    assert_int_equal(recover(f, &again, &found_again), JOURNAL_STEP_DONE);
    assert_story(&again, found.index);
    assert_int_equal(found_again.cut_bytes + found_again.dropped, 0);
    assert_memory_equal(&found_again.last_chain, &found.last_chain, sizeof(found.last_chain));
    return true;
}

/* --- The exhaustive ones --- */

static void test_all_that_is_whole(void **state) {
    struct fixture *f = *state;
    write_pen(f, FIRST, &f->first);
    write_pen(f, SECOND, &f->second);
    for (size_t lines = 1; lines < 100; lines++) {
        struct reader reader = {0};
        struct journal_found found;
        assert_int_equal(recover_in_steps(f, &reader, &found, lines, false), JOURNAL_STEP_DONE);
        assert_story(&reader, STORY_LAST_INDEX);
        assert_int_equal(reader.states, 6);
        assert_int_equal(found.history_id, 0x0192f0c4a1b2c3d4);
        assert_int_equal(found.floor, 3);
        assert_int_equal(found.term.number, 2);
        assert_string_equal(found.term.node_id, "b-node");
        assert_int_equal(found.terms_count, 2);
        assert_int_equal(found.segments, 2);
        assert_int_equal(found.records, 18 + 14);
        assert_int_equal(found.keys, 3);
        assert_int_equal(found.first_segment, 1);
        assert_int_equal(found.last_segment, 2);
        assert_int_equal(found.next_segment, 3);
        assert_int_equal(found.last_bytes, buf_used(&f->second.out));
        assert_memory_equal(&found.last_chain, &f->second.chain, sizeof(found.last_chain));
        assert_int_equal(found.last_synced_bytes, f->second_synced);
        assert_false(found.last_is_complete);
        assert_int_equal(found.cut_bytes + found.dropped, 0);
        assert_string_equal(found.reason, "");
    }
}

/* A power cut: the file is shorter than it was. */
static void test_cut_at_every_byte(void **state) {
    struct fixture *f = *state;
    struct slice first = buf_slice(&f->first.out), second = buf_slice(&f->second.out);
    uint64_t index = 0, last = 0;
    for (size_t n = 0; n <= second.len; n++) {
        place_write(&f->place, FIRST, first);
        place_write(&f->place, SECOND, slice_first(second, n));
        assert_true(survives(f, &index));
        assert_true(index >= last);
        last = index;
    }
    assert_int_equal(last, STORY_LAST_INDEX);
    size_t whole = f->first_synced; /* END is in front of the first SYNCED */
    remove_file(f, SECOND);
    for (size_t n = 0; n <= first.len; n++) {
        place_write(&f->place, FIRST, slice_first(first, n));
        bool recovered = survives(f, &index);
        assert_true(recovered || n < whole);
        assert_int_equal(recovered, n >= (size_t)((const char *)memmem(first.ptr, first.len, "END|3|11\n", 9) +
                                                  9 - first.ptr));
    }
    assert_int_equal(index, STORY_SECOND_SEGMENT);
    for (size_t n = 0; n < first.len; n++) { /* a later segment needs all of it */
        place_write(&f->place, FIRST, slice_first(first, n));
        place_write(&f->place, SECOND, second);
        assert_false(survives(f, &index));
    }
}

/* Each bit of a file in turn: behind what was synced it is a torn tail; in front of it, refused. (But for the
 * LF in front of the last SYNCED: then there is none, and what it said was nobody's knowledge.) */
static void flip_every_bit(struct fixture *f, const char *name, struct pen *pen, size_t synced,
                           size_t synced_at) {
    char *bytes = pen->out.data;
    for (size_t at = 0; at < buf_used(&pen->out); at++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            uint64_t index;
            write_pen(f, FIRST, &f->first);
            bytes[at] = (char)(bytes[at] ^ 1 << bit);
            write_pen(f, name, pen);
            bool recovered = survives(f, &index);
            assert_int_equal(recovered, at >= synced || at + 1 == synced_at);
            bytes[at] = (char)(bytes[at] ^ 1 << bit);
        }
    }
}

static void test_every_bit_of_the_last_segment(void **state) {
    struct fixture *f = *state;
    flip_every_bit(f, SECOND, &f->second, f->second_synced, f->second_synced_at);
}

static void test_every_bit_of_a_lone_segment(void **state) {
    struct fixture *f = *state;
    flip_every_bit(f, FIRST, &f->first, f->first_synced, f->first_synced_at);
}

static void test_every_bit_of_an_older_segment(void **state) {
    struct fixture *f = *state;
    char *bytes = f->first.out.data;
    write_pen(f, SECOND, &f->second);
    for (size_t at = 0; at < buf_used(&f->first.out); at++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            uint64_t index;
            bytes[at] = (char)(bytes[at] ^ 1 << bit);
            write_pen(f, FIRST, &f->first);
            assert_false(survives(f, &index));
            bytes[at] = (char)(bytes[at] ^ 1 << bit);
        }
    }
}

/* A power cut leaves holes: what was written later is there, and what was before it is not. */
static void test_holes_behind_what_was_synced(void **state) {
    struct fixture *f = *state;
    struct slice second = buf_slice(&f->second.out);
    char bytes[4096];
    for (size_t from = f->second_synced; from < second.len; from++) {
        for (size_t n = 1; from + n <= second.len; n += 7) {
            uint64_t index = 0;
            memcpy(bytes, second.ptr, second.len);
            memset(bytes + from, 0, n);
            write_pen(f, FIRST, &f->first);
            place_write(&f->place, SECOND, slice_of(bytes, second.len));
            assert_true(survives(f, &index));
            assert_true(index >= 26); /* what was synced is there */
        }
    }
}

/* --- Which segments --- */

/* Nothing is torn where all was on the disk when the last run ended. */
static void test_no_tail_is_torn_behind_a_clean_end(void **state) {
    struct fixture *f = *state;
    struct reader reader;
    struct journal_found found;
    char *bytes = f->second.out.data + f->second.out.start;
    write_pen(f, FIRST, &f->first);
    for (size_t at = f->second_synced; at < buf_used(&f->second.out); at++) {
        place_mark(f->directory, true);
        write_pen(f, SECOND, &f->second);
        assert_int_equal(assert_recovers(f), STORY_LAST_INDEX);
        bytes[at] ^= 1;
        write_pen(f, SECOND, &f->second);
        bytes[at] ^= 1;
        assert_refused(f, SECOND);
        place_mark(f->directory, false);
        reader = (struct reader){0};
        assert_int_equal(recover_in_steps(f, &reader, &found, 1000000, false), JOURNAL_STEP_DONE);
        assert_true(found.cut_bytes > 0);
    }
}

static void test_nothing(void **state) {
    struct fixture *f = *state;
    struct reader reader = {0};
    struct journal_found found;
    place_write(&f->place, "incoming.log", SLICE("half"));
    assert_int_equal(recover(f, &reader, &found), JOURNAL_STEP_DONE);
    assert_int_equal(found.history_id, 0);
    assert_int_equal(found.next_segment, 1);
    assert_int_equal(found.segments, 0);
    assert_false(place_has(&f->place, "incoming.log"));
}

/* What a node writes that has not met its group yet, nor formed one; and the next segment, as far as it came.
 */
static void test_no_history_yet(void **state) {
    struct fixture *f = *state;
    static const char *const behind[] = {NULL, "", "FULL|" STORY_HISTORY "|10|3|1-a-node"};
    for (size_t i = 0; i < sizeof(behind) / sizeof(behind[0]); i++) {
        struct reader reader = {0};
        struct journal_found found;
        struct pen pen;
        pen_init(&pen, 0);
        pen_state(&pen, "FULL|0000000000000000|0|0");
        pen_state(&pen, "END|0|0");
        write_pen(f, "journal-0000000001.log", &pen);
        pen_deinit(&pen);
        if (behind[i] != NULL) {
            pen_init(&pen, 0);
            if (behind[i][0] != '\0') {
                pen_state(&pen, behind[i]);
            }
            write_pen(f, "journal-0000000002.log", &pen);
            pen_deinit(&pen);
        }
        assert_int_equal(recover(f, &reader, &found), JOURNAL_STEP_DONE);
        assert_int_equal(found.history_id, 0);
        assert_int_equal(found.next_segment, behind[i] == NULL ? 2 : 3);
        assert_int_equal(reader.states + reader.index, 0);
        assert_false(place_has(&f->place, "journal-0000000002.log"));
    }
}

static void test_what_nobody_needs_is_dropped(void **state) {
    struct fixture *f = *state;
    static const char *const contents[] = {"", "half of a rec", "a line\nand others\n"};
    for (size_t i = 0; i < 3; i++) {
        write_pen(f, FIRST, &f->first);
        place_write(&f->place, SECOND, slice_from_text(contents[i]));
        struct reader reader = {0};
        struct journal_found found;
        assert_int_equal(recover(f, &reader, &found), JOURNAL_STEP_DONE);
        assert_story(&reader, STORY_SECOND_SEGMENT);
        assert_int_equal(found.dropped, 1);
        assert_int_equal(found.last_segment, 1);
        assert_int_equal(found.next_segment, 3);
        assert_true(found.last_is_complete);
        assert_false(place_has(&f->place, SECOND));
    }
    struct pen other;
    pen_init(&other, 5); /* a new history, whose state has not come to its end */
    pen_state(&other, "FULL|0192f0c4a1b2ffff|5|0");
    pen_history(&other, "REPLICATE|a|wrong|9");
    pen_synced(&other);
    write_pen(f, SECOND, &other);
    pen_deinit(&other);
    struct pen third = f->second; /* and one behind it that goes on from the first */
    write_pen(f, THIRD, &third);
    assert_int_equal(assert_recovers(f), STORY_LAST_INDEX);
    assert_false(place_has(&f->place, SECOND));
    assert_true(place_has(&f->place, THIRD));
}

static void test_a_beginning_that_was_synced_is_not_dropped(void **state) {
    struct fixture *f = *state;
    write_pen(f, FIRST, &f->first);
    f->second.out.data[20] ^= 1;
    write_pen(f, SECOND, &f->second);
    assert_refused(f, SECOND ", line 1, byte 0: ");
}

static void test_the_newest_with_an_end_is_begun_with(void **state) {
    struct fixture *f = *state;
    place_write(&f->place, FIRST, SLICE("nobody looks at this"));
    struct pen pen;
    pen_init(&pen, STORY_FIRST_INDEX);
    pen_deinit(&pen);
    write_pen(f, SECOND, &f->first);
    write_pen(f, THIRD, &f->second);
    assert_int_equal(assert_recovers(f), STORY_LAST_INDEX);
    assert_true(place_has(&f->place, FIRST));

    struct model model;
    story_model(&model, STORY_LAST_INDEX);
    pen_init(&pen, STORY_LAST_INDEX); /* the compaction ends, and a new history begins */
    pen_state(&pen, "FULL|0192f0c4a1b2ffff|29|0");
    pen_state(&pen, "REPLICATEX|z|zoo|1|0|0");
    pen_state(&pen, "END|1|29");
    write_pen(f, THIRD, &pen);
    pen_deinit(&pen);
    struct reader reader = {0};
    struct journal_found found;
    assert_int_equal(recover(f, &reader, &found), JOURNAL_STEP_DONE);
    assert_int_equal(found.history_id, 0x0192f0c4a1b2ffff);
    assert_int_equal(found.first_segment, 3);
    assert_int_equal(found.term.number, 0);
    assert_int_equal(found.terms_count, 0);
    assert_int_equal(reader.states, 1);
    assert_string_equal(reader.model.keys['z' - 'a'].value, "zoo");
}

static void test_no_whole_state(void **state) {
    struct fixture *f = *state;
    write_pen(f, FIRST, &f->second);
    assert_refused(f, "no END");
    write_pen(f, SECOND, &f->second);
    assert_refused(f, FIRST ": neither it nor a later one has its END");
}

/* --- What may follow what --- */

/* Behind a good beginning, synced: what follows is wrong, and no torn tail. */
static void assert_wrong(struct fixture *f, const char *first, const char *second, const char *why) {
    struct pen pen;
    pen_init(&pen, 7);
    pen_state(&pen, "FULL|" STORY_HISTORY "|7|0");
    pen_state(&pen, "END|0|7");
    const char *const lines[] = {first, second};
    for (size_t i = 0; i < 2 && lines[i] != NULL; i++) {
        const char *line = lines[i];
        if (line[0] >= '0' && line[0] <= '9') {
            char *rest;
            uint64_t index = strtoull(line, &rest, 10);
            journal_append(&pen.out, &pen.chain, index, slice_from_text(rest + 1));
        } else {
            pen_state(&pen, line);
        }
    }
    pen_synced(&pen);
    write_pen(f, FIRST, &pen);
    pen_deinit(&pen);
    assert_refused(f, why);
}

static void test_damage_that_is_well_summed_up(void **state) {
    struct fixture *f = *state;
    assert_wrong(f, "9 FLOOR|1", NULL, "line 3, byte 56: its index is not the next one");
    assert_wrong(f, "8 FLOOR|1", "8 FLOOR|1", "line 4, byte 75: its index is not the next one");
    assert_wrong(f, "7 FLOOR|1", NULL, "its index is not the next one");
    assert_wrong(f, "FLOOR|1", NULL, "a line of a state behind END");
    assert_wrong(f, "END|0|7", NULL, "a line of a state behind END");
    assert_wrong(f, "8 BATCH|2", "9 BATCH|1", "a BATCH in a BATCH");
    assert_wrong(f, "8 BATCH|2", "FLOOR|1", "a line of a state in a BATCH");
    assert_wrong(f, "8 BATCH|0", NULL, "a BATCH of no number");
    assert_wrong(f, "8 TERM|x", NULL, "a TERM that is none");
    assert_wrong(f, "SYNCED|57", NULL, "SYNCED of what lies behind it");

    struct pen pen;
    static const char *const begins[][2] = {{"END|0|0", "does not begin with FULL"},
                                            {"FULL|x|0|0", "does not begin with FULL"},
                                            {"FULL|" STORY_HISTORY "|7|0", "a second FULL"},
                                            {"END|0|8", "END names another index"},
                                            {"END|0", "END names another index"}};
    for (size_t i = 0; i < 5; i++) {
        pen_init(&pen, 7);
        if (i > 1) {
            pen_state(&pen, "FULL|" STORY_HISTORY "|7|0");
        }
        pen_state(&pen, begins[i][0]);
        write_pen(f, FIRST, &pen);
        pen_deinit(&pen);
        assert_refused(f, begins[i][1]);
    }
}

static void test_a_segment_that_does_not_go_on(void **state) {
    struct fixture *f = *state;
    static const char *const begins[][2] = {{"FULL|" STORY_HISTORY "|20|3|2-b-node", "index"},
                                            {"FULL|" STORY_HISTORY "|22|3|2-b-node", "index"},
                                            {"FULL|" STORY_HISTORY "|21|3|1-a-node", "term"},
                                            {"FULL|" STORY_HISTORY "|21|3", "term"},
                                            {"FULL|" STORY_HISTORY "|21|3|2-c-node", "term"}};
    write_pen(f, FIRST, &f->first);
    for (size_t i = 0; i < 5; i++) {
        struct pen pen;
        pen_init(&pen, 21);
        pen_state(&pen, begins[i][0]);
        write_pen(f, SECOND, &pen);
        pen_deinit(&pen);
        assert_refused(f, begins[i][1]);
    }
}

static void test_a_line_that_is_not_taken(void **state) {
    struct fixture *f = *state;
    write_pen(f, FIRST, &f->first);
    struct reader reader = {.refuses = true};
    struct journal_found found;
    assert_int_equal(recover(f, &reader, &found), JOURNAL_STEP_REFUSED);
    if (strstr(found.reason, FIRST ", line 3, byte 95: not today") == NULL) {
        fail_msg("%s", found.reason);
    }
}

/* --- Verifying, long lines, a disk that fails --- */

static enum journal_step verify(struct fixture *f, struct journal_found *found) {
    struct journal_recovery *recovery = journal_recovery_create(f->directory, NULL, NULL);
    enum journal_step step = journal_recovery_step(recovery, SIZE_MAX);
    *found = *journal_recovery_found(recovery);
    journal_recovery_destroy(&recovery);
    return step;
}

static void test_verify(void **state) {
    struct fixture *f = *state;
    struct journal_found found;
    write_pen(f, FIRST, &f->first);
    write_pen(f, SECOND, &f->second);
    assert_int_equal(verify(f, &found), JOURNAL_STEP_DONE);
    assert_int_equal(found.index, STORY_LAST_INDEX);
    pen_history(&f->second, "LATER|kvnode|has|more");
    write_pen(f, SECOND, &f->second);
    assert_int_equal(verify(f, &found), JOURNAL_STEP_DONE);
    assert_int_equal(found.index, STORY_LAST_INDEX + 1);
    pen_history(&f->second, "DELETE|a");
    write_pen(f, SECOND, &f->second);
    assert_int_equal(verify(f, &found), JOURNAL_STEP_REFUSED);
    assert_non_null(strstr(found.reason, "too few fields"));
}

struct sum {
    size_t lines, bytes;
};

static const char *add_up(void *context, enum journal_kind kind, struct slice line, uint64_t index) {
    struct sum *sum = context;
    (void)index;
    sum->lines += kind == JOURNAL_HISTORY;
    sum->bytes += kind == JOURNAL_HISTORY ? line.len : 0;
    return NULL;
}

/* Lines longer than a block, and batches of them. */
static void test_long_lines(void **state) {
    struct fixture *f = *state;
    struct pen pen;
    size_t lines = 0, bytes = 0;
    pen_init(&pen, 0);
    pen_state(&pen, "FULL|" STORY_HISTORY "|0|0");
    pen_state(&pen, "END|0|0");
    char *text = calloc(1, 6000001);
    assert_non_null(text);
    memset(text, 'x', 6000000);
    static const size_t lengths[] = {10, 262100, 10, 262144, 262145, 6000000, 1, 2, 1000000, 300000, 5};
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        if (i == 4) {
            pen_history(&pen, "BATCH|6");
            lines++;
            bytes += 7;
        }
        journal_append(&pen.out, &pen.chain, ++pen.index, slice_of(text, lengths[i]));
        lines++;
        bytes += lengths[i];
    }
    free(text);
    write_pen(f, FIRST, &pen);
    struct sum sum = {0};
    struct journal_recovery *recovery = journal_recovery_create(f->directory, add_up, &sum);
    assert_int_equal(journal_recovery_step(recovery, 10), JOURNAL_STEP_GOES_ON); /* bounded */
    assert_int_equal(journal_recovery_step(recovery, SIZE_MAX), JOURNAL_STEP_DONE);
    assert_int_equal(sum.lines, lines);
    assert_int_equal(sum.bytes, bytes);
    assert_int_equal(journal_recovery_found(recovery)->last_bytes, buf_used(&pen.out));
    journal_recovery_destroy(&recovery);
    pen_deinit(&pen);
}

/* A disk that can't be read is no torn tail. */
static void test_every_read_fails_once(void **state) {
    struct fixture *f = *state;
    write_pen(f, FIRST, &f->first);
    f->second.out.data[buf_used(&f->second.out) - 1] = 'x'; /* so that what is behind is looked through */
    write_pen(f, SECOND, &f->second);
    f->failing.reads = true;
    for (size_t fail_at = 1;; fail_at++) {
        struct reader reader = {0};
        struct journal_found found;
        f->failing.calls = 0;
        f->failing.fail_at = fail_at;
        struct journal_recovery *recovery = journal_recovery_create(f->directory, take, &reader);
        if (recovery == NULL) {
            continue;
        }
        enum journal_step step = journal_recovery_step(recovery, SIZE_MAX);
        found = *journal_recovery_found(recovery);
        journal_recovery_destroy(&recovery);
        if (f->failing.calls < fail_at) {
            assert_int_equal(step, JOURNAL_STEP_DONE);
            assert_true(found.cut_bytes > 0);
            assert_true(fail_at > 8);
            break;
        }
        assert_int_equal(step, JOURNAL_STEP_REFUSED);
        assert_non_null(strstr(found.reason, strerror(EIO)));
    }
}

/* Each call of mending in turn: it is done again, and all is well. */
static void test_mending_fails_and_is_done_again(void **state) {
    struct fixture *f = *state;
    for (size_t fail_at = 1;; fail_at++) {
        struct reader reader = {0};
        place_write(&f->place, FIRST, slice_first(buf_slice(&f->first.out), buf_used(&f->first.out) - 1));
        place_write(&f->place, SECOND, SLICE("half"));
        place_write(&f->place, "incoming.log", SLICE(""));
        struct journal_recovery *recovery = journal_recovery_create(f->directory, take, &reader);
        assert_int_equal(journal_recovery_step(recovery, SIZE_MAX), JOURNAL_STEP_DONE);
        f->failing.calls = 0;
        f->failing.fail_at = fail_at;
        bool mended = journal_recovery_mend(recovery, &silent);
        assert_int_equal(mended, f->failing.calls < fail_at);
        assert_true(mended || journal_recovery_mend(recovery, &silent));
        journal_recovery_destroy(&recovery);
        f->failing.fail_at = 0;
        assert_false(place_has(&f->place, SECOND) || place_has(&f->place, "incoming.log"));
        assert_int_equal(assert_recovers(f), STORY_SECOND_SEGMENT - 1);
        if (mended) {
            assert_true(fail_at > 5);
            break;
        }
    }
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_all_that_is_whole),
        TEST(test_cut_at_every_byte),
        TEST(test_every_bit_of_the_last_segment),
        TEST(test_every_bit_of_a_lone_segment),
        TEST(test_every_bit_of_an_older_segment),
        TEST(test_holes_behind_what_was_synced),
        TEST(test_no_tail_is_torn_behind_a_clean_end),
        TEST(test_nothing),
        TEST(test_no_history_yet),
        TEST(test_what_nobody_needs_is_dropped),
        TEST(test_a_beginning_that_was_synced_is_not_dropped),
        TEST(test_the_newest_with_an_end_is_begun_with),
        TEST(test_no_whole_state),
        TEST(test_damage_that_is_well_summed_up),
        TEST(test_a_segment_that_does_not_go_on),
        TEST(test_a_line_that_is_not_taken),
        TEST(test_verify),
        TEST(test_long_lines),
        TEST(test_every_read_fails_once),
        TEST(test_mending_fails_and_is_done_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
