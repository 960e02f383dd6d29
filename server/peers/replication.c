#include "server/peers/replication_internal.h"

#include "server/store/keyspace.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

static const char link_refusal[] = "ERROR|out of descriptors\n";

const char *replication_role_name(enum replication_role role) {
    static const char *const names[] = {"starting", "leader", "follower", "demoted"};
    return names[role];
}

size_t replication_each_line(struct conn *conn, struct slice in, size_t *scanned,
                             bool (*line)(void *context, struct slice bytes), void *context) {
    enum { LINES_A_LOOK = 64 }; /* at the clock */
    size_t consumed = 0;
    uint64_t began_us = 0;
    for (size_t lines = 1;; lines++) {
        struct slice rest = slice_skip(in, consumed);
        const char *end = rest.len == *scanned ? NULL : memchr(rest.ptr + *scanned, '\n', rest.len - *scanned);
        if (end == NULL) {
            *scanned = rest.len;
            return consumed;
        }
        size_t n = (size_t)(end - rest.ptr);
        consumed += n + 1;
        *scanned = 0;
        if (!line(context, slice_first(rest, n))) {
            return consumed;
        }
        if (lines % LINES_A_LOOK == 0 && consumed < in.len &&
            loop_budget_spent(&began_us, REPLICATION_TURN_US)) {
            conn_resume(conn);
            return consumed;
        }
    }
}

/* --- Role --- */

void replication_set_role(struct replication *replication, enum replication_role role) {
    if (replication->role == role) {
        return;
    }
    replication->role = role;
    log_write(replication->config.log, LOG_INFO, "role", "role=%s history=%016llx index=%llu keys=%zu",
              replication_role_name(role), (unsigned long long)history_id(replication->config.history),
              (unsigned long long)history_index(replication->config.history),
              keyspace_count(replication->config.keyspace));
    replication->config.on_role(replication->config.context, role);
    replication_state_moved(replication);
}

void replication_state_moved(struct replication *replication) {
    bool has_state = replication_leads(replication) ? replication->role == REPLICATION_LEADER
                                                    : replication->follower.has_state;
    if (has_state != replication->has_state) {
        replication->has_state = has_state;
        replication->config.on_state(replication->config.context, has_state);
    }
}

void replication_note_conflict(struct replication *replication, const char *format, ...) {
    char text[sizeof(replication->conflict)];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (strcmp(text, replication->conflict) != 0) { /* said once, though it is met at every announcement */
        memcpy(replication->conflict, text, sizeof(text));
        log_write(replication->config.log, LOG_ERROR, "two-leaders", "text=%s", log_quote(text));
    }
}

/* "a node started with -leader while another live leader is announced for its group exits with a message that
 * names it" */
static void give_way(struct replication *replication, const char *node_id) {
    const struct member *member = membership_find(replication->config.membership, node_id);
    char message[512];
    if (member != NULL) {
        snprintf(message, sizeof(message), "node %s at %s:%u is the live leader of group %u already", node_id,
                 member->host, member->port, replication->leader.group);
    } else {
        snprintf(message, sizeof(message), "node %s is the live leader of group %u already", node_id,
                 replication->leader.group);
    }
    replication->config.on_fatal(replication->config.context, message);
}

void replication_dial_group(struct replication *replication) {
    for (size_t i = 0; i < membership_count(replication->config.membership); i++) {
        const struct member *member = membership_at(replication->config.membership, i);
        if (member->alive && !member->self && member->group == replication->follower.group) {
            outbound_add(replication, member);
        }
    }
    struct member voter;
    for (size_t i = 0; control_at(replication, i, &voter); i++) {
        if (membership_find(replication->config.membership, voter.id) == NULL) {
            outbound_add(replication, &voter); /* it has not been heard yet */
        }
    }
}

/* The leader that this node gave way to did not come: its data is served on. "A part of a state", or bare lines
 * are among it: then it is another history. */
static void lead_again(struct replication *replication) {
    struct history *history = replication->config.history;
    leader_resume(&replication->leader, &replication->follower.gave_way,
                  !follower_is_clean(&replication->follower), loop_monotonic_ms(replication->loop));
    log_write(replication->config.log, LOG_WARN, "leads-again",
              "history=%016llx text=\"the leader that this node gave way to has not come\"",
              (unsigned long long)history_id(history));
    replication->conflict[0] = '\0';
    replication_leader_moved(replication);
    replication_dial_group(replication);
}

void replication_stop_leading(struct replication *replication) {
    outbound_remove_all(replication, CLOSE_ROLE_CHANGED);
    follower_follow(&replication->follower);
    replication->follower.gave_way = (struct position){0}; /* another one is elected */
    keyspace_set_owner(replication->config.keyspace, false);
    replication_set_role(replication, REPLICATION_FOLLOWER);
    replication->config.on_deposed(replication->config.context);
}

void replication_step_down(struct replication *replication, const char *node_id, const char *peer) {
    struct history *history = replication->config.history;
    if (replication->role == REPLICATION_STARTING) {
        snprintf(replication->gives_way_to, sizeof(replication->gives_way_to), "%s", node_id);
        return; /* its announcement, with its address, is still awaited: a tick ends this node */
    }
    replication_note_conflict(replication,
                              "stepped down: node %s (from %s) leads group %u with an older history than this "
                              "node's %016llx",
                              node_id, peer, replication->leader.group,
                              (unsigned long long)history_id(history));
    outbound_remove_all(replication, CLOSE_ROLE_CHANGED);
    follower_follow(&replication->follower);
    keyspace_set_owner(replication->config.keyspace, false);
    replication_set_role(replication, REPLICATION_DEMOTED);
}

void replication_leader_moved(struct replication *replication) {
    bool serving = replication->leader.phase == LEADER_SERVING;
    replication->gives_way_to[0] = '\0'; /* past the listening it is too late: the older history decides */
    follower_lead(&replication->follower);
    keyspace_set_owner(replication->config.keyspace, serving);
    replication_set_role(replication, serving ? REPLICATION_LEADER : REPLICATION_STARTING);
    if (replication->leader.phase == LEADER_TERM) {
        replication->config.keep_term(replication->config.context, replication->leader.term_number);
    }
    if (replication->leader.phase == LEADER_PULLING) {
        log_write(replication->config.log, LOG_INFO, "pull", "node=%s history=%016llx index=%llu",
                  replication->leader.taking->node_id,
                  (unsigned long long)replication->leader.taking->position.history_id,
                  (unsigned long long)replication->leader.taking->position.index);
    }
}

/* Another node that announces itself as the leader of this group; with verified, one that has answered WHO. */
static const struct member *live_leader(const struct replication *replication, bool verified) {
    const struct membership *membership = replication->config.membership;
    const struct member *self = membership_self(membership);
    for (size_t i = 0; i < membership_count(membership); i++) {
        const struct member *member = membership_at(membership, i);
        if (!member->self && member->alive && member->leader && member->group == self->group &&
            (member->verified || !verified)) {
            return member;
        }
    }
    return NULL;
}

/* True when another leader is known: then this node does not begin to serve. */
static bool met_other_leader(struct replication *replication, int64_t now_ms) {
    bool listened = now_ms >= replication->leader.serve_at_ms;
    const char *met = replication->gives_way_to;
    const struct member *other = listened ? live_leader(replication, false) : NULL;
    if (met[0] != '\0' && (listened || membership_find(replication->config.membership, met) != NULL)) {
        give_way(replication, met);
    } else if (met[0] == '\0' && other != NULL) {
        give_way(replication, other->id);
    }
    return met[0] != '\0' || other != NULL;
}

static void tick_leader(struct replication *replication, int64_t now_ms) {
    struct leader *leader = &replication->leader;
    enum leader_phase before = leader->phase;
    if (leader->phase == LEADER_LISTENING && met_other_leader(replication, now_ms)) {
        return;
    }
    leader_tick(leader, now_ms);
    if (leader->phase != before) {
        replication_leader_moved(replication);
    }
}

/* --- Time --- */

static void on_tick(struct ev_loop *ev, ev_timer *timer, int events) {
    (void)ev, (void)events;
    struct replication *replication = timer->data;
    int64_t now_ms = loop_monotonic_ms(replication->loop);
    if (!replication->started) {
        return;
    }
    bool by_hand = !replication->follower.votes && !replication->stopping;
    if (replication_leads(replication) && by_hand) {
        tick_leader(replication, now_ms);
    } else if (by_hand && !replication_leads(replication) &&
               follower_tick(&replication->follower, live_leader(replication, true) != NULL, now_ms)) {
        lead_again(replication);
    }
    outbound_tick(replication, now_ms);
    inbound_tick(replication, now_ms);
}

static void add_mark(struct replication *replication) {
    uint64_t index = history_index(replication->config.history);
    int64_t now_ms = loop_monotonic_ms(replication->loop);
    const struct mark *last = &replication->marks[(replication->mark_next - 1) % REPLICATION_MARKS];
    if (index != last->index && now_ms - last->at_ms >= REPLICATION_MARK_EVERY_MS) {
        replication->marks[replication->mark_next++ % REPLICATION_MARKS] =
            (struct mark){.index = index, .at_ms = now_ms};
    }
}

/* What Unix time is for the deciders, to whom time is monotonic. When it was set back, the next plain line says
 * the time anew: a history's clock never goes back by itself. */
static void follow_clock(struct replication *replication) {
    int64_t unix_ms = loop_now_ms(replication->loop);
    int64_t offset_ms = unix_ms - loop_monotonic_ms(replication->loop);
    replication->leader.unix_offset_ms = replication->follower.unix_offset_ms = offset_ms;
    if (unix_ms < replication->unix_ms) {
        history_forget_clock(replication->config.history);
        log_write(replication->config.log, LOG_WARN, "clock-set-back", "by_ms=%lld",
                  (long long)(replication->unix_ms - unix_ms));
    }
    replication->unix_ms = unix_ms;
}

/* Once a loop iteration: what was written in it goes to every follower. */
static void on_flush(void *context) {
    struct replication *replication = context;
    follow_clock(replication);
    if (replication->config.durable != NULL) {
        replication->follower.durable_index = replication->config.durable(replication->config.context);
    }
    replication->random_state = replication->random_state * 6364136223846793005ULL + 1442695040888963407ULL;
    replication->leader.random = replication->follower.random = (uint16_t)(replication->random_state >> 40);
    if (replication_leads(replication)) {
        add_mark(replication);
        outbound_flush(replication);
    }
}

/* --- Membership --- */

/* The other leader has stepped down, or is gone: what is left of the conflict is in the log. */
static void end_conflict(struct replication *replication) {
    if (replication->role == REPLICATION_LEADER && replication->conflict[0] != '\0' &&
        live_leader(replication, false) == NULL) {
        replication->conflict[0] = '\0';
        log_write(replication->config.log, LOG_INFO, "two-leaders-over", "text=\"this node leads alone\"");
    }
}

void replication_member_up(struct replication *replication, const struct member *member) {
    end_conflict(replication);
    proof_ask(replication, member);
    bool same_group = member->group == replication->follower.group && !member->self;
    if (!replication_leads(replication) || !replication->started || replication->stopping) {
        return;
    }
    if (same_group) {
        outbound_add(replication, member);
    } else {
        outbound_remove(replication, member->id, CLOSE_MEMBER_GONE);
    }
}

void replication_member_gone(struct replication *replication, const struct member *member) {
    end_conflict(replication);
    outbound_remove(replication, member->id, CLOSE_MEMBER_GONE);
}

/* LEAD is said to it like to a follower: the rules for two leaders do the rest. */
void replication_other_leader(struct replication *replication, const struct member *member) {
    if (member->term > 0 && membership_self(replication->config.membership)->leader &&
        !replication->follower.votes) {
        char message[256];
        snprintf(message, sizeof(message),
                 "group %u elects its leader, which is node %s in term %llu: start this node without -leader",
                 member->group, member->id, (unsigned long long)member->term);
        replication->config.on_fatal(replication->config.context, message);
        return;
    }
    if (replication->role == REPLICATION_LEADER && !replication->follower.votes) {
        replication_note_conflict(replication,
                                  "node %s at %s:%u announces itself as the leader of group %u too", member->id,
                                  member->host, member->port, member->group);
    }
    replication_member_up(replication, member);
}

/* --- Life --- */

static bool listen_for_peers(struct replication *replication, const char **reason) {
    struct listener_config config = {
        .hosts = replication->config.bind_hosts,
        .port = replication->config.port,
        .refusal = link_refusal,
        .on_accept = inbound_accept,
        .context = replication,
    };
    replication->listener = listener_create(replication->config.net, &config, reason);
    return replication->listener != NULL;
}

void replication_begin_leader(struct replication *replication) {
    const struct replication_config *config = &replication->config;
    const struct group_data data = replicated_store(config->keyspace);
    leader_init(&replication->leader, replication->follower.node_id, replication->follower.group,
                config->history, &data, loop_monotonic_ms(replication->loop));
    replication->leader.archive = config->archive;
    replication->leader.offers_lz4 = config->lz4;
    follow_clock(replication);
}

struct replication *replication_create(const struct replication_config *config, const char **reason) {
    const struct member *self = membership_self(config->membership);
    struct replication *replication = calloc(1, sizeof(*replication));
    if (replication == NULL) {
        *reason = "out of memory";
        return NULL;
    }
    replication->config = *config;
    replication->loop = net_loop(config->net);
    replication->role = self->leader ? REPLICATION_STARTING : REPLICATION_FOLLOWER;
    buf_init(&replication->scratch, LIMIT_LINE_BYTES);
    if (getrandom(&replication->random_state, sizeof(replication->random_state), 0) < 0 ||
        !listen_for_peers(replication, reason)) {
        free(replication);
        return NULL;
    }
    struct group_data data = replicated_store(config->keyspace);
    follower_init(&replication->follower, self->id, self->group, config->history, &data);
    replication->follower.takes_lz4 = config->lz4;
    replication->follower.keeps = config->durable != NULL;
    replication_begin_leader(replication); /* it listens from now on, if this node leads */
    if (self->leader) {
        follower_lead(&replication->follower);
    }
    if (config->durable != NULL && !self->leader && !voting_create(replication)) {
        *reason = "out of memory";
        replication_destroy(&replication);
        return NULL;
    }
    replication->started = !config->waits;
    replication->flush_hook = (struct loop_hook){.run = on_flush, .context = replication};
    loop_add_hook(replication->loop, LOOP_HISTORY, &replication->flush_hook);
    ev_timer_init(&replication->tick, on_tick, REPLICATION_TICK_MS / 1e3, REPLICATION_TICK_MS / 1e3);
    replication->tick.data = replication;
    ev_timer_start(loop_ev(replication->loop), &replication->tick);
    return replication;
}

void replication_start(struct replication *replication, bool has_data, const struct voting_kept *kept) {
    replication->started = true;
    replication_begin_leader(replication);
    if (replication_leads(replication)) {
        if (has_data) {
            leader_recover(&replication->leader, kept->vote.number);
        }
        replication_dial_group(replication);
    } else {
        replication->follower.has_state = has_data;
        replication_state_moved(replication);
    }
    if (replication->voting != NULL) {
        voting_start(replication, kept);
    }
}

void replication_kept(struct replication *replication) {
    if (replication->voting != NULL) {
        voting_kept(replication);
        inbound_term_kept(replication);
        return;
    }
    if (!replication_leads(replication) || replication->leader.phase != LEADER_TERM) {
        return;
    }
    leader_term_kept(&replication->leader);
    log_write(replication->config.log, LOG_INFO, "term", "number=%llu history=%016llx index=%llu",
              (unsigned long long)replication->leader.term_number,
              (unsigned long long)history_id(replication->config.history),
              (unsigned long long)history_index(replication->config.history));
    replication_leader_moved(replication);
}

bool replication_is_whole(const struct replication *replication) {
    return replication->started && replication->follower.overlaid_by == 0 &&
           replication->leader.phase != LEADER_PULLING;
}

void replication_stop(struct replication *replication) {
    replication->stopping = true;
    listener_destroy(&replication->listener);
    outbound_stop(replication);
    for (struct inbound *inbound = replication->inbounds; inbound != NULL; inbound = inbound->next) {
        conn_drain(inbound->conn, CLOSE_SHUTDOWN);
    }
}

void replication_destroy(struct replication **replication) {
    struct replication *gone = *replication;
    if (gone == NULL) {
        return;
    }
    ev_timer_stop(loop_ev(gone->loop), &gone->tick);
    loop_remove_hook(gone->loop, &gone->flush_hook);
    listener_destroy(&gone->listener);
    outbound_remove_all(gone, CLOSE_SHUTDOWN);
    inbound_close_all(gone, CLOSE_SHUTDOWN);
    voting_destroy(gone);
    buf_deinit(&gone->scratch);
    free(gone);
    *replication = NULL;
}
