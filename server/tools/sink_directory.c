/* sink_directory.c: a DIR of -data as a node would have written it: incoming.log, which becomes the first
 * segment when it is whole and on the disk. */
#include "cluster/history.h"
#include "protocol/journal_record.h"
#include "protocol/line.h"
#include "server/journal/directory.h"
#include "server/tools/sink.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

enum { OUT_BYTES = 1 << 20, FIRST_SEGMENT = 1 };

struct sink_directory {
    struct sink sink;
    struct journal_directory *directory;
    int fd;
    off_t offset;
    bool forgetful;
    struct journal_chain chain;
    struct buf line, out;
};

static struct sink_directory *of(struct sink *sink) { return (struct sink_directory *)(void *)sink; }

static bool fail(struct sink_directory *to, const char *what) {
    snprintf(to->sink.reason, sizeof(to->sink.reason), "-data %s: %s: %s",
             journal_directory_path(to->directory), what, strerror(errno));
    return false;
}

static bool write_out(struct sink_directory *to) {
    struct slice bytes = buf_slice(&to->out);
    if (buf_failed(&to->out) || buf_failed(&to->line)) {
        errno = ENOMEM;
        return fail(to, "it cannot be written");
    }
    if (!journal_disk_write_all(journal_directory_disk(to->directory), to->fd, bytes.ptr, bytes.len,
                                to->offset)) {
        return fail(to, "it cannot be written");
    }
    to->offset += (off_t)bytes.len;
    buf_reset(&to->out);
    return true;
}

/* The line that stands in line, as a record. */
static bool add_line(struct sink_directory *to) {
    journal_append_state(&to->out, &to->chain, buf_slice(&to->line));
    buf_fail_if(&to->out, buf_failed(&to->line));
    buf_reset(&to->line);
    return buf_used(&to->out) < OUT_BYTES && !buf_failed(&to->out) ? true : write_out(to);
}

static bool put(struct sink *sink, const struct sink_item *item) {
    struct sink_directory *to = of(sink);
    uint64_t version = item->version == 0 ? 1 : item->version;
    line_replicate_x(&to->line, item->key, item->value, version, item->timestamp_ms, item->deadline_ms);
    sink->written++;
    return add_line(to);
}

static bool finish(struct sink *sink) {
    struct sink_directory *to = of(sink);
    const struct journal_disk *disk = journal_directory_disk(to->directory);
    line_end(&to->line, sink->written, 0);
    if (!add_line(to) || !write_out(to)) {
        return false;
    }
    struct journal_meta meta = *journal_directory_meta(to->directory);
    meta.kept.forgetful = to->forgetful;
    if (to->forgetful && !journal_directory_write_meta(to->directory, &meta)) {
        return fail(to, "its file meta cannot be written");
    }
    if (disk->fdatasync(disk->context, to->fd) != 0 ||
        !journal_directory_accept_incoming(to->directory, FIRST_SEGMENT)) {
        return fail(to, "it cannot be brought to the disk");
    }
    return true;
}

static void destroy(struct sink *sink) {
    struct sink_directory *to = of(sink);
    if (to->fd >= 0) {
        close(to->fd);
        journal_directory_remove_incoming(to->directory); /* it is not there any more when all went well */
    }
    journal_directory_close(&to->directory);
    buf_deinit(&to->line);
    buf_deinit(&to->out);
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
    struct timespec now;
    uint16_t random;
    if (!is_empty(to)) {
        return false;
    }
    if (clock_gettime(CLOCK_REALTIME, &now) != 0 || getrandom(&random, sizeof(random), 0) != sizeof(random)) {
        return fail(to, "no time, or no random numbers");
    }
    to->fd = journal_directory_create_incoming(to->directory);
    if (to->fd < 0) {
        return fail(to, "it cannot be written");
    }
    int64_t now_ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
    journal_chain_init(&to->chain);
    line_full(&to->line, history_make_id(now_ms, random), 0, floor, NULL);
    return add_line(to);
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
    to->fd = -1;
    to->forgetful = forgetful;
    buf_init(&to->line, SIZE_MAX);
    buf_init(&to->out, SIZE_MAX);
    to->directory = journal_directory_open(wish, &journal_disk_system, to->sink.reason);
    if (to->directory == NULL || !begin(to, floor)) {
        snprintf(reason, SINK_REASON_BYTES, "%s", to->sink.reason);
        destroy(&to->sink);
        return NULL;
    }
    return &to->sink;
}
