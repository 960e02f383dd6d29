/* commit.h: which lines of a leader's history are committed, and which rounds of pings are confirmed: a decider
 * (Raft, 5.3, 5.4.2; Ongaro 2014, 6.4 for reads). Pure: positions and echoes go in, an index and a round come
 * out.
 *
 * "The committed index is the greatest index, at or after the leader's own TERM, that a majority of the voters
 * has durable." A leader outside the set does not count itself. A round is confirmed when a majority has echoed
 * a ping of it or of a later one: who led when the ping was sent led still, whatever ran before it.
 */
#ifndef KVNODE_CLUSTER_COMMIT_H
#define KVNODE_CLUSTER_COMMIT_H

#include "protocol/voters.h"

#include <stdint.h>

struct commit {
    char self[LIMIT_NODE_ID_BYTES + 1];
    struct voters voters;
    uint64_t term_index;           /* of the leader's own TERM */
    uint64_t durable[VOTERS_MOST]; /* of each voter, in this leader's history; 0: nothing is known */
    uint64_t heard[VOTERS_MOST];   /* the round that it has echoed */
    uint64_t index, round;         /* committed, confirmed; they never fall while this node leads */
    uint64_t asked;                /* the newest round of this process, in whatever term */
    uint64_t first_round;          /* of this term; an echo of an older one says nothing */
};

/* This node leads from its line term_index on. Zero before the first time. */
void commit_begin(struct commit *commit, const char *self, const struct voters *voters, uint64_t term_index);
/* The set in force is another one: what is known of those that stay is kept. */
void commit_set_voters(struct commit *commit, const struct voters *voters);
/* What a voter, self too, has durable; whoever is no voter is passed over. Each returns true when the committed
 * index has risen, or the confirmed round. */
bool commit_durable(struct commit *commit, const char *node_id, uint64_t index);
bool commit_echo(struct commit *commit, const char *node_id, uint64_t round);
/* A round for what has run until now; its pings are sent behind that. */
uint64_t commit_ask(struct commit *commit);
/* A round that was asked for in this term is not confirmed yet. */
bool commit_is_asking(const struct commit *commit);
/* VOTERS may be written: that of line voters_index is committed, and a line of this term is. */
bool commit_may_change(const struct commit *commit, uint64_t voters_index);

#endif
