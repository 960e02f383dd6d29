/* repair.c: kvnode -repair DIR NEWDIR: what of DIR is valid, as a new DIR, and a word on what is not.
 *
 * A record's checksum hangs on the one before it alone, so reading goes on behind a damaged one. What lines say
 * is absolute, but for patches: one whose base may have been lost makes its key lost, until it is written as a
 * whole again. A deletion that is lost leaves its key. */
#include "protocol/journal_record.h"
#include "protocol/line.h"
#include "server/journal/directory.h"
#include "server/store/keyspace.h"
#include "server/tools/progress.h"
#include "server/tools/sink.h"
#include "server/tools/tool.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SAID_DAMAGES = 20, BACKLOG_BYTES = 16 << 10 };

struct repair {
    struct journal_directory *directory;
    struct loop *loop;
    struct history *history;
    struct keyspace *keyspace;
    struct sink *sink;
    uint64_t *numbers; /* of the segments, oldest first */
    size_t count;
    uint64_t history_id; /* of the first that is read; 0: it does not say */
    int64_t clock_ms;
    uint64_t damages, lost_bytes, lost_keys;
    uint64_t done_bytes;
    struct progress progress;
};

/* A segment that is read, one record after the other. */
struct reading {
    struct slice whole, rest;
    struct journal_chain chain;
    uint64_t line;
};

enum found { FOUND_RECORD, FOUND_DAMAGE, FOUND_END };

/* One record; or so much as does not hold: up to the end of its line. */
static enum found read_record(struct reading *reading, struct journal_record *record, size_t *bytes) {
    const char *reason;
    if (reading->rest.len == 0) {
        return FOUND_END;
    }
    reading->line++;
    if (journal_parse(reading->rest, &reading->chain, record, &reason) == JOURNAL_OK) {
        reading->rest = slice_skip(reading->rest, record->bytes);
        return FOUND_RECORD;
    }
    struct slice damaged = slice_take_until(&reading->rest, '\n');
    *bytes = damaged.len;
    if (damaged.len >= JOURNAL_CRC_DIGITS) {
        memcpy(reading->chain.crc, damaged.ptr, JOURNAL_CRC_DIGITS);
    }
    return FOUND_DAMAGE;
}

/* --- Files --- */

static bool map_segment(const struct repair *repair, size_t i, struct reading *reading) {
    struct stat status;
    *reading = (struct reading){.whole = SLICE(""), .rest = SLICE("")};
    journal_chain_init(&reading->chain);
    int fd = journal_directory_open_segment(repair->directory, repair->numbers[i], false);
    bool mapped = fd >= 0 && fstat(fd, &status) == 0;
    if (mapped && status.st_size > 0) {
        void *bytes = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        mapped = bytes != MAP_FAILED;
        if (mapped) {
            reading->whole = reading->rest = slice_of(bytes, (size_t)status.st_size);
        }
    }
    if (fd >= 0) {
        close(fd);
    }
    return mapped;
}

static void unmap_segment(struct reading *reading) {
    if (reading->whole.len > 0) {
        munmap((void *)(uintptr_t)reading->whole.ptr, reading->whole.len);
    }
}

static enum line_verb verb_of(struct slice bytes, struct buf *scratch, struct line *line) {
    const char *reason;
    return line_decode(bytes, scratch, line, &reason) == LINE_OK ? line->verb : LINE_ERROR;
}

/* Whether all from FULL to END holds; and whose history it is. */
static bool state_is_whole(struct reading reading, struct buf *scratch, uint64_t *history_id) {
    struct journal_record record;
    struct line line;
    size_t bytes;
    *history_id = 0;
    while (read_record(&reading, &record, &bytes) == FOUND_RECORD) {
        enum line_verb verb = verb_of(record.line, scratch, &line);
        if (reading.line == 1 && verb != LINE_FULL) {
            return false;
        }
        *history_id = verb == LINE_FULL ? line.history_id : *history_id;
        if (verb == LINE_END) {
            return true;
        }
    }
    return false;
}

/* --- Lines --- */

/* What it changes is not there, or another one than it was. */
static bool has_lost_its_base(const struct repair *repair, const struct line *line) {
    struct key key = keyspace_key(repair->keyspace, line->key);
    const struct entry *entry = keyspace_peek(repair->keyspace, &key);
    return repair->damages > 0 && (entry == NULL || (entry_version(entry) != line->version &&
                                                     entry_version(entry) + 1 != line->version));
}

static enum err apply(struct repair *repair, const struct line *line) {
    if (line->verb == LINE_PATCH && has_lost_its_base(repair, line)) {
        const struct line lost = {.verb = LINE_DELETE, .key = line->key, .version = line->version};
        repair->lost_keys++;
        return keyspace_apply(repair->keyspace, &lost, 0);
    }
    int64_t timestamp_ms = line->timestamp_ms != 0 ? line->timestamp_ms : repair->clock_ms;
    return keyspace_apply(repair->keyspace, line, timestamp_ms);
}

static enum err take(struct repair *repair, struct slice bytes, struct buf *scratch) {
    struct line line;
    enum line_verb verb = verb_of(bytes, scratch, &line);
    if (verb == LINE_CLOCK) {
        repair->clock_ms = line.timestamp_ms;
    } else if (verb == LINE_FULL) {
        keyspace_raise_floor(repair->keyspace, line.version);
    }
    return verb <= LINE_LAST_OF_CHANGES ? apply(repair, &line) : ERR_NONE;
}

static void note_damage(struct repair *repair, size_t i, const struct reading *reading, size_t bytes) {
    char name[JOURNAL_NAME_BYTES];
    journal_segment_name(name, repair->numbers[i]);
    repair->lost_bytes += bytes;
    if (++repair->damages <= SAID_DAMAGES) {
        uint64_t end = reading->whole.len - reading->rest.len;
        printf("lost: %s, line %llu, about byte %llu: %zu bytes\n", name, (unsigned long long)reading->line,
               (unsigned long long)(end - bytes), bytes);
    }
}

static enum err read_segment(struct repair *repair, size_t i, struct reading *reading, struct buf *scratch) {
    struct journal_record record;
    size_t bytes = 0;
    enum found found;
    enum err err = ERR_NONE;
    while (err == ERR_NONE && (found = read_record(reading, &record, &bytes)) != FOUND_END) {
        if (found == FOUND_DAMAGE) {
            note_damage(repair, i, reading, bytes);
        } else {
            err = take(repair, record.line, scratch);
        }
        progress_say(&repair->progress, repair->done_bytes + reading->whole.len - reading->rest.len, 0,
                     keyspace_count(repair->keyspace));
    }
    repair->done_bytes += reading->whole.len;
    return err;
}

/* From the last one whose state is whole; if there is none, all. Those of another history were never in force.
 */
static enum tool_status read_all(struct repair *repair, struct buf *scratch) {
    struct reading reading;
    uint64_t history_id;
    size_t first = repair->count;
    bool whole = false;
    while (first > 0 && !whole) {
        first--;
        if (map_segment(repair, first, &reading)) {
            whole = state_is_whole(reading, scratch, &repair->history_id);
            unmap_segment(&reading);
        }
    }
    for (size_t i = first; i < repair->count; i++) {
        if (!map_segment(repair, i, &reading)) {
            return tool_say(TOOL_FAILED, "a segment cannot be read: %s", strerror(errno));
        }
        state_is_whole(reading, scratch, &history_id);
        bool is_other = history_id != 0 && repair->history_id != 0 && history_id != repair->history_id;
        enum err err = is_other ? ERR_NONE : read_segment(repair, i, &reading, scratch);
        unmap_segment(&reading);
        if (err != ERR_NONE) {
            return tool_say(TOOL_FAILED, "%s", err_text(err));
        }
    }
    return TOOL_OK;
}

/* --- NEWDIR --- */

struct writing {
    struct sink *sink;
    bool failed;
};

static void write_entry(void *context, const struct entry *entry) {
    struct writing *writing = context;
    const struct sink_item item = {
        .key = entry_key(entry),
        .value = entry_value(entry),
        .version = entry_version(entry),
        .timestamp_ms = entry_timestamp_ms(entry),
        .deadline_ms = entry_deadline_ms(entry),
    };
    writing->failed = writing->failed || !writing->sink->kind->put(writing->sink, &item);
}

static enum tool_status write_all(struct repair *repair, const char *path) {
    char reason[SINK_REASON_BYTES];
    const struct journal_wish wish = {.path = path, .group = journal_directory_meta(repair->directory)->group};
    repair->sink = sink_to_directory(&wish, keyspace_floor(repair->keyspace), true, reason);
    if (repair->sink == NULL) {
        return tool_say(TOOL_FAILED, "%s", reason);
    }
    struct writing writing = {.sink = repair->sink};
    uint64_t cursor = 0;
    do {
        cursor = keyspace_scan_stored(repair->keyspace, cursor, write_entry, &writing);
    } while (cursor != 0 && !writing.failed);
    if (writing.failed || !repair->sink->kind->finish(repair->sink)) {
        return tool_say(TOOL_FAILED, "%s", repair->sink->reason);
    }
    printf("%llu keys are in %s\n", (unsigned long long)repair->sink->written, path);
    if (repair->damages == 0) {
        printf("nothing is lost\n");
    } else {
        printf("%llu records are lost, %llu bytes; besides them %llu times a key, of which only a change was "
               "left\n",
               (unsigned long long)repair->damages, (unsigned long long)repair->lost_bytes,
               (unsigned long long)repair->lost_keys);
    }
    return TOOL_OK;
}

/* --- Life --- */

static enum tool_status open_all(struct repair *repair, const char *path) {
    char reason[JOURNAL_REASON_BYTES];
    const struct journal_wish wish = {.path = path, .look = true};
    errno = 0;
    repair->directory = journal_directory_open(&wish, &journal_disk_system, reason);
    if (repair->directory == NULL) {
        return errno == EWOULDBLOCK
                   ? tool_say(TOOL_MISUSED, "%s: a node runs on it, or another tool: it has to end first", path)
                   : tool_say(TOOL_FAILED, "%s", reason);
    }
    if (!journal_directory_list(repair->directory, &repair->numbers, &repair->count)) {
        return tool_say(TOOL_FAILED, "%s cannot be listed: %s", path, strerror(errno));
    }
    if (repair->count == 0) {
        return tool_say(TOOL_FAILED, "%s: there is no segment in it", path);
    }
    repair->loop = loop_create();
    repair->history = repair->loop == NULL ? NULL : history_create(0, BACKLOG_BYTES);
    repair->keyspace = repair->history == NULL ? NULL : keyspace_create(repair->loop, repair->history, 0);
    return repair->keyspace != NULL ? TOOL_OK : tool_say(TOOL_FAILED, "out of memory");
}

static void close_all(struct repair *repair) {
    if (repair->sink != NULL) {
        repair->sink->kind->destroy(repair->sink);
    }
    if (repair->keyspace != NULL) {
        keyspace_destroy(&repair->keyspace);
    }
    history_destroy(&repair->history);
    if (repair->loop != NULL) {
        loop_destroy(&repair->loop);
    }
    journal_directory_close(&repair->directory);
    free(repair->numbers);
}

enum tool_status tool_repair(const struct options *options) {
    struct repair repair = {.count = 0};
    struct buf scratch;
    buf_init(&scratch, LIMIT_LINE_BYTES);
    enum tool_status status = open_all(&repair, options->tool.from);
    if (status == TOOL_OK) {
        progress_begin(&repair.progress, "reading");
        status = read_all(&repair, &scratch);
        progress_end(&repair.progress);
    }
    status = status == TOOL_OK ? write_all(&repair, options->tool.to) : status;
    close_all(&repair);
    buf_deinit(&scratch);
    return status;
}
