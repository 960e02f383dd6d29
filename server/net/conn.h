/* conn.h: one non-blocking stream socket on the loop: input and output buffers, back-pressure, one way to
 * close.
 *
 *             conn_drain (flush what is queued, then close)
 *     OPEN ----------------------------------------------> DRAINING
 *       | error, conn_close                                  | all written and the peer's end seen, error,
 *       |                                                    | 5 s in which the peer took nothing
 *       '------------------------> CLOSED <------------------'
 *                                    |  on_close is called at once, memory is freed before the next poll
 *
 * DRAINING writes what is queued, says its own end of stream, and discards what the peer still sends until
 * CONN_LINGER_MS after it took the last of the output: closing at once would reset the connection, and the last
 * reply might be lost with it.
 *
 * What a session must know: bytes arrive by on_input; replies are appended to conn_out() and written when
 * on_input returns (or at conn_flush, from elsewhere). A conn whose output is over CONN_OUT_HIGH_BYTES, or that
 * is paused, does not read and does not call on_input; it goes on by itself when the output has been drained
 * under CONN_OUT_LOW_BYTES, or at conn_resume, with what input was left. An idle conn owns no buffers: reads go
 * to a scratch buffer of the net, and only what on_input leaves is copied.
 * What is large can be read to where its session wants it (conn_read_into).
 */
#ifndef KVNODE_SERVER_NET_CONN_H
#define KVNODE_SERVER_NET_CONN_H

#include "protocol/buf.h"
#include "protocol/limits.h"
#include "server/net/loop.h"

enum {
    CONN_OUT_HIGH_BYTES = 1 << 20,
    CONN_OUT_LOW_BYTES = 256 << 10,
    CONN_SCRATCH_BYTES = 128 << 10, /* at most so much is read, and handed to on_input, at one wake-up, but for
                                       what is expected (conn_expect_input, conn_read_into) */
    CONN_DRAIN_MS = 5000,           /* without progress of the output */
    CONN_LINGER_MS = 1000,          /* likewise */
};
/* Over it a conn is closed (OUTPUT_LIMIT). One reply may be as long: JSON says a byte in at most 6. */
#define CONN_OUT_MAX_BYTES (CONN_OUT_HIGH_BYTES + 6 * (LIMIT_KEY_BYTES + LIMIT_VALUE_BYTES))

/* Why a conn was closed: name and log text in one table (close_reasons.def). */
enum close_reason {
#define CLOSE_REASON(name, text) CLOSE_##name,
#include "server/net/close_reasons.def"
#undef CLOSE_REASON
};
const char *close_reason_text(enum close_reason reason);

struct conn;
struct net;

struct conn_handler {
    /* in: all unread input, borrowed until the return. Returns how much of it is consumed (0 to in.len). What
     * is left comes again, with more behind it, when more has arrived, or when the conn was blocked or paused
     * and goes on. */
    size_t (*on_input)(struct conn *conn, void *session, struct slice in);
    /* The output fell under the low mark after it was over it, or after conn_want_room. May be NULL. */
    void (*on_room)(struct conn *conn, void *session);
    /* The peer sent its end of stream; all input has been offered. NULL: the conn is drained, then closed.
     * Otherwise the session drains or closes it, now or when the answers that it still owes are written. */
    void (*on_end)(struct conn *conn, void *session);
    /* The deadline has passed. NULL: the conn is closed (TIMEOUT). */
    void (*on_deadline)(struct conn *conn, void *session);
    /* A conn_dial has connected. NULL for accepted ones. */
    void (*on_connected)(struct conn *conn, void *session);
    /* The last call; the session frees itself. conn is still readable (conn_peer) but takes nothing any more.
     */
    void (*on_close)(struct conn *conn, void *session, enum close_reason reason);
    bool replicates; /* its bytes are counted as replication's besides */
    bool fenced;     /* its output passes the net's fence, if there is one: see fence.h */
};

/* What all conns of a loop share: scratch, the registry of ids, counters. */
struct net_stats {
    uint64_t accepted, refused, reads, writes, read_bytes, written_bytes;
    uint64_t replication_read_bytes, replication_written_bytes; /* of these */
    size_t open;
};
struct net *net_create(struct loop *loop);
void net_destroy(struct net **net); /* closes all that is left (SHUTDOWN) */
/* Every conn that is left writes what is queued and is closed: for the end of the process. But see
 * conn_ends_itself. */
void net_drain_all(struct net *net, enum close_reason reason);
struct loop *net_loop(const struct net *net);
const struct net_stats *net_stats(const struct net *net);
void net_count_refused(struct net *net); /* for listeners */

/* Takes fd (non-blocking) over; on failure (NULL: out of memory) fd remains the caller's. session is passed to
 * every call. max_input_bytes bounds unread input that on_input has left: over it the conn is closed
 * (INPUT_LIMIT). */
struct conn *conn_adopt(struct net *net, int fd, const struct conn_handler *handler, void *session,
                        size_t max_input_bytes);
/* Starts to connect to a numeric address; on_connected or on_close follows, never before this returns. NULL:
 * refused at once (errno). */
struct conn *conn_dial(struct net *net, const char *host, uint16_t port, const struct conn_handler *handler,
                       void *session, size_t max_input_bytes);

uint64_t conn_id(const struct conn *conn); /* unique in the process, never reused */
struct conn *conn_find(const struct net *net,
                       uint64_t id); /* NULL: gone or closed; for answers that come later */
struct net *conn_net(const struct conn *conn);
const char *conn_peer(struct conn *conn);  /* "127.0.0.1:4711"; valid while the conn is */
const char *conn_local(struct conn *conn); /* its own end */
int conn_fd(const struct conn *conn);      /* its number, for people and for options of the socket */
/* Asked of the socket, for a conn that does not read. *says_no_more: its end of stream has come. */
bool conn_peer_is_gone(const struct conn *conn, bool *says_no_more);
bool conn_closed(const struct conn *conn); /* CLOSED or DRAINING: no reply will be taken */

/* Only conn_close calls on_close before it returns: what the functions below find wrong (a write error, too
 * much output) closes the conn in its next turn on the loop. Output for a conn that is closed or drained goes
 * nowhere. */
struct buf *conn_out(struct conn *conn);
/* When the peer last took some of the output, as far as that is known, in monotonic ms. The peer's end of the
 * connection says so byte by byte, long before its socket's buffer has room again: a slow link makes progress.
 */
int64_t conn_output_taken_ms(struct conn *conn);
/* The same without asking the system: it may have been later. */
int64_t conn_output_seen_taken_ms(const struct conn *conn);
/* From when on the peer's silence counts. It does not while this side is not reading: paused by its session, or
 * because its own output is full; but then the peer has to take some of that. */
int64_t conn_listening_since_ms(struct conn *conn);
size_t conn_output_bytes(const struct conn *conn);  /* not yet written, borrowed or not */
size_t conn_pending_bytes(const struct conn *conn); /* the same, and input not yet consumed */
size_t conn_input_room(const struct conn *conn);    /* what else the buffer would take that has its input */
/* The output is over the high mark: stop producing, consume no more input, return. */
static inline bool conn_out_full(const struct conn *conn) {
    return conn_output_bytes(conn) >= CONN_OUT_HIGH_BYTES;
}
void conn_flush(
    struct conn *conn); /* writes what it can now; needed only outside of this conn's own callbacks */
/* Writes straight from ptr when nothing is queued before it; returns how many bytes the socket took. When that
 * is not all of them, on_room is called when the socket takes more and nothing is queued. */
size_t conn_send_direct(struct conn *conn, const char *ptr, size_t n);
/* From here on the copy into the output costs more than a system call of its own. */
enum { CONN_LARGE_BYTES = 64 << 10 };
/* Keeps its memory as it is while a conn has it on loan. */
struct conn_lender {
    void (*lend)(void *owner);
    void (*give_back)(void *owner);
};
/* Appends large and then tail to the output, and writes some of it now, large straight from where it is. What
 * is not taken is borrowed from its owner, when it is much and nothing else is on loan; else it is copied.
 * lender NULL: always. */
void conn_write_large(struct conn *conn, struct slice large, struct slice tail,
                      const struct conn_lender *lender, void *owner);
void conn_want_room(struct conn *conn); /* call on_room once when the output is under the low mark */

/* A hint that the input is incomplete and about n bytes long in all: reserved in one piece as far as it is
 * sane. */
void conn_expect_input(struct conn *conn, size_t n);

/* Where input is read to instead of to the conn's own memory, until it is full: so much that copying it would
 * cost. The caller's, who keeps it until conn_read_into says another. */
struct conn_target {
    char *to;
    size_t bytes, filled;
};
/* The next bytes of the input go to target; those behind them to the input that on_input has left, as if there
 * had been none in between. on_input is called for what has come to either. Only during on_input, which leaves
 * some and consumes nothing behind it; the last `filled` bytes of its input have been copied to target and are
 * taken from it. NULL: no more of them. */
void conn_read_into(struct conn *conn, struct conn_target *target);

void conn_pause(struct conn *conn); /* no more on_input until conn_resume; a request waits for its answer */
/* Flushes, then goes on with the input that is left (on the next iteration). Of a conn that is not paused:
 * offers it again, for a session that stopped in the middle on its own account. */
void conn_resume(struct conn *conn);

void conn_set_deadline(struct conn *conn, int64_t monotonic_ms); /* 0: none. Checked every 100 ms */

/* net_drain_all leaves it alone: its session drains it when it has said all. */
void conn_ends_itself(struct conn *conn);
void conn_drain(struct conn *conn, enum close_reason reason);
void conn_close(struct conn *conn, enum close_reason reason);

#endif
