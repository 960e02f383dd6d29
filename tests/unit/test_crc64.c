#include "protocol/crc64.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void test_check_value(void **state) {
    (void)state;
    assert_int_equal(crc64(0, SLICE("123456789")), 0xe9c6d914c4b8d9ca);
    assert_int_equal(crc64(0, SLICE("")), 0);
}

static void test_goes_on_from_what_came_before(void **state) {
    (void)state;
    struct slice all = SLICE("123456789");
    for (size_t i = 0; i <= all.len; i++) {
        assert_int_equal(crc64(crc64(0, slice_first(all, i)), slice_skip(all, i)), 0xe9c6d914c4b8d9ca);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_check_value),
        cmocka_unit_test(test_goes_on_from_what_came_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
