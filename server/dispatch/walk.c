#include "server/dispatch/walk.h"

#include "server/dispatch/telemetry.h"
#include "server/store/keyspace.h"

#include <assert.h>
#include <stdlib.h>

enum {
    SLICE_US = 100,
    BUCKETS_BETWEEN_CLOCKS = 16,
    CHUNK_BYTES = 64 << 10, /* a longer run would be moved as it grows, and that takes time */
};

struct chunk {
    struct chunk *next;
    struct buf bytes;
};

/* The request that the walk answers, as it was: its own arguments are gone by the end. */
struct walk_request {
    struct request request;
    struct buf bytes;
    struct slice *args; /* NULL: there was no memory for them */
    bool timed;
    uint64_t us; /* that it has taken so far */
};

struct walk {
    struct task task;
    struct loop *loop;
    struct net *net;
    struct keyspace *keyspace;
    struct client *client; /* owns the walk */
    uint64_t conn_id;
    const struct walk_kind *kind;
    void *state;
    uint64_t cursor;
    bool gathered;
    bool out_of_memory;
    size_t added;
    struct chunk *first, *last;
    struct walk_request asked;
};

/* --- How long it takes in all --- */

static void keep_request(struct walk_request *asked, const struct request *request) {
    size_t count = request->arg_count, at = 0;
    assert(count > 0); /* its name */
    asked->request = *request;
    asked->request.args = NULL;
    asked->request.arg_count = 0;
    buf_init(&asked->bytes, SIZE_MAX);
    for (size_t i = 0; i < count; i++) {
        buf_append_slice(&asked->bytes, request->args[i]);
    }
    asked->args = buf_failed(&asked->bytes) ? NULL : calloc(count, sizeof(*asked->args));
    for (size_t i = 0; asked->args != NULL && i < count; i++) {
        asked->args[i] = slice_first(slice_skip(buf_slice(&asked->bytes), at), request->args[i].len);
        at += request->args[i].len;
        asked->request.args = asked->args;
        asked->request.arg_count = count;
    }
}

static void forget_request(struct walk_request *asked) {
    buf_deinit(&asked->bytes);
    free(asked->args);
}

void walk_time(struct walk *walk, uint64_t us) {
    walk->asked.timed = true;
    walk->asked.us += us;
}

static void tell_time(const struct walk_request *asked) {
    struct telemetry *telemetry = asked->request.context->telemetry;
    if (asked->timed) {
        telemetry_timed(&asked->request, telemetry_stat(telemetry, asked->request.command), asked->us);
    }
}

/* --- */

void *walk_state(const struct walk *walk) { return walk->state; }

size_t walk_added(const struct walk *walk) { return walk->added; }

uint64_t walk_cursor(const struct walk *walk) { return walk->cursor; }

static struct chunk *add_chunk(struct walk *walk) {
    struct chunk *chunk = malloc(sizeof(*chunk));
    if (chunk == NULL) {
        return NULL;
    }
    chunk->next = NULL;
    buf_init(&chunk->bytes, SIZE_MAX);
    if (walk->last == NULL) {
        walk->first = chunk;
    } else {
        walk->last->next = chunk;
    }
    walk->last = chunk;
    return chunk;
}

void walk_add_bulk(struct walk *walk, struct slice bytes) {
    struct chunk *chunk = walk->last;
    if (chunk == NULL || buf_used(&chunk->bytes) + bytes.len > CHUNK_BYTES) {
        chunk = add_chunk(walk);
        if (chunk == NULL) {
            walk->out_of_memory = true;
            return;
        }
    }
    resp_bulk(&(struct resp_reply){.out = &chunk->bytes, .version = walk->client->protocol}, bytes);
    walk->out_of_memory = walk->out_of_memory || buf_failed(&chunk->bytes);
    walk->added++;
}

static void drop_first_chunk(struct walk *walk) {
    struct chunk *chunk = walk->first;
    walk->first = chunk->next;
    if (walk->first == NULL) {
        walk->last = NULL;
    }
    buf_deinit(&chunk->bytes);
    free(chunk);
}

void walk_destroy(struct walk **handle) {
    struct walk *walk = *handle;
    if (walk == NULL) {
        return;
    }
    *handle = NULL;
    walk->client->answering = false;
    task_stop(walk->loop, &walk->task);
    if (!walk->gathered) {
        keyspace_unpin(walk->keyspace);
    }
    while (walk->first != NULL) {
        drop_first_chunk(walk);
    }
    walk->kind->release(walk->state);
    forget_request(&walk->asked);
    free(walk);
}

static void visit_entry(void *context, const struct entry *entry) {
    struct walk *walk = context;
    walk->kind->visit(walk, entry);
}

static void finish_gathering(struct walk *walk, struct conn *conn) {
    walk->gathered = true;
    keyspace_unpin(walk->keyspace);
    struct resp_reply reply = {.out = conn_out(conn), .version = walk->client->protocol};
    if (!walk->out_of_memory) {
        walk->kind->finish(walk, &reply);
        return;
    }
    while (walk->first != NULL) {
        drop_first_chunk(walk);
    }
    resp_error(&reply, ERR_NO_MEMORY);
}

static bool has_all(struct walk *walk) {
    return walk->cursor == 0 || walk->out_of_memory ||
           (walk->kind->is_enough != NULL && walk->kind->is_enough(walk));
}

static void gather(struct walk *walk, struct conn *conn) {
    uint64_t begin_us = loop_monotonic_us(), now_us;
    do {
        for (int i = 0; i < BUCKETS_BETWEEN_CLOCKS; i++) {
            walk->cursor = keyspace_scan(walk->keyspace, walk->cursor, visit_entry, walk);
            if (has_all(walk)) {
                finish_gathering(walk, conn);
                walk->asked.us += loop_monotonic_us() - begin_us;
                tell_time(&walk->asked);
                return;
            }
        }
        now_us = loop_monotonic_us();
    } while (now_us < begin_us + SLICE_US);
    walk->asked.us += now_us - begin_us;
}

/* One slice of sending; false: nothing to do until there is room, or ever. The walk may be gone then. */
static bool send_gathered(struct walk *walk, struct conn *conn) {
    struct net *net = walk->net;
    uint64_t conn_id = walk->conn_id;
    for (int i = 0; walk->first != NULL && !conn_out_full(conn) && i < 4; i++) {
        buf_append_slice(conn_out(conn), buf_slice(&walk->first->bytes));
        drop_first_chunk(walk);
    }
    if (walk->first == NULL) {
        walk_destroy(&walk->client->walk);
        conn_resume(conn);
        return false;
    }
    conn_flush(conn);
    if (conn_find(net, conn_id) == NULL) {
        return false; /* the session destroyed the walk */
    }
    if (conn_output_bytes(conn) < CONN_OUT_LOW_BYTES) {
        return true;
    }
    task_stop(walk->loop, &walk->task);
    conn_want_room(conn);
    return false;
}

static bool step(void *context) {
    struct walk *walk = context;
    struct conn *conn = conn_find(walk->net, walk->conn_id);
    if (conn == NULL) {
        return false; /* draining: nothing is taken any more, and the session will destroy the walk */
    }
    if (!walk->gathered) {
        gather(walk, conn);
        return true;
    }
    return send_gathered(walk, conn);
}

void walk_on_room(struct walk *walk) { task_start(walk->loop, &walk->task); }

void walk_finish_now(struct walk **handle) {
    struct walk *walk = *handle;
    if (walk == NULL) {
        return;
    }
    struct conn *conn = walk->client->conn;
    while (!walk->gathered) {
        gather(walk, conn);
    }
    while (walk->first != NULL) {
        buf_append_slice(conn_out(conn), buf_slice(&walk->first->bytes));
        drop_first_chunk(walk);
    }
    walk_destroy(handle);
    conn_resume(conn);
}

void walk_start(struct request *request, const struct walk_kind *kind, uint64_t cursor, void *state_owned) {
    const struct command_context *context = request->context;
    struct client *client = request->client;
    if (state_owned != NULL && request->reply.out != conn_out(client->conn)) {
        kind->release(state_owned); /* CLIENT REPLY OFF: nobody will see the answer */
        return;
    }
    struct walk *walk = state_owned == NULL ? NULL : malloc(sizeof(*walk));
    if (walk == NULL) {
        if (state_owned != NULL) {
            kind->release(state_owned);
        }
        resp_error(&request->reply, ERR_NO_MEMORY);
        return;
    }
    *walk = (struct walk){
        .task = {.step = step, .context = walk},
        .loop = context->loop,
        .net = context->net,
        .keyspace = context->keyspace,
        .client = client,
        .conn_id = conn_id(client->conn),
        .kind = kind,
        .state = state_owned,
        .cursor = cursor,
    };
    keep_request(&walk->asked, request);
    client->walk = walk;
    client->answering = true;
    keyspace_pin(walk->keyspace);
    conn_pause(client->conn);
    task_start(walk->loop, &walk->task);
}

static void end(struct client *client) { walk_destroy(&client->walk); }

const struct feature feature_walk = {.end = end};
