/* history.h: the one order of all changes of a group: encoded lines, counted from 1, kept in a bounded backlog.
 * Pure.
 *
 * Every change is one line (protocol/line.h), encoded once; readers (follower links) share the bytes. A reader
 * holds a history_cursor; when the backlog has moved past it, it is LOST and has to be given the whole state
 * again. While nobody has ever read, a change costs an increment: lines are counted but not kept. Memory: at
 * most limit_bytes of whole chunks, and always the newest chunk (a line longer than the limit is kept until the
 * next one).
 */
#ifndef KVNODE_CLUSTER_HISTORY_H
#define KVNODE_CLUSTER_HISTORY_H

#include "protocol/line.h"

struct history;

/* id: 48 bits of Unix ms, 16 of random (history_make_id). NULL: out of memory. */
struct history *history_create(uint64_t id, size_t limit_bytes);
void history_destroy(struct history **history); /* NULL-safe, nulls it */
uint64_t history_make_id(int64_t now_ms, uint16_t random);

uint64_t history_id(const struct history *history);
uint64_t history_index(const struct history *history); /* index of the newest line; 0: none was ever written */
uint64_t
history_first_index(const struct history *history); /* oldest line still kept; index + 1 when none is */
size_t history_backlog_bytes(const struct history *history);
size_t history_limit_bytes(const struct history *history);

/* A new beginning: another id, index 0, no lines; every cursor is lost. */
void history_restart(struct history *history, uint64_t id);

/* From the first call on lines are kept. Called when a reader appears. */
void history_keep(struct history *history);

/* The changes. now_ms is the time of the change: a CLOCK line goes before a plain line when it differs from the
 * one said last. Out of memory: the backlog is dropped (every reader is lost and is fully synced again); no
 * change is ever refused for it. */
void history_replicate(struct history *history, struct slice key, struct slice value, uint64_t version,
                       int64_t timestamp_ms, int64_t deadline_ms);
void history_delete(struct history *history, struct slice key, uint64_t version);
void history_expire(struct history *history, struct slice key, int64_t deadline_ms);
void history_flush(struct history *history, uint64_t floor);
/* What is written until history_batch_end becomes one BATCH|n with its n lines, applied all or none; CLOCK
 * lines go before it. An empty batch writes nothing. Batches do not nest. A batch that no reader would take
 * (more than LIMIT_BATCH_LINES lines or HISTORY_BATCH_LIMIT_BYTES) counts, but drops the backlog: every reader
 * is fully synced again. */
#define HISTORY_BATCH_LIMIT_BYTES ((size_t)2 << 30)
void history_batch_begin(struct history *history);
void history_batch_end(struct history *history);
/* The next plain line is preceded by a CLOCK whatever was said last: for a reader that did not hear the last
 * one. */
void history_forget_clock(struct history *history);

struct history_cursor {
    uint64_t chunk; /* number of the chunk */
    size_t offset;  /* bytes of it already read */
};

/* The cursor behind line index (the next byte read is of line index + 1). False: that line or the one after it
 * is not kept any more, or index is of the future. */
bool history_seek(const struct history *history, uint64_t index, struct history_cursor *out);
/* The contiguous bytes that are next for the reader: empty at the end. False: LOST. They live until the next
 * change. */
bool history_peek(const struct history *history, struct history_cursor *cursor, struct slice *out);
void history_advance(struct history_cursor *cursor, size_t n); /* n of the bytes peeked were taken */

#endif
