#include "protocol/num.h"

bool num_parse_u64(struct slice text, uint64_t *out) {
    if (text.len == 0 || text.len > 20 || (text.ptr[0] == '0' && text.len > 1)) {
        return false;
    }
    uint64_t number = 0;
    size_t n = text.len < 20 ? text.len : 19; /* 19 digits can't overflow; a 20th can */
    for (size_t i = 0; i < n; i++) {
        unsigned digit = (unsigned char)text.ptr[i] - (unsigned)'0';
        if (digit > 9) {
            return false;
        }
        number = number * 10 + digit;
    }
    if (n < text.len) {
        unsigned digit = (unsigned char)text.ptr[n] - (unsigned)'0';
        if (digit > 9 || __builtin_mul_overflow(number, 10U, &number) ||
            __builtin_add_overflow(number, digit, &number)) {
            return false;
        }
    }
    *out = number;
    return true;
}

bool num_parse_i64(struct slice text, int64_t *out) {
    bool negative = text.len > 0 && text.ptr[0] == '-';
    uint64_t number;
    if (!num_parse_u64(negative ? slice_skip(text, 1) : text, &number)) {
        return false;
    }
    if (negative) {
        if (number == 0 || number > (uint64_t)INT64_MAX + 1) {
            return false;
        }
        *out = (int64_t)(0 - number);
        return true;
    }
    if (number > INT64_MAX) {
        return false;
    }
    *out = (int64_t)number;
    return true;
}

bool num_parse_hex(struct slice text, uint64_t *out) {
    uint64_t number = 0;
    if (text.len != NUM_HEX_DIGITS) {
        return false;
    }
    for (size_t i = 0; i < NUM_HEX_DIGITS; i++) {
        unsigned decimal = (unsigned char)text.ptr[i] - (unsigned)'0';
        unsigned letter = (unsigned char)text.ptr[i] - (unsigned)'a';
        if (decimal > 9 && letter > 5) {
            return false;
        }
        number = number << 4 | (decimal <= 9 ? decimal : letter + 10);
    }
    *out = number;
    return true;
}

static const char digit_pairs[] =
    "00010203040506070809101112131415161718192021222324252627282930313233343536373839"
    "40414243444546474849505152535455565758596061626364656667686970717273747576777879"
    "8081828384858687888990919293949596979899";

static size_t count_digits(uint64_t number) {
    static const uint64_t powers[] = {
        0,
        10,
        100,
        1000,
        10000,
        100000,
        1000000,
        10000000,
        100000000,
        1000000000,
        10000000000,
        100000000000,
        1000000000000,
        10000000000000,
        100000000000000,
        1000000000000000,
        10000000000000000,
        100000000000000000,
        1000000000000000000,
        UINT64_C(10000000000000000000),
    };
    /* 1233 / 4096 is log10(2), near enough for 64 bits: the estimate is right or one too low. */
    size_t bits = 64 - (size_t)__builtin_clzll(number | 1);
    size_t below = bits * 1233 >> 12;
    return below + (number >= powers[below]);
}

size_t num_write_u64(char *to, uint64_t number) {
    size_t n = count_digits(number);
    char *at = to + n;
    while (number >= 100) {
        at -= 2;
        memcpy(at, digit_pairs + (number % 100) * 2, 2);
        number /= 100;
    }
    if (number >= 10) {
        memcpy(to, digit_pairs + number * 2, 2);
    } else {
        *to = (char)('0' + number);
    }
    return n;
}

size_t num_write_i64(char *to, int64_t number) {
    if (number >= 0) {
        return num_write_u64(to, (uint64_t)number);
    }
    *to = '-';
    return 1 + num_write_u64(to + 1, 0 - (uint64_t)number);
}
