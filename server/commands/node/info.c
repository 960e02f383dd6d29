/* info.c: INFO: sections of name:value lines, under the names that Redis's tools read, and kvnode's own.
 * Numbers are rows of server/metrics.def; here are the texts, and what has a line for each of something. */
#include "server/commands/rows.h"
#include "server/dispatch/telemetry.h"
#include "server/memory/allocator.h"
#include "server/metrics.h"
#include "server/options.h"
#include "server/peers/replication.h"
#include "server/settings.h"
#include "server/stats.h"
#include "server/store/keyspace.h"
#include "server/version.h"

#include <limits.h>
#include <stdio.h>
#include <sys/utsname.h>
#include <unistd.h>

static void server_texts(const struct request *request, struct buf *out) {
    const struct command_context *context = request->context;
    struct utsname system = {0};
    uname(&system);
    char executable[PATH_MAX] = "";
    if (readlink("/proc/self/exe", executable, sizeof(executable) - 1) < 0) {
        executable[0] = '\0';
    }
    int64_t now_ms = loop_now_ms(context->loop);
    int64_t uptime_ms = loop_monotonic_ms(context->loop) - context->stats->started_monotonic_ms;
    buf_printf(out,
               "redis_version:" COMPATIBLE_REDIS_VERSION "\r\n"
               "kvnode_version:" KVNODE_VERSION "\r\n"
               "server_name:kvnode\r\n"
               "redis_git_sha1:00000000\r\n"
               "redis_git_dirty:0\r\n"
               "redis_build_id:0\r\n"
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
               "uptime_in_days:%lld\r\n"
               "hz:%lld\r\n"
               "configured_hz:%lld\r\n"
               "lru_clock:%lld\r\n"
               "executable:%s\r\n"
               "config_file:%s\r\n"
               "io_threads_active:0\r\n",
               (long)getpid(), context->settings->id, context->settings->redis_port,
               context->settings->api_port, context->settings->port, (long long)now_ms * 1000,
               (long long)uptime_ms / 86400000, (long long)context->settings->hz,
               (long long)context->settings->hz, (long long)(now_ms / 1000 & 0xffffff), executable,
               context->options->config_file);
}

static void memory_texts(const struct request *request, struct buf *out) {
    buf_printf(out, "maxmemory_policy:%s\r\nmem_allocator:%s\r\n",
               eviction_policy_name(keyspace_policy(request->context->keyspace)), allocator_name());
}

static void stall_text(const struct request *request, struct buf *out) {
    struct loop_stalls stalls = loop_stalls(request->context->loop);
    buf_printf(out, "loop_stall_us:p50=%llu,p99=%llu,p99.9=%llu,max=%llu\r\n",
               (unsigned long long)stalls.p50_us, (unsigned long long)stalls.p99_us,
               (unsigned long long)stalls.p999_us, (unsigned long long)stalls.max_us);
}

/* A follower's view of its leader: master_* is what Redis calls it. */
static void info_leader_link(const struct command_context *context, const struct replication_status *status,
                             struct buf *out) {
    int64_t now_ms = loop_monotonic_ms(context->loop);
    bool is_connected = status->link_up && !status->full_in_progress && status->has_state;
    buf_printf(out,
               "master_host:%s\r\n"
               "master_port:%u\r\n"
               "master_link_status:%s\r\n"
               "master_last_io_seconds_ago:%lld\r\n"
               "master_sync_in_progress:%d\r\n"
               "slave_read_repl_offset:%llu\r\n"
               "slave_repl_offset:%llu\r\n",
               status->leader_host, status->leader_redis_port, is_connected ? "up" : "down",
               status->last_line_age_ms < 0 ? -1LL : (long long)status->last_line_age_ms / 1000,
               status->full_in_progress, (unsigned long long)status->index, (unsigned long long)status->index);
    if (!is_connected) {
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
    buf_printf(out, "follower%zu:id=%s,host=%s,port=%u,state=%s,acked=%llu,lag_lines=%llu,lag_ms=%lld", i,
               follower->node_id, follower->host, follower->port, follower->state,
               (unsigned long long)follower->acked_index, (unsigned long long)follower->lag_lines,
               (long long)follower->lag_ms);
    if (follower->sent.raw > 0) {
        buf_printf(out, ",lz4_raw_bytes=%llu,lz4_bytes=%llu", (unsigned long long)follower->sent.raw,
                   (unsigned long long)follower->sent.packed);
    }
    buf_append_text(out, "\r\n");
}

static bool is_leader(const struct replication_status *status) {
    return status->role == REPLICATION_LEADER || status->role == REPLICATION_STARTING;
}

static const char *const failover_states[] = {"no-failover", "waiting-for-sync", "failover-in-progress"};

/* Nothing where the leader is named by hand. */
static void voting_texts(const struct replication *replication, struct buf *out) {
    struct replication_voting voting;
    struct replication_voter voter;
    replication_voting(replication, &voting);
    if (!voting.active) {
        return;
    }
    buf_printf(out,
               "election_phase:%s\r\nelection_voted_for:%s\r\nelection_last_reason:%s\r\nacks:%s\r\n"
               "voters_wanted:%zu\r\nvoter:%s\r\n",
               voting.phase, voting.voted_for, voting.reason, voting.quorum ? "quorum" : "leader",
               voting.wanted,
               !voting.is_voter   ? "no"
               : voting.forgetful ? "forgetful"
                                  : "firm");
    for (size_t i = 0; replication_voter_at(replication, i, &voter); i++) {
        buf_printf(out, "voter%zu:id=%s,role=%s,reachable=%s,durable=%llu\r\n", i, voter.node_id,
                   voter.leads ? "leader" : "follower", voter.reachable ? "yes" : "no",
                   (unsigned long long)voter.durable_index);
    }
}

static void replication_texts(const struct request *request, struct buf *out) {
    const struct command_context *context = request->context;
    struct replication_status status;
    struct replication_follower follower;
    replication_status(context->replication, &status);
    buf_printf(out, "role:%s\r\n", is_leader(&status) ? "master" : "slave");
    if (!is_leader(&status)) {
        info_leader_link(context, &status, out);
    }
    for (size_t i = 0; replication_follower_at(context->replication, i, &follower); i++) {
        info_follower(&follower, i, out);
    }
    buf_printf(out,
               "master_failover_state:%s\r\n"
               "master_replid:%016llx%024llx\r\n" /* 40 digits, as Redis's */
               "master_replid2:0000000000000000000000000000000000000000\r\n"
               "kvnode_role:%s\r\n"
               "kvnode_conflict:%s\r\n"
               "history_id:%016llx\r\n"
               "term_leader:%s\r\n",
               failover_states[replication_hands_over(context->replication)],
               (unsigned long long)status.history_id, (unsigned long long)status.history_id,
               replication_role_name(status.role), status.conflict, (unsigned long long)status.history_id,
               status.term.node_id);
    voting_texts(context->replication, out);
}

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

static void info_keyspace(const struct request *request, struct buf *out) {
    const struct command_context *context = request->context;
    size_t keys = keyspace_count(context->keyspace);
    if (keys > 0) {
        buf_printf(out, "db0:keys=%zu,expires=%zu,avg_ttl=%lld\r\n", keys,
                   keyspace_deadline_count(context->keyspace),
                   (long long)keyspace_sample_deadlines(context->keyspace).mean_ttl_ms);
    }
}

/* A section: texts, the rows of metrics.def, more texts. */
static const struct info_section {
    const char *name, *title;
    bool in_default; /* shown when no section is asked for */
    enum metric_section metrics;
    void (*before)(const struct request *request, struct buf *out);
    void (*behind)(const struct request *request, struct buf *out);
} sections[] = {
    {"server", "Server", true, METRIC_IN_SERVER, server_texts, NULL},
    {"clients", "Clients", true, METRIC_IN_CLIENTS, NULL, NULL},
    {"memory", "Memory", true, METRIC_IN_MEMORY, NULL, memory_texts},
    {"persistence", "Persistence", true, METRIC_IN_PERSISTENCE, NULL, NULL},
    {"stats", "Stats", true, METRIC_IN_STATS, NULL, stall_text},
    {"replication", "Replication", true, METRIC_IN_REPLICATION, replication_texts, NULL},
    {"cpu", "CPU", true, METRIC_IN_CPU, NULL, NULL},
    {"modules", "Modules", true, METRIC_IN_NOWHERE, NULL, NULL},
    {"commandstats", "Commandstats", false, METRIC_IN_NOWHERE, info_commandstats, NULL},
    {"errorstats", "Errorstats", true, METRIC_IN_NOWHERE, info_errorstats, NULL},
    {"latencystats", "Latencystats", false, METRIC_IN_NOWHERE, info_latencystats, NULL},
    {"cluster", "Cluster", true, METRIC_IN_CLUSTER, NULL, NULL},
    {"keyspace", "Keyspace", true, METRIC_IN_NOWHERE, info_keyspace, NULL},
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

static void write_section(const struct request *request, const struct info_section *section,
                          const struct metrics *metrics, struct buf *out) {
    buf_printf(out, "%s# %s\r\n", buf_used(out) > 0 ? "\r\n" : "", section->title);
    if (section->before != NULL) {
        section->before(request, out);
    }
    if (section->metrics != METRIC_IN_NOWHERE) {
        metrics_write_info(metrics, section->metrics, out);
    }
    if (section->behind != NULL) {
        section->behind(request, out);
    }
}

void command_info(struct request *request) {
    struct buf text;
    struct metrics metrics;
    buf_init(&text, SIZE_MAX);
    metrics_read(request->context, &metrics);
    for (size_t i = 0; i < sizeof(sections) / sizeof(sections[0]); i++) {
        if (section_is_asked_for(request, &sections[i])) {
            write_section(request, &sections[i], &metrics, &text);
        }
    }
    reply_gathered(request, &text);
}
