/* Lines are read from the segments while memory fails: they are those that were written, or there are none; and
 * when there is memory, all of them. */
#include "tests/fault/failing_heap.h"
#include "tests/unit/journal_scene.h"

static struct buf said;

static void note_what_is_said(void) {
    struct history_reader reader = {0};
    struct slice lines;
    uint64_t last;
    buf_init(&said, SIZE_MAX);
    assert_true(history_open(scene->history, &reader, 0));
    while (history_read(scene->history, &reader, &lines, &last) && lines.len > 0) {
        buf_append_slice(&said, lines);
        history_advance(scene->history, &reader, lines.len);
    }
    history_close(scene->history, &reader);
}

/* True: all of it. */
static bool reads_all(void) {
    struct slice lines = SLICE("");
    uint64_t last;
    size_t at = 0;
    enum archive_result result = ARCHIVE_LATER;
    fault_arm();
    struct archive_reader *reader = journal_archive_open(scene->journal, 0, UINT64_MAX);
    for (int i = 0; reader != NULL && result != ARCHIVE_LOST && i < 20; i++) {
        result = journal_archive_read(reader, &lines, &last);
        if (result == ARCHIVE_LINES) {
            assert_true(at + lines.len <= buf_used(&said));
            assert_memory_equal(lines.ptr, buf_slice(&said).ptr + at, lines.len);
            at += lines.len;
            journal_archive_advance(reader, lines.len);
        }
        worker_wait(scene->journal->archivist);
    }
    if (reader != NULL) {
        journal_archive_close(reader);
        worker_wait(scene->journal->archivist);
    }
    fault_disarm();
    assert_true(result != ARCHIVE_LATER || reader == NULL || at == buf_used(&said));
    return at == buf_used(&said);
}

static void run(void) {
    static char value[100000];
    memset(value, 'v', sizeof(value));
    scene_begin(JOURNAL_FSYNC_NO, (struct random){1});
    scene_reach(JOURNAL_PHASE_TAIL);
    scene_fill();
    scene_settle(2);
    model_set(&scene->store, SLICE("large"), slice_of(value, sizeof(value)), 0); /* given where it is read */
    scene_change();
    scene_settle(5);
    note_what_is_said();
    bool all = reads_all();
    assert_true(all || fault_count() > 0);
    fault_memory_is_back();
    assert_true(reads_all());
    scene_end();
    buf_deinit(&said);
}

static void what_is_read_was_written(void **state) {
    (void)state;
    fault_each(run);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_is_read_was_written)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
