#include "server/rest/authorization.h"

#include "protocol/base64.h"
#include "server/password.h"

enum { CREDENTIALS_MAX_BYTES = 8192 };

/* What follows "scheme " (in any case); false: it is another scheme. */
static bool cut_scheme(struct slice field, struct slice scheme, struct slice *rest) {
    if (field.len <= scheme.len || !slice_equals_nocase(slice_first(field, scheme.len), scheme) ||
        field.ptr[scheme.len] != ' ') {
        return false;
    }
    *rest = slice_skip(field, scheme.len);
    while (rest->len > 0 && rest->ptr[0] == ' ') {
        *rest = slice_skip(*rest, 1);
    }
    return true;
}

/* base64 of "user:password"; the user has no colon. */
static bool basic_is_right(const struct settings *settings, struct slice credentials) {
    struct buf plain;
    buf_init(&plain, CREDENTIALS_MAX_BYTES);
    bool right = false;
    if (base64_decode(&plain, credentials)) {
        struct slice pair = buf_slice(&plain);
        const char *colon = memchr(pair.ptr, ':', pair.len);
        if (colon != NULL) {
            size_t n = (size_t)(colon - pair.ptr);
            right = password_matches(settings, slice_first(pair, n), slice_skip(pair, n + 1));
        }
    }
    buf_deinit(&plain);
    return right;
}

bool rest_is_authorized(const struct exchange *exchange) {
    const struct settings *settings = exchange->context->settings;
    struct slice field = exchange->request->authorization, credentials;
    if (!password_is_wanted(settings)) {
        return true;
    }
    if (cut_scheme(field, SLICE("basic"), &credentials)) {
        return basic_is_right(settings, credentials);
    }
    return cut_scheme(field, SLICE("bearer"), &credentials) &&
           password_matches(settings, SLICE("default"), credentials);
}
