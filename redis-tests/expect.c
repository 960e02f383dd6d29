/* expect.c: see expect.h. */
#include "redis-tests/expect.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>

bool is(const redisReply *reply, struct expected expected) {
    if (reply == NULL || reply->type != expected.type) {
        return false;
    }
    switch (expected.type) {
    case REDIS_REPLY_NIL:
        return true;
    case REDIS_REPLY_INTEGER:
        return reply->integer >= expected.least && reply->integer <= expected.most;
    default:
        return (size_t)reply->len == expected.text.len &&
               memcmp(reply->str, expected.text.ptr, expected.text.len) == 0;
    }
}

bool check(struct test *test, bool holds, const char *format, ...) {
    test->checks++;
    if (!holds && test->failure[0] == '\0') {
        va_list args;
        va_start(args, format);
        vsnprintf(test->failure, sizeof(test->failure), format, args);
        va_end(args);
    }
    return holds;
}

struct description {
    char text[160];
};

/* An integer is anything from least to most. */
static struct description describe(int type, struct bytes text, long long least, long long most) {
    static const char *const names[] = {"nothing", "a bulk",   "an array", "an integer",
                                        "nil",     "a status", "an error"};
    const char *name = type >= 0 && (size_t)type < sizeof(names) / sizeof(names[0]) ? names[type] : "?";
    struct description out;
    if (type == REDIS_REPLY_INTEGER && least == most) {
        snprintf(out.text, sizeof(out.text), "%lld", least);
    } else if (type == REDIS_REPLY_INTEGER) {
        snprintf(out.text, sizeof(out.text), "an integer of %lld to %lld", least, most);
    } else if (text.ptr != NULL) {
        snprintf(out.text, sizeof(out.text), "%s of %zu bytes (%.80s)", name, text.len, text.ptr);
    } else {
        snprintf(out.text, sizeof(out.text), "%s", name);
    }
    return out;
}

bool check_reply(struct test *test, const redisReply *reply, struct expected expected, const char *of) {
    static const redisReply none = {0};
    const redisReply *got = reply != NULL ? reply : &none;
    struct bytes got_text = {got->str, got->str != NULL ? (size_t)got->len : 0};
    return check(test, is(reply, expected), "%s: expected %s, got %s", of,
                 describe(expected.type, expected.text, expected.least, expected.most).text,
                 describe(got->type, got_text, got->integer, got->integer).text);
}

bool expect(struct test *test, redisContext *node, struct expected expected, const char *format, ...) {
    va_list args;
    va_start(args, format);
    redisReply *reply = redisvCommand(node, format, args);
    va_end(args);
    bool as_expected = check_reply(test, reply, expected, format);
    freeReplyObject(reply);
    return as_expected;
}

static int64_t steady_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void expect_in_time(struct test *test, redisContext *node, struct bytes key, struct expected expected) {
    int64_t deadline_ms = steady_ms() + WAIT_MS;
    bool arrived = false;
    while (!arrived && test->failure[0] == '\0' && node->err == 0 && steady_ms() < deadline_ms) {
        redisReply *reply = redisCommand(node, "GET %b", key.ptr, key.len);
        arrived = is(reply, expected);
        freeReplyObject(reply);
        if (!arrived) {
            nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
        }
    }
    check(test, arrived, "port %d: %.*s has not become %s %s", node->tcp.port, (int)key.len, key.ptr,
          describe(expected.type, expected.text, 0, 0).text, node->errstr);
}

void make_step(int i, struct step *out) {
    int number = i - i % 4;
    snprintf(out->reply, sizeof(out->reply), "value-%d", number);
    switch (i % 4) {
    case 0:
        snprintf(out->command, sizeof(out->command), "SET h:step:%d value-%d", number, number);
        out->expected = status("OK");
        break;
    case 1:
        snprintf(out->command, sizeof(out->command), "GET h:step:%d", number);
        out->expected = text(out->reply);
        break;
    case 2:
        snprintf(out->reply, sizeof(out->reply), "echo-%d", number);
        snprintf(out->command, sizeof(out->command), "ECHO echo-%d", number);
        out->expected = text(out->reply);
        break;
    default:
        snprintf(out->reply, sizeof(out->reply),
                 "ERR unknown command 'WHAT%d', with args beginning with: ", number);
        snprintf(out->command, sizeof(out->command), "WHAT%d", number);
        out->expected = error(out->reply);
    }
}
