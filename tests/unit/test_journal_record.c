#include "protocol/crc32c.h"
#include "protocol/journal_record.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define LINES "REPLICATE|user1|Alice|1\nBATCH|2\nDELETE|user1|2\nDELETE|user2|3\n"

struct fixture {
    struct buf out;
    struct journal_chain chain;
};

static void begin(struct fixture *f) {
    buf_init(&f->out, 1 << 20);
    journal_chain_init(&f->chain);
}

static void assert_out(const struct fixture *f, const char *text) {
    struct slice out = buf_slice(&f->out);
    assert_int_equal(out.len, strlen(text));
    assert_memory_equal(out.ptr, text, out.len);
}

/* The checksums are those of another program. */
static void test_byte_for_byte(void **state) {
    (void)state;
    struct fixture f;
    begin(&f);
    journal_append(&f.out, &f.chain, JOURNAL_NO_INDEX, SLICE("END|0|0"));
    journal_append_lines(&f.out, &f.chain, 99, SLICE(LINES));
    journal_append_synced(&f.out, &f.chain, 24);
    journal_append_state(&f.out, &f.chain, SLICE("FLOOR|3\n"));
    assert_out(&f, "f90aeddd - END|0|0\n"
                   "77e091f4 99 REPLICATE|user1|Alice|1\n"
                   "9e3abe0e 100 BATCH|2\n"
                   "52d63761 101 DELETE|user1|2\n"
                   "4b32cd73 102 DELETE|user2|3\n"
                   "ed94c758 - SYNCED|24\n"
                   "7c9d575f - FLOOR|3\n");
    buf_deinit(&f.out);
}

static void test_lines_are_written_as_one_by_one(void **state) {
    (void)state;
    static const uint64_t first[] = {1, 8, 98, 9999999999999999999U, UINT64_MAX - 3};
    for (size_t i = 0; i < sizeof(first) / sizeof(first[0]); i++) {
        struct fixture together, alone;
        begin(&together);
        begin(&alone);
        journal_append_lines(&together.out, &together.chain, first[i], SLICE(LINES));
        struct slice lines = SLICE(LINES);
        for (uint64_t index = first[i]; lines.len > 0; index++) {
            journal_append(&alone.out, &alone.chain, index, slice_take_until(&lines, '\n'));
        }
        assert_true(slice_equals(buf_slice(&together.out), buf_slice(&alone.out)));
        assert_memory_equal(&together.chain, &alone.chain, sizeof(alone.chain));
        buf_deinit(&together.out);
        buf_deinit(&alone.out);
    }
}

static void test_out_of_room_nothing_is_written(void **state) {
    (void)state;
    struct fixture f;
    begin(&f);
    journal_append(&f.out, &f.chain, 1, SLICE("FLOOR|1"));
    struct journal_chain before = f.chain;
    size_t used = buf_used(&f.out);
    const size_t bytes = sizeof(LINES) - 1 + 4 * sizeof("8de9f0cf 2 ") - 4;
    for (f.out.max_bytes = used; f.out.max_bytes < used + bytes; f.out.max_bytes++) {
        journal_append_lines(&f.out, &f.chain, 2, SLICE(LINES));
        assert_true(buf_failed(&f.out));
        assert_int_equal(buf_used(&f.out), used);
        assert_memory_equal(&f.chain, &before, sizeof(before));
        f.out.failed = false;
    }
    buf_deinit(&f.out);
}

static void test_reads_what_it_writes(void **state) {
    (void)state;
    struct fixture f;
    begin(&f);
    journal_append(&f.out, &f.chain, JOURNAL_NO_INDEX, SLICE("END|0|0"));
    journal_append_lines(&f.out, &f.chain, 7, SLICE(LINES));
    journal_append(&f.out, &f.chain, UINT64_MAX, SLICE("a line with blanks "));
    journal_append(&f.out, &f.chain, JOURNAL_NO_INDEX, SLICE(""));
    static const struct {
        uint64_t index;
        const char *line;
    } expected[] = {
        {0, "END|0|0"},         {7, "REPLICATE|user1|Alice|1"},      {8, "BATCH|2"}, {9, "DELETE|user1|2"},
        {10, "DELETE|user2|3"}, {UINT64_MAX, "a line with blanks "}, {0, ""}};
    struct slice in = buf_slice(&f.out);
    struct journal_chain chain;
    journal_chain_init(&chain);
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
        struct journal_record record;
        const char *reason;
        for (size_t n = 0; n < in.len && memchr(in.ptr, '\n', n) == NULL; n++) { /* split at every point */
            struct journal_chain before = chain;
            assert_int_equal(journal_parse(slice_first(in, n), &chain, &record, &reason), JOURNAL_MORE);
            assert_memory_equal(&chain, &before, sizeof(chain));
        }
        assert_int_equal(journal_parse(in, &chain, &record, &reason), JOURNAL_OK);
        assert_int_equal(record.index, expected[i].index);
        assert_true(slice_equals(record.line, slice_from_text(expected[i].line)));
        in = slice_skip(in, record.bytes);
    }
    assert_int_equal(in.len, 0);
    assert_memory_equal(&chain, &f.chain, sizeof(chain));
    buf_deinit(&f.out);
}

/* How many records of in are what was written. */
static size_t count_records(struct slice in) {
    struct journal_chain chain;
    struct journal_record record;
    const char *reason = NULL;
    journal_chain_init(&chain);
    size_t n = 0;
    enum journal_result result;
    while ((result = journal_parse(in, &chain, &record, &reason)) == JOURNAL_OK) {
        in = slice_skip(in, record.bytes);
        n++;
    }
    assert_true(result != JOURNAL_BAD || reason != NULL);
    return n;
}

static void test_every_bit_counts(void **state) {
    (void)state;
    struct fixture f;
    begin(&f);
    journal_append_lines(&f.out, &f.chain, 1, SLICE(LINES));
    struct slice all = buf_slice(&f.out);
    size_t before = 0; /* whole records in front of the byte */
    for (size_t at = 0; at < all.len; at++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            f.out.data[at] = (char)(f.out.data[at] ^ 1 << bit);
            assert_int_equal(count_records(all), before);
            f.out.data[at] = (char)(f.out.data[at] ^ 1 << bit);
        }
        before += all.ptr[at] == '\n';
    }
    assert_int_equal(before, 4);
    buf_deinit(&f.out);
}

static void test_lost_doubled_swapped_and_foreign_records_show(void **state) {
    (void)state;
    struct fixture f;
    begin(&f);
    for (uint64_t i = 0; i < 3; i++) {
        journal_append(&f.out, &f.chain, i + 1, SLICE("FLOOR|7"));
    }
    const size_t bytes = buf_used(&f.out) / 3; /* each of them */
    static const int orders[][4] = {{1, 2, -1, -1}, {0, 2, -1, -1}, {0, 0, 1, 2}, {0, 2, 1, -1}};
    static const size_t good[] = {0, 1, 1, 1};
    for (size_t o = 0; o < 4; o++) {
        struct buf out;
        buf_init(&out, 1000);
        for (size_t i = 0; i < 4 && orders[o][i] >= 0; i++) {
            buf_append(&out, f.out.data + (size_t)orders[o][i] * bytes, bytes);
        }
        assert_int_equal(count_records(buf_slice(&out)), good[o]);
        buf_deinit(&out);
    }
    buf_deinit(&f.out);
}

/* What is well summed up and no record all the same: only a writer that is wrong makes such. */
static void test_bad_records(void **state) {
    (void)state;
    static const char *const bodies[] = {
        "", " ", "x FLOOR|1", "0 FLOOR|1", "01 FLOOR|1", "-1 FLOOR|1", "18446744073709551616 FLOOR|1", "7"};
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        char text[100], crc[9];
        int n = snprintf(text, sizeof(text), "%s\n", bodies[i]);
        snprintf(crc, sizeof(crc), "%08x", crc32c(crc32c(0, "00000000", 8), text, (size_t)n));
        n = snprintf(text, sizeof(text), "%s %s\n", crc, bodies[i]);
        struct journal_chain chain;
        struct journal_record record;
        const char *reason = NULL;
        journal_chain_init(&chain);
        assert_int_equal(journal_parse(slice_of(text, (size_t)n), &chain, &record, &reason), JOURNAL_BAD);
        assert_non_null(reason);
        assert_memory_equal(chain.crc, "00000000", 8);
    }
}

static void test_synced(void **state) {
    (void)state;
    uint64_t offset;
    struct journal_record record = {.line = SLICE("SYNCED|4096")};
    assert_true(journal_read_synced(&record, &offset));
    assert_int_equal(offset, 4096);
    record.index = 3;
    assert_false(journal_read_synced(&record, &offset));
    static const char *const others[] = {"", "SYNCED", "SYNCED|", "SYNCED|x", "SYNCED|1|", "SYNCEDX|1"};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        record = (struct journal_record){.line = slice_from_text(others[i])};
        assert_false(journal_read_synced(&record, &offset));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_byte_for_byte),
        cmocka_unit_test(test_lines_are_written_as_one_by_one),
        cmocka_unit_test(test_out_of_room_nothing_is_written),
        cmocka_unit_test(test_reads_what_it_writes),
        cmocka_unit_test(test_every_bit_counts),
        cmocka_unit_test(test_lost_doubled_swapped_and_foreign_records_show),
        cmocka_unit_test(test_bad_records),
        cmocka_unit_test(test_synced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
