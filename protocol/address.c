#include "protocol/address.h"

#include "protocol/num.h"

#include <stdint.h>

enum { V4_BYTES = 4, V6_GROUPS = 8, NO_GAP = V6_GROUPS + 1, GROUP_DIGITS = 4 };

static bool read_v4(struct slice text, uint8_t bytes[V4_BYTES]) {
    for (size_t i = 0; i < V4_BYTES; i++) {
        uint64_t number;
        bool is_last = memchr(text.ptr, '.', text.len) == NULL;
        if (is_last != (i == V4_BYTES - 1) || !num_parse_u64(slice_take_until(&text, '.'), &number) ||
            number > UINT8_MAX) {
            return false;
        }
        bytes[i] = (uint8_t)number;
    }
    return true;
}

static bool read_group(struct slice digits, uint16_t *group) {
    *group = 0;
    for (size_t i = 0; i < digits.len; i++) {
        char c = digits.ptr[i];
        int value = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (value < 0) {
            return false;
        }
        *group = (uint16_t)(*group << 4 | value);
    }
    return digits.len > 0 && digits.len <= GROUP_DIGITS;
}

/* Groups of hexadecimal digits, the last two perhaps as IPv4; "::" stands once for as many zeros as are
 * missing. */
static bool read_v6(struct slice text, uint16_t groups[V6_GROUPS]) {
    size_t count = 0, gap = NO_GAP;
    if (text.len >= 2 && text.ptr[0] == ':' && text.ptr[1] == ':') {
        gap = 0;
        text = slice_skip(text, 2);
    }
    while (text.len > 0) {
        struct slice rest = text, piece = slice_take_until(&rest, ':');
        bool is_last = piece.len == text.len;
        uint8_t v4[V4_BYTES];
        if (is_last && count <= V6_GROUPS - 2 && read_v4(piece, v4)) {
            groups[count++] = (uint16_t)(v4[0] << 8 | v4[1]);
            groups[count++] = (uint16_t)(v4[2] << 8 | v4[3]);
            break;
        }
        if (count == V6_GROUPS || !read_group(piece, &groups[count++]) || (!is_last && rest.len == 0)) {
            return false;
        }
        if (rest.len > 0 && rest.ptr[0] == ':') {
            if (gap != NO_GAP) {
                return false;
            }
            gap = count;
            rest = slice_skip(rest, 1);
        }
        text = rest;
    }
    if (gap == NO_GAP || count == V6_GROUPS) {
        return gap == NO_GAP && count == V6_GROUPS;
    }
    memmove(groups + V6_GROUPS - (count - gap), groups + gap, (count - gap) * sizeof(groups[0]));
    memset(groups + gap, 0, (V6_GROUPS - count) * sizeof(groups[0]));
    return true;
}

/* Nobody is there: "this host", multicast and what is reserved, broadcast (RFC 1122, 3.2.1.3; RFC 1112, 4). */
static bool is_one_v4(unsigned first_byte) { return first_byte != 0 && first_byte < 224; }

static bool is_one_v6(const uint16_t groups[V6_GROUPS]) {
    static const uint16_t zeros[V6_GROUPS];
    if (memcmp(groups, zeros, 5 * sizeof(zeros[0])) == 0 && groups[5] == 0xFFFF) {
        return is_one_v4(groups[6] >> 8); /* IPv4 in IPv6's clothes */
    }
    return memcmp(groups, zeros, sizeof(zeros)) != 0 && groups[0] >> 8 != 0xFF;
}

bool address_is_of_one_host(struct slice text) {
    uint8_t v4[V4_BYTES];
    uint16_t v6[V6_GROUPS];
    if (text.len == 0) {
        return false;
    }
    return read_v4(text, v4) ? is_one_v4(v4[0]) : read_v6(text, v6) && is_one_v6(v6);
}
