/* What the rest of the server may ask of replication: followers, links, positions. */
#include "server/peers/replication_internal.h"

#include <stdio.h>
#include <string.h>

enum err replication_ready(const struct replication *replication) {
    return __builtin_expect(!replication->has_state, 0) ? ERR_LOADING : ERR_NONE;
}

uint64_t replication_index(const struct replication *replication) {
    return history_index(replication->config.history);
}

static const struct leader_link *link_to(const struct replication *replication, const char *node_id) {
    const struct outbound *outbound = replication->outbounds;
    while (outbound != NULL && strcmp(outbound->member.id, node_id) != 0) {
        outbound = outbound->next;
    }
    return outbound != NULL && outbound->connected ? &outbound->link : NULL;
}

bool replication_index_of(const struct replication *replication, const struct member *member, uint64_t *out) {
    const struct leader_link *link = link_to(replication, member->id);
    const struct follower_link *from =
        replication_leads(replication) ? NULL : replication->follower.leader_link;
    if (member->self) {
        *out = replication_index(replication);
    } else if (link != NULL && link->phase == LEADER_LINK_STREAM && link->last_ack_ms >= 0) {
        *out = link->acked_index;
    } else if (from != NULL && strcmp(from->peer_id, member->id) == 0) {
        *out = from->leader_index;
    } else {
        *out = member->index;
        return member->tells_index;
    }
    return true;
}

static int64_t lag_ms(const struct replication *replication, uint64_t acked_index) {
    size_t count = replication->mark_next < REPLICATION_MARKS ? replication->mark_next : REPLICATION_MARKS;
    for (size_t i = count; i > 0; i--) {
        const struct mark *mark = &replication->marks[(replication->mark_next - i) % REPLICATION_MARKS];
        if (mark->index > acked_index) {
            return loop_monotonic_ms(replication->loop) - mark->at_ms;
        }
    }
    return 0;
}

static bool describe(const struct outbound *outbound, struct replication_follower *out) {
    if (outbound == NULL) {
        return false;
    }
    const struct replication *replication = outbound->replication;
    const struct leader_link *link = &outbound->link;
    const struct member *member = &outbound->member;
    uint64_t index = history_index(replication->config.history);
    *out = (struct replication_follower){
        .port = member->port,
        .redis_port = member->redis_port,
        .api_port = member->api_port,
        .state = leader_link_state(link),
        .ack_age_ms = -1,
    };
    out->sent = outbound->packer.bytes;
    snprintf(out->node_id, sizeof(out->node_id), "%s", member->id);
    snprintf(out->host, sizeof(out->host), "%s", member->host);
    if (outbound->connected && link->last_ack_ms >= 0) {
        out->acked_index = link->acked_index;
        out->durable_index = link->durable_index;
        out->ack_age_ms = loop_monotonic_ms(replication->loop) - link->last_ack_ms;
    }
    if (!link->spec_only) {
        out->lag_lines = index - out->acked_index;
        out->lag_ms = lag_ms(replication, out->acked_index);
    }
    return true;
}

static void describe_link(struct conn *conn, const char *node_id, bool dialled, int64_t since_ms,
                          const struct link_bytes *compressed, struct replication_link *out) {
    const struct buf *output = conn_out(conn);
    *out = (struct replication_link){
        .dialled = dialled,
        .since_ms = since_ms,
        .compressed = *compressed,
        .output_allocated_bytes = output->capacity,
        .output_used_bytes = buf_used(output),
    };
    snprintf(out->node_id, sizeof(out->node_id), "%s", node_id);
}

bool replication_link_at(const struct replication *replication, size_t i, struct replication_link *out) {
    for (const struct outbound *outbound = replication->outbounds; outbound != NULL;
         outbound = outbound->next) {
        if (outbound->connected && i-- == 0) {
            describe_link(outbound->conn, outbound->member.id, true, outbound->link.opened_ms,
                          &outbound->packer.bytes, out);
            return true;
        }
    }
    for (const struct inbound *inbound = replication->inbounds; inbound != NULL; inbound = inbound->next) {
        if (&inbound->link == replication->follower.leader_link && i-- == 0) {
            describe_link(inbound->conn, inbound->link.peer_id, false, inbound->accepted_ms,
                          &inbound->unpacker.bytes, out);
            return true;
        }
    }
    return false;
}

bool replication_follower_at(const struct replication *replication, size_t i,
                             struct replication_follower *out) {
    const struct outbound *outbound = replication->outbounds;
    while (outbound != NULL && i-- > 0) {
        outbound = outbound->next;
    }
    return describe(outbound, out);
}

bool replication_follower_of(const struct replication *replication, const char *node_id,
                             struct replication_follower *out) {
    const struct outbound *outbound = replication->outbounds;
    while (outbound != NULL && strcmp(outbound->member.id, node_id) != 0) {
        outbound = outbound->next;
    }
    return describe(outbound, out);
}

size_t replication_acknowledged(const struct replication *replication, uint64_t index) {
    size_t count = 0;
    for (const struct outbound *outbound = replication->outbounds; outbound != NULL;
         outbound = outbound->next) {
        const struct leader_link *link = &outbound->link;
        count += outbound->connected && link->phase == LEADER_LINK_STREAM && link->last_ack_ms >= 0 &&
                 link->acked_index >= index;
    }
    return count;
}

size_t replication_durable(const struct replication *replication, uint64_t index) {
    size_t count = 0;
    for (const struct outbound *outbound = replication->outbounds; outbound != NULL;
         outbound = outbound->next) {
        const struct leader_link *link = &outbound->link;
        count += index > 0 && outbound->connected && link->phase == LEADER_LINK_STREAM &&
                 link->durable_index >= index;
    }
    return count;
}

uint64_t replication_acknowledgements(const struct replication *replication) {
    return replication->leader.acknowledgements;
}

void replication_ask_followers(struct replication *replication) {
    for (struct outbound *outbound = replication->outbounds; outbound != NULL; outbound = outbound->next) {
        if (outbound->connected) {
            leader_link_ask(&outbound->link);
        }
    }
}

static void describe_leader(const struct replication *replication, const char *node_id,
                            struct replication_status *out) {
    const struct member *member = membership_find(replication->config.membership, node_id);
    snprintf(out->leader_id, sizeof(out->leader_id), "%s", node_id);
    if (member != NULL) {
        snprintf(out->leader_host, sizeof(out->leader_host), "%s", member->host);
        out->leader_port = member->port;
        out->leader_redis_port = member->redis_port;
        out->leader_api_port = member->api_port;
    }
}

static void leader_status(const struct replication *replication, struct replication_status *out) {
    out->leader_index = out->index;
    for (const struct outbound *outbound = replication->outbounds; outbound != NULL;
         outbound = outbound->next) {
        out->follower_count++;
        out->online_count += outbound->connected && outbound->link.phase == LEADER_LINK_STREAM;
    }
    describe_leader(replication, replication->leader.node_id, out);
}

static void follower_status(const struct replication *replication, struct replication_status *out) {
    const struct follower *follower = &replication->follower;
    const struct follower_link *link = follower->leader_link;
    out->synced = follower->full_syncs + follower->partial_syncs > 0;
    out->link_down_since_ms = link == NULL ? replication->link_down_since_ms : 0;
    if (link != NULL) {
        out->link_up = true;
        out->full_in_progress = link->phase == FOLLOWER_FULL;
        out->leader_index = link->leader_index > out->index ? link->leader_index : out->index;
        out->last_line_age_ms = loop_monotonic_ms(replication->loop) - link->last_line_ms;
        describe_leader(replication, link->peer_id, out);
        return;
    }
    const struct member *leader = membership_leader(replication->config.membership, follower->group);
    if (leader != NULL) {
        describe_leader(replication, leader->id, out);
    }
}

/* As they are now, with those of before. */
static void compression_status(const struct replication *replication, struct replication_status *out) {
    out->packed_out = replication->packed_out;
    out->packed_in = replication->packed_in;
    for (const struct outbound *outbound = replication->outbounds; outbound != NULL;
         outbound = outbound->next) {
        link_bytes_add(&out->packed_out, &outbound->packer.bytes);
    }
    for (const struct inbound *inbound = replication->inbounds; inbound != NULL; inbound = inbound->next) {
        link_bytes_add(&out->packed_in, &inbound->unpacker.bytes);
    }
}

void replication_status(const struct replication *replication, struct replication_status *out) {
    const struct follower *follower = &replication->follower;
    const struct leader *leader = &replication->leader;
    const struct history *history = replication->config.history;
    *out = (struct replication_status){
        .role = replication->role,
        .has_state = replication->has_state,
        .history_id = history_id(history),
        .index = history_index(history),
        .term = *lineage_last(history_lineage(history)),
        .first_index = history_first_index(history),
        .backlog_bytes = history_backlog_bytes(history),
        .backlog_limit_bytes = history_limit_bytes(history),
        .last_line_age_ms = -1,
        .full_syncs = leader->full_syncs + follower->full_syncs,
        .partial_syncs = leader->partial_syncs + follower->partial_syncs,
        .partial_refused = leader->partial_refused,
        .archive_syncs = leader->archive_syncs,
        .pulls = leader->pulls,
        .lines_received = follower->lines_received,
        .lines_unknown = leader->lines_unknown + follower->lines_unknown,
        .lines_malformed = leader->lines_malformed + follower->lines_malformed,
        .lines_refused = follower->lines_refused,
    };
    memcpy(out->conflict, replication->conflict, sizeof(out->conflict));
    compression_status(replication, out);
    if (replication_leads(replication)) {
        leader_status(replication, out);
    } else {
        follower_status(replication, out);
    }
}
