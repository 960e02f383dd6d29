/* exchange.h: what the parts of the HTTP front-end share: one request with its reply, and where both live. */
#ifndef KVNODE_SERVER_REST_EXCHANGE_H
#define KVNODE_SERVER_REST_EXCHANGE_H

#include "protocol/http_reply.h"
#include "protocol/http_request.h"
#include "protocol/time_text.h"
#include "server/context.h"

struct body;
struct rest_session;

struct rest_server {
    struct command_context *context;
    struct buf params; /* what had to be decoded of the query of the request that is being answered */
    struct buf body;   /* a body that is written before its length is known; empty between exchanges */
    struct rest_session *sessions;
    size_t kept_body_bytes; /* of all sessions: bodies that are not here whole yet */
    int64_t date_s;         /* Unix seconds that date says */
    char date[TIME_HTTP_BYTES];
};

struct rest_session {
    struct rest_server *server;
    struct conn *conn;
    struct rest_session *next, *prev;
    struct body *body;                                 /* a long answer that is being sent; owned; NULL: none */
    void (*on_body_end)(struct rest_session *session); /* the session goes on: session.c */
    struct http_parser parser;
    enum http_phase armed_for; /* what the deadline is about, unless for_output */
    bool for_output;           /* the deadline is about the client's reading */
    bool drain_after_body;     /* the client wants no more answers */
    bool saw_data;             /* a request of this turn */
    bool asks_quorum;          /* the last one that said what its answer waits for */
    size_t received_mark;      /* bytes of the request when the deadline was set */
    size_t kept_body_bytes;    /* as counted in the server's */
};

/* Lives for the call of a handler. */
struct exchange {
    struct rest_server *server;
    const struct command_context *context;
    struct rest_session *session;
    const struct http_request *request;
    struct http_reply reply;
    bool any_copy; /* it takes any: admission.h */
};

/* Answers the request: exactly one reply is on reply.out afterwards, or its body has begun
 * (rest_send_body). */
typedef void rest_handler(struct exchange *exchange);

/* What a head decides, before there is a body. False: the answer is written. */
typedef bool rest_check(struct exchange *exchange);

/* routes.c: finds the handler and calls it, or says that there is none. */
void rest_dispatch(struct exchange *exchange);
/* For a request of which only the head is there: false when that is enough to answer it, and it is answered. */
bool rest_admit(struct exchange *exchange);
/* Whether what is asked for has a use for a body. */
bool rest_takes_body(const struct http_request *request);
/* To others a body may come along, and is passed over; but not a longer one. */
enum { REST_USELESS_BODY_BYTES = 64 << 10 };

/* The time for a Date field. */
struct slice rest_date(struct rest_server *server);

/* reply.c: a JSON reply of status 200 whose body is server->body; empties it. fields: more header lines, each
 * with CR LF. */
void rest_reply_json(struct exchange *exchange, int status, struct slice fields);

#endif
