/* scan.h: how far a run of bytes goes before the first one of a small set, sixteen bytes a step.
 *
 * For sets of constants: written so that the compiler folds the set into the loop. It is on the way of every
 * write that a leader streams.
 */
#ifndef KVNODE_PROTOCOL_SCAN_H
#define KVNODE_PROTOCOL_SCAN_H

#include "protocol/slice.h"

#include <stdint.h>

typedef uint8_t scan_block __attribute__((vector_size(16))); /* a vector type can't be had without a typedef */

static inline scan_block scan_equal(scan_block bytes, uint8_t byte) {
    return (scan_block)(bytes == ((scan_block){0} + byte));
}

static inline __attribute__((always_inline)) bool scan_hits(scan_block bytes, uint8_t a, uint8_t b, uint8_t c,
                                                            uint8_t d, uint8_t e) {
    scan_block hits = scan_equal(bytes, a) | scan_equal(bytes, b) | scan_equal(bytes, c) |
                      scan_equal(bytes, d) | scan_equal(bytes, e);
    uint64_t halves[2];
    memcpy(halves, &hits, sizeof(halves));
    return (halves[0] | halves[1]) != 0;
}

/* n bytes, 4 to 16, as a block: its beginning and its end, where some of them stand twice. */
static inline scan_block scan_short_block(const char *bytes, size_t n) {
    uint64_t halves[2];
    if (n >= 8) {
        memcpy(&halves[0], bytes, 8);
        memcpy(&halves[1], bytes + n - 8, 8);
    } else {
        uint32_t first, last;
        memcpy(&first, bytes, 4);
        memcpy(&last, bytes + n - 4, 4);
        halves[0] = halves[1] = (uint64_t)first << 32 | last;
    }
    scan_block block;
    memcpy(&block, halves, sizeof(block));
    return block;
}

/* The number of bytes before the first that is a, b, c, d or e: s.len when there is none. A set of fewer than
 * five repeats one of its members. */
static inline __attribute__((always_inline)) size_t scan_until(struct slice s, uint8_t a, uint8_t b, uint8_t c,
                                                               uint8_t d, uint8_t e) {
    size_t i = 0;
    for (; s.len - i >= sizeof(scan_block); i += sizeof(scan_block)) {
        scan_block bytes;
        memcpy(&bytes, s.ptr + i, sizeof(bytes));
        if (scan_hits(bytes, a, b, c, d, e)) {
            break;
        }
    }
    size_t left = s.len - i;
    if (left >= 4 && left < sizeof(scan_block) &&
        !scan_hits(scan_short_block(s.ptr + i, left), a, b, c, d, e)) {
        return s.len;
    }
    for (; i < s.len;
         i++) { /* at most sixteen steps: what is left is short, or there is one in the next block */
        uint8_t byte = (uint8_t)s.ptr[i];
        if (byte == a || byte == b || byte == c || byte == d || byte == e) {
            break;
        }
    }
    return i;
}

#endif
