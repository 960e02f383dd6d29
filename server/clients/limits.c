#include "server/clients/limits.h"

#include "server/log.h"
#include "server/settings.h"
#include "server/stats.h"
#include "server/store/keyspace.h"

#include <stdlib.h>

enum {
    LOOKS_A_ROUND = 10,
    COUNTED_A_STEP = 256,
    CLOSED_A_PASS = 8,
    SMALLEST_LIMIT_BYTES = 128 << 10, /* as in Redis: under it nobody could say anything any more */
    SMALL_BYTES = 32 << 10,           /* of a client: as Redis's smallest class of them */
};

/* --- What a client takes --- */

struct client_waiting client_waiting(const struct client *client) {
    size_t output_bytes = conn_output_bytes(client->conn);
    return (struct client_waiting){conn_pending_bytes(client->conn) - output_bytes, output_bytes};
}

size_t client_feature_bytes(const struct client *client) {
    const struct clients *clients = client->clients;
    size_t bytes = 0;
    for (uint32_t bits = client->gates & clients->with.bytes; bits != 0;) {
        bytes += clients_next_feature(clients, &bits)->bytes(client);
    }
    return bytes;
}

size_t client_memory_bytes(const struct client *client, struct client_waiting waiting) {
    return sizeof(*client) + waiting.input_bytes + waiting.output_bytes + buf_used(&client->pushes) +
           client_feature_bytes(client);
}

void client_count_memory(struct client *client, struct client_waiting waiting) {
    struct clients *clients = client->clients;
    size_t bytes = client_memory_bytes(client, waiting);
    if (bytes != client->counted_bytes) {
        clients->counted_bytes += bytes - client->counted_bytes;
        client->counted_bytes = bytes;
        clients->due |= GATE_LIMITS;
    }
}

void client_count_now(struct client *client) { client_count_memory(client, client_waiting(client)); }

struct candidate {
    uint64_t id;
    size_t bytes;
};

struct limits {
    struct clients *clients;
    struct client *next_look; /* at its soft limits; NULL: the first */
    struct task pass;
    struct client *next;                     /* to be counted in this pass; NULL: all are */
    size_t kept_bytes;                       /* of those that may not be closed, as far as the pass has come */
    struct candidate largest[CLOSED_A_PASS]; /* largest first */
    size_t count;
    bool was_in_vain; /* since the last tick: there was none to close */
};

/* --- Soft limits --- */

static bool is_over(size_t bytes, int64_t limit_bytes) {
    return limit_bytes != 0 && bytes > (size_t)limit_bytes;
}

/* NULL: none. Replies are of the class normal; messages have the limit of the class pubsub, whoever gets them.
 */
static const struct output_limit *softly_exceeded(const struct client *client) {
    const struct output_limit *limits = client->clients->context->settings->output_limits;
    size_t output_bytes = conn_output_bytes(client->conn);
    size_t untaken_bytes = output_bytes + buf_used(&client->pushes);
    size_t message_bytes = client->untaken_pushes < untaken_bytes ? client->untaken_pushes : untaken_bytes;
    if (is_over(message_bytes, limits[CLIENT_CLASS_PUBSUB].soft_bytes)) {
        return &limits[CLIENT_CLASS_PUBSUB];
    }
    bool subscribed = client_has(client, client->clients->with.subscribes);
    return !subscribed && is_over(output_bytes, limits[CLIENT_CLASS_NORMAL].soft_bytes)
               ? &limits[CLIENT_CLASS_NORMAL]
               : NULL;
}

static bool is_over_for_too_long(struct client *client) {
    const struct output_limit *limit = softly_exceeded(client);
    int64_t now_ms = loop_monotonic_ms(client->clients->loop);
    if (limit == NULL) {
        client->over_soft_since_ms = 0;
        return false;
    }
    if (client->over_soft_since_ms == 0) {
        client->over_soft_since_ms = now_ms;
    }
    return (now_ms - client->over_soft_since_ms) / 1000 >= limit->soft_seconds;
}

/* Every 100 ms a tenth of the clients. */
static void look_at_some(struct clients *clients) {
    struct limits *limits = clients->limits;
    for (size_t left = clients->count / LOOKS_A_ROUND + 1; left > 0 && clients->count > 0; left--) {
        struct client *client = limits->next_look == NULL ? clients->first : limits->next_look;
        limits->next_look = client->next;
        client_count_now(client);
        if (is_over_for_too_long(client)) {
            conn_close(client->conn, CLOSE_OUTPUT_LIMIT);
        }
    }
}

/* --- maxmemory-clients: whether it is too much --- */

/* 0: no limit. */
static size_t limit_bytes(const struct clients *clients) {
    int64_t limit = clients->context->settings->maxmemory_clients_bytes;
    if (limit == 0) {
        return 0;
    }
    double maxmemory = (double)keyspace_maxmemory_bytes(clients->context->keyspace);
    double bytes = limit < 0 ? maxmemory * (double)-limit / 100 : (double)limit;
    return bytes == 0 ? 0 : bytes < SMALLEST_LIMIT_BYTES ? SMALLEST_LIMIT_BYTES : (size_t)bytes;
}

static bool is_too_much(const struct clients *clients, size_t bytes) {
    size_t limit = limit_bytes(clients);
    return limit != 0 && bytes >= limit;
}

static bool all_take_too_much(const struct clients *clients) {
    return is_too_much(clients, clients->counted_bytes);
}

/* --- A pass --- */

static void begin_pass(struct limits *limits) {
    limits->next = limits->clients->first;
    limits->kept_bytes = 0;
    limits->count = 0;
}

static void insert(struct limits *limits, struct candidate candidate) {
    struct candidate *largest = limits->largest;
    size_t at = limits->count;
    if (at == CLOSED_A_PASS && largest[at - 1].bytes >= candidate.bytes) {
        return;
    }
    if (at == CLOSED_A_PASS) {
        at--;
    } else {
        limits->count++;
    }
    for (; at > 0 && largest[at - 1].bytes < candidate.bytes; at--) {
        largest[at] = largest[at - 1];
    }
    largest[at] = candidate;
}

/* Anew: what was counted while a command ran may have been sent since. */
static void count_some(struct limits *limits) {
    for (int i = 0; i < COUNTED_A_STEP && limits->next != NULL; i++) {
        struct client *client = limits->next;
        limits->next = client->next;
        client_count_now(client);
        if (client->no_evict) {
            limits->kept_bytes += client->counted_bytes;
        } else {
            insert(limits, (struct candidate){client->id, client->counted_bytes});
        }
    }
}

static void evict(struct client *client) {
    const struct command_context *context = client->clients->context;
    log_write(context->log, LOG_INFO, "client-evicted", "id=%llu peer=%s bytes=%zu",
              (unsigned long long)client->id, conn_peer(client->conn), client->counted_bytes);
    context->stats->evicted_clients++;
    conn_close(client->conn, CLOSE_CLIENT_MEMORY);
}

/* False: there was none to close. Where those that may not be closed take too much by themselves, closing small
 * ones would not help, and nobody could connect any more. */
static bool evict_largest(struct limits *limits) {
    struct clients *clients = limits->clients;
    size_t least_bytes = is_too_much(clients, limits->kept_bytes) ? SMALL_BYTES : 0;
    bool any = false;
    for (size_t i = 0; i < limits->count && all_take_too_much(clients); i++) {
        struct client *client = clients_find(clients, limits->largest[i].id);
        if (client != NULL && !client->no_evict && limits->largest[i].bytes >= least_bytes) {
            evict(client);
            any = true;
        }
    }
    return any;
}

static bool step(void *context) {
    struct limits *limits = context;
    if (!all_take_too_much(limits->clients)) {
        return false;
    }
    count_some(limits);
    if (limits->next != NULL) {
        return true;
    }
    limits->was_in_vain = !evict_largest(limits) && all_take_too_much(limits->clients);
    begin_pass(limits);
    return !limits->was_in_vain;
}

static void look(struct clients *clients) {
    struct limits *limits = clients->limits;
    if (!limits->was_in_vain && !task_active(&limits->pass) && all_take_too_much(clients)) {
        begin_pass(limits);
        task_start(clients->loop, &limits->pass);
    }
}

/* --- The feature --- */

static bool start(struct clients *clients) {
    struct limits *limits = calloc(1, sizeof(*limits));
    if (limits != NULL) {
        limits->clients = clients;
        limits->pass = (struct task){.step = step, .context = limits};
    }
    clients->limits = limits;
    return limits != NULL;
}

static void stop(struct clients *clients) {
    if (clients->limits != NULL) {
        task_stop(clients->loop, &clients->limits->pass);
        free(clients->limits);
        clients->limits = NULL;
    }
}

static void on_tick(struct clients *clients) {
    look_at_some(clients);
    clients->limits->was_in_vain = false;
    look(clients);
}

static void on_sent(struct client *client) {
    client_count_now(client);
    look(client->clients);
}

static void on_gone(struct client *client) {
    struct clients *clients = client->clients;
    struct limits *limits = clients->limits;
    clients->counted_bytes -= client->counted_bytes;
    if (limits->next == client) {
        limits->next = client->next;
    }
    if (limits->next_look == client) {
        limits->next_look = client->next;
    }
}

const struct feature feature_limits = {
    .start = start,
    .stop = stop,
    .tick = on_tick,
    .flush = look,
    .sent = on_sent,
    .gone = on_gone,
};
