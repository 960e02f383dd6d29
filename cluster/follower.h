/* follower.h: what a node does with the lines that arrive on its replication port: a decider.
 *
 * One struct follower a node: its data's position in its leader's history, which is that of the node's own
 * history (the leader's lines go into it as they are), and which link is the leader's. One struct
 * follower_link an accepted connection; the first line says what it is:
 *
 *           LEAD             proved, SYNC is sent
 *      NEW ------> PROVING ----> SYNCING <---------------------.
 *       | |  NODE    ^  |         | | |  FULL          END     | (a second FULL, PULL)
 *       | '----------'  |         | | '-----> FULL ---------> STREAM <--.
 *       |               | proved  | |  CONTINUE                 ^       | history lines: applied, kept
 *       |               '--> NODE | '---------------------------'-------'
 *       | bare REPLICATE          '-- PULL: this node's state is sent, FULL ... END; still SYNCING
 *       '---> BARE
 *
 * "The first line must be one that a peer begins with": a web page can make a browser send lines to this port.
 * Who says LEAD, or NODE (MESSAGEs follow), is believed when the node of that id has answered WHO at the
 * address that it announces: PROVING; nothing more is read of the link meanwhile.
 *
 * A node that led and gave way to an older leader leads again when that one does not come (follower_tick).
 *
 * No sockets, no clock: lines and the time go in; answers are appended to out, the data is changed through
 * group_data, and a verdict says what the driver has to do.
 */
#ifndef KVNODE_CLUSTER_FOLLOWER_H
#define KVNODE_CLUSTER_FOLLOWER_H

#include "cluster/group_data.h"
#include "cluster/history.h"
#include "cluster/position.h"
#include "protocol/datagram.h"
#include "protocol/line.h"

enum {
    LINK_TIMEOUT_MS = 5000, /* without a line: the link is dead */
    FOLLOWER_ACK_EVERY_MS = 100,
    FOLLOWER_ACK_IDLE_MS = 1500,     /* a long line is on its way and no PING comes: this node lives */
    FOLLOWER_PROOF_WITHIN_MS = 4000, /* of who it is, announcement and all; a leader waits longer for SYNC */
    FOLLOWER_LEADS_AGAIN_AFTER_MS = 10000, /* without the leader it gave way to, who has a try every 2 s */
};

enum follower_phase {
    FOLLOWER_NEW,
    FOLLOWER_BARE,
    FOLLOWER_PROVING,
    FOLLOWER_NODE,
    FOLLOWER_SYNCING, /* from here on it is, or was, the leader's link */
    FOLLOWER_FULL,
    FOLLOWER_STREAM,
};

enum follower_verdict {
    FOLLOWER_GO_ON,
    FOLLOWER_CLOSE,      /* out may hold an ERROR line to be sent before */
    FOLLOWER_FACTS,      /* WHO was asked: send ANNOUNCE and ENDPOINTS as lines */
    FOLLOWER_MESSAGE,    /* another node's client has published something: the line says what */
    FOLLOWER_SEND_STATE, /* PULL was asked: send what link->pulled says; follower_state_position stays meanwhile
                          */
    FOLLOWER_PROVE,      /* ask the node link->peer_id WHO, at the address that it announces or will announce,
                            and say follower_link_proof; read no more of the link before */
    FOLLOWER_ELECT,      /* this group votes: may link->leads_from be followed? (election_take_lead) If so set
                            link->is_elected, and say follower_link_proof again; else refuse the link */
    FOLLOWER_VOTING,     /* what a voter says to another one: the line */
    FOLLOWER_STEP_DOWN,  /* this node leads, but who said LEAD has an older history: stop leading, with
                            follower_follow, and say follower_link_proof again */
};

/* What a leader that has asked PULL gets: the state, FULL ... END; or, where it is at the beginning of what
 * this node has, and the backlog goes back so far, the tail of the history: CONTINUE ... END. */
struct follower_pulled {
    bool tail;
    uint64_t index; /* of its last line */
};

struct follower_link {
    enum follower_phase phase;
    bool began;                            /* its first line has come */
    bool leads;                            /* it has said LEAD, not NODE */
    bool is_elected;                       /* set by the owner: see FOLLOWER_ELECT */
    char peer_id[LIMIT_NODE_ID_BYTES + 1]; /* from LEAD or NODE on */
    struct position leads_from;            /* that LEAD named */
    bool offers_lz4;                       /* so did LEAD */
    bool lz4;                              /* SYNC has taken it: what comes from here on are LZ4 frames */
    uint64_t history_id;                   /* that LEAD or FULL named */
    struct term full_term;                 /* of the last line, while a state arrives */
    bool joins; /* set by its owner: a state that arrives drops nothing that is here */
    struct follower_pulled pulled;
    uint64_t full_floor;
    int64_t clock_ms; /* BARE: what its CLOCK lines said */
    int64_t last_line_ms, last_ack_ms;
    uint64_t acked_index, acked_durable;
    uint64_t leader_index; /* the newest the leader has told */
    uint64_t batch_left;   /* lines still missing of a BATCH */
    uint64_t batch_count;
    struct buf batch; /* its lines so far, BATCH itself too, each with LF */
    /* Applied, and not in the history yet: in the caller's input, to be copied at once. */
    struct slice run;
    uint64_t run_lines;
    uint64_t unknown; /* lines of its history whose verb is of the future */
};

struct follower {
    struct history *history; /* its id and index are the position of the data */
    struct group_data data;
    int64_t unix_offset_ms;  /* Unix time is the time of an event and this; kept by the driver */
    int64_t clock_ms;        /* of the history that is followed, at the line that was applied last */
    struct lineage arriving; /* of the state that arrives: what its SINCEs, VOTERS and ACKS have said */
    struct voters arriving_voters;
    bool arriving_quorum;
    uint64_t overlaid_by;    /* 0, or the history whose state began and did not end: it lies over the data of
                                position (or lines were lost): good enough to be taken, not to be continued */
    struct term overlaid_in; /* overlaid_by's term then: in that one its leader has all of this node's data */
    struct position had_by;  /* the history and term of a leader that would have gone on from the position: it
                                has  the data of that; history 0: none */
    struct follower_link *leader_link; /* NULL: none stands */
    struct position gave_way; /* history 0, or where it stopped leading: the leader that it gave way to has not
                                 brought its state yet */
    int64_t waits_since_ms;   /* for that leader */
    uint64_t lines_received, lines_unknown, lines_malformed, lines_refused, full_syncs, partial_syncs;
    char node_id[LIMIT_NODE_ID_BYTES + 1];
    bool votes; /* its group elects its leader (election.h), who says before follower_link_proof whom to follow
                 */
    bool takes_lz4;         /* when a leader offers it; kept by the driver, who reads the frames */
    bool keeps;             /* this node has a disk; kept by the driver, as the next one */
    uint64_t durable_index; /* of its history: what is as safe there as it has to be. 0 from a state's END on,
                               until the driver has asked again */
    bool leading;           /* this node is a leader now, and writes the history */
    bool own_history; /* the position is in a history of this node's own: of bare lines, or of a part of a state
                         on top of nothing */
    bool has_state; /* it has had its group's state, whole, since the start: a leader's, its own when it led, or
                       what a peer that says no LEAD gave to a node that had nothing */
    uint16_t group;
    uint16_t random; /* for the id of a history of this node's own; kept by the driver */
};

void follower_init(struct follower *follower, const char *node_id, uint16_t group, struct history *history,
                   const struct group_data *data);
/* From now on this node follows; what it has is where its history is. */
void follower_follow(struct follower *follower);
void follower_lead(struct follower *follower);
struct position follower_position(const struct follower *follower);
/* What FULL and END say in answer to PULL. Not what SYNC said, when the data is a mixture, of which no history
 * knows: then it is index 0 of the history that lies on top. */
struct position follower_state_position(const struct follower *follower);
/* What history_write_context says of that position; of a mixture, nothing. */
void follower_write_state_context(const struct follower *follower, struct buf *out);
/* Its data is what a leader's history says, no more and no less. */
bool follower_is_clean(const struct follower *follower);

void follower_link_init(struct follower_link *link, int64_t now_ms);
/* The connection is gone. */
void follower_link_deinit(struct follower_link *link, struct follower *follower);

/* One line without its LF, which stands behind it: decoded into *line, whose slices live as long as bytes and
 * scratch. What is applied of the history is copied into this node's own by follower_link_keep, a whole run of
 * lines at once: bytes stay where they are until then. */
enum follower_verdict follower_link_line(struct follower_link *link, struct follower *follower,
                                         struct slice bytes, int64_t now_ms, struct buf *scratch,
                                         struct line *line, struct buf *out);

/* After a run of lines; needless when the verdict on the last one was CLOSE. */
void follower_link_keep(struct follower_link *link, struct follower *follower);

/* PROVING: what the node link->peer_id has answered to WHO; NULL: nothing. GO_ON, STEP_DOWN, or CLOSE. */
enum follower_verdict follower_link_proof(struct follower_link *link, struct follower *follower,
                                          const struct datagram *announce, int64_t now_ms, struct buf *out);

/* Every 50 ms or so, and after a run of lines: ACK when due; FOLLOWER_CLOSE when the leader was silent too
 * long, when another link has taken this one's place, or when the proof has not come in time. */
enum follower_verdict follower_link_tick(struct follower_link *link, struct follower *follower, int64_t now_ms,
                                         struct buf *out);

/* ACK at once: what is durable here has grown, and who leads counts it (commit.h). Nothing but in the stream.
 */
void follower_link_ack(struct follower_link *link, struct follower *follower, int64_t now_ms, struct buf *out);

/* Part of a line that is still on its way has arrived: who sends it lives. CLOSE: it is the first one, and will
 * not be a peer's; or it is long already, and would be refused when it is whole. */
enum follower_verdict follower_link_part(struct follower_link *link, struct follower *follower,
                                         struct slice part, int64_t now_ms, struct buf *out);

/* What has come on a link with lz4 is no LZ4 frame, or more than a line may have: CLOSE. */
enum follower_verdict follower_link_unreadable(struct follower *follower, const char *reason, struct buf *out);

/* Every 50 ms or so. True: this node has to lead again. other_leads: another leader of the group is known to
 * live. */
bool follower_tick(struct follower *follower, bool other_leads, int64_t now_ms);

/* The peer's silence counts from at_ms on: this side was not listening before. */
void follower_link_heard(struct follower_link *link, int64_t at_ms);

bool follower_linked(const struct follower *follower); /* a leader's link stands and its stream or state runs */

#endif
