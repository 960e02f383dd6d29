#include "protocol/slice.h"

#include "tests/unit/random.h"

#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { LONGEST = 40 };

/* Byte by byte, in the C locale. */
static bool are_equal(const char *a, const char *b, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (tolower((unsigned char)a[i]) != tolower((unsigned char)b[i])) {
            return false;
        }
    }
    return true;
}

static void test_case_is_that_of_letters_alone(void **state) {
    (void)state;
    char a[LONGEST] = {0}, b[LONGEST] = {0};
    for (size_t n = 1; n <= LONGEST; n = n < 20 ? n + 1 : n + 10) {
        for (size_t at = 0; at < n; at++) {
            for (int x = 0; x <= UINT8_MAX; x++) {
                for (int y = 0; y <= UINT8_MAX; y++) {
                    a[at] = (char)x;
                    b[at] = (char)y;
                    assert_int_equal(slice_equals_nocase(slice_of(a, n), slice_of(b, n)),
                                     tolower(x) == tolower(y));
                }
            }
            a[at] = b[at] = 'k';
        }
    }
}

static void test_every_byte_is_looked_at(void **state) {
    (void)state;
    struct random random = random_start("test_every_byte_is_looked_at");
    char a[LONGEST], b[LONGEST];
    for (int round = 0; round < 100000; round++) {
        size_t n = random_below(&random, LONGEST + 1);
        random_bytes(&random, a, sizeof(a));
        for (size_t i = 0; i < n; i++) {
            a[i] = (char)(random_below(&random, 2) != 0 ? toupper((unsigned char)a[i]) : a[i]);
            b[i] = (char)(random_below(&random, 2) != 0 ? tolower((unsigned char)a[i]) : a[i]);
        }
        if (n > 0 && random_below(&random, 2) != 0) {
            b[random_below(&random, n)] ^= (char)(1 << random_below(&random, 8));
        }
        assert_int_equal(slice_equals_nocase(slice_of(a, n), slice_of(b, n)), are_equal(a, b, n));
    }
}

static void test_lengths_must_agree(void **state) {
    (void)state;
    assert_true(slice_equals_nocase(SLICE(""), SLICE("")));
    assert_false(slice_equals_nocase(SLICE(""), SLICE("a")));
    assert_false(slice_equals_nocase(SLICE("get"), SLICE("gett")));
    assert_false(slice_equals_nocase(SLICE("content-type"), SLICE("content-typ")));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_case_is_that_of_letters_alone),
        cmocka_unit_test(test_every_byte_is_looked_at),
        cmocka_unit_test(test_lengths_must_agree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
