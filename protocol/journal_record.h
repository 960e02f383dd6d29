/* journal_record.h: a record of the journal (design, journal: "A record"). Pure codec.
 *
 *     crc index line LF             9ae0daaf 184467 REPLICATE|user1|Alice|1
 *
 * crc is 8 lower-case hex digits: CRC-32C over the crc text of the record before it, and all of this record
 * behind "crc ", its LF included. So a lost, doubled, swapped or foreign record shows. The first record of a
 * segment chains from 00000000. index is the line's in its history, in decimal, or "-": lines of a state, FULL,
 * END, SYNCED. line is what goes over the wire, byte for byte; it holds no LF.
 *
 * SYNCED|offset is said nowhere but here: all that lies before that offset of the same segment was on the disk
 * when it was written.
 */
#ifndef KVNODE_PROTOCOL_JOURNAL_RECORD_H
#define KVNODE_PROTOCOL_JOURNAL_RECORD_H

#include "protocol/buf.h"
#include "protocol/limits.h"
#include "protocol/num.h"

enum { JOURNAL_CRC_DIGITS = 8 };

#define JOURNAL_NO_INDEX ((uint64_t)0) /* "-"; lines of a history are counted from 1 */

/* What a record has besides its line, at most, and the longest record. */
#define JOURNAL_OVERHEAD_BYTES ((size_t)JOURNAL_CRC_DIGITS + 1 + 20 + 1 + 1)
#define JOURNAL_RECORD_BYTES   (LIMIT_LINE_BYTES + JOURNAL_OVERHEAD_BYTES)

/* The crc text of the record before the next one. */
struct journal_chain {
    char crc[JOURNAL_CRC_DIGITS];
};

void journal_chain_init(struct journal_chain *chain); /* at the beginning of a segment */

/* Appending encoders. When out fails nothing is appended, and the chain is as it was before the call; lines and
 * line must not lie in out. */
void journal_append(struct buf *out, struct journal_chain *chain, uint64_t index, struct slice line);
/* Lines of a history, each with its LF, with the indices from first_index up. */
void journal_append_lines(struct buf *out, struct journal_chain *chain, uint64_t first_index,
                          struct slice lines);
/* Lines with the index "-", each with its LF. */
void journal_append_state(struct buf *out, struct journal_chain *chain, struct slice lines);
void journal_append_synced(struct buf *out, struct journal_chain *chain, uint64_t offset);

struct journal_record {
    uint64_t index;    /* JOURNAL_NO_INDEX: "-" */
    struct slice line; /* points into what was parsed */
    size_t bytes;      /* the whole record's */
};

enum journal_result { JOURNAL_OK, JOURNAL_MORE, JOURNAL_BAD };

/* The record that in begins with. OK: the chain has moved behind it. MORE: its LF has not come yet. BAD:
 * *reason is a static text. Both leave the chain as it was. */
enum journal_result journal_parse(struct slice in, struct journal_chain *chain, struct journal_record *out,
                                  const char **reason);

/* SYNCED|offset, the line of a record without an index. */
bool journal_read_synced(const struct journal_record *record, uint64_t *offset);

#endif
