/* version.c: changes that depend on what is stored: a key's version (its ETag over REST), or its value.
 * GETWITHETAG and SETIFMATCH are Garnet's names, DELIFEQ is Valkey's. */
#include "server/commands/rows.h"
#include "server/commands/string/values.h"
#include "server/commands/string/write_options.h"
#include "server/store/keyspace.h"

#include "protocol/num.h"

static void reply_version_and_value(struct request *request, const struct entry *entry) {
    resp_array(&request->reply, 2);
    reply_version(request, entry_version(entry));
    reply_value(request, entry, entry_value(entry));
}

void command_getwithetag(struct request *request) {
    const struct entry *entry = keyspace_find(request->context->keyspace, &request->key, KEYSPACE_READ);
    if (entry == NULL) {
        resp_null(&request->reply);
    } else {
        reply_version_and_value(request, entry);
    }
}

static bool parse_version(struct request *request, size_t i, uint64_t *version) {
    if (num_parse_u64(request->args[i], version)) {
        return true;
    }
    resp_error(&request->reply, ERR_NOT_INTEGER);
    return false;
}

/* [new version, nil]; [version, value] that are there where it does not match; nil where nothing is. */
void command_setifmatch(struct request *request) {
    struct keyspace *keyspace = request->context->keyspace;
    struct write_options options = {0};
    struct keyspace_set set = {
        .value = request->args[2], .condition = KEYSPACE_IF_VERSION, .reserve = request->reserve};
    if (!parse_version(request, 3, &set.version) ||
        !write_options_parse(request, 4, WRITE_KEEPTTL | WRITE_TIMES, &options) ||
        !write_options_deadline(request, &options, &set)) {
        return;
    }
    struct keyspace_result result;
    enum err err = keyspace_set(keyspace, &request->key, &set, &result);
    if (err == ERR_PRECONDITION) {
        const struct entry *entry = keyspace_find(keyspace, &request->key, KEYSPACE_QUIETLY);
        if (entry == NULL) {
            resp_null(&request->reply);
        } else {
            reply_version_and_value(request, entry);
        }
    } else if (value_written(request, err)) {
        resp_array(&request->reply, 2);
        reply_version(request, result.version);
        resp_null(&request->reply);
    }
}

void command_delifmatch(struct request *request) {
    uint64_t version;
    if (parse_version(request, 2, &version)) {
        enum err err =
            keyspace_delete(request->context->keyspace, &request->key, KEYSPACE_IF_VERSION, version, NULL);
        resp_integer(&request->reply, err == ERR_NONE);
    }
}

void command_delifeq(struct request *request) {
    struct keyspace *keyspace = request->context->keyspace;
    const struct entry *entry = keyspace_find(keyspace, &request->key, KEYSPACE_QUIETLY);
    bool equal = entry != NULL && slice_equals(entry_value(entry), request->args[2]);
    if (equal) {
        keyspace_delete(keyspace, &request->key, KEYSPACE_ALWAYS, 0, NULL);
    }
    resp_integer(&request->reply, equal);
}
