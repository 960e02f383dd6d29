#include "server/commands/client/notify.h"

#include "server/commands/client/pubsub.h"
#include "server/dispatch/command.h"
#include "server/settings.h"
#include "server/store/keyspace.h"

#include <stdlib.h>

/* The events as Redis calls them, and their letter in notify-keyspace-events. */
struct event_name {
    const char *name; /* NULL: not an event of its own */
    uint32_t flag;
};

static const struct {
    enum keyspace_event event;
    struct event_name name;
} event_names[] = {
    {KEYSPACE_NEW, {"new", NOTIFY_NEW}},
    {KEYSPACE_WRITTEN, {"set", NOTIFY_STRING}},
    {KEYSPACE_TIMED, {"expire", NOTIFY_GENERIC}},
    {KEYSPACE_DEADLINE, {"expire", NOTIFY_GENERIC}},
    {KEYSPACE_PERSISTED, {"persist", NOTIFY_GENERIC}},
    {KEYSPACE_DELETED, {"del", NOTIFY_GENERIC}},
    {KEYSPACE_EXPIRED, {"expired", NOTIFY_EXPIRED}},
    {KEYSPACE_SWEPT, {"expired", NOTIFY_EXPIRED}},
    {KEYSPACE_EVICTED, {"evicted", NOTIFY_EVICTED}},
    {KEYSPACE_MISSED, {"keymiss", NOTIFY_KEY_MISS}},
};
enum { EVENT_NAMES = sizeof(event_names) / sizeof(event_names[0]) };

/* The commands whose changes have names of their own. */
static const struct {
    const char *command;
    enum keyspace_event event;
    struct event_name name;
} command_names[] = {
    {"append", KEYSPACE_WRITTEN, {"append", NOTIFY_STRING}},
    {"bitfield", KEYSPACE_WRITTEN, {"setbit", NOTIFY_STRING}},
    {"copy", KEYSPACE_WRITTEN, {"copy_to", NOTIFY_GENERIC}},
    {"copy", KEYSPACE_TIMED, {NULL, 0}},
    {"decr", KEYSPACE_WRITTEN, {"incrby", NOTIFY_STRING}},
    {"decrby", KEYSPACE_WRITTEN, {"incrby", NOTIFY_STRING}},
    {"incr", KEYSPACE_WRITTEN, {"incrby", NOTIFY_STRING}},
    {"incrby", KEYSPACE_WRITTEN, {"incrby", NOTIFY_STRING}},
    {"incrbyfloat", KEYSPACE_WRITTEN, {"incrbyfloat", NOTIFY_STRING}},
    {"pfadd", KEYSPACE_WRITTEN, {"pfadd", NOTIFY_STRING}},
    {"pfmerge", KEYSPACE_WRITTEN, {"pfadd", NOTIFY_STRING}},
    {"rename", KEYSPACE_DELETED, {"rename_from", NOTIFY_GENERIC}},
    {"rename", KEYSPACE_WRITTEN, {"rename_to", NOTIFY_GENERIC}},
    {"rename", KEYSPACE_TIMED, {NULL, 0}},
    {"renamenx", KEYSPACE_DELETED, {"rename_from", NOTIFY_GENERIC}},
    {"renamenx", KEYSPACE_WRITTEN, {"rename_to", NOTIFY_GENERIC}},
    {"renamenx", KEYSPACE_TIMED, {NULL, 0}},
    {"restore", KEYSPACE_WRITTEN, {"restore", NOTIFY_GENERIC}},
    {"restore", KEYSPACE_TIMED, {NULL, 0}},
    {"setbit", KEYSPACE_WRITTEN, {"setbit", NOTIFY_STRING}},
    {"setrange", KEYSPACE_WRITTEN, {"setrange", NOTIFY_STRING}},
};
enum { COMMAND_NAMES = sizeof(command_names) / sizeof(command_names[0]) };

/* What clients->current does at the moment gives a write its name; without one (REST, a leader's line) it is
 * "set". */
static struct event_name name_of(const struct clients *clients, enum keyspace_event event) {
    const struct command *command = clients->current == NULL ? NULL : clients->current->command;
    for (size_t i = 0; command != NULL && i < COMMAND_NAMES; i++) {
        if (command_names[i].event == event && strcmp(command_names[i].command, command->name) == 0) {
            return command_names[i].name;
        }
    }
    for (size_t i = 0; i < EVENT_NAMES; i++) {
        if (event_names[i].event == event) {
            return event_names[i].name;
        }
    }
    return (struct event_name){NULL, 0};
}

/* The events that may have a name of one of these classes. */
static uint32_t events_of(uint32_t flags) {
    uint32_t events = 0;
    for (size_t i = 0; i < EVENT_NAMES; i++) {
        events |= (event_names[i].name.flag & flags) != 0 ? event_names[i].event : 0;
    }
    for (size_t i = 0; i < COMMAND_NAMES; i++) {
        events |= (command_names[i].name.flag & flags) != 0 ? command_names[i].event : 0;
    }
    return events;
}

static void publish(struct clients *clients, struct slice channel_head, struct slice channel_tail,
                    struct slice message) {
    struct buf channel;
    buf_init(&channel, SIZE_MAX);
    buf_append_slice(&channel, channel_head);
    buf_append_slice(&channel, channel_tail);
    if (!buf_failed(&channel)) { /* else no message at all: half a name is another channel's */
        pubsub_publish(clients, buf_slice(&channel), message);
    }
    buf_deinit(&channel);
}

static void happened(void *context, const struct keyspace *keyspace, enum keyspace_event event,
                     struct slice key) {
    (void)keyspace;
    struct clients *clients = context;
    uint32_t wanted = (uint32_t)clients->context->settings->notify_flags;
    if (pubsub_names(clients, SUBSCRIPTION_CHANNEL) + pubsub_names(clients, SUBSCRIPTION_PATTERN) == 0) {
        return;
    }
    struct event_name event_name = name_of(clients, event);
    if (event_name.name == NULL || (event_name.flag & wanted) == 0) {
        return;
    }
    struct slice name = slice_from_text(event_name.name);
    if ((wanted & NOTIFY_KEYSPACE) != 0) {
        publish(clients, SLICE("__keyspace@0__:"), key, name);
    }
    if ((wanted & NOTIFY_KEYEVENT) != 0) {
        publish(clients, SLICE("__keyevent@0__:"), name, key);
    }
}

/* --- The feature: on for all while events are told, whose names are those of commands: the long way notes them
 * --- */

struct notify {
    struct keyspace_observer observer;
};

void notify_follow_settings(struct clients *clients) {
    uint32_t flags = (uint32_t)clients->context->settings->notify_flags;
    struct keyspace_observer *observer = &clients->notify->observer;
    keyspace_unobserve(clients->context->keyspace, observer);
    clients->gates &= ~(uint32_t)GATE_NOTIFY;
    if ((flags & (NOTIFY_KEYSPACE | NOTIFY_KEYEVENT)) == 0 || events_of(flags) == 0) {
        return;
    }
    *observer =
        (struct keyspace_observer){.events = events_of(flags), .happened = happened, .context = clients};
    keyspace_observe(clients->context->keyspace, observer);
    clients->gates |= GATE_NOTIFY;
}

static bool start(struct clients *clients) {
    clients->notify = calloc(1, sizeof(*clients->notify));
    return clients->notify != NULL;
}

static void stop(struct clients *clients) {
    if (clients->notify != NULL) {
        keyspace_unobserve(clients->context->keyspace, &clients->notify->observer);
        free(clients->notify);
        clients->notify = NULL;
    }
}

const struct feature feature_notify = {.start = start, .stop = stop};
