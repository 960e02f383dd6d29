/* expiry.c: the commands about deadlines: EXPIRE, EXPIREAT, PERSIST, TTL, EXPIRETIME, and the same in ms. */
#include "server/commands/key/expiry.h"

#include "server/commands/rows.h"
#include "server/store/keyspace.h"

static bool to_deadline(struct request *request, int64_t time, struct expiry_form form, int64_t *deadline_ms) {
    int64_t deadline = time;
    if ((form.seconds && __builtin_mul_overflow(time, 1000, &deadline)) ||
        (!form.absolute &&
         __builtin_add_overflow(deadline, keyspace_now_ms(request->context->keyspace), &deadline)) ||
        deadline >= LINE_TIME_LIMIT_MS) {
        reply_invalid_expire(request);
        return false;
    }
    *deadline_ms = deadline;
    return true;
}

bool expiry_parse(struct request *request, size_t i, struct expiry_form form, int64_t *deadline_ms) {
    int64_t time;
    return request_integer(request, i, &time) && to_deadline(request, time, form, deadline_ms);
}

bool expiry_parse_positive(struct request *request, size_t i, struct expiry_form form, int64_t *deadline_ms) {
    int64_t time;
    if (!request_integer(request, i, &time)) {
        return false;
    }
    if (time <= 0) {
        reply_invalid_expire(request);
        return false;
    }
    return to_deadline(request, time, form, deadline_ms);
}

enum expire_option { EXPIRE_NX = 1, EXPIRE_XX = 2, EXPIRE_GT = 4, EXPIRE_LT = 8 };

static const struct {
    struct slice word;
    unsigned option;
} expire_words[] = {
    {{"nx", 2}, EXPIRE_NX}, {{"xx", 2}, EXPIRE_XX}, {{"gt", 2}, EXPIRE_GT}, {{"lt", 2}, EXPIRE_LT}};

static unsigned find_expire_word(const struct request *request, size_t i) {
    for (size_t n = 0; n < sizeof(expire_words) / sizeof(expire_words[0]); n++) {
        if (request_word(request, i, expire_words[n].word)) {
            return expire_words[n].option;
        }
    }
    return 0;
}

static bool parse_expire_options(struct request *request, unsigned *options) {
    for (size_t i = 3; i < request->arg_count; i++) {
        unsigned option = find_expire_word(request, i);
        if (option == 0) {
            struct slice arg = slice_first(request->args[i], 512);
            resp_errorf(&request->reply, "ERR Unsupported option %.*s", (int)arg.len, arg.ptr);
            return false;
        }
        *options |= option;
    }
    if ((*options & EXPIRE_NX) != 0 && *options != EXPIRE_NX) {
        resp_errorf(&request->reply, "ERR NX and XX, GT or LT options at the same time are not compatible");
        return false;
    }
    if ((*options & EXPIRE_GT) != 0 && (*options & EXPIRE_LT) != 0) {
        resp_errorf(&request->reply, "ERR GT and LT options at the same time are not compatible");
        return false;
    }
    return true;
}

/* A key without a deadline lives for ever: to GT and LT its deadline is infinite. */
static bool options_allow(unsigned options, int64_t current_ms, int64_t deadline_ms) {
    bool has = current_ms != 0;
    return !((options & EXPIRE_NX) != 0 && has) && !((options & EXPIRE_XX) != 0 && !has) &&
           !((options & EXPIRE_GT) != 0 && (!has || deadline_ms <= current_ms)) &&
           !((options & EXPIRE_LT) != 0 && has && deadline_ms >= current_ms);
}

static void expire(struct request *request, struct expiry_form form) {
    struct keyspace *keyspace = request->context->keyspace;
    unsigned options = 0;
    int64_t deadline_ms;
    if (!parse_expire_options(request, &options) || !expiry_parse(request, 2, form, &deadline_ms)) {
        return;
    }
    const struct entry *entry = keyspace_find(keyspace, &request->key, KEYSPACE_TOUCH);
    if (entry == NULL || !options_allow(options, entry_deadline_ms(entry), deadline_ms)) {
        resp_integer(&request->reply, 0);
        return;
    }
    /* To the keyspace 0 means none, and any time of the past deletes. */
    enum err err = keyspace_expire(keyspace, &request->key, deadline_ms > 0 ? deadline_ms : 1);
    if (err == ERR_NONE) {
        resp_integer(&request->reply, 1);
    } else {
        resp_error(&request->reply, err);
    }
}

void command_expire(struct request *request) { expire(request, (struct expiry_form){.seconds = true}); }

void command_pexpire(struct request *request) { expire(request, (struct expiry_form){0}); }

void command_expireat(struct request *request) {
    expire(request, (struct expiry_form){.seconds = true, .absolute = true});
}

void command_pexpireat(struct request *request) { expire(request, (struct expiry_form){.absolute = true}); }

void command_persist(struct request *request) {
    struct keyspace *keyspace = request->context->keyspace;
    const struct entry *entry = keyspace_find(keyspace, &request->key, KEYSPACE_TOUCH);
    if (entry == NULL || entry_deadline_ms(entry) == 0) {
        resp_integer(&request->reply, 0);
        return;
    }
    enum err err = keyspace_expire(keyspace, &request->key, 0);
    if (err == ERR_NONE) {
        resp_integer(&request->reply, 1);
    } else {
        resp_error(&request->reply, err);
    }
}

/* -2: no key; -1: no deadline. */
static int64_t read_deadline_ms(struct request *request) {
    const struct entry *entry = keyspace_find(request->context->keyspace, &request->key, KEYSPACE_LOOK);
    if (entry == NULL) {
        return -2;
    }
    int64_t deadline_ms = entry_deadline_ms(entry);
    return deadline_ms == 0 ? -1 : deadline_ms;
}

/* Likewise, else the ms that are left. */
static int64_t time_left_ms(struct request *request) {
    int64_t deadline_ms = read_deadline_ms(request);
    if (deadline_ms < 0) {
        return deadline_ms;
    }
    int64_t left = deadline_ms - keyspace_now_ms(request->context->keyspace);
    return left > 0 ? left : 0;
}

void command_ttl(struct request *request) {
    int64_t left = time_left_ms(request);
    resp_integer(&request->reply, left < 0 ? left : (left + 500) / 1000);
}

void command_pttl(struct request *request) { resp_integer(&request->reply, time_left_ms(request)); }

void command_expiretime(struct request *request) {
    int64_t deadline_ms = read_deadline_ms(request);
    resp_integer(&request->reply, deadline_ms < 0 ? deadline_ms : (deadline_ms + 500) / 1000);
}

void command_pexpiretime(struct request *request) { resp_integer(&request->reply, read_deadline_ms(request)); }
