#include "server/store/huge_pages.h"

#ifdef KVNODE_JEMALLOC

#include <jemalloc/jemalloc.h>
#include <stddef.h>
#include <sys/mman.h>

/* jemalloc asks the system for runs that grow with what it has: the first ones, up to here, are left alone. */
enum { SMALLEST_HUGE_RUN_BYTES = 4 << 20 };

/* jemalloc calls the hooks without a context, for as long as the process lives. */
static extent_hooks_t hooks;
static extent_alloc_t *default_alloc;

static void *alloc_run(extent_hooks_t *self, void *wanted, size_t size, size_t alignment, bool *zero,
                       bool *commit, unsigned arena) {
    void *run = default_alloc(self, wanted, size, alignment, zero, commit, arena);
    if (run != NULL && size >= SMALLEST_HUGE_RUN_BYTES) {
        madvise(run, size, MADV_HUGEPAGE); /* advice: where it is not taken, nothing is lost */
    }
    return run;
}

bool huge_pages_enable(void) {
    extent_hooks_t *defaults, *changed = &hooks;
    size_t size = sizeof(defaults);
    if (mallctl("arena.0.extent_hooks", &defaults, &size, NULL, 0) != 0) {
        return false;
    }
    default_alloc = defaults->alloc;
    hooks = *defaults;
    hooks.alloc = alloc_run;
    return mallctl("arena.0.extent_hooks", NULL, NULL, &changed, sizeof(changed)) == 0;
}

#else

bool huge_pages_enable(void) { return false; }

#endif
