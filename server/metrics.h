/* metrics.h: what a node counts and measures, a row each (metrics.def): INFO, MEMORY STATS and GET /cluster
 * show it.
 *
 * It looks into every room, and no room includes another one for the sake of a figure. A reading is of one
 * moment; it borrows what it is read from, and is done with before anything else is.
 */
#ifndef KVNODE_SERVER_METRICS_H
#define KVNODE_SERVER_METRICS_H

#include "cluster/routing.h"
#include "server/context.h"
#include "server/journal/journal.h"
#include "server/memory/allocator.h"
#include "server/peers/messenger.h"
#include "server/peers/replication.h"
#include "server/stats.h"
#include "server/store/keyspace.h"

#include <sys/resource.h>

enum metric {
#define METRIC(kind, unit, section, field, name, help, expression)            METRIC_##field,
#define MEASURE(kind, unit, decimals, section, field, name, help, expression) METRIC_##field,
#define STATUS(section, field, name, help, expression)                        METRIC_##field,
#define ALIAS(section, field, other)                                          METRIC_##field,
#define NOTHING(section, field, text)                                         METRIC_##field,
#include "server/metrics.def"
#undef METRIC
#undef MEASURE
#undef STATUS
#undef ALIAS
#undef NOTHING
    METRICS
};

enum metric_kind { METRIC_COUNTER, METRIC_GAUGE, METRIC_ALIAS, METRIC_NOTHING };

enum metric_unit {
    METRIC_COUNT,
    METRIC_BYTES,
    METRIC_SIZE, /* bytes that INFO says for people, too: 1.50K */
    METRIC_MICROSECONDS,
    METRIC_MILLISECONDS,
    METRIC_SECONDS,
    METRIC_RATIO,
    METRIC_PERCENT
};

/* Of INFO. */
enum metric_section {
    METRIC_IN_NOWHERE,
    METRIC_IN_SERVER,
    METRIC_IN_CLIENTS,
    METRIC_IN_MEMORY,
    METRIC_IN_PERSISTENCE,
    METRIC_IN_STATS,
    METRIC_IN_REPLICATION,
    METRIC_IN_CPU,
    METRIC_IN_CLUSTER,
};

struct metric_row {
    const char *field, *name, *help;
    const char *text; /* of METRIC_NOTHING: what INFO shows */
    enum metric_kind kind;
    enum metric_unit unit;
    enum metric_section section;
    enum metric other; /* of METRIC_ALIAS: itself in all others */
    int decimals;      /* that INFO shows, where it is not whole */
    bool is_whole;
    bool is_status; /* "ok" or "err" in INFO */
};

/* A moment. */
struct metrics {
    const struct command_context *context;
    const struct clients *clients;
    const struct server_stats *stats;
    const struct net_stats *net;
    const struct keyspace_stats *keys;
    const struct telemetry *telemetry;
    struct messenger_stats messages;
    struct replication_status replication;
    struct replication_voting voting;
    size_t voters_reachable;
    struct keyspace_deadlines deadlines;
    struct allocator_stats heap;
    struct loop_stalls stalls;
    struct routing_gaps gaps;
    struct rusage usage, thread_usage;
    size_t used_bytes, backlog_bytes;
    struct journal_status journal;
    int64_t uptime_ms, exceeded_ms, compacting_ms;
};

const struct metric_row *metrics_row(enum metric metric);

void metrics_read(const struct command_context *context, struct metrics *out);
/* A whole number; of a row that has a fraction it is cut off. */
int64_t metrics_integer(const struct metrics *metrics, enum metric metric);
double metrics_real(const struct metrics *metrics, enum metric metric);

/* Appends the section's rows as INFO has them: field:value, CR, LF. */
void metrics_write_info(const struct metrics *metrics, enum metric_section section, struct buf *out);

#endif
