#include "protocol/num.h"

#include "tests/unit/random.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void reads_u64(const char *text, uint64_t expected) {
    uint64_t number = ~expected;
    assert_true(num_parse_u64(slice_from_text(text), &number));
    assert_int_equal(number, expected);
}

static void reads_i64(const char *text, int64_t expected) {
    int64_t number = ~expected;
    assert_true(num_parse_i64(slice_from_text(text), &number));
    assert_int_equal(number, expected);
}

static void test_reads_the_whole_range(void **state) {
    (void)state;
    reads_u64("0", 0);
    reads_u64("7", 7);
    reads_u64("10000000000000000000", UINT64_C(10000000000000000000));
    reads_u64("18446744073709551615", UINT64_MAX);
    reads_i64("0", 0);
    reads_i64("-1", -1);
    reads_i64("9223372036854775807", INT64_MAX);
    reads_i64("-9223372036854775807", -INT64_MAX);
    reads_i64("-9223372036854775808", INT64_MIN);
}

static void test_refuses_what_no_writer_writes(void **state) {
    (void)state;
    static const char *const neither[] = {
        "",
        "-",
        "+1",
        "00",
        "01",
        "-0",
        "-01",
        " 1",
        "1 ",
        "1.0",
        "1e3",
        "0x1",
        "--1",
        "1-",
        "1/",
        ":",
        "a",
        "18446744073709551616",
        "18446744073709551625",
        "99999999999999999999",
        "100000000000000000000",
        "-9223372036854775809",
        "-18446744073709551615",
        "1\n",
        "\xB1",
    };
    for (size_t i = 0; i < sizeof(neither) / sizeof(neither[0]); i++) {
        uint64_t number;
        int64_t with_sign;
        assert_false(num_parse_u64(slice_from_text(neither[i]), &number));
        assert_false(num_parse_i64(slice_from_text(neither[i]), &with_sign));
    }
    uint64_t number;
    int64_t with_sign;
    assert_false(num_parse_u64(SLICE("-1"), &number));
    assert_false(num_parse_u64(SLICE("1\0"), &number));
    assert_false(num_parse_u64((struct slice){0}, &number));
    assert_false(num_parse_i64((struct slice){0}, &with_sign));
    assert_false(num_parse_i64(SLICE("9223372036854775808"), &with_sign));
}

static void test_hex_digits(void **state) {
    (void)state;
    uint64_t number = 5;
    static const char *const neither[] = {
        "",
        "0123456789abcde",
        "0123456789abcdef0",
        "0123456789ABCDEF",
        "0123456789abcdeg",
        "0x23456789abcdef",
        "+123456789abcdef",
        " 123456789abcdef",
        "012345678:abcdef",
        "0123456789`bcdef",
    };
    for (size_t i = 0; i < sizeof(neither) / sizeof(neither[0]); i++) {
        assert_false(num_parse_hex(slice_from_text(neither[i]), &number));
        assert_int_equal(number, 5);
    }
    assert_true(num_parse_hex(SLICE("0123456789abcdef"), &number));
    assert_int_equal(number, UINT64_C(0x0123456789abcdef));
    assert_true(num_parse_hex(SLICE("ffffffffffffffff"), &number));
    assert_int_equal(number, UINT64_MAX);
    assert_true(num_parse_hex(SLICE("0000000000000000"), &number));
    assert_int_equal(number, 0);
}

static void test_writes_as_printf(void **state) {
    (void)state;
    struct random random = random_start(__func__);
    for (int i = 0; i < 20000; i++) {
        uint64_t number = i == 0 ? UINT64_MAX : i <= 1000 ? (uint64_t)(i - 1) : random_magnitude(&random);
        char expected[32], text[NUM_MAX_DIGITS];
        size_t n = (size_t)snprintf(expected, sizeof(expected), "%llu", (unsigned long long)number);
        assert_int_equal(num_write_u64(text, number), n);
        assert_memory_equal(text, expected, n);

        n = (size_t)snprintf(expected, sizeof(expected), "%lld", (long long)(int64_t)number);
        assert_int_equal(num_write_i64(text, (int64_t)number), n);
        assert_memory_equal(text, expected, n);
        int64_t back;
        assert_true(num_parse_i64(slice_of(text, n), &back));
        assert_int_equal(back, (int64_t)number);
    }
    char text[NUM_MAX_DIGITS];
    assert_int_equal(num_write_i64(text, INT64_MIN), 20);
    assert_memory_equal(text, "-9223372036854775808", 20);
}

static void test_powers_of_ten_and_their_neighbours(void **state) {
    (void)state;
    uint64_t power = 1;
    for (int digits = 1; digits <= 20; digits++) {
        for (uint64_t number = power - 1; number != power + 2; number++) {
            char text[NUM_MAX_DIGITS];
            uint64_t back = ~number;
            assert_true(num_parse_u64(slice_of(text, num_write_u64(text, number)), &back));
            assert_int_equal(back, number);
        }
        char text[NUM_MAX_DIGITS];
        assert_int_equal(num_write_u64(text, power), digits);
        power *= 10;
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_the_whole_range),
        cmocka_unit_test(test_refuses_what_no_writer_writes),
        cmocka_unit_test(test_hex_digits),
        cmocka_unit_test(test_writes_as_printf),
        cmocka_unit_test(test_powers_of_ten_and_their_neighbours),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
