#include "server/store/siphash.h"

#include <endian.h>
#include <string.h>

static inline uint64_t load_64(const uint8_t *at) {
    uint64_t word;
    memcpy(&word, at, sizeof(word));
    return le64toh(word);
}

static inline uint64_t load_32(const uint8_t *at) {
    uint32_t word;
    memcpy(&word, at, sizeof(word));
    return le32toh(word);
}

static inline uint64_t rotate_left(uint64_t x, unsigned bits) { return x << bits | x >> (64 - bits); }

struct sip_state {
    uint64_t v0, v1, v2, v3;
};

static inline struct sip_state sip_round(struct sip_state s) {
    s.v0 += s.v1;
    s.v2 += s.v3;
    s.v1 = rotate_left(s.v1, 13) ^ s.v0;
    s.v3 = rotate_left(s.v3, 16) ^ s.v2;
    s.v0 = rotate_left(s.v0, 32);
    s.v2 += s.v1;
    s.v0 += s.v3;
    s.v1 = rotate_left(s.v1, 17) ^ s.v2;
    s.v3 = rotate_left(s.v3, 21) ^ s.v0;
    s.v2 = rotate_left(s.v2, 32);
    return s;
}

/* The last len % 8 bytes as a little-endian number, without reading outside of the input: from eight bytes that
 * overlap the block before where there is one, else from two or three loads that overlap each other. */
static inline uint64_t load_tail(const uint8_t *bytes, size_t len) {
    unsigned left = (unsigned)len & 7;
    if (left == 0) {
        return 0;
    }
    if (len > 8) {
        return load_64(bytes + len - 8) >> (64 - 8 * left);
    }
    if (left >= 4) {
        return load_32(bytes) | load_32(bytes + left - 4) << (8 * (left - 4));
    }
    return (uint64_t)bytes[0] | (uint64_t)bytes[left / 2] << (8 * (left / 2)) |
           (uint64_t)bytes[left - 1] << (8 * (left - 1));
}

struct siphash_key siphash_key_from(const uint8_t bytes[16]) {
    return (struct siphash_key){load_64(bytes), load_64(bytes + 8)};
}

uint64_t siphash_1_3(struct siphash_key key, const void *bytes, size_t len) {
    const uint8_t *at = bytes;
    struct sip_state s = {key.k0 ^ 0x736f6d6570736575U, key.k1 ^ 0x646f72616e646f6dU,
                          key.k0 ^ 0x6c7967656e657261U, key.k1 ^ 0x7465646279746573U};
    for (size_t left = len; left >= 8; left -= 8, at += 8) {
        uint64_t block = load_64(at);
        s.v3 ^= block;
        s = sip_round(s);
        s.v0 ^= block;
    }
    uint64_t block = (uint64_t)len << 56 | load_tail(bytes, len);
    s.v3 ^= block;
    s = sip_round(s);
    s.v0 ^= block;
    s.v2 ^= 0xff;
    s = sip_round(sip_round(sip_round(s)));
    return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}
