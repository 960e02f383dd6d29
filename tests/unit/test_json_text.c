#include "protocol/json_text.h"

#include "protocol/set_body.h"
#include "tests/unit/random.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void expect(struct slice bytes, const char *json) {
    struct buf out;
    buf_init(&out, 1 << 20);
    json_text_write(&out, bytes);
    assert_int_equal(buf_used(&out), strlen(json));
    assert_memory_equal(buf_slice(&out).ptr, json, strlen(json));
    assert_int_equal(json_text_measure(bytes).length, strlen(json));
    buf_deinit(&out);
}

static void test_text(void **state) {
    (void)state;
    expect(SLICE(""), "\"\"");
    expect(SLICE("hello"), "\"hello\"");
    expect(SLICE("\"\\/"), "\"\\\"\\\\/\"");
    expect(SLICE("\b\t\n\f\r"), "\"\\b\\t\\n\\f\\r\"");
    expect(SLICE("\x01\x0b\x1f\x7f"), "\"\\u0001\\u000b\\u001f\x7f\"");
    expect(SLICE("\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"), "\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\"");
}

static void test_bytes_that_are_no_text(void **state) {
    (void)state;
    expect(SLICE("\xff"), "{\"base64\":\"/w==\"}");
    expect(SLICE("\xed\xa0\x80"), "{\"base64\":\"7aCA\"}"); /* a surrogate */
    expect(SLICE("a\0b"), "{\"base64\":\"YQBi\"}");
    expect(slice_of("\0", 1), "{\"base64\":\"AA==\"}");
}

/* What is written is what POST /set takes, and it means the same bytes. */
static void test_it_can_be_sent_back(void **state) {
    (void)state;
    struct random random = random_start("test_json_text");
    static const char nasty[] = "\0\x01\n\r\t\"\\/{}[]u0 a\x7f\xc3\xa4\xff\xf0\x9f\x98\x80";
    for (int i = 0; i < 20000; i++) {
        char bytes[64];
        size_t n = random_below(&random, sizeof(bytes) + 1);
        if (i % 2 == 0) {
            random_bytes_of(&random, bytes, n, nasty, sizeof(nasty));
        } else {
            random_bytes_of(&random, bytes, n, "ab\\\"\n\x01 u0", 9);
        }
        struct buf json;
        buf_init(&json, 1 << 20);
        buf_append_text(&json, "{\"key\":");
        json_text_write(&json, slice_of(bytes, n));
        buf_append_text(&json, ",\"value\":");
        json_text_write(&json, slice_of(bytes, n));
        buf_append_text(&json, "}");
        struct set_body body;
        const char *reason = NULL;
        assert_int_equal(set_body_read(buf_slice(&json), &body, &reason), ERR_NONE);
        assert_true(slice_equals(body.key, slice_of(bytes, n)));
        assert_true(slice_equals(body.value, slice_of(bytes, n)));
        set_body_deinit(&body);
        buf_deinit(&json);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_bytes_that_are_no_text),
        cmocka_unit_test(test_it_can_be_sent_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
