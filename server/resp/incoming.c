#include "server/resp/incoming.h"

#include <stdlib.h>
#include <string.h>

enum {
    CR_LF_BYTES = 2,
    RESERVED_UNSEEN_BYTES = 2 << 20,
    RESERVED_TIMES = 16,
    /* A smaller one is as soon copied, to where the old value is; and what is read at once may hold several. */
    DUE_BYTES = 2 * CONN_SCRATCH_BYTES,
};

_Static_assert((int)DUE_BYTES >= (int)ENTRY_LENDABLE_BYTES, "room for borrowers is behind the value");
_Static_assert((int)CR_LF_BYTES <= (int)ENTRY_BORROWERS_BYTES,
               "the end of the argument is read to behind the value");

bool incoming_is_due(struct resp_pending_bulk bulk, struct slice in) {
    return bulk.bytes >= DUE_BYTES && bulk.bytes <= RESERVED_UNSEEN_BYTES + RESERVED_TIMES * in.len;
}

struct incoming *incoming_create(struct resp_pending_bulk bulk, struct slice in, struct slice key) {
    struct incoming *incoming = malloc(sizeof(*incoming));
    if (incoming == NULL || !entry_reserve(&incoming->reserve, key.len, bulk.bytes)) {
        free(incoming);
        return NULL;
    }
    struct slice come = slice_skip(in, bulk.at);
    char *to = (char *)incoming->reserve.value.ptr;
    memcpy(to, come.ptr, come.len);
    incoming->target = (struct conn_target){.to = to, .bytes = bulk.bytes + CR_LF_BYTES, .filled = come.len};
    incoming->detour = (struct resp_detour){bulk.at, slice_of(to, bulk.bytes + CR_LF_BYTES)};
    return incoming;
}

void incoming_destroy(struct incoming **incoming) {
    if (*incoming != NULL) {
        entry_reserve_deinit(&(*incoming)->reserve);
        free(*incoming);
        *incoming = NULL;
    }
}
