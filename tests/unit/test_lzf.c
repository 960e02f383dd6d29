#include "protocol/lzf.h"

#include "tests/unit/random.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void assert_gives(struct slice packed, struct slice expected) {
    char *to = malloc(expected.len + 1); /* of its exact size: what is written past it is found by ASan */
    assert_true(lzf_decompress(packed, to, expected.len));
    assert_memory_equal(to, expected.ptr, expected.len);
    free(to);
}

static void test_literals_and_matches(void **state) {
    (void)state;
    assert_gives(SLICE(""), SLICE(""));
    assert_gives(SLICE("\x00"
                       "a"),
                 SLICE("a"));
    assert_gives(SLICE("\x02"
                       "abc"
                       "\x20\x02"),
                 SLICE("abcabc"));
    assert_gives(SLICE("\x00"
                       "a"
                       "\xe0\x01\x00"),
                 SLICE("aaaaaaaaaaa")); /* one byte, and ten more of it */
}

static void test_refuses_what_is_malformed(void **state) {
    (void)state;
    static const struct slice wrong[] = {
        {"\x00", 1}, /* a literal that is not there */
        {"\x02"
         "ab",
         3},             /* fewer of them than said */
        {"\x20\x00", 2}, /* a match before the beginning */
        {"\x00"
         "a\x20\x01",
         4}, /* likewise, by one */
        {"\x00"
         "a\x20",
         3}, /* a distance that is missing */
        {"\x00"
         "a\xe0",
         3}, /* a length that is missing */
        {"\x00"
         "a\xe0\x00",
         4}, /* its distance */
    };
    char to[16];
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        for (size_t n = 0; n <= sizeof(to); n++) {
            assert_false(lzf_decompress(wrong[i], to, n));
        }
    }
    assert_false(lzf_decompress(SLICE("\x02"
                                      "abc"),
                                to, 2));
    assert_false(lzf_decompress(SLICE("\x02"
                                      "abc"),
                                to, 4));
    assert_false(lzf_decompress(SLICE("\x02"
                                      "abc\x20\x02"),
                                to, 5));
}

/* Text of few words, runs, noise: what comes out is what went in, whatever room there was. */
static size_t random_text(struct random *random, char *to, size_t most) {
    size_t length = random_below(random, most + 1), i = 0;
    size_t letters = 1 + random_below(random, random_below(random, 2) == 0 ? 3 : 256);
    while (i < length) {
        if (i > 0 && random_below(random, 4) == 0) {
            size_t from = random_below(random, i), n = random_below(random, 400);
            for (size_t k = 0; k < n && i < length; k++) {
                to[i++] = to[from + k];
            }
        } else {
            to[i++] = (char)random_below(random, letters);
        }
    }
    return length;
}

static void test_round_trip(void **state) {
    (void)state;
    enum { MOST = 20000 };
    struct random random = random_start("test_round_trip");
    char *text = malloc(MOST), *back = malloc(MOST);
    size_t compressed = 0;
    for (int round = 0; round < 400; round++) {
        size_t length = random_text(&random, text, round < 200 ? 100 : MOST);
        size_t room = random_below(&random, 2) == 0 ? length : random_below(&random, length + 1);
        char *packed = malloc(room + 1);
        size_t n = lzf_compress(slice_of(text, length), packed, room);
        if (n > 0) {
            assert_true(n <= room && n < length);
            assert_true(length <= n * LZF_MAX_RATIO);
            assert_true(lzf_decompress(slice_of(packed, n), back, length));
            assert_memory_equal(back, text, length);
            compressed++;
        }
        free(packed);
    }
    assert_true(compressed > 50);
    free(text);
    free(back);
}

static void test_repetition_is_short_and_noise_is_left(void **state) {
    (void)state;
    char run[10000], noise[1000], to[10000];
    memset(run, 'x', sizeof(run));
    assert_in_range(lzf_compress(slice_of(run, sizeof(run)), to, sizeof(to)), 1, 130);
    struct random random = {1};
    for (size_t i = 0; i < sizeof(noise); i++) {
        noise[i] = (char)random_u64(&random);
    }
    assert_int_equal(lzf_compress(slice_of(noise, sizeof(noise)), to, sizeof(to)), 0);
    assert_int_equal(lzf_compress(SLICE(""), to, sizeof(to)), 0);
    assert_int_equal(lzf_compress(slice_of(run, sizeof(run)), to, 0), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_literals_and_matches),
        cmocka_unit_test(test_refuses_what_is_malformed),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_repetition_is_short_and_noise_is_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
