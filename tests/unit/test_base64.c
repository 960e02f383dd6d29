#include "protocol/base64.h"

#include "tests/unit/random.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void assert_says(struct slice bytes, const char *text) {
    struct buf buf;
    buf_init(&buf, 1000);
    base64_encode(&buf, bytes);
    assert_int_equal(buf_used(&buf), strlen(text));
    assert_memory_equal(buf_slice(&buf).ptr, text, strlen(text));
    buf_reset(&buf);
    assert_true(base64_decode(&buf, slice_from_text(text)));
    assert_true(slice_equals(buf_slice(&buf), bytes));
    buf_deinit(&buf);
}

/* RFC 4648, section 10. */
static void test_vectors_of_the_rfc(void **state) {
    (void)state;
    assert_says((struct slice){0}, "");
    assert_says(SLICE("f"), "Zg==");
    assert_says(SLICE("fo"), "Zm8=");
    assert_says(SLICE("foo"), "Zm9v");
    assert_says(SLICE("foob"), "Zm9vYg==");
    assert_says(SLICE("fooba"), "Zm9vYmE=");
    assert_says(SLICE("foobar"), "Zm9vYmFy");
}

static void test_binary(void **state) {
    (void)state;
    assert_says(SLICE("\0"), "AA==");
    assert_says(SLICE("\xFF\xFF\xFF"), "////");
    assert_says(SLICE("\xFB\xEF\xBE"), "++++");
    assert_says(SLICE("\xFF\xFE"), "//4=");
}

static void test_refuses_what_is_not_the_one_text(void **state) {
    (void)state;
    static const char *const malformed[] = {
        "Z",       "Zg",         "Zg=",      "Zm9",      "Zm9vY",    "=",    "==",       "===",  "====",
        "Z===",    "Zg==Zg==",   "Zg==Zm9v", "Z=g=",     "=g==",     "Zm=v", "Zh==",     "Zm9=", "Zn==",
        " Zm9v",   "Zm9v ",      "Zm9v\n",   "Zm\n9v",   "Zm9v\r\n", "Zm 9", "Zm-v",     "Zm_v", "Zm9!",
        "Zm9\x7F", "\xC3\xA9zz", "Zm9vY===", "Zm9v====", "Zm9vYg=A", "*m9v", "Zm9vYmE!",
    };
    for (size_t i = 0; i < sizeof(malformed) / sizeof(malformed[0]); i++) {
        struct buf buf;
        buf_init(&buf, 100);
        buf_append_text(&buf, "before");
        if (base64_decode(&buf, slice_from_text(malformed[i]))) {
            fail_msg("\"%s\" was taken", malformed[i]);
        }
        assert_false(buf_failed(&buf));
        assert_true(slice_equals(buf_slice(&buf), SLICE("before")));
        buf_deinit(&buf);
    }
    struct buf buf;
    buf_init(&buf, 100);
    assert_false(base64_decode(&buf, SLICE("Zm9\0")));
    buf_deinit(&buf);
}

/* Of all texts of two digits and "==", 256 are canonical; of three digits and "=", 65536. */
static void test_each_value_has_exactly_one_text(void **state) {
    (void)state;
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    struct buf buf;
    buf_init(&buf, 100);
    int one_byte = 0, two_bytes = 0;
    for (int i = 0; i < 64 * 64 * 64; i++) {
        char text[] = {digits[i / 4096], digits[i / 64 % 64], digits[i % 64], '='};
        buf_reset(&buf);
        two_bytes += base64_decode(&buf, slice_of(text, 4));
        if (i % 64 == 0) {
            text[2] = '=';
            one_byte += base64_decode(&buf, slice_of(text, 4));
        }
    }
    assert_int_equal(one_byte, 256);
    assert_int_equal(two_bytes, 65536);
    buf_deinit(&buf);
}

static void test_round_trip(void **state) {
    (void)state;
    struct random random = random_start(__func__);
    for (int i = 0; i < 5000; i++) {
        char bytes[300];
        size_t length = random_below(&random, sizeof(bytes) + 1);
        random_bytes(&random, bytes, length);
        struct buf text, back;
        buf_init(&text, 400);
        buf_init(&back, sizeof(bytes));
        base64_encode(&text, slice_of(bytes, length));
        assert_int_equal(buf_used(&text), (length + 2) / 3 * 4);
        assert_true(base64_decode(&back, buf_slice(&text)));
        assert_true(slice_equals(buf_slice(&back), slice_of(bytes, length)));
        buf_deinit(&text);
        buf_deinit(&back);
    }
}

static void test_a_buf_that_is_too_small_says_so(void **state) {
    (void)state;
    struct buf buf;
    buf_init(&buf, 2);
    assert_false(base64_decode(&buf, SLICE("Zm9v")));
    assert_true(buf_failed(&buf));
    buf_reset(&buf);
    assert_true(base64_decode(&buf, SLICE("Zm8=")));
    base64_encode(&buf, SLICE("f"));
    assert_true(buf_failed(&buf));
    assert_true(slice_equals(buf_slice(&buf), SLICE("fo")));
    buf_deinit(&buf);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors_of_the_rfc),
        cmocka_unit_test(test_binary),
        cmocka_unit_test(test_refuses_what_is_not_the_one_text),
        cmocka_unit_test(test_each_value_has_exactly_one_text),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_a_buf_that_is_too_small_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
