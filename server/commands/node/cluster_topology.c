/* cluster_topology.c: CLUSTER SLOTS, SHARDS, NODES, REPLICAS, LINKS: who is where, told from the owner table
 * (routing) and the members (membership). */
#include "server/commands/node/cluster_topology.h"

#include "cluster/membership.h"
#include "cluster/routing.h"
#include "server/commands/rows.h"
#include "server/peers/replication.h"

#include <stdio.h>

enum { SHOWN_ID_BYTES = 128 };

static bool can_be_named(const struct member *member) { return member->self || member->has_endpoints; }

static bool has_state(const struct command_context *context, const struct member *member) {
    return member->self ? context->routing->self_has_state : member->has_state;
}

/* Who is asked for the group's slots: its leader, the dead one if nobody has taken its place, as in Redis;
 * NULL: nobody can be named. */
static const struct member *named_leader(const struct command_context *context, uint16_t group) {
    const struct member *leader = membership_last_leader(context->membership, group);
    return leader != NULL && can_be_named(leader) ? leader : NULL;
}

/* One that answers reads. */
static bool is_readable_follower(const struct command_context *context, const struct member *member,
                                 uint16_t group) {
    return member->group == group && !member->leader && member->alive && can_be_named(member) &&
           has_state(context, member);
}

static size_t count_followers(const struct command_context *context, uint16_t group) {
    size_t count = 0;
    for (size_t i = 0; i < membership_count(context->membership); i++) {
        count += is_readable_follower(context, membership_at(context->membership, i), group);
    }
    return count;
}

/* --- CLUSTER SLOTS
 * ------------------------------------------------------------------------------------------------ */

struct slots_reply {
    struct request *request;
    size_t count;
};

static void count_range(void *visit_context, uint16_t first, uint16_t last, uint16_t group) {
    (void)first;
    (void)last;
    struct slots_reply *slots = visit_context;
    const struct command_context *context = slots->request->context;
    slots->count += named_leader(context, group) != NULL || count_followers(context, group) > 0;
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
    size_t nodes = (leader != NULL) + count_followers(context, group);
    if (nodes == 0) {
        return;
    }
    resp_array(reply, 2 + nodes);
    resp_integer(reply, first);
    resp_integer(reply, last);
    if (leader != NULL) {
        reply_slots_node(reply, leader);
    }
    for (size_t i = 0; i < membership_count(context->membership); i++) {
        const struct member *member = membership_at(context->membership, i);
        if (is_readable_follower(context, member, group)) {
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
    uint64_t index;
    bool is_known = replication_index_of(request->context->replication, member, &index);
    resp_map(reply, is_known ? 7 : 6);
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
    if (is_known) {
        resp_bulk_text(reply, "replication-offset");
        resp_integer(reply, (int64_t)index);
    }
    resp_bulk_text(reply, "health");
    bool is_alive = membership_is_alive(request->context->membership, member);
    resp_bulk_text(reply, !is_alive ? "fail" : has_state(request->context, member) ? "online" : "loading");
}

static bool is_shard_node(const struct member *member, uint16_t group) {
    return member->group == group && can_be_named(member);
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
        const struct member *leader = membership_last_leader(context->membership, groups[g]);
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

uint64_t cluster_config_epoch(const struct command_context *context, const struct member *leader) {
    return leader != NULL && leader->term > 0 ? leader->term : context->routing->epoch;
}

/* id ip:port@cport flags master ping-sent pong-received config-epoch link-state slot... */
static void append_node(const struct command_context *context, const struct member *member, struct buf *out) {
    const struct member *leader = membership_last_leader(context->membership, member->group);
    bool leads = leader == member || (member->leader && leader == NULL);
    bool is_alive = membership_is_alive(context->membership, member);
    buf_printf(out, "%s %s:%u@%u %s%s%s %s 0 %lld %llu %s", member->id, member->host, member->redis_port,
               member->port, member->self ? "myself," : "", leads ? "master" : "slave", is_alive ? "" : ",fail",
               leads || leader == NULL ? "-" : leader->id,
               member->self ? 0LL : (long long)loop_unix_ms_of(context->loop, member->last_heard_ms),
               (unsigned long long)cluster_config_epoch(context, leader),
               is_alive ? "connected" : "disconnected");
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

/* --- CLUSTER REPLICAS
 * ---------------------------------------------------------------------------------------------- */

const struct member *cluster_member(struct request *request, struct slice id) {
    const struct membership *membership = request->context->membership;
    for (size_t i = 0; i < membership_count(membership); i++) {
        const struct member *member = membership_at(membership, i);
        if (slice_equals_nocase(slice_from_text(member->id), id)) {
            return member;
        }
    }
    id = slice_first(id, SHOWN_ID_BYTES);
    resp_errorf(&request->reply, "ERR Unknown node %.*s", (int)id.len, id.ptr);
    return NULL;
}

static bool is_follower_of(const struct member *member, const struct member *leader) {
    return member != leader && member->group == leader->group && can_be_named(member);
}

void command_cluster_replicas(struct request *request) {
    const struct command_context *context = request->context;
    const struct member *leader = cluster_member(request, request->args[2]);
    if (leader == NULL) {
        return;
    }
    if (membership_last_leader(context->membership, leader->group) != leader) {
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

/* --- CLUSTER LINKS: nodes hear each other by UDP, and what is left are the links of replication
 * ---------------------------------------------------------------------------------------------- */

static void reply_link(struct request *request, const struct replication_link *link) {
    struct resp_reply *reply = &request->reply;
    bool is_compressed = link->compressed.raw > 0;
    resp_map(reply, is_compressed ? 8 : 6);
    resp_bulk_text(reply, "direction");
    resp_bulk_text(reply, link->dialled ? "to" : "from");
    resp_bulk_text(reply, "node");
    resp_bulk_text(reply, link->node_id);
    resp_bulk_text(reply, "create-time");
    resp_integer(reply, loop_unix_ms_of(request->context->loop, link->since_ms));
    resp_bulk_text(reply, "events");
    resp_bulk_text(reply, link->output_used_bytes > 0 ? "rw" : "r");
    resp_bulk_text(reply, "send-buffer-allocated");
    resp_integer(reply, (int64_t)link->output_allocated_bytes);
    resp_bulk_text(reply, "send-buffer-used");
    resp_integer(reply, (int64_t)link->output_used_bytes);
    if (is_compressed) {
        resp_bulk_text(reply, "lz4-raw-bytes");
        resp_integer(reply, (int64_t)link->compressed.raw);
        resp_bulk_text(reply, "lz4-bytes");
        resp_integer(reply, (int64_t)link->compressed.packed);
    }
}

void command_cluster_links(struct request *request) {
    const struct replication *replication = request->context->replication;
    struct replication_link link;
    size_t count = 0;
    while (replication_link_at(replication, count, &link)) {
        count++;
    }
    resp_array(&request->reply, count);
    for (size_t i = 0; i < count && replication_link_at(replication, i, &link); i++) {
        reply_link(request, &link);
    }
}
