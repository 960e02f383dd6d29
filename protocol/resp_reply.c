#include "protocol/resp_reply.h"

#include "protocol/num.h"

#include <stdarg.h>
#include <stdio.h>

enum { HEADER_MAX_BYTES = 1 + NUM_MAX_DIGITS + 2 };

static inline char *put_crlf(char *to) {
    to[0] = '\r';
    to[1] = '\n';
    return to + 2;
}

static inline char *put_header(char *to, char type, uint64_t number) {
    *to++ = type;
    if (number < 10) {
        *to++ = (char)('0' + number);
    } else {
        to += num_write_u64(to, number);
    }
    return put_crlf(to);
}

static void header(struct resp_reply *reply, char type, uint64_t number) {
    char bytes[HEADER_MAX_BYTES];
    buf_append(reply->out, bytes, (size_t)(put_header(bytes, type, number) - bytes));
}

void resp_status(struct resp_reply *reply, const char *text) {
    buf_append_byte(reply->out, '+');
    buf_append_text(reply->out, text);
    RESP_LITERAL(reply, "\r\n");
}

void resp_integer(struct resp_reply *reply, int64_t number) {
    if (number >= 0) {
        header(reply, ':', (uint64_t)number);
        return;
    }
    char bytes[HEADER_MAX_BYTES] = {':'};
    char *end = put_crlf(bytes + 1 + num_write_i64(bytes + 1, number));
    buf_append(reply->out, bytes, (size_t)(end - bytes));
}

void resp_bulk(struct resp_reply *reply, struct slice bytes) {
    char *to = buf_reserve(reply->out, HEADER_MAX_BYTES + bytes.len + 2);
    if (to == NULL) {
        return;
    }
    char *at = put_header(to, '$', bytes.len);
    if (bytes.len > 0) {
        memcpy(at, bytes.ptr, bytes.len);
    }
    at = put_crlf(at + bytes.len);
    buf_commit(reply->out, (size_t)(at - to));
}

void resp_bulk_text(struct resp_reply *reply, const char *text) { resp_bulk(reply, slice_from_text(text)); }

void resp_field(struct resp_reply *reply, const char *name, struct slice text) {
    if (text.len > 0) {
        resp_bulk_text(reply, name);
        resp_bulk(reply, text);
    }
}

void resp_bulk_number(struct resp_reply *reply, uint64_t number) {
    char digits[NUM_MAX_DIGITS];
    resp_bulk(reply, slice_of(digits, num_write_u64(digits, number)));
}

void resp_bulk_header(struct resp_reply *reply, size_t length) { header(reply, '$', length); }

void resp_double(struct resp_reply *reply, double number) {
    char text[40];
    int n = snprintf(text, sizeof(text), "%.17g", number);
    if (reply->version == 3) {
        buf_printf(reply->out, ",%s\r\n", text);
    } else {
        resp_bulk(reply, slice_of(text, (size_t)n));
    }
}

void resp_null(struct resp_reply *reply) {
    if (reply->version == 2) {
        RESP_LITERAL(reply, "$-1\r\n");
    } else {
        RESP_LITERAL(reply, "_\r\n");
    }
}

void resp_null_array(struct resp_reply *reply) {
    if (reply->version == 2) {
        RESP_LITERAL(reply, "*-1\r\n");
    } else {
        RESP_LITERAL(reply, "_\r\n");
    }
}

void resp_text(struct resp_reply *reply, struct slice text) {
    if (reply->version == 2) {
        resp_bulk(reply, text);
        return;
    }
    header(reply, '=', text.len + 4);
    RESP_LITERAL(reply, "txt:");
    buf_append_slice(reply->out, text);
    RESP_LITERAL(reply, "\r\n");
}

void resp_array(struct resp_reply *reply, size_t count) { header(reply, '*', count); }

void resp_set(struct resp_reply *reply, size_t count) { header(reply, reply->version == 2 ? '*' : '~', count); }

void resp_push(struct resp_reply *reply, size_t count) {
    header(reply, reply->version == 2 ? '*' : '>', count);
}

void resp_map(struct resp_reply *reply, size_t count) {
    if (reply->version == 2) {
        header(reply, '*', count * 2);
    } else {
        header(reply, '%', count);
    }
}

void resp_error(struct resp_reply *reply, enum err err) {
    reply->error = err_code(err);
    buf_append_byte(reply->out, '-');
    buf_append_text(reply->out, err_code(err));
    buf_append_byte(reply->out, ' ');
    buf_append_text(reply->out, err_text(err));
    RESP_LITERAL(reply, "\r\n");
}

void resp_errorf(struct resp_reply *reply, const char *format, ...) {
    char text[1024];
    reply->error = format;
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    size_t length = n < 0 ? 0 : (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1;
    for (size_t i = 0; i < length; i++) {
        if (text[i] == '\r' || text[i] == '\n') {
            text[i] = ' ';
        }
    }
    buf_append_byte(reply->out, '-');
    buf_append(reply->out, text, length);
    RESP_LITERAL(reply, "\r\n");
}
