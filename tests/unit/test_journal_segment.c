#define _GNU_SOURCE 1 /* memfd_create */
#include "server/journal/segment.h"
#include "tests/unit/journal_story.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static int file_of(struct slice bytes) {
    int fd = memfd_create("segment", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_true(journal_disk_write_all(&journal_disk_system, fd, bytes.ptr, bytes.len, 0));
    return fd;
}

/* The next thing that is given, or how it ends. */
static enum journal_segment_result next(struct journal_segment *segment, struct journal_given *given) {
    enum journal_segment_result result;
    do {
        result = journal_segment_next(segment, given);
    } while (result == JOURNAL_SEGMENT_GOES_ON);
    return result;
}

static void assert_given(struct journal_segment *segment, enum journal_kind kind, uint64_t index,
                         const char *line) {
    struct journal_given given;
    assert_int_equal(next(segment, &given), JOURNAL_SEGMENT_GIVEN);
    assert_int_equal(given.kind, kind);
    assert_int_equal(given.index, index);
    assert_true(slice_equals(given.line, slice_from_text(line)));
}

static void test_a_segment_is_read_in_its_order(void **state) {
    (void)state;
    struct pen pen;
    size_t synced_at;
    size_t synced = story_first_segment(&pen, &synced_at);
    int fd = file_of(buf_slice(&pen.out));
    struct journal_segment segment;
    struct journal_given given;
    assert_true(journal_segment_init(&segment, &journal_disk_system, fd));
    assert_false(segment.has_header);
    assert_given(&segment, JOURNAL_FULL, 0, "FULL|" STORY_HISTORY "|10|3|1-a-node");
    assert_true(segment.has_header);
    assert_int_equal(segment.index, 10);
    assert_int_equal(segment.floor, 3);
    assert_string_equal(segment.term.node_id, "a-node");
    assert_given(&segment, JOURNAL_STATE, 0, story_state[0]);
    assert_given(&segment, JOURNAL_HISTORY, 11, story_line(11));
    assert_given(&segment, JOURNAL_STATE, 0, story_state[1]);
    assert_given(&segment, JOURNAL_STATE, 0, story_state[2]);
    assert_false(segment.complete);
    assert_given(&segment, JOURNAL_END, 0, "END|3|11");
    assert_true(segment.complete);
    assert_int_equal(segment.keys, 3);
    for (uint64_t index = 12; index <= 21; index++) {
        assert_given(&segment, JOURNAL_HISTORY, index, story_line(index));
        assert_int_equal(segment.last_index, index);
        assert_int_equal(segment.last_term.number, index < 19 ? 1 : 2);
    }
    assert_int_equal(next(&segment, &given), JOURNAL_SEGMENT_ENDS);
    assert_int_equal(next(&segment, &given), JOURNAL_SEGMENT_ENDS);
    assert_int_equal(segment.records, 18);
    assert_int_equal(segment.synced_bytes, synced);
    assert_int_equal(segment.valid_bytes, segment.size_bytes);
    assert_memory_equal(&segment.chain, &pen.chain, sizeof(pen.chain));
    assert_null(segment.reason);
    journal_segment_deinit(&segment);
    pen_deinit(&pen);
    close(fd);
}

/* Nothing of a BATCH is given before all of it is there. */
static void test_half_a_batch_is_none(void **state) {
    (void)state;
    struct pen pen;
    pen_init(&pen, 0);
    pen_state(&pen, "FULL|" STORY_HISTORY "|0|0");
    pen_state(&pen, "END|0|0");
    size_t before = buf_used(&pen.out);
    pen_history(&pen, "BATCH|2");
    pen_history(&pen, "FLOOR|1");
    size_t half = buf_used(&pen.out);
    pen_synced(&pen); /* as of a write that was cut in two */
    int fd = file_of(buf_slice(&pen.out));
    struct journal_segment segment;
    struct journal_given given;
    assert_true(journal_segment_init(&segment, &journal_disk_system, fd));
    assert_int_equal(next(&segment, &given), JOURNAL_SEGMENT_GIVEN);
    assert_int_equal(next(&segment, &given), JOURNAL_SEGMENT_GIVEN);
    assert_int_equal(next(&segment, &given), JOURNAL_SEGMENT_WRONG);
    assert_int_equal(next(&segment, &given), JOURNAL_SEGMENT_WRONG);
    assert_string_equal(segment.reason, "it ends within a BATCH");
    assert_int_equal(segment.valid_bytes, before);
    assert_int_equal(segment.last_index, 0);
    assert_int_equal(segment.wrong_offset, buf_used(&pen.out));
    assert_int_equal(segment.synced_bytes, half);
    journal_segment_deinit(&segment);
    pen_deinit(&pen);
    close(fd);
}

/* A long line is read, and its room given back. */
static void test_memory(void **state) {
    (void)state;
    enum { LONG = 32 << 20, SHORT_LINES = 40000 };
    struct pen pen;
    pen_init(&pen, 0);
    pen_state(&pen, "FULL|" STORY_HISTORY "|0|0");
    char *text = malloc(LONG);
    assert_non_null(text);
    memset(text, 'x', LONG);
    journal_append(&pen.out, &pen.chain, ++pen.index, slice_of(text, LONG));
    for (size_t i = 0; i < SHORT_LINES; i++) {
        pen_history(&pen, "REPLICATE|key|value|1");
    }
    free(text);
    int fd = file_of(buf_slice(&pen.out));
    struct journal_segment segment;
    struct journal_given given;
    assert_true(journal_segment_init(&segment, &journal_disk_system, fd));
    while (next(&segment, &given) == JOURNAL_SEGMENT_GIVEN) {
        size_t most =
            given.line.len < 100 && given.index > SHORT_LINES / 2 ? (size_t)4 << 20 : (size_t)3 * LONG;
        assert_true(segment.buf.capacity <= most);
    }
    assert_int_equal(segment.last_index, 1 + SHORT_LINES);
    assert_null(segment.reason);
    journal_segment_deinit(&segment);
    pen_deinit(&pen);
    close(fd);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_segment_is_read_in_its_order),
        cmocka_unit_test(test_half_a_batch_is_none),
        cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
