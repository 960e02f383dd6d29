/* The way of a request: conn -> session (server/resp, server/rest) -> command -> routing -> keyspace -> history
 * -> followers. The way of a fact:    datagram -> membership -> routing (the ring), replication (whom to dial).
 */
#include "server/node.h"

#include "cluster/history.h"
#include "cluster/routing.h"
#include "server/acks.h"
#include "server/commands/client/pause.h"
#include "server/commands/client/pubsub.h"
#include "server/commands/features.h"
#include "server/commands/node/config.h"
#include "server/commands/rows.h"
#include "server/dispatch/telemetry.h"
#include "server/net/listener.h"
#include "server/net/socket.h"
#include "server/peers/discovery.h"
#include "server/peers/messenger.h"
#include "server/peers/replication.h"
#include "server/persistence.h"
#include "server/resp/session.h"
#include "server/rest/session.h"
#include "server/stats.h"
#include "server/store/keyspace.h"
#include "server/version.h"

#include <ev.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

enum {
    STOP_WITHIN_MS = 800,
    STOP_POLL_MS = 10,
    HAND_OVER_WITHIN_MS = 1000, /* before a stop */
    HELD_GO_ON_MS = 20,         /* whose writes were held are told where they go */
};

/* The signals that have a meaning here, or whose default action would end the node with no word to anybody. */
static const struct signal_rule {
    const char *name;
    int number;
    bool stops; /* else it is ignored, for now: a log and certificates to be opened anew will be HUP's */
} signal_rules[] = {
    {"TERM", SIGTERM, true}, {"INT", SIGINT, true},    {"QUIT", SIGQUIT, true},
    {"HUP", SIGHUP, false},  {"USR1", SIGUSR1, false}, {"USR2", SIGUSR2, false},
};
enum { SIGNAL_RULES = sizeof(signal_rules) / sizeof(signal_rules[0]) };

static const char resp_refusal[] = "-ERR max number of clients reached\r\n";

struct node {
    struct options options; /* as it was started */
    struct log log;
    struct loop *loop;
    struct net *net;
    struct history *history;
    struct acks acks;
    struct persistence persistence;
    struct keyspace *keyspace;
    struct membership *membership;
    struct routing routing;
    struct replication *replication;
    struct messenger *messenger;
    struct discovery *discovery;
    struct resp_server *resp;
    struct rest_server *rest;
    struct listener *resp_listener, *rest_listener;
    struct server_stats stats;
    struct settings settings;
    struct telemetry *telemetry;
    struct command_context context;
    ev_signal signals[SIGNAL_RULES];
    ev_timer stop_timer;
    ev_timer leave_timer; /* stops, when another node leads */
    bool leaves;          /* it is to be stopped as soon as another node leads */
    int64_t stop_at_ms;   /* monotonic; 0: not stopping */
    char fatal[1280];     /* "" or why the node may not go on */
    size_t max_accepted_peers;
};

/* --- Facts --- */

static void rebuild_ring(struct node *node) {
    const uint16_t *groups;
    size_t n = membership_groups(node->membership, &groups);
    if (!routing_rebuild(&node->routing)) {
        log_write(&node->log, LOG_ERROR, "ring", "error=\"out of memory\"");
        return;
    }
    log_write(&node->log, LOG_INFO, "ring", "groups=%zu epoch=%u own_slots=%zu", n, node->routing.epoch,
              routing_owned_slots(&node->routing, node->settings.group));
}

static void warn_of_keys_out_of_reach(struct node *node) {
    const uint16_t *groups;
    if (membership_groups(node->membership, &groups) > 1 && keyspace_count(node->keyspace) > 0) {
        log_write(&node->log, LOG_WARN, "keys-out-of-reach",
                  "text=\"a group joined after keys were stored: keys whose slots it owns now are not moved to "
                  "it and cannot "
                  "be reached until they are written again\" keys=%zu",
                  keyspace_count(node->keyspace));
    }
}

static void begin_stop(struct node *node) {
    if (node->stop_at_ms != 0) {
        return;
    }
    node->stop_at_ms = loop_monotonic_ms(node->loop) + STOP_WITHIN_MS;
    discovery_leave(node->discovery);
    listener_destroy(&node->resp_listener);
    listener_destroy(&node->rest_listener);
    replication_stop(node->replication);
    net_drain_all(node->net, CLOSE_SHUTDOWN);
    ev_timer_start(loop_ev(node->loop), &node->stop_timer);
}

static void on_fatal(void *context, const char *message) {
    struct node *node = context;
    if (node->fatal[0] == '\0') {
        snprintf(node->fatal, sizeof(node->fatal), "%s", message);
    }
    begin_stop(node);
}

/* "two nodes with one id (the later one exits with a line)": LEAVE would be taken for the other's. */
static void make_way_for(struct node *node, const struct member *twin) {
    char message[sizeof(node->fatal)];
    snprintf(message, sizeof(message), "node %s runs already, at %s:%u: each node needs an id of its own (-id)",
             twin->id, twin->host, twin->port);
    discovery_fall_silent(node->discovery);
    on_fatal(node, message);
}

static void on_membership_action(void *context, const struct membership_action *action) {
    struct node *node = context;
    const struct member *member = &action->member;
    static const struct {
        const char *name;
        enum log_level level;
    } events[] = {
        [MEMBERSHIP_MEMBER_UP] = {"member-up", LOG_INFO},
        [MEMBERSHIP_MEMBER_CHANGED] = {"member-changed", LOG_INFO},
        [MEMBERSHIP_MEMBER_DEAD] = {"member-dead", LOG_WARN},
        [MEMBERSHIP_MEMBER_GONE] = {"member-gone", LOG_INFO},
        [MEMBERSHIP_GROUP_WITHOUT_LEADER] = {"group-without-leader", LOG_WARN},
        [MEMBERSHIP_OTHER_LEADER] = {"other-leader", LOG_INFO},
        [MEMBERSHIP_FULL] = {"too-many-members", LOG_WARN},
        [MEMBERSHIP_DUPLICATE_ID] = {"duplicate-id", LOG_WARN},
        [MEMBERSHIP_OLDER_TWIN] = {"older-twin", LOG_ERROR},
    };
    if (action->type == MEMBERSHIP_GROUP_JOINED) { /* which of its nodes made it join may not be known */
        log_write(&node->log, LOG_INFO, "group-joined", "group=%u", member->group);
        rebuild_ring(node);
        warn_of_keys_out_of_reach(node);
        return;
    }
    if (action->type == MEMBERSHIP_GROUP_FORGOTTEN) {
        log_write(&node->log, LOG_WARN, "group-forgotten", "group=%u", member->group);
        rebuild_ring(node);
        return;
    }
    log_write(&node->log, events[action->type].level, events[action->type].name,
              "node=%s address=%s:%u group=%u leader=%s", member->id, member->host, member->port, member->group,
              member->leader ? "true" : "false");
    switch (action->type) {
    case MEMBERSHIP_MEMBER_UP:
    case MEMBERSHIP_MEMBER_CHANGED:
        replication_member_up(node->replication, member);
        break;
    case MEMBERSHIP_MEMBER_DEAD:
        messenger_forget(node->messenger, member->id);
        break;
    case MEMBERSHIP_MEMBER_GONE:
        messenger_forget(node->messenger, member->id);
        replication_member_gone(node->replication, member);
        break;
    case MEMBERSHIP_OTHER_LEADER:
        replication_other_leader(node->replication, member);
        break;
    case MEMBERSHIP_OLDER_TWIN:
        make_way_for(node, member);
        break;
    default:
        break;
    }
}

static void on_role(void *context, enum replication_role role) {
    struct node *node = context;
    bool leads = role == REPLICATION_LEADER;
    routing_set_self_leader(&node->routing, leads);
    if (role != REPLICATION_STARTING) { /* there it has announced itself as a leader */
        membership_set_leader(node->membership, leads, replication_elected_term(node->replication),
                              loop_monotonic_ms(node->loop));
    }
    if (leads) {
        membership_join_group(node->membership, node->settings.group);
    }
    discovery_run_actions(node->discovery);
}

static void on_state(void *context, bool has_state) {
    struct node *node = context;
    routing_set_self_state(&node->routing, has_state);
    membership_set_state(node->membership, has_state, loop_monotonic_ms(node->loop));
    discovery_run_actions(node->discovery);
}

static uint64_t index_of(void *context) {
    const struct node *node = context;
    return replication_index(node->replication);
}

static int forget_group(void *context, uint16_t group) {
    struct node *node = context;
    int answer = (int)membership_forget_group(node->membership, group);
    discovery_run_actions(node->discovery);
    return answer;
}

static void on_message(void *context, struct slice channel, struct slice text) {
    struct node *node = context;
    pubsub_publish(resp_server_clients(node->resp), channel, text);
}

static void on_leader(void *context) {
    struct node *node = context;
    membership_join_group(node->membership, node->settings.group);
    discovery_run_actions(node->discovery);
}

static uint64_t durable_index(void *context) {
    const struct node *node = context;
    return persistence_durable_index(&node->persistence);
}

static void keep_term(void *context, uint64_t number) {
    struct node *node = context;
    persistence_keep_term(&node->persistence, number);
}

static void keep(void *context, const struct voting_kept *kept) {
    struct node *node = context;
    struct journal_kept keeps = {
        .term = kept->vote.number,
        .forgetful = kept->vote.forgetful,
        .formed_id = kept->formed.history_id,
        .formed = kept->formed.voters,
        .proposer = kept->formed.proposer,
        .complete = kept->formed.complete,
    };
    memcpy(keeps.voted_for, kept->vote.voted_for, sizeof(keeps.voted_for));
    persistence_keep(&node->persistence, &keeps);
}

static struct voting_kept voting_kept_of(const struct journal_kept *kept) {
    struct voting_kept out = {
        .vote = {.number = kept->term, .forgetful = kept->forgetful},
        .formed = {.history_id = kept->formed_id,
                   .voters = kept->formed,
                   .proposer = kept->proposer,
                   .complete = kept->complete},
    };
    memcpy(out.vote.voted_for, kept->voted_for, sizeof(out.vote.voted_for));
    return out;
}

static size_t peers(void *context, struct journal_peer out[VOTERS_MOST]) {
    const struct node *node = context;
    return persistence_peers(&node->persistence, out);
}

static void keep_peers(void *context, const struct journal_peer *all, size_t n) {
    struct node *node = context;
    persistence_keep_peers(&node->persistence, all, n);
}

static void on_broken(void *context) {
    struct node *node = context;
    persistence_reload(&node->persistence);
}

static void on_deposed(void *context) {
    struct node *node = context;
    acks_break(&node->acks);
}

static void hold_writes(void *context, bool on) {
    struct node *node = context;
    pause_hold_writes(resp_server_clients(node->resp), PAUSE_FOR_FAILOVER, on);
}

static bool in_trouble(void *context) {
    const struct node *node = context;
    return node->routing.cannot_keep;
}

static size_t held_clients(void *context) {
    const struct node *node = context;
    return node->acks.fence.held_count;
}

static void on_handed_over(void *context, bool done) {
    struct node *node = context;
    if (node->leaves) {
        ev_timer_set(&node->leave_timer, done ? HELD_GO_ON_MS / 1e3 : 0, 0);
        ev_timer_start(loop_ev(node->loop), &node->leave_timer);
    }
}

static void on_kept(void *context) {
    struct node *node = context;
    replication_kept(node->replication);
}

/* Asked for the last words of clients, too, when replication has gone. */
static bool quorum(void *context, uint64_t *committed_index, uint64_t *round) {
    const struct node *node = context;
    struct replication_quorum quorum;
    if (node->replication == NULL || !replication_quorum(node->replication, &quorum)) {
        return false;
    }
    *committed_index = quorum.committed_index;
    *round = quorum.round;
    return true;
}

static uint64_t ask_round(void *context) {
    const struct node *node = context;
    return replication_ask_round(node->replication);
}

/* With -data what is there now is the disk's; who leads is a question from now on. */
static void on_loaded(void *context, struct journal *journal, const struct journal_loaded *loaded) {
    struct node *node = context;
    node->stats.recovered_records = loaded->records;
    node->context.journal = journal;
    const struct voters *voters = history_voters(node->history);
    if (node->settings.leader && voters->count > 0) {
        on_fatal(node,
                 "the history of -data has voters, who elect its leader: start this node without -leader");
        return;
    }
    struct journal_kept kept;
    persistence_kept(&node->persistence, &kept);
    const struct voting_kept voting = voting_kept_of(&kept);
    replication_start(node->replication, loaded->has_data, &voting);
    discovery_run_actions(node->discovery);
}

/* --- Stopping --- */

static void on_stop_timer(struct ev_loop *ev, ev_timer *timer, int events) {
    (void)ev, (void)events;
    struct node *node = timer->data;
    if (net_stats(node->net)->open == 0 || loop_monotonic_ms(node->loop) >= node->stop_at_ms) {
        loop_stop(node->loop);
    }
}

static void on_leave(struct ev_loop *ev, ev_timer *timer, int events) {
    (void)ev, (void)events;
    begin_stop(timer->data);
}

/* "SIGTERM: writes are held, the follower is brought to the last line", if this node was elected; asked once
 * more it stops at once. */
static void stop(struct node *node) {
    bool hands_over =
        !node->leaves && replication_hand_over(node->replication, "", HAND_OVER_WITHIN_MS) == NULL;
    node->leaves = true;
    if (!hands_over) {
        begin_stop(node);
    }
}

static void on_signal(struct ev_loop *ev, ev_signal *watcher, int events) {
    (void)ev, (void)events;
    struct node *node = watcher->data;
    const struct signal_rule *rule = &signal_rules[watcher - node->signals];
    if (rule->stops) {
        log_write(&node->log, LOG_INFO, "stopping", "signal=%s", rule->name);
        stop(node);
    } else {
        log_write(&node->log, LOG_INFO, "signal-ignored", "signal=%s", rule->name);
    }
}

static void on_stop_asked(void *context) {
    struct node *node = context;
    log_write(&node->log, LOG_INFO, "stopping", "text=\"a client has asked for it\"");
    stop(node);
}

/* --- Life --- */

/* What clients leave of the descriptors is for peers: three quarters of it for those that dial this node. */
static void share_descriptors(struct node *node) {
    int64_t *maxclients = &node->options.settings.maxclients;
    size_t besides, possible = socket_share_descriptors((size_t)*maxclients, &besides);
    if (possible < (size_t)*maxclients) {
        log_write(&node->log, LOG_WARN, "descriptor-limit", "limit=%zu max_clients=%zu", possible + besides,
                  possible);
        *maxclients = (int64_t)possible;
    }
    node->max_accepted_peers = besides * 3 / 4;
}

static void watch_signals(struct node *node) {
    for (size_t i = 0; i < SIGNAL_RULES; i++) {
        ev_signal_init(&node->signals[i], on_signal, signal_rules[i].number);
        node->signals[i].data = node;
        ev_signal_start(loop_ev(node->loop), &node->signals[i]);
    }
    /* What a write meets is told by its errno: a peer that is gone, a file at its limit. */
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
}

static bool create_core(struct node *node, const char **reason) {
    const struct settings *settings = &node->settings;
    struct {
        uint64_t seed;
        uint16_t history;
    } random;
    *reason = "out of memory, or no random numbers";
    if (getrandom(&random, sizeof(random), 0) != sizeof(random)) {
        return false;
    }
    struct member self = {
        .port = settings->announce_port,
        .api_port = settings->announce_api_port,
        .redis_port = settings->announce_redis_port,
        .group = settings->group,
        .leader = settings->leader,
        .self = true,
        .alive = true,
        .has_endpoints = true,
    };
    memcpy(self.id, settings->id, sizeof(self.id));
    memcpy(self.host, settings->host, sizeof(self.host));
    node->loop = loop_create();
    node->net = node->loop == NULL ? NULL : net_create(node->loop);
    if (node->net != NULL) {
        uint64_t id = settings->leader ? history_make_id(loop_now_ms(node->loop), random.history) : 0;
        node->history = history_create(id, (size_t)settings->backlog_bytes);
    }
    node->keyspace = node->history == NULL
                         ? NULL
                         : keyspace_create(node->loop, node->history, (size_t)settings->maxmemory_bytes);
    node->membership = node->keyspace == NULL ? NULL : membership_create(&self, random.seed);
    if (node->membership == NULL) {
        return false;
    }
    const struct acks_config acks = {
        .net = node->net,
        .history = node->history,
        .routing = &node->routing,
        .keeps = persistence_keeps(&node->persistence),
        .context = node,
        .quorum = quorum,
        .ask_round = ask_round,
    };
    acks_init(&node->acks, &acks);
    routing_init(&node->routing, node->membership);
    watch_signals(node);
    return true;
}

static bool create_peers(struct node *node, const char **reason) {
    struct replication_config replication = {
        .net = node->net,
        .history = node->history,
        .keyspace = node->keyspace,
        .membership = node->membership,
        .log = &node->log,
        .bind_hosts = node->settings.bind,
        .port = node->settings.port,
        .max_accepted = node->max_accepted_peers,
        .lz4 = node->settings.link_compression != 0,
        .durable = persistence_keeps(&node->persistence) ? durable_index : NULL,
        .keep_term = keep_term,
        .archive = persistence_archive(&node->persistence),
        .voters = (size_t)node->settings.voters,
        .election_timeout_ms = node->settings.election_timeout_ms,
        .keep = keep,
        .peers = peers,
        .keep_peers = keep_peers,
        .on_broken = on_broken,
        .on_deposed = on_deposed,
        .hold_writes = hold_writes,
        .in_trouble = in_trouble,
        .held_clients = held_clients,
        .on_handed_over = on_handed_over,
        .waits = persistence_keeps(&node->persistence),
        .context = node,
        .on_role = on_role,
        .on_state = on_state,
        .on_leader = on_leader,
        .on_message = on_message,
        .on_fatal = on_fatal,
    };
    struct discovery_config discovery = {
        .net = node->net,
        .membership = node->membership,
        .log = &node->log,
        .broadcast = node->settings.broadcast,
        .port = node->settings.discovery_port,
        .context = node,
        .on_action = on_membership_action,
        .index = index_of,
    };
    node->replication = replication_create(&replication, reason);
    node->discovery = node->replication == NULL ? NULL : discovery_create(&discovery, reason);
    if (node->discovery == NULL) {
        return false;
    }
    *reason = "out of memory";
    node->messenger = messenger_create(node->net, node->membership, &node->log);
    return node->messenger != NULL;
}

static struct listener *listen_on(struct node *node, uint16_t port, const char *refusal,
                                  void (*accept)(void *context, int fd), void *server, const char **reason) {
    struct listener_config config = {
        .hosts = node->settings.bind,
        .port = port,
        .refusal = refusal,
        .clients = &node->stats.clients,
        .max_clients = &node->settings.maxclients,
        .on_accept = accept,
        .context = server,
    };
    return listener_create(node->net, &config, reason);
}

static bool create_servers(struct node *node, const char **reason) {
    node->telemetry = telemetry_create(&all_commands);
    *reason = "out of memory";
    if (node->telemetry == NULL) {
        return false;
    }
    node->context = (struct command_context){
        .loop = node->loop,
        .net = node->net,
        .keyspace = node->keyspace,
        .routing = &node->routing,
        .membership = node->membership,
        .replication = node->replication,
        .messenger = node->messenger,
        .discovery = discovery_stats(node->discovery),
        .history = node->history,
        .options = &node->options,
        .log = &node->log,
        .stats = &node->stats,
        .settings = &node->settings,
        .telemetry = node->telemetry,
        .stop = on_stop_asked,
        .fail = on_fatal,
        .forget_group = forget_group,
        .node = node,
    };
    node->stats.started_ms = loop_now_ms(node->loop);
    node->stats.started_monotonic_ms = loop_monotonic_ms(node->loop);
    node->resp = resp_server_create(&node->context, &all_commands, &all_features);
    node->rest = node->resp == NULL ? NULL : rest_server_create(&node->context);
    if (node->rest == NULL) {
        return false;
    }
    node->context.clients = resp_server_clients(node->resp);
    config_apply_all(&node->context, resp_server_clients(node->resp));
    node->resp_listener =
        listen_on(node, node->settings.redis_port, resp_refusal, resp_server_accept, node->resp, reason);
    if (node->resp_listener == NULL) {
        return false;
    }
    node->rest_listener =
        listen_on(node, node->settings.api_port, rest_refusal, rest_server_accept, node->rest, reason);
    return node->rest_listener != NULL;
}

static bool start_persistence(struct node *node, char *message, size_t n) {
    const struct persistence_config config = {
        .loop = node->loop,
        .acks = &node->acks,
        .history = node->history,
        .keyspace = node->keyspace,
        .replication = node->replication,
        .routing = &node->routing,
        .clients = resp_server_clients(node->resp),
        .stats = &node->stats,
        .settings = &node->settings,
        .log = &node->log,
        .context = node,
        .on_loaded = on_loaded,
        .on_kept = on_kept,
        .on_fatal = on_fatal,
    };
    return persistence_start(&node->persistence, &config, message, n);
}

struct node *node_create(const struct options *options, char *message, size_t n) {
    struct node *node = calloc(1, sizeof(*node));
    const char *reason = "out of memory";
    if (node == NULL) {
        snprintf(message, n, "%s", reason);
        return NULL;
    }
    node->options = *options;
    node->log = (struct log){.level = settings_log_level(&options->settings), .fd = 2};
    share_descriptors(node);
    node->settings = node->options.settings;
    if (!persistence_open(&node->persistence, &node->settings, message, n)) {
        node_destroy(&node);
        return NULL;
    }
    node->options.settings = node->settings;
    if (!create_core(node, &reason) || !create_peers(node, &reason) || !create_servers(node, &reason)) {
        snprintf(message, n, "%s", reason);
        node_destroy(&node);
        return NULL;
    }
    if (!start_persistence(node, message, n)) {
        node_destroy(&node);
        return NULL;
    }
    ev_timer_init(&node->stop_timer, on_stop_timer, STOP_POLL_MS / 1e3, STOP_POLL_MS / 1e3);
    ev_init(&node->leave_timer, on_leave);
    node->stop_timer.data = node->leave_timer.data = node;
    return node;
}

/* A loop that is gone must not be told of a signal. */
static void forget_signals(struct node *node) {
    for (size_t i = 0; i < SIGNAL_RULES && node->loop != NULL; i++) {
        ev_signal_stop(loop_ev(node->loop), &node->signals[i]);
    }
}

int node_run(struct node *node, char *message, size_t n) {
    const struct settings *settings = &node->settings;
    log_write(&node->log, LOG_INFO, "started",
              "version=%s node=%s group=%u leader=%s host=%s bind=%s port=%u api=%u redis=%u discovery=%s:%u",
              KVNODE_VERSION, settings->id, settings->group, settings->leader ? "true" : "false",
              settings->host, settings->bind, settings->port, settings->api_port, settings->redis_port,
              settings->broadcast, settings->discovery_port);
    if (node->options.warning[0] != '\0') {
        log_write(&node->log, LOG_WARN, "address", "text=%s", log_quote(node->options.warning));
    }
    discovery_start(node->discovery);
    loop_run(node->loop);
    if (!persistence_finish(&node->persistence) && node->fatal[0] == '\0') {
        snprintf(node->fatal, sizeof(node->fatal), "not all of the data is on the disk: see the log");
    }
    log_write(&node->log, LOG_INFO, "stopped", "keys=%zu", keyspace_count(node->keyspace));
    snprintf(message, n, "%s", node->fatal);
    return node->fatal[0] == '\0' ? 0 : 1;
}

void node_destroy(struct node **node) {
    struct node *gone = *node;
    if (gone == NULL) {
        return;
    }
    listener_destroy(&gone->resp_listener);
    listener_destroy(&gone->rest_listener);
    messenger_destroy(&gone->messenger);
    replication_destroy(&gone->replication);
    persistence_stop(&gone->persistence);
    net_destroy(&gone->net);
    persistence_close(&gone->persistence);
    acks_deinit(&gone->acks);
    discovery_destroy(&gone->discovery);
    rest_server_destroy(&gone->rest);
    resp_server_destroy(&gone->resp);
    telemetry_destroy(&gone->telemetry);
    keyspace_destroy(&gone->keyspace);
    membership_destroy(&gone->membership);
    history_destroy(&gone->history);
    forget_signals(gone);
    loop_destroy(&gone->loop);
    free(gone);
    *node = NULL;
}
