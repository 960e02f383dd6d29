/* listing.h: GET /keys: the keys of this node, streamed in slices of a background task.
 *
 * The list is cut into pages by limit=, exactly; a page that has more behind it says "cursor", which the next
 * request gives back. A key that is there from the first page to the last is listed at least once; within a
 * page no key is listed twice. A cursor does not hold anything in the node: it never expires, and may lead to
 * an empty page.
 *
 * Cursor text: the table's cursor in hexadecimal; and when the page was cut in the middle of what that stands
 * for, ".", how many keys of it were passed, ".", a checksum of those keys. If other keys stand there by then,
 * these few are listed again rather than one be missed.
 */
#ifndef KVNODE_SERVER_REST_LISTING_H
#define KVNODE_SERVER_REST_LISTING_H

#include "protocol/slice.h"

#include <stdint.h>

struct listing_cursor {
    uint64_t table;
    uint64_t passed, checksum; /* both 0: at the beginning of what table stands for */
};

enum { LISTING_CURSOR_BYTES = 3 * 16 + 2 };

bool listing_cursor_parse(struct slice text, struct listing_cursor *out);
size_t listing_cursor_write(char to[LISTING_CURSOR_BYTES], const struct listing_cursor *cursor);

#endif
