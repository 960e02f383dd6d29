/* debug.c: what tests ask to know. */
#include "protocol/glob.h"
#include "protocol/sha256.h"
#include "server/commands/rows.h"
#include "server/commands/string/values.h"
#include "server/dispatch/walk.h"
#include "server/store/keyspace.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* --- DEBUG DIGEST: equal on two nodes if and only if their data is. It is not Redis's digest of the same name:
 * the XOR over all entries of the first 20 bytes of SHA-256 over key length (64 bits, little-endian), key,
 * value length (likewise), value, version, deadline and timestamp in ms (64 bits each, likewise).
 * ------------------------------- */

enum { DIGEST_BYTES = 20 };

struct digest_state {
    unsigned char sum[DIGEST_BYTES];
};

/* As eight bytes at to. */
static struct slice number_bytes(char *to, uint64_t number) {
    for (size_t i = 0; i < sizeof(number); i++) {
        to[i] = (char)(number >> (8 * i));
    }
    return slice_of(to, sizeof(number));
}

static void digest_visit(struct walk *walk, const struct entry *entry) {
    struct digest_state *state = walk_state(walk);
    struct slice key = entry_key(entry), value = entry_value(entry);
    char numbers[5][sizeof(uint64_t)];
    const struct slice parts[] = {
        number_bytes(numbers[0], key.len),
        key,
        number_bytes(numbers[1], value.len),
        value,
        number_bytes(numbers[2], entry_version(entry)),
        number_bytes(numbers[3], (uint64_t)entry_deadline_ms(entry)),
        number_bytes(numbers[4], (uint64_t)entry_timestamp_ms(entry)),
    };
    unsigned char sum[SHA256_BYTES];
    sha256_of(parts, sizeof(parts) / sizeof(parts[0]), sum);
    for (size_t i = 0; i < DIGEST_BYTES; i++) {
        state->sum[i] ^= sum[i];
    }
}

static void write_hex(const unsigned char *sum, char out[DIGEST_BYTES * 2 + 1]) {
    for (size_t i = 0; i < DIGEST_BYTES; i++) {
        out[2 * i] = "0123456789abcdef"[sum[i] >> 4];
        out[2 * i + 1] = "0123456789abcdef"[sum[i] & 15];
    }
    out[DIGEST_BYTES * 2] = '\0';
}

static void digest_finish(struct walk *walk, struct resp_reply *reply) {
    const struct digest_state *state = walk_state(walk);
    char hex[DIGEST_BYTES * 2 + 1];
    write_hex(state->sum, hex);
    resp_status(reply, hex);
}

static const struct walk_kind digest_kind = {.visit = digest_visit, .finish = digest_finish, .release = free};

void command_debug_digest(struct request *request) {
    walk_start(request, &digest_kind, 0, calloc(1, sizeof(struct digest_state)));
}

/* --- DEBUG DIGEST-VALUE: a digest of each key's value; of one that is missing it is zero */

void command_debug_digest_value(struct request *request) {
    struct keyspace *keyspace = request->context->keyspace;
    resp_array(&request->reply, request->arg_count - 2);
    for (size_t i = 2; i < request->arg_count; i++) {
        struct key key = keyspace_key(keyspace, request->args[i]);
        const struct entry *entry = keyspace_find(keyspace, &key, KEYSPACE_QUIETLY);
        unsigned char sum[SHA256_BYTES] = {0};
        char hex[DIGEST_BYTES * 2 + 1];
        if (entry != NULL) {
            struct slice value = entry_value(entry);
            sha256_of(&value, 1, sum);
        }
        write_hex(sum, hex);
        resp_bulk_text(&request->reply, hex);
    }
}

/* --- DEBUG OBJECT */

void command_debug_object(struct request *request) {
    struct keyspace *keyspace = request->context->keyspace;
    struct key key = keyspace_key(keyspace, request->args[2]);
    const struct entry *entry = keyspace_find(keyspace, &key, KEYSPACE_QUIETLY);
    if (entry == NULL) {
        resp_errorf(&request->reply, "ERR no such key");
        return;
    }
    long long idle_s = (long long)keyspace_idle_ms(keyspace, entry) / 1000;
    char text[256];
    snprintf(text, sizeof(text),
             "Value at:%p refcount:1 encoding:%s serializedlength:%zu lru:%lld lru_seconds_idle:%lld",
             (const void *)entry, value_encoding(entry_value(entry)), entry_value(entry).len + 1,
             (long long)keyspace_now_ms(keyspace) / 1000 - idle_s, idle_s);
    resp_status(&request->reply, text);
}

/* --- DEBUG PROTOCOL: a value of each type that RESP has */

static void protocol_string(struct resp_reply *reply) { resp_bulk_text(reply, "Hello World"); }

static void protocol_integer(struct resp_reply *reply) { resp_integer(reply, 12345); }

static void protocol_double(struct resp_reply *reply) {
    if (reply->version == 2) {
        resp_bulk_text(reply, "3.141");
    } else {
        RESP_LITERAL(reply, ",3.141\r\n");
    }
}

static void protocol_bignum(struct resp_reply *reply) {
    if (reply->version == 2) {
        resp_bulk_text(reply, "1234567999999999999999999999999999999");
    } else {
        RESP_LITERAL(reply, "(1234567999999999999999999999999999999\r\n");
    }
}

static void protocol_bool(struct resp_reply *reply, bool value) {
    if (reply->version == 2) {
        resp_integer(reply, value);
    } else if (value) {
        RESP_LITERAL(reply, "#t\r\n");
    } else {
        RESP_LITERAL(reply, "#f\r\n");
    }
}

static void protocol_true(struct resp_reply *reply) { protocol_bool(reply, true); }

static void protocol_false(struct resp_reply *reply) { protocol_bool(reply, false); }

static void protocol_array(struct resp_reply *reply) {
    resp_array(reply, 3);
    for (int i = 0; i < 3; i++) {
        resp_integer(reply, i);
    }
}

static void protocol_set(struct resp_reply *reply) {
    resp_set(reply, 3);
    for (int i = 0; i < 3; i++) {
        resp_integer(reply, i);
    }
}

static void protocol_map(struct resp_reply *reply) {
    resp_map(reply, 3);
    for (int i = 0; i < 3; i++) {
        resp_integer(reply, i);
        protocol_bool(reply, i == 1);
    }
}

static void protocol_attribute(struct resp_reply *reply) {
    if (reply->version > 2) {
        RESP_LITERAL(reply, "|1\r\n");
        resp_bulk_text(reply, "key-popularity");
        resp_array(reply, 2);
        resp_bulk_text(reply, "key:123");
        resp_integer(reply, 90);
    }
    resp_bulk_text(reply, "Some real reply following the attribute");
}

static void protocol_push(struct resp_reply *reply) {
    if (reply->version == 2) {
        resp_errorf(reply, "ERR RESP2 is not supported by this command");
        return;
    }
    RESP_LITERAL(reply, ">2\r\n");
    resp_bulk_text(reply, "server-cpu-usage");
    resp_integer(reply, 42);
    resp_bulk_text(reply, "Some real reply following the push reply");
}

static void protocol_verbatim(struct resp_reply *reply) {
    resp_text(reply, SLICE("This is a verbatim\nstring"));
}

void command_debug_protocol(struct request *request) {
    static const struct {
        struct slice name;
        void (*write)(struct resp_reply *reply);
    } types[] = {
        {{"string", 6}, protocol_string},
        {{"integer", 7}, protocol_integer},
        {{"double", 6}, protocol_double},
        {{"bignum", 6}, protocol_bignum},
        {{"null", 4}, resp_null},
        {{"array", 5}, protocol_array},
        {{"set", 3}, protocol_set},
        {{"map", 3}, protocol_map},
        {{"attrib", 6}, protocol_attribute},
        {{"push", 4}, protocol_push},
        {{"verbatim", 8}, protocol_verbatim},
        {{"true", 4}, protocol_true},
        {{"false", 5}, protocol_false},
    };
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        if (request_word(request, 2, types[i].name)) {
            types[i].write(&request->reply);
            return;
        }
    }
    resp_errorf(&request->reply,
                "ERR Wrong protocol type name. Please use one of the following: "
                "string|integer|double|bignum|null|array|set|map|attrib|push|verbatim|true|false");
}

/* --- The small ones */

/* Stops the whole node for so long: that is what tests want of it. */
void command_debug_sleep(struct request *request) {
    char text[64] = "";
    struct slice argument = slice_first(request->args[2], sizeof(text) - 1);
    memcpy(text, argument.ptr, argument.len);
    double seconds = strtod(text, NULL);
    seconds = seconds > 0 && seconds < 3600 ? seconds : 0;
    struct timespec left = {.tv_sec = (time_t)seconds,
                            .tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9)};
    while (nanosleep(&left, &left) != 0 && errno == EINTR) {
    }
    reply_ok(request);
}

void command_debug_stringmatch_len(struct request *request) {
    resp_integer(&request->reply, glob_match(request->args[2], request->args[3], GLOB_CASE));
}

void command_debug_set_active_expire(struct request *request) {
    int64_t on;
    if (request_integer(request, 2, &on)) {
        keyspace_set_active_expiry(request->context->keyspace, on != 0);
        reply_ok(request);
    }
}

/* QUICKLIST-PACKED-THRESHOLD, CHANGE-REPL-ID: nothing here depends on it. */
void command_debug_ignored(struct request *request) { reply_ok(request); }
