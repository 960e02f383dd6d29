/* node.h: the composition root: one of everything, wired together. Only main.c includes this. */
#ifndef KVNODE_SERVER_NODE_H
#define KVNODE_SERVER_NODE_H

#include "server/options.h"

struct node;

/* Binds every port. NULL: message (n bytes) is one line that says why. options must outlive the node. */
struct node *node_create(const struct options *options, char *message, size_t n);
/* Runs until SIGTERM or SIGINT, or until the node may not go on: then message is one line. Returns the exit
 * code. */
int node_run(struct node *node, char *message, size_t n);
void node_destroy(struct node **node);

#endif
