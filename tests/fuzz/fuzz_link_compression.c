/* fuzz_link_compression.c: no bytes make the reader of LZ4 frames give more at once than it may; however they
 * are cut it gives the same; and what is packed comes back. */
#include "server/peers/link_compression.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MOST_BYTES = 4 << 20 }; /* a short input may stand for much more */

/* assert() would vanish with NDEBUG. */
static void require(bool holds) {
    if (!holds) {
        abort();
    }
}

/* In parts of that many bytes; what it stands for goes to out, up to MOST_BYTES of it. */
static enum link_unpacked unpack(struct slice bytes, size_t part, struct buf *out) {
    struct link_unpacker unpacker = {0};
    enum link_unpacked result = LINK_UNPACKED;
    while (bytes.len > 0 && result != LINK_UNPACK_BAD && buf_used(out) < MOST_BYTES) {
        struct slice now = slice_first(bytes, part);
        do {
            const char *reason = NULL;
            size_t taken, before = buf_used(out);
            result = link_unpack(&unpacker, now, out, &taken, &reason);
            require(taken <= now.len && buf_used(out) - before <= LINK_UNPACK_BYTES);
            require(result == LINK_UNPACK_BAD || result == LINK_UNPACKED_PART || taken == now.len);
            require(result != LINK_UNPACKED_PART || buf_used(out) - before == LINK_UNPACK_BYTES);
            now = slice_skip(now, taken);
            bytes = slice_skip(bytes, taken);
        } while (result == LINK_UNPACKED_PART && buf_used(out) < MOST_BYTES);
    }
    link_unpacker_deinit(&unpacker);
    return result;
}

/* A bad block keeps back what stood before it in the same part: then one has the beginning of the other. */
static void cut(struct slice bytes) {
    struct buf whole, parts;
    buf_init(&whole, MOST_BYTES + LINK_UNPACK_BYTES);
    buf_init(&parts, MOST_BYTES + LINK_UNPACK_BYTES);
    enum link_unpacked of_whole = unpack(bytes, SIZE_MAX, &whole);
    enum link_unpacked of_parts = unpack(bytes, 1 + bytes.len % 7, &parts);
    size_t shorter = buf_used(&whole) < buf_used(&parts) ? buf_used(&whole) : buf_used(&parts);
    require(slice_equals(slice_first(buf_slice(&whole), shorter), slice_first(buf_slice(&parts), shorter)));
    if (shorter < MOST_BYTES) {
        require((of_whole == LINK_UNPACK_BAD) == (of_parts == LINK_UNPACK_BAD));
        require(of_whole == LINK_UNPACK_BAD || buf_used(&whole) == buf_used(&parts));
    }
    buf_deinit(&whole);
    buf_deinit(&parts);
}

static void come_back(struct slice bytes) {
    struct link_packer packer = {0};
    struct buf packed, again;
    buf_init(&packed, SIZE_MAX);
    buf_init(&again, SIZE_MAX);
    size_t half = bytes.len / 2;
    require(link_pack(&packer, slice_first(bytes, half), &packed));
    require(link_pack(&packer, slice_skip(bytes, half), &packed));
    require(unpack(buf_slice(&packed), SIZE_MAX, &again) == LINK_UNPACKED);
    require(slice_equals(buf_slice(&again), bytes));
    link_packer_deinit(&packer);
    buf_deinit(&packed);
    buf_deinit(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct slice bytes = slice_of((const char *)data, size);
    cut(bytes);
    if (size < MOST_BYTES) {
        come_back(bytes);
    }
    return 0;
}
