/* source.h: what -import reads: lines as -export writes them, or an RDB file; the file itself says which. It is
 * read twice: once to know that it is whole and what is in it, and then for its keys. What is not a file that
 * can be read twice (a pipe) is first copied to one. */
#ifndef KVNODE_SERVER_TOOLS_SOURCE_H
#define KVNODE_SERVER_TOOLS_SOURCE_H

#include "protocol/rdb_file.h"
#include "server/tools/redis_source.h"

enum { SOURCE_REASON_BYTES = 1200 };

struct source_item {
    const char
        *type; /* of what has no place in kvnode: "list", in which database; NULL: it is a key with a string */
    uint64_t database, count;          /* of what has no place: so many; else 1 */
    struct slice key, value;           /* until the next call */
    int64_t timestamp_ms, deadline_ms; /* 0: none is said */
};

enum source_result { SOURCE_ITEM, SOURCE_END, SOURCE_BAD };

/* Embedded in its owner. */
struct source {
    struct redis_source *redis;       /* NULL: it is a file */
    struct slice whole;               /* of a file */
    char reason[SOURCE_REASON_BYTES]; /* one line */

    /* Private. */
    bool is_mapped, is_rdb, begun;
    struct rdb_file rdb;
    struct slice rest; /* of lines */
    uint64_t line, keys;
    struct buf scratch;
};

/* path "-": stdin; redis://...: a Redis. False: reason. source_close is due in every case. */
bool source_open(struct source *source, const char *path);
void source_close(struct source *source);
void source_rewind(struct source *source); /* before the first item, too */
enum source_result source_next(struct source *source, struct source_item *item);
uint64_t source_done(const struct source *source);       /* bytes of whole; 0 of a Redis */
uint64_t source_total_keys(const struct source *source); /* of a Redis, about; 0: nobody knows */

#endif
