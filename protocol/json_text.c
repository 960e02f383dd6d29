#include "protocol/json_text.h"

#include "protocol/base64.h"
#include "protocol/utf8.h"

/* The letter behind the backslash of a two-byte escape; 'u' for \u00XX; 0 for a byte that stays. NUL is not
 * met: what has one is said in base64. */
static const char escapes[256] = {
    [0x01] = 'u', [0x02] = 'u', [0x03] = 'u', [0x04] = 'u', [0x05] = 'u',  [0x06] = 'u', [0x07] = 'u',
    [0x08] = 'b', [0x09] = 't', [0x0a] = 'n', [0x0b] = 'u', [0x0c] = 'f',  [0x0d] = 'r', [0x0e] = 'u',
    [0x0f] = 'u', [0x10] = 'u', [0x11] = 'u', [0x12] = 'u', [0x13] = 'u',  [0x14] = 'u', [0x15] = 'u',
    [0x16] = 'u', [0x17] = 'u', [0x18] = 'u', [0x19] = 'u', [0x1a] = 'u',  [0x1b] = 'u', [0x1c] = 'u',
    [0x1d] = 'u', [0x1e] = 'u', [0x1f] = 'u', ['"'] = '"',  ['\\'] = '\\',
};

static const struct slice base64_before = {"{\"base64\":\"", 11};
static const struct slice base64_after = {"\"}", 2};

struct json_text json_text_measure(struct slice bytes) {
    struct json_text text = {.bytes = bytes, .length = bytes.len + 2};
    if (bytes.len > 0 && (memchr(bytes.ptr, '\0', bytes.len) != NULL || !utf8_valid(bytes))) {
        text.base64 = true;
        text.length = base64_before.len + (bytes.len + 2) / 3 * 4 + base64_after.len;
        return text;
    }
    for (size_t i = 0; i < bytes.len; i++) {
        char escape = escapes[(unsigned char)bytes.ptr[i]];
        text.length += escape == 0 ? 0 : escape == 'u' ? 5 : 1;
    }
    return text;
}

static char *write_escaped(char *to, struct slice bytes) {
    for (size_t i = 0; i < bytes.len; i++) {
        unsigned char byte = (unsigned char)bytes.ptr[i];
        if (escapes[byte] == 0) {
            *to++ = (char)byte;
            continue;
        }
        *to++ = '\\';
        *to++ = escapes[byte];
        if (escapes[byte] == 'u') {
            *to++ = '0';
            *to++ = '0';
            *to++ = (char)('0' + (byte >> 4));
            *to++ = "0123456789abcdef"[byte & 15];
        }
    }
    return to;
}

void json_text_append(struct buf *out, const struct json_text *text) {
    if (text->base64) {
        buf_append_slice(out, base64_before);
        base64_encode(out, text->bytes);
        buf_append_slice(out, base64_after);
        return;
    }
    char *to = buf_reserve(out, text->length);
    if (to == NULL) {
        return;
    }
    *to++ = '"';
    if (text->length != text->bytes.len + 2) {
        to = write_escaped(to, text->bytes);
    } else if (text->bytes.len > 0) {
        memcpy(to, text->bytes.ptr, text->bytes.len);
        to += text->bytes.len;
    }
    *to = '"';
    buf_commit(out, text->length);
}

void json_text_write(struct buf *out, struct slice bytes) {
    struct json_text text = json_text_measure(bytes);
    json_text_append(out, &text);
}
