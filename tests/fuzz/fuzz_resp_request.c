/* Any bytes: the parser must survive, and must see the same commands however its input is split. The first byte
 * of the data says where to split. */
#include "protocol/resp_request.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void add_number(struct buf *text, size_t number) { buf_append(text, &number, sizeof(number)); }

/* The commands of the input, and how it ended, in a form without two readings. step: so many bytes arrive at a
 * time. */
static void parse(struct slice in, size_t step, struct buf *text) {
    struct resp_request request = {0};
    struct resp_limits limits = resp_limits(LIMIT_VALUE_BYTES);
    struct resp_arguments arguments = {0};
    size_t consumed = 0, arrived = 0;
    enum resp_request_result result = RESP_REQUEST_MORE;
    while (arrived < in.len && result != RESP_REQUEST_BAD) {
        arrived = in.len - arrived > step ? arrived + step : in.len;
        do {
            struct resp_command command;
            resp_arguments_reset(&arguments);
            struct slice piece = slice_of(in.ptr + consumed, arrived - consumed);
            result = resp_request_parse(&request, &limits, piece, &arguments, &command);
            if (result == RESP_REQUEST_OK) {
                if (command.bytes == 0 || command.bytes > piece.len) {
                    abort();
                }
                consumed += command.bytes;
                add_number(text, command.count);
                for (size_t i = 0; i < command.count; i++) {
                    add_number(text, arguments.items[command.first + i].len);
                    buf_append_slice(text, arguments.items[command.first + i]);
                }
            }
        } while (result == RESP_REQUEST_OK);
    }
    add_number(text, consumed);
    add_number(text, (size_t)result);
    if (result == RESP_REQUEST_BAD) {
        resp_request_append_reason(&request, text);
    }
    resp_arguments_deinit(&arguments);
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
    for (size_t i = 0; i < 2; i++) {
        buf_reset(&split);
        parse(in, steps[i], &split);
        if (!slice_equals(buf_slice(&whole), buf_slice(&split))) {
            abort();
        }
    }
    buf_deinit(&whole);
    buf_deinit(&split);
    return 0;
}
