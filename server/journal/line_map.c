#include "server/journal/line_map.h"

#include <assert.h>

static void drop_oldest(struct journal_line_map *map, size_t n) {
    map->count -= n;
    memmove(map->segments, map->segments + n, map->count * sizeof(map->segments[0]));
}

void journal_line_map_begin(struct journal_line_map *map, uint64_t number, uint64_t index, uint64_t end_bytes) {
    if (map->count > 0) {
        map->segments[map->count - 1].end_bytes = end_bytes;
    }
    if (map->count == JOURNAL_MAP_SEGMENTS) {
        drop_oldest(map, 1);
    }
    struct journal_map_segment *segment = &map->segments[map->count++];
    segment->number = number;
    segment->end_bytes = segment->line_bytes = 0;
    segment->stride_bytes = JOURNAL_MAP_FIRST_STRIDE;
    segment->count = 1;
    segment->marks[0] = (struct journal_mark){.index = index};
    journal_chain_init(&segment->marks[0].chain);
}

void journal_line_map_add_mark(struct journal_line_map *map, const struct journal_mark *mark) {
    assert(map->count > 0);
    struct journal_map_segment *segment = &map->segments[map->count - 1];
    if (segment->count == JOURNAL_MAP_MARKS) {
        segment->count = JOURNAL_MAP_MARKS / 2;
        segment->stride_bytes *= 2;
        for (size_t i = 1; i < segment->count; i++) {
            segment->marks[i] = segment->marks[2 * i];
        }
    }
    segment->marks[segment->count++] = *mark;
}

void journal_line_map_drop_below(struct journal_line_map *map, uint64_t number) {
    size_t n = 0;
    while (n < map->count && map->segments[n].number < number) {
        n++;
    }
    drop_oldest(map, n);
}

/* The last mark that is at or before the line, and written. */
static const struct journal_mark *mark_before(const struct journal_map_segment *segment, uint64_t index,
                                              uint64_t written_bytes) {
    size_t i = segment->count - 1;
    while (i > 0 && (segment->marks[i].index > index || segment->marks[i].offset > written_bytes)) {
        i--;
    }
    return &segment->marks[i];
}

bool journal_line_map_find(const struct journal_line_map *map, uint64_t index, uint64_t written_bytes,
                           struct journal_place *out, uint64_t *bytes) {
    *bytes = 0;
    for (size_t i = map->count; i > 0; i--) {
        const struct journal_map_segment *segment = &map->segments[i - 1];
        *bytes += segment->line_bytes;
        if (segment->marks[0].index <= index) {
            uint64_t end_bytes = i == map->count ? written_bytes : segment->end_bytes;
            *out = (struct journal_place){segment->number, *mark_before(segment, index, end_bytes)};
            *bytes -= out->mark.line_bytes;
            return true;
        }
    }
    return false;
}

bool journal_line_map_next(const struct journal_line_map *map, uint64_t number, struct journal_place *out) {
    for (size_t i = 0; i < map->count; i++) {
        if (map->segments[i].number > number) {
            *out = (struct journal_place){map->segments[i].number, map->segments[i].marks[0]};
            return true;
        }
    }
    return false;
}

const struct journal_map_segment *journal_line_map_segment(const struct journal_line_map *map,
                                                           uint64_t number) {
    for (size_t i = 0; i < map->count; i++) {
        if (map->segments[i].number == number) {
            return &map->segments[i];
        }
    }
    return NULL;
}
