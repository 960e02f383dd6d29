/* The rows of metrics.def: each can be shown to Prometheus and, where it says so, in INFO. */
#include "tests/unit/resp_fixture.h"

#include "server/metrics.h"

static bool ends_with(const char *text, const char *end) {
    size_t length = strlen(text), n = strlen(end);
    return length >= n && strcmp(text + length - n, end) == 0;
}

/* Base units stand in the name; what only grows is a _total. */
static void test_names(void **state) {
    (void)state;
    static const char *const units[] = {
        [METRIC_COUNT] = "",           [METRIC_BYTES] = "_bytes",          [METRIC_SIZE] = "_bytes",
        [METRIC_SECONDS] = "_seconds", [METRIC_MILLISECONDS] = "_seconds", [METRIC_MICROSECONDS] = "_seconds",
        [METRIC_RATIO] = "_ratio",     [METRIC_PERCENT] = "_ratio",
    };
    for (int i = 0; i < METRICS; i++) {
        const struct metric_row *row = metrics_row((enum metric)i);
        if (row->kind != METRIC_COUNTER && row->kind != METRIC_GAUGE) {
            assert_null(row->name);
            continue;
        }
        char end[32];
        bool counts = row->kind == METRIC_COUNTER;
        snprintf(end, sizeof(end), "%s%s", units[row->unit], counts ? "_total" : "");
        if (strncmp(row->name, "kvnode_", 7) != 0 || !ends_with(row->name, end) ||
            ends_with(row->name, "_total") != counts ||
            strspn(row->name, "abcdefghijklmnopqrstuvwxyz0123456789_") != strlen(row->name)) {
            fail_msg("%s: %s does not end in %s, or is no name", row->field, row->name, end);
        }
        assert_true(row->help[0] != '\0');
        for (int k = 0; k < i; k++) {
            const char *other = metrics_row((enum metric)k)->name;
            assert_false(other != NULL && strcmp(other, row->name) == 0);
        }
    }
}

/* Once in INFO, with a number (a text where kvnode has nothing of it). */
static void test_info(void **state) {
    (void)state;
    send_bytes(SLICE("INFO everything\r\nPING\r\n"));
    for (int64_t until_ms = now_ms() + 5000; now_ms() < until_ms;) {
        receive_bytes(buf_used(&node.received) + 1);
        struct slice got = buf_slice(&node.received);
        if (got.len > 7 && memcmp(got.ptr + got.len - 7, "+PONG\r\n", 7) == 0) {
            break;
        }
    }
    buf_append_byte(&node.received, '\0');
    const char *info = buf_slice(&node.received).ptr;
    for (int i = 0; i < METRICS; i++) {
        const struct metric_row *row = metrics_row((enum metric)i);
        char line[64];
        snprintf(line, sizeof(line), "\n%s:", row->field);
        const char *at = strstr(info, line);
        if ((at != NULL) != (row->section != METRIC_IN_NOWHERE) ||
            (at != NULL && strstr(at + 1, line) != NULL)) {
            fail_msg("%s is not once in INFO", row->field);
        }
        if (at != NULL && row->is_status) {
            assert_int_equal(strncmp(at + strlen(line), "ok\r", 3), 0);
        } else if (at != NULL && row->kind != METRIC_NOTHING) {
            char *end;
            strtod(at + strlen(line), &end);
            assert_true(end > at + strlen(line) && (*end == '\r' || *end == '%'));
        }
    }
    buf_reset(&node.received);
}

static void test_values(void **state) {
    (void)state;
    struct metrics metrics;
    check("SET k v", "+OK\r\n");
    check("GET k", "$1\r\nv\r\n");
    check("GET none", "$-1\r\n");
    metrics_read(&node.context, &metrics);
    assert_int_equal(metrics_integer(&metrics, METRIC_keys), 1);
    assert_int_equal(metrics_integer(&metrics, METRIC_keyspace_hits), 1);
    assert_int_equal(metrics_integer(&metrics, METRIC_keyspace_misses), 1);
    assert_int_equal(metrics_integer(&metrics, METRIC_used_memory_dataset),
                     (int64_t)keyspace_used_bytes(node.keyspace));
    assert_true(metrics_real(&metrics, METRIC_used_memory_peak_perc) > 0);
    assert_true(metrics_real(&metrics, METRIC_keys) == 1);
}

int main(void) {
#define test(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
    const struct CMUnitTest tests[] = {test(test_names), test(test_info), test(test_values)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
