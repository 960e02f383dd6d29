/* What clients may take of the node's memory: soft limits of output, and maxmemory-clients. */
#include "tests/unit/resp_clients.h"

enum { PIECE = 100000 };

/* An unfinished command: so much of it waits. */
static void sends_part_of_a_command(size_t pieces) {
    struct buf part;
    buf_init(&part, SIZE_MAX);
    memset(buf_reserve(&part, PIECE), 'v', PIECE);
    buf_commit(&part, PIECE);
    send_bytes(SLICE("*2\r\n$4\r\nECHO\r\n$50000000\r\n"));
    for (size_t i = 0; i < pieces; i++) {
        for (size_t sent = 0; sent < PIECE;) { /* the node may have closed it */
            ssize_t n = send(node.client, buf_slice(&part).ptr + sent, PIECE - sent, MSG_NOSIGNAL);
            if (n < 0 && errno != EAGAIN) {
                buf_deinit(&part);
                return;
            }
            sent += n > 0 ? (size_t)n : 0;
            turn();
        }
    }
    buf_deinit(&part);
}

/* Turns the loop until so many clients are left, for at most 5 s. */
static void wait_for_clients(size_t count) {
    for (int64_t until_ms = now_ms() + 5000; node.stats.resp_clients != count && now_ms() < until_ms;) {
        turn();
    }
    assert_int_equal(node.stats.resp_clients, count);
}

static void leaves_closed(char who) {
    turn_to(who);
    expect_closed();
    buf_reset(&node.received);
    leaves(who);
}

static void test_messages_over_the_soft_limit(void **state) {
    (void)state;
    says('b', "CONFIG SET client-output-buffer-limit \"pubsub 64mb 200kb 1\"", "+OK\r\n");
    says('b', "SETRANGE big 99999 x", ":100000\r\n");
    says('c', "SUBSCRIBE c", "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n");
    struct buf publish;
    buf_init(&publish, SIZE_MAX);
    buf_printf(&publish, "*3\r\n$7\r\nPUBLISH\r\n$1\r\nc\r\n$%d\r\n", PIECE);
    memset(buf_reserve(&publish, PIECE), 'x', PIECE);
    buf_commit(&publish, PIECE);
    buf_append_text(&publish, "\r\n");
    turn_to('b');
    for (int i = 0; i < 10; i++) {
        send_bytes(buf_slice(&publish));
        expect_bytes(SLICE(":1\r\n"));
    }
    buf_deinit(&publish);
    int64_t begin_ms = now_ms();
    pass_ms(300);
    check("PUBSUB NUMSUB c", "*2\r\n$1\r\nc\r\n:1\r\n");
    turn_to('c');
    wait_for_clients(2); /* a, b */
    assert_in_range(now_ms() - begin_ms, 900, 4000);
    leaves_closed('c');
}

static void asks_for_a_lot(void) {
    for (int i = 0; i < 20; i++) {
        send_bytes(SLICE("GET big\r\n"));
    }
}

static void test_replies_over_the_soft_limit(void **state) {
    (void)state;
    says('b', "CONFIG SET client-output-buffer-limit \"normal 0 300kb 1\"", "+OK\r\n");
    says('b', "SETRANGE big 59999 x", ":60000\r\n");
    turn_to('c');
    asks_for_a_lot();
    int64_t begin_ms = now_ms();
    wait_for_clients(2);
    assert_in_range(now_ms() - begin_ms, 900, 4000);
    leaves_closed('c');
}

/* Who takes its replies in the meantime starts anew. */
static void test_the_seconds_are_on_end(void **state) {
    (void)state;
    says('b', "CONFIG SET client-output-buffer-limit \"normal 0 300kb 1\"", "+OK\r\n");
    says('b', "SETRANGE big 59999 x", ":60000\r\n");
    turn_to('c');
    for (int i = 0; i < 3; i++) {
        asks_for_a_lot();
        pass_ms(700);
        receive_bytes(20 * (60000 + 10));
        assert_int_equal(buf_used(&node.received), 20 * (60000 + 10));
        buf_reset(&node.received);
        pass_ms(250);
    }
    check("PING", "+PONG\r\n");
}

static void test_the_largest_client_goes(void **state) {
    (void)state;
    says('b', "CONFIG SET maxmemory-clients 1mb", "+OK\r\n");
    turn_to('c');
    sends_part_of_a_command(5);
    turn_to('d');
    sends_part_of_a_command(7);
    wait_for_clients(3);
    leaves_closed('d');
    assert_int_equal(node.stats.evicted_clients, 1);
    says('b', "PING", "+PONG\r\n");
}

static void test_a_part_of_maxmemory(void **state) {
    (void)state;
    says('b', "CONFIG SET maxmemory 10mb maxmemory-clients 5%", "+OK\r\n");
    turn_to('c');
    sends_part_of_a_command(4);
    wait_for_clients(3);
    sends_part_of_a_command(4);
    wait_for_clients(2);
    leaves_closed('c');
}

static void test_no_evict(void **state) {
    (void)state;
    says('b', "CONFIG SET maxmemory-clients 1mb\r\nCLIENT NO-EVICT ON", "+OK\r\n+OK\r\n");
    says('a', "CLIENT NO-EVICT ON", "+OK\r\n");
    says('c', "CLIENT NO-EVICT ON", "+OK\r\n");
    sends_part_of_a_command(20);
    pass_ms(300);
    assert_int_equal(node.stats.resp_clients, 3);
    assert_int_equal(node.stats.evicted_clients, 0);
}

/* Those that may not be closed leave room for new ones with next to nothing, but for no more. */
static void test_no_evict_and_others(void **state) {
    (void)state;
    says('b', "CONFIG SET maxmemory-clients 1mb", "+OK\r\n");
    says('c', "CLIENT NO-EVICT ON", "+OK\r\n");
    sends_part_of_a_command(20);
    says('d', "PING", "+PONG\r\n");
    pass_ms(300);
    says('b', "PING", "+PONG\r\n");
    assert_int_equal(node.stats.evicted_clients, 0);
    turn_to('d');
    sends_part_of_a_command(1);
    wait_for_clients(3);
    leaves_closed('d');
}

/* All that is too much goes at once, although nobody says a word meanwhile. */
static void test_many_go(void **state) {
    (void)state;
    enum { MANY = 200, EACH_BYTES = 10000, STAY_AT_MOST = 14 };
    int many[MANY];
    char part[EACH_BYTES] = "ECHO ";
    memset(part + 5, 'v', sizeof(part) - 5);
    for (size_t i = 0; i < MANY; i++) {
        connect_client();
        many[i] = node.client;
        send_bytes(slice_of(part, sizeof(part)));
        turn();
    }
    says('a', "CONFIG SET maxmemory-clients 128kb", "+OK\r\n");
    int64_t begin_ms = now_ms();
    while (node.stats.resp_clients > STAY_AT_MOST && now_ms() < begin_ms + 5000) {
        turn();
    }
    assert_in_range(now_ms() - begin_ms, 0, 1000);
    pass_ms(300);
    assert_in_range(node.stats.resp_clients, STAY_AT_MOST - 2, STAY_AT_MOST);
    says('a', "PING", "+PONG\r\n");
    for (size_t i = 0; i < MANY; i++) {
        close(many[i]);
    }
}

/* The queue of a transaction, and replies that are not taken, count. */
static void test_what_counts(void **state) {
    (void)state;
    says('b', "CONFIG SET maxmemory-clients 500kb\r\nSETRANGE big 59999 x", "+OK\r\n:60000\r\n");
    turn_to('c');
    check("MULTI", "+OK\r\n");
    struct buf line;
    buf_init(&line, SIZE_MAX);
    buf_append_text(&line, "ECHO ");
    memset(buf_reserve(&line, 50000), 'x', 50000);
    buf_commit(&line, 50000);
    buf_append_text(&line, "\r\n");
    for (int i = 0; i < 30; i++) {
        (void)!send(node.client, buf_slice(&line).ptr, buf_used(&line), MSG_NOSIGNAL);
        turn();
        turn();
    }
    buf_deinit(&line);
    wait_for_clients(2);
    leaves_closed('c');
    turn_to('d');
    for (int i = 0; i < 60; i++) {
        send_bytes(SLICE("GET big\r\n"));
    }
    wait_for_clients(2);
    leaves_closed('d');
    assert_int_equal(node.stats.evicted_clients, 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        client_test(test_messages_over_the_soft_limit),
        client_test(test_replies_over_the_soft_limit),
        client_test(test_the_seconds_are_on_end),
        client_test(test_the_largest_client_goes),
        client_test(test_a_part_of_maxmemory),
        client_test(test_no_evict),
        client_test(test_no_evict_and_others),
        client_test(test_many_go),
        client_test(test_what_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
