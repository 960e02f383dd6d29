#include "server/dispatch/slowlog.h"

#include "server/store/keyspace.h"

#include <stdio.h>
#include <stdlib.h>

enum { SHOWN_ARGUMENTS = 32, SHOWN_BYTES = 128, NOTE_BYTES = 64 };

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
        write_argument(entry, request_shown(request, i));
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
