#include "server/rest/admission.h"

#include "cluster/history.h"
#include "server/net/fence.h"
#include "server/rest/problem.h"

#include <assert.h>

static bool read_params(struct exchange *exchange, struct http_param *params, size_t n, size_t *others) {
    const char *reason;
    struct buf *scratch = &exchange->server->params;
    if (!http_query_read(exchange->request->query, params, n, scratch, others, &reason)) {
        rest_problem(exchange, buf_failed(scratch) ? ERR_NO_MEMORY : ERR_BAD_REQUEST, reason);
        return false;
    }
    return true;
}

static void ask_quorum(struct rest_session *session, bool quorum) {
    if (quorum != session->asks_quorum) {
        session->asks_quorum = quorum;
        conn_ask_quorum(session->conn, quorum);
    }
}

/* False: the problem is written. */
static bool take_wishes(struct exchange *exchange, const struct http_param *acks,
                        const struct http_param *stale) {
    bool quorum = acks->given && slice_equals(acks->value, SLICE("quorum"));
    if (acks->given && !quorum && !slice_equals(acks->value, SLICE("leader"))) {
        rest_problem(exchange, ERR_BAD_REQUEST, "acks is leader or quorum");
        return false;
    }
    if (stale->given && !slice_equals(stale->value, SLICE("ok"))) {
        rest_problem(exchange, ERR_BAD_REQUEST, "stale is ok, or it is not given");
        return false;
    }
    exchange->any_copy = stale->given;
    ask_quorum(exchange->session, quorum);
    return true;
}

/* Most queries say nothing else than what is asked for: only the others are read once more. */
bool rest_read_query(struct exchange *exchange, struct http_param *params, size_t n) {
    struct http_param all[REST_PARAMS_MOST + 2];
    size_t others;
    if (!read_params(exchange, params, n, &others)) {
        return false;
    }
    if (others == 0) {
        ask_quorum(exchange->session, false);
        return true;
    }
    assert(n <= REST_PARAMS_MOST);
    for (size_t i = 0; i < n; i++) {
        all[i] = params[i];
    }
    all[n] = (struct http_param){.name = SLICE("acks")};
    all[n + 1] = (struct http_param){.name = SLICE("stale")};
    if (!read_params(exchange, all, n + 2, &others)) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        params[i] = all[i];
    }
    return take_wishes(exchange, &all[n], &all[n + 1]);
}

bool rest_admits(struct exchange *exchange, struct demand demand) {
    const struct command_context *context = exchange->context;
    bool quorum = exchange->session->asks_quorum;
    struct routing_answer route;
    demand.any_copy = exchange->any_copy;
    demand.newest = quorum && !exchange->any_copy;
    enum err err = admit(context, &demand, &route);
    if (err == ERR_NONE && quorum && history_voters(context->history)->count == 0) {
        err = ERR_NO_VOTERS;
    }
    if (err != ERR_NONE) {
        rest_problem_of_route(exchange, err, &route);
    }
    return err == ERR_NONE;
}
