/* client_command.c: CLIENT: who is connected, and what is done to them. */
#include "server/commands/client/client_command.h"

#include "protocol/num.h"
#include "server/clients/clients.h"
#include "server/clients/limits.h"
#include "server/commands/client/pubsub.h"
#include "server/commands/client/tracking.h"
#include "server/commands/client/transactions.h"
#include "server/commands/client/wait.h"
#include "server/commands/rows.h"

#include <stdlib.h>

enum { CLIENT_TEXT_MAX_BYTES = 1024 };

void command_client_id(struct request *request) { resp_integer(&request->reply, (int64_t)request->client->id); }

/* --- What a client says of itself */

/* An empty text is none. False: out of memory. */
static bool set_text(struct client *client, enum client_text which, struct slice text) {
    char *copy = NULL;
    if (text.len > 0) {
        copy = strndup(text.ptr, text.len);
        if (copy == NULL) {
            return false;
        }
    }
    free(client->texts[which]);
    client->texts[which] = copy;
    return true;
}

static bool is_printable(struct slice text) {
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '!' || text.ptr[i] > '~') {
            return false;
        }
    }
    return true;
}

static bool set_text_or_reply(struct request *request, enum client_text which, struct slice text) {
    if (set_text(request->client, which, text)) {
        return true;
    }
    resp_error(&request->reply, ERR_NO_MEMORY);
    return false;
}

bool client_set_name(struct request *request, struct slice name) {
    if (!is_printable(name)) {
        resp_errorf(&request->reply, "ERR Client names cannot contain spaces, newlines or special characters.");
        return false;
    }
    if (name.len > CLIENT_TEXT_MAX_BYTES) {
        resp_errorf(&request->reply, "ERR Client names cannot be longer than %d bytes", CLIENT_TEXT_MAX_BYTES);
        return false;
    }
    return set_text_or_reply(request, CLIENT_NAME, name);
}

void command_client_setname(struct request *request) {
    if (client_set_name(request, request->args[2])) {
        reply_ok(request);
    }
}

void command_client_getname(struct request *request) {
    const char *name = request->client->texts[CLIENT_NAME];
    if (name == NULL) {
        resp_null(&request->reply);
    } else {
        resp_bulk_text(&request->reply, name);
    }
}

void command_client_setinfo(struct request *request) {
    static const struct {
        const char *name;
        enum client_text which;
    } attributes[] = {{"lib-name", CLIENT_LIB_NAME}, {"lib-ver", CLIENT_LIB_VERSION}};
    for (size_t i = 0; i < sizeof(attributes) / sizeof(attributes[0]); i++) {
        if (!request_word(request, 2, slice_from_text(attributes[i].name))) {
            continue;
        }
        if (!is_printable(request->args[3]) || request->args[3].len > CLIENT_TEXT_MAX_BYTES) {
            resp_errorf(&request->reply, "ERR %s cannot contain spaces, newlines or special characters.",
                        attributes[i].name);
        } else if (set_text_or_reply(request, attributes[i].which, request->args[3])) {
            reply_ok(request);
        }
        return;
    }
    struct slice attribute = slice_first(request->args[2], 512);
    resp_errorf(&request->reply, "ERR Unrecognized option '%.*s'", (int)attribute.len, attribute.ptr);
}

/* --- CLIENT LIST, CLIENT INFO */

enum client_type { TYPE_NORMAL, TYPE_MASTER, TYPE_REPLICA, TYPE_PUBSUB, CLIENT_TYPES };

static bool find_type(const struct request *request, size_t i, enum client_type *out) {
    static const struct {
        struct slice name;
        enum client_type type;
    } types[] = {{{"normal", 6}, TYPE_NORMAL},
                 {{"slave", 5}, TYPE_REPLICA},
                 {{"replica", 7}, TYPE_REPLICA},
                 {{"pubsub", 6}, TYPE_PUBSUB},
                 {{"master", 6}, TYPE_MASTER}};
    for (size_t n = 0; n < sizeof(types) / sizeof(types[0]); n++) {
        if (request_word(request, i, types[n].name)) {
            *out = types[n].type;
            return true;
        }
    }
    return false;
}

static bool type_or_reply(struct request *request, size_t i, enum client_type *out) {
    if (find_type(request, i, out)) {
        return true;
    }
    struct slice type = slice_first(request->args[i], 512);
    resp_errorf(&request->reply, "ERR Unknown client type '%.*s'", (int)type.len, type.ptr);
    return false;
}

/* Followers come to another port: there are only two types here. */
static enum client_type type_of(const struct client *client) {
    return (client->gates & GATE_SUBSCRIBED) != 0 ? TYPE_PUBSUB : TYPE_NORMAL;
}

static void write_flags(const struct client *client, struct buf *out) {
    const struct {
        bool set;
        char letter;
    } flags[] = {
        {(client->gates & GATE_MONITOR) != 0, 'O'},
        {(client->gates & GATE_SUBSCRIBED) != 0, 'P'},
        {transaction_queued(client) >= 0, 'x'},
        {client->holds != 0, 'b'},
        {(client->gates & GATE_TRACKING) != 0, 't'},
        {tracking_is_broken(client), 'R'},
        {tracking_broadcasts(client), 'B'},
        {transaction_dirty(client), 'd'},
        {client->leaving, 'c'},
        {client->any_copy, 'r'},
        {client->no_evict, 'e'},
        {client->no_touch, 'T'},
    };
    bool any = false;
    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
        if (flags[i].set) {
            buf_append_byte(out, flags[i].letter);
            any = true;
        }
    }
    if (!any) {
        buf_append_byte(out, 'N');
    }
}

static const char *or_empty(const char *text) { return text == NULL ? "" : text; }

/* Redis has a first buffer of this size, and a list of such behind it. */
enum { OUTPUT_BLOCK_BYTES = 16 << 10 };

/* As Redis 7.2 writes it. */
void client_write(const struct client *client, int64_t now_ms, struct buf *out) {
    struct client_waiting waiting = client_waiting(client);
    buf_printf(out, "id=%llu addr=%s laddr=%s fd=%d name=%s age=%lld idle=%lld flags=",
               (unsigned long long)client->id, conn_peer(client->conn), conn_local(client->conn),
               conn_fd(client->conn), or_empty(client->texts[CLIENT_NAME]),
               (long long)(now_ms - client->created_ms) / 1000, (long long)(now_ms - client->active_ms) / 1000);
    write_flags(client, out);
    buf_printf(out,
               " db=0 sub=%zu psub=%zu ssub=%zu multi=%lld qbuf=%zu qbuf-free=%zu argv-mem=0 multi-mem=%zu "
               "rbs=0 rbp=0",
               pubsub_count(client, SUBSCRIPTION_CHANNEL), pubsub_count(client, SUBSCRIPTION_PATTERN),
               pubsub_count(client, SUBSCRIPTION_SHARD), (long long)transaction_queued(client),
               waiting.input_bytes, conn_input_room(client->conn), transaction_bytes(client));
    size_t first = waiting.output_bytes < OUTPUT_BLOCK_BYTES ? waiting.output_bytes : OUTPUT_BLOCK_BYTES;
    size_t behind = waiting.output_bytes - first,
           blocks = (behind + OUTPUT_BLOCK_BYTES - 1) / OUTPUT_BLOCK_BYTES;
    buf_printf(out, " obl=%zu oll=%zu omem=%zu tot-mem=%zu events=r cmd=%s user=default redir=%lld resp=%u",
               first, blocks, behind, client_memory_bytes(client, waiting),
               client->command == NULL ? "NULL" : client->command->name,
               (long long)tracking_redirection(client), client->protocol);
    buf_printf(out, " lib-name=%s lib-ver=%s", or_empty(client->texts[CLIENT_LIB_NAME]),
               or_empty(client->texts[CLIENT_LIB_VERSION]));
}

static void list_line(const struct request *request, const struct client *client, struct buf *out) {
    client_write(client, loop_monotonic_ms(request->context->loop), out);
    buf_append_byte(out, '\n');
}

void command_client_info(struct request *request) {
    struct buf text;
    buf_init(&text, SIZE_MAX);
    list_line(request, request->client, &text);
    reply_gathered(request, &text);
}

static bool id_or_reply(struct request *request, size_t i, uint64_t *out) {
    int64_t id;
    if (num_parse_i64(request->args[i], &id) && id > 0) {
        *out = (uint64_t)id;
        return true;
    }
    resp_errorf(&request->reply, "ERR Invalid client ID");
    return false;
}

static void list_ids(struct request *request) {
    struct buf text;
    uint64_t id;
    for (size_t i = 3; i < request->arg_count; i++) {
        if (!id_or_reply(request, i, &id)) {
            return;
        }
    }
    buf_init(&text, SIZE_MAX);
    for (size_t i = 3; i < request->arg_count && id_or_reply(request, i, &id); i++) {
        const struct client *client = clients_find(request->client->clients, id);
        if (client != NULL) {
            list_line(request, client, &text);
        }
    }
    reply_gathered(request, &text);
}

void command_client_list(struct request *request) {
    enum client_type type = CLIENT_TYPES;
    if (request->arg_count > 3 && request_word(request, 2, SLICE("id"))) {
        list_ids(request);
        return;
    }
    if (request->arg_count == 4 && request_word(request, 2, SLICE("type"))) {
        if (!type_or_reply(request, 3, &type)) {
            return;
        }
    } else if (request->arg_count != 2) {
        resp_error(&request->reply, ERR_SYNTAX);
        return;
    }
    struct buf text;
    buf_init(&text, SIZE_MAX);
    for (const struct client *client = request->client->clients->first; client != NULL; client = client->next) {
        if (type == CLIENT_TYPES || type_of(client) == type) {
            list_line(request, client, &text);
        }
    }
    reply_gathered(request, &text);
}

/* --- CLIENT KILL */

struct kill_filter {
    uint64_t id;              /* 0: any */
    enum client_type type;    /* CLIENT_TYPES: any */
    struct slice peer, local; /* without a pointer: any; an empty one is nobody's */
    bool skip_me;
};

static bool parse_kill_filter(struct request *request, size_t i, struct kill_filter *filter) {
    struct slice value = request->args[i + 1];
    int64_t id;
    if (request_word(request, i, SLICE("id"))) {
        if (!num_parse_i64(value, &id) || id < 1) {
            resp_errorf(&request->reply, "ERR client-id should be greater than 0");
            return false;
        }
        filter->id = (uint64_t)id;
        return true;
    }
    if (request_word(request, i, SLICE("type"))) {
        return type_or_reply(request, i + 1, &filter->type);
    }
    if (request_word(request, i, SLICE("addr"))) {
        filter->peer = value;
        return true;
    }
    if (request_word(request, i, SLICE("laddr"))) {
        filter->local = value;
        return true;
    }
    if (request_word(request, i, SLICE("user"))) {
        if (slice_equals(value, SLICE("default"))) {
            return true;
        }
        struct slice user = slice_first(value, 512);
        resp_errorf(&request->reply, "ERR No such user '%.*s'", (int)user.len, user.ptr);
        return false;
    }
    if (request_word(request, i, SLICE("skipme"))) {
        filter->skip_me = slice_equals_nocase(value, SLICE("yes"));
        if (filter->skip_me || slice_equals_nocase(value, SLICE("no"))) {
            return true;
        }
    }
    resp_error(&request->reply, ERR_SYNTAX);
    return false;
}

static bool kill_matches(const struct kill_filter *filter, const struct client *client) {
    return (filter->id == 0 || client->id == filter->id) &&
           (filter->type == CLIENT_TYPES || type_of(client) == filter->type) &&
           (filter->peer.ptr == NULL || slice_equals(filter->peer, slice_from_text(conn_peer(client->conn)))) &&
           (filter->local.ptr == NULL ||
            slice_equals(filter->local, slice_from_text(conn_local(client->conn))));
}

/* The one that asks gets its reply first. */
static size_t kill_clients(struct request *request, const struct kill_filter *filter) {
    size_t killed = 0;
    struct client *next;
    for (struct client *client = request->client->clients->first; client != NULL; client = next) {
        next = client->next;
        bool me = client == request->client;
        if (!kill_matches(filter, client) || (me && filter->skip_me)) {
            continue;
        }
        killed++;
        if (me) {
            client->leaving = true;
        } else {
            conn_close(client->conn, CLOSE_KILLED);
        }
    }
    return killed;
}

void command_client_kill(struct request *request) {
    struct kill_filter filter = {.type = CLIENT_TYPES, .skip_me = request->arg_count > 3};
    if (request->arg_count == 3) { /* CLIENT KILL address:port */
        filter.peer = request->args[2];
        if (kill_clients(request, &filter) > 0) {
            reply_ok(request);
        } else {
            resp_errorf(&request->reply, "ERR No such client");
        }
        return;
    }
    for (size_t i = 2; i < request->arg_count; i += 2) {
        if (i + 1 == request->arg_count) {
            resp_error(&request->reply, ERR_SYNTAX);
            return;
        }
        if (!parse_kill_filter(request, i, &filter)) {
            return;
        }
    }
    resp_integer(&request->reply, (int64_t)kill_clients(request, &filter));
}

/* --- CLIENT REPLY: a feature that is on while replies are left out: all, or that to the next command */

static void set_muted(struct client *client, bool muted, bool once) {
    client->gates = (client->gates & ~(uint32_t)GATE_REPLY) | (muted ? GATE_REPLY : 0);
    client->muted = muted;
    client->muted_once = muted && once;
}

void command_client_reply(struct request *request) {
    struct client *client = request->client;
    if (request_word(request, 2, SLICE("on"))) {
        set_muted(client, false, false);
        request->reply.out = conn_out(client->conn);
        reply_ok(request);
    } else if (request_word(request, 2, SLICE("off"))) {
        set_muted(client, true, false);
        request->reply.out = &client->clients->nowhere;
    } else if (request_word(request, 2, SLICE("skip"))) {
        set_muted(client, true, !client->muted || client->muted_once);
    } else {
        resp_error(&request->reply, ERR_SYNTAX);
    }
}

/* The reply that is left out is this command's, which may ask for the same again. */
static void unmute_next(struct client *client) {
    if (client->muted_once) {
        set_muted(client, false, false);
    }
}

static enum feature_verdict before_reply(struct request *request) {
    unmute_next(request->client);
    return FEATURE_GO;
}

static void refused_reply(struct request *request, size_t written_from) {
    (void)written_from;
    unmute_next(request->client);
}

static void end_muting(struct client *client) { set_muted(client, false, false); }

const struct feature feature_reply_mode = {
    .before = before_reply,
    .refused = refused_reply,
    .end = end_muting,
};

/* --- The small ones */

static void set_switch(struct request *request, bool *to) {
    bool on = request_word(request, 2, SLICE("on"));
    if (!on && !request_word(request, 2, SLICE("off"))) {
        resp_error(&request->reply, ERR_SYNTAX);
        return;
    }
    *to = on;
    reply_ok(request);
}

void command_client_no_evict(struct request *request) { set_switch(request, &request->client->no_evict); }

void command_client_no_touch(struct request *request) { set_switch(request, &request->client->no_touch); }

void command_client_unblock(struct request *request) {
    bool error = false;
    int64_t id;
    if (request->arg_count > 4) {
        reply_wrong_arity(request);
        return;
    }
    if (request->arg_count == 4) {
        error = request_word(request, 3, SLICE("error"));
        if (!error && !request_word(request, 3, SLICE("timeout"))) {
            resp_errorf(&request->reply, "ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR");
            return;
        }
    }
    if (!request_integer(request, 2, &id)) {
        return;
    }
    struct client *client = id > 0 ? clients_find(request->client->clients, (uint64_t)id) : NULL;
    resp_integer(&request->reply, client != NULL && wait_unblock(client, error));
}
