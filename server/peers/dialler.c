#include "server/peers/dialler.h"

#include <errno.h>
#include <string.h>

static int64_t now_of(const struct dialler *dialler) { return loop_monotonic_ms(net_loop(dialler->net)); }

void dialler_init(struct dialler *dialler, struct net *net, const struct log *log, const char *purpose,
                  int64_t first_ms, int64_t most_ms) {
    *dialler = (struct dialler){.net = net,
                                .log = log,
                                .purpose = purpose,
                                .first_ms = first_ms,
                                .most_ms = most_ms,
                                .wait_ms = first_ms};
}

bool dialler_aim(struct dialler *dialler, const struct member *member) {
    bool moved =
        dialler->port != 0 && (dialler->port != member->port || strcmp(dialler->host, member->host) != 0);
    memcpy(dialler->node_id, member->id, sizeof(dialler->node_id));
    memcpy(dialler->host, member->host, sizeof(dialler->host));
    dialler->port = member->port;
    return moved;
}

static void wait(struct dialler *dialler) {
    dialler->due_ms = now_of(dialler) + dialler->wait_ms;
    dialler->wait_ms = dialler->wait_ms * 2 < dialler->most_ms ? dialler->wait_ms * 2 : dialler->most_ms;
}

static void tell_failure(struct dialler *dialler, const char *why) {
    if (!dialler->failure_told) {
        dialler->failure_told = true;
        log_write(dialler->log, LOG_WARN, "cannot-dial", "node=%s host=%s port=%u for=%s reason=%s",
                  dialler->node_id, log_quote(dialler->host), dialler->port, dialler->purpose, log_quote(why));
    }
}

bool dialler_due(const struct dialler *dialler) { return now_of(dialler) >= dialler->due_ms; }

struct conn *dialler_dial(struct dialler *dialler, const struct conn_handler *handler, void *session,
                          size_t max_input_bytes) {
    struct conn *conn =
        conn_dial(dialler->net, dialler->host, dialler->port, handler, session, max_input_bytes);
    dialler->reached = false;
    dialler->found_nobody = conn == NULL && errno == ECONNREFUSED;
    if (conn != NULL) {
        conn_set_deadline(conn, now_of(dialler) + DIALLER_CONNECT_WITHIN_MS);
    } else {
        tell_failure(dialler, strerror(errno));
        wait(dialler);
    }
    return conn;
}

void dialler_connected(struct dialler *dialler, struct conn *conn) {
    conn_set_deadline(conn, 0);
    dialler->reached = true;
    dialler->failure_told = false;
}

void dialler_closed(struct dialler *dialler, enum close_reason reason) {
    dialler->found_nobody = reason == CLOSE_NOBODY_LISTENS;
    if (!dialler->reached &&
        (dialler->found_nobody || reason == CLOSE_CONNECT_FAILED || reason == CLOSE_TIMEOUT)) {
        tell_failure(dialler, close_reason_text(reason));
    }
    wait(dialler);
}

void dialler_soon(struct dialler *dialler) {
    dialler->due_ms = 0;
    dialler->wait_ms = dialler->first_ms;
}
