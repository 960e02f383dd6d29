#include "server/net/loop.h"

#include "tests/unit/loop_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

/* In place of the C library's: a clock that somebody sets, and that goes on by being looked at, however busy
 * the machine is; the system's where it is waited for. */
static bool clock_is_real;
static int64_t clock_us; /* looks */
static int64_t clock_set_s, clock_set_ms;
static int64_t clock_stopped_s; /* so long this process was stopped in all */
int clock_gettime(clockid_t clock, struct timespec *out) {
    enum { MONOTONIC_S = 1000, REALTIME_S = 1800000000 };
    if (clock_is_real || (clock != CLOCK_MONOTONIC && clock != CLOCK_REALTIME)) {
        return (int)syscall(SYS_clock_gettime, clock, out);
    }
    int64_t us = (clock_stopped_s + MONOTONIC_S) * 1000000 + ++clock_us;
    if (clock == CLOCK_REALTIME) {
        us += (REALTIME_S + clock_set_s) * 1000000 + clock_set_ms * 1000;
    }
    *out = (struct timespec){.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000};
    return 0;
}

static struct loop *loop;
static char transcript[256]; /* what happened, a letter each */

static void note(char letter) {
    size_t n = strlen(transcript);
    assert_true(n + 1 < sizeof(transcript));
    transcript[n] = letter;
    transcript[n + 1] = '\0';
}

static int setup(void **state) {
    (void)state;
    transcript[0] = '\0';
    loop = loop_create();
    return loop == NULL ? -1 : 0;
}

static int setup_waiting(void **state) {
    clock_is_real = true;
    return setup(state);
}

static int teardown(void **state) {
    (void)state;
    clock_is_real = false;
    loop_destroy(&loop);
    return loop == NULL ? 0 : -1;
}

static void iterate(void) { ev_run(loop_ev(loop), EVRUN_NOWAIT); }

static void spin_us(uint64_t us) {
    uint64_t until_us = loop_monotonic_us() + us;
    while (loop_monotonic_us() < until_us) {
    }
}

/* --- hooks */

struct noting_hook {
    struct loop_hook hook;
    char letter;
    bool leaves;                /* removes itself when it runs */
    struct noting_hook *victim; /* removes that one */
};

static void run_noting(void *context) {
    struct noting_hook *self = context;
    note(self->letter);
    if (self->leaves) {
        loop_remove_hook(loop, &self->hook);
    }
    if (self->victim != NULL) {
        loop_remove_hook(loop, &self->victim->hook);
    }
}

/* Whatever the order in which their owners were made. */
static void test_hooks_run_phase_by_phase(void **state) {
    (void)state;
    static const char letters[LOOP_PHASES] = {'t', 'h', 'c', 'm', 'n'};
    struct noting_hook hooks[2 * LOOP_PHASES];
    for (int i = 2 * LOOP_PHASES - 1; i >= 0; i--) {
        hooks[i] = (struct noting_hook){.letter = letters[i % LOOP_PHASES]};
        hooks[i].letter = (char)(hooks[i].letter - (i < LOOP_PHASES ? 'a' - 'A' : 0));
        hooks[i].hook = (struct loop_hook){.run = run_noting, .context = &hooks[i]};
        loop_add_hook(loop, (enum loop_phase)(i % LOOP_PHASES), &hooks[i].hook);
    }
    iterate();
    assert_string_equal(transcript, "hHcCmMnNtT"); /* before the poll all but the turns, which come after it */
    loop_remove_hook(loop, &hooks[LOOP_COMMIT].hook);
    loop_remove_hook(loop, &hooks[LOOP_TURNS].hook);
    iterate();
    assert_string_equal(transcript, "hHcCmMnNtThHcmMnNt");
}

static void note_event(struct ev_loop *ev, ev_timer *timer, int events) {
    (void)ev, (void)timer, (void)events;
    note('e');
}

static void test_turns_come_behind_the_callbacks(void **state) {
    (void)state;
    struct noting_hook turns = {.letter = 't'};
    turns.hook = (struct loop_hook){.run = run_noting, .context = &turns};
    loop_add_hook(loop, LOOP_TURNS, &turns.hook);
    ev_timer timer;
    ev_timer_init(&timer, note_event, 0.0, 0.0);
    ev_timer_start(loop_ev(loop), &timer);
    iterate();
    assert_string_equal(transcript, "et");
}

static void test_hooks_may_go_while_they_run(void **state) {
    (void)state;
    struct noting_hook hooks[4] = {
        {.letter = 'a'}, {.letter = 'b'}, {.letter = 'c'}, {.letter = 'd', .leaves = true}};
    for (int i = 0; i < 4; i++) {
        hooks[i].hook = (struct loop_hook){.run = run_noting, .context = &hooks[i]};
        loop_add_hook(loop, LOOP_NET, &hooks[i].hook);
    }
    hooks[1].victim = &hooks[2]; /* the next in turn */
    iterate();
    assert_string_equal(transcript, "abd");
    hooks[1].victim = NULL;
    iterate();
    assert_string_equal(transcript, "abdab");
}

/* --- tasks */

struct counting_task {
    struct task task;
    int steps, last; /* the step that returns false */
    uint64_t step_us;
    char letter;
};

static bool step_counting(void *context) {
    struct counting_task *self = context;
    if (self->letter != '\0') {
        note(self->letter);
    }
    spin_us(self->step_us);
    return ++self->steps != self->last;
}

static void test_task_runs_until_it_is_done(void **state) {
    (void)state;
    struct counting_task one = {.last = 5};
    one.task = (struct task){.step = step_counting, .context = &one};
    task_start(loop, &one.task);
    task_start(loop, &one.task); /* nothing */
    assert_true(task_active(&one.task));
    iterate();
    assert_int_equal(one.steps, 5);
    assert_false(task_active(&one.task));
    iterate();
    assert_int_equal(one.steps, 5);
    task_stop(loop, &one.task); /* nothing */
}

static void test_tasks_take_turns_within_the_budget(void **state) {
    (void)state;
    struct counting_task a = {.letter = 'a', .step_us = LOOP_TASK_BUDGET_US + 1};
    struct counting_task b = {.letter = 'b', .step_us = LOOP_TASK_BUDGET_US + 1};
    a.task = (struct task){.step = step_counting, .context = &a};
    b.task = (struct task){.step = step_counting, .context = &b};
    task_start(loop, &a.task);
    task_start(loop, &b.task);
    for (int i = 0; i < 4; i++) {
        iterate(); /* a step eats the whole budget: one an iteration, in turn */
    }
    assert_string_equal(transcript, "abab");
    task_stop(loop, &a.task);
    iterate();
    assert_string_equal(transcript, "ababb");
    task_stop(loop, &b.task);
}

static bool step_free_itself(void *context) {
    struct task *self = context;
    task_stop(loop, self);
    free(self);
    note('f');
    return true; /* whatever it says */
}

static bool step_start_again(void *context) {
    struct counting_task *self = context;
    note('r');
    task_stop(loop, &self->task);
    if (++self->steps < 3) {
        task_start(loop, &self->task);
    }
    return false;
}

static void test_task_may_stop_in_its_own_step(void **state) {
    (void)state;
    struct task *freed = calloc(1, sizeof(*freed));
    assert_non_null(freed);
    *freed = (struct task){.step = step_free_itself, .context = freed};
    task_start(loop, freed);
    iterate();
    assert_string_equal(transcript, "f");

    struct counting_task again = {0};
    again.task = (struct task){.step = step_start_again, .context = &again};
    task_start(loop, &again.task);
    loop_fixture_settle(loop);
    assert_string_equal(transcript, "frrr");
    assert_false(task_active(&again.task));
}

static void stop_by_timer(struct ev_loop *ev, ev_timer *timer, int events) {
    (void)ev;
    (void)timer;
    (void)events;
    loop_stop(loop);
}

static uint64_t iterations_in_50_ms(void) {
    ev_timer timer;
    ev_timer_init(&timer, stop_by_timer, 0.05, 0.0);
    ev_timer_start(loop_ev(loop), &timer);
    loop_stalls_reset(loop);
    loop_run(loop);
    return loop_stalls(loop).iterations;
}

static bool step_stop(void *context) {
    struct counting_task *self = context;
    spin_us(LOOP_TASK_BUDGET_US); /* one step an iteration */
    self->steps++;
    if (self->steps == self->last) {
        loop_stop(loop);
    }
    return true;
}

static void test_loop_waits_only_without_tasks(void **state) {
    (void)state;
    assert_in_range(iterations_in_50_ms(), 0, 5);
    struct counting_task busy = {.last = 20};
    busy.task = (struct task){.step = step_stop, .context = &busy};
    task_start(loop, &busy.task);
    loop_stalls_reset(loop);
    loop_run(loop); /* in which nothing else would end a wait */
    assert_in_range(loop_stalls(loop).iterations, 19, 20);
    task_stop(loop, &busy.task);
    iterate();
    assert_in_range(iterations_in_50_ms(), 0, 5);
}

/* --- clock, stop, stalls */

static void test_clock(void **state) {
    (void)state;
    int64_t unix_ms = loop_now_ms(loop), monotonic_ms = loop_monotonic_ms(loop);
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    assert_true(llabs(unix_ms / 1000 - now.tv_sec) <= 1);
    spin_us(3000);
    assert_int_equal(loop_now_ms(loop), unix_ms); /* as of this iteration */
    iterate();
    assert_true(loop_now_ms(loop) >= unix_ms + 2);
    assert_true(loop_monotonic_ms(loop) >= monotonic_ms + 2);
    assert_true(llabs(loop_monotonic_ms(loop) - (int64_t)(loop_monotonic_us() / 1000)) <= 1000);
}

/* The clock is asked ten times a second. */
static void set_clock(int64_t s, int64_t ms) {
    clock_set_s = s;
    clock_set_ms = ms;
    spin_us(110000);
    iterate();
}

static void test_the_clock_is_set(void **state) {
    (void)state;
    int64_t unix_ms = loop_now_ms(loop), monotonic_ms = loop_monotonic_ms(loop);
    set_clock(0, -900); /* put right by a little: it stands still meanwhile */
    assert_true(loop_now_ms(loop) >= unix_ms && loop_now_ms(loop) < unix_ms + 100);
    assert_true(loop_monotonic_ms(loop) >= monotonic_ms + 110);
    set_clock(-600, 0);
    assert_true(loop_now_ms(loop) < unix_ms - 590000 && loop_now_ms(loop) > unix_ms - 600000);
    assert_true(loop_monotonic_ms(loop) >= monotonic_ms + 220);
    assert_int_equal(loop_unix_ms_of(loop, loop_monotonic_ms(loop) - 5), loop_now_ms(loop) - 5);
    set_clock(0, 0);
    assert_true(loop_now_ms(loop) > unix_ms);
}

/* What has come meanwhile is read before any time-out is over. */
static void test_time_in_which_it_did_not_run_does_not_count(void **state) {
    (void)state;
    iterate();
    int64_t unix_ms = loop_now_ms(loop), monotonic_ms = loop_monotonic_ms(loop);
    clock_stopped_s += 3600;
    iterate();
    assert_true(loop_now_ms(loop) >= unix_ms + 3600000);
    assert_int_equal(loop_monotonic_ms(loop), monotonic_ms);
    iterate();
    assert_in_range(loop_monotonic_ms(loop), monotonic_ms + LOOP_GAP_MOST_MS,
                    monotonic_ms + 2 * LOOP_GAP_MOST_MS);
    /* One that is always held up gets on all the same. */
    monotonic_ms = loop_monotonic_ms(loop);
    for (int i = 0; i < 10; i++) {
        clock_stopped_s++;
        iterate();
    }
    assert_in_range(loop_monotonic_ms(loop), monotonic_ms + 9 * LOOP_GAP_MOST_MS,
                    monotonic_ms + 10 * LOOP_GAP_MOST_MS);
}

static void test_stop_before_run_is_kept(void **state) {
    (void)state;
    loop_stop(loop);
    loop_run(loop); /* returns */
    ev_timer timer;
    ev_timer_init(&timer, stop_by_timer, 0.001, 0.0);
    ev_timer_start(loop_ev(loop), &timer);
    loop_run(loop); /* once more, and the stop is used up */
}

static void test_stalls(void **state) {
    (void)state;
    struct counting_task slow = {.step_us = 20000, .last = 1};
    slow.task = (struct task){.step = step_counting, .context = &slow};
    iterate(); /* from now on there is a poll before each prepare */
    loop_stalls_reset(loop);
    for (int i = 0; i < 300; i++) {
        iterate();
    }
    struct loop_stalls quiet = loop_stalls(loop);
    assert_int_equal(quiet.iterations, 300);
    task_start(loop, &slow.task);
    iterate();
    struct loop_stalls stalled = loop_stalls(loop);
    assert_int_equal(stalled.iterations, 301);
    assert_true(stalled.max_us >= 20000);
    assert_true(stalled.p50_us < 20000);
    assert_true(stalled.p50_us <= stalled.p99_us && stalled.p99_us <= stalled.p999_us &&
                stalled.p999_us <= stalled.max_us);
    loop_stalls_reset(loop);
    assert_int_equal(loop_stalls(loop).max_us, 0);
}

#define LOOP_TEST(test)    cmocka_unit_test_setup_teardown(test, setup, teardown)
#define WAITING_TEST(test) cmocka_unit_test_setup_teardown(test, setup_waiting, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        LOOP_TEST(test_hooks_run_phase_by_phase),
        LOOP_TEST(test_turns_come_behind_the_callbacks),
        LOOP_TEST(test_hooks_may_go_while_they_run),
        LOOP_TEST(test_task_runs_until_it_is_done),
        LOOP_TEST(test_tasks_take_turns_within_the_budget),
        LOOP_TEST(test_task_may_stop_in_its_own_step),
        WAITING_TEST(test_loop_waits_only_without_tasks),
        LOOP_TEST(test_clock),
        LOOP_TEST(test_the_clock_is_set),
        LOOP_TEST(test_time_in_which_it_did_not_run_does_not_count),
        WAITING_TEST(test_stop_before_run_is_kept),
        LOOP_TEST(test_stalls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
