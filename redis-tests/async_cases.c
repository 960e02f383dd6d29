/* async_cases.c: the asynchronous interface, on libev: the callbacks, their order, and how a connection ends.
 */
#include "redis-tests/cases.h"

#include <hiredis/adapters/libev.h>
#include <hiredis/async.h>

enum { ASYNC_COMMANDS = 2000 };

struct async {
    struct test *test;
    struct ev_loop *loop;
    redisAsyncContext *nodes[NODES_MAX];
    int connected, disconnected, open; /* events, and connections that are still to end */
    int status;                        /* the last one that onConnect or onDisconnect was told */
    int replies, empty_replies;
};

static void on_connect(const redisAsyncContext *node, int status_told) {
    struct async *async = node->data;
    async->connected++;
    async->status = status_told;
    if (status_told != REDIS_OK && --async->open == 0) { /* such a connection has no onDisconnect */
        ev_break(async->loop, EVBREAK_ALL);
    }
}

static void on_disconnect(const redisAsyncContext *node, int status_told) {
    struct async *async = node->data;
    async->disconnected++;
    async->status = status_told;
    if (--async->open == 0) {
        ev_break(async->loop, EVBREAK_ALL);
    }
}

static void on_time_out(struct ev_loop *loop, ev_timer *timer, int events) {
    (void)events;
    struct async *async = timer->data;
    check(async->test, false, "the loop ran for %d ms", WAIT_MS);
    ev_break(loop, EVBREAK_ALL);
}

static redisAsyncContext *async_connect(struct async *async, int port) {
    redisAsyncContext *node = redisAsyncConnect(async->test->host, port);
    if (!check(async->test, node != NULL && node->err == 0, "redisAsyncConnect to port %d", port)) {
        return NULL;
    }
    node->data = async;
    redisLibevAttach(async->loop, node);
    redisAsyncSetConnectCallback(node, on_connect);
    redisAsyncSetDisconnectCallback(node, on_disconnect);
    async->open++;
    return node;
}

/* Until every connection has ended. */
static void async_run(struct async *async) {
    ev_timer limit;
    ev_timer_init(&limit, on_time_out, WAIT_MS / 1e3, 0);
    limit.data = async;
    ev_timer_start(async->loop, &limit);
    if (async->open > 0) {
        ev_run(async->loop, 0);
    }
    ev_timer_stop(async->loop, &limit);
}

/* privdata: the number of the command, the numbers of which rise with each callback. */
static void on_step(redisAsyncContext *node, void *reply, void *privdata) {
    struct async *async = node->data;
    struct step step;
    int i = (int)(intptr_t)privdata;
    make_step(i, &step);
    check(async->test, i == async->replies, "reply %d came as number %d", i, async->replies);
    check_reply(async->test, reply, step.expected, step.command);
    if (++async->replies == ASYNC_COMMANDS) {
        redisAsyncDisconnect(node);
    }
}

void case_async(struct test *test) {
    struct async async = {.test = test, .loop = ev_loop_new(EVFLAG_AUTO), .status = REDIS_ERR};
    redisAsyncContext *node = async_connect(&async, test->ports[0]);
    for (int i = 0; node != NULL && i < ASYNC_COMMANDS; i++) {
        struct step step;
        make_step(i, &step);
        redisAsyncCommand(node, on_step, (void *)(intptr_t)i, step.command);
    }
    async_run(&async);
    check(test, async.replies == ASYNC_COMMANDS, "%d of %d replies", async.replies, ASYNC_COMMANDS);
    check(test, async.connected == 1 && async.disconnected == 1 && async.status == REDIS_OK,
          "connected %d times, disconnected %d times, status %d", async.connected, async.disconnected,
          async.status);
    ev_loop_destroy(async.loop);
}

static const char async_key[] = "h:async", async_value[] = "seen by all";

/* A follower is asked again until the write has arrived; the loop's limit bounds that. */
static void on_follower_read(redisAsyncContext *node, void *reply, void *privdata) {
    struct async *async = node->data;
    if (is(reply, text(async_value))) {
        async->replies++;
        redisAsyncDisconnect(node);
    } else if (reply != NULL) {
        check_reply(async->test, reply, nil(), "a read before the write has arrived");
        redisAsyncCommand(node, on_follower_read, privdata, "GET %s", async_key);
    }
}

static void on_write(redisAsyncContext *node, void *reply, void *privdata) {
    (void)privdata;
    struct async *async = node->data;
    check_reply(async->test, reply, status("OK"), "SET");
    redisAsyncDisconnect(node);
}

/* The followers wait for a key that is written only once they do. */
void case_async_followers(struct test *test) {
    struct async async = {.test = test, .loop = ev_loop_new(EVFLAG_AUTO)};
    expect(test, test->leader, between(0, 1), "DEL %s", async_key);
    for (size_t i = 1; i < test->node_count; i++) {
        expect_in_time(test, test->nodes[i], bytes_of(async_key), nil());
        redisAsyncContext *follower = async_connect(&async, test->ports[i]);
        if (follower != NULL) {
            redisAsyncCommand(follower, on_follower_read, NULL, "GET %s", async_key);
        }
    }
    redisAsyncContext *leader = async_connect(&async, test->ports[0]);
    if (leader != NULL) {
        redisAsyncCommand(leader, on_write, NULL, "SET %s %s", async_key, async_value);
    }
    async_run(&async);
    check(test, async.replies == (int)test->node_count - 1, "%d followers have read it", async.replies);
    ev_loop_destroy(async.loop);
}

static void on_last(redisAsyncContext *node, void *reply, void *privdata) {
    const struct expected *expected = privdata;
    struct async *async = node->data;
    if (expected != NULL) {
        async->replies++;
        check_reply(async->test, reply, *expected, "the reply before the end");
    } else {
        async->empty_replies += reply == NULL;
    }
}

/* The server closes after QUIT: who asked for more is told so, with a NULL reply and an error. */
void case_async_server_closes(struct test *test) {
    struct async async = {.test = test, .loop = ev_loop_new(EVFLAG_AUTO), .status = REDIS_OK};
    struct expected echo = text("before"), ok = status("OK");
    redisAsyncContext *node = async_connect(&async, test->ports[0]);
    if (node != NULL) {
        redisAsyncCommand(node, on_last, &echo, "ECHO before");
        redisAsyncCommand(node, on_last, &ok, "QUIT");
        redisAsyncCommand(node, on_last, NULL, "ECHO after");
    }
    async_run(&async);
    check(test, async.replies == 2, "%d replies before the end", async.replies);
    check(test, async.empty_replies == 1, "%d callbacks without a reply", async.empty_replies);
    check(test, async.disconnected == 1 && async.status == REDIS_ERR, "disconnected %d times, status %d",
          async.disconnected, async.status);
    ev_loop_destroy(async.loop);
}
