#include "protocol/glob.h"

static unsigned fold(char c, enum glob_case mode) {
    unsigned byte = (unsigned char)c;
    return mode == GLOB_NOCASE && byte >= 'A' && byte <= 'Z' ? byte + 32 : byte;
}

static bool in_range(char from, char to, char c, enum glob_case mode) {
    bool swapped = (unsigned char)from > (unsigned char)to;
    unsigned low = fold(swapped ? to : from, mode), high = fold(swapped ? from : to, mode);
    return low <= fold(c, mode) && fold(c, mode) <= high;
}

/* pattern is behind the '['. Whether c is in the set; *length is how much of pattern the set takes, ']'
 * included. */
static bool match_set(struct slice pattern, char c, enum glob_case mode, size_t *length) {
    size_t i = 0;
    bool negated = pattern.len > 0 && pattern.ptr[0] == '^';
    bool found = false;
    i += negated;
    while (i < pattern.len && pattern.ptr[i] != ']') {
        size_t left = pattern.len - i;
        const char *at = pattern.ptr + i;
        if (at[0] == '\\' && left >= 2) {
            found |= at[1] == c; /* exactly this byte, in either mode: so does Redis */
            i += 2;
        } else if (left >= 3 && at[1] == '-') {
            found |= in_range(at[0], at[2], c, mode);
            i += 3;
        } else {
            found |= fold(at[0], mode) == fold(c, mode);
            i += 1;
        }
    }
    *length = i + (i < pattern.len);
    return found != negated;
}

/* Whether the first element of pattern, which is not a star, matches c; *length is the length of the element.
 */
static bool match_one(struct slice pattern, char c, enum glob_case mode, size_t *length) {
    *length = 1;
    switch (pattern.ptr[0]) {
    case '?':
        return true;
    case '[': {
        bool matches = match_set(slice_skip(pattern, 1), c, mode, length);
        *length += 1;
        return matches;
    }
    case '\\':
        if (pattern.len >= 2) {
            *length = 2;
            return fold(pattern.ptr[1], mode) == fold(c, mode);
        }
        break;
    }
    return fold(pattern.ptr[0], mode) == fold(c, mode);
}

/* Every element but the star takes exactly one byte, so the last star is the only place to go back to: when
 * what follows it fails, an earlier star taking more could not help that the last one taking more would not. */
bool glob_match(struct slice pattern, struct slice text, enum glob_case mode) {
    size_t p = 0, t = 0;
    bool starred = false;
    size_t star_p = 0, star_t = 0; /* behind the last star, and where the text it does not take begins */
    while (t < text.len) {
        if (p < pattern.len && pattern.ptr[p] == '*') {
            starred = true;
            star_p = ++p;
            star_t = t;
            if (p == pattern.len) {
                return true;
            }
            continue;
        }
        size_t length;
        if (p < pattern.len && match_one(slice_skip(pattern, p), text.ptr[t], mode, &length)) {
            p += length;
            t++;
        } else if (starred) {
            p = star_p;
            t = ++star_t;
        } else {
            return false;
        }
    }
    while (p < pattern.len && pattern.ptr[p] == '*') {
        p++;
    }
    return p == pattern.len;
}
