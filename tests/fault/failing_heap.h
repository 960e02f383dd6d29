/* failing_heap.h: the allocations of the code under test, counted, and one of them refused.
 *
 * The linker gives the program's calls of malloc and its kin to failing_heap.c (tests/CMakeLists.txt: --wrap),
 * those of cJSON by its hooks. Calls from within shared libraries (libev, cmocka) are not seen. Nothing counts
 * until the heap is armed, and a test arms it only while the code under test runs: so its own calls never fail.
 * Random numbers (getrandom) are the same ones in every run: so run n meets the allocations of run n - 1.
 */
#ifndef KVNODE_TESTS_FAULT_FAILING_HEAP_H
#define KVNODE_TESTS_FAULT_FAILING_HEAP_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { FAULT_FOR_A_WHILE = 12 }; /* calls in a row that fail, where it is more than one */

/* A new run: of the calls that count, the nth (from 1) will fail, and times - 1 after it. */
void fault_plan(size_t nth, size_t times);
void fault_arm(void);
void fault_disarm(void);
size_t fault_count(void);        /* that failed so far in this run */
void fault_memory_is_back(void); /* none fails any more in this run */

/* Who was refused: on stderr, for a failure's message. */
void fault_report(void);
#define fault_fail(...)                                                                                        \
    do {                                                                                                       \
        fault_report();                                                                                        \
        fail_msg(__VA_ARGS__);                                                                                 \
    } while (0)

/* For those that turn a loop until something comes through the network: it is there at once, but on a busy
 * machine, which needs a while for it, and is given that after many turns. They may give up after
 * FAULT_MOST_TURNS. */
enum { FAULT_MOST_TURNS = 20000 };
void fault_be_patient(int turns);

/* Calls run(nth, times) for 1, 2, 3, ... until a run has met no failure; each with one failure and with a while
 * of them. */
void fault_each(void (*run)(void));

#endif
