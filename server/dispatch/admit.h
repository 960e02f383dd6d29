/* admit.h: may a request be answered here and now? The one rule for both front-ends (DESIGN.md 7, "Who
 * answers"):
 *
 *   whose keys? (CROSSSLOT, CLUSTERDOWN, MOVED, LOADING) | data there? (LOADING) -> may this node write?
 * (READONLY) -> can it keep what is written? (MISCONF)
 *   -> paused? (PAUSED) -> room? (OOM)
 *
 * What a front-end does with the answer is its own: MOVED or a Location, an error line or a problem document.
 */
#ifndef KVNODE_SERVER_DISPATCH_ADMIT_H
#define KVNODE_SERVER_DISPATCH_ADMIT_H

#include "cluster/routing.h"
#include "protocol/err.h"
#include "protocol/slice.h"
#include "server/context.h"
#include "server/peers/replication.h"
#include "server/stats.h"
#include "server/store/keyspace.h"

struct demand {
    const struct slice *keys; /* NULL: it is about none, or all, of them */
    size_t key_count, step;   /* keys[0], keys[step], ... */
    bool data;                /* it reads or writes data */
    bool leader;              /* only the leader of the keys, or of this group, may answer */
    bool newest;   /* likewise of the keys, for a read: what it has not heard of yet is asked for, too */
    bool any_copy; /* a read that takes what there is here, however old */
    bool grows;    /* it may take memory: room is made for it */
    bool at_once;  /* it writes, and can't wait for the end of a pause */
};

/* The part of admit that is about keys, when not every one of them is this node's to answer for. */
enum err admit_keys(const struct routing *routing, const struct demand *demand, struct routing_answer *answer);

/* ERR_NONE: answer here. ERR_MOVED: answer->target says where; answer is set by MOVED and CLUSTERDOWN alone.
 * Inline: every command passes here, and what it demands is known where it is called. */
static inline enum err admit(const struct command_context *context, const struct demand *demand,
                             struct routing_answer *answer) {
    const struct routing *routing = context->routing;
    enum err err = ERR_NONE;
    if (demand->keys != NULL) {
        bool here = !demand->newest && routing_answers_all(routing, demand->leader);
        err = here ? ERR_NONE : admit_keys(routing, demand, answer);
    } else if (demand->data && replication_ready(context->replication) != ERR_NONE) {
        err = ERR_LOADING;
    } else if (demand->leader && !routing->self_writes) {
        err = routing->self_leader ? ERR_MISCONF : ERR_READONLY;
    }
    if (err == ERR_NONE && demand->at_once &&
        (keyspace_paused(context->keyspace) || context->stats->disk_behind)) {
        err = ERR_PAUSED;
    }
    if (err == ERR_NONE && demand->grows) {
        err = keyspace_make_room(context->keyspace);
    }
    return err;
}

#endif
