/* history.h: the one order of all changes of a group: encoded lines, counted from 1, kept in a bounded backlog.
 * Pure.
 *
 * A leader writes it; a follower appends the leader's lines to its own as they are, so that both say the same
 * at every index. Id and index are the position of the node's data: there is no other.
 *
 * Every change is one line (protocol/line.h), encoded once; readers (follower links) share the bytes. A reader
 * that the backlog has moved past is LOST and has to be given the whole state again. While nobody has ever
 * read, a change costs an increment: lines are counted but not kept.
 *
 * Memory: limit_bytes of whole chunks, but always the newest one (a line longer than the limit is a chunk of
 * its own), and the oldest one too while somebody reads it and what follows it is within the limit. So a reader
 * that is in step is not lost by any line, however long. What a pinned reader has not read stays whatever the
 * limit: whoever pins one stops the writers while history_backlog_bytes is over history_limit_bytes.
 */
#ifndef KVNODE_CLUSTER_HISTORY_H
#define KVNODE_CLUSTER_HISTORY_H

#include "cluster/lineage.h"
#include "protocol/line.h"

struct history;

/* id: 48 bits of Unix ms, 16 of random (history_make_id); 0: of nothing yet. NULL: out of memory. */
struct history *history_create(uint64_t id, size_t limit_bytes);
void history_destroy(struct history **history); /* NULL-safe, nulls it */
uint64_t history_make_id(int64_t now_ms, uint16_t random);

uint64_t history_id(const struct history *history);
uint64_t history_index(const struct history *history); /* index of the newest line; 0: none was ever written */
uint64_t
history_first_index(const struct history *history); /* oldest line still kept; index + 1 when none is */
struct position history_position(const struct history *history);
const struct lineage *history_lineage(const struct history *history); /* its terms */
/* The voters at its newest line, of count 0 if there have never been any; the line that says so; and whether a
 * reply waits for a majority of them. */
const struct voters *history_voters(const struct history *history);
const struct voters *history_voters_before(const struct history *history); /* that line */
uint64_t history_voters_index(const struct history *history);
bool history_quorum(const struct history *history);
/* The lines of a state that tell these and the terms, as they are at line index, which is the newest one or not
 * much older; none of what there has never been. */
void history_write_context(const struct history *history, uint64_t index, struct buf *out);
size_t history_backlog_bytes(const struct history *history);
size_t history_limit_bytes(const struct history *history);

/* A new beginning, behind line index of that history, whose terms are these (NULL: none is known): no lines;
 * every reader is lost. */
void history_restart(struct history *history, uint64_t id, uint64_t index, const struct lineage *lineage);

/* From the first call on lines are kept. */
void history_keep(struct history *history);

/* The changes. now_ms is the time of the change: a CLOCK line goes before a plain line when it differs from the
 * one said last. Out of memory: the backlog is dropped (every reader is lost and is fully synced again); no
 * change is ever refused for it. */
void history_replicate(struct history *history, struct slice key, struct slice value, uint64_t version,
                       int64_t timestamp_ms, int64_t deadline_ms);
void history_patch(struct history *history, struct slice key, uint64_t offset, struct slice bytes,
                   uint64_t version, int64_t timestamp_ms);
void history_delete(struct history *history, struct slice key, uint64_t version);
void history_expire(struct history *history, struct slice key, int64_t deadline_ms);
void history_flush(struct history *history, uint64_t floor);
void history_floor(struct history *history, uint64_t floor);
/* From here on that node leads (TERM): a term above all before it. */
void history_begin_term(struct history *history, const struct term *term);
/* From here on these vote; in force as soon as it is here. */
void history_write_voters(struct history *history, const struct voters *voters);
void history_write_acks(struct history *history, bool quorum);
/* Lines that somebody else has encoded, whole ones with their LF: kept verbatim, from the first call on. No
 * plain line of this node's own relies on a CLOCK among them. */
void history_append_lines(struct history *history, struct slice lines, uint64_t count);
/* The newest line was a TERM of somebody else's. */
void history_note_term(struct history *history, const struct term *term);
/* Or a VOTERS, or an ACKS; or a state that has just ended says so. */
void history_note_voters(struct history *history, const struct voters *voters);
void history_note_acks(struct history *history, bool quorum);
/* The last CLOCK among somebody else's lines, or that of a state, said this. */
void history_note_clock(struct history *history, int64_t clock_ms);
/* Lines that count and cannot be kept: every reader is lost. */
void history_skip(struct history *history, uint64_t count);
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

/* The time that a plain line right behind the newest one relies on; 0: nobody has said one. */
int64_t history_clock_ms(const struct history *history);

struct history_cursor {
    uint64_t chunk; /* number of the chunk */
    size_t offset;  /* bytes of it already read */
};

/* Embedded in its owner, zero before it is opened; the history knows it until it is closed. */
struct history_reader {
    struct history_cursor cursor;
    uint64_t index; /* every line up to it was taken; exact whenever all that was read has been taken */
    bool pinned;    /* set by its owner */
    bool lost;
    struct history_reader *next;
};

/* Puts it behind line index (what is read next is line index + 1), wherever it was before. False, and it is
 * closed: that line or the one after it is not kept any more, or index is of the future. Lines are kept from
 * now on, if they were not. */
bool history_open(struct history *history, struct history_reader *reader, uint64_t index);
void history_close(struct history *history, struct history_reader *reader); /* also one that is not open */
/* The whole lines that are next for the reader, contiguous, up to the line *last_index; empty at the end (or
 * the rest of what was taken in part). False: LOST. They live until the next change. */
bool history_read(const struct history *history, struct history_reader *reader, struct slice *lines,
                  uint64_t *last_index);
/* The first of these lines, about most_bytes long: whole ones, and one at least. */
struct slice history_first_lines(struct slice lines, size_t most_bytes);
/* n of the bytes read were taken. */
void history_advance(const struct history *history, struct history_reader *reader, size_t n);
/* The time that a plain line right behind what was read relies on; 0: nobody has said one. The reader is not
 * lost. */
int64_t history_clock_at(const struct history *history, const struct history_reader *reader);
/* It has taken everything. */
bool history_at_end(const struct history *history, const struct history_reader *reader);

#endif
