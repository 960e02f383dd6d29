/* utf8.h: whether bytes are text. Pure. */
#ifndef KVNODE_PROTOCOL_UTF8_H
#define KVNODE_PROTOCOL_UTF8_H

#include "protocol/slice.h"

/* Well-formed UTF-8 (Unicode, table 3-7; RFC 3629): no overlong forms, no surrogates, nothing above U+10FFFF.
 * NUL is a character like any other; so is nothing at all. */
bool utf8_valid(struct slice bytes);

#endif
