/* slowlog.h: the commands that took long: the newest ones, with their arguments cut. SLOWLOG shows them. */
#ifndef KVNODE_SERVER_DISPATCH_SLOWLOG_H
#define KVNODE_SERVER_DISPATCH_SLOWLOG_H

#include "server/dispatch/command.h"

struct slowlog_entry {
    struct slowlog_entry *older, *newer;
    uint64_t id, us;
    int64_t time_s;       /* Unix */
    struct buf arguments; /* as elements of a RESP array */
    size_t argument_count;
    struct buf peer, name;
};

/* Embedded; zero-initialised. */
struct slowlog {
    struct slowlog_entry *newest, *oldest;
    size_t count;
    uint64_t next_id;
};

void slowlog_deinit(struct slowlog *slowlog);
/* The request has taken so long; at most max_entries are kept. */
void slowlog_add(struct slowlog *slowlog, const struct request *request, uint64_t us, size_t max_entries);

#endif
