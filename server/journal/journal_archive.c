/* journal_archive.c: the lines that are in the segments, for followers that the backlog has moved past.
 *
 *   reader:  IDLE --- read, and nothing is left --> WANTED -- its turn comes --> AT_WORK (the thread's)
 *             ^                                        ^                            |
 *             |                                        '--- closed meanwhile -------+
 *             '---------------------------------------------------------------------'
 *
 * One that is closed is WANTED once more: a file that was removed goes with its descriptor, and that takes a
 * while.
 */
#include "server/journal/journal_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum reader_state { IDLE, WANTED, AT_WORK };

struct archive_reader {
    struct archive_reader *next;
    struct journal *journal;
    enum reader_state state;
    bool closed, lost;
    bool ends; /* AT_WORK: its turn is the last */
    uint64_t map_line;
    uint64_t end_bytes; /* of the segment that it is in, if that is not the newest; 0: not known yet */
    bool opens;         /* place is to be opened first */
    struct journal_place place;
    uint64_t read_to;
    struct journal_lines lines; /* AT_WORK: the thread's */
};

/* --- The thread --- */

static void work(void *context) {
    struct archive_reader *reader = context;
    if (reader->ends) {
        journal_lines_deinit(&reader->lines);
        return;
    }
    if (reader->opens) {
        journal_lines_open(&reader->lines, &reader->place);
    }
    if (reader->lines.reason == NULL) {
        journal_lines_read(&reader->lines, reader->read_to);
    }
}

static void give_the_next_its_turn(struct journal *journal);

static void remove_reader(struct archive_reader *reader) {
    struct archive_reader **at = &reader->journal->readers;
    while (*at != reader) {
        at = &(*at)->next;
    }
    *at = reader->next;
}

static void append_reader(struct archive_reader *reader) {
    struct archive_reader **at = &reader->journal->readers;
    while (*at != NULL) {
        at = &(*at)->next;
    }
    reader->next = NULL;
    *at = reader;
}

/* What could not be read is not offered again, nor what lies before it: whoever lacks that is sent the state.
 */
static void note_failure(struct archive_reader *reader) {
    struct journal *journal = reader->journal;
    const struct journal_lines *lines = &reader->lines;
    reader->lost = true;
    bool removed = journal_line_map_segment(&journal->map, lines->number) == NULL;
    log_write(journal->config.log, removed ? LOG_INFO : LOG_ERROR, "segment-not-read",
              "segment=%llu offset=%llu removed=%s text=%s error=%s", (unsigned long long)lines->number,
              (unsigned long long)lines->offset, removed ? "true" : "false", log_quote(lines->reason),
              lines->error == 0 ? "none" : log_quote(strerror(lines->error)));
    if (!removed && lines->error != ENOMEM && reader->map_line == journal->map_line) {
        journal_archive_drop_below(journal, lines->number + 1);
    }
}

static void done(void *context) {
    struct archive_reader *reader = context;
    struct journal *journal = reader->journal;
    reader->state = reader->closed ? WANTED : IDLE;
    reader->opens = false;
    if (reader->ends) {
        remove_reader(reader);
        free(reader);
    } else if (reader->lines.reason != NULL && !reader->lost) {
        note_failure(reader);
    }
    give_the_next_its_turn(journal);
}

/* In a round: who has had its turn is the last. */
static void give_the_next_its_turn(struct journal *journal) {
    struct archive_reader *reader = journal->readers;
    while (reader != NULL && reader->state != WANTED) {
        reader = reader->next;
    }
    if (reader == NULL || worker_busy(journal->archivist)) {
        return;
    }
    remove_reader(reader);
    append_reader(reader);
    reader->state = AT_WORK;
    reader->ends = reader->closed;
    worker_run(journal->archivist, work, done, reader);
}

/* --- What there is to read --- */

static bool is_served(const struct journal *journal) {
    return journal->counts && !journal->failed && !journal->reader.lost &&
           history_id(journal->config.history) == journal->history_id;
}

/* How far the segment that a reader is in can be read now. Of the newest that is what is written; a record of
 * which a part is missing yet waits for the rest. */
static uint64_t end_of(const struct archive_reader *reader) {
    const struct journal *journal = reader->journal;
    const struct journal_map_segment *segment = journal_line_map_segment(&journal->map, reader->place.number);
    if (segment == NULL) {
        return reader->end_bytes;
    }
    return journal_line_map_is_newest(&journal->map, segment->number) ? journal->offset : segment->end_bytes;
}

/* Its next turn has something to do. */
static bool plan(struct archive_reader *reader) {
    const struct journal *journal = reader->journal;
    struct journal_lines *lines = &reader->lines;
    reader->read_to = end_of(reader);
    bool begins = lines->number == 0;
    uint64_t read = begins ? reader->place.mark.offset : lines->offset + buf_used(&lines->in);
    if (begins || read < reader->read_to || journal_lines_has_more(lines)) {
        reader->opens = begins;
        return true;
    }
    if (journal_line_map_is_newest(&journal->map, lines->number)) {
        return false;
    }
    struct journal_place next; /* that which goes on may be gone, and what is there begin behind it */
    reader->lost =
        !journal_line_map_next(&journal->map, lines->number, &next) || next.mark.index != lines->index;
    if (reader->lost) {
        return false;
    }
    reader->opens = true;
    reader->place = next;
    reader->end_bytes = 0;
    reader->read_to = end_of(reader);
    return true;
}

/* --- Of the journal's files --- */

void journal_archive_begin(struct journal *journal, uint64_t number, uint64_t index, bool continues,
                           uint64_t end_bytes) {
    if (!continues) {
        journal->map.count = 0;
        journal->map_line++;
    }
    journal_line_map_begin(&journal->map, number, index, end_bytes);
}

void journal_archive_drop_below(struct journal *journal, uint64_t number) {
    for (struct archive_reader *reader = journal->readers; reader != NULL; reader = reader->next) {
        if (reader->place.number < number) {
            reader->end_bytes = end_of(reader);
        }
    }
    journal_line_map_drop_below(&journal->map, number);
}

void journal_archive_destroy(struct journal *journal) {
    worker_destroy(&journal->archivist);
    while (journal->readers != NULL) {
        struct archive_reader *reader = journal->readers;
        journal->readers = reader->next;
        journal_lines_deinit(&reader->lines);
        free(reader);
    }
}

/* --- cluster/archive.h --- */

static size_t count_readers(const struct journal *journal) {
    size_t n = 0;
    for (const struct archive_reader *reader = journal->readers; reader != NULL; reader = reader->next) {
        n++;
    }
    return n;
}

struct archive_reader *journal_archive_open(void *context, uint64_t index, uint64_t most_bytes) {
    struct journal *journal = context;
    struct journal_place place;
    uint64_t bytes;
    if (!is_served(journal) || count_readers(journal) == JOURNAL_READERS ||
        !journal_line_map_find(&journal->map, index, journal->offset, &place, &bytes) || bytes > most_bytes) {
        return NULL;
    }
    if (journal->archivist == NULL) {
        journal->archivist = worker_create(journal->loop);
    }
    struct archive_reader *reader = journal->archivist == NULL ? NULL : calloc(1, sizeof(*reader));
    if (reader == NULL) {
        return NULL;
    }
    reader->journal = journal;
    reader->map_line = journal->map_line;
    reader->place = place;
    journal_lines_init(&reader->lines, journal->config.directory, journal->history_id, index);
    append_reader(reader);
    return reader;
}

enum archive_result journal_archive_read(struct archive_reader *reader, struct slice *lines,
                                         uint64_t *last_index) {
    struct journal *journal = reader->journal;
    reader->lost |= !is_served(journal) || reader->map_line != journal->map_line;
    if (reader->lost) {
        return ARCHIVE_LOST;
    }
    if (reader->state != IDLE) {
        return ARCHIVE_LATER;
    }
    *lines = journal_lines_pending(&reader->lines);
    *last_index = reader->lines.index;
    if (lines->len > 0) {
        return ARCHIVE_LINES;
    }
    if (plan(reader)) {
        reader->state = WANTED;
        give_the_next_its_turn(journal);
    }
    return reader->lost ? ARCHIVE_LOST : ARCHIVE_LATER;
}

void journal_archive_advance(struct archive_reader *reader, size_t n) {
    assert(reader->state == IDLE);
    journal_lines_take(&reader->lines, n);
}

void journal_archive_close(struct archive_reader *reader) {
    assert(!reader->closed);
    reader->closed = true;
    if (reader->state == IDLE) {
        reader->state = WANTED;
        give_the_next_its_turn(reader->journal);
    }
}
