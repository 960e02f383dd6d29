/* replication_world.h: nodes of one group in virtual time: the replication deciders between a model store and a
 * virtual network. What server/peers/ does with sockets and a clock is done here with buffers and a number.
 *
 *   leader_link --leader_out--> | to_follower, in flight | --follower_in--> lines --> follower_link
 *   lines <--leader_in-- | to_leader, in flight | <--follower_out-- ACK, SYNC, a state that was asked for
 *
 * A node may have a disk (model_journal.h): then it has after a restart what was written there, or synced.
 *
 * A connection carries bytes in order, in chunks of any size, or none for a while; it may be cut, and then each
 * side learns it when it learns it; between nodes that are parted nothing arrives, not even the end.
 */
#ifndef KVNODE_TESTS_SIM_REPLICATION_WORLD_H
#define KVNODE_TESTS_SIM_REPLICATION_WORLD_H

#include "tests/sim/model_journal.h"

enum {
    WORLD_NODES = 4,
    WORLD_CONNECTIONS = 64,
    WORLD_STEP_MS = 10,
    WORLD_TICK_MS = 50,
    WORLD_WIRE_BYTES = 2000, /* what a connection takes before its writer has to wait */
    WORLD_SLICE_BYTES = 300,
};

struct node {
    char id[24];
    unsigned life;
    bool leads;
    int64_t skew_ms; /* its clock against the world's */
    struct model_store store;
    struct history *history;
    struct leader leader;
    struct follower follower;
    struct model_journal journal;
    int64_t term_kept_at_ms; /* LEADER_TERM: when the disk has it; 0: it has not been asked */
    int64_t disk_stalls_until_ms;
    int64_t asleep_until_ms; /* stopped: it neither reads nor writes */
    bool knows_sync[WORLD_NODES];
    int64_t redial_at_ms[WORLD_NODES];
};

struct connection {
    struct node *leader, *follower;
    bool leader_open, follower_open;
    int64_t leader_learns_ms, follower_learns_ms; /* that it was cut; 0: it was not */
    size_t rate;                                  /* at most so many bytes a step */
    struct leader_link leader_link;
    struct follower_link follower_link;
    struct buf leader_out, follower_out, to_follower, to_leader, leader_in, follower_in;
    bool sends_state; /* the answer to PULL */
    uint64_t scan_cursor, scan_count;
    struct history_reader tail; /* likewise */
};

struct world;

/* What a world with voters (voters_world.h) does besides; NULL: a group whose leader is named by hand. */
struct world_hooks {
    /* The node of the connection has answered WHO: may it be followed? False: not now, or *closes. */
    bool (*takes_lead)(struct world *world, struct connection *connection, bool *closes);
    bool (*may_speak)(struct world *world, struct node *node); /* SYNC and ACK may leave */
    void (*leader_heard)(struct world *world, struct connection *connection);
    void (*follower_heard)(struct world *world, struct connection *connection);
};

struct world {
    const struct world_hooks *hooks;
    struct random random;
    int64_t now_ms;
    size_t limit_bytes; /* of a backlog */
    size_t rate;        /* of every connection; 0: each has its own */
    uint16_t next_random;
    struct node nodes[WORLD_NODES];
    struct connection connections[WORLD_CONNECTIONS];
    bool parted[WORLD_NODES][WORLD_NODES];
    struct buf scratch;
};

static inline size_t number_of(const struct world *world, const struct node *node) {
    return (size_t)(node - world->nodes);
}

static inline bool is_parted(const struct world *world, const struct connection *connection) {
    return world->parted[number_of(world, connection->leader)][number_of(world, connection->follower)];
}

static inline bool chance(struct world *world, size_t in_10000) {
    return random_below(&world->random, 10000) < in_10000;
}

static inline int64_t clock_of(const struct world *world, const struct node *node) {
    return world->now_ms + node->skew_ms;
}

static inline bool is_awake(const struct world *world, const struct node *node) {
    return world->now_ms >= node->asleep_until_ms;
}

static inline bool is_serving(const struct node *node) {
    return node->leads && node->leader.phase == LEADER_SERVING;
}

/* --- Connections --- */

static inline void free_if_both_closed(struct connection *connection) {
    if (connection->leader_open || connection->follower_open) {
        return;
    }
    struct buf *bufs[] = {&connection->leader_out, &connection->follower_out, &connection->to_follower,
                          &connection->to_leader,  &connection->leader_in,    &connection->follower_in};
    for (size_t i = 0; i < sizeof(bufs) / sizeof(bufs[0]); i++) {
        buf_deinit(bufs[i]);
    }
    *connection = (struct connection){0};
}

/* What was written is sent before the end, as a socket does, but by one that was cut. */
static inline void close_leader(struct world *world, struct connection *connection) {
    if (!connection->leader_open) {
        return;
    }
    struct node *node = connection->leader;
    size_t to = number_of(world, connection->follower);
    connection->leader_open = false;
    node->knows_sync[to] |= connection->leader_link.knows_sync;
    node->redial_at_ms[to] = world->now_ms + 100 + (int64_t)random_below(&world->random, 400);
    leader_link_close(&connection->leader_link, &node->leader, clock_of(world, node));
    if (connection->leader_learns_ms == 0) {
        buf_append_slice(&connection->to_follower, buf_slice(&connection->leader_out));
    }
    free_if_both_closed(connection);
}

static inline void close_follower(struct connection *connection) {
    if (!connection->follower_open) {
        return;
    }
    connection->follower_open = false;
    history_close(connection->follower->history, &connection->tail);
    follower_link_deinit(&connection->follower_link, &connection->follower->follower);
    if (connection->follower_learns_ms == 0) {
        buf_append_slice(&connection->to_leader, buf_slice(&connection->follower_out));
    }
    free_if_both_closed(connection);
}

/* It breaks: what is on its way is lost, in part or wholly. */
static inline void cut(struct world *world, struct connection *connection) {
    struct buf *ways[] = {&connection->to_follower, &connection->to_leader};
    for (size_t i = 0; i < 2; i++) {
        buf_truncate(ways[i], random_below(&world->random, buf_used(ways[i]) + 1));
    }
    buf_reset(&connection->leader_out);
    buf_reset(&connection->follower_out);
    connection->leader_learns_ms = world->now_ms + 1 + (int64_t)random_below(&world->random, 300);
    connection->follower_learns_ms = world->now_ms + 1 + (int64_t)random_below(&world->random, 300);
}

static inline struct connection *find_connection(struct world *world, const struct node *leader,
                                                 const struct node *follower) {
    for (size_t i = 0; i < WORLD_CONNECTIONS; i++) {
        struct connection *connection = &world->connections[i];
        if (connection->leader_open && connection->leader == leader &&
            (follower == NULL || connection->follower == follower)) {
            return connection;
        }
    }
    return NULL;
}

static inline void dial(struct world *world, struct node *leader, struct node *follower) {
    struct connection *connection = world->connections;
    while (connection->leader_open || connection->follower_open) {
        if (++connection == world->connections + WORLD_CONNECTIONS) {
            return;
        }
    }
    *connection = (struct connection){.leader = leader, .follower = follower};
    connection->leader_open = connection->follower_open = true;
    connection->rate = world->rate != 0 ? world->rate : (size_t)20 << random_below(&world->random, 8);
    struct buf *bufs[] = {&connection->leader_out, &connection->follower_out, &connection->to_follower,
                          &connection->to_leader,  &connection->leader_in,    &connection->follower_in};
    for (size_t i = 0; i < sizeof(bufs) / sizeof(bufs[0]); i++) {
        buf_init(bufs[i], SIZE_MAX);
    }
    follower_link_init(&connection->follower_link, clock_of(world, follower));
    leader_link_open(&connection->leader_link, &leader->leader, follower->id,
                     leader->knows_sync[number_of(world, follower)], clock_of(world, leader),
                     &connection->leader_out);
}

/* --- Nodes --- */

static inline void node_start(struct world *world, struct node *node, bool leads) {
    uint64_t id = leads ? history_make_id(clock_of(world, node), ++world->next_random) : 0;
    node->life++;
    node->leads = leads;
    node->asleep_until_ms = 0;
    history_destroy(&node->history);
    node->history = history_create(id, world->limit_bytes);
    model_reset(&node->store);
    node->store.history = node->history;
    struct group_data data = model_data(&node->store);
    leader_init(&node->leader, node->id, 0, node->history, &data, clock_of(world, node));
    follower_init(&node->follower, node->id, 0, node->history, &data);
    node->follower.keeps = node->journal.used;
    if (node->journal.used) {
        node->journal.random = &world->random;
        node->leader.archive = model_archive(&node->journal);
    }
    node->term_kept_at_ms = 0;
    if (node->journal.used && model_journal_recover(&node->journal, &node->store, node->history)) {
        node->follower.has_state = true;
        if (leads) {
            leader_recover(&node->leader, node->journal.term_number);
        }
    }
    for (size_t i = 0; i < WORLD_NODES; i++) {
        node->knows_sync[i] = chance(world, 5000); /* whether ENDPOINTS was heard in time */
        node->redial_at_ms[i] = world->now_ms + (int64_t)random_below(&world->random, 300);
    }
}

/* Killed, perhaps by a power cut, and started again with what its disk has, or nothing. */
static inline void node_restart(struct world *world, struct node *node, bool leads, bool power) {
    for (size_t i = 0; i < WORLD_CONNECTIONS; i++) {
        struct connection *connection = &world->connections[i];
        if (connection->leader == node) {
            close_leader(world, connection);
        }
        if (connection->follower == node) {
            close_follower(connection);
        }
    }
    model_journal_crash(&node->journal, node->history, power, &world->random);
    node_start(world, node, leads);
}

static inline void node_step_down(struct world *world, struct node *node) {
    struct connection *connection;
    while ((connection = find_connection(world, node, NULL)) != NULL) {
        close_leader(world, connection);
    }
    node->leads = false;
    follower_follow(&node->follower);
}

/* One line of a leader's, or a stranger's, link. False: the link is to be closed. */
static inline bool follower_hears(struct world *world, struct node *node, struct follower_link *link,
                                  struct slice bytes, struct buf *out, bool *asked_for_state) {
    struct line line;
    if (node->leads) {
        follower_lead(&node->follower);
    }
    node->follower.random = ++world->next_random;
    enum follower_verdict verdict =
        follower_link_line(link, &node->follower, bytes, clock_of(world, node), &world->scratch, &line, out);
    *asked_for_state = verdict == FOLLOWER_SEND_STATE;
    return verdict != FOLLOWER_CLOSE;
}

/* The question that PROVING asks takes its time, and finds what the node is by then, if it is not away. False:
 * the link is to be closed. */
static inline bool follower_asks(struct world *world, struct connection *connection) {
    struct node *node = connection->follower;
    struct node *asked = connection->leader;
    struct datagram announce = {.verb = DATAGRAM_ANNOUNCE, .leader = asked->leads};
    if (is_parted(world, connection) || !is_awake(world, asked) || !chance(world, 3000)) {
        return true; /* a tick ends it, should it take too long */
    }
    bool closes = false;
    if (world->hooks != NULL && !world->hooks->takes_lead(world, connection, &closes)) {
        return !closes;
    }
    snprintf(announce.node_id, sizeof(announce.node_id), "%s", asked->id);
    if (node->leads) {
        follower_lead(&node->follower);
    }
    enum follower_verdict verdict = FOLLOWER_STEP_DOWN;
    while (verdict == FOLLOWER_STEP_DOWN) {
        verdict = follower_link_proof(&connection->follower_link, &node->follower, &announce,
                                      clock_of(world, node), &connection->follower_out);
        if (verdict == FOLLOWER_STEP_DOWN) {
            node_step_down(world, node);
        }
    }
    return verdict != FOLLOWER_CLOSE;
}

/* Takes the next whole line from what has arrived. */
static inline bool next_line(struct buf *in, struct slice *line) {
    struct slice bytes = buf_slice(in);
    const char *end = bytes.len == 0 ? NULL : memchr(bytes.ptr, '\n', bytes.len);
    if (end == NULL) {
        return false;
    }
    *line = slice_first(bytes, (size_t)(end - bytes.ptr));
    return true;
}

static inline void begin_sending_state(struct connection *connection) {
    const struct node *node = connection->follower;
    const struct follower_pulled *pulled = &connection->follower_link.pulled;
    struct position position = follower_state_position(&node->follower);
    struct buf *out = &connection->follower_out;
    connection->sends_state = true;
    connection->scan_cursor = connection->scan_count = 0;
    if (pulled->tail) {
        history_open(node->history, &connection->tail, pulled->index);
        line_continue(out, position.history_id, pulled->index);
    } else {
        line_full(out, position.history_id, position.index, node->store.floor, &position.term);
        follower_write_state_context(&node->follower, out);
    }
}

/* True: that was all of it. */
static inline bool send_tail(struct connection *connection) {
    const struct history *history = connection->follower->history;
    struct slice lines;
    uint64_t last;
    if (!history_read(history, &connection->tail, &lines, &last)) {
        abort(); /* nothing is written to it meanwhile */
    }
    lines = history_first_lines(lines, WORLD_SLICE_BYTES); /* an ACK may come between */
    buf_append_slice(&connection->follower_out, lines);
    history_advance(history, &connection->tail, lines.len);
    return lines.len == 0;
}

static inline void send_state(struct connection *connection) {
    struct node *node = connection->follower;
    bool all;
    if (connection->follower_link.pulled.tail) {
        all = send_tail(connection);
    } else {
        connection->scan_cursor = model_scan(&node->store, connection->scan_cursor, false,
                                             &connection->follower_out, &connection->scan_count);
        all = connection->scan_cursor == 0;
    }
    if (all) {
        connection->sends_state = false;
        line_end(&connection->follower_out, connection->scan_count,
                 follower_state_position(&node->follower).index);
    }
}

static inline void follower_reads(struct world *world, struct connection *connection) {
    struct slice line;
    struct follower_link *link = &connection->follower_link;
    if (link->phase == FOLLOWER_PROVING && !follower_asks(world, connection)) {
        close_follower(connection);
        return;
    }
    while (connection->follower_open && link->phase != FOLLOWER_PROVING &&
           next_line(&connection->follower_in, &line)) {
        bool asked;
        if (!follower_hears(world, connection->follower, &connection->follower_link, line,
                            &connection->follower_out, &asked)) {
            close_follower(connection);
            return;
        }
        if (asked) {
            begin_sending_state(connection);
        }
        buf_consume(&connection->follower_in, line.len + 1);
    }
    follower_link_keep(link, &connection->follower->follower);
    if (world->hooks != NULL && connection->follower_open) {
        world->hooks->follower_heard(world, connection);
    }
}

static inline void leader_reads(struct world *world, struct connection *connection) {
    struct slice line;
    struct node *node = connection->leader;
    while (connection->leader_open && next_line(&connection->leader_in, &line)) {
        if (leader_link_line(&connection->leader_link, &node->leader, line, clock_of(world, node),
                             &world->scratch, &connection->leader_out) == LEADER_CLOSE) {
            close_leader(world, connection);
            return;
        }
        buf_consume(&connection->leader_in, line.len + 1);
    }
}

static inline void onto_wire(struct buf *out, struct buf *wire) {
    size_t used = buf_used(wire);
    struct slice now = slice_first(buf_slice(out), used < WORLD_WIRE_BYTES ? WORLD_WIRE_BYTES - used : 0);
    buf_append_slice(wire, now);
    buf_consume(out, now.len);
}

static inline void leader_writes(struct world *world, struct connection *connection) {
    struct leader_link *link = &connection->leader_link;
    struct node *node = connection->leader;
    struct slice next;
    if (connection->leader_learns_ms != 0) {
        return; /* into a socket that is gone */
    }
    if (leader_link_fill(link, &node->leader, &connection->leader_out, WORLD_SLICE_BYTES) == LEADER_CLOSE) {
        close_leader(world, connection);
        return;
    }
    onto_wire(&connection->leader_out, &connection->to_follower);
    while (leader_link_sends_lines(link) && buf_used(&connection->leader_out) == 0) {
        if (leader_link_peek(link, &node->leader, &next) == LEADER_CLOSE) {
            close_leader(world, connection);
            return;
        }
        size_t used = buf_used(&connection->to_follower);
        next = slice_first(next, used < WORLD_WIRE_BYTES ? WORLD_WIRE_BYTES - used : 0);
        if (next.len == 0) {
            return;
        }
        next = slice_first(next, 1 + random_below(&world->random, next.len));
        buf_append_slice(&connection->to_follower, next);
        leader_link_sent(link, &node->leader, next.len, clock_of(world, node));
    }
}

static inline void follower_writes(struct connection *connection) {
    if (connection->follower_learns_ms != 0) {
        return;
    }
    if (connection->sends_state && buf_used(&connection->follower_out) < WORLD_SLICE_BYTES) {
        send_state(connection);
    }
    onto_wire(&connection->follower_out, &connection->to_leader);
}

/* Some of what is on its way arrives. */
static inline void carry(struct world *world, struct buf *wire, struct buf *in, size_t rate) {
    size_t n = random_below(&world->random, 3) == 0 ? 0 : 1 + random_below(&world->random, rate);
    struct slice now = slice_first(buf_slice(wire), n);
    buf_append_slice(in, now);
    buf_consume(wire, now.len);
}

static inline void connection_step(struct world *world, struct connection *connection, bool tick) {
    bool parted = is_parted(world, connection);
    struct node *leader = connection->leader, *follower = connection->follower;
    if (connection->follower_open && is_awake(world, follower)) {
        if (!parted) {
            carry(world, &connection->to_follower, &connection->follower_in, connection->rate);
        }
        follower_reads(world, connection);
        bool mute = world->hooks != NULL && !world->hooks->may_speak(world, follower);
        if (connection->follower_open && tick && !mute &&
            follower_link_tick(&connection->follower_link, &follower->follower, clock_of(world, follower),
                               &connection->follower_out) == FOLLOWER_CLOSE) {
            close_follower(connection);
        }
        bool told = connection->follower_learns_ms != 0 && world->now_ms >= connection->follower_learns_ms;
        bool ended = !connection->leader_open && buf_used(&connection->to_follower) == 0;
        if (connection->follower_open && !parted && (told || ended)) {
            close_follower(connection);
        } else if (connection->follower_open && !mute) {
            follower_writes(connection);
        }
    }
    if (connection->leader_open && is_awake(world, leader)) {
        if (!parted) {
            carry(world, &connection->to_leader, &connection->leader_in, connection->rate);
        }
        leader_reads(world, connection);
        if (world->hooks != NULL && connection->leader_open) {
            world->hooks->leader_heard(world, connection);
        }
        if (connection->leader_open && tick &&
            leader_link_tick(&connection->leader_link, &leader->leader, clock_of(world, leader),
                             &connection->leader_out) == LEADER_CLOSE) {
            close_leader(world, connection);
        }
        bool told = connection->leader_learns_ms != 0 && world->now_ms >= connection->leader_learns_ms;
        bool ended = !connection->follower_open && buf_used(&connection->to_leader) == 0;
        if (connection->leader_open && !parted && (told || ended)) {
            close_leader(world, connection);
        } else if (connection->leader_open) {
            leader_writes(world, connection);
        }
    }
}

/* As its membership would tell: a leader that is away is dead to it at once. */
static inline bool hears_other_leader(const struct world *world, const struct node *node) {
    for (size_t i = 0; i < WORLD_NODES; i++) {
        const struct node *other = &world->nodes[i];
        if (other != node && other->leads && !world->parted[number_of(world, node)][i] &&
            is_awake(world, other)) {
            return true;
        }
    }
    return false;
}

static inline void node_lead_again(struct world *world, struct node *node) {
    node->leads = true;
    leader_resume(&node->leader, &node->follower.gave_way, !follower_is_clean(&node->follower),
                  clock_of(world, node));
    follower_lead(&node->follower);
}

/* The disk takes its time. */
static inline void node_keep_term(struct world *world, struct node *node) {
    if (node->leader.phase != LEADER_TERM) {
        return;
    }
    if (node->term_kept_at_ms == 0) {
        node->term_kept_at_ms = world->now_ms + (int64_t)random_below(&world->random, 300);
    } else if (world->now_ms >= node->term_kept_at_ms) {
        node->term_kept_at_ms = 0;
        node->journal.term_number = node->leader.term_number;
        leader_term_kept(&node->leader);
    }
}

static inline void node_disk_step(struct world *world, struct node *node) {
    struct model_journal *journal = &node->journal;
    bool whole = node->follower.overlaid_by == 0 && (!node->leads || node->leader.phase != LEADER_PULLING);
    if (!journal->used || !is_awake(world, node) || world->now_ms < node->disk_stalls_until_ms) {
        return;
    }
    if (chance(world, journal->slow ? 100 : 7000)) {
        model_journal_write(journal, &node->store, node->history, whole);
    }
    if (chance(world, journal->slow ? 20 : 500)) {
        model_journal_sync(journal);
    }
    if (journal->unsteady && chance(world, 5)) {
        model_journal_compact(journal, &node->store, node->history, whole);
    }
    node->follower.durable_index = model_journal_durable(journal, node->history);
}

static inline void node_tick(struct world *world, struct node *node) {
    if (!is_awake(world, node)) {
        return;
    }
    if (!node->leads &&
        follower_tick(&node->follower, hears_other_leader(world, node), clock_of(world, node))) {
        node_lead_again(world, node);
    }
    if (!node->leads) {
        return;
    }
    node->leader.random = ++world->next_random;
    leader_tick(&node->leader, clock_of(world, node));
    node_keep_term(world, node);
    for (size_t i = 0; i < WORLD_NODES; i++) {
        struct node *other = &world->nodes[i];
        if (other != node && world->now_ms >= node->redial_at_ms[i] && is_awake(world, other) &&
            !world->parted[number_of(world, node)][i] && find_connection(world, node, other) == NULL) {
            dial(world, node, other);
        }
    }
}

static inline void world_step(struct world *world) {
    world->now_ms += WORLD_STEP_MS;
    bool tick = world->now_ms % WORLD_TICK_MS == 0;
    for (size_t i = 0; i < WORLD_NODES; i++) {
        world->nodes[i].store.now_ms = clock_of(world, &world->nodes[i]);
        if (tick) {
            node_tick(world, &world->nodes[i]);
        }
    }
    for (size_t i = 0; i < WORLD_CONNECTIONS; i++) {
        struct connection *connection = &world->connections[i];
        if (connection->leader_open || connection->follower_open) {
            connection_step(world, connection, tick);
        }
    }
    for (size_t i = 0; i < WORLD_NODES; i++) {
        node_disk_step(world, &world->nodes[i]);
    }
}

/* A group: node 0 leads, the others follow; nothing in it. */
static inline void world_init(struct world *world, uint64_t seed, size_t limit_bytes) {
    *world = (struct world){.random = {seed}, .now_ms = 1000000, .limit_bytes = limit_bytes};
    buf_init(&world->scratch, SIZE_MAX);
    for (size_t i = 0; i < WORLD_NODES; i++) {
        struct node *node = &world->nodes[i];
        snprintf(node->id, sizeof(node->id), "node%zu", i);
        node->skew_ms = (int64_t)random_below(&world->random, 3000);
        model_journal_init(&node->journal, false);
        node_start(world, node, i == 0);
    }
}

static inline void world_deinit(struct world *world) {
    for (size_t i = 0; i < WORLD_CONNECTIONS; i++) {
        close_leader(world, &world->connections[i]);
        close_follower(&world->connections[i]);
    }
    for (size_t i = 0; i < WORLD_NODES; i++) {
        model_reset(&world->nodes[i].store);
        history_destroy(&world->nodes[i].history);
        buf_deinit(&world->nodes[i].journal.bytes);
    }
    buf_deinit(&world->scratch);
}

/* The one leader that serves; NULL: there is none, or there are two. */
static inline struct node *world_leader(struct world *world) {
    struct node *leader = NULL;
    for (size_t i = 0; i < WORLD_NODES; i++) {
        struct node *node = &world->nodes[i];
        if (node->leads && (leader != NULL || !is_serving(node))) {
            return NULL;
        }
        leader = node->leads ? node : leader;
    }
    return leader;
}

/* Everybody is where the one leader is, and the leader knows it. */
static inline bool world_is_quiet(struct world *world) {
    struct node *leader = world_leader(world);
    if (leader == NULL) {
        return false;
    }
    for (size_t i = 0; i < WORLD_NODES; i++) {
        struct node *node = &world->nodes[i];
        struct connection *connection = find_connection(world, leader, node);
        if (node != leader &&
            (connection == NULL || connection->leader_link.phase != LEADER_LINK_STREAM ||
             connection->leader_link.acked_index != history_index(leader->history) ||
             model_incomplete(&node->store) || history_id(node->history) != history_id(leader->history) ||
             history_index(node->history) != history_index(leader->history))) {
            return false;
        }
    }
    return true;
}

#endif
