/* probe.h: asks a node WHO on its TCP port, so that a stray datagram moves no data (design, section 5). */
#ifndef KVNODE_SERVER_PEERS_PROBE_H
#define KVNODE_SERVER_PEERS_PROBE_H

#include "cluster/membership.h"
#include "server/log.h"
#include "server/net/conn.h"

/* The answer: announce is what the node said of itself; NULL: it did not answer in PROBE_TIMEOUT_MS, or not
 * properly. Its uptime_ms is -1 if that was not asked for, or not told. */
typedef void probe_answer(void *context, const char *node_id, const struct datagram *announce);

enum { PROBE_TIMEOUT_MS = 2000 };

/* answer is called exactly once, never before this returns, unless the net is destroyed first. False: could not
 * even begin; the log says why. */
bool probe_start(struct net *net, const struct log *log, const struct member *member, bool with_uptime,
                 probe_answer *answer, void *context);

#endif
