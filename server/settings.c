#include "server/settings.h"

#include "protocol/http_origin.h"
#include "protocol/num.h"

#include <ctype.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum kind {
    KIND_NUMBER,
    KIND_CLAMPED, /* a number that is brought between min and max, as Redis does with hz */
    KIND_MEMORY,  /* bytes, with a unit */
    KIND_PERCENT, /* bytes, or a part of maxmemory, which is kept negative */
    KIND_BOOL,
    KIND_ENUM, /* one of names */
    KIND_TEXT,
    KIND_HOSTS,   /* names of hosts: items with commas or blanks between them */
    KIND_ORIGINS, /* origins of web pages, likewise */
    KIND_NOTIFY,
    KIND_PERCENTILES,
    KIND_OUTPUT_LIMITS,
    KIND_CONSTANT, /* the text it has is the only one it takes */
};

struct setting {
    const char *name, *flag;
    enum kind kind;
    enum setting_effect effect;
    size_t offset; /* in struct settings */
    int64_t min, max;
    const char *initial;
    const char *const *names; /* of a KIND_ENUM, ended by NULL */
};

static const char *const policies[] = {
    "volatile-lru", "volatile-lfu",   "volatile-random", "volatile-ttl", "allkeys-lru",
    "allkeys-lfu",  "allkeys-random", "noeviction",      NULL,
};

/* Redis's words: kvnode's info is both verbose and notice. */
static const char *const log_levels[] = {"debug", "verbose", "notice", "warning", "nothing", NULL};

#define AT(field) offsetof(struct settings, field)
#define NUMBER(name, field, min, max, initial, effect)                                                         \
    { name, NULL, KIND_NUMBER, effect, AT(field), min, max, initial, NULL }
#define MEMORY(name, field, min, initial, effect)                                                              \
    { name, NULL, KIND_MEMORY, effect, AT(field), min, INT64_MAX, initial, NULL }
#define SWITCH(name, field, initial)                                                                           \
    { name, NULL, KIND_BOOL, SETTING_NO_EFFECT, AT(field), 0, 1, initial, NULL }
#define CONSTANT(name, text)                                                                                   \
    { name, NULL, KIND_CONSTANT, SETTING_NO_EFFECT, 0, 0, 0, text, NULL }

static const struct setting table[] = {
    NUMBER("acllog-max-len", acllog_max_len, 0, INT64_MAX, "128", SETTING_NO_EFFECT),
    NUMBER("active-expire-effort", active_expire_effort, 1, 10, "1", SETTING_NO_EFFECT),
    CONSTANT("activedefrag", "no"),
    {"api-hosts", NULL, KIND_HOSTS, SETTING_NO_EFFECT, AT(api_hosts), 0, SETTINGS_TEXT_BYTES - 1, "", NULL},
    {"api-origins", NULL, KIND_ORIGINS, SETTING_NO_EFFECT, AT(api_origins), 0, SETTINGS_TEXT_BYTES - 1, "",
     NULL},
    CONSTANT("appendfsync", "everysec"),
    CONSTANT("appendonly", "no"),
    NUMBER("busy-reply-threshold", busy_reply_threshold_ms, 0, INT64_MAX, "5000", SETTING_NO_EFFECT),
    {"client-output-buffer-limit", NULL, KIND_OUTPUT_LIMITS, SETTING_NO_EFFECT, AT(output_limits), 0, 0,
     "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60", NULL},
    MEMORY("client-query-buffer-limit", client_query_buffer_limit_bytes, 1 << 20, "1gb", SETTING_NO_EFFECT),
    CONSTANT("cluster-allow-reads-when-down", "yes"),
    CONSTANT("cluster-enabled", "yes"),
    CONSTANT("cluster-node-timeout", "30000"),
    CONSTANT("cluster-require-full-coverage", "no"),
    CONSTANT("daemonize", "no"),
    CONSTANT("databases", "1"),
    SWITCH("dynamic-hz", dynamic_hz, "yes"),
    MEMORY("hll-sparse-max-bytes", hll_sparse_max_bytes, 0, "3000", SETTING_NO_EFFECT),
    {"hz", NULL, KIND_CLAMPED, SETTING_NO_EFFECT, AT(hz), 1, 500, "10", NULL},
    CONSTANT("io-threads", "1"),
    NUMBER("latency-monitor-threshold", latency_monitor_threshold_ms, 0, INT64_MAX, "0", SETTING_LATENCY),
    {"latency-tracking", NULL, KIND_BOOL, SETTING_LATENCY, AT(latency_tracking), 0, 1, "yes", NULL},
    {"latency-tracking-info-percentiles", NULL, KIND_PERCENTILES, SETTING_NO_EFFECT, AT(percentiles), 0, 0,
     "50 99 99.9", NULL},
    SWITCH("lazyfree-lazy-eviction", lazy_eviction, "no"),
    SWITCH("lazyfree-lazy-expire", lazy_expire, "no"),
    SWITCH("lazyfree-lazy-server-del", lazy_server_del, "no"),
    SWITCH("lazyfree-lazy-user-del", lazy_user_del, "no"),
    SWITCH("lazyfree-lazy-user-flush", lazy_user_flush, "no"),
    NUMBER("lfu-decay-time", lfu_decay_time_min, 0, INT32_MAX, "1", SETTING_MEMORY),
    NUMBER("lfu-log-factor", lfu_log_factor, 0, INT32_MAX, "10", SETTING_MEMORY),
    {"loglevel", "log-level", KIND_ENUM, SETTING_LOG, AT(log_level), 0, 0, "notice", log_levels},
    {"maxclients", "max-clients", KIND_NUMBER, SETTING_CLIENTS, AT(maxclients), 1, UINT32_MAX, "10000", NULL},
    MEMORY("maxmemory", maxmemory_bytes, 0, "0", SETTING_MEMORY),
    {"maxmemory-clients", NULL, KIND_PERCENT, SETTING_NO_EFFECT, AT(maxmemory_clients_bytes), 0, INT64_MAX, "0",
     NULL},
    NUMBER("maxmemory-eviction-tenacity", maxmemory_eviction_tenacity, 0, 100, "10", SETTING_MEMORY),
    {"maxmemory-policy", NULL, KIND_ENUM, SETTING_MEMORY, AT(maxmemory_policy), 0, 0, "noeviction", policies},
    NUMBER("maxmemory-samples", maxmemory_samples, 1, 64, "5", SETTING_MEMORY),
    CONSTANT("min-replicas-to-write", "0"),
    {"notify-keyspace-events", NULL, KIND_NOTIFY, SETTING_NOTIFY, AT(notify_flags), 0, 0, "", NULL},
    MEMORY("proto-max-bulk-len", proto_max_bulk_bytes, 1 << 20, "512mb", SETTING_NO_EFFECT),
    SWITCH("replica-lazy-flush", lazy_replica_flush, "no"),
    CONSTANT("replica-read-only", "yes"),
    {"requirepass", NULL, KIND_TEXT, SETTING_PASSWORD, AT(requirepass), 0, SETTINGS_TEXT_BYTES - 1, "", NULL},
    CONSTANT("save", ""),
    NUMBER("slowlog-log-slower-than", slowlog_slower_than_us, -1, INT64_MAX, "10000", SETTING_SLOWLOG),
    NUMBER("slowlog-max-len", slowlog_max_len, 0, INT64_MAX, "128", SETTING_SLOWLOG),
    NUMBER("tcp-keepalive", tcp_keepalive_s, 0, INT32_MAX, "300", SETTING_NO_EFFECT),
    NUMBER("timeout", timeout_s, 0, INT32_MAX, "0", SETTING_IDLE),
    CONSTANT("tls-port", "0"),
    NUMBER("tracking-table-max-keys", tracking_table_max_keys, 0, INT64_MAX, "1000000", SETTING_TRACKING),
};

enum { SETTING_COUNT = sizeof(table) / sizeof(table[0]) };

static const char *const class_names[CLIENT_CLASSES] = {"normal", "slave", "pubsub"};

static bool fail(char *reason, size_t n, const char *format, ...) __attribute__((format(printf, 3, 4)));

static bool fail(char *reason, size_t n, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(reason, n, format, arguments);
    va_end(arguments);
    return false;
}

static void *field_of(const struct setting *setting, struct settings *settings) {
    return (char *)settings + setting->offset;
}

static const void *value_of(const struct setting *setting, const struct settings *settings) {
    return (const char *)settings + setting->offset;
}

/* --- Words of a text */

/* The next run of non-blanks, cut off *rest; empty: there is none. */
static struct slice next_word(struct slice *rest) {
    while (rest->len > 0 && rest->ptr[0] == ' ') {
        *rest = slice_skip(*rest, 1);
    }
    size_t n = 0;
    while (n < rest->len && rest->ptr[n] != ' ') {
        n++;
    }
    struct slice word = slice_first(*rest, n);
    *rest = slice_skip(*rest, n);
    return word;
}

static bool is_between_items(char c) { return c == ',' || c == ' '; }

struct slice settings_next_item(struct slice *rest) {
    while (rest->len > 0 && is_between_items(rest->ptr[0])) {
        *rest = slice_skip(*rest, 1);
    }
    size_t n = 0;
    while (n < rest->len && !is_between_items(rest->ptr[n])) {
        n++;
    }
    struct slice item = slice_first(*rest, n);
    *rest = slice_skip(*rest, n);
    return item;
}

bool settings_parse_memory(struct slice text, int64_t *out) {
    static const struct {
        struct slice unit;
        int64_t factor;
    } units[] = {
        {{"", 0}, 1},        {{"b", 1}, 1},        {{"k", 1}, 1000},       {{"kb", 2}, 1 << 10},
        {{"m", 1}, 1000000}, {{"mb", 2}, 1 << 20}, {{"g", 1}, 1000000000}, {{"gb", 2}, 1 << 30},
    };
    size_t digits = 0;
    while (digits < text.len && text.ptr[digits] >= '0' && text.ptr[digits] <= '9') {
        digits++;
    }
    int64_t number;
    if (!num_parse_i64(slice_first(text, digits), &number)) {
        return false;
    }
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (slice_equals_nocase(slice_skip(text, digits), units[i].unit)) {
            return !__builtin_mul_overflow(number, units[i].factor, out);
        }
    }
    return false;
}

/* --- Parsing, a function a kind: each leaves the field alone unless all is right */

typedef bool parse_kind(const struct setting *setting, struct slice text, void *to, char *reason, size_t n);

static bool set_in_range(const struct setting *setting, int64_t number, void *to, char *reason, size_t n) {
    if (number < setting->min || number > setting->max) {
        return fail(reason, n, "argument must be between %lld and %lld inclusive", (long long)setting->min,
                    (long long)setting->max);
    }
    *(int64_t *)to = number;
    return true;
}

static bool parse_number(const struct setting *setting, struct slice text, void *to, char *reason, size_t n) {
    int64_t number;
    if (!num_parse_i64(text, &number)) {
        return fail(reason, n, "argument couldn't be parsed into an integer");
    }
    return set_in_range(setting, number, to, reason, n);
}

static bool parse_clamped(const struct setting *setting, struct slice text, void *to, char *reason, size_t n) {
    const struct setting wide = {.min = 0, .max = INT32_MAX};
    int64_t number = 0;
    if (!parse_number(&wide, text, &number, reason, n)) {
        return false;
    }
    number = number < setting->min ? setting->min : number;
    *(int64_t *)to = number > setting->max ? setting->max : number;
    return true;
}

static bool parse_memory(const struct setting *setting, struct slice text, void *to, char *reason, size_t n) {
    int64_t bytes;
    if (!settings_parse_memory(text, &bytes)) {
        return fail(reason, n, "argument must be a memory value");
    }
    return set_in_range(setting, bytes, to, reason, n);
}

static bool parse_percent(const struct setting *setting, struct slice text, void *to, char *reason, size_t n) {
    int64_t percent;
    if (text.len == 0 || text.ptr[text.len - 1] != '%') {
        int64_t bytes;
        if (!settings_parse_memory(text, &bytes)) {
            return fail(reason, n, "argument must be a memory or percent value");
        }
        return set_in_range(setting, bytes, to, reason, n);
    }
    if (!num_parse_i64(slice_first(text, text.len - 1), &percent) || percent < 0) {
        return fail(reason, n, "argument must be a memory or percent value");
    }
    if (percent > 100) {
        return fail(reason, n, "percentage argument must be less or equal to 100");
    }
    *(int64_t *)to = -percent;
    return true;
}

static bool parse_bool(const struct setting *setting, struct slice text, void *to, char *reason, size_t n) {
    (void)setting;
    bool yes = slice_equals_nocase(text, SLICE("yes"));
    if (!yes && !slice_equals_nocase(text, SLICE("no"))) {
        return fail(reason, n, "argument must be 'yes' or 'no'");
    }
    *(bool *)to = yes;
    return true;
}

static bool find_name(const char *const *names, struct slice text, int64_t *out) {
    for (size_t i = 0; names[i] != NULL; i++) {
        if (slice_equals_nocase(text, slice_from_text(names[i]))) {
            *out = (int64_t)i;
            return true;
        }
    }
    return false;
}

static bool parse_enum(const struct setting *setting, struct slice text, void *to, char *reason, size_t n) {
    if (find_name(setting->names, text, to)) {
        return true;
    }
    int used = snprintf(reason, n, "argument(s) must be one of the following: ");
    for (size_t i = 0; setting->names[i] != NULL && used >= 0 && (size_t)used < n; i++) {
        used += snprintf(reason + used, n - (size_t)used, "%s%s", i == 0 ? "" : ", ", setting->names[i]);
    }
    return false;
}

static bool parse_text(const struct setting *setting, struct slice text, void *to, char *reason, size_t n) {
    if (text.len > (size_t)setting->max) {
        return fail(reason, n, "argument must not be longer than %lld bytes", (long long)setting->max);
    }
    if (memchr(text.ptr, '\0', text.len) != NULL) {
        return fail(reason, n, "argument must not hold a NUL");
    }
    memset(to, 0, (size_t)setting->max + 1);
    memcpy(to, text.ptr, text.len);
    return true;
}

static bool parse_hosts(const struct setting *setting, struct slice text, void *to, char *reason, size_t n) {
    struct slice rest = text;
    for (struct slice item = settings_next_item(&rest); item.len > 0; item = settings_next_item(&rest)) {
        struct http_authority host;
        if (!http_authority_parse(item, &host) || host.is_literal || host.host.len < item.len) {
            return fail(reason, n, "argument must be names of hosts, without ports, with commas between them");
        }
    }
    return parse_text(setting, text, to, reason, n);
}

static bool parse_origins(const struct setting *setting, struct slice text, void *to, char *reason, size_t n) {
    struct slice rest = text;
    for (struct slice item = settings_next_item(&rest); item.len > 0; item = settings_next_item(&rest)) {
        struct http_origin origin;
        if (!http_origin_parse(item, &origin) || slice_equals(origin.authority.host, SLICE("*"))) {
            return fail(reason, n, "argument must be origins (https://app.example), with commas between them");
        }
    }
    return parse_text(setting, text, to, reason, n);
}

static const char notify_letters[] = {
#define NOTIFY_FLAG(name, letter) letter,
#include "server/notify_flags.def"
#undef NOTIFY_FLAG
};
enum { NOTIFY_COUNT = sizeof(notify_letters) };

/* What A stands for: the classes of events that are made by commands on keys that are there. */
#define NOTIFY_ALL ((1 << NOTIFY_BIT_KEYSPACE) - 1)

static bool parse_notify(const struct setting *setting, struct slice text, void *to, char *reason, size_t n) {
    (void)setting;
    int64_t flags = 0;
    for (size_t i = 0; i < text.len; i++) {
        const char *letter = memchr(notify_letters, text.ptr[i], NOTIFY_COUNT);
        if (text.ptr[i] == 'A') {
            flags |= NOTIFY_ALL;
        } else if (letter != NULL) {
            flags |= INT64_C(1) << (letter - notify_letters);
        } else {
            return fail(reason, n, "Invalid event class character. Use 'Ag$lshzxeKEtmdn'.");
        }
    }
    *(int64_t *)to = flags;
    return true;
}

static bool parse_percentile(struct slice word, double *out) {
    char text[64], *end;
    if (word.len >= sizeof(text)) {
        return false;
    }
    memcpy(text, word.ptr, word.len);
    text[word.len] = '\0';
    *out = strtod(text, &end);
    return *end == '\0' && !isnan(*out);
}

static bool parse_percentiles(const struct setting *setting, struct slice text, void *to, char *reason,
                              size_t n) {
    double percentiles[SETTINGS_PERCENTILES] = {0};
    int64_t count = 0;
    for (struct slice word = next_word(&text); word.len > 0; word = next_word(&text)) {
        if (count == SETTINGS_PERCENTILES || !parse_percentile(word, &percentiles[count])) {
            return fail(reason, n, "Invalid %s parameters", setting->name);
        }
        if (percentiles[count] < 0 || percentiles[count] > 100) {
            return fail(reason, n, "%s parameters should sit between [0.0,100.0]", setting->name);
        }
        count++;
    }
    memcpy(to, percentiles, sizeof(percentiles));
    struct settings *settings = (void *)((char *)to - AT(percentiles));
    settings->percentile_count = count;
    return true;
}

static bool find_class(struct slice word, size_t *out) {
    if (slice_equals_nocase(word, SLICE("replica"))) {
        *out = CLIENT_CLASS_REPLICA;
        return true;
    }
    for (size_t i = 0; i < CLIENT_CLASSES; i++) {
        if (slice_equals_nocase(word, slice_from_text(class_names[i]))) {
            *out = i;
            return true;
        }
    }
    return false;
}

/* "class hard soft seconds", as often as wanted; classes that are not named keep what they have. */
static bool parse_output_limits(const struct setting *setting, struct slice text, void *to, char *reason,
                                size_t n) {
    (void)setting;
    struct output_limit limits[CLIENT_CLASSES];
    memcpy(limits, to, sizeof(limits));
    while (text.len > 0) {
        struct slice words[4];
        size_t which;
        struct output_limit limit;
        for (size_t i = 0; i < 4; i++) {
            words[i] = next_word(&text);
        }
        if (words[3].len == 0) {
            return fail(reason, n, "Wrong number of arguments in buffer limit configuration.");
        }
        if (!find_class(words[0], &which)) {
            return fail(reason, n, "Invalid client class specified in buffer limit configuration.");
        }
        if (!settings_parse_memory(words[1], &limit.hard_bytes) ||
            !settings_parse_memory(words[2], &limit.soft_bytes) ||
            !num_parse_i64(words[3], &limit.soft_seconds) || limit.soft_seconds < 0) {
            return fail(reason, n,
                        "Error in hard, soft or soft_seconds setting in buffer limit configuration.");
        }
        limits[which] = limit;
        while (text.len > 0 && text.ptr[0] == ' ') {
            text = slice_skip(text, 1);
        }
    }
    memcpy(to, limits, sizeof(limits));
    return true;
}

static bool parse_constant(const struct setting *setting, struct slice text, void *to, char *reason, size_t n) {
    (void)to;
    return slice_equals_nocase(text, slice_from_text(setting->initial)) ||
           fail(reason, n, "can't set immutable config");
}

static parse_kind *const parsers[] = {
    [KIND_NUMBER] = parse_number,
    [KIND_CLAMPED] = parse_clamped,
    [KIND_MEMORY] = parse_memory,
    [KIND_PERCENT] = parse_percent,
    [KIND_BOOL] = parse_bool,
    [KIND_ENUM] = parse_enum,
    [KIND_TEXT] = parse_text,
    [KIND_HOSTS] = parse_hosts,
    [KIND_ORIGINS] = parse_origins,
    [KIND_NOTIFY] = parse_notify,
    [KIND_PERCENTILES] = parse_percentiles,
    [KIND_OUTPUT_LIMITS] = parse_output_limits,
    [KIND_CONSTANT] = parse_constant,
};

bool setting_parse(const struct setting *setting, struct slice text, struct settings *settings, char *reason,
                   size_t n) {
    return parsers[setting->kind](setting, text, field_of(setting, settings), reason, n);
}

/* --- Writing */

static void write_notify(uint64_t flags, struct buf *out) {
    bool all = (flags & NOTIFY_ALL) == NOTIFY_ALL;
    if (all) {
        buf_append_byte(out, 'A');
    }
    for (size_t i = all ? NOTIFY_BIT_KEYSPACE : 0; i < NOTIFY_COUNT; i++) {
        if ((flags >> i & 1) != 0) {
            buf_append_byte(out, notify_letters[i]);
        }
    }
}

void settings_write_percentile(double percentile, struct buf *out) {
    char text[32];
    size_t n = (size_t)snprintf(text, sizeof(text), "%f", percentile);
    while (text[n - 1] == '0') {
        n--;
    }
    n -= text[n - 1] == '.';
    buf_append(out, text, n);
}

static void write_percentiles(const struct settings *settings, struct buf *out) {
    for (int64_t i = 0; i < settings->percentile_count; i++) {
        buf_append_text(out, i == 0 ? "" : " ");
        settings_write_percentile(settings->percentiles[i], out);
    }
}

static void write_output_limits(const struct output_limit *limits, struct buf *out) {
    for (size_t i = 0; i < CLIENT_CLASSES; i++) {
        buf_printf(out, "%s%s %lld %lld %lld", i == 0 ? "" : " ", class_names[i],
                   (long long)limits[i].hard_bytes, (long long)limits[i].soft_bytes,
                   (long long)limits[i].soft_seconds);
    }
}

void setting_write(const struct setting *setting, const struct settings *settings, struct buf *out) {
    const void *value = value_of(setting, settings);
    switch (setting->kind) {
    case KIND_NUMBER:
    case KIND_CLAMPED:
    case KIND_MEMORY:
        buf_append_i64(out, *(const int64_t *)value);
        break;
    case KIND_PERCENT: {
        int64_t number = *(const int64_t *)value;
        if (number < 0) {
            buf_printf(out, "%lld%%", (long long)-number);
        } else {
            buf_append_i64(out, number);
        }
        break;
    }
    case KIND_BOOL:
        buf_append_text(out, *(const bool *)value ? "yes" : "no");
        break;
    case KIND_ENUM:
        buf_append_text(out, setting->names[*(const int64_t *)value]);
        break;
    case KIND_TEXT:
    case KIND_HOSTS:
    case KIND_ORIGINS:
        buf_append_text(out, value);
        break;
    case KIND_NOTIFY:
        write_notify(*(const uint64_t *)value, out);
        break;
    case KIND_PERCENTILES:
        write_percentiles(settings, out);
        break;
    case KIND_OUTPUT_LIMITS:
        write_output_limits(value, out);
        break;
    case KIND_CONSTANT:
        buf_append_text(out, setting->initial);
        break;
    }
}

/* --- The table */

void settings_init(struct settings *settings) {
    memset(settings, 0, sizeof(*settings));
    for (size_t i = 0; i < SETTING_COUNT; i++) {
        char reason[128];
        setting_parse(&table[i], slice_from_text(table[i].initial), settings, reason, sizeof(reason));
    }
}

const struct setting *settings_find(struct slice name) {
    for (size_t i = 0; i < SETTING_COUNT; i++) {
        if (slice_equals_nocase(name, slice_from_text(table[i].name))) {
            return &table[i];
        }
    }
    return NULL;
}

size_t settings_count(void) { return SETTING_COUNT; }

const struct setting *settings_at(size_t i) { return &table[i]; }

const char *setting_name(const struct setting *setting) { return setting->name; }

const char *setting_flag_name(const struct setting *setting) {
    return setting->flag != NULL ? setting->flag : setting->name;
}

bool setting_is_immutable(const struct setting *setting) { return setting->kind == KIND_CONSTANT; }

enum setting_effect setting_effect(const struct setting *setting) { return setting->effect; }

bool setting_equal(const struct setting *setting, const struct settings *a, const struct settings *b) {
    struct buf texts[2];
    buf_init(&texts[0], SIZE_MAX);
    buf_init(&texts[1], SIZE_MAX);
    setting_write(setting, a, &texts[0]);
    setting_write(setting, b, &texts[1]);
    bool equal = !buf_failed(&texts[0]) && !buf_failed(&texts[1]) &&
                 slice_equals(buf_slice(&texts[0]), buf_slice(&texts[1]));
    buf_deinit(&texts[0]);
    buf_deinit(&texts[1]);
    return equal;
}

const char *settings_policy_name(int64_t policy) { return policies[policy]; }

bool settings_policy_parse(struct slice name, int64_t *out) { return find_name(policies, name, out); }
