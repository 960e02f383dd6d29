#include "server/journal/worker.h"

#include <assert.h>
#include <ev.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

enum state { IDLE, ASKED, WORKED }; /* WORKED: done is still to be called */

struct worker {
    struct loop *loop;
    ev_async wake;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    enum state state; /* guarded, with stop, by the mutex */
    bool stop;
    bool busy; /* the loop's own */
    void (*work)(void *context);
    void (*done)(void *context);
    void *context;
};

static void *run(void *context) {
    struct worker *worker = context;
    pthread_mutex_lock(&worker->mutex);
    for (;;) {
        while (worker->state != ASKED && !worker->stop) {
            pthread_cond_wait(&worker->changed, &worker->mutex);
        }
        if (worker->state != ASKED) {
            break;
        }
        pthread_mutex_unlock(&worker->mutex);
        worker->work(worker->context);
        pthread_mutex_lock(&worker->mutex);
        worker->state = WORKED;
        pthread_cond_broadcast(&worker->changed);
        ev_async_send(loop_ev(worker->loop), &worker->wake);
    }
    pthread_mutex_unlock(&worker->mutex);
    return NULL;
}

/* Signals are the loop's. */
static bool start_thread(struct worker *worker) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool started = pthread_create(&worker->thread, NULL, run, worker) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return started;
}

static void finish(struct worker *worker) {
    pthread_mutex_lock(&worker->mutex);
    bool worked = worker->state == WORKED;
    worker->state = worked ? IDLE : worker->state;
    pthread_mutex_unlock(&worker->mutex);
    if (worked) {
        worker->busy = false;
        worker->done(worker->context);
    }
}

static void on_wake(struct ev_loop *ev, ev_async *watcher, int events) {
    (void)ev, (void)events;
    finish(watcher->data);
}

struct worker *worker_create(struct loop *loop) {
    struct worker *worker = calloc(1, sizeof(*worker));
    if (worker == NULL) {
        return NULL;
    }
    worker->loop = loop;
    pthread_mutex_init(&worker->mutex, NULL);
    pthread_cond_init(&worker->changed, NULL);
    ev_async_init(&worker->wake, on_wake);
    worker->wake.data = worker;
    ev_async_start(loop_ev(loop), &worker->wake);
    if (!start_thread(worker)) {
        ev_async_stop(loop_ev(loop), &worker->wake);
        free(worker);
        return NULL;
    }
    return worker;
}

void worker_destroy(struct worker **handle) {
    struct worker *worker = *handle;
    if (worker == NULL) {
        return;
    }
    *handle = NULL;
    pthread_mutex_lock(&worker->mutex);
    worker->stop = true;
    pthread_cond_broadcast(&worker->changed);
    pthread_mutex_unlock(&worker->mutex);
    pthread_join(worker->thread, NULL);
    ev_async_stop(loop_ev(worker->loop), &worker->wake);
    pthread_cond_destroy(&worker->changed);
    pthread_mutex_destroy(&worker->mutex);
    free(worker);
}

bool worker_busy(const struct worker *worker) { return worker->busy; }

void worker_run(struct worker *worker, void (*work)(void *context), void (*done)(void *context),
                void *context) {
    assert(!worker->busy);
    worker->busy = true;
    pthread_mutex_lock(&worker->mutex);
    worker->work = work;
    worker->done = done;
    worker->context = context;
    worker->state = ASKED;
    pthread_cond_broadcast(&worker->changed);
    pthread_mutex_unlock(&worker->mutex);
}

void worker_wait(struct worker *worker) {
    pthread_mutex_lock(&worker->mutex);
    while (worker->state == ASKED) {
        pthread_cond_wait(&worker->changed, &worker->mutex);
    }
    pthread_mutex_unlock(&worker->mutex);
    finish(worker);
}
