/* Transcripts: what a node that wants voters is told, and what it has to be done for it. */
#include "cluster/forming.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define UNIX_MS INT64_C(0x19000000000)

static struct forming forming;
static int64_t now_ms;
static struct buf done;                /* what the driver has been asked to do, a line each */
static char id[HISTORY_ID_DIGITS + 1]; /* of what node a has proposed last */

static void begin(const char *node_id, size_t wanted, const struct forming_kept *kept) {
    forming_init(&forming, node_id, 7, wanted, kept, 1, now_ms);
}

/* Node a, which wants three. */
static int setup(void **state) {
    (void)state;
    now_ms = 10000;
    buf_init(&done, SIZE_MAX);
    begin("a", 3, &(struct forming_kept){0});
    return 0;
}

static int teardown(void **state) {
    (void)state;
    buf_deinit(&done);
    return 0;
}

static void note_id(uint64_t history_id) {
    if (history_id != 0) {
        snprintf(id, sizeof(id), "%016llx", (unsigned long long)history_id);
    }
}

static void write_kept(struct buf *out, const struct forming_kept *kept) {
    char text[VOTERS_MAX_BYTES];
    if (kept->history_id == 0) {
        buf_append_text(out, "-");
        return;
    }
    buf_printf(out, "%016llx %.*s%s%s", (unsigned long long)kept->history_id,
               (int)voters_write(text, &kept->voters), text, kept->proposer ? " proposer" : "",
               kept->complete ? " complete" : "");
}

static void write_action(struct buf *out, const struct forming_action *action) {
    switch (action->type) {
    case FORMING_SEND:
        buf_printf(out, "%s: %s", action->to, action->text);
        break;
    case FORMING_KEEP:
        buf_append_text(out, "KEEP ");
        write_kept(out, &action->kept);
        buf_printf(out, "%s%s\n", action->text[0] == '\0' ? "" : ": ", action->text);
        break;
    case FORMING_BEGIN:
        buf_append_text(out, "BEGIN ");
        write_kept(out, &action->kept);
        buf_append_text(out, "\n");
        break;
    case FORMING_DROP:
        buf_append_text(out, "DROP\n");
        break;
    }
}

/* Since this was asked last; stops behind a KEEP until it is done. "@" stands for the id that a proposes. */
static void does(const char *expected) {
    struct forming_action action;
    struct buf wanted;
    buf_reset(&done);
    while (forming_next(&forming, &action)) {
        note_id(action.type == FORMING_KEEP && action.kept.proposer ? action.kept.history_id : 0);
        write_action(&done, &action);
    }
    buf_append_byte(&done, '\0');
    buf_init(&wanted, SIZE_MAX);
    for (const char *c = expected; *c != '\0'; c++) {
        buf_append(&wanted, *c == '@' ? id : c, *c == '@' ? HISTORY_ID_DIGITS : 1);
    }
    buf_append_byte(&wanted, '\0');
    assert_string_equal(buf_slice(&done).ptr, buf_slice(&wanted).ptr);
    buf_deinit(&wanted);
}

/* "@" as above. */
static void hears(const char *from, const char *text) {
    struct buf scratch;
    struct line line;
    const char *reason;
    char whole[200] = "";
    const char *at = strchr(text, '@');
    snprintf(whole, sizeof(whole), "%.*s%s%s", at == NULL ? 200 : (int)(at - text), text, at == NULL ? "" : id,
             at == NULL ? "" : at + 1);
    buf_init(&scratch, 1000);
    assert_int_equal(line_decode(slice_from_text(whole), &scratch, &line, &reason), LINE_OK);
    if (line.verb == LINE_VOTER) {
        forming_peer(&forming, from, &line, now_ms);
    } else {
        forming_line(&forming, from, &line, now_ms);
    }
    buf_deinit(&scratch);
}

static void wait(int64_t ms) {
    for (int64_t until_ms = now_ms + ms; now_ms < until_ms;) {
        now_ms += 50;
        forming_tick(&forming, now_ms, UNIX_MS + now_ms);
    }
}

static void kept(void) { forming_done(&forming, now_ms); }

/* b and c have come a second ago. */
static void proposes(void) {
    hears("c", "VOTER|c|7|3|-|-");
    hears("b", "VOTER|b|7|3|-|-");
    wait(FORMING_QUIET_MS);
    does("KEEP @ a,b,c proposer\n");
    kept();
    does("b: FORM|7|3|a,b,c|@\nc: FORM|7|3|a,b,c|@\n");
}

/* --- The proposer --- */

static void test_three_form_and_the_smallest_of_them_begins_last(void **state) {
    (void)state;
    hears("b", "VOTER|b|7|3|-|-");
    wait(5000);
    does(""); /* two are too few */
    hears("c", "VOTER|c|7|3|-|-");
    wait(FORMING_QUIET_MS - 50);
    does(""); /* somebody may still come */
    wait(50);
    does("KEEP @ a,b,c proposer\n");
    assert_true(forming_id(&forming) != 0);
    kept();
    does("b: FORM|7|3|a,b,c|@\nc: FORM|7|3|a,b,c|@\n");
    hears("c", "FORMED|c|@|yes");
    hears("c", "FORMED|c|@|yes");
    does("");
    hears("b", "FORMED|b|@|yes");
    does("KEEP @ a,b,c proposer complete\n");
    kept();
    does("BEGIN @ a,b,c proposer complete\n");
    wait(10000);
    does("");
}

static void test_one_that_wants_to_vote_alone_needs_nobody(void **state) {
    (void)state;
    begin("a", 1, &(struct forming_kept){0});
    wait(FORMING_QUIET_MS);
    does("KEEP @ a proposer\n");
    kept();
    does("KEEP @ a proposer complete\n");
    kept();
    does("BEGIN @ a proposer complete\n");
}

static void test_of_more_the_smallest_are_chosen(void **state) {
    (void)state;
    hears("e", "VOTER|e|7|3|-|-");
    hears("b", "VOTER|b|7|3|-|-");
    hears("d", "VOTER|d|7|3|-|-");
    wait(FORMING_QUIET_MS - 50);
    hears("c", "VOTER|c|7|3|-|-"); /* a second from here */
    wait(FORMING_QUIET_MS - 50);
    does("");
    wait(50);
    does("KEEP @ a,b,c proposer\n");
}

static void test_who_is_not_the_smallest_proposes_nothing(void **state) {
    (void)state;
    begin("b", 3, &(struct forming_kept){0});
    hears("a", "VOTER|a|7|3|-|-");
    hears("c", "VOTER|c|7|3|-|-");
    hears("d", "VOTER|d|7|3|-|-");
    wait(5000);
    does("");
    forming_peer_gone(&forming, "a"); /* now it is */
    wait(50);
    does("KEEP @ b,c,d proposer\n");
}

static void test_who_wants_another_number_or_is_of_another_group_does_not_count(void **state) {
    (void)state;
    hears("b", "VOTER|b|7|3|-|-");
    hears("c", "VOTER|c|7|5|-|-");
    hears("d", "VOTER|d|8|3|-|-");
    hears("e", "VOTER|e|7|0|-|-");
    hears("f", "VOTER|g|7|3|-|-"); /* who says it is not who it is */
    wait(5000);
    does("");
    hears("c", "VOTER|c|7|3|-|-");
    wait(FORMING_QUIET_MS);
    does("KEEP @ a,b,c proposer\n");
}

static void test_nothing_is_proposed_while_a_node_has_a_history_or_another_set_is_forming(void **state) {
    (void)state;
    hears("b", "VOTER|b|7|3|-|-");
    hears("c", "VOTER|c|7|3|-|-");
    hears("d", "VOTER|d|7|0|0000000000000001|-");
    wait(5000);
    does("");
    hears("d", "VOTER|d|7|0|-|-");
    hears("e", "VOTER|e|7|3|-|0000000000000002"); /* not of a's: it may be withdrawn, and a would know */
    does("e: UNFORM|0000000000000002\n");
    wait(5000);
    does("");
    forming_peer_gone(&forming, "e");
    hears("x", "VOTER|x|8|0|0000000000000001|-"); /* of another group */
    wait(50);
    does("KEEP @ a,b,c proposer\n");
}

static void test_who_wants_none_does_nothing(void **state) {
    (void)state;
    begin("a", 0, &(struct forming_kept){0});
    hears("b", "VOTER|b|7|0|-|-");
    hears("c", "VOTER|c|7|0|-|-");
    wait(5000);
    does("");
    begin("b", 0, &(struct forming_kept){0});
    hears("a", "FORM|7|3|a,b,c|0000000000000001");
    does("a: FORMED|b|0000000000000001|no|it wants another number of voters\n");
}

static void test_a_no_withdraws_and_it_is_tried_again_later(void **state) {
    (void)state;
    char first[sizeof(id)];
    proposes();
    memcpy(first, id, sizeof(first));
    hears("b", "FORMED|b|@|yes");
    hears("d", "FORMED|d|@|no|whoever that is");
    hears("c", "FORMED|c|0000000000000001|no|late");
    does("");
    hears("c", "FORMED|c|@|no|it has a history");
    does("KEEP -: c refuses: it has a history\n");
    assert_int_equal(forming_id(&forming), 0);
    kept();
    does("b: UNFORM|@\nc: UNFORM|@\n");
    hears("b", "FORMED|b|@|yes"); /* late: it has been told, and is told again */
    does("b: UNFORM|@\n");
    wait(FORMING_LEAST_WAIT_MS - 50);
    does("");
    wait(FORMING_LONGEST_WAIT_MS);
    does("KEEP @ a,b,c proposer\n");
    assert_string_not_equal(first, id);
}

static void test_it_withdraws_when_not_all_have_agreed_in_time(void **state) {
    (void)state;
    proposes();
    hears("b", "FORMED|b|@|yes");
    wait(FORMING_ANSWER_MS - 50);
    does("");
    wait(50);
    does("KEEP -: not all have agreed in time\n");
}

static void test_time_counts_from_when_its_own_agreement_is_on_the_disk(void **state) {
    (void)state;
    hears("c", "VOTER|c|7|3|-|-");
    hears("b", "VOTER|b|7|3|-|-");
    wait(FORMING_QUIET_MS);
    does("KEEP @ a,b,c proposer\n");
    wait(FORMING_ANSWER_MS - 50);
    kept();
    does("b: FORM|7|3|a,b,c|@\nc: FORM|7|3|a,b,c|@\n");
    wait(FORMING_ANSWER_MS - 50);
    does("");
    wait(50);
    does("KEEP -: not all have agreed in time\n");
}

static void test_it_withdraws_when_it_sees_a_history_or_another_set(void **state) {
    (void)state;
    proposes();
    hears("b", "VOTER|b|7|3|-|@"); /* that is its own */
    does("b: FORM|7|3|a,b,c|@\n");
    hears("d", "VOTER|d|7|3|0000000000000001|-");
    does("KEEP -: a node of the group has a history\n");
    kept();
    does("b: UNFORM|@\nc: UNFORM|@\n");
    forming_peer_gone(&forming, "d");
    hears("b", "VOTER|b|7|3|-|-");
    wait(5000);
    does("KEEP @ a,b,c proposer\n");
    kept();
    does("b: FORM|7|3|a,b,c|@\nc: FORM|7|3|a,b,c|@\n");
    hears("0", "VOTER|0|7|3|-|0000000000000001"); /* and it is not a that could have withdrawn this one */
    does("KEEP -: another set is forming\n");
}

static void test_who_comes_back_is_asked_again(void **state) {
    (void)state;
    proposes();
    forming_peer_gone(&forming, "b");
    hears("b", "VOTER|b|7|3|-|-");
    does("b: FORM|7|3|a,b,c|@\n");
    hears("b", "FORMED|b|@|yes");
    hears("b", "VOTER|b|7|3|-|@");
    does("");
}

static void test_who_missed_that_a_set_was_withdrawn_is_told_when_it_comes(void **state) {
    (void)state;
    proposes();
    hears("b", "FORMED|b|@|no|");
    does("KEEP -: b refuses: \n");
    hears("c", "VOTER|c|7|3|-|@");
    does(""); /* behind what is being kept */
    kept();
    does("b: UNFORM|@\nc: UNFORM|@\nc: UNFORM|@\n");
    wait(5000);
    does(""); /* once for each time that it says so; and nothing else is formed meanwhile */
    hears("c", "VOTER|c|7|3|-|-");
    wait(FORMING_QUIET_MS);
    does("KEEP @ a,b,c proposer\n");
}

/* So that a lost line does not hold up a group for good. */
static void test_a_withdrawal_that_found_no_room_is_told_later(void **state) {
    (void)state;
    hears("c", "VOTER|c|7|3|-|-");
    hears("b", "VOTER|b|7|3|-|-");
    wait(FORMING_QUIET_MS);
    does("KEEP @ a,b,c proposer\n"); /* the disk takes its time */
    for (int i = 0; i < FORMING_ACTIONS; i++) {
        hears("b", "FORM|7|2|b,c|0000000000000002");
    }
    hears("d", "VOTER|d|9|3|-|0000000000000003");
    kept();
    buf_reset(&done);
    for (struct forming_action action; forming_next(&forming, &action);) {
        write_action(&done, &action);
    }
    buf_append_byte(&done, '\0');
    assert_null(strstr(buf_slice(&done).ptr, "UNFORM"));
    wait(50);
    does("d: UNFORM|0000000000000003\n");
    wait(5000 - 50);
    does("KEEP -: not all have agreed in time\n");
}

static void test_a_proposer_that_starts_again_withdraws_what_is_not_complete(void **state) {
    (void)state;
    struct forming_kept had = {.history_id = 10, .proposer = true};
    assert_true(voters_parse(SLICE("a,b,c"), &had.voters));
    begin("a", 3, &had);
    does("KEEP -: this node has started again before all had agreed\n");
    kept();
    does("b: UNFORM|000000000000000a\nc: UNFORM|000000000000000a\n"); /* they may not be there yet */
    hears("c", "VOTER|c|7|3|-|000000000000000a");
    does("c: UNFORM|000000000000000a\n");
}

static void test_and_goes_on_with_what_is(void **state) {
    (void)state;
    struct forming_kept had = {.history_id = 10, .proposer = true, .complete = true};
    assert_true(voters_parse(SLICE("a,b,c"), &had.voters));
    begin("a", 0, &had); /* whatever it wants by now */
    does("BEGIN 000000000000000a a,b,c proposer complete\n");
    hears("c", "VOTER|c|7|3|-|000000000000000a");
    hears("c", "FORMED|c|000000000000000a|yes");
    wait(10000);
    does("");
    hears("b", "VOTER|b|7|3|-|0000000000000009"); /* from before */
    does("b: UNFORM|0000000000000009\n");
}

/* --- Who agrees --- */

static void agrees(void) {
    begin("b", 3, &(struct forming_kept){0});
    hears("a", "VOTER|a|7|3|-|000000000000000a");
    hears("c", "VOTER|c|7|3|-|000000000000000a"); /* it was faster; and it is not b's to withdraw */
    hears("a", "FORM|7|3|a,b,c|000000000000000a");
    does("KEEP 000000000000000a a,b,c\n");
    kept();
    does("BEGIN 000000000000000a a,b,c\na: FORMED|b|000000000000000a|yes\n");
}

static void test_yes_is_said_when_it_is_on_the_disk_and_as_often_as_it_is_asked(void **state) {
    (void)state;
    agrees();
    hears("a", "FORM|7|3|c,b,a|000000000000000a");
    does("a: FORMED|b|000000000000000a|yes\n");
    assert_int_equal(forming_id(&forming), 10);
}

static void test_it_agrees_to_one_set(void **state) {
    (void)state;
    agrees();
    hears("a", "FORM|7|3|a,b,c|000000000000000b");
    does("a: FORMED|b|000000000000000b|no|it has agreed to another set\n");
    hears("a", "FORM|7|3|a,b,d|000000000000000a");
    does("a: FORMED|b|000000000000000a|no|it has agreed to another set\n");
    wait(60000);
    does(""); /* and waits for it as long as it takes */
}

static void test_what_it_does_not_agree_to(void **state) {
    (void)state;
    begin("b", 3, &(struct forming_kept){0});
    hears("a", "FORM|8|3|a,b,c|000000000000000a");
    does("a: FORMED|b|000000000000000a|no|it is of another group\n");
    hears("c", "FORM|7|3|a,b,c|000000000000000a");
    does("c: FORMED|b|000000000000000a|no|that set has another proposer, or is none of its\n");
    hears("a", "FORM|7|3|a,c,d|000000000000000a");
    does("a: FORMED|b|000000000000000a|no|that set has another proposer, or is none of its\n");
    hears("a", "FORM|7|2|a,b|000000000000000a");
    does("a: FORMED|b|000000000000000a|no|it wants another number of voters\n");
    hears("d", "VOTER|d|7|0|0000000000000001|-");
    hears("a", "FORM|7|3|a,b,c|000000000000000a");
    does("a: FORMED|b|000000000000000a|no|a node of the group has a history\n");
    hears("d", "VOTER|d|7|3|-|0000000000000001");
    does("d: UNFORM|0000000000000001\n");
    hears("a", "FORM|7|3|a,b,c|000000000000000a");
    does("a: FORMED|b|000000000000000a|no|another set is forming\n");
    forming_end(&forming, 1, now_ms);
    hears("a", "FORM|7|3|a,b,c|000000000000000a");
    does("a: FORMED|b|000000000000000a|no|it has a history\n");
}

static void test_it_lets_go_when_the_proposer_says_so(void **state) {
    (void)state;
    agrees();
    hears("c", "UNFORM|000000000000000a"); /* it is not its to say */
    hears("a", "UNFORM|000000000000000b");
    does("");
    hears("a", "UNFORM|000000000000000a");
    does("KEEP -: a has withdrawn it\n");
    hears("a", "FORM|7|3|a,b,c|000000000000000b");
    kept();
    does("DROP\na: FORMED|b|000000000000000b|no|its disk has not done yet what was before\n");
    hears("c", "VOTER|c|7|3|-|-"); /* it has let go, too */
    hears("a", "VOTER|a|7|3|-|000000000000000b");
    hears("a", "FORM|7|3|a,b,c|000000000000000b");
    does("KEEP 000000000000000b a,b,c\n");
}

static void test_not_when_its_history_has_begun(void **state) {
    (void)state;
    agrees();
    forming_end(&forming, 10, now_ms);
    hears("a", "UNFORM|000000000000000a");
    does("");
    assert_int_equal(forming_id(&forming), 0); /* it has a history */
}

static void test_who_has_agreed_begins_again_after_a_restart(void **state) {
    (void)state;
    struct forming_kept had = {.history_id = 10};
    assert_true(voters_parse(SLICE("a,b,c"), &had.voters));
    begin("b", 3, &had);
    does("BEGIN 000000000000000a a,b,c\n");
    hears("a", "UNFORM|000000000000000a");
    does("KEEP -: a has withdrawn it\n");
    kept();
    does("DROP\n");
}

/* --- There is a history --- */

static void test_who_has_a_history_forms_nothing(void **state) {
    (void)state;
    struct forming_kept had = {.history_id = 10, .proposer = true, .complete = true};
    assert_true(voters_parse(SLICE("a,b,c"), &had.voters));
    begin("a", 3, &had);
    forming_end(&forming, 10, now_ms);
    hears("b", "VOTER|b|7|3|-|000000000000000a"); /* it has not been led yet */
    hears("c", "VOTER|c|7|3|-|-");
    wait(5000);
    does("");
    hears("c", "VOTER|c|7|3|-|0000000000000009");
    does("c: UNFORM|0000000000000009\n");
}

static void test_a_history_that_comes_while_it_proposes_withdraws(void **state) {
    (void)state;
    proposes();
    hears("b", "FORMED|b|@|yes");
    forming_end(&forming, 1, now_ms);
    does("KEEP -: this node has another history\n");
    kept();
    does("b: UNFORM|@\nc: UNFORM|@\n");
}

static void test_what_is_being_kept_is_awaited_when_a_history_comes(void **state) {
    (void)state;
    hears("c", "VOTER|c|7|3|-|-");
    hears("b", "VOTER|b|7|3|-|-");
    wait(FORMING_QUIET_MS);
    does("KEEP @ a,b,c proposer\n");
    forming_end(&forming, 1, now_ms);
    does("");
    kept();
    does("KEEP -: this node has another history\n");
    kept();
    does("b: UNFORM|@\nc: UNFORM|@\n");
}

static void test_more_than_it_can_remember(void **state) {
    (void)state;
    begin("1", 3, &(struct forming_kept){0});
    char text[80], node_id[16];
    hears("z", "VOTER|z|7|3|0000000000000001|-");
    for (int i = 0; i < 2 * FORMING_NEIGHBOURS; i++) {
        snprintf(node_id, sizeof(node_id), "n%03d", i);
        snprintf(text, sizeof(text), "VOTER|%s|7|3|-|-", node_id);
        hears(node_id, text);
    }
    wait(5000);
    does(""); /* z is not forgotten */
    hears("z", "VOTER|z|7|3|-|-");
    wait(FORMING_QUIET_MS);
    does("KEEP @ 1,n000,n001 proposer\n");
}

int main(void) {
#define TRANSCRIPT(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TRANSCRIPT(test_three_form_and_the_smallest_of_them_begins_last),
        TRANSCRIPT(test_one_that_wants_to_vote_alone_needs_nobody),
        TRANSCRIPT(test_of_more_the_smallest_are_chosen),
        TRANSCRIPT(test_who_is_not_the_smallest_proposes_nothing),
        TRANSCRIPT(test_who_wants_another_number_or_is_of_another_group_does_not_count),
        TRANSCRIPT(test_nothing_is_proposed_while_a_node_has_a_history_or_another_set_is_forming),
        TRANSCRIPT(test_who_wants_none_does_nothing),
        TRANSCRIPT(test_a_no_withdraws_and_it_is_tried_again_later),
        TRANSCRIPT(test_it_withdraws_when_not_all_have_agreed_in_time),
        TRANSCRIPT(test_time_counts_from_when_its_own_agreement_is_on_the_disk),
        TRANSCRIPT(test_it_withdraws_when_it_sees_a_history_or_another_set),
        TRANSCRIPT(test_who_comes_back_is_asked_again),
        TRANSCRIPT(test_who_missed_that_a_set_was_withdrawn_is_told_when_it_comes),
        TRANSCRIPT(test_a_withdrawal_that_found_no_room_is_told_later),
        TRANSCRIPT(test_a_proposer_that_starts_again_withdraws_what_is_not_complete),
        TRANSCRIPT(test_and_goes_on_with_what_is),
        TRANSCRIPT(test_yes_is_said_when_it_is_on_the_disk_and_as_often_as_it_is_asked),
        TRANSCRIPT(test_it_agrees_to_one_set),
        TRANSCRIPT(test_what_it_does_not_agree_to),
        TRANSCRIPT(test_it_lets_go_when_the_proposer_says_so),
        TRANSCRIPT(test_not_when_its_history_has_begun),
        TRANSCRIPT(test_who_has_agreed_begins_again_after_a_restart),
        TRANSCRIPT(test_who_has_a_history_forms_nothing),
        TRANSCRIPT(test_a_history_that_comes_while_it_proposes_withdraws),
        TRANSCRIPT(test_what_is_being_kept_is_awaited_when_a_history_comes),
        TRANSCRIPT(test_more_than_it_can_remember),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
