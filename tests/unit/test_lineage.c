#include "cluster/lineage.h"

#include "tests/unit/random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

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

static void test_where_a_term_ended_or_the_one_before_it(void **state) {
    (void)state;
    struct lineage lineage = three();
    const struct {
        const struct term *term, *found;
        uint64_t end;
    } cases[] = {
        {&none, &none, 9}, {&a1, &a1, 19}, {&b1, &a1, 19}, /* 1-b is behind 1-a */
        {&b2, &b2, 30},    {&a3, &b2, 30},
    };
    struct term found;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(lineage_end_of(&lineage, 30, cases[i].term, &found), cases[i].end);
        assert_term(&found, cases[i].found);
    }
    lineage_begin(&lineage, &b2, 100);
    assert_int_equal(lineage_end_of(&lineage, 130, &b2, &found), 130);
    assert_int_equal(lineage_end_of(&lineage, 130, &a1, &found), 0); /* it is older than all that is known */
    assert_term(&found, &none);
}

/* What two lines have in common, as the one's end of the other's last term, or the one before it, tells. */
static void test_what_two_lines_have_in_common(void **state) {
    (void)state;
    struct lineage lineage = three();
    /* 1-a went on there, or ended earlier, or there is no more of it here. */
    assert_int_equal(lineage_common(&lineage, 30, &a1, 25), 19);
    assert_int_equal(lineage_common(&lineage, 30, &a1, 15), 15);
    assert_int_equal(lineage_common(&lineage, 30, &none, 40), 9);
    assert_int_equal(lineage_common(&lineage, 30, &none, 0), 0);
    /* The same leader's line has gone further here, or there. */
    assert_int_equal(lineage_common(&lineage, 30, &b2, 28), 28);
    assert_int_equal(lineage_common(&lineage, 30, &b2, 99), 30);
    /* A term there that this line has not: whether 1-a is there, too, is not said. */
    assert_int_equal(lineage_common(&lineage, 30, &b1, 18), 0);
    assert_int_equal(lineage_common(&lineage, 30, &a3, 40), 0);
    lineage_begin(&lineage, &b2, 100);
    assert_int_equal(lineage_common(&lineage, 130, &b2, 50), 50);
    assert_int_equal(lineage_common(&lineage, 130, &a1, 50), 0);
}

enum { SIDES = 2, TERMS = 10, LINES = 4 * TERMS };

/* Two histories that elections have made of one: the term of each line, and what their lineages know. */
struct sides {
    struct term terms[SIDES][LINES + 1];
    struct lineage lineages[SIDES];
    uint64_t last[SIDES];
};

/* One leads, perhaps on the line of the other. */
static void lead(struct sides *sides, size_t side, uint64_t number, bool follows, uint64_t lines) {
    size_t other = 1 - side;
    struct term term = {.number = number, .node_id = {(char)('a' + side)}};
    if (follows) {
        memcpy(sides->terms[side], sides->terms[other], sizeof(sides->terms[0]));
        sides->lineages[side] = sides->lineages[other];
        sides->last[side] = sides->last[other];
    }
    lineage_add(&sides->lineages[side], &term, sides->last[side] + 1);
    while (lines-- > 0) {
        sides->terms[side][++sides->last[side]] = term;
    }
}

static uint64_t shared_by(const struct sides *sides) {
    uint64_t shared = 0;
    while (shared < sides->last[0] && shared < sides->last[1] &&
           term_compare(&sides->terms[0][shared + 1], &sides->terms[1][shared + 1]) == 0) {
        shared++;
    }
    return shared;
}

/* Never too much; and all of it, if the term that the other has named is one of this side's. */
static bool says_what_is_common(const struct sides *sides, size_t side) {
    const struct lineage *here = &sides->lineages[side], *there = &sides->lineages[1 - side];
    struct term found;
    uint64_t end = lineage_end_of(there, sides->last[1 - side], lineage_last(here), &found);
    uint64_t common = lineage_common(here, sides->last[side], &found, end), shared = shared_by(sides);
    bool has = false;
    for (size_t i = 0; i < here->count; i++) {
        has |= term_compare(&here->terms[i].term, &found) == 0;
    }
    assert_true(has ? common == shared : common == 0);
    return has;
}

static void test_of_any_two_lines_no_more_is_common_than_is(void **state) {
    (void)state;
    struct random random = random_start("two lines");
    size_t known = 0, unknown = 0;
    for (int life = 0; life < 3000; life++) {
        struct sides sides = {0};
        lineage_begin(&sides.lineages[0], NULL, 0);
        lineage_begin(&sides.lineages[1], NULL, 0);
        for (uint64_t number = 1; number <= TERMS; number++) {
            lead(&sides, random_below(&random, SIDES), number, random_below(&random, 4) == 0,
                 1 + random_below(&random, 3));
        }
        for (size_t side = 0; side < SIDES; side++) {
            bool has = says_what_is_common(&sides, side);
            known += has;
            unknown += !has;
        }
    }
    assert_true(known > 100 && unknown > 100);
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
        cmocka_unit_test(test_where_a_term_ended_or_the_one_before_it),
        cmocka_unit_test(test_what_two_lines_have_in_common),
        cmocka_unit_test(test_of_any_two_lines_no_more_is_common_than_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
