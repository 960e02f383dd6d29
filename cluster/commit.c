#include "cluster/commit.h"

#include "cluster/planted.h"

#include <stdio.h>
#include <stdlib.h>

void commit_begin(struct commit *commit, const char *self, const struct voters *voters, uint64_t term_index) {
    *commit = (struct commit){
        .voters = *voters, .term_index = term_index, .asked = commit->asked, .first_round = commit->asked + 1};
    snprintf(commit->self, sizeof(commit->self), "%s", self);
}

static int descending(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x > y ? -1 : x < y;
}

/* The greatest number that a majority of them has reached. */
static uint64_t of_majority(const struct commit *commit, const uint64_t *of_each) {
    uint64_t sorted[VOTERS_MOST];
    if (commit->voters.count == 0) {
        return 0;
    }
    memcpy(sorted, of_each, commit->voters.count * sizeof(sorted[0]));
    qsort(sorted, commit->voters.count, sizeof(sorted[0]), descending);
    return sorted[voters_majority(&commit->voters) - 1];
}

static bool count_durable(struct commit *commit) {
    uint64_t index = of_majority(commit, commit->durable);
    bool own = index >= commit->term_index || PLANTED(PLANTED_OLD_TERM_COMMITTED_BY_COUNTING);
    if (!own || index <= commit->index) {
        return false;
    }
    commit->index = index;
    return true;
}

static bool count_rounds(struct commit *commit) {
    uint64_t round = of_majority(commit, commit->heard);
    if (round <= commit->round) {
        return false;
    }
    commit->round = round;
    return true;
}

void commit_set_voters(struct commit *commit, const struct voters *voters) {
    const struct commit before = *commit;
    commit->voters = *voters;
    for (size_t i = 0; i < voters->count; i++) {
        int at = voters_find(&before.voters, voters->ids[i]);
        commit->durable[i] = at < 0 ? 0 : before.durable[at];
        commit->heard[i] = at < 0 ? 0 : before.heard[at];
    }
    count_durable(commit);
    count_rounds(commit);
}

bool commit_durable(struct commit *commit, const char *node_id, uint64_t index) {
    int at = voters_find(&commit->voters, node_id);
    if (at < 0) {
        return false;
    }
    commit->durable[at] = index; /* it may fall: a state arrives there */
    return count_durable(commit);
}

bool commit_echo(struct commit *commit, const char *node_id, uint64_t round) {
    int at = voters_find(&commit->voters, node_id);
    if (at < 0 || round <= commit->heard[at] || round < commit->first_round || round > commit->asked) {
        return false;
    }
    commit->heard[at] = round;
    return count_rounds(commit);
}

uint64_t commit_ask(struct commit *commit) {
    commit->asked++;
    commit_echo(commit, commit->self, commit->asked);
    return commit->asked;
}

bool commit_is_asking(const struct commit *commit) {
    return commit->asked >= commit->first_round && commit->round < commit->asked;
}

bool commit_may_change(const struct commit *commit, uint64_t voters_index) {
    return (commit->index >= commit->term_index && commit->index >= voters_index) ||
           PLANTED(PLANTED_TWO_CHANGES_AT_ONCE);
}
