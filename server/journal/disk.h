/* disk.h: the system calls by which the journal reads and writes its files, as a table: a test puts another one
 * in its place, and lets each call fail in turn. Each is the call of its name: -1 and errno. */
#ifndef KVNODE_SERVER_JOURNAL_DISK_H
#define KVNODE_SERVER_JOURNAL_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct journal_disk {
    void *context;
    int (*mkdir)(void *context, const char *path, mode_t mode);
    int (*openat)(void *context, int directory, const char *name, int flags, mode_t mode);
    ssize_t (*pread)(void *context, int fd, void *to, size_t n, off_t offset);
    ssize_t (*pwrite)(void *context, int fd, const void *bytes, size_t n, off_t offset);
    int (*ftruncate)(void *context, int fd, off_t bytes);
    int (*fdatasync)(void *context, int fd);
    int (*fsync)(void *context, int fd); /* of the directory too */
    int (*renameat)(void *context, int directory, const char *from, const char *to);
    int (*unlinkat)(void *context, int directory, const char *name);
};

extern const struct journal_disk journal_disk_system;

/* All n bytes at offset, in as many calls as it takes; false: errno, and any part of them may be there. A call
 * that writes nothing is ENOSPC. */
bool journal_disk_write_all(const struct journal_disk *disk, int fd, const void *bytes, size_t n, off_t offset);
/* Up to n bytes, fewer at the end of the file alone; -1: errno. */
ssize_t journal_disk_read_all(const struct journal_disk *disk, int fd, void *to, size_t n, off_t offset);

#endif
