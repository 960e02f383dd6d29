#include "server/net/histogram.h"

void histogram_reset(struct histogram *histogram) { *histogram = (struct histogram){0}; }

/* The largest value that falls into the bucket. */
static uint64_t bucket_end(unsigned bucket) {
    if (bucket < HISTOGRAM_STEPS) {
        return bucket;
    }
    unsigned shift = (bucket >> HISTOGRAM_STEP_BITS) - 1;
    uint64_t step = bucket - (shift << HISTOGRAM_STEP_BITS);
    return ((step + 1) << shift) - 1;
}

uint64_t histogram_percentile(const struct histogram *histogram, double percent) {
    double exact = (double)histogram->total * percent / 100.0;
    uint64_t rank = (uint64_t)exact;
    if ((double)rank < exact || rank == 0) {
        rank++;
    }
    uint64_t seen = 0;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += histogram->counts[i];
        if (seen >= rank) {
            uint64_t end = bucket_end(i);
            return end < histogram->max_us ? end : histogram->max_us;
        }
    }
    return histogram->max_us;
}
