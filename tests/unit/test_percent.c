#include "protocol/percent.h"

#include "tests/unit/random.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void assert_encodes(struct slice bytes, struct slice expected) {
    char text[256];
    assert_int_equal(percent_encoded_bytes(bytes), expected.len);
    assert_int_equal(percent_encode(text, bytes) - text, expected.len);
    assert_memory_equal(text, expected.ptr, expected.len);
}

static void assert_decodes(struct slice text, enum percent_form form, struct slice expected) {
    char bytes[256];
    size_t n = SIZE_MAX;
    assert_true(percent_decode(text, form, bytes, &n));
    assert_int_equal(n, expected.len);
    assert_memory_equal(bytes, expected.ptr, expected.len);
}

static void test_encodes_five_bytes_and_no_other(void **state) {
    (void)state;
    assert_encodes((struct slice){0}, SLICE(""));
    assert_encodes(SLICE("user1"), SLICE("user1"));
    assert_encodes(SLICE("%|\n\r\0"), SLICE("%25%7C%0A%0D%00"));
    assert_encodes(SLICE("100%|a b+c\xFF\x01"), SLICE("100%25%7Ca b+c\xFF\x01"));
    for (int byte = 0; byte < 256; byte++) {
        char c = (char)byte;
        bool dangerous = c == '%' || c == '|' || c == '\n' || c == '\r' || c == '\0';
        assert_int_equal(percent_encoded_bytes(slice_of(&c, 1)), dangerous ? 3 : 1);
    }
}

/* One byte to be escaped at every place of runs that are longer and shorter than the scan's step. */
static void test_finds_the_byte_wherever_it_is(void **state) {
    (void)state;
    for (size_t length = 1; length <= 70; length++) {
        for (size_t at = 0; at < length; at++) {
            char bytes[70], text[80], back[80];
            memset(bytes, 'x', length);
            bytes[at] = '|';
            assert_int_equal(percent_encoded_bytes(slice_of(bytes, length)), length + 2);
            assert_int_equal(percent_encode(text, slice_of(bytes, length)) - text, length + 2);
            assert_memory_equal(text + at, "%7C", 3);
            size_t n;
            assert_true(percent_decode(slice_of(text, length + 2), PERCENT_PLAIN, back, &n));
            assert_int_equal(n, length);
            assert_memory_equal(back, bytes, length);
        }
    }
}

static void test_decodes_any_escape_in_either_case(void **state) {
    (void)state;
    assert_decodes((struct slice){0}, PERCENT_PLAIN, SLICE(""));
    assert_decodes(SLICE("%41%4a%4A%7c%fF%Ff%00."), PERCENT_PLAIN, SLICE("AJJ|\xFF\xFF\0."));
    assert_decodes(SLICE("%2541"), PERCENT_PLAIN, SLICE("%41"));
    for (unsigned byte = 0; byte < 256; byte++) {
        char text[4], expected = (char)byte;
        snprintf(text, sizeof(text), "%%%02x", byte);
        assert_decodes(slice_of(text, 3), PERCENT_PLAIN, slice_of(&expected, 1));
        snprintf(text, sizeof(text), "%%%02X", byte);
        assert_decodes(slice_of(text, 3), PERCENT_PLAIN, slice_of(&expected, 1));
    }
}

static void test_plus_is_a_blank_only_in_a_query(void **state) {
    (void)state;
    assert_decodes(SLICE("a+b%2Bc+"), PERCENT_PLAIN, SLICE("a+b+c+"));
    assert_decodes(SLICE("a+b%2Bc+"), PERCENT_PLUS_IS_BLANK, SLICE("a b+c "));
}

static void test_zeros_of_a_patch_are_tildes(void **state) {
    (void)state;
    struct random random = random_start(__func__);
    assert_decodes(SLICE("~a%7E%00~"), PERCENT_TILDE_IS_NUL, SLICE("\0a~\0\0"));
    assert_decodes(SLICE("~+"), PERCENT_PLAIN, SLICE("~+"));
    for (int i = 0; i < 5000; i++) {
        char bytes[200], text[600];
        size_t length = random_below(&random, sizeof(bytes)), n;
        random_bytes_of(&random, bytes, length, "%|\n\r\0\0\0\0~7Eabcd", (size_t)(i % 2 == 0 ? 15 : 8));
        size_t encoded = percent_encoded_patch_bytes(slice_of(bytes, length));
        assert_int_equal(percent_encode_patch(text, slice_of(bytes, length)) - text, encoded);
        for (size_t j = 0; j < encoded; j++) {
            assert_true(text[j] != '|' && text[j] != '\n' && text[j] != '\r' && text[j] != '\0');
        }
        assert_true(percent_decode(slice_of(text, encoded), PERCENT_TILDE_IS_NUL, text, &n));
        assert_int_equal(n, length);
        assert_memory_equal(text, bytes, length);
    }
    char zeros[1000] = {0};
    assert_int_equal(percent_encoded_patch_bytes(slice_of(zeros, sizeof(zeros))), sizeof(zeros));
}

static void test_refuses_a_lone_percent(void **state) {
    (void)state;
    static const char *const malformed[] = {"%",   "%4",  "a%",  "a%4", "%g0", "%0g", "%%41", "%4%",
                                            "% 4", "%+4", "%-1", "%/0", "%:0", "%@0", "%`0",  "%0x"};
    for (size_t i = 0; i < sizeof(malformed) / sizeof(malformed[0]); i++) {
        char bytes[16];
        size_t n;
        assert_false(percent_decode(slice_from_text(malformed[i]), PERCENT_PLAIN, bytes, &n));
        assert_false(percent_decode(slice_from_text(malformed[i]), PERCENT_PLUS_IS_BLANK, bytes, &n));
    }
}

static void test_round_trip_also_in_place(void **state) {
    (void)state;
    struct random random = random_start(__func__);
    for (int i = 0; i < 5000; i++) {
        char bytes[200], text[600];
        size_t length = random_below(&random, sizeof(bytes));
        if (i % 2 == 0) {
            random_bytes(&random, bytes, length);
        } else {
            random_bytes_of(&random, bytes, length, "%|\n\r\0ab4C+", 10);
        }
        size_t encoded = percent_encoded_bytes(slice_of(bytes, length));
        assert_int_equal(percent_encode(text, slice_of(bytes, length)) - text, encoded);
        for (size_t j = 0; j < encoded; j++) {
            assert_true(text[j] != '|' && text[j] != '\n' && text[j] != '\r' && text[j] != '\0');
        }
        size_t n;
        assert_true(percent_decode(slice_of(text, encoded), PERCENT_PLAIN, text, &n));
        assert_int_equal(n, length);
        assert_memory_equal(text, bytes, length);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_encodes_five_bytes_and_no_other),
        cmocka_unit_test(test_finds_the_byte_wherever_it_is),
        cmocka_unit_test(test_decodes_any_escape_in_either_case),
        cmocka_unit_test(test_plus_is_a_blank_only_in_a_query),
        cmocka_unit_test(test_zeros_of_a_patch_are_tildes),
        cmocka_unit_test(test_refuses_a_lone_percent),
        cmocka_unit_test(test_round_trip_also_in_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
