/* MULTI, EXEC, WATCH as transcripts of up to three clients. */
#include "tests/unit/history_lines.h"
#include "tests/unit/resp_clients.h"

static void test_commands_run_at_exec(void **state) {
    (void)state;
    says('a', "MULTI", "+OK\r\n");
    says('a', "SET x 1", "+QUEUED\r\n");
    says('a', "incr x", "+QUEUED\r\n");
    says('b', "EXISTS x", ":0\r\n");
    says('a', "GET x", "+QUEUED\r\n");
    says('a', "SET empty \"\"", "+QUEUED\r\n");
    says('a', "DBSIZE", "+QUEUED\r\n");
    says('a', "EXISTS x y x", "+QUEUED\r\n");
    says('a', "KEYS x*", "+QUEUED\r\n");
    says('a', "PING", "+QUEUED\r\n");
    says('a', "EXEC", "*8\r\n+OK\r\n:2\r\n$1\r\n2\r\n+OK\r\n:2\r\n:2\r\n*1\r\n$1\r\nx\r\n+PONG\r\n");
    says('a', "GET x", "$1\r\n2\r\n");
    says('a', "MULTI\r\nEXEC", "+OK\r\n*0\r\n");
}

static void test_all_in_one_packet(void **state) {
    (void)state;
    says('a', "SET x 5\r\nMULTI\r\nINCR x\r\nGET x\r\nEXEC\r\nGET x\r\nMULTI\r\nDISCARD\r\nGET x",
         "+OK\r\n+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n:6\r\n$1\r\n6\r\n$1\r\n6\r\n+OK\r\n+OK\r\n$1\r\n6\r\n");
}

static void test_an_error_of_one_command_stops_none(void **state) {
    (void)state;
    says('a', "MULTI\r\nSET x abc\r\nINCR x\r\nAPPEND x d\r\nEXEC",
         "+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n*3\r\n+OK\r\n-ERR value is not an integer or out of "
         "range\r\n:4\r\n");
}

static void test_what_is_refused_when_queued_aborts(void **state) {
    (void)state;
    static const struct {
        const char *line, *error;
    } refused[] = {
        {"SET x", "-ERR wrong number of arguments for 'set' command\r\n"},
        {"NOSUCH x", "-ERR unknown command 'NOSUCH', with args beginning with: 'x' \r\n"},
        {"CLIENT NOSUCH", "-ERR unknown subcommand 'NOSUCH'. Try CLIENT HELP.\r\n"},
    };
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        says('a', "MULTI", "+OK\r\n");
        says('a', "SET x 1", "+QUEUED\r\n");
        says('a', refused[i].line, refused[i].error);
        says('a', "SET y 1", "+QUEUED\r\n");
        says('a', "EXEC", "-EXECABORT Transaction discarded because of previous errors.\r\n");
        says('a', "EXISTS x y", ":0\r\n");
    }
    says('a', "MULTI", "+OK\r\n");
    says('a', "EXEC now",
         "-EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command\r\n");
    says('a', "EXEC", "-ERR EXEC without MULTI\r\n");
}

static void test_what_is_out_of_place(void **state) {
    (void)state;
    says('a', "EXEC", "-ERR EXEC without MULTI\r\n");
    says('a', "DISCARD", "-ERR DISCARD without MULTI\r\n");
    says('a', "MULTI", "+OK\r\n");
    says('a', "MULTI", "-ERR MULTI calls can not be nested\r\n");
    says('a', "WATCH x", "-ERR WATCH inside MULTI is not allowed\r\n");
    says('a', "SET x 1", "+QUEUED\r\n");
    says('a', "EXEC", "*1\r\n+OK\r\n");
    says('a', "MULTI\r\nSET x 2\r\nDISCARD\r\nGET x", "+OK\r\n+QUEUED\r\n+OK\r\n$1\r\n1\r\n");
    says('a', "MULTI\r\nQUIT", "+OK\r\n+OK\r\n");
    turn_to('a');
    expect_closed();
    leaves('a');
}

/* --- WATCH --- */

/* What b does between a's WATCH w and its EXEC; the key is there before, or not. */
static void expect_exec(const char *before, const char *between, bool runs) {
    says('b', "FLUSHALL", "+OK\r\n");
    if (before != NULL) {
        says('b', before, "+OK\r\n");
    }
    says('a', "WATCH w other", "+OK\r\n");
    turn_to('b');
    check_contains(between, "");
    says('a', "MULTI\r\nPING", "+OK\r\n+QUEUED\r\n");
    says('a', "EXEC", runs ? "*1\r\n+PONG\r\n" : "*-1\r\n");
}

static void test_a_watched_key(void **state) {
    (void)state;
    expect_exec("SET w 1", "GET w", true);
    expect_exec("SET w 1", "SET v 2", true);
    expect_exec("SET w 1", "SET w 1", false);
    expect_exec("SET w 1", "SET w 2 NX", true);
    expect_exec("SET w 1", "SET other 2", false);
    expect_exec("SET w 1", "APPEND w x", false);
    expect_exec("SET w 1", "DEL w", false);
    expect_exec("SET w 1", "EXPIRE w 100", false);
    expect_exec("SET w 1 EX 100", "PERSIST w", false);
    expect_exec("SET w 1", "PERSIST w", true);
    expect_exec("SET w 1", "FLUSHALL", false);
    expect_exec(NULL, "FLUSHALL", true);
    expect_exec(NULL, "SET w 1", false);
    expect_exec(NULL, "SET w 1\r\nDEL w", false);
    expect_exec(NULL, "DEL w", true);
}

static void test_an_own_change_counts_too(void **state) {
    (void)state;
    says('a', "WATCH w\r\nSET w 1\r\nMULTI\r\nPING\r\nEXEC", "+OK\r\n+OK\r\n+OK\r\n+QUEUED\r\n*-1\r\n");
    says('a', "MULTI\r\nPING\r\nEXEC", "+OK\r\n+QUEUED\r\n*1\r\n+PONG\r\n"); /* that WATCH is over */
}

static void test_what_ends_a_watch(void **state) {
    (void)state;
    says('a', "WATCH w w\r\nUNWATCH", "+OK\r\n+OK\r\n");
    says('b', "SET w 1", "+OK\r\n");
    says('a', "MULTI\r\nPING\r\nEXEC", "+OK\r\n+QUEUED\r\n*1\r\n+PONG\r\n");
    says('a', "WATCH w\r\nMULTI\r\nDISCARD", "+OK\r\n+OK\r\n+OK\r\n");
    says('b', "SET w 2", "+OK\r\n");
    says('a', "MULTI\r\nPING\r\nEXEC", "+OK\r\n+QUEUED\r\n*1\r\n+PONG\r\n");
    says('a', "UNWATCH", "+OK\r\n");
    says('c', "WATCH w\r\nMULTI\r\nSET q 1", "+OK\r\n+OK\r\n+QUEUED\r\n");
    leaves('c'); /* in the middle of it */
    says('b', "SET w 3", "+OK\r\n");
}

static void test_a_watched_key_that_expires(void **state) {
    (void)state;
    says('a', "SET w 1 PX 20\r\nWATCH w", "+OK\r\n+OK\r\n");
    pass_ms(30);
    says('a', "MULTI\r\nPING\r\nEXEC", "+OK\r\n+QUEUED\r\n*-1\r\n");
    /* One that had expired before WATCH has not changed since. */
    says('a', "SET w 1 PX 5", "+OK\r\n");
    pass_ms(10);
    says('a', "WATCH w\r\nMULTI\r\nPING\r\nEXEC", "+OK\r\n+OK\r\n+QUEUED\r\n*1\r\n+PONG\r\n");
}

/* A follower deletes nothing by itself; the key has gone all the same. */
static void test_a_watched_key_that_expires_on_a_follower(void **state) {
    (void)state;
    keyspace_set_owner(node.keyspace, false);
    says('a', "SET w 1 PX 20\r\nWATCH w", "+OK\r\n+OK\r\n");
    pass_ms(30);
    says('a', "MULTI\r\nPING\r\nEXEC", "+OK\r\n+QUEUED\r\n*-1\r\n");
}

static void test_changes_that_no_client_makes(void **state) {
    (void)state;
    says('a', "WATCH w", "+OK\r\n");
    store_changes("w", "by REST");
    says('a', "MULTI\r\nPING\r\nEXEC", "+OK\r\n+QUEUED\r\n*-1\r\n");
    static const char *const lines[] = {"REPLICATE|w|by the leader|9", "EXPIREX|w|99999999999999",
                                        "DELETE|w|10", "REPLICATE|w|again|11", "FLUSH|12"};
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        says('a', "WATCH w", "+OK\r\n");
        line_arrives(lines[i]);
        says('a', "MULTI\r\nPING\r\nEXEC", "+OK\r\n+QUEUED\r\n*-1\r\n");
    }
}

/* Whoever is told of a flush only looks: the flush is one line of the history, whatever has expired. */
static void test_a_flush_with_a_watched_key_that_has_expired(void **state) {
    (void)state;
    says('a', "SET x 1\r\nSET w 1 PX 20\r\nWATCH w", "+OK\r\n+OK\r\n+OK\r\n");
    says('b', "DEBUG SET-ACTIVE-EXPIRE 0", "+OK\r\n");
    pass_ms(30);
    uint64_t index = history_index(node.history);
    says('b', "FLUSHALL", "+OK\r\n");
    assert_int_equal(history_index(node.history), index + 1);
    says('a', "MULTI\r\nPING\r\nEXEC", "+OK\r\n+QUEUED\r\n*-1\r\n");
}

/* What was missing when it was watched does not change when its remains are taken away. */
static void test_a_watched_key_that_had_expired_before(void **state) {
    (void)state;
    says('a', "SET w 1 PX 20\r\nDEBUG SET-ACTIVE-EXPIRE 0", "+OK\r\n+OK\r\n");
    pass_ms(30);
    says('a', "WATCH w", "+OK\r\n");
    says('b', "GET w\r\nDBSIZE", "$-1\r\n:0\r\n");
    says('a', "MULTI\r\nPING\r\nEXEC", "+OK\r\n+QUEUED\r\n*1\r\n+PONG\r\n");
    says('a', "WATCH w", "+OK\r\n");
    says('b', "SET w 2\r\nDEL w", "+OK\r\n:1\r\n");
    says('a', "MULTI\r\nPING\r\nEXEC", "+OK\r\n+QUEUED\r\n*-1\r\n");
}

static void test_resp3(void **state) {
    (void)state;
    speaks_resp3('a');
    says('a', "WATCH w\r\nSET w 1\r\nMULTI\r\nGET x\r\nEXEC", "+OK\r\n+OK\r\n+OK\r\n+QUEUED\r\n_\r\n");
    says('a', "MULTI\r\nGET x\r\nEXEC", "+OK\r\n+QUEUED\r\n*1\r\n_\r\n");
}

/* --- The history, and the cluster --- */

static void test_one_batch_in_the_history(void **state) {
    (void)state;
    history_keep(node.history);
    uint64_t index = history_index(node.history);
    says('a', "MULTI\r\nSET x 1\r\nINCR x\r\nGET x\r\nDEL x\r\nEXEC",
         "+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n*4\r\n+OK\r\n:2\r\n$1\r\n2\r\n:1\r\n");
    struct slice written = history_lines_behind(node.history, index);
    assert_true(written.len > 6 && memcmp(written.ptr, "CLOCK|", 6) == 0);
    const char *end_of_clock = memchr(written.ptr, '\n', written.len);
    assert_non_null(end_of_clock);
    struct slice lines = slice_skip(written, (size_t)(end_of_clock + 1 - written.ptr));
    struct slice expected = SLICE("BATCH|3\nREPLICATE|x|1|1\nREPLICATE|x|2|2\nDELETE|x|3\n");
    assert_true(slice_equals(lines, expected));
    /* One that changes nothing writes nothing. */
    index = history_index(node.history);
    says('a', "MULTI\r\nGET x\r\nEXEC", "+OK\r\n+QUEUED\r\n*1\r\n$-1\r\n");
    assert_int_equal(history_index(node.history), index);
}

static void find_key(uint16_t group, const char *prefix, char out[16]) {
    int i = 0;
    do {
        snprintf(out, 16, "%s%d", prefix, i++);
    } while (node.routing.owners[slot_of_key(slice_from_text(out))] != group);
}

static void test_keys_of_two_groups(void **state) {
    (void)state;
    datagram_arrives("ANNOUNCE|other001|10.0.0.9|8000|1|true");
    datagram_arrives("ENDPOINTS|other001|9001|6390");
    char mine[16], also_mine[16], theirs[16], line[128], moved[128];
    find_key(0, "k", mine);
    find_key(0, "l", also_mine);
    find_key(1, "k", theirs);
    says('a', "MULTI", "+OK\r\n");
    snprintf(line, sizeof(line), "SET %s 1\r\nSET %s 2\r\nEXEC", mine, also_mine);
    says('a', line, "+QUEUED\r\n+QUEUED\r\n*2\r\n+OK\r\n+OK\r\n"); /* in two slots */
    says('a', "MULTI", "+OK\r\n");
    snprintf(line, sizeof(line), "SET %s 1", theirs);
    snprintf(moved, sizeof(moved), "-MOVED %u 10.0.0.9:6390\r\n", slot_of_key(slice_from_text(theirs)));
    says('a', line, moved);
    says('a', "EXEC", "-EXECABORT Transaction discarded because of previous errors.\r\n");
    says('a', "MULTI", "+OK\r\n");
    snprintf(line, sizeof(line), "MSET %s 1 %s 2", mine, theirs);
    says('a', line, "-CROSSSLOT Keys in request don't hash to the same slot\r\n");
    says('a', "EXEC", "-EXECABORT Transaction discarded because of previous errors.\r\n");
    snprintf(line, sizeof(line), "WATCH %s", theirs);
    says('a', line, moved);
}

/* What was admitted when it was queued may not be any more. */
static void test_things_change_before_exec(void **state) {
    (void)state;
    says('a', "MULTI\r\nSET x 1\r\nSET y 1", "+OK\r\n+QUEUED\r\n+QUEUED\r\n");
    node.replication.role = REPLICATION_FOLLOWER;
    membership_set_leader(node.membership, false, 0, loop_now_ms(node.loop));
    routing_set_self_leader(&node.routing, false);
    datagram_arrives("ANNOUNCE|leader01|10.0.0.1|8000|0|true");
    datagram_arrives("ENDPOINTS|leader01|9000|6379");
    says('a', "EXEC", "-MOVED 16287 10.0.0.1:6379\r\n");
    says('a', "EXISTS x y", ":0\r\n");
    says('a', "MULTI\r\nEXISTS x y\r\nEXEC", "+OK\r\n+QUEUED\r\n*1\r\n:0\r\n");
}

static void test_memory_is_short_at_exec(void **state) {
    (void)state;
    says('a', "SET x 1\r\nMULTI\r\nGET x\r\nSET y 1", "+OK\r\n+OK\r\n+QUEUED\r\n+QUEUED\r\n");
    keyspace_set_maxmemory(node.keyspace, 1);
    says('a', "EXEC",
         "-EXECABORT Transaction discarded because of: OOM command not allowed when used memory > "
         "'maxmemory'.\r\n");
    says('a', "MULTI\r\nGET x\r\nEXEC",
         "+OK\r\n-OOM command not allowed when used memory > 'maxmemory'.\r\n"
         "-EXECABORT Transaction discarded because of previous errors.\r\n");
    says('a', "MULTI\r\nDISCARD\r\nGET x", "+OK\r\n+OK\r\n$1\r\n1\r\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        client_test(test_commands_run_at_exec),
        client_test(test_all_in_one_packet),
        client_test(test_an_error_of_one_command_stops_none),
        client_test(test_what_is_refused_when_queued_aborts),
        client_test(test_what_is_out_of_place),
        client_test(test_a_watched_key),
        client_test(test_an_own_change_counts_too),
        client_test(test_what_ends_a_watch),
        client_test(test_a_watched_key_that_expires),
        client_test(test_a_watched_key_that_expires_on_a_follower),
        client_test(test_changes_that_no_client_makes),
        client_test(test_a_flush_with_a_watched_key_that_has_expired),
        client_test(test_a_watched_key_that_had_expired_before),
        client_test(test_resp3),
        client_test(test_one_batch_in_the_history),
        client_test(test_keys_of_two_groups),
        client_test(test_things_change_before_exec),
        client_test(test_memory_is_short_at_exec),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
