/* wait.h: a client whose command waits for followers: WAIT, WAITAOF.
 *
 *   wait_start --> WAITING (client held) --> enough followers have acknowledged | its time is over | UNBLOCK
 *                    |                         '--> replied, client released
 *                    '--> the client is gone: the feature ends
 *
 * The followers are asked at once; what they acknowledge is looked at once an iteration of the loop.
 */
#ifndef KVNODE_SERVER_COMMANDS_CLIENT_WAIT_H
#define KVNODE_SERVER_COMMANDS_CLIENT_WAIT_H

#include "server/clients/client.h"

/* Ends the wait of a client that has one with the reply it has come to, or (CLIENT UNBLOCK ... ERROR) with an
 * error. False: it has none. */
bool wait_unblock(struct client *client, bool error);

extern const struct feature feature_wait; /* its end: without a reply */

#endif
