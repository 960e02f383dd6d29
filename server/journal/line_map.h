/* line_map.h: in which segment, and about where in it, a line of the history is. Pure; embedded by value.
 *
 *     segment 7   FULL at index 100 ... | mark | mark | mark     newest: it is being written
 *     segment 6   FULL at index 40 ....... | mark                ends where 7 begins
 *
 * All that is in it is one line of one history: the segments follow each other without a gap. A mark is where a
 * record of the history ends, with what is needed to verify the next one; there are few, however long a segment
 * is: when they are too many every second one goes, and from then on they are twice as far apart.
 */
#ifndef KVNODE_SERVER_JOURNAL_LINE_MAP_H
#define KVNODE_SERVER_JOURNAL_LINE_MAP_H

#include "protocol/journal_record.h"

enum {
    JOURNAL_MAP_SEGMENTS = 4, /* the oldest is forgotten when there are more */
    JOURNAL_MAP_MARKS = 128,
    JOURNAL_MAP_FIRST_STRIDE = 256 << 10, /* bytes */
};

struct journal_mark {
    uint64_t index; /* of the line that ends here */
    uint64_t offset;
    uint64_t line_bytes; /* as long are the records of history lines before it */
    struct journal_chain chain;
};

struct journal_map_segment {
    uint64_t number;
    uint64_t end_bytes;  /* of one that is not the newest */
    uint64_t line_bytes; /* of all its history lines */
    uint64_t stride_bytes;
    size_t count; /* at least 1: the first mark is the beginning, before FULL */
    struct journal_mark marks[JOURNAL_MAP_MARKS];
};

/* Zero is empty. */
struct journal_line_map {
    struct journal_map_segment segments[JOURNAL_MAP_SEGMENTS]; /* oldest first */
    size_t count;
};

/* A segment whose lines go on behind line index; the newest one so far is end_bytes long. */
void journal_line_map_begin(struct journal_line_map *map, uint64_t number, uint64_t index, uint64_t end_bytes);
void journal_line_map_add_mark(struct journal_line_map *map, const struct journal_mark *mark);
/* Behind the newest segment, if there is one, are bytes more of history lines, and line index is the last. */
static inline void journal_line_map_note(struct journal_line_map *map, uint64_t bytes, uint64_t index,
                                         uint64_t offset, const struct journal_chain *chain) {
    struct journal_map_segment *newest = map->count == 0 ? NULL : &map->segments[map->count - 1];
    if (newest == NULL) {
        return;
    }
    newest->line_bytes += bytes;
    if (offset >= newest->marks[newest->count - 1].offset + newest->stride_bytes) {
        journal_line_map_add_mark(map, &(struct journal_mark){index, offset, newest->line_bytes, *chain});
    }
}
void journal_line_map_drop_below(struct journal_line_map *map, uint64_t number);

/* A place from which line index + 1 is read on. */
struct journal_place {
    uint64_t number;
    struct journal_mark mark; /* at or before line index */
};
/* False: it is not there. written_bytes: of the newest segment. *bytes: as long are the history lines behind
 * the place. */
bool journal_line_map_find(const struct journal_line_map *map, uint64_t index, uint64_t written_bytes,
                           struct journal_place *out, uint64_t *bytes);
/* The beginning of the segment that goes on behind number; false: there is none. */
bool journal_line_map_next(const struct journal_line_map *map, uint64_t number, struct journal_place *out);
/* NULL: it is not there (any more). */
const struct journal_map_segment *journal_line_map_segment(const struct journal_line_map *map, uint64_t number);
static inline bool journal_line_map_is_newest(const struct journal_line_map *map, uint64_t number) {
    return map->count > 0 && map->segments[map->count - 1].number == number;
}

#endif
