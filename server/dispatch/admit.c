#include "server/dispatch/admit.h"

#include "cluster/slot.h"

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

enum err admit_keys(const struct routing *routing, const struct demand *demand, struct routing_answer *answer) {
    if (!one_group_owns_all(routing, demand)) {
        return ERR_CROSSSLOT;
    }
    enum routing_need need = demand->leader || demand->newest ? ROUTING_LEADER
                             : demand->any_copy               ? ROUTING_ANY_COPY
                                                              : ROUTING_READ;
    *answer = routing_decide(routing, demand->keys[0], need);
    assert(answer->verdict != ROUTING_MOVED || answer->target != NULL);
    if (answer->verdict == ROUTING_LOCAL && demand->leader && routing->cannot_keep) {
        return ERR_MISCONF;
    }
    static const enum err errors[] = {
        [ROUTING_LOCAL] = ERR_NONE,
        [ROUTING_MOVED] = ERR_MOVED,
        [ROUTING_DOWN] = ERR_CLUSTERDOWN,
        [ROUTING_LOADING] = ERR_LOADING,
    };
    return errors[answer->verdict];
}
