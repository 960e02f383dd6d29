/* leader_fixture.h: a leader between three followers that a test plays, and what it says to them. */
#ifndef KVNODE_TESTS_UNIT_LEADER_FIXTURE_H
#define KVNODE_TESTS_UNIT_LEADER_FIXTURE_H

#include "cluster/leader.h"

#include "cluster/follower.h"
#include "tests/sim/model_store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define START_MS 1000
#define OWN      UINT64_C(0x0000000003e80000) /* history_make_id(START_MS, 0) */
#define OWN_TEXT "0000000003e80000"
#define A_TEXT   "0000000000020000"
#define B_TEXT   "0000000000010000" /* older than A */

enum { LINKS = 3 };

static const char *const ids[LINKS] = {"f0", "f1", "f2"};

static struct model_store store;
static struct history *history;
static struct leader leader;
static struct leader_link links[LINKS];
static struct buf outs[LINKS];
static struct buf scratch;
static int64_t now_ms;

static inline int setup(void **state) {
    (void)state;
    now_ms = START_MS;
    history = history_create(OWN, 1 << 20);
    store = (struct model_store){.history = history, .now_ms = now_ms};
    struct group_data data = model_data(&store);
    leader_init(&leader, "boss", 0, history, &data, now_ms);
    buf_init(&scratch, SIZE_MAX);
    for (size_t i = 0; i < LINKS; i++) {
        buf_init(&outs[i], SIZE_MAX);
    }
    return 0;
}

static inline int teardown(void **state) {
    (void)state;
    for (size_t i = 0; i < LINKS; i++) {
        buf_deinit(&outs[i]);
    }
    buf_deinit(&scratch);
    model_reset(&store);
    history_destroy(&history);
    return 0;
}

static inline void dial_as(size_t i, bool knows_sync) {
    buf_reset(&outs[i]);
    leader_link_open(&links[i], &leader, ids[i], knows_sync, now_ms, &outs[i]);
}

static inline void dial(size_t i) { dial_as(i, true); }

static inline void hang_up(size_t i) { leader_link_close(&links[i], &leader, now_ms); }

static inline enum leader_verdict answer(size_t i, const char *lines) {
    enum leader_verdict verdict = LEADER_GO_ON;
    while (*lines != '\0' && verdict == LEADER_GO_ON) {
        const char *end = strchr(lines, '\n');
        verdict = leader_link_line(&links[i], &leader, slice_of(lines, (size_t)(end - lines)), now_ms, &scratch,
                                   &outs[i]);
        lines = end + 1;
    }
    return verdict;
}

static inline void answers(size_t i, const char *lines) { assert_int_equal(answer(i, lines), LEADER_GO_ON); }

static inline void closes(size_t i, const char *lines) {
    assert_int_equal(answer(i, lines), LEADER_CLOSE);
    hang_up(i);
}

/* Time passes, tick by tick; links that the leader leaves are hung up: their number. */
static inline size_t wait(int64_t ms) {
    size_t left = 0;
    for (int64_t until_ms = now_ms + ms; now_ms < until_ms;) {
        now_ms += 50;
        store.now_ms = now_ms;
        leader_tick(&leader, now_ms);
        for (struct leader_link *link = leader.links, *next; link != NULL; link = next) {
            next = link->next;
            if (leader_link_tick(link, &leader, now_ms, &outs[link - links]) == LEADER_CLOSE) {
                leader_link_close(link, &leader, now_ms);
                left++;
            }
        }
    }
    return left;
}

/* What the leader has said to it since it was asked last, state and history too. */
static inline void said(size_t i, const char *expected) {
    struct leader_link *link = &links[i];
    struct slice next;
    assert_int_equal(leader_link_fill(link, &leader, &outs[i], SIZE_MAX), LEADER_GO_ON);
    while (leader_link_sends_lines(link) && leader_link_peek(link, &leader, &next) == LEADER_GO_ON &&
           next.len > 0) {
        buf_append_slice(&outs[i], next);
        leader_link_sent(link, &leader, next.len, now_ms);
    }
    buf_append_byte(&outs[i], '\0');
    assert_string_equal(buf_slice(&outs[i]).ptr, expected);
    buf_reset(&outs[i]);
}

static inline void set(const char *key, const char *value) {
    model_set(&store, slice_from_text(key), slice_from_text(value), 0);
}

static inline void serve(void) {
    wait(LEADER_LISTEN_MS);
    assert_int_equal(leader.phase, LEADER_SERVING);
}

static inline bool holds(const char *key, const char *value, uint64_t version) {
    const struct model_entry *entry = model_find(&store, slice_from_text(key));
    return entry != NULL && slice_equals(model_value(entry), slice_from_text(value)) &&
           entry->version == version;
}

/* LEAD|boss|0|<the history now>|<index> */
static inline void said_lead(size_t i) {
    char text[100];
    snprintf(text, sizeof(text), "LEAD|boss|0|%016llx|%llu\n", (unsigned long long)history_id(history),
             (unsigned long long)history_index(history));
    said(i, text);
}

/* A follower that has just been pulled from, or has nothing, is brought to the leader's history. */
static inline void said_full(size_t i, const char *state) {
    char text[1000];
    snprintf(text, sizeof(text), "FULL|%016llx|%llu|%llu\n%s|%llu\n", (unsigned long long)history_id(history),
             (unsigned long long)history_index(history), (unsigned long long)store.floor, state,
             (unsigned long long)history_index(history));
    said(i, text);
}

#endif
