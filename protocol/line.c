#define _GNU_SOURCE 1 /* memrchr */
#include "protocol/line.h"

#include "protocol/datagram.h"
#include "protocol/field.h"
#include "protocol/num.h"
#include "protocol/percent.h"
#include "protocol/scan.h"

#include <assert.h>

/* What a field is: how far it goes, its domain, and the member of struct line that it fills. */
enum field {
    FIELD_NONE,
    FIELD_KEY,
    FIELD_KEY_X, /* _X: percent-encoded */
    FIELD_VALUE, /* raw: everything up to the last '|' of the line */
    FIELD_VALUE_X,
    FIELD_PATCH, /* percent-encoded, with '~' for NUL */
    FIELD_OFFSET,
    FIELD_VERSION,
    FIELD_ANY_VERSION,
    FIELD_TIMESTAMP,
    FIELD_DEADLINE,
    FIELD_INDEX,
    FIELD_INDEX_OR_NONE,
    FIELD_COUNT,
    FIELD_LINES,
    FIELD_HISTORY,
    FIELD_HISTORY_OR_NONE,
    FIELD_FORMING_OR_NONE,
    FIELD_TERM,        /* its number */
    FIELD_SINCE_TERM,  /* its text */
    FIELD_COMMON_TERM, /* likewise */
    FIELD_VOTERS,
    FIELD_WANTED,       /* a number of voters */
    FIELD_THESE_VOTERS, /* so many */
    FIELD_ACKS,
    FIELD_PHASE,
    FIELD_YES,
    FIELD_FIRM,
    FIELD_NODE_ID,
    FIELD_GROUP,
    FIELD_REASON, /* the rest, '|' and all */
    FIELD_LINE,   /* the whole line, for another decoder */
    /* From here on they may be missing at the end of a line. */
    FIELD_FIRST_OPTIONAL,
    FIELD_PULLED_HISTORY = FIELD_FIRST_OPTIONAL,
    FIELD_PULLED_INDEX,
    FIELD_TERM_OR_NONE, /* its text */
    FIELD_COMMON,       /* an index */
    FIELD_COMPRESSION,  /* a word that is not known offers nothing */
    FIELD_DURABLE,      /* an index */
    FIELD_ROUND,
    FIELD_ROUND_HEARD,
    FIELD_COMMITTED,
    FIELD_REASON_X, /* of a no */
};

enum { MOST_FIELDS = 7 };

#define NAME(literal)                                                                                          \
    { literal, sizeof(literal) - 1 }

static const struct row {
    struct slice name;
    enum line_verb verb;
    bool escaped;
    enum field fields[MOST_FIELDS + 1];
} rows[] = {
    {NAME("REPLICATE"), LINE_REPLICATE, false, {FIELD_KEY, FIELD_VALUE, FIELD_VERSION}},
    {NAME("REPLICATEX"),
     LINE_REPLICATE,
     true,
     {FIELD_KEY_X, FIELD_VALUE_X, FIELD_VERSION, FIELD_TIMESTAMP, FIELD_DEADLINE}},
    {NAME("PATCHX"),
     LINE_PATCH,
     true,
     {FIELD_KEY_X, FIELD_OFFSET, FIELD_PATCH, FIELD_VERSION, FIELD_TIMESTAMP}},
    {NAME("DELETE"), LINE_DELETE, false, {FIELD_KEY, FIELD_ANY_VERSION}},
    {NAME("DELETEX"), LINE_DELETE, true, {FIELD_KEY_X, FIELD_ANY_VERSION}},
    {NAME("EXPIREX"), LINE_EXPIRE, true, {FIELD_KEY_X, FIELD_DEADLINE}},
    {NAME("CLOCK"), LINE_CLOCK, false, {FIELD_TIMESTAMP}},
    {NAME("BATCH"), LINE_BATCH, false, {FIELD_LINES}},
    {NAME("TERM"), LINE_TERM, false, {FIELD_TERM, FIELD_NODE_ID}},
    {NAME("VOTERS"), LINE_VOTERS, false, {FIELD_VOTERS}},
    {NAME("ACKS"), LINE_ACKS, false, {FIELD_ACKS}},
    {NAME("FLUSH"), LINE_FLUSH, false, {FIELD_ANY_VERSION}},
    {NAME("FLOOR"), LINE_FLOOR, false, {FIELD_ANY_VERSION}},
    {NAME("ACK"), LINE_ACK, false, {FIELD_INDEX, FIELD_DURABLE, FIELD_ROUND_HEARD}},
    {NAME("PING"), LINE_PING, false, {FIELD_INDEX, FIELD_ROUND, FIELD_COMMITTED}},
    {NAME("LEAD"),
     LINE_LEAD,
     false,
     {FIELD_NODE_ID, FIELD_GROUP, FIELD_HISTORY, FIELD_INDEX, FIELD_TERM_OR_NONE, FIELD_COMPRESSION}},
    {NAME("SYNC"),
     LINE_SYNC,
     false,
     {FIELD_NODE_ID, FIELD_HISTORY_OR_NONE, FIELD_INDEX_OR_NONE, FIELD_TERM_OR_NONE, FIELD_COMPRESSION}},
    {NAME("CONTINUE"), LINE_CONTINUE, false, {FIELD_HISTORY, FIELD_INDEX}},
    {NAME("FULL"),
     LINE_FULL,
     false,
     {FIELD_HISTORY, FIELD_INDEX, FIELD_ANY_VERSION, FIELD_TERM_OR_NONE, FIELD_COMMON, FIELD_COMMON_TERM}},
    {NAME("SINCE"), LINE_SINCE, false, {FIELD_INDEX, FIELD_SINCE_TERM}},
    {NAME("END"), LINE_END, false, {FIELD_COUNT, FIELD_INDEX}},
    {NAME("PULL"), LINE_PULL, false, {FIELD_PULLED_HISTORY, FIELD_PULLED_INDEX, FIELD_TERM_OR_NONE}},
    {NAME("ERROR"), LINE_ERROR, false, {FIELD_REASON}},
    {NAME("WHO"), LINE_WHO, false, {FIELD_NONE}},
    {NAME("ANNOUNCE"), LINE_ANNOUNCE, false, {FIELD_LINE}},
    {NAME("ENDPOINTS"), LINE_ENDPOINTS, false, {FIELD_LINE}},
    {NAME("NODE"), LINE_NODE, false, {FIELD_NODE_ID}},
    {NAME("MESSAGE"), LINE_MESSAGE, true, {FIELD_KEY_X, FIELD_VALUE_X}},
    {NAME("VOTE"),
     LINE_VOTE,
     false,
     {FIELD_NODE_ID, FIELD_GROUP, FIELD_HISTORY, FIELD_TERM, FIELD_SINCE_TERM, FIELD_INDEX, FIELD_PHASE}},
    {NAME("VOTED"), LINE_VOTED, false, {FIELD_NODE_ID, FIELD_TERM, FIELD_PHASE, FIELD_YES, FIELD_FIRM}},
    {NAME("TIMEOUT_NOW"), LINE_TIMEOUT_NOW, false, {FIELD_TERM}},
    {NAME("TRANSFER"), LINE_TRANSFER, false, {FIELD_NODE_ID}},
    {NAME("VOTER"),
     LINE_VOTER,
     false,
     {FIELD_NODE_ID, FIELD_GROUP, FIELD_WANTED, FIELD_HISTORY_OR_NONE, FIELD_FORMING_OR_NONE}},
    {NAME("FORM"), LINE_FORM, false, {FIELD_GROUP, FIELD_WANTED, FIELD_THESE_VOTERS, FIELD_HISTORY}},
    {NAME("FORMED"), LINE_FORMED, false, {FIELD_NODE_ID, FIELD_HISTORY, FIELD_YES, FIELD_REASON_X}},
    {NAME("UNFORM"), LINE_UNFORM, false, {FIELD_HISTORY}},
};

/* Decoding: each reader returns NULL, or the reason why the line is malformed. */

struct decoder {
    struct slice line;
    struct slice rest; /* what the fields so far have left */
    struct buf *scratch;
    struct line *out;
};

static const char *read_bytes(struct slice text, size_t most_bytes, const char *too_long, struct slice *out) {
    *out = text;
    return text.len > most_bytes ? too_long : NULL;
}

static bool is_literal(struct slice text, enum percent_form form) {
    return text.len == 0 || (memchr(text.ptr, '%', text.len) == NULL &&
                             (form != PERCENT_TILDE_IS_NUL || memchr(text.ptr, '~', text.len) == NULL));
}

static const char *read_escaped(struct decoder *decoder, struct slice text, enum percent_form form,
                                size_t most_bytes, const char *too_long, struct slice *out) {
    if (is_literal(text, form)) {
        return read_bytes(text, most_bytes, too_long, out);
    }
    if (text.len > 3 * most_bytes) {
        return too_long;
    }
    /* Room for all that is left of the line at once: so a later field never moves an earlier one. */
    char *to = buf_reserve(decoder->scratch, text.len + decoder->rest.len);
    if (to == NULL) {
        return "out of memory";
    }
    size_t n;
    if (!percent_decode(text, form, to, &n)) {
        return "bad escape";
    }
    buf_commit(decoder->scratch, n);
    return read_bytes(slice_of(to, n), most_bytes, too_long, out);
}

static const char *read_number(struct slice text, uint64_t least, uint64_t most, const char *bad,
                               uint64_t *out) {
    return num_parse_u64(text, out) && *out >= least && *out <= most ? NULL : bad;
}

static const char *read_time(struct slice text, const char *bad, int64_t *out_ms) {
    uint64_t number = 0;
    bad = read_number(text, 0, LINE_TIME_LIMIT_MS - 1, bad, &number);
    *out_ms = (int64_t)number;
    return bad;
}

static const char *read_group(struct slice text, uint16_t *out) {
    uint64_t number = 0;
    const char *bad = read_number(text, 0, LIMIT_GROUP, "bad group", &number);
    *out = (uint16_t)number;
    return bad;
}

static const char *read_node_id(struct slice text, char *to) {
    if (!datagram_valid_node_id(text)) {
        return "bad node id";
    }
    memcpy(to, text.ptr, text.len); /* what *to held is all NUL */
    return NULL;
}

/* 0 is how struct line says "nowhere". */
static const char *read_history(struct slice text, uint64_t *out) {
    return num_parse_hex(text, out) && *out != 0 ? NULL : "bad history id";
}

static const char *read_history_or_none(struct slice text, uint64_t *out) {
    return slice_equals(text, SLICE("-")) ? NULL : read_history(text, out);
}

static const char *read_term(struct slice text, struct slice *out) {
    struct term term;
    if (slice_equals(text, SLICE("-"))) {
        return NULL;
    }
    *out = text;
    return term_parse(text, &term) ? NULL : "bad term";
}

static const char *read_voters(struct slice text, struct slice *out) {
    struct voters voters;
    *out = text;
    return voters_parse(text, &voters) ? NULL : "bad voters";
}

static const char *read_these_voters(struct slice text, uint64_t count, struct slice *out) {
    struct voters voters;
    *out = text;
    return voters_parse(text, &voters) && voters.count == count ? NULL : "bad voters";
}

static const struct slice phases[] = {NAME("pre"), NAME("real"), NAME("transfer")};

static const char *read_phase(struct slice text, uint8_t *out) {
    for (uint8_t i = 0; i < sizeof(phases) / sizeof(phases[0]); i++) {
        if (slice_equals(text, phases[i])) {
            *out = i;
            return NULL;
        }
    }
    return "bad phase";
}

static const char *read_either(struct slice text, struct slice holds, struct slice holds_not, bool *out) {
    *out = slice_equals(text, holds);
    return *out || slice_equals(text, holds_not) ? NULL : "bad word";
}

static const char *read_field(struct decoder *decoder, enum field field, struct slice text) {
    struct line *out = decoder->out;
    switch (field) {
    case FIELD_KEY:
        return read_bytes(text, LIMIT_KEY_BYTES, "key too long", &out->key);
    case FIELD_KEY_X:
        return read_escaped(decoder, text, PERCENT_PLAIN, LIMIT_KEY_BYTES, "key too long", &out->key);
    case FIELD_VALUE:
        return read_bytes(text, LIMIT_VALUE_BYTES, "value too long", &out->value);
    case FIELD_VALUE_X:
        return read_escaped(decoder, text, PERCENT_PLAIN, LIMIT_VALUE_BYTES, "value too long", &out->value);
    case FIELD_PATCH:
        return read_escaped(decoder, text, PERCENT_TILDE_IS_NUL, LIMIT_VALUE_BYTES - (size_t)out->offset,
                            "value too long", &out->value);
    case FIELD_OFFSET:
        return read_number(text, 0, LIMIT_VALUE_BYTES, "bad offset", &out->offset);
    case FIELD_VERSION:
        return read_number(text, 1, UINT64_MAX, "bad version", &out->version);
    case FIELD_ANY_VERSION:
        return read_number(text, 0, UINT64_MAX, "bad version", &out->version);
    case FIELD_TIMESTAMP:
        return read_time(text, "bad timestamp", &out->timestamp_ms);
    case FIELD_DEADLINE:
        return read_time(text, "bad deadline", &out->deadline_ms);
    case FIELD_INDEX:
    case FIELD_PULLED_INDEX:
        return read_number(text, 0, UINT64_MAX, "bad index", &out->index);
    case FIELD_INDEX_OR_NONE: /* "-|0" is nowhere; an index without its history is malformed */
        return read_number(text, 0, out->history_id == 0 ? 0 : UINT64_MAX, "bad index", &out->index);
    case FIELD_COUNT:
        return read_number(text, 0, UINT64_MAX, "bad count", &out->count);
    case FIELD_LINES:
        return read_number(text, 1, LIMIT_BATCH_LINES, "bad count", &out->count);
    case FIELD_NODE_ID:
        return read_node_id(text, out->node_id);
    case FIELD_GROUP:
        return read_group(text, &out->group);
    case FIELD_HISTORY:
    case FIELD_PULLED_HISTORY:
        return read_history(text, &out->history_id);
    case FIELD_HISTORY_OR_NONE:
        return read_history_or_none(text, &out->history_id);
    case FIELD_FORMING_OR_NONE:
        return read_history_or_none(text, &out->forming_id);
    case FIELD_DURABLE:
        return read_number(text, 0, out->index, "bad index", &out->count);
    case FIELD_TERM:
        return read_number(text, 1, TERM_NUMBER_MAX, "bad term", &out->count);
    case FIELD_ROUND:
        return read_number(text, 0, UINT64_MAX, "bad round", &out->count);
    case FIELD_ROUND_HEARD:
        return read_number(text, 0, UINT64_MAX, "bad round", &out->round);
    case FIELD_COMMITTED:
        return read_number(text, 0, out->index, "bad index", &out->committed_index);
    case FIELD_VOTERS:
        return read_voters(text, &out->text);
    case FIELD_WANTED:
        return read_number(text, 0, VOTERS_MOST, "bad number of voters", &out->count);
    case FIELD_THESE_VOTERS:
        return read_these_voters(text, out->count, &out->text);
    case FIELD_ACKS:
        return read_either(text, SLICE("quorum"), SLICE("leader"), &out->yes);
    case FIELD_PHASE:
        return read_phase(text, &out->phase);
    case FIELD_YES:
        return read_either(text, SLICE("yes"), SLICE("no"), &out->yes);
    case FIELD_FIRM:
        return read_either(text, SLICE("forgetful"), SLICE("firm"), &out->forgetful);
    case FIELD_SINCE_TERM:
        return read_term(text, &out->text);
    case FIELD_COMMON:
        out->yes = true;
        return read_number(text, 0, out->index, "bad index", &out->count);
    case FIELD_COMMON_TERM:
        return read_term(text, &out->value);
    case FIELD_TERM_OR_NONE: /* of a line of some history */
        return out->history_id != 0 || slice_equals(text, SLICE("-")) ? read_term(text, &out->text)
                                                                      : "bad term";
    case FIELD_COMPRESSION:
        out->lz4 = slice_equals(text, SLICE("lz4"));
        return NULL;
    case FIELD_REASON:
        out->text = text;
        return NULL;
    case FIELD_REASON_X:
        return out->yes ? NULL
                        : read_escaped(decoder, text, PERCENT_PLAIN, LINE_REASON_BYTES, "reason too long",
                                       &out->text);
    case FIELD_LINE:
        out->text = decoder->line;
        return NULL;
    case FIELD_NONE:
        break;
    }
    return NULL;
}

/* Takes the next field from what is left of the line; false when it is not there. */
static bool take_field(struct decoder *decoder, enum field field, struct slice *text) {
    struct slice *rest = &decoder->rest;
    if (field != FIELD_VALUE && field != FIELD_REASON && field != FIELD_LINE) {
        return field_next(rest, text);
    }
    if (rest->len == 0) {
        return false;
    }
    struct slice behind_bar = slice_skip(*rest, 1);
    size_t n = behind_bar.len;
    if (field == FIELD_VALUE) {
        const char *last_bar = memrchr(behind_bar.ptr, '|', behind_bar.len);
        if (last_bar == NULL) {
            return false;
        }
        n = (size_t)(last_bar - behind_bar.ptr);
    }
    *text = slice_first(behind_bar, n);
    *rest = slice_skip(behind_bar, n);
    return true;
}

static const char *read_fields(struct decoder *decoder, const struct row *row) {
    for (const enum field *field = row->fields; *field != FIELD_NONE; field++) {
        struct slice text;
        if (*field >= FIELD_FIRST_OPTIONAL && decoder->rest.len == 0) {
            break;
        }
        if (!take_field(decoder, *field, &text)) {
            return "too few fields";
        }
        const char *bad = read_field(decoder, *field, text);
        if (bad != NULL) {
            return bad;
        }
    }
    bool may_grow = row->verb > LINE_LAST_OF_HISTORY;
    return decoder->rest.len == 0 || may_grow ? NULL : "too many fields";
}

static const struct row *find_row(struct slice name) {
    for (size_t r = 0; r < sizeof(rows) / sizeof(rows[0]); r++) {
        if (slice_equals(name, rows[r].name)) {
            return &rows[r];
        }
    }
    return NULL;
}

bool line_may_be_known(struct slice part) {
    struct slice rest, name = field_up_to_bar(part, &rest);
    /* Then the LF is still to come. */
    bool ends_in_cr = rest.len == 0 && name.len > 0 && name.ptr[name.len - 1] == '\r';
    bool whole = rest.len > 0 || ends_in_cr;
    name.len -= ends_in_cr;
    for (size_t r = 0; r < sizeof(rows) / sizeof(rows[0]); r++) {
        if (slice_equals(name, whole ? rows[r].name : slice_first(rows[r].name, name.len))) {
            return true;
        }
    }
    return false;
}

enum line_result line_decode(struct slice bytes, struct buf *scratch, struct line *out, const char **reason) {
    buf_reset(scratch);
    *reason = NULL;
    if (bytes.len > LIMIT_LINE_BYTES) {
        *reason = "line too long";
        return LINE_MALFORMED;
    }
    if (bytes.len > 0 && bytes.ptr[bytes.len - 1] == '\r') {
        bytes.len--;
    }
    struct decoder decoder = {.line = bytes, .scratch = scratch, .out = out};
    const struct row *row = find_row(field_up_to_bar(bytes, &decoder.rest));
    if (row == NULL) {
        return LINE_UNKNOWN;
    }
    *out = (struct line){.verb = row->verb, .escaped = row->escaped};
    *reason = read_fields(&decoder, row);
    return *reason == NULL ? LINE_OK : LINE_MALFORMED;
}

struct term line_term_of(const struct line *line) {
    struct term term = {0};
    if (line->verb == LINE_TERM) {
        term.number = line->count;
        memcpy(term.node_id, line->node_id, sizeof(term.node_id));
    } else {
        term_parse(line->text, &term);
    }
    return term;
}

struct term line_common_term_of(const struct line *line) {
    struct term term = {0};
    term_parse(line->value, &term);
    return term;
}

/* Encoding: put_* write at to and return where they ended. */

static inline char *put(char *to, struct slice bytes) {
    if (bytes.len > 0) {
        memcpy(to, bytes.ptr, bytes.len);
    }
    return to + bytes.len;
}

static inline char *put_number(char *to, uint64_t number) {
    *to++ = '|';
    return to + num_write_u64(to, number);
}

static char *put_node_id(char *to, const char *node_id) {
    assert(datagram_valid_node_id(slice_from_text(node_id)));
    *to++ = '|';
    return put(to, slice_from_text(node_id));
}

static char *put_history(char *to, uint64_t history_id) {
    *to++ = '|';
    for (int shift = 64 - 4; shift >= 0; shift -= 4) {
        *to++ = "0123456789abcdef"[history_id >> shift & 15];
    }
    return to;
}

static bool is_time(int64_t time_ms) { return time_ms >= 0 && time_ms < LINE_TIME_LIMIT_MS; }

static bool is_plain_key(struct slice key) { return scan_until(key, '|', '\n', '\r', '\0', '\0') == key.len; }

bool line_is_plain(struct slice key, struct slice value) {
    return is_plain_key(key) && scan_until(value, '\n', '\r', '\0', '\0', '\0') == value.len;
}

static void write_plain(struct buf *out, struct slice key, struct slice value, uint64_t version) {
    char *start = buf_reserve(out, sizeof("REPLICATE|||\n") + NUM_MAX_DIGITS + key.len + value.len);
    if (start == NULL) {
        return;
    }
    char *at = put(start, SLICE("REPLICATE|"));
    at = put(at, key);
    *at++ = '|';
    at = put(at, value);
    at = put_number(at, version);
    *at++ = '\n';
    buf_commit(out, (size_t)(at - start));
}

void line_replicate_x(struct buf *out, struct slice key, struct slice value, uint64_t version,
                      int64_t timestamp_ms, int64_t deadline_ms) {
    assert(is_time(timestamp_ms) && is_time(deadline_ms));
    char *start = buf_reserve(out, sizeof("REPLICATEX|||||\n") + 3 * NUM_MAX_DIGITS +
                                       percent_encoded_bytes(key) + percent_encoded_bytes(value));
    if (start == NULL) {
        return;
    }
    char *at = put(start, SLICE("REPLICATEX|"));
    at = percent_encode(at, key);
    *at++ = '|';
    at = percent_encode(at, value);
    at = put_number(at, version);
    at = put_number(at, (uint64_t)timestamp_ms);
    at = put_number(at, (uint64_t)deadline_ms);
    *at++ = '\n';
    buf_commit(out, (size_t)(at - start));
}

size_t line_patch_bytes(struct slice key, struct slice bytes) {
    return sizeof("PATCHX|||||\n") + 3 * NUM_MAX_DIGITS + percent_encoded_bytes(key) +
           percent_encoded_patch_bytes(bytes);
}

void line_patch(struct buf *out, struct slice key, uint64_t offset, struct slice bytes, uint64_t version,
                int64_t timestamp_ms) {
    assert(is_time(timestamp_ms) && offset + bytes.len <= LIMIT_VALUE_BYTES);
    char *start = buf_reserve(out, line_patch_bytes(key, bytes));
    if (start == NULL) {
        return;
    }
    char *at = put(start, SLICE("PATCHX|"));
    at = percent_encode(at, key);
    at = put_number(at, offset);
    *at++ = '|';
    at = percent_encode_patch(at, bytes);
    at = put_number(at, version);
    at = put_number(at, (uint64_t)timestamp_ms);
    *at++ = '\n';
    buf_commit(out, (size_t)(at - start));
}

void line_replicate(struct buf *out, struct slice key, struct slice value, uint64_t version,
                    int64_t timestamp_ms, int64_t deadline_ms) {
    if (deadline_ms == 0 && line_is_plain(key, value)) {
        write_plain(out, key, value, version);
    } else {
        line_replicate_x(out, key, value, version, timestamp_ms, deadline_ms);
    }
}

/* name|key|number, the key percent-encoded. */
static void write_key_x(struct buf *out, struct slice name, struct slice key, uint64_t number) {
    char *start = buf_reserve(out, name.len + sizeof("||\n") + NUM_MAX_DIGITS + percent_encoded_bytes(key));
    if (start == NULL) {
        return;
    }
    char *at = put(start, name);
    *at++ = '|';
    at = percent_encode(at, key);
    at = put_number(at, number);
    *at++ = '\n';
    buf_commit(out, (size_t)(at - start));
}

void line_delete(struct buf *out, struct slice key, uint64_t version) {
    if (!is_plain_key(key)) {
        write_key_x(out, SLICE("DELETEX"), key, version);
        return;
    }
    char *start = buf_reserve(out, sizeof("DELETE||\n") + NUM_MAX_DIGITS + key.len);
    if (start == NULL) {
        return;
    }
    char *at = put(start, SLICE("DELETE|"));
    at = put(at, key);
    at = put_number(at, version);
    *at++ = '\n';
    buf_commit(out, (size_t)(at - start));
}

void line_expire(struct buf *out, struct slice key, int64_t deadline_ms) {
    assert(is_time(deadline_ms));
    write_key_x(out, SLICE("EXPIREX"), key, (uint64_t)deadline_ms);
}

/* The others are short: they are put together on the stack and appended at once. */
enum { SHORT_LINE_BYTES = 192, LONG_LINE_BYTES = 240 };

static void append_line(struct buf *out, char *text, char *end) {
    *end++ = '\n';
    buf_append(out, text, (size_t)(end - text));
}

static void append_number_line(struct buf *out, struct slice name, uint64_t number) {
    char text[SHORT_LINE_BYTES];
    append_line(out, text, put_number(put(text, name), number));
}

void line_flush(struct buf *out, uint64_t floor) { append_number_line(out, SLICE("FLUSH"), floor); }

void line_floor(struct buf *out, uint64_t floor) { append_number_line(out, SLICE("FLOOR"), floor); }

void line_clock(struct buf *out, int64_t now_ms) {
    assert(is_time(now_ms));
    append_number_line(out, SLICE("CLOCK"), (uint64_t)now_ms);
}

void line_batch(struct buf *out, uint64_t count) {
    assert(count >= 1 && count <= LIMIT_BATCH_LINES);
    append_number_line(out, SLICE("BATCH"), count);
}

void line_term(struct buf *out, const struct term *term) {
    char text[SHORT_LINE_BYTES];
    assert(term->number > 0);
    char *at = put_number(put(text, SLICE("TERM")), term->number);
    append_line(out, text, put_node_id(at, term->node_id));
}

static char *put_term(char *at, const struct term *term) {
    if (term != NULL && term->number > 0) {
        *at++ = '|';
        at += term_write(at, term);
    }
    return at;
}

static char *put_compression(char *at, const struct term *term, bool lz4) {
    at = put_term(at, term);
    if (lz4 && (term == NULL || term->number == 0)) {
        at = put(at, SLICE("|-"));
    }
    return lz4 ? put(at, SLICE("|lz4")) : at;
}

void line_lead(struct buf *out, const char *node_id, uint16_t group, uint64_t history_id, uint64_t index,
               const struct term *term, bool lz4) {
    char text[SHORT_LINE_BYTES];
    char *at = put_node_id(put(text, SLICE("LEAD")), node_id);
    at = put_number(at, group);
    at = put_history(at, history_id);
    append_line(out, text, put_compression(put_number(at, index), term, lz4));
}

void line_sync(struct buf *out, const char *node_id, uint64_t history_id, uint64_t index,
               const struct term *term, bool lz4) {
    char text[SHORT_LINE_BYTES];
    char *at = put_node_id(put(text, SLICE("SYNC")), node_id);
    at = history_id == 0 ? put(at, SLICE("|-|0")) : put_number(put_history(at, history_id), index);
    append_line(out, text, put_compression(at, history_id == 0 ? NULL : term, lz4));
}

void line_continue(struct buf *out, uint64_t history_id, uint64_t index) {
    char text[SHORT_LINE_BYTES];
    char *at = put_history(put(text, SLICE("CONTINUE")), history_id);
    append_line(out, text, put_number(at, index));
}

void line_full(struct buf *out, uint64_t history_id, uint64_t index, uint64_t floor, const struct term *term) {
    char text[SHORT_LINE_BYTES];
    char *at = put_number(put_history(put(text, SLICE("FULL")), history_id), index);
    append_line(out, text, put_term(put_number(at, floor), term));
}

/* "-": none. */
static char *put_some_term(char *at, const struct term *term) {
    bool none = term == NULL || term->number == 0;
    return none ? put(at, SLICE("|-")) : put_term(at, term);
}

void line_full_common(struct buf *out, uint64_t history_id, uint64_t index, uint64_t floor,
                      const struct term *term, uint64_t common_index, const struct term *common_term) {
    char text[LONG_LINE_BYTES];
    char *at = put_number(put_history(put(text, SLICE("FULL")), history_id), index);
    at = put_some_term(put_number(at, floor), term);
    append_line(out, text, put_some_term(put_number(at, common_index), common_term));
}

void line_since(struct buf *out, uint64_t index, const struct term *term) {
    char text[SHORT_LINE_BYTES];
    char *at = put_number(put(text, SLICE("SINCE")), index);
    append_line(out, text, put_some_term(at, term));
}

void line_end(struct buf *out, uint64_t count, uint64_t index) {
    char text[SHORT_LINE_BYTES];
    char *at = put_number(put(text, SLICE("END")), count);
    append_line(out, text, put_number(at, index));
}

void line_ping(struct buf *out, uint64_t index) { append_number_line(out, SLICE("PING"), index); }

void line_ack(struct buf *out, uint64_t index) { append_number_line(out, SLICE("ACK"), index); }

void line_ack_durable(struct buf *out, uint64_t index, uint64_t durable_index) {
    char text[SHORT_LINE_BYTES];
    append_line(out, text, put_number(put_number(put(text, SLICE("ACK")), index), durable_index));
}

void line_ack_round(struct buf *out, uint64_t index, uint64_t durable_index, uint64_t round) {
    char text[SHORT_LINE_BYTES];
    char *at = put_number(put_number(put(text, SLICE("ACK")), index), durable_index);
    append_line(out, text, round == 0 ? at : put_number(at, round));
}

void line_ping_round(struct buf *out, uint64_t index, uint64_t round) {
    char text[SHORT_LINE_BYTES];
    append_line(out, text, put_number(put_number(put(text, SLICE("PING")), index), round));
}

void line_ping_committed(struct buf *out, uint64_t index, uint64_t round, uint64_t committed_index) {
    char text[SHORT_LINE_BYTES];
    char *at = put_number(put_number(put(text, SLICE("PING")), index), round);
    append_line(out, text, put_number(at, committed_index));
}

void line_voters(struct buf *out, const struct voters *voters) {
    char text[sizeof("VOTERS|\n") + VOTERS_MAX_BYTES];
    char *at = put(text, SLICE("VOTERS|"));
    append_line(out, text, at + voters_write(at, voters));
}

void line_acks(struct buf *out, bool quorum) {
    buf_append_text(out, quorum ? "ACKS|quorum\n" : "ACKS|leader\n");
}

static char *put_word(char *at, struct slice word) {
    *at++ = '|';
    return put(at, word);
}

void line_vote(struct buf *out, const char *node_id, uint16_t group, uint64_t number, enum line_phase phase,
               uint64_t history_id, uint64_t last_index, const struct term *last_term) {
    char text[LONG_LINE_BYTES];
    char *at = put_node_id(put(text, SLICE("VOTE")), node_id);
    at = put_number(put_history(put_number(at, group), history_id), number);
    at = put_some_term(at, last_term);
    append_line(out, text, put_word(put_number(at, last_index), phases[phase]));
}

void line_voted(struct buf *out, const char *node_id, uint64_t number, enum line_phase phase, bool yes,
                bool forgetful) {
    char text[SHORT_LINE_BYTES];
    char *at = put_number(put_node_id(put(text, SLICE("VOTED")), node_id), number);
    at = put_word(put_word(at, phases[phase]), yes ? SLICE("yes") : SLICE("no"));
    append_line(out, text, put_word(at, forgetful ? SLICE("forgetful") : SLICE("firm")));
}

void line_timeout_now(struct buf *out, uint64_t number) {
    append_number_line(out, SLICE("TIMEOUT_NOW"), number);
}

static char *put_history_or_none(char *at, uint64_t history_id) {
    return history_id == 0 ? put_word(at, SLICE("-")) : put_history(at, history_id);
}

void line_voter(struct buf *out, const char *node_id, uint16_t group, size_t wanted, uint64_t history_id,
                uint64_t forming_id) {
    char text[SHORT_LINE_BYTES];
    assert(wanted <= VOTERS_MOST);
    char *at = put_number(put_node_id(put(text, SLICE("VOTER")), node_id), group);
    at = put_history_or_none(put_number(at, wanted), history_id);
    append_line(out, text, put_history_or_none(at, forming_id));
}

void line_form(struct buf *out, uint16_t group, const struct voters *voters, uint64_t history_id) {
    char text[SHORT_LINE_BYTES + VOTERS_MAX_BYTES];
    char *at = put_number(put_number(put(text, SLICE("FORM")), group), voters->count);
    *at++ = '|';
    append_line(out, text, put_history(at + voters_write(at, voters), history_id));
}

void line_formed(struct buf *out, const char *node_id, uint64_t history_id, bool yes, struct slice reason) {
    char text[SHORT_LINE_BYTES + 3 * LINE_REASON_BYTES];
    char *at = put_history(put_node_id(put(text, SLICE("FORMED")), node_id), history_id);
    at = put(at, yes ? SLICE("|yes") : SLICE("|no|"));
    assert(reason.len <= (yes ? 0 : LINE_REASON_BYTES));
    append_line(out, text, percent_encode(at, reason));
}

void line_unform(struct buf *out, uint64_t history_id) {
    char text[SHORT_LINE_BYTES];
    append_line(out, text, put_history(put(text, SLICE("UNFORM")), history_id));
}

void line_pull(struct buf *out, uint64_t history_id, uint64_t index, const struct term *term) {
    char text[SHORT_LINE_BYTES];
    char *at = put(text, SLICE("PULL"));
    at = history_id == 0 ? at : put_term(put_number(put_history(at, history_id), index), term);
    append_line(out, text, at);
}

void line_node(struct buf *out, const char *node_id) {
    char text[SHORT_LINE_BYTES];
    append_line(out, text, put_node_id(put(text, SLICE("NODE")), node_id));
}

void line_transfer(struct buf *out, const char *node_id) {
    char text[SHORT_LINE_BYTES];
    append_line(out, text, put_node_id(put(text, SLICE("TRANSFER")), node_id));
}

void line_message(struct buf *out, struct slice channel, struct slice text) {
    size_t n = sizeof("MESSAGE||\n") + percent_encoded_bytes(channel) + percent_encoded_bytes(text);
    char *start = buf_reserve(out, n);
    if (start == NULL) {
        return;
    }
    char *at = put(start, SLICE("MESSAGE|"));
    at = percent_encode(at, channel);
    *at++ = '|';
    at = percent_encode(at, text);
    *at++ = '\n';
    buf_commit(out, (size_t)(at - start));
}

void line_error(struct buf *out, const char *reason) {
    size_t n = strlen(reason);
    char *start = buf_reserve(out, sizeof("ERROR|\n") + n);
    if (start == NULL) {
        return;
    }
    char *at = put(start, SLICE("ERROR|"));
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)reason[i];
        *at++ = c < 0x20 || c == 0x7F ? ' ' : reason[i];
    }
    *at++ = '\n';
    buf_commit(out, (size_t)(at - start));
}
