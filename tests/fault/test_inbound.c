/* The replication port while memory fails: the test is the leader, and speaks to the node through a socket.
 * What is acknowledged is there, and a state that is given has all keys, or the connection is closed. */
#include "server/net/loop.h"
#include "tests/fault/state_fixture.h"

#include <errno.h>
#include <ev.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

enum { INDEX = 500, MOST_LINKS = 30, HISTORY_ID = 77 };

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
    bool packs;               /* it offers compression, and its lines go so */
    struct datagram announce; /* the leader's */
    struct buf received;
} port;

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
    port.loop = loop_create();
    port.net = net_create(port.loop);
    port.history = history_create(0, 1 << 16);
    port.keyspace = keyspace_create(port.loop, port.history, 0);
    port.membership = membership_create(&self, 1);
    port.log = (struct log){.level = LOG_ERROR, .fd = STDERR_FILENO};
    port.replication = state_replication(port.net, port.history, port.keyspace, port.membership, &port.log);
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

static bool heard(const char *text) { return text_is_in(&port.received, text); }

/* Until the answer is heard; false: the connection is closed. */
static bool say(struct buf *lines, const char *answer) {
    struct slice left = buf_slice(lines);
    for (int turns = 0; !port.closed && !heard(answer); turns++) {
        ssize_t n = left.len == 0 ? 0 : send(port.fd, left.ptr, left.len, MSG_NOSIGNAL);
        left = slice_skip(left, n > 0 ? (size_t)n : 0);
        turn();
        answer_who();
        hear();
        fault_be_patient(turns);
        if (turns == FAULT_MOST_TURNS) {
            fault_fail("\"%s\" is not answered", answer);
        }
    }
    buf_deinit(lines);
    return heard(answer);
}

static void begin_packing(void) {
    begin();
    port.packs = true;
    port.replication->config.lz4 = port.replication->follower.takes_lz4 = true;
}

/* In the words of a link that is compressed. */
static bool say_packed(struct buf *lines, const char *answer) {
    struct link_packer packer = {0};
    struct buf packed;
    buf_init(&packed, SIZE_MAX);
    assert_true(link_pack(&packer, buf_slice(lines), &packed));
    link_packer_deinit(&packer);
    buf_deinit(lines);
    return say(&packed, answer);
}

static bool greet(void) {
    struct buf lines;
    dial();
    buf_init(&lines, SIZE_MAX);
    line_lead(&lines, "leader", 0, HISTORY_ID, INDEX, NULL, port.packs);
    return say(&lines, port.packs ? "|lz4\n" : "SYNC|");
}

static bool give_state(void) {
    struct buf lines;
    buf_init(&lines, SIZE_MAX);
    state_write(&lines, HISTORY_ID, INDEX);
    line_ping(&lines, INDEX);
    return port.packs ? say_packed(&lines, "ACK|500\n") : say(&lines, "ACK|500\n");
}

static void check_keys(void) {
    for (size_t i = 0; i < KEYS; i++) {
        struct key key = keyspace_key(port.keyspace, name_of(i));
        const struct entry *entry = keyspace_find(port.keyspace, &key, KEYSPACE_QUIETLY);
        if (entry == NULL || entry_value(entry).len != value_of(i).len) {
            fault_fail("the state was acknowledged, and key %zu is not there", i);
        }
    }
}

static void a_state_is_given_to(void (*begin_port)(void)) {
    begin_port();
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

static void a_state_is_given(void) { a_state_is_given_to(begin); }

static void a_packed_state_is_given(void) { a_state_is_given_to(begin_packing); }

static bool take_state(void) {
    struct buf lines;
    buf_init(&lines, SIZE_MAX);
    line_pull(&lines, 0, 0, NULL);
    return say(&lines, "END|");
}

static void a_state_is_asked_for(void) {
    begin();
    state_store(port.keyspace);
    history_restart(port.history, HISTORY_ID - 1, KEYS, NULL);
    follower_follow(&port.replication->follower);
    bool done = false;
    for (int links = 0; !done; links++) {
        done = greet() && take_state();
        if (done) {
            state_check_lines(&port.received);
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

static void test_a_packed_state_is_given(void **state) {
    (void)state;
    fault_each(a_packed_state_is_given);
}

static void test_a_state_is_asked_for(void **state) {
    (void)state;
    fault_each(a_state_is_asked_for);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_state_is_given),
        cmocka_unit_test(test_a_packed_state_is_given),
        cmocka_unit_test(test_a_state_is_asked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
