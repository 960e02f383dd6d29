/* client.h: one RESP connection as commands see it. Embedded in the session (server/resp/session.c), which owns
 * it. All of them are in a registry: server/clients/clients.h.
 */
#ifndef KVNODE_SERVER_CLIENTS_CLIENT_H
#define KVNODE_SERVER_CLIENTS_CLIENT_H

#include "server/net/conn.h"

struct clients;
struct command;
struct subscriptions;
struct tracker;
struct transaction;
struct wait;
struct walk;

enum client_text { CLIENT_NAME, CLIENT_LIB_NAME, CLIENT_LIB_VERSION, CLIENT_TEXTS };

/* Why a command takes the long way (dispatch_gated): client->gates for one client, clients->gates for all.
 * While both are 0 a command costs one test. */
enum client_gate {
    GATE_MULTI = 1 << 0,           /* between MULTI and EXEC */
    GATE_SUBSCRIBED = 1 << 1,      /* to a channel, a pattern or a shard channel */
    GATE_TRACKING = 1 << 2,        /* CLIENT TRACKING is on */
    GATE_UNAUTHENTICATED = 1 << 3, /* AUTH is still owed */
    GATE_REPLY_OFF = 1 << 4,       /* CLIENT REPLY OFF */
    GATE_REPLY_SKIP = 1 << 5,      /* CLIENT REPLY SKIP: the reply to this command is left out */
    GATE_MONITOR = 1 << 6,         /* a client: is fed by MONITOR; all: somebody is */
    GATE_PAUSE = 1 << 7,           /* all: CLIENT PAUSE is on */
    GATE_TIMED = 1 << 8,           /* all: every single command is timed */
    GATE_NOTIFY = 1 << 9,          /* all: keyspace notifications are on, and named after commands */
};

/* Why no command of the client is run for now, although its input is there. */
enum client_hold {
    HOLD_PAUSE = 1 << 0, /* CLIENT PAUSE; the command that met it is still in the input */
    HOLD_WAIT = 1 << 1,  /* a command waits for what will let it answer (WAIT) */
};

struct client {
    struct conn *conn;
    struct clients *clients;    /* all of them; NULL: a client of a test, in no registry */
    struct client *next, *prev; /* in clients, oldest first */
    struct client *same_bucket; /* in its index by id */
    uint64_t id;                /* 1, 2, ... in the order of their coming; never reused */
    struct wait *wait;          /* WAIT: what its answer waits for; owned; NULL: it waits for nothing */
    struct walk *walk;          /* the answer that is being gathered; owned; no command is run meanwhile */
    char *texts[CLIENT_TEXTS];  /* what CLIENT SETNAME and SETINFO said; owned; NULL: nothing */

    int64_t created_ms, active_ms; /* monotonic: when it came, when its input was last read */
    int64_t half_closed_ms;        /* monotonic: its peer was found to say no more, while it was held; 0: not */
    const struct command *command; /* the last one of its last batch, NULL: unknown; the one that is being run
                                      while a gate is not 0 */
    uint64_t commands;             /* that it has sent */

    struct transaction *transaction;     /* transactions.c: MULTI's queue, WATCH's keys; owned; NULL: none */
    struct subscriptions *subscriptions; /* pubsub.c; owned; NULL: never subscribed */
    struct tracker *tracker;             /* tracking.c; owned; NULL: CLIENT TRACKING is off */

    struct buf pushes;          /* messages that wait for the end of the reply that is being written */
    size_t untaken_pushes;      /* at most so many bytes of its output are messages */
    size_t counted_bytes;       /* of memory, when it was last counted: client_limits.c */
    int64_t over_soft_since_ms; /* monotonic: over a soft limit of its output; 0: it is not */
    /* Clients with messages to be sent before the next poll: the next one, and what points at this one. */
    struct client *next_pending, **pending_from;
    bool pending,
        overflowed; /* it is in that list; it has not taken, or misses, messages and is to be closed */

    uint32_t gates;   /* enum client_gate */
    uint8_t holds;    /* enum client_hold */
    uint8_t protocol; /* 2 or 3 */
    bool executing;   /* EXEC is running its commands: none of them may wait for anything */
    bool leaving;     /* to be closed behind the replies written so far */
    bool cut;         /* to be closed without any more of a reply */
    bool no_evict;    /* CLIENT NO-EVICT */
    bool no_touch;    /* CLIENT NO-TOUCH */
};

static inline bool client_takes_commands(const struct client *client) {
    return client->walk == NULL && client->holds == 0 && !client->leaving && !client->cut;
}

#endif
