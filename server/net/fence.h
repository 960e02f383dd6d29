/* fence.h: output that waits until it may leave.
 *
 * Commands run at once; what they answer may have seen changes that are not safe yet (not written, not synced,
 * not on other nodes). A conn behind a fence marks its output where it would be written to the socket, all of
 * it, whoever said it; what is behind a mark stays until the fence is raised that far:
 *
 *     sent | may leave | mark 0: behind it as safe as ticket 0 | mark 1: as safe as ticket 1 |
 *
 * A ticket says how far each of three things has to have come; whoever raises the fence knows what the numbers
 * mean. Two marks are enough: what comes while both are there is put under the second, which takes the newer
 * ticket, and so waits for one raise more at most. No way leads round it: large values, walks, pushes and
 * drains write by conn_write too. Held output counts as output: a conn with too much of it does not read.
 *
 * Without a fence a conn pays one comparison a write.
 */
#ifndef KVNODE_SERVER_NET_FENCE_H
#define KVNODE_SERVER_NET_FENCE_H

#include "server/net/conn.h"
#include "server/net/link.h"

/* Each a number that only grows; 0: it is not waited for. */
struct fence_ticket {
    uint64_t kept;      /* by this node's disk, as -fsync asks */
    uint64_t committed; /* by a majority of the voters of its group */
    uint64_t round;     /* of pings: this node led still when a majority of them had echoed it */
};

/* Embedded in its owner; outlives the conns behind it. */
struct fence {
    /* What all that was executed up to now has to wait for, in *out, which is zero; quorum: its conn asks for
     * the voters. */
    void (*newest)(void *context, bool quorum, struct fence_ticket *out);
    void *context;
    struct fence_ticket reached;
    bool voters;      /* somebody has ever had to wait for them */
    struct link held; /* the conns that hold something back */
    size_t held_count;
    size_t held_before;  /* the last raise that let somebody go: those will be back soon */
    uint64_t held_total; /* marks that were set, ever */
};

/* Whatever the disk is asked for is there, until fence_close; of voters nothing is. */
void fence_init(struct fence *fence, void (*newest)(void *context, bool quorum, struct fence_ticket *out),
                void *context);

/* What has now come so far as its ticket says may leave, and does: conns write. Outside of the conns' turns
 * (LOOP_COMMIT). What is kept never goes back but by fence_close; of the others a number that is not above the
 * one before is passed over. */
void fence_raise_kept(struct fence *fence, uint64_t kept);
void fence_raise_quorum(struct fence *fence, uint64_t committed, uint64_t round);
#define FENCE_OPEN UINT64_MAX /* as kept: whatever is asked for */

/* From now on output waits for what is kept above this. */
void fence_close(struct fence *fence, uint64_t kept);

/* What is held will never be safe: its conns are closed, and what became of their requests stays unknown to
 * them, as with any connection that breaks. Outside of the conns' turns. */
void fence_break(struct fence *fence, enum close_reason reason);

/* Conns that come from now on pass it, if they are of a kind that does (conn_handler.fenced). */
void net_set_fence(struct net *net, struct fence *fence);
/* What the conn says from now on asks for the voters, or does so no more. */
void conn_ask_quorum(struct conn *conn, bool quorum);
/* What was added to the output in this turn has seen no data: it is marked for nothing, but does not overtake
 * what is. */
void conn_vouch(struct conn *conn);
size_t conn_held_bytes(const struct conn *conn); /* of conn_output_bytes, as of the last write */

#endif
