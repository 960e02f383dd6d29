/* wait.h: a client whose command waits for followers: WAIT, WAITAOF.
 *
 *   start --> WAITING (client held) --> enough followers have acknowledged | its time is over | UNBLOCK
 *               |                         '--> replied, client released
 *               '--> the client is gone: the feature ends
 *
 * The followers are asked at once. All who wait stand in a queue by the index that they wait for, which is
 * looked at when a follower has acknowledged something, and only as far as that goes: those behind cost
 * nothing.
 */
#ifndef KVNODE_SERVER_COMMANDS_CLIENT_WAIT_H
#define KVNODE_SERVER_COMMANDS_CLIENT_WAIT_H

#include "server/clients/client.h"

/* Ends the wait of a client that has one with the reply it has come to, or (CLIENT UNBLOCK ... ERROR) with an
 * error. False: it has none. */
bool wait_unblock(struct client *client, bool error);

extern const struct feature feature_wait; /* its end: without a reply */

#endif
