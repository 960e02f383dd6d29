/* pubsub.h: channels, patterns and shard channels, and who has subscribed to them.
 *
 * Messages are local to the node: a subscriber hears what is published on the node that it is connected to. In
 * Redis Cluster PUBLISH goes to every node; here it does not yet, and a follower does not hear what was
 * published on its leader. A shard channel is found like a key, at the leader of its slot, by both sides: there
 * its messages lack nobody.
 */
#ifndef KVNODE_SERVER_COMMANDS_CLIENT_PUBSUB_H
#define KVNODE_SERVER_COMMANDS_CLIENT_PUBSUB_H

#include "server/clients/clients.h"
#include "server/clients/interest.h"

enum subscription_kind { SUBSCRIPTION_CHANNEL, SUBSCRIPTION_PATTERN, SUBSCRIPTION_SHARD, SUBSCRIPTION_KINDS };

/* To the channel's subscribers, then to those of the patterns that match it. Returns how many messages that
 * was. */
size_t pubsub_publish(struct clients *clients, struct slice channel, struct slice message);

/* How many channels, patterns, or shard channels the client has subscribed to (CLIENT LIST: sub, psub, ssub).
 */
size_t pubsub_count(const struct client *client, enum subscription_kind kind);
/* How many names of the kind somebody has subscribed to. */
size_t pubsub_names(const struct clients *clients, enum subscription_kind kind);

extern const struct feature feature_pubsub; /* its end is that of all subscriptions, without a word */

#endif
