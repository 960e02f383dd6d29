/* Client-side caching: a reads, b writes, a is told. */
#include "tests/unit/resp_clients.h"

#define INVALIDATE(bytes, key) ">2\r\n$10\r\ninvalidate\r\n*1\r\n$" #bytes "\r\n" key "\r\n"

static void tracks(char who, const char *options) {
    char line[128];
    speaks_resp3(who);
    snprintf(line, sizeof(line), "CLIENT TRACKING ON %s", options);
    says(who, line, "+OK\r\n");
}

static void test_a_key_that_was_read(void **state) {
    (void)state;
    tracks('a', "");
    says('b', "SET x 1", "+OK\r\n");
    hears('a', ""); /* it has not read it */
    says('a', "GET x", "$1\r\n1\r\n");
    says('b', "GET x\r\nSET y 1", "$1\r\n1\r\n+OK\r\n");
    hears('a', "");
    says('b', "SET x 2", "+OK\r\n");
    hears('a', INVALIDATE(1, "x"));
    says('b', "SET x 3", "+OK\r\n");
    hears('a', ""); /* it was told once, and has not read it again */
    says('a', "GET x\r\nGET x\r\nEXISTS y z", "$1\r\n3\r\n$1\r\n3\r\n:1\r\n");
    says('b', "DEL x\r\nEXPIRE y 100\r\nSET z 1", ":1\r\n:1\r\n+OK\r\n");
    hears('a', INVALIDATE(1, "x") INVALIDATE(1, "y") INVALIDATE(1, "z"));
    says('a', "CLIENT TRACKING OFF\r\nGET z", "+OK\r\n$1\r\n1\r\n");
    says('b', "SET z 2", "+OK\r\n");
    hears('a', "");
}

/* One message a change, whatever it consists of. */
static void test_a_change_is_told_once(void **state) {
    (void)state;
    tracks('a', "BCAST");
    says('b', "SET x 1 EX 100", "+OK\r\n");
    hears('a', INVALIDATE(1, "x"));
    says('b', "SET x 1 XX", "+OK\r\n");
    hears('a', INVALIDATE(1, "x"));
    says('b', "SET x 1 NX\r\nGET nosuch\r\nDEL nosuch", "$-1\r\n$-1\r\n:0\r\n");
    hears('a', "");
}

static void test_own_changes(void **state) {
    (void)state;
    tracks('a', "");
    says('a', "GET x\r\nSET x 1\r\nGET x", "_\r\n+OK\r\n" INVALIDATE(1, "x") "$1\r\n1\r\n");
    says('a', "MULTI\r\nSET x 2\r\nGET x\r\nEXEC",
         "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n+OK\r\n$1\r\n2\r\n" INVALIDATE(1, "x"));
    tracks('c', "NOLOOP");
    says('c', "GET x\r\nSET x 3", "$1\r\n2\r\n+OK\r\n");
    hears('a', INVALIDATE(1, "x"));
    says('c', "GET x", "$1\r\n3\r\n");
    says('b', "SET x 4", "+OK\r\n");
    hears('c', INVALIDATE(1, "x"));
}

static void test_changes_that_no_client_makes(void **state) {
    (void)state;
    tracks('a', "NOLOOP");
    says('a', "GET x", "_\r\n");
    store_changes("x", "by REST");
    hears('a', INVALIDATE(1, "x"));
    says('a', "GET x", "$7\r\nby REST\r\n");
    line_arrives("REPLICATE|x|by the leader|9");
    hears('a', INVALIDATE(1, "x"));
    says('a', "GET x", "$13\r\nby the leader\r\n");
    line_arrives("DELETE|x|10");
    hears('a', INVALIDATE(1, "x"));
    says('a', "SET x 1 PX 10\r\nGET x", "+OK\r\n$1\r\n1\r\n");
    turn_to('a');
    receive_bytes(sizeof(INVALIDATE(1, "x")) - 1); /* when it has expired */
    hears('a', INVALIDATE(1, "x"));
    line_arrives("FLUSH|20");
    hears('a', ">2\r\n$10\r\ninvalidate\r\n_\r\n");
}

static void test_flush(void **state) {
    (void)state;
    tracks('a', "");
    tracks('c', "BCAST PREFIX foo");
    says('a', "GET x\r\nGET y", "_\r\n_\r\n");
    says('b', "FLUSHALL", "+OK\r\n");
    hears('a', ">2\r\n$10\r\ninvalidate\r\n_\r\n");
    hears('c', ">2\r\n$10\r\ninvalidate\r\n_\r\n");
    says('b', "SET x 1", "+OK\r\n");
    hears('a', "");
}

static void test_prefixes(void **state) {
    (void)state;
    tracks('a', "BCAST PREFIX foo PREFIX bar");
    tracks('c', "BCAST NOLOOP");
    says('b', "SET foo:1 a\r\nSET fo a\r\nSET bar a", "+OK\r\n+OK\r\n+OK\r\n");
    hears('a', INVALIDATE(5, "foo:1") INVALIDATE(3, "bar"));
    hears('c', ">2\r\n$10\r\ninvalidate\r\n*3\r\n$3\r\nbar\r\n$2\r\nfo\r\n$5\r\nfoo:1\r\n");
    says('c', "SET bar b\r\nSET fo b\r\nSET fo c", "+OK\r\n+OK\r\n+OK\r\n");
    hears('a', INVALIDATE(3, "bar"));
    says('c', "SET foo b", "+OK\r\n");
    hears('a', INVALIDATE(3, "foo"));
    says('a', "SET bar b\r\nPING", "+OK\r\n+PONG\r\n" INVALIDATE(3, "bar"));
    hears('c', INVALIDATE(3, "bar"));
    says('a', "CLIENT TRACKING ON BCAST PREFIX fo",
         "-ERR Prefix 'fo' overlaps with an existing prefix 'foo'. Prefixes for a single client must not "
         "overlap.\r\n");
    says('a', "CLIENT TRACKING ON BCAST PREFIX zz PREFIX zzy",
         "-ERR Prefix 'zz' overlaps with another provided prefix 'zzy'. Prefixes for a single client must not "
         "overlap.\r\n");
    says('a', "CLIENT TRACKING ON BCAST PREFIX zoo", "+OK\r\n");
    says('b', "SET zoo 1", "+OK\r\n");
    hears('a', INVALIDATE(3, "zoo"));
    says(
        'a', "CLIENT TRACKINGINFO",
        "%3\r\n$5\r\nflags\r\n~2\r\n$2\r\non\r\n$5\r\nbcast\r\n$8\r\nredirect\r\n:0\r\n$8\r\nprefixes\r\n*3\r\n"
        "$3\r\nfoo\r\n$3\r\nbar\r\n$3\r\nzoo\r\n");
}

/* What two have changed between two polls is news for both, NOLOOP or not. */
static void test_changes_of_several_clients(void **state) {
    (void)state;
    tracks('a', "BCAST NOLOOP");
    tracks('c', "BCAST NOLOOP");
    turn_to('a');
    send_bytes(SLICE("MSET x 1 mine 1\r\n"));
    turn_to('c');
    send_bytes(SLICE("SET x 2\r\n"));
    hears('c', "+OK\r\n>2\r\n$10\r\ninvalidate\r\n*2\r\n$4\r\nmine\r\n$1\r\nx\r\n");
    hears('a', "+OK\r\n" INVALIDATE(1, "x"));
}

/* Very many keys are several messages: the node works in slices. */
static void test_many_changes(void **state) {
    (void)state;
    enum { KEYS = 5000 };
    tracks('a', "BCAST");
    struct buf line;
    buf_init(&line, SIZE_MAX);
    buf_printf(&line, "*%d\r\n$4\r\nMSET\r\n", 1 + 2 * KEYS);
    for (int i = 0; i < KEYS; i++) {
        buf_printf(&line, "$4\r\n%04d\r\n$0\r\n\r\n", KEYS - 1 - i);
    }
    turn_to('b');
    send_bytes(buf_slice(&line));
    hears('b', "+OK\r\n");
    buf_reset(&line);
    for (int from = KEYS - 4096, to = KEYS; to > 0; to = from, from = 0) {
        buf_printf(&line, ">2\r\n$10\r\ninvalidate\r\n*%d\r\n", to - from);
        for (int i = from; i < to; i++) {
            buf_printf(&line, "$4\r\n%04d\r\n", i);
        }
    }
    turn_to('a');
    expect_bytes(buf_slice(&line));
    buf_deinit(&line);
}

static void test_opt_in(void **state) {
    (void)state;
    tracks('a', "OPTIN");
    says('a', "GET x", "_\r\n");
    says('b', "SET x 1", "+OK\r\n");
    hears('a', "");
    says('a', "CLIENT CACHING YES\r\nCLIENT TRACKINGINFO",
         "+OK\r\n%3\r\n$5\r\nflags\r\n~3\r\n$2\r\non\r\n$5\r\noptin\r\n$11\r\ncaching-yes\r\n$"
         "8\r\nredirect\r\n:0\r\n"
         "$8\r\nprefixes\r\n*0\r\n");
    says('a', "GET x\r\nGET y", "$1\r\n1\r\n_\r\n");
    says('b', "SET x 2\r\nSET y 2", "+OK\r\n+OK\r\n");
    hears('a', INVALIDATE(1, "x"));
    says('a', "CLIENT CACHING YES\r\nMULTI\r\nGET x\r\nGET y\r\nEXEC\r\nGET z",
         "+OK\r\n+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n$1\r\n2\r\n$1\r\n2\r\n_\r\n");
    says('b', "MSET x 3 y 3 z 3", "+OK\r\n");
    hears('a', INVALIDATE(1, "x") INVALIDATE(1, "y"));
}

static void test_opt_out(void **state) {
    (void)state;
    tracks('a', "OPTOUT");
    says('a', "CLIENT CACHING NO\r\nGET x\r\nGET y", "+OK\r\n_\r\n_\r\n");
    says('b', "SET x 1\r\nSET y 1", "+OK\r\n+OK\r\n");
    hears('a', INVALIDATE(1, "y"));
}

static void test_what_does_not_go_together(void **state) {
    (void)state;
    static const struct {
        const char *line, *error;
    } wrong[] = {
        {"CLIENT TRACKING", "wrong number of arguments for 'client|tracking' command"},
        {"CLIENT TRACKING maybe", "syntax error"},
        {"CLIENT TRACKING ON foo", "syntax error"},
        {"CLIENT TRACKING ON PREFIX", "syntax error"},
        {"CLIENT TRACKING ON PREFIX a", "PREFIX option requires BCAST mode to be enabled"},
        {"CLIENT TRACKING ON BCAST OPTIN", "OPTIN and OPTOUT are not compatible with BCAST"},
        {"CLIENT TRACKING ON OPTIN OPTOUT", "You can't specify both OPTIN mode and OPTOUT mode"},
        {"CLIENT TRACKING ON REDIRECT x", "value is not an integer or out of range"},
        {"CLIENT TRACKING ON REDIRECT 999", "The client ID you want redirect to does not exist"},
        {"CLIENT TRACKING ON REDIRECT 1 REDIRECT 1", "A client can only redirect to a single other client"},
        {"CLIENT CACHING YES", "CLIENT CACHING can be called only when the client is in tracking mode with "
                               "OPTIN or OPTOUT mode enabled"},
    };
    char expected[256];
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        snprintf(expected, sizeof(expected), "-ERR %s\r\n", wrong[i].error);
        says('a', wrong[i].line, expected);
    }
    says('a', "CLIENT GETREDIR", ":-1\r\n");
    says('a', "CLIENT TRACKING ON OPTIN", "+OK\r\n");
    says('a', "CLIENT CACHING NO",
         "-ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.\r\n");
    says('a', "CLIENT CACHING maybe", "-ERR syntax error\r\n");
    says('a', "CLIENT TRACKING ON OPTOUT",
         "-ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then "
         "re-enabling it "
         "with a different mode.\r\n");
    says('a', "CLIENT TRACKING ON BCAST",
         "-ERR You can't switch BCAST mode on/off before disabling tracking for this client, and then "
         "re-enabling it "
         "with a different mode.\r\n");
    says('a', "CLIENT GETREDIR", ":0\r\n");
}

/* A RESP2 client has its messages sent to another connection of its own, which listens to a channel for it. */
static void test_redirection(void **state) {
    (void)state;
    says('b', "CLIENT ID", ":2\r\n");
    says('b', "SUBSCRIBE __redis__:invalidate",
         "*3\r\n$9\r\nsubscribe\r\n$20\r\n__redis__:invalidate\r\n:1\r\n");
    says('a', "CLIENT TRACKING ON REDIRECT 2\r\nCLIENT GETREDIR\r\nGET x", "+OK\r\n:2\r\n$-1\r\n");
    says('c', "SET x 1", "+OK\r\n");
    hears('a', "");
    hears('b', "*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n*1\r\n$1\r\nx\r\n");
    says('c', "FLUSHALL", "+OK\r\n");
    hears('b', "*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n*-1\r\n");
    says('a', "GET x", "$-1\r\n");
    leaves('b');
    says('c', "SET x 1", "+OK\r\n");
    says('a', "CLIENT TRACKINGINFO",
         "*6\r\n$5\r\nflags\r\n*2\r\n$2\r\non\r\n$15\r\nbroken_redirect\r\n$8\r\nredirect\r\n:2\r\n$"
         "8\r\nprefixes\r\n"
         "*0\r\n");
    speaks_resp3('a');
    says('a', "GET x", "$1\r\n1\r\n");
    says('c', "SET x 2", "+OK\r\n");
    hears('a', ">2\r\n$21\r\ntracking-redir-broken\r\n:2\r\n");
}

/* RESP2 without a redirection: there is no way to tell it, and nothing breaks. */
static void test_resp2(void **state) {
    (void)state;
    says('a', "CLIENT TRACKING ON\r\nGET x", "+OK\r\n$-1\r\n");
    says('b', "SET x 1", "+OK\r\n");
    hears('a', "");
    says('a', "GET x", "$1\r\n1\r\n");
}

/* A key too many: some key is forgotten, and that is told as a change: to a client of NOLOOP too, although its
 * own command has brought the key. */
static void reads_more_than_the_table_takes(const char *options) {
    node.settings.tracking_table_max_keys = 10;
    tracks('a', options);
    size_t told = 0;
    for (int i = 0; i < 100; i++) {
        char line[32];
        snprintf(line, sizeof(line), "GET key:%02d\r\n", i);
        turn_to('a');
        send_bytes(slice_from_text(line));
        receive_bytes(3);
        buf_append_byte(&node.received, '\0');
        told += strstr(buf_slice(&node.received).ptr, "invalidate") != NULL;
        buf_reset(&node.received);
    }
    assert_int_equal(told, 90);
}

static void test_the_table_is_bounded(void **state) {
    (void)state;
    reads_more_than_the_table_takes("");
}

static void test_the_table_is_bounded_for_noloop(void **state) {
    (void)state;
    reads_more_than_the_table_takes("NOLOOP");
}

/* A limit that is lowered takes effect at once, not when the next key comes. */
static void test_a_lowered_limit_shrinks_the_table(void **state) {
    (void)state;
    tracks('c', "");
    says('c', "GET x\r\nGET y\r\nGET z", "_\r\n_\r\n_\r\n");
    says('b', "CONFIG SET tracking-table-max-keys 2", "+OK\r\n");
    turn_to('c');
    receive_bytes(sizeof(INVALIDATE(1, "x")) - 1);
    assert_int_equal(buf_used(&node.received), sizeof(INVALIDATE(1, "x")) - 1);
    buf_reset(&node.received);
    turn_to('b');
    check_contains("INFO stats", "tracking_total_keys:2\r\n");
}

/* What goes to make room for a client's write is not the client's change. */
static void test_eviction_is_told_to_noloop(void **state) {
    (void)state;
    tracks('c', "NOLOOP");
    says('b', "SET x 1\r\nCONFIG SET maxmemory-policy allkeys-lru", "+OK\r\n+OK\r\n");
    says('c', "GET x", "$1\r\n1\r\n");
    struct key x = keyspace_key(node.keyspace, SLICE("x"));
    assert_true(keyspace_set_idle_ms(node.keyspace, &x, 60000));
    keyspace_set_maxmemory(node.keyspace, keyspace_used_bytes(node.keyspace));
    says('c', "SET y 1\r\nSET z 1", "+OK\r\n+OK\r\n" INVALIDATE(1, "x"));
}

/* Nor is what has expired, and goes for the same reason. */
static void test_expiry_for_room_is_told_to_noloop(void **state) {
    (void)state;
    keyspace_set_active_expiry(node.keyspace, false);
    tracks('c', "NOLOOP");
    says('b', "SET x 1 PX 100\r\nCONFIG SET maxmemory-policy allkeys-lru", "+OK\r\n+OK\r\n");
    says('c', "GET x", "$1\r\n1\r\n");
    pass_ms(101);
    keyspace_set_maxmemory(node.keyspace, keyspace_used_bytes(node.keyspace));
    says('c', "SET y 1\r\nSET z 1", "+OK\r\n+OK\r\n" INVALIDATE(1, "x"));
}

/* Who has gone is not told, and its keys are no one's. */
static void test_leaving(void **state) {
    (void)state;
    tracks('a', "");
    tracks('c', "");
    says('a', "GET x", "_\r\n");
    says('c', "GET x", "_\r\n");
    leaves('c');
    says('b', "SET x 1", "+OK\r\n");
    hears('a', INVALIDATE(1, "x"));
    tracks('c', "BCAST PREFIX x");
    leaves('c');
    says('b', "SET x 1", "+OK\r\n");
    hears('a', "");
    says('a', "GET x\r\nRESET", "$1\r\n1\r\n+RESET\r\n");
    says('b', "SET x 2", "+OK\r\n");
    says('a', "PING", "+PONG\r\n");
}

/* Its connection is still there, for its peer has not closed it. */
static void test_a_target_that_quits(void **state) {
    (void)state;
    says('b', "CLIENT ID", ":2\r\n");
    says('a', "CLIENT TRACKING ON REDIRECT 2\r\nGET x", "+OK\r\n$-1\r\n");
    says('b', "QUIT", "+OK\r\n");
    says('c', "SET x 1", "+OK\r\n");
    check_contains("CLIENT LIST TYPE normal", "id=1 ");
    check("CLIENT LIST ID 2", "$0\r\n\r\n");
    check("CLIENT KILL ID 2", ":0\r\n");
    check_contains("INFO clients", "tracking_clients:1\r\n");
    check_contains("INFO clients", "resp_clients:3\r\n"); /* connections: it counts for maxclients */
    turn_to('a');
    check_contains("CLIENT TRACKINGINFO", "broken_redirect");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        client_test(test_a_key_that_was_read),
        client_test(test_a_change_is_told_once),
        client_test(test_own_changes),
        client_test(test_changes_that_no_client_makes),
        client_test(test_flush),
        client_test(test_prefixes),
        client_test(test_changes_of_several_clients),
        client_test(test_many_changes),
        client_test(test_opt_in),
        client_test(test_opt_out),
        client_test(test_what_does_not_go_together),
        client_test(test_redirection),
        client_test(test_resp2),
        client_test(test_the_table_is_bounded),
        client_test(test_the_table_is_bounded_for_noloop),
        client_test(test_a_lowered_limit_shrinks_the_table),
        client_test(test_eviction_is_told_to_noloop),
        client_test(test_expiry_for_room_is_told_to_noloop),
        client_test(test_leaving),
        client_test(test_a_target_that_quits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
