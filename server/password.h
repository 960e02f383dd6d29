/* password.h: is a client who it says it is? There is one user, "default", with one password or none. */
#ifndef KVNODE_SERVER_PASSWORD_H
#define KVNODE_SERVER_PASSWORD_H

#include "protocol/slice.h"
#include "server/settings.h"

static inline bool password_is_wanted(const struct settings *settings) {
    return settings->requirepass.length > 0;
}

/* In time that does not depend on how much of it is right. Without a password any one is right. */
bool password_matches(const struct settings *settings, struct slice user, struct slice password);

#endif
