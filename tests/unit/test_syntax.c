#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server/commands/node/syntax.h"
#include "server/commands/rows.h"

#include <stdio.h>
#include <stdlib.h>

/* --- Reading */

static struct syntax_argument only_argument(const char *text) {
    struct syntax_walk walk = syntax_walk(text);
    struct syntax_argument argument, more;
    assert_true(syntax_next(&walk, &argument));
    assert_false(syntax_next(&walk, &more));
    assert_false(walk.malformed);
    return argument;
}

static void assert_text(struct slice text, const char *expected) {
    assert_int_equal(text.len, strlen(expected));
    assert_memory_equal(text.ptr == NULL ? "" : text.ptr, expected, text.len);
}

static void check_argument(const char *text, enum syntax_type type, const char *token, const char *name) {
    struct syntax_argument argument = only_argument(text);
    assert_int_equal(argument.type, type);
    assert_text(argument.token, token);
    assert_text(argument.name, name);
}

static void test_what_an_argument_is(void **state) {
    (void)state;
    check_argument("value", SYNTAX_STRING, "", "value");
    check_argument("serialized-value", SYNTAX_STRING, "", "serialized-value");
    check_argument("seconds:integer", SYNTAX_INTEGER, "", "seconds");
    check_argument("increment:double", SYNTAX_DOUBLE, "", "increment");
    check_argument("at:unix-time", SYNTAX_UNIX_TIME, "", "at");
    check_argument("destination:key", SYNTAX_KEY, "", "destination");
    check_argument("key", SYNTAX_KEY, "", "key");
    check_argument("key:string", SYNTAX_STRING, "", "key");
    check_argument("pattern", SYNTAX_PATTERN, "", "pattern");
    check_argument("ip:port:string", SYNTAX_STRING, "", "ip:port");
    check_argument("yes/no", SYNTAX_STRING, "", "yes/no");
    check_argument("GET", SYNTAX_PURE_TOKEN, "GET", "GET");
    check_argument("EX seconds:integer", SYNTAX_INTEGER, "EX", "seconds");
    check_argument("LIB-NAME libname", SYNTAX_STRING, "LIB-NAME", "libname");
    check_argument("range(start end)", SYNTAX_BLOCK, "", "range");
    check_argument("ID id(client-id ...)", SYNTAX_BLOCK, "ID", "id");
    check_argument("mode(ON | OFF)", SYNTAX_ONEOF, "", "mode");
    check_argument("a(b(c | d) e)", SYNTAX_BLOCK, "", "a");
    check_argument("a(b(c d) | e)", SYNTAX_ONEOF, "", "a");
}

static void test_what_is_said_of_it(void **state) {
    (void)state;
    struct syntax_argument argument = only_argument("[EX seconds:integer ... @2.6.12 !7.0.0]");
    assert_true(argument.optional && argument.multiple && !argument.multiple_token);
    assert_text(argument.token, "EX");
    assert_text(argument.since, "2.6.12");
    assert_text(argument.deprecated_since, "7.0.0");

    argument = only_argument("PREFIX prefix ++");
    assert_true(!argument.optional && argument.multiple && argument.multiple_token);
    assert_text(argument.since, "");

    argument = only_argument("condition(NX | [XX @1.0] | GT) @7.0.0");
    assert_text(argument.inside, "NX | [XX @1.0] | GT");
    assert_text(argument.since, "7.0.0");
    assert_false(argument.optional || argument.multiple);
}

static void test_walks(void **state) {
    (void)state;
    struct syntax_argument argument, inner;
    struct syntax_walk walk = syntax_walk("key [limit(offset NO ONE count)] [GET]");
    assert_true(syntax_next(&walk, &argument));
    assert_text(argument.name, "key");
    assert_true(syntax_next(&walk, &argument));
    static const char *const names[] = {"offset", "NO", "count"};
    struct syntax_walk inside = syntax_walk_inside(&argument);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        assert_true(syntax_next(&inside, &inner));
        assert_text(inner.name, names[i]);
    }
    assert_text(inner.token, "ONE");
    assert_false(syntax_next(&inside, &inner));
    assert_true(syntax_next(&walk, &argument));
    assert_text(argument.name, "GET");
    assert_false(syntax_next(&walk, &argument));
    assert_false(walk.malformed);
}

static void test_malformed_texts(void **state) {
    (void)state;
    static const char *const texts[] = {
        " ",
        " key",
        "key ",
        "key  value",
        "key\nvalue",
        "[key",
        "key]",
        "[key]]",
        "[]",
        "[key] [",
        "a(",
        "a()",
        "a(b",
        "a(b))",
        "a(b]",
        "[a(b])",
        "a (b)",
        "(a)",
        "TOKEN(a)",
        "TOKEN (a)",
        "TOKEN [a",
        "TOKEN a:float",
        "seconds:",
        "seconds:Integer",
        "seconds:oneof",
        ":integer",
        "ip:port",
        "Key",
        "keyS",
        "9lives",
        "a | b",
        "a(b | )",
        "a( | b)",
        "a(b |c)",
        "a(b| c)",
        "a(b|c)",
        "a(b | c d)",
        "a(b c | d)",
        "a(b (c))",
        "a(b seconds:float)",
        "a(b(c(d | e f)))",
        "key...",
        "key ..",
        "key ... ...",
        "key ++",
        "key @",
        "key @v1",
        "key !",
        "key !1.0 @1.0",
        "key @1.0 ...",
        "[key] ...",
        "A-TOKEN-THAT-IS-LONGER-THAN-TOKENS",
        "a(a(a(a(a(a(a(a(a(b)))))))))",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (syntax_is_well_formed(texts[i])) {
            fail_msg("taken for well-formed: %s", texts[i]);
        }
    }
    assert_true(syntax_is_well_formed(""));
    assert_true(syntax_is_well_formed("a(a(a(a(a(a(a(a(b))))))))"));
}

/* --- Writing */

static struct buf out;

static void check_reply(int version, const char *text, const char *expected) {
    struct resp_reply reply = {.out = &out, .version = version};
    buf_reset(&out);
    syntax_reply(&reply, text, 2);
    assert_text(buf_slice(&out), expected);
}

#define NAME_TYPE(name_bulk, type_bulk) "$4\r\nname\r\n" name_bulk "\r\n$4\r\ntype\r\n" type_bulk "\r\n"

static void test_replies(void **state) {
    (void)state;
    check_reply(2, "", "*0\r\n");
    check_reply(2, "value", "*1\r\n*4\r\n" NAME_TYPE("$5\r\nvalue", "$6\r\nstring"));
    check_reply(3, "value", "*1\r\n%2\r\n" NAME_TYPE("$5\r\nvalue", "$6\r\nstring"));
    check_reply(3, "[GET @6.2.0]",
                "*1\r\n%5\r\n" NAME_TYPE(
                    "$3\r\nget",
                    "$10\r\npure-token") "$5\r\ntoken\r\n$3\r\nGET\r\n"
                                         "$5\r\nsince\r\n$5\r\n6.2.0\r\n$5\r\nflags\r\n~1\r\n+optional\r\n");
    check_reply(2, "[PREFIX prefix ++]",
                "*1\r\n*8\r\n" NAME_TYPE(
                    "$6\r\nprefix",
                    "$6\r\nstring") "$5\r\ntoken\r\n$6\r\nPREFIX\r\n"
                                    "$5\r\nflags\r\n*3\r\n+optional\r\n+multiple\r\n+multiple_token\r\n");
    check_reply(
        3, "filter(ip:port:string !2.8.12 | ID id:integer)",
        "*1\r\n%3\r\n" NAME_TYPE(
            "$6\r\nfilter",
            "$5\r\noneof") "$9\r\narguments\r\n*2\r\n"
                           "%3\r\n" NAME_TYPE(
                               "$7\r\nip:port",
                               "$6\r\nstring") "$16\r\ndeprecated_since\r\n$6\r\n2.8.12\r\n"
                                               "%3\r\n" NAME_TYPE(
                                                   "$2\r\nid", "$7\r\ninteger") "$5\r\ntoken\r\n$2\r\nID\r\n");
    check_reply(
        2, "pair(key value) ...",
        "*1\r\n*8\r\n" NAME_TYPE(
            "$4\r\npair", "$5\r\nblock") "$5\r\nflags\r\n*1\r\n+multiple\r\n"
                                         "$9\r\narguments\r\n*2\r\n"
                                         "*6\r\n" NAME_TYPE("$3\r\nkey",
                                                            "$3\r\nkey") "$14\r\nkey_spec_index\r\n:0\r\n"
                                                                         "*4\r\n" NAME_TYPE("$5\r\nvalue",
                                                                                            "$6\r\nstring"));
}

#define KEY_OF_SPEC(index)                                                                                     \
    "*6\r\n" NAME_TYPE("$3\r\nkey", "$3\r\nkey") "$14\r\nkey_spec_index\r\n:" index "\r\n"

/* Two specifications: the second is for the third key, too. */
static void test_keys_have_specifications_in_turn(void **state) {
    (void)state;
    check_reply(2, "key key key", "*3\r\n" KEY_OF_SPEC("0") KEY_OF_SPEC("1") KEY_OF_SPEC("1"));
}

/* --- What the rows have */

/* How many words a text stands for: at least, and whether that is the number. */
struct words {
    size_t least;
    bool exact;
};

static struct words words_of(struct syntax_walk walk) {
    struct words sum = {0, true};
    struct syntax_argument argument;
    bool first = true;
    while (syntax_next(&walk, &argument)) {
        struct words words = {argument.type != SYNTAX_PURE_TOKEN, true};
        if (argument.inside.len > 0) {
            words = words_of(syntax_walk_inside(&argument));
        }
        words.least += argument.token.len > 0;
        words.exact = words.exact && !argument.optional && !argument.multiple;
        words.least = argument.optional ? 0 : words.least;
        if (!walk.oneof || first) {
            sum.least += words.least;
            sum.exact = sum.exact && words.exact;
        } else {
            sum.exact = sum.exact && words.exact && words.least == sum.least;
            sum.least = words.least < sum.least ? words.least : sum.least;
        }
        first = false;
    }
    return sum;
}

static size_t count_keys(struct syntax_walk walk) {
    size_t count = 0;
    for (struct syntax_argument argument; syntax_next(&walk, &argument);) {
        count += argument.type == SYNTAX_KEY;
        count += count_keys(syntax_walk_inside(&argument));
    }
    return count;
}

static bool is_shown(const struct command *command) { return (command->flags & COMMAND_HIDDEN) == 0; }

static void test_every_row_is_well_formed(void **state) {
    (void)state;
    for (size_t i = 0; i < all_commands.count; i++) {
        const struct command *command = &all_commands.items[i];
        if (!syntax_is_well_formed(command->syntax)) {
            fail_msg("%s: malformed: %s", command->name, command->syntax);
        }
        bool has_keys = command->key_flags[0] != '\0' && strcmp(command->key_flags, "not_key") != 0;
        if ((count_keys(syntax_walk(command->syntax)) > 0) != has_keys) {
            fail_msg("%s: its syntax and its row disagree about keys: %s", command->name, command->syntax);
        }
    }
}

/* Where Redis's own texts are at odds with its arity: the arguments that QUIT ignores and those of the command
 * that GETKEYS is asked about are not told; PFMERGE goes without a source; none of CLIENT KILL's filters has to
 * be there. */
static bool is_at_odds_in_redis(const char *name) {
    static const char *const names[] = {"quit",    "command",    "command|getkeys", "command|getkeysandflags",
                                        "pfmerge", "client|kill"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(names[i], name) == 0) {
            return true;
        }
    }
    return false;
}

static void test_every_row_has_the_arity_that_its_syntax_says(void **state) {
    (void)state;
    for (size_t i = 0; i < all_commands.count; i++) {
        const struct command *command = &all_commands.items[i];
        if (command->run == NULL || !is_shown(command)) {
            continue;
        }
        struct words words = words_of(syntax_walk(command->syntax));
        int least = (int)words.least + ((command->flags & COMMAND_SUBCOMMAND) != 0 ? 2 : 1);
        bool same = command->arity == (words.exact ? least : -least);
        if (same == is_at_odds_in_redis(command->name)) {
            fail_msg("%s: arity %d, by its syntax %d", command->name, command->arity,
                     words.exact ? least : -least);
        }
    }
}

/* "7.0.0 What is new." a line, and at most one "!7.0.0 `OTHER`", the last. */
static void test_every_history_is_well_formed(void **state) {
    (void)state;
    for (size_t i = 0; i < all_commands.count; i++) {
        const struct command *command = &all_commands.items[i];
        struct slice rest = slice_from_text(command->history == NULL ? "" : command->history);
        assert_true(command->history == NULL || rest.len > 0);
        while (rest.len > 0) {
            assert_true(rest.ptr[rest.len - 1] != '\n');
            struct slice text = slice_take_until(&rest, '\n');
            bool deprecates = text.len > 0 && text.ptr[0] == '!';
            text = slice_skip(text, deprecates);
            struct slice version = slice_take_until(&text, ' ');
            int major, minor, patch, n = 0;
            char terminated[16] = "";
            memcpy(terminated, version.ptr, version.len < sizeof(terminated) ? version.len : 0);
            if (sscanf(terminated, "%d.%d.%d%n", &major, &minor, &patch, &n) != 3 || (size_t)n != version.len ||
                text.len == 0 || (deprecates && rest.len > 0)) {
                fail_msg("%s: malformed history: %s", command->name, command->history);
            }
        }
    }
}

/* One complete reply of RESP2 or RESP3, of the types that are in docs. Aborts the test where it is none. */
static struct slice skip_reply(struct slice in) {
    struct slice line = slice_take_until(&in, '\n');
    assert_true(line.len >= 3 && line.ptr[line.len - 1] == '\r');
    size_t n = strtoul(line.ptr + 1, NULL, 10);
    switch (line.ptr[0]) {
    case '+':
    case ':':
        return in;
    case '$':
        assert_true(in.len >= n + 2 && memcmp(in.ptr + n, "\r\n", 2) == 0);
        return slice_skip(in, n + 2);
    case '%':
        n *= 2;
        break;
    default:
        assert_non_null(strchr("*~", line.ptr[0]));
    }
    for (size_t i = 0; i < n; i++) {
        in = skip_reply(in);
    }
    return in;
}

static void test_every_row_is_one_complete_reply(void **state) {
    (void)state;
    for (int version = 2; version <= 3; version++) {
        for (size_t i = 0; i < all_commands.count; i++) {
            struct resp_reply reply = {.out = &out, .version = version};
            buf_reset(&out);
            syntax_reply(&reply, all_commands.items[i].syntax, 1);
            assert_int_equal(skip_reply(buf_slice(&out)).len, 0);
        }
    }
}

static int set_up(void **state) {
    (void)state;
    buf_init(&out, SIZE_MAX);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    buf_deinit(&out);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_an_argument_is),
        cmocka_unit_test(test_what_is_said_of_it),
        cmocka_unit_test(test_walks),
        cmocka_unit_test(test_malformed_texts),
        cmocka_unit_test(test_replies),
        cmocka_unit_test(test_keys_have_specifications_in_turn),
        cmocka_unit_test(test_every_row_is_well_formed),
        cmocka_unit_test(test_every_row_has_the_arity_that_its_syntax_says),
        cmocka_unit_test(test_every_history_is_well_formed),
        cmocka_unit_test(test_every_row_is_one_complete_reply),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
