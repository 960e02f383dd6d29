/* lcs.c: LCS: the longest common subsequence of two values.
 *
 * The classic table of lengths, L(i, j) for the first i bytes of a and j of b, takes one step a cell. Here a
 * row of it is a row of bits, 64 cells a step: bit j - 1 of row i is clear where L(i, j) is one more than L(i,
 * j - 1), and the next row comes from an addition ("Bit-parallel LCS-length computation revisited", Hyyrö
 * 2004). These bits are also all that is needed to walk back: where two bytes differ, L(i - 1, j) > L(i, j - 1)
 * just where the bit is clear. To walk back not all rows are kept, but one in the square root of their number;
 * the rows between two of them are made again when the way comes to them:
 *
 *   kept row 0   kept row 1   ...   kept row k = block_at   (k + 1) ...
 *                                       '-> block: the stride rows behind it
 *
 * So the largest table that Redis allows, 512 MB and a second there, takes 700 KB and milliseconds. */
#include "server/commands/rows.h"
#include "server/commands/string/values.h"
#include "server/options.h"
#include "server/store/keyspace.h"

#include <assert.h>
#include <stdlib.h>

/* In Redis's table, which must not exceed proto-max-bulk-len. */
enum { CELL_BYTES = 4 };

enum { WORD_BITS = 64, BYTE_VALUES = 256, NO_MASK = UINT16_MAX };

struct lcs_options {
    bool length, indexes, match_lengths;
    int64_t least_match;
};

struct lcs {
    struct slice a, b;
    size_t words;                  /* of a row: a bit for each byte of b */
    uint16_t mask_of[BYTE_VALUES]; /* which mask is a byte's; NO_MASK: it is not in a */
    uint64_t *masks;               /* for each byte in a: where it stands in b; owned */
    size_t stride;                 /* rows from one that is kept to the next */
    uint64_t *kept;                /* the rows behind 0, stride, 2 * stride, ... bytes of a; owned */
    uint64_t *block;               /* the stride rows behind one of these (in the memory of kept) */
    size_t block_at;               /* its number; SIZE_MAX: the block is empty */
    size_t length;
    bool walks_back;
};

static bool make_masks(struct lcs *lcs) {
    uint16_t count = 0;
    memset(lcs->mask_of, 0xff, sizeof(lcs->mask_of));
    for (size_t i = 0; i < lcs->a.len; i++) {
        uint16_t *mask = &lcs->mask_of[(unsigned char)lcs->a.ptr[i]];
        *mask = *mask == NO_MASK ? count++ : *mask;
    }
    assert(count > 0);
    lcs->masks = calloc((size_t)count * lcs->words, sizeof(*lcs->masks));
    if (lcs->masks == NULL) {
        return false;
    }
    for (size_t j = 0; j < lcs->b.len; j++) {
        uint16_t mask = lcs->mask_of[(unsigned char)lcs->b.ptr[j]];
        if (mask != NO_MASK) {
            lcs->masks[mask * lcs->words + j / WORD_BITS] |= UINT64_C(1) << j % WORD_BITS;
        }
    }
    return true;
}

/* from and to may be the same. */
static void next_row(const uint64_t *from, uint64_t *to, const uint64_t *mask, size_t words) {
    uint64_t carry = 0;
    for (size_t w = 0; w < words; w++) {
        uint64_t row = from[w], matches = row & mask[w], sum;
        uint64_t over = __builtin_add_overflow(row, matches, &sum);
        over |= __builtin_add_overflow(sum, carry, &sum);
        to[w] = sum | (row & ~mask[w]);
        carry = over;
    }
}

/* What is behind the last byte of b never gets clear. */
static size_t count_clear(const uint64_t *row, size_t words) {
    size_t count = 0;
    for (size_t w = 0; w < words; w++) {
        count += (size_t)__builtin_popcountll(~row[w]);
    }
    return count;
}

static const uint64_t *mask_at(const struct lcs *lcs, size_t i) {
    return lcs->masks + lcs->mask_of[(unsigned char)lcs->a.ptr[i]] * lcs->words;
}

static size_t square_root(size_t number) {
    size_t root = 1;
    while (root * root < number) {
        root++;
    }
    return root;
}

/* Without a way back only the last row matters. False: out of memory. */
static bool make_rows(struct lcs *lcs) {
    lcs->stride = lcs->walks_back ? square_root(lcs->a.len) : lcs->a.len;
    size_t kept_rows = (lcs->a.len - 1) / lcs->stride + 1;
    size_t block_rows = lcs->walks_back ? lcs->stride : 1;
    lcs->kept = malloc((kept_rows + block_rows) * lcs->words * sizeof(*lcs->kept));
    if (lcs->kept == NULL) {
        return false;
    }
    lcs->block = lcs->kept + kept_rows * lcs->words;
    return make_masks(lcs);
}

static void fill_rows(struct lcs *lcs) {
    size_t row_bytes = lcs->words * sizeof(*lcs->block);
    uint64_t *row = lcs->block;
    memset(row, 0xff, row_bytes);
    for (size_t i = 0; i < lcs->a.len; i++) {
        if (i % lcs->stride == 0) {
            memcpy(lcs->kept + i / lcs->stride * lcs->words, row, row_bytes);
        }
        next_row(row, row, mask_at(lcs, i), lcs->words);
    }
    lcs->length = count_clear(row, lcs->words);
    lcs->block_at = SIZE_MAX;
}

static void load_block(struct lcs *lcs, size_t block_at) {
    const uint64_t *row = lcs->kept + block_at * lcs->words;
    uint64_t *next = lcs->block;
    size_t first = block_at * lcs->stride, last = first + lcs->stride;
    for (size_t i = first; i < last && i < lcs->a.len; i++) {
        next_row(row, next, mask_at(lcs, i), lcs->words);
        row = next;
        next += lcs->words;
    }
    lcs->block_at = block_at;
}

/* The row behind byte i of a. */
static const uint64_t *row_behind(struct lcs *lcs, size_t i) {
    if (i / lcs->stride != lcs->block_at) {
        load_block(lcs, i / lcs->stride);
    }
    return lcs->block + i % lcs->stride * lcs->words;
}

static void release(struct lcs *lcs) {
    free(lcs->masks);
    free(lcs->kept);
}

/* --- The way back: from the ends of both, through every match of one longest subsequence --- */

struct lcs_way {
    struct lcs *lcs;
    size_t i, j; /* bytes of a and b that are still before us */
};

/* Goes back to the next match (of bytes i and j, which are then behind us). False: there is none. */
static bool next_match(struct lcs_way *way) {
    struct lcs *lcs = way->lcs;
    while (way->i > 0 && way->j > 0) {
        size_t i = way->i - 1, j = way->j - 1;
        if (lcs->a.ptr[i] == lcs->b.ptr[j]) {
            way->i--;
            way->j--;
            return true;
        }
        if ((row_behind(lcs, i)[j / WORD_BITS] >> j % WORD_BITS & 1) == 0) {
            way->i--;
        } else {
            way->j--;
        }
    }
    return false;
}

static void reply_subsequence(struct request *request, struct lcs *lcs) {
    resp_bulk_header(&request->reply, lcs->length);
    char *to = buf_reserve(request->reply.out, lcs->length + 2);
    if (to == NULL) {
        return;
    }
    struct lcs_way way = {lcs, lcs->a.len, lcs->b.len};
    size_t at = lcs->length;
    while (next_match(&way)) {
        to[--at] = lcs->a.ptr[way.i];
    }
    buf_commit(request->reply.out, lcs->length);
    RESP_LITERAL(&request->reply, "\r\n");
}

static void reply_range(struct resp_reply *reply, size_t start, size_t length) {
    resp_array(reply, 2);
    resp_integer(reply, (int64_t)start);
    resp_integer(reply, (int64_t)(start + length - 1));
}

/* Every run of matches, the last one first. Returns how many. */
static size_t write_ranges(struct resp_reply *reply, struct lcs *lcs, const struct lcs_options *options) {
    struct lcs_way way = {lcs, lcs->a.len, lcs->b.len};
    size_t count = 0;
    bool more = next_match(&way);
    while (more) {
        size_t i = way.i, j = way.j, length = 1;
        while ((more = next_match(&way)) && way.i + 1 == i && way.j + 1 == j) {
            i--, j--, length++;
        }
        if ((int64_t)length >= options->least_match) {
            resp_array(reply, options->match_lengths ? 3 : 2);
            reply_range(reply, i, length);
            reply_range(reply, j, length);
            if (options->match_lengths) {
                resp_integer(reply, (int64_t)length);
            }
            count++;
        }
    }
    return count;
}

static void reply_indexes(struct request *request, struct lcs *lcs, const struct lcs_options *options) {
    struct buf ranges;
    buf_init(&ranges, SIZE_MAX);
    struct resp_reply reply = {.out = &ranges, .version = request->reply.version};
    size_t count = write_ranges(&reply, lcs, options);
    if (buf_failed(&ranges)) {
        resp_error(&request->reply, ERR_NO_MEMORY);
    } else {
        resp_map(&request->reply, 2);
        resp_bulk_text(&request->reply, "matches");
        resp_array(&request->reply, count);
        buf_append_slice(request->reply.out, buf_slice(&ranges));
        resp_bulk_text(&request->reply, "len");
        resp_integer(&request->reply, (int64_t)lcs->length);
    }
    buf_deinit(&ranges);
}

/* --- The command --- */

static bool parse_options(struct request *request, struct lcs_options *options) {
    for (size_t i = 3; i < request->arg_count; i++) {
        if (request_word(request, i, SLICE("idx"))) {
            options->indexes = true;
        } else if (request_word(request, i, SLICE("len"))) {
            options->length = true;
        } else if (request_word(request, i, SLICE("withmatchlen"))) {
            options->match_lengths = true;
        } else if (request_word(request, i, SLICE("minmatchlen")) && i + 1 < request->arg_count) {
            if (!request_integer(request, ++i, &options->least_match)) {
                return false;
            }
        } else {
            resp_error(&request->reply, ERR_SYNTAX);
            return false;
        }
    }
    if (options->indexes && options->length) {
        resp_errorf(&request->reply, "ERR If you want both the length and indexes, please just use IDX.");
        return false;
    }
    return true;
}

/* Which of the two strings is which matters on the way back only: else few long rows are faster than many short
 * ones. */
static void lie_down(struct lcs *lcs) {
    if (!lcs->walks_back && lcs->b.len < lcs->a.len) {
        struct slice a = lcs->a;
        lcs->a = lcs->b;
        lcs->b = a;
    }
    lcs->words = (lcs->b.len + WORD_BITS - 1) / WORD_BITS;
}

static bool find_lcs(struct request *request, struct lcs *lcs) {
    if (lcs->a.len == 0 || lcs->b.len == 0) {
        return true;
    }
    if ((lcs->a.len + 1) * (lcs->b.len + 1) > value_limit(request) / CELL_BYTES) {
        resp_errorf(&request->reply,
                    "ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len");
        return false;
    }
    lie_down(lcs);
    if (!make_rows(lcs)) {
        resp_errorf(&request->reply, "ERR Insufficient memory, failed allocating transient memory for LCS");
        return false;
    }
    fill_rows(lcs);
    return true;
}

void command_lcs(struct request *request) {
    struct keyspace *keyspace = request->context->keyspace;
    struct lcs_options options = {0};
    if (!parse_options(request, &options)) {
        return;
    }
    struct key keys[2];
    for (size_t i = 0; i < 2; i++) {
        keys[i] = keyspace_key(keyspace, request_key_name(request, i));
        keyspace_find(keyspace, &keys[i],
                      KEYSPACE_READ); /* an expired one is deleted now: then both stay where they are */
    }
    struct lcs lcs = {
        .a = value_or_empty(keyspace_find(keyspace, &keys[0], KEYSPACE_QUIETLY)),
        .b = value_or_empty(keyspace_find(keyspace, &keys[1], KEYSPACE_QUIETLY)),
        .walks_back = options.indexes || !options.length,
    };
    if (find_lcs(request, &lcs)) {
        if (options.indexes) {
            reply_indexes(request, &lcs, &options);
        } else if (options.length) {
            resp_integer(&request->reply, (int64_t)lcs.length);
        } else {
            reply_subsequence(request, &lcs);
        }
    }
    release(&lcs);
}
