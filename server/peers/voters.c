/* The set of voters, as it is, and as an operator changes it: one member at a time (Ongaro 2014, 4.1). */
#include "server/peers/replication_internal.h"

#include <stdio.h>
#include <string.h>

enum { CAUGHT_UP_MS = 1000 };

static const struct voting *voting_of(const struct replication *replication) {
    const struct voting *voting = replication->voting;
    return voting != NULL && voting->active ? voting : NULL;
}

void replication_voting(const struct replication *replication, struct replication_voting *out) {
    const struct voting *voting = voting_of(replication);
    const struct history *history = replication->config.history;
    *out = (struct replication_voting){.quorum = history_quorum(history),
                                       .voter_count = history_voters(history)->count,
                                       .wanted = replication->config.voters,
                                       .reason = ""};
    if (voting == NULL) {
        return;
    }
    out->active = true;
    out->is_voter = voters_find(history_voters(history), replication->follower.node_id) >= 0;
    out->forgetful = voting->election.kept.forgetful;
    out->term = voting->election.kept.number;
    out->committed_index = replication_leads(replication) ? voting->commit.index : 0;
    out->elections = voting->elections;
    out->reason = voting->reason;
    out->phase = election_phase_name(voting->election.phase);
    memcpy(out->leader_id, voting->election.leader, sizeof(out->leader_id));
    memcpy(out->voted_for, voting->election.kept.voted_for, sizeof(out->voted_for));
}

/* What it said when it voted last for this node. */
static void describe_memory(const struct voting *voting, struct replication_voter *out) {
    int at = voters_find(&voting->election.asked, out->node_id);
    out->is_known = at >= 0 && voting->election.votes[at].yes;
    out->forgetful = out->is_known && !voting->election.votes[at].firm;
}

bool replication_voter_at(const struct replication *replication, size_t i, struct replication_voter *out) {
    const struct voters *voters = history_voters(replication->config.history);
    const struct voting *voting = voting_of(replication);
    if (i >= voters->count) {
        return false;
    }
    *out = (struct replication_voter){0};
    memcpy(out->node_id, voters->ids[i], sizeof(out->node_id));
    if (voting == NULL) {
        return true;
    }
    bool self = strcmp(out->node_id, replication->follower.node_id) == 0;
    int at = voters_find(&voting->commit.voters, out->node_id);
    out->leads = strcmp(out->node_id, voting->election.leader) == 0;
    out->reachable = self || control_stands(replication, out->node_id);
    out->durable_index = self                                        ? replication->follower.durable_index
                         : at >= 0 && replication_leads(replication) ? voting->commit.durable[at]
                                                                     : 0;
    if (self) {
        out->is_known = true;
        out->forgetful = voting->election.kept.forgetful;
    } else {
        describe_memory(voting, out);
    }
    return true;
}

/* --- Changes --- */

static const char *may_add(const struct replication *replication, const char *node_id) {
    struct replication_follower follower;
    if (voters_find(history_voters(replication->config.history), node_id) >= 0) {
        return "that node is a voter already";
    }
    if (history_voters(replication->config.history)->count == VOTERS_MOST) {
        return "there are 9 voters already, which is the most";
    }
    if (!replication_follower_of(replication, node_id, &follower)) {
        return "no such node follows this leader";
    }
    if (strcmp(follower.state, "online") != 0 || follower.lag_ms > CAUGHT_UP_MS) {
        return "that node has not caught up";
    }
    return follower.durable_index == 0 ? "that node has nothing on a disk yet: a voter needs -data" : NULL;
}

static const char *may_remove(const struct replication *replication, const char *node_id, bool adds) {
    const struct voters *voters = history_voters(replication->config.history);
    if (voters_find(voters, node_id) < 0) {
        return "that node is not a voter";
    }
    return voters->count == 1 && !adds ? "it is the only voter" : NULL;
}

static void write_change(struct replication *replication, const char *add, const char *remove) {
    struct voters voters = *history_voters(replication->config.history);
    char text[VOTERS_MAX_BYTES + 1] = "";
    if (add[0] != '\0') {
        voters_add(&voters, add);
    } else {
        voters_remove(&voters, remove);
    }
    history_write_voters(replication->config.history, &voters);
    text[voters_write(text, &voters)] = '\0';
    log_write(replication->config.log, LOG_INFO, "voters", "voters=%s index=%llu", text,
              (unsigned long long)history_index(replication->config.history));
}

const char *replication_change_voters(struct replication *replication, const char *add, const char *remove) {
    struct replication_quorum quorum;
    if (!replication_quorum(replication, &quorum)) {
        return voting_of(replication) == NULL
                   ? "this group does not elect its leader: start its nodes with -voters"
                   : "the voters are changed at the leader alone";
    }
    struct voting *voting = replication->voting;
    if (voting->to_remove[0] != '\0' ||
        !commit_may_change(&voting->commit, history_voters_index(replication->config.history))) {
        return "another change is under way: no majority has it on its disks yet";
    }
    const char *reason = add[0] == '\0' ? NULL : may_add(replication, add);
    if (reason == NULL && remove[0] != '\0') {
        reason = may_remove(replication, remove, add[0] != '\0');
    }
    if (reason != NULL) {
        return reason;
    }
    snprintf(voting->to_remove, sizeof(voting->to_remove), "%s", add[0] == '\0' ? "" : remove);
    write_change(replication, add, remove);
    return NULL;
}

/* "REPLACE: add, then remove"; "a removed leader goes on until the change is committed, then hands over". */
void voters_go_on(struct replication *replication) {
    struct voting *voting = replication->voting;
    const struct history *history = replication->config.history;
    bool is_settled = commit_may_change(&voting->commit, history_voters_index(history));
    if (is_settled && voting->to_remove[0] != '\0') {
        if (voters_find(history_voters(history), voting->to_remove) >= 0) {
            write_change(replication, "", voting->to_remove);
        }
        voting->to_remove[0] = '\0';
        return;
    }
    bool is_out = voters_find(history_voters(history), replication->follower.node_id) < 0;
    if (is_settled && is_out && voting->hand_over.phase == HAND_OVER_NONE) {
        replication_hand_over(replication, "", replication->config.election_timeout_ms);
    }
}
