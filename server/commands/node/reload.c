/* reload.c: DEBUG RELOAD: the store is emptied and comes back, from the journal where there is one, else from
 * lines in memory: what a node keeps, and what it tells another one, is all that there is.
 *
 * A developer's command: it holds up the whole node while it lasts, and so nobody sees half a store. It runs
 * between the conns' turns, as the journal's own work does; those who have asked for it wait until then.
 */
#include "server/peers/reload.h"
#include "server/clients/clients.h"
#include "server/commands/rows.h"
#include "server/dispatch/command.h"
#include "server/journal/journal.h"
#include "server/peers/replicated_store.h"
#include "server/peers/replication.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { REASON_BYTES = 256 };

struct reload {
    struct clients *clients;
    struct task task;
};

/* --- From lines in memory --- */

/* All of the store as the lines of a state. */
static bool write_lines(struct keyspace *keyspace, struct buf *out) {
    uint64_t cursor = 0, count = 0;
    do {
        cursor = replicated_store_scan(keyspace, cursor, false, out, &count);
    } while (cursor != 0 && !buf_failed(out));
    return !buf_failed(out);
}

static enum err apply_lines(struct keyspace *keyspace, struct slice lines) {
    enum err err = ERR_NONE;
    struct buf scratch;
    buf_init(&scratch, LIMIT_LINE_BYTES);
    while (lines.len > 0 && err == ERR_NONE) {
        struct line line;
        const char *reason;
        err = line_decode(slice_take_until(&lines, '\n'), &scratch, &line, &reason) == LINE_OK
                  ? keyspace_apply(keyspace, &line, line.timestamp_ms)
                  : ERR_NO_MEMORY; /* a line of its own is good, but it is decoded into the scratch */
    }
    buf_deinit(&scratch);
    return err;
}

/* ERR_NO_MEMORY: nothing has changed, or *is_half: some of it is missing. */
static enum err reload_from_memory(struct keyspace *keyspace, bool *is_half) {
    struct buf lines;
    enum err err = ERR_NO_MEMORY;
    buf_init(&lines, SIZE_MAX / 2);
    if (write_lines(keyspace, &lines)) {
        uint64_t floor = keyspace_reload_begin(keyspace);
        err = apply_lines(keyspace, buf_slice(&lines));
        *is_half = err != ERR_NONE;
        keyspace_reload_end(keyspace, floor); /* no line of a state says it */
    }
    buf_deinit(&lines);
    return err;
}

/* --- The reload --- */

/* Why not now; NULL: it may be. */
static const char *what_is_in_the_way(const struct command_context *context) {
    if (replication_ready(context->replication) != ERR_NONE) {
        return "LOADING this node has not got the data of its group yet";
    }
    if (!replication_is_whole(context->replication)) {
        return "ERR a state of the group's leader is on its way into the store";
    }
    return NULL;
}

static void from_memory(const struct command_context *context, char error[REASON_BYTES]) {
    bool is_half = false;
    if (reload_from_memory(context->keyspace, &is_half) != ERR_NONE) {
        snprintf(error, REASON_BYTES, "ERR out of memory for a copy of the store");
    }
    if (is_half) {
        context->fail(context->node, "DEBUG RELOAD has emptied the store and has no memory to fill it again");
    }
}

static void from_journal(const struct command_context *context, char error[REASON_BYTES]) {
    const char *reason;
    switch (reload_from_journal(context->journal, context->keyspace, &reason)) {
    case RELOAD_DONE:
        break;
    case RELOAD_NOT_NOW:
        snprintf(error, REASON_BYTES, "MISCONF %s", reason);
        break;
    case RELOAD_OTHER_FLOOR:
        context->fail(context->node, "DEBUG RELOAD: the journal has another floor than the store had");
        snprintf(error, REASON_BYTES, "ERR %s: the node stops", reason);
        break;
    case RELOAD_FAILED:
        snprintf(error, REASON_BYTES, "ERR %s: the node stops", reason);
    }
}

/* error: "" or what is answered. */
static void reload(const struct command_context *context, char error[REASON_BYTES]) {
    uint64_t began_us = loop_monotonic_us();
    const char *reason = what_is_in_the_way(context);
    if (reason != NULL) {
        snprintf(error, REASON_BYTES, "%s", reason);
        return;
    }
    if (context->journal != NULL) {
        from_journal(context, error);
    } else {
        from_memory(context, error);
    }
    if (error[0] == '\0') {
        log_write(context->log, LOG_INFO, "reloaded", "from=%s keys=%zu ms=%llu",
                  context->journal != NULL ? "journal" : "memory", keyspace_count(context->keyspace),
                  (unsigned long long)(loop_monotonic_us() - began_us) / 1000);
    }
}

/* --- Those who have asked for it --- */

static void answer(struct client *client, const char *error) {
    struct resp_reply reply = {.out = conn_out(client->conn), .version = client->protocol};
    if (!client->reloads_silently && error[0] != '\0') {
        resp_errorf(&reply, "%s", error);
    } else if (!client->reloads_silently) {
        resp_status(&reply, "OK");
    }
    client->reloads = false;
    client_release(client, GATE_RELOAD);
}

static bool step(void *context) {
    struct reload *reloads = context;
    char error[REASON_BYTES] = "";
    reload(reloads->clients->context, error);
    for (struct client *client = reloads->clients->first, *next; client != NULL; client = next) {
        next = client->next;
        if (client->reloads) {
            answer(client, error);
        }
    }
    return false;
}

static bool start(struct clients *clients) {
    struct reload *reload_of_all = calloc(1, sizeof(*reload_of_all));
    clients->reload = reload_of_all;
    if (reload_of_all != NULL) {
        reload_of_all->clients = clients;
        reload_of_all->task = (struct task){.step = step, .context = reload_of_all};
    }
    return reload_of_all != NULL;
}

static void stop(struct clients *clients) {
    if (clients->reload != NULL) {
        task_stop(clients->loop, &clients->reload->task);
        free(clients->reload);
        clients->reload = NULL;
    }
}

static void end(struct client *client) { client->reloads = false; }

const struct feature feature_reload = {.end = end, .start = start, .stop = stop};

/* NOSAVE: what is in a journal is saved already, and without one nothing is. NOFLUSH and MERGE would have keys
 * stay that are not in what is read: but all that there are are. */
static bool takes_options(struct request *request) {
    for (size_t i = 2; i < request->arg_count; i++) {
        if (request_word(request, i, SLICE("noflush")) || request_word(request, i, SLICE("merge"))) {
            resp_errorf(&request->reply, "ERR DEBUG RELOAD does not take NOFLUSH or MERGE: the store is always "
                                         "emptied before it is read");
            return false;
        }
        if (!request_word(request, i, SLICE("nosave"))) {
            resp_error(&request->reply, ERR_SYNTAX);
            return false;
        }
    }
    return true;
}

void command_debug_reload(struct request *request) {
    struct client *client = request->client;
    if (takes_options(request)) {
        client->reloads = true;
        client->reloads_silently = request->reply.out != conn_out(client->conn);
        client_hold(client, GATE_RELOAD);
        task_start(request->context->loop, &client->clients->reload->task);
    }
}
