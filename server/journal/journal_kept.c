/* journal_kept.c: what meta says: whether the files are in use and how they are synced, and what a voter must
 * not forget besides them. It is written by the thread, in the owner's turn; at the start, when the journal is
 * given up and at its end by the loop's, when nobody else is at it. */
#include "server/journal/journal_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

static bool write_meta(struct journal *journal, const struct journal_keeping *gives, enum journal_fsync fsync,
                       bool clean) {
    struct journal_meta meta = *journal_directory_meta(journal->config.directory);
    meta.kept = gives->kept;
    meta.peers = gives->peers;
    meta.clean = clean;
    meta.weakest_fsync = clean                                           ? JOURNAL_FSYNC_ALWAYS
                         : journal->marked && meta.weakest_fsync < fsync ? meta.weakest_fsync
                                                                         : fsync;
    journal_boot_id(meta.boot_id); /* "" where there is none */
    return journal_directory_write_meta(journal->config.directory, &meta);
}

bool journal_mark(struct journal *journal) {
    const struct journal_meta *meta = journal_directory_meta(journal->config.directory);
    char boot_id[JOURNAL_BOOT_ID_BYTES + 1] = "";
    bool knows = journal_boot_id(boot_id);
    journal->given.kept = meta->kept;
    journal->given.kept.forgetful = journal_meta_may_have_forgotten(meta, knows ? boot_id : NULL);
    journal->given.peers = meta->peers;
    journal->wished_fsync = journal->config.fsync;
    journal->marked = write_meta(journal, &journal->given, journal->config.fsync, false);
    return journal->marked;
}

bool journal_write_meta(struct journal *journal, bool clean) {
    return write_meta(journal, &journal->given, journal->config.fsync, clean);
}

/* --- By the thread --- */

static void work_meta(void *context) {
    struct journal *journal = context;
    struct journal_job *job = &journal->job;
    job->new_error = write_meta(journal, &journal->job_gives, job->fsync, false) ? 0 : errno;
}

static void meta_written(void *context) {
    struct journal *journal = context;
    const struct journal_job *job = &journal->job;
    const struct journal_keeping *gave = &journal->job_gives;
    if (job->new_error != 0) {
        journal->wish_retry_ms = loop_monotonic_ms(journal->loop) + JOURNAL_RETRY_MS;
        log_write(journal->config.log, LOG_WARN, "journal-meta", "text=\"meta cannot be written\" error=%s",
                  log_quote(strerror(job->new_error)));
        return;
    }
    if (job->fsync <= journal->wished_fsync) { /* else another one is asked for by now */
        journal->config.fsync = journal->wished_fsync;
    }
    bool tells = gave->kept_count != journal->kept_written && gave->kept_count == journal->given.kept_count;
    journal->kept_written = gave->kept_count;
    journal->peers_written = gave->peers_count;
    if (tells) {
        journal->config.on_kept(journal->config.context);
    }
}

bool journal_is_meta_due(const struct journal *journal) {
    return journal->wished_fsync < journal->config.fsync ||
           journal->kept_written != journal->given.kept_count ||
           journal->peers_written != journal->given.peers_count;
}

/* Whether or not the janitor is at work: its files are others, and it may take long. */
void journal_write_meta_if_due(struct journal *journal) {
    if (journal_is_meta_due(journal) && !worker_busy(journal->worker) &&
        loop_monotonic_ms(journal->loop) >= journal->wish_retry_ms) {
        journal->job = (struct journal_job){.fsync = journal->wished_fsync};
        journal->job_gives = journal->given;
        worker_run(journal->worker, work_meta, meta_written, journal);
    }
}

/* --- What others ask of it --- */

/* At once, whatever was refused before, in an iteration that is due now. */
static void is_due(struct journal *journal) {
    journal->wish_retry_ms = 0;
    ev_idle_start(loop_ev(journal->loop), &journal->soon);
}

void journal_kept(const struct journal *journal, struct journal_kept *out) { *out = journal->given.kept; }

void journal_keep(struct journal *journal, const struct journal_kept *kept) {
    struct journal_kept next = *kept;
    const struct journal_kept *before = &journal->given.kept;
    if (next.term < before->term) {
        next.term = before->term;
        memcpy(next.voted_for, before->voted_for, sizeof(next.voted_for));
    }
    next.forgetful |= journal->failed; /* that is a promise to the next start */
    journal->given.kept = next;
    journal->given.kept_count++;
    is_due(journal);
}

void journal_keep_term(struct journal *journal, uint64_t number) {
    struct journal_kept kept = journal->given.kept;
    if (number > kept.term) {
        kept.term = number;
        kept.voted_for[0] = '\0';
    }
    journal_keep(journal, &kept);
}

size_t journal_peers(const struct journal *journal, struct journal_peer peers[VOTERS_MOST]) {
    const struct journal_peers *given = &journal->given.peers;
    memcpy(peers, given->all, given->count * sizeof(peers[0]));
    return given->count;
}

static bool is_same(const struct journal_peer *a, const struct journal_peer *b) {
    return a->port == b->port && strcmp(a->node_id, b->node_id) == 0 && strcmp(a->host, b->host) == 0;
}

void journal_keep_peers(struct journal *journal, const struct journal_peer *peers, size_t n) {
    struct journal_peers *given = &journal->given.peers;
    bool same = n == given->count;
    for (size_t i = 0; i < n && same; i++) {
        same = is_same(&peers[i], &given->all[i]);
    }
    if (!same) {
        assert(n <= VOTERS_MOST);
        memcpy(given->all, peers, n * sizeof(peers[0]));
        given->count = n;
        journal->given.peers_count++;
        is_due(journal);
    }
}
