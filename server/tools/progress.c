#include "server/tools/progress.h"

#include "server/net/loop.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { FIRST_US = 1000000, TERMINAL_EVERY_US = 100000, ELSEWHERE_EVERY_US = 1000000, BAR_COLUMNS = 24 };

void progress_begin(struct progress *progress, const char *what) {
    uint64_t now_us = loop_monotonic_us();
    *progress = (struct progress){
        .what = what, .on_terminal = isatty(STDERR_FILENO) == 1, .began_us = now_us, .said_us = now_us};
}

static void say_bar(double part) {
    int columns = (int)(part * BAR_COLUMNS);
    char bar[BAR_COLUMNS + 1];
    memset(bar, '.', BAR_COLUMNS);
    memset(bar, '#', (size_t)(columns > BAR_COLUMNS ? BAR_COLUMNS : columns));
    bar[BAR_COLUMNS] = '\0';
    fprintf(stderr, "[%s] ", bar);
}

void progress_say(struct progress *progress, uint64_t bytes, uint64_t total_bytes, uint64_t keys) {
    uint64_t now_us = loop_monotonic_us();
    uint64_t wait_us = !progress->said         ? FIRST_US
                       : progress->on_terminal ? TERMINAL_EVERY_US
                                               : ELSEWHERE_EVERY_US;
    if (now_us - progress->said_us < wait_us) {
        return;
    }
    double seconds = (double)(now_us - progress->began_us) / 1e6;
    double megabytes = (double)bytes / 1e6, rate = megabytes / seconds;
    progress->said = true;
    progress->said_us = now_us;
    fputs(progress->on_terminal ? "\r\033[K" : "", stderr);
    fprintf(stderr, "%s ", progress->what);
    double part = total_bytes > 0            ? (double)bytes / (double)total_bytes
                  : progress->total_keys > 0 ? (double)keys / (double)progress->total_keys
                                             : 0;
    if (progress->on_terminal && part > 0) {
        say_bar(part);
    }
    if (keys != UINT64_MAX) {
        fprintf(stderr, "%llu keys, %.0f/s, ", (unsigned long long)keys, (double)keys / seconds);
    }
    fprintf(stderr, "%.0f ", megabytes);
    if (total_bytes > 0) {
        fprintf(stderr, "of %.0f ", (double)total_bytes / 1e6);
    }
    fprintf(stderr, "MB, %.0f MB/s", rate);
    if (part > 0 && part <= 1) {
        fprintf(stderr, ", %.0f s left", seconds / part - seconds);
    }
    fputs(progress->on_terminal ? "" : "\n", stderr);
    fflush(stderr);
}

void progress_end(struct progress *progress) {
    if (progress->said && progress->on_terminal) {
        fputs("\r\033[K", stderr);
        fflush(stderr);
    }
}
