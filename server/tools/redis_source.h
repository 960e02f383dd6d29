/* redis_source.h: a Redis or Valkey that runs, as -import reads it: SCAN, and for each key its type in the
 * first reading, its value and its deadline in those behind it. What is written there meanwhile may be missing.
 */
#ifndef KVNODE_SERVER_TOOLS_REDIS_SOURCE_H
#define KVNODE_SERVER_TOOLS_REDIS_SOURCE_H

#include "protocol/slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct redis_source;

bool redis_source_is(const char *url);
/* NULL: reason is one line. */
struct redis_source *redis_source_open(const char *url, char *reason, size_t n);
void redis_source_close(struct redis_source **source); /* NULL-safe, nulls it */

/* Before each reading. */
void redis_source_rewind(struct redis_source *source);

struct redis_item {
    const char *type;         /* NULL: a string of database 0; else what it is */
    uint64_t database, count; /* so many of another database at once; else 1 */
    struct slice key, value;  /* until the next call; value: not in the first reading */
    int64_t deadline_ms;
};

enum redis_result { REDIS_ITEM, REDIS_END, REDIS_BAD };
enum redis_result redis_source_next(struct redis_source *source, struct redis_item *item);
const char *redis_source_reason(const struct redis_source *source); /* of BAD */
uint64_t redis_source_total(const struct redis_source *source);     /* keys, about */

#endif
