#include "server/net/socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { WAIT_MS = 5000 };

static uint16_t port_of(int fd) {
    char text[64];
    assert_true(socket_local_text(fd, text, sizeof(text)));
    return (uint16_t)atoi(strrchr(text, ':') + 1);
}

static void wait_for(int fd, short events) {
    struct pollfd one = {.fd = fd, .events = events};
    assert_int_equal(poll(&one, 1, WAIT_MS), 1);
}

static void test_address(void **state) {
    (void)state;
    struct sockaddr_storage address;
    socklen_t length;
    assert_true(socket_address("127.0.0.1", 8000, &address, &length));
    assert_int_equal(address.ss_family, AF_INET);
    assert_int_equal(length, sizeof(struct sockaddr_in));
    assert_int_equal(ntohs(((struct sockaddr_in *)&address)->sin_port), 8000);
    assert_true(socket_address("::1", 1, &address, &length));
    assert_int_equal(address.ss_family, AF_INET6);
    assert_int_equal(length, sizeof(struct sockaddr_in6));
    static const char *const bad[] = {"",          "localhost",    "127.1", "1.2.3.4.5",
                                      "256.0.0.1", "127.0.0.1:80", "[::1]"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_false(socket_address(bad[i], 1, &address, &length));
    }
}

static void test_resolve_host(void **state) {
    (void)state;
    char host[LIMIT_HOST_BYTES + 1];
    assert_true(socket_resolve_host("10.1.2.3", host));
    assert_string_equal(host, "10.1.2.3");
    assert_true(socket_resolve_host("0:0:0:0:0:0:0:1", host));
    assert_string_equal(host, "::1");
    assert_true(socket_resolve_host("localhost", host));
    assert_string_equal(host, "127.0.0.1");
    assert_true(socket_resolve_host("lo", host)); /* an interface */
    assert_string_equal(host, "127.0.0.1");
    assert_false(socket_resolve_host("no such host", host));
}

static void test_broadcast_of(void **state) {
    (void)state;
    char broadcast[LIMIT_HOST_BYTES + 1];
    assert_true(socket_broadcast_of("127.0.0.1", broadcast));
    assert_string_equal(broadcast, "127.255.255.255");
    assert_true(socket_broadcast_of("127.0.0.9", broadcast));
    assert_string_equal(broadcast, "127.255.255.255");
    assert_false(socket_broadcast_of("192.0.2.77", broadcast)); /* TEST-NET: nobody has it */
    assert_false(socket_broadcast_of("::1", broadcast));
    assert_false(socket_broadcast_of("localhost", broadcast));
}

static void test_listen_and_connect(void **state) {
    (void)state;
    const char *reason = NULL;
    int listening = socket_listen("127.0.0.1", 0, &reason);
    assert_true(listening >= 0);
    uint16_t port = port_of(listening);
    int client = socket_connect("127.0.0.1", port);
    assert_true(client >= 0);
    assert_true((fcntl(client, F_GETFL) & O_NONBLOCK) != 0);
    assert_true((fcntl(client, F_GETFD) & FD_CLOEXEC) != 0);
    int nodelay = 0;
    socklen_t length = sizeof(nodelay);
    assert_int_equal(getsockopt(client, IPPROTO_TCP, TCP_NODELAY, &nodelay, &length), 0);
    assert_int_not_equal(nodelay, 0);

    wait_for(listening, POLLIN);
    int accepted = accept(listening, NULL, NULL);
    assert_true(accepted >= 0);
    char near_end[64], far_end[64];
    assert_true(socket_peer_text(accepted, far_end, sizeof(far_end)));
    assert_true(socket_local_text(client, near_end, sizeof(near_end)));
    assert_string_equal(near_end, far_end);
    assert_false(socket_peer_text(accepted, far_end, 5));
    assert_false(socket_peer_text(listening, far_end, sizeof(far_end)));

    char expected[64];
    snprintf(expected, sizeof(expected), "port %u is in use on 127.0.0.1", port);
    assert_int_equal(socket_listen("127.0.0.1", port, &reason), -1);
    assert_string_equal(reason, expected);
    close(accepted);
    close(client);
    close(listening);
}

static void test_v6_text(void **state) {
    (void)state;
    const char *reason = NULL;
    int listening = socket_listen("::1", 0, &reason);
    if (listening < 0) {
        print_message("skipped, no IPv6 here: %s\n", reason);
        skip();
    }
    char text[64], expected[64];
    assert_true(socket_local_text(listening, text, sizeof(text)));
    snprintf(expected, sizeof(expected), "[::1]:%u", port_of(listening));
    assert_string_equal(text, expected);
    close(listening);
}

static void test_listen_errors(void **state) {
    (void)state;
    const char *reason = NULL;
    assert_int_equal(socket_listen("192.0.2.77", 0, &reason), -1);
    assert_string_equal(reason, "192.0.2.77 is not an address of this machine");
    assert_int_equal(socket_listen("localhost", 0, &reason), -1);
    assert_string_equal(reason, "localhost is not an address in numbers");
    assert_int_equal(socket_connect("localhost", 1), -1);
    assert_int_equal(errno, EINVAL);
}

/* Several nodes of a machine share the port, and each hears every broadcast, its own too. */
static void test_broadcast_reaches_all(void **state) {
    (void)state;
    const char *reason = NULL;
    int first = socket_broadcast("127.255.255.255", 0, &reason);
    assert_true(first >= 0);
    uint16_t port = port_of(first);
    int second = socket_broadcast("127.255.255.255", port, &reason);
    assert_true(second >= 0);

    struct sockaddr_storage to;
    socklen_t length;
    assert_true(socket_address("127.255.255.255", port, &to, &length));
    assert_int_equal(sendto(first, "hello", 5, 0, (struct sockaddr *)&to, length), 5);
    int both[] = {first, second};
    for (int i = 0; i < 2; i++) {
        char text[16];
        wait_for(both[i], POLLIN);
        assert_int_equal(recv(both[i], text, sizeof(text), 0), 5);
        assert_memory_equal(text, "hello", 5);
        close(both[i]);
    }
    assert_int_equal(socket_broadcast("localhost", 0, &reason), -1);
    assert_string_equal(reason, "localhost is not an address in numbers");
}

static void test_descriptor_limit(void **state) {
    (void)state;
    struct rlimit before;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    struct rlimit low = {.rlim_cur = 100, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    size_t besides;
    assert_int_equal(socket_share_descriptors(50, &besides), 50);
    assert_true(besides > 1000);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &low), 0);
    assert_int_equal(low.rlim_cur, 50 + besides);
    assert_int_equal(socket_share_descriptors(10, &besides), 10);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &low), 0);
    assert_int_equal(low.rlim_cur, 50 + besides); /* never lowered */
    if (before.rlim_max != RLIM_INFINITY) {
        assert_int_equal(socket_share_descriptors(before.rlim_max, &besides), before.rlim_max - besides);
    }
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
}

/* Where there are too few for both, clients and all else have half each. */
static void test_few_descriptors(void **state) {
    (void)state;
    pid_t child = fork(); /* a hard limit is not raised again */
    if (child == 0) {
        struct rlimit few = {.rlim_cur = 101, .rlim_max = 101};
        size_t besides;
        bool half = setrlimit(RLIMIT_NOFILE, &few) == 0 && socket_share_descriptors(10000, &besides) == 50 &&
                    besides == 51;
        _exit(half ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_address),
        cmocka_unit_test(test_resolve_host),
        cmocka_unit_test(test_broadcast_of),
        cmocka_unit_test(test_listen_and_connect),
        cmocka_unit_test(test_v6_text),
        cmocka_unit_test(test_listen_errors),
        cmocka_unit_test(test_broadcast_reaches_all),
        cmocka_unit_test(test_descriptor_limit),
        cmocka_unit_test(test_few_descriptors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
