/* journal.h: the history on disk: a reader of the history that never hangs up (design, journal).
 *
 *   history --- lines ---> out --- pwrite ---> segment --- fdatasync ---> disk
 *   store ---- state ------^                     |  written              |  synced
 *                                                '-------> fence: what clients may hear of
 *
 * Once an iteration (LOOP_HISTORY) all that was written to the history since goes to the segment in one write;
 * then (LOOP_COMMIT) the fence is raised to what is kept as safely as -fsync asks. What may wait for a disk is
 * done by a thread of its own; while it works the file is its alone, the history keeps what comes, and replies
 * are held.
 *
 * A segment begins with a state of the store, written in slices between the lines of the history, and ends that
 * with END. One begins at the start of a node with nothing, when the history is another one than the segment's,
 * when lines were lost, and when the old one has grown (-compact-ratio), or somebody asks. When END is synced
 * the older ones go. Where it goes on with the one before it (same history, no line lost) its lines count at
 * once, END or not; else it is incoming.log up to there.
 *
 *   CLOSED -> SWITCHING (thread: sync the old one, make the new one) -> STATE -> ENDING (thread: sync) -> TAIL
 *                 ^                                                                                       |
 *                 '---------------------------------------------------------------------------------------'
 *
 * A disk that refuses a write is tried again every second, from the same byte on. Meanwhile on_trouble has been
 * called, nothing is held, and no write is taken (keyspace_refuse_writes). A disk that refuses to sync has lost
 * what it was given: on_fatal.
 */
#ifndef KVNODE_SERVER_JOURNAL_JOURNAL_H
#define KVNODE_SERVER_JOURNAL_JOURNAL_H

#include "cluster/archive.h"
#include "cluster/group_data.h"
#include "cluster/history.h"
#include "protocol/journal_record.h"
#include "server/journal/directory.h"
#include "server/journal/line_map.h"
#include "server/log.h"
#include "server/net/fence.h"

enum {
    JOURNAL_SYNC_EVERY_MS = 1000,
    JOURNAL_RETRY_MS = 1000,
    JOURNAL_OUT_BYTES = 1 << 20, /* a state waits while so much is not written yet */
};
/* So far behind the history is not held on to any more (of a follower, whose leader does not wait): its lines
 * are lost for the journal, and a new segment is written when the disk goes on. */
#define JOURNAL_BEHIND_BYTES       ((size_t)128 << 20)
#define JOURNAL_COMPACT_FROM_BYTES ((uint64_t)64 << 20)

struct journal;

struct journal_config {
    struct loop *loop;
    struct fence *fence; /* closed at what is kept, and raised with it */
    struct history *history;
    struct group_data data;
    struct journal_directory *directory; /* outlives the journal */
    const struct log *log;
    enum journal_fsync fsync;
    double compact_ratio;
    void *context;
    /* The store is what the history says, and not in the middle of taking another state. */
    bool (*is_whole)(void *context);
    /* Too much is waiting to be written: writers have to wait; and no more. */
    void (*on_pressure)(void *context, bool high);
    /* The disk takes nothing, or something again. error: a static text; NULL: all is well. */
    void (*on_trouble)(void *context, const char *error);
    void (*on_fatal)(void *context, const char *message); /* one line */
    void (*on_kept)(void *context);                       /* journal_keep */
};

/* The end of the segment that recovery has read, as it is on disk: it is gone on with. number 0: none. */
struct journal_tail {
    uint64_t number, offset, state_bytes; /* offset: where it ends; state_bytes: about as long is its state */
    uint64_t next_number;                 /* of the next one */
    struct journal_chain chain;
    bool is_complete; /* it has its END */
    struct journal_line_map map;
};

/* The directory is marked as in use. From here on what passes the fence waits for the disk. NULL: *reason is
 * one line. */
struct journal *journal_create(const struct journal_config *config, const struct journal_tail *tail,
                               const char **reason);
/* Writes and syncs what is left, and marks the directory as whole. False: not all of it is on the disk (said in
 * the log). */
bool journal_finish(struct journal *journal);
void journal_destroy(struct journal **journal); /* NULL-safe; the conns behind its fence are gone */

/* A stronger one holds from now on; a weaker one when meta says so, soon. */
void journal_set_fsync(struct journal *journal, enum journal_fsync fsync);

/* What a voter must not forget: as meta has it (what a crash may have made it forget included), or as it was
 * given last. */
void journal_kept(const struct journal *journal, struct journal_kept *out);
/* It goes to meta, at once or as soon as the disk takes it; then on_kept is called: once, for the newest that
 * was given. A term that is smaller than the one before, and the vote in it, is none. Nothing but this takes
 * forgetful away. */
void journal_keep(struct journal *journal, const struct journal_kept *kept);
void journal_keep_term(struct journal *journal, uint64_t number); /* nobody is voted for in it, if it is new */

size_t journal_peers(const struct journal *journal, struct journal_peer peers[VOTERS_MOST]);
/* VOTERS_MOST at most. With what is written to meta next: at once, if nothing is under way. No callback. */
void journal_keep_peers(struct journal *journal, const struct journal_peer *peers, size_t n);

void journal_set_compact_ratio(struct journal *journal, double ratio);
/* All that has been written so far is synced soon, whatever -fsync. */
void journal_ask_sync(struct journal *journal);
/* A new segment as soon as there is time for it. False: one is being written already. */
bool journal_compact(struct journal *journal);

enum journal_phase {
    JOURNAL_PHASE_CLOSED,
    JOURNAL_PHASE_SWITCHING,
    JOURNAL_PHASE_STATE,
    JOURNAL_PHASE_ENDING,
    JOURNAL_PHASE_TAIL
};

struct journal_status {
    enum journal_phase phase;
    enum journal_fsync fsync;
    uint64_t segment, segment_bytes, state_bytes; /* number; as long as it is; up to its END */
    uint64_t waiting_bytes;                       /* not written yet */
    uint64_t written_index, synced_index;
    uint64_t records, written_bytes, writes, syncs, compactions, failed_writes;
    uint64_t last_sync_us, longest_sync_us;
    int64_t last_compaction_unix_ms; /* or of the start */
    int64_t last_compaction_ms;      /* it took; -1 */
    int64_t compacting_since_ms;     /* monotonic; 0: it is not */
    const char *trouble;             /* NULL: none */
    size_t held_clients;
};
void journal_status(const struct journal *journal, struct journal_status *out);

/* The store once more from the files, as a start would have it (DEBUG RELOAD); the history stays what and where
 * it is. Both outside of the conns' turns, one behind the other, with the store emptied in between.
 *
 * settle: all that was written goes to the files, whoever is at work on them is waited for, and until control
 * goes back to the loop they stay as they are. NULL: so it is; else a static text that says why not. */
const char *journal_settle(struct journal *journal);
/* False: on_fatal has been called, and nothing of the store is written or told any more: it is not what the
 * history says. */
bool journal_reload(struct journal *journal);

/* Of the newest line in the history that is there now that a recovery would find; 0: none. Written; synced; and
 * the one of them that -fsync asks for. */
uint64_t journal_written_index(const struct journal *journal);
uint64_t journal_durable_index(const struct journal *journal);
uint64_t journal_synced_index(const struct journal *journal);

/* A line's number for the fence: it only grows, whatever history begins and wherever one goes on from. Of the
 * newest line in the history that there is now; and of another one in it. */
uint64_t journal_newest_ticket(struct journal *journal);
uint64_t journal_ticket(struct journal *journal, uint64_t index);

/* --- The lines that are in the segments, for cluster/archive.h; this is the context of open.
 *
 * One thread reads for all that are open: it verifies a gigabyte a second or so, more than a link takes, and
 * disks are not asked for several things at once. It is there from the first of them on. A reader keeps the
 * file that it is in open, whether that is removed or not; of the segment that goes on behind that, it needs
 * the name. */
enum { JOURNAL_READERS = 8 }; /* each has a block and a piece: 1 MB */
struct archive_reader *journal_archive_open(void *journal, uint64_t index, uint64_t most_bytes);
enum archive_result journal_archive_read(struct archive_reader *reader, struct slice *lines,
                                         uint64_t *last_index);
void journal_archive_advance(struct archive_reader *reader, size_t n);
void journal_archive_close(struct archive_reader *reader);

#endif
