#include "cluster/history.h"

#include "tests/unit/random.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define ID UINT64_C(0x0192f0c4a1b20000)

static struct history *kept(size_t limit_bytes) {
    struct history *history = history_create(ID, limit_bytes);
    assert_non_null(history);
    history_keep(history);
    return history;
}

/* All that follows; false: LOST. */
static bool read_all(const struct history *history, struct history_reader *reader, struct buf *out) {
    struct slice next;
    uint64_t last_index;
    while (history_read(history, reader, &next, &last_index)) {
        if (next.len == 0) {
            return true;
        }
        buf_append_slice(out, next);
        history_advance(history, reader, next.len);
        assert_int_equal(reader->index, last_index);
    }
    return false;
}

static bool is_lost(const struct history *history, struct history_reader *reader) {
    struct slice next;
    uint64_t last_index;
    return !history_read(history, reader, &next, &last_index);
}

static bool can_read_from(struct history *history, uint64_t index) {
    struct history_reader reader = {0};
    bool can = history_open(history, &reader, index);
    history_close(history, &reader);
    return can;
}

static void assert_reads(struct history *history, uint64_t behind_index, const char *expected) {
    struct history_reader reader = {0};
    struct buf text;
    buf_init(&text, SIZE_MAX);
    assert_true(history_open(history, &reader, behind_index));
    assert_true(read_all(history, &reader, &text));
    assert_true(history_at_end(history, &reader));
    history_close(history, &reader);
    buf_append_byte(&text, '\0');
    assert_string_equal(buf_slice(&text).ptr, expected);
    buf_deinit(&text);
}

static void test_every_ordinary_write_is_what_the_specification_shows(void **state) {
    (void)state;
    struct history *history = kept(1 << 20);
    history_replicate(history, SLICE("user1"), SLICE("Alice"), 1, 1000, 0);
    history_replicate(history, SLICE("user2"), SLICE("a|b"), 1, 1000, 0);
    history_replicate(history, SLICE("user1"), SLICE("Bob"), 2, 1001, 0);
    history_delete(history, SLICE("user1"), 3);
    assert_reads(history, 0,
                 "CLOCK|1000\nREPLICATE|user1|Alice|1\nREPLICATE|user2|a|b|1\n"
                 "CLOCK|1001\nREPLICATE|user1|Bob|2\nDELETE|user1|3\n");
    assert_int_equal(history_index(history), 6);
    assert_int_equal(history_first_index(history), 1);
    history_destroy(&history);
    assert_null(history);
}

static void test_what_the_plain_form_cannot_say_is_escaped_and_needs_no_clock(void **state) {
    (void)state;
    struct history *history = kept(1 << 20);
    history_replicate(history, SLICE("k|1"), SLICE("v"), 1, 1000, 0);
    history_replicate(history, SLICE("k"), SLICE("a\nb"), 1, 1000, 0);
    history_replicate(history, SLICE("k"), SLICE("v"), 2, 1000, 2000);
    history_patch(history, SLICE("k"), 5, SLICE("\0x"), 3, 900);
    history_delete(history, SLICE("k|1"), 2);
    history_expire(history, SLICE("k"), 0);
    history_flush(history, 9);
    assert_reads(history, 0,
                 "REPLICATEX|k%7C1|v|1|1000|0\nREPLICATEX|k|a%0Ab|1|1000|0\nREPLICATEX|k|v|2|1000|2000\n"
                 "PATCHX|k|5|~x|3|900\nDELETEX|k%7C1|2\nEXPIREX|k|0\nFLUSH|9\n");
    history_destroy(&history);
}

static void test_the_clock_never_goes_back(void **state) {
    (void)state;
    struct history *history = kept(1 << 20);
    history_replicate(history, SLICE("k"), SLICE("v"), 1, 1000, 0);
    history_replicate(history, SLICE("k"), SLICE("v"), 2, 999, 0);
    history_replicate(history, SLICE("k"), SLICE("v"), 3, 1000, 0);
    assert_reads(history, 0, "CLOCK|1000\nREPLICATE|k|v|1\nREPLICATEX|k|v|2|999|0\nREPLICATE|k|v|3\n");
    history_destroy(&history);
}

static void test_lines_of_somebody_else_are_kept_as_they_are(void **state) {
    (void)state;
    struct history *history = history_create(0, 1 << 20);
    struct history_reader reader = {0};
    history_skip(history, 2);
    history_restart(history, ID, 40, NULL);
    assert_int_equal(history_id(history), ID);
    assert_int_equal(history_index(history), 40);
    assert_int_equal(history_first_index(history), 41);
    history_append_lines(history, SLICE("CLOCK|1000\nREPLICATE|k|v|1\r\nFUTURE|x\n"), 3);
    history_append_lines(history, SLICE("BATCH|1\nDELETE|k|2\n"), 2);
    assert_int_equal(history_index(history), 45);
    assert_reads(history, 40, "CLOCK|1000\nREPLICATE|k|v|1\r\nFUTURE|x\nBATCH|1\nDELETE|k|2\n");
    assert_reads(history, 42, "FUTURE|x\nBATCH|1\nDELETE|k|2\n");
    history_replicate(history, SLICE("k"), SLICE("v"), 3, 1000, 0); /* this node has taken over */
    assert_reads(history, 45, "CLOCK|1000\nREPLICATE|k|v|3\n");
    history_append_lines(history, SLICE("CLOCK|1\n"), 1);
    history_replicate(history, SLICE("k"), SLICE("v"), 4, 1000, 0);
    assert_reads(history, 47, "CLOCK|1\nCLOCK|1000\nREPLICATE|k|v|4\n");
    assert_true(history_open(history, &reader, 50));
    history_skip(history, 3);
    assert_true(is_lost(history, &reader));
    assert_int_equal(history_index(history), 53);
    assert_int_equal(history_first_index(history), 54);
    history_close(history, &reader);
    history_destroy(&history);
}

/* 0 is how the history says that its clock was not said: a plain line would get the reader's old clock. */
static void test_the_time_0_is_said_in_the_line(void **state) {
    (void)state;
    struct history *history = kept(1 << 20);
    history_replicate(history, SLICE("k"), SLICE("v"), 1, 0, 0);
    history_batch_begin(history);
    history_replicate(history, SLICE("k"), SLICE("v"), 2, 0, 0);
    history_batch_end(history);
    assert_reads(history, 0, "REPLICATEX|k|v|1|0|0\nBATCH|1\nREPLICATEX|k|v|2|0|0\n");
    history_destroy(&history);
}

static void test_a_forgotten_clock_is_said_again(void **state) {
    (void)state;
    struct history *history = kept(1 << 20);
    history_replicate(history, SLICE("k"), SLICE("v"), 1, 1000, 0);
    history_forget_clock(history);
    history_delete(history, SLICE("k"), 2);
    history_replicate(history, SLICE("k"), SLICE("v"), 3, 1000, 0);
    assert_reads(history, 2, "DELETE|k|2\nCLOCK|1000\nREPLICATE|k|v|3\n");
    history_destroy(&history);
}

static void test_a_batch_is_counted_with_its_head_and_has_the_clock_before_it(void **state) {
    (void)state;
    struct history *history = kept(1 << 20);
    history_batch_begin(history);
    history_batch_end(history); /* empty: nothing */
    assert_int_equal(history_index(history), 0);
    history_batch_begin(history);
    history_replicate(history, SLICE("a"), SLICE("1"), 1, 1000, 0);
    history_replicate(history, SLICE("b"), SLICE("2"), 1, 1001, 0); /* another time: said by the line itself */
    history_delete(history, SLICE("c"), 2);
    history_expire(history, SLICE("d"), 5000);
    history_flush(history, 3);
    history_batch_end(history);
    history_replicate(history, SLICE("a"), SLICE("2"), 4, 1000, 0);
    assert_reads(history, 0,
                 "CLOCK|1000\nBATCH|5\nREPLICATE|a|1|1\nREPLICATEX|b|2|1|1001|0\nDELETE|c|2\n"
                 "EXPIREX|d|5000\nFLUSH|3\nREPLICATE|a|2|4\n");
    assert_int_equal(history_index(history), 8);
    history_destroy(&history);
}

/* No reader takes it, and line_batch() may not write it: so nobody is sent it. */
static void test_a_batch_of_too_many_lines_sends_every_reader_to_a_full_sync(void **state) {
    (void)state;
    struct history *history = kept(1 << 20);
    struct history_reader reader = {0};
    history_delete(history, SLICE("k"), 1);
    assert_true(history_open(history, &reader, 1));
    history_batch_begin(history);
    for (size_t i = 0; i <= LIMIT_BATCH_LINES; i++) {
        history_expire(history, SLICE("k"), 0);
    }
    history_batch_end(history);
    assert_int_equal(history_index(history), 1 + 1 + LIMIT_BATCH_LINES + 1);
    assert_true(is_lost(history, &reader));
    history_delete(history, SLICE("k"), 2); /* and goes on */
    assert_reads(history, history_index(history) - 1, "DELETE|k|2\n");
    history_destroy(&history);
}

static void test_while_nobody_reads_lines_only_count(void **state) {
    (void)state;
    struct history *history = history_create(ID, 1 << 20);
    for (unsigned i = 0; i < 1000; i++) {
        history_replicate(history, SLICE("k"), SLICE("v"), i + 1, 1000 + i, 0);
    }
    history_batch_begin(history);
    history_delete(history, SLICE("k"), 1001);
    history_batch_end(history);
    assert_int_equal(history_index(history), 1002);
    assert_int_equal(history_backlog_bytes(history), 0);
    assert_int_equal(history_first_index(history), 1003);
    history_keep(history);
    assert_false(can_read_from(history, 1001));
    assert_reads(history, 1002, "");
    history_delete(history, SLICE("k"), 1);
    assert_reads(history, 1002, "DELETE|k|1\n");
    assert_false(can_read_from(history, 1001)); /* the past was not kept */
    assert_false(can_read_from(history, 1004)); /* nor the future */
    history_destroy(&history);
}

static void test_a_new_beginning_loses_every_reader_even_one_at_the_end(void **state) {
    (void)state;
    struct history *history = kept(1 << 20);
    struct history_reader before_all = {0}, at_end = {0};
    assert_true(history_open(history, &before_all, 0));
    history_replicate(history, SLICE("k"), SLICE("v"), 1, 1000, 0);
    assert_true(history_open(history, &at_end, 2));
    assert_true(history_at_end(history, &at_end));
    history_restart(history, ID + 1, 0, NULL);
    assert_int_equal(history_id(history), ID + 1);
    assert_int_equal(history_index(history), 0);
    assert_int_equal(history_backlog_bytes(history), 0);
    assert_true(is_lost(history, &before_all));
    assert_true(is_lost(history, &at_end));
    history_replicate(history, SLICE("k"), SLICE("v"), 2, 1000, 0);
    assert_reads(history, 0, "CLOCK|1000\nREPLICATE|k|v|2\n");
    assert_true(is_lost(history, &at_end));
    history_destroy(&history);
}

static void test_a_line_longer_than_the_limit_is_kept_until_the_next(void **state) {
    (void)state;
    static char value[100000];
    memset(value, 'x', sizeof(value));
    struct history *history = kept(8192);
    history_delete(history, SLICE("k"), 1);
    history_replicate(history, SLICE("k"), slice_of(value, sizeof(value)), 2, 1000, 0);
    assert_true(can_read_from(history, 1));
    assert_true(history_backlog_bytes(history) > sizeof(value));
    for (uint64_t i = 0; i < 400; i++) {
        history_delete(history, SLICE("k"), i);
    }
    assert_false(can_read_from(history, 2));
    assert_true(history_backlog_bytes(history) <= 8192);
    history_destroy(&history);
}

static void delete_lines(struct history *history, size_t bytes) {
    for (size_t n = 0; n < bytes; n += strlen("DELETE|k|1\n")) {
        history_delete(history, SLICE("k"), 1);
    }
}

/* The oldest chunk stays as long as it is read and what follows is within the limit. */
static void test_a_reader_in_step_survives_any_line(void **state) {
    (void)state;
    static char value[100000];
    memset(value, 'x', sizeof(value));
    struct history *history = kept(64 << 10);
    struct history_reader reader = {0};
    struct buf text;
    buf_init(&text, SIZE_MAX);
    delete_lines(history, 4096 + 100);
    assert_true(history_open(history, &reader, history_index(history)));
    history_replicate(history, SLICE("k"), slice_of(value, sizeof(value)), 2, 1000, 0);
    delete_lines(history, 60 << 10);
    history_replicate(history, SLICE("k"), SLICE("last"), 3, 1000, 0);
    assert_true(history_backlog_bytes(history) > sizeof(value) + (60 << 10));
    assert_true(read_all(history, &reader, &text));
    assert_true(buf_used(&text) > sizeof(value) + (60 << 10));
    history_delete(history, SLICE("k"), 4); /* nobody reads the long line any more */
    assert_true(history_backlog_bytes(history) <= 64 << 10);
    assert_true(read_all(history, &reader, &text));
    history_close(history, &reader);
    buf_deinit(&text);
    history_destroy(&history);
}

static void test_a_reader_that_takes_nothing_is_lost_within_the_limit_and_a_chunk(void **state) {
    (void)state;
    static char value[100000];
    struct history *history = kept(64 << 10);
    struct history_reader reader = {0};
    memset(value, 'x', sizeof(value));
    assert_true(history_open(history, &reader, 0));
    history_replicate(history, SLICE("k"), slice_of(value, sizeof(value)), 2, 1000, 0);
    size_t of_long_line = history_backlog_bytes(history);
    for (size_t i = 0; i < 100000 && !is_lost(history, &reader); i++) {
        history_delete(history, SLICE("k"), 1);
        assert_true(history_backlog_bytes(history) <= of_long_line + (64 << 10));
    }
    assert_true(is_lost(history, &reader));
    assert_true(history_backlog_bytes(history) <= 64 << 10);
    history_close(history, &reader);
    history_destroy(&history);
}

static void test_what_a_pinned_reader_has_not_read_stays(void **state) {
    (void)state;
    struct history *history = kept(64 << 10);
    struct history_reader pinned = {.pinned = true}, other = {0};
    struct buf text;
    buf_init(&text, SIZE_MAX);
    assert_true(history_open(history, &pinned, 0));
    assert_true(history_open(history, &other, 0));
    delete_lines(history, 1 << 20);
    assert_true(history_backlog_bytes(history) >= 1 << 20);
    assert_int_equal(history_first_index(history), 1);
    assert_true(read_all(history, &pinned, &text));
    assert_true(buf_used(&text) >= 1 << 20);
    history_delete(history, SLICE("k"), 2); /* what was kept for it goes, and nobody else holds it */
    assert_true(history_backlog_bytes(history) <= 64 << 10);
    assert_true(is_lost(history, &other));
    history_close(history, &pinned);
    history_close(history, &other);
    delete_lines(history, 1 << 20); /* closed, it holds nothing */
    assert_true(history_backlog_bytes(history) <= 64 << 10);
    buf_deinit(&text);
    history_destroy(&history);
}

/* An escaped line may be three times as long as its key and value. */
static void test_escaped_lines_do_not_outgrow_the_limit(void **state) {
    (void)state;
    char value[1000];
    memset(value, '\n', sizeof(value));
    struct history *history = kept(1 << 20);
    for (uint64_t i = 0; i < 3000; i++) {
        history_replicate(history, SLICE("k"), slice_of(value, sizeof(value)), i + 1, 1000, 0);
        assert_true(history_backlog_bytes(history) <= 1 << 20);
    }
    assert_true(history_backlog_bytes(history) > 900 << 10);
    history_destroy(&history);
}

static void test_ids_sort_by_age(void **state) {
    (void)state;
    assert_true(history_make_id(1000, 0xFFFF) < history_make_id(1001, 0));
    assert_int_equal(history_make_id(0x0192f0c4a1b2, 0xc3d4), UINT64_C(0x0192f0c4a1b2c3d4));
}

/* Against a history that keeps all: the same bytes at every place that can be sought, readers that read bits
 * now and then see what was written or are LOST, and the limit holds. */
struct reader {
    struct history_reader of;
    size_t at; /* in the text of all */
    bool lost;
};

enum { LINES = 3000, READERS = 4, LIMIT = 20000, LONGEST_CHUNK = 16000 };

static void write_something(struct random *random, struct history *history, struct history *all, int64_t now) {
    char bytes[800]; /* five of them escaped, a batch, are less than LIMIT */
    size_t n = random_below(random, random_below(random, 50) == 0 ? sizeof(bytes) : 60);
    random_bytes_of(random, bytes, n, "abc|\n%", 6);
    struct slice value = slice_of(bytes, n);
    size_t batch = random_below(random, 10) == 0 ? 1 + random_below(random, 5) : 0;
    struct history *both[] = {history, all};
    uint64_t what = random_u64(random);
    for (size_t h = 0; h < 2; h++) {
        if (batch > 0) {
            history_batch_begin(both[h]);
        }
        for (size_t i = 0; i < (batch > 0 ? batch : 1); i++) {
            switch ((what + i) % 5) {
            case 0:
                history_delete(both[h], SLICE("gone"), what);
                break;
            case 1:
                history_expire(both[h], SLICE("k"), now + 1000);
                break;
            default:
                history_replicate(both[h], SLICE("k"), value, what, now - (what % 7 == 0), 0);
            }
        }
        if (batch > 0) {
            history_batch_end(both[h]);
        }
    }
}

static uint64_t lines_in(struct slice text) {
    uint64_t lines = 0;
    for (size_t i = 0; i < text.len; i++) {
        lines += text.ptr[i] == '\n';
    }
    return lines;
}

static void read_a_bit(struct random *random, const struct history *history, struct reader *reader,
                       struct slice text) {
    struct slice run;
    uint64_t last_index;
    if (!history_read(history, &reader->of, &run, &last_index)) {
        reader->lost = true;
        return;
    }
    struct slice next = slice_first(run, random_below(random, 300));
    if (next.len == run.len) {
        assert_int_equal(last_index, lines_in(slice_first(text, reader->at + next.len)));
    }
    assert_true(reader->at + next.len <= text.len);
    if (next.len > 0) {
        assert_memory_equal(next.ptr, text.ptr + reader->at, next.len);
    }
    history_advance(history, &reader->of, next.len);
    reader->at += next.len;
    assert_true(reader->of.index <= last_index);
    assert_true(next.len < run.len || reader->of.index == last_index);
}

static size_t start_of_line(struct slice text, uint64_t index) {
    size_t at = 0;
    for (; index > 0; index--) {
        at = (size_t)((const char *)memchr(text.ptr + at, '\n', text.len - at) - text.ptr) + 1;
    }
    return at;
}

static void test_bounded_and_unbounded_history_say_the_same(void **state) {
    (void)state;
    struct random random = random_start("history");
    struct history *history = kept(LIMIT), *all = kept(SIZE_MAX / 4);
    struct reader readers[READERS] = {0};
    struct history_reader all_reader = {0};
    struct buf text;
    size_t times_lost = 0, times_sought = 0;
    buf_init(&text, SIZE_MAX);
    assert_true(history_open(all, &all_reader, 0));
    for (size_t i = 0; i < READERS; i++) {
        assert_true(history_open(history, &readers[i].of, 0));
    }
    for (int64_t line = 0; line < LINES; line++) {
        write_something(&random, history, all, 1000000 + line / 3);
        assert_true(read_all(all, &all_reader, &text));
        assert_int_equal(history_index(history), history_index(all));
        assert_true(history_backlog_bytes(history) <= LIMIT + LONGEST_CHUNK);
        struct reader *reader = &readers[random_below(&random, READERS)];
        read_a_bit(&random, history, reader, buf_slice(&text));
        if (reader->lost || random_below(&random, 50) == 0) {
            times_lost += reader->lost;
            uint64_t first = history_first_index(history), last = history_index(history);
            assert_true(first == 1 || !can_read_from(history, first - 2));
            uint64_t index = first - 1 + random_below(&random, last - first + 2);
            assert_true(history_open(history, &reader->of, index));
            reader->lost = false;
            reader->at = start_of_line(buf_slice(&text), index);
            times_sought++;
        }
    }
    assert_true(times_lost > 0 && times_sought > times_lost);
    buf_deinit(&text);
    history_destroy(&history);
    history_destroy(&all);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_ordinary_write_is_what_the_specification_shows),
        cmocka_unit_test(test_what_the_plain_form_cannot_say_is_escaped_and_needs_no_clock),
        cmocka_unit_test(test_the_clock_never_goes_back),
        cmocka_unit_test(test_the_time_0_is_said_in_the_line),
        cmocka_unit_test(test_a_forgotten_clock_is_said_again),
        cmocka_unit_test(test_a_batch_is_counted_with_its_head_and_has_the_clock_before_it),
        cmocka_unit_test(test_a_batch_of_too_many_lines_sends_every_reader_to_a_full_sync),
        cmocka_unit_test(test_while_nobody_reads_lines_only_count),
        cmocka_unit_test(test_a_new_beginning_loses_every_reader_even_one_at_the_end),
        cmocka_unit_test(test_a_line_longer_than_the_limit_is_kept_until_the_next),
        cmocka_unit_test(test_a_reader_in_step_survives_any_line),
        cmocka_unit_test(test_a_reader_that_takes_nothing_is_lost_within_the_limit_and_a_chunk),
        cmocka_unit_test(test_what_a_pinned_reader_has_not_read_stays),
        cmocka_unit_test(test_escaped_lines_do_not_outgrow_the_limit),
        cmocka_unit_test(test_lines_of_somebody_else_are_kept_as_they_are),
        cmocka_unit_test(test_ids_sort_by_age),
        cmocka_unit_test(test_bounded_and_unbounded_history_say_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
