#include "server/rest/problem.h"

void rest_reply_json(struct exchange *exchange, int status, struct slice fields) {
    struct buf *body = &exchange->server->body;
    if (buf_failed(body)) {
        buf_reset(body);
        rest_problem(exchange, ERR_NO_MEMORY, NULL);
        return;
    }
    http_reply_start(&exchange->reply, status);
    http_reply_field(&exchange->reply, HTTP_FIELD("Content-Type: application/json"));
    http_reply_field(&exchange->reply, fields);
    http_reply_end_with_length(&exchange->reply, buf_used(body));
    http_reply_body(&exchange->reply, buf_slice(body));
    buf_reset(body);
}
