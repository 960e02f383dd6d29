#include "server/commands/client/pubsub.h"

#include "protocol/glob.h"
#include "server/commands/rows.h"
#include "server/dispatch/command.h"
#include "server/peers/messenger.h"

#include <stdlib.h>

struct subscriptions {
    struct interested kinds[SUBSCRIPTION_KINDS];
};

struct pubsub {
    struct interest kinds[SUBSCRIPTION_KINDS];
};

/* What the messages of a kind are called. */
static const struct {
    struct slice added, removed, message;
} kinds[SUBSCRIPTION_KINDS] = {
    [SUBSCRIPTION_CHANNEL] = {{"subscribe", 9}, {"unsubscribe", 11}, {"message", 7}},
    [SUBSCRIPTION_PATTERN] = {{"psubscribe", 10}, {"punsubscribe", 12}, {"pmessage", 8}},
    [SUBSCRIPTION_SHARD] = {{"ssubscribe", 10}, {"sunsubscribe", 12}, {"smessage", 8}},
};

size_t pubsub_names(const struct clients *clients, enum subscription_kind kind) {
    return clients->pubsub->kinds[kind].count;
}

size_t pubsub_count(const struct client *client, enum subscription_kind kind) {
    return client->subscriptions == NULL ? 0 : client->subscriptions->kinds[kind].count;
}

static void update_gate(struct client *client) {
    size_t all = 0;
    for (int kind = 0; kind < SUBSCRIPTION_KINDS; kind++) {
        all += pubsub_count(client, (enum subscription_kind)kind);
    }
    if (all > 0) {
        client->gates |= GATE_SUBSCRIBED;
    } else {
        client->gates &= ~(uint32_t)GATE_SUBSCRIBED;
    }
}

static void forget(struct client *client) {
    if (client->subscriptions == NULL) {
        return;
    }
    for (int kind = 0; kind < SUBSCRIPTION_KINDS; kind++) {
        interest_drop_all(&client->clients->pubsub->kinds[kind], &client->subscriptions->kinds[kind]);
    }
    free(client->subscriptions);
    client->subscriptions = NULL;
    update_gate(client);
}

/* --- Publishing --- */

/* One message in both protocols, each written when the first subscriber needs it. */
struct message {
    struct slice parts[4];
    size_t count;
    struct buf forms[2]; /* RESP2, RESP3 */
};

static void message_init(struct message *message) {
    buf_init(&message->forms[0], SIZE_MAX);
    buf_init(&message->forms[1], SIZE_MAX);
}

static void message_deinit(struct message *message) {
    buf_deinit(&message->forms[0]);
    buf_deinit(&message->forms[1]);
}

static const struct buf *message_for(struct message *message, const struct client *client) {
    struct buf *form = &message->forms[client->protocol == 2 ? 0 : 1];
    if (buf_used(form) == 0) {
        struct resp_reply writer = {.out = form, .version = client->protocol};
        resp_push(&writer, message->count);
        for (size_t i = 0; i < message->count; i++) {
            resp_bulk(&writer, message->parts[i]);
        }
    }
    return form;
}

static size_t send_to_all(struct message *message, const struct interest_name *name) {
    for (const struct interest_link *link = name->first; link != NULL; link = link->next) {
        client_push(link->who->client, message_for(message, link->who->client));
    }
    message_deinit(message);
    return name->count;
}

static size_t send_to_channel(struct clients *clients, enum subscription_kind kind, struct slice channel,
                              struct slice text) {
    const struct interest_name *name = interest_find(&clients->pubsub->kinds[kind], channel);
    if (name == NULL) {
        return 0;
    }
    struct message message = {.parts = {kinds[kind].message, channel, text}, .count = 3};
    message_init(&message);
    return send_to_all(&message, name);
}

size_t pubsub_publish(struct clients *clients, struct slice channel, struct slice text) {
    size_t sent = send_to_channel(clients, SUBSCRIPTION_CHANNEL, channel, text);
    const struct interest *patterns = &clients->pubsub->kinds[SUBSCRIPTION_PATTERN];
    for (const struct interest_name *name = patterns->first; name != NULL; name = name->next) {
        struct slice pattern = interest_bytes(name);
        if (glob_match(pattern, channel, GLOB_CASE)) {
            struct message message = {.parts = {kinds[SUBSCRIPTION_PATTERN].message, pattern, channel, text},
                                      .count = 4};
            message_init(&message);
            sent += send_to_all(&message, name);
        }
    }
    return sent;
}

/* The reply counts the clients of this node, as in Redis Cluster. */
void command_publish(struct request *request) {
    size_t sent = pubsub_publish(request->client->clients, request->args[1], request->args[2]);
    if (request->context->messenger != NULL) {
        messenger_publish(request->context->messenger, request->args[1], request->args[2]);
    }
    resp_integer(&request->reply, (int64_t)sent);
}

void command_spublish(struct request *request) {
    size_t sent =
        send_to_channel(request->client->clients, SUBSCRIPTION_SHARD, request->args[1], request->args[2]);
    resp_integer(&request->reply, (int64_t)sent);
}

/* --- Subscribing --- */

/* What is told of the subscriptions: of shard channels, or of all others. */
static size_t told_count(const struct client *client, enum subscription_kind kind) {
    return kind == SUBSCRIPTION_SHARD
               ? pubsub_count(client, SUBSCRIPTION_SHARD)
               : pubsub_count(client, SUBSCRIPTION_CHANNEL) + pubsub_count(client, SUBSCRIPTION_PATTERN);
}

/* The replies are messages: CLIENT REPLY OFF does not silence them. */
static void confirm(struct client *client, struct slice what, const struct slice *channel, size_t count) {
    struct resp_reply reply = {.out = conn_out(client->conn), .version = client->protocol};
    resp_push(&reply, 3);
    resp_bulk(&reply, what);
    if (channel == NULL) {
        resp_null(&reply);
    } else {
        resp_bulk(&reply, *channel);
    }
    resp_integer(&reply, (int64_t)count);
}

static struct subscriptions *subscriptions_of(struct client *client) {
    struct subscriptions *subscriptions = client->subscriptions;
    if (subscriptions == NULL) {
        subscriptions = calloc(1, sizeof(*subscriptions));
        for (int kind = 0; subscriptions != NULL && kind < SUBSCRIPTION_KINDS; kind++) {
            subscriptions->kinds[kind].client = client;
        }
        client->subscriptions = subscriptions;
    }
    return subscriptions;
}

static void subscribe(struct request *request, enum subscription_kind kind) {
    struct client *client = request->client;
    struct subscriptions *subscriptions = subscriptions_of(client);
    for (size_t i = 1; i < request->arg_count; i++) {
        if (subscriptions == NULL ||
            interest_add(&client->clients->pubsub->kinds[kind], &subscriptions->kinds[kind], request->args[i],
                         NULL) == INTEREST_NO_MEMORY) {
            resp_error(&request->reply, ERR_NO_MEMORY);
            break;
        }
        update_gate(client);
        confirm(client, kinds[kind].added, &request->args[i], told_count(client, kind));
    }
}

static void unsubscribe_all(struct client *client, enum subscription_kind kind) {
    if (pubsub_count(client, kind) == 0) {
        confirm(client, kinds[kind].removed, NULL, told_count(client, kind));
        return;
    }
    struct interested *who = &client->subscriptions->kinds[kind];
    struct interest *interest = &client->clients->pubsub->kinds[kind];
    while (who->first != NULL) {
        struct slice channel = interest_bytes(who->first->name); /* which goes with its last subscriber */
        confirm(client, kinds[kind].removed, &channel, told_count(client, kind) - 1);
        interest_drop(interest, who->first);
    }
}

static void unsubscribe(struct request *request, enum subscription_kind kind) {
    struct client *client = request->client;
    if (request->arg_count == 1) {
        unsubscribe_all(client, kind);
    }
    for (size_t i = 1; i < request->arg_count; i++) {
        if (client->subscriptions != NULL) {
            interest_remove(&client->clients->pubsub->kinds[kind], &client->subscriptions->kinds[kind],
                            request->args[i]);
        }
        confirm(client, kinds[kind].removed, &request->args[i], told_count(client, kind));
    }
    update_gate(client);
}

void command_subscribe(struct request *request) { subscribe(request, SUBSCRIPTION_CHANNEL); }
void command_unsubscribe(struct request *request) { unsubscribe(request, SUBSCRIPTION_CHANNEL); }
void command_psubscribe(struct request *request) { subscribe(request, SUBSCRIPTION_PATTERN); }
void command_punsubscribe(struct request *request) { unsubscribe(request, SUBSCRIPTION_PATTERN); }
void command_ssubscribe(struct request *request) { subscribe(request, SUBSCRIPTION_SHARD); }
void command_sunsubscribe(struct request *request) { unsubscribe(request, SUBSCRIPTION_SHARD); }

/* --- PUBSUB --- */

static void reply_names(struct request *request, enum subscription_kind kind) {
    if (request->arg_count > 3) {
        reply_wrong_arity(request);
        return;
    }
    const struct interest *interest = &request->client->clients->pubsub->kinds[kind];
    struct slice pattern = request->arg_count == 3 ? request->args[2] : SLICE("*");
    size_t count = 0;
    for (const struct interest_name *name = interest->first; name != NULL; name = name->next) {
        count += glob_match(pattern, interest_bytes(name), GLOB_CASE);
    }
    resp_array(&request->reply, count);
    for (const struct interest_name *name = interest->first; name != NULL; name = name->next) {
        if (glob_match(pattern, interest_bytes(name), GLOB_CASE)) {
            resp_bulk(&request->reply, interest_bytes(name));
        }
    }
}

static void reply_counts(struct request *request, enum subscription_kind kind) {
    const struct interest *interest = &request->client->clients->pubsub->kinds[kind];
    resp_array(&request->reply, (request->arg_count - 2) * 2);
    for (size_t i = 2; i < request->arg_count; i++) {
        const struct interest_name *name = interest_find(interest, request->args[i]);
        resp_bulk(&request->reply, request->args[i]);
        resp_integer(&request->reply, name == NULL ? 0 : (int64_t)name->count);
    }
}

void command_pubsub_channels(struct request *request) { reply_names(request, SUBSCRIPTION_CHANNEL); }
void command_pubsub_shardchannels(struct request *request) { reply_names(request, SUBSCRIPTION_SHARD); }
void command_pubsub_numsub(struct request *request) { reply_counts(request, SUBSCRIPTION_CHANNEL); }
void command_pubsub_shardnumsub(struct request *request) { reply_counts(request, SUBSCRIPTION_SHARD); }

void command_pubsub_numpat(struct request *request) {
    const struct interest *patterns = &request->client->clients->pubsub->kinds[SUBSCRIPTION_PATTERN];
    resp_integer(&request->reply, (int64_t)patterns->count);
}

/* --- The feature --- */

/* In RESP2 a message can't be told from a reply: a subscriber gets no replies but those that are messages. */
static enum feature_verdict only_messages(struct request *request) {
    const struct client *client = request->client;
    const struct command *command = request->command;
    if (client->protocol > 2 || (command->flags & COMMAND_SUBSCRIBED) != 0) {
        return FEATURE_GO;
    }
    resp_errorf(
        &request->reply,
        "ERR Can't execute '%s': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed "
        "in this context",
        command->name);
    return FEATURE_REFUSED;
}

static bool start(struct clients *clients) {
    struct pubsub *pubsub = calloc(1, sizeof(*pubsub));
    bool started = pubsub != NULL;
    clients->pubsub = pubsub;
    for (int kind = 0; started && kind < SUBSCRIPTION_KINDS; kind++) {
        started = interest_init(&pubsub->kinds[kind]);
    }
    return started;
}

static void stop(struct clients *clients) {
    for (int kind = 0; clients->pubsub != NULL && kind < SUBSCRIPTION_KINDS; kind++) {
        interest_deinit(&clients->pubsub->kinds[kind]);
    }
    free(clients->pubsub);
    clients->pubsub = NULL;
}

const struct feature feature_pubsub = {
    .before = only_messages,
    .end = forget,
    .start = start,
    .stop = stop,
    .listens = true,
    .subscribes = true,
};
