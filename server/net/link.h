/* link.h: intrusive lists: rings with a head of their own. */
#ifndef KVNODE_SERVER_NET_LINK_H
#define KVNODE_SERVER_NET_LINK_H

#include <stddef.h>

struct link {
    struct link *next, *prev; /* both NULL when in no list */
};

static inline void link_init(struct link *head) { head->next = head->prev = head; }

static inline void link_append(struct link *head, struct link *link) {
    link->prev = head->prev;
    link->next = head;
    link->prev->next = link;
    head->prev = link;
}

static inline void link_remove(struct link *link) {
    link->prev->next = link->next;
    link->next->prev = link->prev;
    link->next = link->prev = NULL;
}

#endif
