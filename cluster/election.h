/* election.h: who leads a group of voters: terms and votes: a decider (Raft: Ongaro and Ousterhout 2014, 5.2
 * and 5.4.1; Ongaro 2014, 9.6 for the question before the vote, 4.2.3 for not asking while a leader is
 * heard, 3.10 for the transfer).
 *
 *                 nothing heard for 1 to 2 timeouts            yes of a majority       yes of a majority
 *       FOLLOWER ------------------------------------> ASKING -----------------> STANDING -----------> LEADING
 *        ^  ^  '--- TIMEOUT_NOW ------------------------------------------------->  |                    |
 *        |  '------ a leader is heard; a greater number; the round is over <--------'                    |
 *        '--------- a greater number; no echo of a majority for a timeout; TIMEOUT_NOW was said <--------'
 *
 * ASKING is the phase "pre": nothing is kept for it, and nobody's term changes. STANDING is "real", or
 * "transfer".
 *
 * What must be on the disk before it is told is an action, ELECTION_KEEP; those behind it wait until it is
 * done. What must be done at once overtakes it: a link of a smaller term is closed before anything is answered
 * in the greater one (ELECTION_LEAVE, ELECTION_STOP), and no ACK and no SYNC leaves meanwhile
 * (election_is_settled).
 *
 * Where two stand in one term, and the third is dead, neither wins: who hears that another one has got a vote
 * gives its round up soon, and asks again after a short random while, which doubles.
 *
 * A node whose disk may have forgotten what it acknowledged is forgetful: it says so in its votes. "A candidate
 * wins with a majority of firm votes, or with the votes of all."
 *
 * No sockets, no disk; time arrives with each event, and decides only when to ask.
 */
#ifndef KVNODE_CLUSTER_ELECTION_H
#define KVNODE_CLUSTER_ELECTION_H

#include "cluster/history.h"

enum { ELECTION_TIMEOUT_MS = 600, ELECTION_LONGEST_WAIT_MS = 5000, ELECTION_DEAD_WAIT_MS = 100 };

enum election_phase { ELECTION_FOLLOWER, ELECTION_ASKING, ELECTION_STANDING, ELECTION_LEADING };

const char *election_phase_name(enum election_phase phase); /* "follower", "asking", "standing", "leading" */

/* What a node must not forget: meta. */
struct election_kept {
    uint64_t number;                         /* the greatest term that it knows */
    char voted_for[LIMIT_NODE_ID_BYTES + 1]; /* in that; "": nobody */
    bool forgetful;
};

enum election_action_type {
    ELECTION_SEND,  /* text, to that voter */
    ELECTION_KEEP,  /* kept goes to the disk; then election_kept */
    ELECTION_LEAVE, /* the leader's link, of a smaller term: it is closed, and nothing more of it is taken */
    ELECTION_LEAD,  /* this node has won term kept.number */
    ELECTION_STOP,  /* it leads no more; text says why */
};

enum { ELECTION_TEXT_BYTES = 256, ELECTION_ACTIONS = 64 };

struct election_action {
    enum election_action_type type;
    char to[LIMIT_NODE_ID_BYTES + 1];
    struct election_kept kept;
    char text[ELECTION_TEXT_BYTES]; /* SEND: a line, with its LF */
};

struct election_queue {
    struct election_action actions[ELECTION_ACTIONS];
    size_t first, count;
};

struct election_vote {
    bool yes, firm;
};

struct election {
    char node_id[LIMIT_NODE_ID_BYTES + 1];
    uint16_t group;
    int64_t timeout_ms;
    const struct history *history; /* its position, its voters */
    uint64_t random_state;
    struct election_kept kept; /* as it will be when all of KEEP is done */
    enum election_phase phase;
    enum line_phase asks;                 /* ASKING, STANDING: for which votes */
    char leader[LIMIT_NODE_ID_BYTES + 1]; /* of the term, that is heard; "": none */
    bool arriving;                        /* set by the owner: a state is on its way; no candidate meanwhile */
    bool proposes; /* set by the owner: forming.h says that it may stand while its history is empty */
    struct election_vote votes[VOTERS_MOST]; /* by the voters' places */
    struct voters asked;                     /* the set when the question was put */
    int64_t heard_ms;                        /* a leader; or this node began */
    int64_t ask_at_ms;            /* FOLLOWER: the next question; ASKING, STANDING: the round's end */
    int64_t wait_ms;              /* doubles with each round that fails */
    bool is_contested;            /* STANDING: somebody has voted for another one in this term */
    unsigned contests;            /* rounds that have ended so, one behind the other */
    int64_t echo_ms[VOTERS_MOST]; /* LEADING: of each voter, by history_voters */
    struct voters echoing;        /* the set that echo_ms is of */
    uint64_t firm_at;             /* forgetful: what a LEAD has named; UINT64_MAX: none has yet */
    struct election_queue at_once, in_order;
    bool waits; /* in_order: for the disk */
};

void election_init(struct election *election, const char *node_id, uint16_t group, int64_t timeout_ms,
                   const struct history *history, const struct election_kept *kept, uint64_t random,
                   int64_t now_ms);

/* The next thing to do; false: nothing, or not before election_kept. */
bool election_next(struct election *election, struct election_action *out);
/* The KEEP that was given out last is on the disk. */
void election_kept(struct election *election, int64_t now_ms);
/* Nothing of this term waits for the disk: SYNC and ACK may be said. */
bool election_is_settled(const struct election *election);

/* VOTE, VOTED or TIMEOUT_NOW, over the connection from that voter. */
void election_line(struct election *election, const char *from, const struct line *line, int64_t now_ms);

/* A connection to that voter stands: what was asked before may not have come. */
void election_linked(struct election *election, const char *node_id);

/* A LEAD of that node, which has proved who it is: its history and the term of its last line, which is its own.
 * True: it is taken, once election_is_settled. False: of a smaller term, or of another leader in this one. */
bool election_take_lead(struct election *election, const char *node_id, const struct position *position,
                        int64_t now_ms);
/* Anything from the leader whose link it is. */
void election_heard(struct election *election, int64_t now_ms);
/* The process of that node is no more: its connection was closed, and a new one refused. */
void election_gone(struct election *election, const char *node_id, int64_t now_ms);

/* Without waiting for longer: nobody else may lead yet. */
void election_ask_now(struct election *election, int64_t now_ms);

/* Somebody wants it: at once, though a leader is heard. False: it may not stand now, or does. */
bool election_stand_now(struct election *election, int64_t now_ms);

/* LEADING: a ping of this node was echoed by that voter. */
void election_echo(struct election *election, const char *node_id, int64_t now_ms);
/* LEADING: nothing more is written here, and that voter has all of it: it stands at once. */
void election_hand_over(struct election *election, const char *node_id, int64_t now_ms);

/* A forgetful node has the line of the leader whose LEAD it has taken durable up to that index: all of what
 * that named, and it is firm again. */
void election_durable(struct election *election, uint64_t index);

/* Every 50 ms or so. */
void election_tick(struct election *election, int64_t now_ms);

#endif
