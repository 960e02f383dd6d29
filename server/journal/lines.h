/* lines.h: the lines of a history, read out of segments from a place on (line_map.h), each verified by its
 * record.
 *
 * What a follower is sent: history lines alone, in order and without a gap, from one index on. No more is in
 * memory than a block of the file and a piece of lines, or one long record: its line is given from where it was
 * read. Whole BATCHes are not waited for: all that is read is known to be written.
 *
 * init, pending, take and has_more wait for no disk; the others do.
 */
#ifndef KVNODE_SERVER_JOURNAL_LINES_H
#define KVNODE_SERVER_JOURNAL_LINES_H

#include "protocol/journal_record.h"
#include "server/journal/directory.h"
#include "server/journal/line_map.h"

enum {
    JOURNAL_LINES_BLOCK_BYTES = 256 << 10, /* of a read */
    JOURNAL_LINES_PIECE_BYTES = 512 << 10, /* of lines, about */
    JOURNAL_LINES_TURN_BYTES = 4 << 20,    /* of the file, that are passed over at once */
};

/* Embedded in its owner. */
struct journal_lines {
    const struct journal_directory *directory;
    uint64_t history_id;
    uint64_t index;  /* of the last line that was read, or passed over */
    uint64_t number; /* of the segment; 0: none yet */
    uint64_t offset; /* in it, behind the last record that was read */

    const char *reason; /* why it cannot go on, a static text; NULL: it can */
    int error;          /* errno of that, or 0 */

    /* Private. */
    uint64_t from; /* up to this line they are passed over */
    int fd;
    struct journal_chain chain;
    struct buf in;      /* of the file, from offset on */
    size_t searched;    /* bytes of it known to hold no LF */
    struct buf out;     /* the piece, */
    size_t given_bytes; /* or the first bytes of in: a long record, */
    size_t line_at;     /* whose line is from here on */
};

/* Behind line index. */
void journal_lines_init(struct journal_lines *lines, const struct journal_directory *directory,
                        uint64_t history_id, uint64_t index);
void journal_lines_deinit(struct journal_lines *lines);

/* Goes on at that place; what was read of a segment before has ended with its line. */
void journal_lines_open(struct journal_lines *lines, const struct journal_place *place);
/* Reads on, up to that offset of the segment, where a record ends or will end: until there is a piece, or for
 * one turn. False: reason says why. */
bool journal_lines_read(struct journal_lines *lines, uint64_t end_bytes);

/* What was read and not taken yet, whole lines up to index; or the rest of what was taken in part. */
struct slice journal_lines_pending(const struct journal_lines *lines);
void journal_lines_take(struct journal_lines *lines, size_t n);
/* Records behind those that were given may have been read already. */
bool journal_lines_has_more(const struct journal_lines *lines);

#endif
