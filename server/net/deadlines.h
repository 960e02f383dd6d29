/* deadlines.h: many time-outs, to the tenth of a second, at no cost for those that are moved away in time.
 *
 * A wheel of slots, one a tick. An entry is embedded in its owner, zero-initialised, and removed before its
 * owner goes. Moving a deadline to a later time is one store: the entry is looked at when its old slot comes,
 * and moved then. Time arrives as an argument.
 */
#ifndef KVNODE_SERVER_NET_DEADLINES_H
#define KVNODE_SERVER_NET_DEADLINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { DEADLINES_TICK_MS = 100, DEADLINES_SLOTS = 128 };

struct deadline {
    int64_t at_ms;                /* 0: none */
    int64_t tick;                 /* when it will be looked at */
    struct deadline *next, *prev; /* both NULL when it is in no slot */
};

struct deadlines {
    struct deadline slots[DEADLINES_SLOTS]; /* heads of rings */
    struct deadline due; /* head of those whose tick has come and that are not looked at yet */
    int64_t tick;        /* the last one that was moved to due */
    size_t count;        /* entries in slots and due, with or without a deadline */
};

void deadlines_init(struct deadlines *deadlines, int64_t now_ms);

/* at_ms 0: none any more. One in the past comes with the next tick. */
void deadlines_set(struct deadlines *deadlines, struct deadline *entry, int64_t at_ms);
void deadlines_remove(struct deadlines *deadlines, struct deadline *entry); /* nothing if it is in no slot */

/* Takes out one entry whose deadline has passed; NULL: there is none (left) now. Call it every
 * DEADLINES_TICK_MS until NULL. Any entry may be set or removed between two calls. */
struct deadline *deadlines_take_due(struct deadlines *deadlines, int64_t now_ms);

#endif
