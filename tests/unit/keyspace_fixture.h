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

#endif
