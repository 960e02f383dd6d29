#include "server/rest/problem.h"

#include "cluster/membership.h"
#include "cluster/routing.h"
#include "protocol/json_text.h"
#include "server/stats.h"

#include <stdio.h>

void rest_problem_with(struct exchange *exchange, enum err err, const char *detail, struct slice fields) {
    int status = err_http_status(err);
    struct buf *body = &exchange->server->body;
    buf_append_text(body, "{\"type\":\"about:blank\",\"title\":\"");
    buf_append_text(body, http_status_title(status));
    buf_append_text(body, "\",\"status\":");
    buf_append_i64(body, status);
    buf_append_text(body, ",\"detail\":");
    json_text_write(body, slice_from_text(detail == NULL ? err_text(err) : detail));
    buf_append_text(body, ",\"code\":\"");
    buf_append_text(body, err_code(err));
    buf_append_text(body, "\"}\n");

    const struct http_reply *reply = &exchange->reply;
    http_reply_start(reply, status);
    http_reply_field(reply, HTTP_FIELD("Content-Type: application/problem+json"));
    if (status == 503) {
        http_reply_field(reply, HTTP_FIELD("Retry-After: 1"));
    }
    http_reply_field(reply, fields);
    http_reply_end_with_length(reply, buf_used(body));
    http_reply_body(reply, buf_slice(body));
    buf_reset(body);
}

void rest_problem(struct exchange *exchange, enum err err, const char *detail) {
    rest_problem_with(exchange, err, detail, SLICE(""));
}

/* 307, so that the method and the body are kept (RFC 9110, 15.4.8); the target as it came. */
void rest_redirect(struct exchange *exchange, const struct member *to, const char *detail) {
    bool is_v6 = strchr(to->host, ':') != NULL;
    struct slice request_target = exchange->request->target;
    struct buf fields;
    buf_init(&fields, LIMIT_HTTP_TARGET_BYTES + LIMIT_HOST_BYTES + 64);
    buf_printf(&fields, is_v6 ? "Location: http://[%s]:%u" : "Location: http://%s:%u", to->host,
               (unsigned)to->api_port);
    buf_append_slice(&fields, request_target);
    buf_append_slice(&fields, SLICE("\r\n"));

    exchange->context->stats->redirects++;
    if (buf_failed(&fields)) {
        rest_problem(exchange, ERR_NO_MEMORY, NULL);
    } else {
        rest_problem_with(exchange, ERR_MOVED, detail, buf_slice(&fields));
    }
    buf_deinit(&fields);
}

static void redirect_to_owner(struct exchange *exchange, const struct routing_answer *answer) {
    const struct member *target = answer->target;
    char detail[LIMIT_NODE_ID_BYTES + LIMIT_HOST_BYTES + 96];
    snprintf(detail, sizeof(detail), "slot %u is answered by %s, the leader of group %u, at %s:%u",
             (unsigned)answer->slot, target->id, (unsigned)target->group, target->host,
             (unsigned)target->api_port);
    rest_redirect(exchange, target, detail);
}

void rest_problem_of_route(struct exchange *exchange, enum err err, const struct routing_answer *answer) {
    if (err == ERR_MOVED) {
        redirect_to_owner(exchange, answer);
        return;
    }
    rest_problem(exchange, err, err == ERR_LOADING ? "this node has not got the data of its group yet" : NULL);
}
