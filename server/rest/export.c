/* export.c: GET /export: all that the store holds, as the lines of a state (protocol/line.h) and END, streamed
 * in slices; the client's reading holds it back. A key that is written meanwhile is there once, as it was or as
 * it is. */
#include "protocol/line.h"
#include "server/dispatch/admit.h"
#include "server/net/conn.h"
#include "server/net/loop.h"
#include "server/peers/replicated_store.h"
#include "server/rest/body.h"
#include "server/rest/handlers.h"
#include "server/rest/problem.h"
#include "server/store/keyspace.h"

#include <stdlib.h>

/* A slice is over after so much, or so many steps of the table's cursor; one step may give more, for a bucket
 * is never cut. */
enum { BYTES_A_SLICE = 32 << 10, STEPS_A_SLICE = 256 };

struct export {
    struct body body;
    struct task task;
    struct loop *loop;
    struct keyspace *keyspace;
    const struct history *history;
    struct rest_session *session;
    struct http_reply reply;
    uint64_t cursor, count;
};

/* Writes one chunk; false: it was the last one. */
static bool write_chunk(struct export *export) {
    struct buf *out = export->reply.out;
    size_t mark = http_chunk_begin(&export->reply), before = buf_used(out);
    bool more = true;
    for (size_t steps = 0; more && steps < STEPS_A_SLICE && buf_used(out) - before < BYTES_A_SLICE; steps++) {
        export->cursor = replicated_store_scan(export->keyspace, export->cursor, false, out, &export->count);
        more = export->cursor != 0 && !buf_failed(out);
    }
    if (!more) {
        line_end(out, export->count, history_index(export->history));
    }
    http_chunk_end(&export->reply, mark);
    return more;
}

static struct export *export_of(const struct body *body) {
    return (struct export *)(void *)((const char *)body - offsetof(struct export, body));
}

static void go_on(struct body *body) {
    struct export *export = export_of(body);
    task_start(export->loop, &export->task);
}

static bool waits(const struct body *body) { return !task_active(&export_of(body)->task); }

static void destroy(struct body *body) {
    struct export *export = export_of(body);
    task_stop(export->loop, &export->task);
    keyspace_unpin(export->keyspace);
    free(export);
}

static const struct body_kind kind = {.go_on = go_on, .waits = waits, .destroy = destroy};

static bool step(void *context) {
    struct export *export = context;
    struct rest_session *session = export->session;
    struct conn *conn = session->conn;
    if (conn_closed(conn)) {
        return false; /* on_close follows and ends it */
    }
    export->reply.out = conn_out(conn);
    if (!write_chunk(export)) {
        http_chunk_last(&export->reply);
        destroy(&export->body);
        rest_body_ended(session);
        return false;
    }
    conn_flush(conn);
    if (conn_out_full(conn)) {
        conn_want_room(conn);
        return false;
    }
    return true;
}

static struct export *create(struct exchange *exchange) {
    struct export *export = calloc(1, sizeof(*export));
    if (export == NULL) {
        return NULL;
    }
    export->body.kind = &kind;
    export->task = (struct task){.step = step, .context = export};
    export->loop = exchange->context->loop;
    export->keyspace = exchange->context->keyspace;
    export->history = exchange->context->history;
    export->session = exchange->session;
    export->reply = exchange->reply;
    keyspace_pin(export->keyspace);
    return export;
}

void rest_export(struct exchange *exchange) {
    const struct demand demand = {.data = true};
    enum err err = admit(exchange->context, &demand, NULL);
    if (err != ERR_NONE) {
        rest_problem_of_route(exchange, err, NULL);
        return;
    }
    exchange->reply.keep_alive &= !exchange->reply.http10; /* the body of HTTP/1.0 ends with the connection */
    struct export *export = exchange->reply.head_only ? NULL : create(exchange);
    if (export == NULL && !exchange->reply.head_only) {
        rest_problem(exchange, ERR_NO_MEMORY, NULL);
        return;
    }
    http_reply_start(&exchange->reply, 200);
    http_reply_field(&exchange->reply, HTTP_FIELD("Content-Type: application/octet-stream"));
    http_reply_end_streamed(&exchange->reply);
    if (export != NULL) {
        rest_send_body(exchange, &export->body);
    }
}
