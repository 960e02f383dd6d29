#include "server/dispatch/rates.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void look(struct rates *rates, int64_t now_ms, uint64_t commands) {
    const uint64_t counts[RATES] = {[RATE_COMMANDS] = commands};
    rates_sample(rates, now_ms, counts);
}

static void test_nothing_is_known_before_the_second_look(void **state) {
    (void)state;
    struct rates rates = {0};
    assert_true(rates_mean(&rates, RATE_COMMANDS) == 0);
    look(&rates, 1000, 500);
    assert_true(rates_mean(&rates, RATE_COMMANDS) == 0);
}

static void test_the_mean_is_of_the_last_looks(void **state) {
    (void)state;
    struct rates rates = {0};
    for (int64_t i = 0; i <= RATE_SAMPLES; i++) {
        look(&rates, 1000 + 100 * i, (uint64_t)i * 10);
    }
    assert_true(rates_mean(&rates, RATE_COMMANDS) == 100);
    assert_true(rates_mean(&rates, RATE_READ_BYTES) == 0);
    for (int64_t i = 1; i <= RATE_SAMPLES / 2; i++) { /* it falls silent */
        look(&rates, 2600 + 100 * i, RATE_SAMPLES * 10);
    }
    assert_true(rates_mean(&rates, RATE_COMMANDS) == 50);
    for (int64_t i = 1; i <= RATE_SAMPLES / 2; i++) {
        look(&rates, 3400 + 100 * i, RATE_SAMPLES * 10);
    }
    assert_true(rates_mean(&rates, RATE_COMMANDS) == 0);
}

static void test_a_late_look_counts_for_its_time(void **state) {
    (void)state;
    struct rates rates = {0};
    look(&rates, 1000, 0);
    look(&rates, 3000, 3200);
    assert_true(rates_mean(&rates, RATE_COMMANDS) == 100);
}

/* CONFIG RESETSTAT: what was counted before is no traffic. */
static void test_a_counter_that_was_set_back(void **state) {
    (void)state;
    struct rates rates = {0};
    look(&rates, 1000, 5000);
    look(&rates, 1100, 5016);
    rates_reset(&rates);
    assert_true(rates_mean(&rates, RATE_COMMANDS) == 0);
    look(&rates, 1200, 16);
    assert_true(rates_mean(&rates, RATE_COMMANDS) == 10);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_is_known_before_the_second_look),
        cmocka_unit_test(test_the_mean_is_of_the_last_looks),
        cmocka_unit_test(test_a_late_look_counts_for_its_time),
        cmocka_unit_test(test_a_counter_that_was_set_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
