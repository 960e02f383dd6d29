/* net.c: what the conns of a loop share: the registry of ids, the ready list, the deadlines, the closed ones.
 */
#include "server/net/conn_internal.h"

#include <stdlib.h>

enum {
    ID_SLOT_BITS = 24, /* low bits of an id: its slot in the registry */
    SMALLEST_REGISTRY = 64,
};

/* --- lists */

static struct conn *conn_of_link(struct link *link) {
    return (struct conn *)(void *)((char *)link - offsetof(struct conn, link));
}

static struct conn *conn_of_deadline(struct deadline *deadline) {
    return (struct conn *)(void *)((char *)deadline - offsetof(struct conn, deadline));
}

/* --- the registry of ids: number << ID_SLOT_BITS | slot; numbers are never given twice */

static bool registry_grow(struct net *net) {
    uint32_t count = net->slot_count == 0 ? SMALLEST_REGISTRY : net->slot_count * 2;
    if (count > UINT32_C(1) << ID_SLOT_BITS) {
        return false;
    }
    struct registry_slot *slots = realloc(net->slots, count * sizeof(*slots));
    if (slots == NULL) {
        return false;
    }
    for (uint32_t i = net->slot_count; i < count; i++) {
        slots[i] = (struct registry_slot){.next_free = i + 1};
    }
    net->slots = slots;
    net->slot_count = count;
    return true;
}

bool net_register(struct net *net, struct conn *conn) {
    if (net->first_free == net->slot_count && !registry_grow(net)) {
        return false;
    }
    uint32_t slot = net->first_free;
    net->first_free = net->slots[slot].next_free;
    net->slots[slot].conn = conn;
    conn->id = ++net->last_number << ID_SLOT_BITS | slot;
    net->stats.open++;
    return true;
}

static uint32_t slot_of(uint64_t id) { return (uint32_t)(id & ((UINT64_C(1) << ID_SLOT_BITS) - 1)); }

void net_forget(struct conn *conn) {
    struct net *net = conn->net;
    uint32_t slot = slot_of(conn->id);
    net->slots[slot] = (struct registry_slot){.next_free = net->first_free};
    net->first_free = slot;
    net->stats.open--;
    deadlines_remove(&net->deadlines, &conn->deadline);
    if (conn->link.next != NULL) {
        link_remove(&conn->link);
        net->ready_count--;
    }
    link_append(&net->closed, &conn->link);
}

struct conn *conn_find(const struct net *net, uint64_t id) {
    uint32_t slot = slot_of(id);
    if (slot >= net->slot_count) {
        return NULL;
    }
    struct conn *conn = net->slots[slot].conn;
    return conn != NULL && conn->id == id && !conn_closed(conn) ? conn : NULL;
}

/* --- turns without an event of the socket */

void net_schedule(struct conn *conn) {
    struct net *net = conn->net;
    if (conn->link.next != NULL) {
        return;
    }
    link_append(&net->ready, &conn->link);
    net->ready_count++;
    if (!ev_is_active(&net->busy)) {
        ev_idle_start(net->ev, &net->busy);
    }
}

void net_note_event(struct conn *conn) {
    struct net *net = conn->net;
    if (conn->link.next == NULL) {
        link_append(net->woken.next, &conn->link);
        net->ready_count++;
    }
}

void net_set_deadline(struct conn *conn, int64_t at_ms) {
    struct net *net = conn->net;
    if (!ev_is_active(&net->clock)) {
        if (at_ms == 0) {
            conn->deadline.at_ms = 0;
            return;
        }
        ev_timer_again(net->ev, &net->clock);
    }
    deadlines_set(&net->deadlines, &conn->deadline, at_ms);
}

/* Deadlines are looked at after the turns: what has come in time has been read then. */
static void on_clock(struct ev_loop *ev, ev_timer *watcher, int events) {
    (void)ev;
    (void)events;
    struct net *net = watcher->data;
    net->ticked = true;
}

static void run_deadlines(struct net *net) {
    int64_t now_ms = loop_monotonic_ms(net->loop);
    struct deadline *due;
    while ((due = deadlines_take_due(&net->deadlines, now_ms)) != NULL) {
        conn_deadline_turn(conn_of_deadline(due));
    }
    if (net->deadlines.count == 0) {
        ev_timer_stop(net->ev, &net->clock);
    }
}

static void on_busy(struct ev_loop *ev, ev_idle *watcher, int events) {
    (void)ev;
    (void)watcher;
    (void)events;
}

static void link_splice(struct link *head, struct link *from) {
    if (from->next != from) {
        from->next->prev = head->prev;
        from->prev->next = head;
        head->prev->next = from->next;
        head->prev = from->prev;
        link_init(from);
    }
}

/* One turn for each that is ready now, first come, first served: those that were left over from the last
 * iteration, then those with an event of this one's. Who becomes ready meanwhile has to wait for the next. */
static void run_turns(void *context) {
    struct net *net = context;
    link_splice(&net->ready, &net->woken);
    for (size_t n = net->ready_count; n > 0 && net->ready_count > 0; n--) {
        struct conn *conn = conn_of_link(net->ready.next);
        link_remove(&conn->link);
        net->ready_count--;
        conn_turn(conn);
    }
    if (net->ready_count == 0 && ev_is_active(&net->busy)) {
        ev_idle_stop(net->ev, &net->busy);
    }
    if (net->ticked) {
        net->ticked = false;
        run_deadlines(net);
    }
}

static void free_closed(void *context) {
    struct net *net = context;
    while (net->closed.next != &net->closed) {
        struct conn *conn = conn_of_link(net->closed.next);
        link_remove(&conn->link);
        conn_free(conn);
    }
}

/* --- the net */

struct net *net_create(struct loop *loop) {
    struct net *net = calloc(1, sizeof(*net));
    if (net == NULL) {
        return NULL;
    }
    net->loop = loop;
    net->ev = loop_ev(loop);
    link_init(&net->ready);
    link_init(&net->woken);
    link_init(&net->closed);
    deadlines_init(&net->deadlines, loop_monotonic_ms(loop));
    buf_init(&net->spare_out, CONN_OUT_MAX_BYTES);
    ev_idle_init(&net->busy, on_busy);
    ev_timer_init(&net->clock, on_clock, 0.0, DEADLINES_TICK_MS / 1000.0);
    net->clock.data = net;
    net->turns = (struct loop_hook){.run = run_turns, .context = net};
    loop_add_hook(loop, LOOP_TURNS, &net->turns);
    net->flush = (struct loop_hook){.run = free_closed, .context = net};
    loop_add_hook(loop, LOOP_NET, &net->flush);
    return net;
}

void net_destroy(struct net **net) {
    struct net *self = *net;
    if (self == NULL) {
        return;
    }
    self->stopping = true;
    for (uint32_t i = 0; i < self->slot_count; i++) {
        struct conn *conn = self->slots[i].conn;
        if (conn != NULL) {
            conn_write(conn); /* a last word, if the socket takes it */
            conn_close(conn, CLOSE_SHUTDOWN);
        }
    }
    free_closed(self);
    loop_remove_hook(self->loop, &self->turns);
    loop_remove_hook(self->loop, &self->flush);
    ev_idle_stop(self->ev, &self->busy);
    ev_timer_stop(self->ev, &self->clock);
    buf_deinit(&self->spare_out);
    buf_deinit(&self->nowhere);
    free(self->slots);
    free(self);
    *net = NULL;
}

void net_drain_all(struct net *net, enum close_reason reason) {
    for (uint32_t i = 0; i < net->slot_count; i++) {
        struct conn *conn = net->slots[i].conn;
        if (conn != NULL && !conn->ends_itself) {
            conn_drain(conn, reason);
        }
    }
}

struct loop *net_loop(const struct net *net) {
    return net->loop;
}

const struct net_stats *net_stats(const struct net *net) { return &net->stats; }

void net_count_refused(struct net *net) { net->stats.refused++; }
