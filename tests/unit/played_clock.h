/* played_clock.h: the clock as the tests have it that play a node in one process. It goes on with what a test
 * does, 1 ms with every turn of the loop, and not with what the machine does besides: nothing is late on a busy
 * one, and every run is the same.
 *
 * For one program each: clock_gettime and nanosleep stand in place of the C library's. */
#ifndef KVNODE_TESTS_UNIT_PLAYED_CLOCK_H
#define KVNODE_TESTS_UNIT_PLAYED_CLOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static struct {
    bool is_real; /* for what is about the time that work takes */
    int64_t us;   /* that have been played */
} played_clock;

static inline void played_clock_pass_ms(int64_t ms) { played_clock.us += ms * 1000; }

int clock_gettime(clockid_t clock, struct timespec *out) {
    enum { MONOTONIC_S = 1000, REALTIME_S = 1800000000 }; /* of the beginning */
    bool is_played = clock == CLOCK_MONOTONIC || clock == CLOCK_REALTIME;
    if (played_clock.is_real || !is_played) {
        return (int)syscall(SYS_clock_gettime, clock, out);
    }
    int64_t us = ++played_clock.us; /* a budget of time comes to its end */
    out->tv_sec = (clock == CLOCK_MONOTONIC ? MONOTONIC_S : REALTIME_S) + us / 1000000;
    out->tv_nsec = us % 1000000 * 1000;
    return 0;
}

int nanosleep(const struct timespec *wanted, struct timespec *left) {
    if (played_clock.is_real) {
        return (int)syscall(SYS_nanosleep, wanted, left);
    }
    played_clock.us += wanted->tv_sec * 1000000 + wanted->tv_nsec / 1000;
    return 0;
}

#endif
