/* Slots against Redis's published examples (Redis Cluster specification) and a CRC computed bit by bit. */
#include "cluster/slot.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* The definition: polynomial division, a bit at a time. */
static uint16_t crc16_by_bits(struct slice bytes) {
    unsigned crc = 0;
    for (size_t i = 0; i < bytes.len; i++) {
        crc ^= (unsigned)(unsigned char)bytes.ptr[i] << 8;
        for (int bit = 0; bit < 8; bit++) {
            crc = (crc & 0x8000 ? crc << 1 ^ 0x1021 : crc << 1) & 0xffff;
        }
    }
    return (uint16_t)crc;
}

static void crc16_of_the_check_string(void **state) {
    (void)state;
    assert_int_equal(slot_crc16(SLICE("123456789")), 0x31C3);
    assert_int_equal(slot_crc16(SLICE("")), 0);
    assert_int_equal(slot_crc16((struct slice){NULL, 0}), 0);
}

static void crc16_agrees_with_the_definition_at_every_length_and_alignment(void **state) {
    (void)state;
    enum { LONGEST = 67, ROUNDS = 40 };
    const char *text = getenv("KVNODE_SEED");
    unsigned seed = text != NULL ? (unsigned)strtoul(text, NULL, 10) : 20261123;
    print_message("seed %u\n", seed);
    char bytes[8 + LONGEST];
    for (int round = 0; round < ROUNDS; round++) {
        for (size_t i = 0; i < sizeof bytes; i++) {
            bytes[i] = (char)rand_r(&seed);
        }
        for (size_t at = 0; at < 8; at++) {
            for (size_t len = 0; len <= LONGEST; len++) {
                struct slice s = slice_of(bytes + at, len);
                assert_int_equal(slot_crc16(s), crc16_by_bits(s));
            }
        }
    }
}

static void keys_have_the_slots_that_redis_publishes(void **state) {
    (void)state;
    assert_int_equal(slot_of_key(SLICE("foo")), 12182);
    assert_int_equal(slot_of_key(SLICE("bar")), 5061);
    assert_int_equal(slot_of_key(SLICE("hello")), 866);
    assert_int_equal(slot_of_key(SLICE("somekey")), 11058);
    assert_int_equal(slot_of_key(SLICE("foo{hash_tag}")), 2515);
    assert_int_equal(slot_of_key(SLICE("bar{hash_tag}")), 2515);
    assert_int_equal(slot_of_key(SLICE("123456789")), 12739);
    assert_int_equal(slot_of_key(SLICE("")), 0);
}

/* What is hashed of each key, in the words of the specification. */
static void hash_tags(void **state) {
    (void)state;
    static const struct {
        struct slice key, hashed;
    } examples[] = {
        {SLICE("{user1000}.following"), SLICE("user1000")},
        {SLICE("{user1000}.followers"), SLICE("user1000")},
        {SLICE("foo{}{bar}"), SLICE("foo{}{bar}")}, /* nothing between the first braces: the whole key */
        {SLICE("foo{{bar}}zap"), SLICE("{bar")},
        {SLICE("foo{bar}{zap}"), SLICE("bar")},
        {SLICE("{}"), SLICE("{}")},
        {SLICE("{}whole{key}"), SLICE("{}whole{key}")},
        {SLICE("{"), SLICE("{")},
        {SLICE("}"), SLICE("}")},
        {SLICE("open{only"), SLICE("open{only")},
        {SLICE("close}only"), SLICE("close}only")},
        {SLICE("}wrong{way"), SLICE("}wrong{way")},
        {SLICE("}a{b}c"), SLICE("b")},
        {SLICE("{a}"), SLICE("a")},
        {SLICE("{\0}x"), SLICE("\0")},
        {SLICE("x{ }"), SLICE(" ")},
    };
    for (size_t i = 0; i < sizeof examples / sizeof examples[0]; i++) {
        assert_int_equal(slot_of_key(examples[i].key), crc16_by_bits(examples[i].hashed) % SLOT_COUNT);
    }
    assert_int_equal(slot_of_key(SLICE("{user1000}.following")), slot_of_key(SLICE("{user1000}.followers")));
    assert_int_not_equal(slot_of_key(SLICE("foo{}{bar}")), slot_of_key(SLICE("bar")));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crc16_of_the_check_string),
        cmocka_unit_test(crc16_agrees_with_the_definition_at_every_length_and_alignment),
        cmocka_unit_test(keys_have_the_slots_that_redis_publishes),
        cmocka_unit_test(hash_tags),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
