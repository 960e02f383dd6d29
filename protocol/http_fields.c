#include "protocol/http_fields.h"

#include "protocol/num.h"

static bool is_blank(char byte) { return byte == ' ' || byte == '\t'; }

static struct slice skip_blanks(struct slice s) {
    while (s.len > 0 && is_blank(s.ptr[0])) {
        s = slice_skip(s, 1);
    }
    return s;
}

struct slice http_trim(struct slice s) {
    s = skip_blanks(s);
    while (s.len > 0 && is_blank(s.ptr[s.len - 1])) {
        s.len--;
    }
    return s;
}

/* --- Entity tags --- */

/* etagc = %x21 / %x23-7E / obs-text */
static bool is_etag_byte(char c) {
    unsigned char byte = (unsigned char)c;
    return byte == 0x21 || (byte >= 0x23 && byte != 0x7f);
}

/* Takes one entity-tag, with the comma behind it, off *rest. */
static bool take_tag(struct slice *rest, bool *is_weak, struct slice *opaque) {
    *is_weak = rest->len >= 2 && rest->ptr[0] == 'W' && rest->ptr[1] == '/';
    struct slice s = *is_weak ? slice_skip(*rest, 2) : *rest;
    if (s.len == 0 || s.ptr[0] != '"') {
        return false;
    }
    s = slice_skip(s, 1);
    size_t n = 0;
    while (n < s.len && is_etag_byte(s.ptr[n])) {
        n++;
    }
    if (n == s.len || s.ptr[n] != '"') {
        return false;
    }
    *opaque = slice_first(s, n);
    s = skip_blanks(slice_skip(s, n + 1));
    if (s.len > 0 && s.ptr[0] != ',') {
        return false;
    }
    *rest = s;
    return true;
}

enum http_etag http_etag_match(const struct http_list *list, bool exists, uint64_t version, bool weak) {
    bool match = false, star = false;
    size_t tags = 0;
    for (size_t i = 0; i < list->count; i++) {
        struct slice rest = list->lines[i];
        while (rest.len > 0) {
            if (is_blank(rest.ptr[0]) || rest.ptr[0] == ',') { /* empty elements are allowed (5.6.1) */
                rest = slice_skip(rest, 1);
                continue;
            }
            tags++;
            if (slice_equals(http_trim(rest), SLICE("*"))) {
                star = true;
                break;
            }
            bool is_weak;
            struct slice opaque;
            uint64_t number;
            if (!take_tag(&rest, &is_weak, &opaque)) {
                return HTTP_ETAG_MALFORMED;
            }
            match |= exists && (weak || !is_weak) && num_parse_u64(opaque, &number) && number == version;
        }
    }
    if (tags == 0 || (star && tags > 1)) {
        return HTTP_ETAG_MALFORMED;
    }
    return (star ? exists : match) ? HTTP_ETAG_MATCH : HTTP_ETAG_NONE;
}

/* --- Accept --- */

/* qvalue = ( "0" [ "." 0*3DIGIT ] ) / ( "1" [ "." 0*3("0") ] ), in thousandths; -1: malformed. */
static int parse_quality(struct slice text) {
    if (text.len == 0 || text.len > 5 || (text.ptr[0] != '0' && text.ptr[0] != '1') ||
        (text.len > 1 && text.ptr[1] != '.')) {
        return -1;
    }
    int quality = (text.ptr[0] - '0') * 1000, unit = 100;
    for (size_t i = 2; i < text.len; i++, unit /= 10) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9') {
            return -1;
        }
        quality += (text.ptr[i] - '0') * unit;
    }
    return quality > 1000 ? -1 : quality;
}

/* How welcome a type is so far: by the most exact media range that names it. */
struct welcome {
    struct slice type, range; /* "application/json", "application" and "/" and "*" */
    int exactness;            /* 0: not named, 1: any type, 2: any subtype, 3: itself */
    int quality;
};

static void consider(struct welcome *welcome, struct slice range, int quality) {
    int exactness = slice_equals_nocase(range, welcome->type)    ? 3
                    : slice_equals_nocase(range, welcome->range) ? 2
                    : slice_equals(range, SLICE("*/*"))          ? 1
                                                                 : 0;
    if (exactness > welcome->exactness) {
        welcome->exactness = exactness;
        welcome->quality = quality;
    }
}

bool http_accept_prefers_octets(const struct http_list *accept) {
    struct welcome octets = {.type = SLICE("application/octet-stream"), .range = SLICE("application/*")};
    struct welcome json = {.type = SLICE("application/json"), .range = SLICE("application/*")};
    for (size_t i = 0; i < accept->count; i++) {
        struct slice rest = accept->lines[i];
        while (rest.len > 0) {
            struct slice element = http_trim(slice_take_until(&rest, ','));
            struct slice range = http_trim(slice_take_until(&element, ';'));
            int quality = 1000;
            while (element.len > 0) {
                struct slice parameter = http_trim(slice_take_until(&element, ';'));
                if (slice_equals_nocase(slice_first(parameter, 2), SLICE("q="))) {
                    quality = parse_quality(slice_skip(parameter, 2));
                }
            }
            if (quality >= 0) {
                consider(&octets, range, quality);
                consider(&json, range, quality);
            }
        }
    }
    return octets.quality > 0 && (octets.quality > json.quality ||
                                  (octets.quality == json.quality && octets.exactness > json.exactness));
}

bool http_media_type_is(struct slice content_type, struct slice media_type) {
    return slice_equals_nocase(http_trim(slice_take_until(&content_type, ';')), media_type);
}

bool http_is_identity(const struct http_list *content_encoding) {
    for (size_t i = 0; i < content_encoding->count; i++) {
        struct slice rest = content_encoding->lines[i];
        while (rest.len > 0) {
            struct slice coding = http_trim(slice_take_until(&rest, ','));
            if (coding.len > 0 && !slice_equals_nocase(coding, SLICE("identity"))) {
                return false;
            }
        }
    }
    return true;
}
