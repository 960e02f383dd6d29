/* catch_up.h: a follower's way through the archive to where the backlog begins. Pure.
 *
 *     archive   . . . [ piece ][ piece ][ ...            the follower's last line is in front of the first
 * piece backlog                        [ . . . . . . . .   behind which piece it is in here: there it goes on
 *
 * Embedded in its owner, zero before it begins.
 */
#ifndef KVNODE_CLUSTER_CATCH_UP_H
#define KVNODE_CLUSTER_CATCH_UP_H

#include "cluster/archive.h"
#include "cluster/history.h"

struct catch_up {
    struct archive_reader *reader; /* NULL: it has not begun, or is over */
    uint64_t from, index;          /* where it began; up to which lines were taken, when left_bytes is 0 */
    uint64_t last_index;           /* of the piece */
    size_t left_bytes;             /* of the piece; 0: between lines */
    uint64_t bytes;                /* that were taken */
    int64_t began_ms;
};

/* False: the archive does not give it; see archive.h. */
bool catch_up_begin(struct catch_up *catch_up, const struct archive *archive, uint64_t index,
                    uint64_t most_bytes, int64_t now_ms);
/* As archive.read; *lines is empty when there are none. */
enum archive_result catch_up_read(struct catch_up *catch_up, const struct archive *archive,
                                  struct slice *lines);
/* n of the bytes read were taken. True: the rest is in the backlog, and reader stands there: it is over. */
bool catch_up_advance(struct catch_up *catch_up, const struct archive *archive, size_t n,
                      struct history *history, struct history_reader *reader);
void catch_up_end(struct catch_up *catch_up, const struct archive *archive); /* also one that is over */

#endif
