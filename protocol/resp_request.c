#include "protocol/resp_request.h"

#include "protocol/num.h"

#include <stdlib.h>

enum { ARGUMENTS_KEPT = 4096 };

void resp_arguments_deinit(struct resp_arguments *arguments) {
    free(arguments->items);
    buf_deinit(&arguments->unescaped);
    *arguments = (struct resp_arguments){0};
}

void resp_arguments_reset(struct resp_arguments *arguments) {
    if (arguments->capacity > ARGUMENTS_KEPT) {
        resp_arguments_deinit(arguments);
    }
    arguments->count = 0;
    buf_reset(&arguments->unescaped);
}

static bool add_argument_slow(struct resp_arguments *arguments) {
    size_t capacity = arguments->capacity == 0 ? 256 : arguments->capacity * 2;
    struct slice *items = realloc(arguments->items, capacity * sizeof(*items));
    if (items == NULL) {
        return false;
    }
    arguments->items = items;
    arguments->capacity = capacity;
    return true;
}

static inline bool add_argument(struct resp_arguments *arguments, struct slice argument) {
    if (__builtin_expect(arguments->count == arguments->capacity, 0) && !add_argument_slow(arguments)) {
        return false;
    }
    arguments->items[arguments->count++] = argument;
    return true;
}

static enum resp_request_result bad(struct resp_request *request, enum resp_request_fault fault) {
    request->fault = fault;
    return RESP_REQUEST_BAD;
}

/* --- Headers: a type byte, a decimal number, CR LF
 * ---------------------------------------------------------------- */

struct header_faults {
    enum resp_request_fault too_long, invalid;
};

static enum resp_request_result read_header_slow(struct resp_request *request, struct slice in,
                                                 const struct header_faults *faults, int64_t *number) {
    size_t from = request->scanned > request->offset ? request->scanned : request->offset;
    const char *cr = from < in.len ? memchr(in.ptr + from, '\r', in.len - from) : NULL;
    size_t at = cr == NULL ? in.len : (size_t)(cr - in.ptr);
    if (at - request->offset > LIMIT_INLINE_BYTES) {
        return bad(request, faults->too_long);
    }
    request->scanned = at;
    if (at + 1 >= in.len) {
        return RESP_REQUEST_MORE;
    }
    struct slice digits = slice_of(in.ptr + request->offset + 1, at - request->offset - 1);
    if (in.ptr[at + 1] != '\n' || !num_parse_i64(digits, number)) {
        return bad(request, faults->invalid);
    }
    request->offset = request->scanned = at + 2;
    return RESP_REQUEST_OK;
}

/* The header at request->offset, whose first byte is there. Most of them are a few digits, all there. */
static inline enum resp_request_result read_header(struct resp_request *request, struct slice in,
                                                   const struct header_faults *faults, int64_t *number) {
    enum { FAST_DIGITS = 9 };
    const char *at = in.ptr + request->offset + 1, *end = in.ptr + in.len;
    if (end - at >= FAST_DIGITS + 2 && *at >= '1') {
        uint32_t sum = 0;
        unsigned digit, n = 0;
        while ((digit = (unsigned char)at[n] - (unsigned)'0') <= 9 && n < FAST_DIGITS) {
            sum = sum * 10 + digit;
            n++;
        }
        if (n > 0 && at[n] == '\r' && at[n + 1] == '\n') {
            *number = sum;
            request->offset += n + 3;
            return RESP_REQUEST_OK;
        }
    }
    return read_header_slow(request, in, faults, number);
}

/* --- Multibulk
 * ---------------------------------------------------------------------------------------------------- */

static inline enum resp_request_result read_count(struct resp_request *request,
                                                  const struct resp_limits *limits, struct slice in) {
    static const struct header_faults faults = {RESP_REQUEST_BIG_COUNT, RESP_REQUEST_INVALID_COUNT};
    int64_t count;
    enum resp_request_result result = read_header(request, in, &faults, &count);
    if (result != RESP_REQUEST_OK) {
        return result;
    }
    if (count > (int64_t)limits->arguments) {
        bool stranger = limits->strangers && count <= (int64_t)LIMIT_ARGUMENTS;
        return bad(request, stranger ? RESP_REQUEST_STRANGERS_COUNT : RESP_REQUEST_INVALID_COUNT);
    }
    request->bulks_left = count > 0 ? (uint32_t)count : 0;
    request->state = RESP_REQUEST_HEADER;
    return RESP_REQUEST_OK;
}

static inline enum resp_request_result read_length(struct resp_request *request,
                                                   const struct resp_limits *limits, struct slice in,
                                                   const struct resp_detour *detour) {
    static const struct header_faults faults = {RESP_REQUEST_BIG_LENGTH, RESP_REQUEST_INVALID_LENGTH};
    if (request->offset >= in.len) {
        return RESP_REQUEST_MORE;
    }
    if (in.ptr[request->offset] != '$') {
        request->unexpected = in.ptr[request->offset];
        return bad(request, RESP_REQUEST_NO_DOLLAR);
    }
    int64_t length;
    enum resp_request_result result = read_header(request, in, &faults, &length);
    if (result != RESP_REQUEST_OK) {
        return result;
    }
    if (length < 0 || length > (int64_t)limits->bulk_bytes) {
        bool stranger = limits->strangers && length >= 0 && length <= (int64_t)LIMIT_VALUE_BYTES;
        return bad(request, stranger ? RESP_REQUEST_STRANGERS_LENGTH : RESP_REQUEST_INVALID_LENGTH);
    }
    size_t around = detour != NULL && request->offset > detour->at ? detour->bytes.len : 0;
    if (request->offset + around + (size_t)length + 2 > RESP_REQUEST_MAX_BYTES) {
        return bad(request, RESP_REQUEST_BIG_REQUEST);
    }
    request->bulk_bytes = (size_t)length;
    request->state = RESP_REQUEST_BULK;
    return RESP_REQUEST_OK;
}

static inline enum resp_request_result read_bulk(struct resp_request *request, struct slice in,
                                                 const struct resp_detour *detour,
                                                 struct resp_arguments *arguments) {
    bool elsewhere = detour != NULL && request->offset == detour->at;
    struct slice bytes = elsewhere ? detour->bytes : slice_skip(in, request->offset);
    size_t length = request->bulk_bytes;
    if (bytes.len < length + 2) {
        return RESP_REQUEST_MORE;
    }
    if (bytes.ptr[length] != '\r' || bytes.ptr[length + 1] != '\n') {
        return bad(request, RESP_REQUEST_NO_BULK_END);
    }
    if (arguments != NULL && !add_argument(arguments, slice_of(bytes.ptr, length))) {
        return bad(request, RESP_REQUEST_NO_MEMORY);
    }
    request->offset += elsewhere ? 0 : length + 2;
    request->bulks_left--;
    request->state = RESP_REQUEST_HEADER;
    return RESP_REQUEST_OK;
}

/* arguments NULL: the command is only measured. */
static enum resp_request_result read_multibulk(struct resp_request *request, const struct resp_limits *limits,
                                               struct slice in, const struct resp_detour *detour,
                                               struct resp_arguments *arguments) {
    enum resp_request_result result = RESP_REQUEST_OK;
    if (request->state == RESP_REQUEST_COUNT) {
        result = read_count(request, limits, in);
    }
    while (result == RESP_REQUEST_OK && request->bulks_left > 0) {
        if (request->state == RESP_REQUEST_HEADER) {
            result = read_length(request, limits, in, detour);
        }
        if (result == RESP_REQUEST_OK) {
            result = read_bulk(request, in, detour, arguments);
        }
    }
    return result;
}

/* --- The ordinary multibulk: all of it there, no header longer than a few digits. Anything else is left to the
 * reader above, which says what is wrong with it, or what is missing. */

enum { SMALL_HEADER_BYTES = 1 + RESP_SMALL_DIGITS + 2 };

/* Reads a header at *at, which has SMALL_HEADER_BYTES behind it; its type byte has been looked at. */
static inline bool read_small_header(const char **at, size_t *number) {
    const char *digits = *at + 1, *from = digits;
    unsigned digit = (unsigned char)*from - (unsigned)'0';
    size_t sum = 0;
    while (digit <= 9) {
        sum = sum * 10 + digit;
        digit = (unsigned char)*++from - (unsigned)'0';
        if (from - digits == RESP_SMALL_DIGITS) {
            break;
        }
    }
    *at = from + 2;
    *number = sum;
    return from > digits && from[0] == '\r' && from[1] == '\n' && (*digits != '0' || from - digits == 1);
}

static bool read_small(const struct resp_limits *limits, struct slice in, struct resp_arguments *arguments,
                       size_t *bytes) {
    const char *at = in.ptr, *end = in.ptr + in.len;
    size_t count, length;
    if (end - at < SMALL_HEADER_BYTES || !read_small_header(&at, &count) || count == 0 ||
        count > limits->small_arguments) {
        return false;
    }
    for (; count > 0; count--) {
        if (end - at < SMALL_HEADER_BYTES || *at != '$' || !read_small_header(&at, &length) ||
            length + 2 > (size_t)(end - at) || at[length] != '\r' || at[length + 1] != '\n' ||
            !add_argument(arguments, slice_of(at, length))) {
            return false;
        }
        at += length + 2;
    }
    *bytes = (size_t)(at - in.ptr);
    return true;
}

/* --- Inline: Redis's sdssplitargs. A NUL is a byte like any other
 * ------------------------------------------------- */

static bool is_blank(char byte) { return byte == ' ' || (byte >= '\t' && byte <= '\r'); }

static bool ends_word(char byte) { return byte == ' ' || byte == '\t' || byte == '\r' || byte == '\n'; }

static int hex_digit(char byte) {
    return byte >= '0' && byte <= '9'   ? byte - '0'
           : byte >= 'a' && byte <= 'f' ? byte - 'a' + 10
           : byte >= 'A' && byte <= 'F' ? byte - 'A' + 10
                                        : -1;
}

static char escaped_byte(char letter) {
    switch (letter) {
    case 'n':
        return '\n';
    case 'r':
        return '\r';
    case 't':
        return '\t';
    case 'b':
        return '\b';
    case 'a':
        return '\a';
    default:
        return letter;
    }
}

/* Reads what stands between two quotes, at points behind the opening one, and appends it to to. Returns the
 * place behind the closing one, which must be followed by a blank or by nothing; NULL: unbalanced. */
static const char *read_quoted(const char *at, const char *end, char quote, char **to) {
    while (at < end && *at != quote) {
        if (quote == '"' && *at == '\\' && end - at >= 4 && at[1] == 'x' && hex_digit(at[2]) >= 0 &&
            hex_digit(at[3]) >= 0) {
            *(*to)++ = (char)(hex_digit(at[2]) * 16 + hex_digit(at[3]));
            at += 4;
        } else if (quote == '"' && *at == '\\' && end - at >= 2) {
            *(*to)++ = escaped_byte(at[1]);
            at += 2;
        } else if (quote == '\'' && *at == '\\' && end - at >= 2 && at[1] == '\'') {
            *(*to)++ = '\'';
            at += 2;
        } else {
            *(*to)++ = *at++;
        }
    }
    if (at == end || (at + 1 < end && !is_blank(at[1]))) {
        return NULL;
    }
    return at + 1;
}

/* A word that may have quotes in it, written to *to. A closing quote ends the word. */
static const char *read_word(const char *at, const char *end, char **to) {
    while (at < end && !ends_word(*at)) {
        if (*at == '"' || *at == '\'') {
            return read_quoted(at + 1, end, *at, to);
        }
        *(*to)++ = *at++;
    }
    return at;
}

static enum resp_request_result split_line(struct resp_request *request, struct slice line,
                                           struct resp_arguments *arguments) {
    const char *at = line.ptr, *end = line.ptr + line.len;
    char *scratch = NULL; /* no word grows by being unescaped: room for the line is room for all of them */
    for (;;) {
        while (at < end && is_blank(*at)) {
            at++;
        }
        if (at == end) {
            return RESP_REQUEST_OK;
        }
        const char *plain = at;
        while (plain < end && !ends_word(*plain) && *plain != '"' && *plain != '\'') {
            plain++;
        }
        struct slice word = slice_of(at, (size_t)(plain - at));
        if (plain == end || ends_word(*plain)) {
            at = plain;
        } else {
            if (scratch == NULL) {
                arguments->unescaped.max_bytes = LIMIT_INLINE_BYTES;
                scratch = buf_reserve(&arguments->unescaped, line.len);
                if (scratch == NULL) {
                    return bad(request, RESP_REQUEST_NO_MEMORY);
                }
            }
            char *word_end = scratch;
            at = read_word(at, end, &word_end);
            if (at == NULL) {
                return bad(request, RESP_REQUEST_UNBALANCED_QUOTES);
            }
            word = slice_of(scratch, (size_t)(word_end - scratch));
            scratch = word_end;
        }
        if (!add_argument(arguments, word)) {
            return bad(request, RESP_REQUEST_NO_MEMORY);
        }
    }
}

static enum resp_request_result read_inline(struct resp_request *request, struct slice in,
                                            struct resp_arguments *arguments) {
    size_t from = request->scanned;
    const char *lf = from < in.len ? memchr(in.ptr + from, '\n', in.len - from) : NULL;
    size_t length = lf == NULL ? in.len : (size_t)(lf - in.ptr);
    if (length > LIMIT_INLINE_BYTES) {
        return bad(request, RESP_REQUEST_BIG_INLINE);
    }
    request->scanned = length;
    if (lf == NULL) {
        return RESP_REQUEST_MORE;
    }
    request->offset = length + 1;
    if (length > 0 && in.ptr[length - 1] == '\r') {
        length--;
    }
    return split_line(request, slice_first(in, length), arguments);
}

/* ------------------------------------------------------------------------------------------------------------------
 */

static const struct resp_request at_start;

/* A command that read_small did not read: its beginning, or what follows MORE. */
static enum resp_request_result parse(struct resp_request *request, const struct resp_limits *limits,
                                      struct slice in, const struct resp_detour *detour,
                                      struct resp_arguments *arguments, struct resp_command *out) {
    size_t first = arguments->count;
    bool resumed = request->state != RESP_REQUEST_START;
    if (!resumed) {
        request->state = in.ptr[0] == '*' ? RESP_REQUEST_COUNT : RESP_REQUEST_INLINE;
    }
    bool is_inline = request->state == RESP_REQUEST_INLINE;
    enum resp_request_result result;
    if (is_inline) {
        result = read_inline(request, in, arguments);
    } else {
        result = read_multibulk(request, limits, in, detour, resumed ? NULL : arguments);
        if (result == RESP_REQUEST_OK && resumed) {
            *request = (struct resp_request){.state = RESP_REQUEST_COUNT};
            result = read_multibulk(request, limits, in, detour, arguments);
        }
    }
    if (result != RESP_REQUEST_OK) {
        arguments->count = first;
        return result;
    }
    *out = (struct resp_command){request->offset, first, arguments->count - first, is_inline};
    *request = at_start;
    return RESP_REQUEST_OK;
}

enum resp_request_result resp_request_parse(struct resp_request *request, const struct resp_limits *limits,
                                            struct slice in, struct resp_arguments *arguments,
                                            struct resp_command *out) {
    if (in.len == 0) {
        return RESP_REQUEST_MORE;
    }
    if (request->state == RESP_REQUEST_START && in.ptr[0] == '*') {
        size_t first = arguments->count, bytes;
        if (read_small(limits, in, arguments, &bytes)) {
            *out = (struct resp_command){bytes, first, arguments->count - first, false};
            return RESP_REQUEST_OK;
        }
        arguments->count = first;
    }
    return parse(request, limits, in, NULL, arguments, out);
}

enum resp_request_result resp_request_parse_around(struct resp_request *request,
                                                   const struct resp_limits *limits, struct slice in,
                                                   const struct resp_detour *detour,
                                                   struct resp_arguments *arguments, struct resp_command *out) {
    return parse(request, limits, in, detour, arguments, out);
}

struct resp_pending_bulk resp_request_pending_bulk(const struct resp_request *request) {
    bool is_bulk = request->state == RESP_REQUEST_BULK;
    return (struct resp_pending_bulk){is_bulk ? request->bulk_bytes : 0, request->offset};
}

bool resp_request_arguments_so_far(const struct resp_limits *limits, struct slice in,
                                   struct resp_arguments *arguments) {
    struct resp_request again = {.state = RESP_REQUEST_COUNT};
    size_t first = arguments->count;
    bool complete = read_multibulk(&again, limits, in, NULL, arguments) != RESP_REQUEST_BAD;
    if (!complete) {
        arguments->count = first;
    }
    return complete;
}

size_t resp_request_expected_bytes(const struct resp_request *request) {
    enum { HEADER_BYTES = 16 };
    if (request->state != RESP_REQUEST_BULK) {
        return 0;
    }
    size_t others = request->bulks_left - 1;
    size_t bytes = request->offset + request->bulk_bytes + 2 + others * HEADER_BYTES;
    /* Keys and values in turn are what long commands are made of. */
    return bytes + others / 2 * (request->bulk_bytes + HEADER_BYTES);
}

void resp_request_append_reason(const struct resp_request *request, struct buf *out) {
    static const char *const texts[] = {
        "none",
#define RESP_REQUEST_FAULT(name, text) text,
#include "protocol/resp_request_faults.def"
#undef RESP_REQUEST_FAULT
    };
    buf_append_text(out, "Protocol error: ");
    buf_append_text(out, texts[request->fault]);
    if (request->fault == RESP_REQUEST_NO_DOLLAR) {
        char got = request->unexpected;
        buf_append_byte(out, got == '\r' || got == '\n' ? ' ' : got);
        buf_append_byte(out, '\'');
    }
}
