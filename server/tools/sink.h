/* sink.h: where -import writes to: a node that runs, or a new DIR. */
#ifndef KVNODE_SERVER_TOOLS_SINK_H
#define KVNODE_SERVER_TOOLS_SINK_H

#include "protocol/slice.h"

#include <stdint.h>

enum { SINK_REASON_BYTES = 1200 };

struct sink_item {
    struct slice key, value;           /* the sink copies what it keeps */
    uint64_t version;                  /* 0: it begins anew */
    int64_t timestamp_ms, deadline_ms; /* deadline 0: none */
};

struct sink;
struct journal_wish;

/* Each returns false when it fails: sink_reason is one line. */
struct sink_kind {
    bool (*put)(struct sink *sink, const struct sink_item *item);
    bool (*finish)(struct sink *sink); /* all is where it belongs */
    void (*destroy)(struct sink *sink);
};

/* Embedded in what the kind is of. */
struct sink {
    const struct sink_kind *kind;
    uint64_t written; /* keys that are there for certain */
    char reason[SINK_REASON_BYTES];
};

/* NULL: reason is one line. */
struct sink *sink_to_node(const char *url, char reason[SINK_REASON_BYTES]); /* sink_node.c */
/* sink_directory.c. floor: of versions. forgetful: not all that was acknowledged is in it. */
struct sink *sink_to_directory(const struct journal_wish *wish, uint64_t floor, bool forgetful,
                               char reason[SINK_REASON_BYTES]);

#endif
