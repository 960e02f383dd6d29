/* percent.h: percent-encoding (RFC 3986, 2.1) of the fields of a line and of the query of an HTTP request.
 * Pure.
 *
 * Encoding is for lines: '%', '|', LF, CR and NUL become %XX, upper case; every other byte stays. Decoding
 * takes any byte escaped, in either case; a '%' without two hexadecimal digits behind it is malformed.
 *
 * The form of a patch is for bytes that are often zero: there '~' stands for NUL, and a '~' is %7E.
 */
#ifndef KVNODE_PROTOCOL_PERCENT_H
#define KVNODE_PROTOCOL_PERCENT_H

#include "protocol/slice.h"

/* What besides %XX is not the byte that it looks like. */
enum percent_form { PERCENT_PLAIN, PERCENT_PLUS_IS_BLANK, PERCENT_TILDE_IS_NUL };

/* The length of the encoded form. */
size_t percent_encoded_bytes(struct slice bytes);
size_t percent_encoded_patch_bytes(struct slice bytes);

/* Writes the encoded form; to has room for its length. Returns the end of what was written. */
char *percent_encode(char *to, struct slice bytes);
char *percent_encode_patch(char *to, struct slice bytes);

/* Decodes text into to, which has room for text.len bytes and may be text itself; *n is the decoded length.
 * False: malformed, and what is in to is not defined. */
bool percent_decode(struct slice text, enum percent_form form, char *to, size_t *n);

#endif
