/* bits.c: values as rows of bits: SETBIT, GETBIT, BITCOUNT, BITPOS, BITOP. */
#include "server/commands/string/bits.h"

#include "protocol/num.h"
#include "server/commands/rows.h"
#include "server/commands/string/values.h"
#include "server/store/keyspace.h"

#include <assert.h>
#include <stdlib.h>

bool bit_offset_parse(struct request *request, size_t i, unsigned unit, size_t *offset) {
    struct slice text = request->args[i];
    bool fields = unit > 0 && text.len > 0 && text.ptr[0] == '#';
    int64_t number;
    if (!num_parse_i64(fields ? slice_skip(text, 1) : text, &number) || number < 0 ||
        (fields && __builtin_mul_overflow(number, (int64_t)unit, &number)) ||
        (size_t)number / 8 >= value_limit(request)) {
        resp_errorf(&request->reply, "ERR bit offset is not an integer or out of range");
        return false;
    }
    *offset = (size_t)number;
    return true;
}

static unsigned byte_at(struct slice value, size_t i) {
    return i < value.len ? (unsigned char)value.ptr[i] : 0;
}

static unsigned bit_at(struct slice value, size_t offset) {
    return byte_at(value, offset / 8) >> (7 - offset % 8) & 1;
}

void command_getbit(struct request *request) {
    size_t offset;
    if (bit_offset_parse(request, 2, 0, &offset)) {
        struct slice value =
            value_or_empty(keyspace_find(request->context->keyspace, &request->key, KEYSPACE_READ));
        resp_integer(&request->reply, bit_at(value, offset));
    }
}

void command_setbit(struct request *request) {
    size_t offset;
    int64_t bit;
    if (!bit_offset_parse(request, 2, 0, &offset)) {
        return;
    }
    if (!num_parse_i64(request->args[3], &bit) || (bit != 0 && bit != 1)) {
        resp_errorf(&request->reply, "ERR bit is not an integer or out of range");
        return;
    }
    struct table_place place = value_place(request, KEYSPACE_QUIETLY);
    struct slice value = value_or_empty(place.entry);
    unsigned old = bit_at(value, offset);
    if (offset / 8 >= value.len || old != (unsigned)bit) { /* as in Redis, what changes nothing is no write */
        unsigned mask = 1U << (7 - offset % 8);
        char byte = (char)((byte_at(value, offset / 8) & ~mask) | (bit == 1 ? mask : 0));
        if (!value_patch(request, &place, offset / 8, slice_of(&byte, 1))) {
            return;
        }
    } else {
        keyspace_find(request->context->keyspace, &request->key, KEYSPACE_TOUCH);
    }
    resp_integer(&request->reply, old);
}

/* --- Ranges of bits --- */

struct bit_range {
    int64_t start, end; /* as given: negative ones count from the end; both belong to the range */
    bool bits;          /* they are places of bits, not of bytes */
};

/* Bits of the value, as places from first to last - 1. Empty: first == last. */
struct bit_span {
    size_t first, last;
};

static bool parse_unit(struct request *request, size_t i, bool *bits) {
    *bits = request_word(request, i, SLICE("bit"));
    if (*bits || request_word(request, i, SLICE("byte"))) {
        return true;
    }
    resp_error(&request->reply, ERR_SYNTAX);
    return false;
}

static struct bit_span find_span(struct bit_range range, size_t bytes) {
    int64_t unit = range.bits ? 1 : 8;
    int64_t total = (int64_t)bytes * 8 / unit;
    int64_t start = range.start < 0 ? range.start + total : range.start;
    int64_t end = range.end < 0 ? range.end + total : range.end;
    start = start < 0 ? 0 : start;
    end = end < 0 ? 0 : end;
    end = end >= total ? total - 1 : end;
    if (start > end) {
        return (struct bit_span){0};
    }
    return (struct bit_span){(size_t)(start * unit), (size_t)((end + 1) * unit)};
}

/* --- BITCOUNT --- */

static unsigned count_bits(unsigned byte) { return (unsigned)__builtin_popcount(byte); }

static uint64_t load_word(const char *at) {
    uint64_t word;
    memcpy(&word, at, sizeof(word));
    return word;
}

/* By adding neighbours: the compiler does several words at a time, which no popcount of the baseline can. */
static size_t count_in_bytes(const char *at, size_t n) {
    size_t count = 0, i = 0;
    for (; i + 8 <= n; i += 8) {
        uint64_t x = load_word(at + i);
        x = x - (x >> 1 & 0x5555555555555555);
        x = (x & 0x3333333333333333) + (x >> 2 & 0x3333333333333333);
        x = (x + (x >> 4)) & 0x0f0f0f0f0f0f0f0f;
        count += x * 0x0101010101010101 >> 56;
    }
    for (; i < n; i++) {
        count += count_bits((unsigned char)at[i]);
    }
    return count;
}

static size_t count_in_span(struct slice value, struct bit_span span) {
    if (span.first == span.last) {
        return 0;
    }
    size_t first = span.first / 8, last = (span.last + 7) / 8;
    size_t count = count_in_bytes(value.ptr + first, last - first);
    unsigned before = byte_at(value, first) & (0xff00U >> span.first % 8) & 0xff;
    unsigned behind = span.last % 8 == 0 ? 0 : byte_at(value, last - 1) & (0xffU >> span.last % 8);
    return count - count_bits(before) - count_bits(behind);
}

void command_bitcount(struct request *request) {
    struct bit_range range = {0, -1, false};
    if (request->arg_count == 3 || request->arg_count > 5) {
        resp_error(&request->reply, ERR_SYNTAX);
        return;
    }
    if (request->arg_count > 3 &&
        (!request_integer(request, 2, &range.start) || !request_integer(request, 3, &range.end) ||
         (request->arg_count == 5 && !parse_unit(request, 4, &range.bits)))) {
        return;
    }
    struct slice value =
        value_or_empty(keyspace_find(request->context->keyspace, &request->key, KEYSPACE_READ));
    /* A range that is the wrong way round from the end is empty even where both ends are before the value. */
    bool reversed = range.start < 0 && range.end < 0 && range.start > range.end;
    struct bit_span span = reversed ? (struct bit_span){0} : find_span(range, value.len);
    resp_integer(&request->reply, (int64_t)count_in_span(value, span));
}

/* --- BITPOS --- */

/* The first bit in the span that is as wanted; span.last: there is none. */
static size_t find_bit(struct slice value, struct bit_span span, unsigned bit) {
    uint64_t none = bit == 1 ? 0 : UINT64_MAX; /* eight bytes without one */
    size_t at = span.first;
    while (at < span.last) {
        if (at % 8 == 0 && at + 64 <= span.last && load_word(value.ptr + at / 8) == none) {
            at += 64;
        } else if (at % 8 == 0 && at + 8 <= span.last && byte_at(value, at / 8) == (none & 0xff)) {
            at += 8;
        } else if (bit_at(value, at) == bit) {
            return at;
        } else {
            at++;
        }
    }
    return span.last;
}

static bool parse_bitpos(struct request *request, unsigned *bit, struct bit_range *range) {
    int64_t number;
    if (!request_integer(request, 2, &number)) {
        return false;
    }
    if (number != 0 && number != 1) {
        resp_errorf(&request->reply, "ERR The bit argument must be 1 or 0.");
        return false;
    }
    *bit = (unsigned)number;
    if (request->arg_count > 6) {
        resp_error(&request->reply, ERR_SYNTAX);
        return false;
    }
    return (request->arg_count < 4 || request_integer(request, 3, &range->start)) &&
           (request->arg_count < 6 || parse_unit(request, 5, &range->bits)) &&
           (request->arg_count < 5 || request_integer(request, 4, &range->end));
}

void command_bitpos(struct request *request) {
    struct bit_range range = {0, -1, false};
    unsigned bit;
    if (!parse_bitpos(request, &bit, &range)) {
        return;
    }
    const struct entry *entry = keyspace_find(request->context->keyspace, &request->key, KEYSPACE_READ);
    if (entry == NULL) { /* as if it were zeros without end */
        resp_integer(&request->reply, bit == 1 ? -1 : 0);
        return;
    }
    struct slice value = entry_value(entry);
    struct bit_span span = find_span(range, value.len);
    size_t at = find_bit(value, span, bit);
    /* Behind the value are zeros, but not behind an end that was asked for. */
    bool found = at < span.last || (span.first < span.last && bit == 0 && request->arg_count < 5);
    resp_integer(&request->reply, found ? (int64_t)at : -1);
}

/* --- BITOP --- */

enum bit_operation { BIT_AND, BIT_OR, BIT_XOR, BIT_NOT };

static bool parse_operation(struct request *request, enum bit_operation *operation) {
    static const struct slice words[] = {{"and", 3}, {"or", 2}, {"xor", 3}, {"not", 3}};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (request_word(request, 1, words[i])) {
            *operation = (enum bit_operation)i;
            return true;
        }
    }
    resp_error(&request->reply, ERR_SYNTAX);
    return false;
}

/* The result so far and one more value, which is as if zeros followed it. */
static void combine(uint8_t *result, size_t length, enum bit_operation operation, struct slice value) {
    const uint8_t *bytes = (const uint8_t *)value.ptr;
    assert(value.len <= length); /* the longest there is */
    switch (operation) {
    case BIT_AND:
        for (size_t i = 0; i < value.len; i++) {
            result[i] &= bytes[i];
        }
        memset(result + value.len, 0, length - value.len);
        break;
    case BIT_OR:
        for (size_t i = 0; i < value.len; i++) {
            result[i] |= bytes[i];
        }
        break;
    case BIT_XOR:
        for (size_t i = 0; i < value.len; i++) {
            result[i] ^= bytes[i];
        }
        break;
    case BIT_NOT:
        for (size_t i = 0; i < value.len; i++) {
            result[i] = (uint8_t)~bytes[i];
        }
        memset(result + value.len, 0xff, length - value.len);
        break;
    }
}

enum { FIRST_SOURCE = 3 };

static struct slice source(struct request *request, size_t i) {
    struct keyspace *keyspace = request->context->keyspace;
    struct key key = keyspace_key(keyspace, request->args[i]);
    return value_or_empty(keyspace_find(keyspace, &key, KEYSPACE_QUIETLY));
}

/* Each of them is read here, for the first time. */
static size_t longest_source(struct request *request) {
    size_t longest = 0;
    for (size_t i = FIRST_SOURCE; i < request->arg_count; i++) {
        struct key key = keyspace_key(request->context->keyspace, request->args[i]);
        size_t length = value_or_empty(keyspace_find(request->context->keyspace, &key, KEYSPACE_READ)).len;
        longest = length > longest ? length : longest;
    }
    return longest;
}

/* False: replied with an error. An empty result is no key. */
static bool store_result(struct request *request, struct slice result) {
    struct keyspace *keyspace = request->context->keyspace;
    struct key destination = keyspace_key(keyspace, request->args[2]);
    if (result.len == 0) {
        keyspace_delete(keyspace, &destination, KEYSPACE_ALWAYS, 0, NULL);
        return true;
    }
    struct keyspace_set set = {.value = result};
    return value_written(request, keyspace_set(keyspace, &destination, &set, NULL));
}

void command_bitop(struct request *request) {
    enum bit_operation operation;
    if (!parse_operation(request, &operation)) {
        return;
    }
    if (operation == BIT_NOT && request->arg_count != FIRST_SOURCE + 1) {
        resp_errorf(&request->reply, "ERR BITOP NOT must be called with a single source key.");
        return;
    }
    size_t length = longest_source(request);
    uint8_t *result = calloc(1, length + 1);
    if (result == NULL) {
        resp_error(&request->reply, ERR_NO_MEMORY);
        return;
    }
    if (operation == BIT_AND) {
        memset(result, 0xff, length);
    }
    for (size_t i = FIRST_SOURCE; i < request->arg_count; i++) {
        combine(result, length, operation, source(request, i));
    }
    if (store_result(request, slice_of(result, length))) {
        resp_integer(&request->reply, (int64_t)length);
    }
    free(result);
}
