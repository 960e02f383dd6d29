/* A leader's links while memory fails: the test is the follower, dialled again as often as a link ends. A state
 * that has ended has all keys, and so has one that the leader took. */
#include "tests/fault/peer_fixture.h"

#include <stdio.h>

enum { KEYS = 60, VALUE_BYTES = 3000, MOST_TURNS = 20000 };

static struct peer_fixture f;
static struct replication *replication;
static char value_bytes[VALUE_BYTES];

static void on_role(void *context, enum replication_role role) {
    (void)context;
    (void)role;
}

static void on_state(void *context, bool has_state) {
    (void)context;
    (void)has_state;
}

static void begin(void) {
    memset(value_bytes, 'v', sizeof(value_bytes));
    peer_begin(&f, true, false);
    struct replication_config config = {.net = f.net,
                                        .history = f.history,
                                        .keyspace = f.keyspace,
                                        .membership = f.membership,
                                        .log = &f.log,
                                        .bind_hosts = "127.0.0.1",
                                        .max_accepted = 4,
                                        .on_role = on_role,
                                        .on_state = on_state};
    const char *reason = "";
    replication = replication_create(&config, &reason);
    assert_non_null(replication);
}

static void end(void) {
    replication_destroy(&replication);
    peer_end(&f);
}

static struct slice name_of(size_t i) {
    static char name[16];
    snprintf(name, sizeof(name), "key%zu", i);
    return slice_from_text(name);
}

static size_t length_of(size_t i) { return i * (VALUE_BYTES / KEYS); }

static void serve(void) {
    replication->leader.phase = LEADER_SERVING;
    replication_leader_moved(replication);
}

/* Nothing waits: a link that is down is dialled, the listening is over, a node that found no memory is heard
 * again. */
static void turn(int turns) {
    const struct member *member = peer_is_heard(&f);
    if (replication->leader.phase == LEADER_LISTENING) {
        serve();
    }
    fault_arm();
    if (replication->outbounds == NULL) {
        replication_member_up(replication, member);
    } else if (replication->outbounds->conn == NULL) {
        dialler_soon(&replication->outbounds->dialler);
    }
    outbound_tick(replication, loop_monotonic_ms(f.loop));
    fault_disarm();
    peer_turn(&f);
    if (turns == MOST_TURNS) {
        fault_fail("it comes to no end");
    }
}

static void answer_lead(const char *sync) {
    static const char lead[] = "LEAD|self|0|";
    if (f.fd >= 0 && peer_heard(&f, lead) && peer_heard(&f, "\n")) {
        buf_reset(&f.received);
        peer_says(&f, sync);
    }
}

static void check_state(void) {
    for (size_t i = 0; i < KEYS; i++) {
        char head[32];
        struct slice name = name_of(i);
        snprintf(head, sizeof(head), "X|%.*s|", (int)name.len, name.ptr);
        if (!peer_heard(&f, head)) {
            fault_fail("the state has ended without key %zu", i);
        }
    }
}

static void a_state_is_sent(void) {
    begin();
    serve();
    for (size_t i = 0; i < KEYS; i++) {
        struct key key = keyspace_key(f.keyspace, name_of(i));
        struct keyspace_set set = {.value = slice_of(value_bytes, length_of(i))};
        assert_int_equal(keyspace_set(f.keyspace, &key, &set, NULL), ERR_NONE);
    }
    for (int turns = 0; f.fd < 0 || !peer_heard(&f, "END|60|"); turns++) {
        turn(turns);
        answer_lead("SYNC|peer|-|0\n");
    }
    check_state();
    end();
}

static void give_state(void) {
    struct buf lines;
    buf_init(&lines, SIZE_MAX);
    line_full(&lines, 77, KEYS, 0, NULL);
    for (size_t i = 0; i < KEYS; i++) {
        line_replicate_x(&lines, name_of(i), slice_of(value_bytes, length_of(i)), 1, 1000, 0);
    }
    line_end(&lines, KEYS, KEYS);
    buf_append_byte(&lines, '\0');
    buf_reset(&f.received);
    peer_says(&f, buf_slice(&lines).ptr);
    buf_deinit(&lines);
}

/* It has begun empty, and the follower holds data. */
static void a_state_is_taken(void) {
    begin();
    for (int turns = 0; f.fd < 0 || !peer_heard(&f, "END|60|"); turns++) {
        turn(turns);
        answer_lead("SYNC|peer|000000000000004d|60\n");
        if (f.fd >= 0 && peer_heard(&f, "PULL\n")) {
            give_state();
        }
    }
    check_state(); /* it comes back, whole */
    assert_int_equal(keyspace_count(f.keyspace), KEYS);
    end();
}

static void test_a_state_is_sent(void **state) {
    (void)state;
    fault_each(a_state_is_sent);
}

static void test_a_state_is_taken(void **state) {
    (void)state;
    fault_each(a_state_is_taken);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_state_is_sent),
        cmocka_unit_test(test_a_state_is_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
