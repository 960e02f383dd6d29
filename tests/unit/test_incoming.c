/* Large arguments that are read straight to where they are to stay (server/resp/incoming.h): what clients see
 * is the same as of any other command. */
#include "tests/unit/resp_clients.h"

enum { LARGE = 300000 };

static char large[LARGE + 1], other[LARGE + 1];

static int set_up_values(void **state) {
    memset(large, 'x', LARGE);
    memset(other, 'y', LARGE);
    large[0] = other[0] = '<';
    large[LARGE - 1] = other[LARGE - 1] = '>';
    return set_up_clients(state);
}

/* A command of words between blanks, as multibulk; "@" stands for the value. */
static struct slice command_of(const char *line, const char *value) {
    static struct buf text;
    static char rooms[2][2 * LARGE + 1000];
    static unsigned calls;
    char *room = rooms[calls++ % 2]; /* two of them may be under way */
    buf_init(&text, SIZE_MAX);
    struct slice rest = slice_from_text(line);
    size_t count = 1;
    for (size_t i = 0; i < rest.len; i++) {
        count += rest.ptr[i] == ' ';
    }
    buf_printf(&text, "*%zu\r\n", count);
    while (count-- > 0) {
        struct slice word = slice_take_until(&rest, ' ');
        word = slice_equals(word, SLICE("@")) ? slice_from_text(value) : word;
        buf_printf(&text, "$%zu\r\n", word.len);
        buf_append_slice(&text, word);
        buf_append_text(&text, "\r\n");
    }
    struct slice all = buf_slice(&text);
    assert_true(all.len <= sizeof(rooms[0]));
    memcpy(room, all.ptr, all.len);
    buf_deinit(&text);
    return slice_of(room, all.len);
}

static void settle(void) {
    for (int i = 0; i < 20; i++) {
        turn();
    }
}

static void expect_bulk(const char *value) {
    struct buf text;
    buf_init(&text, SIZE_MAX);
    buf_printf(&text, "$%zu\r\n%s\r\n", strlen(value), value);
    expect_bytes(buf_slice(&text));
    buf_deinit(&text);
}

/* Sends all but the last bytes: what is left to be sent. */
static struct slice begins(char who, struct slice command, size_t last) {
    turn_to(who);
    send_bytes(slice_first(command, command.len - last));
    settle();
    return slice_skip(command, command.len - last);
}

static void ends(char who, struct slice rest, const char *expected) {
    turn_to(who);
    send_bytes(rest);
    expect_bytes(slice_from_text(expected));
}

static void has(char who, const char *key, const char *value) {
    turn_to(who);
    send_bytes(SLICE("GET "));
    send_bytes(slice_from_text(key));
    send_bytes(SLICE("\r\n"));
    expect_bulk(value);
}

static void test_every_form_of_set(void **state) {
    (void)state;
    static const struct {
        const char *line, *reply;
        bool stores;
    } commands[] = {
        {"SET k @", "+OK\r\n", true},
        {"SET k @ EX 100", "+OK\r\n", true},
        {"set k @ NX", "$-1\r\n", false},
        {"SET k @ XX KEEPTTL", "+OK\r\n", true},
        {"SET k @ EX 0", "-ERR invalid expire time in 'set' command\r\n", false},
        {"SET k @ PX", "-ERR syntax error\r\n", false},
        {"SET k @ @", "-ERR syntax error\r\n", false},
        {"SET k @ GET", "$3\r\nold\r\n", true},
        {"SET @ new", "+OK\r\n", false},
        {"SETEX k 100 @", "+OK\r\n", true},
        {"SETEX k @ new", "-ERR value is not an integer or out of range\r\n", false},
        {"PSETEX k 100000 @", "+OK\r\n", true},
        {"SETNX k @", ":0\r\n", false},
        {"SETNX k2 @", ":1\r\n", false},
        {"GETSET k @", "$3\r\nold\r\n", true},
        {"SETIFMATCH k @ 1000", "*2\r\n:1\r\n$3\r\nold\r\n", false},
        {"SETIFMATCH k @ 1", "*2\r\n:2\r\n$-1\r\n", true},
        {"SETRANGE k 0 @", ":300000\r\n", true},
        {"APPEND k2 @", ":300000\r\n", false},
        {"GET k @", "-ERR wrong number of arguments for 'get' command\r\n", false},
        {"NONE k", "-ERR unknown command 'NONE', with args beginning with: 'k' \r\n", false},
    };
    for (size_t i = 0; i < 2 * sizeof(commands) / sizeof(commands[0]); i++) {
        const size_t last = i % 2 == 0 ? 5 : 100000;
        struct key key = keyspace_key(node.keyspace, SLICE("k"));
        line_arrives("REPLICATE|k|old|1");
        struct slice command = command_of(commands[i / 2].line, large);
        ends('a', begins('a', command, command.len > last ? last : 1), commands[i / 2].reply);
        const struct entry *entry = keyspace_find(node.keyspace, &key, KEYSPACE_QUIETLY);
        if (commands[i / 2].stores) {
            assert_true(slice_equals(entry_value(entry), slice_from_text(large)));
        } else {
            assert_true(slice_equals(entry_value(entry), SLICE("old")));
        }
        says('a', "PING", "+PONG\r\n");
        keyspace_delete(node.keyspace, &key, KEYSPACE_ALWAYS, 0, NULL);
        says('a', "DEL k2", i / 2 == 13 || i / 2 == 18 ? ":1\r\n" : ":0\r\n");
    }
}

/* Cut in its first bytes and in its last ones, with a command before and one behind it; then byte by byte. */
static void test_wherever_it_is_split(void **state) {
    (void)state;
    enum { CUTS = 60 };
    struct buf text;
    buf_init(&text, SIZE_MAX);
    buf_append_text(&text, "PING\r\n");
    buf_append_slice(&text, command_of("SET k @ EX 100", large));
    buf_append_text(&text, "PING\r\n");
    struct slice all = buf_slice(&text);
    for (size_t i = 0; i < (size_t)2 * CUTS; i++) {
        size_t cut = i < CUTS ? i : all.len - 2 * CUTS + i;
        ends('a', begins('a', all, all.len - cut), "+PONG\r\n+OK\r\n+PONG\r\n");
        has('b', "k", large);
        says('b', "DEL k", ":1\r\n");
    }
    turn_to('a');
    for (size_t i = 0; i < all.len; i++) {
        send_bytes(slice_of(all.ptr + i, 1));
        if (i < 100 || i > all.len - 100 || i % 1000 == 0) {
            turn();
        }
    }
    expect_bytes(SLICE("+PONG\r\n+OK\r\n+PONG\r\n"));
    has('b', "k", large);
    buf_deinit(&text);
}

/* What has come is counted as any input; the rest of it has its place. */
static void test_it_is_read_to_its_place(void **state) {
    (void)state;
    struct slice rest = begins('a', command_of("SET k @", large), 100000);
    turn_to('b');
    check_contains("CLIENT LIST", " qbuf=200031 qbuf-free=100");
    ends('a', rest, "+OK\r\n");
    turn_to('b');
    check_lacks("CLIENT LIST", " qbuf=200031 ");
    has('b', "k", large);
}

static void test_nobody_sees_it_before_it_is_whole(void **state) {
    (void)state;
    struct slice rest_of_a = begins('a', command_of("SET k @", large), 5);
    says('b', "GET k", "$-1\r\n");
    struct slice rest_of_c = begins('c', command_of("SET k @ GET", other), 100000);
    says('b', "SET k small", "+OK\r\n");
    ends('c', rest_of_c, "$5\r\nsmall\r\n");
    has('b', "k", other);
    says('b', "FLUSHALL", "+OK\r\n");
    ends('a', slice_first(rest_of_a, 3), "");
    says('b', "GET k", "$-1\r\n");
    ends('a', slice_skip(rest_of_a, 3), "+OK\r\n");
    has('b', "k", large);
}

static void test_a_client_that_leaves_or_is_killed(void **state) {
    (void)state;
    begins('b', command_of("SET k @", large), 1000);
    leaves('b');
    begins('c', command_of("SET k @", large), 1000);
    says('a', "CLIENT KILL TYPE normal", ":1\r\n");
    turn_to('c');
    expect_closed();
    leaves('c');
    begins('d', command_of("SET k @", large), 1000);
    turn_to('d');
    shutdown(node.client, SHUT_WR);
    expect_closed();
    leaves('d');
    says('a', "EXISTS k", ":0\r\n");
}

/* The end of a half-closed client's last command has come before its end. */
static void test_a_client_that_says_no_more(void **state) {
    (void)state;
    struct slice rest = begins('b', command_of("SET k @", large), 1000);
    turn_to('b');
    send_bytes(rest);
    shutdown(node.client, SHUT_WR);
    receive_bytes(5);
    expect_bytes(SLICE("+OK\r\n"));
    leaves('b');
    has('a', "k", large);
}

static void test_it_is_malformed(void **state) {
    (void)state;
    struct slice command = command_of("SET k @", large);
    begins('b', command, 2);
    ends('b', SLICE("x\n"), "-ERR Protocol error: expected CR LF behind a bulk\r\n");
    leaves('b');
    struct slice rest = begins('c', command, 2);
    says('a', "CONFIG SET proto-max-bulk-len 1048576", "+OK\r\n");
    ends('c', rest, "+OK\r\n");
    says('a', "DEL k", ":1\r\n");
}

static void test_a_pause_holds_it_back(void **state) {
    (void)state;
    struct slice rest = begins('b', command_of("SET k @", large), 1000);
    struct slice rest_of_c = begins('c', command_of("SET other @", large), 1000);
    says('a', "CLIENT PAUSE 60000 WRITE", "+OK\r\n");
    for (char who = 'b'; who <= 'c'; who++) {
        turn_to(who);
        send_bytes(who == 'b' ? rest : rest_of_c);
        send_bytes(SLICE("PING\r\n"));
        hears(who, "");
    }
    says('a', "GET k", "$-1\r\n");
    leaves('c');
    says('a', "CLIENT UNPAUSE", "+OK\r\n");
    hears('b', "+OK\r\n+PONG\r\n");
    has('a', "k", large);
    says('a', "EXISTS other", ":1\r\n"); /* it was whole when its client left */
}

static void test_in_a_transaction_and_seen_by_one(void **state) {
    (void)state;
    says('b', "WATCH k", "+OK\r\n");
    says('b', "MULTI", "+OK\r\n");
    says('b', "GET k", "+QUEUED\r\n");
    says('a', "MULTI", "+OK\r\n");
    ends('a', begins('a', command_of("SET k @", large), 1000), "+QUEUED\r\n");
    says('a', "EXEC", "*1\r\n+OK\r\n");
    says('b', "EXEC", "*-1\r\n");
    has('a', "k", large);
    says('b', "WATCH k", "+OK\r\n");
    ends('a', begins('a', command_of("SET k @", other), 1000), "+OK\r\n");
    says('b', "MULTI", "+OK\r\n");
    says('b', "EXEC", "*-1\r\n");
    has('a', "k", other);
}

static void test_who_else_is_told(void **state) {
    (void)state;
    says('a', "CONFIG SET notify-keyspace-events E$ slowlog-log-slower-than 0", "+OK\r\n");
    says('b', "SUBSCRIBE __keyevent@0__:set", "*3\r\n$9\r\nsubscribe\r\n$18\r\n__keyevent@0__:set\r\n:1\r\n");
    ends('a', begins('a', command_of("SET k @", large), 1000), "+OK\r\n");
    hears('b', "*3\r\n$7\r\nmessage\r\n$18\r\n__keyevent@0__:set\r\n$1\r\nk\r\n");
    turn_to('a');
    check_contains("SLOWLOG GET 1", "xxx... (299872 more bytes)");
    check_contains("INFO commandstats", "cmdstat_set:calls=1,");
}

static void test_it_is_refused(void **state) {
    (void)state;
    struct slice command = command_of("SET a @", large);
    struct slice rest = begins('b', command, 1000);
    says('a', "SET small 1", "+OK\r\n");
    keyspace_set_maxmemory(node.keyspace, 1);
    ends('b', rest, "-OOM command not allowed when used memory > 'maxmemory'.\r\n");
    keyspace_set_maxmemory(node.keyspace, 0);
    begins('b', command, 1000);
    routing_set_self_leader(&node.routing, false);
    says('a', "SET a 1", "-CLUSTERDOWN Hash slot not served\r\n");
    ends('b', rest, "-CLUSTERDOWN Hash slot not served\r\n");
    routing_set_self_leader(&node.routing, true);
    ends('b', begins('b', command, 1000), "+OK\r\n");
    says('b', "PING", "+PONG\r\n");
}

static void sends_much_of(size_t claimed, size_t sent) {
    struct buf text;
    buf_init(&text, SIZE_MAX);
    buf_printf(&text, "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$%zu\r\n", claimed);
    send_bytes(buf_slice(&text));
    buf_deinit(&text);
    for (; sent > 0; sent -= sent < LARGE ? sent : LARGE) {
        send_bytes(slice_of(large, sent < LARGE ? sent : LARGE));
        turn();
    }
}

static void test_limits_of_input(void **state) {
    (void)state;
    says('a', "CONFIG SET client-query-buffer-limit 1048576", "+OK\r\n");
    turn_to('b');
    sends_much_of(1500000, 1200000);
    expect_closed();
    leaves('b');
    turn_to('c');
    sends_much_of(1000000, 900000);
    says('a', "CONFIG SET maxmemory-clients 500kb", "+OK\r\n");
    turn_to('c');
    expect_closed();
    leaves('c');
    says('a', "EXISTS k", ":0\r\n");
}

int main(void) {
#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up_values, tear_down_clients)
    const struct CMUnitTest tests[] = {
        TEST(test_every_form_of_set),
        TEST(test_wherever_it_is_split),
        TEST(test_it_is_read_to_its_place),
        TEST(test_nobody_sees_it_before_it_is_whole),
        TEST(test_a_client_that_leaves_or_is_killed),
        TEST(test_a_client_that_says_no_more),
        TEST(test_it_is_malformed),
        TEST(test_a_pause_holds_it_back),
        TEST(test_in_a_transaction_and_seen_by_one),
        TEST(test_who_else_is_told),
        TEST(test_it_is_refused),
        TEST(test_limits_of_input),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
