#include "protocol/rdb_string.h"

#include "protocol/crc64.h"

#include "tests/unit/random.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* Made by DUMP of redis-server 7.0.15. Compressed ones differ from kvnode's, which has a compressor of its own.
 */
static const struct vector {
    struct slice value;
    const char *payload;
    bool compressed;
} vectors[] = {
    {{"", 0}, "00000a005d9b5c400f7fa2da", false},
    {{"a", 1}, "0001610a00bffeef9b8f367db4", false},
    {{"abcdefghijklmnopqrstuvwxyz", 26},
     "001a6162636465666768696a6b6c6d6e6f707172737475767778797a0a009e1b3f34abfc5f79",
     false},
    {{"12345678901", 11}, "000b31323334353637383930310a00304e52d727176510", false},
    {{"-129", 4}, "00c17fff0a001760822854808480", false},
    {{"-128", 4}, "00c0800a009966326d2f0c5bd9", false},
    {{"127", 3}, "00c07f0a000db5eb315254c514", false},
    {{"128", 3}, "00c180000a00eb7ab3b510cf4b65", false},
    {{"32767", 5}, "00c1ff7f0a00495a37da17f4d52b", false},
    {{"-32768", 6}, "00c100800a00b540064753bb1ace", false},
    {{"32768", 5}, "00c2008000000a0045d82eedd5bda910", false},
    {{"2147483647", 10}, "00c2ffffff7f0a002c74e59ee02eada1", false},
    {{"-2147483648", 11}, "00c2000000800a00c74f873e33558187", false},
    {{"2147483648", 10}, "000a323134373438333634380a00e7b129a34c1d76ee", false},
    {{"007", 3}, "00033030370a007258e27b4c69bad9", false},
    {{"-0", 2}, "00022d300a00d5411fd9d6d050cc", false},
    {{"\0\1\2\3\4\5\6\7\10\11\12\13\14\15\16\17\20\21\22\23\24\25\26\27\30\31\32\33\34\35\36\37 "
      "!\"#$%&'()*+,-./"
      "0123456789:;<=>",
      63},
     "003f000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f30313"
     "23334"
     "35363738393a3b3c3d3e0a003c99efc0f4c93392",
     false},
    {{"\0\1\2\3\4\5\6\7\10\11\12\13\14\15\16\17\20\21\22\23\24\25\26\27\30\31\32\33\34\35\36\37 "
      "!\"#$%&'()*+,-./"
      "0123456789:;<=>?",
      64},
     "004040000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303"
     "13233"
     "3435363738393a3b3c3d3e3f0a008c0c07acf508b445",
     false},
    {{"aaaaaaaaaaaaaaaaaaaaa", 21}, "00c30615016161e00a000a00fd0cb36807413f68", true},
    {{"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", 64},
     "00c3094040017878e033000178780a007671d576c5795442",
     true},
    {{"hello world hello world hello world hello world hello world hello world hello world hello world hello "
      "world "
      "hello world ",
      120},
     "00c31440780c68656c6c6f20776f726c642068e0600b0164200a00d4035f436c9a1bd7",
     true},
};

enum { VECTORS = sizeof(vectors) / sizeof(vectors[0]) };

static size_t unhex(const char *hex, char *to) {
    size_t n = strlen(hex) / 2;
    for (size_t i = 0; i < n; i++) {
        unsigned byte;
        assert_int_equal(sscanf(hex + 2 * i, "%2x", &byte), 1);
        to[i] = (char)byte;
    }
    return n;
}

/* A payload of this body, with a footer that is right. */
static struct slice payload_of(struct slice body, unsigned version, char *to) {
    memcpy(to, body.ptr, body.len);
    to[body.len] = (char)version;
    to[body.len + 1] = (char)(version >> 8);
    uint64_t crc = crc64(0, slice_of(to, body.len + 2));
    memcpy(to + body.len + 2, &crc, 8);
    return slice_of(to, body.len + 10);
}

static void assert_reads(struct slice payload, struct slice expected) {
    struct buf scratch;
    struct slice value;
    buf_init(&scratch, SIZE_MAX);
    assert_int_equal(rdb_string_read(payload, &scratch, &value), RDB_STRING_OK);
    assert_int_equal(value.len, expected.len);
    assert_memory_equal(value.ptr, expected.ptr, expected.len);
    buf_deinit(&scratch);
}

static void assert_refuses(struct slice payload, enum rdb_string_result expected) {
    char *copy = malloc(payload.len + 1); /* of its size: what is read past it is found by ASan */
    memcpy(copy, payload.ptr, payload.len);
    struct buf scratch;
    struct slice value;
    buf_init(&scratch, SIZE_MAX);
    assert_int_equal(rdb_string_read(slice_of(copy, payload.len), &scratch, &value), expected);
    buf_deinit(&scratch);
    free(copy);
}

static void assert_refuses_body(struct slice body) {
    char payload[256];
    assert_refuses(payload_of(body, 10, payload), RDB_STRING_BAD_FORMAT);
}

static void test_what_redis_writes_is_read(void **state) {
    (void)state;
    for (size_t i = 0; i < VECTORS; i++) {
        char payload[256];
        size_t n = unhex(vectors[i].payload, payload);
        assert_reads(slice_of(payload, n), vectors[i].value);
    }
}

static void test_what_is_written_is_redis_own(void **state) {
    (void)state;
    for (size_t i = 0; i < VECTORS; i++) {
        char expected[256];
        size_t n = unhex(vectors[i].payload, expected);
        struct buf out;
        buf_init(&out, SIZE_MAX);
        buf_append_text(&out, "before");
        rdb_string_write(&out, vectors[i].value);
        struct slice written = slice_skip(buf_slice(&out), 6);
        if (!vectors[i].compressed) {
            assert_int_equal(written.len, n);
            assert_memory_equal(written.ptr, expected, n);
        } else {
            assert_in_range(written.len, 12, n + 2);
        }
        assert_reads(written, vectors[i].value);
        buf_deinit(&out);
    }
}

static void test_any_value_comes_back(void **state) {
    (void)state;
    struct random random = random_start("test_any_value_comes_back");
    enum { MOST = 100000 };
    char *value = malloc(MOST);
    for (int round = 0; round < 300; round++) {
        size_t length = random_below(&random, round < 200 ? 70 : MOST);
        size_t letters = 1 + random_below(&random, 256);
        for (size_t i = 0; i < length; i++) {
            value[i] = (char)random_below(&random, letters);
        }
        if (round % 4 == 0) {
            length = (size_t)snprintf(value, MOST, "%lld", (long long)(int64_t)random_magnitude(&random));
        }
        struct buf out;
        buf_init(&out, SIZE_MAX);
        rdb_string_write(&out, slice_of(value, length));
        assert_reads(buf_slice(&out), slice_of(value, length));
        buf_deinit(&out);
    }
    free(value);
}

static void test_every_bit_counts(void **state) {
    (void)state;
    char payload[256];
    size_t n = unhex(vectors[2].payload, payload);
    for (size_t bit = 0; bit < n * 8; bit++) {
        payload[bit / 8] = (char)(payload[bit / 8] ^ 1 << bit % 8);
        assert_refuses(slice_of(payload, n), RDB_STRING_BAD_FOOTER);
        payload[bit / 8] = (char)(payload[bit / 8] ^ 1 << bit % 8);
    }
    for (size_t length = 0; length < n; length++) {
        assert_refuses(slice_of(payload, length), RDB_STRING_BAD_FOOTER);
    }
}

static void test_versions(void **state) {
    (void)state;
    char payload[256];
    struct slice body = SLICE("\0\1a");
    assert_reads(payload_of(body, 6, payload), SLICE("a"));
    assert_reads(payload_of(body, 10, payload), SLICE("a"));
    assert_reads(payload_of(body, 11, payload), SLICE("a"));
    assert_refuses(payload_of(body, 12, payload), RDB_STRING_BAD_FOOTER);
    assert_refuses(payload_of(body, 266, payload), RDB_STRING_BAD_FOOTER);
}

static void test_damaged_bodies_with_a_right_footer(void **state) {
    (void)state;
    assert_refuses_body(SLICE(""));
    assert_refuses_body(SLICE("\0"));
    assert_refuses_body(SLICE("\0\2a"));        /* shorter than said */
    assert_refuses_body(SLICE("\0\x40"));       /* half a length */
    assert_refuses_body(SLICE("\0\x80\0\0\0")); /* likewise */
    assert_refuses_body(SLICE("\0\x81\0\0\0\0\0\0\0"));
    assert_refuses_body(SLICE("\0\x80\xff\xff\xff\xff")); /* more than there is */
    assert_refuses_body(SLICE("\0\x81\xff\xff\xff\xff\xff\xff\xff\xff"));
    assert_refuses_body(SLICE("\0\x82\0\0\0\0")); /* no such form */
    assert_refuses_body(SLICE("\0\xc4\0\0\0\0")); /* likewise */
    assert_refuses_body(SLICE("\0\xc0"));         /* integers cut off */
    assert_refuses_body(SLICE("\0\xc1\1"));
    assert_refuses_body(SLICE("\0\xc2\1\2\3"));
    assert_refuses_body(SLICE("\0\xc3\6\x15\1aa\xe0\x0a"));   /* LZF cut off */
    assert_refuses_body(SLICE("\0\xc3\6\x16\1aa\xe0\x0a\0")); /* another length than it gives */
    assert_refuses_body(SLICE("\0\xc3\6\x14\1aa\xe0\x0a\0"));
    assert_refuses_body(SLICE("\0\xc3\6\x80\x1f\xff\xff\xff\1aa\xe0\x0a\0")); /* more than LZF can give */
    assert_refuses_body(SLICE("\0\xc3\6\xc0\x15\1aa\xe0\x0a\0")); /* an integer in place of a length */
}

/* A list ["a"], as redis-server 7.0.15 dumps it. */
static void test_other_types(void **state) {
    (void)state;
    char payload[64];
    size_t n = unhex("1201020a0a0000000100816102ff0a0009b9edf594ded995", payload);
    assert_refuses(slice_of(payload, n), RDB_STRING_BAD_FORMAT);
}

static void test_long_forms_of_short_lengths(void **state) {
    (void)state;
    char payload[64];
    assert_reads(payload_of(SLICE("\0\x40\1a"), 10, payload), SLICE("a"));
    assert_reads(payload_of(SLICE("\0\x80\0\0\0\1a"), 10, payload), SLICE("a"));
    assert_reads(payload_of(SLICE("\0\x81\0\0\0\0\0\0\0\1a"), 10, payload), SLICE("a"));
    assert_reads(payload_of(SLICE("\0\1abc"), 10, payload), SLICE("a")); /* as Redis reads it */
    assert_reads(payload_of(SLICE("\0\xc3\0\0"), 10, payload), SLICE(""));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_redis_writes_is_read),
        cmocka_unit_test(test_what_is_written_is_redis_own),
        cmocka_unit_test(test_any_value_comes_back),
        cmocka_unit_test(test_every_bit_counts),
        cmocka_unit_test(test_versions),
        cmocka_unit_test(test_damaged_bodies_with_a_right_footer),
        cmocka_unit_test(test_other_types),
        cmocka_unit_test(test_long_forms_of_short_lengths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
