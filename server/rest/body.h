/* body.h: what sends a long answer in steps: a list of keys, and whatever else is not made at once. The session
 * owns it while it lasts, takes no other request meanwhile, and knows nothing else of it.
 *
 * A body writes to the conn of its session in slices of a task of its own. When the output is full it asks for
 * room (conn_want_room) and waits. At its end it says rest_body_ended, and destroys itself.
 */
#ifndef KVNODE_SERVER_REST_BODY_H
#define KVNODE_SERVER_REST_BODY_H

#include <stdbool.h>

struct body;

struct body_kind {
    void (*go_on)(struct body *body);       /* there is room for output again */
    bool (*waits)(const struct body *body); /* it goes on only when the client has taken some of the output */
    void (*destroy)(struct body *body);     /* its connection is gone */
};

/* Embedded in what the kind is of. */
struct body {
    const struct body_kind *kind;
};

struct exchange;
struct rest_session;

/* The head of the answer is written, and body follows; the session owns it. */
void rest_send_body(struct exchange *exchange, struct body *body_owned);
/* The body of the session has ended and is gone; the connection goes on. */
void rest_body_ended(struct rest_session *session);

#endif
