/* acks.h: what a reply waits for: this node's disk, and in a group that votes, if the group or its client asks
 * for it, a majority of the voters.
 *
 *   newest line --- journal_newest_ticket ---> kept  ----.
 *        '--------------------------------> committed ---+--> the mark of an output (fence.h)
 *   replication_ask_round ----------------> round -------'
 *
 * Kept is the journal's to raise; once an iteration (LOOP_COMMIT) the other two are raised to what the voters
 * have, and routing is told what the history says of the group. A reply that has seen data waits for a round
 * even where it only tells of a write: its ping leaves with the line, and is echoed before that is durable.
 */
#ifndef KVNODE_SERVER_ACKS_H
#define KVNODE_SERVER_ACKS_H

#include "cluster/history.h"
#include "server/net/fence.h"

struct journal;
struct routing;

struct acks_config {
    struct net *net;
    struct history *history;
    struct routing *routing; /* is told what the group's replies wait for */
    bool keeps;              /* there is a disk, and so there may be something to wait for */
    void *context;
    /* As replication_quorum: false: this node does not lead a group that votes. */
    bool (*quorum)(void *context, uint64_t *committed_index, uint64_t *round);
    uint64_t (*ask_round)(void *context); /* as replication_ask_round */
};

/* Embedded in its owner. */
struct acks {
    struct acks_config config;
    struct loop *loop;
    struct fence fence;      /* of all clients that come from acks_init on */
    struct journal *journal; /* NULL: nothing is kept, or it is being recovered: tickets are indexes */
    struct loop_hook hook;
};

void acks_init(struct acks *acks, const struct acks_config *config);
void acks_deinit(struct acks *acks); /* the conns are gone, and the loop is there; good when it is zero, too */
/* From now on what is kept is said by the journal, which has the fence. */
void acks_set_journal(struct acks *acks, struct journal *journal);

/* This node leads no more: nobody knows what becomes of what its clients have not been told yet. Their
 * connections are closed. Outside of the conns' turns. */
void acks_break(struct acks *acks);

#endif
