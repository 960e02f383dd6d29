/* http_client.h: the other end of kvnode's HTTP, for the tools: one connection, requests in pipelines, answers
 * in their order. It blocks: a tool has nothing else to do. */
#ifndef KVNODE_SERVER_TOOLS_HTTP_CLIENT_H
#define KVNODE_SERVER_TOOLS_HTTP_CLIENT_H

#include "protocol/buf.h"
#include "server/tools/tcp.h"
#include "server/tools/url.h"

#include <llhttp.h>

struct http_answer {
    int status;
    struct slice location; /* of a redirect */
    struct slice detail;   /* of a problem: what a node says of it; else empty */
};

/* Each returns false when there is no use in going on. */
struct http_client_events {
    bool (*on_body)(void *context, struct slice piece); /* of an answer of 200; NULL: dropped */
    bool (*on_answer)(void *context, const struct http_answer *answer);
};

/* Embedded in its owner. */
struct http_client {
    struct tcp tcp; /* its reason is this one's */
    struct buf out; /* requests go here (http_client_request) */
    bool is_over;   /* the node has said that it closes: what is not answered yet was not done
                       (http_client_reopen) */

    /* Private. */
    struct url url;
    uint64_t wanted, answered;
    const struct http_client_events *events;
    void *context;
    llhttp_t parser;
    llhttp_settings_t settings;
    struct buf field, location, body;
    bool field_ended, is_refused;
};

/* Connects. False: reason is one line. http_client_close is due in every case. */
bool http_client_open(struct http_client *client, const struct url *url,
                      const struct http_client_events *events, void *context);
void http_client_close(struct http_client *client);

/* Begins a request in out with all the header fields that it needs; its body, of so many bytes, is to be
 * appended there. */
void http_client_request(struct http_client *client, const char *method, struct slice target, const char *type,
                         size_t body_bytes);
/* Once it is over: another connection, with nothing asked. False: reason. */
bool http_client_reopen(struct http_client *client);
/* Sends all of out, and reads until everything is answered, or it is over. False: reason is one line; "" when
 * an event has ended it. */
bool http_client_run(struct http_client *client);

#endif
