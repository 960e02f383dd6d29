#include "server/commands/client/transactions.h"

#include "server/clients/interest.h"
#include "server/commands/rows.h"
#include "server/dispatch/dispatch.h"
#include "server/dispatch/walk.h"
#include "server/store/keyspace.h"

#include <stdlib.h>

/* A command that waits for EXEC: one allocation, its arguments' bytes behind their slices. */
struct queued {
    struct queued *next;
    const struct command *command;
    size_t arg_count;
    struct slice args[];
};

struct transaction {
    struct interested watching;
    bool open;   /* between MULTI and EXEC */
    bool failed; /* a command was refused */
    bool dirty;  /* a watched key has changed */
    struct queued *first, *last;
    size_t count, bytes;
    uint32_t flags; /* of all commands in the queue */
};

struct watches {
    struct interest keys;
    struct keyspace_observer observer; /* while there are any */
};

static struct transaction *transaction_of(struct client *client) {
    if (client->transaction == NULL) {
        client->transaction = calloc(1, sizeof(*client->transaction));
        if (client->transaction != NULL) {
            client->transaction->watching.client = client;
        }
    }
    return client->transaction;
}

int64_t transaction_queued(const struct client *client) {
    const struct transaction *transaction = client->transaction;
    return transaction == NULL || !transaction->open ? -1 : (int64_t)transaction->count;
}

size_t transaction_bytes(const struct client *client) {
    return client->transaction == NULL ? 0 : client->transaction->bytes;
}

bool transaction_dirty(const struct client *client) {
    return client->transaction != NULL && client->transaction->dirty;
}

static void free_queue(struct queued *queued) {
    while (queued != NULL) {
        struct queued *next = queued->next;
        free(queued);
        queued = next;
    }
}

/* --- Being told of changes --- */

static bool is_present(const struct keyspace *keyspace, struct slice name) {
    struct key key = keyspace_key(keyspace, name);
    return keyspace_peek(keyspace, &key) != NULL;
}

/* To whoever found it missing it is no change that what was left of it goes. */
static void key_changed(const struct interest_name *name, bool removed) {
    for (const struct interest_link *link = name->first; link != NULL; link = link->next) {
        bool was_present = link->noted;
        if (was_present || !removed) {
            link->who->client->transaction->dirty = true;
        }
    }
}

static void happened(void *context, const struct keyspace *keyspace, enum keyspace_event event,
                     struct slice key) {
    const struct clients *clients = context;
    const struct interest_name *name;
    if (event != KEYSPACE_FLUSHED) {
        name = interest_find(&clients->watches->keys, key);
        if (name != NULL) {
            key_changed(name, (event & KEYSPACE_REMOVALS) != 0);
        }
        return;
    }
    for (name = clients->watches->keys.first; name != NULL; name = name->next) {
        if (is_present(keyspace, interest_bytes(name))) {
            key_changed(name, true);
        }
    }
}

/* The keyspace is observed while a key is watched. */
static void follow_watched(struct clients *clients) {
    struct keyspace *keyspace = clients->context->keyspace;
    struct keyspace_observer *observer = &clients->watches->observer;
    if (clients->watches->keys.count == 0) {
        keyspace_unobserve(keyspace, observer);
        return;
    }
    observer->events = KEYSPACE_CHANGES | KEYSPACE_FLUSHED;
    observer->happened = happened;
    observer->context = clients;
    keyspace_observe(keyspace, observer);
}

static void unwatch(struct client *client) {
    interest_drop_all(&client->clients->watches->keys, &client->transaction->watching);
    client->transaction->dirty = false;
    follow_watched(client->clients);
}

static void forget(struct client *client) {
    if (client->transaction == NULL) {
        return;
    }
    unwatch(client);
    free_queue(client->transaction->first);
    free(client->transaction);
    client->transaction = NULL;
    client->gates &= ~(uint32_t)GATE_MULTI;
}

/* --- Queueing --- */

static struct queued *copy_request(const struct request *request, size_t *bytes) {
    size_t total = sizeof(struct queued) + request->arg_count * sizeof(struct slice);
    size_t slices = total;
    for (size_t i = 0; i < request->arg_count; i++) {
        total += request->args[i].len;
    }
    struct queued *queued = malloc(total);
    if (queued == NULL) {
        return NULL;
    }
    *queued = (struct queued){.command = request->command, .arg_count = request->arg_count};
    char *to = (char *)queued + slices;
    for (size_t i = 0; i < request->arg_count; i++) {
        struct slice arg = request->args[i];
        if (arg.len > 0) {
            memcpy(to, arg.ptr, arg.len);
        }
        queued->args[i] = slice_of(to, arg.len);
        to += arg.len;
    }
    *bytes = total;
    return queued;
}

static void queue(struct request *request) {
    struct transaction *transaction = request->client->transaction;
    size_t bytes = 0;
    if (request->command->flags & COMMAND_NO_MULTI) {
        transaction->failed = true;
        resp_errorf(&request->reply, "ERR Command not allowed inside a transaction");
        return;
    }
    if (transaction->failed) { /* nothing of it will run: why keep it */
        RESP_LITERAL(&request->reply, "+QUEUED\r\n");
        return;
    }
    struct queued *queued = copy_request(request, &bytes);
    if (queued == NULL) {
        transaction->failed = true;
        resp_error(&request->reply, ERR_NO_MEMORY);
        return;
    }
    *(transaction->last == NULL ? &transaction->first : &transaction->last->next) = queued;
    transaction->last = queued;
    transaction->count++;
    transaction->bytes += bytes;
    transaction->flags |= request->command->flags;
    RESP_LITERAL(&request->reply, "+QUEUED\r\n");
}

static void on_refused(struct request *request, size_t written_from) {
    struct client *client = request->client;
    struct buf *out = request->reply.out;
    client->transaction->failed = true;
    if (request->command == NULL || request->command->run != command_exec) {
        return;
    }
    /* An EXEC that is refused itself: "EXECABORT Transaction discarded because of: wrong number of ..." */
    char reason[256];
    struct slice text = slice_skip(buf_slice(out), written_from);
    static const char prefix[] = "-ERR ";
    size_t skipped = text.len >= 5 && memcmp(text.ptr, prefix, 5) == 0 ? 5 : 1;
    text = slice_first(slice_skip(text, skipped < text.len ? skipped : text.len), sizeof(reason));
    size_t length = text.len > 2 ? text.len - 2 : 0;
    memcpy(reason, text.ptr, length);
    buf_truncate(out, written_from);
    forget(client);
    resp_errorf(&request->reply, "EXECABORT Transaction discarded because of: %.*s", (int)length, reason);
}

/* --- Watching --- */

/* A key that has expired is a change also before somebody deletes it. */
static void look_for_expired(struct client *client) {
    struct transaction *transaction = client->transaction;
    for (const struct interest_link *link = transaction->watching.first; link != NULL; link = link->next_name) {
        bool was_present = link->noted;
        if (was_present && !is_present(client->clients->context->keyspace, interest_bytes(link->name))) {
            transaction->dirty = true;
        }
    }
}

/* False: out of memory. */
static bool watch(struct client *client, struct transaction *transaction, struct slice name) {
    struct interest_link *link;
    bool present = is_present(client->clients->context->keyspace, name);
    enum interest_added added =
        interest_add(&client->clients->watches->keys, &transaction->watching, name, &link);
    if (added == INTEREST_NEW) {
        link->noted = present;
    }
    return added != INTEREST_NO_MEMORY;
}

void command_watch(struct request *request) {
    struct client *client = request->client;
    if ((client->gates & GATE_MULTI) != 0) {
        resp_errorf(&request->reply, "ERR WATCH inside MULTI is not allowed");
        return;
    }
    struct transaction *transaction = transaction_of(client);
    bool ok = transaction != NULL;
    for (size_t i = 1; ok && i < request->arg_count; i++) {
        ok = watch(client, transaction, request->args[i]);
    }
    follow_watched(client->clients); /* of what there was memory for, in any case */
    if (ok) {
        reply_ok(request);
    } else {
        resp_error(&request->reply, ERR_NO_MEMORY);
    }
}

void command_unwatch(struct request *request) {
    if (request->client->transaction != NULL) {
        unwatch(request->client);
    }
    reply_ok(request);
}

/* --- MULTI, DISCARD, EXEC --- */

void command_multi(struct request *request) {
    struct client *client = request->client;
    if ((client->gates & GATE_MULTI) != 0) {
        resp_errorf(&request->reply, "ERR MULTI calls can not be nested");
        return;
    }
    struct transaction *transaction = transaction_of(client);
    if (transaction == NULL) {
        resp_error(&request->reply, ERR_NO_MEMORY);
        return;
    }
    transaction->open = true;
    client->gates |= GATE_MULTI;
    reply_ok(request);
}

void command_discard(struct request *request) {
    if ((request->client->gates & GATE_MULTI) == 0) {
        resp_errorf(&request->reply, "ERR DISCARD without MULTI");
        return;
    }
    forget(request->client);
    reply_ok(request);
}

static struct request request_of(const struct request *exec, const struct queued *queued) {
    struct request request = {
        .context = exec->context,
        .client = exec->client,
        .table = exec->table,
        .command = queued->command,
        .args = queued->args,
        .arg_count = queued->arg_count,
        .reply = {.out = exec->reply.out, .version = exec->client->protocol},
    };
    if (command_has_single_key(queued->command)) {
        request.key = keyspace_key(exec->context->keyspace, request_key_name(&request, 0));
    }
    return request;
}

static bool starts_with(struct slice text, struct slice head) {
    return text.len >= head.len && memcmp(text.ptr, head.ptr, head.len) == 0;
}

/* Why nothing is run. A redirection is given as it is, so that a cluster client follows it. */
static void refuse_all(struct request *exec, const struct buf *refusal) {
    struct slice text = buf_slice(refusal);
    if (buf_failed(refusal) || text.len <= 3) {
        resp_error(&exec->reply, ERR_NO_MEMORY);
    } else if (starts_with(text, SLICE("-MOVED")) || starts_with(text, SLICE("-C"))) {
        buf_append_slice(exec->reply.out, text); /* -C: CROSSSLOT, CLUSTERDOWN */
    } else {
        resp_errorf(&exec->reply, "EXECABORT Transaction discarded because of: %.*s", (int)text.len - 3,
                    text.ptr + 1);
    }
}

/* Is the data still this node's, and is there room for more? False: replied why not. */
static bool admits_all(struct request *exec, const struct queued *first) {
    struct buf refusal;
    buf_init(&refusal, SIZE_MAX);
    bool admitted = true;
    for (const struct queued *queued = first; queued != NULL && admitted; queued = queued->next) {
        struct request request = request_of(exec, queued);
        request.reply.out = &refusal;
        admitted = dispatch_admits(&request);
    }
    if (!admitted) {
        refuse_all(exec, &refusal);
    }
    buf_deinit(&refusal);
    return admitted;
}

static void run_all(struct request *exec, const struct queued *first, size_t count) {
    struct client *client = exec->client;
    struct keyspace *keyspace = exec->context->keyspace;
    resp_array(&exec->reply, count);
    client->executing = true;
    keyspace_batch_begin(keyspace);
    for (const struct queued *queued = first; queued != NULL; queued = queued->next) {
        struct request request = request_of(exec, queued);
        dispatch_queued(&request);
        exec->reply.out = request.reply.out; /* CLIENT REPLY is about what follows it, here too */
        walk_finish_now(&client->walk);
    }
    keyspace_batch_end(keyspace);
    client->executing = false;
    client->command = exec->command;
}

void command_exec(struct request *request) {
    struct client *client = request->client;
    struct transaction *transaction = client->transaction;
    if ((client->gates & GATE_MULTI) == 0) {
        resp_errorf(&request->reply, "ERR EXEC without MULTI");
        return;
    }
    look_for_expired(client);
    bool failed = transaction->failed, dirty = transaction->dirty;
    struct queued *first = transaction->first;
    size_t count = transaction->count;
    transaction->first = transaction->last = NULL;
    forget(client);
    if (failed) {
        resp_errorf(&request->reply, "EXECABORT Transaction discarded because of previous errors.");
    } else if (dirty) {
        resp_null_array(&request->reply);
    } else if (admits_all(request, first)) {
        run_all(request, first, count);
    }
    free_queue(first);
}

/* --- The feature: what is on between MULTI and EXEC --- */

/* Every command takes memory then: that of the queue. EXEC writes, or whatever, if what it runs does. */
static enum feature_verdict on_arrival(struct request *request) {
    const struct command *command = request->command;
    request->is_kept = (command->flags & (COMMAND_UNQUEUED | COMMAND_NO_MULTI)) == 0;
    if (command->run == command_exec) {
        request->flags |= request->client->transaction->flags;
    }
    return FEATURE_GO;
}

static enum feature_verdict before(struct request *request) {
    if ((request->command->flags & COMMAND_UNQUEUED) != 0) {
        return FEATURE_GO;
    }
    queue(request);
    return FEATURE_TAKEN;
}

static bool start(struct clients *clients) {
    clients->watches = calloc(1, sizeof(*clients->watches));
    return clients->watches != NULL && interest_init(&clients->watches->keys);
}

static void stop(struct clients *clients) {
    if (clients->watches != NULL) {
        interest_deinit(&clients->watches->keys);
        free(clients->watches);
        clients->watches = NULL;
    }
}

const struct feature feature_transactions = {
    .arrive = on_arrival,
    .before = before,
    .refused = on_refused,
    .bytes = transaction_bytes,
    .end = forget,
    .start = start,
    .stop = stop,
};
