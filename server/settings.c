#include "server/settings.h"

#include "protocol/http_origin.h"
#include "protocol/num.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static const char *const policies[] = {
#define EVICTION_POLICY(name, text, volatile_only, by) (text),
#include "server/store/eviction_policies.def"
#undef EVICTION_POLICY
    NULL,
};

/* Redis's words, then kvnode's own, and what each means. */
static const char *const log_levels[] = {"debug", "verbose", "notice", "warning", "nothing",
                                         "info",  "warn",    "error",  NULL};
static const enum log_level level_of_word[] = {LOG_DEBUG, LOG_INFO, LOG_INFO, LOG_WARN,
                                               LOG_ERROR, LOG_INFO, LOG_WARN, LOG_ERROR};

/* In the order of enum journal_fsync. */
static const char *const fsyncs[] = {"no", "everysec", "always", NULL};

static const char *const compressions[] = {"off", "lz4", NULL};

static const struct setting table[] = {
#define SETTING(row_kind, field, row_name, row_flag, row_unit, least, most, text, row_effect, row_help)        \
    {.name = row_name,                                                                                         \
     .flag = row_flag,                                                                                         \
     .kind = SETTING_KIND_##row_kind,                                                                          \
     .unit = row_unit,                                                                                         \
     .offset = offsetof(struct settings, field),                                                               \
     .min = least,                                                                                             \
     .max = most,                                                                                              \
     .initial = text,                                                                                          \
     .effect = SETTING_##row_effect,                                                                           \
     .help = row_help},
#define WORD(field, row_words, row_name, row_flag, row_unit, text, row_effect, row_help)                       \
    {.name = row_name,                                                                                         \
     .flag = row_flag,                                                                                         \
     .kind = SETTING_KIND_WORD,                                                                                \
     .unit = row_unit,                                                                                         \
     .offset = offsetof(struct settings, field),                                                               \
     .initial = text,                                                                                          \
     .words = row_words,                                                                                       \
     .effect = SETTING_##row_effect,                                                                           \
     .help = row_help},
#define CONSTANT(row_name, text)                                                                               \
    {.name = row_name, .kind = SETTING_KIND_CONSTANT, .unit = "", .initial = text, .help = ""},
#include "server/settings.def"
#undef SETTING
#undef WORD
#undef CONSTANT
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

static bool parse_u16(const struct setting *setting, struct slice text, void *to, char *reason, size_t n) {
    int64_t number = 0;
    if (!parse_number(setting, text, &number, reason, n)) {
        return false;
    }
    *(uint16_t *)to = (uint16_t)number;
    return true;
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

static bool parse_size(const struct setting *setting, struct slice text, void *to, char *reason, size_t n) {
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

static bool parse_switch(const struct setting *setting, struct slice text, void *to, char *reason, size_t n) {
    (void)setting;
    bool yes = slice_equals_nocase(text, SLICE("yes"));
    if (!yes && !slice_equals_nocase(text, SLICE("no"))) {
        return fail(reason, n, "argument must be 'yes' or 'no'");
    }
    *(bool *)to = yes;
    return true;
}

/* "true" and "false" are the command line's. */
static bool parse_flag(const struct setting *setting, struct slice text, void *to, char *reason, size_t n) {
    bool is_true = slice_equals_nocase(text, SLICE("true"));
    if (is_true || slice_equals_nocase(text, SLICE("false"))) {
        *(bool *)to = is_true;
        return true;
    }
    return parse_switch(setting, text, to, reason, n);
}

static bool find_word(const char *const *words, struct slice text, int64_t *out) {
    for (size_t i = 0; words[i] != NULL; i++) {
        if (slice_equals_nocase(text, slice_from_text(words[i]))) {
            *out = (int64_t)i;
            return true;
        }
    }
    return false;
}

static bool parse_word(const struct setting *setting, struct slice text, void *to, char *reason, size_t n) {
    if (find_word(setting->words, text, to)) {
        return true;
    }
    int used = snprintf(reason, n, "argument(s) must be one of the following: ");
    for (size_t i = 0; setting->words[i] != NULL && used >= 0 && (size_t)used < n; i++) {
        used += snprintf(reason + used, n - (size_t)used, "%s%s", i == 0 ? "" : ", ", setting->words[i]);
    }
    return false;
}

static bool check_length(const struct setting *setting, struct slice text, char *reason, size_t n) {
    return (text.len >= (size_t)setting->min && text.len <= (size_t)setting->max) ||
           fail(reason, n, "argument must be %lld to %lld bytes", (long long)setting->min,
                (long long)setting->max);
}

static bool parse_text(const struct setting *setting, struct slice text, void *to, char *reason, size_t n) {
    if (!check_length(setting, text, reason, n)) {
        return false;
    }
    if (memchr(text.ptr, '\0', text.len) != NULL) {
        return fail(reason, n, "argument must not hold a NUL");
    }
    memcpy(to, text.ptr, text.len);
    ((char *)to)[text.len] = '\0';
    return true;
}

static bool parse_id(const struct setting *setting, struct slice text, void *to, char *reason, size_t n) {
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";
    for (size_t i = 0; i < text.len; i++) {
        if (memchr(allowed, text.ptr[i], sizeof(allowed) - 1) == NULL) {
            return fail(reason, n, "argument must have only A-Z a-z 0-9 _ -");
        }
    }
    return parse_text(setting, text, to, reason, n);
}

static bool parse_bytes(const struct setting *setting, struct slice text, void *to, char *reason, size_t n) {
    struct setting_bytes *out = to;
    if (!check_length(setting, text, reason, n)) {
        return false;
    }
    memset(out, 0, sizeof(*out)); /* nothing is left of the one before */
    memcpy(out->bytes, text.ptr, text.len);
    out->length = text.len;
    return true;
}

static bool parse_hosts(const struct setting *setting, struct slice text, void *to, char *reason, size_t n) {
    struct slice rest = text;
    for (struct slice item = slice_next_item(&rest); item.len > 0; item = slice_next_item(&rest)) {
        struct http_authority host;
        if (!http_authority_parse(item, &host) || host.is_literal || host.host.len < item.len ||
            slice_equals(item, SLICE("*"))) { /* who means all hosts is told that there is no such thing */
            return fail(reason, n, "argument must be names of hosts, without ports, with commas between them");
        }
    }
    return parse_text(setting, text, to, reason, n);
}

static bool parse_origins(const struct setting *setting, struct slice text, void *to, char *reason, size_t n) {
    struct slice rest = text;
    for (struct slice item = slice_next_item(&rest); item.len > 0; item = slice_next_item(&rest)) {
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
    struct percentiles percentiles = {.count = 0};
    for (struct slice word = next_word(&text); word.len > 0; word = next_word(&text)) {
        double *percentile = &percentiles.values[percentiles.count];
        if (percentiles.count == SETTINGS_PERCENTILES || !parse_percentile(word, percentile)) {
            return fail(reason, n, "Invalid %s parameters", setting->name);
        }
        if (*percentile < 0 || *percentile > 100) {
            return fail(reason, n, "%s parameters should sit between [0.0,100.0]", setting->name);
        }
        percentiles.count++;
    }
    memcpy(to, &percentiles, sizeof(percentiles));
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

static parse_kind *const parsers[SETTING_KINDS] = {
    [SETTING_KIND_U16] = parse_u16,
    [SETTING_KIND_NUMBER] = parse_number,
    [SETTING_KIND_CLAMPED] = parse_clamped,
    [SETTING_KIND_SIZE] = parse_size,
    [SETTING_KIND_PERCENT] = parse_percent,
    [SETTING_KIND_SWITCH] = parse_switch,
    [SETTING_KIND_FLAG] = parse_flag,
    [SETTING_KIND_WORD] = parse_word,
    [SETTING_KIND_TEXT] = parse_text,
    [SETTING_KIND_ID] = parse_id,
    [SETTING_KIND_HOSTS] = parse_hosts,
    [SETTING_KIND_ORIGINS] = parse_origins,
    [SETTING_KIND_BYTES] = parse_bytes,
    [SETTING_KIND_NOTIFY] = parse_notify,
    [SETTING_KIND_PERCENTILES] = parse_percentiles,
    [SETTING_KIND_OUTPUT_LIMITS] = parse_output_limits,
    [SETTING_KIND_CONSTANT] = parse_constant,
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

static void write_percentiles(const struct percentiles *percentiles, struct buf *out) {
    for (size_t i = 0; i < percentiles->count; i++) {
        buf_append_text(out, i == 0 ? "" : " ");
        settings_write_percentile(percentiles->values[i], out);
    }
}

static void write_output_limits(const struct output_limit *limits, struct buf *out) {
    for (size_t i = 0; i < CLIENT_CLASSES; i++) {
        buf_printf(out, "%s%s %lld %lld %lld", i == 0 ? "" : " ", class_names[i],
                   (long long)limits[i].hard_bytes, (long long)limits[i].soft_bytes,
                   (long long)limits[i].soft_seconds);
    }
}

static void write_percent(int64_t number, struct buf *out) {
    buf_append_i64(out, number < 0 ? -number : number);
    buf_append_text(out, number < 0 ? "%" : "");
}

static void write_bytes(const struct setting_bytes *value, struct buf *out) {
    buf_append(out, value->bytes, value->length);
}

void setting_write(const struct setting *setting, const struct settings *settings, struct buf *out) {
    const void *value = value_of(setting, settings);
    switch (setting->kind) {
    case SETTING_KIND_U16:
        buf_append_u64(out, *(const uint16_t *)value);
        break;
    case SETTING_KIND_NUMBER:
    case SETTING_KIND_CLAMPED:
    case SETTING_KIND_SIZE:
        buf_append_i64(out, *(const int64_t *)value);
        break;
    case SETTING_KIND_PERCENT:
        write_percent(*(const int64_t *)value, out);
        break;
    case SETTING_KIND_SWITCH:
    case SETTING_KIND_FLAG:
        buf_append_text(out, *(const bool *)value ? "yes" : "no");
        break;
    case SETTING_KIND_WORD:
        buf_append_text(out, setting->words[*(const int64_t *)value]);
        break;
    case SETTING_KIND_TEXT:
    case SETTING_KIND_ID:
    case SETTING_KIND_HOSTS:
    case SETTING_KIND_ORIGINS:
        buf_append_text(out, value);
        break;
    case SETTING_KIND_BYTES:
        write_bytes(value, out);
        break;
    case SETTING_KIND_NOTIFY:
        write_notify(*(const uint64_t *)value, out);
        break;
    case SETTING_KIND_PERCENTILES:
        write_percentiles(value, out);
        break;
    case SETTING_KIND_OUTPUT_LIMITS:
        write_output_limits(value, out);
        break;
    case SETTING_KIND_CONSTANT:
        buf_append_text(out, setting->initial);
        break;
    case SETTING_KINDS:
        break;
    }
}

/* --- The table */

/* An initial value that is not taken is what start-up finds by itself: it stays empty. */
void settings_init(struct settings *settings) {
    memset(settings, 0, sizeof(*settings));
    for (size_t i = 0; i < SETTING_COUNT; i++) {
        char reason[128];
        setting_parse(&table[i], slice_from_text(table[i].initial), settings, reason, sizeof(reason));
    }
}

size_t settings_count(void) { return SETTING_COUNT; }

const struct setting *settings_at(size_t i) { return &table[i]; }

const struct setting *settings_find(struct slice name) {
    for (size_t i = 0; i < SETTING_COUNT; i++) {
        if (slice_equals_nocase(name, slice_from_text(table[i].name))) {
            return &table[i];
        }
    }
    return NULL;
}

const char *setting_flag(const struct setting *setting) {
    return setting->flag != NULL ? setting->flag : setting->name;
}

const struct setting *settings_find_flag(struct slice flag) {
    for (size_t i = 0; i < SETTING_COUNT; i++) {
        if (slice_equals_nocase(flag, slice_from_text(setting_flag(&table[i])))) {
            return &table[i];
        }
    }
    return settings_find(flag);
}

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

enum log_level settings_log_level(const struct settings *settings) {
    return level_of_word[settings->log_level];
}
