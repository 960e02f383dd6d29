/* What a link packs is unpacked again however it is cut; what is damaged is refused, and never more than so
 * much at once. */
#include "server/peers/link_compression.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct buf raw, packed, unpacked;
static struct link_packer packer;
static struct link_unpacker unpacker;

static int setup(void **state) {
    (void)state;
    buf_init(&raw, SIZE_MAX);
    buf_init(&packed, SIZE_MAX);
    buf_init(&unpacked, SIZE_MAX);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    link_packer_deinit(&packer);
    link_unpacker_deinit(&unpacker);
    buf_deinit(&raw);
    buf_deinit(&packed);
    buf_deinit(&unpacked);
    return 0;
}

/* All of it, or up to where it is bad. */
static enum link_unpacked unpack(struct slice bytes) {
    enum link_unpacked result;
    const char *reason;
    do {
        size_t taken, before = buf_used(&unpacked);
        result = link_unpack(&unpacker, bytes, &unpacked, &taken, &reason);
        assert_true(taken <= bytes.len);
        assert_true(buf_used(&unpacked) - before <= LINK_UNPACK_BYTES);
        assert_true(result != LINK_UNPACKED_PART || taken > 0 || buf_used(&unpacked) > before);
        bytes = slice_skip(bytes, taken);
    } while (result == LINK_UNPACKED_PART);
    assert_true(result == LINK_UNPACK_BAD || bytes.len == 0);
    assert_true(result != LINK_UNPACK_BAD || reason[0] != '\0');
    return result;
}

static void forget_unpacked(void) {
    link_unpacker_deinit(&unpacker);
    buf_reset(&unpacked);
}

static void assert_same(void) { assert_true(slice_equals(buf_slice(&unpacked), buf_slice(&raw))); }

static void flush(const char *lines) {
    buf_append_text(&raw, lines);
    assert_true(link_pack(&packer, slice_from_text(lines), &packed));
}

static void test_what_was_packed_at_once_can_be_read_at_once(void **state) {
    (void)state;
    assert_true(link_pack(&packer, SLICE(""), &packed));
    assert_int_equal(buf_used(&packed), 0);
    for (int i = 0; i < 1000; i++) {
        char line[100];
        size_t before = buf_used(&packed);
        snprintf(line, sizeof(line), "REPLICATE|session:%d|{\"user\":%d,\"name\":\"Alice\"}|%d\n", i, i * 7, i);
        flush(line);
        assert_int_equal(unpack(slice_skip(buf_slice(&packed), before)), LINK_UNPACKED);
        assert_same();
    }
    assert_int_equal(packer.bytes.raw, buf_used(&raw));
    assert_int_equal(packer.bytes.packed, buf_used(&packed));
    assert_memory_equal(&packer.bytes, &unpacker.bytes, sizeof(packer.bytes));
    assert_true(3 * buf_used(&packed) < 2 * buf_used(&raw)); /* a line at a time */
}

/* Random bytes are stored as they are; much that is the same is little. */
static void append_kinds(void) {
    enum { RANDOM = 300000, SAME = 3000000 };
    unsigned x = 1;
    for (size_t i = 0; i < RANDOM; i++) {
        x = x * 1103515245 + 12345;
        buf_append_byte(&raw, (char)(x >> 16));
    }
    char *same = buf_reserve(&raw, SAME);
    memset(same, 'x', SAME);
    buf_commit(&raw, SAME);
}

static void test_what_is_large_goes_in_blocks(void **state) {
    (void)state;
    append_kinds();
    assert_true(link_pack(&packer, buf_slice(&raw), &packed));
    assert_true(buf_used(&packed) > 300000 && buf_used(&packed) < 330000);
    for (size_t step = 1; step < buf_used(&packed); step = step * 7 + 1) {
        for (struct slice rest = buf_slice(&packed); rest.len > 0;) {
            struct slice part = slice_first(rest, step);
            assert_int_equal(unpack(part), LINK_UNPACKED);
            rest = slice_skip(rest, part.len);
        }
        assert_same();
        forget_unpacked();
    }
}

static void pack_some_lines(void) {
    flush("CONTINUE|0000000000020000|7\n");
    flush(
        "CLOCK|600\nREPLICATE|k|vvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvv|1\nREPLICATE|k|vvvvvvvvvvvvvvvvvvvvvvvv|2\n");
    flush("PING|10\n");
    flush("REPLICATE|key|8d0a7c51f3e2|3\nDELETE|k|4\n");
}

static void test_cut_at_every_byte_it_is_the_same(void **state) {
    (void)state;
    pack_some_lines();
    struct slice whole = buf_slice(&packed);
    for (size_t cut = 0; cut <= whole.len; cut++) {
        assert_int_equal(unpack(slice_first(whole, cut)), LINK_UNPACKED);
        struct slice so_far = buf_slice(&unpacked);
        assert_true(
            slice_equals(so_far, slice_first(buf_slice(&raw), so_far.len))); /* nothing but its beginning */
        assert_int_equal(unpack(slice_skip(whole, cut)), LINK_UNPACKED);
        assert_same();
        forget_unpacked();
    }
}

/* In a block its checksum tells. In front of it stands its length, of which the highest bit says that the block
 * is stored as it is: nothing watches over that one. In the head of the frame a checksum again. What is not
 * refused at once waits for bytes that never come. */
static void test_a_flipped_bit_is_never_taken_for_what_was_sent(void **state) {
    (void)state;
    pack_some_lines();
    struct slice whole = buf_slice(&packed);
    size_t refused = 0, bits = 8 * whole.len;
    for (size_t bit = 0; bit < bits; bit++) {
        packed.data[packed.start + bit / 8] ^= (char)(1 << bit % 8);
        refused += unpack(whole) == LINK_UNPACK_BAD;
        assert_false(slice_equals(buf_slice(&unpacked), buf_slice(&raw)));
        assert_true(buf_used(&unpacked) <= 2 * LINK_UNPACK_BYTES);
        packed.data[packed.start + bit / 8] ^= (char)(1 << bit % 8);
        forget_unpacked();
    }
    assert_true(10 * refused > 9 * bits);
}

static void test_what_is_no_frame_is_refused(void **state) {
    (void)state;
    static const char *const others[] = {"FULL|0000000000020000|7|0\n", "REPLICATE|k|v|1\n",
                                         "GET / HTTP/1.1\r\n", "\x28\xb5\x2f\xfd zstd's"};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        assert_int_equal(unpack(slice_from_text(others[i])), LINK_UNPACK_BAD);
        assert_int_equal(buf_used(&unpacked), 0);
        forget_unpacked();
    }
}

static void test_frames_may_follow_one_another(void **state) {
    (void)state;
    flush("CLOCK|1\n");
    buf_append(&packed, "\0\0\0\0", 4); /* the end of the first */
    link_packer_deinit(&packer);
    flush("CLOCK|2\n");
    assert_int_equal(unpack(buf_slice(&packed)), LINK_UNPACKED);
    assert_same();
}

/* 64 MB of zeros in 300 KB: a part of them at a time, as long as nobody asks for more. */
static void test_a_bomb_goes_off_slowly(void **state) {
    (void)state;
    enum { MB = 1 << 20, MBS = 64 };
    char *zeros = calloc(1, MB);
    assert_non_null(zeros);
    for (int i = 0; i < MBS; i++) {
        assert_true(link_pack(&packer, slice_of(zeros, MB), &packed));
    }
    free(zeros);
    assert_true(buf_used(&packed) < MB / 2);
    struct slice rest = buf_slice(&packed);
    uint64_t got = 0;
    for (enum link_unpacked result = LINK_UNPACKED_PART; result == LINK_UNPACKED_PART;) {
        size_t taken;
        const char *reason;
        result = link_unpack(&unpacker, rest, &unpacked, &taken, &reason);
        rest = slice_skip(rest, taken);
        assert_true(buf_used(&unpacked) <= LINK_UNPACK_BYTES);
        assert_true(unpacked.capacity <= 4 * LINK_UNPACK_BYTES);
        got += buf_used(&unpacked);
        buf_consume(&unpacked, buf_used(&unpacked));
    }
    assert_int_equal(got, (uint64_t)MBS * MB);
}

/* Whoever takes no lines out has it refused where the buffer is full. */
static void test_a_full_buffer_is_the_end(void **state) {
    (void)state;
    append_kinds();
    assert_true(link_pack(&packer, buf_slice(&raw), &packed));
    buf_deinit(&unpacked);
    buf_init(&unpacked, 4 * LINK_UNPACK_BYTES);
    assert_int_equal(unpack(buf_slice(&packed)), LINK_UNPACK_BAD);
    assert_int_equal(buf_used(&unpacked), 4 * LINK_UNPACK_BYTES);
    buf_deinit(&packed);
    buf_init(&packed, 1000);
    assert_false(link_pack(&packer, buf_slice(&raw), &packed));
}

int main(void) {
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_what_was_packed_at_once_can_be_read_at_once),
        TEST(test_what_is_large_goes_in_blocks),
        TEST(test_cut_at_every_byte_it_is_the_same),
        TEST(test_a_flipped_bit_is_never_taken_for_what_was_sent),
        TEST(test_what_is_no_frame_is_refused),
        TEST(test_frames_may_follow_one_another),
        TEST(test_a_bomb_goes_off_slowly),
        TEST(test_a_full_buffer_is_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
