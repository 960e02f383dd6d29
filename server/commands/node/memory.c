/* memory.c: MEMORY: where the memory is. */
#include "server/commands/rows.h"
#include "server/dispatch/command.h"
#include "server/memory/allocator.h"
#include "server/metrics.h"
#include "server/store/keyspace.h"

enum {
    TABLE_BYTES_A_KEY = 8, /* of the table's buckets: a place and a tag */
    WORTH_A_DIAGNOSIS_BYTES = 5 << 20,
};

/* SAMPLES is for values of many elements: it is checked, and means nothing here. */
void command_memory_usage(struct request *request) {
    for (size_t i = 3; i < request->arg_count; i += 2) {
        int64_t samples;
        if (!request_word(request, i, SLICE("samples")) || i + 1 == request->arg_count) {
            resp_error(&request->reply, ERR_SYNTAX);
            return;
        }
        if (!request_integer(request, i + 1, &samples)) {
            return;
        }
        if (samples < 0) {
            resp_error(&request->reply, ERR_SYNTAX);
            return;
        }
    }
    const struct entry *entry = keyspace_find(request->context->keyspace, &request->key, KEYSPACE_QUIETLY);
    if (entry == NULL) {
        resp_null(&request->reply);
    } else {
        resp_integer(&request->reply, (int64_t)(entry_allocated_bytes(entry) + TABLE_BYTES_A_KEY));
    }
}

/* --- MEMORY STATS --- */

/* Redis's names, in its order; what kvnode has none of is 0. */
static const struct stat {
    const char *name;
    enum { STAT_NOTHING, STAT_WHOLE, STAT_REAL, STAT_DATABASE } kind;
    enum metric metric;
} stats[] = {
    {"peak.allocated", STAT_WHOLE, METRIC_process_peak},
    {"total.allocated", STAT_WHOLE, METRIC_allocator_allocated},
    {"startup.allocated", STAT_WHOLE, METRIC_used_memory_startup},
    {"replication.backlog", STAT_WHOLE, METRIC_mem_replication_backlog},
    {"clients.slaves", STAT_NOTHING, 0},
    {"clients.normal", STAT_WHOLE, METRIC_mem_clients_normal},
    {"cluster.links", STAT_NOTHING, 0},
    {"aof.buffer", STAT_NOTHING, 0},
    {"lua.caches", STAT_NOTHING, 0},
    {"functions.caches", STAT_NOTHING, 0},
    {"db.0", STAT_DATABASE, METRIC_keys},
    {"overhead.total", STAT_WHOLE, METRIC_used_memory_overhead},
    {"keys.count", STAT_WHOLE, METRIC_keys},
    {"keys.bytes-per-key", STAT_WHOLE, METRIC_bytes_per_key},
    {"dataset.bytes", STAT_WHOLE, METRIC_used_memory},
    {"dataset.percentage", STAT_REAL, METRIC_used_memory_dataset_perc},
    {"peak.percentage", STAT_REAL, METRIC_process_of_peak},
    {"allocator.allocated", STAT_WHOLE, METRIC_allocator_allocated},
    {"allocator.active", STAT_WHOLE, METRIC_allocator_active},
    {"allocator.resident", STAT_WHOLE, METRIC_allocator_resident},
    {"allocator-fragmentation.ratio", STAT_REAL, METRIC_allocator_frag_ratio},
    {"allocator-fragmentation.bytes", STAT_WHOLE, METRIC_allocator_frag_bytes},
    {"allocator-rss.ratio", STAT_REAL, METRIC_allocator_rss_ratio},
    {"allocator-rss.bytes", STAT_WHOLE, METRIC_allocator_rss_bytes},
    {"rss-overhead.ratio", STAT_REAL, METRIC_rss_overhead_ratio},
    {"rss-overhead.bytes", STAT_WHOLE, METRIC_rss_overhead_bytes},
    {"fragmentation", STAT_REAL, METRIC_mem_fragmentation_ratio},
    {"fragmentation.bytes", STAT_WHOLE, METRIC_mem_fragmentation_bytes},
};

static void reply_database(struct resp_reply *reply, int64_t keys) {
    resp_map(reply, 3);
    resp_bulk_text(reply, "overhead.hashtable.main");
    resp_integer(reply, keys * TABLE_BYTES_A_KEY);
    resp_bulk_text(reply, "overhead.hashtable.expires");
    resp_integer(reply, 0);
    resp_bulk_text(reply, "overhead.hashtable.slot-to-keys");
    resp_integer(reply, 0);
}

static void reply_stat(struct resp_reply *reply, const struct stat *stat, const struct metrics *metrics) {
    resp_bulk_text(reply, stat->name);
    if (stat->kind == STAT_DATABASE) {
        reply_database(reply, metrics_integer(metrics, stat->metric));
    } else if (stat->kind == STAT_REAL) {
        resp_double(reply, metrics_real(metrics, stat->metric));
    } else {
        resp_integer(reply, stat->kind == STAT_NOTHING ? 0 : metrics_integer(metrics, stat->metric));
    }
}

void command_memory_stats(struct request *request) {
    struct metrics metrics;
    metrics_read(request->context, &metrics);
    const size_t count = sizeof(stats) / sizeof(stats[0]);
    bool is_empty = metrics_integer(&metrics, METRIC_keys) == 0;
    resp_map(&request->reply, is_empty ? count - 1 : count);
    for (size_t i = 0; i < count; i++) {
        if (!is_empty || stats[i].kind != STAT_DATABASE) { /* as Redis, not of an empty one */
            reply_stat(&request->reply, &stats[i], &metrics);
        }
    }
}

/* --- What else there is to ask --- */

void command_memory_doctor(struct request *request) {
    const char *text = keyspace_used_bytes(request->context->keyspace) < WORTH_A_DIAGNOSIS_BYTES
                           ? "Hi Sam, this instance is empty or is using very little memory, my issues "
                             "detector can't be used in these "
                             "conditions. Please, leave for your mission on Earth and fill it with some data. "
                             "The new Sam and I will be "
                             "back to our programming as soon as I finished rebooting.\n"
                           : "Hi Sam, I can't find any memory issue in your instance. I can only account for "
                             "what occurs on this base.\n";
    resp_text(&request->reply, slice_from_text(text));
}

void command_memory_malloc_stats(struct request *request) {
    struct buf report;
    buf_init(&report, SIZE_MAX);
    allocator_report(&report);
    reply_gathered(request, &report);
}

void command_memory_purge(struct request *request) {
    allocator_purge();
    reply_ok(request);
}
