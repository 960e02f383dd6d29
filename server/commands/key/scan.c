/* scan.c: looking for keys: KEYS, SCAN. */
#include "protocol/glob.h"
#include "protocol/num.h"
#include "server/commands/rows.h"
#include "server/dispatch/walk.h"

#include <stdlib.h>

/* --- KEYS
 * --------------------------------------------------------------------------------------------------------- */

struct keys_state {
    size_t length;
    char pattern[];
};

static void keys_visit(struct walk *walk, const struct entry *entry) {
    const struct keys_state *state = walk_state(walk);
    struct slice key = entry_key(entry);
    if (glob_match(slice_of(state->pattern, state->length), key, GLOB_CASE)) {
        walk_add_bulk(walk, key);
    }
}

static void keys_finish(struct walk *walk, struct resp_reply *reply) { resp_array(reply, walk_added(walk)); }

static const struct walk_kind keys_kind = {keys_visit, keys_finish, free};

void command_keys(struct request *request) {
    struct slice pattern = request->args[1];
    struct keys_state *state = malloc(sizeof(*state) + pattern.len);
    if (state != NULL) {
        state->length = pattern.len;
        if (pattern.len > 0) {
            memcpy(state->pattern, pattern.ptr, pattern.len);
        }
    }
    walk_start(request, &keys_kind, state);
}

/* --- SCAN
 * --------------------------------------------------------------------------------------------------------- */

enum {
    SCAN_DEFAULT_COUNT = 10,
    /* So many buckets at most in one call whatever COUNT says (a bucket may be full, its entries out of the
       caches). */
    SCAN_MAX_BUCKETS = 512,
};

struct scan {
    struct slice pattern;
    bool has_pattern;
    bool other_type; /* TYPE asks for something that no key here is */
    uint64_t count;
    size_t visited, found;
    struct resp_reply reply;
};

static void scan_visit(void *context, const struct entry *entry) {
    struct scan *scan = context;
    struct slice key = entry_key(entry);
    scan->visited++;
    if (!scan->other_type && (!scan->has_pattern || glob_match(scan->pattern, key, GLOB_CASE))) {
        scan->found++;
        resp_bulk(&scan->reply, key);
    }
}

/* As Redis's strtoul reads it: up to a NUL, nothing at all is 0, leading zeros and a sign are fine; but no
 * blanks.
 */
static bool parse_cursor(struct slice text, uint64_t *cursor) {
    text = slice_first(text, strnlen(text.ptr, text.len));
    *cursor = 0;
    if (text.len == 0) {
        return true;
    }
    bool negative = text.ptr[0] == '-';
    if (negative || text.ptr[0] == '+') {
        text = slice_skip(text, 1);
    }
    while (text.len > 1 && text.ptr[0] == '0') {
        text = slice_skip(text, 1);
    }
    bool ok = num_parse_u64(text, cursor);
    *cursor = negative ? -*cursor : *cursor;
    return ok;
}

static bool parse_scan_options(struct request *request, struct scan *scan) {
    for (size_t i = 2; i < request->arg_count; i += 2) {
        bool has_value = i + 1 < request->arg_count;
        int64_t count;
        if (has_value && request_word(request, i, SLICE("count"))) {
            if (!request_integer(request, i + 1, &count)) {
                return false;
            }
            if (count < 1) {
                resp_error(&request->reply, ERR_SYNTAX);
                return false;
            }
            scan->count = (uint64_t)count;
        } else if (has_value && request_word(request, i, SLICE("match"))) {
            scan->pattern = request->args[i + 1];
            scan->has_pattern = true;
        } else if (has_value && request_word(request, i, SLICE("type"))) {
            scan->other_type = !request_word(request, i + 1, SLICE("string"));
        } else {
            resp_error(&request->reply, ERR_SYNTAX);
            return false;
        }
    }
    return true;
}

/* Ends when COUNT keys were looked at, or enough buckets: fewer keys than asked for, even none, are a legal
 * answer. */
static uint64_t scan_buckets(const struct keyspace *keyspace, uint64_t cursor, struct scan *scan) {
    uint64_t buckets = scan->count < SCAN_MAX_BUCKETS / 10 ? scan->count * 10 : SCAN_MAX_BUCKETS;
    do {
        cursor = keyspace_scan(keyspace, cursor, scan_visit, scan);
        buckets--;
    } while (cursor != 0 && scan->visited < scan->count && buckets > 0);
    return cursor;
}

void command_scan(struct request *request) {
    struct buf keys;
    buf_init(&keys, SIZE_MAX);
    struct scan scan = {.count = SCAN_DEFAULT_COUNT,
                        .reply = {.out = &keys, .version = request->reply.version}};
    uint64_t cursor;
    if (!parse_cursor(request->args[1], &cursor)) {
        resp_errorf(&request->reply, "ERR invalid cursor");
        return;
    }
    if (!parse_scan_options(request, &scan)) {
        return;
    }
    cursor = scan_buckets(request->context->keyspace, cursor, &scan);
    if (buf_failed(&keys)) {
        resp_error(&request->reply, ERR_NO_MEMORY);
    } else {
        resp_array(&request->reply, 2);
        resp_bulk_number(&request->reply, cursor);
        resp_array(&request->reply, scan.found);
        buf_append_slice(request->reply.out, buf_slice(&keys));
    }
    buf_deinit(&keys);
}
