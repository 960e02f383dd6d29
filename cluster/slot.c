#include "cluster/slot.h"

/* CRC-16/XMODEM: x^16 + x^12 + x^5 + 1, most significant bit first, starting from 0.
 *
 * Four bytes are taken at a time ("slicing by 4"): remainder[k][b] is what byte b leaves behind when k more
 * bytes follow it. A remainder is linear over XOR, so each table is spelled by what its eight single bits leave
 * behind: bit j of remainder[k] is x^(16 + 8k + j) modulo the polynomial. */
#define REMAINDERS_1(x, b0)         (x), (x) ^ (b0)
#define REMAINDERS_2(x, b1, b0)     REMAINDERS_1(x, b0), REMAINDERS_1((x) ^ (b1), b0)
#define REMAINDERS_3(x, b2, b1, b0) REMAINDERS_2(x, b1, b0), REMAINDERS_2((x) ^ (b2), b1, b0)
#define REMAINDERS_4(x, b3, ...)    REMAINDERS_3(x, __VA_ARGS__), REMAINDERS_3((x) ^ (b3), __VA_ARGS__)
#define REMAINDERS_5(x, b4, ...)    REMAINDERS_4(x, __VA_ARGS__), REMAINDERS_4((x) ^ (b4), __VA_ARGS__)
#define REMAINDERS_6(x, b5, ...)    REMAINDERS_5(x, __VA_ARGS__), REMAINDERS_5((x) ^ (b5), __VA_ARGS__)
#define REMAINDERS_7(x, b6, ...)    REMAINDERS_6(x, __VA_ARGS__), REMAINDERS_6((x) ^ (b6), __VA_ARGS__)
#define REMAINDERS_8(b7, ...)       REMAINDERS_7(0, __VA_ARGS__), REMAINDERS_7(b7, __VA_ARGS__)

static const uint16_t remainder_of[4][256] = {
    {REMAINDERS_8(0x9188, 0x48c4, 0x2462, 0x1231, 0x8108, 0x4084, 0x2042, 0x1021)},
    {REMAINDERS_8(0x1b98, 0x0dcc, 0x06e6, 0x0373, 0x89a9, 0xccc4, 0x6662, 0x3331)},
    {REMAINDERS_8(0x3b5a, 0x1dad, 0x86c6, 0x4363, 0xa9a1, 0xdcc0, 0x6e60, 0x3730)},
    {REMAINDERS_8(0xdd38, 0x6e9c, 0x374e, 0x1ba7, 0x85c3, 0xcaf1, 0xed68, 0x76b4)},
};

uint16_t slot_crc16(struct slice bytes) {
    const unsigned char *p = (const unsigned char *)bytes.ptr;
    size_t left = bytes.len;
    unsigned crc = 0; /* 16 bits */
    for (; left >= 4; p += 4, left -= 4) {
        crc = (unsigned)(remainder_of[3][(crc >> 8) ^ p[0]] ^ remainder_of[2][(crc & 0xff) ^ p[1]] ^
                         remainder_of[1][p[2]] ^ remainder_of[0][p[3]]);
    }
    for (; left > 0; p++, left--) {
        crc = ((crc << 8) & 0xffff) ^ remainder_of[0][(crc >> 8) ^ *p];
    }
    return (uint16_t)crc;
}

/* "If the key contains a {...} pattern, only the substring between { and } is hashed": the first '{', the first
 * '}' behind it, and something between them. */
static struct slice hashed_part(struct slice key) {
    const char *open = key.len > 0 ? memchr(key.ptr, '{', key.len) : NULL;
    if (open == NULL) {
        return key;
    }
    struct slice behind = slice_skip(key, (size_t)(open - key.ptr) + 1);
    const char *close = behind.len > 0 ? memchr(behind.ptr, '}', behind.len) : NULL;
    if (close == NULL || close == behind.ptr) {
        return key;
    }
    return slice_first(behind, (size_t)(close - behind.ptr));
}

uint16_t slot_of_key(struct slice key) { return slot_crc16(hashed_part(key)) % SLOT_COUNT; }
