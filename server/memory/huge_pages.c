/* Of a fresh run the allocator uses the front first, and tells how far it has come (the commit hook). As soon
 * as a huge page is in use the next one is asked for:
 *
 *     | small pages | huge, in use | huge, in use to here --> .....| huge, touched | not touched yet |
 *     run           first huge page                                                                end
 *
 * For the first huge page of a run there would be nobody to ask in time: what is before it stays on small
 * pages.
 */
#include "server/memory/huge_pages.h"

#ifdef KVNODE_JEMALLOC

#include <errno.h>
#include <jemalloc/jemalloc.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
    HUGE_PAGE_BYTES = 2 << 20,
    SMALL_PAGES_BYTES = HUGE_PAGE_BYTES / 2, /* at the front of a run, at least */
    /* jemalloc asks the system for runs that grow with what it has: the first ones are left alone. */
    SMALLEST_HUGE_RUN_BYTES = 2 * HUGE_PAGE_BYTES,
    TOUCHER_STACK_BYTES = 64 << 10,
    PROBE_BYTES = 64 << 10, /* a page of the largest that systems have */
    NICER_THAN_THE_LOOP = 5,
    IDLE_LOOKS = 2,
};

/* jemalloc calls the hooks without a context, for as long as the process lives. */
static extent_hooks_t hooks;
static extent_alloc_t *default_alloc;

/* The newest run. Only the loop takes memory in such amounts, but the hooks may be called by any thread. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
    uintptr_t used;    /* up to here */
    uintptr_t first;   /* huge page */
    uintptr_t touched; /* up to here it is, or soon will be; first: nothing yet */
    uintptr_t end;
    unsigned idle_looks; /* since it was last used */
} fresh;

static _Atomic(uintptr_t) asked_for; /* a huge page, until it is touched; 0: none */
static sem_t asked;
static bool has_toucher;

static uintptr_t page_of(uintptr_t address) { return address & ~(uintptr_t)(HUGE_PAGE_BYTES - 1); }

static void *pointer_to(uintptr_t address) { return (void *)address; /* NOLINT(performance-no-int-to-ptr) */ }

static void *touch(void *context) {
    (void)context;
    (void)nice(NICER_THAN_THE_LOOP); /* of this thread: it must not take the loop's processor to save it time */
    for (;;) {
        while (sem_wait(&asked) != 0) {
        }
        uintptr_t page = atomic_load(&asked_for);
        if (page != 0 && madvise(pointer_to(page), HUGE_PAGE_BYTES, MADV_POPULATE_WRITE) != 0 &&
            errno == EINVAL) {
            return NULL; /* before Linux 5.14: all pages are touched by who uses them */
        }
        atomic_compare_exchange_strong(&asked_for, &page, 0); /* else the next one has been asked for already */
    }
}

static bool start_toucher(void) {
    pthread_t thread;
    pthread_attr_t attributes;
    sigset_t all, before;
    if (sem_init(&asked, 0, 0) != 0 || pthread_attr_init(&attributes) != 0) {
        return false;
    }
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, TOUCHER_STACK_BYTES);
    sigfillset(&all); /* signals are the loop's */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool started = pthread_create(&thread, &attributes, touch, NULL) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return started;
}

static void ask_for(uintptr_t page) {
    fresh.touched = page + HUGE_PAGE_BYTES;
    atomic_store(&asked_for, page);
    sem_post(&asked);
}

static void note_use(uintptr_t used) {
    if (used <= fresh.used || used > fresh.end) {
        return; /* of an older run */
    }
    fresh.used = used;
    fresh.idle_looks = 0;
    uintptr_t page = page_of(used - 1) + HUGE_PAGE_BYTES;
    if (page >= fresh.touched && page + HUGE_PAGE_BYTES <= fresh.end) {
        ask_for(page);
    }
}

/* *commit is false on return, though every page may be used, so that the use of each part is told. jemalloc
 * asks for true where it does not tell (its own bookkeeping). */
static void *alloc_run(extent_hooks_t *self, void *wanted, size_t size, size_t alignment, bool *zero,
                       bool *commit, unsigned arena) {
    bool tells = has_toucher && !*commit;
    void *run = default_alloc(self, wanted, size, alignment, zero, commit, arena);
    if (run == NULL || size < SMALLEST_HUGE_RUN_BYTES) {
        return run;
    }
    uintptr_t begin = (uintptr_t)run, first = begin, end = begin + size;
    if (tells) {
        first = page_of(begin + SMALL_PAGES_BYTES + HUGE_PAGE_BYTES - 1);
        *commit = false;
        pthread_mutex_lock(&lock);
        fresh = (typeof(fresh)){.used = begin, .first = first, .touched = first, .end = end};
        pthread_mutex_unlock(&lock);
    }
    madvise(pointer_to(first), end - first, MADV_HUGEPAGE); /* advice: where it is not taken, nothing is lost */
    return run;
}

static bool commit_part(extent_hooks_t *self, void *extent, size_t size, size_t offset, size_t length,
                        unsigned arena) {
    (void)self, (void)size, (void)arena;
    pthread_mutex_lock(&lock);
    note_use((uintptr_t)extent + offset + length);
    pthread_mutex_unlock(&lock);
    return false; /* success */
}

/* Not where the system promises no more than it has (vm.overcommit_memory 2): there the default commit hook is
 * what makes memory usable, part by part. */
static bool is_usable_at_once(extent_hooks_t *defaults) {
    bool zero = false, commit = false;
    void *probe = defaults->alloc(defaults, NULL, PROBE_BYTES, PROBE_BYTES, &zero, &commit, 0);
    if (probe != NULL) {
        defaults->destroy(defaults, probe, PROBE_BYTES, commit, 0);
    }
    return commit;
}

bool huge_pages_enable(void) {
    extent_hooks_t *defaults, *changed = &hooks;
    size_t size = sizeof(defaults);
    if (mallctl("arena.0.extent_hooks", &defaults, &size, NULL, 0) != 0) {
        return false;
    }
    has_toucher = is_usable_at_once(defaults) && start_toucher();
    default_alloc = defaults->alloc;
    hooks = *defaults;
    hooks.alloc = alloc_run;
    hooks.commit = has_toucher ? commit_part : defaults->commit;
    return mallctl("arena.0.extent_hooks", NULL, NULL, &changed, sizeof(changed)) == 0;
}

/* Under the lock: who is given memory from this page meanwhile waits, and finds it empty. */
void huge_pages_give_back(void) {
    pthread_mutex_lock(&lock);
    uintptr_t page = fresh.touched - HUGE_PAGE_BYTES;
    bool is_spare = fresh.touched > fresh.first && page >= fresh.used && atomic_load(&asked_for) == 0;
    if (is_spare && ++fresh.idle_looks >= IDLE_LOOKS) {
        madvise(pointer_to(page), HUGE_PAGE_BYTES, MADV_DONTNEED);
        fresh.touched = page;
        fresh.idle_looks = 0;
    }
    pthread_mutex_unlock(&lock);
}

#else

bool huge_pages_enable(void) { return false; }

void huge_pages_give_back(void) {}

#endif
