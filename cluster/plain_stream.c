#define _GNU_SOURCE 1 /* memmem */
#include "cluster/plain_stream.h"

static const struct slice patch_head = {"PATCHX|", 7};
static const struct slice patch_head_of_next_line = {"\nPATCHX|", 8};

void plain_stream_deinit(struct plain_stream *stream) { buf_deinit(&stream->instead); }

static size_t first_line_bytes(struct slice lines) {
    const char *end = memchr(lines.ptr, '\n', lines.len);
    return end == NULL ? lines.len : (size_t)(end - lines.ptr) + 1;
}

static bool begins_with_patch(struct slice lines) {
    return lines.len >= patch_head.len && memcmp(lines.ptr, patch_head.ptr, patch_head.len) == 0;
}

/* The bytes of whole lines before the first PATCHX. */
static size_t bytes_before_patch(struct slice lines) {
    const char *patch = memmem(lines.ptr, lines.len, patch_head_of_next_line.ptr, patch_head_of_next_line.len);
    return patch == NULL ? lines.len : (size_t)(patch - lines.ptr) + 1;
}

/* False: out of memory. */
static bool replace_patch(struct plain_stream *stream, struct slice text, plain_stream_say *say,
                          void *context) {
    struct line line;
    const char *reason;
    struct buf scratch;
    buf_init(&scratch, SIZE_MAX);
    stream->instead.max_bytes = SIZE_MAX;
    bool ok = line_decode(slice_first(text, text.len - 1), &scratch, &line, &reason) == LINE_OK;
    if (ok) {
        say(context, line.key, line.version, &stream->instead);
    }
    buf_deinit(&scratch);
    return ok && !buf_failed(&stream->instead);
}

bool plain_stream_read(struct plain_stream *stream, const struct history *history,
                       struct history_reader *reader, plain_stream_say *say, void *context, struct slice *out) {
    uint64_t last_index;
    while (buf_used(&stream->instead) == 0) {
        if (!history_read(history, reader, out, &last_index)) {
            return false;
        }
        if (stream->mid_line || !begins_with_patch(*out)) {
            *out = slice_first(*out, stream->mid_line ? first_line_bytes(*out) : bytes_before_patch(*out));
            return true;
        }
        struct slice patch = slice_first(*out, first_line_bytes(*out));
        if (!replace_patch(stream, patch, say, context)) {
            return false;
        }
        history_advance(history, reader, patch.len);
    }
    *out = buf_slice(&stream->instead);
    return true;
}

void plain_stream_advance(struct plain_stream *stream, const struct history *history,
                          struct history_reader *reader, size_t n) {
    if (buf_used(&stream->instead) > 0) {
        buf_consume(&stream->instead, n);
        if (buf_used(&stream->instead) == 0) {
            buf_deinit(&stream->instead); /* it may have been a large value */
        }
        return;
    }
    struct slice lines;
    uint64_t last_index;
    if (n > 0 && history_read(history, reader, &lines, &last_index)) {
        stream->mid_line = lines.ptr[n - 1] != '\n';
        history_advance(history, reader, n);
    }
}
