/* observer.h: what happens to keys, told to those who asked for it: WATCH, client-side caching, notifications.
 * The keyspace is observed only while somebody has asked.
 */
#ifndef KVNODE_SERVER_COMMANDS_CLIENT_OBSERVER_H
#define KVNODE_SERVER_COMMANDS_CLIENT_OBSERVER_H

#include "server/clients/clients.h"

enum observation {
    OBSERVED_FOR_WATCH = 1 << 0,
    OBSERVED_FOR_TRACKING = 1 << 1,
    OBSERVED_FOR_NOTIFICATION = 1 << 2,
};

/* Somebody has begun to want it, or has ceased to. */
void observer_update(struct clients *clients);

/* Before a batch of commands: CONFIG SET may have changed notify-keyspace-events. */
static inline void observer_follow_settings(struct clients *clients) {
    bool wanted = clients->context->settings->notify_flags != 0;
    if (__builtin_expect(wanted != ((clients->observed & OBSERVED_FOR_NOTIFICATION) != 0), 0)) {
        observer_update(clients);
    }
}

#endif
