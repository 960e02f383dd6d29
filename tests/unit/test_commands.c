/* Commands through a whole session, and what a session does with what it reads. */
#include "tests/unit/resp_fixture.h"

/* --- Strings and keys
 * --------------------------------------------------------------------------------------------- */

static void test_get_and_set(void **state) {
    (void)state;
    check("GET a", "$-1\r\n");
    check("SET a b", "+OK\r\n");
    check("gEt a", "$1\r\nb\r\n");
    check("SET a c NX", "$-1\r\n");
    check("SET x c XX", "$-1\r\n");
    check("SET a c XX", "+OK\r\n");
    check("SET a d GET", "$1\r\nc\r\n");
    check("SET a e NX GET", "$1\r\nd\r\n");
    check("SET new e nx get", "$-1\r\n");
    check("GET new", "$1\r\ne\r\n");
    check("GET a", "$1\r\nd\r\n");
    check("SET a \"\" PX 100000", "+OK\r\n");
    check("GET a", "$0\r\n\r\n");
}

static void test_set_times(void **state) {
    (void)state;
    check("SET a b EX 100", "+OK\r\n");
    check("TTL a", ":100\r\n");
    check("SET a b KEEPTTL", "+OK\r\n");
    check("TTL a", ":100\r\n");
    check("SET a b", "+OK\r\n");
    check("TTL a", ":-1\r\n");
    check("SET a b EX 10 EX 20", "+OK\r\n");
    check("TTL a", ":20\r\n");
    check("SET a b PXAT 1", "+OK\r\n");
    check("GET a", "$-1\r\n");
    check("SET a b EXAT 1", "+OK\r\n");
    check("TTL a", ":-2\r\n");
    check("PTTL a", ":-2\r\n");
}

static void test_set_is_refused(void **state) {
    (void)state;
    static const char *const wrong[] = {
        "SET a b EX",           "SET a b foo",          "SET a b NX XX",     "SET a b XX NX",
        "SET a b KEEPTTL EX 5", "SET a b EX 5 KEEPTTL", "SET a b EX 5 PX 5", "SET a b PXAT 5 EXAT 5",
        "SET a b PERSIST",      "SET a b GET EX",
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        check(wrong[i], "-ERR syntax error\r\n");
    }
    static const char *const invalid[] = {
        "SET a b EX 0",
        "SET a b PX -1",
        "SET a b EXAT 0",
        "SET a b PXAT 281474976710656",
        "SET a b EX 9223372036854775807",
        "SET a b PX 9223372036854775807",
        "SET a b EX 281474976711",
    };
    for (size_t i = 0; i < sizeof(invalid) / sizeof(invalid[0]); i++) {
        check(invalid[i], "-ERR invalid expire time in 'set' command\r\n");
    }
    check("SET a b EX x", "-ERR value is not an integer or out of range\r\n");
    check("SET a b EX 1.5", "-ERR value is not an integer or out of range\r\n");
    check("SET a b EX 01", "-ERR value is not an integer or out of range\r\n");
    check("EXISTS a", ":0\r\n");
}

static void test_expire(void **state) {
    (void)state;
    check("EXPIRE a 100", ":0\r\n");
    check("SET a b", "+OK\r\n");
    check("EXPIRE a 100 XX", ":0\r\n");
    check("EXPIRE a 100 GT", ":0\r\n");
    check("EXPIRE a 100 LT", ":1\r\n");
    check("EXPIRE a 200 NX", ":0\r\n");
    check("EXPIRE a 200 LT", ":0\r\n");
    check("EXPIRE a 200 GT", ":1\r\n");
    check("EXPIRE a 50 XX LT", ":1\r\n");
    check("TTL a", ":50\r\n");
    check("PEXPIRE a 1600", ":1\r\n");
    check("TTL a", ":2\r\n");
    check("PERSIST a", ":1\r\n");
    check("PERSIST a", ":0\r\n");
    check("PTTL a", ":-1\r\n");
    check("EXPIRE a 5 foo", "-ERR Unsupported option foo\r\n");
    check("EXPIRE a 5 nx gt", "-ERR NX and XX, GT or LT options at the same time are not compatible\r\n");
    check("EXPIRE a 5 gt lt", "-ERR GT and LT options at the same time are not compatible\r\n");
    check("EXPIRE a x", "-ERR value is not an integer or out of range\r\n");
    check("EXPIRE a 9223372036854775807", "-ERR invalid expire time in 'expire' command\r\n");
    check("EXPIRE a -9223372036854775807", "-ERR invalid expire time in 'expire' command\r\n");
    check("PEXPIRE a 9223372036854775807", "-ERR invalid expire time in 'pexpire' command\r\n");
    check("EXISTS a", ":1\r\n");
    check("EXPIRE a -1", ":1\r\n");
    check("EXISTS a", ":0\r\n");
    check("PERSIST a", ":0\r\n");
}

static void test_keys_whatever_they_hold(void **state) {
    (void)state;
    check("SET a 1\r\nSET b 2\r\nSET c 3", "+OK\r\n+OK\r\n+OK\r\n");
    check("TYPE a", "+string\r\n");
    check("TYPE x", "+none\r\n");
    check("EXISTS a b x a", ":3\r\n");
    check("DBSIZE", ":3\r\n");
    check("DEL a x b a", ":2\r\n");
    check("DBSIZE", ":1\r\n");
    check("FLUSHALL x", "-ERR syntax error\r\n");
    check("FLUSHALL ASYNC SYNC", "-ERR syntax error\r\n");
    check("FLUSHALL sync", "+OK\r\n");
    check("DBSIZE", ":0\r\n");
    check("GET c", "$-1\r\n");
}

static void test_many_keys_in_one_command(void **state) {
    (void)state;
    struct buf command;
    buf_init(&command, SIZE_MAX);
    enum { KEYS = 1000 };
    for (int i = 0; i < KEYS; i++) {
        buf_printf(&command, "*3\r\n$3\r\nSET\r\n$4\r\n%04d\r\n$1\r\nv\r\n", i);
    }
    send_bytes(buf_slice(&command));
    receive_bytes(KEYS * 5);
    buf_reset(&node.received);
    buf_reset(&command);
    buf_printf(&command, "*%d\r\n$3\r\nDEL\r\n", KEYS + 1);
    for (int i = 0; i < KEYS; i++) {
        buf_printf(&command, "$4\r\n%04d\r\n", i);
    }
    send_bytes(buf_slice(&command));
    expect_bytes(SLICE(":1000\r\n"));
    buf_deinit(&command);
}

/* --- Looking for keys
 * --------------------------------------------------------------------------------------------- */

static void set_many(int count) {
    struct buf commands;
    buf_init(&commands, SIZE_MAX);
    for (int i = 0; i < count; i++) {
        char key[32];
        int n = snprintf(key, sizeof(key), "key:%07d", i);
        buf_printf(&commands, "*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$1\r\nv\r\n", n, key);
        if (i % 1000 == 999 || i + 1 == count) {
            send_bytes(buf_slice(&commands));
            receive_bytes((size_t)(i % 1000 + 1) * 5);
            buf_reset(&commands);
            buf_reset(&node.received);
        }
    }
    buf_deinit(&commands);
}

static void test_keys(void **state) {
    (void)state;
    check("KEYS *", "*0\r\n");
    check("SET user:1 a\r\nSET x b", "+OK\r\n+OK\r\n");
    check("KEYS user:*", "*1\r\n$6\r\nuser:1\r\n");
    check("KEYS ?", "*1\r\n$1\r\nx\r\n");
    check("KEYS nothing*\r\nPING", "*0\r\n+PONG\r\n");
}

/* Commands behind a KEYS wait for its reply; all keys are in it, once. */
static void test_keys_of_a_large_store(void **state) {
    (void)state;
    enum { KEYS = 60000 };
    set_many(KEYS);
    send_bytes(SLICE("*2\r\n$4\r\nKEYS\r\n$1\r\n*\r\n*1\r\n$4\r\nPING\r\n"));
    static const size_t element = sizeof("$11\r\nkey:0000000\r\n") - 1, head = sizeof("*60000\r\n") - 1;
    size_t length = head + KEYS * element;
    receive_bytes(length + 7);
    assert_int_equal(buf_used(&node.received), length + 7);
    const char *at = buf_slice(&node.received).ptr;
    assert_memory_equal(at, "*60000\r\n", head);
    assert_memory_equal(at + length, "+PONG\r\n", 7);
    static bool seen[KEYS];
    memset(seen, 0, sizeof(seen));
    for (int i = 0; i < KEYS; i++) {
        int number = atoi(at + head + (size_t)i * element + 9);
        assert_false(seen[number]);
        seen[number] = true;
    }
    buf_reset(&node.received);
}

/* The client goes while its KEYS is under way; or the keys do. Nobody else waits meanwhile. */
static void test_keys_survives_what_happens(void **state) {
    (void)state;
    set_many(30000);
    send_bytes(SLICE("KEYS *\r\n"));
    turn();
    close(node.client);
    for (int i = 0; i < 5; i++) {
        turn();
    }
    connect_client();
    check("PING", "+PONG\r\n");
    send_bytes(SLICE("KEYS nothing*\r\n"));
    turn();
    int slow = node.client;
    connect_client();
    check("FLUSHALL", "+OK\r\n");
    close(node.client);
    node.client = slow;
    expect_bytes(SLICE("*0\r\n"));
    check("DBSIZE", ":0\r\n");
}

enum { SCAN_KEYS = 10000 };

/* A whole iteration, as a client does it; returns how many calls it took. */
static int scan_all(const char *options, int keys) {
    static bool seen[SCAN_KEYS];
    memset(seen, 0, sizeof(seen));
    char cursor[32] = "0";
    int calls = 0;
    do {
        char line[128];
        snprintf(line, sizeof(line), "SCAN %s %s\r\nECHO |\r\n", cursor, options);
        send_bytes(slice_from_text(line));
        do {
            receive_bytes(buf_used(&node.received) + 1);
            buf_append_byte(&node.received, '\0');
            buf_truncate(&node.received, buf_used(&node.received) - 1);
        } while (strstr(buf_slice(&node.received).ptr, "$1\r\n|\r\n") == NULL);
        char *at = node.received.data + node.received.start;
        assert_int_equal(sscanf(at, "*2\r\n$%*d\r\n%31[0-9]", cursor), 1);
        for (at = strstr(at, "key:"); at != NULL; at = strstr(at + 1, "key:")) {
            seen[atoi(at + 4)] = true;
        }
        buf_reset(&node.received);
        calls++;
    } while (strcmp(cursor, "0") != 0);
    for (int i = 0; i < keys; i++) {
        assert_true(seen[i]);
    }
    return calls;
}

static void test_scan(void **state) {
    (void)state;
    set_many(3000);
    assert_true(scan_all("COUNT 100 MATCH key:* TYPE string", 3000) >= 3000 / 200);
}

/* As many as were asked for, in slices. */
static void test_scan_of_many(void **state) {
    (void)state;
    set_many(SCAN_KEYS);
    assert_int_equal(scan_all("COUNT 20000", SCAN_KEYS), 1);
    assert_int_equal(scan_all("COUNT 9223372036854775807", SCAN_KEYS), 1);
    int calls = scan_all("COUNT 2000 MATCH key:*", SCAN_KEYS);
    assert_true(calls >= 4 && calls <= 5);
    check("SCAN 0 COUNT 20000 MATCH none", "*2\r\n$1\r\n0\r\n*0\r\n");
    check("SCAN 0 COUNT 20000 TYPE hash", "*2\r\n$1\r\n0\r\n*0\r\n");
    check("MULTI\r\nSCAN 0 COUNT 20000 MATCH key:0000007\r\nPING\r\nEXEC",
          "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n*2\r\n$1\r\n0\r\n*1\r\n$11\r\nkey:0000007\r\n+PONG\r\n");
}

static void test_scan_options(void **state) {
    (void)state;
    check("SET a b", "+OK\r\n");
    check("SCAN 0 COUNT 1000", "*2\r\n$1\r\n0\r\n*1\r\n$1\r\na\r\n");
    check("SCAN 000 COUNT 1000 TYPE STRING", "*2\r\n$1\r\n0\r\n*1\r\n$1\r\na\r\n");
    check("SCAN 0 COUNT 1000 TYPE hash", "*2\r\n$1\r\n0\r\n*0\r\n");
    check("SCAN 0 COUNT 1000 MATCH b*", "*2\r\n$1\r\n0\r\n*0\r\n");
    check("SCAN x", "-ERR invalid cursor\r\n");
    check("SCAN --1", "-ERR invalid cursor\r\n");
    check("SCAN 0 COUNT 0", "-ERR syntax error\r\n");
    check("SCAN 0 foo", "-ERR syntax error\r\n");
    check("SCAN 0 MATCH", "-ERR syntax error\r\n");
    check("SCAN 0 COUNT x", "-ERR value is not an integer or out of range\r\n");
}

static void test_digest(void **state) {
    (void)state;
    check("DEBUG DIGEST", "+0000000000000000000000000000000000000000\r\n");
    /* hashlib.sha256(pack("<Q", 1) + b"a" + pack("<Q", 1) + b"b" + pack("<QQQ", 7, 0, 1000)).hexdigest()[:40]
     */
    struct line line = {.verb = LINE_REPLICATE, .key = SLICE("a"), .value = SLICE("b"), .version = 7};
    assert_int_equal(keyspace_apply(node.keyspace, &line, 1000), ERR_NONE);
    check("DEBUG DIGEST", "+340bb748b35fa94fbce53ebf52b310f480badc96\r\n");
    check("DEL a", ":1\r\n");
    check("DEBUG DIGEST", "+0000000000000000000000000000000000000000\r\n");
}

/* --- The dispatcher
 * ----------------------------------------------------------------------------------------------- */

static void test_what_is_not_a_command(void **state) {
    (void)state;
    check("foo a b", "-ERR unknown command 'foo', with args beginning with: 'a' 'b' \r\n");
    check("foo", "-ERR unknown command 'foo', with args beginning with: \r\n");
    check("\"f\\r\\no\" \"a\\x00b\"", "-ERR unknown command 'f  o', with args beginning with: 'a' \r\n");
    check("config|get save", "-ERR unknown command 'config|get', with args beginning with: 'save' \r\n");
    check("config foo", "-ERR unknown subcommand 'foo'. Try CONFIG HELP.\r\n");
    check("COMMAND FoO x y", "-ERR unknown subcommand 'FoO'. Try COMMAND HELP.\r\n");
    check("config", "-ERR wrong number of arguments for 'config' command\r\n");
    check("config get", "-ERR wrong number of arguments for 'config|get' command\r\n");
    check("get", "-ERR wrong number of arguments for 'get' command\r\n");
    check("GET a b", "-ERR wrong number of arguments for 'get' command\r\n");
    check("ping a b", "-ERR wrong number of arguments for 'ping' command\r\n");
    check("\"\"", "-ERR unknown command '', with args beginning with: \r\n");
    char line[400], expected[600];
    memset(line, 'x', 300);
    line[300] = '\0';
    snprintf(expected, sizeof(expected), "-ERR unknown command '%.128s', with args beginning with: \r\n", line);
    check(line, expected);
}

static void test_every_command_is_found_in_any_case(void **state) {
    (void)state;
    struct command_table *table = command_table_create(&all_commands);
    for (size_t i = 0; i < all_commands.count; i++) {
        const struct command *command = &all_commands.items[i];
        char name[64];
        size_t n = strlen(command->name);
        for (size_t k = 0; k < n; k++) {
            char byte = command->name[k];
            name[k] = (char)(k % 2 == 0 && byte >= 'a' && byte <= 'z' ? byte - 32 : byte);
        }
        assert_ptr_equal(command_table_find(table, slice_of(name, n)), command);
        name[n] = 'x';
        assert_ptr_not_equal(command_table_find(table, slice_of(name, n + 1)), command);
        assert_ptr_not_equal(command_table_find(table, slice_of(name, n - 1)), command);
        assert_true(command->run != NULL || (command->flags & COMMAND_CONTAINER) != 0);
        assert_int_equal(command->first_key == 0, command->key_step == 0);
        assert_int_equal(strchr(command->name, '|') != NULL, (command->flags & COMMAND_SUBCOMMAND) != 0);
    }
    command_table_destroy(&table);
}

static void test_a_node_that_starts(void **state) {
    (void)state;
    node.replication.role = REPLICATION_STARTING;
    routing_set_self_leader(&node.routing, false);
    routing_set_self_state(&node.routing, false);
    static const char *const data[] = {"GET a",  "SET a b",  "KEYS *",  "SCAN 0",
                                       "DBSIZE", "FLUSHALL", "DEL a b", "TTL a"};
    for (size_t i = 0; i < sizeof(data) / sizeof(data[0]); i++) {
        check(data[i], "-LOADING Redis is loading the dataset in memory\r\n");
    }
    check("PING", "+PONG\r\n");
    check("CLUSTER MYID", "$8\r\nself0001\r\n");
    check_contains("INFO", "\r\nkvnode_role:starting\r\n");
}

/* A key of a group: the first of k0, k1, ... whose slot it owns and that is not in the slot of the other one.
 */
static void find_key(uint16_t group, const char *other, char out[16]) {
    for (int i = 0;; i++) {
        snprintf(out, 16, "k%d", i);
        uint16_t slot = slot_of_key(slice_from_text(out));
        if (node.routing.owners[slot] == group &&
            (other == NULL || slot != slot_of_key(slice_from_text(other)))) {
            return;
        }
    }
}

static void test_two_groups(void **state) {
    (void)state;
    datagram_arrives("ANNOUNCE|other001|10.0.0.9|8000|1|true");
    datagram_arrives("ENDPOINTS|other001|9001|6390");
    char mine[16], also_mine[16], theirs[16], also_theirs[16], line[128], moved[128];
    find_key(0, NULL, mine);
    find_key(0, mine, also_mine);
    find_key(1, NULL, theirs);
    find_key(1, theirs, also_theirs);
    snprintf(moved, sizeof(moved), "-MOVED %u 10.0.0.9:6390\r\n", slot_of_key(slice_from_text(theirs)));
    snprintf(line, sizeof(line), "GET %s", theirs);
    check(line, moved);
    snprintf(line, sizeof(line), "SET %s x", theirs);
    check(line, moved);
    snprintf(line, sizeof(line), "SET %s x", mine);
    check(line, "+OK\r\n");
    snprintf(line, sizeof(line), "EXISTS %s %s", mine, also_mine);
    check(line, ":1\r\n");
    snprintf(line, sizeof(line), "EXISTS %s %s", theirs, also_theirs);
    check(line, moved);
    snprintf(line, sizeof(line), "DEL %s %s", mine, theirs);
    check(line, "-CROSSSLOT Keys in request don't hash to the same slot\r\n");
    assert_int_equal(node.stats.redirects, 3);
    check_contains("CLUSTER SLOTS", "$8\r\n10.0.0.9\r\n:6390\r\n$8\r\nother001\r\n*0\r\n");
    check_contains("CLUSTER NODES", "other001 10.0.0.9:6390@8000 master - 0 ");
    check_contains("CLUSTER NODES", "self0001 127.0.0.1:6379@8000 myself,master - 0 0 ");
    check_contains("CLUSTER INFO", "cluster_state:ok\r\ncluster_slots_assigned:16384\r\n");
    check_contains("CLUSTER INFO", "cluster_known_nodes:2\r\ncluster_size:2\r\n");
    check_contains("CLUSTER SHARDS", "$4\r\nrole\r\n$6\r\nmaster\r\n");
    /* The other group's leader falls silent. */
    struct membership_action action;
    membership_tick(node.membership, loop_now_ms(node.loop) + MEMBERSHIP_DEAD_AFTER_MS + 1);
    while (membership_next(node.membership, &action)) {
    }
    snprintf(line, sizeof(line), "GET %s", theirs);
    check(line, "-CLUSTERDOWN Hash slot not served\r\n");
    check_contains("CLUSTER INFO", "cluster_state:fail\r\n");
    check_contains("CLUSTER NODES", "other001 10.0.0.9:6390@8000 master,fail - 0 ");
}

/* "its slots are listed with the followers, as Redis does" */
static void test_the_slots_of_a_dead_leader(void **state) {
    (void)state;
    membership_join_group(node.membership, 1);
    datagram_arrives("ANNOUNCE|other001|10.0.0.9|8000|1|true");
    datagram_arrives("ENDPOINTS|other001|9001|6390|true|70");
    datagram_arrives("ANNOUNCE|reader01|10.0.0.8|8000|1|false");
    datagram_arrives("ENDPOINTS|reader01|9001|6390|false|0");
    static const char leader[] = "*4\r\n$8\r\n10.0.0.9\r\n:6390\r\n$8\r\nother001\r\n*0\r\n";
    static const char follower[] = "*4\r\n$8\r\n10.0.0.8\r\n:6390\r\n$8\r\nreader01\r\n*0\r\n";
    char both[256];
    snprintf(both, sizeof(both), "%s%s", leader, follower);
    check_contains("CLUSTER SLOTS", leader);
    check_lacks("CLUSTER SLOTS", "reader01"); /* nobody reads from one that never had its group's state */
    check_contains("CLUSTER SHARDS", "$18\r\nreplication-offset\r\n:0\r\n$6\r\nhealth\r\n$7\r\nloading\r\n");
    datagram_arrives("ENDPOINTS|reader01|9001|6390|true|69");
    check_contains("CLUSTER SLOTS", both);
    check_contains("CLUSTER SHARDS", "$18\r\nreplication-offset\r\n:69\r\n$6\r\nhealth\r\n$6\r\nonline\r\n");

    struct membership_action action;
    int64_t dead_ms = loop_now_ms(node.loop) + MEMBERSHIP_DEAD_AFTER_MS;
    struct datagram datagram;
    assert_int_equal(datagram_decode(SLICE("ANNOUNCE|reader01|10.0.0.8|8000|1|false"), &datagram), DATAGRAM_OK);
    membership_hear(node.membership, &datagram, dead_ms);
    membership_tick(node.membership, dead_ms + 1);
    while (membership_next(node.membership, &action)) {
    }
    check_contains("CLUSTER SLOTS", both);
    check_contains("CLUSTER SHARDS", "$18\r\nreplication-offset\r\n:70\r\n$6\r\nhealth\r\n$4\r\nfail\r\n");
    check_contains("CLUSTER NODES", "other001 10.0.0.9:6390@8000 master,fail - 0 ");
    check_contains("CLUSTER NODES", "reader01 10.0.0.8:6390@8000 slave other001 0 ");
    check_contains("CLUSTER REPLICAS other001", "reader01 10.0.0.8:6390@8000 slave other001 0 ");
    check_contains("CLUSTER INFO", "cluster_state:fail\r\n");
    check_contains("INFO cluster", "slots_unserved:0\r\n");
    datagram_arrives("LEAVE|other001"); /* nobody knows any more who led */
    check_contains("CLUSTER SLOTS", follower);
    datagram_arrives("LEAVE|reader01");
    check_lacks("CLUSTER SLOTS", "10.0.0.");
}

static void test_cluster_links(void **state) {
    (void)state;
    check_contains("CLUSTER LINKS",
                   "*2\r\n*12\r\n$9\r\ndirection\r\n$2\r\nto\r\n$4\r\nnode\r\n$9\r\nfollower1\r\n"
                   "$11\r\ncreate-time\r\n:");
    check_contains("CLUSTER LINKS", "$6\r\nevents\r\n$1\r\nr\r\n$21\r\nsend-buffer-allocated\r\n:4096\r\n"
                                    "$16\r\nsend-buffer-used\r\n:0\r\n");
    check_contains("CLUSTER LINKS", "$9\r\ndirection\r\n$4\r\nfrom\r\n");
    check_contains("CLUSTER LINKS", "$6\r\nevents\r\n$2\r\nrw\r\n$21\r\nsend-buffer-allocated\r\n:4096\r\n"
                                    "$16\r\nsend-buffer-used\r\n:10\r\n");
}

/* An older node, or one that knows only the specification, does not say how far it is: that is not 0. */
static void test_an_offset_that_is_unknown_is_left_out(void **state) {
    (void)state;
    datagram_arrives("ANNOUNCE|reader01|10.0.0.8|8000|0|false");
    datagram_arrives("ENDPOINTS|reader01|9001|6390");
    check_contains("CLUSTER SHARDS", "$4\r\nrole\r\n$7\r\nreplica\r\n$6\r\nhealth\r\n$6\r\nonline\r\n");
}

static void test_a_group_is_forgotten(void **state) {
    (void)state;
    check("KVNODE GROUP FORGET 1", "-ERR No such group: it is not in the ring\r\n");
    check("KVNODE GROUP FORGET 0", "-ERR That is this node's own group\r\n");
    check("KVNODE GROUP FORGET 16384", "-ERR A group is a number from 0 to 16383\r\n");
    check("KVNODE GROUP FORGET -1", "-ERR A group is a number from 0 to 16383\r\n");
    check("KVNODE GROUP FORGET", "-ERR wrong number of arguments for 'kvnode|group' command\r\n");
    check("KVNODE GROUP REMEMBER 1", "-ERR Unknown action on a group. Try KVNODE HELP.\r\n");
    check("KVNODE MOVE", "-ERR unknown subcommand 'MOVE'. Try KVNODE HELP.\r\n");
    check_contains("KVNODE HELP", "+GROUP FORGET <group>\r\n");
    datagram_arrives("ANNOUNCE|other001|10.0.0.9|8000|1|true");
    check("KVNODE GROUP FORGET 1", "-ERR That group has live nodes: stop them first\r\n");
    datagram_arrives(
        "LEAVE|other001"); /* it has answered WHO without a word of its state: it may have served */
    check("kvnode group forget 1", "-ERR That group has served: its keys would be lost when it comes back\r\n");
}

static void test_a_follower(void **state) {
    (void)state;
    check("SET a b", "+OK\r\n");
    node.replication.role = REPLICATION_FOLLOWER;
    membership_set_leader(node.membership, false, 0, loop_now_ms(node.loop));
    routing_set_self_leader(&node.routing, false);
    check("SET a c", "-CLUSTERDOWN Hash slot not served\r\n");
    datagram_arrives("ANNOUNCE|leader01|10.0.0.1|8000|0|true");
    datagram_arrives("ENDPOINTS|leader01|9000|6379");
    check("SET a c", "-MOVED 15495 10.0.0.1:6379\r\n");
    /* Publisher and subscriber of a shard channel meet at the leader. */
    check("SPUBLISH a x", "-MOVED 15495 10.0.0.1:6379\r\n");
    check("SSUBSCRIBE a", "-MOVED 15495 10.0.0.1:6379\r\n");
    check("SUNSUBSCRIBE a", "*3\r\n$12\r\nsunsubscribe\r\n$1\r\na\r\n:0\r\n");
    check("PUBLISH a x", ":0\r\n");
    check("GET a", "$1\r\nb\r\n");
    check("FLUSHALL", "-READONLY You can't write against a read only replica.\r\n");
    check("ROLE", "*5\r\n$5\r\nslave\r\n$8\r\n10.0.0.1\r\n:6379\r\n$9\r\nconnected\r\n:42\r\n");
    check_contains("INFO replication",
                   "role:slave\r\nmaster_host:10.0.0.1\r\nmaster_port:6379\r\nmaster_link_status:up\r\n");
    check_contains("INFO replication", "\r\nslave_read_repl_offset:42\r\nslave_repl_offset:42\r\n");
    check_contains("CLUSTER SLOTS",
                   "*1\r\n*4\r\n:0\r\n:16383\r\n*4\r\n$8\r\n10.0.0.1\r\n:6379\r\n$8\r\nleader01\r\n*0\r\n"
                   "*4\r\n$9\r\n127.0.0.1\r\n:6379\r\n$8\r\nself0001\r\n*0\r\n");
    check_contains("CLUSTER NODES", "self0001 127.0.0.1:6379@8000 myself,slave leader01 0 0 ");
}

/* --- Connection and server
 * ---------------------------------------------------------------------------------------- */

static void test_connection(void **state) {
    (void)state;
    check("PING", "+PONG\r\n");
    check("PING \"a b\"", "$3\r\na b\r\n");
    check("ECHO hi", "$2\r\nhi\r\n");
    check("SELECT 0", "+OK\r\n");
    check("SELECT 1", "-ERR SELECT is not allowed in cluster mode\r\n");
    check("SELECT x", "-ERR value is not an integer or out of range\r\n");
    check("SELECT 0", "+OK\r\n");
    check("CLIENT GETNAME", "$-1\r\n");
    check("CLIENT SETNAME \"a b\"",
          "-ERR Client names cannot contain spaces, newlines or special characters.\r\n");
    check("CLIENT SETNAME me", "+OK\r\n");
    check("CLIENT GETNAME", "$2\r\nme\r\n");
    check("CLIENT SETNAME \"\"", "+OK\r\n");
    check("CLIENT GETNAME", "$-1\r\n");
    check("CLIENT SETINFO LIB-NAME jedis", "+OK\r\n");
    check("CLIENT SETINFO lib-ver \"1 2\"",
          "-ERR lib-ver cannot contain spaces, newlines or special characters.\r\n");
    check("CLIENT SETINFO foo bar", "-ERR Unrecognized option 'foo'\r\n");
    check_contains("CLIENT ID", ":");
    check("QUIT a b\r\nPING", "+OK\r\n");
    expect_closed();
}

/* What comes behind a refused SELECT is not meant for database 0. */
static void test_another_database(void **state) {
    (void)state;
#define OTHER                                                                                                  \
    "-ERR There is no other database than 0, and this connection has asked for one: "                          \
    "SELECT 0, RESET or HELLO goes on\r\n"
    static const char *const back[][2] = {{"SELECT 0", "+OK\r\n"}, {"RESET", "+RESET\r\n"}, {"HELLO", NULL}};
    for (size_t i = 0; i < sizeof(back) / sizeof(back[0]); i++) {
        check("SELECT 1\r\nSET k v\r\nMULTI\r\nPING\r\nSELECT x\r\nGET k",
              "-ERR SELECT is not allowed in cluster mode\r\n" OTHER OTHER OTHER
              "-ERR value is not an integer or out of range\r\n" OTHER);
        if (back[i][1] != NULL) {
            check(back[i][0], back[i][1]);
        } else {
            check_contains(back[i][0], "$6\r\nserver\r\n");
        }
        check("GET k", "$-1\r\n");
    }
    check("MULTI\r\nSELECT 1\r\nSET k v\r\nSELECT 0\r\nGET k\r\nEXEC",
          "+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n"
          "*4\r\n-ERR SELECT is not allowed in cluster mode\r\n" OTHER "+OK\r\n$-1\r\n");
    check("MULTI\r\nSELECT 1\r\nEXEC\r\nSET k v",
          "+OK\r\n+QUEUED\r\n*1\r\n-ERR SELECT is not allowed in cluster mode\r\n" OTHER);
#undef OTHER
}

static void test_protocol_errors_close(void **state) {
    (void)state;
    check("PING\r\n*1\r\nx4", "+PONG\r\n-ERR Protocol error: expected '$', got 'x'\r\n");
    expect_closed();
    assert_int_equal(node.stats.protocol_errors, 1);
}

static void test_http_is_cut(void **state) {
    (void)state;
    static const char *const lines[] = {"GET / HTTP/1.1\r\n", "POST / HTTP/1.1\r\n", "Host: x\r\n", "post\r\n"};
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        send_bytes(slice_from_text(lines[i]));
        send_bytes(SLICE("SET a b\r\n"));
        expect_closed();
        assert_int_equal(buf_used(&node.received), 0);
        assert_int_equal(keyspace_count(node.keyspace), 0);
        close(node.client);
        connect_client();
    }
}

static void test_info(void **state) {
    (void)state;
    check("SET a b EX 100", "+OK\r\n");
    check_contains("INFO", "# Server\r\nredis_version:7.2.4\r\nkvnode_version:");
    check_contains("INFO", "\r\nredis_mode:cluster\r\n");
    check_contains("INFO", "\r\n\r\n# Clients\r\nconnected_clients:1\r\n");
    check_contains("INFO memory", "# Memory\r\nused_memory:");
    check_contains("INFO stats", "\r\nloop_stall_us:p50=");
    check_contains("INFO Replication", "\r\nslave0:ip=10.0.0.2,port=6380,state=online,offset=40,lag=1\r\n");
    check_contains("INFO replication", "\r\nmaster_replid:18c2f3a4b5c600010000000018c2f3a4b5c60001\r\n");
    check_contains(
        "INFO replication",
        "\r\nfollower0:id=follower1,host=10.0.0.2,port=8001,state=online,acked=40,lag_lines=2,lag_ms=3\r\n");
    check_contains("INFO replication", "\r\nmaster_repl_offset:42\r\n");
    check_contains("INFO keyspace", "\r\n# Keyspace\r\ndb0:keys=1,expires=1,avg_ttl=");
    check("INFO nosuch", "$0\r\n\r\n");
    check("ROLE", "*3\r\n$6\r\nmaster\r\n:42\r\n*1\r\n*3\r\n$8\r\n10.0.0.2\r\n$4\r\n6380\r\n$2\r\n40\r\n");
}

static void test_command_and_config(void **state) {
    (void)state;
    check("COMMAND INFO get nosuch",
          "*2\r\n*10\r\n$3\r\nget\r\n:2\r\n*2\r\n+readonly\r\n+fast\r\n:1\r\n:1\r\n:1\r\n*3\r\n+@read\r\n+@"
          "string\r\n+@fast\r\n"
          "*0\r\n*1\r\n*6\r\n$5\r\nflags\r\n*2\r\n+RO\r\n+access\r\n$12\r\nbegin_search\r\n*4\r\n$"
          "4\r\ntype\r\n$5\r\nindex\r\n"
          "$4\r\nspec\r\n*2\r\n$5\r\nindex\r\n:1\r\n$9\r\nfind_keys\r\n*4\r\n$4\r\ntype\r\n$5\r\nrange\r\n$"
          "4\r\nspec\r\n*6\r\n"
          "$7\r\nlastkey\r\n:0\r\n$7\r\nkeystep\r\n:1\r\n$5\r\nlimit\r\n:0\r\n*0\r\n$-1\r\n");
    check("COMMAND DOCS nosuch", "*0\r\n");
    check("COMMAND DOCS ping",
          "*2\r\n$4\r\nping\r\n*10\r\n$7\r\nsummary\r\n$15\r\nPing the server\r\n$5\r\nsince\r\n$5\r\n1.0.0\r\n"
          "$5\r\ngroup\r\n$10\r\nconnection\r\n$10\r\ncomplexity\r\n$4\r\nO(1)\r\n"
          "$9\r\narguments\r\n*1\r\n*6\r\n$4\r\nname\r\n$7\r\nmessage\r\n$4\r\ntype\r\n$6\r\nstring\r\n"
          "$5\r\nflags\r\n*1\r\n+optional\r\n");
    check("COMMAND DOCS cluster|slaves",
          "*2\r\n$14\r\ncluster|slaves\r\n*16\r\n$7\r\nsummary\r\n"
          "$47\r\nList replica nodes of the specified master node\r\n"
          "$5\r\nsince\r\n$5\r\n3.0.0\r\n$5\r\ngroup\r\n$7\r\ncluster\r\n$10\r\ncomplexity\r\n$4\r\nO(1)\r\n"
          "$9\r\ndoc_flags\r\n*1\r\n+deprecated\r\n$16\r\ndeprecated_since\r\n$5\r\n5.0.0\r\n"
          "$11\r\nreplaced_by\r\n$18\r\n`CLUSTER REPLICAS`\r\n"
          "$9\r\narguments\r\n*1\r\n*4\r\n$4\r\nname\r\n$7\r\nnode-id\r\n$4\r\ntype\r\n$6\r\nstring\r\n");
    check_contains("COMMAND DOCS exists", "$7\r\nhistory\r\n*1\r\n*2\r\n$5\r\n3.0.3\r\n"
                                          "$33\r\nAccepts multiple `key` arguments.\r\n$9\r\narguments\r\n");
    check_contains("COMMAND DOCS debug", "$9\r\ndoc_flags\r\n*1\r\n+syscmd\r\n$11\r\nsubcommands\r\n");
    check_contains("COMMAND", "*10\r\n$10\r\nconfig|get\r\n:-3\r\n");
    check_contains("COMMAND COUNT", ":");
    check("CONFIG GET save appendonly", "*4\r\n$10\r\nappendonly\r\n$2\r\nno\r\n$4\r\nsave\r\n$0\r\n\r\n");
    check("CONFIG GET MaxMemory", "*2\r\n$9\r\nmaxmemory\r\n$1\r\n0\r\n");
    check("CONFIG GET nosuch", "*0\r\n");
    check_contains("CONFIG GET *", "$4\r\nport\r\n$4\r\n6379\r\n");
    check("CLUSTER KEYSLOT {user1000}.following", ":3443\r\n");
}

/* --- The stream
 * --------------------------------------------------------------------------------------------------- */

/* Random commands, many a packet or few, cut anywhere: the replies are those of the commands one by one. */
static void test_a_pipeline_is_a_sequence(void **state) {
    (void)state;
    unsigned seed = (unsigned)time(NULL);
    print_message("seed %u\n", seed);
    srand(seed);
    struct buf commands, replies;
    buf_init(&commands, SIZE_MAX);
    buf_init(&replies, SIZE_MAX);
    enum { KEYS = 20, COMMANDS = 5000 };
    int values[KEYS];
    memset(values, -1, sizeof(values));
    for (int i = 0; i < COMMANDS; i++) {
        int key = rand() % KEYS;
        int name = 10 + key;
        switch (rand() % 6) {
        case 0:
        case 1:
            values[key] = 100 + rand() % 900;
            buf_printf(&commands, "*3\r\n$3\r\nSET\r\n$2\r\n%d\r\n$3\r\n%d\r\n", name, values[key]);
            buf_append_text(&replies, "+OK\r\n");
            break;
        case 2:
            buf_printf(&commands, "*2\r\n$3\r\nDEL\r\n$2\r\n%d\r\n", name);
            buf_printf(&replies, ":%d\r\n", values[key] >= 0);
            values[key] = -1;
            break;
        case 3:
            buf_printf(&commands, "exists %d %d\r\n", name, name);
            buf_printf(&replies, ":%d\r\n", values[key] >= 0 ? 2 : 0);
            break;
        case 4:
            buf_printf(&commands, "*1\r\n$4\r\nPING\r\n*0\r\n\r\n");
            buf_append_text(&replies, "+PONG\r\n");
            break;
        default:
            buf_printf(&commands, "*2\r\n$3\r\nGET\r\n$2\r\n%d\r\n", name);
            if (values[key] >= 0) {
                buf_printf(&replies, "$3\r\n%d\r\n", values[key]);
            } else {
                buf_append_text(&replies, "$-1\r\n");
            }
        }
    }
    struct slice rest = buf_slice(&commands);
    while (rest.len > 0) {
        size_t n = 1 + (size_t)rand() % (rand() % 4 == 0 ? 20000 : 60);
        send_bytes(slice_first(rest, n));
        rest = slice_skip(rest, n < rest.len ? n : rest.len);
        turn();
        receive();
    }
    expect_bytes(buf_slice(&replies));
    buf_deinit(&commands);
    buf_deinit(&replies);
}

/* 400 replies of 64 KB to a client that does not read: what is parsed but not answered yet is not lost, and
 * memory for replies is bounded. */
static void test_a_reader_that_is_slow(void **state) {
    (void)state;
    enum { VALUE = 100000, READS = 400 };
    struct buf command;
    buf_init(&command, SIZE_MAX);
    buf_printf(&command, "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$%d\r\n", VALUE);
    memset(buf_reserve(&command, VALUE), 'v', VALUE);
    buf_commit(&command, VALUE);
    buf_append_text(&command, "\r\n");
    send_bytes(buf_slice(&command));
    expect_bytes(SLICE("+OK\r\n"));
    buf_reset(&command);
    for (int i = 0; i < READS; i++) {
        buf_append_text(&command, "*2\r\n$3\r\nGET\r\n$1\r\na\r\n*1\r\n$4\r\nPING\r\n");
    }
    send_bytes(buf_slice(&command));
    for (int i = 0; i < 20; i++) {
        turn();
    }
    assert_true(telemetry_calls(node.context.telemetry) < 100);
    size_t each = sizeof("$100000\r\n") - 1 + VALUE + 2 + sizeof("+PONG\r\n") - 1;
    receive_bytes(READS * each);
    assert_int_equal(buf_used(&node.received), READS * each);
    const char *at = buf_slice(&node.received).ptr;
    for (int i = 0; i < READS; i++, at += each) {
        assert_memory_equal(at, "$100000\r\nv", 10);
        assert_memory_equal(at + each - 10, "v\r\n+PONG\r\n", 10);
    }
    buf_reset(&node.received);
    buf_deinit(&command);
}

int main(void) {
#define test(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        test(test_get_and_set),
        test(test_set_times),
        test(test_set_is_refused),
        test(test_expire),
        test(test_keys_whatever_they_hold),
        test(test_many_keys_in_one_command),
        test(test_keys),
        test(test_keys_of_a_large_store),
        test(test_keys_survives_what_happens),
        test(test_scan),
        test(test_scan_of_many),
        test(test_scan_options),
        test(test_digest),
        test(test_what_is_not_a_command),
        test(test_every_command_is_found_in_any_case),
        test(test_a_node_that_starts),
        test(test_two_groups),
        test(test_a_group_is_forgotten),
        test(test_the_slots_of_a_dead_leader),
        test(test_an_offset_that_is_unknown_is_left_out),
        test(test_cluster_links),
        test(test_a_follower),
        test(test_connection),
        test(test_another_database),
        test(test_protocol_errors_close),
        test(test_http_is_cut),
        test(test_info),
        test(test_command_and_config),
        test(test_a_pipeline_is_a_sequence),
        test(test_a_reader_that_is_slow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
