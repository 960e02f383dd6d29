#include "protocol/crc32c.h"
#include "protocol/datagram.h"
#include "server/journal/directory.h"
#include "tests/unit/failing_disk.h"
#include "tests/unit/journal_fixture.h"

static struct journal_directory *open_it(const struct place *place, struct journal_wish wish,
                                         char reason[JOURNAL_REASON_BYTES]) {
    wish.path = place->path;
    return journal_directory_open(&wish, &journal_disk_system, reason);
}

static struct journal_directory *opened(const struct place *place, struct journal_wish wish) {
    char reason[JOURNAL_REASON_BYTES];
    struct journal_directory *directory = open_it(place, wish, reason);
    assert_string_equal(reason, "");
    assert_non_null(directory);
    return directory;
}

/* Refused, with a line that says each of the words. */
static void assert_refused(const struct place *place, struct journal_wish wish, const char *word,
                           const char *other_word) {
    char reason[JOURNAL_REASON_BYTES];
    assert_null(open_it(place, wish, reason));
    if (strstr(reason, word) == NULL || strstr(reason, other_word) == NULL ||
        strstr(reason, place->path) == NULL || strchr(reason, '\n') != NULL) {
        fail_msg("%s", reason);
    }
}

static const struct journal_wish plain = {.group = 3};

static void test_the_first_start_makes_it(void **state) {
    (void)state;
    struct place place;
    place_make(&place);
    struct journal_directory *directory = opened(&place, plain);
    assert_true(journal_directory_is_new(directory));
    struct journal_meta first = *journal_directory_meta(directory);
    assert_int_equal(strlen(first.node_id), 8);
    assert_int_equal(strspn(first.node_id, "0123456789abcdef"), 8);
    assert_int_equal(first.group, 3);
    assert_false(journal_meta_may_have_forgotten(&first, "another"));
    struct stat status;
    assert_int_equal(stat(place.path, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0700);
    assert_int_equal(first.directory_inode, status.st_ino);
    assert_false(place_has(&place, "meta.new"));
    journal_directory_close(&directory);

    directory = opened(&place, plain);
    assert_false(journal_directory_is_new(directory));
    assert_memory_equal(journal_directory_meta(directory), &first, sizeof(first));
    journal_directory_close(&directory);
    place_remove(&place);
}

static void test_a_name_gets_digits_and_is_known_again(void **state) {
    (void)state;
    struct place place;
    place_make(&place);
    struct journal_wish wish = {.id = "eu-1"};
    struct journal_directory *directory = opened(&place, wish);
    char node_id[LIMIT_NODE_ID_BYTES + 1];
    snprintf(node_id, sizeof(node_id), "%s", journal_directory_meta(directory)->node_id);
    assert_int_equal(strncmp(node_id, "eu-1-", 5), 0);
    assert_int_equal(strlen(node_id), 13);
    journal_directory_close(&directory);

    const char *const same[] = {"eu-1", node_id, NULL};
    for (size_t i = 0; i < 3; i++) {
        directory = opened(&place, (struct journal_wish){.id = same[i]});
        assert_string_equal(journal_directory_meta(directory)->node_id, node_id);
        journal_directory_close(&directory);
    }
    assert_refused(&place, (struct journal_wish){.id = "eu"}, node_id, "to be eu ");
    assert_refused(&place, (struct journal_wish){.id = "eu-1-0"}, node_id, "to be eu-1-0 ");
    assert_refused(&place, (struct journal_wish){.group = 7}, "group 0", "group 7");
    directory = opened(&place, (struct journal_wish){.id = "eu", .group = 7, .look = true});
    journal_directory_close(&directory);
    place_remove(&place);

    place_make(&place);
    assert_refused(&place, (struct journal_wish){.id = "12345678901234567890123456789012"}, "too long", "31");
    directory = opened(&place, (struct journal_wish){.id = "1234567890123456789012345678901"});
    assert_true(datagram_valid_node_id(slice_from_text(journal_directory_meta(directory)->node_id)));
    journal_directory_close(&directory);
    place_remove(&place);
}

static void test_refused(void **state) {
    (void)state;
    struct place place, below;
    place_make(&place);
    below = place;
    snprintf(below.path, sizeof(below.path), "%s/data/below", place.root);
    assert_refused(&below, plain, "to be made in", "not there");
    assert_refused(&place, (struct journal_wish){.look = true}, "No such file", "");

    int fd = open(place.path, O_WRONLY | O_CREAT, 0600);
    close(fd);
    assert_refused(&place, plain, "not a directory", "");
    assert_int_equal(unlink(place.path), 0);

    assert_int_equal(mkdir(place.path, 0700), 0);
    assert_refused(&place, (struct journal_wish){.look = true}, "no journal", "");
    place_write(&place, "dump.rdb", SLICE("REDIS"));
    assert_refused(&place, plain, "dump.rdb", "no journal");
    assert_false(place_has(&place, "lock")); /* nothing is made in what is somebody else's */
    place_empty(&place);
    place_write(&place, "journal-0000000001.log", SLICE(""));
    assert_refused(&place, plain, "journal-0000000001.log", "no file meta");
    place_empty(&place);
    place_write(&place, "meta", SLICE("hello"));
    assert_refused(&place, plain, "meta is damaged", "both");
    place_empty(&place);
    place_write(&place, "meta.new", SLICE("half of a first start"));
    struct journal_directory *directory = opened(&place, plain);
    journal_directory_close(&directory);
    place_remove(&place);
}

static void test_one_process_at_a_time(void **state) {
    (void)state;
    struct place place;
    place_make(&place);
    struct journal_directory *directory = opened(&place, plain);
    assert_refused(&place, plain, "another process holds it", "");
    assert_refused(&place, (struct journal_wish){.look = true}, "another process holds it", "");
    journal_directory_close(&directory);
    directory = opened(&place, plain);
    journal_directory_close(&directory);
    journal_directory_close(&directory);
    place_remove(&place);
}

/* For whom nothing is forbidden there is nothing to see. */
static void test_no_rights(void **state) {
    (void)state;
    if (geteuid() == 0) {
        skip();
    }
    struct place place;
    place_make(&place);
    assert_int_equal(mkdir(place.path, 0500), 0);
    assert_refused(&place, plain, "no rights", "lock");
    assert_int_equal(chmod(place.path, 0), 0);
    assert_refused(&place, plain, "no rights", "opened");
    chmod(place.path, 0700);
    place_remove(&place);
}

static void test_a_newer_format(void **state) {
    (void)state;
    struct place place;
    place_make(&place);
    struct journal_directory *directory = opened(&place, plain);
    journal_directory_close(&directory);
    char slot[JOURNAL_META_SLOT_BYTES] = "kvnode-journal 2\ncounter 9\n", crc[14];
    const size_t text_bytes = sizeof(slot) - (sizeof(crc) - 1);
    snprintf(crc, sizeof(crc), "crc %08x\n", crc32c(0, slot, text_bytes));
    memcpy(slot + text_bytes, crc, sizeof(crc) - 1);
    int fd = open(place_name(&place, "meta"), O_WRONLY);
    assert_int_equal(pwrite(fd, slot, sizeof(slot), 0), sizeof(slot));
    close(fd);
    assert_refused(&place, plain, "newer kvnode", "");
    assert_refused(&place, (struct journal_wish){.look = true}, "newer kvnode", "");
    place_remove(&place);
}

static void copy(const struct place *from, const struct place *to, const char *name) {
    char bytes[2 * JOURNAL_META_BYTES];
    int fd = open(place_name(from, name), O_RDONLY);
    ssize_t n = read(fd, bytes, sizeof(bytes));
    assert_true(n >= 0);
    close(fd);
    place_write(to, name, slice_of(bytes, (size_t)n));
}

static void test_a_copy_becomes_another_node_when_told_to(void **state) {
    (void)state;
    struct place place, other;
    place_make(&place);
    place_make(&other);
    struct journal_directory *directory = opened(&place, (struct journal_wish){.id = "a"});
    struct journal_meta meta = *journal_directory_meta(directory);
    meta.kept.term = 5;
    snprintf(meta.kept.voted_for, sizeof(meta.kept.voted_for), "b");
    meta.kept.formed_id = 7;
    assert_true(voters_parse(SLICE("a,b,c"), &meta.kept.formed));
    assert_true(journal_directory_write_meta(directory, &meta));
    journal_directory_close(&directory);
    assert_int_equal(mkdir(other.path, 0700), 0);
    copy(&place, &other, "meta");

    assert_refused(&other, (struct journal_wish){.id = "a"}, meta.node_id, "-adopt-data");
    assert_refused(&other, (struct journal_wish){.group = 1, .adopt = true}, "group 0", "group 1");
    directory = opened(&other, (struct journal_wish){.look = true});
    assert_string_equal(journal_directory_meta(directory)->node_id, meta.node_id);
    journal_directory_close(&directory);
    directory = opened(&other, (struct journal_wish){.id = "c", .adopt = true});
    assert_int_equal(strncmp(journal_directory_meta(directory)->node_id, "c-", 2), 0);
    assert_string_equal(journal_directory_meta(directory)->kept.voted_for, "");
    assert_int_equal(journal_directory_meta(directory)->kept.term, 5);
    assert_int_equal(journal_directory_meta(directory)->kept.formed_id, 0);
    journal_directory_close(&directory);
    directory = opened(&other, (struct journal_wish){.id = "c"}); /* once is enough */
    journal_directory_close(&directory);
    directory = opened(&place, (struct journal_wish){.id = "a", .adopt = true}); /* what is none stays */
    assert_string_equal(journal_directory_meta(directory)->node_id, meta.node_id);
    assert_string_equal(journal_directory_meta(directory)->kept.voted_for, "b");
    assert_int_equal(journal_directory_meta(directory)->kept.formed_id, 7);
    journal_directory_close(&directory);
    place_remove(&place);
    place_remove(&other);
}

static void test_segments(void **state) {
    (void)state;
    struct place place;
    place_make(&place);
    struct journal_directory *directory = opened(&place, plain);
    uint64_t *numbers;
    size_t n;
    assert_true(journal_directory_list(directory, &numbers, &n));
    assert_int_equal(n, 0);
    free(numbers);
    static const uint64_t made[] = {9999999999, 2, 10000000000, 1, 3};
    for (size_t i = 0; i < 5; i++) {
        close(journal_directory_create_segment(directory, made[i]));
    }
    assert_int_equal(journal_directory_create_segment(directory, 3), -1);
    assert_int_equal(errno, EEXIST);
    static const char *const others[] = {"journal-1.log",           "journal-0000000000.log",
                                         "journal-0000000004.log~", "journal-00000000004.log",
                                         "lost-1-2-3.log",          "journal-.log"};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        place_write(&place, others[i], SLICE(""));
    }
    static const uint64_t sorted[] = {1, 2, 3, 9999999999, 10000000000};
    assert_true(journal_directory_list(directory, &numbers, &n));
    assert_int_equal(n, 5);
    assert_memory_equal(numbers, sorted, sizeof(sorted));
    free(numbers);
    assert_true(journal_directory_remove_below(directory, 9999999999));
    assert_true(journal_directory_list(directory, &numbers, &n));
    assert_int_equal(n, 2);
    assert_int_equal(numbers[0], 9999999999);
    free(numbers);
    assert_true(journal_directory_remove_segment(directory, 9999999999));
    assert_true(journal_directory_remove_segment(directory, 9999999999));
    assert_int_equal(journal_directory_open_segment(directory, 1, true), -1);
    int fd = journal_directory_open_segment(directory, 10000000000, false);
    assert_true(fd >= 0);
    close(fd);

    assert_true(journal_directory_remove_incoming(directory));
    close(journal_directory_create_incoming(directory));
    place_write(&place, "incoming.log", SLICE("old"));
    fd = journal_directory_create_incoming(directory);
    struct stat status;
    assert_int_equal(fstat(fd, &status), 0);
    assert_int_equal(status.st_size, 0);
    close(fd);
    assert_true(journal_directory_accept_incoming(directory, 10000000001));
    assert_true(journal_directory_accept_incoming(directory, 10000000001)); /* when its sync has failed */
    assert_true(place_has(&place, "journal-10000000001.log"));
    assert_false(journal_directory_accept_incoming(directory, 10000000002));
    journal_directory_close(&directory);
    place_remove(&place);
}

static void test_boot_id(void **state) {
    (void)state;
    char boot_id[JOURNAL_BOOT_ID_BYTES + 1];
    if (!journal_boot_id(boot_id)) {
        assert_string_equal(boot_id, "");
        return;
    }
    assert_int_equal(strlen(boot_id), JOURNAL_BOOT_ID_BYTES);
    assert_true(datagram_valid_node_id(slice_from_text(boot_id)));
}

/* Terms 1 to 3, each until it is written. */
static void write_terms(struct journal_directory *directory, int error) {
    struct journal_meta meta = *journal_directory_meta(directory);
    for (meta.kept.term = 1; meta.kept.term <= 3; meta.kept.term++) {
        if (!journal_directory_write_meta(directory, &meta)) {
            assert_int_equal(errno, error);
            assert_int_equal(journal_directory_meta(directory)->kept.term, meta.kept.term - 1);
            assert_true(journal_directory_write_meta(directory, &meta));
        }
        assert_int_equal(journal_directory_meta(directory)->kept.term, meta.kept.term);
    }
}

/* True: there is no such call any more. */
static bool start_with_a_failure(size_t fail_at, int error) {
    struct place place;
    struct failing_disk failing;
    place_make(&place);
    failing_disk_init(&failing, fail_at, error);
    failing.partly = fail_at % 2 == 0;
    char reason[JOURNAL_REASON_BYTES];
    struct journal_wish wish = {.path = place.path, .id = "a"};
    struct journal_directory *directory = journal_directory_open(&wish, &failing.disk, reason);
    bool written = directory != NULL;
    if (written) {
        write_terms(directory, error);
    } else {
        assert_non_null(strstr(reason, error == EROFS ? "read-only" : strerror(error)));
    }
    journal_directory_close(&directory);
    directory = opened(&place, wish);
    assert_int_equal(journal_directory_meta(directory)->kept.term, written ? 3 : 0);
    journal_directory_close(&directory);
    place_remove(&place);
    return failing.calls < fail_at;
}

/* A first start that fails can be made again, and whatever fails, meta is what was written last. */
static void test_every_call_fails_once(void **state) {
    (void)state;
    static const int errors[] = {ENOSPC, EIO, EROFS, EACCES};
    for (size_t e = 0; e < sizeof(errors) / sizeof(errors[0]); e++) {
        size_t fail_at = 1;
        while (!start_with_a_failure(fail_at, errors[e])) {
            fail_at++;
        }
        assert_true(fail_at > 12);
    }
}

/* A disk that takes half of each write. */
static void test_short_writes(void **state) {
    (void)state;
    struct place place;
    struct failing_disk failing;
    place_make(&place);
    failing_disk_init(&failing, 0, 0);
    failing.in_two = true;
    char reason[JOURNAL_REASON_BYTES];
    struct journal_wish wish = {.path = place.path, .group = 3};
    struct journal_directory *directory = journal_directory_open(&wish, &failing.disk, reason);
    assert_non_null(directory);
    journal_directory_close(&directory);
    directory = opened(&place, plain);
    journal_directory_close(&directory);
    place_remove(&place);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_first_start_makes_it),
        cmocka_unit_test(test_a_name_gets_digits_and_is_known_again),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_one_process_at_a_time),
        cmocka_unit_test(test_no_rights),
        cmocka_unit_test(test_a_newer_format),
        cmocka_unit_test(test_a_copy_becomes_another_node_when_told_to),
        cmocka_unit_test(test_segments),
        cmocka_unit_test(test_boot_id),
        cmocka_unit_test(test_every_call_fails_once),
        cmocka_unit_test(test_short_writes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
