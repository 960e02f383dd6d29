/* load.h: a node's data from its journal: recovery is following a file.
 *
 * The records of the segments go, as a leader's lines would, through a follower's decider into the store and
 * the history; in slices, as a task of the loop, with a line of progress a second.
 */
#ifndef KVNODE_SERVER_JOURNAL_LOAD_H
#define KVNODE_SERVER_JOURNAL_LOAD_H

#include "server/journal/journal.h"

struct journal_load;

struct journal_loaded {
    bool has_data;        /* there was a state */
    uint64_t term_number; /* the greatest that the directory knows */
    struct journal_tail tail;
    uint64_t records, bytes, cut_bytes;
    int64_t ms;
};

struct journal_load_config {
    struct loop *loop;
    struct history *history;
    struct group_data data;
    struct journal_directory *directory;
    const struct log *log;
    void *context;
    /* The end, once, not before journal_load_start returns. error: NULL, or one line: the data is damaged, or
     * cannot be read, and the store holds a part of it. */
    void (*on_end)(void *context, const struct journal_loaded *loaded, const char *error);
};

/* NULL: *reason is one line. */
struct journal_load *journal_load_start(const struct journal_load_config *config, char *reason, size_t n);
/* The same at once, by a node whose journal is at work and has written all there is (DEBUG RELOAD): the history
 * is one for this alone, the files stay as they are, and what a start would cut off is damage. on_end is not
 * called. False: reason is one line, and the store holds a part of the data. */
bool journal_load_now(const struct journal_load_config *config, struct journal_loaded *loaded, char *reason,
                      size_t n);
void journal_load_destroy(struct journal_load **load); /* NULL-safe; also before the end, or in on_end */

#endif
