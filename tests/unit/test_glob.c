#include "protocol/glob.h"

#include "tests/unit/random.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static bool matches(const char *pattern, const char *text) {
    return glob_match(slice_from_text(pattern), slice_from_text(text), GLOB_CASE);
}

static bool matches_nocase(const char *pattern, const char *text) {
    return glob_match(slice_from_text(pattern), slice_from_text(text), GLOB_NOCASE);
}

static void test_stars_and_question_marks(void **state) {
    (void)state;
    assert_true(matches("", ""));
    assert_false(matches("", "a"));
    assert_false(matches("a", ""));
    assert_true(matches("*", ""));
    assert_true(matches("***", ""));
    assert_true(matches("*", "anything"));
    assert_true(matches("user*", "user"));
    assert_true(matches("user*", "user1"));
    assert_false(matches("user*", "use"));
    assert_true(matches("*1", "user1"));
    assert_false(matches("*1", "user12"));
    assert_true(matches("u*r*1", "user1"));
    assert_true(matches("*ab*ab*", "ab-ab"));
    assert_false(matches("*ab*ab*", "aba"));
    assert_true(matches("*aab", "aaaaab"));
    assert_true(matches("h?llo", "hello"));
    assert_false(matches("h?llo", "hllo"));
    assert_false(matches("?", ""));
    assert_true(matches("*?", "a"));
    assert_false(matches("*?", ""));
    assert_true(matches("a*?b", "axb"));
    assert_false(matches("a*?b", "ab"));
    assert_true(glob_match(SLICE("*"), (struct slice){0}, GLOB_CASE));
    assert_true(glob_match((struct slice){0}, (struct slice){0}, GLOB_CASE));
    assert_true(glob_match(SLICE("a\0*\n"), SLICE("a\0\0b\n"), GLOB_CASE));
}

static void test_sets(void **state) {
    (void)state;
    assert_true(matches("h[ae]llo", "hallo"));
    assert_true(matches("h[ae]llo", "hello"));
    assert_false(matches("h[ae]llo", "hillo"));
    assert_false(matches("h[ae]llo", "hllo"));
    assert_true(matches("h[^e]llo", "hallo"));
    assert_false(matches("h[^e]llo", "hello"));
    assert_false(matches("[^ab]", ""));
    assert_true(matches("[a-c]", "b"));
    assert_true(matches("[c-a]", "b"));
    assert_false(matches("[a-c]", "d"));
    assert_true(matches("[^a-c]", "d"));
    assert_true(matches("[a-cx-z]", "y"));
    assert_true(matches("[0-9][0-9]*", "42nd"));
    assert_true(matches("[\\]]", "]"));
    assert_true(matches("[\\^a]", "^"));
    assert_true(matches("[a\\-z]", "-"));
    assert_false(matches("[a\\-z]", "b"));
    assert_true(matches("[-a]", "-"));
    assert_true(matches("[a^]", "^"));
    assert_true(matches("[\x80-\xFF]", "\xC3"));
    assert_false(matches("[\x80-\xFF]", "a"));
    assert_true(matches("*[0-9]x", "a1b2x"));
}

/* The corners, each as Redis answers it. */
static void test_sets_that_end_oddly(void **state) {
    (void)state;
    assert_false(matches("[]", "a"));
    assert_false(matches("[]", "]"));
    assert_false(matches("[]a]", "a"));
    assert_true(matches("[^]", "a"));
    assert_false(matches("[", "["));
    assert_true(matches("[^", "a"));
    assert_true(matches("[abc", "b"));
    assert_false(matches("[abc", "d"));
    assert_true(matches("[a-", "a"));
    assert_true(matches("[a-", "-"));
    assert_true(matches("[a\\", "\\"));
    assert_false(matches("[abc", "bb"));
    assert_true(matches("[a-]b]", "[b]") == false);
    assert_true(matches("[a-]]", "]")); /* a range from a down to ']': the next ']' ends the set */
    assert_true(matches("[a-]]", "_"));
}

static void test_escapes(void **state) {
    (void)state;
    assert_true(matches("\\*", "*"));
    assert_false(matches("\\*", "a"));
    assert_true(matches("a\\?b", "a?b"));
    assert_false(matches("a\\?b", "axb"));
    assert_true(matches("\\[a]", "[a]"));
    assert_true(matches("\\a", "a"));
    assert_true(matches("\\\\", "\\"));
    assert_true(matches("a\\", "a\\")); /* nothing behind it: itself */
    assert_true(matches("*\\*", "ab*"));
    assert_false(matches("*\\*", "ab"));
}

static void test_case(void **state) {
    (void)state;
    assert_false(matches("HeLLo", "hello"));
    assert_true(matches_nocase("HeLLo", "hEllO"));
    assert_true(matches_nocase("[A-C]", "b"));
    assert_true(matches_nocase("[a-c]", "B"));
    assert_true(matches_nocase("[xY]", "y"));
    assert_false(matches_nocase("[^a-c]", "B"));
    assert_true(matches_nocase("\\A", "a"));
    assert_false(matches_nocase("@", "`"));
    assert_false(matches_nocase("[", "{"));
    assert_false(matches_nocase("\xC4", "\xE4")); /* ASCII only */
}

/* A matcher that tries every star after every other would need more steps here than there are atoms. */
static void test_hostile_patterns_end(void **state) {
    (void)state;
    enum { STARS = 200, BYTES = 20000 };
    static char pattern[2 * STARS + 2], text[BYTES];
    for (size_t i = 0; i < STARS; i++) {
        memcpy(pattern + 2 * i, "a*", 2);
    }
    memset(text, 'a', BYTES);
    pattern[2 * STARS] = 'b';
    struct slice hostile = slice_of(pattern, 2 * STARS + 1);
    assert_false(glob_match(hostile, slice_of(text, BYTES), GLOB_CASE));
    text[BYTES - 1] = 'b';
    assert_true(glob_match(hostile, slice_of(text, BYTES), GLOB_CASE));
}

/* The definition, which takes exponential time: what a pattern of literals, '?', '*' and one set means. */
static bool by_definition(const char *pattern, const char *text) {
    switch (*pattern) {
    case '\0':
        return *text == '\0';
    case '*':
        return by_definition(pattern + 1, text) || (*text != '\0' && by_definition(pattern, text + 1));
    case '?':
        return *text != '\0' && by_definition(pattern + 1, text + 1);
    case '[': /* always [ab] */
        return (*text == 'a' || *text == 'b') && by_definition(pattern + 4, text + 1);
    default:
        return *text == *pattern && by_definition(pattern + 1, text + 1);
    }
}

static void test_agrees_with_the_definition(void **state) {
    (void)state;
    static const char *const elements[] = {"*", "*", "?", "[ab]", "a", "b", "c"};
    struct random random = random_start(__func__);
    int matched = 0;
    for (int i = 0; i < 100000; i++) {
        char pattern[64] = "", text[16] = "";
        for (size_t n = random_below(&random, 8); n > 0; n--) {
            strcat(pattern, elements[random_below(&random, sizeof(elements) / sizeof(elements[0]))]);
        }
        random_bytes_of(&random, text, random_below(&random, 10), "abc", 3);
        bool expected = by_definition(pattern, text);
        if (matches(pattern, text) != expected) {
            fail_msg("\"%s\" against \"%s\" should be %d", pattern, text, expected);
        }
        matched += expected;
    }
    assert_in_range(matched, 10000, 90000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stars_and_question_marks),
        cmocka_unit_test(test_sets),
        cmocka_unit_test(test_sets_that_end_oddly),
        cmocka_unit_test(test_escapes),
        cmocka_unit_test(test_case),
        cmocka_unit_test(test_hostile_patterns_end),
        cmocka_unit_test(test_agrees_with_the_definition),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
