/* http_request.h: the requests of an HTTP/1.x connection, out of its bytes (RFC 9110, RFC 9112). Pure codec.
 *
 * llhttp finds where a request ends and checks its characters; what it lets pass although two parsers could
 * read it differently is refused here: the head is read a second time, line by line, once it is whole.
 *
 *            first byte            empty line              last byte of the body
 *     START -----------> HEAD ------------------> BODY -------------------------> DONE
 *       ^                   '----- no body ---------------------------------------^ |
 *       '--------------------------- http_parser_next ------------------------------'
 *
 * When the body does not come with the head, the head is reported by itself, before any of the body is taken:
 * so a request can be refused for its head, and nothing is gathered for those who may not ask.
 *
 * A request that arrives whole is not copied: the slices of struct http_request point into the input. One that
 * arrives in pieces is gathered in buffers of the parser, which live until http_parser_next: an idle parser
 * owns no memory. The verdict on given bytes is the same however they are split.
 */
#ifndef KVNODE_PROTOCOL_HTTP_REQUEST_H
#define KVNODE_PROTOCOL_HTTP_REQUEST_H

#include "protocol/buf.h"
#include "protocol/err.h"
#include "protocol/http_origin.h"

#include <llhttp.h>

enum { HTTP_LIST_LINES = 8 }; /* lines that one list-valued header field may be spread over */

/* A header field whose value is a comma-separated list; given on several lines, it is one list all the same. */
struct http_list {
    struct slice lines[HTTP_LIST_LINES];
    size_t count;
};

struct http_request {
    llhttp_method_t method;
    bool http10;           /* HTTP/1.0, else 1.1 (or a later 1.x) */
    bool keep_alive;       /* the connection may carry another request */
    bool has_content_type; /* content_type was given */
    struct slice
        target; /* path and query as they came, without the scheme and host of an absolute target; or "*" */
    struct slice path;  /* of the target, as it came */
    struct slice query; /* behind the '?', as it came; empty: none */
    struct slice content_type;
    struct slice authorization; /* empty: not given */
    /* Which server is meant: of an absolute target, else Host; has_host false: HTTP/1.0 need not say it. */
    struct http_authority host;
    bool has_host;
    /* Which page asks, if one does. */
    bool has_origin, has_fetch_site;
    struct slice origin, fetch_site; /* Origin, Sec-Fetch-Site */
    bool is_preflight;               /* the page's browser asks whether the page may ask */
    bool expects_continue;           /* the client waits for "100 Continue" before it sends the body */
    struct http_list accept, content_encoding, if_match, if_none_match;
    struct slice body;
    size_t announced_bytes; /* of the body, by Content-Length; 0: none, or it comes in chunks */
};

enum http_parse { HTTP_PARSE_OK, HTTP_PARSE_HEAD, HTTP_PARSE_MORE, HTTP_PARSE_BAD };

/* Where in the line of a chunk the next byte is (RFC 9112, 7.1). */
enum http_chunk_line {
    HTTP_CHUNK_SIZE,
    HTTP_CHUNK_BLANK,   /* behind the size, or an extension */
    HTTP_CHUNK_NAME,    /* behind a ';': an extension begins */
    HTTP_CHUNK_INSIDE,  /* of an extension */
    HTTP_CHUNK_QUOTED,  /* in quotes */
    HTTP_CHUNK_ESCAPED, /* behind a '\\' in quotes */
    HTTP_CHUNK_DATA,    /* from the CR LF of the line to that of the data */
};

enum http_phase { HTTP_PHASE_START, HTTP_PHASE_HEAD, HTTP_PHASE_BODY, HTTP_PHASE_DONE };

/* Embedded in its session; the fields are the parser's own. */
struct http_parser {
    llhttp_t llhttp;
    struct buf head, body;  /* what came in pieces */
    size_t head_bytes;      /* of the head, so far or in all */
    size_t line_bytes;      /* of the request line with its LF; 0: it is not whole */
    size_t announced_bytes; /* of the body, by Content-Length */
    size_t body_bytes;      /* of the body, that have come */
    size_t body_max_bytes;  /* more is too large */
    size_t chunk_line_bytes;
    enum http_chunk_line chunk_line;
    enum http_phase phase;
    bool chunked, keep_alive, head_done;
    bool drops_body; /* http_parser_drop_body */
    bool last_chunk; /* its line is over: what is left is an empty line */
    bool seen_cr;    /* of an empty line: before the request, or behind the last chunk */
    bool begins_with_letter;
    enum err err;
    const char *reason;
};

void http_parser_init(struct http_parser *parser);
void http_parser_deinit(struct http_parser *parser);

/* Takes bytes of the connection; *used of them are consumed.
 *
 *   - OK: one request is whole: *out, whose slices live until http_parser_next and as long as bytes do
 *   - HEAD: the head of one is whole, its body is yet to come: *out without the body, until the next feed; at
 *     most once a request
 *   - MORE: all is consumed, the request is not whole yet
 *   - BAD: http_parser_error says why; the connection is to be answered and closed
 */
enum http_parse http_parser_feed(struct http_parser *parser, struct slice bytes, size_t *used,
                                 struct http_request *out);
/* After HEAD: the body is not kept, but passed over; a longer one is BAD (BODY_TOO_LARGE) as soon as it says
 * so. */
void http_parser_drop_body(struct http_parser *parser, size_t max_bytes);
/* After OK: gives the memory of the request back; the next one may be fed. */
void http_parser_next(struct http_parser *parser);

/* After BAD: the error (its HTTP status is in errors.def) and a static text that says what was wrong. */
enum err http_parser_error(const struct http_parser *parser, const char **reason);

/* Whether what is being parsed is a HEAD, as far as it has come: its answer has no body, be it a refusal. */
static inline bool http_parser_is_head(const struct http_parser *parser) {
    return parser->llhttp.method == HTTP_HEAD && parser->err != ERR_METHOD_UNKNOWN;
}

static inline enum http_phase http_parser_phase(const struct http_parser *parser) { return parser->phase; }
/* Bytes of the request that have arrived: progress, for time-outs. */
size_t http_parser_received(const struct http_parser *parser);
/* Bytes of the body that are kept until the rest of it is there. */
size_t http_parser_kept_body(const struct http_parser *parser);

#endif
