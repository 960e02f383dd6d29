/* kept_data.h: what a DIR of -data holds, as a start would find it, read by nobody but the tools: nothing is
 * written, and its lock keeps a node away from it meanwhile.
 *
 * A tool that writes opens it here, too: a wish that mends. */
#ifndef KVNODE_SERVER_TOOLS_KEPT_DATA_H
#define KVNODE_SERVER_TOOLS_KEPT_DATA_H

#include "server/journal/recovery.h"
#include "server/store/keyspace.h"
#include "server/tools/say.h"

struct kept_data {
    struct journal_directory *directory;
    struct journal_recovery *recovery;
    struct loop *loop;
    struct history *history;
    struct keyspace *keyspace; /* the data, once they are read */
    bool keys_only;            /* each with an empty value: for who counts */
    int64_t clock_ms;          /* of the lines that say no time */
    struct voters voters;      /* at the last line; of count 0: there are none */
    bool quorum;
};

struct kept_data_wish {
    const char *path;
    const char *what; /* the name that progress has */
    bool keys_only;
    bool mend;                       /* its directory will be written to */
    const struct journal_disk *disk; /* NULL: the system's */
};

/* A line has said why not. */
enum tool_status kept_data_open_directory(const struct kept_data_wish *wish,
                                          struct journal_directory **directory);
/* Reads all of it. Whatever it returns, kept_data_close is due. */
enum tool_status kept_data_open(struct kept_data *kept, const struct kept_data_wish *wish);
void kept_data_close(struct kept_data *kept);

const struct journal_found *kept_data_found(const struct kept_data *kept);

#endif
