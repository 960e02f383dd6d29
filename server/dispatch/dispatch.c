#include "server/dispatch/dispatch.h"

#include "cluster/routing.h"
#include "server/clients/clients.h"
#include "server/dispatch/admit.h"
#include "server/dispatch/command_table.h"
#include "server/dispatch/telemetry.h"
#include "server/dispatch/walk.h"
#include "server/stats.h"
#include "server/store/keyspace.h"

#include <assert.h>
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

static struct demand demand_of(const struct request *request) {
    const struct command *command = request->command;
    bool keyed = command->first_key > 0 && (size_t)command->first_key < request->arg_count;
    return (struct demand){
        .keys = keyed ? &request->args[command->first_key] : NULL,
        .key_count = !keyed || command_has_single_key(command) ? 1 : request_key_count(request),
        .step = (size_t)command->key_step,
        .data = keyed || (command->flags & (COMMAND_READONLY | COMMAND_WRITE)) != 0,
        .leader = (command->flags & (COMMAND_WRITE | COMMAND_AT_LEADER)) != 0,
        .grows = (command->flags & COMMAND_DENYOOM) != 0 || request->is_kept,
    };
}

/* What is refused for the copy that is here. Who leaves a shard channel leaves it where it is. */
static bool takes_any_copy(const struct request *request) {
    return request->context->routing->quorum &&
           (request->client->any_copy || (request->command->flags & COMMAND_PUBSUB) != 0);
}

/* It is not admitted as it stands. */
static bool admits_after_all(struct request *request, const struct demand *demand, enum err err,
                             struct routing_answer *answer) {
    const struct command_context *context = request->context;
    if ((err == ERR_MOVED || err == ERR_CLUSTERDOWN) && takes_any_copy(request)) {
        struct demand other = *demand;
        other.any_copy = true;
        err = admit(context, &other, answer);
    }
    if (err == ERR_MOVED) {
        assert(answer->target != NULL);
        context->stats->redirects++;
        resp_errorf(&request->reply, "MOVED %u %s:%u", answer->slot, answer->target->host,
                    answer->target->redis_port);
    } else if (err != ERR_NONE) {
        resp_error(&request->reply, err);
    }
    return err == ERR_NONE;
}

/* newest: of a read. */
static inline bool admits(struct request *request, bool newest) {
    struct demand demand = demand_of(request);
    struct routing_answer answer = {0};
    demand.newest = newest;
    enum err err = admit(request->context, &demand, &answer);
    return __builtin_expect(err == ERR_NONE, 1) || admits_after_all(request, &demand, err, &answer);
}

bool dispatch_admits(struct request *request) {
    const struct client *client = request->client;
    return admits(request, (client->gates & GATE_ACKS) != 0 && !client->any_copy);
}

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
    request->client->ran |= request->command->flags;
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
    if (is_well_formed(request) && admits(request, false)) {
        run(request);
    } else {
        telemetry_rejected(request);
    }
}

/* Runs what has been admitted; monitors and timing see it. */
static void run_admitted(struct request *request) {
    struct client *client = request->client;
    struct clients *clients = client->clients;
    client->command = request->command;
    run(request);
    for (uint32_t bits = (client->gates | clients->gates) & clients->with.after; bits != 0;) {
        clients_next_feature(clients, &bits)->after(request);
    }
}

static enum feature_verdict arrive(struct request *request, uint32_t on) {
    const struct clients *clients = request->client->clients;
    enum feature_verdict verdict = FEATURE_GO;
    request->flags = request->command->flags;
    for (uint32_t bits = on & clients->with.arrive; bits != 0 && verdict == FEATURE_GO;) {
        verdict = clients_next_feature(clients, &bits)->arrive(request);
    }
    return verdict;
}

void dispatch_queued(struct request *request) {
    const struct client *client = request->client;
    if (arrive(request, client->gates | client->clients->gates) == FEATURE_GO) {
        run_admitted(request);
    } else {
        telemetry_rejected(request);
    }
}

/* What is on, in the rows' order, and between them what every command has to pass. */
static enum feature_verdict pass_features(struct request *request) {
    const struct client *client = request->client;
    const struct clients *clients = client->clients;
    uint32_t on = client->gates | clients->gates;
    if (!is_well_formed(request)) {
        return FEATURE_REFUSED;
    }
    enum feature_verdict verdict = arrive(request, on);
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
        run_admitted(request);
    }
    client_deliver(client);
    return true;
}
