#include "cluster/routing.h"

#include "cluster/ring.h"

void routing_init(struct routing *routing, const struct membership *membership) {
    *routing = (struct routing){
        .membership = membership,
        .self_group = membership_self(membership)->group,
        .ring_empty = true,
    };
}

bool routing_rebuild(struct routing *routing) {
    const uint16_t *groups;
    size_t n = membership_groups(routing->membership, &groups);
    if (n > 0) {
        struct ring *ring = ring_create(groups, n);
        if (ring == NULL) {
            return false;
        }
        ring_fill_owners(ring, routing->owners);
        ring_destroy(&ring);
    }
    routing->ring_empty = n == 0;
    routing->owns_all = n == 1 && groups[0] == routing->self_group;
    routing->epoch++;
    return true;
}

void routing_set_self_leader(struct routing *routing, bool takes_writes) {
    routing->self_leader = takes_writes;
}

/* A follower that clients can read from: the one heard last, which is the likeliest to be there. */
static const struct member *find_follower(const struct membership *membership, uint16_t group) {
    const struct member *best = NULL;
    for (size_t i = 0; i < membership_count(membership); i++) {
        const struct member *member = membership_at(membership, i);
        if (member->alive && !member->leader && member->has_endpoints && member->group == group &&
            (best == NULL || member->last_heard_ms > best->last_heard_ms)) {
            best = member;
        }
    }
    return best;
}

/* Whom to send a client to that wants something of the group which is not here; NULL: nobody. Never this node
 * itself: a leader that does not take writes yet, or any more, would send its clients in a circle. */
static const struct member *find_target(const struct routing *routing, uint16_t group, bool write) {
    const struct member *leader = membership_leader(routing->membership, group);
    if (leader != NULL && leader->has_endpoints && !leader->self) {
        return leader;
    }
    return write ? NULL : find_follower(routing->membership, group);
}

struct routing_answer routing_decide_slow(const struct routing *routing, struct slice key, bool write) {
    struct routing_answer answer = {.verdict = ROUTING_LOCAL, .slot = slot_of_key(key)};
    /* Before there is a ring everything is asked of the node's own group, which "answers from what it has". */
    uint16_t owner = routing->ring_empty ? routing->self_group : routing->owners[answer.slot];
    if (owner == routing->self_group && (routing->self_leader || !write)) {
        return answer;
    }
    answer.target = find_target(routing, owner, write);
    answer.verdict = answer.target != NULL ? ROUTING_MOVED : ROUTING_DOWN;
    return answer;
}

void routing_ranges(const struct routing *routing, routing_visit *visit, void *context) {
    if (routing->ring_empty) {
        return;
    }
    uint16_t first = 0;
    for (uint16_t slot = 1; slot <= SLOT_COUNT; slot++) {
        if (slot == SLOT_COUNT || routing->owners[slot] != routing->owners[first]) {
            visit(context, first, (uint16_t)(slot - 1), routing->owners[first]);
            first = slot;
        }
    }
}

size_t routing_owned_slots(const struct routing *routing, uint16_t group) {
    size_t n = 0;
    for (size_t slot = 0; !routing->ring_empty && slot < SLOT_COUNT; slot++) {
        n += routing->owners[slot] == group;
    }
    return n;
}
