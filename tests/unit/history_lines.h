/* history_lines.h: what a reader of a history finds. */
#ifndef KVNODE_TESTS_UNIT_HISTORY_LINES_H
#define KVNODE_TESTS_UNIT_HISTORY_LINES_H

#include "cluster/history.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* The first run of lines behind the index; until the next change. */
static inline struct slice history_lines_behind(struct history *history, uint64_t index) {
    struct history_reader reader = {0};
    struct slice lines;
    uint64_t last_index;
    assert_true(history_open(history, &reader, index));
    assert_true(history_read(history, &reader, &lines, &last_index));
    history_close(history, &reader);
    return lines;
}

#endif
