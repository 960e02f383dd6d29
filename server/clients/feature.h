/* feature.h: something that a client, or all of them, may have or be: owe the password, be subscribed, be in a
 * transaction, be paused, ... A feature is a row of features.def and a struct feature in the file that has it;
 * the registry (clients.c), the session and the dispatcher walk the rows and name none.
 *
 * One that is on has its bit set in client->gates, or in clients->gates when it is on for all. While both are 0
 * a command costs one test; else it meets those that are on, in the rows' order:
 *
 *   known? arity? --> arrive --> admitted? (dispatch/admit.h) --> before --> run --> after
 *                       |            |                              |  |
 *                       '------------'---> refused <----------------'  '--> TAKEN: kept, answered already
 *                                                                       '-> HELD: as if it had not come yet
 *
 * A function that is NULL is not called.
 */
#ifndef KVNODE_SERVER_CLIENTS_FEATURE_H
#define KVNODE_SERVER_CLIENTS_FEATURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct client;
struct clients;
struct request;

enum feature_bit {
#define FEATURE(bit, object, of_client, of_clients) FEATURE_BIT_##bit,
#include "server/clients/features.def"
#undef FEATURE
    FEATURES
};

/* The bits, as they stand in the gates, and in client->holds: who holds the client back. */
enum client_gate {
#define FEATURE(bit, object, of_client, of_clients) GATE_##bit = 1 << FEATURE_BIT_##bit,
#include "server/clients/features.def"
#undef FEATURE
};

enum feature_verdict {
    FEATURE_GO,
    FEATURE_REFUSED, /* replied with an error */
    FEATURE_TAKEN,   /* replied, and not to be run */
    FEATURE_HELD,    /* nothing has happened: it stays in the input, and the client is held (client_hold) */
};

struct feature {
    /* A command, when the feature is on. arrive: known and of the right arity, and once more when EXEC comes to
     * it in its queue; GO or REFUSED. before: admitted. */
    enum feature_verdict (*arrive)(struct request *request);
    enum feature_verdict (*before)(struct request *request);
    /* Somebody has refused it; the error is in its reply from byte written_from on. */
    void (*refused)(struct request *request, size_t written_from);
    void (*after)(struct request *request); /* it has been run */

    /* A client. Bytes that it takes for the feature, asked while the feature is on for it. */
    size_t (*bytes)(const struct client *client);
    void (*begin)(struct client *client); /* it has come, or was RESET */
    void (*end)(struct client *client);   /* it was RESET, or is told nothing more; before gone at the latest */
    void (*gone)(struct client *client);  /* it leaves the registry */
    void (*sent)(struct client *client);  /* messages have gone to its socket, as far as that took them */

    /* All clients. start: false: out of memory, or no random numbers; stop is called all the same. */
    bool (*start)(struct clients *clients);
    void (*stop)(struct clients *clients); /* when the last client has left */
    /* Before the poll, and before messages are sent, when it has set its bit in clients->due. */
    void (*flush)(struct clients *clients);
    void (*tick)(struct clients *clients); /* ten times a second */

    /* A client for which it is on ... */
    bool is_stranger; /* is not trusted with much input */
    bool listens;     /* waits for messages: it is not idle, however long it says nothing */
    bool subscribes;  /* is of the class pubsub of client-output-buffer-limit */
};

/* Which features have what: bits. */
struct feature_masks {
    uint32_t arrive, before, refused, after, bytes, begin, end, gone, sent, stop, tick;
    uint32_t is_stranger, listens, subscribes;
};

/* A table of FEATURES rows. */
typedef const struct feature *const feature_table[FEATURES];

#endif
