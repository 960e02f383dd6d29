#include "protocol/journal_record.h"

#include "protocol/crc32c.h"

#include <assert.h>

#define SYNCED "SYNCED|"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the first digit is the lowest byte");

/* All eight digits at once, a byte each of one number. */
static inline void write_crc(char *to, uint32_t crc) {
    const uint64_t ones = 0x0101010101010101;
    uint64_t nibbles = __builtin_bswap32(crc);
    nibbles = (nibbles | nibbles << 16) & 0x0000ffff0000ffff;
    nibbles = (nibbles | nibbles << 8) & 0x00ff00ff00ff00ff;
    nibbles = (nibbles >> 4 & 0x000f000f000f000f) | (nibbles & 0x000f000f000f000f) << 8;
    uint64_t is_letter = (nibbles + 6 * ones) >> 4 & ones;
    uint64_t digits = nibbles + '0' * ones + is_letter * ('a' - '0' - 10);
    memcpy(to, &digits, sizeof(digits));
}

void journal_chain_init(struct journal_chain *chain) { memset(chain->crc, '0', sizeof(chain->crc)); }

/* --- Writing --- */

/* A number that is counted up as it is written. */
struct counted {
    char digits[NUM_MAX_DIGITS];
    size_t n;
};

static void count_up(struct counted *index) {
    size_t at = index->n;
    while (at > 0 && index->digits[at - 1] == '9') {
        index->digits[--at] = '0';
    }
    if (at > 0) {
        index->digits[at - 1]++;
        return;
    }
    memmove(index->digits + 1, index->digits, index->n++);
    index->digits[0] = '1';
}

/* One record at to, where there is room for it; the line without its LF. Returns where it ends. The crc of the
 * record before stands for a moment where "crc " will be: so that one run of bytes is what is summed up. */
static inline char *put_record(char *to, struct journal_chain *chain, struct slice index, struct slice line) {
    char *from = to + 1;
    memcpy(from, chain->crc, JOURNAL_CRC_DIGITS);
    char *at = from + JOURNAL_CRC_DIGITS;
    memcpy(at, index.ptr, index.len);
    at += index.len;
    *at++ = ' ';
    memcpy(at, line.ptr, line.len);
    at += line.len;
    *at++ = '\n';
    write_crc(to, crc32c(0, from, (size_t)(at - from)));
    to[JOURNAL_CRC_DIGITS] = ' ';
    memcpy(chain->crc, to, JOURNAL_CRC_DIGITS);
    return at;
}

/* Makes room for all of it at once, as far as can be told: a record more is asked for as it comes. */
static void expect(struct buf *out, size_t line_bytes) {
    enum { USUAL_LINE_BYTES = 24, MOST_LINES = 4096 };
    size_t lines = line_bytes / USUAL_LINE_BYTES + 1;
    size_t n = line_bytes + (lines < MOST_LINES ? lines : MOST_LINES) * JOURNAL_OVERHEAD_BYTES;
    if (n <= out->max_bytes - buf_used(out)) {
        buf_reserve(out, n);
    }
}

/* index counts up when it is a number. */
static void append_all(struct buf *out, struct journal_chain *chain, struct counted *index, bool counts,
                       struct slice lines) {
    assert(lines.len == 0 || lines.ptr[lines.len - 1] == '\n');
    struct journal_chain before = *chain;
    size_t used = buf_used(out);
    if (lines.len > 0) {
        expect(out, lines.len);
    }
    while (lines.len > 0) {
        struct slice line = slice_take_until(&lines, '\n');
        char *to = buf_reserve(out, line.len + JOURNAL_OVERHEAD_BYTES);
        if (to == NULL) {
            buf_truncate(out, used);
            *chain = before;
            return;
        }
        char *end = put_record(to, chain, slice_of(index->digits, index->n), line);
        buf_commit(out, (size_t)(end - to));
        if (counts) {
            count_up(index);
        }
    }
}

void journal_append_lines(struct buf *out, struct journal_chain *chain, uint64_t first_index,
                          struct slice lines) {
    assert(first_index != JOURNAL_NO_INDEX);
    struct counted index;
    index.n = num_write_u64(index.digits, first_index);
    append_all(out, chain, &index, true, lines);
}

void journal_append_state(struct buf *out, struct journal_chain *chain, struct slice lines) {
    struct counted none = {.digits = "-", .n = 1};
    append_all(out, chain, &none, false, lines);
}

void journal_append(struct buf *out, struct journal_chain *chain, uint64_t index, struct slice line) {
    char digits[NUM_MAX_DIGITS] = "-";
    size_t n = index == JOURNAL_NO_INDEX ? 1 : num_write_u64(digits, index);
    char *to = buf_reserve(out, line.len + JOURNAL_OVERHEAD_BYTES);
    if (to != NULL) {
        char *end = put_record(to, chain, slice_of(digits, n), line);
        buf_commit(out, (size_t)(end - to));
    }
}

void journal_append_synced(struct buf *out, struct journal_chain *chain, uint64_t offset) {
    char line[sizeof(SYNCED) + NUM_MAX_DIGITS] = SYNCED;
    size_t n = sizeof(SYNCED) - 1;
    n += num_write_u64(line + n, offset);
    journal_append(out, chain, JOURNAL_NO_INDEX, slice_of(line, n));
}

/* --- Reading --- */

static enum journal_result bad(const char **reason, const char *why) {
    *reason = why;
    return JOURNAL_BAD;
}

enum journal_result journal_parse(struct slice in, struct journal_chain *chain, struct journal_record *out,
                                  const char **reason) {
    const char *lf = in.len == 0 ? NULL : memchr(in.ptr, '\n', slice_first(in, JOURNAL_RECORD_BYTES).len);
    size_t bytes = lf == NULL ? in.len : (size_t)(lf - in.ptr) + 1;
    if (bytes > JOURNAL_CRC_DIGITS ? in.ptr[JOURNAL_CRC_DIGITS] != ' ' : lf != NULL) {
        return bad(reason, "no record");
    }
    if (lf == NULL) {
        return in.len < JOURNAL_RECORD_BYTES ? JOURNAL_MORE : bad(reason, "a record longer than any line");
    }
    char crc[JOURNAL_CRC_DIGITS];
    const char *body = in.ptr + JOURNAL_CRC_DIGITS + 1;
    uint32_t sum = crc32c(0, chain->crc, JOURNAL_CRC_DIGITS);
    write_crc(crc, crc32c(sum, body, bytes - JOURNAL_CRC_DIGITS - 1));
    if (memcmp(crc, in.ptr, JOURNAL_CRC_DIGITS) != 0) {
        return bad(reason, "the checksum is another");
    }
    struct slice line = slice_of(body, (size_t)(lf - body));
    if (memchr(line.ptr, ' ', line.len) == NULL) {
        return bad(reason, "a record without a line");
    }
    struct slice index = slice_take_until(&line, ' ');
    out->index = JOURNAL_NO_INDEX;
    if (!slice_equals(index, SLICE("-")) && (!num_parse_u64(index, &out->index) || out->index == 0)) {
        return bad(reason, "no index");
    }
    out->line = line;
    out->bytes = bytes;
    memcpy(chain->crc, crc, JOURNAL_CRC_DIGITS);
    return JOURNAL_OK;
}

bool journal_read_synced(const struct journal_record *record, uint64_t *offset) {
    const struct slice name = SLICE(SYNCED);
    return record->index == JOURNAL_NO_INDEX && record->line.len > name.len &&
           slice_equals(slice_first(record->line, name.len), name) &&
           num_parse_u64(slice_skip(record->line, name.len), offset);
}
