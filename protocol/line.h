/* line.h: the replication protocol's lines (specification, "Replication Protocol"; design, section 4).
 * Pure codec.
 *
 * A line is VERB|field|... and LF; a CR before the LF is ignored. History lines:
 *
 *   REPLICATE|key|value|version      the key ends at the first '|', the version starts after the last one
 *   REPLICATEX|key|value|version|timestamp|deadline      percent-encoded, where the plain form can't say it
 *   PATCHX|key|offset|bytes|version|timestamp            these bytes stand at offset, zeros before them where
 *                                    the value was shorter; its deadline stays
 *   DELETE|key|version     DELETEX|key|version     EXPIREX|key|deadline
 *   FLUSH|floor            FLOOR|floor             CLOCK|ms                BATCH|n
 *   TERM|n|nodeID          from here on nodeID leads, for the nth time (term.h)
 *   VOTERS|id,id,id        from here on they elect the leader (voters.h)
 *   ACKS|leader or quorum  from here on a reply waits for that
 *
 * Link lines (never in the history):
 *
 *   LEAD|nodeID|groupID|historyID|index[|term[|lz4]]     SYNC|nodeID|historyID|index[|term[|lz4]]
 *   CONTINUE|historyID|index     FULL|historyID|index|floor[|term[|common|its term]]
 *   PULL[|historyID|index[|term]]                  SINCE|index|term     END|count|index
 *   PING|index[|round[|committed]]     ACK|index[|durable[|round]]     ERROR|reason     WHO
 *   ANNOUNCE|...     ENDPOINTS|...
 *   NODE|nodeID     MESSAGE|channel|text (percent-encoded)
 *
 * Between voters (voters' terms are numbers; phase: pre, real, transfer):
 *
 *   VOTE|candidate|groupID|historyID|number|lastTerm|lastIndex|phase
 *   VOTED|voter|number|phase|yes or no|firm or forgetful         TIMEOUT_NOW|number     TRANSFER|nodeID
 *
 * Between nodes that want voters (cluster/forming.h; N: how many, 0: it wants none):
 *
 *   VOTER|nodeID|groupID|N|historyID|formingID     its history, and the one that it has agreed to; "-": none
 *   FORM|groupID|N|id,id,id|historyID              let these N begin that history
 *   FORMED|nodeID|historyID|yes                    FORMED|nodeID|historyID|no|reason (percent-encoded)
 *   UNFORM|historyID                               it is withdrawn
 *
 * A term is n-nodeID, of the line at that index; none has no field ("-" in SINCE and VOTE, and before another
 * field). SINCE comes behind FULL: that term began at that index, or before; the oldest first. lz4: what the
 * leader says behind SYNC may be, and is when both say so, a stream of LZ4 frames; any other word is of the
 * future.
 *
 * Percent-encoding: '%', '|', LF, CR and NUL are written as %XX, upper case; any byte may be read escaped, in
 * either case; a lone '%' is malformed. In the bytes of a PATCHX, which are often zeros, a NUL is written as
 * '~', and a '~' as %7E: PATCHX|bits|12|~~A~|7|1796070000000. Fields behind the last one of a link line are of
 * the future, and ignored; a history line has none: it would mean another change. What was not written by
 * kvnode is read as it is meant: a CR or NUL that stands in a field unescaped is a byte of it.
 */
#ifndef KVNODE_PROTOCOL_LINE_H
#define KVNODE_PROTOCOL_LINE_H

#include "protocol/buf.h"
#include "protocol/limits.h"
#include "protocol/num.h"
#include "protocol/term.h"
#include "protocol/voters.h"

#include <stdint.h>

enum { HISTORY_ID_DIGITS = NUM_HEX_DIGITS, LINE_REASON_BYTES = 200 /* of FORMED */ };

/* Timestamps and deadlines are below this: the store keeps them in 48 bits. */
#define LINE_TIME_LIMIT_MS ((int64_t)1 << 48)

enum line_verb {
    LINE_REPLICATE, /* both forms; escaped tells them apart */
    LINE_DELETE,    /* both forms */
    LINE_PATCH,     /* PATCHX */
    LINE_EXPIRE,    /* EXPIREX */
    LINE_FLUSH,
    LINE_FLOOR,
    LINE_LAST_OF_CHANGES = LINE_FLOOR, /* what a BATCH may hold */
    LINE_CLOCK,
    LINE_BATCH,
    LINE_TERM,
    LINE_VOTERS,
    LINE_ACKS,
    LINE_LAST_OF_HISTORY = LINE_ACKS,
    LINE_LEAD,
    LINE_SYNC,
    LINE_CONTINUE,
    LINE_FULL,
    LINE_SINCE,
    LINE_END,
    LINE_PING,
    LINE_ACK,
    LINE_PULL,
    LINE_ERROR,
    LINE_WHO,
    LINE_ANNOUNCE,  /* text is the whole line, for datagram_decode */
    LINE_ENDPOINTS, /* likewise */
    LINE_NODE,      /* who says so is this node */
    LINE_MESSAGE,   /* key is the channel, value the text */
    LINE_VOTE,
    LINE_FIRST_OF_VOTERS = LINE_VOTE, /* what they alone say */
    LINE_VOTED,
    LINE_TIMEOUT_NOW,
    LINE_TRANSFER, /* to the leader: that node wants to lead */
    LINE_VOTER,
    LINE_FORM,
    LINE_FORMED,
    LINE_UNFORM,
};

enum line_phase { LINE_PHASE_PRE, LINE_PHASE_REAL, LINE_PHASE_TRANSFER };

struct line {
    enum line_verb verb;
    bool escaped;         /* REPLICATE, DELETE: it was the X form; EXPIRE and PATCH have no other */
    bool yes;             /* VOTED, FORMED; ACKS: quorum; FULL: count and value are said */
    bool forgetful;       /* VOTED */
    uint8_t phase;        /* VOTE, VOTED: enum line_phase */
    struct slice key;     /* REPLICATE, PATCH, DELETE, EXPIRE, MESSAGE: decoded */
    struct slice value;   /* REPLICATE, PATCH (its bytes), MESSAGE: decoded; FULL: the term of line count */
    uint64_t offset;      /* PATCH: of value; both together no more than LIMIT_VALUE_BYTES */
    uint64_t version;     /* REPLICATE and PATCH (at least 1), DELETE; FLUSH, FLOOR, FULL: the floor */
    int64_t timestamp_ms; /* REPLICATEX; PATCHX; CLOCK. 0 in REPLICATE: the history's clock says it */
    int64_t deadline_ms;  /* REPLICATEX, EXPIREX; 0: none */
    uint64_t index;       /* LEAD, SYNC, CONTINUE, FULL, SINCE, END, PING, ACK, PULL, VOTE: in the history */
    uint64_t count; /* BATCH: lines, 1 to LIMIT_BATCH_LINES; ACK: index on the disk, 0: nothing is said of it;
                       END: keys; TERM, VOTE, VOTED, TIMEOUT_NOW: its number, at least 1; PING: the round, 0:
                       none; VOTER, FORM: voters, VOTERS_MOST at most; FULL: the last line that the follower
                       may have in common with the leader */
    uint64_t round; /* ACK: that was heard last, 0: none */
    uint64_t committed_index;              /* PING: 0: nothing is said of it */
    char node_id[LIMIT_NODE_ID_BYTES + 1]; /* LEAD, SYNC, NODE, TERM, VOTE, VOTED, TRANSFER, VOTER, FORMED */
    uint16_t group;                        /* LEAD, VOTE, VOTER, FORM */
    uint64_t history_id; /* LEAD, SYNC, CONTINUE, FULL, PULL, VOTE, VOTER, FORM, FORMED, UNFORM; 0: nowhere ("-"
                            in SYNC and VOTER, PULL alone) */
    uint64_t forming_id; /* VOTER; 0: none */
    bool lz4;            /* LEAD: it is offered; SYNC: it is taken */
    struct slice text; /* ERROR, FORMED: the reason; VOTERS, FORM: what voters_parse takes; ANNOUNCE, ENDPOINTS:
                        * the line; LEAD, SYNC, FULL, SINCE, PULL: the term as term_parse takes it, empty when
                        * there is none */
};

enum line_result { LINE_OK, LINE_UNKNOWN, LINE_MALFORMED };

/* Decodes one line, given without its LF (a CR at the end is ignored). Slices of *out point into bytes, or into
 * scratch where something had to be unescaped; scratch is reset first and must live as long as *out is used. On
 * LINE_MALFORMED *reason is a static text. Keys and values over the limits, numbers out of range, timestamps or
 * deadlines of LINE_TIME_LIMIT_MS or more are malformed. */
enum line_result line_decode(struct slice bytes, struct buf *scratch, struct line *out, const char **reason);

/* False: what has arrived of a line is not, and will never be, one with a verb that is known. */
bool line_may_be_known(struct slice part);

/* The term that the line names, or, TERM, begins; of number 0 when it names none. */
struct term line_term_of(const struct line *line);
/* FULL: of the line that may be common. */
struct term line_common_term_of(const struct line *line);

/* Appending encoders; each writes one whole line with its LF. line_replicate takes the plain form when
 * deadline_ms is 0 and the plain form can say key and value; line_replicate_x always the X form. */
bool line_is_plain(struct slice key, struct slice value); /* no '|' in the key; no LF, CR, NUL in either */
void line_replicate(struct buf *out, struct slice key, struct slice value, uint64_t version,
                    int64_t timestamp_ms, int64_t deadline_ms);
void line_replicate_x(struct buf *out, struct slice key, struct slice value, uint64_t version,
                      int64_t timestamp_ms, int64_t deadline_ms);
void line_patch(struct buf *out, struct slice key, uint64_t offset, struct slice bytes, uint64_t version,
                int64_t timestamp_ms);
size_t line_patch_bytes(struct slice key, struct slice bytes); /* at most so long is that line */
void line_delete(struct buf *out, struct slice key, uint64_t version);
void line_expire(struct buf *out, struct slice key, int64_t deadline_ms);
void line_flush(struct buf *out, uint64_t floor);
void line_floor(struct buf *out, uint64_t floor);
void line_clock(struct buf *out, int64_t now_ms);
void line_batch(struct buf *out, uint64_t count);
void line_term(struct buf *out, const struct term *term); /* one that is one */

/* term: NULL, or of number 0: no field for it, or "-" where lz4 follows. */
void line_lead(struct buf *out, const char *node_id, uint16_t group, uint64_t history_id, uint64_t index,
               const struct term *term, bool lz4);
void line_sync(struct buf *out, const char *node_id, uint64_t history_id, uint64_t index,
               const struct term *term, bool lz4); /* history 0: "-|0" */
void line_continue(struct buf *out, uint64_t history_id, uint64_t index);
void line_full(struct buf *out, uint64_t history_id, uint64_t index, uint64_t floor, const struct term *term);
void line_full_common(struct buf *out, uint64_t history_id, uint64_t index, uint64_t floor,
                      const struct term *term, uint64_t common_index, const struct term *common_term);
void line_since(struct buf *out, uint64_t index, const struct term *term);
void line_end(struct buf *out, uint64_t count, uint64_t index);
void line_ping(struct buf *out, uint64_t index);
void line_ack(struct buf *out, uint64_t index);
void line_ack_durable(struct buf *out, uint64_t index, uint64_t durable_index); /* ACK|index|durable */
/* round 0: as line_ack_durable. */
void line_ack_round(struct buf *out, uint64_t index, uint64_t durable_index, uint64_t round);
void line_ping_round(struct buf *out, uint64_t index, uint64_t round);
void line_ping_committed(struct buf *out, uint64_t index, uint64_t round, uint64_t committed_index);
void line_voters(struct buf *out, const struct voters *voters);
void line_acks(struct buf *out, bool quorum);
void line_vote(struct buf *out, const char *node_id, uint16_t group, uint64_t number, enum line_phase phase,
               uint64_t history_id, uint64_t last_index, const struct term *last_term);
void line_voted(struct buf *out, const char *node_id, uint64_t number, enum line_phase phase, bool yes,
                bool forgetful);
void line_timeout_now(struct buf *out, uint64_t number);
void line_transfer(struct buf *out, const char *node_id);
void line_voter(struct buf *out, const char *node_id, uint16_t group, size_t wanted, uint64_t history_id,
                uint64_t forming_id);
void line_form(struct buf *out, uint16_t group, const struct voters *voters, uint64_t history_id);
void line_formed(struct buf *out, const char *node_id, uint64_t history_id, bool yes,
                 struct slice reason); /* of no: at most LINE_REASON_BYTES */
void line_unform(struct buf *out, uint64_t history_id);
void line_pull(struct buf *out, uint64_t history_id, uint64_t index,
               const struct term *term); /* history 0: nothing is named */
void line_node(struct buf *out, const char *node_id);
void line_message(struct buf *out, struct slice channel, struct slice text);
void line_error(struct buf *out, const char *reason); /* control characters become spaces */

#endif
