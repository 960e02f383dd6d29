#include "server/dispatch/command.h"

#include "server/dispatch/large_value.h"
#include "server/store/keyspace.h"

#include "protocol/num.h"

enum {
    KEY_WINDOW = 16,
    /* From here on, where there is a write anyway, a copy costs more than to give it the parts. */
    LARGE_LAST_VALUE_BYTES = 8 << 10,
};

size_t request_key_count(const struct request *request) {
    const struct command *command = request->command;
    size_t last =
        command->last_key >= 0 ? (size_t)command->last_key : request->arg_count - (size_t)-command->last_key;
    size_t first = (size_t)command->first_key;
    return first == 0 || last < first ? 0 : (last - first) / (size_t)command->key_step + 1;
}

void request_each_key(struct request *request, request_key_visit *visit, void *context) {
    struct keyspace *keyspace = request->context->keyspace;
    size_t count = request_key_count(request);
    for (size_t from = 0; from < count; from += KEY_WINDOW) {
        struct key keys[KEY_WINDOW];
        uint64_t hashes[KEY_WINDOW];
        size_t n = count - from < KEY_WINDOW ? count - from : KEY_WINDOW;
        for (size_t i = 0; i < n; i++) {
            keys[i] = keyspace_key(keyspace, request_key_name(request, from + i));
            hashes[i] = keys[i].hash;
            keyspace_prefetch_bucket(keyspace, &keys[i]);
        }
        keyspace_prefetch_entries(keyspace, hashes, n);
        for (size_t i = 0; i < n; i++) {
            visit(request, &keys[i], context);
        }
    }
}

bool request_integer(struct request *request, size_t i, int64_t *out) {
    if (num_parse_i64(request->args[i], out)) {
        return true;
    }
    resp_error(&request->reply, ERR_NOT_INTEGER);
    return false;
}

bool request_timeout_ms(struct request *request, size_t i, int64_t *out) {
    const char *error = NULL;
    if (!num_parse_i64(request->args[i], out)) {
        error = "ERR timeout is not an integer or out of range";
    } else if (*out < 0) {
        error = "ERR timeout is negative";
    } else if (*out > INT64_MAX - loop_monotonic_ms(request->context->loop)) {
        error = "ERR timeout is out of range";
    }
    if (error != NULL) {
        resp_errorf(&request->reply, "%s", error);
    }
    return error == NULL;
}

void reply_wrong_arity(struct request *request) {
    resp_errorf(&request->reply, "ERR wrong number of arguments for '%s' command", request->command->name);
}

void reply_invalid_expire(struct request *request) {
    resp_errorf(&request->reply, "ERR invalid expire time in '%s' command", request->command->name);
}

void reply_gathered(struct request *request, struct buf *text) {
    if (buf_failed(text)) {
        resp_error(&request->reply, ERR_NO_MEMORY);
    } else {
        resp_text(&request->reply, buf_slice(text));
    }
    buf_deinit(text);
}

void reply_value(struct request *request, const struct entry *entry, struct slice value) {
    struct client *client = request->client;
    if (value.len < (request->last ? LARGE_LAST_VALUE_BYTES : CONN_LARGE_BYTES) || client->conn == NULL ||
        request->reply.out != conn_out(client->conn)) {
        resp_bulk(&request->reply, value);
        return;
    }
    resp_bulk_header(&request->reply, value.len);
    large_value_write(client->conn, entry, value, SLICE("\r\n"));
}

/* "AUTH password", "AUTH user password", "HELLO 3 AUTH user password", "CONFIG SET requirepass password" */
struct slice request_shown(const struct request *request, size_t i) {
    bool secret = (i >= 1 && (request_word(request, i - 1, SLICE("auth")) ||
                              request_word(request, i - 1, SLICE("requirepass")))) ||
                  (i >= 2 && request_word(request, i - 2, SLICE("auth")));
    return secret && (request->command->flags & COMMAND_SECRET) != 0 ? SLICE("(redacted)") : request->args[i];
}
