/* heap.h: where the store's memory comes from.
 *
 * A size is rounded up to the allocator's size class before it is asked for: so every byte of it may be used,
 * and what is counted is what is taken, at no call's cost. The classes are jemalloc's; another allocator gives
 * the same sizes to the same requests and may only waste a little on top.
 *
 * The functions are weak symbols: a test that defines them itself decides which allocation fails.
 */
#ifndef KVNODE_SERVER_STORE_HEAP_H
#define KVNODE_SERVER_STORE_HEAP_H

#include <stddef.h>

enum { HEAP_LINE_BYTES = 64 }; /* a cache line */

/* The size class of a request: steps of 16 up to 128, then four classes to every doubling. */
static inline size_t heap_class(size_t bytes) {
    if (bytes <= 128) {
        return (bytes + 15) & ~(size_t)15;
    }
    size_t step = (size_t)1 << (61 - __builtin_clzl(bytes - 1));
    return (bytes + step - 1) & ~(step - 1);
}

/* Starts to fetch a cache line; any address will do. gcc takes a function that does no more than that for one
 * without effect and leaves its calls out: so there is something here that it may not leave out. */
static inline void heap_prefetch(const void *at) {
    __builtin_prefetch(at);
    __asm__ volatile("");
}

/* NULL: out of memory. The second gives memory that begins on a cache line; bytes is a multiple of
 * HEAP_LINE_BYTES. */
void *heap_alloc(size_t bytes);
void *heap_alloc_lines(size_t bytes);
void heap_free(void *memory);

#endif
