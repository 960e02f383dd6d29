#include "server/dispatch/admit.h"

#include "cluster/routing.h"
#include "cluster/slot.h"
#include "server/peers/replication.h"
#include "server/store/keyspace.h"

#include <assert.h>

/* May one node answer for all the keys? Only if one group owns all their slots. */
static bool one_group_owns_all(const struct routing *routing, const struct demand *demand) {
    if (demand->key_count == 1 || routing->owns_all || routing->ring_empty) {
        return true;
    }
    uint16_t owner = routing->owners[slot_of_key(demand->keys[0])];
    for (size_t i = 1; i < demand->key_count; i++) {
        if (routing->owners[slot_of_key(demand->keys[i * demand->step])] != owner) {
            return false;
        }
    }
    return true;
}

static enum err route(const struct command_context *context, const struct demand *demand,
                      struct routing_answer *answer) {
    if (!one_group_owns_all(context->routing, demand)) {
        return ERR_CROSSSLOT;
    }
    *answer = routing_decide(context->routing, demand->keys[0], demand->leader);
    assert(answer->verdict != ROUTING_MOVED || answer->target != NULL);
    static const enum err errors[] = {
        [ROUTING_LOCAL] = ERR_NONE,
        [ROUTING_MOVED] = ERR_MOVED,
        [ROUTING_DOWN] = ERR_CLUSTERDOWN,
        [ROUTING_LOADING] = ERR_LOADING,
    };
    return errors[answer->verdict];
}

enum err admit(const struct command_context *context, const struct demand *demand,
               struct routing_answer *answer) {
    enum err err = ERR_NONE;
    if (demand->keys != NULL) {
        err = route(context, demand, answer);
    } else if (demand->data && replication_ready(context->replication) != ERR_NONE) {
        err = ERR_LOADING;
    } else if (demand->leader && !context->routing->self_leader) {
        err = ERR_READONLY;
    }
    if (err == ERR_NONE && demand->at_once && keyspace_paused(context->keyspace)) {
        err = ERR_PAUSED;
    }
    if (err == ERR_NONE && demand->grows) {
        err = keyspace_make_room(context->keyspace);
    }
    return err;
}
