/* monitor.h: MONITOR: a client that is fed every command that any client runs. On for each monitor, and for all
 * clients as long as there may be one.
 */
#ifndef KVNODE_SERVER_COMMANDS_CLIENT_MONITOR_H
#define KVNODE_SERVER_COMMANDS_CLIENT_MONITOR_H

#include "server/clients/clients.h"

extern const struct feature feature_monitor;

#endif
