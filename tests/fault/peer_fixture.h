/* peer_fixture.h: a node's loop, net, keyspace and membership, and another node that the test plays: it is
 * announced, listens, and speaks through one socket. For fault tests of what dials: the heap is armed in
 * peer_turn only. */
#ifndef KVNODE_TESTS_FAULT_PEER_FIXTURE_H
#define KVNODE_TESTS_FAULT_PEER_FIXTURE_H

#include "server/net/loop.h"
#include "server/peers/replication_internal.h"
#include "server/store/keyspace.h"
#include "tests/fault/failing_heap.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ev.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct peer_fixture {
    struct loop *loop;
    struct net *net;
    struct history *history;
    struct keyspace *keyspace;
    struct membership *membership;
    struct log log;
    struct datagram announce; /* the peer's */
    int listening, fd;        /* the peer's; fd -1: not dialled */
    struct buf received;
};

static inline void peer_begin(struct peer_fixture *f, bool self_leads, bool peer_leads) {
    struct member self = {
        .id = "self", .host = "127.0.0.1", .self = true, .alive = true, .has_endpoints = true};
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(address);
    *f = (struct peer_fixture){.log = {.level = LOG_ERROR, .fd = STDERR_FILENO}, .fd = -1};
    self.leader = self_leads;
    f->loop = loop_create();
    f->net = net_create(f->loop);
    f->history = history_create(history_make_id(1000, 1), 1 << 20);
    f->keyspace = keyspace_create(f->loop, f->history, 0);
    f->membership = membership_create(&self, 1);
    buf_init(&f->received, SIZE_MAX);
    f->listening = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(f->listening, (struct sockaddr *)&address, n), 0);
    assert_int_equal(listen(f->listening, 16), 0);
    assert_int_equal(getsockname(f->listening, (struct sockaddr *)&address, &n), 0);
    f->announce = (struct datagram){.verb = DATAGRAM_ANNOUNCE, .node_id = "peer", .host = "127.0.0.1"};
    f->announce.port = ntohs(address.sin_port);
    f->announce.leader = peer_leads;
}

/* Another node hears it, and where its clients are: no event of membership needs memory that is not there. */
static inline const struct member *peer_is_heard(struct peer_fixture *f) {
    struct datagram endpoints = {.verb = DATAGRAM_ENDPOINTS, .node_id = "peer", .api_port = 1, .redis_port = 1};
    membership_hear(f->membership, &f->announce, loop_monotonic_ms(f->loop));
    membership_hear(f->membership, &endpoints, loop_monotonic_ms(f->loop));
    return membership_find(f->membership, "peer");
}

static inline void peer_hang_up(struct peer_fixture *f) {
    if (f->fd >= 0) {
        close(f->fd);
    }
    f->fd = -1;
    buf_reset(&f->received);
}

static inline void peer_end(struct peer_fixture *f) {
    net_destroy(&f->net);
    keyspace_destroy(&f->keyspace);
    membership_destroy(&f->membership);
    history_destroy(&f->history);
    loop_destroy(&f->loop);
    peer_hang_up(f);
    buf_deinit(&f->received);
    close(f->listening);
}

/* One turn of the node, then one of the peer, which takes a call when it has none. */
static inline void peer_turn(struct peer_fixture *f) {
    fault_arm();
    ev_run(loop_ev(f->loop), EVRUN_NOWAIT);
    fault_disarm();
    if (f->fd < 0) {
        f->fd = accept(f->listening, NULL, NULL);
    }
    if (f->fd < 0) {
        return;
    }
    ssize_t n = recv(f->fd, buf_reserve(&f->received, 65536), 65536, MSG_DONTWAIT);
    if (n > 0) {
        buf_commit(&f->received, (size_t)n);
    } else if (n == 0 || errno != EAGAIN) {
        peer_hang_up(f);
    }
}

static inline bool peer_heard(struct peer_fixture *f, const char *text) {
    buf_append_byte(&f->received, '\0');
    buf_truncate(&f->received, buf_used(&f->received) - 1);
    return strstr(buf_slice(&f->received).ptr, text) != NULL;
}

/* The socket's buffer is empty: all of it goes. */
static inline void peer_says(struct peer_fixture *f, const char *text) {
    if (send(f->fd, text, strlen(text), MSG_NOSIGNAL) < 0) {
        peer_hang_up(f);
    }
}

#endif
