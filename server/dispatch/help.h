/* help.h: the reply of a container's HELP. */
#ifndef KVNODE_SERVER_DISPATCH_HELP_H
#define KVNODE_SERVER_DISPATCH_HELP_H

#include "server/dispatch/command.h"

/* lines: the subcommands, each followed by its description, which is indented by four blanks; NULL ends them.
 * The head and HELP itself are added. */
void reply_help(struct request *request, const char *const *lines);

#endif
