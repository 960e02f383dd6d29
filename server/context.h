/* context.h: what a request, by RESP or by HTTP, may see of the node. Built once by main; everything outlives
 * it. */
#ifndef KVNODE_SERVER_CONTEXT_H
#define KVNODE_SERVER_CONTEXT_H

#include <stdint.h>

struct clients;
struct discovery_stats;
struct history;
struct journal;
struct keyspace;
struct log;
struct loop;
struct membership;
struct messenger;
struct net;
struct options;
struct replication;
struct routing;
struct server_stats;
struct settings;
struct telemetry;

struct command_context {
    struct loop *loop;
    struct net *net;
    struct keyspace *keyspace;
    const struct routing *routing;
    const struct membership *membership;
    struct replication *replication;
    struct messenger *messenger;             /* NULL: there are no other nodes */
    const struct discovery_stats *discovery; /* server/peers/discovery.h */
    const struct history *history;
    struct journal *journal; /* server/journal/journal.h; NULL: nothing is kept, or it is being recovered */
    const struct options *options; /* as it was started */
    struct log *log;
    struct server_stats *stats;    /* server/stats.h */
    struct settings *settings;     /* in force; changed by CONFIG SET alone */
    struct telemetry *telemetry;   /* server/dispatch/telemetry.h */
    const struct clients *clients; /* server/clients/clients.h; NULL until RESP is served */
    /* The node stops, as at SIGTERM. */
    void (*stop)(void *node);
    /* It may not go on: message is one line. */
    void (*fail)(void *node, const char *message);
    /* A group is taken out of this node's ring; returns an enum membership_forget. */
    int (*forget_group)(void *node, uint16_t group);
    void *node;
};

#endif
