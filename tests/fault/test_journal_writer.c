/* A journal writes a state, and another one, while memory fails: what is said to be there is there, and it goes
 * on when there is memory. */
#include "server/journal/journal.h"

#include "tests/fault/failing_heap.h"
#include "tests/unit/journal_scene.h"

/* What the journal does in its own iterations, not what clients and the store do. */
static void turns_without_memory(int n) {
    for (int i = 0; i < n; i++) {
        fault_arm();
        worker_wait(scene->journal->worker);
        worker_wait(scene->journal->janitor);
        fault_disarm();
        played_clock_pass_ms(1);
        fault_arm();
        ev_run(loop_ev(scene->loop), EVRUN_NOWAIT);
        fault_disarm();
        scene_read_answers();
    }
}

static void run(void) {
    scene_begin(JOURNAL_FSYNC_EVERYSEC, (struct random){1});
    scene_fill();
    turns_without_memory(15);
    journal_compact(scene->journal);
    for (int n = 4; n < 500; n *= 3) { /* so many that there is no room yet for them */
        for (int i = 0; i < n; i++) {
            scene_change();
        }
        turns_without_memory(1);
    }
    turns_without_memory(10);
    fault_memory_is_back();
    scene_pass_ms(3000);
    scene_goes_on();
    scene_finishes();
    scene_crash_everywhere(0);
    scene_end();
}

static void what_is_told_is_there(void **state) {
    (void)state;
    fault_each(run);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_is_told_is_there)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
