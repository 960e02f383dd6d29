#include "protocol/buf.h"

#include "protocol/num.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { SMALLEST_CAPACITY = 512 };

void buf_init(struct buf *buf, size_t max_bytes) { *buf = (struct buf){.max_bytes = max_bytes}; }

void buf_deinit(struct buf *buf) {
    free(buf->data);
    buf_init(buf, buf->max_bytes);
}

void buf_reset(struct buf *buf) {
    buf->start = buf->end = 0;
    buf->failed = false;
}

char *buf_reserve_slow(struct buf *buf, size_t n) {
    size_t used = buf_used(buf);
    if (buf->failed || n > buf->max_bytes || used > buf->max_bytes - n) {
        buf->failed = true;
        return NULL;
    }
    /* Moving is worth it only when it frees at least half: so each byte is moved a bounded number of times. */
    if (buf->data != NULL && buf->start > 0 && buf->start >= buf->capacity / 2 && buf->capacity - used >= n) {
        memmove(buf->data, buf->data + buf->start, used);
        buf->start = 0;
        buf->end = used;
        return buf->data + buf->end;
    }
    size_t capacity = buf->capacity < SMALLEST_CAPACITY ? SMALLEST_CAPACITY : buf->capacity * 2;
    if (capacity < used + n) {
        capacity = used + n;
    }
    char *data = malloc(capacity);
    if (data == NULL) {
        buf->failed = true;
        return NULL;
    }
    if (buf->data != NULL) {
        memcpy(data, buf->data + buf->start, used);
    }
    free(buf->data);
    buf->data = data;
    buf->capacity = capacity;
    buf->start = 0;
    buf->end = used;
    return data + used;
}

void buf_append_text(struct buf *buf, const char *text) { buf_append(buf, text, strlen(text)); }

void buf_append_u64(struct buf *buf, uint64_t number) {
    char digits[NUM_MAX_DIGITS];
    buf_append(buf, digits, num_write_u64(digits, number));
}

void buf_append_i64(struct buf *buf, int64_t number) {
    char digits[NUM_MAX_DIGITS];
    buf_append(buf, digits, num_write_i64(digits, number));
}

void buf_printf(struct buf *buf, const char *format, ...) {
    va_list args;
    va_start(args, format);
    va_list again;
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    char *to = n < 0 ? NULL : buf_reserve(buf, (size_t)n + 1);
    if (to != NULL) {
        vsnprintf(to, (size_t)n + 1, format, again);
        buf_commit(buf, (size_t)n);
    }
    va_end(again);
}

void buf_shrink(struct buf *buf) {
    struct buf small;
    buf_init(&small, buf->max_bytes);
    buf_append_slice(&small, buf_slice(buf));
    if (buf_failed(&small)) {
        buf_deinit(&small);
        return;
    }
    buf_deinit(buf);
    *buf = small;
}
