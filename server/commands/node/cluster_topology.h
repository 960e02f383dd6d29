/* cluster_topology.h: who a node id is, for those commands that take one. */
#ifndef KVNODE_SERVER_COMMANDS_NODE_CLUSTER_TOPOLOGY_H
#define KVNODE_SERVER_COMMANDS_NODE_CLUSTER_TOPOLOGY_H

#include "server/dispatch/command.h"

/* The member of that id, in any case. NULL: replied with an error. */
const struct member *cluster_member(struct request *request, struct slice id);

/* The epoch of what the leader of a group says of its slots; leader NULL: it has none. Of two that claim slots
 * Redis's clients believe the one of the greater epoch: so it is the term, where leaders are elected. */
uint64_t cluster_config_epoch(const struct command_context *context, const struct member *leader);

#endif
