/* fuzz_journal_record.c: no bytes make the parser of the journal read past their end; a record that is taken is
 * the one that is written for its line; what is no record whole is none in parts. */
#include "protocol/journal_record.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* assert() would vanish with NDEBUG. */
static void require(bool holds) {
    if (!holds) {
        abort();
    }
}

static enum journal_result parse(struct slice in, struct journal_chain *chain, struct journal_record *out) {
    const char *reason = NULL;
    struct journal_chain before = *chain;
    enum journal_result result = journal_parse(in, chain, out, &reason);
    require((result == JOURNAL_BAD) == (reason != NULL));
    require(result == JOURNAL_OK || memcmp(&before, chain, sizeof(before)) == 0);
    return result;
}

static void require_written_alike(struct slice in, struct journal_chain chain,
                                  const struct journal_record *record) {
    struct buf again;
    buf_init(&again, in.len + 100);
    journal_append(&again, &chain, record->index, record->line);
    require(slice_equals(buf_slice(&again), slice_first(in, record->bytes)));
    buf_deinit(&again);
}

static void read_all(struct slice in) {
    struct journal_chain chain;
    journal_chain_init(&chain);
    while (in.len > 0) {
        struct journal_record record;
        struct journal_chain before = chain;
        enum journal_result result = parse(in, &chain, &record);
        for (size_t n = 0; n < in.len && n < 64; n++) {
            struct journal_chain same = before;
            struct journal_record part;
            enum journal_result of_part = parse(slice_first(in, n), &same, &part);
            require(of_part != JOURNAL_OK || (result == JOURNAL_OK && part.bytes == record.bytes));
            require(of_part != JOURNAL_BAD || result == JOURNAL_BAD);
        }
        if (result != JOURNAL_OK) {
            return;
        }
        require(record.bytes <= in.len && memchr(record.line.ptr, '\n', record.line.len) == NULL);
        require_written_alike(in, before, &record);
        in = slice_skip(in, record.bytes);
    }
}

/* No fuzzer finds a checksum. */
static void read_sealed(struct slice lines) {
    struct buf sealed;
    struct journal_chain chain;
    buf_init(&sealed, 1 << 20);
    journal_chain_init(&chain);
    journal_append_state(&sealed, &chain, lines);
    journal_append_lines(&sealed, &chain, 1, lines);
    require(!buf_failed(&sealed));
    read_all(buf_slice(&sealed));
    buf_deinit(&sealed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct slice bytes = slice_of(data, size);
    read_all(bytes);
    if (size > 0 && size < 4096 && data[size - 1] == '\n') {
        read_sealed(bytes);
    }
    return 0;
}
