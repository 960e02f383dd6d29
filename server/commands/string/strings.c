/* strings.c: whole values: GET, SET and their relatives, of one key or many. What changes a part of a value is
 * in ranges.c and bits.c, what calculates with it in counters.c. */
#include "server/commands/rows.h"
#include "server/commands/string/values.h"
#include "server/commands/string/write_options.h"
#include "server/options.h"
#include "server/store/keyspace.h"

#include "protocol/limits.h"

static void reply_entry(struct request *request, const struct entry *entry) {
    if (entry == NULL) {
        resp_null(&request->reply);
    } else {
        reply_value(request, entry, entry_value(entry));
    }
}

void command_get(struct request *request) {
    reply_entry(request, keyspace_find(request->context->keyspace, &request->key, KEYSPACE_READ));
}

void command_strlen(struct request *request) {
    struct slice value =
        value_or_empty(keyspace_find(request->context->keyspace, &request->key, KEYSPACE_READ));
    resp_integer(&request->reply, (int64_t)value.len);
}

void command_getdel(struct request *request) {
    command_get(request);
    keyspace_delete(request->context->keyspace, &request->key, KEYSPACE_ALWAYS, 0, NULL);
}

/* As a reply that may still be taken back, and lasts when the value is overwritten. */
static void reply_old_value(struct request *request, const struct entry *entry) {
    if (entry == NULL) {
        resp_null(&request->reply);
    } else {
        resp_bulk(&request->reply, entry_value(entry));
    }
}

/* Replies with the old value, then overwrites it. */
static void reply_old_value_and_set(struct request *request, const struct keyspace_set *set, bool set_it) {
    size_t before = buf_used(request->reply.out);
    struct table_place place = value_place(request, KEYSPACE_READ);
    struct keyspace_set there = *set;
    there.place = &place;
    reply_old_value(request, place.entry);
    enum err err =
        set_it ? keyspace_set(request->context->keyspace, &request->key, &there, NULL) : ERR_PRECONDITION;
    if (err != ERR_NONE && err != ERR_PRECONDITION) {
        buf_truncate(request->reply.out, before);
        resp_error(&request->reply, err);
    }
}

void command_getset(struct request *request) {
    struct keyspace_set set = {.value = request->args[2], .reserve = request->reserve};
    reply_old_value_and_set(request, &set, true);
}

/* GETEX: the deadline changes after the value has been told: 0: none. */
void command_getex(struct request *request) {
    struct keyspace *keyspace = request->context->keyspace;
    struct write_options options = {0};
    if (!write_options_parse(request, 2, WRITE_PERSIST | WRITE_TIMES, &options)) {
        return;
    }
    const struct entry *entry = keyspace_find(keyspace, &request->key, KEYSPACE_READ);
    if (entry == NULL) {
        resp_null(&request->reply);
        return;
    }
    int64_t deadline_ms = 0;
    if (options.time_at > 0 && !expiry_parse_positive(request, options.time_at, options.form, &deadline_ms)) {
        return;
    }
    bool persist = (options.given & WRITE_PERSIST) != 0 && entry_deadline_ms(entry) != 0;
    size_t before = buf_used(request->reply.out);
    resp_bulk(&request->reply, entry_value(entry));
    if (options.time_at == 0 && !persist) {
        return;
    }
    enum err err = keyspace_expire(keyspace, &request->key, deadline_ms);
    if (err != ERR_NONE) {
        buf_truncate(request->reply.out, before);
        resp_error(&request->reply, err);
    }
}

/* --- SET --- */

/* Valkey's IFEQ: only over a value that is there and equal. */
static bool ifeq_holds(struct request *request, const struct write_options *options) {
    if (options->ifeq_at == 0) {
        return true;
    }
    const struct entry *entry = keyspace_find(request->context->keyspace, &request->key, KEYSPACE_QUIETLY);
    return entry != NULL && slice_equals(entry_value(entry), request->args[options->ifeq_at]);
}

static void reply_set(struct request *request, const struct keyspace_set *set, bool set_it) {
    enum err err =
        set_it ? keyspace_set(request->context->keyspace, &request->key, set, NULL) : ERR_PRECONDITION;
    if (err == ERR_PRECONDITION) {
        resp_null(&request->reply);
    } else if (value_written(request, err)) {
        reply_ok(request);
    }
}

void command_set(struct request *request) {
    struct write_options options = {0};
    struct keyspace_set set = {.value = request->args[2], .reserve = request->reserve};
    if (request->arg_count > 3) {
        unsigned allowed = WRITE_NX | WRITE_XX | WRITE_IFEQ | WRITE_GET | WRITE_KEEPTTL | WRITE_TIMES;
        if (!write_options_parse(request, 3, allowed, &options) ||
            !write_options_deadline(request, &options, &set)) {
            return;
        }
        set.condition = (options.given & WRITE_NX) != 0   ? KEYSPACE_IF_ABSENT
                        : (options.given & WRITE_XX) != 0 ? KEYSPACE_IF_PRESENT
                                                          : KEYSPACE_ALWAYS;
    }
    bool set_it = ifeq_holds(request, &options);
    if ((options.given & WRITE_GET) != 0) {
        reply_old_value_and_set(request, &set, set_it);
    } else {
        reply_set(request, &set, set_it);
    }
}

void command_setnx(struct request *request) {
    struct keyspace_set set = {
        .value = request->args[2], .condition = KEYSPACE_IF_ABSENT, .reserve = request->reserve};
    enum err err = keyspace_set(request->context->keyspace, &request->key, &set, NULL);
    if (err == ERR_PRECONDITION) {
        resp_integer(&request->reply, 0);
    } else if (value_written(request, err)) {
        resp_integer(&request->reply, 1);
    }
}

static void set_with_time(struct request *request, struct expiry_form form) {
    struct keyspace_set set = {
        .value = request->args[3], .deadline = KEYSPACE_DEADLINE_SET, .reserve = request->reserve};
    if (expiry_parse_positive(request, 2, form, &set.deadline_ms)) {
        reply_set(request, &set, true);
    }
}

void command_setex(struct request *request) { set_with_time(request, (struct expiry_form){.seconds = true}); }

void command_psetex(struct request *request) { set_with_time(request, (struct expiry_form){0}); }

/* --- Many keys --- */

static void reply_one_of_many(struct request *request, const struct key *key, void *context) {
    (void)context;
    reply_entry(request, keyspace_find(request->context->keyspace, key, KEYSPACE_READ));
}

void command_mget(struct request *request) {
    resp_array(&request->reply, request_key_count(request));
    request_each_key(request, reply_one_of_many, NULL);
}

struct many_writes {
    struct keyspace_many many;
    size_t value_at; /* the argument that is the next key's value */
};

static void set_one_of_many(struct request *request, const struct key *key, void *context) {
    struct many_writes *writes = context;
    keyspace_many_set(&writes->many, key, request->args[writes->value_at]);
    writes->value_at += 2;
}

/* All or none, here and, as one batch of the history, for a follower. False: replied with an error. */
static bool set_many(struct request *request) {
    struct many_writes writes = {.value_at = 2};
    keyspace_many_begin(&writes.many, request->context->keyspace, request_key_count(request));
    request_each_key(request, set_one_of_many, &writes);
    return value_written(request, keyspace_many_end(&writes.many));
}

static bool are_pairs(struct request *request) {
    if (request->arg_count % 2 == 0) {
        reply_wrong_arity(request);
    }
    return request->arg_count % 2 != 0;
}

void command_mset(struct request *request) {
    if (are_pairs(request) && set_many(request)) {
        reply_ok(request);
    }
}

static void note_present(struct request *request, const struct key *key, void *context) {
    bool *any = context;
    *any = *any || keyspace_find(request->context->keyspace, key, KEYSPACE_TOUCH) != NULL;
}

void command_msetnx(struct request *request) {
    bool any = false;
    if (!are_pairs(request)) {
        return;
    }
    request_each_key(request, note_present, &any);
    if (any) {
        resp_integer(&request->reply, 0);
    } else if (set_many(request)) {
        resp_integer(&request->reply, 1);
    }
}
