/* Each request whole, byte by byte, and split at every point: the same results. */
#include "protocol/http_request.h"

#include "protocol/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* What a parser made of some bytes, as text: a line for each request, then what came last. */
struct outcome {
    struct buf text;
    size_t heads; /* reported before their bodies */
    bool bad;
    enum err err;
};

static void note(struct outcome *outcome, const struct http_request *r) {
    struct buf *out = &outcome->text;
    buf_printf(out, "%s %.*s|%.*s|%.*s %s %s", llhttp_method_name(r->method), (int)r->target.len, r->target.ptr,
               (int)r->path.len, r->path.ptr, (int)r->query.len, r->query.ptr, r->http10 ? "1.0" : "1.1",
               r->keep_alive ? "keep" : "close");
    if (r->has_content_type) {
        buf_printf(out, " type=%.*s", (int)r->content_type.len, r->content_type.ptr);
    }
    const struct http_list *lists[] = {&r->accept, &r->content_encoding, &r->if_match, &r->if_none_match};
    const char *names[] = {"accept", "content-encoding", "if-match", "if-none-match"};
    for (size_t i = 0; i < 4; i++) {
        for (size_t j = 0; j < lists[i]->count; j++) {
            buf_printf(out, " %s=%.*s", names[i], (int)lists[i]->lines[j].len, lists[i]->lines[j].ptr);
        }
    }
    if (r->has_host && !slice_equals(r->host.host, SLICE("a"))) {
        buf_printf(out, " host=%.*s:%.*s", (int)r->host.host.len, r->host.host.ptr, (int)r->host.port.len,
                   r->host.port.ptr);
    }
    if (r->has_origin) {
        buf_printf(out, " origin=%.*s", (int)r->origin.len, r->origin.ptr);
    }
    if (r->has_fetch_site) {
        buf_printf(out, " site=%.*s", (int)r->fetch_site.len, r->fetch_site.ptr);
    }
    buf_append_text(out, r->is_preflight ? " preflight body=" : " body=");
    buf_append_slice(out, r->body);
    buf_append_text(out, "\n");
}

/* Feeds bytes in pieces that end at the given points, and at the end. Each piece is a copy of its own, as long
 * as itself, so that a sanitizer sees a look at what is not there any more. */
static struct outcome run(struct slice bytes, size_t cut, size_t piece) {
    struct outcome outcome = {.bad = false};
    buf_init(&outcome.text, 16 << 20);
    struct http_parser parser;
    http_parser_init(&parser);
    for (size_t at = 0; at < bytes.len && !outcome.bad;) {
        size_t n = at < cut ? cut - at : bytes.len - at;
        n = piece > 0 && piece < n ? piece : n;
        char *copy = malloc(n);
        memcpy(copy, bytes.ptr + at, n);
        for (size_t done = 0; done < n && !outcome.bad;) {
            struct http_request request;
            size_t used = 0;
            enum http_parse result =
                http_parser_feed(&parser, slice_of(copy + done, n - done), &used, &request);
            done += used;
            if (result == HTTP_PARSE_OK) {
                assert_true(used > 0);
                note(&outcome, &request);
                http_parser_next(&parser);
            } else if (result == HTTP_PARSE_BAD) {
                const char *reason;
                outcome.bad = true;
                outcome.err = http_parser_error(&parser, &reason);
                assert_non_null(reason);
                buf_printf(&outcome.text, "BAD %d", err_http_status(outcome.err));
            } else if (result == HTTP_PARSE_HEAD) {
                assert_int_equal(http_parser_phase(&parser), HTTP_PHASE_BODY);
                assert_int_equal(http_parser_kept_body(&parser), 0);
                assert_int_equal(request.body.len, 0);
                outcome.heads++;
            } else {
                assert_int_equal(done, n);
            }
        }
        free(copy);
        at += n;
    }
    if (!outcome.bad && http_parser_phase(&parser) != HTTP_PHASE_START) {
        buf_append_text(&outcome.text, http_parser_phase(&parser) == HTTP_PHASE_HEAD ? "HEAD" : "BODY");
    }
    http_parser_deinit(&parser);
    return outcome;
}

static void expect(struct slice bytes, const char *expected, size_t cut, size_t piece) {
    struct outcome outcome = run(bytes, cut, piece);
    buf_append_byte(&outcome.text, '\0');
    if (strcmp(buf_slice(&outcome.text).ptr, expected) != 0) {
        print_message("cut at %zu, pieces of %zu: %.200s\n", cut, piece, bytes.ptr);
    }
    assert_string_equal(buf_slice(&outcome.text).ptr, expected);
    buf_deinit(&outcome.text);
}

static void expect_however_split(const char *text, const char *expected) {
    struct slice bytes = slice_from_text(text);
    expect(bytes, expected, 0, 0);
    expect(bytes, expected, 0, 1);
    for (size_t cut = 1; cut < bytes.len; cut++) {
        expect(bytes, expected, cut, 0);
    }
}

#define HOST "Host: a\r\n"

static void test_requests_that_are_fine(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"GET /get?key=a%20b HTTP/1.1\r\n" HOST "\r\n", "GET /get?key=a%20b|/get|key=a%20b 1.1 keep body=\n"},
        {"GET / HTTP/1.0\r\n\r\n", "GET /|/| 1.0 close body=\n"},
        {"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "GET /|/| 1.0 keep body=\n"},
        {"GET / HTTP/1.1\r\n" HOST "connection: foo, CLOSE\r\n\r\n", "GET /|/| 1.1 close body=\n"},
        {"HEAD /x HTTP/1.1\r\nHost:\r\n\r\n", "HEAD /x|/x| 1.1 keep host=: body=\n"},
        {"GET / HTTP/1.2\r\n" HOST "\r\n", "GET /|/| 1.1 keep body=\n"},
        {"GET / HTTP/1.9\r\n" HOST "Connection: close\r\n\r\n", "GET /|/| 1.1 close body=\n"},
        {"OPTIONS * HTTP/1.1\r\n" HOST "\r\n", "OPTIONS *|*| 1.1 keep body=\n"},
        {"GET http://h:1/p?q HTTP/1.1\r\n" HOST "\r\n", "GET /p?q|/p|q 1.1 keep host=h:1 body=\n"},
        {"GET HTTP://h?q HTTP/1.1\r\n" HOST "\r\n", "GET ?q|/|q 1.1 keep host=h: body=\n"},
        {"GET https://[::1]:2 HTTP/1.0\r\n\r\n", "GET |/| 1.0 close host=::1:2 body=\n"},
        {"GET / HTTP/1.1\r\nHost: [::1]:9\r\nOrigin: null\r\nsec-fetch-site: none\r\n\r\n",
         "GET /|/| 1.1 keep host=::1:9 origin=null site=none body=\n"},
        {"OPTIONS / HTTP/1.1\r\n" HOST "Origin: \r\nAccess-Control-Request-Method: POST\r\n\r\n",
         "OPTIONS /|/| 1.1 keep origin= preflight body=\n"},
        {"OPTIONS / HTTP/1.1\r\n" HOST "Access-Control-Request-Method: POST\r\n\r\n",
         "OPTIONS /|/| 1.1 keep body=\n"},
        {"GET / HTTP/1.1\r\n" HOST "Origin: x\r\nAccess-Control-Request-Method: POST\r\n\r\n",
         "GET /|/| 1.1 keep origin=x body=\n"},
        {"GET /a?b?c=d&e HTTP/1.1\r\n" HOST "\r\n", "GET /a?b?c=d&e|/a|b?c=d&e 1.1 keep body=\n"},
        {"POST /s HTTP/1.1\r\n" HOST "Content-Length: 5\r\nContent-Type: \t a/b; c \r\n\r\nhello",
         "POST /s|/s| 1.1 keep type=a/b; c body=hello\n"},
        {"POST /s HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n", "POST /s|/s| 1.1 keep body=\n"},
        {"POST /s HTTP/1.1\r\n" HOST "transfer-encoding: Chunked\r\n\r\n"
         "3;name=value\r\nabc\r\n00A\r\n0123456789\r\n000;last\r\n\r\n",
         "POST /s|/s| 1.1 keep body=abc0123456789\n"},
        {"POST /s HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"
         "5;a=b;c=d\r\nhello\r\n1 ; a = \"x;y\\\"\\\\\" ;b\r\n!\r\n1\t;\tq=\"\"\r\n?\r\n0;a=b;c=d\r\n\r\n",
         "POST /s|/s| 1.1 keep body=hello!?\n"},
        {"POST /s HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
         "POST /s|/s| 1.1 keep body=\n"},
        {"GET / HTTP/1.1\r\n" HOST
         "If-None-Match: \"1\"\r\nIf-Match: *\r\nIF-NONE-MATCH: \"2\"\r\nAccept: */*\r\n\r\n",
         "GET /|/| 1.1 keep accept=*/* if-match=* if-none-match=\"1\" if-none-match=\"2\" body=\n"},
        {"GET / HTTP/1.1\r\n" HOST "Content-encoding: gzip\r\nContent-Encoding: a, b\r\n\r\n",
         "GET /|/| 1.1 keep content-encoding=gzip content-encoding=a, b body=\n"},
        /* Upgrade is ignored. */
        {"GET / HTTP/1.1\r\n" HOST "Upgrade: h2c\r\nConnection: Upgrade\r\n\r\n", "GET /|/| 1.1 keep body=\n"},
        {"POST / HTTP/1.1\r\n" HOST "Upgrade: h2c\r\nConnection: Upgrade\r\nContent-Length: 1\r\n\r\nx",
         "POST /|/| 1.1 keep body=x\n"},
        /* Pipelined, with empty lines before. */
        {"\r\n\r\nGET /1 HTTP/1.1\r\n" HOST "\r\nPOST /2 HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\nab\r\n"
         "POST /3 HTTP/1.1\r\n" HOST
         "Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\nGET /4 HTTP/1.1\r\n" HOST "\r\n",
         "GET /1|/1| 1.1 keep body=\nPOST /2|/2| 1.1 keep body=ab\nPOST /3|/3| 1.1 keep body=x\n"
         "GET /4|/4| 1.1 keep body=\n"},
        /* Not whole yet. */
        {"GET / HTTP/1.1\r\n" HOST, "HEAD"},
        {"POST / HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\nab", "BODY"},
        {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n", "BODY"},
        {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r", "BODY"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        expect_however_split(cases[i][0], cases[i][1]);
    }
}

static void test_what_two_parsers_could_read_differently(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"POST / HTTP/1.1\r\n" HOST "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", "BAD 400"},
        {"POST / HTTP/1.1\r\n" HOST "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", "BAD 400"},
        {"POST / HTTP/1.1\r\n" HOST "Content-Length: 5, 5\r\n\r\nhello", "BAD 400"},
        {"POST / HTTP/1.1\r\n" HOST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
         "BAD 400"},
        {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
         "BAD 400"},
        {"POST / HTTP/1.1\r\n" HOST "Content-Length: +5\r\n\r\nhello", "BAD 400"},
        {"POST / HTTP/1.1\r\n" HOST "Content-Length: -5\r\n\r\nhello", "BAD 400"},
        {"POST / HTTP/1.1\r\n" HOST "Content-Length: 0x5\r\n\r\nhello", "BAD 400"},
        {"POST / HTTP/1.1\r\n" HOST "Content-Length: 5 5\r\n\r\nhello", "BAD 400"},
        {"POST / HTTP/1.1\r\n" HOST "Content-Length:\r\n\r\n", "BAD 400"},
        {"POST / HTTP/1.1\r\n" HOST "Content-Length: 99999999999999999999\r\n\r\n", "BAD 400"},
        {"POST / HTTP/1.1\r\n" HOST "Content-Length : 5\r\n\r\nhello", "BAD 400"},
        {"POST / HTTP/1.1\r\n" HOST "Content Length: 5\r\n\r\nhello", "BAD 400"},
        {"POST / HTTP/1.1\r\n" HOST " Content-Length: 5\r\n\r\nhello", "BAD 400"},
        {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "BAD 400"},
        {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", "BAD 400"},
        {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", "BAD 400"},
        {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: identity\r\n\r\n", "BAD 400"},
        {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding:\r\n\r\n", "BAD 400"},
        {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
         "BAD 400"},
        {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n", "BAD 400"},
        {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding:\x0b"
         "chunked\r\n\r\n0\r\n\r\n",
         "BAD 400"},
        {"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "BAD 400"},
        /* Line ends. */
        {"GET / HTTP/1.1\n"
         "Host: a\r\n\r\n",
         "BAD 400"},
        {"GET / HTTP/1.1\r\nHost: a\n\r\n", "BAD 400"},
        {"GET / HTTP/1.1\r\nHost: a\r\n\n", "BAD 400"},
        {"GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n", "BAD 400"},
        {"\nGET / HTTP/1.1\r\n" HOST "\r\n", "BAD 400"},
        {"\rGET / HTTP/1.1\r\n" HOST "\r\n", "BAD 400"},
        /* Folded lines, and lines without a name. */
        {"GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n", "BAD 400"},
        {"GET / HTTP/1.1\r\nHost: a\r\n\tb\r\n\r\n", "BAD 400"},
        {"GET / HTTP/1.1\r\n" HOST ": b\r\n\r\n", "BAD 400"},
        {"GET / HTTP/1.1\r\n" HOST "nothing\r\n\r\n", "BAD 400"},
        {"GET / HTTP/1.1\r\n" HOST "a(b): c\r\n\r\n", "BAD 400"},
        {"GET / HTTP/1.1\r\n" HOST "a: b\x01"
         "c\r\n\r\n",
         "BAD 400"},
        /* Chunks. */
        {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n5\r\nhelloXX0\r\n\r\n", "BAD 400"},
        {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n", "BAD 400"},
        {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n5\r\rhello\r\n0\r\n\r\n", "BAD 400"},
        {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n5 \r\nhello\r\n0\r\n\r\n", "BAD 400"},
        {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n", "BAD 400"},
        {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n", "BAD 400"},
        {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n\r\nhello\r\n0\r\n\r\n", "BAD 400"},
        {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nhello\r\n0\r\n\r\n",
         "BAD 400"},
        {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n5;a\nb\r\nhello\r\n0\r\n\r\n",
         "BAD 400"},
        {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n5;a\rb"
         "\r\nhello\r\n0\r\n\r\n",
         "BAD 400"},
        {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n5;a\r\rb"
         "\r\nhello\r\n0\r\n\r\n",
         "BAD 400"},
        {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n5;a=\"x\r\n\""
         "\r\nhello\r\n0\r\n\r\n",
         "BAD 400"},
        {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n5;a=\"x"
         "\r\nhello\r\n0\r\n\r\n",
         "BAD 400"},
        {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n5;a=\"\\"
         "\r\nhello\r\n0\r\n\r\n",
         "BAD 400"},
        {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n5;"
         "\r\nhello\r\n0\r\n\r\n",
         "BAD 400"},
        {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n5; "
         "\r\nhello\r\n0\r\n\r\n",
         "BAD 400"},
        {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n5;;a"
         "\r\nhello\r\n0\r\n\r\n",
         "BAD 400"},
        {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n5;a;"
         "\r\nhello\r\n0\r\n\r\n",
         "BAD 400"},
        {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n5;=b"
         "\r\nhello\r\n0\r\n\r\n",
         "BAD 400"},
        {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n5;\"a\""
         "\r\nhello\r\n0\r\n\r\n",
         "BAD 400"},
        {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n5 "
         "\r\nhello\r\n0\r\n\r\n",
         "BAD 400"},
        {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n5\t"
         "\r\nhello\r\n0\r\n\r\n",
         "BAD 400"},
        {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n5 a"
         "\r\nhello\r\n0\r\n\r\n",
         "BAD 400"},
        {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n5;\n"
         "\r\nhello\r\n0\r\n\r\n",
         "BAD 400"},
        {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n5;a\n"
         "\r\nhello\r\n0\r\n\r\n",
         "BAD 400"},
        {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n5\n;a"
         "\r\nhello\r\n0\r\n\r\n",
         "BAD 400"},
        {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n5;a\x01"
         "\r\nhello\r\n0\r\n\r\n",
         "BAD 400"},
        {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n5;a\x7f"
         "\r\nhello\r\n0\r\n\r\n",
         "BAD 400"},
        {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n;a"
         "\r\nhello\r\n0\r\n\r\n",
         "BAD 400"},
        {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n5;a=\"\x01\""
         "\r\nhello\r\n0\r\n\r\n",
         "BAD 400"},
        {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n5 6;a"
         "\r\nhello\r\n0\r\n\r\n",
         "BAD 400"},
        {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n5,a"
         "\r\nhello\r\n0\r\n\r\n",
         "BAD 400"},
        {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\ng;a"
         "\r\nhello\r\n0\r\n\r\n",
         "BAD 400"},
        /* Trailers, and what else is not an empty line behind the last chunk. */
        {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n0\r\n\n", "BAD 400"},
        {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\r\n", "BAD 400"},
        {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n0\r\nT: x\r\n\r\n", "BAD 400"},
        {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n0\r\nT: x\r\n\n", "BAD 400"},
        {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n0\r\nT: x\r\n y\r\n\r\n", "BAD 400"},
        {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n0\r\n T: x\r\n\r\n", "BAD 400"},
        {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 5\r\n\r\nhello",
         "BAD 400"},
        {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\n\r\n", "BAD 400"},
        /* Host. */
        {"GET / HTTP/1.1\r\n\r\n", "BAD 400"},
        {"GET / HTTP/1.2\r\n\r\n", "BAD 400"},
        {"GET / HTTP/1.1\r\n" HOST HOST "\r\n", "BAD 400"},
        {"GET / HTTP/1.1\r\nHost: a b@@\r\n\r\n", "BAD 400"},
        {"GET http://u@a/ HTTP/1.1\r\n" HOST "\r\n", "BAD 400"},
        {"GET http://u:p@a/ HTTP/1.1\r\n" HOST "\r\n", "BAD 400"},
        {"GET http:///x HTTP/1.1\r\n" HOST "\r\n", "BAD 400"},
        {"GET http://:80/x HTTP/1.1\r\n" HOST "\r\n", "BAD 400"},
        {"GET http://a/x HTTP/1.1\r\nHost: u@a\r\n\r\n", "BAD 400"},
        {"GET / HTTP/1.1\r\n" HOST "Origin: http://a\r\nOrigin: http://b\r\n\r\n", "BAD 400"},
        {"GET / HTTP/1.1\r\n" HOST "Sec-Fetch-Site: none\r\nSec-Fetch-Site: none\r\n\r\n", "BAD 400"},
        {"GET / HTTP/1.0\r\nHost: a b\r\n\r\n", "BAD 400"},
        {"GET / HTTP/1.1\r\n" HOST "Content-Type: a/b\r\nContent-Type: c/d\r\n\r\n", "BAD 400"},
        /* The request line. */
        {"GET  / HTTP/1.1\r\n" HOST "\r\n", "BAD 400"},
        {"GET /  HTTP/1.1\r\n" HOST "\r\n", "BAD 400"},
        {"GET /x#y HTTP/1.1\r\n" HOST "\r\n", "BAD 400"},
        {"GET x HTTP/1.1\r\n" HOST "\r\n", "BAD 400"},
        {"GET /\x01 HTTP/1.1\r\n" HOST "\r\n", "BAD 400"},
        {"GET /\r\n" HOST "\r\n", "BAD 505"},
        {"GET / HTTP/0.9\r\n" HOST "\r\n", "BAD 505"},
        {"GET / HTTP/2.0\r\n" HOST "\r\n", "BAD 505"},
        {"GET / HTTP/3.0\r\n" HOST "\r\n", "BAD 505"},
        {"GET / HTTP/1.10\r\n" HOST "\r\n", "BAD 505"},
        {"GET / HTTP/1.x\r\n" HOST "\r\n", "BAD 505"},
        {"GET / RTSP/1.0\r\n" HOST "\r\n", "BAD 505"},
        {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "BAD 505"},
        {"CONNECT a:1 HTTP/1.1\r\n" HOST "\r\n", "BAD 501"},
        {"BREW /pot HTTP/1.1\r\n" HOST "\r\n", "BAD 501"},
        {"get / HTTP/1.1\r\n" HOST "\r\n", "BAD 400"},
        {"*1\r\n$4\r\nPING\r\n", "BAD 400"},
        {"\x16\x03\x01", "BAD 400"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        expect_however_split(cases[i][0], cases[i][1]);
    }
}

/* before, then n bytes of filler, then after: whole, and in pieces. */
static void expect_filled(const char *before, char filler, size_t n, const char *after, const char *expected) {
    struct buf text;
    buf_init(&text, 4 << 20);
    buf_append_text(&text, before);
    memset(buf_reserve(&text, n), filler, n);
    buf_commit(&text, n);
    buf_append_text(&text, after);
    const size_t pieces[] = {0, 1, 7, 4096, 65535, 65536};
    for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        struct outcome outcome = run(buf_slice(&text), 0, pieces[i]);
        struct slice got = buf_slice(&outcome.text);
        if (strcmp(expected, "OK") == 0) {
            assert_false(outcome.bad);
            assert_true(got.len > 0 && got.ptr[got.len - 1] == '\n');
        } else {
            assert_true(slice_equals(got, slice_from_text(expected)));
        }
        buf_deinit(&outcome.text);
    }
    buf_deinit(&text);
}

static void test_limits(void **state) {
    (void)state;
    const size_t limit = LIMIT_HTTP_TARGET_BYTES;
    expect_filled("GET /", 'x', limit - 1, " HTTP/1.1\r\n" HOST "\r\n", "OK");
    expect_filled("GET /", 'x', limit, " HTTP/1.1\r\n" HOST "\r\n", "BAD 414");
    expect_filled("GET /", 'x', 2 * limit, " HTTP/1.1\r\n" HOST "\r\n", "BAD 414");
    expect_filled("GET /", 'x', 2 * limit, "", "BAD 414");

    const size_t around = strlen(HOST "X: \r\n\r\n");
    expect_filled("GET / HTTP/1.1\r\n" HOST "X: ", 'x', LIMIT_HTTP_HEADER_BYTES - around, "\r\n\r\n", "OK");
    expect_filled("GET / HTTP/1.1\r\n" HOST "X: ", 'x', LIMIT_HTTP_HEADER_BYTES - around + 1, "\r\n\r\n",
                  "BAD 431");
    expect_filled("GET / HTTP/1.1\r\n" HOST "X: ", 'x', 3 * LIMIT_HTTP_HEADER_BYTES, "", "BAD 431");
    expect_filled("GET / HTTP/1.1\r\n" HOST, 'X', 3 * LIMIT_HTTP_HEADER_BYTES, "", "BAD 431");
    /* Both at their limits at once. */
    expect_filled("GET / HTTP/1.1\r\n" HOST
                  "Accept: a\r\nAccept: a\r\nAccept: a\r\nAccept: a\r\nAccept: a\r\nAccept: a\r\nAccept: a\r\n"
                  "Accept: a\r\nAccept: ",
                  'x', 1, "\r\n\r\n", "BAD 431");

    expect_filled("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n1;", 'x',
                  LIMIT_HTTP_HEADER_BYTES, "", "BAD 400");
    expect_filled("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n1;", 'x', 65000,
                  "\r\nb\r\n0\r\n\r\n", "OK");
    expect_filled("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n0\r\nT: ", 'x',
                  LIMIT_HTTP_HEADER_BYTES, "\r\n\r\n", "BAD 400");
    /* 0x40000000 is the limit of a body: more is refused before a byte of it has come. */
    expect_however_split("POST / HTTP/1.1\r\n" HOST "Content-Length: 1073741824\r\n\r\n", "BODY");
    expect_however_split("POST / HTTP/1.1\r\n" HOST "Content-Length: 1073741825\r\n\r\n", "BAD 413");
    expect_however_split("POST / HTTP/1.1\r\n" HOST "Content-Length: 18446744073709551615\r\n\r\n", "BAD 413");
    expect_however_split("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n40000001\r\n",
                         "BAD 413");
    expect_however_split("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n40000000\r\n",
                         "BAD 413");
}

static void test_a_large_body(void **state) {
    (void)state;
    expect_filled("POST / HTTP/1.1\r\n" HOST "Content-Length: 300000\r\n\r\n", 'x', 300000, "", "OK");
    expect_filled("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n493e0\r\n", 'x', 300000,
                  "\r\n0\r\n\r\n", "OK");
}

/* So that a request can be refused before any of its body is taken. */
static void test_a_head_is_reported_before_its_body(void **state) {
    (void)state;
    const struct slice text = SLICE("POST /1 HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\nabc"
                                    "POST /2 HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"
                                    "1\r\nx\r\n0\r\n\r\nGET /3 HTTP/1.1\r\n" HOST "\r\n");
    const size_t first_head = strlen("POST /1 HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\n");
    for (size_t cut = 0; cut < text.len; cut++) {
        struct outcome outcome = run(text, cut, 0);
        /* Of a chunked one always; of one with a length when the body is not here whole. */
        assert_int_equal(outcome.heads, cut >= first_head && cut < first_head + 3 ? 2 : 1);
        buf_deinit(&outcome.text);
    }
    struct outcome outcome = run(text, 0, 1);
    assert_int_equal(outcome.heads, 2);
    buf_deinit(&outcome.text);
}

/* A body that nobody wants is counted, and not kept. */
static void test_a_body_is_dropped(void **state) {
    (void)state;
    static const struct {
        const char *head, *body;
        bool fine;
    } cases[] = {
        {"Content-Length: 8\r\n\r\n", "abcdefgh", true},
        {"Content-Length: 9\r\n\r\n", "a", false},
        {"Transfer-Encoding: chunked\r\n\r\n", "4\r\nabcd\r\n4;x\r\nefgh\r\n0\r\n\r\n", true},
        {"Transfer-Encoding: chunked\r\n\r\n", "4\r\nabcd\r\n5\r\n", false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct http_parser parser;
        struct http_request request;
        struct buf text;
        size_t used;
        buf_init(&text, 1 << 16);
        buf_printf(&text, "GET /g HTTP/1.1\r\n" HOST "%s", cases[i].head);
        http_parser_init(&parser);
        assert_int_equal(http_parser_feed(&parser, buf_slice(&text), &used, &request), HTTP_PARSE_HEAD);
        http_parser_drop_body(&parser, 8);
        enum http_parse result = HTTP_PARSE_MORE;
        for (const char *at = cases[i].body; *at != '\0' && result == HTTP_PARSE_MORE; at++) {
            result = http_parser_feed(&parser, slice_of(at, 1), &used, &request);
            assert_null(parser.body.data);
        }
        assert_int_equal(result, cases[i].fine ? HTTP_PARSE_OK : HTTP_PARSE_BAD);
        if (cases[i].fine) {
            assert_int_equal(request.body.len, 0);
            assert_true(slice_equals(request.path, SLICE("/g")));
        } else {
            assert_int_equal(parser.err, ERR_BODY_TOO_LARGE);
        }
        http_parser_deinit(&parser);
        buf_deinit(&text);
    }
}

/* Memory for a body follows what has come of it, and is what it needs in the end. */
static void test_a_claim_takes_no_memory(void **state) {
    (void)state;
    struct http_parser parser;
    struct http_request request;
    size_t used, length = (size_t)8 << 20;
    char piece[65536] = {0};
    http_parser_init(&parser);
    http_parser_feed(&parser, SLICE("POST / HTTP/1.1\r\n" HOST "Content-Length: 8388608\r\n\r\n"), &used,
                     &request);
    for (size_t sent = 0; sent < length; sent += sizeof(piece)) {
        http_parser_feed(&parser, slice_of(piece, sizeof(piece)), &used, &request);
        assert_true(parser.body.capacity <= length);
        assert_true(parser.body.capacity <= 8 * (sent + sizeof(piece)));
    }
    assert_int_equal(request.body.len, length);
    http_parser_deinit(&parser);
}

/* Whether the head, fed in one piece or in bytes, says that the client waits. */
static bool waits(const char *text, size_t piece) {
    struct http_parser parser;
    struct http_request request;
    enum http_parse result = HTTP_PARSE_MORE;
    http_parser_init(&parser);
    size_t n = strlen(text), used;
    for (size_t at = 0; at < n && result == HTTP_PARSE_MORE; at += used) {
        result =
            http_parser_feed(&parser, slice_of(text + at, piece < n - at ? piece : n - at), &used, &request);
    }
    assert_true(result == HTTP_PARSE_HEAD || result == HTTP_PARSE_BAD);
    bool expects = result == HTTP_PARSE_HEAD && request.expects_continue;
    http_parser_deinit(&parser);
    return expects;
}

static void test_expect_continue(void **state) {
    (void)state;
    const char *head = "POST / HTTP/1.1\r\n" HOST "Expect: 100-Continue\r\nContent-Length: 3\r\n\r\n";
    assert_true(waits(head, SIZE_MAX));
    assert_true(waits(head, 1));
    /* "[...] MUST ignore that expectation" in HTTP/1.0 (RFC 9110, 10.1.1). */
    assert_false(waits("POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n", SIZE_MAX));
    assert_false(waits("POST / HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\n", SIZE_MAX));
    /* It is refused instead. */
    assert_false(waits("POST / HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nContent-Length: 9999999999\r\n\r\n",
                       SIZE_MAX));
}

static void test_a_request_that_comes_whole_is_not_copied(void **state) {
    (void)state;
    const char text[] = "POST /p HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\nab";
    struct http_parser parser;
    struct http_request request;
    size_t used;
    http_parser_init(&parser);
    assert_int_equal(http_parser_feed(&parser, SLICE(text), &used, &request), HTTP_PARSE_OK);
    assert_int_equal(used, strlen(text));
    assert_ptr_equal(request.path.ptr, text + 5);
    assert_ptr_equal(request.body.ptr, text + sizeof(text) - 3);
    assert_null(parser.head.data);
    assert_null(parser.body.data);
    http_parser_deinit(&parser);
}

static void test_an_idle_parser_is_small(void **state) {
    (void)state;
    assert_true(sizeof(struct http_parser) <= 300);
    struct http_parser parser;
    struct http_request request;
    size_t used;
    http_parser_init(&parser);
    http_parser_feed(&parser, SLICE("POST / HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\n"), &used, &request);
    http_parser_feed(&parser, SLICE("a"), &used, &request);
    assert_non_null(parser.head.data);
    assert_int_equal(http_parser_kept_body(&parser), 1);
    assert_int_equal(http_parser_feed(&parser, SLICE("b"), &used, &request), HTTP_PARSE_OK);
    http_parser_next(&parser);
    assert_null(parser.head.data);
    assert_null(parser.body.data);
    http_parser_deinit(&parser);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests_that_are_fine),
        cmocka_unit_test(test_what_two_parsers_could_read_differently),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_a_large_body),
        cmocka_unit_test(test_a_head_is_reported_before_its_body),
        cmocka_unit_test(test_a_body_is_dropped),
        cmocka_unit_test(test_a_claim_takes_no_memory),
        cmocka_unit_test(test_expect_continue),
        cmocka_unit_test(test_a_request_that_comes_whole_is_not_copied),
        cmocka_unit_test(test_an_idle_parser_is_small),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
