#include "server/journal/load.h"

#include "cluster/follower.h"
#include "protocol/line.h"
#include "server/journal/recovery.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINES_A_STEP = 64, SAY_EVERY_MS = 1000, RECORD_BYTES_ABOUT = 12 };

struct journal_load {
    struct journal_load_config config;
    struct task task;
    struct journal_recovery *recovery;
    struct follower follower; /* of the file; the node's own is not at work yet */
    struct follower_link link;
    struct buf scratch, out;
    uint64_t state_bytes;
    int64_t began_ms, said_ms;
};

/* --- Lines --- */

/* A part of a state that goes on from another: absolute lines, of no index. */
static const char *apply(struct journal_load *load, struct slice bytes) {
    const struct group_data *data = &load->config.data;
    struct line line;
    const char *reason = "no line of a state";
    if (line_decode(bytes, &load->scratch, &line, &reason) != LINE_OK) {
        return reason;
    }
    if (line.verb == LINE_CLOCK || line.verb == LINE_SINCE || line.verb == LINE_VOTERS ||
        line.verb == LINE_ACKS) {
        return NULL; /* known from the lines before this state */
    }
    if (line.verb > LINE_LAST_OF_CHANGES) {
        return reason;
    }
    enum err err = data->apply(data->context, &line, line.timestamp_ms);
    return err == ERR_NONE ? NULL : err_text(err);
}

static const char *take(void *context, enum journal_kind kind, struct slice bytes, uint64_t index) {
    struct journal_load *load = context;
    struct line line;
    (void)index;
    load->state_bytes += kind == JOURNAL_STATE ? bytes.len + RECORD_BYTES_ABOUT : 0;
    if (kind == JOURNAL_STATE && load->link.phase == FOLLOWER_STREAM) {
        return apply(load, bytes);
    }
    buf_reset(&load->out);
    enum follower_verdict verdict =
        follower_link_line(&load->link, &load->follower, bytes, loop_monotonic_ms(load->config.loop),
                           &load->scratch, &line, &load->out);
    if (verdict != FOLLOWER_GO_ON) {
        return "a line that cannot be applied";
    }
    follower_link_keep(&load->link, &load->follower);
    return NULL;
}

/* --- Progress, and the end --- */

static double megabytes(uint64_t bytes) { return (double)bytes / 1e6; }

static void say_progress(struct journal_load *load) {
    const struct journal_found *found = journal_recovery_found(load->recovery);
    int64_t now_ms = loop_monotonic_ms(load->config.loop);
    if (now_ms - load->said_ms < SAY_EVERY_MS) {
        return;
    }
    load->said_ms = now_ms;
    double seconds = (double)(now_ms - load->began_ms) / 1e3;
    double rate = megabytes(found->bytes_done) / seconds;
    log_write(load->config.log, LOG_INFO, "recovering",
              "records=%llu mb=%.0f of_mb=%.0f mb_per_s=%.0f left_s=%.0f", (unsigned long long)found->records,
              megabytes(found->bytes_done), megabytes(found->bytes_total), rate,
              rate > 0 ? megabytes(found->bytes_total - found->bytes_done) / rate : 0);
}

static struct journal_loaded describe(const struct journal_load *load) {
    const struct journal_found *found = journal_recovery_found(load->recovery);
    const struct journal_meta *meta = journal_directory_meta(load->config.directory);
    return (struct journal_loaded){
        .has_data = found->history_id != 0,
        .term_number = found->term.number > meta->kept.term ? found->term.number : meta->kept.term,
        .tail =
            {
                .number = found->last_segment,
                .offset = found->history_id == 0 ? 0 : found->last_bytes,
                .state_bytes = load->state_bytes < found->last_bytes ? load->state_bytes : found->last_bytes,
                .next_number = found->next_segment,
                .chain = found->last_chain,
                .is_complete = found->last_is_complete,
                .map = found->map,
            },
        .records = found->records,
        .bytes = found->bytes_done,
        .cut_bytes = found->cut_bytes,
        .ms = loop_monotonic_ms(load->config.loop) - load->began_ms,
    };
}

static void end(struct journal_load *load, const char *error) {
    struct journal_loaded loaded = describe(load);
    follower_link_deinit(&load->link, &load->follower);
    if (error == NULL && loaded.has_data) {
        log_write(load->config.log, LOG_INFO, "recovered",
                  "segments=%zu records=%llu bytes=%llu history=%016llx index=%llu term=%llu clean=%s ms=%lld",
                  journal_recovery_found(load->recovery)->segments, (unsigned long long)loaded.records,
                  (unsigned long long)loaded.bytes, (unsigned long long)history_id(load->config.history),
                  (unsigned long long)history_index(load->config.history),
                  (unsigned long long)lineage_last(history_lineage(load->config.history))->number,
                  journal_directory_meta(load->config.directory)->clean ? "true" : "false",
                  (long long)loaded.ms);
    }
    load->config.on_end(load->config.context, &loaded, error);
}

/* The lines have made the history what the files say that it is. False: reason says what it is. */
static bool is_where_it_says(const struct journal_load *load, char *reason, size_t n) {
    const struct journal_found *found = journal_recovery_found(load->recovery);
    const struct history *history = load->config.history;
    if (found->history_id == 0 ||
        (history_id(history) == found->history_id && history_index(history) == found->index)) {
        return true;
    }
    snprintf(reason, n, "%s says index %llu of history %016llx, and its lines make it %llu of %016llx",
             journal_directory_path(load->config.directory), (unsigned long long)found->index,
             (unsigned long long)found->history_id, (unsigned long long)history_index(history),
             (unsigned long long)history_id(history));
    return false;
}

static void finish(struct journal_load *load) {
    char error[JOURNAL_REASON_BYTES];
    if (!journal_recovery_mend(load->recovery, load->config.log)) {
        snprintf(error, sizeof(error), "%s cannot be made ready to be written: %s",
                 journal_directory_path(load->config.directory), strerror(errno));
        end(load, error);
    } else {
        end(load, is_where_it_says(load, error, sizeof(error)) ? NULL : error);
    }
}

static void refuse(struct journal_load *load) {
    char error[JOURNAL_REASON_BYTES + 128];
    snprintf(error, sizeof(error),
             "%s; a follower may start with an empty DIR, and kvnode -repair saves what is valid",
             journal_recovery_found(load->recovery)->reason);
    end(load, error);
}

static bool step(void *context) {
    struct journal_load *load = context;
    switch (journal_recovery_step(load->recovery, LINES_A_STEP)) {
    case JOURNAL_STEP_GOES_ON:
        say_progress(load);
        return true;
    case JOURNAL_STEP_DONE:
        finish(load);
        return false;
    case JOURNAL_STEP_REFUSED:
        refuse(load);
        return false;
    }
    return false;
}

/* --- Life --- */

static struct journal_load *create(const struct journal_load_config *config, char *reason, size_t n) {
    struct journal_load *load = calloc(1, sizeof(*load));
    if (load == NULL) {
        snprintf(reason, n, "out of memory");
        return NULL;
    }
    load->config = *config;
    load->recovery = journal_recovery_create(config->directory, take, load);
    if (load->recovery == NULL) {
        snprintf(reason, n, "%s cannot be read: %s", journal_directory_path(config->directory),
                 strerror(errno));
        free(load);
        return NULL;
    }
    load->began_ms = load->said_ms = loop_monotonic_ms(config->loop);
    buf_init(&load->scratch, LIMIT_LINE_BYTES);
    buf_init(&load->out, LIMIT_LINE_BYTES);
    follower_init(&load->follower, "file", 0, config->history, &config->data);
    follower_link_init(&load->link, load->began_ms);
    load->follower.unix_offset_ms = loop_now_ms(config->loop) - load->began_ms;
    load->follower.leader_link = &load->link;
    load->link.phase = FOLLOWER_SYNCING;
    load->link.began = true;
    load->task = (struct task){.step = step, .context = load};
    return load;
}

struct journal_load *journal_load_start(const struct journal_load_config *config, char *reason, size_t n) {
    struct journal_load *load = create(config, reason, n);
    if (load != NULL) {
        task_start(config->loop, &load->task);
    }
    return load;
}

bool journal_load_now(const struct journal_load_config *config, struct journal_loaded *loaded, char *reason,
                      size_t n) {
    struct journal_load *load = create(config, reason, n);
    if (load == NULL) {
        return false;
    }
    enum journal_step result = JOURNAL_STEP_GOES_ON;
    while (result == JOURNAL_STEP_GOES_ON) {
        result = journal_recovery_step(load->recovery, LINES_A_STEP);
    }
    const struct journal_found *found = journal_recovery_found(load->recovery);
    bool is_good = result == JOURNAL_STEP_DONE && found->cut_bytes == 0;
    if (!is_good) {
        snprintf(reason, n, "%s", found->reason);
    }
    is_good = is_good && is_where_it_says(load, reason, n);
    *loaded = describe(load);
    follower_link_deinit(&load->link, &load->follower);
    journal_load_destroy(&load);
    return is_good;
}

void journal_load_destroy(struct journal_load **handle) {
    struct journal_load *load = *handle;
    if (load == NULL) {
        return;
    }
    *handle = NULL;
    task_stop(load->config.loop, &load->task);
    journal_recovery_destroy(&load->recovery);
    buf_deinit(&load->scratch);
    buf_deinit(&load->out);
    free(load);
}
