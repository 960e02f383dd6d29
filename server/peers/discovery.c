#include "server/peers/discovery.h"

#include "server/net/socket.h"
#include "server/peers/probe.h"

#include <errno.h>
#include <ev.h>
#include <stdlib.h>
#include <unistd.h>

enum { TICK_MS = 50, DATAGRAMS_A_WAKE_UP = 64 };

struct discovery {
    struct discovery_config config;
    struct loop *loop;
    int fd;
    ev_io readable;
    ev_timer tick;
    struct sockaddr_storage to;
    socklen_t to_len;
    struct discovery_stats stats;
    int last_send_errno; /* logged when it changes */
    bool left, running;
};

static int64_t now_of(const struct discovery *discovery) { return loop_monotonic_ms(discovery->loop); }

/* --- Sending --- */

static void send_datagram(struct discovery *discovery, const struct datagram *datagram) {
    char text[LIMIT_DATAGRAM_BYTES];
    size_t n = datagram_encode(datagram, text);
    int error = 0;
    if (sendto(discovery->fd, text, n, MSG_DONTWAIT | MSG_NOSIGNAL, (struct sockaddr *)&discovery->to,
               discovery->to_len) == (ssize_t)n) {
        discovery->stats.sent++;
    } else {
        error = errno;
        discovery->stats.send_errors++;
    }
    if (error != 0 && error != discovery->last_send_errno) {
        log_write(discovery->config.log, LOG_WARN, "broadcast-failed", "to=%s port=%u error=%s",
                  discovery->config.broadcast, discovery->config.port, log_quote(strerror(error)));
    }
    discovery->last_send_errno = error;
}

static void send_facts(struct discovery *discovery) {
    struct datagram datagram = {.verb = DATAGRAM_ANNOUNCE};
    membership_describe(membership_self(discovery->config.membership), &datagram);
    send_datagram(discovery, &datagram);
    datagram.verb = DATAGRAM_ENDPOINTS;
    datagram.index = discovery->config.index(discovery->config.context);
    send_datagram(discovery, &datagram);
}

/* --- Actions --- */

static void on_probed(void *context, const char *node_id, const struct datagram *announce,
                      const struct datagram *endpoints) {
    struct discovery *discovery = context;
    if (announce != NULL && strcmp(announce->node_id, node_id) == 0) {
        membership_verified(discovery->config.membership, announce, endpoints, now_of(discovery));
    } else {
        membership_verify_failed(discovery->config.membership, node_id, now_of(discovery));
    }
    discovery_run_actions(discovery);
}

static void on_twin_probed(void *context, const char *node_id, const struct datagram *announce,
                           const struct datagram *endpoints) {
    (void)node_id, (void)endpoints;
    struct discovery *discovery = context;
    if (announce != NULL) {
        membership_twin_answered(discovery->config.membership, announce);
        discovery_run_actions(discovery);
    }
}

static void verify(struct discovery *discovery, const struct member *member) {
    if (!probe_start(discovery->config.net, discovery->config.log, member, PROBE_TO_ENDPOINTS, on_probed,
                     discovery)) {
        membership_verify_failed(discovery->config.membership, member->id, now_of(discovery));
    }
}

/* An action's consequence may queue another: it is taken in its turn, not inside. */
void discovery_run_actions(struct discovery *discovery) {
    struct membership_action action;
    if (discovery->running) {
        return;
    }
    discovery->running = true;
    while (membership_next(discovery->config.membership, &action)) {
        switch (action.type) {
        case MEMBERSHIP_SEND_FACTS:
            if (!discovery->left) {
                send_facts(discovery);
            }
            break;
        case MEMBERSHIP_SEND_WHO:
            send_datagram(discovery, &(struct datagram){.verb = DATAGRAM_WHO});
            break;
        case MEMBERSHIP_VERIFY:
            verify(discovery, &action.member);
            break;
        case MEMBERSHIP_ASK_TWIN: /* who cannot be asked now is heard again */
            probe_start(discovery->config.net, discovery->config.log, &action.member, PROBE_TO_UPTIME,
                        on_twin_probed, discovery);
            break;
        default:
            discovery->config.on_action(discovery->config.context, &action);
        }
    }
    discovery->running = false;
}

/* --- Events --- */

static void hear(struct discovery *discovery, struct slice bytes) {
    struct datagram datagram;
    discovery->stats.received++;
    switch (datagram_decode(bytes, &datagram)) {
    case DATAGRAM_OK:
        membership_hear(discovery->config.membership, &datagram, now_of(discovery));
        break;
    case DATAGRAM_UNKNOWN:
        discovery->stats.unknown++;
        break;
    case DATAGRAM_MALFORMED:
        discovery->stats.malformed++;
        break;
    }
}

static void on_readable(struct ev_loop *ev, ev_io *io, int events) {
    (void)ev, (void)events;
    struct discovery *discovery = io->data;
    for (int i = 0; i < DATAGRAMS_A_WAKE_UP; i++) {
        char bytes[LIMIT_DATAGRAM_BYTES + 1]; /* one more: too long is seen as too long */
        ssize_t n = recv(discovery->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
        if (n < 0) {
            break;
        }
        hear(discovery, slice_of(bytes, (size_t)n));
    }
    discovery_run_actions(discovery);
}

static void on_tick(struct ev_loop *ev, ev_timer *timer, int events) {
    (void)ev, (void)events;
    struct discovery *discovery = timer->data;
    if (!discovery->left) {
        membership_tick(discovery->config.membership, now_of(discovery));
        discovery_run_actions(discovery);
    }
}

/* --- Life --- */

struct discovery *discovery_create(const struct discovery_config *config, const char **reason) {
    struct discovery *discovery = calloc(1, sizeof(*discovery));
    if (discovery == NULL) {
        *reason = "out of memory";
        return NULL;
    }
    discovery->config = *config;
    discovery->loop = net_loop(config->net);
    discovery->fd = socket_broadcast(config->broadcast, config->port, reason);
    if (discovery->fd < 0 ||
        !socket_address(config->broadcast, config->port, &discovery->to, &discovery->to_len)) {
        free(discovery);
        return NULL;
    }
    ev_io_init(&discovery->readable, on_readable, discovery->fd, EV_READ);
    discovery->readable.data = discovery;
    ev_timer_init(&discovery->tick, on_tick, TICK_MS / 1e3, TICK_MS / 1e3);
    discovery->tick.data = discovery;
    return discovery;
}

void discovery_start(struct discovery *discovery) {
    ev_io_start(loop_ev(discovery->loop), &discovery->readable);
    ev_timer_start(loop_ev(discovery->loop), &discovery->tick);
    membership_start(discovery->config.membership, now_of(discovery));
    discovery_run_actions(discovery);
}

void discovery_fall_silent(struct discovery *discovery) { discovery->left = true; }

void discovery_leave(struct discovery *discovery) {
    if (discovery->left) {
        return;
    }
    struct datagram datagram = {.verb = DATAGRAM_LEAVE};
    membership_describe(membership_self(discovery->config.membership), &datagram);
    send_datagram(discovery, &datagram);
    discovery->left = true;
}

void discovery_destroy(struct discovery **discovery) {
    struct discovery *gone = *discovery;
    if (gone == NULL) {
        return;
    }
    ev_io_stop(loop_ev(gone->loop), &gone->readable);
    ev_timer_stop(loop_ev(gone->loop), &gone->tick);
    close(gone->fd);
    free(gone);
    *discovery = NULL;
}

const struct discovery_stats *discovery_stats(const struct discovery *discovery) { return &discovery->stats; }
