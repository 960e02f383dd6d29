/* state_file.h: a state as a node would have written it: incoming.log of a DIR, which becomes a segment when it
 * is whole and on the disk. Until then DIR holds what it held.
 *
 * Each returns false, with errno, when it fails.
 */
#ifndef KVNODE_SERVER_TOOLS_STATE_FILE_H
#define KVNODE_SERVER_TOOLS_STATE_FILE_H

#include "protocol/journal_record.h"
#include "server/journal/directory.h"

struct state_file {
    struct journal_directory *directory;
    int fd; /* -1: not open */
    off_t offset;
    struct journal_chain chain;
    struct buf line, out;
    uint64_t keys;
};

bool state_file_make_history_id(uint64_t *out);

/* Of that history, before its first line. Whatever it returns, state_file_close is due; the directory is there
 * until then. floor: of versions. */
bool state_file_begin(struct state_file *file, struct journal_directory *directory, uint64_t history_id,
                      uint64_t floor);
/* For what is no key: lines of a state. */
bool state_file_add(struct state_file *file, struct slice lines);
bool state_file_put(struct state_file *file, struct slice key, struct slice value, uint64_t version,
                    int64_t timestamp_ms, int64_t deadline_ms);
/* It is whole, with these lines of the history behind it, and on the disk. */
bool state_file_end(struct state_file *file, struct slice first_lines);
/* It is the segment of that number, by which it is found from now on. */
bool state_file_accept(struct state_file *file, uint64_t number);
void state_file_close(struct state_file *file); /* what was not accepted goes */

#endif
