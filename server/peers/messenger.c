#include "server/peers/messenger.h"

#include "protocol/line.h"
#include "server/peers/dialler.h"

#include <stdlib.h>
#include <string.h>

enum {
    MOST_BYTES = 16 << 20, /* that wait for one node; what is longer is for the clients of this one alone */
    REDIAL_AFTER_MS = 1000,
    INPUT_BYTES = 4096,
    LINE_KEPT_BYTES = 64 << 10, /* a longer line's memory is given back */
};

struct wire {
    struct dialler dialler;
    struct conn *conn; /* NULL: not dialled, or lost */
    bool unsent;       /* something was appended to its output */
    struct wire *next;
};

struct messenger {
    struct net *net;
    struct loop *loop;
    const struct membership *membership;
    const struct log *log;
    struct loop_hook flush;
    struct wire *wires;
    struct buf line; /* the one that is sent to all */
    struct messenger_stats stats;
};

/* --- Events of the conn */

static void on_connected(struct conn *conn, void *session) {
    struct wire *wire = session;
    dialler_connected(&wire->dialler, conn);
}

static size_t on_input(struct conn *conn, void *session, struct slice in) {
    (void)conn;
    (void)session;
    return in.len; /* an ERROR line at most; its close follows */
}

static void on_close(struct conn *conn, void *session, enum close_reason reason) {
    (void)conn;
    struct wire *wire = session;
    wire->conn = NULL;
    dialler_closed(&wire->dialler, reason);
}

static const struct conn_handler wire_handler = {
    .on_connected = on_connected, .on_input = on_input, .on_close = on_close};

/* --- The wires */

static struct wire **find(struct messenger *messenger, const char *node_id) {
    struct wire **at = &messenger->wires;
    while (*at != NULL && strcmp((*at)->dialler.node_id, node_id) != 0) {
        at = &(*at)->next;
    }
    return at;
}

static void remove_at(struct wire **at) {
    struct wire *wire = *at;
    *at = wire->next;
    if (wire->conn != NULL) {
        conn_close(wire->conn, CLOSE_MEMBER_GONE);
    }
    free(wire);
}

/* NULL: out of memory. */
static struct wire *wire_to(struct messenger *messenger, const struct member *member) {
    struct wire **at = find(messenger, member->id);
    if (*at == NULL && (*at = calloc(1, sizeof(**at))) != NULL) {
        dialler_init(&(*at)->dialler, messenger->net, messenger->log, "messages", REDIAL_AFTER_MS,
                     REDIAL_AFTER_MS);
    }
    return *at;
}

static void aim(struct messenger *messenger, struct wire *wire, const struct member *member) {
    if (dialler_aim(&wire->dialler, member)) {
        if (wire->conn != NULL) {
            conn_close(wire->conn, CLOSE_SUPERSEDED);
        }
        dialler_soon(&wire->dialler);
    }
    if (wire->conn == NULL && dialler_due(&wire->dialler)) {
        wire->conn = dialler_dial(&wire->dialler, &wire_handler, wire, INPUT_BYTES);
        if (wire->conn != NULL) {
            line_node(conn_out(wire->conn), membership_self(messenger->membership)->id);
        }
    }
}

static void send_to(struct messenger *messenger, const struct member *member) {
    struct wire *wire = wire_to(messenger, member);
    if (wire != NULL) {
        aim(messenger, wire, member);
    }
    size_t n = buf_used(&messenger->line);
    if (wire == NULL || wire->conn == NULL || conn_closed(wire->conn) || buf_failed(&messenger->line) ||
        buf_used(conn_out(wire->conn)) + n > MOST_BYTES) {
        messenger->stats.dropped++;
        return;
    }
    buf_append_slice(conn_out(wire->conn), buf_slice(&messenger->line));
    wire->unsent = true;
    messenger->stats.sent++;
}

/* One write a wire, for all that was published in an iteration. */
static void flush(void *context) {
    struct messenger *messenger = context;
    for (struct wire *wire = messenger->wires; wire != NULL; wire = wire->next) {
        if (wire->unsent && wire->conn != NULL) {
            conn_flush(wire->conn);
        }
        wire->unsent = false;
    }
}

void messenger_publish(struct messenger *messenger, struct slice channel, struct slice text) {
    buf_reset(&messenger->line);
    for (size_t i = 0; i < membership_count(messenger->membership); i++) {
        const struct member *member = membership_at(messenger->membership, i);
        if (member->self || !member->alive || !member->has_endpoints) {
            continue;
        }
        if (buf_used(&messenger->line) == 0) {
            line_message(&messenger->line, channel, text);
        }
        send_to(messenger, member);
    }
    if (messenger->line.capacity > LINE_KEPT_BYTES) {
        buf_deinit(&messenger->line);
    }
}

void messenger_forget(struct messenger *messenger, const char *node_id) {
    struct wire **at = find(messenger, node_id);
    if (*at != NULL) {
        remove_at(at);
    }
}

/* --- Life */

struct messenger *messenger_create(struct net *net, const struct membership *membership,
                                   const struct log *log) {
    struct messenger *messenger = calloc(1, sizeof(*messenger));
    if (messenger == NULL) {
        return NULL;
    }
    messenger->net = net;
    messenger->loop = net_loop(net);
    messenger->membership = membership;
    messenger->log = log;
    buf_init(&messenger->line, MOST_BYTES);
    messenger->flush = (struct loop_hook){.run = flush, .context = messenger};
    loop_add_hook(messenger->loop, LOOP_CLIENTS, &messenger->flush);
    return messenger;
}

void messenger_destroy(struct messenger **handle) {
    struct messenger *messenger = *handle;
    if (messenger == NULL) {
        return;
    }
    *handle = NULL;
    while (messenger->wires != NULL) {
        remove_at(&messenger->wires);
    }
    loop_remove_hook(messenger->loop, &messenger->flush);
    buf_deinit(&messenger->line);
    free(messenger);
}

const struct messenger_stats *messenger_stats(const struct messenger *messenger) { return &messenger->stats; }
