/* clients.h: all RESP clients of the process, and what they share: the registry, the way by which a message
 * gets to a client that has asked for nothing, and what all of them have of each feature (feature.h). One a
 * resp_server, which owns it; commands reach it by client->clients.
 *
 * A message (client_push) never gets into the middle of a reply: for the client whose command is being run, or
 * whose answer is still being gathered, it waits in client->pushes; for any other client it is appended
 * to its output. The sockets are written once an iteration, before the poll, however many messages there were.
 * A client that leaves more of them untaken than client-output-buffer-limit allows for pub/sub (32 MB) is
 * closed (OUTPUT_LIMIT).
 */
#ifndef KVNODE_SERVER_CLIENTS_CLIENTS_H
#define KVNODE_SERVER_CLIENTS_CLIENTS_H

#include "server/clients/client.h"
#include "server/context.h"

struct clients {
    const struct command_context *context;
    struct loop *loop;
    const feature_table *features;
    struct feature_masks with;   /* which of them have what */
    struct client *first, *last; /* oldest first */
    size_t count;
    size_t held_count;    /* of them, those that are held back */
    size_t counted_bytes; /* of memory, of all of them: limits.c */
    uint64_t last_id;
    uint32_t gates;         /* enum client_gate: the features that are on for all clients */
    uint32_t due;           /* enum client_gate: the features that have something to do before the poll */
    struct client *current; /* whose command is being run; NULL: what happens is nobody's (REST, expiry, ...) */
    /* What all of them have of each feature; owned by the feature's file; NULL: nothing. */
#define FEATURE(bit, object, of_client, of_clients) of_clients
#include "server/clients/features.def"
#undef FEATURE
    /* inside */
    struct buf nowhere; /* takes the replies that CLIENT REPLY leaves out: nothing */
    struct client **buckets;
    size_t bucket_count;
    struct client *pending; /* by next_pending */
    struct loop_hook flush;
};

/* The features live as long as the clients. NULL: out of memory. */
struct clients *clients_create(const struct command_context *context, const feature_table *features);
void clients_destroy(struct clients **clients); /* when the last client has left. NULL-safe, nulls it */

void clients_tick(struct clients *clients); /* ten times a second */

/* The client's conn and protocol are set, all else is zero. */
void clients_add(struct clients *clients, struct client *client);
/* Frees all that the client owns, but not itself, and takes it out of every list. */
void clients_remove(struct client *client);
struct client *clients_find(const struct clients *clients, uint64_t id); /* NULL: there is none */

/* One or more messages, in the client's protocol. One that could not be made (the buf has failed) is one that
 * the client misses: its connection is closed, as that of a client that does not take its messages. */
void client_push(struct client *client, const struct buf *messages);
/* Behind a reply: what has waited for its end goes out. */
void client_deliver(struct client *client);

/* The client's commands stay in its input until the last reason for it is gone. Meanwhile its deadline is when
 * to look whether it is still there; afterwards it is that of an idle client again. */
void client_hold(struct client *client, enum client_gate why);
void client_release(struct client *client, enum client_gate why);
/* The deadline of a held client has passed: closes it if its peer has left. One that only says no
 * more (shutdown) gets some seconds for the replies that it is owed. */
void client_look_for(struct client *client);

/* As if it had just connected (RESET), but for its id and name. */
void client_reset(struct client *client);

/* When a client that is silent from now on is to be looked at again (monotonic ms); 0: never. */
int64_t client_idle_deadline(const struct clients *clients);
/* Is a feature on for it that is in the mask (clients->with)? */
static inline bool client_has(const struct client *client, uint32_t mask) {
    return (client->gates & mask) != 0;
}

/* Those of the bits, one after the other: takes the lowest. */
static inline const struct feature *clients_next_feature(const struct clients *clients, uint32_t *bits) {
    const struct feature *feature = (*clients->features)[__builtin_ctz(*bits)];
    *bits &= *bits - 1;
    return feature;
}

#endif
