/* compact.c: POST /admin/compact: the journal is begun anew with the state of now. 202: it has begun. */
#include "server/journal/journal.h"
#include "server/rest/handlers.h"
#include "server/rest/problem.h"

void rest_compact(struct exchange *exchange) {
    struct journal *journal = exchange->context->journal;
    if (journal == NULL) {
        rest_problem(exchange, ERR_NOT_KEPT, NULL);
    } else if (!journal_compact(journal)) {
        rest_problem(exchange, ERR_COMPACTING, NULL);
    } else {
        struct journal_status status;
        journal_status(journal, &status);
        buf_printf(&exchange->server->body, "{\"segment\":%llu,\"bytes\":%llu}\n",
                   (unsigned long long)status.segment, (unsigned long long)status.segment_bytes);
        rest_reply_json(exchange, 202, SLICE("Cache-Control: no-store\r\n"));
    }
}
