/* telemetry.h: what commands have done and how long it took: counted for INFO, LATENCY and SLOWLOG.
 *
 * Every run of a command is counted; not every run is timed: reading the clock costs a tenth of a GET. A
 * command that may take long is timed every time. One whose row says FAST or QUICK is timed once in
 * TELEMETRY_EVERY runs while it was quick, every time after it was not, and whenever it brings a large value;
 * its usec are the mean of those times all its calls. A threshold under 1 ms has every run of every command
 * timed (telemetry_time_all). An answer that is gathered in slices (walk.h) took as long as they took together.
 */
#ifndef KVNODE_SERVER_DISPATCH_TELEMETRY_H
#define KVNODE_SERVER_DISPATCH_TELEMETRY_H

#include "server/dispatch/command_table.h"
#include "server/dispatch/latency.h"
#include "server/dispatch/rates.h"
#include "server/dispatch/slowlog.h"
#include "server/net/histogram.h"

enum {
    TELEMETRY_EVERY = 64,
    TELEMETRY_QUICK_US = 100,
    TELEMETRY_LARGE_BYTES = 64 << 10,
    TELEMETRY_ERRORS = 64,
    TELEMETRY_CODE_BYTES = 32
};

struct command_stat {
    uint32_t until_timed; /* runs until the one that is timed, that one included */
    uint64_t calls, rejected, failed;
    uint64_t timed_calls, timed_us;
    struct histogram *histogram; /* of the timed runs; owned; NULL: none yet */
};

struct error_stat {
    char code[TELEMETRY_CODE_BYTES];
    uint64_t count;
};

struct telemetry {
    struct command_stat *commands; /* one for each of the rows */
    const struct command_rows *rows;
    bool times_all; /* every run of every command is timed */
    struct error_stat errors[TELEMETRY_ERRORS];
    size_t error_count;
    uint64_t total_errors;
    struct slowlog slowlog;
    struct latency latency;
    struct rates rates;
    int64_t exceeded_since_ms; /* monotonic: more memory is used than maxmemory says; 0: it is not */
    int64_t exceeded_ms;       /* for how long it was, before */
    size_t startup_bytes;      /* allocated when the node started */
};

/* The rows outlive it. NULL: out of memory. */
struct telemetry *telemetry_create(const struct command_rows *rows);
void telemetry_destroy(struct telemetry **telemetry); /* NULL-safe, nulls it */
void telemetry_reset(struct telemetry *telemetry);    /* CONFIG RESETSTAT: counters; no logs */

static inline struct command_stat *telemetry_stat(const struct telemetry *telemetry,
                                                  const struct command *command) {
    return &telemetry->commands[command - telemetry->rows->items];
}

/* From now on every run of every command is timed, or not any more. */
void telemetry_time_all(struct telemetry *telemetry, bool all);

/* A run begins: counts it. True: it is one to be timed. */
static inline bool telemetry_begin(struct command_stat *stat) {
    stat->calls++;
    return --stat->until_timed == 0;
}
/* Does it bring a large value? That is the last argument, or the one behind the key (SET key value EX 10). */
static inline bool telemetry_large(const struct request *request) {
    return request->args[request->arg_count - 1].len >= TELEMETRY_LARGE_BYTES ||
           (request->arg_count > 3 && request->args[2].len >= TELEMETRY_LARGE_BYTES);
}
/* A run that was to be timed has not ended yet: telemetry_timed will follow, or not. */
void telemetry_postpone(const struct request *request, struct command_stat *stat);
/* A timed run has ended. */
void telemetry_timed(const struct request *request, struct command_stat *stat, uint64_t us);
/* The request was answered with an error: by its command, or before it was run. */
void telemetry_failed(const struct request *request, struct command_stat *stat);
void telemetry_rejected(const struct request *request);

/* Runs of all commands, those of an EXEC among them; what was rejected was not run. */
uint64_t telemetry_calls(const struct telemetry *telemetry);
/* Ten times a second. */
void telemetry_sample(const struct command_context *context);

uint64_t command_stat_us(const struct command_stat *stat); /* of all calls, as far as it is known */

#endif
