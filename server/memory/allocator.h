/* allocator.h: how much memory the process has, as its allocator and the system count it. */
#ifndef KVNODE_SERVER_MEMORY_ALLOCATOR_H
#define KVNODE_SERVER_MEMORY_ALLOCATOR_H

#include "protocol/buf.h"

struct allocator_stats {
    size_t allocated; /* asked for */
    size_t active;    /* pages with something in them */
    size_t resident;  /* those and the allocator's own, as far as they are in memory */
    size_t process;   /* resident bytes of the whole process */
    size_t peak;      /* the most of those there ever were */
};

const char *allocator_name(void); /* "jemalloc" or "libc" */
void allocator_read(struct allocator_stats *out);
void allocator_purge(void); /* unused pages go back to the system */
/* They go back by a thread of the allocator's own: a hundred MB that were freed are not the stall of whoever
 * frees next. Once, before there is much memory. */
void allocator_purge_in_background(void);
void allocator_report(struct buf *out); /* for people: the allocator's own statistics */

#endif
