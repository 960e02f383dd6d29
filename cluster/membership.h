/* membership.h: which nodes there are: a decider. Datagrams and the time go in, actions come out. No sockets,
 * no clock.
 *
 * Nodes are alive, dead (not heard for 30 s: specification, "Failure detection") or gone (LEAVE). Nodes alive
 * or dead are for routing; groups are for the ring: a group joins the ring when a node of it is heard and has
 * answered WHO on its TCP port with the same facts (action VERIFY, event membership_verified), and never leaves
 * it by a time-out. Such a node is its leader, or a follower that has had its group's state, as its answer
 * says.
 *
 * A follower counts because the ring is in memory only: who starts while the leader of a group is down learns
 * of the group from its followers, or would take its slots over and serve them. One that never had its group's
 * state does not: that it is there is all that is known of its group, which may be a slip of the pen. So each
 * node that hears the same nodes has the same ring, whenever it was started. Leaders are asked at once; a
 * follower of a group that is not in the ring 300 ms after it was heard, within which its leader, should it
 * live, answers the same WHO: well before a leader that starts has listened for its 1 s and serves. For the
 * same reason the own group of a leader joins with the first other one, and that of a follower when it gets its
 * group's state.
 *
 * A group that was in the ring and has never been seen to serve can be taken out when no node of it lives:
 * membership_forget_group.
 *
 *            ANNOUNCE                 30 s unheard               24 h unheard
 *   (new) --------------> ALIVE ------------------------> DEAD ---------------> (forgotten)
 *                         |  ^        ANNOUNCE             |
 *                   LEAVE |  '-----------------------------'
 *                         v
 *                    (forgotten)
 *
 * At most 4096 are remembered. One more takes the place of the one that has been silent longest among the dead
 * and those that have said nothing but ANNOUNCE (no ENDPOINTS, no answer to WHO); where all the others live and
 * have proved themselves, the newcomer is ignored. Either is counted.
 *
 * The heartbeat is ANNOUNCE. ENDPOINTS heard before the ANNOUNCE of its node (UDP reorders) is ignored: it
 * comes again within 5 s. WHO is sent at the start and, because datagrams get lost, again after 125, 375, 875,
 * 1875 and 3875 ms; an answer to it, and to a node heard for the first time, waits a random 0 to 200 ms, and
 * one answer serves all who asked.
 *
 * Of two nodes with one id the one that was there first stays: self, when it hears its id from another host or
 * port, asks there how long that node has been up. (From its own host and port comes its echo, or its former
 * self. Started within the milliseconds that the question takes, both go.)
 *
 * Of two that lead one group the one stands that was verified first: a second one, which will find that out and
 * exit, must not have the clients in the meantime. Only one that has been silent since the other's
 * verification, 500 ms ago or more, is passed over before it is dead: a newcomer's first three WHO are answered
 * by then. Of several that were elected the one of the greatest term leads.
 */
#ifndef KVNODE_CLUSTER_MEMBERSHIP_H
#define KVNODE_CLUSTER_MEMBERSHIP_H

#include "protocol/datagram.h"

enum {
    MEMBERSHIP_ANNOUNCE_EVERY_MS = 5000, /* with up to 10 % of jitter, taken off */
    MEMBERSHIP_DEAD_AFTER_MS = 30000,
    MEMBERSHIP_FORGET_AFTER_MS = 24 * 3600 * 1000,
    MEMBERSHIP_WHO_ANSWER_WITHIN_MS = 200,
    MEMBERSHIP_WHO_FIRST_GAP_MS = 125,    /* doubles with each WHO ... */
    MEMBERSHIP_WHO_LONGEST_GAP_MS = 2000, /* ... up to this, the last */
    MEMBERSHIP_VERIFY_AGAIN_AFTER_MS =
        2000, /* a failed verification is tried again at an announcement, not sooner */
    MEMBERSHIP_VERIFY_GIVE_UP_AFTER_MS = 10000, /* no word of a verification for so long: it has failed */
    MEMBERSHIP_FOLLOWER_ASKED_AFTER_MS = 300,   /* of a group that is not in the ring */
    MEMBERSHIP_VERIFY_AT_ONCE = 32,             /* questions under way; the others wait for their turn */
    MEMBERSHIP_LEADER_SILENT_MS = 500,       /* so long after another's verification a leader is passed over */
    MEMBERSHIP_DUPLICATE_ID_EVERY_MS = 5000, /* the action comes at most that often */
    MEMBERSHIP_BACK_WITHIN_MS = 10000,       /* who moves and is back so soon has not moved: there are two */
    MEMBERSHIP_FULL_EVERY_MS = 60000,        /* likewise */
    MEMBERSHIP_MAX_MEMBERS = 4096,           /* datagrams are not authenticated */
};

/* One node as it announced itself, or this node itself. */
struct member {
    char id[LIMIT_NODE_ID_BYTES + 1];
    char host[LIMIT_HOST_BYTES + 1];
    uint16_t port, api_port, redis_port; /* api and redis are 0 until ENDPOINTS is heard */
    uint16_t group;
    bool leader;
    bool self;
    bool alive;
    bool has_endpoints; /* it is no spec-only peer, and clients can be redirected to it */
    bool has_state;   /* it can answer reads: it leads and serves, or it has had its group's state; true for one
                         that has endpoints and does not say */
    bool tells_index; /* index is known */
    bool answered;    /* WHO, with these facts */
    bool verified;    /* it answered, and it is a leader */
    bool verifying;   /* asked, no answer yet */
    bool stale_question; /* its facts have changed since it was asked */
    bool waits;          /* to be asked, as soon as it is time and fewer are being asked */
    uint64_t term;       /* in which it was elected; 0: its group does not vote, or it does not lead */
    uint64_t index;      /* of the newest line of its group's history that it has, as it said last */
    int64_t first_heard_ms, last_heard_ms, verify_after_ms;
    int64_t verified_ms;                    /* since when it is a verified leader that lives */
    char former_host[LIMIT_HOST_BYTES + 1]; /* and former_port: where it was before moved_ms; port 0: nowhere */
    uint16_t former_port;
    int64_t moved_ms, duplicate_id_due_ms;
};

enum membership_action_type {
    MEMBERSHIP_SEND_FACTS, /* send ANNOUNCE and ENDPOINTS of self */
    MEMBERSHIP_SEND_WHO,
    MEMBERSHIP_VERIFY,    /* ask member by WHO on its TCP port, then call membership_verified or _verify_failed,
                           * once
                           */
    MEMBERSHIP_MEMBER_UP, /* new, or back from the dead, or replaced by a restart at its host and port */
    MEMBERSHIP_MEMBER_CHANGED, /* other facts than before */
    MEMBERSHIP_MEMBER_DEAD,
    MEMBERSHIP_MEMBER_GONE,  /* LEAVE, or replaced, or forgotten; the member in the action is the last of it */
    MEMBERSHIP_GROUP_JOINED, /* member.group did, the ring has to be built anew: membership_groups */
    MEMBERSHIP_GROUP_FORGOTTEN,      /* likewise */
    MEMBERSHIP_GROUP_WITHOUT_LEADER, /* after GROUP_JOINED: on the word of member, which is a follower */
    MEMBERSHIP_OTHER_LEADER, /* member announces itself (each time) as the leader of the group that self leads
                              */
    MEMBERSHIP_FULL,         /* members are evicted, or ignored, for want of room: such as member */
    MEMBERSHIP_ASK_TWIN,     /* member is a node of self's id somewhere else: ask it WHO, then call
                              * membership_twin_answered if it has answered */
    MEMBERSHIP_OLDER_TWIN,   /* it lives, and was there before self, which must not go on */
    MEMBERSHIP_DUPLICATE_ID, /* somebody else announces self's node id from another host or port, or member's id
                                is announced from two in turn */
};

struct membership_action {
    enum membership_action_type type;
    struct member member; /* a copy: the facts at the time of the action */
};

struct membership;

/* self: id, host, ports, group, leader of this node. seed feeds the jitter. NULL: out of memory. */
struct membership *membership_create(const struct member *self, uint64_t seed);
void membership_destroy(struct membership **membership);

/* Events. Each may queue actions; the caller then takes them one by one until membership_next is false. Then no
 * event but a tick needs memory for its actions, and a tick puts off what finds no room. now_ms is a monotonic
 * time. */
void membership_start(struct membership *membership, int64_t now_ms); /* SEND_FACTS and SEND_WHO at once */
void membership_hear(struct membership *membership, const struct datagram *datagram, int64_t now_ms);
/* The ANNOUNCE, and the ENDPOINTS (NULL: none), with which the member that was asked has answered. Its facts
 * are compared with those heard by broadcast. An answer with another node id than the member's is
 * membership_verify_failed. */
void membership_verified(struct membership *membership, const struct datagram *announce,
                         const struct datagram *endpoints, int64_t now_ms);
void membership_verify_failed(struct membership *membership, const char *node_id, int64_t now_ms);
/* What a node of self's id, asked at another host or port, has answered; with its uptime, -1 if it told none.
 */
void membership_twin_answered(struct membership *membership, const struct datagram *announce);
void membership_tick(struct membership *membership, int64_t now_ms); /* call every 50 ms or so */
/* Self's role: announced at once. term: in which it was elected; 0: it was named by hand. */
void membership_set_leader(struct membership *membership, bool leader, uint64_t term, int64_t now_ms);
/* Whether self can answer reads (see has_state): announced at once. */
void membership_set_state(struct membership *membership, bool has_state, int64_t now_ms);
/* The group of self has a leader that is known to be one (self started to serve, or a leader link stands). */
void membership_join_group(struct membership *membership, uint16_t group);

enum membership_forget {
    MEMBERSHIP_FORGOTTEN, /* out of the ring, until a node of it is heard again; its dead nodes are gone */
    MEMBERSHIP_NO_SUCH_GROUP,
    MEMBERSHIP_OWN_GROUP,
    MEMBERSHIP_GROUP_LIVES,  /* a node of it is alive */
    MEMBERSHIP_GROUP_SERVED, /* it may hold data: nodes of it have been seen that had the group's state */
    MEMBERSHIP_FORGET_NO_MEMORY,
};
/* An operator's word: only he knows that a group was never meant to be. */
enum membership_forget membership_forget_group(struct membership *membership, uint16_t group);

bool membership_next(struct membership *membership, struct membership_action *out);

int64_t membership_uptime_ms(const struct membership *membership,
                             int64_t now_ms); /* of self, since the start */
/* The facts of a member as its ANNOUNCE, ENDPOINTS and LEAVE datagrams carry them; the caller sets the verb.
 * Self's index is the driver's to know: it sets that, too. */
void membership_describe(const struct member *member, struct datagram *out);

/* Views; pointers die with the next event. */
const struct member *membership_self(const struct membership *membership);
size_t membership_count(const struct membership *membership); /* self included, dead ones too */
const struct member *membership_at(const struct membership *membership,
                                   size_t i); /* ordered by id; self is in it */
const struct member *membership_find(const struct membership *membership, const char *node_id);
/* The live verified leader of a group, of several the one that stands as told above (self if it leads the
 * group); NULL: none. */
const struct member *membership_leader(const struct membership *membership, uint16_t group);
/* The same, or else the dead one that was heard last: whose place nobody has taken. */
const struct member *membership_last_leader(const struct membership *membership, uint16_t group);
/* It is alive, and, if it leads, nobody was elected in its place: one that has died is silent for 30 s before
 * it counts as dead, and one that lives says at once that it leads no more. */
bool membership_is_alive(const struct membership *membership, const struct member *member);
/* Datagrams ignored because there was no room for one more member, and members that had to make room for one.
 */
uint64_t membership_ignored(const struct membership *membership);
uint64_t membership_evicted(const struct membership *membership);
/* The groups in the ring, ascending; returns their number and points *groups at them. */
size_t membership_groups(const struct membership *membership, const uint16_t **groups);

#endif
