/* discovery.h: the discovery socket: drives cluster/membership.h by datagrams, time and probes.
 *
 * The socket is bound to the broadcast address, shared with every other node of the machine (SO_REUSEADDR), so
 * a node neither talks nor listens beyond the segment of its -host.
 */
#ifndef KVNODE_SERVER_PEERS_DISCOVERY_H
#define KVNODE_SERVER_PEERS_DISCOVERY_H

#include "cluster/membership.h"
#include "server/log.h"
#include "server/net/conn.h"

struct discovery;

struct discovery_stats {
    uint64_t received, sent, malformed, unknown, send_errors;
};

struct discovery_config {
    struct net *net;
    struct membership *membership;
    const struct log *log;
    const char *broadcast;
    uint16_t port;
    void *context;
    /* Every action of membership but the ones that discovery carries out itself (SEND_*, VERIFY, ASK_TWIN). */
    void (*on_action)(void *context, const struct membership_action *action);
    /* The index of the newest line that this node has: said in ENDPOINTS. */
    uint64_t (*index)(void *context);
};

/* Binds. NULL: *reason is one line. */
struct discovery *discovery_create(const struct discovery_config *config, const char **reason);
void discovery_destroy(struct discovery **discovery);
void discovery_start(struct discovery *discovery); /* announces, asks WHO */
void discovery_leave(struct discovery *discovery); /* says LEAVE; announces no more */
/* Announces no more, and says no LEAVE: this node's id is another's. */
void discovery_fall_silent(struct discovery *discovery);
/* Carries out what an event given to membership by somebody else has queued. */
void discovery_run_actions(struct discovery *discovery);
const struct discovery_stats *discovery_stats(const struct discovery *discovery);

#endif
