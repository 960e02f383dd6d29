/* forming.h: how a group that has no voters comes to its first ones: a decider.
 *
 *             N that want N are here, and nobody new for            all N have
 *             a second; this one has the smallest id                agreed
 *    WAITING ---------------------------------------> PROPOSING ----------------> AGREED   proposer
 *     |  ^ ^                                              |                         |
 *     |  | '-- a no; not all in 5 s; another set, or a ---'                         |  there is a history
 *     |  |     history is seen; this node is restarted                              v
 *     |  '---- UNFORM ---- AGREED   acceptor ---------------------------------->   OVER
 *     '--------- FORM -------^
 *
 * The proposer says FORM when its own agreement is on its disk, and goes on when all the others have said that
 * theirs is, too. Until then it may withdraw, and only then: one that finds after a restart that it had not got
 * so far withdraws. So a set whose proposer has begun is agreed to by all of it, for good, and of any two sets
 * that have a node in common at most one begins.
 *
 * Whoever shows that it has agreed to something that this node does not know is told that it was withdrawn: it
 * takes that from the proposer alone, and a proposer knows what it has not withdrawn. So nobody has to remember
 * what was.
 *
 * "Two halves of a network that form twice are the operator's error."
 *
 * No sockets, no disk; time arrives with each event.
 */
#ifndef KVNODE_CLUSTER_FORMING_H
#define KVNODE_CLUSTER_FORMING_H

#include "protocol/line.h"

enum {
    FORMING_QUIET_MS = 1000,     /* nobody new has come for so long */
    FORMING_ANSWER_MS = 5000,    /* all have to agree within */
    FORMING_LEAST_WAIT_MS = 500, /* what was withdrawn is tried again after a random moment */
    FORMING_LONGEST_WAIT_MS = 2000,
};

enum forming_phase { FORMING_WAITING, FORMING_PROPOSING, FORMING_AGREED, FORMING_OVER };

/* What a node must not forget: meta. */
struct forming_kept {
    uint64_t history_id;  /* that it has agreed to begin; 0: none */
    struct voters voters; /* of that; who proposes has the smallest id */
    bool proposer;        /* this node is it */
    bool complete;        /* and knows that all have agreed */
};

enum forming_action_type {
    FORMING_SEND,  /* text, a line with its LF, to that node, if it is there */
    FORMING_KEEP,  /* kept goes to the disk, synced; then forming_done. text: why something is withdrawn, or ""
                    */
    FORMING_BEGIN, /* kept.history_id begins here, empty, with kept.voters: from now on this node may vote; if
                      kept.proposer, it alone may stand while its history is empty (election.h, proposes) */
    FORMING_DROP,  /* that was withdrawn: it has no history again */
};

enum { FORMING_TEXT_BYTES = 512, FORMING_ACTIONS = 32, FORMING_NEIGHBOURS = 64 };

struct forming_action {
    enum forming_action_type type;
    char to[LIMIT_NODE_ID_BYTES + 1];
    struct forming_kept kept;
    char text[FORMING_TEXT_BYTES];
};

/* What another node has said last of itself. */
struct forming_neighbour {
    char id[LIMIT_NODE_ID_BYTES + 1];
    bool here; /* a connection to it stands */
    uint16_t group;
    uint64_t wanted, history_id, forming_id;
    uint64_t told; /* it knows that this is withdrawn */
};

struct forming {
    char node_id[LIMIT_NODE_ID_BYTES + 1];
    uint16_t group;
    size_t wanted; /* voters; 0: it forms none, and agrees to none */
    uint64_t random_state;
    enum forming_phase phase;
    struct forming_kept kept; /* as it will be when all of KEEP is done */
    uint64_t history_id;      /* OVER: this node's */
    bool agreed[VOTERS_MOST]; /* PROPOSING: by the voters' places */
    int64_t new_ms;           /* somebody new has come */
    int64_t until_ms;         /* WAITING: nothing is proposed before; PROPOSING: all agree before */
    struct forming_neighbour neighbours[FORMING_NEIGHBOURS];
    size_t neighbour_count;
    struct forming_action actions[FORMING_ACTIONS]; /* a ring */
    size_t first, count;
    bool waits; /* for the disk */
};

/* kept: what the disk has. A node that has a history calls forming_end before the first forming_next. What was
 * agreed to stays there when the history has begun: a power cut may take that away again, and not the
 * agreement. */
void forming_init(struct forming *forming, const char *node_id, uint16_t group, size_t wanted,
                  const struct forming_kept *kept, uint16_t random, int64_t now_ms);

/* The next thing to do; false: nothing, or not before forming_done. */
bool forming_next(struct forming *forming, struct forming_action *out);
/* The KEEP that was given out last is on the disk. */
void forming_done(struct forming *forming, int64_t now_ms);

/* What VOTER says as formingID; its historyID is none while the history is empty. It is said again to all
 * whenever either changes. */
uint64_t forming_id(const struct forming *forming);

/* That node's VOTER has come over a connection that identifies it: with each connection, and whenever it says
 * so again. */
void forming_peer(struct forming *forming, const char *node_id, const struct line *voter, int64_t now_ms);
/* No connection to that node stands. */
void forming_peer_gone(struct forming *forming, const char *node_id);
/* FORM, FORMED or UNFORM, over a connection that identifies that node. */
void forming_line(struct forming *forming, const char *from, const struct line *line, int64_t now_ms);

/* This node has a history now that is not empty, that one: a leader's state or line has come, or its own. */
void forming_end(struct forming *forming, uint64_t history_id, int64_t now_ms);

/* Every 50 ms or so. */
void forming_tick(struct forming *forming, int64_t now_ms, int64_t unix_ms);

#endif
