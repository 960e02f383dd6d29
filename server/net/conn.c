/* conn.c: the turns of a conn, its life, and what a session calls. */
#include "server/net/conn_internal.h"

#include "server/net/socket.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PEER_TEXT_BYTES = 64 };

static const char *const close_reason_texts[] = {
#define CLOSE_REASON(name, text) [CLOSE_##name] = text,
#include "server/net/close_reasons.def"
#undef CLOSE_REASON
};

const char *close_reason_text(enum close_reason reason) { return close_reason_texts[reason]; }

/* --- what a conn waits for */

static void wait_for(struct conn *conn, uint8_t events) {
    if (events == conn->armed) {
        return;
    }
    if (conn->armed != 0) {
        ev_io_stop(conn->net->ev, &conn->io);
    }
    conn->armed = events;
    if (events != 0) {
        conn->io.events = (conn->io.events & EV__IOFDSET) | events;
        ev_io_start(conn->net->ev, &conn->io);
    }
}

/* On the ordinary path nothing changes here. A conn that does not take input is told so to the kernel only when
 * input has really come: most pauses are over before. */
static void arm(struct conn *conn) {
    bool reads = !conn->ended && (conn_takes_input(conn) || conn->lingering);
    bool keeps_reading = !conn->ended && (conn->armed & conn->stream.read_wants) != 0 && !conn->idle_read;
    unsigned events = 0;
    if (conn->connecting) {
        events |= EV_WRITE;
    } else if (reads || keeps_reading) {
        events |= conn->stream.read_wants;
    }
    if (conn->unwritable) {
        events |= conn->stream.write_wants;
    }
    wait_for(conn, (uint8_t)events);
}

/* --- turns */

static void turn_begin(struct conn *conn) {
    conn->in_turn = true;
    conn->idle_read = false;
    conn_lend_out(conn);
}

/* The end is read only when input is taken, after all of it has been offered. */
static void tell_end(struct conn *conn) {
    if (!conn->ended || conn->end_told || conn_closed(conn)) {
        return;
    }
    conn->end_told = true;
    if (conn->handler->on_end != NULL) {
        conn->handler->on_end(conn, conn->session);
    } else {
        conn_drain(conn, CLOSE_PEER);
    }
}

static void finish_draining(struct conn *conn) {
    buf_deinit(&conn->in);
    if (conn_unsent_bytes(conn) > 0) {
        return;
    }
    if (conn->ended) {
        conn_close(conn, (enum close_reason)conn->reason);
    } else if (!conn->lingering) {
        if (!stream_shut(&conn->stream)) {
            conn->unwritable = true;
            return;
        }
        conn->lingering = true;
        net_set_deadline(conn, loop_monotonic_ms(conn->net->loop) + CONN_LINGER_MS);
    }
}

static void turn_end(struct conn *conn) {
    if (conn->state != CONN_CLOSED) {
        conn_write(conn);
        tell_end(conn);
        conn_write(conn); /* nothing, but after an on_end that replied */
        conn_wake_waiting(conn);
    }
    if (conn->state != CONN_CLOSED && conn->failed) {
        conn_close(conn, (enum close_reason)conn->reason);
    }
    if (conn->state == CONN_DRAINING) {
        finish_draining(conn);
    }
    if (conn->state == CONN_CLOSED) {
        buf_reset(&conn->out); /* so that the net gets its spare back */
    } else {
        arm(conn);
        bool left =
            (conn->go_on && buf_used(&conn->in) > 0) || (!conn->ended && stream_pending(&conn->stream) > 0);
        if (left && conn_takes_input(conn)) {
            net_schedule(conn);
        }
    }
    conn_release_out(conn);
    conn->in_turn = false;
}

/* The dialled socket has become writable: connected, or not. */
static void finish_connecting(struct conn *conn) {
    int error = stream_connect_error(&conn->stream);
    if (error != 0) {
        conn_fail(conn, error == ECONNREFUSED ? CLOSE_NOBODY_LISTENS : CLOSE_CONNECT_FAILED);
        return;
    }
    conn->connecting = false;
    conn_listens(conn);
    if (conn->handler->on_connected != NULL) {
        conn->handler->on_connected(conn, conn->session);
    }
}

void conn_turn(struct conn *conn) {
    unsigned events = conn->events;
    conn->events = 0;
    turn_begin(conn);
    if (conn->connecting) {
        if (events != 0) {
            finish_connecting(conn);
        }
    } else {
        bool readable = (events & conn->stream.read_wants) != 0 || stream_pending(&conn->stream) > 0;
        if ((events & conn->stream.write_wants) != 0) {
            conn->unwritable = false;
        }
        conn_write(conn);
        conn_give_room(conn);
        conn_take_input(conn, readable);
    }
    turn_end(conn);
}

void conn_deadline_turn(struct conn *conn) {
    turn_begin(conn);
    if (conn->state == CONN_DRAINING) {
        int64_t until_ms = conn_output_taken_ms(conn) + (conn->lingering ? CONN_LINGER_MS : CONN_DRAIN_MS);
        if (until_ms > loop_monotonic_ms(conn->net->loop)) {
            net_set_deadline(conn, until_ms); /* slow, but it takes what is left */
        } else {
            conn_close(conn, (enum close_reason)conn->reason);
        }
    } else if (!conn->failed && conn->handler->on_deadline == NULL) {
        conn_close(conn, CLOSE_TIMEOUT);
    } else if (!conn->failed) {
        conn->handler->on_deadline(conn, conn->session);
    }
    turn_end(conn);
}

static void on_socket(struct ev_loop *ev, ev_io *watcher, int events) {
    (void)ev;
    struct conn *conn = watcher->data;
    conn->events |= (uint8_t)events;
    net_note_event(conn);
}

/* --- the life of a conn */

void conn_free(struct conn *conn) {
    conn_give_back(conn);
    conn_forget_hold(conn);
    buf_deinit(&conn->in);
    buf_deinit(&conn->out);
    free(conn->peer);
    free(conn->local);
    free(conn);
}

static struct conn *create(struct net *net, int fd, const struct conn_handler *handler, void *session,
                           size_t max_input_bytes, const char *peer) {
    struct conn *conn = net->stopping ? NULL : calloc(1, sizeof(*conn));
    if (conn == NULL) {
        return NULL;
    }
    conn->net = net;
    conn->handler = handler;
    conn->session = session;
    conn->max_input_bytes = max_input_bytes;
    buf_init(&conn->in, SIZE_MAX); /* offer() holds it to max_input_bytes */
    buf_init(&conn->out, CONN_OUT_MAX_BYTES);
    conn->peer = strdup(peer);
    if (conn->peer == NULL || !conn_pass_fence(conn) || !net_register(net, conn)) {
        conn_free(conn);
        return NULL;
    }
    stream_init(&conn->stream, fd);
    ev_io_init(&conn->io, on_socket, fd, 0);
    conn->io.data = conn;
    return conn;
}

struct conn *conn_adopt(struct net *net, int fd, const struct conn_handler *handler, void *session,
                        size_t max_input_bytes) {
    char peer[PEER_TEXT_BYTES] = "unknown";
    /* Asked now: a connection that the peer has reset does not know it any more. */
    socket_peer_text(fd, peer, sizeof(peer));
    struct conn *conn = create(net, fd, handler, session, max_input_bytes, peer);
    if (conn == NULL) {
        return NULL;
    }
    net->stats.accepted++;
    conn_listens(conn);
    arm(conn);
    return conn;
}

struct conn *conn_dial(struct net *net, const char *host, uint16_t port, const struct conn_handler *handler,
                       void *session, size_t max_input_bytes) {
    char peer[PEER_TEXT_BYTES];
    int fd = socket_connect(host, port);
    if (fd < 0) {
        return NULL;
    }
    snprintf(peer, sizeof(peer), strchr(host, ':') != NULL ? "[%s]:%u" : "%s:%u", host, port);
    struct conn *conn = create(net, fd, handler, session, max_input_bytes, peer);
    if (conn == NULL) {
        close(fd);
        errno = ENOMEM;
        return NULL;
    }
    conn->connecting = true;
    arm(conn);
    return conn;
}

void conn_ends_itself(struct conn *conn) { conn->ends_itself = true; }

void conn_drain(struct conn *conn, enum close_reason reason) {
    if (conn->state != CONN_OPEN || conn->failed) {
        return;
    }
    if (conn->connecting) {
        conn_fail(conn, reason);
        return;
    }
    conn->state = CONN_DRAINING;
    conn->reason = (uint8_t)reason;
    conn->go_on = false;
    net_set_deadline(conn, loop_monotonic_ms(conn->net->loop) + CONN_DRAIN_MS);
    if (!conn->in_turn) {
        net_schedule(conn);
    }
}

void conn_close(struct conn *conn, enum close_reason reason) {
    if (conn->state == CONN_CLOSED) {
        return;
    }
    if (conn->state == CONN_DRAINING || conn->failed) {
        reason = (enum close_reason)conn->reason; /* what was decided first */
    }
    conn->state = CONN_CLOSED;
    wait_for(conn, 0);
    conn_forget_hold(conn);
    net_forget(conn); /* the buffers stay for now: the session may be looking at its input */
    conn->handler->on_close(conn, conn->session, reason);
    stream_close(&conn->stream);
}

/* --- for the session */

uint64_t conn_id(const struct conn *conn) { return conn->id; }

struct net *conn_net(const struct conn *conn) {
    return conn->net;
}

const char *conn_peer(struct conn *conn) { return conn->peer; }

const char *conn_local(struct conn *conn) {
    char local[PEER_TEXT_BYTES];
    if (conn->local == NULL && socket_local_text(conn->stream.fd, local, sizeof(local))) {
        conn->local = strdup(local);
    }
    return conn->local == NULL ? "unknown" : conn->local;
}

int conn_fd(const struct conn *conn) { return conn->stream.fd; }

bool conn_peer_is_gone(const struct conn *conn, bool *says_no_more) {
    return stream_peer_is_gone(&conn->stream, says_no_more);
}

bool conn_closed(const struct conn *conn) { return conn->state != CONN_OPEN || conn->failed; }

struct buf *conn_out(struct conn *conn) {
    if (__builtin_expect(conn_closed(conn), 0)) {
        buf_reset(&conn->net->nowhere);
        return &conn->net->nowhere;
    }
    return &conn->out;
}

size_t conn_output_bytes(const struct conn *conn) { return conn_closed(conn) ? 0 : conn_unsent_bytes(conn); }

size_t conn_pending_bytes(const struct conn *conn) {
    return conn_unsent_bytes(conn) + buf_used(&conn->in) + conn->offered_bytes + conn_target_bytes(conn);
}

size_t conn_input_room(const struct conn *conn) {
    size_t scratch = conn->offered_bytes < CONN_SCRATCH_BYTES ? CONN_SCRATCH_BYTES - conn->offered_bytes : 0;
    size_t elsewhere = conn->target == NULL ? 0 : conn->target->bytes - conn->target->filled;
    return elsewhere + (conn->offered_bytes > 0 ? scratch : conn->in.capacity - buf_used(&conn->in));
}

void conn_flush(struct conn *conn) {
    if (conn->state == CONN_CLOSED) {
        return;
    }
    conn_write(conn);
    if (!conn->in_turn) {
        conn_wake_waiting(conn);
        conn_release_out(conn);
        arm(conn);
    }
}

size_t conn_send_direct(struct conn *conn, const char *ptr, size_t n) {
    assert(conn->hold == NULL);
    if (conn_closed(conn)) {
        return 0;
    }
    size_t sent = 0;
    conn_write(conn);
    if (conn_unsent_bytes(conn) == 0 && conn_can_send(conn)) {
        sent = conn_send(conn, ptr, n);
    }
    conn->want_direct |= sent < n;
    if (!conn->in_turn) {
        conn_wake_waiting(conn);
        arm(conn);
    }
    return sent;
}

void conn_want_room(struct conn *conn) {
    conn->want_room = true;
    if (!conn->in_turn && conn_room_is_due(conn)) {
        net_schedule(conn);
    }
}

void conn_expect_input(struct conn *conn, size_t n) { conn->expected_bytes = n; }

void conn_read_into(struct conn *conn, struct conn_target *target) {
    conn->target = target;
    conn->diverted = target != NULL;
    conn->read_short |= target != NULL;
    conn->expected_bytes = 0;
}

void conn_pause(struct conn *conn) { conn->paused = true; }

void conn_resume(struct conn *conn) {
    if (conn_closed(conn)) {
        return;
    }
    if (conn->paused) {
        conn->paused = false;
        conn_listens(conn);
    }
    conn->go_on = true;
    conn_flush(conn);
    if (!conn->in_turn) {
        net_schedule(conn);
    }
}

void conn_set_deadline(struct conn *conn, int64_t monotonic_ms) {
    if (!conn_closed(conn)) {
        net_set_deadline(conn, monotonic_ms);
    }
}
