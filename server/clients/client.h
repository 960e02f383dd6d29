/* client.h: one RESP connection as commands see it. Embedded in the session (server/resp/session.c), which owns
 * it. All of them are in a registry: server/clients/clients.h.
 */
#ifndef KVNODE_SERVER_CLIENTS_CLIENT_H
#define KVNODE_SERVER_CLIENTS_CLIENT_H

#include "server/clients/feature.h"
#include "server/net/conn.h"

struct clients;
struct command;

enum client_text { CLIENT_NAME, CLIENT_LIB_NAME, CLIENT_LIB_VERSION, CLIENT_TEXTS };

struct client {
    struct conn *conn;
    struct clients *clients;    /* all of them; NULL: a client of a test, in no registry */
    struct client *next, *prev; /* in clients, oldest first */
    struct client *same_bucket; /* in its index by id */
    uint64_t id;                /* 1, 2, ... in the order of their coming; never reused */
    char *texts[CLIENT_TEXTS];  /* what CLIENT SETNAME and SETINFO said; owned; NULL: nothing */

    int64_t created_ms, active_ms; /* monotonic: when it came, when its input was last read */
    int64_t half_closed_ms;        /* monotonic: its peer was found to say no more, while it was held; 0: not */
    const struct command *command; /* the last one of its last batch, NULL: unknown; the one that is being run
                                      while a gate is not 0 */
    uint64_t commands;             /* that it has sent */

    /* What it has of each feature; owned by the feature's file; NULL: nothing. */
#define FEATURE(bit, object, of_client, of_clients) of_client
#include "server/clients/features.def"
#undef FEATURE

    struct buf pushes;          /* messages that wait for the end of the reply that is being written */
    size_t untaken_pushes;      /* at most so many bytes of its output are messages */
    size_t counted_bytes;       /* of memory, when it was last counted: limits.c */
    int64_t over_soft_since_ms; /* monotonic: over a soft limit of its output; 0: it is not */
    /* Clients with messages to be sent before the next poll: the next one, and what points at this one. */
    struct client *next_pending, **pending_from;
    bool pending,
        overflowed; /* it is in that list; it has not taken, or misses, messages and is to be closed */

    uint32_t gates;   /* enum client_gate: the features that are on for it */
    uint32_t ran;     /* flags of the commands of this turn: what its replies may have seen */
    uint32_t holds;   /* enum client_gate: why none of its commands is run, although its input is there */
    uint8_t protocol; /* 2 or 3 */
    bool answering;   /* the answer to its last command is still being gathered: no other is run meanwhile */
    bool muted;       /* replies to its commands are left out */
    bool executing;   /* EXEC is running its commands: none of them may wait for anything */
    bool leaving;     /* to be closed behind the replies written so far */
    bool cut;         /* to be closed without any more of a reply */
    bool no_evict;    /* CLIENT NO-EVICT */
    bool no_touch;    /* CLIENT NO-TOUCH */
};

static inline bool client_takes_commands(const struct client *client) {
    return !client->answering && client->holds == 0 && !client->leaving && !client->cut;
}

#endif
