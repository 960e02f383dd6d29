/* set_body.h: the JSON body of POST /set: {"key": text, "value": text, "ttl": seconds}. Pure; cJSON parses.
 *
 * text is a string, or {"base64":"..."} for bytes that are not text. What cJSON would let pass or misread is
 * refused here: bytes that are not UTF-8, control characters, \u0000, anything behind the object, a member
 * given twice. An optional member (ttl, and key where the query says it) that is null is one that is not given.
 * Members of other names are ignored; there may be few of them, so that a body cannot be blown up into a tree.
 */
#ifndef KVNODE_PROTOCOL_SET_BODY_H
#define KVNODE_PROTOCOL_SET_BODY_H

#include "protocol/buf.h"
#include "protocol/err.h"

#include <stdint.h>

enum { SET_BODY_MAX_MEMBERS = 64, SET_BODY_MAX_DEPTH = 8 };
/* A time to live that is longer can't be a deadline of 48 bits, whatever the time. */
#define SET_BODY_MAX_TTL_MS (((int64_t)1 << 48) - 1)

struct cJSON;

struct set_body {
    bool has_key, has_value;
    struct slice key, value; /* live until set_body_deinit */
    int64_t ttl_ms;          /* at least 1; 0: not given */
    struct cJSON *json;
    struct buf decoded_key, decoded_value;
};

/* ERR_NONE, or ERR_BAD_REQUEST, ERR_INVALID_EXPIRE, ERR_NO_MEMORY and *reason, a static text. set_body_deinit
 * is due in every case. */
enum err set_body_read(struct slice text, struct set_body *out, const char **reason);
void set_body_deinit(struct set_body *body);

/* Seconds, with fractions, as a time to live: rounded to ms, but never to 0. False: not above 0, or too long.
 */
bool set_body_ttl_of_seconds(double seconds, int64_t *ttl_ms);
/* The same out of decimal text: digits, and perhaps a point with digits behind it. */
bool set_body_ttl_of_text(struct slice text, int64_t *ttl_ms);

#endif
