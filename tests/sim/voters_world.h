/* voters_world.h: a group that elects its leader, in virtual time: the deciders of election and commit beside
 * those of replication, over the connections and disks of replication_world.h.
 *
 * Votes, pings and their echoes are messages of their own: delayed, doubled, lost (a connection breaks), and
 * never from one life of a node to another. What an election asks to be kept is on the disk a while later.
 */
#ifndef KVNODE_TESTS_SIM_VOTERS_WORLD_H
#define KVNODE_TESTS_SIM_VOTERS_WORLD_H

#include "cluster/commit.h"
#include "cluster/election.h"
#include "cluster/planted.h"
#include "tests/sim/replication_world.h"

#define GROUP_HISTORY UINT64_C(0x0192f0c4a1b20001)

enum { VOTERS_AT_FIRST = 3, MESSAGES = 512, NUMBERS = 4096 };

struct voter {
    struct election election;
    struct commit commit;
    uint64_t voters_index; /* that commit knows of */
    struct election_kept on_disk, keeping;
    int64_t kept_at_ms; /* keeping is on the disk; 0: nothing is being kept */
    int64_t ping_at_ms;
    bool always;        /* -fsync */
    bool is_new;        /* it lives again, and nobody has a connection to it yet */
    int64_t dies_at_ms; /* 0: it does not; by a power cut or not */
    bool dies_of_power;
};

struct message {
    size_t from, to;
    unsigned from_life, to_life;
    int64_t at_ms; /* 0: none */
    char text[ELECTION_TEXT_BYTES];
};

struct voters_world {
    struct world world; /* the first member: hooks go back from it */
    struct voter voters[WORLD_NODES];
    struct message messages[MESSAGES];
    char leader_of[NUMBERS][24]; /* by the number of the term */
    uint64_t committed;          /* the greatest index that was committed anywhere, and its term */
    struct term committed_term;
    bool transcript; /* every message is printed */
    bool troubled;   /* misfortunes happen; else all is well from now on */
    uint64_t elections, changes, transfers, lost_power;
    void (*fail)(struct voters_world *group, const char *what, const struct node *node);
};

static inline struct voters_world *group_of(struct world *world) {
    return (struct voters_world *)(void *)world;
}

static inline struct voter *voter_of(struct voters_world *group, const struct node *node) {
    return &group->voters[number_of(&group->world, node)];
}

static inline bool has_line(const struct node *node, uint64_t index, const struct term *term) {
    const struct term *here =
        history_index(node->history) < index ? NULL : lineage_at(history_lineage(node->history), index);
    return here != NULL && term_compare(here, term) == 0;
}

/* --- Messages --- */

static inline void post(struct voters_world *group, const struct node *from, const char *to, const char *text) {
    struct world *world = &group->world;
    size_t copies = chance(world, 200) ? 2 : 1, n = 0;
    while (n < WORLD_NODES && strcmp(world->nodes[n].id, to) != 0) {
        n++;
    }
    if (n == WORLD_NODES || world->parted[number_of(world, from)][n] || chance(world, 200)) {
        return;
    }
    for (struct message *m = group->messages; copies > 0 && m < group->messages + MESSAGES; m++) {
        if (m->at_ms == 0) {
            int64_t delay_ms = chance(world, 300) ? 900 : 30;
            *m = (struct message){.from = number_of(world, from),
                                  .to = n,
                                  .from_life = from->life,
                                  .to_life = world->nodes[n].life,
                                  .at_ms = world->now_ms + 1 +
                                           (int64_t)random_below(&world->random, (size_t)delay_ms)};
            snprintf(m->text, sizeof(m->text), "%s", text);
            copies--;
        }
    }
}

/* --- What an election asks for --- */

static inline void stop_leading_node(struct voters_world *group, struct node *node) {
    if (node->leads) {
        node_step_down(&group->world, node);
        node->follower.gave_way = (struct position){0}; /* another one is elected */
    }
}

static inline void leave_leader(struct voters_world *group, const struct node *node) {
    for (size_t i = 0; i < WORLD_CONNECTIONS; i++) {
        struct connection *connection = &group->world.connections[i];
        if (connection->follower_open && connection->follower == node &&
            node->follower.leader_link == &connection->follower_link) {
            close_follower(connection);
        }
    }
}

/* It dies soon. */
static inline void doom(struct voters_world *group, size_t node, bool power, size_t within_ms) {
    struct voter *voter = &group->voters[node];
    if (!group->troubled) {
        return;
    }
    voter->dies_at_ms = group->world.now_ms + 1 + (int64_t)random_below(&group->world.random, within_ms);
    voter->dies_of_power = power;
}

/* "Leader completeness": all that was committed in terms before is here. */
static inline void begin_leading(struct voters_world *group, struct node *node, uint64_t number) {
    struct voter *voter = voter_of(group, node);
    struct world *world = &group->world;
    char *leader = group->leader_of[number % NUMBERS];
    if (leader[0] != '\0' && strcmp(leader, node->id) != 0) {
        group->fail(group, "two leaders of one term:", node);
    }
    snprintf(leader, sizeof(group->leader_of[0]), "%s", node->id);
    if (group->committed > 0 && group->committed_term.number < number &&
        !has_line(node, group->committed, &group->committed_term)) {
        group->fail(group, "a committed line is missing at the leader", node);
    }
    node->leads = true;
    follower_lead(&node->follower);
    leader_elected(&node->leader, number);
    group->elections++;
    commit_begin(&voter->commit, node->id, history_voters(node->history), history_index(node->history));
    voter->voters_index = history_voters_index(node->history);
    if (voter->voters_index == 0) {
        const struct voters first = *history_voters(node->history);
        history_write_voters(node->history, &first);
    }
    for (size_t i = 0; i < WORLD_NODES; i++) {
        node->redial_at_ms[i] = world->now_ms;
    }
    size_t self = number_of(world, node), other = random_below(&world->random, WORLD_NODES);
    if (group->troubled && chance(world, 1500) &&
        other != self) { /* one of those that have voted does not hear of it */
        world->parted[self][other] = world->parted[other][self] = true;
    }
    if (chance(world, 2000)) {
        doom(group, self, chance(world, 3000), 400);
    }
}

static inline void run_actions(struct voters_world *group, struct node *node) {
    struct voter *voter = voter_of(group, node);
    struct election_action action;
    while (election_next(&voter->election, &action)) {
        if (group->transcript) {
            static const char *const names[] = {"SEND", "KEEP", "LEAVE", "LEAD", "STOP"};
            printf("%lld %s %s %s %llu %s%s", (long long)group->world.now_ms, node->id, names[action.type],
                   action.to, (unsigned long long)action.kept.number, action.text,
                   action.type == ELECTION_SEND ? "" : "\n");
        }
        switch (action.type) {
        case ELECTION_SEND:
            if (strstr(action.text, "|real|yes") != NULL && chance(&group->world, 1500)) {
                doom(group, number_of(&group->world, node), false, 30);
            }
            action.text[strlen(action.text) - 1] = '\0';
            post(group, node, action.to, action.text);
            break;
        case ELECTION_KEEP:
            voter->keeping = action.kept;
            voter->kept_at_ms =
                group->world.now_ms + 1 +
                (int64_t)random_below(&group->world.random, chance(&group->world, 300) ? 700 : 20);
            break;
        case ELECTION_LEAVE:
            leave_leader(group, node);
            break;
        case ELECTION_LEAD:
            begin_leading(group, node, action.kept.number);
            break;
        case ELECTION_STOP:
            stop_leading_node(group, node);
            break;
        }
    }
}

/* --- Hooks --- */

static inline bool group_takes_lead(struct world *world, struct connection *connection, bool *closes) {
    struct voters_world *group = group_of(world);
    struct node *node = connection->follower;
    struct election *election = &voter_of(group, node)->election;
    const struct position *from = &connection->follower_link.leads_from;
    if (strcmp(election->leader, connection->leader->id) != 0 || election->kept.number != from->term.number) {
        *closes = !election_take_lead(election, connection->leader->id, from, clock_of(world, node));
        run_actions(group, node);
    }
    connection->follower_link.is_elected = !*closes && election_is_settled(election);
    return connection->follower_link.is_elected;
}

static inline bool group_may_speak(struct world *world, struct node *node) {
    return election_is_settled(&voter_of(group_of(world), node)->election);
}

static inline void group_leader_heard(struct world *world, struct connection *connection) {
    const struct leader_link *link = &connection->leader_link;
    struct commit *commit = &voter_of(group_of(world), connection->leader)->commit;
    if (link->phase == LEADER_LINK_STREAM && link->last_ack_ms >= 0) {
        commit_durable(commit, connection->follower->id, link->durable_index);
    }
}

static inline void group_follower_heard(struct world *world, struct connection *connection) {
    struct node *node = connection->follower;
    struct election *election = &voter_of(group_of(world), node)->election;
    const struct follower_link *link = &connection->follower_link;
    if (node->follower.leader_link != link) {
        return;
    }
    election->arriving = link->phase == FOLLOWER_FULL;
    if (link->last_line_ms == clock_of(world, node) && strcmp(election->leader, connection->leader->id) == 0) {
        election_heard(election, clock_of(world, node));
    }
    bool was_forgetful = election->kept.forgetful;
    if (link->phase == FOLLOWER_STREAM) {
        election_durable(election, PLANTED(PLANTED_FIRM_AT_APPLIED) ? history_index(node->history)
                                                                    : node->follower.durable_index);
    }
    if (was_forgetful && !election->kept.forgetful && chance(world, 3000)) {
        doom(group_of(world), number_of(world, node), false, 100);
    }
}

static const struct world_hooks group_hooks = {
    .takes_lead = group_takes_lead,
    .may_speak = group_may_speak,
    .leader_heard = group_leader_heard,
    .follower_heard = group_follower_heard,
};

/* --- Lives --- */

/* What forming leaves: the history of the group, its voters, and nothing in it. */
static inline void have_formed(struct node *node) {
    struct voters voters = {0};
    for (size_t i = 0; i < VOTERS_AT_FIRST; i++) {
        char id[8];
        snprintf(id, sizeof(id), "node%zu", i);
        voters_add(&voters, id);
    }
    history_restart(node->history, GROUP_HISTORY, 0, NULL);
    history_note_voters(node->history, &voters);
}

static inline void begin_life(struct voters_world *group, struct node *node) {
    struct world *world = &group->world;
    struct voter *voter = voter_of(group, node);
    if (history_id(node->history) == 0 && number_of(world, node) < VOTERS_AT_FIRST) {
        have_formed(node);
    }
    node->follower.votes = true;
    voter->is_new = true;
    node->store.now_ms = clock_of(world, node);
    voter->commit = (struct commit){0};
    voter->kept_at_ms = voter->dies_at_ms = 0;
    election_init(&voter->election, node->id, 0, ELECTION_TIMEOUT_MS, node->history, &voter->on_disk,
                  random_u64(&world->random), clock_of(world, node));
    voter->election.proposes = number_of(world, node) == 0;
}

/* Another voter has the line that was committed last on its disk: as long as anybody has it who is asked, it is
 * not lost. Asked are the voters that the node may know of afterwards: those of now, or, if that is not
 * committed, before. */
static inline bool may_lose_power(struct voters_world *group, const struct node *node) {
    const struct voters *now = history_voters(node->history), *before = history_voters_before(node->history);
    bool is_sure = before->count == 0 || history_voters_index(node->history) <= group->committed;
    for (size_t i = 0; i < WORLD_NODES; i++) {
        const struct node *other = &group->world.nodes[i];
        if (other != node && voters_find(now, other->id) >= 0 &&
            (is_sure || voters_find(before, other->id) >= 0) &&
            other->follower.durable_index >= group->committed &&
            has_line(other, group->committed, &group->committed_term)) {
            return true;
        }
    }
    return group->committed == 0;
}

static inline void die_for(struct voters_world *group, struct node *node, bool power, int64_t ms) {
    struct world *world = &group->world;
    struct voter *voter = voter_of(group, node);
    power = power && (voter->always || may_lose_power(group, node));
    if (voter->kept_at_ms != 0 && chance(world, 5000)) {
        voter->on_disk = voter->keeping;
    }
    if (power && !voter->always) { /* meta: fsynced before the new boot id is */
        voter->on_disk.forgetful = true;
        group->lost_power++;
    } else if (PLANTED(PLANTED_FORGETFULNESS_IS_FORGOTTEN)) {
        voter->on_disk.forgetful = false;
    }
    uint64_t had = history_index(node->history);
    node_restart(world, node, false, power);
    begin_life(group, node);
    if (group->transcript) {
        printf("%lld %s DIES power=%d had %llu has %llu number %llu\n", (long long)world->now_ms, node->id,
               power, (unsigned long long)had, (unsigned long long)history_index(node->history),
               (unsigned long long)voter->on_disk.number);
    }
    node->asleep_until_ms = world->now_ms + ms;
    if (group->troubled && chance(world, 2000)) {
        node->disk_stalls_until_ms = node->asleep_until_ms + 2000;
    }
    for (size_t i = 0; i < WORLD_NODES; i++) { /* some learn of it at once */
        struct node *other = &world->nodes[i];
        if (other != node && is_awake(world, other) && !world->parted[i][number_of(world, node)] &&
            chance(world, 5000)) {
            election_gone(&group->voters[i].election, node->id, clock_of(world, other));
        }
    }
}

static inline void group_init(struct voters_world *group, uint64_t seed, size_t limit_bytes) {
    *group = (struct voters_world){0};
    world_init(&group->world, seed, limit_bytes);
    group->world.hooks = &group_hooks;
    for (size_t i = 0; i < WORLD_NODES; i++) {
        struct node *node = &group->world.nodes[i];
        node->journal.used = true;
        node->journal.always = group->voters[i].always = random_below(&group->world.random, 2) == 0;
        node_restart(&group->world, node, false, false);
        begin_life(group, node);
    }
}

/* --- A step --- */

static inline void hear_message(struct voters_world *group, struct node *node, const struct node *from,
                                const char *text) {
    struct voter *voter = voter_of(group, node);
    int64_t now_ms = clock_of(&group->world, node);
    struct line line;
    const char *reason;
    char answer[80];
    if (line_decode(slice_from_text(text), &group->world.scratch, &line, &reason) != LINE_OK) {
        group->fail(group, "a message that is none, from", from);
    }
    if (line.verb == LINE_PING) { /* of who leads this node's term */
        bool links = node->follower.leader_link != NULL && strcmp(voter->election.leader, from->id) == 0;
        if (links && election_is_settled(&voter->election)) {
            election_heard(&voter->election, now_ms);
            snprintf(answer, sizeof(answer), "ACK|0|0|%llu", (unsigned long long)line.count);
            post(group, node, from->id, answer);
        }
    } else if (line.verb == LINE_ACK) {
        if (node->leads) {
            election_echo(&voter->election, from->id, now_ms);
            commit_echo(&voter->commit, from->id, line.round);
        }
    } else {
        election_line(&voter->election, from->id, &line, now_ms);
    }
    run_actions(group, node);
}

static inline void deliver(struct voters_world *group) {
    struct world *world = &group->world;
    for (struct message *m = group->messages; m < group->messages + MESSAGES; m++) {
        struct node *to = &world->nodes[m->to], *from = &world->nodes[m->from];
        if (m->at_ms == 0 || m->at_ms > world->now_ms) {
            continue;
        }
        bool gone = m->to_life != to->life || m->from_life != from->life || world->parted[m->from][m->to];
        if (!gone && !is_awake(world, to)) {
            continue; /* it lies in the socket */
        }
        struct message now = *m;
        m->at_ms = 0;
        if (!gone) {
            if (group->transcript) {
                printf("%lld %s > %s: %s\n", (long long)world->now_ms, from->id, to->id, now.text);
            }
            hear_message(group, to, from, now.text);
        }
    }
}

static inline void note_committed(struct voters_world *group, struct node *node) {
    uint64_t index = voter_of(group, node)->commit.index;
    if (index <= group->committed) {
        return;
    }
    const struct term *term = lineage_at(history_lineage(node->history), index);
    if (group->committed > 0 && !has_line(node, group->committed, &group->committed_term)) {
        group->fail(group, "what was committed before is not on the line of", node);
    }
    group->committed = index;
    group->committed_term = *term;
    if (group->transcript) {
        const struct commit *commit = &voter_of(group, node)->commit;
        printf("%lld %s COMMITTED %llu:", (long long)group->world.now_ms, node->id, (unsigned long long)index);
        for (size_t i = 0; i < commit->voters.count; i++) {
            printf(" %s %llu", commit->voters.ids[i], (unsigned long long)commit->durable[i]);
        }
        printf("\n");
    }
}

static inline void lead_step(struct voters_world *group, struct node *node) {
    struct voter *voter = voter_of(group, node);
    struct world *world = &group->world;
    char ping[80];
    if (history_voters_index(node->history) != voter->voters_index) {
        voter->voters_index = history_voters_index(node->history);
        commit_set_voters(&voter->commit, history_voters(node->history));
    }
    commit_durable(&voter->commit, node->id, node->follower.durable_index);
    note_committed(group, node);
    if (world->now_ms < voter->ping_at_ms) {
        return;
    }
    voter->ping_at_ms = world->now_ms + ELECTION_TIMEOUT_MS / 6;
    snprintf(ping, sizeof(ping), "PING|%llu|%llu", (unsigned long long)history_index(node->history),
             (unsigned long long)voter->commit.asked);
    for (size_t i = 0; i < history_voters(node->history)->count; i++) {
        if (strcmp(history_voters(node->history)->ids[i], node->id) != 0) {
            post(group, node, history_voters(node->history)->ids[i], ping);
        }
    }
}

static inline void link_all(struct voters_world *group, const struct node *node) {
    for (size_t i = 0; i < WORLD_NODES; i++) {
        struct node *other = &group->world.nodes[i];
        if (other != node && is_awake(&group->world, other) &&
            !group->world.parted[i][number_of(&group->world, node)]) {
            election_linked(&group->voters[i].election, node->id);
            run_actions(group, other);
        }
    }
}

static inline void voter_step(struct voters_world *group, struct node *node) {
    struct voter *voter = voter_of(group, node);
    int64_t now_ms = clock_of(&group->world, node);
    if (voter->is_new) {
        voter->is_new = false;
        link_all(group, node);
    }
    if (voter->kept_at_ms != 0 && group->world.now_ms >= voter->kept_at_ms) {
        voter->kept_at_ms = 0;
        voter->on_disk = voter->keeping;
        election_kept(&voter->election, now_ms);
        run_actions(group, node);
    }
    /* "If it breaks off, memory is thrown away and the journal read again." */
    if (node->follower.overlaid_by != 0 && node->follower.leader_link == NULL && !node->leads) {
        die_for(group, node, false, 0);
        return;
    }
    if (voter->dies_at_ms != 0 && group->world.now_ms >= voter->dies_at_ms) {
        die_for(group, node, voter->dies_of_power, chance(&group->world, 5000) ? 0 : 500);
        return;
    }
    voter->election.arriving &= node->follower.leader_link != NULL;
    if (group->world.now_ms % WORLD_TICK_MS == 0) {
        election_tick(&voter->election, now_ms);
        run_actions(group, node);
    }
    if (node->leads) {
        lead_step(group, node);
    }
}

static inline void group_step(struct voters_world *group) {
    if (chance(&group->world, 5000)) { /* of two connections either may be read first */
        deliver(group);
    }
    world_step(&group->world);
    deliver(group);
    for (size_t i = 0; i < WORLD_NODES; i++) {
        if (is_awake(&group->world, &group->world.nodes[i])) {
            voter_step(group, &group->world.nodes[i]);
        }
    }
}

#endif
