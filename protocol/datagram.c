#include "protocol/datagram.h"

#include "protocol/address.h"
#include "protocol/field.h"
#include "protocol/num.h"

#include <assert.h>

enum field {
    FIELD_NONE,
    FIELD_NODE_ID,
    FIELD_HOST,
    FIELD_PORT,
    FIELD_GROUP,
    FIELD_LEADER,
    FIELD_API,
    FIELD_REDIS,
    FIELD_HAS_STATE,
    FIELD_INDEX,
    FIELD_TERM,
    FIELD_UPTIME
};

enum { MOST_FIELDS = 6 };

/* A datagram is read and written by walking its row. */
static const struct row {
    const char *name;
    enum datagram_verb verb;
    bool may_grow; /* kvnode's own: fields behind these are ignored */
    enum field fields[MOST_FIELDS + 1];
} rows[] = {
    {"ANNOUNCE", DATAGRAM_ANNOUNCE, false, {FIELD_NODE_ID, FIELD_HOST, FIELD_PORT, FIELD_GROUP, FIELD_LEADER}},
    {"ENDPOINTS",
     DATAGRAM_ENDPOINTS,
     true,
     {FIELD_NODE_ID, FIELD_API, FIELD_REDIS, FIELD_HAS_STATE, FIELD_INDEX, FIELD_TERM}},
    {"WHO", DATAGRAM_WHO, true, {FIELD_NONE}},
    {"LEAVE", DATAGRAM_LEAVE, true, {FIELD_NODE_ID}},
    {"UPTIME", DATAGRAM_UPTIME, true, {FIELD_NODE_ID, FIELD_UPTIME}},
};

/* ENDPOINTS may end before it. */
static const enum field first_optional = FIELD_HAS_STATE;

static bool is_letter_or_digit(char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_made_of(struct slice text, size_t most_bytes, const char *besides) {
    if (text.len == 0 || text.len > most_bytes) {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        if (!is_letter_or_digit(text.ptr[i]) && (text.ptr[i] == '\0' || strchr(besides, text.ptr[i]) == NULL)) {
            return false;
        }
    }
    return true;
}

bool datagram_valid_node_id(struct slice id) { return is_made_of(id, LIMIT_NODE_ID_BYTES, "_-"); }

bool datagram_valid_host(struct slice host) {
    return host.len <= LIMIT_HOST_BYTES && address_is_of_one_host(host);
}

static bool read_text(struct slice text, bool valid, char *to) {
    if (valid) {
        memcpy(to, text.ptr, text.len);
        to[text.len] = '\0';
    }
    return valid;
}

static bool read_number(struct slice text, uint16_t least, uint16_t most, uint16_t *out) {
    uint64_t number;
    if (!num_parse_u64(text, &number) || number < least || number > most) {
        return false;
    }
    *out = (uint16_t)number;
    return true;
}

static bool read_duration(struct slice text, int64_t *out_ms) {
    uint64_t number;
    if (!num_parse_u64(text, &number) || number > INT64_MAX) {
        return false;
    }
    *out_ms = (int64_t)number;
    return true;
}

static bool read_truth(struct slice text, bool *out) {
    *out = slice_equals(text, SLICE("true"));
    return *out || slice_equals(text, SLICE("false"));
}

static bool read_field(enum field field, struct slice text, struct datagram *out) {
    switch (field) {
    case FIELD_NODE_ID:
        return read_text(text, datagram_valid_node_id(text), out->node_id);
    case FIELD_HOST:
        return read_text(text, datagram_valid_host(text), out->host);
    case FIELD_PORT:
        return read_number(text, 1, UINT16_MAX, &out->port);
    case FIELD_GROUP:
        return read_number(text, 0, LIMIT_GROUP, &out->group);
    case FIELD_LEADER:
        return read_truth(text, &out->leader);
    case FIELD_API:
        return read_number(text, 1, UINT16_MAX, &out->api_port);
    case FIELD_REDIS:
        return read_number(text, 1, UINT16_MAX, &out->redis_port);
    case FIELD_HAS_STATE:
        return read_truth(text, &out->has_state);
    case FIELD_INDEX:
        out->tells_position = true;
        return num_parse_u64(text, &out->index);
    case FIELD_TERM:
        return num_parse_u64(text, &out->term);
    case FIELD_UPTIME:
        return read_duration(text, &out->uptime_ms);
    case FIELD_NONE:
        break;
    }
    return false;
}

static bool has_control(struct slice text) {
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (c < 0x20 || c == 0x7F) {
            return true;
        }
    }
    return false;
}

static struct slice without_line_end(struct slice text) {
    if (text.len > 0 && text.ptr[text.len - 1] == '\n') {
        text.len--;
        if (text.len > 0 && text.ptr[text.len - 1] == '\r') {
            text.len--;
        }
    }
    return text;
}

static bool read_fields(const struct row *row, struct slice rest, struct datagram *out) {
    for (const enum field *field = row->fields; *field != FIELD_NONE; field++) {
        struct slice content;
        if ((*field == first_optional || *field == FIELD_TERM) && rest.len == 0) {
            return true;
        }
        if (!field_next(&rest, &content) || !read_field(*field, content, out)) {
            return false;
        }
    }
    return rest.len == 0 || row->may_grow;
}

enum datagram_result datagram_decode(struct slice bytes, struct datagram *out) {
    if (bytes.len > LIMIT_DATAGRAM_BYTES) {
        return DATAGRAM_MALFORMED;
    }
    struct slice rest, text = without_line_end(bytes);
    struct slice name = field_up_to_bar(text, &rest);
    if (name.len == 0 || has_control(text)) {
        return DATAGRAM_MALFORMED;
    }
    for (size_t r = 0; r < sizeof(rows) / sizeof(rows[0]); r++) {
        if (!slice_equals(name, slice_from_text(rows[r].name))) {
            continue;
        }
        *out = (struct datagram){.verb = rows[r].verb};
        return read_fields(&rows[r], rest, out) ? DATAGRAM_OK : DATAGRAM_MALFORMED;
    }
    return DATAGRAM_UNKNOWN;
}

static char *put_text(char *to, const char *text) {
    size_t n = strlen(text);
    memcpy(to, text, n);
    return to + n;
}

static char *put_field(char *to, enum field field, const struct datagram *datagram) {
    switch (field) {
    case FIELD_NODE_ID:
        return put_text(to, datagram->node_id);
    case FIELD_HOST:
        return put_text(to, datagram->host);
    case FIELD_PORT:
        return to + num_write_u64(to, datagram->port);
    case FIELD_GROUP:
        return to + num_write_u64(to, datagram->group);
    case FIELD_LEADER:
        return put_text(to, datagram->leader ? "true" : "false");
    case FIELD_API:
        return to + num_write_u64(to, datagram->api_port);
    case FIELD_REDIS:
        return to + num_write_u64(to, datagram->redis_port);
    case FIELD_HAS_STATE:
        return put_text(to, datagram->has_state ? "true" : "false");
    case FIELD_INDEX:
        return to + num_write_u64(to, datagram->index);
    case FIELD_TERM:
        return to + num_write_u64(to, datagram->term);
    case FIELD_UPTIME:
        return to + num_write_u64(to, (uint64_t)datagram->uptime_ms);
    case FIELD_NONE:
        break;
    }
    return to;
}

size_t datagram_encode(const struct datagram *datagram, char *to) {
    const struct row *row = &rows[datagram->verb];
    assert(row->verb == datagram->verb);
    char *at = put_text(to, row->name);
    for (const enum field *field = row->fields; *field != FIELD_NONE; field++) {
        if ((*field == first_optional && !datagram->tells_position) ||
            (*field == FIELD_TERM && datagram->term == 0)) {
            break;
        }
        *at++ = '|';
        at = put_field(at, *field, datagram);
    }
    return (size_t)(at - to);
}
