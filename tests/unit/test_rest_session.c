/* The time limits of an HTTP connection: time passes by moving what the connection remembers of it. */
#include "server/rest/session.h"
#include "server/settings.h"
#include "server/stats.h"

#include "server/net/conn_internal.h"
#include "server/rest/exchange.h"
#include "tests/unit/loop_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum { STALL_MS = 60000, WAITING_MS = 75000, HEAD_MS = 10000 }; /* as session.h promises */

static struct loop *loop;
static struct net *net;
static struct server_stats stats;
static struct settings settings;
static struct command_context context;
static struct rest_server *server;
static struct conn *conn;
static int peer;

static int setup(void **state) {
    (void)state;
    int fds[2];
    loop = loop_create();
    net = net_create(loop);
    stats = (struct server_stats){0};
    context = (struct command_context){.loop = loop, .net = net, .stats = &stats, .settings = &settings};
    server = rest_server_create(&context);
    if (server == NULL || socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) != 0) {
        return -1;
    }
    rest_server_accept(server, fds[0]);
    conn = server->sessions->conn;
    peer = fds[1];
    return 0;
}

static int teardown(void **state) {
    (void)state;
    rest_server_destroy(&server);
    net_destroy(&net);
    loop_destroy(&loop);
    close(peer);
    return 0;
}

static void peer_sends(const char *text) {
    size_t n = strlen(text);
    assert_int_equal(send(peer, text, n, MSG_NOSIGNAL), (ssize_t)n);
    loop_fixture_settle(loop);
}

/* Requests until their answers are more than the sockets take. */
static void peer_asks_too_much(void) {
    while (buf_used(&conn->out) < 500000) {
        for (int i = 0; i < 10; i++) {
            peer_sends("GET /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n");
        }
    }
}

static bool peer_has_read_all(void *unused) {
    (void)unused;
    char scratch[4096];
    while (recv(peer, scratch, sizeof(scratch), 0) > 0) {
    }
    return stats.http_clients == 0 || buf_used(&conn->out) == 0;
}

/* ms after something that happened since then, however long that took. */
static void assert_due(int64_t since_ms, int64_t ms) {
    assert_in_range(conn->deadline.at_ms, since_ms + ms, loop_monotonic_ms(loop) + ms);
}

static void assert_due_after(const char *text, int64_t ms) {
    int64_t since_ms = loop_monotonic_ms(loop);
    peer_sends(text);
    assert_due(since_ms, ms);
}

/* As if the client had let so much time pass; then its deadline is due. */
static void let_time_pass(int64_t ms) {
    conn_output_taken_ms(conn);
    conn->taken_ms -= ms;
    net_set_deadline(conn, loop_monotonic_ms(loop) + 1);
}

static bool is_gone(void *unused) {
    (void)unused;
    return stats.http_clients == 0;
}

static bool is_kept(void) { return !loop_fixture_run(loop, is_gone, NULL, 3 * DEADLINES_TICK_MS); }

static void test_who_reads_nothing_is_given_up_after_60_s(void **state) {
    (void)state;
    peer_asks_too_much();
    conn_output_taken_ms(conn);
    int64_t taken_ms = conn->taken_ms -= 5000; /* to ask for more does not buy time */
    peer_sends("GET /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_int_equal(conn->deadline.at_ms, taken_ms + STALL_MS);
    let_time_pass(STALL_MS - 5000);
    assert_true(loop_fixture_until(loop, is_gone, NULL));
}

static void test_who_reads_a_little_is_kept(void **state) {
    (void)state;
    peer_asks_too_much();
    conn->taken_ms -= STALL_MS;
    int64_t since_ms = loop_monotonic_ms(loop);
    char scratch[4096];
    for (size_t before = buf_used(&conn->out); buf_used(&conn->out) == before; loop_fixture_settle(loop)) {
        assert_true(recv(peer, scratch, sizeof(scratch), 0) > 0);
    }
    let_time_pass(1);
    assert_true(is_kept());
    assert_due(since_ms - 1, STALL_MS);
}

static void test_who_has_read_all_may_wait_75_s(void **state) {
    (void)state;
    peer_asks_too_much();
    int64_t since_ms = loop_monotonic_ms(loop);
    assert_true(loop_fixture_until(loop, peer_has_read_all, NULL));
    let_time_pass(STALL_MS);
    assert_true(is_kept());
    assert_due(since_ms, WAITING_MS - STALL_MS);
    let_time_pass(WAITING_MS - STALL_MS);
    assert_true(loop_fixture_until(loop, is_gone, NULL));
}

static void test_a_head_that_waits_for_its_end_behind_answers(void **state) {
    (void)state;
    peer_asks_too_much();
    assert_due_after("GET /nowhere HTTP/1.1\r\n", HEAD_MS);
    int64_t since_ms = loop_monotonic_ms(loop);
    let_time_pass(HEAD_MS); /* but it is the answers that are waited for */
    assert_true(is_kept());
    assert_due(since_ms, HEAD_MS);
    assert_true(loop_fixture_until(loop, peer_has_read_all, NULL));
    assert_due_after("X: y\r\n", HEAD_MS); /* now it is the head that is waited for */
    let_time_pass(HEAD_MS);
    assert_true(loop_fixture_until(loop, is_gone, NULL));
    assert_int_equal(stats.protocol_errors, 1); /* 408 */
}

static void test_a_head_that_begins_behind_a_request(void **state) {
    (void)state;
    peer_sends("GET /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n");
    /* The answer is written in the same turn. */
    assert_due_after("GET /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\nGET /nowhere HTTP/1.1\r\n", HEAD_MS);
    let_time_pass(HEAD_MS);
    assert_true(loop_fixture_until(loop, is_gone, NULL));
    assert_int_equal(stats.protocol_errors, 1); /* 408 */
}

/* A body, and a head, that come slowly have as much time as they need: every 1 KB buys 10 s. */
static void test_slow_progress_is_progress(void **state) {
    (void)state;
    static const char *const begins[] = {
        "GET /nowhere?",
        "GET /health HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nfff0\r\n",
    };
    char some[1024];
    memset(some, 'x', sizeof(some));
    some[sizeof(some) - 1] = '\0';
    for (size_t i = 0; i < sizeof(begins) / sizeof(begins[0]); i++) {
        if (i > 0) {
            void *unused;
            assert_int_equal(teardown(&unused) + setup(&unused), 0);
        }
        assert_due_after(begins[i], HEAD_MS);
        for (int rounds = 0; rounds < 3; rounds++) {
            int64_t until_ms = loop_monotonic_ms(loop) + 5000; /* as if 5 s had passed */
            net_set_deadline(conn, until_ms);
            peer_sends(some);
            assert_int_equal(conn->deadline.at_ms, until_ms);
            assert_due_after("y", HEAD_MS);
        }
        net_set_deadline(conn, loop_monotonic_ms(loop) + 1); /* and a stalled one has not */
        assert_true(loop_fixture_until(loop, is_gone, NULL));
        assert_int_equal(stats.protocol_errors, 1); /* 408 */
    }
}

#define SESSION_TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        SESSION_TEST(test_who_reads_nothing_is_given_up_after_60_s),
        SESSION_TEST(test_who_reads_a_little_is_kept),
        SESSION_TEST(test_who_has_read_all_may_wait_75_s),
        SESSION_TEST(test_a_head_that_waits_for_its_end_behind_answers),
        SESSION_TEST(test_a_head_that_begins_behind_a_request),
        SESSION_TEST(test_slow_progress_is_progress),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
