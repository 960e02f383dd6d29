/* A group's life under faults, in virtual time. A failure names its seed; KVNODE_SEED=n repeats it. */
#define _GNU_SOURCE 1 /* memrchr */
#include "tests/sim/replication_world.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* What happens in a life. */
enum kind {
    LINKS,       /* links break, stall and are slow, followers sleep or start anew; FLUSH, batches */
    RESTARTS,    /* and the leader starts anew; strangers write to followers that have no leader */
    TWO_LEADERS, /* a partition with a leader on both sides, which heals */
    DISKS,       /* nodes keep what they have, or what was synced of it, or lose all; others are made leaders,
                    two at a time, too; clocks are set, disks are slow, strangers write */
    KINDS,
};

enum {
    SEEDS_A_KIND = 40,
    LIFE_MS = 40000,
    QUIET_WITHIN_MS = 300000, /* a state goes both ways over the slowest wire */
    /* k0 and on, never deleted: of these none may ever be lost. A few, written over and over; with disks one
     * after the other, for who has them all must have the newest line. */
    LASTING_KEYS = 300,
    FEW_LASTING_KEYS = 40,
    BARE_KEYS = 10, /* the last of them are written by strangers only */
    FLEETING_KEYS = 15,
    WRITES = 1 << 15, /* remembered; a power of two */
    KEY_BYTES = 24,
};

struct life {
    struct world world;
    enum kind kind;
    uint64_t seed;
    bool held[LASTING_KEYS]; /* by some node */
    size_t lasting, next_lasting;
    size_t deaths; /* in 10000, every 100 ms */
    uint64_t value_count;
    uint64_t writes[WRITES][2]; /* history, key, version -> value, each hashed */
    size_t leader_restarts, adopted, pulls, fulls, partials, archived, bare_applied, bare_refused;
    uint64_t lines_compared; /* of histories */
};

static void key_of(char *to, const char *kind, size_t number) {
    snprintf(to, KEY_BYTES, "%s%zu", kind, number);
}

static void fail_life(const struct life *life, const char *what, const char *which) {
    static const char *const kinds[] = {"links", "restarts", "two leaders", "disks"};
    fail_msg("%s %s (%s, KVNODE_SEED=%llu, at %lld ms)", what, which, kinds[life->kind],
             (unsigned long long)life->seed, (long long)life->world.now_ms);
}

/* --- What must hold at any time --- */

static uint64_t hash_of(uint64_t hash, struct slice s) {
    for (size_t i = 0; i < s.len; i++) {
        hash = (hash ^ (unsigned char)s.ptr[i]) * UINT64_C(0x100000001B3);
    }
    return (hash ^ hash >> 29) * UINT64_C(0xBF58476D1CE4E5B9);
}

/* A version of a key never repeats with another value in a history, or, where its end may be lost, in a term of
 * it. */
static void on_put(void *context, const struct model_store *store, const struct model_entry *entry) {
    struct life *life = context;
    const struct node *node = NULL;
    for (size_t i = 0; i < WORLD_NODES; i++) {
        node = store == &life->world.nodes[i].store ? &life->world.nodes[i] : node;
    }
    if (!is_serving(node)) {
        return;
    }
    struct position here = history_position(node->history);
    uint64_t version = entry->version;
    uint64_t what = hash_of(14695981039346656037u, slice_of(&here.history_id, sizeof(here.history_id)));
    what = hash_of(hash_of(what, slice_of(&here.term.number, sizeof(here.term.number))),
                   slice_from_text(here.term.node_id));
    what = hash_of(hash_of(what, slice_of(&version, sizeof(version))), model_key(entry));
    uint64_t value = hash_of(14695981039346656037u, model_value(entry));
    size_t i = what & (WRITES - 1);
    while (life->writes[i][0] != 0 && life->writes[i][0] != what) {
        i = (i + 1) & (WRITES - 1);
    }
    if (life->writes[i][0] == what && life->writes[i][1] != value) {
        fail_life(life, "a version is repeated with another value, of", entry->bytes);
    }
    life->writes[i][0] = what;
    life->writes[i][1] = value;
}

/* Not what has come with a state that is not whole yet over older data: that node is taken to be where it was.
 */
static bool holds_for_good(struct node *node, const struct model_entry *entry) {
    return entry != NULL && (entry->mark <= node->store.whole_mark || node->follower.own_history);
}

static void check_held(struct life *life) {
    for (size_t k = 0; k < life->lasting; k++) {
        char key[KEY_BYTES];
        bool somewhere = false;
        key_of(key, "k", k);
        for (size_t i = 0; i < WORLD_NODES; i++) {
            struct node *node = &life->world.nodes[i];
            const struct model_entry *entry = model_find(&node->store, slice_from_text(key));
            somewhere |= entry != NULL;
            life->held[k] |= holds_for_good(node, entry);
        }
        if (life->held[k] && !somewhere) {
            fail_life(life, "nobody has any more the key", key);
        }
    }
}

/* What only this node had is gone, but for what its disk had. */
static void recount_held(struct life *life) {
    for (size_t k = 0; k < life->lasting; k++) {
        char key[KEY_BYTES];
        key_of(key, "k", k);
        life->held[k] = false;
        for (size_t i = 0; i < WORLD_NODES; i++) {
            struct node *node = &life->world.nodes[i];
            life->held[k] |= holds_for_good(node, model_find(&node->store, slice_from_text(key)));
        }
    }
}

/* Both keys of a batch or none, unless a state is on its way. */
static void check_batches(const struct life *life) {
    for (size_t i = 0; i < WORLD_NODES; i++) {
        struct node *node = (struct node *)&life->world.nodes[i];
        const struct model_entry *x = model_find(&node->store, SLICE("x"));
        const struct model_entry *y = model_find(&node->store, SLICE("y"));
        if (model_incomplete(&node->store)) {
            continue;
        }
        if ((x == NULL) != (y == NULL) || (x != NULL && !slice_equals(model_value(x), model_value(y)))) {
            fail_life(life, "a batch was applied in part by", node->id);
        }
    }
}

static void lines_between(struct history *history, uint64_t from, uint64_t to, struct buf *out) {
    struct history_reader reader = {0};
    struct slice lines;
    uint64_t last;
    assert_true(history_open(history, &reader, from));
    while (from < to) {
        assert_true(history_read(history, &reader, &lines, &last) && lines.len > 0);
        size_t n = lines.len;
        for (; last > to; last--) { /* without the last line */
            const char *end = memrchr(lines.ptr, '\n', n - 1);
            n = end == NULL ? 0 : (size_t)(end + 1 - lines.ptr);
        }
        buf_append(out, lines.ptr, n);
        history_advance(history, &reader, lines.len);
        from = last;
    }
    history_close(history, &reader);
}

/* Up to there two nodes of one history have the same lines: of the same term at one index, they have. */
static uint64_t shared_index(const struct history *a, const struct history *b) {
    uint64_t last_a = history_index(a), last_b = history_index(b), index = last_a < last_b ? last_a : last_b;
    const struct term *of_a, *of_b;
    do {
        of_a = lineage_at(history_lineage(a), index);
        of_b = lineage_at(history_lineage(b), index);
    } while (of_a != NULL && of_b != NULL && term_compare(of_a, of_b) != 0 && index-- > 0);
    return of_a == NULL || of_b == NULL ? 0 : index;
}

/* Two nodes that are in one history say the same at every index that both keep, as far as its terms agree. */
static void check_histories(struct life *life) {
    for (size_t i = 0; i < WORLD_NODES; i++) {
        for (size_t j = 0; j < i; j++) {
            struct history *a = life->world.nodes[i].history, *b = life->world.nodes[j].history;
            uint64_t first_a = history_first_index(a), first_b = history_first_index(b);
            uint64_t from = (first_a > first_b ? first_a : first_b) - 1;
            uint64_t to = history_id(a) == history_id(b) ? shared_index(a, b) : 0;
            if (from >= to) {
                continue;
            }
            struct buf said_by_a, said_by_b;
            buf_init(&said_by_a, SIZE_MAX);
            buf_init(&said_by_b, SIZE_MAX);
            lines_between(a, from, to, &said_by_a);
            lines_between(b, from, to, &said_by_b);
            if (!slice_equals(buf_slice(&said_by_a), buf_slice(&said_by_b))) {
                fail_life(life, "another history than another node has", life->world.nodes[i].id);
            }
            life->lines_compared += to - from;
            buf_deinit(&said_by_a);
            buf_deinit(&said_by_b);
        }
    }
}

/* A chunk that is read may stay beside what the limit allows. */
static void check_bounds(const struct life *life) {
    enum { CHUNK_BYTES = 4 << 10 };
    for (size_t i = 0; i < WORLD_NODES; i++) {
        if (history_backlog_bytes(life->world.nodes[i].history) > life->world.limit_bytes + CHUNK_BYTES) {
            fail_life(life, "the backlog's limit is not kept by", life->world.nodes[i].id);
        }
    }
}

/* --- The workload --- */

static struct slice some_value(struct life *life, char *to, size_t size) {
    static const char *const tails[] = {"", "|", "%", "\n", "a|b", "\r", "%41"};
    size_t tail = random_below(&life->world.random, sizeof(tails) / sizeof(tails[0]));
    size_t fill = random_below(&life->world.random, size - 40);
    int n = snprintf(to, size, "%llu%s", (unsigned long long)++life->value_count, tails[tail]);
    memset(to + n, 'x', fill); /* so that states and lines are of several slices */
    return slice_of(to, (size_t)n + fill);
}

static void write_batch(struct life *life, struct node *leader) {
    char value[60];
    struct slice same = some_value(life, value, sizeof(value));
    history_batch_begin(leader->history);
    if (chance(&life->world, 2000)) {
        model_delete(&leader->store, SLICE("x"));
        model_delete(&leader->store, SLICE("y"));
    } else {
        model_set(&leader->store, SLICE("x"), same, 0);
        model_set(&leader->store, SLICE("y"), same, 0);
    }
    history_batch_end(leader->history);
}

static size_t some_lasting(struct life *life) {
    size_t most = life->lasting - BARE_KEYS;
    return life->kind == DISKS && life->next_lasting < most ? life->next_lasting++
                                                            : random_below(&life->world.random, most);
}

static void write_something(struct life *life, struct node *leader) {
    struct random *random = &life->world.random;
    struct model_store *store = &leader->store;
    char lasting[KEY_BYTES], fleeting[KEY_BYTES], value[100];
    key_of(fleeting, random_below(random, 2) == 0 ? "f" : "f|\n", random_below(random, FLEETING_KEYS));
    struct slice key = slice_from_text(fleeting);
    int64_t deadline_ms = store->now_ms + (int64_t)random_below(random, 5000);
    switch (random_below(random, 10)) {
    case 0:
        model_patch(store, key, random_below(random, 60), some_value(life, value, sizeof(value)));
        break;
    case 1:
        model_set(store, key, some_value(life, value, sizeof(value)), 0);
        break;
    case 2:
        model_set(store, key, some_value(life, value, sizeof(value)), deadline_ms);
        break;
    case 3:
    case 4:
        model_delete(store, key);
        break;
    case 5:
        model_expire(store, key, random_below(random, 2) == 0 ? 0 : deadline_ms);
        break;
    case 6:
        write_batch(life, leader);
        break;
    case 7:
        if (life->kind == LINKS && chance(&life->world, 300)) {
            model_flush(store);
        } else if (chance(&life->world, 3000)) {
            history_append_lines(leader->history, SLICE("FUTURE|k|v\n"), 1);
        }
        break;
    default:
        key_of(lasting, "k", some_lasting(life));
        model_set(store, slice_from_text(lasting), some_value(life, value, sizeof(value)), 0);
    }
}

/* Only a leader deletes what has expired. */
static void sweep(struct node *leader) {
    for (size_t i = 0; i < FLEETING_KEYS * 2; i++) {
        char key[KEY_BYTES];
        key_of(key, i % 2 == 0 ? "f" : "f|\n", i / 2);
        const struct model_entry *entry = model_find(&leader->store, slice_from_text(key));
        if (entry != NULL && entry->deadline_ms != 0 && entry->deadline_ms <= leader->store.now_ms) {
            model_delete(&leader->store, slice_from_text(key));
        }
    }
}

static void work(struct life *life, size_t in_10000) {
    for (size_t i = 0; i < WORLD_NODES; i++) {
        struct node *node = &life->world.nodes[i];
        if (is_serving(node) && life->world.now_ms >= node->asleep_until_ms) {
            while (chance(&life->world, in_10000)) {
                write_something(life, node);
            }
            if (life->world.now_ms % 100 == 0) {
                sweep(node);
            }
        }
    }
}

/* A peer that knows only the specification writes to any node: a follower without a leader takes it if it is
 * newer, everybody else refuses. */
static void stranger_writes(struct life *life) {
    struct world *world = &life->world;
    struct node *node = &world->nodes[random_below(&world->random, WORLD_NODES)];
    char key[KEY_BYTES], value[100];
    key_of(key, "k", life->lasting - 1 - random_below(&world->random, BARE_KEYS));
    struct slice new_value = some_value(life, value, sizeof(value));
    uint64_t version = 1 + random_below(&world->random, 20);
    const struct model_entry *old = model_find(&node->store, slice_from_text(key));
    bool may = !node->leads && !follower_linked(&node->follower);
    bool newer = old == NULL || version > old->version;
    uint64_t index = history_index(node->history);
    struct buf line, answer;
    struct follower_link link;
    bool asked;
    buf_init(&line, SIZE_MAX);
    buf_init(&answer, SIZE_MAX);
    follower_link_init(&link, clock_of(world, node));
    line_replicate(&line, slice_from_text(key), new_value, version, clock_of(world, node), 0);
    bool open =
        follower_hears(world, node, &link, slice_first(buf_slice(&line), buf_used(&line) - 1), &answer, &asked);
    const struct model_entry *now = model_find(&node->store, slice_from_text(key));
    bool applied = now != NULL && slice_equals(model_value(now), new_value);
    assert_true(open == may && (buf_used(&answer) > 0) == !may);
    assert_true(applied == (may && newer));
    assert_true(applied || history_index(node->history) == index);
    life->bare_applied += applied;
    life->bare_refused += !open;
    follower_link_deinit(&link, &node->follower);
    buf_deinit(&line);
    buf_deinit(&answer);
}

/* --- Faults --- */

/* All that the node has is where that death does not take it. */
static bool is_kept(const struct node *node, bool power) {
    const struct model_journal *journal = &node->journal;
    uint64_t kept = power ? journal->synced_index : journal->written_index;
    return journal->open && buf_used(&journal->bytes) > 0 && !journal->reader.lost &&
           node->follower.overlaid_by == 0 && !model_incomplete(&node->store) &&
           kept == history_index(node->history);
}

static void check_kept(struct life *life, struct node *node, const bool *had) {
    for (size_t k = 0; k < life->lasting; k++) {
        char key[KEY_BYTES];
        key_of(key, "k", k);
        if (had[k] && model_find(&node->store, slice_from_text(key)) == NULL) {
            fail_life(life, "lost by the disk:", key);
        }
    }
}

static void restart(struct life *life, struct node *node, bool leads, bool power) {
    struct world *world = &life->world;
    bool had[LASTING_KEYS], kept = is_kept(node, power);
    for (size_t k = 0; k < life->lasting; k++) {
        char key[KEY_BYTES];
        key_of(key, "k", k);
        had[k] = kept && model_find(&node->store, slice_from_text(key)) != NULL;
    }
    life->pulls += node->leader.pulls;
    life->adopted += node->leader.adopted;
    life->fulls += node->leader.full_syncs;
    life->partials += node->leader.partial_syncs;
    life->archived += node->leader.archive_syncs;
    life->leader_restarts += node->leads;
    node_restart(world, node, leads, power);
    check_kept(life, node, had);
    recount_held(life);
}

/* With its directory, in which its id was. */
static void lose_disk(struct life *life, struct node *node) {
    model_journal_lose(&node->journal);
    snprintf(node->id, sizeof(node->id), "node%zu-%u", number_of(&life->world, node), node->life);
    restart(life, node, node->leads, false);
}

static void part(struct world *world, size_t a, size_t b, bool parted) {
    world->parted[a][b] = world->parted[b][a] = parted;
}

/* By a kill or a power cut, for a while. Where no other one is known to lead, somebody may be made the leader
 * meanwhile; the one that was may come back as what it was. */
static void die(struct life *life, struct node *node) {
    struct world *world = &life->world;
    bool led = node->leads;
    if (!chance(world, life->deaths)) {
        return;
    }
    if (chance(world, 2000)) {
        node->skew_ms = (int64_t)random_below(&world->random, 60000);
    }
    if (chance(world, 300)) {
        lose_disk(life, node);
        return;
    }
    node->journal.slow = chance(world, 2000);
    bool stays = !led || chance(world, 7000);
    restart(life, node, led && stays, chance(world, 5000));
    node->asleep_until_ms = world->now_ms + (int64_t)random_below(&world->random, 5000);
    if (!led || (stays && !chance(world, 2000))) {
        return;
    }
    struct node *next = &world->nodes[random_below(&world->random, WORLD_NODES)];
    if (next != node || !stays) {
        restart(life, next, true, chance(world, 3000));
    }
}

/* Every 100 ms. */
static void misfortune(struct life *life) {
    struct world *world = &life->world;
    struct random *random = &world->random;
    struct connection *connection = &world->connections[random_below(random, 8)];
    size_t a = random_below(random, WORLD_NODES), b = random_below(random, WORLD_NODES);
    if (chance(world, 1000) && connection->leader_open && connection->leader_learns_ms == 0) {
        cut(world, connection);
    }
    if (chance(world, 200) && !world->nodes[a].leads) {
        world->nodes[a].asleep_until_ms = world->now_ms + 100 + (int64_t)random_below(random, 8000);
    }
    if (life->kind == TWO_LEADERS) {
        return;
    }
    if (life->kind == DISKS) {
        die(life, &world->nodes[a]);
    }
    if (chance(world, 200)) {
        part(world, a, b, true);
    }
    if (chance(world, 400)) {
        part(world, a, b, false);
    }
    if (chance(world, 70) && !world->nodes[b].leads) {
        restart(life, &world->nodes[b], false, false);
    }
    if (life->kind == RESTARTS) {
        if (chance(world, 100)) {
            restart(life, &world->nodes[0], true, false);
        }
    }
    if (life->kind >= RESTARTS && chance(world, 500)) {
        stranger_writes(life);
    }
}

/* Nodes 1 and 3 on one side, 0 and 2 on the other; 1 is started as a leader there. */
static void two_leaders(struct life *life) {
    struct world *world = &life->world;
    bool parted = world->now_ms == 1000000 + LIFE_MS / 4;
    if (parted || world->now_ms == 1000000 + LIFE_MS / 2) {
        for (size_t a = 0; a < WORLD_NODES; a += 2) {
            for (size_t b = 1; b < WORLD_NODES; b += 2) {
                part(world, a, b, parted);
            }
        }
    }
    if (parted) {
        restart(life, &world->nodes[1], true, false);
    }
}

/* --- A life --- */

static void live(struct life *life) {
    struct world *world = &life->world;
    size_t busy = random_below(&world->random, 3) == 0 ? 7000 : 1500;
    for (int64_t end_ms = world->now_ms + LIFE_MS; world->now_ms < end_ms;) {
        world_step(world);
        work(life, busy);
        if (life->kind == TWO_LEADERS) {
            two_leaders(life);
        }
        if (life->kind == LINKS) {
            check_batches(life);
        } else if (life->kind != DISKS || world->now_ms % 100 == 0) {
            check_held(life);
        }
        if (world->now_ms % 100 == 0) {
            misfortune(life);
            check_bounds(life);
        }
        if (world->now_ms % 1000 == 0) {
            check_histories(life);
        }
    }
}

static void calm_down(struct life *life) {
    struct world *world = &life->world;
    memset(world->parted, 0, sizeof(world->parted));
    for (size_t i = 0; i < WORLD_NODES; i++) {
        world->nodes[i].asleep_until_ms = 0;
    }
    int64_t end_ms = world->now_ms + QUIET_WITHIN_MS;
    while (!world_is_quiet(world)) {
        world_step(world);
        if (life->kind != LINKS && (life->kind != DISKS || world->now_ms % 100 == 0)) {
            check_held(life);
        }
        if (world->now_ms >= end_ms) {
            for (size_t i = 0; i < WORLD_NODES; i++) {
                struct node *node = &world->nodes[i];
                printf("%s leads=%d phase=%d history=%016llx@%llu\n", node->id, node->leads, node->leader.phase,
                       (unsigned long long)history_id(node->history),
                       (unsigned long long)history_index(node->history));
            }
            fail_life(life, "there is no", "quiet");
        }
    }
}

static void check_end(struct life *life) {
    struct world *world = &life->world;
    struct node *leader = world_leader(world);
    if (life->kind != DISKS) {
        assert_ptr_equal(leader, &world->nodes[0]); /* of two, the older history */
    }
    check_histories(life);
    for (size_t i = 0; i < WORLD_NODES; i++) {
        if (!model_equal(&leader->store, &world->nodes[i].store)) {
            fail_life(life, "another data than the leader has", world->nodes[i].id);
        }
        if (world->nodes[i].store.floor < leader->store.floor) {
            fail_life(life, "a lower floor than the leader has", world->nodes[i].id);
        }
    }
    for (size_t k = 0; k < life->lasting && life->kind != LINKS; k++) {
        char key[KEY_BYTES];
        key_of(key, "k", k);
        if (life->held[k] != (model_find(&leader->store, slice_from_text(key)) != NULL)) {
            fail_life(life, "lost at the end:", key);
        }
    }
}

static void run_life(struct life *life, enum kind kind, uint64_t seed) {
    life->kind = kind;
    life->seed = seed;
    life->value_count = life->next_lasting = 0;
    life->lasting = kind == DISKS ? LASTING_KEYS : FEW_LASTING_KEYS;
    memset(life->held, 0, sizeof(life->held));
    memset(life->writes, 0, sizeof(life->writes));
    struct random random = {seed};
    size_t limit_bytes = (size_t)1000 << random_below(&random, 6);
    life->deaths = 100 + random_below(&random, 600);
    world_init(&life->world, seed, limit_bytes < 4096 ? 8192 : limit_bytes);
    for (size_t i = 0; i < WORLD_NODES; i++) {
        life->world.nodes[i].store.on_put = on_put;
        life->world.nodes[i].store.context = life;
        life->world.nodes[i].journal.used = kind == DISKS;
        life->world.nodes[i].journal.unsteady = true;
        life->world.nodes[i].store.told_bytes = random_below(&random, 4) << 20; /* 0: what it is */
    }
    live(life);
    calm_down(life);
    check_end(life);
    for (size_t i = 0; i < WORLD_NODES; i++) {
        const struct leader *leader = &life->world.nodes[i].leader;
        life->pulls += leader->pulls;
        life->adopted += leader->adopted;
        life->fulls += leader->full_syncs;
        life->partials += leader->partial_syncs;
        life->archived += leader->archive_syncs;
    }
    world_deinit(&life->world);
}

/* Runs the seeds of a kind and adds up what was met in them, into the life. */
static struct life *run_lives(enum kind kind) {
    struct life *life = calloc(1, sizeof(*life));
    assert_non_null(life);
    const char *wanted = getenv("KVNODE_SEED");
    if (wanted != NULL) {
        run_life(life, kind, strtoull(wanted, NULL, 10));
        return life;
    }
    struct random random = random_start("lives");
    for (int i = 0; i < SEEDS_A_KIND; i++) {
        run_life(life, kind, random_u64(&random));
    }
    /* The faults are met, and not only one way out of them. */
    assert_true(life->partials > SEEDS_A_KIND && life->fulls > SEEDS_A_KIND);
    assert_true(life->lines_compared > 1000 * SEEDS_A_KIND);
    return life;
}

static void test_links_that_break_stall_and_fall_behind(void **state) {
    (void)state;
    struct life *life = run_lives(LINKS);
    assert_int_equal(life->pulls, 0);
    free(life);
}

static void test_any_node_may_start_anew(void **state) {
    (void)state;
    struct life *life = run_lives(RESTARTS);
    assert_true(getenv("KVNODE_SEED") != NULL ||
                (life->leader_restarts > 0 && life->pulls > life->leader_restarts / 2 && life->adopted > 0 &&
                 life->bare_applied > 0 && life->bare_refused > 0));
    free(life);
}

static void test_two_leaders_become_one_and_no_key_is_lost(void **state) {
    (void)state;
    struct life *life = run_lives(TWO_LEADERS);
    assert_true(getenv("KVNODE_SEED") != NULL || life->adopted > 0);
    free(life);
}

static void test_nodes_with_disks_may_die_and_any_of_them_be_made_the_leader(void **state) {
    (void)state;
    struct life *life = run_lives(DISKS);
    assert_true(getenv("KVNODE_SEED") != NULL ||
                (life->leader_restarts > SEEDS_A_KIND && life->pulls > 0 && life->archived > SEEDS_A_KIND / 4));
    free(life);
}

/* --- Single scenes --- */

struct scene {
    struct world world;
};

static int scene_setup(void **state) {
    static struct scene scene;
    world_init(&scene.world, 1, 1 << 16);
    scene.world.rate = WORLD_WIRE_BYTES;
    for (size_t i = 0; i < WORLD_NODES; i++) {
        memset(scene.world.nodes[i].knows_sync, 1, sizeof(scene.world.nodes[i].knows_sync));
    }
    *state = &scene;
    return 0;
}

static int scene_teardown(void **state) {
    world_deinit(&((struct scene *)*state)->world);
    return 0;
}

static void run_until_quiet(struct world *world) {
    for (int64_t end_ms = world->now_ms + 30000; !world_is_quiet(world); world_step(world)) {
        assert_true(world->now_ms < end_ms);
    }
}

static void run_until(struct world *world, bool (*holds)(struct world *)) {
    for (int64_t end_ms = world->now_ms + 30000; !holds(world); world_step(world)) {
        assert_true(world->now_ms < end_ms);
    }
}

static void write_keys(struct node *leader, size_t count, size_t value_bytes) {
    static char value[10000];
    memset(value, 'v', sizeof(value));
    for (size_t i = 0; i < count; i++) {
        char key[KEY_BYTES];
        key_of(key, "k", i);
        model_set(&leader->store, slice_from_text(key), slice_of(value, value_bytes), 0);
    }
}

static void run_for(struct world *world, int64_t ms) {
    for (int64_t end_ms = world->now_ms + ms; world->now_ms < end_ms;) {
        world_step(world);
    }
}

static void cut_all(struct world *world) {
    for (size_t i = 0; i < WORLD_CONNECTIONS; i++) {
        if (world->connections[i].leader_open) {
            cut(world, &world->connections[i]);
        }
    }
    for (int64_t end_ms = world->now_ms + 300; world->now_ms < end_ms;) {
        world_step(world);
    }
}

static void test_a_short_absence_ends_in_a_partial_sync_a_long_one_in_a_full_sync(void **state) {
    struct world *world = &((struct scene *)*state)->world;
    struct leader *leader = &world->nodes[0].leader;
    run_until_quiet(world);
    assert_int_equal(leader->full_syncs, WORLD_NODES - 1);
    for (int i = 0; i < 20; i++) {
        cut_all(world);
        write_keys(&world->nodes[0], 10, 100);
        run_until_quiet(world);
    }
    assert_int_equal(leader->full_syncs, WORLD_NODES - 1);
    assert_true(leader->partial_syncs >= 20 * (WORLD_NODES - 1));
    assert_int_equal(leader->partial_refused, 0);
    cut_all(world);
    write_keys(&world->nodes[0], 100, 1000);
    run_until_quiet(world);
    assert_int_equal(leader->full_syncs, 2 * (WORLD_NODES - 1));
    assert_int_equal(leader->partial_refused, WORLD_NODES - 1);
    assert_true(model_equal(&world->nodes[0].store, &world->nodes[1].store));
}

/* Past the backlog, 10 KB at a time: the disk keeps up, two of the followers sleep. */
static void write_while_they_sleep(struct world *world, bool compact) {
    struct node *node = &world->nodes[0];
    for (int i = 0; i < 10; i++) {
        world->nodes[1].asleep_until_ms = world->nodes[2].asleep_until_ms = world->now_ms + 1000;
        write_keys(node, 10, 1000);
        run_for(world, 100);
        if (compact && i == 5) {
            model_journal_compact(&node->journal, &node->store, node->history, true);
        }
    }
    assert_true(history_first_index(node->history) > history_index(world->nodes[1].history) + 1);
}

static void with_disks(struct world *world) {
    for (size_t i = 0; i < WORLD_NODES; i++) {
        world->nodes[i].journal.used = true;
        node_restart(world, &world->nodes[i], i == 0, false);
    }
    run_until_quiet(world);
    for (int i = 0; i < 20; i++) {
        write_keys(&world->nodes[0], 20, 100);
        run_until_quiet(world);
    }
    world->nodes[0].store.told_bytes = 200000;
}

static void test_a_long_absence_is_continued_from_the_leader_s_disk(void **state) {
    struct world *world = &((struct scene *)*state)->world;
    struct leader *leader = &world->nodes[0].leader;
    with_disks(world);
    size_t fulls = leader->full_syncs;
    write_while_they_sleep(world, false);
    run_until_quiet(world);
    assert_int_equal(leader->archive_syncs, 2);
    assert_int_equal(leader->full_syncs, fulls);
    for (size_t i = 1; i < WORLD_NODES; i++) {
        assert_true(model_equal(&world->nodes[0].store, &world->nodes[i].store));
    }
}

/* The lines that they lack are no longer there. */
static void test_or_in_a_full_sync_when_the_disk_was_compacted(void **state) {
    struct world *world = &((struct scene *)*state)->world;
    struct leader *leader = &world->nodes[0].leader;
    with_disks(world);
    size_t fulls = leader->full_syncs;
    write_while_they_sleep(world, true);
    run_until_quiet(world);
    assert_int_equal(leader->archive_syncs, 0);
    assert_int_equal(leader->full_syncs, fulls + 2);
    assert_true(model_equal(&world->nodes[0].store, &world->nodes[1].store));
}

static bool is_catching_up(struct world *world) {
    struct connection *connection = find_connection(world, &world->nodes[0], &world->nodes[1]);
    return connection != NULL && connection->leader_link.phase == LEADER_LINK_CATCH_UP &&
           connection->leader_link.catch_up.bytes > 20000;
}

/* What is being read stays, and what was written since follows it. */
static void test_the_disk_is_compacted_while_it_is_read(void **state) {
    struct world *world = &((struct scene *)*state)->world;
    struct node *node = &world->nodes[0];
    with_disks(world);
    size_t fulls = node->leader.full_syncs;
    write_while_they_sleep(world, false);
    run_until(world, is_catching_up);
    model_journal_compact(&node->journal, &node->store, node->history, true);
    for (int i = 0; i < 10; i++) { /* past the backlog once more */
        write_keys(node, 10, 1000);
        run_for(world, 100);
    }
    run_until_quiet(world);
    assert_int_equal(node->leader.archive_syncs, 2);
    assert_int_equal(node->leader.full_syncs, fulls);
    assert_true(model_equal(&node->store, &world->nodes[1].store));
}

static void test_a_follower_serves_its_old_data_during_a_full_sync(void **state) {
    struct world *world = &((struct scene *)*state)->world;
    struct model_store *store = &world->nodes[1].store;
    write_keys(&world->nodes[0], 100, 100);
    run_until_quiet(world);
    world->nodes[1].asleep_until_ms = world->now_ms + 2000;
    for (size_t i = 0; i < 100; i += 2) {
        char key[KEY_BYTES];
        key_of(key, "k", i);
        model_delete(&world->nodes[0].store, slice_from_text(key));
    }
    write_keys(&world->nodes[0], 50, 2000); /* past the backlog */
    size_t begun = store->begun, steps = 0;
    for (; store->begun == begun || model_incomplete(store); steps += model_incomplete(store)) {
        assert_true(store->count >= 100);
        world_step(world);
    }
    assert_true(steps > 10);
    run_until_quiet(world);
    assert_int_equal(store->count, 75);
    assert_true(model_equal(&world->nodes[0].store, store));
}

static void test_the_group_survives_the_restart_of_its_leader(void **state) {
    struct world *world = &((struct scene *)*state)->world;
    write_keys(&world->nodes[0], 100, 100);
    run_until_quiet(world);
    world->nodes[1].asleep_until_ms = world->now_ms + 1000;
    write_keys(&world->nodes[0], 120, 50); /* one of three followers lags behind */
    while (!(world->nodes[2].store.count == 120 && world->nodes[3].store.count == 120)) {
        world_step(world);
    }
    node_restart(world, &world->nodes[0], true, false);
    while (!is_serving(&world->nodes[0])) {
        world_step(world);
    }
    assert_int_equal(world->nodes[0].store.count, 120); /* before it serves, and the most advanced state */
    assert_int_equal(model_find(&world->nodes[0].store, SLICE("k5"))->version, 2);
    run_until_quiet(world);
    assert_true(model_equal(&world->nodes[0].store, &world->nodes[1].store));
    assert_int_equal(world->nodes[0].leader.pulls, 1);
}

/* Late: after the leader has served as an empty one, without a write, and with one. */
static void come_late(struct world *world, bool written) {
    run_until_quiet(world);
    write_keys(&world->nodes[0], 30, 100);
    run_until_quiet(world);
    for (size_t i = 0; i < WORLD_NODES; i++) {
        part(world, 1, i, i != 1);
        if (i != 1) {
            node_restart(world, &world->nodes[i], i == 0, false);
        }
    }
    for (int64_t end_ms = world->now_ms + 8000; world->now_ms < end_ms;) {
        world_step(world);
    }
    assert_true(is_serving(&world->nodes[0]));
    assert_int_equal(world->nodes[0].store.count, 0);
    if (written) {
        model_set(&world->nodes[0].store, SLICE("k3"), SLICE("new"), 0);
    }
    for (size_t i = 0; i < WORLD_NODES; i++) {
        part(world, 1, i, false);
    }
    for (int64_t end_ms = world->now_ms + 1000; world->now_ms < end_ms;) {
        world_step(world);
    }
    run_until_quiet(world);
    assert_int_equal(world->nodes[0].store.count, 30);
    struct slice k3 = model_value(model_find(&world->nodes[0].store, SLICE("k3")));
    assert_int_equal(slice_equals(k3, SLICE("new")), written);
    assert_int_equal(world->nodes[0].leader.adopted, written ? 29 : 0);
    for (size_t i = 1; i < WORLD_NODES; i++) {
        assert_true(model_equal(&world->nodes[0].store, &world->nodes[i].store));
    }
}

static void test_data_that_turns_up_after_an_empty_leader_has_begun_to_serve(void **state) {
    come_late(&((struct scene *)*state)->world, false);
}

static void test_data_that_turns_up_after_an_empty_leader_has_written(void **state) {
    come_late(&((struct scene *)*state)->world, true);
}

/* Node 1 alone remembers what was counted and deleted before; the leader that adopts its keys, and whoever
 * takes over from that leader's other followers, counts on from there. */
static void test_versions_do_not_repeat_after_keys_were_adopted(void **state) {
    struct world *world = &((struct scene *)*state)->world;
    struct node *leader = &world->nodes[0];
    run_until_quiet(world);
    for (int i = 0; i < 20; i++) {
        model_set(&leader->store, SLICE("gone"), SLICE("old"), 0);
        if (i < 9) {
            model_set(&leader->store, SLICE("both"), SLICE("old"), 0);
        }
    }
    model_delete(&leader->store, SLICE("gone")); /* version 21 */
    run_until_quiet(world);
    for (size_t i = 0; i < WORLD_NODES; i++) {
        part(world, 1, i, i != 1);
        if (i != 1) {
            node_restart(world, &world->nodes[i], i == 0, false);
        }
    }
    for (int64_t end_ms = world->now_ms + 8000; world->now_ms < end_ms;) {
        world_step(world);
    }
    model_set(&leader->store, SLICE("both"), SLICE("new"), 0);
    for (size_t i = 0; i < WORLD_NODES; i++) {
        part(world, 1, i, false);
    }
    for (int64_t end_ms = world->now_ms + 1000; world->now_ms < end_ms;) {
        world_step(world);
    }
    run_until_quiet(world);
    assert_int_equal(model_find(&leader->store, SLICE("both"))->version, 10);
    assert_true(slice_equals(model_value(model_find(&leader->store, SLICE("both"))), SLICE("new")));
    for (size_t i = 0; i < WORLD_NODES; i++) {
        assert_true(model_equal(&leader->store, &world->nodes[i].store));
        assert_int_equal(world->nodes[i].store.floor, 21); /* those that got no FULL, too */
    }
    node_restart(world, &world->nodes[1], false, false);
    node_restart(world, leader, true, false);
    run_until_quiet(world);
    model_set(&leader->store, SLICE("gone"), SLICE("new"), 0);
    assert_int_equal(model_find(&leader->store, SLICE("gone"))->version, 22);
}

/* The leader is away; node 1 starts anew and a stranger writes one line to it. It must not become the group's
 * whole data when the leader comes back. */
static void test_one_bare_line_does_not_outweigh_the_data_of_the_group(void **state) {
    struct world *world = &((struct scene *)*state)->world;
    struct node *node = &world->nodes[1];
    struct follower_link link;
    struct buf answer;
    bool asked;
    write_keys(&world->nodes[0], 30, 100);
    run_until_quiet(world);
    world->nodes[0].asleep_until_ms = world->now_ms + 1000;
    node_restart(world, node, false, false);
    buf_init(&answer, SIZE_MAX);
    follower_link_init(&link, clock_of(world, node));
    assert_true(follower_hears(world, node, &link, SLICE("REPLICATE|k3|bare|1"), &answer, &asked));
    assert_true(follower_hears(world, node, &link, SLICE("REPLICATE|user1|Alice|1"), &answer, &asked));
    follower_link_deinit(&link, &node->follower);
    assert_int_equal(buf_used(&answer), 0);
    node_restart(world, &world->nodes[0], true, false);
    run_until_quiet(world);
    assert_int_equal(world->nodes[0].store.count, 31);
    assert_int_equal(model_value(model_find(&world->nodes[0].store, SLICE("k3"))).len, 100);
    assert_true(model_equal(&world->nodes[0].store, &node->store));
}

static bool node_1_is_ahead(struct world *world) { return world->nodes[1].store.count == 40; }

static bool leader_serves(struct world *world) { return is_serving(&world->nodes[0]); }

static bool node_2_has_part_of_the_state(struct world *world) {
    struct model_store *store = &world->nodes[2].store;
    return model_incomplete(store) && model_find(store, SLICE("alone")) != NULL;
}

/* Node 2 is behind node 1 in the first history, and has part of the state of the second, whose leader is gone
 * before it has come whole. The third leader finds node 2 first, and then node 1. */
static void test_part_of_a_state_is_not_lost_to_a_more_advanced_follower(void **state) {
    struct world *world = &((struct scene *)*state)->world;
    struct node *leader = &world->nodes[0];
    write_keys(leader, 30, 100);
    run_until_quiet(world);
    part(world, 0, 2, true);
    part(world, 0, 3, true);
    write_keys(leader, 40, 100);
    run_until(world, node_1_is_ahead);
    part(world, 0, 1, true);
    node_restart(world, leader, true, false);
    run_until(world, leader_serves);
    write_keys(leader, 20, 1000);
    model_set(&leader->store, SLICE("alone"), SLICE("v"), 0);
    part(world, 0, 2, false);
    run_until(world, node_2_has_part_of_the_state);
    node_restart(world, leader, true, false);
    run_until(world, leader_serves);
    assert_non_null(model_find(&leader->store, SLICE("alone")));
    assert_int_equal(history_index(leader->history), 0);
    part(world, 0, 1, false);
    part(world, 0, 3, false);
    for (int64_t end_ms = world->now_ms + 1000; world->now_ms < end_ms;) {
        world_step(world);
    }
    run_until_quiet(world);
    assert_int_equal(leader->store.count, 41);
    assert_non_null(model_find(&leader->store, SLICE("alone")));
    for (size_t i = 1; i < WORLD_NODES; i++) {
        assert_true(model_equal(&leader->store, &world->nodes[i].store));
    }
}

/* A stranger that answers WHO as a leader says LEAD, an older history's, and perhaps the beginning of a state;
 * then it is gone. The leader leads again, and nobody has lost anything. */
static void a_stranger_leads(struct world *world, const char *state) {
    struct node *leader = &world->nodes[0];
    struct datagram announce = {.verb = DATAGRAM_ANNOUNCE, .node_id = "x", .leader = true};
    struct follower_link link;
    struct buf answer;
    bool asked;
    write_keys(leader, 30, 100);
    run_until_quiet(world);
    uint64_t former = history_id(leader->history);
    buf_init(&answer, SIZE_MAX);
    follower_link_init(&link, clock_of(world, leader));
    assert_true(follower_hears(world, leader, &link, SLICE("LEAD|x|0|0000000000000001|9"), &answer, &asked));
    assert_true(leader->leads); /* not before it has proved what it is */
    assert_int_equal(follower_link_proof(&link, &leader->follower, &announce, clock_of(world, leader), &answer),
                     FOLLOWER_STEP_DOWN);
    node_step_down(world, leader);
    assert_int_equal(follower_link_proof(&link, &leader->follower, &announce, clock_of(world, leader), &answer),
                     FOLLOWER_GO_ON);
    struct slice rest = slice_from_text(state);
    while (rest.len > 0) {
        assert_true(follower_hears(world, leader, &link, slice_take_until(&rest, '\n'), &answer, &asked));
    }
    follower_link_deinit(&link, &leader->follower);
    buf_deinit(&answer);
    int64_t gone_ms = world->now_ms;
    while (!is_serving(leader) && world->now_ms - gone_ms < 2 * FOLLOWER_LEADS_AGAIN_AFTER_MS) {
        world_step(world);
    }
    assert_in_range(world->now_ms - gone_ms, FOLLOWER_LEADS_AGAIN_AFTER_MS,
                    FOLLOWER_LEADS_AGAIN_AFTER_MS + 2 * WORLD_TICK_MS);
    assert_int_equal(history_id(leader->history) == former, state[0] == '\0');
    model_set(&leader->store, SLICE("k3"), SLICE("new"), 0);
    run_until_quiet(world);
    for (size_t i = 1; i < WORLD_NODES; i++) {
        assert_true(model_equal(&leader->store, &world->nodes[i].store));
    }
}

static void test_a_leader_is_not_lost_to_a_stranger_that_does_not_stay(void **state) {
    struct world *world = &((struct scene *)*state)->world;
    a_stranger_leads(world, "");
    assert_int_equal(world->nodes[0].store.count, 30);
    assert_int_equal(world->nodes[0].leader.full_syncs, 3); /* the followers' first ones */
}

static void test_nor_is_its_data_to_half_a_state(void **state) {
    struct world *world = &((struct scene *)*state)->world;
    a_stranger_leads(world, "FULL|0000000000000001|9|9\nREPLICATEX|pw|owned|77|1000|0\n");
    assert_int_equal(world->nodes[0].store.count, 31); /* "part of the state is among it now" */
    assert_int_equal(world->nodes[0].leader.full_syncs, 6);
}

int main(void) {
#define SCENE(name) cmocka_unit_test_setup_teardown(name, scene_setup, scene_teardown)
    const struct CMUnitTest tests[] = {
        SCENE(test_a_short_absence_ends_in_a_partial_sync_a_long_one_in_a_full_sync),
        SCENE(test_a_long_absence_is_continued_from_the_leader_s_disk),
        SCENE(test_or_in_a_full_sync_when_the_disk_was_compacted),
        SCENE(test_the_disk_is_compacted_while_it_is_read),
        SCENE(test_a_follower_serves_its_old_data_during_a_full_sync),
        SCENE(test_the_group_survives_the_restart_of_its_leader),
        SCENE(test_a_leader_is_not_lost_to_a_stranger_that_does_not_stay),
        SCENE(test_nor_is_its_data_to_half_a_state),
        SCENE(test_data_that_turns_up_after_an_empty_leader_has_begun_to_serve),
        SCENE(test_data_that_turns_up_after_an_empty_leader_has_written),
        SCENE(test_versions_do_not_repeat_after_keys_were_adopted),
        SCENE(test_one_bare_line_does_not_outweigh_the_data_of_the_group),
        SCENE(test_part_of_a_state_is_not_lost_to_a_more_advanced_follower),
        cmocka_unit_test(test_links_that_break_stall_and_fall_behind),
        cmocka_unit_test(test_any_node_may_start_anew),
        cmocka_unit_test(test_two_leaders_become_one_and_no_key_is_lost),
        cmocka_unit_test(test_nodes_with_disks_may_die_and_any_of_them_be_made_the_leader),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
