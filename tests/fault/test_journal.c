/* A node's first start in a directory of its own, and its next one, in which the journal is read again; while
 * memory fails. A start is refused with a reason, or it reads what is there: no failure makes it less, or cuts
 * it off. */
#include "server/journal/recovery.h"
#include "tests/fault/failing_heap.h"
#include "tests/unit/journal_fixture.h"
#include "tests/unit/journal_story.h"

static const char *count_line(void *context, enum journal_kind kind, struct slice line, uint64_t index) {
    (void)kind;
    (void)line;
    (void)index;
    ++*(size_t *)context;
    return NULL;
}

static void write_segments(const struct place *place) {
    struct pen pen;
    size_t synced_at;
    story_first_segment(&pen, &synced_at);
    place_write(place, "journal-0000000001.log", buf_slice(&pen.out));
    pen_deinit(&pen);
    story_second_segment(&pen, &synced_at);
    place_write(place, "journal-0000000002.log", buf_slice(&pen.out));
    pen_deinit(&pen);
}

/* NULL: refused, for want of memory. */
static struct journal_directory *start(const struct place *place) {
    char reason[JOURNAL_REASON_BYTES];
    size_t failures = fault_count();
    fault_arm();
    struct journal_directory *directory =
        journal_directory_open(&(struct journal_wish){.path = place->path}, &journal_disk_system, reason);
    fault_disarm();
    if (directory == NULL && (fault_count() == failures || reason[0] == '\0')) {
        fault_fail("refused: %s", reason);
    }
    return directory;
}

/* True: it was read. */
static bool recover(struct journal_directory *directory) {
    size_t lines = 0, failures = fault_count();
    fault_arm();
    struct journal_recovery *recovery = journal_recovery_create(directory, count_line, &lines);
    enum journal_step step =
        recovery == NULL ? JOURNAL_STEP_REFUSED : journal_recovery_step(recovery, SIZE_MAX);
    fault_disarm();
    const struct journal_found *found = recovery == NULL ? NULL : journal_recovery_found(recovery);
    if (step == JOURNAL_STEP_DONE) {
        assert_int_equal(found->index, STORY_LAST_INDEX);
        assert_int_equal(found->cut_bytes + found->dropped, 0);
        assert_int_equal(lines, 27);
    } else if (fault_count() == failures || (found != NULL && strstr(found->reason, "emory") == NULL)) {
        fault_fail("refused: %s", found == NULL ? "" : found->reason);
    }
    journal_recovery_destroy(&recovery);
    return step == JOURNAL_STEP_DONE;
}

static void run(void) {
    struct place place;
    place_make(&place);
    struct journal_directory *directory = start(&place);
    journal_directory_close(&directory);
    fault_memory_is_back();
    directory = start(&place);
    journal_directory_close(&directory);
    place_remove(&place);
}

static void run_again(void) {
    struct place place;
    place_make(&place);
    char reason[JOURNAL_REASON_BYTES];
    struct journal_directory *directory =
        journal_directory_open(&(struct journal_wish){.path = place.path}, &journal_disk_system, reason);
    write_segments(&place);
    if (!recover(directory)) {
        fault_memory_is_back();
        assert_true(recover(directory));
    }
    journal_directory_close(&directory);
    place_remove(&place);
}

static void test_a_first_start(void **state) {
    (void)state;
    fault_each(run);
}

static void test_a_start_that_reads(void **state) {
    (void)state;
    fault_each(run_again);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_first_start),
        cmocka_unit_test(test_a_start_that_reads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
