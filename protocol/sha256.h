/* sha256.h: SHA-256 (FIPS 180-4) of a few slices, as if they were one. OpenSSL computes it. */
#ifndef KVNODE_PROTOCOL_SHA256_H
#define KVNODE_PROTOCOL_SHA256_H

#include "protocol/slice.h"

enum { SHA256_BYTES = 32 };

void sha256_of(const struct slice *parts, size_t n, unsigned char out[SHA256_BYTES]);

#endif
