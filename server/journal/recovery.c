#include "server/journal/recovery.h"

#include "protocol/line.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum phase { PLANNING, READING, DONE, REFUSED };

/* A segment of the directory, oldest first. */
struct file {
    uint64_t number;
    uint64_t size_bytes;
    /* Of what was looked through while planning: those that are newer than the one that is begun with. */
    bool has_header;
    uint64_t history_id;
    uint64_t synced_bytes;
    bool dropped;
};

struct journal_recovery {
    struct journal_directory *directory;
    journal_take *take;
    void *context;
    enum phase phase;
    struct file *files;
    size_t files_count;
    size_t base; /* of files: the newest with an END */
    size_t at;   /* which is read */
    int fd;      /* of it; -1: not open */
    struct journal_segment segment;
    struct journal_term_begin *terms;
    size_t terms_capacity;
    uint64_t done_bytes; /* of segments that are done with */
    struct journal_found found;
};

/* --- Ends --- */

static enum journal_step refuse_at(struct journal_recovery *recovery, uint64_t line, uint64_t offset,
                                   const char *why) {
    char name[JOURNAL_NAME_BYTES];
    journal_segment_name(name, recovery->files[recovery->at].number);
    snprintf(recovery->found.reason, sizeof(recovery->found.reason), "%s/%s, line %llu, byte %llu: %s",
             journal_directory_path(recovery->directory), name, (unsigned long long)line,
             (unsigned long long)offset, why);
    recovery->phase = REFUSED;
    return JOURNAL_STEP_REFUSED;
}

static enum journal_step refuse_file(struct journal_recovery *recovery, const char *why) {
    char name[JOURNAL_NAME_BYTES];
    journal_segment_name(name, recovery->files[recovery->at].number);
    snprintf(recovery->found.reason, sizeof(recovery->found.reason), "%s/%s: %s",
             journal_directory_path(recovery->directory), name, why);
    recovery->phase = REFUSED;
    return JOURNAL_STEP_REFUSED;
}

/* Where the segment has stopped. */
static enum journal_step refuse_wrong(struct journal_recovery *recovery) {
    const struct journal_segment *segment = &recovery->segment;
    char why[256];
    snprintf(why, sizeof(why), "%s%s%s", segment->reason, segment->error != 0 ? ": " : "",
             segment->error != 0 ? strerror(segment->error) : "");
    return refuse_at(recovery, segment->wrong_line, segment->wrong_offset, why);
}

static void close_file(struct journal_recovery *recovery) {
    if (recovery->fd >= 0) {
        recovery->done_bytes += recovery->segment.size_bytes;
        journal_segment_deinit(&recovery->segment);
        close(recovery->fd);
        recovery->fd = -1;
    }
}

static bool open_file(struct journal_recovery *recovery) {
    if (recovery->fd >= 0) {
        return true;
    }
    recovery->fd =
        journal_directory_open_segment(recovery->directory, recovery->files[recovery->at].number, false);
    if (recovery->fd < 0) {
        return false;
    }
    return journal_segment_init(&recovery->segment, journal_directory_disk(recovery->directory), recovery->fd);
}

/* --- Beginning --- */

static bool list_files(struct journal_recovery *recovery) {
    uint64_t *numbers;
    if (!journal_directory_list(recovery->directory, &numbers, &recovery->files_count)) {
        return false;
    }
    recovery->files = calloc(recovery->files_count + 1, sizeof(recovery->files[0]));
    bool listed = recovery->files != NULL;
    for (size_t i = 0; i < recovery->files_count && listed; i++) {
        struct stat status;
        int fd = journal_directory_open_segment(recovery->directory, numbers[i], false);
        listed = fd >= 0 && fstat(fd, &status) == 0;
        recovery->files[i].number = numbers[i];
        recovery->files[i].size_bytes = listed ? (uint64_t)status.st_size : 0;
        if (fd >= 0) {
            close(fd);
        }
    }
    free(numbers);
    return listed;
}

struct journal_recovery *journal_recovery_create(struct journal_directory *directory, journal_take *take,
                                                 void *context) {
    struct journal_recovery *recovery = calloc(1, sizeof(*recovery));
    if (recovery == NULL) {
        return NULL;
    }
    recovery->directory = directory;
    recovery->take = take;
    recovery->context = context;
    recovery->fd = -1;
    recovery->found.next_segment = 1;
    if (!list_files(recovery)) {
        int error = errno;
        journal_recovery_destroy(&recovery);
        errno = error;
        return NULL;
    }
    size_t n = recovery->files_count;
    if (n == 0) {
        recovery->phase = DONE;
        return recovery;
    }
    recovery->found.next_segment = recovery->files[n - 1].number + 1;
    recovery->phase = n == 1 ? READING : PLANNING; /* of one there is nothing to choose */
    recovery->at = n - 1;
    for (size_t i = 0; i < n; i++) {
        recovery->found.bytes_total += recovery->files[i].size_bytes;
    }
    return recovery;
}

void journal_recovery_destroy(struct journal_recovery **recovery) {
    if (*recovery != NULL) {
        close_file(*recovery);
        free((*recovery)->files);
        free((*recovery)->terms);
        free(*recovery);
    }
    *recovery = NULL;
}

/* --- Planning: from the newest one down to the first that has its END --- */

/* What of those that are newer is not read; and how much there is to read. False: one of them is damaged. */
static bool choose(struct journal_recovery *recovery) {
    recovery->base = recovery->at;
    recovery->found.bytes_total = recovery->done_bytes;
    uint64_t history_id = recovery->segment.history_id;
    for (size_t i = recovery->base; i < recovery->files_count; i++) {
        struct file *file = &recovery->files[i];
        if (i > recovery->base && !file->has_header && file->synced_bytes > 0) {
            recovery->at = i;
            return false;
        }
        file->dropped = i > recovery->base && (!file->has_header || file->history_id != history_id);
        recovery->found.dropped += file->dropped;
        recovery->found.bytes_total += file->dropped ? 0 : file->size_bytes;
    }
    return true;
}

static enum journal_step plan_on(struct journal_recovery *recovery) {
    struct journal_segment *segment = &recovery->segment;
    struct file *file = &recovery->files[recovery->at];
    struct journal_given given;
    enum journal_segment_result result = journal_segment_next(segment, &given);
    if (result == JOURNAL_SEGMENT_WRONG && segment->error != 0) {
        return refuse_wrong(recovery);
    }
    if (segment->complete) {
        close_file(recovery);
        recovery->phase = READING;
        return choose(recovery) ? JOURNAL_STEP_GOES_ON
                                : refuse_at(recovery, 1, 0, "it does not begin with FULL, and was on the disk");
    }
    if (result == JOURNAL_SEGMENT_GIVEN || result == JOURNAL_SEGMENT_GOES_ON) {
        return JOURNAL_STEP_GOES_ON;
    }
    file->has_header = segment->has_header;
    file->history_id = segment->history_id;
    file->synced_bytes = segment->synced_bytes;
    close_file(recovery);
    if (recovery->at == 0) {
        return refuse_file(recovery, "neither it nor a later one has its END: there is no whole state");
    }
    recovery->at--;
    return JOURNAL_STEP_GOES_ON;
}

/* --- Reading --- */

static const char *keep_term(struct journal_recovery *recovery, uint64_t index) {
    const struct term *term = &recovery->segment.last_term;
    struct journal_found *found = &recovery->found;
    if (term_compare(term, &found->term) == 0) {
        return NULL;
    }
    if (found->terms_count == recovery->terms_capacity) {
        size_t capacity = 2 * recovery->terms_capacity + 8;
        struct journal_term_begin *terms = realloc(recovery->terms, capacity * sizeof(*terms));
        if (terms == NULL) {
            return "out of memory";
        }
        recovery->terms = terms;
        recovery->terms_capacity = capacity;
        found->terms = terms;
    }
    found->term = *term;
    recovery->terms[found->terms_count++] = (struct journal_term_begin){.term = *term, .index = index};
    return NULL;
}

/* What was given, when nobody takes it. A line of an unknown kind is one of a later kvnode, and counts. */
static const char *verify(struct slice bytes) {
    struct buf scratch;
    struct line line;
    const char *reason;
    buf_init(&scratch, LIMIT_LINE_BYTES);
    line_decode(bytes, &scratch, &line, &reason);
    buf_deinit(&scratch);
    return reason;
}

static const char *take_header(struct journal_recovery *recovery) {
    const struct journal_segment *segment = &recovery->segment;
    struct journal_found *found = &recovery->found;
    if (recovery->at == recovery->base) {
        found->history_id = segment->history_id;
        found->floor = segment->floor;
        return NULL;
    }
    if (segment->index != found->index) {
        return "its FULL does not go on from the index at which the segment before it ends";
    }
    return term_compare(&segment->term, &found->term) == 0
               ? NULL
               : "its FULL is of another term than the end of the segment before it";
}

static void note_place(struct journal_recovery *recovery, const struct journal_given *given) {
    const struct journal_segment *segment = &recovery->segment;
    struct journal_line_map *map = &recovery->found.map;
    if (given->kind == JOURNAL_FULL) {
        journal_line_map_begin(map, recovery->files[recovery->at].number, segment->index,
                               recovery->found.last_bytes);
    } else if (given->kind == JOURNAL_HISTORY) {
        journal_line_map_note(map, segment->valid_bytes - given->offset, given->index, segment->valid_bytes,
                              &segment->chain);
    }
}

static const char *take(struct journal_recovery *recovery, const struct journal_given *given) {
    if (recovery->segment.history_id == 0) {
        return NULL; /* of a node that had no history yet: nobody has a use for its empty state */
    }
    const char *reason = given->kind == JOURNAL_FULL ? take_header(recovery) : NULL;
    if (reason == NULL) {
        reason = keep_term(recovery, given->kind == JOURNAL_FULL ? recovery->segment.index : given->index);
    }
    if (reason != NULL) {
        return reason;
    }
    note_place(recovery, given);
    if (given->kind == JOURNAL_FULL && recovery->at != recovery->base) {
        return NULL;
    }
    return recovery->take == NULL ? verify(given->line)
                                  : recovery->take(recovery->context, given->kind, given->line, given->index);
}

/* The next one that is read; files_count: there is none. */
static size_t next_file(const struct journal_recovery *recovery) {
    size_t next = recovery->at + 1;
    while (next < recovery->files_count && recovery->files[next].dropped) {
        next++;
    }
    return next;
}

static enum journal_step finish_file(struct journal_recovery *recovery) {
    const struct journal_segment *segment = &recovery->segment;
    struct journal_found *found = &recovery->found;
    found->segments++;
    found->records += segment->records;
    found->first_segment = recovery->files[recovery->base].number;
    found->last_segment = recovery->files[recovery->at].number;
    found->last_bytes = segment->valid_bytes;
    found->last_chain = segment->chain;
    found->last_synced_bytes = segment->synced_bytes;
    found->last_is_complete = segment->complete;
    found->keys = segment->complete ? segment->keys : found->keys;
    close_file(recovery);
    recovery->at = next_file(recovery);
    recovery->phase = recovery->at == recovery->files_count ? DONE : READING;
    return recovery->phase == DONE ? JOURNAL_STEP_DONE : JOURNAL_STEP_GOES_ON;
}

/* A torn tail, or damage. */
static enum journal_step on_wrong(struct journal_recovery *recovery) {
    const struct journal_segment *segment = &recovery->segment;
    bool is_last = next_file(recovery) == recovery->files_count;
    bool is_whole = segment->complete || recovery->at != recovery->base;
    bool was_synced = journal_directory_meta(recovery->directory)->clean || /* to its end */
                      segment->wrong_offset < segment->synced_bytes;
    bool may_be_torn = segment->error == 0 && !was_synced;
    refuse_wrong(recovery); /* its text is that of the cut, too */
    if (!is_last || !is_whole || !may_be_torn) {
        return JOURNAL_STEP_REFUSED;
    }
    recovery->found.cut_bytes = segment->size_bytes - segment->valid_bytes;
    return finish_file(recovery);
}

static enum journal_step read_on(struct journal_recovery *recovery) {
    struct journal_segment *segment = &recovery->segment;
    struct journal_given given;
    const char *reason;
    switch (journal_segment_next(segment, &given)) {
    case JOURNAL_SEGMENT_GIVEN:
        reason = take(recovery, &given);
        recovery->found.index = segment->last_index;
        return reason == NULL ? JOURNAL_STEP_GOES_ON
                              : refuse_at(recovery, segment->records, given.offset, reason);
    case JOURNAL_SEGMENT_GOES_ON:
        return JOURNAL_STEP_GOES_ON;
    case JOURNAL_SEGMENT_ENDS:
        if (!segment->complete && recovery->at == recovery->base) {
            return refuse_file(recovery, "it has no END: there is no whole state");
        }
        return finish_file(recovery);
    case JOURNAL_SEGMENT_WRONG:
        break;
    }
    return on_wrong(recovery);
}

enum journal_step journal_recovery_step(struct journal_recovery *recovery, size_t lines) {
    enum journal_step step = JOURNAL_STEP_GOES_ON;
    for (size_t i = 0; i < lines && step == JOURNAL_STEP_GOES_ON; i++) {
        if (recovery->phase == DONE || recovery->phase == REFUSED) {
            return recovery->phase == DONE ? JOURNAL_STEP_DONE : JOURNAL_STEP_REFUSED;
        }
        if (!open_file(recovery)) {
            return refuse_file(recovery, strerror(errno));
        }
        step = recovery->phase == PLANNING ? plan_on(recovery) : read_on(recovery);
    }
    recovery->found.bytes_done = recovery->done_bytes + (recovery->fd >= 0 ? recovery->segment.read_bytes : 0);
    return step;
}

const struct journal_found *journal_recovery_found(const struct journal_recovery *recovery) {
    return &recovery->found;
}

/* --- Mending --- */

static bool cut(struct journal_recovery *recovery, const struct log *log) {
    struct journal_found *found = &recovery->found;
    const struct journal_disk *disk = journal_directory_disk(recovery->directory);
    int fd = journal_directory_open_segment(recovery->directory, found->last_segment, true);
    bool is_cut = fd >= 0 && disk->ftruncate(disk->context, fd, (off_t)found->last_bytes) == 0 &&
                  disk->fsync(disk->context, fd) == 0;
    int error = errno;
    if (fd >= 0) {
        close(fd);
    }
    if (is_cut) {
        log_write(log, LOG_WARN, "journal-cut", "segment=%llu kept=%llu bytes=%llu why=%s",
                  (unsigned long long)found->last_segment, (unsigned long long)found->last_bytes,
                  (unsigned long long)found->cut_bytes, log_quote(found->reason));
    }
    errno = error;
    return is_cut;
}

static bool drop(struct journal_recovery *recovery, const struct log *log) {
    for (size_t i = 0; i < recovery->files_count; i++) {
        struct file *file = &recovery->files[i];
        if (!file->dropped) {
            continue;
        }
        if (!journal_directory_remove_segment(recovery->directory, file->number)) {
            return false;
        }
        log_write(
            log, LOG_INFO, "journal-dropped", "segment=%llu bytes=%llu why=%s",
            (unsigned long long)file->number, (unsigned long long)file->size_bytes,
            log_quote(file->has_header ? "the state of another history, not whole" : "it had no beginning"));
        file->dropped = false;
    }
    return true;
}

bool journal_recovery_mend(struct journal_recovery *recovery, const struct log *log) {
    return (recovery->found.cut_bytes == 0 || cut(recovery, log)) && drop(recovery, log) &&
           journal_directory_remove_incoming(recovery->directory) &&
           journal_directory_sync(recovery->directory);
}
