#include "protocol/percent.h"

#include "protocol/scan.h"

static size_t harmless_run(struct slice s) { return scan_until(s, '%', '|', '\n', '\r', '\0'); }

size_t percent_encoded_bytes(struct slice bytes) {
    size_t n = bytes.len;
    for (size_t i = harmless_run(bytes); i < bytes.len; i++) {
        n += 2;
        i += harmless_run(slice_skip(bytes, i + 1));
    }
    return n;
}

char *percent_encode(char *to, struct slice bytes) {
    static const char digits[] = "0123456789ABCDEF";
    while (bytes.len > 0) {
        size_t run = harmless_run(bytes);
        memcpy(to, bytes.ptr, run);
        to += run;
        bytes = slice_skip(bytes, run);
        if (bytes.len > 0) {
            unsigned byte = (unsigned char)*bytes.ptr;
            *to++ = '%';
            *to++ = digits[byte >> 4];
            *to++ = digits[byte & 15];
            bytes = slice_skip(bytes, 1);
        }
    }
    return to;
}

/* 0 to 15, or more than that for what is no digit. */
static unsigned hex_digit(char c) {
    unsigned decimal = (unsigned char)c - (unsigned)'0';
    unsigned letter = ((unsigned char)c | 0x20U) - (unsigned)'a';
    return decimal <= 9 ? decimal : letter <= 5 ? letter + 10 : 16;
}

static void move_run(char *to, struct slice run, enum percent_plus plus) {
    memmove(to, run.ptr, run.len);
    if (plus == PERCENT_PLUS_IS_BLANK) {
        for (size_t i = 0; i < run.len; i++) {
            to[i] = to[i] == '+' ? ' ' : to[i];
        }
    }
}

bool percent_decode(struct slice text, enum percent_plus plus, char *to, size_t *n) {
    char *at = to;
    while (text.len > 0) {
        const char *escape = memchr(text.ptr, '%', text.len);
        size_t run = escape == NULL ? text.len : (size_t)(escape - text.ptr);
        move_run(at, slice_first(text, run), plus);
        at += run;
        text = slice_skip(text, run);
        if (text.len == 0) {
            break;
        }
        unsigned high = text.len < 3 ? 16 : hex_digit(text.ptr[1]);
        unsigned low = text.len < 3 ? 16 : hex_digit(text.ptr[2]);
        if (high > 15 || low > 15) {
            return false;
        }
        *at++ = (char)(high << 4 | low);
        text = slice_skip(text, 3);
    }
    *n = (size_t)(at - to);
    return true;
}
