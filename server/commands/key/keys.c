/* generic.c: commands about keys whatever they hold, and about the whole of the data at once. */
#include "server/commands/rows.h"
#include "server/dispatch/command.h"
#include "server/store/keyspace.h"

static void count_deleted(struct request *request, const struct key *key, void *context) {
    int64_t *count = context;
    *count += keyspace_delete(request->context->keyspace, key, KEYSPACE_ALWAYS, 0, NULL) == ERR_NONE;
}

void command_del(struct request *request) {
    int64_t count = 0;
    request_each_key(request, count_deleted, &count);
    resp_integer(&request->reply, count);
}

static void count_present(struct request *request, const struct key *key, void *context) {
    int64_t *count = context;
    *count += keyspace_find(request->context->keyspace, key, KEYSPACE_READ) != NULL;
}

/* Its memory is given back as that of any other deletion. */
void command_unlink(struct request *request) { command_del(request); }

static void reply_present(struct request *request, bool touching) {
    int64_t count = 0;
    bool before = keyspace_set_touching(request->context->keyspace, touching);
    request_each_key(request, count_present, &count);
    keyspace_set_touching(request->context->keyspace, before);
    resp_integer(&request->reply, count);
}

void command_exists(struct request *request) { reply_present(request, false); }

/* A use even by a client that has said CLIENT NO-TOUCH. */
void command_touch(struct request *request) { reply_present(request, true); }

void command_type(struct request *request) {
    if (keyspace_find(request->context->keyspace, &request->key, KEYSPACE_LOOK) == NULL) {
        RESP_LITERAL(&request->reply, "+none\r\n");
    } else {
        RESP_LITERAL(&request->reply, "+string\r\n");
    }
}

void command_randomkey(struct request *request) {
    const struct entry *entry = keyspace_random(request->context->keyspace);
    if (entry == NULL) {
        resp_null(&request->reply);
    } else {
        resp_bulk(&request->reply, entry_key(entry));
    }
}

/* --- A value under another name, with its deadline --- */

/* The value is a copy: a write may make room at the cost of the entry that it was read from. False: replied
 * that there is no memory for it. copy is to be freed in any case. */
static bool take_value(struct request *request, const struct entry *entry, struct buf *copy,
                       struct keyspace_set *set) {
    int64_t deadline_ms = entry_deadline_ms(entry);
    buf_init(copy, SIZE_MAX);
    buf_append_slice(copy, entry_value(entry));
    if (buf_failed(copy)) {
        resp_error(&request->reply, ERR_NO_MEMORY);
        return false;
    }
    *set = (struct keyspace_set){
        .value = buf_slice(copy),
        .deadline = deadline_ms == 0 ? KEYSPACE_DEADLINE_CLEAR : KEYSPACE_DEADLINE_SET,
        .deadline_ms = deadline_ms,
    };
    return true;
}

enum rename_result { RENAME_FAILED, RENAME_DONE, RENAME_OCCUPIED, RENAME_SAME };

/* RENAME_FAILED: replied with the error. */
static enum rename_result rename_key(struct request *request, bool only_absent) {
    struct keyspace *keyspace = request->context->keyspace;
    struct key from = keyspace_key(keyspace, request_key_name(request, 0));
    struct key to = keyspace_key(keyspace, request_key_name(request, 1));
    bool occupied =
        keyspace_find(keyspace, &to, KEYSPACE_TOUCH) != NULL; /* first: it may delete one that has expired */
    const struct entry *entry = keyspace_find(keyspace, &from, KEYSPACE_TOUCH);
    if (entry == NULL) {
        resp_errorf(&request->reply, "ERR no such key");
        return RENAME_FAILED;
    }
    if (slice_equals(from.name, to.name)) {
        return RENAME_SAME;
    }
    if (occupied && only_absent) {
        return RENAME_OCCUPIED;
    }
    enum err err = keyspace_rename(keyspace, &from, &to);
    if (err != ERR_NONE) {
        resp_error(&request->reply, err);
        return RENAME_FAILED;
    }
    return RENAME_DONE;
}

void command_rename(struct request *request) {
    if (rename_key(request, false) != RENAME_FAILED) {
        reply_ok(request);
    }
}

void command_renamenx(struct request *request) {
    enum rename_result result = rename_key(request, true);
    if (result != RENAME_FAILED) {
        resp_integer(&request->reply, result == RENAME_DONE);
    }
}

/* False: replied with an error. There is one database, number 0. */
static bool parse_copy_options(struct request *request, bool *replace) {
    for (size_t i = 3; i < request->arg_count; i++) {
        int64_t database;
        if (request_word(request, i, SLICE("replace"))) {
            *replace = true;
        } else if (request_word(request, i, SLICE("db")) && i + 1 < request->arg_count) {
            if (!request_integer(request, ++i, &database)) {
                return false;
            }
            if (database < INT32_MIN || database > INT32_MAX) {
                resp_errorf(&request->reply, "ERR value is out of range, value must between %d and %d",
                            INT32_MIN, INT32_MAX);
                return false;
            }
            if (database != 0) {
                resp_errorf(&request->reply, "ERR DB index is out of range");
                return false;
            }
        } else {
            resp_error(&request->reply, ERR_SYNTAX);
            return false;
        }
    }
    return true;
}

void command_copy(struct request *request) {
    struct keyspace *keyspace = request->context->keyspace;
    bool replace = false;
    if (!parse_copy_options(request, &replace)) {
        return;
    }
    struct key from = keyspace_key(keyspace, request_key_name(request, 0));
    struct key to = keyspace_key(keyspace, request_key_name(request, 1));
    if (slice_equals(from.name, to.name)) {
        resp_errorf(&request->reply, "ERR source and destination objects are the same");
        return;
    }
    const struct entry *entry = keyspace_find(keyspace, &from, KEYSPACE_READ);
    if (entry == NULL) {
        resp_integer(&request->reply, 0);
        return;
    }
    struct buf copy;
    struct keyspace_set set;
    if (take_value(request, entry, &copy, &set)) {
        set.condition = replace ? KEYSPACE_ALWAYS : KEYSPACE_IF_ABSENT;
        enum err err = keyspace_set(keyspace, &to, &set, NULL);
        if (err == ERR_NONE || err == ERR_PRECONDITION) {
            resp_integer(&request->reply, err == ERR_NONE);
        } else {
            resp_error(&request->reply, err);
        }
    }
    buf_deinit(&copy);
}

/* --- The whole of the data --- */

void command_move(struct request *request) {
    resp_errorf(&request->reply, "ERR MOVE is not allowed in cluster mode");
}

void command_swapdb(struct request *request) {
    resp_errorf(&request->reply, "ERR SWAPDB is not allowed in cluster mode");
}

void command_dbsize(struct request *request) {
    resp_integer(&request->reply, (int64_t)keyspace_count(request->context->keyspace));
}

/* Memory is always given back in the background: ASYNC and SYNC are the same. */
void command_flushall(struct request *request) {
    if (request->arg_count > 2 || (request->arg_count == 2 && !request_word(request, 1, SLICE("async")) &&
                                   !request_word(request, 1, SLICE("sync")))) {
        resp_error(&request->reply, ERR_SYNTAX);
        return;
    }
    keyspace_flush(request->context->keyspace);
    reply_ok(request);
}

/* There is one database. */
void command_flushdb(struct request *request) { command_flushall(request); }
