/* follower_fixture.h: a follower, and what a leader says to it. */
#ifndef KVNODE_TESTS_UNIT_FOLLOWER_FIXTURE_H
#define KVNODE_TESTS_UNIT_FOLLOWER_FIXTURE_H

#include "cluster/follower.h"

#include "cluster/leader.h"
#include "tests/sim/model_store.h"
#include "tests/unit/history_lines.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define A      UINT64_C(0x0000000000020000)
#define A_TEXT "0000000000020000"
#define B_TEXT "0000000000010000" /* older than A */
#define C_TEXT "0000000000030000" /* younger */
#define C_ID   UINT64_C(0x0000000000030000)

static struct model_store store;
static struct history *history;
static struct follower follower;
static struct follower_link first, second;
static struct buf scratch, out;
static struct line said; /* the last line */
static int64_t now_ms;
static bool nobody_answers; /* WHO; else whoever is asked is what it says */

static inline int setup(void **state) {
    (void)state;
    struct group_data data = model_data(&store);
    now_ms = 1000000;
    nobody_answers = false;
    buf_init(&scratch, SIZE_MAX);
    buf_init(&out, SIZE_MAX);
    history = history_create(0, 1 << 20);
    follower_init(&follower, "me", 0, history, &data);
    follower.random = 7;
    follower_link_init(&first, now_ms);
    follower_link_init(&second, now_ms);
    return 0;
}

static inline int teardown(void **state) {
    (void)state;
    follower_link_deinit(&first, &follower);
    follower_link_deinit(&second, &follower);
    buf_deinit(&scratch);
    buf_deinit(&out);
    model_reset(&store);
    store = (struct model_store){0};
    history_destroy(&history);
    return 0;
}

static inline enum follower_verdict proof(struct follower_link *link, const char *node_id, uint16_t group,
                                          bool leader) {
    struct datagram announce = {.verb = DATAGRAM_ANNOUNCE, .group = group, .leader = leader};
    snprintf(announce.node_id, sizeof(announce.node_id), "%s", node_id);
    return follower_link_proof(link, &follower, &announce, now_ms, &out);
}

/* Lines, each with its LF; stops at the first verdict but GO_ON. */
static inline enum follower_verdict say_on(struct follower_link *link, const char *lines) {
    enum follower_verdict verdict = FOLLOWER_GO_ON;
    while (*lines != '\0' && verdict == FOLLOWER_GO_ON) {
        const char *end = strchr(lines, '\n');
        struct slice bytes = slice_of(lines, (size_t)(end - lines));
        verdict = follower_link_line(link, &follower, bytes, now_ms, &scratch, &said, &out);
        if (verdict == FOLLOWER_PROVE && !nobody_answers) {
            verdict = proof(link, link->peer_id, 0, link->leads);
        }
        lines = end + 1;
    }
    follower_link_keep(link, &follower);
    return verdict;
}

static inline void say(const char *lines) { assert_int_equal(say_on(&first, lines), FOLLOWER_GO_ON); }

static inline void answered(const char *expected) {
    buf_append_byte(&out, '\0');
    assert_string_equal(buf_slice(&out).ptr, expected);
    buf_reset(&out);
}

static inline void refused(struct follower_link *link, const char *line, const char *answer) {
    assert_int_equal(say_on(link, line), FOLLOWER_CLOSE);
    answered(answer);
}

/* The connection is gone, and another one stands. */
static inline void reconnect(struct follower_link *link) {
    follower_link_deinit(link, &follower);
    follower_link_init(link, now_ms);
}

static inline enum follower_verdict after(int64_t ms) {
    now_ms += ms;
    return follower_link_tick(&first, &follower, now_ms, &out);
}

static inline void holds(const char *key, const char *value, uint64_t version, int64_t timestamp_ms) {
    const struct model_entry *entry = model_find(&store, slice_from_text(key));
    assert_non_null(entry);
    assert_true(slice_equals(model_value(entry), slice_from_text(value)));
    assert_int_equal(entry->version, version);
    assert_int_equal(entry->timestamp_ms, timestamp_ms);
}

static inline void lacks(const char *key) { assert_null(model_find(&store, slice_from_text(key))); }

static inline void is_at(uint64_t id, uint64_t index) {
    assert_int_equal(follower_position(&follower).history_id, id);
    assert_int_equal(follower_position(&follower).index, index);
}

/* The first link is the leader's, history A, nothing in it. */
static inline void follow_a(void) {
    say("LEAD|boss|0|" A_TEXT "|0\n");
    answered("SYNC|me|-|0\n");
    say("FULL|" A_TEXT "|0|0\nEND|0|0\n");
}

#endif
