#include "server/peers/link_compression.h"

#include <lz4frame.h>

static const LZ4F_preferences_t preferences = {
    .frameInfo =
        {
            .blockSizeID = LZ4F_max64KB,
            .blockMode = LZ4F_blockLinked,
            .blockChecksumFlag = LZ4F_blockChecksumEnabled,
        },
};

/* --- Packing --- */

static bool begin_frame(struct link_packer *packer, struct buf *out) {
    LZ4F_cctx *context = NULL;
    char *to = buf_reserve(out, LZ4F_HEADER_SIZE_MAX);
    if (to == NULL || LZ4F_isError(LZ4F_createCompressionContext(&context, LZ4F_VERSION))) {
        return false;
    }
    packer->context = context;
    size_t n = LZ4F_compressBegin(context, to, LZ4F_HEADER_SIZE_MAX, &preferences);
    if (LZ4F_isError(n)) {
        return false;
    }
    buf_commit(out, n);
    packer->bytes.packed += n;
    return true;
}

/* raw empty: what is left of a block. */
static bool pack_piece(struct link_packer *packer, struct slice raw, struct buf *out) {
    size_t room = LZ4F_compressBound(raw.len, &preferences);
    char *to = buf_reserve(out, room);
    if (to == NULL) {
        return false;
    }
    size_t n = raw.len == 0 ? LZ4F_flush(packer->context, to, room, NULL)
                            : LZ4F_compressUpdate(packer->context, to, room, raw.ptr, raw.len, NULL);
    if (LZ4F_isError(n)) {
        return false;
    }
    buf_commit(out, n);
    packer->bytes.packed += n;
    return true;
}

bool link_pack(struct link_packer *packer, struct slice raw, struct buf *out) {
    if (raw.len == 0) {
        return true;
    }
    if (packer->context == NULL && !begin_frame(packer, out)) {
        return false;
    }
    packer->bytes.raw += raw.len;
    while (raw.len > 0) {
        struct slice piece = slice_first(raw, LINK_PACK_BYTES);
        if (!pack_piece(packer, piece, out)) {
            return false;
        }
        raw = slice_skip(raw, piece.len);
    }
    return pack_piece(packer, SLICE(""), out);
}

void link_packer_deinit(struct link_packer *packer) {
    LZ4F_freeCompressionContext(packer->context);
    *packer = (struct link_packer){0};
}

/* --- Unpacking --- */

/* Some of packed becomes some of out, up to room. False: it is no frame. */
static bool unpack_some(struct link_unpacker *unpacker, struct slice *packed, char *to, size_t *room,
                        const char **reason) {
    size_t taken = packed->len;
    size_t result = LZ4F_decompress(unpacker->context, to, room, packed->ptr, &taken, NULL);
    *packed = slice_skip(*packed, taken);
    unpacker->bytes.packed += taken;
    unpacker->bytes.raw += *room;
    if (LZ4F_isError(result)) {
        *reason = LZ4F_getErrorName(result);
        return false;
    }
    return true;
}

/* Both are used up in the end, or one of them: blocks that are held back, and the ends of frames, cut it short.
 */
static enum link_unpacked unpack_into(struct link_unpacker *unpacker, struct slice *packed, struct buf *out,
                                      const char **reason) {
    for (size_t left = LINK_UNPACK_BYTES; left > 0;) {
        size_t before = packed->len, n = left;
        bool is_good = unpack_some(unpacker, packed, out->data + out->end, &n, reason);
        buf_commit(out, n);
        left -= n;
        if (!is_good) {
            return LINK_UNPACK_BAD;
        }
        if (n == 0 && packed->len == before) {
            return LINK_UNPACKED;
        }
    }
    return LINK_UNPACKED_PART;
}

enum link_unpacked link_unpack(struct link_unpacker *unpacker, struct slice packed, struct buf *out,
                               size_t *taken, const char **reason) {
    LZ4F_dctx *context = unpacker->context;
    struct slice rest = packed;
    *taken = 0;
    *reason = "out of memory";
    if (context == NULL && LZ4F_isError(LZ4F_createDecompressionContext(&context, LZ4F_VERSION))) {
        return LINK_UNPACK_BAD;
    }
    unpacker->context = context;
    if (buf_reserve(out, LINK_UNPACK_BYTES) == NULL) {
        return LINK_UNPACK_BAD;
    }
    enum link_unpacked result = unpack_into(unpacker, &rest, out, reason);
    *taken = packed.len - rest.len;
    return result;
}

void link_unpacker_deinit(struct link_unpacker *unpacker) {
    LZ4F_freeDecompressionContext(unpacker->context);
    *unpacker = (struct link_unpacker){0};
}
