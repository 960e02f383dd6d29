/* persistence.h: what Redis's tools ask of a server that keeps its data. */
#ifndef KVNODE_SERVER_COMMANDS_NODE_PERSISTENCE_H
#define KVNODE_SERVER_COMMANDS_NODE_PERSISTENCE_H

#define PERSISTENCE_OFF "ERR nothing is kept: this node was started without -data"

#endif
