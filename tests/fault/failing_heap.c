#include "tests/fault/failing_heap.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <execinfo.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

enum { MOST_RUNS = 20000, FRAMES = 24 };

static struct {
    bool armed;
    size_t nth, times; /* the plan */
    size_t calls, failed;
    uint64_t random;
    void *frames[FRAMES]; /* of the first call that failed */
    int frame_count;
} heap;

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__real_realloc(void *memory, size_t bytes);
void *__real_aligned_alloc(size_t alignment, size_t bytes);
char *__real_strdup(const char *text);
char *__real_strndup(const char *text, size_t most);

void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_realloc(void *memory, size_t bytes);
void *__wrap_aligned_alloc(size_t alignment, size_t bytes);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t most);
ssize_t __wrap_getrandom(void *to, size_t bytes, unsigned flags);

static bool refuses(void) {
    if (!heap.armed || ++heap.calls < heap.nth || heap.calls - heap.nth >= heap.times) {
        return false;
    }
    if (heap.failed++ == 0) {
        heap.armed = false;
        heap.frame_count = backtrace(heap.frames, FRAMES);
        heap.armed = true;
    }
    errno = ENOMEM;
    return true;
}

void *__wrap_malloc(size_t bytes) { return refuses() ? NULL : __real_malloc(bytes); }

void *__wrap_calloc(size_t count, size_t bytes) { return refuses() ? NULL : __real_calloc(count, bytes); }

void *__wrap_realloc(void *memory, size_t bytes) { return refuses() ? NULL : __real_realloc(memory, bytes); }

void *__wrap_aligned_alloc(size_t alignment, size_t bytes) {
    return refuses() ? NULL : __real_aligned_alloc(alignment, bytes);
}

char *__wrap_strdup(const char *text) { return refuses() ? NULL : __real_strdup(text); }

char *__wrap_strndup(const char *text, size_t most) { return refuses() ? NULL : __real_strndup(text, most); }

ssize_t __wrap_getrandom(void *to, size_t bytes, unsigned flags) {
    (void)flags;
    for (size_t i = 0; i < bytes; i++) {
        heap.random = heap.random * 6364136223846793005U + 1442695040888963407U;
        ((unsigned char *)to)[i] = (unsigned char)(heap.random >> 56);
    }
    return (ssize_t)bytes;
}

void fault_plan(size_t nth, size_t times) {
    heap.armed = false;
    heap.nth = nth;
    heap.times = times;
    heap.calls = heap.failed = 0;
    heap.random = 1;
    heap.frame_count = 0;
}

void fault_arm(void) { heap.armed = true; }
void fault_disarm(void) { heap.armed = false; }
size_t fault_count(void) { return heap.failed; }
void fault_be_patient(int turns) {
    enum { AT_ONCE = 1000 };
    if (turns > AT_ONCE) {
        poll(NULL, 0, 1);
    }
}

void fault_memory_is_back(void) { heap.times = 0; }

void fault_report(void) {
    heap.armed = false;
    fprintf(stderr, "allocation %zu and %zu more failed; the first one here:\n", heap.nth, heap.times - 1);
    backtrace_symbols_fd(heap.frames, heap.frame_count, STDERR_FILENO);
}

static void *json_malloc(size_t bytes) { return malloc(bytes); }
static void json_free(void *memory) { free(memory); }

void fault_each(void (*run)(void)) {
    static const size_t times[] = {1, FAULT_FOR_A_WHILE};
    cJSON_Hooks hooks = {json_malloc, json_free};
    cJSON_InitHooks(&hooks);
    backtrace(heap.frames, FRAMES); /* which allocates when it is called first */
    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        size_t nth = 0;
        do {
            if (++nth > MOST_RUNS) {
                fail_msg("no end after %d runs", MOST_RUNS);
            }
            fault_plan(nth, times[i]);
            run();
            fault_disarm();
        } while (fault_count() > 0);
        assert_true(nth > 1); /* or nothing was tried at all */
        print_message("%zu runs, %zu failures in each\n", nth - 1, times[i]);
    }
}
