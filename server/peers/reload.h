/* reload.h: the store once more from the journal, as a start would have it. The history stays what and where it
 * is. */
#ifndef KVNODE_SERVER_PEERS_RELOAD_H
#define KVNODE_SERVER_PEERS_RELOAD_H

struct journal;
struct keyspace;

enum reload_result {
    RELOAD_DONE,
    RELOAD_NOT_NOW,     /* the disk is in the way; nothing has happened */
    RELOAD_OTHER_FLOOR, /* done, but the journal has another floor than the store had: the higher one holds */
    RELOAD_FAILED,      /* the journal has said that this node may not go on (on_fatal) */
};

/* Outside of the conns' turns. *reason: NULL, or a static text that says what is wrong. */
enum reload_result reload_from_journal(struct journal *journal, struct keyspace *keyspace, const char **reason);

#endif
