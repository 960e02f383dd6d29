/* Discovery while memory fails: whom it has to ask WHO is asked in the end, and what it answers is believed. */
#include "server/peers/discovery.h"

#include "tests/fault/peer_fixture.h"

enum { AGAIN_AFTER_MS = MEMBERSHIP_DUPLICATE_ID_EVERY_MS };

static struct peer_fixture f;
static struct discovery *discovery;
static int ear; /* keeps the port for this process */
static bool twin_found;

static uint64_t index_of(void *context) {
    (void)context;
    return 0;
}

static void on_action(void *context, const struct membership_action *action) {
    (void)context;
    twin_found |= action->type == MEMBERSHIP_OLDER_TWIN;
}

static void begin(bool peer_leads) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = inet_addr("127.255.255.255")};
    socklen_t n = sizeof(address);
    int yes = 1;
    peer_begin(&f, false, peer_leads);
    ear = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    setsockopt(ear, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
    assert_int_equal(bind(ear, (struct sockaddr *)&address, n), 0);
    assert_int_equal(getsockname(ear, (struct sockaddr *)&address, &n), 0);
    struct discovery_config config = {.net = f.net,
                                      .membership = f.membership,
                                      .log = &f.log,
                                      .broadcast = "127.255.255.255",
                                      .port = ntohs(address.sin_port),
                                      .index = index_of,
                                      .on_action = on_action};
    const char *reason = "";
    discovery = discovery_create(&config, &reason);
    assert_non_null(discovery);
    fault_arm();
    discovery_start(discovery);
    fault_disarm();
    twin_found = false;
}

static void end(void) {
    discovery_destroy(&discovery);
    peer_end(&f);
    close(ear);
}

static void answer_who(void) {
    char text[LIMIT_DATAGRAM_BYTES];
    if (f.fd < 0 || !peer_heard(&f, "WHO\n")) {
        return;
    }
    struct buf lines;
    struct datagram uptime = {.verb = DATAGRAM_UPTIME, .uptime_ms = INT64_MAX};
    memcpy(uptime.node_id, f.announce.node_id, sizeof(uptime.node_id));
    buf_init(&lines, SIZE_MAX);
    buf_append(&lines, text, datagram_encode(&f.announce, text));
    buf_append_byte(&lines, '\n');
    buf_append(&lines, text, datagram_encode(&uptime, text));
    buf_append(&lines, "\n", 2);
    buf_reset(&f.received);
    peer_says(&f, buf_slice(&lines).ptr);
    buf_deinit(&lines);
}

/* It is heard again and again, each time as much later as a failed question is asked again. */
static void turn(int turns) {
    if (turns == FAULT_MOST_TURNS) {
        fault_fail("it is not asked, or not believed");
    }
    fault_arm();
    membership_hear(f.membership, &f.announce, loop_monotonic_ms(f.loop) + (int64_t)turns * AGAIN_AFTER_MS);
    discovery_run_actions(discovery);
    fault_disarm();
    peer_turn(&f);
    answer_who();
    fault_be_patient(turns);
}

static bool is_verified(void) {
    const struct member *member = membership_find(f.membership, "peer");
    return member != NULL && member->verified;
}

static void a_leader_is_asked(void) {
    begin(true);
    for (int turns = 0; !is_verified(); turns++) {
        turn(turns);
    }
    end();
}

static void a_node_of_the_same_id_is_asked(void) {
    begin(false);
    memcpy(f.announce.node_id, "self", sizeof("self"));
    for (int turns = 0; !twin_found; turns++) {
        turn(turns);
    }
    end();
}

static void test_a_leader_is_asked(void **state) {
    (void)state;
    fault_each(a_leader_is_asked);
}

static void test_a_node_of_the_same_id_is_asked(void **state) {
    (void)state;
    fault_each(a_node_of_the_same_id_is_asked);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_leader_is_asked),
        cmocka_unit_test(test_a_node_of_the_same_id_is_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
