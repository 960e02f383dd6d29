#define _GNU_SOURCE 1
#include "server/tools/url.h"

#include "protocol/num.h"
#include "protocol/percent.h"

#include <stdio.h>

bool url_is(struct slice text, struct slice scheme) {
    return text.len >= scheme.len + 3 && slice_equals_nocase(slice_first(text, scheme.len), scheme) &&
           memcmp(text.ptr + scheme.len, "://", 3) == 0;
}

static bool decode(struct slice text, char *to, size_t room, size_t *n) {
    return text.len < room && percent_decode(text, PERCENT_PLAIN, to, n);
}

static bool take_credentials(struct slice *rest, struct url *out) {
    const char *at = rest->len == 0 ? NULL : memrchr(rest->ptr, '@', rest->len);
    if (at == NULL) {
        return true;
    }
    struct slice password = slice_first(*rest, (size_t)(at - rest->ptr));
    *rest = slice_skip(*rest, password.len + 1);
    struct slice user = slice_take_until(&password, ':');
    return decode(user, out->user, sizeof(out->user), &out->user_len) &&
           decode(password, out->password, sizeof(out->password), &out->password_len);
}

bool url_parse(struct slice text, struct slice scheme, struct url *out, const char **reason) {
    uint64_t port;
    memset(out, 0, sizeof(*out));
    *reason =
        slice_equals(scheme, SLICE("http")) ? "it is not http://HOST:PORT" : "it is not redis://HOST:PORT";
    if (!url_is(text, scheme)) {
        return false;
    }
    struct slice path = slice_skip(text, scheme.len + 3);
    text = slice_take_until(&path, '/');
    snprintf(out->path, sizeof(out->path), "%.*s", (int)slice_first(path, sizeof(out->path)).len, path.ptr);
    if (!take_credentials(&text, out)) {
        *reason = "its user or password is too long, or wrongly escaped";
        return false;
    }
    const char *colon = text.len == 0 ? NULL : memrchr(text.ptr, ':', text.len);
    if (colon == NULL || !num_parse_u64(slice_skip(text, (size_t)(colon + 1 - text.ptr)), &port) || port == 0 ||
        port > UINT16_MAX) {
        return false;
    }
    struct slice host = slice_first(text, (size_t)(colon - text.ptr));
    if (host.len > 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']') {
        host = slice_of(host.ptr + 1, host.len - 2);
    }
    if (host.len == 0 || host.len >= sizeof(out->host)) {
        return false;
    }
    memcpy(out->host, host.ptr, host.len);
    out->port = (uint16_t)port;
    return true;
}
