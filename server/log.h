/* log.h: logfmt lines on stderr: time, level, event, fields.
 *
 *   time=2026-01-02T03:04:05.678Z level=info event=listening port=8000 host=127.0.0.1
 *
 * One write a line, so lines of several nodes on one terminal do not mix. Values are quoted where needed.
 */
#ifndef KVNODE_SERVER_LOG_H
#define KVNODE_SERVER_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

struct log {
    enum log_level level; /* lines under it are not written */
    int fd;
};

/* fields: a printf format that gives key=value pairs; log_quote for what may need quoting. A line is cut at
 * 4 KB. Keeps errno. */
void log_write(const struct log *log, enum log_level level, const char *event, const char *fields, ...)
    __attribute__((format(printf, 4, 5)));

/* A value as logfmt wants it: as it is, or in double quotes with escapes; cut at about 1000 bytes. The result
 * lives until the eighth call after. */
const char *log_quote(const char *value);

#endif
