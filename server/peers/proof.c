/* Who says LEAD or NODE on the replication port is asked WHO at the address that the node of this id announces.
 *
 *   FOLLOWER_PROVE --> its announcement is known --> probe --> answer --> follower_link_proof
 *                '---> is awaited ----------------'
 *
 * The link reads nothing meanwhile. Links that name one node share the question under way. */
#include "server/peers/probe.h"
#include "server/peers/replication_internal.h"

#include <string.h>

static struct inbound *find(const struct replication *replication, const char *node_id, bool asked) {
    struct inbound *inbound = replication->inbounds;
    while (inbound != NULL && (inbound->link.phase != FOLLOWER_PROVING || inbound->asked != asked ||
                               conn_closed(inbound->conn) || strcmp(inbound->link.peer_id, node_id) != 0)) {
        inbound = inbound->next;
    }
    return inbound;
}

/* Each may close another, or itself. */
static void on_answer(void *context, const char *node_id, const struct datagram *announce,
                      const struct datagram *endpoints) {
    (void)endpoints;
    struct replication *replication = context;
    struct inbound *inbound;
    while ((inbound = find(replication, node_id, true)) != NULL) {
        inbound->asked = false;
        inbound_proof(inbound, announce);
    }
}

void proof_ask(struct replication *replication, const struct member *member) {
    bool under_way = find(replication, member->id, true) != NULL;
    struct inbound *waiting = find(replication, member->id, false);
    if (waiting == NULL || !member->alive || member->self) {
        return;
    }
    bool begun = under_way || probe_start(replication->config.net, replication->config.log, member,
                                          PROBE_TO_ANNOUNCE, on_answer, replication);
    for (; waiting != NULL; waiting = find(replication, member->id, false)) {
        waiting->asked = true;
    }
    if (!begun) {
        on_answer(replication, member->id, NULL, NULL);
    }
}
