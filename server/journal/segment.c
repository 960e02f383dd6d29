#include "server/journal/segment.h"

#include "cluster/history.h"

#include <assert.h>
#include <errno.h>
#include <sys/stat.h>

enum { BLOCK_BYTES = 256 << 10, KEPT_BYTES = 4 << 20 };

/* The longest BATCH, and a record behind it. */
#define MOST_BYTES                                                                                             \
    (HISTORY_BATCH_LIMIT_BYTES + LIMIT_BATCH_LINES * JOURNAL_OVERHEAD_BYTES + JOURNAL_RECORD_BYTES +           \
     BLOCK_BYTES)

bool journal_segment_init(struct journal_segment *segment, const struct journal_disk *disk, int fd) {
    struct stat status;
    *segment = (struct journal_segment){.disk = disk, .fd = fd};
    buf_init(&segment->buf, MOST_BYTES);
    journal_chain_init(&segment->chain);
    segment->checked.chain = segment->chain;
    if (fstat(fd, &status) != 0) {
        return false;
    }
    segment->size_bytes = (uint64_t)status.st_size;
    return true;
}

void journal_segment_deinit(struct journal_segment *segment) { buf_deinit(&segment->buf); }

/* --- Bytes --- */

/* error: errno of what does not say anything of the file's content, or 0. */
static enum journal_segment_result stop(struct journal_segment *segment, const char *reason, int error) {
    segment->reason = reason;
    segment->error = error;
    segment->wrong_line = segment->records + segment->checked.records + 1;
    segment->wrong_offset = segment->valid_bytes + segment->checked.bytes;
    segment->read_bytes = segment->wrong_offset; /* what is behind is read from there */
    segment->behind.offset = segment->wrong_offset;
    buf_deinit(&segment->buf);
    return error != 0 ? JOURNAL_SEGMENT_WRONG : JOURNAL_SEGMENT_GOES_ON;
}

/* The next block behind what is in buf. 0, or errno. */
static int read_block(struct journal_segment *segment) {
    uint64_t left = segment->size_bytes - segment->read_bytes;
    size_t n = left < BLOCK_BYTES ? (size_t)left : BLOCK_BYTES;
    if (segment->buf.capacity > KEPT_BYTES && buf_used(&segment->buf) < BLOCK_BYTES) {
        buf_shrink(&segment->buf); /* a long record leaves a large one behind */
    }
    char *to = buf_reserve(&segment->buf, n);
    if (to == NULL) {
        return ENOMEM;
    }
    ssize_t got = journal_disk_read_all(segment->disk, segment->fd, to, n, (off_t)segment->read_bytes);
    if (got < 0) {
        return errno;
    }
    buf_commit(&segment->buf, (size_t)got);
    segment->read_bytes += (uint64_t)got;
    if ((size_t)got < n) {
        segment->size_bytes = segment->read_bytes; /* somebody has cut it since */
    }
    return 0;
}

/* --- What may follow what: NULL, or the reason why it may not --- */

static bool begins_with(struct slice line, struct slice name) {
    return line.len >= name.len && slice_equals(slice_first(line, name.len), name);
}

/* A line with fields that need no room to be unescaped. */
static bool decode(struct slice bytes, enum line_verb verb, struct line *out) {
    struct buf none;
    const char *reason;
    buf_init(&none, 0);
    return line_decode(bytes, &none, out, &reason) == LINE_OK && out->verb == verb;
}

/* On no link is there a history of id 0: it is that of a node that had none yet, and an empty state. */
static bool decode_header(struct slice bytes, struct line *out) {
    if (slice_equals(bytes, SLICE("FULL|0000000000000000|0|0"))) {
        *out = (struct line){.verb = LINE_FULL};
        return true;
    }
    return decode(bytes, LINE_FULL, out);
}

static const char *check_history_line(struct journal_checked *checked, const struct journal_record *record) {
    struct line line;
    if (record->index != checked->index + 1) {
        return "its index is not the next one";
    }
    checked->index = record->index;
    bool is_batch = begins_with(record->line, SLICE("BATCH|"));
    if (checked->batch_left > 0) {
        checked->batch_left--;
        return is_batch ? "a BATCH in a BATCH" : NULL;
    }
    if (is_batch) {
        if (!decode(record->line, LINE_BATCH, &line)) {
            return "a BATCH of no number of lines";
        }
        checked->batch_left = line.count;
    }
    if (begins_with(record->line, SLICE("TERM|")) && !decode(record->line, LINE_TERM, &line)) {
        return "a TERM that is none";
    }
    return NULL;
}

static const char *check_other_line(struct journal_segment *segment, const struct journal_record *record) {
    struct journal_checked *checked = &segment->checked;
    struct line line;
    uint64_t offset;
    if (journal_read_synced(record, &offset)) {
        if (offset > segment->valid_bytes + checked->bytes) {
            return "SYNCED of what lies behind it";
        }
        segment->synced_bytes = offset > segment->synced_bytes ? offset : segment->synced_bytes;
        return NULL;
    }
    if (checked->batch_left > 0) {
        return "a line of a state in a BATCH";
    }
    if (segment->complete) {
        return "a line of a state behind END";
    }
    if (begins_with(record->line, SLICE("FULL|"))) {
        return "a second FULL";
    }
    if (begins_with(record->line, SLICE("END|")) &&
        (!decode(record->line, LINE_END, &line) || line.index != checked->index)) {
        return "END names another index";
    }
    return NULL;
}

static const char *check(struct journal_segment *segment, const struct journal_record *record) {
    struct line line;
    if (!segment->has_header) {
        if (record->index != JOURNAL_NO_INDEX || !decode_header(record->line, &line)) {
            return "it does not begin with FULL";
        }
        segment->checked.index = line.index;
        return NULL;
    }
    return record->index != JOURNAL_NO_INDEX ? check_history_line(&segment->checked, record)
                                             : check_other_line(segment, record);
}

/* --- Giving what was checked --- */

static void take_header(struct journal_segment *segment, const struct line *line) {
    segment->has_header = true;
    segment->history_id = line->history_id;
    segment->index = segment->last_index = line->index;
    segment->floor = line->version;
    segment->term = segment->last_term = line_term_of(line);
}

static enum journal_kind take_history_line(struct journal_segment *segment,
                                           const struct journal_record *record) {
    struct line line;
    segment->last_index = record->index;
    if (begins_with(record->line, SLICE("TERM|")) && decode(record->line, LINE_TERM, &line)) {
        segment->last_term = line_term_of(&line);
    }
    return JOURNAL_HISTORY;
}

static enum journal_kind take_other_line(struct journal_segment *segment, const struct journal_record *record) {
    struct line line;
    if (!segment->has_header) {
        bool is_full = decode_header(record->line, &line);
        assert(is_full);
        take_header(segment, &line);
        return JOURNAL_FULL;
    }
    if (begins_with(record->line, SLICE("END|")) && decode(record->line, LINE_END, &line)) {
        segment->complete = true;
        segment->keys = line.count;
        return JOURNAL_END;
    }
    return JOURNAL_STATE;
}

static enum journal_segment_result give(struct journal_segment *segment, const struct journal_record *record,
                                        struct journal_given *out) {
    uint64_t offset = segment->valid_bytes;
    segment->giving--;
    segment->checked.records--;
    segment->checked.bytes -= record->bytes;
    segment->given_bytes = record->bytes;
    segment->records++;
    segment->valid_bytes += record->bytes;
    uint64_t synced;
    if (journal_read_synced(record, &synced)) {
        return JOURNAL_SEGMENT_GOES_ON;
    }
    out->kind = record->index != JOURNAL_NO_INDEX ? take_history_line(segment, record)
                                                  : take_other_line(segment, record);
    out->line = record->line;
    out->index = record->index;
    out->offset = offset;
    return JOURNAL_SEGMENT_GIVEN;
}

/* --- Reading on --- */

static enum journal_segment_result at_end(struct journal_segment *segment, size_t left) {
    if (left > 0) {
        return stop(segment, "it ends within a record", 0);
    }
    if (segment->checked.batch_left > 0) {
        return stop(segment, "it ends within a BATCH", 0);
    }
    return segment->has_header ? JOURNAL_SEGMENT_ENDS : stop(segment, "it is empty", 0);
}

static enum journal_segment_result read_on(struct journal_segment *segment, size_t left) {
    segment->searched_bytes = left;
    if (segment->read_bytes == segment->size_bytes) {
        return at_end(segment, left);
    }
    int error = read_block(segment);
    if (error != 0) {
        return stop(segment, error == ENOMEM ? "out of memory" : "it can't be read", error);
    }
    return JOURNAL_SEGMENT_GOES_ON;
}

/* The next record of a BATCH that is whole. */
static enum journal_segment_result give_on(struct journal_segment *segment, struct journal_given *out) {
    struct journal_record record;
    const char *reason;
    enum journal_result result = journal_parse(buf_slice(&segment->buf), &segment->chain, &record, &reason);
    assert(result == JOURNAL_OK);
    return give(segment, &record, out);
}

static enum journal_segment_result check_on(struct journal_segment *segment, struct journal_given *out) {
    struct journal_checked *checked = &segment->checked;
    struct slice in = slice_skip(buf_slice(&segment->buf), checked->bytes);
    struct slice news = slice_skip(in, segment->searched_bytes);
    if (news.len == 0 || (segment->searched_bytes > 0 && in.len < JOURNAL_RECORD_BYTES &&
                          memchr(news.ptr, '\n', news.len) == NULL)) {
        return read_on(segment, in.len);
    }
    struct journal_record record;
    const char *reason = NULL;
    struct journal_chain chain = checked->chain;
    enum journal_result result = journal_parse(in, &chain, &record, &reason);
    if (result == JOURNAL_MORE) {
        return read_on(segment, in.len);
    }
    if (result == JOURNAL_BAD || (reason = check(segment, &record)) != NULL) {
        return stop(segment, reason, 0);
    }
    checked->chain = chain;
    checked->bytes += record.bytes;
    checked->records++;
    segment->searched_bytes = 0;
    if (checked->batch_left > 0) {
        return JOURNAL_SEGMENT_GOES_ON;
    }
    segment->giving = checked->records;
    if (segment->giving > 1) {
        return JOURNAL_SEGMENT_GOES_ON;
    }
    segment->chain = chain;
    return give(segment, &record, out);
}

/* --- Behind what is wrong --- */

/* Whether its checksum is right is not asked: what it is summed up with may be what is wrong. */
static void look_at_line(struct journal_segment *segment) {
    const struct slice no_index = SLICE(" - ");
    struct slice line = slice_of(segment->behind.head, segment->behind.n);
    uint64_t offset;
    if (line.len >= sizeof(segment->behind.head) || line.len <= JOURNAL_CRC_DIGITS + no_index.len) {
        return;
    }
    line = slice_skip(line, JOURNAL_CRC_DIGITS);
    struct journal_record record = {.line = slice_skip(line, no_index.len)};
    if (begins_with(line, no_index) && journal_read_synced(&record, &offset) &&
        offset <= segment->behind.offset && offset > segment->synced_bytes) {
        segment->synced_bytes = offset;
    }
}

static void look_through(struct journal_segment *segment, struct slice bytes) {
    while (bytes.len > 0) {
        const char *lf = memchr(bytes.ptr, '\n', bytes.len);
        size_t n = lf == NULL ? bytes.len : (size_t)(lf - bytes.ptr);
        size_t room = sizeof(segment->behind.head) - segment->behind.n;
        memcpy(segment->behind.head + segment->behind.n, bytes.ptr, n < room ? n : room);
        segment->behind.n += n < room ? n : room;
        if (lf == NULL) {
            return;
        }
        look_at_line(segment);
        bytes = slice_skip(bytes, n + 1);
        segment->behind.n = 0;
        segment->behind.offset = segment->read_bytes - bytes.len;
    }
}

static enum journal_segment_result look_behind(struct journal_segment *segment) {
    if (segment->error != 0 || segment->read_bytes == segment->size_bytes) {
        return JOURNAL_SEGMENT_WRONG;
    }
    segment->error = read_block(segment);
    if (segment->error != 0) {
        segment->reason = segment->error == ENOMEM ? "out of memory" : "it can't be read";
        return JOURNAL_SEGMENT_WRONG;
    }
    look_through(segment, buf_slice(&segment->buf));
    buf_reset(&segment->buf);
    return JOURNAL_SEGMENT_GOES_ON;
}

enum journal_segment_result journal_segment_next(struct journal_segment *segment, struct journal_given *out) {
    buf_consume(&segment->buf, segment->given_bytes);
    segment->given_bytes = 0;
    if (segment->reason != NULL) {
        return look_behind(segment);
    }
    return segment->giving > 0 ? give_on(segment, out) : check_on(segment, out);
}
