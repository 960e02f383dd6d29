/* counters.c: values that are numbers: INCR and its relatives. The value stored is the text of the result. */
#include "server/commands/rows.h"
#include "server/commands/string/values.h"
#include "server/store/keyspace.h"

#include "protocol/num.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static void add(struct request *request, int64_t amount) {
    struct table_place place = value_place(request, KEYSPACE_QUIETLY);
    int64_t number = 0;
    if (place.entry != NULL && !num_parse_i64(entry_value(place.entry), &number)) {
        resp_error(&request->reply, ERR_NOT_INTEGER);
        return;
    }
    if (__builtin_add_overflow(number, amount, &number)) {
        resp_errorf(&request->reply, "ERR increment or decrement would overflow");
        return;
    }
    char digits[NUM_MAX_DIGITS];
    if (value_store(request, &place, slice_of(digits, num_write_i64(digits, number)))) {
        resp_integer(&request->reply, number);
    }
}

void command_incr(struct request *request) { add(request, 1); }

void command_decr(struct request *request) { add(request, -1); }

void command_incrby(struct request *request) {
    int64_t amount;
    if (request_integer(request, 2, &amount)) {
        add(request, amount);
    }
}

void command_decrby(struct request *request) {
    int64_t amount;
    if (!request_integer(request, 2, &amount)) {
        return;
    }
    if (amount == INT64_MIN) {
        resp_errorf(&request->reply, "ERR decrement would overflow");
        return;
    }
    add(request, -amount);
}

/* --- INCRBYFLOAT --- */

enum { FLOAT_TEXT_BYTES = 5 * 1024 }; /* Redis's limit; the largest long double has 4933 digits and 18 more */

/* As Redis reads one: whatever strtold takes, hexadecimal and infinities too, but no NaN and no blanks before.
 */
static bool parse_float(struct slice text, long double *out) {
    char copy[FLOAT_TEXT_BYTES];
    if (text.len == 0 || text.len >= sizeof(copy) || isspace((unsigned char)text.ptr[0])) {
        return false;
    }
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    char *end;
    errno = 0;
    *out = strtold(copy, &end);
    bool out_of_range = errno == ERANGE && (isinf(*out) || fpclassify(*out) == FP_ZERO);
    return end == copy + text.len && !out_of_range && !isnan(*out);
}

/* 17 digits behind the point, without the zeros at the end: "most small decimal numbers" come out as they were
 * typed. */
static struct slice format_float(char text[FLOAT_TEXT_BYTES], long double number) {
    size_t n = (size_t)snprintf(text, FLOAT_TEXT_BYTES, "%.17Lf", number);
    while (text[n - 1] == '0') {
        n--;
    }
    n -= text[n - 1] == '.';
    struct slice formatted = slice_of(text, n);
    return slice_equals(formatted, SLICE("-0")) ? SLICE("0") : formatted;
}

void command_incrbyfloat(struct request *request) {
    struct table_place place = value_place(request, KEYSPACE_QUIETLY);
    long double number = 0, amount;
    if ((place.entry != NULL && !parse_float(entry_value(place.entry), &number)) ||
        !parse_float(request->args[2], &amount)) {
        resp_error(&request->reply, ERR_NOT_FLOAT);
        return;
    }
    number += amount;
    if (isnan(number) || isinf(number)) {
        resp_errorf(&request->reply, "ERR increment would produce NaN or Infinity");
        return;
    }
    char text[FLOAT_TEXT_BYTES];
    struct slice formatted = format_float(text, number);
    if (value_store(request, &place, formatted)) {
        resp_bulk(&request->reply, formatted);
    }
}
