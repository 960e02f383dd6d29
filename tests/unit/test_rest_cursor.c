#include "server/rest/listing.h"

#include "tests/unit/random.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void expect_round_trip(const struct listing_cursor *cursor) {
    char text[LISTING_CURSOR_BYTES];
    size_t n = listing_cursor_write(text, cursor);
    assert_true(n > 0 && n <= sizeof(text));
    struct listing_cursor back;
    assert_true(listing_cursor_parse(slice_of(text, n), &back));
    assert_true(back.table == cursor->table);
    assert_true(back.passed == cursor->passed);
    assert_true(back.checksum == (cursor->passed == 0 ? 0 : cursor->checksum));
}

static void test_round_trip(void **state) {
    (void)state;
    struct random random = random_start("test_rest_cursor");
    for (int i = 0; i < 10000; i++) {
        struct listing_cursor cursor = {.table = random_magnitude(&random),
                                        .passed = random_magnitude(&random),
                                        .checksum = random_magnitude(&random)};
        expect_round_trip(&cursor);
    }
    expect_round_trip(&(struct listing_cursor){0});
    expect_round_trip(&(struct listing_cursor){UINT64_MAX, UINT64_MAX, UINT64_MAX});
}

static void test_what_is_no_cursor(void **state) {
    (void)state;
    static const char *const texts[] = {"",
                                        ".",
                                        "x",
                                        "1.",
                                        "1.2",
                                        "1.2.",
                                        "1.2.3.",
                                        "1.2.3x",
                                        "-1",
                                        " 1",
                                        "1 ",
                                        "1..3",
                                        "A",
                                        "0x1",
                                        "11111111111111111",
                                        "1.2.11111111111111111"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct listing_cursor cursor;
        assert_false(listing_cursor_parse(slice_from_text(texts[i]), &cursor));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_what_is_no_cursor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
