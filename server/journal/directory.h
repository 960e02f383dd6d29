/* directory.h: DIR, where a journal is: who it belongs to, its segments, its meta (design, journal: "Files").
 *
 * One process at a time (flock on DIR/lock, until it is closed). Which segment holds what is recovery.h's
 * matter. Of one directory no two calls at a time: whoever has the files on another thread calls it there. But
 * journal_directory_open_segment may be called on any thread at any time, and journal_directory_write_meta
 * beside journal_directory_remove_below.
 * Where nothing else is said a function returns false (or -1) with errno, and may be called again.
 */
#ifndef KVNODE_SERVER_JOURNAL_DIRECTORY_H
#define KVNODE_SERVER_JOURNAL_DIRECTORY_H

#include "protocol/journal_meta.h"
#include "server/journal/disk.h"

enum { JOURNAL_REASON_BYTES = 1024, JOURNAL_NAME_BYTES = 40 };

struct journal_directory;

struct journal_wish {
    const char *path;
    const char *id; /* -id; NULL: none was given, and any will do */
    uint16_t group;
    bool adopt; /* -adopt-data: a copy becomes another node, with a new id and no vote */
    bool look;  /* to look at it: nothing is made or written (but the lock), and id and group may be any */
    bool mend;  /* a tool's that writes to it: it has to be there, and no copy; id and group may be any */
};

/* Makes it (0700, its parent must be there) when it is not there, and a node id with it: -id, "-" and 8 hex
 * digits, or the digits alone. NULL: refused, and reason is one line that says why, path and all; errno is
 * EWOULDBLOCK when another process holds it, and else the call's, if one has failed. */
struct journal_directory *journal_directory_open(const struct journal_wish *wish,
                                                 const struct journal_disk *disk,
                                                 char reason[JOURNAL_REASON_BYTES]);
void journal_directory_close(struct journal_directory **directory); /* NULL-safe, nulls it */

const char *journal_directory_path(const struct journal_directory *directory);
const struct journal_disk *journal_directory_disk(const struct journal_directory *directory);
bool journal_directory_is_new(
    const struct journal_directory *directory); /* made by this journal_directory_open */

/* As it was written last. The node's id is in it. */
const struct journal_meta *journal_directory_meta(const struct journal_directory *directory);
/* In place and synced; counter and inodes are seen to. False: it may be on the disk or not: what would break a
 * promise if it were forgotten, or if it were remembered, is not done before a call that ends well. */
bool journal_directory_write_meta(struct journal_directory *directory, const struct journal_meta *meta);

/* Of the running system; false: it does not say. */
bool journal_boot_id(char boot_id[JOURNAL_BOOT_ID_BYTES + 1]);

/* --- Segments, by number; 1 is the first --- */

void journal_segment_name(char name[JOURNAL_NAME_BYTES], uint64_t number);
/* All there are, in order; the caller frees *numbers. */
bool journal_directory_list(const struct journal_directory *directory, uint64_t **numbers, size_t *n);
/* A new one, to be written and read, its name on the disk. EEXIST: a failed call may have left it; the next
 * number will do. */
int journal_directory_create_segment(struct journal_directory *directory, uint64_t number);
int journal_directory_open_segment(const struct journal_directory *directory, uint64_t number, bool to_write);
bool journal_directory_remove_segment(struct journal_directory *directory, uint64_t number);
/* All below number, the oldest first. One that comes back with the next crash does no harm: no sync. */
bool journal_directory_remove_below(struct journal_directory *directory, uint64_t number);

/* --- incoming.log: a state that is being received (or the first one that is written) --- */

int journal_directory_create_incoming(struct journal_directory *directory); /* an older one goes */
/* It is whole and synced: it becomes that segment, its name on the disk. */
bool journal_directory_accept_incoming(struct journal_directory *directory, uint64_t number);
bool journal_directory_remove_incoming(struct journal_directory *directory); /* also when there is none */

bool journal_directory_sync(struct journal_directory *directory); /* fsync of the directory itself */

#endif
