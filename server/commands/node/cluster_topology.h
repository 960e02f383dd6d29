/* cluster_topology.h: who a node id is, for those commands that take one. */
#ifndef KVNODE_SERVER_COMMANDS_NODE_CLUSTER_TOPOLOGY_H
#define KVNODE_SERVER_COMMANDS_NODE_CLUSTER_TOPOLOGY_H

#include "server/dispatch/command.h"

/* The member of that id, in any case. NULL: replied with an error. */
const struct member *cluster_member(struct request *request, struct slice id);

#endif
