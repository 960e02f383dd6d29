#include "server/options.h"

#include "server/version.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct options options;
static char message[OPTIONS_MESSAGE_BYTES];

/* The arguments as a shell would split them at blanks. */
static enum options_result parse(const char *command_line) {
    static char text[8192];
    char *argv[64] = {"kvnode"};
    int argc = 1;
    snprintf(text, sizeof(text), "%s", command_line);
    for (char *word = strtok(text, " "); word != NULL; word = strtok(NULL, " ")) {
        argv[argc++] = word;
    }
    return options_parse(argc, argv, &options, message, sizeof(message));
}

static void assert_one_line(void) {
    assert_int_equal(strncmp(message, "kvnode: ", 8), 0);
    assert_null(strchr(message, '\n'));
}

static void assert_wrong(const char *command_line, const char *expected) {
    assert_int_equal(parse(command_line), OPTIONS_WRONG);
    assert_one_line();
    assert_string_equal(message, expected);
}

static void test_defaults(void **state) {
    (void)state;
    assert_int_equal(parse(""), OPTIONS_RUN);
    assert_int_equal(options.port, 8000);
    assert_int_equal(options.api_port, 9000);
    assert_int_equal(options.redis_port, 6379);
    assert_int_equal(options.discovery_port, 7946);
    assert_int_equal(options.group, 0);
    assert_false(options.leader);
    assert_string_equal(options.host, "127.0.0.1");
    assert_string_equal(options.bind, "127.0.0.1");
    assert_string_equal(options.broadcast, "127.255.255.255");
    assert_int_equal(options.backlog_bytes, 64 << 20);
    assert_int_equal(options.maxmemory_bytes, 0);
    assert_string_equal(options.maxmemory_policy, "noeviction");
    assert_int_equal(options.max_clients, 10000);
    assert_int_equal(options.log_level, LOG_INFO);
    assert_int_equal(strlen(options.id), 8);
    assert_int_equal(strspn(options.id, "0123456789abcdef"), 8);

    char id[sizeof(options.id)];
    strcpy(id, options.id);
    assert_int_equal(parse(""), OPTIONS_RUN);
    assert_string_not_equal(options.id, id);
}

static void test_the_specified_command_lines(void **state) {
    (void)state;
    assert_int_equal(parse("-port 8000 -group 0 -leader -api 9000"), OPTIONS_RUN);
    assert_true(options.leader);
    assert_int_equal(options.redis_port, 6379);
    assert_int_equal(parse("-port 8002 -group 0 -api 9002"), OPTIONS_RUN);
    assert_false(options.leader);
    assert_int_equal(options.port, 8002);
    assert_int_equal(options.api_port, 9002);
    assert_int_equal(options.redis_port, 6381);
}

static void test_forms_of_a_flag(void **state) {
    (void)state;
    static const char *const forms[] = {"-port 8123", "--port 8123", "-port=8123", "--port=8123"};
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        assert_int_equal(parse(forms[i]), OPTIONS_RUN);
        assert_int_equal(options.port, 8123);
    }
    assert_int_equal(parse("-leader=true"), OPTIONS_RUN);
    assert_true(options.leader);
    assert_int_equal(parse("--leader --leader=false"), OPTIONS_RUN);
    assert_false(options.leader);
}

static void test_every_value(void **state) {
    (void)state;
    assert_int_equal(parse("-group 16383 -redis 7000 -host localhost -bind 0.0.0.0 -broadcast 10.0.0.255"
                           " -discovery-port 9000 -id node_A-1 -backlog 1m -maxmemory 2G"
                           " -maxmemory-policy noeviction -max-clients 5 -log-level debug"),
                     OPTIONS_RUN);
    assert_int_equal(options.group, 16383);
    assert_int_equal(options.redis_port, 7000);
    assert_string_equal(options.host, "127.0.0.1");
    assert_string_equal(options.bind, "0.0.0.0");
    assert_string_equal(options.broadcast, "10.0.0.255");
    assert_int_equal(options.discovery_port, 9000); /* UDP: no conflict with the API's port */
    assert_string_equal(options.id, "node_A-1");
    assert_int_equal(options.backlog_bytes, 1 << 20);
    assert_int_equal(options.maxmemory_bytes, (size_t)2 << 30);
    assert_int_equal(options.max_clients, 5);
    assert_int_equal(options.log_level, LOG_DEBUG);
}

static void test_sizes(void **state) {
    (void)state;
    static const struct {
        const char *text;
        size_t bytes;
    } rows[] = {
        {"0", 0},        {"17", 17},       {"17b", 17},     {"1k", 1024},     {"2KB", 2048},
        {"3m", 3 << 20}, {"3Mb", 3 << 20}, {"1g", 1 << 30}, {"1gB", 1 << 30}, {"1048576g", (size_t)1 << 50}};
    char line[64];
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        snprintf(line, sizeof(line), "-maxmemory %s", rows[i].text);
        assert_int_equal(parse(line), OPTIONS_RUN);
        assert_int_equal(options.maxmemory_bytes, rows[i].bytes);
    }
    static const char *const bad[] = {
        "k", "1t", "1kk", "-1", "1.5g", "99999999999999999999g", "18446744073709551615g", "1048577g"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        snprintf(line, sizeof(line), "-maxmemory=%s", bad[i]);
        assert_int_equal(parse(line), OPTIONS_WRONG);
        assert_one_line();
    }
}

static void test_wrong(void **state) {
    (void)state;
    static const struct {
        const char *line, *expected;
    } rows[] = {
        {"-foo", "kvnode: unknown flag -foo (see kvnode -help)"},
        {"--foo=1", "kvnode: unknown flag -foo (see kvnode -help)"},
        {"-foo\nbar", "kvnode: unknown flag -foo?bar (see kvnode -help)"},
        {"8000", "kvnode: unexpected argument 8000 (see kvnode -help)"},
        {"-", "kvnode: unexpected argument - (see kvnode -help)"},
        {"--", "kvnode: unexpected argument -- (see kvnode -help)"},
        {"-port", "kvnode: -port wants a value: PORT"},
        {"-port 0", "kvnode: -port: 0 is out of range (1 to 65535)"},
        {"-port 65536", "kvnode: -port: 65536 is out of range (1 to 65535)"},
        {"-port 80x", "kvnode: -port: 80x is not a number"},
        {"-port=", "kvnode: -port:  is not a number"},
        {"-group 16384", "kvnode: -group: 16384 is out of range (0 to 16383)"},
        {"-backlog 1k", "kvnode: -backlog: 1k is out of range (16384 to 1099511627776)"},
        {"-maxmemory much", "kvnode: -maxmemory: much is not a size (a number, perhaps with k, m or g)"},
        {"-leader=yes", "kvnode: -leader: yes is neither true nor false"},
        {"-id a|b", "kvnode: -id: a|b has other characters than A-Z a-z 0-9 _ -"},
        {"-id=", "kvnode: -id: a value of 1 to 40 bytes is wanted"},
        {"-id 12345678901234567890123456789012345678901", "kvnode: -id: a value of 1 to 40 bytes is wanted"},
        {"-log-level loud", "kvnode: -log-level: loud is none of debug, info, warn, error"},
        {"-maxmemory-policy best",
         "kvnode: -maxmemory-policy: best is no policy (allkeys-lru, volatile-ttl and noeviction are some)"},
        {"-timeout soon", "kvnode: -timeout: argument couldn't be parsed into an integer"},
        {"-hz", "kvnode: -hz wants a value"},
        {"-databases 2", "kvnode: -databases: can't set immutable config"},
        {"-port 1000", "kvnode: -redis must be given: its default, -port - 8000 + 6379, would be -621"},
        {"-port 9000", "kvnode: -port and -api are the same port, 9000"},
        {"-redis 9000", "kvnode: -api and -redis are the same port, 9000"},
        {"-redis 8000", "kvnode: -port and -redis are the same port, 8000"},
        {"-host 0.0.0.0", "kvnode: -host: 0.0.0.0 is not an address that others can reach; -bind may be it"},
        {"-host 192.0.2.77", "kvnode: no interface with a broadcast address has 192.0.2.77: give -broadcast"},
        {"-broadcast here", "kvnode: -broadcast: here is not an address in numbers"},
        {"-config /nonexistent/kvnode.conf",
         "kvnode: -config: cannot read /nonexistent/kvnode.conf: No such file or directory"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_wrong(rows[i].line, rows[i].expected);
    }
    assert_int_equal(parse("-port 1000 -redis 6379"), OPTIONS_RUN);
    assert_int_equal(parse("-host 192.0.2.77 -broadcast 192.0.2.255"), OPTIONS_RUN);
    assert_string_equal(options.bind, "192.0.2.77");
}

static void test_version_and_help(void **state) {
    (void)state;
    assert_int_equal(parse("-version"), OPTIONS_EXIT);
    assert_string_equal(message, "kvnode " KVNODE_VERSION "\n");
    assert_int_equal(parse("--help"), OPTIONS_EXIT);
    static const char *const flags[] = {
        "-port PORT",     "-group N",           "-leader", "-api PORT",     "-redis PORT",  "-host HOST",
        "-bind HOST",     "-broadcast ADDRESS", "-id ID",  "-backlog SIZE", "-config FILE", "-maxmemory SIZE",
        "-max-clients N", "-log-level LEVEL"};
    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
        assert_non_null(strstr(message, flags[i]));
    }
    assert_true(strlen(message) < sizeof(message) - 1);
    /* A short buffer is never overrun. */
    char *argv[] = {"kvnode", "-help"};
    char small[40];
    assert_int_equal(options_parse(2, argv, &options, small, sizeof(small)), OPTIONS_EXIT);
    assert_true(strlen(small) < sizeof(small));
}

/* --- the config file */

static char path[64];

static int setup_file(void **state) {
    (void)state;
    strcpy(path, "/tmp/kvnode-options-XXXXXX");
    int fd = mkstemp(path);
    return fd < 0 ? -1 : close(fd);
}

static int teardown_file(void **state) {
    (void)state;
    return unlink(path);
}

static enum options_result parse_with_bytes(const char *content, size_t n, const char *more) {
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(content, 1, n, file), n);
    fclose(file);
    char line[256];
    snprintf(line, sizeof(line), "-config %s %s", path, more);
    return parse(line);
}

static enum options_result parse_with_file(const char *content, const char *more) {
    return parse_with_bytes(content, strlen(content), more);
}

static void test_file(void **state) {
    (void)state;
    assert_int_equal(parse_with_file("# a node\n\nport 8005\n  api\t9005  # its API\r\nleader\nid n#1\nid n1\n"
                                     "maxmemory 1g",
                                     ""),
                     OPTIONS_WRONG); /* n#1: only a # after a blank begins a comment */
    assert_non_null(strstr(message, ":6: -id: n#1 has other characters"));
    assert_int_equal(
        parse_with_file("# a node\n\nport 8005\n  api\t9005  # its API\r\nleader\nid n1\nmaxmemory 1g", ""),
        OPTIONS_RUN);
    assert_int_equal(options.port, 8005);
    assert_int_equal(options.api_port, 9005);
    assert_int_equal(options.redis_port, 6384);
    assert_true(options.leader);
    assert_string_equal(options.id, "n1");
    assert_int_equal(options.maxmemory_bytes, 1 << 30);
    assert_string_equal(options.config_file, path);
}

static void test_command_line_wins_over_file(void **state) {
    (void)state;
    assert_int_equal(parse_with_file("port 8005\nleader\nport 8006\n", "-leader=false -api 9123"), OPTIONS_RUN);
    assert_int_equal(options.port, 8006);
    assert_int_equal(options.api_port, 9123);
    assert_false(options.leader);
}

static void test_file_errors_name_the_line(void **state) {
    (void)state;
    static const struct {
        const char *content, *tail;
    } rows[] = {
        {"port 8005\nprot 8006\n", ":2: unknown option prot (see kvnode -help)"},
        {"port\n", ":1: -port wants a value: PORT"},
        {"\n\nport x\n", ":3: -port: x is not a number"},
        {"config other\n", ":1: unknown option config (see kvnode -help)"},
        {"help\n", ":1: unknown option help (see kvnode -help)"},
        {"leader maybe\n", ":1: -leader: maybe is neither true nor false"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char expected[256];
        snprintf(expected, sizeof(expected), "kvnode: %s%s", path, rows[i].tail);
        assert_int_equal(parse_with_file(rows[i].content, ""), OPTIONS_WRONG);
        assert_one_line();
        assert_string_equal(message, expected);
    }
    static const char nul[] = "port 8005\nleader\0 false\nid n1\n";
    assert_int_equal(parse_with_bytes(nul, sizeof(nul) - 1, ""), OPTIONS_WRONG);
    assert_one_line();
    assert_non_null(strstr(message, ":2: there is a NUL byte in the line"));
    assert_int_equal(parse_with_bytes("\0", 1, ""), OPTIONS_WRONG);
    assert_non_null(strstr(message, ":1: there is a NUL byte in the line"));
    static char longest[20000];
    memset(longest, 'x', sizeof(longest) - 1);
    assert_int_equal(parse_with_file(longest, ""), OPTIONS_WRONG);
    assert_non_null(strstr(message, ":1: the line is too long"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_the_specified_command_lines),
        cmocka_unit_test(test_forms_of_a_flag),
        cmocka_unit_test(test_every_value),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_wrong),
        cmocka_unit_test(test_version_and_help),
        cmocka_unit_test_setup_teardown(test_file, setup_file, teardown_file),
        cmocka_unit_test_setup_teardown(test_command_line_wins_over_file, setup_file, teardown_file),
        cmocka_unit_test_setup_teardown(test_file_errors_name_the_line, setup_file, teardown_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
