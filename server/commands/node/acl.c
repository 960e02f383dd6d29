/* acl.c: ACL: there is one user, "default", who may do everything, and whose password is the requirepass
 * parameter. */
#include "protocol/num.h"
#include "protocol/sha256.h"
#include "server/commands/rows.h"
#include "server/dispatch/command_table.h"
#include "server/dispatch/telemetry.h"
#include "server/password.h"

#include <stdio.h>
#include <sys/random.h>

enum { HASH_HEX_BYTES = 2 * SHA256_BYTES, GENPASS_DEFAULT_BITS = 256, GENPASS_MAX_BITS = 4096 };

static const char *const categories[] = {
    "keyspace", "read",   "write",       "set",       "sortedset",  "list",        "hash",
    "string",   "bitmap", "hyperloglog", "geo",       "stream",     "pubsub",      "admin",
    "fast",     "slow",   "blocking",    "dangerous", "connection", "transaction", "scripting"};

enum { CATEGORY_COUNT = sizeof(categories) / sizeof(categories[0]) };

static bool is_default(struct slice user) { return slice_equals(user, SLICE("default")); }

/* In lower-case hex, with a NUL. */
static void password_hash(const struct request *request, char out[HASH_HEX_BYTES + 1]) {
    unsigned char sum[SHA256_BYTES];
    const struct setting_bytes *wanted = &request->context->settings->requirepass;
    struct slice password = slice_of(wanted->bytes, wanted->length);
    sha256_of(&password, 1, sum);
    for (size_t i = 0; i < SHA256_BYTES; i++) {
        snprintf(out + 2 * i, 3, "%02x", sum[i]);
    }
}

void command_acl_whoami(struct request *request) { resp_bulk_text(&request->reply, "default"); }

void command_acl_users(struct request *request) {
    resp_array(&request->reply, 1);
    resp_bulk_text(&request->reply, "default");
}

void command_acl_list(struct request *request) {
    char line[HASH_HEX_BYTES + 64] = "user default on nopass ~* &* +@all";
    if (password_is_wanted(request->context->settings)) {
        char hash[HASH_HEX_BYTES + 1];
        password_hash(request, hash);
        snprintf(line, sizeof(line), "user default on #%s ~* &* +@all", hash);
    }
    resp_array(&request->reply, 1);
    resp_bulk_text(&request->reply, line);
}

void command_acl_getuser(struct request *request) {
    struct resp_reply *reply = &request->reply;
    bool password = password_is_wanted(request->context->settings);
    if (!is_default(request->args[2])) {
        resp_null(reply);
        return;
    }
    resp_map(reply, 6);
    resp_bulk_text(reply, "flags");
    resp_set(reply, password ? 1 : 2);
    resp_bulk_text(reply, "on");
    if (!password) {
        resp_bulk_text(reply, "nopass");
    }
    resp_bulk_text(reply, "passwords");
    resp_array(reply, password);
    if (password) {
        char hash[HASH_HEX_BYTES + 1];
        password_hash(request, hash);
        resp_bulk_text(reply, hash);
    }
    resp_bulk_text(reply, "commands");
    resp_bulk_text(reply, "+@all");
    resp_bulk_text(reply, "keys");
    resp_bulk_text(reply, "~*");
    resp_bulk_text(reply, "channels");
    resp_bulk_text(reply, "&*");
    resp_bulk_text(reply, "selectors");
    resp_array(reply, 0);
}

static bool is_shown_in(const struct command *command, struct slice category) {
    return (command->flags & COMMAND_HIDDEN) == 0 && command_has_category(command, category);
}

static void reply_category(struct request *request, struct slice category) {
    const struct command_rows *rows = request->context->telemetry->rows;
    size_t count = 0;
    for (size_t i = 0; i < rows->count; i++) {
        count += is_shown_in(&rows->items[i], category);
    }
    resp_array(&request->reply, count);
    for (size_t i = 0; i < rows->count; i++) {
        if (is_shown_in(&rows->items[i], category)) {
            resp_bulk_text(&request->reply, rows->items[i].name);
        }
    }
}

void command_acl_cat(struct request *request) {
    if (request->arg_count > 3) {
        resp_errorf(&request->reply,
                    "ERR unknown subcommand or wrong number of arguments for '%.*s'. Try ACL HELP.",
                    (int)slice_first(request->args[1], 128).len, request->args[1].ptr);
        return;
    }
    if (request->arg_count == 2) {
        resp_array(&request->reply, CATEGORY_COUNT);
        for (size_t i = 0; i < CATEGORY_COUNT; i++) {
            resp_bulk_text(&request->reply, categories[i]);
        }
        return;
    }
    for (size_t i = 0; i < CATEGORY_COUNT; i++) {
        if (request_word(request, 2, slice_from_text(categories[i]))) {
            reply_category(request, slice_from_text(categories[i]));
            return;
        }
    }
    struct slice category = slice_first(request->args[2], 128);
    resp_errorf(&request->reply, "ERR Unknown category '%.*s'", (int)category.len, category.ptr);
}

void command_acl_genpass(struct request *request) {
    int64_t bits = GENPASS_DEFAULT_BITS;
    unsigned char random[GENPASS_MAX_BITS / 8];
    char hex[GENPASS_MAX_BITS / 4 + 2];
    if (request->arg_count > 3) {
        reply_wrong_arity(request);
        return;
    }
    if (request->arg_count == 3 && !request_integer(request, 2, &bits)) {
        return;
    }
    if (bits < 1 || bits > GENPASS_MAX_BITS) {
        resp_errorf(
            &request->reply,
            "ERR ACL GENPASS argument must be the number of bits for the output password, a positive number up "
            "to %d",
            GENPASS_MAX_BITS);
        return;
    }
    size_t digits = (size_t)(bits + 3) / 4, bytes = (digits + 1) / 2;
    /* 4096 bits are more than a call gives at once when it is interrupted. */
    for (size_t got = 0; got < bytes;) {
        ssize_t n = getrandom(random + got, bytes - got, 0);
        got += n > 0 ? (size_t)n : 0;
    }
    for (size_t i = 0; i < bytes; i++) {
        snprintf(hex + 2 * i, 3, "%02x", random[i]);
    }
    resp_bulk(&request->reply, slice_of(hex, digits));
}

void command_acl_dryrun(struct request *request) {
    struct slice user = slice_first(request->args[2], 128), name = slice_first(request->args[3], 128);
    const struct command *container;
    const struct command *command =
        command_table_resolve(request->table, request->args + 3, request->arg_count - 3, &container);
    if (!is_default(request->args[2])) {
        resp_errorf(&request->reply, "ERR User '%.*s' not found", (int)user.len, user.ptr);
    } else if (command == NULL) {
        resp_errorf(&request->reply, "ERR Command '%.*s' not found", (int)name.len, name.ptr);
    } else {
        reply_ok(request);
    }
}

/* SETUSER, DELUSER */
void command_acl_one_user(struct request *request) {
    resp_errorf(
        &request->reply,
        "ERR kvnode has one user, 'default', who may do everything: CONFIG SET requirepass sets its password");
}

/* SAVE, LOAD */
void command_acl_no_file(struct request *request) {
    resp_errorf(
        &request->reply,
        "ERR This Redis instance is not configured to use an ACL file. You may want to specify users via the "
        "ACL SETUSER command and then issue a CONFIG REWRITE (assuming you have a Redis configuration file "
        "set) "
        "in order to store users in the Redis configuration.");
}
