/* options.h: the command line and the config file: parameters (server/settings.def) by their flags, and what
 * only a command line can ask for: -config, -version, -help, and the tools (server/tools), which do their work
 * and end: -check, -export, -force-voters, -forget-form, -import, -repair. */
#ifndef KVNODE_SERVER_OPTIONS_H
#define KVNODE_SERVER_OPTIONS_H

#include "server/settings.h"

enum tool { TOOL_NONE, TOOL_CHECK, TOOL_EXPORT, TOOL_FORCE_VOTERS, TOOL_FORGET_FORM, TOOL_IMPORT, TOOL_REPAIR };

/* Texts are the command line's own. */
struct tool_request {
    enum tool tool;
    const char *from; /* DIR, FILE, URL or ids: what the tool's flag names */
    const char *to;   /* -to, NEWDIR of -repair, DIR of -force-voters; NULL: it was not given */
    bool skip_other_types;
};

struct options {
    struct tool_request tool;
    struct settings settings; /* as the node starts; hosts are numeric, nothing is left empty */
    char config_file[4096];   /* "" : none */
    char warning[512];        /* "" or what the log shall say: an address that nobody has named was chosen */
};

enum {
    OPTIONS_MESSAGE_BYTES = 16384, /* takes every message whole, -help among them */
    OPTIONS_LINE_BYTES = 8192,     /* of the config file, its LF and a NUL included */
};

enum options_result {
    OPTIONS_RUN,
    OPTIONS_TOOL,  /* tool says what is to be done; of settings only what was given, nothing is filled in */
    OPTIONS_EXIT,  /* -version or -help was answered in *message, for stdout: exit 0 */
    OPTIONS_WRONG, /* *message is one line for stderr: exit 2 */
};

/* message: a buffer that takes the text (cut to n). What is said later wins; the command line wins over the
 * file. */
enum options_result options_parse(int argc, char **argv, struct options *out, char *message, size_t n);

/* A line of the file, which is cut up for it. False: it is empty, or a comment. *value: "" if the line says "";
 * NULL: the name stands alone. */
bool options_split_line(char *line, struct slice *name, const char **value);

#endif
