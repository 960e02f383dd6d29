#include "server/dispatch/dispatch.h"

#include "server/clients/clients.h"
#include "server/commands/client/gates.h"
#include "server/commands/client/tracking.h"
#include "server/commands/client/transactions.h"
#include "server/dispatch/command_table.h"
#include "server/dispatch/telemetry.h"
#include "server/dispatch/walk.h"

#include <stdio.h>

enum { QUOTED_MAX_BYTES = 128 };

/* A client's text within an error: cut, and ended by a NUL, as Redis's "%.128s" does. */
static int shown_length(struct slice text, size_t most) {
    return (int)strnlen(text.ptr, text.len < most ? text.len : most);
}

static void reply_unknown_command(struct request *request) {
    char args[QUOTED_MAX_BYTES * 2] = "";
    size_t used = 0;
    for (size_t i = 1; i < request->arg_count && used < QUOTED_MAX_BYTES; i++) {
        struct slice arg = request->args[i];
        used += (size_t)snprintf(args + used, sizeof(args) - used, "'%.*s' ",
                                 shown_length(arg, QUOTED_MAX_BYTES - used), arg.ptr);
    }
    resp_errorf(&request->reply, "ERR unknown command '%.*s', with args beginning with: %s",
                shown_length(request->args[0], QUOTED_MAX_BYTES), request->args[0].ptr, args);
}

static void reply_unknown_subcommand(struct request *request) {
    char name[QUOTED_MAX_BYTES];
    int n = shown_length(request->args[0], sizeof(name));
    for (int i = 0; i < n; i++) {
        char byte = request->args[0].ptr[i];
        name[i] = (char)(byte >= 'a' && byte <= 'z' ? byte - 32 : byte);
    }
    resp_errorf(&request->reply, "ERR unknown subcommand '%.*s'. Try %.*s HELP.",
                shown_length(request->args[1], QUOTED_MAX_BYTES), request->args[1].ptr, n, name);
}

static void reply_unknown(struct request *request) {
    const struct command *container;
    command_table_resolve(request->table, request->args, request->arg_count, &container);
    if (container != NULL) {
        reply_unknown_subcommand(request);
    } else {
        reply_unknown_command(request);
    }
}

/* May one node answer for all the keys? Only if one group owns all their slots. */
static bool one_group_owns_all(const struct request *request) {
    const struct routing *routing = request->context->routing;
    if (routing->owns_all || routing->ring_empty || command_has_single_key(request->command)) {
        return true;
    }
    size_t count = request_key_count(request);
    uint16_t owner = routing->owners[slot_of_key(request_key_name(request, 0))];
    for (size_t i = 1; i < count; i++) {
        if (routing->owners[slot_of_key(request_key_name(request, i))] != owner) {
            return false;
        }
    }
    return true;
}

/* True: the keys are this node's to answer for. False: replied with where to go, or why not. */
static bool route_keys(struct request *request) {
    const struct command_context *context = request->context;
    bool at_leader = (request->command->flags & (COMMAND_WRITE | COMMAND_AT_LEADER)) != 0;
    struct routing_answer answer = {0};
    enum err err = context_route(context, request_key_name(request, 0), at_leader, &answer);
    if (err == ERR_LOADING) {
        resp_error(&request->reply, err);
        return false;
    }
    if (!one_group_owns_all(request)) {
        resp_error(&request->reply, ERR_CROSSSLOT);
        return false;
    }
    if (err == ERR_MOVED && answer.target != NULL) {
        context->stats->redirects++;
        resp_errorf(&request->reply, "MOVED %u %s:%u", answer.slot, answer.target->host,
                    answer.target->redis_port);
        return false;
    }
    if (err != ERR_NONE) {
        resp_error(&request->reply, err);
        return false;
    }
    return true;
}

/* The same for a command about all the data of this node. */
static bool route_keyless(struct request *request) {
    const struct command_context *context = request->context;
    enum err err = replication_ready(context->replication);
    if (err == ERR_NONE && (request->command->flags & COMMAND_WRITE) != 0 && !context->routing->self_leader) {
        err = ERR_READONLY;
    }
    if (err != ERR_NONE) {
        resp_error(&request->reply, err);
    }
    return err == ERR_NONE;
}

static bool is_well_formed(struct request *request) {
    const struct command *command = request->command;
    if (command == NULL) {
        reply_unknown(request);
        return false;
    }
    if (!command_arity_ok(command, request->arg_count) || command->run == NULL) {
        reply_wrong_arity(request);
        return false;
    }
    return true;
}

static bool is_routed_here(struct request *request) {
    const struct command *command = request->command;
    if (command->first_key > 0 && (size_t)command->first_key < request->arg_count) {
        return route_keys(request);
    }
    return (command->flags & (COMMAND_READONLY | COMMAND_WRITE)) == 0 || route_keyless(request);
}

static bool make_room(struct request *request) {
    enum err err = keyspace_make_room(request->context->keyspace);
    if (err != ERR_NONE) {
        resp_error(&request->reply, err);
    }
    return err == ERR_NONE;
}

/* Between MULTI and EXEC every command takes memory: that of the queue. */
static bool is_to_be_queued(const struct request *request) {
    return (request->client->gates & GATE_MULTI) != 0 && !request->client->executing &&
           (request->command->flags & (COMMAND_UNQUEUED | COMMAND_NO_MULTI)) == 0;
}

/* What may take memory makes room for it first, or is refused. */
static bool has_room(struct request *request) {
    bool grows = (request->command->flags & COMMAND_DENYOOM) != 0 || is_to_be_queued(request);
    return !grows || make_room(request);
}

bool dispatch_admits(struct request *request) { return is_routed_here(request) && has_room(request); }

/* CLIENT NO-TOUCH: what the client reads is not used by that. */
static void call(struct request *request) {
    if (__builtin_expect(!request->client->no_touch, 1)) {
        request->command->run(request);
        return;
    }
    bool before = keyspace_set_touching(request->context->keyspace, false);
    request->command->run(request);
    keyspace_set_touching(request->context->keyspace, before);
}

/* timed: whether or not it is the command's turn. */
static void run(struct request *request, bool timed) {
    struct command_stat *stat = &request->context->telemetry->commands[command_table_index(request->command)];
    if (telemetry_begin(stat) || timed || telemetry_large(request)) {
        uint64_t begin_us = loop_monotonic_us();
        call(request);
        uint64_t us = loop_monotonic_us() - begin_us;
        if (request->client->walk == NULL) {
            telemetry_timed(request, stat, us);
        } else {
            telemetry_postpone(request, stat);
            walk_time(request->client->walk, us);
        }
    } else {
        call(request);
    }
    if (__builtin_expect(request->reply.error != NULL, 0)) {
        telemetry_failed(request, stat);
    }
}

void dispatch(struct request *request) {
    if (is_well_formed(request) && dispatch_admits(request)) {
        run(request, false);
    } else {
        telemetry_rejected(request);
    }
}

void dispatch_run(struct request *request) {
    struct client *client = request->client;
    uint32_t gates = client->clients->gates;
    client->command = request->command;
    run(request, (gates & GATE_TIMED) != 0);
    if ((client->clients->gates & GATE_MONITOR) != 0) {
        gate_feed_monitors(request);
    }
    if ((client->gates & GATE_TRACKING) != 0) {
        tracking_after(request);
    }
}

/* In RESP2 a message can't be told from a reply: a subscriber gets no replies but those that are messages. */
static bool is_allowed_to_subscriber(struct request *request) {
    const struct client *client = request->client;
    const struct command *command = request->command;
    if ((client->gates & GATE_SUBSCRIBED) == 0 || client->protocol > 2 ||
        (command->flags & COMMAND_SUBSCRIBED) != 0) {
        return true;
    }
    resp_errorf(
        &request->reply,
        "ERR Can't execute '%s': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed "
        "in this context",
        command->name);
    return false;
}

bool dispatch_gated(struct request *request) {
    struct client *client = request->client;
    if ((client->gates & (GATE_REPLY_OFF | GATE_REPLY_SKIP)) != 0) {
        buf_reset(&client->clients->nowhere);
        request->reply.out = &client->clients->nowhere;
    }
    size_t written_before = buf_used(request->reply.out);
    bool admitted = is_well_formed(request) && gate_authenticated(request) && dispatch_admits(request) &&
                    is_allowed_to_subscriber(request);
    if (admitted && gate_paused(request)) {
        return false;
    }
    client->gates &= ~(uint32_t)GATE_REPLY_SKIP;
    bool in_multi = (client->gates & GATE_MULTI) != 0;
    if (!admitted) {
        telemetry_rejected(request);
        if (in_multi) {
            transaction_refused(request, written_before);
        }
    } else if (in_multi && (request->command->flags & COMMAND_UNQUEUED) == 0) {
        transaction_queue(request);
    } else {
        dispatch_run(request);
    }
    client_deliver(client);
    return true;
}
