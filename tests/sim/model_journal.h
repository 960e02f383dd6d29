/* model_journal.h: the disk of a node in replication_world.h: the lines that its journal would hold, and the
 * number of its term. What server/journal/ does with files is done here with one buffer.
 *
 *     FULL, state, END, history lines ... | ... not synced yet
 *                                         ^ synced: a power cut takes none before, and any number behind
 *
 * A new state is written, at once and synced, whenever lines were lost or another history has begun, if the
 * store is whole; and now and then, as a compaction does. A recovery follows the lines with a follower's
 * decider, as server/journal/load.c does.
 *
 * It is an archive (cluster/archive.h): of the lines behind END, in pieces of any size, which take their time;
 * of those that a compaction has taken away, for whoever was reading them. Now and then it cannot be read.
 */
#ifndef KVNODE_TESTS_SIM_MODEL_JOURNAL_H
#define KVNODE_TESTS_SIM_MODEL_JOURNAL_H

#include "cluster/planted.h"
#include "tests/sim/model_store.h"
#include "tests/unit/random.h"

struct model_journal;

enum { MODEL_READERS = 2, MODEL_PIECE_BYTES = 600 };

struct archive_reader {
    struct model_journal *journal; /* NULL: it is nobody's */
    struct buf rest;               /* what it has not read yet; of before the last compaction, if is_old */
    struct buf piece;              /* what was read and not taken */
    bool is_old, lost;
    uint64_t index; /* of the last line of the piece */
};

struct model_journal {
    bool used; /* the node has a disk */
    bool slow;
    bool always; /* -fsync always: else everysec */
    struct buf bytes;
    size_t synced_bytes;
    uint64_t written_index, synced_index;
    struct history_reader reader;
    bool open;
    uint64_t term_number; /* in meta */
    uint64_t state_index; /* of FULL and END: the lines behind it are there */
    bool unsteady;        /* now and then it is compacted, or cannot be read */
    bool damaged;         /* nobody reads it before there is a new state */
    struct random *random;
    struct archive_reader readers[MODEL_READERS];
};

static inline void model_archive_close(struct archive_reader *reader) {
    if (reader->journal != NULL) {
        buf_deinit(&reader->rest);
        buf_deinit(&reader->piece);
        reader->journal = NULL;
    }
}

static inline void model_journal_init(struct model_journal *journal, bool used) {
    *journal = (struct model_journal){.used = used};
    buf_init(&journal->bytes, SIZE_MAX);
}

static inline void model_journal_sync(struct model_journal *journal) {
    journal->synced_bytes = buf_used(&journal->bytes);
    journal->synced_index = journal->written_index;
}

static inline void model_journal_new_state(struct model_journal *journal, struct model_store *store,
                                           struct history *history) {
    struct position here = history_position(history);
    uint64_t cursor = 0, count = 0;
    buf_reset(&journal->bytes);
    line_full(&journal->bytes, here.history_id, here.index, store->floor, &here.term);
    history_write_context(history, here.index, &journal->bytes);
    if (history_clock_ms(history) != 0) {
        line_clock(&journal->bytes, history_clock_ms(history));
    }
    do {
        cursor = model_scan(store, cursor, false, &journal->bytes, &count);
    } while (cursor != 0);
    line_end(&journal->bytes, count, here.index);
    journal->written_index = journal->state_index = here.index;
    journal->damaged = false;
    journal->open = history_open(history, &journal->reader, here.index);
    model_journal_sync(journal);
}

/* What has been written to the history since. whole: the store is what the history says. */
static inline void model_journal_write(struct model_journal *journal, struct model_store *store,
                                       struct history *history, bool whole) {
    struct slice lines;
    uint64_t last;
    if (!journal->used || history_id(history) == 0) {
        return;
    }
    if (!journal->open || journal->reader.lost) {
        for (size_t i = 0; i < MODEL_READERS; i++) {
            journal->readers[i].lost = true;
        }
        if (whole) {
            model_journal_new_state(journal, store, history);
        }
        return;
    }
    while (history_read(history, &journal->reader, &lines, &last) && lines.len > 0) {
        buf_append_slice(&journal->bytes, lines);
        history_advance(history, &journal->reader, lines.len);
        journal->written_index = last;
    }
}

/* Where the lines behind END begin. */
static inline size_t model_journal_tail(const struct model_journal *journal) {
    struct slice all = buf_slice(&journal->bytes), rest = all, line;
    do {
        line = slice_take_until(&rest, '\n');
    } while (line.len < 4 || memcmp(line.ptr, "END|", 4) != 0);
    return all.len - rest.len;
}

/* Behind line index, as far as it is written. */
static inline struct slice model_archive_lines(const struct model_journal *journal, uint64_t index) {
    struct slice rest = slice_skip(buf_slice(&journal->bytes), model_journal_tail(journal));
    for (uint64_t at = journal->state_index; at < index; at++) {
        slice_take_until(&rest, '\n');
    }
    return rest;
}

/* A new state takes the place of all that was written, which stays for those who are reading it. */
static inline void model_journal_compact(struct model_journal *journal, struct model_store *store,
                                         struct history *history, bool whole) {
    if (!whole || !journal->open || journal->reader.lost || history_id(history) == 0) {
        return;
    }
    model_journal_write(journal, store, history, whole);
    for (size_t i = 0; i < MODEL_READERS; i++) {
        struct archive_reader *reader = &journal->readers[i];
        if (reader->journal != NULL) {
            reader->lost |= reader->is_old || journal->damaged; /* the one between has gone, too */
            reader->is_old = true;
            buf_append_slice(&reader->rest, model_archive_lines(journal, reader->index));
        }
    }
    model_journal_new_state(journal, store, history);
}

/* What ACK may say of it. */
static inline uint64_t model_journal_durable(const struct model_journal *journal,
                                             const struct history *history) {
    if (!journal->open || journal->reader.lost) {
        return 0;
    }
    if (PLANTED(PLANTED_ACK_BEFORE_THE_WRITE)) {
        return history_index(history);
    }
    uint64_t written = journal->written_index, synced = journal->synced_index;
    uint64_t voters = history_voters_index(history);
    bool syncs = lineage_next_term(history_lineage(history), synced) <= written ||
                 (voters > synced && voters <= written);
    return journal->always || (syncs && !PLANTED(PLANTED_TERM_NOT_SYNCED)) ? synced : written;
}

/* Where the line behind at ends, a BATCH with all its lines; at the end of all: 0. */
static inline size_t model_journal_next(struct slice bytes, size_t at) {
    struct slice rest = slice_skip(bytes, at);
    uint64_t lines = 1;
    if (rest.len > 6 && memcmp(rest.ptr, "BATCH|", 6) == 0) {
        lines += strtoull(rest.ptr + 6, NULL, 10);
    }
    for (; lines > 0; lines--) {
        const char *end = rest.len == 0 ? NULL : memchr(rest.ptr, '\n', rest.len);
        if (end == NULL) {
            return 0;
        }
        rest = slice_skip(rest, (size_t)(end + 1 - rest.ptr));
    }
    return bytes.len - rest.len;
}

/* The node is no more; with the power, lines that were not synced may go. */
static inline void model_journal_crash(struct model_journal *journal, struct history *history, bool power,
                                       struct random *random) {
    history_close(history, &journal->reader);
    journal->open = false;
    size_t at = journal->synced_bytes, end = buf_used(&journal->bytes), next;
    while (power && at < end && random_below(random, 10) > 0 &&
           (next = model_journal_next(buf_slice(&journal->bytes), at)) != 0) {
        at = next;
    }
    if (power) {
        buf_truncate(&journal->bytes, at);
    }
}

/* The directory is gone. */
static inline void model_journal_lose(struct model_journal *journal) {
    buf_reset(&journal->bytes);
    journal->synced_bytes = 0;
    journal->written_index = journal->synced_index = journal->term_number = 0;
}

/* Into an empty store and history. False: there is nothing. */
static inline bool model_journal_recover(struct model_journal *journal, struct model_store *store,
                                         struct history *history) {
    struct follower follower;
    struct follower_link link;
    struct group_data data = model_data(store);
    struct slice rest = buf_slice(&journal->bytes);
    struct buf scratch, out;
    buf_init(&scratch, SIZE_MAX);
    buf_init(&out, SIZE_MAX);
    follower_init(&follower, "file", 0, history, &data);
    follower_link_init(&link, 0);
    follower.leader_link = &link;
    link.phase = FOLLOWER_SYNCING;
    link.began = true;
    bool found = rest.len > 0;
    while (rest.len > 0) {
        struct line line;
        struct slice bytes = slice_take_until(&rest, '\n');
        if (follower_link_line(&link, &follower, bytes, 0, &scratch, &line, &out) != FOLLOWER_GO_ON) {
            abort();
        }
        follower_link_keep(&link, &follower);
    }
    follower_link_deinit(&link, &follower);
    buf_deinit(&scratch);
    buf_deinit(&out);
    journal->written_index = history_index(history);
    journal->open = found && history_open(history, &journal->reader, history_index(history));
    return found;
}

/* --- The archive --- */

static inline struct archive_reader *model_archive_open(void *context, uint64_t index, uint64_t most_bytes) {
    struct model_journal *journal = context;
    struct archive_reader *reader = journal->readers;
    if (!journal->open || journal->reader.lost || journal->damaged || index < journal->state_index ||
        index >= journal->written_index || model_archive_lines(journal, index).len > most_bytes) {
        return NULL;
    }
    while (reader->journal != NULL) {
        if (++reader == journal->readers + MODEL_READERS) {
            return NULL;
        }
    }
    *reader = (struct archive_reader){.journal = journal, .index = index};
    buf_init(&reader->rest, SIZE_MAX);
    buf_init(&reader->piece, SIZE_MAX);
    return reader;
}

/* Some lines of what comes next, none at its end. */
static inline void model_archive_take(struct archive_reader *reader, struct slice lines) {
    lines = history_first_lines(lines, 1 + random_below(reader->journal->random, MODEL_PIECE_BYTES));
    buf_append_slice(&reader->piece, lines);
    for (struct slice rest = lines; rest.len > 0; reader->index++) {
        slice_take_until(&rest, '\n');
    }
}

static inline enum archive_result model_archive_read(struct archive_reader *reader, struct slice *lines,
                                                     uint64_t *last_index) {
    struct model_journal *journal = reader->journal;
    if (reader->lost || !journal->open || journal->reader.lost) {
        return ARCHIVE_LOST;
    }
    if (buf_used(&reader->piece) == 0) {
        size_t luck = random_below(journal->random, 1000);
        reader->lost = journal->unsteady && luck == 0;
        journal->damaged |= reader->lost;
        if (luck < 300) {
            return reader->lost ? ARCHIVE_LOST : ARCHIVE_LATER;
        }
        if (reader->is_old && buf_used(&reader->rest) == 0) {
            reader->lost = reader->index != journal->state_index;
            reader->is_old = false;
        }
        if (reader->lost) {
            return ARCHIVE_LOST;
        }
        if (reader->is_old) {
            model_archive_take(reader, buf_slice(&reader->rest));
            buf_consume(&reader->rest, buf_used(&reader->piece));
        } else {
            model_archive_take(reader, model_archive_lines(journal, reader->index));
        }
    }
    *lines = buf_slice(&reader->piece);
    *last_index = reader->index;
    return lines->len > 0 ? ARCHIVE_LINES : ARCHIVE_LATER;
}

static inline void model_archive_advance(struct archive_reader *reader, size_t n) {
    buf_consume(&reader->piece, n);
}

static inline struct archive model_archive(struct model_journal *journal) {
    return (struct archive){.context = journal,
                            .open = model_archive_open,
                            .read = model_archive_read,
                            .advance = model_archive_advance,
                            .close = model_archive_close};
}

#endif
