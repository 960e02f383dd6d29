#include "server/memory/huge_pages.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#ifdef KVNODE_JEMALLOC

enum {
    SMALL_PAGE = 4096,
    HUGE_PAGE = 2 << 20,
    BLOCK = 32 << 10, /* not touched by malloc */
    BLOCKS = (64 << 20) / BLOCK,
    PATIENCE_MS = 30000,
};

static void *blocks[BLOCKS];

static void *page_behind(const void *block) {
    return (void *)(((uintptr_t)block + BLOCK - 1) / HUGE_PAGE * HUGE_PAGE + HUGE_PAGE);
}

static bool is_resident(void *page) {
    unsigned char in_core[HUGE_PAGE / SMALL_PAGE];
    if (mincore(page, HUGE_PAGE, in_core) != 0) {
        return false; /* nothing is mapped there */
    }
    for (size_t i = 0; i < sizeof(in_core); i++) {
        if ((in_core[i] & 1) == 0) {
            return false;
        }
    }
    return true;
}

/* R: it runs, or waits for a processor; S: it waits for something to do. */
static char state_of_thread(const char *id) {
    char path[64], text[512] = "";
    snprintf(path, sizeof(path), "/proc/self/task/%.16s/stat", id);
    FILE *file = fopen(path, "re");
    if (file != NULL) {
        text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
        fclose(file);
    }
    const char *name_end = strrchr(text, ')');
    return name_end == NULL || name_end[1] == '\0' ? 'S' : name_end[2];
}

static bool others_are_at_work(void) {
    DIR *threads = opendir("/proc/self/task");
    assert_non_null(threads);
    bool at_work = false;
    for (const struct dirent *thread; (thread = readdir(threads)) != NULL;) {
        bool is_other = thread->d_name[0] != '.' && atoi(thread->d_name) != getpid();
        at_work = at_work || (is_other && state_of_thread(thread->d_name) != 'S');
    }
    closedir(threads);
    return at_work;
}

static void wait_ms(void) { nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL); }

/* The thread that touches was woken before the allocation was over; a busy machine may let it wait for long. */
static bool becomes_resident(void *page) {
    for (int ms = 0; ms < PATIENCE_MS && !is_resident(page) && others_are_at_work(); ms++) {
        wait_ms();
    }
    return is_resident(page);
}

/* It may wait for long once more after it has touched, before it says that the page can be given back. */
static void wait_until_others_rest(void) {
    for (int ms = 0; ms < PATIENCE_MS && others_are_at_work(); ms++) {
        wait_ms();
    }
    assert_false(others_are_at_work());
}

static bool kernel_touches_on_advice(void) {
    void *page = mmap(NULL, SMALL_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(page != MAP_FAILED);
    bool touches = madvise(page, SMALL_PAGE, MADV_POPULATE_WRITE) == 0;
    munmap(page, SMALL_PAGE);
    return touches;
}

/* With vm.overcommit_memory 2 the allocator gives access to memory part by part: nothing is touched ahead. */
static bool system_overcommits(void) {
    FILE *file = fopen("/proc/sys/vm/overcommit_memory", "re");
    int mode = file == NULL ? EOF : fgetc(file);
    if (file != NULL) {
        fclose(file);
    }
    return mode == '0' || mode == '1';
}

/* Nobody but the thread touches anything before the block is filled. */
static size_t fill_blocks(void) {
    size_t ahead = 0;
    void *last = NULL;
    for (size_t i = 0; i < BLOCKS; i++) {
        blocks[i] = malloc(BLOCK);
        assert_non_null(blocks[i]);
        void *page = page_behind(blocks[i]);
        if (page != last) {
            ahead += becomes_resident(page);
            last = page;
        }
        memset(blocks[i], (int)(i % 251), BLOCK);
    }
    return ahead;
}

static void check_and_free_blocks(void) {
    for (size_t i = 0; i < BLOCKS; i++) {
        const unsigned char *bytes = blocks[i];
        for (size_t at = 0; at < BLOCK; at++) {
            assert_int_equal(bytes[at], i % 251);
        }
        free(blocks[i]);
    }
}

static void the_next_page_is_touched_ahead_and_given_back(void **state) {
    (void)state;
    assert_true(huge_pages_enable());
    size_t ahead = fill_blocks();
    size_t half = BLOCKS * (size_t)BLOCK / HUGE_PAGE / 2;
    if (!kernel_touches_on_advice() || !system_overcommits()) {
        assert_in_range(ahead, 0, half - 1); /* what is behind the end of a run may be another one's */
    } else {
        assert_in_range(ahead, half, BLOCKS);
    }
    wait_until_others_rest();
    /* A run may end behind the last block: then there is nothing ahead, and nothing to give back. */
    for (int looks = 0; looks < 5; looks++) {
        huge_pages_give_back();
    }
    assert_false(is_resident(page_behind(blocks[BLOCKS - 1])));
    check_and_free_blocks();
}

#else

static void the_next_page_is_touched_ahead_and_given_back(void **state) {
    (void)state;
    assert_false(huge_pages_enable());
    huge_pages_give_back();
}

#endif

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_next_page_is_touched_ahead_and_given_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
