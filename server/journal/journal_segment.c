/* journal_segment.c: what goes into a segment, and how one takes the place of another. */
#include "server/journal/journal_internal.h"

#include "protocol/line.h"

#include <assert.h>
#include <errno.h>
#include <unistd.h>

enum {
    GATHER_PART = 4,
    GATHER_MOST_US = 1000,
    SLICE_US = 100,
    SLICE_BYTES = 32 << 10,
    KEPT_OUT_BYTES = 1 << 20
};

/* --- Records --- */

/* FULL or END, with its LF; it is given up. */
static void append_control(struct journal *journal, struct buf *line) {
    buf_fail_if(&journal->out, buf_failed(line));
    if (!buf_failed(&journal->out)) {
        struct slice without_lf = slice_first(buf_slice(line), buf_used(line) - 1);
        journal_append(&journal->out, &journal->chain, JOURNAL_NO_INDEX, without_lf);
    }
    buf_deinit(line);
    journal->stats.records++;
}

/* What later lines rely on; it is given up. */
static void append_context(struct journal *journal, struct buf *lines) {
    buf_fail_if(&journal->out, buf_failed(lines));
    if (!buf_failed(&journal->out)) {
        journal_append_state(&journal->out, &journal->chain, buf_slice(lines));
    }
    buf_deinit(lines);
}

/* The time of a plain line among those that come in. */
static void append_clock(struct journal *journal) {
    int64_t clock_ms = history_clock_at(journal->config.history, &journal->reader);
    struct buf lines;
    buf_init(&lines, SIZE_MAX);
    if (clock_ms != 0) {
        line_clock(&lines, clock_ms);
    }
    append_context(journal, &lines);
}

/* The terms of all lines up to END: one may have begun since FULL. */
static void append_terms(struct journal *journal) {
    struct buf lines;
    buf_init(&lines, SIZE_MAX);
    history_write_context(journal->config.history, journal->reader.index, &lines);
    append_context(journal, &lines);
}

static void say_synced(struct journal *journal) {
    if (journal->say_synced) {
        journal->say_synced = false;
        journal_append_synced(&journal->out, &journal->chain, journal->synced_offset);
        journal->stats.records++;
    }
}

bool journal_encode(struct journal *journal) {
    const struct history *history = journal->config.history;
    struct history_reader *reader = &journal->reader;
    struct slice lines;
    uint64_t last;
    while (history_read(history, reader, &lines, &last)) {
        if (lines.len == 0) {
            return true;
        }
        say_synced(journal);
        size_t before = buf_used(&journal->out);
        journal_append_lines(&journal->out, &journal->chain, reader->index + 1, lines);
        if (buf_failed(&journal->out)) { /* the chain is as it was: the lines wait where they are */
            journal_in_trouble(journal, "out of memory for what is to be written", ENOMEM);
            journal->out.failed = false;
            return true;
        }
        journal->stats.records += last - reader->index;
        journal->out_index = last;
        journal_line_map_note(&journal->map, buf_used(&journal->out) - before, last,
                              journal->offset + buf_used(&journal->out), &journal->chain);
        history_advance(history, reader, lines.len);
    }
    return false;
}

static void forget_large(struct buf *buf) {
    if (buf->capacity > KEPT_OUT_BYTES) {
        buf_deinit(buf);
    } else {
        buf_reset(buf);
    }
}

/* At a known place: what was written in part is written there again. */
void journal_write(struct journal *journal) {
    const struct journal_disk *disk = journal_directory_disk(journal->config.directory);
    struct slice rest = buf_slice(&journal->out);
    if (rest.len == 0) {
        return;
    }
    while (rest.len > 0) {
        ssize_t n = disk->pwrite(disk->context, journal->fd, rest.ptr, rest.len, (off_t)journal->offset);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            journal->stats.failed_writes++;
            journal_in_trouble(journal, "the journal cannot be written", n < 0 ? errno : ENOSPC);
            return;
        }
        journal->stats.writes++;
        journal->stats.written_bytes += (uint64_t)n;
        journal->offset += (uint64_t)n;
        rest = slice_skip(rest, (size_t)n);
        buf_consume(&journal->out, (size_t)n);
    }
    forget_large(&journal->out);
    journal->written_index = journal->out_index;
    if (!journal->wanted) { /* else that a new segment is made */
        journal_out_of_trouble(journal);
    }
}

/* --- Syncing --- */

static void work_sync(void *context) {
    struct journal *journal = context;
    struct journal_job *job = &journal->job;
    uint64_t began_us = loop_monotonic_us();
    job->error = job->disk->fdatasync(job->disk->context, job->fd) == 0 ? 0 : errno;
    job->us = loop_monotonic_us() - began_us;
    if (job->error == 0 && job->accepts && !journal_directory_accept_incoming(job->directory, job->number)) {
        job->new_error = errno;
    }
}

static void note_synced(struct journal *journal) {
    const struct journal_job *job = &journal->job;
    journal->stats.syncs++;
    journal->stats.last_sync_us = job->us;
    if (job->us > journal->stats.longest_sync_us) {
        journal->stats.longest_sync_us = job->us;
    }
    uint64_t gather_us = job->us / GATHER_PART;
    journal->gather_until_us = loop_monotonic_us() + (gather_us < GATHER_MOST_US ? gather_us : GATHER_MOST_US);
    journal->synced_offset = job->offset;
    if (job->epoch == journal->epoch) {
        journal->synced_index = job->index;
    }
    journal->say_synced = true;
}

static void remove_older(void *context) {
    struct journal *journal = context;
    journal_directory_remove_below(journal->config.directory, journal->remove_below); /* else the next time */
}

static void removed(void *context) { (void)context; }

/* END is on the disk: the older segments are of no use any more. */
static void finish_switch(struct journal *journal) {
    int64_t now_ms = loop_monotonic_ms(journal->loop);
    struct journal_status *stats = &journal->stats;
    journal->phase = JOURNAL_PHASE_TAIL;
    if (!journal->continues) {
        journal->number = journal->next_number++;
    }
    journal->counts = !journal->reader.lost && journal->segment_epoch == journal->epoch;
    stats->compactions++;
    stats->last_compaction_unix_ms = loop_now_ms(journal->loop);
    stats->last_compaction_ms = now_ms - stats->compacting_since_ms;
    stats->compacting_since_ms = 0;
    log_write(journal->config.log, LOG_INFO, "segment", "number=%llu keys=%llu bytes=%llu ms=%lld",
              (unsigned long long)journal->number, (unsigned long long)journal->state_count,
              (unsigned long long)journal->state_bytes, (long long)stats->last_compaction_ms);
    journal_archive_drop_below(journal, journal->number);
    if (!worker_busy(journal->janitor)) { /* else with the next one */
        journal->remove_below = journal->number;
        worker_run(journal->janitor, remove_older, removed, journal);
    }
}

static void synced(void *context) {
    struct journal *journal = context;
    if (journal->job.error != 0) {
        journal_fail(journal, "fdatasync", journal->job.error);
        return;
    }
    note_synced(journal);
    if (journal->job.new_error != 0) { /* the sync after the next try says it again */
        journal->synced_offset = 0;
        journal_in_trouble(journal, "the state cannot take its place", journal->job.new_error);
    } else if (journal->phase == JOURNAL_PHASE_ENDING && journal->synced_offset >= journal->state_bytes) {
        finish_switch(journal);
        journal_out_of_trouble(journal); /* that it could not take its place */
    }
}

/* Clients whose replies have just left are about to write again, one after the other. A sync that began with
 * the first of them would have the others wait for the one after it: it begins when as many are waiting as were
 * before, or when part of the time that a sync takes is over. */
static bool gathers(const struct journal *journal) {
    const struct fence *fence = journal->config.fence;
    return !journal->ends && fence->held_count < fence->held_before &&
           loop_monotonic_us() < journal->gather_until_us;
}

static bool is_sync_due(const struct journal *journal) {
    if (journal->offset == journal->synced_offset || buf_used(&journal->out) > 0) {
        return false;
    }
    if (journal->phase == JOURNAL_PHASE_ENDING || journal->asked ||
        journal_safe_index(journal) < journal->written_index || journal->config.fsync == JOURNAL_FSYNC_ALWAYS) {
        return true;
    }
    /* A state is synced as it is written: at its end there is little left to wait for. */
    bool every_second =
        journal->config.fsync == JOURNAL_FSYNC_EVERYSEC || journal->phase == JOURNAL_PHASE_STATE;
    return every_second && loop_monotonic_ms(journal->loop) - journal->sync_began_ms >= JOURNAL_SYNC_EVERY_MS;
}

static void begin_job(struct journal *journal) {
    journal->sync_began_ms = loop_monotonic_ms(journal->loop);
    journal->job = (struct journal_job){
        .disk = journal_directory_disk(journal->config.directory),
        .directory = journal->config.directory,
        .fd = journal->fd,
        .new_fd = -1,
        .number = journal->next_number,
        .offset = journal->offset,
        .index = journal->written_index,
        .epoch = journal->segment_epoch,
    };
}

void journal_sync_if_due(struct journal *journal) {
    bool due = is_sync_due(journal), waits = due && gathers(journal);
    if (waits) {
        ev_idle_start(loop_ev(journal->loop), &journal->soon);
    } else if (due) {
        begin_job(journal);
        journal->asked = false;
        journal->job.accepts = journal->phase == JOURNAL_PHASE_ENDING && !journal->continues;
        worker_run(journal->worker, work_sync, synced, journal);
    }
}

/* --- A new segment --- */

static void work_switch(void *context) {
    struct journal *journal = context;
    struct journal_job *job = &journal->job;
    if (job->fd >= 0) {
        work_sync(context);
    }
    if (job->error == 0) {
        job->new_fd = job->continues ? journal_directory_create_segment(job->directory, job->number)
                                     : journal_directory_create_incoming(job->directory);
        job->new_error = job->new_fd < 0 ? errno : 0;
    }
    if (job->new_fd >= 0 && job->fd >= 0) {
        close(job->fd);
    }
}

/* A part of the state is missing: it is begun again, in another segment. */
static void state_failed(struct journal *journal) {
    buf_reset(&journal->out);
    journal->phase = JOURNAL_PHASE_TAIL;
    journal->wanted = true;
    journal->counts = false;
    journal_in_trouble(journal, "out of memory for the state of the store", ENOMEM);
}

static void begin_segment(struct journal *journal) {
    struct history *history = journal->config.history;
    const struct group_data *data = &journal->config.data;
    if (!journal->continues) {
        journal->reader.lost = false;
        history_open(history, &journal->reader, history_index(history));
        journal->out_index = journal->written_index = journal->reader.index;
        journal->synced_index = 0;
    }
    journal_archive_begin(journal, journal->continues ? journal->number : journal->next_number,
                          journal->reader.index, journal->continues, journal->job.offset);
    journal->segment_epoch = journal->epoch;
    journal->cursor = journal->state_count = 0;
    journal_chain_init(&journal->chain);
    struct buf full;
    buf_init(&full, SIZE_MAX);
    line_full(&full, journal->history_id, journal->reader.index, data->floor(data->context),
              lineage_at(history_lineage(history), journal->reader.index));
    append_control(journal, &full);
    append_clock(journal);
    journal->phase = JOURNAL_PHASE_STATE;
    if (buf_failed(&journal->out)) {
        state_failed(journal);
    }
}

static void switched(void *context) {
    struct journal *journal = context;
    const struct journal_job *job = &journal->job;
    if (job->error != 0) {
        journal_fail(journal, "fdatasync", job->error);
        return;
    }
    if (job->fd >= 0) {
        note_synced(journal);
    }
    journal_follow_history(journal);
    if (job->new_fd < 0) {
        journal->next_number += job->new_error == EEXIST; /* an earlier call may have left it */
        journal->phase = journal->fd < 0 ? JOURNAL_PHASE_CLOSED : JOURNAL_PHASE_TAIL;
        journal->wanted = true;
        journal->stats.compacting_since_ms = 0;
        journal_in_trouble(journal, "a new segment of the journal cannot be made", job->new_error);
        return;
    }
    journal->fd = job->new_fd;
    journal->offset = journal->synced_offset = journal->state_bytes = 0;
    journal->say_synced = false;
    if (journal->continues) {
        journal->number = journal->next_number++;
    }
    /* Has another history begun meanwhile, or were lines lost? Then this one stays empty. */
    journal->wanted = journal->continues && (journal->reader.lost || !journal->counts);
    if (journal->wanted) {
        journal->phase = JOURNAL_PHASE_TAIL;
    } else {
        begin_segment(journal);
    }
}

void journal_switch(struct journal *journal) {
    assert(buf_used(&journal->out) == 0);
    journal->phase = JOURNAL_PHASE_SWITCHING;
    journal->continues = journal->counts && !journal->reader.lost && journal->fd >= 0;
    journal->stats.compacting_since_ms = loop_monotonic_ms(journal->loop);
    begin_job(journal);
    journal->job.continues = journal->continues;
    journal->switched_ms = journal->sync_began_ms;
    worker_run(journal->worker, work_switch, switched, journal);
}

/* --- Its state --- */

static void say_end(struct journal *journal) {
    struct buf end;
    append_terms(journal);
    buf_init(&end, SIZE_MAX);
    line_end(&end, journal->state_count, journal->reader.index);
    append_control(journal, &end);
    journal->state_bytes = journal->offset + buf_used(&journal->out);
    journal->phase = JOURNAL_PHASE_ENDING;
}

/* A slice of the store, behind all the lines that it has seen already: nothing, where there was no memory for
 * them. False: lines were lost. */
static bool add_slice(struct journal *journal) {
    const struct group_data *data = &journal->config.data;
    if (!journal_encode(journal)) {
        return false;
    }
    if (journal->trouble != NULL) {
        return true;
    }
    uint64_t began_us = loop_monotonic_us(), before = journal->state_count;
    do {
        journal->cursor =
            data->scan(data->context, journal->cursor, false, &journal->slice, &journal->state_count);
    } while (journal->cursor != 0 && buf_used(&journal->slice) < SLICE_BYTES &&
             loop_monotonic_us() - began_us < SLICE_US);
    say_synced(journal);
    journal_append_state(&journal->out, &journal->chain, buf_slice(&journal->slice));
    journal->stats.records += journal->state_count - before;
    buf_fail_if(&journal->out, buf_failed(&journal->slice));
    forget_large(&journal->slice);
    if (journal->cursor == 0 && !buf_failed(&journal->out)) {
        say_end(journal);
    }
    return true;
}

bool journal_state_step(void *context) {
    struct journal *journal = context;
    bool waits = worker_busy(journal->worker) || journal->trouble != NULL || journal->wanted ||
                 buf_used(&journal->out) >= JOURNAL_OUT_BYTES ||
                 !journal->config.is_whole(journal->config.context);
    if (journal->phase != JOURNAL_PHASE_STATE || waits || !add_slice(journal)) {
        return false;
    }
    if (buf_failed(&journal->out)) {
        state_failed(journal);
        return false;
    }
    return journal->phase == JOURNAL_PHASE_STATE;
}

void journal_finish_state(struct journal *journal) {
    while (journal->phase == JOURNAL_PHASE_STATE && journal->trouble == NULL && add_slice(journal)) {
        if (buf_failed(&journal->out)) {
            state_failed(journal);
            return;
        }
        journal_write(journal);
    }
}
