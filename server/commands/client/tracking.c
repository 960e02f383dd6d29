#include "server/commands/client/tracking.h"

#include "server/commands/client/changes.h"
#include "server/dispatch/command.h"
#include "server/settings.h"
#include "server/store/keyspace.h"

#include <stdlib.h>
#include <sys/random.h>

enum {
    FREE_A_SLICE = 512,
    SAMPLE = 8,
    FORGET_A_SLICE = 64,
};

/* Who has read what: keys to the ids of clients, in ascending order, as the value's bytes. */
struct tracking {
    struct loop *loop;
    struct table *table;
    struct table *dead; /* forgotten as a whole; freed in slices */
    struct task free_task;
    struct task shrink_task; /* tracking-table-max-keys has been lowered */
    struct interest prefixes;
    struct changes changed; /* that the clients of prefixes are to be told of before the next poll */
    uint8_t secret[16];
    uint64_t random_state;
    size_t clients, items;
    struct keyspace_observer observer; /* while there are clients */
};

/* Whose doing it was. The server evicts, expires and forgets keys of itself, whoever's command it runs. */
enum tracking_cause { TRACKING_BY_CLIENT, TRACKING_BY_SERVER };

static bool free_step(void *context) {
    struct tracking *tracking = context;
    return tracking->dead != NULL && !table_destroy_slice(&tracking->dead, FREE_A_SLICE);
}

static bool shrink_step(void *context);
static void happened(void *context, const struct keyspace *keyspace, enum keyspace_event event,
                     struct slice key);

/* False: out of memory, or no random numbers. */
static bool start_tracking(struct clients *clients) {
    struct tracking *tracking = clients->tracking;
    if (tracking != NULL) {
        return true;
    }
    tracking = calloc(1, sizeof(*tracking));
    if (tracking == NULL ||
        getrandom(tracking->secret, sizeof(tracking->secret), 0) != sizeof(tracking->secret) ||
        !interest_init(&tracking->prefixes) || (tracking->table = table_create(tracking->secret)) == NULL) {
        free(tracking);
        return false;
    }
    tracking->random_state = siphash_key_from(tracking->secret).k0 | 1;
    tracking->loop = clients->loop;
    tracking->free_task = (struct task){.step = free_step, .context = tracking};
    tracking->shrink_task = (struct task){.step = shrink_step, .context = clients};
    tracking->observer = (struct keyspace_observer){
        .events = KEYSPACE_CHANGES | KEYSPACE_FLUSHED, .happened = happened, .context = clients};
    clients->tracking = tracking;
    return true;
}

static void stop(struct clients *clients) {
    struct tracking *tracking = clients->tracking;
    if (tracking == NULL) {
        return;
    }
    task_stop(tracking->loop, &tracking->free_task);
    task_stop(tracking->loop, &tracking->shrink_task);
    table_destroy(&tracking->dead);
    table_destroy(&tracking->table);
    interest_deinit(&tracking->prefixes);
    changes_deinit(&tracking->changed);
    free(tracking);
    clients->tracking = NULL;
}

size_t tracking_clients(const struct clients *clients) {
    return clients->tracking == NULL ? 0 : clients->tracking->clients;
}
size_t tracking_keys(const struct clients *clients) {
    return clients->tracking == NULL ? 0 : table_count(clients->tracking->table);
}
size_t tracking_items(const struct clients *clients) {
    return clients->tracking == NULL ? 0 : clients->tracking->items;
}
size_t tracking_prefixes(const struct clients *clients) {
    return clients->tracking == NULL ? 0 : clients->tracking->prefixes.count;
}
bool tracking_broadcasts(const struct client *client) {
    return client->tracker != NULL && (client->tracker->options & TRACKING_BCAST) != 0;
}
bool tracking_is_broken(const struct client *client) {
    return client->tracker != NULL && client->tracker->redirect_broken;
}
int64_t tracking_redirection(const struct client *client) {
    return client->tracker == NULL ? -1 : (int64_t)client->tracker->redirect;
}

/* --- Telling --- */

/* What one message tells of. */
struct told {
    const struct change *changes; /* NULL: everything may have changed */
    size_t count;
    uint64_t but; /* what this client alone has changed is left out; 0: nothing is */
};

static bool is_left_out(const struct told *told, size_t i) {
    return told->but != 0 && told->changes[i].client == told->but;
}

static size_t count_told(const struct told *told) {
    size_t n = 0;
    for (size_t i = 0; i < told->count; i++) {
        n += !is_left_out(told, i);
    }
    return n;
}

static void append_keys(struct resp_reply *writer, const struct told *told) {
    if (told->changes == NULL) {
        resp_null_array(writer);
        return;
    }
    resp_array(writer, count_told(told));
    for (size_t i = 0; i < told->count; i++) {
        if (!is_left_out(told, i)) {
            resp_bulk(writer, told->changes[i].key);
        }
    }
}

static void tell_broken(struct client *client, struct buf *message) {
    client->tracker->redirect_broken = true;
    if (client->protocol > 2) {
        struct resp_reply writer = {.out = message, .version = client->protocol};
        resp_push(&writer, 2);
        resp_bulk_text(&writer, "tracking-redir-broken");
        resp_integer(&writer, (int64_t)client->tracker->redirect);
        client_push(client, message);
    }
}

/* In RESP2 only a subscriber can be told, and only in the place of another client. */
static void invalidate(struct client *client, const struct told *told) {
    uint64_t redirect = client->tracker->redirect;
    struct client *target = redirect == 0 ? client : clients_find(client->clients, redirect);
    struct buf message;
    buf_init(&message, SIZE_MAX);
    if (target == NULL) {
        tell_broken(client, &message);
        buf_deinit(&message);
        return;
    }
    struct resp_reply writer = {.out = &message, .version = target->protocol};
    if (target->protocol > 2) {
        resp_push(&writer, 2);
        resp_bulk_text(&writer, "invalidate");
        append_keys(&writer, told);
    } else if (redirect != 0 && (target->gates & GATE_SUBSCRIBED) != 0) {
        resp_push(&writer, 3);
        resp_bulk_text(&writer, "message");
        resp_bulk_text(&writer, "__redis__:invalidate");
        append_keys(&writer, told);
    }
    if (buf_used(&message) > 0 || buf_failed(&message)) {
        client_push(target, &message);
    }
    buf_deinit(&message);
}

static void invalidate_key(struct client *client, struct slice key) {
    struct change change = {.key = key};
    invalidate(client, &(struct told){.changes = &change, .count = 1});
}

static void invalidate_all(struct client *client) { invalidate(client, &(struct told){0}); }

/* NOLOOP is about the client's own changes; what the server does of itself while it runs a command of the
 * client's (forgets a key, evicts one) is none of them. */
static bool is_told(const struct client *client, enum tracking_cause cause) {
    bool own = cause == TRACKING_BY_CLIENT && client == client->clients->current;
    return !(own && (client->tracker->options & TRACKING_NOLOOP) != 0);
}

/* --- BCAST: the changes of all clients between two polls are one message a prefix */

static void tell_prefix(const struct tracking *tracking, const struct interest_name *name) {
    struct told told = {0};
    told.changes = changes_range(&tracking->changed, interest_bytes(name), &told.count);
    for (const struct interest_link *link = name->first; link != NULL; link = link->next) {
        struct client *client = link->who->client;
        told.but = (client->tracker->options & TRACKING_NOLOOP) != 0 ? client->id : 0;
        if (count_told(&told) > 0) {
            invalidate(client, &told);
        }
    }
}

/* Before the poll: the clients in the BCAST mode are told of what has changed since the last time. */
static void broadcast(struct clients *clients) {
    struct tracking *tracking = clients->tracking;
    if (tracking == NULL || tracking->changed.count == 0) {
        return;
    }
    changes_sort(&tracking->changed);
    for (const struct interest_name *name = tracking->prefixes.first; name != NULL; name = name->next) {
        tell_prefix(tracking, name);
    }
    changes_reset(&tracking->changed);
}

/* Without memory for the key everything may have changed. */
static void gather_for_prefixes(struct clients *clients, struct slice key, enum tracking_cause cause) {
    struct tracking *tracking = clients->tracking;
    if (changes_full(&tracking->changed, key.len)) {
        broadcast(clients);
    }
    bool by_client = cause == TRACKING_BY_CLIENT && clients->current != NULL;
    if (changes_add(&tracking->changed, key, by_client ? clients->current->id : 0)) {
        clients->due |= GATE_TRACKING;
        return;
    }
    for (struct client *client = clients->first; client != NULL; client = client->next) {
        if (tracking_broadcasts(client)) {
            invalidate_all(client);
        }
    }
    changes_reset(&tracking->changed);
}

/* --- The default mode: who has read the key is told, once */

/* The key is forgotten, and whoever has read it told. */
static void tell_readers(struct clients *clients, uint64_t hash, const struct entry *entry, struct slice key,
                         enum tracking_cause cause) {
    struct slice ids = entry_value(entry);
    for (size_t at = 0; at < ids.len; at += sizeof(uint64_t)) {
        uint64_t id;
        memcpy(&id, ids.ptr + at, sizeof(id));
        struct client *client = clients_find(clients, id);
        if (client != NULL && client->tracker != NULL && !tracking_broadcasts(client) &&
            is_told(client, cause)) {
            invalidate_key(client, key);
        }
    }
    clients->tracking->items -= ids.len / sizeof(uint64_t);
    table_remove(clients->tracking->table, hash, key);
}

static void key_changed(struct clients *clients, struct slice key, enum tracking_cause cause) {
    struct tracking *tracking = clients->tracking;
    if (tracking->prefixes.count > 0) {
        gather_for_prefixes(clients, key, cause);
    }
    if (table_count(tracking->table) > 0) {
        uint64_t hash = table_hash(tracking->table, key);
        const struct entry *entry = table_find(tracking->table, hash, key);
        if (entry != NULL) {
            tell_readers(clients, hash, entry, key, cause);
        }
    }
}

static void forget_all_keys(struct tracking *tracking) {
    struct table *fresh = table_count(tracking->table) == 0 ? NULL : table_create(tracking->secret);
    if (fresh == NULL) { /* or no memory: what is remembered in vain is told in vain later */
        return;
    }
    table_destroy(&tracking->dead);
    tracking->dead = tracking->table;
    tracking->table = fresh;
    tracking->items = 0;
    task_start(tracking->loop, &tracking->free_task);
}

static void flushed(struct clients *clients) {
    for (struct client *client = clients->first; client != NULL; client = client->next) {
        if (client->tracker != NULL) {
            invalidate_all(client);
        }
    }
    forget_all_keys(clients->tracking);
}

static void happened(void *context, const struct keyspace *keyspace, enum keyspace_event event,
                     struct slice key) {
    (void)keyspace;
    if (event == KEYSPACE_FLUSHED) {
        flushed(context);
    } else {
        bool by_server = event == KEYSPACE_EVICTED || event == KEYSPACE_SWEPT;
        key_changed(context, key, by_server ? TRACKING_BY_SERVER : TRACKING_BY_CLIENT);
    }
}

/* --- Remembering --- */

static uint64_t next_random(struct tracking *tracking) {
    uint64_t x = tracking->random_state; /* xorshift64 */
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return tracking->random_state = x;
}

static size_t max_keys(const struct clients *clients) {
    int64_t most = clients->context->settings->tracking_table_max_keys;
    return most == 0 ? SIZE_MAX : (size_t)most;
}

/* So many keys at most, until the table is no longer than it may be. */
static void forget_some_keys(struct clients *clients, int most) {
    struct tracking *tracking = clients->tracking;
    struct entry *sample[SAMPLE];
    for (int i = 0; i < most && table_count(tracking->table) > max_keys(clients); i++) {
        if (table_sample(tracking->table, next_random(tracking), sample, SAMPLE) > 0) {
            struct slice key = entry_key(sample[0]);
            tell_readers(clients, table_hash(tracking->table, key), sample[0], key, TRACKING_BY_SERVER);
        }
    }
}

static bool shrink_step(void *context) {
    struct clients *clients = context;
    forget_some_keys(clients, FORGET_A_SLICE);
    return table_count(clients->tracking->table) > max_keys(clients);
}

void tracking_limit_changed(struct clients *clients) {
    if (clients->tracking != NULL) {
        task_start(clients->loop, &clients->tracking->shrink_task);
    }
}

/* Where the id is, or belongs, in the ascending ids. */
static size_t place_of(struct slice ids, uint64_t id, bool *found) {
    size_t low = 0, high = ids.len / sizeof(id);
    *found = false;
    while (low < high && !*found) {
        size_t middle = (low + high) / 2;
        uint64_t other;
        memcpy(&other, ids.ptr + middle * sizeof(id), sizeof(id));
        *found = other == id;
        low = other < id ? middle + 1 : low;
        high = other < id ? high : middle;
    }
    return high * sizeof(id);
}

/* Without memory for it the client is told at once that the key has changed. */
static void remember(struct client *client, struct slice key) {
    struct tracking *tracking = client->clients->tracking;
    uint64_t hash = table_hash(tracking->table, key);
    const struct entry *entry = table_find(tracking->table, hash, key);
    struct slice ids = entry == NULL ? SLICE("") : entry_value(entry);
    bool found;
    size_t place = place_of(ids, client->id, &found);
    if (found) {
        return;
    }
    struct buf more;
    buf_init(&more, SIZE_MAX);
    buf_append(&more, ids.ptr, place);
    buf_append(&more, &client->id, sizeof(client->id));
    buf_append_slice(&more, slice_skip(ids, place));
    struct entry_fields fields = {.value = buf_slice(&more)};
    if (buf_failed(&more) || table_put(tracking->table, hash, key, &fields) == NULL) {
        invalidate_key(client, key);
    } else {
        tracking->items++;
    }
    buf_deinit(&more);
}

static bool remembers(const struct tracker *tracker, const struct command *command) {
    return (command->flags & COMMAND_READONLY) != 0 && (tracker->options & TRACKING_BCAST) == 0 &&
           !((tracker->options & TRACKING_OPTIN) != 0 && !tracker->caching) &&
           !((tracker->options & TRACKING_OPTOUT) != 0 && tracker->caching);
}

static bool is_about_the_client(const struct command *command) {
    return strncmp(command->name, "client|", 7) == 0;
}

static void after(struct request *request) {
    struct client *client = request->client;
    struct tracker *tracker = client->tracker;
    if (remembers(tracker, request->command)) {
        for (size_t i = 0, count = request_key_count(request); i < count; i++) {
            remember(client, request_key_name(request, i));
            forget_some_keys(client->clients, 1); /* no more than the one that came can be too much */
        }
    }
    /* CLIENT CACHING is for the next command, or for all of the next transaction. */
    if ((client->gates & GATE_MULTI) == 0 && !client->executing && !is_about_the_client(request->command)) {
        tracker->caching = false;
    }
}

/* --- On and off --- */

void tracking_turn_off(struct client *client) {
    struct tracker *tracker = client->tracker;
    if (tracker == NULL) {
        return;
    }
    struct tracking *tracking = client->clients->tracking;
    interest_drop_all(&tracking->prefixes, &tracker->prefixes);
    free(tracker);
    client->tracker = NULL;
    client->gates &= ~(uint32_t)GATE_TRACKING;
    if (--tracking->clients == 0) {
        forget_all_keys(tracking);
        keyspace_unobserve(client->clients->context->keyspace, &tracking->observer);
    }
}

static struct tracker *tracker_of(struct client *client) {
    struct clients *clients = client->clients;
    if (client->tracker == NULL && start_tracking(clients)) {
        client->tracker = calloc(1, sizeof(*client->tracker));
        if (client->tracker != NULL) {
            client->tracker->prefixes.client = client;
            client->gates |= GATE_TRACKING;
            clients->tracking->clients++;
            keyspace_observe(clients->context->keyspace, &clients->tracking->observer);
        }
    }
    return client->tracker;
}

bool tracking_turn_on(struct client *client, const struct tracking_wish *wish, const struct slice *prefixes) {
    struct tracker *tracker = tracker_of(client);
    if (tracker == NULL) {
        return false;
    }
    broadcast(client->clients); /* what changed before is nothing to a new prefix */
    tracker->options = wish->options;
    tracker->redirect = (uint64_t)wish->redirect;
    tracker->redirect_broken = false;
    const struct slice all = SLICE("");
    size_t count = wish->prefix_count;
    if ((wish->options & TRACKING_BCAST) != 0 && count == 0) {
        prefixes = &all;
        count = 1;
    }
    for (size_t i = 0; i < count; i++) {
        if (interest_add(&client->clients->tracking->prefixes, &tracker->prefixes, prefixes[i], NULL) ==
            INTEREST_NO_MEMORY) {
            tracking_turn_off(client);
            return false;
        }
    }
    return true;
}

const struct feature feature_tracking = {
    .after = after, .end = tracking_turn_off, .stop = stop, .flush = broadcast};
