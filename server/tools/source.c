#include "server/tools/source.h"

#include "protocol/line.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { COPY_BYTES = 256 << 10 };

static bool fail(struct source *source, const char *what, const char *why) {
    snprintf(source->reason, sizeof(source->reason), "%s%s%s", what, why[0] == '\0' ? "" : ": ", why);
    return false;
}

/* --- The file --- */

/* Copies a pipe to a file that has no name. -1: errno. */
static int copy_to_file(int from) {
    static char bytes[COPY_BYTES];
    FILE *file = tmpfile();
    int fd = file == NULL ? -1 : dup(fileno(file));
    ssize_t n = 0;
    while (fd >= 0 && (n = read(from, bytes, sizeof(bytes))) != 0) {
        if (n < 0 || fwrite(bytes, 1, (size_t)n, file) != (size_t)n) {
            break;
        }
    }
    bool copied = fd >= 0 && n == 0 && fflush(file) == 0;
    int error = errno;
    if (file != NULL) {
        fclose(file);
    }
    if (!copied && fd >= 0) {
        close(fd);
    }
    errno = error;
    return copied ? fd : -1;
}

/* The whole at once: who cuts the file off meanwhile ends this process, and no node. */
static bool map(struct source *source, int fd) {
    struct stat status;
    if (fstat(fd, &status) != 0) {
        return fail(source, "it cannot be looked at", strerror(errno));
    }
    if (S_ISDIR(status.st_mode)) {
        return fail(source, "it is a directory", "");
    }
    if (status.st_size == 0) {
        return fail(source, "it is empty", "");
    }
    void *bytes = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (bytes == MAP_FAILED) {
        return fail(source, "it cannot be read", strerror(errno));
    }
    madvise(bytes, (size_t)status.st_size, MADV_SEQUENTIAL);
    source->whole = slice_of(bytes, (size_t)status.st_size);
    source->is_mapped = true;
    return true;
}

static bool map_any(struct source *source, int fd) {
    struct stat status;
    if (fstat(fd, &status) != 0 || S_ISREG(status.st_mode) || S_ISDIR(status.st_mode)) {
        return map(source, fd);
    }
    int copy = copy_to_file(fd);
    if (copy < 0) {
        return fail(source, "it cannot be copied to a file", strerror(errno));
    }
    bool mapped = map(source, copy);
    close(copy);
    return mapped;
}

bool source_open(struct source *source, const char *path) {
    bool is_stdin = strcmp(path, "-") == 0;
    *source = (struct source){.whole = SLICE("")};
    buf_init(&source->scratch, LIMIT_LINE_BYTES);
    if (redis_source_is(path)) {
        source->redis = redis_source_open(path, source->reason, sizeof(source->reason));
        return source->redis != NULL;
    }
    int fd = is_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return fail(source, "it cannot be opened", strerror(errno));
    }
    bool opened = map_any(source, fd);
    if (!is_stdin) {
        close(fd);
    }
    source->is_rdb = opened && rdb_file_is(source->whole);
    return opened;
}

void source_rewind(struct source *source) {
    if (source->redis != NULL) {
        redis_source_rewind(source->redis);
        return;
    }
    if (source->begun && source->is_rdb) {
        rdb_file_deinit(&source->rdb);
    }
    source->begun = true;
    source->rest = source->whole;
    source->line = source->keys = 0;
    if (source->is_rdb) {
        rdb_file_init(&source->rdb, source->whole);
    }
}

void source_close(struct source *source) {
    redis_source_close(&source->redis);
    if (source->begun && source->is_rdb) {
        rdb_file_deinit(&source->rdb);
    }
    if (source->is_mapped) {
        munmap((void *)(uintptr_t)source->whole.ptr, source->whole.len);
    }
    buf_deinit(&source->scratch);
}

uint64_t source_done(const struct source *source) {
    if (source->redis != NULL) {
        return 0;
    }
    return source->is_rdb ? rdb_file_done(&source->rdb) : source->whole.len - source->rest.len;
}

/* --- Its items --- */

static enum source_result next_of_rdb(struct source *source, struct source_item *item) {
    struct rdb_file_item found;
    switch (rdb_file_next(&source->rdb, &found)) {
    case RDB_FILE_ITEM:
        *item = (struct source_item){
            .type = found.is_string && found.database == 0 ? NULL : found.type,
            .database = found.database,
            .count = 1,
            .key = found.key,
            .value = found.value,
            .deadline_ms = found.deadline_ms,
        };
        return SOURCE_ITEM;
    case RDB_FILE_END:
        return SOURCE_END;
    case RDB_FILE_BAD:
        fail(source, source->rdb.reason, "");
        return SOURCE_BAD;
    case RDB_FILE_NO_MEMORY:
        fail(source, "out of memory", "");
        return SOURCE_BAD;
    }
    return SOURCE_BAD;
}

static enum source_result bad_line(struct source *source, const char *why) {
    snprintf(source->reason, sizeof(source->reason), "line %llu: %s", (unsigned long long)source->line, why);
    return SOURCE_BAD;
}

static enum source_result on_end(struct source *source, const struct line *line) {
    if (line->count != source->keys) {
        char why[96];
        snprintf(why, sizeof(why), "END says %llu keys, and there are %llu", (unsigned long long)line->count,
                 (unsigned long long)source->keys);
        return bad_line(source, why);
    }
    return source->rest.len == 0 ? SOURCE_END : bad_line(source, "something stands behind END");
}

static enum source_result next_of_lines(struct source *source, struct source_item *item) {
    struct line line;
    const char *reason = "it is neither what -export writes nor an RDB file";
    source->line++;
    if (source->rest.len == 0) {
        return bad_line(source, "END is missing: the file is cut off");
    }
    if (memchr(source->rest.ptr, '\n', source->rest.len) == NULL) {
        return bad_line(source, source->line == 1 ? reason : "it is not whole: the file is cut off");
    }
    struct slice bytes = slice_take_until(&source->rest, '\n');
    enum line_result result = line_decode(bytes, &source->scratch, &line, &reason);
    if (result == LINE_OK && line.verb == LINE_END) {
        return on_end(source, &line);
    }
    if (result != LINE_OK || line.verb != LINE_REPLICATE) {
        return bad_line(source, result == LINE_MALFORMED ? reason
                                : source->line == 1      ? "it is neither what -export writes nor an RDB file"
                                                         : "neither REPLICATEX nor END");
    }
    source->keys++;
    *item = (struct source_item){
        .count = 1,
        .key = line.key,
        .value = line.value,
        .timestamp_ms = line.timestamp_ms,
        .deadline_ms = line.deadline_ms,
    };
    return SOURCE_ITEM;
}

static enum source_result next_of_redis(struct source *source, struct source_item *item) {
    struct redis_item found;
    switch (redis_source_next(source->redis, &found)) {
    case REDIS_ITEM:
        *item = (struct source_item){
            .type = found.type,
            .database = found.database,
            .count = found.count,
            .key = found.key,
            .value = found.value,
            .deadline_ms = found.deadline_ms,
        };
        return SOURCE_ITEM;
    case REDIS_END:
        return SOURCE_END;
    case REDIS_BAD:
        break;
    }
    fail(source, redis_source_reason(source->redis), "");
    return SOURCE_BAD;
}

uint64_t source_total_keys(const struct source *source) {
    return source->redis == NULL ? 0 : redis_source_total(source->redis);
}

enum source_result source_next(struct source *source, struct source_item *item) {
    if (source->redis != NULL) {
        return next_of_redis(source, item);
    }
    return source->is_rdb ? next_of_rdb(source, item) : next_of_lines(source, item);
}
