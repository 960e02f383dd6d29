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

static char *put_escape(char *to, char byte) {
    static const char digits[] = "0123456789ABCDEF";
    *to++ = '%';
    *to++ = digits[(unsigned char)byte >> 4];
    *to++ = digits[(unsigned char)byte & 15];
    return to;
}

char *percent_encode(char *to, struct slice bytes) {
    while (bytes.len > 0) {
        size_t run = harmless_run(bytes);
        memcpy(to, bytes.ptr, run);
        to += run;
        bytes = slice_skip(bytes, run);
        if (bytes.len > 0) {
            to = put_escape(to, *bytes.ptr);
            bytes = slice_skip(bytes, 1);
        }
    }
    return to;
}

/* --- Patches */

/* How far a run of zeros goes, or of bytes that stay as they are; 0: the first byte is neither. */
static size_t zero_run(struct slice s) {
    size_t n = 0;
    while (n < s.len && s.ptr[n] == '\0') {
        n++;
    }
    return n;
}

static size_t patch_run(struct slice s) {
    size_t run = harmless_run(s);
    const char *tilde = run == 0 ? NULL : memchr(s.ptr, '~', run);
    return tilde == NULL ? run : (size_t)(tilde - s.ptr);
}

size_t percent_encoded_patch_bytes(struct slice bytes) {
    size_t n = 0;
    while (bytes.len > 0) {
        size_t run = patch_run(bytes);
        run += zero_run(slice_skip(bytes, run));
        bytes = slice_skip(bytes, run);
        n += run;
        if (run == 0) {
            bytes = slice_skip(bytes, 1);
            n += 3;
        }
    }
    return n;
}

char *percent_encode_patch(char *to, struct slice bytes) {
    while (bytes.len > 0) {
        size_t run = patch_run(bytes);
        memcpy(to, bytes.ptr, run);
        bytes = slice_skip(bytes, run);
        to += run;
        size_t zeros = zero_run(bytes);
        memset(to, '~', zeros);
        bytes = slice_skip(bytes, zeros);
        to += zeros;
        if (run + zeros == 0) {
            to = put_escape(to, *bytes.ptr);
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

static void replace_all(char *bytes, size_t n, char what, char with) {
    for (size_t i = 0; i < n; i++) {
        bytes[i] = bytes[i] == what ? with : bytes[i];
    }
}

static void move_run(char *to, struct slice run, enum percent_form form) {
    memmove(to, run.ptr, run.len);
    if (form == PERCENT_PLUS_IS_BLANK) {
        replace_all(to, run.len, '+', ' ');
    } else if (form == PERCENT_TILDE_IS_NUL) {
        replace_all(to, run.len, '~', '\0');
    }
}

bool percent_decode(struct slice text, enum percent_form form, char *to, size_t *n) {
    char *at = to;
    while (text.len > 0) {
        const char *escape = memchr(text.ptr, '%', text.len);
        size_t run = escape == NULL ? text.len : (size_t)(escape - text.ptr);
        move_run(at, slice_first(text, run), form);
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
