/* base64.h: base64 (RFC 4648, section 4), with padding: how JSON says what is not UTF-8. Pure.
 *
 * Our own, since OpenSSL's EVP_DecodeBlock takes blanks and trailing bits that are not zero, and counts padding
 * as data.
 */
#ifndef KVNODE_PROTOCOL_BASE64_H
#define KVNODE_PROTOCOL_BASE64_H

#include "protocol/buf.h"

/* Appends the base64 of bytes to out. */
void base64_encode(struct buf *out, struct slice bytes);

/* Appends what text says to out. Exactly one text says given bytes: blanks, line ends, missing or misplaced
 * padding and trailing bits that are not zero are refused. False: refused, or out could not grow (then
 * buf_failed says so); what out held is as it was. */
bool base64_decode(struct buf *out, struct slice text);

#endif
