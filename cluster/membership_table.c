/* The members, ordered by id, and the actions in the order in which they were decided. */
#include "cluster/membership_internal.h"

#include <stdlib.h>

enum { QUEUE_FIRST_CAPACITY = 16, MEMBERS_FIRST_CAPACITY = 16 };

/* ---- actions ---- */

bool membership_reserve(struct membership *m, size_t n) {
    struct queue *queue = &m->queue;
    if (queue->capacity - queue->count >= n) {
        return true;
    }
    size_t capacity = queue->capacity == 0 ? QUEUE_FIRST_CAPACITY : queue->capacity * 2;
    while (capacity - queue->count < n) {
        capacity *= 2;
    }
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

bool membership_push(struct membership *m, enum membership_action_type type, const struct member *member) {
    struct queue *queue = &m->queue;
    if (!membership_reserve(m, 1)) {
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

struct member *members_find(const struct membership *m, const char *id) {
    size_t i = lower_bound(m, id);
    return i < m->count && strcmp(m->members[i]->id, id) == 0 ? m->members[i] : NULL;
}

bool members_same_address(const struct member *member, const struct datagram *announce) {
    return member->port == announce->port && strcmp(member->host, announce->host) == 0;
}

bool members_same_facts(const struct member *member, const struct datagram *announce) {
    return members_same_address(member, announce) && member->group == announce->group &&
           member->leader == announce->leader;
}

void members_take_facts(struct member *member, const struct datagram *announce) {
    memcpy(member->host, announce->host, sizeof member->host);
    member->port = announce->port;
    member->group = announce->group;
    member->leader = announce->leader;
}

struct member *members_find_address(const struct membership *m, const struct datagram *announce) {
    for (size_t i = 0; i < m->count; i++) {
        if (members_same_address(m->members[i], announce)) {
            return m->members[i];
        }
    }
    return NULL;
}

bool members_reserve(struct membership *m) {
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
void members_insert(struct membership *m, struct member *owned_member) {
    size_t i = lower_bound(m, owned_member->id);
    memmove(m->members + i + 1, m->members + i, (m->count - i) * sizeof(struct member *));
    m->members[i] = owned_member;
    m->count++;
}

/* There is room in the queue. */
void members_let_go(struct membership *m, struct member *member) {
    membership_push(m, MEMBERSHIP_MEMBER_GONE, member);
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
        membership_push(m, MEMBERSHIP_FULL, member);
    }
}

/* A node that is not known by its id. NULL: no room for it. */
struct member *members_admit(struct membership *m, const struct datagram *announce, int64_t now_ms) {
    struct member *former = members_find_address(m, announce); /* it was restarted under a new id */
    bool full = former == NULL && m->count >= MEMBERSHIP_MAX_MEMBERS;
    struct member *leaving = full ? find_evictable(m) : former;
    struct member *member = calloc(1, sizeof *member);
    if (member == NULL || !members_reserve(m)) {
        free(member);
        return NULL;
    }
    memcpy(member->id, announce->node_id, sizeof member->id);
    members_take_facts(member, announce);
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
        members_let_go(m, leaving);
    }
    members_insert(m, member);
    return member;
}

void members_take_endpoints(struct membership *m, struct member *member, const struct datagram *endpoints) {
    bool has_state = !endpoints->tells_position || endpoints->has_state;
    bool changed = !member->has_endpoints || member->api_port != endpoints->api_port ||
                   member->redis_port != endpoints->redis_port || member->has_state != has_state ||
                   member->term != endpoints->term;
    member->term = endpoints->term;
    member->has_endpoints = true;
    member->api_port = endpoints->api_port;
    member->redis_port = endpoints->redis_port;
    member->has_state = has_state;
    member->tells_index = endpoints->tells_position;
    member->index = endpoints->index;
    if (changed) {
        membership_push(m, MEMBERSHIP_MEMBER_CHANGED, member);
    }
}

/* ---- views ---- */

const struct member *membership_self(const struct membership *m) { return m->self; }
int64_t membership_uptime_ms(const struct membership *m, int64_t now_ms) {
    return now_ms - m->self->first_heard_ms;
}
size_t membership_count(const struct membership *m) { return m->count; }
const struct member *membership_at(const struct membership *m, size_t i) { return m->members[i]; }
const struct member *membership_find(const struct membership *m, const char *node_id) {
    return members_find(m, node_id);
}
uint64_t membership_ignored(const struct membership *m) { return m->ignored; }
uint64_t membership_evicted(const struct membership *m) { return m->evicted; }

void membership_describe(const struct member *member, struct datagram *out) {
    memcpy(out->node_id, member->id, sizeof(out->node_id));
    memcpy(out->host, member->host, sizeof(out->host));
    out->port = member->port;
    out->group = member->group;
    out->leader = member->leader;
    out->api_port = member->api_port;
    out->redis_port = member->redis_port;
    out->tells_position = member->tells_index;
    out->has_state = member->has_state;
    out->index = member->index;
    out->term = member->term;
}
