/* incoming.h: a large argument that its client is still sending, and that its command will keep: it is read
 * straight to where it is to stay. What comes before it, and behind it, is input like any other; only when all
 * of the command is there is it looked at, as any other is.
 */
#ifndef KVNODE_SERVER_RESP_INCOMING_H
#define KVNODE_SERVER_RESP_INCOMING_H

#include "protocol/resp_request.h"
#include "server/net/conn.h"
#include "server/store/entry.h"

struct incoming {
    struct conn_target target;    /* of the conn: the argument with its CR LF */
    struct resp_detour detour;    /* of the parser: the same */
    struct entry_reserve reserve; /* of the store: where it lies */
};

/* Is it time for one? in begins with its command. What is reserved is no more than a client may claim (it is
 * not touched before it is needed), or it is in proportion to what has come. */
bool incoming_is_due(struct resp_pending_bulk bulk, struct slice in);
/* Has the end of in already, from bulk.at on. NULL: out of memory. */
struct incoming *incoming_create(struct resp_pending_bulk bulk, struct slice in, struct slice key);
void incoming_destroy(struct incoming **incoming); /* NULL-safe, nulls it */

static inline bool incoming_is_whole(const struct incoming *incoming) {
    return incoming->target.filled == incoming->target.bytes;
}

#endif
