#include "server/rest/session.h"

#include "server/net/fence.h"
#include "server/net/loop.h"
#include "server/rest/body.h"
#include "server/rest/exchange.h"
#include "server/rest/problem.h"
#include "server/settings.h"
#include "server/stats.h"

#include <assert.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    WAITING_MS = 75000,
    HEAD_MS = 10000,
    BODY_MS = 10000,
    PROGRESS_BYTES = 1 << 10, /* of a head or a body: that much buys its time anew */
    STALL_MS = 60000,
    KEPT_BUFFER_BYTES = 64 << 10, /* a buffer of the server that grew larger is given back */
};

#define REFUSAL_BODY                                                                                           \
    "{\"type\":\"about:blank\",\"title\":\"Service Unavailable\",\"status\":503,"                              \
    "\"detail\":\"max number of clients reached\",\"code\":\"ERR\"}\n"
const char rest_refusal[] = "HTTP/1.1 503 Service Unavailable\r\n"
                            "Connection: close\r\n"
                            "Content-Type: application/problem+json\r\n"
                            "Retry-After: 1\r\n"
                            "Content-Length: 120\r\n\r\n" REFUSAL_BODY;
_Static_assert(sizeof(REFUSAL_BODY) - 1 == 120, "the Content-Length above");

static struct loop *loop_of(const struct rest_session *session) { return session->server->context->loop; }

/* --- Time limits --- */

static int64_t now_ms(const struct rest_session *session) { return loop_monotonic_ms(loop_of(session)); }

static int64_t limit_ms(enum http_phase phase) {
    return phase == HTTP_PHASE_HEAD ? HEAD_MS : phase == HTTP_PHASE_BODY ? BODY_MS : WAITING_MS;
}

static void arm(struct rest_session *session, bool for_output, int64_t at_ms) {
    conn_set_deadline(session->conn, at_ms);
    session->received_mark = http_parser_received(&session->parser);
    session->armed_for = http_parser_phase(&session->parser);
    session->for_output = for_output;
}

/* Looked at when what is due from the client would be, were the output taken by now: most of it is written in
 * this very turn. What is too early is put right by really_due_ms. */
static void arm_for_output(struct rest_session *session, int64_t stall_ends_ms) {
    int64_t phase_ends_ms = now_ms(session) + limit_ms(http_parser_phase(&session->parser));
    arm(session, true, stall_ends_ms < phase_ends_ms ? stall_ends_ms : phase_ends_ms);
}

/* What the socket has not taken; a body that has more to write counts. */
static bool has_output(const struct rest_session *session) {
    return session->body != NULL || conn_output_bytes(session->conn) > 0;
}

/* When a client that takes none of the output is given up; early by what this turn has not written yet, and
 * then really_due_ms says so. While a body is being made, it is not the client's turn. */
static int64_t stall_ends_ms(const struct rest_session *session) {
    bool is_made = session->body != NULL && !session->body->kind->waits(session->body);
    return STALL_MS + (is_made ? now_ms(session) : conn_output_taken_ms(session->conn));
}

/* After input or output: a limit for what is due next, unless it stands already. For output it is early rather
 * than asked for at every request: only after a long rest does what is known lie too far back. */
static void arm_deadline(struct rest_session *session) {
    if (has_output(session)) {
        int64_t early_ms = STALL_MS + conn_output_seen_taken_ms(session->conn);
        arm_for_output(session, early_ms > now_ms(session) ? early_ms : stall_ends_ms(session));
        return;
    }
    enum http_phase phase = http_parser_phase(&session->parser);
    bool stands = !session->for_output && session->armed_for == phase;
    bool has_progress = phase == HTTP_PHASE_START || phase == HTTP_PHASE_DONE ||
                        http_parser_received(&session->parser) - session->received_mark >= PROGRESS_BYTES;
    if (!stands || has_progress) {
        arm(session, false, now_ms(session) + limit_ms(phase));
    }
}

/* When the deadline that has come should have been, by what has happened since it was set. */
static int64_t really_due_ms(const struct rest_session *session) {
    if (has_output(session)) {
        return stall_ends_ms(session);
    }
    /* The client has read all, and said nothing since. */
    return session->for_output ? conn_output_taken_ms(session->conn) + limit_ms(session->armed_for) : 0;
}

/* --- Requests --- */

struct slice rest_date(struct rest_server *server) {
    int64_t now_s = loop_now_ms(server->context->loop) / 1000;
    if (now_s != server->date_s) {
        server->date_s = now_s;
        time_http(server->date, now_s * 1000);
    }
    return slice_of(server->date, sizeof(server->date));
}

static void forget_large(struct buf *buf) {
    if (buf->capacity > KEPT_BUFFER_BYTES) {
        buf_deinit(buf);
    } else {
        buf_reset(buf);
    }
}

static void forget_exchange(struct rest_server *server) {
    forget_large(&server->params);
    forget_large(&server->body);
}

static struct exchange exchange_of(struct rest_session *session, const struct http_request *request) {
    return (struct exchange){
        .server = session->server,
        .context = session->server->context,
        .session = session,
        .request = request,
        .reply = {.out = conn_out(session->conn),
                  .date = rest_date(session->server),
                  .http10 = request->http10,
                  .keep_alive = request->keep_alive,
                  .head_only = request->method == HTTP_HEAD},
    };
}

static void answer(struct rest_session *session, const struct http_request *request) {
    struct rest_server *server = session->server;
    struct conn *conn = session->conn;
    struct exchange exchange = exchange_of(session, request);
    server->context->stats->http_requests++;
    rest_dispatch(&exchange);
    forget_exchange(server);
    if (session->body != NULL) {
        conn_pause(conn);
    } else if (!exchange.reply.keep_alive) {
        conn_drain(conn, CLOSE_QUIT);
    }
}

/* A head whose body has not come with it: answered now if that is enough, and the body is refused with it; else
 * waited for. asks: none of the body is here yet, and the client wants to know whether to send it. "A server
 * that responds with a final status code instead of reading the entire request content SHOULD indicate whether
 * it intends to close the connection" (RFC 9110, 10.1.1): it does, for whether the client sends the body then
 * is not said anywhere. */
static void take_head(struct rest_session *session, const struct http_request *head, bool asks) {
    struct http_request request = *head;
    request.keep_alive = false;
    struct exchange exchange = exchange_of(session, &request);
    bool takes_body = rest_takes_body(head), goes_on = rest_admit(&exchange);
    forget_exchange(session->server);
    if (!goes_on) {
        session->server->context->stats->http_requests++;
        conn_drain(session->conn, CLOSE_QUIT);
    } else if (!takes_body && asks) {
        answer(session, &request);
    } else if (!takes_body) {
        http_parser_drop_body(&session->parser, REST_USELESS_BODY_BYTES);
    } else if (asks) {
        buf_append_slice(conn_out(session->conn), SLICE("HTTP/1.1 100 Continue\r\n\r\n"));
    }
}

/* Bodies that are not here whole, of all sessions together. ERR_NONE: there may be more. */
static enum err count_kept_body(struct rest_session *session) {
    struct rest_server *server = session->server;
    size_t before = session->kept_body_bytes, now = http_parser_kept_body(&session->parser);
    size_t most = (size_t)server->context->settings->api_body_memory_bytes;
    session->kept_body_bytes = now;
    server->kept_body_bytes += now - before;
    return now <= before || server->kept_body_bytes <= most ? ERR_NONE
           : now > most                                     ? ERR_BODY_TOO_LARGE
                                                            : ERR_BODIES_TOO_LARGE;
}

/* Answers what could not become a request, and closes. */
static void refuse(struct rest_session *session, enum err err, const char *detail, enum close_reason reason) {
    struct exchange exchange = {
        .server = session->server,
        .context = session->server->context,
        .session = session,
        .reply = {.out = conn_out(session->conn),
                  .date = rest_date(session->server),
                  .head_only = http_parser_is_head(&session->parser)},
    };
    session->server->context->stats->protocol_errors++;
    rest_problem(&exchange, err, detail);
    http_parser_deinit(&session->parser);
    count_kept_body(session); /* others may have its memory at once */
    conn_drain(session->conn, reason);
}

/* --- The connection's events --- */

static size_t on_input(struct conn *conn, void *context, struct slice in) {
    struct rest_session *session = context;
    size_t used = 0;
    session->saw_data = false;
    while (used < in.len && session->body == NULL && !conn_out_full(conn)) {
        struct http_request request;
        size_t n;
        enum http_parse result = http_parser_feed(&session->parser, slice_skip(in, used), &n, &request);
        used += n;
        if (result == HTTP_PARSE_BAD) {
            const char *reason;
            enum err err = http_parser_error(&session->parser, &reason);
            refuse(session, err, reason, CLOSE_PROTOCOL);
            return in.len;
        }
        enum err too_much = count_kept_body(session);
        if (too_much != ERR_NONE) {
            refuse(session, too_much, NULL, CLOSE_QUIT);
            return in.len;
        }
        if (result == HTTP_PARSE_OK) {
            answer(session, &request);
            http_parser_next(&session->parser);
            count_kept_body(session);
            session->armed_for = HTTP_PHASE_START;
        } else if (result == HTTP_PARSE_HEAD) {
            take_head(session, &request, used == in.len && request.expects_continue);
        }
        if (conn_closed(conn)) {
            return in.len;
        }
    }
    if (!session->saw_data) {
        conn_vouch(conn);
    }
    arm_deadline(session);
    return used;
}

static void on_room(struct conn *conn, void *context) {
    (void)conn;
    struct rest_session *session = context;
    if (session->body != NULL) {
        session->body->kind->go_on(session->body);
    }
    arm_deadline(session);
}

static void on_end(struct conn *conn, void *context) {
    struct rest_session *session = context;
    if (session->body != NULL) {
        session->drain_after_body = true;
    } else {
        conn_drain(conn, CLOSE_PEER);
    }
}

static void on_deadline(struct conn *conn, void *context) {
    struct rest_session *session = context;
    int64_t due_ms = really_due_ms(session);
    if (due_ms > now_ms(session) && has_output(session)) {
        arm_for_output(session, due_ms);
    } else if (due_ms > now_ms(session)) {
        arm(session, false, due_ms);
    } else if (has_output(session) || session->armed_for == HTTP_PHASE_START) {
        conn_close(conn, CLOSE_TIMEOUT);
    } else {
        refuse(session, ERR_REQUEST_TIMEOUT, NULL, CLOSE_TIMEOUT);
    }
}

static void on_close(struct conn *conn, void *context, enum close_reason reason) {
    (void)conn;
    (void)reason;
    struct rest_session *session = context;
    struct rest_server *server = session->server;
    if (session->body != NULL) {
        session->body->kind->destroy(session->body);
    }
    server->kept_body_bytes -= session->kept_body_bytes;
    http_parser_deinit(&session->parser);
    if (session->next != NULL) {
        session->next->prev = session->prev;
    }
    if (session->prev != NULL) {
        session->prev->next = session->next;
    } else {
        server->sessions = session->next;
    }
    server->context->stats->clients--;
    server->context->stats->http_clients--;
    free(session);
}

static void on_body_end(struct rest_session *session) {
    if (session->drain_after_body) {
        conn_drain(session->conn, CLOSE_QUIT);
        return;
    }
    arm_deadline(session);
    conn_resume(session->conn);
}

static const struct conn_handler handler = {
    .on_input = on_input,
    .on_room = on_room,
    .on_end = on_end,
    .on_deadline = on_deadline,
    .on_close = on_close,
    .fenced = true,
};

/* --- Life --- */

struct rest_server *rest_server_create(struct command_context *context) {
    struct rest_server *server = calloc(1, sizeof(*server));
    if (server != NULL) {
        server->context = context;
        server->date_s = -1;
        buf_init(&server->params, LIMIT_HTTP_TARGET_BYTES);
        buf_init(&server->body, LIMIT_HTTP_BODY_BYTES);
    }
    return server;
}

void rest_server_destroy(struct rest_server **server) {
    if (*server == NULL) {
        return;
    }
    while ((*server)->sessions != NULL) {
        conn_close((*server)->sessions->conn, CLOSE_SHUTDOWN);
    }
    buf_deinit(&(*server)->params);
    buf_deinit(&(*server)->body);
    free(*server);
    *server = NULL;
}

void rest_server_accept(void *rest_server, int fd) {
    struct rest_server *server = rest_server;
    struct rest_session *session = calloc(1, sizeof(*session));
    if (session == NULL) {
        close(fd);
        return;
    }
    session->server = server;
    session->on_body_end = on_body_end;
    http_parser_init(&session->parser);
    session->conn = conn_adopt(server->context->net, fd, &handler, session, 2 * (size_t)CONN_SCRATCH_BYTES);
    if (session->conn == NULL) {
        free(session);
        close(fd);
        return;
    }
    session->next = server->sessions;
    if (session->next != NULL) {
        session->next->prev = session;
    }
    server->sessions = session;
    server->context->stats->http_connections++;
    server->context->stats->http_clients++;
    server->context->stats->clients++;
    arm_deadline(session);
}
