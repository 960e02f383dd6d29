/* Lines that are read from the segments of a journal at work are those that were written, or none. */
#include "tests/unit/journal_scene.h"

enum { MOST_LINES = 20000 };

static struct buf said; /* all lines of the history */
static size_t begins[MOST_LINES];
static uint64_t lines_said;
static struct history_reader watch;
static ssize_t (*system_pread)(void *, int, void *, size_t, off_t);
static int reads_until_error;

static ssize_t failing_pread(void *context, int fd, void *to, size_t n, off_t offset) {
    if (reads_until_error > 0 && --reads_until_error == 0) {
        errno = EIO;
        return -1;
    }
    return system_pread(context, fd, to, n, offset);
}

static int failing_openat(void *context, int directory, const char *name, int flags, mode_t mode) {
    (void)context, (void)directory, (void)name, (void)flags, (void)mode;
    errno = EMFILE;
    return -1;
}

static void note_lines(void) {
    struct slice lines;
    uint64_t last;
    while (history_read(scene->history, &watch, &lines, &last) && lines.len > 0) {
        size_t at = buf_used(&said);
        buf_append_slice(&said, lines);
        history_advance(scene->history, &watch, lines.len);
        for (; at < buf_used(&said); lines_said++) {
            begins[lines_said] = at;
            const char *from = buf_slice(&said).ptr + at;
            at += (size_t)((const char *)memchr(from, '\n', buf_used(&said) - at) + 1 - from);
        }
    }
}

static void changes(size_t n) {
    for (size_t i = 0; i < n; i++) {
        scene_change();
        if (i % 16 == 0) {
            note_lines();
            scene_settle(1);
        }
    }
    note_lines();
    scene_settle(3);
}

static int setup(void **state) {
    (void)state;
    scene_begin(JOURNAL_FSYNC_NO, random_start("archive"));
    system_pread = scene->disk->disk.pread;
    scene->disk->disk.pread = failing_pread;
    reads_until_error = 0;
    buf_init(&said, SIZE_MAX);
    lines_said = 0;
    watch = (struct history_reader){0};
    assert_true(history_open(scene->history, &watch, 0));
    scene_reach(JOURNAL_PHASE_TAIL);
    scene_fill();
    changes(600);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    history_close(scene->history, &watch);
    scene_end();
    buf_deinit(&said);
    return 0;
}

static struct archive_reader *open_at(uint64_t index) {
    return journal_archive_open(scene->journal, index, UINT64_MAX);
}

/* What comes next, when the thread is done with it. */
static enum archive_result next(struct archive_reader *reader, struct slice *lines, uint64_t *last) {
    enum archive_result result = journal_archive_read(reader, lines, last);
    for (int i = 0; result == ARCHIVE_LATER && i < 100; i++) {
        worker_wait(scene->journal->archivist);
        result = journal_archive_read(reader, lines, last);
    }
    return result;
}

/* Takes what there is behind line *index, in parts of any size: all of it is what was said. */
static enum archive_result take(struct archive_reader *reader, uint64_t *index, size_t pieces) {
    struct slice lines;
    uint64_t last;
    enum archive_result result = ARCHIVE_LATER;
    size_t at = *index < lines_said ? begins[*index] : buf_used(&said);
    while (pieces > 0 && (result = next(reader, &lines, &last)) == ARCHIVE_LINES) {
        size_t n =
            random_below(&scene->random, 3) == 0 ? 1 + random_below(&scene->random, lines.len) : lines.len;
        assert_true(at + lines.len <= buf_used(&said));
        assert_memory_equal(lines.ptr, buf_slice(&said).ptr + at, n);
        journal_archive_advance(reader, n);
        at += n;
        if (n == lines.len) {
            *index = last;
            assert_int_equal(at, last < lines_said ? begins[last] : buf_used(&said));
            pieces--;
        }
    }
    return result;
}

static void closes(struct archive_reader *reader) {
    journal_archive_close(reader);
    while (worker_busy(scene->journal->archivist)) {
        worker_wait(scene->journal->archivist);
    }
}

static void is_read_from(uint64_t index) {
    struct archive_reader *reader = open_at(index);
    assert_non_null(reader);
    assert_int_equal(take(reader, &index, SIZE_MAX), ARCHIVE_LATER);
    assert_int_equal(index, history_index(scene->history));
    closes(reader);
}

static void test_from_any_line_on(void **state) {
    (void)state;
    for (uint64_t index = 0; index < lines_said; index += 1 + random_below(&scene->random, 20)) {
        is_read_from(index);
    }
    struct archive_reader *reader = open_at(lines_said); /* nothing yet, and then what is written */
    uint64_t index = lines_said;
    assert_int_equal(take(reader, &index, SIZE_MAX), ARCHIVE_LATER);
    for (int i = 0; i < 10; i++) {
        changes(5);
        assert_int_equal(take(reader, &index, SIZE_MAX), ARCHIVE_LATER);
        assert_int_equal(index, lines_said);
    }
    closes(reader);
    assert_null(scene->journal->readers);
}

static void test_long_lines(void **state) {
    (void)state;
    static char value[3 << 20];
    memset(value, 'v', sizeof(value));
    uint64_t before = lines_said;
    for (int i = 0; i < 12; i++) {
        static const size_t bytes[] = {70000, 10, 3 << 20, 65500, 65600, 100, 600000};
        model_set(&scene->store, SLICE("large"), slice_of(value, bytes[i % 7]), 0);
        note_lines();
        scene_settle(1);
    }
    changes(10);
    for (uint64_t index = before; index < lines_said; index++) {
        is_read_from(index);
    }
}

static void test_a_compaction_begins_while_it_is_read(void **state) {
    (void)state;
    struct archive_reader *reader = open_at(3);
    uint64_t index = 3;
    assert_int_equal(take(reader, &index, 1), ARCHIVE_LINES);
    scene_compact_to(JOURNAL_PHASE_STATE);
    scene->is_whole = false; /* the state waits */
    changes(30);
    assert_int_equal(scene->journal->map.count, 2);
    assert_int_equal(take(reader, &index, SIZE_MAX), ARCHIVE_LATER);
    assert_int_equal(index, lines_said);
    for (uint64_t from = 0; from < lines_said; from += 1 + random_below(&scene->random, 50)) {
        is_read_from(from); /* from the older one into the newer */
    }
    closes(reader);
}

static void test_a_segment_goes_that_is_being_read(void **state) {
    (void)state;
    struct archive_reader *reader = open_at(3), *late = open_at(3), *unread = open_at(3);
    uint64_t index = 3, late_index = 3;
    assert_int_equal(take(reader, &index, 1), ARCHIVE_LINES);
    assert_int_equal(take(late, &late_index, 1), ARCHIVE_LINES);
    scene_compact_to(JOURNAL_PHASE_STATE);
    changes(30);
    scene_reach(JOURNAL_PHASE_TAIL);
    scene_settle(5);
    changes(300);
    assert_int_equal(scene->journal->map.count, 1);
    assert_int_equal(take(reader, &index, SIZE_MAX), ARCHIVE_LATER);
    assert_int_equal(index, lines_said);
    assert_null(open_at(3));
    /* Which had not been opened yet. */
    uint64_t unread_index = 3;
    assert_int_equal(take(unread, &unread_index, SIZE_MAX), ARCHIVE_LOST);
    assert_int_equal(unread_index, 3);
    /* And the one behind it, too: of what it lacks nothing is left. */
    scene_compact_to(JOURNAL_PHASE_STATE);
    scene_reach(JOURNAL_PHASE_TAIL);
    scene_settle(5);
    changes(5);
    assert_int_equal(take(late, &late_index, SIZE_MAX), ARCHIVE_LOST);
    closes(unread);
    closes(late);
    closes(reader);
    is_read_from(lines_said - 3);
}

static void test_another_history_or_lost_lines_end_it(void **state) {
    (void)state;
    for (int way = 0; way < 2; way++) {
        uint64_t index = history_index(scene->history) - 1;
        struct archive_reader *reader = open_at(index);
        struct slice lines;
        uint64_t last;
        assert_int_equal(next(reader, &lines, &last), ARCHIVE_LINES);
        if (way == 0) {
            scene_lose_lines();
        } else {
            scene_take_state(2000, 7);
        }
        assert_int_equal(next(reader, &lines, &last), ARCHIVE_LOST);
        assert_null(open_at(index)); /* before the journal has heard of it */
        scene_pass_ms(2000);
        scene_reach(JOURNAL_PHASE_TAIL);
        assert_int_equal(next(reader, &lines, &last), ARCHIVE_LOST); /* nor does it come back */
        closes(reader);
        scene_change();
        scene_settle(5);
        reader = open_at(history_index(scene->history) - 1);
        assert_non_null(reader);
        assert_int_equal(next(reader, &lines, &last), ARCHIVE_LINES);
        closes(reader);
    }
}

static void test_what_recovery_has_read_is_there_again(void **state) {
    (void)state;
    uint64_t before = lines_said;
    history_close(scene->history, &watch);
    scene_start_again();
    assert_true(history_open(scene->history, &watch, history_index(scene->history)));
    for (uint64_t index = 0; index < before; index += 1 + random_below(&scene->random, 50)) {
        is_read_from(index);
    }
    changes(20);
    is_read_from(before - 1);
    /* A compaction that a crash has ended: two segments. */
    scene_compact_to(JOURNAL_PHASE_STATE);
    scene->is_whole = false;
    changes(20);
    history_close(scene->history, &watch);
    scene_start_again();
    assert_true(history_open(scene->history, &watch, history_index(scene->history)));
    assert_int_equal(scene->journal->map.count, 2);
    is_read_from(0);
    is_read_from(lines_said - 10);
}

static void test_damage_is_never_a_line(void **state) {
    (void)state;
    char name[JOURNAL_NAME_BYTES], byte, other;
    scene_settle(5);
    journal_segment_name(name, scene->journal->number);
    for (int i = 0; i < 200; i++) {
        struct journal_line_map map = scene->journal->map;
        int directory = open(scene->place.path, O_RDONLY | O_DIRECTORY);
        int fd = openat(directory, name, O_RDWR);
        off_t at = (off_t)random_below(&scene->random, scene->journal->offset);
        assert_int_equal(pread(fd, &byte, 1, at), 1);
        other = (char)(byte ^ 1 << random_below(&scene->random, 8));
        assert_int_equal(pwrite(fd, &other, 1, at), 1);
        uint64_t index = random_below(&scene->random, 50), from = index;
        struct archive_reader *reader = open_at(index);
        enum archive_result result = take(reader, &index, SIZE_MAX); /* compares */
        closes(reader);
        if (result == ARCHIVE_LOST) {
            assert_null(open_at(from)); /* the next one is sent the state */
            assert_null(open_at(lines_said));
        } else {
            assert_int_equal(index, lines_said); /* it was before the place that was begun at */
        }
        scene->journal->map = map;
        assert_int_equal(pwrite(fd, &byte, 1, at), 1);
        close(fd);
        close(directory);
    }
    is_read_from(0);
}

static void test_a_disk_that_cannot_be_read(void **state) {
    (void)state;
    for (int i = 1; i <= 3; i++) {
        struct journal_line_map map = scene->journal->map;
        reads_until_error = i;
        uint64_t index = 0;
        struct archive_reader *reader = open_at(index);
        enum archive_result result = take(reader, &index, SIZE_MAX);
        bool has_failed = reads_until_error == 0;
        assert_int_equal(result, has_failed ? ARCHIVE_LOST : ARCHIVE_LATER);
        assert_true(i > 1 || has_failed);
        closes(reader);
        scene->journal->map = map;
        reads_until_error = 0;
    }
    int (*openat_before)(void *, int, const char *, int, mode_t) = scene->disk->disk.openat;
    scene->disk->disk.openat = failing_openat;
    struct archive_reader *reader = open_at(0);
    uint64_t index = 0;
    assert_int_equal(take(reader, &index, SIZE_MAX), ARCHIVE_LOST);
    closes(reader);
    scene->disk->disk.openat = openat_before;
}

static void test_a_few_read_at_once_and_take_turns(void **state) {
    (void)state;
    struct archive_reader *readers[JOURNAL_READERS];
    uint64_t at[JOURNAL_READERS] = {0};
    for (size_t i = 0; i < JOURNAL_READERS; i++) {
        readers[i] = open_at(0);
        assert_non_null(readers[i]);
    }
    assert_null(open_at(0));
    struct slice lines;
    uint64_t last;
    for (size_t i = 0; i < JOURNAL_READERS; i++) {
        assert_int_equal(journal_archive_read(readers[i], &lines, &last), ARCHIVE_LATER);
    }
    journal_archive_close(readers[0]); /* while the thread is at work on it */
    for (size_t i = 1; i < JOURNAL_READERS; i++) {
        assert_int_equal(take(readers[i], &at[i], SIZE_MAX), ARCHIVE_LATER);
        assert_int_equal(at[i], lines_said);
    }
    readers[0] = open_at(0); /* there is room again */
    assert_non_null(readers[0]);
    assert_null(open_at(0));
    for (size_t i = 0; i < JOURNAL_READERS; i++) {
        closes(readers[i]);
    }
    assert_null(scene->journal->readers);
    assert_non_null(open_at(0)); /* who is left is freed with the journal */
}

static void test_only_as_much_as_is_asked_for(void **state) {
    (void)state;
    assert_null(journal_archive_open(scene->journal, 0, buf_used(&said)));
    struct archive_reader *reader =
        journal_archive_open(scene->journal, 0, buf_used(&said) + lines_said * JOURNAL_OVERHEAD_BYTES);
    assert_non_null(reader);
    assert_non_null(scene->journal->archivist);
    closes(reader);
}

int main(void) {
#define LIFE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        LIFE(test_from_any_line_on),
        LIFE(test_long_lines),
        LIFE(test_a_compaction_begins_while_it_is_read),
        LIFE(test_a_segment_goes_that_is_being_read),
        LIFE(test_another_history_or_lost_lines_end_it),
        LIFE(test_what_recovery_has_read_is_there_again),
        LIFE(test_damage_is_never_a_line),
        LIFE(test_a_disk_that_cannot_be_read),
        LIFE(test_a_few_read_at_once_and_take_turns),
        LIFE(test_only_as_much_as_is_asked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
