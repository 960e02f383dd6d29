#include "server/dispatch/rates.h"

#include <string.h>

void rates_sample(struct rates *rates, int64_t now_ms, const uint64_t counts[RATES]) {
    double seconds = (double)(now_ms - rates->at_ms) / 1000;
    if (rates->at_ms != 0 && seconds <= 0) {
        return;
    }
    for (size_t i = 0; i < RATES; i++) {
        uint64_t before = rates->counts[i] <= counts[i] ? rates->counts[i] : 0;
        if (rates->at_ms != 0) {
            rates->samples[i][rates->next] = (double)(counts[i] - before) / seconds;
        }
        rates->counts[i] = counts[i];
    }
    if (rates->at_ms != 0) {
        rates->next = (rates->next + 1) % RATE_SAMPLES;
    }
    rates->at_ms = now_ms;
}

double rates_mean(const struct rates *rates, enum rate which) {
    double sum = 0;
    for (size_t i = 0; i < RATE_SAMPLES; i++) {
        sum += rates->samples[which][i];
    }
    return sum / RATE_SAMPLES;
}

void rates_reset(struct rates *rates) { memset(rates->samples, 0, sizeof(rates->samples)); }
