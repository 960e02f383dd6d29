/* journal_meta.h: what a node must not forget besides its data: DIR/meta (design, journal: "Files"). Pure
 * codec.
 *
 * Two slots of 4096 bytes, written in turn and in place, each with a counter and a checksum: one that was torn
 * while it was written leaves the other one. A slot is text:
 *
 *     kvnode-journal 1            the format; a greater one is of a newer kvnode
 *     counter 17
 *     node kv-0192f0c4
 *     ...                         key, blank, value; an unknown key is ignored
 *     formed 0192f0c4a7b30001 a,b,c acceptor open
 *     peer b 192.0.2.7 4001       as many as there are
 *                                 empty lines up to
 *     crc 9ae0daaf                CRC-32C of all before this line, which is the slot's last 13 bytes in any
 * format
 */
#ifndef KVNODE_PROTOCOL_JOURNAL_META_H
#define KVNODE_PROTOCOL_JOURNAL_META_H

#include "protocol/limits.h"
#include "protocol/slice.h"
#include "protocol/voters.h"

#include <stdint.h>

enum {
    JOURNAL_META_FORMAT = 1,
    JOURNAL_META_SLOT_BYTES = 4096,
    JOURNAL_META_BYTES = 2 * JOURNAL_META_SLOT_BYTES,
    JOURNAL_BOOT_ID_BYTES = 36,
};

/* What a voter must not forget besides its data. Embedded by value. */
struct journal_kept {
    uint64_t term;                           /* the greatest that is known; 0: none */
    char voted_for[LIMIT_NODE_ID_BYTES + 1]; /* in that term; "": nobody */
    bool forgetful;                          /* it may have forgotten what it acknowledged */
    /* The set of voters that it has agreed to, as the one that proposed it or not; and that all have. */
    uint64_t formed_id;   /* of the history that they begin; 0: it has agreed to none */
    struct voters formed; /* then at least one */
    bool proposer, complete;
};

/* Where another voter was last. */
struct journal_peer {
    char node_id[LIMIT_NODE_ID_BYTES + 1];
    char host[LIMIT_HOST_BYTES + 1];
    uint16_t port;
};

struct journal_peers {
    size_t count;
    struct journal_peer all[VOTERS_MOST];
};

enum journal_fsync { JOURNAL_FSYNC_NO, JOURNAL_FSYNC_EVERYSEC, JOURNAL_FSYNC_ALWAYS }; /* the weakest first */

struct journal_meta {
    uint64_t counter; /* of the slot that it was read from; the next one is written with one more */
    char node_id[LIMIT_NODE_ID_BYTES + 1];
    uint16_t group;
    struct journal_kept kept;
    struct journal_peers peers;
    bool clean;                       /* its last run ended with everything synced */
    enum journal_fsync weakest_fsync; /* since the last sync; JOURNAL_FSYNC_ALWAYS: nothing is unsynced */
    char boot_id[JOURNAL_BOOT_ID_BYTES + 1]; /* of the system that wrote it; "": not known */
    uint64_t directory_inode, meta_inode;    /* others than the files have: this is a copy */
};

/* The file's offset of the slot with this counter. */
uint64_t journal_meta_offset(uint64_t counter);

/* Writes one whole slot. Its ids are valid ones, and so are the hosts and ports of its peers. All of it fits,
 * however long they are. */
void journal_meta_write(char slot[JOURNAL_META_SLOT_BYTES], const struct journal_meta *meta);

enum journal_meta_result { JOURNAL_META_OK, JOURNAL_META_NEWER, JOURNAL_META_BAD };

/* The file's bytes, however many there are: the valid slot with the greater counter. NEWER: its format is one
 * of the future, and nothing else is known of it. BAD: no slot is valid. *out is written only when OK. */
enum journal_meta_result journal_meta_read(struct slice file, struct journal_meta *out);

/* A node that starts on this, in the system that has this boot id (NULL: not known), may have forgotten
 * something that it acknowledged: it did before, or the power went and not all was synced before each reply. */
bool journal_meta_may_have_forgotten(const struct journal_meta *meta, const char *boot_id);

#endif
