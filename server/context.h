/* context.h: what a request, by RESP or by HTTP, may see of the node. Built once by main; everything outlives
 * it. */
#ifndef KVNODE_SERVER_CONTEXT_H
#define KVNODE_SERVER_CONTEXT_H

#include "cluster/membership.h"
#include "cluster/routing.h"
#include "server/log.h"
#include "server/net/conn.h"
#include "server/options.h"
#include "server/peers/discovery.h"
#include "server/peers/messenger.h"
#include "server/peers/replication.h"
#include "server/settings.h"
#include "server/store/keyspace.h"

/* Counted by the sessions and the drivers, shown by INFO and GET /cluster. */
struct server_stats {
    int64_t started_ms; /* Unix ms */
    int64_t started_monotonic_ms;
    uint64_t resp_connections, http_connections; /* accepted since the start */
    size_t clients; /* RESP and HTTP connections open now: what -max-clients is about */
    size_t resp_clients, http_clients;
    uint64_t evicted_clients; /* closed for maxmemory-clients */
    uint64_t http_requests;
    uint64_t protocol_errors;
    uint64_t redirects; /* MOVED and 307 */
};

struct clients;
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
    const struct options *options; /* as it was started */
    struct log *log;
    struct server_stats *stats;
    struct settings *settings;     /* in force; changed by CONFIG SET alone */
    struct telemetry *telemetry;   /* server/dispatch/telemetry.h */
    const struct clients *clients; /* server/clients/clients.h; NULL until RESP is served */
    /* The node stops, as at SIGTERM. */
    void (*stop)(void *node);
    void *node;
};

#endif
