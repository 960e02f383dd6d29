#include "cluster/membership.h"

#include <stdlib.h>

enum {
    QUEUE_FIRST_CAPACITY = 16,
    QUEUE_ROOM_FOR_HEARD = 5,    /* the most that one datagram brings: FULL, GONE, UP, VERIFY, OTHER_LEADER */
    QUEUE_ROOM_FOR_VERIFIED = 3, /* GROUP_JOINED twice, GROUP_WITHOUT_LEADER */
    MEMBERS_FIRST_CAPACITY = 16,
};

static const int64_t NEVER = INT64_MAX;

/* Actions in the order in which they were decided: a ring that grows. */
struct queue {
    struct membership_action *slots;
    size_t first, count, capacity;
};

struct membership {
    struct member **members; /* ordered by id; self is one of them */
    size_t count, capacity;
    struct member *self;
    struct queue queue;
    uint64_t random;
    uint64_t ignored, evicted;
    size_t questions;        /* under way */
    int64_t announce_due_ms; /* the next one of those every 5 s; NEVER: not started */
    int64_t answer_due_ms;   /* somebody wants to hear of us */
    int64_t who_due_ms, who_gap_ms;
    int64_t ask_due_ms;   /* not after the first moment at which one that waits may be asked */
    int64_t sweep_due_ms; /* not after the first moment at which a member turns dead or is forgotten */
    int64_t full_due_ms;
    int64_t ticked_ms; /* NEVER: not yet */
    int64_t now_ms;    /* of the last event */
    size_t n_groups;
    uint16_t groups[LIMIT_GROUP + 1]; /* in the ring, ascending */
};

/* ---- actions ---- */

static bool queue_reserve(struct queue *queue, size_t n) {
    if (queue->capacity - queue->count >= n) {
        return true;
    }
    size_t capacity = queue->capacity == 0 ? QUEUE_FIRST_CAPACITY : queue->capacity * 2;
    struct membership_action *slots = malloc(capacity * sizeof *slots);
    if (slots == NULL) {
        return false;
    }
    for (size_t i = 0; i < queue->count; i++) {
        slots[i] = queue->slots[(queue->first + i) % queue->capacity];
    }
    free(queue->slots);
    *queue = (struct queue){.slots = slots, .count = queue->count, .capacity = capacity};
    return true;
}

static bool push(struct membership *m, enum membership_action_type type, const struct member *member) {
    struct queue *queue = &m->queue;
    if (!queue_reserve(queue, 1)) {
        return false;
    }
    queue->slots[(queue->first + queue->count) % queue->capacity] =
        (struct membership_action){.type = type, .member = *member};
    queue->count++;
    return true;
}

bool membership_next(struct membership *m, struct membership_action *out) {
    struct queue *queue = &m->queue;
    if (queue->count == 0) {
        return false;
    }
    *out = queue->slots[queue->first];
    queue->first = (queue->first + 1) % queue->capacity;
    queue->count--;
    return true;
}

/* ---- the members, ordered by id ---- */

/* Where the id is, or would be. */
static size_t lower_bound(const struct membership *m, const char *id) {
    size_t low = 0, high = m->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(m->members[middle]->id, id) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static struct member *find(const struct membership *m, const char *id) {
    size_t i = lower_bound(m, id);
    return i < m->count && strcmp(m->members[i]->id, id) == 0 ? m->members[i] : NULL;
}

static bool same_address(const struct member *member, const struct datagram *announce) {
    return member->port == announce->port && strcmp(member->host, announce->host) == 0;
}

static bool same_facts(const struct member *member, const struct datagram *announce) {
    return same_address(member, announce) && member->group == announce->group &&
           member->leader == announce->leader;
}

static void take_facts(struct member *member, const struct datagram *announce) {
    memcpy(member->host, announce->host, sizeof member->host);
    member->port = announce->port;
    member->group = announce->group;
    member->leader = announce->leader;
}

static struct member *find_address(const struct membership *m, const struct datagram *announce) {
    for (size_t i = 0; i < m->count; i++) {
        if (same_address(m->members[i], announce)) {
            return m->members[i];
        }
    }
    return NULL;
}

static bool has_room(struct membership *m) {
    if (m->count < m->capacity) {
        return true;
    }
    size_t capacity = m->capacity == 0 ? MEMBERS_FIRST_CAPACITY : m->capacity * 2;
    struct member **members = realloc(m->members, capacity * sizeof(struct member *));
    if (members == NULL) {
        return false;
    }
    m->members = members;
    m->capacity = capacity;
    return true;
}

/* There is room. */
static void insert(struct membership *m, struct member *owned_member) {
    size_t i = lower_bound(m, owned_member->id);
    memmove(m->members + i + 1, m->members + i, (m->count - i) * sizeof(struct member *));
    m->members[i] = owned_member;
    m->count++;
}

/* There is room in the queue. */
static void let_go(struct membership *m, struct member *member) {
    push(m, MEMBERSHIP_MEMBER_GONE, member);
    size_t i = lower_bound(m, member->id);
    m->count--;
    memmove(m->members + i, m->members + i + 1, (m->count - i) * sizeof(struct member *));
    free(member);
}

/* The one whose place a newcomer may take; NULL: nobody's. */
static struct member *find_evictable(const struct membership *m) {
    struct member *quietest = NULL;
    for (size_t i = 0; i < m->count; i++) {
        struct member *member = m->members[i];
        bool proven = member->answered || member->has_endpoints;
        if (!member->self && (!member->alive || !proven) &&
            (quietest == NULL || member->last_heard_ms < quietest->last_heard_ms)) {
            quietest = member;
        }
    }
    return quietest;
}

static void say_full(struct membership *m, const struct member *member, int64_t now_ms) {
    if (now_ms >= m->full_due_ms) {
        m->full_due_ms = now_ms + MEMBERSHIP_FULL_EVERY_MS;
        push(m, MEMBERSHIP_FULL, member);
    }
}

/* A node that is not known by its id. NULL: no room for it. */
static struct member *admit(struct membership *m, const struct datagram *announce, int64_t now_ms) {
    struct member *former = find_address(m, announce); /* it was restarted under a new id */
    bool full = former == NULL && m->count >= MEMBERSHIP_MAX_MEMBERS;
    struct member *leaving = full ? find_evictable(m) : former;
    struct member *member = calloc(1, sizeof *member);
    if (member == NULL || !has_room(m)) {
        free(member);
        return NULL;
    }
    memcpy(member->id, announce->node_id, sizeof member->id);
    take_facts(member, announce);
    member->first_heard_ms = now_ms;
    if (full) {
        say_full(m, leaving != NULL ? leaving : member, now_ms);
        m->evicted += leaving != NULL;
    }
    if (full && leaving == NULL) {
        free(member);
        return NULL;
    }
    if (leaving != NULL) {
        let_go(m, leaving);
    }
    insert(m, member);
    return member;
}

/* ---- life ---- */

struct membership *membership_create(const struct member *self, uint64_t seed) {
    struct membership *m = calloc(1, sizeof *m);
    struct member *member = malloc(sizeof *member);
    if (m == NULL || member == NULL || !has_room(m) || !queue_reserve(&m->queue, QUEUE_FIRST_CAPACITY)) {
        free(member);
        membership_destroy(&m);
        return NULL;
    }
    *member = *self;
    member->self = true;
    member->alive = true;
    member->verified = self->leader;
    member->has_endpoints = self->api_port != 0 && self->redis_port != 0;
    insert(m, member);
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
        push(m, MEMBERSHIP_SEND_FACTS, m->self)) {
        if (now_ms >= m->announce_due_ms) {
            int64_t jitter_ms = random_below(m, MEMBERSHIP_ANNOUNCE_EVERY_MS / 10 + 1);
            m->announce_due_ms = now_ms + MEMBERSHIP_ANNOUNCE_EVERY_MS - jitter_ms;
        }
        m->answer_due_ms = NEVER;
    }
    if (now_ms >= m->who_due_ms && push(m, MEMBERSHIP_SEND_WHO, m->self)) {
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

void membership_set_leader(struct membership *m, bool leader, int64_t now_ms) {
    m->now_ms = now_ms;
    if (m->self->leader == leader) {
        return;
    }
    m->self->leader = m->self->verified = leader;
    if (m->announce_due_ms != NEVER) {
        m->answer_due_ms = now_ms;
        say_what_is_due(m, now_ms);
    }
    for (size_t i = 0; leader && i < m->count; i++) {
        const struct member *other = m->members[i];
        if (other->alive && other->leader && !other->self && other->group == m->self->group) {
            push(m, MEMBERSHIP_OTHER_LEADER,
                 other); /* should it find no room: it comes with the next announcement */
        }
    }
}

/* ---- the groups in the ring ---- */

/* Where the group is, or would be. */
static size_t place_of(const struct membership *m, uint16_t group) {
    size_t low = 0, high = m->n_groups;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (m->groups[middle] < group) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static bool is_in_ring(const struct membership *m, uint16_t group) {
    size_t i = place_of(m, group);
    return i < m->n_groups && m->groups[i] == group;
}

/* There is room in the queue. */
static void join(struct membership *m, const struct member *member) {
    if (is_in_ring(m, member->group)) {
        return;
    }
    size_t i = place_of(m, member->group);
    memmove(m->groups + i + 1, m->groups + i, (m->n_groups - i) * sizeof m->groups[0]);
    m->groups[i] = member->group;
    m->n_groups++;
    push(m, MEMBERSHIP_GROUP_JOINED, member);
}

/* ---- nodes, asked whether they are what was heard of them ---- */

static void wait_until(struct membership *m, struct member *member, int64_t time_ms) {
    member->waits = true;
    member->verify_after_ms = time_ms;
    if (m->ask_due_ms > time_ms) {
        m->ask_due_ms = time_ms;
    }
}

/* A leader that has not yet answered, and a follower that is news of a group. */
static bool is_in_question(const struct membership *m, const struct member *member) {
    return member->leader ? !member->verified
                          : member->group != m->self->group && !is_in_ring(m, member->group);
}

/* It is asked, if it is in question, one question at a time. There is room in the queue. */
static void verify(struct membership *m, struct member *member, int64_t now_ms) {
    if (!is_in_question(m, member) || now_ms < member->verify_after_ms) {
        return;
    }
    if (m->questions >= MEMBERSHIP_VERIFY_AT_ONCE) {
        wait_until(m, member, now_ms);
        return;
    }
    m->questions++;
    member->waits = false;
    member->verifying = true;
    member->stale_question = false;
    member->verify_after_ms = now_ms + MEMBERSHIP_VERIFY_GIVE_UP_AFTER_MS;
    push(m, MEMBERSHIP_VERIFY, member);
}

/* At a tick: those that wait, as far as it is time, and as many as may be asked at once. */
static void ask_who_waits(struct membership *m, int64_t now_ms) {
    m->ask_due_ms = NEVER;
    for (size_t i = 0; i < m->count; i++) {
        struct member *member = m->members[i];
        member->waits = member->waits && member->alive && is_in_question(m, member);
        if (!member->waits) {
            continue;
        }
        if (m->questions >= MEMBERSHIP_VERIFY_AT_ONCE || !queue_reserve(&m->queue, 1)) {
            m->ask_due_ms = now_ms;
            return;
        }
        verify(m, member, now_ms);
        if (member->waits && m->ask_due_ms > member->verify_after_ms) {
            m->ask_due_ms = member->verify_after_ms;
        }
    }
}

/* Its facts are new: it is asked about them as soon as a leader may be, or a follower. */
static void doubt(struct membership *m, struct member *member, int64_t now_ms) {
    member->answered = member->verified = false;
    if (member->verifying) {
        member->stale_question = true; /* what it answers will be about facts of the past: ask again then */
    } else {
        wait_until(m, member, now_ms + (member->leader ? 0 : MEMBERSHIP_FOLLOWER_ASKED_AFTER_MS));
    }
}

/* There is room in the queue. */
static void verification_failed(struct membership *m, struct member *member, int64_t now_ms) {
    if (member->verifying) {
        member->verifying = false;
        member->verify_after_ms = now_ms + (member->stale_question ? 0 : MEMBERSHIP_VERIFY_AGAIN_AFTER_MS);
        if (member->stale_question) {
            verify(m, member, now_ms);
        }
    }
}

static void question_over(struct membership *m, int64_t now_ms) {
    m->now_ms = now_ms;
    m->questions -= m->questions > 0;
}

void membership_verify_failed(struct membership *m, const char *node_id, int64_t now_ms) {
    question_over(m, now_ms);
    struct member *member = find(m, node_id);
    if (member != NULL && !member->self && queue_reserve(&m->queue, 1)) {
        verification_failed(m, member, now_ms);
    }
}

void membership_verified(struct membership *m, const struct datagram *announce, int64_t now_ms) {
    question_over(m, now_ms);
    struct member *member = find(m, announce->node_id);
    if (member == NULL || member->self || !queue_reserve(&m->queue, QUEUE_ROOM_FOR_VERIFIED)) {
        return;
    }
    if (!same_facts(member, announce)) {
        verification_failed(m, member, now_ms);
        return;
    }
    member->verifying = false;
    member->answered = true;
    if (member->leader && !member->verified) {
        member->verified = true;
        member->verified_ms = now_ms;
    }
    bool is_news = !is_in_ring(m, member->group);
    join(m, m->self);
    join(m, member);
    if (is_news && !member->leader && member->group != m->self->group) {
        push(m, MEMBERSHIP_GROUP_WITHOUT_LEADER, member);
    }
}

void membership_join_group(struct membership *m, uint16_t group) {
    const struct member *leader = membership_leader(m, group);
    struct member unknown = {.group = group};
    if (queue_reserve(&m->queue, 1)) {
        join(m, leader != NULL ? leader : &unknown);
    }
}

/* ---- what this node hears ---- */

/* The member's id is announced from somewhere else, too. There is room in the queue. */
static void duplicate_id(struct membership *m, struct member *member, const struct datagram *announce,
                         int64_t now_ms) {
    if (now_ms < member->duplicate_id_due_ms) {
        return;
    }
    member->duplicate_id_due_ms = now_ms + MEMBERSHIP_DUPLICATE_ID_EVERY_MS;
    struct member other = *member;
    other.self = false;
    take_facts(&other, announce);
    push(m, MEMBERSHIP_DUPLICATE_ID, &other);
}

/* Our own echo, perhaps from a moment before our role changed, comes from our own host and port. */
static void hear_own_id(struct membership *m, const struct datagram *announce, int64_t now_ms) {
    if (!same_address(m->self, announce)) {
        duplicate_id(m, m->self, announce, now_ms);
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
    if (!same_address(member, announce)) {
        struct member *former = find_address(m, announce);
        if (former != NULL) {
            let_go(m, former);
        }
        hear_move(m, member, announce, now_ms);
        /* Where clients reach it is not known before it says so: its old ports at a new host are somebody
         * else's. */
        member->has_endpoints = false;
        member->api_port = member->redis_port = 0;
    }
    take_facts(member, announce);
    doubt(m, member, now_ms);
}

static void hear_announce(struct membership *m, const struct datagram *announce, int64_t now_ms) {
    if (strcmp(announce->node_id, m->self->id) == 0) {
        hear_own_id(m, announce, now_ms);
        return;
    }
    if (same_address(m->self, announce)) {
        return; /* what this node was before its restart */
    }
    struct member *member = find(m, announce->node_id);
    bool changed = member != NULL && !same_facts(member, announce);
    if (changed) {
        hear_change(m, member, announce, now_ms);
    } else if (member == NULL) {
        member = admit(m, announce, now_ms);
        if (member == NULL) {
            m->ignored++;
            return;
        }
        doubt(m, member, now_ms);
    }
    member->last_heard_ms = now_ms;
    if (!member->alive) {
        member->alive = true;
        member->verified_ms = now_ms; /* it has to stand behind a leader that took its place */
        push(m, MEMBERSHIP_MEMBER_UP, member);
        answer_soon(m, now_ms); /* it may not know us, and its WHO may have been lost */
        if (m->sweep_due_ms > now_ms + MEMBERSHIP_DEAD_AFTER_MS) {
            m->sweep_due_ms = now_ms + MEMBERSHIP_DEAD_AFTER_MS;
        }
    } else if (changed) {
        push(m, MEMBERSHIP_MEMBER_CHANGED, member);
    }
    verify(m, member, now_ms);
    if (m->self->leader && member->leader && member->group == m->self->group) {
        push(m, MEMBERSHIP_OTHER_LEADER, member);
    }
}

static void hear_endpoints(struct membership *m, const struct datagram *endpoints) {
    struct member *member = find(m, endpoints->node_id);
    if (member == NULL || member->self ||
        (member->has_endpoints && member->api_port == endpoints->api_port &&
         member->redis_port == endpoints->redis_port)) {
        return;
    }
    member->has_endpoints = true;
    member->api_port = endpoints->api_port;
    member->redis_port = endpoints->redis_port;
    push(m, MEMBERSHIP_MEMBER_CHANGED, member);
}

static void hear_leave(struct membership *m, const struct datagram *leave) {
    struct member *member = find(m, leave->node_id);
    if (member != NULL && !member->self) {
        let_go(m, member);
    }
}

void membership_hear(struct membership *m, const struct datagram *datagram, int64_t now_ms) {
    m->now_ms = now_ms;
    if (!queue_reserve(&m->queue, QUEUE_ROOM_FOR_HEARD)) {
        m->ignored++; /* as if it had been lost on its way */
        return;
    }
    switch (datagram->verb) {
    case DATAGRAM_ANNOUNCE:
        hear_announce(m, datagram, now_ms);
        break;
    case DATAGRAM_ENDPOINTS:
        hear_endpoints(m, datagram);
        break;
    case DATAGRAM_WHO:
        answer_soon(m, now_ms);
        break;
    case DATAGRAM_LEAVE:
        hear_leave(m, datagram);
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
            if (!queue_reserve(&m->queue, 1)) {
                return; /* the rest at the next tick */
            }
            if (!member->alive) {
                let_go(m, member);
                i--;
                continue;
            }
            member->alive = false;
            push(m, MEMBERSHIP_MEMBER_DEAD, member);
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
        ask_who_waits(m, now_ms);
    }
    if (now_ms >= m->sweep_due_ms) {
        sweep(m, now_ms);
    }
}

/* ---- views ---- */

const struct member *membership_self(const struct membership *m) { return m->self; }
size_t membership_count(const struct membership *m) { return m->count; }
const struct member *membership_at(const struct membership *m, size_t i) { return m->members[i]; }
const struct member *membership_find(const struct membership *m, const char *node_id) {
    return find(m, node_id);
}
uint64_t membership_ignored(const struct membership *m) { return m->ignored; }
uint64_t membership_evicted(const struct membership *m) { return m->evicted; }

static bool leads(const struct member *member, uint16_t group) {
    return member->leader && member->verified && member->alive && member->group == group;
}

/* The youngest leader of a group that the older ones have had the time to answer; NULL: none. */
static const struct member *find_settled_leader(const struct membership *m, uint16_t group) {
    const struct member *youngest = NULL;
    for (size_t i = 0; i < m->count; i++) {
        const struct member *member = m->members[i];
        if (leads(member, group) && m->now_ms - member->verified_ms >= MEMBERSHIP_LEADER_SILENT_MS &&
            (youngest == NULL || member->verified_ms > youngest->verified_ms)) {
            youngest = member;
        }
    }
    return youngest;
}

const struct member *membership_leader(const struct membership *m, uint16_t group) {
    if (m->self->leader && m->self->group == group) {
        return m->self;
    }
    const struct member *settled = find_settled_leader(m, group), *first = NULL;
    for (size_t i = 0; i < m->count; i++) {
        const struct member *member = m->members[i];
        if (leads(member, group) &&
            (member == settled || settled == NULL || member->last_heard_ms >= settled->verified_ms) &&
            (first == NULL || member->verified_ms < first->verified_ms)) {
            first = member;
        }
    }
    return first;
}

size_t membership_groups(const struct membership *m, const uint16_t **groups) {
    *groups = m->groups;
    return m->n_groups;
}

void membership_describe(const struct member *member, struct datagram *out) {
    memcpy(out->node_id, member->id, sizeof(out->node_id));
    memcpy(out->host, member->host, sizeof(out->host));
    out->port = member->port;
    out->group = member->group;
    out->leader = member->leader;
    out->api_port = member->api_port;
    out->redis_port = member->redis_port;
}
