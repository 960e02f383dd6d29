/* follower.h: what a node does with the lines that arrive on its replication port: a decider.
 *
 * One struct follower a node: its position in its leader's history, and which link is the leader's. One struct
 * follower_link an accepted connection; the first line says what it is:
 *
 *                LEAD                     SYNC is sent
 *      NEW ---------------> SYNCING <----------------------.
 *       |                    | | |  FULL          END      | (a second FULL, PULL)
 *       | bare REPLICATE     | | '------> FULL ----------> STREAM <--.
 *       '---> BARE           | |   CONTINUE                  ^       | history lines: applied, counted
 *                            | '-----------------------------'-------'
 *                            '-- PULL: this node's state is sent, FULL ... END; still SYNCING
 *
 * No sockets, no clock: lines and the time go in; answers are appended to out, the data is changed through
 * follower_store, and a verdict says what the driver has to do.
 */
#ifndef KVNODE_CLUSTER_FOLLOWER_H
#define KVNODE_CLUSTER_FOLLOWER_H

#include "cluster/position.h"
#include "protocol/err.h"
#include "protocol/line.h"

enum {
    LINK_TIMEOUT_MS = 5000, /* without a line: the link is dead */
    FOLLOWER_ACK_EVERY_MS = 100,
    FOLLOWER_ACK_IDLE_MS = 1500, /* a long line is on its way and no PING comes: this node lives */
};

/* The data, as a follower changes it (server/store/keyspace.h has the same operations). */
struct follower_store {
    void *context;
    enum err (*apply)(void *context, const struct line *line, int64_t timestamp_ms);
    /* ERR_PRECONDITION: it is not newer. */
    enum err (*apply_if_newer)(void *context, const struct line *line, int64_t timestamp_ms);
    bool (*full_begin)(void *context); /* false: not now; nothing has changed */
    void (*full_end)(void *context, uint64_t floor);
};

enum follower_phase { FOLLOWER_NEW, FOLLOWER_BARE, FOLLOWER_SYNCING, FOLLOWER_FULL, FOLLOWER_STREAM };

enum follower_verdict {
    FOLLOWER_GO_ON,
    FOLLOWER_CLOSE,      /* out may hold an ERROR line to be sent before */
    FOLLOWER_FACTS,      /* WHO was asked: send ANNOUNCE and ENDPOINTS as lines */
    FOLLOWER_MESSAGE,    /* another node's client has published something: the line says what */
    FOLLOWER_SEND_STATE, /* PULL was asked: send FULL, the state, END; the position does not change meanwhile */
    FOLLOWER_STEP_DOWN,  /* this node leads, but the line is the LEAD of an older history: stop leading, with
                            follower_follow, and offer the same line again */
};

struct follower_link {
    enum follower_phase phase;
    char leader_id[LIMIT_NODE_ID_BYTES + 1]; /* from LEAD on */
    uint64_t history_id;                     /* that LEAD or FULL named */
    uint64_t full_floor;
    int64_t clock_ms; /* BARE: what its CLOCK lines said */
    int64_t last_line_ms, last_ack_ms;
    uint64_t acked_index;
    uint64_t leader_index; /* the newest the leader has told */
    uint64_t batch_left;   /* lines still missing of a BATCH */
    uint64_t batch_count;
    struct buf batch; /* its lines so far, each with LF */
};

struct follower {
    char node_id[LIMIT_NODE_ID_BYTES + 1];
    uint16_t group;
    struct follower_store store;
    int64_t unix_offset_ms;   /* Unix time is the time of an event and this; kept by the driver */
    bool leading;             /* this node is a leader now */
    struct position position; /* of the data; while leading: of the own history, kept by the driver */
    int64_t clock_ms;         /* the history's clock at that position */
    bool own_history;     /* the position is in a history of this node's own: of bare lines, or of a part of a
                             state on top of nothing */
    uint64_t overlaid_by; /* 0, or the history whose state began and did not end: it lies over the data of
                             position (or lines were lost): good enough to be taken, not to be continued */
    struct follower_link *leader_link; /* NULL: none stands */
    uint64_t lines_received, lines_unknown, lines_malformed, lines_refused, full_syncs, partial_syncs;
};

void follower_init(struct follower *follower, const char *node_id, uint16_t group,
                   const struct follower_store *store);
/* From now on this node follows; what it has is at position (its own history's, if it led). */
void follower_follow(struct follower *follower, struct position position);
void follower_lead(struct follower *follower, uint64_t own_history_id);

void follower_link_init(struct follower_link *link, int64_t now_ms);
/* The connection is gone. */
void follower_link_deinit(struct follower_link *link, struct follower *follower);

/* One line without its LF. scratch: for decoding. random: for the id of a history of this node's own. */
enum follower_verdict follower_link_line(struct follower_link *link, struct follower *follower,
                                         struct slice bytes, int64_t now_ms, uint16_t random,
                                         struct buf *scratch, struct buf *out);

/* Every 50 ms or so, and after a run of lines: ACK when due; FOLLOWER_CLOSE when the leader was silent too
 * long, or when another link has taken this one's place. */
enum follower_verdict follower_link_tick(struct follower_link *link, struct follower *follower, int64_t now_ms,
                                         struct buf *out);

/* Part of a line that is still on its way has arrived: who sends it lives. */
void follower_link_bytes(struct follower_link *link, int64_t now_ms);

bool follower_linked(const struct follower *follower); /* a leader's link stands and its stream or state runs */

#endif
