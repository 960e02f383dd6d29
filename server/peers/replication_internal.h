/* replication_internal.h: what the files of replication share: the node's part, its dialled and its accepted
 * links. */
#ifndef KVNODE_SERVER_PEERS_REPLICATION_INTERNAL_H
#define KVNODE_SERVER_PEERS_REPLICATION_INTERNAL_H

#include "cluster/follower.h"
#include "cluster/leader.h"
#include "server/net/listener.h"
#include "server/peers/dialler.h"
#include "server/peers/link_compression.h"
#include "server/peers/replicated_store.h"
#include "server/peers/replication.h"

#include <ev.h>

enum {
    REPLICATION_TICK_MS = 50,
    REPLICATION_FILL_BYTES = 32 << 10, /* of a state transfer, a step */
    REPLICATION_SEND_BYTES = 1 << 20,  /* of the history, a link and loop iteration */
    REPLICATION_TURN_US = 400,         /* of the lines of a link, an iteration */
    REPLICATION_KEEPALIVE_S = 60,      /* for those that may be silent: a peer that is gone is noticed */
    REPLICATION_REDIAL_FIRST_MS = 100,
    REPLICATION_REDIAL_MAX_MS = 2000,
    REPLICATION_MARKS = 1024,
    REPLICATION_MARK_EVERY_MS = 10,
};

/* A node of the group, dialled while this node leads. */
struct outbound {
    struct replication *replication;
    struct member member;
    struct dialler dialler;
    struct conn *conn; /* NULL: waiting to be dialled */
    bool connected;    /* link is in use */
    bool knows_sync;   /* it has sent SYNC once: no spec-only peer */
    struct leader_link link;
    struct task fill_task;
    struct buf said; /* where compression is offered: what the decider has said, not yet packed; empty between
                        turns */
    struct link_packer packer;
    size_t scanned;   /* bytes of the input known to hold no LF */
    uint64_t adopted; /* keys it gave so far to a history that had begun without them */
    struct outbound *next;
};

/* An accepted connection on the replication port. */
struct inbound {
    struct replication *replication;
    struct conn *conn;
    struct follower_link link;
    int64_t accepted_ms;
    bool asked; /* the node that it says it is: the answer is awaited */
    size_t scanned;
    struct link_unpacker unpacker; /* of a link that is compressed: */
    struct buf unpacked;           /* lines that it stands for, not taken yet */
    size_t unpacked_ahead;         /* bytes at the beginning of the input whose lines are there already */
    /* The answer to PULL: this node's state, or the tail of its history. */
    bool sending_state;
    struct task state_task;
    uint64_t state_cursor, state_count;
    struct history_reader tail;
    struct inbound *next, *prev;
};

/* When a line was written: to tell a lag in ms. */
struct mark {
    uint64_t index;
    int64_t at_ms;
};

struct replication {
    struct replication_config config;
    struct loop *loop;
    enum replication_role role;
    bool has_state; /* as on_state has been told */
    bool started, stopping;
    struct leader leader; /* STARTING, LEADER */
    struct follower follower;
    struct listener *listener;
    struct outbound *outbounds;
    struct inbound *inbounds;
    size_t inbound_count;
    ev_timer tick;
    struct loop_hook flush_hook;
    struct buf scratch; /* decoding */
    uint64_t random_state;
    char conflict[160];
    char gives_way_to[LIMIT_NODE_ID_BYTES + 1]; /* STARTING: the live leader that was met; "": none */
    int64_t link_down_since_ms;                 /* monotonic */
    int64_t unix_ms;                            /* of the last iteration */
    struct link_bytes packed_out, packed_in;    /* of all links that were compressed and are gone */
    struct mark marks[REPLICATION_MARKS];
    size_t mark_next; /* ring */
};

static inline bool replication_leads(const struct replication *replication) {
    return replication->role == REPLICATION_STARTING || replication->role == REPLICATION_LEADER;
}

/* replication.c; what may be asked of it is replication_status.c's */
void replication_set_role(struct replication *replication, enum replication_role role);
/* The node of that id, whose history is older, leads this node's group; peer is where it dialled from. A node
 * that serves follows it from now on. One that is starting still leads afterwards: it is about to end
 * (give_way). */
void replication_step_down(struct replication *replication, const char *node_id, const char *peer);
void replication_note_conflict(struct replication *replication, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* It may have got its group's state. */
void replication_state_moved(struct replication *replication);
/* The leader's phase may have changed: role, and every link's next step. */
void replication_leader_moved(struct replication *replication);
/* Splits the input of a conn into lines, without their LF: calls line for each until it returns false, or until
 * REPLICATION_TURN_US are over: the rest is offered again in the next iteration. Returns the bytes consumed;
 * *scanned is kept between calls. */
size_t replication_each_line(struct conn *conn, struct slice in, size_t *scanned,
                             bool (*line)(void *context, struct slice bytes), void *context);

/* outbound.c: this node as leader */
void outbound_add(struct replication *replication, const struct member *member);
void outbound_remove(struct replication *replication, const char *node_id, enum close_reason reason);
void outbound_remove_all(struct replication *replication, enum close_reason reason);
void outbound_tick(struct replication *replication, int64_t now_ms);
void outbound_flush(struct replication *replication);
void outbound_stop(struct replication *replication);

/* inbound.c: this node's replication port */
void inbound_accept(void *replication, int fd);
void inbound_tick(struct replication *replication, int64_t now_ms);
void inbound_close_all(struct replication *replication, enum close_reason reason);
/* What the node that it says it is has answered to WHO; NULL: nothing. May close it, and others. */
void inbound_proof(struct inbound *inbound, const struct datagram *announce);

/* proof.c: who says LEAD, or NODE, is asked. The member has been heard, or named. */
void proof_ask(struct replication *replication, const struct member *member);

#endif
