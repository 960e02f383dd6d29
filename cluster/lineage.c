#include "cluster/lineage.h"

#include "protocol/line.h"

#include <assert.h>
#include <string.h>

void lineage_begin(struct lineage *lineage, const struct term *term, uint64_t index) {
    lineage->count = 1;
    lineage->terms[0].term = term == NULL ? (struct term){0} : *term;
    lineage->terms[0].from = index;
}

void lineage_add(struct lineage *lineage, const struct term *term, uint64_t index) {
    if (lineage->count == LINEAGE_TERMS) {
        lineage->count--;
        memmove(lineage->terms, lineage->terms + 1, lineage->count * sizeof(lineage->terms[0]));
    }
    lineage->terms[lineage->count].term = *term;
    lineage->terms[lineage->count++].from = index;
}

bool lineage_grow(struct lineage *lineage, const struct term *term, uint64_t index) {
    if (lineage->count == 0) {
        lineage_begin(lineage, term, index);
        return true;
    }
    if (index <= lineage->terms[lineage->count - 1].from || term_compare(term, lineage_last(lineage)) <= 0) {
        return false;
    }
    lineage_add(lineage, term, index);
    return true;
}

void lineage_write(const struct lineage *lineage, uint64_t index, struct buf *out) {
    const struct term *oldest = &lineage->terms[0].term;
    for (size_t i = 0; i < lineage->count && lineage->terms[i].from <= index; i++) {
        if (lineage->count > 1 || oldest->number > 0) {
            line_since(out, lineage->terms[i].from, &lineage->terms[i].term);
        }
    }
}

const struct term *lineage_last(const struct lineage *lineage) {
    assert(lineage->count > 0);
    return &lineage->terms[lineage->count - 1].term;
}

const struct term *lineage_at(const struct lineage *lineage, uint64_t index) {
    size_t i = lineage->count;
    while (i > 0 && lineage->terms[i - 1].from > index) {
        i--;
    }
    return i == 0 ? NULL : &lineage->terms[i - 1].term;
}

uint64_t lineage_next_term(const struct lineage *lineage, uint64_t index) {
    for (size_t i = 1; i < lineage->count; i++) {
        if (lineage->terms[i].from > index) {
            return lineage->terms[i].from;
        }
    }
    return UINT64_MAX;
}

enum lineage_side lineage_side(const struct lineage *lineage, uint64_t last_index, const struct term *term,
                               uint64_t index) {
    const struct term *here = lineage_at(lineage, index);
    if (index > last_index) {
        return term_compare(term, lineage_last(lineage)) == 0 ? LINEAGE_AHEAD : LINEAGE_OFF;
    }
    if (here != NULL) {
        return term_compare(term, here) == 0 ? LINEAGE_ON : LINEAGE_OFF;
    }
    int with_oldest = term_compare(term, &lineage->terms[0].term);
    return with_oldest < 0 ? LINEAGE_BEFORE : with_oldest == 0 ? LINEAGE_ON : LINEAGE_OFF;
}

uint64_t lineage_end_of(const struct lineage *lineage, uint64_t last_index, const struct term *term,
                        struct term *found) {
    size_t i = lineage->count;
    while (i > 0 && term_compare(&lineage->terms[i - 1].term, term) > 0) {
        i--;
    }
    *found = i == 0 ? (struct term){0} : lineage->terms[i - 1].term;
    return i == 0 ? 0 : i == lineage->count ? last_index : lineage->terms[i].from - 1;
}

/* A term has one leader, and its lines are the same wherever they are. Where the other has terms between that
 * this line has not, those that they share are older, and which of them is not said. */
uint64_t lineage_common(const struct lineage *lineage, uint64_t last_index, const struct term *term,
                        uint64_t index) {
    struct term found;
    uint64_t end = lineage_end_of(lineage, last_index, term, &found);
    return term_compare(&found, term) != 0 ? 0 : end < index ? end : index;
}
