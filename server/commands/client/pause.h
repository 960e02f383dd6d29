/* pause.h: CLIENT PAUSE and UNPAUSE.
 *
 *   off --PAUSE--> ON: commands are held at their gate (GATE_PAUSE), the data stays as it is
 *    ^                |
 *    '-- its time is over, or UNPAUSE: the held clients go on
 *
 * PAUSE WRITE holds what writes, what others are told of (PUBLISH), and an EXEC of such; PAUSE ALL holds
 * everything. During both nothing expires and nothing is evicted (keyspace_set_paused), and REST writes are
 * refused.
 */
#ifndef KVNODE_SERVER_COMMANDS_CLIENT_PAUSE_H
#define KVNODE_SERVER_COMMANDS_CLIENT_PAUSE_H

#include "server/clients/clients.h"

extern const struct feature feature_pause; /* on for all during a pause */

/* Who else lets writes wait. */
enum pause_hold {
    PAUSE_FOR_DISK,     /* until it has caught up; expiry and eviction go on */
    PAUSE_FOR_FAILOVER, /* until another node leads; they do not */
};
void pause_hold_writes(struct clients *clients, enum pause_hold hold, bool on);

#endif
