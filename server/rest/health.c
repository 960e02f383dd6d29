/* health.c: GET /health: whether this node should be sent requests, for a load balancer and for people.
 *
 * 503 is for a node whose answers would be wrong or refused:
 *
 *   - starting: it looks for the data of its group, or takes it from a follower
 *   - conflict: its group has two leaders, it is the one that stepped down, and it has not got the other's
 *     data yet
 *   - empty: a follower that has not received its first state
 *
 * 200 is for the rest, and of these "degraded" for a follower whose leader is away: it serves what it has, and
 * says so.
 */
#include "protocol/json_text.h"
#include "server/peers/replication.h"
#include "server/rest/handlers.h"
#include "server/settings.h"
#include "server/store/keyspace.h"

struct health {
    int http_status;
    const char *status, *why; /* why NULL: nothing is wrong */
};

static struct health judge(const struct replication_status *status) {
    const char *conflict = status->conflict[0] != '\0' ? status->conflict : NULL;
    bool has_state = status->full_in_progress ? status->full_syncs > 0
                                              : status->history_id != 0 || status->lines_received > 0;
    switch (status->role) {
    case REPLICATION_STARTING:
        return (struct health){503, "starting", "it looks for the data of its group before it serves"};
    case REPLICATION_LEADER:
        return (struct health){200, "ok", conflict};
    case REPLICATION_DEMOTED:
        if (!status->synced) {
            return (struct health){503, "conflict",
                                   conflict != NULL ? conflict : "its group has an older leader"};
        }
        break;
    case REPLICATION_FOLLOWER:
        break;
    }
    if (!has_state) {
        return (struct health){503, "empty", "it has not received the state of its group yet"};
    }
    if (!status->link_up) {
        return (struct health){200, "degraded", "it has no link to a leader: it serves what it has"};
    }
    return (struct health){200, "ok", conflict};
}

void rest_health(struct exchange *exchange) {
    struct replication_status status;
    replication_status(exchange->context->replication, &status);
    struct health health = judge(&status);
    const struct settings *settings = exchange->context->settings;

    struct buf *body = &exchange->server->body;
    buf_printf(body,
               "{\"status\":\"%s\",\"node\":\"%s\",\"group\":%u,\"role\":\"%s\",\"leader\":", health.status,
               settings->id, (unsigned)settings->group, replication_role_name(status.role));
    if (status.leader_id[0] != '\0') {
        json_text_write(body, slice_from_text(status.leader_id));
    } else {
        buf_append_text(body, "null");
    }
    buf_append_text(body, ",\"index\":");
    buf_append_u64(body, status.index);
    buf_append_text(body, ",\"keys\":");
    buf_append_u64(body, keyspace_count(exchange->context->keyspace));
    if (health.why != NULL) {
        buf_append_text(body, ",\"why\":");
        json_text_write(body, slice_from_text(health.why));
    }
    buf_append_text(body, "}\n");
    rest_reply_json(exchange, health.http_status,
                    health.http_status == 200 ? SLICE("Cache-Control: no-store\r\n")
                                              : SLICE("Cache-Control: no-store\r\nRetry-After: 1\r\n"));
}
