/* persistence.h: what of a node is on its disk: the directory, what is recovered from it at the start, and the
 * journal from then on. Without -data it is there, and empty: every call is good then, and does nothing.
 *
 * Embedded in the node, zero before it is opened: open (whose directory is it? the node's id comes from there),
 * start (when the parts that it looks after are made), finish (the loop has stopped), stop (before the net
 * goes), close.
 */
#ifndef KVNODE_SERVER_PERSISTENCE_H
#define KVNODE_SERVER_PERSISTENCE_H

#include "server/journal/load.h"
#include "server/settings.h"

struct acks;
struct clients;
struct history;
struct keyspace;
struct log;
struct replication;
struct routing;
struct server_stats;

/* All of it outlives the persistence. */
struct persistence_config {
    struct loop *loop;
    struct acks *acks; /* that has the journal's fence */
    struct history *history;
    struct keyspace *keyspace;
    struct replication *replication;
    struct routing *routing;
    struct clients *clients; /* who wait when the disk is slower than they are */
    struct server_stats *stats;
    const struct settings *settings;
    const struct log *log;
    void *context;
    /* The store is what the disk had, and journal keeps what comes; once, from the loop. Not without -data. */
    void (*on_loaded)(void *context, struct journal *journal, const struct journal_loaded *loaded);
    /* The newest that was given to persistence_keep, or persistence_keep_term, is on the disk. */
    void (*on_kept)(void *context);
    void (*on_fatal)(void *context, const char *message); /* one line */
};

struct persistence {
    struct persistence_config config;
    struct journal_directory *directory; /* NULL: nothing is kept */
    struct journal_load *load;           /* until the data is recovered */
    struct journal *journal;             /* from then on */
};

/* The directory is this process's alone; the node's id, if none was given, is the one that it was made with.
 * False: message (n bytes) is one line that says why, here and below. */
bool persistence_open(struct persistence *persistence, struct settings *settings, char *message, size_t n);
bool persistence_start(struct persistence *persistence, const struct persistence_config *config, char *message,
                       size_t n);
static inline bool persistence_keeps(const struct persistence *persistence) {
    return persistence->directory != NULL;
}
/* journal_durable_index; 0 until there is a journal. */
uint64_t persistence_durable_index(const struct persistence *persistence);
/* The lines that are on the disk; none until there is a journal. */
struct archive persistence_archive(struct persistence *persistence);

/* What a voter must not forget, as meta has it or as it was given last; and where the others were. */
void persistence_kept(const struct persistence *persistence, struct journal_kept *out);
size_t persistence_peers(const struct persistence *persistence, struct journal_peer peers[VOTERS_MOST]);
/* As journal.h has it; not before the data is loaded. */
void persistence_keep(struct persistence *persistence, const struct journal_kept *kept);
/* A state has broken off in the store: what the journal has takes its place, or the node may not go on
 * (on_fatal). */
void persistence_reload(struct persistence *persistence);
void persistence_keep_term(struct persistence *persistence, uint64_t number);
void persistence_keep_peers(struct persistence *persistence, const struct journal_peer *peers, size_t n);

bool persistence_finish(struct persistence *persistence); /* false: not all of the data is on the disk */
void persistence_stop(struct persistence *persistence);
void persistence_close(struct persistence *persistence);

#endif
