/* The replication port while memory fails: the test is the leader, and speaks to the node through a socket.
 * What is acknowledged is there, and a state that is given has all keys, or the connection is closed. */
#include "server/net/loop.h"
#include "server/peers/replication_internal.h"
#include "server/store/keyspace.h"
#include "tests/fault/failing_heap.h"

#include <errno.h>
#include <ev.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { KEYS = 60, VALUE_BYTES = 3000, INDEX = 500, MOST_TURNS = 5000, MOST_LINKS = 30, HISTORY_ID = 77 };

static struct {
    struct loop *loop;
    struct net *net;
    struct history *history;
    struct keyspace *keyspace;
    struct membership *membership;
    struct log log;
    struct replication *replication;
    int fd;        /* the leader's end */
    int listening; /* where the leader is asked WHO */
    int asking;    /* -1: nobody is */
    bool closed;
    struct datagram announce; /* the leader's */
    struct buf received;
} port;

static char value_bytes[VALUE_BYTES];

static void on_role(void *context, enum replication_role role) {
    (void)context;
    (void)role;
}

static void on_state(void *context, bool has_state) {
    (void)context;
    (void)has_state;
}

static void on_leader(void *context) { (void)context; }

/* The leader is known, and its port is open. */
static void announce_leader(struct datagram *announce) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(address);
    port.asking = -1;
    port.listening = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(port.listening, (struct sockaddr *)&address, n), 0);
    assert_int_equal(listen(port.listening, 16), 0);
    assert_int_equal(getsockname(port.listening, (struct sockaddr *)&address, &n), 0);
    *announce = (struct datagram){.verb = DATAGRAM_ANNOUNCE,
                                  .node_id = "leader",
                                  .host = "127.0.0.1",
                                  .port = ntohs(address.sin_port),
                                  .leader = true};
    membership_hear(port.membership, announce, 0);
}

/* It is asked nothing else. */
static void answer_who(void) {
    char text[LIMIT_DATAGRAM_BYTES + 1];
    if (port.asking < 0) {
        port.asking = accept(port.listening, NULL, NULL);
    }
    if (port.asking >= 0 && recv(port.asking, text, sizeof(text), MSG_DONTWAIT) >= 0) {
        size_t n = datagram_encode(&port.announce, text);
        text[n++] = '\n';
        send(port.asking, text, n, MSG_NOSIGNAL);
        close(port.asking);
        port.asking = -1;
    }
}

static void begin(void) {
    struct member self = {
        .id = "follower", .host = "127.0.0.1", .self = true, .alive = true, .has_endpoints = true};
    memset(&port, 0, sizeof(port));
    memset(value_bytes, 'v', sizeof(value_bytes));
    port.loop = loop_create();
    port.net = net_create(port.loop);
    port.history = history_create(0, 1 << 16);
    port.keyspace = keyspace_create(port.loop, port.history, 0);
    port.membership = membership_create(&self, 1);
    port.log = (struct log){.level = LOG_ERROR, .fd = STDERR_FILENO};
    struct replication_config config = {.net = port.net,
                                        .history = port.history,
                                        .keyspace = port.keyspace,
                                        .membership = port.membership,
                                        .log = &port.log,
                                        .bind_hosts = "127.0.0.1",
                                        .max_accepted = 4,
                                        .on_role = on_role,
                                        .on_state = on_state,
                                        .on_leader = on_leader};
    const char *reason = "";
    port.replication = replication_create(&config, &reason);
    assert_non_null(port.replication);
    buf_init(&port.received, SIZE_MAX);
    announce_leader(&port.announce);
}

static void end(void) {
    close(port.listening);
    if (port.asking >= 0) {
        close(port.asking);
    }
    replication_destroy(&port.replication);
    net_destroy(&port.net);
    keyspace_destroy(&port.keyspace);
    membership_destroy(&port.membership);
    history_destroy(&port.history);
    loop_destroy(&port.loop);
    buf_deinit(&port.received);
}

static void turn(void) {
    fault_arm();
    ev_run(loop_ev(port.loop), EVRUN_NOWAIT);
    fault_disarm();
}

static void dial(void) {
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
    port.fd = ends[0];
    port.closed = false;
    buf_reset(&port.received);
    fault_arm();
    inbound_accept(port.replication, ends[1]);
    fault_disarm();
}

static void hang_up(void) {
    close(port.fd);
    for (int i = 0; i < 4; i++) {
        turn();
    }
}

static void hear(void) {
    ssize_t n = 1;
    while (!port.closed && n > 0) {
        n = recv(port.fd, buf_reserve(&port.received, 65536), 65536, 0);
        if (n > 0) {
            buf_commit(&port.received, (size_t)n);
        }
        port.closed = n == 0 || (n < 0 && errno != EAGAIN);
    }
}

static bool heard(const char *text) {
    buf_append_byte(&port.received, '\0');
    buf_truncate(&port.received, buf_used(&port.received) - 1);
    return strstr(buf_slice(&port.received).ptr, text) != NULL;
}

/* Until the answer is heard; false: the connection is closed. */
static bool say(struct buf *lines, const char *answer) {
    struct slice left = buf_slice(lines);
    for (int turns = 0; !port.closed && !heard(answer); turns++) {
        ssize_t n = left.len == 0 ? 0 : send(port.fd, left.ptr, left.len, MSG_NOSIGNAL);
        left = slice_skip(left, n > 0 ? (size_t)n : 0);
        turn();
        answer_who();
        hear();
        if (turns == MOST_TURNS) {
            fault_fail("\"%s\" is not answered", answer);
        }
    }
    buf_deinit(lines);
    return heard(answer);
}

static struct slice name_of(size_t i) {
    static char name[16];
    snprintf(name, sizeof(name), "key%zu", i);
    return slice_from_text(name);
}

static size_t length_of(size_t i) { return i * (VALUE_BYTES / KEYS); }

static bool greet(void) {
    struct buf lines;
    dial();
    buf_init(&lines, SIZE_MAX);
    line_lead(&lines, "leader", 0, HISTORY_ID, INDEX);
    return say(&lines, "SYNC|");
}

static bool give_state(void) {
    struct buf lines;
    buf_init(&lines, SIZE_MAX);
    line_full(&lines, HISTORY_ID, INDEX, 0, NULL);
    for (size_t i = 0; i < KEYS; i++) {
        line_replicate_x(&lines, name_of(i), slice_of(value_bytes, length_of(i)), 1, 1000, 0);
    }
    line_end(&lines, KEYS, INDEX);
    line_ping(&lines, INDEX);
    return say(&lines, "ACK|500\n");
}

static void check_keys(void) {
    for (size_t i = 0; i < KEYS; i++) {
        struct key key = keyspace_key(port.keyspace, name_of(i));
        const struct entry *entry = keyspace_find(port.keyspace, &key, KEYSPACE_QUIETLY);
        if (entry == NULL || entry_value(entry).len != length_of(i)) {
            fault_fail("the state was acknowledged, and key %zu is not there", i);
        }
    }
}

static void a_state_is_given(void) {
    begin();
    bool done = false;
    for (int links = 0; !done; links++) {
        done = greet() && give_state();
        if (done) {
            check_keys();
        }
        hang_up();
        if (links == MOST_LINKS) {
            fault_fail("no state is ever taken");
        }
    }
    end();
}

static bool take_state(void) {
    struct buf lines;
    buf_init(&lines, SIZE_MAX);
    line_pull(&lines);
    return say(&lines, "END|");
}

static void check_state(void) {
    for (size_t i = 0; i < KEYS; i++) {
        char head[32];
        struct slice name = name_of(i);
        snprintf(head, sizeof(head), "X|%.*s|", (int)name.len, name.ptr);
        if (!heard(head)) {
            fault_fail("the state has ended without key %zu", i);
        }
    }
}

static void a_state_is_asked_for(void) {
    begin();
    for (size_t i = 0; i < KEYS; i++) {
        struct key key = keyspace_key(port.keyspace, name_of(i));
        struct keyspace_set set = {.value = slice_of(value_bytes, length_of(i))};
        assert_int_equal(keyspace_set(port.keyspace, &key, &set, NULL), ERR_NONE);
    }
    history_restart(port.history, HISTORY_ID - 1, KEYS);
    follower_follow(&port.replication->follower);
    bool done = false;
    for (int links = 0; !done; links++) {
        done = greet() && take_state();
        if (done) {
            check_state();
        }
        hang_up();
        if (links == MOST_LINKS) {
            fault_fail("no state is ever given");
        }
    }
    end();
}

static void test_a_state_is_given(void **state) {
    (void)state;
    fault_each(a_state_is_given);
}

static void test_a_state_is_asked_for(void **state) {
    (void)state;
    fault_each(a_state_is_asked_for);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_state_is_given),
        cmocka_unit_test(test_a_state_is_asked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
