/* interest.h: which clients are interested in which names: subscribers in channels and patterns, WATCH in keys.
 * A hash map from names to the clients, and for every client (an interested, embedded by whoever keeps one for
 * it) the list of its names.
 *
 * A name is there as long as somebody is interested in it. To find out whether a client is interested in a name
 * already takes as many steps as the shorter of the two lists is long.
 */
#ifndef KVNODE_SERVER_CLIENTS_INTEREST_H
#define KVNODE_SERVER_CLIENTS_INTEREST_H

#include "protocol/slice.h"
#include "server/store/siphash.h"

struct client;
struct interest_name;

/* One client's interest in one name. */
struct interest_link {
    struct interest_name *name;
    struct interested *who;
    struct interest_link *next, *prev;           /* of the name */
    struct interest_link *next_name, *prev_name; /* of the client */
    bool noted;                                  /* the owner's own */
};

struct interest_name {
    struct interest_name *same_bucket;
    struct interest_name *next, *prev; /* all names, oldest first */
    struct interest_link *first, *last;
    size_t count; /* of clients */
    uint64_t hash;
    size_t length;
    char bytes[];
};

/* Zero-initialised but for the client. */
struct interested {
    struct client *client;
    struct interest_link *first, *last; /* its names, oldest first */
    size_t count;
};

struct interest {
    struct siphash_key secret;
    struct interest_name **buckets;
    size_t bucket_count; /* 0, or a power of two */
    struct interest_name *first, *last;
    size_t count; /* of names */
};

static inline struct slice interest_bytes(const struct interest_name *name) {
    return (struct slice){name->bytes, name->length};
}

/* Names are hashed with a secret, so that they can't be chosen to collide. False: no random numbers; it may be
 * deinitialized. */
bool interest_init(struct interest *interest);
void interest_deinit(struct interest *interest); /* when nobody is interested in anything any more */

/* NULL: nobody is interested in it. */
struct interest_name *interest_find(const struct interest *interest, struct slice name);

enum interest_added { INTEREST_NEW, INTEREST_OLD, INTEREST_NO_MEMORY };
/* link (may be NULL) is set unless there is no memory. */
enum interest_added interest_add(struct interest *interest, struct interested *who, struct slice name,
                                 struct interest_link **link);
bool interest_remove(struct interest *interest, struct interested *who, struct slice name);
/* Of the first of its names, or any other: the link is freed. */
void interest_drop(struct interest *interest, struct interest_link *link);
void interest_drop_all(struct interest *interest, struct interested *who);

#endif
