#include "server/clients/client_eviction.h"

#include "server/clients/limits.h"

#include <stdlib.h>

enum {
    COUNTED_A_STEP = 256,
    CLOSED_A_PASS = 8,
    SMALLEST_LIMIT_BYTES = 128 << 10, /* as in Redis: under it nobody could say anything any more */
    SMALL_BYTES = 32 << 10,           /* of a client: as Redis's smallest class of them */
};

struct candidate {
    uint64_t id;
    size_t bytes;
};

struct client_eviction {
    struct clients *clients;
    struct task pass;
    struct client *next;                     /* to be counted in this pass; NULL: all are */
    size_t kept_bytes;                       /* of those that may not be closed, as far as the pass has come */
    struct candidate largest[CLOSED_A_PASS]; /* largest first */
    size_t count;
    bool was_in_vain; /* since the last tick: there was none to close */
};

/* --- Whether it is too much --- */

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

static void begin_pass(struct client_eviction *eviction) {
    eviction->next = eviction->clients->first;
    eviction->kept_bytes = 0;
    eviction->count = 0;
}

static void insert(struct client_eviction *eviction, struct candidate candidate) {
    struct candidate *largest = eviction->largest;
    size_t at = eviction->count;
    if (at == CLOSED_A_PASS && largest[at - 1].bytes >= candidate.bytes) {
        return;
    }
    if (at == CLOSED_A_PASS) {
        at--;
    } else {
        eviction->count++;
    }
    for (; at > 0 && largest[at - 1].bytes < candidate.bytes; at--) {
        largest[at] = largest[at - 1];
    }
    largest[at] = candidate;
}

/* Anew: what was counted while a command ran may have been sent since. */
static void count_some(struct client_eviction *eviction) {
    for (int i = 0; i < COUNTED_A_STEP && eviction->next != NULL; i++) {
        struct client *client = eviction->next;
        eviction->next = client->next;
        client_count_now(client);
        if (client->no_evict) {
            eviction->kept_bytes += client->counted_bytes;
        } else {
            insert(eviction, (struct candidate){client->id, client->counted_bytes});
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
static bool evict_largest(struct client_eviction *eviction) {
    struct clients *clients = eviction->clients;
    size_t least_bytes = is_too_much(clients, eviction->kept_bytes) ? SMALL_BYTES : 0;
    bool any = false;
    for (size_t i = 0; i < eviction->count && all_take_too_much(clients); i++) {
        struct client *client = clients_find(clients, eviction->largest[i].id);
        if (client != NULL && !client->no_evict && eviction->largest[i].bytes >= least_bytes) {
            evict(client);
            any = true;
        }
    }
    return any;
}

static bool step(void *context) {
    struct client_eviction *eviction = context;
    if (!all_take_too_much(eviction->clients)) {
        return false;
    }
    count_some(eviction);
    if (eviction->next != NULL) {
        return true;
    }
    eviction->was_in_vain = !evict_largest(eviction) && all_take_too_much(eviction->clients);
    begin_pass(eviction);
    return !eviction->was_in_vain;
}

/* --- */

void client_eviction_look(struct client_eviction *eviction) {
    if (!eviction->was_in_vain && !task_active(&eviction->pass) && all_take_too_much(eviction->clients)) {
        begin_pass(eviction);
        task_start(eviction->clients->loop, &eviction->pass);
    }
}

void client_eviction_tick(struct client_eviction *eviction) {
    eviction->was_in_vain = false;
    client_eviction_look(eviction);
}

void client_eviction_forget(struct client_eviction *eviction, const struct client *client) {
    if (eviction->next == client) {
        eviction->next = client->next;
    }
}

struct client_eviction *client_eviction_create(struct clients *clients) {
    struct client_eviction *eviction = calloc(1, sizeof(*eviction));
    if (eviction != NULL) {
        eviction->clients = clients;
        eviction->pass = (struct task){.step = step, .context = eviction};
    }
    return eviction;
}

void client_eviction_destroy(struct client_eviction **handle) {
    struct client_eviction *eviction = *handle;
    if (eviction == NULL) {
        return;
    }
    *handle = NULL;
    task_stop(eviction->clients->loop, &eviction->pass);
    free(eviction);
}
