/* random.h: the randomness of property tests: from one seed, which is printed, and taken from KVNODE_SEED when
 * a failure is to be seen again. */
#ifndef KVNODE_TESTS_UNIT_RANDOM_H
#define KVNODE_TESTS_UNIT_RANDOM_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct random {
    uint64_t state;
};

static inline struct random random_start(const char *test) {
    const char *wanted = getenv("KVNODE_SEED");
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t seed = wanted != NULL ? strtoull(wanted, NULL, 10) : (uint64_t)now.tv_sec ^ (uint64_t)now.tv_nsec;
    printf("%s: KVNODE_SEED=%llu\n", test, (unsigned long long)seed);
    return (struct random){seed};
}

/* splitmix64 */
static inline uint64_t random_u64(struct random *random) {
    uint64_t z = random->state += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}

/* 0 to n - 1 */
static inline size_t random_below(struct random *random, size_t n) { return (size_t)(random_u64(random) % n); }

/* Any number of bits, so that small numbers are as frequent as large ones. */
static inline uint64_t random_magnitude(struct random *random) {
    return random_u64(random) >> random_below(random, 64);
}

/* n bytes, all values. */
static inline void random_bytes(struct random *random, char *to, size_t n) {
    for (size_t i = 0; i < n; i++) {
        to[i] = (char)random_u64(random);
    }
}

/* n bytes out of the given ones: so that the rare and dangerous ones are not rare. */
static inline void random_bytes_of(struct random *random, char *to, size_t n, const char *from, size_t from_n) {
    for (size_t i = 0; i < n; i++) {
        to[i] = from[random_below(random, from_n)];
    }
}

#endif
