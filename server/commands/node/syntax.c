#include "server/commands/node/syntax.h"

#define LOWER    "abcdefghijklmnopqrstuvwxyz"
#define UPPER    "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS   "0123456789"
#define OF_NAME  LOWER DIGITS "-_/:"
#define OF_TOKEN UPPER DIGITS "-_"

static const char *const type_names[] = {
    [SYNTAX_STRING] = "string",         [SYNTAX_INTEGER] = "integer", [SYNTAX_DOUBLE] = "double",
    [SYNTAX_UNIX_TIME] = "unix-time",   [SYNTAX_PATTERN] = "pattern", [SYNTAX_KEY] = "key",
    [SYNTAX_PURE_TOKEN] = "pure-token", [SYNTAX_ONEOF] = "oneof",     [SYNTAX_BLOCK] = "block",
};
enum { WRITTEN_TYPES = SYNTAX_KEY + 1 }; /* the others are told by their form */

/* --- Reading */

static bool begins_with_any(struct slice text, const char *characters) {
    return text.len > 0 && memchr(characters, text.ptr[0], strlen(characters)) != NULL;
}

static bool take(struct slice *rest, struct slice prefix) {
    if (!slice_equals(slice_first(*rest, prefix.len), prefix)) {
        return false;
    }
    *rest = slice_skip(*rest, prefix.len);
    return true;
}

static struct slice take_run(struct slice *rest, const char *characters) {
    struct slice run = slice_first(*rest, 0);
    while (begins_with_any(*rest, characters)) {
        *rest = slice_skip(*rest, 1);
        run.len++;
    }
    return run;
}

static bool find_type(struct slice name, enum syntax_type *out) {
    for (size_t i = 0; i < WRITTEN_TYPES; i++) {
        if (slice_equals(name, slice_from_text(type_names[i]))) {
            *out = (enum syntax_type)i;
            return true;
        }
    }
    return false;
}

/* "seconds:integer". The last colon counts: a name may have one, too. */
static bool split_type(struct slice word, struct syntax_argument *out) {
    size_t n = word.len;
    while (n > 0 && word.ptr[n - 1] != ':') {
        n--;
    }
    if (n == 0) {
        out->name = word;
        (void)find_type(word, &out->type);
        return true;
    }
    out->name = slice_first(word, n - 1);
    return out->name.len > 0 && find_type(slice_skip(word, n), &out->type);
}

/* Behind the "(": what is inside, up to the ")" that belongs to it. */
static bool take_inside(struct slice *rest, struct syntax_argument *out) {
    size_t depth = 1;
    out->type = SYNTAX_BLOCK;
    for (size_t i = 0; i < rest->len && depth <= SYNTAX_DEPTH; i++) {
        depth += rest->ptr[i] == '(';
        depth -= rest->ptr[i] == ')';
        if (depth == 1 && rest->ptr[i] == '|') {
            out->type = SYNTAX_ONEOF;
        }
        if (depth == 0) {
            out->inside = slice_first(*rest, i);
            *rest = slice_skip(*rest, i + 1);
            return i > 0;
        }
    }
    return false;
}

static bool take_named(struct slice *rest, struct syntax_argument *out) {
    if (!begins_with_any(*rest, LOWER)) {
        return false;
    }
    struct slice word = take_run(rest, OF_NAME);
    if (!take(rest, SLICE("("))) {
        return split_type(word, out);
    }
    out->name = word;
    return take_inside(rest, out);
}

/* A token belongs to the argument behind it; where another token is there, or nothing, it is one by itself. */
static bool take_argument(struct slice *rest, struct syntax_argument *out) {
    if (!begins_with_any(*rest, UPPER)) {
        return take_named(rest, out);
    }
    out->token = take_run(rest, OF_TOKEN);
    if (rest->len > 1 && rest->ptr[0] == ' ' && begins_with_any(slice_skip(*rest, 1), LOWER)) {
        *rest = slice_skip(*rest, 1);
        return take_named(rest, out);
    }
    out->type = SYNTAX_PURE_TOKEN;
    out->name = out->token;
    return out->token.len <= SYNTAX_TOKEN_MAX_BYTES;
}

static bool take_version(struct slice *rest, struct slice mark, struct slice *out) {
    if (!take(rest, mark)) {
        return true;
    }
    *out = take_run(rest, DIGITS ".");
    return out->len > 0;
}

static bool take_marks(struct slice *rest, struct syntax_argument *out) {
    out->multiple_token = out->token.len > 0 && take(rest, SLICE(" ++"));
    out->multiple = out->multiple_token || take(rest, SLICE(" ..."));
    return take_version(rest, SLICE(" @"), &out->since) &&
           take_version(rest, SLICE(" !"), &out->deprecated_since);
}

static bool take_separator(struct slice *rest, bool oneof) {
    return rest->len == 0 || (take(rest, oneof ? SLICE(" | ") : SLICE(" ")) && rest->len > 0);
}

bool syntax_next(struct syntax_walk *walk, struct syntax_argument *out) {
    *out = (struct syntax_argument){0};
    if (walk->malformed || walk->rest.len == 0) {
        return false;
    }
    out->optional = take(&walk->rest, SLICE("["));
    walk->malformed = !take_argument(&walk->rest, out) || !take_marks(&walk->rest, out) ||
                      (out->optional && !take(&walk->rest, SLICE("]"))) ||
                      !take_separator(&walk->rest, walk->oneof);
    return !walk->malformed;
}

static bool walk_is_well_formed(struct syntax_walk walk) {
    struct syntax_argument argument;
    while (syntax_next(&walk, &argument)) {
        if (!walk_is_well_formed(syntax_walk_inside(&argument))) {
            return false;
        }
    }
    return !walk.malformed;
}

bool syntax_is_well_formed(const char *text) { return walk_is_well_formed(syntax_walk(text)); }

/* --- Writing */

struct key_specs {
    size_t next, count;
};

static void reply_name(struct resp_reply *reply, struct slice name) {
    char lower[SYNTAX_TOKEN_MAX_BYTES];
    if (!begins_with_any(name, UPPER)) {
        resp_bulk(reply, name);
        return;
    }
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        lower[i] = c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
    }
    resp_bulk(reply, slice_of(lower, name.len));
}

static void reply_argument_flags(struct resp_reply *reply, const struct syntax_argument *argument) {
    const struct {
        bool set;
        const char *word;
    } flags[] = {{argument->optional, "optional"},
                 {argument->multiple, "multiple"},
                 {argument->multiple_token, "multiple_token"}};
    enum { FLAGS = sizeof(flags) / sizeof(flags[0]) };
    size_t count = 0;
    for (size_t i = 0; i < FLAGS; i++) {
        count += flags[i].set;
    }
    if (count == 0) {
        return;
    }
    resp_bulk_text(reply, "flags");
    resp_set(reply, count);
    for (size_t i = 0; i < FLAGS; i++) {
        if (flags[i].set) {
            resp_status(reply, flags[i].word);
        }
    }
}

static void reply_key_spec_index(struct resp_reply *reply, struct key_specs *specs) {
    resp_bulk_text(reply, "key_spec_index");
    resp_integer(reply, (int64_t)specs->next);
    specs->next += specs->next + 1 < specs->count;
}

static void reply_walk(struct resp_reply *reply, struct syntax_walk walk, struct key_specs *specs);

static void reply_argument(struct resp_reply *reply, const struct syntax_argument *argument,
                           struct key_specs *specs) {
    bool is_key = argument->type == SYNTAX_KEY;
    resp_map(reply, 2U + is_key + (argument->token.len > 0) + (argument->since.len > 0) +
                        (argument->deprecated_since.len > 0) + (argument->optional || argument->multiple) +
                        (argument->inside.len > 0));
    resp_bulk_text(reply, "name");
    reply_name(reply, argument->name);
    resp_bulk_text(reply, "type");
    resp_bulk_text(reply, type_names[argument->type]);
    if (is_key) {
        reply_key_spec_index(reply, specs);
    }
    resp_field(reply, "token", argument->token);
    resp_field(reply, "since", argument->since);
    resp_field(reply, "deprecated_since", argument->deprecated_since);
    reply_argument_flags(reply, argument);
    if (argument->inside.len > 0) {
        resp_bulk_text(reply, "arguments");
        reply_walk(reply, syntax_walk_inside(argument), specs);
    }
}

static void reply_walk(struct resp_reply *reply, struct syntax_walk walk, struct key_specs *specs) {
    struct syntax_argument argument;
    size_t count = 0;
    for (struct syntax_walk ahead = walk; syntax_next(&ahead, &argument);) {
        count++;
    }
    resp_array(reply, count);
    while (syntax_next(&walk, &argument)) {
        reply_argument(reply, &argument, specs);
    }
}

void syntax_reply(struct resp_reply *reply, const char *text, size_t key_specs) {
    struct key_specs specs = {.count = key_specs};
    reply_walk(reply, syntax_walk(text), &specs);
}
