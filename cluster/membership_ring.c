/* The groups in the ring, and the questions by which a group gets there. */
#include "cluster/membership_internal.h"

enum { QUEUE_ROOM_FOR_VERIFIED = 4 }; /* MEMBER_CHANGED, GROUP_JOINED twice, GROUP_WITHOUT_LEADER */

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

void membership_join(struct membership *m, const struct member *member) {
    if (is_in_ring(m, member->group)) {
        return;
    }
    size_t i = place_of(m, member->group);
    memmove(m->groups + i + 1, m->groups + i, (m->n_groups - i) * sizeof m->groups[0]);
    m->groups[i] = member->group;
    m->n_groups++;
    membership_push(m, MEMBERSHIP_GROUP_JOINED, member);
}

/* ---- nodes, asked whether they are what was heard of them ---- */

static void wait_until(struct membership *m, struct member *member, int64_t time_ms) {
    member->waits = true;
    member->verify_after_ms = time_ms;
    if (m->ask_due_ms > time_ms) {
        m->ask_due_ms = time_ms;
    }
}

/* A leader that has not yet answered, and a follower that is news of a group: not of the one that self brings
 * into the ring. */
static bool is_in_question(const struct membership *m, const struct member *member) {
    if (member->leader) {
        return !member->verified;
    }
    bool is_of_own_group = member->group == m->self->group && m->self->leader;
    return member->has_state && !is_of_own_group && !is_in_ring(m, member->group);
}

/* It is asked, if it is in question, one question at a time. There is room in the queue. */
void membership_verify(struct membership *m, struct member *member, int64_t now_ms) {
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
    membership_push(m, MEMBERSHIP_VERIFY, member);
}

/* At a tick: those that wait, as far as it is time, and as many as may be asked at once. */
void membership_ask_who_waits(struct membership *m, int64_t now_ms) {
    m->ask_due_ms = NEVER;
    for (size_t i = 0; i < m->count; i++) {
        struct member *member = m->members[i];
        member->waits = member->waits && member->alive && is_in_question(m, member);
        if (!member->waits) {
            continue;
        }
        if (m->questions >= MEMBERSHIP_VERIFY_AT_ONCE || !membership_reserve(m, 1)) {
            m->ask_due_ms = now_ms;
            return;
        }
        membership_verify(m, member, now_ms);
        if (member->waits && m->ask_due_ms > member->verify_after_ms) {
            m->ask_due_ms = member->verify_after_ms;
        }
    }
}

/* Its facts are new: it is asked about them as soon as a leader may be, or a follower. */
void membership_doubt(struct membership *m, struct member *member, int64_t now_ms) {
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
            membership_verify(m, member, now_ms);
        }
    }
}

static void question_over(struct membership *m, int64_t now_ms) {
    m->now_ms = now_ms;
    m->questions -= m->questions > 0;
}

void membership_verify_failed(struct membership *m, const char *node_id, int64_t now_ms) {
    question_over(m, now_ms);
    struct member *member = members_find(m, node_id);
    if (member != NULL && !member->self && membership_reserve(m, 1)) {
        verification_failed(m, member, now_ms);
    }
}

void membership_weigh_state(struct membership *m, struct member *member, int64_t now_ms) {
    if (member->answered && member->has_state) {
        m->served[member->group] = true;
    }
    if (!member->verifying && !member->waits && is_in_question(m, member)) {
        wait_until(m, member, now_ms > member->verify_after_ms ? now_ms : member->verify_after_ms);
    }
}

void membership_verified(struct membership *m, const struct datagram *announce,
                         const struct datagram *endpoints, int64_t now_ms) {
    question_over(m, now_ms);
    struct member *member = members_find(m, announce->node_id);
    if (member == NULL || member->self || !membership_reserve(m, QUEUE_ROOM_FOR_VERIFIED)) {
        return;
    }
    if (!members_same_facts(member, announce)) {
        verification_failed(m, member, now_ms);
        return;
    }
    member->verifying = false;
    member->answered = true;
    if (member->leader && !member->verified) {
        member->verified = true;
        member->verified_ms = now_ms;
    }
    if (endpoints != NULL) {
        members_take_endpoints(m, member, endpoints);
    }
    /* A leader that says nothing of its state may have served for long. */
    m->served[member->group] |= member->has_state || (member->leader && endpoints == NULL);
    bool is_news = !is_in_ring(m, member->group);
    if (!member->leader && !member->has_state) {
        return;
    }
    if (m->self->leader) {
        membership_join(m, m->self);
    }
    membership_join(m, member);
    if (is_news && !member->leader) {
        membership_push(m, MEMBERSHIP_GROUP_WITHOUT_LEADER, member);
    }
}

void membership_join_group(struct membership *m, uint16_t group) {
    const struct member *leader = membership_leader(m, group);
    struct member unknown = {.group = group};
    if (membership_reserve(m, 1)) {
        membership_join(m, leader != NULL ? leader : &unknown);
    }
}

/* ---- groups that are taken out ---- */

static bool is_dead_in(const struct member *member, uint16_t group) {
    return member->group == group && !member->alive;
}

static bool lives(const struct membership *m, uint16_t group) {
    for (size_t i = 0; i < m->count; i++) {
        if (m->members[i]->group == group && m->members[i]->alive) {
            return true;
        }
    }
    return false;
}

enum membership_forget membership_forget_group(struct membership *m, uint16_t group) {
    if (group == m->self->group) {
        return MEMBERSHIP_OWN_GROUP;
    }
    if (!is_in_ring(m, group)) {
        return MEMBERSHIP_NO_SUCH_GROUP;
    }
    if (lives(m, group)) {
        return MEMBERSHIP_GROUP_LIVES;
    }
    if (m->served[group]) {
        return MEMBERSHIP_GROUP_SERVED;
    }
    if (!membership_reserve(m, m->count + 1)) {
        return MEMBERSHIP_FORGET_NO_MEMORY;
    }
    for (size_t i = m->count; i > 0; i--) {
        if (is_dead_in(m->members[i - 1], group)) {
            members_let_go(m, m->members[i - 1]);
        }
    }
    size_t i = place_of(m, group);
    m->n_groups--;
    memmove(m->groups + i, m->groups + i + 1, (m->n_groups - i) * sizeof m->groups[0]);
    membership_push(m, MEMBERSHIP_GROUP_FORGOTTEN, &(struct member){.group = group});
    return MEMBERSHIP_FORGOTTEN;
}

/* ---- who leads ---- */

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

/* NULL: none was elected. */
static const struct member *find_elected_leader(const struct membership *m, uint16_t group) {
    const struct member *elected = NULL;
    for (size_t i = 0; i < m->count; i++) {
        const struct member *member = m->members[i];
        if (leads(member, group) && member->term > (elected == NULL ? 0 : elected->term)) {
            elected = member;
        }
    }
    return elected;
}

const struct member *membership_leader(const struct membership *m, uint16_t group) {
    if (m->self->leader && m->self->group == group) {
        return m->self;
    }
    const struct member *elected = find_elected_leader(m, group);
    if (elected != NULL) {
        return elected;
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

const struct member *membership_last_leader(const struct membership *m, uint16_t group) {
    const struct member *leader = membership_leader(m, group), *last = NULL;
    for (size_t i = 0; leader == NULL && i < m->count; i++) {
        const struct member *member = m->members[i];
        if (member->leader && member->verified && !member->alive && member->group == group &&
            (last == NULL || member->last_heard_ms > last->last_heard_ms)) {
            last = member;
        }
    }
    return leader != NULL ? leader : last;
}

bool membership_is_alive(const struct membership *m, const struct member *member) {
    if (member->self || !member->leader || member->term == 0) {
        return member->alive;
    }
    const struct member *leader = membership_leader(m, member->group);
    return member->alive && (leader == NULL || leader->term <= member->term);
}

size_t membership_groups(const struct membership *m, const uint16_t **groups) {
    *groups = m->groups;
    return m->n_groups;
}
