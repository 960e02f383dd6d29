/* What RESP clients wait for in a group that votes: CLIENT ACKS, and what the group says; and where their reads
 * are answered, READONLY or not. The voters are played: nothing is committed, and no round is confirmed, before
 * a test says so. */
#define RESP_FIXTURE_VOTES
#include "tests/unit/resp_clients.h"

/* Of what ran up to now all is committed, and confirmed. */
static void voters_have_all(void) {
    node.replication.committed_index = history_index(node.history);
    node.replication.round = node.replication.asked_round++;
}

static void group_votes(void) {
    struct voters voters;
    assert_true(voters_parse(SLICE("self0001,other001,other002"), &voters));
    history_write_voters(node.history, &voters);
    node.replication.elected = true;
    node.replication.asked_round = 1;
    voters_have_all();
}

static void group_waits_for_quorum(void) {
    group_votes();
    history_write_acks(node.history, true);
    turn();
    voters_have_all();
}

static void test_where_nobody_votes(void **state) {
    (void)state;
    check("CLIENT ACKS", "$6\r\nleader\r\n");
    check("CLIENT ACKS QUORUM", "-ERR this group does not elect its leader: start its nodes with -voters\r\n");
    check("CLIENT ACKS leader", "+OK\r\n");
    check("CLIENT ACKS default", "+OK\r\n");
    check("CLIENT ACKS all", "-ERR syntax error\r\n");
    check("CLIENT ACKS leader quorum", "-ERR wrong number of arguments for 'client|acks' command\r\n");
    check("SET a 1", "+OK\r\n");
    check_contains("CLIENT HELP", "+ACKS [LEADER|QUORUM|DEFAULT]\r\n");
}

static void test_who_asks_for_the_quorum_waits_for_it(void **state) {
    (void)state;
    group_votes();
    says('a', "CLIENT ACKS quorum", "+OK\r\n");
    says('a', "CLIENT ACKS", "$6\r\nquorum\r\n");
    says('a', "SET a 1", "");
    says('b', "GET a", "$1\r\n1\r\n"); /* who has not asked reads what may be lost */
    node.replication.committed_index = history_index(node.history);
    hears('a', "");
    voters_have_all();
    hears('a', "+OK\r\n");
    says('a', "GET a", "");
    says('a', "GET nothing", "");
    voters_have_all();
    hears('a', "$1\r\n1\r\n$-1\r\n");
}

static void test_what_sees_no_data_waits_for_nothing_but_its_turn(void **state) {
    (void)state;
    group_waits_for_quorum();
    says('a', "PING", "+PONG\r\n");
    says('a', "CLIENT ACKS", "$6\r\nquorum\r\n");
    says('a', "SET a 1", "");
    says('a', "PING", "");
    says('b', "PING", "+PONG\r\n");
    voters_have_all();
    hears('a', "+OK\r\n+PONG\r\n");
}

/* "The stricter wins." */
static void test_nobody_waits_for_less_than_the_group(void **state) {
    (void)state;
    group_waits_for_quorum();
    says('a', "CLIENT ACKS leader", "+OK\r\n");
    says('a', "CLIENT ACKS", "$6\r\nquorum\r\n");
    says('a', "SET a 1", "");
    voters_have_all();
    hears('a', "+OK\r\n");
}

static void test_in_a_pipeline_each_reply_waits_as_was_said_before_it(void **state) {
    (void)state;
    group_votes();
    says('a', "SET a 1\r\nCLIENT ACKS quorum\r\nSET a 2\r\nCLIENT ACKS default\r\nGET a", "+OK\r\n");
    voters_have_all();
    hears('a', "+OK\r\n+OK\r\n+OK\r\n$1\r\n2\r\n");
    says('a', "GET a", "$1\r\n2\r\n");
}

static void test_reset_resets_it(void **state) {
    (void)state;
    group_votes();
    says('a', "CLIENT ACKS quorum\r\nREADONLY", "+OK\r\n+OK\r\n");
    check_contains("CLIENT INFO", " flags=r ");
    says('a', "RESET", "+RESET\r\n");
    says('a', "CLIENT ACKS", "$6\r\nleader\r\n");
    says('a', "SET a 1", "+OK\r\n");
    check_contains("CLIENT INFO", " flags=N ");
}

static void test_a_transaction_waits_whole(void **state) {
    (void)state;
    group_votes();
    says('a', "CLIENT ACKS quorum", "+OK\r\n");
    says('a', "MULTI\r\nSET a 1\r\nGET a\r\nEXEC", "");
    voters_have_all();
    hears('a', "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n+OK\r\n$1\r\n1\r\n");
}

/* A value that goes straight from the store, and a list that is made in slices. */
static void test_neither_large_values_nor_walks_pass(void **state) {
    (void)state;
    enum { VALUE_BYTES = 300000, KEYS = 3000 };
    char value[64], key[16];
    group_votes();
    snprintf(value, sizeof(value), "SETRANGE large %d x", VALUE_BYTES - 1);
    says('a', value, ":300000\r\n");
    for (int i = 0; i < KEYS; i++) {
        snprintf(key, sizeof(key), "key%d", i);
        store_changes(key, "v");
    }
    says('a', "CLIENT ACKS quorum", "+OK\r\n");
    says('a', "GET large", "");
    hears('a', "");
    voters_have_all();
    size_t value_reply = strlen("$300000\r\n\r\n") + VALUE_BYTES;
    receive_bytes(value_reply);
    assert_int_equal(buf_used(&node.received), value_reply);
    buf_reset(&node.received);
    says('a', "KEYS *", "");
    for (int i = 0; i < 50; i++) {
        turn();
    }
    hears('a', "");
    voters_have_all();
    check_contains("PING", "$7\r\nkey2999\r\n");
}

static void test_messages_wait_as_their_hearer_asks(void **state) {
    (void)state;
    group_votes();
    says('a', "CLIENT ACKS quorum", "+OK\r\n");
    says('a', "SUBSCRIBE news", "*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n");
    says('b', "SUBSCRIBE news", "*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n");
    says('c', "PUBLISH news x", ":2\r\n");
    hears('b', "*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$1\r\nx\r\n");
    hears('a', "");
    voters_have_all();
    hears('a', "*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$1\r\nx\r\n");
}

static void test_who_is_held_when_its_node_leads_no_more_is_closed(void **state) {
    (void)state;
    group_waits_for_quorum();
    says('a', "SET a 1", "");
    says('b', "PING", "+PONG\r\n");
    acks_break(&node.acks);
    turn_to('a');
    expect_closed();
    says('b', "PING", "+PONG\r\n");
}

/* --- At a follower --- */

static void node_follows(void) {
    node.replication.role = REPLICATION_FOLLOWER;
    node.replication.elected = false;
    membership_set_leader(node.membership, false, 0, loop_now_ms(node.loop));
    routing_set_self_leader(&node.routing, false);
    datagram_arrives("ANNOUNCE|leader01|10.0.0.1|8000|0|true");
    datagram_arrives("ENDPOINTS|leader01|9000|6379");
}

static void test_a_followers_copy_is_for_who_says_readonly(void **state) {
    (void)state;
    store_changes("a", "old");
    group_waits_for_quorum();
    node_follows();
    says('a', "GET a", "-MOVED 15495 10.0.0.1:6379\r\n");
    says('a', "MGET a a", "-MOVED 15495 10.0.0.1:6379\r\n");
    says('a', "WATCH a", "-MOVED 15495 10.0.0.1:6379\r\n");
    says('a', "DBSIZE", ":1\r\n"); /* the node's own */
    says('a', "SUNSUBSCRIBE a", "*3\r\n$12\r\nsunsubscribe\r\n$1\r\na\r\n:0\r\n");
    says('a', "READONLY", "+OK\r\n");
    says('a', "GET a", "$3\r\nold\r\n");
    says('a', "MULTI\r\nGET a\r\nEXEC", "+OK\r\n+QUEUED\r\n*1\r\n$3\r\nold\r\n");
    says('a', "SET a new", "-MOVED 15495 10.0.0.1:6379\r\n");
    says('b', "GET a", "-MOVED 15495 10.0.0.1:6379\r\n");
    says('a', "READWRITE", "+OK\r\n");
    says('a', "GET a", "-MOVED 15495 10.0.0.1:6379\r\n");
    says('a', "READONLY\r\nRESET\r\nGET a", "+OK\r\n+RESET\r\n-MOVED 15495 10.0.0.1:6379\r\n");
    datagram_arrives("LEAVE|leader01");
    says('a', "GET a", "-CLUSTERDOWN Hash slot not served\r\n");
    says('a', "READONLY\r\nGET a", "+OK\r\n$3\r\nold\r\n");
}

static void test_a_follower_follows_what_its_group_says(void **state) {
    (void)state;
    store_changes("a", "old");
    group_votes();
    node_follows();
    says('a', "GET a", "$3\r\nold\r\n");
    history_write_acks(node.history, true);
    turn();
    says('a', "GET a", "-MOVED 15495 10.0.0.1:6379\r\n");
    history_write_acks(node.history, false);
    turn();
    says('a', "GET a", "$3\r\nold\r\n");
}

/* Who has asked for the newest does not get less at a follower. */
static void test_who_asks_for_the_quorum_reads_at_the_leader(void **state) {
    (void)state;
    store_changes("a", "old");
    group_votes();
    node_follows();
    says('a', "CLIENT ACKS quorum", "+OK\r\n");
    says('a', "GET a", "-MOVED 15495 10.0.0.1:6379\r\n");
    says('a', "DBSIZE", ":1\r\n");
    says('b', "GET a", "$3\r\nold\r\n");
    says('a', "READONLY\r\nGET a", "+OK\r\n$3\r\nold\r\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        client_test(test_where_nobody_votes),
        client_test(test_who_asks_for_the_quorum_waits_for_it),
        client_test(test_what_sees_no_data_waits_for_nothing_but_its_turn),
        client_test(test_nobody_waits_for_less_than_the_group),
        client_test(test_in_a_pipeline_each_reply_waits_as_was_said_before_it),
        client_test(test_reset_resets_it),
        client_test(test_a_transaction_waits_whole),
        client_test(test_neither_large_values_nor_walks_pass),
        client_test(test_messages_wait_as_their_hearer_asks),
        client_test(test_who_is_held_when_its_node_leads_no_more_is_closed),
        client_test(test_a_followers_copy_is_for_who_says_readonly),
        client_test(test_a_follower_follows_what_its_group_says),
        client_test(test_who_asks_for_the_quorum_reads_at_the_leader),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
