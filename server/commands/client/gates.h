/* gates.h: what stands between a client and its commands: the password, CLIENT PAUSE, MONITOR. Called on the
 * long way only (dispatch_gated), by the bits of enum client_gate.
 */
#ifndef KVNODE_SERVER_COMMANDS_CLIENT_GATES_H
#define KVNODE_SERVER_COMMANDS_CLIENT_GATES_H

#include "server/dispatch/command.h"

/* False: replied with NOAUTH. */
bool gate_authenticated(struct request *request);

/* True: CLIENT PAUSE is on for such a command: the client is held (HOLD_PAUSE), nothing is replied, and the
 * command comes again when it is released. */
bool gate_paused(struct request *request);

/* For every monitor: the command that has been run; so EXEC comes behind what it ran. */
void gate_feed_monitors(struct request *request);

#endif
