#include "server/commands/node/acl_log.h"

#include "server/clients/clients.h"
#include "server/commands/client/client_command.h"
#include "server/commands/rows.h"
#include "server/dispatch/telemetry.h"
#include "server/store/keyspace.h"

#include <stdlib.h>

enum {
    DEFAULT_ENTRIES = 10,
    LOOKED_THROUGH = 10, /* of the newest, for one that is like the new one */
    SAME_WITHIN_MS = 60000,
    SHOWN_BYTES = 1024, /* of a name */
};

struct acl_entry {
    struct acl_entry *older;
    uint64_t count;
    int64_t time_ms; /* monotonic, of the last time */
    const char *where;
    struct buf command, user, client;
};

static void entry_free(struct acl_entry *entry) {
    buf_deinit(&entry->command);
    buf_deinit(&entry->user);
    buf_deinit(&entry->client);
    free(entry);
}

static void remove_at(struct acl_log *log, struct acl_entry **at) {
    struct acl_entry *entry = *at;
    *at = entry->older;
    entry_free(entry);
    log->count--;
}

static void trim(struct acl_log *log, size_t max_entries) {
    struct acl_entry **at = &log->newest;
    for (size_t i = 0; i < max_entries && *at != NULL; i++) {
        at = &(*at)->older;
    }
    while (*at != NULL) {
        remove_at(log, at);
    }
}

void acl_log_deinit(struct acl_log *log) { trim(log, 0); }

/* NULL: out of memory. */
static struct acl_entry *new_entry(const struct request *request, struct slice user) {
    struct acl_entry *entry = calloc(1, sizeof(*entry));
    if (entry == NULL) {
        return NULL;
    }
    entry->count = 1;
    entry->time_ms = loop_monotonic_ms(request->context->loop);
    entry->where = request->client->executing ? "multi" : "toplevel";
    buf_init(&entry->command, SIZE_MAX);
    buf_init(&entry->user, SIZE_MAX);
    buf_init(&entry->client, SIZE_MAX);
    buf_append_slice(&entry->command, request->args[0]);
    buf_append_slice(&entry->user, slice_first(user, SHOWN_BYTES));
    client_write(request->client, entry->time_ms, &entry->client);
    if (buf_failed(&entry->command) || buf_failed(&entry->user) || buf_failed(&entry->client)) {
        entry_free(entry);
        return NULL;
    }
    return entry;
}

static bool are_alike(const struct acl_entry *a, const struct acl_entry *b) {
    return a->where == b->where && b->time_ms - a->time_ms <= SAME_WITHIN_MS &&
           slice_equals(buf_slice(&a->command), buf_slice(&b->command)) &&
           slice_equals(buf_slice(&a->user), buf_slice(&b->user));
}

void acl_log_add(struct acl_log *log, const struct request *request, struct slice user, size_t max_entries) {
    struct acl_entry *entry = new_entry(request, user);
    if (entry == NULL) {
        return;
    }
    struct acl_entry **like = &log->newest;
    for (int i = 1; i < LOOKED_THROUGH && *like != NULL && !are_alike(*like, entry); i++) {
        like = &(*like)->older;
    }
    if (*like != NULL && are_alike(*like, entry)) {
        entry->count += (*like)->count;
        remove_at(log, like);
    }
    entry->older = log->newest;
    log->newest = entry;
    log->count++;
    trim(log, max_entries);
}

/* --- ACL LOG [count | RESET] */

static void reply_entry(struct resp_reply *reply, const struct acl_entry *entry, int64_t now_ms) {
    resp_map(reply, 7);
    resp_bulk_text(reply, "count");
    resp_integer(reply, (int64_t)entry->count);
    resp_bulk_text(reply, "reason");
    resp_bulk_text(reply, "auth");
    resp_bulk_text(reply, "context");
    resp_bulk_text(reply, entry->where);
    resp_bulk_text(reply, "object");
    resp_bulk(reply, buf_slice(&entry->command));
    resp_bulk_text(reply, "username");
    resp_bulk(reply, buf_slice(&entry->user));
    resp_bulk_text(reply, "age-seconds");
    resp_double(reply, (double)(now_ms - entry->time_ms) / 1000);
    resp_bulk_text(reply, "client-info");
    resp_bulk(reply, buf_slice(&entry->client));
}

void command_acl_log(struct request *request) {
    struct acl_log *log = request->client->clients->acl_log;
    int64_t count = DEFAULT_ENTRIES;
    if (request->arg_count > 3) {
        resp_errorf(&request->reply,
                    "ERR unknown subcommand or wrong number of arguments for '%.*s'. Try ACL HELP.",
                    (int)request->args[1].len, request->args[1].ptr);
        return;
    }
    if (request->arg_count == 3 && request_word(request, 2, SLICE("reset"))) {
        acl_log_deinit(log);
        reply_ok(request);
        return;
    }
    if (request->arg_count == 3 && !request_integer(request, 2, &count)) {
        return;
    }
    size_t shown = count < 0 ? 0 : (uint64_t)count > log->count ? log->count : (size_t)count;
    int64_t now_ms = loop_monotonic_ms(request->context->loop);
    resp_array(&request->reply, shown);
    const struct acl_entry *entry = log->newest;
    for (size_t i = 0; i < shown; i++, entry = entry->older) {
        reply_entry(&request->reply, entry, now_ms);
    }
}
