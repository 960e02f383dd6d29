#include "server/peers/probe.h"

#include <stdio.h>
#include <stdlib.h>

enum { PROBE_INPUT_BYTES = 4096 };

struct probe {
    char node_id[LIMIT_NODE_ID_BYTES + 1];
    probe_answer *answer;
    void *context;
    bool answered;
    struct datagram announce;
};

static void on_connected(struct conn *conn, void *session) {
    (void)session;
    buf_append_text(conn_out(conn), "WHO\n");
    conn_flush(conn);
}

static size_t on_input(struct conn *conn, void *session, struct slice in) {
    struct probe *probe = session;
    const char *end = memchr(in.ptr, '\n', in.len);
    if (end == NULL) {
        return 0;
    }
    struct datagram datagram;
    size_t n = (size_t)(end - in.ptr);
    probe->answered =
        datagram_decode(slice_first(in, n), &datagram) == DATAGRAM_OK && datagram.verb == DATAGRAM_ANNOUNCE;
    probe->announce = datagram;
    conn_close(conn, CLOSE_QUIT);
    return in.len;
}

static void on_close(struct conn *conn, void *session, enum close_reason reason) {
    (void)conn;
    struct probe *probe = session;
    if (reason != CLOSE_SHUTDOWN) {
        probe->answer(probe->context, probe->node_id, probe->answered ? &probe->announce : NULL);
    }
    free(probe);
}

static const struct conn_handler probe_handler = {
    .on_connected = on_connected, .on_input = on_input, .on_close = on_close};

bool probe_start(struct net *net, const struct member *member, probe_answer *answer, void *context) {
    struct probe *probe = calloc(1, sizeof(*probe));
    if (probe == NULL) {
        return false;
    }
    *probe = (struct probe){.answer = answer, .context = context};
    snprintf(probe->node_id, sizeof(probe->node_id), "%s", member->id);
    struct conn *conn = conn_dial(net, member->host, member->port, &probe_handler, probe, PROBE_INPUT_BYTES);
    if (conn == NULL) {
        free(probe);
        return false;
    }
    conn_set_deadline(conn, loop_monotonic_ms(net_loop(net)) + PROBE_TIMEOUT_MS);
    return true;
}
