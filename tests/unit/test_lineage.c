#include "cluster/lineage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static const struct term none = {0}, a1 = {1, "a"}, b1 = {1, "b"}, b2 = {2, "b"}, a3 = {3, "a"};

/* none 0 .. 9, 1-a 10 .. 19, 2-b 20 and on */
static struct lineage three(void) {
    struct lineage lineage;
    lineage_begin(&lineage, NULL, 0);
    lineage_add(&lineage, &a1, 10);
    lineage_add(&lineage, &b2, 20);
    return lineage;
}

static void assert_term(const struct term *term, const struct term *expected) {
    assert_non_null(term);
    assert_int_equal(term_compare(term, expected), 0);
}

static void test_each_line_is_of_the_term_before_it(void **state) {
    (void)state;
    struct lineage lineage = three();
    assert_term(lineage_at(&lineage, 0), &none);
    assert_term(lineage_at(&lineage, 9), &none);
    assert_term(lineage_at(&lineage, 10), &a1);
    assert_term(lineage_at(&lineage, 19), &a1);
    assert_term(lineage_at(&lineage, 20), &b2);
    assert_term(lineage_at(&lineage, UINT64_MAX), &b2);
    assert_term(lineage_last(&lineage), &b2);
    lineage_begin(&lineage, &a3, 100);
    assert_null(lineage_at(&lineage, 99));
    assert_term(lineage_at(&lineage, 100), &a3);
}

static void test_the_next_term_behind_a_line(void **state) {
    (void)state;
    struct lineage lineage = three();
    assert_int_equal(lineage_next_term(&lineage, 0), 10);
    assert_int_equal(lineage_next_term(&lineage, 9), 10);
    assert_int_equal(lineage_next_term(&lineage, 10), 20);
    assert_int_equal(lineage_next_term(&lineage, 20), UINT64_MAX);
    lineage_begin(&lineage, &a3, 100); /* a state, not a TERM */
    assert_int_equal(lineage_next_term(&lineage, 50), UINT64_MAX);
}

static void test_where_another_line_is(void **state) {
    (void)state;
    struct lineage lineage = three();
    const struct {
        const struct term *term;
        uint64_t index;
        enum lineage_side side;
    } cases[] = {
        {&none, 0, LINEAGE_ON},   {&none, 9, LINEAGE_ON}, {&none, 10, LINEAGE_OFF}, /* a tail that 1-a had not
                                                                                     */
        {&a1, 10, LINEAGE_ON},    {&a1, 19, LINEAGE_ON},  {&a1, 20, LINEAGE_OFF},   {&b1, 15, LINEAGE_OFF},
        {&b2, 20, LINEAGE_ON},    {&b2, 30, LINEAGE_ON},  {&b2, 31, LINEAGE_AHEAD}, {&a1, 31, LINEAGE_OFF},
        {&a3, 31, LINEAGE_OFF},   {&a3, 25, LINEAGE_OFF}, {&a3, 5, LINEAGE_OFF},    {&b2, 19, LINEAGE_OFF},
        {&none, 31, LINEAGE_OFF},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(lineage_side(&lineage, 30, cases[i].term, cases[i].index), cases[i].side);
    }
    lineage_begin(&lineage, &b2, 100);
    assert_int_equal(lineage_side(&lineage, 130, &a1, 99), LINEAGE_BEFORE);
    assert_int_equal(lineage_side(&lineage, 130, &b2, 99), LINEAGE_ON); /* the same leader's line */
    assert_int_equal(lineage_side(&lineage, 130, &a3, 99), LINEAGE_OFF);
    assert_int_equal(lineage_side(&lineage, 130, &a1, 100), LINEAGE_OFF);
}

static void test_of_too_many_terms_the_oldest_is_forgotten(void **state) {
    (void)state;
    struct lineage lineage;
    lineage_begin(&lineage, NULL, 0);
    for (uint64_t n = 1; n <= LINEAGE_TERMS; n++) {
        lineage_add(&lineage, &(struct term){n, "a"}, 10 * n);
    }
    assert_int_equal(lineage.count, LINEAGE_TERMS);
    assert_null(lineage_at(&lineage, 9));
    assert_term(lineage_at(&lineage, 10), &a1);
    assert_int_equal(lineage_last(&lineage)->number, LINEAGE_TERMS);
    assert_int_equal(lineage_side(&lineage, 10000, &none, 9), LINEAGE_BEFORE);
}

static void test_it_is_written_and_read_as_lines(void **state) {
    (void)state;
    struct lineage lineage = three(), again = {.count = 0};
    struct buf out;
    buf_init(&out, 1000);
    lineage_write(&lineage, 30, &out);
    assert_true(slice_equals(buf_slice(&out), SLICE("SINCE|0|-\nSINCE|10|1-a\nSINCE|20|2-b\n")));
    buf_reset(&out);
    lineage_write(&lineage, 19, &out);
    assert_true(slice_equals(buf_slice(&out), SLICE("SINCE|0|-\nSINCE|10|1-a\n")));
    buf_reset(&out);
    assert_true(lineage_grow(&again, &none, 0) && lineage_grow(&again, &a1, 10) &&
                lineage_grow(&again, &b2, 20));
    assert_false(lineage_grow(&again, &a3, 20) || lineage_grow(&again, &b2, 21) ||
                 lineage_grow(&again, &a1, 21));
    lineage_write(&again, 30, &out);
    assert_true(slice_equals(buf_slice(&out), SLICE("SINCE|0|-\nSINCE|10|1-a\nSINCE|20|2-b\n")));
    buf_reset(&out);
    lineage_begin(&lineage, NULL, 5); /* no term has ever begun: nothing is said */
    lineage_write(&lineage, 30, &out);
    assert_int_equal(buf_used(&out), 0);
    lineage_begin(&lineage, &a1, 5);
    lineage_write(&lineage, 30, &out);
    assert_true(slice_equals(buf_slice(&out), SLICE("SINCE|5|1-a\n")));
    buf_deinit(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_line_is_of_the_term_before_it),
        cmocka_unit_test(test_the_next_term_behind_a_line),
        cmocka_unit_test(test_where_another_line_is),
        cmocka_unit_test(test_it_is_written_and_read_as_lines),
        cmocka_unit_test(test_of_too_many_terms_the_oldest_is_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
