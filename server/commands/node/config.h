/* config.h: makes the parameters of server/settings.h act. */
#ifndef KVNODE_SERVER_COMMANDS_NODE_CONFIG_H
#define KVNODE_SERVER_COMMANDS_NODE_CONFIG_H

#include "server/context.h"

struct clients;

/* All of them, as the node starts; but maxclients, whose limit is known when the listeners stand. */
void config_apply_all(const struct command_context *context, struct clients *clients);

#endif
