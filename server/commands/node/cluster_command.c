/* cluster.c: the cluster as Redis Cluster clients see it: groups are shards, leaders are masters. Told from the
 * owner table (routing) and the members (membership). */
#include "cluster/membership.h"
#include "cluster/routing.h"
#include "cluster/slot.h"
#include "protocol/num.h"
#include "server/commands/rows.h"
#include "server/dispatch/walk.h"
#include "server/peers/discovery.h"
#include "server/peers/replication.h"
#include "server/store/keyspace.h"

#include <stdio.h>
#include <stdlib.h>

/* A member that a client can be sent to. */
static bool is_reachable(const struct member *member) {
    return member->alive && (member->self || member->has_endpoints);
}

static bool is_reachable_follower(const struct member *member, uint16_t group, const struct member *leader) {
    return member->group == group && member != leader && !member->leader && is_reachable(member);
}

/* The one that gets the group's slots; NULL: nobody can be named. */
static const struct member *named_leader(const struct command_context *context, uint16_t group) {
    const struct member *leader = membership_leader(context->membership, group);
    return leader != NULL && is_reachable(leader) ? leader : NULL;
}

static size_t count_followers(const struct command_context *context, uint16_t group,
                              const struct member *leader) {
    size_t count = 0;
    for (size_t i = 0; i < membership_count(context->membership); i++) {
        count += is_reachable_follower(membership_at(context->membership, i), group, leader);
    }
    return count;
}

/* --- CLUSTER SLOTS
 * ------------------------------------------------------------------------------------------------ */

struct slots_reply {
    struct request *request;
    size_t count;
};

static void count_range(void *context, uint16_t first, uint16_t last, uint16_t group) {
    (void)first;
    (void)last;
    struct slots_reply *slots = context;
    slots->count += named_leader(slots->request->context, group) != NULL;
}

static void reply_slots_node(struct resp_reply *reply, const struct member *member) {
    resp_array(reply, 4);
    resp_bulk_text(reply, member->host);
    resp_integer(reply, member->redis_port);
    resp_bulk_text(reply, member->id);
    resp_array(reply, 0); /* metadata: the host name where the address is preferred, or the reverse */
}

static void reply_range(void *visit_context, uint16_t first, uint16_t last, uint16_t group) {
    struct slots_reply *slots = visit_context;
    const struct command_context *context = slots->request->context;
    struct resp_reply *reply = &slots->request->reply;
    const struct member *leader = named_leader(context, group);
    if (leader == NULL) {
        return;
    }
    resp_array(reply, 3 + count_followers(context, group, leader));
    resp_integer(reply, first);
    resp_integer(reply, last);
    reply_slots_node(reply, leader);
    for (size_t i = 0; i < membership_count(context->membership); i++) {
        const struct member *member = membership_at(context->membership, i);
        if (is_reachable_follower(member, group, leader)) {
            reply_slots_node(reply, member);
        }
    }
}

void command_cluster_slots(struct request *request) {
    struct slots_reply slots = {request, 0};
    routing_ranges(request->context->routing, count_range, &slots);
    resp_array(&request->reply, slots.count);
    routing_ranges(request->context->routing, reply_range, &slots);
}

/* --- CLUSTER SHARDS
 * ----------------------------------------------------------------------------------------------- */

struct shard_ranges {
    struct resp_reply *reply; /* NULL: only counted */
    uint16_t group;
    size_t count;
};

static void visit_shard_range(void *context, uint16_t first, uint16_t last, uint16_t group) {
    struct shard_ranges *ranges = context;
    if (group != ranges->group) {
        return;
    }
    ranges->count++;
    if (ranges->reply != NULL) {
        resp_integer(ranges->reply, first);
        resp_integer(ranges->reply, last);
    }
}

static void reply_shard_node(struct request *request, const struct member *member, bool leader) {
    struct resp_reply *reply = &request->reply;
    struct replication_status status;
    replication_status(request->context->replication, &status);
    resp_map(reply, 7);
    resp_bulk_text(reply, "id");
    resp_bulk_text(reply, member->id);
    resp_bulk_text(reply, "port");
    resp_integer(reply, member->redis_port);
    resp_bulk_text(reply, "ip");
    resp_bulk_text(reply, member->host);
    resp_bulk_text(reply, "endpoint");
    resp_bulk_text(reply, member->host);
    resp_bulk_text(reply, "role");
    resp_bulk_text(reply, leader ? "master" : "replica");
    resp_bulk_text(reply, "replication-offset");
    resp_integer(reply, member->self ? (int64_t)status.index : 0);
    resp_bulk_text(reply, "health");
    resp_bulk_text(reply, member->alive ? "online" : "fail");
}

static bool is_shard_node(const struct member *member, uint16_t group) {
    return member->group == group && (member->self || member->has_endpoints);
}

void command_cluster_shards(struct request *request) {
    const struct command_context *context = request->context;
    struct resp_reply *reply = &request->reply;
    const uint16_t *groups;
    size_t group_count = membership_groups(context->membership, &groups);
    resp_array(reply, group_count);
    for (size_t g = 0; g < group_count; g++) {
        struct shard_ranges counted = {NULL, groups[g], 0}, written = {reply, groups[g], 0};
        routing_ranges(context->routing, visit_shard_range, &counted);
        resp_map(reply, 2);
        resp_bulk_text(reply, "slots");
        resp_array(reply, counted.count * 2);
        routing_ranges(context->routing, visit_shard_range, &written);
        size_t nodes = 0;
        for (size_t i = 0; i < membership_count(context->membership); i++) {
            nodes += is_shard_node(membership_at(context->membership, i), groups[g]);
        }
        resp_bulk_text(reply, "nodes");
        resp_array(reply, nodes);
        const struct member *leader = membership_leader(context->membership, groups[g]);
        for (size_t i = 0; i < membership_count(context->membership); i++) {
            const struct member *member = membership_at(context->membership, i);
            if (is_shard_node(member, groups[g])) {
                reply_shard_node(request, member, member == leader);
            }
        }
    }
}

/* --- CLUSTER NODES
 * ------------------------------------------------------------------------------------------------ */

struct node_ranges {
    struct buf *out;
    uint16_t group;
};

static void append_node_range(void *context, uint16_t first, uint16_t last, uint16_t group) {
    const struct node_ranges *ranges = context;
    if (group != ranges->group) {
        return;
    }
    if (first == last) {
        buf_printf(ranges->out, " %u", first);
    } else {
        buf_printf(ranges->out, " %u-%u", first, last);
    }
}

/* id ip:port@cport flags master ping-sent pong-received config-epoch link-state slot... */
static void append_node(const struct command_context *context, const struct member *member, struct buf *out) {
    const struct member *leader = membership_leader(context->membership, member->group);
    bool leads = leader == member || (member->leader && leader == NULL);
    buf_printf(out, "%s %s:%u@%u %s%s%s %s 0 %lld %u %s", member->id, member->host, member->redis_port,
               member->port, member->self ? "myself," : "", leads ? "master" : "slave",
               member->alive ? "" : ",fail", leads || leader == NULL ? "-" : leader->id,
               member->self ? 0LL : (long long)loop_unix_ms_of(context->loop, member->last_heard_ms),
               context->routing->epoch, member->alive ? "connected" : "disconnected");
    if (member == leader) {
        routing_ranges(context->routing, append_node_range, &(struct node_ranges){out, member->group});
    }
    buf_append_byte(out, '\n');
}

void command_cluster_nodes(struct request *request) {
    const struct command_context *context = request->context;
    struct buf text;
    buf_init(&text, SIZE_MAX);
    for (size_t i = 0; i < membership_count(context->membership); i++) {
        append_node(context, membership_at(context->membership, i), &text);
    }
    reply_gathered(request, &text);
}

/* --- The small ones
 * ----------------------------------------------------------------------------------------------- */

void command_cluster_info(struct request *request) {
    const struct command_context *context = request->context;
    const uint16_t *groups;
    size_t group_count = membership_groups(context->membership, &groups);
    size_t assigned = 0, served = 0;
    for (size_t g = 0; g < group_count; g++) {
        size_t owned = routing_owned_slots(context->routing, groups[g]);
        assigned += owned;
        served += named_leader(context, groups[g]) != NULL ? owned : 0;
    }
    char text[1024];
    int n = snprintf(text, sizeof(text),
                     "cluster_state:%s\r\n"
                     "cluster_slots_assigned:%zu\r\n"
                     "cluster_slots_ok:%zu\r\n"
                     "cluster_slots_pfail:0\r\n"
                     "cluster_slots_fail:%zu\r\n"
                     "cluster_known_nodes:%zu\r\n"
                     "cluster_size:%zu\r\n"
                     "cluster_current_epoch:%u\r\n"
                     "cluster_my_epoch:%u\r\n"
                     "cluster_stats_messages_sent:%llu\r\n"
                     "cluster_stats_messages_received:%llu\r\n"
                     "total_cluster_links_buffer_limit_exceeded:0\r\n",
                     served == SLOT_COUNT ? "ok" : "fail", assigned, served, assigned - served,
                     membership_count(context->membership), group_count, context->routing->epoch,
                     context->routing->epoch, (unsigned long long)context->discovery->sent,
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

/* Nodes hear each other by UDP: there are no links to tell of. */
void command_cluster_links(struct request *request) { resp_array(&request->reply, 0); }

/* ASKING, READONLY, READWRITE: no slot is asked for while it moves, and a follower always answers reads. */
void command_cluster_hint(struct request *request) { reply_ok(request); }

static const struct member *find_member(const struct command_context *context, struct slice id) {
    for (size_t i = 0; i < membership_count(context->membership); i++) {
        const struct member *member = membership_at(context->membership, i);
        if (slice_equals_nocase(slice_from_text(member->id), id)) {
            return member;
        }
    }
    return NULL;
}

static bool is_follower_of(const struct member *member, const struct member *leader) {
    return member != leader && member->group == leader->group && (member->self || member->has_endpoints);
}

void command_cluster_replicas(struct request *request) {
    const struct command_context *context = request->context;
    const struct member *leader = find_member(context, request->args[2]);
    if (leader == NULL) {
        struct slice id = slice_first(request->args[2], 128);
        resp_errorf(&request->reply, "ERR Unknown node %.*s", (int)id.len, id.ptr);
        return;
    }
    if (membership_leader(context->membership, leader->group) != leader) {
        resp_errorf(&request->reply, "ERR The specified node is not a master");
        return;
    }
    size_t count = 0;
    for (size_t i = 0; i < membership_count(context->membership); i++) {
        count += is_follower_of(membership_at(context->membership, i), leader);
    }
    resp_array(&request->reply, count);
    struct buf line;
    buf_init(&line, SIZE_MAX);
    for (size_t i = 0; i < membership_count(context->membership); i++) {
        const struct member *member = membership_at(context->membership, i);
        if (is_follower_of(member, leader)) {
            append_node(context, member, &line);
            resp_bulk(&request->reply, slice_first(buf_slice(&line), buf_used(&line) - 1));
            buf_fail_if(request->reply.out, buf_failed(&line));
            buf_reset(&line);
        }
    }
    buf_deinit(&line);
}

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
    {"failover", "a group is led by the node that was started with -leader"},
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
    if (find_member(request->context, request->args[2]) == NULL) {
        struct slice id = slice_first(request->args[2], 128);
        resp_errorf(&request->reply, "ERR Unknown node %.*s", (int)id.len, id.ptr);
        return;
    }
    resp_integer(&request->reply, 0);
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
    resp_bulk_text(reply, !status.link_up ? "connect" : status.full_in_progress ? "sync" : "connected");
    resp_integer(reply, (int64_t)status.index);
}
