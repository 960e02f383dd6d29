/* introspect.c: what commands there are: COMMAND, COMMAND COUNT, DOCS, INFO. Told from the rows themselves. */
#define _GNU_SOURCE /* memmem */
#include "protocol/glob.h"
#include "server/commands/node/syntax.h"
#include "server/commands/rows.h"
#include "server/dispatch/command_table.h"
#include "server/dispatch/dispatch.h"
#include "server/dispatch/telemetry.h"

#include <stdio.h>

static void reply_words(struct resp_reply *reply, struct slice words, const char *prefix, bool status) {
    size_t count = words.len > 0;
    for (size_t i = 0; i < words.len; i++) {
        count += words.ptr[i] == ' ';
    }
    resp_set(reply, count);
    while (words.len > 0) {
        const char *blank = memchr(words.ptr, ' ', words.len);
        size_t n = blank == NULL ? words.len : (size_t)(blank - words.ptr);
        char word[64];
        int length = snprintf(word, sizeof(word), "%s%.*s", prefix, (int)n, words.ptr);
        if (status) {
            resp_status(reply, word);
        } else {
            resp_bulk(reply, slice_of(word, (size_t)length));
        }
        words = slice_skip(words, n + (blank != NULL));
    }
}

static void reply_flags(struct resp_reply *reply, uint32_t flags) {
    static const char *const texts[] = {
#define COMMAND_FLAG(name, text) text,
#include "server/dispatch/command_flags.def"
#undef COMMAND_FLAG
    };
    char words[256] = "";
    size_t used = 0;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if ((flags >> i & 1) != 0 && texts[i][0] != '\0') {
            used += (size_t)snprintf(words + used, sizeof(words) - used, "%s%s", used > 0 ? " " : "", texts[i]);
        }
    }
    reply_words(reply, slice_from_text(words), "", true);
}

/* How keys are used: a part of the row's key_flags. */
struct key_use {
    struct slice flags, note, choice; /* note, choice: may be empty */
    bool last;                        /* it is for all keys that are left */
};

/* What is in front of the next bar, cut off *rest with it. */
static struct slice next_part(struct slice *rest) {
    static const char bar[] = " | ";
    const char *at = memmem(rest->ptr, rest->len, bar, sizeof(bar) - 1);
    struct slice part = at == NULL ? *rest : slice_first(*rest, (size_t)(at - rest->ptr));
    *rest = slice_skip(*rest, at == NULL ? rest->len : part.len + sizeof(bar) - 1);
    return part;
}

/* What is done with key number i. */
static struct key_use key_use_at(const struct command *command, size_t i) {
    const char *at = command->key_flags;
    size_t n = strcspn(at, ",:");
    for (; i > 0 && at[n] == ','; i--) {
        at += n + 2;
        n = strcspn(at, ",:");
    }
    struct slice rest = slice_from_text(at[n] == ':' ? at + n + 2 : ""), note = next_part(&rest);
    return (struct key_use){slice_of(at, n), note, rest, at[n] != ','};
}

/* Where an argument says how many keys there are: of EVAL and its kin, which run nowhere here. */
static bool counts_keys(const struct command *command) {
    return command->first_key == 0 && command->key_flags[0] != '\0';
}

static size_t key_use_count(const struct command *command) {
    size_t count = command->first_key > 0 || counts_keys(command);
    while (count > 0 && !key_use_at(command, count - 1).last) {
        count++;
    }
    return count;
}

/* The search for keys: as one of its types has it, with its numbers. */
static void reply_search(struct resp_reply *reply, const char *what, const char *type, size_t numbers) {
    resp_bulk_text(reply, what);
    resp_map(reply, 2);
    resp_bulk_text(reply, "type");
    resp_bulk_text(reply, type);
    resp_bulk_text(reply, "spec");
    resp_map(reply, numbers);
}

static void reply_number(struct resp_reply *reply, const char *name, int number) {
    resp_bulk_text(reply, name);
    resp_integer(reply, number);
}

/* What is done with them, and from which argument on they are searched. */
static void reply_key_use(struct resp_reply *reply, const struct key_use *use, int index) {
    resp_map(reply, 3U + (use->note.len > 0));
    resp_field(reply, "notes", use->note);
    resp_bulk_text(reply, "flags");
    reply_words(reply, use->flags, "", true);
    reply_search(reply, "begin_search", "index", 1);
    reply_number(reply, "index", index);
}

/* One specification of where keys are: from an index, a range with a step. last: relative to the index, or from
 * the end if < 0. */
static void reply_key_range(struct resp_reply *reply, const struct key_use *use, int index, int last,
                            int step) {
    reply_key_use(reply, use, index);
    reply_search(reply, "find_keys", "range", 3);
    reply_number(reply, "lastkey", last);
    reply_number(reply, "keystep", step);
    reply_number(reply, "limit", 0);
}

static void reply_counted_keys(struct resp_reply *reply, const struct key_use *use) {
    enum { NUMBER = 2 }; /* script numkeys key ... */
    reply_key_use(reply, use, NUMBER);
    reply_search(reply, "find_keys", "keynum", 3);
    reply_number(reply, "keynumidx", 0);
    reply_number(reply, "firstkey", 1);
    reply_number(reply, "keystep", 1);
}

static void reply_key_specs(struct resp_reply *reply, const struct command *command) {
    size_t count = key_use_count(command);
    resp_set(reply, count);
    for (size_t i = 0; i < count; i++) {
        struct key_use use = key_use_at(command, i);
        int index = command->first_key + (int)i * command->key_step;
        int last = !use.last ? 0 : command->last_key < 0 ? command->last_key : command->last_key - index;
        if (counts_keys(command)) {
            reply_counted_keys(reply, &use);
        } else {
            reply_key_range(reply, &use, index, last, command->key_step);
        }
    }
}

static bool is_shown(const struct command *command) {
    return (command->flags & (COMMAND_SUBCOMMAND | COMMAND_HIDDEN)) == 0;
}

static const struct command_rows *rows_of(const struct request *request) {
    return request->context->telemetry->rows;
}

static size_t count_shown(const struct command_rows *rows) {
    size_t count = 0;
    for (size_t i = 0; i < rows->count; i++) {
        count += is_shown(&rows->items[i]);
    }
    return count;
}

static size_t count_subcommands(const struct command_rows *rows, const struct command *container) {
    size_t count = 0;
    for (size_t i = 0; i < rows->count; i++) {
        count += command_is_subcommand_of(&rows->items[i], container);
    }
    return count;
}

typedef void reply_row(struct resp_reply *reply, const struct command_rows *rows,
                       const struct command *command);

static void reply_subcommands(struct resp_reply *reply, const struct command_rows *rows,
                              const struct command *container, reply_row *row) {
    for (size_t i = 0; i < rows->count; i++) {
        if (command_is_subcommand_of(&rows->items[i], container)) {
            row(reply, rows, &rows->items[i]);
        }
    }
}

static void reply_info(struct resp_reply *reply, const struct command_rows *rows,
                       const struct command *command) {
    resp_array(reply, 10);
    resp_bulk_text(reply, command->name);
    resp_integer(reply, command->arity);
    reply_flags(reply, command->flags);
    resp_integer(reply, command->first_key);
    resp_integer(reply, command->last_key);
    resp_integer(reply, command->key_step);
    reply_words(reply, slice_from_text(command->categories), "@", true);
    reply_words(reply, slice_from_text(command->tips), "", false);
    reply_key_specs(reply, command);
    size_t subcommands = count_subcommands(rows, command);
    if (subcommands > 0) { /* an empty set, but an array of some: as Redis */
        resp_array(reply, subcommands);
    } else {
        resp_set(reply, 0);
    }
    reply_subcommands(reply, rows, command, reply_info);
}

/* --- COMMAND DOCS */

static struct slice history_of(const struct command *command) {
    return slice_from_text(command->history == NULL ? "" : command->history);
}

/* A line of a row's history. */
struct change {
    bool deprecates;
    struct slice version, text;
};

static bool history_next(struct slice *rest, struct change *out) {
    struct slice line = slice_take_until(rest, '\n');
    out->deprecates = line.len > 0 && line.ptr[0] == '!';
    out->text = slice_skip(line, out->deprecates);
    out->version = slice_take_until(&out->text, ' ');
    return line.len > 0;
}

/* What of the docs a row may have or not. */
struct docs {
    size_t subcommands, changes;
    struct change deprecation;
    struct slice flags;
};

static struct docs docs_of(const struct command_rows *rows, const struct command *command) {
    struct docs docs = {.subcommands = count_subcommands(rows, command),
                        .flags = slice_from_text((command->flags & COMMAND_SYSTEM) != 0 ? "syscmd" : "")};
    struct change change;
    for (struct slice rest = history_of(command); history_next(&rest, &change);) {
        if (change.deprecates) {
            docs.deprecation = change;
            docs.flags = SLICE("deprecated");
        } else {
            docs.changes++;
        }
    }
    return docs;
}

static void reply_history(struct resp_reply *reply, const struct command *command, size_t count) {
    struct change change;
    resp_bulk_text(reply, "history");
    resp_set(reply, count);
    for (struct slice rest = history_of(command); history_next(&rest, &change);) {
        if (!change.deprecates) {
            resp_array(reply, 2);
            resp_bulk(reply, change.version);
            resp_bulk(reply, change.text);
        }
    }
}

static void reply_docs(struct resp_reply *reply, const struct command_rows *rows,
                       const struct command *command) {
    struct docs docs = docs_of(rows, command);
    bool has_syntax = command->syntax[0] != '\0';
    resp_bulk_text(reply, command->name);
    resp_map(reply, 3U + (command->complexity[0] != '\0') + (docs.flags.len > 0) +
                        (docs.deprecation.version.len > 0) + (docs.deprecation.text.len > 0) +
                        (docs.changes > 0) + has_syntax + (docs.subcommands > 0));
    resp_field(reply, "summary", slice_from_text(command->summary));
    resp_field(reply, "since", slice_from_text(command->since));
    resp_field(reply, "group", slice_from_text(command->group));
    resp_field(reply, "complexity", slice_from_text(command->complexity));
    if (docs.flags.len > 0) {
        resp_bulk_text(reply, "doc_flags");
        reply_words(reply, docs.flags, "", true);
    }
    resp_field(reply, "deprecated_since", docs.deprecation.version);
    resp_field(reply, "replaced_by", docs.deprecation.text);
    if (docs.changes > 0) {
        reply_history(reply, command, docs.changes);
    }
    if (has_syntax) {
        resp_bulk_text(reply, "arguments");
        syntax_reply(reply, command->syntax, key_use_count(command));
    }
    if (docs.subcommands > 0) {
        resp_bulk_text(reply, "subcommands");
        resp_map(reply, docs.subcommands);
        reply_subcommands(reply, rows, command, reply_docs);
    }
}

void command_command(struct request *request) {
    const struct command_rows *rows = rows_of(request);
    resp_array(&request->reply, count_shown(rows));
    for (size_t i = 0; i < rows->count; i++) {
        if (is_shown(&rows->items[i])) {
            reply_info(&request->reply, rows, &rows->items[i]);
        }
    }
}

void command_command_count(struct request *request) {
    resp_integer(&request->reply, (int64_t)count_shown(rows_of(request)));
}

static const struct command *find_shown(const struct request *request, size_t i) {
    const struct command *command = command_table_find(request->table, request->args[i]);
    return command != NULL && (command->flags & COMMAND_HIDDEN) == 0 ? command : NULL;
}

void command_command_info(struct request *request) {
    if (request->arg_count == 2) {
        command_command(request);
        return;
    }
    const struct command_rows *rows = rows_of(request);
    resp_array(&request->reply, request->arg_count - 2);
    for (size_t i = 2; i < request->arg_count; i++) {
        const struct command *command = find_shown(request, i);
        if (command == NULL) {
            resp_null(&request->reply);
        } else {
            reply_info(&request->reply, rows, command);
        }
    }
}

void command_command_docs(struct request *request) {
    const struct command_rows *rows = rows_of(request);
    struct resp_reply *reply = &request->reply;
    if (request->arg_count == 2) {
        resp_map(reply, count_shown(rows));
        for (size_t i = 0; i < rows->count; i++) {
            if (is_shown(&rows->items[i])) {
                reply_docs(reply, rows, &rows->items[i]);
            }
        }
        return;
    }
    size_t known = 0;
    for (size_t i = 2; i < request->arg_count; i++) {
        known += find_shown(request, i) != NULL;
    }
    resp_map(reply, known);
    for (size_t i = 2; i < request->arg_count; i++) {
        const struct command *command = find_shown(request, i);
        if (command != NULL) {
            reply_docs(reply, rows, command);
        }
    }
}

/* --- COMMAND LIST: the names, subcommands among them, all or those that a filter lets through */

typedef bool filter_function(const struct command *command, struct slice what);

static bool is_of_module(const struct command *command, struct slice module) {
    (void)command, (void)module;
    return false;
}

static bool is_like(const struct command *command, struct slice pattern) {
    return glob_match(pattern, slice_from_text(command->name), GLOB_NOCASE);
}

static void reply_list(struct request *request, filter_function *filter, struct slice what) {
    const struct command_rows *rows = rows_of(request);
    struct resp_reply *reply = &request->reply;
    size_t count = 0;
    for (int write = 0; write <= 1; write++) {
        for (size_t i = 0; i < rows->count; i++) {
            const struct command *command = &rows->items[i];
            bool shown = (command->flags & COMMAND_HIDDEN) == 0 && (filter == NULL || filter(command, what));
            if (shown && write) {
                resp_bulk_text(reply, command->name);
            }
            count += shown && !write;
        }
        if (!write) {
            resp_array(reply, count);
        }
    }
}

void command_command_list(struct request *request) {
    static const struct {
        struct slice name;
        filter_function *filter;
    } filters[] = {
        {{"module", 6}, is_of_module}, {{"aclcat", 6}, command_has_category}, {{"pattern", 7}, is_like}};
    if (request->arg_count == 2) {
        reply_list(request, NULL, SLICE(""));
        return;
    }
    if (request->arg_count == 5 && request_word(request, 2, SLICE("filterby"))) {
        for (size_t i = 0; i < sizeof(filters) / sizeof(filters[0]); i++) {
            if (request_word(request, 3, filters[i].name)) {
                reply_list(request, filters[i].filter, request->args[4]);
                return;
            }
        }
    }
    resp_error(&request->reply, ERR_SYNTAX);
}

/* --- COMMAND GETKEYS, GETKEYSANDFLAGS */

/* The command behind "COMMAND GETKEYS", as a request of its own; false: replied with why it has no keys. */
static bool inner_request(struct request *request, struct request *inner) {
    const struct command *container;
    *inner = *request;
    inner->args = request->args + 2;
    inner->arg_count = request->arg_count - 2;
    inner->command = command_table_resolve(request->table, inner->args, inner->arg_count, &container);
    if (inner->command == NULL) {
        resp_errorf(&request->reply, "ERR Invalid command specified");
        return false;
    }
    if (inner->command->first_key == 0) {
        resp_errorf(&request->reply, "ERR The command has no key arguments");
        return false;
    }
    if (!command_arity_ok(inner->command, inner->arg_count)) {
        resp_errorf(&request->reply, "ERR Invalid number of arguments specified for command");
        return false;
    }
    return true;
}

void command_command_getkeys(struct request *request) {
    struct request inner;
    if (!inner_request(request, &inner)) {
        return;
    }
    resp_array(&request->reply, request_key_count(&inner));
    for (size_t i = 0; i < request_key_count(&inner); i++) {
        resp_bulk(&request->reply, request_key_name(&inner, i));
    }
}

/* choice: "3 get": an argument, and words of which one may be there or behind it. */
static bool has_word(const struct request *request, struct slice choice) {
    size_t first = (size_t)(choice.ptr[0] - '0');
    for (size_t i = first; i < request->arg_count; i++) {
        struct slice words = slice_skip(choice, 2);
        while (words.len > 0) {
            const char *blank = memchr(words.ptr, ' ', words.len);
            struct slice word = blank == NULL ? words : slice_first(words, (size_t)(blank - words.ptr));
            if (request_word(request, i, word)) {
                return true;
            }
            words = slice_skip(words, word.len + (blank != NULL));
        }
    }
    return false;
}

/* Where the row leaves a choice, the arguments decide it. */
static struct slice key_flags_of(const struct request *request, size_t i) {
    struct key_use use = key_use_at(request->command, i);
    if (use.choice.len == 0) {
        return use.flags;
    }
    struct slice without = use.choice, choice = next_part(&without);
    return has_word(request, choice) ? slice_first(use.flags, use.flags.len - strlen(" variable_flags"))
                                     : without;
}

void command_command_getkeysandflags(struct request *request) {
    struct request inner;
    if (!inner_request(request, &inner)) {
        return;
    }
    resp_array(&request->reply, request_key_count(&inner));
    for (size_t i = 0; i < request_key_count(&inner); i++) {
        resp_array(&request->reply, 2);
        resp_bulk(&request->reply, request_key_name(&inner, i));
        reply_words(&request->reply, key_flags_of(&inner, i), "", true);
    }
}
