#include "protocol/hyperloglog.h"
#include "random.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const char empty_sparse[] = "HYLL\x01\0\0\0\0\0\0\0\0\0\0\x80\x7f\xff";

static struct slice write_hll(const struct hyperloglog *hll, size_t sparse_max_bytes, char *bytes) {
    return slice_of(bytes, hyperloglog_write(hll, sparse_max_bytes, bytes));
}

static void assert_same(const struct hyperloglog *a, const struct hyperloglog *b) {
    assert_memory_equal(a->registers, b->registers, sizeof(a->registers));
    assert_int_equal(a->dense, b->dense);
}

static void add_numbers(struct hyperloglog *hll, uint64_t from, uint64_t to) {
    for (uint64_t i = from; i < to; i++) {
        hyperloglog_add(hll, slice_of(&i, sizeof(i)));
    }
}

static void test_of_no_element(void **state) {
    (void)state;
    static struct hyperloglog hll;
    char bytes[HYPERLOGLOG_MAX_BYTES];
    hyperloglog_init(&hll);
    assert_int_equal(hyperloglog_count(&hll), 0);
    struct slice written = write_hll(&hll, 3000, bytes);
    assert_true(slice_equals(written, slice_of(empty_sparse, sizeof(empty_sparse) - 1)));
}

/* PFADD h a b c; GET h on Redis 7.0 */
static void test_as_redis_writes_it(void **state) {
    (void)state;
    static const char made_by_redis[] = "HYLL\x01\0\0\0\0\0\0\0\0\0\0\x80`\xf3\x80P\xb1\x84K\xfb\x80"
                                        "BZ";
    static struct hyperloglog hll;
    char bytes[HYPERLOGLOG_MAX_BYTES];
    hyperloglog_init(&hll);
    assert_true(hyperloglog_add(&hll, SLICE("a")));
    assert_true(hyperloglog_add(&hll, SLICE("b")));
    assert_true(hyperloglog_add(&hll, SLICE("c")));
    assert_false(hyperloglog_add(&hll, SLICE("a")));
    assert_int_equal(hyperloglog_count(&hll), 3);
    struct slice written = write_hll(&hll, 3000, bytes);
    assert_int_equal(written.len, sizeof(made_by_redis) - 1);
    assert_memory_equal(written.ptr, made_by_redis, written.len);
}

static void test_reads_what_it_has_written(void **state) {
    (void)state;
    static struct hyperloglog hll, again;
    char bytes[HYPERLOGLOG_MAX_BYTES];
    uint64_t added = 0;
    hyperloglog_init(&hll);
    for (uint64_t size = 1; size < 100000; size *= 3) {
        add_numbers(&hll, added, size);
        added = size;
        struct slice written = write_hll(&hll, 3000, bytes);
        assert_true(written.len <= HYPERLOGLOG_HEADER_BYTES + 3000 || written.len == HYPERLOGLOG_MAX_BYTES);
        assert_int_equal(hyperloglog_read(written, &again), HYPERLOGLOG_OK);
        assert_int_equal(again.dense, written.len == HYPERLOGLOG_MAX_BYTES);
        assert_memory_equal(again.registers, hll.registers, sizeof(hll.registers));
        uint64_t count = hyperloglog_count(&again);
        uint64_t error = count > size ? count - size : size - count;
        assert_true(error * 100 <= size * 3);
    }
    assert_true(again.dense);
}

static void test_the_sparse_limit_is_kept_to_the_byte(void **state) {
    (void)state;
    static struct hyperloglog hll;
    char bytes[HYPERLOGLOG_MAX_BYTES];
    hyperloglog_init(&hll);
    add_numbers(&hll, 0, 500);
    size_t body = write_hll(&hll, SIZE_MAX, bytes).len - HYPERLOGLOG_HEADER_BYTES;
    assert_true(body < 3000);
    assert_int_equal(write_hll(&hll, body, bytes).len, HYPERLOGLOG_HEADER_BYTES + body);
    assert_int_equal(write_hll(&hll, body - 1, bytes).len, HYPERLOGLOG_MAX_BYTES);
    assert_int_equal(write_hll(&hll, 0, bytes).len, HYPERLOGLOG_MAX_BYTES);
}

/* Any register values: what sparse has no form for is written dense. */
static void test_random_registers_round_trip(void **state) {
    (void)state;
    static struct hyperloglog hll, again;
    char bytes[HYPERLOGLOG_MAX_BYTES];
    struct random random = random_start("test_random_registers_round_trip");
    for (int round = 0; round < 200; round++) {
        hyperloglog_init(&hll);
        hll.dense = random_below(&random, 2) == 0;
        size_t most = 1 + random_below(&random, 63), touched = random_below(&random, 4000);
        for (size_t i = 0; i < touched; i++) {
            hll.registers[random_below(&random, HYPERLOGLOG_REGISTERS)] =
                (uint8_t)random_below(&random, most + 1);
        }
        struct slice written = write_hll(&hll, 3000, bytes);
        assert_int_equal(hyperloglog_read(written, &again), HYPERLOGLOG_OK);
        hll.dense = again.dense;
        assert_same(&again, &hll);
    }
}

static void test_merged_it_is_of_the_union(void **state) {
    (void)state;
    static struct hyperloglog a, b, all;
    hyperloglog_init(&a);
    hyperloglog_init(&b);
    hyperloglog_init(&all);
    add_numbers(&a, 0, 3000);
    add_numbers(&b, 2000, 5000);
    add_numbers(&all, 0, 5000);
    hyperloglog_merge(&a, &b);
    assert_same(&a, &all);
    b.dense = true;
    hyperloglog_merge(&a, &b);
    assert_true(a.dense);
}

static void test_what_is_none(void **state) {
    (void)state;
    static struct hyperloglog hll;
    char bytes[HYPERLOGLOG_MAX_BYTES + 1] = {0};
    struct slice good = slice_of(empty_sparse, sizeof(empty_sparse) - 1);
    for (size_t n = 0; n < good.len; n++) {
        enum hyperloglog_result expected =
            n < HYPERLOGLOG_HEADER_BYTES ? HYPERLOGLOG_NOT_ONE : HYPERLOGLOG_CORRUPT;
        assert_int_equal(hyperloglog_read(slice_first(good, n), &hll), expected);
    }
    for (size_t i = 0; i < 5; i++) { /* the magic word and the encoding */
        memcpy(bytes, good.ptr, good.len);
        bytes[i] ^= 0x40;
        assert_int_equal(hyperloglog_read(slice_of(bytes, good.len), &hll), HYPERLOGLOG_NOT_ONE);
    }
    static const struct slice bodies[] = {
        {"\x7f\xfe", 2}, {"\x7f\xff\x00", 3}, {"\x7f", 1}, {"\x7f\xfe\x81", 3}};
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        memcpy(bytes, good.ptr, HYPERLOGLOG_HEADER_BYTES);
        memcpy(bytes + HYPERLOGLOG_HEADER_BYTES, bodies[i].ptr, bodies[i].len);
        assert_int_equal(hyperloglog_read(slice_of(bytes, HYPERLOGLOG_HEADER_BYTES + bodies[i].len), &hll),
                         HYPERLOGLOG_CORRUPT);
    }
    memset(bytes, 0, sizeof(bytes));
    memcpy(bytes, "HYLL", 4);
    assert_int_equal(hyperloglog_read(slice_of(bytes, HYPERLOGLOG_MAX_BYTES), &hll), HYPERLOGLOG_OK);
    assert_int_equal(hyperloglog_read(slice_of(bytes, HYPERLOGLOG_MAX_BYTES - 1), &hll), HYPERLOGLOG_NOT_ONE);
    assert_int_equal(hyperloglog_read(slice_of(bytes, HYPERLOGLOG_MAX_BYTES + 1), &hll), HYPERLOGLOG_NOT_ONE);
}

/* Registers that no element makes: a count all the same. */
static void test_a_forged_one_is_counted(void **state) {
    (void)state;
    static struct hyperloglog hll;
    memset(hll.registers, 63, sizeof(hll.registers));
    assert_int_equal(hyperloglog_count(&hll), INT64_MAX);
    memset(hll.registers, 51, sizeof(hll.registers));
    assert_true(hyperloglog_count(&hll) > 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_of_no_element),
        cmocka_unit_test(test_as_redis_writes_it),
        cmocka_unit_test(test_reads_what_it_has_written),
        cmocka_unit_test(test_the_sparse_limit_is_kept_to_the_byte),
        cmocka_unit_test(test_random_registers_round_trip),
        cmocka_unit_test(test_merged_it_is_of_the_union),
        cmocka_unit_test(test_what_is_none),
        cmocka_unit_test(test_a_forged_one_is_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
