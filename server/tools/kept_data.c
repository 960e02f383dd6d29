#include "server/tools/kept_data.h"

#include "protocol/line.h"
#include "server/tools/progress.h"

#include <errno.h>
#include <string.h>

enum { LINES_A_STEP = 256, BACKLOG_BYTES = 16 << 10 };

/* --- Lines, in the order in which a follower would be sent them; nothing was here before, so nothing is
 * dropped at END --- */

static const char *apply(struct kept_data *kept, struct line *line) {
    int64_t timestamp_ms = line->timestamp_ms != 0 ? line->timestamp_ms : kept->clock_ms;
    bool has_value = line->verb == LINE_REPLICATE || line->verb == LINE_PATCH;
    if (kept->keys_only && has_value) {
        line->verb = LINE_REPLICATE;
        line->value = SLICE("");
    }
    enum err err = keyspace_apply(kept->keyspace, line, timestamp_ms);
    return err == ERR_NONE ? NULL : err_text(err);
}

static const char *take_line(struct kept_data *kept, struct line *line) {
    switch (line->verb) {
    case LINE_FULL:
        keyspace_raise_floor(kept->keyspace, line->version);
        return NULL;
    case LINE_CLOCK:
        kept->clock_ms = line->timestamp_ms;
        return NULL;
    case LINE_VOTERS:
        return voters_parse(line->text, &kept->voters) ? NULL : "voters that are none";
    case LINE_ACKS:
        kept->quorum = line->yes;
        return NULL;
    default:
        return line->verb <= LINE_LAST_OF_CHANGES ? apply(kept, line) : NULL;
    }
}

static const char *take(void *context, enum journal_kind kind, struct slice bytes, uint64_t index) {
    struct kept_data *kept = context;
    struct buf scratch;
    struct line line;
    const char *reason = NULL;
    (void)kind, (void)index;
    buf_init(&scratch, LIMIT_LINE_BYTES);
    switch (line_decode(bytes, &scratch, &line, &reason)) {
    case LINE_OK:
        reason = take_line(kept, &line);
        break;
    case LINE_UNKNOWN: /* of a later kvnode: it counts, and a node would pass over it as well */
        reason = NULL;
        break;
    case LINE_MALFORMED:
        break;
    }
    buf_deinit(&scratch);
    return reason;
}

/* --- Life --- */

enum tool_status kept_data_open_directory(const struct kept_data_wish *wish,
                                          struct journal_directory **directory) {
    static const char flag[] = "-data ";
    char reason[JOURNAL_REASON_BYTES];
    const struct journal_wish open = {.path = wish->path, .look = !wish->mend, .mend = wish->mend};
    errno = 0;
    *directory = journal_directory_open(&open, wish->disk == NULL ? &journal_disk_system : wish->disk, reason);
    if (*directory != NULL) {
        return TOOL_OK;
    }
    if (errno == EWOULDBLOCK) {
        return tool_say(TOOL_MISUSED, "%s: a node runs on it, or another tool: it has to end first",
                        wish->path);
    }
    bool named_wrongly = errno == ENOENT || errno == ENOTDIR;
    bool has_flag = strncmp(reason, flag, sizeof(flag) - 1) == 0;
    return tool_say(named_wrongly ? TOOL_MISUSED : TOOL_FAILED, "%s",
                    has_flag ? reason + sizeof(flag) - 1 : reason);
}

static bool create_store(struct kept_data *kept) {
    kept->loop = loop_create();
    kept->history = kept->loop == NULL ? NULL : history_create(0, BACKLOG_BYTES);
    kept->keyspace = kept->history == NULL ? NULL : keyspace_create(kept->loop, kept->history, 0);
    return kept->keyspace != NULL;
}

enum tool_status kept_data_open(struct kept_data *kept, const struct kept_data_wish *wish) {
    *kept = (struct kept_data){.keys_only = wish->keys_only};
    enum tool_status status = kept_data_open_directory(wish, &kept->directory);
    if (status != TOOL_OK) {
        return status;
    }
    kept->recovery = !create_store(kept) ? NULL : journal_recovery_create(kept->directory, take, kept);
    if (kept->recovery == NULL) {
        return tool_say(TOOL_FAILED, "%s cannot be read: %s", wish->path, strerror(errno));
    }
    struct progress progress;
    enum journal_step step;
    progress_begin(&progress, wish->what);
    while ((step = journal_recovery_step(kept->recovery, LINES_A_STEP)) == JOURNAL_STEP_GOES_ON) {
        const struct journal_found *found = kept_data_found(kept);
        progress_say(&progress, found->bytes_done, found->bytes_total, keyspace_count(kept->keyspace));
    }
    progress_end(&progress);
    return step == JOURNAL_STEP_DONE
               ? TOOL_OK
               : tool_say(TOOL_FAILED, "%s%s", kept_data_found(kept)->reason,
                          wish->mend ? " (kvnode -repair DIR NEWDIR copies what is valid)" : "");
}

void kept_data_close(struct kept_data *kept) {
    journal_recovery_destroy(&kept->recovery);
    journal_directory_close(&kept->directory);
    if (kept->keyspace != NULL) {
        keyspace_destroy(&kept->keyspace);
    }
    history_destroy(&kept->history);
    if (kept->loop != NULL) {
        loop_destroy(&kept->loop);
    }
}

const struct journal_found *kept_data_found(const struct kept_data *kept) {
    return journal_recovery_found(kept->recovery);
}
