/* sync_cases.c: the synchronous interface: one command at a time, pipelines, listings, connections that end. */
#include "redis-tests/cases.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

enum { LARGE_BYTES = 10 * 1000 * 1000, SLOT_COUNT = 16384 };

/* --- Commands, one at a time ------------------------------------------------------------------------------ */

void case_basics(struct test *test) {
    redisContext *leader = test->leader;
    expect(test, leader, status("PONG"), "PING");
    expect(test, leader, text("hello there"), "ECHO %s", "hello there");
    expect(test, leader, status("OK"), "SET {h:basic} one");
    expect(test, leader, text("one"), "GET {h:basic}");
    expect(test, leader, status("OK"), "SET {h:basic} two");
    expect(test, leader, text("two"), "GET {h:basic}");
    expect(test, leader, status("string"), "TYPE {h:basic}");
    expect(test, leader, integer(2), "EXISTS {h:basic} {h:basic}none {h:basic}");
    expect(test, leader, integer(1), "DEL {h:basic} {h:basic}none");
    expect(test, leader, integer(0), "DEL {h:basic}");
    expect(test, leader, nil(), "GET {h:basic}");
    expect(test, leader, status("none"), "TYPE {h:basic}");
}

void case_set_options(struct test *test) {
    redisContext *leader = test->leader;
    long long now_s = (long long)time(NULL);
    expect(test, leader, between(0, 1), "DEL h:options");
    expect(test, leader, nil(), "SET h:options a XX");
    expect(test, leader, nil(), "GET h:options");
    expect(test, leader, status("OK"), "SET h:options a NX");
    expect(test, leader, nil(), "SET h:options b NX");
    expect(test, leader, text("a"), "GET h:options");
    expect(test, leader, text("a"), "SET h:options b XX GET");
    expect(test, leader, text("b"), "SET h:options c NX GET");
    expect(test, leader, text("b"), "GET h:options");
    expect(test, leader, status("OK"), "SET h:options c EX 100");
    expect(test, leader, between(95, 100), "TTL h:options");
    expect(test, leader, status("OK"), "SET h:options d KEEPTTL");
    expect(test, leader, between(95, 100), "TTL h:options");
    expect(test, leader, status("OK"), "SET h:options e PX 50000");
    expect(test, leader, between(45000, 50000), "PTTL h:options");
    expect(test, leader, status("OK"), "SET h:options f EXAT %lld", now_s + 200);
    expect(test, leader, between(190, 200), "TTL h:options");
    expect(test, leader, status("OK"), "SET h:options g PXAT %lld", (now_s + 300) * 1000);
    expect(test, leader, between(290000, 300000), "PTTL h:options");
    expect(test, leader, status("OK"), "SET h:options h");
    expect(test, leader, integer(-1), "TTL h:options");
    expect(test, leader, error("ERR syntax error"), "SET h:options i NX XX");
    expect(test, leader, error("ERR syntax error"), "SET h:options i EX 1 PX 1");
    expect(test, leader, error("ERR invalid expire time in 'set' command"), "SET h:options i PX -1");
    expect(test, leader, text("h"), "GET h:options");
}

void case_expiry(struct test *test) {
    redisContext *leader = test->leader;
    expect(test, leader, between(0, 1), "DEL h:expiry");
    expect(test, leader, integer(-2), "TTL h:expiry");
    expect(test, leader, integer(0), "EXPIRE h:expiry 100");
    expect(test, leader, status("OK"), "SET h:expiry here");
    expect(test, leader, integer(-1), "PTTL h:expiry");
    expect(test, leader, integer(1), "EXPIRE h:expiry 100");
    expect(test, leader, between(95, 100), "TTL h:expiry");
    expect(test, leader, integer(1), "PERSIST h:expiry");
    expect(test, leader, integer(0), "PERSIST h:expiry");
    expect(test, leader, integer(-1), "TTL h:expiry");
    for (size_t i = 0; i < test->node_count; i++) {
        expect_in_time(test, test->nodes[i], bytes_of("h:expiry"), text("here"));
    }
    expect(test, leader, integer(1), "PEXPIRE h:expiry 40");
    for (size_t i = 0; i < test->node_count; i++) {
        expect_in_time(test, test->nodes[i], bytes_of("h:expiry"), nil());
    }
    expect(test, leader, integer(-2), "PTTL h:expiry");
    expect(test, leader, status("OK"), "SET h:expiry again");
    expect(test, leader, integer(1), "EXPIRE h:expiry -1");
    expect(test, leader, nil(), "GET h:expiry");
}

void case_connection_state(struct test *test) {
    redisContext *leader = test->leader;
    expect(test, leader, nil(), "CLIENT GETNAME");
    expect(test, leader, status("OK"), "CLIENT SETNAME hiredis");
    expect(test, leader, text("hiredis"), "CLIENT GETNAME");
    expect(test, leader, between(1, INT64_MAX), "CLIENT ID");
    expect(test, leader, status("OK"), "SELECT 0");
    expect(test, leader, error("ERR SELECT is not allowed in cluster mode"), "SELECT 1");
    expect(test, leader, status("OK"), "SELECT 0");
    redisContext *other = redisConnect(test->host, test->ports[0]);
    expect(test, other, nil(), "CLIENT GETNAME");
    redisFree(other);
}

void case_errors(struct test *test) {
    redisContext *leader = test->leader;
    expect(test, leader, error("ERR unknown command 'NONSENSE', with args beginning with: 'a' 'b c' "),
           "NONSENSE a %s", "b c");
    expect(test, leader, error("ERR wrong number of arguments for 'get' command"), "GET");
    expect(test, leader, error("ERR wrong number of arguments for 'get' command"), "GET a b");
    expect(test, leader, error("ERR wrong number of arguments for 'set' command"), "SET a");
    expect(test, leader, error("ERR wrong number of arguments for 'client|id' command"), "CLIENT ID 1");
    expect(test, leader, error("ERR unknown subcommand 'NONSENSE'. Try CLUSTER HELP."), "CLUSTER NONSENSE");
    expect(test, leader, error("ERR value is not an integer or out of range"), "EXPIRE h:error ten");
    expect(test, leader, error("ERR invalid cursor"), "SCAN x");
    expect(test, leader, status("PONG"), "PING");
}

/* --- Values ----------------------------------------------------------------------------------------------- */

void case_binary(struct test *test) {
    char all[256];
    for (size_t i = 0; i < sizeof(all); i++) {
        all[i] = (char)i;
    }
    const struct bytes texts[] = {
        {"", 0},
        {"\0", 1},
        {"\r\n", 2},
        {"$5\r\nhello\r\n", 11},
        {"a|b|c", 5},
        {"%0A%", 4},
        {"\xff\xc3", 2},
        {"\xf0\x9f\x92\xa1", 4},
        {all, sizeof(all)},
    };
    const int count = sizeof(texts) / sizeof(texts[0]);
    for (int i = 0; i < count; i++) {
        expect(test, test->leader, status("OK"), "SET h:binary:%d %b", i, texts[i].ptr, texts[i].len);
        expect(test, test->leader, status("OK"), "SET %b h:as-key:%d", texts[i].ptr, texts[i].len, i);
    }
    for (size_t n = 0; n < test->node_count; n++) {
        for (int i = 0; i < count; i++) {
            char key[32], value[32];
            snprintf(key, sizeof(key), "h:binary:%d", i);
            snprintf(value, sizeof(value), "h:as-key:%d", i);
            expect_in_time(test, test->nodes[n], bytes_of(key), bulk(texts[i]));
            expect_in_time(test, test->nodes[n], texts[i], text(value));
        }
    }
    for (int i = 0; i < count; i++) {
        expect(test, test->leader, integer(1), "DEL %b", texts[i].ptr, texts[i].len);
    }
}

void case_large(struct test *test) {
    char *value = malloc(LARGE_BYTES);
    if (!check(test, value != NULL, "no memory")) {
        return;
    }
    uint64_t state = 0x9e3779b97f4a7c15u;
    for (size_t i = 0; i < LARGE_BYTES; i++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        value[i] = (char)state;
    }
    struct bytes large = {value, LARGE_BYTES};
    expect(test, test->leader, status("OK"), "SET h:large %b", large.ptr, large.len);
    for (size_t i = 0; i < test->node_count; i++) {
        expect_in_time(test, test->nodes[i], bytes_of("h:large"), bulk(large));
    }
    expect(test, test->leader, integer(1), "DEL h:large");
    free(value);
}

/* --- Pipelines -------------------------------------------------------------------------------------------- */

/* Ten thousand commands are written before the first reply is read. */
void case_pipeline(struct test *test) {
    const int count = 10000;
    struct step step;
    for (int i = 0; i < count; i++) {
        make_step(i, &step);
        check(test, redisAppendCommand(test->leader, step.command) == REDIS_OK, "could not append %s",
              step.command);
    }
    bool in_order = true;
    for (int i = 0; i < count && in_order; i++) {
        void *reply = NULL;
        redisGetReply(test->leader, &reply);
        make_step(i, &step);
        in_order = check_reply(test, reply, step.expected, step.command);
        freeReplyObject(reply);
    }
    expect(test, test->leader, status("PONG"), "PING");
}

/* --- Listing ---------------------------------------------------------------------------------------------- */

enum { LISTED = 5000 };

/* name: "SET h:<prefix>:%d x" and the like, for each number of [first, end). */
static void pipeline_range(struct test *test, const char *format, int first, int end) {
    for (int i = first; i < end; i++) {
        redisAppendCommand(test->leader, format, i);
    }
    int answered = 0;
    for (int i = first; i < end; i++) {
        void *reply = NULL;
        redisGetReply(test->leader, &reply);
        answered += reply != NULL && ((redisReply *)reply)->type != REDIS_REPLY_ERROR;
        freeReplyObject(reply);
    }
    check(test, answered == end - first, "%s: %d of %d were answered", format, answered, end - first);
}

/* Counts a key of the form `prefix`<number>; false when it is none of those. */
static bool count_key(const redisReply *key, const char *prefix, unsigned char seen[LISTED]) {
    size_t n = strlen(prefix);
    char *end = NULL;
    if (key->type != REDIS_REPLY_STRING || (size_t)key->len <= n || memcmp(key->str, prefix, n) != 0) {
        return false;
    }
    long number = strtol(key->str + n, &end, 10);
    if (*end != '\0' || number < 0 || number >= LISTED) {
        return false;
    }
    seen[number] = 1;
    return true;
}

static size_t count_seen(const unsigned char seen[LISTED]) {
    size_t count = 0;
    for (size_t i = 0; i < LISTED; i++) {
        count += seen[i];
    }
    return count;
}

/* Keys that are there from the first page to the last are all returned, though others come and go between
 * pages. */
void case_scan(struct test *test) {
    unsigned char seen[LISTED] = {0};
    char cursor[32] = "0";
    int page = 0;
    pipeline_range(test, "SET h:scan:%d x", 0, LISTED);
    do {
        redisReply *reply = redisCommand(test->leader, "SCAN %s MATCH h:scan:* COUNT 100", cursor);
        bool well_formed = reply != NULL && reply->type == REDIS_REPLY_ARRAY && reply->elements == 2 &&
                           reply->element[0]->type == REDIS_REPLY_STRING &&
                           reply->element[1]->type == REDIS_REPLY_ARRAY &&
                           (size_t)reply->element[0]->len < sizeof(cursor);
        if (check(test, well_formed, "SCAN %s: not a cursor and an array", cursor)) {
            memcpy(cursor, reply->element[0]->str, (size_t)reply->element[0]->len + 1);
            for (size_t i = 0; i < reply->element[1]->elements; i++) {
                const redisReply *key = reply->element[1]->element[i];
                check(test, count_key(key, "h:scan:", seen), "SCAN returned %s", key->str);
            }
        } else {
            strcpy(cursor, "0");
        }
        freeReplyObject(reply);
        pipeline_range(test, page % 2 == 0 ? "SET h:churn:%d x" : "DEL h:churn:%d", page / 2 * 500,
                       page / 2 * 500 + 500);
    } while (strcmp(cursor, "0") != 0 && ++page < 10000);
    check(test, count_seen(seen) == LISTED, "SCAN returned %zu of %d keys", count_seen(seen), LISTED);
    check(test, page >= 10 && page < 10000, "SCAN took %d pages", page);
    pipeline_range(test, "DEL h:scan:%d", 0, LISTED);
    expect(test, test->leader, integer(0), "EXISTS h:scan:%d", LISTED - 1);
}

void case_keys(struct test *test) {
    unsigned char seen[LISTED] = {0};
    pipeline_range(test, "SET h:keys:%d x", 0, LISTED);
    redisReply *reply = redisCommand(test->leader, "KEYS h:keys:*");
    if (check(test, reply != NULL && reply->type == REDIS_REPLY_ARRAY, "KEYS: not an array")) {
        check(test, reply->elements == LISTED, "KEYS returned %zu of %d keys", reply->elements, LISTED);
        for (size_t i = 0; i < reply->elements; i++) {
            check(test, count_key(reply->element[i], "h:keys:", seen), "KEYS returned %s",
                  reply->element[i]->str);
        }
        check(test, count_seen(seen) == LISTED, "KEYS returned %zu different keys", count_seen(seen));
    }
    freeReplyObject(reply);
    reply = redisCommand(test->leader, "KEYS h:keys:1?[3-5]");
    check(test, reply != NULL && reply->type == REDIS_REPLY_ARRAY && reply->elements == 30,
          "KEYS with a pattern for 30 keys returned %zu", reply != NULL ? reply->elements : 0);
    freeReplyObject(reply);
    pipeline_range(test, "DEL h:keys:%d", 0, LISTED);
    reply = redisCommand(test->leader, "KEYS h:keys:*");
    check(test, reply != NULL && reply->type == REDIS_REPLY_ARRAY && reply->elements == 0,
          "KEYS of what was deleted");
    freeReplyObject(reply);
}

/* --- The cluster ------------------------------------------------------------------------------------------ */

void case_followers(struct test *test) {
    expect(test, test->leader, status("OK"), "SET h:routed here");
    check(test, test->node_count > 1, "no follower was named");
    for (size_t i = 1; i < test->node_count; i++) {
        redisContext *follower = test->nodes[i];
        expect_in_time(test, follower, bytes_of("h:routed"), text("here"));
        redisReply *slot = redisCommand(follower, "CLUSTER KEYSLOT h:routed");
        char moved[128];
        snprintf(moved, sizeof(moved), "MOVED %lld %s:%d", slot != NULL ? slot->integer : -1, test->host,
                 test->ports[0]);
        freeReplyObject(slot);
        expect(test, follower, error(moved), "SET h:routed elsewhere");
        expect(test, follower, error(moved), "DEL h:routed");
        expect(test, follower, error(moved), "EXPIRE h:routed 100");
        expect(test, follower, error("READONLY You can't write against a read only replica."), "FLUSHALL");
        expect(test, follower, text("here"), "GET h:routed");
    }
    expect(test, test->leader, text("here"), "GET h:routed");
    expect(test, test->leader, integer(-1), "TTL h:routed");
}

static bool names_node(const redisReply *node, int port) {
    return node->type == REDIS_REPLY_ARRAY && node->elements >= 3 &&
           node->element[0]->type == REDIS_REPLY_STRING && is(node->element[1], integer(port)) &&
           node->element[2]->type == REDIS_REPLY_STRING;
}

/* The way in which cluster clients learn who owns what: every slot once, each range led by the leader. */
void case_cluster_slots(struct test *test) {
    unsigned owners[SLOT_COUNT] = {0}, owned_once = 0;
    redisReply *reply = redisCommand(test->leader, "CLUSTER SLOTS");
    bool is_array = reply != NULL && reply->type == REDIS_REPLY_ARRAY;
    check(test, is_array, "CLUSTER SLOTS: not an array");
    for (size_t i = 0; is_array && i < reply->elements; i++) {
        const redisReply *range = reply->element[i];
        bool well_formed = range->type == REDIS_REPLY_ARRAY && range->elements == 2 + test->node_count &&
                           is(range->element[0], between(0, SLOT_COUNT - 1)) &&
                           is(range->element[1], between(range->element[0]->integer, SLOT_COUNT - 1));
        if (!check(test, well_formed, "range %zu: not two slots and %zu nodes", i, test->node_count)) {
            continue;
        }
        check(test, names_node(range->element[2], test->ports[0]), "range %zu: the leader is not first", i);
        for (size_t n = 1; n < test->node_count; n++) {
            bool named = false;
            for (size_t at = 3; at < range->elements; at++) {
                named |= names_node(range->element[at], test->ports[n]);
            }
            check(test, named, "range %zu: port %d is missing", i, test->ports[n]);
        }
        for (long long slot = range->element[0]->integer; slot <= range->element[1]->integer; slot++) {
            owners[slot]++;
        }
    }
    freeReplyObject(reply);
    for (size_t slot = 0; slot < SLOT_COUNT; slot++) {
        owned_once += owners[slot] == 1;
    }
    check(test, owned_once == SLOT_COUNT, "%u of %d slots have one owner", owned_once, SLOT_COUNT);
}

/* --- Connections that end --------------------------------------------------------------------------------- */

static void expect_end_and_reconnect(struct test *test, redisContext *node) {
    redisReply *reply = redisCommand(node, "PING");
    check(test, reply == NULL && node->err != 0, "the connection should have ended");
    freeReplyObject(reply);
    check(test, redisReconnect(node) == REDIS_OK, "reconnect: %s", node->errstr);
    redisSetTimeout(node, (struct timeval){.tv_sec = WAIT_MS / 1000});
    expect(test, node, status("PONG"), "PING");
    expect(test, node, text("kept"), "GET h:kept");
}

void case_quit(struct test *test) {
    expect(test, test->leader, status("OK"), "SET h:kept kept");
    expect(test, test->leader, status("OK"), "QUIT");
    expect_end_and_reconnect(test, test->leader);
}

void case_shutdown(struct test *test) {
    expect(test, test->leader, status("OK"), "SET h:kept kept");
    shutdown(test->leader->fd, SHUT_WR);
    expect_end_and_reconnect(test, test->leader);
    shutdown(test->leader->fd, SHUT_RDWR);
    expect_end_and_reconnect(test, test->leader);
}

/* Bytes that are no RESP are answered with an error, and the connection is closed after it. */
void case_protocol_error(struct test *test) {
    const char nonsense[] = "*1\r\n$not-a-number\r\n";
    void *reply = NULL;
    expect(test, test->leader, status("OK"), "SET h:kept kept");
    redisAppendFormattedCommand(test->leader, nonsense, sizeof(nonsense) - 1);
    redisGetReply(test->leader, &reply);
    check_reply(test, reply, error("ERR Protocol error: invalid bulk length"), "a length that is no number");
    freeReplyObject(reply);
    expect_end_and_reconnect(test, test->leader);
}

/* What came before QUIT in a pipeline is answered; what came after it is not executed. */
void case_quit_in_pipeline(struct test *test) {
    expect(test, test->leader, status("OK"), "SET h:kept kept");
    const char *const commands[] = {"ECHO before", "QUIT", "SET h:kept lost"};
    const struct expected replies[] = {text("before"), status("OK")};
    for (size_t i = 0; i < 3; i++) {
        redisAppendCommand(test->leader, commands[i]);
    }
    for (size_t i = 0; i < 2; i++) {
        void *reply = NULL;
        redisGetReply(test->leader, &reply);
        check_reply(test, reply, replies[i], commands[i]);
        freeReplyObject(reply);
    }
    expect_end_and_reconnect(test, test->leader);
}
