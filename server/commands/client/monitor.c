/* monitor.c: MONITOR: every command of every client, once it has been run. */
#include "server/commands/client/monitor.h"
#include "server/commands/rows.h"

#include <ctype.h>

void command_monitor(struct request *request) {
    struct client *client = request->client;
    if (client->executing) {
        resp_errorf(&request->reply, "ERR MONITOR isn't allowed for DENY BLOCKING client");
        return;
    }
    client->gates |= GATE_MONITOR;
    client->clients->gates |= GATE_MONITOR;
    reply_ok(request);
}

/* In quotes, with escapes as redis-cli reads them. */
static void write_quoted(struct slice text, struct buf *out) {
    static const char plain[] = "\n\r\t\a\b\"\\", escaped[] = "nrtab\"\\";
    buf_append_byte(out, '"');
    for (size_t i = 0; i < text.len; i++) {
        char byte = text.ptr[i];
        const char *at = byte == '\0' ? NULL : strchr(plain, byte);
        if (at != NULL) {
            buf_append_byte(out, '\\');
            buf_append_byte(out, escaped[at - plain]);
        } else if (isprint((unsigned char)byte)) {
            buf_append_byte(out, byte);
        } else {
            buf_printf(out, "\\x%02x", (unsigned char)byte);
        }
    }
    buf_append_byte(out, '"');
}

static void write_command(const struct request *request, struct buf *out) {
    int64_t now_ms = loop_now_ms(request->context->loop);
    buf_printf(out, "+%lld.%06lld [0 %s]", (long long)now_ms / 1000, (long long)now_ms % 1000 * 1000,
               conn_peer(request->client->conn));
    for (size_t i = 0; i < request->arg_count; i++) {
        buf_append_byte(out, ' ');
        write_quoted(request_shown(request, i), out);
    }
    buf_append_text(out, "\r\n");
}

static struct client *next_monitor(struct client *client) {
    while (client != NULL && (client->gates & GATE_MONITOR) == 0) {
        client = client->next;
    }
    return client;
}

/* For every monitor: the command that has been run; so EXEC comes behind what it ran. */
static void feed_monitors(struct request *request) {
    struct clients *clients = request->client->clients;
    struct client *monitor = next_monitor(clients->first);
    if (monitor == NULL) { /* the last one has left */
        clients->gates &= ~(uint32_t)GATE_MONITOR;
        return;
    }
    if ((request->command->flags & COMMAND_ADMIN) != 0) {
        return;
    }
    struct buf line;
    buf_init(&line, SIZE_MAX);
    write_command(request, &line);
    while (monitor != NULL) {
        if (!monitor->muted) {
            client_push(monitor, &line);
        }
        monitor = next_monitor(monitor->next);
    }
    buf_deinit(&line);
}

/* At RESET, too. The bit for all goes when the next command finds no monitor. */
static void end(struct client *client) { client->gates &= ~(uint32_t)GATE_MONITOR; }

const struct feature feature_monitor = {.after = feed_monitors, .end = end, .listens = true};
