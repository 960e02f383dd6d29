#include "cluster/commit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static struct voters set(const char *text) {
    struct voters voters;
    assert_true(voters_parse(slice_from_text(text), &voters));
    return voters;
}

static void test_a_majority_commits(void **state) {
    (void)state;
    struct commit commit = {0};
    const struct voters voters = set("a,b,c,d,e");
    commit_begin(&commit, "a", &voters, 10);
    assert_false(commit_durable(&commit, "a", 20));
    assert_false(commit_durable(&commit, "b", 15));
    assert_true(commit_durable(&commit, "c", 12));
    assert_int_equal(commit.index, 12);
    assert_false(commit_durable(&commit, "x", 99)); /* nobody asks it */
    assert_false(commit_durable(&commit, "d", 11));
    assert_true(commit_durable(&commit, "d", 30));
    assert_int_equal(commit.index, 15);
    assert_false(commit_durable(&commit, "b", 0)); /* a state arrives there; what was committed is */
    assert_int_equal(commit.index, 15);
}

/* Figure 8 of the paper: a line of an old term may be on a majority, and be lost. */
static void test_lines_of_an_old_term_are_committed_with_one_of_its_own(void **state) {
    (void)state;
    struct commit commit = {0};
    const struct voters voters = set("a,b,c");
    commit_begin(&commit, "a", &voters, 10);
    assert_false(commit_durable(&commit, "a", 10));
    assert_false(commit_durable(&commit, "b", 9));
    assert_int_equal(commit.index, 0);
    assert_true(commit_durable(&commit, "b", 10));
    assert_int_equal(commit.index, 10);
}

static void test_a_leader_outside_the_set_does_not_count_itself(void **state) {
    (void)state;
    struct commit commit = {0};
    const struct voters voters = set("b,c,d");
    commit_begin(&commit, "a", &voters, 1);
    assert_false(commit_durable(&commit, "a", 9));
    assert_false(commit_durable(&commit, "b", 9));
    assert_true(commit_durable(&commit, "c", 8));
    assert_int_equal(commit.index, 8);
}

static void test_a_round_is_confirmed_by_echoes_of_it_or_later_ones(void **state) {
    (void)state;
    struct commit commit = {0};
    const struct voters voters = set("a,b,c");
    commit_begin(&commit, "a", &voters, 1);
    assert_false(commit_is_asking(&commit));
    uint64_t first = commit_ask(&commit), second = commit_ask(&commit);
    assert_int_equal(commit.round, 0);
    assert_true(commit_is_asking(&commit));
    assert_false(commit_echo(&commit, "b", second + 1)); /* of the future: nobody has asked */
    assert_true(commit_echo(&commit, "b", first));
    assert_int_equal(commit.round, first);
    assert_true(commit_echo(&commit, "c", second));
    assert_int_equal(commit.round, second);
    assert_false(commit_is_asking(&commit));
    commit_begin(&commit, "a", &voters, 50); /* another term: an echo of the last one says nothing */
    assert_int_equal(commit.round, 0);
    assert_false(commit_is_asking(&commit)); /* what the last term asked for nobody waits for */
    uint64_t third = commit_ask(&commit);
    assert_true(third > second);
    assert_false(commit_echo(&commit, "b", second));
    assert_true(commit_is_asking(&commit));
    assert_true(commit_echo(&commit, "b", third));
    assert_false(commit_is_asking(&commit));
}

static void test_another_set_keeps_what_is_known_of_those_that_stay(void **state) {
    (void)state;
    struct commit commit = {0};
    const struct voters three = set("a,b,c"), four = set("d,a,b,c"), one = set("a");
    commit_begin(&commit, "a", &three, 1);
    commit_durable(&commit, "a", 9);
    commit_durable(&commit, "b", 5);
    assert_int_equal(commit.index, 5);
    assert_false(commit_may_change(&commit, 6));
    assert_true(commit_may_change(&commit, 5));
    commit_set_voters(&commit, &four);
    commit_durable(&commit, "a", 12);
    commit_durable(&commit, "b", 12);
    assert_int_equal(commit.index, 5); /* three of four */
    assert_true(commit_durable(&commit, "d", 11));
    assert_int_equal(commit.index, 11);
    commit_set_voters(&commit, &one);
    assert_int_equal(commit.index, 12);
}

static void test_nothing_changes_before_a_line_of_its_own_is_committed(void **state) {
    (void)state;
    struct commit commit = {0};
    const struct voters voters = set("a,b,c");
    commit_begin(&commit, "a", &voters, 10);
    assert_false(commit_may_change(&commit, 3));
    commit_durable(&commit, "a", 10);
    commit_durable(&commit, "c", 10);
    assert_true(commit_may_change(&commit, 3));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_majority_commits),
        cmocka_unit_test(test_lines_of_an_old_term_are_committed_with_one_of_its_own),
        cmocka_unit_test(test_a_leader_outside_the_set_does_not_count_itself),
        cmocka_unit_test(test_a_round_is_confirmed_by_echoes_of_it_or_later_ones),
        cmocka_unit_test(test_another_set_keeps_what_is_known_of_those_that_stay),
        cmocka_unit_test(test_nothing_changes_before_a_line_of_its_own_is_committed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
