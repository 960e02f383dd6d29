/* leader.h: how a leader brings its followers to its history, and how it gets its data back: a decider.
 *
 * One struct leader a node, one struct leader_link a follower that is dialled.
 *
 *   leader:  LISTENING -- 1 s, nobody has more data (*) ------> [TERM] --> SERVING
 *              |    ^                                             ^           |
 *              |    '-- it broke off, nothing is here --.         |           | nothing is written yet, and
 *              |                                        |         |           | one with data turns up
 *              '------- PULL the most advanced ----> PULLING -----'           |
 *                                                       ^---------------------'
 *
 *   TERM: of a leader that goes on with a history: its term is being put on the disk (leader_term_kept); then
 *   the line TERM is written, before any other.
 *
 *   link:  HELLO (LEAD sent) -- SYNC --> HELD (the leader is not serving yet)
 *            |   |                         |  | PULL
 *            |   | SYNC                    |  '-----> TAKING -- END --.
 *            |   v                         v                          v
 *            |  CONTINUE -> STREAM <---- STATE (FULL, slices, live lines, END) <- position neither in the
 * backlog |                ^                                                   |     nor in the archive | |
 * '---- not found there |                '--- CATCH_UP (CONTINUE, lines of the archive) <- SEEK <- in the
 * archive alone
 *            |
 *            '-- 500 ms silent, a peer that never spoke kvnode --> STATE, STREAM in plain lines (spec_only)
 *
 * A leader that goes on with its own history pulls from a follower that has more of it, or a later term of it:
 * the tail alone, where the follower says that this leader is at the beginning of what it has; the state,
 * otherwise, and when they have parted, on top of what is here.
 *
 * (*) A follower that is there and has not said what it holds is waited for, a while longer: one that was
 * connected and is silent, and one that has refused this leader because it follows another one still. That one
 * may be dead, with nobody to tell: then the follower gives it up within LINK_TIMEOUT_MS.
 *
 * A follower that names data of a history that is neither this one nor one this leader's data came from, or
 * lines of this one that this leader has not got, is taken from first: wholly, while nothing is here, or
 * nothing but an earlier state of its history; else only the keys that are missing here (TAKING with adopt). So
 * no restart order and no healed partition loses what only a follower had. (What was deleted while such a
 * follower was away comes back with it: the lesser evil.)
 */
#ifndef KVNODE_CLUSTER_LEADER_H
#define KVNODE_CLUSTER_LEADER_H

#include "cluster/catch_up.h"
#include "cluster/follower.h"

enum {
    LEADER_LISTEN_MS = 1000,
    LEADER_WAIT_MOST_MS = 9000, /* LISTENING in all, when followers hesitate: a link's time-out and two dials */
    LEADER_REFUSED_WAIT_MS = 3000, /* from a refusal to the end of the next try */
    LEADER_SPEC_ONLY_AFTER_MS = 500,
    LEADER_PING_EVERY_MS = 1000,
    LEADER_CATCH_UP_STATES = 2, /* lines of the archive as long as so many states, at most: they cost both ends
                                   together less than one state does, and this one a seventh */
    LEADER_KNOWN = 16,
    LEADER_FAILED = 8,
};

enum leader_phase { LEADER_LISTENING, LEADER_PULLING, LEADER_TERM, LEADER_SERVING };

enum leader_link_phase {
    LEADER_LINK_DIALLING,
    LEADER_LINK_HELLO,
    LEADER_LINK_HELD,
    LEADER_LINK_TAKING, /* its state is on the way here: leader->taking is this link */
    LEADER_LINK_STATE,  /* the state is on the way to it */
    LEADER_LINK_SEEK,   /* what it lacks is looked for in the archive; nothing has been said */
    LEADER_LINK_CATCH_UP,
    LEADER_LINK_STREAM,
};

enum leader_verdict { LEADER_GO_ON, LEADER_CLOSE };

struct leader_link {
    enum leader_link_phase phase;
    char node_id[LIMIT_NODE_ID_BYTES + 1]; /* as membership knows it */
    bool knows_sync;                       /* it has sent ENDPOINTS or SYNC: no spec-only peer */
    bool spec_only;
    bool lz4; /* it has taken the offer: from the answer to SYNC on all that is said to it goes as LZ4 frames */
    struct position position;            /* that it named in SYNC */
    struct history_reader reader;        /* STATE, STREAM */
    struct plain_stream plain;           /* likewise, of a spec-only peer */
    struct catch_up catch_up;            /* SEEK, CATCH_UP; what it came to stays to be told */
    uint64_t scan_cursor, scan_count;    /* STATE */
    uint64_t acked_index, durable_index; /* applied, and on its disk */
    bool early;                          /* LEAD was said before this leader's term had begun, */
    bool too_early;                      /* and it has answered that it has nothing: see on_sync */
    bool asked; /* for an ACK of all there is now: PING as soon as the history is sent */
    bool take_asked, take_began,
        take_adopts; /* TAKING: PULL was sent; FULL or CONTINUE has come; only missing keys are taken */
    uint64_t take_history_id, take_floor;                       /* TAKING */
    int64_t opened_ms, last_line_ms, last_sent_ms, last_ack_ms; /* last_ack_ms -1: none yet */
    char refusal[160];                                          /* what its ERROR line said */
    struct leader_link *next, *prev;
};

struct leader {
    char node_id[LIMIT_NODE_ID_BYTES + 1];
    uint16_t group;
    struct history *history;
    struct group_data data;
    struct archive archive; /* set by the driver, behind leader_init; zero: there is none */
    int64_t unix_offset_ms; /* Unix time is the time of an event and this; kept by the driver */
    uint16_t random;        /* for the id of a history that begins; kept by the driver */
    bool offers_lz4;        /* in LEAD; kept by the driver, who makes the frames */
    enum leader_phase phase;
    int64_t serve_at_ms;                     /* LISTENING: when the listening is over */
    int64_t wait_until_ms, refused_until_ms; /* LISTENING: for those who hesitate */
    /* Whose data is in the store, each up to an index: states that were taken, and (UINT64_MAX) this leader's
     * own former histories. Beyond LEADER_KNOWN the oldest is forgotten: its data would be taken again. */
    struct leader_known {
        uint64_t history_id, index;
        struct lineage lineage;
    } known[LEADER_KNOWN];
    size_t known_count;
    uint64_t committed_index; /* that PING tells followers; 0: nothing. Kept by the driver */
    bool is_elected; /* by voters: nothing is taken from a follower, and no other leader of the term is met */
    bool goes_on;    /* with a history that it has on its disk: a new term begins before it serves */
    uint64_t term_number;     /* the greatest that is known; TERM: that is to be put on the disk */
    struct position whole_of; /* history 0, or whose state the store is, and nothing besides: what has been
                                 written here is not looked at */
    /* Nodes whose state broke off: tried after the others. */
    char failed[LEADER_FAILED][LIMIT_NODE_ID_BYTES + 1];
    size_t failed_count;
    struct leader_link *taking; /* NULL: none */
    struct lineage arriving;    /* TAKING: what its SINCEs have said */
    struct position before;     /* PULLING: where this leader was, and its terms */
    struct lineage lineage_before;
    /* PULLING: what a follower would do with the lines. */
    struct follower taker;
    struct follower_link taken;
    struct leader_link *links;
    uint64_t full_syncs, partial_syncs, partial_refused, archive_syncs, pulls, adopted, acknowledgements,
        lines_unknown, lines_malformed;
};

void leader_init(struct leader *leader, const char *node_id, uint16_t group, struct history *history,
                 const struct group_data *data, int64_t now_ms);

/* Before the first link: the store holds what this node had before its restart, which the history's position
 * names; the history goes on. term_number: the greatest that its disk knows. */
void leader_recover(struct leader *leader, uint64_t term_number);

/* This node has won that term, and its disk knows the number: it writes TERM, and serves at once. */
void leader_elected(struct leader *leader, uint64_t term_number);

/* TERM: leader->term_number is on the disk. */
void leader_term_kept(struct leader *leader);

/* This leader had stepped down, and leads on from where it was. touched: its data is no longer what the history
 * says; it goes on under a new one. */
void leader_resume(struct leader *leader, const struct position *led, bool touched, int64_t now_ms);

/* A connection to a follower stands: says LEAD. */
void leader_link_open(struct leader_link *link, struct leader *leader, const char *node_id, bool knows_sync,
                      int64_t now_ms, struct buf *out);
void leader_link_close(struct leader_link *link, struct leader *leader, int64_t now_ms);

/* One line of the follower, without its LF. */
enum leader_verdict leader_link_line(struct leader_link *link, struct leader *leader, struct slice bytes,
                                     int64_t now_ms, struct buf *scratch, struct buf *out);

/* The next tick that finds all of the history sent says PING, which is answered with ACK at once. */
void leader_link_ask(struct leader_link *link);

/* The peer's silence counts from at_ms on: part of a line that is still on its way has arrived, or this side
 * was not listening before. */
void leader_link_heard(struct leader_link *link, int64_t at_ms);

/* Every 50 ms or so, and for every link after an event that may have changed the leader's phase. */
void leader_tick(struct leader *leader, int64_t now_ms);
enum leader_verdict leader_link_tick(struct leader_link *link, struct leader *leader, int64_t now_ms,
                                     struct buf *out);

/* SEEK: says CONTINUE or begins the state, as soon as it is known which.
 * STATE: appends history bytes that are due and slices of the state until out holds about max_bytes or the
 * state is complete (the link is then in STREAM). LEADER_CLOSE: the link fell out of the backlog; dial it
 * again. */
enum leader_verdict leader_link_fill(struct leader_link *link, struct leader *leader, struct buf *out,
                                     size_t max_bytes);

/* CATCH_UP, STREAM: what is to be sent next, straight from the archive or the backlog; empty: nothing now.
 * LEADER_CLOSE as above, or the archive cannot go on. The caller tells how much of it the socket took. */
enum leader_verdict leader_link_peek(struct leader_link *link, const struct leader *leader, struct slice *out);
void leader_link_sent(struct leader_link *link, const struct leader *leader, size_t n, int64_t now_ms);
static inline bool leader_link_sends_lines(const struct leader_link *link) {
    return link->phase == LEADER_LINK_CATCH_UP || link->phase == LEADER_LINK_STREAM;
}

const char *leader_link_state(
    const struct leader_link *link); /* for status: "handshake", "full", "catch-up", "online", ... */

#endif
