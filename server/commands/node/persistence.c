/* persistence.c: BGSAVE, BGREWRITEAOF, LASTSAVE: a segment of the journal that begins with the state is both.
 * SAVE waits (server/commands/client/wait.c). */
#include "server/commands/rows.h"
#include "server/dispatch/command.h"
#include "server/journal/journal.h"
#include "server/stats.h"

/* As of a Redis that has not saved yet, since its start, when nothing is kept. */
void command_lastsave(struct request *request) {
    const struct command_context *context = request->context;
    struct journal_status status = {.last_compaction_unix_ms = context->stats->started_ms};
    if (context->journal != NULL) {
        journal_status(context->journal, &status);
    }
    resp_integer(&request->reply, status.last_compaction_unix_ms / 1000);
}

static void begin(struct request *request, const char *started, const char *busy) {
    struct journal *journal = request->context->journal;
    if (journal == NULL) {
        resp_error(&request->reply, ERR_NOT_KEPT);
    } else if (journal_compact(journal)) {
        resp_status(&request->reply, started);
    } else {
        resp_errorf(&request->reply, "ERR %s", busy);
    }
}

void command_bgsave(struct request *request) {
    bool scheduled = request->arg_count == 2 && request_word(request, 1, SLICE("schedule"));
    struct journal *journal = request->context->journal;
    if (request->arg_count > 2 || (request->arg_count == 2 && !scheduled)) {
        resp_error(&request->reply, ERR_SYNTAX);
    } else if (scheduled && journal != NULL && !journal_compact(journal)) {
        resp_status(&request->reply,
                    "Background saving scheduled"); /* what is being written now will have it */
    } else if (scheduled && journal != NULL) {
        resp_status(&request->reply, "Background saving started");
    } else {
        begin(request, "Background saving started", "Background save already in progress");
    }
}

void command_bgrewriteaof(struct request *request) {
    begin(request, "Background append only file rewriting started",
          "Background append only file rewriting already in progress");
}
