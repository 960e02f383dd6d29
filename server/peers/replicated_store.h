/* replicated_store.h: the keyspace as the deciders of replication, and the journal, read and change it. */
#ifndef KVNODE_SERVER_PEERS_REPLICATED_STORE_H
#define KVNODE_SERVER_PEERS_REPLICATED_STORE_H

#include "cluster/group_data.h"

struct keyspace;

struct group_data replicated_store(struct keyspace *keyspace);

/* A state: all that is stored, as lines. What has expired is in it, with its deadline, until its DELETE is
 * written: without it the reader would have neither the key nor the floor that keeps its versions from being
 * repeated. */
uint64_t replicated_store_scan(void *keyspace, uint64_t cursor, bool plain, struct buf *out, uint64_t *count);
/* What a client would find, as lines in the X form: nothing that has expired. */
uint64_t replicated_store_export(const struct keyspace *keyspace, uint64_t cursor, struct buf *out,
                                 uint64_t *count);

#endif
