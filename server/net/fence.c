#include "server/net/fence.h"

#include "server/net/conn_internal.h"

#include <assert.h>
#include <stdlib.h>

static struct conn_hold *hold_of_link(struct link *link) {
    return (struct conn_hold *)(void *)((char *)link - offsetof(struct conn_hold, link));
}

/* --- the fence */

void fence_init(struct fence *fence, uint64_t (*newest)(void *context), void *context) {
    *fence = (struct fence){.newest = newest, .context = context, .safe = FENCE_OPEN};
    link_init(&fence->held);
}

/* The marks up to the fence are gone. */
static void pass_marks(struct conn_hold *hold) {
    while (hold->count > 0 && hold->marks[0].ticket <= hold->fence->safe) {
        hold->marks[0] = hold->marks[1];
        hold->count--;
    }
}

void fence_raise(struct fence *fence, uint64_t safe) {
    assert(safe >= fence->safe);
    size_t before = fence->held_count;
    fence->safe = safe;
    struct link *next;
    for (struct link *link = fence->held.next; link != &fence->held; link = next) {
        struct conn_hold *hold = hold_of_link(link);
        next = link->next;
        if (hold->marks[0].ticket > safe) {
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

void fence_close(struct fence *fence, uint64_t safe) { fence->safe = safe; }

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

bool conn_mark(struct conn *conn, size_t more) {
    struct conn_hold *hold = conn->hold;
    struct fence *fence = hold->fence;
    uint64_t end = output_end(conn) + more;
    if (end > hold->seen) {
        uint64_t newest = fence->newest(fence->context);
        if (newest > fence->safe) {
            if (hold->count == 0) {
                link_append(&fence->held, &hold->link);
                fence->held_count++;
            }
            if (hold->count < CONN_MARKS) {
                hold->marks[hold->count++] = (struct conn_mark){.at = hold->seen, .ticket = newest};
                fence->held_total++;
            } else {
                hold->marks[CONN_MARKS - 1].ticket = newest;
            }
        }
        hold->seen = end;
    }
    return hold->count > 0;
}

size_t conn_held_bytes(const struct conn *conn) {
    return conn->hold == NULL || conn->hold->count == 0 ? 0 : conn_unsent_bytes(conn) - conn_may_leave(conn);
}
