/* notify.h: keyspace notifications: what happens to keys, published (locally) as notify-keyspace-events says,
 * to
 * __keyspace@0__:<key> with the event's name, and to __keyevent@0__:<event> with the key.
 */
#ifndef KVNODE_SERVER_COMMANDS_CLIENT_NOTIFY_H
#define KVNODE_SERVER_COMMANDS_CLIENT_NOTIFY_H

#include "server/clients/clients.h"

/* notify-keyspace-events has changed: the keyspace is observed only while it asks for something. */
void notify_follow_settings(struct clients *clients);

extern const struct feature feature_notify;

#endif
