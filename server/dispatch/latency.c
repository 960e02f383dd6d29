#include "server/dispatch/latency.h"

void latency_add(struct latency *latency, enum latency_event event, int64_t now_s, uint64_t ms) {
    struct latency_series *series = &latency->series[event];
    uint32_t shown_ms = ms < UINT32_MAX ? (uint32_t)ms : UINT32_MAX;
    struct latency_sample *last = &series->samples[(series->next + LATENCY_SAMPLES - 1) % LATENCY_SAMPLES];
    if (shown_ms > series->max_ms) {
        series->max_ms = shown_ms;
    }
    if (last->time_s == now_s) {
        last->ms = shown_ms > last->ms ? shown_ms : last->ms;
        return;
    }
    series->samples[series->next] = (struct latency_sample){now_s, shown_ms};
    series->next = (series->next + 1) % LATENCY_SAMPLES;
}

const struct latency_sample *latency_sample_at(const struct latency_series *series, size_t i) {
    bool full = series->samples[series->next].time_s != 0;
    size_t count = full ? LATENCY_SAMPLES : series->next;
    return i < count ? &series->samples[((full ? series->next : 0) + i) % LATENCY_SAMPLES] : NULL;
}

const struct latency_sample *latency_newest(const struct latency_series *series) {
    const struct latency_sample *last =
        &series->samples[(series->next + LATENCY_SAMPLES - 1) % LATENCY_SAMPLES];
    return last->time_s == 0 ? NULL : last;
}
