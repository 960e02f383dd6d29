/* dialler.h: reaching a node that has announced itself. Who cannot be reached is dialled again after a while,
 * which doubles up to a limit; the log says so once, until it has been reached.
 *
 *   waiting --due--> dialler_dial --> connecting --> dialler_connected --.
 *      ^   \__ NULL: not now __/          |                              |
 *      '--------------------------------- dialler_closed <---------------'
 *
 * Embedded; what it points to outlives it. The conn is its session's.
 */
#ifndef KVNODE_SERVER_PEERS_DIALLER_H
#define KVNODE_SERVER_PEERS_DIALLER_H

#include "cluster/membership.h"
#include "server/log.h"
#include "server/net/conn.h"

enum { DIALLER_CONNECT_WITHIN_MS = 5000 };

struct dialler {
    struct net *net;
    const struct log *log;
    const char *purpose; /* static: for the log */
    int64_t first_ms, most_ms;
    char node_id[LIMIT_NODE_ID_BYTES + 1], host[LIMIT_HOST_BYTES + 1];
    uint16_t port;
    int64_t due_ms, wait_ms;
    bool reached, failure_told;
    bool found_nobody; /* the last time */
};

/* first_ms, most_ms: the shortest and the longest wait before it is dialled again. Due at once. */
void dialler_init(struct dialler *dialler, struct net *net, const struct log *log, const char *purpose,
                  int64_t first_ms, int64_t most_ms);
/* Where the node is. True: it was somewhere else before. */
bool dialler_aim(struct dialler *dialler, const struct member *member);

bool dialler_due(const struct dialler *dialler);
/* NULL: not now. */
struct conn *dialler_dial(struct dialler *dialler, const struct conn_handler *handler, void *session,
                          size_t max_input_bytes);
/* From on_connected and on_close of the conn. */
void dialler_connected(struct dialler *dialler, struct conn *conn);
void dialler_closed(struct dialler *dialler, enum close_reason reason);

/* The host has answered that nobody listens there. */
static inline bool dialler_found_nobody(const struct dialler *dialler) { return dialler->found_nobody; }

void dialler_soon(struct dialler *dialler); /* due at once, and the next wait is the shortest */

#endif
