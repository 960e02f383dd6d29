#include "server/commands/client/pause.h"

#include "server/commands/rows.h"
#include "server/dispatch/command.h"
#include "server/store/keyspace.h"

#include <ev.h>
#include <stdlib.h>

struct pause {
    struct clients *clients;
    bool all;         /* not just writes */
    unsigned holds;   /* besides: a bit for each enum pause_hold for which writes wait */
    int64_t until_ms; /* monotonic */
    ev_timer over;    /* active: the pause is on */
};

static struct ev_loop *ev_of(const struct pause *pause) { return loop_ev(pause->clients->loop); }

static bool is_on(const struct pause *pause) { return ev_is_active(&pause->over); }

/* Who is still to wait is held anew, by its next try. */
static void release_all(struct pause *pause) {
    struct clients *clients = pause->clients;
    if (pause->holds == 0) {
        clients->gates &= ~(uint32_t)GATE_PAUSE;
    }
    struct client *next;
    for (struct client *client = clients->first; client != NULL; client = next) {
        next = client->next;
        client_release(client, GATE_PAUSE);
    }
}

/* Nothing expires, and nothing is evicted. */
static void freeze_data(struct pause *pause) {
    bool frozen = is_on(pause) || (pause->holds & 1U << PAUSE_FOR_FAILOVER) != 0;
    keyspace_set_paused(pause->clients->context->keyspace, frozen);
}

static void end(struct pause *pause) {
    ev_timer_stop(ev_of(pause), &pause->over);
    freeze_data(pause);
    release_all(pause);
}

static void on_over(struct ev_loop *ev, ev_timer *timer, int events) {
    (void)ev, (void)events;
    end(timer->data);
}

static bool start(struct clients *clients) {
    struct pause *pause = calloc(1, sizeof(*pause));
    clients->pause = pause;
    if (pause != NULL) {
        pause->clients = clients;
        ev_init(&pause->over, on_over);
        pause->over.data = pause;
    }
    return pause != NULL;
}

static void stop(struct clients *clients) {
    if (clients->pause != NULL) {
        ev_timer_stop(ev_of(clients->pause), &clients->pause->over);
        free(clients->pause);
        clients->pause = NULL;
    }
}

static enum feature_verdict before(struct request *request) {
    const struct pause *pause = request->client->clients->pause;
    bool all = is_on(pause) && pause->all;
    if (!all && (request->flags & (COMMAND_WRITE | COMMAND_SPREADS)) == 0) {
        return FEATURE_GO;
    }
    client_hold(request->client, GATE_PAUSE);
    return FEATURE_HELD;
}

const struct feature feature_pause = {.before = before, .start = start, .stop = stop};

static void begin(struct pause *pause, bool all, int64_t timeout_ms) {
    struct clients *clients = pause->clients;
    int64_t now_ms = loop_monotonic_ms(clients->loop), until_ms = now_ms + timeout_ms;
    /* A pause that is on is made longer and wider, never less. */
    pause->all = all || (is_on(pause) && pause->all);
    if (!is_on(pause) || until_ms > pause->until_ms) {
        pause->until_ms = until_ms;
    }
    clients->gates |= GATE_PAUSE;
    ev_timer_stop(ev_of(pause), &pause->over);
    ev_timer_set(&pause->over, (double)(pause->until_ms - now_ms) / 1e3, 0.);
    ev_timer_start(ev_of(pause), &pause->over);
    freeze_data(pause);
}

void command_client_pause(struct request *request) {
    struct clients *clients = request->client->clients;
    int64_t timeout_ms;
    bool all = true;
    if (request->arg_count > 4) {
        resp_error(&request->reply, ERR_SYNTAX);
        return;
    }
    if (request->arg_count == 4) {
        all = request_word(request, 3, SLICE("all"));
        if (!all && !request_word(request, 3, SLICE("write"))) {
            resp_errorf(&request->reply, "ERR CLIENT PAUSE mode must be WRITE or ALL");
            return;
        }
    }
    if (!request_timeout_ms(request, 2, &timeout_ms)) {
        return;
    }
    begin(clients->pause, all, timeout_ms);
    reply_ok(request);
}

void command_client_unpause(struct request *request) {
    end(request->client->clients->pause);
    reply_ok(request);
}

void pause_hold_writes(struct clients *clients, enum pause_hold hold, bool on) {
    struct pause *pause = clients->pause;
    pause->holds = on ? pause->holds | 1U << hold : pause->holds & ~(1U << hold);
    freeze_data(pause);
    if (on) {
        clients->gates |= GATE_PAUSE;
    } else if (!is_on(pause)) {
        release_all(pause);
    }
}
