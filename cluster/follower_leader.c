/* Whom a follower follows: who says LEAD proves who it is, and is weighed against the others that do. */
#include "cluster/follower_internal.h"

#include <stdio.h>
#include <string.h>

/* "Of two leaders the one with the older history", of two of one history the one with the greater term and
 * index. */
static bool outranks(const struct position *a, const struct position *b) {
    return a->history_id != b->history_id ? a->history_id < b->history_id
                                          : position_compare_in_history(a, b) > 0;
}

/* Of two links of one leader the later. */
static enum follower_verdict weigh(const struct follower_link *link, struct follower *follower, int64_t now_ms,
                                   struct buf *out) {
    char reason[160];
    if (follower->votes) {
        return FOLLOWER_GO_ON;
    }
    if (follower->leading) {
        struct position here = history_position(follower->history);
        if (outranks(&link->leads_from, &here)) {
            return FOLLOWER_STEP_DOWN;
        }
        snprintf(reason, sizeof(reason), "two leaders: node %s leads group %u with the older history %016llx%s",
                 follower->node_id, follower->group, (unsigned long long)here.history_id,
                 link->leads_from.history_id == here.history_id ? ", in the later term" : "");
        return follower_refuse(follower, out, reason);
    }
    const struct follower_link *other = follower->leader_link;
    if (other != NULL && strcmp(other->peer_id, link->peer_id) != 0 &&
        !outranks(&link->leads_from, &other->leads_from) && now_ms - other->last_line_ms < LINK_TIMEOUT_MS) {
        snprintf(reason, sizeof(reason), "two leaders: node %s follows %s", follower->node_id, other->peer_id);
        return follower_refuse(follower, out, reason);
    }
    return FOLLOWER_GO_ON;
}

enum follower_verdict follower_begin_proving(struct follower_link *link, const struct line *line) {
    link->phase = FOLLOWER_PROVING;
    link->leads = line->verb == LINE_LEAD;
    snprintf(link->peer_id, sizeof(link->peer_id), "%s", line->node_id);
    return FOLLOWER_PROVE;
}

enum follower_verdict follower_on_lead(struct follower_link *link, struct follower *follower,
                                       const struct line *line, int64_t now_ms, struct buf *out) {
    char reason[160];
    if (link->phase != FOLLOWER_NEW) {
        return follower_malformed(follower, out, "LEAD must be the first line");
    }
    if (line->group != follower->group) {
        snprintf(reason, sizeof(reason), "wrong group: node %s is in group %u", follower->node_id,
                 follower->group);
        return follower_refuse(follower, out, reason);
    }
    if (strcmp(line->node_id, follower->node_id) == 0) {
        return follower_refuse(follower, out, "that is this node's own id");
    }
    link->history_id = line->history_id;
    link->leads_from = (struct position){line->history_id, line_term_of(line), line->index};
    link->leader_index = line->index;
    link->offers_lz4 = line->lz4;
    enum follower_verdict verdict = follower_begin_proving(link, line);
    return weigh(link, follower, now_ms, out) == FOLLOWER_CLOSE ? FOLLOWER_CLOSE : verdict;
}

static bool leads_in(const struct position *leads, uint64_t history_id, const struct term *term) {
    return leads->history_id == history_id && term_compare(&leads->term, term) == 0;
}

/* Who still leads in the term from which the state came of which a part is here, or in that of what lies under
 * it, or who would go on from there. A later term of the same history may lack lines of either. */
static bool has_all_of_a_mixture(const struct follower_link *link, const struct follower *follower) {
    const struct position *leads = &link->leads_from;
    struct position here = history_position(follower->history);
    return leads_in(leads, follower->overlaid_by, &follower->overlaid_in) ||
           leads_in(leads, here.history_id, &here.term) ||
           leads_in(leads, follower->had_by.history_id, &follower->had_by.term);
}

/* What is proved is weighed once more: meanwhile another leader may have come. */
static enum follower_verdict follow(struct follower_link *link, struct follower *follower, int64_t now_ms,
                                    struct buf *out) {
    enum follower_verdict verdict = weigh(link, follower, now_ms, out);
    if (verdict != FOLLOWER_GO_ON) {
        return verdict;
    }
    if (follower->votes && !link->is_elected) {
        return FOLLOWER_ELECT;
    }
    follower->leader_link = link; /* the driver closes the one it takes the place of */
    link->phase = FOLLOWER_SYNCING;
    bool anew = follower->overlaid_by != 0 && has_all_of_a_mixture(link, follower);
    struct position named = anew ? (struct position){0} : history_position(follower->history);
    link->lz4 = link->offers_lz4 && follower->takes_lz4;
    line_sync(out, follower->node_id, named.history_id, named.index, &named.term, link->lz4);
    return FOLLOWER_GO_ON;
}

enum follower_verdict follower_unproved(struct follower_link *link, struct follower *follower,
                                        struct buf *out) {
    char reason[160];
    snprintf(reason, sizeof(reason), "node %s is not known, or has not answered WHO where it announces itself",
             link->peer_id);
    return follower_refuse(follower, out, reason);
}

/* "LEAD is taken only from a node of the group that answers WHO, at the address that it announces, with the
 * same id." */
enum follower_verdict follower_link_proof(struct follower_link *link, struct follower *follower,
                                          const struct datagram *announce, int64_t now_ms, struct buf *out) {
    link->last_line_ms = now_ms; /* it was not listened to */
    if (announce == NULL || strcmp(announce->node_id, link->peer_id) != 0) {
        return follower_unproved(link, follower, out);
    }
    if (!link->leads) {
        link->phase = FOLLOWER_NODE;
        return FOLLOWER_GO_ON;
    }
    if (!announce->leader || announce->group != follower->group) {
        char reason[160];
        snprintf(reason, sizeof(reason), "node %s answers WHO as no leader of group %u", link->peer_id,
                 follower->group);
        return follower_refuse(follower, out, reason);
    }
    return follow(link, follower, now_ms, out);
}
