/* Any sequence of datagrams, answers and passing time: membership stays what it promises to be.
 *
 * The input is lines. Each is a datagram; behind a '!' it is the answer to WHO of the node that it names, which
 * goes on with the last ENDPOINTS line if that is of the same node; behind a '?' the id of a node that did not
 * answer, behind a '=' the answer of a node of self's id somewhere else, which says that it is older; a '+'
 * with digits lets so many ms pass, a '-' with digits forgets a group, and a '~' gives self its group's state.
 */
#include "cluster/membership.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds) {
    if (!holds) {
        abort();
    }
}

static void check_members(const struct membership *membership) {
    size_t n = membership_count(membership), selves = 0;
    require(n >= 1 && n <= MEMBERSHIP_MAX_MEMBERS);
    for (size_t i = 0; i < n; i++) {
        const struct member *member = membership_at(membership, i);
        require(i == 0 || strcmp(membership_at(membership, i - 1)->id, member->id) < 0);
        require(membership_find(membership, member->id) == member);
        require(!member->verified || member->leader);
        require(!member->has_state || member->has_endpoints || member->self);
        require(member->has_endpoints == (member->api_port != 0 && member->redis_port != 0));
        require(datagram_valid_node_id(slice_from_text(member->id)));
        require(datagram_valid_host(slice_from_text(member->host)));
        selves += member->self;
        for (size_t j = 0; j < i; j++) {
            const struct member *other = membership_at(membership, j);
            require(member->port != other->port || strcmp(member->host, other->host) != 0);
        }
    }
    require(selves == 1);
}

static void check_groups(const struct membership *membership) {
    const uint16_t *groups;
    size_t n = membership_groups(membership, &groups);
    for (size_t i = 0; i < n; i++) {
        require(groups[i] <= LIMIT_GROUP);
        require(i == 0 || groups[i - 1] < groups[i]);
        const struct member *leader = membership_leader(membership, groups[i]);
        require(leader == NULL || (leader->alive && leader->verified && leader->group == groups[i]));
    }
}

/* What the actions say must add up: who came and has not gone is there. */
static void check_actions(struct membership *membership, size_t *known) {
    struct membership_action action;
    while (membership_next(membership, &action)) {
        if (action.type == MEMBERSHIP_MEMBER_UP &&
            action.member.first_heard_ms == action.member.last_heard_ms) {
            (*known)++;
        }
        *known -= action.type == MEMBERSHIP_MEMBER_GONE;
        require(action.type != MEMBERSHIP_MEMBER_DEAD || !action.member.alive);
        require(action.type != MEMBERSHIP_VERIFY || !action.member.verified);
        bool twin = action.type == MEMBERSHIP_ASK_TWIN || action.type == MEMBERSHIP_OLDER_TWIN;
        require(!twin || (strcmp(action.member.id, "self") == 0 && !action.member.self &&
                          (action.member.port != 8000 || strcmp(action.member.host, "127.0.0.1") != 0)));
    }
    require(*known == membership_count(membership));
}

static int64_t read_digits(struct slice text) {
    int64_t number = 0;
    for (size_t i = 0; i < text.len && i < 9 && text.ptr[i] >= '0' && text.ptr[i] <= '9'; i++) {
        number = number * 10 + (text.ptr[i] - '0');
    }
    return number;
}

static bool is_in_ring(const struct membership *membership, uint16_t group) {
    const uint16_t *groups;
    size_t n = membership_groups(membership, &groups);
    for (size_t i = 0; i < n; i++) {
        if (groups[i] == group) {
            return true;
        }
    }
    return false;
}

static void forget(struct membership *membership, uint16_t group) {
    bool was_there = is_in_ring(membership, group);
    enum membership_forget answer = membership_forget_group(membership, group);
    require(is_in_ring(membership, group) == (was_there && answer != MEMBERSHIP_FORGOTTEN));
    require(answer != MEMBERSHIP_FORGOTTEN || (was_there && group != membership_self(membership)->group));
}

static void feed(struct membership *membership, struct slice line, struct datagram *endpoints,
                 int64_t *now_ms) {
    char kind = line.len > 0 ? line.ptr[0] : '\0';
    struct slice rest = line.len > 0 ? slice_skip(line, 1) : line;
    struct datagram datagram;
    if (kind == '+') {
        *now_ms += 1 + read_digits(rest); /* every event has a time of its own */
        membership_tick(membership, *now_ms);
    } else if (kind == '-') {
        forget(membership, (uint16_t)(read_digits(rest) % (LIMIT_GROUP + 1)));
    } else if (kind == '~') {
        membership_set_state(membership, true, *now_ms);
    } else if (kind == '?') {
        char id[LIMIT_NODE_ID_BYTES + 1] = "";
        memcpy(id, rest.ptr, slice_first(rest, LIMIT_NODE_ID_BYTES).len);
        membership_verify_failed(membership, id, *now_ms);
    } else if (datagram_decode(kind == '!' || kind == '=' ? rest : line, &datagram) != DATAGRAM_OK) {
        return;
    } else if (kind == '=') {
        datagram.uptime_ms = INT64_MAX;
        membership_twin_answered(membership, &datagram);
    } else if (kind != '!') {
        membership_hear(membership, &datagram, *now_ms);
        *endpoints = datagram.verb == DATAGRAM_ENDPOINTS ? datagram : *endpoints;
    } else if (datagram.verb == DATAGRAM_ANNOUNCE) {
        bool goes_on = strcmp(datagram.node_id, endpoints->node_id) == 0;
        membership_verified(membership, &datagram, goes_on ? endpoints : NULL, *now_ms);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const struct member self = {
        .id = "self", .host = "127.0.0.1", .port = 8000, .api_port = 9000, .redis_port = 6379};
    struct membership *membership = membership_create(&self, 1);
    require(membership != NULL);
    int64_t now_ms = 1;
    size_t known = 1;
    struct datagram endpoints = {.verb = DATAGRAM_ENDPOINTS};
    membership_start(membership, now_ms);
    for (struct slice left = slice_of(data, size); left.len > 0;) {
        const char *lf = memchr(left.ptr, '\n', left.len);
        size_t len = lf != NULL ? (size_t)(lf - left.ptr) : left.len;
        now_ms++;
        feed(membership, slice_first(left, len), &endpoints, &now_ms);
        check_actions(membership, &known);
        check_members(membership);
        check_groups(membership);
        left = slice_skip(left, lf != NULL ? len + 1 : len);
    }
    membership_destroy(&membership);
    return 0;
}
