/* object.c: OBJECT: what Redis would tell of a string of this value. */
#include "protocol/num.h"
#include "server/commands/rows.h"
#include "server/commands/string/values.h"
#include "server/store/keyspace.h"

enum {
    INTEGER_MAX_TEXT = 20, /* what Redis tries to read as a number */
    EMBEDDED_MAX_BYTES = 44,
    SHARED_INTEGERS = 10000, /* 0 to 9999 exist once in a Redis */
    SHARED_REFERENCES = INT32_MAX,
};

static const char policy_note[] =
    " Please note that when switching between policies at runtime LRU and LFU data "
    "will take some time to adjust.";

static bool is_lfu(enum eviction_policy policy) {
    return policy == EVICTION_ALLKEYS_LFU || policy == EVICTION_VOLATILE_LFU;
}

static bool is_lru(enum eviction_policy policy) {
    return policy == EVICTION_ALLKEYS_LRU || policy == EVICTION_VOLATILE_LRU;
}

static bool as_integer(struct slice value, int64_t *number) {
    return value.len <= INTEGER_MAX_TEXT && num_parse_i64(value, number);
}

const char *value_encoding(struct slice value) {
    int64_t number;
    return as_integer(value, &number) ? "int" : value.len <= EMBEDDED_MAX_BYTES ? "embstr" : "raw";
}

/* The key of an OBJECT subcommand; NULL: there is none, and null was replied. Looking is no use of it. */
static const struct entry *look_up(struct request *request) {
    const struct entry *entry = keyspace_find(request->context->keyspace, &request->key, KEYSPACE_COUNT);
    if (entry == NULL) {
        resp_null(&request->reply);
    }
    return entry;
}

void command_object_encoding(struct request *request) {
    const struct entry *entry = look_up(request);
    if (entry != NULL) {
        resp_bulk_text(&request->reply, value_encoding(entry_value(entry)));
    }
}

void command_object_freq(struct request *request) {
    const struct keyspace *keyspace = request->context->keyspace;
    const struct entry *entry = look_up(request);
    if (entry == NULL) {
        return;
    }
    if (!is_lfu(keyspace_policy(keyspace))) {
        resp_errorf(&request->reply,
                    "ERR An LFU maxmemory policy is not selected, access frequency not tracked.%s",
                    policy_note);
        return;
    }
    resp_integer(&request->reply, keyspace_frequency(keyspace, entry));
}

void command_object_idletime(struct request *request) {
    const struct keyspace *keyspace = request->context->keyspace;
    const struct entry *entry = look_up(request);
    if (entry == NULL) {
        return;
    }
    if (is_lfu(keyspace_policy(keyspace))) {
        resp_errorf(&request->reply, "ERR An LFU maxmemory policy is selected, idle time not tracked.%s",
                    policy_note);
        return;
    }
    resp_integer(&request->reply, keyspace_idle_ms(keyspace, entry) / 1000);
}

/* Redis shares small numbers among keys, but where each key has to remember its own use. */
void command_object_refcount(struct request *request) {
    const struct keyspace *keyspace = request->context->keyspace;
    const struct entry *entry = look_up(request);
    int64_t number;
    if (entry == NULL) {
        return;
    }
    enum eviction_policy policy = keyspace_policy(keyspace);
    bool shares = keyspace_maxmemory_bytes(keyspace) == 0 || (!is_lru(policy) && !is_lfu(policy));
    bool shared = shares && as_integer(entry_value(entry), &number) && number >= 0 && number < SHARED_INTEGERS;
    resp_integer(&request->reply, shared ? SHARED_REFERENCES : 1);
}
