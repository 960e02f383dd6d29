/* expect.h: how a case says what it expects of a node, and what is kept of the first expectation that did not
 * hold.
 *
 *     expect(test, test->leader, text("Alice"), "GET %s", "user1");
 *
 * A case goes on after a failure, on connections that may have died: nothing here minds a NULL reply. */
#ifndef REDIS_TESTS_EXPECT_H
#define REDIS_TESTS_EXPECT_H

#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum { FOLLOWERS_MAX = 8, NODES_MAX = 1 + FOLLOWERS_MAX, WAIT_MS = 60000 };

/* What a case works with: a fresh connection to each node, and a place for what went wrong. */
struct test {
    const char *host;
    int ports[NODES_MAX]; /* the leader's, then the followers' */
    redisContext *nodes[NODES_MAX];
    size_t node_count;
    redisContext *leader; /* nodes[0] */
    unsigned checks;
    char failure[512]; /* the first one; "" as long as all holds */
};

struct bytes {
    const char *ptr;
    size_t len;
};

struct expected {
    int type; /* REDIS_REPLY_* */
    struct bytes text;
    long long least, most;
};

static inline struct bytes bytes_of(const char *text) { return (struct bytes){text, strlen(text)}; }

static inline struct expected status(const char *text) {
    return (struct expected){.type = REDIS_REPLY_STATUS, .text = bytes_of(text)};
}
static inline struct expected error(const char *text) {
    return (struct expected){.type = REDIS_REPLY_ERROR, .text = bytes_of(text)};
}
static inline struct expected bulk(struct bytes text) {
    return (struct expected){.type = REDIS_REPLY_STRING, .text = text};
}
static inline struct expected text(const char *text) { return bulk(bytes_of(text)); }
static inline struct expected nil(void) { return (struct expected){.type = REDIS_REPLY_NIL}; }
static inline struct expected between(long long least, long long most) {
    return (struct expected){.type = REDIS_REPLY_INTEGER, .least = least, .most = most};
}
static inline struct expected integer(long long number) { return between(number, number); }

bool is(const redisReply *reply, struct expected expected);

/* The first failure of a case is the one that is told. Returns `holds`. */
bool check(struct test *test, bool holds, const char *format, ...) __attribute__((format(printf, 3, 4)));
bool check_reply(struct test *test, const redisReply *reply, struct expected expected, const char *of);

/* The command is in redisCommand's format, in which %b is a pointer and a size_t. */
bool expect(struct test *test, redisContext *node, struct expected expected, const char *format, ...);

/* Reads the key until it is as expected: on a follower, until the write has arrived. WAIT_MS at most, and not
 * at all in a case that has failed. */
void expect_in_time(struct test *test, redisContext *node, struct bytes key, struct expected expected);

/* Number i of a pipeline whose replies all differ, errors among them. */
struct step {
    char command[64], reply[64];
    struct expected expected; /* points into reply */
};
void make_step(int i, struct step *out);

#endif
