/* conn_io.c: how a conn reads and writes.
 *
 * Input is read behind the left-over of the last turn: in the scratch buffer while the left-over is small, in a
 * buffer of the conn's own otherwise. Output gathers in a buffer that is lent for the turn, and kept only if
 * the socket did not take all of it.
 */
#include "server/net/conn_internal.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <string.h>

enum {
    /* Of an expected input so much is read at a wake-up: then it is soon whole, and its buffer the next conn's
     * while a cache still has it. */
    READ_EXPECTED_BYTES = 1 << 20,
    READ_SHORT_BYTES = 16 << 10,    /* behind what went to a target: it may be the beginning of another one */
    READ_ROOM_BYTES = 16 << 10,     /* a large left-over's buffer grows when it has less room than this */
    EXPECTED_AHEAD_BYTES = 1 << 20, /* allocated ahead of an expected input: as much as has come, and this, */
    EXPECTED_AHEAD_TIMES = 8,       /* but at first no more than so many times what has come */
    SPARE_OUT_BYTES = 256 << 10,    /* a drained output buffer up to this is kept for the next turns */
};

void conn_fail(struct conn *conn, enum close_reason reason) {
    if (conn->failed || conn->state == CONN_CLOSED) {
        return;
    }
    if (conn->state == CONN_OPEN) {
        conn->reason = (uint8_t)reason;
    }
    conn->failed = true;
    if (!conn->in_turn) {
        net_schedule(conn);
    }
}

static void fail_by_errno(struct conn *conn) {
    conn_fail(conn, errno == EPIPE || errno == ECONNRESET ? CLOSE_PEER : CLOSE_SOCKET_ERROR);
}

/* --- output */

void conn_lend_out(struct conn *conn) {
    struct buf *spare = &conn->net->spare_out;
    if (conn->out.data == NULL && spare->data != NULL) {
        conn->out = *spare;
        buf_init(spare, CONN_OUT_MAX_BYTES);
    }
}

void conn_release_out(struct conn *conn) {
    struct buf *spare = &conn->net->spare_out;
    if (conn->out.data == NULL || buf_used(&conn->out) > 0) {
        return;
    }
    if (spare->data == NULL && conn->out.capacity <= SPARE_OUT_BYTES) {
        buf_reset(&conn->out);
        *spare = conn->out;
        buf_init(&conn->out, CONN_OUT_MAX_BYTES);
    } else {
        buf_deinit(&conn->out);
    }
}

bool conn_can_send(const struct conn *conn) { return !conn->unwritable && !conn->connecting && !conn->failed; }

int64_t conn_output_taken_ms(struct conn *conn) {
    int before = conn->untaken_bytes;
    if (conn_held_bytes(conn) > 0 && conn_may_leave(conn) == 0) {
        return loop_monotonic_ms(conn->net->loop); /* it is not the peer that is waited for */
    }
    if (before > 0) {
        conn->untaken_bytes = stream_untaken_bytes(&conn->stream);
        /* Of what was written since the last look and is gone, the moment of the writing is all that is known.
         */
        if (conn->untaken_bytes < before && (before != INT_MAX || conn->untaken_bytes > 0)) {
            conn->taken_ms = loop_monotonic_ms(conn->net->loop);
        }
    }
    return conn->taken_ms;
}

int64_t conn_output_seen_taken_ms(const struct conn *conn) { return conn->taken_ms; }

/* What the stream answered to n bytes. */
static size_t note_sent(struct conn *conn, ssize_t sent, size_t n) {
    if (sent < 0) {
        if (errno == EAGAIN) {
            conn->unwritable = true;
        } else {
            fail_by_errno(conn);
        }
        return 0;
    }
    struct net_stats *stats = &conn->net->stats;
    stats->writes++;
    stats->written_bytes += (uint64_t)sent;
    stats->replication_written_bytes += conn->handler->replicates ? (uint64_t)sent : 0;
    conn->taken_ms = loop_monotonic_ms(conn->net->loop);
    conn->untaken_bytes = INT_MAX;
    if (__builtin_expect(conn->hold != NULL, 0)) {
        conn->hold->sent += (uint64_t)sent;
    }
    if ((size_t)sent < n) {
        conn->unwritable = true;
        conn->untaken_bytes = stream_untaken_bytes(&conn->stream);
    }
    return (size_t)sent;
}

size_t conn_send(struct conn *conn, const char *ptr, size_t n) {
    return note_sent(conn, stream_write(&conn->stream, ptr, n), n);
}

size_t conn_send_parts(struct conn *conn, const struct slice parts[CONN_SEND_PARTS]) {
    struct iovec vector[CONN_SEND_PARTS];
    size_t n = 0;
    for (size_t i = 0; i < CONN_SEND_PARTS; i++) {
        vector[i] = (struct iovec){.iov_base = (void *)parts[i].ptr, .iov_len = parts[i].len};
        n += parts[i].len;
    }
    return note_sent(conn, stream_writev(&conn->stream, vector, CONN_SEND_PARTS), n);
}

void conn_write_output(struct conn *conn) {
    struct buf *out = &conn->out;
    if (conn->state == CONN_CLOSED) {
        return;
    }
    if (buf_failed(out)) {
        conn_fail(conn, CLOSE_OUTPUT_LIMIT);
        return;
    }
    conn->over_low |= conn_unsent_bytes(conn) > CONN_OUT_LOW_BYTES;
    if (__builtin_expect(conn->hold != NULL, 0)) {
        conn_mark(conn, 0);
    }
    size_t n = conn_may_leave(conn);
    if (n > 0 && conn_can_send(conn)) {
        if (__builtin_expect(conn->loan != NULL, 0)) {
            conn_write_loan(conn);
        } else {
            buf_consume(out,
                        conn_send(conn, out->data + out->start, n < CONN_WRITE_BYTES ? n : CONN_WRITE_BYTES));
        }
        /* What is left of a long output waits for its next turn, too. */
        conn->unwritable |= conn_may_leave(conn) > 0;
    }
    conn->blocked |= conn_unsent_bytes(conn) >= CONN_OUT_HIGH_BYTES;
}

bool conn_room_is_due(const struct conn *conn) {
    if (conn_closed(conn) || conn->connecting || conn->handler->on_room == NULL) {
        return false;
    }
    size_t n = conn_unsent_bytes(conn);
    return ((conn->over_low || conn->want_room) && n <= CONN_OUT_LOW_BYTES) ||
           (conn->want_direct && n == 0 && !conn->unwritable);
}

void conn_give_room(struct conn *conn) {
    if (conn_room_is_due(conn)) {
        conn->over_low = conn->want_room = conn->want_direct = false;
        conn->handler->on_room(conn, conn->session);
    }
}

void conn_wake_waiters(struct conn *conn) {
    if (conn->blocked && !conn_closed(conn) && conn_unsent_bytes(conn) <= CONN_OUT_LOW_BYTES) {
        conn->blocked = false;
        conn_listens(conn);
        conn->go_on = true;
        net_schedule(conn);
    }
    if (conn_room_is_due(conn)) {
        net_schedule(conn);
    }
}

/* --- input */

bool conn_takes_input(const struct conn *conn) {
    return conn->state == CONN_OPEN && !conn->connecting && !conn->failed && !conn->paused && !conn->blocked;
}

void conn_listens(struct conn *conn) { conn->listening_ms = loop_monotonic_ms(conn->net->loop); }

int64_t conn_listening_since_ms(struct conn *conn) {
    if (conn->paused || conn->connecting) {
        return loop_monotonic_ms(conn->net->loop);
    }
    return conn->blocked ? conn_output_taken_ms(conn) : conn->listening_ms;
}

/* How much was read; 0: nothing now, or the end, or an error. */
static size_t receive(struct conn *conn, char *to, size_t n) {
    ssize_t got = stream_read(&conn->stream, to, n);
    if (got < 0) {
        if (errno != EAGAIN) {
            fail_by_errno(conn);
        }
        return 0;
    }
    conn->ended = got == 0;
    struct net_stats *stats = &conn->net->stats;
    stats->reads++;
    stats->read_bytes += (uint64_t)got;
    stats->replication_read_bytes += conn->handler->replicates ? (uint64_t)got : 0;
    return (size_t)got;
}

/* Returns what the session left of it. */
static struct slice offer(struct conn *conn, struct slice input) {
    size_t expected = conn->expected_bytes;
    conn->expected_bytes = 0;
    bool is_own = buf_used(&conn->in) > 0 && input.ptr == buf_slice(&conn->in).ptr;
    conn->offered_bytes = is_own ? 0 : input.len;
    conn->diverted = false;
    size_t consumed = conn->handler->on_input(conn, conn->session, input);
    conn->offered_bytes = 0;
    assert(consumed <= input.len);
    struct slice left = slice_skip(input, consumed);
    if (conn->diverted) {
        assert(conn->target->filled < left.len);
        left.len -= conn->target->filled;
    } else if (consumed == 0 && conn->expected_bytes == 0) {
        conn->expected_bytes = expected;
    }
    if (left.len > 0 && conn_unsent_bytes(conn) >= CONN_OUT_HIGH_BYTES) {
        /* That is why it left some: it is offered again, even if one write takes all the output. */
        conn->blocked = true;
    }
    if (left.len + conn_target_bytes(conn) > conn->max_input_bytes && conn_takes_input(conn) && !conn->go_on) {
        conn_fail(conn, CLOSE_INPUT_LIMIT);
    }
    return left;
}

/* A small left-over does not hold on to a large buffer. */
static void trim_input(struct conn *conn) {
    struct buf *in = &conn->in;
    size_t left = buf_used(in);
    if (left == 0) {
        buf_deinit(in);
    } else if (left <= CONN_GATHER_BYTES && in->capacity > 4 * CONN_GATHER_BYTES) {
        struct buf small;
        buf_init(&small, in->max_bytes);
        buf_append_slice(&small, buf_slice(in));
        if (!buf_failed(&small)) {
            buf_deinit(in);
            *in = small;
        }
    }
}

static void offer_left_over(struct conn *conn) {
    conn->go_on = false;
    struct buf *in = &conn->in;
    if (buf_used(in) > 0) {
        struct slice left = offer(conn, buf_slice(in));
        size_t consumed = (size_t)(left.ptr - buf_slice(in).ptr);
        buf_truncate(in, consumed + left.len);
        buf_consume(in, consumed);
        trim_input(conn);
    }
}

static bool target_has_room(const struct conn *conn) {
    return conn->target != NULL && conn->target->filled < conn->target->bytes;
}

static size_t clamp(size_t n, size_t least, size_t most) { return n < least ? least : n < most ? n : most; }

static void read_into_target(struct conn *conn) {
    struct conn_target *target = conn->target;
    size_t n = receive(conn, target->to + target->filled,
                       clamp(target->bytes - target->filled, 0, READ_EXPECTED_BYTES));
    target->filled += n;
    if (n > 0) {
        offer_left_over(conn);
    }
}

static void read_into_scratch(struct conn *conn) {
    char *at = conn->net->scratch + CONN_GATHER_BYTES;
    size_t most = __builtin_expect(conn->read_short, 0) ? READ_SHORT_BYTES : CONN_SCRATCH_BYTES;
    conn->read_short = false;
    size_t n = receive(conn, at, most);
    if (n == 0) {
        return;
    }
    size_t before = buf_used(&conn->in);
    if (before > 0) {
        at -= before;
        memcpy(at, conn->in.data + conn->in.start, before);
    }
    struct slice input = slice_of(at, before + n);
    struct slice left = offer(conn, input);
    if (left.len == 0) {
        buf_deinit(&conn->in);
        return;
    }
    buf_reset(&conn->in);
    buf_append_slice(&conn->in, left);
    if (buf_failed(&conn->in)) {
        conn_fail(conn, CLOSE_NO_MEMORY);
    } else if (n == most && target_has_room(conn) && conn_takes_input(conn)) {
        read_into_target(conn); /* the rest is there, too */
    }
}

/* How much to reserve behind a left-over. An expected length is only a claim of the peer's: what is allocated
 * follows what has come. */
static size_t room_to_reserve(size_t used, size_t missing) {
    size_t ahead = used + EXPECTED_AHEAD_BYTES;
    size_t sane = clamp(used * EXPECTED_AHEAD_TIMES, CONN_SCRATCH_BYTES, ahead);
    return clamp(missing, CONN_SCRATCH_BYTES, sane);
}

/* Room behind the left-over, as much of it as is read at once. 0: there is no memory for it. */
static size_t room_to_read(struct conn *conn) {
    struct buf *in = &conn->in;
    size_t used = buf_used(in);
    size_t room = in->capacity - in->end;
    size_t missing = conn->expected_bytes > used ? conn->expected_bytes - used : 0;
    bool reaches_end = missing > 0 && missing <= room;
    if (room < READ_ROOM_BYTES && !reaches_end) {
        room = room_to_reserve(used, missing);
        if (buf_reserve(in, room) == NULL) {
            conn_fail(conn, CLOSE_NO_MEMORY);
            return 0;
        }
    }
    return clamp(room, 0, clamp(missing, CONN_SCRATCH_BYTES, READ_EXPECTED_BYTES));
}

static void read_behind(struct conn *conn) {
    size_t room = room_to_read(conn);
    size_t n = room == 0 ? 0 : receive(conn, conn->in.data + conn->in.end, room);
    if (n > 0) {
        buf_commit(&conn->in, n);
        offer_left_over(conn);
    }
}

void conn_take_input(struct conn *conn, bool readable) {
    if (conn->state == CONN_DRAINING && conn->lingering) {
        if (readable) {
            receive(conn, conn->net->scratch, sizeof(conn->net->scratch));
        }
    } else if (!conn_takes_input(conn)) {
        conn->idle_read = readable;
    } else if (conn->go_on) {
        offer_left_over(conn);
    } else if (readable && !conn->ended) {
        if (__builtin_expect(target_has_room(conn), 0)) {
            read_into_target(conn);
        } else if (buf_used(&conn->in) > CONN_GATHER_BYTES) {
            read_behind(conn);
        } else {
            read_into_scratch(conn);
        }
    }
}
