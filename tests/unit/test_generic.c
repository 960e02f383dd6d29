/* The commands about keys whatever they hold: generic.c, expiry.c, dump.c, object.c, memory.c, wait.c, host.c.
 */
#include "tests/unit/history_lines.h"
#include "tests/unit/resp_fixture.h"

/* A command of n arguments, with any bytes. */
static void send_command(size_t n, const struct slice *args) {
    struct buf command;
    buf_init(&command, SIZE_MAX);
    buf_printf(&command, "*%zu\r\n", n);
    for (size_t i = 0; i < n; i++) {
        buf_printf(&command, "$%zu\r\n", args[i].len);
        buf_append_slice(&command, args[i]);
        buf_append_text(&command, "\r\n");
    }
    send_bytes(buf_slice(&command));
    buf_deinit(&command);
}

static void check_command(const char *expected, size_t n, const struct slice *args) {
    send_command(n, args);
    expect_bytes(slice_from_text(expected));
}

#define CHECK_COMMAND(expected, ...)                                                                           \
    check_command(expected, sizeof((struct slice[]){__VA_ARGS__}) / sizeof(struct slice),                      \
                  (struct slice[]){__VA_ARGS__})

static uint64_t version_of(const char *name) {
    struct key key = keyspace_key(node.keyspace, slice_from_text(name));
    const struct entry *entry = keyspace_find(node.keyspace, &key, KEYSPACE_QUIETLY);
    return entry == NULL ? 0 : entry_version(entry);
}

/* --- RENAME, COPY --- */

static void test_rename(void **state) {
    (void)state;
    check("RENAME a b", "-ERR no such key\r\n");
    check("RENAME a a", "-ERR no such key\r\n");
    check("SET a 1", "+OK\r\n");
    check("RENAME a a", "+OK\r\n");
    check("RENAMENX a a", ":0\r\n");
    check("RENAME a b", "+OK\r\n");
    check("MGET a b", "*2\r\n$-1\r\n$1\r\n1\r\n");
    check("SET a 2", "+OK\r\n");
    check("RENAMENX a b", ":0\r\n");
    check("RENAMENX a c", ":1\r\n");
    check("RENAMENX a c", "-ERR no such key\r\n");
    check("RENAME c b", "+OK\r\n");
    check("GET b", "$1\r\n2\r\n");
    check("DBSIZE", ":1\r\n");
    check("RENAME a", "-ERR wrong number of arguments for 'rename' command\r\n");
}

/* A key that no line can say gets into the store by no command, and nothing else is changed either. */
static void test_a_key_that_is_too_long(void **state) {
    (void)state;
    static const char *const commands[][5] = {
        {"MSET", "b", "1", "?", "v"}, {"APPEND", "?", "v"}, {"BITOP", "NOT", "?", "a"}, {"PFMERGE", "?"},
        {"RENAME", "a", "?"},         {"COPY", "a", "?"},   {"RESTORE", "?", "0", ""},
    };
    const size_t length = LIMIT_KEY_BYTES + 1;
    char *name = malloc(length);
    memset(name, 'k', length);
    check("SET a 1", "+OK\r\n");
    send_command(2, (struct slice[]){SLICE("DUMP"), SLICE("a")});
    assert_true(receive_bytes(1));
    struct slice dump = slice_skip(buf_slice(&node.received), 5); /* $12 CR LF */
    char payload[32];
    size_t payload_bytes = dump.len - 2;
    memcpy(payload, dump.ptr, payload_bytes);
    buf_reset(&node.received);
    uint64_t index = history_index(node.history);
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        struct slice args[5];
        size_t n = 0;
        for (; n < 5 && commands[i][n] != NULL; n++) {
            args[n] = commands[i][n][0] == '?'    ? slice_of(name, length)
                      : commands[i][n][0] == '\0' ? slice_of(payload, payload_bytes)
                                                  : slice_from_text(commands[i][n]);
        }
        check_command("-ERR key exceeds maximum allowed size (64MB)\r\n", n, args);
    }
    assert_int_equal(history_index(node.history), index);
    check("DBSIZE", ":1\r\n");
    check("GET a", "$1\r\n1\r\n");
    free(name);
}

static void test_rename_takes_the_deadline_along(void **state) {
    (void)state;
    check("SET a 1 PXAT 4000000000123", "+OK\r\n");
    check("SET b 1 PXAT 5000000000000", "+OK\r\n");
    check("RENAME a b", "+OK\r\n");
    check("PEXPIRETIME b", ":4000000000123\r\n");
    check("SET a 1", "+OK\r\n");
    check("RENAME a b", "+OK\r\n");
    check("PEXPIRETIME b", ":-1\r\n");
}

/* "the destination gets a write, its own next version, and the source a deletion, all or none" */
static void test_rename_is_one_batch(void **state) {
    (void)state;
    history_keep(node.history);
    check("SET b old", "+OK\r\n");
    check("SET b older", "+OK\r\n");
    check("SET a new", "+OK\r\n");
    uint64_t index = history_index(node.history);
    check("RENAME a b", "+OK\r\n");
    struct slice lines = history_lines_behind(node.history, index);
    static const char expected[] = "BATCH|2\nDELETE|a|2\nREPLICATE|b|new|3\n";
    assert_true(lines.len >= sizeof(expected) - 1); /* CLOCK may be before it */
    size_t before = lines.len - (sizeof(expected) - 1);
    assert_memory_equal(lines.ptr + before, expected, sizeof(expected) - 1);
    assert_true(before == 0 || memcmp(lines.ptr, "CLOCK|", 6) == 0);
    assert_int_equal(version_of("b"), 3);
}

static void write_at_version(const char *name, uint64_t version) {
    struct line line = {
        .verb = LINE_REPLICATE, .key = slice_from_text(name), .value = SLICE("v"), .version = version};
    assert_int_equal(keyspace_apply(node.keyspace, &line, 1), ERR_NONE);
}

/* What can't be written under the new name stays under the old one. */
static void test_rename_loses_nothing(void **state) {
    (void)state;
    static const char exhausted[] = "-ERR the versions of this key are exhausted\r\n";
    check("SET a 1 PXAT 4000000000123", "+OK\r\n");
    write_at_version("b", UINT64_MAX);
    check("RENAME a b", exhausted);
    check("GET a", "$1\r\n1\r\n");
    check("PEXPIRETIME a", ":4000000000123\r\n");
    write_at_version("c", UINT64_MAX - 1);
    check("RENAME c d", exhausted);
    check("GET c", "$1\r\nv\r\n");
    write_at_version("c", UINT64_MAX - 2);
    check("RENAME c d", "+OK\r\n");
    check("RENAME a e", exhausted);
    check("GET a", "$1\r\n1\r\n");
}

static void test_rename_of_a_large_value(void **state) {
    (void)state;
    check("SETRANGE a 3000000 x", ":3000001\r\n");
    check("RENAME a b", "+OK\r\n");
    check("STRLEN b", ":3000001\r\n");
    check("COPY b c", ":1\r\n");
    check("STRLEN c", ":3000001\r\n");
}

static void test_copy(void **state) {
    (void)state;
    check("COPY a b", ":0\r\n");
    check("COPY a a", "-ERR source and destination objects are the same\r\n");
    check("SET a 1 PXAT 4000000000123", "+OK\r\n");
    check("COPY a b", ":1\r\n");
    check("PEXPIRETIME b", ":4000000000123\r\n");
    check("SET a 2", "+OK\r\n");
    check("COPY a b", ":0\r\n");
    check("COPY a b DB 0 REPLACE", ":1\r\n");
    check("GET b", "$1\r\n2\r\n");
    check("GET a", "$1\r\n2\r\n");
    check("TTL b", ":-1\r\n");
    check("COPY a b DB 1", "-ERR DB index is out of range\r\n");
    check("COPY a b DB x", "-ERR value is not an integer or out of range\r\n");
    check("COPY a b DB 9999999999",
          "-ERR value is out of range, value must between -2147483648 and 2147483647\r\n");
    check("COPY a b DB", "-ERR syntax error\r\n");
    check("COPY a b foo", "-ERR syntax error\r\n");
}

static void test_what_has_expired_is_missing(void **state) {
    (void)state;
    check("SET a 1 PX 1", "+OK\r\n");
    check("SET b 1", "+OK\r\n");
    int64_t until_ms = now_ms() + 20;
    while (now_ms() < until_ms) {
        turn();
    }
    check("RENAME a c", "-ERR no such key\r\n");
    check("COPY a c", ":0\r\n");
    check("DUMP a", "$-1\r\n");
    check("OBJECT ENCODING a", "$-1\r\n");
    check("RENAMENX b a", ":1\r\n");
}

/* --- Times --- */

static void test_absolute_times(void **state) {
    (void)state;
    check("EXPIREAT a 4000000000", ":0\r\n");
    check("EXPIRETIME a", ":-2\r\n");
    check("PEXPIRETIME a", ":-2\r\n");
    check("SET a b", "+OK\r\n");
    check("EXPIRETIME a", ":-1\r\n");
    check("EXPIREAT a 4000000000", ":1\r\n");
    check("EXPIRETIME a", ":4000000000\r\n");
    check("PEXPIREAT a 4000000000600 XX GT", ":1\r\n");
    check("PEXPIRETIME a", ":4000000000600\r\n");
    check("EXPIRETIME a", ":4000000001\r\n");
    check("EXPIREAT a 5 NX", ":0\r\n");
    check("PEXPIREAT a 4000000000601 LT", ":0\r\n");
    check("EXPIREAT a 99999999999999999", "-ERR invalid expire time in 'expireat' command\r\n");
    check("EXPIREAT a -9223372036854775808", "-ERR invalid expire time in 'expireat' command\r\n");
    check("PEXPIREAT a 5 foo", "-ERR Unsupported option foo\r\n");
    check("PEXPIREAT a -5", ":1\r\n");
    check("EXISTS a", ":0\r\n");
}

/* --- DUMP, RESTORE --- */

static const struct slice dump_of_a = {"\0\1a\x0a\0\xbf\xfe\xef\x9b\x8f\x36\x7d\xb4", 13};

static void test_dump_and_restore(void **state) {
    (void)state;
    check("DUMP a", "$-1\r\n");
    check("SET a a", "+OK\r\n");
    send_bytes(SLICE("DUMP a\r\n"));
    expect_bytes(SLICE("$13\r\n\0\1a\x0a\0\xbf\xfe\xef\x9b\x8f\x36\x7d\xb4\r\n"));
    CHECK_COMMAND("+OK\r\n", SLICE("RESTORE"), SLICE("b"), SLICE("0"), dump_of_a);
    check("GET b", "$1\r\na\r\n");
    check("TTL b", ":-1\r\n");
    CHECK_COMMAND("-BUSYKEY Target key name already exists.\r\n", SLICE("RESTORE"), SLICE("b"), SLICE("0"),
                  dump_of_a);
    CHECK_COMMAND("+OK\r\n", SLICE("RESTORE"), SLICE("b"), SLICE("4000000000123"), dump_of_a, SLICE("absttl"),
                  SLICE("replace"));
    check("PEXPIRETIME b", ":4000000000123\r\n");
    CHECK_COMMAND("+OK\r\n", SLICE("RESTORE"), SLICE("b"), SLICE("100000"), dump_of_a, SLICE("REPLACE"));
    check("TTL b", ":100\r\n");
    CHECK_COMMAND("+OK\r\n", SLICE("RESTORE"), SLICE("b"), SLICE("5"), dump_of_a, SLICE("REPLACE"),
                  SLICE("ABSTTL"));
    check("EXISTS b", ":0\r\n"); /* as of long ago */
    CHECK_COMMAND("+OK\r\n", SLICE("RESTORE"), SLICE("b"), SLICE("0"), dump_of_a, SLICE("IDLETIME"),
                  SLICE("9223372036854775807"));
    CHECK_COMMAND("+OK\r\n", SLICE("RESTORE"), SLICE("c"), SLICE("0"), dump_of_a, SLICE("FREQ"), SLICE("255"));
}

static void test_restore_is_refused(void **state) {
    (void)state;
    static const struct {
        const char *line, *error;
    } wrong[] = {
        {"RESTORE a 0 x", "ERR DUMP payload version or checksum are wrong"},
        {"RESTORE a -1 x", "ERR Invalid TTL value, must be >= 0"},
        {"RESTORE a x x", "ERR value is not an integer or out of range"},
        {"RESTORE a 0 x foo", "ERR syntax error"},
        {"RESTORE a 0 x IDLETIME", "ERR syntax error"},
        {"RESTORE a 0 x IDLETIME 1 FREQ 1", "ERR syntax error"},
        {"RESTORE a 0 x IDLETIME -1", "ERR Invalid IDLETIME value, must be >= 0"},
        {"RESTORE a 0 x FREQ 256", "ERR Invalid FREQ value, must be >= 0 and <= 255"},
        {"RESTORE a 0 x FREQ -1", "ERR Invalid FREQ value, must be >= 0 and <= 255"},
        {"RESTORE a 0 x FREQ x", "ERR value is not an integer or out of range"},
        {"RESTORE a 0", "ERR wrong number of arguments for 'restore' command"},
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        char expected[128];
        snprintf(expected, sizeof(expected), "-%s\r\n", wrong[i].error);
        check(wrong[i].line, expected);
    }
    /* A list, as Redis dumps it. */
    CHECK_COMMAND("-ERR Bad data format\r\n", SLICE("RESTORE"), SLICE("a"), SLICE("0"),
                  SLICE("\x12\x01\x02\x0a\x0a\0\0\0\x01\0\x81"
                        "a\x02\xff\x0a\0\x09\xb9\xed\xf5\x94\xde\xd9\x95"));
    check("DBSIZE", ":0\r\n");
}

/* --- OBJECT, MEMORY --- */

static void test_object(void **state) {
    (void)state;
    static const struct {
        const char *value, *encoding;
        bool shared;
    } values[] = {
        {"0", "int", true},
        {"9999", "int", true},
        {"10000", "int", false},
        {"-1", "int", false},
        {"9223372036854775807", "int", false},
        {"9223372036854775808", "embstr", false},
        {"007", "embstr", false},
        {"01234567890123456789012345678901234567890123", "embstr", false},
        {"012345678901234567890123456789012345678901234", "raw", false},
    };
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        char line[128], expected[64];
        snprintf(line, sizeof(line), "SET a %s", values[i].value);
        check(line, "+OK\r\n");
        snprintf(expected, sizeof(expected), "$%zu\r\n%s\r\n", strlen(values[i].encoding), values[i].encoding);
        check("OBJECT ENCODING a", expected);
        check("OBJECT REFCOUNT a", values[i].shared ? ":2147483647\r\n" : ":1\r\n");
    }
    check("OBJECT IDLETIME a", ":0\r\n");
    check("OBJECT FREQ a",
          "-ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when "
          "switching between policies at runtime LRU and LFU data will take some time to adjust.\r\n");
    check("OBJECT FREQ missing", "$-1\r\n");
    keyspace_set_policy(node.keyspace, EVICTION_ALLKEYS_LFU);
    check("OBJECT IDLETIME a",
          "-ERR An LFU maxmemory policy is selected, idle time not tracked. Please note that when switching "
          "between policies at runtime LRU and LFU data will take some time to adjust.\r\n");
    CHECK_COMMAND("+OK\r\n", SLICE("RESTORE"), SLICE("f"), SLICE("0"), dump_of_a, SLICE("FREQ"), SLICE("200"));
    check("OBJECT FREQ f", ":200\r\n");
    check("OBJECT", "-ERR wrong number of arguments for 'object' command\r\n");
    check("OBJECT foo a", "-ERR unknown subcommand 'foo'. Try OBJECT HELP.\r\n");
    check_contains("OBJECT HELP", "+OBJECT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:\r\n");
}

static void test_restored_idle_time(void **state) {
    (void)state;
    keyspace_set_policy(node.keyspace, EVICTION_ALLKEYS_LRU);
    CHECK_COMMAND("+OK\r\n", SLICE("RESTORE"), SLICE("a"), SLICE("0"), dump_of_a, SLICE("IDLETIME"),
                  SLICE("1000"));
    check("OBJECT IDLETIME a", ":1000\r\n");
    check("TOUCH a missing a", ":2\r\n");
    check("OBJECT IDLETIME a", ":0\r\n");
}

static void test_memory(void **state) {
    (void)state;
    check("MEMORY USAGE a", "$-1\r\n");
    check("SETRANGE a 99999 x", ":100000\r\n");
    check_contains("MEMORY USAGE a", ":114696\r\n"); /* its size class, and its place in the table */
    check("MEMORY USAGE a SAMPLES -1", "-ERR syntax error\r\n");
    check("MEMORY USAGE a SAMPLES x", "-ERR value is not an integer or out of range\r\n");
    check("MEMORY USAGE a SAMPLES", "-ERR syntax error\r\n");
    check("MEMORY PURGE", "+OK\r\n");
    check_contains("MEMORY STATS", "$10\r\nkeys.count\r\n:1\r\n");
    check_contains("MEMORY STATS", "$4\r\ndb.0\r\n*6\r\n$23\r\noverhead.hashtable.main\r\n:8\r\n");
    check_contains("MEMORY DOCTOR", "Hi Sam, this instance is empty or is using very little memory");
    check_contains("MEMORY MALLOC-STATS", "tat");
    check_contains("MEMORY HELP", "+PURGE\r\n");
}

/* --- All of the data --- */

static void test_random_key(void **state) {
    (void)state;
    check("RANDOMKEY", "$-1\r\n");
    check("SET a 1", "+OK\r\n");
    check("RANDOMKEY", "$1\r\na\r\n");
}

static void test_the_only_database(void **state) {
    (void)state;
    check("SET a 1", "+OK\r\n");
    check("MOVE a 1", "-ERR MOVE is not allowed in cluster mode\r\n");
    check("SWAPDB 0 1", "-ERR SWAPDB is not allowed in cluster mode\r\n");
    check("FLUSHDB foo", "-ERR syntax error\r\n");
    check("FLUSHDB SYNC x", "-ERR syntax error\r\n");
    check("DBSIZE", ":1\r\n");
    check("FLUSHDB ASYNC", "+OK\r\n");
    check("DBSIZE", ":0\r\n");
    check("FLUSHDB SYNC", "+OK\r\n");
    check("UNLINK a b", ":0\r\n");
    check("SET a 1", "+OK\r\n");
    check("UNLINK a a", ":1\r\n");
}

static void test_scan_by_type(void **state) {
    (void)state;
    check("SET a 1", "+OK\r\n");
    check("SCAN 0 TYPE STRING COUNT 1000", "*2\r\n$1\r\n0\r\n*1\r\n$1\r\na\r\n");
    check("SCAN 0 TYPE hash COUNT 1000", "*2\r\n$1\r\n0\r\n*0\r\n");
    check("SCAN 0 TYPE", "-ERR syntax error\r\n");
}

static void test_what_the_host_says(void **state) {
    (void)state;
    struct timespec before;
    clock_gettime(CLOCK_REALTIME, &before);
    send_bytes(SLICE("TIME\r\n"));
    receive_bytes(25);
    long long s, us;
    buf_append_byte(&node.received, '\0');
    assert_int_equal(sscanf(buf_slice(&node.received).ptr, "*2\r\n$10\r\n%lld\r\n$%*d\r\n%lld\r\n", &s, &us),
                     2);
    assert_in_range(s, before.tv_sec, before.tv_sec + 10);
    assert_in_range(us, 0, 999999);
    buf_reset(&node.received);
    node.stats.started_ms = 1700000000999;
    check("LASTSAVE", ":1700000000\r\n");
    check_contains("LOLWUT", "Redis ver. 7.2.4");
    check_contains("LOLWUT VERSION 5 1 1", "Redis ver. 7.2.4");
    check("LOLWUT VERSION x", "-ERR value is not an integer or out of range\r\n");
}

/* --- WAIT: one follower, which acknowledges what the test says --- */

static void test_wait_for_what_is_there_already(void **state) {
    (void)state;
    check("WAIT 0 0", ":1\r\n");
    check("WAIT -1 0", ":1\r\n");
    check("WAIT 1 0", ":1\r\n"); /* nothing is written yet */
    check("SET a 1", "+OK\r\n");
    check("WAIT 0 0", ":0\r\n");
    assert_false(node.replication.asked);
    node.replication.acknowledged = history_index(node.history);
    check("WAIT 1 0", ":1\r\n");
}

static void test_wait_ends_with_the_acknowledgement(void **state) {
    (void)state;
    check("SET a 1", "+OK\r\n");
    send_bytes(SLICE("WAIT 1 0\r\nGET a\r\n"));
    for (int i = 0; i < 10; i++) {
        turn();
    }
    assert_true(receive());
    assert_int_equal(buf_used(&node.received), 0);
    assert_true(node.replication.asked);
    node.replication.acknowledged = history_index(node.history) - 1;
    turn();
    assert_true(receive());
    assert_int_equal(buf_used(&node.received), 0);
    node.replication.acknowledged = history_index(node.history);
    expect_bytes(SLICE(":1\r\n$1\r\n1\r\n"));
}

static void test_wait_ends_with_its_time(void **state) {
    (void)state;
    check("SET a 1", "+OK\r\n");
    int64_t began_ms = now_ms();
    send_bytes(SLICE("WAIT 1 50\r\nGET a\r\n"));
    expect_bytes(SLICE(":0\r\n$1\r\n1\r\n"));
    assert_in_range(now_ms() - began_ms, 45, 2000);
    check("WAITAOF 0 1 10", "*2\r\n:0\r\n:0\r\n");
}

static void test_wait_ends_with_the_client(void **state) {
    (void)state;
    check("SET a 1", "+OK\r\n");
    send_bytes(SLICE("WAIT 1 0\r\n"));
    turn();
    turn();
    close(node.client);
    for (int64_t until_ms = now_ms() + 5000; node.stats.resp_clients > 0 && now_ms() < until_ms;) {
        turn();
    }
    assert_int_equal(node.stats.resp_clients, 0);
    connect_client();
}

/* As `nc -N` does: it says no more, and waits for its answers. */
static void test_wait_of_a_client_that_says_no_more(void **state) {
    (void)state;
    check("SET a 1", "+OK\r\n");
    send_bytes(SLICE("WAIT 1 1500\r\nGET a\r\n")); /* longer than it takes to look for it */
    turn();
    turn();
    shutdown(node.client, SHUT_WR);
    expect_bytes(SLICE(":0\r\n$1\r\n1\r\n"));
    expect_closed();
}

static void test_wait_ends_when_this_node_leads_no_more(void **state) {
    (void)state;
    check("SET a 1", "+OK\r\n");
    send_bytes(SLICE("WAIT 1 0\r\nPING\r\n"));
    turn();
    turn();
    node.replication.role = REPLICATION_DEMOTED;
    routing_set_self_leader(&node.routing, false);
    expect_bytes(SLICE("-UNBLOCKED force unblock from blocking operation, instance state changed (master -> "
                       "replica?)\r\n+PONG\r\n"));
    check("WAIT 0 0",
          "-ERR WAIT cannot be used with replica instances. Please also note that since Redis 4.0 if a "
          "replica is configured to be writable (which is not the default) writes to replicas are just "
          "local and are not propagated.\r\n");
}

static void test_wait_is_refused(void **state) {
    (void)state;
    check("WAIT x 0", "-ERR value is not an integer or out of range\r\n");
    check("WAIT 0 x", "-ERR timeout is not an integer or out of range\r\n");
    check("WAIT 0 1.5", "-ERR timeout is not an integer or out of range\r\n");
    check("WAIT 0 -1", "-ERR timeout is negative\r\n");
    check("WAIT 0 9223372036854775807", "-ERR timeout is out of range\r\n");
    check("WAITAOF 2 0 0", "-ERR value is out of range, value must between 0 and 1\r\n");
    check("WAITAOF 0 -1 0", "-ERR value is out of range, must be positive\r\n");
    check("WAITAOF 1 0 0", "-ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.\r\n");
    check("WAITAOF 0 0 0", "*2\r\n:0\r\n:0\r\n");
    node.replication.role = REPLICATION_STARTING;
    check("WAIT 0 0", "-LOADING Redis is loading the dataset in memory\r\n");
}

int main(void) {
#define test(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        test(test_rename),
        test(test_a_key_that_is_too_long),
        test(test_rename_takes_the_deadline_along),
        test(test_rename_is_one_batch),
        test(test_rename_loses_nothing),
        test(test_rename_of_a_large_value),
        test(test_copy),
        test(test_what_has_expired_is_missing),
        test(test_absolute_times),
        test(test_dump_and_restore),
        test(test_restore_is_refused),
        test(test_object),
        test(test_restored_idle_time),
        test(test_memory),
        test(test_random_key),
        test(test_the_only_database),
        test(test_scan_by_type),
        test(test_what_the_host_says),
        test(test_wait_for_what_is_there_already),
        test(test_wait_ends_with_the_acknowledgement),
        test(test_wait_ends_with_its_time),
        test(test_wait_ends_with_the_client),
        test(test_wait_of_a_client_that_says_no_more),
        test(test_wait_ends_when_this_node_leads_no_more),
        test(test_wait_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
