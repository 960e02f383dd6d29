#include "protocol/rdb_file.h"

#include "protocol/crc64.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct buf whole;
static struct rdb_file file;
static struct rdb_file_item item;

static void begin(unsigned version) {
    buf_reset(&whole);
    buf_printf(&whole, "REDIS%04u", version);
}

#define ADD(literal) buf_append_slice(&whole, SLICE(literal))

/* Its end, with a checksum. */
static void end(void) {
    char crc[8];
    ADD("\xff");
    uint64_t number = crc64(0, buf_slice(&whole));
    for (size_t i = 0; i < sizeof(crc); i++) {
        crc[i] = (char)(number >> (8 * i));
    }
    buf_append(&whole, crc, sizeof(crc));
}

static void start_reading(void) {
    rdb_file_deinit(&file);
    rdb_file_init(&file, buf_slice(&whole));
}

static void next_is_string(const char *key, const char *value, int64_t deadline_ms) {
    assert_int_equal(rdb_file_next(&file, &item), RDB_FILE_ITEM);
    assert_true(item.is_string);
    assert_true(slice_equals(item.key, slice_from_text(key)));
    assert_true(slice_equals(item.value, slice_from_text(value)));
    assert_int_equal(item.deadline_ms, deadline_ms);
}

static void next_is_other(const char *type, uint64_t database) {
    assert_int_equal(rdb_file_next(&file, &item), RDB_FILE_ITEM);
    assert_string_equal(item.type, type);
    assert_int_equal(item.database, database);
}

static void ends_badly(const char *why) {
    enum rdb_file_result result;
    while ((result = rdb_file_next(&file, &item)) == RDB_FILE_ITEM) {
    }
    assert_int_equal(result, RDB_FILE_BAD);
    if (strstr(file.reason, why) == NULL) {
        fail_msg("%s: expected: %s", file.reason, why);
    }
}

static void test_strings_of_every_form(void **state) {
    (void)state;
    begin(11);
    ADD("\xfa\x09redis-ver\x05"
        "7.2.0\xfe\x00\xfb\x07\x02");
    ADD("\x00\x01p\x05plain");
    ADD("\x00\x01i\xc0\x80");
    ADD("\x00\x01j\xc1\xff\x7f");
    ADD("\x00\xc2\x00\x00\x00\x80\x01k"); /* the key is a number */
    ADD("\x00\x01z\xc3\x06\x15\x01"
        "aa\xe0\x0a\x00"); /* as DUMP gives 21 times a */
    ADD("\x00\x01l\x40\x03"
        "abc"); /* a length in 14 bits */
    ADD("\x00\x01m\x80\x00\x00\x00\x03"
        "abc"); /* in 32 */
    ADD("\x00\x01n\x81\x00\x00\x00\x00\x00\x00\x00\x03"
        "abc"); /* in 64 */
    end();
    start_reading();
    next_is_string("p", "plain", 0);
    next_is_string("i", "-128", 0);
    next_is_string("j", "32767", 0);
    next_is_string("-2147483648", "k", 0);
    assert_int_equal(rdb_file_next(&file, &item), RDB_FILE_ITEM);
    assert_int_equal(item.value.len, 21);
    next_is_string("l", "abc", 0);
    next_is_string("m", "abc", 0);
    next_is_string("n", "abc", 0);
    assert_int_equal(rdb_file_next(&file, &item), RDB_FILE_END);
    assert_int_equal(rdb_file_done(&file), buf_used(&whole));
}

static void test_a_deadline_is_that_of_the_next_key_alone(void **state) {
    (void)state;
    begin(9);
    ADD("\xfc\x01\x02\x00\x00\x00\x00\x00\x00\xf8\x07\x00\x01"
        "a\x01x"); /* 513 ms, and idle */
    ADD("\x00\x01"
        "b\x01x");
    ADD("\xfd\x02\x00\x00\x00\xf9\x07\x00\x01"
        "c\x01x"); /* 2 s, and a frequency */
    ADD("\xfc\xff\xff\xff\xff\xff\xff\xff\xff\x00\x01"
        "d\x01x"); /* before 1970 */
    end();
    start_reading();
    next_is_string("a", "x", 513);
    next_is_string("b", "x", 0);
    next_is_string("c", "x", 2000);
    next_is_string("d", "x", 1);
    assert_int_equal(rdb_file_next(&file, &item), RDB_FILE_END);

    begin(9);
    ADD("\xfc\x00\x00\x00\x00\x00\x00\x01\x00\x00\x01"
        "a\x01x");
    end();
    start_reading();
    ends_badly("later than kvnode can keep");
}

static void test_other_types_are_walked_over(void **state) {
    (void)state;
    static const struct {
        const char *type;
        struct slice value;
        char code;
    } rows[] = {
        {"list", SLICE("\x02\x01x\xc0\x01"), 1},
        {"set", SLICE("\x00"), 2},
        {"sorted set",
         SLICE("\x02\x01m\x03"
               "1.5\x01n\xfe"),
         3},
        {"hash",
         SLICE("\x01\x01"
               "f\x01v"),
         4},
        {"sorted set", SLICE("\x01\x01m12345678"), 5},
        {"value of a module",
         SLICE("\x81\x00\x00\x00\x00\x00\x00\x00\x01\x02\x05\x04"
               "12345678\x05\x02xy\x03"
               "1234\x00"),
         7},
        {"set", SLICE("\x03zip"), 11},
        {"list", SLICE("\x02\x03zip\x03zap"), 14},
        {"list", SLICE("\x02\x01\x03zip\x02\x03zap"), 18},
        {"stream",
         SLICE("\x01\x10"
               "0123456789abcdef\x03pak\x01\x05\x06\x01\x05"
               "group\x05\x06\x01"
               "0123456789abcdef12345678\x01\x01\x08"
               "consumer12345678\x01"
               "0123456789abcdef"),
         15},
        {"stream",
         SLICE("\x00\x01\x02\x03\x04\x05\x06\x07\x08\x01\x05"
               "group\x05\x06\x07\x00\x01\x08"
               "consumer12345678\x00"),
         19},
        {"stream",
         SLICE("\x00\x01\x02\x03\x04\x05\x06\x07\x08\x01\x05"
               "group\x05\x06\x07\x00\x01\x08"
               "consumer1234567812345678\x00"),
         21},
        {"hash",
         SLICE("12345678\x01\x07\x01"
               "f\x01v"),
         24},
        {"hash", SLICE("12345678\x03pak"), 25},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        begin(12);
        ADD("\xfe\x03");
        buf_append_byte(&whole, rows[i].code);
        ADD("\x03key");
        buf_append_slice(&whole, rows[i].value);
        ADD("\xf5\x04"
            "code\xfe\x00\x00\x01"
            "a\x01x");
        end();
        start_reading();
        next_is_other(rows[i].type, 3);
        assert_false(item.is_string);
        next_is_other("library of functions", 0);
        next_is_string("a", "x", 0);
        assert_int_equal(rdb_file_next(&file, &item), RDB_FILE_END);
    }
}

static void test_other_opcodes(void **state) {
    (void)state;
    begin(12);
    ADD("\xf4\x01\x02\x03");               /* of a slot */
    ADD("\xf7\x05\x02\x01\x05\x02xy\x00"); /* what a module says besides */
    ADD("\x00\x01"
        "a\x01x");
    end();
    start_reading();
    next_is_string("a", "x", 0);
    assert_int_equal(rdb_file_next(&file, &item), RDB_FILE_END);
}

static void test_the_checksum(void **state) {
    (void)state;
    begin(10);
    ADD("\x00\x01"
        "a\x03xyz");
    end();
    for (size_t i = 9; i + 8 < buf_used(&whole);
         i++) { /* whichever bit is another one: never as if it was not */
        for (int bit = 0; bit < 8; bit++) {
            whole.data[whole.start + i] ^= (char)(1 << bit);
            start_reading();
            ends_badly("");
            whole.data[whole.start + i] ^= (char)(1 << bit);
        }
    }
    memset(whole.data + whole.end - 8, 0, 8); /* rdbchecksum no */
    start_reading();
    next_is_string("a", "xyz", 0);
    assert_int_equal(rdb_file_next(&file, &item), RDB_FILE_END);

    begin(4); /* had none */
    ADD("\x00\x01"
        "a\x03xyz\xff");
    start_reading();
    next_is_string("a", "xyz", 0);
    assert_int_equal(rdb_file_next(&file, &item), RDB_FILE_END);
    ADD("*1\r\n");
    start_reading();
    ends_badly("stands behind its end");
}

/* The first n bytes, at a place of their own: a byte read behind them is seen by a sanitizer. */
static void test_cut_at_every_byte(void **state) {
    (void)state;
    begin(11);
    ADD("\xfa\x03"
        "abc\x03"
        "def\xfe\x00\xfc\x01\x02\x00\x00\x00\x00\x00\x00\x00\x01"
        "a\x05hello\x04\x01h\x01\x01"
        "f\x01v");
    end();
    struct slice all = buf_slice(&whole);
    for (size_t n = 0; n < all.len; n++) {
        char *part = malloc(n + 1);
        memcpy(part, all.ptr, n);
        rdb_file_deinit(&file);
        rdb_file_init(&file, slice_of(part, n));
        ends_badly(n < 9 ? "no RDB file" : "cut off");
        free(part);
    }
}

static void test_what_is_none(void **state) {
    (void)state;
    begin(13);
    end();
    start_reading();
    ends_badly("of RDB version 13, and this kvnode reads 1 to 12");
    begin(0);
    end();
    start_reading();
    ends_badly("of RDB version 0");
    buf_reset(&whole);
    ADD("VALKEY080\xff");
    start_reading();
    ends_badly("VALKEY080");
    buf_reset(&whole);
    ADD("*1\r\n$4\r\nPING\r\n");
    start_reading();
    ends_badly("no RDB file");
    begin(10);
    ADD("\xc8\x01"
        "a\x01x");
    end();
    start_reading();
    ends_badly("a type that is not known is damaged");
}

static int set_up(void **state) {
    (void)state;
    buf_init(&whole, SIZE_MAX);
    buf_reset(&whole);
    rdb_file_init(&file, SLICE(""));
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    rdb_file_deinit(&file);
    buf_deinit(&whole);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_strings_of_every_form),
        cmocka_unit_test(test_a_deadline_is_that_of_the_next_key_alone),
        cmocka_unit_test(test_other_types_are_walked_over),
        cmocka_unit_test(test_other_opcodes),
        cmocka_unit_test(test_the_checksum),
        cmocka_unit_test(test_cut_at_every_byte),
        cmocka_unit_test(test_what_is_none),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
