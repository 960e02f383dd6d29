/* resp_clients.h: several RESP clients on the node of resp_fixture.h, each called by a letter. */
#ifndef KVNODE_TESTS_UNIT_RESP_CLIENTS_H
#define KVNODE_TESTS_UNIT_RESP_CLIENTS_H

#include "tests/unit/resp_fixture.h"

enum { CLIENTS = 4 };

static int client_ends[CLIENTS]; /* their ends; 0: nobody has used that letter yet */

static inline int set_up_clients(void **state) {
    memset(client_ends, 0, sizeof(client_ends));
    int failed = set_up(state);
    client_ends[0] = node.client;
    return failed;
}

/* The one whose turn it is to speak or to listen. */
static inline void turn_to(char who) {
    int *client = &client_ends[who - 'a'];
    if (*client == 0) {
        connect_client();
        *client = node.client;
    }
    node.client = *client;
}

static inline void leaves(char who) {
    turn_to(who);
    close(node.client);
    client_ends[who - 'a'] = 0;
    for (int i = 0; i < 5; i++) {
        turn();
    }
}

static inline int tear_down_clients(void **state) {
    for (char who = 'b'; who < 'a' + CLIENTS; who++) {
        if (client_ends[who - 'a'] != 0) {
            leaves(who);
        }
    }
    turn_to('a');
    return tear_down(state);
}

static inline void says(char who, const char *line, const char *expected) {
    turn_to(who);
    check(line, expected);
}

/* Messages that come without having been asked for: these, and no others. */
static inline void hears(char who, const char *expected) {
    turn_to(who);
    for (int i = 0; i < 3; i++) {
        turn();
    }
    expect_bytes(slice_from_text(expected));
}

/* In RESP3 from now on. */
static inline void speaks_resp3(char who) {
    turn_to(who);
    check_contains("HELLO 3", "$5\r\nproto\r\n:3\r\n");
}

/* The clock of the loop is real: some ms pass. */
static inline void pass_ms(int64_t ms) {
    int64_t until_ms = loop_now_ms(node.loop) + ms;
    while (loop_now_ms(node.loop) < until_ms) {
        turn();
    }
}

/* What somebody else does than a client: a REST request, a leader's line. */
static inline void store_changes(const char *name, const char *value) {
    struct key key = keyspace_key(node.keyspace, slice_from_text(name));
    struct keyspace_set set = {.value = slice_from_text(value)};
    assert_int_equal(keyspace_set(node.keyspace, &key, &set, NULL), ERR_NONE);
}

static inline void line_arrives(const char *text) {
    struct line line;
    struct buf scratch;
    const char *reason;
    buf_init(&scratch, SIZE_MAX);
    assert_int_equal(line_decode(slice_from_text(text), &scratch, &line, &reason), LINE_OK);
    assert_int_equal(keyspace_apply(node.keyspace, &line, 1000), ERR_NONE);
    buf_deinit(&scratch);
}

#define client_test(function) cmocka_unit_test_setup_teardown(function, set_up_clients, tear_down_clients)

#endif
