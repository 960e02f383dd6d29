#include "server/commands/string/values.h"

#include "server/settings.h"
#include "server/store/keyspace.h"

size_t value_limit(const struct request *request) {
    size_t limit = (size_t)request->context->settings->proto_max_bulk_bytes;
    return limit < LIMIT_VALUE_BYTES ? limit : LIMIT_VALUE_BYTES;
}

bool value_written(struct request *request, enum err err) {
    if (err != ERR_NONE) {
        resp_error(&request->reply, err);
    }
    return err == ERR_NONE;
}

bool value_store(struct request *request, const struct table_place *place, struct slice value) {
    struct keyspace_set set = {.value = value, .deadline = KEYSPACE_DEADLINE_KEEP, .place = place};
    return value_written(request, keyspace_set(request->context->keyspace, &request->key, &set, NULL));
}

bool value_patch(struct request *request, const struct table_place *place, size_t offset, struct slice bytes) {
    struct keyspace *keyspace = request->context->keyspace;
    size_t end;
    if (__builtin_add_overflow(offset, bytes.len, &end) || end > value_limit(request)) {
        resp_error(&request->reply, ERR_VALUE_TOO_LONG);
        return false;
    }
    struct entry_patch patch = {.offset = offset, .bytes = bytes};
    return value_written(request, keyspace_patch(keyspace, &request->key, place, &patch, 1, NULL));
}

void reply_version(struct request *request, uint64_t version) {
    if (version <= INT64_MAX) {
        resp_integer(&request->reply, (int64_t)version);
    } else {
        resp_bulk_number(&request->reply, version);
    }
}
