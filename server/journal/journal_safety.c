/* journal_safety.c: what clients may hear of, and what becomes of it when the disk refuses. */
#include "server/journal/journal_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* --- What the fence is told --- */

/* Another history has begun, by a new leader or a state that was taken, or this one goes on from before: its
 * tickets are behind all that were given. */
void journal_follow_history(struct journal *journal) {
    const struct history *history = journal->config.history;
    journal->wanted |= journal->reader.lost;
    journal->counts &= !journal->reader.lost;
    uint64_t ticket = journal->base + history_index(history);
    if (history_id(history) == journal->history_id && ticket >= journal->top) {
        journal->top = ticket;
        return;
    }
    journal->epoch++;
    journal->history_id = history_id(history);
    journal->base = ++journal->top - history_index(history);
    journal->written_index = journal->synced_index = journal->out_index = 0;
    journal->counts = false;
    journal->wanted = true;
}

uint64_t journal_newest_ticket(struct journal *journal) {
    journal_follow_history(journal);
    return journal->top;
}

uint64_t journal_ticket(struct journal *journal, uint64_t index) {
    journal_follow_history(journal);
    return journal->base + index;
}

/* What is written is of the history that there is now: it may have begun anew since journal_follow_history. */
static bool counts(const struct journal *journal) { return journal->counts && !journal->reader.lost; }

uint64_t journal_written_index(const struct journal *journal) {
    return counts(journal) ? journal->written_index : 0;
}

uint64_t journal_synced_index(const struct journal *journal) {
    return counts(journal) ? journal->synced_index : 0;
}

/* "Both TERM and VOTERS are synced with all before them, in every mode, before they are acknowledged." */
uint64_t journal_safe_index(const struct journal *journal) {
    const struct history *history = journal->config.history;
    uint64_t term = lineage_next_term(history_lineage(history), journal->synced_index);
    uint64_t voters = history_voters_index(history);
    bool syncs = journal->config.fsync == JOURNAL_FSYNC_ALWAYS || term <= journal->written_index ||
                 (voters > journal->synced_index && voters <= journal->written_index);
    return syncs ? journal->synced_index : journal->written_index;
}

uint64_t journal_durable_index(const struct journal *journal) {
    return counts(journal) ? journal_safe_index(journal) : 0;
}

static uint64_t safe_ticket(const struct journal *journal) {
    return journal->base + journal_safe_index(journal);
}

void journal_commit(void *context) {
    struct journal *journal = context;
    journal_follow_history(journal);
    if (journal->counts && journal->trouble == NULL && safe_ticket(journal) > journal->safe) {
        journal->safe = safe_ticket(journal);
        fence_raise_kept(journal->config.fence, journal->safe);
    }
}

/* What does not count is as safe as it was while it did. */
void journal_close_fence(struct journal *journal) {
    journal->safe = journal->counts ? safe_ticket(journal) : journal->safe;
    fence_close(journal->config.fence, journal->safe);
}

/* --- Trouble --- */

void journal_in_trouble(struct journal *journal, const char *what, int error) {
    if (journal->failed) {
        return;
    }
    journal->retry_ms = loop_monotonic_ms(journal->loop) + JOURNAL_RETRY_MS;
    if (journal->trouble == NULL) {
        journal->trouble = what;
        log_write(journal->config.log, LOG_ERROR, "journal-trouble",
                  "segment=%llu offset=%llu text=%s error=%s", (unsigned long long)journal->number,
                  (unsigned long long)journal->offset, log_quote(what), strerror(error));
        journal->config.on_trouble(journal->config.context, what);
        fence_break(journal->config.fence, CLOSE_NOT_KEPT);
        fence_raise_kept(journal->config.fence, FENCE_OPEN);
    }
}

void journal_out_of_trouble(struct journal *journal) {
    if (journal->failed || journal->trouble == NULL) {
        return;
    }
    journal->trouble = NULL;
    log_write(journal->config.log, LOG_WARN, "journal-goes-on", "segment=%llu offset=%llu",
              (unsigned long long)journal->number, (unsigned long long)journal->offset);
    journal_close_fence(journal);
    journal->config.on_trouble(journal->config.context, NULL);
}

void journal_give_up(struct journal *journal, const char *trouble, const char *message) {
    journal->failed = true;
    journal->trouble = trouble;
    worker_wait(journal->janitor);
    journal->given.kept.forgetful = true;
    journal_write_meta(journal, false);
    fence_close(journal->config.fence, journal->safe);
    fence_break(journal->config.fence, CLOSE_NOT_KEPT);
    journal->config.on_fatal(journal->config.context, message);
}

/* "The pages are gone, and syncing again would lie." */
void journal_fail(struct journal *journal, const char *what, int error) {
    char message[256];
    snprintf(message, sizeof(message), "the journal's %s failed (%s): the disk may have lost what it was given",
             what, strerror(error));
    journal_give_up(journal, "the disk has lost what it was given", message);
}
