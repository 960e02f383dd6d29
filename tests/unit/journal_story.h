/* journal_story.h: a small journal that has one of everything, and a model of the data that it is about.
 *
 * Segment 1 is whole: a state with a live line in it, then a batch, an expiry, a patch, a new term. Segment 2
 * is a compaction that is under way. Both have SYNCED records.
 */
#ifndef KVNODE_TESTS_UNIT_JOURNAL_STORY_H
#define KVNODE_TESTS_UNIT_JOURNAL_STORY_H

#include "protocol/journal_record.h"
#include "protocol/line.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

/* --- A segment that is being written --- */

struct pen {
    struct buf out;
    struct journal_chain chain;
    uint64_t index;
};

static void pen_init(struct pen *pen, uint64_t index) {
    buf_init(&pen->out, (size_t)1 << 30);
    journal_chain_init(&pen->chain);
    pen->index = index;
}

static void pen_deinit(struct pen *pen) { buf_deinit(&pen->out); }

static void pen_state(struct pen *pen, const char *line) {
    journal_append(&pen->out, &pen->chain, JOURNAL_NO_INDEX, slice_from_text(line));
}

static void pen_history(struct pen *pen, const char *line) {
    journal_append(&pen->out, &pen->chain, ++pen->index, slice_from_text(line));
}

/* All that is written so far is on the disk. */
static void pen_synced(struct pen *pen) { journal_append_synced(&pen->out, &pen->chain, buf_used(&pen->out)); }

/* --- The data: a few keys of one letter --- */

enum { MODEL_KEYS = 26, MODEL_VALUE_BYTES = 32 };

struct model {
    struct {
        char value[MODEL_VALUE_BYTES];
        uint64_t version; /* 0: it is not there */
        int64_t deadline_ms;
    } keys[MODEL_KEYS];
};

static void model_patch(char *value, const struct line *line) {
    size_t n = strlen(value);
    assert_true(line->offset + line->value.len < MODEL_VALUE_BYTES && line->offset <= n);
    memcpy(value + line->offset, line->value.ptr, line->value.len);
}

static void model_apply(struct model *model, struct slice bytes) {
    struct buf scratch;
    struct line line;
    const char *reason;
    buf_init(&scratch, 1000);
    assert_int_equal(line_decode(bytes, &scratch, &line, &reason), LINE_OK);
    size_t k = line.key.len == 1 ? (size_t)(line.key.ptr[0] - 'a') : 0;
    assert_true(k < MODEL_KEYS);
    switch (line.verb) {
    case LINE_REPLICATE:
        assert_true(line.value.len < MODEL_VALUE_BYTES);
        memset(model->keys[k].value, 0, MODEL_VALUE_BYTES);
        memcpy(model->keys[k].value, line.value.ptr, line.value.len);
        model->keys[k].version = line.version;
        model->keys[k].deadline_ms = line.deadline_ms;
        break;
    case LINE_PATCH:
        model_patch(model->keys[k].value, &line);
        model->keys[k].version = line.version;
        break;
    case LINE_DELETE:
        memset(&model->keys[k], 0, sizeof(model->keys[k]));
        break;
    case LINE_EXPIRE:
        model->keys[k].deadline_ms = line.deadline_ms;
        break;
    default:
        break;
    }
    buf_deinit(&scratch);
}

/* --- The story --- */

#define STORY_HISTORY "0192f0c4a1b2c3d4"

enum { STORY_FIRST_INDEX = 10, STORY_LAST_INDEX = 29, STORY_SECOND_SEGMENT = 21 };

static const char *const story_state[] = {
    "REPLICATEX|a|apple|4|1700000000000|0",
    "REPLICATEX|b|%7C|2|1700000000000|1800000000000",
    "REPLICATEX|c|cherry|9|1700000000000|0",
};

/* Line i is of index STORY_FIRST_INDEX + 1 + i; the first one stands within the first state. */
static const char *const story_history[STORY_LAST_INDEX - STORY_FIRST_INDEX] = {
    "CLOCK|1700000000001", /* 11 */
    "REPLICATE|d|date|1",
    "BATCH|3",
    "DELETE|a|5",
    "REPLICATE|e|elder|1",
    "REPLICATE|d|dates|2", /* 12 to 16 */
    "EXPIREX|b|1700000000500",
    "DELETE|b|3",
    "TERM|2|b-node",
    "PATCHX|c|0|C|10|1700000000002", /* 17 to 20 */
    "REPLICATE|f|fig|1",             /* 21: in front of the second segment */
    "REPLICATE|a|again|6",
    "BATCH|2",
    "REPLICATE|c|cut|11",
    "DELETE|d|3",
    "EXPIREX|e|1800000000000", /* to 26 */
    "REPLICATE|g|grape|1",
    "DELETE|f|2",
    "REPLICATE|h|honey|1", /* to 29 */
};

static const char *story_line(uint64_t index) { return story_history[index - STORY_FIRST_INDEX - 1]; }

/* The data behind that line. */
static inline void story_model(struct model *model, uint64_t index) {
    memset(model, 0, sizeof(*model));
    for (size_t i = 0; i < sizeof(story_state) / sizeof(story_state[0]); i++) {
        model_apply(model, slice_from_text(story_state[i]));
    }
    for (uint64_t i = STORY_FIRST_INDEX + 1; i <= index; i++) {
        model_apply(model, slice_from_text(story_line(i)));
    }
}

/* A node may stand there: within no batch, and behind the first state. */
static inline bool story_is_place(uint64_t index) {
    return index > STORY_FIRST_INDEX && index <= STORY_LAST_INDEX && !(index >= 13 && index < 16) &&
           !(index >= 23 && index < 25);
}

static void story_until(struct pen *pen, uint64_t index) {
    while (pen->index < index) {
        pen_history(pen, story_line(pen->index + 1));
    }
}

/* Returns the greatest offset that a SYNCED says, and where that record begins. */
static size_t story_first_segment(struct pen *pen, size_t *synced_at) {
    pen_init(pen, STORY_FIRST_INDEX);
    pen_state(pen, "FULL|" STORY_HISTORY "|10|3|1-a-node");
    pen_state(pen, story_state[0]);
    story_until(pen, 11);
    pen_state(pen, story_state[1]);
    pen_state(pen, story_state[2]);
    pen_state(pen, "END|3|11");
    pen_synced(pen);
    story_until(pen, 17);
    *synced_at = buf_used(&pen->out);
    pen_synced(pen);
    story_until(pen, STORY_SECOND_SEGMENT);
    return *synced_at;
}

static inline size_t story_second_segment(struct pen *pen, size_t *synced_at) {
    pen_init(pen, STORY_SECOND_SEGMENT);
    pen_state(pen, "FULL|" STORY_HISTORY "|21|3|2-b-node");
    pen_state(pen, "REPLICATEX|c|Cherry|10|1700000000002|0");
    story_until(pen, 22);
    pen_state(pen, "REPLICATEX|a|again|6|1700000000002|0");
    pen_synced(pen);
    story_until(pen, 26);
    *synced_at = buf_used(&pen->out);
    pen_synced(pen);
    pen_state(pen, "REPLICATEX|e|elder|1|1700000000002|1800000000000");
    story_until(pen, STORY_LAST_INDEX);
    return *synced_at;
}

#endif
