/* Many commands in one packet, or in one EXEC, or many writes in one command, while memory fails: each is done
 * or refused by itself, and as it was answered so is the data. */
#include "tests/fault/transcript.h"

enum { WRITES = 6 };

/* The i-th writes the key k<i>. */
#define WRITES_TEXT "SET k0 v\nSET k1 @long\nAPPEND k2 @long\nSETRANGE k3 600 x\nINCR k4\nSETEX k5 100 @long"

static bool is_there(const char *name) {
    struct key key = keyspace_key(node.keyspace, slice_from_text(name));
    return keyspace_find(node.keyspace, &key, KEYSPACE_QUIETLY) != NULL;
}

static bool begins_with(struct slice text, const char *head) {
    return slice_equals(slice_first(text, strlen(head)), slice_from_text(head));
}

/* reply empty: there was none before the end of the connection, and all is possible. */
static void check_write(size_t i, struct slice reply) {
    char name[16];
    snprintf(name, sizeof(name), "k%zu", i);
    bool done = begins_with(reply, "+OK\r\n") || begins_with(reply, ":");
    if (reply.len > 0 && !done && !is_out_of_memory(reply)) {
        fault_fail("%s was answered with \"%.*s\"", name, (int)reply.len, reply.ptr);
    }
    if (reply.len > 0 && is_there(name) != done) {
        fault_fail("%s is%s there, against what was answered", name, done ? " not" : "");
    }
}

static struct slice take_reply(struct slice *in) {
    size_t n = reply_bytes(*in);
    struct slice reply = slice_first(*in, n);
    *in = slice_skip(*in, n);
    return reply;
}

/* Replies, or the elements of EXEC's. */
static void check_writes(struct slice replies) {
    for (size_t i = 0; i < WRITES; i++) {
        check_write(i, take_reply(&replies));
    }
}

static void check_none(void) {
    for (size_t i = 0; i < WRITES; i++) {
        check_write(i, SLICE("-OOM out of memory\r\n"));
    }
}

/* --- A life: one client, one packet --- */

static void begin(void) {
    void *unused;
    set_up(&unused);
    close(node.client);
    memset(client_ends, 0, sizeof(client_ends));
    memset(transcript.closed, 0, sizeof(transcript.closed));
    for (size_t i = 0; i < CLIENTS; i++) {
        buf_init(&transcript.heard[i], SIZE_MAX);
    }
    connect_armed('a');
}

static void end(void) {
    void *unused;
    fault_memory_is_back();
    for (size_t i = 0; i < CLIENTS; i++) {
        if (client_ends[i] != 0) {
            close(client_ends[i]);
            client_ends[i] = 0;
        }
        buf_deinit(&transcript.heard[i]);
    }
    is_served('a');
    node.client = -1;
    tear_down(&unused);
}

static struct slice heard(char who) { return buf_slice(&transcript.heard[who - 'a']); }

/* Until it is done; false: the connection is closed. */
static bool insist(char who, const char *line) {
    if (client_ends[who - 'a'] == 0) {
        connect_armed(who);
    }
    do {
        say(who, line);
    } while (!transcript.closed[who - 'a'] && is_out_of_memory(heard(who)));
    return !transcript.closed[who - 'a'];
}

static void a_pipeline(void) {
    begin();
    say('a', WRITES_TEXT);
    check_writes(heard('a'));
    end();
}

static void a_transaction(void) {
    begin();
    say('a', "MULTI\n" WRITES_TEXT "\nEXEC");
    struct slice replies = heard('a');
    struct slice multi = take_reply(&replies), writes = replies, exec = SLICE("");
    for (size_t i = 0; i < WRITES + 1; i++) {
        exec = take_reply(&replies);
    }
    if (is_out_of_memory(multi)) {
        check_writes(writes); /* they were no transaction then */
    } else if (begins_with(exec, "*6\r\n")) {
        check_writes(slice_skip(exec, 4));
    } else if (is_out_of_memory(exec) || begins_with(exec, "-EXECABORT ")) {
        check_none();
    } else if (exec.len > 0) {
        fault_fail("EXEC was answered with \"%.*s\"", (int)exec.len, exec.ptr);
    }
    end();
}

/* What was watched, and has changed, lets nothing run. */
static void a_watched_key(void) {
    begin();
    if (insist('a', "WATCH a k @long") && insist('b', "SET k 1") && !transcript.closed[0]) {
        say('a', "MULTI\nSET k0 v\nEXEC");
        if (begins_with(heard('a'), "+OK\r\n") && is_there("k0")) {
            fault_fail("a transaction has run against a change");
        }
    }
    end();
}

/* A refused EXEC has a reply, too. */
static void a_refused_transaction(void) {
    begin();
    if (insist('a', "MULTI") && insist('a', "SET k0 v")) {
        routing_set_self_leader(&node.routing, false);
        say('a', "EXEC");
        check_none();
        routing_set_self_leader(&node.routing, true);
    }
    end();
}

/* MSET that fails may have written some of its keys: the first ones. */
static void many_keys(void) {
    begin();
    say('a', "MSET k0 v k1 @long k2 @large k3 v");
    struct slice reply = heard('a');
    bool whole = begins_with(reply, "+OK\r\n"), gap = false;
    for (int i = 0; i < 4; i++) {
        char name[16];
        snprintf(name, sizeof(name), "k%d", i);
        bool there = is_there(name);
        if ((whole && !there) || (gap && there)) {
            fault_fail("%s is%s there after \"%.*s\"", name, there ? "" : " not", (int)reply.len, reply.ptr);
        }
        gap = !there;
    }
    end();
}

static void test_a_pipeline(void **state) {
    (void)state;
    fault_each(a_pipeline);
}

static void test_a_transaction(void **state) {
    (void)state;
    fault_each(a_transaction);
}

static void test_a_watched_key(void **state) {
    (void)state;
    fault_each(a_watched_key);
}

static void test_a_refused_transaction(void **state) {
    (void)state;
    fault_each(a_refused_transaction);
}

static void test_many_keys(void **state) {
    (void)state;
    fault_each(many_keys);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_pipeline),    cmocka_unit_test(test_a_transaction),
        cmocka_unit_test(test_a_watched_key), cmocka_unit_test(test_a_refused_transaction),
        cmocka_unit_test(test_many_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
