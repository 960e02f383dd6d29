#include "protocol/term.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void assert_parsed(struct slice text, uint64_t number, const char *node_id) {
    struct term term;
    assert_true(term_parse(text, &term));
    assert_int_equal(term.number, number);
    assert_string_equal(term.node_id, node_id);
    char written[TERM_MAX_BYTES];
    assert_true(slice_equals(slice_of(written, term_write(written, &term)), text));
}

static void test_reads_what_it_writes(void **state) {
    (void)state;
    assert_parsed(SLICE("1-a"), 1, "a");
    assert_parsed(SLICE("7-eu-west-1"), 7, "eu-west-1");
    assert_parsed(SLICE("9223372036854775807-1234567890123456789012345678901234567890"), TERM_NUMBER_MAX,
                  "1234567890123456789012345678901234567890");
}

static void test_refuses_what_is_none(void **state) {
    (void)state;
    static const char *const texts[] = {"",
                                        "-",
                                        "1",
                                        "1-",
                                        "0-a",
                                        "01-a",
                                        "-a",
                                        "a-1",
                                        "1-a ",
                                        "+1-a",
                                        "1-a|b",
                                        "9223372036854775808-a",
                                        "1-12345678901234567890123456789012345678901"};
    struct term term = {.number = 5};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        assert_false(term_parse(slice_from_text(texts[i]), &term));
    }
    assert_int_equal(term.number, 5);
}

static void test_two_are_one_only_with_the_same_node(void **state) {
    (void)state;
    const struct term none = {0}, a1 = {1, "a"}, b1 = {1, "b"}, a2 = {2, "a"};
    assert_int_equal(term_compare(&a1, &a1), 0);
    assert_int_equal(term_compare(&none, &none), 0);
    assert_true(term_compare(&none, &a1) < 0);
    assert_true(term_compare(&a1, &b1) < 0 && term_compare(&b1, &a1) > 0);
    assert_true(term_compare(&b1, &a2) < 0 && term_compare(&a2, &b1) > 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_what_it_writes),
        cmocka_unit_test(test_refuses_what_is_none),
        cmocka_unit_test(test_two_are_one_only_with_the_same_node),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
