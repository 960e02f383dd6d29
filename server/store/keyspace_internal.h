/* keyspace_internal.h: the inside of a keyspace, for the files that make it up:
 *
 *   keyspace.c          life, finding, writing, looking at all of it
 *   keyspace_rename.c   a value that gets another key
 *   keyspace_many.c     several keys, all or none
 *   keyspace_patch.c    a few bytes of a large value
 *   keyspace_observe.c  who is told of what happens
 *   keyspace_expiry.c   the sweep for what has expired
 *   keyspace_limit.c    maxmemory: making room, and what entries remember of their use
 *   keyspace_replica.c  lines of a leader, and full states
 *   keyspace_reload.c   all of it once more from lines, unseen
 */
#ifndef KVNODE_SERVER_STORE_KEYSPACE_INTERNAL_H
#define KVNODE_SERVER_STORE_KEYSPACE_INTERNAL_H

#include "server/store/keyspace.h"

#include <ev.h>

enum {
    KEYSPACE_BUCKETS_A_SLICE = 64,
    KEYSPACE_COLLECT_MAX =
        64, /* entries that one look at a bucket may give; the rest is met on the next round */
};

/* A table that was flushed and is given back in slices. */
struct dead_table {
    struct table *table;
    struct dead_table *next;
};

/* What the sync marks of entries mean (keyspace_replica.c); sets of marks have a bit for each. */
struct marks {
    unsigned old;     /* what is older than the last FULL, and live, comes to have this one */
    uint16_t used;    /* an entry may have one of these */
    uint16_t dropped; /* of those: the entry is missing for everybody */
    uint16_t leaving; /* of those: no entry has them when the pass is over; 0: no pass is under way */
    uint64_t cursor;  /* of the pass */
    struct task task; /* makes the passes */
};

struct keyspace {
    struct loop *loop;
    struct history *history;
    struct table *table;
    uint64_t floor;       /* highest version that a deletion took */
    uint64_t max_version; /* highest version ever stored: what a flush raises the floor to */
    size_t maxmemory_bytes;
    size_t peak_bytes;
    struct eviction eviction;
    bool touching; /* reads are uses */
    unsigned pins;
    unsigned batch_depth;
    bool owner;
    bool paused;         /* nothing expires, nothing is evicted */
    bool passive_expiry; /* DEBUG SET-ACTIVE-EXPIRE 0: what has expired goes when it is met, and not before */
    uint8_t secret[16];
    uint64_t random_state;
    struct keyspace_stats stats;
    struct keyspace_observer *observers;
    uint32_t observed; /* events that one of them wants to hear of */

    struct dead_table *dead;
    struct task free_task;

    struct task evict_task;
    size_t settled_bytes; /* used when room was last made: what is more now has been written since */

    ev_timer expiry_timer;
    struct task expiry_task;
    uint64_t expiry_cursor;
    size_t expiry_budget; /* buckets left to look at until the next tick */

    struct marks marks;
    bool filling; /* between the begin of a full state and its end */
};

/* Entries found by a scan, to be changed after it. */
struct collection {
    const struct keyspace *keyspace;
    size_t count;
    struct entry *entries[KEYSPACE_COLLECT_MAX];
};

/* xorshift64*: good enough for samples. */
uint64_t keyspace_next_random(struct keyspace *keyspace);
bool keyspace_expired(const struct keyspace *keyspace, const struct entry *entry);
/* A state has ended that did not have it: it is not there any more, and its memory is given back later. */
static inline bool keyspace_dropped(const struct keyspace *keyspace, const struct entry *entry) {
    return (keyspace->marks.dropped >> entry_mark(entry) & 1) != 0;
}
static inline void keyspace_note_version(struct keyspace *keyspace, uint64_t version) {
    if (version > keyspace->max_version) {
        keyspace->max_version = version;
    }
}
/* events: a set of enum keyspace_event, told in the order of their bits. */
void keyspace_tell_observers(const struct keyspace *keyspace, uint32_t events, struct slice key);
static inline void keyspace_tell(const struct keyspace *keyspace, uint32_t events, struct slice key) {
    if (__builtin_expect((keyspace->observed & events) != 0, 0)) {
        keyspace_tell_observers(keyspace, events, key);
    }
}
/* Whether anybody is told of anything; it is so but for a reload. */
void keyspace_set_telling(struct keyspace *keyspace, bool telling);
/* The deletion takes a version, is told to the history, and raises the floor. Returns that version. */
uint64_t keyspace_delete_entry(struct keyspace *keyspace, const struct key *key, const struct entry *entry);
/* The same, counted as an expiry, and told as event. key may lie in the entry itself: then it dies with it. */
void keyspace_delete_expired(struct keyspace *keyspace, const struct key *key, const struct entry *entry,
                             enum keyspace_event event);
/* During a pause what has expired is still there. A write needs its place: its version comes after that of the
 * entry. */
void keyspace_delete_in_the_way(struct keyspace *keyspace, const struct key *key);
/* Writes fields under key. place: its own, as keyspace_find_live said. Returns NULL when out of memory: nothing
 * was written. */
struct entry *keyspace_put(struct keyspace *keyspace, const struct key *key, const struct table_place *place,
                           const struct entry_fields *fields);
/* Where a write goes. found: as keyspace_find_place said to who writes, and nothing has changed since; NULL: it
 * is looked for. */
struct table_place keyspace_place_to_write(struct keyspace *keyspace, const struct key *key,
                                           const struct table_place *found);
/* --- An owner's write: begin, put, say, end. Inline: it is the hot path. */

/* Over old, as keyspace_find_live said: says in fields which version it takes and when. ERR_NONE,
 * ERR_VERSIONS_EXHAUSTED. */
static inline enum err keyspace_begin_write(struct keyspace *keyspace, const struct key *key,
                                            const struct entry *old, struct entry_fields *fields) {
    if (old == NULL && keyspace->paused) {
        keyspace_delete_in_the_way(keyspace, key);
    }
    uint64_t last = old == NULL ? keyspace->floor : entry_version(old);
    if (last == UINT64_MAX) {
        return ERR_VERSIONS_EXHAUSTED;
    }
    fields->version = last + 1;
    fields->timestamp_ms = loop_now_ms(keyspace->loop);
    return ERR_NONE;
}

/* To the history, as one line. The value is the entry's: that of the request may have pointed into what was
 * just overwritten. */
static inline void keyspace_say_entry(struct keyspace *keyspace, const struct key *key,
                                      const struct entry *entry, const struct entry_fields *fields) {
    struct slice value = entry_value_of(entry, key->name.len, entry_fields_value_len(fields));
    history_replicate(keyspace->history, key->name, value, fields->version, fields->timestamp_ms,
                      fields->deadline_ms);
}

/* What is told of a write. timed: it set a deadline. */
static inline uint32_t keyspace_written_events(bool is_new, bool timed) {
    return KEYSPACE_WRITTEN | (is_new ? KEYSPACE_NEW : 0U) | (timed ? KEYSPACE_TIMED : 0U);
}

/* Counted, and told to the observers. */
static inline void keyspace_end_write(struct keyspace *keyspace, const struct key *key, struct entry *entry,
                                      uint64_t version, uint32_t events) {
    eviction_note_write(&keyspace->eviction, entry, loop_now_ms(keyspace->loop));
    keyspace_note_version(keyspace, version);
    keyspace->stats.writes++;
    keyspace_tell(keyspace, events, key->name);
}

/* Its entry is NULL: missing, expired (an owner deletes it then), or about to be dropped after a full state. */
struct table_place keyspace_find_live(struct keyspace *keyspace, const struct key *key);
/* A new table takes the place of the old one, which is freed in slices. */
void keyspace_empty(struct keyspace *keyspace);
/* About so many entries of the tables that were flushed. */
void keyspace_free_flushed(struct keyspace *keyspace, size_t entries);
/* The steps of the background tasks, and the timer that starts the sweep. */
bool keyspace_expiry_step(void *context);
void keyspace_on_expiry_tick(struct ev_loop *ev, ev_timer *timer, int events);
bool keyspace_evict_step(void *context);
bool keyspace_marks_step(void *context);

#endif
