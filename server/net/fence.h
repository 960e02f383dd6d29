/* fence.h: output that waits until it may leave.
 *
 * Commands run at once; what they answer may have seen changes that are not safe yet (not written, not synced,
 * not on other nodes). A conn behind a fence marks its output where it would be written to the socket, all of
 * it, whoever said it; what is behind a mark stays until the fence is raised that far:
 *
 *     sent | may leave | mark 0: behind it as safe as ticket 0 | mark 1: as safe as ticket 1 |
 *
 * A ticket is a number that only grows; whoever raises the fence knows what it means (an index of the history).
 * Two marks are enough: what comes while both are there is put under the second, which takes the newer ticket,
 * and so waits for one raise more at most. No way leads round it: large values, walks, pushes and drains write
 * by conn_write too. Held output counts as output: a conn with too much of it does not read.
 *
 * Without a fence a conn pays one comparison a write.
 */
#ifndef KVNODE_SERVER_NET_FENCE_H
#define KVNODE_SERVER_NET_FENCE_H

#include "server/net/conn.h"
#include "server/net/link.h"

/* Embedded in its owner; outlives the conns behind it. */
struct fence {
    uint64_t (*newest)(void *context); /* what all that was executed up to now has to wait for */
    void *context;
    uint64_t safe;    /* a ticket up to this may leave */
    struct link held; /* the conns that hold something back */
    size_t held_count;
    size_t held_before;  /* the last raise that let somebody go: those will be back soon */
    uint64_t held_total; /* marks that were set, ever */
};

/* Nothing is held before it is closed by fence_close: all is safe. */
void fence_init(struct fence *fence, uint64_t (*newest)(void *context), void *context);

/* Up to ticket safe all may leave, and does: conns write. It never goes back but by fence_close. Outside of the
 * conns' turns (LOOP_COMMIT). */
void fence_raise(struct fence *fence, uint64_t safe);
#define FENCE_OPEN UINT64_MAX /* as ticket: nothing is held */

/* From now on output waits for tickets above safe. */
void fence_close(struct fence *fence, uint64_t safe);

/* What is held will never be safe: its conns are closed, and what became of their requests stays unknown to
 * them, as with any connection that breaks. Outside of the conns' turns. */
void fence_break(struct fence *fence, enum close_reason reason);

/* Conns that come from now on pass it, if they are of a kind that does (conn_handler.fenced). */
void net_set_fence(struct net *net, struct fence *fence);
/* What was added to the output in this turn has seen no data: it is marked for nothing, but does not overtake
 * what is. */
void conn_vouch(struct conn *conn);
size_t conn_held_bytes(const struct conn *conn); /* of conn_output_bytes, as of the last write */

#endif
