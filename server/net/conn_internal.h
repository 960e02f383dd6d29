/* conn_internal.h: the inside of a conn and of the net, for conn.c, conn_io.c and net.c only.
 *
 * A conn acts in turns. A turn begins with a deadline or a place in the ready list, calls the session, and ends
 * with one write and with what follows from the new state. Events of the sockets put their conns on the ready
 * list in the order in which the sockets became ready. What is called from outside of a turn never calls the
 * session back (but conn_close): it puts the conn on the ready list, too.
 */
#ifndef KVNODE_SERVER_NET_CONN_INTERNAL_H
#define KVNODE_SERVER_NET_CONN_INTERNAL_H

#include "server/net/conn.h"
#include "server/net/deadlines.h"
#include "server/net/fence.h"
#include "server/net/stream.h"

enum {
    CONN_GATHER_BYTES = 8 << 10
}; /* an input left-over up to this is copied to the scratch buffer, in front of the new */

enum { CONN_SEND_PARTS = 3, CONN_WRITE_BYTES = 512 << 10 /* at most so much is written at one turn */ };

/* Bytes of the output that are their owner's still. */
struct conn_loan {
    struct slice rest;
    size_t before_bytes; /* of the output buffer: they come before it, what is behind them after it */
    const struct conn_lender *lender;
    void *owner;
};

/* What a conn behind a fence holds back. Places are counted from the first byte that the conn ever said. */
enum { CONN_MARKS = 2 };
struct conn_mark {
    uint64_t at; /* what is from here on waits for the ticket */
    struct fence_ticket ticket;
};
struct conn_hold {
    struct link link; /* in the fence's list while there are marks */
    struct conn *conn;
    struct fence *fence;
    uint64_t sent, seen; /* what the socket has taken; up to where the output has been looked at */
    struct conn_mark marks[CONN_MARKS];
    uint8_t count;
    bool quorum; /* it asks for the voters */
};

enum conn_state { CONN_OPEN, CONN_DRAINING, CONN_CLOSED };

struct conn {
    ev_io io;
    struct stream stream;
    struct net *net;
    const struct conn_handler *handler;
    void *session;
    uint64_t id;
    struct buf in;          /* the left-over of the input */
    struct buf out;         /* what the socket has not taken yet */
    struct conn_loan *loan; /* likewise, somewhere in the middle; NULL: none */
    struct conn_hold *hold; /* NULL: all of it may leave */
    size_t max_input_bytes;
    size_t offered_bytes;       /* of input that on_input is at work on, and that is not in `in` */
    size_t expected_bytes;      /* of the input in all, as conn_expect_input said; 0: unknown */
    struct conn_target *target; /* NULL: none */
    struct deadline deadline;
    int64_t taken_ms;     /* when the peer last took output, by the last look */
    int64_t listening_ms; /* when it began to take input, if it does */
    int untaken_bytes;    /* in the socket's buffer, at the last look; INT_MAX: written to since */
    struct link link;     /* in the net's ready list, or closed list */
    char *peer, *local;

    uint8_t state;  /* enum conn_state */
    uint8_t reason; /* why it is drained, or has failed */
    uint8_t armed;  /* EV_READ, EV_WRITE: what the watcher waits for */
    uint8_t events; /* likewise: what has come since the last turn */
    bool connecting : 1;
    bool in_turn : 1;
    bool failed : 1;      /* to be closed at the end of the turn */
    bool paused : 1;      /* by the session */
    bool blocked : 1;     /* the output was over the high mark and is not under the low one yet */
    bool go_on : 1;       /* the left-over is to be offered again although nothing new has come */
    bool unwritable : 1;  /* the socket's buffer is full: EV_WRITE will tell */
    bool over_low : 1;    /* the output was over the low mark: on_room is owed */
    bool want_room : 1;   /* likewise, by conn_want_room */
    bool want_direct : 1; /* on_room is owed when conn_send_direct can send */
    bool ended : 1;       /* the peer's end of stream has been read */
    bool end_told : 1;
    bool lingering : 1; /* drained: waits for the peer's end */
    bool idle_read : 1; /* EV_READ came in this turn and could not be used */
    bool ends_itself : 1;
    bool diverted : 1;   /* conn_read_into has just said where to */
    bool read_short : 1; /* the last input went to a target: what is read next may be for another one */
};

struct registry_slot {
    struct conn *conn; /* NULL: free */
    uint32_t next_free;
};

struct net {
    struct loop *loop;
    struct ev_loop *ev;
    struct loop_hook turns, flush;
    ev_idle busy;       /* active while the ready list has conns, so that the poll does not wait */
    ev_timer clock;     /* active while there are deadlines */
    bool ticked;        /* it has, since the last turns */
    struct link ready;  /* head of the ring of conns that want a turn */
    struct link woken;  /* likewise, behind those: with events of this iteration */
    size_t ready_count; /* in both */
    struct link closed; /* likewise, to be freed before the next poll */
    struct deadlines deadlines;
    struct registry_slot *slots;
    uint32_t slot_count, first_free; /* first_free == slot_count: none */
    uint64_t last_number;            /* high bits of the last id */
    struct net_stats stats;
    struct fence *fence;  /* NULL: none */
    struct buf spare_out; /* lent to the conn whose turn it is */
    struct buf nowhere;   /* takes the output for closed conns: nothing */
    bool stopping;
    char scratch[CONN_GATHER_BYTES + CONN_SCRATCH_BYTES];
};

/* --- conn.c */
void conn_turn(struct conn *conn);
void conn_deadline_turn(struct conn *conn);
void conn_free(struct conn *conn);

/* What the socket has not taken of the output. */
static inline size_t conn_unsent_bytes(const struct conn *conn) {
    return buf_used(&conn->out) + (__builtin_expect(conn->loan != NULL, 0) ? conn->loan->rest.len : 0);
}

/* Of that, what may leave. */
static inline size_t conn_may_leave(const struct conn *conn) {
    const struct conn_hold *hold = conn->hold;
    return __builtin_expect(hold == NULL, 1) || hold->count == 0 ? conn_unsent_bytes(conn)
                                                                 : (size_t)(hold->marks[0].at - hold->sent);
}

/* --- fence.c */
/* Looks at what has been added to the output, and at `more` bytes that are to be written behind it. True:
 * something is held back. Of a conn with a hold only. */
bool conn_mark(struct conn *conn, size_t more);
bool conn_pass_fence(struct conn *conn);  /* a new conn; false: out of memory */
void conn_forget_hold(struct conn *conn); /* nothing if there is none */

/* What has come, and does not lie in the conn's own memory. */
static inline size_t conn_target_bytes(const struct conn *conn) {
    return __builtin_expect(conn->target != NULL, 0) ? conn->target->filled : 0;
}

/* --- conn_large.c */
void conn_write_loan(struct conn *conn); /* as conn_write; there is one */
void conn_give_back(struct conn *conn);  /* nothing if there is none */

/* --- conn_io.c */
bool conn_takes_input(const struct conn *conn);
void conn_listens(struct conn *conn); /* it begins to take input */
/* The conn is closed by the turn that this gives it. The first reason stands. */
void conn_fail(struct conn *conn, enum close_reason reason);
void conn_lend_out(struct conn *conn);    /* the net's spare output buffer, for a turn */
void conn_release_out(struct conn *conn); /* an empty output buffer goes back or is freed */
void conn_write_output(struct conn *conn);
/* What the socket takes now. Most calls of a turn find nothing to write. */
static inline void conn_write(struct conn *conn) {
    if (conn_unsent_bytes(conn) > 0 || buf_failed(&conn->out)) {
        conn_write_output(conn);
    }
}
/* How much the socket took; 0 also when that failed. */
size_t conn_send(struct conn *conn, const char *ptr, size_t n);
size_t conn_send_parts(struct conn *conn, const struct slice parts[CONN_SEND_PARTS]);
bool conn_can_send(const struct conn *conn);
bool conn_room_is_due(const struct conn *conn);
void conn_give_room(struct conn *conn); /* calls on_room if it is due */
void conn_wake_waiters(struct conn *conn);
/* After a write: who waited for it gets a turn. */
static inline void conn_wake_waiting(struct conn *conn) {
    if (conn->blocked || conn->over_low || conn->want_room || conn->want_direct) {
        conn_wake_waiters(conn);
    }
}
void conn_take_input(struct conn *conn, bool readable);

/* --- net.c */
bool net_register(struct net *net, struct conn *conn); /* gives it its id */
void net_forget(struct conn *conn);   /* closed: no id, no turn, no deadline; freed before the poll */
void net_schedule(struct conn *conn); /* a turn in the next iteration */
/* An event has come: a turn in this iteration. To be called in libev's order, last ready first. */
void net_note_event(struct conn *conn);
void net_set_deadline(struct conn *conn, int64_t at_ms);

#endif
