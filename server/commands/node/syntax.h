/* syntax.h: what a command takes, as a text that reads much like Redis's syntax lines, and as the `arguments`
 * that COMMAND DOCS tells of it. Pure; borrows the text.
 *
 *     key value [condition(NX | XX) @2.6.12] [GET @6.2.0] [expiration(EX seconds:integer | KEEPTTL @6.0.0)]
 *
 *     value                 an argument: a string
 *     seconds:integer       one of another type: integer, double, unix-time, pattern, key, string
 *     key, pattern          a name that is a type's own is of that type
 *     GET                   a token alone; its name is the token in lower case
 *     EX seconds:integer    an argument behind its token
 *     range(start end)      a block: arguments that come together
 *     condition(NX | XX)    one of them
 *     [GET]                 may be left out
 *     key ...               may come again, without its token; PREFIX prefix ++: with it
 *     GET @6.2.0            since that version; !2.8.12: deprecated since
 */
#ifndef KVNODE_SERVER_COMMANDS_NODE_SYNTAX_H
#define KVNODE_SERVER_COMMANDS_NODE_SYNTAX_H

#include "protocol/resp_reply.h"

enum { SYNTAX_DEPTH = 8, SYNTAX_TOKEN_MAX_BYTES = 32 };

enum syntax_type {
    SYNTAX_STRING,
    SYNTAX_INTEGER,
    SYNTAX_DOUBLE,
    SYNTAX_UNIX_TIME,
    SYNTAX_PATTERN,
    SYNTAX_KEY,
    SYNTAX_PURE_TOKEN,
    SYNTAX_ONEOF,
    SYNTAX_BLOCK,
};

struct syntax_argument {
    enum syntax_type type;
    struct slice name;  /* of a pure token the token itself */
    struct slice token; /* without bytes: none; so the others */
    struct slice since, deprecated_since;
    struct slice inside; /* of SYNTAX_ONEOF and SYNTAX_BLOCK: a text of its own */
    bool optional, multiple, multiple_token;
};

/* A walk over the arguments of a text, or over those inside of one of them. */
struct syntax_walk {
    struct slice rest;
    bool oneof; /* " | " is between them */
    bool malformed;
};

static inline struct syntax_walk syntax_walk(const char *text) {
    return (struct syntax_walk){.rest = slice_from_text(text)};
}
static inline struct syntax_walk syntax_walk_inside(const struct syntax_argument *argument) {
    return (struct syntax_walk){.rest = argument->inside, .oneof = argument->type == SYNTAX_ONEOF};
}

/* false: there is no more, or the walk is malformed from here on. */
bool syntax_next(struct syntax_walk *walk, struct syntax_argument *out);

/* Is all of it read, to the innermost argument? What the rows have is: a unit test walks every row. */
bool syntax_is_well_formed(const char *text);

/* An array with a map for each argument, in Redis's order of the fields. Keys are found by the specifications
 * of the row in turn, the last of which is for all that are left. */
void syntax_reply(struct resp_reply *reply, const char *text, size_t key_specs);

#endif
