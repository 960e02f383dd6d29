/* archive.h: the lines of a history that its backlog has moved past, where somebody still has them: a table of
 * functions. The journal fills it (server/persistence.h), and so does the tests' model
 * (tests/sim/model_journal.h). A decider keeps a copy of the table; context is the filler's, and outlives it.
 *
 * Reading waits for nothing: what is not there yet comes later.
 */
#ifndef KVNODE_CLUSTER_ARCHIVE_H
#define KVNODE_CLUSTER_ARCHIVE_H

#include "protocol/slice.h"

#include <stdint.h>

struct archive_reader; /* the filler's */

enum archive_result {
    ARCHIVE_LINES,
    ARCHIVE_LATER, /* nothing now: they are looked for, or not written yet */
    ARCHIVE_LOST,  /* nor will there be: they are gone, or damaged, or the history is another one now */
};

struct archive {
    void *context;

    /* Puts a reader behind line index of the history as it is now. NULL: line index + 1 is not there, or more
     * than about most_bytes are to be read from there on, or too many are reading. open NULL: there is no
     * archive. */
    struct archive_reader *(*open)(void *context, uint64_t index, uint64_t most_bytes);
    /* LINES: the whole lines that are next, contiguous, up to the line *last_index; or the rest of what was
     * taken in part. They live until the next call for this reader. */
    enum archive_result (*read)(struct archive_reader *reader, struct slice *lines, uint64_t *last_index);
    void (*advance)(struct archive_reader *reader, size_t n); /* so many of the bytes read were taken */
    void (*close)(struct archive_reader *reader);
};

#endif
