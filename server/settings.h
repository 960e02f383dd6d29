/* settings.h: every parameter of a node: one table (settings.def) for the command line, the config file and
 * CONFIG GET, SET and REWRITE.
 *
 * struct settings is a plain value: a change of several parameters is made on a copy, which takes the place of
 * the one in force when all of it is right (server/commands/node/config.c does so, and makes it act).
 */
#ifndef KVNODE_SERVER_SETTINGS_H
#define KVNODE_SERVER_SETTINGS_H

#include "protocol/buf.h"
#include "protocol/limits.h"
#include "protocol/voters.h"
#include "server/log.h"

#include <stdint.h>

enum { SETTINGS_BYTES = 1023, SETTINGS_PERCENTILES = 16 };

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

struct percentiles {
    double values[SETTINGS_PERCENTILES];
    size_t count;
};

/* A text that may hold any byte. */
struct setting_bytes {
    size_t length;
    char bytes[SETTINGS_BYTES];
};

/* What a parameter takes; the macro of a kind declares its field. */
enum setting_kind {
    SETTING_KIND_U16,
    SETTING_KIND_NUMBER,
    SETTING_KIND_CLAMPED, /* a number that is brought between min and max, as Redis does with hz */
    SETTING_KIND_SIZE,    /* bytes, with a unit */
    SETTING_KIND_PERCENT, /* bytes, or a part of maxmemory, which is kept negative */
    SETTING_KIND_SWITCH,
    SETTING_KIND_FLAG, /* a switch that stands alone on the command line */
    SETTING_KIND_WORD, /* the index of one of the row's words */
    SETTING_KIND_TEXT,
    SETTING_KIND_ID,      /* a text of A-Z a-z 0-9 _ - */
    SETTING_KIND_HOSTS,   /* names of hosts: items with commas or blanks between them */
    SETTING_KIND_ORIGINS, /* origins of web pages, likewise */
    SETTING_KIND_BYTES,
    SETTING_KIND_NOTIFY,
    SETTING_KIND_PERCENTILES,
    SETTING_KIND_OUTPUT_LIMITS,
    SETTING_KIND_CONSTANT,
    SETTING_KINDS
};

#define SETTING_FIELD_U16(field, max)           uint16_t field;
#define SETTING_FIELD_NUMBER(field, max)        int64_t field;
#define SETTING_FIELD_CLAMPED(field, max)       int64_t field;
#define SETTING_FIELD_SIZE(field, max)          int64_t field;
#define SETTING_FIELD_PERCENT(field, max)       int64_t field;
#define SETTING_FIELD_SWITCH(field, max)        bool field;
#define SETTING_FIELD_FLAG(field, max)          bool field;
#define SETTING_FIELD_TEXT(field, max)          char field[(max) + 1];
#define SETTING_FIELD_ID(field, max)            char field[(max) + 1];
#define SETTING_FIELD_HOSTS(field, max)         char field[(max) + 1];
#define SETTING_FIELD_ORIGINS(field, max)       char field[(max) + 1];
#define SETTING_FIELD_BYTES(field, max)         struct setting_bytes field;
#define SETTING_FIELD_NOTIFY(field, max)        int64_t field;
#define SETTING_FIELD_PERCENTILES(field, max)   struct percentiles field;
#define SETTING_FIELD_OUTPUT_LIMITS(field, max) struct output_limit field[CLIENT_CLASSES];

/* A field a row, under the row's name for it. */
struct settings {
#define SETTING(kind, field, name, flag, unit, min, max, initial, effect, help) SETTING_FIELD_##kind(field, max)
#define WORD(field, words, name, flag, unit, initial, effect, help)             int64_t field;
#define CONSTANT(name, text)
#include "server/settings.def"
#undef SETTING
#undef WORD
#undef CONSTANT
};

/* What changes with a parameter, besides the value: config.c does it. */
enum setting_effect {
    SETTING_NONE,
    SETTING_AT_START, /* it cannot be changed while the node runs */
    SETTING_MEMORY,
    SETTING_CLIENTS,
    SETTING_LOG,
    SETTING_SLOWLOG,
    SETTING_LATENCY,
    SETTING_PASSWORD,
    SETTING_IDLE,
    SETTING_TRACKING,
    SETTING_NOTIFY,
    SETTING_JOURNAL,
    SETTING_EFFECTS
};

/* A row; settings.def says what stands in it. */
struct setting {
    const char *name, *flag, *unit;
    size_t offset; /* in struct settings */
    int64_t min, max;
    const char *initial;
    const char *const *words; /* ended by NULL */
    const char *help;
    enum setting_kind kind;
    enum setting_effect effect;
};

void settings_init(struct settings *settings); /* the defaults */

size_t settings_count(void);
const struct setting *settings_at(size_t i);
const struct setting *settings_find(struct slice name);      /* in any case; NULL: there is none */
const struct setting *settings_find_flag(struct slice flag); /* by the flag, else by the name */
const char *setting_flag(const struct setting *setting);     /* as the command line and the file have it */
/* The same value in both? Of a parameter that can't be changed: yes. Without memory to compare them: no. */
bool setting_equal(const struct setting *setting, const struct settings *a, const struct settings *b);

/* Sets it from text; false: nothing is changed, and reason (n bytes) says why, as Redis words it. */
bool setting_parse(const struct setting *setting, struct slice text, struct settings *settings, char *reason,
                   size_t n);
/* Appends its value. */
void setting_write(const struct setting *setting, const struct settings *settings, struct buf *out);

/* 64, 64k, 64kb, 1gb: k, m and g are 1000, kb, mb and gb are 1024 of the one before, as Redis has it. */
bool settings_parse_memory(struct slice text, int64_t *out);

enum log_level settings_log_level(const struct settings *settings);

/* Six digits behind the point at most, and no zeros at the end, as Redis has it. */
void settings_write_percentile(double percentile, struct buf *out);

#endif
