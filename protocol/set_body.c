#include "protocol/set_body.h"

#include "protocol/base64.h"
#include "protocol/limits.h"
#include "protocol/utf8.h"

#include <cjson/cJSON.h>
#include <stdlib.h>

/* --- Before cJSON --- */

static bool is_json_blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

/* Where the string that begins at i (behind its quote) ends: the index of the closing quote, or text.len. NULL
 * in *reason: it is fine. */
static size_t check_string(struct slice text, size_t i, const char **reason) {
    for (; i < text.len && text.ptr[i] != '"'; i++) {
        if ((unsigned char)text.ptr[i] < 0x20) {
            *reason = "a control character in a JSON string has to be escaped";
            return i;
        }
        if (text.ptr[i] == '\\') {
            if (text.len - i >= 6 && memcmp(text.ptr + i, "\\u0000", 6) == 0) {
                *reason = "\\u0000 in a JSON string: say it as {\"base64\":\"...\"}";
                return i;
            }
            i++;
        }
    }
    return i;
}

static bool take_any(struct slice *text, const char *bytes) {
    bool there = text->len > 0 && text->ptr[0] != '\0' && strchr(bytes, text->ptr[0]) != NULL;
    *text = slice_skip(*text, there);
    return there;
}

static bool take_digits(struct slice *text) {
    size_t before = text->len;
    while (take_any(text, "0123456789")) {
    }
    return text->len < before;
}

/* number = [ minus ] int [ frac ] [ exp ] (RFC 8259, 6), and behind it nothing that a number could go on with.
 * 0: it is none; else its length. */
static size_t measure_number(struct slice text) {
    struct slice rest = text;
    take_any(&rest, "-");
    bool ok = take_any(&rest, "0") || take_digits(&rest);
    if (take_any(&rest, ".")) {
        ok &= take_digits(&rest);
    }
    if (take_any(&rest, "eE")) {
        take_any(&rest, "+-");
        ok &= take_digits(&rest);
    }
    return ok && !take_any(&rest, "0123456789.+-") ? text.len - rest.len : 0;
}

/* cJSON takes any control character for a blank, 010 for a number, stops a string at \u0000, and makes a node
 * of every element. */
static const char *check_text(struct slice text) {
    if (!utf8_valid(text)) {
        return "the body is not UTF-8";
    }
    size_t commas = 0, depth = 0;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        const char *reason = NULL;
        switch (c) {
        case '"':
            i = check_string(text, i + 1, &reason);
            if (reason != NULL) {
                return reason;
            }
            break;
        case '{':
        case '[':
            if (++depth > SET_BODY_MAX_DEPTH) {
                return "the JSON is nested too deeply";
            }
            break;
        case '}':
        case ']':
            depth -= depth > 0;
            break;
        case ',':
            if (++commas >= SET_BODY_MAX_MEMBERS) {
                return "the JSON has too many members";
            }
            break;
        default:
            if (c == '-' || (c >= '0' && c <= '9')) {
                size_t n = measure_number(slice_skip(text, i));
                if (n == 0) {
                    return "a number of the JSON is malformed";
                }
                i += n - 1;
            }
            if ((unsigned char)c < 0x20 && !is_json_blank(c)) {
                return "a control character in the JSON";
            }
        }
    }
    return NULL;
}

/* --- Members --- */

bool set_body_ttl_of_seconds(double seconds, int64_t *ttl_ms) {
    if (!(seconds > 0) || seconds * 1000 >= (double)SET_BODY_MAX_TTL_MS) { /* also refuses what is no number */
        return false;
    }
    int64_t ms = (int64_t)(seconds * 1000 + 0.5);
    *ttl_ms = ms > 0 ? ms : 1;
    return true;
}

bool set_body_ttl_of_text(struct slice text, int64_t *ttl_ms) {
    char copy[32];
    if (text.len == 0 || text.len >= sizeof copy || text.ptr[0] == '.' || text.ptr[text.len - 1] == '.') {
        return false;
    }
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    return strspn(copy, "0123456789.") == text.len && strchr(copy, '.') == strrchr(copy, '.') &&
           set_body_ttl_of_seconds(strtod(copy, NULL), ttl_ms);
}

/* A string, or an object of one member "base64": the bytes that it says. */
static enum err read_text(const cJSON *item, struct buf *decoded, struct slice *out, const char **reason) {
    if (cJSON_IsString(item)) {
        *out = slice_from_text(item->valuestring);
        return ERR_NONE;
    }
    const cJSON *only = cJSON_IsObject(item) ? item->child : NULL;
    if (only == NULL || only->next != NULL || strcmp(only->string, "base64") != 0 || !cJSON_IsString(only)) {
        *reason = "key and value are each a string or {\"base64\":\"...\"}";
        return ERR_BAD_REQUEST;
    }
    if (!base64_decode(decoded, slice_from_text(only->valuestring))) {
        *reason = buf_failed(decoded) ? err_text(ERR_NO_MEMORY) : "the base64 is malformed";
        return buf_failed(decoded) ? ERR_NO_MEMORY : ERR_BAD_REQUEST;
    }
    *out = buf_slice(decoded);
    return ERR_NONE;
}

enum member { MEMBER_KEY, MEMBER_VALUE, MEMBER_TTL, MEMBER_OTHER };

static enum member member_of(const char *name) {
    static const char *const names[] = {"key", "value", "ttl"};
    enum member member = MEMBER_KEY;
    while (member < MEMBER_OTHER && strcmp(name, names[member]) != 0) {
        member++;
    }
    return member;
}

/* seen: a bit for each member that was there before. */
static enum err read_member(const cJSON *item, unsigned *seen, struct set_body *out, const char **reason) {
    enum member member = member_of(item->string);
    if (member != MEMBER_OTHER && (*seen >> member & 1) != 0) {
        *reason = "a member is given twice";
        return ERR_BAD_REQUEST;
    }
    *seen |= 1U << member;
    if (cJSON_IsNull(item) && member != MEMBER_VALUE) {
        return ERR_NONE;
    }
    switch (member) {
    case MEMBER_KEY:
        out->has_key = true;
        return read_text(item, &out->decoded_key, &out->key, reason);
    case MEMBER_VALUE:
        out->has_value = true;
        return read_text(item, &out->decoded_value, &out->value, reason);
    case MEMBER_TTL:
        if (!cJSON_IsNumber(item) || !set_body_ttl_of_seconds(item->valuedouble, &out->ttl_ms)) {
            *reason = "ttl is a number of seconds above 0";
            return ERR_INVALID_EXPIRE;
        }
        return ERR_NONE;
    case MEMBER_OTHER:
        break;
    }
    return ERR_NONE;
}

enum err set_body_read(struct slice text, struct set_body *out, const char **reason) {
    *out = (struct set_body){.ttl_ms = 0};
    buf_init(&out->decoded_key, LIMIT_HTTP_BODY_BYTES);
    buf_init(&out->decoded_value, LIMIT_HTTP_BODY_BYTES);
    *reason = check_text(text);
    if (*reason != NULL) {
        return ERR_BAD_REQUEST;
    }
    const char *end = NULL;
    out->json = cJSON_ParseWithLengthOpts(text.ptr, text.len, &end, 0);
    if (out->json == NULL) {
        *reason = "the body is not valid JSON";
        return ERR_BAD_REQUEST;
    }
    while (end < text.ptr + text.len && is_json_blank(*end)) {
        end++;
    }
    if (end != text.ptr + text.len) {
        *reason = "there is something behind the JSON";
        return ERR_BAD_REQUEST;
    }
    if (!cJSON_IsObject(out->json)) {
        *reason = "the body is not a JSON object";
        return ERR_BAD_REQUEST;
    }
    unsigned seen = 0;
    for (const cJSON *item = out->json->child; item != NULL; item = item->next) {
        enum err err = read_member(item, &seen, out, reason);
        if (err != ERR_NONE) {
            return err;
        }
    }
    return ERR_NONE;
}

void set_body_deinit(struct set_body *body) {
    cJSON_Delete(body->json);
    buf_deinit(&body->decoded_key);
    buf_deinit(&body->decoded_value);
}
