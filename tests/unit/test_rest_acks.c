/* What HTTP clients wait for in a group that votes (acks=), and where their reads are answered (stale=). The
 * voters are played: nothing is committed, and no round is confirmed, before a test says so. */
#define RESP_FIXTURE_VOTES
#include "server/rest/session.h"
#include "tests/unit/resp_clients.h"

static struct rest_server *rest;

static int set_up_rest(void **state) {
    int ends[2];
    int failed = set_up(state);
    close(node.client);
    turn();
    turn();
    rest = rest_server_create(&node.context);
    assert_non_null(rest);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
    rest_server_accept(rest, ends[1]);
    node.client = ends[0];
    store_changes("a", "old");
    return failed;
}

static int tear_down_rest(void **state) {
    rest_server_destroy(&rest);
    return tear_down(state);
}

static void asks(const char *method, const char *target) {
    char request[256];
    bool sets = strcmp(method, "POST") == 0;
    snprintf(request, sizeof(request), "%s %s HTTP/1.1\r\nHost: localhost\r\n%s", method, target,
             sets ? "Content-Type: application/octet-stream\r\nContent-Length: 3\r\n\r\nnew" : "\r\n");
    send_bytes(slice_from_text(request));
    for (int i = 0; i < 5; i++) {
        turn();
        receive();
    }
}

static void is_told_nothing(void) { assert_int_equal(buf_used(&node.received), 0); }

/* As many answers, and each of these parts. */
static void is_told(size_t count, const char *const parts[2]) {
    for (int i = 0; i < 5; i++) {
        turn();
        receive();
    }
    buf_append_byte(&node.received, '\0');
    const char *text = buf_slice(&node.received).ptr;
    size_t answers = 0;
    for (const char *at = text; (at = strstr(at, "HTTP/1.1 ")) != NULL; at++) {
        answers++;
    }
    if (answers != count) {
        fail_msg("%zu answers, expected %zu: %s", answers, count, text);
    }
    for (size_t i = 0; i < 2; i++) {
        if (strstr(text, parts[i]) == NULL) {
            fail_msg("no \"%s\" in %s", parts[i], text);
        }
    }
    buf_reset(&node.received);
}

#define IS_TOLD(count, ...) is_told(count, (const char *const[2]){__VA_ARGS__})

static void group_votes(bool quorum) {
    struct voters voters;
    assert_true(voters_parse(SLICE("self0001,other001,other002"), &voters));
    history_write_voters(node.history, &voters);
    history_write_acks(node.history, quorum);
    node.replication.elected = true;
    node.replication.asked_round = 1;
    turn();
}

static void voters_have_all(void) {
    node.replication.committed_index = history_index(node.history);
    node.replication.round = node.replication.asked_round++;
}

static void test_where_nobody_votes(void **state) {
    (void)state;
    static const char *const targets[][2] = {{"GET", "/get?key=a&acks=quorum"},
                                             {"POST", "/set?key=a&acks=quorum"},
                                             {"DELETE", "/delete?key=a&acks=quorum"},
                                             {"GET", "/keys?acks=quorum"},
                                             {"GET", "/export?acks=quorum"}};
    for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
        asks(targets[i][0], targets[i][1]);
        IS_TOLD(1, "HTTP/1.1 400 ",
                "\"detail\":\"this group does not elect its leader: start its nodes with -voters\"");
    }
    asks("GET", "/get?key=a&acks=all");
    IS_TOLD(1, "HTTP/1.1 400 ", "acks is leader or quorum");
    asks("GET", "/get?key=a&stale=yes");
    IS_TOLD(1, "HTTP/1.1 400 ", "stale is ok, or it is not given");
    asks("GET", "/get?key=a&acks=leader&stale=ok");
    IS_TOLD(1, "HTTP/1.1 200 ", "\"value\":\"old\",\"version\":1");
    asks("GET", "/get?key=a&acks=leader&acks=leader");
    IS_TOLD(1, "HTTP/1.1 400 ", "a parameter is given twice");
}

static void test_each_request_waits_as_it_says(void **state) {
    (void)state;
    group_votes(false);
    asks("GET", "/get?key=a");
    IS_TOLD(1, "HTTP/1.1 200 ", "\"value\":\"old\"");
    asks("POST", "/set?key=a&acks=quorum");
    asks("GET", "/get?key=a&acks=leader"); /* does not overtake */
    asks("GET", "/health");
    is_told_nothing();
    node.replication.committed_index = history_index(node.history);
    is_told_nothing();
    voters_have_all();
    IS_TOLD(3, "\"version\":2", "\"value\":\"new\"");
    asks("DELETE", "/delete?key=a");
    IS_TOLD(1, "HTTP/1.1 200 ", "\"deleted\":true");
}

static void test_what_is_made_in_slices_waits(void **state) {
    (void)state;
    group_votes(false);
    static const char *const targets[] = {"/keys?acks=quorum", "/export?acks=quorum"};
    for (size_t i = 0; i < 2; i++) {
        asks("GET", targets[i]);
        is_told_nothing();
        voters_have_all();
        IS_TOLD(1, "HTTP/1.1 200 ", i == 0 ? "[\"a\"]" : "END|1|");
    }
    asks("GET", "/keys");
    IS_TOLD(1, "HTTP/1.1 200 ", "[\"a\"]");
}

static void test_nobody_waits_for_less_than_the_group(void **state) {
    (void)state;
    group_votes(true);
    asks("GET", "/health");
    IS_TOLD(1, "HTTP/1.1 ", "\"status\"");
    asks("GET", "/get?key=a&acks=leader");
    asks("GET", "/get?key=a&stale=ok");
    asks("GET", "/get?key=nothing");
    is_told_nothing();
    voters_have_all();
    IS_TOLD(3, "\"value\":\"old\"", "HTTP/1.1 404 ");
}

static void test_at_a_follower(void **state) {
    (void)state;
    group_votes(true);
    node.replication.role = REPLICATION_FOLLOWER;
    node.replication.elected = false;
    membership_set_leader(node.membership, false, 0, loop_now_ms(node.loop));
    routing_set_self_leader(&node.routing, false);
    asks("GET", "/get?key=a");
    IS_TOLD(1, "HTTP/1.1 503 ", "\"code\":\"CLUSTERDOWN\"");
    datagram_arrives("ANNOUNCE|leader01|10.0.0.1|8000|0|true");
    datagram_arrives("ENDPOINTS|leader01|9000|6379");
    asks("GET", "/get?key=a&acks=leader");
    IS_TOLD(1, "HTTP/1.1 307 ", "Location: http://10.0.0.1:9000/get?key=a&acks=leader\r\n");
    asks("GET", "/get?key=a&stale=ok");
    IS_TOLD(1, "HTTP/1.1 200 ", "\"value\":\"old\"");
    asks("POST", "/set?key=a&stale=ok");
    IS_TOLD(1, "HTTP/1.1 307 ", "Location: http://10.0.0.1:9000/set?key=a&stale=ok\r\n");
    asks("GET", "/keys"); /* the node's own */
    IS_TOLD(1, "HTTP/1.1 200 ", "[\"a\"]");

    history_write_acks(node.history, false);
    turn();
    asks("GET", "/get?key=a");
    IS_TOLD(1, "HTTP/1.1 200 ", "\"value\":\"old\"");
    asks("GET", "/get?key=a&acks=quorum");
    IS_TOLD(1, "HTTP/1.1 307 ", "Location: http://10.0.0.1:9000/get?key=a&acks=quorum\r\n");
    asks("GET", "/get?key=a&acks=quorum&stale=ok");
    IS_TOLD(1, "HTTP/1.1 200 ", "\"value\":\"old\"");
}

#define rest_test(function) cmocka_unit_test_setup_teardown(function, set_up_rest, tear_down_rest)

int main(void) {
    const struct CMUnitTest tests[] = {
        rest_test(test_where_nobody_votes),
        rest_test(test_each_request_waits_as_it_says),
        rest_test(test_what_is_made_in_slices_waits),
        rest_test(test_nobody_waits_for_less_than_the_group),
        rest_test(test_at_a_follower),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
