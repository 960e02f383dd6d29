#include "server/net/socket.h"
#include "server/options.h"
#include "server/store/eviction.h"

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
    assert_int_equal(options.settings.port, 8000);
    assert_int_equal(options.settings.api_port, 9000);
    assert_int_equal(options.settings.redis_port, 6379);
    assert_int_equal(options.settings.discovery_port, 7946);
    assert_int_equal(options.settings.group, 0);
    assert_false(options.settings.leader);
    assert_string_equal(options.settings.host, "127.0.0.1");
    assert_string_equal(options.settings.bind, "127.0.0.1,-::1"); /* `localhost` is ::1 for many programs */
    assert_int_equal(options.settings.announce_port, 8000);
    assert_int_equal(options.settings.announce_api_port, 9000);
    assert_int_equal(options.settings.announce_redis_port, 6379);
    assert_string_equal(options.warning, "");
    assert_string_equal(options.settings.broadcast, "127.255.255.255");
    assert_int_equal(options.settings.backlog_bytes, 64 << 20);
    assert_int_equal(options.settings.maxmemory_bytes, 0);
    assert_int_equal(options.settings.maxmemory_policy, EVICTION_NOEVICTION);
    assert_int_equal(options.settings.maxclients, 10000);
    assert_int_equal(settings_log_level(&options.settings), LOG_INFO);
    assert_int_equal(strlen(options.settings.id), 8);
    assert_int_equal(strspn(options.settings.id, "0123456789abcdef"), 8);

    char id[sizeof(options.settings.id)];
    strcpy(id, options.settings.id);
    assert_int_equal(parse(""), OPTIONS_RUN);
    assert_string_not_equal(options.settings.id, id);
}

static void test_the_specified_command_lines(void **state) {
    (void)state;
    assert_int_equal(parse("-port 8000 -group 0 -leader -api 9000"), OPTIONS_RUN);
    assert_true(options.settings.leader);
    assert_int_equal(options.settings.redis_port, 6379);
    assert_int_equal(parse("-port 8002 -group 0 -api 9002"), OPTIONS_RUN);
    assert_false(options.settings.leader);
    assert_int_equal(options.settings.port, 8002);
    assert_int_equal(options.settings.api_port, 9002);
    assert_int_equal(options.settings.redis_port, 6381);
}

static void test_tools(void **state) {
    (void)state;
    assert_int_equal(parse("-check dir"), OPTIONS_TOOL);
    assert_int_equal(options.tool.tool, TOOL_CHECK);
    assert_string_equal(options.tool.from, "dir");
    assert_int_equal(parse("-import - -to http://h:1 -skip-other-types"), OPTIONS_TOOL);
    assert_int_equal(options.tool.tool, TOOL_IMPORT);
    assert_string_equal(options.tool.from, "-");
    assert_string_equal(options.tool.to, "http://h:1");
    assert_true(options.tool.skip_other_types);
    assert_int_equal(parse("-import f -data d -port 70"), OPTIONS_TOOL); /* no RESP port goes with that */
    assert_wrong("-check a -export b",
                 "kvnode: -check, -export, -force-voters, -forget-form, -import and -repair are one at a time");
    assert_wrong("-to http://h:1", "kvnode: -to and -skip-other-types go with -import");
    assert_int_equal(parse("-repair a b"), OPTIONS_TOOL);
    assert_string_equal(options.tool.to, "b");
    assert_wrong("-repair a", "kvnode: -repair wants DIR and NEWDIR");
    assert_wrong("-repair a b c", "kvnode: unexpected argument c (see kvnode -help)");
    assert_int_equal(parse("-force-voters a,b d"), OPTIONS_TOOL);
    assert_int_equal(options.tool.tool, TOOL_FORCE_VOTERS);
    assert_string_equal(options.tool.from, "a,b");
    assert_string_equal(options.tool.to, "d");
    assert_wrong("-force-voters a,b", "kvnode: -force-voters wants ids, and DIR");
    assert_wrong("-force-voters a,b d e", "kvnode: unexpected argument e (see kvnode -help)");
    assert_int_equal(parse("-forget-form d"), OPTIONS_TOOL);
    assert_int_equal(options.tool.tool, TOOL_FORGET_FORM);
    assert_wrong("-forget-form d e", "kvnode: unexpected argument e (see kvnode -help)");
    assert_wrong("-forget-form d -to e", "kvnode: -to and -skip-other-types go with -import");
    assert_wrong("-import f", "kvnode: -import wants either -to http://HOST:PORT, or -data DIR with a new DIR");
    assert_wrong("-import f -data d -to http://h:1",
                 "kvnode: -import wants either -to http://HOST:PORT, or -data DIR with a new DIR");
    assert_int_equal(parse(""), OPTIONS_RUN);
    assert_int_equal(options.tool.tool, TOOL_NONE);
}

static void test_forms_of_a_flag(void **state) {
    (void)state;
    static const char *const forms[] = {"-port 8123", "--port 8123", "-port=8123", "--port=8123"};
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        assert_int_equal(parse(forms[i]), OPTIONS_RUN);
        assert_int_equal(options.settings.port, 8123);
    }
    assert_int_equal(parse("-leader=true"), OPTIONS_RUN);
    assert_true(options.settings.leader);
    assert_int_equal(parse("-leader -port 8001"), OPTIONS_RUN); /* takes no value but by = */
    assert_true(options.settings.leader);
    assert_int_equal(parse("--leader --leader=false"), OPTIONS_RUN);
    assert_false(options.settings.leader);
}

static void test_every_value(void **state) {
    (void)state;
    assert_int_equal(parse("-group 16383 -redis 7000 -host localhost -bind 0.0.0.0 -broadcast 10.0.0.255"
                           " -discovery-port 9000 -id node_A-1 -backlog 1mb -maxmemory 2GB"
                           " -maxmemory-policy allkeys-lru -max-clients 5 -log-level debug"),
                     OPTIONS_RUN);
    assert_int_equal(options.settings.group, 16383);
    assert_int_equal(options.settings.redis_port, 7000);
    assert_string_equal(options.settings.host, "127.0.0.1");
    assert_string_equal(options.settings.bind, "0.0.0.0");
    assert_string_equal(options.settings.broadcast, "10.0.0.255");
    assert_int_equal(options.settings.discovery_port, 9000); /* UDP: no conflict with the API's port */
    assert_string_equal(options.settings.id, "node_A-1");
    assert_int_equal(options.settings.backlog_bytes, 1 << 20);
    assert_int_equal(options.settings.maxmemory_bytes, (size_t)2 << 30);
    assert_int_equal(options.settings.maxmemory_policy, EVICTION_ALLKEYS_LRU);
    assert_int_equal(options.settings.maxclients, 5);
    assert_int_equal(settings_log_level(&options.settings), LOG_DEBUG);
}

/* A flag goes before a parameter of that name: -port is the replication port, and CONFIG's "port" is -redis. */
static void test_either_name(void **state) {
    (void)state;
    assert_int_equal(parse("-port 8010 -replication-port 8011 -redis 7011 -maxclients 7 -loglevel warning"),
                     OPTIONS_RUN);
    assert_int_equal(options.settings.port, 8011);
    assert_int_equal(options.settings.redis_port, 7011);
    assert_int_equal(options.settings.maxclients, 7);
    assert_int_equal(settings_log_level(&options.settings), LOG_WARN);
}

static void test_sizes(void **state) {
    (void)state;
    static const struct {
        const char *text;
        size_t bytes;
    } rows[] = {
        {"0", 0},        {"17", 17},       {"17b", 17},        {"1k", 1000},     {"2KB", 2048},
        {"3m", 3000000}, {"3Mb", 3 << 20}, {"1g", 1000000000}, {"1gB", 1 << 30}, {"1048576gb", (size_t)1 << 50},
    };
    char line[64];
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        snprintf(line, sizeof(line), "-maxmemory %s", rows[i].text);
        assert_int_equal(parse(line), OPTIONS_RUN);
        assert_int_equal(options.settings.maxmemory_bytes, rows[i].bytes);
    }
    static const char *const bad[] = {
        "k", "1t", "1kk", "-1", "1.5g", "99999999999999999999g", "9223372036854775807kb"};
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
        {"-port 0", "kvnode: -port 0: argument must be between 1 and 65535 inclusive"},
        {"-port 65536", "kvnode: -port 65536: argument must be between 1 and 65535 inclusive"},
        {"-port 80x", "kvnode: -port 80x: argument couldn't be parsed into an integer"},
        {"-port=", "kvnode: -port wants a value: PORT"},
        {"-group 16384", "kvnode: -group 16384: argument must be between 0 and 16383 inclusive"},
        {"-backlog 1k", "kvnode: -backlog 1k: argument must be between 16384 and 1099511627776 inclusive"},
        {"-maxmemory much", "kvnode: -maxmemory much: argument must be a memory value"},
        {"-leader=maybe", "kvnode: -leader maybe: argument must be 'yes' or 'no'"},
        {"-id a|b", "kvnode: -id a|b: argument must have only A-Z a-z 0-9 _ -"},
        {"-id=", "kvnode: -id wants a value: ID"},
        {"-id 12345678901234567890123456789012345678901",
         "kvnode: -id 12345678901234567890123456789012345678901: argument must be 1 to 40 bytes"},
        {"-log-level loud", "kvnode: -log-level loud: argument(s) must be one of the following: debug, "
                            "verbose, notice, warning, nothing, info, warn, error"},
        {"-maxmemory-policy best",
         "kvnode: -maxmemory-policy best: argument(s) must be one of the following: volatile-lru, "
         "volatile-lfu, volatile-random, volatile-ttl, allkeys-lru, allkeys-lfu, allkeys-random, noeviction"},
        {"-timeout soon", "kvnode: -timeout soon: argument couldn't be parsed into an integer"},
        {"-hz", "kvnode: -hz wants a value: N"},
        {"-requirepass=", "kvnode: -requirepass wants a value: PASSWORD"},
        {"-databases 2", "kvnode: -databases 2: can't set immutable config"},
        {"-port 1000", "kvnode: -redis must be given: its default, -port - 8000 + 6379, would be -621"},
        {"-port 9000", "kvnode: -port and -api are the same port, 9000"},
        {"-redis 9000", "kvnode: -api and -redis are the same port, 9000"},
        {"-redis 8000", "kvnode: -port and -redis are the same port, 8000"},
        {"-host 0.0.0.0", "kvnode: -host: 0.0.0.0 is not an address that others can reach; -bind may be it"},
        {"-host 192.0.2.77", "kvnode: no interface with a broadcast address has 192.0.2.77: give -broadcast"},
        {"-host 255.255.255.255",
         "kvnode: -host: 255.255.255.255 is not an address that others can reach; -bind may be it"},
        {"-bind 127.0.0.1,256.1.1.1",
         "kvnode: -bind: 256.1.1.1 is no address, host name or interface of an address"},
        {"-broadcast here", "kvnode: -broadcast: here is not an address in numbers"},
        {"-config /nonexistent/kvnode.conf",
         "kvnode: -config: cannot read /nonexistent/kvnode.conf: No such file or directory"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_wrong(rows[i].line, rows[i].expected);
    }
    assert_int_equal(parse("-port 1000 -redis 6379"), OPTIONS_RUN);
    assert_int_equal(parse("-host 192.0.2.77 -broadcast 192.0.2.255"), OPTIONS_RUN);
    assert_string_equal(options.settings.bind, "192.0.2.77");
}

/* Which address others are told, when nobody has said it. */
static void test_where_am_i(void **state) {
    (void)state;
    assert_int_equal(parse("-bind 127.0.0.2,127.0.0.1"), OPTIONS_RUN);
    assert_string_equal(options.settings.host, "127.0.0.2");
    assert_string_equal(options.settings.bind, "127.0.0.2,127.0.0.1");
    assert_int_equal(parse("-bind=-::1,localhost"), OPTIONS_RUN);
    assert_string_equal(options.settings.host, "127.0.0.1");
    assert_string_equal(options.settings.bind, "-::1,127.0.0.1");
    assert_int_equal(parse("-host 127.0.0.3 -bind 0.0.0.0,::"), OPTIONS_RUN);
    assert_string_equal(options.settings.host, "127.0.0.3");
    assert_string_equal(options.settings.bind, "0.0.0.0,::");
    assert_string_equal(options.warning, "");

    char only[LIMIT_HOST_BYTES + 1], all[256];
    size_t count = socket_machine_addresses(only, all, sizeof(all));
    if (count > 1) {
        char expected[512];
        snprintf(expected, sizeof(expected),
                 "kvnode: -bind 0.0.0.0: give -host, the address that others are told; this machine has %s",
                 all);
        assert_wrong("-bind 0.0.0.0", expected);
        return;
    }
    assert_int_equal(parse("-bind 0.0.0.0 -broadcast 127.255.255.255"), OPTIONS_RUN);
    assert_string_equal(options.settings.host, count == 1 ? only : "127.0.0.1");
    assert_non_null(strstr(options.warning, "-bind 0.0.0.0 without -host: "));
    assert_non_null(strstr(options.warning, options.settings.host));
}

static void test_announced_ports(void **state) {
    (void)state;
    assert_int_equal(parse("-announce-port 1 -announce-api 2 -announce-redis 3"), OPTIONS_RUN);
    assert_int_equal(options.settings.port, 8000);
    assert_int_equal(options.settings.announce_port, 1);
    assert_int_equal(options.settings.announce_api_port, 2);
    assert_int_equal(options.settings.announce_redis_port, 3);
    assert_wrong("-announce-port 0",
                 "kvnode: -announce-port 0: argument must be between 1 and 65535 inclusive");
    assert_wrong("-announce-api 8000", "kvnode: -port and -announce-api are the same port, 8000");
    assert_wrong("-announce-port 3 -announce-redis 3",
                 "kvnode: -announce-port and -announce-redis are the same port, 3");
}

static void test_version_and_help(void **state) {
    (void)state;
    assert_int_equal(parse("-version"), OPTIONS_EXIT);
    assert_string_equal(message, "kvnode " KVNODE_VERSION "\n");
    assert_int_equal(parse("--help"), OPTIONS_EXIT);
    for (size_t i = 0; i < settings_count(); i++) {
        const struct setting *setting = settings_at(i);
        char line[128];
        snprintf(line, sizeof(line), "\n  -%s %s", setting_flag(setting), setting->unit);
        assert_int_equal(strstr(message, line) != NULL, setting->kind != SETTING_KIND_CONSTANT);
    }
    assert_non_null(strstr(message, "\n  -config FILE "));
    assert_non_null(strstr(message, "(64mb)\n"));
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
                                     "maxmemory 1gb",
                                     ""),
                     OPTIONS_WRONG); /* n#1: only a # after a blank begins a comment */
    assert_non_null(strstr(message, ":6: -id n#1: argument must have only"));
    assert_int_equal(
        parse_with_file("# a node\n\nport 8005\n  api\t9005  # its API\r\nleader\nid n1\nmaxmemory 1gb", ""),
        OPTIONS_RUN);
    assert_int_equal(options.settings.port, 8005);
    assert_int_equal(options.settings.api_port, 9005);
    assert_int_equal(options.settings.redis_port, 6384);
    assert_true(options.settings.leader);
    assert_string_equal(options.settings.id, "n1");
    assert_int_equal(options.settings.maxmemory_bytes, 1 << 30);
    assert_string_equal(options.config_file, path);
    assert_int_equal(parse_with_file("latency-tracking-info-percentiles \"\"\nrequirepass \"\" # none", ""),
                     OPTIONS_RUN);
    assert_int_equal(options.settings.percentiles.count, 0);
    assert_int_equal(options.settings.requirepass.length, 0);
}

static void test_command_line_wins_over_file(void **state) {
    (void)state;
    assert_int_equal(parse_with_file("port 8005\nleader\nport 8006\n", "-leader=false -api 9123"), OPTIONS_RUN);
    assert_int_equal(options.settings.port, 8006);
    assert_int_equal(options.settings.api_port, 9123);
    assert_false(options.settings.leader);
}

static void test_file_errors_name_the_line(void **state) {
    (void)state;
    static const struct {
        const char *content, *tail;
    } rows[] = {
        {"port 8005\nprot 8006\n", ":2: unknown option prot (see kvnode -help)"},
        {"port\n", ":1: -port wants a value: PORT"},
        {"\n\nport x\n", ":3: -port x: argument couldn't be parsed into an integer"},
        {"config other\n", ":1: unknown option config (see kvnode -help)"},
        {"help\n", ":1: unknown option help (see kvnode -help)"},
        {"leader maybe\n", ":1: -leader maybe: argument must be 'yes' or 'no'"},
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
        cmocka_unit_test(test_tools),
        cmocka_unit_test(test_forms_of_a_flag),
        cmocka_unit_test(test_every_value),
        cmocka_unit_test(test_either_name),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_wrong),
        cmocka_unit_test(test_where_am_i),
        cmocka_unit_test(test_announced_ports),
        cmocka_unit_test(test_version_and_help),
        cmocka_unit_test_setup_teardown(test_file, setup_file, teardown_file),
        cmocka_unit_test_setup_teardown(test_command_line_wins_over_file, setup_file, teardown_file),
        cmocka_unit_test_setup_teardown(test_file_errors_name_the_line, setup_file, teardown_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
