/* CONFIG REWRITE while memory fails: the file is whole, or as it was. */
#include "tests/fault/transcript.h"

static const char before[] = "# mine\nslowlog-max-len 5\n";

static void write_file(const char *path) {
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_int_equal(fwrite(before, 1, sizeof(before) - 1, file), sizeof(before) - 1);
    assert_int_equal(fclose(file), 0);
}

static struct slice read_file(const char *path) {
    static char text[4096];
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    size_t n = fread(text, 1, sizeof(text) - 1, file);
    text[n] = '\0';
    fclose(file);
    return slice_of(text, n);
}

static void check_file(const char *path, bool answered, bool done) {
    const char *text = read_file(path).ptr;
    bool is_before = strcmp(text, before) == 0;
    bool is_after = strstr(text, "# mine\n") != NULL && strstr(text, "slowlog-max-len 7\n") != NULL &&
                    strstr(text, "timeout 77\n") != NULL;
    if (answered ? !(done ? is_after : is_before) : !(is_before || is_after)) {
        fault_fail("the file is \"%s\"", text);
    }
}

static void a_rewrite(void) {
    void *unused;
    char path[] = "/tmp/kvnode-fault-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    write_file(path);
    set_up(&unused);
    close(node.client);
    memset(client_ends, 0, sizeof(client_ends));
    buf_init(&transcript.heard[0], SIZE_MAX);
    snprintf(node.options.config_file, sizeof(node.options.config_file), "%s", path);
    node.settings.slowlog_max_len = 7;
    node.settings.timeout_s = 77;
    connect_armed('a');
    say('a', "CONFIG REWRITE");
    struct slice reply = buf_slice(&transcript.heard[0]);
    bool done = slice_equals(reply, SLICE("+OK\r\n"));
    if (reply.len > 0 && !done && !is_out_of_memory(reply)) {
        fault_fail("CONFIG REWRITE was answered with \"%.*s\"", (int)reply.len, reply.ptr);
    }
    check_file(path, reply.len > 0, done);
    unlink(path);
    close(client_ends[0]);
    node.client = -1;
    buf_deinit(&transcript.heard[0]);
    tear_down(&unused);
}

static void test_a_rewrite(void **state) {
    (void)state;
    fault_each(a_rewrite);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_a_rewrite)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
