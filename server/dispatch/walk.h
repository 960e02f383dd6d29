/* walk.h: an answer that takes a look at every key, or at many: gathered in slices by a task, while the client
 * waits and nobody else does.
 *
 *   walk_start --> GATHERING (keyspace pinned, conn paused) --> SENDING (as the conn takes it) --> conn
 * resumed, walk freed
 *                        '------------ the client is gone: the feature ends ------------'
 */
#ifndef KVNODE_SERVER_DISPATCH_WALK_H
#define KVNODE_SERVER_DISPATCH_WALK_H

#include "server/dispatch/command.h"

struct walk;

struct walk_kind {
    void (*visit)(struct walk *walk, const struct entry *entry);
    bool (*is_enough)(struct walk *walk); /* asked behind every bucket; NULL: it never is before the end */
    /* All has been visited: writes what goes before the elements that were added. */
    void (*finish)(struct walk *walk, struct resp_reply *reply);
    void (*release)(void *state); /* frees it */
};

/* From cursor on (0: from the beginning). Takes state_owned over, also when it fails (NULL state or out of
 * memory: replied with an error). A client that wants no replies gets no walk. */
void walk_start(struct request *request, const struct walk_kind *kind, uint64_t cursor, void *state_owned);
/* The command that has started it has run for so long, and is timed: so is what follows, and told at its end.
 */
void walk_time(struct walk *walk, uint64_t us);
/* The output of the client's conn is under the low mark. */
void walk_on_room(struct walk *walk);
/* All of it at once, whatever time that takes: within EXEC nothing else may happen. NULL-safe, nulls it. */
void walk_finish_now(struct walk **walk);
/* Frees it at once; NULL-safe, nulls it. */
void walk_destroy(struct walk **walk);

extern const struct feature feature_walk; /* its end: walk_destroy */

/* For the kind's functions. */
void *walk_state(const struct walk *walk);
void walk_add_bulk(struct walk *walk, struct slice bytes);
size_t walk_added(const struct walk *walk);
uint64_t walk_cursor(const struct walk *walk); /* where it has come to; 0: the end */

#endif
