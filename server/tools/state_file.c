#include "server/tools/state_file.h"

#include "cluster/history.h"
#include "protocol/line.h"

#include <errno.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

enum { OUT_BYTES = 1 << 20 };

bool state_file_make_history_id(uint64_t *out) {
    struct timespec now;
    uint16_t random;
    if (clock_gettime(CLOCK_REALTIME, &now) != 0 || getrandom(&random, sizeof(random), 0) != sizeof(random)) {
        return false;
    }
    *out = history_make_id((int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000, random);
    return true;
}

static bool write_out(struct state_file *file) {
    struct slice bytes = buf_slice(&file->out);
    if (buf_failed(&file->out)) {
        errno = ENOMEM;
        return false;
    }
    if (!journal_disk_write_all(journal_directory_disk(file->directory), file->fd, bytes.ptr, bytes.len,
                                file->offset)) {
        return false;
    }
    file->offset += (off_t)bytes.len;
    buf_reset(&file->out);
    return true;
}

bool state_file_add(struct state_file *file, struct slice lines) {
    journal_append_state(&file->out, &file->chain, lines);
    return buf_used(&file->out) < OUT_BYTES && !buf_failed(&file->out) ? true : write_out(file);
}

static bool add_line(struct state_file *file) {
    buf_fail_if(&file->out, buf_failed(&file->line));
    bool added = state_file_add(file, buf_slice(&file->line));
    buf_reset(&file->line);
    return added;
}

bool state_file_begin(struct state_file *file, struct journal_directory *directory, uint64_t history_id,
                      uint64_t floor) {
    *file = (struct state_file){.directory = directory};
    buf_init(&file->line, SIZE_MAX);
    buf_init(&file->out, SIZE_MAX);
    journal_chain_init(&file->chain);
    file->fd = journal_directory_create_incoming(directory);
    line_full(&file->line, history_id, 0, floor, NULL);
    return file->fd >= 0 && add_line(file);
}

bool state_file_put(struct state_file *file, struct slice key, struct slice value, uint64_t version,
                    int64_t timestamp_ms, int64_t deadline_ms) {
    line_replicate_x(&file->line, key, value, version, timestamp_ms, deadline_ms);
    file->keys++;
    return add_line(file);
}

bool state_file_end(struct state_file *file, struct slice first_lines) {
    const struct journal_disk *disk = journal_directory_disk(file->directory);
    line_end(&file->line, file->keys, 0);
    if (!add_line(file)) {
        return false;
    }
    journal_append_lines(&file->out, &file->chain, 1, first_lines);
    return write_out(file) && disk->fdatasync(disk->context, file->fd) == 0;
}

bool state_file_accept(struct state_file *file, uint64_t number) {
    return journal_directory_accept_incoming(file->directory, number);
}

void state_file_close(struct state_file *file) {
    int error = errno;
    if (file->fd >= 0) {
        close(file->fd);
        journal_directory_remove_incoming(file->directory);
    }
    buf_deinit(&file->line);
    buf_deinit(&file->out);
    errno = error;
}
