#include "server/dispatch/telemetry.h"

#include "server/dispatch/dispatch.h"
#include "server/memory/allocator.h"
#include "server/settings.h"
#include "server/store/keyspace.h"

#include <stdlib.h>

/* Does each of its runs deserve the clock? */
static bool may_take_long(const struct command *command) {
    return (command->flags & (COMMAND_FAST | COMMAND_QUICK)) == 0;
}

static void arm(const struct telemetry *telemetry, struct command_stat *stat, const struct command *command,
                uint64_t last_us) {
    bool always = telemetry->times_all || may_take_long(command) || last_us >= TELEMETRY_QUICK_US;
    stat->until_timed = always ? 1 : TELEMETRY_EVERY;
}

struct telemetry *telemetry_create(const struct command_rows *rows) {
    struct telemetry *telemetry = calloc(1, sizeof(*telemetry));
    if (telemetry == NULL) {
        return NULL;
    }
    struct allocator_stats heap;
    allocator_read(&heap);
    telemetry->startup_bytes = heap.allocated;
    telemetry->rows = rows;
    telemetry->commands = calloc(rows->count, sizeof(telemetry->commands[0]));
    if (telemetry->commands == NULL) {
        free(telemetry);
        return NULL;
    }
    for (size_t i = 0; i < rows->count; i++) {
        telemetry->commands[i].until_timed = 1;
    }
    return telemetry;
}

void telemetry_reset(struct telemetry *telemetry) {
    for (size_t i = 0; i < telemetry->rows->count; i++) {
        free(telemetry->commands[i].histogram);
        telemetry->commands[i] = (struct command_stat){.until_timed = 1};
    }
    memset(telemetry->errors, 0, sizeof(telemetry->errors));
    telemetry->error_count = 0;
    telemetry->total_errors = 0;
    rates_reset(&telemetry->rates);
    telemetry->exceeded_ms = telemetry->exceeded_since_ms = 0;
}

void telemetry_time_all(struct telemetry *telemetry, bool all) {
    telemetry->times_all = all;
    for (size_t i = 0; all && i < telemetry->rows->count; i++) {
        telemetry->commands[i].until_timed = 1;
    }
}

void telemetry_destroy(struct telemetry **handle) {
    struct telemetry *telemetry = *handle;
    if (telemetry == NULL) {
        return;
    }
    *handle = NULL;
    telemetry_reset(telemetry);
    slowlog_deinit(&telemetry->slowlog);
    free(telemetry->commands);
    free(telemetry);
}

void telemetry_postpone(const struct request *request, struct command_stat *stat) {
    arm(request->context->telemetry, stat, request->command, 0);
}

void telemetry_timed(const struct request *request, struct command_stat *stat, uint64_t us) {
    const struct command_context *context = request->context;
    const struct settings *settings = context->settings;
    struct telemetry *telemetry = context->telemetry;
    if (stat->calls == 0) { /* it was CONFIG RESETSTAT */
        return;
    }
    arm(telemetry, stat, request->command, us);
    stat->timed_calls++;
    stat->timed_us += us;
    if (settings->latency_tracking) {
        if (stat->histogram == NULL) {
            stat->histogram = calloc(1, sizeof(*stat->histogram));
        }
        if (stat->histogram != NULL) {
            histogram_record(stat->histogram, us);
        }
    }
    if ((request->command->flags & COMMAND_NO_SLOWLOG) == 0 && settings->slowlog_slower_than_us >= 0 &&
        us >= (uint64_t)settings->slowlog_slower_than_us) {
        slowlog_add(&telemetry->slowlog, request, us, (size_t)settings->slowlog_max_len);
    }
    uint64_t ms = us / 1000;
    if (settings->latency_monitor_threshold_ms > 0 && ms >= (uint64_t)settings->latency_monitor_threshold_ms) {
        bool fast = (request->command->flags & COMMAND_FAST) != 0;
        latency_add(&telemetry->latency, fast ? LATENCY_FAST_COMMAND : LATENCY_COMMAND,
                    loop_now_ms(context->loop) / 1000, ms);
    }
}

/* An error's text begins with its code; "%s" is a text from elsewhere, all of which are ERR. */
static void count_error(struct telemetry *telemetry, const char *text) {
    struct slice code = slice_of(text, strcspn(text, " "));
    if (code.len == 0 || code.len >= TELEMETRY_CODE_BYTES || code.ptr[0] == '%') {
        code = SLICE("ERR");
    }
    telemetry->total_errors++;
    for (size_t i = 0; i < telemetry->error_count; i++) {
        if (slice_equals(slice_from_text(telemetry->errors[i].code), code)) {
            telemetry->errors[i].count++;
            return;
        }
    }
    if (telemetry->error_count < TELEMETRY_ERRORS) {
        struct error_stat *stat = &telemetry->errors[telemetry->error_count++];
        memcpy(stat->code, code.ptr, code.len);
        stat->count = 1;
    }
}

void telemetry_failed(const struct request *request, struct command_stat *stat) {
    stat->failed++;
    count_error(request->context->telemetry, request->reply.error);
}

void telemetry_rejected(const struct request *request) {
    struct telemetry *telemetry = request->context->telemetry;
    if (request->command != NULL) {
        telemetry_stat(telemetry, request->command)->rejected++;
    }
    if (request->reply.error != NULL) {
        count_error(telemetry, request->reply.error);
    }
}

uint64_t telemetry_calls(const struct telemetry *telemetry) {
    uint64_t calls = 0;
    for (size_t i = 0; i < telemetry->rows->count; i++) {
        calls += telemetry->commands[i].calls;
    }
    return calls;
}

/* How long more memory has been used than there may be. */
static void note_excess(const struct command_context *context, int64_t now_ms) {
    struct telemetry *telemetry = context->telemetry;
    size_t most = keyspace_maxmemory_bytes(context->keyspace);
    bool exceeded = most != 0 && keyspace_used_bytes(context->keyspace) > most;
    if (exceeded && telemetry->exceeded_since_ms == 0) {
        telemetry->exceeded_since_ms = now_ms;
    } else if (!exceeded && telemetry->exceeded_since_ms != 0) {
        telemetry->exceeded_ms += now_ms - telemetry->exceeded_since_ms;
        telemetry->exceeded_since_ms = 0;
    }
}

void telemetry_sample(const struct command_context *context) {
    const struct net_stats *net = net_stats(context->net);
    const uint64_t counts[RATES] = {
        [RATE_COMMANDS] = telemetry_calls(context->telemetry),
        [RATE_READ_BYTES] = net->read_bytes,
        [RATE_WRITTEN_BYTES] = net->written_bytes,
        [RATE_REPLICATION_READ_BYTES] = net->replication_read_bytes,
        [RATE_REPLICATION_WRITTEN_BYTES] = net->replication_written_bytes,
    };
    int64_t now_ms = loop_monotonic_ms(context->loop);
    rates_sample(&context->telemetry->rates, now_ms, counts);
    note_excess(context, now_ms);
}

uint64_t command_stat_us(const struct command_stat *stat) {
    if (stat->timed_calls == 0) {
        return 0;
    }
    return (uint64_t)((double)stat->timed_us * (double)stat->calls / (double)stat->timed_calls);
}
