/* One iteration, from poll to poll:
 *
 *     poll -> check: read the clock -> watchers' callbacks -> TURNS -> prepare: tasks, HISTORY ... NET -> poll
 *             '------------------------- this is what the stall histogram counts ---------------------'
 *
 * libev calls the watchers of one poll last first. So what must be served in the order in which it became ready
 * only notes in its callback that it is, and is served in TURNS.
 */
#include "server/net/loop.h"

#include "server/net/histogram.h"

#include <ev.h>
#include <stddef.h>
#include <stdlib.h>
#include <time.h>

/* The offset between the two clocks moves only when somebody sets the time: it need not be asked for each
 * iteration. */
enum { REALTIME_CHECK_US = 100000, CLOCK_STEP_MS = 1000 };

struct loop {
    struct ev_loop *ev;
    ev_prepare prepare;
    ev_check check;
    ev_idle busy; /* active while there are tasks, so that the poll does not wait */

    int64_t now_ms;
    int64_t monotonic_ms;         /* awake_us in ms */
    uint64_t awake_us, owed_us;   /* owed: of a gap, to be added at the next iteration */
    uint64_t clock_us;            /* CLOCK_MONOTONIC as it was read last */
    int64_t realtime_offset_us;   /* CLOCK_REALTIME - CLOCK_MONOTONIC */
    uint64_t realtime_checked_us; /* monotonic time when the offset was read */

    struct loop_hook turns, flush; /* heads of rings: the hooks of TURNS; of all other phases, in their order */
    struct loop_hook *next_hook;   /* the one to run next, while hooks are run */
    bool polled;                   /* since TURNS */

    struct task tasks;     /* head of the ring of active ones */
    struct task *stepping; /* whose step is being called, NULL when it was stopped meanwhile */

    uint64_t woke_us; /* when the last poll returned; 0 before the first one */
    struct histogram stalls;
    bool stopping;
};

static uint64_t clock_us(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000U + (uint64_t)now.tv_nsec / 1000U;
}

uint64_t loop_monotonic_us(void) { return clock_us(CLOCK_MONOTONIC); }

bool loop_budget_spent(uint64_t *began_us, uint64_t budget_us) {
    uint64_t now_us = loop_monotonic_us();
    if (*began_us == 0) {
        *began_us = now_us;
    }
    return now_us - *began_us >= budget_us;
}

static void count_awake(struct loop *loop, uint64_t us) {
    uint64_t gap_us = us - loop->clock_us;
    uint64_t most_us = LOOP_GAP_MOST_MS * UINT64_C(1000);
    loop->awake_us += loop->owed_us + (gap_us <= most_us ? gap_us : 0);
    loop->owed_us = gap_us <= most_us ? 0 : most_us;
    loop->monotonic_ms = (int64_t)(loop->awake_us / 1000U);
    loop->clock_us = us;
}

static void update_clock(struct loop *loop) {
    uint64_t us = loop_monotonic_us();
    count_awake(loop, us);
    if (loop->realtime_checked_us == 0 || us - loop->realtime_checked_us >= REALTIME_CHECK_US) {
        loop->realtime_offset_us = (int64_t)(clock_us(CLOCK_REALTIME) - us);
        loop->realtime_checked_us = us;
    }
    loop->woke_us = us;
    int64_t now_ms = ((int64_t)us + loop->realtime_offset_us) / 1000;
    /* What the clock is put right by stands still until it is over. A step back is followed: a clock that stood
     * for an hour would keep for an hour what is to expire in a second. */
    if (now_ms > loop->now_ms || loop->now_ms - now_ms > CLOCK_STEP_MS) {
        loop->now_ms = now_ms;
    }
}

static void run_hooks(struct loop *loop, struct loop_hook *head) {
    for (struct loop_hook *hook = head->next; hook != head; hook = loop->next_hook) {
        loop->next_hook = hook->next;
        hook->run(hook->context);
    }
    loop->next_hook = NULL;
}

static void run_tasks(struct loop *loop) {
    uint64_t begin_us = 0;
    while (loop->tasks.next != &loop->tasks) {
        uint64_t us = loop_monotonic_us();
        if (begin_us == 0) {
            begin_us = us;
        } else if (us - begin_us >= LOOP_TASK_BUDGET_US) {
            return;
        }
        struct task *task = loop->tasks.next;
        task_stop(loop, task); /* to the end of the ring: the next iteration goes on with the next task */
        task_start(loop, task);
        loop->stepping = task;
        bool more = task->step(task->context);
        /* A step that stopped its task may have freed it too: then it is not looked at again. */
        if (!more && loop->stepping == task) {
            task_stop(loop, task);
        }
        loop->stepping = NULL;
    }
}

static void on_check(struct ev_loop *ev, ev_check *watcher, int events) {
    (void)ev;
    (void)events;
    struct loop *loop = watcher->data;
    update_clock(loop);
    loop->polled = true;
}

/* libev calls this in place of its own: also where there was no poll, before the first callback of prepare. */
static void invoke_pending(struct ev_loop *ev) {
    struct loop *loop = ev_userdata(ev);
    ev_invoke_pending(ev);
    if (loop->polled) {
        loop->polled = false;
        run_hooks(loop, &loop->turns);
    }
}

static void on_prepare(struct ev_loop *ev, ev_prepare *watcher, int events) {
    (void)events;
    struct loop *loop = watcher->data;
    run_tasks(loop);
    run_hooks(loop, &loop->flush);
    bool busy = loop->tasks.next != &loop->tasks;
    if (busy != (ev_is_active(&loop->busy) != 0)) {
        if (busy) {
            ev_idle_start(ev, &loop->busy);
        } else {
            ev_idle_stop(ev, &loop->busy);
        }
    }
    if (loop->woke_us != 0) {
        histogram_record(&loop->stalls, loop_monotonic_us() - loop->woke_us);
    }
}

static void on_idle(struct ev_loop *ev, ev_idle *watcher, int events) {
    (void)ev;
    (void)watcher;
    (void)events;
}

struct loop *loop_create(void) {
    struct loop *loop = calloc(1, sizeof(*loop));
    if (loop == NULL) {
        return NULL;
    }
    loop->ev = ev_loop_new(EVFLAG_AUTO);
    if (loop->ev == NULL) {
        free(loop);
        return NULL;
    }
    loop->tasks.next = loop->tasks.prev = &loop->tasks;
    loop->turns.next = loop->turns.prev = &loop->turns;
    loop->flush.next = loop->flush.prev = &loop->flush;
    ev_set_userdata(loop->ev, loop);
    ev_set_invoke_pending_cb(loop->ev, invoke_pending);
    loop->clock_us = loop->awake_us = loop_monotonic_us();
    update_clock(loop);
    loop->woke_us = 0;

    ev_prepare_init(&loop->prepare, on_prepare);
    loop->prepare.data = loop;
    ev_set_priority(&loop->prepare, EV_MINPRI);
    ev_prepare_start(loop->ev, &loop->prepare);
    ev_check_init(&loop->check, on_check);
    loop->check.data = loop;
    ev_set_priority(&loop->check, EV_MAXPRI);
    ev_check_start(loop->ev, &loop->check);
    ev_idle_init(&loop->busy, on_idle);
    return loop;
}

void loop_destroy(struct loop **loop) {
    if (*loop == NULL) {
        return;
    }
    ev_loop_destroy((*loop)->ev);
    free(*loop);
    *loop = NULL;
}

struct ev_loop *loop_ev(const struct loop *loop) {
    return loop->ev;
}

void loop_run(struct loop *loop) {
    while (!loop->stopping) {
        ev_run(loop->ev, 0);
    }
    loop->stopping = false;
}

void loop_stop(struct loop *loop) {
    loop->stopping = true;
    ev_break(loop->ev, EVBREAK_ALL);
}

int64_t loop_now_ms(const struct loop *loop) { return loop->now_ms; }

int64_t loop_monotonic_ms(const struct loop *loop) { return loop->monotonic_ms; }

int64_t loop_unix_ms_of(const struct loop *loop, int64_t monotonic_ms) {
    return loop->now_ms - (loop->monotonic_ms - monotonic_ms);
}

void loop_add_hook(struct loop *loop, enum loop_phase phase, struct loop_hook *hook) {
    struct loop_hook *head = phase == LOOP_TURNS ? &loop->turns : &loop->flush, *before = head;
    while (before->prev != head && before->prev->phase > phase) {
        before = before->prev;
    }
    hook->phase = phase;
    hook->prev = before->prev;
    hook->next = before;
    hook->prev->next = hook;
    before->prev = hook;
}

void loop_remove_hook(struct loop *loop, struct loop_hook *hook) {
    if (loop->next_hook == hook) {
        loop->next_hook = hook->next;
    }
    hook->next->prev = hook->prev;
    hook->prev->next = hook->next;
    hook->next = hook->prev = NULL;
}

void task_start(struct loop *loop, struct task *task) {
    if (task_active(task)) {
        return;
    }
    task->prev = loop->tasks.prev;
    task->next = &loop->tasks;
    task->prev->next = task;
    task->next->prev = task;
}

void task_stop(struct loop *loop, struct task *task) {
    if (loop->stepping == task) {
        loop->stepping = NULL;
    }
    if (!task_active(task)) {
        return;
    }
    task->prev->next = task->next;
    task->next->prev = task->prev;
    task->next = task->prev = NULL;
}

bool task_active(const struct task *task) { return task->next != NULL; }

struct loop_stalls loop_stalls(const struct loop *loop) {
    return (struct loop_stalls){
        .p50_us = histogram_percentile(&loop->stalls, 50),
        .p99_us = histogram_percentile(&loop->stalls, 99),
        .p999_us = histogram_percentile(&loop->stalls, 99.9),
        .max_us = loop->stalls.max_us,
        .iterations = loop->stalls.total,
    };
}

void loop_stalls_reset(struct loop *loop) { histogram_reset(&loop->stalls); }
