#include "protocol/base64.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_encode(struct buf *out, struct slice bytes) {
    size_t n = (bytes.len + 2) / 3 * 4;
    char *to = n > 0 ? buf_reserve(out, n) : NULL;
    if (to == NULL) {
        return;
    }
    const uint8_t *from = (const uint8_t *)bytes.ptr;
    size_t left = bytes.len;
    for (; left >= 3; left -= 3, from += 3, to += 4) {
        uint32_t group = (uint32_t)from[0] << 16 | (uint32_t)from[1] << 8 | from[2];
        to[0] = alphabet[group >> 18];
        to[1] = alphabet[group >> 12 & 63];
        to[2] = alphabet[group >> 6 & 63];
        to[3] = alphabet[group & 63];
    }
    if (left > 0) {
        uint32_t group = (uint32_t)from[0] << 16 | (left == 2 ? (uint32_t)from[1] << 8 : 0);
        to[0] = alphabet[group >> 18];
        to[1] = alphabet[group >> 12 & 63];
        to[2] = left == 2 ? alphabet[group >> 6 & 63] : '=';
        to[3] = '=';
    }
    buf_commit(out, n);
}

/* A digit's value, by its byte; one more, so that what the table does not name is 0. */
static const uint8_t values[256] = {
    ['A'] = 1,  ['B'] = 2,  ['C'] = 3,  ['D'] = 4,  ['E'] = 5,  ['F'] = 6,  ['G'] = 7,  ['H'] = 8,
    ['I'] = 9,  ['J'] = 10, ['K'] = 11, ['L'] = 12, ['M'] = 13, ['N'] = 14, ['O'] = 15, ['P'] = 16,
    ['Q'] = 17, ['R'] = 18, ['S'] = 19, ['T'] = 20, ['U'] = 21, ['V'] = 22, ['W'] = 23, ['X'] = 24,
    ['Y'] = 25, ['Z'] = 26, ['a'] = 27, ['b'] = 28, ['c'] = 29, ['d'] = 30, ['e'] = 31, ['f'] = 32,
    ['g'] = 33, ['h'] = 34, ['i'] = 35, ['j'] = 36, ['k'] = 37, ['l'] = 38, ['m'] = 39, ['n'] = 40,
    ['o'] = 41, ['p'] = 42, ['q'] = 43, ['r'] = 44, ['s'] = 45, ['t'] = 46, ['u'] = 47, ['v'] = 48,
    ['w'] = 49, ['x'] = 50, ['y'] = 51, ['z'] = 52, ['0'] = 53, ['1'] = 54, ['2'] = 55, ['3'] = 56,
    ['4'] = 57, ['5'] = 58, ['6'] = 59, ['7'] = 60, ['8'] = 61, ['9'] = 62, ['+'] = 63, ['/'] = 64,
};

/* The bits of the first n characters of a group of four, as its upper ones; false when one is not a digit. */
static bool group_bits(const char *text, size_t n, uint32_t *out) {
    uint32_t group = 0;
    bool good = true;
    for (size_t i = 0; i < n; i++) {
        unsigned value = values[(uint8_t)text[i]];
        good &= value != 0;
        group |= ((value - 1) & 63) << (18 - 6 * i);
    }
    *out = group;
    return good;
}

bool base64_decode(struct buf *out, struct slice text) {
    if (text.len % 4 != 0) {
        return false;
    }
    if (text.len == 0) {
        return true;
    }
    const char *last = text.ptr + text.len - 4;
    size_t padding = last[3] != '=' ? 0 : last[2] != '=' ? 1 : 2;
    size_t n = text.len / 4 * 3 - padding;
    char *to = buf_reserve(out, n);
    if (to == NULL) {
        return false;
    }
    uint32_t group;
    for (const char *at = text.ptr; at < last; at += 4, to += 3) {
        if (!group_bits(at, 4, &group)) {
            return false;
        }
        to[0] = (char)(group >> 16);
        to[1] = (char)(group >> 8);
        to[2] = (char)group;
    }
    /* What the padding stands for must be zero bits: "QQ==" is "A", and so would be "QR==". */
    if (!group_bits(last, 4 - padding, &group) || (group & ((UINT32_C(1) << (8 * padding)) - 1)) != 0) {
        return false;
    }
    for (size_t i = 0; i < 3 - padding; i++) {
        to[i] = (char)(group >> (16 - 8 * i));
    }
    buf_commit(out, n);
    return true;
}
