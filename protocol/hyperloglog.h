/* hyperloglog.h: an estimate of how many different elements a set has, in 12 KB or less (P. Flajolet et al.,
 * 2007; the estimator is O. Ertl's, "New cardinality estimation algorithms for HyperLogLog sketches", 2017).
 * Pure.
 *
 * The bytes are Redis's, so that a value goes from one to the other by GET, DUMP or migration:
 *
 *   "HYLL" | encoding: 0 dense, 1 sparse | 3 zero bytes | cached count:64, little-endian, top bit: not valid |
 * registers
 *
 *   dense   16384 registers of 6 bits, from the least significant bit of the first byte on
 *   sparse  runs of equal registers: 00nnnnnn            n + 1 zeros
 *                                    01nnnnnn nnnnnnnn   n + 1 zeros
 *                                    1vvvvvnn            n + 1 registers of v + 1
 */
#ifndef KVNODE_PROTOCOL_HYPERLOGLOG_H
#define KVNODE_PROTOCOL_HYPERLOGLOG_H

#include "protocol/slice.h"

#include <stdint.h>

enum {
    HYPERLOGLOG_REGISTERS = 1 << 14,
    HYPERLOGLOG_HEADER_BYTES = 16,
    HYPERLOGLOG_MAX_BYTES = HYPERLOGLOG_HEADER_BYTES + HYPERLOGLOG_REGISTERS * 6 / 8,
};

struct hyperloglog {
    uint8_t registers[HYPERLOGLOG_REGISTERS]; /* 0 to 63 */
    bool dense;                               /* is written dense, whatever its registers are */
};

enum hyperloglog_result {
    HYPERLOGLOG_OK,
    HYPERLOGLOG_NOT_ONE, /* another string */
    HYPERLOGLOG_CORRUPT, /* it begins as one */
};

void hyperloglog_init(struct hyperloglog *hll); /* of no element */
enum hyperloglog_result hyperloglog_read(struct slice bytes, struct hyperloglog *out);

/* Writes it sparse if it may be, in at most sparse_max_bytes behind the header, otherwise dense; its cached
 * count is not valid. Returns how many bytes it took of HYPERLOGLOG_MAX_BYTES. */
size_t hyperloglog_write(const struct hyperloglog *hll, size_t sparse_max_bytes, char *out);

/* True: a register has changed, and so may the count. */
bool hyperloglog_add(struct hyperloglog *hll, struct slice element);
/* Of the union of both sets; dense if one of them is. */
void hyperloglog_merge(struct hyperloglog *into, const struct hyperloglog *from);

uint64_t hyperloglog_count(const struct hyperloglog *hll);

#endif
