#define _GNU_SOURCE /* memmem */
/* The life of an HTTP client while memory fails. What must hold is what transcript.h says of RESP: a response
 * is the right one, or 507 and nothing was changed; or the connection is closed. */
#include "server/rest/session.h"
#include "tests/fault/transcript.h"

enum { MOST_RESPONSES = 4, PARTS = 3 };

#define HOST         " HTTP/1.1\r\nHost: localhost\r\n"
#define JSON         "Content-Type: application/json\r\n"
#define OCTETS       "Content-Type: application/octet-stream\r\n"
#define BODY(length) "Content-Length: " length "\r\n\r\n"
#define LONG_TEXT                                                                                              \
    "0123456789abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvwxyz0123456789abcdefghij" /* 92 */
#define LONGER_TEXT                                                                                            \
    LONG_TEXT LONG_TEXT LONG_TEXT LONG_TEXT LONG_TEXT LONG_TEXT LONG_TEXT LONG_TEXT LONG_TEXT LONG_TEXT

/* What is sent, in parts that arrive one after the other. */
static const struct exchanged {
    const char *parts[PARTS];
    enum likeness likeness;
} exchanges[] = {
    {.parts = {"GET /health" HOST "\r\n"}},
    {.parts = {"POST /set" HOST JSON BODY("27") "{\"key\":\"a\",\"value\":\"first\"}"}},
    {.parts = {"GET /get?key=a" HOST "\r\n"}},
    {.parts = {"GET /get?key=%61" HOST "\r\n"}},
    {.parts = {"POST /set?key=octets" HOST OCTETS BODY("920") LONGER_TEXT}},
    {.parts = {"GET /get?key=octets" HOST "Accept: application/octet-stream\r\n\r\n"}},
    {.parts = {"GET /get?key=octets" HOST "\r\n"}},
    {.parts = {"POST /set?key=chunked" HOST OCTETS "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
               "5\r\nworld\r\n", "398\r\n" LONGER_TEXT "\r\n0\r\n\r\n"}},
    {.parts = {"POST /set?key=b" HOST JSON "Content-Length: 949\r\n\r\n{\"key\":\"\\u0062\",",
               "\"value\":\"\\n" LONGER_TEXT, "\"}"}},
    {.parts = {"POST /set" HOST JSON "If-Match: \"1\"\r\n" BODY("28") "{\"key\":\"a\",\"value\":\"second\"}"}},
    {.parts = {"POST /set" HOST JSON "If-Match: \"9\"\r\n" BODY("28") "{\"key\":\"a\",\"value\":\"second\"}"}},
    {.parts = {"GET /keys" HOST "\r\n"}, .likeness = AS_LONG},
    {.parts = {"GET /keys?match=c*&prefix=c&limit=1" HOST "\r\n"}},
    {.parts = {"GET /cluster" HOST "\r\n"}, .likeness = WELL_FORMED},
    {.parts = {"GET /get?key=a" HOST "\r\nGET /get?key=nothing" HOST "\r\nGET /nowhere" HOST
               "\r\nGET /get?key=octets" HOST "\r\n"}},
    {.parts = {"DELETE /delete?key=a" HOST "\r\n"}},
    {.parts = {"DELETE /delete?key=%6fctets" HOST "\r\n"}},
};

enum { EXCHANGES = sizeof(exchanges) / sizeof(exchanges[0]) };

static struct {
    bool known;
    struct buf received[EXCHANGES];
    size_t counts[EXCHANGES];
    uint64_t digests[EXCHANGES + 1];
} right;

static struct {
    struct rest_server *server;
    int fd; /* the client's end; -1: not connected */
    bool closed;
    struct buf received;
} http;

/* --- Responses --- */

static struct slice find(struct slice in, const char *text) {
    const char *at = in.len == 0 ? NULL : memmem(in.ptr, in.len, text, strlen(text));
    return at == NULL ? SLICE("") : slice_skip(in, (size_t)(at - in.ptr));
}

/* The bytes of the first response, 0 when it is not whole. */
static size_t response_bytes(struct slice in) {
    struct slice end = find(in, "\r\n\r\n");
    if (end.len == 0) {
        return 0;
    }
    size_t head = in.len - end.len + 4;
    struct slice fields = slice_first(in, head), length = find(fields, "Content-Length: ");
    if (length.len > 0) {
        size_t body = strtoul(length.ptr + 16, NULL, 10);
        return in.len >= head + body ? head + body : 0;
    }
    if (find(fields, "Transfer-Encoding: chunked").len == 0) {
        return head;
    }
    struct slice last = find(slice_skip(in, head - 2), "\r\n0\r\n\r\n");
    return last.len == 0 ? 0 : in.len - last.len + 7;
}

static size_t count_responses(struct slice in) {
    size_t count = 0, n;
    while ((n = response_bytes(in)) > 0) {
        count++;
        in = slice_skip(in, n);
    }
    return count;
}

/* Times are all alike. */
static void mask_times(struct buf *received) {
    static const char *const fields[] = {"Date: ", "Kvnode-Timestamp: ", "\"timestamp\":\"",
                                         "\"uptime_ms\":\""};
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        struct slice rest = buf_slice(received);
        while ((rest = find(rest, fields[i])).len > 0) {
            size_t at = received->end - rest.len + strlen(fields[i]);
            while (at < received->end && strchr("\r\"", received->data[at]) == NULL) {
                received->data[at++] = 't';
            }
            rest = slice_skip(rest, strlen(fields[i]));
        }
    }
}

/* cJSON does not tell why it has no tree: then a body is called malformed. */
static bool is_refusal(struct slice response) {
    bool is_507 = slice_equals(slice_first(response, 13), SLICE("HTTP/1.1 507 "));
    return (is_507 && find(response, "out of memory").len > 0) ||
           find(response, "the body is not valid JSON").len > 0;
}

/* --- Saying and hearing --- */

static void dial(void) {
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
    http.fd = ends[0];
    http.closed = false;
    fault_arm();
    rest_server_accept(http.server, ends[1]);
    fault_disarm();
}

static void hang_up(void) {
    close(http.fd);
    http.fd = -1;
    for (int i = 0; i < 10; i++) {
        turn();
    }
}

static void read_responses(void) {
    ssize_t n = 1;
    while (!http.closed && n > 0) {
        n = recv(http.fd, buf_reserve(&http.received, 65536), 65536, 0);
        if (n > 0) {
            buf_commit(&http.received, (size_t)n);
        }
        http.closed = n == 0 || (n < 0 && errno != EAGAIN);
    }
}

static void ask(size_t at) {
    buf_reset(&http.received);
    for (size_t i = 0; i < PARTS && exchanges[at].parts[i] != NULL; i++) {
        struct slice part = slice_from_text(exchanges[at].parts[i]);
        (void)!send(http.fd, part.ptr, part.len, MSG_NOSIGNAL);
        armed_turn();
        armed_turn();
    }
    size_t wanted = right.known ? right.counts[at] : 1;
    int quiet = 0;
    for (int turns = 0; quiet < QUIET_TURNS && !http.closed; turns++) {
        armed_turn();
        read_responses();
        quiet = count_responses(buf_slice(&http.received)) >= wanted ? quiet + 1 : 0;
        if (turns == PATIENCE_TURNS) {
            fault_fail("\"%s\" is not answered", exchanges[at].parts[0]);
        }
    }
    mask_times(&http.received);
}

/* --- What is right --- */

static bool is_right(size_t at, struct slice got, struct slice wanted) {
    switch (exchanges[at].likeness) {
    case AS_LONG:
        return got.len == wanted.len;
    case WELL_FORMED: /* /cluster leaves out what there is no memory for */
        return slice_equals(slice_first(got, 15), slice_first(wanted, 15));
    default:
        return slice_equals(got, wanted);
    }
}

/* How many were refused; those that have come are all right otherwise. */
static size_t judge_responses(size_t at) {
    struct slice got = buf_slice(&http.received), wanted = buf_slice(&right.received[at]);
    size_t refused = 0, n;
    while ((n = response_bytes(got)) > 0) {
        struct slice one = slice_first(got, n), its = slice_first(wanted, response_bytes(wanted));
        if (is_refusal(one)) {
            refused++;
        } else if (!is_right(at, one, its)) {
            fault_fail("\"%s\" was answered with \"%.*s\", not \"%.*s\"", exchanges[at].parts[0], (int)one.len,
                       one.ptr, (int)its.len, its.ptr);
        }
        got = slice_skip(got, n);
        wanted = slice_skip(wanted, its.len);
    }
    return refused;
}

static void judge_data(size_t at, bool refused) {
    uint64_t digest = digest_of(node.keyspace);
    bool before = digest == right.digests[at], after = digest == right.digests[at + 1];
    bool answered = count_responses(buf_slice(&http.received)) == right.counts[at];
    if (refused ? !before : answered ? !after : !(before || after)) {
        fault_fail("after \"%s\" the data is not what it should be", exchanges[at].parts[0]);
    }
}

/* False: unanswered, and the connection is closed. */
static bool exchange_at(size_t at) {
    size_t refused;
    for (int tries = 0; tries <= FAULT_FOR_A_WHILE + 1; tries++) {
        if (http.fd < 0) {
            dial();
        }
        ask(at);
        if (!right.known) {
            right.counts[at] = count_responses(buf_slice(&http.received));
            right.digests[at + 1] = digest_of(node.keyspace);
            buf_append_slice(&right.received[at], buf_slice(&http.received));
        }
        refused = judge_responses(at);
        judge_data(at, refused > 0);
        if (http.closed) {
            hang_up();
        }
        if (refused == 0) {
            return http.fd >= 0;
        }
    }
    fault_fail("\"%s\" is refused for ever", exchanges[at].parts[0]);
    return false;
}

/* --- A run --- */

static void run(void) {
    void *unused;
    set_up(&unused);
    http.server = rest_server_create(&node.context);
    buf_init(&http.received, SIZE_MAX);
    http.fd = -1;
    right.digests[0] = digest_of(node.keyspace);
    for (size_t at = 0; at < EXCHANGES && exchange_at(at); at++) {
    }
    fault_memory_is_back();
    if (http.fd >= 0) {
        hang_up();
    }
    keyspace_flush(node.keyspace);
    dial();
    static const char set[] = "POST /set?key=fresh" HOST OCTETS BODY("1") "1";
    assert_int_equal(send(http.fd, set, sizeof(set) - 1, MSG_NOSIGNAL), sizeof(set) - 1);
    turn();
    buf_reset(&http.received);
    read_responses();
    if (find(buf_slice(&http.received), "HTTP/1.1 200 ").len == 0 || keyspace_count(node.keyspace) != 1) {
        fault_fail("a fresh client is not served");
    }
    hang_up();
    rest_server_destroy(&http.server);
    buf_deinit(&http.received);
    tear_down(&unused);
    right.known = true;
}

static void test_rest(void **state) {
    (void)state;
    for (size_t i = 0; i < EXCHANGES; i++) {
        buf_init(&right.received[i], SIZE_MAX);
    }
    fault_plan(0, 0);
    run();
    fault_each(run);
    for (size_t i = 0; i < EXCHANGES; i++) {
        assert_true(find(buf_slice(&right.received[i]), " 400 ").len ==
                    0); /* no request of this file is wrong */
        buf_deinit(&right.received[i]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rest)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
