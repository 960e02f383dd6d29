#include "server/persistence.h"

#include "cluster/routing.h"
#include "server/acks.h"
#include "server/commands/client/pause.h"
#include "server/peers/reload.h"
#include "server/peers/replicated_store.h"
#include "server/peers/replication.h"
#include "server/stats.h"
#include "server/store/keyspace.h"

#include <stdio.h>
#include <string.h>

/* --- What the journal has to say --- */

static void on_trouble(void *context, const char *error) {
    struct persistence *persistence = context;
    routing_set_cannot_keep(persistence->config.routing, error != NULL);
}

static void on_pressure(void *context, bool high) {
    struct persistence *persistence = context;
    const struct persistence_config *config = &persistence->config;
    log_write(config->log, high ? LOG_WARN : LOG_INFO, "journal-behind", "high=%s text=%s",
              high ? "true" : "false",
              high ? "\"the disk is slower than the writers: they wait\"" : "\"writers go on\"");
    config->stats->disk_behind = high;
    pause_hold_writes(config->clients, PAUSE_FOR_DISK, high);
}

static void on_fatal(void *context, const char *message) {
    struct persistence *persistence = context;
    persistence->config.on_fatal(persistence->config.context, message);
}

static void on_kept(void *context) {
    struct persistence *persistence = context;
    persistence->config.on_kept(persistence->config.context);
}

static bool is_whole(void *context) {
    const struct persistence *persistence = context;
    return replication_is_whole(persistence->config.replication);
}

/* --- The start --- */

bool persistence_open(struct persistence *persistence, struct settings *settings, char *message, size_t n) {
    if (settings->data[0] == '\0') {
        return true;
    }
    const struct journal_wish wish = {
        .path = settings->data,
        .id = settings->id[0] == '\0' ? NULL : settings->id,
        .group = settings->group,
        .adopt = settings->adopt_data,
    };
    char reason[JOURNAL_REASON_BYTES];
    persistence->directory = journal_directory_open(&wish, &journal_disk_system, reason);
    if (persistence->directory == NULL) {
        snprintf(message, n, "%s", reason);
        return false;
    }
    snprintf(settings->id, sizeof(settings->id), "%s", journal_directory_meta(persistence->directory)->node_id);
    return true;
}

static void on_loaded(void *context, const struct journal_loaded *loaded, const char *error) {
    struct persistence *persistence = context;
    const struct persistence_config *config = &persistence->config;
    const char *reason;
    if (error != NULL) {
        config->on_fatal(config->context, error);
        return;
    }
    const struct journal_config journal = {
        .loop = config->loop,
        .fence = &config->acks->fence,
        .history = config->history,
        .data = replicated_store(config->keyspace),
        .directory = persistence->directory,
        .log = config->log,
        .fsync = (enum journal_fsync)config->settings->fsync,
        .compact_ratio = (double)config->settings->compact_ratio,
        .context = persistence,
        .is_whole = is_whole,
        .on_pressure = on_pressure,
        .on_trouble = on_trouble,
        .on_fatal = on_fatal,
        .on_kept = on_kept,
    };
    persistence->journal = journal_create(&journal, &loaded->tail, &reason);
    if (persistence->journal == NULL) {
        config->on_fatal(config->context, reason);
        return;
    }
    acks_set_journal(config->acks, persistence->journal);
    config->on_loaded(config->context, persistence->journal, loaded);
}

bool persistence_start(struct persistence *persistence, const struct persistence_config *config, char *message,
                       size_t n) {
    persistence->config = *config;
    const struct journal_load_config load = {
        .loop = config->loop,
        .history = config->history,
        .data = replicated_store(config->keyspace),
        .directory = persistence->directory,
        .log = config->log,
        .context = persistence,
        .on_end = on_loaded,
    };
    persistence->load = persistence->directory == NULL ? NULL : journal_load_start(&load, message, n);
    return persistence->directory == NULL || persistence->load != NULL;
}

/* --- From then on --- */

uint64_t persistence_durable_index(const struct persistence *persistence) {
    return persistence->journal == NULL ? 0 : journal_durable_index(persistence->journal);
}

static struct archive_reader *open_archive(void *context, uint64_t index, uint64_t most_bytes) {
    const struct persistence *persistence = context;
    return persistence->journal == NULL ? NULL : journal_archive_open(persistence->journal, index, most_bytes);
}

struct archive persistence_archive(struct persistence *persistence) {
    return (struct archive){
        .context = persistence,
        .open = open_archive,
        .read = journal_archive_read,
        .advance = journal_archive_advance,
        .close = journal_archive_close,
    };
}

/* Until there is a journal, what meta says and what a crash has made of it. */
void persistence_kept(const struct persistence *persistence, struct journal_kept *out) {
    char boot_id[JOURNAL_BOOT_ID_BYTES + 1];
    *out = (struct journal_kept){0};
    if (persistence->journal != NULL) {
        journal_kept(persistence->journal, out);
    } else if (persistence->directory != NULL) {
        const struct journal_meta *meta = journal_directory_meta(persistence->directory);
        *out = meta->kept;
        out->forgetful = journal_meta_may_have_forgotten(meta, journal_boot_id(boot_id) ? boot_id : NULL);
    }
}

size_t persistence_peers(const struct persistence *persistence, struct journal_peer peers[VOTERS_MOST]) {
    if (persistence->journal != NULL) {
        return journal_peers(persistence->journal, peers);
    }
    if (persistence->directory == NULL) {
        return 0;
    }
    const struct journal_peers *kept = &journal_directory_meta(persistence->directory)->peers;
    memcpy(peers, kept->all, kept->count * sizeof(peers[0]));
    return kept->count;
}

void persistence_keep(struct persistence *persistence, const struct journal_kept *kept) {
    journal_keep(persistence->journal, kept);
}

void persistence_keep_peers(struct persistence *persistence, const struct journal_peer *peers, size_t n) {
    journal_keep_peers(persistence->journal, peers, n);
}

void persistence_reload(struct persistence *persistence) {
    const struct persistence_config *config = &persistence->config;
    const char *reason;
    enum reload_result result = reload_from_journal(persistence->journal, config->keyspace, &reason);
    if (result == RELOAD_NOT_NOW) {
        char message[256];
        snprintf(message, sizeof(message),
                 "a state has broken off, and what was before cannot be read again: %s", reason);
        config->on_fatal(config->context, message);
        return;
    }
    log_write(config->log, LOG_WARN, "read-again",
              "keys=%zu text=\"a state has broken off: what was before is back\"",
              keyspace_count(config->keyspace));
}

void persistence_keep_term(struct persistence *persistence, uint64_t number) {
    journal_keep_term(persistence->journal, number);
}

bool persistence_finish(struct persistence *persistence) {
    return persistence->journal == NULL || journal_finish(persistence->journal);
}

void persistence_stop(struct persistence *persistence) { journal_load_destroy(&persistence->load); }

void persistence_close(struct persistence *persistence) {
    journal_destroy(&persistence->journal);
    journal_directory_close(&persistence->directory);
}
