/* memory.c: MEMORY: where the memory is. */
#include "server/clients/clients.h"
#include "server/commands/rows.h"
#include "server/dispatch/telemetry.h"
#include "server/memory/allocator.h"

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

struct stat {
    const char *name;
    double value;
    enum { STAT_NUMBER, STAT_RATIO, STAT_DATABASE } kind; /* DATABASE: its keys, for a map of what they cost */
};

static double ratio(size_t of, size_t to) { return to == 0 ? 0 : (double)of / (double)to; }

static void reply_stat(struct resp_reply *reply, const struct stat *stat) {
    resp_bulk_text(reply, stat->name);
    if (stat->kind == STAT_DATABASE) {
        resp_map(reply, 3);
        resp_bulk_text(reply, "overhead.hashtable.main");
        resp_integer(reply, (int64_t)stat->value * TABLE_BYTES_A_KEY);
        resp_bulk_text(reply, "overhead.hashtable.expires");
        resp_integer(reply, 0);
        resp_bulk_text(reply, "overhead.hashtable.slot-to-keys");
        resp_integer(reply, 0);
    } else if (stat->kind == STAT_NUMBER) {
        resp_integer(reply, (int64_t)stat->value);
    } else {
        resp_double(reply, stat->value);
    }
}

/* Redis's names, in its order; what kvnode has none of is 0. */
void command_memory_stats(struct request *request) {
    const struct command_context *context = request->context;
    size_t dataset = keyspace_used_bytes(context->keyspace), keys = keyspace_count(context->keyspace);
    struct allocator_stats heap;
    allocator_read(&heap);
    double allocated = (double)heap.allocated, active = (double)heap.active;
    double resident = (double)heap.resident, process = (double)heap.process;
    const struct stat stats[] = {
        {"peak.allocated", (double)heap.peak, STAT_NUMBER},
        {"total.allocated", allocated, STAT_NUMBER},
        {"startup.allocated", (double)context->telemetry->startup_bytes, STAT_NUMBER},
        {"replication.backlog", (double)history_backlog_bytes(context->history), STAT_NUMBER},
        {"clients.slaves", 0, STAT_NUMBER},
        {"clients.normal", (double)request->client->clients->counted_bytes, STAT_NUMBER},
        {"cluster.links", 0, STAT_NUMBER},
        {"aof.buffer", 0, STAT_NUMBER},
        {"lua.caches", 0, STAT_NUMBER},
        {"functions.caches", 0, STAT_NUMBER},
        {"db.0", (double)keys, STAT_DATABASE},
        {"overhead.total", allocated - (double)dataset, STAT_NUMBER},
        {"keys.count", (double)keys, STAT_NUMBER},
        {"keys.bytes-per-key", ratio(dataset, keys), STAT_NUMBER},
        {"dataset.bytes", (double)dataset, STAT_NUMBER},
        {"dataset.percentage", 100 * ratio(dataset, heap.allocated), STAT_RATIO},
        {"peak.percentage", 100 * ratio(heap.process, heap.peak), STAT_RATIO},
        {"allocator.allocated", allocated, STAT_NUMBER},
        {"allocator.active", active, STAT_NUMBER},
        {"allocator.resident", resident, STAT_NUMBER},
        {"allocator-fragmentation.ratio", ratio(heap.active, heap.allocated), STAT_RATIO},
        {"allocator-fragmentation.bytes", active - allocated, STAT_NUMBER},
        {"allocator-rss.ratio", ratio(heap.resident, heap.active), STAT_RATIO},
        {"allocator-rss.bytes", resident - active, STAT_NUMBER},
        {"rss-overhead.ratio", ratio(heap.process, heap.resident), STAT_RATIO},
        {"rss-overhead.bytes", process - resident, STAT_NUMBER},
        {"fragmentation", ratio(heap.process, heap.allocated), STAT_RATIO},
        {"fragmentation.bytes", process - allocated, STAT_NUMBER},
    };
    const size_t count = sizeof(stats) / sizeof(stats[0]);
    resp_map(&request->reply, keys == 0 ? count - 1 : count);
    for (size_t i = 0; i < count; i++) {
        if (keys > 0 || stats[i].kind != STAT_DATABASE) { /* as Redis, not of an empty one */
            reply_stat(&request->reply, &stats[i]);
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
