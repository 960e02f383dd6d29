/* export.c: GET /export: all that the store holds, as the lines of a state (protocol/line.h) and END, streamed
 * in slices; the client's reading holds it back. A key that is written meanwhile is there once, as it was or as
 * it is. */
#include "protocol/line.h"
#include "server/peers/replicated_store.h"
#include "server/rest/admission.h"
#include "server/rest/handlers.h"
#include "server/rest/problem.h"
#include "server/rest/streamed.h"

#include <stdlib.h>

/* A slice is over after so much, or so many steps of the table's cursor; one step may give more, for a bucket
 * is never cut. */
enum { BYTES_A_SLICE = 32 << 10, STEPS_A_SLICE = 256 };

struct export {
    struct streamed streamed;
    const struct history *history;
    uint64_t cursor, count;
};

static bool write_slice(struct streamed *streamed) {
    struct export *export = (struct export *)streamed;
    struct buf *out = streamed->reply.out;
    size_t before = buf_used(out);
    bool more = true;
    for (size_t steps = 0; more && steps < STEPS_A_SLICE && buf_used(out) - before < BYTES_A_SLICE; steps++) {
        export->cursor = replicated_store_export(streamed->keyspace, export->cursor, out, &export->count);
        more = export->cursor != 0 && !buf_failed(out);
    }
    if (!more) {
        line_end(out, export->count, history_index(export->history));
    }
    return more;
}

static struct export *create(const struct exchange *exchange) {
    struct export *export = calloc(1, sizeof(*export));
    if (export != NULL) {
        streamed_init(&export->streamed, exchange, write_slice);
        export->history = exchange->context->history;
    }
    return export;
}

void rest_export(struct exchange *exchange) {
    if (!rest_read_query(exchange, NULL, 0) || !rest_admits(exchange, (struct demand){.data = true})) {
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
        rest_send_body(exchange, &export->streamed.body);
    }
}
