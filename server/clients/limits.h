/* limits.h: how much memory a client takes, and what comes of it when that is too much. A feature (feature.h).
 *
 * What a client takes is its input that waits, its output, messages, and what features keep for it (the queue
 * of its MULTI). It is counted when the client has sent something or was sent a message, and all clients are
 * looked at once a second: for soft limits of client-output-buffer-limit, which count when they are exceeded
 * for some seconds on end. (What is over a hard limit is noticed where the bytes come: server/resp/session.c,
 * clients.c.)
 *
 * maxmemory-clients: closes the clients that take most when all of them take too much together, but none that
 * has said CLIENT NO-EVICT.
 *
 *     at rest --- too much --> a pass: counts all clients anew, some a step, and remembers the largest
 *        ^ ^                     |  ^
 *        | '--- not any more ----|  | still too much: another pass
 *        |                       v  |
 *        |                     the largest are closed, one by one, as long as it is too much
 *        |                       |
 *        '--- until the next ----'  there was none to close: those that take too much may not be closed
 *             tick
 */
#ifndef KVNODE_SERVER_CLIENTS_LIMITS_H
#define KVNODE_SERVER_CLIENTS_LIMITS_H

#include "server/clients/clients.h"

/* Input that is not consumed yet, output that is not written yet. */
struct client_waiting {
    size_t input_bytes, output_bytes;
};
struct client_waiting client_waiting(const struct client *client); /* as its conn has it now */
size_t client_feature_bytes(const struct client *client);          /* what features keep for it */
size_t client_memory_bytes(const struct client *client, struct client_waiting waiting);
void client_count_memory(struct client *client, struct client_waiting waiting);
void client_count_now(struct client *client); /* not while its input is being worked on */

extern const struct feature feature_limits;

#endif
