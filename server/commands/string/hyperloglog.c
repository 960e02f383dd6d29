/* hyperloglog.c: about how many different elements: PFADD, PFCOUNT, PFMERGE, of strings that hold a
 * HyperLogLog. PFCOUNT only reads: Redis notes what it has counted in the value, which would be a write, with a
 * version, of a follower too. */
#include "protocol/hyperloglog.h"
#include "server/settings.h"
#include "server/store/keyspace.h"

#include "server/commands/rows.h"
#include "server/commands/string/values.h"

/* False: replied with an error. A key that is not there holds no element. */
static bool load(struct request *request, const struct entry *entry, struct hyperloglog *out) {
    if (entry == NULL) {
        hyperloglog_init(out);
        return true;
    }
    switch (hyperloglog_read(entry_value(entry), out)) {
    case HYPERLOGLOG_OK:
        return true;
    case HYPERLOGLOG_NOT_ONE:
        resp_errorf(&request->reply, "WRONGTYPE Key is not a valid HyperLogLog string value.");
        return false;
    case HYPERLOGLOG_CORRUPT:
        break;
    }
    resp_errorf(&request->reply, "INVALIDOBJ Corrupted HLL object detected");
    return false;
}

/* False: replied with an error. */
static bool store(struct request *request, const struct key *key, const struct hyperloglog *hll) {
    char bytes[HYPERLOGLOG_MAX_BYTES];
    size_t sparse_max_bytes = (size_t)request->context->settings->hll_sparse_max_bytes;
    struct keyspace_set set = {
        .value = slice_of(bytes, hyperloglog_write(hll, sparse_max_bytes, bytes)),
        .deadline = KEYSPACE_DEADLINE_KEEP,
    };
    return value_written(request, keyspace_set(request->context->keyspace, key, &set, NULL));
}

void command_pfadd(struct request *request) {
    struct hyperloglog hll;
    const struct entry *entry = keyspace_find(request->context->keyspace, &request->key, KEYSPACE_QUIETLY);
    bool changed = entry == NULL;
    if (!load(request, entry, &hll)) {
        return;
    }
    for (size_t i = 2; i < request->arg_count; i++) {
        changed |= hyperloglog_add(&hll, request->args[i]);
    }
    if (!changed) {
        keyspace_find(request->context->keyspace, &request->key, KEYSPACE_TOUCH);
    }
    if (!changed || store(request, &request->key, &hll)) {
        resp_integer(&request->reply, changed);
    }
}

/* The sets of several keys put together. */
struct unite {
    struct hyperloglog all;
    bool failed; /* replied with an error */
};

static void unite_key(struct request *request, const struct key *key, void *context) {
    struct unite *unite = context;
    struct hyperloglog one;
    if (unite->failed) {
        return;
    }
    unite->failed = !load(request, keyspace_find(request->context->keyspace, key, KEYSPACE_READ), &one);
    if (!unite->failed) {
        hyperloglog_merge(&unite->all, &one);
    }
}

/* False: replied with an error. */
static bool unite_keys(struct request *request, struct unite *unite) {
    hyperloglog_init(&unite->all);
    unite->failed = false;
    request_each_key(request, unite_key, unite);
    return !unite->failed;
}

void command_pfcount(struct request *request) {
    struct unite unite;
    if (unite_keys(request, &unite)) {
        resp_integer(&request->reply, (int64_t)hyperloglog_count(&unite.all));
    }
}

void command_pfmerge(struct request *request) {
    struct unite unite;
    struct key destination = keyspace_key(request->context->keyspace, request_key_name(request, 0));
    if (unite_keys(request, &unite) && store(request, &destination, &unite.all)) {
        reply_ok(request);
    }
}
