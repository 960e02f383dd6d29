/* The backlog is a queue of chunks of whole lines, numbered for ever: a cursor names a chunk by number.
 *
 *      first                                   last
 *     [ chunk 7 ][ chunk 8 ][ chunk 9 ][ chunk 10 ... ]   next_chunk = 11
 *         ^ reader of old, about to be lost        ^ lines are appended here
 *
 * Whether a reader still needs a chunk is told by the indices of both: a reader at the end of chunk 7 does not,
 * and goes on at the start of chunk 8 when 7 has gone.
 */
#include "cluster/history.h"

#include <assert.h>
#include <stdlib.h>

enum { SMALLEST_CHUNK_BYTES = 4 << 10, LARGEST_CHUNK_BYTES = 256 << 10, LINE_OVERHEAD_BYTES = 96 };

struct chunk {
    uint64_t first_index; /* of its first line */
    uint64_t line_count;
    int64_t clock_ms; /* that its first line relies on */
    struct buf bytes;
};

struct history {
    uint64_t id;
    uint64_t index;
    struct lineage lineage;
    struct voters_since {
        struct voters set;
        uint64_t index;
    } voters, voters_before;
    bool quorum;
    size_t limit_bytes, chunk_bytes, backlog_bytes;
    bool keeping;
    int64_t clock_ms;    /* what this node's last CLOCK line said; 0: it says the next one whatever that was */
    int64_t in_force_ms; /* what the last CLOCK line said, whosever it was; 0: nothing */

    struct chunk **chunks; /* a ring: chunk number n is at n & (chunk_slots - 1) */
    size_t chunk_slots;    /* a power of two */
    uint64_t first_chunk, next_chunk;
    struct history_reader *readers;

    bool in_batch;
    uint64_t batch_lines;
    int64_t batch_clock_ms; /* 0: no plain line in it */
    struct buf batch;
};

struct history *history_create(uint64_t id, size_t limit_bytes) {
    struct history *history = calloc(1, sizeof(*history));
    if (history == NULL) {
        return NULL;
    }
    size_t chunk_bytes = limit_bytes / 16;
    chunk_bytes = chunk_bytes < SMALLEST_CHUNK_BYTES ? SMALLEST_CHUNK_BYTES : chunk_bytes;
    chunk_bytes = chunk_bytes > LARGEST_CHUNK_BYTES ? LARGEST_CHUNK_BYTES : chunk_bytes;
    *history =
        (struct history){.id = id, .limit_bytes = limit_bytes, .chunk_bytes = chunk_bytes, .chunk_slots = 16};
    history->chunks = calloc(history->chunk_slots, sizeof(struct chunk *));
    if (history->chunks == NULL) {
        free(history);
        return NULL;
    }
    lineage_begin(&history->lineage, NULL, 0);
    buf_init(&history->batch, HISTORY_BATCH_LIMIT_BYTES);
    return history;
}

static struct chunk **slot_of_chunk(const struct history *history, uint64_t number) {
    return &history->chunks[number & (history->chunk_slots - 1)];
}

static uint64_t last_index_of(const struct chunk *chunk) { return chunk->first_index + chunk->line_count - 1; }

static void drop_oldest(struct history *history) {
    struct chunk **slot = slot_of_chunk(history, history->first_chunk++);
    for (struct history_reader *reader = history->readers; reader != NULL; reader = reader->next) {
        reader->lost |= reader->index < last_index_of(*slot);
    }
    history->backlog_bytes -= buf_used(&(*slot)->bytes);
    buf_deinit(&(*slot)->bytes);
    free(*slot);
    *slot = NULL;
}

/* Every reader becomes LOST, those at the end too. */
static void drop_all(struct history *history) {
    while (history->first_chunk < history->next_chunk) {
        drop_oldest(history);
    }
    for (struct history_reader *reader = history->readers; reader != NULL; reader = reader->next) {
        reader->lost = true;
    }
    history->clock_ms = 0;
}

void history_destroy(struct history **history) {
    if (*history == NULL) {
        return;
    }
    drop_all(*history);
    buf_deinit(&(*history)->batch);
    free((*history)->chunks);
    free(*history);
    *history = NULL;
}

uint64_t history_make_id(int64_t now_ms, uint16_t random) { return (uint64_t)now_ms << 16 | random; }

uint64_t history_id(const struct history *history) { return history->id; }
uint64_t history_index(const struct history *history) { return history->index; }
const struct lineage *history_lineage(const struct history *history) { return &history->lineage; }
size_t history_backlog_bytes(const struct history *history) { return history->backlog_bytes; }
size_t history_limit_bytes(const struct history *history) { return history->limit_bytes; }

struct position history_position(const struct history *history) {
    return (struct position){
        .history_id = history->id, .term = *lineage_last(&history->lineage), .index = history->index};
}

uint64_t history_first_index(const struct history *history) {
    return history->first_chunk == history->next_chunk
               ? history->index + 1
               : (*slot_of_chunk(history, history->first_chunk))->first_index;
}

void history_restart(struct history *history, uint64_t id, uint64_t index, const struct lineage *lineage) {
    drop_all(history);
    history->id = id;
    history->index = index;
    history->in_force_ms = 0;
    history->voters = history->voters_before = (struct voters_since){0};
    history->quorum = false;
    if (lineage != NULL) {
        history->lineage = *lineage;
    } else {
        lineage_begin(&history->lineage, NULL, index);
    }
}

void history_keep(struct history *history) { history->keeping = true; }

void history_forget_clock(struct history *history) { history->clock_ms = 0; }

/* --- Appending --- */

static bool grow_ring(struct history *history) {
    size_t slots = history->chunk_slots * 2;
    struct chunk **chunks = calloc(slots, sizeof(struct chunk *));
    if (chunks == NULL) {
        return false;
    }
    for (uint64_t n = history->first_chunk; n < history->next_chunk; n++) {
        chunks[n & (slots - 1)] = *slot_of_chunk(history, n);
    }
    free(history->chunks);
    history->chunks = chunks;
    history->chunk_slots = slots;
    return true;
}

static struct chunk *add_chunk(struct history *history, size_t bytes) {
    if (history->next_chunk - history->first_chunk == history->chunk_slots && !grow_ring(history)) {
        return NULL;
    }
    struct chunk *chunk = malloc(sizeof(*chunk));
    if (chunk == NULL) {
        return NULL;
    }
    *chunk = (struct chunk){.first_index = history->index + 1, .clock_ms = history->in_force_ms};
    buf_init(&chunk->bytes, SIZE_MAX / 2);
    if (buf_reserve(&chunk->bytes, bytes) == NULL) {
        free(chunk);
        return NULL;
    }
    *slot_of_chunk(history, history->next_chunk++) = chunk;
    return chunk;
}

/* The place for about n more bytes: the last chunk, or a new one. NULL: nothing is kept (nobody reads, or no
 * memory). */
static struct buf *append_begin(struct history *history, size_t n) {
    if (!history->keeping) {
        return NULL;
    }
    struct chunk *chunk =
        history->first_chunk == history->next_chunk ? NULL : *slot_of_chunk(history, history->next_chunk - 1);
    /* By its size, not by its capacity: that grows under lines that were escaped, and chunks must not. */
    if (chunk == NULL || buf_used(&chunk->bytes) + n > history->chunk_bytes) {
        chunk = add_chunk(history, n > history->chunk_bytes ? n : history->chunk_bytes);
    }
    if (chunk == NULL) {
        drop_all(history);
        return NULL;
    }
    history->backlog_bytes -= buf_used(&chunk->bytes);
    return &chunk->bytes;
}

/* What the oldest chunk's readers, if there are any, allow: see history.h, "Memory". */
static bool may_drop_oldest(const struct history *history) {
    const struct chunk *oldest = *slot_of_chunk(history, history->first_chunk);
    bool read = false;
    for (const struct history_reader *reader = history->readers; reader != NULL; reader = reader->next) {
        if (!reader->lost && reader->index < last_index_of(oldest)) {
            if (reader->pinned) {
                return false;
            }
            read = true;
        }
    }
    return !read || history->backlog_bytes - buf_used(&oldest->bytes) > history->limit_bytes;
}

/* lines were written to what append_begin gave (NULL: they only count). */
static void append_end(struct history *history, const struct buf *bytes, uint64_t lines) {
    history->index += lines;
    if (bytes == NULL) {
        return;
    }
    struct chunk *chunk = *slot_of_chunk(history, history->next_chunk - 1);
    chunk->line_count += lines;
    history->backlog_bytes += buf_used(bytes);
    if (buf_failed(bytes)) {
        drop_all(history);
        return;
    }
    while (history->backlog_bytes > history->limit_bytes && history->first_chunk + 1 < history->next_chunk &&
           may_drop_oldest(history)) {
        drop_oldest(history);
    }
}

/* True when a plain line may say a change of that time; the clock is said first where it must. (0 is how
 * clock_ms says that nothing was said: no clock can say that time.) */
static bool say_clock(struct history *history, struct buf *out, int64_t timestamp_ms, uint64_t *lines) {
    if (timestamp_ms < history->clock_ms || timestamp_ms == 0) {
        return false;
    }
    if (timestamp_ms != history->clock_ms) {
        line_clock(out, timestamp_ms);
        history->clock_ms = history->in_force_ms = timestamp_ms;
        *lines += 1;
    }
    return true;
}

static void batch_replicate(struct history *history, struct slice key, struct slice value, uint64_t version,
                            int64_t timestamp_ms, int64_t deadline_ms) {
    bool plain = deadline_ms == 0 && timestamp_ms >= history->clock_ms && timestamp_ms != 0 &&
                 (history->batch_clock_ms == 0 || history->batch_clock_ms == timestamp_ms) &&
                 line_is_plain(key, value);
    history->batch_lines++;
    if (plain) {
        history->batch_clock_ms = timestamp_ms;
        line_replicate(&history->batch, key, value, version, timestamp_ms, 0);
    } else {
        line_replicate_x(&history->batch, key, value, version, timestamp_ms, deadline_ms);
    }
}

void history_replicate(struct history *history, struct slice key, struct slice value, uint64_t version,
                       int64_t timestamp_ms, int64_t deadline_ms) {
    if (history->in_batch) {
        if (history->keeping) {
            batch_replicate(history, key, value, version, timestamp_ms, deadline_ms);
        } else {
            history->batch_lines++;
        }
        return;
    }
    uint64_t lines = 1;
    struct buf *out = append_begin(history, key.len + value.len + LINE_OVERHEAD_BYTES);
    if (out != NULL) {
        if (deadline_ms == 0 && line_is_plain(key, value) && say_clock(history, out, timestamp_ms, &lines)) {
            line_replicate(out, key, value, version, timestamp_ms, 0);
        } else {
            line_replicate_x(out, key, value, version, timestamp_ms, deadline_ms);
        }
    }
    append_end(history, out, lines);
}

/* The lines that need no clock: written by one of the encoders, to the batch or to the backlog. */
static struct buf *line_begin(struct history *history, size_t n) {
    if (history->in_batch) {
        return history->keeping ? &history->batch : NULL;
    }
    return append_begin(history, n);
}

static void line_end_of(struct history *history, const struct buf *out) {
    if (history->in_batch) {
        history->batch_lines++;
    } else {
        append_end(history, out, 1);
    }
}

void history_patch(struct history *history, struct slice key, uint64_t offset, struct slice bytes,
                   uint64_t version, int64_t timestamp_ms) {
    struct buf *out = line_begin(history, key.len + bytes.len + LINE_OVERHEAD_BYTES);
    if (out != NULL) {
        line_patch(out, key, offset, bytes, version, timestamp_ms);
    }
    line_end_of(history, out);
}

void history_delete(struct history *history, struct slice key, uint64_t version) {
    struct buf *out = line_begin(history, key.len + LINE_OVERHEAD_BYTES);
    if (out != NULL) {
        line_delete(out, key, version);
    }
    line_end_of(history, out);
}

void history_expire(struct history *history, struct slice key, int64_t deadline_ms) {
    struct buf *out = line_begin(history, key.len + LINE_OVERHEAD_BYTES);
    if (out != NULL) {
        line_expire(out, key, deadline_ms);
    }
    line_end_of(history, out);
}

void history_flush(struct history *history, uint64_t floor) {
    struct buf *out = line_begin(history, LINE_OVERHEAD_BYTES);
    if (out != NULL) {
        line_flush(out, floor);
    }
    line_end_of(history, out);
}

void history_floor(struct history *history, uint64_t floor) {
    struct buf *out = line_begin(history, LINE_OVERHEAD_BYTES);
    if (out != NULL) {
        line_floor(out, floor);
    }
    line_end_of(history, out);
}

/* TERM, VOTERS, ACKS: never in a batch. */
static struct buf *control_begin(struct history *history) {
    assert(!history->in_batch);
    return append_begin(history, VOTERS_MAX_BYTES + LINE_OVERHEAD_BYTES);
}

void history_begin_term(struct history *history, const struct term *term) {
    assert(term_compare(term, lineage_last(&history->lineage)) > 0);
    struct buf *out = control_begin(history);
    if (out != NULL) {
        line_term(out, term);
    }
    append_end(history, out, 1);
    history_note_term(history, term);
}

void history_note_term(struct history *history, const struct term *term) {
    lineage_add(&history->lineage, term, history->index);
}

void history_note_clock(struct history *history, int64_t clock_ms) { history->in_force_ms = clock_ms; }

int64_t history_clock_ms(const struct history *history) { return history->in_force_ms; }

void history_write_voters(struct history *history, const struct voters *voters) {
    struct buf *out = control_begin(history);
    if (out != NULL) {
        line_voters(out, voters);
    }
    append_end(history, out, 1);
    history_note_voters(history, voters);
}

void history_write_acks(struct history *history, bool quorum) {
    struct buf *out = control_begin(history);
    if (out != NULL) {
        line_acks(out, quorum);
    }
    append_end(history, out, 1);
    history_note_acks(history, quorum);
}

void history_note_voters(struct history *history, const struct voters *voters) {
    history->voters_before = history->voters;
    history->voters = (struct voters_since){*voters, history->index};
}

void history_note_acks(struct history *history, bool quorum) { history->quorum = quorum; }

const struct voters *history_voters(const struct history *history) { return &history->voters.set; }
const struct voters *history_voters_before(const struct history *history) {
    return &history->voters_before.set;
}
uint64_t history_voters_index(const struct history *history) { return history->voters.index; }
bool history_quorum(const struct history *history) { return history->quorum; }

void history_write_context(const struct history *history, uint64_t index, struct buf *out) {
    const struct voters_since *voters =
        history->voters.index <= index ? &history->voters : &history->voters_before;
    lineage_write(&history->lineage, index, out);
    if (voters->set.count > 0) {
        line_voters(out, &voters->set);
    }
    if (history->quorum) {
        line_acks(out, true);
    }
}

void history_append_lines(struct history *history, struct slice lines, uint64_t count) {
    assert(!history->in_batch && (lines.len == 0) == (count == 0));
    history_keep(history);
    history_forget_clock(history);
    struct buf *out = append_begin(history, lines.len);
    if (out != NULL) {
        buf_append_slice(out, lines);
    }
    append_end(history, out, count);
}

void history_skip(struct history *history, uint64_t count) {
    drop_all(history);
    history->index += count;
}

void history_batch_begin(struct history *history) {
    assert(!history->in_batch);
    history->in_batch = true;
    history->batch_lines = 0;
    history->batch_clock_ms = 0;
}

void history_batch_end(struct history *history) {
    assert(history->in_batch);
    history->in_batch = false;
    if (history->batch_lines > 0) {
        uint64_t lines = 1 + history->batch_lines;
        struct buf *out = append_begin(history, buf_used(&history->batch) + LINE_OVERHEAD_BYTES);
        if (out != NULL) {
            if (history->batch_clock_ms != 0) {
                say_clock(history, out, history->batch_clock_ms, &lines);
            }
            if (history->batch_lines <= LIMIT_BATCH_LINES && !buf_failed(&history->batch)) {
                line_batch(out, history->batch_lines);
                buf_append_slice(out, buf_slice(&history->batch));
            } else {
                out->failed = true;
            }
        }
        append_end(history, out, lines);
    }
    buf_deinit(&history->batch);
}

/* --- Reading --- */

/* Where line index + 1 begins, or will begin. False: it is not kept. */
static bool find_line(const struct history *history, uint64_t index, struct history_cursor *out) {
    if (index > history->index || index + 1 < history_first_index(history)) {
        return false;
    }
    uint64_t number = history->next_chunk;
    while (number > history->first_chunk && (*slot_of_chunk(history, number - 1))->first_index > index + 1) {
        number--;
    }
    if (number == history->first_chunk) { /* nothing is kept, and nothing is missing */
        *out = (struct history_cursor){.chunk = history->next_chunk};
        return true;
    }
    const struct chunk *chunk = *slot_of_chunk(history, --number);
    struct slice bytes = buf_slice(&chunk->bytes);
    size_t offset = 0;
    for (uint64_t skip = index + 1 - chunk->first_index; skip > 0; skip--) {
        const char *end = memchr(bytes.ptr + offset, '\n', bytes.len - offset);
        assert(end != NULL);
        offset = (size_t)(end - bytes.ptr) + 1;
    }
    *out = (struct history_cursor){.chunk = number, .offset = offset};
    return true;
}

bool history_open(struct history *history, struct history_reader *reader, uint64_t index) {
    history_close(history, reader);
    history_keep(history);
    if (!find_line(history, index, &reader->cursor)) {
        return false;
    }
    reader->index = index;
    reader->lost = false;
    reader->next = history->readers;
    history->readers = reader;
    return true;
}

void history_close(struct history *history, struct history_reader *reader) {
    struct history_reader **at = &history->readers;
    while (*at != NULL && *at != reader) {
        at = &(*at)->next;
    }
    if (*at != NULL) {
        *at = reader->next;
        reader->next = NULL;
    }
}

bool history_read(const struct history *history, struct history_reader *reader, struct slice *lines,
                  uint64_t *last_index) {
    struct history_cursor *cursor = &reader->cursor;
    *lines = SLICE("");
    *last_index = reader->index;
    if (reader->lost) {
        return false;
    }
    if (cursor->chunk < history->first_chunk) { /* it had taken all of those that have gone */
        *cursor = (struct history_cursor){.chunk = history->first_chunk};
    }
    for (; cursor->chunk < history->next_chunk; *cursor = (struct history_cursor){.chunk = cursor->chunk + 1}) {
        const struct chunk *chunk = *slot_of_chunk(history, cursor->chunk);
        struct slice bytes = buf_slice(&chunk->bytes);
        if (cursor->offset < bytes.len) {
            *lines = slice_skip(bytes, cursor->offset);
            *last_index = last_index_of(chunk);
            return true;
        }
        if (cursor->chunk + 1 == history->next_chunk) {
            break;
        }
    }
    return true;
}

struct slice history_first_lines(struct slice lines, size_t most_bytes) {
    if (lines.len <= most_bytes) {
        return lines;
    }
    const char *end = memchr(lines.ptr + most_bytes, '\n', lines.len - most_bytes);
    return slice_first(lines, (size_t)(end - lines.ptr) + 1);
}

void history_advance(const struct history *history, struct history_reader *reader, size_t n) {
    reader->cursor.offset += n;
    if (n > 0) {
        const struct chunk *chunk = *slot_of_chunk(history, reader->cursor.chunk);
        assert(reader->cursor.offset <= buf_used(&chunk->bytes));
        if (reader->cursor.offset == buf_used(&chunk->bytes)) {
            reader->index = last_index_of(chunk);
        }
    }
}

int64_t history_clock_at(const struct history *history, const struct history_reader *reader) {
    const struct history_cursor *cursor = &reader->cursor;
    if (history_at_end(history, reader) || cursor->chunk >= history->next_chunk) {
        return history->in_force_ms;
    }
    if (cursor->chunk < history->first_chunk) { /* it had taken all of those that have gone */
        return (*slot_of_chunk(history, history->first_chunk))->clock_ms;
    }
    const struct chunk *chunk = *slot_of_chunk(history, cursor->chunk);
    struct slice read = slice_first(buf_slice(&chunk->bytes), cursor->offset);
    int64_t clock_ms = chunk->clock_ms;
    while (read.len > 0) {
        struct line line;
        struct buf none;
        const char *reason;
        struct slice bytes = slice_take_until(&read, '\n');
        buf_init(&none, 0);
        if (bytes.len > 0 && bytes.ptr[0] == 'C' && line_decode(bytes, &none, &line, &reason) == LINE_OK &&
            line.verb == LINE_CLOCK) {
            clock_ms = line.timestamp_ms;
        }
    }
    return clock_ms;
}

bool history_at_end(const struct history *history, const struct history_reader *reader) {
    return !reader->lost && reader->index == history->index;
}
