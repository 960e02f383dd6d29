/* The first byte says how the rest is split: the requests found in it, and the verdict, are the same as of the
 * whole. The bodies then go where a POST /set takes them, and the queries where a GET takes them. */
#include "protocol/http_fields.h"
#include "protocol/http_query.h"
#include "protocol/http_request.h"
#include "protocol/set_body.h"

#include <assert.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Everything that a request says, with lengths, so that no two different ones look alike. */
static void note(struct buf *out, struct slice s) {
    buf_append_u64(out, s.len);
    buf_append_byte(out, ':');
    buf_append_slice(out, s);
}

static void note_request(struct buf *out, const struct http_request *r) {
    buf_append_u64(out, (uint64_t)r->method * 8 + r->http10 * 4U + r->keep_alive * 2U + r->has_content_type);
    note(out, r->target);
    note(out, r->path);
    note(out, r->query);
    note(out, r->content_type);
    buf_append_u64(out, r->has_host * 16U + r->has_origin * 8U + r->has_fetch_site * 4U + r->is_preflight * 2U);
    if (r->has_host) {
        note(out, r->host.host);
        note(out, r->host.port);
    }
    note(out, r->origin);
    note(out, r->fetch_site);
    const struct http_list *lists[] = {&r->accept, &r->content_encoding, &r->if_match, &r->if_none_match};
    for (size_t i = 0; i < 4; i++) {
        for (size_t j = 0; j < lists[i]->count; j++) {
            note(out, lists[i]->lines[j]);
        }
    }
    note(out, r->body);
}

static void use(const struct http_request *r) {
    struct buf scratch;
    buf_init(&scratch, 1 << 20);
    struct http_param params[] = {{.name = SLICE("key")}, {.name = SLICE("match")}};
    size_t others;
    const char *reason;
    http_query_read(r->query, params, 2, &scratch, &others, &reason);
    buf_deinit(&scratch);
    http_accept_prefers_octets(&r->accept);
    http_is_identity(&r->content_encoding);
    http_etag_match(&r->if_match, true, 7, false);
    http_etag_match(&r->if_none_match, true, 7, true);
    http_media_type_is(r->content_type, SLICE("application/json"));
    struct http_origin origin;
    if (r->has_host && http_origin_parse(r->origin, &origin)) {
        http_origin_is_of(&origin, &r->host);
        assert(http_origin_equal(&origin, &origin));
    }
    struct set_body body;
    set_body_read(r->body, &body, &reason);
    set_body_deinit(&body);
}

static void run(struct slice bytes, size_t piece, struct buf *out) {
    struct http_parser parser;
    http_parser_init(&parser);
    enum http_parse result = HTTP_PARSE_MORE;
    for (size_t at = 0; at < bytes.len && result != HTTP_PARSE_BAD;) {
        size_t n = bytes.len - at < piece ? bytes.len - at : piece;
        char *copy = malloc(n);
        assert(copy != NULL);
        memcpy(copy, bytes.ptr + at, n);
        for (size_t done = 0; done < n && result != HTTP_PARSE_BAD;) {
            struct http_request request;
            size_t used;
            result = http_parser_feed(&parser, slice_of(copy + done, n - done), &used, &request);
            assert(used <= n - done);
            assert(result != HTTP_PARSE_MORE || used == n - done);
            done += used;
            if (result == HTTP_PARSE_OK) {
                note_request(out, &request);
                use(&request);
                http_parser_next(&parser);
            }
        }
        free(copy);
        at += n;
    }
    const char *reason = "";
    buf_append_byte(out, result == HTTP_PARSE_BAD ? '!' : '.');
    buf_append_u64(
        out, result == HTTP_PARSE_BAD ? (uint64_t)err_http_status(http_parser_error(&parser, &reason)) : 0);
    http_parser_deinit(&parser);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) {
        return 0;
    }
    struct slice bytes = slice_of(data + 1, size - 1);
    struct buf whole, split;
    buf_init(&whole, 64 << 20);
    buf_init(&split, 64 << 20);
    run(bytes, size, &whole);
    run(bytes, (size_t)data[0] % 64 + 1, &split);
    assert(!buf_failed(&whole) && slice_equals(buf_slice(&whole), buf_slice(&split)));
    buf_deinit(&whole);
    buf_deinit(&split);
    return 0;
}
