#include "protocol/crc32c.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

typedef uint32_t way(uint32_t crc, const void *bytes, size_t n);

static way *const ways[] = {crc32c, crc32c_by_table, crc32c_by_instruction};

/* The instruction's way where there is none would stop this program. */
static size_t count_ways(void) { return crc32c_has_instruction() ? 3 : 2; }

static void test_published_values(void **state) {
    (void)state;
    unsigned char zeros[32] = {0}, ones[32], up[32], down[32]; /* RFC 3720, appendix B.4 */
    for (unsigned i = 0; i < 32; i++) {
        ones[i] = 0xff;
        up[i] = (unsigned char)i;
        down[i] = (unsigned char)(31 - i);
    }
    for (size_t w = 0; w < count_ways(); w++) {
        assert_int_equal(ways[w](0, "", 0), 0);
        assert_int_equal(ways[w](0, "123456789", 9), 0xe3069283);
        assert_int_equal(ways[w](0, zeros, 32), 0x8a9136aa);
        assert_int_equal(ways[w](0, ones, 32), 0x62a8ab43);
        assert_int_equal(ways[w](0, up, 32), 0x46dd794e);
        assert_int_equal(ways[w](0, down, 32), 0x113fdb5c);
    }
}

static void test_goes_on_from_what_came_before(void **state) {
    (void)state;
    for (size_t w = 0; w < count_ways(); w++) {
        for (size_t i = 0; i <= 9; i++) {
            assert_int_equal(ways[w](ways[w](0, "123456789", i), &"123456789"[i], 9 - i), 0xe3069283);
        }
    }
}

/* Every length and every alignment. */
static void test_the_ways_agree(void **state) {
    (void)state;
    unsigned char bytes[8 + 1700];
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (unsigned char)(i * 167 + (i >> 3));
    }
    for (size_t from = 0; from < 8; from++) {
        for (size_t n = 0; n <= 1700; n++) {
            uint32_t seed = (uint32_t)(n * 2654435761U);
            uint32_t expected = crc32c_by_table(seed, bytes + from, n);
            for (size_t w = 0; w < count_ways(); w++) {
                assert_int_equal(ways[w](seed, bytes + from, n), expected);
            }
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_published_values),
        cmocka_unit_test(test_goes_on_from_what_came_before),
        cmocka_unit_test(test_the_ways_agree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
