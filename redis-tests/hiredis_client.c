/* hiredis_client.c: what a program on hiredis sees of a leader and its followers: the synchronous interface,
 * the asynchronous one on libev, pipelines, binary and large values, connections that end, errors.
 *
 *     hiredis_client HOST LEADER_PORT FOLLOWER_PORT...
 *
 * It knows nothing of kvnode but Redis's protocol. A case is a row of a table; a line is printed for each, and
 * at the end `N passed, N failed`; exit code 1 when one failed. Everything that waits has a limit. */
#include "redis-tests/cases.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

static const struct test_case {
    const char *name;
    void (*run)(struct test *test);
} cases[] = {
    {"SET, GET, DEL, EXISTS, TYPE, PING, ECHO", case_basics},
    {"SET with NX, XX, GET, EX, PX, EXAT, PXAT, KEEPTTL", case_set_options},
    {"EXPIRE, PEXPIRE, TTL, PTTL, PERSIST, and a key that is gone on every node", case_expiry},
    {"CLIENT SETNAME, GETNAME, ID and SELECT", case_connection_state},
    {"errors have Redis's texts, and the connection goes on", case_errors},
    {"binary keys and values, read from every node", case_binary},
    {"a value of ten million bytes, read from every node", case_large},
    {"a pipeline of 10,000 commands is answered in order", case_pipeline},
    {"SCAN returns every key that stays, while others come and go", case_scan},
    {"KEYS returns every key once", case_keys},
    {"followers answer reads, and name the leader for writes", case_followers},
    {"CLUSTER SLOTS has each slot once, the leader first, then the followers", case_cluster_slots},
    {"reconnect after QUIT", case_quit},
    {"reconnect after the socket was shut down", case_shutdown},
    {"reconnect after a protocol error", case_protocol_error},
    {"QUIT in a pipeline: what follows is not executed", case_quit_in_pipeline},
    {"async: 2,000 commands, replies in order, a clean end", case_async},
    {"async: leader and followers on one loop", case_async_followers},
    {"async: the server closes the connection", case_async_server_closes},
};

/* The connection is there even if it failed: then whatever the case asks of it fails. */
static bool connect_all(struct test *test) {
    const struct timeval limit = {.tv_sec = WAIT_MS / 1000};
    for (size_t i = 0; i < test->node_count; i++) {
        test->nodes[i] = redisConnectWithTimeout(test->host, test->ports[i], limit);
        if (test->nodes[i] == NULL) {
            return check(test, false, "no memory");
        }
        redisSetTimeout(test->nodes[i], limit);
        if (!check(test, test->nodes[i]->err == 0, "port %d: %s", test->ports[i], test->nodes[i]->errstr)) {
            return false;
        }
    }
    test->leader = test->nodes[0];
    return true;
}

static bool run_case(const struct test_case *test_case, const struct test *nodes) {
    struct test test = *nodes;
    if (connect_all(&test)) {
        unsigned checks_before = test.checks;
        test_case->run(&test);
        check(&test, test.checks > checks_before, "it checks nothing");
    }
    for (size_t i = 0; i < test.node_count; i++) {
        redisFree(test.nodes[i]);
    }
    bool passed = test.failure[0] == '\0';
    printf("%-6s %s%s%s\n", passed ? "ok" : "FAILED", test_case->name, passed ? "" : ": ", test.failure);
    fflush(stdout);
    return passed;
}

static bool parse_port(const char *word, int *out) {
    char *end = NULL;
    long port = strtol(word, &end, 10);
    *out = (int)port;
    return *word != '\0' && *end == '\0' && port > 0 && port <= 65535;
}

int main(int argc, char **argv) {
    struct test nodes = {0};
    bool usable = argc >= 4 && argc - 2 <= NODES_MAX;
    for (int i = 2; usable && i < argc; i++) {
        usable = parse_port(argv[i], &nodes.ports[nodes.node_count++]);
    }
    if (!usable) {
        fprintf(stderr, "usage: hiredis_client HOST LEADER_PORT FOLLOWER_PORT... (at most %d)\n",
                FOLLOWERS_MAX);
        return 2;
    }
    nodes.host = argv[1];
    unsigned passed = 0, failed = 0;
    signal(SIGPIPE, SIG_IGN); /* writing to a connection that has ended is an error like others */
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (run_case(&cases[i], &nodes)) {
            passed++;
        } else {
            failed++;
        }
    }
    printf("%u passed, %u failed\n", passed, failed);
    return failed > 0 ? 1 : 0;
}
