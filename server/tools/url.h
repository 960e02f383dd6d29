/* url.h: where a tool is to go: SCHEME://[[USER]:PASSWORD@]HOST:PORT[/PATH]. */
#ifndef KVNODE_SERVER_TOOLS_URL_H
#define KVNODE_SERVER_TOOLS_URL_H

#include "protocol/limits.h"
#include "protocol/slice.h"

#include <stdint.h>

enum { URL_USER_BYTES = 256, URL_PASSWORD_BYTES = 1024, URL_PATH_BYTES = 64 };

struct url {
    char host[LIMIT_HOST_BYTES + 1]; /* without the [..] around an IPv6 address */
    uint16_t port;
    char user[URL_USER_BYTES], password[URL_PASSWORD_BYTES]; /* bytes, without escapes */
    size_t user_len, password_len;                           /* password_len 0: none */
    char path[URL_PATH_BYTES];                               /* behind the '/', cut off */
};

/* False: *reason is a static text. */
bool url_parse(struct slice text, struct slice scheme, struct url *out, const char **reason);
/* Whether text begins with scheme://. */
bool url_is(struct slice text, struct slice scheme);

#endif
