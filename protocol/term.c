#include "protocol/term.h"

#include "protocol/datagram.h"
#include "protocol/num.h"

#include <assert.h>

bool term_parse(struct slice text, struct term *out) {
    struct slice node_id = text;
    struct slice digits = slice_take_until(&node_id, '-'); /* what follows may hold more of them */
    uint64_t number;
    if (!num_parse_u64(digits, &number) || number == 0 || number > TERM_NUMBER_MAX ||
        !datagram_valid_node_id(node_id)) {
        return false;
    }
    *out = (struct term){.number = number};
    memcpy(out->node_id, node_id.ptr, node_id.len);
    return true;
}

size_t term_write(char *to, const struct term *term) {
    size_t id_bytes = strlen(term->node_id);
    assert(term->number > 0 && datagram_valid_node_id(slice_of(term->node_id, id_bytes)));
    size_t n = num_write_u64(to, term->number);
    to[n++] = '-';
    memcpy(to + n, term->node_id, id_bytes);
    return n + id_bytes;
}

int term_compare(const struct term *a, const struct term *b) {
    if (a->number != b->number) {
        return a->number < b->number ? -1 : 1;
    }
    return strcmp(a->node_id, b->node_id);
}
