#include "cluster/forming.h"

#include "cluster/history.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

/* --- What is to be done --- */

enum { KEPT_FREE = 8 }; /* for all but lines */

/* A line that there is no room for is lost: it is asked for again. Of all else there is little: nothing is
 * agreed to while something waits for the disk. */
static struct forming_action *push(struct forming *forming, enum forming_action_type type) {
    size_t most = type == FORMING_SEND ? FORMING_ACTIONS - KEPT_FREE : FORMING_ACTIONS;
    if (forming->count >= most) {
        assert(type == FORMING_SEND);
        return NULL;
    }
    struct forming_action *action = &forming->actions[(forming->first + forming->count++) % FORMING_ACTIONS];
    *action = (struct forming_action){.type = type, .kept = forming->kept};
    return action;
}

/* False: there was no room. */
static bool send(struct forming *forming, const char *to, struct buf *line) {
    struct forming_action *action = push(forming, FORMING_SEND);
    if (action != NULL && !buf_failed(line)) {
        assert(buf_used(line) < sizeof(action->text));
        memcpy(action->text, buf_slice(line).ptr, buf_used(line));
        snprintf(action->to, sizeof(action->to), "%s", to);
    }
    buf_deinit(line);
    return action != NULL;
}

static bool send_unform(struct forming *forming, const char *to, uint64_t history_id) {
    struct buf line;
    buf_init(&line, FORMING_TEXT_BYTES);
    line_unform(&line, history_id);
    return send(forming, to, &line);
}

static void send_form(struct forming *forming, const char *to) {
    struct buf line;
    buf_init(&line, FORMING_TEXT_BYTES);
    line_form(&line, forming->group, &forming->kept.voters, forming->kept.history_id);
    send(forming, to, &line);
}

/* no: NULL, or the reason. */
static void send_formed(struct forming *forming, const char *to, uint64_t history_id, const char *no) {
    struct buf line;
    buf_init(&line, FORMING_TEXT_BYTES);
    line_formed(&line, forming->node_id, history_id, no == NULL,
                no == NULL ? slice_of(NULL, 0) : slice_from_text(no));
    send(forming, to, &line);
}

static void keep(struct forming *forming, const char *why) {
    struct forming_action *action = push(forming, FORMING_KEEP);
    snprintf(action->text, sizeof(action->text), "%s", why);
}

static bool is_settled(const struct forming *forming) {
    for (size_t i = 0; i < forming->count; i++) {
        if (forming->actions[(forming->first + i) % FORMING_ACTIONS].type == FORMING_KEEP) {
            return false;
        }
    }
    return true;
}

bool forming_next(struct forming *forming, struct forming_action *out) {
    if (forming->count == 0 || forming->waits) {
        return false;
    }
    *out = forming->actions[forming->first];
    if (out->type == FORMING_KEEP) { /* it stays the first one until it is done */
        forming->waits = true;
        return true;
    }
    forming->first = (forming->first + 1) % FORMING_ACTIONS;
    forming->count--;
    return true;
}

/* --- Phases --- */

static void wait_a_moment(struct forming *forming, int64_t now_ms) {
    forming->random_state = forming->random_state * 6364136223846793005u + 1442695040888963407u;
    forming->until_ms =
        now_ms + FORMING_LEAST_WAIT_MS +
        (int64_t)((forming->random_state >> 33) % (FORMING_LONGEST_WAIT_MS - FORMING_LEAST_WAIT_MS + 1));
}

static void forget(struct forming *forming, const char *why, int64_t now_ms) {
    forming->phase = FORMING_WAITING;
    forming->kept = (struct forming_kept){0};
    forming->new_ms = now_ms;
    keep(forming, why);
}

/* "It persists the withdrawal, then sends UNFORM, and tries again." */
static void withdraw(struct forming *forming, const char *why, int64_t now_ms) {
    const struct forming_kept was = forming->kept;
    assert(was.proposer && !was.complete);
    forget(forming, why, now_ms);
    for (size_t i = 0; i < was.voters.count; i++) {
        if (strcmp(was.voters.ids[i], forming->node_id) != 0) {
            send_unform(forming, was.voters.ids[i], was.history_id);
        }
    }
    wait_a_moment(forming, now_ms);
}

void forming_init(struct forming *forming, const char *node_id, uint16_t group, size_t wanted,
                  const struct forming_kept *kept, uint16_t random, int64_t now_ms) {
    *forming = (struct forming){
        .group = group, .wanted = wanted, .random_state = random, .kept = *kept, .new_ms = now_ms};
    snprintf(forming->node_id, sizeof(forming->node_id), "%s", node_id);
    forming->until_ms = now_ms;
    if (kept->history_id == 0) {
        return;
    }
    if (kept->proposer && !kept->complete) {
        withdraw(forming, "this node has started again before all had agreed", now_ms);
    } else {
        forming->phase = FORMING_AGREED;
        push(forming, FORMING_BEGIN);
    }
}

uint64_t forming_id(const struct forming *forming) {
    return forming->phase == FORMING_OVER ? 0 : forming->kept.history_id;
}

void forming_end(struct forming *forming, uint64_t history_id, int64_t now_ms) {
    if (forming->phase == FORMING_OVER) {
        return;
    }
    forming->count = forming->waits; /* what is being kept */
    if (forming->kept.history_id != 0 && forming->kept.history_id != history_id) {
        if (forming->phase == FORMING_PROPOSING) {
            withdraw(forming, "this node has another history", now_ms);
        } else {
            forget(forming, "this node has another history", now_ms);
        }
    }
    forming->phase = FORMING_OVER;
    forming->history_id = history_id;
}

/* --- The others --- */

static struct forming_neighbour *find(struct forming *forming, const char *node_id) {
    for (size_t i = 0; i < forming->neighbour_count; i++) {
        if (strcmp(forming->neighbours[i].id, node_id) == 0) {
            return &forming->neighbours[i];
        }
    }
    return NULL;
}

/* A node that keeps this one from forming anything but that: it has a history, or has agreed to another. */
static bool is_in_the_way(const struct forming *forming, const struct forming_neighbour *neighbour,
                          uint64_t history_id) {
    bool has = neighbour->history_id != 0 && neighbour->history_id != history_id;
    bool forms = neighbour->forming_id != 0 && neighbour->forming_id != history_id;
    return neighbour->here && neighbour->group == forming->group && (has || forms);
}

static bool may_be_voter(const struct forming *forming, const struct forming_neighbour *neighbour) {
    return neighbour->group == forming->group && neighbour->wanted == forming->wanted &&
           neighbour->history_id == 0 && neighbour->forming_id == 0;
}

/* NULL: nobody is; else what such a one has. */
static const char *what_is_in_the_way(const struct forming *forming, uint64_t history_id) {
    for (size_t i = 0; i < forming->neighbour_count; i++) {
        const struct forming_neighbour *neighbour = &forming->neighbours[i];
        if (is_in_the_way(forming, neighbour, history_id)) {
            return neighbour->history_id != 0 && neighbour->history_id != history_id
                       ? "a node of the group has a history"
                       : "another set is forming";
        }
    }
    return NULL;
}

/* There are more than it can remember: of those that are gone, or may be voters, the greatest id matters least.
 * NULL: all of them are in the way, and one more makes no difference. */
static struct forming_neighbour *find_least(struct forming *forming) {
    struct forming_neighbour *least = NULL;
    for (size_t i = 0; i < forming->neighbour_count; i++) {
        struct forming_neighbour *neighbour = &forming->neighbours[i];
        bool less = least == NULL || (least->here && !neighbour->here) ||
                    (least->here == neighbour->here && strcmp(neighbour->id, least->id) > 0);
        if (!is_in_the_way(forming, neighbour, 0) && less) {
            least = neighbour;
        }
    }
    return least;
}

static struct forming_neighbour *find_or_add(struct forming *forming, const char *node_id) {
    struct forming_neighbour *neighbour = find(forming, node_id);
    if (neighbour != NULL) {
        return neighbour;
    }
    neighbour = forming->neighbour_count < FORMING_NEIGHBOURS ? &forming->neighbours[forming->neighbour_count++]
                                                              : find_least(forming);
    if (neighbour != NULL) {
        *neighbour = (struct forming_neighbour){.group = UINT16_MAX};
        snprintf(neighbour->id, sizeof(neighbour->id), "%s", node_id);
    }
    return neighbour;
}

/* If this node proposed it, it has withdrawn it: else it would know of it. It did not if a smaller one is in.
 */
static bool is_withdrawn(const struct forming *forming, const char *agreed, uint64_t history_id) {
    for (size_t i = 0; i < forming->neighbour_count; i++) {
        const struct forming_neighbour *neighbour = &forming->neighbours[i];
        if (neighbour->here && neighbour->forming_id == history_id &&
            strcmp(neighbour->id, forming->node_id) < 0) {
            return false;
        }
    }
    return history_id != 0 && history_id != forming->kept.history_id && history_id != forming->history_id &&
           strcmp(forming->node_id, agreed) < 0;
}

static void tell_withdrawn(struct forming *forming, struct forming_neighbour *neighbour) {
    uint64_t id = neighbour->forming_id;
    if (neighbour->here && is_withdrawn(forming, neighbour->id, id) && neighbour->told != id &&
        send_unform(forming, neighbour->id, id)) {
        neighbour->told = id;
    }
}

void forming_peer(struct forming *forming, const char *node_id, const struct line *voter, int64_t now_ms) {
    if (voter->verb != LINE_VOTER || strcmp(voter->node_id, node_id) != 0) {
        return;
    }
    struct forming_neighbour *neighbour = find_or_add(forming, node_id);
    if (neighbour == NULL) {
        return;
    }
    bool was_one = may_be_voter(forming, neighbour);
    neighbour->here = true;
    neighbour->group = voter->group;
    neighbour->wanted = voter->count;
    neighbour->history_id = voter->history_id;
    neighbour->forming_id = voter->forming_id;
    neighbour->told = 0;
    if (may_be_voter(forming, neighbour) && !was_one) {
        forming->new_ms = now_ms;
    }
    tell_withdrawn(forming, neighbour);
    if (forming->phase != FORMING_PROPOSING) {
        return;
    }
    const char *why = what_is_in_the_way(forming, forming->kept.history_id);
    int at = voters_find(&forming->kept.voters, node_id);
    if (why != NULL) {
        withdraw(forming, why, now_ms);
    } else if (at >= 0 && !forming->agreed[at]) {
        send_form(forming, node_id); /* what was said before may not have come */
    }
}

void forming_peer_gone(struct forming *forming, const char *node_id) {
    struct forming_neighbour *neighbour = find(forming, node_id);
    if (neighbour != NULL) {
        neighbour->here = false;
    }
}

/* --- The proposer --- */

static void complete_if_all_agree(struct forming *forming) {
    for (size_t i = 0; i < forming->kept.voters.count; i++) {
        if (!forming->agreed[i]) {
            return;
        }
    }
    forming->phase = FORMING_AGREED;
    forming->kept.complete = true;
    keep(forming, "");
    push(forming, FORMING_BEGIN);
}

static void propose(struct forming *forming, const struct voters *voters, int64_t now_ms, int64_t unix_ms) {
    wait_a_moment(forming, now_ms); /* for its random number */
    forming->phase = FORMING_PROPOSING;
    forming->kept = (struct forming_kept){
        .history_id = history_make_id(unix_ms, (uint16_t)(forming->random_state >> 40)),
        .voters = *voters,
        .proposer = true,
    };
    forming->until_ms = now_ms + FORMING_ANSWER_MS;
    keep(forming, "");
    for (size_t i = 0; i < voters->count; i++) {
        forming->agreed[i] = strcmp(voters->ids[i], forming->node_id) == 0;
        if (!forming->agreed[i]) {
            send_form(forming, voters->ids[i]);
        }
    }
    complete_if_all_agree(forming); /* it is alone */
}

static int by_id(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

/* "The one with the smallest id proposes": the N smallest ones, itself the first of them. False: it is not that
 * one, or there are too few. */
static bool choose(struct forming *forming, struct voters *voters) {
    const char *ids[FORMING_NEIGHBOURS + 1] = {forming->node_id};
    size_t n = 1;
    for (size_t i = 0; i < forming->neighbour_count; i++) {
        if (forming->neighbours[i].here && may_be_voter(forming, &forming->neighbours[i])) {
            ids[n++] = forming->neighbours[i].id;
        }
    }
    qsort(ids, n, sizeof(ids[0]), by_id);
    if (n < forming->wanted || ids[0] != forming->node_id) {
        return false;
    }
    *voters = (struct voters){0};
    for (size_t i = 0; i < forming->wanted; i++) {
        voters_add(voters, ids[i]);
    }
    return true;
}

void forming_done(struct forming *forming, int64_t now_ms) {
    assert(forming->waits && forming->count > 0);
    forming->waits = false;
    forming->first = (forming->first + 1) % FORMING_ACTIONS;
    forming->count--;
    if (forming->phase == FORMING_PROPOSING) { /* from here on the others are asked */
        forming->until_ms = now_ms + FORMING_ANSWER_MS;
    }
}

void forming_tick(struct forming *forming, int64_t now_ms, int64_t unix_ms) {
    struct voters voters;
    for (size_t i = 0; i < forming->neighbour_count; i++) {
        tell_withdrawn(forming, &forming->neighbours[i]);
    }
    if (forming->phase == FORMING_PROPOSING && now_ms >= forming->until_ms) {
        withdraw(forming, "not all have agreed in time", now_ms);
    } else if (forming->phase == FORMING_WAITING && forming->wanted > 0 && now_ms >= forming->until_ms &&
               now_ms - forming->new_ms >= FORMING_QUIET_MS && is_settled(forming) &&
               what_is_in_the_way(forming, 0) == NULL && choose(forming, &voters)) {
        propose(forming, &voters, now_ms, unix_ms);
    }
}

/* --- Lines --- */

static const char *smallest(const struct voters *voters) {
    const char *id = voters->ids[0];
    for (size_t i = 1; i < voters->count; i++) {
        id = strcmp(voters->ids[i], id) < 0 ? voters->ids[i] : id;
    }
    return id;
}

static bool are_equal(const struct voters *a, const struct voters *b) {
    size_t same = 0;
    for (size_t i = 0; i < a->count; i++) {
        same += voters_find(b, a->ids[i]) >= 0;
    }
    return same == a->count && a->count == b->count;
}

/* NULL: it may, or has. */
static const char *why_not_agree(const struct forming *forming, const char *from, const struct line *form,
                                 const struct voters *voters) {
    if (form->group != forming->group) {
        return "it is of another group";
    }
    if (strcmp(smallest(voters), from) != 0 || voters_find(voters, forming->node_id) < 0) {
        return "that set has another proposer, or is none of its";
    }
    if (forming->phase == FORMING_OVER) {
        return "it has a history";
    }
    if (forming->kept.history_id != 0) {
        bool same = forming->kept.history_id == form->history_id && are_equal(&forming->kept.voters, voters);
        return same ? NULL : "it has agreed to another set";
    }
    if (forming->wanted != voters->count) {
        return "it wants another number of voters";
    }
    if (!is_settled(forming)) {
        return "its disk has not done yet what was before";
    }
    return what_is_in_the_way(forming, form->history_id);
}

static void on_form(struct forming *forming, const char *from, const struct line *form) {
    struct voters voters;
    if (!voters_parse(form->text, &voters)) {
        return;
    }
    const char *why = why_not_agree(forming, from, form, &voters);
    if (why == NULL && forming->kept.history_id == 0) {
        forming->phase = FORMING_AGREED;
        forming->kept = (struct forming_kept){.history_id = form->history_id, .voters = voters};
        keep(forming, "");
        push(forming, FORMING_BEGIN);
    }
    send_formed(forming, from, form->history_id, why);
}

static void on_formed(struct forming *forming, const char *from, const struct line *formed, int64_t now_ms) {
    int at = voters_find(&forming->kept.voters, from);
    if (formed->yes && is_withdrawn(forming, from, formed->history_id)) {
        send_unform(forming, from, formed->history_id);
    }
    if (forming->phase != FORMING_PROPOSING || formed->history_id != forming->kept.history_id || at < 0) {
        return;
    }
    if (formed->yes) {
        forming->agreed[at] = true;
        complete_if_all_agree(forming);
        return;
    }
    char why[LIMIT_NODE_ID_BYTES + LINE_REASON_BYTES + 16];
    snprintf(why, sizeof(why), "%s refuses: %.*s", from, (int)formed->text.len, formed->text.ptr);
    withdraw(forming, why, now_ms);
}

static void on_unform(struct forming *forming, const char *from, const struct line *unform, int64_t now_ms) {
    char why[LIMIT_NODE_ID_BYTES + 32];
    if (forming->phase != FORMING_AGREED || forming->kept.proposer ||
        forming->kept.history_id != unform->history_id || strcmp(smallest(&forming->kept.voters), from) != 0) {
        return;
    }
    snprintf(why, sizeof(why), "%s has withdrawn it", from);
    forget(forming, why, now_ms);
    push(forming, FORMING_DROP);
}

void forming_line(struct forming *forming, const char *from, const struct line *line, int64_t now_ms) {
    if (line->verb == LINE_FORM) {
        on_form(forming, from, line);
    } else if (line->verb == LINE_FORMED && strcmp(line->node_id, from) == 0) {
        on_formed(forming, from, line, now_ms);
    } else if (line->verb == LINE_UNFORM) {
        on_unform(forming, from, line, now_ms);
    }
}
