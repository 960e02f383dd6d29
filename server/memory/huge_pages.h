/* huge_pages.h: large data lives on huge pages, so that a random access does not cost a walk through the page
 * tables.
 *
 * On a million random keys that walk is a third of what a request costs. There is no fork() here whose copies
 * on write would make huge pages expensive. Small memory stays on small pages: an idle node is not to pay 2 MB
 * for every allocation arena it touches.
 *
 * A fresh huge page costs who touches it first 0.1 ms, and on virtual machines whose host has to find the
 * memory 5 ms. So a thread touches the next one before it is needed.
 */
#ifndef KVNODE_SERVER_MEMORY_HUGE_PAGES_H
#define KVNODE_SERVER_MEMORY_HUGE_PAGES_H

#include <stdbool.h>

/* From now on memory that the allocator takes from the system in large runs is advised to be huge pages
 * (madvise(2), MADV_HUGEPAGE), and a thread of its own touches it ahead of its use, at most 2 MB. False: not
 * with this allocator, or not on this system; nothing is changed then. Call once. */
bool huge_pages_enable(void);

/* To be called now and then: gives back what has been touched and is not
 * used, once no more memory is taken. */
void huge_pages_give_back(void);

#endif
