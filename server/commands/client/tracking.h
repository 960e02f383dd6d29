/* tracking.h: client-side caching (CLIENT TRACKING): a client is told when what it may have kept has changed.
 *
 * In the default mode the node remembers for every key who has read it, and tells each of them once; in the
 * BCAST mode it remembers nothing, and tells of every change under the client's prefixes, once an iteration of
 * the loop. The memory of who read what is a table of its own, at most tracking-table-max-keys long: when it is
 * full some key is forgotten, and whoever read that is told as if it had changed. Clients are in it by id: one
 * that has gone is met, and skipped, later.
 */
#ifndef KVNODE_SERVER_COMMANDS_CLIENT_TRACKING_H
#define KVNODE_SERVER_COMMANDS_CLIENT_TRACKING_H

#include "server/clients/clients.h"
#include "server/clients/interest.h"

enum tracking_option {
    TRACKING_BCAST = 1 << 0,
    TRACKING_OPTIN = 1 << 1,
    TRACKING_OPTOUT = 1 << 2,
    TRACKING_NOLOOP = 1 << 3,
};

/* What a client that tracks has. Changed by tracking.c, but for caching. */
struct tracker {
    struct interested prefixes; /* BCAST */
    uint32_t options;           /* enum tracking_option */
    uint64_t redirect;          /* id of the client that is told instead; 0: none */
    bool redirect_broken;
    bool caching; /* CLIENT CACHING was the last command */
};

/* What CLIENT TRACKING ON asks for, besides its prefixes. */
struct tracking_wish {
    uint32_t options;
    int64_t redirect;
    size_t prefix_count;
};

/* Makes the client track, or track besides what it has. False: out of memory; then it does not track at all. */
bool tracking_turn_on(struct client *client, const struct tracking_wish *wish, const struct slice *prefixes);
void tracking_turn_off(struct client *client);

void tracking_limit_changed(
    struct clients *clients); /* tracking-table-max-keys: what is too much is forgotten */

/* For INFO. */
size_t tracking_clients(const struct clients *clients);  /* that track */
size_t tracking_keys(const struct clients *clients);     /* in the table */
size_t tracking_items(const struct clients *clients);    /* clients of all keys in the table */
size_t tracking_prefixes(const struct clients *clients); /* different ones */

extern const struct feature feature_tracking;

/* For CLIENT LIST. */
bool tracking_broadcasts(const struct client *client);     /* BCAST: flag B */
bool tracking_is_broken(const struct client *client);      /* its redirection has gone: flag R */
int64_t tracking_redirection(const struct client *client); /* -1: does not track; 0: none */

#endif
