/* features.h: the objects of server/clients/features.def, as one table: handed to the clients by whoever makes
 * them. */
#ifndef KVNODE_SERVER_COMMANDS_FEATURES_H
#define KVNODE_SERVER_COMMANDS_FEATURES_H

#include "server/clients/feature.h"

extern feature_table all_features;

#endif
