#define _GNU_SOURCE /* POLLRDHUP */

#include "server/net/stream.h"

#include <errno.h>
#include <linux/sockios.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

ssize_t stream_plain_read(int fd, char *to, size_t n) {
    ssize_t got;
    do {
        got = recv(fd, to, n, MSG_DONTWAIT);
    } while (got < 0 && errno == EINTR);
    return got;
}

ssize_t stream_plain_write(int fd, const char *ptr, size_t n) {
    ssize_t sent;
    do {
        sent = send(fd, ptr, n, MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (sent < 0 && errno == EINTR);
    return sent;
}

ssize_t stream_plain_writev(int fd, const struct iovec *parts, int count) {
    struct msghdr message = {.msg_iov = (struct iovec *)parts, .msg_iovlen = (size_t)count};
    ssize_t sent;
    do {
        sent = sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (sent < 0 && errno == EINTR);
    return sent;
}

bool stream_shut(struct stream *stream) {
    if (stream->ops != NULL && !stream->ops->shut(stream)) {
        return false;
    }
    shutdown(stream->fd, SHUT_WR);
    return true;
}

void stream_close(struct stream *stream) {
    if (stream->ops != NULL) {
        stream->ops->close(stream);
    }
    close(stream->fd);
    stream->fd = -1;
}

int stream_untaken_bytes(const struct stream *stream) {
    int n;
    return ioctl(stream->fd, SIOCOUTQ, &n) == 0 ? n : 0;
}

bool stream_peer_is_gone(const struct stream *stream, bool *says_no_more) {
    struct pollfd peer = {.fd = stream->fd, .events = POLLRDHUP};
    *says_no_more = poll(&peer, 1, 0) > 0;
    return *says_no_more && (peer.revents & (POLLHUP | POLLERR)) != 0;
}

int stream_connect_error(const struct stream *stream) {
    int error = 0;
    socklen_t length = sizeof(error);
    return getsockopt(stream->fd, SOL_SOCKET, SO_ERROR, &error, &length) == 0 ? error : errno;
}
