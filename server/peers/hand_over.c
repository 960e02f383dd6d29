/* An elected leader leads no more, because it stops, or somebody wants another one (Ongaro 2014, 3.10):
 *
 *   writes are held --> the other one has all lines, all is committed, all that was held has left -->
 * TIMEOUT_NOW |                                                                                               |
 *        '-- too late, or ABORT: this node goes on leading                   writes are held on --> a leader is
 * followed, or it takes too long: they go where they go
 */
#include "server/peers/replication_internal.h"

#include <stdio.h>
#include <string.h>

static int64_t now_of(const struct replication *replication) { return loop_monotonic_ms(replication->loop); }

static uint64_t durable_at(const struct replication *replication, const char *node_id) {
    const struct commit *commit = &replication->voting->commit;
    int at = voters_find(&commit->voters, node_id);
    return at < 0 ? 0 : commit->durable[at];
}

/* The voter that has most, of those that can be told; NULL: there is none. */
static const char *find_best(const struct replication *replication) {
    const struct voters *voters = history_voters(replication->config.history);
    const char *best = NULL;
    for (size_t i = 0; i < voters->count; i++) {
        const char *id = voters->ids[i];
        if (strcmp(id, replication->follower.node_id) != 0 && control_stands(replication, id) &&
            (best == NULL || durable_at(replication, id) > durable_at(replication, best))) {
            best = id;
        }
    }
    return best;
}

const char *replication_hand_over(struct replication *replication, const char *node_id, int64_t timeout_ms) {
    struct replication_quorum quorum;
    if (!replication_quorum(replication, &quorum)) {
        return "this node leads no group that elects its leader";
    }
    struct hand_over *hand_over = &replication->voting->hand_over;
    if (hand_over->phase != HAND_OVER_NONE) {
        return "a failover is under way already";
    }
    const char *to = node_id[0] == '\0' ? find_best(replication) : node_id;
    if (to == NULL || strcmp(to, replication->follower.node_id) == 0) {
        return to == NULL ? "there is no other voter that could lead" : "this node leads already";
    }
    if (voters_find(history_voters(replication->config.history), to) < 0) {
        return "that node is not a voter";
    }
    if (!control_stands(replication, to)) {
        return "that node cannot be reached";
    }
    *hand_over = (struct hand_over){.phase = HAND_OVER_WAITS, .until_ms = now_of(replication) + timeout_ms};
    snprintf(hand_over->to, sizeof(hand_over->to), "%s", to);
    log_write(replication->config.log, LOG_INFO, "hand-over", "to=%s index=%llu committed=%llu", to,
              (unsigned long long)history_index(replication->config.history),
              (unsigned long long)quorum.committed_index);
    replication->config.hold_writes(replication->config.context, true);
    return NULL;
}

static void end(struct replication *replication, bool done, const char *text) {
    replication->voting->hand_over.phase = HAND_OVER_NONE;
    log_write(replication->config.log, done ? LOG_INFO : LOG_WARN, "hand-over-ends", "text=%s",
              log_quote(text));
    replication->config.hold_writes(replication->config.context, false);
    replication->config.on_handed_over(replication->config.context, done);
}

bool replication_hand_over_abort(struct replication *replication) {
    bool may = replication->voting != NULL && replication->voting->hand_over.phase == HAND_OVER_WAITS;
    if (may) {
        end(replication, false, "it was aborted");
    }
    return may;
}

enum hand_over_phase replication_hands_over(const struct replication *replication) {
    return replication->voting == NULL ? HAND_OVER_NONE : replication->voting->hand_over.phase;
}

static void try_now(struct replication *replication) {
    struct voting *voting = replication->voting;
    uint64_t index = history_index(replication->config.history);
    bool ready =
        voting->commit.index == index && durable_at(replication, voting->hand_over.to) == index &&
        (voting->hand_over.by_disk || replication->config.held_clients(replication->config.context) == 0);
    if (!replication_leads(replication)) {
        end(replication, false, "this node leads no more");
    } else if (ready) {
        voting->hand_over.phase = HAND_OVER_SAID;
        voting->hand_over.until_ms = now_of(replication) + 2 * replication->config.election_timeout_ms;
        election_hand_over(&voting->election, voting->hand_over.to, now_of(replication));
        voting_run(replication);
    } else if (now_of(replication) >= voting->hand_over.until_ms) {
        end(replication, false, "the other node has not caught up in time");
    }
}

/* "One whose journal has not moved for two timeouts, while a voter's has, hands over": what it has not answered
 * by then has an outcome that nobody is told. */
void hand_over_watch_disk(struct replication *replication) {
    struct voting *voting = replication->voting;
    uint64_t durable = replication->follower.durable_index;
    bool in_trouble = replication->config.in_trouble(replication->config.context);
    bool moves = durable != voting->seen_durable || durable >= history_index(replication->config.history);
    if (moves && !in_trouble) {
        voting->seen_durable = durable;
        voting->disk_moved_ms = now_of(replication);
    }
    const char *best = find_best(replication);
    bool others_go_on = best != NULL && (in_trouble ? durable_at(replication, best) >= durable
                                                    : durable_at(replication, best) > durable);
    if (now_of(replication) - voting->disk_moved_ms >= 2 * replication->config.election_timeout_ms &&
        others_go_on && voting->hand_over.phase == HAND_OVER_NONE) {
        log_write(replication->config.log, LOG_ERROR, "disk-stands-still", "durable=%llu index=%llu",
                  (unsigned long long)durable, (unsigned long long)history_index(replication->config.history));
        replication_hand_over(replication, best, replication->config.election_timeout_ms);
        voting->hand_over.by_disk = voting->hand_over.phase == HAND_OVER_WAITS;
    }
}

void hand_over_go_on(struct replication *replication) {
    struct hand_over *hand_over = &replication->voting->hand_over;
    if (hand_over->phase == HAND_OVER_WAITS) {
        try_now(replication);
    }
    if (hand_over->phase != HAND_OVER_SAID) {
        return;
    }
    if (replication->follower.leader_link != NULL || replication_leads(replication)) {
        end(replication, true, "another leader is there");
    } else if (now_of(replication) >= hand_over->until_ms) {
        end(replication, true, "no other leader has come yet");
    }
}
