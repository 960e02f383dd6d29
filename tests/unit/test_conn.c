#include "server/net/conn.h"

#include "server/net/conn_internal.h" /* for what an idle conn owns */
#include "server/net/socket.h"
#include "tests/unit/loop_fixture.h"

#include <errno.h>
#include <linux/sockios.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum { MAX_INPUT_BYTES = 32 << 20, REPLY_BYTES = 100000, NO_EVENT = -1 };

enum event { ON_INPUT, ON_ROOM, ON_END, ON_DEADLINE, ON_CONNECTED, ON_CLOSE, EVENT_COUNT };

/* A session whose behaviour is a function, and which records what happens to it. */
struct session {
    struct conn *conn;
    size_t (*consume)(struct session *self, struct slice in);
    int close_on; /* the event in which it calls conn_close; NO_EVENT: none */
    int calls[EVENT_COUNT];
    enum close_reason reason;
    struct buf got;    /* all that was consumed */
    size_t last_bytes; /* offered at the last on_input */
    size_t expected;
    struct conn_target target;
    bool inside; /* a callback is running: they never nest */
};

static struct loop *loop;
static struct net *net;
static struct session session;
static struct buf taken; /* what came to targets */
static int peer = -1;    /* the other end, blocking but for MSG_DONTWAIT */
static char bulk[8 << 20];

static void enter(struct conn *conn, struct session *self, enum event event) {
    assert_ptr_equal(conn, self->conn);
    assert_false(self->inside);
    assert_int_equal(self->calls[ON_CLOSE], 0);
    self->calls[event]++;
    if (self->close_on == (int)event) {
        conn_close(conn, CLOSE_KILLED);
        conn_close(conn, CLOSE_TIMEOUT); /* nothing more */
    }
    self->inside = true;
}

static size_t on_input(struct conn *conn, void *context, struct slice in) {
    struct session *self = context;
    enter(conn, self, ON_INPUT);
    assert_true(buf_used(&conn->out) < CONN_OUT_HIGH_BYTES);
    assert_false(self->conn->paused);
    self->last_bytes = in.len;
    size_t n = self->consume(self, in);
    buf_append_slice(&self->got, slice_first(in, n));
    self->inside = false;
    return n;
}

static void on_room(struct conn *conn, void *context) {
    struct session *self = context;
    enter(conn, self, ON_ROOM);
    self->inside = false;
}

static void on_end(struct conn *conn, void *context) {
    struct session *self = context;
    enter(conn, self, ON_END);
    self->inside = false;
}

static void on_deadline(struct conn *conn, void *context) {
    struct session *self = context;
    enter(conn, self, ON_DEADLINE);
    self->inside = false;
}

static void on_connected(struct conn *conn, void *context) {
    struct session *self = context;
    enter(conn, self, ON_CONNECTED);
    self->inside = false;
}

/* May come in the middle of another callback, once. */
static void on_close(struct conn *conn, void *context, enum close_reason reason) {
    struct session *self = context;
    assert_int_equal(self->calls[ON_CLOSE], 0);
    self->calls[ON_CLOSE]++;
    self->reason = reason;
    assert_true(conn_closed(conn));
    assert_null(conn_find(conn_net(conn), conn_id(conn)));
    assert_non_null(conn_peer(conn));
    assert_non_null(conn_local(conn));
    conn_close(conn, CLOSE_PROTOCOL); /* nothing more */
    conn_drain(conn, CLOSE_PROTOCOL);
    conn_flush(conn);
    buf_append_text(conn_out(conn), "to nobody");
    assert_int_equal(conn_send_direct(conn, "x", 1), 0);
}

static const struct conn_handler full_handler = {.on_input = on_input,
                                                 .on_room = on_room,
                                                 .on_end = on_end,
                                                 .on_deadline = on_deadline,
                                                 .on_connected = on_connected,
                                                 .on_close = on_close};
static const struct conn_handler plain_handler = {.on_input = on_input, .on_close = on_close};

/* --- behaviours */

static size_t consume_all(struct session *self, struct slice in) {
    (void)self;
    return in.len;
}

static size_t consume_nothing(struct session *self, struct slice in) {
    (void)self;
    (void)in;
    return 0;
}

static size_t echo(struct session *self, struct slice in) {
    buf_append_slice(conn_out(self->conn), in);
    return in.len;
}

/* Whole lines, each answered by itself in brackets. */
static size_t answer_lines(struct session *self, struct slice in) {
    size_t used = 0;
    for (;;) {
        const char *lf = memchr(in.ptr + used, '\n', in.len - used);
        if (lf == NULL) {
            return used;
        }
        size_t end = (size_t)(lf - in.ptr);
        buf_append_byte(conn_out(self->conn), '[');
        buf_append(conn_out(self->conn), in.ptr + used, end - used);
        buf_append_byte(conn_out(self->conn), ']');
        used = end + 1;
    }
}

/* A byte a time, then it waits to be resumed. */
static size_t pause_after_one(struct session *self, struct slice in) {
    (void)in;
    conn_pause(self->conn);
    return 1;
}

/* Each byte is answered by REPLY_BYTES of it. */
static size_t answer_at_length(struct session *self, struct slice in) {
    size_t n = 0;
    while (n < in.len && !conn_out_full(self->conn)) {
        char *to = buf_reserve(conn_out(self->conn), REPLY_BYTES);
        assert_non_null(to);
        memset(to, in.ptr[n++], REPLY_BYTES);
        buf_commit(conn_out(self->conn), REPLY_BYTES);
    }
    return n;
}

/* One input of self->expected bytes, known from its first byte on. */
static size_t expect_bulk(struct session *self, struct slice in) {
    size_t sane = 2 * in.len + (1 << 20);
    assert_true(self->conn->in.capacity <= sane);
    if (in.len < self->expected) {
        conn_expect_input(self->conn, self->expected);
        return 0;
    }
    return self->expected;
}

/* Lines. Behind one that begins with "into" self->target.bytes of the input go to that; it is consumed, up to
 * its end, when they are there and a "." has come behind it. Another one is consumed at once. */
static size_t divert(struct session *self, struct slice in) {
    size_t used = 0;
    const char *end;
    while ((end = memchr(in.ptr + used, '\n', in.len - used)) != NULL) {
        size_t line = (size_t)(end - in.ptr) - used + 1;
        struct slice behind = slice_skip(in, used + line);
        if (memcmp(in.ptr + used, "into", 4) != 0) {
            used += line;
        } else if (self->target.to == NULL) {
            self->target.to = malloc(self->target.bytes);
            self->target.filled = behind.len;
            assert_true(behind.len < self->target.bytes);
            memcpy(self->target.to, behind.ptr, behind.len);
            conn_read_into(self->conn, &self->target);
            return used;
        } else if (self->target.filled < self->target.bytes || behind.len == 0) {
            return used;
        } else {
            assert_int_equal(behind.ptr[0], '.');
            buf_append(&taken, self->target.to, self->target.bytes);
            conn_read_into(self->conn, NULL);
            free(self->target.to);
            self->target.to = NULL;
            used += line + 1;
        }
    }
    return used;
}

static size_t quit(struct session *self, struct slice in) {
    buf_append_text(conn_out(self->conn), "bye");
    conn_drain(self->conn, CLOSE_QUIT);
    buf_append_text(conn_out(self->conn), "no more");
    return in.len > 0 ? 1 : 0;
}

/* --- the fixture */

static int setup(void **state) {
    (void)state;
    loop = loop_create();
    net = loop == NULL ? NULL : net_create(loop);
    session = (struct session){.consume = consume_all, .close_on = NO_EVENT};
    buf_init(&session.got, SIZE_MAX);
    buf_init(&taken, SIZE_MAX);
    return net == NULL ? -1 : 0;
}

static int teardown(void **state) {
    (void)state;
    net_destroy(&net);
    loop_destroy(&loop);
    buf_deinit(&session.got);
    buf_deinit(&taken);
    free(session.target.to);
    if (peer >= 0) {
        close(peer);
        peer = -1;
    }
    return 0;
}

/* A TCP connection over loopback: fds[0] for a conn, fds[1] for the test. */
static void tcp_pair(int fds[2]) {
    const char *reason;
    int listening = socket_listen("127.0.0.1", 0, &reason);
    assert_true(listening >= 0);
    struct sockaddr_storage address;
    socklen_t length = sizeof(address);
    assert_int_equal(getsockname(listening, (struct sockaddr *)&address, &length), 0);
    fds[1] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fds[1], (struct sockaddr *)&address, length), 0);
    do {
        fds[0] = accept(listening, NULL, NULL);
    } while (fds[0] < 0 && errno == EAGAIN);
    assert_true(fds[0] >= 0);
    socket_set_stream_options(fds[0]);
    struct timeval limit = {.tv_sec = LOOP_FIXTURE_LIMIT_MS / 1000};
    setsockopt(fds[1], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    setsockopt(fds[1], SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    close(listening);
}

static void open_conn(const struct conn_handler *handler, size_t max_input_bytes) {
    int fds[2];
    tcp_pair(fds);
    session.conn = conn_adopt(net, fds[0], handler, &session, max_input_bytes);
    assert_non_null(session.conn);
    peer = fds[1];
}

static void peer_sends(const char *ptr, size_t n) {
    assert_int_equal(send(peer, ptr, n, MSG_NOSIGNAL | MSG_DONTWAIT), (ssize_t)n);
}

static bool is_closed(void *context) { return ((struct session *)context)->calls[ON_CLOSE] == 1; }

static void assert_closes(enum close_reason reason) {
    assert_true(loop_fixture_until(loop, is_closed, &session));
    assert_int_equal(session.reason, reason);
}

struct counted {
    const int *count;
    int wanted;
};

static bool is_counted(void *context) {
    const struct counted *counted = context;
    return *counted->count >= counted->wanted;
}

static void assert_called(enum event event, int times) {
    struct counted counted = {&session.calls[event], times};
    assert_true(loop_fixture_until(loop, is_counted, &counted));
    assert_int_equal(session.calls[event], times);
}

struct wanted {
    struct buf *got;
    size_t n;
    bool end; /* the end of stream was read */
};

/* Reads what has come to the peer. */
static bool peer_has_read(void *context) {
    struct wanted *wanted = context;
    static char scratch[1 << 18];
    ssize_t n;
    while ((n = recv(peer, scratch, sizeof(scratch), MSG_DONTWAIT)) > 0) {
        buf_append(wanted->got, scratch, (size_t)n);
    }
    assert_true(n == 0 || errno == EAGAIN);
    wanted->end |= n == 0;
    return buf_used(wanted->got) >= wanted->n;
}

static bool peer_has_read_to_the_end(void *context) {
    struct wanted *wanted = context;
    peer_has_read(context);
    return wanted->end;
}

static void assert_peer_gets(const char *expected) {
    struct buf got;
    buf_init(&got, SIZE_MAX);
    struct wanted wanted = {.got = &got, .n = strlen(expected)};
    assert_true(loop_fixture_until(loop, peer_has_read, &wanted));
    assert_true(slice_equals(buf_slice(&got), slice_from_text(expected)));
    buf_deinit(&got);
}

static void assert_peer_gets_end_after(const char *expected) {
    struct buf got;
    buf_init(&got, SIZE_MAX);
    struct wanted wanted = {.got = &got};
    assert_true(loop_fixture_until(loop, peer_has_read_to_the_end, &wanted));
    assert_true(slice_equals(buf_slice(&got), slice_from_text(expected)));
    buf_deinit(&got);
}

static bool has_got(void *context) { return buf_used(&session.got) >= *(const size_t *)context; }

static void assert_got(size_t n) {
    assert_true(loop_fixture_until(loop, has_got, &n));
    assert_int_equal(buf_used(&session.got), n);
}

/* Fills bulk with something whose parts differ. */
static void fill_bulk(void) {
    uint32_t x = 1;
    for (size_t i = 0; i < sizeof(bulk); i++) {
        x = x * 1664525U + 1013904223U;
        bulk[i] = (char)(x >> 24);
    }
}

/* The peer sends n bytes of bulk while the loop runs. */
struct sending {
    size_t sent, n;
};

static bool all_is_sent(void *context) {
    struct sending *sending = context;
    ssize_t n = send(peer, bulk + sending->sent, sending->n - sending->sent, MSG_DONTWAIT | MSG_NOSIGNAL);
    assert_true(n >= 0 || errno == EAGAIN);
    sending->sent += n > 0 ? (size_t)n : 0;
    return sending->sent == sending->n;
}

static void peer_sends_bulk(size_t n) {
    struct sending sending = {.n = n};
    assert_true(loop_fixture_until(loop, all_is_sent, &sending));
}

/* --- input and output */

static void test_echo_and_an_idle_conn_owns_nothing(void **state) {
    (void)state;
    open_conn(&full_handler, MAX_INPUT_BYTES);
    session.consume = echo;
    assert_int_equal(net_stats(net)->open, 1);
    assert_int_equal(net_stats(net)->accepted, 1);
    for (int i = 0; i < 3; i++) {
        peer_sends("hello", 5);
        assert_peer_gets("hello");
    }
    assert_int_equal(net_stats(net)->read_bytes, 15);
    assert_int_equal(net_stats(net)->written_bytes, 15);
    assert_int_equal(conn_pending_bytes(session.conn), 0);
    assert_null(session.conn->in.data);
    assert_null(session.conn->out.data);
    assert_true(sizeof(struct conn) <= 384);
    assert_int_equal(session.calls[ON_ROOM], 0);
    assert_int_equal(strncmp(conn_peer(session.conn), "127.0.0.1:", 10), 0);
    assert_int_equal(strncmp(conn_local(session.conn), "127.0.0.1:", 10), 0);
    assert_string_not_equal(conn_peer(session.conn), conn_local(session.conn));
}

static void test_socketpair(void **state) {
    (void)state;
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    session.conn = conn_adopt(net, fds[0], &full_handler, &session, MAX_INPUT_BYTES);
    session.consume = echo;
    peer = fds[1];
    peer_sends("hello", 5);
    assert_peer_gets("hello");
    assert_string_equal(conn_peer(session.conn), "unknown");
}

static void test_whole_byte_by_byte_and_split_everywhere(void **state) {
    (void)state;
    static const char input[] = "one\ntwo\n\nthree\n";
    static const char output[] = "[one][two][][three]";
    size_t n = sizeof(input) - 1;
    open_conn(&full_handler, MAX_INPUT_BYTES);
    session.consume = answer_lines;
    peer_sends(input, n);
    assert_peer_gets(output);
    size_t got = n;
    for (size_t i = 0; i < n; i++) {
        int calls = session.calls[ON_INPUT];
        peer_sends(&input[i], 1);
        struct counted counted = {&session.calls[ON_INPUT], calls + 1};
        assert_true(loop_fixture_until(loop, is_counted, &counted));
    }
    assert_peer_gets(output);
    got += n;
    for (size_t split = 1; split < n; split++) {
        int calls = session.calls[ON_INPUT];
        peer_sends(input, split);
        struct counted counted = {&session.calls[ON_INPUT], calls + 1};
        assert_true(loop_fixture_until(loop, is_counted, &counted));
        peer_sends(input + split, n - split);
        assert_peer_gets(output);
        got += n;
        assert_null(session.conn->in.data);
    }
    assert_int_equal(buf_used(&session.got), got);
}

static void test_on_input_is_not_called_again_when_nothing_changed(void **state) {
    (void)state;
    open_conn(&full_handler, MAX_INPUT_BYTES);
    session.consume = consume_nothing;
    peer_sends("abc", 3);
    assert_called(ON_INPUT, 1);
    loop_fixture_settle(loop);
    assert_int_equal(session.calls[ON_INPUT], 1);
    peer_sends("d", 1);
    assert_called(ON_INPUT, 2);
    assert_int_equal(session.last_bytes, 4);
    conn_resume(session.conn); /* asked for */
    assert_called(ON_INPUT, 3);
    assert_int_equal(session.last_bytes, 4);
    loop_fixture_settle(loop);
    assert_int_equal(session.calls[ON_INPUT], 3);
    assert_int_equal(conn_pending_bytes(session.conn), 4);
}

static void test_large_stream_arrives_in_order(void **state) {
    (void)state;
    fill_bulk();
    open_conn(&full_handler, MAX_INPUT_BYTES);
    peer_sends_bulk(sizeof(bulk));
    assert_got(sizeof(bulk));
    assert_memory_equal(session.got.data, bulk, sizeof(bulk));
    /* Bounded work a wake-up: so many calls at least. */
    assert_true(session.calls[ON_INPUT] >= (int)(sizeof(bulk) / CONN_SCRATCH_BYTES));
}

static void test_large_expected_input(void **state) {
    (void)state;
    fill_bulk();
    open_conn(&full_handler, MAX_INPUT_BYTES);
    session.consume = expect_bulk;
    session.expected = sizeof(bulk) - 1000;
    peer_sends_bulk(sizeof(bulk));
    assert_got(session.expected);
    assert_memory_equal(session.got.data, bulk, session.expected);
    loop_fixture_settle(loop);
    assert_int_equal(conn_pending_bytes(session.conn), 1000);
    assert_true(session.conn->in.capacity <= 64 << 10); /* the large buffer is gone */
}

static void test_large_input_without_a_hint(void **state) {
    (void)state;
    fill_bulk();
    open_conn(&full_handler, MAX_INPUT_BYTES);
    session.consume = consume_nothing;
    peer_sends_bulk(sizeof(bulk));
    while (session.last_bytes < sizeof(bulk)) {
        int calls = session.calls[ON_INPUT];
        struct counted counted = {&session.calls[ON_INPUT], calls + 1};
        assert_true(loop_fixture_until(loop, is_counted, &counted));
    }
    session.consume = consume_all;
    conn_resume(session.conn);
    assert_got(sizeof(bulk));
    assert_memory_equal(session.got.data, bulk, sizeof(bulk));
    assert_null(session.conn->in.data);
}

static void test_a_claimed_length_does_not_allocate(void **state) {
    (void)state;
    open_conn(&full_handler, (size_t)1 << 30);
    session.consume = expect_bulk;
    session.expected = (size_t)512 << 20;
    for (int i = 0; i < 3; i++) {
        peer_sends("a hundred bytes or so", 21);
        assert_called(ON_INPUT, i + 1);
    }
    assert_true(session.conn->in.capacity <= 1024);
}

static bool target_is_full(void *context) {
    (void)context;
    return session.target.filled == session.target.bytes;
}

static void open_for_target(size_t bytes) {
    fill_bulk();
    open_conn(&full_handler, MAX_INPUT_BYTES);
    session.consume = divert;
    session.target = (struct conn_target){.bytes = bytes};
}

static void test_input_is_read_to_where_it_is_to_stay(void **state) {
    (void)state;
    open_for_target(sizeof(bulk));
    peer_sends("a\ninto\n", 7);
    peer_sends_bulk(sizeof(bulk));
    assert_true(loop_fixture_until(loop, target_is_full, NULL));
    loop_fixture_settle(loop);
    assert_int_equal(conn_pending_bytes(session.conn), 5 + sizeof(bulk));
    assert_int_equal(session.last_bytes, 5);
    assert_true(session.conn->in.capacity <= 64 << 10);
    peer_sends(".b\n", 3);
    assert_got(10);
    assert_memory_equal(session.got.data, "a\ninto\n.b\n", 10);
    assert_int_equal(buf_used(&taken), sizeof(bulk));
    assert_memory_equal(taken.data, bulk, sizeof(bulk));
    assert_int_equal(conn_pending_bytes(session.conn), 0);
}

static void assert_cut_out(struct slice text, const char *left, const char *away) {
    assert_got(strlen(left));
    loop_fixture_settle(loop);
    assert_int_equal(buf_used(&session.got), strlen(left));
    assert_memory_equal(session.got.data, left, strlen(left));
    assert_int_equal(buf_used(&taken), text.len - strlen(left));
    assert_memory_equal(taken.data, away, text.len - strlen(left));
    assert_int_equal(conn_pending_bytes(session.conn), 0);
    buf_reset(&session.got);
    buf_reset(&taken);
}

/* Two of them, behind lines and before them. */
static void test_a_target_is_cut_out_wherever_the_input_is_split(void **state) {
    (void)state;
    enum { FIRST_AT = 9, SECOND_AT = 29, TARGET_BYTES = 10 };
    const struct slice text = SLICE("a\ninto 1\n0123456789.b\ninto 2\nabcdefghij.c\n");
    static const char left[] = "a\ninto 1\n.b\ninto 2\n.c\n", away[] = "0123456789abcdefghij";
    open_for_target(TARGET_BYTES);
    for (size_t i = 0; i < TARGET_BYTES * TARGET_BYTES; i++) {
        size_t first = FIRST_AT + i / TARGET_BYTES, second = SECOND_AT + i % TARGET_BYTES;
        peer_sends(text.ptr, first);
        loop_fixture_settle(loop);
        peer_sends(text.ptr + first, second - first);
        loop_fixture_settle(loop);
        peer_sends(text.ptr + second, text.len - second);
        assert_cut_out(text, left, away);
    }
    for (size_t i = 0; i < text.len; i++) {
        peer_sends(text.ptr + i, 1);
        loop_fixture_settle(loop);
    }
    assert_cut_out(text, left, away);
}

static void test_a_claimed_target_is_not_filled(void **state) {
    (void)state;
    open_for_target(sizeof(bulk));
    peer_sends("into\nabc", 8);
    assert_called(ON_INPUT, 1);
    assert_int_equal(session.target.filled, 3);
    assert_int_equal(conn_pending_bytes(session.conn), 8);
    assert_true(conn_input_room(session.conn) >= sizeof(bulk) - 3);
    peer_sends("defg", 4);
    assert_called(ON_INPUT, 2);
    assert_int_equal(session.target.filled, 7);
    assert_memory_equal(session.target.to, "abcdefg", 7);
    conn_pause(session.conn);
    peer_sends("h", 1);
    loop_fixture_settle(loop);
    assert_int_equal(session.target.filled, 7);
    conn_resume(session.conn);
    struct counted counted = {&session.calls[ON_INPUT], 4}; /* it is offered what is left, too */
    assert_true(loop_fixture_until(loop, is_counted, &counted));
    assert_int_equal(session.target.filled, 8);
    shutdown(peer, SHUT_WR);
    assert_called(ON_END, 1);
    conn_drain(session.conn, CLOSE_PEER);
    assert_closes(CLOSE_PEER);
}

static void test_what_goes_to_a_target_is_limited(void **state) {
    (void)state;
    open_conn(&full_handler, 10);
    session.consume = divert;
    session.target = (struct conn_target){.bytes = 20};
    peer_sends("into\n01234", 10);
    assert_called(ON_INPUT, 1);
    loop_fixture_settle(loop);
    assert_int_equal(session.calls[ON_CLOSE], 0);
    peer_sends("5", 1);
    assert_closes(CLOSE_INPUT_LIMIT);
}

static void test_input_limit(void **state) {
    (void)state;
    open_conn(&full_handler, 10);
    session.consume = consume_nothing;
    peer_sends("0123456789", 10);
    assert_called(ON_INPUT, 1);
    loop_fixture_settle(loop);
    assert_int_equal(session.calls[ON_CLOSE], 0);
    peer_sends("0", 1);
    assert_closes(CLOSE_INPUT_LIMIT);
}

static void test_output_limit(void **state) {
    (void)state;
    open_conn(&full_handler, MAX_INPUT_BYTES);
    buf_append_text(conn_out(session.conn), "x");
    conn_out(session.conn)->max_bytes = 1000;
    char large[2000] = "";
    buf_append(conn_out(session.conn), large, sizeof(large));
    conn_flush(session.conn);
    assert_int_equal(session.calls[ON_CLOSE], 0); /* not before this returns */
    assert_true(conn_closed(session.conn));
    assert_closes(CLOSE_OUTPUT_LIMIT);
}

/* --- back-pressure */

static void test_peer_that_does_not_read(void **state) {
    (void)state;
    open_conn(&full_handler, MAX_INPUT_BYTES);
    session.consume = answer_at_length;
    static char requests[400];
    for (size_t i = 0; i < sizeof(requests); i++) {
        requests[i] = (char)('a' + i % 26);
    }
    peer_sends(requests, sizeof(requests)); /* 40 MB of replies */
    assert_false(loop_fixture_run(loop, is_closed, &session, 300));
    int calls = session.calls[ON_INPUT],
        rooms = session.calls[ON_ROOM]; /* while the sockets' buffers took it */
    assert_true(buf_used(&session.got) < sizeof(requests));
    assert_true(conn_pending_bytes(session.conn) <= CONN_OUT_HIGH_BYTES + REPLY_BYTES + sizeof(requests));
    peer_sends(requests, 10); /* is not even read */
    assert_false(loop_fixture_run(loop, is_closed, &session, 100));
    assert_int_equal(session.calls[ON_INPUT], calls);
    assert_int_equal(net_stats(net)->read_bytes, sizeof(requests));
    assert_int_equal(session.calls[ON_ROOM], rooms);

    struct buf got;
    buf_init(&got, SIZE_MAX);
    size_t total = (sizeof(requests) + 10) * REPLY_BYTES;
    struct wanted wanted = {.got = &got, .n = total};
    assert_true(loop_fixture_run(loop, peer_has_read, &wanted, 4 * LOOP_FIXTURE_LIMIT_MS));
    assert_int_equal(buf_used(&got), total);
    for (size_t i = 0; i < total; i += REPLY_BYTES / 2) {
        assert_int_equal(buf_slice(&got).ptr[i], requests[i / REPLY_BYTES % sizeof(requests)]);
    }
    buf_deinit(&got);
    loop_fixture_settle(loop);
    assert_true(session.calls[ON_ROOM] > rooms);
    assert_null(session.conn->out.data);
    assert_int_equal(conn_pending_bytes(session.conn), 0);
}

/* The socket takes all output in one write, and yet on_input, which stopped at the high mark, must go on. */
static void test_left_over_goes_on_after_a_full_output_that_was_written_at_once(void **state) {
    (void)state;
    open_conn(&full_handler, MAX_INPUT_BYTES);
    session.consume = answer_at_length;
    static char requests[50];
    memset(requests, 'z', sizeof(requests));
    peer_sends(requests, sizeof(requests));
    struct buf got;
    buf_init(&got, SIZE_MAX);
    struct wanted wanted = {.got = &got, .n = sizeof(requests) * REPLY_BYTES};
    assert_true(loop_fixture_until(loop, peer_has_read, &wanted));
    assert_int_equal(buf_used(&got), wanted.n);
    assert_true(session.calls[ON_INPUT] >= 4);
    buf_deinit(&got);
}

static void test_pause_and_resume(void **state) {
    (void)state;
    open_conn(&full_handler, MAX_INPUT_BYTES);
    session.consume = pause_after_one;
    peer_sends("abc", 3);
    assert_called(ON_INPUT, 1);
    peer_sends("d", 1);
    assert_false(loop_fixture_run(loop, is_closed, &session, 50));
    assert_int_equal(session.calls[ON_INPUT], 1);
    for (int i = 2; i <= 4; i++) {
        conn_resume(session.conn);
        assert_int_equal(session.calls[ON_INPUT], i - 1); /* on the next iteration */
        assert_called(ON_INPUT, i);
        loop_fixture_settle(loop);
        assert_int_equal(session.calls[ON_INPUT], i);
    }
    conn_resume(session.conn);
    loop_fixture_settle(loop);
    assert_int_equal(session.calls[ON_INPUT], 4);
    assert_memory_equal(session.got.data, "abcd", 4);
    peer_sends("e", 1);
    assert_called(ON_INPUT, 5);
}

static void test_reply_from_elsewhere_while_paused(void **state) {
    (void)state;
    open_conn(&full_handler, MAX_INPUT_BYTES);
    session.consume = pause_after_one;
    peer_sends("ab", 2);
    assert_called(ON_INPUT, 1);
    uint64_t id = conn_id(session.conn);
    struct conn *found = conn_find(net, id);
    assert_ptr_equal(found, session.conn);
    buf_append_text(conn_out(found), "answer");
    conn_resume(found);
    assert_peer_gets("answer");
    assert_called(ON_INPUT, 2);
}

static void test_want_room(void **state) {
    (void)state;
    open_conn(&full_handler, MAX_INPUT_BYTES);
    conn_want_room(session.conn);
    assert_int_equal(session.calls[ON_ROOM], 0);
    assert_called(ON_ROOM, 1);
    loop_fixture_settle(loop);
    assert_int_equal(session.calls[ON_ROOM], 1); /* once */
}

static void test_room_after_output_that_was_written_at_once(void **state) {
    (void)state;
    open_conn(&full_handler, MAX_INPUT_BYTES);
    char *to = buf_reserve(conn_out(session.conn), CONN_OUT_LOW_BYTES + 1);
    assert_non_null(to);
    memset(to, 'x', CONN_OUT_LOW_BYTES + 1);
    buf_commit(conn_out(session.conn), CONN_OUT_LOW_BYTES + 1);
    conn_flush(session.conn);
    struct buf got;
    buf_init(&got, SIZE_MAX);
    struct wanted wanted = {.got = &got, .n = CONN_OUT_LOW_BYTES + 1};
    assert_true(loop_fixture_until(loop, peer_has_read, &wanted));
    assert_called(ON_ROOM, 1);
    buf_deinit(&got);
}

/* A producer that sends straight from its own memory, and goes on in on_room. */
static void test_send_direct(void **state) {
    (void)state;
    fill_bulk();
    open_conn(&full_handler, MAX_INPUT_BYTES);
    struct buf got;
    buf_init(&got, SIZE_MAX);
    size_t sent = 0;
    int rooms = 0;
    while (sent < sizeof(bulk)) {
        size_t n = conn_send_direct(session.conn, bulk + sent, sizeof(bulk) - sent);
        sent += n;
        assert_int_equal(conn_pending_bytes(session.conn), 0);
        if (sent == sizeof(bulk)) {
            break;
        }
        if (n > 0) {
            loop_fixture_settle(loop);
            assert_in_range(session.calls[ON_ROOM], rooms, rooms + 1); /* the socket is full: no busy loop */
        }
        struct wanted some = {.got = &got, .n = buf_used(&got) + 1};
        assert_true(loop_fixture_until(loop, peer_has_read, &some));
        struct counted counted = {&session.calls[ON_ROOM], rooms + 1};
        while (!loop_fixture_run(loop, is_counted, &counted, 20)) {
            some.n = buf_used(&got);
            peer_has_read(&some);
        }
        rooms = session.calls[ON_ROOM];
    }
    struct wanted all = {.got = &got, .n = sizeof(bulk)};
    assert_true(loop_fixture_until(loop, peer_has_read, &all));
    assert_memory_equal(got.data, bulk, sizeof(bulk));
    assert_true(rooms > 0);
    buf_deinit(&got);
}

static void test_send_direct_waits_for_what_is_queued(void **state) {
    (void)state;
    fill_bulk();
    open_conn(&full_handler, MAX_INPUT_BYTES);
    buf_append(conn_out(session.conn), bulk, sizeof(bulk));
    size_t sent = conn_send_direct(session.conn, "tail", 4);
    assert_int_equal(sent, 0);
    struct buf got;
    buf_init(&got, SIZE_MAX);
    struct wanted wanted = {.got = &got, .n = sizeof(bulk)};
    assert_true(loop_fixture_until(loop, peer_has_read, &wanted));
    loop_fixture_settle(loop);
    assert_true(session.calls[ON_ROOM] >= 1);
    assert_int_equal(conn_send_direct(session.conn, "tail", 4), 4);
    wanted.n += 4;
    assert_true(loop_fixture_until(loop, peer_has_read, &wanted));
    assert_memory_equal(got.data, bulk, sizeof(bulk));
    assert_memory_equal(got.data + sizeof(bulk), "tail", 4);
    buf_deinit(&got);
}

/* What is queued, what is large and its tail go in this order, however much of it the socket takes at once. */
static void write_large(size_t queued, size_t large) {
    buf_append(conn_out(session.conn), bulk, queued);
    conn_write_large(session.conn, slice_of(bulk + queued, large), SLICE("tail"), NULL, NULL);
    struct buf got;
    buf_init(&got, SIZE_MAX);
    struct wanted wanted = {.got = &got, .n = queued + large + 4};
    assert_true(loop_fixture_until(loop, peer_has_read, &wanted));
    assert_int_equal(conn_pending_bytes(session.conn), 0);
    assert_int_equal(buf_used(&got), wanted.n);
    assert_memory_equal(got.data, bulk, queued + large);
    assert_memory_equal(got.data + queued + large, "tail", 4);
    buf_deinit(&got);
}

static void test_write_large(void **state) {
    (void)state;
    fill_bulk();
    open_conn(&plain_handler, MAX_INPUT_BYTES);
    write_large(0, 100000);
    write_large(5, 100000);
    write_large(5, sizeof(bulk) - 5); /* more than the socket takes */
    write_large(sizeof(bulk) - 5, 5); /* it is full before */
    conn_close(session.conn, CLOSE_QUIT);
    conn_write_large(session.conn, slice_of(bulk, 100), SLICE("tail"), NULL, NULL); /* goes nowhere */
    assert_closes(CLOSE_QUIT);
}

/* --- output on loan */

static int loans, loans_ended;

static void count_lend(void *owner) {
    assert_ptr_equal(owner, bulk);
    loans++;
}

static void count_give_back(void *owner) {
    assert_ptr_equal(owner, bulk);
    loans_ended++;
    assert_true(loans_ended <= loans);
}

static const struct conn_lender counting_lender = {.lend = count_lend, .give_back = count_give_back};

static void open_for_loans(void) {
    fill_bulk();
    loans = loans_ended = 0;
    open_conn(&full_handler, MAX_INPUT_BYTES);
}

static void lend_bulk(void) {
    conn_write_large(session.conn, slice_of(bulk, sizeof(bulk)), SLICE("tail"), &counting_lender, bulk);
}

/* What comes before it, it, and what comes behind it, in this order; nothing of it is copied. */
static void test_a_large_output_is_lent(void **state) {
    (void)state;
    open_for_loans();
    buf_append(conn_out(session.conn), "before", 6);
    lend_bulk();
    buf_append(conn_out(session.conn), "behind", 6);
    assert_int_equal(loans, 1);
    assert_true(buf_used(&session.conn->out) <= 16);
    assert_true(conn_output_bytes(session.conn) > sizeof(bulk) / 2);
    assert_true(conn_out_full(session.conn));
    loop_fixture_settle(loop);
    assert_int_equal(loans_ended, 0);
    struct buf got;
    buf_init(&got, SIZE_MAX);
    struct wanted wanted = {.got = &got, .n = 6 + sizeof(bulk) + 10};
    assert_true(loop_fixture_until(loop, peer_has_read, &wanted));
    assert_int_equal(buf_used(&got), wanted.n);
    assert_memory_equal(got.data, "before", 6);
    assert_memory_equal(got.data + 6, bulk, sizeof(bulk));
    assert_memory_equal(got.data + 6 + sizeof(bulk), "tailbehind", 10);
    buf_deinit(&got);
    assert_int_equal(loans_ended, 1);
    assert_int_equal(conn_output_bytes(session.conn), 0);
    loop_fixture_settle(loop);
    assert_int_equal(session.calls[ON_ROOM], 1); /* it was over the mark, and is not any more */
}

/* The second one is copied: it has to come behind what is on loan already. */
static void test_one_loan_at_a_time(void **state) {
    (void)state;
    open_for_loans();
    lend_bulk();
    lend_bulk();
    assert_int_equal(loans, 1);
    struct buf got;
    buf_init(&got, SIZE_MAX);
    struct wanted wanted = {.got = &got, .n = 2 * (sizeof(bulk) + 4)};
    assert_true(loop_fixture_until(loop, peer_has_read, &wanted));
    assert_memory_equal(got.data, bulk, sizeof(bulk));
    assert_memory_equal(got.data + sizeof(bulk) + 4, bulk, sizeof(bulk));
    assert_memory_equal(got.data + 2 * sizeof(bulk) + 4, "tail", 4);
    buf_deinit(&got);
    assert_int_equal(loans_ended, 1);
}

static void test_a_loan_ends_with_its_conn(void **state) {
    (void)state;
    open_for_loans();
    lend_bulk();
    conn_close(session.conn, CLOSE_KILLED);
    loop_fixture_settle(loop);
    assert_int_equal(loans_ended, 1);
    close(peer);
    session.calls[ON_CLOSE] = 0;
    open_conn(&full_handler, MAX_INPUT_BYTES);
    lend_bulk();
    net_destroy(&net);
    assert_int_equal(loans_ended, 2);
}

static void test_a_drained_conn_writes_its_loan(void **state) {
    (void)state;
    open_for_loans();
    lend_bulk();
    conn_drain(session.conn, CLOSE_QUIT);
    struct buf got;
    buf_init(&got, SIZE_MAX);
    struct wanted wanted = {.got = &got};
    assert_true(loop_fixture_until(loop, peer_has_read_to_the_end, &wanted));
    assert_int_equal(buf_used(&got), sizeof(bulk) + 4);
    assert_memory_equal(got.data, bulk, sizeof(bulk));
    buf_deinit(&got);
    assert_int_equal(loans_ended, 1);
}

/* --- the end */

static void test_end_of_stream_with_pending_output(void **state) {
    (void)state;
    open_conn(&plain_handler, MAX_INPUT_BYTES);
    session.consume = answer_at_length;
    static char requests[100];
    memset(requests, 'q', sizeof(requests));
    peer_sends(requests, sizeof(requests)); /* 10 MB: more than the sockets take */
    shutdown(peer, SHUT_WR);
    struct buf got;
    buf_init(&got, SIZE_MAX);
    struct wanted wanted = {.got = &got};
    assert_true(loop_fixture_until(loop, peer_has_read_to_the_end, &wanted));
    assert_int_equal(buf_used(&got), sizeof(requests) * REPLY_BYTES);
    buf_deinit(&got);
    assert_closes(CLOSE_PEER);
}

static void test_end_comes_after_all_input(void **state) {
    (void)state;
    open_conn(&full_handler, MAX_INPUT_BYTES);
    session.consume = pause_after_one;
    peer_sends("abc", 3);
    shutdown(peer, SHUT_WR);
    for (int i = 1; i <= 3; i++) {
        assert_called(ON_INPUT, i);
        loop_fixture_settle(loop);
        assert_int_equal(session.calls[ON_END], 0);
        conn_resume(session.conn);
    }
    assert_called(ON_END, 1);
    assert_int_equal(session.calls[ON_INPUT], 3);
    assert_false(loop_fixture_run(loop, is_closed, &session, 50)); /* the session decides */
    buf_append_text(conn_out(session.conn), "late answer");
    conn_drain(session.conn, CLOSE_PEER);
    assert_peer_gets_end_after("late answer");
    assert_closes(CLOSE_PEER);
    assert_int_equal(session.calls[ON_END], 1);
}

static void test_incomplete_input_at_the_end_is_dropped(void **state) {
    (void)state;
    open_conn(&plain_handler, MAX_INPUT_BYTES);
    session.consume = answer_lines;
    peer_sends("one\ntw", 6);
    shutdown(peer, SHUT_WR);
    assert_peer_gets_end_after("[one]");
    assert_closes(CLOSE_PEER);
}

/* What the peer goes on sending must not reset the connection before it has read the last reply. */
static void test_drain_saves_the_last_reply_from_a_reset(void **state) {
    (void)state;
    fill_bulk();
    open_conn(&full_handler, MAX_INPUT_BYTES);
    session.consume = quit;
    peer_sends_bulk(1 << 20);
    assert_peer_gets_end_after("bye");
    assert_int_equal(session.calls[ON_INPUT], 1);
    assert_int_equal(session.calls[ON_CLOSE], 0);
    assert_true(conn_closed(session.conn));
    assert_null(conn_find(net, conn_id(session.conn)));
    shutdown(peer, SHUT_WR);
    assert_closes(CLOSE_QUIT);
    assert_int_equal(session.calls[ON_END], 0);
}

static void test_drain_does_not_wait_for_a_silent_peer(void **state) {
    (void)state;
    open_conn(&full_handler, MAX_INPUT_BYTES);
    session.consume = quit;
    uint64_t begin_us = loop_monotonic_us();
    peer_sends("q", 1);
    assert_closes(CLOSE_QUIT);
    assert_in_range(loop_monotonic_us() - begin_us, CONN_LINGER_MS * 1000U, CONN_DRAIN_MS * 1000U);
}

/* The peer reads a little, until its end has told this one so: that is before the socket can be written to. */
static bool peer_takes_some(void *context) {
    (void)context;
    static char scratch[1 << 16];
    assert_true(recv(peer, scratch, sizeof(scratch), MSG_DONTWAIT) > 0 || errno == EAGAIN);
    int queued;
    assert_int_equal(ioctl(conn_fd(session.conn), SIOCOUTQ, &queued), 0);
    return queued < session.conn->untaken_bytes;
}

/* As if the peer had taken nothing for so long. */
static void let_time_pass(int64_t ms) {
    conn_output_taken_ms(session.conn);
    session.conn->taken_ms -= ms;
}

static void let_deadline_come(void) { net_set_deadline(session.conn, loop_monotonic_ms(loop) + 1); }

static bool has_been_looked_at(void *due_ms) {
    return is_closed(&session) || session.conn->deadline.at_ms > *(const int64_t *)due_ms;
}

static void assert_deadline_is_put_off(void) {
    int64_t due_ms = session.conn->deadline.at_ms;
    assert_true(loop_fixture_until(loop, has_been_looked_at, &due_ms));
    assert_false(is_closed(&session));
}

static void queue_more_than_the_sockets_take(void) {
    for (int i = 0; i < 4; i++) {
        buf_append(conn_out(session.conn), bulk, sizeof(bulk));
    }
}

static void test_drain_goes_on_as_long_as_the_peer_reads(void **state) {
    (void)state;
    open_conn(&full_handler, MAX_INPUT_BYTES);
    queue_more_than_the_sockets_take();
    conn_drain(session.conn, CLOSE_QUIT);
    loop_fixture_settle(loop);
    for (int i = 0; i < 3; i++) {
        net_set_deadline(session.conn, 0);
        let_time_pass(CONN_DRAIN_MS);
        assert_true(loop_fixture_until(loop, peer_takes_some, NULL));
        let_deadline_come();
        assert_deadline_is_put_off();
    }
    assert_true(buf_used(&session.conn->out) > 0);
    let_time_pass(CONN_DRAIN_MS);
    let_deadline_come();
    assert_closes(CLOSE_QUIT);
}

static bool is_lingering(void *context) { return ((const struct conn *)context)->lingering; }

/* All is written, but not taken yet: closed now, the next byte of the peer's would reset it away. */
static void test_lingers_as_long_as_the_peer_reads(void **state) {
    (void)state;
    open_conn(&full_handler, MAX_INPUT_BYTES);
    buf_append(conn_out(session.conn), bulk, 3 << 20); /* more than the peer's socket takes by itself */
    conn_drain(session.conn, CLOSE_QUIT);
    assert_true(loop_fixture_until(loop, is_lingering, session.conn));
    for (int i = 0; i < 3; i++) {
        net_set_deadline(session.conn, 0);
        let_time_pass(CONN_LINGER_MS);
        assert_true(loop_fixture_until(loop, peer_takes_some, NULL));
        let_deadline_come();
        assert_deadline_is_put_off();
    }
    let_time_pass(CONN_LINGER_MS);
    let_deadline_come();
    assert_closes(CLOSE_QUIT);
}

/* --- from when on a peer's silence counts */

static int64_t now_ms(void) { return loop_monotonic_ms(loop); }

static bool has_passed(void *context) { return now_ms() > *(const int64_t *)context; }

static void pass(int64_t ms) {
    int64_t until_ms = now_ms() + ms;
    assert_true(loop_fixture_until(loop, has_passed, &until_ms));
}

static void test_silence_counts_while_it_reads(void **state) {
    (void)state;
    open_conn(&full_handler, MAX_INPUT_BYTES);
    int64_t began_ms = now_ms();
    pass(10);
    assert_int_equal(conn_listening_since_ms(session.conn), began_ms);
    conn_pause(session.conn);
    pass(10);
    assert_int_equal(conn_listening_since_ms(session.conn), now_ms());
    conn_resume(session.conn);
    int64_t resumed_ms = now_ms();
    pass(10);
    conn_resume(session.conn); /* as one does that stopped in the middle by itself */
    assert_int_equal(conn_listening_since_ms(session.conn), resumed_ms);
}

static bool is_silent(void *context) {
    (void)context;
    return conn_listening_since_ms(session.conn) < now_ms() - 100;
}

/* While the output is full nothing is read; what the peer takes of it is heard of instead. */
static void test_silence_counts_while_the_output_is_full(void **state) {
    (void)state;
    open_conn(&full_handler, MAX_INPUT_BYTES);
    queue_more_than_the_sockets_take();
    conn_flush(session.conn);
    for (int i = 0; i < 3; i++) {
        assert_true(loop_fixture_until(loop, is_silent, NULL)); /* it takes nothing: gone, perhaps */
        assert_true(session.conn->blocked);
        assert_true(loop_fixture_until(loop, peer_takes_some, NULL));
        assert_int_equal(conn_listening_since_ms(session.conn), now_ms());
    }
    int64_t since_ms = now_ms();
    struct buf got;
    buf_init(&got, SIZE_MAX);
    struct wanted wanted = {.got = &got, .n = 3 * sizeof(bulk)};
    assert_true(loop_fixture_until(loop, peer_has_read, &wanted));
    while (session.conn->blocked) {
        wanted.n = buf_used(&got) + 1;
        assert_true(loop_fixture_until(loop, peer_has_read, &wanted));
    }
    assert_true(conn_listening_since_ms(session.conn) >=
                since_ms); /* and what waits in the socket is read first */
    buf_deinit(&got);
}

static void test_drain_from_elsewhere_calls_back_later(void **state) {
    (void)state;
    open_conn(&full_handler, MAX_INPUT_BYTES);
    shutdown(peer, SHUT_WR);
    assert_called(ON_END, 1);
    conn_drain(session.conn, CLOSE_SUPERSEDED);
    conn_drain(session.conn, CLOSE_TIMEOUT); /* the first reason stands */
    assert_int_equal(session.calls[ON_CLOSE], 0);
    assert_closes(CLOSE_SUPERSEDED);
}

static void reset_by_peer(void) {
    struct linger linger = {.l_onoff = 1};
    setsockopt(peer, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
    close(peer);
    peer = -1;
}

static void test_reset_by_peer(void **state) {
    (void)state;
    open_conn(&full_handler, MAX_INPUT_BYTES);
    reset_by_peer();
    assert_closes(CLOSE_PEER);
    loop_fixture_settle(loop);
}

static void test_write_error_calls_back_later(void **state) {
    (void)state;
    open_conn(&full_handler, MAX_INPUT_BYTES);
    reset_by_peer();
    buf_append_text(conn_out(session.conn), "to nobody");
    conn_flush(session.conn);
    assert_true(conn_closed(session.conn));
    assert_int_equal(session.calls[ON_CLOSE], 0);
    assert_int_equal(conn_send_direct(session.conn, "x", 1), 0);
    conn_resume(session.conn);
    assert_closes(CLOSE_PEER);
}

/* --- closing inside of every callback */

static void test_close_in_on_input(void **state) {
    (void)state;
    static size_t (*const consumers[])(struct session *, struct slice) = {consume_all, consume_nothing, echo};
    for (size_t i = 0; i < 3; i++) {
        open_conn(&full_handler, MAX_INPUT_BYTES);
        session.close_on = ON_INPUT;
        session.consume = consumers[i];
        peer_sends("abc", 3);
        assert_closes(CLOSE_KILLED);
        loop_fixture_settle(loop);
        close(peer);
        session.calls[ON_CLOSE] = 0;
    }
    peer = -1;
}

static void test_close_in_on_input_with_its_own_buffer(void **state) {
    (void)state;
    fill_bulk();
    open_conn(&full_handler, MAX_INPUT_BYTES);
    session.consume = consume_nothing;
    peer_sends_bulk(200000);
    while (session.last_bytes < 200000) {
        ev_run(loop_ev(loop), EVRUN_ONCE);
    }
    session.close_on = ON_INPUT;
    session.consume = consume_all; /* copies the input, after the close */
    peer_sends("x", 1);
    assert_closes(CLOSE_KILLED);
    assert_int_equal(buf_used(&session.got), 200001);
    loop_fixture_settle(loop);
}

static void test_close_in_on_room(void **state) {
    (void)state;
    open_conn(&full_handler, MAX_INPUT_BYTES);
    session.close_on = ON_ROOM;
    peer_sends("abc", 3); /* readable in the same iteration */
    conn_want_room(session.conn);
    assert_closes(CLOSE_KILLED);
    loop_fixture_settle(loop);
    assert_int_equal(session.calls[ON_INPUT], 0);
}

static void test_close_in_on_end(void **state) {
    (void)state;
    open_conn(&full_handler, MAX_INPUT_BYTES);
    session.close_on = ON_END;
    shutdown(peer, SHUT_WR);
    assert_closes(CLOSE_KILLED);
    loop_fixture_settle(loop);
}

static void test_close_in_on_deadline(void **state) {
    (void)state;
    open_conn(&full_handler, MAX_INPUT_BYTES);
    session.close_on = ON_DEADLINE;
    conn_set_deadline(session.conn, loop_monotonic_ms(loop) + 1);
    assert_closes(CLOSE_KILLED);
    loop_fixture_settle(loop);
}

/* One session closes another whose event of the same poll is still to come. */
static struct session other;

static size_t close_the_other(struct session *self, struct slice in) {
    struct session *victim = self == &session ? &other : &session;
    if (victim->calls[ON_CLOSE] == 0) {
        conn_close(victim->conn, CLOSE_KILLED);
    }
    return in.len;
}

static void test_close_of_another(void **state) {
    (void)state;
    open_conn(&full_handler, MAX_INPUT_BYTES);
    int fds[2];
    tcp_pair(fds);
    other = (struct session){.consume = close_the_other, .close_on = NO_EVENT};
    buf_init(&other.got, SIZE_MAX);
    other.conn = conn_adopt(net, fds[0], &full_handler, &other, MAX_INPUT_BYTES);
    session.consume = close_the_other;
    peer_sends("a", 1);
    assert_int_equal(send(fds[1], "a", 1, 0), 1);
    conn_want_room(session.conn);
    conn_want_room(other.conn);
    loop_fixture_settle(loop);
    assert_int_equal(session.calls[ON_INPUT] + other.calls[ON_INPUT], 1);
    assert_int_equal(session.calls[ON_CLOSE] + other.calls[ON_CLOSE], 1);
    close(fds[1]);
    net_destroy(&net);
    assert_int_equal(session.calls[ON_CLOSE] + other.calls[ON_CLOSE], 2);
    buf_deinit(&other.got);
}

/* --- a stream that is not plain */

/* As TLS may: it reads ahead of what it hands out, has to write before it reads on and to read before it writes
 * on, and needs two calls to say its end. On the wire stands each byte XOR MASK. */
enum { MASK = 0x55, HANDED_OUT_BYTES = 3 };

struct masked {
    char ahead[4096];
    size_t ahead_start, ahead_end;
    bool reads_after_write, writes_after_read, shut_said, closed;
    int refused_reads, refused_writes;
};

static struct masked masked;

static ssize_t not_now(uint8_t *wants, uint8_t event, int *refused) {
    *wants = event;
    ++*refused;
    errno = EAGAIN;
    return -1;
}

static ssize_t masked_read(struct stream *stream, char *to, size_t n) {
    stream->read_wants = EV_READ;
    if (masked.reads_after_write) {
        masked.reads_after_write = false;
        return not_now(&stream->read_wants, EV_WRITE, &masked.refused_reads);
    }
    if (masked.ahead_start == masked.ahead_end) {
        ssize_t got = recv(stream->fd, masked.ahead, sizeof(masked.ahead), MSG_DONTWAIT);
        if (got <= 0) {
            return got;
        }
        masked.ahead_start = 0;
        masked.ahead_end = (size_t)got;
    }
    size_t handed = 0;
    while (handed < n && handed < HANDED_OUT_BYTES && masked.ahead_start < masked.ahead_end) {
        to[handed++] = (char)(masked.ahead[masked.ahead_start++] ^ MASK);
    }
    return (ssize_t)handed;
}

static ssize_t masked_writev(struct stream *stream, const struct iovec *parts, int count) {
    char wire[256];
    size_t n = 0;
    stream->write_wants = EV_WRITE;
    if (masked.writes_after_read) {
        masked.writes_after_read = false;
        return not_now(&stream->write_wants, EV_READ, &masked.refused_writes);
    }
    for (int i = 0; i < count; i++) {
        for (size_t j = 0; j < parts[i].iov_len && n < sizeof(wire); j++) {
            wire[n++] = (char)(((const char *)parts[i].iov_base)[j] ^ MASK);
        }
    }
    return send(stream->fd, wire, n, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static size_t masked_pending(const struct stream *stream) {
    (void)stream;
    return masked.ahead_end - masked.ahead_start;
}

static bool masked_shut(struct stream *stream) {
    (void)stream;
    bool again = masked.shut_said;
    masked.shut_said = true;
    return again;
}

static void masked_close(struct stream *stream) {
    assert_ptr_equal(stream->state, &masked);
    assert_false(masked.closed);
    masked.closed = true;
}

static const struct stream_ops masked_ops = {
    .read = masked_read,
    .writev = masked_writev,
    .pending = masked_pending,
    .shut = masked_shut,
    .close = masked_close,
};

static void open_masked(void) {
    open_conn(&full_handler, MAX_INPUT_BYTES);
    masked = (struct masked){.closed = false};
    session.conn->stream.ops = &masked_ops;
    session.conn->stream.state = &masked;
}

static struct slice masked_text(const char *text) {
    static char wire[64];
    size_t n = strlen(text);
    for (size_t i = 0; i < n; i++) {
        wire[i] = (char)(text[i] ^ MASK);
    }
    return slice_of(wire, n);
}

static void peer_sends_masked(const char *text) {
    struct slice wire = masked_text(text);
    peer_sends(wire.ptr, wire.len);
}

static void assert_peer_gets_masked(const char *text) {
    char wire[64] = "";
    memcpy(wire, masked_text(text).ptr, strlen(text));
    assert_peer_gets(wire);
}

/* No event of the socket tells of what has been read ahead. */
static void test_what_a_stream_has_read_ahead_is_offered(void **state) {
    (void)state;
    open_masked();
    session.consume = echo;
    peer_sends_masked("twenty bytes or more");
    assert_got(20);
    assert_memory_equal(session.got.data, "twenty bytes or more", 20);
    assert_int_equal(session.calls[ON_INPUT], (20 + HANDED_OUT_BYTES - 1) / HANDED_OUT_BYTES);
    assert_peer_gets_masked("twenty bytes or more");
    session.consume = pause_after_one; /* nor of what waits while it is paused */
    peer_sends_masked("abcdefg");
    for (int i = 1; i <= 7; i++) {
        assert_got((size_t)(20 + i));
        conn_resume(session.conn);
    }
    assert_memory_equal(session.got.data + 20, "abcdefg", 7);
}

static void test_a_stream_that_has_to_write_before_it_reads(void **state) {
    (void)state;
    open_masked();
    masked.reads_after_write = true;
    peer_sends_masked("abc");
    assert_got(3);
    assert_int_equal(masked.refused_reads, 1);
    loop_fixture_settle(loop);
    assert_int_equal(session.conn->armed, EV_READ);
}

static void test_a_stream_that_has_to_read_before_it_writes(void **state) {
    (void)state;
    open_masked();
    masked.writes_after_read = true;
    buf_append_text(conn_out(session.conn), "answer");
    conn_flush(session.conn);
    loop_fixture_settle(loop);
    assert_int_equal(masked.refused_writes, 1); /* and is not asked again for nothing */
    assert_int_equal(session.conn->armed, EV_READ);
    peer_sends_masked("x");
    assert_peer_gets_masked("answer");
    assert_got(1);
}

static void test_a_stream_says_its_end_and_is_closed_once(void **state) {
    (void)state;
    open_masked();
    buf_append_text(conn_out(session.conn), "bye");
    conn_drain(session.conn, CLOSE_QUIT);
    char wire[4] = "";
    memcpy(wire, masked_text("bye").ptr, 3);
    assert_peer_gets_end_after(wire);
    assert_true(masked.shut_said);
    shutdown(peer, SHUT_WR);
    assert_closes(CLOSE_QUIT);
    assert_true(masked.closed);
}

/* --- several conns */

enum { CROWD = 8 };

static struct session crowd[CROWD];
static char served[3 * CROWD + 1]; /* a letter for each on_input, in their order */

static size_t note_served(struct session *self, struct slice in) {
    strncat(served, &"ABCDEFGH"[self - crowd], 1);
    return in.len;
}

static size_t note_served_and_go_on(struct session *self, struct slice in) {
    conn_resume(self->conn);
    note_served(self, in);
    return in.len - 1;
}

static void open_crowd(int peers[CROWD]) {
    served[0] = '\0';
    for (int i = 0; i < CROWD; i++) {
        int fds[2];
        tcp_pair(fds);
        crowd[i] = (struct session){.consume = note_served, .close_on = NO_EVENT};
        buf_init(&crowd[i].got, SIZE_MAX);
        crowd[i].conn = conn_adopt(net, fds[0], &full_handler, &crowd[i], MAX_INPUT_BYTES);
        peers[i] = fds[1];
    }
    loop_fixture_settle(loop);
}

static void close_crowd(const int peers[CROWD]) {
    net_destroy(&net);
    for (int i = 0; i < CROWD; i++) {
        close(peers[i]);
        buf_deinit(&crowd[i].got);
    }
}

static void test_first_come_first_served(void **state) {
    (void)state;
    static const int order[CROWD] = {3, 0, 7, 1, 2, 6, 5, 4};
    int peers[CROWD];
    open_crowd(peers);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < CROWD; i++) {
            assert_int_equal(send(peers[order[i]], "x", 1, MSG_NOSIGNAL), 1);
        }
        loop_fixture_settle(loop);
    }
    assert_string_equal(served, "DAHBCGFEDAHBCGFE");
    close_crowd(peers);
}

/* Who has been waiting since the last iteration comes before those with an event of this one's, and but once.
 */
static void test_who_goes_on_comes_first(void **state) {
    (void)state;
    int peers[CROWD];
    open_crowd(peers);
    crowd[2].consume = note_served_and_go_on;
    assert_int_equal(send(peers[2], "xx", 2, MSG_NOSIGNAL), 2);
    ev_run(loop_ev(loop), EVRUN_ONCE);
    assert_string_equal(served, "C");
    crowd[2].consume = note_served;
    assert_int_equal(send(peers[0], "x", 1, MSG_NOSIGNAL), 1);
    assert_int_equal(send(peers[2], "x", 1, MSG_NOSIGNAL), 1);
    ev_run(loop_ev(loop), EVRUN_ONCE);
    assert_string_equal(served, "CCA");
    loop_fixture_settle(loop);
    assert_string_equal(served, "CCAC");
    close_crowd(peers);
}

/* What has come in time is read before the deadline that has come with it. */
static size_t move_deadline(struct session *self, struct slice in) {
    conn_set_deadline(self->conn, loop_monotonic_ms(loop) + LOOP_FIXTURE_LIMIT_MS);
    return in.len;
}

static void test_input_comes_before_the_deadline(void **state) {
    (void)state;
    open_conn(&plain_handler, MAX_INPUT_BYTES);
    session.consume = move_deadline;
    conn_set_deadline(session.conn, loop_monotonic_ms(loop) + 1);
    uint64_t until_us = loop_monotonic_us() + 3 * DEADLINES_TICK_MS * UINT64_C(1000);
    while (loop_monotonic_us() < until_us) { /* both lie before the next poll */
    }
    peer_sends("x", 1);
    assert_got(1);
    assert_false(loop_fixture_run(loop, is_closed, &session, 3 * DEADLINES_TICK_MS));
}

/* --- deadlines */

static void test_deadline_closes(void **state) {
    (void)state;
    open_conn(&plain_handler, MAX_INPUT_BYTES);
    uint64_t begin_us = loop_monotonic_us();
    conn_set_deadline(session.conn, loop_monotonic_ms(loop) + 50);
    assert_closes(CLOSE_TIMEOUT);
    assert_true(loop_monotonic_us() - begin_us >= 45000);
}

static void test_deadline_moves(void **state) {
    (void)state;
    open_conn(&full_handler, MAX_INPUT_BYTES);
    int64_t begin_ms = (int64_t)(loop_monotonic_us() / 1000);
    conn_set_deadline(session.conn, begin_ms + 50);
    conn_set_deadline(session.conn, begin_ms + 400);
    assert_called(ON_DEADLINE, 1);
    assert_true((int64_t)(loop_monotonic_us() / 1000) >= begin_ms + 400);
    conn_set_deadline(session.conn, begin_ms + 500);
    conn_set_deadline(session.conn, 0);
    assert_false(loop_fixture_run(loop, is_closed, &session, 400));
    assert_int_equal(session.calls[ON_DEADLINE], 1);
}

/* --- dialling */

static void test_dial(void **state) {
    (void)state;
    const char *reason;
    char local[64], expected[64];
    int listening = socket_listen("127.0.0.1", 0, &reason);
    assert_true(listening >= 0 && socket_local_text(listening, local, sizeof(local)));
    uint16_t port = (uint16_t)atoi(strrchr(local, ':') + 1);
    session.conn = conn_dial(net, "127.0.0.1", port, &full_handler, &session, MAX_INPUT_BYTES);
    assert_non_null(session.conn);
    assert_int_equal(session.calls[ON_CONNECTED], 0);
    buf_append_text(conn_out(session.conn), "queued before");
    conn_flush(session.conn);
    assert_int_equal(conn_send_direct(session.conn, "x", 1), 0);
    assert_called(ON_CONNECTED, 1);
    peer = accept(listening, NULL, NULL);
    assert_true(peer >= 0);
    assert_peer_gets("queued before");
    snprintf(expected, sizeof(expected), "127.0.0.1:%u", port);
    assert_string_equal(conn_peer(session.conn), expected);
    session.consume = echo;
    peer_sends("abc", 3);
    assert_peer_gets("abc");
    assert_int_equal(net_stats(net)->accepted, 0);
    close(listening);
}

static void test_dial_refused(void **state) {
    (void)state;
    const char *reason;
    char local[64];
    int bound = socket_listen("127.0.0.1", 0, &reason);
    assert_true(bound >= 0 && socket_local_text(bound, local, sizeof(local)));
    close(bound); /* nobody listens there now */
    errno = 0;
    session.conn = conn_dial(net, "127.0.0.1", (uint16_t)atoi(strrchr(local, ':') + 1), &full_handler, &session,
                             MAX_INPUT_BYTES);
    if (session.conn == NULL) {
        assert_int_equal(errno, ECONNREFUSED);
        return;
    }
    assert_int_equal(session.calls[ON_CLOSE], 0);
    assert_closes(CLOSE_NOBODY_LISTENS);
    assert_int_equal(session.calls[ON_CONNECTED], 0);
}

static void test_dial_not_an_address(void **state) {
    (void)state;
    assert_null(conn_dial(net, "nowhere", 1, &full_handler, &session, MAX_INPUT_BYTES));
    assert_int_equal(errno, EINVAL);
    assert_int_equal(net_stats(net)->open, 0);
}

static void test_close_while_connecting_and_in_on_connected(void **state) {
    (void)state;
    const char *reason;
    char local[64];
    int listening = socket_listen("127.0.0.1", 0, &reason);
    assert_true(listening >= 0 && socket_local_text(listening, local, sizeof(local)));
    uint16_t port = (uint16_t)atoi(strrchr(local, ':') + 1);
    session.conn = conn_dial(net, "127.0.0.1", port, &full_handler, &session, MAX_INPUT_BYTES);
    conn_close(session.conn, CLOSE_KILLED);
    assert_int_equal(session.calls[ON_CLOSE], 1);
    loop_fixture_settle(loop);

    session.calls[ON_CLOSE] = 0;
    session.conn = conn_dial(net, "127.0.0.1", port, &full_handler, &session, MAX_INPUT_BYTES);
    conn_drain(session.conn, CLOSE_ROLE_CHANGED);
    assert_int_equal(session.calls[ON_CLOSE], 0);
    assert_closes(CLOSE_ROLE_CHANGED);

    session.calls[ON_CLOSE] = session.calls[ON_CONNECTED] = 0;
    session.close_on = ON_CONNECTED;
    session.conn = conn_dial(net, "127.0.0.1", port, &full_handler, &session, MAX_INPUT_BYTES);
    assert_closes(CLOSE_KILLED);
    assert_int_equal(session.calls[ON_CONNECTED], 1);
    loop_fixture_settle(loop);
    close(listening);
}

/* --- the net */

static void test_ids_are_never_reused(void **state) {
    (void)state;
    enum { COUNT = 300 };
    static uint64_t ids[COUNT];
    uint64_t last = 0;
    for (int i = 0; i < COUNT; i++) {
        int fds[2];
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
        session.conn = conn_adopt(net, fds[0], &full_handler, &session, MAX_INPUT_BYTES);
        ids[i] = conn_id(session.conn);
        assert_true(ids[i] > last);
        last = ids[i];
        assert_ptr_equal(conn_find(net, ids[i]), session.conn);
        if (i % 3 != 0) {
            session.calls[ON_CLOSE] = 0;
            conn_close(session.conn, CLOSE_KILLED);
        }
        close(fds[1]);
    }
    for (int i = 0; i < COUNT; i++) {
        const struct conn *conn = conn_find(net, ids[i]);
        assert_int_equal(conn != NULL, i % 3 == 0);
        assert_true(conn == NULL || conn_id(conn) == ids[i]);
    }
    assert_null(conn_find(net, 0));
    assert_null(conn_find(net, UINT64_MAX));
    assert_int_equal(net_stats(net)->open, COUNT / 3);
    /* All sessions are one and the same here: let each be closed for the first time. */
    for (int i = 0; i < COUNT; i += 3) {
        session.calls[ON_CLOSE] = 0;
        session.conn = conn_find(net, ids[i]);
        conn_close(session.conn, CLOSE_KILLED);
    }
    assert_int_equal(net_stats(net)->open, 0);
}

static void test_net_destroy_writes_and_closes_all(void **state) {
    (void)state;
    open_conn(&full_handler, MAX_INPUT_BYTES);
    buf_append_text(conn_out(session.conn), "last word");
    net_destroy(&net);
    assert_int_equal(session.calls[ON_CLOSE], 1);
    assert_int_equal(session.reason, CLOSE_SHUTDOWN);
    char text[32];
    assert_int_equal(recv(peer, text, sizeof(text), MSG_WAITALL), 9);
    assert_memory_equal(text, "last word", 9);
}

static void test_every_reason_has_a_text(void **state) {
    (void)state;
    for (int reason = CLOSE_PEER; reason <= CLOSE_SHUTDOWN; reason++) {
        assert_true(strlen(close_reason_text((enum close_reason)reason)) > 0);
    }
}

#define CONN_TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        CONN_TEST(test_echo_and_an_idle_conn_owns_nothing),
        CONN_TEST(test_socketpair),
        CONN_TEST(test_whole_byte_by_byte_and_split_everywhere),
        CONN_TEST(test_on_input_is_not_called_again_when_nothing_changed),
        CONN_TEST(test_large_stream_arrives_in_order),
        CONN_TEST(test_large_expected_input),
        CONN_TEST(test_large_input_without_a_hint),
        CONN_TEST(test_a_claimed_length_does_not_allocate),
        CONN_TEST(test_input_is_read_to_where_it_is_to_stay),
        CONN_TEST(test_a_target_is_cut_out_wherever_the_input_is_split),
        CONN_TEST(test_a_claimed_target_is_not_filled),
        CONN_TEST(test_what_goes_to_a_target_is_limited),
        CONN_TEST(test_input_limit),
        CONN_TEST(test_output_limit),
        CONN_TEST(test_peer_that_does_not_read),
        CONN_TEST(test_left_over_goes_on_after_a_full_output_that_was_written_at_once),
        CONN_TEST(test_pause_and_resume),
        CONN_TEST(test_reply_from_elsewhere_while_paused),
        CONN_TEST(test_want_room),
        CONN_TEST(test_room_after_output_that_was_written_at_once),
        CONN_TEST(test_send_direct),
        CONN_TEST(test_write_large),
        CONN_TEST(test_send_direct_waits_for_what_is_queued),
        CONN_TEST(test_end_of_stream_with_pending_output),
        CONN_TEST(test_end_comes_after_all_input),
        CONN_TEST(test_incomplete_input_at_the_end_is_dropped),
        CONN_TEST(test_drain_saves_the_last_reply_from_a_reset),
        CONN_TEST(test_drain_does_not_wait_for_a_silent_peer),
        CONN_TEST(test_drain_goes_on_as_long_as_the_peer_reads),
        CONN_TEST(test_lingers_as_long_as_the_peer_reads),
        CONN_TEST(test_silence_counts_while_it_reads),
        CONN_TEST(test_silence_counts_while_the_output_is_full),
        CONN_TEST(test_drain_from_elsewhere_calls_back_later),
        CONN_TEST(test_reset_by_peer),
        CONN_TEST(test_write_error_calls_back_later),
        CONN_TEST(test_close_in_on_input),
        CONN_TEST(test_close_in_on_input_with_its_own_buffer),
        CONN_TEST(test_close_in_on_room),
        CONN_TEST(test_close_in_on_end),
        CONN_TEST(test_close_in_on_deadline),
        CONN_TEST(test_close_of_another),
        CONN_TEST(test_a_large_output_is_lent),
        CONN_TEST(test_one_loan_at_a_time),
        CONN_TEST(test_a_loan_ends_with_its_conn),
        CONN_TEST(test_a_drained_conn_writes_its_loan),
        CONN_TEST(test_what_a_stream_has_read_ahead_is_offered),
        CONN_TEST(test_a_stream_that_has_to_write_before_it_reads),
        CONN_TEST(test_a_stream_that_has_to_read_before_it_writes),
        CONN_TEST(test_a_stream_says_its_end_and_is_closed_once),
        CONN_TEST(test_first_come_first_served),
        CONN_TEST(test_who_goes_on_comes_first),
        CONN_TEST(test_input_comes_before_the_deadline),
        CONN_TEST(test_deadline_closes),
        CONN_TEST(test_deadline_moves),
        CONN_TEST(test_dial),
        CONN_TEST(test_dial_refused),
        CONN_TEST(test_dial_not_an_address),
        CONN_TEST(test_close_while_connecting_and_in_on_connected),
        CONN_TEST(test_ids_are_never_reused),
        CONN_TEST(test_net_destroy_writes_and_closes_all),
        CONN_TEST(test_every_reason_has_a_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
