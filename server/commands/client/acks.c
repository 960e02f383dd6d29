/* acks.c: what a connection's replies wait for (CLIENT ACKS), and whether it takes any copy (READONLY,
 * READWRITE).
 *
 * The feature is on for a connection that has asked for the quorum: the stricter wins, so nothing that the
 * group says changes that, and its reads are the leader's, unless it takes any copy.
 */
#include "cluster/history.h"
#include "server/commands/rows.h"
#include "server/dispatch/command.h"
#include "server/net/fence.h"

static void ask_quorum(struct client *client, bool quorum) {
    client->gates = (client->gates & ~(uint32_t)GATE_ACKS) | (quorum ? GATE_ACKS : 0);
    conn_ask_quorum(client->conn, quorum);
}

static void forget(struct client *client) {
    ask_quorum(client, false);
    client->any_copy = false;
}

const struct feature feature_acks = {.begin = forget};

static void reply_acks(struct request *request) {
    bool quorum = (request->client->gates & GATE_ACKS) != 0 || history_quorum(request->context->history);
    resp_bulk_text(&request->reply, quorum ? "quorum" : "leader");
}

void command_client_acks(struct request *request) {
    if (request->arg_count > 3) {
        reply_wrong_arity(request);
        return;
    }
    if (request->arg_count == 2) {
        reply_acks(request);
        return;
    }
    bool quorum = request_word(request, 2, SLICE("quorum"));
    if (!quorum && !request_word(request, 2, SLICE("leader")) && !request_word(request, 2, SLICE("default"))) {
        resp_error(&request->reply, ERR_SYNTAX);
    } else if (quorum && history_voters(request->context->history)->count == 0) {
        resp_error(&request->reply, ERR_NO_VOTERS);
    } else {
        ask_quorum(request->client, quorum);
        reply_ok(request);
    }
}

static void take_any_copy(struct request *request, bool any_copy) {
    request->client->any_copy = any_copy;
    reply_ok(request);
}

void command_readonly(struct request *request) { take_any_copy(request, true); }

void command_readwrite(struct request *request) { take_any_copy(request, false); }
