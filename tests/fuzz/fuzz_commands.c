/* Any bytes from a client: the node must survive every command and argument, and its replies must stay in step
 * with the commands: one each, whole, in order, and pushes between them but never inside.
 *
 * The first byte of the data says the protocol and how the rest is split; the rest is what the client sends.
 * What was complete in it is counted by the request parser (a target of its own), what was answered by the
 * reader below. */
#define RESP_FIXTURE_REAL_CLOCK /* the fuzzer itself looks at it */
#include "tests/unit/resp_fixture.h"

#include "protocol/resp_request.h"

#include <strings.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PATIENCE_MS = 8000, IDLE_TURNS = 8 };

static void require(bool holds, const char *what) {
    if (!holds) {
        fprintf(stderr, "fuzz_commands: %s\n", what);
        abort();
    }
}

/* --- What was asked
 * ---------------------------------------------------------------------------------------------------- */

struct asked {
    size_t commands;      /* complete and not empty */
    size_t subscriptions; /* of them: answered with pushes, or with one error */
    bool loose;    /* more or fewer replies than commands are right, too: CLIENT REPLY, QUIT, MONITOR, ... */
    bool executes; /* a transaction: in RESP2 a subscription in it is not told from a reply */
    bool sleeps;   /* would only take time */
    bool bad;      /* the last thing was no command: one error reply, and the connection is closed */
};

static bool is(struct slice word, const char *name) {
    return word.len == strlen(name) && strncasecmp(word.ptr, name, word.len) == 0;
}

static bool is_one_of(struct slice word, const char *const *names) {
    while (*names != NULL && !is(word, *names)) {
        names++;
    }
    return *names != NULL;
}

static void count_command(const struct slice *args, const struct resp_command *command, struct asked *asked) {
    static const char *const subscriptions[] = {"subscribe",  "unsubscribe",  "psubscribe", "punsubscribe",
                                                "ssubscribe", "sunsubscribe", NULL};
    static const char *const loose[] = {"monitor", "quit", "post", "host:", "shutdown", NULL};
    static const char *const loose_of_client[] = {"reply", "kill", "unblock", NULL};
    struct slice second = command->count > 1 ? args[1] : slice_of("", 0);
    bool is_http = command->is_inline && command->count == 3 && args[2].len == 8 &&
                   memcmp(args[2].ptr, "HTTP/", 5) == 0; /* a request line: the connection is closed */
    asked->commands++;
    asked->subscriptions += is_one_of(args[0], subscriptions);
    asked->loose |= is_http || is_one_of(args[0], loose) ||
                    (is(args[0], "client") && is_one_of(second, loose_of_client)) ||
                    (is(args[0], "config") && is(second, "set"));
    asked->executes |= is(args[0], "exec");
    asked->sleeps |= is(args[0], "wait");
    asked->sleeps |=
        (is(args[0], "debug") && is(second, "sleep")) || (is(args[0], "client") && is(second, "pause"));
}

static struct asked count_commands(struct slice in) {
    struct asked asked = {0};
    struct resp_request request = {0};
    struct resp_limits limits = resp_limits(LIMIT_VALUE_BYTES);
    struct resp_arguments arguments = {0};
    enum resp_request_result result;
    do {
        struct resp_command command;
        resp_arguments_reset(&arguments);
        result = resp_request_parse(&request, &limits, in, &arguments, &command);
        if (result == RESP_REQUEST_OK) {
            if (command.count > 0) {
                count_command(arguments.items + command.first, &command, &asked);
            }
            in = slice_skip(in, command.bytes);
        }
    } while (result == RESP_REQUEST_OK);
    asked.bad = result == RESP_REQUEST_BAD;
    asked.loose |= asked.executes && asked.subscriptions > 0;
    resp_arguments_deinit(&arguments);
    return asked;
}

/* --- What was answered
 * ------------------------------------------------------------------------------------------------- */

/* The line at the start of in without its CR LF; false: it is not complete. */
static bool take_line(struct slice *in, struct slice *line) {
    const char *cr = in->len > 0 ? memchr(in->ptr, '\r', in->len) : NULL;
    if (cr == NULL || cr + 1 == in->ptr + in->len) {
        return false;
    }
    require(cr[1] == '\n', "a CR without LF in a reply");
    *line = slice_of(in->ptr, (size_t)(cr - in->ptr));
    *in = slice_skip(*in, line->len + 2);
    return true;
}

static long number_of(struct slice line) {
    char text[32] = "";
    require(line.len > 1 && line.len < sizeof(text), "a reply's length is no number");
    memcpy(text, line.ptr + 1, line.len - 1);
    char *end;
    long number = strtol(text, &end, 10);
    require(*end == '\0' && number >= -1, "a reply's length is no number");
    return number;
}

/* Takes one element with all that it holds; false: it is not complete. */
static bool take_element(struct slice *in) {
    struct slice line;
    if (!take_line(in, &line)) {
        return false;
    }
    require(line.len > 0 && strchr("+-:,#(_$=!*~>%|", line.ptr[0]) != NULL, "no type of reply");
    if (strchr("$=!", line.ptr[0]) != NULL) {
        long length = number_of(line);
        if (length >= 0) {
            if (in->len < (size_t)length + 2) {
                return false;
            }
            require(memcmp(in->ptr + length, "\r\n", 2) == 0, "a bulk string is longer than it says");
            *in = slice_skip(*in, (size_t)length + 2);
        }
    } else if (strchr("*~>%|", line.ptr[0]) != NULL) {
        bool pairs = line.ptr[0] == '%' || line.ptr[0] == '|';
        for (long left = number_of(line) * (pairs ? 2 : 1); left > 0; left--) {
            if (!take_element(in)) {
                return false;
            }
        }
        return line.ptr[0] != '|' || take_element(in); /* attributes come before what they belong to */
    }
    return true;
}

/* A push, or what RESP2 has for it; other replies may look the same there. */
static bool is_push(struct slice element) {
    static const char *const words[] = {
        "$7\r\nmessage\r\n",       "$8\r\npmessage\r\n",     "$8\r\nsmessage\r\n",
        "$9\r\nsubscribe\r\n",     "$11\r\nunsubscribe\r\n", "$10\r\npsubscribe\r\n",
        "$12\r\npunsubscribe\r\n", "$10\r\nssubscribe\r\n",  "$12\r\nsunsubscribe\r\n"};
    if (element.ptr[0] == '>') {
        return true;
    }
    struct slice line, rest = element;
    require(take_line(&rest, &line), "an element without a line");
    for (size_t i = 0; element.ptr[0] == '*' && i < sizeof(words) / sizeof(words[0]); i++) {
        if (rest.len >= strlen(words[i]) && memcmp(rest.ptr, words[i], strlen(words[i])) == 0) {
            return true;
        }
    }
    return false;
}

struct answered {
    size_t elements;  /* whole ones */
    size_t replies;   /* of them: what can't be a push */
    size_t left_over; /* bytes behind the last whole element */
};

static struct answered count_replies(struct slice out) {
    struct answered answered = {0};
    struct slice rest = out;
    while (rest.len > 0 && take_element(&rest)) {
        answered.elements++;
        answered.replies += !is_push(slice_of(out.ptr, out.len - rest.len));
        out = rest;
    }
    answered.left_over = out.len;
    return answered;
}

/* --- Both
 * --------------------------------------------------------------------------------------------------------------
 */

/* What is sent before: values stay small, so that SETRANGE does not make this a test of memset. */
static void prepare(bool resp3) {
    check("CONFIG SET proto-max-bulk-len 1mb", "+OK\r\n");
    if (resp3) {
        send_bytes(SLICE("HELLO 3\r\n"));
        struct answered answered = {0};
        for (int64_t until_ms = now_ms() + PATIENCE_MS; answered.replies == 0 && now_ms() < until_ms;) {
            receive_bytes(buf_used(&node.received) + 1);
            answered = count_replies(buf_slice(&node.received));
        }
        require(answered.replies == 1 && answered.left_over == 0, "HELLO 3 is not answered");
        buf_reset(&node.received);
    }
}

/* Gives the bytes in steps; false: the server has closed the connection. */
static bool talk(struct slice in, size_t step) {
    bool open = true;
    while (open && in.len > 0) {
        size_t length = in.len < step ? in.len : step;
        ssize_t n = send(node.client, in.ptr, length, MSG_NOSIGNAL);
        if (n > 0) {
            in = slice_skip(in, (size_t)n);
        }
        open = n > 0 || errno == EAGAIN;
        turn();
        open = receive() && open;
    }
    return open;
}

static void run(struct slice in, size_t step, const struct asked *asked) {
    bool open = talk(in, step);
    size_t fewest = asked->loose ? 0 : asked->commands - asked->subscriptions + asked->bad;
    struct answered answered;
    int idle = 0;
    int64_t until_ms = now_ms() + PATIENCE_MS;
    do {
        size_t before = buf_used(&node.received);
        if (open) {
            turn();
            open = receive();
        }
        answered = count_replies(buf_slice(&node.received));
        idle = buf_used(&node.received) == before ? idle + 1 : 0;
    } while ((answered.elements < fewest || answered.left_over > 0 || idle < IDLE_TURNS) &&
             (open || idle == 0) && now_ms() < until_ms);
    require(answered.left_over == 0 || (!open && asked->loose), "half a reply");
    require(answered.elements >= fewest, "a command without a reply");
    require(asked->loose || answered.replies <= asked->commands + asked->bad, "more replies than commands");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct slice in = slice_of(data + (size > 0), size - (size > 0));
    struct asked asked = count_commands(in);
    if (size < 2 || asked.sleeps) {
        return 0;
    }
    void *state = NULL;
    set_up(&state);
    prepare(data[0] & 1);
    run(in, data[0] & 2 ? in.len : 1 + (size_t)(data[0] >> 2), &asked);
    tear_down(&state);
    return 0;
}
