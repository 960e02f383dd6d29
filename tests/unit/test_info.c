/* What INFO, SLOWLOG and LATENCY tell of what has happened. */
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

int main(void) {
    const struct CMUnitTest tests[] = {
        client_test(test_rates_are_of_the_last_moments),
        client_test(test_the_peak_of_memory),
        client_test(test_commands_processed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
