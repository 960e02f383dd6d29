/* worker.h: one thread beside the loop, for system calls that may wait for a disk.
 *
 * One piece of work at a time: work runs on the thread and touches only what its context gives it; then done
 * runs on the loop. Between worker_run and done, what the work uses is the thread's.
 */
#ifndef KVNODE_SERVER_JOURNAL_WORKER_H
#define KVNODE_SERVER_JOURNAL_WORKER_H

#include "server/net/loop.h"

struct worker;

struct worker *worker_create(struct loop *loop); /* NULL: no thread, or out of memory */
/* Waits for the work that is under way; its done is not called any more. NULL-safe. */
void worker_destroy(struct worker **worker);

bool worker_busy(const struct worker *worker); /* from worker_run until done has been called */
/* Only when it is not busy. */
void worker_run(struct worker *worker, void (*work)(void *context), void (*done)(void *context), void *context);
/* Blocks until the work that is under way, if any, is done, and calls its done. */
void worker_wait(struct worker *worker);

#endif
