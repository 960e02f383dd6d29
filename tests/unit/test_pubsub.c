/* Channels and patterns, as transcripts of several clients. */
#include "tests/unit/resp_clients.h"

static void test_channels(void **state) {
    (void)state;
    says('b', "PUBLISH news nobody", ":0\r\n");
    says('a', "SUBSCRIBE news sports news",
         "*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n*3\r\n$9\r\nsubscribe\r\n$6\r\nsports\r\n:2\r\n"
         "*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:2\r\n");
    says('c', "SUBSCRIBE news", "*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n");
    says('b', "PUBLISH news hello", ":2\r\n");
    hears('a', "*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$5\r\nhello\r\n");
    hears('c', "*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$5\r\nhello\r\n");
    says('a', "UNSUBSCRIBE news nosuch",
         "*3\r\n$11\r\nunsubscribe\r\n$4\r\nnews\r\n:1\r\n*3\r\n$11\r\nunsubscribe\r\n$6\r\nnosuch\r\n:1\r\n");
    says('b', "PUBLISH news again\r\nPUBLISH sports \"\"", ":1\r\n:1\r\n");
    hears('a', "*3\r\n$7\r\nmessage\r\n$6\r\nsports\r\n$0\r\n\r\n");
    hears('c', "*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$5\r\nagain\r\n");
    leaves('c');
    says('b', "PUBLISH news gone", ":0\r\n");
    says('a', "UNSUBSCRIBE", "*3\r\n$11\r\nunsubscribe\r\n$6\r\nsports\r\n:0\r\n");
    says('a', "UNSUBSCRIBE", "*3\r\n$11\r\nunsubscribe\r\n$-1\r\n:0\r\n");
    says('b', "PUBLISH sports gone", ":0\r\n");
    hears('a', "");
}

static void test_patterns(void **state) {
    (void)state;
    says('a', "PSUBSCRIBE n*s n?ws",
         "*3\r\n$10\r\npsubscribe\r\n$3\r\nn*s\r\n:1\r\n*3\r\n$10\r\npsubscribe\r\n$4\r\nn?ws\r\n:2\r\n");
    says('a', "SUBSCRIBE news", "*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:3\r\n");
    says('b', "PUBLISH news x", ":3\r\n");
    hears('a', "*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$1\r\nx\r\n"
               "*4\r\n$8\r\npmessage\r\n$3\r\nn*s\r\n$4\r\nnews\r\n$1\r\nx\r\n"
               "*4\r\n$8\r\npmessage\r\n$4\r\nn?ws\r\n$4\r\nnews\r\n$1\r\nx\r\n");
    says('b', "PUBLISH nerves x", ":1\r\n");
    hears('a', "*4\r\n$8\r\npmessage\r\n$3\r\nn*s\r\n$6\r\nnerves\r\n$1\r\nx\r\n");
    says('b', "PUBSUB NUMPAT", ":2\r\n");
    says('a', "PUNSUBSCRIBE n*s", "*3\r\n$12\r\npunsubscribe\r\n$3\r\nn*s\r\n:2\r\n");
    says('a', "PUNSUBSCRIBE", "*3\r\n$12\r\npunsubscribe\r\n$4\r\nn?ws\r\n:1\r\n");
    says('a', "PUNSUBSCRIBE", "*3\r\n$12\r\npunsubscribe\r\n$-1\r\n:1\r\n");
    says('b', "PUBSUB NUMPAT", ":0\r\n");
}

static void test_shard_channels(void **state) {
    (void)state;
    says('a', "SSUBSCRIBE s1 s2",
         "*3\r\n$10\r\nssubscribe\r\n$2\r\ns1\r\n:1\r\n*3\r\n$10\r\nssubscribe\r\n$2\r\ns2\r\n:2\r\n");
    says('a', "SUBSCRIBE s1", "*3\r\n$9\r\nsubscribe\r\n$2\r\ns1\r\n:1\r\n");
    says('b', "SPUBLISH s1 x", ":1\r\n");
    hears('a', "*3\r\n$8\r\nsmessage\r\n$2\r\ns1\r\n$1\r\nx\r\n");
    says('b', "PUBSUB SHARDCHANNELS *1", "*1\r\n$2\r\ns1\r\n");
    says('b', "PUBSUB SHARDNUMSUB s2 s3", "*4\r\n$2\r\ns2\r\n:1\r\n$2\r\ns3\r\n:0\r\n");
    says('a', "SUNSUBSCRIBE s1", "*3\r\n$12\r\nsunsubscribe\r\n$2\r\ns1\r\n:1\r\n");
    says('a', "SUNSUBSCRIBE", "*3\r\n$12\r\nsunsubscribe\r\n$2\r\ns2\r\n:0\r\n");
    says('a', "SUNSUBSCRIBE", "*3\r\n$12\r\nsunsubscribe\r\n$-1\r\n:0\r\n");
    says('b', "SPUBLISH s1 x", ":0\r\n");
}

static void test_pubsub(void **state) {
    (void)state;
    says('b', "PUBSUB CHANNELS", "*0\r\n");
    turn_to('a');
    check_contains("SUBSCRIBE c1 c2 other", ":3\r\n");
    says('b', "PUBSUB CHANNELS", "*3\r\n$2\r\nc1\r\n$2\r\nc2\r\n$5\r\nother\r\n");
    says('b', "PUBSUB CHANNELS c*", "*2\r\n$2\r\nc1\r\n$2\r\nc2\r\n");
    says('b', "PUBSUB NUMSUB", "*0\r\n");
    says('b', "PUBSUB NUMSUB c1 nosuch", "*4\r\n$2\r\nc1\r\n:1\r\n$6\r\nnosuch\r\n:0\r\n");
    says('b', "PUBSUB NOSUCH", "-ERR unknown subcommand 'NOSUCH'. Try PUBSUB HELP.\r\n");
    says('b', "PUBSUB NUMPAT x", "-ERR wrong number of arguments for 'pubsub|numpat' command\r\n");
    turn_to('b');
    check_contains("PUBSUB HELP", "*14\r\n+PUBSUB <subcommand> [<arg> [value] [opt] ...]. Subcommands are:\r\n"
                                  "+CHANNELS [<pattern>]\r\n+    Return the currently active channels");
}

/* In RESP2 a message can't be told from a reply. */
static void test_what_a_subscriber_may_say(void **state) {
    (void)state;
    turn_to('a');
    says('a', "SUBSCRIBE c", "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n");
    says('a', "GET x",
         "-ERR Can't execute 'get': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed "
         "in this "
         "context\r\n");
    says('a', "PUBLISH c x",
         "-ERR Can't execute 'publish': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are "
         "allowed in "
         "this context\r\n");
    says('a', "PING", "*2\r\n$4\r\npong\r\n$0\r\n\r\n");
    says('a', "PING hi", "*2\r\n$4\r\npong\r\n$2\r\nhi\r\n");
    says('a', "UNSUBSCRIBE\r\nGET x", "*3\r\n$11\r\nunsubscribe\r\n$1\r\nc\r\n:0\r\n$-1\r\n");
    says('a', "SSUBSCRIBE c\r\nRESET\r\nGET x",
         "*3\r\n$10\r\nssubscribe\r\n$1\r\nc\r\n:1\r\n+RESET\r\n$-1\r\n");
    says('b', "SPUBLISH c x", ":0\r\n");
}

static void test_resp3(void **state) {
    (void)state;
    speaks_resp3('a');
    says('a', "SUBSCRIBE c", ">3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n");
    says('a', "SET x 1\r\nPING", "+OK\r\n+PONG\r\n");
    says('b', "PUBLISH c y", ":1\r\n");
    hears('a', ">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\ny\r\n");
    /* To itself: behind the reply, within a pipeline too; to a transaction: behind all of it. */
    says('a', "PUBLISH c 1\r\nGET x\r\nPUBLISH c 2",
         ":1\r\n>3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\n1\r\n$1\r\n1\r\n:1\r\n>3\r\n$7\r\nmessage\r\n$"
         "1\r\nc\r\n$1\r\n2\r\n");
    says('a', "MULTI\r\nPUBLISH c 3\r\nGET x\r\nEXEC",
         "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n:1\r\n$1\r\n1\r\n>3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\n3\r\n");
    says('a', "UNSUBSCRIBE\r\nUNSUBSCRIBE",
         ">3\r\n$11\r\nunsubscribe\r\n$1\r\nc\r\n:0\r\n>3\r\n$11\r\nunsubscribe\r\n_\r\n:0\r\n");
}

static void test_subscribing_in_a_transaction(void **state) {
    (void)state;
    says('a', "MULTI\r\nSUBSCRIBE c\r\nGET x\r\nEXEC",
         "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n$-1\r\n");
    says('b', "PUBLISH c y", ":1\r\n");
    hears('a', "*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\ny\r\n");
}

/* CLIENT REPLY OFF silences replies; messages are none. */
static void test_reply_off(void **state) {
    (void)state;
    speaks_resp3('a');
    says('a', "CLIENT REPLY OFF\r\nGET x\r\nSUBSCRIBE c\r\nGET x",
         ">3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n");
    says('b', "PUBLISH c y", ":1\r\n");
    hears('a', ">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\ny\r\n");
}

/* --- Where messages may go --- */

static void set_many(int count) {
    struct buf commands;
    buf_init(&commands, SIZE_MAX);
    for (int i = 0; i < count; i++) {
        buf_printf(&commands, "SET key:%07d v\r\n", i);
        if (i % 1000 == 999) {
            send_bytes(buf_slice(&commands));
            receive_bytes(5000);
            buf_reset(&commands);
            buf_reset(&node.received);
        }
    }
    buf_deinit(&commands);
}

/* A KEYS takes many turns of the loop: what is published meanwhile comes behind its reply, in order. */
static void test_no_message_within_a_reply(void **state) {
    (void)state;
    enum { KEYS = 30000 };
    turn_to('b');
    set_many(KEYS);
    speaks_resp3('a');
    says('a', "SUBSCRIBE c", ">3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n");
    send_bytes(SLICE("KEYS key:*\r\n"));
    for (int i = 0; i < 3; i++) {
        turn();
    }
    says('b', "PUBLISH c 1\r\nPUBLISH c 2", ":1\r\n:1\r\n");
    turn_to('a');
    static const char messages[] =
        ">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\n1\r\n>3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\n2\r\n";
    size_t reply = sizeof("*30000\r\n") - 1 + KEYS * (sizeof("$11\r\nkey:0000000\r\n") - 1);
    receive_bytes(reply + sizeof(messages) - 1);
    assert_int_equal(buf_used(&node.received), reply + sizeof(messages) - 1);
    const char *at = buf_slice(&node.received).ptr;
    assert_memory_equal(at, "*30000\r\n$11\r\nkey:", 17);
    assert_memory_equal(at + reply, messages, sizeof(messages) - 1);
    buf_reset(&node.received);
}

/* Who does not read is cut off when it owes as much as client-output-buffer-limit says; others are not. */
static void test_a_subscriber_that_does_not_read(void **state) {
    (void)state;
    node.settings.output_limits[CLIENT_CLASS_PUBSUB].hard_bytes = 4 << 20;
    says('a', "SUBSCRIBE c", "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n");
    turn_to('c');
    says('c', "SUBSCRIBE c", "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n");
    struct buf command;
    buf_init(&command, SIZE_MAX);
    enum { TEXT = 100000 };
    buf_printf(&command, "*3\r\n$7\r\nPUBLISH\r\n$1\r\nc\r\n$%d\r\n", TEXT);
    memset(buf_reserve(&command, TEXT), 'x', TEXT);
    buf_commit(&command, TEXT);
    buf_append_text(&command, "\r\n");
    int rounds = 0;
    turn_to('b');
    size_t clients_before = node.stats.resp_clients;
    while (node.stats.resp_clients == clients_before && rounds++ < 200) {
        turn_to('b');
        send_bytes(buf_slice(&command));
        receive_bytes(4);
        buf_reset(&node.received);
        turn_to('c');
        receive_bytes(TEXT);
        buf_reset(&node.received);
    }
    /* 4 MB, what the socket holds, and no more. */
    assert_in_range(rounds, 40, 60);
    assert_int_equal(node.stats.resp_clients, clients_before - 1);
    says('b', "PUBLISH c bye", ":1\r\n");
    turn_to('a');
    expect_closed();
    leaves('a');
    buf_reset(&node.received);
    buf_deinit(&command);
}

/* Many names, many times: the maps grow and shrink, and nothing is left. */
static void test_many_subscriptions(void **state) {
    (void)state;
    enum { ROUNDS = 3, CHANNELS = 500 };
    speaks_resp3('a');
    speaks_resp3('b');
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < CHANNELS; i++) {
            char line[64], reply[128], name[16];
            int n = snprintf(name, sizeof(name), "c%d", i);
            snprintf(line, sizeof(line), "SUBSCRIBE %s", name);
            snprintf(reply, sizeof(reply), ">3\r\n$9\r\nsubscribe\r\n$%d\r\n%s\r\n:%d\r\n", n, name, i + 1);
            says('a', line, reply);
            says('b', line, reply);
        }
        says('c', "PUBLISH c7 x\r\nPUBLISH c499 x\r\nPUBLISH c500 x", ":2\r\n:2\r\n:0\r\n");
        for (char who = 'a'; who <= 'b'; who++) {
            hears(who, ">3\r\n$7\r\nmessage\r\n$2\r\nc7\r\n$1\r\nx\r\n>3\r\n$7\r\nmessage\r\n$4\r\nc499\r\n$"
                       "1\r\nx\r\n");
        }
        turn_to('a');
        check_contains("UNSUBSCRIBE", "$4\r\nc499\r\n:0\r\n");
        leaves('b');
        speaks_resp3('b');
        says('c', "PUBSUB CHANNELS", "*0\r\n");
    }
}

/* Its end of the connection stays open, so the connection lingers. */
static void test_who_quits_is_no_subscriber(void **state) {
    (void)state;
    says('a', "SUBSCRIBE news", "*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n");
    says('a', "QUIT", "+OK\r\n");
    says('b', "PUBLISH news x", ":0\r\n");
    says('b', "PUBSUB CHANNELS", "*0\r\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        client_test(test_channels),
        client_test(test_patterns),
        client_test(test_shard_channels),
        client_test(test_pubsub),
        client_test(test_what_a_subscriber_may_say),
        client_test(test_resp3),
        client_test(test_subscribing_in_a_transaction),
        client_test(test_reply_off),
        client_test(test_no_message_within_a_reply),
        client_test(test_a_subscriber_that_does_not_read),
        client_test(test_many_subscriptions),
        client_test(test_who_quits_is_no_subscriber),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
