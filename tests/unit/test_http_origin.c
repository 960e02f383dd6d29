/* Which server a browser means, and which page asks. */
#include "protocol/http_origin.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

static void test_authorities(void **state) {
    (void)state;
    static const struct {
        const char *text, *host, *port;
        bool is_literal;
    } good[] = {
        {"", "", "", false},
        {":", "", "", false},
        {":80", "", "80", false},
        {"localhost", "localhost", "", false},
        {"localhost.:1", "localhost.", "1", false},
        {"127.0.0.1:9000", "127.0.0.1", "9000", false},
        {"[::1]", "::1", "", true},
        {"[::1]:9000", "::1", "9000", true},
        {"a_b-c.d~e", "a_b-c.d~e", "", false},
        {"%41%c3%a4.x", "%41%c3%a4.x", "", false},
        {"[v1.a:b]:", "v1.a:b", "", true},
        {"a!$&'()*+,;=:1", "a!$&'()*+,;=", "1", false},
    };
    static const char *const bad[] = {"a b",      "a@b",      "a b@@", "a:b", "a:1:2", "a/b", "::1",    "[::1",
                                      "[]",       "[::1]x",   "[a/b]", "%4",  "%zz",   "a%",  "a\"b",   "a,b c",
                                      "\xc3\xa4", "http://a", "a@",    "@a",  "a:b@c", "[",   "[::1]:x"};
    struct http_authority authority;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_true(http_authority_parse(slice_from_text(good[i].text), &authority));
        assert_true(slice_equals(authority.host, slice_from_text(good[i].host)));
        assert_true(slice_equals(authority.port, slice_from_text(good[i].port)));
        assert_int_equal(authority.is_literal, good[i].is_literal);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_false(http_authority_parse(slice_from_text(bad[i]), &authority));
    }
    assert_false(http_authority_parse(SLICE("a\0"), &authority));
}

static void test_names(void **state) {
    (void)state;
    assert_true(http_host_name_equal(SLICE("Localhost."), SLICE("localHOST")));
    assert_true(http_host_name_equal(SLICE("a.b"), SLICE("a.b.")));
    assert_false(http_host_name_equal(SLICE("a.b.."), SLICE("a.b")));
    assert_false(http_host_name_equal(SLICE("localhost.evil.example"), SLICE("localhost")));
    assert_false(http_host_name_equal(SLICE(""), SLICE("localhost")));
}

static void test_what_is_no_origin(void **state) {
    (void)state;
    static const char *const bad[] = {
        "",           "null",
        "localhost",  "//a",
        "http:",      "http:/a",
        "http://",    "http://:80",
        "http://a/",  "http://a/b",
        "http://a b", "1http://a",
        "http://u@a", "http://a:b",
        "*",          "http://a http://b",
        "ht tp://a",  "http://a,http://b c",
    };
    struct http_origin origin;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_false(http_origin_parse(slice_from_text(bad[i]), &origin));
    }
    assert_false(http_origin_parse(SLICE("\0://a"), &origin));
    assert_false(http_origin_parse(SLICE("ht\0tp://a"), &origin));
}

static bool equal(const char *a, const char *b) {
    struct http_origin left, right;
    assert_true(http_origin_parse(slice_from_text(a), &left));
    assert_true(http_origin_parse(slice_from_text(b), &right));
    assert_int_equal(http_origin_equal(&left, &right), http_origin_equal(&right, &left));
    return http_origin_equal(&left, &right);
}

static void test_equal_origins(void **state) {
    (void)state;
    assert_true(equal("http://a", "HTTP://A:80"));
    assert_true(equal("https://a.example", "https://a.example:443"));
    assert_true(equal("moz-extension://0a-b", "moz-extension://0a-b"));
    assert_false(equal("http://a", "https://a"));
    assert_false(equal("http://a", "http://a:8080"));
    assert_false(equal("http://a:443", "https://a"));
    assert_false(equal("http://a.b", "http://b"));
    assert_false(equal("http://[::1]", "http://[::2]"));
}

static bool is_of(const char *origin_text, const char *host_text) {
    struct http_origin origin;
    struct http_authority host;
    assert_true(http_origin_parse(slice_from_text(origin_text), &origin));
    assert_true(http_authority_parse(slice_from_text(host_text), &host));
    return http_origin_is_of(&origin, &host);
}

static void test_the_origin_of_a_host(void **state) {
    (void)state;
    assert_true(is_of("http://localhost:9000", "LOCALHOST:9000"));
    assert_true(is_of("http://a", "a"));
    assert_true(is_of("http://a", "a:80"));
    assert_true(is_of("https://a", "a")); /* behind a TLS proxy */
    assert_true(is_of("https://a:443", "a"));
    assert_true(is_of("http://[::1]:9000", "[::1]:9000"));
    assert_false(is_of("http://localhost:3000", "localhost:9000"));
    assert_false(is_of("http://localhost", "localhost:9000"));
    assert_false(is_of("https://a:80", "a"));
    assert_false(is_of("http://127.0.0.1:9000", "localhost:9000"));
    assert_false(is_of("http://a.evil.example", "a"));
    assert_false(is_of("moz-extension://a", "a"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_authorities),          cmocka_unit_test(test_names),
        cmocka_unit_test(test_what_is_no_origin),    cmocka_unit_test(test_equal_origins),
        cmocka_unit_test(test_the_origin_of_a_host),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
