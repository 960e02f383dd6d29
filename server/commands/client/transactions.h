/* transactions.h: MULTI, EXEC, DISCARD, WATCH, UNWATCH.
 *
 *   none --MULTI--> OPEN --a command--> queued, OPEN --EXEC--> all of them run, or (null) none; none
 *                    |  '--a command that is refused--> FAILED --EXEC--> EXECABORT; none
 *                    '--DISCARD--> none
 *
 * Nothing comes between the commands of an EXEC: they run in one go, and their changes are one BATCH in the
 * history. What EXEC runs was admitted when it was queued, and is again before the first of it runs: all keys
 * have to be this group's, in however many slots.
 */
#ifndef KVNODE_SERVER_COMMANDS_CLIENT_TRANSACTIONS_H
#define KVNODE_SERVER_COMMANDS_CLIENT_TRANSACTIONS_H

#include "server/clients/clients.h"

int64_t transaction_queued(const struct client *client); /* -1: no MULTI (CLIENT LIST: multi) */
size_t transaction_bytes(const struct client *client);   /* in the queue: input that waits, as Redis sees it */
bool transaction_dirty(const struct client *client);     /* a watched key has changed (CLIENT LIST: flag d) */

extern const struct feature feature_transactions; /* its end: no MULTI, no WATCH any more */

#endif
