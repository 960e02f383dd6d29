/* info.c: INFO: sections of name:value lines, under the names that Redis's tools read, and kvnode's own. */
#define _GNU_SOURCE /* RUSAGE_THREAD */
#include "server/clients/clients.h"
#include "server/commands/client/pubsub.h"
#include "server/commands/client/tracking.h"
#include "server/commands/rows.h"
#include "server/dispatch/telemetry.h"
#include "server/memory/allocator.h"
#include "server/version.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

static void info_server(const struct request *request, struct buf *out) {
    const struct command_context *context = request->context;
    struct utsname system = {0};
    uname(&system);
    char executable[PATH_MAX] = "";
    if (readlink("/proc/self/exe", executable, sizeof(executable) - 1) < 0) {
        executable[0] = '\0';
    }
    int64_t now_ms = loop_now_ms(context->loop);
    int64_t uptime_ms = loop_monotonic_ms(context->loop) - context->stats->started_monotonic_ms;
    long long uptime_s = uptime_ms / 1000;
    buf_printf(out,
               "redis_version:" COMPATIBLE_REDIS_VERSION "\r\n"
               "kvnode_version:" KVNODE_VERSION "\r\n"
               "server_name:kvnode\r\n"
               "redis_mode:cluster\r\n"
               "os:%s %s %s\r\n"
               "arch_bits:%zu\r\n"
               "monotonic_clock:POSIX clock_gettime\r\n"
               "multiplexing_api:libev\r\n"
               "atomicvar_api:none\r\n"
               "gcc_version:" __VERSION__ "\r\n",
               system.sysname, system.release, system.machine, sizeof(void *) * 8);
    buf_printf(out,
               "process_id:%ld\r\n"
               "process_supervised:no\r\n"
               "run_id:%s\r\n"
               "tcp_port:%u\r\n"
               "api_port:%u\r\n"
               "replication_port:%u\r\n"
               "server_time_usec:%lld\r\n"
               "uptime_in_seconds:%lld\r\n"
               "uptime_in_days:%lld\r\n"
               "hz:%lld\r\n"
               "configured_hz:%lld\r\n"
               "lru_clock:%lld\r\n"
               "executable:%s\r\n"
               "config_file:%s\r\n"
               "io_threads_active:0\r\n",
               (long)getpid(), context->settings->id, context->settings->redis_port,
               context->settings->api_port, context->settings->port, (long long)now_ms * 1000, uptime_s,
               uptime_s / 86400, (long long)context->settings->hz, (long long)context->settings->hz,
               (long long)(now_ms / 1000 & 0xffffff), executable, context->options->config_file);
}

static size_t count_blocked(const struct clients *clients) {
    size_t count = 0;
    for (const struct client *client = clients->first; client != NULL; client = client->next) {
        count += (client->holds & GATE_WAIT) != 0;
    }
    return count;
}

static void info_clients(const struct request *request, struct buf *out) {
    const struct command_context *context = request->context;
    const struct clients *clients = request->client->clients;
    buf_printf(out,
               "connected_clients:%zu\r\n"
               "cluster_connections:0\r\n"
               "maxclients:%" PRId64 "\r\n"
               "client_recent_max_input_buffer:0\r\n"
               "client_recent_max_output_buffer:0\r\n"
               "blocked_clients:%zu\r\n"
               "tracking_clients:%zu\r\n"
               "clients_in_timeout_table:0\r\n"
               "resp_clients:%zu\r\n"
               "http_clients:%zu\r\n",
               context->stats->clients, context->settings->maxclients, count_blocked(clients),
               tracking_clients(clients), context->stats->resp_clients, context->stats->http_clients);
}

/* 1.50K, 2.00M, as Redis shows bytes to people. */
static void write_human(struct buf *out, const char *name, size_t bytes) {
    static const char units[] = "KMGTP";
    double number = (double)bytes;
    size_t unit = 0;
    if (bytes < 1024) {
        buf_printf(out, "%s_human:%zuB\r\n", name, bytes);
        return;
    }
    for (number /= 1024; number >= 1024 && unit + 2 < sizeof(units); number /= 1024) {
        unit++;
    }
    buf_printf(out, "%s_human:%.2f%c\r\n", name, number, units[unit]);
}

static void write_bytes(struct buf *out, const char *name, size_t bytes) {
    buf_printf(out, "%s:%zu\r\n", name, bytes);
    write_human(out, name, bytes);
}

static double percent_of(size_t part, size_t whole) {
    return whole == 0 ? 0 : 100 * (double)part / (double)whole;
}

/* How much larger `larger` is than what it holds. */
static void write_growth(struct buf *out, const char *name, size_t larger, size_t held) {
    buf_printf(out, "%s_ratio:%.2f\r\n%s_bytes:%lld\r\n", name, percent_of(larger, held) / 100, name,
               (long long)larger - (long long)held);
}

/* Used memory is the data's: what maxmemory is about. Overhead is what else is allocated. */
static void info_memory(const struct request *request, struct buf *out) {
    const struct command_context *context = request->context;
    struct allocator_stats memory;
    allocator_read(&memory);
    size_t used = keyspace_used_bytes(context->keyspace), peak = keyspace_peak_bytes(context->keyspace);
    size_t backlog = history_backlog_bytes(context->history);
    write_bytes(out, "used_memory", used);
    write_bytes(out, "used_memory_rss", memory.process);
    write_bytes(out, "used_memory_peak", peak);
    buf_printf(out,
               "used_memory_peak_perc:%.2f%%\r\n"
               "used_memory_overhead:%zu\r\n"
               "used_memory_startup:%zu\r\n"
               "used_memory_dataset:%zu\r\n"
               "used_memory_dataset_perc:%.2f%%\r\n"
               "allocator_allocated:%zu\r\n"
               "allocator_active:%zu\r\n"
               "allocator_resident:%zu\r\n",
               percent_of(used, peak), memory.allocated > used ? memory.allocated - used : 0,
               context->telemetry->startup_bytes, used, percent_of(used, memory.allocated), memory.allocated,
               memory.active, memory.resident);
    write_bytes(out, "total_system_memory", (size_t)sysconf(_SC_PHYS_PAGES) * (size_t)sysconf(_SC_PAGESIZE));
    buf_append_text(out,
                    "used_memory_lua:0\r\nused_memory_lua_human:0B\r\nused_memory_scripts:0\r\n"
                    "used_memory_scripts_human:0B\r\nnumber_of_cached_scripts:0\r\nnumber_of_functions:0\r\n"
                    "number_of_libraries:0\r\n");
    write_bytes(out, "maxmemory", keyspace_maxmemory_bytes(context->keyspace));
    buf_printf(out, "maxmemory_policy:%s\r\n", eviction_policy_name(keyspace_policy(context->keyspace)));
    write_growth(out, "allocator_frag", memory.active, memory.allocated);
    write_growth(out, "allocator_rss", memory.resident, memory.active);
    write_growth(out, "rss_overhead", memory.process, memory.resident);
    write_growth(out, "mem_fragmentation", memory.process, used);
    buf_printf(out,
               "mem_not_counted_for_evict:0\r\n"
               "mem_replication_backlog:%zu\r\n"
               "mem_total_replication_buffers:%zu\r\n"
               "mem_clients_slaves:0\r\n"
               "mem_clients_normal:%zu\r\n"
               "mem_cluster_links:0\r\n"
               "mem_aof_buffer:0\r\n"
               "mem_allocator:%s\r\n"
               "active_defrag_running:0\r\n"
               "lazyfree_pending_objects:0\r\n"
               "lazyfreed_objects:0\r\n"
               "replication_backlog_bytes:%zu\r\n",
               backlog, backlog, request->client->clients->counted_bytes, allocator_name(), backlog);
}

/* Nothing is ever saved: as in a Redis that has not saved yet. */
static void info_persistence(const struct request *request, struct buf *out) {
    const struct command_context *context = request->context;
    bool loading = replication_ready(context->replication) != ERR_NONE;
    buf_printf(out,
               "loading:%d\r\n"
               "async_loading:0\r\n"
               "current_cow_peak:0\r\n"
               "current_cow_size:0\r\n"
               "current_cow_size_age:0\r\n"
               "current_fork_perc:0.00\r\n"
               "current_save_keys_processed:0\r\n"
               "current_save_keys_total:0\r\n"
               "rdb_changes_since_last_save:0\r\n"
               "rdb_bgsave_in_progress:0\r\n"
               "rdb_last_save_time:%lld\r\n"
               "rdb_last_bgsave_status:ok\r\n"
               "rdb_last_bgsave_time_sec:-1\r\n"
               "rdb_current_bgsave_time_sec:-1\r\n"
               "rdb_saves:0\r\n"
               "rdb_last_cow_size:0\r\n"
               "rdb_last_load_keys_expired:0\r\n"
               "rdb_last_load_keys_loaded:0\r\n",
               loading, (long long)context->stats->started_ms / 1000);
    buf_append_text(out, "aof_enabled:0\r\n"
                         "aof_rewrite_in_progress:0\r\n"
                         "aof_rewrite_scheduled:0\r\n"
                         "aof_last_rewrite_time_sec:-1\r\n"
                         "aof_current_rewrite_time_sec:-1\r\n"
                         "aof_last_bgrewrite_status:ok\r\n"
                         "aof_rewrites:0\r\n"
                         "aof_rewrites_consecutive_failures:0\r\n"
                         "aof_last_write_status:ok\r\n"
                         "aof_last_cow_size:0\r\n"
                         "module_fork_in_progress:0\r\n"
                         "module_fork_last_cow_size:0\r\n");
}

static double kbps(const struct request *request, enum rate which) {
    return rates_mean(&request->context->telemetry->rates, which) / 1024;
}

static void stats_of_traffic(const struct request *request, struct buf *out) {
    const struct command_context *context = request->context;
    const struct net_stats *net = net_stats(context->net);
    struct replication_status status;
    replication_status(context->replication, &status);
    buf_printf(out,
               "total_connections_received:%llu\r\n"
               "total_commands_processed:%llu\r\n"
               "instantaneous_ops_per_sec:%.0f\r\n"
               "total_net_input_bytes:%llu\r\n"
               "total_net_output_bytes:%llu\r\n"
               "total_net_repl_input_bytes:%llu\r\n"
               "total_net_repl_output_bytes:%llu\r\n",
               (unsigned long long)context->stats->resp_connections,
               (unsigned long long)telemetry_calls(context->telemetry),
               rates_mean(&context->telemetry->rates, RATE_COMMANDS), (unsigned long long)net->read_bytes,
               (unsigned long long)net->written_bytes, (unsigned long long)net->replication_read_bytes,
               (unsigned long long)net->replication_written_bytes);
    buf_printf(out,
               "instantaneous_input_kbps:%.2f\r\n"
               "instantaneous_output_kbps:%.2f\r\n"
               "instantaneous_input_repl_kbps:%.2f\r\n"
               "instantaneous_output_repl_kbps:%.2f\r\n"
               "rejected_connections:%llu\r\n"
               "sync_full:%llu\r\n"
               "sync_partial_ok:%llu\r\n"
               "sync_partial_err:%llu\r\n",
               kbps(request, RATE_READ_BYTES), kbps(request, RATE_WRITTEN_BYTES),
               kbps(request, RATE_REPLICATION_READ_BYTES), kbps(request, RATE_REPLICATION_WRITTEN_BYTES),
               (unsigned long long)net->refused, (unsigned long long)status.full_syncs,
               (unsigned long long)status.partial_syncs, (unsigned long long)status.partial_refused);
}

static void stats_of_keys(const struct request *request, struct buf *out) {
    const struct command_context *context = request->context;
    const struct keyspace_stats *keys = keyspace_stats(context->keyspace);
    const struct telemetry *telemetry = context->telemetry;
    int64_t exceeded_ms =
        telemetry->exceeded_since_ms == 0 ? 0 : loop_monotonic_ms(context->loop) - telemetry->exceeded_since_ms;
    buf_printf(out,
               "expired_keys:%llu\r\n"
               "expired_stale_perc:%.2f\r\n"
               "expired_time_cap_reached_count:0\r\n"
               "expire_cycle_cpu_milliseconds:%llu\r\n"
               "evicted_keys:%llu\r\n"
               "evicted_clients:%llu\r\n"
               "total_eviction_exceeded_time:%lld\r\n"
               "current_eviction_exceeded_time:%lld\r\n"
               "keyspace_hits:%llu\r\n"
               "keyspace_misses:%llu\r\n"
               "keyspace_writes:%llu\r\n"
               "keyspace_deletes:%llu\r\n",
               (unsigned long long)keys->expired, keyspace_sample_deadlines(context->keyspace).stale_percent,
               (unsigned long long)keys->sweep_us / 1000, (unsigned long long)keys->evicted,
               (unsigned long long)context->stats->evicted_clients,
               (long long)telemetry->exceeded_ms + (long long)exceeded_ms, (long long)exceeded_ms,
               (unsigned long long)keys->hits, (unsigned long long)keys->misses,
               (unsigned long long)keys->writes, (unsigned long long)keys->deletes);
}

static void stats_of_clients(const struct request *request, struct buf *out) {
    const struct command_context *context = request->context;
    const struct clients *clients = request->client->clients;
    const struct net_stats *net = net_stats(context->net);
    buf_printf(out,
               "pubsub_channels:%zu\r\n"
               "pubsub_patterns:%zu\r\n"
               "pubsubshard_channels:%zu\r\n"
               "latest_fork_usec:0\r\n"
               "total_forks:0\r\n"
               "migrate_cached_sockets:0\r\n"
               "slave_expires_tracked_keys:0\r\n"
               "active_defrag_hits:0\r\n"
               "active_defrag_misses:0\r\n"
               "active_defrag_key_hits:0\r\n"
               "active_defrag_key_misses:0\r\n"
               "total_active_defrag_time:0\r\n"
               "current_active_defrag_time:0\r\n",
               pubsub_names(clients, SUBSCRIPTION_CHANNEL), pubsub_names(clients, SUBSCRIPTION_PATTERN),
               pubsub_names(clients, SUBSCRIPTION_SHARD));
    buf_printf(out,
               "tracking_total_keys:%zu\r\n"
               "tracking_total_items:%zu\r\n"
               "tracking_total_prefixes:%zu\r\n"
               "unexpected_error_replies:0\r\n"
               "total_error_replies:%llu\r\n"
               "dump_payload_sanitizations:0\r\n"
               "total_reads_processed:%llu\r\n"
               "total_writes_processed:%llu\r\n"
               "io_threaded_reads_processed:0\r\n"
               "io_threaded_writes_processed:0\r\n"
               "reply_buffer_shrinks:0\r\n"
               "reply_buffer_expands:0\r\n",
               tracking_keys(clients), tracking_items(clients), tracking_prefixes(clients),
               (unsigned long long)context->telemetry->total_errors, (unsigned long long)net->reads,
               (unsigned long long)net->writes);
}

static void stats_of_kvnode(const struct request *request, struct buf *out) {
    const struct command_context *context = request->context;
    const struct server_stats *stats = context->stats;
    struct loop_stalls stalls = loop_stalls(context->loop);
    buf_printf(out,
               "http_connections_received:%llu\r\n"
               "http_requests_processed:%llu\r\n"
               "redirects:%llu\r\n"
               "protocol_errors:%llu\r\n"
               "datagrams_received:%llu\r\n"
               "datagrams_sent:%llu\r\n"
               "datagrams_malformed:%llu\r\n"
               "datagrams_unknown:%llu\r\n"
               "datagrams_ignored:%llu\r\n"
               "datagrams_send_errors:%llu\r\n"
               "members_evicted:%llu\r\n",
               (unsigned long long)stats->http_connections, (unsigned long long)stats->http_requests,
               (unsigned long long)stats->redirects, (unsigned long long)stats->protocol_errors,
               (unsigned long long)context->discovery->received, (unsigned long long)context->discovery->sent,
               (unsigned long long)context->discovery->malformed,
               (unsigned long long)context->discovery->unknown,
               (unsigned long long)membership_ignored(context->membership),
               (unsigned long long)context->discovery->send_errors,
               (unsigned long long)membership_evicted(context->membership));
    if (context->messenger != NULL) {
        const struct messenger_stats *messages = messenger_stats(context->messenger);
        buf_printf(out, "messages_sent:%llu\r\nmessages_dropped:%llu\r\n", (unsigned long long)messages->sent,
                   (unsigned long long)messages->dropped);
    }
    buf_printf(out, "loop_iterations:%llu\r\nloop_stall_us:p50=%llu,p99=%llu,p99.9=%llu,max=%llu\r\n",
               (unsigned long long)stalls.iterations, (unsigned long long)stalls.p50_us,
               (unsigned long long)stalls.p99_us, (unsigned long long)stalls.p999_us,
               (unsigned long long)stalls.max_us);
}

static void info_stats(const struct request *request, struct buf *out) {
    stats_of_traffic(request, out);
    stats_of_keys(request, out);
    stats_of_clients(request, out);
    stats_of_kvnode(request, out);
}

/* A follower's view of its leader: master_* is what Redis calls it. */
static void info_leader_link(const struct command_context *context, const struct replication_status *status,
                             struct buf *out) {
    int64_t now_ms = loop_monotonic_ms(context->loop);
    buf_printf(out,
               "master_host:%s\r\n"
               "master_port:%u\r\n"
               "master_link_status:%s\r\n"
               "master_last_io_seconds_ago:%lld\r\n"
               "master_sync_in_progress:%d\r\n"
               "slave_read_repl_offset:%llu\r\n"
               "slave_repl_offset:%llu\r\n",
               status->leader_host, status->leader_redis_port, status->link_up ? "up" : "down",
               status->last_line_age_ms < 0 ? -1LL : (long long)status->last_line_age_ms / 1000,
               status->full_in_progress, (unsigned long long)status->index, (unsigned long long)status->index);
    if (!status->link_up) {
        int64_t since_ms = status->link_down_since_ms;
        buf_printf(out, "master_link_down_since_seconds:%lld\r\n",
                   since_ms == 0 ? -1LL : (long long)(now_ms - since_ms) / 1000);
    }
    uint64_t behind = status->leader_index > status->index ? status->leader_index - status->index : 0;
    buf_printf(out,
               "slave_priority:100\r\nslave_read_only:1\r\n"
               "leader_id:%s\r\nleader_index:%llu\r\nleader_lag_lines:%llu\r\n",
               status->leader_id, (unsigned long long)status->leader_index, (unsigned long long)behind);
}

static void info_follower(const struct replication_follower *follower, size_t i, struct buf *out) {
    bool online = strcmp(follower->state, "online") == 0;
    buf_printf(out, "slave%zu:ip=%s,port=%u,state=%s,offset=%llu,lag=%lld\r\n", i, follower->host,
               follower->redis_port, online ? "online" : "wait_bgsave",
               (unsigned long long)follower->acked_index,
               follower->ack_age_ms < 0 ? 0LL : (long long)follower->ack_age_ms / 1000);
    buf_printf(out, "follower%zu:id=%s,host=%s,port=%u,state=%s,acked=%llu,lag_lines=%llu,lag_ms=%lld\r\n", i,
               follower->node_id, follower->host, follower->port, follower->state,
               (unsigned long long)follower->acked_index, (unsigned long long)follower->lag_lines,
               (long long)follower->lag_ms);
}

static bool is_leader(const struct replication_status *status) {
    return status->role == REPLICATION_LEADER || status->role == REPLICATION_STARTING;
}

static void info_replication(const struct request *request, struct buf *out) {
    const struct command_context *context = request->context;
    struct replication_status status;
    struct replication_follower follower;
    replication_status(context->replication, &status);
    buf_printf(out, "role:%s\r\n", is_leader(&status) ? "master" : "slave");
    if (!is_leader(&status)) {
        info_leader_link(context, &status, out);
    }
    buf_printf(out, "connected_slaves:%zu\r\n", status.online_count);
    for (size_t i = 0; replication_follower_at(context->replication, i, &follower); i++) {
        info_follower(&follower, i, out);
    }
    buf_printf(out,
               "master_failover_state:no-failover\r\n"
               "master_replid:%016llx%024llx\r\n" /* 40 digits, as Redis's */
               "master_replid2:0000000000000000000000000000000000000000\r\n"
               "master_repl_offset:%llu\r\n"
               "second_repl_offset:-1\r\n"
               "repl_backlog_active:1\r\n"
               "repl_backlog_size:%zu\r\n"
               "repl_backlog_first_byte_offset:%llu\r\n"
               "repl_backlog_histlen:%zu\r\n",
               (unsigned long long)status.history_id, (unsigned long long)status.history_id,
               (unsigned long long)status.index, status.backlog_limit_bytes,
               (unsigned long long)status.first_index, status.backlog_bytes);
    buf_printf(out,
               "kvnode_role:%s\r\n"
               "kvnode_conflict:%s\r\n"
               "history_id:%016llx\r\n"
               "history_index:%llu\r\n"
               "followers:%zu\r\n"
               "followers_online:%zu\r\n"
               "pulls:%llu\r\n"
               "lines_received:%llu\r\n"
               "lines_unknown:%llu\r\n"
               "lines_malformed:%llu\r\n"
               "lines_refused:%llu\r\n",
               replication_role_name(status.role), status.conflict, (unsigned long long)status.history_id,
               (unsigned long long)status.index, status.follower_count, status.online_count,
               (unsigned long long)status.pulls, (unsigned long long)status.lines_received,
               (unsigned long long)status.lines_unknown, (unsigned long long)status.lines_malformed,
               (unsigned long long)status.lines_refused);
}

static void write_usage(struct buf *out, int who, const char *suffix) {
    struct rusage usage = {0};
    getrusage(who, &usage);
    buf_printf(out, "used_cpu_sys%s:%ld.%06ld\r\nused_cpu_user%s:%ld.%06ld\r\n", suffix,
               (long)usage.ru_stime.tv_sec, (long)usage.ru_stime.tv_usec, suffix, (long)usage.ru_utime.tv_sec,
               (long)usage.ru_utime.tv_usec);
}

static void info_cpu(const struct request *request, struct buf *out) {
    (void)request;
    write_usage(out, RUSAGE_SELF, "");
    write_usage(out, RUSAGE_CHILDREN, "_children");
    write_usage(out, RUSAGE_THREAD, "_main_thread");
}

static void info_modules(const struct request *request, struct buf *out) { (void)request, (void)out; }

static void info_commandstats(const struct request *request, struct buf *out) {
    const struct telemetry *telemetry = request->context->telemetry;
    for (size_t i = 0; i < telemetry->rows->count; i++) {
        const struct command_stat *stat = &telemetry->commands[i];
        uint64_t us = command_stat_us(stat);
        if (stat->calls > 0 || stat->rejected > 0) {
            buf_printf(
                out,
                "cmdstat_%s:calls=%llu,usec=%llu,usec_per_call=%.2f,rejected_calls=%llu,failed_calls=%llu\r\n",
                telemetry->rows->items[i].name, (unsigned long long)stat->calls, (unsigned long long)us,
                stat->calls == 0 ? 0.0 : (double)us / (double)stat->calls, (unsigned long long)stat->rejected,
                (unsigned long long)stat->failed);
        }
    }
}

static void info_errorstats(const struct request *request, struct buf *out) {
    const struct telemetry *telemetry = request->context->telemetry;
    for (size_t i = 0; i < telemetry->error_count; i++) {
        buf_printf(out, "errorstat_%s:count=%llu\r\n", telemetry->errors[i].code,
                   (unsigned long long)telemetry->errors[i].count);
    }
}

static void info_latencystats(const struct request *request, struct buf *out) {
    const struct telemetry *telemetry = request->context->telemetry;
    const struct settings *settings = request->context->settings;
    for (size_t i = 0; settings->latency_tracking && i < telemetry->rows->count; i++) {
        const struct histogram *histogram = telemetry->commands[i].histogram;
        if (histogram == NULL) {
            continue;
        }
        buf_printf(out, "latency_percentiles_usec_%s:", telemetry->rows->items[i].name);
        for (size_t k = 0; k < settings->percentiles.count; k++) {
            double percent = settings->percentiles.values[k];
            buf_append_text(out, k == 0 ? "p" : ",p");
            settings_write_percentile(percent, out);
            buf_printf(out, "=%.3f", (double)histogram_percentile(histogram, percent > 0 ? percent : 1e-9));
        }
        buf_append_text(out, "\r\n");
    }
}

static void info_cluster(const struct request *request, struct buf *out) {
    const struct command_context *context = request->context;
    const uint16_t *groups;
    buf_printf(out,
               "cluster_enabled:1\r\n"
               "group:%u\r\n"
               "groups_in_ring:%zu\r\n"
               "slots_owned:%zu\r\n",
               context->settings->group, membership_groups(context->membership, &groups),
               routing_owned_slots(context->routing, context->settings->group));
}

static void info_keyspace(const struct request *request, struct buf *out) {
    const struct command_context *context = request->context;
    size_t keys = keyspace_count(context->keyspace);
    if (keys > 0) {
        buf_printf(out, "db0:keys=%zu,expires=%zu,avg_ttl=%lld\r\n", keys,
                   keyspace_deadline_count(context->keyspace),
                   (long long)keyspace_sample_deadlines(context->keyspace).mean_ttl_ms);
    }
}

static const struct info_section {
    const char *name, *title;
    bool in_default; /* shown when no section is asked for */
    void (*write)(const struct request *request, struct buf *out);
} sections[] = {
    {"server", "Server", true, info_server},
    {"clients", "Clients", true, info_clients},
    {"memory", "Memory", true, info_memory},
    {"persistence", "Persistence", true, info_persistence},
    {"stats", "Stats", true, info_stats},
    {"replication", "Replication", true, info_replication},
    {"cpu", "CPU", true, info_cpu},
    {"modules", "Modules", true, info_modules},
    {"commandstats", "Commandstats", false, info_commandstats},
    {"errorstats", "Errorstats", true, info_errorstats},
    {"latencystats", "Latencystats", false, info_latencystats},
    {"cluster", "Cluster", true, info_cluster},
    {"keyspace", "Keyspace", true, info_keyspace},
};

static bool section_is_asked_for(const struct request *request, const struct info_section *section) {
    for (size_t i = 1; i < request->arg_count; i++) {
        if (request_word(request, i, slice_from_text(section->name)) ||
            request_word(request, i, SLICE("all")) || request_word(request, i, SLICE("everything")) ||
            (section->in_default && request_word(request, i, SLICE("default")))) {
            return true;
        }
    }
    return request->arg_count == 1 && section->in_default;
}

void command_info(struct request *request) {
    struct buf text;
    buf_init(&text, SIZE_MAX);
    for (size_t i = 0; i < sizeof(sections) / sizeof(sections[0]); i++) {
        if (section_is_asked_for(request, &sections[i])) {
            buf_printf(&text, "%s# %s\r\n", buf_used(&text) > 0 ? "\r\n" : "", sections[i].title);
            sections[i].write(request, &text);
        }
    }
    reply_gathered(request, &text);
}
