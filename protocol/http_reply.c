#include "protocol/http_reply.h"

#include <assert.h>

enum { CHUNK_SIZE_DIGITS = 16, CHUNK_HEAD_BYTES = CHUNK_SIZE_DIGITS + 2 };

/* The statuses of errors.def and of the success replies. */
static const struct status {
    int status;
    const char *title;
    struct slice line;
} statuses[] = {
#define STATUS(number, name)                                                                                   \
    {                                                                                                          \
        number, name, { "HTTP/1.1 " #number " " name "\r\n", sizeof("HTTP/1.1 " #number " " name) + 1 }        \
    }
    STATUS(200, "OK"),
    STATUS(202, "Accepted"),
    STATUS(204, "No Content"),
    STATUS(304, "Not Modified"),
    STATUS(307, "Temporary Redirect"),
    STATUS(400, "Bad Request"),
    STATUS(401, "Unauthorized"),
    STATUS(403, "Forbidden"),
    STATUS(404, "Not Found"),
    STATUS(405, "Method Not Allowed"),
    STATUS(408, "Request Timeout"),
    STATUS(409, "Conflict"),
    STATUS(412, "Precondition Failed"),
    STATUS(413, "Content Too Large"),
    STATUS(414, "URI Too Long"),
    STATUS(415, "Unsupported Media Type"),
    STATUS(421, "Misdirected Request"),
    STATUS(431, "Request Header Fields Too Large"),
    STATUS(500, "Internal Server Error"),
    STATUS(501, "Not Implemented"),
    STATUS(503, "Service Unavailable"),
    STATUS(505, "HTTP Version Not Supported"),
    STATUS(507, "Insufficient Storage"),
#undef STATUS
};

static const struct status *status_of(int status) {
    for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++) {
        if (statuses[i].status == status) {
            return &statuses[i];
        }
    }
    assert(false && "a status without a row");
    __builtin_unreachable();
}

const char *http_status_title(int status) { return status_of(status)->title; }

void http_reply_field(const struct http_reply *reply, struct slice line) { buf_append_slice(reply->out, line); }

/* All that a page could not read otherwise of what this server says. */
static void write_cors(const struct http_reply *reply) {
    if (reply->allow_origin.len > 0) {
        buf_append_slice(reply->out, SLICE("Access-Control-Allow-Origin: "));
        buf_append_slice(reply->out, reply->allow_origin);
        buf_append_slice(reply->out, SLICE("\r\n"));
        http_reply_field(reply,
                         HTTP_FIELD("Access-Control-Expose-Headers: Allow, Date, ETag, Kvnode-Timestamp, "
                                    "Location, Retry-After, WWW-Authenticate"));
    }
    if (reply->varies_by_origin) {
        http_reply_field(reply, HTTP_FIELD("Vary: Origin"));
    }
}

void http_reply_start(const struct http_reply *reply, int status) {
    buf_append_slice(reply->out, status_of(status)->line);
    buf_append_slice(reply->out, SLICE("Date: "));
    buf_append_slice(reply->out, reply->date);
    buf_append_slice(reply->out, SLICE("\r\n"));
    if (!reply->keep_alive) {
        http_reply_field(reply, HTTP_FIELD("Connection: close"));
    } else if (reply->http10) {
        http_reply_field(reply, HTTP_FIELD("Connection: keep-alive"));
    }
    write_cors(reply);
}

void http_reply_etag_field(const struct http_reply *reply, uint64_t version) {
    buf_append_slice(reply->out, SLICE("ETag: \""));
    buf_append_u64(reply->out, version);
    buf_append_slice(reply->out, SLICE("\"\r\n"));
}

void http_reply_end_with_length(const struct http_reply *reply, uint64_t body_bytes) {
    buf_append_slice(reply->out, SLICE("Content-Length: "));
    buf_append_u64(reply->out, body_bytes);
    buf_append_slice(reply->out, SLICE("\r\n\r\n"));
}

void http_reply_end_without_body(const struct http_reply *reply) {
    buf_append_slice(reply->out, SLICE("\r\n"));
}

void http_reply_end_streamed(const struct http_reply *reply) {
    assert(!reply->http10 || !reply->keep_alive);
    if (!reply->http10) {
        http_reply_field(reply, HTTP_FIELD("Transfer-Encoding: chunked"));
    }
    buf_append_slice(reply->out, SLICE("\r\n"));
}

void http_reply_body(const struct http_reply *reply, struct slice body) {
    if (!reply->head_only) {
        buf_append_slice(reply->out, body);
    }
}

/* The size stands before the chunk and is known behind it: it gets a field of fixed width, zeros in front. */
size_t http_chunk_begin(const struct http_reply *reply) {
    size_t mark = buf_used(reply->out);
    if (!reply->http10) {
        buf_append_slice(reply->out, SLICE("0000000000000000\r\n"));
    }
    return mark;
}

void http_chunk_end(const struct http_reply *reply, size_t mark) {
    if (reply->http10 || buf_failed(reply->out)) {
        return;
    }
    size_t n = buf_used(reply->out) - mark - CHUNK_HEAD_BYTES;
    if (n == 0) {
        buf_truncate(reply->out, mark);
        return;
    }
    char *digit = reply->out->data + reply->out->start + mark + CHUNK_SIZE_DIGITS;
    for (size_t left = n; left > 0; left >>= 4) {
        *--digit = "0123456789abcdef"[left & 15];
    }
    buf_append_slice(reply->out, SLICE("\r\n"));
}

void http_chunk_last(const struct http_reply *reply) {
    if (!reply->http10) {
        buf_append_slice(reply->out, SLICE("0\r\n\r\n"));
    }
}
