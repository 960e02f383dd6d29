/* stream.h: the bytes of a connection, in and out of its socket.
 *
 * The seam under conn and listener: no file above it makes a call on a connected socket's bytes. A stream
 * without ops is plain, and its calls are the system's own. What lies between bytes and socket otherwise (TLS)
 * is a set of ops and their state:
 *
 * - to read it may have to write first, and the other way round. What a read or write that said EAGAIN waits
 * for stands in read_wants and write_wants;
 * - it may hold bytes that it has read from the socket and not handed out. No event of the socket tells of
 * those; stream_pending does;
 * - to say its own end may take more than one call.
 *
 * Embedded in its owner, which watches the socket.
 */
#ifndef KVNODE_SERVER_NET_STREAM_H
#define KVNODE_SERVER_NET_STREAM_H

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

struct stream;

struct stream_ops {
    ssize_t (*read)(struct stream *stream, char *to, size_t n);
    ssize_t (*writev)(struct stream *stream, const struct iovec *parts, int count);
    size_t (*pending)(const struct stream *stream);
    bool (*shut)(struct stream *stream);
    void (*close)(struct stream *stream); /* frees the state; the socket is the stream's to close */
};

struct stream {
    int fd;
    uint8_t read_wants, write_wants; /* EV_READ, EV_WRITE */
    const struct stream_ops *ops;    /* NULL: plain */
    void *state;                     /* of the ops */
};

static inline void stream_init(struct stream *stream, int fd) {
    *stream = (struct stream){.fd = fd, .read_wants = EV_READ, .write_wants = EV_WRITE};
}
void stream_close(struct stream *stream);

ssize_t stream_plain_read(int fd, char *to, size_t n);
ssize_t stream_plain_write(int fd, const char *ptr, size_t n);
ssize_t stream_plain_writev(int fd, const struct iovec *parts, int count);

/* As read(2): 0 at the peer's end; -1 and errno, EAGAIN for not now. */
static inline ssize_t stream_read(struct stream *stream, char *to, size_t n) {
    return __builtin_expect(stream->ops == NULL, 1) ? stream_plain_read(stream->fd, to, n)
                                                    : stream->ops->read(stream, to, n);
}

/* As writev(2), without SIGPIPE. Not all of it: the rest is not taken now. */
static inline ssize_t stream_writev(struct stream *stream, const struct iovec *parts, int count) {
    return __builtin_expect(stream->ops == NULL, 1) ? stream_plain_writev(stream->fd, parts, count)
                                                    : stream->ops->writev(stream, parts, count);
}

static inline ssize_t stream_write(struct stream *stream, const char *ptr, size_t n) {
    const struct iovec part = {.iov_base = (void *)ptr, .iov_len = n};
    return __builtin_expect(stream->ops == NULL, 1) ? stream_plain_write(stream->fd, ptr, n)
                                                    : stream->ops->writev(stream, &part, 1);
}

/* Bytes that can be read although no event of the socket may say so. */
static inline size_t stream_pending(const struct stream *stream) {
    return __builtin_expect(stream->ops == NULL, 1) ? 0 : stream->ops->pending(stream);
}

/* Says that no more will be written. False: not all of that could be said; again when write_wants has come. */
bool stream_shut(struct stream *stream);

/* Of what was written, the bytes that the peer's end has not acknowledged; 0 also when the system cannot tell.
 */
int stream_untaken_bytes(const struct stream *stream);
/* Without reading. *says_no_more: its end of stream has come. */
bool stream_peer_is_gone(const struct stream *stream, bool *says_no_more);
/* A dialled socket has become writable: 0, or the errno for which it is not connected. */
int stream_connect_error(const struct stream *stream);

#endif
