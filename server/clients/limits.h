/* client_limits.h: how much memory a client takes, and soft limits of client-output-buffer-limit, which count
 * when they are exceeded for some seconds on end. (What is over a hard limit is noticed where the bytes come:
 * server/resp/session.c, clients.c. The limit for all clients together: client_eviction.c.)
 *
 * What a client takes is its input that waits, its output, messages, and the queue of its MULTI. It is counted
 * when the client has sent something or was sent a message, and all clients are looked at once a second.
 */
#ifndef KVNODE_SERVER_CLIENTS_LIMITS_H
#define KVNODE_SERVER_CLIENTS_LIMITS_H

#include "server/clients/clients.h"

/* Input that is not consumed yet, output that is not written yet. */
struct client_waiting {
    size_t input_bytes, output_bytes;
};
struct client_waiting client_waiting(const struct client *client); /* as its conn has it now */
size_t client_memory_bytes(const struct client *client, struct client_waiting waiting);
void client_count_memory(struct client *client, struct client_waiting waiting);
void client_count_now(struct client *client); /* not while its input is being worked on */

/* Every 100 ms: looks at a tenth of the clients, and at what all of them take. May close some. */
void clients_look_after(struct clients *clients);

#endif
