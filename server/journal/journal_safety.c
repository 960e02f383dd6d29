/* journal_safety.c: what clients may hear of, and what becomes of it when the disk refuses. */
#include "server/journal/journal_internal.h"

#include <stdio.h>
#include <string.h>

/* --- What the fence is told --- */

/* Another history has begun, by a new leader or a state that was taken: its tickets are behind all that were
 * given. */
void journal_follow_history(struct journal *journal) {
    const struct history *history = journal->config.history;
    if (history_id(history) == journal->history_id) {
        return;
    }
    journal->history_id = history_id(history);
    journal->base = journal->top + 1 - history_index(history);
    journal->written_index = journal->synced_index = journal->out_index = 0;
    journal->counts = false;
    journal->wanted = true;
}

uint64_t journal_newest(const void *context) {
    struct journal *journal = (struct journal *)(uintptr_t)context;
    journal_follow_history(journal);
    uint64_t ticket = journal->base + history_index(journal->config.history);
    journal->top = ticket > journal->top ? ticket : journal->top;
    return ticket;
}

uint64_t journal_written_index(const struct journal *journal) {
    return journal->counts ? journal->written_index : 0;
}

uint64_t journal_synced_index(const struct journal *journal) {
    return journal->counts ? journal->synced_index : 0;
}

uint64_t journal_durable_index(const struct journal *journal) {
    return journal->config.fsync == JOURNAL_FSYNC_ALWAYS ? journal_synced_index(journal)
                                                         : journal_written_index(journal);
}

static uint64_t safe_ticket(const struct journal *journal) {
    bool always = journal->config.fsync == JOURNAL_FSYNC_ALWAYS;
    return journal->base + (always ? journal->synced_index : journal->written_index);
}

void journal_commit(void *context) {
    struct journal *journal = context;
    journal_follow_history(journal);
    if (journal->counts && journal->trouble == NULL && safe_ticket(journal) > journal->fence.safe) {
        fence_raise(&journal->fence, safe_ticket(journal));
    }
}

/* --- Trouble --- */

void journal_in_trouble(struct journal *journal, const char *what, int error) {
    if (what == NULL && journal->trouble != NULL) {
        journal->trouble = NULL;
        log_write(journal->config.log, LOG_WARN, "journal-goes-on", "segment=%llu offset=%llu",
                  (unsigned long long)journal->number, (unsigned long long)journal->offset);
        uint64_t safe = journal->counts ? safe_ticket(journal) : journal->top;
        fence_close(&journal->fence, safe < journal->top ? safe : journal->top);
        journal->config.on_trouble(journal->config.context, NULL);
    }
    if (what == NULL) {
        return;
    }
    journal->retry_ms = loop_monotonic_ms(journal->loop) + JOURNAL_RETRY_MS;
    if (journal->trouble == NULL) {
        journal->trouble = what;
        log_write(journal->config.log, LOG_ERROR, "journal-trouble",
                  "segment=%llu offset=%llu text=%s error=%s", (unsigned long long)journal->number,
                  (unsigned long long)journal->offset, log_quote(what), strerror(error));
        journal->config.on_trouble(journal->config.context, what);
        fence_break(&journal->fence, CLOSE_NOT_KEPT);
        fence_raise(&journal->fence, FENCE_OPEN);
    }
}

/* What a later start has to know of this one. */
bool journal_write_meta(struct journal *journal, bool forgetful, bool clean) {
    struct journal_meta meta = *journal_directory_meta(journal->config.directory);
    char boot_id[JOURNAL_BOOT_ID_BYTES + 1] = "";
    bool knows = journal_boot_id(boot_id);
    meta.forgetful |=
        forgetful || (!journal->marked && journal_meta_may_have_forgotten(&meta, knows ? boot_id : NULL));
    meta.clean = clean;
    meta.weakest_fsync = clean ? JOURNAL_FSYNC_ALWAYS
                         : journal->marked && meta.weakest_fsync < journal->config.fsync
                             ? meta.weakest_fsync
                             : journal->config.fsync;
    snprintf(meta.boot_id, sizeof(meta.boot_id), "%s", boot_id);
    journal->marked = journal_directory_write_meta(journal->config.directory, &meta);
    return journal->marked;
}

/* "The pages are gone, and syncing again would lie." */
void journal_fail(struct journal *journal, const char *what, int error) {
    char message[256];
    journal->trouble = "the disk has lost what it was given";
    snprintf(message, sizeof(message), "the journal's %s failed (%s): the disk may have lost what it was given",
             what, strerror(error));
    worker_wait(journal->janitor);
    journal_write_meta(journal, true, false);
    fence_break(&journal->fence, CLOSE_NOT_KEPT);
    journal->config.on_fatal(journal->config.context, message);
}
