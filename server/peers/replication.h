/* replication.h: this node's part in its group: leader of links to followers, or follower of a leader's link.
 *
 * Drives the deciders cluster/leader.h and cluster/follower.h over conns: owns the replication port's listener,
 * the dialled links and the accepted ones, state transfers, and the node's role. What the rest of the server
 * may ask is here.
 */
#ifndef KVNODE_SERVER_PEERS_REPLICATION_H
#define KVNODE_SERVER_PEERS_REPLICATION_H

#include "cluster/archive.h"
#include "cluster/election.h"
#include "cluster/forming.h"
#include "cluster/history.h"
#include "cluster/membership.h"
#include "protocol/err.h"
#include "protocol/journal_meta.h"
#include "server/log.h"
#include "server/net/conn.h"
#include "server/peers/link_compression.h"

struct keyspace;
struct replication;

enum replication_role {
    REPLICATION_STARTING, /* a leader that may not serve yet: it looks for followers that hold data, or takes it
                             from one */
    REPLICATION_LEADER,
    REPLICATION_FOLLOWER,
    REPLICATION_DEMOTED, /* was a leader; another one has the older history: follows now */
};
const char *replication_role_name(enum replication_role role); /* "starting", "leader", "follower", "demoted" */

/* One follower as its leader sees it. */
struct replication_follower {
    char node_id[LIMIT_NODE_ID_BYTES + 1];
    char host[LIMIT_HOST_BYTES + 1];
    uint16_t port, redis_port, api_port;
    const char *state;      /* "connecting", "handshake", "pull", "full", "catch-up", "online", "spec-only" */
    uint64_t acked_index;   /* 0 before the first ACK */
    uint64_t durable_index; /* likewise, on its disk; 0: it has none */
    uint64_t lag_lines;
    int64_t lag_ms;         /* age of the oldest line not acknowledged; 0: none */
    int64_t ack_age_ms;     /* since the last ACK; -1: none yet */
    struct link_bytes sent; /* of a link that is compressed, else 0 */
};

struct replication_status {
    enum replication_role role;
    uint64_t history_id;  /* a follower: its leader's; 0: none yet */
    uint64_t index;       /* newest line written (leader) or applied (follower) */
    struct term term;     /* of that line; number 0: the history has none */
    uint64_t first_index; /* oldest line in the backlog */
    size_t backlog_bytes, backlog_limit_bytes;
    size_t follower_count; /* links, in whatever state */
    size_t online_count;   /* links that are online */
    /* Seen from a follower: */
    char leader_id[LIMIT_NODE_ID_BYTES + 1]; /* "": none. A leader names itself. */
    char leader_host[LIMIT_HOST_BYTES + 1];
    uint16_t leader_port, leader_redis_port, leader_api_port;
    bool link_up;          /* a leader's link stands */
    bool has_state;        /* it can answer reads: it serves, or has had its group's state since the start */
    bool synced;           /* it has had a leader's state, or gone on with it, since it began to follow */
    bool full_in_progress; /* a state is being received */
    int64_t link_down_since_ms;              /* monotonic; 0: up, or never was */
    int64_t last_line_age_ms;                /* -1: never */
    uint64_t leader_index;                   /* the newest index the leader told */
    char conflict[160];                      /* "" or why this group has, or had, two leaders */
    struct link_bytes packed_out, packed_in; /* by all links that were and are compressed */
    uint64_t full_syncs, partial_syncs, partial_refused, archive_syncs, pulls, lines_received, lines_unknown,
        lines_malformed, lines_refused;
};

void replication_status(const struct replication *replication, struct replication_status *out);
/* The i-th follower link, 0 to follower_count - 1; false: there is none. */
bool replication_follower_at(const struct replication *replication, size_t i, struct replication_follower *out);
/* The link to this node; false: there is none. */
bool replication_follower_of(const struct replication *replication, const char *node_id,
                             struct replication_follower *out);

/* A connection over which the history goes: one that this node has dialled, to a follower, or its leader's. */
struct replication_link {
    char node_id[LIMIT_NODE_ID_BYTES + 1];
    bool dialled;     /* by this node */
    int64_t since_ms; /* monotonic */
    size_t output_allocated_bytes, output_used_bytes;
    struct link_bytes compressed; /* the leader's lines, 0: they are not */
};
/* The i-th; false: there is none. */
bool replication_link_at(const struct replication *replication, size_t i, struct replication_link *out);

/* How many followers have said that they have applied all up to this line. */
size_t replication_acknowledged(const struct replication *replication, uint64_t index);
/* Of these, how many have it on their disks. */
size_t replication_durable(const struct replication *replication, uint64_t index);
/* How often any has said so: as long as it does not change, nor does what they have acknowledged. */
uint64_t replication_acknowledgements(const struct replication *replication);
/* Every follower is asked to say so as soon as it has been sent what there is: not only at the next 100 ms. */
void replication_ask_followers(struct replication *replication);

/* Of the newest line written, or applied. */
uint64_t replication_index(const struct replication *replication);
/* The same of a node of the cluster, by its link where there is one, else as it announced last. False: unknown.
 */
bool replication_index_of(const struct replication *replication, const struct member *member, uint64_t *out);

/* What replies of a leader that was elected may wait for, besides its own disk. Neither falls while it leads.
 */
struct replication_quorum {
    uint64_t committed_index; /* a majority of the voters has all up to this line on its disks */
    uint64_t round;           /* of the newest pings that a majority has echoed */
};
/* False: this node does not lead a group that votes. */
bool replication_quorum(const struct replication *replication, struct replication_quorum *out);
/* The number of a round whose pings leave behind this call: once it is confirmed, this node led still when all
 * that had run before ran. Only where replication_quorum is true. */
uint64_t replication_ask_round(struct replication *replication);

/* How the leader is elected, as this node sees it. */
struct replication_voting {
    bool active;   /* its group elects it, or is to; else all but the next three is nothing */
    bool quorum;   /* replies wait for a majority */
    size_t wanted; /* -voters */
    size_t voter_count;
    bool is_voter;  /* this node */
    bool forgetful; /* likewise: it may have forgotten what it acknowledged */
    uint64_t term, committed_index;
    uint64_t elections;                      /* that this node has won since it was started */
    const char *phase;                       /* "follower", "asking", "standing", "leading" */
    const char *reason;                      /* "" or why its role changed last */
    char leader_id[LIMIT_NODE_ID_BYTES + 1]; /* "": none is heard */
    char voted_for[LIMIT_NODE_ID_BYTES + 1];
};
void replication_voting(const struct replication *replication, struct replication_voting *out);
struct replication_voter {
    char node_id[LIMIT_NODE_ID_BYTES + 1];
    bool leads, reachable;
    bool is_known, forgetful; /* is_known: whether it is; as it said when it voted for this node last */
    uint64_t durable_index;   /* a leader knows it of each, others of themselves; 0: not known */
};
/* The i-th; false: there is none. */
bool replication_voter_at(const struct replication *replication, size_t i, struct replication_voter *out);
/* At the leader: one more voter, one less ("": none), or one for another. NULL, or a static text that says why
 * not. */
const char *replication_change_voters(struct replication *replication, const char *add, const char *remove);

/* This node, which was elected, is to lead no more, but that voter, or, "", the one that has most
 * (hand_over.c). NULL: it is tried, for so long at most; else a static text that says why not. */
const char *replication_hand_over(struct replication *replication, const char *node_id, int64_t timeout_ms);
bool replication_hand_over_abort(
    struct replication *replication); /* false: there is nothing to abort any more */
enum hand_over_phase { HAND_OVER_NONE, HAND_OVER_WAITS, HAND_OVER_SAID };
enum hand_over_phase replication_hands_over(const struct replication *replication);
/* This voter, which follows, is to lead: its leader is asked to hand over; or, by_force, nobody is asked but
 * the other voters. NULL, or a static text that says why not. */
const char *replication_take_over(struct replication *replication, bool by_force);

/* In which this node leads; 0: it was not elected. */
uint64_t replication_elected_term(const struct replication *replication);

/* May this node answer from its data? ERR_NONE; or ERR_LOADING while it is REPLICATION_STARTING, and for a
 * follower that has never had its group's state. */
enum err replication_ready(const struct replication *replication);

/* --- For the composition root --- */

/* What a node of a group that elects its leader must not forget besides its data. */
struct voting_kept {
    struct election_kept vote;
    struct forming_kept formed;
};

struct replication_config {
    struct net *net;
    struct history *history;
    struct keyspace *keyspace;
    const struct membership
        *membership; /* whose self says id, group, host and port, and whether this node leads */
    const struct log *log;
    const char *bind_hosts; /* as listener.h has them */
    uint16_t port;          /* that is listened on; self says what is announced */
    size_t max_accepted;    /* links at once: over it the oldest goes that is not the leader's */
    bool lz4;               /* links are compressed, with nodes that do so, too */
    /* How far this node's own disk has the history; NULL: it has none. */
    uint64_t (*durable)(void *context);
    /* With a disk: puts the number of this node's term there, and then calls replication_kept. */
    void (*keep_term)(void *context, uint64_t number);
    struct archive archive; /* of the history's lines on this node's disk */
    /* A leader that is elected (cluster/election.h), where there is a disk and none is named by hand. */
    size_t voters; /* so many are to form the group's set; 0: none are */
    int64_t election_timeout_ms;
    /* Puts it on the disk, and then calls replication_kept. */
    void (*keep)(void *context, const struct voting_kept *kept);
    /* Where the other voters were last: known at the next start, whatever discovery hears by then. */
    size_t (*peers)(void *context, struct journal_peer peers[VOTERS_MOST]);
    void (*keep_peers)(void *context, const struct journal_peer *peers, size_t n);
    /* A state has broken off: the store is to be read from the disk again, before this returns. */
    void (*on_broken)(void *context);
    /* Writes are to be held, or not any more; nothing expires and nothing is evicted meanwhile. */
    void (*hold_writes)(void *context, bool on);
    bool (*in_trouble)(void *context);     /* the disk takes nothing */
    size_t (*held_clients)(void *context); /* whose answers wait */
    /* A hand-over is over; done: this node does not lead. */
    void (*on_handed_over)(void *context, bool done);
    /* This node leads no more: what it has not answered yet may come to nothing. */
    void (*on_deposed)(void *context);
    bool waits; /* for replication_start: nobody is talked to before */
    void *context;
    /* The role is another than before. */
    void (*on_role)(void *context, enum replication_role role);
    /* Whether this node may answer from its data is another than before. */
    void (*on_state)(void *context, bool has_state);
    /* A leader's link stands: the group has a leader that is known to be one. */
    void (*on_leader)(void *context);
    /* A client of another node has published a message. */
    void (*on_message)(void *context, struct slice channel, struct slice text);
    /* This node may not go on: message is one line. */
    void (*on_fatal)(void *context, const char *message);
};

/* Binds the replication port. NULL: *reason is one line. */
struct replication *replication_create(const struct replication_config *config, const char **reason);
void replication_destroy(struct replication **replication);

/* The node's data has been recovered from its disk, or there was none (has_data). kept: what the disk knows. */
void replication_start(struct replication *replication, bool has_data, const struct voting_kept *kept);
/* What was given to be kept last is on the disk. */
void replication_kept(struct replication *replication);
/* The store is what the history says: no state is on its way into it, nor has one broken off. */
bool replication_is_whole(const struct replication *replication);

/* What membership has found out about a node. The member is copied. */
void replication_member_up(struct replication *replication,
                           const struct member *member); /* new, back, or changed */
void replication_member_gone(struct replication *replication, const struct member *member);
void replication_other_leader(struct replication *replication, const struct member *member);

/* No new links, the tail of the history to every follower, then all links are drained. */
void replication_stop(struct replication *replication);

#endif
