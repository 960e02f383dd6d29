/* host.c: what a server says of itself in a word: TIME, LOLWUT. */
#include "server/commands/rows.h"
#include "server/dispatch/command.h"
#include "server/version.h"

#include <time.h>

void command_time(struct request *request) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    resp_array(&request->reply, 2);
    resp_bulk_number(&request->reply, (uint64_t)now.tv_sec);
    resp_bulk_number(&request->reply, (uint64_t)now.tv_nsec / 1000);
}

/* There is no art here, whatever version of it is asked for. */
void command_lolwut(struct request *request) {
    int64_t version;
    if (request->arg_count < 3 || !request_word(request, 1, SLICE("version")) ||
        request_integer(request, 2, &version)) {
        resp_text(&request->reply,
                  SLICE("Redis ver. " COMPATIBLE_REDIS_VERSION " (kvnode " KVNODE_VERSION ")\n"));
    }
}
