#include "server/commands/client/wait.h"

#include "cluster/history.h"
#include "cluster/routing.h"
#include "server/clients/clients.h"
#include "server/commands/rows.h"
#include "server/dispatch/command.h"
#include "server/journal/journal.h"
#include "server/peers/replication.h"

#include <ev.h>
#include <stdlib.h>

/* What is waited for, and how the answer is put. */
struct goal {
    uint64_t index; /* of the history: the newest line when the command came */
    int64_t followers;
    int64_t local; /* 1: on this node's disk, too */
    bool on_disk;  /* WAITAOF, SAVE: what is on disks counts */
    bool is_save;  /* answered with OK */
};

struct wait {
    struct client *client; /* owns the wait */
    struct goal goal;
    bool silent;              /* the client does not want replies */
    ev_timer deadline;        /* not active: for ever */
    struct wait *next, *prev; /* in its queue */
};

/* By goal.index, which but for a new history only rises: a new wait comes last. */
struct queue {
    struct wait *first, *last;
};

struct waits {
    struct queue queues[2];    /* by goal.on_disk: they wait for different numbers */
    uint64_t acknowledgements; /* that had come when they were looked at last */
    uint64_t synced_index;     /* likewise: of this node's journal */
};

/* How far a goal has been reached. */
struct reached {
    int64_t local, followers;
};

static struct reached count(const struct command_context *context, const struct goal *goal) {
    if (!goal->on_disk) {
        return (struct reached){.followers =
                                    (int64_t)replication_acknowledged(context->replication, goal->index)};
    }
    return (struct reached){
        .local = context->journal != NULL && journal_synced_index(context->journal) >= goal->index,
        .followers = (int64_t)replication_durable(context->replication, goal->index),
    };
}

static bool is_reached(const struct goal *goal, struct reached reached) {
    return reached.local >= goal->local && reached.followers >= goal->followers;
}

static void write_reply(struct resp_reply *reply, const struct goal *goal, struct reached reached) {
    if (goal->is_save) {
        resp_status(reply, "OK");
        return;
    }
    if (goal->on_disk) {
        resp_array(reply, 2);
        resp_integer(reply, reached.local);
    }
    resp_integer(reply, reached.followers);
}

/* --- The queues --- */

static struct queue *queue_of(const struct wait *wait) {
    return &wait->client->clients->waits->queues[wait->goal.on_disk];
}

static void enqueue(struct wait *wait) {
    struct queue *queue = queue_of(wait);
    struct wait *before = queue->last;
    while (before != NULL && before->goal.index > wait->goal.index) {
        before = before->prev;
    }
    wait->prev = before;
    wait->next = before == NULL ? queue->first : before->next;
    *(wait->prev == NULL ? &queue->first : &wait->prev->next) = wait;
    *(wait->next == NULL ? &queue->last : &wait->next->prev) = wait;
    wait->client->clients->due |= GATE_WAIT;
}

static void dequeue(struct wait *wait) {
    struct queue *queue = queue_of(wait);
    *(wait->prev == NULL ? &queue->first : &wait->prev->next) = wait->next;
    *(wait->next == NULL ? &queue->last : &wait->next->prev) = wait->prev;
}

/* --- The end of a wait: one reply, then the client goes on --- */

static void forget(struct client *client) {
    struct wait *wait = client->wait;
    if (wait != NULL) {
        client->wait = NULL;
        dequeue(wait);
        ev_timer_stop(loop_ev(client->clients->loop), &wait->deadline);
        free(wait);
    }
}

static void end(struct wait *wait, const char *error) {
    struct client *client = wait->client;
    if (!wait->silent) {
        struct resp_reply reply = {.out = conn_out(client->conn), .version = client->protocol};
        if (error != NULL) {
            resp_errorf(&reply, "%s", error);
        } else {
            write_reply(&reply, &wait->goal, count(client->clients->context, &wait->goal));
        }
    }
    forget(client);
    client_release(client, GATE_WAIT);
}

static void end_all(struct queue *queue, const char *error) {
    while (queue->first != NULL) {
        end(queue->first, error);
    }
}

/* Whom nobody has acknowledged is followed by others of whom that is true. */
static void look_at(struct queue *queue, const struct command_context *context) {
    for (struct wait *wait = queue->first, *next; wait != NULL; wait = next) {
        struct reached reached = count(context, &wait->goal);
        if (reached.followers == 0 && reached.local == 0) {
            return;
        }
        next = wait->next;
        if (is_reached(&wait->goal, reached)) {
            end(wait, NULL);
        }
    }
}

/* At every iteration as long as anybody waits. */
static void look(struct clients *clients) {
    struct waits *waits = clients->waits;
    const struct command_context *context = clients->context;
    uint64_t acknowledgements = replication_acknowledgements(context->replication);
    uint64_t synced_index = context->journal == NULL ? 0 : journal_synced_index(context->journal);
    bool leads = context->routing->self_leader;
    bool news = acknowledgements != waits->acknowledgements || synced_index != waits->synced_index;
    waits->acknowledgements = acknowledgements;
    waits->synced_index = synced_index;
    for (size_t i = 0; i < 2; i++) {
        if (!leads) {
            end_all(&waits->queues[i],
                    "UNBLOCKED force unblock from blocking operation, instance state changed "
                    "(master -> replica?)");
        } else if (news) {
            look_at(&waits->queues[i], context);
        }
        clients->due |= waits->queues[i].first != NULL ? GATE_WAIT : 0U;
    }
}

static void on_deadline(struct ev_loop *ev, ev_timer *timer, int events) {
    (void)ev, (void)events;
    end(timer->data, NULL);
}

static bool start_all(struct clients *clients) {
    clients->waits = calloc(1, sizeof(struct waits));
    return clients->waits != NULL;
}

static void stop_all(struct clients *clients) {
    free(clients->waits);
    clients->waits = NULL;
}

const struct feature feature_wait = {.end = forget, .start = start_all, .stop = stop_all, .flush = look};

bool wait_unblock(struct client *client, bool error) {
    if (client->wait == NULL) {
        return false;
    }
    end(client->wait, error ? "UNBLOCKED client unblocked via CLIENT UNBLOCK" : NULL);
    return true;
}

/* --- Its beginning --- */

static bool start(struct request *request, const struct goal *goal, int64_t timeout_ms) {
    const struct command_context *context = request->context;
    struct client *client = request->client;
    struct wait *wait = calloc(1, sizeof(*wait));
    if (wait == NULL) {
        return false;
    }
    *wait = (struct wait){
        .client = client,
        .goal = *goal,
        .silent = request->reply.out != conn_out(client->conn),
    };
    ev_timer_init(&wait->deadline, on_deadline, (double)timeout_ms / 1e3, 0.);
    wait->deadline.data = wait;
    if (timeout_ms > 0) {
        ev_timer_start(loop_ev(context->loop), &wait->deadline);
    }
    enqueue(wait);
    client->wait = wait;
    client_hold(client, GATE_WAIT);
    replication_ask_followers(context->replication);
    if (goal->local > 0) {
        journal_ask_sync(context->journal);
    }
    return true;
}

static void wait_for(struct request *request, const struct goal *goal, int64_t timeout_ms) {
    struct reached reached = count(request->context, goal);
    if (is_reached(goal, reached) || request->client->executing) {
        write_reply(&request->reply, goal, reached);
    } else if (!start(request, goal, timeout_ms)) {
        resp_error(&request->reply, ERR_NO_MEMORY);
    }
}

void command_wait(struct request *request) {
    const struct command_context *context = request->context;
    struct goal goal = {.index = history_index(context->history)};
    int64_t timeout_ms;
    if (replication_ready(context->replication) != ERR_NONE) {
        resp_error(&request->reply, ERR_LOADING);
    } else if (!context->routing->self_leader) {
        resp_errorf(
            &request->reply,
            "ERR WAIT cannot be used with replica instances. Please also note that since Redis 4.0 if a "
            "replica is configured to be writable (which is not the default) writes to replicas are just "
            "local and are not propagated.");
    } else if (request_integer(request, 1, &goal.followers) && request_timeout_ms(request, 2, &timeout_ms)) {
        wait_for(request, &goal, timeout_ms);
    }
}

void command_waitaof(struct request *request) {
    struct goal goal = {.index = history_index(request->context->history), .on_disk = true};
    int64_t timeout_ms;
    if (!request_integer(request, 1, &goal.local)) {
        return;
    }
    if (goal.local < 0 || goal.local > 1) {
        resp_errorf(&request->reply, "ERR value is out of range, value must between 0 and 1");
        return;
    }
    if (!request_integer(request, 2, &goal.followers)) {
        return;
    }
    if (goal.followers < 0) {
        resp_errorf(&request->reply, "ERR value is out of range, must be positive");
        return;
    }
    if (!request_timeout_ms(request, 3, &timeout_ms)) {
        return;
    }
    if (!request->context->routing->self_leader) {
        resp_errorf(&request->reply,
                    "ERR WAITAOF cannot be used with replica instances. Please also note that writes "
                    "to replicas are just local and are not propagated.");
    } else if (goal.local > 0 && request->context->journal == NULL) {
        resp_errorf(&request->reply,
                    "ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.");
    } else {
        wait_for(request, &goal, timeout_ms);
    }
}

void command_save(struct request *request) {
    const struct goal goal = {
        .index = history_index(request->context->history), .local = 1, .on_disk = true, .is_save = true};
    if (request->context->journal == NULL) {
        resp_error(&request->reply, ERR_NOT_KEPT);
    } else if (request->context->routing->cannot_keep) {
        resp_error(&request->reply, ERR_MISCONF);
    } else {
        wait_for(request, &goal, 0);
    }
}
