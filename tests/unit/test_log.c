#include "server/log.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* A log into a pipe, and what it wrote. */
struct fixture {
    struct log log;
    int read_fd;
    char text[8192];
};

static int setup(void **state) {
    static struct fixture fixture;
    int ends[2];
    if (pipe(ends) != 0) {
        return -1;
    }
    fixture = (struct fixture){.log = {.level = LOG_INFO, .fd = ends[1]}, .read_fd = ends[0]};
    *state = &fixture;
    return 0;
}

static int teardown(void **state) {
    struct fixture *fixture = *state;
    close(fixture->read_fd);
    close(fixture->log.fd);
    return 0;
}

/* All that has been written; the log's end of the pipe stays open, so an empty pipe must not be read. */
static const char *written(struct fixture *fixture) {
    assert_int_equal(write(fixture->log.fd, "!", 1), 1);
    ssize_t n = read(fixture->read_fd, fixture->text, sizeof(fixture->text) - 1);
    assert_true(n >= 1);
    assert_int_equal(fixture->text[n - 1], '!');
    fixture->text[n - 1] = '\0';
    return fixture->text;
}

static void test_line(void **state) {
    struct fixture *fixture = *state;
    log_write(&fixture->log, LOG_WARN, "listening", "port=%d host=%s", 8000, log_quote("127.0.0.1"));
    const char *line = written(fixture);
    int year, month, day, hour, minute, second, ms, used = 0;
    assert_int_equal(sscanf(line, "time=%4d-%2d-%2dT%2d:%2d:%2d.%3dZ%n", &year, &month, &day, &hour, &minute,
                            &second, &ms, &used),
                     7);
    assert_int_equal(used, (int)strlen("time=2026-01-02T03:04:05.678Z"));
    assert_string_equal(line + used, " level=warn event=listening port=8000 host=127.0.0.1\n");
}

static void test_without_fields(void **state) {
    struct fixture *fixture = *state;
    char none[] = ""; /* not a literal: compilers warn of an empty one */
    log_write(&fixture->log, LOG_ERROR, "stop", none, 0);
    assert_non_null(strstr(written(fixture), " level=error event=stop\n"));
}

static void test_lower_levels_are_not_written(void **state) {
    struct fixture *fixture = *state;
    log_write(&fixture->log, LOG_DEBUG, "detail", "n=%d", 1);
    assert_string_equal(written(fixture), "");
    fixture->log.level = LOG_DEBUG;
    log_write(&fixture->log, LOG_DEBUG, "detail", "n=%d", 1);
    assert_non_null(strstr(written(fixture), "level=debug event=detail n=1\n"));
}

static void test_long_line_is_cut_and_ends(void **state) {
    struct fixture *fixture = *state;
    static char value[6000];
    memset(value, 'x', sizeof(value) - 1);
    errno = EDOM;
    log_write(&fixture->log, LOG_INFO, "long", "value=%s", value);
    assert_int_equal(errno, EDOM);
    const char *line = written(fixture);
    size_t length = strlen(line);
    assert_in_range(length, 4000, 4096);
    assert_ptr_equal(strchr(line, '\n'), line + length - 1);
}

static void test_quoting(void **state) {
    (void)state;
    static const struct {
        const char *value, *quoted;
    } rows[] = {
        {"plain", "plain"},
        {"127.0.0.1:80", "127.0.0.1:80"},
        {"", "\"\""},
        {"two words", "\"two words\""},
        {"a=b", "\"a=b\""},
        {"say \"no\"", "\"say \\\"no\\\"\""},
        {"back\\slash", "\"back\\\\slash\""},
        {"a\nb\r\tc", "\"a\\nb\\r\\tc\""},
        {"\x1b[31m", "\"\\x1b[31m\""},
        {"\x7f\xc3\xa4", "\"\\x7f\\xc3\\xa4\""},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_string_equal(log_quote(rows[i].value), rows[i].quoted);
    }
}

static void test_quoted_values_live_for_eight_calls(void **state) {
    (void)state;
    const char *first = log_quote("first one");
    for (int i = 0; i < 7; i++) {
        log_quote("another");
    }
    assert_string_equal(first, "\"first one\"");
    assert_ptr_equal(log_quote("the ninth"), first);
}

static void test_long_values_are_cut(void **state) {
    (void)state;
    static char value[5000];
    static const char fills[] = {'x', '\n', '\x01'};
    for (size_t i = 0; i < sizeof(fills); i++) {
        memset(value, fills[i], sizeof(value) - 1);
        const char *quoted = log_quote(value);
        size_t length = strlen(quoted);
        assert_in_range(length, 1000, 1023);
        assert_string_equal(quoted + length - 4, "...\"");
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_line, setup, teardown),
        cmocka_unit_test_setup_teardown(test_without_fields, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lower_levels_are_not_written, setup, teardown),
        cmocka_unit_test_setup_teardown(test_long_line_is_cut_and_ends, setup, teardown),
        cmocka_unit_test(test_quoting),
        cmocka_unit_test(test_quoted_values_live_for_eight_calls),
        cmocka_unit_test(test_long_values_are_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
