/* help.c: HELP of every container: what its row says. */
#include "server/commands/rows.h"

#include <assert.h>
#include <stdio.h>

enum { LINE_BYTES = 160 };

/* "CONFIG <subcommand> ...", in capitals whatever the client wrote. */
static void reply_head(struct request *request) {
    char line[LINE_BYTES];
    size_t name_bytes = strcspn(request->command->name, "|");
    snprintf(line, sizeof(line),
             "%.*s <subcommand> [<arg> [value] [opt] ...]. Subcommands are:", (int)name_bytes,
             request->command->name);
    for (size_t i = 0; i < name_bytes; i++) {
        line[i] = (char)(line[i] >= 'a' && line[i] <= 'z' ? line[i] - 32 : line[i]);
    }
    resp_status(&request->reply, line);
}

static size_t count_lines(const char *text) {
    size_t count = 0;
    for (; *text != '\0'; text++) {
        count += *text == '\n';
    }
    return count;
}

void command_help(struct request *request) {
    const struct command *container;
    command_table_resolve(request->table, request->args, request->arg_count, &container);
    assert(container != NULL); /* HELP is a subcommand */
    const char *text = container->help;
    resp_array(&request->reply, count_lines(text) + 3);
    reply_head(request);
    for (size_t n; *text != '\0'; text += n + 1) {
        n = strcspn(text, "\n");
        char line[LINE_BYTES];
        snprintf(line, sizeof(line), "%.*s", (int)n, text);
        resp_status(&request->reply, line);
    }
    resp_status(&request->reply, "HELP");
    resp_status(&request->reply, "    Prints this help.");
}
