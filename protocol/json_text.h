/* json_text.h: bytes as a JSON value (RFC 8259): a string where they are text, {"base64":"..."} where they are
 * not. Pure.
 *
 * Text is well-formed UTF-8 without NUL: what is written this way can be sent back in the same form
 * (protocol/set_body.h). Measured first, so that the length of a reply is known before its first byte, and room
 * is made for it once.
 */
#ifndef KVNODE_PROTOCOL_JSON_TEXT_H
#define KVNODE_PROTOCOL_JSON_TEXT_H

#include "protocol/buf.h"

struct json_text {
    struct slice bytes;
    size_t length; /* of the JSON value, with its quotes */
    bool base64;
};

struct json_text json_text_measure(struct slice bytes);
void json_text_append(struct buf *out, const struct json_text *text);

/* Both at once. */
void json_text_write(struct buf *out, struct slice bytes);

#endif
