/* resp_fixture.h: a RESP client on one end of a socket pair, a session with a real loop, keyspace, membership
 * and routing on the other. The tests read as transcripts: what is sent, what is answered. Replication alone is
 * played (below), and the clock (played_clock.h) but where RESP_FIXTURE_REAL_CLOCK is defined. Replies may have
 * to wait for voters where RESP_FIXTURE_VOTES is. For one program each: it has the node, and functions in place
 * of those of server/peers/replication.c. */
#ifndef KVNODE_TESTS_UNIT_RESP_FIXTURE_H
#define KVNODE_TESTS_UNIT_RESP_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cluster/routing.h"
#include "server/acks.h"
#include "server/commands/features.h"
#include "server/commands/node/config.h"
#include "server/commands/rows.h"
#include "server/dispatch/command_table.h"
#include "server/dispatch/telemetry.h"
#include "server/log.h"
#include "server/options.h"
#include "server/peers/discovery.h"
#include "server/peers/replication.h"
#include "server/resp/session.h"
#include "server/settings.h"
#include "server/stats.h"
#ifndef RESP_FIXTURE_REAL_CLOCK
#include "tests/unit/played_clock.h"
#endif

#include <errno.h>
#include <ev.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* --- Replication as the tests want it
 * ----------------------------------------------------------------------------- */

struct replication {
    enum replication_role role;
    uint64_t acknowledged; /* by the only follower */
    bool asked;
    bool is_taking_a_state;
    size_t counted; /* so often was it asked how far the follower is */
    bool elected;   /* it leads a group that votes */
    uint64_t committed_index, round, asked_round;
};

const char *replication_role_name(enum replication_role role) {
    static const char *const names[] = {"starting", "leader", "follower", "demoted"};
    return names[role];
}

void replication_status(const struct replication *replication, struct replication_status *out) {
    *out = (struct replication_status){
        .role = replication->role,
        .history_id = 0x18c2f3a4b5c60001,
        .index = 42,
        .leader_host = "10.0.0.1",
        .leader_redis_port = 6379,
        .link_up = true,
        .has_state = true,
        .last_line_age_ms = 1500,
        .follower_count = 1,
        .online_count = 1,
    };
}

bool replication_follower_at(const struct replication *replication, size_t i,
                             struct replication_follower *out) {
    if (replication->role != REPLICATION_LEADER || i > 0) {
        return false;
    }
    *out = (struct replication_follower){
        .node_id = "follower1",
        .host = "10.0.0.2",
        .port = 8001,
        .redis_port = 6380,
        .state = "online",
        .acked_index = 40,
        .lag_lines = 2,
        .lag_ms = 3,
        .ack_age_ms = 1200,
    };
    return true;
}

bool replication_link_at(const struct replication *replication, size_t i, struct replication_link *out) {
    (void)replication;
    *out = (struct replication_link){
        .node_id = "follower1", .dialled = i == 0, .output_allocated_bytes = 4096, .output_used_bytes = i * 10};
    return i < 2;
}

bool replication_follower_of(const struct replication *replication, const char *node_id,
                             struct replication_follower *out) {
    return replication_follower_at(replication, 0, out) && strcmp(out->node_id, node_id) == 0;
}

size_t replication_acknowledged(const struct replication *replication, uint64_t index) {
    ((struct replication *)replication)->counted++;
    return index <= replication->acknowledged ? 1 : 0;
}

size_t replication_durable(const struct replication *replication, uint64_t index) {
    (void)replication, (void)index;
    return 0;
}

uint64_t replication_acknowledgements(const struct replication *replication) {
    return replication->acknowledged;
}

void replication_ask_followers(struct replication *replication) { replication->asked = true; }

bool replication_index_of(const struct replication *replication, const struct member *member, uint64_t *out) {
    (void)replication;
    *out = member->self ? 42 : member->index;
    return member->self || member->tells_index;
}

enum err replication_ready(const struct replication *replication) {
    return replication->role == REPLICATION_STARTING ? ERR_LOADING : ERR_NONE;
}

bool replication_is_whole(const struct replication *replication) { return !replication->is_taking_a_state; }

/* Whoever leads a group that votes was elected by itself alone, and stays. */

void replication_voting(const struct replication *replication, struct replication_voting *out) {
    *out = (struct replication_voting){.active = replication->elected, .phase = "leading", .reason = ""};
}

bool replication_voter_at(const struct replication *replication, size_t i, struct replication_voter *out) {
    (void)replication, (void)i, (void)out;
    return false;
}

const char *replication_change_voters(struct replication *replication, const char *add, const char *remove) {
    (void)replication, (void)add, (void)remove;
    return "the voters are played";
}

const char *replication_hand_over(struct replication *replication, const char *node_id, int64_t timeout_ms) {
    (void)replication, (void)node_id, (void)timeout_ms;
    return "the voters are played";
}

bool replication_hand_over_abort(struct replication *replication) {
    (void)replication;
    return false;
}

enum hand_over_phase replication_hands_over(const struct replication *replication) {
    (void)replication;
    return HAND_OVER_NONE;
}

const char *replication_take_over(struct replication *replication, bool by_force) {
    (void)replication, (void)by_force;
    return "this node leads already";
}

#ifdef RESP_FIXTURE_VOTES
enum { FIXTURE_VOTES = true };
#else
enum { FIXTURE_VOTES = false };
#endif

static inline bool played_quorum(void *context, uint64_t *committed_index, uint64_t *round) {
    const struct replication *replication = context;
    *committed_index = replication->committed_index;
    *round = replication->round;
    return replication->elected;
}

static inline uint64_t played_ask_round(void *context) {
    return ((const struct replication *)context)->asked_round;
}

/* --- The node and the client
 * -------------------------------------------------------------------------------------- */

enum { FIXTURE_PATIENCE_MS = 30000 }; /* with what is waited for */

static struct {
    struct loop *loop;
    struct net *net;
    struct history *history;
    struct keyspace *keyspace;
    struct membership *membership;
    struct routing routing;
    struct replication replication;
    struct acks acks;
    struct discovery_stats discovery;
    struct options options;
    struct server_stats stats;
    struct settings settings;
    struct telemetry *telemetry;
    bool stopped;
    struct log log;
    struct command_context context;
    struct resp_server *server;
    int client;
    struct buf received;
} node;

static inline void connect_client(void) {
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
    node.client = ends[0];
    resp_server_accept(node.server, ends[1]);
}

static inline int forget_group(void *context, uint16_t group) {
    assert_ptr_equal(context, &node);
    return (int)membership_forget_group(node.membership, group);
}

static inline void on_stop(void *context) {
    assert_ptr_equal(context, &node);
    node.stopped = true;
}

static inline int set_up(void **state) {
    (void)state;
    memset(&node, 0, sizeof(node));
    struct member self = {.id = "self0001",
                          .host = "127.0.0.1",
                          .port = 8000,
                          .api_port = 9000,
                          .redis_port = 6379,
                          .group = 0,
                          .leader = true,
                          .self = true,
                          .alive = true,
                          .has_endpoints = true};
    node.loop = loop_create();
    node.net = net_create(node.loop);
    node.history = history_create(1, 1 << 20);
    node.keyspace = keyspace_create(node.loop, node.history, 0);
    node.membership = membership_create(&self, 1);
    assert_non_null(node.keyspace);
    keyspace_set_owner(node.keyspace, true);
    membership_join_group(node.membership, 0);
    routing_init(&node.routing, node.membership);
    assert_true(routing_rebuild(&node.routing));
    routing_set_self_leader(&node.routing, true);
    routing_set_self_state(&node.routing, true);
    node.replication.role = REPLICATION_LEADER;
    const struct acks_config acks = {.net = node.net,
                                     .history = node.history,
                                     .routing = &node.routing,
                                     .keeps = FIXTURE_VOTES,
                                     .context = &node.replication,
                                     .quorum = played_quorum,
                                     .ask_round = played_ask_round};
    acks_init(&node.acks, &acks);
    settings_init(&node.settings);
    node.settings.redis_port = self.redis_port;
    node.settings.maxclients = 100;
    memcpy(node.settings.id, self.id, sizeof(self.id));
    strcpy(node.settings.bind, self.host);
    node.options.settings = node.settings;
    node.telemetry = telemetry_create(&all_commands);
    node.context = (struct command_context){.loop = node.loop,
                                            .net = node.net,
                                            .keyspace = node.keyspace,
                                            .routing = &node.routing,
                                            .membership = node.membership,
                                            .replication = &node.replication,
                                            .discovery = &node.discovery,
                                            .history = node.history,
                                            .options = &node.options,
                                            .log = &node.log,
                                            .stats = &node.stats,
                                            .settings = &node.settings,
                                            .telemetry = node.telemetry,
                                            .stop = on_stop,
                                            .forget_group = forget_group,
                                            .node = &node};
    node.server = resp_server_create(&node.context, &all_commands, &all_features);
    node.context.clients = resp_server_clients(node.server);
    config_apply_all(&node.context, resp_server_clients(node.server));
    buf_init(&node.received, SIZE_MAX);
    connect_client();
    return 0;
}

/* It takes 1 ms of the played clock. */
static inline void turn(void) {
#ifndef RESP_FIXTURE_REAL_CLOCK
    played_clock_pass_ms(1);
#endif
    ev_run(loop_ev(node.loop), EVRUN_NOWAIT);
}

static inline int tear_down(void **state) {
    (void)state;
    close(node.client);
    for (int i = 0; i < 10; i++) {
        turn();
    }
    assert_int_equal(node.stats.resp_clients, 0);
    net_destroy(&node.net);
    resp_server_destroy(&node.server);
    telemetry_destroy(&node.telemetry);
    keyspace_destroy(&node.keyspace);
    history_destroy(&node.history);
    membership_destroy(&node.membership);
    acks_deinit(&node.acks);
    loop_destroy(&node.loop);
    buf_deinit(&node.received);
    return 0;
}

/* A datagram of another node; a leader answers WHO, too. */
static inline void datagram_arrives(const char *text) {
    struct datagram datagram;
    assert_int_equal(datagram_decode(slice_from_text(text), &datagram), DATAGRAM_OK);
    membership_hear(node.membership, &datagram, loop_now_ms(node.loop));
    if (datagram.verb == DATAGRAM_ANNOUNCE && datagram.leader) {
        membership_verified(node.membership, &datagram, NULL, loop_now_ms(node.loop));
    }
    struct membership_action action;
    while (membership_next(node.membership, &action)) {
    }
    assert_true(routing_rebuild(&node.routing));
}

static inline int64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Takes what has come; false: the server has closed the connection. */
static inline bool receive(void) {
    char *to = buf_reserve(&node.received, 65536);
    ssize_t n = recv(node.client, to, 65536, 0);
    if (n > 0) {
        buf_commit(&node.received, (size_t)n);
    }
    return n > 0 || (n < 0 && errno == EAGAIN);
}

/* Turns the loop until n bytes have come, or the connection is closed, for at most FIXTURE_PATIENCE_MS. */
static inline bool receive_bytes(size_t n) {
    int64_t until_ms = now_ms() + FIXTURE_PATIENCE_MS;
    bool open = true;
    while (open && buf_used(&node.received) < n && now_ms() < until_ms) {
        turn();
        open = receive();
    }
    return open;
}

/* As much as the node takes: it may close meanwhile. */
static inline void send_bytes(struct slice bytes) {
    while (bytes.len > 0) {
        ssize_t n = send(node.client, bytes.ptr, bytes.len, MSG_NOSIGNAL);
        if (n > 0) {
            bytes = slice_skip(bytes, (size_t)n);
        } else if (errno == EAGAIN) {
            turn();
        } else {
            return;
        }
    }
}

static inline void expect_bytes(struct slice expected) {
    receive_bytes(expected.len);
    turn();
    receive();
    struct slice got = buf_slice(&node.received);
    if (!slice_equals(got, expected)) {
        fail_msg("got \"%.*s\", expected \"%.*s\"", (int)got.len, got.ptr, (int)expected.len, expected.ptr);
    }
    buf_reset(&node.received);
}

/* Sends a line (inline commands) and expects the whole of the reply. */
static inline void check(const char *line, const char *expected) {
    send_bytes(slice_from_text(line));
    send_bytes(SLICE("\r\n"));
    expect_bytes(slice_from_text(expected));
}

/* The same where the reply has a NUL in it. */
static inline void check_bytes(const char *line, struct slice expected) {
    send_bytes(slice_from_text(line));
    send_bytes(SLICE("\r\n"));
    expect_bytes(expected);
}

static inline void expect_closed(void) { assert_false(receive_bytes(SIZE_MAX)); }

static inline void check_part(const char *line, const char *part, bool wanted) {
    send_bytes(slice_from_text(line));
    send_bytes(SLICE("\r\nECHO end-of-reply\r\n"));
    static const char end[] = "$12\r\nend-of-reply\r\n";
    int64_t until_ms = now_ms() + FIXTURE_PATIENCE_MS;
    do {
        receive_bytes(buf_used(&node.received) + 1);
        buf_append_byte(&node.received, '\0');
        buf_truncate(&node.received, buf_used(&node.received) - 1);
    } while (strstr(buf_slice(&node.received).ptr, end) == NULL && now_ms() < until_ms);
    if ((strstr(buf_slice(&node.received).ptr, part) != NULL) != wanted) {
        fail_msg("%s: %s \"%s\" in \"%s\"", line, wanted ? "no" : "a", part, buf_slice(&node.received).ptr);
    }
    buf_reset(&node.received);
}

/* The reply has this in it, or has it not. */
static inline void check_contains(const char *line, const char *part) { check_part(line, part, true); }
static inline void check_lacks(const char *line, const char *part) { check_part(line, part, false); }

#endif
