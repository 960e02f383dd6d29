/* replicated_store.h: the keyspace as the deciders of replication, and the journal, read and change it. */
#ifndef KVNODE_SERVER_PEERS_REPLICATED_STORE_H
#define KVNODE_SERVER_PEERS_REPLICATED_STORE_H

#include "cluster/group_data.h"

struct keyspace;

struct group_data replicated_store(struct keyspace *keyspace);
uint64_t replicated_store_scan(void *keyspace, uint64_t cursor, bool plain, struct buf *out, uint64_t *count);

#endif
