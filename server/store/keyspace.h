/* keyspace.h: the operations on the store: one place for versions, expiry, limits and the history.
 *
 * RESP commands, REST endpoints and replication all come through here. The rules that live here and nowhere
 * else:
 *   - a write gives a key version 1 (floor + 1 after deletions), or one more than it had;
 *   - a deletion (DELETE, expiry, flush) takes a version too and raises the floor to it;
 *   - every change goes into the history as one absolute line;
 *   - an expired key is missing; only the owner of the data (a leader) deletes it.
 * Routing is decided before: the keyspace does what it is told.
 *
 * Pointers to entries and slices of them die with the next operation that changes the keyspace.
 */
#ifndef KVNODE_SERVER_STORE_KEYSPACE_H
#define KVNODE_SERVER_STORE_KEYSPACE_H

#include "cluster/history.h"
#include "protocol/buf.h"
#include "protocol/err.h"
#include "server/net/loop.h"
#include "server/store/eviction.h"
#include "server/store/table.h"

struct keyspace;

struct keyspace_stats {
    uint64_t hits, misses, expired, evicted, writes, deletes;
    uint64_t sweep_us; /* that the sweep for what has expired has taken */
};

/* history: where changes are written (the caller's). maxmemory_bytes 0: no limit. NULL: out of memory. */
struct keyspace *keyspace_create(struct loop *loop, struct history *history, size_t maxmemory_bytes);
void keyspace_destroy(struct keyspace **keyspace);

/* Leaders own their data: they delete what has expired. Off at first. */
void keyspace_set_owner(struct keyspace *keyspace, bool owner);
/* Off: an expired key is deleted when it is met only. On at first. */
void keyspace_set_active_expiry(struct keyspace *keyspace, bool active);
/* CLIENT PAUSE: while it is on the keyspace deletes nothing on its own account. What has expired is missing,
 * but counted; what is over the limit of memory stays. Off at first. */
void keyspace_set_paused(struct keyspace *keyspace, bool paused);
bool keyspace_paused(const struct keyspace *keyspace);

/* --- The limit of memory, and what goes when it is reached. What counts as used is keyspace_used_bytes:
 * entries as the allocator rounds them, and the table; not clients' buffers, not the backlog. All of it may be
 * changed at any time: what is then too much goes in slices. */
void keyspace_set_maxmemory(struct keyspace *keyspace, size_t bytes); /* 0: no limit */
size_t keyspace_maxmemory_bytes(const struct keyspace *keyspace);
void keyspace_set_policy(struct keyspace *keyspace, enum eviction_policy policy); /* noeviction at first */
enum eviction_policy keyspace_policy(const struct keyspace *keyspace);
void keyspace_set_maxmemory_samples(struct keyspace *keyspace, unsigned samples); /* 1 to 64; 5 at first */
unsigned keyspace_maxmemory_samples(const struct keyspace *keyspace);
void keyspace_set_lfu_log_factor(struct keyspace *keyspace, unsigned factor);     /* 10 at first */
void keyspace_set_lfu_decay_minutes(struct keyspace *keyspace, unsigned minutes); /* 0: none; 1 at first */

/* Before a command that may grow the data: evicts what is too much, a bounded number of entries; the rest goes
 * in the background. ERR_OUT_OF_MEMORY: over the limit, and there is nothing that may go. */
enum err keyspace_make_room(struct keyspace *keyspace);

/* --- Keys: a key with its hash, so that it is hashed once a request. */
struct key {
    struct slice name;
    uint64_t hash;
};
struct key keyspace_key(const struct keyspace *keyspace, struct slice name);

/* Hints, for batches: the bucket of every key, then the entries of all of them; at most KEYSPACE_PREFETCH_MAX.
 */
enum { KEYSPACE_PREFETCH_MAX = TABLE_PREFETCH_MAX };
void keyspace_prefetch_bucket(const struct keyspace *keyspace, const struct key *key);
void keyspace_prefetch_entries(const struct keyspace *keyspace, const uint64_t *hashes, size_t n);

/* --- Reading. */
enum keyspace_find {
    KEYSPACE_QUIETLY = 0,
    KEYSPACE_COUNT = 1 << 0, /* a hit or a miss */
    KEYSPACE_TELL = 1 << 1,  /* KEYSPACE_MISSED, where it is missing */
    KEYSPACE_TOUCH =
        1 << 2, /* it is a use of the key; so is a write, so this is for one that in the end is none */
    KEYSPACE_LOOK = KEYSPACE_COUNT | KEYSPACE_TELL, /* what is asked for is something about the key */
    KEYSPACE_READ = KEYSPACE_LOOK | KEYSPACE_TOUCH, /* and here it is its value */
};
/* NULL: missing, or expired: then an owner deletes it now. flags: a set of enum keyspace_find. */
const struct entry *keyspace_find(struct keyspace *keyspace, const struct key *key, unsigned flags);
/* The same, with where it is: for a write that follows before anything else changes the keyspace. */
struct table_place keyspace_find_place(struct keyspace *keyspace, const struct key *key, unsigned flags);
/* For those who may change nothing: what has expired is missing, and stays where it is. */
const struct entry *keyspace_peek(const struct keyspace *keyspace, const struct key *key);

/* Whether reading a key is a use of it; it is at first. Returns what it was. */
bool keyspace_set_touching(struct keyspace *keyspace, bool touching);

/* How long the entry has not been used (not under an lfu policy), and Redis's logarithmic counter of uses, 0 to
 * 255 (under one). The setters are RESTORE's: false: no such key. */
int64_t keyspace_idle_ms(const struct keyspace *keyspace, const struct entry *entry);
unsigned keyspace_frequency(const struct keyspace *keyspace, const struct entry *entry);
bool keyspace_set_idle_ms(struct keyspace *keyspace, const struct key *key, int64_t idle_ms);
bool keyspace_set_frequency(struct keyspace *keyspace, const struct key *key, unsigned frequency);

/* --- Writing. */
enum keyspace_condition {
    KEYSPACE_ALWAYS,
    KEYSPACE_IF_ABSENT,  /* NX; If-None-Match: * */
    KEYSPACE_IF_PRESENT, /* XX; If-Match: * */
    KEYSPACE_IF_VERSION, /* If-Match: "version": present with just this version */
};

enum keyspace_deadline {
    KEYSPACE_DEADLINE_CLEAR,
    KEYSPACE_DEADLINE_KEEP, /* KEEPTTL */
    KEYSPACE_DEADLINE_SET,  /* to deadline_ms; one that has passed: the key is gone at once */
};

struct keyspace_set {
    struct slice value; /* may point into the entry that is overwritten */
    enum keyspace_condition condition;
    uint64_t version; /* KEYSPACE_IF_VERSION */
    enum keyspace_deadline deadline;
    int64_t deadline_ms;             /* absolute Unix ms */
    const struct table_place *place; /* the key's, as keyspace_find_place said just before; NULL: look */
    struct entry_reserve *reserve;   /* taken where value lies in it, and is stored; NULL: none */
};

/* What is in a store can be said as a line (protocol/limits.h): every write asks here before it changes
 * anything. ERR_NONE, ERR_KEY_TOO_LONG, ERR_VALUE_TOO_LONG. */
enum err keyspace_check_lengths(const struct key *key, size_t value_bytes);

struct keyspace_result {
    uint64_t version;     /* that the write or deletion took */
    int64_t timestamp_ms; /* of the write */
};

/* ERR_NONE: done. ERR_PRECONDITION: the condition does not hold, nothing changed. Else ERR_KEY_TOO_LONG,
 * ERR_VALUE_TOO_LONG, ERR_NO_MEMORY: nothing changed. result may be NULL. The limit of memory is not looked at:
 * that is keyspace_make_room. */
enum err keyspace_set(struct keyspace *keyspace, const struct key *key, const struct keyspace_set *set,
                      struct keyspace_result *result);

/* Several keys, all or none, as one batch: begin, a set for each, end; nothing else may change the keyspace in
 * between. Who observes it, and the history, hear of them at the end. */
struct keyspace_many {
    struct keyspace *keyspace;
    struct keyspace_written *written; /* inside, as are the others */
    size_t count;
    struct buf images; /* of entries that were overwritten in place */
    enum err err;      /* of the first that failed: those behind it are not tried */
};
/* most: so many sets. Errors come with the end. */
void keyspace_many_begin(struct keyspace_many *many, struct keyspace *keyspace, size_t most);
void keyspace_many_set(struct keyspace_many *many, const struct key *key, struct slice value);
/* ERR_NONE: all are written, and have no deadline; else the first error, and no key has changed. */
enum err keyspace_many_end(struct keyspace_many *many);

/* Bytes take their places in the key's value (a missing one is empty), whose deadline stays: one write. There
 * is at least one patch; they are ascending and apart, and none of the key's own bytes. Costs what they are
 * long, here and on the links: the rest of the value stays where it is, and the history says PATCHX where that
 * is shorter than all of it. place as in keyspace_set; errors, too. */
enum err keyspace_patch(struct keyspace *keyspace, const struct key *key, const struct table_place *place,
                        const struct entry_patch *patches, size_t count, struct keyspace_result *result);

/* ERR_NONE, ERR_NO_SUCH_KEY, or ERR_PRECONDITION (KEYSPACE_IF_VERSION: set->version style, in version). */
enum err keyspace_delete(struct keyspace *keyspace, const struct key *key, enum keyspace_condition condition,
                         uint64_t version, struct keyspace_result *result);

/* The value of from, with its deadline, is to's from now on, and from is gone: one batch. from and to differ.
 * ERR_NONE; ERR_NO_SUCH_KEY, ERR_KEY_TOO_LONG, ERR_VERSIONS_EXHAUSTED, ERR_NO_MEMORY: nothing changed. */
enum err keyspace_rename(struct keyspace *keyspace, const struct key *from, const struct key *to);

/* Sets the absolute deadline (0: persist) of a key that is there; a deadline that has passed deletes it.
 * ERR_NONE, ERR_NO_SUCH_KEY, ERR_NO_MEMORY. Version and value stay. */
enum err keyspace_expire(struct keyspace *keyspace, const struct key *key, int64_t deadline_ms);

/* What is written between the two is one BATCH in the history: a follower applies all of it or none. They nest:
 * the outermost pair counts. Nothing may be left open when control goes back to the loop. */
void keyspace_batch_begin(struct keyspace *keyspace);
void keyspace_batch_end(struct keyspace *keyspace);

/* Empties the store at once for every observer; the memory is given back in slices by a background task. */
void keyspace_flush(struct keyspace *keyspace);

/* --- Being told. Observers hear of every change that is among their events, whoever made it: a client, expiry,
 * a leader's line. What nobody has asked for costs one test. */
enum keyspace_event {
    KEYSPACE_NEW = 1 << 0,      /* a key is about to be written that was not there; KEYSPACE_WRITTEN follows */
    KEYSPACE_WRITTEN = 1 << 1,  /* its value */
    KEYSPACE_TIMED = 1 << 2,    /* the write that was just told of has a deadline */
    KEYSPACE_DEADLINE = 1 << 3, /* a deadline was set, and nothing else */
    KEYSPACE_PERSISTED = 1 << 4,
    KEYSPACE_DELETED = 1 << 5,
    KEYSPACE_EXPIRED = 1 << 6,  /* deleted when it was asked for, because its deadline had passed */
    KEYSPACE_SWEPT = 1 << 7,    /* the same, but nobody had asked for it */
    KEYSPACE_EVICTED = 1 << 8,  /* deleted, because memory was short */
    KEYSPACE_MISSED = 1 << 9,   /* a read did not find it */
    KEYSPACE_FLUSHED = 1 << 10, /* all keys; key is empty, and the keys are still there */
};
enum {
    KEYSPACE_REMOVALS = KEYSPACE_DELETED | KEYSPACE_EXPIRED | KEYSPACE_SWEPT | KEYSPACE_EVICTED,
    KEYSPACE_CHANGES =
        KEYSPACE_WRITTEN | KEYSPACE_DEADLINE | KEYSPACE_PERSISTED | KEYSPACE_REMOVALS, /* of one key */
};

/* The caller's, who keeps it until it is unregistered. */
struct keyspace_observer {
    uint32_t events; /* a set of enum keyspace_event */
    /* key lives until the return; of a deletion it may hear just before it. It may look (keyspace_peek), and
     * change neither the keyspace nor who observes it. Which of several observers hears first is not said. */
    void (*happened)(void *context, const struct keyspace *keyspace, enum keyspace_event event,
                     struct slice key);
    void *context;
    struct keyspace_observer *next; /* inside */
};
/* One that is registered already may have other events now. */
void keyspace_observe(struct keyspace *keyspace, struct keyspace_observer *observer);
void keyspace_unobserve(struct keyspace *keyspace,
                        struct keyspace_observer *observer); /* also one that is not */

/* --- Looking at all of it. */
size_t keyspace_count(const struct keyspace *keyspace);          /* expired keys not deleted yet count */
size_t keyspace_deadline_count(const struct keyspace *keyspace); /* keys with a deadline */
size_t keyspace_used_bytes(const struct keyspace *keyspace);
/* The most that it has been: seen whenever something is deleted, at a note, and when it is asked for. */
size_t keyspace_peak_bytes(struct keyspace *keyspace);
void keyspace_note_peak(struct keyspace *keyspace);
uint64_t keyspace_floor(const struct keyspace *keyspace);
const struct keyspace_stats *keyspace_stats(const struct keyspace *keyspace);
void keyspace_stats_reset(struct keyspace *keyspace);
int64_t keyspace_now_ms(const struct keyspace *keyspace);
/* Of keys with a deadline, as far as a few of them tell. */
struct keyspace_deadlines {
    int64_t mean_ttl_ms;  /* what they have left; 0: there are none */
    double stale_percent; /* have expired, and are there all the same */
};
struct keyspace_deadlines keyspace_sample_deadlines(struct keyspace *keyspace);

/* One bucket or so of the table: table_scan (server/store/table.h) with its guarantee; expired keys are left
 * out. */
uint64_t keyspace_scan(const struct keyspace *keyspace, uint64_t cursor,
                       void (*visit)(void *context, const struct entry *entry), void *context);
/* The same with the expired keys that are not deleted yet, for states: their versions are taken, and the DELETE
 * that raises the floor to them is still to come, in the history behind the state. */
uint64_t keyspace_scan_stored(const struct keyspace *keyspace, uint64_t cursor,
                              void (*visit)(void *context, const struct entry *entry), void *context);
/* While pinned (counted) a scan visits each key exactly once. A flush in between is no harm. */
void keyspace_pin(struct keyspace *keyspace);
void keyspace_unpin(struct keyspace *keyspace);
/* Any key that is not expired, NULL when there is none (or none was found in bounded time). An owner deletes
 * the expired ones that it meets. */
const struct entry *keyspace_random(struct keyspace *keyspace);

/* --- Replication: the state as a leader's lines say it. Versions, timestamps and deadlines are taken as they
 * are. */
/* Applies one history line but CLOCK and BATCH; timestamp_ms is the history's clock for a plain line. Nothing
 * is written to the history. While a full state arrives, the patch of a key that it has not brought yet is
 * passed over. ERR_NONE or ERR_NO_MEMORY. */
enum err keyspace_apply(struct keyspace *keyspace, const struct line *line, int64_t timestamp_ms);
/* The same if the line is newer than what is stored (a bare line of a peer that knows only the specification):
 * ERR_PRECONDITION when it was not. The deletion of a missing key is newer than nothing: it would but raise the
 * floor. */
enum err keyspace_apply_if_newer(struct keyspace *keyspace, const struct line *line, int64_t timestamp_ms);
/* Applies a REPLICATE line only if the key is missing, as a write of this node's own history. ERR_PRECONDITION:
 * it is not; what is here stays, but its next versions are above the line's: so its own may rise, and the
 * history is told. ERR_NO_MEMORY: neither was done. */
enum err keyspace_adopt(struct keyspace *keyspace, const struct line *line);
void keyspace_raise_floor(struct keyspace *keyspace, uint64_t floor);
/* The same as a write of this node's own history: its followers' floors rise too. */
void keyspace_adopt_floor(struct keyspace *keyspace, uint64_t floor);

/* A full state arrives: what is neither applied nor touched between begin and end is missing from the end on;
 * its memory is given back in slices; unless it joins what is here. A begin without an end (the link broke)
 * drops nothing, and one during the dropping brings nothing back. False: a dozen states began in the time of
 * one walk over the table, in slices, so that this one cannot be told from them yet: nothing has changed, and a
 * moment later it can. To take it for one of them would keep keys that it lacks; to end the walk at once would
 * hold the loop. */
bool keyspace_full_begin(struct keyspace *keyspace);
void keyspace_full_end(struct keyspace *keyspace, bool joins);

/* --- DEBUG RELOAD: all of it goes and comes back, as lines of a state, before control goes back to the loop.
 * Observers hear that it was flushed, and nothing of what comes; nothing goes into the history. A state that
 * was on its way has broken off. */
/* Empties it, and gives the memory back at once. Returns the floor, which has to come back, too. */
uint64_t keyspace_reload_begin(struct keyspace *keyspace);
/* False: the floor that has come is another one; the higher of them holds. */
bool keyspace_reload_end(struct keyspace *keyspace, uint64_t floor);

#endif
