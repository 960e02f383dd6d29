/* listener.h: listening TCP sockets of one port. Accepts in bounded rounds; refuses politely at the limits.
 *
 * Over max_clients, or when the process is out of descriptors, a connection is accepted, sent refusal (a
 * complete reply of its protocol) and closed; for the latter the listener keeps one spare descriptor.
 */
#ifndef KVNODE_SERVER_NET_LISTENER_H
#define KVNODE_SERVER_NET_LISTENER_H

#include "server/net/conn.h"

#include <stdint.h>

enum { LISTENER_SOCKETS = 16 };

struct listener;

struct listener_config {
    const char *hosts; /* numeric addresses to bind to, with commas or blanks between them: LISTENER_SOCKETS at
                          most. One behind a '-' is left out where this machine has it not */
    uint16_t port;
    const char *refusal; /* sent to a connection over the limit; may be NULL */
    size_t *clients;     /* the shared count of clients that the limit is about; NULL: no limit */
    const int64_t *max_clients;
    /* fd is non-blocking, with TCP_NODELAY. Takes it over: adopts or closes it. */
    void (*on_accept)(void *context, int fd);
    void *context;
};

/* Binds and listens. NULL: *reason says in one line why ("port 8000 is in use on 127.0.0.1", ...), a static
 * buffer. */
struct listener *listener_create(struct net *net, const struct listener_config *config, const char **reason);
void listener_destroy(struct listener **listener);

#endif
