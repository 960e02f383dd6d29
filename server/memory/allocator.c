#include "server/memory/allocator.h"

#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#ifdef KVNODE_JEMALLOC

#include <jemalloc/jemalloc.h>

/* Read by jemalloc when it starts. By default it manages these sizes, those of ordinary entries among them,
 * page by page; four pages at a time take 1.8 bytes a key less to keep account of. */
const char *malloc_conf = "slab_sizes:64-64:4|128-128:4|256-256:4|512-512:4";

const char *allocator_name(void) { return "jemalloc"; }

static size_t read_size(const char *name) {
    size_t value = 0, length = sizeof(value);
    return mallctl(name, &value, &length, NULL, 0) == 0 ? value : 0;
}

static void read_heap(struct allocator_stats *out) {
    uint64_t epoch = 1;
    mallctl("epoch", NULL, NULL, &epoch, sizeof(epoch)); /* the statistics are as of the last time it was set */
    out->allocated = read_size("stats.allocated");
    out->active = read_size("stats.active");
    out->resident = read_size("stats.resident");
}

#define STRING_OF(number)  #number
#define ARENA_NAME(number) "arena." STRING_OF(number) ".purge"

void allocator_purge(void) { mallctl(ARENA_NAME(MALLCTL_ARENAS_ALL), NULL, NULL, NULL, 0); }

void allocator_purge_in_background(void) {
    bool on = true;
    mallctl("background_thread", NULL, NULL, &on, sizeof(on)); /* where it cannot be had, all goes on without */
}

static void append(void *out, const char *text) { buf_append_text(out, text); }

void allocator_report(struct buf *out) { malloc_stats_print(append, out, NULL); }

#else

#include <malloc.h>

const char *allocator_name(void) { return "libc"; }

static void read_heap(struct allocator_stats *out) {
    struct mallinfo2 info = mallinfo2();
    out->allocated = info.uordblks + info.hblkhd;
    out->active = out->resident = info.arena + info.hblkhd;
}

void allocator_purge(void) { malloc_trim(0); }

void allocator_purge_in_background(void) {}

void allocator_report(struct buf *out) {
    buf_append_text(out, "Stats not supported for the current allocator");
}

#endif

/* The second number of statm, in pages. */
static size_t process_bytes(void) {
    unsigned long total = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (file == NULL) {
        return 0;
    }
    int fields = fscanf(file, "%lu %lu", &total, &resident);
    fclose(file);
    return fields == 2 ? resident * (size_t)sysconf(_SC_PAGESIZE) : 0;
}

void allocator_read(struct allocator_stats *out) {
    struct rusage usage = {0};
    *out = (struct allocator_stats){.process = process_bytes()};
    read_heap(out);
    getrusage(RUSAGE_SELF, &usage);
    out->peak = (size_t)usage.ru_maxrss * 1024;
    if (out->peak < out->process) {
        out->peak = out->process;
    }
}
