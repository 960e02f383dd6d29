/* slice.h: a borrowed run of bytes.
 *
 * A slice owns nothing and dies with the buffer it points into: whatever is stored or queued copies it.
 * Bytes, not characters: a slice may hold NUL, LF or anything else, and is not NUL-terminated.
 */
#ifndef KVNODE_PROTOCOL_SLICE_H
#define KVNODE_PROTOCOL_SLICE_H

#include <stdbool.h>
#include <stddef.h>
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

/* ASCII case is ignored. Stops at no NUL: lengths must agree. */
static inline bool slice_equals_nocase(struct slice a, struct slice b) {
    if (a.len != b.len) {
        return false;
    }
    for (size_t i = 0; i < a.len; i++) {
        unsigned char x = (unsigned char)a.ptr[i], y = (unsigned char)b.ptr[i];
        x = (unsigned char)(x >= 'A' && x <= 'Z' ? x + 32 : x);
        y = (unsigned char)(y >= 'A' && y <= 'Z' ? y + 32 : y);
        if (x != y) {
            return false;
        }
    }
    return true;
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
