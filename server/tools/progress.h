/* progress.h: how far long work is, on stderr: a bar on a terminal, a line a second elsewhere. What is over in
 * less than a second says nothing. */
#ifndef KVNODE_SERVER_TOOLS_PROGRESS_H
#define KVNODE_SERVER_TOOLS_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct progress {
    const char *what;    /* "checking" */
    uint64_t total_keys; /* set it where it is known, and the bytes are not; 0 */
    bool on_terminal, said;
    uint64_t began_us, said_us;
};

void progress_begin(struct progress *progress, const char *what);
/* Cheap enough to be called for every few keys. total_bytes 0: nobody knows. keys: UINT64_MAX: not counted. */
void progress_say(struct progress *progress, uint64_t bytes, uint64_t total_bytes, uint64_t keys);
void progress_end(struct progress *progress); /* the line is free for other output */

#endif
