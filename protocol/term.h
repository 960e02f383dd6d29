/* term.h: who leads a history, and for the how manieth time (journal: "Terms"). Pure.
 *
 * Each leader that continues a history begins a term, one above any that it knows, by the line TERM|n|nodeID.
 * Two terms are one only if number and node are the same. In other lines a term is one field, n-nodeID. Number
 * 0 is no term: a history that begins has none, and no line says it.
 */
#ifndef KVNODE_PROTOCOL_TERM_H
#define KVNODE_PROTOCOL_TERM_H

#include "protocol/limits.h"
#include "protocol/slice.h"

#include <stdint.h>

/* Of what others say: there is room for one more above it. */
#define TERM_NUMBER_MAX ((uint64_t)INT64_MAX)

enum { TERM_MAX_BYTES = 20 + 1 + LIMIT_NODE_ID_BYTES }; /* of its text */

struct term {
    uint64_t number;                       /* 0: none */
    char node_id[LIMIT_NODE_ID_BYTES + 1]; /* "" when there is none */
};

/* n-nodeID, n from 1 to TERM_NUMBER_MAX. *out is written only when it is one. */
bool term_parse(struct slice text, struct term *out);
/* Writes the text of a term that is one, no NUL; to has room for TERM_MAX_BYTES. Returns the number of bytes.
 */
size_t term_write(char *to, const struct term *term);
/* Negative, 0 or positive, as strcmp: by number, then by node. 0 only for the same term. */
int term_compare(const struct term *a, const struct term *b);

#endif
