/* recovery.h: from DIR to the data: which segments are read, in which order, how far, and whether at all
 * (design, journal: "Recovery").
 *
 * - The newest segment with an END, wholly: FULL, STATE and HISTORY, END, HISTORY.
 * - Newer ones, which have none, are a compaction that a crash has ended. One of the same history that goes on
 *   from where the one before it ends is given behind it, in the file's order, without its FULL: STATE and
 *   HISTORY. Its state lines are absolute, and nothing is dropped for them: this converges. One of another
 *   history, or without a beginning, is dropped: nothing of it was acknowledged.
 * - Older ones are not looked at.
 *
 * What is wrong behind the greatest SYNCED of the last segment that is read is a torn tail: a power cut leaves
 * holes. It is cut off, a BATCH as a whole. What is wrong anywhere else is damage, and so is all that is wrong
 * where meta says that the last run has ended with everything synced: refused.
 *
 * It relies on its writer:
 * - a segment is begun when the one before it is synced to its end, and with that index and term;
 * - the first one, and one that is received, comes as incoming.log, whole and synced;
 * - a state line stands behind every history line whose effect it may have;
 * - a CLOCK line of the state, or one in front of it, says the time of the first plain line of a segment;
 * - SYNCED names an offset at which a record ends;
 * - it goes on in a segment, or begins the next, only behind journal_recovery_mend.
 */
#ifndef KVNODE_SERVER_JOURNAL_RECOVERY_H
#define KVNODE_SERVER_JOURNAL_RECOVERY_H

#include "server/journal/directory.h"
#include "server/journal/line_map.h"
#include "server/journal/segment.h"
#include "server/log.h"

struct journal_recovery;

/* NULL: taken. Otherwise why it can't be, a static text: the recovery is refused with it. */
typedef const char *journal_take(void *context, enum journal_kind kind, struct slice line, uint64_t index);

struct journal_term_begin {
    struct term term;
    uint64_t
        index; /* of its line TERM; of the first of them perhaps that of a FULL: it began there or before */
};

/* What has been found so far. */
struct journal_found {
    uint64_t bytes_done, bytes_total; /* of reading */

    uint64_t history_id;                    /* 0: there are no data */
    uint64_t index;                         /* of the last line */
    uint64_t floor;                         /* that FULL says */
    struct term term;                       /* at the last line */
    const struct journal_term_begin *terms; /* oldest first */
    size_t terms_count;

    size_t segments;  /* that are read */
    uint64_t records; /* of them */
    uint64_t keys;    /* that END counts */

    /* Where the writer may go on. */
    uint64_t first_segment, last_segment; /* by number; all between them that were not dropped are needed */
    uint64_t next_segment;                /* above all that there are */
    uint64_t last_bytes;                  /* of the last one, what is good */
    struct journal_chain last_chain;
    uint64_t last_synced_bytes;
    bool last_is_complete; /* it has its END */
    struct journal_line_map map;

    uint64_t cut_bytes;                /* behind last_bytes */
    size_t dropped;                    /* segments */
    char reason[JOURNAL_REASON_BYTES]; /* of a refusal, or of the cut: file, line, byte; "": neither */
};

enum journal_step { JOURNAL_STEP_GOES_ON, JOURNAL_STEP_DONE, JOURNAL_STEP_REFUSED };

/* The directory must live as long. take NULL: nothing is given, all is verified. NULL: out of memory, or the
 * directory can't be read (errno). */
struct journal_recovery *journal_recovery_create(struct journal_directory *directory, journal_take *take,
                                                 void *context);
void journal_recovery_destroy(struct journal_recovery **recovery); /* NULL-safe, nulls it */

/* Reads on: about so many lines, or blocks of 256 KB. Once it is DONE or REFUSED it stays so. */
enum journal_step journal_recovery_step(struct journal_recovery *recovery, size_t lines);
const struct journal_found *journal_recovery_found(const struct journal_recovery *recovery);

/* When it is DONE: cuts off the torn tail, removes incoming.log and the dropped segments, syncs and logs all
 * that. False: errno; it may be called again. Older segments stay (journal_directory_remove_below). */
bool journal_recovery_mend(struct journal_recovery *recovery, const struct log *log);

#endif
