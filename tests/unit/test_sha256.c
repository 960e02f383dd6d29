/* Vectors of FIPS 180-4 and its examples; however the input is cut, the hash is the same. */
#include "protocol/sha256.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <setjmp.h>

#include <cmocka.h>

static const char *hex_of(const struct slice *parts, size_t n) {
    static char hex[2 * SHA256_BYTES + 1];
    unsigned char sum[SHA256_BYTES];
    sha256_of(parts, n, sum);
    for (size_t i = 0; i < SHA256_BYTES; i++) {
        snprintf(hex + 2 * i, 3, "%02x", sum[i]);
    }
    return hex;
}

static void published_vectors(void **state) {
    (void)state;
    assert_string_equal(hex_of(NULL, 0), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_string_equal(hex_of(&SLICE("abc"), 1),
                        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_string_equal(hex_of(&SLICE("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"), 1),
                        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

static void parts_are_one_text(void **state) {
    (void)state;
    const struct slice text = SLICE("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq");
    for (size_t cut = 0; cut <= text.len; cut++) {
        const struct slice parts[] = {slice_first(text, cut), SLICE(""), slice_skip(text, cut)};
        assert_string_equal(hex_of(parts, 3),
                            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(published_vectors),
                                       cmocka_unit_test(parts_are_one_text)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
