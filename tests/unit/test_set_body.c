#include "protocol/set_body.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* A copy as long as itself: a sanitizer sees a look behind it. */
static enum err read_copy(struct slice text, struct set_body *out, char **copy) {
    const char *reason = NULL;
    *copy = malloc(text.len + (text.len == 0));
    memcpy(*copy, text.ptr, text.len);
    enum err err = set_body_read(slice_of(*copy, text.len), out, &reason);
    assert_true((err == ERR_NONE) == (reason == NULL));
    return err;
}

static void expect(struct slice text, struct slice key, struct slice value, int64_t ttl_ms) {
    struct set_body body;
    char *copy;
    assert_int_equal(read_copy(text, &body, &copy), ERR_NONE);
    assert_true(body.has_key && slice_equals(body.key, key));
    assert_true(body.has_value && slice_equals(body.value, value));
    assert_int_equal(body.ttl_ms, ttl_ms);
    set_body_deinit(&body);
    free(copy);
}

static void expect_bad(struct slice text, enum err err) {
    struct set_body body;
    char *copy;
    enum err got = read_copy(text, &body, &copy);
    if (got != err) {
        print_message("%.*s\n", (int)text.len, text.ptr);
    }
    assert_int_equal(got, err);
    set_body_deinit(&body);
    free(copy);
}

static void test_good_ones(void **state) {
    (void)state;
    expect(SLICE("{\"key\": \"test\", \"value\": \"hello\"}"), SLICE("test"), SLICE("hello"), 0);
    expect(SLICE(" \r\n\t{\"value\":\"\",\"key\":\"\"} \n"), SLICE(""), SLICE(""), 0);
    expect(SLICE("{\"key\":\"k\",\"value\":\"v\",\"ttl\":1.5}"), SLICE("k"), SLICE("v"), 1500);
    expect(SLICE("{\"key\":\"k\",\"value\":\"v\",\"ttl\":null}"), SLICE("k"), SLICE("v"), 0);
    expect(SLICE("{\"key\":\"k\",\"value\":\"v\",\"ttl\":0.0001}"), SLICE("k"), SLICE("v"), 1);
    expect(SLICE("{\"key\":\"k\",\"value\":\"v\",\"ttl\":1.25e+1,\"x\":[0,-0,-0.0e-7,10,1E9]}"), SLICE("k"),
           SLICE("v"), 12500);
    expect(SLICE("{\"key\":\"k\",\"value\":\"v\",\"ttl\":281474976710}"), SLICE("k"), SLICE("v"),
           281474976710000);
    expect(SLICE("{\"key\":{\"base64\":\"AP8=\"},\"value\":{\"base64\":\"\"}}"), SLICE("\0\xff"), SLICE(""), 0);
    /* What looks like \u0000 and is an escaped backslash. */
    expect(SLICE("{\"key\":\"\\\\u0000\",\"value\":\"\\\\\\\\u0000\\u0001\"}"), SLICE("\\u0000"),
           SLICE("\\\\u0000\x01"), 0);
    expect(SLICE("{\"key\":\"\\ud83d\\ude00\",\"value\":\"\xf0\x9f\x98\x80\"}"), SLICE("\xf0\x9f\x98\x80"),
           SLICE("\xf0\x9f\x98\x80"), 0);
    /* Members of other names, whatever they are. */
    expect(SLICE("{\"x\":[1,{\"key\":2}],\"key\":\"k\",\"Key\":3,\"value\":\"v\",\"x\":null}"), SLICE("k"),
           SLICE("v"), 0);
}

static void test_bad_ones(void **state) {
    (void)state;
    static const struct slice texts[] = {
        {"", 0},
        {"{", 1},
        {"null", 4},
        {"[]", 2},
        {"\"key\"", 5},
#define TEXT(literal) {literal, sizeof(literal) - 1}
        TEXT("{\"key\":\"k\",\"value\":\"v\"} x"),
        TEXT("{\"key\":\"k\",\"value\":\"v\"}{}"),
        TEXT("{\"key\":\"k\",\"value\":\"v\"}\0"),
        TEXT("{\"key\":\"k\",\"value\":\"v\"}\x0b"),
        TEXT("{\"key\":\"k\",\"value\":\"v\""),
        TEXT("{\"key\":\"k\",\"value\":\"v\",}"),
        TEXT("{\"key\":\"k\",\"key\":\"k\",\"value\":\"v\"}"),
        TEXT("{\"key\":\"k\",\"value\":\"v\",\"value\":\"v\"}"),
        TEXT("{\"key\":\"k\",\"value\":\"v\",\"ttl\":1,\"ttl\":1}"),
        TEXT("{\"key\":1,\"value\":\"v\"}"),
        TEXT("{\"key\":\"k\",\"value\":null}"),
        TEXT("{\"key\":\"k\",\"value\":{}}"),
        TEXT("{\"key\":\"k\",\"value\":{\"base64\":\"AA==\",\"x\":1}}"),
        TEXT("{\"key\":\"k\",\"value\":{\"base64\":1}}"),
        TEXT("{\"key\":\"k\",\"value\":{\"base64\":\"A\"}}"),
        TEXT("{\"key\":\"k\",\"value\":{\"Base64\":\"AA==\"}}"),
        TEXT("{\"key\":\"k\\u0000\",\"value\":\"v\"}"),
        TEXT("{\"key\":\"k\",\"value\":\"\\\\\\u0000\"}"),
        TEXT("{\"k\\u0000\":\"k\"}"),
        TEXT("{\"key\":\"a\0b\",\"value\":\"v\"}"),
        TEXT("{\"key\":\"a\nb\",\"value\":\"v\"}"),
        TEXT("{\"key\":\"\\ud800\",\"value\":\"v\"}"),
        TEXT("{\"key\":\"\\udc00\",\"value\":\"v\"}"),
        TEXT("{\"key\":\"\\ud800\\ud800\",\"value\":\"v\"}"),
        TEXT("{\"key\":\"\\x\",\"value\":\"v\"}"),
        TEXT("{\"key\":\"\xff\",\"value\":\"v\"}"),
        TEXT("{\"key\":\"\xed\xa0\x80\",\"value\":\"v\"}"),
        TEXT("{\"key\":\"k\",\"value\":\"v\",\"x\":[[[[[[[[1]]]]]]]]}"),
        TEXT("{\"key\":\"k\",\"value\":\"v\\"),
        TEXT("{'key':'k'}"),
        TEXT("{\"key\":\"k\",\"value\":\"v\",\"ttl\":null,\"ttl\":5}"),
        TEXT("{\"key\":\"k\",\"value\":\"v\",\"ttl\":5,\"ttl\":null}"),
#undef TEXT
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        expect_bad(texts[i], ERR_BAD_REQUEST);
    }
}

static void test_bad_times_to_live(void **state) {
    (void)state;
    static const char *const ttls[] = {"0", "-1", "-0.0", "1e999", "281474976711", "\"1\"", "true", "[1]"};
    for (size_t i = 0; i < sizeof(ttls) / sizeof(ttls[0]); i++) {
        char text[128];
        snprintf(text, sizeof(text), "{\"key\":\"k\",\"value\":\"v\",\"ttl\":%s}", ttls[i]);
        expect_bad(slice_from_text(text), ERR_INVALID_EXPIRE);
    }
}

/* cJSON would take some of them. */
static void test_what_is_no_number(void **state) {
    (void)state;
    static const char *const numbers[] = {"010", "00",  "-01", "5.",   "5.e1",  ".5",   "-",    "-.5", "+5",
                                          "1e",  "1e+", "1-2", "1..2", "1.2.3", "1e1.", "0x10", "1_0", "--1"};
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        char text[128];
        for (int is_ttl = 0; is_ttl < 2; is_ttl++) {
            snprintf(text, sizeof(text), "{\"key\":\"k\",\"value\":\"v\",\"%s\":%s}", is_ttl ? "ttl" : "x",
                     numbers[i]);
            expect_bad(slice_from_text(text), ERR_BAD_REQUEST);
        }
    }
    expect_bad(SLICE("7."), ERR_BAD_REQUEST);
}

/* The tree of a body is bounded: 64 KB of "0," would be 2 MB of nodes. */
static void test_many_members(void **state) {
    (void)state;
    struct buf text;
    buf_init(&text, 1 << 20);
    buf_append_text(&text, "{\"key\":\"k\",\"value\":\"v\",\"x\":[0");
    for (int i = 0; i < SET_BODY_MAX_MEMBERS; i++) {
        buf_append_text(&text, ",0");
    }
    buf_append_text(&text, "]}");
    expect_bad(buf_slice(&text), ERR_BAD_REQUEST);
    buf_deinit(&text);
    /* Commas in a string are none. */
    buf_append_text(&text, "{\"key\":\"k\",\"value\":\"");
    for (int i = 0; i < 1000; i++) {
        buf_append_text(&text, ",[{");
    }
    buf_append_text(&text, "\"}");
    struct set_body body;
    const char *reason;
    assert_int_equal(set_body_read(buf_slice(&text), &body, &reason), ERR_NONE);
    assert_int_equal(body.value.len, 3000);
    set_body_deinit(&body);
    buf_deinit(&text);
}

static void test_ttl_as_text(void **state) {
    (void)state;
    int64_t ms;
    assert_true(set_body_ttl_of_text(SLICE("60"), &ms) && ms == 60000);
    assert_true(set_body_ttl_of_text(SLICE("0.25"), &ms) && ms == 250);
    static const char *const bad[] = {"",
                                      "0",
                                      ".5",
                                      "5.",
                                      "1e3",
                                      "-1",
                                      "+1",
                                      " 1",
                                      "1.2.3",
                                      "inf",
                                      "0x10",
                                      "281474976711",
                                      "11111111111111111111111111111111111"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_false(set_body_ttl_of_text(slice_from_text(bad[i]), &ms));
    }
    assert_false(set_body_ttl_of_text(SLICE("1\0"
                                            "2"),
                                      &ms));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_ones),         cmocka_unit_test(test_bad_ones),
        cmocka_unit_test(test_bad_times_to_live), cmocka_unit_test(test_many_members),
        cmocka_unit_test(test_what_is_no_number), cmocka_unit_test(test_ttl_as_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
