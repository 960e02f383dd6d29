/* rdb_file.h: an RDB file, as Redis and Valkey save it, from its beginning to its end. Pure.
 *
 *   "REDIS" version: 4 digits | opcodes, and keys | 0xff | CRC-64 of all before it (from version 5 on; 0: none)
 *
 *   key:     type: 1 byte | key | value, as its type has it            strings are those of rdb_string.h
 *   opcodes: 0xfc: ms, 64 bits; 0xfd: s, 32 bits: the deadline of the next key    0xfe: number of the database
 *            0xf8: idle time, 0xf9: frequency of the next key     0xfa: a name and what it says
 *            0xfb, 0xf4: how many keys follow                      0xf5: a function      0xf7: a module's
 *
 * Values that are not strings are walked over, so that it can be said what there is. The whole file is given at
 * once; what is given back points into it, or lives until the next call.
 */
#ifndef KVNODE_PROTOCOL_RDB_FILE_H
#define KVNODE_PROTOCOL_RDB_FILE_H

#include "protocol/buf.h"

enum { RDB_FILE_VERSION_MAX = 12, RDB_FILE_REASON_BYTES = 160 };

/* Whether it is meant to be one. */
bool rdb_file_is(struct slice whole);

struct rdb_file {
    char reason[RDB_FILE_REASON_BYTES]; /* BAD: why, and at which byte */

    /* Private. */
    struct slice whole, in;
    unsigned version;
    uint64_t database, crc;
    bool begun;
    struct buf key, value;
};

void rdb_file_init(struct rdb_file *file, struct slice whole);
void rdb_file_deinit(struct rdb_file *file);

struct rdb_file_item {
    const char *type; /* "string", "list", "function": a static text */
    bool is_string;
    uint64_t database;
    struct slice key, value; /* of a string */
    int64_t deadline_ms;     /* of a string; 0: none */
};

enum rdb_file_result { RDB_FILE_ITEM, RDB_FILE_END, RDB_FILE_BAD, RDB_FILE_NO_MEMORY };

/* END: all is read, and the checksum is right. After anything but ITEM it is not called again. */
enum rdb_file_result rdb_file_next(struct rdb_file *file, struct rdb_file_item *item);

/* Bytes that are read. */
uint64_t rdb_file_done(const struct rdb_file *file);

#endif
