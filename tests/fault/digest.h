/* digest.h: one number for all that a keyspace holds: keys, values, versions and deadlines, in any order. */
#ifndef KVNODE_TESTS_FAULT_DIGEST_H
#define KVNODE_TESTS_FAULT_DIGEST_H

#include "server/store/keyspace.h"

static inline uint64_t digest_mix(uint64_t hash, struct slice bytes) {
    for (size_t i = 0; i < bytes.len; i++) {
        hash = (hash ^ (unsigned char)bytes.ptr[i]) * UINT64_C(0x100000001b3);
    }
    return hash * UINT64_C(0x9E3779B97F4A7C15);
}

static inline void digest_entry(void *context, const struct entry *entry) {
    uint64_t numbers[] = {entry_version(entry), (uint64_t)entry_deadline_ms(entry)};
    uint64_t hash = digest_mix(digest_mix(1, entry_key(entry)), entry_value(entry));
    *(uint64_t *)context += digest_mix(hash, slice_of((const char *)numbers, sizeof(numbers)));
}

/* What a state has dropped does not count. */
static inline uint64_t digest_of(struct keyspace *keyspace) {
    uint64_t digest = 0, cursor = 0;
    keyspace_pin(keyspace);
    do {
        cursor = keyspace_scan(keyspace, cursor, digest_entry, &digest);
    } while (cursor != 0);
    keyspace_unpin(keyspace);
    return digest;
}

#endif
