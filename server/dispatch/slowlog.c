#include "server/dispatch/slowlog.h"

#include "protocol/num.h"
#include "server/dispatch/help.h"
#include "server/dispatch/telemetry.h"

#include <stdio.h>
#include <stdlib.h>

enum { SHOWN_ARGUMENTS = 32, SHOWN_BYTES = 128, NOTE_BYTES = 64, DEFAULT_ENTRIES = 10 };

struct slowlog_entry {
    struct slowlog_entry *older, *newer;
    uint64_t id, us;
    int64_t time_s;       /* Unix */
    struct buf arguments; /* as elements of a RESP array */
    size_t argument_count;
    struct buf peer, name;
};

static void entry_free(struct slowlog_entry *entry) {
    buf_deinit(&entry->arguments);
    buf_deinit(&entry->peer);
    buf_deinit(&entry->name);
    free(entry);
}

static void drop_oldest(struct slowlog *slowlog) {
    struct slowlog_entry *entry = slowlog->oldest;
    slowlog->oldest = entry->newer;
    if (slowlog->oldest != NULL) {
        slowlog->oldest->older = NULL;
    } else {
        slowlog->newest = NULL;
    }
    slowlog->count--;
    entry_free(entry);
}

void slowlog_deinit(struct slowlog *slowlog) {
    while (slowlog->count > 0) {
        drop_oldest(slowlog);
    }
}

static void write_argument(struct slowlog_entry *entry, struct slice argument) {
    struct resp_reply reply = {.out = &entry->arguments, .version = 2};
    if (argument.len <= SHOWN_BYTES) {
        resp_bulk(&reply, argument);
        return;
    }
    char note[NOTE_BYTES];
    int n = snprintf(note, sizeof(note), "... (%zu more bytes)", argument.len - SHOWN_BYTES);
    resp_bulk_header(&reply, SHOWN_BYTES + (size_t)n);
    buf_append(reply.out, argument.ptr, SHOWN_BYTES);
    buf_append(reply.out, note, (size_t)n);
    RESP_LITERAL(&reply, "\r\n");
}

static void write_arguments(struct slowlog_entry *entry, const struct request *request) {
    bool all = request->arg_count <= SHOWN_ARGUMENTS;
    size_t whole = all ? request->arg_count : SHOWN_ARGUMENTS - 1;
    for (size_t i = 0; i < whole; i++) {
        write_argument(entry, telemetry_shown(request, i));
    }
    if (!all) {
        char note[NOTE_BYTES];
        snprintf(note, sizeof(note), "... (%zu more arguments)", request->arg_count - whole);
        write_argument(entry, slice_from_text(note));
    }
    entry->argument_count = all ? whole : whole + 1;
}

void slowlog_add(struct slowlog *slowlog, const struct request *request, uint64_t us, size_t max_entries) {
    struct slowlog_entry *entry = max_entries == 0 ? NULL : calloc(1, sizeof(*entry));
    if (entry == NULL) {
        return;
    }
    struct client *client = request->client;
    buf_init(&entry->arguments, SIZE_MAX);
    buf_init(&entry->peer, SIZE_MAX);
    buf_init(&entry->name, SIZE_MAX);
    entry->id = slowlog->next_id++;
    entry->us = us;
    entry->time_s = loop_now_ms(request->context->loop) / 1000;
    write_arguments(entry, request);
    buf_append_text(&entry->peer, conn_peer(client->conn));
    buf_append_text(&entry->name, client->texts[CLIENT_NAME] == NULL ? "" : client->texts[CLIENT_NAME]);
    if (buf_failed(&entry->arguments) || buf_failed(&entry->peer) || buf_failed(&entry->name)) {
        entry_free(entry);
        return;
    }
    entry->older = slowlog->newest;
    if (slowlog->newest != NULL) {
        slowlog->newest->newer = entry;
    } else {
        slowlog->oldest = entry;
    }
    slowlog->newest = entry;
    slowlog->count++;
    while (slowlog->count > max_entries) {
        drop_oldest(slowlog);
    }
}

/* --- SLOWLOG */

static struct slowlog *slowlog_of(const struct request *request) {
    return &request->context->telemetry->slowlog;
}

void command_slowlog_get(struct request *request) {
    const struct slowlog *slowlog = slowlog_of(request);
    struct resp_reply *reply = &request->reply;
    int64_t count = DEFAULT_ENTRIES;
    if (request->arg_count > 3) {
        resp_errorf(reply, "ERR unknown subcommand or wrong number of arguments for '%.*s'. Try SLOWLOG HELP.",
                    (int)request->args[1].len, request->args[1].ptr);
        return;
    }
    if (request->arg_count == 3 && (!num_parse_i64(request->args[2], &count) || count < -1)) {
        resp_errorf(reply, "ERR count should be greater than or equal to -1");
        return;
    }
    size_t shown = count < 0 || (uint64_t)count > slowlog->count ? slowlog->count : (size_t)count;
    resp_array(reply, shown);
    const struct slowlog_entry *entry = slowlog->newest;
    for (size_t i = 0; i < shown; i++, entry = entry->older) {
        resp_array(reply, 6);
        resp_integer(reply, (int64_t)entry->id);
        resp_integer(reply, entry->time_s);
        resp_integer(reply, (int64_t)entry->us);
        resp_array(reply, entry->argument_count);
        buf_append_slice(reply->out, buf_slice(&entry->arguments));
        resp_bulk(reply, buf_slice(&entry->peer));
        resp_bulk(reply, buf_slice(&entry->name));
    }
}

void command_slowlog_len(struct request *request) {
    resp_integer(&request->reply, (int64_t)slowlog_of(request)->count);
}

void command_slowlog_reset(struct request *request) {
    slowlog_deinit(slowlog_of(request));
    reply_ok(request);
}

void command_slowlog_help(struct request *request) {
    static const char *const lines[] = {
        "GET [<count>]",
        "    Return top <count> entries from the slowlog (default: 10, -1 mean all).",
        "    Entries are made of:",
        "    id, timestamp, time in microseconds, arguments array, client IP and port,",
        "    client name",
        "LEN",
        "    Return the length of the slowlog.",
        "RESET",
        "    Reset the slowlog.",
        NULL,
    };
    reply_help(request, lines);
}
