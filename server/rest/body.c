#include "server/rest/body.h"

#include "server/rest/exchange.h"

void rest_send_body(struct exchange *exchange, struct body *body_owned) {
    exchange->session->drain_after_body = !exchange->reply.keep_alive;
    exchange->session->body = body_owned;
    body_owned->kind->go_on(body_owned);
}

void rest_body_ended(struct rest_session *session) {
    session->body = NULL;
    session->on_body_end(session);
}
