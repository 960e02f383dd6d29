/* rdb_string.h: a string value as Redis's DUMP gives it and RESTORE takes it. Pure.
 *
 *   type (0: string) | string | version of the RDB format: 16 | CRC-64 of all before it: 64     (little-endian)
 *
 *   string:  length, bytes
 *          | 11000000 int8 | 11000001 int16 | 11000010 int32        (little-endian; stands for its decimal)
 *          | 11000011 compressed length, length, LZF                (protocol/lzf.h)
 *   length:  00nnnnnn | 01nnnnnn nnnnnnnn | 10000000 32 bits | 10000001 64 bits                 (big-endian)
 *
 * What is written is of version 10: Redis 7.0 and everything after it takes it.
 */
#ifndef KVNODE_PROTOCOL_RDB_STRING_H
#define KVNODE_PROTOCOL_RDB_STRING_H

#include "protocol/buf.h"

enum { RDB_VERSION_WRITTEN = 10, RDB_VERSION_MAX = 11 };

/* Appends the payload of value. Out of memory: buf_failed(out). */
void rdb_string_write(struct buf *out, struct slice value);

enum rdb_string_result {
    RDB_STRING_OK,
    RDB_STRING_BAD_FOOTER, /* "DUMP payload version or checksum are wrong" */
    RDB_STRING_BAD_FORMAT, /* "Bad data format": not a string, damaged, or longer than LIMIT_VALUE_BYTES */
    RDB_STRING_NO_MEMORY,
};

/* *value lies in payload or in scratch, which is emptied first. */
enum rdb_string_result rdb_string_read(struct slice payload, struct buf *scratch, struct slice *value);

/* --- What of it an RDB file has, too: each takes off the front of *in what it has read, and fails where that
 * is cut off or malformed. --- */

bool rdb_length_take(struct slice *in, uint64_t *length);
bool rdb_string_skip(struct slice *in);
/* A string without type and footer. *value lies in in or in scratch, which is emptied first. */
enum rdb_string_result rdb_string_take(struct slice *in, struct buf *scratch, struct slice *value);

#endif
