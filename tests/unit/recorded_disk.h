/* recorded_disk.h: the journal's disk, of which all is recorded that changes its files: so that what is on it
 * can be had again as it was between any two calls, after a kill or after a power cut. It can fail, and wait.
 *
 * Files are known by their names; lock and the directory itself are not recorded, but may fail. Meta is
 * neither, until disk_record_meta.
 */
#ifndef KVNODE_TESTS_UNIT_RECORDED_DISK_H
#define KVNODE_TESTS_UNIT_RECORDED_DISK_H

#include "server/journal/directory.h"
#include "tests/unit/journal_fixture.h"
#include "tests/unit/random.h"

#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>

enum { DISK_FDS = 1024, DISK_FILES = 256, DISK_OPS = 20000, DISK_SECTOR = 512 };
#define DISK_BYTES ((size_t)1 << 30)

enum disk_call {
    DISK_PWRITE = 1 << 0,
    DISK_FDATASYNC = 1 << 1,
    DISK_FSYNC = 1 << 2,
    DISK_OPEN = 1 << 3,
    DISK_RENAME = 1 << 4,
    DISK_UNLINK = 1 << 5,
    DISK_ANY = (1 << 6) - 1,
};

enum disk_op_kind { OP_WRITE, OP_SYNC, OP_LOST, OP_CREATE, OP_RENAME, OP_UNLINK, OP_SYNC_NAMES };

struct disk_op {
    enum disk_op_kind kind;
    int file; /* OP_LOST: a sync failed: what was not synced before it is gone from the disk */
    size_t offset, n;
    char *bytes;
    char name[JOURNAL_NAME_BYTES], to[JOURNAL_NAME_BYTES];
};

struct recorded_disk {
    struct journal_disk disk;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    int files[DISK_FDS]; /* of a descriptor; -1: none that is recorded */
    int file_count;
    struct {
        char name[JOURNAL_NAME_BYTES];
        int file;
    } names[DISK_FILES];
    size_t name_count;
    int meta_fd, meta_file; /* -1: not open; not recorded */
    size_t meta_from_op;    /* from which on it is: of no name, as it is of no use in another directory */
    struct disk_op ops[DISK_OPS];
    size_t op_count;
    char *bytes; /* of the writes: no heap, for where that fails */
    size_t bytes_used;

    unsigned waits; /* calls of these kinds wait, on what is recorded */
    unsigned waiting;

    unsigned fails;               /* calls of these kinds count and fail, */
    size_t fail_from, fail_times; /* from that one on (counted from 1), so often */
    int error;
    bool partly; /* of the first of them, a pwrite, a half is written: and that is what it says */
    size_t calls;
    enum disk_call failed; /* the last that did */
};

/* --- What is recorded --- */

static struct disk_op *disk_op_add(struct recorded_disk *disk, enum disk_op_kind kind, int file) {
    assert_true(disk->op_count < DISK_OPS);
    struct disk_op *op = &disk->ops[disk->op_count++];
    *op = (struct disk_op){.kind = kind, .file = file};
    return op;
}

static bool disk_is_recorded(const char *name) {
    return strncmp(name, "journal-", 8) == 0 || strcmp(name, "incoming.log") == 0;
}

static size_t disk_find(const struct recorded_disk *disk, const char *name) {
    size_t i = 0;
    while (i < disk->name_count && strcmp(disk->names[i].name, name) != 0) {
        i++;
    }
    return i;
}

static void disk_forget_name(struct recorded_disk *disk, const char *name) {
    size_t i = disk_find(disk, name);
    if (i < disk->name_count) {
        disk->names[i] = disk->names[--disk->name_count];
    }
}

static void disk_put_name(struct recorded_disk *disk, const char *name, int file) {
    disk_forget_name(disk, name);
    assert_true(disk->name_count < DISK_FILES);
    snprintf(disk->names[disk->name_count].name, JOURNAL_NAME_BYTES, "%s", name);
    disk->names[disk->name_count++].file = file;
}

/* --- Faults, and waiting --- */

/* With the mutex. */
static bool disk_fails(struct recorded_disk *disk, enum disk_call call) {
    if ((disk->fails & call) == 0) {
        return false;
    }
    size_t n = ++disk->calls;
    if (n < disk->fail_from || n - disk->fail_from >= disk->fail_times) {
        return false;
    }
    disk->failed = call;
    errno = disk->error;
    return true;
}

static void disk_enter(struct recorded_disk *disk, enum disk_call call, int file) {
    pthread_mutex_lock(&disk->mutex);
    disk->waiting++;
    while (file >= 0 && (disk->waits & call) != 0) {
        pthread_cond_wait(&disk->changed, &disk->mutex);
    }
    disk->waiting--;
}

static void disk_leave(struct recorded_disk *disk) {
    int error = errno;
    pthread_mutex_unlock(&disk->mutex);
    errno = error;
}

/* From now on calls of these kinds wait; 0: none. */
static inline void disk_wait(struct recorded_disk *disk, unsigned calls) {
    pthread_mutex_lock(&disk->mutex);
    disk->waits = calls;
    pthread_cond_broadcast(&disk->changed);
    pthread_mutex_unlock(&disk->mutex);
}

/* The nth of these calls from now on fails, and the next ones. */
static inline void disk_fail(struct recorded_disk *disk, unsigned calls, size_t nth, size_t times, int error) {
    pthread_mutex_lock(&disk->mutex);
    disk->fails = calls;
    disk->fail_from = nth;
    disk->fail_times = times;
    disk->error = error;
    disk->calls = 0;
    disk->failed = 0;
    pthread_mutex_unlock(&disk->mutex);
}

static inline bool disk_has_failed(struct recorded_disk *disk) {
    pthread_mutex_lock(&disk->mutex);
    bool has = disk->failed != 0;
    pthread_mutex_unlock(&disk->mutex);
    return has;
}

/* --- The calls --- */

static int recorded_openat(void *context, int directory, const char *name, int flags, mode_t mode) {
    struct recorded_disk *disk = context;
    bool recorded = disk_is_recorded(name);
    disk_enter(disk, DISK_OPEN, recorded && (flags & O_CREAT) != 0 ? 0 : -1);
    int fd = -1;
    if ((flags & O_CREAT) == 0 || !recorded || !disk_fails(disk, DISK_OPEN)) {
        fd = journal_disk_system.openat(NULL, directory, name, flags, mode);
    }
    if (fd >= 0) {
        assert_true(fd < DISK_FDS);
        size_t at = disk_find(disk, name);
        bool is_meta = strcmp(name, "meta") == 0 || strcmp(name, "meta.new") == 0;
        disk->meta_fd = is_meta ? fd : disk->meta_fd;
        disk->files[fd] = is_meta                             ? disk->meta_file
                          : recorded && at < disk->name_count ? disk->names[at].file
                                                              : -1;
        if (recorded && (flags & (O_EXCL | O_TRUNC)) != 0) { /* one that is cut off counts for another */
            disk->files[fd] = disk->file_count++;
            disk_put_name(disk, name, disk->files[fd]);
            snprintf(disk_op_add(disk, OP_CREATE, disk->files[fd])->name, JOURNAL_NAME_BYTES, "%s", name);
        }
    }
    disk_leave(disk);
    return fd;
}

/* With the mutex. */
static void disk_note_write(struct recorded_disk *disk, int file, const void *bytes, size_t n, size_t offset) {
    struct disk_op *op = disk_op_add(disk, OP_WRITE, file);
    op->offset = offset;
    op->n = n;
    op->bytes = disk->bytes + disk->bytes_used;
    disk->bytes_used += op->n;
    assert_true(disk->bytes_used <= DISK_BYTES);
    memcpy(op->bytes, bytes, op->n);
}

/* From now on; what is in it is on the disk. */
static inline void disk_record_meta(struct recorded_disk *disk) {
    char bytes[JOURNAL_META_BYTES];
    pthread_mutex_lock(&disk->mutex);
    ssize_t n = pread(disk->meta_fd, bytes, sizeof(bytes), 0);
    assert_true(n > 0);
    disk->meta_file = disk->files[disk->meta_fd] = disk->file_count++;
    disk_note_write(disk, disk->meta_file, bytes, (size_t)n, 0);
    disk_op_add(disk, OP_SYNC, disk->meta_file);
    disk->meta_from_op = disk->op_count;
    pthread_mutex_unlock(&disk->mutex);
}

static ssize_t recorded_pwrite(void *context, int fd, const void *bytes, size_t n, off_t offset) {
    struct recorded_disk *disk = context;
    disk_enter(disk, DISK_PWRITE, disk->files[fd]);
    bool fails = disk_fails(disk, DISK_PWRITE);
    size_t wanted = !fails ? n : disk->partly && disk->calls == disk->fail_from ? n / 2 : 0;
    ssize_t written = wanted == 0 ? -1 : journal_disk_system.pwrite(NULL, fd, bytes, wanted, offset);
    if (written > 0 && disk->files[fd] >= 0) {
        disk_note_write(disk, disk->files[fd], bytes, (size_t)written, (size_t)offset);
    }
    if (fails && wanted == 0) {
        errno = disk->error;
    }
    disk_leave(disk);
    return written;
}

static int recorded_fdatasync(void *context, int fd) {
    struct recorded_disk *disk = context;
    disk_enter(disk, DISK_FDATASYNC, disk->files[fd]);
    bool fails = disk_fails(disk, DISK_FDATASYNC);
    if (disk->files[fd] >= 0) {
        disk_op_add(disk, fails ? OP_LOST : OP_SYNC, disk->files[fd]);
    }
    disk_leave(disk);
    return fails ? -1 : 0;
}

static int recorded_fsync(void *context, int fd) {
    struct recorded_disk *disk = context;
    disk_enter(disk, DISK_FSYNC, 0);
    bool fails = disk_fails(disk, DISK_FSYNC);
    if (!fails) {
        disk_op_add(disk, disk->files[fd] >= 0 ? OP_SYNC : OP_SYNC_NAMES, disk->files[fd]);
    }
    disk_leave(disk);
    return fails ? -1 : 0;
}

static int recorded_renameat(void *context, int directory, const char *from, const char *to) {
    struct recorded_disk *disk = context;
    disk_enter(disk, DISK_RENAME, 0);
    int result = disk_fails(disk, DISK_RENAME) ? -1 : journal_disk_system.renameat(NULL, directory, from, to);
    size_t at = disk_find(disk, from);
    if (result == 0 && at < disk->name_count) {
        int file = disk->names[at].file;
        disk_forget_name(disk, from);
        disk_put_name(disk, to, file);
        struct disk_op *op = disk_op_add(disk, OP_RENAME, file);
        snprintf(op->name, JOURNAL_NAME_BYTES, "%s", from);
        snprintf(op->to, JOURNAL_NAME_BYTES, "%s", to);
    }
    disk_leave(disk);
    return result;
}

static int recorded_unlinkat(void *context, int directory, const char *name) {
    struct recorded_disk *disk = context;
    disk_enter(disk, DISK_UNLINK, 0);
    int result = disk_fails(disk, DISK_UNLINK) ? -1 : journal_disk_system.unlinkat(NULL, directory, name);
    if (result == 0 && disk_is_recorded(name)) {
        disk_forget_name(disk, name);
        snprintf(disk_op_add(disk, OP_UNLINK, -1)->name, JOURNAL_NAME_BYTES, "%s", name);
    }
    disk_leave(disk);
    return result;
}

/* For a directory that is looked at and thrown away. */
static int unsynced(void *context, int fd) {
    (void)context;
    (void)fd;
    return 0;
}

static struct journal_disk disk_for_a_look(void) {
    struct journal_disk disk = journal_disk_system;
    disk.fdatasync = disk.fsync = unsynced;
    return disk;
}

/* It must not move. */
static struct recorded_disk *disk_create(void) {
    struct recorded_disk *disk = calloc(1, sizeof(*disk));
    assert_non_null(disk);
    disk->disk = disk_for_a_look();
    disk->disk.context = disk;
    disk->disk.openat = recorded_openat;
    disk->disk.pwrite = recorded_pwrite;
    disk->disk.fdatasync = recorded_fdatasync;
    disk->disk.fsync = recorded_fsync;
    disk->disk.renameat = recorded_renameat;
    disk->disk.unlinkat = recorded_unlinkat;
    disk->bytes =
        mmap(NULL, DISK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert_true(disk->bytes != MAP_FAILED);
    memset(disk->files, -1, sizeof(disk->files));
    disk->meta_fd = disk->meta_file = -1;
    pthread_mutex_init(&disk->mutex, NULL);
    pthread_cond_init(&disk->changed, NULL);
    return disk;
}

static void disk_destroy(struct recorded_disk *disk) {
    munmap(disk->bytes, DISK_BYTES);
    pthread_cond_destroy(&disk->changed);
    pthread_mutex_destroy(&disk->mutex);
    free(disk);
}

/* --- What is found after a crash --- */

struct image_file {
    char *bytes;
    size_t n, capacity;
    size_t first_unsynced; /* op */
};

struct image {
    struct image_file files[DISK_FILES];
    int names[DISK_FILES]; /* op of the name: OP_CREATE or OP_RENAME, by its place in label */
    char labels[DISK_FILES][JOURNAL_NAME_BYTES];
    size_t name_count;
};

static void image_write(struct image_file *file, const char *bytes, size_t n, size_t offset) {
    size_t end = offset + n;
    if (n == 0) {
        return;
    }
    if (file->bytes == NULL || end > file->capacity) {
        file->capacity = 2 * end;
        file->bytes = realloc(file->bytes, file->capacity);
        if (file->bytes == NULL) {
            abort();
        }
    }
    if (end > file->n) {
        memset(file->bytes + file->n, 0, end - file->n);
        file->n = end;
    }
    memcpy(file->bytes + offset, bytes, n);
}

/* A write that the power cut has met: all of it, nothing, a beginning, or any of its sectors. */
static void image_tear(struct image_file *file, const struct disk_op *op, struct random *random) {
    size_t way = random_below(random, 4);
    if (way == 0) {
        image_write(file, op->bytes, op->n, op->offset);
    } else if (way == 1) {
        image_write(file, op->bytes, random_below(random, op->n + 1), op->offset);
    } else if (way == 2) {
        for (size_t at = 0; at < op->n; at += DISK_SECTOR) {
            if (random_below(random, 2) == 0) {
                size_t n = op->n - at < DISK_SECTOR ? op->n - at : DISK_SECTOR;
                image_write(file, op->bytes + at, n, op->offset + at);
            }
        }
    }
}

static void image_rename(struct image *image, const char *from, const char *to, int file) {
    size_t kept = 0;
    for (size_t i = 0; i < image->name_count; i++) {
        if (strcmp(image->labels[i], from) != 0 && (to == NULL || strcmp(image->labels[i], to) != 0)) {
            memmove(image->labels[kept], image->labels[i], JOURNAL_NAME_BYTES);
            image->names[kept++] = image->names[i];
        }
    }
    image->name_count = kept;
    if (to != NULL) {
        assert_true(kept < DISK_FILES);
        snprintf(image->labels[kept], JOURNAL_NAME_BYTES, "%s", to);
        image->names[image->name_count++] = file;
    }
}

static void image_apply_name(struct image *image, const struct disk_op *op) {
    switch (op->kind) {
    case OP_CREATE:
        image_rename(image, op->name, op->name, op->file);
        break;
    case OP_RENAME:
        image_rename(image, op->name, op->to, op->file);
        break;
    default:
        image_rename(image, op->name, NULL, -1);
        break;
    }
}

static bool is_of_names(const struct disk_op *op) {
    return op->kind == OP_CREATE || op->kind == OP_RENAME || op->kind == OP_UNLINK;
}

/* random NULL: a kill, after which all is there that was written; else a power cut. */
static void image_make(struct image *image, const struct recorded_disk *disk, size_t ops,
                       struct random *random) {
    size_t names_from = 0;
    memset(image, 0, sizeof(*image));
    for (size_t i = 0; i < ops; i++) {
        const struct disk_op *op = &disk->ops[i];
        struct image_file *file = &image->files[op->file < 0 ? 0 : op->file];
        if (op->kind == OP_WRITE && random == NULL) {
            image_write(file, op->bytes, op->n, op->offset);
        } else if (is_of_names(op) && random == NULL) {
            image_apply_name(image, op);
        } else if (op->kind == OP_SYNC && random != NULL) {
            for (size_t k = file->first_unsynced; k < i; k++) {
                if (disk->ops[k].kind == OP_WRITE && disk->ops[k].file == op->file) {
                    image_write(file, disk->ops[k].bytes, disk->ops[k].n, disk->ops[k].offset);
                }
            }
            file->first_unsynced = i;
        } else if (op->kind == OP_LOST) {
            file->first_unsynced = i;
        } else if (op->kind == OP_SYNC_NAMES && random != NULL) {
            for (; names_from < i; names_from++) {
                if (is_of_names(&disk->ops[names_from])) {
                    image_apply_name(image, &disk->ops[names_from]);
                }
            }
        }
    }
    for (size_t i = 0; i < ops && random != NULL; i++) {
        const struct disk_op *op = &disk->ops[i];
        if (op->kind == OP_WRITE && i >= image->files[op->file].first_unsynced) {
            image_tear(&image->files[op->file], op, random);
        } else if (is_of_names(op) && i >= names_from && random_below(random, 2) == 0) {
            image_apply_name(image, op);
        }
    }
}

static void image_store(const struct image *image, const struct place *place) {
    for (size_t i = 0; i < image->name_count; i++) {
        const struct image_file *file = &image->files[image->names[i]];
        place_write(place, image->labels[i], slice_of(file->bytes == NULL ? "" : file->bytes, file->n));
    }
}

static void image_free(struct image *image) {
    for (size_t i = 0; i < DISK_FILES; i++) {
        free(image->files[i].bytes);
    }
}

#endif
