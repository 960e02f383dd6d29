#include "server/net/fence.h"

#include "server/net/conn_internal.h"
#include "server/net/socket.h"
#include "tests/unit/loop_fixture.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum { LARGE_BYTES = 3 << 20 };

/* A conn behind a fence; newest is what its output has to wait for, on the disk and, if it asks for that, at
 * the voters, with a round; what is sent to it is said back. */
struct scene {
    struct loop *loop;
    struct net *net;
    struct fence fence;
    uint64_t newest, round;
    struct conn *conn;
    int peer;
    bool vouches, closed;
    size_t consumed;
    enum close_reason reason;
    int on_loan;
    char *got;
    size_t got_bytes;
};

static struct scene scene;
static char large[LARGE_BYTES];

static void newest(void *context, bool quorum, struct fence_ticket *out) {
    const struct scene *self = context;
    out->kept = self->newest;
    if (quorum) {
        out->committed = self->newest;
        out->round = self->round;
    }
}

static size_t on_input(struct conn *conn, void *context, struct slice in) {
    struct scene *self = context;
    buf_append_slice(conn_out(conn), in);
    if (self->vouches) {
        conn_vouch(conn);
    }
    self->consumed += in.len;
    return in.len;
}

static void on_close(struct conn *conn, void *context, enum close_reason reason) {
    struct scene *self = context;
    (void)conn;
    self->closed = true;
    self->reason = reason;
}

static const struct conn_handler handler = {.on_input = on_input, .on_close = on_close, .fenced = true};

static void lend(void *owner) { ++*(int *)owner; }
static void give_back(void *owner) { --*(int *)owner; }
static const struct conn_lender lender = {lend, give_back};

static int begin(void **state) {
    (void)state;
    int fds[2];
    scene = (struct scene){.newest = 1, .round = 1};
    scene.loop = loop_create();
    scene.net = net_create(scene.loop);
    scene.got = malloc(4 * LARGE_BYTES);
    memset(large, 'L', sizeof(large));
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    scene.peer = fds[1];
    fence_init(&scene.fence, newest, &scene);
    net_set_fence(scene.net, &scene.fence);
    scene.conn = conn_adopt(scene.net, fds[0], &handler, &scene, 4 << 20);
    assert_non_null(scene.conn);
    return 0;
}

static int end(void **state) {
    (void)state;
    if (scene.peer >= 0) {
        close(scene.peer);
    }
    net_destroy(&scene.net);
    assert_int_equal(scene.fence.held_count, 0);
    assert_int_equal(scene.on_loan, 0);
    loop_destroy(&scene.loop);
    free(scene.got);
    return 0;
}

static void read_all(void) {
    for (;;) {
        ssize_t n = recv(scene.peer, scene.got + scene.got_bytes, 64 << 10, MSG_DONTWAIT);
        if (n <= 0) {
            return;
        }
        scene.got_bytes += (size_t)n;
    }
}

static void settle(void) {
    for (int i = 0; i < 40; i++) {
        loop_fixture_settle(scene.loop);
        read_all();
    }
}

static void assert_got(const char *text) {
    settle();
    assert_int_equal(scene.got_bytes, strlen(text));
    assert_memory_equal(scene.got, text, scene.got_bytes);
}

static void say(const char *text) {
    assert_int_equal(send(scene.peer, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
    loop_fixture_settle(scene.loop);
}

static void while_it_is_open_nothing_is_held(void **state) {
    (void)state;
    scene.newest = 1000;
    say("a");
    assert_got("a");
    assert_int_equal(scene.fence.held_total, 0);
}

static void what_is_safe_already_is_not_held(void **state) {
    (void)state;
    fence_close(&scene.fence, 7);
    scene.newest = 7;
    say("a");
    assert_got("a");
    assert_int_equal(scene.fence.held_total, 0);
}

static void output_leaves_when_its_ticket_is_safe_and_in_order(void **state) {
    (void)state;
    fence_close(&scene.fence, 0);
    say("a");
    scene.vouches = true;
    say("b"); /* has seen nothing, and does not overtake */
    scene.vouches = false;
    assert_got("");
    assert_int_equal(conn_held_bytes(scene.conn), 2);
    scene.newest = 3;
    say("c");
    fence_raise_kept(&scene.fence, 1);
    assert_got("ab");
    fence_raise_kept(&scene.fence, 2);
    assert_got("ab");
    fence_raise_kept(&scene.fence, 3);
    assert_got("abc");
    assert_int_equal(conn_held_bytes(scene.conn), 0);
    assert_int_equal(scene.fence.held_count, 0);
}

static void what_has_seen_no_data_leaves(void **state) {
    (void)state;
    fence_close(&scene.fence, 0);
    scene.vouches = true;
    say("a");
    assert_got("a");
    scene.vouches = false;
    say("b");
    assert_got("a");
}

static void others_words_are_held_too(void **state) {
    (void)state;
    fence_close(&scene.fence, 0);
    scene.vouches = true;
    buf_append_text(conn_out(scene.conn), "push ");
    say("b"); /* vouches for its own alone */
    assert_got("");
    fence_raise_kept(&scene.fence, 1);
    assert_got("push b");
}

static void two_marks_and_no_more(void **state) {
    (void)state;
    fence_close(&scene.fence, 0);
    for (uint64_t i = 1; i <= 5; i++) {
        scene.newest = i;
        say(&"abcde"[5 - i]);
    }
    fence_raise_kept(&scene.fence, 1);
    assert_got("e");
    fence_raise_kept(&scene.fence, 4); /* "de", ... wait for the last of them */
    assert_got("e");
    fence_raise_kept(&scene.fence, 5);
    assert_got("edecdebcdeabcde");
}

static void a_conn_that_holds_does_not_keep_the_loop_busy(void **state) {
    (void)state;
    fence_close(&scene.fence, 0);
    say("a");
    assert_false(scene.conn->unwritable);
    assert_false(ev_is_active(&scene.net->busy));
}

static void large_values_do_not_pass(void **state) {
    (void)state;
    fence_close(&scene.fence, 1);
    say("before ");
    scene.newest = 2;
    buf_append_text(conn_out(scene.conn), "$");
    conn_write_large(scene.conn, slice_of(large, sizeof(large)), SLICE("tail"), &lender, &scene.on_loan);
    assert_int_equal(scene.on_loan, 1);
    scene.newest = 3;
    buf_append_text(conn_out(scene.conn), " behind");
    conn_flush(scene.conn);
    assert_got("before ");
    fence_raise_kept(&scene.fence, 2);
    settle();
    assert_int_equal(scene.got_bytes, 7 + 1 + sizeof(large) + 4);
    assert_int_equal(scene.on_loan, 0);
    assert_memory_equal(scene.got + scene.got_bytes - 5, "Ltail", 5);
    fence_raise_kept(&scene.fence, 3);
    settle();
    assert_memory_equal(scene.got + scene.got_bytes - 5, "ehind", 5);
}

/* The first part of what is on loan is free to leave, and goes; a mark behind it stops there. */
static void a_mark_behind_a_loan_is_kept(void **state) {
    (void)state;
    fence_close(&scene.fence, 1);
    conn_write_large(scene.conn, slice_of(large, sizeof(large)), SLICE("tail"), &lender, &scene.on_loan);
    assert_int_equal(scene.on_loan, 1); /* the socket has not taken it all */
    scene.newest = 2;
    buf_append_text(conn_out(scene.conn), " behind");
    conn_flush(scene.conn);
    settle();
    assert_int_equal(scene.got_bytes, sizeof(large) + 4);
    fence_raise_kept(&scene.fence, 2);
    settle();
    assert_int_equal(scene.got_bytes, sizeof(large) + 4 + 7);
}

static void too_much_held_output_stops_the_input(void **state) {
    (void)state;
    fence_close(&scene.fence, 0);
    size_t sent = 0;
    for (int quiet = 0; quiet < 5; quiet++) {
        ssize_t n = send(scene.peer, large, sizeof(large), MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n > 0) {
            sent += (size_t)n;
            quiet = 0;
        }
        assert_true(sent < 16 << 20);
        loop_fixture_settle(scene.loop);
    }
    size_t before = scene.consumed;
    assert_true(before < CONN_OUT_HIGH_BYTES + CONN_SCRATCH_BYTES + 1);
    assert_true(sent > before);
    fence_raise_kept(&scene.fence, FENCE_OPEN);
    settle();
    assert_int_equal(scene.consumed, sent);
    assert_int_equal(scene.got_bytes, sent);
}

static void a_drain_waits_for_what_is_held(void **state) {
    (void)state;
    fence_close(&scene.fence, 0);
    say("a");
    conn_drain(scene.conn, CLOSE_QUIT);
    loop_fixture_settle(scene.loop);
    conn_deadline_turn(scene.conn); /* a slow disk is not the peer's fault */
    assert_got("");
    assert_false(scene.closed);
    fence_raise_kept(&scene.fence, 1);
    assert_got("a");
    close(scene.peer);
    scene.peer = -1;
    loop_fixture_settle(scene.loop);
    assert_true(scene.closed);
    assert_int_equal(scene.reason, CLOSE_QUIT);
}

static void half_closed_conns_get_what_is_held(void **state) {
    (void)state;
    fence_close(&scene.fence, 0);
    say("a");
    assert_int_equal(shutdown(scene.peer, SHUT_WR), 0);
    settle();
    assert_false(scene.closed);
    fence_raise_kept(&scene.fence, 1);
    assert_got("a");
    loop_fixture_settle(scene.loop);
    assert_true(scene.closed);
}

static void a_conn_that_goes_is_forgotten(void **state) {
    (void)state;
    fence_close(&scene.fence, 0);
    say("a");
    assert_int_equal(scene.fence.held_count, 1);
    conn_close(scene.conn, CLOSE_KILLED);
    assert_int_equal(scene.fence.held_count, 0);
    fence_raise_kept(&scene.fence, 5);
    assert_got("");
}

static void a_broken_fence_closes_who_holds(void **state) {
    (void)state;
    fence_close(&scene.fence, 0);
    say("a");
    fence_break(&scene.fence, CLOSE_NO_MEMORY);
    assert_true(scene.closed);
    assert_int_equal(scene.reason, CLOSE_NO_MEMORY);
    assert_got("");
}

/* --- With voters --- */

static void what_asks_for_voters_waits_for_all_three(void **state) {
    (void)state;
    fence_close(&scene.fence, 0);
    conn_ask_quorum(scene.conn, true);
    for (int last = 0; last < 3; last++) {
        uint64_t to = scene.newest = scene.round = (uint64_t)last + 1;
        say("a");
        if (last != 0) {
            fence_raise_kept(&scene.fence, to);
        }
        fence_raise_quorum(&scene.fence, last == 1 ? to - 1 : to, last == 2 ? to - 1 : to);
        assert_got(&"aaa"[3 - last]);
        if (last == 0) {
            fence_raise_kept(&scene.fence, to);
        }
        fence_raise_quorum(&scene.fence, to, to);
        assert_got(&"aaa"[2 - last]);
    }
    assert_int_equal(scene.fence.held_count, 0);
}

static void what_does_not_ask_for_voters_does_not_wait_for_them(void **state) {
    (void)state;
    fence_close(&scene.fence, 1);
    say("a");
    assert_got("a");
    scene.newest = 2;
    say("b");
    assert_got("a");
    fence_raise_kept(&scene.fence, 2);
    assert_got("ab");
}

/* The answers to two commands of one turn, with a change of what is asked for between them. */
static void what_was_said_before_is_as_it_was(void **state) {
    (void)state;
    buf_append_text(conn_out(scene.conn), "leader ");
    conn_ask_quorum(scene.conn, true);
    buf_append_text(conn_out(scene.conn), "quorum ");
    conn_ask_quorum(scene.conn, false);
    buf_append_text(conn_out(scene.conn), "leader");
    conn_flush(scene.conn);
    assert_got("leader ");
    assert_int_equal(conn_held_bytes(scene.conn), strlen("quorum leader"));
    fence_raise_quorum(&scene.fence, 1, 1);
    assert_got("leader quorum leader");
}

/* Of two tickets under one mark the greater number of each. */
static void the_second_mark_takes_what_is_greater(void **state) {
    (void)state;
    fence_close(&scene.fence, 0);
    say("a");
    conn_ask_quorum(scene.conn, true);
    scene.newest = 2;
    scene.round = 7;
    say("b");
    conn_ask_quorum(scene.conn, false);
    scene.newest = 3;
    say("c");
    assert_int_equal(scene.conn->hold->count, CONN_MARKS);
    fence_raise_kept(&scene.fence, 2);
    fence_raise_quorum(&scene.fence, 2, 7);
    assert_got("a");
    fence_raise_kept(&scene.fence, 3);
    assert_got("abc");

    scene.newest = 4;
    say("d");
    scene.newest = 5;
    say("e");
    conn_ask_quorum(scene.conn, true);
    scene.newest = 6;
    scene.round = 9;
    say("f");
    fence_raise_kept(&scene.fence, 6);
    assert_got("abcd");
    fence_raise_quorum(&scene.fence, 6, 8);
    assert_got("abcd");
    fence_raise_quorum(&scene.fence, 6, 9);
    assert_got("abcdef");
}

static void a_pipeline_keeps_its_order_at_the_voters(void **state) {
    (void)state;
    conn_ask_quorum(scene.conn, true);
    for (uint64_t i = 1; i <= 3; i++) {
        scene.newest = scene.round = i;
        say(&"321"[3 - i]);
    }
    scene.vouches = true;
    say("0");
    assert_got("");
    fence_raise_quorum(&scene.fence, 3, 1);
    assert_got("1");
    fence_raise_quorum(&scene.fence, 3, 3);
    assert_got("1213210");
}

/* A leader of a new term begins with what it knows: nothing. */
static void what_voters_have_does_not_go_back(void **state) {
    (void)state;
    conn_ask_quorum(scene.conn, true);
    fence_raise_quorum(&scene.fence, 5, 5);
    fence_raise_quorum(&scene.fence, 0, 0);
    scene.newest = scene.round = 5;
    say("a");
    assert_got("a");
    scene.newest = 6;
    say("b");
    fence_raise_quorum(&scene.fence, 3, 9);
    assert_got("a");
    fence_raise_quorum(&scene.fence, 6, 1);
    assert_got("ab");
}

static void large_values_do_not_pass_the_voters(void **state) {
    (void)state;
    conn_ask_quorum(scene.conn, true);
    buf_append_text(conn_out(scene.conn), "$");
    conn_write_large(scene.conn, slice_of(large, sizeof(large)), SLICE("tail"), &lender, &scene.on_loan);
    assert_got("");
    fence_raise_quorum(&scene.fence, 1, 0);
    assert_got("");
    fence_raise_quorum(&scene.fence, 1, 1);
    settle();
    assert_int_equal(scene.got_bytes, 1 + sizeof(large) + 4);
    assert_int_equal(scene.on_loan, 0);
}

static void who_waits_for_voters_is_closed_with_the_others(void **state) {
    (void)state;
    conn_ask_quorum(scene.conn, true);
    say("a");
    fence_break(&scene.fence, CLOSE_DEPOSED);
    assert_true(scene.closed);
    assert_int_equal(scene.reason, CLOSE_DEPOSED);
    assert_got("");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(while_it_is_open_nothing_is_held, begin, end),
        cmocka_unit_test_setup_teardown(what_is_safe_already_is_not_held, begin, end),
        cmocka_unit_test_setup_teardown(output_leaves_when_its_ticket_is_safe_and_in_order, begin, end),
        cmocka_unit_test_setup_teardown(what_has_seen_no_data_leaves, begin, end),
        cmocka_unit_test_setup_teardown(others_words_are_held_too, begin, end),
        cmocka_unit_test_setup_teardown(two_marks_and_no_more, begin, end),
        cmocka_unit_test_setup_teardown(a_conn_that_holds_does_not_keep_the_loop_busy, begin, end),
        cmocka_unit_test_setup_teardown(large_values_do_not_pass, begin, end),
        cmocka_unit_test_setup_teardown(a_mark_behind_a_loan_is_kept, begin, end),
        cmocka_unit_test_setup_teardown(too_much_held_output_stops_the_input, begin, end),
        cmocka_unit_test_setup_teardown(a_drain_waits_for_what_is_held, begin, end),
        cmocka_unit_test_setup_teardown(half_closed_conns_get_what_is_held, begin, end),
        cmocka_unit_test_setup_teardown(a_conn_that_goes_is_forgotten, begin, end),
        cmocka_unit_test_setup_teardown(a_broken_fence_closes_who_holds, begin, end),
        cmocka_unit_test_setup_teardown(what_asks_for_voters_waits_for_all_three, begin, end),
        cmocka_unit_test_setup_teardown(what_does_not_ask_for_voters_does_not_wait_for_them, begin, end),
        cmocka_unit_test_setup_teardown(what_was_said_before_is_as_it_was, begin, end),
        cmocka_unit_test_setup_teardown(the_second_mark_takes_what_is_greater, begin, end),
        cmocka_unit_test_setup_teardown(a_pipeline_keeps_its_order_at_the_voters, begin, end),
        cmocka_unit_test_setup_teardown(what_voters_have_does_not_go_back, begin, end),
        cmocka_unit_test_setup_teardown(large_values_do_not_pass_the_voters, begin, end),
        cmocka_unit_test_setup_teardown(who_waits_for_voters_is_closed_with_the_others, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
