/* failing_disk.h: the journal's disk, whose nth call that changes anything fails: with an error, or, where that
 * is a pwrite, by writing a part of it and failing then. */
#ifndef KVNODE_TESTS_UNIT_FAILING_DISK_H
#define KVNODE_TESTS_UNIT_FAILING_DISK_H

#include "server/journal/disk.h"

#include <errno.h>
#include <fcntl.h>

struct failing_disk {
    struct journal_disk disk;
    size_t calls;   /* so far */
    size_t fail_at; /* counted from 1; 0: none */
    int error;
    bool partly; /* half of the bytes are written before it */
    bool reads;  /* pread is counted too */
    bool in_two; /* each pwrite writes half, and succeeds with that */
};

static bool failing_disk_fails(struct failing_disk *failing) {
    if (++failing->calls != failing->fail_at) {
        return false;
    }
    errno = failing->error;
    return true;
}

static int failing_mkdir(void *context, const char *path, mode_t mode) {
    return failing_disk_fails(context) ? -1 : journal_disk_system.mkdir(NULL, path, mode);
}

static int failing_openat(void *context, int directory, const char *name, int flags, mode_t mode) {
    return failing_disk_fails(context) ? -1 : journal_disk_system.openat(NULL, directory, name, flags, mode);
}

static ssize_t failing_pread(void *context, int fd, void *to, size_t n, off_t offset) {
    struct failing_disk *failing = context;
    return failing->reads && failing_disk_fails(failing) ? -1
                                                         : journal_disk_system.pread(NULL, fd, to, n, offset);
}

static ssize_t failing_pwrite(void *context, int fd, const void *bytes, size_t n, off_t offset) {
    struct failing_disk *failing = context;
    if (failing_disk_fails(failing)) {
        if (failing->partly) {
            (void)journal_disk_system.pwrite(NULL, fd, bytes, n / 2, offset);
            errno = failing->error;
        }
        return -1;
    }
    return journal_disk_system.pwrite(NULL, fd, bytes, failing->in_two ? (n + 1) / 2 : n, offset);
}

static int failing_ftruncate(void *context, int fd, off_t bytes) {
    return failing_disk_fails(context) ? -1 : journal_disk_system.ftruncate(NULL, fd, bytes);
}

static int failing_fdatasync(void *context, int fd) {
    return failing_disk_fails(context) ? -1 : journal_disk_system.fdatasync(NULL, fd);
}

static int failing_fsync(void *context, int fd) {
    return failing_disk_fails(context) ? -1 : journal_disk_system.fsync(NULL, fd);
}

static int failing_renameat(void *context, int directory, const char *from, const char *to) {
    return failing_disk_fails(context) ? -1 : journal_disk_system.renameat(NULL, directory, from, to);
}

static int failing_unlinkat(void *context, int directory, const char *name) {
    return failing_disk_fails(context) ? -1 : journal_disk_system.unlinkat(NULL, directory, name);
}

/* It must not move. */
static void failing_disk_init(struct failing_disk *failing, size_t fail_at, int error) {
    *failing = (struct failing_disk){
        .disk =
            {
                .context = failing,
                .mkdir = failing_mkdir,
                .openat = failing_openat,
                .pread = failing_pread,
                .pwrite = failing_pwrite,
                .ftruncate = failing_ftruncate,
                .fdatasync = failing_fdatasync,
                .fsync = failing_fsync,
                .renameat = failing_renameat,
                .unlinkat = failing_unlinkat,
            },
        .fail_at = fail_at,
        .error = error,
    };
}

#endif
