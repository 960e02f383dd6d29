#include "server/store/heap.h"

#include <stdlib.h>

__attribute__((weak)) void *heap_alloc(size_t bytes) { return malloc(bytes); }

__attribute__((weak)) void *heap_alloc_lines(size_t bytes) { return aligned_alloc(HEAP_LINE_BYTES, bytes); }

__attribute__((weak)) void heap_free(void *memory) { free(memory); }
