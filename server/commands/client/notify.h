/* notify.h: keyspace notifications: what happens to keys, published (locally) as notify-keyspace-events says,
 * to
 * __keyspace@0__:<key> with the event's name, and to __keyevent@0__:<event> with the key.
 */
#ifndef KVNODE_SERVER_COMMANDS_CLIENT_NOTIFY_H
#define KVNODE_SERVER_COMMANDS_CLIENT_NOTIFY_H

#include "server/clients/clients.h"

/* What clients->current does at the moment gives a write its name; without one (REST, a leader's line) it is
 * "set". */
void notify_event(struct clients *clients, enum keyspace_event event, struct slice key);

#endif
