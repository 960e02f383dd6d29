/* The table of parameters: what each kind takes and gives. Reasons are redis-server 7.0's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server/password.h"

static struct settings settings;

static int set_up(void **state) {
    (void)state;
    settings_init(&settings);
    return 0;
}

static const struct setting *named(const char *name) {
    const struct setting *setting = settings_find(slice_from_text(name));
    assert_non_null(setting);
    return setting;
}

static void gives(const char *name, const char *value) {
    struct buf out;
    buf_init(&out, SIZE_MAX);
    setting_write(named(name), &settings, &out);
    buf_append_byte(&out, '\0');
    assert_string_equal(buf_slice(&out).ptr, value);
    buf_deinit(&out);
}

static void takes(const char *name, const char *text, const char *value) {
    char reason[256] = "";
    if (!setting_parse(named(name), slice_from_text(text), &settings, reason, sizeof(reason))) {
        fail_msg("%s %s: %s", name, text, reason);
    }
    gives(name, value);
}

/* Nothing changes, and this is why. */
static void refuses(const char *name, const char *text, const char *why) {
    char reason[256] = "";
    struct settings before = settings;
    assert_false(setting_parse(named(name), slice_from_text(text), &settings, reason, sizeof(reason)));
    assert_string_equal(reason, why);
    assert_memory_equal(&before, &settings, sizeof(settings));
}

/* What start-up finds by itself has no default. */
static bool is_left_to_start_up(const struct setting *setting) {
    return setting->effect == SETTING_AT_START && setting->initial[0] == '\0';
}

static void test_rows(void **state) {
    (void)state;
    for (size_t i = 0; i < settings_count(); i++) {
        const struct setting *setting = settings_at(i);
        struct buf value;
        char reason[256];
        buf_init(&value, SIZE_MAX);
        setting_write(setting, &settings, &value);
        assert_true(setting_parse(setting, buf_slice(&value), &settings, reason, sizeof(reason)) ||
                    is_left_to_start_up(setting));
        assert_ptr_equal(settings_find(slice_from_text(setting->name)), setting);
        assert_ptr_equal(settings_find_flag(slice_from_text(setting_flag(setting))), setting);
        assert_true(setting->kind == SETTING_KIND_CONSTANT || setting->help[0] != '\0');
        buf_deinit(&value);
    }
    gives("slowlog-log-slower-than", "10000");
    gives("proto-max-bulk-len", "536870912");
    gives("client-output-buffer-limit", "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60");
    assert_null(settings_find(SLICE("nosuch")));
    assert_null(settings_find(SLICE("")));
}

static void test_numbers_and_sizes(void **state) {
    (void)state;
    takes("timeout", "7", "7");
    refuses("timeout", "x", "argument couldn't be parsed into an integer");
    refuses("timeout", "", "argument couldn't be parsed into an integer");
    refuses("timeout", "-1", "argument must be between 0 and 2147483647 inclusive");
    takes("slowlog-log-slower-than", "-1", "-1");
    refuses("slowlog-log-slower-than", "-2", "argument must be between -1 and 9223372036854775807 inclusive");
    takes("hz", "0", "1");
    takes("hz", "100000", "500");
    takes("hz", "50", "50");
    refuses("hz", "-1", "argument must be between 0 and 2147483647 inclusive");
    takes("maxmemory", "100", "100");
    takes("maxmemory", "1k", "1000");
    takes("maxmemory", "1KB", "1024");
    takes("maxmemory", "3mb", "3145728");
    takes("maxmemory", "2g", "2000000000");
    takes("maxmemory", "2Gb", "2147483648");
    refuses("maxmemory", "x", "argument must be a memory value");
    refuses("maxmemory", "-1", "argument must be a memory value");
    refuses("maxmemory", "1tb", "argument must be a memory value");
    refuses("maxmemory", "9223372036854775807kb", "argument must be a memory value");
    takes("maxmemory-clients", "5%", "5%");
    takes("maxmemory-clients", "1mb", "1048576");
    refuses("maxmemory-clients", "101%", "percentage argument must be less or equal to 100");
}

static void test_words(void **state) {
    (void)state;
    takes("latency-tracking", "NO", "no");
    refuses("latency-tracking", "maybe", "argument must be 'yes' or 'no'");
    takes("maxmemory-policy", "ALLKEYS-lfu", "allkeys-lfu");
    refuses(
        "maxmemory-policy", "x",
        "argument(s) must be one of the following: volatile-lru, volatile-lfu, volatile-random, volatile-ttl, "
        "allkeys-lru, allkeys-lfu, allkeys-random, noeviction");
    takes("requirepass", "open sesame", "open sesame");
    takes("requirepass", "", "");
    takes("save", "", "");
    refuses("save", "60 1", "can't set immutable config");
    refuses("databases", "16", "can't set immutable config");
    takes("id", "node_A-1", "node_A-1");
    refuses("id", "a|b", "argument must have only A-Z a-z 0-9 _ -");
    refuses("host", "", "argument must be 1 to 255 bytes");
    assert_string_equal(setting_flag(named("maxclients")), "max-clients");
    assert_ptr_equal(settings_find_flag(SLICE("maxclients")), named("maxclients"));
    assert_ptr_equal(settings_find_flag(SLICE("port")), named("replication-port"));
    assert_ptr_equal(settings_find_flag(SLICE("redis")), named("port"));
}

static void test_a_password_of_any_bytes(void **state) {
    (void)state;
    char reason[256];
    const struct setting *requirepass = named("requirepass");
    assert_true(setting_parse(requirepass, SLICE("a\0b"), &settings, reason, sizeof(reason)));
    assert_true(password_matches(&settings, SLICE("default"), SLICE("a\0b")));
    assert_false(password_matches(&settings, SLICE("default"), SLICE("a\0c")));
    assert_false(password_matches(&settings, SLICE("default"), SLICE("a")));
    assert_false(password_matches(&settings, SLICE("default"), SLICE("a\0b\0")));
    assert_true(setting_parse(requirepass, SLICE("\0"), &settings, reason, sizeof(reason)));
    assert_true(password_is_wanted(&settings));
    assert_false(password_matches(&settings, SLICE("default"), SLICE("")));
    assert_true(setting_parse(requirepass, SLICE(""), &settings, reason, sizeof(reason)));
    assert_false(password_is_wanted(&settings));
}

static void test_notify_keyspace_events(void **state) {
    (void)state;
    takes("notify-keyspace-events", "KEA", "AKE");
    assert_int_equal(settings.notify_flags & NOTIFY_STRING, NOTIFY_STRING);
    takes("notify-keyspace-events", "x$E", "$xE");
    assert_int_equal(settings.notify_flags, NOTIFY_EXPIRED | NOTIFY_STRING | NOTIFY_KEYEVENT);
    takes("notify-keyspace-events", "Kmn", "Kmn");
    refuses("notify-keyspace-events", "Q", "Invalid event class character. Use 'Ag$lshzxeKEtmdn'.");
    takes("notify-keyspace-events", "", "");
}

static void test_lists_of_names(void **state) {
    (void)state;
    takes("api-hosts", "db.example, db  DB2.example.", "db.example, db  DB2.example.");
    takes("api-hosts", "", "");
    const char *const hosts = "argument must be names of hosts, without ports, with commas between them";
    refuses("api-hosts", "db.example,db:9000", hosts);
    refuses("api-hosts", "http://db", hosts);
    refuses("api-hosts", "[::1]", hosts);
    refuses("api-hosts", "db,*", hosts);
    takes("api-origins", "https://app.example,http://localhost:3000",
          "https://app.example,http://localhost:3000");
    const char *const origins = "argument must be origins (https://app.example), with commas between them";
    refuses("api-origins", "null", origins); /* what any page can say */
    refuses("api-origins", "*", origins);
    refuses("api-origins", "https://*", origins);
    refuses("api-origins", "app.example", origins);
    refuses("api-origins", "https://app.example/", origins);
    takes("api-origins", "", "");

    struct slice rest = SLICE(" ,a,, b c, "), items[4];
    for (size_t i = 0; i < 4; i++) {
        items[i] = slice_next_item(&rest);
    }
    assert_true(slice_equals(items[0], SLICE("a")) && slice_equals(items[1], SLICE("b")) &&
                slice_equals(items[2], SLICE("c")) && items[3].len == 0);
}

static void test_lists(void **state) {
    (void)state;
    takes("client-output-buffer-limit", "pubsub 1mb 2 3",
          "normal 0 0 0 slave 268435456 67108864 60 pubsub 1048576 2 3");
    takes("client-output-buffer-limit", "normal 1 2 3  replica 4 5 6",
          "normal 1 2 3 slave 4 5 6 pubsub 1048576 2 3");
    refuses("client-output-buffer-limit", "normal 1 2",
            "Wrong number of arguments in buffer limit configuration.");
    refuses("client-output-buffer-limit", "normal 9 9 9 x 1 2 3",
            "Invalid client class specified in buffer limit configuration.");
    refuses("client-output-buffer-limit", "normal x 2 3",
            "Error in hard, soft or soft_seconds setting in buffer limit configuration.");
    takes("client-output-buffer-limit", "", "normal 1 2 3 slave 4 5 6 pubsub 1048576 2 3");
    takes("latency-tracking-info-percentiles", "50 99 99.9 1e-5", "50 99 99.9 0.00001");
    takes("latency-tracking-info-percentiles", "0 50 100", "0 50 100");
    takes("latency-tracking-info-percentiles", "", "");
    refuses("latency-tracking-info-percentiles", "50 101",
            "latency-tracking-info-percentiles parameters should sit between [0.0,100.0]");
    refuses("latency-tracking-info-percentiles", "x", "Invalid latency-tracking-info-percentiles parameters");
}

int main(void) {
#define test(function) cmocka_unit_test_setup(function, set_up)
    const struct CMUnitTest tests[] = {
        test(test_rows),
        test(test_numbers_and_sizes),
        test(test_words),
        test(test_a_password_of_any_bytes),
        test(test_notify_keyspace_events),
        test(test_lists_of_names),
        test(test_lists),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
