#include "server/clients/clients.h"

#include "server/settings.h"

#include <assert.h>
#include <stdlib.h>

enum {
    FIRST_BUCKETS = 64, /* a power of two */
    PRESENCE_EVERY_MS = 1000,
    HALF_CLOSED_MS = 5000, /* so long is waited for the answer of one that says no more */
};

/* --- The registry --- */

static struct client **bucket_of(const struct clients *clients, uint64_t id) {
    return &clients->buckets[id & (clients->bucket_count - 1)];
}

static void index_add(struct clients *clients, struct client *client) {
    struct client **bucket = bucket_of(clients, client->id);
    client->same_bucket = *bucket;
    *bucket = client;
}

static void index_remove(struct clients *clients, struct client *client) {
    struct client **at = bucket_of(clients, client->id);
    while (*at != client) {
        at = &(*at)->same_bucket;
    }
    *at = client->same_bucket;
}

/* Without memory for more buckets the chains get longer. */
static void index_grow(struct clients *clients) {
    if (clients->count < clients->bucket_count) {
        return;
    }
    struct client **buckets = calloc(clients->bucket_count * 2, sizeof(struct client *));
    if (buckets == NULL) {
        return;
    }
    free(clients->buckets);
    clients->buckets = buckets;
    clients->bucket_count *= 2;
    for (struct client *client = clients->first; client != NULL; client = client->next) {
        index_add(clients, client);
    }
}

struct client *clients_find(const struct clients *clients, uint64_t id) {
    struct client *client = *bucket_of(clients, id);
    while (client != NULL && client->id != id) {
        client = client->same_bucket;
    }
    return client;
}

static void begin(struct client *client) {
    const struct clients *clients = client->clients;
    for (uint32_t bits = clients->with.begin; bits != 0;) {
        clients_next_feature(clients, &bits)->begin(client);
    }
}

void clients_add(struct clients *clients, struct client *client) {
    client->clients = clients;
    client->id = ++clients->last_id;
    client->created_ms = client->active_ms = loop_monotonic_ms(clients->loop);
    buf_init(&client->pushes, SIZE_MAX);
    index_grow(clients);
    index_add(clients, client);
    client->next = NULL;
    client->prev = clients->last;
    if (clients->last == NULL) {
        clients->first = client;
    } else {
        clients->last->next = client;
    }
    clients->last = client;
    clients->count++;
    begin(client);
}

static void add_pending(struct client **first, struct client *client) {
    client->pending = true;
    client->next_pending = *first;
    client->pending_from = first;
    if (*first != NULL) {
        (*first)->pending_from = &client->next_pending;
    }
    *first = client;
}

static void forget_pending(struct client *client) {
    if (client->pending) {
        *client->pending_from = client->next_pending;
        if (client->next_pending != NULL) {
            client->next_pending->pending_from = client->pending_from;
        }
        client->pending = false;
    }
}

static void forget_state(struct client *client) {
    const struct clients *clients = client->clients;
    for (uint32_t bits = clients->with.end; bits != 0;) {
        clients_next_feature(clients, &bits)->end(client);
    }
}

void client_reset(struct client *client) {
    forget_state(client);
    client->protocol = 2;
    client->no_evict = client->no_touch = false;
    begin(client);
}

static void leave_features(struct client *client) {
    const struct clients *clients = client->clients;
    forget_state(client);
    for (uint32_t bits = clients->with.gone; bits != 0;) {
        clients_next_feature(clients, &bits)->gone(client);
    }
}

void clients_remove(struct client *client) {
    struct clients *clients = client->clients;
    leave_features(client);
    clients->held_count -= client->holds != 0;
    forget_pending(client);
    buf_deinit(&client->pushes);
    for (size_t i = 0; i < CLIENT_TEXTS; i++) {
        free(client->texts[i]);
        client->texts[i] = NULL;
    }
    index_remove(clients, client);
    *(client->prev == NULL ? &clients->first : &client->prev->next) = client->next;
    *(client->next == NULL ? &clients->last : &client->next->prev) = client->prev;
    clients->count--;
    if (clients->current == client) {
        clients->current = NULL;
    }
}

/* --- Messages --- */

static size_t push_limit_bytes(const struct clients *clients) {
    int64_t limit = clients->context->settings->output_limits[CLIENT_CLASS_PUBSUB].hard_bytes;
    return limit <= 0 ? SIZE_MAX : (size_t)limit;
}

/* Takes the client for one that does not read when more than the limit of what it has not taken are messages.
 * Replies do not count: they are what it has asked for. */
static bool overflows(struct client *client, size_t n) {
    size_t untaken = buf_used(conn_out(client->conn)) + buf_used(&client->pushes);
    if (client->untaken_pushes > untaken) {
        client->untaken_pushes = untaken;
    }
    client->untaken_pushes += n;
    return client->untaken_pushes > push_limit_bytes(client->clients);
}

void client_push(struct client *client, const struct buf *messages) {
    struct clients *clients = client->clients;
    struct slice bytes = buf_slice(messages);
    if (!client->pending) {
        add_pending(&clients->pending, client);
    }
    client->overflowed = client->overflowed || buf_failed(messages) || overflows(client, bytes.len);
    if (client->overflowed) {
        return;
    }
    bool waits = client == clients->current || client->answering || buf_used(&client->pushes) > 0;
    buf_append_slice(waits ? &client->pushes : conn_out(client->conn), bytes);
    client->overflowed |= buf_failed(&client->pushes);
}

void client_deliver(struct client *client) {
    if (buf_used(&client->pushes) == 0 || client->answering) {
        return;
    }
    client->ran = UINT32_MAX; /* by others, who knows by what */
    buf_append_slice(conn_out(client->conn), buf_slice(&client->pushes));
    buf_deinit(&client->pushes);
}

static void tell_sent(struct client *client) {
    const struct clients *clients = client->clients;
    for (uint32_t bits = clients->with.sent; bits != 0;) {
        clients_next_feature(clients, &bits)->sent(client);
    }
}

/* Before the poll: what has been written for others than the client of the moment is sent. What waits for the
 * end of an answer is looked after again in the next iteration. */
static void send_pending(struct clients *clients) {
    struct client *waiting = NULL;
    while (clients->pending != NULL) {
        struct client *client = clients->pending;
        forget_pending(client);
        if (client->overflowed) {
            conn_close(client->conn, CLOSE_OUTPUT_LIMIT);
        } else if (client->answering) {
            add_pending(&waiting, client);
        } else {
            client_deliver(client);
            conn_flush(client->conn);
            tell_sent(client);
        }
    }
    clients->pending = waiting;
    if (waiting != NULL) {
        waiting->pending_from = &clients->pending;
    }
}

static void flush_features(struct clients *clients) {
    uint32_t due = clients->due;
    clients->due = 0;
    while (due != 0) {
        clients_next_feature(clients, &due)->flush(clients);
    }
}

static void flush(void *context) {
    struct clients *clients = context;
    if (clients->due != 0) {
        flush_features(clients);
    }
    if (clients->pending != NULL) {
        send_pending(clients);
    }
}

/* --- Holding back: a held client is not read from, so whether it is still there has to be asked for --- */

static void look_later(struct client *client) {
    conn_set_deadline(client->conn, loop_monotonic_ms(client->clients->loop) + PRESENCE_EVERY_MS);
}

/* A peer that says no more waits for what it is owed, or has left altogether: TCP says both with
 * the same FIN. So it gets some time, but not for ever: one that gave up, and came again, would have its old
 * command run besides the new one, and what WAIT 0 waits for may never come. */
static bool has_left(struct client *client) {
    int64_t now_ms = loop_monotonic_ms(client->clients->loop);
    bool says_no_more;
    if (conn_peer_is_gone(client->conn, &says_no_more) || !says_no_more) {
        return says_no_more;
    }
    if (client->half_closed_ms == 0) {
        client->half_closed_ms = now_ms;
    }
    return now_ms - client->half_closed_ms >= HALF_CLOSED_MS;
}

void client_look_for(struct client *client) {
    if (has_left(client)) {
        conn_close(client->conn, CLOSE_PEER);
    } else {
        look_later(client);
    }
}

void client_hold(struct client *client, enum client_gate why) {
    client->clients->held_count += client->holds == 0;
    client->holds |= (uint32_t)why;
    conn_pause(client->conn);
    look_later(client);
}

void client_release(struct client *client, enum client_gate why) {
    if ((client->holds & (uint32_t)why) == 0) {
        return;
    }
    client->holds &= ~(uint32_t)why;
    if (client->holds != 0) {
        return;
    }
    client->clients->held_count--;
    conn_set_deadline(client->conn, client_idle_deadline(client->clients));
    if (!client->answering) {
        conn_resume(client->conn);
    }
}

int64_t client_idle_deadline(const struct clients *clients) {
    int64_t timeout_s = clients->context->settings->timeout_s;
    return timeout_s == 0 ? 0 : loop_monotonic_ms(clients->loop) + timeout_s * 1000;
}

/* --- Life --- */

void clients_tick(struct clients *clients) {
    for (uint32_t bits = clients->with.tick; bits != 0;) {
        clients_next_feature(clients, &bits)->tick(clients);
    }
}

static struct feature_masks masks_of(const feature_table *features) {
    struct feature_masks with = {0};
    for (int i = 0; i < FEATURES; i++) {
        const struct feature *feature = (*features)[i];
        uint32_t bit = UINT32_C(1) << i;
        with.arrive |= feature->arrive != NULL ? bit : 0;
        with.before |= feature->before != NULL ? bit : 0;
        with.refused |= feature->refused != NULL ? bit : 0;
        with.after |= feature->after != NULL ? bit : 0;
        with.bytes |= feature->bytes != NULL ? bit : 0;
        with.begin |= feature->begin != NULL ? bit : 0;
        with.end |= feature->end != NULL ? bit : 0;
        with.gone |= feature->gone != NULL ? bit : 0;
        with.sent |= feature->sent != NULL ? bit : 0;
        with.stop |= feature->stop != NULL ? bit : 0;
        with.tick |= feature->tick != NULL ? bit : 0;
        with.is_stranger |= feature->is_stranger ? bit : 0;
        with.listens |= feature->listens ? bit : 0;
        with.subscribes |= feature->subscribes ? bit : 0;
    }
    return with;
}

static bool start_features(struct clients *clients) {
    bool started = true;
    for (int i = 0; i < FEATURES && started; i++) {
        const struct feature *feature = (*clients->features)[i];
        started = feature->start == NULL || feature->start(clients);
    }
    return started;
}

static void stop_features(struct clients *clients) {
    for (uint32_t bits = clients->with.stop; bits != 0;) {
        clients_next_feature(clients, &bits)->stop(clients);
    }
}

struct clients *clients_create(const struct command_context *context, const feature_table *features) {
    struct clients *clients = calloc(1, sizeof(*clients));
    if (clients == NULL) {
        return NULL;
    }
    clients->context = context;
    clients->loop = context->loop;
    clients->features = features;
    clients->with = masks_of(features);
    buf_init(&clients->nowhere, 0);
    clients->bucket_count = FIRST_BUCKETS;
    clients->buckets = calloc(clients->bucket_count, sizeof(struct client *));
    if (clients->buckets == NULL || !start_features(clients)) {
        stop_features(clients);
        free(clients->buckets);
        free(clients);
        return NULL;
    }
    clients->flush = (struct loop_hook){.run = flush, .context = clients};
    loop_add_hook(clients->loop, LOOP_CLIENTS, &clients->flush);
    return clients;
}

void clients_destroy(struct clients **handle) {
    struct clients *clients = *handle;
    if (clients == NULL) {
        return;
    }
    *handle = NULL;
    assert(clients->first == NULL);
    loop_remove_hook(clients->loop, &clients->flush);
    stop_features(clients);
    free(clients->buckets);
    free(clients);
}
