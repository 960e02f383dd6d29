/* settings.h: what an operator may change while the node runs: one table of parameters, for CONFIG GET, SET and
 * REWRITE, and for the command line and the config file, which take every one of them by its name.
 *
 * struct settings is a plain value: a change of several parameters is made on a copy, which takes the place of
 * the one in force when all of it is right (server/commands/node/config.c does so, and makes it act).
 */
#ifndef KVNODE_SERVER_SETTINGS_H
#define KVNODE_SERVER_SETTINGS_H

#include "protocol/buf.h"
#include "server/log.h"

#include <stdint.h>

enum { SETTINGS_TEXT_BYTES = 1024, SETTINGS_PERCENTILES = 16 };

/* What notify-keyspace-events says, a letter each. */
enum notify_flag {
#define NOTIFY_FLAG(name, letter) NOTIFY_BIT_##name,
#include "server/notify_flags.def"
#undef NOTIFY_FLAG
};
#define NOTIFY_KEYSPACE (1U << NOTIFY_BIT_KEYSPACE)
#define NOTIFY_KEYEVENT (1U << NOTIFY_BIT_KEYEVENT)
#define NOTIFY_GENERIC  (1U << NOTIFY_BIT_GENERIC)
#define NOTIFY_STRING   (1U << NOTIFY_BIT_STRING)
#define NOTIFY_EXPIRED  (1U << NOTIFY_BIT_EXPIRED)
#define NOTIFY_EVICTED  (1U << NOTIFY_BIT_EVICTED)
#define NOTIFY_KEY_MISS (1U << NOTIFY_BIT_KEY_MISS)
#define NOTIFY_NEW      (1U << NOTIFY_BIT_NEW)

/* client-output-buffer-limit: over hard_bytes at once, over soft_bytes for so many seconds; 0: no limit. */
struct output_limit {
    int64_t hard_bytes, soft_bytes, soft_seconds;
};
enum client_class { CLIENT_CLASS_NORMAL, CLIENT_CLASS_REPLICA, CLIENT_CLASS_PUBSUB, CLIENT_CLASSES };

struct settings {
    int64_t maxmemory_bytes;  /* 0: no limit */
    int64_t maxmemory_policy; /* settings_policy_name */
    int64_t maxmemory_samples;
    int64_t
        maxmemory_clients_bytes; /* all clients' buffers together; -n: n percent of maxmemory; 0: no limit */
    int64_t maxclients;
    int64_t timeout_s;                     /* an idle RESP client is closed; 0: never */
    int64_t tcp_keepalive_s;               /* 0: off */
    char requirepass[SETTINGS_TEXT_BYTES]; /* "": no password */
    char api_hosts[SETTINGS_TEXT_BYTES];   /* names that HTTP clients call this node by: settings_next_item */
    char api_origins[SETTINGS_TEXT_BYTES]; /* web pages that may use the HTTP API: likewise */
    int64_t notify_flags;
    int64_t slowlog_slower_than_us; /* -1: off */
    int64_t slowlog_max_len;
    int64_t latency_monitor_threshold_ms; /* 0: off */
    bool latency_tracking;
    double percentiles[SETTINGS_PERCENTILES]; /* that INFO latencystats shows */
    int64_t percentile_count;
    struct output_limit output_limits[CLIENT_CLASSES];
    int64_t client_query_buffer_limit_bytes;
    int64_t proto_max_bulk_bytes;
    int64_t tracking_table_max_keys;
    int64_t lfu_log_factor, lfu_decay_time_min;
    int64_t hll_sparse_max_bytes;
    int64_t log_level; /* enum log_level */
    int64_t acllog_max_len;
    /* Accepted for compatibility only, and without any effect: work is done in slices that adapt by themselves,
     * and memory is always given back in the background. */
    bool lazy_eviction, lazy_expire, lazy_server_del, lazy_user_del, lazy_user_flush, lazy_replica_flush;
    bool dynamic_hz;
    int64_t hz;
    int64_t active_expire_effort, busy_reply_threshold_ms, maxmemory_eviction_tenacity;
};

/* What changes with a parameter, besides the value: config.c does it. */
enum setting_effect {
    SETTING_NO_EFFECT,
    SETTING_MEMORY,
    SETTING_CLIENTS,
    SETTING_LOG,
    SETTING_SLOWLOG,
    SETTING_LATENCY,
    SETTING_PASSWORD,
    SETTING_IDLE,
    SETTING_TRACKING,
    SETTING_NOTIFY,
    SETTING_EFFECTS
};

struct setting; /* a row */

void settings_init(struct settings *settings); /* the defaults */

const struct setting *settings_find(struct slice name); /* in any case; NULL: there is none */
size_t settings_count(void);
const struct setting *settings_at(size_t i); /* in the order of their names */
const char *setting_name(const struct setting *setting);
const char *setting_flag_name(const struct setting *setting); /* as the config file has it */
bool setting_is_immutable(const struct setting *setting);
enum setting_effect setting_effect(const struct setting *setting);
/* The same value in both? Of a parameter that can't be changed: yes. Without memory to compare them: no. */
bool setting_equal(const struct setting *setting, const struct settings *a, const struct settings *b);

/* Sets it from text; false: nothing is changed, and reason (n bytes) says why, as Redis words it. */
bool setting_parse(const struct setting *setting, struct slice text, struct settings *settings, char *reason,
                   size_t n);
/* Appends its value. */
void setting_write(const struct setting *setting, const struct settings *settings, struct buf *out);

/* 64, 64k, 64kb, 1gb: k, m and g are 1000, kb, mb and gb are 1024 of the one before, as Redis has it. */
bool settings_parse_memory(struct slice text, int64_t *out);

/* Takes the next item of a list parameter off *rest; empty: there is none left. */
struct slice settings_next_item(struct slice *rest);

/* Six digits behind the point at most, and no zeros at the end, as Redis has it. */
void settings_write_percentile(double percentile, struct buf *out);

const char *settings_policy_name(int64_t policy);
bool settings_policy_parse(struct slice name, int64_t *out);

#endif
