#include "server/store/heap.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

/* jemalloc's own answer, where the test is linked with it. */
extern size_t nallocx(size_t bytes, int flags) __attribute__((weak));

static void a_class_holds_what_was_asked_for(void **state) {
    (void)state;
    size_t before = 16;
    for (size_t bytes = 9; bytes < ((size_t)1 << 30); bytes += 1 + bytes / 100) {
        size_t class = heap_class(bytes);
        assert_true(class >= bytes);
        assert_true(class - bytes < (bytes <= 128 ? 16 : bytes / 4));
        assert_int_equal(heap_class(class), class);
        assert_true(class >= before);
        before = class;
    }
}

static void the_classes_are_jemallocs(void **state) {
    (void)state;
    if (nallocx == NULL) {
        skip();
    }
    for (size_t bytes = 9; bytes <= 20000; bytes++) {
        assert_int_equal(heap_class(bytes), nallocx(bytes, 0));
    }
    for (size_t bytes = 20001; bytes < ((size_t)1 << 30); bytes += bytes / 50) {
        assert_int_equal(heap_class(bytes), nallocx(bytes, 0));
    }
}

static void lines_begin_on_a_cache_line(void **state) {
    (void)state;
    for (size_t lines = 1; lines <= 64; lines *= 2) {
        void *memory = heap_alloc_lines(lines * HEAP_LINE_BYTES);
        assert_non_null(memory);
        assert_int_equal((uintptr_t)memory % HEAP_LINE_BYTES, 0);
        heap_free(memory);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_class_holds_what_was_asked_for),
        cmocka_unit_test(the_classes_are_jemallocs),
        cmocka_unit_test(lines_begin_on_a_cache_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
