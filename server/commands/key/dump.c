/* dump.c: values that travel: DUMP, RESTORE. The payload is Redis's own (protocol/rdb_string.h). */
#include "protocol/rdb_string.h"
#include "server/commands/key/expiry.h"
#include "server/commands/rows.h"
#include "server/dispatch/command.h"
#include "server/options.h"
#include "server/store/keyspace.h"

void command_dump(struct request *request) {
    const struct entry *entry = keyspace_find(request->context->keyspace, &request->key, KEYSPACE_READ);
    if (entry == NULL) {
        resp_null(&request->reply);
        return;
    }
    struct buf payload;
    buf_init(&payload, SIZE_MAX);
    rdb_string_write(&payload, entry_value(entry));
    if (buf_failed(&payload)) {
        resp_error(&request->reply, ERR_NO_MEMORY);
    } else {
        resp_bulk(&request->reply, buf_slice(&payload));
    }
    buf_deinit(&payload);
}

struct restore_options {
    bool replace, absolute;
    int64_t idle_s, frequency; /* -1: not said */
};

/* One of the two that say how much the key was used; false: replied with an error. */
static bool parse_use(struct request *request, size_t i, int64_t most, const char *error, int64_t *out) {
    if (!request_integer(request, i, out)) {
        return false;
    }
    if (*out < 0 || *out > most) {
        resp_errorf(&request->reply, "%s", error);
        return false;
    }
    return true;
}

static bool parse_restore_options(struct request *request, struct restore_options *options) {
    for (size_t i = 4; i < request->arg_count; i++) {
        bool has_value = i + 1 < request->arg_count;
        if (request_word(request, i, SLICE("replace"))) {
            options->replace = true;
        } else if (request_word(request, i, SLICE("absttl"))) {
            options->absolute = true;
        } else if (request_word(request, i, SLICE("idletime")) && has_value && options->frequency == -1) {
            if (!parse_use(request, ++i, INT64_MAX, "ERR Invalid IDLETIME value, must be >= 0",
                           &options->idle_s)) {
                return false;
            }
        } else if (request_word(request, i, SLICE("freq")) && has_value && options->idle_s == -1) {
            if (!parse_use(request, ++i, UINT8_MAX, "ERR Invalid FREQ value, must be >= 0 and <= 255",
                           &options->frequency)) {
                return false;
            }
        } else {
            resp_error(&request->reply, ERR_SYNTAX);
            return false;
        }
    }
    return true;
}

/* Argument 2; 0 says none. False: replied with an error. */
static bool parse_ttl(struct request *request, bool absolute, struct keyspace_set *set) {
    int64_t ttl_ms;
    if (!request_integer(request, 2, &ttl_ms)) {
        return false;
    }
    if (ttl_ms < 0) {
        resp_errorf(&request->reply, "ERR Invalid TTL value, must be >= 0");
        return false;
    }
    if (ttl_ms == 0) {
        return true;
    }
    set->deadline = KEYSPACE_DEADLINE_SET;
    return expiry_parse(request, 2, (struct expiry_form){.absolute = absolute}, &set->deadline_ms);
}

static bool read_payload(struct request *request, struct buf *scratch, struct slice *value) {
    switch (rdb_string_read(request->args[3], scratch, value)) {
    case RDB_STRING_OK:
        return true;
    case RDB_STRING_BAD_FOOTER:
        resp_errorf(&request->reply, "ERR DUMP payload version or checksum are wrong");
        return false;
    case RDB_STRING_BAD_FORMAT:
        resp_errorf(&request->reply, "ERR Bad data format");
        return false;
    case RDB_STRING_NO_MEMORY:
        break;
    }
    resp_error(&request->reply, ERR_NO_MEMORY);
    return false;
}

/* What an idle time that is longer than any memory of use amounts to. */
static int64_t idle_ms(int64_t idle_s) {
    int64_t ms;
    return __builtin_mul_overflow(idle_s, 1000, &ms) ? INT64_MAX : ms;
}

static void restore(struct request *request, const struct restore_options *options,
                    const struct keyspace_set *set) {
    struct keyspace *keyspace = request->context->keyspace;
    if (set->deadline == KEYSPACE_DEADLINE_SET && set->deadline_ms <= keyspace_now_ms(keyspace)) {
        keyspace_delete(keyspace, &request->key, KEYSPACE_ALWAYS, 0, NULL); /* what it was to replace */
        reply_ok(request);
        return;
    }
    enum err err = keyspace_set(keyspace, &request->key, set, NULL);
    if (err != ERR_NONE) {
        resp_error(&request->reply, err);
        return;
    }
    if (options->idle_s >= 0) {
        keyspace_set_idle_ms(keyspace, &request->key, idle_ms(options->idle_s));
    }
    if (options->frequency >= 0) {
        keyspace_set_frequency(keyspace, &request->key, (unsigned)options->frequency);
    }
    reply_ok(request);
}

void command_restore(struct request *request) {
    struct restore_options options = {.idle_s = -1, .frequency = -1};
    struct keyspace_set set = {.condition = KEYSPACE_ALWAYS};
    if (!parse_restore_options(request, &options)) {
        return;
    }
    if (!options.replace && keyspace_find(request->context->keyspace, &request->key, KEYSPACE_TOUCH) != NULL) {
        resp_errorf(&request->reply, "BUSYKEY Target key name already exists.");
        return;
    }
    struct buf scratch;
    buf_init(&scratch, SIZE_MAX);
    if (parse_ttl(request, options.absolute, &set) && read_payload(request, &scratch, &set.value)) {
        restore(request, &options, &set);
    }
    buf_deinit(&scratch);
}
