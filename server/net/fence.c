#include "server/net/fence.h"

#include "server/net/conn_internal.h"

#include <assert.h>
#include <stdlib.h>

static struct conn_hold *hold_of_link(struct link *link) {
    return (struct conn_hold *)(void *)((char *)link - offsetof(struct conn_hold, link));
}

/* --- the fence */

void fence_init(struct fence *fence, void (*newest)(void *context, bool quorum, struct fence_ticket *out),
                void *context) {
    *fence = (struct fence){.newest = newest, .context = context, .reached = {.kept = FENCE_OPEN}};
    link_init(&fence->held);
}

static bool has_reached(const struct fence *fence, const struct fence_ticket *ticket) {
    const struct fence_ticket *reached = &fence->reached;
    return ticket->kept <= reached->kept && ticket->committed <= reached->committed &&
           ticket->round <= reached->round;
}

/* The marks up to the fence are gone. */
static void pass_marks(struct conn_hold *hold) {
    while (hold->count > 0 && has_reached(hold->fence, &hold->marks[0].ticket)) {
        hold->marks[0] = hold->marks[1];
        hold->count--;
    }
}

static void let_go(struct fence *fence) {
    size_t before = fence->held_count;
    struct link *next;
    for (struct link *link = fence->held.next; link != &fence->held; link = next) {
        struct conn_hold *hold = hold_of_link(link);
        next = link->next;
        if (!has_reached(fence, &hold->marks[0].ticket)) {
            continue;
        }
        pass_marks(hold);
        if (hold->count == 0) {
            link_remove(link);
            fence->held_count--;
        }
        struct conn *conn = hold->conn;
        conn_flush(conn);
        if (conn->state == CONN_DRAINING) {
            net_schedule(conn); /* it may have been the last of it */
        }
    }
    if (fence->held_count < before) {
        fence->held_before = before;
    }
}

void fence_raise_kept(struct fence *fence, uint64_t kept) {
    assert(kept >= fence->reached.kept);
    fence->reached.kept = kept;
    let_go(fence);
}

void fence_raise_quorum(struct fence *fence, uint64_t committed, uint64_t round) {
    struct fence_ticket *reached = &fence->reached;
    if (committed <= reached->committed && round <= reached->round) {
        return;
    }
    reached->committed = committed > reached->committed ? committed : reached->committed;
    reached->round = round > reached->round ? round : reached->round;
    let_go(fence);
}

void fence_close(struct fence *fence, uint64_t kept) { fence->reached.kept = kept; }

void fence_break(struct fence *fence, enum close_reason reason) {
    while (fence->held.next != &fence->held) {
        conn_close(hold_of_link(fence->held.next)->conn, reason);
    }
}

/* --- a conn behind it */

void net_set_fence(struct net *net, struct fence *fence) { net->fence = fence; }

bool conn_pass_fence(struct conn *conn) {
    struct fence *fence = conn->net->fence;
    if (fence == NULL || !conn->handler->fenced) {
        return true;
    }
    conn->hold = malloc(sizeof(*conn->hold));
    if (conn->hold == NULL) {
        return false;
    }
    *conn->hold = (struct conn_hold){.conn = conn, .fence = fence};
    return true;
}

void conn_forget_hold(struct conn *conn) {
    struct conn_hold *hold = conn->hold;
    if (hold == NULL) {
        return;
    }
    if (hold->count > 0) {
        link_remove(&hold->link);
        hold->fence->held_count--;
    }
    free(hold);
    conn->hold = NULL;
}

static uint64_t output_end(const struct conn *conn) { return conn->hold->sent + conn_unsent_bytes(conn); }

void conn_vouch(struct conn *conn) {
    if (conn->hold != NULL && conn->state != CONN_CLOSED) {
        conn->hold->seen = output_end(conn);
    }
}

void conn_ask_quorum(struct conn *conn, bool quorum) {
    struct conn_hold *hold = conn->hold;
    if (hold != NULL && hold->quorum != quorum && conn->state != CONN_CLOSED) {
        conn_mark(conn, 0); /* what it has said so far, as it was */
        hold->quorum = quorum;
    }
}

static uint64_t later(uint64_t a, uint64_t b) { return a > b ? a : b; }

/* From where it was looked at last on. */
static void add_mark(struct conn_hold *hold, const struct fence_ticket *ticket) {
    struct fence *fence = hold->fence;
    fence->voters |= ticket->round != 0;
    if (hold->count == 0) {
        link_append(&fence->held, &hold->link);
        fence->held_count++;
    }
    if (hold->count < CONN_MARKS) {
        hold->marks[hold->count++] = (struct conn_mark){.at = hold->seen, .ticket = *ticket};
        fence->held_total++;
        return;
    }
    struct fence_ticket *last = &hold->marks[CONN_MARKS - 1].ticket;
    last->kept = later(last->kept, ticket->kept);
    last->committed = later(last->committed, ticket->committed);
    last->round = later(last->round, ticket->round);
}

bool conn_mark(struct conn *conn, size_t more) {
    struct conn_hold *hold = conn->hold;
    const struct fence *fence = hold->fence;
    uint64_t end = output_end(conn) + more;
    if (end > hold->seen) {
        struct fence_ticket newest = {0};
        fence->newest(fence->context, hold->quorum, &newest);
        if (!has_reached(fence, &newest)) {
            add_mark(hold, &newest);
        }
        hold->seen = end;
    }
    return hold->count > 0;
}

size_t conn_held_bytes(const struct conn *conn) {
    return conn->hold == NULL || conn->hold->count == 0 ? 0 : conn_unsent_bytes(conn) - conn_may_leave(conn);
}
