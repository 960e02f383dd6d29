/* probe.h: asks a node WHO on its TCP port, so that a stray datagram moves no data (design, section 5). */
#ifndef KVNODE_SERVER_PEERS_PROBE_H
#define KVNODE_SERVER_PEERS_PROBE_H

#include "cluster/membership.h"
#include "server/log.h"
#include "server/net/conn.h"

enum probe_end { PROBE_TO_ANNOUNCE, PROBE_TO_ENDPOINTS, PROBE_TO_UPTIME };

/* The answer, as far as it was asked for: what the node said of itself. announce NULL: it did not answer in
 * PROBE_TIMEOUT_MS, or not properly; its uptime_ms is -1 if it was not told. endpoints NULL: it told none. */
typedef void probe_answer(void *context, const char *node_id, const struct datagram *announce,
                          const struct datagram *endpoints);

enum {
    PROBE_TIMEOUT_MS = 2000,
    PROBE_ENDPOINTS_WITHIN_MS =
        200, /* of its ANNOUNCE: a peer that knows only the specification says no more */
};

/* answer is called exactly once, never before this returns, unless the net is destroyed first. False: could not
 * even begin; the log says why. */
bool probe_start(struct net *net, const struct log *log, const struct member *member, enum probe_end end,
                 probe_answer *answer, void *context);

#endif
