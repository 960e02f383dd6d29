/* lineage.h: the terms of a history: who led it from which line on. Pure; embedded by value.
 *
 *     terms      -        1-a        2-b            index 12 is of term 1-a, 20 and all behind it of 2-b
 *     index   0 .. 9   10 .. 19   20 ...
 *
 * A term has one leader, and a leader one line: so two nodes that name the same term at the same index have the
 * same lines up to there (Raft's log matching), and of lines that were written by two leaders one can tell
 * where they part. Terms grow along a history. Of the oldest ones, and what was before a state that was taken,
 * nothing is known.
 */
#ifndef KVNODE_CLUSTER_LINEAGE_H
#define KVNODE_CLUSTER_LINEAGE_H

#include "cluster/position.h"
#include "protocol/buf.h"

enum { LINEAGE_TERMS = 64 };

struct lineage {
    struct {
        struct term term;
        uint64_t from; /* the first line that is known to be of it; behind the first of them: its TERM */
    } terms[LINEAGE_TERMS];
    size_t count; /* at least 1 */
};

/* Where what is known begins: line index is of this term. NULL: of none. */
void lineage_begin(struct lineage *lineage, const struct term *term, uint64_t index);
/* Line index is its TERM; it is behind all that is known. Of too many the oldest is forgotten. */
void lineage_add(struct lineage *lineage, const struct term *term, uint64_t index);

/* One of the lines SINCE that tell a lineage (of count 0 before the first). False: it does not go on from those
 * before. */
bool lineage_grow(struct lineage *lineage, const struct term *term, uint64_t index);
/* The lines SINCE that tell all terms up to that of line index; none where no term has ever begun. */
void lineage_write(const struct lineage *lineage, uint64_t index, struct buf *out);

const struct term *lineage_last(const struct lineage *lineage);
/* The index of the first TERM behind line index; UINT64_MAX: there is none. */
uint64_t lineage_next_term(const struct lineage *lineage, uint64_t index);
/* Of line index. NULL: it is before what is known. */
const struct term *lineage_at(const struct lineage *lineage, uint64_t index);

/* Where a line that ends with this term and index is, as seen from one that ends at last_index. */
enum lineage_side {
    LINEAGE_ON,     /* it ends on this one: a beginning of it */
    LINEAGE_BEFORE, /* it ends before what is known, and may be a beginning of this one */
    LINEAGE_AHEAD,  /* this one is a beginning of it */
    LINEAGE_OFF, /* it may have lines that this one lacks: it has parted from it, or goes on in a later term */
};
enum lineage_side lineage_side(const struct lineage *lineage, uint64_t last_index, const struct term *term,
                               uint64_t index);

/* Of the term, or, where this line has none of it, of the last one before it: which that is, in *found, and its
 * last line here. Line 0, of no term: nothing so old is known. */
uint64_t lineage_end_of(const struct lineage *lineage, uint64_t last_index, const struct term *term,
                        struct term *found);
/* Up to where this line surely is another one's, of whom lineage_end_of, asked for this one's last term, has
 * said (term, index); 0: nothing is sure. */
uint64_t lineage_common(const struct lineage *lineage, uint64_t last_index, const struct term *term,
                        uint64_t index);

#endif
