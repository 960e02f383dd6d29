#include "server/journal/journal_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TIMER_S 0.1
enum { PRESSURE_BYTES = 16 << 20 /* over what the history keeps anyway */ };

/* --- Once an iteration --- */

static void note_pressure(struct journal *journal) {
    const struct history *history = journal->config.history;
    size_t limit = history_limit_bytes(history), bytes = history_backlog_bytes(history);
    bool high = !history_at_end(history, &journal->reader) && bytes > limit + PRESSURE_BYTES;
    journal->reader.pinned = bytes <= limit + JOURNAL_BEHIND_BYTES; /* a leader far away does not wait */
    if (high != journal->high) {
        journal->high = high;
        journal->config.on_pressure(journal->config.context, high);
    }
}

static bool has_grown(const struct journal *journal) {
    uint64_t tail = journal->offset - journal->state_bytes;
    return journal->phase == JOURNAL_PHASE_TAIL && tail > JOURNAL_COMPACT_FROM_BYTES &&
           (double)tail > journal->config.compact_ratio * (double)journal->state_bytes;
}

static bool may_switch(const struct journal *journal) {
    bool hurries = journal->phase == JOURNAL_PHASE_STATE &&
                   !journal->ends && /* lines are lost over and over: bare ones, or no memory */
                   loop_monotonic_ms(journal->loop) - journal->switched_ms < JOURNAL_RETRY_MS;
    return journal->wanted && !hurries && !worker_busy(journal->janitor) && buf_used(&journal->out) == 0 &&
           journal->config.is_whole(journal->config.context);
}

static void run_timer(struct journal *journal) {
    bool due = journal->trouble != NULL || journal->wanted || journal_is_meta_due(journal) ||
               (journal->config.fsync != JOURNAL_FSYNC_NO && journal->offset != journal->synced_offset);
    if (due && !ev_is_active(&journal->timer)) {
        ev_timer_again(loop_ev(journal->loop), &journal->timer);
    } else if (!due && ev_is_active(&journal->timer)) {
        ev_timer_stop(loop_ev(journal->loop), &journal->timer);
    }
}

static void work(struct journal *journal) {
    bool takes = journal->counts || !journal->wanted;
    bool stuck = journal->trouble != NULL && buf_used(&journal->out) > 0; /* it would grow, and grow */
    if (journal->fd >= 0 && takes && !stuck && !journal_encode(journal)) {
        journal->wanted = true;
    }
    if (journal->fd >= 0) {
        journal_write(journal);
    }
    journal->wanted |= has_grown(journal);
    if (journal->trouble != NULL && journal->fd >= 0 && buf_used(&journal->out) > 0) {
        return;
    }
    if (may_switch(journal)) {
        journal_switch(journal);
    } else if (journal->fd >= 0) {
        journal_sync_if_due(journal);
    }
    if (journal->phase == JOURNAL_PHASE_STATE && !worker_busy(journal->worker)) {
        task_start(journal->loop, &journal->state_task);
    }
}

static void pump(void *context) {
    struct journal *journal = context;
    ev_idle_stop(loop_ev(journal->loop), &journal->soon);
    if (journal->failed) {
        return;
    }
    journal_follow_history(journal);
    journal_write_meta_if_due(journal); /* before a sync that is due takes the thread, and the next one */
    bool waits = journal->trouble != NULL && loop_monotonic_ms(journal->loop) < journal->retry_ms;
    if (!worker_busy(journal->worker) && !waits) {
        work(journal);
    }
    note_pressure(journal);
    run_timer(journal);
}

static void on_timer(struct ev_loop *ev, ev_timer *timer, int events) {
    (void)ev, (void)timer, (void)events; /* an iteration is all that is wanted */
}

static void on_soon(struct ev_loop *ev, ev_idle *idle, int events) {
    (void)ev, (void)idle, (void)events; /* likewise, at once */
}

/* --- Life --- */

/* lied: what the disk has said that it is, it may not be: not even what was read from it again. */
static void take_tail(struct journal *journal, const struct journal_tail *tail, bool lied) {
    struct history *history = journal->config.history;
    journal->fd = -1;
    journal->number = tail->number;
    journal->next_number = tail->next_number;
    journal->history_id = history_id(history);
    journal->base = 1; /* no ticket is 0 */
    journal->top = journal->safe = journal->base + history_index(history);
    if (tail->offset == 0 || lied) {
        journal->wanted = true;
        journal->safe = lied ? 0 : journal->safe;
        return;
    }
    journal->fd = journal_directory_open_segment(journal->config.directory, tail->number, true);
    if (journal->fd < 0 || !history_open(history, &journal->reader, history_index(history))) {
        journal->wanted = true; /* what is there stays until a new one is whole */
        return;
    }
    journal->phase = JOURNAL_PHASE_TAIL;
    journal->continues = true;
    journal->wanted = !tail->is_complete;
    journal->offset = tail->offset; /* it counts for not synced: nobody knows */
    journal->state_bytes = tail->state_bytes;
    journal->chain = tail->chain;
    journal->map = tail->map;
    journal->written_index = journal->out_index = journal->reader.index;
    journal->counts = true;
    journal_close_fence(journal);
}

static void destroy_parts(struct journal *journal) {
    worker_destroy(&journal->worker);
    worker_destroy(&journal->janitor);
    buf_deinit(&journal->out);
    buf_deinit(&journal->slice);
    free(journal);
}

struct journal *journal_create(const struct journal_config *config, const struct journal_tail *tail,
                               const char **reason) {
    *reason = "out of memory, or no thread";
    struct journal *journal = calloc(1, sizeof(*journal));
    if (journal == NULL) {
        return NULL;
    }
    journal->config = *config;
    journal->loop = config->loop;
    journal->stats.last_compaction_unix_ms = loop_now_ms(journal->loop);
    journal->stats.last_compaction_ms = -1;
    buf_init(&journal->out, SIZE_MAX / 2);
    buf_init(&journal->slice, SIZE_MAX / 2);
    journal->worker = worker_create(journal->loop);
    journal->janitor = worker_create(journal->loop);
    if (journal->worker == NULL || journal->janitor == NULL) {
        destroy_parts(journal);
        return NULL;
    }
    const struct journal_meta *meta = journal_directory_meta(config->directory);
    bool lied = meta->kept.forgetful && !meta->clean;
    if (!journal_mark(journal)) {
        *reason = "the journal's meta cannot be written";
        destroy_parts(journal);
        return NULL;
    }
    journal->reader.pinned = true;
    take_tail(journal, tail, lied);
    fence_close(config->fence, journal->safe);
    journal->state_task = (struct task){.step = journal_state_step, .context = journal};
    ev_init(&journal->timer, on_timer);
    ev_idle_init(&journal->soon, on_soon);
    journal->timer.repeat = TIMER_S;
    journal->pump_hook = (struct loop_hook){.run = pump, .context = journal};
    journal->commit_hook = (struct loop_hook){.run = journal_commit, .context = journal};
    loop_add_hook(journal->loop, LOOP_HISTORY, &journal->pump_hook);
    loop_add_hook(journal->loop, LOOP_COMMIT, &journal->commit_hook);
    return journal;
}

/* A segment that does not count has to be finished: what it holds is nowhere else. */
static void write_the_rest(struct journal *journal) {
    journal->ends = true;
    for (int tries = 0; tries < 3 && !journal->failed; tries++) {
        worker_wait(journal->worker);
        worker_wait(journal->janitor);
        journal_follow_history(journal);
        if (journal->trouble != NULL) {
            journal->retry_ms = 0;
        }
        work(journal);
        worker_wait(journal->worker);
        if (!journal->counts && journal->phase == JOURNAL_PHASE_STATE) {
            journal_finish_state(journal);
        }
        if (journal->phase == JOURNAL_PHASE_ENDING) {
            journal_write(journal);
            journal_sync_if_due(journal);
            worker_wait(journal->worker);
        }
        if (journal->counts && buf_used(&journal->out) == 0 &&
            history_at_end(journal->config.history, &journal->reader)) {
            return;
        }
    }
}

static bool has_written_all(const struct journal *journal) {
    return !journal->failed && journal->counts && journal->fd >= 0 && buf_used(&journal->out) == 0 &&
           history_at_end(journal->config.history, &journal->reader);
}

bool journal_finish(struct journal *journal) {
    const struct journal_disk *disk = journal_directory_disk(journal->config.directory);
    write_the_rest(journal);
    worker_wait(journal->janitor);
    bool written = has_written_all(journal);
    bool is_safe =
        written && disk->fdatasync(disk->context, journal->fd) == 0 && journal_write_meta(journal, true);
    if (journal->failed) { /* once more: that is a promise to the next start */
        journal_write_meta(journal, false);
    }
    if (!is_safe) {
        log_write(journal->config.log, LOG_ERROR, "journal-not-finished", "text=%s",
                  log_quote(journal->trouble != NULL ? journal->trouble : strerror(errno)));
    }
    return is_safe;
}

const char *journal_settle(struct journal *journal) {
    if (!journal->config.is_whole(journal->config.context)) {
        return "a state of the group's leader is on its way into the store";
    }
    write_the_rest(journal);
    journal->ends = false; /* it goes on */
    worker_wait(journal->worker);
    worker_wait(journal->janitor);
    return journal->trouble != NULL    ? journal->trouble
           : !has_written_all(journal) ? "not all that was written is in the journal yet"
                                       : NULL;
}

void journal_destroy(struct journal **handle) {
    struct journal *journal = *handle;
    if (journal == NULL) {
        return;
    }
    *handle = NULL;
    journal_archive_destroy(journal);
    worker_destroy(&journal->worker);
    worker_destroy(&journal->janitor); /* before what they are at work on goes */
    loop_remove_hook(journal->loop, &journal->pump_hook);
    loop_remove_hook(journal->loop, &journal->commit_hook);
    task_stop(journal->loop, &journal->state_task);
    ev_timer_stop(loop_ev(journal->loop), &journal->timer);
    ev_idle_stop(loop_ev(journal->loop), &journal->soon);
    history_close(journal->config.history, &journal->reader);
    if (journal->fd >= 0) {
        close(journal->fd);
    }
    destroy_parts(journal);
}

/* --- What others ask of it --- */

void journal_set_fsync(struct journal *journal, enum journal_fsync fsync) {
    journal->wished_fsync = fsync;
    journal->wish_retry_ms = 0;
    if (fsync > journal->config.fsync) {
        journal->config.fsync = fsync;
        if (journal->trouble == NULL) {
            journal_close_fence(journal);
        }
    }
}

void journal_set_compact_ratio(struct journal *journal, double ratio) { journal->config.compact_ratio = ratio; }

void journal_ask_sync(struct journal *journal) { journal->asked = true; }

bool journal_compact(struct journal *journal) {
    if (journal->phase != JOURNAL_PHASE_TAIL || journal->wanted) {
        return false;
    }
    journal->wanted = true;
    return true;
}

void journal_status(const struct journal *journal, struct journal_status *out) {
    *out = journal->stats;
    out->phase = journal->phase;
    out->fsync = journal->config.fsync;
    out->segment = journal->number;
    out->segment_bytes = journal->offset;
    out->state_bytes = journal->state_bytes;
    out->waiting_bytes = buf_used(&journal->out);
    out->written_index = journal_written_index(journal);
    out->synced_index = journal_synced_index(journal);
    out->trouble = journal->trouble;
    out->held_clients = journal->config.fence->held_count;
}
