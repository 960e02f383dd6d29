/* health.c: GET /health: whether this node should be sent requests, for a load balancer and for people.
 *
 * 503 is for a node whose answers would be wrong or refused:
 *
 *   - starting: it looks for the data of its group, or takes it from a follower
 *   - conflict: its group has two leaders, it is the one that stepped down, and it has not got the other's
 *     data yet
 *   - empty: a follower that has not received its first state, or whose group has not formed its set of voters
 *   - recovering: it reads its data from its disk
 *   - trouble: its disk takes nothing, so it takes no writes
 *
 * 200 is for the rest, and of these "degraded" for a follower whose leader is away: it serves what it has, and
 * says so; and for a node that does its part while slots of another group are not served: no other node would
 * answer better.
 */
#include "cluster/routing.h"
#include "protocol/json_text.h"
#include "server/journal/journal.h"
#include "server/peers/replication.h"
#include "server/rest/handlers.h"
#include "server/settings.h"
#include "server/store/keyspace.h"

#include <stdio.h>

struct health {
    int http_status;
    const char *status, *why; /* why NULL: nothing is wrong */
};

enum { WHY_MAX_BYTES = 160 };

static struct health judge(const struct replication_status *status, const struct replication_voting *voting) {
    const char *conflict = status->conflict[0] != '\0' ? status->conflict : NULL;
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
    if (!status->has_state) {
        return (struct health){503, "empty",
                               voting->active && voting->voter_count == 0
                                   ? "its group has no voters yet, who would elect its leader"
                                   : "it has not received the state of its group yet"};
    }
    if (!status->link_up) {
        return (struct health){
            200, "degraded",
            voting->active ? "its group elects a leader, who takes writes: until then it serves what it has"
                           : "it has no link to a leader: it serves what it has"};
    }
    return (struct health){200, "ok", conflict};
}

/* What its disk makes of it. */
static struct health judge_disk(const struct command_context *context, struct health health) {
    struct journal_status journal;
    if (context->settings->data[0] == '\0') {
        return health;
    }
    if (context->journal == NULL) {
        return (struct health){503, "recovering", "it reads its data from its disk"};
    }
    journal_status(context->journal, &journal);
    return journal.trouble != NULL ? (struct health){503, "trouble", journal.trouble} : health;
}

/* A node with nothing wrong of its own tells of slots that others should serve. */
static struct health judge_cluster(struct health health, const struct routing_gaps *gaps,
                                   char why[WHY_MAX_BYTES]) {
    if (health.http_status != 200 || health.why != NULL || gaps->worst == ROUTING_SERVED) {
        return health;
    }
    if (gaps->worst == ROUTING_UNSERVED) {
        snprintf(why, WHY_MAX_BYTES, "nobody serves %zu slots: no node of group %u is there that has its data",
                 gaps->unserved, gaps->group);
    } else {
        snprintf(why, WHY_MAX_BYTES, "%zu slots take no writes: group %u has no leader", gaps->read_only,
                 gaps->group);
    }
    return (struct health){200, "degraded", why};
}

void rest_health(struct exchange *exchange) {
    struct replication_status status;
    replication_status(exchange->context->replication, &status);
    struct replication_voting voting;
    replication_voting(exchange->context->replication, &voting);
    struct routing_gaps gaps = routing_gaps(exchange->context->routing);
    char why[WHY_MAX_BYTES];
    struct health health = judge_disk(exchange->context, judge_cluster(judge(&status, &voting), &gaps, why));
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
    if (gaps.worst != ROUTING_SERVED) {
        buf_printf(body, ",\"slots_without_leader\":%zu,\"slots_unserved\":%zu", gaps.read_only + gaps.unserved,
                   gaps.unserved);
    }
    if (health.why != NULL) {
        buf_append_text(body, ",\"why\":");
        json_text_write(body, slice_from_text(health.why));
    }
    buf_append_text(body, "}\n");
    rest_reply_json(exchange, health.http_status,
                    health.http_status == 200 ? SLICE("Cache-Control: no-store\r\n")
                                              : SLICE("Cache-Control: no-store\r\nRetry-After: 1\r\n"));
}
