#include "server/dispatch/help.h"

#include <stdio.h>

enum { LINE_BYTES = 128 };

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

void reply_help(struct request *request, const char *const *lines) {
    size_t count = 0;
    while (lines[count] != NULL) {
        count++;
    }
    resp_array(&request->reply, count + 3);
    reply_head(request);
    for (size_t i = 0; i < count; i++) {
        resp_status(&request->reply, lines[i]);
    }
    resp_status(&request->reply, "HELP");
    resp_status(&request->reply, "    Prints this help.");
}
