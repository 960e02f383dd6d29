/* client_limits.h: how much memory clients may take: soft limits of client-output-buffer-limit, which count
 * when they are exceeded for some seconds on end, and maxmemory-clients, for all clients together. (What is
 * over a hard limit is noticed where the bytes come: server/resp/session.c, clients.c.)
 *
 * What a client takes is its input that waits, its output, messages, and the queue of its MULTI. It is counted
 * when the client has sent something or was sent a message, and all clients are looked at once a second. When
 * they take too much together, those that take most are closed first, but none that has said CLIENT NO-EVICT.
 */
#ifndef KVNODE_SERVER_COMMANDS_CLIENT_LIMITS_H
#define KVNODE_SERVER_COMMANDS_CLIENT_LIMITS_H

#include "server/commands/clients.h"

/* Input that is not consumed yet, output that is not written yet. */
struct client_waiting {
    size_t input_bytes, output_bytes;
};
struct client_waiting client_waiting(const struct client *client); /* as its conn has it now */
size_t client_memory_bytes(const struct client *client, struct client_waiting waiting);
void client_count_memory(struct client *client, struct client_waiting waiting);
void client_count_now(struct client *client); /* not while its input is being worked on */

/* Every 100 ms: looks at a tenth of the clients. May close some. */
void clients_look_after(struct clients *clients);
/* Closes what is too much for maxmemory-clients. Not while a client's input is being worked on. */
void clients_evict(struct clients *clients);

#endif
