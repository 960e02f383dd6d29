#include "server/store/keyspace_internal.h"

static void note_observed(struct keyspace *keyspace) {
    keyspace->observed = 0;
    for (const struct keyspace_observer *observer = keyspace->observers; observer != NULL;
         observer = observer->next) {
        keyspace->observed |= observer->events;
    }
}

void keyspace_set_telling(struct keyspace *keyspace, bool telling) {
    keyspace->observed = 0;
    if (telling) {
        note_observed(keyspace);
    }
}

void keyspace_unobserve(struct keyspace *keyspace, struct keyspace_observer *observer) {
    struct keyspace_observer **at = &keyspace->observers;
    while (*at != NULL && *at != observer) {
        at = &(*at)->next;
    }
    if (*at != NULL) {
        *at = observer->next;
        note_observed(keyspace);
    }
}

void keyspace_observe(struct keyspace *keyspace, struct keyspace_observer *observer) {
    keyspace_unobserve(keyspace, observer);
    observer->next = keyspace->observers;
    keyspace->observers = observer;
    note_observed(keyspace);
}

static void tell(const struct keyspace *keyspace, enum keyspace_event event, struct slice key) {
    for (const struct keyspace_observer *observer = keyspace->observers; observer != NULL;
         observer = observer->next) {
        if ((observer->events & event) != 0) {
            observer->happened(observer->context, keyspace, event, key);
        }
    }
}

void keyspace_tell_observers(const struct keyspace *keyspace, uint32_t events, struct slice key) {
    for (uint32_t left = events & keyspace->observed; left != 0; left &= left - 1) {
        tell(keyspace, (enum keyspace_event)(left & -left), key);
    }
}
