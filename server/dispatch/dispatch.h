/* dispatch.h: from a parsed request to its reply: the checks that every command goes through, in Redis's order,
 * then its function. Acts on rows (struct command); names no command.
 *
 *   known? -> arity -> admitted? (admit.h) -> run
 */
#ifndef KVNODE_SERVER_DISPATCH_DISPATCH_H
#define KVNODE_SERVER_DISPATCH_DISPATCH_H

#include "server/dispatch/command.h"

static inline bool command_arity_ok(const struct command *command, size_t arg_count) {
    return command->arity >= 0 ? arg_count == (size_t)command->arity : arg_count >= (size_t)-command->arity;
}

/* A command with exactly one key: its key can be hashed, and its memory fetched, before it is its turn. */
static inline bool command_has_single_key(const struct command *command) {
    return command->first_key > 0 && command->last_key == command->first_key;
}

/* Writes the reply, or starts what will write it later (client->walk). request->key is filled if the command
 * has a single key and the arity is right. For a client whose gates, and those of all clients, are 0. */
void dispatch(struct request *request);

/* The same for all others: with the features that are on, in the order that clients/feature.h shows. False: the
 * command has to wait and nothing has happened; the client is held. */
bool dispatch_gated(struct request *request);

/* The checks that depend on where the data is, and on how much there is, alone: false: replied with an error.
 * Again at EXEC. */
bool dispatch_admits(struct request *request);

/* At EXEC, one command of the queue after dispatch_admits of all. What one before it has turned on may refuse
 * it: behind a SELECT of another database nothing is written to this one. */
void dispatch_queued(struct request *request);

#endif
