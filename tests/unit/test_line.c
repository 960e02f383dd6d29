#include "protocol/line.h"

#include "tests/unit/random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>

#include <cmocka.h>

#define HISTORY_ID UINT64_C(0x0192f0c4a1b2c3d4)

static struct buf scratch; /* outlives every struct line of a test */

static struct line decoded(struct slice bytes) {
    struct line line;
    const char *reason;
    enum line_result result = line_decode(bytes, &scratch, &line, &reason);
    if (result != LINE_OK) {
        fail_msg("%.*s: %s", (int)bytes.len, bytes.ptr, reason == NULL ? "unknown" : reason);
    }
    assert_null(reason);
    return line;
}

static void assert_slice(struct slice s, const char *expected) {
    assert_int_equal(s.len, strlen(expected));
    assert_memory_equal(s.ptr, expected, s.len);
}

/* What an encoder has appended; it is emptied for the next one. */
static void assert_written(struct buf *out, const char *expected) {
    assert_false(buf_failed(out));
    assert_slice(buf_slice(out), expected);
    buf_reset(out);
}

static int setup(void **state) {
    (void)state;
    buf_init(&scratch, 1 << 20);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    buf_deinit(&scratch);
    return 0;
}

/* "REPLICATE|key|value|version", the specification's example. */
static void test_the_example_of_the_specification(void **state) {
    (void)state;
    struct buf out;
    buf_init(&out, 1000);
    line_replicate(&out, SLICE("user1"), SLICE("Alice"), 1, 1700000000000, 0);
    assert_written(&out, "REPLICATE|user1|Alice|1\n");
    buf_deinit(&out);

    struct slice bytes = SLICE("REPLICATE|user1|Alice|1");
    struct line line = decoded(bytes);
    assert_int_equal(line.verb, LINE_REPLICATE);
    assert_false(line.escaped);
    assert_slice(line.key, "user1");
    assert_slice(line.value, "Alice");
    assert_int_equal(line.version, 1);
    assert_int_equal(line.timestamp_ms, 0);
    assert_int_equal(line.deadline_ms, 0);
    assert_ptr_equal(line.key.ptr, bytes.ptr + 10); /* nothing is copied */
    assert_ptr_equal(line.value.ptr, bytes.ptr + 16);
}

static void test_every_history_line_byte_for_byte(void **state) {
    (void)state;
    struct buf out;
    buf_init(&out, 1000);
    line_replicate(&out, SLICE("k"), SLICE("a|b|"), 7, 5, 0);
    assert_written(&out, "REPLICATE|k|a|b||7\n");
    line_replicate(&out, SLICE("100%"), SLICE("%7C"), 7, 5, 0);
    assert_written(&out, "REPLICATE|100%|%7C|7\n");
    line_replicate(&out, (struct slice){0}, (struct slice){0}, 1, 5, 0);
    assert_written(&out, "REPLICATE|||1\n");
    line_replicate(&out, SLICE("k"), SLICE("v"), UINT64_MAX, 0, 0);
    assert_written(&out, "REPLICATE|k|v|18446744073709551615\n");

    line_replicate(&out, SLICE("k|1"), SLICE("v"), 7, 5, 0);
    assert_written(&out, "REPLICATEX|k%7C1|v|7|5|0\n");
    line_replicate(&out, SLICE("k"), SLICE("a\nb%"), 7, 5, 0);
    assert_written(&out, "REPLICATEX|k|a%0Ab%25|7|5|0\n");
    line_replicate(&out, SLICE("\0%"), SLICE("\r|"), 7, 5, 0);
    assert_written(&out, "REPLICATEX|%00%25|%0D%7C|7|5|0\n");
    line_replicate(&out, SLICE("k"), SLICE("v"), 7, 1700000000000, 1700000060000);
    assert_written(&out, "REPLICATEX|k|v|7|1700000000000|1700000060000\n");
    line_replicate_x(&out, SLICE("k"), SLICE("v"), 7, 1700000000000, 0);
    assert_written(&out, "REPLICATEX|k|v|7|1700000000000|0\n");
    line_replicate_x(&out, (struct slice){0}, (struct slice){0}, UINT64_MAX, LINE_TIME_LIMIT_MS - 1,
                     LINE_TIME_LIMIT_MS - 1);
    assert_written(&out, "REPLICATEX|||18446744073709551615|281474976710655|281474976710655\n");

    line_patch(&out, SLICE("bits"), 12, SLICE("\0\0A\0"), 7, 1796070000000);
    assert_written(&out, "PATCHX|bits|12|~~A~|7|1796070000000\n");
    line_patch(&out, SLICE("a|"), 0, SLICE("~%|\n\r"), 1, 0);
    assert_written(&out, "PATCHX|a%7C|0|%7E%25%7C%0A%0D|1|0\n");
    line_patch(&out, SLICE(""), LIMIT_VALUE_BYTES, SLICE(""), UINT64_MAX, LINE_TIME_LIMIT_MS - 1);
    assert_written(&out, "PATCHX||536870912||18446744073709551615|281474976710655\n");

    line_delete(&out, SLICE("user1"), 2);
    assert_written(&out, "DELETE|user1|2\n");
    line_delete(&out, SLICE("50%"), 2);
    assert_written(&out, "DELETE|50%|2\n");
    line_delete(&out, SLICE("a|%"), 2);
    assert_written(&out, "DELETEX|a%7C%25|2\n");
    line_delete(&out, (struct slice){0}, 2);
    assert_written(&out, "DELETE||2\n");
    line_expire(&out, SLICE("user1"), 1700000000000);
    assert_written(&out, "EXPIREX|user1|1700000000000\n");
    line_expire(&out, SLICE("a|%"), 0);
    assert_written(&out, "EXPIREX|a%7C%25|0\n");
    line_flush(&out, 12);
    assert_written(&out, "FLUSH|12\n");
    line_floor(&out, 12);
    assert_written(&out, "FLOOR|12\n");
    line_clock(&out, 1700000000000);
    assert_written(&out, "CLOCK|1700000000000\n");
    line_batch(&out, LIMIT_BATCH_LINES);
    assert_written(&out, "BATCH|1048576\n");
    line_term(&out, &(struct term){.number = 3, .node_id = "eu-1"});
    assert_written(&out, "TERM|3|eu-1\n");
    buf_deinit(&out);
}

static void test_every_link_line_byte_for_byte(void **state) {
    (void)state;
    struct buf out;
    buf_init(&out, 1000);
    line_lead(&out, "a1b2c3d4", 16383, HISTORY_ID, 99, NULL, false);
    assert_written(&out, "LEAD|a1b2c3d4|16383|0192f0c4a1b2c3d4|99\n");
    line_lead(&out, "1234567890123456789012345678901234567890", 16383, UINT64_MAX, UINT64_MAX, NULL, false);
    assert_written(
        &out, "LEAD|1234567890123456789012345678901234567890|16383|ffffffffffffffff|18446744073709551615\n");
    line_sync(&out, "a1b2c3d4", HISTORY_ID, 99, NULL, false);
    assert_written(&out, "SYNC|a1b2c3d4|0192f0c4a1b2c3d4|99\n");
    line_sync(&out, "a1b2c3d4", 0, 99, NULL, false);
    assert_written(&out, "SYNC|a1b2c3d4|-|0\n");
    line_continue(&out, 1, 99);
    assert_written(&out, "CONTINUE|0000000000000001|99\n");
    line_full(&out, HISTORY_ID, 99, 5, NULL);
    assert_written(&out, "FULL|0192f0c4a1b2c3d4|99|5\n");
    line_full(&out, HISTORY_ID, 99, 5, &(struct term){0}); /* none: the line that it always was */
    assert_written(&out, "FULL|0192f0c4a1b2c3d4|99|5\n");
    line_full(&out, HISTORY_ID, 99, 5, &(struct term){.number = UINT64_MAX, .node_id = "eu-1"});
    assert_written(&out, "FULL|0192f0c4a1b2c3d4|99|5|18446744073709551615-eu-1\n");
    line_end(&out, 1000, 120);
    assert_written(&out, "END|1000|120\n");
    line_ping(&out, 0);
    assert_written(&out, "PING|0\n");
    line_ack(&out, UINT64_MAX);
    assert_written(&out, "ACK|18446744073709551615\n");
    line_ack_durable(&out, 9, 7);
    assert_written(&out, "ACK|9|7\n");
    line_pull(&out, 0, 0, NULL);
    assert_written(&out, "PULL\n");
    const struct term term = {.number = UINT64_MAX, .node_id = "1234567890123456789012345678901234567890"};
#define LONGEST_TERM "18446744073709551615-1234567890123456789012345678901234567890"
    line_lead(&out, term.node_id, 16383, UINT64_MAX, UINT64_MAX, &term, false);
    assert_written(&out, "LEAD|1234567890123456789012345678901234567890|16383|ffffffffffffffff|"
                         "18446744073709551615|" LONGEST_TERM "\n");
    line_sync(&out, "a", 1, 99, &term, false);
    assert_written(&out, "SYNC|a|0000000000000001|99|" LONGEST_TERM "\n");
    line_sync(&out, "a", 0, 99, &term, false);
    assert_written(&out, "SYNC|a|-|0\n");
    line_full(&out, UINT64_MAX, UINT64_MAX, UINT64_MAX, &term);
    assert_written(&out, "FULL|ffffffffffffffff|18446744073709551615|18446744073709551615|" LONGEST_TERM "\n");
    line_full_common(&out, UINT64_MAX, UINT64_MAX, UINT64_MAX, &term, UINT64_MAX, &term);
    assert_written(&out, "FULL|ffffffffffffffff|18446744073709551615|18446744073709551615|" LONGEST_TERM
                         "|18446744073709551615|" LONGEST_TERM "\n");
    line_full_common(&out, HISTORY_ID, 99, 5, &(struct term){3, "eu-1"}, 7, &(struct term){0});
    assert_written(&out, "FULL|0192f0c4a1b2c3d4|99|5|3-eu-1|7|-\n");
    line_full_common(&out, HISTORY_ID, 99, 5, NULL, 0, NULL);
    assert_written(&out, "FULL|0192f0c4a1b2c3d4|99|5|-|0|-\n");
    line_ping_committed(&out, 9, 0, 8);
    assert_written(&out, "PING|9|0|8\n");
    line_ping_committed(&out, UINT64_MAX, UINT64_MAX, UINT64_MAX);
    assert_written(&out, "PING|18446744073709551615|18446744073709551615|18446744073709551615\n");
    line_lead(&out, term.node_id, 16383, UINT64_MAX, UINT64_MAX, &term, true);
    assert_written(&out, "LEAD|1234567890123456789012345678901234567890|16383|ffffffffffffffff|"
                         "18446744073709551615|" LONGEST_TERM "|lz4\n");
    line_lead(&out, "a", 1, 1, 99, &(struct term){0}, true);
    assert_written(&out, "LEAD|a|1|0000000000000001|99|-|lz4\n");
    line_sync(&out, "a", 1, 99, &term, true);
    assert_written(&out, "SYNC|a|0000000000000001|99|" LONGEST_TERM "|lz4\n");
    line_sync(&out, "a", 0, 99, &term, true);
    assert_written(&out, "SYNC|a|-|0|-|lz4\n");
    line_since(&out, UINT64_MAX, &term);
    assert_written(&out, "SINCE|18446744073709551615|" LONGEST_TERM "\n");
    line_since(&out, 0, &(struct term){0});
    assert_written(&out, "SINCE|0|-\n");
    line_pull(&out, 1, 9, &term);
    assert_written(&out, "PULL|0000000000000001|9|" LONGEST_TERM "\n");
    line_pull(&out, 1, 9, &(struct term){0});
    assert_written(&out, "PULL|0000000000000001|9\n");
    line_error(&out, "wrong group|\n\r\tand\x7F caf\xC3\xA9");
    assert_written(&out, "ERROR|wrong group|   and  caf\xC3\xA9\n");
    line_error(&out, "");
    assert_written(&out, "ERROR|\n");
    buf_deinit(&out);
}

static void test_decodes_history_lines(void **state) {
    (void)state;
    struct line line = decoded(SLICE("REPLICATE|k|a|b||18446744073709551615"));
    assert_slice(line.key, "k");
    assert_slice(line.value, "a|b|");
    assert_int_equal(line.version, UINT64_MAX);
    line = decoded(SLICE("REPLICATE|||1"));
    assert_int_equal(line.key.len, 0);
    assert_int_equal(line.value.len, 0);
    line = decoded(SLICE("REPLICATE|k%7C|%zz|1")); /* the plain form is raw */
    assert_slice(line.key, "k%7C");
    assert_slice(line.value, "%zz");

    line = decoded(SLICE("REPLICATEX|a%7cb|%25|3|1700000000000|1700000060000"));
    assert_int_equal(line.verb, LINE_REPLICATE);
    assert_true(line.escaped);
    assert_slice(line.key, "a|b");
    assert_slice(line.value, "%");
    assert_int_equal(line.version, 3);
    assert_int_equal(line.timestamp_ms, 1700000000000);
    assert_int_equal(line.deadline_ms, 1700000060000);
    line = decoded(SLICE("REPLICATEX|%41|plain|3|0|281474976710655"));
    assert_slice(line.key, "A");
    assert_slice(line.value, "plain");
    assert_int_equal(line.timestamp_ms, 0);
    assert_int_equal(line.deadline_ms, LINE_TIME_LIMIT_MS - 1);
    line = decoded(SLICE("REPLICATEX|||1|0|0"));
    assert_int_equal(line.key.len + line.value.len, 0);

    line = decoded(SLICE("DELETE|user%7C|2"));
    assert_int_equal(line.verb, LINE_DELETE);
    assert_false(line.escaped);
    assert_slice(line.key, "user%7C");
    assert_int_equal(line.version, 2);
    line = decoded(SLICE("DELETEX|user%7C|2"));
    assert_int_equal(line.verb, LINE_DELETE);
    assert_true(line.escaped);
    assert_slice(line.key, "user|");
    line = decoded(SLICE("PATCHX|user%7C|536870908|~a%7e+|9|1700000000000"));
    assert_int_equal(line.verb, LINE_PATCH);
    assert_slice(line.key, "user|");
    assert_int_equal(line.offset, LIMIT_VALUE_BYTES - 4);
    assert_true(slice_equals(line.value, SLICE("\0a~+")));
    assert_int_equal(line.version, 9);
    assert_int_equal(line.timestamp_ms, 1700000000000);
    line = decoded(SLICE("EXPIREX|user%7C|0"));
    assert_int_equal(line.verb, LINE_EXPIRE);
    assert_slice(line.key, "user|");
    assert_int_equal(line.deadline_ms, 0);
    line = decoded(SLICE("FLUSH|0"));
    assert_int_equal(line.verb, LINE_FLUSH);
    line = decoded(SLICE("FLUSH|18446744073709551615"));
    assert_int_equal(line.version, UINT64_MAX);
    line = decoded(SLICE("FLOOR|7"));
    assert_int_equal(line.verb, LINE_FLOOR);
    assert_int_equal(line.version, 7);
    line = decoded(SLICE("CLOCK|1700000000000"));
    assert_int_equal(line.verb, LINE_CLOCK);
    assert_int_equal(line.timestamp_ms, 1700000000000);
    line = decoded(SLICE("BATCH|1048576"));
    assert_int_equal(line.verb, LINE_BATCH);
    assert_int_equal(line.count, 1048576);
    assert_true(line.verb <= LINE_LAST_OF_HISTORY);
    line = decoded(SLICE("TERM|3|eu-1"));
    assert_int_equal(line.verb, LINE_TERM);
    assert_true(line.verb > LINE_LAST_OF_CHANGES && line.verb <= LINE_LAST_OF_HISTORY);
    assert_int_equal(line.count, 3);
    assert_string_equal(line.node_id, "eu-1");
}

/* "Surplus fields at the end are ignored, so that both can grow." */
static void test_link_lines_of_the_future_are_read_as_those_of_today(void **state) {
    (void)state;
    static const char *const lines[] = {
        "LEAD|a|7|0192f0c4a1b2c3d4|9|4-a",
        "SYNC|a|0192f0c4a1b2c3d4|9|4-a",
        "SYNC|a|-|0|-",
        "CONTINUE|0192f0c4a1b2c3d4|9",
        "FULL|0192f0c4a1b2c3d4|9|3|4-a|5|2-b",
        "SINCE|9|4-a",
        "END|4|9",
        "PING|9|8|7",
        "ACK|9|7|8",
        "PULL|0192f0c4a1b2c3d4|9|4-a",
        "WHO",
        "MESSAGE|a%7C|b%0A",
    };
    static const char *const surplus[] = {"", "|", "|5", "|3-a1b2c3d4|x%zz||"};
    struct buf scratch_again;
    buf_init(&scratch_again, 1000);
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        struct line today = decoded(slice_from_text(lines[i]));
        for (size_t s = 0; s < sizeof(surplus) / sizeof(surplus[0]); s++) {
            char text[100];
            struct line line;
            const char *reason;
            int n = snprintf(text, sizeof(text), "%s%s", lines[i], surplus[s]);
            assert_int_equal(line_decode(slice_of(text, (size_t)n), &scratch_again, &line, &reason), LINE_OK);
            assert_int_equal(line.verb, today.verb);
            assert_string_equal(line.node_id, today.node_id);
            assert_int_equal(line.group, today.group);
            assert_int_equal(line.history_id, today.history_id);
            assert_int_equal(line.index, today.index);
            assert_int_equal(line.version, today.version);
            assert_int_equal(line.count, today.count);
            assert_int_equal(line.round, today.round);
            assert_int_equal(line.committed_index, today.committed_index);
            assert_true(slice_equals(line.key, today.key) && slice_equals(line.value, today.value));
            assert_true(slice_equals(line.text, today.text));
        }
    }
    buf_deinit(&scratch_again);
}

static void test_decodes_link_lines(void **state) {
    (void)state;
    struct line line = decoded(SLICE("LEAD|a1b2c3d4|16383|0192f0c4a1b2c3d4|99"));
    assert_int_equal(line.verb, LINE_LEAD);
    assert_true(line.verb > LINE_LAST_OF_HISTORY);
    assert_string_equal(line.node_id, "a1b2c3d4");
    assert_int_equal(line.group, 16383);
    assert_int_equal(line.history_id, HISTORY_ID);
    assert_int_equal(line.index, 99);
    line =
        decoded(SLICE("SYNC|1234567890123456789012345678901234567890|ffffffffffffffff|18446744073709551615"));
    assert_int_equal(line.verb, LINE_SYNC);
    assert_string_equal(line.node_id, "1234567890123456789012345678901234567890");
    assert_int_equal(line.history_id, UINT64_MAX);
    assert_int_equal(line.index, UINT64_MAX);
    line = decoded(SLICE("SYNC|a|-|0"));
    assert_int_equal(line.history_id, 0);
    assert_int_equal(line.index, 0);
    line = decoded(SLICE("CONTINUE|0000000000000001|0"));
    assert_int_equal(line.verb, LINE_CONTINUE);
    assert_int_equal(line.history_id, 1);
    line = decoded(SLICE("FULL|0192f0c4a1b2c3d4|99|5"));
    assert_int_equal(line.verb, LINE_FULL);
    assert_int_equal(line.index, 99);
    assert_int_equal(line.version, 5);
    assert_int_equal(line.text.len, 0);
    assert_false(line.yes);
    line = decoded(SLICE("FULL|0192f0c4a1b2c3d4|99|5|3-eu-1"));
    assert_slice(line.text, "3-eu-1");
    assert_false(line.yes);
    line = decoded(SLICE("FULL|0192f0c4a1b2c3d4|99|5|3-eu-1|99|2-us|more"));
    assert_slice(line.text, "3-eu-1");
    assert_true(line.yes);
    assert_int_equal(line.count, 99);
    assert_int_equal(line_common_term_of(&line).number, 2);
    assert_string_equal(line_common_term_of(&line).node_id, "us");
    line = decoded(SLICE("FULL|0192f0c4a1b2c3d4|99|5|-|0|-"));
    assert_true(line.yes);
    assert_int_equal(line_common_term_of(&line).number, 0);
    line = decoded(SLICE("SINCE|98|3-eu-1"));
    assert_int_equal(line.verb, LINE_SINCE);
    assert_int_equal(line.index, 98);
    assert_slice(line.text, "3-eu-1");
    assert_int_equal(decoded(SLICE("SINCE|0|-")).text.len, 0);
    line = decoded(SLICE("END|1000|120"));
    assert_int_equal(line.verb, LINE_END);
    assert_int_equal(line.count, 1000);
    assert_int_equal(line.index, 120);
    line = decoded(SLICE("PING|7"));
    assert_int_equal(line.verb, LINE_PING);
    assert_int_equal(line.index, 7);
    assert_int_equal(line.committed_index, 0);
    line = decoded(SLICE("PING|7|0|7"));
    assert_int_equal(line.count, 0);
    assert_int_equal(line.committed_index, 7);
    assert_int_equal(decoded(SLICE("ACK|0")).verb, LINE_ACK);
    assert_int_equal(decoded(SLICE("ACK|9")).count, 0);
    assert_int_equal(decoded(SLICE("ACK|9|7")).count, 7);
    assert_int_equal(decoded(SLICE("PULL")).verb, LINE_PULL);
    assert_int_equal(decoded(SLICE("PULL")).history_id, 0);
    line = decoded(SLICE("PULL|0192f0c4a1b2c3d4|99|3-eu-1"));
    assert_int_equal(line.history_id, HISTORY_ID);
    assert_int_equal(line.index, 99);
    assert_slice(line.text, "3-eu-1");
    assert_int_equal(line_term_of(&line).number, 3);
    assert_string_equal(line_term_of(&line).node_id, "eu-1");
    line = decoded(SLICE("LEAD|a|7|0192f0c4a1b2c3d4|9|4-a"));
    assert_slice(line.text, "4-a");
    line = decoded(SLICE("SYNC|a|0192f0c4a1b2c3d4|9|4-a"));
    assert_slice(line.text, "4-a");
    line = decoded(SLICE("SYNC|a|0192f0c4a1b2c3d4|9"));
    assert_int_equal(line_term_of(&line).number, 0);
    assert_int_equal(decoded(SLICE("WHO")).verb, LINE_WHO);
    line = decoded(SLICE("ERROR|two|leaders "));
    assert_int_equal(line.verb, LINE_ERROR);
    assert_slice(line.text, "two|leaders ");
    assert_int_equal(decoded(SLICE("ERROR|")).text.len, 0);
    line = decoded(SLICE("ANNOUNCE|a1b2c3d4|127.0.0.1|8000|0|true\r"));
    assert_int_equal(line.verb, LINE_ANNOUNCE);
    assert_slice(line.text, "ANNOUNCE|a1b2c3d4|127.0.0.1|8000|0|true");
    line = decoded(SLICE("ENDPOINTS|a1b2c3d4|9000|6379"));
    assert_int_equal(line.verb, LINE_ENDPOINTS);
    assert_slice(line.text, "ENDPOINTS|a1b2c3d4|9000|6379");
    line = decoded(SLICE("NODE|a1b2c3d4"));
    assert_int_equal(line.verb, LINE_NODE);
    assert_string_equal(line.node_id, "a1b2c3d4");
    line = decoded(SLICE("MESSAGE|news%7Cworld|a%0Ab"));
    assert_int_equal(line.verb, LINE_MESSAGE);
    assert_slice(line.key, "news|world");
    assert_slice(line.value, "a\nb");
}

static void test_messages_are_written_as_they_are_read(void **state) {
    (void)state;
    struct buf out;
    buf_init(&out, SIZE_MAX);
    line_node(&out, "a1b2c3d4");
    line_message(&out, SLICE("news|world"), SLICE("a\nb%\0"));
    line_message(&out, SLICE(""), SLICE(""));
    assert_true(
        slice_equals(buf_slice(&out), SLICE("NODE|a1b2c3d4\nMESSAGE|news%7Cworld|a%0Ab%25%00\nMESSAGE||\n")));
    buf_deinit(&out);
}

static void test_one_cr_at_the_end_is_ignored(void **state) {
    (void)state;
    assert_int_equal(decoded(SLICE("REPLICATE|k|v|1\r")).version, 1);
    assert_int_equal(decoded(SLICE("WHO\r")).verb, LINE_WHO);
    assert_slice(decoded(SLICE("ERROR|why\r")).text, "why");
    assert_slice(decoded(SLICE("REPLICATE|k|v\r|1\r")).value, "v\r");
    struct line line;
    const char *reason;
    assert_int_equal(line_decode(SLICE("REPLICATE|k|v|1\r\r"), &scratch, &line, &reason), LINE_MALFORMED);
}

static void test_an_unknown_verb_is_no_error(void **state) {
    (void)state;
    static const char *const unknown[] = {"",
                                          "\r",
                                          "|",
                                          "|a",
                                          "REPLICAT|k|v|1",
                                          "replicate",
                                          "REPLICATE ",
                                          "REPLICATEY|k|v|1",
                                          "MERGE|a|b",
                                          "WHOM",
                                          "LEAVE|a",
                                          " PING|1",
                                          "PIN"};
    for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++) {
        struct line line;
        const char *reason = "";
        assert_int_equal(line_decode(slice_from_text(unknown[i]), &scratch, &line, &reason), LINE_UNKNOWN);
        assert_null(reason);
    }
    struct line line;
    const char *reason;
    assert_int_equal(line_decode((struct slice){0}, &scratch, &line, &reason), LINE_UNKNOWN);
    assert_int_equal(line_decode(SLICE("PING\0|1"), &scratch, &line, &reason), LINE_UNKNOWN);
}

static void test_malformed(void **state) {
    (void)state;
    static const struct {
        const char *line, *reason;
    } rows[] = {
        {"REPLICATE", "too few fields"},
        {"REPLICATE|", "too few fields"},
        {"REPLICATE|k", "too few fields"},
        {"REPLICATE|k|1", "too few fields"},
        {"REPLICATE|k|v|", "bad version"},
        {"REPLICATE|k|v|1|", "bad version"},
        {"REPLICATE|k|v|0", "bad version"},
        {"REPLICATE|k|v|01", "bad version"},
        {"REPLICATE|k|v|-1", "bad version"},
        {"REPLICATE|k|v|+1", "bad version"},
        {"REPLICATE|k|v| 1", "bad version"},
        {"REPLICATE|k|v|1 ", "bad version"},
        {"REPLICATE|k|v|1x", "bad version"},
        {"REPLICATE|k|v|18446744073709551616", "bad version"},
        {"REPLICATE|k|v|100000000000000000000", "bad version"},
        {"REPLICATEX|k|v|1|2", "too few fields"},
        {"REPLICATEX|k|v|1|2|3|4", "too many fields"},
        {"REPLICATEX|k|v|1|2|3|", "too many fields"},
        {"REPLICATEX|k|v|0|2|3", "bad version"},
        {"REPLICATEX|k|v|18446744073709551616|2|3", "bad version"},
        {"REPLICATEX|k|v|1||3", "bad timestamp"},
        {"REPLICATEX|k|v|1|-2|3", "bad timestamp"},
        {"REPLICATEX|k|v|1|281474976710656|3", "bad timestamp"},
        {"REPLICATEX|k|v|1|2|", "bad deadline"},
        {"REPLICATEX|k|v|1|2|281474976710656", "bad deadline"},
        {"REPLICATEX|%|v|1|2|3", "bad escape"},
        {"REPLICATEX|%4|v|1|2|3", "bad escape"},
        {"REPLICATEX|k%|v|1|2|3", "bad escape"},
        {"REPLICATEX|k|%4g|1|2|3", "bad escape"},
        {"REPLICATEX|k|100%|1|2|3", "bad escape"},
        {"PATCHX|k|0|b|1", "too few fields"},
        {"PATCHX|k|0|b|1|2|3", "too many fields"},
        {"PATCHX|k||b|1|2", "bad offset"},
        {"PATCHX|k|-1|b|1|2", "bad offset"},
        {"PATCHX|k|536870913||1|2", "bad offset"},
        {"PATCHX|k|536870911|bc|1|2", "value too long"},
        {"PATCHX|k|536870912|~|1|2", "value too long"},
        {"PATCHX|k|0|%|1|2", "bad escape"},
        {"PATCHX|k|0|~%4|1|2", "bad escape"},
        {"PATCHX|k|0|b|0|2", "bad version"},
        {"PATCHX|k|0|b|1|281474976710656", "bad timestamp"},
        {"DELETE", "too few fields"},
        {"DELETE|k", "too few fields"},
        {"DELETE|k|", "bad version"},
        {"DELETE|k|18446744073709551616", "bad version"},
        {"DELETE|a|b|1", "bad version"},
        {"DELETE|a|1|1", "too many fields"},
        {"DELETEX|%z|1", "bad escape"},
        {"EXPIREX|k", "too few fields"},
        {"EXPIREX|k|281474976710656", "bad deadline"},
        {"EXPIREX|k|-1", "bad deadline"},
        {"EXPIREX|k|1|", "too many fields"},
        {"EXPIREX|k%0|1", "bad escape"},
        {"FLUSH", "too few fields"},
        {"FLUSH|", "bad version"},
        {"FLUSH|1|2", "too many fields"},
        {"FLOOR", "too few fields"},
        {"FLOOR|-1", "bad version"},
        {"FLOOR|1|2", "too many fields"},
        {"CLOCK|", "bad timestamp"},
        {"CLOCK|281474976710656", "bad timestamp"},
        {"BATCH|0", "bad count"},
        {"BATCH|1048577", "bad count"},
        {"BATCH|1|1", "too many fields"},
        {"TERM|1", "too few fields"},
        {"TERM|0|a", "bad term"},
        {"TERM|1|a b", "bad node id"},
        {"TERM|1|a|", "too many fields"},
        {"LEAD|a|0|0192f0c4a1b2c3d4", "too few fields"},
        {"LEAD||0|0192f0c4a1b2c3d4|1", "bad node id"},
        {"LEAD|a.b|0|0192f0c4a1b2c3d4|1", "bad node id"},
        {"LEAD|12345678901234567890123456789012345678901|0|0192f0c4a1b2c3d4|1", "bad node id"},
        {"LEAD|a|16384|0192f0c4a1b2c3d4|1", "bad group"},
        {"LEAD|a||0192f0c4a1b2c3d4|1", "bad group"},
        {"LEAD|a|0|-|0", "bad history id"},
        {"LEAD|a|0||0", "bad history id"},
        {"LEAD|a|0|0192F0C4A1B2C3D4|1", "bad history id"},
        {"LEAD|a|0|0192f0c4a1b2c3d|1", "bad history id"},
        {"LEAD|a|0|0192f0c4a1b2c3d45|1", "bad history id"},
        {"LEAD|a|0|0192f0c4a1b2c3dg|1", "bad history id"},
        {"LEAD|a|0|0192f0c4a1b2c3d/|1", "bad history id"},
        {"LEAD|a|0|0192f0c4a1b2c3d:|1", "bad history id"},
        {"LEAD|a|0|0000000000000000|1", "bad history id"},
        {"LEAD|a|0|0192f0c4a1b2c3d4|", "bad index"},
        {"LEAD|a|0|0192f0c4a1b2c3d4|18446744073709551616", "bad index"},
        {"SYNC|a|-", "too few fields"},
        {"SYNC|a|-|1", "bad index"},
        {"SYNC|a|-|0|1-a", "bad term"},
        {"SYNC|a|0192f0c4a1b2c3d4|1|", "bad term"},
        {"LEAD|a|7|0192f0c4a1b2c3d4|9|0-a", "bad term"},
        {"SINCE|9", "too few fields"},
        {"SINCE|9|0-a", "bad term"},
        {"PULL|0192f0c4a1b2c3d", "bad history id"},
        {"PULL|0192f0c4a1b2c3d4|x", "bad index"},
        {"PULL|0192f0c4a1b2c3d4|9|1", "bad term"},
        {"SYNC|a|--|0", "bad history id"},
        {"SYNC|a|0000000000000000|0", "bad history id"},
        {"SYNC||-|0", "bad node id"},
        {"CONTINUE|-|0", "bad history id"},
        {"CONTINUE|0192f0c4a1b2c3d4", "too few fields"},
        {"FULL|0192f0c4a1b2c3d4|1", "too few fields"},
        {"FULL|0192f0c4a1b2c3d4|1|x", "bad version"},
        {"FULL|0192f0c4a1b2c3d4|1|2|", "bad term"},
        {"FULL|0192f0c4a1b2c3d4|1|2|0-a", "bad term"},
        {"FULL|0192f0c4a1b2c3d4|1|2|3", "bad term"},
        {"FULL|0192f0c4a1b2c3d4|1|2|3-a|", "bad index"},
        {"FULL|0192f0c4a1b2c3d4|1|2|3-a|2|2-b", "bad index"}, /* behind the leader's last line */
        {"FULL|0192f0c4a1b2c3d4|1|2|3-a|1", "too few fields"},
        {"FULL|0192f0c4a1b2c3d4|1|2|3-a|1|2", "bad term"},
        {"END|1", "too few fields"},
        {"END|x|1", "bad count"},
        {"END|1|x", "bad index"},
        {"PING", "too few fields"},
        {"PING|", "bad index"},
        {"PING|9|0|", "bad index"},
        {"PING|9|0|10", "bad index"},
        {"ACK|-1", "bad index"},
        {"ACK|9|10", "bad index"},
        {"ACK|9|x", "bad index"},
        {"ERROR", "too few fields"},
        {"ANNOUNCE", "too few fields"},
        {"ENDPOINTS", "too few fields"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct line line;
        const char *reason = NULL;
        enum line_result result = line_decode(slice_from_text(rows[i].line), &scratch, &line, &reason);
        if (result != LINE_MALFORMED || strcmp(reason, rows[i].reason) != 0) {
            fail_msg("%s: %s expected, not %s", rows[i].line, rows[i].reason, reason == NULL ? "OK" : reason);
        }
    }
    struct line line;
    const char *reason;
    assert_int_equal(line_decode(SLICE("PING|1\0"), &scratch, &line, &reason), LINE_MALFORMED);
}

static void test_plain_is_what_the_specification_can_say(void **state) {
    (void)state;
    for (int byte = 0; byte < 256; byte++) {
        for (size_t length = 1; length < 40; length += 3) {
            char bytes[40];
            memset(bytes, 'x', sizeof(bytes));
            bytes[(size_t)byte % length] = (char)byte;
            bool breaks_lines = byte == '\n' || byte == '\r' || byte == '\0';
            struct slice s = slice_of(bytes, length);
            assert_int_equal(line_is_plain(s, SLICE("v")), !breaks_lines && byte != '|');
            assert_int_equal(line_is_plain(SLICE("k"), s), !breaks_lines);
        }
    }
    assert_true(line_is_plain((struct slice){0}, (struct slice){0}));
}

/* A key and a value that both need the scratch: the second must not move the first. */
static void test_escaped_fields_stay_where_they_are(void **state) {
    (void)state;
    enum { BYTES = 100000 };
    static char value[BYTES];
    memset(value, '|', BYTES);
    struct buf out, small;
    buf_init(&out, 1 << 20);
    buf_init(&small, 1 << 20);
    line_replicate(&out, SLICE("a|b"), slice_of(value, BYTES), 1, 0, 0);
    struct line line;
    const char *reason;
    struct slice bytes = slice_first(buf_slice(&out), buf_used(&out) - 1);
    assert_int_equal(line_decode(bytes, &small, &line, &reason), LINE_OK);
    assert_slice(line.key, "a|b");
    assert_true(slice_equals(line.value, slice_of(value, BYTES)));
    buf_deinit(&small);

    /* A scratch without room is said, not overrun. */
    buf_init(&small, 1000);
    assert_int_equal(line_decode(bytes, &small, &line, &reason), LINE_MALFORMED);
    assert_string_equal(reason, "out of memory");
    assert_int_equal(line_decode(SLICE("DELETEX|%7C|1"), &small, &line, &reason), LINE_OK);
    buf_deinit(&small);
    buf_deinit(&out);
}

/* size bytes of the given kind, mapped, so that what is not touched costs nothing. */
static char *map(size_t size) {
    void *bytes = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert_ptr_not_equal(bytes, MAP_FAILED);
    return bytes;
}

static void test_lengths_over_the_limits(void **state) {
    (void)state;
    struct line line;
    const char *reason;
    size_t size = LIMIT_KEY_BYTES + 100;
    char *bytes = map(size);
    memcpy(bytes, "DELETE|", 7);
    memcpy(bytes + 7 + LIMIT_KEY_BYTES, "|1", 2);
    assert_int_equal(line_decode(slice_of(bytes, LIMIT_KEY_BYTES + 9), &scratch, &line, &reason), LINE_OK);
    assert_int_equal(line.key.len, LIMIT_KEY_BYTES);
    memcpy(bytes + 7 + LIMIT_KEY_BYTES, "x|1", 3);
    assert_int_equal(line_decode(slice_of(bytes, LIMIT_KEY_BYTES + 10), &scratch, &line, &reason),
                     LINE_MALFORMED);
    assert_string_equal(reason, "key too long");
    munmap(bytes, size);

    size = LIMIT_VALUE_BYTES + 100;
    bytes = map(size);
    memcpy(bytes, "REPLICATE|k|", 12);
    memcpy(bytes + 12 + LIMIT_VALUE_BYTES, "|1", 2);
    assert_int_equal(line_decode(slice_of(bytes, LIMIT_VALUE_BYTES + 14), &scratch, &line, &reason), LINE_OK);
    assert_int_equal(line.value.len, LIMIT_VALUE_BYTES);
    memcpy(bytes + 12 + LIMIT_VALUE_BYTES, "x|1", 3);
    assert_int_equal(line_decode(slice_of(bytes, LIMIT_VALUE_BYTES + 15), &scratch, &line, &reason),
                     LINE_MALFORMED);
    assert_string_equal(reason, "value too long");
    munmap(bytes, size);

    assert_int_equal(line_decode(slice_of("", LIMIT_LINE_BYTES + 1), &scratch, &line, &reason), LINE_MALFORMED);
    assert_string_equal(reason, "line too long");
}

static void test_a_full_buf_takes_no_part_of_a_line(void **state) {
    (void)state;
    struct buf out;
    buf_init(&out, 100);
    line_ping(&out, 1);
    static char value[200];
    line_replicate(&out, SLICE("k"), slice_of(value, sizeof(value)), 1, 0, 0);
    assert_true(buf_failed(&out));
    line_ack(&out, 1);
    line_delete(&out, SLICE("k"), 1);
    line_error(&out, "why");
    assert_slice(buf_slice(&out), "PING|1\n");
    buf_deinit(&out);
}

static size_t random_field(struct random *random, char *to, size_t most) {
    size_t n = random_below(random, 1 + random_below(random, most));
    switch (random_below(random, 3)) {
    case 0:
        random_bytes(random, to, n);
        break;
    case 1:
        random_bytes_of(random, to, n, "|%\n\r\0", 5);
        break;
    default:
        random_bytes_of(random, to, n, "abc|%0A", 7);
        break;
    }
    return n;
}

/* Whatever key and value are, the line is one line, and says them. */
static void test_round_trip_of_binary_keys_and_values(void **state) {
    (void)state;
    enum { MOST = 300 };
    struct random random = random_start(__func__);
    struct buf out;
    buf_init(&out, 1 << 16);
    int plain = 0;
    for (int i = 0; i < 20000; i++) {
        char key_bytes[MOST], value_bytes[MOST];
        struct slice key = slice_of(key_bytes, random_field(&random, key_bytes, MOST));
        struct slice value = slice_of(value_bytes, random_field(&random, value_bytes, MOST));
        uint64_t version = random_magnitude(&random) | 1;
        int64_t timestamp_ms = (int64_t)(random_magnitude(&random) >> 16);
        int64_t deadline_ms = random_below(&random, 2) == 0 ? 0 : (int64_t)(random_magnitude(&random) >> 16);

        buf_reset(&out);
        line_replicate(&out, key, value, version, timestamp_ms, deadline_ms);
        struct slice text = buf_slice(&out);
        assert_ptr_equal(memchr(text.ptr, '\n', text.len), text.ptr + text.len - 1);
        struct line line = decoded(slice_first(text, text.len - 1));
        assert_int_equal(line.verb, LINE_REPLICATE);
        assert_true(slice_equals(line.key, key));
        assert_true(slice_equals(line.value, value));
        assert_int_equal(line.version, version);
        assert_int_equal(line.deadline_ms, deadline_ms);
        assert_int_equal(line.escaped, deadline_ms != 0 || !line_is_plain(key, value));
        assert_int_equal(line.timestamp_ms, line.escaped ? timestamp_ms : 0);
        plain += !line.escaped;

        buf_reset(&out);
        line_delete(&out, key, version);
        line = decoded(slice_first(buf_slice(&out), buf_used(&out) - 1));
        assert_int_equal(line.verb, LINE_DELETE);
        assert_true(slice_equals(line.key, key));
        assert_int_equal(line.version, version);

        buf_reset(&out);
        line_expire(&out, key, deadline_ms);
        line = decoded(slice_first(buf_slice(&out), buf_used(&out) - 1));
        assert_int_equal(line.verb, LINE_EXPIRE);
        assert_true(slice_equals(line.key, key));
        assert_int_equal(line.deadline_ms, deadline_ms);
    }
    assert_in_range(plain, 100, 19900);
    buf_deinit(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_example_of_the_specification),
        cmocka_unit_test(test_every_history_line_byte_for_byte),
        cmocka_unit_test(test_every_link_line_byte_for_byte),
        cmocka_unit_test(test_decodes_history_lines),
        cmocka_unit_test(test_link_lines_of_the_future_are_read_as_those_of_today),
        cmocka_unit_test(test_decodes_link_lines),
        cmocka_unit_test(test_messages_are_written_as_they_are_read),
        cmocka_unit_test(test_one_cr_at_the_end_is_ignored),
        cmocka_unit_test(test_an_unknown_verb_is_no_error),
        cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_plain_is_what_the_specification_can_say),
        cmocka_unit_test(test_escaped_fields_stay_where_they_are),
        cmocka_unit_test(test_lengths_over_the_limits),
        cmocka_unit_test(test_a_full_buf_takes_no_part_of_a_line),
        cmocka_unit_test(test_round_trip_of_binary_keys_and_values),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
