/* expiry.h: times in commands: relative or absolute, seconds or milliseconds, to an absolute deadline in Unix
 * ms. */
#ifndef KVNODE_SERVER_COMMANDS_KEY_EXPIRY_H
#define KVNODE_SERVER_COMMANDS_KEY_EXPIRY_H

#include "server/dispatch/command.h"

struct expiry_form {
    bool seconds, absolute;
};

/* Argument i as a time; false: replied with an error (not an integer; out of what 64 bits or the store can
 * hold). The deadline may be in the past, or negative. */
bool expiry_parse(struct request *request, size_t i, struct expiry_form form, int64_t *deadline_ms);

/* The same where a time has to be greater than 0 (SET). */
bool expiry_parse_positive(struct request *request, size_t i, struct expiry_form form, int64_t *deadline_ms);

#endif
