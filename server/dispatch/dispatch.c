#include "server/dispatch/dispatch.h"

#include "server/clients/clients.h"
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

/* What may take memory makes room for it first, or is refused. */
static bool has_room(struct request *request) {
    bool grows = (request->command->flags & COMMAND_DENYOOM) != 0 || request->is_kept;
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

static void run(struct request *request) {
    struct command_stat *stat = telemetry_stat(request->context->telemetry, request->command);
    if (telemetry_begin(stat) || telemetry_large(request)) {
        uint64_t begin_us = loop_monotonic_us();
        call(request);
        uint64_t us = loop_monotonic_us() - begin_us;
        if (!request->client->answering) {
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
        run(request);
    } else {
        telemetry_rejected(request);
    }
}

void dispatch_run(struct request *request) {
    struct client *client = request->client;
    struct clients *clients = client->clients;
    client->command = request->command;
    run(request);
    for (uint32_t bits = (client->gates | clients->gates) & clients->with.after; bits != 0;) {
        clients_next_feature(clients, &bits)->after(request);
    }
}

/* What is on, in the rows' order, and between them what every command has to pass. */
static enum feature_verdict pass_features(struct request *request) {
    const struct client *client = request->client;
    const struct clients *clients = client->clients;
    uint32_t on = client->gates | clients->gates;
    enum feature_verdict verdict = FEATURE_GO;
    if (!is_well_formed(request)) {
        return FEATURE_REFUSED;
    }
    request->flags = request->command->flags;
    for (uint32_t bits = on & clients->with.arrive; bits != 0 && verdict == FEATURE_GO;) {
        verdict = clients_next_feature(clients, &bits)->arrive(request);
    }
    if (verdict == FEATURE_GO && !dispatch_admits(request)) {
        verdict = FEATURE_REFUSED;
    }
    for (uint32_t bits = on & clients->with.before; bits != 0 && verdict == FEATURE_GO;) {
        verdict = clients_next_feature(clients, &bits)->before(request);
    }
    return verdict;
}

static void refuse(struct request *request, size_t written_from) {
    const struct client *client = request->client;
    const struct clients *clients = client->clients;
    telemetry_rejected(request);
    for (uint32_t bits = (client->gates | clients->gates) & clients->with.refused; bits != 0;) {
        clients_next_feature(clients, &bits)->refused(request, written_from);
    }
}

bool dispatch_gated(struct request *request) {
    struct client *client = request->client;
    if (client->muted) {
        buf_reset(&client->clients->nowhere);
        request->reply.out = &client->clients->nowhere;
    }
    size_t written_before = buf_used(request->reply.out);
    enum feature_verdict verdict = pass_features(request);
    if (verdict == FEATURE_HELD) {
        return false;
    }
    if (verdict == FEATURE_REFUSED) {
        refuse(request, written_before);
    } else if (verdict == FEATURE_GO) {
        dispatch_run(request);
    }
    client_deliver(client);
    return true;
}
