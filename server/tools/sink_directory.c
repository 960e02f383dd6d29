/* sink_directory.c: a DIR of -data that is made: its first segment. */
#include "server/tools/sink.h"
#include "server/tools/state_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { FIRST_SEGMENT = 1 };

struct sink_directory {
    struct sink sink;
    struct journal_directory *directory;
    struct state_file file;
    bool forgetful;
};

static struct sink_directory *of(struct sink *sink) { return (struct sink_directory *)(void *)sink; }

static bool fail(struct sink_directory *to, const char *what) {
    snprintf(to->sink.reason, sizeof(to->sink.reason), "-data %s: %s: %s",
             journal_directory_path(to->directory), what, strerror(errno));
    return false;
}

static bool put(struct sink *sink, const struct sink_item *item) {
    struct sink_directory *to = of(sink);
    uint64_t version = item->version == 0 ? 1 : item->version;
    sink->written++;
    return state_file_put(&to->file, item->key, item->value, version, item->timestamp_ms, item->deadline_ms) ||
           fail(to, "it cannot be written");
}

static bool finish(struct sink *sink) {
    struct sink_directory *to = of(sink);
    if (!state_file_end(&to->file, SLICE(""))) {
        return fail(to, "it cannot be brought to the disk");
    }
    struct journal_meta meta = *journal_directory_meta(to->directory);
    meta.kept.forgetful = to->forgetful;
    if (to->forgetful && !journal_directory_write_meta(to->directory, &meta)) {
        return fail(to, "its file meta cannot be written");
    }
    return state_file_accept(&to->file, FIRST_SEGMENT) || fail(to, "it cannot be brought to the disk");
}

static void destroy(struct sink *sink) {
    struct sink_directory *to = of(sink);
    state_file_close(&to->file);
    journal_directory_close(&to->directory);
    free(to);
}

static bool is_empty(struct sink_directory *to) {
    uint64_t *numbers;
    size_t n;
    if (!journal_directory_list(to->directory, &numbers, &n)) {
        return fail(to, "it cannot be listed");
    }
    free(numbers);
    if (n > 0) {
        snprintf(to->sink.reason, sizeof(to->sink.reason),
                 "-data %s: it holds data already: -import wants a new one",
                 journal_directory_path(to->directory));
    }
    return n == 0;
}

static bool begin(struct sink_directory *to, uint64_t floor) {
    uint64_t history_id;
    if (!is_empty(to)) {
        return false;
    }
    if (!state_file_make_history_id(&history_id)) {
        return fail(to, "no time, or no random numbers");
    }
    return state_file_begin(&to->file, to->directory, history_id, floor) || fail(to, "it cannot be written");
}

struct sink *sink_to_directory(const struct journal_wish *wish, uint64_t floor, bool forgetful,
                               char reason[SINK_REASON_BYTES]) {
    static const struct sink_kind kind = {.put = put, .finish = finish, .destroy = destroy};
    struct sink_directory *to = calloc(1, sizeof(*to));
    if (to == NULL) {
        snprintf(reason, SINK_REASON_BYTES, "out of memory");
        return NULL;
    }
    to->sink.kind = &kind;
    to->file.fd = -1;
    to->forgetful = forgetful;
    to->directory = journal_directory_open(wish, &journal_disk_system, to->sink.reason);
    if (to->directory == NULL || !begin(to, floor)) {
        snprintf(reason, SINK_REASON_BYTES, "%s", to->sink.reason);
        destroy(&to->sink);
        return NULL;
    }
    return &to->sink;
}
