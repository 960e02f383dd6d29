#include "server/rest/listing.h"

#include "protocol/glob.h"
#include "protocol/json_text.h"
#include "protocol/num.h"
#include "server/rest/admission.h"
#include "server/rest/handlers.h"
#include "server/rest/problem.h"
#include "server/rest/streamed.h"
#include "server/store/keyspace.h"

#include <stdlib.h>

/* A slice is over after so many keys, or so many steps of the table's cursor. */
enum { KEYS_A_SLICE = 256, STEPS_A_SLICE = 256 };

struct listing {
    struct streamed streamed;
    struct listing_cursor at;
    uint64_t limit; /* of keys in the page */
    uint64_t count; /* keys listed */
    bool begun, cut;
    struct slice match, prefix; /* in filters; match of length 0: none */
    char filters[];
};

/* --- The cursor --- */

/* Takes hexadecimal digits, 1 to 16, off *rest. */
static bool take_hex(struct slice *rest, uint64_t *out) {
    size_t n = 0;
    for (*out = 0; n < rest->len && n < 16; n++) {
        char c = rest->ptr[n];
        if (c >= '0' && c <= '9') {
            *out = *out << 4 | (uint64_t)(c - '0');
        } else if (c >= 'a' && c <= 'f') {
            *out = *out << 4 | (uint64_t)(c - 'a' + 10);
        } else {
            break;
        }
    }
    *rest = slice_skip(*rest, n);
    return n > 0;
}

static bool take_dot(struct slice *rest) {
    bool there = rest->len > 0 && rest->ptr[0] == '.';
    *rest = slice_skip(*rest, there);
    return there;
}

bool listing_cursor_parse(struct slice text, struct listing_cursor *out) {
    *out = (struct listing_cursor){0};
    if (!take_hex(&text, &out->table)) {
        return false;
    }
    return text.len == 0 || (take_dot(&text) && take_hex(&text, &out->passed) && take_dot(&text) &&
                             take_hex(&text, &out->checksum) && text.len == 0);
}

static char *put_hex(char *to, uint64_t number) {
    int shift = 60;
    while (shift > 0 && number >> shift == 0) {
        shift -= 4;
    }
    for (; shift >= 0; shift -= 4) {
        *to++ = "0123456789abcdef"[number >> shift & 15];
    }
    return to;
}

size_t listing_cursor_write(char to[LISTING_CURSOR_BYTES], const struct listing_cursor *cursor) {
    char *end = put_hex(to, cursor->table);
    if (cursor->passed > 0) {
        *end++ = '.';
        end = put_hex(end, cursor->passed);
        *end++ = '.';
        end = put_hex(end, cursor->checksum);
    }
    return (size_t)(end - to);
}

/* FNV-1a of one more key. */
static uint64_t checksum_add(uint64_t checksum, struct slice key) {
    checksum = (checksum ^ key.len) * UINT64_C(0x100000001b3);
    for (size_t i = 0; i < key.len; i++) {
        checksum = (checksum ^ (unsigned char)key.ptr[i]) * UINT64_C(0x100000001b3);
    }
    return checksum;
}

/* --- Looking at what the table's cursor stands for --- */

/* The keys that were passed when the page was cut, as they are now. */
struct recall {
    uint64_t wanted, seen, checksum;
};

static void recall_entry(void *context, const struct entry *entry) {
    struct recall *recall = context;
    if (recall->seen < recall->wanted) {
        recall->seen++;
        recall->checksum = checksum_add(recall->checksum, entry_key(entry));
    }
}

static bool still_there(const struct keyspace *keyspace, const struct listing_cursor *cursor) {
    struct recall recall = {.wanted = cursor->passed};
    keyspace_scan(keyspace, cursor->table, recall_entry, &recall);
    return recall.seen == recall.wanted && recall.checksum == cursor->checksum;
}

struct look {
    struct listing *listing;
    uint64_t skip; /* entries passed already, on the page before */
    uint64_t seen;
};

static bool is_wanted(const struct listing *listing, struct slice key) {
    return key.len >= listing->prefix.len &&
           slice_equals(slice_first(key, listing->prefix.len), listing->prefix) &&
           (listing->match.len == 0 || glob_match(listing->match, key, GLOB_CASE));
}

static void list_entry(void *context, const struct entry *entry) {
    struct look *look = context;
    struct listing *listing = look->listing;
    if (look->seen++ < look->skip) {
        return;
    }
    if (listing->count == listing->limit) {
        listing->cut = true;
        return;
    }
    struct slice key = entry_key(entry);
    listing->at.passed++;
    listing->at.checksum = checksum_add(listing->at.checksum, key);
    if (is_wanted(listing, key)) {
        if (listing->count++ > 0) {
            buf_append_byte(listing->streamed.reply.out, ',');
        }
        json_text_write(listing->streamed.reply.out, key);
    }
}

/* One step of the table's cursor; false: the page ends here. *seen grows by the keys looked at. */
static bool list_step(struct listing *listing, size_t *seen) {
    struct look look = {.listing = listing, .skip = listing->at.passed};
    uint64_t next = keyspace_scan(listing->streamed.keyspace, listing->at.table, list_entry, &look);
    *seen += look.seen;
    if (listing->cut) {
        return false;
    }
    listing->at = (struct listing_cursor){.table = next};
    return next != 0 && listing->count < listing->limit;
}

/* --- The stream --- */

static void write_tail(struct listing *listing) {
    struct buf *out = listing->streamed.reply.out;
    buf_append_slice(out, SLICE("],\"count\":"));
    buf_append_u64(out, listing->count);
    if (listing->cut || listing->at.table != 0) {
        char cursor[LISTING_CURSOR_BYTES];
        buf_append_slice(out, SLICE(",\"cursor\":\""));
        buf_append(out, cursor, listing_cursor_write(cursor, &listing->at));
        buf_append_byte(out, '"');
    }
    buf_append_slice(out, SLICE("}\n"));
}

static bool write_slice(struct streamed *streamed) {
    struct listing *listing = (struct listing *)streamed;
    if (!listing->begun) {
        listing->begun = true;
        buf_append_slice(streamed->reply.out, SLICE("{\"keys\":["));
    }
    bool more = true;
    size_t seen = 0;
    for (size_t steps = 0; more && steps < STEPS_A_SLICE && seen < KEYS_A_SLICE && !streamed_is_full(streamed);
         steps++) {
        more = list_step(listing, &seen);
    }
    if (!more) {
        write_tail(listing);
    }
    return more;
}

/* --- The endpoint --- */

enum param { PARAM_MATCH, PARAM_PREFIX, PARAM_LIMIT, PARAM_CURSOR, PARAMS };

static struct listing *create(struct exchange *exchange, const struct http_param params[PARAMS], uint64_t limit,
                              const struct listing_cursor *at) {
    struct slice match = params[PARAM_MATCH].value, prefix = params[PARAM_PREFIX].value;
    struct listing *listing = calloc(1, sizeof(*listing) + match.len + prefix.len);
    if (listing == NULL) {
        return NULL;
    }
    streamed_init(&listing->streamed, exchange, write_slice);
    listing->at = *at;
    listing->limit = limit;
    memcpy(listing->filters, match.ptr, match.len);
    memcpy(listing->filters + match.len, prefix.ptr, prefix.len);
    listing->match = slice_of(listing->filters, match.len);
    listing->prefix = slice_of(listing->filters + match.len, prefix.len);
    return listing;
}

void rest_list(struct exchange *exchange) {
    struct http_param params[PARAMS] = {
        [PARAM_MATCH] = {.name = SLICE("match")},
        [PARAM_PREFIX] = {.name = SLICE("prefix")},
        [PARAM_LIMIT] = {.name = SLICE("limit")},
        [PARAM_CURSOR] = {.name = SLICE("cursor")},
    };
    if (!rest_read_query(exchange, params, PARAMS)) {
        return;
    }
    uint64_t limit = UINT64_MAX;
    if (params[PARAM_LIMIT].given && (!num_parse_u64(params[PARAM_LIMIT].value, &limit) || limit == 0)) {
        rest_problem(exchange, ERR_BAD_REQUEST, "limit is a number of keys, at least 1");
        return;
    }
    struct listing_cursor at = {0};
    if (params[PARAM_CURSOR].given && !listing_cursor_parse(params[PARAM_CURSOR].value, &at)) {
        rest_problem(exchange, ERR_BAD_REQUEST, "cursor is not one that a page has given");
        return;
    }
    if (!rest_admits(exchange, (struct demand){.data = true})) {
        return;
    }
    if (at.passed > 0 && !still_there(exchange->context->keyspace, &at)) {
        at.passed = at.checksum = 0;
    }
    exchange->reply.keep_alive &= !exchange->reply.http10; /* the body of HTTP/1.0 ends with the connection */
    struct listing *listing = exchange->reply.head_only ? NULL : create(exchange, params, limit, &at);
    if (listing == NULL && !exchange->reply.head_only) {
        rest_problem(exchange, ERR_NO_MEMORY, NULL);
        return;
    }
    http_reply_start(&exchange->reply, 200);
    http_reply_field(&exchange->reply, HTTP_FIELD("Content-Type: application/json"));
    http_reply_end_streamed(&exchange->reply);
    if (listing != NULL) {
        rest_send_body(exchange, &listing->streamed.body);
    }
}
