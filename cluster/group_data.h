/* group_data.h: a group's data as the deciders of replication read and change it, leader.h and follower.h
 * alike: a table of functions. The keyspace fills it (server/peers/replicated_store.c), and so does the tests'
 * model (tests/sim/model_store.h). A decider keeps a copy of the table; context is the filler's, and outlives
 * it. */
#ifndef KVNODE_CLUSTER_GROUP_DATA_H
#define KVNODE_CLUSTER_GROUP_DATA_H

#include "cluster/plain_stream.h"
#include "protocol/err.h"
#include "protocol/line.h"

struct group_data {
    void *context;

    /* Appends the X (or, plain, the shortest) lines of one bucket or so behind the cursor; adds their number to
     * *count; returns the next cursor, 0 at the end. */
    uint64_t (*scan)(void *context, uint64_t cursor, bool plain, struct buf *out, uint64_t *count);
    plain_stream_say *say;
    uint64_t (*floor)(void *context); /* as FULL tells it */
    uint64_t (*bytes)(void *context); /* about so long would its state be, as lines */

    /* A leader's line, or one of a state: its word holds, whatever the version. */
    enum err (*apply)(void *context, const struct line *line, int64_t timestamp_ms);
    /* A bare line. ERR_PRECONDITION: it is not newer. */
    enum err (*apply_if_newer)(void *context, const struct line *line, int64_t timestamp_ms);
    /* A key that is missing here, as a write of this node's history. ERR_PRECONDITION: it is here, and its next
     * version is above the line's. */
    enum err (*adopt)(void *context, const struct line *line);
    void (*adopt_floor)(void *context, uint64_t floor); /* likewise, for all that was deleted elsewhere */

    /* A whole state arrives: at its end what was neither sent nor touched since the beginning is dropped,
     * unless joins: then it stays. */
    bool (*full_begin)(void *context); /* false: not now; nothing has changed */
    void (*full_end)(void *context, uint64_t floor, bool joins);
    void (*empty)(void *context); /* drops everything: the state broke off, and nothing was here before it */
};

#endif
