/* tcp.h: a connection of a tool: it waits as long as it takes, but not for one that says nothing. */
#ifndef KVNODE_SERVER_TOOLS_TCP_H
#define KVNODE_SERVER_TOOLS_TCP_H

#include "protocol/limits.h"
#include "protocol/slice.h"

#include <stdint.h>

enum { TCP_REASON_BYTES = 1024 };

/* Embedded in its owner, zero but for fd, which is -1. */
struct tcp {
    int fd; /* non-blocking */
    char host[LIMIT_HOST_BYTES + 1];
    uint16_t port;
    char reason[TCP_REASON_BYTES]; /* one line */
};

/* Each returns false when it fails: reason says why. */
bool tcp_dial(struct tcp *tcp, const char *host, uint16_t port);
bool tcp_wait(struct tcp *tcp, short events, short *got);    /* as poll has them */
bool tcp_fail(struct tcp *tcp, const char *what, int error); /* "host:port what: error"; error 0: none */
void tcp_close(struct tcp *tcp);

#endif
