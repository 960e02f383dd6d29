#include "protocol/buf.h"

#include "tests/unit/random.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void assert_holds(const struct buf *buf, const char *text) {
    assert_int_equal(buf_used(buf), strlen(text));
    assert_memory_equal(buf_slice(buf).ptr, text, strlen(text));
}

static void test_an_empty_buf_owns_nothing(void **state) {
    (void)state;
    struct buf buf;
    buf_init(&buf, 100);
    assert_int_equal(buf_used(&buf), 0);
    assert_non_null(buf_slice(&buf).ptr);
    assert_int_equal(buf_slice(&buf).len, 0);
    buf_append(&buf, NULL, 0);
    buf_append_slice(&buf, (struct slice){0});
    buf_append_text(&buf, "");
    assert_null(buf.data);
    assert_false(buf_failed(&buf));
    buf_consume(&buf, 0);
    buf_deinit(&buf);

    buf_append_text(&buf, "again");
    assert_holds(&buf, "again");
    buf_deinit(&buf);
    assert_null(buf.data);
}

static void test_appends_of_every_kind(void **state) {
    (void)state;
    struct buf buf;
    buf_init(&buf, 1000);
    buf_append(&buf, "ab", 2);
    buf_append_byte(&buf, 'c');
    buf_append_slice(&buf, SLICE("de"));
    buf_append_text(&buf, "f|");
    buf_append_u64(&buf, UINT64_MAX);
    buf_append_byte(&buf, '|');
    buf_append_i64(&buf, INT64_MIN);
    buf_printf(&buf, "|%s-%d", "g", 7);
    assert_holds(&buf, "abcdef|18446744073709551615|-9223372036854775808|g-7");
    buf_consume(&buf, 7);
    buf_truncate(&buf, 20);
    assert_holds(&buf, "18446744073709551615");
    buf_deinit(&buf);
}

static void test_takes_its_maximum_and_not_a_byte_more(void **state) {
    (void)state;
    struct buf buf;
    buf_init(&buf, 5);
    buf_append_text(&buf, "1234");
    buf_append_u64(&buf, 5);
    assert_false(buf_failed(&buf));
    assert_holds(&buf, "12345");
    buf_append_byte(&buf, '6');
    assert_true(buf_failed(&buf));
    assert_holds(&buf, "12345");

    /* Consuming makes room, but a buf that failed has lost something: it stays failed. */
    buf_consume(&buf, 5);
    buf_append_byte(&buf, 'x');
    assert_true(buf_failed(&buf));
    assert_int_equal(buf_used(&buf), 0);
    buf_reset(&buf);
    assert_false(buf_failed(&buf));
    buf_append_text(&buf, "abcde");
    assert_holds(&buf, "abcde");

    /* The maximum is of what is unconsumed. */
    for (int i = 0; i < 10000; i++) {
        buf_consume(&buf, 1);
        buf_append_byte(&buf, 'z');
    }
    assert_false(buf_failed(&buf));
    assert_holds(&buf, "zzzzz");
    assert_true(buf.capacity <= 1024);
    buf_deinit(&buf);
}

static void test_refuses_lengths_that_would_wrap(void **state) {
    (void)state;
    struct buf buf;
    buf_init(&buf, SIZE_MAX / 2);
    buf_append_byte(&buf, 'a');
    assert_null(buf_reserve(&buf, SIZE_MAX));
    assert_true(buf_failed(&buf));
    buf_reset(&buf);
    buf_append_byte(&buf, 'a');
    assert_null(buf_reserve(&buf, SIZE_MAX / 2));
    assert_true(buf_failed(&buf));
    buf_deinit(&buf);

    buf_init(&buf, SIZE_MAX);
    buf_append_byte(&buf, 'a');
    assert_null(buf_reserve(&buf, SIZE_MAX));
    assert_true(buf_failed(&buf));
    buf_deinit(&buf);
}

/* Any mix of appends and consumes leaves the bytes that a plain queue would hold, and bounded memory. */
static void test_is_a_queue_of_bytes(void **state) {
    (void)state;
    enum { MOST = 3000 };
    struct random random = random_start(__func__);
    struct buf buf;
    buf_init(&buf, MOST);
    unsigned next_in = 0, next_out = 0;
    for (int step = 0; step < 20000; step++) {
        if (random_below(&random, 2) == 0) {
            size_t n = random_below(&random, MOST - buf_used(&buf) + 1);
            n = random_below(&random, n + 1);
            char *to = buf_reserve(&buf, n);
            assert_non_null(to);
            for (size_t i = 0; i < n; i++) {
                to[i] = (char)(next_in++ % 251);
            }
            buf_commit(&buf, n);
        } else {
            size_t n = random_below(&random, buf_used(&buf) + 1);
            for (size_t i = 0; i < n; i++) {
                assert_int_equal(buf_slice(&buf).ptr[i], (char)(next_out++ % 251));
            }
            buf_consume(&buf, n);
        }
        assert_int_equal(buf_used(&buf), next_in - next_out);
        assert_true(buf.capacity <= 4 * MOST);
    }
    assert_false(buf_failed(&buf));
    buf_deinit(&buf);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_empty_buf_owns_nothing),
        cmocka_unit_test(test_appends_of_every_kind),
        cmocka_unit_test(test_takes_its_maximum_and_not_a_byte_more),
        cmocka_unit_test(test_refuses_lengths_that_would_wrap),
        cmocka_unit_test(test_is_a_queue_of_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
