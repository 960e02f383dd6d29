/* client_eviction.h: maxmemory-clients: closes the clients that take most when all of them take too much
 * together, but none that has said CLIENT NO-EVICT. One a struct clients, which owns it.
 *
 *     at rest --- too much --> a pass: counts all clients anew, some a step, and remembers the largest
 *        ^ ^                     |  ^
 *        | '--- not any more ----|  | still too much: another pass
 *        |                       v  |
 *        |                     the largest are closed, one by one, as long as it is too much
 *        |                       |
 *        '--- until the next ----'  there was none to close: those that take too much may not be closed
 *             tick
 */
#ifndef KVNODE_SERVER_CLIENTS_CLIENT_EVICTION_H
#define KVNODE_SERVER_CLIENTS_CLIENT_EVICTION_H

struct client;
struct client_eviction;
struct clients;

struct client_eviction *client_eviction_create(struct clients *clients); /* NULL: out of memory */
void client_eviction_destroy(struct client_eviction **eviction);         /* NULL-safe, nulls it */
void client_eviction_forget(struct client_eviction *eviction, const struct client *client); /* it leaves */

/* Once an iteration: starts what is above when the sum that is counted is too much. Costs nothing otherwise. */
void client_eviction_look(struct client_eviction *eviction);
/* Every 100 ms: likewise, even if the last pass has found none to close. */
void client_eviction_tick(struct client_eviction *eviction);

#endif
