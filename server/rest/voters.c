/* voters.c: POST /admin/voters: one member of the set that elects the leader comes, or goes, or makes room for
 * another: {"add":"id"}, {"remove":"id"}, {"replace":{"old":"id","new":"id"}}. 202: it is in force, and GET
 * /cluster tells what has become of it. */
#include "cluster/membership.h"
#include "protocol/datagram.h"
#include "protocol/http_fields.h"
#include "protocol/json_text.h"
#include "server/peers/replication.h"
#include "server/rest/handlers.h"
#include "server/rest/problem.h"

#include <cjson/cJSON.h>
#include <stdio.h>

enum { BODY_MAX_BYTES = 1024 };

static bool is_small(struct exchange *exchange, size_t bytes) {
    if (bytes > BODY_MAX_BYTES) {
        rest_problem(exchange, ERR_BODY_TOO_LARGE, NULL);
    }
    return bytes <= BODY_MAX_BYTES;
}

/* Only its leader changes the set. False: this node is not it; that is written. */
static bool is_decided_here(struct exchange *exchange) {
    const struct command_context *context = exchange->context;
    struct replication_status status;
    struct replication_voting voting;
    replication_status(context->replication, &status);
    replication_voting(context->replication, &voting);
    if (!voting.active || status.role == REPLICATION_LEADER) {
        return true; /* what is wrong with it then is said with the change */
    }
    const struct member *leader = membership_find(context->membership, status.leader_id);
    if (leader != NULL && leader->has_endpoints && !leader->self) {
        rest_redirect(exchange, leader, "the voters are changed at the leader alone");
    } else {
        rest_problem(exchange, ERR_CLUSTERDOWN, "the group has no leader");
    }
    return false;
}

/* Looked at again with the body, which takes its time. */
bool rest_voters_head(struct exchange *exchange) {
    const struct http_request *request = exchange->request;
    bool is_json =
        !request->has_content_type || http_media_type_is(request->content_type, SLICE("application/json"));
    if (!is_json || !http_is_identity(&request->content_encoding)) {
        rest_problem(exchange, ERR_MEDIA_TYPE, "the body is JSON: send Content-Type: application/json");
        return false;
    }
    return is_small(exchange, request->announced_bytes) && is_decided_here(exchange);
}

/* "": there is no such member. False: it is no node id. */
static bool read_id(const cJSON *object, const char *name, char id[LIMIT_NODE_ID_BYTES + 1]) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    id[0] = '\0';
    if (item == NULL) {
        return true;
    }
    const char *text = cJSON_GetStringValue(item);
    if (text == NULL || !datagram_valid_node_id(slice_from_text(text))) {
        return false;
    }
    snprintf(id, LIMIT_NODE_ID_BYTES + 1, "%s", text);
    return true;
}

struct change {
    char add[LIMIT_NODE_ID_BYTES + 1], remove[LIMIT_NODE_ID_BYTES + 1]; /* "": nobody */
};

static bool read_change(const cJSON *root, struct change *change) {
    const cJSON *replace = cJSON_GetObjectItemCaseSensitive(root, "replace");
    if (!cJSON_IsObject(root) || cJSON_GetArraySize(root) != 1) {
        return false;
    }
    if (replace == NULL) {
        return read_id(root, "add", change->add) && read_id(root, "remove", change->remove) &&
               change->add[0] + change->remove[0] != 0;
    }
    return cJSON_IsObject(replace) && cJSON_GetArraySize(replace) == 2 &&
           read_id(replace, "new", change->add) && read_id(replace, "old", change->remove) &&
           change->add[0] != '\0' && change->remove[0] != '\0';
}

static void reply_set(struct exchange *exchange) {
    struct buf *body = &exchange->server->body;
    struct replication_voter voter;
    buf_append_text(body, "{\"voters\":[");
    for (size_t i = 0; replication_voter_at(exchange->context->replication, i, &voter); i++) {
        buf_append_text(body, i == 0 ? "" : ",");
        json_text_write(body, slice_from_text(voter.node_id));
    }
    buf_append_text(body, "]}\n");
    rest_reply_json(exchange, 202, HTTP_FIELD("Cache-Control: no-store"));
}

void rest_voters(struct exchange *exchange) {
    struct slice body = exchange->request->body;
    struct change change;
    if (!rest_voters_head(exchange) || !is_small(exchange, body.len)) {
        return;
    }
    cJSON *root = cJSON_ParseWithLength(body.ptr, body.len);
    bool is_read = read_change(root, &change);
    cJSON_Delete(root);
    if (!is_read) {
        rest_problem(exchange, ERR_BAD_REQUEST,
                     "the body is {\"add\":\"id\"}, {\"remove\":\"id\"} or "
                     "{\"replace\":{\"old\":\"id\",\"new\":\"id\"}}");
        return;
    }
    const char *reason = replication_change_voters(exchange->context->replication, change.add, change.remove);
    if (reason != NULL) {
        rest_problem(exchange, ERR_VOTERS, reason);
    } else {
        reply_set(exchange);
    }
}
