/* rates.h: how much of a thing passes a second, of late: the mean of the last RATE_SAMPLES looks at its
 * counter, as Redis tells it. Pure: who looks (upkeep.c, ten times a second) says when. Zero-initialised.
 */
#ifndef KVNODE_SERVER_DISPATCH_RATES_H
#define KVNODE_SERVER_DISPATCH_RATES_H

#include <stddef.h>
#include <stdint.h>

enum { RATE_SAMPLES = 16 };

enum rate {
    RATE_COMMANDS,
    RATE_READ_BYTES,
    RATE_WRITTEN_BYTES,
    RATE_REPLICATION_READ_BYTES,
    RATE_REPLICATION_WRITTEN_BYTES,
    RATES
};

struct rates {
    int64_t at_ms; /* of the last look; 0: there was none */
    uint64_t counts[RATES];
    double samples[RATES][RATE_SAMPLES]; /* a second; rings */
    size_t next;
};

/* A look at the counters. One that has been set back to 0 meanwhile counts from there. */
void rates_sample(struct rates *rates, int64_t now_ms, const uint64_t counts[RATES]);
double rates_mean(const struct rates *rates, enum rate which);
/* Forgets what has passed, not where the counters are. */
void rates_reset(struct rates *rates);

#endif
