#include "server/peers/probe.h"

#include "server/peers/dialler.h"

#include <stdlib.h>

enum { PROBE_INPUT_BYTES = 4096 };

struct probe {
    struct dialler dialler;
    struct loop *loop;
    probe_answer *answer;
    void *context;
    enum probe_end end;
    bool has_announce, has_endpoints;
    struct datagram announce, endpoints;
};

static void on_connected(struct conn *conn, void *session) {
    (void)session;
    buf_append_text(conn_out(conn), "WHO\n");
    conn_flush(conn);
}

/* ANNOUNCE comes first, ENDPOINTS and UPTIME of the same node behind it. False: this was the last line that is
 * wanted. */
static bool take_line(struct probe *probe, struct slice bytes) {
    static const enum datagram_verb last[] = {
        [PROBE_TO_ANNOUNCE] = DATAGRAM_ANNOUNCE,
        [PROBE_TO_ENDPOINTS] = DATAGRAM_ENDPOINTS,
        [PROBE_TO_UPTIME] = DATAGRAM_UPTIME,
    };
    struct datagram said;
    bool good = datagram_decode(bytes, &said) == DATAGRAM_OK;
    if (!probe->has_announce) {
        probe->has_announce = good && said.verb == DATAGRAM_ANNOUNCE;
        probe->announce = said;
        probe->announce.uptime_ms = -1;
        return probe->has_announce && probe->end != PROBE_TO_ANNOUNCE;
    }
    if (!good || strcmp(said.node_id, probe->announce.node_id) != 0) {
        return true;
    }
    if (said.verb == DATAGRAM_ENDPOINTS) {
        probe->has_endpoints = true;
        probe->endpoints = said;
    } else if (said.verb == DATAGRAM_UPTIME) {
        probe->announce.uptime_ms = said.uptime_ms;
    }
    return said.verb != last[probe->end] && said.verb != DATAGRAM_UPTIME; /* behind which nothing comes */
}

static size_t on_input(struct conn *conn, void *session, struct slice in) {
    struct probe *probe = session;
    struct slice rest = in;
    while (rest.len > 0 && memchr(rest.ptr, '\n', rest.len) != NULL) {
        bool had_announce = probe->has_announce;
        if (!take_line(probe, slice_take_until(&rest, '\n'))) {
            conn_close(conn, CLOSE_QUIT);
            return in.len;
        }
        if (!had_announce && probe->end == PROBE_TO_ENDPOINTS) {
            conn_set_deadline(conn, loop_monotonic_ms(probe->loop) + PROBE_ENDPOINTS_WITHIN_MS);
        }
    }
    return in.len - rest.len;
}

static void on_close(struct conn *conn, void *session, enum close_reason reason) {
    (void)conn;
    struct probe *probe = session;
    if (reason != CLOSE_SHUTDOWN) {
        probe->answer(probe->context, probe->dialler.node_id, probe->has_announce ? &probe->announce : NULL,
                      probe->has_endpoints ? &probe->endpoints : NULL);
    }
    free(probe);
}

static const struct conn_handler probe_handler = {
    .on_connected = on_connected, .on_input = on_input, .on_close = on_close};

bool probe_start(struct net *net, const struct log *log, const struct member *member, enum probe_end end,
                 probe_answer *answer, void *context) {
    struct probe *probe = calloc(1, sizeof(*probe));
    if (probe == NULL) {
        return false;
    }
    *probe = (struct probe){.loop = net_loop(net), .answer = answer, .context = context, .end = end};
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
