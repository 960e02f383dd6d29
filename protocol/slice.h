/* slice.h: a borrowed run of bytes.
 *
 * A slice owns nothing and dies with the buffer it points into: whatever is stored or queued copies it.
 * Bytes, not characters: a slice may hold NUL, LF or anything else, and is not NUL-terminated.
 */
#ifndef KVNODE_PROTOCOL_SLICE_H
#define KVNODE_PROTOCOL_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

struct slice {
    const char *ptr;
    size_t len;
};

/* The slice of a string literal, without its NUL. */
#define SLICE(literal) ((struct slice){(literal), sizeof(literal) - 1})

static inline struct slice slice_of(const void *ptr, size_t len) {
    return (struct slice){(const char *)ptr, len};
}

static inline struct slice slice_from_text(const char *text) { return slice_of(text, strlen(text)); }

static inline bool slice_equals(struct slice a, struct slice b) {
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

/* The bytes of a text of less than eight, some of them twice: of texts of one length, the words are equal if
 * they are. */
static inline uint64_t slice_short_word(const char *text, size_t n) {
    uint32_t head = 0, tail = 0;
    if (n >= sizeof(head)) {
        memcpy(&head, text, sizeof(head));
        memcpy(&tail, text + n - sizeof(tail), sizeof(tail));
    } else if (n > 0) {
        head = (uint32_t)(unsigned char)text[0] << 8 | (unsigned char)text[n / 2];
        tail = (unsigned char)text[n - 1];
    }
    return (uint64_t)head << 32 | tail;
}

/* Eight bytes at once: A to Z become a to z. What each byte is compared with leaves its top bit to say so. */
static inline uint64_t slice_lower_word(uint64_t word) {
    const uint64_t each = 0x0101010101010101U, top = each * 0x80;
    uint64_t low = word & ~top;
    uint64_t from_a = low + each * (0x80 - 'A'), behind_z = low + each * (0x7f - 'Z');
    return word | (from_a & ~behind_z & ~word & top) >> 2;
}

static inline bool slice_bytes_equal_nocase(const char *a, const char *b, size_t n) {
    uint64_t x, y;
    if (n < sizeof(x)) {
        return slice_lower_word(slice_short_word(a, n)) == slice_lower_word(slice_short_word(b, n));
    }
    for (size_t at = 0; at < n; at += sizeof(x)) {
        size_t from = at + sizeof(x) <= n ? at : n - sizeof(x);
        memcpy(&x, a + from, sizeof(x));
        memcpy(&y, b + from, sizeof(y));
        if (x != y && slice_lower_word(x) != slice_lower_word(y)) {
            return false;
        }
    }
    return true;
}

/* ASCII case is ignored. Stops at no NUL: lengths must agree. Most texts differ in the first byte. */
static inline bool slice_equals_nocase(struct slice a, struct slice b) {
    return a.len == b.len && (a.len == 0 || (((a.ptr[0] ^ b.ptr[0]) & ~0x20) == 0 &&
                                             slice_bytes_equal_nocase(a.ptr, b.ptr, a.len)));
}

/* What is left after the first n bytes; n must not exceed len. */
static inline struct slice slice_skip(struct slice s, size_t n) { return slice_of(s.ptr + n, s.len - n); }

/* The text up to mark, which is taken off *rest together with the mark; all of it when there is no mark. */
static inline struct slice slice_take_until(struct slice *rest, char mark) {
    struct slice taken = *rest;
    const char *end = rest->len == 0 ? NULL : memchr(rest->ptr, mark, rest->len);
    if (end == NULL) {
        rest->len = 0;
        return taken;
    }
    taken.len = (size_t)(end - rest->ptr);
    *rest = slice_skip(*rest, taken.len + 1);
    return taken;
}

static inline struct slice slice_first(struct slice s, size_t n) {
    return slice_of(s.ptr, n < s.len ? n : s.len);
}

static inline bool slice_is_between_items(char c) { return c == ',' || c == ' '; }

/* Takes the next item of a list, with commas or blanks between its items, off *rest; empty: there is none left.
 */
static inline struct slice slice_next_item(struct slice *rest) {
    while (rest->len > 0 && slice_is_between_items(rest->ptr[0])) {
        *rest = slice_skip(*rest, 1);
    }
    size_t n = 0;
    while (n < rest->len && !slice_is_between_items(rest->ptr[n])) {
        n++;
    }
    struct slice item = slice_first(*rest, n);
    *rest = slice_skip(*rest, n);
    return item;
}

#endif
