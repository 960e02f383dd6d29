#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* accept4 */
#endif
#include "server/net/listener.h"

#include "server/net/socket.h"
#include "server/net/stream.h"

#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    ROUND = 64,        /* connections accepted at one wake-up */
    REFUSED_READS = 4, /* reads that a refused connection's input is discarded by */
    RECOVERY_MS = 100, /* pause after an accept that failed for want of something */
    DISCARD_BYTES = 4096,
};

struct listener {
    struct net *net;
    struct listener_config config;   /* hosts is not kept */
    ev_io sockets[LISTENER_SOCKETS]; /* each with its own descriptor */
    size_t socket_count;
    ev_timer recovery;
    int spare_fd; /* given up to refuse a connection when there are no descriptors left; -1: lost */
};

static int open_spare(void) { return open("/dev/null", O_RDONLY | O_CLOEXEC); }

/* What the peer has sent already must be read: closing a socket with unread input resets the connection, and
 * the refusal may be lost with it. */
static void discard_input(struct stream *stream) {
    char scratch[DISCARD_BYTES];
    for (int i = 0; i < REFUSED_READS; i++) {
        if (stream_read(stream, scratch, sizeof(scratch)) <= 0) {
            return;
        }
    }
}

static void refuse(struct listener *listener, int fd) {
    const char *text = listener->config.refusal;
    struct stream stream;
    stream_init(&stream, fd);
    net_count_refused(listener->net);
    if (text != NULL) {
        discard_input(&stream);
        /* A new connection's send buffer is empty: a short text fits, or the peer is gone. */
        (void)stream_write(&stream, text, strlen(text));
        stream_shut(&stream);
        discard_input(&stream);
    }
    stream_close(&stream);
}

static bool limit_reached(const struct listener_config *config) {
    return config->clients != NULL && *config->clients >= (size_t)*config->max_clients;
}

static void pause_accepting(struct listener *listener) {
    struct ev_loop *ev = loop_ev(net_loop(listener->net));
    for (size_t i = 0; i < listener->socket_count; i++) {
        ev_io_stop(ev, &listener->sockets[i]);
    }
    ev_timer_set(&listener->recovery, RECOVERY_MS / 1000.0, 0.0);
    ev_timer_start(ev, &listener->recovery);
}

static void on_recovery(struct ev_loop *ev, ev_timer *watcher, int events) {
    (void)events;
    struct listener *listener = watcher->data;
    if (listener->spare_fd < 0) {
        listener->spare_fd = open_spare();
    }
    for (size_t i = 0; i < listener->socket_count; i++) {
        ev_io_start(ev, &listener->sockets[i]);
    }
}

/* No descriptor is left: the spare one serves to tell the next peer. False: no more now. (accept looks for a
 * free descriptor first and for a connection then: out of descriptors it fails also when nobody waits.) */
static bool refuse_with_spare(struct listener *listener, int listening_fd) {
    int fd = -1, error = EMFILE;
    if (listener->spare_fd >= 0) {
        close(listener->spare_fd);
        fd = accept4(listening_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        error = errno;
        if (fd >= 0) {
            refuse(listener, fd);
        }
        listener->spare_fd = open_spare();
    }
    if (fd < 0 && error != EAGAIN) {
        pause_accepting(listener);
    }
    return fd >= 0;
}

/* One connection; false: no more now. */
static bool accept_one(struct listener *listener, int listening_fd) {
    int fd = accept4(listening_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
        if (limit_reached(&listener->config)) {
            refuse(listener, fd);
        } else {
            socket_set_stream_options(fd);
            listener->config.on_accept(listener->config.context, fd);
        }
        return true;
    }
    switch (errno) {
    case EAGAIN:
        return false;
    case EMFILE:
    case ENFILE:
        return refuse_with_spare(listener, listening_fd);
    case ENOBUFS:
    case ENOMEM:
        pause_accepting(listener);
        return false;
    default:
        /* EINTR, or an error of that one connection, which is gone (accept(2)): the next one may be well. */
        return true;
    }
}

static void on_acceptable(struct ev_loop *ev, ev_io *watcher, int events) {
    (void)ev;
    (void)events;
    struct listener *listener = watcher->data;
    for (int i = 0; i < ROUND; i++) {
        if (!accept_one(listener, watcher->fd)) {
            return;
        }
    }
}

static void add_socket(struct listener *listener, int fd) {
    ev_io *watcher = &listener->sockets[listener->socket_count++];
    ev_io_init(watcher, on_acceptable, fd, EV_READ);
    watcher->data = listener;
    ev_io_start(loop_ev(net_loop(listener->net)), watcher);
}

/* One item of the list of hosts. */
static bool listen_on(struct listener *listener, struct slice item, const char **reason) {
    bool may_be_absent = item.ptr[0] == '-';
    item = slice_skip(item, may_be_absent);
    char host[LIMIT_HOST_BYTES + 1] = "";
    if (listener->socket_count == LISTENER_SOCKETS || item.len >= sizeof(host)) {
        *reason = "too many addresses to bind to, or one that is too long";
        return false;
    }
    memcpy(host, item.ptr, item.len);
    int fd = socket_listen(host, listener->config.port, reason);
    if (fd >= 0) {
        add_socket(listener, fd);
    }
    return fd >= 0 || (may_be_absent && socket_is_absent(errno));
}

static bool listen_on_all(struct listener *listener, struct slice hosts, const char **reason) {
    *reason = "there is no address to bind to";
    for (struct slice item = slice_next_item(&hosts); item.len > 0; item = slice_next_item(&hosts)) {
        if (!listen_on(listener, item, reason)) {
            return false;
        }
    }
    return listener->socket_count > 0;
}

struct listener *listener_create(struct net *net, const struct listener_config *config, const char **reason) {
    struct listener *listener = calloc(1, sizeof(*listener));
    if (listener == NULL) {
        *reason = "out of memory";
        return NULL;
    }
    listener->net = net;
    listener->config = *config;
    listener->config.hosts = NULL;
    listener->spare_fd = open_spare();
    ev_timer_init(&listener->recovery, on_recovery, 0.0, 0.0);
    listener->recovery.data = listener;
    if (!listen_on_all(listener, slice_from_text(config->hosts), reason)) {
        listener_destroy(&listener);
    }
    return listener;
}

void listener_destroy(struct listener **listener) {
    struct listener *self = *listener;
    if (self == NULL) {
        return;
    }
    struct ev_loop *ev = loop_ev(net_loop(self->net));
    for (size_t i = 0; i < self->socket_count; i++) {
        ev_io_stop(ev, &self->sockets[i]);
        close(self->sockets[i].fd);
    }
    ev_timer_stop(ev, &self->recovery);
    if (self->spare_fd >= 0) {
        close(self->spare_fd);
    }
    free(self);
    *listener = NULL;
}
