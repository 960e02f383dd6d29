#include "server/commands/client/observer.h"

#include "server/commands/client/notify.h"
#include "server/commands/client/tracking.h"
#include "server/commands/client/transactions.h"

static bool changes_the_key(enum keyspace_event event) {
    return event != KEYSPACE_NEW && event != KEYSPACE_TIMED && event != KEYSPACE_MISSED;
}

static void happened(void *context, enum keyspace_event event, struct slice key) {
    struct clients *clients = context;
    if (event == KEYSPACE_FLUSHED) {
        transactions_flushed(clients);
        tracking_flushed(clients);
        return;
    }
    if (changes_the_key(event)) {
        transactions_key_changed(clients, key);
        bool by_server = event == KEYSPACE_EVICTED || event == KEYSPACE_SWEPT;
        tracking_key_changed(clients, key, by_server ? TRACKING_BY_SERVER : TRACKING_BY_CLIENT);
    }
    if ((clients->observed & OBSERVED_FOR_NOTIFICATION) != 0) {
        notify_event(clients, event, key);
    }
}

static uint32_t wanted(const struct clients *clients) {
    uint32_t why = 0;
    if (clients->watched.count > 0) {
        why |= OBSERVED_FOR_WATCH;
    }
    if (tracking_clients(clients) > 0) {
        why |= OBSERVED_FOR_TRACKING;
    }
    if (clients->context->settings->notify_flags != 0) {
        why |= OBSERVED_FOR_NOTIFICATION;
    }
    return why;
}

void observer_update(struct clients *clients) {
    uint32_t why = wanted(clients);
    struct keyspace_observer observer = {.happened = happened, .context = clients};
    if ((why == 0) != (clients->observed == 0)) {
        keyspace_observe(clients->context->keyspace, why == 0 ? NULL : &observer);
    }
    clients->observed = why;
    /* The name of an event may depend on the command that is being run. */
    if ((why & OBSERVED_FOR_NOTIFICATION) != 0) {
        clients->gates |= GATE_NOTIFY;
    } else {
        clients->gates &= ~(uint32_t)GATE_NOTIFY;
    }
}
