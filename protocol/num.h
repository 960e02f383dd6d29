/* num.h: integers in text, strictly: text that another writer would not have produced is refused. */
#ifndef KVNODE_PROTOCOL_NUM_H
#define KVNODE_PROTOCOL_NUM_H

#include "protocol/slice.h"

#include <stdint.h>

enum { NUM_MAX_DIGITS = 21 }; /* the longest 64-bit decimal with its sign fits */

/* The whole slice is one number: digits only ('-' first for i64), no plus, no leading zeros, no blanks, in
 * range. */
bool num_parse_u64(struct slice text, uint64_t *out);
bool num_parse_i64(struct slice text, int64_t *out);

/* NUM_HEX_DIGITS hex digits, small ones: a history id. */
enum { NUM_HEX_DIGITS = 16 };
bool num_parse_hex(struct slice text, uint64_t *out);

/* Writes the decimal form, no NUL; to has room for NUM_MAX_DIGITS. Returns the number of bytes. */
size_t num_write_u64(char *to, uint64_t number);
size_t num_write_i64(char *to, int64_t number);

#endif
