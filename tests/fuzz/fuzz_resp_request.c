/* Any bytes: the parser must survive, and must see the same commands however its input is split, and whether
 * all of it lies there or a bulk somewhere else. The first byte of the data says where to split. */
#include "protocol/resp_request.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void add_number(struct buf *text, size_t number) { buf_append(text, &number, sizeof(number)); }

struct parsing {
    struct resp_request request;
    struct resp_arguments arguments;
    size_t consumed;
    enum resp_request_result result;
};

static const struct resp_limits *limits(void) {
    static struct resp_limits all;
    all = resp_limits(LIMIT_VALUE_BYTES);
    return &all;
}

static void take_command(struct parsing *parsing, const struct resp_command *command, struct buf *text) {
    add_number(text, command->count);
    for (size_t i = 0; i < command->count; i++) {
        struct slice argument = parsing->arguments.items[command->first + i];
        add_number(text, argument.len);
        buf_append_slice(text, argument);
    }
}

/* So much of the input has come. */
static void take(struct parsing *parsing, struct slice come, struct buf *text) {
    do {
        struct resp_command command;
        struct slice piece = slice_skip(come, parsing->consumed);
        resp_arguments_reset(&parsing->arguments);
        parsing->result = resp_request_parse(&parsing->request, limits(), piece, &parsing->arguments, &command);
        if (parsing->result == RESP_REQUEST_OK) {
            if (command.bytes == 0 || command.bytes > piece.len) {
                abort();
            }
            parsing->consumed += command.bytes;
            take_command(parsing, &command, text);
        }
    } while (parsing->result == RESP_REQUEST_OK);
}

/* The bulk that the input ends in lies elsewhere. */
static void take_around(struct parsing *parsing, struct slice in, struct buf *text) {
    struct resp_pending_bulk bulk = resp_request_pending_bulk(&parsing->request);
    struct slice rest = slice_skip(in, parsing->consumed);
    if (parsing->result != RESP_REQUEST_MORE || bulk.bytes == 0 || bulk.at + bulk.bytes + 2 > rest.len) {
        return;
    }
    struct resp_detour detour = {bulk.at, slice_of(rest.ptr + bulk.at, bulk.bytes + 2)};
    struct resp_command command;
    struct buf left;
    buf_init(&left, SIZE_MAX);
    buf_append_slice(&left, slice_first(rest, bulk.at));
    buf_append_slice(&left, slice_skip(rest, bulk.at + detour.bytes.len));
    resp_arguments_reset(&parsing->arguments);
    parsing->result = resp_request_parse_around(&parsing->request, limits(), buf_slice(&left), &detour,
                                                &parsing->arguments, &command);
    if (parsing->result == RESP_REQUEST_OK) {
        if (command.bytes < bulk.at || command.bytes > buf_used(&left)) {
            abort();
        }
        parsing->consumed += command.bytes + detour.bytes.len;
        take_command(parsing, &command, text);
        take(parsing, in, text);
    }
    buf_deinit(&left);
}

static void finish(struct parsing *parsing, struct buf *text) {
    add_number(text, parsing->consumed);
    add_number(text, (size_t)parsing->result);
    if (parsing->result == RESP_REQUEST_BAD) {
        resp_request_append_reason(&parsing->request, text);
    }
    resp_arguments_deinit(&parsing->arguments);
}

/* The commands of the input, and how it ended, in a form without two readings. step: so many bytes arrive at a
 * time. */
static void parse(struct slice in, size_t step, struct buf *text) {
    struct parsing parsing = {.result = RESP_REQUEST_MORE};
    size_t arrived = 0;
    while (arrived < in.len && parsing.result != RESP_REQUEST_BAD) {
        arrived = in.len - arrived > step ? arrived + step : in.len;
        take(&parsing, slice_first(in, arrived), text);
    }
    finish(&parsing, text);
}

/* The same, with a bulk that is not all there after the first piece, and lies elsewhere then. */
static void parse_around(struct slice in, size_t first, struct buf *text) {
    struct parsing parsing = {.result = RESP_REQUEST_MORE};
    take(&parsing, slice_first(in, first), text);
    take_around(&parsing, in, text);
    if (parsing.result == RESP_REQUEST_MORE) {
        /* It may have been measured around what is in the input now: from its first byte again. */
        parsing.request = (struct resp_request){0};
        take(&parsing, in, text);
    }
    finish(&parsing, text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2) {
        return 0;
    }
    struct slice in = slice_of(data + 1, size - 1);
    size_t steps[] = {1, 1 + data[0] % 64};
    struct buf whole, split;
    buf_init(&whole, SIZE_MAX);
    buf_init(&split, SIZE_MAX);
    parse(in, in.len, &whole);
    for (size_t i = 0; i < 3; i++) {
        buf_reset(&split);
        if (i < 2) {
            parse(in, steps[i], &split);
        } else {
            parse_around(in, data[0] < in.len ? data[0] : in.len, &split);
        }
        if (!slice_equals(buf_slice(&whole), buf_slice(&split))) {
            abort();
        }
    }
    buf_deinit(&whole);
    buf_deinit(&split);
    return 0;
}
