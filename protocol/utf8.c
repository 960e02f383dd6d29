#include "protocol/utf8.h"

#include <stdint.h>

static size_t ascii_run(struct slice s) {
    size_t i = 0;
    for (uint64_t word; s.len - i >= sizeof(word); i += sizeof(word)) {
        memcpy(&word, s.ptr + i, sizeof(word));
        if ((word & UINT64_C(0x8080808080808080)) != 0) {
            break;
        }
    }
    while (i < s.len && (unsigned char)s.ptr[i] < 0x80) {
        i++;
    }
    return i;
}

/* The rows of table 3-7: which second bytes may follow a first byte, and how long the sequence is. Every byte
 * after the second is 80 to BF. */
static const struct row {
    uint8_t first_low, first_high, second_low, second_high, length;
} rows[] = {
    {0xC2, 0xDF, 0x80, 0xBF, 2}, {0xE0, 0xE0, 0xA0, 0xBF, 3}, {0xE1, 0xEC, 0x80, 0xBF, 3},
    {0xED, 0xED, 0x80, 0x9F, 3}, {0xEE, 0xEF, 0x80, 0xBF, 3}, {0xF0, 0xF0, 0x90, 0xBF, 4},
    {0xF1, 0xF3, 0x80, 0xBF, 4}, {0xF4, 0xF4, 0x80, 0x8F, 4},
};

/* The length of the sequence of two bytes or more that s begins with; 0 when it is none. */
static size_t sequence(struct slice s) {
    const uint8_t *byte = (const uint8_t *)s.ptr;
    for (size_t r = 0; r < sizeof(rows) / sizeof(rows[0]); r++) {
        const struct row *row = &rows[r];
        if (byte[0] < row->first_low || byte[0] > row->first_high) {
            continue;
        }
        if (s.len < row->length || byte[1] < row->second_low || byte[1] > row->second_high) {
            return 0;
        }
        for (size_t i = 2; i < row->length; i++) {
            if ((byte[i] & 0xC0) != 0x80) {
                return 0;
            }
        }
        return row->length;
    }
    return 0;
}

bool utf8_valid(struct slice bytes) {
    while (bytes.len > 0) {
        size_t n = (unsigned char)*bytes.ptr < 0x80 ? ascii_run(bytes) : sequence(bytes);
        if (n == 0) {
            return false;
        }
        bytes = slice_skip(bytes, n);
    }
    return true;
}
