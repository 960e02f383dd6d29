/* cluster_command.c: the cluster as Redis Cluster clients see it: groups are shards, leaders are masters. */
#include "cluster/membership.h"
#include "cluster/routing.h"
#include "cluster/slot.h"
#include "protocol/num.h"
#include "server/commands/node/cluster_topology.h"
#include "server/commands/rows.h"
#include "server/dispatch/walk.h"
#include "server/peers/discovery.h"
#include "server/peers/replication.h"
#include "server/store/keyspace.h"

#include <stdio.h>
#include <stdlib.h>

/* --- The small ones
 * ----------------------------------------------------------------------------------------------- */

static uint64_t greatest_epoch(const struct command_context *context) {
    const uint16_t *groups;
    size_t group_count = membership_groups(context->membership, &groups);
    uint64_t greatest = context->routing->epoch;
    for (size_t i = 0; i < group_count; i++) {
        const struct member *leader = membership_last_leader(context->membership, groups[i]);
        uint64_t epoch = cluster_config_epoch(context, leader);
        greatest = epoch > greatest ? epoch : greatest;
    }
    return greatest;
}

void command_cluster_info(struct request *request) {
    const struct command_context *context = request->context;
    uint16_t own_group = membership_self(context->membership)->group;
    uint64_t own_epoch = cluster_config_epoch(context, membership_last_leader(context->membership, own_group));
    const uint16_t *groups;
    size_t group_count = membership_groups(context->membership, &groups);
    size_t assigned = group_count > 0 ? SLOT_COUNT : 0;
    struct routing_gaps gaps = routing_gaps(context->routing);
    size_t served = assigned - gaps.read_only - gaps.unserved;
    char text[1024];
    int n = snprintf(text, sizeof(text),
                     "cluster_state:%s\r\n"
                     "cluster_slots_assigned:%zu\r\n"
                     "cluster_slots_ok:%zu\r\n"
                     "cluster_slots_pfail:0\r\n"
                     "cluster_slots_fail:%zu\r\n"
                     "cluster_known_nodes:%zu\r\n"
                     "cluster_size:%zu\r\n"
                     "cluster_current_epoch:%llu\r\n"
                     "cluster_my_epoch:%llu\r\n"
                     "cluster_stats_messages_sent:%llu\r\n"
                     "cluster_stats_messages_received:%llu\r\n"
                     "total_cluster_links_buffer_limit_exceeded:0\r\n",
                     served == SLOT_COUNT ? "ok" : "fail", assigned, served, assigned - served,
                     membership_count(context->membership), group_count,
                     (unsigned long long)greatest_epoch(context), (unsigned long long)own_epoch,
                     (unsigned long long)context->discovery->sent,
                     (unsigned long long)context->discovery->received);
    resp_text(&request->reply, slice_of(text, (size_t)n));
}

void command_cluster_myid(struct request *request) {
    resp_bulk_text(&request->reply, membership_self(request->context->membership)->id);
}

void command_cluster_keyslot(struct request *request) {
    resp_integer(&request->reply, slot_of_key(request->args[2]));
}

/* Groups are shards: 40 digits, as Redis's shard ids have them. */
void command_cluster_myshardid(struct request *request) {
    char id[48];
    int n = snprintf(id, sizeof(id), "%040x", membership_self(request->context->membership)->group);
    resp_bulk(&request->reply, slice_of(id, (size_t)n));
}

/* ASKING, CLUSTER SAVECONFIG: no slot is asked for while it moves, and there is nothing to be saved. */
void command_cluster_hint(struct request *request) { reply_ok(request); }

/* --- The keys of a slot: all keys are looked at, in slices
 * ----------------------------------------------------------------------------------- */

struct slot_keys {
    uint16_t slot;
    bool count_only;
    size_t most, count;
};

static void visit_slot_key(struct walk *walk, const struct entry *entry) {
    struct slot_keys *keys = walk_state(walk);
    if (keys->count == keys->most || slot_of_key(entry_key(entry)) != keys->slot) {
        return;
    }
    keys->count++;
    if (!keys->count_only) {
        walk_add_bulk(walk, entry_key(entry));
    }
}

static void finish_slot_keys(struct walk *walk, struct resp_reply *reply) {
    const struct slot_keys *keys = walk_state(walk);
    if (keys->count_only) {
        resp_integer(reply, (int64_t)keys->count);
    } else {
        resp_array(reply, walk_added(walk));
    }
}

static const struct walk_kind slot_keys_kind = {
    .visit = visit_slot_key, .finish = finish_slot_keys, .release = free};

static void walk_slot(struct request *request, int64_t slot, bool count_only, size_t most) {
    struct slot_keys *keys = malloc(sizeof(*keys));
    if (keys != NULL) {
        *keys = (struct slot_keys){.slot = (uint16_t)slot, .count_only = count_only, .most = most};
    }
    walk_start(request, &slot_keys_kind, 0, keys);
}

void command_cluster_countkeysinslot(struct request *request) {
    int64_t slot;
    if (!request_integer(request, 2, &slot)) {
        return;
    }
    if (slot < 0 || slot >= SLOT_COUNT) {
        resp_errorf(&request->reply, "ERR Invalid slot");
        return;
    }
    walk_slot(request, slot, true, SIZE_MAX);
}

void command_cluster_getkeysinslot(struct request *request) {
    int64_t slot, most;
    if (!request_integer(request, 2, &slot) || !request_integer(request, 3, &most)) {
        return;
    }
    if (slot < 0 || slot >= SLOT_COUNT || most < 0) {
        resp_errorf(&request->reply, "ERR Invalid slot or number of keys");
        return;
    }
    walk_slot(request, slot, false, (size_t)most);
}

/* --- What would change the cluster by hand
 * ----------------------------------------------------------------------------------- */

static const struct {
    const char *subcommand, *instead;
} reshaping[] = {
    {"meet", "nodes find each other by UDP broadcast: start one in this network and it is there"},
    {"forget", "a node that has not been heard for 30 s is dead, and one that comes back replaces it"},
    {"replicate", "a node follows the leader of the group that -group names"},
    {"reset", "restart the node, with the -group and -id that it shall have"},
    {"addslots", NULL},
    {"addslotsrange", NULL},
    {"delslots", NULL},
    {"delslotsrange", NULL},
    {"flushslots", NULL},
    {"setslot", NULL},
    {"bumpepoch", "epochs are counted by the node itself"},
    {"set-config-epoch", "epochs are counted by the node itself"},
};

static const char ring_instead[] =
    "slots belong to groups by a consistent-hash ring: start the leader of another group and it gets its share";

void command_cluster_reshape(struct request *request) {
    const char *subcommand = strchr(request->command->name, '|') + 1, *instead = ring_instead;
    for (size_t i = 0; i < sizeof(reshaping) / sizeof(reshaping[0]); i++) {
        if (strcmp(subcommand, reshaping[i].subcommand) == 0 && reshaping[i].instead != NULL) {
            instead = reshaping[i].instead;
        }
    }
    resp_errorf(&request->reply, "ERR kvnode does not take '%s' by hand: %s", request->command->name, instead);
}

/* REPLICAOF, SLAVEOF, FAILOVER */
void command_not_in_cluster(struct request *request) {
    char name[32] = "";
    for (size_t i = 0; i + 1 < sizeof(name) && request->command->name[i] != '\0'; i++) {
        name[i] = (char)(request->command->name[i] - 32);
    }
    resp_errorf(&request->reply, "ERR %s not allowed in cluster mode.", name);
}

void command_cluster_count_failure_reports(struct request *request) {
    if (cluster_member(request, request->args[2]) != NULL) {
        resp_integer(&request->reply, 0);
    }
}

/* --- ROLE
 * --------------------------------------------------------------------------------------------------------- */

static void reply_role_leader(struct request *request, const struct replication_status *status) {
    struct resp_reply *reply = &request->reply;
    struct replication_follower follower;
    size_t count = 0;
    while (replication_follower_at(request->context->replication, count, &follower)) {
        count++;
    }
    resp_array(reply, 3);
    resp_bulk_text(reply, "master");
    resp_integer(reply, (int64_t)status->index);
    resp_array(reply, count);
    for (size_t i = 0; i < count && replication_follower_at(request->context->replication, i, &follower); i++) {
        char port[8];
        snprintf(port, sizeof(port), "%u", follower.redis_port);
        resp_array(reply, 3);
        resp_bulk_text(reply, follower.host);
        resp_bulk_text(reply, port);
        resp_bulk_number(reply, follower.acked_index);
    }
}

void command_role(struct request *request) {
    struct resp_reply *reply = &request->reply;
    struct replication_status status;
    replication_status(request->context->replication, &status);
    if (status.role == REPLICATION_LEADER || status.role == REPLICATION_STARTING) {
        reply_role_leader(request, &status);
        return;
    }
    resp_array(reply, 5);
    resp_bulk_text(reply, "slave");
    resp_bulk_text(reply, status.leader_host);
    resp_integer(reply, status.leader_redis_port);
    resp_bulk_text(reply, !status.link_up                                ? "connect"
                          : status.full_in_progress || !status.has_state ? "sync"
                                                                         : "connected");
    resp_integer(reply, (int64_t)status.index);
}
