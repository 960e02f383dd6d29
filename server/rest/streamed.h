/* streamed.h: a body that goes through the store, chunk by chunk, as a task; the client's reading holds it
 * back. The table does not shrink meanwhile (keyspace_pin). Embedded as the first member of what it is of, in
 * memory that it frees at its end. */
#ifndef KVNODE_SERVER_REST_STREAMED_H
#define KVNODE_SERVER_REST_STREAMED_H

#include "protocol/http_reply.h"
#include "server/net/loop.h"
#include "server/rest/body.h"

struct exchange;
struct keyspace;

struct streamed {
    struct body body;
    struct task task;
    struct loop *loop;
    struct keyspace *keyspace;
    struct rest_session *session;
    struct http_reply reply; /* its out is the conn's during a call of chunk */
    /* Writes what is next, a slice of it, within one chunk; false: that was the last. */
    bool (*chunk)(struct streamed *streamed);
};

void streamed_init(struct streamed *streamed, const struct exchange *exchange,
                   bool (*chunk)(struct streamed *streamed));
/* There is so much output that no more should be made now. */
bool streamed_is_full(const struct streamed *streamed);

#endif
