/* changes.h: keys that have changed, gathered until somebody is told of them: each once, in order, so that
 * those with the same beginning lie side by side. Pure.
 *
 * changes_add ... changes_add --> changes_sort --> changes_range ... --> changes_reset
 */
#ifndef KVNODE_SERVER_COMMANDS_CLIENT_CHANGES_H
#define KVNODE_SERVER_COMMANDS_CLIENT_CHANGES_H

#include "protocol/buf.h"

struct change {
    struct slice key; /* from changes_sort on */
    uint64_t client;  /* who alone has changed it; 0: nobody, or more than one */
    size_t at;        /* inside: the key in bytes */
};

/* Zero-initialised. */
struct changes {
    struct change *items;
    size_t count, capacity;
    struct buf bytes;
};
void changes_deinit(struct changes *changes);

/* As many as one message should have: the next key of so many bytes should wait for the next one. */
bool changes_full(const struct changes *changes, size_t key_bytes);
/* Copies the key. False: out of memory, nothing was added. */
bool changes_add(struct changes *changes, struct slice key, uint64_t client);

/* Ascending by the keys' bytes, without repetitions. Nothing is added after it but behind changes_reset. */
void changes_sort(struct changes *changes);
/* Those that begin with prefix: *count of them, from the one that is returned. Logarithmic in all of them. */
const struct change *changes_range(const struct changes *changes, struct slice prefix, size_t *count);
/* Forgets them; gives memory back that only many of them needed. */
void changes_reset(struct changes *changes);

#endif
