/* fuzz_journal_recovery.c: whatever the segments of a journal hold, it is read in its order and a BATCH as a
 * whole, or refused with a reason; and once it was mended it is read again as it was.
 *
 * The first byte: 'S': lines "index line", which are summed up here; else the bytes as they are. A line "~"
 * begins the next segment.
 */
#define _GNU_SOURCE 1
#include "protocol/line.h"
#include "server/journal/recovery.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MOST_SEGMENTS = 4 };

/* assert() would vanish with NDEBUG. */
static void require(bool holds) {
    if (!holds) {
        abort();
    }
}

struct reader {
    bool began, ended;
    uint64_t index, batch_left, lines;
};

static const char *take(void *context, enum journal_kind kind, struct slice bytes, uint64_t index) {
    struct reader *reader = context;
    struct buf scratch;
    struct line line;
    const char *reason;
    buf_init(&scratch, 1 << 20);
    bool known = line_decode(bytes, &scratch, &line, &reason) == LINE_OK;
    buf_deinit(&scratch);
    require(reader->began == (kind != JOURNAL_FULL));
    require((kind == JOURNAL_HISTORY) == (index != JOURNAL_NO_INDEX));
    require(kind == JOURNAL_HISTORY || reader->batch_left == 0);
    if (kind == JOURNAL_FULL) {
        reader->began = true;
        reader->index = line.index;
    }
    reader->ended |= kind == JOURNAL_END;
    if (kind == JOURNAL_HISTORY) {
        require(index == ++reader->index);
        bool begins = known && line.verb == LINE_BATCH;
        require(!begins || reader->batch_left == 0);
        reader->batch_left = begins ? line.count : reader->batch_left - (reader->batch_left > 0);
    }
    reader->lines++;
    return NULL;
}

static int nothing_is_synced(void *context, int fd) {
    (void)context;
    (void)fd;
    return 0;
}

static char place[64];
static struct journal_directory *directory;
static struct journal_disk disk;

static void leave(void) {
    char path[128];
    journal_directory_remove_below(directory, UINT64_MAX);
    journal_directory_close(&directory);
    snprintf(path, sizeof(path), "%s/meta", place);
    unlink(path);
    snprintf(path, sizeof(path), "%s/lock", place);
    unlink(path);
    rmdir(place);
}

static void open_directory(void) {
    char reason[JOURNAL_REASON_BYTES];
    const char *above = getenv("TMPDIR");
    snprintf(place, sizeof(place), "%.30s/kvnode-fuzz-XXXXXX", above == NULL ? "/tmp" : above);
    require(mkdtemp(place) != NULL);
    disk = journal_disk_system;
    disk.fsync = disk.fdatasync = nothing_is_synced;
    directory = journal_directory_open(&(struct journal_wish){.path = place}, &disk, reason);
    require(directory != NULL);
    struct journal_meta meta = *journal_directory_meta(directory);
    meta.clean = false; /* a tail may be torn */
    require(journal_directory_write_meta(directory, &meta));
    atexit(leave);
}

/* --- Segments --- */

static void write_segment(uint64_t number, struct slice bytes) {
    int fd = journal_directory_open_segment(directory, number, true);
    if (fd < 0) {
        fd = journal_directory_create_segment(directory, number);
    }
    require(fd >= 0 && journal_disk_write_all(&disk, fd, bytes.ptr, bytes.len, 0));
    require(ftruncate(fd, (off_t)bytes.len) == 0);
    close(fd);
}

static void seal(struct buf *out, struct slice lines) {
    struct journal_chain chain;
    journal_chain_init(&chain);
    while (lines.len > 0) {
        struct slice line = slice_take_until(&lines, '\n');
        struct slice index = slice_take_until(&line, ' ');
        uint64_t number = JOURNAL_NO_INDEX;
        num_parse_u64(index, &number);
        journal_append(out, &chain, number, line);
    }
}

static struct slice take_segment(struct slice *rest) {
    const char *mark = rest->len < 3 ? NULL : memmem(rest->ptr, rest->len, "\n~\n", 3);
    struct slice taken = mark == NULL ? *rest : slice_first(*rest, (size_t)(mark - rest->ptr) + 1);
    *rest = mark == NULL ? SLICE("") : slice_skip(*rest, taken.len + 2);
    return taken;
}

static void write_segments(struct slice all, bool sealed) {
    for (uint64_t number = 1; number <= MOST_SEGMENTS; number++) {
        struct slice content = take_segment(&all);
        if (number > 1 && content.len == 0 && all.len == 0) {
            require(journal_directory_remove_segment(directory, number));
            continue;
        }
        struct buf out;
        buf_init(&out, 1 << 24);
        if (sealed) {
            seal(&out, content);
        }
        require(!buf_failed(&out));
        write_segment(number, sealed ? buf_slice(&out) : content);
        buf_deinit(&out);
    }
}

/* --- */

static enum journal_step recover(struct reader *reader, struct journal_found *found) {
    const struct log silent = {.level = LOG_ERROR, .fd = 2};
    struct journal_recovery *recovery = journal_recovery_create(directory, take, reader);
    require(recovery != NULL);
    enum journal_step step = journal_recovery_step(recovery, SIZE_MAX);
    require(step != JOURNAL_STEP_GOES_ON);
    *found = *journal_recovery_found(recovery);
    require(step != JOURNAL_STEP_REFUSED || found->reason[0] != '\0');
    if (step == JOURNAL_STEP_DONE) {
        require(reader->began && reader->ended && reader->batch_left == 0 && reader->index == found->index);
        require(journal_recovery_mend(recovery, &silent));
    }
    journal_recovery_destroy(&recovery);
    return step;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct slice bytes = slice_of(data, size);
    if (directory == NULL) {
        open_directory();
    }
    bool sealed = size > 0 && data[0] == 'S';
    write_segments(sealed ? slice_skip(bytes, 1) : bytes, sealed);
    struct reader reader = {0}, again = {0};
    struct journal_found found, found_again;
    if (recover(&reader, &found) == JOURNAL_STEP_DONE) {
        require(recover(&again, &found_again) == JOURNAL_STEP_DONE);
        require(found_again.cut_bytes == 0 && found_again.dropped == 0);
        require(again.index == reader.index && again.lines == reader.lines);
    }
    return 0;
}
