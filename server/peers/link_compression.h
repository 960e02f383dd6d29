/* link_compression.h: the bytes of a link as LZ4 frames (liblz4, the frame format of lz4.org). A codec: no
 * sockets, no clock.
 *
 * A link is one frame that never ends, of blocks of at most 64 KB, each with its checksum, each made with the
 * 64 KB before it in mind: so short lines that are alike cost little. What is packed at once ends in a block's
 * end, so that all of it can be read when it has come. Read is any stream of frames.
 *
 * Memory: a packer has about 210 KB, an unpacker 260 KB (8.1 MB if the peer's frames have blocks of 4 MB), from
 * the first byte on, and what it holds of lines.
 */
#ifndef KVNODE_SERVER_PEERS_LINK_COMPRESSION_H
#define KVNODE_SERVER_PEERS_LINK_COMPRESSION_H

#include "protocol/buf.h"

enum {
    LINK_PACK_BYTES = 64 << 10,   /* the longest block */
    LINK_UNPACK_BYTES = 64 << 10, /* at most so much is unpacked at once, whatever a few bytes stand for */
};

struct link_bytes {
    uint64_t raw, packed;
};

static inline void link_bytes_add(struct link_bytes *sum, const struct link_bytes *more) {
    sum->raw += more->raw;
    sum->packed += more->packed;
}

struct link_packer {
    void *context; /* NULL: nothing has been packed */
    struct link_bytes bytes;
};

void link_packer_deinit(struct link_packer *packer); /* it may be used again, for another link; all 0 is new */
/* Appends raw to out. False: out of memory, or out has failed; the link cannot go on. */
bool link_pack(struct link_packer *packer, struct slice raw, struct buf *out);

struct link_unpacker {
    void *context;
    struct link_bytes bytes;
};

enum link_unpacked {
    LINK_UNPACKED,      /* all that came, as far as it goes */
    LINK_UNPACKED_PART, /* there is, or may be, more of it: to be called again */
    LINK_UNPACK_BAD,    /* no LZ4 frame, or out of memory: *reason says what. The link cannot go on. */
};

void link_unpacker_deinit(struct link_unpacker *unpacker);
/* Appends to out what packed stands for, LINK_UNPACK_BYTES at most; *taken of packed are done with. */
enum link_unpacked link_unpack(struct link_unpacker *unpacker, struct slice packed, struct buf *out,
                               size_t *taken, const char **reason);

#endif
