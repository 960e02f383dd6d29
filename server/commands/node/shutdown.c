/* shutdown.c: SHUTDOWN: stops the node as SIGTERM does. Nothing is saved, whatever the options: data is in
 * memory. */
#include "server/commands/rows.h"
#include "server/dispatch/command.h"

struct shutdown_words {
    bool abort, save, nosave;
};

static bool parse_words(const struct request *request, struct shutdown_words *words) {
    for (size_t i = 1; i < request->arg_count; i++) {
        if (request_word(request, i, SLICE("nosave"))) {
            words->nosave = true;
        } else if (request_word(request, i, SLICE("save"))) {
            words->save = true;
        } else if (request_word(request, i, SLICE("abort"))) {
            words->abort = true;
        } else if (!request_word(request, i, SLICE("now")) && !request_word(request, i, SLICE("force"))) {
            return false;
        }
    }
    return !(words->save && words->nosave) && !(words->abort && request->arg_count > 2);
}

void command_shutdown(struct request *request) {
    const struct command_context *context = request->context;
    struct shutdown_words words = {0};
    if (!parse_words(request, &words)) {
        resp_error(&request->reply, ERR_SYNTAX);
    } else if (words.abort) {
        resp_errorf(&request->reply, "ERR No shutdown in progress.");
    } else {
        request->client->leaving = true;
        context->stop(context->node);
    }
}
