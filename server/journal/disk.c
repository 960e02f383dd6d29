#define _GNU_SOURCE 1
#include "server/journal/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static int system_mkdir(void *context, const char *path, mode_t mode) {
    (void)context;
    return mkdir(path, mode);
}

static int system_openat(void *context, int directory, const char *name, int flags, mode_t mode) {
    (void)context;
    return openat(directory, name, flags | O_CLOEXEC, mode);
}

static ssize_t system_pread(void *context, int fd, void *to, size_t n, off_t offset) {
    (void)context;
    return pread(fd, to, n, offset);
}

static ssize_t system_pwrite(void *context, int fd, const void *bytes, size_t n, off_t offset) {
    (void)context;
    return pwrite(fd, bytes, n, offset);
}

static int system_ftruncate(void *context, int fd, off_t bytes) {
    (void)context;
    return ftruncate(fd, bytes);
}

static int system_fdatasync(void *context, int fd) {
    (void)context;
    return fdatasync(fd);
}

static int system_fsync(void *context, int fd) {
    (void)context;
    return fsync(fd);
}

static int system_renameat(void *context, int directory, const char *from, const char *to) {
    (void)context;
    return renameat(directory, from, directory, to);
}

static int system_unlinkat(void *context, int directory, const char *name) {
    (void)context;
    return unlinkat(directory, name, 0);
}

const struct journal_disk journal_disk_system = {
    .mkdir = system_mkdir,
    .openat = system_openat,
    .pread = system_pread,
    .pwrite = system_pwrite,
    .ftruncate = system_ftruncate,
    .fdatasync = system_fdatasync,
    .fsync = system_fsync,
    .renameat = system_renameat,
    .unlinkat = system_unlinkat,
};

bool journal_disk_write_all(const struct journal_disk *disk, int fd, const void *bytes, size_t n,
                            off_t offset) {
    const char *at = bytes;
    while (n > 0) {
        ssize_t written = disk->pwrite(disk->context, fd, at, n, offset);
        if (written < 0 && errno == EINTR) {
            continue;
        }
        if (written <= 0) {
            errno = written == 0 ? ENOSPC : errno;
            return false;
        }
        at += written;
        n -= (size_t)written;
        offset += written;
    }
    return true;
}

ssize_t journal_disk_read_all(const struct journal_disk *disk, int fd, void *to, size_t n, off_t offset) {
    size_t got = 0;
    while (got < n) {
        ssize_t more = disk->pread(disk->context, fd, (char *)to + got, n - got, offset + (off_t)got);
        if (more < 0 && errno == EINTR) {
            continue;
        }
        if (more <= 0) {
            return more < 0 ? -1 : (ssize_t)got;
        }
        got += (size_t)more;
    }
    return (ssize_t)got;
}
