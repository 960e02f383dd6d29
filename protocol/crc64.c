#include "protocol/crc64.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "eight bytes are taken as one little-endian number");

static const uint64_t table[8][256] = {
#include "protocol/crc64_table.def"
};

/* Eight bytes at a time: each has its part in the result by itself. */
uint64_t crc64(uint64_t crc, struct slice bytes) {
    size_t i = 0;
    for (; bytes.len - i >= 8; i += 8) {
        uint64_t word;
        memcpy(&word, bytes.ptr + i, 8);
        word ^= crc;
        crc = 0;
        for (size_t k = 0; k < 8; k++) {
            crc ^= table[7 - k][word >> (8 * k) & 0xff];
        }
    }
    for (; i < bytes.len; i++) {
        crc = table[0][(crc ^ (unsigned char)bytes.ptr[i]) & 0xff] ^ crc >> 8;
    }
    return crc;
}
