/* histogram.h: how often which duration occurred, in fixed memory, to within a sixteenth of the value.
 *
 * Log-linear: every power of two is cut into 16 equal buckets, and what is under 16 us is counted exactly.
 * Embedded by value; a zeroed histogram is an empty one. What is over HISTOGRAM_LARGEST_US (19 hours) is
 * counted there.
 */
#ifndef KVNODE_SERVER_NET_HISTOGRAM_H
#define KVNODE_SERVER_NET_HISTOGRAM_H

#include <stdint.h>

enum {
    HISTOGRAM_STEP_BITS = 4,
    HISTOGRAM_STEPS = 1 << HISTOGRAM_STEP_BITS,
    HISTOGRAM_VALUE_BITS = 36,
    HISTOGRAM_BUCKETS = (HISTOGRAM_VALUE_BITS - HISTOGRAM_STEP_BITS + 1) * HISTOGRAM_STEPS,
};
#define HISTOGRAM_LARGEST_US (((uint64_t)1 << HISTOGRAM_VALUE_BITS) - 1)

struct histogram {
    uint64_t counts[HISTOGRAM_BUCKETS];
    uint64_t total;  /* values recorded */
    uint64_t sum_us; /* of all of them */
    uint64_t max_us; /* exact */
};

void histogram_reset(struct histogram *histogram);

static inline unsigned histogram_bucket(uint64_t us) {
    if (us < HISTOGRAM_STEPS) {
        return (unsigned)us;
    }
    unsigned shift = 63U - (unsigned)__builtin_clzll(us) - HISTOGRAM_STEP_BITS;
    return (shift << HISTOGRAM_STEP_BITS) + (unsigned)(us >> shift);
}

static inline void histogram_record(struct histogram *histogram, uint64_t us) {
    if (us > HISTOGRAM_LARGEST_US) {
        us = HISTOGRAM_LARGEST_US;
    }
    histogram->counts[histogram_bucket(us)]++;
    histogram->total++;
    histogram->sum_us += us;
    if (us > histogram->max_us) {
        histogram->max_us = us;
    }
}

/* The value that percent of all values do not exceed, rounded up to its bucket's end but never over the
 * maximum. percent: over 0, up to 100. 0 when nothing was recorded. */
uint64_t histogram_percentile(const struct histogram *histogram, double percent);

#endif
