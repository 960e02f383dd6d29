#include "server/tools/redis_source.h"

#include "protocol/line.h"
#include "protocol/num.h"
#include "server/tools/redis_client.h"
#include "server/tools/url.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { SCAN_COUNT = 128, MAX_DATABASES = 64, CURSOR_BYTES = 24 };

struct key {
    size_t key_at, key_len, value_at, value_len; /* in bytes */
    const char *type;
    int64_t deadline_ms;
    bool gone;
};

struct database {
    uint64_t number, keys;
};

struct redis_source {
    struct redis_client client;
    struct url url;
    bool says_deadlines; /* PEXPIRETIME: Redis 7.0 and Valkey */
    bool values;         /* not the first reading */
    unsigned readings;
    uint64_t total;
    struct database databases[MAX_DATABASES]; /* besides 0 */
    size_t databases_count, databases_given;

    char cursor[CURSOR_BYTES]; /* "0": at the end, once it has begun */
    bool begun;
    struct key *keys; /* of the last SCAN */
    size_t keys_count, keys_given, keys_capacity;
    struct buf bytes;
};

/* --- Asking --- */

static bool fail(struct redis_source *source, const char *what) {
    return tcp_fail(&source->client.tcp, what, 0);
}

/* An error, or something else than was asked for. */
static bool fail_reply(struct redis_source *source, const struct redis_reply *reply) {
    char text[512];
    bool is_error = reply->kind == '-';
    if (is_error && slice_equals(slice_first(reply->text, 6), SLICE("NOAUTH"))) {
        return fail(source, "asks for a password: redis://:PASSWORD@HOST:PORT");
    }
    snprintf(text, sizeof(text), "%s%.*s", is_error ? "answers " : "answers something else than was asked for",
             is_error ? (int)slice_first(reply->text, 300).len : 0, reply->text.ptr);
    return fail(source, text);
}

static void queue(struct redis_source *source, struct slice a, struct slice b, struct slice c, struct slice d) {
    const struct slice words[] = {a, b, c, d};
    size_t n = d.ptr != NULL ? 4 : c.ptr != NULL ? 3 : b.ptr != NULL ? 2 : 1;
    redis_client_command(&source->client, words, n);
}

static const struct slice none = {NULL, 0};

static bool read_kind(struct redis_source *source, char kind, struct redis_reply *reply) {
    return redis_client_read(&source->client, reply) && (reply->kind == kind || fail_reply(source, reply));
}

/* --- Once --- */

static bool log_in(struct redis_source *source) {
    const struct url *url = &source->url;
    struct redis_reply reply;
    struct slice user = slice_of(url->user, url->user_len),
                 password = slice_of(url->password, url->password_len);
    if (password.len == 0) {
        return true;
    }
    queue(source, SLICE("AUTH"), user.len > 0 ? user : password, user.len > 0 ? password : none, none);
    return redis_client_send(&source->client) && read_kind(source, '+', &reply);
}

/* What follows "name:" in a line of INFO. */
static bool find_line(struct slice info, struct slice name, struct slice *rest) {
    while (info.len > 0) {
        struct slice line = slice_take_until(&info, '\n');
        if (line.len > name.len && slice_equals(slice_first(line, name.len), name) &&
            line.ptr[name.len] == ':') {
            *rest = slice_skip(line, name.len + 1);
            return true;
        }
    }
    return false;
}

/* "db3:keys=5,expires=0,..." of every database but 0. */
static void note_databases(struct redis_source *source, struct slice info) {
    for (uint64_t number = 0; number < UINT16_MAX && source->databases_count < MAX_DATABASES; number++) {
        char name[16];
        struct slice rest;
        snprintf(name, sizeof(name), "db%llu", (unsigned long long)number);
        if (!find_line(info, slice_from_text(name), &rest)) {
            continue;
        }
        struct slice keys = slice_take_until(&rest, ',');
        uint64_t n = 0;
        if (keys.len > 5 && num_parse_u64(slice_skip(keys, 5), &n) && number > 0) {
            source->databases[source->databases_count++] = (struct database){number, n};
        }
        source->total = number == 0 ? n : source->total;
    }
}

static bool look_around(struct redis_source *source) {
    struct redis_reply reply;
    struct slice rest;
    queue(source, SLICE("INFO"), none, none, none);
    queue(source, SLICE("PEXPIRETIME"), SLICE(""), none, none);
    if (!redis_client_send(&source->client) || !read_kind(source, '$', &reply)) {
        return false;
    }
    if (find_line(reply.text, SLICE("cluster_enabled"), &rest) && rest.len > 0 && rest.ptr[0] == '1') {
        return fail(source, "has cluster mode on: import an RDB file of each of its nodes instead");
    }
    note_databases(source, reply.text);
    if (!redis_client_read(&source->client, &reply)) {
        return false;
    }
    source->says_deadlines = reply.kind == ':';
    return true;
}

bool redis_source_is(const char *url) { return url_is(slice_from_text(url), SLICE("redis")); }

struct redis_source *redis_source_open(const char *text, char *reason, size_t n) {
    struct redis_source *source = calloc(1, sizeof(*source));
    const char *why = "out of memory";
    if (source == NULL || !url_parse(slice_from_text(text), SLICE("redis"), &source->url, &why)) {
        snprintf(reason, n, "%s", why);
        free(source);
        return NULL;
    }
    buf_init(&source->bytes, SIZE_MAX);
    bool elsewhere = source->url.path[0] != '\0' && strcmp(source->url.path, "0") != 0;
    bool opened = redis_client_open(&source->client, source->url.host, source->url.port);
    if (opened && elsewhere) {
        opened = fail(source, "is to give another database than 0, which kvnode has no place for");
    }
    if (!opened || !log_in(source) || !look_around(source)) {
        snprintf(reason, n, "%s", source->client.tcp.reason);
        redis_source_close(&source);
        return NULL;
    }
    return source;
}

void redis_source_close(struct redis_source **source) {
    if (*source != NULL) {
        redis_client_close(&(*source)->client);
        buf_deinit(&(*source)->bytes);
        free((*source)->keys);
        free(*source);
    }
    *source = NULL;
}

void redis_source_rewind(struct redis_source *source) {
    source->values = source->readings++ > 0;
    source->begun = false;
    source->keys_count = source->keys_given = source->databases_given = 0;
}

const char *redis_source_reason(const struct redis_source *source) { return source->client.tcp.reason; }

uint64_t redis_source_total(const struct redis_source *source) { return source->total; }

/* --- A page of keys --- */

static bool add_key(struct redis_source *source, struct slice name) {
    if (source->keys_count == source->keys_capacity) {
        size_t capacity = 2 * source->keys_capacity + SCAN_COUNT;
        struct key *keys = realloc(source->keys, capacity * sizeof(*keys));
        if (keys == NULL) {
            return fail(source, "gives more than there is memory for");
        }
        source->keys = keys;
        source->keys_capacity = capacity;
    }
    source->keys[source->keys_count++] = (struct key){.key_at = buf_used(&source->bytes), .key_len = name.len};
    buf_append_slice(&source->bytes, name);
    return true;
}

static bool scan(struct redis_source *source) {
    struct redis_reply reply;
    if (!source->begun) {
        strcpy(source->cursor, "0");
    }
    source->begun = true;
    source->keys_count = source->keys_given = 0;
    buf_reset(&source->bytes);
    queue(source, SLICE("SCAN"), slice_from_text(source->cursor), SLICE("COUNT"), SLICE("128"));
    if (!redis_client_send(&source->client) || !read_kind(source, '*', &reply) ||
        !read_kind(source, '$', &reply) || reply.text.len >= sizeof(source->cursor)) {
        return false;
    }
    memcpy(source->cursor, reply.text.ptr, reply.text.len);
    source->cursor[reply.text.len] = '\0';
    if (!read_kind(source, '*', &reply)) {
        return false;
    }
    for (int64_t left = reply.number; left > 0; left--) {
        if (!read_kind(source, '$', &reply) || !add_key(source, reply.text)) {
            return false;
        }
    }
    return true;
}

static struct slice name_of(const struct redis_source *source, const struct key *key) {
    return slice_first(slice_skip(buf_slice(&source->bytes), key->key_at), key->key_len);
}

/* Of the types that there are; another one is one of a module. */
static const char *type_of(struct slice said) {
    static const struct {
        struct slice said;
        const char *name;
    } types[] = {
        {{"string", 6}, NULL}, {{"list", 4}, "list"},       {{"set", 3}, "set"},
        {{"hash", 4}, "hash"}, {{"zset", 4}, "sorted set"}, {{"stream", 6}, "stream"},
    };
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        if (slice_equals(said, types[i].said)) {
            return types[i].name;
        }
    }
    return "value of a module";
}

static bool read_types(struct redis_source *source) {
    struct redis_reply reply;
    for (size_t i = 0; i < source->keys_count; i++) {
        queue(source, SLICE("TYPE"), name_of(source, &source->keys[i]), none, none);
    }
    if (!redis_client_send(&source->client)) {
        return false;
    }
    for (size_t i = 0; i < source->keys_count; i++) {
        if (!read_kind(source, '+', &reply)) {
            return false;
        }
        source->keys[i].gone = slice_equals(reply.text, SLICE("none"));
        source->keys[i].type = type_of(reply.text);
    }
    return true;
}

static int64_t unix_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static bool read_value(struct redis_source *source, struct key *key) {
    struct redis_reply reply;
    if (!redis_client_read(&source->client, &reply)) {
        return false;
    }
    bool is_other = reply.kind == '-' && slice_equals(slice_first(reply.text, 9), SLICE("WRONGTYPE"));
    if (reply.kind != '$' && !is_other) {
        return fail_reply(source, &reply);
    }
    key->type = is_other ? "value of another type" : NULL;
    key->gone = reply.kind == '$' && reply.is_null;
    key->value_at = buf_used(&source->bytes);
    key->value_len = is_other || key->gone ? 0 : reply.text.len;
    buf_append(&source->bytes, reply.text.ptr, key->value_len);
    if (!read_kind(source, ':', &reply)) {
        return false;
    }
    bool has_deadline = reply.number >= 0;
    key->gone |= reply.number == -2; /* it went between the two */
    key->deadline_ms = !has_deadline ? 0 : source->says_deadlines ? reply.number : unix_ms() + reply.number;
    return key->deadline_ms < LINE_TIME_LIMIT_MS || fail(source, "has a deadline later than kvnode can keep");
}

static bool read_values(struct redis_source *source) {
    struct slice ask = source->says_deadlines ? SLICE("PEXPIRETIME") : SLICE("PTTL");
    for (size_t i = 0; i < source->keys_count; i++) {
        struct slice name = name_of(source, &source->keys[i]);
        queue(source, SLICE("GET"), name, none, none);
        queue(source, ask, name, none, none);
    }
    if (!redis_client_send(&source->client)) {
        return false;
    }
    for (size_t i = 0; i < source->keys_count; i++) {
        if (!read_value(source, &source->keys[i])) {
            return false;
        }
    }
    return !buf_failed(&source->bytes) || fail(source, "gives more than there is memory for");
}

/* --- Items --- */

static enum redis_result next_database(struct redis_source *source, struct redis_item *item) {
    if (source->values || source->databases_given == source->databases_count) {
        return REDIS_END;
    }
    const struct database *database = &source->databases[source->databases_given++];
    *item = (struct redis_item){.type = "key", .database = database->number, .count = database->keys};
    return REDIS_ITEM;
}

enum redis_result redis_source_next(struct redis_source *source, struct redis_item *item) {
    for (;;) {
        while (source->keys_given < source->keys_count) {
            const struct key *key = &source->keys[source->keys_given++];
            if (!key->gone) {
                struct slice bytes = buf_slice(&source->bytes);
                *item = (struct redis_item){
                    .type = key->type,
                    .count = 1,
                    .key = name_of(source, key),
                    .value = slice_first(slice_skip(bytes, key->value_at), key->value_len),
                    .deadline_ms = key->deadline_ms,
                };
                return REDIS_ITEM;
            }
        }
        if (source->begun && strcmp(source->cursor, "0") == 0) {
            return next_database(source, item);
        }
        if (!scan(source) || !(source->values ? read_values(source) : read_types(source))) {
            return REDIS_BAD;
        }
    }
}
