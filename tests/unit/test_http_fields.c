#include "protocol/http_fields.h"
#include "protocol/http_query.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static struct http_list list_of(const char *first, const char *second) {
    struct http_list list = {.lines = {slice_from_text(first)}, .count = 1};
    if (second != NULL) {
        list.lines[list.count++] = slice_from_text(second);
    }
    return list;
}

static enum http_etag match(const char *value, bool exists, uint64_t version, bool weak) {
    struct http_list list = list_of(value, NULL);
    return http_etag_match(&list, exists, version, weak);
}

static void test_entity_tags(void **state) {
    (void)state;
    assert_int_equal(match("\"7\"", true, 7, false), HTTP_ETAG_MATCH);
    assert_int_equal(match("\"7\"", true, 8, false), HTTP_ETAG_NONE);
    assert_int_equal(match("\"7\"", false, 7, false), HTTP_ETAG_NONE);
    assert_int_equal(match("\"6\" , \"7\"", true, 7, false), HTTP_ETAG_MATCH);
    assert_int_equal(match("\"a,b\",\"7\"", true, 7, false), HTTP_ETAG_MATCH);
    assert_int_equal(match("\"a,7\"", true, 7, false), HTTP_ETAG_NONE);
    assert_int_equal(match(", ,\"7\",", true, 7, false), HTTP_ETAG_MATCH);
    assert_int_equal(match("\"07\", \"+7\", \"\", \"7 \xc3\xa4\"", true, 7, false),
                     HTTP_ETAG_MALFORMED); /* blank */
    assert_int_equal(match("\"07\", \"+7\", \"\", \"7\xc3\xa4\"", true, 7, false), HTTP_ETAG_NONE);
    assert_int_equal(match("\"18446744073709551615\"", true, UINT64_MAX, false), HTTP_ETAG_MATCH);
    assert_int_equal(match("\"9007199254740993\"", true, 9007199254740992U, false), HTTP_ETAG_NONE);
    /* "If-Match" compares strongly, "If-None-Match" weakly (RFC 9110, 13.1.1 and 13.1.2). */
    assert_int_equal(match("W/\"7\"", true, 7, false), HTTP_ETAG_NONE);
    assert_int_equal(match("W/\"7\"", true, 7, true), HTTP_ETAG_MATCH);
    assert_int_equal(match("*", true, 7, false), HTTP_ETAG_MATCH);
    assert_int_equal(match(" * ", true, 7, true), HTTP_ETAG_MATCH);
    assert_int_equal(match("*", false, 0, false), HTTP_ETAG_NONE);
    static const char *const malformed[] = {
        "",       ",",        "7",        "\"7",         "7\"",      "\"7\" \"8\"", "w/\"7\"",
        "\"7\"x", "*, \"7\"", "\"7\", *", "\"7\" ; q=1", "\"\x7f\"", "**"};
    for (size_t i = 0; i < sizeof(malformed) / sizeof(malformed[0]); i++) {
        assert_int_equal(match(malformed[i], true, 7, true), HTTP_ETAG_MALFORMED);
    }
    struct http_list two = list_of("\"1\"", "\"7\"");
    assert_int_equal(http_etag_match(&two, true, 7, false), HTTP_ETAG_MATCH);
    two = list_of("*", "\"7\"");
    assert_int_equal(http_etag_match(&two, true, 7, false), HTTP_ETAG_MALFORMED);
}

static bool prefers(const char *accept) {
    struct http_list list = list_of(accept, NULL);
    return http_accept_prefers_octets(&list);
}

static void test_accept(void **state) {
    (void)state;
    static const char *const octets[] = {
        "application/octet-stream",
        "Application/Octet-Stream",
        "application/octet-stream, */*",
        "application/json;q=0.5, application/octet-stream;q=0.6",
        "text/html, application/octet-stream ; q=0.001",
        "*/*, application/json;q=0",
        "application/*;q=0.9, application/json;q=0.1",
    };
    static const char *const json[] = {
        "",
        "*/*",
        "application/*",
        "application/json",
        "text/html",
        "application/json, application/octet-stream",
        "application/json;q=0.6, application/octet-stream;q=0.5",
        "application/octet-stream;q=0",
        "application/octet-stream;q=2",
        "application/octet-stream;q=x",
        "application/octet-stream;q=0.1234",
        "application/octet-streams",
        "application/octet-stream;q=0.5, */*",
        ";;,,",
        "*",
    };
    for (size_t i = 0; i < sizeof(octets) / sizeof(octets[0]); i++) {
        assert_true(prefers(octets[i]));
    }
    for (size_t i = 0; i < sizeof(json) / sizeof(json[0]); i++) {
        assert_false(prefers(json[i]));
    }
    struct http_list none = {.count = 0};
    assert_false(http_accept_prefers_octets(&none));
    struct http_list two = list_of("text/html", "application/octet-stream");
    assert_true(http_accept_prefers_octets(&two));
}

static void test_media_types(void **state) {
    (void)state;
    assert_true(http_media_type_is(SLICE("application/json"), SLICE("application/json")));
    assert_true(http_media_type_is(SLICE("Application/JSON ; charset=utf-8"), SLICE("application/json")));
    assert_false(http_media_type_is(SLICE("application/jsonp"), SLICE("application/json")));
    assert_false(http_media_type_is(SLICE(""), SLICE("application/json")));
}

static void test_a_query(void **state) {
    (void)state;
    struct buf scratch;
    buf_init(&scratch, 1 << 16);
    struct http_param params[] = {{.name = SLICE("key")}, {.name = SLICE("limit")}};
    size_t others;
    const char *reason = NULL;
    static const struct {
        const char *query;
        bool key_given;
        const char *key;
        bool limit_given;
        const char *limit;
        size_t others;
    } good[] = {
        {"", false, "", false, "", 0},
        {"key=a", true, "a", false, "", 0},
        {"key=", true, "", false, "", 0},
        {"key", true, "", false, "", 0},
        {"key=a=b", true, "a=b", false, "", 0},
        {"limit=1&key=a+b%2Bc%26%3d%c3%A4", true, "a b+c&=\xc3\xa4", true, "1", 0},
        {"limit=%31%30&%6bey=%41+", true, "A ", true, "10", 0},
        {"other=1&other=2&&Key=3&key=x&", true, "x", false, "", 4},
        {"keys=1&xkey=2", false, "", false, "", 2},
    };
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_true(http_query_read(slice_from_text(good[i].query), params, 2, &scratch, &others, &reason));
        assert_int_equal(params[0].given, good[i].key_given);
        assert_true(slice_equals(params[0].value, slice_from_text(good[i].key)));
        assert_int_equal(params[1].given, good[i].limit_given);
        assert_true(slice_equals(params[1].value, slice_from_text(good[i].limit)));
        assert_int_equal(others, good[i].others);
    }
    assert_true(http_query_read(SLICE("key=%00x"), params, 2, &scratch, &others, &reason));
    assert_true(slice_equals(params[0].value, SLICE("\0x")));
    static const char *const bad[] = {"key=a&key=b", "key&key", "key=1&%6bey=2", "key=%", "key=%4",
                                      "key=%zz",     "%=1"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        reason = NULL;
        assert_false(http_query_read(slice_from_text(bad[i]), params, 2, &scratch, &others, &reason));
        assert_non_null(reason);
    }
    buf_deinit(&scratch);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_entity_tags),
        cmocka_unit_test(test_accept),
        cmocka_unit_test(test_media_types),
        cmocka_unit_test(test_a_query),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
