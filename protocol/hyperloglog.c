#include "protocol/hyperloglog.h"

#include <math.h>

enum {
    INDEX_BITS = 14,
    RANK_BITS = 64 - INDEX_BITS,
    DENSE_BITS = 6,
    DENSE_BYTES = HYPERLOGLOG_MAX_BYTES - HYPERLOGLOG_HEADER_BYTES,
    ENCODING_AT = 4,
    CACHE_VALID_AT = 15, /* the byte with the bit that says it is not */
    SHORT_ZEROS = 1 << 6,
    SPARSE_VALUE_MAX = 1 << 5,
    SPARSE_RUN_MAX = 1 << 2,
};

enum { ENCODING_DENSE, ENCODING_SPARSE };

static const char magic[] = {'H', 'Y', 'L', 'L'};

void hyperloglog_init(struct hyperloglog *hll) { memset(hll, 0, sizeof(*hll)); }

/* --- Bytes to registers */

/* Four registers in three bytes. */
static void read_dense(const uint8_t *at, uint8_t *registers) {
    for (size_t i = 0; i < HYPERLOGLOG_REGISTERS; i += 4, at += 3) {
        unsigned word = at[0] | (unsigned)at[1] << 8 | (unsigned)at[2] << 16;
        for (size_t n = 0; n < 4; n++) {
            registers[i + n] = word >> (DENSE_BITS * n) & 0x3f;
        }
    }
}

/* False: the runs do not make just the number of registers. */
static bool read_sparse(const uint8_t *at, const uint8_t *end, uint8_t *registers) {
    size_t filled = 0;
    while (at < end) {
        unsigned run = (*at & 0x3fU) + 1, value = 0;
        if ((*at & 0x80) != 0) {
            value = (*at >> 2 & 0x1fU) + 1;
            run = (*at & 3U) + 1;
        } else if ((*at & 0x40) != 0) {
            if (end - at < 2) {
                return false;
            }
            run = ((*at & 0x3fU) << 8 | at[1]) + 1;
            at++;
        }
        at++;
        if (run > HYPERLOGLOG_REGISTERS - filled) {
            return false;
        }
        memset(registers + filled, (int)value, run);
        filled += run;
    }
    return filled == HYPERLOGLOG_REGISTERS;
}

enum hyperloglog_result hyperloglog_read(struct slice bytes, struct hyperloglog *out) {
    const uint8_t *at = (const uint8_t *)bytes.ptr;
    if (bytes.len < HYPERLOGLOG_HEADER_BYTES || memcmp(at, magic, sizeof(magic)) != 0 ||
        at[ENCODING_AT] > ENCODING_SPARSE ||
        (at[ENCODING_AT] == ENCODING_DENSE && bytes.len != HYPERLOGLOG_MAX_BYTES)) {
        return HYPERLOGLOG_NOT_ONE;
    }
    out->dense = at[ENCODING_AT] == ENCODING_DENSE;
    if (out->dense) {
        read_dense(at + HYPERLOGLOG_HEADER_BYTES, out->registers);
        return HYPERLOGLOG_OK;
    }
    return read_sparse(at + HYPERLOGLOG_HEADER_BYTES, at + bytes.len, out->registers) ? HYPERLOGLOG_OK
                                                                                      : HYPERLOGLOG_CORRUPT;
}

/* --- Registers to bytes */

static size_t run_length(const uint8_t *registers, size_t from, size_t most) {
    size_t n = 1;
    while (n < most && from + n < HYPERLOGLOG_REGISTERS && registers[from + n] == registers[from]) {
        n++;
    }
    return n;
}

/* The bytes it took; 0: it cannot be said in max_bytes, or not at all. */
static size_t write_sparse(const uint8_t *registers, size_t max_bytes, uint8_t *out) {
    size_t used = 0;
    for (size_t i = 0; i < HYPERLOGLOG_REGISTERS;) {
        unsigned value = registers[i];
        size_t run = run_length(registers, i, value == 0 ? HYPERLOGLOG_REGISTERS : SPARSE_RUN_MAX);
        bool is_long = value == 0 && run > SHORT_ZEROS;
        if (value > SPARSE_VALUE_MAX || used + (is_long ? 2 : 1) > max_bytes) {
            return 0;
        }
        if (is_long) {
            out[used++] = (uint8_t)(0x40 | (run - 1) >> 8);
        }
        out[used++] = (uint8_t)(value == 0 ? run - 1 : 0x80 | (value - 1) << 2 | (run - 1));
        i += run;
    }
    return used;
}

static void write_dense(const uint8_t *registers, uint8_t *out) {
    for (size_t i = 0; i < HYPERLOGLOG_REGISTERS; i += 4, out += 3) {
        unsigned word = registers[i] | (unsigned)registers[i + 1] << DENSE_BITS |
                        (unsigned)registers[i + 2] << 2 * DENSE_BITS |
                        (unsigned)registers[i + 3] << 3 * DENSE_BITS;
        out[0] = (uint8_t)word;
        out[1] = (uint8_t)(word >> 8);
        out[2] = (uint8_t)(word >> 16);
    }
}

size_t hyperloglog_write(const struct hyperloglog *hll, size_t sparse_max_bytes, char *out) {
    uint8_t *header = (uint8_t *)out, *body = header + HYPERLOGLOG_HEADER_BYTES;
    memset(header, 0, HYPERLOGLOG_HEADER_BYTES);
    memcpy(header, magic, sizeof(magic));
    header[CACHE_VALID_AT] = 0x80;
    size_t most = sparse_max_bytes < DENSE_BYTES ? sparse_max_bytes : DENSE_BYTES;
    size_t used = hll->dense ? 0 : write_sparse(hll->registers, most, body);
    header[ENCODING_AT] = used > 0 ? ENCODING_SPARSE : ENCODING_DENSE;
    if (used == 0) {
        write_dense(hll->registers, body);
        used = DENSE_BYTES;
    }
    return HYPERLOGLOG_HEADER_BYTES + used;
}

/* --- Adding and merging */

/* MurmurHash64A (A. Appleby, public domain), its words little-endian. */
static uint64_t murmur_64a(struct slice bytes, uint64_t seed) {
    const uint64_t m = 0xc6a4a7935bd1e995U;
    const uint8_t *at = (const uint8_t *)bytes.ptr;
    uint64_t hash = seed ^ bytes.len * m, word;
    for (; bytes.len >= sizeof(word); bytes = slice_skip(bytes, sizeof(word)), at += sizeof(word)) {
        memcpy(&word, at, sizeof(word));
        word *= m;
        word ^= word >> 47;
        hash = (hash ^ word * m) * m;
    }
    if (bytes.len > 0) {
        word = 0;
        memcpy(&word, at, bytes.len);
        hash = (hash ^ word) * m;
    }
    hash = (hash ^ hash >> 47) * m;
    return hash ^ hash >> 47;
}

bool hyperloglog_add(struct hyperloglog *hll, struct slice element) {
    uint64_t hash = murmur_64a(element, 0xadc83b19);
    uint8_t *at = &hll->registers[hash & (HYPERLOGLOG_REGISTERS - 1)];
    uint64_t rest = hash >> INDEX_BITS | UINT64_C(1) << RANK_BITS;
    uint8_t rank = (uint8_t)(__builtin_ctzll(rest) + 1);
    bool rises = rank > *at;
    if (rises) {
        *at = rank;
    }
    return rises;
}

void hyperloglog_merge(struct hyperloglog *into, const struct hyperloglog *from) {
    for (size_t i = 0; i < HYPERLOGLOG_REGISTERS; i++) {
        if (from->registers[i] > into->registers[i]) {
            into->registers[i] = from->registers[i];
        }
    }
    into->dense |= from->dense;
}

/* --- Ertl's estimator, his algorithm 6 and the series of its two corrections */

static double sigma(double x) {
    if (x == 1.0) {
        return INFINITY;
    }
    double sum = x, before, factor = 1;
    do {
        x *= x;
        before = sum;
        sum += x * factor;
        factor += factor;
    } while (sum != before);
    return sum;
}

static double tau(double x) {
    if (x == 0.0 || x == 1.0) {
        return 0.0;
    }
    double sum = 1 - x, before, factor = 1;
    do {
        x = sqrt(x);
        before = sum;
        factor *= 0.5;
        sum -= (1 - x) * (1 - x) * factor;
    } while (sum != before);
    return sum / 3;
}

uint64_t hyperloglog_count(const struct hyperloglog *hll) {
    const double m = HYPERLOGLOG_REGISTERS;
    const double alpha = 0.721347520444481703680; /* 1 / (2 ln 2) */
    unsigned registers_of[1 << DENSE_BITS] = {0};
    for (size_t i = 0; i < HYPERLOGLOG_REGISTERS; i++) {
        registers_of[hll->registers[i]]++;
    }
    double z = m * tau((m - registers_of[RANK_BITS + 1]) / m);
    for (unsigned rank = RANK_BITS; rank >= 1; rank--) {
        z = (z + registers_of[rank]) * 0.5;
    }
    z += m * sigma(registers_of[0] / m);
    double count = alpha * m * m / z;
    return count < (double)INT64_MAX ? (uint64_t)llround(count)
                                     : INT64_MAX; /* of registers that nobody added */
}
