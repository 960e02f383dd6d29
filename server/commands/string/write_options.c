#include "server/commands/string/write_options.h"

#include "server/options.h"
#include "server/store/keyspace.h"

/* Each option once a row: the word, what it does, and what it can't be said with. EX may be repeated, as in
 * Redis; the last one counts. */
static const struct write_word {
    struct slice word;
    unsigned option, excluded;
    struct expiry_form form;
} words[] = {
    {{"nx", 2}, WRITE_NX, WRITE_XX | WRITE_IFEQ, {0}},
    {{"xx", 2}, WRITE_XX, WRITE_NX | WRITE_IFEQ, {0}},
    {{"ifeq", 4}, WRITE_IFEQ, WRITE_NX | WRITE_XX | WRITE_IFEQ, {0}},
    {{"get", 3}, WRITE_GET, 0, {0}},
    {{"keepttl", 7}, WRITE_KEEPTTL, WRITE_PERSIST | WRITE_TIMES, {0}},
    {{"persist", 7}, WRITE_PERSIST, WRITE_KEEPTTL | WRITE_TIMES, {0}},
    {{"ex", 2}, WRITE_EX, WRITE_KEEPTTL | WRITE_PERSIST | (WRITE_TIMES & ~WRITE_EX), {.seconds = true}},
    {{"px", 2}, WRITE_PX, WRITE_KEEPTTL | WRITE_PERSIST | (WRITE_TIMES & ~WRITE_PX), {0}},
    {{"exat", 4},
     WRITE_EXAT,
     WRITE_KEEPTTL | WRITE_PERSIST | (WRITE_TIMES & ~WRITE_EXAT),
     {.seconds = true, .absolute = true}},
    {{"pxat", 4}, WRITE_PXAT, WRITE_KEEPTTL | WRITE_PERSIST | (WRITE_TIMES & ~WRITE_PXAT), {.absolute = true}},
};

static const struct write_word *find_word(const struct request *request, size_t i) {
    for (size_t n = 0; n < sizeof(words) / sizeof(words[0]); n++) {
        if (request_word(request, i, words[n].word)) {
            return &words[n];
        }
    }
    return NULL;
}

bool write_options_parse(struct request *request, size_t first, unsigned allowed,
                         struct write_options *options) {
    for (size_t i = first; i < request->arg_count; i++) {
        const struct write_word *word = find_word(request, i);
        bool has_operand = word != NULL && (word->option & (WRITE_TIMES | WRITE_IFEQ)) != 0;
        if (word == NULL || (word->option & allowed) == 0 || (options->given & word->excluded) != 0 ||
            (has_operand && i + 1 == request->arg_count)) {
            resp_error(&request->reply, ERR_SYNTAX);
            return false;
        }
        options->given |= word->option;
        if (word->option == WRITE_IFEQ) {
            options->ifeq_at = ++i;
        } else if (has_operand) {
            options->form = word->form;
            options->time_at = ++i;
        }
    }
    return true;
}

bool write_options_deadline(struct request *request, const struct write_options *options,
                            struct keyspace_set *set) {
    set->deadline = (options->given & WRITE_KEEPTTL) != 0 ? KEYSPACE_DEADLINE_KEEP
                    : options->time_at > 0                ? KEYSPACE_DEADLINE_SET
                                                          : KEYSPACE_DEADLINE_CLEAR;
    return options->time_at == 0 ||
           expiry_parse_positive(request, options->time_at, options->form, &set->deadline_ms);
}
