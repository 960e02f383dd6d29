#include "server/peers/probe.h"

#include "server/peers/dialler.h"

#include <stdlib.h>

enum { PROBE_INPUT_BYTES = 4096 };

struct probe {
    struct dialler dialler;
    probe_answer *answer;
    void *context;
    bool with_uptime;
    bool answered; /* announce is there */
    struct datagram announce;
};

static void on_connected(struct conn *conn, void *session) {
    (void)session;
    buf_append_text(conn_out(conn), "WHO\n");
    conn_flush(conn);
}

/* ANNOUNCE comes first, UPTIME some lines behind it. False: this was the last line that is wanted. */
static bool take_line(struct probe *probe, struct slice bytes) {
    struct datagram said;
    bool good = datagram_decode(bytes, &said) == DATAGRAM_OK;
    if (!probe->answered) {
        probe->answered = good && said.verb == DATAGRAM_ANNOUNCE;
        probe->announce = said;
        probe->announce.uptime_ms = -1;
        return probe->answered && probe->with_uptime;
    }
    if (good && said.verb == DATAGRAM_UPTIME && strcmp(said.node_id, probe->announce.node_id) == 0) {
        probe->announce.uptime_ms = said.uptime_ms;
        return false;
    }
    return true;
}

static size_t on_input(struct conn *conn, void *session, struct slice in) {
    struct slice rest = in;
    const char *end;
    while (rest.len > 0 && (end = memchr(rest.ptr, '\n', rest.len)) != NULL) {
        if (!take_line(session, slice_take_until(&rest, '\n'))) {
            conn_close(conn, CLOSE_QUIT);
            return in.len;
        }
    }
    return in.len - rest.len;
}

static void on_close(struct conn *conn, void *session, enum close_reason reason) {
    (void)conn;
    struct probe *probe = session;
    if (reason != CLOSE_SHUTDOWN) {
        probe->answer(probe->context, probe->dialler.node_id, probe->answered ? &probe->announce : NULL);
    }
    free(probe);
}

static const struct conn_handler probe_handler = {
    .on_connected = on_connected, .on_input = on_input, .on_close = on_close};

bool probe_start(struct net *net, const struct log *log, const struct member *member, bool with_uptime,
                 probe_answer *answer, void *context) {
    struct probe *probe = calloc(1, sizeof(*probe));
    if (probe == NULL) {
        return false;
    }
    *probe = (struct probe){.answer = answer, .context = context, .with_uptime = with_uptime};
    dialler_init(&probe->dialler, net, log, "WHO", 0, 0);
    dialler_aim(&probe->dialler, member);
    struct conn *conn = dialler_dial(&probe->dialler, &probe_handler, probe, PROBE_INPUT_BYTES);
    if (conn == NULL) {
        free(probe);
        return false;
    }
    conn_set_deadline(conn, loop_monotonic_ms(net_loop(net)) + PROBE_TIMEOUT_MS);
    return true;
}
