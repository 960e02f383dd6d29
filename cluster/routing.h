/* routing.h: who answers a request: a decider (design, "Who answers"). Pure.
 *
 * Keeps the owner table (16384 slots -> group), filled from the ring when the set of groups changes, so that
 * the way from a key to a verdict is a look-up. When this node's group owns every slot no slot is computed at
 * all.
 */
#ifndef KVNODE_CLUSTER_ROUTING_H
#define KVNODE_CLUSTER_ROUTING_H

#include "cluster/membership.h"
#include "cluster/slot.h"

enum routing_verdict {
    ROUTING_LOCAL,   /* answer it here */
    ROUTING_MOVED,   /* answer with MOVED / 307 to target */
    ROUTING_DOWN,    /* no live leader (with endpoints) to name: CLUSTERDOWN / 503 */
    ROUTING_LOADING, /* it is for this node, which has not got its group's state yet: LOADING / 503 */
};

/* Who of a key's group may answer. */
enum routing_need {
    ROUTING_ANY_COPY, /* any node that has the data, however old it is there */
    ROUTING_READ,     /* the same; where replies wait for the voters, of this node's group the leader alone */
    ROUTING_LEADER,   /* of a write, or of a read of the newest there is */
};

struct routing_answer {
    enum routing_verdict verdict;
    uint16_t slot; /* MOVED, DOWN */
    const struct member
        *target; /* MOVED: the leader of the owning group; lives until the next membership event */
};

/* Embedded in its owner; the view of who leads is membership's, asked at each slow path. */
struct routing {
    const struct membership *membership;
    uint16_t self_group;
    bool self_leader;    /* is the one to take writes */
    bool cannot_keep;    /* what is written: the disk takes nothing */
    bool self_writes;    /* the one, and not the other */
    bool self_has_state; /* takes reads */
    bool quorum;         /* replies of the group's leader wait for its voters */
    bool self_reads;     /* has the state, and leads if they do */
    bool ring_empty;     /* no group has joined: reads are answered from what is here */
    bool owns_all;       /* the ring is self's group alone */
    uint32_t epoch;      /* counts rebuilds of the owner table */
    uint16_t owners[SLOT_COUNT];
};

void routing_init(struct routing *routing, const struct membership *membership);
/* The groups of membership have changed: fills the owner table anew. False: out of memory (nothing changed). */
bool routing_rebuild(struct routing *routing);
void routing_set_self_leader(struct routing *routing, bool takes_writes);
void routing_set_cannot_keep(struct routing *routing, bool cannot_keep);
void routing_set_self_state(struct routing *routing, bool has_state);
void routing_set_quorum(struct routing *routing, bool quorum);

/* Every key there is, or may be, is answered here: no slot has to be looked up. */
static inline bool routing_answers_all(const struct routing *routing, bool write) {
    return routing->owns_all && (write ? routing->self_writes : routing->self_reads);
}

/* The verdict for one key, by its slot. */
struct routing_answer routing_decide(const struct routing *routing, struct slice key, enum routing_need need);

/* The slots of a group as contiguous ranges, ascending. Calls visit(context, first, last, group) for each range
 * of equal owner in slot order; nothing when the ring is empty. */
typedef void routing_visit(void *context, uint16_t first, uint16_t last, uint16_t group);
void routing_ranges(const struct routing *routing, routing_visit *visit, void *context);
size_t routing_owned_slots(const struct routing *routing, uint16_t group);

/* Whether anybody serves what a group owns, as far as this node knows. */
enum routing_service {
    ROUTING_SERVED,
    ROUTING_READ_ONLY, /* it has no live leader: its followers answer reads */
    ROUTING_UNSERVED,
};
enum routing_service routing_service(const struct routing *routing, uint16_t group);

/* How many slots are not fully served. */
struct routing_gaps {
    size_t read_only, unserved;
    enum routing_service worst;
    uint16_t group; /* that is served worst, of several the first */
};
struct routing_gaps routing_gaps(const struct routing *routing);

#endif
