#include "protocol/journal_meta.h"

#include "protocol/crc32c.h"
#include "protocol/datagram.h"
#include "protocol/num.h"

#include <assert.h>
#include <stdio.h>

#define MAGIC "kvnode-journal "

enum { CRC_LINE_BYTES = sizeof("crc 00000000\n") - 1, TEXT_BYTES = JOURNAL_META_SLOT_BYTES - CRC_LINE_BYTES };

static const char *const fsync_names[] = {"no", "everysec", "always"};

uint64_t journal_meta_offset(uint64_t counter) { return counter % 2 * JOURNAL_META_SLOT_BYTES; }

static void write_crc_line(char to[CRC_LINE_BYTES + 1], const char *slot) {
    snprintf(to, CRC_LINE_BYTES + 1, "crc %08x\n", (unsigned)crc32c(0, slot, TEXT_BYTES));
}

static const char *or_dash(const char *text) { return text[0] == '\0' ? "-" : text; }

static size_t write_formed(char *to, size_t room, const struct journal_kept *kept) {
    char ids[VOTERS_MAX_BYTES];
    if (kept->formed_id == 0) {
        return 0;
    }
    int n = snprintf(to, room, "formed %016llx %.*s %s %s\n", (unsigned long long)kept->formed_id,
                     (int)voters_write(ids, &kept->formed), ids, kept->proposer ? "proposer" : "acceptor",
                     kept->complete ? "complete" : "open");
    return (size_t)n;
}

static size_t write_peers(char *to, size_t room, const struct journal_peers *peers) {
    size_t n = 0;
    for (size_t i = 0; i < peers->count; i++) {
        const struct journal_peer *peer = &peers->all[i];
        assert(datagram_valid_node_id(slice_from_text(peer->node_id)) &&
               datagram_valid_host(slice_from_text(peer->host)));
        n += (size_t)snprintf(to + n, room - n, "peer %s %s %u\n", peer->node_id, peer->host, peer->port);
    }
    return n;
}

void journal_meta_write(char slot[JOURNAL_META_SLOT_BYTES], const struct journal_meta *meta) {
    assert(datagram_valid_node_id(slice_from_text(meta->node_id)));
    char crc_line[CRC_LINE_BYTES + 1];
    memset(slot, '\n', TEXT_BYTES);
    size_t n = (size_t)snprintf(
        slot, TEXT_BYTES,
        MAGIC "%d\ncounter %llu\nnode %s\ngroup %u\nterm %llu\nvoted_for %s\nforgetful %s\nclean %s\n"
              "weakest_fsync %s\nboot_id %s\ndirectory_inode %llu\nmeta_inode %llu\n",
        JOURNAL_META_FORMAT, (unsigned long long)meta->counter, meta->node_id, meta->group,
        (unsigned long long)meta->kept.term, or_dash(meta->kept.voted_for), meta->kept.forgetful ? "yes" : "no",
        meta->clean ? "yes" : "no", fsync_names[meta->weakest_fsync], or_dash(meta->boot_id),
        (unsigned long long)meta->directory_inode, (unsigned long long)meta->meta_inode);
    n += write_formed(slot + n, TEXT_BYTES - n, &meta->kept);
    n += write_peers(slot + n, TEXT_BYTES - n, &meta->peers);
    assert(n < TEXT_BYTES);
    slot[n] = '\n'; /* where snprintf put its NUL */
    write_crc_line(crc_line, slot);
    memcpy(slot + TEXT_BYTES, crc_line, CRC_LINE_BYTES);
}

/* --- Reading: each returns false when the value is none --- */

static bool read_id(struct slice value, char *to, bool may_lack) {
    if (may_lack && slice_equals(value, SLICE("-"))) {
        to[0] = '\0';
        return true;
    }
    if (!datagram_valid_node_id(value)) {
        return false;
    }
    memcpy(to, value.ptr, value.len);
    to[value.len] = '\0';
    return true;
}

static bool read_boot_id(struct slice value, char *to) {
    return (value.len == JOURNAL_BOOT_ID_BYTES || slice_equals(value, SLICE("-"))) && read_id(value, to, true);
}

static bool read_either(struct slice value, struct slice yes, struct slice no, bool *out) {
    *out = slice_equals(value, yes);
    return *out || slice_equals(value, no);
}

static bool read_truth(struct slice value, bool *out) {
    return read_either(value, SLICE("yes"), SLICE("no"), out);
}

static bool read_group(struct slice value, uint16_t *out) {
    uint64_t number = 0;
    if (!num_parse_u64(value, &number) || number > LIMIT_GROUP) {
        return false;
    }
    *out = (uint16_t)number;
    return true;
}

static bool read_fsync(struct slice value, enum journal_fsync *out) {
    for (size_t i = 0; i < sizeof(fsync_names) / sizeof(fsync_names[0]); i++) {
        if (slice_equals(value, slice_from_text(fsync_names[i]))) {
            *out = (enum journal_fsync)i;
            return true;
        }
    }
    return false;
}

static bool read_formed(struct slice value, struct journal_kept *out) {
    struct slice id = slice_take_until(&value, ' '), ids = slice_take_until(&value, ' ');
    struct slice part = slice_take_until(&value, ' ');
    return num_parse_hex(id, &out->formed_id) && out->formed_id != 0 && voters_parse(ids, &out->formed) &&
           read_either(part, SLICE("proposer"), SLICE("acceptor"), &out->proposer) &&
           read_either(value, SLICE("complete"), SLICE("open"), &out->complete);
}

static bool read_peer(struct slice value, struct journal_peers *out) {
    struct slice id = slice_take_until(&value, ' '), host = slice_take_until(&value, ' ');
    uint64_t port = 0;
    if (out->count == VOTERS_MOST || !datagram_valid_host(host) || !num_parse_u64(value, &port) || port == 0 ||
        port > UINT16_MAX) {
        return false;
    }
    struct journal_peer *peer = &out->all[out->count++];
    memcpy(peer->host, host.ptr, host.len); /* what it held is all NUL */
    peer->port = (uint16_t)port;
    return read_id(id, peer->node_id, false);
}

static bool read_pair(struct slice key, struct slice value, struct journal_meta *out) {
    return slice_equals(key, SLICE("counter"))           ? num_parse_u64(value, &out->counter)
           : slice_equals(key, SLICE("node"))            ? read_id(value, out->node_id, false)
           : slice_equals(key, SLICE("group"))           ? read_group(value, &out->group)
           : slice_equals(key, SLICE("term"))            ? num_parse_u64(value, &out->kept.term)
           : slice_equals(key, SLICE("voted_for"))       ? read_id(value, out->kept.voted_for, true)
           : slice_equals(key, SLICE("forgetful"))       ? read_truth(value, &out->kept.forgetful)
           : slice_equals(key, SLICE("formed"))          ? read_formed(value, &out->kept)
           : slice_equals(key, SLICE("peer"))            ? read_peer(value, &out->peers)
           : slice_equals(key, SLICE("clean"))           ? read_truth(value, &out->clean)
           : slice_equals(key, SLICE("weakest_fsync"))   ? read_fsync(value, &out->weakest_fsync)
           : slice_equals(key, SLICE("boot_id"))         ? read_boot_id(value, out->boot_id)
           : slice_equals(key, SLICE("directory_inode")) ? num_parse_u64(value, &out->directory_inode)
           : slice_equals(key, SLICE("meta_inode"))      ? num_parse_u64(value, &out->meta_inode)
                                                         : true;
}

static enum journal_meta_result read_slot(struct slice slot, struct journal_meta *out) {
    char crc_line[CRC_LINE_BYTES + 1];
    if (slot.len < JOURNAL_META_SLOT_BYTES) {
        return JOURNAL_META_BAD;
    }
    write_crc_line(crc_line, slot.ptr);
    struct slice text = slice_first(slot, TEXT_BYTES);
    struct slice first = slice_take_until(&text, '\n');
    uint64_t format = 0;
    if (memcmp(crc_line, slot.ptr + TEXT_BYTES, CRC_LINE_BYTES) != 0 || first.len < sizeof(MAGIC) - 1 ||
        !slice_equals(slice_first(first, sizeof(MAGIC) - 1), SLICE(MAGIC)) ||
        !num_parse_u64(slice_skip(first, sizeof(MAGIC) - 1), &format) || format == 0) {
        return JOURNAL_META_BAD;
    }
    *out = (struct journal_meta){.weakest_fsync = JOURNAL_FSYNC_NO};
    while (text.len > 0) {
        struct slice value = slice_take_until(&text, '\n');
        struct slice key = slice_take_until(&value, ' ');
        /* Of what is newer the counter alone is looked at, if it still has one. */
        if (key.len > 0 && !read_pair(key, value, out) && format == JOURNAL_META_FORMAT) {
            return JOURNAL_META_BAD;
        }
    }
    if (format > JOURNAL_META_FORMAT) {
        return JOURNAL_META_NEWER;
    }
    return out->node_id[0] != '\0' && out->counter > 0 ? JOURNAL_META_OK : JOURNAL_META_BAD;
}

enum journal_meta_result journal_meta_read(struct slice file, struct journal_meta *out) {
    struct journal_meta slots[2];
    enum journal_meta_result results[2];
    for (size_t i = 0; i < 2; i++) {
        size_t from = i * JOURNAL_META_SLOT_BYTES;
        struct slice slot = file.len > from ? slice_skip(file, from) : SLICE("");
        results[i] = read_slot(slice_first(slot, JOURNAL_META_SLOT_BYTES), &slots[i]);
    }
    size_t best = results[1] != JOURNAL_META_BAD &&
                          (results[0] == JOURNAL_META_BAD || slots[1].counter > slots[0].counter)
                      ? 1
                      : 0;
    if (results[best] == JOURNAL_META_OK) {
        *out = slots[best];
    }
    return results[best];
}

bool journal_meta_may_have_forgotten(const struct journal_meta *meta, const char *boot_id) {
    bool same_boot = boot_id != NULL && meta->boot_id[0] != '\0' && strcmp(meta->boot_id, boot_id) == 0;
    return meta->kept.forgetful || (!meta->clean && !same_boot && meta->weakest_fsync != JOURNAL_FSYNC_ALWAYS);
}
