/* fuzz_datagram.c: no datagram makes the decoder read past its end, and one that was understood is written as
 * it came (but for a line end, and for what is behind the known fields of kvnode's own) and read again as the
 * same. */
#include "protocol/datagram.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* assert() would vanish with NDEBUG. */
static void require(bool holds) {
    if (!holds) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct datagram datagram, again;
    if (datagram_decode(slice_of(data, size), &datagram) != DATAGRAM_OK) {
        return 0;
    }
    char text[LIMIT_DATAGRAM_BYTES];
    size_t n = datagram_encode(&datagram, text);
    require(n <= size && memcmp(text, data, n) == 0);
    bool has_surplus = size > n && data[n] == '|';
    require(has_surplus ? datagram.verb != DATAGRAM_ANNOUNCE : size - n <= 2);

    require(datagram_decode(slice_of(text, n), &again) == DATAGRAM_OK);
    require(datagram.verb == again.verb);
    require(strcmp(datagram.node_id, again.node_id) == 0 && strcmp(datagram.host, again.host) == 0);
    require(datagram.port == again.port && datagram.group == again.group && datagram.leader == again.leader);
    require(datagram.api_port == again.api_port && datagram.redis_port == again.redis_port);
    require(datagram.tells_position == again.tells_position && datagram.has_state == again.has_state &&
            datagram.index == again.index);
    return 0;
}
