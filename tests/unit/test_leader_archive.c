/* Transcripts: a follower that the backlog has moved past, and that an archive still has the lines for. */
#include "tests/unit/leader_fixture.h"

#define H      UINT64_C(0x0000000000020000)
#define H_TEXT "0000000000020000"

/* An archive that a test plays: what it has of the lines, and what it gives next. */
struct archive_reader {
    bool open, lost;
    uint64_t index, last_index; /* where it was opened; of the piece */
    const char *piece;          /* NULL: later */
};

static struct archive_reader shelf;
static uint64_t shelf_from, shelf_bytes; /* lines behind it are there, and so many bytes */
static bool shelf_is_full;

static struct archive_reader *shelf_open(void *context, uint64_t index, uint64_t most_bytes) {
    assert_null(context);
    assert_false(shelf.open);
    if (shelf_is_full || index < shelf_from || shelf_bytes > most_bytes) {
        return NULL;
    }
    shelf = (struct archive_reader){.open = true, .index = index};
    return &shelf;
}

static enum archive_result shelf_read(struct archive_reader *reader, struct slice *lines,
                                      uint64_t *last_index) {
    assert_true(reader->open);
    if (reader->lost) {
        return ARCHIVE_LOST;
    }
    if (reader->piece == NULL) {
        return ARCHIVE_LATER;
    }
    *lines = slice_from_text(reader->piece);
    *last_index = reader->last_index;
    return ARCHIVE_LINES;
}

static void shelf_advance(struct archive_reader *reader, size_t n) {
    assert_true(reader->open);
    reader->piece += n;
    reader->piece = *reader->piece == '\0' ? NULL : reader->piece;
}

static void shelf_close(struct archive_reader *reader) {
    assert_true(reader->open);
    reader->open = false;
}

static void gives(const char *piece, uint64_t last_index) {
    shelf.piece = piece;
    shelf.last_index = last_index;
}

/* A leader of a backlog of 4 KB and of some 100 bytes of state, at line 100 of H; its archive has all behind
 * line 20. */
static int setup_archive(void **state) {
    setup(state);
    history_destroy(&history);
    history = history_create(H, 4 << 10);
    store.history = leader.history = history;
    history_restart(history, H, 100, NULL);
    model_put(&store, SLICE("k"), SLICE("v"), 1, 500, 0);
    model_put(&store, SLICE("l"), SLICE("w"), 1, 500, 0);
    store.told_bytes = 1000;
    leader.archive = (struct archive){
        .open = shelf_open, .read = shelf_read, .advance = shelf_advance, .close = shelf_close};
    shelf = (struct archive_reader){0};
    shelf_from = 20;
    shelf_bytes = 2000;
    shelf_is_full = false;
    serve();
    return 0;
}

static void seeks(size_t i, const char *sync) {
    dial(i);
    buf_reset(&outs[i]);
    answers(i, sync);
    assert_int_equal(links[i].phase, LEADER_LINK_SEEK);
    assert_string_equal(leader_link_state(&links[i]), "catch-up");
}

static void goes_in_full(size_t i, const char *sync) {
    dial(i);
    buf_reset(&outs[i]);
    answers(i, sync);
    said_full(i, "REPLICATEX|k|v|1|500|0\nREPLICATEX|l|w|1|500|0\nEND|2");
}

static void test_it_is_continued_from_the_archive_and_goes_on_in_the_backlog(void **state) {
    (void)state;
    seeks(0, "SYNC|f0|" H_TEXT "|97\n");
    said(0, ""); /* nothing before the line is found */
    gives("A|98\nA|99\n", 99);
    said(0, "CONTINUE|" H_TEXT "|97\nA|98\nA|99\n");
    assert_int_equal(links[0].phase, LEADER_LINK_CATCH_UP);
    set("m", "x"); /* lines 101 and 102 */
    said(0, "");
    gives("A|100\n", 100);
    said(0, "A|100\nCLOCK|2000\nREPLICATE|m|x|1\n");
    assert_int_equal(links[0].phase, LEADER_LINK_STREAM);
    assert_false(shelf.open);
    assert_int_equal(links[0].catch_up.bytes, 16);
    assert_int_equal(links[0].catch_up.index - links[0].catch_up.from, 3);
    assert_int_equal(leader.archive_syncs, 1);
    assert_int_equal(leader.partial_syncs, 1);
    assert_int_equal(leader.partial_refused + leader.full_syncs, 0);
    hang_up(0);
}

/* Byte by byte, as a socket may take it. */
static void test_pieces_are_taken_in_parts(void **state) {
    (void)state;
    struct slice next;
    seeks(0, "SYNC|f0|" H_TEXT "|98\n");
    gives("A|99\nA|100\n", 100);
    set("m", "x");
    assert_int_equal(leader_link_fill(&links[0], &leader, &outs[0], SIZE_MAX), LEADER_GO_ON);
    while (leader_link_peek(&links[0], &leader, &next) == LEADER_GO_ON && next.len > 0) {
        buf_append_byte(&outs[0], next.ptr[0]);
        leader_link_sent(&links[0], &leader, 1, now_ms);
    }
    said(0, "CONTINUE|" H_TEXT "|98\nA|99\nA|100\nCLOCK|2000\nREPLICATE|m|x|1\n");
    hang_up(0);
}

/* The writers are faster than this link: what the backlog drops meanwhile is in the archive, too. */
static void test_the_backlog_moves_on_while_the_archive_is_read(void **state) {
    (void)state;
    char value[1001], lines[80];
    memset(value, 'v', sizeof(value) - 1);
    value[1000] = '\0';
    seeks(0, "SYNC|f0|" H_TEXT "|99\n");
    gives("A|100\n", 100);
    for (int i = 0; i < 20; i++) {
        set("m", value);
    }
    assert_true(history_first_index(history) > 101);
    said(0, "CONTINUE|" H_TEXT "|99\nA|100\n");
    assert_int_equal(links[0].phase, LEADER_LINK_CATCH_UP);
    uint64_t last = history_first_index(history) - 1;
    snprintf(lines, sizeof(lines), "A|101\nA|to %llu\n", (unsigned long long)last);
    gives(lines, last);
    assert_int_equal(leader_link_fill(&links[0], &leader, &outs[0], SIZE_MAX), LEADER_GO_ON);
    struct slice next;
    assert_int_equal(leader_link_peek(&links[0], &leader, &next), LEADER_GO_ON);
    assert_true(slice_equals(next, slice_from_text(lines)));
    leader_link_sent(&links[0], &leader, next.len, now_ms);
    assert_int_equal(links[0].phase, LEADER_LINK_STREAM);
    assert_int_equal(links[0].reader.index, last);
    hang_up(0);
}

static void test_what_the_archive_has_not_got_is_a_full_sync(void **state) {
    (void)state;
    goes_in_full(0, "SYNC|f0|" H_TEXT "|19\n");
    hang_up(0);
    shelf_bytes = 2001; /* more than twice the state */
    goes_in_full(0, "SYNC|f0|" H_TEXT "|97\n");
    hang_up(0);
    shelf_bytes = 0;
    shelf_is_full = true;
    goes_in_full(0, "SYNC|f0|" H_TEXT "|97\n");
    hang_up(0);
    leader.archive = (struct archive){0};
    goes_in_full(0, "SYNC|f0|" H_TEXT "|97\n");
    hang_up(0);
    assert_int_equal(leader.partial_refused, 4);
    assert_int_equal(leader.archive_syncs, 0);
}

static void test_who_is_not_on_the_line_is_not_looked_for(void **state) {
    (void)state;
    goes_in_full(0, "SYNC|f0|-|0\n");
    hang_up(0);
    dial(0);
    answers(0, "SYNC|f0|" H_TEXT "|97|1-x\n"); /* of a term that this history never had: first what it has */
    assert_int_equal(links[0].phase, LEADER_LINK_TAKING);
    hang_up(0);
    dial(0);
    answers(0, "SYNC|f0|0000000000010000|97\n"); /* of another history */
    assert_int_equal(links[0].phase, LEADER_LINK_TAKING);
    hang_up(0);
    dial_as(1, false); /* a peer that knows only the specification */
    wait(LEADER_SPEC_ONLY_AFTER_MS);
    assert_int_equal(links[1].phase, LEADER_LINK_STATE);
    hang_up(1);
}

/* It could not be read: nothing wrong has been said yet. */
static void test_what_is_not_found_is_a_full_sync_on_the_same_link(void **state) {
    (void)state;
    seeks(0, "SYNC|f0|" H_TEXT "|97\n");
    shelf.lost = true;
    said_full(0, "REPLICATEX|k|v|1|500|0\nREPLICATEX|l|w|1|500|0\nEND|2");
    assert_false(shelf.open);
    assert_int_equal(leader.partial_refused, 1);
    assert_int_equal(leader.partial_syncs + leader.archive_syncs, 0);
    hang_up(0);
}

static void test_an_archive_that_ends_too_soon_ends_the_link(void **state) {
    (void)state;
    struct slice next;
    seeks(0, "SYNC|f0|" H_TEXT "|97\n");
    gives("A|98\n", 98);
    said(0, "CONTINUE|" H_TEXT "|97\nA|98\n");
    shelf.lost = true;
    assert_int_equal(leader_link_peek(&links[0], &leader, &next), LEADER_CLOSE);
    hang_up(0);
    assert_false(shelf.open);
    shelf_is_full = true; /* nor is it asked again */
    goes_in_full(0, "SYNC|f0|" H_TEXT "|98\n");
    hang_up(0);
}

/* A disk may take its time; the other end must not take this one for dead. */
static void test_who_waits_for_the_archive_hears_ping(void **state) {
    (void)state;
    struct slice next;
    seeks(0, "SYNC|f0|" H_TEXT "|97\n");
    wait(LEADER_PING_EVERY_MS);
    said(0, "PING|100\n");
    answers(0, "ACK|97\n");
    gives("A|98\nA|99\n", 99);
    said(0, "CONTINUE|" H_TEXT "|97\nA|98\nA|99\n");
    answers(0, "ACK|99\n");
    assert_int_equal(links[0].acked_index, 99);
    wait(LEADER_PING_EVERY_MS);
    said(0, "PING|100\n");
    leader_link_ask(&links[0]);
    wait(50);
    said(0, ""); /* what was asked for is an ACK of all there is */
    answers(0, "ACK|99\n");
    gives("A|100\n", 100);
    assert_int_equal(leader_link_peek(&links[0], &leader, &next), LEADER_GO_ON);
    leader_link_sent(&links[0], &leader, 2, now_ms);
    wait(LEADER_PING_EVERY_MS);
    said(0, "100\n"); /* never in a line */
    wait(50);
    said(0, "PING|100\n");
    wait(LINK_TIMEOUT_MS);
    assert_int_equal(leader.links == NULL, 1); /* silence ends it, as any */
}

static void test_links_that_end_give_their_readers_back(void **state) {
    (void)state;
    seeks(0, "SYNC|f0|" H_TEXT "|97\n");
    hang_up(0);
    assert_false(shelf.open);
    seeks(0, "SYNC|f0|" H_TEXT "|97\n");
    gives("A|98\n", 98);
    said(0, "CONTINUE|" H_TEXT "|97\nA|98\n");
    closes(0, "SYNC|f0|" H_TEXT "|97\n"); /* once is enough */
    assert_false(shelf.open);
}

int main(void) {
#define TRANSCRIPT(name) cmocka_unit_test_setup_teardown(name, setup_archive, teardown)
    const struct CMUnitTest tests[] = {
        TRANSCRIPT(test_it_is_continued_from_the_archive_and_goes_on_in_the_backlog),
        TRANSCRIPT(test_pieces_are_taken_in_parts),
        TRANSCRIPT(test_the_backlog_moves_on_while_the_archive_is_read),
        TRANSCRIPT(test_what_the_archive_has_not_got_is_a_full_sync),
        TRANSCRIPT(test_who_is_not_on_the_line_is_not_looked_for),
        TRANSCRIPT(test_what_is_not_found_is_a_full_sync_on_the_same_link),
        TRANSCRIPT(test_an_archive_that_ends_too_soon_ends_the_link),
        TRANSCRIPT(test_who_waits_for_the_archive_hears_ping),
        TRANSCRIPT(test_links_that_end_give_their_readers_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
