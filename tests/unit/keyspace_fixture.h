/* keyspace_fixture.h: a keyspace that owns its data, with a loop and a history that is kept from its first line
 * on. */
#ifndef KVNODE_TESTS_UNIT_KEYSPACE_FIXTURE_H
#define KVNODE_TESTS_UNIT_KEYSPACE_FIXTURE_H

#include "server/store/keyspace.h"
#include "tests/unit/loop_fixture.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <setjmp.h>

#include <cmocka.h>

struct fixture {
    struct loop *loop;
    struct history *history;
    struct keyspace *keyspace;
    struct history_reader reader; /* behind the last line that was read */
    char text[4096];              /* what was read of the history last */
};

static inline int setup(void **state) {
    struct fixture *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    f->loop = loop_create();
    f->history = history_create(history_make_id(loop_now_ms(f->loop), 1), 1 << 20);
    assert_true(history_open(f->history, &f->reader, 0));
    f->keyspace = keyspace_create(f->loop, f->history, 0);
    assert_non_null(f->keyspace);
    keyspace_set_owner(f->keyspace, true);
    *state = f;
    return 0;
}

static inline int teardown(void **state) {
    struct fixture *f = *state;
    keyspace_destroy(&f->keyspace);
    history_destroy(&f->history);
    loop_destroy(&f->loop);
    free(f);
    return 0;
}

static inline bool is_clock(struct slice line) { return line.len > 6 && memcmp(line.ptr, "CLOCK|", 6) == 0; }

/* What the history says since it was asked last, CLOCK lines left out. */
static inline const char *said(struct fixture *f) {
    struct slice bytes;
    uint64_t last_index;
    size_t n = 0;
    assert_true(history_read(f->history, &f->reader, &bytes, &last_index));
    history_advance(f->history, &f->reader, bytes.len);
    while (bytes.len > 0) {
        size_t len = (size_t)((const char *)memchr(bytes.ptr, '\n', bytes.len) - bytes.ptr) + 1;
        if (!is_clock(slice_first(bytes, len))) {
            assert_true(n + len < sizeof(f->text));
            memcpy(f->text + n, bytes.ptr, len);
            n += len;
        }
        bytes = slice_skip(bytes, len);
    }
    f->text[n] = '\0';
    return f->text;
}

static inline enum err apply(struct fixture *f, const char *text) {
    struct buf scratch;
    struct line line;
    const char *reason = "";
    buf_init(&scratch, 4096);
    assert_int_equal(line_decode(slice_from_text(text), &scratch, &line, &reason), LINE_OK);
    enum err err = keyspace_apply(f->keyspace, &line, 1234);
    buf_deinit(&scratch);
    return err;
}

#endif
