/* Where lines are: marks of few records, segments one behind the other. */
#include "server/journal/line_map.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

enum { RECORD = 1000 };

static struct journal_line_map map;

static int setup(void **state) {
    (void)state;
    map = (struct journal_line_map){0};
    return 0;
}

/* The crc text of the record of a line: its index. */
static struct journal_chain chain_of(uint64_t index) {
    struct journal_chain chain;
    char text[JOURNAL_CRC_DIGITS + 1];
    snprintf(text, sizeof(text), "%08llu", (unsigned long long)(index % 100000000));
    memcpy(chain.crc, text, sizeof(chain.crc));
    return chain;
}

/* Lines of the newest segment, each a record of 1000 bytes, behind so much of something else. */
static uint64_t write_lines(uint64_t first, uint64_t last, uint64_t offset) {
    for (uint64_t index = first; index <= last; index++) {
        struct journal_chain chain = chain_of(index);
        offset += RECORD;
        journal_line_map_note(&map, RECORD, index, offset, &chain);
    }
    return offset;
}

static void is_found(uint64_t index, uint64_t written, uint64_t number, uint64_t most_before) {
    struct journal_place place;
    uint64_t bytes;
    assert_true(journal_line_map_find(&map, index, written, &place, &bytes));
    assert_int_equal(place.number, number);
    assert_true(place.mark.index <= index);
    assert_true(index - place.mark.index <= most_before);
    assert_true(place.mark.offset <= written);
    struct journal_chain chain = chain_of(place.mark.index);
    assert_true(place.mark.offset == 0 || memcmp(&place.mark.chain, &chain, sizeof(chain)) == 0);
}

static void test_nothing_is_found_in_nothing(void **state) {
    (void)state;
    struct journal_place place;
    uint64_t bytes;
    struct journal_chain chain = chain_of(1);
    journal_line_map_note(&map, 10, 1, 10, &chain);
    assert_int_equal(map.count, 0);
    assert_false(journal_line_map_find(&map, 5, 1000, &place, &bytes));
    assert_false(journal_line_map_next(&map, 0, &place));
    journal_line_map_begin(&map, 1, 6, 0);
    assert_false(journal_line_map_find(&map, 5, 1000, &place, &bytes)); /* before it */
    assert_true(journal_line_map_find(&map, 6, 1000, &place, &bytes));
    assert_int_equal(place.mark.offset + bytes, 0);
    assert_memory_equal(place.mark.chain.crc, "00000000", JOURNAL_CRC_DIGITS);
}

static void test_marks_are_near_and_few_however_long_a_segment_is(void **state) {
    (void)state;
    uint64_t offset = 0;
    journal_line_map_begin(&map, 3, 0, 0);
    for (uint64_t last = 10; last < 3000000; last *= 3) {
        offset = write_lines(map.segments[0].line_bytes / RECORD + 1, last, offset);
        assert_in_range(map.segments[0].count, 1, JOURNAL_MAP_MARKS);
        uint64_t stride = map.segments[0].stride_bytes / RECORD + 1;
        assert_true(stride <= 300 || stride <= last / (JOURNAL_MAP_MARKS / 4));
        for (uint64_t part = 0; part <= 20; part++) {
            is_found(last * part / 20, offset, 3, stride);
        }
    }
}

static void test_what_is_not_written_yet_is_begun_before(void **state) {
    (void)state;
    journal_line_map_begin(&map, 1, 0, 0);
    uint64_t offset = write_lines(1, 1000, 0);
    is_found(1000, offset, 1, 300);
    is_found(1000, 400 * RECORD, 1, 1000);
    is_found(1000, 0, 1, 1000);
}

static void test_only_lines_count_for_what_there_is_to_send(void **state) {
    (void)state;
    struct journal_place place;
    uint64_t bytes;
    journal_line_map_begin(&map, 1, 100, 0);
    write_lines(101, 200, 5000000); /* behind a state of 5 MB */
    journal_line_map_begin(&map, 2, 200, 5100000);
    uint64_t offset = write_lines(201, 250, 7000000);
    assert_true(journal_line_map_find(&map, 200, offset, &place, &bytes));
    assert_int_equal(place.number, 2);
    assert_int_equal(bytes, 50 * RECORD);
    assert_true(journal_line_map_find(&map, 199, offset, &place, &bytes));
    assert_int_equal(place.number, 1);
    assert_true(bytes >= 51 * RECORD && bytes <= 150 * RECORD);
    assert_true(journal_line_map_find(&map, 100, offset, &place, &bytes));
    assert_int_equal(bytes, 150 * RECORD);
    assert_int_equal(journal_line_map_segment(&map, 1)->end_bytes, 5100000);
}

static void test_segments_follow_each_other_and_go(void **state) {
    (void)state;
    struct journal_place place;
    uint64_t bytes;
    for (uint64_t number = 1; number <= 6; number++) {
        journal_line_map_begin(&map, number, number * 10, 100 + number);
        assert_true(journal_line_map_is_newest(&map, number));
    }
    assert_int_equal(map.count, JOURNAL_MAP_SEGMENTS); /* of 1 and 2 nothing is known any more */
    assert_false(journal_line_map_find(&map, 29, 0, &place, &bytes));
    assert_true(journal_line_map_find(&map, 30, 0, &place, &bytes));
    assert_int_equal(place.number, 3);
    assert_int_equal(journal_line_map_segment(&map, 4)->end_bytes, 105); /* as 5 was begun */
    assert_true(journal_line_map_next(&map, 3, &place));
    assert_int_equal(place.number, 4);
    assert_int_equal(place.mark.index, 40);
    journal_line_map_drop_below(&map, 6);
    assert_null(journal_line_map_segment(&map, 5));
    assert_true(journal_line_map_next(&map, 3, &place));
    assert_int_equal(place.number, 6);
    assert_false(journal_line_map_next(&map, 6, &place));
    journal_line_map_drop_below(&map, 7);
    assert_int_equal(map.count, 0);
    assert_false(journal_line_map_is_newest(&map, 6));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_nothing_is_found_in_nothing, setup),
        cmocka_unit_test_setup(test_marks_are_near_and_few_however_long_a_segment_is, setup),
        cmocka_unit_test_setup(test_what_is_not_written_yet_is_begun_before, setup),
        cmocka_unit_test_setup(test_only_lines_count_for_what_there_is_to_send, setup),
        cmocka_unit_test_setup(test_segments_follow_each_other_and_go, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
