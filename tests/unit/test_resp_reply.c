#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "protocol/resp_reply.h"

static struct buf out;

static struct resp_reply writer(int version) {
    buf_reset(&out);
    return (struct resp_reply){.out = &out, .version = version};
}

static void assert_wrote(const char *expected) {
    assert_int_equal(buf_used(&out), strlen(expected));
    assert_memory_equal(buf_slice(&out).ptr, expected, strlen(expected));
}

#define check(version, call, expected)                                                                         \
    do {                                                                                                       \
        struct resp_reply reply = writer(version);                                                             \
        call;                                                                                                  \
        assert_wrote(expected);                                                                                \
    } while (0)

static void test_scalars(void **state) {
    (void)state;
    for (int version = 2; version <= 3; version++) {
        check(version, RESP_LITERAL(&reply, "+OK\r\n"), "+OK\r\n");
        check(version, resp_status(&reply, "PONG"), "+PONG\r\n");
        check(version, resp_integer(&reply, 0), ":0\r\n");
        check(version, resp_integer(&reply, 9), ":9\r\n");
        check(version, resp_double(&reply, 0.5), version == 3 ? ",0.5\r\n" : "$3\r\n0.5\r\n");
        check(version, resp_integer(&reply, 10), ":10\r\n");
        check(version, resp_integer(&reply, -1), ":-1\r\n");
        check(version, resp_integer(&reply, INT64_MAX), ":9223372036854775807\r\n");
        check(version, resp_integer(&reply, INT64_MIN), ":-9223372036854775808\r\n");
        check(version, resp_bulk(&reply, SLICE("")), "$0\r\n\r\n");
        check(version, resp_bulk(&reply, (struct slice){0}), "$0\r\n\r\n");
        check(version, resp_bulk(&reply, SLICE("a\r\nb")), "$4\r\na\r\nb\r\n");
        check(version, resp_bulk_text(&reply, "0123456789"), "$10\r\n0123456789\r\n");
        check(version, resp_bulk_number(&reply, UINT64_MAX), "$20\r\n18446744073709551615\r\n");
        check(version, resp_bulk_header(&reply, 100), "$100\r\n");
        check(version, resp_array(&reply, 0), "*0\r\n");
        check(version, resp_array(&reply, 1000000), "*1000000\r\n");
    }
}

static void test_what_the_versions_say_differently(void **state) {
    (void)state;
    check(2, resp_null(&reply), "$-1\r\n");
    check(3, resp_null(&reply), "_\r\n");
    check(2, resp_map(&reply, 3), "*6\r\n");
    check(3, resp_map(&reply, 3), "%3\r\n");
    check(2, resp_set(&reply, 3), "*3\r\n");
    check(3, resp_set(&reply, 3), "~3\r\n");
    check(2, resp_text(&reply, SLICE("role:master")), "$11\r\nrole:master\r\n");
    check(3, resp_text(&reply, SLICE("role:master")), "=15\r\ntxt:role:master\r\n");
}

static void test_errors(void **state) {
    (void)state;
    check(2, resp_error(&reply, ERR_SYNTAX), "-ERR syntax error\r\n");
    check(2, resp_error(&reply, ERR_READONLY), "-READONLY You can't write against a read only replica.\r\n");
    check(2, resp_error(&reply, ERR_CLUSTERDOWN), "-CLUSTERDOWN Hash slot not served\r\n");
    check(2, resp_errorf(&reply, "ERR bad %s", "a\r\nb"), "-ERR bad a  b\r\n");
}

static void test_a_full_buffer_gets_no_half_reply(void **state) {
    (void)state;
    struct buf small;
    buf_init(&small, 16);
    struct resp_reply reply = {.out = &small, .version = 2};
    resp_integer(&reply, 1);
    resp_bulk(&reply, SLICE("0123456789"));
    assert_true(buf_failed(&small));
    assert_int_equal(buf_used(&small), 4);
    buf_deinit(&small);
}

int main(void) {
    buf_init(&out, 1 << 20);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scalars),
        cmocka_unit_test(test_what_the_versions_say_differently),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_a_full_buffer_gets_no_half_reply),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    buf_deinit(&out);
    return failed;
}
