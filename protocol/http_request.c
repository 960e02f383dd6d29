#include "protocol/http_request.h"

#include "protocol/http_fields.h"
#include "protocol/limits.h"

#include <assert.h>

/* A request line whose target is not too long is never longer: the longest method has 13 bytes, the version 8.
 */
#define LINE_MAX_BYTES (LIMIT_HTTP_TARGET_BYTES + 64)
/* Of the size of a chunk and its extensions: "A server ought to limit the total length of chunk extensions
 * received in a request to an amount reasonable for the services provided" (RFC 9112, 7.1.1). */
#define CHUNK_LINE_MAX_BYTES LIMIT_HTTP_HEADER_BYTES
/* Until so many times what has come is what is announced, it is a claim, for which no memory is set aside. */
enum { CLAIM_TIMES = 8 };

/* --- llhttp's callbacks --- */

static int on_headers_complete(llhttp_t *llhttp) {
    struct http_parser *parser = llhttp->data;
    parser->head_done = true;
    parser->chunked = (llhttp->flags & F_CHUNKED) != 0;
    parser->announced_bytes = parser->chunked ? 0 : (size_t)llhttp->content_length;
    parser->keep_alive = llhttp_should_keep_alive(llhttp) != 0;
    /* "A server MAY ignore a received Upgrade header field" (RFC 9110, 7.8). */
    llhttp->upgrade = 0;
    return HPE_PAUSED;
}

static enum http_parse bad(struct http_parser *parser, enum err err, const char *reason) {
    parser->err = err;
    parser->reason = reason;
    return HTTP_PARSE_BAD;
}

static enum http_parse take_body(struct http_parser *parser, struct slice piece) {
    size_t missing = parser->chunked ? 0 : parser->announced_bytes - parser->body_bytes;
    parser->body_bytes += piece.len;
    if (parser->drops_body) {
        return HTTP_PARSE_MORE;
    }
    if (missing > piece.len && parser->body_bytes >= parser->announced_bytes / CLAIM_TIMES) {
        buf_reserve(&parser->body, missing);
    }
    buf_append_slice(&parser->body, piece);
    return buf_failed(&parser->body) ? bad(parser, ERR_NO_MEMORY, err_text(ERR_NO_MEMORY)) : HTTP_PARSE_MORE;
}

static int on_body(llhttp_t *llhttp, const char *at, size_t n) {
    return take_body(llhttp->data, slice_of(at, n)) == HTTP_PARSE_BAD ? HPE_USER : 0;
}

/* A chunk that is too long is refused by what it claims, as a Content-Length is. */
static int on_chunk_header(llhttp_t *llhttp) {
    struct http_parser *parser = llhttp->data;
    if (llhttp->content_length > parser->body_max_bytes - parser->body_bytes) {
        bad(parser, ERR_BODY_TOO_LARGE, "the chunks are longer in all than a body may be here");
        return HPE_USER;
    }
    parser->last_chunk = llhttp->content_length == 0;
    return parser->last_chunk ? HPE_PAUSED : 0;
}

/* The line of the next chunk is looked at before llhttp sees it. */
static int on_chunk_complete(llhttp_t *llhttp) {
    struct http_parser *parser = llhttp->data;
    parser->chunk_line = HTTP_CHUNK_SIZE;
    parser->chunk_line_bytes = 0;
    return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
    .on_headers_complete = on_headers_complete,
    .on_chunk_header = on_chunk_header,
    .on_chunk_complete = on_chunk_complete,
    .on_body = on_body,
};

/* --- Life --- */

static void begin(struct http_parser *parser) {
    llhttp_init(&parser->llhttp, HTTP_REQUEST, &settings);
    parser->llhttp.lenient_flags |=
        LENIENT_VERSION; /* read_request_line has the rule; old releases have no setter */
    parser->llhttp.data = parser;
    parser->head_bytes = parser->line_bytes = parser->announced_bytes = parser->body_bytes = 0;
    parser->body_max_bytes = LIMIT_HTTP_BODY_BYTES;
    parser->chunk_line = HTTP_CHUNK_SIZE;
    parser->chunk_line_bytes = 0;
    parser->phase = HTTP_PHASE_START;
    parser->chunked = parser->keep_alive = parser->head_done = parser->last_chunk = false;
    parser->seen_cr = parser->begins_with_letter = parser->drops_body = false;
    parser->err = ERR_NONE;
    parser->reason = NULL;
}

void http_parser_init(struct http_parser *parser) {
    buf_init(&parser->head, LINE_MAX_BYTES + LIMIT_HTTP_HEADER_BYTES);
    buf_init(&parser->body, LIMIT_HTTP_BODY_BYTES);
    begin(parser);
}

void http_parser_deinit(struct http_parser *parser) {
    buf_deinit(&parser->head);
    buf_deinit(&parser->body);
}

void http_parser_next(struct http_parser *parser) {
    http_parser_deinit(parser);
    begin(parser);
}

enum err http_parser_error(const struct http_parser *parser, const char **reason) {
    *reason = parser->reason;
    return parser->err;
}

size_t http_parser_received(const struct http_parser *parser) {
    return parser->head_bytes + parser->body_bytes;
}

size_t http_parser_kept_body(const struct http_parser *parser) { return buf_used(&parser->body); }

void http_parser_drop_body(struct http_parser *parser, size_t max_bytes) {
    assert(parser->phase == HTTP_PHASE_BODY && parser->body_bytes == 0);
    parser->drops_body = true;
    parser->body_max_bytes = max_bytes;
}

/* --- The head, read line by line --- */

enum field {
    FIELD_HOST,
    FIELD_TRANSFER_ENCODING,
    FIELD_CONTENT_TYPE,
    FIELD_EXPECT,
    FIELD_AUTHORIZATION,
    FIELD_ORIGIN,
    FIELD_FETCH_SITE,
    FIELD_REQUESTED_METHOD,
    FIELD_SINGLES,
};

/* What the lines of a head said; the singles are kept apart until all lines are read. */
struct head {
    struct slice single[FIELD_SINGLES]; /* empty where not seen */
    bool seen[FIELD_SINGLES];
};

static const struct {
    struct slice name;
    enum field single;  /* FIELD_SINGLES: it is a list */
    size_t list_offset; /* in struct http_request */
    const char *twice;
} fields[] = {
    {{"host", 4}, FIELD_HOST, 0, "Host is given twice"},
    {{"accept", 6}, FIELD_SINGLES, offsetof(struct http_request, accept), NULL},
    {{"expect", 6}, FIELD_EXPECT, 0, "Expect is given twice"},
    {{"origin", 6}, FIELD_ORIGIN, 0, "Origin is given twice"},
    {{"if-match", 8}, FIELD_SINGLES, offsetof(struct http_request, if_match), NULL},
    {{"content-type", 12}, FIELD_CONTENT_TYPE, 0, "Content-Type is given twice"},
    {{"authorization", 13}, FIELD_AUTHORIZATION, 0, "Authorization is given twice"},
    {{"if-none-match", 13}, FIELD_SINGLES, offsetof(struct http_request, if_none_match), NULL},
    {{"sec-fetch-site", 14}, FIELD_FETCH_SITE, 0, "Sec-Fetch-Site is given twice"},
    {{"content-encoding", 16}, FIELD_SINGLES, offsetof(struct http_request, content_encoding), NULL},
    {{"transfer-encoding", 17}, FIELD_TRANSFER_ENCODING, 0, "Transfer-Encoding is given twice"},
    {{"access-control-request-method", 29},
     FIELD_REQUESTED_METHOD,
     0,
     "Access-Control-Request-Method is given twice"},
};

/* Takes the next line, without its CR LF, off *rest. False: a bare LF or CR. */
static bool take_line(struct slice *rest, struct slice *line) {
    const char *lf = memchr(rest->ptr, '\n', rest->len);
    if (lf == NULL) {
        return false;
    }
    size_t n = (size_t)(lf - rest->ptr);
    if (n == 0 || memchr(rest->ptr, '\r', n) != lf - 1) {
        return false;
    }
    *line = slice_of(rest->ptr, n - 1);
    *rest = slice_skip(*rest, n + 1);
    return true;
}

/* A minor version that is not known "can be processed as if it were in the highest minor version within that
 * major version to which the recipient is conformant" (RFC 9110, 2.5). */
static bool is_version_1(struct slice version) {
    const struct slice major = SLICE("HTTP/1.");
    return version.len == major.len + 1 && slice_equals(slice_first(version, major.len), major) &&
           version.ptr[major.len] >= '0' && version.ptr[major.len] <= '9';
}

/* Of an absolute target (RFC 9112, 3.2.2): takes scheme and authority off. False: it is not absolute. */
static bool take_absolute(struct slice *target, struct slice *authority) {
    static const struct slice schemes[] = {{"http://", 7}, {"https://", 8}};
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++) {
        if (slice_equals_nocase(slice_first(*target, schemes[i].len), schemes[i])) {
            struct slice rest = slice_skip(*target, schemes[i].len);
            size_t n = 0;
            while (n < rest.len && rest.ptr[n] != '/' && rest.ptr[n] != '?') {
                n++;
            }
            *authority = slice_first(rest, n);
            *target = slice_skip(rest, n);
            return true;
        }
    }
    return false;
}

/* "method SP request-target SP HTTP-version" (RFC 9112, 3), with just these two blanks. */
static enum http_parse read_request_line(struct http_parser *parser, struct slice line,
                                         struct http_request *out) {
    const char *first = memchr(line.ptr, ' ', line.len);
    const char *second =
        first == NULL ? NULL : memchr(first + 1, ' ', (size_t)(line.ptr + line.len - first - 1));
    if (second == NULL) {
        return bad(parser, ERR_VERSION_NOT_SUPPORTED, "the request line has no version");
    }
    struct slice version = slice_of(second + 1, (size_t)(line.ptr + line.len - second - 1));
    if (memchr(version.ptr, ' ', version.len) != NULL) {
        return bad(parser, ERR_BAD_REQUEST, "the request line has more than two blanks");
    }
    out->http10 = slice_equals(version, SLICE("HTTP/1.0"));
    if (!is_version_1(version)) {
        return bad(parser, ERR_VERSION_NOT_SUPPORTED, err_text(ERR_VERSION_NOT_SUPPORTED));
    }
    struct slice target = slice_of(first + 1, (size_t)(second - first - 1)), authority;
    if (target.len > LIMIT_HTTP_TARGET_BYTES) {
        return bad(parser, ERR_TARGET_TOO_LONG, err_text(ERR_TARGET_TOO_LONG));
    }
    if (target.len == 0 || memchr(target.ptr, '#', target.len) != NULL) {
        return bad(parser, ERR_BAD_REQUEST, "the request target is malformed");
    }
    out->has_host = take_absolute(&target, &authority);
    if (out->has_host && (!http_authority_parse(authority, &out->host) || out->host.host.len == 0)) {
        return bad(parser, ERR_BAD_REQUEST, "the host of the request target is malformed");
    }
    out->target = target;
    const char *mark = target.len == 0 ? NULL : memchr(target.ptr, '?', target.len);
    out->path = mark == NULL ? target : slice_of(target.ptr, (size_t)(mark - target.ptr));
    out->query = mark == NULL ? slice_of("", 0) : slice_skip(target, out->path.len + 1);
    if (out->path.len == 0) {
        out->path = SLICE("/"); /* of an absolute target that names a host only */
    }
    return HTTP_PARSE_OK;
}

static enum http_parse read_field(struct http_parser *parser, struct slice line, struct head *head,
                                  struct http_request *out) {
    const char *colon = memchr(line.ptr, ':', line.len);
    size_t n = colon == NULL ? 0 : (size_t)(colon - line.ptr);
    /* An obsolete folded line begins with a blank; so does a name that some would take for one. */
    if (n == 0 || line.ptr[0] == ' ' || line.ptr[0] == '\t' || memchr(line.ptr, ' ', n) != NULL ||
        memchr(line.ptr, '\t', n) != NULL) {
        return bad(parser, ERR_BAD_REQUEST, "a header line has no name, or a blank in it or before it");
    }
    struct slice name = slice_of(line.ptr, n);
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        if (!slice_equals_nocase(name, fields[i].name)) {
            continue;
        }
        struct slice value = http_trim(slice_skip(line, n + 1));
        if (fields[i].single != FIELD_SINGLES) {
            if (head->seen[fields[i].single]) {
                return bad(parser, ERR_BAD_REQUEST, fields[i].twice);
            }
            head->seen[fields[i].single] = true;
            head->single[fields[i].single] = value;
            return HTTP_PARSE_OK;
        }
        struct http_list *list = (struct http_list *)(void *)((char *)out + fields[i].list_offset);
        if (list->count == HTTP_LIST_LINES) {
            return bad(parser, ERR_HEADERS_TOO_LARGE, "a header field is spread over more than 8 lines");
        }
        list->lines[list->count++] = value;
        return HTTP_PARSE_OK;
    }
    return HTTP_PARSE_OK;
}

/* "When an origin server receives a request with an absolute-form of request-target, the origin server MUST
 * ignore the received Host header field" (RFC 9112, 3.2.2): but for its form. */
static bool read_host(const struct head *head, struct http_request *out) {
    struct http_authority field;
    if (!head->seen[FIELD_HOST]) {
        return true;
    }
    if (!http_authority_parse(head->single[FIELD_HOST], &field)) {
        return false;
    }
    if (!out->has_host) {
        out->has_host = true;
        out->host = field;
    }
    return true;
}

static void take_singles(const struct head *head, struct http_request *out) {
    out->authorization = head->single[FIELD_AUTHORIZATION];
    out->has_content_type = head->seen[FIELD_CONTENT_TYPE];
    out->content_type = head->single[FIELD_CONTENT_TYPE];
    out->expects_continue =
        !out->http10 && slice_equals_nocase(head->single[FIELD_EXPECT], SLICE("100-continue"));
    out->has_origin = head->seen[FIELD_ORIGIN];
    out->origin = head->single[FIELD_ORIGIN];
    out->has_fetch_site = head->seen[FIELD_FETCH_SITE];
    out->fetch_site = head->single[FIELD_FETCH_SITE];
    out->is_preflight = out->method == HTTP_OPTIONS && out->has_origin && head->seen[FIELD_REQUESTED_METHOD];
}

/* Reads a head that llhttp has found whole: text ends with the empty line. */
static enum http_parse read_head(struct http_parser *parser, struct slice text, struct http_request *out) {
    out->method = (llhttp_method_t)parser->llhttp.method;
    out->keep_alive = parser->keep_alive;
    out->announced_bytes = parser->announced_bytes;
    out->accept.count = out->content_encoding.count = 0;
    out->if_match.count = out->if_none_match.count = 0;
    out->body = slice_of("", 0);
    struct head head = {.seen = {false}};
    struct slice line;
    if (!take_line(&text, &line)) {
        return bad(parser, ERR_BAD_REQUEST, "a line does not end with CR LF");
    }
    enum http_parse result = read_request_line(parser, line, out);
    while (result == HTTP_PARSE_OK) {
        if (!take_line(&text, &line)) {
            return bad(parser, ERR_BAD_REQUEST, "a line does not end with CR LF");
        }
        if (line.len == 0) {
            break;
        }
        result = read_field(parser, line, &head, out);
    }
    if (result != HTTP_PARSE_OK) {
        return result;
    }
    if (text.len > 0) {
        return bad(parser, ERR_BAD_REQUEST, "the head has an empty line in it");
    }
    if (!out->http10 && !head.seen[FIELD_HOST]) {
        return bad(parser, ERR_BAD_REQUEST, "HTTP/1.1 without Host");
    }
    if (!read_host(&head, out)) {
        return bad(parser, ERR_BAD_REQUEST, "Host is malformed");
    }
    if (head.seen[FIELD_TRANSFER_ENCODING] &&
        (out->http10 || !parser->chunked ||
         !slice_equals_nocase(head.single[FIELD_TRANSFER_ENCODING], SLICE("chunked")))) {
        return bad(parser, ERR_BAD_REQUEST, "a Transfer-Encoding other than chunked in HTTP/1.1");
    }
    if (out->method == HTTP_CONNECT) {
        return bad(parser, ERR_METHOD_UNKNOWN, err_text(ERR_METHOD_UNKNOWN));
    }
    take_singles(&head, out);
    return HTTP_PARSE_OK;
}

/* --- Feeding --- */

/* llhttp found an error at a byte that is in no callback of ours. */
static enum http_parse bad_by_llhttp(struct http_parser *parser, llhttp_errno_t code) {
    switch (code) {
    case HPE_USER: /* the callback has said it */
    case HPE_CB_CHUNK_HEADER:
        return HTTP_PARSE_BAD;
    case HPE_INVALID_METHOD:
        if (parser->begins_with_letter) {
            return bad(parser, ERR_METHOD_UNKNOWN, err_text(ERR_METHOD_UNKNOWN));
        }
        return bad(parser, ERR_BAD_REQUEST, "this is not HTTP");
    case HPE_INVALID_VERSION:
    case HPE_PAUSED_H2_UPGRADE:
        return bad(parser, ERR_VERSION_NOT_SUPPORTED, err_text(ERR_VERSION_NOT_SUPPORTED));
    default: {
        const char *reason = llhttp_get_error_reason(&parser->llhttp);
        return bad(parser, ERR_BAD_REQUEST,
                   reason == NULL || *reason == '\0' ? err_text(ERR_BAD_REQUEST) : reason);
    }
    }
}

/* Gives bytes to llhttp. OK: it paused, since the head (or the line of the last chunk) is whole; *used says
 * behind which byte. */
static enum http_parse execute(struct http_parser *parser, struct slice bytes, size_t *used) {
    llhttp_errno_t code = llhttp_execute(&parser->llhttp, bytes.ptr, bytes.len);
    if (code == HPE_OK) {
        *used = bytes.len;
        return HTTP_PARSE_MORE;
    }
    if (code != HPE_PAUSED) {
        return bad_by_llhttp(parser, code);
    }
    *used = (size_t)(llhttp_get_error_pos(&parser->llhttp) - bytes.ptr);
    llhttp_resume(&parser->llhttp);
    return HTTP_PARSE_OK;
}

/* How many of n bytes llhttp may see next: to the end of the request line, or to the limit. So the limits
 * strike at the same byte however the bytes come. */
static size_t head_allowance(const struct http_parser *parser, struct slice bytes) {
    size_t limit = parser->line_bytes == 0 ? LINE_MAX_BYTES : parser->line_bytes + LIMIT_HTTP_HEADER_BYTES;
    struct slice piece = slice_first(bytes, limit - parser->head_bytes);
    if (parser->line_bytes == 0) {
        const char *lf = memchr(piece.ptr, '\n', piece.len);
        return lf == NULL ? piece.len : (size_t)(lf + 1 - piece.ptr);
    }
    return piece.len;
}

/* Runs llhttp over the head: OK when it is whole and ends at *used. */
static enum http_parse feed_head(struct http_parser *parser, struct slice bytes, size_t *used) {
    for (*used = 0; *used < bytes.len;) {
        struct slice rest = slice_skip(bytes, *used);
        size_t n = head_allowance(parser, rest);
        if (n == 0) {
            enum err err = parser->line_bytes == 0 ? ERR_TARGET_TOO_LONG : ERR_HEADERS_TOO_LARGE;
            return bad(parser, err, err_text(err));
        }
        enum http_parse result = execute(parser, slice_of(rest.ptr, n), &n);
        if (result == HTTP_PARSE_BAD) {
            return result;
        }
        *used += n;
        parser->head_bytes += n;
        if (parser->line_bytes == 0 && rest.ptr[n - 1] == '\n') {
            parser->line_bytes = parser->head_bytes;
        }
        if (result == HTTP_PARSE_OK) {
            return parser->head_done ? HTTP_PARSE_OK : bad(parser, ERR_BAD_REQUEST, err_text(ERR_BAD_REQUEST));
        }
    }
    return HTTP_PARSE_MORE;
}

static enum http_parse feed_length(struct http_parser *parser, struct slice bytes, size_t *used) {
    if (parser->announced_bytes > parser->body_max_bytes) {
        return bad(parser, ERR_BODY_TOO_LARGE, err_text(ERR_BODY_TOO_LARGE));
    }
    struct slice piece = slice_first(bytes, parser->announced_bytes - parser->body_bytes);
    enum http_parse result = take_body(parser, piece);
    *used = piece.len;
    return result == HTTP_PARSE_MORE && parser->body_bytes == parser->announced_bytes ? HTTP_PARSE_OK : result;
}

/* Behind the last chunk: CR LF and nothing else. A trailer is refused: no request has a use for one, and it is
 * another place where two parsers could read differently. */
static enum http_parse feed_chunks_end(struct http_parser *parser, struct slice bytes, size_t *used) {
    for (*used = 0; *used < bytes.len;) {
        if (bytes.ptr[*used] != (parser->seen_cr ? '\n' : '\r')) {
            return bad(parser, ERR_BAD_REQUEST, "there is a trailer behind the chunks, or no CR LF");
        }
        ++*used;
        if (parser->seen_cr) {
            return HTTP_PARSE_OK;
        }
        parser->seen_cr = true;
    }
    return HTTP_PARSE_MORE;
}

static bool is_blank(char byte) { return byte == ' ' || byte == '\t'; }

/* chunk-ext = *( BWS ";" BWS chunk-ext-name [ BWS "=" BWS chunk-ext-val ] ) (RFC 9112, 7.1.1): what comes
 * behind a byte of it. A line ends with CR LF wherever it stands, so a CR or LF is in no extension, be it in
 * quotes: whoever takes quotes for something else would see another end. False: the byte may not stand here. */
static bool pass_extension(enum http_chunk_line *line, char byte) {
    bool is_control = ((unsigned char)byte < 0x20 && byte != '\t') || byte == 0x7f;
    switch (*line) {
    case HTTP_CHUNK_BLANK:
        *line = byte == ';' ? HTTP_CHUNK_NAME : HTTP_CHUNK_BLANK;
        return byte == ';' || is_blank(byte);
    case HTTP_CHUNK_NAME:
        *line = is_blank(byte) ? HTTP_CHUNK_NAME : HTTP_CHUNK_INSIDE;
        return !is_control && byte != ';' && byte != '=' && byte != '"';
    case HTTP_CHUNK_INSIDE:
        *line = byte == ';' ? HTTP_CHUNK_NAME : byte == '"' ? HTTP_CHUNK_QUOTED : HTTP_CHUNK_INSIDE;
        return !is_control;
    case HTTP_CHUNK_QUOTED:
        *line = byte == '\\' ? HTTP_CHUNK_ESCAPED : byte == '"' ? HTTP_CHUNK_INSIDE : HTTP_CHUNK_QUOTED;
        return !is_control;
    case HTTP_CHUNK_ESCAPED:
        *line = HTTP_CHUNK_QUOTED;
        return !is_control;
    case HTTP_CHUNK_SIZE:
    case HTTP_CHUNK_DATA:
        break;
    }
    return false;
}

/* The line of a chunk up to its CR: llhttp, which stumbles over extensions up to 8.1, judges the size, and sees
 * none of them. */
static enum http_parse feed_chunk_line(struct http_parser *parser, struct slice bytes, size_t *used) {
    size_t n = 0;
    if (parser->chunk_line == HTTP_CHUNK_SIZE) {
        while (n < bytes.len && memchr("\r; \t", bytes.ptr[n], 4) == NULL) {
            n++;
        }
        if (n > 0 && execute(parser, slice_first(bytes, n), used) == HTTP_PARSE_BAD) {
            return HTTP_PARSE_BAD;
        }
        if (n < bytes.len && bytes.ptr[n] != '\r') {
            parser->chunk_line = HTTP_CHUNK_BLANK;
        }
    }
    bool fine = true;
    if (parser->chunk_line != HTTP_CHUNK_SIZE) {
        while (n < bytes.len && bytes.ptr[n] != '\r' && fine) {
            fine = pass_extension(&parser->chunk_line, bytes.ptr[n++]);
        }
    }
    *used = n;
    parser->chunk_line_bytes += n;
    if (n < bytes.len && fine) { /* the CR */
        fine = parser->chunk_line == HTTP_CHUNK_SIZE || parser->chunk_line == HTTP_CHUNK_INSIDE;
        parser->chunk_line = HTTP_CHUNK_DATA;
    }
    if (!fine || parser->chunk_line_bytes > CHUNK_LINE_MAX_BYTES) {
        return bad(parser, ERR_BAD_REQUEST,
                   fine ? "the line of a chunk is longer than allowed" : "a chunk extension is malformed");
    }
    return HTTP_PARSE_MORE;
}

static enum http_parse feed_chunks(struct http_parser *parser, struct slice bytes, size_t *used) {
    for (*used = 0; *used < bytes.len;) {
        struct slice rest = slice_skip(bytes, *used);
        size_t n = 0;
        bool in_line = parser->chunk_line != HTTP_CHUNK_DATA;
        enum http_parse result = in_line ? feed_chunk_line(parser, rest, &n) : execute(parser, rest, &n);
        if (result == HTTP_PARSE_BAD) {
            return result;
        }
        *used += n;
        if (parser->last_chunk) {
            result = feed_chunks_end(parser, slice_skip(bytes, *used), &n);
            *used += n;
            return result;
        }
    }
    return HTTP_PARSE_MORE;
}

/* "a server [...] SHOULD ignore at least one empty line (CRLF) received prior to the request-line" (RFC
 * 9112, 2.2): they are not the beginning of a request. */
static enum http_parse skip_empty_lines(struct http_parser *parser, struct slice bytes, size_t *used) {
    for (*used = 0; *used < bytes.len; (*used)++) {
        char byte = bytes.ptr[*used];
        if (parser->seen_cr) {
            if (byte != '\n') {
                return bad(parser, ERR_BAD_REQUEST, "a CR without LF");
            }
            parser->seen_cr = false;
        } else if (byte == '\r') {
            parser->seen_cr = true;
        } else {
            parser->begins_with_letter = byte >= 'A' && byte <= 'Z';
            parser->phase = HTTP_PHASE_HEAD;
            return HTTP_PARSE_OK;
        }
    }
    return HTTP_PARSE_MORE;
}

/* The bytes of the head that have come before are in parser->head; with the last ones the head is read. */
static enum http_parse step_head(struct http_parser *parser, struct slice bytes, size_t *used,
                                 struct http_request *out) {
    enum http_parse result = feed_head(parser, bytes, used);
    if (result == HTTP_PARSE_BAD) {
        return result;
    }
    struct slice head = slice_of(bytes.ptr, *used);
    if (result == HTTP_PARSE_MORE || buf_used(&parser->head) > 0) {
        buf_append_slice(&parser->head, head);
        if (buf_failed(&parser->head)) {
            return bad(parser, ERR_NO_MEMORY, err_text(ERR_NO_MEMORY));
        }
        head = buf_slice(&parser->head);
    }
    if (result == HTTP_PARSE_MORE) {
        return result;
    }
    result = read_head(parser, head, out);
    if (result != HTTP_PARSE_OK) {
        return result;
    }
    if (parser->announced_bytes > LIMIT_HTTP_BODY_BYTES) {
        return bad(parser, ERR_BODY_TOO_LARGE, err_text(ERR_BODY_TOO_LARGE));
    }
    parser->phase = HTTP_PHASE_BODY;
    size_t here = bytes.len - *used;
    if (!parser->chunked && parser->announced_bytes <= here) {
        out->body = slice_of(bytes.ptr + *used, parser->announced_bytes);
        *used += parser->announced_bytes;
        parser->phase = HTTP_PHASE_DONE;
        return HTTP_PARSE_OK;
    }
    /* The body is yet to come: the head has to outlive these bytes. */
    if (buf_used(&parser->head) == 0) {
        buf_append_slice(&parser->head, head);
    }
    return buf_failed(&parser->head) ? bad(parser, ERR_NO_MEMORY, err_text(ERR_NO_MEMORY)) : HTTP_PARSE_HEAD;
}

static enum http_parse step_body(struct http_parser *parser, struct slice bytes, size_t *used,
                                 struct http_request *out) {
    enum http_parse result = parser->last_chunk ? feed_chunks_end(parser, bytes, used)
                             : parser->chunked  ? feed_chunks(parser, bytes, used)
                                                : feed_length(parser, bytes, used);
    if (result == HTTP_PARSE_OK) {
        result = read_head(parser, buf_slice(&parser->head), out);
        out->body = buf_slice(&parser->body);
        parser->phase = HTTP_PHASE_DONE;
    }
    return result;
}

enum http_parse http_parser_feed(struct http_parser *parser, struct slice bytes, size_t *used,
                                 struct http_request *out) {
    assert(parser->phase != HTTP_PHASE_DONE && parser->err == ERR_NONE);
    for (*used = 0; *used < bytes.len && parser->phase != HTTP_PHASE_DONE;) {
        struct slice rest = slice_skip(bytes, *used);
        size_t n = 0;
        enum http_parse result = parser->phase == HTTP_PHASE_START  ? skip_empty_lines(parser, rest, &n)
                                 : parser->phase == HTTP_PHASE_HEAD ? step_head(parser, rest, &n, out)
                                                                    : step_body(parser, rest, &n, out);
        if (result == HTTP_PARSE_BAD) {
            return result;
        }
        *used += n;
        if (result == HTTP_PARSE_HEAD) {
            return result;
        }
    }
    return parser->phase == HTTP_PHASE_DONE ? HTTP_PARSE_OK : HTTP_PARSE_MORE;
}
