/* loop_fixture.h: to run a loop until a condition holds, with a limit. */
#ifndef KVNODE_TESTS_UNIT_LOOP_FIXTURE_H
#define KVNODE_TESTS_UNIT_LOOP_FIXTURE_H

#include "server/net/loop.h"

#include <ev.h>

/* Much longer than the time-outs of what is tested, which a busy machine makes longer still. */
enum { LOOP_FIXTURE_LIMIT_MS = 60000 };

static inline void loop_fixture_tick(struct ev_loop *ev, ev_timer *watcher, int events) {
    (void)ev;
    (void)watcher;
    (void)events;
}

/* Runs iterations until done(context), or for limit_ms; says whether done. */
static inline bool loop_fixture_run(struct loop *loop, bool (*done)(void *context), void *context,
                                    unsigned limit_ms) {
    ev_timer tick; /* so that no iteration waits for long */
    ev_timer_init(&tick, loop_fixture_tick, 0.005, 0.005);
    ev_timer_start(loop_ev(loop), &tick);
    uint64_t until_us = loop_monotonic_us() + (uint64_t)limit_ms * 1000U;
    bool is_done = done(context);
    while (!is_done && loop_monotonic_us() < until_us) {
        ev_run(loop_ev(loop), EVRUN_ONCE);
        is_done = done(context);
    }
    ev_timer_stop(loop_ev(loop), &tick);
    return is_done;
}

static inline bool loop_fixture_until(struct loop *loop, bool (*done)(void *context), void *context) {
    return loop_fixture_run(loop, done, context, LOOP_FIXTURE_LIMIT_MS);
}

/* A few iterations, without waiting: what was to happen at once has happened. */
static inline void loop_fixture_settle(struct loop *loop) {
    for (int i = 0; i < 20; i++) {
        ev_run(loop_ev(loop), EVRUN_NOWAIT);
    }
}

#endif
