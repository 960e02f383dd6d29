/* options.h: the command line and the config file, as one table of options (design, section 9). */
#ifndef KVNODE_SERVER_OPTIONS_H
#define KVNODE_SERVER_OPTIONS_H

#include "protocol/limits.h"
#include "server/log.h"
#include "server/settings.h"

#include <stdint.h>

struct options {
    uint16_t port, api_port, redis_port, discovery_port;
    uint16_t group;
    bool leader;
    char host[LIMIT_HOST_BYTES + 1];      /* numeric: announced */
    char bind[LIMIT_HOST_BYTES + 1];      /* numeric: bound; the host by default */
    char broadcast[LIMIT_HOST_BYTES + 1]; /* numeric */
    char id[LIMIT_NODE_ID_BYTES + 1];     /* 8 random hex digits by default */
    size_t backlog_bytes;
    size_t maxmemory_bytes; /* 0: no limit */
    char maxmemory_policy[32];
    size_t max_clients;
    enum log_level log_level;
    char config_file[4096];   /* "" : none */
    struct settings settings; /* every parameter of CONFIG SET, as the node starts with it */
};

enum { OPTIONS_MESSAGE_BYTES = 4096 }; /* takes every message whole, -help among them */

enum options_result {
    OPTIONS_RUN,
    OPTIONS_EXIT,  /* -version or -help was answered in *message, for stdout: exit 0 */
    OPTIONS_WRONG, /* *message is one line for stderr: exit 2 */
};

/* message: a buffer that takes the text (cut to n). Later settings win; the command line wins over the file. */
enum options_result options_parse(int argc, char **argv, struct options *out, char *message, size_t n);

#endif
