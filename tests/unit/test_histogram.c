#include "server/net/histogram.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

static void test_empty(void **state) {
    (void)state;
    struct histogram histogram = {0};
    assert_int_equal(histogram_percentile(&histogram, 50), 0);
    assert_int_equal(histogram_percentile(&histogram, 100), 0);
}

static void test_small_values_are_exact(void **state) {
    (void)state;
    struct histogram histogram = {0};
    for (uint64_t us = 1; us <= 10; us++) {
        histogram_record(&histogram, us);
    }
    assert_int_equal(histogram_percentile(&histogram, 10), 1);
    assert_int_equal(histogram_percentile(&histogram, 50), 5);
    assert_int_equal(histogram_percentile(&histogram, 51), 6);
    assert_int_equal(histogram_percentile(&histogram, 100), 10);
    assert_int_equal(histogram.sum_us, 55);
    assert_int_equal(histogram.max_us, 10);
}

static void test_outlier_is_the_last_percentile(void **state) {
    (void)state;
    struct histogram histogram = {0};
    for (int i = 0; i < 999; i++) {
        histogram_record(&histogram, 3);
    }
    histogram_record(&histogram, 123456);
    assert_int_equal(histogram_percentile(&histogram, 99.9), 3);
    assert_int_equal(histogram_percentile(&histogram, 99.95), 123456);
}

static void test_huge_values_are_counted_at_the_end(void **state) {
    (void)state;
    struct histogram histogram = {0};
    histogram_record(&histogram, UINT64_MAX);
    histogram_record(&histogram, HISTOGRAM_LARGEST_US);
    assert_int_equal(histogram.counts[HISTOGRAM_BUCKETS - 1], 2);
    assert_int_equal(histogram_percentile(&histogram, 100), HISTOGRAM_LARGEST_US);
}

static void test_buckets_are_in_order_without_gaps(void **state) {
    (void)state;
    unsigned last = 0;
    for (uint64_t us = 0; us < 100000; us++) {
        unsigned bucket = histogram_bucket(us);
        assert_true(bucket == last || bucket == last + 1);
        last = bucket;
    }
    assert_int_equal(histogram_bucket(HISTOGRAM_LARGEST_US), HISTOGRAM_BUCKETS - 1);
}

static int by_value(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Against the sorted values themselves: never under, at most a sixteenth over. */
static void test_percentiles_of_random_values(void **state) {
    (void)state;
    unsigned seed = (unsigned)time(NULL);
    print_message("seed %u\n", seed);
    enum { COUNT = 5000 };
    static uint64_t values[COUNT];
    struct histogram histogram = {0};
    for (int i = 0; i < COUNT; i++) {
        values[i] = (uint64_t)rand_r(&seed) >> (rand_r(&seed) % 31);
        histogram_record(&histogram, values[i]);
    }
    qsort(values, COUNT, sizeof(values[0]), by_value);
    for (unsigned percent = 1; percent <= 100; percent++) {
        uint64_t exact = values[COUNT * percent / 100 - 1];
        uint64_t found = histogram_percentile(&histogram, percent);
        assert_in_range(found, exact, exact + exact / HISTOGRAM_STEPS);
    }
    histogram_reset(&histogram);
    assert_int_equal(histogram.total, 0);
    assert_int_equal(histogram_percentile(&histogram, 99), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_small_values_are_exact),
        cmocka_unit_test(test_outlier_is_the_last_percentile),
        cmocka_unit_test(test_huge_values_are_counted_at_the_end),
        cmocka_unit_test(test_buckets_are_in_order_without_gaps),
        cmocka_unit_test(test_percentiles_of_random_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
