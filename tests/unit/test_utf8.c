#include "protocol/utf8.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

/* The encoding as its definition gives it, overlong or out of range where length and scalar say so. */
static struct slice encode(uint32_t scalar, size_t length, char *to) {
    static const uint8_t mark[] = {0, 0, 0xC0, 0xE0, 0xF0, 0xF8};
    for (size_t i = length - 1; i > 0; i--) {
        to[i] = (char)(0x80 | (scalar & 0x3F));
        scalar >>= 6;
    }
    to[0] = (char)(mark[length] | scalar);
    return slice_of(to, length);
}

static void test_every_scalar_value_and_no_surrogate(void **state) {
    (void)state;
    for (uint32_t scalar = 0; scalar <= 0x10FFFF; scalar++) {
        char bytes[4];
        size_t length = scalar < 0x80 ? 1 : scalar < 0x800 ? 2 : scalar < 0x10000 ? 3 : 4;
        bool surrogate = scalar >= 0xD800 && scalar <= 0xDFFF;
        if (utf8_valid(encode(scalar, length, bytes)) == surrogate) {
            fail_msg("U+%04X", (unsigned)scalar);
        }
    }
}

static void test_no_overlong_form_and_nothing_above(void **state) {
    (void)state;
    char bytes[5];
    for (uint32_t scalar = 0; scalar < 0x80; scalar++) {
        assert_false(utf8_valid(encode(scalar, 2, bytes)));
    }
    for (uint32_t scalar = 0; scalar < 0x800; scalar++) {
        assert_false(utf8_valid(encode(scalar, 3, bytes)));
    }
    for (uint32_t scalar = 0; scalar < 0x10000; scalar++) {
        assert_false(utf8_valid(encode(scalar, 4, bytes)));
    }
    for (uint32_t scalar = 0x110000; scalar < 0x200000; scalar++) {
        assert_false(utf8_valid(encode(scalar, 4, bytes)));
    }
    assert_false(utf8_valid(encode(0x200000, 5, bytes)));
}

static void test_every_pair_of_bytes(void **state) {
    (void)state;
    for (unsigned first = 0; first < 256; first++) {
        for (unsigned second = 0; second < 256; second++) {
            char bytes[] = {(char)first, (char)second};
            bool ascii = first < 0x80 && second < 0x80;
            bool one_character = first >= 0xC2 && first <= 0xDF && second >= 0x80 && second <= 0xBF;
            assert_int_equal(utf8_valid(slice_of(bytes, 2)), ascii || one_character);
        }
    }
}

/* A sequence cut short, or with a byte that is no continuation, at every distance from the ends. */
static void test_broken_sequences_anywhere(void **state) {
    (void)state;
    static const struct slice characters[] = {SLICE("\xC3\xA9"), SLICE("\xE2\x82\xAC"),
                                              SLICE("\xF0\x9F\x98\x80")};
    for (size_t c = 0; c < 3; c++) {
        struct slice character = characters[c];
        for (size_t before = 0; before < 20; before++) {
            for (size_t after = 0; after < 20; after++) {
                char text[64];
                memset(text, 'x', sizeof(text));
                memcpy(text + before, character.ptr, character.len);
                size_t length = before + character.len + after;
                assert_true(utf8_valid(slice_of(text, length)));
                for (size_t i = 0; i < character.len; i++) {
                    char right = text[before + i];
                    text[before + i] = 'x';
                    assert_false(utf8_valid(slice_of(text, length)));
                    text[before + i] = (char)0xFF;
                    assert_false(utf8_valid(slice_of(text, length)));
                    text[before + i] = right;
                }
            }
            char text[64];
            memset(text, 'x', sizeof(text));
            memcpy(text + before, character.ptr, character.len);
            for (size_t cut = 1; cut < character.len; cut++) {
                assert_false(utf8_valid(slice_of(text, before + cut)));
            }
        }
    }
}

static void test_texts(void **state) {
    (void)state;
    assert_true(utf8_valid((struct slice){0}));
    assert_true(utf8_valid(SLICE("a\0b")));
    assert_true(utf8_valid(SLICE("gr\xC3\xBC\xC3\x9F dich, \xE4\xB8\x96\xE7\x95\x8C \xF0\x9F\x8C\x8D")));
    assert_false(utf8_valid(SLICE("\x80")));
    assert_false(utf8_valid(SLICE("\xEF\xBB")));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_scalar_value_and_no_surrogate),
        cmocka_unit_test(test_no_overlong_form_and_nothing_above),
        cmocka_unit_test(test_every_pair_of_bytes),
        cmocka_unit_test(test_broken_sequences_anywhere),
        cmocka_unit_test(test_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
