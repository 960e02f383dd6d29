/* clients.h: all RESP clients of the process, and what they share: the registry, the way by which a message
 * gets to a client that has asked for nothing, and the states of pub/sub and of tracking. One a resp_server,
 * which owns it; commands reach it by client->clients.
 *
 * A message (client_push) never gets into the middle of a reply: for the client whose command is being run, or
 * whose answer is still being gathered (walk), it waits in client->pushes; for any other client it is appended
 * to its output. The sockets are written once an iteration, before the poll, however many messages there were.
 * A client that leaves more of them untaken than client-output-buffer-limit allows for pub/sub (32 MB) is
 * closed (OUTPUT_LIMIT).
 */
#ifndef KVNODE_SERVER_CLIENTS_CLIENTS_H
#define KVNODE_SERVER_CLIENTS_CLIENTS_H

#include "server/clients/client.h"
#include "server/clients/interest.h"
#include "server/context.h"

enum subscription_kind { SUBSCRIPTION_CHANNEL, SUBSCRIPTION_PATTERN, SUBSCRIPTION_SHARD, SUBSCRIPTION_KINDS };

struct client_eviction;
struct pause;
struct tracking;
struct upkeep;

struct clients {
    const struct command_context *context;
    struct loop *loop;
    struct client *first, *last; /* oldest first */
    size_t count;
    size_t counted_bytes;     /* of memory, of all of them: client_limits.c */
    struct client *next_look; /* NULL: the first */
    uint64_t last_id;
    uint32_t gates;         /* enum client_gate, for all clients */
    struct client *current; /* whose command is being run; NULL: what happens is nobody's (REST, expiry, ...) */
    struct interest subscribed[SUBSCRIPTION_KINDS]; /* pubsub.c */
    struct interest watched;                        /* transactions.c */
    struct keyspace_observer watch_observer;        /* transactions.c, while a key is watched */
    struct keyspace_observer notify_observer;       /* notify.c, while notify-keyspace-events asks for it */
    struct pause *pause;                            /* pause.c: CLIENT PAUSE */
    struct client_eviction *eviction;               /* client_eviction.c: maxmemory-clients */
    struct tracking *tracking;                      /* tracking.c; NULL: nobody has ever tracked anything */
    /* inside */
    struct buf nowhere; /* takes the replies that CLIENT REPLY leaves out: nothing */
    struct client **buckets;
    size_t bucket_count;
    struct client *pending; /* by next_pending */
    struct upkeep *upkeep;
    struct loop_hook flush;
};

struct clients *clients_create(const struct command_context *context); /* NULL: out of memory */
void clients_destroy(struct clients **clients); /* when the last client has left. NULL-safe, nulls it */

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
void client_hold(struct client *client, enum client_hold why);
void client_release(struct client *client, enum client_hold why);
/* The deadline of a held client has passed: closes it if its peer has left. One that only says no
 * more (shutdown) gets some seconds for the replies that it is owed. */
void client_look_for(struct client *client);

/* As if it had just connected (RESET), but for its id, name and protocol: no transaction, subscription,
 * tracking. */
void client_forget_state(struct client *client);

#endif
