#include "protocol/http_reply.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static const char date[] = "Sun, 06 Nov 1994 08:49:37 GMT";

static struct http_reply reply_to(struct buf *out) {
    buf_init(out, 1 << 20);
    return (struct http_reply){.out = out, .date = slice_from_text(date), .keep_alive = true};
}

static void expect(struct buf *out, const char *text) {
    buf_append_byte(out, '\0');
    assert_string_equal(buf_slice(out).ptr, text);
    buf_deinit(out);
}

static void test_a_reply_with_a_body(void **state) {
    (void)state;
    struct buf out;
    struct http_reply reply = reply_to(&out);
    http_reply_start(&reply, 200);
    http_reply_field(&reply, HTTP_FIELD("Content-Type: text/plain"));
    http_reply_etag_field(&reply, UINT64_MAX);
    http_reply_end_with_length(&reply, 5);
    http_reply_body(&reply, SLICE("hello"));
    expect(&out, "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Type: text/plain\r\n"
                 "ETag: \"18446744073709551615\"\r\nContent-Length: 5\r\n\r\nhello");
}

static void test_a_head_has_the_length_and_no_body(void **state) {
    (void)state;
    struct buf out;
    struct http_reply reply = reply_to(&out);
    reply.head_only = true;
    reply.keep_alive = false;
    http_reply_start(&reply, 404);
    http_reply_end_with_length(&reply, 5);
    http_reply_body(&reply, SLICE("hello"));
    expect(&out, "HTTP/1.1 404 Not Found\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nConnection: close\r\n"
                 "Content-Length: 5\r\n\r\n");
}

static void test_chunks(void **state) {
    (void)state;
    struct buf out;
    struct http_reply reply = reply_to(&out);
    http_reply_end_streamed(&reply);
    size_t mark = http_chunk_begin(&reply);
    buf_append_text(&out, "0123456789abcdefXYZ");
    http_chunk_end(&reply, mark);
    mark = http_chunk_begin(&reply); /* an empty chunk would be the last one: it is none */
    http_chunk_end(&reply, mark);
    http_chunk_last(&reply);
    expect(&out, "Transfer-Encoding: chunked\r\n\r\n0000000000000013\r\n0123456789abcdefXYZ\r\n0\r\n\r\n");
}

static void test_http10_is_streamed_up_to_the_close(void **state) {
    (void)state;
    struct buf out;
    struct http_reply reply = reply_to(&out);
    reply.http10 = true;
    http_reply_start(&reply, 204);
    http_reply_end_without_body(&reply);
    reply.keep_alive = false;
    http_reply_start(&reply, 200);
    http_reply_end_streamed(&reply);
    size_t mark = http_chunk_begin(&reply);
    buf_append_text(&out, "abc");
    http_chunk_end(&reply, mark);
    http_chunk_last(&reply);
    expect(&out,
           "HTTP/1.1 204 No Content\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nConnection: keep-alive\r\n\r\n"
           "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nConnection: close\r\n\r\nabc");
}

/* A chunk that begins when the buf has been consumed from, and makes it move. */
static void test_a_chunk_finds_its_head_again(void **state) {
    (void)state;
    struct buf out;
    struct http_reply reply = reply_to(&out);
    buf_append_text(&out, "consumed");
    buf_append_text(&out, "kept ");
    buf_consume(&out, 8);
    size_t mark = http_chunk_begin(&reply);
    static char big[100000];
    memset(big, 'x', sizeof(big));
    buf_append(&out, big, sizeof(big));
    http_chunk_end(&reply, mark);
    assert_memory_equal(buf_slice(&out).ptr, "kept 00000000000186a0\r\nxxx", 26);
    assert_int_equal(buf_used(&out), 5 + 18 + 100000 + 2);
    buf_deinit(&out);
}

/* Every status that an error may have has its line. */
static void test_every_error_has_a_status_line(void **state) {
    (void)state;
    static const int statuses[] = {
#define ERROR(name, code, text, status) status,
#include "protocol/errors.def"
#undef ERROR
    };
    for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
        struct buf out;
        struct http_reply reply = reply_to(&out);
        http_reply_start(&reply, statuses[i]);
        char number[16], line[128];
        snprintf(number, sizeof(number), "%d", statuses[i]);
        snprintf(line, sizeof(line), "HTTP/1.1 %s %s\r\nDate: ", number, http_status_title(statuses[i]));
        assert_memory_equal(buf_slice(&out).ptr, line, strlen(line));
        buf_deinit(&out);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_reply_with_a_body),
        cmocka_unit_test(test_a_head_has_the_length_and_no_body),
        cmocka_unit_test(test_chunks),
        cmocka_unit_test(test_http10_is_streamed_up_to_the_close),
        cmocka_unit_test(test_a_chunk_finds_its_head_again),
        cmocka_unit_test(test_every_error_has_a_status_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
