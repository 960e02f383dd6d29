/* voters.h: the nodes that elect a group's leader, as the line VOTERS names them. Pure; embedded by value. */
#ifndef KVNODE_PROTOCOL_VOTERS_H
#define KVNODE_PROTOCOL_VOTERS_H

#include "protocol/limits.h"
#include "protocol/slice.h"

enum { VOTERS_MOST = 9, VOTERS_MAX_BYTES = VOTERS_MOST * (LIMIT_NODE_ID_BYTES + 1) };

struct voters {
    size_t count; /* 0: none: the group does not vote */
    char ids[VOTERS_MOST][LIMIT_NODE_ID_BYTES + 1];
};

/* id,id,id: valid ones, no two the same, VOTERS_MOST at most. *out is written only when it is such a list. */
bool voters_parse(struct slice text, struct voters *out);
/* Writes the text, no NUL, of at least one; to has room for VOTERS_MAX_BYTES. Returns the number of bytes. */
size_t voters_write(char *to, const struct voters *voters);

/* Its place among them; -1: it is none of them. */
int voters_find(const struct voters *voters, const char *node_id);
/* False: there are too many already, it is one, or its id is too long. */
bool voters_add(struct voters *voters, const char *node_id);
bool voters_remove(struct voters *voters, const char *node_id); /* false: it is none */

static inline size_t voters_majority(const struct voters *voters) { return voters->count / 2 + 1; }

#endif
