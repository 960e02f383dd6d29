#include "server/memory/allocator.h"
#include "server/memory/huge_pages.h"
#include "server/node.h"
#include "server/tools/tool.h"

#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
    struct options options;
    char message[OPTIONS_MESSAGE_BYTES];
    switch (options_parse(argc, argv, &options, message, sizeof(message))) {
    case OPTIONS_EXIT:
        fputs(message, stdout);
        return EXIT_SUCCESS;
    case OPTIONS_WRONG:
        fprintf(stderr, "%s\n", message);
        return 2;
    case OPTIONS_TOOL:
        return tool_run(&options);
    case OPTIONS_RUN:
        break;
    }
    huge_pages_enable();
    allocator_purge_in_background();
    struct node *node = node_create(&options, message, sizeof(message));
    if (node == NULL) {
        fprintf(stderr, "kvnode: %s\n", message);
        return EXIT_FAILURE;
    }
    int status = node_run(node, message, sizeof(message));
    if (message[0] != '\0') {
        fprintf(stderr, "kvnode: %s\n", message);
    }
    node_destroy(&node);
    return status;
}
