/* The life of a group that elects its leader, under faults, in virtual time (tests/sim/README.md).
 *
 * A failure names its seed; KVNODE_SEED=n repeats it, with a transcript when KVNODE_TRANSCRIPT is set.
 * KVNODE_SEEDS=n runs so many, KVNODE_PLANT=n plants the fault of that number (cluster/planted.h) and expects
 * that it is found. */
#include "tests/sim/voters_world.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum planted planted_fault = PLANTED_NONE;

/* A life that shows each; 0: none has been found yet (README.md). A seed is of this simulation as it is: who
 * changes it looks for others, with KVNODE_PLANT and KVNODE_SEEDS. */
static const struct {
    const char *name;
    uint64_t seed;
} planted_rows[] = {
    [PLANTED_LATE_PRE_VOTE_COUNTS] = {"late pre-vote counted", UINT64_C(7175773965525654928)},
    [PLANTED_OLD_LINK_OUTLIVES_A_VOTE] = {"old link outlives a vote", UINT64_C(875636861494174143)},
    [PLANTED_VOTE_NOT_KEPT] = {"vote not kept", UINT64_C(10804632068228384337)},
    [PLANTED_TERM_NOT_KEPT_BEFORE_AN_ACK] = {"term not kept before an ACK", 0},
    [PLANTED_OLD_TERM_COMMITTED_BY_COUNTING] = {"old term committed by counting", 0},
    [PLANTED_FORGETFUL_COUNTS_AS_FIRM] = {"forgetful counted as firm", UINT64_C(785305524776363093)},
    [PLANTED_FORGETFULNESS_IS_FORGOTTEN] = {"forgetfulness forgotten", UINT64_C(17819337359434671059)},
    [PLANTED_FIRM_AT_APPLIED] = {"firm at applied", 0},
    [PLANTED_TERM_NOT_SYNCED] = {"TERM, VOTERS not synced", 0},
    [PLANTED_HELD_LET_GO_EARLY] = {"held let go early", UINT64_C(7336493567315204829)},
    [PLANTED_READ_WITHOUT_ROUND] = {"read without round", UINT64_C(5299264677780261737)},
    [PLANTED_TWO_CHANGES_AT_ONCE] = {"two changes at once", 0},
    [PLANTED_ACK_BEFORE_THE_WRITE] = {"ACK before the write", UINT64_C(13077838881265746392)},
    [PLANTED_ARRIVING_STATE_IS_A_POSITION] = {"arriving state is a position", UINT64_C(7941300941011516782)},
    [PLANTED_NO_PRE_VOTE] = {"no pre-vote", UINT64_C(14767806190650731711)},
};

enum { PLANTED_SEEDS = 3000 };
enum { SEEDS = 1000, LIFE_MS = 60000, QUIET_WITHIN_MS = 120000, OPS = 8192, KEYS = 6, KEY_BYTES = 8 };

/* What a client has asked for. Its place in the one order of all: the line that it wrote, or read behind. */
struct op {
    bool reads;
    uint64_t value; /* written, or read; 0: nothing was there */
    unsigned key;
    int64_t invoked_ms, acknowledged_ms; /* 0: not, and never if its leader is gone */
    size_t node;
    unsigned life;
    uint64_t number; /* of the leader's term */
    struct term term;
    uint64_t index, round;
};

struct life {
    struct voters_world group;
    uint64_t seed;
    uint64_t values;
    struct op ops[OPS];
    size_t op_count, first_open;
    uint64_t acknowledged;
    jmp_buf found; /* a planted fault */
    const char *what;
};

static struct life life;

static void say_where_all_are(void) {
    const struct voters_world *group = &life.group;
    printf("committed: %llu of %llu-%s\n", (unsigned long long)group->committed,
           (unsigned long long)group->committed_term.number, group->committed_term.node_id);
    for (size_t i = 0; i < WORLD_NODES; i++) {
        const struct node *node = &group->world.nodes[i];
        const struct voter *voter = &group->voters[i];
        struct position here = history_position(node->history);
        const struct voters *voters = history_voters(node->history);
        char ids[VOTERS_MAX_BYTES + 1] = "";
        ids[voters->count == 0 ? 0 : voters_write(ids, voters)] = '\0';
        printf("%s phase=%d leads=%d number=%llu forgetful=%d history=%016llx@%llu of %llu-%s committed=%llu "
               "voters=%s "
               "since %llu\n",
               node->id, voter->election.phase, node->leads, (unsigned long long)voter->election.kept.number,
               voter->election.kept.forgetful, (unsigned long long)here.history_id,
               (unsigned long long)here.index, (unsigned long long)here.term.number, here.term.node_id,
               (unsigned long long)voter->commit.index, ids,
               (unsigned long long)history_voters_index(node->history));
    }
}

static void fail_life(struct voters_world *group, const char *what, const struct node *node) {
    if (planted_fault != PLANTED_NONE) {
        life.what = what;
        longjmp(life.found, 1);
    }
    say_where_all_are();
    fail_msg("%s %s (KVNODE_SEED=%llu, at %lld ms)", what, node == NULL ? "-" : node->id,
             (unsigned long long)life.seed, (long long)group->world.now_ms);
}

/* --- Clients --- */

static void key_of(char *to, unsigned key) { snprintf(to, KEY_BYTES, "k%u", key); }

static void invoke(struct node *node) {
    struct world *world = &life.group.world;
    struct voter *voter = voter_of(&life.group, node);
    if (life.op_count == OPS) {
        return;
    }
    char name[KEY_BYTES], value[24];
    struct op *op = &life.ops[life.op_count++];
    bool reads = chance(world, 4000);
    *op = (struct op){.reads = reads,
                      .key = (unsigned)random_below(&world->random, KEYS),
                      .invoked_ms = world->now_ms,
                      .node = number_of(world, node),
                      .life = node->life,
                      .number = voter->election.kept.number};
    key_of(name, op->key);
    if (op->reads) {
        const struct model_entry *entry = model_find(&node->store, slice_from_text(name));
        op->value = entry == NULL ? 0 : strtoull(entry->bytes + entry->key_len, NULL, 10);
        op->round = commit_ask(&voter->commit);
    } else {
        op->value = ++life.values;
        snprintf(value, sizeof(value), "%llu ", (unsigned long long)op->value); /* digits end there */
        model_set(&node->store, slice_from_text(name), slice_from_text(value), 0);
    }
    op->index = history_index(node->history);
    op->term = *lineage_last(history_lineage(node->history));
}

/* What may leave, leaves; what waits at a leader that is no more never does. */
static void answer_clients(void) {
    struct world *world = &life.group.world;
    for (size_t i = life.first_open; i < life.op_count; i++) {
        struct op *op = &life.ops[i];
        const struct node *node = &world->nodes[op->node];
        const struct voter *voter = &life.group.voters[op->node];
        bool open = op->acknowledged_ms == 0 && node->life == op->life && node->leads &&
                    voter->election.kept.number == op->number && is_awake(world, node);
        if (!open) {
            life.first_open +=
                i == life.first_open && (op->acknowledged_ms != 0 || node->life != op->life || !node->leads);
            continue;
        }
        bool committed = voter->commit.index >= op->index || PLANTED(PLANTED_HELD_LET_GO_EARLY);
        bool confirmed = !op->reads || voter->commit.round >= op->round || PLANTED(PLANTED_READ_WITHOUT_ROUND);
        if (committed && confirmed) {
            op->acknowledged_ms = world->now_ms;
            life.acknowledged++;
        }
    }
}

static void work(size_t in_10000) {
    struct world *world = &life.group.world;
    for (size_t i = 0; i < WORLD_NODES; i++) {
        struct node *node = &world->nodes[i];
        while (is_serving(node) && is_awake(world, node) && chance(world, in_10000)) {
            invoke(node);
        }
    }
    answer_clients();
}

/* --- Faults --- */

static void part_some(struct world *world, bool parted) {
    size_t a = random_below(&world->random, WORLD_NODES), b = random_below(&world->random, WORLD_NODES);
    if (a == b) {
        return;
    }
    world->parted[a][b] = parted;
    if (!parted || !chance(world, 3000)) { /* one way, sometimes */
        world->parted[b][a] = parted;
    }
}

/* A node against all the others. */
static void isolate(struct world *world, size_t a, bool parted) {
    for (size_t b = 0; b < WORLD_NODES; b++) {
        if (b != a) {
            world->parted[a][b] = world->parted[b][a] = parted;
        }
    }
}

static void change_voters(struct voters_world *group, struct node *leader) {
    struct world *world = &group->world;
    struct voter *voter = voter_of(group, leader);
    struct voters voters = *history_voters(leader->history);
    struct node *node = &world->nodes[random_below(&world->random, WORLD_NODES)];
    const struct connection *connection = find_connection(world, leader, node);
    bool caught_up = connection != NULL && connection->leader_link.phase == LEADER_LINK_STREAM &&
                     connection->leader_link.durable_index + 20 >= history_index(leader->history);
    if (!commit_may_change(&voter->commit, history_voters_index(leader->history))) {
        return;
    }
    static const size_t removes_in_10000[] = {0, 0, 1500, 5000};
    bool adds = voters_find(&voters, node->id) < 0;
    bool removes = !adds && (voters.count > 3 || chance(world, removes_in_10000[voters.count]));
    bool changed =
        (adds && caught_up && voters_add(&voters, node->id)) || (removes && voters_remove(&voters, node->id));
    if (changed) {
        history_write_voters(leader->history, &voters);
        if (group->transcript) {
            printf("%lld %s VOTERS now %zu, line %llu, committed %llu\n", (long long)world->now_ms, leader->id,
                   voters.count, (unsigned long long)history_index(leader->history),
                   (unsigned long long)voter->commit.index);
        }
        group->changes++;
        for (size_t i = 0; i < WORLD_NODES && chance(world, 2000); i++) {
            doom(group, random_below(&world->random, WORLD_NODES), true, 300);
        }
    }
}

/* "The follower is brought to the last line, all is committed, and what was held has left." */
static void hand_over(struct voters_world *group, struct node *leader) {
    struct voter *voter = voter_of(group, leader);
    const struct voters *voters = history_voters(leader->history);
    const char *to = voters->ids[random_below(&group->world.random, voters->count)];
    int at = voters_find(&voter->commit.voters, to);
    if (strcmp(to, leader->id) != 0 && at >= 0 && voter->commit.durable[at] == history_index(leader->history) &&
        voter->commit.index == history_index(leader->history)) {
        group->transfers++;
        election_hand_over(&voter->election, to, clock_of(&group->world, leader));
        run_actions(group, leader);
    }
}

/* Never two random numbers in one expression: compilers differ in which they take first. */
static void die(struct voters_world *group, struct node *node, size_t most_ms) {
    int64_t ms = (int64_t)random_below(&group->world.random, most_ms);
    bool power = chance(&group->world, 5000);
    die_for(group, node, power, ms);
}

/* Every 100 ms. */
static void misfortune(struct voters_world *group) {
    struct world *world = &group->world;
    struct random *random = &world->random;
    size_t a = random_below(random, WORLD_NODES);
    struct node *node = &world->nodes[a];
    struct connection *connection = &world->connections[random_below(random, 16)];
    if (chance(world, 600) && connection->leader_open && connection->leader_learns_ms == 0) {
        cut(world, connection);
    }
    if (chance(world, 250)) {
        die(group, node, 4000);
    } else if (chance(world, 200)) {
        node->asleep_until_ms = world->now_ms + 100 + (int64_t)random_below(random, 3000);
    }
    if (chance(world, 200)) {
        world->nodes[random_below(random, WORLD_NODES)].disk_stalls_until_ms =
            world->now_ms + (int64_t)random_below(random, 2000);
    }
    if (chance(world, 200)) {
        part_some(world, true);
    }
    if (chance(world, node->leads ? 600 : 100)) {
        isolate(world, a, true);
    }
    if (chance(world, 500)) {
        isolate(world, random_below(random, WORLD_NODES), false);
    }
    if (chance(world, 300)) {
        part_some(world, false);
    }
    if (chance(world, 100)) { /* a clock jumps */
        node->skew_ms += (int64_t)random_below(random, 4000);
    }
    if (chance(world, 60)) { /* all at once */
        for (size_t i = 0; i < WORLD_NODES; i++) {
            die(group, &world->nodes[i], 1000);
        }
    }
    for (size_t i = 0; i < WORLD_NODES; i++) {
        if (is_serving(&world->nodes[i]) && is_awake(world, &world->nodes[i])) {
            if (chance(world, 200)) {
                change_voters(group, &world->nodes[i]);
            } else if (chance(world, 100)) {
                hand_over(group, &world->nodes[i]);
            }
        }
    }
}

/* --- What must hold --- */

/* Two nodes that name one term at one index have the same lines up to there; here: the same store, when both
 * are at the same line. */
static void check_stores(void) {
    struct world *world = &life.group.world;
    for (size_t i = 0; i < WORLD_NODES; i++) {
        for (size_t j = 0; j < i; j++) {
            struct node *a = &world->nodes[i], *b = &world->nodes[j];
            struct position at_a = history_position(a->history), at_b = history_position(b->history);
            bool whole = a->follower.overlaid_by == 0 && b->follower.overlaid_by == 0;
            if (at_a.history_id != 0 && whole && position_compare(&at_a, &at_b) == 0 &&
                !model_equal(&a->store, &b->store)) {
                fail_life(&life.group, "another data at the same line of the same term than others has", a);
            }
        }
    }
}

static bool is_on_line(const struct node *leader, const struct op *op) {
    return has_line(leader, op->index, &op->term);
}

static int by_invocation(const void *a, const void *b) {
    const struct op *x = *(const struct op *const *)a, *y = *(const struct op *const *)b;
    return x->invoked_ms < y->invoked_ms ? -1 : x->invoked_ms > y->invoked_ms;
}

static int by_acknowledgement(const void *a, const void *b) {
    const struct op *x = *(const struct op *const *)a, *y = *(const struct op *const *)b;
    return x->acknowledged_ms < y->acknowledged_ms ? -1 : x->acknowledged_ms > y->acknowledged_ms;
}

/* Linearizable, with the history as the witness: what was acknowledged is on its line; who was answered before
 * another one asked has its place before it; who read has read what was written last before its place. */
static void check_order(const struct node *leader) {
    static const struct op *begun[OPS], *ended[OPS];
    size_t n = 0, e = 0;
    for (size_t i = 0; i < life.op_count; i++) {
        const struct op *op = &life.ops[i];
        if (op->acknowledged_ms != 0) {
            if (!is_on_line(leader, op)) {
                fail_life(&life.group,
                          op->reads ? "a read of what is not on the line of"
                                    : "an acknowledged write is not at",
                          leader);
            }
            begun[n] = ended[n] = op;
            n++;
        }
    }
    qsort(begun, n, sizeof(begun[0]), by_invocation);
    qsort(ended, n, sizeof(ended[0]), by_acknowledgement);
    uint64_t before = 0;
    for (size_t i = 0; i < n; i++) {
        for (; e < n && ended[e]->acknowledged_ms < begun[i]->invoked_ms; e++) {
            before = ended[e]->index > before ? ended[e]->index : before;
        }
        if (begun[i]->reads ? begun[i]->index < before : begun[i]->index <= before) {
            fail_life(&life.group,
                      begun[i]->reads ? "a stale read at" : "a write before one that was answered, at",
                      &life.group.world.nodes[begun[i]->node]);
        }
    }
}

static void check_reads(const struct node *leader) {
    for (size_t i = 0; i < life.op_count; i++) {
        const struct op *read = &life.ops[i];
        uint64_t value = 0, index = 0;
        if (!read->reads || read->acknowledged_ms == 0) {
            continue;
        }
        for (size_t j = 0; j < life.op_count; j++) {
            const struct op *write = &life.ops[j];
            if (!write->reads && write->key == read->key && write->index <= read->index &&
                write->index > index && is_on_line(leader, write)) {
                value = write->value;
                index = write->index;
            }
        }
        if (value != read->value) {
            fail_life(&life.group, "a read of another value than was written last, at",
                      &life.group.world.nodes[read->node]);
        }
    }
}

/* --- A life --- */

static void live(void) {
    struct voters_world *group = &life.group;
    struct world *world = &group->world;
    size_t busy = random_below(&world->random, 3) == 0 ? 4000 : 800;
    group->troubled = true;
    for (int64_t end_ms = world->now_ms + LIFE_MS; world->now_ms < end_ms;) {
        group_step(group);
        work(busy);
        if (world->now_ms % 100 == 0) {
            misfortune(group);
        }
        if (world->now_ms % 1000 == 0) {
            check_stores();
        }
    }
}

static void calm_down(void) {
    struct world *world = &life.group.world;
    memset(world->parted, 0, sizeof(world->parted));
    life.group.troubled = false;
    for (size_t i = 0; i < WORLD_NODES; i++) {
        life.group.voters[i].dies_at_ms = 0;
        world->nodes[i].asleep_until_ms = world->nodes[i].disk_stalls_until_ms = 0;
    }
    for (int64_t end_ms = world->now_ms + QUIET_WITHIN_MS; !world_is_quiet(world);) {
        group_step(&life.group);
        answer_clients();
        if (world->now_ms >= end_ms) {
            fail_life(&life.group, "there is no", &(struct node){.id = "quiet"});
        }
    }
}

/* A follower that was cut off, and comes back, changes nothing: it has asked, and nobody has said yes. */
static void check_that_nobody_is_disturbed(void) {
    struct voters_world *group = &life.group;
    for (int64_t ms = 0; ms < 3000; ms += WORLD_STEP_MS) { /* what was asked in worse times is over */
        group_step(group);
    }
    calm_down();
    const struct node *leader = world_leader(&group->world);
    if (history_voters(leader->history)->count < 3) {
        return; /* it needs that one */
    }
    size_t away = (number_of(&group->world, leader) + 1) % WORLD_NODES;
    uint64_t elections = group->elections;
    for (int64_t ms = 0; ms < 12000; ms += WORLD_STEP_MS) {
        if (ms == 0 || ms == 6000) {
            isolate(&group->world, away, ms == 0);
        }
        group_step(group);
    }
    if (group->elections != elections || !leader->leads) {
        fail_life(group, "it has lost its place to one that was cut off:", leader);
    }
}

static void end_life(void) { world_deinit(&life.group.world); }

static void run_life(uint64_t seed) {
    struct random random = {seed};
    life.seed = seed;
    life.values = 0;
    life.op_count = life.first_open = 0;
    size_t limit_bytes = (size_t)2000 << random_below(&random, 6);
    group_init(&life.group, seed, limit_bytes < 4096 ? 8192 : limit_bytes);
    life.group.fail = fail_life;
    life.group.transcript = getenv("KVNODE_TRANSCRIPT") != NULL;
    live();
    calm_down();
    const struct node *leader = world_leader(&life.group.world);
    check_stores();
    check_order(leader);
    check_reads(leader);
    check_that_nobody_is_disturbed();
    end_life();
}

static size_t wanted(const char *name, size_t otherwise) {
    const char *text = getenv(name);
    return text == NULL ? otherwise : (size_t)strtoull(text, NULL, 10);
}

static void test_no_committed_line_is_lost_and_clients_see_one_order(void **state) {
    (void)state;
    uint64_t elections = 0, changes = 0, transfers = 0, lost_power = 0;
    planted_fault = PLANTED_NONE;
    life.acknowledged = 0;
    if (getenv("KVNODE_SEED") != NULL) {
        run_life(strtoull(getenv("KVNODE_SEED"), NULL, 10));
        return;
    }
    /* The same ones each time; others when somebody asks for a number of them. */
    struct random random = getenv("KVNODE_SEEDS") == NULL ? (struct random){20261201} : random_start("lives");
    size_t seeds = wanted("KVNODE_SEEDS", SEEDS);
    for (size_t i = 0; i < seeds; i++) {
        run_life(random_u64(&random));
        elections += life.group.elections;
        changes += life.group.changes;
        transfers += life.group.transfers;
        lost_power += life.group.lost_power;
    }
    printf("%zu lives of %d s: %llu elections, %llu changes of the voters, %llu transfers, %llu power cuts "
           "that may have "
           "cost lines, %llu operations acknowledged\n",
           seeds, LIFE_MS / 1000, (unsigned long long)elections, (unsigned long long)changes,
           (unsigned long long)transfers, (unsigned long long)lost_power,
           (unsigned long long)life.acknowledged);
    assert_true(elections > 3 * seeds && changes > seeds && transfers > 0 && lost_power > 0 &&
                life.acknowledged > 100 * seeds);
}

static bool finds(uint64_t seed) {
    if (setjmp(life.found) != 0) {
        end_life();
        return true;
    }
    run_life(seed);
    return false;
}

static void say_found(enum planted fault, size_t lives) {
    printf("  %2d %-30s life %4zu, KVNODE_SEED=%-20llu %s\n", (int)fault, planted_rows[fault].name, lives,
           (unsigned long long)life.seed, life.what);
}

static void look_for(enum planted fault) {
    struct random random = random_start("lives with a planted fault");
    size_t seeds = wanted("KVNODE_SEEDS", PLANTED_SEEDS);
    planted_fault = fault;
    for (size_t i = 1; i <= seeds; i++) {
        if (finds(random_u64(&random))) {
            say_found(fault, i);
            return;
        }
    }
    fail_msg("%s: not found in %zu lives", planted_rows[fault].name, seeds);
}

static void test_planted_faults_are_found(void **state) {
    (void)state;
    size_t one = wanted("KVNODE_PLANT", 0);
    if (one > PLANTED_NONE && one <= PLANTED_LAST_OF_VOTING) {
        look_for((enum planted)one);
        planted_fault = PLANTED_NONE;
        return;
    }
    for (enum planted fault = PLANTED_NONE + 1; fault <= PLANTED_LAST_OF_VOTING; fault++) {
        planted_fault = fault;
        if (planted_rows[fault].seed != 0) {
            if (!finds(planted_rows[fault].seed)) {
                fail_msg("%s: not found in the life of KVNODE_SEED=%llu", planted_rows[fault].name,
                         (unsigned long long)planted_rows[fault].seed);
            }
            say_found(fault, 1);
        }
    }
    planted_fault = PLANTED_NONE;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_planted_faults_are_found),
        cmocka_unit_test(test_no_committed_line_is_lost_and_clients_see_one_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
