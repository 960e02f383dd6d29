/* siphash.h: SipHash-1-3 (Aumasson and Bernstein, "SipHash: a fast short-input PRF"), 64 bits.
 *
 * A keyed hash: whoever does not know the key cannot choose inputs that collide. One round a block and three at
 * the end is what hash tables use (Rust, CPython, Ruby): about half the price of SipHash-2-4, with no attack
 * known on a table.
 */
#ifndef KVNODE_SERVER_STORE_SIPHASH_H
#define KVNODE_SERVER_STORE_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

struct siphash_key {
    uint64_t k0, k1;
};

/* The key in the paper's byte order (little-endian). */
struct siphash_key siphash_key_from(const uint8_t bytes[16]);

/* bytes may be NULL when len is 0. */
uint64_t siphash_1_3(struct siphash_key key, const void *bytes, size_t len);

#endif
