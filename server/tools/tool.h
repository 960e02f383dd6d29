/* tool.h: what kvnode does besides being a node: it looks at data that are kept, or moves them, and ends. Each
 * tool is a function of what the command line says; it writes what was asked for to stdout, progress and
 * trouble to stderr. Nothing here is of use to a node that runs. */
#ifndef KVNODE_SERVER_TOOLS_TOOL_H
#define KVNODE_SERVER_TOOLS_TOOL_H

#include "server/options.h"
#include "server/tools/say.h"

/* options_parse has said OPTIONS_TOOL. The process's exit code. */
int tool_run(const struct options *options);

typedef enum tool_status tool_function(const struct options *options);
tool_function tool_check;        /* check.c */
tool_function tool_force_voters; /* force_voters.c */
tool_function tool_forget_form;  /* forget_form.c */
tool_function tool_export;       /* export.c */
tool_function tool_import;       /* import.c */
tool_function tool_repair;       /* repair.c */

#endif
