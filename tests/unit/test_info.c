/* What INFO, SLOWLOG, LATENCY and ACL LOG tell of what has happened. */
#include "tests/unit/resp_clients.h"

/* INFO's section as text; valid until the next one. */
static const char *info(const char *section) {
    static struct buf text;
    buf_deinit(&text);
    buf_init(&text, SIZE_MAX);
    char line[64];
    int n = snprintf(line, sizeof(line), "INFO %s\r\nPING\r\n", section);
    send_bytes(slice_of(line, (size_t)n));
    static const char end[] = "+PONG\r\n";
    for (int64_t until_ms = now_ms() + 5000; now_ms() < until_ms;) {
        receive_bytes(buf_used(&node.received) + 1);
        struct slice got = buf_slice(&node.received);
        if (got.len >= sizeof(end) - 1 && memcmp(got.ptr + got.len - (sizeof(end) - 1), end, 7) == 0) {
            break;
        }
    }
    buf_append_slice(&text, buf_slice(&node.received));
    buf_append_byte(&text, '\0');
    buf_reset(&node.received);
    return buf_slice(&text).ptr;
}

static double info_number(const char *section, const char *field) {
    char line[64];
    snprintf(line, sizeof(line), "\n%s:", field);
    const char *at = strstr(info(section), line);
    assert_non_null(at);
    return strtod(at + strlen(line), NULL);
}

/* Nobody needs to have asked before, and when nothing happens any more it is told. */
static void test_rates_are_of_the_last_moments(void **state) {
    (void)state;
    turn_to('a');
    pass_ms(150);
    for (int i = 0; i < 50; i++) {
        check("PING", "+PONG\r\n");
    }
    pass_ms(150);
    assert_true(info_number("stats", "instantaneous_ops_per_sec") > 0);
    assert_true(info_number("stats", "instantaneous_input_kbps") > 0);
    assert_true(info_number("stats", "instantaneous_output_kbps") > 0);
}

/* A peak between two looks is a peak. */
static void test_the_peak_of_memory(void **state) {
    (void)state;
    says('a', "SETRANGE big 200000 x", ":200001\r\n");
    says('a', "DEL big", ":1\r\n");
    assert_true(info_number("memory", "used_memory_peak") > 200000);
    assert_true(info_number("memory", "used_memory") < 200000);
    says('a', "SETRANGE big 300000 x\r\nFLUSHALL\r\nCONFIG RESETSTAT", ":300001\r\n+OK\r\n+OK\r\n");
    assert_true(info_number("memory", "used_memory_peak") > 300000);
}

/* What was refused was not processed; what EXEC ran was. */
static void test_commands_processed(void **state) {
    (void)state;
    says('a', "CONFIG RESETSTAT", "+OK\r\n");
    turn_to('a');
    assert_true(info_number("stats", "total_commands_processed") == 1); /* the INFO */
    check_contains("NOSUCH", "unknown command");                        /* and ECHO */
    check_contains("GET", "wrong number");                              /* and ECHO */
    says('a', "MULTI\r\nPING\r\nEXEC", "+OK\r\n+QUEUED\r\n*1\r\n+PONG\r\n");
    assert_true(info_number("stats", "total_commands_processed") == 1 + 1 + 2 + 3 + 1);
}

/* A look at a key is a hit or a miss, whatever is asked of it. */
static void test_hits_and_misses(void **state) {
    (void)state;
    static const struct {
        const char *line, *reply;
        int hits, misses;
    } cases[] = {
        {"TYPE k", "+string\r\n", 1, 0},
        {"TYPE none", "+none\r\n", 0, 1},
        {"TTL k", ":-1\r\n", 1, 0},
        {"EXISTS k none", ":1\r\n", 1, 1},
        {"OBJECT ENCODING k", "$6\r\nembstr\r\n", 1, 0},
        {"OBJECT ENCODING none", "$-1\r\n", 0, 1},
        {"BITOP AND d k none", ":1\r\n", 1, 1},
        {"PERSIST k", ":0\r\n", 0, 0},
        {"MSETNX k 1", ":0\r\n", 0, 0},
    };
    says('a', "SET k v", "+OK\r\n");
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        says('a', "CONFIG RESETSTAT", "+OK\r\n");
        says('a', cases[i].line, cases[i].reply);
        const char *stats = info("stats");
        char hits[64];
        snprintf(hits, sizeof(hits), "keyspace_hits:%d\r\nkeyspace_misses:%d\r\n", cases[i].hits,
                 cases[i].misses);
        if (strstr(stats, hits) == NULL) {
            fail_msg("%s: no %s in %s", cases[i].line, hits, stats);
        }
    }
}

static void test_the_mean_ttl(void **state) {
    (void)state;
    says('a', "SET k v\r\nSET a v EX 100\r\nSET b v EX 300", "+OK\r\n+OK\r\n+OK\r\n");
    check_contains("INFO keyspace", "db0:keys=3,expires=2,avg_ttl=");
    double ttl_ms = strtod(strstr(info("keyspace"), "avg_ttl=") + 8, NULL);
    assert_true(ttl_ms > 190000 && ttl_ms <= 200000);
    says('a', "PERSIST a\r\nPERSIST b", ":1\r\n:1\r\n");
    check_contains("INFO keyspace", "db0:keys=3,expires=0,avg_ttl=0\r\n");
}

/* Fields whose value is more than a zero that a tool wants to see. */
static void test_fields_that_tell(void **state) {
    (void)state;
    says('a', "SET k v", "+OK\r\n");
    assert_true(info_number("memory", "mem_clients_normal") >= (double)sizeof(struct client));
    /* Under a sanitizer the allocator tells nothing. */
    double startup = info_number("memory", "used_memory_startup");
    assert_true((startup > 0) == (info_number("memory", "allocator_allocated") > 0));
    double used = info_number("memory", "used_memory"), rss = info_number("memory", "used_memory_rss");
    double ratio = info_number("memory", "mem_fragmentation_ratio");
    assert_true(ratio > rss / used * 0.9 && ratio < rss / used * 1.1);
    assert_true(info_number("stats", "total_reads_processed") >= 5);
    assert_true(info_number("cpu", "used_cpu_user_main_thread") >= 0);
    check_contains("INFO server", "/unit_test_info\r\n");
}

/* Whoever has a command that is not run yet is blocked: by CLIENT PAUSE, too. */
static void test_blocked_clients(void **state) {
    (void)state;
    says('a', "CLIENT PAUSE 60000 WRITE", "+OK\r\n");
    turn_to('b');
    send_bytes(SLICE("SET k v\r\n"));
    hears('b', "");
    turn_to('a');
    assert_true(info_number("clients", "blocked_clients") == 1);
    says('a', "CLIENT UNPAUSE", "+OK\r\n");
    hears('b', "+OK\r\n");
    turn_to('a');
    assert_true(info_number("clients", "blocked_clients") == 0);
}

/* Nothing is saved: every change is one since. */
static void test_changes_since_the_last_save(void **state) {
    (void)state;
    turn_to('a');
    double before = info_number("persistence", "rdb_changes_since_last_save");
    says('a', "SET k v\r\nINCR n\r\nDEL k\r\nCONFIG RESETSTAT", "+OK\r\n:1\r\n:1\r\n+OK\r\n");
    assert_true(info_number("persistence", "rdb_changes_since_last_save") >= before + 3);
}

static void test_time_over_the_limit_of_memory(void **state) {
    (void)state;
    says('a', "SET k v", "+OK\r\n");
    assert_true(info_number("stats", "total_eviction_exceeded_time") == 0);
    says('a', "CONFIG SET maxmemory 1", "+OK\r\n");
    pass_ms(250);
    assert_true(info_number("stats", "current_eviction_exceeded_time") > 0);
    says('a', "CONFIG SET maxmemory 0", "+OK\r\n");
    pass_ms(150);
    assert_true(info_number("stats", "current_eviction_exceeded_time") == 0);
    assert_true(info_number("stats", "total_eviction_exceeded_time") > 0);
}

static void test_stale_keys(void **state) {
    (void)state;
    says('a', "DEBUG SET-ACTIVE-EXPIRE 0\r\nSET a v PX 1\r\nSET b v EX 100", "+OK\r\n+OK\r\n+OK\r\n");
    pass_ms(2);
    assert_true(info_number("stats", "expired_stale_perc") == 50);
}

/* --- SLOWLOG: about the time that work takes, which the system's clock tells. Whatever else is slow on a busy
 * machine may be in it. */

static int set_up_with_the_real_clock(void **state) {
    played_clock.is_real = true;
    return set_up_clients(state);
}

static int tear_down_with_the_real_clock(void **state) {
    int failed = tear_down_clients(state);
    played_clock.is_real = false;
    return failed;
}

/* A quick run of the same command before it tells nothing about this one. */
static void test_slow_commands_are_all_seen(void **state) {
    (void)state;
    says('a', "SETRANGE big 40000000 x\r\nSET small x\r\nBITCOUNT small", ":40000001\r\n+OK\r\n:4\r\n");
    says('a', "CONFIG SET slowlog-log-slower-than 1000\r\nSLOWLOG RESET", "+OK\r\n+OK\r\n");
    says('a', "BITCOUNT big", ":4\r\n");
    check_contains("SLOWLOG GET", "*2\r\n$8\r\nBITCOUNT\r\n$3\r\nbig\r\n");
}

/* SET is sampled, but not when it brings a large value. */
static void test_large_values_are_timed(void **state) {
    (void)state;
    says('a', "CONFIG RESETSTAT\r\nSET a 1", "+OK\r\n+OK\r\n");
    struct command_stat *stat = NULL;
    for (size_t i = 0; i < all_commands.count; i++) {
        if (strcmp(all_commands.items[i].name, "set") == 0) {
            stat = &node.telemetry->commands[i];
        }
    }
    assert_non_null(stat);
    assert_int_equal(stat->timed_calls, 1);
    for (int i = 0; i < 3; i++) {
        says('a', "SET a 1", "+OK\r\n");
    }
    assert_int_equal(stat->timed_calls, 1);
    struct buf command;
    buf_init(&command, SIZE_MAX);
    buf_append_text(&command, "*5\r\n$3\r\nSET\r\n$1\r\na\r\n$65536\r\n");
    memset(buf_reserve(&command, 65536), 'v', 65536);
    buf_commit(&command, 65536);
    buf_append_text(&command, "\r\n$2\r\nEX\r\n$3\r\n100\r\n");
    send_bytes(buf_slice(&command));
    expect_bytes(SLICE("+OK\r\n"));
    buf_deinit(&command);
    assert_int_equal(stat->timed_calls, 2);
    assert_int_equal(stat->calls, 5);
}

/* What is gathered in slices took as long as all of them, and is told with its arguments. */
static void test_the_time_of_a_walk(void **state) {
    (void)state;
    enum { KEYS = 200000 };
    for (int i = 0; i < KEYS; i++) {
        char name[16];
        snprintf(name, sizeof(name), "key:%d", i);
        store_changes(name, "v");
    }
    says('a', "CONFIG SET slowlog-log-slower-than 1000\r\nSLOWLOG RESET", "+OK\r\n+OK\r\n");
    says('a', "KEYS nothing*", "*0\r\n");
    check_contains("SLOWLOG GET", "*2\r\n$4\r\nKEYS\r\n$8\r\nnothing*\r\n");
    says('a', "SLOWLOG RESET\r\nMULTI\r\nKEYS nothing*\r\nEXEC", "+OK\r\n+OK\r\n+QUEUED\r\n*1\r\n*0\r\n");
    check_contains("SLOWLOG GET", "*2\r\n$4\r\nKEYS\r\n$8\r\nnothing*\r\n");
    check_lacks("SLOWLOG GET", "*1\r\n$4\r\nEXEC\r\n"); /* besides */
}

/* --- LATENCY */

/* One run in 64 is timed, and stands for the others. */
static void test_the_histogram_is_of_all_calls(void **state) {
    (void)state;
    says('a', "CONFIG RESETSTAT\r\nSET k v", "+OK\r\n+OK\r\n");
    for (int i = 0; i < 1000; i++) {
        says('a', "GET k", "$1\r\nv\r\n");
    }
    check_contains("LATENCY HISTOGRAM get", "$5\r\ncalls\r\n:1000\r\n");
    check_contains("LATENCY HISTOGRAM get", ":1000\r\n$12\r\nend-of-reply");
}

/* --- ACL LOG */

#define REFUSED "-WRONGPASS invalid username-password pair or user is disabled.\r\n"

static void test_logins_that_were_refused(void **state) {
    (void)state;
    says('a', "ACL LOG", "*0\r\n");
    says('a', "AUTH u p\r\nAUTH u q\r\nAUTH v p\r\nHELLO 3 AUTH u p", REFUSED REFUSED REFUSED REFUSED);
    check_contains("ACL LOG",
                   "*3\r\n*14\r\n$5\r\ncount\r\n:1\r\n$6\r\nreason\r\n$4\r\nauth\r\n$7\r\ncontext\r\n$8\r\n"
                   "toplevel\r\n$6\r\nobject\r\n$5\r\nHELLO\r\n$8\r\nusername\r\n$1\r\nu\r\n$11\r\nage-"
                   "seconds\r\n$");
    check_contains("ACL LOG", "*14\r\n$5\r\ncount\r\n:2\r\n");
    says('a', "AUTH u r", REFUSED); /* like the older one: that is the newest now */
    check_contains("ACL LOG 1", "*1\r\n*14\r\n$5\r\ncount\r\n:3\r\n");
    check_contains("ACL LOG 1", "\r\n$11\r\nclient-info\r\n$");
    says('a', "ACL LOG 0\r\nACL LOG -5", "*0\r\n*0\r\n");
    says('a', "CONFIG SET acllog-max-len 2\r\nAUTH w p", "+OK\r\n" REFUSED);
    check_contains("ACL LOG", "*2\r\n*14\r\n");
    says('a', "ACL LOG RESET\r\nACL LOG", "+OK\r\n*0\r\n");
}

#define real_time_test(function)                                                                               \
    cmocka_unit_test_setup_teardown(function, set_up_with_the_real_clock, tear_down_with_the_real_clock)

int main(void) {
    const struct CMUnitTest tests[] = {
        client_test(test_rates_are_of_the_last_moments),
        client_test(test_the_peak_of_memory),
        client_test(test_commands_processed),
        client_test(test_hits_and_misses),
        client_test(test_the_mean_ttl),
        client_test(test_fields_that_tell),
        client_test(test_blocked_clients),
        client_test(test_changes_since_the_last_save),
        client_test(test_time_over_the_limit_of_memory),
        client_test(test_stale_keys),
        real_time_test(test_slow_commands_are_all_seen),
        client_test(test_large_values_are_timed),
        real_time_test(test_the_time_of_a_walk),
        client_test(test_the_histogram_is_of_all_calls),
        client_test(test_logins_that_were_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
