/* What a leader takes from its followers: the keys that it lacks, one after the other; or wholly, a state or
 * the tail of its history, which a follower's decider takes (leader->taker). */
#include "cluster/leader_internal.h"

#include <string.h>

/* --- From whom --- */

enum lineage_side leader_link_side(const struct leader *leader, const struct leader_link *link) {
    return lineage_side(history_lineage(leader->history), history_index(leader->history), &link->position.term,
                        link->position.index);
}

bool leader_link_is_of_this_history(const struct leader *leader, const struct leader_link *link) {
    return link->position.history_id == history_id(leader->history);
}

/* It holds data that neither this history nor what this leader took before has. (Who is ahead in the term of a
 * leader that serves has miscounted.) */
bool leader_must_take_from(const struct leader *leader, const struct leader_link *link) {
    if (link->position.history_id == 0 || leader->is_elected) {
        return false;
    }
    enum lineage_side side =
        leader_link_is_of_this_history(leader, link) ? leader_link_side(leader, link) : LINEAGE_OFF;
    bool has_more = side == LINEAGE_OFF || (side == LINEAGE_AHEAD && leader->phase != LEADER_SERVING);
    return has_more && !leader_knows(leader, &link->position);
}

bool leader_link_has_failed(const struct leader *leader, const struct leader_link *link) {
    for (size_t i = 0; i < leader->failed_count; i++) {
        if (strcmp(leader->failed[i], link->node_id) == 0) {
            return true;
        }
    }
    return false;
}

static void remember_failure(struct leader *leader, const struct leader_link *link) {
    if (leader_link_has_failed(leader, link)) {
        return;
    }
    if (leader->failed_count == LEADER_FAILED) {
        memmove(leader->failed, leader->failed + 1, sizeof(leader->failed) - sizeof(leader->failed[0]));
        leader->failed_count--;
    }
    memcpy(leader->failed[leader->failed_count++], link->node_id, sizeof(link->node_id));
}

/* "Within its listening second a follower with the same history and a greater (term, index) is pulled from
 * first." */
static bool goes_further(const struct leader *leader, const struct leader_link *link) {
    struct position here = history_position(leader->history);
    return leader->phase == LEADER_LISTENING && leader_link_is_of_this_history(leader, link) &&
           position_compare_in_history(&link->position, &here) > 0;
}

/* Wholly only what goes on from the state that is here, or when there is none: else what it lacks would be
 * dropped, though nobody may have it but this leader. And not from one whose state broke off before: it would
 * keep this leader from serving over and over.
 */
bool leader_may_take_wholly(const struct leader *leader, const struct leader_link *link) {
    if (leader->goes_on) {
        return goes_further(leader, link) && !leader_link_has_failed(leader, link);
    }
    if (history_index(leader->history) > 0) {
        return false;
    }
    return leader->known_count == 0 ||
           (leader->whole_of.history_id == link->position.history_id && !leader_link_has_failed(leader, link));
}

void leader_begin_taking(struct leader_link *link, struct leader *leader, int64_t now_ms) {
    link->phase = LEADER_LINK_TAKING;
    link->take_asked = link->take_began = false;
    link->take_adopts = !leader_may_take_wholly(leader, link);
    leader->taking = link;
    leader->arriving.count = 0;
    leader->pulls++;
    if (link->take_adopts) {
        return;
    }
    leader->phase = LEADER_PULLING;
    leader->before = history_position(leader->history);
    leader->lineage_before = *history_lineage(leader->history);
    follower_init(&leader->taker, leader->node_id, leader->group, leader->history, &leader->data);
    leader->taker.leader_link = &leader->taken;
    follower_link_init(&leader->taken, now_ms);
    leader->taken.phase = FOLLOWER_SYNCING;
    leader->taken.began = true;
}

/* --- What comes --- */

/* The history goes on with what was taken, if all that this leader had is at the beginning of that. Else a new
 * one begins, with what was taken or with both. */
static void take_whole_ended(struct leader_link *link, struct leader *leader, int64_t now_ms) {
    struct history *history = leader->history;
    bool goes_on = leader->goes_on && !leader->taken.joins && history_id(history) == leader->before.history_id;
    follower_link_deinit(&leader->taken, &leader->taker);
    if (!goes_on) {
        leader_remember_before(leader);
        leader_remember(leader, history_id(history), history_index(history), history_lineage(history));
        leader_remember_position(leader, &link->position); /* a mixture's FULL names another */
        leader_begin_history(leader, larger(leader->before.history_id, link->position.history_id), now_ms);
    }
    leader_begin_serving(leader, now_ms);
}

static void take_ended(struct leader_link *link, struct leader *leader, int64_t now_ms) {
    leader->taking = NULL;
    leader->failed_count = 0;
    if (!link->take_adopts) {
        take_whole_ended(link, leader, now_ms);
    }
    link->phase = LEADER_LINK_HELD;
}

static enum leader_verdict not_a_state(struct leader *leader, struct buf *out) {
    leader->lines_malformed++;
    line_error(out, "a state is expected: FULL, REPLICATEX, END");
    return LEADER_CLOSE;
}

/* A key that there is no memory for must not count as taken: the FULL that follows would take it from the one
 * that has it. */
static enum leader_verdict adopt(struct leader *leader, const struct line *line) {
    enum err err = leader->data.adopt(leader->data.context, line);
    leader->adopted += err == ERR_NONE;
    return err == ERR_NO_MEMORY ? LEADER_CLOSE : LEADER_GO_ON;
}

/* A follower on whose data lies part of another history's state names that in FULL: its place in the history of
 * SYNC does not tell what it holds. */
static void adopt_begins(struct leader_link *link, const struct line *line) {
    link->take_began = true;
    link->take_history_id = line->history_id;
    link->take_floor = line->version;
}

static void adopt_ends(struct leader_link *link, struct leader *leader, const struct line *line,
                       int64_t now_ms) {
    struct lineage *lineage = &leader->arriving;
    if (lineage->count == 0) {
        lineage_begin(lineage, NULL, line->index);
    }
    leader->data.adopt_floor(leader->data.context, link->take_floor);
    leader_remember(leader, link->take_history_id, line->index, lineage);
    leader_remember_position(leader, &link->position);
    take_ended(link, leader, now_ms);
}

static enum leader_verdict on_adopt_line(struct leader_link *link, struct leader *leader,
                                         const struct line *line, int64_t now_ms, struct buf *out) {
    struct term term = line_term_of(line);
    if (line->verb == LINE_FULL && !link->take_began) {
        adopt_begins(link, line);
        return LEADER_GO_ON;
    }
    if (!link->take_began) {
        return not_a_state(leader, out);
    }
    switch (line->verb) {
    case LINE_VOTERS:
    case LINE_ACKS:
        return LEADER_GO_ON; /* of another leader's history: not adopted */
    case LINE_SINCE:
        return lineage_grow(&leader->arriving, &term, line->index) ? LEADER_GO_ON : not_a_state(leader, out);
    case LINE_REPLICATE:
        return adopt(leader, line);
    case LINE_END:
        adopt_ends(link, leader, line, now_ms);
        return LEADER_GO_ON;
    default:
        return not_a_state(leader, out);
    }
}

/* END of a tail is this side's: a follower's link knows none. */
static enum leader_verdict on_tail_end(struct leader_link *link, struct leader *leader, const struct line *line,
                                       int64_t now_ms, struct buf *out) {
    if (line->index != history_index(leader->history) || leader->taken.batch_left > 0) {
        return not_a_state(leader, out);
    }
    take_ended(link, leader, now_ms);
    return LEADER_GO_ON;
}

/* What this leader had, or has taken before, is not at the beginning of the state that ends: it stays beside
 * that. */
static bool has_parted(const struct leader *leader, const struct line *end) {
    const struct lineage *lineage = &leader->taker.arriving;
    const struct position *before = leader->goes_on ? &leader->before : &leader->whole_of;
    if (before->history_id == 0) {
        return false; /* it had nothing */
    }
    return leader->taken.history_id != before->history_id ||
           (lineage->count == 0
                ? term_compare(&before->term, &leader->taken.full_term) != 0
                : lineage_side(lineage, end->index, &before->term, before->index) != LINEAGE_ON);
}

/* FULL ... END, or CONTINUE ... END: this node does with it what a follower does. */
static enum leader_verdict on_whole_line(struct leader_link *link, struct leader *leader,
                                         const struct line *line, struct slice bytes, int64_t now_ms,
                                         struct buf *scratch, struct buf *out) {
    struct follower_link *taken = &leader->taken;
    struct line again;
    bool state = line->verb == LINE_FULL, begins = state || (line->verb == LINE_CONTINUE && leader->goes_on);
    bool ends = line->verb == LINE_END;
    if (begins == link->take_began) {
        return not_a_state(leader, out);
    }
    if (ends && taken->phase == FOLLOWER_STREAM) {
        return on_tail_end(link, leader, line, now_ms, out);
    }
    link->take_began = true;
    taken->joins = ends && has_parted(leader, line);
    leader->taker.unix_offset_ms = leader->unix_offset_ms;
    if (follower_link_line(taken, &leader->taker, bytes, now_ms, scratch, &again, out) != FOLLOWER_GO_ON) {
        return LEADER_CLOSE;
    }
    follower_link_keep(taken, &leader->taker);
    if (ends) { /* a mixture names another history than SYNC did */
        bool alone = !taken->joins && taken->history_id == link->position.history_id;
        leader->whole_of = alone ? history_position(leader->history) : (struct position){0};
        take_ended(link, leader, now_ms);
    }
    return LEADER_GO_ON;
}

/* TAKING: only what is taken is a sign of life; ACK is no progress. */
enum leader_verdict leader_take_line(struct leader_link *link, struct leader *leader, const struct line *line,
                                     struct slice bytes, int64_t now_ms, struct buf *scratch, struct buf *out) {
    link->last_line_ms = now_ms;
    return link->take_adopts ? on_adopt_line(link, leader, line, now_ms, out)
                             : on_whole_line(link, leader, line, bytes, now_ms, scratch, out);
}

/* --- Or does not --- */

static bool has_data(const struct leader *leader) { return leader->goes_on || leader->known_count > 0; }

/* Part of a state is here, over what was here before. */
static bool state_is_under_way(const struct leader *leader) { return leader->taken.phase == FOLLOWER_FULL; }

/* The link that gave its state is gone before END. A leader that has data goes on with it: under a new history,
 * if part of the state is among it now. One that has none listens for the next candidate. */
void leader_take_broke_off(struct leader *leader, const struct leader_link *link, int64_t now_ms) {
    leader->taking = NULL;
    remember_failure(leader, link);
    if (link->take_adopts) {
        return;
    }
    bool mixed = state_is_under_way(leader);
    follower_link_deinit(&leader->taken, &leader->taker);
    if (has_data(leader)) {
        if (mixed) {
            leader_remember_before(leader);
            leader_begin_history(leader, 0, now_ms);
        }
        leader_begin_serving(leader, now_ms);
        return;
    }
    if (mixed) {
        leader->data.empty(leader->data.context);
    }
    leader_begin_listening(leader, now_ms);
}
