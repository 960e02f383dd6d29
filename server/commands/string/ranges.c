/* ranges.c: parts of values: APPEND, SETRANGE, GETRANGE and its old name SUBSTR. */
#include "server/commands/rows.h"
#include "server/commands/string/values.h"
#include "server/store/keyspace.h"

void command_append(struct request *request) {
    struct table_place place = value_place(request, KEYSPACE_QUIETLY);
    struct slice value = value_or_empty(place.entry), bytes = request->args[2];
    size_t length = value.len;
    bool written =
        bytes.len > 0 ? value_patch(request, &place, length, bytes) : value_store(request, &place, value);
    if (written) {
        resp_integer(&request->reply, (int64_t)(length + bytes.len));
    }
}

void command_setrange(struct request *request) {
    int64_t offset;
    if (!request_integer(request, 2, &offset)) {
        return;
    }
    if (offset < 0) {
        resp_errorf(&request->reply, "ERR offset is out of range");
        return;
    }
    struct slice bytes = request->args[3];
    struct table_place place = value_place(request, bytes.len == 0 ? KEYSPACE_TOUCH : KEYSPACE_QUIETLY);
    size_t length = value_or_empty(place.entry).len;
    size_t end = (size_t)offset + bytes.len;
    if (bytes.len == 0) {
        resp_integer(&request->reply, (int64_t)length);
    } else if (value_patch(request, &place, (size_t)offset, bytes)) {
        resp_integer(&request->reply, (int64_t)(end > length ? end : length));
    }
}

/* Places count from 0, negative ones from the end, and both ends belong to the range. */
static struct slice cut(struct slice value, int64_t start, int64_t end) {
    int64_t length = (int64_t)value.len;
    if (start < 0 && end < 0 && start > end) {
        return SLICE("");
    }
    start = start < 0 ? start + length : start;
    end = end < 0 ? end + length : end;
    start = start < 0 ? 0 : start;
    end = end < 0 ? 0 : end >= length ? length - 1 : end;
    if (start > end || length == 0) {
        return SLICE("");
    }
    return slice_of(value.ptr + start, (size_t)(end - start + 1));
}

void command_getrange(struct request *request) {
    int64_t start, end;
    if (request_integer(request, 2, &start) && request_integer(request, 3, &end)) {
        const struct entry *entry = keyspace_find(request->context->keyspace, &request->key, KEYSPACE_READ);
        reply_value(request, entry, cut(value_or_empty(entry), start, end));
    }
}

void command_substr(struct request *request) { command_getrange(request); }
