/* http_reply.h: writing HTTP/1.1 responses (RFC 9110, RFC 9112) onto a buf: heads out of constants. Pure codec.
 *
 *   http_reply_start, any http_reply_..._field, then one of the http_reply_end_...; then the body.
 *
 * Whether the request was a HEAD is known to the reply: of its body not a byte is written, of its head all.
 */
#ifndef KVNODE_PROTOCOL_HTTP_REPLY_H
#define KVNODE_PROTOCOL_HTTP_REPLY_H

#include "protocol/buf.h"

struct http_reply {
    struct buf *out;
    struct slice date; /* the time in the form of time_http: "Sun, 06 Nov 1994 08:49:37 GMT" */
    bool http10;       /* the client speaks HTTP/1.0 */
    bool keep_alive;   /* the connection stays open afterwards; else "Connection: close" is said */
    bool head_only;    /* it is the answer to a HEAD */
    /* Web pages (CORS): the origin of one that may read it, looked at by http_reply_start only; empty: none.
     * And whether another origin would have been answered otherwise. */
    struct slice allow_origin;
    bool varies_by_origin;
};

/* The name of a status: "Not Found". The status is one of those that this server sends. */
const char *http_status_title(int status);

void http_reply_start(const struct http_reply *reply, int status); /* status line, Date, Connection */
/* line: "Name: value" and CR LF; for constants: HTTP_FIELD("Vary: Accept"). */
void http_reply_field(const struct http_reply *reply, struct slice line);
#define HTTP_FIELD(text) SLICE(text "\r\n")
void http_reply_etag_field(const struct http_reply *reply, uint64_t version);

void http_reply_end_with_length(const struct http_reply *reply, uint64_t body_bytes);
void http_reply_end_without_body(const struct http_reply *reply); /* 204, 304 */
/* The length is not known: chunked for HTTP/1.1; for HTTP/1.0 the body goes up to the close, keep_alive must be
 * off. */
void http_reply_end_streamed(const struct http_reply *reply);

/* The body, or nothing in answer to a HEAD. */
void http_reply_body(const struct http_reply *reply, struct slice body);

/* A streamed body: what is appended to out between the two becomes one chunk (nothing: no chunk). mark is
 * buf_used(out) as http_chunk_begin returned it: out must not be consumed from in between. */
size_t http_chunk_begin(const struct http_reply *reply);
void http_chunk_end(const struct http_reply *reply, size_t mark);
void http_chunk_last(const struct http_reply *reply);

#endif
