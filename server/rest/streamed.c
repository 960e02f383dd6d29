#include "server/rest/streamed.h"

#include "server/net/conn.h"
#include "server/rest/exchange.h"
#include "server/store/keyspace.h"

#include <stdlib.h>

static struct streamed *streamed_of(const struct body *body) {
    return (struct streamed *)(void *)((const char *)body - offsetof(struct streamed, body));
}

static void go_on(struct body *body) {
    struct streamed *streamed = streamed_of(body);
    task_start(streamed->loop, &streamed->task);
}

static bool waits(const struct body *body) { return !task_active(&streamed_of(body)->task); }

static void destroy(struct body *body) {
    struct streamed *streamed = streamed_of(body);
    task_stop(streamed->loop, &streamed->task);
    keyspace_unpin(streamed->keyspace);
    free(streamed);
}

static const struct body_kind kind = {.go_on = go_on, .waits = waits, .destroy = destroy};

static bool write_chunk(struct streamed *streamed) {
    size_t mark = http_chunk_begin(&streamed->reply);
    bool more = streamed->chunk(streamed);
    http_chunk_end(&streamed->reply, mark);
    return more;
}

static bool step(void *context) {
    struct streamed *streamed = context;
    struct rest_session *session = streamed->session;
    struct conn *conn = session->conn;
    if (conn_closed(conn)) {
        return false; /* on_close follows and ends it */
    }
    streamed->reply.out = conn_out(conn);
    if (!write_chunk(streamed)) {
        http_chunk_last(&streamed->reply);
        destroy(&streamed->body);
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

void streamed_init(struct streamed *streamed, const struct exchange *exchange,
                   bool (*chunk)(struct streamed *streamed)) {
    *streamed = (struct streamed){
        .body = {.kind = &kind},
        .task = {.step = step, .context = streamed},
        .loop = exchange->context->loop,
        .keyspace = exchange->context->keyspace,
        .session = exchange->session,
        .reply = exchange->reply,
        .chunk = chunk,
    };
    keyspace_pin(streamed->keyspace);
}

bool streamed_is_full(const struct streamed *streamed) { return conn_out_full(streamed->session->conn); }
