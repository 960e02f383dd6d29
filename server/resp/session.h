/* session.h: RESP clients on their conns: input to batches of commands, commands to replies. One resp_server a
 * process holds what all sessions share (the arena of the batch, the table of commands); an idle session is a
 * small struct.
 *
 * Of what one read delivered up to RESP_BATCH_COMMANDS are parsed first: their names are looked up, their keys
 * hashed and the memory that they will touch is fetched, then they are run in order. A command that has not
 * exactly one key is the last one of its batch. After RESP_TURN_US it is somebody else's turn.
 */
#ifndef KVNODE_SERVER_RESP_SESSION_H
#define KVNODE_SERVER_RESP_SESSION_H

#include "server/clients/feature.h"
#include "server/context.h"
#include "server/dispatch/command.h"

enum { RESP_BATCH_COMMANDS = KEYSPACE_PREFETCH_MAX, RESP_TURN_US = 400 };

struct resp_server;

/* context, rows and features outlive it. NULL: out of memory. */
struct resp_server *resp_server_create(const struct command_context *context, const struct command_rows *rows,
                                       const feature_table *features);
/* After all its conns are closed (net_destroy). NULL-safe, nulls it. */
void resp_server_destroy(struct resp_server **server);

struct clients *resp_server_clients(struct resp_server *server); /* of this server */

/* A listener's on_accept: takes fd over. */
void resp_server_accept(void *resp_server, int fd);

#endif
