/* command.h: what a command is: one row of a table (server/commands/rows.h) and one function. The row says the
 * policy (reads, writes, arity, keys); dispatch.c acts on it and names no command. */
#ifndef KVNODE_SERVER_DISPATCH_COMMAND_H
#define KVNODE_SERVER_DISPATCH_COMMAND_H

#include "protocol/resp_reply.h"
#include "server/clients/client.h"
#include "server/context.h"
#include "server/net/loop.h"
#include "server/store/keyspace.h"

/* The first ones are Redis's own and are told to clients by COMMAND, in this order. */
enum command_flag {
#define COMMAND_FLAG(name, text) COMMAND_BIT_##name,
#include "server/dispatch/command_flags.def"
#undef COMMAND_FLAG
};
#define COMMAND_WRITE      (1U << COMMAND_BIT_WRITE)      /* changes data: only where the keys' leader is */
#define COMMAND_READONLY   (1U << COMMAND_BIT_READONLY)   /* reads data: not before there is any to read */
#define COMMAND_DENYOOM    (1U << COMMAND_BIT_DENYOOM)    /* may grow the data */
#define COMMAND_ADMIN      (1U << COMMAND_BIT_ADMIN)      /* for operators */
#define COMMAND_PUBSUB     (1U << COMMAND_BIT_PUBSUB)     /* told to clients */
#define COMMAND_NOSCRIPT   (1U << COMMAND_BIT_NOSCRIPT)   /* told to clients; means nothing here */
#define COMMAND_LOADING    (1U << COMMAND_BIT_LOADING)    /* likewise */
#define COMMAND_STALE      (1U << COMMAND_BIT_STALE)      /* likewise */
#define COMMAND_NO_SLOWLOG (1U << COMMAND_BIT_NO_SLOWLOG) /* the commands that it runs are logged instead */
#define COMMAND_FAST       (1U << COMMAND_BIT_FAST)       /* O(1) */
#define COMMAND_NO_AUTH    (1U << COMMAND_BIT_NO_AUTH)    /* told to clients */
#define COMMAND_ALLOW_BUSY (1U << COMMAND_BIT_ALLOW_BUSY) /* told to clients */
#define COMMAND_CONTAINER                                                                                      \
    (1U << COMMAND_BIT_CONTAINER) /* its first argument names a row of its own: name|sub */
#define COMMAND_SUBCOMMAND        (1U << COMMAND_BIT_SUBCOMMAND) /* found behind its container only */
#define COMMAND_HIDDEN            (1U << COMMAND_BIT_HIDDEN)     /* not one that a client should know of */
#define COMMAND_SUBSCRIBED        (1U << COMMAND_BIT_SUBSCRIBED) /* a RESP2 subscriber may send it */
#define COMMAND_SECRET            (1U << COMMAND_BIT_SECRET)     /* a password is among its arguments */
#define COMMAND_SPREADS           (1U << COMMAND_BIT_SPREADS)    /* others are told of it, as of a write */
#define COMMAND_AT_LEADER         (1U << COMMAND_BIT_AT_LEADER)  /* for the leader of the keys, as a write */
#define COMMAND_QUICK             (1U << COMMAND_BIT_QUICK) /* not fast by Redis's table, but as quick as one */
#define COMMAND_NO_MULTI          (1U << COMMAND_BIT_NO_MULTI)          /* not in a transaction */
#define COMMAND_SKIP_MONITOR      (1U << COMMAND_BIT_SKIP_MONITOR)      /* only told to clients */
#define COMMAND_NO_MANDATORY_KEYS (1U << COMMAND_BIT_NO_MANDATORY_KEYS) /* only told to clients */
#define COMMAND_NO_ASYNC_LOADING  (1U << COMMAND_BIT_NO_ASYNC_LOADING)  /* only told to clients */
#define COMMAND_MOVABLEKEYS       (1U << COMMAND_BIT_MOVABLEKEYS)       /* only told to clients */
#define COMMAND_UNQUEUED          (1U << COMMAND_BIT_UNQUEUED)          /* run at once between MULTI and EXEC */
#define COMMAND_SYSTEM            (1U << COMMAND_BIT_SYSTEM) /* not for applications: told by COMMAND DOCS */
#define COMMAND_KEEPS_VALUE       (1U << COMMAND_BIT_KEEPS_VALUE) /* takes a large one in its reserve */

/* One that may see or change data, or tell others of it. */
#define COMMAND_SEES_DATA (COMMAND_WRITE | COMMAND_READONLY | COMMAND_AT_LEADER | COMMAND_SPREADS)

struct request;
typedef void command_function(struct request *request);

struct command {
    const char *name;      /* lower case; a subcommand's is "config|get" */
    command_function *run; /* NULL: a container that is nothing by itself */
    int arity;             /* arguments with the name; negative: at least so many */
    uint32_t flags;
    int first_key, last_key,
        key_step; /* places of keys among the arguments; 0: none. last_key counts from the end if < 0 */
    const char *group, *since, *syntax, *complexity, *summary;
    const char *categories, *key_flags, *tips; /* words separated by a blank, told to clients */
    /* NULL: none. Behind the tips, in this order: the rows count on it. help: of a container, a line each. */
    const char *history, *help;
};

/* All commands of a node, subcommands behind their container. */
struct command_rows {
    const struct command *items;
    size_t count;
};

/* A command on its way. args[0] is its name; everything in it lives until the function returns. */
struct request {
    const struct command_context *context;
    struct client *client;
    const struct command_table *table;
    const struct command *command; /* NULL: there is none of that name */
    const struct slice *args;
    size_t arg_count;
    struct key key; /* the only key of a command that has just one */
    uint32_t flags; /* the command's, and those of what it will run; known on the long way only */
    bool is_kept;   /* it will not be run now, but kept: that takes memory */
    bool last;      /* of its batch, and with a single key: the write that comes next is for its value */
    /* Where the large one of its arguments lies, reserved for its key; NULL: none is large, or none is kept so.
     * keyspace_set takes it: the argument is in the store's entry then. */
    struct entry_reserve *reserve;
    struct resp_reply reply;
};

/* How many of the arguments are keys, by the row. */
size_t request_key_count(const struct request *request);
static inline struct slice request_key_name(const struct request *request, size_t i) {
    return request->args[(size_t)request->command->first_key + i * (size_t)request->command->key_step];
}

/* Calls visit for every key of the request, in order, hashed, its memory on the way. */
typedef void request_key_visit(struct request *request, const struct key *key, void *context);
void request_each_key(struct request *request, request_key_visit *visit, void *context);

/* Is argument i this word (lower case), in any case? */
static inline bool request_word(const struct request *request, size_t i, struct slice word) {
    return slice_equals_nocase(request->args[i], word);
}

/* Parses argument i; false: replied with an error. */
bool request_integer(struct request *request, size_t i, int64_t *out);

/* Argument i as milliseconds from now, of which the end can be said; false: replied with an error. */
bool request_timeout_ms(struct request *request, size_t i, int64_t *out);

/* Argument i as logs and monitors may show it: not a password. */
struct slice request_shown(const struct request *request, size_t i);

/* "ERR wrong number of arguments for 'get' command", "ERR invalid expire time in 'set' command" */
void reply_wrong_arity(struct request *request);
void reply_invalid_expire(struct request *request);
/* A text for people, or that there was no memory to gather it; it is freed. */
void reply_gathered(struct request *request, struct buf *text);

/* A stored value, or a part of it. A large one goes straight from the store to the socket. */
void reply_value(struct request *request, const struct entry *entry, struct slice value);

#define reply_ok(request) RESP_LITERAL(&(request)->reply, "+OK\r\n")

#endif
