/* journal_fixture.h: a directory of its own for a test, with what is needed to put files into it. */
#ifndef KVNODE_TESTS_UNIT_JOURNAL_FIXTURE_H
#define KVNODE_TESTS_UNIT_JOURNAL_FIXTURE_H

#include "protocol/slice.h"
#include "server/journal/directory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

struct place {
    char root[64];
    char path[128]; /* DIR, in root: not made */
};

static void place_make(struct place *place) {
    const char *above = getenv("TMPDIR");
    snprintf(place->root, sizeof(place->root), "%.30s/kvnode-journal-XXXXXX", above == NULL ? "/tmp" : above);
    assert_non_null(mkdtemp(place->root));
    snprintf(place->path, sizeof(place->path), "%s/data", place->root);
}

/* "" for DIR itself. */
static const char *place_name(const struct place *place, const char *name) {
    static char path[256];
    snprintf(path, sizeof(path), "%s/%s", place->path, name);
    return path;
}

/* Not by O_TRUNC: some file systems write what replaces a file in this way to the disk at once. */
static void place_write(const struct place *place, const char *name, struct slice bytes) {
    int fd = open(place_name(place, name), O_WRONLY | O_CREAT, 0600);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, bytes.ptr, bytes.len, 0), bytes.len);
    assert_int_equal(ftruncate(fd, (off_t)bytes.len), 0);
    close(fd);
}

static inline bool place_has(const struct place *place, const char *name) {
    return access(place_name(place, name), F_OK) == 0;
}

/* As a run leaves it that ends without a word, or at its end. */
static inline void place_mark(struct journal_directory *directory, bool clean) {
    struct journal_meta meta = *journal_directory_meta(directory);
    meta.clean = clean;
    assert_true(journal_directory_write_meta(directory, &meta));
}

/* All files of DIR. */
static void place_empty(const struct place *place) {
    DIR *names = opendir(place->path);
    if (names == NULL) {
        return;
    }
    const struct dirent *entry;
    while ((entry = readdir(names)) != NULL) {
        unlinkat(dirfd(names), entry->d_name, 0);
    }
    closedir(names);
}

static void place_remove(const struct place *place) {
    place_empty(place);
    rmdir(place->path);
    unlink(place->path); /* where a test put a file */
    assert_int_equal(rmdir(place->root), 0);
}

#endif
