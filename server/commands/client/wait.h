/* wait.h: a client whose command waits for followers: WAIT, WAITAOF.
 *
 *   wait_start --> WAITING (client held) --> enough followers have acknowledged | its time is over | UNBLOCK
 *                    |                         '--> replied, client released
 *                    '--> the client is gone: wait_destroy by its registry
 *
 * The followers are asked at once; what they acknowledge is looked at once an iteration of the loop.
 */
#ifndef KVNODE_SERVER_COMMANDS_CLIENT_WAIT_H
#define KVNODE_SERVER_COMMANDS_CLIENT_WAIT_H

#include "server/clients/client.h"

struct wait;

/* Ends the wait of a client that has one with the reply it has come to, or (CLIENT UNBLOCK ... ERROR) with an
 * error. False: it has none. */
bool wait_unblock(struct client *client, bool error);

/* Frees it, without a reply; NULL-safe, nulls it. */
void wait_destroy(struct wait **wait);

#endif
