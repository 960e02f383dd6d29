/* client_command.h: what CLIENT does to other clients than the one that asks, and what others need of it. */
#ifndef KVNODE_SERVER_COMMANDS_CLIENT_CLIENT_COMMAND_H
#define KVNODE_SERVER_COMMANDS_CLIENT_CLIENT_COMMAND_H

#include "server/dispatch/command.h"

/* One line without its end: what CLIENT INFO says. now_ms: monotonic. */
void client_write(const struct client *client, int64_t now_ms, struct buf *out);

/* An empty name is none. False: replied with an error. */
bool client_set_name(struct request *request, struct slice name);

extern const struct feature feature_reply_mode; /* CLIENT REPLY OFF and SKIP */

#endif
