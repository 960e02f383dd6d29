/* latency.h: spikes over latency-monitor-threshold, by event, a sample a second at most: LATENCY shows them. */
#ifndef KVNODE_SERVER_DISPATCH_LATENCY_H
#define KVNODE_SERVER_DISPATCH_LATENCY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LATENCY_SAMPLES = 160 };

/* One for each event that there is. */
enum latency_event { LATENCY_COMMAND, LATENCY_FAST_COMMAND, LATENCY_EVENTS };

struct latency_sample {
    int64_t time_s; /* Unix; 0: none */
    uint32_t ms;
};

/* Zero-initialised. */
struct latency_series {
    struct latency_sample samples[LATENCY_SAMPLES]; /* a ring */
    size_t next;
    uint32_t max_ms; /* of all times since the last reset */
};

struct latency {
    struct latency_series series[LATENCY_EVENTS];
};

void latency_add(struct latency *latency, enum latency_event event, int64_t now_s, uint64_t ms);

/* The i-th sample, the oldest first; the newest one. NULL: there is none. */
const struct latency_sample *latency_sample_at(const struct latency_series *series, size_t i);
const struct latency_sample *latency_newest(const struct latency_series *series);

#endif
