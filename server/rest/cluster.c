/* cluster.c: GET /cluster: the cluster as this node sees it. Not on a hot path: a cJSON tree. */
#include "cluster/membership.h"
#include "cluster/ring.h"
#include "cluster/routing.h"
#include "protocol/num.h"
#include "server/metrics.h"
#include "server/net/loop.h"
#include "server/peers/replication.h"
#include "server/rest/handlers.h"
#include "server/rest/problem.h"
#include "server/stats.h"
#include "server/version.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>

/* cJSON's numbers are doubles: 64-bit integers go in as text. */
static void add_u64(cJSON *object, const char *name, uint64_t number) {
    char text[NUM_MAX_DIGITS + 1];
    text[num_write_u64(text, number)] = '\0';
    cJSON_AddRawToObject(object, name, text);
}

static void add_i64(cJSON *object, const char *name, int64_t number) {
    char text[NUM_MAX_DIGITS + 1];
    text[num_write_i64(text, number)] = '\0';
    cJSON_AddRawToObject(object, name, text);
}

static void add_item(cJSON *array, cJSON *item_owned) {
    if (!cJSON_AddItemToArray(array, item_owned)) { /* there was no memory for the array */
        cJSON_Delete(item_owned);
    }
}

static void add_text(cJSON *object, const char *name, const char *text) {
    if (text[0] != '\0') {
        cJSON_AddStringToObject(object, name, text);
    } else {
        cJSON_AddNullToObject(object, name);
    }
}

static void add_time(cJSON *object, const char *name, int64_t unix_ms) {
    char text[TIME_RFC3339_BYTES + 1];
    time_rfc3339(text, unix_ms);
    text[TIME_RFC3339_BYTES] = '\0';
    cJSON_AddStringToObject(object, name, text);
}

static void add_history_id(cJSON *object, const char *name, uint64_t id) {
    char text[HISTORY_ID_DIGITS + 1];
    snprintf(text, sizeof(text), "%016llx", (unsigned long long)id);
    add_text(object, name, id == 0 ? "" : text);
}

/* --- Parts --- */

static void add_ports(cJSON *object, const struct member *member) {
    cJSON_AddStringToObject(object, "host", member->host);
    add_u64(object, "port", member->port);
    add_u64(object, "api_port", member->api_port);
    add_u64(object, "redis_port", member->redis_port);
}

static void add_self(cJSON *root, const struct command_context *context,
                     const struct replication_status *status) {
    const struct member *self = membership_self(context->membership);
    cJSON *object = cJSON_AddObjectToObject(root, "self");
    cJSON_AddStringToObject(object, "id", self->id);
    add_ports(object, self);
    add_u64(object, "group", self->group);
    cJSON_AddStringToObject(object, "role", replication_role_name(status->role));
    cJSON_AddStringToObject(object, "version", KVNODE_VERSION);
    add_time(object, "started", context->stats->started_ms);
    add_text(object, "leader", status->leader_id);
    cJSON_AddBoolToObject(object, "leader_link_up", status->role == REPLICATION_LEADER || status->link_up);
}

static void add_history(cJSON *root, const struct replication_status *status) {
    cJSON *object = cJSON_AddObjectToObject(root, "history");
    add_history_id(object, "id", status->history_id);
    add_u64(object, "index", status->index);
    add_u64(object, "term", status->term.number);
    add_text(object, "term_leader", status->term.node_id);
    add_u64(object, "first_index", status->first_index);
    add_u64(object, "backlog_bytes", status->backlog_bytes);
    add_u64(object, "backlog_limit_bytes", status->backlog_limit_bytes);
    add_u64(object, "full_syncs", status->full_syncs);
    add_u64(object, "partial_syncs", status->partial_syncs);
    add_u64(object, "lines_unknown", status->lines_unknown);
    if (status->role == REPLICATION_FOLLOWER || status->role == REPLICATION_DEMOTED) {
        add_u64(object, "leader_index", status->leader_index);
        add_u64(object, "lag_lines",
                status->leader_index > status->index ? status->leader_index - status->index : 0);
        add_i64(object, "last_line_age_ms", status->last_line_age_ms);
        cJSON_AddBoolToObject(object, "full_in_progress", status->full_in_progress);
    }
}

static size_t members_of(const struct membership *membership, uint16_t group) {
    size_t n = 0;
    for (size_t i = 0; i < membership_count(membership); i++) {
        n += membership_at(membership, i)->group == group;
    }
    return n;
}

static void add_groups(cJSON *root, const struct command_context *context) {
    cJSON *array = cJSON_AddArrayToObject(root, "groups");
    const uint16_t *groups;
    size_t n = membership_groups(context->membership, &groups);
    for (size_t i = 0; i < n; i++) {
        const struct member *leader = membership_leader(context->membership, groups[i]);
        cJSON *object = cJSON_CreateObject();
        add_u64(object, "id", groups[i]);
        add_text(object, "leader", leader == NULL ? "" : leader->id);
        add_u64(object, "slots", routing_owned_slots(context->routing, groups[i]));
        add_u64(object, "members", members_of(context->membership, groups[i]));
        add_item(array, object);
    }
}

/* What this node, as a leader, knows of a follower. */
static void add_link(cJSON *object, const struct replication *replication, const char *node_id) {
    struct replication_follower follower;
    if (replication_follower_of(replication, node_id, &follower)) {
        cJSON_AddStringToObject(object, "link", follower.state);
        add_u64(object, "lag_lines", follower.lag_lines);
        add_i64(object, "lag_ms", follower.lag_ms);
        add_i64(object, "ack_age_ms", follower.ack_age_ms);
    }
}

static void add_nodes(cJSON *root, const struct command_context *context) {
    cJSON *array = cJSON_AddArrayToObject(root, "nodes");
    int64_t now_ms = loop_monotonic_ms(context->loop);
    for (size_t i = 0; i < membership_count(context->membership); i++) {
        const struct member *member = membership_at(context->membership, i);
        cJSON *object = cJSON_CreateObject();
        cJSON_AddStringToObject(object, "id", member->id);
        add_ports(object, member);
        add_u64(object, "group", member->group);
        const struct member *leader = membership_last_leader(context->membership, member->group);
        bool leads = member->leader && (leader == NULL || leader == member);
        cJSON_AddStringToObject(object, "role", leads ? "leader" : "follower");
        cJSON_AddBoolToObject(object, "alive", membership_is_alive(context->membership, member));
        cJSON_AddBoolToObject(object, "self", member->self);
        int64_t heard_ms = member->self ? now_ms : member->last_heard_ms;
        add_time(object, "last_seen", loop_unix_ms_of(context->loop, heard_ms));
        add_i64(object, "last_seen_ms", now_ms - heard_ms);
        cJSON_AddBoolToObject(object, "has_state",
                              member->self ? context->routing->self_has_state : member->has_state);
        uint64_t index;
        if (replication_index_of(context->replication, member, &index)) {
            add_u64(object, "position", index);
        }
        add_link(object, context->replication, member->id);
        add_item(array, object);
    }
}

/* Nothing where the leader is named by hand. */
static void add_voting(cJSON *root, const struct replication *replication) {
    struct replication_voting voting;
    struct replication_voter voter;
    replication_voting(replication, &voting);
    cJSON *object = cJSON_AddObjectToObject(root, "voting");
    cJSON_AddBoolToObject(object, "active", voting.active);
    if (!voting.active) {
        return;
    }
    cJSON_AddStringToObject(object, "phase", voting.phase);
    add_u64(object, "term", voting.term);
    add_text(object, "leader", voting.leader_id);
    add_text(object, "voted_for", voting.voted_for);
    cJSON_AddStringToObject(object, "acks", voting.quorum ? "quorum" : "leader");
    add_u64(object, "wanted", voting.wanted);
    add_u64(object, "quorum", voting.voter_count == 0 ? 0 : voting.voter_count / 2 + 1);
    add_u64(object, "committed_index", voting.committed_index);
    add_u64(object, "elections", voting.elections);
    add_text(object, "reason", voting.reason);
    cJSON *array = cJSON_AddArrayToObject(object, "voters");
    for (size_t i = 0; replication_voter_at(replication, i, &voter); i++) {
        cJSON *row = cJSON_CreateObject();
        cJSON_AddStringToObject(row, "id", voter.node_id);
        cJSON_AddBoolToObject(row, "leads", voter.leads);
        cJSON_AddBoolToObject(row, "reachable", voter.reachable);
        add_u64(row, "durable_index", voter.durable_index);
        add_text(row, "memory", !voter.is_known ? "" : voter.forgetful ? "forgetful" : "firm");
        add_item(array, row);
    }
}

static void count_range(void *context, uint16_t first, uint16_t last, uint16_t group) {
    (void)first;
    (void)last;
    (void)group;
    (*(size_t *)context)++;
}

static void add_ring(cJSON *root, const struct command_context *context) {
    const uint16_t *groups;
    size_t ranges = 0;
    routing_ranges(context->routing, count_range, &ranges);
    cJSON *object = cJSON_AddObjectToObject(root, "ring");
    add_u64(object, "virtual_nodes", RING_VIRTUAL_NODES);
    add_u64(object, "groups", membership_groups(context->membership, &groups));
    add_u64(object, "slots", SLOT_COUNT);
    add_u64(object, "ranges", ranges);
    add_u64(object, "epoch", context->routing->epoch);
}

/* A row of server/metrics.def, under a name of this answer's own. */
struct shown {
    const char *name;
    enum metric metric;
};

static void add_metrics(cJSON *object, const struct metrics *metrics, const struct shown *shown, size_t n) {
    for (size_t i = 0; i < n; i++) {
        add_i64(object, shown[i].name, metrics_integer(metrics, shown[i].metric));
    }
}

static void add_stats(cJSON *root, const struct command_context *context) {
    static const struct shown stats[] = {
        {"keys", METRIC_keys},
        {"used_memory", METRIC_used_memory},
        {"maxmemory", METRIC_maxmemory},
        {"hits", METRIC_keyspace_hits},
        {"misses", METRIC_keyspace_misses},
        {"writes", METRIC_keyspace_writes},
        {"deletes", METRIC_keyspace_deletes},
        {"expired", METRIC_expired_keys},
        {"clients", METRIC_connected_clients},
        {"http_requests", METRIC_http_requests_processed},
        {"resp_commands", METRIC_total_commands_processed},
    };
    static const struct shown stalls[] = {
        {"p50", METRIC_loop_stall_p50},
        {"p99", METRIC_loop_stall_p99},
        {"p99.9", METRIC_loop_stall_p999},
        {"max", METRIC_loop_stall_max},
    };
    struct metrics metrics;
    metrics_read(context, &metrics);
    cJSON *object = cJSON_AddObjectToObject(root, "stats");
    add_metrics(object, &metrics, stats, sizeof(stats) / sizeof(stats[0]));
    cJSON *stall = cJSON_AddObjectToObject(object, "loop_stall_us");
    add_metrics(stall, &metrics, stalls, sizeof(stalls) / sizeof(stalls[0]));
}

void rest_cluster(struct exchange *exchange) {
    const struct command_context *context = exchange->context;
    struct replication_status status;
    replication_status(context->replication, &status);
    cJSON *root = cJSON_CreateObject();
    add_self(root, context, &status);
    add_groups(root, context);
    add_nodes(root, context);
    add_history(root, &status);
    add_voting(root, context->replication);
    add_u64(root, "slots_owned",
            routing_owned_slots(context->routing, membership_self(context->membership)->group));
    add_ring(root, context);
    if (status.conflict[0] != '\0') {
        cJSON_AddStringToObject(root, "conflict", status.conflict);
    }
    add_stats(root, context);

    /* What could not be allocated is missing, or there is no text at all. */
    char *text = cJSON_PrintUnformatted(root);
    cJSON_Delete(root);
    if (text == NULL) {
        rest_problem(exchange, ERR_NO_MEMORY, NULL);
        return;
    }
    buf_append_text(&exchange->server->body, text);
    buf_append_byte(&exchange->server->body, '\n');
    cJSON_free(text);
    rest_reply_json(exchange, 200, HTTP_FIELD("Cache-Control: no-store"));
}
