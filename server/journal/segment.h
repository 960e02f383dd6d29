/* segment.h: one segment of the journal, read from its beginning (design, journal: "A record").
 *
 *     FULL|historyID|index|floor|term     the first record, index "-"
 *     state lines, and history lines of index + 1 and on between them
 *     END|count|index                     index: of the history line before it
 *     history lines
 *
 * and SYNCED|offset anywhere but in front of FULL; offset is where a record ends. What a reader is given is
 * whole: the lines of a BATCH when all of them are there and good. Reading stops at the first thing that is
 * wrong, and looks for SYNCED in what lies behind it: whether that was known to be on the disk decides what has
 * happened (recovery.h).
 *
 * By pread, not by mmap: a disk that fails is an error then, not SIGBUS. The buffer is one block, and grows for
 * a longer record or BATCH alone.
 */
#ifndef KVNODE_SERVER_JOURNAL_SEGMENT_H
#define KVNODE_SERVER_JOURNAL_SEGMENT_H

#include "protocol/journal_record.h"
#include "protocol/term.h"
#include "server/journal/disk.h"

enum journal_kind { JOURNAL_FULL, JOURNAL_STATE, JOURNAL_END, JOURNAL_HISTORY };

/* What of the front of the buffer is known to be good: a record, or so much of a BATCH as has come. */
struct journal_checked {
    size_t bytes;
    uint64_t records;
    uint64_t index;      /* of the last history line */
    uint64_t batch_left; /* history lines that a BATCH lacks */
    struct journal_chain chain;
};

/* Embedded in its owner. Those that are not private may be read at any time. */
struct journal_segment {
    /* Of FULL. */
    bool has_header;
    uint64_t history_id, index, floor;
    struct term term;

    /* Of what has been given so far. */
    bool complete;              /* END */
    uint64_t keys;              /* that END counts */
    uint64_t last_index;        /* of the last history line, or that of FULL */
    struct term last_term;      /* of the last line TERM, or that of FULL */
    uint64_t records;           /* SYNCED, too */
    uint64_t valid_bytes;       /* up to the end of the last of them */
    struct journal_chain chain; /* of the last of them */

    uint64_t synced_bytes; /* the greatest offset that a SYNCED says */
    uint64_t size_bytes;   /* of the file when it was opened */
    uint64_t read_bytes;   /* for a progress */

    /* Of what was wrong; NULL: nothing was. */
    const char *reason;    /* a static text */
    int error;             /* errno when it can't be read, else 0 */
    uint64_t wrong_line;   /* counted from 1, a record each */
    uint64_t wrong_offset; /* where that record begins */

    /* Private. */
    const struct journal_disk *disk;
    int fd;
    struct buf buf;     /* from the first record on that has not been given */
    size_t given_bytes; /* but for so much, which was given by the last call */
    struct journal_checked checked;
    uint64_t giving;       /* checked records that are given now */
    size_t searched_bytes; /* behind what is checked: no LF is there */
    struct {               /* the line that is looked through behind what is wrong */
        char head[64];
        size_t n;
        uint64_t offset;
    } behind;
};

/* Reads from fd, which stays the caller's and must live as long. False: errno. */
bool journal_segment_init(struct journal_segment *segment, const struct journal_disk *disk, int fd);
void journal_segment_deinit(struct journal_segment *segment);

struct journal_given {
    enum journal_kind kind;
    struct slice line; /* until the next call */
    uint64_t index;    /* JOURNAL_HISTORY: of the line; else JOURNAL_NO_INDEX */
    uint64_t offset;   /* of the record */
};

enum journal_segment_result {
    JOURNAL_SEGMENT_GIVEN,
    JOURNAL_SEGMENT_GOES_ON, /* call it again: a bounded step was done, and there is nothing to give yet */
    JOURNAL_SEGMENT_ENDS,    /* all was good */
    JOURNAL_SEGMENT_WRONG,   /* reason says why; all that lies behind was searched for SYNCED */
};

enum journal_segment_result journal_segment_next(struct journal_segment *segment, struct journal_given *out);

#endif
