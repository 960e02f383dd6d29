#include "server/net/listener.h"

#include "server/net/socket.h"
#include "tests/unit/loop_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum { MANY = 200 }; /* more than a round */

static const char refusal[] = "-ERR max number of clients reached\r\n";

static struct loop *loop;
static struct net *net;
static struct listener *listener;
static uint16_t port;
static size_t clients;
static int64_t max_clients;
static int accepted[MANY]; /* what on_accept was given */
static int dialled[MANY];
static size_t dialled_count;

static void on_accept(void *context, int fd) {
    assert_ptr_equal(context, &clients);
    accepted[clients++] = fd;
}

/* A port that is free now: the system names one, and nobody else is given it for a while. */
static uint16_t free_port(void) {
    const char *reason;
    char text[64];
    int fd = socket_listen("127.0.0.1", 0, &reason);
    assert_true(fd >= 0 && socket_local_text(fd, text, sizeof(text)));
    close(fd);
    return (uint16_t)atoi(strrchr(text, ':') + 1);
}

static int setup(void **state) {
    (void)state;
    clients = dialled_count = 0;
    max_clients = MANY;
    loop = loop_create();
    net = net_create(loop);
    listener = NULL;
    for (int attempt = 0; attempt < 10 && listener == NULL; attempt++) {
        port = free_port();
        const struct listener_config config = {
            .hosts = "127.0.0.1",
            .port = port,
            .refusal = refusal,
            .clients = &clients,
            .max_clients = &max_clients,
            .on_accept = on_accept,
            .context = &clients,
        };
        const char *reason;
        listener = listener_create(net, &config, &reason);
    }
    return listener == NULL ? -1 : 0;
}

static int teardown(void **state) {
    (void)state;
    listener_destroy(&listener);
    net_destroy(&net);
    loop_destroy(&loop);
    for (size_t i = 0; i < clients; i++) {
        close(accepted[i]);
    }
    for (size_t i = 0; i < dialled_count; i++) {
        close(dialled[i]);
    }
    return listener == NULL ? 0 : -1;
}

static int dial(void) {
    int fd = socket_connect("127.0.0.1", port);
    assert_true(fd >= 0);
    dialled[dialled_count++] = fd;
    return fd;
}

static bool all_accepted(void *context) { return clients >= *(const size_t *)context; }

static void assert_accepted(size_t n) {
    assert_true(loop_fixture_until(loop, all_accepted, &n));
    assert_int_equal(clients, n);
}

/* What the dialled end reads until the end of stream. */
struct reading {
    int fd;
    size_t n;
    char text[256];
};

static bool at_end(void *context) {
    struct reading *reading = context;
    ssize_t n =
        recv(reading->fd, reading->text + reading->n, sizeof(reading->text) - 1 - reading->n, MSG_DONTWAIT);
    if (n > 0) {
        reading->n += (size_t)n;
    }
    assert_true(n >= 0 || errno == EAGAIN || errno == EINPROGRESS);
    return n == 0;
}

static void assert_refused(int fd) {
    struct reading reading = {.fd = fd};
    assert_true(loop_fixture_until(loop, at_end, &reading));
    assert_string_equal(reading.text, refusal);
}

static void test_accepts_many(void **state) {
    (void)state;
    for (int i = 0; i < MANY; i++) {
        dial();
    }
    assert_accepted(MANY);
    assert_true((fcntl(accepted[0], F_GETFL) & O_NONBLOCK) != 0);
    assert_true((fcntl(accepted[0], F_GETFD) & FD_CLOEXEC) != 0);
    int nodelay = 0;
    socklen_t length = sizeof(nodelay);
    assert_int_equal(getsockopt(accepted[0], IPPROTO_TCP, TCP_NODELAY, &nodelay, &length), 0);
    assert_int_not_equal(nodelay, 0);
    assert_int_equal(net_stats(net)->refused, 0);
}

static void test_refuses_over_the_limit(void **state) {
    (void)state;
    max_clients = 2;
    dial();
    dial();
    assert_accepted(2);
    for (int i = 0; i < 3; i++) {
        int fd = dial();
        struct sockaddr_storage address;
        socklen_t length = sizeof(address);
        if (getpeername(fd, (struct sockaddr *)&address, &length) == 0) {
            /* What the client says first must not make its end a reset. */
            assert_int_equal(send(fd, "PING\r\n", 6, MSG_NOSIGNAL), 6);
        }
        assert_refused(fd);
    }
    assert_int_equal(clients, 2);
    assert_int_equal(net_stats(net)->refused, 3);
    close(accepted[--clients]); /* one leaves */
    dial();
    assert_accepted(2);
}

/* The lowest limit with which no descriptor can be opened any more. */
static rlim_t descriptors_in_use(void) {
    int lowest_free = open("/dev/null", O_RDONLY);
    assert_true(lowest_free >= 0);
    close(lowest_free);
    return (rlim_t)lowest_free;
}

static void test_refuses_without_descriptors(void **state) {
    (void)state;
    dial();
    assert_accepted(1);
    int fds[3];
    for (int i = 0; i < 3; i++) {
        fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        assert_true(fds[i] >= 0);
        dialled[dialled_count++] = fds[i];
    }
    struct rlimit before;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    struct rlimit none_left = {.rlim_cur = descriptors_in_use(), .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none_left), 0);
    assert_int_equal(open("/dev/null", O_RDONLY), -1);
    assert_int_equal(errno, EMFILE);

    struct sockaddr_storage address;
    socklen_t length;
    assert_true(socket_address("127.0.0.1", port, &address, &length));
    for (int i = 0; i < 3; i++) {
        int rc = connect(fds[i], (const struct sockaddr *)&address, length);
        assert_true(rc == 0 || errno == EINPROGRESS);
    }
    for (int i = 0; i < 3; i++) {
        assert_refused(fds[i]);
    }
    assert_int_equal(net_stats(net)->refused, 3);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    dial(); /* and now it is all right again */
    assert_accepted(2);
}

static void test_port_in_use(void **state) {
    (void)state;
    const struct listener_config config = {.hosts = "127.0.0.1", .port = port, .on_accept = on_accept};
    const char *reason = NULL;
    char expected[64];
    snprintf(expected, sizeof(expected), "port %u is in use on 127.0.0.1", port);
    assert_null(listener_create(net, &config, &reason));
    assert_string_equal(reason, expected);
}

static bool can_dial(const char *host) {
    int fd = socket_connect(host, port);
    int error = fd < 0 ? errno : 0;
    socklen_t length = sizeof(error);
    if (fd >= 0) {
        loop_fixture_settle(loop);
        assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length), 0);
        dialled[dialled_count++] = fd;
    }
    return error == 0;
}

static void test_several_addresses(void **state) {
    (void)state;
    listener_destroy(&listener);
    struct listener_config config = {.hosts = "127.0.0.1,127.0.0.2 -198.51.100.77",
                                     .port = port,
                                     .on_accept = on_accept,
                                     .context = &clients};
    const char *reason = NULL;
    listener = listener_create(net, &config, &reason);
    assert_non_null(listener);
    assert_true(can_dial("127.0.0.1") && can_dial("127.0.0.2"));
    assert_false(can_dial("127.0.0.3"));
    assert_accepted(2);
    listener_destroy(&listener);
    assert_false(can_dial("127.0.0.2"));

    /* What is not there is an error where it has to be, and then nothing is bound. */
    config.hosts = "127.0.0.1,198.51.100.77";
    assert_null(listener_create(net, &config, &reason));
    assert_string_equal(reason, "198.51.100.77 is not an address of this machine");
    config.hosts = "-198.51.100.77";
    assert_null(listener_create(net, &config, &reason));
    config.hosts = "127.0.0.1";
    listener = listener_create(net, &config, &reason);
    assert_non_null(listener);
    /* A port that is taken is no absence. */
    config.hosts = "-127.0.0.1,127.0.0.2";
    assert_null(listener_create(net, &config, &reason));
}

static void test_destroyed_listener_refuses_at_once(void **state) {
    (void)state;
    listener_destroy(&listener);
    listener_destroy(&listener); /* nothing */
    int fd = socket_connect("127.0.0.1", port);
    int error = errno;
    if (fd >= 0) {
        socklen_t length = sizeof(error);
        loop_fixture_settle(loop);
        assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length), 0);
        close(fd);
    }
    assert_int_equal(error, ECONNREFUSED);
}

#define LISTENER_TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        LISTENER_TEST(test_accepts_many),
        LISTENER_TEST(test_refuses_over_the_limit),
        LISTENER_TEST(test_refuses_without_descriptors),
        LISTENER_TEST(test_port_in_use),
        LISTENER_TEST(test_several_addresses),
        LISTENER_TEST(test_destroyed_listener_refuses_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
