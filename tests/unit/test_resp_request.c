/* Every input is parsed whole, byte by byte and split at every point: the commands must be the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "protocol/resp_request.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static const struct resp_limits widest = {
    .arguments = LIMIT_ARGUMENTS, .bulk_bytes = LIMIT_VALUE_BYTES, .small_arguments = LIMIT_ARGUMENTS};

/* A stream of input comes to a text: "[get|a]" is a command, "[]" an empty one, at last "more" or the error. */
static void add_command(struct buf *text, const struct resp_arguments *arguments,
                        const struct resp_command *command) {
    buf_append_byte(text, '[');
    for (size_t i = 0; i < command->count; i++) {
        if (i > 0) {
            buf_append_byte(text, '|');
        }
        buf_append_slice(text, arguments->items[command->first + i]);
    }
    buf_append_byte(text, ']');
}

/* Feeds in as a conn does: what a call leaves comes again with more behind it. cuts: ascending lengths that
 * have arrived. */
static void parse_in_pieces(struct slice in, const struct resp_limits *limits, const size_t *cuts,
                            size_t cut_count, struct buf *text) {
    struct resp_request request = {0};
    struct resp_arguments arguments = {0};
    size_t consumed = 0;
    enum resp_request_result result = RESP_REQUEST_MORE;
    for (size_t i = 0; i <= cut_count && result != RESP_REQUEST_BAD; i++) {
        size_t arrived = i < cut_count ? cuts[i] : in.len;
        /* A copy of its own size, at a place of its own: reading behind it, or keeping pointers to it, is found
         * out. */
        size_t n = arrived - consumed;
        char *piece = malloc(n + (n == 0));
        memcpy(piece, in.ptr + consumed, n);
        size_t used = 0;
        for (;;) {
            struct resp_command command;
            resp_arguments_reset(&arguments);
            result =
                resp_request_parse(&request, limits, slice_of(piece + used, n - used), &arguments, &command);
            if (result != RESP_REQUEST_OK) {
                break;
            }
            assert_true(command.bytes > 0 && command.bytes <= n - used);
            add_command(text, &arguments, &command);
            used += command.bytes;
        }
        consumed += used;
        free(piece);
    }
    if (result == RESP_REQUEST_BAD) {
        resp_request_append_reason(&request, text);
    } else {
        buf_append_text(text, consumed < in.len ? "more" : "");
    }
    resp_arguments_deinit(&arguments);
}

/* Feeds in up to cut; if that ends within a bulk all of which is in in, it is taken out of the input, and the
 * rest arrives byte by byte. */
static void parse_around_bulk(struct slice in, const struct resp_limits *limits, size_t cut, struct buf *text) {
    struct resp_request request = {0};
    struct resp_arguments arguments = {0};
    struct resp_command command;
    size_t consumed = 0;
    enum resp_request_result result;
    while ((result = resp_request_parse(&request, limits, slice_of(in.ptr + consumed, cut - consumed),
                                        &arguments, &command)) == RESP_REQUEST_OK) {
        add_command(text, &arguments, &command);
        consumed += command.bytes;
        resp_arguments_reset(&arguments);
    }
    struct slice rest = slice_skip(in, consumed);
    struct resp_pending_bulk bulk = resp_request_pending_bulk(&request);
    if (result == RESP_REQUEST_MORE && bulk.bytes > 0 && bulk.at + bulk.bytes + 2 <= rest.len) {
        struct slice away = slice_of(rest.ptr + bulk.at, bulk.bytes + 2);
        struct resp_detour detour = {bulk.at, slice_of(memcpy(malloc(away.len), away.ptr, away.len), away.len)};
        char *left = malloc(rest.len);
        memcpy(left, rest.ptr, bulk.at);
        memcpy(left + bulk.at, away.ptr + away.len, rest.len - bulk.at - away.len);
        assert_true(resp_request_arguments_so_far(limits, slice_first(rest, bulk.at), &arguments));
        size_t before = arguments.count;
        result = RESP_REQUEST_MORE;
        for (size_t n = bulk.at; n <= rest.len - away.len && result == RESP_REQUEST_MORE; n++) {
            resp_arguments_reset(&arguments);
            result =
                resp_request_parse_around(&request, limits, slice_of(left, n), &detour, &arguments, &command);
        }
        if (result == RESP_REQUEST_OK) {
            assert_ptr_equal(arguments.items[before].ptr, detour.bytes.ptr);
            add_command(text, &arguments, &command);
            rest = slice_skip(rest, command.bytes + away.len);
        }
        free(left);
        free((char *)detour.bytes.ptr);
    }
    resp_arguments_deinit(&arguments);
    if (result == RESP_REQUEST_BAD) {
        resp_request_append_reason(&request, text);
    } else {
        parse_in_pieces(rest, limits, NULL, 0, text);
    }
}

static void assert_text(const struct buf *text, struct slice expected) {
    if (!slice_equals(buf_slice(text), expected)) {
        fail_msg("got \"%.*s\", expected \"%.*s\"", (int)buf_used(text), buf_slice(text).ptr, (int)expected.len,
                 expected.ptr);
    }
}

static void check_bytes(const struct resp_limits *limits, struct slice in, struct slice expected) {
    struct buf text;
    buf_init(&text, SIZE_MAX);
    parse_in_pieces(in, limits, NULL, 0, &text);
    assert_text(&text, expected);
    size_t *cuts = calloc(in.len + 1, sizeof(*cuts));
    for (size_t i = 0; i < in.len; i++) {
        cuts[i] = i + 1;
        size_t cut = i;
        buf_reset(&text);
        parse_in_pieces(in, limits, &cut, 1, &text);
        assert_text(&text, expected);
        buf_reset(&text);
        parse_around_bulk(in, limits, cut, &text);
        assert_text(&text, expected);
    }
    buf_reset(&text);
    parse_in_pieces(in, limits, cuts, in.len, &text);
    assert_text(&text, expected);
    free(cuts);
    buf_deinit(&text);
}

#define check(in, expected)                check_bytes(&widest, SLICE(in), SLICE(expected))
#define check_within(limits, in, expected) check_bytes(limits, SLICE(in), SLICE(expected))

static void test_multibulk(void **state) {
    (void)state;
    check("*1\r\n$4\r\nPING\r\n", "[PING]");
    check("*2\r\n$3\r\nGET\r\n$1\r\na\r\n*3\r\n$3\r\nSET\r\n$1\r\na\r\n$2\r\nxy\r\n", "[GET|a][SET|a|xy]");
    check("*2\r\n$0\r\n\r\n$0\r\n\r\n", "[|]");
    check("*2\r\n$3\r\nGET\r\n$12\r\nabcdefghijkl\r\n", "[GET|abcdefghijkl]");
    check("*2\r\n$1\r\n\r\r\n$4\r\n\r\n\0\n\r\n", "[\r|\r\n\0\n]");
    check("*0\r\n*-1\r\n*-9223372036854775808\r\nPING\r\n", "[][][][PING]");
    check("*5\r\n$3\r\nSET\r\n$1\r\nk\r\n$9\r\n$3\r\n*2\r\nx\r\n$2\r\nEX\r\n$3\r\n100\r\nPING\r\n",
          "[SET|k|$3\r\n*2\r\nx|EX|100][PING]");
    check("*2\r\n$3\r\nGET\r\n$1\r\na", "more");
    check("*1\r\n$4\r\nPING\r\n*", "[PING]more");
    check("", "");
}

static void test_malformed_multibulk(void **state) {
    (void)state;
    check("*a\r\n", "Protocol error: invalid multibulk length");
    check("*\r\n", "Protocol error: invalid multibulk length");
    check("*01\r\n$4\r\nPING\r\n", "Protocol error: invalid multibulk length");
    check("*+1\r\n", "Protocol error: invalid multibulk length");
    check("*1 \r\n", "Protocol error: invalid multibulk length");
    check("*1\r$4\r\n", "Protocol error: invalid multibulk length");
    check("*1048577\r\n", "Protocol error: invalid multibulk length");
    check("*9223372036854775808\r\n", "Protocol error: invalid multibulk length");
    check("*1048576\r\n", "more");
    check("*1\r\nx4\r\n", "Protocol error: expected '$', got 'x'");
    check("*1\r\n\n$4\r\n", "Protocol error: expected '$', got ' '");
    check("*1\r\n$-1\r\n", "Protocol error: invalid bulk length");
    check("*1\r\n$\r\n", "Protocol error: invalid bulk length");
    check("*1\r\n$04\r\nPING\r\n", "Protocol error: invalid bulk length");
    check("*1\r\n$536870913\r\n", "Protocol error: invalid bulk length");
    check("*1\r\n$99999999999999999999\r\n", "Protocol error: invalid bulk length");
    check("*1\r\n$536870912\r\nx", "more");
    check("*1\r\n$4\r\nPINGxx", "Protocol error: expected CR LF behind a bulk");
    check("*1\r\n$4\r\nPING\rx", "Protocol error: expected CR LF behind a bulk");
    check("PING\r\n*1\r\n$x\r\nPING\r\n", "[PING]Protocol error: invalid bulk length");
}

static void test_inline(void **state) {
    (void)state;
    check("PING\r\n", "[PING]");
    check("PING\n", "[PING]");
    check("\r\n\n  \t \r\nPING\r\n", "[][][][PING]");
    check("  SET  a\tb \r\n", "[SET|a|b]");
    check("SET a b", "more");
    check("ECHO \"a b\"\r\n", "[ECHO|a b]");
    check("ECHO \"\\x41\\x7a\\n\\r\\t\\b\\a\\\\\\\"\\q\"\r\n", "[ECHO|Az\n\r\t\b\a\\\"q]");
    check("ECHO \"\\x4\\xg1\"\r\n", "[ECHO|x4xg1]");
    check("ECHO 'a\\'b\\n\"'\r\n", "[ECHO|a'b\\n\"]");
    check("ECHO a\"b c\" ''\r\n", "[ECHO|ab c|]");
    check("SET \"a\" 'b' \"c\"\r\n", "[SET|a|b|c]");
    check("ECHO a\0b\r\n", "[ECHO|a\0b]");
    check("ECHO \"a\r\n", "Protocol error: unbalanced quotes in request");
    check("ECHO 'a\r\n", "Protocol error: unbalanced quotes in request");
    check("ECHO \"a\"b\r\n", "Protocol error: unbalanced quotes in request");
    check("ECHO 'a'b\r\n", "Protocol error: unbalanced quotes in request");
    check("ECHO \"a\\\r\n", "Protocol error: unbalanced quotes in request");
}

/* A run of the same byte between a head and a tail. */
static struct slice run_of(const char *head, char byte, size_t n, const char *tail, char **memory) {
    size_t length = strlen(head) + n + strlen(tail);
    *memory = malloc(length + 1);
    strcpy(*memory, head);
    memset(*memory + strlen(head), byte, n);
    strcpy(*memory + strlen(head) + n, tail);
    return slice_of(*memory, length);
}

static void check_run(const char *head, char byte, size_t n, const char *tail, const char *expected) {
    char *memory;
    struct slice in = run_of(head, byte, n, tail, &memory);
    struct buf text;
    buf_init(&text, SIZE_MAX);
    size_t cuts[] = {1, 5 < in.len ? 5 : in.len, in.len / 2, in.len - 1};
    for (size_t cut_count = 0; cut_count <= 4; cut_count++) {
        buf_reset(&text);
        parse_in_pieces(in, &widest, cuts, cut_count, &text);
        assert_text(&text, slice_from_text(expected));
    }
    buf_deinit(&text);
    free(memory);
}

static void test_lines_are_limited(void **state) {
    (void)state;
    check_run("", 'x', LIMIT_INLINE_BYTES, "", "more");
    check_run("", 'x', LIMIT_INLINE_BYTES + 1, "", "Protocol error: too big inline request");
    check_run("", 'x', LIMIT_INLINE_BYTES + 1, "\r\n", "Protocol error: too big inline request");
    check_run("*", '1', LIMIT_INLINE_BYTES, "", "Protocol error: too big mbulk count string");
    check_run("*", '1', LIMIT_INLINE_BYTES - 1, "", "more");
    check_run("*", '1', LIMIT_INLINE_BYTES - 1, "\r\n", "Protocol error: invalid multibulk length");
    check_run("*1\r\n$", '1', LIMIT_INLINE_BYTES, "", "Protocol error: too big bulk count string");
    check_run("*1\r\n$", '1', LIMIT_INLINE_BYTES - 1, "", "more");
}

static void test_strangers_get_little(void **state) {
    (void)state;
    struct resp_limits limits = resp_limits_of_strangers();
    check_within(&limits, "*2\r\n$4\r\nAUTH\r\n$2\r\npw\r\n", "[AUTH|pw]");
    check_within(&limits, "*10\r\n$1\r\n", "more");
    check_within(&limits, "*11\r\n$1\r\na", "Protocol error: unauthenticated multibulk length");
    check_within(&limits, "*1048577\r\n", "Protocol error: invalid multibulk length");
    check_within(&limits, "*1\r\n$16384\r\n", "more");
    check_within(&limits, "*1\r\n$16385\r\n", "Protocol error: unauthenticated bulk length");
    check_within(&limits, "*1\r\n$-1\r\n", "Protocol error: invalid bulk length");
    check_within(&limits, "*1\r\n$536870913\r\n", "Protocol error: invalid bulk length");
}

static void test_bulks_are_limited(void **state) {
    (void)state;
    struct resp_limits limits = resp_limits(3);
    check_within(&limits, "*2\r\n$3\r\nGET\r\n$1\r\na\r\n", "[GET|a]");
    check_within(&limits, "*2\r\n$3\r\nGET\r\n$4\r\nlong\r\n", "Protocol error: invalid bulk length");
    limits = resp_limits(SIZE_MAX);
    check_within(&limits, "*1\r\n$536870912\r\n", "more");
    check_within(&limits, "*1\r\n$536870913\r\n", "Protocol error: invalid bulk length");
}

static void test_a_claimed_length_allocates_nothing(void **state) {
    (void)state;
    struct resp_request request = {0};
    struct resp_arguments arguments = {0};
    struct resp_command command;
    struct slice in = SLICE("*1048576\r\n$3\r\nSET\r\n$536870912\r\nabc");
    assert_int_equal(resp_request_parse(&request, &widest, in, &arguments, &command), RESP_REQUEST_MORE);
    assert_true(arguments.capacity <= 256);
    assert_int_equal(arguments.count, 0);
    resp_arguments_deinit(&arguments);
}

static size_t expected_of(struct slice in) {
    struct resp_request request = {0};
    struct resp_arguments arguments = {0};
    struct resp_command command;
    assert_int_equal(resp_request_parse(&request, &widest, in, &arguments, &command), RESP_REQUEST_MORE);
    resp_arguments_deinit(&arguments);
    return resp_request_expected_bytes(&request);
}

static void test_what_is_expected(void **state) {
    (void)state;
    struct slice last = SLICE("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1000000\r\nabc");
    assert_int_equal(expected_of(last), last.len - 3 + 1000000 + 2);
    /* Two more pairs. */
    struct slice first = SLICE("*7\r\n$4\r\nMSET\r\n$1\r\nk\r\n$1000000\r\nabc");
    assert_in_range(expected_of(first), 3000000, 3000200);
    assert_int_equal(expected_of(SLICE("*3\r\n$3\r\nSET\r\n$1")), 0);
    /* A claim; what is allocated follows what has come. */
    assert_true(expected_of(SLICE("*1048576\r\n$3\r\nSET\r\n$536870912\r\nabc")) > 536870912);
}

static void test_a_request_is_limited_in_all(void **state) {
    (void)state;
    /* The parser looks at no byte of a bulk that it has not been given, so the length of the input is a
     * pretence: a real one would be a GB. What it does read is here. */
    struct resp_request request = {.state = RESP_REQUEST_HEADER, .bulks_left = 1};
    struct resp_arguments arguments = {0};
    struct resp_command command;
    static const char header[] = "$536870912\r\n";
    size_t offset = RESP_REQUEST_MAX_BYTES / 2 + 64;
    char *memory = calloc(1, offset + sizeof(header));
    memcpy(memory + offset, header, sizeof(header) - 1);
    request.offset = offset;
    assert_int_equal(resp_request_parse(&request, &widest, slice_of(memory, offset + sizeof(header) - 1),
                                        &arguments, &command),
                     RESP_REQUEST_BAD);
    assert_int_equal(request.fault, RESP_REQUEST_BIG_REQUEST);
    const struct resp_detour detour = {.at = 0, .bytes = slice_of(memory, offset)};
    request = (struct resp_request){.state = RESP_REQUEST_HEADER, .bulks_left = 1, .offset = 64};
    memcpy(memory + 64, header, sizeof(header) - 1);
    assert_int_equal(resp_request_parse_around(&request, &widest, slice_of(memory, 64 + sizeof(header) - 1),
                                               &detour, &arguments, &command),
                     RESP_REQUEST_BAD);
    assert_int_equal(request.fault, RESP_REQUEST_BIG_REQUEST);
    free(memory);
    resp_arguments_deinit(&arguments);
}

static uint64_t cpu_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* 300,000 arguments in 30,000 pieces: a parser that began again with every piece would look at 10^10 bytes. */
static void test_time_is_linear_in_the_input(void **state) {
    (void)state;
    enum { ARGUMENTS = 300000, PIECES = 30000 };
    struct buf in;
    buf_init(&in, SIZE_MAX);
    buf_printf(&in, "*%d\r\n", ARGUMENTS);
    for (int i = 0; i < ARGUMENTS; i++) {
        buf_append_text(&in, "$1\r\na\r\n");
    }
    struct resp_request request = {0};
    struct resp_arguments arguments = {0};
    struct resp_command command = {0};
    enum resp_request_result result = RESP_REQUEST_MORE;
    size_t length = buf_used(&in);
    uint64_t begin_us = cpu_us();
    for (size_t i = 1; i <= PIECES; i++) {
        assert_int_equal(result, RESP_REQUEST_MORE);
        result =
            resp_request_parse(&request, &widest, slice_of(in.data, length * i / PIECES), &arguments, &command);
    }
    assert_int_equal(result, RESP_REQUEST_OK);
    assert_int_equal(command.count, ARGUMENTS);
    assert_true(cpu_us() - begin_us < 1000000);
    /* And the same for a line that does not end. */
    request = (struct resp_request){0};
    char *memory;
    struct slice line = run_of("", 'x', LIMIT_INLINE_BYTES, "", &memory);
    begin_us = cpu_us();
    for (size_t i = 1; i <= line.len; i++) {
        assert_int_equal(resp_request_parse(&request, &widest, slice_first(line, i), &arguments, &command),
                         RESP_REQUEST_MORE);
        assert_int_equal(request.scanned, i);
    }
    assert_true(cpu_us() - begin_us < 1000000);
    free(memory);
    resp_arguments_deinit(&arguments);
    buf_deinit(&in);
}

/* Commands of one batch share the arena: parsing the later ones must not harm the earlier ones. */
static void test_a_batch_shares_the_arena(void **state) {
    (void)state;
    struct buf in;
    buf_init(&in, SIZE_MAX);
    enum { COMMANDS = 500 };
    for (int i = 0; i < COMMANDS; i++) {
        buf_printf(&in, "*2\r\n$3\r\nGET\r\n$3\r\n%03d\r\n", i);
    }
    struct resp_request request = {0};
    struct resp_arguments arguments = {0};
    struct resp_command commands[COMMANDS];
    struct slice rest = buf_slice(&in);
    for (int i = 0; i < COMMANDS; i++) {
        assert_int_equal(resp_request_parse(&request, &widest, rest, &arguments, &commands[i]),
                         RESP_REQUEST_OK);
        rest = slice_skip(rest, commands[i].bytes);
    }
    for (int i = 0; i < COMMANDS; i++) {
        char key[16];
        snprintf(key, sizeof(key), "%03d", i);
        assert_int_equal(commands[i].count, 2);
        assert_true(slice_equals(arguments.items[commands[i].first + 1], slice_from_text(key)));
    }
    resp_arguments_deinit(&arguments);
    buf_deinit(&in);
}

static size_t below(size_t n) { return (size_t)rand() % n; }

/* Random commands with random bytes, random damage, random pieces: as when parsed whole. */
static void test_random_streams(void **state) {
    (void)state;
    unsigned seed = (unsigned)time(NULL);
    print_message("seed %u\n", seed);
    srand(seed);
    struct buf in, whole, pieces;
    buf_init(&in, SIZE_MAX);
    buf_init(&whole, SIZE_MAX);
    buf_init(&pieces, SIZE_MAX);
    for (int round = 0; round < 3000; round++) {
        buf_reset(&in);
        buf_reset(&whole);
        buf_reset(&pieces);
        for (size_t commands = 1 + below(4); commands > 0; commands--) {
            size_t count = below(5);
            buf_printf(&in, "*%zu\r\n", count);
            for (; count > 0; count--) {
                size_t length = below(40);
                buf_printf(&in, "$%zu\r\n", length);
                for (; length > 0; length--) {
                    buf_append_byte(&in, "\r\n$*'\"\\x0 ab\0z"[below(14)]);
                }
                buf_append_text(&in, "\r\n");
            }
        }
        if (round % 2 == 1 && buf_used(&in) > 0) {
            in.data[in.start + below(buf_used(&in))] = "\r\n$*'\"\\x0 1-\0z"[below(14)];
        }
        size_t cuts[6] = {0};
        for (size_t i = 0; i < 6; i++) {
            cuts[i] = (i == 0 ? 0 : cuts[i - 1]);
            cuts[i] += below(buf_used(&in) - cuts[i] + 1);
        }
        parse_in_pieces(buf_slice(&in), &widest, NULL, 0, &whole);
        parse_in_pieces(buf_slice(&in), &widest, cuts, 6, &pieces);
        assert_text(&pieces, buf_slice(&whole));
    }
    buf_deinit(&in);
    buf_deinit(&whole);
    buf_deinit(&pieces);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_multibulk),
        cmocka_unit_test(test_malformed_multibulk),
        cmocka_unit_test(test_inline),
        cmocka_unit_test(test_lines_are_limited),
        cmocka_unit_test(test_strangers_get_little),
        cmocka_unit_test(test_bulks_are_limited),
        cmocka_unit_test(test_a_claimed_length_allocates_nothing),
        cmocka_unit_test(test_what_is_expected),
        cmocka_unit_test(test_a_request_is_limited_in_all),
        cmocka_unit_test(test_time_is_linear_in_the_input),
        cmocka_unit_test(test_a_batch_shares_the_arena),
        cmocka_unit_test(test_random_streams),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
