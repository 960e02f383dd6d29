#include "server/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    LINE_BYTES = 4096, /* at most PIPE_BUF, so that a line into a pipe is not torn either */
    QUOTED_BYTES = 1024,
    QUOTED_COUNT = 8,
};

static const char *const level_names[] = {
    [LOG_DEBUG] = "debug",
    [LOG_INFO] = "info",
    [LOG_WARN] = "warn",
    [LOG_ERROR] = "error",
};

static size_t write_time(char *to, size_t n) {
    struct timespec now;
    struct tm utc;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    size_t used = strftime(to, n, "time=%Y-%m-%dT%H:%M:%S", &utc);
    return used + (size_t)snprintf(to + used, n - used, ".%03dZ", (int)(now.tv_nsec / 1000000));
}

static void write_all(int fd, const char *ptr, size_t n) {
    while (n > 0) {
        ssize_t written = write(fd, ptr, n);
        if (written < 0 && errno == EINTR) {
            continue;
        }
        if (written <= 0) {
            return; /* there is nowhere to say that the log cannot be written */
        }
        ptr += written;
        n -= (size_t)written;
    }
}

void log_write(const struct log *log, enum log_level level, const char *event, const char *fields, ...) {
    if (level < log->level) {
        return;
    }
    int saved_errno = errno;
    char line[LINE_BYTES];
    size_t room = sizeof(line) - 1; /* for the LF */
    size_t used = write_time(line, room);
    int n = snprintf(line + used, room - used, " level=%s event=%s%s", level_names[level], event,
                     fields[0] == '\0' ? "" : " ");
    used += n < 0 ? 0 : (size_t)n;
    if (used < room) {
        va_list args;
        va_start(args, fields);
        n = vsnprintf(line + used, room - used, fields, args);
        va_end(args);
        used += n < 0 ? 0 : (size_t)n;
    }
    if (used >= room) {
        used = room - 1; /* cut; the place of snprintf's NUL takes the LF */
    }
    line[used] = '\n';
    write_all(log->fd, line, used + 1);
    errno = saved_errno;
}

/* Only printable ASCII is written as it is: a value comes from a peer, and the log is read on a terminal. */
static bool is_plain(unsigned char byte) { return byte > ' ' && byte < 0x7f && byte != '"' && byte != '\\'; }

static bool needs_quotes(const char *value) {
    for (const char *at = value; *at != '\0'; at++) {
        if (!is_plain((unsigned char)*at) || *at == '=') {
            return true;
        }
    }
    return value[0] == '\0';
}

static size_t escape(char *to, unsigned char byte) {
    static const char digits[] = "0123456789abcdef";
    static const char named[][2] = {{'"', '"'}, {'\\', '\\'}, {'\n', 'n'}, {'\r', 'r'}, {'\t', 't'}};
    if (is_plain(byte) || byte == ' ') {
        to[0] = (char)byte;
        return 1;
    }
    to[0] = '\\';
    for (size_t i = 0; i < sizeof(named) / sizeof(named[0]); i++) {
        if (byte == (unsigned char)named[i][0]) {
            to[1] = named[i][1];
            return 2;
        }
    }
    to[1] = 'x';
    to[2] = digits[byte >> 4];
    to[3] = digits[byte & 15];
    return 4;
}

const char *log_quote(const char *value) {
    static _Thread_local char quoted[QUOTED_COUNT][QUOTED_BYTES];
    static _Thread_local unsigned turn;
    char *out = quoted[turn++ % QUOTED_COUNT];
    const char cut[] = "...\"";
    size_t longest = QUOTED_BYTES - sizeof(cut) - 4; /* an escape always fits before the cut mark */
    size_t length = strnlen(value, longest + 1);
    if (length <= longest && !needs_quotes(value)) {
        memcpy(out, value, length + 1);
        return out;
    }
    size_t used = 0;
    out[used++] = '"';
    for (const char *at = value; *at != '\0'; at++) {
        if (used > longest) {
            memcpy(out + used, cut, sizeof(cut));
            return out;
        }
        used += escape(out + used, (unsigned char)*at);
    }
    out[used++] = '"';
    out[used] = '\0';
    return out;
}
