#include "protocol/crc32c.h"
#include "protocol/journal_meta.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define BOOT "6f1c1b2e-8a61-4d0c-9b57-0123456789ab"

static const struct journal_meta example = {
    .counter = 17,
    .node_id = "eu-1-0192f0c4",
    .group = 16383,
    .kept = {.term = UINT64_MAX,
             .voted_for = "eu-2",
             .forgetful = true,
             .formed_id = UINT64_C(0x0192f0c4a7b30001),
             .formed = {.count = 3, .ids = {"eu-1-0192f0c4", "eu-2", "eu-3"}},
             .complete = true},
    .peers = {.count = 2, .all = {{"eu-2", "192.0.2.7", 4001}, {"eu-3", "2001:db8::7", 65535}}},
    .clean = false,
    .weakest_fsync = JOURNAL_FSYNC_EVERYSEC,
    .boot_id = BOOT,
    .directory_inode = 12,
    .meta_inode = UINT64_MAX,
};

static struct slice file_of(const char *bytes) { return slice_of(bytes, JOURNAL_META_BYTES); }

static void write_to(char *file, struct journal_meta meta) {
    journal_meta_write(file + journal_meta_offset(meta.counter), &meta);
}

static void assert_same(const struct journal_meta *a, const struct journal_meta *b) {
    assert_int_equal(a->counter, b->counter);
    assert_string_equal(a->node_id, b->node_id);
    assert_int_equal(a->group, b->group);
    assert_int_equal(a->kept.term, b->kept.term);
    assert_string_equal(a->kept.voted_for, b->kept.voted_for);
    assert_int_equal(a->kept.forgetful, b->kept.forgetful);
    assert_int_equal(a->kept.formed_id, b->kept.formed_id);
    assert_memory_equal(&a->kept.formed, &b->kept.formed, sizeof(a->kept.formed));
    assert_int_equal(a->kept.proposer, b->kept.proposer);
    assert_int_equal(a->kept.complete, b->kept.complete);
    assert_memory_equal(&a->peers, &b->peers, sizeof(a->peers));
    assert_int_equal(a->clean, b->clean);
    assert_int_equal(a->weakest_fsync, b->weakest_fsync);
    assert_string_equal(a->boot_id, b->boot_id);
    assert_int_equal(a->directory_inode, b->directory_inode);
    assert_int_equal(a->meta_inode, b->meta_inode);
}

/* The slot's text with another beginning, summed up again. */
static void write_text(char *slot, const char *text) {
    char crc_line[14];
    memset(slot, '\n', JOURNAL_META_SLOT_BYTES);
    memcpy(slot, text, strlen(text));
    snprintf(crc_line, sizeof(crc_line), "crc %08x\n", crc32c(0, slot, JOURNAL_META_SLOT_BYTES - 13));
    memcpy(slot + JOURNAL_META_SLOT_BYTES - 13, crc_line, 13);
}

static void test_text(void **state) {
    (void)state;
    char file[JOURNAL_META_BYTES] = {0};
    write_to(file, example);
    static const char text[] = "kvnode-journal 1\ncounter 17\nnode eu-1-0192f0c4\ngroup 16383\n"
                               "term 18446744073709551615\nvoted_for eu-2\nforgetful yes\nclean no\n"
                               "weakest_fsync everysec\nboot_id " BOOT "\ndirectory_inode 12\n"
                               "meta_inode 18446744073709551615\n"
                               "formed 0192f0c4a7b30001 eu-1-0192f0c4,eu-2,eu-3 acceptor complete\n"
                               "peer eu-2 192.0.2.7 4001\npeer eu-3 2001:db8::7 65535\n\n\n";
    assert_memory_equal(file + JOURNAL_META_SLOT_BYTES, text, sizeof(text) - 1);
    assert_null(memchr(file + JOURNAL_META_SLOT_BYTES, '\0', JOURNAL_META_SLOT_BYTES));
}

static void test_reads_what_it_writes(void **state) {
    (void)state;
    char file[JOURNAL_META_BYTES] = {0};
    struct journal_meta meta;
    write_to(file, example);
    assert_int_equal(journal_meta_read(file_of(file), &meta), JOURNAL_META_OK);
    assert_same(&meta, &example);
    const struct journal_meta bare = {.counter = 18, .node_id = "a", .clean = true};
    write_to(file, bare);
    assert_int_equal(journal_meta_read(file_of(file), &meta), JOURNAL_META_OK);
    assert_same(&meta, &bare);
}

/* Whatever names and addresses there are, the slot is longer. */
static void test_the_longest_fits(void **state) {
    (void)state;
    char file[JOURNAL_META_BYTES] = {0};
    struct journal_meta meta = example, found;
    meta.counter = UINT64_MAX;
    meta.directory_inode = UINT64_MAX;
    meta.kept.formed_id = UINT64_MAX;
    meta.kept.formed.count = meta.peers.count = VOTERS_MOST;
    memset(meta.node_id, 'n', LIMIT_NODE_ID_BYTES);
    memset(meta.kept.voted_for, 'v', LIMIT_NODE_ID_BYTES);
    /* No address is as long as LIMIT_HOST_BYTES today: the longest that is, with what it lacks counted. */
    static const char longest[] = "1111:2222:3333:4444:5555:6666:7777:8888";
    size_t lacking = VOTERS_MOST * (LIMIT_HOST_BYTES - (sizeof(longest) - 1));
    for (size_t i = 0; i < VOTERS_MOST; i++) {
        struct journal_peer *peer = &meta.peers.all[i];
        memset(meta.kept.formed.ids[i], 'a' + (int)i, LIMIT_NODE_ID_BYTES);
        memset(peer->node_id, 'A' + (int)i, LIMIT_NODE_ID_BYTES);
        memcpy(peer->host, longest, sizeof(longest));
        peer->port = UINT16_MAX;
    }
    write_to(file, meta);
    assert_int_equal(journal_meta_read(file_of(file), &found), JOURNAL_META_OK);
    assert_same(&found, &meta);
    const char *end = strstr(file + journal_meta_offset(meta.counter), "\n\n");
    assert_non_null(end);
    size_t used = (size_t)(end + 1 - (file + journal_meta_offset(meta.counter)));
    assert_in_range(used + lacking, used, JOURNAL_META_SLOT_BYTES - (sizeof("crc 00000000\n") - 1) - 1);
}

static void test_a_torn_slot_leaves_the_other(void **state) {
    (void)state;
    char file[JOURNAL_META_BYTES] = {0};
    struct journal_meta older = example, newer = example, meta;
    newer.counter++;
    newer.kept.term = 5;
    write_to(file, older);
    write_to(file, newer);
    char *slot = file + journal_meta_offset(newer.counter);
    for (size_t at = 0; at < JOURNAL_META_SLOT_BYTES; at++) {
        slot[at] = (char)(slot[at] ^ 1 << (at % 8));
        assert_int_equal(journal_meta_read(file_of(file), &meta), JOURNAL_META_OK);
        assert_same(&meta, &older);
        slot[at] = (char)(slot[at] ^ 1 << (at % 8));
    }
    assert_int_equal(journal_meta_read(file_of(file), &meta), JOURNAL_META_OK);
    assert_same(&meta, &newer);
}

static void test_garbage(void **state) {
    (void)state;
    char file[JOURNAL_META_BYTES] = {0};
    struct journal_meta meta = example;
    write_to(file, (struct journal_meta){.counter = 1, .node_id = "a"});
    for (size_t n = 0; n < JOURNAL_META_BYTES; n++) { /* counter 1 is in the second slot */
        assert_int_equal(journal_meta_read(slice_of(file, n), &meta), JOURNAL_META_BAD);
    }
    static const char *const texts[] = {
        "kvnode-journal 1\ncounter 1\n",
        "kvnode-journal 1\nnode a\n",
        "kvnode-journal 0\ncounter 1\nnode a\n",
        "kvnode-journal 1x\ncounter 1\nnode a\n",
        "kvnode-journal\ncounter 1\nnode a\n",
        "counter 1\nnode a\n",
        "kvnode-journal 1\ncounter x\nnode a\n",
        "kvnode-journal 1\ncounter 1\nnode a b\n",
        "kvnode-journal 1\ncounter 1\nnode 12345678901234567890123456789012345678901\n",
        "kvnode-journal 1\ncounter 1\nnode a\ngroup 16384\n",
        "kvnode-journal 1\ncounter 1\nnode a\nclean maybe\n",
        "kvnode-journal 1\ncounter 1\nnode a\nweakest_fsync never\n",
        "kvnode-journal 1\ncounter 1\nnode a\nboot_id short\n",
        "kvnode-journal 1\ncounter 1\nnode a\nvoted_for |\n",
        "kvnode-journal 1\ncounter 1\nnode a\nformed 0000000000000000 a,b proposer open\n",
        "kvnode-journal 1\ncounter 1\nnode a\nformed 192f0c4a7b30001 a,b proposer open\n",
        "kvnode-journal 1\ncounter 1\nnode a\nformed 0192f0c4a7b30001 a,a proposer open\n",
        "kvnode-journal 1\ncounter 1\nnode a\nformed 0192f0c4a7b30001 a, proposer open\n",
        "kvnode-journal 1\ncounter 1\nnode a\nformed 0192f0c4a7b30001 a,b leader open\n",
        "kvnode-journal 1\ncounter 1\nnode a\nformed 0192f0c4a7b30001 a,b proposer\n",
        "kvnode-journal 1\ncounter 1\nnode a\nformed 0192f0c4a7b30001 a,b proposer open or not\n",
        "kvnode-journal 1\ncounter 1\nnode a\npeer b 192.0.2.7 0\n",
        "kvnode-journal 1\ncounter 1\nnode a\npeer b 192.0.2.7 65536\n",
        "kvnode-journal 1\ncounter 1\nnode a\npeer b 192.0.2.7\n",
        "kvnode-journal 1\ncounter 1\nnode a\npeer b host 4001\n",
        "kvnode-journal 1\ncounter 1\nnode a\npeer | 192.0.2.7 4001\n",
        ("kvnode-journal 1\ncounter 1\nnode a\npeer 1 ::1 1\npeer 2 ::1 1\npeer 3 ::1 1\npeer 4 ::1 1\n"
         "peer 5 ::1 1\npeer 6 ::1 1\npeer 7 ::1 1\npeer 8 ::1 1\npeer 9 ::1 1\npeer 10 ::1 1\n"),
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        memset(file, 0, sizeof(file));
        write_text(file, texts[i]);
        if (journal_meta_read(file_of(file), &meta) != JOURNAL_META_BAD) {
            fail_msg("read: %s", texts[i]);
        }
    }
    assert_same(&meta, &example);
}

static void test_unknown_keys_are_ignored(void **state) {
    (void)state;
    char file[JOURNAL_META_BYTES] = {0};
    struct journal_meta meta;
    write_text(file, "kvnode-journal 1\ncounter 2\nnode a\nforms yes and more\nlone\n\nterm 3\n");
    assert_int_equal(journal_meta_read(file_of(file), &meta), JOURNAL_META_OK);
    assert_same(&meta, &(struct journal_meta){.counter = 2, .node_id = "a", .kept.term = 3});
}

static void test_a_newer_format(void **state) {
    (void)state;
    char file[JOURNAL_META_BYTES] = {0};
    struct journal_meta meta;
    write_text(file, "kvnode-journal 2\ncounter 18\nnode {\"a\"}\n");
    assert_int_equal(journal_meta_read(file_of(file), &meta), JOURNAL_META_NEWER);
    write_to(file, example); /* 17, in the other slot */
    assert_int_equal(journal_meta_read(file_of(file), &meta), JOURNAL_META_NEWER);
    struct journal_meta next = example;
    next.counter = 19; /* by who went back to this version and was let */
    write_to(file, next);
    assert_int_equal(journal_meta_read(file_of(file), &meta), JOURNAL_META_OK);
}

static void test_who_may_have_forgotten(void **state) {
    (void)state;
    struct journal_meta meta = {.boot_id = BOOT, .weakest_fsync = JOURNAL_FSYNC_EVERYSEC};
    assert_false(journal_meta_may_have_forgotten(&meta, BOOT)); /* kill -9 */
    assert_true(journal_meta_may_have_forgotten(&meta, "another"));
    assert_true(journal_meta_may_have_forgotten(&meta, NULL));
    meta.clean = true;
    assert_false(journal_meta_may_have_forgotten(&meta, "another"));
    meta.kept.forgetful = true; /* it stays so */
    assert_true(journal_meta_may_have_forgotten(&meta, BOOT));
    meta = (struct journal_meta){.boot_id = BOOT, .weakest_fsync = JOURNAL_FSYNC_ALWAYS};
    assert_false(journal_meta_may_have_forgotten(&meta, "another"));
    meta = (struct journal_meta){.weakest_fsync = JOURNAL_FSYNC_NO};
    assert_true(journal_meta_may_have_forgotten(&meta, ""));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_reads_what_it_writes),
        cmocka_unit_test(test_the_longest_fits),
        cmocka_unit_test(test_a_torn_slot_leaves_the_other),
        cmocka_unit_test(test_garbage),
        cmocka_unit_test(test_unknown_keys_are_ignored),
        cmocka_unit_test(test_a_newer_format),
        cmocka_unit_test(test_who_may_have_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
