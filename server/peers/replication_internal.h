/* replication_internal.h: what the files of replication share: the node's part, its dialled and its accepted
 * links. */
#ifndef KVNODE_SERVER_PEERS_REPLICATION_INTERNAL_H
#define KVNODE_SERVER_PEERS_REPLICATION_INTERNAL_H

#include "cluster/commit.h"
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
    bool asked;               /* the node that it says it is: the answer is awaited */
    bool awaits_term;         /* it has answered; its term is being put on the disk: */
    struct datagram announce; /* the answer */
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

/* The connections to another node that may vote: see control.c. */
struct control {
    struct replication *replication;
    struct dialler dialler; /* it knows id and address */
    struct conn *conn;      /* dialled; NULL: waiting to be */
    bool greeted;           /* the node has said there who it is */
    bool suspect;           /* it has just closed that: is anybody there? */
    bool unsent;            /* something was appended to an output */
    uint64_t accepted;      /* id of the conn that it has dialled, and proved; 0: there was none */
    size_t scanned;
    struct control *next;
};

struct hand_over {
    enum hand_over_phase phase;
    char to[LIMIT_NODE_ID_BYTES + 1];
    int64_t until_ms;
    bool by_disk; /* this node's stands still: nobody waits for that */
};

/* The deciders of a leader that is elected: see voting.c. */
struct voting {
    bool active;
    struct election election;
    struct commit commit;
    struct forming forming;
    struct voting_kept kept;       /* as it was given last to be kept */
    bool keeps_vote, keeps_formed; /* that is waited for */
    struct journal_peers peers;    /* likewise */
    bool round_wanted;             /* for what has run since the last one began */
    uint64_t voters_index;         /* that commit knows of */
    int64_t ping_at_ms;
    uint64_t told_history_id, told_forming_id; /* in VOTER */
    enum election_phase logged_phase;
    uint64_t logged_number;
    uint64_t elections; /* won */
    char reason[64];    /* of the last change of this node's role */
    int64_t changed_ms;
    int64_t log_missing_ms; /* not before */
    struct hand_over hand_over;
    uint64_t seen_durable;                   /* while it leads: what was on this node's disk */
    int64_t disk_moved_ms;                   /* when that last grew, or all was there */
    char to_remove[LIMIT_NODE_ID_BYTES + 1]; /* when the voter that takes its place is there; "": none */
    struct loop_hook commit_hook;
    ev_timer tick;
    ev_timer ask; /* at the moment when it is due */
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
    struct control *controls;
    struct voting *voting; /* NULL: this node has no disk, or is the leader that was named by hand */
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

/* It leads from now on: nothing is known of its followers yet. */
void replication_begin_leader(struct replication *replication);
void replication_dial_group(struct replication *replication);
/* Another one was elected, or may have been. */
void replication_stop_leading(struct replication *replication);

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
/* The term of those that have waited for it is on the disk. */
void inbound_term_kept(struct replication *replication);
/* Nothing more is taken from the leader that this node follows. */
void inbound_leave_leader(struct replication *replication);
/* The leader is told what is durable here, if it is more than it knows. */
void inbound_acknowledge(struct replication *replication);

/* voting.c: the deciders of an elected leader; nothing where there are none, or they have nothing to decide */
bool voting_create(struct replication *replication);
void voting_start(struct replication *replication, const struct voting_kept *kept);
void voting_destroy(struct replication *replication);
void voting_kept(struct replication *replication);
/* Does what the deciders ask for. */
void voting_run(struct replication *replication);
/* What this node says of itself to others that may vote: VOTER. */
void voting_greet(const struct replication *replication, struct buf *out);
/* What the node that is known to be from has said over a control connection. */
void voting_line(struct replication *replication, const char *from, const struct line *line);
void voting_linked(struct replication *replication, const char *node_id);   /* a control connection stands */
void voting_unlinked(struct replication *replication, const char *node_id); /* none does any more */
void voting_gone(struct replication *replication, const char *node_id);     /* its process is no more */
enum voting_verdict { VOTING_NO, VOTING_LATER, VOTING_YES };
/* May this node follow who has said LEAD, and has proved who it is? LATER: its term is being put on the disk
 * (inbound_term_kept). */
enum voting_verdict voting_takes_lead(struct replication *replication, const struct follower_link *link);
void voting_heard(struct replication *replication, const struct follower_link *link);
void voting_acknowledged(struct replication *replication, const struct leader_link *link);

/* hand_over.c: once an iteration, and at each tick */
/* At each tick of a leader. */
void hand_over_watch_disk(struct replication *replication);
void hand_over_go_on(struct replication *replication);

/* voters.c: once an iteration, at the leader */
void voters_go_on(struct replication *replication);

/* control.c: connections between those that may vote */
void control_aim(struct replication *replication, const struct member *member); /* it is dialled */
void control_keep_only(struct replication *replication,
                       bool (*is_wanted)(const struct replication *replication, const char *node_id));
/* The address of that node, as far as it is known here; false: it is not. */
bool control_address(const struct replication *replication, const char *node_id, struct member *out);
/* That node has dialled this one, has proved who it is, and has said VOTER. */
void control_accepted(struct replication *replication, const char *node_id, struct conn *conn);
/* Goes on its way by control_flush. Where no connection stands it is lost. */
void control_say(struct replication *replication, const char *node_id, struct slice line);
void control_say_to_all(struct replication *replication, struct slice line);
/* The i-th of those that are dialled; false: there is none. */
bool control_at(const struct replication *replication, size_t i, struct member *out);
bool control_stands(const struct replication *replication, const char *node_id);
void control_flush(struct replication *replication);
void control_tick(struct replication *replication);
void control_close_all(struct replication *replication);

/* proof.c: who says LEAD, or NODE, is asked. The member has been heard, or named. */
void proof_ask(struct replication *replication, const struct member *member);

#endif
