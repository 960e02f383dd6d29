/* pause.h: CLIENT PAUSE and UNPAUSE.
 *
 *   off --PAUSE--> ON: commands are held at their gate (HOLD_PAUSE), the data stays as it is
 *    ^                |
 *    '-- its time is over, or UNPAUSE: the held clients go on
 *
 * PAUSE WRITE holds what writes, what others are told of (PUBLISH), and an EXEC of such; PAUSE ALL holds
 * everything. During both nothing expires and nothing is evicted (keyspace_set_paused), and REST writes are
 * refused.
 */
#ifndef KVNODE_SERVER_COMMANDS_CLIENT_PAUSE_H
#define KVNODE_SERVER_COMMANDS_CLIENT_PAUSE_H

struct clients;
struct pause;

/* One a registry of clients, off. NULL: out of memory. */
struct pause *pause_create(struct clients *clients);
/* When the last client has left. NULL-safe, nulls it. */
void pause_destroy(struct pause **pause);

#endif
