#include "server/journal/lines.h"

#include "protocol/line.h"

#include <assert.h>
#include <errno.h>
#include <unistd.h>

enum { LONG_LINE_BYTES = 64 << 10, KEPT_BYTES = 1 << 20 };

void journal_lines_init(struct journal_lines *lines, const struct journal_directory *directory,
                        uint64_t history_id, uint64_t index) {
    *lines = (struct journal_lines){
        .directory = directory, .history_id = history_id, .index = index, .from = index, .fd = -1};
    buf_init(&lines->in, JOURNAL_RECORD_BYTES + 2 * JOURNAL_LINES_BLOCK_BYTES);
    buf_init(&lines->out, JOURNAL_LINES_PIECE_BYTES + 2 * LONG_LINE_BYTES);
}

static void close_file(struct journal_lines *lines) {
    if (lines->fd >= 0) {
        close(lines->fd);
        lines->fd = -1;
    }
}

void journal_lines_deinit(struct journal_lines *lines) {
    close_file(lines);
    buf_deinit(&lines->in);
    buf_deinit(&lines->out);
}

static bool stop(struct journal_lines *lines, const char *reason, int error) {
    lines->reason = reason;
    lines->error = error;
    return false;
}

void journal_lines_open(struct journal_lines *lines, const struct journal_place *place) {
    assert(lines->number == 0 || place->mark.index == lines->index);
    close_file(lines);
    buf_reset(&lines->in);
    lines->searched = 0;
    lines->number = place->number;
    lines->offset = place->mark.offset;
    lines->chain = place->mark.chain;
    lines->index = place->mark.index;
    lines->fd = journal_directory_open_segment(lines->directory, place->number, false);
    if (lines->fd < 0) {
        stop(lines, "it cannot be opened", errno);
    }
}

/* --- Records --- */

static bool is_header(const struct journal_lines *lines, struct slice bytes) {
    struct line line;
    struct buf none;
    const char *reason;
    buf_init(&none, 0);
    return line_decode(bytes, &none, &line, &reason) == LINE_OK && line.verb == LINE_FULL &&
           line.history_id == lines->history_id && line.index == lines->index;
}

/* A long line is given where it is: a piece of its own. */
static void give(struct journal_lines *lines, const struct journal_record *record) {
    size_t with_lf = record->line.len + 1;
    if (record->line.len < LONG_LINE_BYTES) {
        buf_append(&lines->out, record->line.ptr, with_lf);
        buf_consume(&lines->in, record->bytes);
    } else {
        lines->given_bytes = record->bytes;
        lines->line_at = record->bytes - with_lf;
    }
}

/* The record that in begins with, its LF included. */
static bool take_record(struct journal_lines *lines) {
    struct journal_record record;
    const char *reason = "it ends within a record";
    if (journal_parse(buf_slice(&lines->in), &lines->chain, &record, &reason) != JOURNAL_OK) {
        return stop(lines, reason, 0);
    }
    if (lines->offset == 0 && !is_header(lines, record.line)) {
        return stop(lines, "it does not begin with the FULL that was written", 0);
    }
    if (record.index != JOURNAL_NO_INDEX && record.index != lines->index + 1) {
        return stop(lines, "an index is not the next one", 0);
    }
    lines->offset += record.bytes;
    lines->searched = 0;
    if (record.index != JOURNAL_NO_INDEX && record.index > lines->from) {
        lines->index = record.index;
        give(lines, &record);
        return !buf_failed(&lines->out) || stop(lines, "out of memory", ENOMEM);
    }
    lines->index = record.index != JOURNAL_NO_INDEX ? record.index : lines->index;
    buf_consume(&lines->in, record.bytes);
    return true;
}

/* Whether in begins with a record that is whole, and that the piece has place for. */
static bool has_record(struct journal_lines *lines) {
    if (lines->given_bytes > 0) {
        return false;
    }
    struct slice in = buf_slice(&lines->in);
    const char *lf =
        in.len == lines->searched ? NULL : memchr(in.ptr + lines->searched, '\n', in.len - lines->searched);
    lines->searched = lf == NULL ? in.len : (size_t)(lf - in.ptr);
    bool may_be_long = lines->searched >= LONG_LINE_BYTES;
    return lf != NULL && buf_used(&lines->out) < JOURNAL_LINES_PIECE_BYTES &&
           !(may_be_long && buf_used(&lines->out) > 0);
}

/* --- Blocks --- */

static bool read_block(struct journal_lines *lines, uint64_t end_bytes, size_t *read_bytes) {
    const struct journal_disk *disk = journal_directory_disk(lines->directory);
    uint64_t at = lines->offset + buf_used(&lines->in), left = end_bytes - at;
    size_t n = left < JOURNAL_LINES_BLOCK_BYTES ? (size_t)left : JOURNAL_LINES_BLOCK_BYTES;
    if (lines->in.capacity > KEPT_BYTES && buf_used(&lines->in) < JOURNAL_LINES_BLOCK_BYTES) {
        buf_shrink(&lines->in); /* a long record leaves a large one behind */
    }
    char *to = buf_reserve(&lines->in, n);
    if (to == NULL) {
        return stop(lines, "out of memory", ENOMEM);
    }
    ssize_t got = journal_disk_read_all(disk, lines->fd, to, n, (off_t)at);
    if (got < 0) {
        return stop(lines, "it cannot be read", errno);
    }
    if ((size_t)got < n) {
        return stop(lines, "it is shorter than what was written", 0);
    }
    buf_commit(&lines->in, n);
    *read_bytes += n;
    return true;
}

bool journal_lines_read(struct journal_lines *lines, uint64_t end_bytes) {
    size_t read_bytes = 0;
    assert(journal_lines_pending(lines).len == 0);
    while (lines->reason == NULL) {
        while (has_record(lines)) {
            if (!take_record(lines)) {
                return false;
            }
        }
        bool has_piece = lines->given_bytes > 0 ||
                         (buf_used(&lines->out) > 0 && lines->searched < buf_used(&lines->in)) ||
                         buf_used(&lines->out) >= JOURNAL_LINES_PIECE_BYTES;
        bool at_end = lines->offset + buf_used(&lines->in) >= end_bytes;
        if (has_piece || at_end || read_bytes >= JOURNAL_LINES_TURN_BYTES) {
            break;
        }
        if (!read_block(lines, end_bytes, &read_bytes)) {
            return false;
        }
    }
    return lines->reason == NULL;
}

struct slice journal_lines_pending(const struct journal_lines *lines) {
    return lines->given_bytes > 0
               ? slice_skip(slice_first(buf_slice(&lines->in), lines->given_bytes), lines->line_at)
               : buf_slice(&lines->out);
}

void journal_lines_take(struct journal_lines *lines, size_t n) {
    if (lines->given_bytes == 0) {
        buf_consume(&lines->out, n);
        return;
    }
    lines->line_at += n;
    if (lines->line_at == lines->given_bytes) {
        buf_consume(&lines->in, lines->given_bytes);
        lines->given_bytes = 0;
    }
}

bool journal_lines_has_more(const struct journal_lines *lines) {
    return lines->searched < buf_used(&lines->in);
}
