/* scan.c: looking for keys: KEYS, SCAN. */
#include "protocol/glob.h"
#include "protocol/num.h"
#include "server/commands/rows.h"
#include "server/dispatch/walk.h"
#include "server/store/keyspace.h"

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

static const struct walk_kind keys_kind = {.visit = keys_visit, .finish = keys_finish, .release = free};

void command_keys(struct request *request) {
    struct slice pattern = request->args[1];
    struct keys_state *state = malloc(sizeof(*state) + pattern.len);
    if (state != NULL) {
        state->length = pattern.len;
        if (pattern.len > 0) {
            memcpy(state->pattern, pattern.ptr, pattern.len);
        }
    }
    walk_start(request, &keys_kind, 0, state);
}

/* --- SCAN
 * --------------------------------------------------------------------------------------------------------- */

enum {
    SCAN_DEFAULT_COUNT = 10,
    SCAN_MAX_COUNT = 100000, /* more is not honoured: it would be gathered in memory */
    SCAN_AT_ONCE = 1000,     /* more is gathered in slices */
    SCAN_BUCKETS_A_KEY = 10, /* as in Redis: an empty table is not walked to its end for a few keys */
    SCAN_BUCKETS_AT_ONCE = 512,
};

struct scan {
    bool other_type; /* TYPE asks for something that no key here is */
    bool has_pattern;
    struct slice pattern;
    size_t count;
    size_t visited, buckets;
};

/* Fewer keys than asked for, even none, are a legal answer. */
static bool scan_is_enough(struct scan *scan) {
    return scan->visited >= scan->count || ++scan->buckets >= scan->count * SCAN_BUCKETS_A_KEY;
}

static bool scan_finds(struct scan *scan, struct slice key) {
    scan->visited++;
    return !scan->other_type && (!scan->has_pattern || glob_match(scan->pattern, key, GLOB_CASE));
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
            scan->count = count < SCAN_MAX_COUNT ? (size_t)count : SCAN_MAX_COUNT;
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

/* --- at once */

struct scan_now {
    struct scan scan;
    size_t found;
    struct resp_reply reply;
};

static void visit_now(void *context, const struct entry *entry) {
    struct scan_now *now = context;
    if (scan_finds(&now->scan, entry_key(entry))) {
        now->found++;
        resp_bulk(&now->reply, entry_key(entry));
    }
}

static void scan_at_once(struct request *request, const struct scan *scan, uint64_t cursor) {
    struct buf keys;
    buf_init(&keys, SIZE_MAX);
    struct scan_now now = {.scan = *scan, .reply = {.out = &keys, .version = request->reply.version}};
    do {
        cursor = keyspace_scan(request->context->keyspace, cursor, visit_now, &now);
    } while (cursor != 0 && !scan_is_enough(&now.scan) && now.scan.buckets < SCAN_BUCKETS_AT_ONCE);
    if (buf_failed(&keys)) {
        resp_error(&request->reply, ERR_NO_MEMORY);
    } else {
        resp_array(&request->reply, 2);
        resp_bulk_number(&request->reply, cursor);
        resp_array(&request->reply, now.found);
        buf_append_slice(request->reply.out, buf_slice(&keys));
    }
    buf_deinit(&keys);
}

/* --- in slices */

struct scan_state {
    struct scan scan; /* its pattern is these bytes */
    char pattern[];
};

static void visit_in_slices(struct walk *walk, const struct entry *entry) {
    struct scan_state *state = walk_state(walk);
    if (scan_finds(&state->scan, entry_key(entry))) {
        walk_add_bulk(walk, entry_key(entry));
    }
}

static bool is_enough_in_slices(struct walk *walk) {
    struct scan_state *state = walk_state(walk);
    return scan_is_enough(&state->scan);
}

static void finish_slices(struct walk *walk, struct resp_reply *reply) {
    resp_array(reply, 2);
    resp_bulk_number(reply, walk_cursor(walk));
    resp_array(reply, walk_added(walk));
}

static const struct walk_kind scan_kind = {visit_in_slices, is_enough_in_slices, finish_slices, free};

static void scan_in_slices(struct request *request, const struct scan *scan, uint64_t cursor) {
    struct scan_state *state = malloc(sizeof(*state) + scan->pattern.len);
    if (state != NULL) {
        state->scan = *scan;
        if (scan->pattern.len > 0) {
            memcpy(state->pattern, scan->pattern.ptr, scan->pattern.len);
        }
        state->scan.pattern = slice_of(state->pattern, scan->pattern.len);
    }
    walk_start(request, &scan_kind, cursor, state);
}

void command_scan(struct request *request) {
    struct scan scan = {.count = SCAN_DEFAULT_COUNT};
    uint64_t cursor;
    if (!parse_cursor(request->args[1], &cursor)) {
        resp_errorf(&request->reply, "ERR invalid cursor");
        return;
    }
    if (!parse_scan_options(request, &scan)) {
        return;
    }
    (scan.count > SCAN_AT_ONCE ? scan_in_slices : scan_at_once)(request, &scan, cursor);
}
