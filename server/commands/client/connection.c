/* connection.c: commands about the connection itself: who it is (HELLO, AUTH), how it speaks, its end. */
#include "server/commands/client/connection.h"

#include "protocol/num.h"
#include "server/commands/client/client_command.h"
#include "server/commands/node/acl_log.h"
#include "server/commands/rows.h"
#include "server/dispatch/telemetry.h"
#include "server/password.h"
#include "server/peers/replication.h"
#include "server/version.h"

#include <stdlib.h>

/* To a subscriber in RESP2 the answer is a message, so that it can be told from a channel's. */
static void reply_pong_message(struct request *request) {
    resp_array(&request->reply, 2);
    resp_bulk_text(&request->reply, "pong");
    resp_bulk(&request->reply, request->arg_count == 2 ? request->args[1] : SLICE(""));
}

void command_ping(struct request *request) {
    if (request->arg_count > 2) {
        reply_wrong_arity(request);
    } else if ((request->client->gates & GATE_SUBSCRIBED) != 0 && request->client->protocol == 2) {
        reply_pong_message(request);
    } else if (request->arg_count == 2) {
        resp_bulk(&request->reply, request->args[1]);
    } else {
        RESP_LITERAL(&request->reply, "+PONG\r\n");
    }
}

void command_echo(struct request *request) { resp_bulk(&request->reply, request->args[1]); }

void command_quit(struct request *request) {
    reply_ok(request);
    request->client->leaving = true;
}

void command_select(struct request *request) {
    int64_t index;
    if (!request_integer(request, 1, &index)) {
        return;
    }
    if (index != 0) {
        request->client->gates |= GATE_OTHER_DATABASE;
        resp_errorf(&request->reply, "ERR SELECT is not allowed in cluster mode");
        return;
    }
    request->client->gates &= ~(uint32_t)GATE_OTHER_DATABASE;
    reply_ok(request);
}

/* The feature: on after a SELECT of another database. A client that has not looked at the answer, or passes
 * over it, would go on in database 0, with other data than it thinks. */

static enum feature_verdict wants_database(struct request *request) {
    if ((request->command->flags & COMMAND_NO_AUTH) != 0 || request->command->run == command_select) {
        return FEATURE_GO;
    }
    resp_errorf(&request->reply,
                "ERR There is no other database than 0, and this connection has asked for one: "
                "SELECT 0, RESET or HELLO goes on");
    return FEATURE_REFUSED;
}

static void forget_database(struct client *client) { client->gates &= ~(uint32_t)GATE_OTHER_DATABASE; }

const struct feature feature_database = {.arrive = wants_database, .begin = forget_database};

void command_cross_protocol(struct request *request) { request->client->cut = true; }

/* --- AUTH, HELLO, RESET */

/* False: replied with an error. */
static bool authenticate(struct request *request, struct slice user, struct slice password) {
    const struct settings *settings = request->context->settings;
    if (!password_matches(settings, user, password)) {
        acl_log_add(request->client->clients->acl_log, request, user, (size_t)settings->acllog_max_len);
        resp_errorf(&request->reply, "WRONGPASS invalid username-password pair or user is disabled.");
        return false;
    }
    request->client->gates &= ~(uint32_t)GATE_UNAUTHENTICATED;
    return true;
}

void command_auth(struct request *request) {
    if (request->arg_count > 3) {
        resp_error(&request->reply, ERR_SYNTAX);
        return;
    }
    if (request->arg_count == 2 && !password_is_wanted(request->context->settings)) {
        resp_errorf(&request->reply,
                    "ERR AUTH <password> called without any password configured for the default user. "
                    "Are you sure your configuration is correct?");
        return;
    }
    struct slice user = request->arg_count == 3 ? request->args[1] : SLICE("default");
    if (authenticate(request, user, request->args[request->arg_count - 1])) {
        reply_ok(request);
    }
}

/* What HELLO asks for; slices without a pointer were not given. */
struct hello {
    int64_t protocol; /* 0: as it is */
    struct slice user, password, name;
};

static bool parse_hello(struct request *request, struct hello *hello) {
    if (request->arg_count > 1) {
        if (!num_parse_i64(request->args[1], &hello->protocol)) {
            resp_errorf(&request->reply, "ERR Protocol version is not an integer or out of range");
            return false;
        }
        if (hello->protocol < 2 || hello->protocol > 3) {
            resp_errorf(&request->reply, "NOPROTO unsupported protocol version");
            return false;
        }
    }
    for (size_t i = 2; i < request->arg_count; i++) {
        size_t left = request->arg_count - 1 - i;
        if (left >= 2 && request_word(request, i, SLICE("auth"))) {
            hello->user = request->args[i + 1];
            hello->password = request->args[i + 2];
            i += 2;
        } else if (left >= 1 && request_word(request, i, SLICE("setname"))) {
            hello->name = request->args[++i];
        } else {
            struct slice option = slice_first(request->args[i], 512);
            resp_errorf(&request->reply, "ERR Syntax error in HELLO option '%.*s'", (int)option.len,
                        option.ptr);
            return false;
        }
    }
    return true;
}

static void reply_hello(struct request *request) {
    struct resp_reply *reply = &request->reply;
    struct replication_status status;
    replication_status(request->context->replication, &status);
    bool leads = status.role == REPLICATION_LEADER || status.role == REPLICATION_STARTING;
    resp_map(reply, 7);
    resp_bulk_text(reply, "server");
    resp_bulk_text(reply, "redis");
    resp_bulk_text(reply, "version");
    resp_bulk_text(reply, COMPATIBLE_REDIS_VERSION);
    resp_bulk_text(reply, "proto");
    resp_integer(reply, request->client->protocol);
    resp_bulk_text(reply, "id");
    resp_integer(reply, (int64_t)request->client->id);
    resp_bulk_text(reply, "mode");
    resp_bulk_text(reply, "cluster");
    resp_bulk_text(reply, "role");
    resp_bulk_text(reply, leads ? "master" : "replica");
    resp_bulk_text(reply, "modules");
    resp_array(reply, 0);
}

void command_hello(struct request *request) {
    struct client *client = request->client;
    struct hello hello = {0};
    if (!parse_hello(request, &hello) ||
        (hello.user.ptr != NULL && !authenticate(request, hello.user, hello.password))) {
        return;
    }
    if ((client->gates & GATE_UNAUTHENTICATED) != 0) {
        resp_errorf(
            &request->reply,
            "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> "
            "AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol "
            "version at the same time");
        return;
    }
    if (hello.name.ptr != NULL && !client_set_name(request, hello.name)) {
        return;
    }
    forget_database(client);
    if (hello.protocol != 0) {
        client->protocol = (uint8_t)hello.protocol;
        request->reply.version = (int)hello.protocol;
    }
    reply_hello(request);
}

void command_reset(struct request *request) {
    struct client *client = request->client;
    client_reset(client);
    request->reply = (struct resp_reply){.out = conn_out(client->conn), .version = 2};
    if (client_set_name(request, SLICE(""))) {
        RESP_LITERAL(&request->reply, "+RESET\r\n");
    }
}

/* --- The feature: on for a client that owes the password */

static enum feature_verdict wants_password(struct request *request) {
    if ((request->command->flags & COMMAND_NO_AUTH) != 0) {
        return FEATURE_GO;
    }
    resp_errorf(&request->reply, "NOAUTH Authentication required.");
    return FEATURE_REFUSED;
}

static void begin(struct client *client) {
    bool owes = password_is_wanted(client->clients->context->settings);
    client->gates = (client->gates & ~(uint32_t)GATE_UNAUTHENTICATED) | (owes ? GATE_UNAUTHENTICATED : 0);
}

/* Whoever was refused is remembered. */
static bool start(struct clients *clients) {
    clients->acl_log = calloc(1, sizeof(*clients->acl_log));
    return clients->acl_log != NULL;
}

static void stop(struct clients *clients) {
    if (clients->acl_log != NULL) {
        acl_log_deinit(clients->acl_log);
        free(clients->acl_log);
        clients->acl_log = NULL;
    }
}

const struct feature feature_password = {
    .arrive = wants_password,
    .begin = begin,
    .start = start,
    .stop = stop,
    .is_stranger = true,
};
