#include "server/upkeep.h"

#include "server/clients/clients.h"
#include "server/dispatch/telemetry.h"
#include "server/memory/huge_pages.h"
#include "server/store/keyspace.h"

#include <ev.h>
#include <stdlib.h>

enum { TICK_MS = 100 };

struct upkeep {
    struct clients *clients;
    ev_timer timer;
};

static void on_tick(struct ev_loop *ev, ev_timer *timer, int events) {
    (void)ev, (void)events;
    struct clients *clients = ((struct upkeep *)timer->data)->clients;
    keyspace_note_peak(clients->context->keyspace);
    telemetry_sample(clients->context);
    clients_tick(clients);
    huge_pages_give_back();
}

struct upkeep *upkeep_create(struct clients *clients) {
    struct upkeep *upkeep = calloc(1, sizeof(*upkeep));
    if (upkeep == NULL) {
        return NULL;
    }
    upkeep->clients = clients;
    ev_timer_init(&upkeep->timer, on_tick, TICK_MS / 1e3, TICK_MS / 1e3);
    upkeep->timer.data = upkeep;
    ev_timer_start(loop_ev(clients->loop), &upkeep->timer);
    return upkeep;
}

void upkeep_destroy(struct upkeep **handle) {
    struct upkeep *upkeep = *handle;
    if (upkeep == NULL) {
        return;
    }
    *handle = NULL;
    ev_timer_stop(loop_ev(upkeep->clients->loop), &upkeep->timer);
    free(upkeep);
}
