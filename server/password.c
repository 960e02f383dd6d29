#include "server/password.h"

bool password_matches(const struct settings *settings, struct slice user, struct slice password) {
    if (!slice_equals(user, SLICE("default"))) {
        return false;
    }
    if (!password_is_wanted(settings)) {
        return true;
    }
    /* Every byte of the place is compared, of whatever length the two are. */
    const struct setting_bytes *wanted = &settings->requirepass;
    unsigned difference = wanted->length != password.len;
    for (size_t i = 0; i < sizeof(wanted->bytes); i++) {
        unsigned char given = i < password.len ? (unsigned char)password.ptr[i] : 0;
        difference |= (unsigned)((unsigned char)wanted->bytes[i] ^ given);
    }
    return difference == 0;
}
