/* Messages to another node while memory fails: each is sent or counted as dropped, and what arrives is whole,
 * in its order, and behind NODE. */
#include "server/peers/messenger.h"

#include "tests/fault/peer_fixture.h"

#include <stdio.h>

enum { MESSAGES = 40, TEXT_BYTES = 3000 };

static struct peer_fixture f;
static struct messenger *messenger;
static size_t arrived, last; /* the last one, from 1 */
static bool named;           /* the connection has begun with NODE */

/* The next whole line of what was received; the peer's, too. */
static bool next_line(struct slice *rest, struct slice *line) {
    const char *end = rest->len == 0 ? NULL : memchr(rest->ptr, '\n', rest->len);
    if (end != NULL) {
        *line = slice_take_until(rest, '\n');
    }
    return end != NULL;
}

static void check_message(struct slice line) {
    struct buf scratch;
    struct line said;
    const char *reason;
    buf_init(&scratch, SIZE_MAX);
    size_t number = line_decode(line, &scratch, &said, &reason) == LINE_OK && said.verb == LINE_MESSAGE
                        ? strtoul(said.key.ptr, NULL, 10)
                        : 0;
    if (number <= last || said.value.len != TEXT_BYTES) {
        fault_fail("message %zu arrives after %zu, of %zu bytes", number, last, said.value.len);
    }
    last = number;
    arrived++;
    buf_deinit(&scratch);
}

static void check_arrived(void) {
    struct slice rest = buf_slice(&f.received), line;
    while (next_line(&rest, &line)) {
        if (named) {
            check_message(line);
        } else if (!slice_equals(line, SLICE("NODE|self"))) {
            fault_fail("a connection begins with %.20s", line.ptr);
        }
        named = true;
    }
    buf_consume(&f.received, buf_used(&f.received) - rest.len);
}

/* A node that cannot be dialled is not dialled again for a second: but one that has been forgotten. */
static void begin_anew(void) {
    peer_turn(&f);
    check_arrived();
    messenger_forget(messenger, "peer");
    peer_hang_up(&f);
    named = false;
}

static void publish(size_t number) {
    static char text[TEXT_BYTES];
    char channel[16];
    snprintf(channel, sizeof(channel), "%zu", number);
    fault_arm();
    messenger_publish(messenger, slice_from_text(channel), slice_of(text, sizeof(text)));
    fault_disarm();
}

static void messages(void) {
    peer_begin(&f, false, false);
    peer_is_heard(&f);
    messenger = messenger_create(f.net, f.membership, &f.log);
    assert_non_null(messenger);
    arrived = last = 0;
    named = false;
    for (size_t number = 1; number <= MESSAGES; number++) {
        uint64_t dropped = messenger_stats(messenger)->dropped;
        publish(number);
        peer_turn(&f);
        if (messenger_stats(messenger)->dropped > dropped) {
            begin_anew();
        }
    }
    begin_anew();
    fault_memory_is_back();
    publish(MESSAGES + 1);
    for (int turns = 0; last <= MESSAGES; turns++) {
        peer_turn(&f);
        check_arrived();
        fault_be_patient(turns);
        if (turns == FAULT_MOST_TURNS) {
            fault_fail("with memory again, nothing arrives");
        }
    }
    const struct messenger_stats *stats = messenger_stats(messenger);
    if (stats->sent + stats->dropped != MESSAGES + 1 || arrived > stats->sent) {
        fault_fail("of %d messages %zu are sent, %zu dropped, and %zu have arrived", MESSAGES + 1,
                   (size_t)stats->sent, (size_t)stats->dropped, arrived);
    }
    messenger_destroy(&messenger);
    peer_end(&f);
}

static void test_messages(void **state) {
    (void)state;
    fault_each(messages);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_messages)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
