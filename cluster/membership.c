#include "cluster/membership_internal.h"

#include <stdlib.h>

enum {
    QUEUE_ROOM_FOR_HEARD = 5, /* the most that one datagram brings: FULL, GONE, UP, VERIFY, OTHER_LEADER */
};

/* ---- life ---- */

struct membership *membership_create(const struct member *self, uint64_t seed) {
    struct membership *m = calloc(1, sizeof *m);
    struct member *member = malloc(sizeof *member);
    if (m == NULL || member == NULL || !members_reserve(m) || !membership_reserve(m, 1)) {
        free(member);
        membership_destroy(&m);
        return NULL;
    }
    *member = *self;
    member->self = true;
    member->alive = true;
    member->verified = self->leader;
    member->tells_index = true;
    member->has_endpoints = self->api_port != 0 && self->redis_port != 0;
    members_insert(m, member);
    m->self = member;
    m->random = seed;
    m->announce_due_ms = m->answer_due_ms = m->who_due_ms = m->ask_due_ms = m->sweep_due_ms = m->ticked_ms =
        NEVER;
    m->full_due_ms = member->duplicate_id_due_ms = INT64_MIN;
    return m;
}

void membership_destroy(struct membership **membership) {
    struct membership *m = *membership;
    if (m == NULL) {
        return;
    }
    for (size_t i = 0; i < m->count; i++) {
        free(m->members[i]);
    }
    free(m->members);
    free(m->queue.slots);
    free(m);
    *membership = NULL;
}

/* ---- what this node says ---- */

/* 0 to n - 1: splitmix64. */
static int64_t random_below(struct membership *m, int64_t n) {
    uint64_t x = m->random += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return (int64_t)((x ^ x >> 31) % (uint64_t)n);
}

/* What finds no room in the queue stays due. An answer does not put off the announcement every 5 s: where
 * datagrams get lost, each is one more chance. */
static void say_what_is_due(struct membership *m, int64_t now_ms) {
    if ((now_ms >= m->announce_due_ms || now_ms >= m->answer_due_ms) &&
        membership_push(m, MEMBERSHIP_SEND_FACTS, m->self)) {
        if (now_ms >= m->announce_due_ms) {
            int64_t jitter_ms = random_below(m, MEMBERSHIP_ANNOUNCE_EVERY_MS / 10 + 1);
            m->announce_due_ms = now_ms + MEMBERSHIP_ANNOUNCE_EVERY_MS - jitter_ms;
        }
        m->answer_due_ms = NEVER;
    }
    if (now_ms >= m->who_due_ms && membership_push(m, MEMBERSHIP_SEND_WHO, m->self)) {
        m->who_due_ms = m->who_gap_ms <= MEMBERSHIP_WHO_LONGEST_GAP_MS ? now_ms + m->who_gap_ms : NEVER;
        m->who_gap_ms *= 2;
    }
}

static void ask_who(struct membership *m, int64_t now_ms) {
    m->who_due_ms = now_ms;
    m->who_gap_ms = MEMBERSHIP_WHO_FIRST_GAP_MS;
}

/* "WHO ..., which makes everybody announce within 0 to 200 ms": not all in the same moment. */
static void answer_soon(struct membership *m, int64_t now_ms) {
    if (m->answer_due_ms == NEVER && m->announce_due_ms != NEVER) {
        m->answer_due_ms = now_ms + random_below(m, MEMBERSHIP_WHO_ANSWER_WITHIN_MS + 1);
    }
}

void membership_start(struct membership *m, int64_t now_ms) {
    m->now_ms = now_ms;
    m->self->first_heard_ms = m->self->last_heard_ms = now_ms;
    m->announce_due_ms = now_ms;
    ask_who(m, now_ms);
    say_what_is_due(m, now_ms);
}

/* "at once on any change of the node's own facts" */
static void announce_change(struct membership *m, int64_t now_ms) {
    m->now_ms = now_ms;
    if (m->announce_due_ms != NEVER) {
        m->answer_due_ms = now_ms;
        say_what_is_due(m, now_ms);
    }
}

void membership_set_state(struct membership *m, bool has_state, int64_t now_ms) {
    if (m->self->has_state == has_state) {
        return;
    }
    m->self->has_state = has_state;
    announce_change(m, now_ms);
    if (has_state && membership_reserve(m, 1)) {
        membership_join(m, m->self);
    }
}

void membership_set_leader(struct membership *m, bool leader, uint64_t term, int64_t now_ms) {
    if (m->self->leader == leader && m->self->term == term) {
        return;
    }
    m->self->term = term;
    m->self->leader = m->self->verified = leader;
    announce_change(m, now_ms);
    for (size_t i = 0; leader && i < m->count; i++) {
        const struct member *other = m->members[i];
        if (other->alive && other->leader && !other->self && other->group == m->self->group) {
            membership_push(m, MEMBERSHIP_OTHER_LEADER,
                            other); /* should it find no room: it comes with the next announcement */
        }
    }
}

/* ---- what this node hears ---- */

/* The other node of the member's id. */
static struct member twin_of(const struct member *member, const struct datagram *announce) {
    struct member twin = *member;
    twin.self = false;
    members_take_facts(&twin, announce);
    return twin;
}

/* The member's id is announced from somewhere else, too. False: that was said a moment ago. There is room in
 * the queue. */
static bool duplicate_id(struct membership *m, struct member *member, const struct datagram *announce,
                         int64_t now_ms) {
    if (now_ms < member->duplicate_id_due_ms) {
        return false;
    }
    struct member twin = twin_of(member, announce);
    member->duplicate_id_due_ms = now_ms + MEMBERSHIP_DUPLICATE_ID_EVERY_MS;
    membership_push(m, MEMBERSHIP_DUPLICATE_ID, &twin);
    return true;
}

/* Our own echo, perhaps from a moment before our role changed, comes from our own host and port. */
static void hear_own_id(struct membership *m, const struct datagram *announce, int64_t now_ms) {
    if (!members_same_address(m->self, announce) && duplicate_id(m, m->self, announce, now_ms)) {
        struct member twin = twin_of(m->self, announce);
        membership_push(m, MEMBERSHIP_ASK_TWIN, &twin);
        m->twin_asked_ms = now_ms;
        answer_soon(m, now_ms); /* to those that now take self to have moved there */
    }
}

/* Its uptime is told later than self's was taken: who came later never takes itself for the older. */
void membership_twin_answered(struct membership *m, const struct datagram *announce) {
    if (strcmp(announce->node_id, m->self->id) == 0 && !members_same_address(m->self, announce) &&
        membership_uptime_ms(m, m->twin_asked_ms) <= announce->uptime_ms) {
        struct member twin = twin_of(m->self, announce);
        membership_push(m, MEMBERSHIP_OLDER_TWIN, &twin); /* should it find no room: it is asked again */
    }
}

/* Two nodes of one id are seen as one that moves to and fro. */
static void hear_move(struct membership *m, struct member *member, const struct datagram *announce,
                      int64_t now_ms) {
    if (member->former_port == announce->port && strcmp(member->former_host, announce->host) == 0 &&
        now_ms - member->moved_ms < MEMBERSHIP_BACK_WITHIN_MS) {
        duplicate_id(m, member, announce, now_ms);
    }
    memcpy(member->former_host, member->host, sizeof member->former_host);
    member->former_port = member->port;
    member->moved_ms = now_ms;
}

/* A known node says that it is not what it was. */
static void hear_change(struct membership *m, struct member *member, const struct datagram *announce,
                        int64_t now_ms) {
    if (!members_same_address(member, announce)) {
        struct member *former = members_find_address(m, announce);
        if (former != NULL) {
            members_let_go(m, former);
        }
        hear_move(m, member, announce, now_ms);
        /* Where clients reach it is not known before it says so: its old ports at a new host are somebody
         * else's. */
        member->has_endpoints = member->has_state = member->tells_index = false;
        member->api_port = member->redis_port = 0;
    }
    members_take_facts(member, announce);
    membership_doubt(m, member, now_ms);
}

static void hear_announce(struct membership *m, const struct datagram *announce, int64_t now_ms) {
    if (strcmp(announce->node_id, m->self->id) == 0) {
        hear_own_id(m, announce, now_ms);
        return;
    }
    if (members_same_address(m->self, announce)) {
        return; /* what this node was before its restart */
    }
    struct member *member = members_find(m, announce->node_id);
    bool changed = member != NULL && !members_same_facts(member, announce);
    if (changed) {
        hear_change(m, member, announce, now_ms);
    } else if (member == NULL) {
        member = members_admit(m, announce, now_ms);
        if (member == NULL) {
            m->ignored++;
            return;
        }
        membership_doubt(m, member, now_ms);
    }
    member->last_heard_ms = now_ms;
    if (!member->alive) {
        member->alive = true;
        member->verified_ms = now_ms; /* it has to stand behind a leader that took its place */
        membership_push(m, MEMBERSHIP_MEMBER_UP, member);
        answer_soon(m, now_ms); /* it may not know us, and its WHO may have been lost */
        if (m->sweep_due_ms > now_ms + MEMBERSHIP_DEAD_AFTER_MS) {
            m->sweep_due_ms = now_ms + MEMBERSHIP_DEAD_AFTER_MS;
        }
    } else if (changed) {
        membership_push(m, MEMBERSHIP_MEMBER_CHANGED, member);
    }
    membership_verify(m, member, now_ms);
    if (m->self->leader && member->leader && member->group == m->self->group) {
        membership_push(m, MEMBERSHIP_OTHER_LEADER, member);
    }
}

static void hear_endpoints(struct membership *m, const struct datagram *endpoints, int64_t now_ms) {
    struct member *member = members_find(m, endpoints->node_id);
    if (member != NULL && !member->self) {
        members_take_endpoints(m, member, endpoints);
        membership_weigh_state(m, member, now_ms);
    }
}

static void hear_leave(struct membership *m, const struct datagram *leave, int64_t now_ms) {
    struct member *member = members_find(m, leave->node_id);
    if (member == NULL) {
        return;
    }
    if (!member->self) {
        members_let_go(m, member);
    } else if (m->announce_due_ms != NEVER) { /* another node of this id has gone: this one has not */
        m->answer_due_ms = now_ms;
    }
}

void membership_hear(struct membership *m, const struct datagram *datagram, int64_t now_ms) {
    m->now_ms = now_ms;
    if (!membership_reserve(m, QUEUE_ROOM_FOR_HEARD)) {
        m->ignored++; /* as if it had been lost on its way */
        return;
    }
    switch (datagram->verb) {
    case DATAGRAM_ANNOUNCE:
        hear_announce(m, datagram, now_ms);
        break;
    case DATAGRAM_ENDPOINTS:
        hear_endpoints(m, datagram, now_ms);
        break;
    case DATAGRAM_WHO:
        answer_soon(m, now_ms);
        break;
    case DATAGRAM_LEAVE:
        hear_leave(m, datagram, now_ms);
        break;
    case DATAGRAM_UPTIME: /* on the TCP port only */
        break;
    }
}

/* ---- time ---- */

static int64_t sweep_due(const struct member *member) {
    return member->last_heard_ms + (member->alive ? MEMBERSHIP_DEAD_AFTER_MS : MEMBERSHIP_FORGET_AFTER_MS);
}

static void sweep(struct membership *m, int64_t now_ms) {
    int64_t next_ms = NEVER;
    for (size_t i = 0; i < m->count; i++) {
        struct member *member = m->members[i];
        if (member->self) {
            continue;
        }
        if (now_ms >= sweep_due(member)) {
            if (!membership_reserve(m, 1)) {
                return; /* the rest at the next tick */
            }
            if (!member->alive) {
                members_let_go(m, member);
                i--;
                continue;
            }
            member->alive = false;
            membership_push(m, MEMBERSHIP_MEMBER_DEAD, member);
        }
        if (next_ms > sweep_due(member)) {
            next_ms = sweep_due(member);
        }
    }
    m->sweep_due_ms = next_ms;
}

void membership_tick(struct membership *m, int64_t now_ms) {
    bool slept = m->ticked_ms != NEVER && now_ms - m->ticked_ms >= MEMBERSHIP_ANNOUNCE_EVERY_MS;
    m->ticked_ms = m->now_ms = now_ms;
    m->self->last_heard_ms = now_ms;
    if (slept && m->announce_due_ms != NEVER) {
        /* A process that was stopped was deaf: it asks who is there before it calls anybody dead. */
        ask_who(m, now_ms);
        if (m->sweep_due_ms < now_ms + 1000) {
            m->sweep_due_ms = now_ms + 1000;
        }
    }
    say_what_is_due(m, now_ms);
    if (now_ms >= m->ask_due_ms && m->questions < MEMBERSHIP_VERIFY_AT_ONCE) {
        membership_ask_who_waits(m, now_ms);
    }
    if (now_ms >= m->sweep_due_ms) {
        sweep(m, now_ms);
    }
}
