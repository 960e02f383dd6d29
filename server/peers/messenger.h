/* messenger.h: what a client publishes reaches the subscribers of all nodes: a line to each of them, on its
 * replication port.
 *
 *     NODE|nodeID                 who says so, which the other side has proved to itself before it reads on
 *     MESSAGE|channel|text        percent-encoded; not answered, and not passed on
 *
 * A connection a node, dialled when there is first something to be said to it. At most once, as in Redis: what
 * a node has missed that could not be reached, or does not read, is dropped and counted. Peers that know only
 * the specification are told nothing.
 */
#ifndef KVNODE_SERVER_PEERS_MESSENGER_H
#define KVNODE_SERVER_PEERS_MESSENGER_H

#include "cluster/membership.h"
#include "server/log.h"
#include "server/net/conn.h"

struct messenger;

struct messenger_stats {
    uint64_t sent, dropped; /* a message counts for every node */
};

/* All outlive it. NULL: out of memory. */
struct messenger *messenger_create(struct net *net, const struct membership *membership, const struct log *log);
void messenger_destroy(struct messenger **messenger); /* before net_destroy; NULL-safe, nulls it */

/* To every other node that is alive. Sent before the next poll. */
void messenger_publish(struct messenger *messenger, struct slice channel, struct slice text);
/* The node is dead, or gone. */
void messenger_forget(struct messenger *messenger, const char *node_id);

const struct messenger_stats *messenger_stats(const struct messenger *messenger);

#endif
