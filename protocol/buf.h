/* buf.h: an owned, growing run of bytes with a maximum: appended at the end, consumed from the front.
 *
 * A buf that could not grow (over its maximum, or out of memory) remembers it: the append that failed and all
 * after it are dropped, and buf_failed() is true until buf_reset(). So a writer of many small pieces checks
 * once. An empty buf owns no memory.
 */
#ifndef KVNODE_PROTOCOL_BUF_H
#define KVNODE_PROTOCOL_BUF_H

#include "protocol/slice.h"

#include <stdint.h>

struct buf {
    char *data;
    size_t start;     /* first byte not consumed */
    size_t end;       /* one past the last byte */
    size_t capacity;  /* bytes allocated */
    size_t max_bytes; /* most that may be unconsumed at once */
    bool failed;
};

void buf_init(struct buf *buf, size_t max_bytes);
void buf_deinit(struct buf *buf); /* frees; the buf may be used again as an empty one */

static inline size_t buf_used(const struct buf *buf) { return buf->end - buf->start; }
static inline struct slice buf_slice(const struct buf *buf) {
    return buf->data == NULL ? SLICE("") : slice_of(buf->data + buf->start, buf_used(buf));
}
static inline bool buf_failed(const struct buf *buf) { return buf->failed; }
/* What was to be appended could not even be made. */
static inline void buf_fail_if(struct buf *buf, bool failed) { buf->failed |= failed; }

/* Makes room for n more bytes behind the end: the place to write them, or NULL (and the buf has failed).
 * What was written becomes part of the buf by buf_commit. All of n counts against the maximum. */
char *buf_reserve_slow(struct buf *buf, size_t n);
static inline char *buf_reserve(struct buf *buf, size_t n) {
    if (__builtin_expect(buf->capacity - buf->end >= n && buf_used(buf) + n <= buf->max_bytes && !buf->failed,
                         1) &&
        buf->data != NULL) {
        return buf->data + buf->end;
    }
    return buf_reserve_slow(buf, n);
}
static inline void buf_commit(struct buf *buf, size_t n) { buf->end += n; }

static inline void buf_append(struct buf *buf, const void *bytes, size_t n) {
    char *to = n > 0 ? buf_reserve(buf, n) : NULL;
    if (to != NULL) {
        memcpy(to, bytes, n);
        buf->end += n;
    }
}
static inline void buf_append_slice(struct buf *buf, struct slice s) { buf_append(buf, s.ptr, s.len); }
static inline void buf_append_byte(struct buf *buf, char byte) { buf_append(buf, &byte, 1); }
void buf_append_text(struct buf *buf, const char *text);
void buf_append_u64(struct buf *buf, uint64_t number); /* decimal */
void buf_append_i64(struct buf *buf, int64_t number);  /* decimal */
void buf_printf(struct buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Drops the first n bytes; n must not exceed buf_used. */
static inline void buf_consume(struct buf *buf, size_t n) {
    buf->start += n;
    if (buf->start == buf->end) {
        buf->start = buf->end = 0;
    }
}
/* Cuts the buf back to its first n unconsumed bytes (undoing appends). */
static inline void buf_truncate(struct buf *buf, size_t n) { buf->end = buf->start + n; }

/* Empties it, keeps the memory, forgets a failure. */
void buf_reset(struct buf *buf);
/* Keeps what it holds in no more memory than that takes; nothing changes when there is none to move it to. */
void buf_shrink(struct buf *buf);

#endif
