/* A leader's links while memory fails: the test is the follower, dialled again as often as a link ends. A state
 * that has ended has all keys, and so has one that the leader took. */
#include "tests/fault/peer_fixture.h"
#include "tests/fault/state_fixture.h"

static struct peer_fixture f;
static struct replication *replication;

static void begin(void) {
    peer_begin(&f, true, false);
    replication = state_replication(f.net, f.history, f.keyspace, f.membership, &f.log);
}

static void end(void) {
    replication_destroy(&replication);
    peer_end(&f);
}

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
    fault_be_patient(turns);
    if (turns == FAULT_MOST_TURNS) {
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

static void a_state_is_sent(void) {
    begin();
    serve();
    state_store(f.keyspace);
    for (int turns = 0; f.fd < 0 || !peer_heard(&f, "END|60|"); turns++) {
        turn(turns);
        answer_lead("SYNC|peer|-|0\n");
    }
    state_check_lines(&f.received);
    end();
}

/* What has come since SYNC, as far as it can be read; true: END has come. */
static bool unpack_state(struct buf *lines) {
    struct link_unpacker unpacker = {0};
    struct slice packed = buf_slice(&f.received);
    enum link_unpacked result = LINK_UNPACKED_PART;
    buf_reset(lines);
    while (result == LINK_UNPACKED_PART) {
        size_t taken;
        const char *reason;
        result = link_unpack(&unpacker, packed, lines, &taken, &reason);
        packed = slice_skip(packed, taken);
    }
    link_unpacker_deinit(&unpacker);
    return result == LINK_UNPACKED && text_is_in(lines, "END|60|");
}

static void a_packed_state_is_sent(void) {
    struct buf lines;
    begin();
    replication->config.lz4 = replication->leader.offers_lz4 = true;
    serve();
    state_store(f.keyspace);
    buf_init(&lines, SIZE_MAX);
    for (int turns = 0; f.fd < 0 || peer_heard(&f, "LEAD|") || !unpack_state(&lines); turns++) {
        turn(turns);
        answer_lead("SYNC|peer|-|0|-|lz4\n");
    }
    state_check_lines(&lines);
    buf_deinit(&lines);
    end();
}

static void give_state(void) {
    struct buf lines;
    buf_init(&lines, SIZE_MAX);
    state_write(&lines, 77, KEYS);
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
    state_check_lines(&f.received); /* it comes back, whole */
    assert_int_equal(keyspace_count(f.keyspace), KEYS);
    end();
}

static void test_a_state_is_sent(void **state) {
    (void)state;
    fault_each(a_state_is_sent);
}

static void test_a_packed_state_is_sent(void **state) {
    (void)state;
    fault_each(a_packed_state_is_sent);
}

static void test_a_state_is_taken(void **state) {
    (void)state;
    fault_each(a_state_is_taken);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_state_is_sent),
        cmocka_unit_test(test_a_packed_state_is_sent),
        cmocka_unit_test(test_a_state_is_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
