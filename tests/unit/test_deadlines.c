#include "server/net/deadlines.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

enum { START_MS = 1000000 };

static int setup(void **state) {
    static struct deadlines deadlines;
    deadlines_init(&deadlines, START_MS);
    *state = &deadlines;
    return 0;
}

/* Ticks until the entry comes due; returns when that was. */
static int64_t due_at(struct deadlines *deadlines, struct deadline *entry, int64_t from_ms) {
    for (int64_t now_ms = from_ms; now_ms < from_ms + 100000; now_ms += DEADLINES_TICK_MS) {
        struct deadline *due = deadlines_take_due(deadlines, now_ms);
        if (due != NULL) {
            assert_ptr_equal(due, entry);
            assert_null(deadlines_take_due(deadlines, now_ms));
            return now_ms;
        }
    }
    return 0;
}

static void test_due_within_two_ticks(void **state) {
    struct deadlines *deadlines = *state;
    struct deadline entry = {0};
    static const int64_t after_ms[] = {1, 99, 100, 101, 5000, 12799, 12800, 12801, 60000};
    int64_t now_ms = START_MS;
    for (size_t i = 0; i < sizeof(after_ms) / sizeof(after_ms[0]); i++) {
        deadlines_set(deadlines, &entry, now_ms + after_ms[i]);
        int64_t at_ms = due_at(deadlines, &entry, now_ms);
        assert_in_range(at_ms, now_ms + after_ms[i], now_ms + after_ms[i] + 2 * DEADLINES_TICK_MS);
        assert_int_equal(deadlines->count, 0);
        now_ms = at_ms;
    }
}

static void test_past_comes_with_the_next_tick(void **state) {
    struct deadlines *deadlines = *state;
    struct deadline entry = {0};
    deadlines_set(deadlines, &entry, START_MS - 5000);
    assert_null(deadlines_take_due(deadlines, START_MS));
    assert_ptr_equal(deadlines_take_due(deadlines, START_MS + DEADLINES_TICK_MS), &entry);
}

static void test_moved_and_cleared(void **state) {
    struct deadlines *deadlines = *state;
    struct deadline later = {0}, sooner = {0}, none = {0}, removed = {0};
    deadlines_set(deadlines, &later, START_MS + 500);
    deadlines_set(deadlines, &later, START_MS + 3000);
    assert_int_equal(due_at(deadlines, &later, START_MS), START_MS + 3100);

    deadlines_set(deadlines, &sooner, START_MS + 9000);
    deadlines_set(deadlines, &sooner, START_MS + 4000);
    deadlines_set(deadlines, &none, START_MS + 3500);
    deadlines_set(deadlines, &none, 0);
    deadlines_set(deadlines, &removed, START_MS + 3500);
    deadlines_remove(deadlines, &removed);
    deadlines_remove(deadlines, &removed);
    assert_int_equal(due_at(deadlines, &sooner, START_MS + 3100), START_MS + 4100);
    assert_int_equal(deadlines->count, 0);
}

static void test_after_a_long_pause(void **state) {
    struct deadlines *deadlines = *state;
    struct deadline entries[3] = {{0}};
    deadlines_set(deadlines, &entries[0], START_MS + 100);
    deadlines_set(deadlines, &entries[1], START_MS + 50000);
    deadlines_set(deadlines, &entries[2], START_MS + 10000000);
    int64_t now_ms = START_MS + 1000000;
    const struct deadline *first = deadlines_take_due(deadlines, now_ms);
    const struct deadline *second = deadlines_take_due(deadlines, now_ms);
    assert_true((first == &entries[0] && second == &entries[1]) ||
                (first == &entries[1] && second == &entries[0]));
    assert_null(deadlines_take_due(deadlines, now_ms));
    assert_int_equal(deadlines->count, 1);
}

/* One that is due removes another that is due. */
static void test_removed_while_due(void **state) {
    struct deadlines *deadlines = *state;
    struct deadline a = {0}, b = {0};
    deadlines_set(deadlines, &a, START_MS + 100);
    deadlines_set(deadlines, &b, START_MS + 100);
    const struct deadline *first = deadlines_take_due(deadlines, START_MS + 300);
    assert_non_null(first);
    deadlines_remove(deadlines, first == &a ? &b : &a);
    assert_null(deadlines_take_due(deadlines, START_MS + 300));
}

/* Many entries, set, moved and cleared at random: none fires early, late, or twice. */
static void test_random(void **state) {
    struct deadlines *deadlines = *state;
    unsigned seed = (unsigned)time(NULL);
    print_message("seed %u\n", seed);
    enum { COUNT = 200 };
    static struct deadline entries[COUNT];
    static int64_t expected[COUNT]; /* 0: none */
    for (int64_t now_ms = START_MS; now_ms < START_MS + 120000; now_ms += 1 + rand_r(&seed) % 150) {
        struct deadline *due;
        while ((due = deadlines_take_due(deadlines, now_ms)) != NULL) {
            int64_t *at_ms = &expected[due - entries];
            assert_int_not_equal(*at_ms, 0);
            assert_true(*at_ms <= now_ms);
            *at_ms = 0;
        }
        for (int i = 0; i < COUNT; i++) {
            assert_true(expected[i] == 0 || expected[i] + DEADLINES_TICK_MS > now_ms - 150);
        }
        for (int i = 0; i < 5; i++) {
            int which = rand_r(&seed) % COUNT;
            int64_t at_ms = rand_r(&seed) % 4 == 0 ? 0 : now_ms + rand_r(&seed) % 30000;
            deadlines_set(deadlines, &entries[which], at_ms);
            expected[which] = at_ms;
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_due_within_two_ticks, setup),
        cmocka_unit_test_setup(test_past_comes_with_the_next_tick, setup),
        cmocka_unit_test_setup(test_moved_and_cleared, setup),
        cmocka_unit_test_setup(test_after_a_long_pause, setup),
        cmocka_unit_test_setup(test_removed_while_due, setup),
        cmocka_unit_test_setup(test_random, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
