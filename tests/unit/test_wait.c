/* Several clients that wait: each gets its answer when its own number is reached, and those that cannot have it
 * yet cost nothing. */
#include "tests/unit/resp_clients.h"

static void says_nothing_yet(char who) { hears(who, ""); }

static void waits(char who, const char *command) {
    turn_to(who);
    send_bytes(slice_from_text(command));
    turn();
    turn();
}

static void follower_acknowledges(uint64_t index) { node.replication.acknowledged = index; }

static void test_each_is_answered_when_its_own_write_is_there(void **state) {
    (void)state;
    says('a', "SET a 1", "+OK\r\n");
    uint64_t first = history_index(node.history);
    waits('a', "WAIT 1 0\r\n");
    says('b', "SET b 1", "+OK\r\n");
    waits('b', "WAIT 1 0\r\n");
    says('c', "SET c 1", "+OK\r\n");
    waits('c', "WAIT 1 0\r\nGET c\r\n");
    says_nothing_yet('a');
    follower_acknowledges(first);
    hears('a', ":1\r\n");
    says_nothing_yet('b');
    says_nothing_yet('c');
    follower_acknowledges(history_index(node.history));
    hears('b', ":1\r\n");
    hears('c', ":1\r\n$1\r\n1\r\n");
}

/* Nor does WAITAOF, which nobody can answer. */
static void test_who_wants_more_followers_holds_nobody_up(void **state) {
    (void)state;
    says('a', "SET a 1", "+OK\r\n");
    waits('a', "WAITAOF 0 1 0\r\n");
    waits('b', "WAIT 2 0\r\n");
    says('c', "SET c 1", "+OK\r\n");
    waits('c', "WAIT 1 0\r\n");
    turn_to('d');
    check_contains("INFO clients", "blocked_clients:3");
    follower_acknowledges(history_index(node.history));
    hears('c', ":1\r\n");
    says_nothing_yet('a');
    says_nothing_yet('b');
    says('c', "CLIENT UNBLOCK 2 ERROR", ":1\r\n");
    hears('b', "-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n");
    says('c', "CLIENT UNBLOCK 1", ":1\r\n");
    hears('a', "*2\r\n:0\r\n:0\r\n");
}

static void test_whoever_leaves_leaves_the_queue(void **state) {
    (void)state;
    says('a', "SET a 1", "+OK\r\n");
    waits('a', "WAIT 1 0\r\n");
    waits('b', "WAIT 1 0\r\n");
    waits('c', "WAIT 1 0\r\n");
    leaves('b');
    follower_acknowledges(history_index(node.history));
    hears('a', ":1\r\n");
    hears('c', ":1\r\n");
}

/* A leader that began a new history counts from 0 again. */
static void test_a_new_history_goes_before_what_waits_for_the_old_one(void **state) {
    (void)state;
    says('a', "SET a 1", "+OK\r\n");
    says('a', "SET a 2", "+OK\r\n");
    waits('a', "WAIT 1 0\r\n");
    history_restart(node.history, history_id(node.history) + 1, 0, NULL);
    says('b', "SET b 1", "+OK\r\n");
    waits('b', "WAIT 1 0\r\n");
    follower_acknowledges(history_index(node.history));
    hears('b', ":1\r\n");
    says_nothing_yet('a');
    follower_acknowledges(UINT64_MAX);
    hears('a', ":1\r\n");
}

static void test_all_are_told_that_this_node_leads_no_more(void **state) {
    (void)state;
    says('a', "SET a 1", "+OK\r\n");
    waits('a', "WAIT 1 0\r\n");
    waits('b', "WAITAOF 0 1 0\r\n");
    routing_set_self_leader(&node.routing, false);
    for (char who = 'a'; who <= 'b'; who++) {
        hears(who, "-UNBLOCKED force unblock from blocking operation, instance state changed (master -> "
                   "replica?)\r\n");
    }
}

static void test_an_iteration_looks_at_nobody_without_news(void **state) {
    (void)state;
    says('a', "SET a 1", "+OK\r\n");
    uint64_t first = history_index(node.history);
    waits('a', "WAIT 1 0\r\n");
    says('b', "SET b 1", "+OK\r\n");
    waits('b', "WAIT 1 0\r\n");
    waits('c', "WAIT 1 0\r\n");
    size_t counted = node.replication.counted;
    for (int i = 0; i < 20; i++) {
        says('d', "PING", "+PONG\r\n");
    }
    assert_int_equal(node.replication.counted, counted);
    follower_acknowledges(first);
    says('d', "PING", "+PONG\r\n");
    says('d', "PING", "+PONG\r\n");
    assert_int_equal(node.replication.counted, counted + 3); /* the first, its answer, and the next one */
    hears('a', ":1\r\n");
    follower_acknowledges(history_index(node.history));
    hears('b', ":1\r\n");
    hears('c', ":1\r\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        client_test(test_each_is_answered_when_its_own_write_is_there),
        client_test(test_who_wants_more_followers_holds_nobody_up),
        client_test(test_whoever_leaves_leaves_the_queue),
        client_test(test_a_new_history_goes_before_what_waits_for_the_old_one),
        client_test(test_all_are_told_that_this_node_leads_no_more),
        client_test(test_an_iteration_looks_at_nobody_without_news),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
