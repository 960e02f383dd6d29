#define _GNU_SOURCE /* RUSAGE_THREAD */
#include "server/metrics.h"

#include "cluster/history.h"
#include "cluster/routing.h"
#include "server/clients/clients.h"
#include "server/commands/client/pubsub.h"
#include "server/commands/client/tracking.h"
#include "server/dispatch/telemetry.h"
#include "server/options.h"
#include "server/peers/discovery.h"
#include "server/settings.h"

#include <unistd.h>

static const struct metric_row rows[METRICS] = {
#define ROW(row_kind, row_unit, row_section, row_field, ...)                                                   \
    {.kind = METRIC_##row_kind,                                                                                \
     .unit = METRIC_##row_unit,                                                                                \
     .section = METRIC_IN_##row_section,                                                                       \
     .field = #row_field,                                                                                      \
     __VA_ARGS__},
#define METRIC(row_kind, row_unit, section, field, row_name, row_help, expression)                             \
    ROW(row_kind, row_unit, section, field, .name = row_name, .help = row_help, .other = METRIC_##field,       \
        .is_whole = true)
#define MEASURE(row_kind, row_unit, digits, section, field, row_name, row_help, expression)                    \
    ROW(row_kind, row_unit, section, field, .name = row_name, .help = row_help, .other = METRIC_##field,       \
        .decimals = digits)
#define STATUS(section, field, row_name, row_help, expression)                                                 \
    ROW(GAUGE, COUNT, section, field, .name = row_name, .help = row_help, .other = METRIC_##field,             \
        .is_whole = true, .is_status = true)
#define ALIAS(section, field, of) ROW(ALIAS, COUNT, section, field, .other = METRIC_##of, .is_whole = true)
#define NOTHING(section, field, shown)                                                                         \
    ROW(NOTHING, COUNT, section, field, .text = shown, .other = METRIC_##field, .is_whole = true)
#include "server/metrics.def"
#undef METRIC
#undef MEASURE
#undef STATUS
#undef ALIAS
#undef NOTHING
#undef ROW
};

const struct metric_row *metrics_row(enum metric metric) { return &rows[metric]; }

void metrics_read(const struct command_context *context, struct metrics *out) {
    int64_t now_ms = loop_monotonic_ms(context->loop), since_ms = context->telemetry->exceeded_since_ms;
    *out = (struct metrics){
        .context = context,
        .clients = context->clients,
        .stats = context->stats,
        .net = net_stats(context->net),
        .keys = keyspace_stats(context->keyspace),
        .telemetry = context->telemetry,
        .deadlines = keyspace_sample_deadlines(context->keyspace),
        .stalls = loop_stalls(context->loop),
        .used_bytes = keyspace_used_bytes(context->keyspace),
        .backlog_bytes = history_backlog_bytes(context->history),
        .uptime_ms = now_ms - context->stats->started_monotonic_ms,
        .exceeded_ms = since_ms == 0 ? 0 : now_ms - since_ms,
    };
    if (context->messenger != NULL) {
        out->messages = *messenger_stats(context->messenger);
    }
    out->compacting_ms = -1;
    if (context->journal != NULL) {
        journal_status(context->journal, &out->journal);
        int64_t since = out->journal.compacting_since_ms;
        out->compacting_ms = since == 0 ? -1 : now_ms - since;
    } else {
        out->journal.last_compaction_ms = -1;
    }
    replication_status(context->replication, &out->replication);
    replication_voting(context->replication, &out->voting);
    struct replication_voter voter;
    for (size_t i = 0; replication_voter_at(context->replication, i, &voter); i++) {
        out->voters_reachable += voter.reachable;
    }
    allocator_read(&out->heap);
    getrusage(RUSAGE_SELF, &out->usage);
    out->gaps = routing_gaps(context->routing);
    getrusage(RUSAGE_THREAD, &out->thread_usage);
}

/* --- Values */

static double ratio_of(size_t part, size_t whole) { return whole == 0 ? 0 : (double)part / (double)whole; }

static double percent_of(size_t part, size_t whole) { return 100 * ratio_of(part, whole); }

static double seconds_of(struct timeval time) { return (double)time.tv_sec + (double)time.tv_usec / 1e6; }

int64_t metrics_integer(const struct metrics *m, enum metric metric) {
    switch (metric) {
#define METRIC(kind, unit, section, field, name, help, expression)                                             \
    case METRIC_##field:                                                                                       \
        return (int64_t)(expression);
#define MEASURE(kind, unit, decimals, section, field, name, help, expression)                                  \
    case METRIC_##field:                                                                                       \
        return (int64_t)(expression);
#define STATUS(section, field, name, help, expression)                                                         \
    case METRIC_##field:                                                                                       \
        return (expression);
#define ALIAS(section, field, other)                                                                           \
    case METRIC_##field:                                                                                       \
        return metrics_integer(m, METRIC_##other);
#define NOTHING(section, field, text) case METRIC_##field:
#include "server/metrics.def"
#undef METRIC
#undef MEASURE
#undef STATUS
#undef ALIAS
#undef NOTHING
    case METRICS:
        break;
    }
    return 0;
}

double metrics_real(const struct metrics *m, enum metric metric) {
    switch (metric) {
#define METRIC(kind, unit, section, field, name, help, expression)
#define MEASURE(kind, unit, decimals, section, field, name, help, expression)                                  \
    case METRIC_##field:                                                                                       \
        return (expression);
#define STATUS(section, field, name, help, expression)
#define ALIAS(section, field, other)
#define NOTHING(section, field, text)
#include "server/metrics.def"
#undef METRIC
#undef MEASURE
#undef STATUS
#undef ALIAS
#undef NOTHING
    default:
        return (double)metrics_integer(m, metric);
    }
}

/* --- INFO */

/* 1.50K, 2.00M, as Redis shows bytes to people. */
static void write_human(struct buf *out, const char *field, int64_t bytes) {
    static const char units[] = "KMGTP";
    double number = (double)bytes;
    size_t unit = 0;
    if (bytes < 1024) {
        buf_printf(out, "%s_human:%lldB\r\n", field, (long long)bytes);
        return;
    }
    for (number /= 1024; number >= 1024 && unit + 2 < sizeof(units); number /= 1024) {
        unit++;
    }
    buf_printf(out, "%s_human:%.2f%c\r\n", field, number, units[unit]);
}

static void write_row(const struct metrics *metrics, enum metric metric, struct buf *out) {
    const struct metric_row *row = &rows[metric];
    if (row->kind == METRIC_NOTHING) {
        buf_printf(out, "%s:%s\r\n", row->field, row->text);
    } else if (row->is_status) {
        buf_printf(out, "%s:%s\r\n", row->field, metrics_integer(metrics, metric) != 0 ? "ok" : "err");
    } else if (row->is_whole) {
        int64_t number = metrics_integer(metrics, metric);
        buf_printf(out, "%s:%lld\r\n", row->field, (long long)number);
        if (row->unit == METRIC_SIZE) {
            write_human(out, row->field, number);
        }
    } else {
        const char *sign = row->section == METRIC_IN_MEMORY && row->unit == METRIC_PERCENT ? "%" : "";
        buf_printf(out, "%s:%.*f%s\r\n", row->field, row->decimals, metrics_real(metrics, metric), sign);
    }
}

void metrics_write_info(const struct metrics *metrics, enum metric_section section, struct buf *out) {
    for (int metric = 0; metric < METRICS; metric++) {
        if (rows[metric].section == section) {
            write_row(metrics, (enum metric)metric, out);
        }
    }
}
