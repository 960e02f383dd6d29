/* A leader and a follower with real keyspaces, on memory pipes and in virtual time, while memory fails on
 * either side.
 *
 *   leader_link -- to_follower --> lines --> follower_link -- to_leader --> lines --> leader_link
 *
 * A link that is told to close is closed on both sides and opened again. At any time: when the follower says to
 * be where the leader is, the data is the same; in the end it says so, and no key is lost that either of them
 * had.
 */
#include "server/peers/replication_internal.h"
#include "server/store/keyspace.h"
#include "tests/fault/digest.h"
#include "tests/fault/failing_heap.h"

#include <ev.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    STEP_MS = 50,
    MOST_STEPS = 1500,
    FILL_BYTES = 3000,
    KEYS = 30,
    WRITES = 40,
    BATCH = 3,
    VALUE_BYTES = 1500,
    HISTORY_BYTES = 1 << 16, /* chunks of 4 KB */
};

struct side {
    struct loop *loop;
    struct history *history;
    struct keyspace *keyspace;
    struct buf scratch;
};

static struct {
    int64_t now_ms;
    struct side l, f; /* leader, follower */
    struct leader leader;
    struct follower follower;
    bool open;
    struct leader_link leader_link;
    struct follower_link follower_link;
    struct buf to_follower, to_leader; /* written by the code under test */
    struct buf follower_in, leader_in; /* whole lines and what there is of the next */
    size_t written;                    /* of WRITES */
    bool split_batch;                  /* the leader itself has failed in the middle of one */
    bool lifts;                        /* the first key of the leader's has one version with two values */
} world;

static char value_bytes[VALUE_BYTES];

/* --- The two of them --- */

static void side_init(struct side *side, uint64_t history_id) {
    side->loop = loop_create();
    side->history = history_create(history_id, HISTORY_BYTES);
    side->keyspace = keyspace_create(side->loop, side->history, 0);
    assert_non_null(side->keyspace);
    buf_init(&side->scratch, LIMIT_LINE_BYTES);
}

static void side_deinit(struct side *side) {
    keyspace_destroy(&side->keyspace);
    history_destroy(&side->history);
    loop_destroy(&side->loop);
    buf_deinit(&side->scratch);
}

static enum err put(struct side *side, const char *kind, size_t number, size_t bytes) {
    char name[32];
    snprintf(name, sizeof(name), "%s%zu", kind, number);
    struct key key = keyspace_key(side->keyspace, slice_from_text(name));
    struct keyspace_set set = {.value = slice_of(value_bytes, bytes)};
    if (number % 3 == 0) {
        set.deadline = KEYSPACE_DEADLINE_SET;
        set.deadline_ms = 4102444800000 + (int64_t)number;
    }
    return keyspace_set(side->keyspace, &key, &set, NULL);
}

static bool has(struct side *side, const char *kind, size_t number) {
    char name[32];
    snprintf(name, sizeof(name), "%s%zu", kind, number);
    struct key key = keyspace_key(side->keyspace, slice_from_text(name));
    return keyspace_find(side->keyspace, &key, KEYSPACE_QUIETLY) != NULL;
}

static void put_all(struct side *side, const char *kind) {
    keyspace_set_owner(side->keyspace, true);
    for (size_t i = 0; i < KEYS; i++) {
        assert_int_equal(put(side, kind, i, i * (VALUE_BYTES / KEYS)), ERR_NONE);
    }
}

/* --- The link --- */

static void close_link(void) {
    if (world.open) {
        leader_link_close(&world.leader_link, &world.leader, world.now_ms);
        follower_link_deinit(&world.follower_link, &world.follower);
    }
    world.open = false;
    struct buf *bufs[] = {&world.to_follower, &world.to_leader, &world.follower_in, &world.leader_in};
    for (size_t i = 0; i < sizeof(bufs) / sizeof(bufs[0]); i++) {
        buf_deinit(bufs[i]);
    }
}

static void open_link(void) {
    follower_link_init(&world.follower_link, world.now_ms);
    leader_link_open(&world.leader_link, &world.leader, "follower", true, world.now_ms, &world.to_follower);
    world.open = true;
}

static bool next_line(struct buf *in, struct slice *line) {
    struct slice bytes = buf_slice(in);
    const char *end = bytes.len == 0 ? NULL : memchr(bytes.ptr, '\n', bytes.len);
    *line = slice_first(bytes, end == NULL ? 0 : (size_t)(end - bytes.ptr));
    return end != NULL;
}

static void carry(struct buf *out, struct buf *in) {
    buf_append_slice(in, buf_slice(out));
    buf_consume(out, buf_used(out));
}

/* The answer to PULL. */
static bool send_state(void) {
    uint64_t cursor = 0, count = 0;
    struct buf *out = &world.to_leader;
    struct position position = follower_state_position(&world.follower);
    line_full(out, position.history_id, position.index, keyspace_floor(world.f.keyspace), NULL);
    do {
        cursor = replicated_store_scan(world.f.keyspace, cursor, false, out, &count);
    } while (cursor != 0);
    line_end(out, count, position.index);
    return !buf_failed(out);
}

/* The four parts of a step; false: the link is to be closed. The heap is armed but while bytes are carried. */
static bool leader_writes(void) {
    leader_tick(&world.leader, world.now_ms);
    keyspace_set_owner(world.l.keyspace, world.leader.phase == LEADER_SERVING);
    if (leader_link_tick(&world.leader_link, &world.leader, world.now_ms, &world.to_follower) == LEADER_CLOSE ||
        leader_link_fill(&world.leader_link, &world.leader, &world.to_follower,
                         buf_used(&world.to_follower) + FILL_BYTES) == LEADER_CLOSE ||
        buf_failed(&world.to_follower)) {
        return false;
    }
    fault_disarm();
    carry(&world.to_follower, &world.follower_in);
    bool ok = true;
    struct slice next = SLICE("");
    while (world.leader_link.phase == LEADER_LINK_STREAM && ok) {
        ok = leader_link_peek(&world.leader_link, &world.leader, &next) != LEADER_CLOSE;
        if (!ok || next.len == 0) {
            break;
        }
        buf_append_slice(&world.follower_in, next);
        leader_link_sent(&world.leader_link, &world.leader, next.len, world.now_ms);
    }
    fault_arm();
    return ok;
}

static bool follower_reads(void) {
    struct slice line;
    while (next_line(&world.follower_in, &line)) {
        struct line decoded;
        enum follower_verdict verdict =
            follower_link_line(&world.follower_link, &world.follower, line, world.now_ms, &world.f.scratch,
                               &decoded, &world.to_leader);
        if (verdict == FOLLOWER_PROVE) {
            struct datagram announce = {.verb = DATAGRAM_ANNOUNCE, .leader = true};
            memcpy(announce.node_id, world.follower_link.peer_id, sizeof(announce.node_id));
            verdict = follower_link_proof(&world.follower_link, &world.follower, &announce, world.now_ms,
                                          &world.to_leader);
        }
        if (verdict == FOLLOWER_CLOSE || (verdict == FOLLOWER_SEND_STATE && !send_state())) {
            return false;
        }
        buf_consume(&world.follower_in, line.len + 1);
    }
    follower_link_keep(&world.follower_link, &world.follower);
    return follower_link_tick(&world.follower_link, &world.follower, world.now_ms, &world.to_leader) !=
               FOLLOWER_CLOSE &&
           !buf_failed(&world.to_leader);
}

static bool leader_reads(void) {
    fault_disarm();
    carry(&world.to_leader, &world.leader_in);
    fault_arm();
    struct slice line;
    while (next_line(&world.leader_in, &line)) {
        if (leader_link_line(&world.leader_link, &world.leader, line, world.now_ms, &world.l.scratch,
                             &world.to_follower) == LEADER_CLOSE) {
            return false;
        }
        buf_consume(&world.leader_in, line.len + 1);
    }
    return !buf_failed(&world.to_follower);
}

/* What the leader's clients do meanwhile; what is refused they say again. */
static void write_some(void) {
    if (world.leader.phase != LEADER_SERVING || world.written == WRITES) {
        return;
    }
    size_t i = world.written;
    enum err err = ERR_NONE;
    if (i % 5 == 4) {
        keyspace_batch_begin(world.l.keyspace);
        for (size_t n = 0; n < BATCH && err == ERR_NONE; n++) {
            err = put(&world.l, "batch", i + n, VALUE_BYTES - n);
        }
        keyspace_batch_end(world.l.keyspace);
        world.split_batch = world.split_batch || err != ERR_NONE;
    } else {
        err = put(&world.l, "live", i / 2, i * 10);
    }
    world.written += err == ERR_NONE;
}

static void check_link(void) {
    bool at_the_leaders = world.open && world.follower_link.phase == FOLLOWER_STREAM &&
                          history_id(world.f.history) == history_id(world.l.history) &&
                          history_index(world.f.history) == history_index(world.l.history);
    if (at_the_leaders && digest_of(world.l.keyspace) != digest_of(world.f.keyspace)) {
        fault_fail("the follower says to be at line %llu, and its data is not the leader's",
                   (unsigned long long)history_index(world.f.history));
    }
}

/* A part of a batch is there only if the follower says that its data is not to be continued. */
static void check_batches(void) {
    if (world.split_batch || world.follower.overlaid_by != 0 || world.follower_link.phase == FOLLOWER_FULL) {
        return;
    }
    for (size_t i = 4; i < WRITES; i += 5) {
        size_t there = 0;
        for (size_t n = 0; n < BATCH; n++) {
            there += has(&world.f, "batch", i + n);
        }
        if (there != 0 && there != BATCH) {
            fault_fail("the follower has a part of batch %zu, and would go on with it", i);
        }
    }
}

static bool is_quiet(void) {
    return world.open && world.written == WRITES && world.leader_link.phase == LEADER_LINK_STREAM &&
           world.follower_link.phase == FOLLOWER_STREAM &&
           history_id(world.f.history) == history_id(world.l.history) &&
           history_index(world.f.history) == history_index(world.l.history);
}

static void step(void) {
    world.now_ms += STEP_MS;
    fault_arm();
    if (!world.open) {
        open_link();
    }
    bool goes_on = leader_writes() && follower_reads() && leader_reads();
    write_some();
    ev_run(loop_ev(world.l.loop), EVRUN_NOWAIT);
    ev_run(loop_ev(world.f.loop), EVRUN_NOWAIT);
    fault_disarm();
    if (!goes_on) {
        close_link();
    }
    check_link();
    check_batches();
}

/* --- Lives --- */

static void begin(void) {
    memset(&world, 0, sizeof(world));
    memset(value_bytes, 'v', sizeof(value_bytes));
    value_bytes[7] = '\n'; /* not to be said in a plain line */
    struct buf *bufs[] = {&world.to_follower, &world.to_leader, &world.follower_in, &world.leader_in};
    for (size_t i = 0; i < sizeof(bufs) / sizeof(bufs[0]); i++) {
        buf_init(bufs[i], SIZE_MAX);
    }
    world.now_ms = 1000000;
    side_init(&world.l, history_make_id(1000, 1));
    side_init(&world.f, 0);
    struct group_data for_leader = replicated_store(world.l.keyspace);
    struct group_data for_follower = replicated_store(world.f.keyspace);
    leader_init(&world.leader, "leader", 0, world.l.history, &for_leader, world.now_ms);
    follower_init(&world.follower, "follower", 0, world.f.history, &for_follower);
}

/* Until all is written and the same on both sides; then all that was there at the beginning is. */
static void live_and_end(bool leader_had, bool follower_had) {
    int steps = 0;
    while (!is_quiet()) {
        step();
        if (++steps > MOST_STEPS) {
            fault_fail("they do not find together");
        }
    }
    for (size_t i = 0; i < KEYS; i++) {
        if ((leader_had && !has(&world.f, "leaders", i)) || (follower_had && !has(&world.l, "followers", i))) {
            fault_fail("key %zu is lost", i);
        }
    }
    struct key first = keyspace_key(world.l.keyspace, SLICE("leaders0"));
    if (world.lifts && entry_version(keyspace_find(world.l.keyspace, &first, KEYSPACE_QUIETLY)) < 2) {
        fault_fail("a version is two values");
    }
    close_link();
    side_deinit(&world.l);
    side_deinit(&world.f);
}

static void an_empty_follower(void) {
    begin();
    put_all(&world.l, "leaders");
    world.leader.phase = LEADER_SERVING;
    live_and_end(true, false);
}

static void a_leader_that_starts_anew(void) {
    begin();
    put_all(&world.f, "followers");
    keyspace_set_owner(world.f.keyspace, false);
    history_restart(world.f.history, history_make_id(500, 1), KEYS, NULL);
    follower_follow(&world.follower);
    live_and_end(false, true);
}

/* It serves, and has written, when one with data of another history turns up. */
static void a_follower_with_more(void) {
    begin();
    put_all(&world.l, "leaders");
    put_all(&world.f, "followers");
    assert_int_equal(put(&world.f, "leaders", 0, 9),
                     ERR_NONE); /* the same version as the leader's, another value */
    keyspace_set_owner(world.f.keyspace, false);
    history_restart(world.f.history, history_make_id(500, 1), KEYS, NULL);
    follower_follow(&world.follower);
    world.leader.phase = LEADER_SERVING;
    world.lifts = true;
    live_and_end(true, true);
}

/* A peer that knows only the specification says no LEAD: what was taken without a word is there. */
static void bare_lines(void) {
    begin();
    size_t told = 0;
    while (told < KEYS) {
        char text[32];
        follower_link_init(&world.follower_link, world.now_ms);
        enum follower_verdict verdict = FOLLOWER_GO_ON;
        struct line line;
        while (told < KEYS && verdict == FOLLOWER_GO_ON) {
            snprintf(text, sizeof(text), "REPLICATE|bare%zu|value|1", told);
            fault_arm();
            verdict = follower_link_line(&world.follower_link, &world.follower, slice_from_text(text),
                                         world.now_ms, &world.f.scratch, &line, &world.to_leader);
            fault_disarm();
            if (verdict == FOLLOWER_GO_ON && !has(&world.f, "bare", told)) {
                fault_fail("%s was taken, and is not there", text);
            }
            told += verdict == FOLLOWER_GO_ON;
        }
        follower_link_deinit(&world.follower_link, &world.follower);
        buf_reset(&world.to_leader);
    }
    close_link();
    side_deinit(&world.l);
    side_deinit(&world.f);
}

static void test_an_empty_follower(void **state) {
    (void)state;
    fault_each(an_empty_follower);
}

static void test_a_leader_that_starts_anew(void **state) {
    (void)state;
    fault_each(a_leader_that_starts_anew);
}

static void test_a_follower_with_more(void **state) {
    (void)state;
    fault_each(a_follower_with_more);
}

static void test_bare_lines(void **state) {
    (void)state;
    fault_each(bare_lines);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_empty_follower),
        cmocka_unit_test(test_a_leader_that_starts_anew),
        cmocka_unit_test(test_a_follower_with_more),
        cmocka_unit_test(test_bare_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
