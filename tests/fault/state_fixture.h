/* state_fixture.h: what both ends of a replication link are tested with: a replication with nobody to tell, and
 * a state of KEYS keys, each as long as its number says. */
#ifndef KVNODE_TESTS_FAULT_STATE_FIXTURE_H
#define KVNODE_TESTS_FAULT_STATE_FIXTURE_H

#include "server/peers/replication_internal.h"
#include "server/store/keyspace.h"
#include "tests/fault/failing_heap.h"

#include <stdio.h>
#include <string.h>

enum { KEYS = 60, VALUE_BYTES = 3000 };

static inline void state_on_role(void *context, enum replication_role role) {
    (void)context;
    (void)role;
}

static inline void state_on_state(void *context, bool has_state) {
    (void)context;
    (void)has_state;
}

static inline void state_on_leader(void *context) { (void)context; }

static inline struct replication *state_replication(struct net *net, struct history *history,
                                                    struct keyspace *keyspace, struct membership *membership,
                                                    struct log *log) {
    struct replication_config config = {.net = net,
                                        .history = history,
                                        .keyspace = keyspace,
                                        .membership = membership,
                                        .log = log,
                                        .bind_hosts = "127.0.0.1",
                                        .max_accepted = 4,
                                        .on_role = state_on_role,
                                        .on_state = state_on_state,
                                        .on_leader = state_on_leader};
    const char *reason = "";
    struct replication *replication = replication_create(&config, &reason);
    assert_non_null(replication);
    return replication;
}

static inline struct slice name_of(size_t i) {
    static char name[16];
    snprintf(name, sizeof(name), "key%zu", i);
    return slice_from_text(name);
}

static inline struct slice value_of(size_t i) {
    static char bytes[VALUE_BYTES];
    memset(bytes, 'v', sizeof(bytes));
    return slice_of(bytes, i * (VALUE_BYTES / KEYS));
}

static inline void state_store(struct keyspace *keyspace) {
    for (size_t i = 0; i < KEYS; i++) {
        struct key key = keyspace_key(keyspace, name_of(i));
        struct keyspace_set set = {.value = value_of(i)};
        assert_int_equal(keyspace_set(keyspace, &key, &set, NULL), ERR_NONE);
    }
}

static inline void state_write(struct buf *lines, uint64_t history_id, uint64_t index) {
    line_full(lines, history_id, index, 0, NULL);
    for (size_t i = 0; i < KEYS; i++) {
        line_replicate_x(lines, name_of(i), value_of(i), 1, 1000, 0);
    }
    line_end(lines, KEYS, index);
}

static inline bool text_is_in(struct buf *received, const char *text) {
    buf_append_byte(received, '\0');
    buf_truncate(received, buf_used(received) - 1);
    return strstr(buf_slice(received).ptr, text) != NULL;
}

/* A line of each key is there. */
static inline void state_check_lines(struct buf *received) {
    for (size_t i = 0; i < KEYS; i++) {
        char head[32];
        struct slice name = name_of(i);
        snprintf(head, sizeof(head), "X|%.*s|", (int)name.len, name.ptr);
        if (!text_is_in(received, head)) {
            fault_fail("the state has ended without key %zu", i);
        }
    }
}

#endif
