/* journal_reload.c: DEBUG RELOAD: what has been written, read while the journal is at work. */
#include "server/journal/journal_internal.h"
#include "server/journal/load.h"

#include <stdio.h>

/* The lines go through a history of their own, which keeps none: that of the node has had them. */
enum { SCRATCH_BACKLOG_BYTES = 1 << 16 };

static bool load_again(struct journal *journal, struct history *scratch, char *reason, size_t n) {
    const struct journal_config *config = &journal->config;
    struct journal_loaded loaded;
    const struct journal_load_config load = {
        .loop = journal->loop,
        .history = scratch,
        .data = config->data,
        .directory = config->directory,
        .log = config->log,
    };
    if (!journal_load_now(&load, &loaded, reason, n)) {
        return false;
    }
    if (history_id(scratch) == history_id(config->history) &&
        history_index(scratch) == history_index(config->history)) {
        return true;
    }
    snprintf(reason, n, "%s has index %llu of history %016llx, and the node is at %llu of %016llx",
             journal_directory_path(config->directory), (unsigned long long)history_index(scratch),
             (unsigned long long)history_id(scratch), (unsigned long long)history_index(config->history),
             (unsigned long long)history_id(config->history));
    return false;
}

bool journal_reload(struct journal *journal) {
    char reason[JOURNAL_REASON_BYTES] = "out of memory", message[sizeof(reason) + 64];
    struct history *scratch = history_create(0, SCRATCH_BACKLOG_BYTES);
    bool is_loaded = scratch != NULL && load_again(journal, scratch, reason, sizeof(reason));
    history_destroy(&scratch);
    if (!is_loaded) {
        snprintf(message, sizeof(message), "DEBUG RELOAD has emptied the store and cannot read it again: %s",
                 reason);
        journal_give_up(journal, "the store is not what was written", message);
    }
    return is_loaded;
}
