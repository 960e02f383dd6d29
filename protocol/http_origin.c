#include "protocol/http_origin.h"

/* --- Hosts --- */

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

static bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

static bool is_hex(char c) { return is_digit(c) || (is_letter(c) && (c | 0x20) <= 'f'); }

/* unreserved / sub-delims */
static bool is_name_byte(char c) {
    return is_letter(c) || is_digit(c) || (c != '\0' && strchr("-._~!$&'()*+,;=", c) != NULL);
}

/* How long the reg-name or IPv4address at the beginning is. */
static size_t measure_name(struct slice s) {
    size_t n = 0;
    while (n < s.len) {
        if (is_name_byte(s.ptr[n])) {
            n++;
        } else if (s.len - n >= 3 && s.ptr[n] == '%' && is_hex(s.ptr[n + 1]) && is_hex(s.ptr[n + 2])) {
            n += 3;
        } else {
            break;
        }
    }
    return n;
}

/* The same of an IP literal with its brackets; 0: it is none. */
static size_t measure_literal(struct slice s) {
    size_t n = 1;
    while (n < s.len && (is_name_byte(s.ptr[n]) || s.ptr[n] == ':')) {
        n++;
    }
    return n > 1 && n < s.len && s.ptr[n] == ']' ? n + 1 : 0;
}

bool http_authority_parse(struct slice text, struct http_authority *out) {
    out->is_literal = text.len > 0 && text.ptr[0] == '[';
    size_t n = out->is_literal ? measure_literal(text) : measure_name(text);
    if (out->is_literal && n == 0) {
        return false;
    }
    out->host = out->is_literal ? slice_of(text.ptr + 1, n - 2) : slice_first(text, n);
    out->port = SLICE("");
    struct slice rest = slice_skip(text, n);
    if (rest.len == 0) {
        return true;
    }
    out->port = slice_skip(rest, 1);
    for (n = 0; n < out->port.len && is_digit(out->port.ptr[n]); n++) {
    }
    return rest.ptr[0] == ':' && n == out->port.len;
}

static struct slice without_last_dot(struct slice name) {
    return slice_first(name, name.len - (name.len > 0 && name.ptr[name.len - 1] == '.'));
}

bool http_host_name_equal(struct slice a, struct slice b) {
    return slice_equals_nocase(without_last_dot(a), without_last_dot(b));
}

/* --- Origins --- */

/* scheme = ALPHA *( ALPHA / DIGIT / "+" / "-" / "." ) (RFC 3986, 3.1) */
static bool is_scheme(struct slice text) {
    for (size_t i = 1; i < text.len; i++) {
        char c = text.ptr[i];
        if (!is_letter(c) && !is_digit(c) && c != '+' && c != '-' && c != '.') {
            return false;
        }
    }
    return text.len > 0 && is_letter(text.ptr[0]);
}

bool http_origin_parse(struct slice text, struct http_origin *out) {
    const struct slice mark = SLICE("//");
    out->scheme = slice_take_until(&text, ':');
    return is_scheme(out->scheme) && slice_equals(slice_first(text, mark.len), mark) &&
           http_authority_parse(slice_skip(text, mark.len), &out->authority) && out->authority.host.len > 0;
}

static struct slice port_of(const struct slice port, struct slice scheme) {
    if (port.len > 0) {
        return port;
    }
    return slice_equals_nocase(scheme, SLICE("http"))    ? SLICE("80")
           : slice_equals_nocase(scheme, SLICE("https")) ? SLICE("443")
                                                         : SLICE("");
}

/* scheme: of both, for a port that is not given. */
static bool same_authority(const struct http_authority *a, const struct http_authority *b,
                           struct slice scheme) {
    return a->is_literal == b->is_literal && slice_equals_nocase(a->host, b->host) &&
           slice_equals(port_of(a->port, scheme), port_of(b->port, scheme));
}

bool http_origin_equal(const struct http_origin *a, const struct http_origin *b) {
    return slice_equals_nocase(a->scheme, b->scheme) && same_authority(&a->authority, &b->authority, a->scheme);
}

bool http_origin_is_of(const struct http_origin *origin, const struct http_authority *host) {
    return (slice_equals_nocase(origin->scheme, SLICE("http")) ||
            slice_equals_nocase(origin->scheme, SLICE("https"))) &&
           same_authority(&origin->authority, host, origin->scheme);
}
