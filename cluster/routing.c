#include "cluster/routing.h"

#include "cluster/ring.h"

/* What a request on the short way looks at. */
static void sum_up(struct routing *routing) {
    routing->self_writes = routing->self_leader && !routing->cannot_keep;
    routing->self_reads = routing->self_has_state && (routing->self_leader || !routing->quorum);
}

void routing_init(struct routing *routing, const struct membership *membership) {
    *routing = (struct routing){
        .membership = membership,
        .self_group = membership_self(membership)->group,
        .self_has_state = membership_self(membership)->has_state,
        .ring_empty = true,
    };
    sum_up(routing);
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
    sum_up(routing);
}

void routing_set_cannot_keep(struct routing *routing, bool cannot_keep) {
    routing->cannot_keep = cannot_keep;
    sum_up(routing);
}

void routing_set_self_state(struct routing *routing, bool has_state) {
    routing->self_has_state = has_state;
    sum_up(routing);
}

void routing_set_quorum(struct routing *routing, bool quorum) {
    routing->quorum = quorum;
    sum_up(routing);
}

/* A follower that clients can read from: the one heard last, which is the likeliest to be there. */
static const struct member *find_follower(const struct membership *membership, uint16_t group) {
    const struct member *best = NULL;
    for (size_t i = 0; i < membership_count(membership); i++) {
        const struct member *member = membership_at(membership, i);
        if (member->alive && !member->leader && member->has_endpoints && member->has_state && !member->self &&
            member->group == group && (best == NULL || member->last_heard_ms > best->last_heard_ms)) {
            best = member;
        }
    }
    return best;
}

/* Whom to send a client to that wants something of the group which is not here; NULL: nobody. Never this node
 * itself: a leader that does not take writes yet, or any more, would send its clients in a circle. */
static const struct member *find_target(const struct routing *routing, uint16_t group, bool of_leader) {
    const struct member *leader = membership_leader(routing->membership, group);
    if (leader != NULL && leader->has_endpoints && !leader->self) {
        return leader;
    }
    return of_leader ? NULL : find_follower(routing->membership, group);
}

struct routing_answer routing_decide(const struct routing *routing, struct slice key, enum routing_need need) {
    struct routing_answer answer = {.verdict = ROUTING_LOCAL, .slot = slot_of_key(key)};
    /* Before there is a ring everything is asked of the node's own group, which "answers from what it has". */
    uint16_t owner = routing->ring_empty ? routing->self_group : routing->owners[answer.slot];
    bool is_own = owner == routing->self_group;
    bool of_leader = need == ROUTING_LEADER || (need == ROUTING_READ && is_own && routing->quorum);
    if (is_own && (of_leader ? routing->self_leader : routing->self_has_state)) {
        return answer;
    }
    if (is_own && !of_leader) {
        answer.verdict = ROUTING_LOADING;
        return answer;
    }
    answer.target = find_target(routing, owner, of_leader);
    bool starts_to_lead = is_own && membership_self(routing->membership)->leader && !routing->self_has_state;
    answer.verdict = answer.target != NULL ? ROUTING_MOVED : starts_to_lead ? ROUTING_LOADING : ROUTING_DOWN;
    return answer;
}

enum routing_service routing_service(const struct routing *routing, uint16_t group) {
    bool is_own = group == routing->self_group;
    const struct member *leader = membership_leader(routing->membership, group);
    if (leader != NULL &&
        (leader->self ? routing->self_has_state : leader->has_endpoints && leader->has_state)) {
        return ROUTING_SERVED;
    }
    return (is_own && routing->self_has_state) || find_follower(routing->membership, group) != NULL
               ? ROUTING_READ_ONLY
               : ROUTING_UNSERVED;
}

struct routing_gaps routing_gaps(const struct routing *routing) {
    struct routing_gaps gaps = {0};
    const uint16_t *groups;
    size_t n = membership_groups(routing->membership, &groups);
    for (size_t i = 0; i < n; i++) {
        enum routing_service service = routing_service(routing, groups[i]);
        size_t slots = service == ROUTING_SERVED ? 0 : routing_owned_slots(routing, groups[i]);
        gaps.read_only += service == ROUTING_READ_ONLY ? slots : 0;
        gaps.unserved += service == ROUTING_UNSERVED ? slots : 0;
        if (service > gaps.worst) {
            gaps.worst = service;
            gaps.group = groups[i];
        }
    }
    return gaps;
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
