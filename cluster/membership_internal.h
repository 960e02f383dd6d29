/* membership_internal.h: what the files of membership share: membership.c (what is heard and said, and time),
 * membership_table.c (the members and the queue of actions), membership_ring.c (groups, leaders, and who is
 * asked WHO). */
#ifndef KVNODE_CLUSTER_MEMBERSHIP_INTERNAL_H
#define KVNODE_CLUSTER_MEMBERSHIP_INTERNAL_H

#include "cluster/membership.h"

static const int64_t NEVER = INT64_MAX;

/* Actions in the order in which they were decided: a ring that grows. */
struct queue {
    struct membership_action *slots;
    size_t first, count, capacity;
};

struct membership {
    struct member **members; /* ordered by id; self is one of them */
    size_t count, capacity;
    struct member *self;
    struct queue queue;
    uint64_t random;
    uint64_t ignored, evicted;
    size_t questions;        /* under way */
    int64_t announce_due_ms; /* the next one of those every 5 s; NEVER: not started */
    int64_t answer_due_ms;   /* somebody wants to hear of us */
    int64_t who_due_ms, who_gap_ms;
    int64_t ask_due_ms;   /* not after the first moment at which one that waits may be asked */
    int64_t sweep_due_ms; /* not after the first moment at which a member turns dead or is forgotten */
    int64_t full_due_ms;
    int64_t twin_asked_ms;
    int64_t ticked_ms; /* NEVER: not yet */
    int64_t now_ms;    /* of the last event */
    size_t n_groups;
    uint16_t groups[LIMIT_GROUP + 1]; /* in the ring, ascending */
    bool served[LIMIT_GROUP + 1];     /* by group: a node of it that can answer reads has proved itself */
};

/* membership_table.c */
bool membership_reserve(struct membership *m, size_t n); /* room for n more actions */
bool membership_push(struct membership *m, enum membership_action_type type, const struct member *member);
bool members_same_address(const struct member *member, const struct datagram *announce);
bool members_same_facts(const struct member *member, const struct datagram *announce);
void members_take_facts(struct member *member, const struct datagram *announce);
/* What a node says of itself besides its ANNOUNCE; there is room in the queue. */
void members_take_endpoints(struct membership *m, struct member *member, const struct datagram *endpoints);
struct member *members_find(const struct membership *m, const char *id);
struct member *members_find_address(const struct membership *m, const struct datagram *announce);
bool members_reserve(struct membership *m);                             /* room for one more */
void members_insert(struct membership *m, struct member *owned_member); /* there is room */
void members_let_go(struct membership *m, struct member *member);       /* there is room in the queue */
/* A node that is not known by its id. NULL: no room for it. */
struct member *members_admit(struct membership *m, const struct datagram *announce, int64_t now_ms);

/* membership_ring.c */
void membership_join(struct membership *m, const struct member *member); /* there is room in the queue */
/* What it says of its state is new: it may be asked about it, and its group may have served. */
void membership_weigh_state(struct membership *m, struct member *member, int64_t now_ms);
/* Its facts are new: it is asked about them as soon as a leader may be, or a follower. */
void membership_doubt(struct membership *m, struct member *member, int64_t now_ms);
/* It is asked, if it is in question, one question at a time. There is room in the queue. */
void membership_verify(struct membership *m, struct member *member, int64_t now_ms);
/* At a tick: those that wait, as far as it is time, and as many as may be asked at once. */
void membership_ask_who_waits(struct membership *m, int64_t now_ms);

#endif
