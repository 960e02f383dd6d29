#define _GNU_SOURCE 1
#include "server/journal/directory.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define META     "meta"
#define META_NEW "meta.new" /* until it is whole */
#define LOCK     "lock"
#define INCOMING "incoming.log"

enum { ID_DIGITS = 8, RIGHTS_DIRECTORY = 0700, RIGHTS_FILE = 0600 };

struct journal_directory {
    char *path;
    const struct journal_disk *disk;
    int fd, lock_fd, meta_fd; /* -1: not open */
    bool is_new;
    struct journal_meta meta;
};

/* What is done while it is opened; each step returns false when it is refused, and reason says why. */
struct opening {
    const struct journal_wish *wish;
    struct journal_directory *directory;
    char *reason;
};

__attribute__((format(printf, 2, 3))) static bool refuse(const struct opening *opening, const char *format,
                                                         ...) {
    int n = snprintf(opening->reason, JOURNAL_REASON_BYTES, "-data %s: ", opening->wish->path);
    if (n > 0 && n < JOURNAL_REASON_BYTES) {
        va_list args;
        va_start(args, format);
        vsnprintf(opening->reason + n, (size_t)(JOURNAL_REASON_BYTES - n), format, args);
        va_end(args);
    }
    return false;
}

/* A call on what of the directory failed. */
static bool refuse_call(const struct opening *opening, const char *what) {
    switch (errno) {
    case EACCES:
    case EPERM:
        return refuse(opening, "no rights: %s: %s", what, strerror(errno));
    case EROFS:
        return refuse(opening, "it is read-only: %s", what);
    default:
        return refuse(opening, "%s: %s", what, strerror(errno));
    }
}

static void close_keeping_errno(int fd) {
    int error = errno;
    if (fd >= 0) {
        close(fd);
    }
    errno = error;
}

static int open_in(const struct journal_directory *directory, const char *name, int flags) {
    const struct journal_disk *disk = directory->disk;
    return disk->openat(disk->context, directory->fd, name, flags, RIGHTS_FILE);
}

bool journal_directory_sync(struct journal_directory *directory) {
    return directory->disk->fsync(directory->disk->context, directory->fd) == 0;
}

/* A tool's: it is there already. */
static bool makes_it(const struct journal_wish *wish) { return !wish->look && !wish->mend; }

/* --- The directory itself --- */

static bool open_itself(const struct opening *opening) {
    struct journal_directory *directory = opening->directory;
    const struct journal_disk *disk = directory->disk;
    if (makes_it(opening->wish) && disk->mkdir(disk->context, directory->path, RIGHTS_DIRECTORY) != 0 &&
        errno != EEXIST) {
        return errno == ENOENT ? refuse(opening, "the directory that it is to be made in is not there")
                               : refuse_call(opening, "it can't be made");
    }
    directory->fd = disk->openat(disk->context, AT_FDCWD, directory->path, O_RDONLY | O_DIRECTORY, 0);
    if (directory->fd < 0) {
        return errno == ENOTDIR ? refuse(opening, "it is not a directory")
                                : refuse_call(opening, "it can't be opened");
    }
    return true;
}

/* Calls each for every name but . and .., until it returns false. False: errno. */
static bool each_name(const struct journal_directory *directory, bool (*each)(void *context, const char *name),
                      void *context) {
    int fd = openat(directory->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *names = fd < 0 ? NULL : fdopendir(fd);
    if (names == NULL) {
        close_keeping_errno(fd);
        return false;
    }
    const struct dirent *entry;
    errno = 0;
    while ((entry = readdir(names)) != NULL) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
            !each(context, entry->d_name)) {
            break;
        }
        errno = 0;
    }
    int error = entry == NULL ? errno : 0;
    closedir(names);
    errno = error;
    return error == 0;
}

struct content {
    bool has_meta;
    char other[NAME_MAX + 1]; /* a file that is not there before the first start has ended */
};

static bool on_content(void *context, const char *name) {
    struct content *content = context;
    if (strcmp(name, META) == 0) {
        content->has_meta = true;
    } else if (strcmp(name, META_NEW) != 0 && strcmp(name, LOCK) != 0 &&
               strcmp(name, "lost+found") != 0) { /* as the root of a file system has it */
        snprintf(content->other, sizeof(content->other), "%s", name);
    }
    return !content->has_meta;
}

/* Before anything is made in it. */
static bool check_content(const struct opening *opening) {
    struct content content = {0};
    if (!each_name(opening->directory, on_content, &content)) {
        return refuse_call(opening, "it can't be listed");
    }
    if (!content.has_meta && content.other[0] != '\0') {
        return refuse(opening, "it holds other files (%s), and no journal: there is no file " META,
                      content.other);
    }
    if (!content.has_meta && !makes_it(opening->wish)) {
        return refuse(opening, "there is no journal in it");
    }
    return true;
}

static bool lock_it(const struct opening *opening) {
    struct journal_directory *directory = opening->directory;
    directory->lock_fd = open_in(directory, LOCK, opening->wish->look ? O_RDONLY : O_RDWR | O_CREAT);
    if (directory->lock_fd < 0) {
        bool none = opening->wish->look && errno == ENOENT;
        return none || refuse_call(opening, "its lock can't be opened");
    }
    if (flock(directory->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        return errno == EWOULDBLOCK ? refuse(opening, "another process holds it")
                                    : refuse_call(opening, "it can't be locked");
    }
    return true;
}

/* --- meta --- */

static bool inode_of(int fd, uint64_t *inode) {
    struct stat status;
    if (fstat(fd, &status) != 0) {
        return false;
    }
    *inode = status.st_ino;
    return true;
}

static bool write_slot(const struct journal_directory *directory, int fd, const struct journal_meta *meta) {
    char slot[JOURNAL_META_SLOT_BYTES];
    const struct journal_disk *disk = directory->disk;
    journal_meta_write(slot, meta);
    return journal_disk_write_all(disk, fd, slot, sizeof(slot), (off_t)journal_meta_offset(meta->counter)) &&
           disk->fdatasync(disk->context, fd) == 0;
}

bool journal_directory_write_meta(struct journal_directory *directory, const struct journal_meta *meta) {
    struct journal_meta next = *meta;
    next.counter = directory->meta.counter + 1;
    next.directory_inode = directory->meta.directory_inode;
    next.meta_inode = directory->meta.meta_inode;
    if (!write_slot(directory, directory->meta_fd, &next)) {
        return false;
    }
    directory->meta = next;
    return true;
}

static bool make_id(const struct opening *opening, struct journal_meta *meta) {
    const char *name = opening->wish->id;
    uint32_t random;
    if (name != NULL && strlen(name) + 1 + ID_DIGITS > LIMIT_NODE_ID_BYTES) {
        return refuse(opening,
                      "-id %s is too long: with -data at most %d bytes, for a dash and %d digits follow", name,
                      (int)LIMIT_NODE_ID_BYTES - 1 - ID_DIGITS, ID_DIGITS);
    }
    if (getrandom(&random, sizeof(random), 0) != sizeof(random)) {
        return refuse_call(opening, "no random numbers");
    }
    snprintf(meta->node_id, sizeof(meta->node_id), "%s%s%0*x", name == NULL ? "" : name,
             name == NULL ? "" : "-", ID_DIGITS, (unsigned)random);
    return true;
}

/* Its own name has to be there after a power cut, too. What is above it may be closed to this process. */
static bool sync_above(struct journal_directory *directory) {
    int above = open_in(directory, "..", O_RDONLY | O_DIRECTORY);
    if (above < 0) {
        return errno == EACCES;
    }
    bool synced = directory->disk->fsync(directory->disk->context, above) == 0;
    close_keeping_errno(above);
    return synced;
}

/* Under another name until it is whole: so there is none, or one that can be read. */
static bool make_meta(const struct opening *opening) {
    struct journal_directory *directory = opening->directory;
    const struct journal_disk *disk = directory->disk;
    struct journal_meta *meta = &directory->meta;
    *meta = (struct journal_meta){
        .counter = 1, .group = opening->wish->group, .clean = true, .weakest_fsync = JOURNAL_FSYNC_ALWAYS};
    if (!make_id(opening, meta)) {
        return false;
    }
    directory->is_new = true;
    directory->meta_fd = open_in(directory, META_NEW, O_RDWR | O_CREAT | O_TRUNC);
    if (directory->meta_fd < 0 || !sync_above(directory) || !inode_of(directory->fd, &meta->directory_inode) ||
        !inode_of(directory->meta_fd, &meta->meta_inode) || !write_slot(directory, directory->meta_fd, meta) ||
        disk->fsync(disk->context, directory->meta_fd) != 0 ||
        disk->renameat(disk->context, directory->fd, META_NEW, META) != 0 ||
        !journal_directory_sync(directory)) {
        return refuse_call(opening, "its file " META " can't be written");
    }
    return true;
}

static bool read_meta(const struct opening *opening) {
    struct journal_directory *directory = opening->directory;
    char bytes[JOURNAL_META_BYTES];
    ssize_t n = journal_disk_read_all(directory->disk, directory->meta_fd, bytes, sizeof(bytes), 0);
    if (n < 0) {
        return refuse_call(opening, "its file " META " can't be read");
    }
    switch (journal_meta_read(slice_of(bytes, (size_t)n), &directory->meta)) {
    case JOURNAL_META_OK:
        return true;
    case JOURNAL_META_NEWER:
        return refuse(opening, "it was written by a newer kvnode, in a format that this one does not know");
    case JOURNAL_META_BAD:
        break;
    }
    return refuse(opening, "its file " META " is damaged, both parts of it");
}

/* --- Whose it is --- */

static bool is_made_of(const char *node_id, const char *name) {
    size_t n = strlen(name);
    if (strncmp(node_id, name, n) != 0) {
        return false;
    }
    const char *rest = node_id + n;
    return rest[0] == '\0' || (rest[0] == '-' && strlen(rest) == 1 + ID_DIGITS &&
                               strspn(rest + 1, "0123456789abcdef") == ID_DIGITS);
}

static bool adopt(const struct opening *opening, uint64_t directory_inode, uint64_t meta_inode) {
    struct journal_directory *directory = opening->directory;
    struct journal_meta meta = directory->meta;
    if (!make_id(opening, &meta)) {
        return false;
    }
    meta.kept.voted_for[0] = '\0';
    meta.kept.formed_id = 0; /* it was none of them */
    struct journal_meta before = directory->meta;
    directory->meta.directory_inode = directory_inode;
    directory->meta.meta_inode = meta_inode;
    if (!journal_directory_write_meta(directory, &meta)) {
        directory->meta = before;
        return refuse_call(opening, "its file " META " can't be written");
    }
    return true;
}

static bool check_owner(const struct opening *opening) {
    const struct journal_wish *wish = opening->wish;
    struct journal_directory *directory = opening->directory;
    const struct journal_meta *meta = &directory->meta;
    uint64_t directory_inode, meta_inode;
    if (!inode_of(directory->fd, &directory_inode) || !inode_of(directory->meta_fd, &meta_inode)) {
        return refuse_call(opening, "its files can't be looked at");
    }
    bool is_copy = directory_inode != meta->directory_inode || meta_inode != meta->meta_inode;
    if (is_copy && !wish->adopt) {
        return refuse(opening,
                      "it is a copy of the data of node %s, which may be running: with -adopt-data it becomes "
                      "another node, with an id of its own",
                      meta->node_id);
    }
    if (meta->group != wish->group && !wish->mend) {
        return refuse(opening, "its data are of group %u, and this node is to be of group %u (-group)",
                      meta->group, wish->group);
    }
    if (is_copy) {
        return adopt(opening, directory_inode, meta_inode);
    }
    if (wish->id != NULL && !is_made_of(meta->node_id, wish->id)) {
        return refuse(opening, "its data are of node %s, and this node is to be %s (-id)", meta->node_id,
                      wish->id);
    }
    return true;
}

static bool open_meta(const struct opening *opening) {
    struct journal_directory *directory = opening->directory;
    directory->meta_fd = open_in(directory, META, opening->wish->look ? O_RDONLY : O_RDWR);
    if (directory->meta_fd < 0) {
        return errno == ENOENT && makes_it(opening->wish)
                   ? make_meta(opening)
                   : refuse_call(opening, "its file " META " can't be opened");
    }
    return read_meta(opening) && (opening->wish->look || check_owner(opening));
}

struct journal_directory *journal_directory_open(const struct journal_wish *wish,
                                                 const struct journal_disk *disk,
                                                 char reason[JOURNAL_REASON_BYTES]) {
    struct journal_directory *directory = calloc(1, sizeof(*directory));
    struct opening opening = {.wish = wish, .directory = directory, .reason = reason};
    reason[0] = '\0';
    if (directory == NULL || (directory->path = strdup(wish->path)) == NULL) {
        free(directory);
        refuse(&opening, "no memory");
        return NULL;
    }
    directory->disk = disk;
    directory->fd = directory->lock_fd = directory->meta_fd = -1;
    if (!open_itself(&opening) || !check_content(&opening) || !lock_it(&opening) || !open_meta(&opening)) {
        journal_directory_close(&directory);
    }
    return directory;
}

void journal_directory_close(struct journal_directory **directory) {
    struct journal_directory *closed = *directory;
    if (closed != NULL) {
        close_keeping_errno(closed->meta_fd);
        close_keeping_errno(closed->lock_fd);
        close_keeping_errno(closed->fd);
        free(closed->path);
        free(closed);
    }
    *directory = NULL;
}

const char *journal_directory_path(const struct journal_directory *directory) { return directory->path; }

const struct journal_disk *journal_directory_disk(const struct journal_directory *directory) {
    return directory->disk;
}

bool journal_directory_is_new(const struct journal_directory *directory) { return directory->is_new; }

const struct journal_meta *journal_directory_meta(const struct journal_directory *directory) {
    return &directory->meta;
}

bool journal_boot_id(char boot_id[JOURNAL_BOOT_ID_BYTES + 1]) {
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, boot_id, JOURNAL_BOOT_ID_BYTES);
    close_keeping_errno(fd);
    boot_id[n == JOURNAL_BOOT_ID_BYTES ? n : 0] = '\0';
    return n == JOURNAL_BOOT_ID_BYTES;
}

/* --- Segments --- */

void journal_segment_name(char name[JOURNAL_NAME_BYTES], uint64_t number) {
    snprintf(name, JOURNAL_NAME_BYTES, "journal-%010llu.log", (unsigned long long)number);
}

/* 0: it is none. */
static uint64_t number_of(const char *name) {
    char same[JOURNAL_NAME_BYTES];
    unsigned long long number = 0;
    if (sscanf(name, "journal-%20llu.log", &number) != 1) {
        return 0;
    }
    journal_segment_name(same, number);
    return strcmp(name, same) == 0 ? number : 0;
}

struct numbers {
    uint64_t *all;
    size_t n, capacity;
    bool failed;
};

static bool on_segment(void *context, const char *name) {
    struct numbers *numbers = context;
    uint64_t number = number_of(name);
    if (number == 0) {
        return true;
    }
    if (numbers->n == numbers->capacity) {
        size_t capacity = numbers->capacity == 0 ? 16 : 2 * numbers->capacity;
        uint64_t *all = realloc(numbers->all, capacity * sizeof(*all));
        if (all == NULL) {
            numbers->failed = true;
            return false;
        }
        numbers->all = all;
        numbers->capacity = capacity;
    }
    numbers->all[numbers->n++] = number;
    return true;
}

static int compare_numbers(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

bool journal_directory_list(const struct journal_directory *directory, uint64_t **numbers, size_t *n) {
    struct numbers found = {0};
    bool listed = each_name(directory, on_segment, &found);
    if (!listed || found.failed) {
        free(found.all);
        errno = listed ? ENOMEM : errno;
        return false;
    }
    if (found.n > 0) {
        qsort(found.all, found.n, sizeof(found.all[0]), compare_numbers);
    }
    *numbers = found.all;
    *n = found.n;
    return true;
}

/* Its name is synced, or it is not there. */
static int create(struct journal_directory *directory, const char *name) {
    int fd = open_in(directory, name, O_RDWR | O_CREAT | O_EXCL);
    if (fd >= 0 && !journal_directory_sync(directory)) {
        int error = errno;
        directory->disk->unlinkat(directory->disk->context, directory->fd, name);
        close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

int journal_directory_create_segment(struct journal_directory *directory, uint64_t number) {
    char name[JOURNAL_NAME_BYTES];
    assert(number > 0);
    journal_segment_name(name, number);
    return create(directory, name);
}

int journal_directory_open_segment(const struct journal_directory *directory, uint64_t number, bool to_write) {
    char name[JOURNAL_NAME_BYTES];
    journal_segment_name(name, number);
    return open_in(directory, name, to_write ? O_RDWR : O_RDONLY);
}

static bool remove_if_there(struct journal_directory *directory, const char *name) {
    return directory->disk->unlinkat(directory->disk->context, directory->fd, name) == 0 || errno == ENOENT;
}

bool journal_directory_remove_segment(struct journal_directory *directory, uint64_t number) {
    char name[JOURNAL_NAME_BYTES];
    journal_segment_name(name, number);
    return remove_if_there(directory, name);
}

bool journal_directory_remove_below(struct journal_directory *directory, uint64_t number) {
    uint64_t *numbers;
    size_t n;
    if (!journal_directory_list(directory, &numbers, &n)) {
        return false;
    }
    bool removed = true;
    for (size_t i = 0; i < n && numbers[i] < number && removed; i++) {
        removed = journal_directory_remove_segment(directory, numbers[i]);
    }
    int error = errno;
    free(numbers);
    errno = error;
    return removed;
}

int journal_directory_create_incoming(struct journal_directory *directory) {
    return open_in(directory, INCOMING, O_RDWR | O_CREAT | O_TRUNC);
}

bool journal_directory_accept_incoming(struct journal_directory *directory, uint64_t number) {
    char name[JOURNAL_NAME_BYTES];
    const struct journal_disk *disk = directory->disk;
    journal_segment_name(name, number);
    bool renamed = disk->renameat(disk->context, directory->fd, INCOMING, name) == 0 ||
                   (errno == ENOENT && faccessat(directory->fd, name, F_OK, 0) == 0); /* by an earlier call */
    return renamed && journal_directory_sync(directory);
}

bool journal_directory_remove_incoming(struct journal_directory *directory) {
    return remove_if_there(directory, INCOMING);
}
