#include "server/tools/tcp.h"

#include "server/net/socket.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SILENCE_MS = 60000 };

bool tcp_fail(struct tcp *tcp, const char *what, int error) {
    snprintf(tcp->reason, sizeof(tcp->reason), "%s:%u %s%s%s", tcp->host, tcp->port, what,
             error == 0 ? "" : ": ", error == 0 ? "" : strerror(error));
    return false;
}

bool tcp_wait(struct tcp *tcp, short events, short *got) {
    struct pollfd poller = {.fd = tcp->fd, .events = events};
    int n;
    while ((n = poll(&poller, 1, SILENCE_MS)) < 0 && errno == EINTR) {
    }
    *got = poller.revents;
    if (n == 0) {
        return tcp_fail(tcp, "does not answer", 0);
    }
    return n > 0 || tcp_fail(tcp, "cannot be waited for", errno);
}

bool tcp_dial(struct tcp *tcp, const char *host, uint16_t port) {
    char address[LIMIT_HOST_BYTES + 1];
    short got;
    int error = 0;
    socklen_t n = sizeof(error);
    snprintf(tcp->host, sizeof(tcp->host), "%s", host);
    tcp->port = port;
    if (!socket_resolve_host(host, address)) {
        return tcp_fail(tcp, "is not known by that name", 0);
    }
    tcp->fd = socket_connect(address, port);
    if (tcp->fd < 0) {
        return tcp_fail(tcp, "cannot be reached", errno);
    }
    socket_set_stream_options(tcp->fd);
    if (!tcp_wait(tcp, POLLOUT, &got)) {
        return false;
    }
    if (getsockopt(tcp->fd, SOL_SOCKET, SO_ERROR, &error, &n) != 0 || error != 0) {
        return tcp_fail(tcp, "cannot be reached", error);
    }
    return true;
}

void tcp_close(struct tcp *tcp) {
    if (tcp->fd >= 0) {
        close(tcp->fd);
    }
    tcp->fd = -1;
}
