/* journal_internal.h: the inside of a journal, for journal_reload.c, journal.c, journal_segment.c,
 * journal_archive.c, journal_safety.c and journal_kept.c only: each needs those behind it. */
#ifndef KVNODE_SERVER_JOURNAL_JOURNAL_INTERNAL_H
#define KVNODE_SERVER_JOURNAL_JOURNAL_INTERNAL_H

#include "server/journal/journal.h"
#include "server/journal/lines.h"
#include "server/journal/worker.h"

#include <ev.h>

/* What the thread is given, and what it answers. */
struct journal_job {
    const struct journal_disk *disk;
    struct journal_directory *directory;
    int fd, new_fd;  /* to be synced, and closed when a new segment has been made; -1: none */
    uint64_t number; /* of the new segment */
    bool continues;  /* it goes on with the old one: else it is incoming.log */
    bool accepts;    /* incoming.log is whole when it is synced, and becomes that segment */
    uint64_t offset, index, epoch;
    enum journal_fsync fsync; /* that meta is to say */
    uint64_t us;              /* that the sync took */
    int error;                /* errno of the sync; 0 */
    int new_error;            /* of making the new segment, or of writing meta */
};

/* Counted through, each of them: how far the disk has it. */
struct journal_keeping {
    struct journal_kept kept;
    struct journal_peers peers;
    uint64_t kept_count, peers_count;
};

struct journal {
    struct journal_config config;
    struct loop *loop;
    struct worker *worker, *janitor; /* the janitor removes files, which takes a while */
    struct loop_hook pump_hook, commit_hook;
    struct task state_task;
    ev_timer timer; /* while a sync or a try is due */
    ev_idle soon;   /* while a sync waits for more to come: see gathers */
    struct history_reader reader;
    struct journal_job job;
    uint64_t remove_below; /* the janitor's */

    /* journal_archive.c */
    struct journal_line_map map; /* of what is written, or will be; where it counts */
    uint64_t map_line;           /* another one: what is in the map does not go on from what was */
    struct worker *archivist;    /* NULL: nobody has ever read */
    struct archive_reader *readers;

    /* The segment */
    enum journal_phase phase;
    int fd;
    uint64_t segment_epoch; /* that its FULL is of */
    uint64_t number, next_number, offset, synced_offset, state_bytes;
    struct journal_chain chain;
    struct buf out;     /* records that are not written yet */
    uint64_t out_index; /* of the last line among them, or written */
    struct buf slice;   /* of the state, as lines */
    uint64_t cursor, state_count;
    bool ends;       /* journal_finish */
    bool wanted;     /* a new segment */
    bool continues;  /* it goes on where the one before ends: its lines count before its END does */
    bool say_synced; /* by the next record */
    bool asked;      /* for a sync */

    /* Tickets of the fence: base + index. They grow on when another history begins, or the same again from
     * before: that is another epoch. */
    uint64_t history_id, epoch, base, top;
    uint64_t safe;                        /* the fence's, but where trouble has opened it */
    uint64_t written_index, synced_index; /* in history_id */
    bool counts;                          /* what is written is what a recovery would find */

    /* journal_kept.c */
    struct journal_keeping given;     /* the newest */
    struct journal_keeping job_gives; /* the thread's copy of it, while it writes */
    uint64_t kept_written, peers_written;
    bool marked; /* meta says that it is in use */

    bool failed;                     /* nothing is written, synced or answered any more */
    enum journal_fsync wished_fsync; /* weaker than config.fsync: as soon as meta says so */
    int64_t wish_retry_ms;
    bool high; /* on_pressure */
    const char *trouble;
    uint64_t gather_until_us;
    int64_t retry_ms, sync_began_ms, switched_ms;
    struct journal_status stats; /* the counters of it */
};

/* --- journal_segment.c */
/* All that the history has for the reader goes to out. False: lines were lost. */
bool journal_encode(struct journal *journal);
void journal_write(struct journal *journal);       /* what is in out, as far as the disk takes it */
void journal_sync_if_due(struct journal *journal); /* gives the file to the thread */
void journal_switch(struct journal *journal);      /* likewise: a new segment; out is empty */
bool journal_state_step(void *journal);
/* The rest of the state and its END, at once. */
void journal_finish_state(struct journal *journal);

/* --- journal_kept.c */
/* Meta says that it is in use, before anything is written. False: errno. */
bool journal_mark(struct journal *journal);
/* What a later start has to know of this one, with the newest that was given; nobody is at work on meta. False:
 * errno. */
bool journal_write_meta(struct journal *journal, bool clean);
bool journal_is_meta_due(const struct journal *journal);
void journal_write_meta_if_due(struct journal *journal); /* gives it to the thread */

/* --- journal_archive.c */
/* A new segment goes on behind line index with the one before it, which was end_bytes long; or it does not. */
void journal_archive_begin(struct journal *journal, uint64_t number, uint64_t index, bool continues,
                           uint64_t end_bytes);
void journal_archive_drop_below(struct journal *journal, uint64_t number); /* these are about to be removed */
void journal_archive_destroy(struct journal *journal);

/* --- journal_safety.c */
void journal_commit(void *journal); /* raises the fence */
void journal_follow_history(struct journal *journal);
void journal_in_trouble(struct journal *journal, const char *what, int error);
void journal_out_of_trouble(struct journal *journal); /* nothing if it was in none */
void journal_fail(struct journal *journal, const char *what, int error);
/* Nothing is written, synced or answered any more, and the next start knows that this one may have forgotten
 * something. trouble: a static text; message: one line for on_fatal. */
void journal_give_up(struct journal *journal, const char *trouble, const char *message);
/* The fence is closed again at what is safe: after trouble, or because more is asked for than before. */
void journal_close_fence(struct journal *journal);
/* Of the last line that a recovery would find, as -fsync and what it is ask for, as long as the segment counts.
 */
uint64_t journal_safe_index(const struct journal *journal);

#endif
