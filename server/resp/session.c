#include "server/resp/session.h"

#include "protocol/resp_request.h"
#include "server/clients/clients.h"
#include "server/clients/limits.h"
#include "server/dispatch/command_table.h"
#include "server/dispatch/dispatch.h"
#include "server/dispatch/walk.h"
#include "server/net/fence.h"
#include "server/net/socket.h"
#include "server/resp/incoming.h"
#include "server/settings.h"
#include "server/stats.h"
#include "server/store/keyspace.h"
#include "server/upkeep.h"

#include <stdlib.h>
#include <unistd.h>

/* Input that a session leaves unread: the longest command, and what may have come behind it. */
#define SESSION_MAX_INPUT_BYTES (RESP_REQUEST_MAX_BYTES + CONN_SCRATCH_BYTES)

/* A command that keeps a large argument has at most so many: they are read again with every piece that comes
 * until it is clear where the argument goes. */
enum { DIVERTED_ARGUMENTS = 16 };

struct batched {
    struct resp_command parsed;
    const struct command *command; /* NULL: unknown */
    struct key key;                /* where the command has a single key */
};

struct resp_server {
    const struct command_context *context;
    struct command_table *table;
    struct clients *clients;
    struct upkeep *upkeep;
    struct resp_arguments arguments;
    struct batched batch[RESP_BATCH_COMMANDS];
    uint64_t hashes[RESP_BATCH_COMMANDS]; /* of the batch's keys, where a command has a single one */
    size_t hash_count;
};

struct resp_session {
    struct client client;
    struct resp_server *server;
    struct resp_request parser;
    struct incoming *incoming; /* an argument of the command that the input begins with; NULL: none */
    bool in_callback;          /* commands are being run: on_close leaves freeing to their caller */
    bool closed;
    bool ended;   /* the peer sends no more */
    bool drained; /* its client has left */
};

/* --- A batch
 * ------------------------------------------------------------------------------------------------------ */

struct batch_result {
    size_t count;                  /* commands in server->batch */
    enum resp_request_result last; /* what the parser said of the input behind them; OK: it was not asked */
};

/* Looks up what was parsed, and starts to fetch what it will need. True: more may follow it in this batch. */
static bool prepare(struct resp_server *server, struct batched *item) {
    const struct slice *args = server->arguments.items + item->parsed.first;
    item->command = NULL;
    item->key = (struct key){0};
    if (item->parsed.count == 0) {
        return !item->parsed.is_inline;
    }
    const struct command *container;
    item->command = command_table_resolve(server->table, args, item->parsed.count, &container);
    if (item->command == NULL || !command_has_single_key(item->command) ||
        !command_arity_ok(item->command, item->parsed.count)) {
        return false;
    }
    item->key = keyspace_key(server->context->keyspace, args[item->command->first_key]);
    server->hashes[server->hash_count++] = item->key.hash;
    keyspace_prefetch_bucket(server->context->keyspace, &item->key);
    return !item->parsed.is_inline;
}

static struct resp_limits limits_of(const struct resp_session *session) {
    bool stranger = client_has(&session->client, session->server->clients->with.is_stranger);
    return stranger ? resp_limits_of_strangers()
                    : resp_limits((size_t)session->server->context->settings->proto_max_bulk_bytes);
}

/* A command of which one argument does not lie in the input is a batch of its own. */
static struct batch_result parse_around_incoming(struct resp_session *session, const struct resp_limits *limits,
                                                 struct slice in) {
    struct resp_server *server = session->server;
    struct batched *item = &server->batch[0];
    if (!incoming_is_whole(session->incoming)) {
        return (struct batch_result){0, RESP_REQUEST_MORE};
    }
    enum resp_request_result result = resp_request_parse_around(
        &session->parser, limits, in, &session->incoming->detour, &server->arguments, &item->parsed);
    if (result == RESP_REQUEST_OK) {
        prepare(server, item);
    }
    return (struct batch_result){result == RESP_REQUEST_OK, result};
}

static struct batch_result parse_batch(struct resp_session *session, struct slice in) {
    struct resp_server *server = session->server;
    struct batch_result result = {0, RESP_REQUEST_OK};
    struct resp_limits limits = limits_of(session);
    bool more = true;
    resp_arguments_reset(&server->arguments);
    server->hash_count = 0;
    if (__builtin_expect(session->incoming != NULL, 0)) {
        return parse_around_incoming(session, &limits, in);
    }
    while (more && result.count < RESP_BATCH_COMMANDS) {
        struct batched *item = &server->batch[result.count];
        result.last = resp_request_parse(&session->parser, &limits, in, &server->arguments, &item->parsed);
        if (result.last != RESP_REQUEST_OK) {
            break;
        }
        in = slice_skip(in, item->parsed.bytes);
        more = prepare(server, item);
        result.count++;
    }
    return result;
}

/* "GET / HTTP/1.1": a browser, or somebody who took this port for the other one. */
static bool is_http(const struct resp_command *parsed, const struct slice *args) {
    return parsed->is_inline && parsed->count == 3 && args[1].len > 0 && args[1].ptr[0] == '/' &&
           args[2].len == sizeof("HTTP/1.1") - 1 && memcmp(args[2].ptr, "HTTP/", 5) == 0;
}

/* False: it has to wait, and stays in the input. */
static inline bool run(struct resp_session *session, const struct batched *item, bool last,
                       struct entry_reserve *reserve) {
    struct resp_server *server = session->server;
    struct client *client = &session->client;
    const struct slice *args = server->arguments.items + item->parsed.first;
    if (item->parsed.count == 0) {
        return true;
    }
    if (is_http(&item->parsed, args)) {
        client->cut = true;
        return true;
    }
    struct request request = {
        .context = server->context,
        .client = client,
        .table = server->table,
        .command = item->command,
        .args = args,
        .arg_count = item->parsed.count,
        .key = item->key,
        .last = last && item->key.name.ptr != NULL,
        .reserve = reserve,
        .reply = {.out = conn_out(client->conn), .version = client->protocol},
    };
    if (__builtin_expect((client->gates | server->clients->gates) != 0, 0)) {
        return dispatch_gated(&request);
    }
    dispatch(&request);
    return true;
}

static bool takes_commands(const struct resp_session *session) {
    return !session->closed && client_takes_commands(&session->client) && !conn_out_full(session->client.conn);
}

static void forget_incoming(struct resp_session *session) {
    if (session->incoming != NULL) {
        conn_read_into(session->client.conn, NULL);
        incoming_destroy(&session->incoming);
    }
}

static void destroy(struct resp_session *session) {
    forget_incoming(session);
    free(session);
}

/* Nothing more is said to the client but what is written already: so it is no client any more, hears no
 * messages, and is in no list, though the connection may linger for a while. */
static void drain(struct resp_session *session, enum close_reason reason) {
    clients_remove(&session->client);
    forget_incoming(session);
    session->drained = true;
    conn_drain(session->client.conn, reason);
}

static void refuse_malformed(struct resp_session *session) {
    struct client *client = &session->client;
    struct buf *out = conn_out(client->conn);
    session->server->context->stats->protocol_errors++;
    client_deliver(client);
    buf_append_text(out, "-ERR ");
    resp_request_append_reason(&session->parser, out);
    buf_append_text(out, "\r\n");
    drain(session, CLOSE_PROTOCOL);
}

/* Parses and runs one batch from the front of in; returns the bytes of what was run. *more: there may be
 * another one. */
static size_t run_batch(struct resp_session *session, struct slice in, bool *more) {
    struct resp_server *server = session->server;
    struct batch_result batch = parse_batch(session, in);
    keyspace_prefetch_entries(server->context->keyspace, server->hashes, server->hash_count);
    struct entry_reserve *reserve = session->incoming == NULL ? NULL : &session->incoming->reserve;
    size_t consumed = 0, done = 0;
    if (batch.count > 0) {
        session->client.command = server->batch[batch.count - 1].command;
    }
    while (done < batch.count && takes_commands(session) &&
           run(session, &server->batch[done], done + 1 == batch.count, reserve)) {
        consumed += server->batch[done++].parsed.bytes;
    }
    session->client.commands += done;
    *more = false;
    if (done > 0) {
        forget_incoming(session); /* what the command has not taken */
    }
    if (session->closed) {
        return consumed;
    }
    if (done < batch.count || !takes_commands(session)) {
        /* What was parsed behind this is parsed again when it is its turn. */
        session->parser = (struct resp_request){0};
    } else if (batch.last == RESP_REQUEST_BAD) {
        refuse_malformed(session);
    } else if (batch.last == RESP_REQUEST_MORE) {
        size_t expected = session->incoming != NULL ? 0 : resp_request_expected_bytes(&session->parser);
        if (expected > CONN_SCRATCH_BYTES) {
            conn_expect_input(session->client.conn, expected);
        }
    } else {
        *more = true;
    }
    return consumed;
}

/* --- The conn's calls
 * --------------------------------------------------------------------------------------------- */

/* More than an operator lets a client keep here (client-query-buffer-limit, and client-output-buffer-limit of
 * the class normal: messages have a limit of their own)? */
static bool is_over_limit(struct resp_session *session, size_t unread_bytes, enum close_reason *reason) {
    const struct settings *settings = session->server->context->settings;
    size_t most = (size_t)settings->output_limits[CLIENT_CLASS_NORMAL].hard_bytes;
    unread_bytes += client_feature_bytes(&session->client);
    *reason = unread_bytes > (size_t)settings->client_query_buffer_limit_bytes ? CLOSE_INPUT_LIMIT
                                                                               : CLOSE_OUTPUT_LIMIT;
    return *reason == CLOSE_INPUT_LIMIT ||
           (most != 0 && !client_has(&session->client, session->server->clients->with.subscribes) &&
            conn_output_bytes(session->client.conn) > most);
}

/* The input that a client has sent and that is not consumed. left: what the conn has of it. */
static size_t waiting_bytes(const struct resp_session *session, size_t left) {
    return left + (session->incoming == NULL ? 0 : session->incoming->target.filled);
}

/* in: what is left of the input. When it ends within a large argument that its command would keep, the rest of
 * that is read to where it is to stay; else, and without memory for it in one piece, it is input like any
 * other.
 */
static void divert_large(struct resp_session *session, struct slice in) {
    struct resp_server *server = session->server;
    struct resp_arguments *arguments = &server->arguments;
    struct resp_pending_bulk bulk = resp_request_pending_bulk(&session->parser);
    size_t most = (size_t)server->context->settings->client_query_buffer_limit_bytes;
    if (session->incoming != NULL || !incoming_is_due(bulk, in) || in.len + bulk.bytes > most) {
        return;
    }
    const struct command *container;
    struct resp_limits limits = limits_of(session);
    limits.arguments = DIVERTED_ARGUMENTS;
    resp_arguments_reset(arguments);
    if (!resp_request_arguments_so_far(&limits, in, arguments) || arguments->count == 0) {
        return;
    }
    const struct command *command =
        command_table_resolve(server->table, arguments->items, arguments->count, &container);
    if (command != NULL && (command->flags & COMMAND_KEEPS_VALUE) != 0 &&
        arguments->count > (size_t)command->first_key) {
        session->incoming = incoming_create(bulk, in, arguments->items[command->first_key]);
    }
    if (session->incoming != NULL) {
        conn_read_into(session->client.conn, &session->incoming->target);
    }
}

static size_t on_input(struct conn *conn, void *context, struct slice in) {
    enum close_reason reason;
    struct resp_session *session = context;
    size_t consumed = 0;
    bool more = true;
    struct clients *clients = session->server->clients;
    size_t unsent = conn_output_bytes(conn); /* what it has not taken so far: the replies to come may well be */
    session->in_callback = true;
    session->client.active_ms = loop_monotonic_ms(clients->loop);
    clients->current = &session->client;
    session->client.ran = 0;
    uint64_t began_us = 0;
    while (more && consumed < in.len) {
        consumed += run_batch(session, slice_skip(in, consumed), &more);
        /* One client's pipeline is not to hold up all the others. The first batch is not counted, and a client
         * with no more than one costs no look at the clock. */
        if (more && consumed < in.len && loop_budget_spent(&began_us, RESP_TURN_US)) {
            conn_resume(conn);
            more = false;
        }
    }
    clients->current = NULL;
    client_deliver(&session->client);
    session->in_callback = false;
    if ((session->client.ran & COMMAND_SEES_DATA) == 0 && !session->closed) {
        conn_vouch(conn);
    }
    if (session->closed) {
        destroy(session);
    } else if (session->client.cut) {
        session->server->context->stats->protocol_errors++;
        conn_close(conn, CLOSE_PROTOCOL);
    } else if (session->client.leaving) {
        drain(session, CLOSE_QUIT);
    } else if (session->drained) {
        return consumed;
    } else if (is_over_limit(session, waiting_bytes(session, in.len - consumed), &reason)) {
        conn_close(conn, reason);
    } else {
        size_t unread = waiting_bytes(session, in.len - consumed);
        client_count_memory(&session->client, (struct client_waiting){unread, unsent});
        if (session->parser.state == RESP_REQUEST_BULK) {
            divert_large(session, slice_skip(in, consumed));
        }
    }
    return consumed;
}

static void on_room(struct conn *conn, void *context) {
    (void)conn;
    struct resp_session *session = context;
    if (session->client.walk != NULL) {
        walk_on_room(session->client.walk);
    }
}

static void on_end(struct conn *conn, void *context) {
    (void)conn;
    drain(context, CLOSE_PEER);
}

/* A held client may have left; or the timeout parameter: has the client been silent for so long? */
static void on_deadline(struct conn *conn, void *context) {
    struct resp_session *session = context;
    struct client *client = &session->client;
    const struct command_context *command = session->server->context;
    if (client->holds != 0) {
        client_look_for(client);
        return;
    }
    int64_t idle_ms = loop_monotonic_ms(command->loop) - client->active_ms;
    int64_t left_ms = command->settings->timeout_s * 1000 - idle_ms;
    bool listens = client_has(client, client->clients->with.listens);
    if (left_ms <= 0 && !listens && !client->answering) {
        conn_close(conn, CLOSE_TIMEOUT);
    } else {
        conn_set_deadline(conn, loop_monotonic_ms(command->loop) + (left_ms > 0 ? left_ms : 1000));
    }
}

static void on_close(struct conn *conn, void *context, enum close_reason reason) {
    (void)conn;
    (void)reason;
    struct resp_session *session = context;
    struct server_stats *stats = session->server->context->stats;
    stats->clients--;
    stats->resp_clients--;
    if (!session->drained) {
        clients_remove(&session->client);
    }
    session->closed = true;
    if (!session->in_callback) {
        destroy(session);
    }
}

static const struct conn_handler handler = {
    .on_input = on_input,
    .on_room = on_room,
    .on_end = on_end,
    .on_deadline = on_deadline,
    .on_close = on_close,
    .fenced = true,
};

/* --- The server
 * --------------------------------------------------------------------------------------------------- */

struct resp_server *resp_server_create(const struct command_context *context, const struct command_rows *rows,
                                       const feature_table *features) {
    struct resp_server *server = calloc(1, sizeof(*server));
    if (server == NULL) {
        return NULL;
    }
    server->context = context;
    server->table = command_table_create(rows);
    server->clients = server->table == NULL ? NULL : clients_create(context, features);
    server->upkeep = server->clients == NULL ? NULL : upkeep_create(server->clients);
    if (server->upkeep == NULL) {
        resp_server_destroy(&server);
    }
    return server;
}

void resp_server_destroy(struct resp_server **handle) {
    struct resp_server *server = *handle;
    if (server == NULL) {
        return;
    }
    *handle = NULL;
    upkeep_destroy(&server->upkeep);
    clients_destroy(&server->clients);
    resp_arguments_deinit(&server->arguments);
    command_table_destroy(&server->table);
    free(server);
}

struct clients *resp_server_clients(struct resp_server *server) {
    return server->clients;
}

void resp_server_accept(void *resp_server, int fd) {
    struct resp_server *server = resp_server;
    const struct command_context *context = server->context;
    struct resp_session *session = calloc(1, sizeof(*session));
    if (session != NULL) {
        session->server = server;
        session->client.protocol = 2;
        session->client.conn = conn_adopt(context->net, fd, &handler, session, SESSION_MAX_INPUT_BYTES);
    }
    if (session == NULL || session->client.conn == NULL) {
        free(session);
        close(fd);
        return;
    }
    clients_add(server->clients, &session->client);
    conn_set_deadline(session->client.conn, client_idle_deadline(server->clients));
    socket_set_keepalive(fd, (int)context->settings->tcp_keepalive_s);
    context->stats->clients++;
    context->stats->resp_clients++;
    context->stats->resp_connections++;
}
