/* import.c: kvnode -import: what -export wrote, or an RDB file, into a node that runs or a new DIR. Nothing is
 * written before all of it was found whole, and nothing is left out without a word. */
#include "server/journal/directory.h"
#include "server/tools/progress.h"
#include "server/tools/sink.h"
#include "server/tools/source.h"
#include "server/tools/tool.h"

#include <stdio.h>
#include <time.h>

enum { MAX_OTHERS = 64, SAY_EVERY_KEYS = 64 };

/* What there is besides strings of database 0. */
struct other {
    const char *type;
    uint64_t database, count;
};

struct import {
    const struct tool_request *request;
    struct source source;
    struct sink *sink;
    int64_t now_ms;
    uint64_t keys, bytes, expired;
    struct other others[MAX_OTHERS]; /* the last one: all that do not fit */
    size_t others_count;
};

/* --- What it has --- */

static void note_other(struct import *import, const struct source_item *item) {
    struct other *other = import->others;
    size_t i = 0;
    while (i < import->others_count &&
           (strcmp(other[i].type, item->type) != 0 || other[i].database != item->database)) {
        i++;
    }
    if (i == MAX_OTHERS) {
        i--;
        other[i].type = "others";
    }
    if (i == import->others_count) {
        other[import->others_count++] = (struct other){.type = item->type, .database = item->database};
    }
    other[i].count += item->count;
}

/* "3 list, 5 string of database 2" */
static void describe_others(const struct import *import, char *out, size_t n) {
    size_t used = 0;
    out[0] = '\0';
    for (size_t i = 0; i < import->others_count && used < n; i++) {
        const struct other *other = &import->others[i];
        int added = snprintf(out + used, n - used, "%s%llu %s", i == 0 ? "" : ", ",
                             (unsigned long long)other->count, other->type);
        used += added > 0 ? (size_t)added : 0;
        if (other->database != 0 && used < n) {
            added = snprintf(out + used, n - used, " of database %llu", (unsigned long long)other->database);
            used += added > 0 ? (size_t)added : 0;
        }
    }
}

static bool has_expired(const struct import *import, const struct source_item *item) {
    return item->deadline_ms != 0 && item->deadline_ms <= import->now_ms;
}

/* As a line names it: a URL may hold a password. */
static const char *name_of_source(const struct import *import) {
    const char *from = import->request->from;
    return strcmp(from, "-") == 0 ? "stdin" : redis_source_is(from) ? "redis" : from;
}

static enum tool_status say_bad(const struct import *import) {
    if (import->sink == NULL) {
        return tool_say(TOOL_FAILED, "%s: %s", name_of_source(import), import->source.reason);
    }
    return tool_say(TOOL_FAILED, "%s: %s (%llu keys are written)", name_of_source(import),
                    import->source.reason, (unsigned long long)import->sink->written);
}

/* The first reading: is it whole, and has all of it a place? */
static enum tool_status survey(struct import *import) {
    struct progress progress;
    struct source_item item;
    enum source_result result;
    uint64_t seen = 0;
    progress_begin(&progress, import->source.redis == NULL ? "verifying" : "looking");
    progress.total_keys = source_total_keys(&import->source);
    source_rewind(&import->source);
    while ((result = source_next(&import->source, &item)) == SOURCE_ITEM) {
        if (item.type != NULL) {
            note_other(import, &item);
        } else if (has_expired(import, &item)) {
            import->expired++;
        } else {
            import->keys++;
        }
        if (++seen % SAY_EVERY_KEYS == 0) {
            progress_say(&progress, source_done(&import->source), import->source.whole.len, seen);
        }
    }
    progress_end(&progress);
    if (result == SOURCE_BAD) {
        return say_bad(import);
    }
    if (import->others_count > 0 && !import->request->skip_other_types) {
        char others[1024];
        describe_others(import, others, sizeof(others));
        return tool_say(
            TOOL_FAILED,
            "%s: what has no place in kvnode: %s; nothing was written (-skip-other-types leaves it out)",
            name_of_source(import), others);
    }
    return TOOL_OK;
}

/* --- The way of it --- */

static enum tool_status say_unwritten(const struct import *import) {
    return tool_say(TOOL_FAILED, "%s (%llu of %llu keys are written)", import->sink->reason,
                    (unsigned long long)import->sink->written, (unsigned long long)import->keys);
}

static bool put(struct import *import, const struct source_item *item) {
    const struct sink_item given = {
        .key = item->key,
        .value = item->value,
        .timestamp_ms = item->timestamp_ms != 0 ? item->timestamp_ms : import->now_ms,
        .deadline_ms = item->deadline_ms,
    };
    import->bytes += item->key.len + item->value.len;
    return import->sink->kind->put(import->sink, &given);
}

/* The second reading. */
static enum tool_status write_all(struct import *import) {
    struct progress progress;
    struct source_item item;
    enum source_result result;
    bool written = true;
    progress_begin(&progress, "importing");
    progress.total_keys = source_total_keys(&import->source);
    source_rewind(&import->source);
    while (written && (result = source_next(&import->source, &item)) == SOURCE_ITEM) {
        if (item.type == NULL && !has_expired(import, &item)) {
            written = put(import, &item);
            progress_say(&progress, import->source.redis == NULL ? source_done(&import->source) : import->bytes,
                         import->source.whole.len, import->sink->written);
        } else if (item.type != NULL && !import->request->skip_other_types) { /* it has become that meanwhile */
            note_other(import, &item);
        }
    }
    written = written && result == SOURCE_END && import->sink->kind->finish(import->sink);
    progress_end(&progress);
    if (!written) {
        return result == SOURCE_BAD ? say_bad(import) : say_unwritten(import);
    }
    return TOOL_OK;
}

static void say_done(const struct import *import) {
    printf("imported %llu keys, %.3f MB", (unsigned long long)import->sink->written,
           (double)import->bytes / 1e6);
    if (import->expired > 0) {
        printf("; %llu had expired", (unsigned long long)import->expired);
    }
    if (import->others_count > 0) {
        char others[1024];
        describe_others(import, others, sizeof(others));
        printf("; left out: %s", others);
    }
    printf("\n");
}

static enum tool_status run(struct import *import, const struct options *options) {
    char reason[SINK_REASON_BYTES];
    if (!source_open(&import->source, import->request->from)) {
        return say_bad(import);
    }
    enum tool_status status = survey(import);
    if (status != TOOL_OK) {
        return status;
    }
    const struct settings *settings = &options->settings;
    const struct journal_wish wish = {
        .path = settings->data,
        .id = settings->id[0] == '\0' ? NULL : settings->id,
        .group = settings->group,
        .adopt = settings->adopt_data,
    };
    import->sink = import->request->to != NULL ? sink_to_node(import->request->to, reason)
                                               : sink_to_directory(&wish, 0, false, reason);
    if (import->sink == NULL) {
        return tool_say(TOOL_FAILED, "%s", reason);
    }
    status = write_all(import);
    if (status == TOOL_OK) {
        say_done(import);
    }
    import->sink->kind->destroy(import->sink);
    return status;
}

enum tool_status tool_import(const struct options *options) {
    struct timespec now;
    struct import import = {.request = &options->tool};
    clock_gettime(CLOCK_REALTIME, &now);
    import.now_ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
    enum tool_status status = run(&import, options);
    source_close(&import.source);
    return status;
}
