/* transcript.h: steps of RESP clients on the node of resp_fixture.h, while memory fails.
 *
 * A first run, without a failure, says what is right: what each client hears in each step, and what the data is
 * after it. Then in every run:
 *   - a reply is the right one, or -OOM: then the data is as it was before the step, and the step, said again
 * when memory is back, is answered rightly;
 *   - or the connection is closed, without a wrong word before: then the data is as before the step or as after
 * it;
 *   - what another client hears besides is the right message, or its connection is closed;
 *   - whatever has happened, a fresh client is served when memory is back.
 *
 * A line is words between single blanks; "\n" between the commands of a pipeline. @large is a value of 1 MB,
 * @long one of 2000 bytes, @dump what DUMP answered last.
 */
#ifndef KVNODE_TESTS_FAULT_TRANSCRIPT_H
#define KVNODE_TESTS_FAULT_TRANSCRIPT_H

#include "tests/fault/digest.h"
#include "tests/fault/failing_heap.h"
#include "tests/unit/resp_clients.h"

enum {
    TRANSCRIPT_MOST_STEPS = 128,
    LARGE_BYTES = 1 << 20,
    LONG_BYTES = 2000,
    PATIENCE_TURNS = 20000, /* until a reply is given up */
    QUIET_TURNS = 4,        /* after the reply: for messages */
};

enum likeness {
    SAME,        /* byte by byte */
    AS_LONG,     /* the order is the table's */
    WELL_FORMED, /* times and sizes are in it */
    TOLD,        /* the reply is the same; messages may have come earlier, but no fewer of them */
    SOME_TOLD,   /* the reply is the same; messages may be missing, as notifications may */
};

struct step {
    char who;
    const char *line;
    enum likeness likeness;
};

/* What is heard and what is there, of every step; index 0 of digests is before the first. */
struct right {
    bool known;
    struct buf heard[TRANSCRIPT_MOST_STEPS][CLIENTS];
    size_t told[TRANSCRIPT_MOST_STEPS][CLIENTS]; /* messages so far */
    uint64_t digests[TRANSCRIPT_MOST_STEPS + 1];
};

static struct {
    const struct step *steps;
    size_t count;
    struct right right;
    struct buf heard[CLIENTS]; /* in this step */
    size_t told[CLIENTS];      /* messages so far */
    bool closed[CLIENTS];
    struct buf dump;
} transcript;

/* --- Replies: the bytes of one that is whole, 0 when it is not --- */

static inline size_t line_bytes(struct slice in) {
    const char *end = in.len == 0 ? NULL : memchr(in.ptr, '\n', in.len);
    return end == NULL ? 0 : (size_t)(end - in.ptr) + 1;
}

static inline size_t reply_bytes(struct slice in) {
    size_t n = line_bytes(in);
    if (n == 0) {
        return 0;
    }
    if (strchr("+-:_,#(*$%~>=", in.ptr[0]) == NULL || n < 3 || in.ptr[n - 2] != '\r') {
        fault_fail("no reply begins with \"%.*s\"", (int)n, in.ptr);
    }
    long count = strtol(in.ptr + 1, NULL, 10);
    if (strchr("$=", in.ptr[0]) != NULL) {
        size_t whole = count < 0 ? n : n + (size_t)count + 2;
        if (in.len >= whole && memcmp(in.ptr + whole - 2, "\r\n", 2) != 0) {
            fault_fail("a bulk is longer than it says");
        }
        return in.len >= whole ? whole : 0;
    }
    if (strchr("*%~>", in.ptr[0]) == NULL) {
        return n;
    }
    for (long left = in.ptr[0] == '%' ? count * 2 : count; left > 0; left--) {
        size_t element = reply_bytes(slice_skip(in, n));
        if (element == 0) {
            return 0;
        }
        n += element;
    }
    return n;
}

/* Whole ones, messages left out (but where those are what is waited for). */
static inline size_t count_replies(struct slice in, bool messages, size_t *rest) {
    size_t count = 0, n;
    while ((n = reply_bytes(in)) > 0) {
        count += messages || in.ptr[0] != '>';
        in = slice_skip(in, n);
    }
    *rest = in.len;
    return count;
}

static inline bool is_out_of_memory(struct slice reply) {
    return slice_equals(reply, SLICE("-OOM out of memory\r\n")) ||
           slice_equals(reply,
                        SLICE("-ERR Insufficient memory, failed allocating transient memory for LCS\r\n"));
}

static inline size_t count_messages(struct slice in) {
    size_t rest;
    return count_replies(in, true, &rest) - count_replies(in, false, &rest);
}

/* The one reply among messages. */
static inline struct slice without_messages(struct slice in) {
    size_t n;
    while ((n = reply_bytes(in)) > 0 && in.ptr[0] == '>') {
        in = slice_skip(in, n);
    }
    return slice_first(in, n);
}

/* Every one of them is among those, in their order. */
static inline bool are_some_of(struct slice some, struct slice all) {
    size_t n;
    while ((n = reply_bytes(all)) > 0) {
        if (slice_equals(slice_first(some, n), slice_first(all, n))) {
            some = slice_skip(some, n);
        }
        all = slice_skip(all, n);
    }
    return some.len == 0;
}

/* --- Saying and hearing --- */

static inline void put_word(struct buf *out, struct slice word) {
    static char filler[LARGE_BYTES];
    if (slice_equals(word, SLICE("@large")) || slice_equals(word, SLICE("@long"))) {
        memset(filler, 'x', sizeof(filler));
        word = slice_of(filler, word.len == 6 ? LARGE_BYTES : LONG_BYTES);
    } else if (slice_equals(word, SLICE("@dump"))) {
        word = buf_slice(&transcript.dump);
    }
    buf_printf(out, "$%zu\r\n", word.len);
    buf_append_slice(out, word);
    buf_append_text(out, "\r\n");
}

/* One command of a line; returns what is left. */
static inline const char *put_command(struct buf *out, const char *line) {
    size_t n = strcspn(line, "\n"), words = 1;
    for (size_t i = 0; i < n; i++) {
        words += line[i] == ' ';
    }
    buf_printf(out, "*%zu\r\n", words);
    for (; words > 0; words--) {
        size_t length = strcspn(line, " \n");
        put_word(out, slice_of(line, length));
        line += length + (words > 1);
    }
    return *line == '\n' ? line + 1 : line;
}

static inline size_t count_commands(const char *line) {
    size_t count = 1;
    for (; *line != '\0'; line++) {
        count += *line == '\n';
    }
    return count;
}

static inline void armed_turn(void) {
    fault_arm();
    turn();
    fault_disarm();
}

static inline void hear(size_t i) {
    struct buf *heard = &transcript.heard[i];
    ssize_t n = 1;
    while (client_ends[i] != 0 && !transcript.closed[i] && n > 0) {
        n = recv(client_ends[i], buf_reserve(heard, 65536), 65536, 0);
        if (n > 0) {
            buf_commit(heard, (size_t)n);
        }
        transcript.closed[i] = n == 0 || (n < 0 && errno != EAGAIN);
    }
}

static inline void hear_all(void) {
    for (size_t i = 0; i < CLIENTS; i++) {
        hear(i);
    }
}

static inline void connect_armed(char who) {
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
    client_ends[who - 'a'] = ends[0];
    transcript.closed[who - 'a'] = false;
    fault_arm();
    resp_server_accept(node.server, ends[1]);
    fault_disarm();
}

/* Nobody is in the middle of a reply or a message. */
static inline bool all_is_whole(void) {
    bool whole = true;
    for (size_t i = 0; i < CLIENTS; i++) {
        size_t rest;
        count_replies(buf_slice(&transcript.heard[i]), true, &rest);
        whole = whole && (rest == 0 || transcript.closed[i]);
    }
    return whole;
}

/* Sends the line, and turns the loop until its replies have come and all is quiet, or the connection is closed.
 */
static inline void say(char who, const char *line) {
    size_t i = (size_t)(who - 'a'), wanted = count_commands(line), rest, sent = 0;
    struct buf out;
    buf_init(&out, SIZE_MAX);
    for (const char *at = line; *at != '\0';) {
        at = put_command(&out, at);
    }
    for (size_t client = 0; client < CLIENTS; client++) {
        buf_reset(&transcript.heard[client]);
    }
    bool messages = strstr(line, "SUBSCRIBE") != NULL;
    int quiet = 0;
    for (int turns = 0; quiet < QUIET_TURNS && !transcript.closed[i]; turns++) {
        struct slice left = slice_skip(buf_slice(&out), sent);
        ssize_t n = left.len == 0 ? 0 : send(client_ends[i], left.ptr, left.len, MSG_NOSIGNAL);
        sent += n > 0 ? (size_t)n : 0;
        armed_turn();
        hear_all();
        bool done = count_replies(buf_slice(&transcript.heard[i]), messages, &rest) >= wanted && all_is_whole();
        quiet = done ? quiet + 1 : 0;
        if (turns == PATIENCE_TURNS) {
            fault_fail("%c said \"%s\" and is not answered", who, line);
        }
    }
    buf_deinit(&out);
}

/* --- What is right --- */

static inline bool is_like(struct slice got, struct slice right, enum likeness likeness) {
    switch (likeness) {
    case SAME:
        return slice_equals(got, right);
    case TOLD:
    case SOME_TOLD:
        return slice_equals(without_messages(got), without_messages(right));
    case AS_LONG:
        return got.len == right.len && got.ptr[0] == right.ptr[0];
    case WELL_FORMED:
        break;
    }
    size_t rest, rest_right;
    return count_replies(got, true, &rest) == count_replies(right, true, &rest_right) && rest == 0 &&
           got.ptr[0] == right.ptr[0];
}

static inline void note_right(size_t at) {
    for (size_t i = 0; i < CLIENTS; i++) {
        buf_append_slice(&transcript.right.heard[at][i], buf_slice(&transcript.heard[i]));
        transcript.right.told[at][i] =
            count_messages(buf_slice(&transcript.heard[i])) + (at > 0 ? transcript.right.told[at - 1][i] : 0);
        assert_false(transcript.closed[i]);
    }
    transcript.right.digests[at + 1] = digest_of(node.keyspace);
}

static inline bool is_right_for_others(size_t at, size_t client, bool done) {
    struct slice right = done ? buf_slice(&transcript.right.heard[at][client]) : SLICE("");
    struct slice got = buf_slice(&transcript.heard[client]);
    size_t rest;
    switch (transcript.steps[at].likeness) {
    case SAME:
        return slice_equals(got, right);
    case TOLD:
        return !done || transcript.told[client] >= transcript.right.told[at][client];
    case SOME_TOLD:
        return are_some_of(got, right);
    default:
        return count_replies(got, true, &rest) >= count_replies(right, true, &rest);
    }
}

/* Others than the one who has spoken: what was right to hear, nothing when nothing was done, or the end. */
static inline void check_others(size_t at, bool done) {
    const struct step *step = &transcript.steps[at];
    for (size_t i = 0; i < CLIENTS; i++) {
        if (i != (size_t)(step->who - 'a') && !transcript.closed[i] && !is_right_for_others(at, i, done)) {
            struct slice got = buf_slice(&transcript.heard[i]),
                         right = buf_slice(&transcript.right.heard[at][i]);
            fault_fail("after \"%s\" %c heard \"%.*s\", not \"%.*s\"", step->line, (char)('a' + i),
                       (int)got.len, got.ptr, (int)right.len, right.ptr);
        }
    }
}

static inline bool anybody_closed(void) {
    bool any = false;
    for (size_t i = 0; i < CLIENTS; i++) {
        any = any || (client_ends[i] != 0 && transcript.closed[i]);
    }
    return any;
}

enum outcome { DONE, REFUSED, CLOSED };

static inline enum outcome judge(size_t at) {
    const struct step *step = &transcript.steps[at];
    const uint64_t *digests = transcript.right.digests;
    size_t i = (size_t)(step->who - 'a');
    struct slice got = buf_slice(&transcript.heard[i]);
    struct slice right = buf_slice(&transcript.right.heard[at][i]);
    uint64_t digest = digest_of(node.keyspace);
    if (transcript.closed[i]) {
        if (digest != digests[at] && digest != digests[at + 1]) {
            fault_fail("\"%s\" is half done, and the connection closed", step->line);
        }
        bool is_error = got.len > 0 && got.ptr[0] == '-';
        if (step->likeness == SAME && !is_error && !slice_equals(got, slice_first(right, got.len))) {
            fault_fail("before the end of the connection \"%s\" was answered with \"%.*s\"", step->line,
                       (int)got.len, got.ptr);
        }
        return CLOSED;
    }
    if (is_out_of_memory(got)) {
        check_others(at, false);
        if (digest != digests[at]) {
            fault_fail("\"%s\" has failed, and something was changed", step->line);
        }
        return REFUSED;
    }
    if (!is_like(got, right, step->likeness)) {
        fault_fail("\"%s\" was answered with \"%.*s\", not \"%.*s\"", step->line, (int)got.len, got.ptr,
                   (int)right.len, right.ptr);
    }
    if (digest != digests[at + 1]) {
        fault_fail("\"%s\" was answered, and the data is not what it should be", step->line);
    }
    check_others(at, true);
    return DONE;
}

/* --- Runs --- */

static inline void take_dump(size_t at) {
    if (strncmp(transcript.steps[at].line, "DUMP", 4) == 0) {
        struct slice reply = buf_slice(&transcript.heard[transcript.steps[at].who - 'a']);
        size_t head = line_bytes(reply);
        buf_reset(&transcript.dump);
        buf_append_slice(&transcript.dump, slice_first(slice_skip(reply, head), reply.len - head - 2));
    }
}

/* False: somebody's connection is closed, and the transcript cannot go on. */
static inline bool take_step(size_t at) {
    const struct step *step = &transcript.steps[at];
    int i = step->who - 'a';
    if (client_ends[i] == 0) {
        connect_armed(step->who);
    }
    enum outcome outcome;
    size_t tries = 0;
    do {
        say(step->who, step->line);
        for (size_t client = 0; client < CLIENTS; client++) {
            transcript.told[client] += count_messages(buf_slice(&transcript.heard[client]));
        }
        if (!transcript.right.known) {
            note_right(at);
        }
        outcome = judge(at);
        if (++tries > FAULT_FOR_A_WHILE + 1U) {
            fault_fail("\"%s\" is refused for ever", step->line);
        }
    } while (outcome == REFUSED && !anybody_closed());
    if (outcome == DONE) {
        take_dump(at);
    }
    return !anybody_closed();
}

static inline void is_served(char who) {
    turn_to(who);
    check("SET fresh 1\r\nGET fresh\r\nDEL fresh\r\nGET fresh", "+OK\r\n$1\r\n1\r\n:1\r\n$-1\r\n");
    close(node.client);
    client_ends[who - 'a'] = 0;
}

static inline void run_transcript(void) {
    void *unused;
    set_up(&unused);
    close(node.client);
    memset(client_ends, 0, sizeof(client_ends));
    memset(transcript.closed, 0, sizeof(transcript.closed));
    memset(transcript.told, 0, sizeof(transcript.told));
    for (size_t at = 0; at < transcript.count && take_step(at); at++) {
    }
    fault_memory_is_back();
    for (size_t i = 0; i < CLIENTS; i++) {
        if (client_ends[i] != 0) {
            close(client_ends[i]);
            client_ends[i] = 0;
        }
    }
    is_served('a');
    node.client = -1;
    tear_down(&unused);
    transcript.right.known = true;
}

/* All of it, with every allocation failing in its turn. */
static inline void play(const struct step *steps, size_t count) {
    assert_true(count <= TRANSCRIPT_MOST_STEPS);
    transcript.steps = steps;
    transcript.count = count;
    transcript.right.known = false;
    for (size_t i = 0; i < count * CLIENTS; i++) {
        buf_init(&transcript.right.heard[i / CLIENTS][i % CLIENTS], SIZE_MAX);
    }
    for (size_t i = 0; i < CLIENTS; i++) {
        buf_init(&transcript.heard[i], SIZE_MAX);
    }
    buf_init(&transcript.dump, SIZE_MAX);
    fault_plan(0, 0);
    run_transcript();
    fault_each(run_transcript);
    for (size_t i = 0; i < count * CLIENTS; i++) {
        buf_deinit(&transcript.right.heard[i / CLIENTS][i % CLIENTS]);
    }
    for (size_t i = 0; i < CLIENTS; i++) {
        buf_deinit(&transcript.heard[i]);
    }
    buf_deinit(&transcript.dump);
}

#define PLAY(steps) play(steps, sizeof(steps) / sizeof((steps)[0]))

#endif
