/* failover.c: who leads a group that elects its leader, by an operator's word: FAILOVER, CLUSTER FAILOVER,
 * KVNODE VOTERS.
 */
#include "cluster/membership.h"
#include "protocol/num.h"
#include "server/commands/rows.h"
#include "server/dispatch/command.h"
#include "server/peers/replication.h"

#include <stdio.h>
#include <string.h>

enum { FAILOVER_WITHIN_MS = 60000 }; /* where the client does not say */

static void reply_refused(struct request *request, const char *reason) {
    if (reason == NULL) {
        reply_ok(request);
    } else {
        resp_errorf(&request->reply, "ERR %s", reason);
    }
}

/* --- FAILOVER [TO host port [FORCE]] [ABORT] [TIMEOUT ms] --- */

struct failover_words {
    struct slice host;
    int64_t port, timeout_ms; /* port 0: none was named */
    bool abort, force;
};

static bool read_failover(const struct request *request, struct failover_words *words) {
    *words = (struct failover_words){.timeout_ms = FAILOVER_WITHIN_MS};
    for (size_t i = 1; i < request->arg_count; i++) {
        size_t left = request->arg_count - i - 1;
        if (request_word(request, i, SLICE("to")) && left >= 2 && words->port == 0) {
            words->host = request->args[i + 1];
            if (!num_parse_i64(request->args[i + 2], &words->port) || words->port < 1 ||
                words->port > UINT16_MAX) {
                return false;
            }
            i += 2;
        } else if (request_word(request, i, SLICE("timeout")) && left >= 1) {
            if (!num_parse_i64(request->args[++i], &words->timeout_ms) || words->timeout_ms <= 0) {
                return false;
            }
        } else if (request_word(request, i, SLICE("abort")) && request->arg_count == 2) {
            words->abort = true;
        } else if (request_word(request, i, SLICE("force")) && words->port != 0) {
            words->force = true;
        } else {
            return false;
        }
    }
    return true;
}

/* The node whose RESP or replication port that is. NULL: none of this group. */
static const struct member *find_target(const struct command_context *context,
                                        const struct failover_words *words) {
    const struct membership *membership = context->membership;
    for (size_t i = 0; i < membership_count(membership); i++) {
        const struct member *member = membership_at(membership, i);
        bool is_there = slice_equals(words->host, slice_from_text(member->host)) &&
                        (member->redis_port == words->port || member->port == words->port);
        if (is_there && member->alive && member->group == membership_self(membership)->group) {
            return member;
        }
    }
    return NULL;
}

void command_failover(struct request *request) {
    const struct command_context *context = request->context;
    struct failover_words words;
    if (!read_failover(request, &words)) {
        resp_error(&request->reply, ERR_SYNTAX);
        return;
    }
    if (words.abort) {
        bool aborted = replication_hand_over_abort(context->replication);
        reply_refused(request, aborted ? NULL : "No failover in progress.");
        return;
    }
    if (words.force) {
        resp_errorf(&request->reply,
                    "ERR FORCE is not for a leader here: send CLUSTER FAILOVER FORCE to the node that "
                    "is to lead");
        return;
    }
    const struct member *target = words.port == 0 ? NULL : find_target(context, &words);
    if (words.port != 0 && target == NULL) {
        resp_errorf(&request->reply, "ERR FAILOVER target HOST and PORT is not a node of this group");
        return;
    }
    reply_refused(request, replication_hand_over(context->replication, target == NULL ? "" : target->id,
                                                 words.timeout_ms));
}

/* CLUSTER FAILOVER [FORCE|TAKEOVER], at the node that is to lead */
void command_cluster_failover(struct request *request) {
    bool force = request->arg_count == 3 && request_word(request, 2, SLICE("force"));
    bool takeover = request->arg_count == 3 && request_word(request, 2, SLICE("takeover"));
    if (request->arg_count > 3 || (request->arg_count == 3 && !force && !takeover)) {
        resp_error(&request->reply, ERR_SYNTAX);
    } else if (takeover) {
        resp_errorf(&request->reply,
                    "ERR TAKEOVER would lead without a majority, and two would: where that is gone for "
                    "good, kvnode -force-voters says who is left");
    } else {
        reply_refused(request, replication_take_over(request->context->replication, force));
    }
}

/* --- KVNODE VOTERS --- */

static void reply_field(struct resp_reply *reply, const char *name, const char *text) {
    resp_bulk(reply, slice_from_text(name));
    resp_bulk(reply, slice_from_text(text));
}

static void reply_voter(struct request *request, const struct replication_voter *voter) {
    struct resp_reply *reply = &request->reply;
    resp_map(reply, 5);
    reply_field(reply, "id", voter->node_id);
    reply_field(reply, "role", voter->leads ? "leader" : "follower");
    reply_field(reply, "reachable", voter->reachable ? "yes" : "no");
    resp_bulk(reply, SLICE("durable"));
    resp_integer(reply, (int64_t)voter->durable_index);
    reply_field(reply, "memory", voter->is_known ? (voter->forgetful ? "forgetful" : "firm") : "unknown");
}

static void reply_voters(struct request *request) {
    struct replication_voting voting;
    struct replication_voter voter;
    replication_voting(request->context->replication, &voting);
    resp_array(&request->reply, voting.voter_count);
    for (size_t i = 0; replication_voter_at(request->context->replication, i, &voter); i++) {
        reply_voter(request, &voter);
    }
}

static bool read_id(struct request *request, struct slice text, char id[LIMIT_NODE_ID_BYTES + 1]) {
    if (!datagram_valid_node_id(text)) {
        resp_errorf(&request->reply, "ERR A node id is made of A-Z a-z 0-9 _ -, 40 at most");
        return false;
    }
    snprintf(id, LIMIT_NODE_ID_BYTES + 1, "%.*s", (int)text.len, text.ptr);
    return true;
}

/* KVNODE VOTERS [ADD id | REMOVE id | REPLACE old new] */
void command_kvnode_voters(struct request *request) {
    struct replication *replication = request->context->replication;
    char id[LIMIT_NODE_ID_BYTES + 1] = "", other[LIMIT_NODE_ID_BYTES + 1] = "";
    size_t n = request->arg_count;
    bool adds = n == 4 && request_word(request, 2, SLICE("add"));
    bool removes = n == 4 && request_word(request, 2, SLICE("remove"));
    bool replaces = n == 5 && request_word(request, 2, SLICE("replace"));
    if (n == 2) {
        reply_voters(request);
    } else if (!adds && !removes && !replaces) {
        resp_errorf(&request->reply, "ERR Unknown change of the voters. Try KVNODE HELP.");
    } else if (read_id(request, request->args[3], id) &&
               (!replaces || read_id(request, request->args[4], other))) {
        reply_refused(request, replication_change_voters(replication, adds ? id : other, adds ? "" : id));
    }
}
