/* loop.h: the event loop with its clock, its background tasks and its stall histogram.
 *
 * One loop, one thread. The clock is read once an iteration. Background work (listing a million keys, a state
 * transfer, freeing a flushed table) is a task: a step function that does a bounded slice (at most about 100
 * us) and says whether there is more. Active tasks take turns; all of them together get at most
 * LOOP_TASK_BUDGET_US an iteration.
 */
#ifndef KVNODE_SERVER_NET_LOOP_H
#define KVNODE_SERVER_NET_LOOP_H

#include <stdbool.h>
#include <stdint.h>

enum {
    LOOP_TASK_BUDGET_US = 500,
    LOOP_GAP_MOST_MS = 500, /* what an iteration adds to the monotonic clock at most */
};

struct ev_loop;
struct loop;

struct loop *loop_create(void); /* NULL: libev has no usable backend, or out of memory */
void loop_destroy(struct loop **loop);
struct ev_loop *loop_ev(const struct loop *loop);
void loop_run(struct loop *loop); /* until loop_stop */
void loop_stop(struct loop *loop);

/* Both as of this iteration. Unix ms is for data and for people; it may jump, but goes back only when the
 * system's clock was set back by more than a second.
 *
 * Monotonic ms is for everything that waits, and counts only time in which this process could have acted: while
 * it was stopped, or held up by its own work, nothing that others did could be seen, and no time-out may be
 * held against them. After such a gap the clock stands still for one iteration, in which what has come
 * meanwhile is read, and then goes on by LOOP_GAP_MOST_MS. (Who waits has a timer: no poll is as long.) */
int64_t loop_now_ms(const struct loop *loop);
int64_t loop_monotonic_ms(const struct loop *loop);
/* The Unix ms of a monotonic moment, by the clock of today. */
int64_t loop_unix_ms_of(const struct loop *loop, int64_t monotonic_ms);
uint64_t loop_monotonic_us(void); /* the clock itself, now */
/* For work that is not to hold up all the rest: has it taken budget_us? *began_us is 0 before the first call,
 * which notes when that was. */
bool loop_budget_spent(uint64_t *began_us, uint64_t budget_us);

/* Once an iteration, phase by phase in this order: what has gathered during it is dealt with for all at once.
 */
enum loop_phase {
    LOOP_TURNS,   /* right behind the watchers' callbacks: conns read, serve and write */
    LOOP_HISTORY, /* what was written goes to its readers: journal, followers */
    LOOP_COMMIT,  /* what waits for those may leave now */
    LOOP_CLIENTS, /* messages for others than the client of the moment */
    LOOP_NET,     /* what is left of the conns: those that are closed are freed */
    LOOP_PHASES,
};

/* Intrusive; its owner removes it before it goes. A hook may add and remove any, itself included, while it
 * runs; those of a phase run in the order in which they were added. */
struct loop_hook {
    void (*run)(void *context);
    void *context;
    struct loop_hook *next, *prev; /* inside, as is the phase */
    enum loop_phase phase;
};
void loop_add_hook(struct loop *loop, enum loop_phase phase, struct loop_hook *hook);
void loop_remove_hook(struct loop *loop, struct loop_hook *hook);

/* A background task. Embedded in its owner, zero-initialised but for step and context. */
struct task {
    bool (*step)(void *context); /* a bounded slice; false: nothing more to do now, the task is stopped */
    void *context;
    struct task *next, *prev; /* both NULL when not active */
};
void task_start(struct loop *loop, struct task *task); /* nothing if it is active */
void task_stop(struct loop *loop,
               struct task *task); /* nothing if it is not; may be called from its own step */
bool task_active(const struct task *task);

/* Time between a poll's return and the next poll, in us. */
struct loop_stalls {
    uint64_t p50_us, p99_us, p999_us, max_us, iterations;
};
struct loop_stalls loop_stalls(const struct loop *loop);
void loop_stalls_reset(struct loop *loop);

#endif
