/* Keyspace notifications: b does something, a hears of it. */
#include "tests/unit/resp_clients.h"

static void listen_to(const char *flags) {
    char line[64];
    snprintf(line, sizeof(line), "CONFIG SET notify-keyspace-events \"%s\"", flags);
    says('b', line, "+OK\r\n");
    says('a', "PSUBSCRIBE __key*", "*3\r\n$10\r\npsubscribe\r\n$6\r\n__key*\r\n:1\r\n");
}

/* What b says makes a hear of these events: "set x, expire x", in this order, as __keyevent@0__ tells of them.
 */
static void expect_events(const char *line, const char *events) {
    turn_to('b');
    check_contains(line, "");
    struct buf expected;
    buf_init(&expected, SIZE_MAX);
    char event[32], key[32];
    int n;
    while (sscanf(events, " %31[^ ,] %31[^ ,]%n", event, key, &n) == 2) {
        buf_printf(&expected,
                   "*4\r\n$8\r\npmessage\r\n$6\r\n__key*\r\n$%zu\r\n__keyevent@0__:%s\r\n$%zu\r\n%s\r\n",
                   strlen(event) + 15, event, strlen(key), key);
        events += n;
        events += *events == ',';
    }
    turn_to('a');
    for (int i = 0; i < 3; i++) {
        turn();
    }
    expect_bytes(buf_slice(&expected));
    buf_deinit(&expected);
}

static void test_both_channels(void **state) {
    (void)state;
    listen_to("KEA");
    says('b', "SET x 1", "+OK\r\n");
    hears('a', "*4\r\n$8\r\npmessage\r\n$6\r\n__key*\r\n$16\r\n__keyspace@0__:x\r\n$3\r\nset\r\n"
               "*4\r\n$8\r\npmessage\r\n$6\r\n__key*\r\n$18\r\n__keyevent@0__:set\r\n$1\r\nx\r\n");
    says('b', "CONFIG SET notify-keyspace-events KA\r\nSET x 1", "+OK\r\n+OK\r\n");
    hears('a', "*4\r\n$8\r\npmessage\r\n$6\r\n__key*\r\n$16\r\n__keyspace@0__:x\r\n$3\r\nset\r\n");
    says('b', "CONFIG SET notify-keyspace-events \"\"\r\nSET x 1", "+OK\r\n+OK\r\n");
    hears('a', "");
    says('c', "SUBSCRIBE __keyspace@0__:x", "*3\r\n$9\r\nsubscribe\r\n$16\r\n__keyspace@0__:x\r\n:1\r\n");
    says('b', "CONFIG SET notify-keyspace-events KEA\r\nDEL x", "+OK\r\n:1\r\n");
    hears('c', "*3\r\n$7\r\nmessage\r\n$16\r\n__keyspace@0__:x\r\n$3\r\ndel\r\n");
}

/* As redis-server 7.0 has them, command by command. */
static void test_the_event_of_each_command(void **state) {
    (void)state;
    listen_to("EA");
    static const struct {
        const char *line, *events;
    } commands[] = {
        {"SET x 1", "set x"},
        {"SET x 1 EX 100", "set x, expire x"},
        {"SET x 1 KEEPTTL", "set x"},
        {"SET x 1 NX", ""},
        {"SETNX x 1", ""},
        {"SETEX x 100 1", "set x, expire x"},
        {"PSETEX x 100000 1", "set x, expire x"},
        {"GETSET x 1", "set x"},
        {"GETEX x", ""},
        {"GETEX x EX 10", "expire x"},
        {"GETEX x PERSIST", "persist x"},
        {"PERSIST x", ""},
        {"EXPIRE x 100", "expire x"},
        {"PEXPIREAT x 9999999999999", "expire x"},
        {"PERSIST x", "persist x"},
        {"INCR x", "incrby x"},
        {"DECR x", "incrby x"},
        {"DECRBY x 5", "incrby x"},
        {"INCRBYFLOAT x 1.5", "incrbyfloat x"},
        {"APPEND x 0", "append x"},
        {"SETRANGE x 0 9", "setrange x"},
        {"SETBIT x 1 1", "setbit x"},
        {"BITFIELD x SET u8 0 1", "setbit x"},
        {"BITFIELD x GET u8 0", ""},
        {"BITOP NOT y x", "set y"},
        {"BITOP AND y nosuch nosuch", "del y"},
        {"MSET p 1 q 2", "set p, set q"},
        {"MSETNX p 1 r 2", ""},
        {"MSETNX r 1 s 2", "set r, set s"},
        {"RENAME r t", "rename_from r, rename_to t"},
        {"COPY t u", "copy_to u"},
        {"GETDEL u", "del u"},
        {"DEL t nosuch s", "del t, del s"},
        {"UNLINK p", "del p"},
        {"EXPIRE q -1", "del q"},
        {"GET nosuch", ""},
        {"FLUSHALL", ""},
        {"MULTI\r\nSET x 1\r\nINCR x\r\nDEL x\r\nEXEC", "set x, incrby x, del x"},
        {"INCR n\r\nAPPEND n 1\r\nGET n\r\nSET n 1", "incrby n, append n, set n"},
    };
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        expect_events(commands[i].line, commands[i].events);
    }
}

static void test_only_what_was_asked_for(void **state) {
    (void)state;
    listen_to("E$");
    expect_events("SET x 1 EX 100\r\nDEL x", "set x");
    says('b', "CONFIG SET notify-keyspace-events Eg", "+OK\r\n");
    expect_events("SET x 1 EX 100\r\nDEL x", "expire x, del x");
    says('b', "CONFIG SET notify-keyspace-events Em", "+OK\r\n");
    expect_events("GET x\r\nEXISTS x y\r\nTTL x", "keymiss x, keymiss x, keymiss y, keymiss x");
    says('b', "CONFIG SET notify-keyspace-events En", "+OK\r\n");
    expect_events("SET x 1\r\nSET x 2\r\nINCR z", "new x, new z");
    says('b', "CONFIG SET notify-keyspace-events E", "+OK\r\n");
    expect_events("SET x 1", "");
}

static void test_expired(void **state) {
    (void)state;
    listen_to("Ex");
    expect_events("SET x 1 PX 5\r\nSET y 1 PX 5", "");
    pass_ms(10);
    expect_events("GET x", "expired x"); /* on access; the sweep finds the other one */
    hears('a', "");
    turn_to('a');
    static const char event[] =
        "*4\r\n$8\r\npmessage\r\n$6\r\n__key*\r\n$22\r\n__keyevent@0__:expired\r\n$1\r\ny\r\n";
    receive_bytes(sizeof(event) - 1);
    expect_bytes(SLICE(event));
}

static void test_evicted(void **state) {
    (void)state;
    says('b', "SET x 1", "+OK\r\n");
    listen_to("Ee");
    keyspace_set_policy(node.keyspace, EVICTION_ALLKEYS_RANDOM);
    keyspace_set_maxmemory(node.keyspace, 1);
    static const char event[] =
        "*4\r\n$8\r\npmessage\r\n$6\r\n__key*\r\n$22\r\n__keyevent@0__:evicted\r\n$1\r\nx\r\n";
    turn_to('a');
    receive_bytes(sizeof(event) - 1);
    expect_bytes(SLICE(event));
}

/* REST writes, and what a leader's lines change here. */
static void test_changes_that_no_client_makes(void **state) {
    (void)state;
    listen_to("EA");
    store_changes("x", "by REST");
    hears('a', "*4\r\n$8\r\npmessage\r\n$6\r\n__key*\r\n$18\r\n__keyevent@0__:set\r\n$1\r\nx\r\n");
    line_arrives("REPLICATE|x|by the leader|9");
    hears('a', "*4\r\n$8\r\npmessage\r\n$6\r\n__key*\r\n$18\r\n__keyevent@0__:set\r\n$1\r\nx\r\n");
    line_arrives("EXPIREX|x|99999999999999");
    hears('a', "*4\r\n$8\r\npmessage\r\n$6\r\n__key*\r\n$21\r\n__keyevent@0__:expire\r\n$1\r\nx\r\n");
    line_arrives("DELETE|x|10");
    hears('a', "*4\r\n$8\r\npmessage\r\n$6\r\n__key*\r\n$18\r\n__keyevent@0__:del\r\n$1\r\nx\r\n");
    line_arrives("DELETE|x|11");
    hears('a', "");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        client_test(test_both_channels),
        client_test(test_the_event_of_each_command),
        client_test(test_only_what_was_asked_for),
        client_test(test_expired),
        client_test(test_evicted),
        client_test(test_changes_that_no_client_makes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
