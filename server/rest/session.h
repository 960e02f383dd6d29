/* session.h: the HTTP front-end: takes connections, answers requests (routes.c) on them, one after the other.
 *
 * A connection and its time limits:
 *
 *               first byte          head whole            answered
 *     waiting -------------> head ------------> body ----------------> waiting, or closed
 *     75 s, then closed     10 s without 1 KB of           (a list is streamed: the input waits)
 *                           progress: 408
 *
 * A body is gathered only for a request that its head has not decided already, of a client that may ask, where
 * one is wanted; all of them together take no more memory than the parameter api-body-memory. Others are
 * answered at the head, and the connection is closed; a small body that nobody wants is passed over.
 *
 * Whatever the state, as long as answers wait to be written the client has to take some of them within 60 s.
 */
#ifndef KVNODE_SERVER_REST_SESSION_H
#define KVNODE_SERVER_REST_SESSION_H

struct command_context;
struct rest_server;

/* context outlives the server. NULL: out of memory. */
struct rest_server *rest_server_create(struct command_context *context);
/* Closes the connections that are left. NULL-safe, nulls it. Not after the net of the context is gone. */
void rest_server_destroy(struct rest_server **server);

/* For listener_config: takes the descriptor over. */
void rest_server_accept(void *rest_server, int fd);

/* A complete response for a connection over the limit. */
extern const char rest_refusal[];

#endif
