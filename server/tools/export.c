/* export.c: kvnode -export: all keys of what a DIR has kept, or of a node that runs, as lines on stdout. */
#include "protocol/line.h"
#include "server/peers/replicated_store.h"
#include "server/tools/http_client.h"
#include "server/tools/kept_data.h"
#include "server/tools/progress.h"
#include "server/tools/tool.h"

#include <errno.h>
#include <stdio.h>

enum { OUT_BYTES = 1 << 20 };

static bool write_out(struct slice bytes) { return fwrite(bytes.ptr, 1, bytes.len, stdout) == bytes.len; }

static enum tool_status finish(bool written) {
    if (written && fflush(stdout) == 0) {
        return TOOL_OK;
    }
    return tool_say(TOOL_FAILED, "stdout cannot be written: %s", strerror(errno));
}

/* --- Of a directory --- */

static bool write_state(const struct kept_data *kept, bool *written) {
    struct buf out;
    uint64_t cursor = 0, count = 0;
    buf_init(&out, SIZE_MAX);
    *written = true;
    do {
        cursor = replicated_store_export(kept->keyspace, cursor, &out, &count);
        if (cursor == 0) {
            line_end(&out, count, kept_data_found(kept)->index);
        }
        if (buf_used(&out) >= OUT_BYTES || cursor == 0) {
            *written = write_out(buf_slice(&out));
            buf_consume(&out, buf_used(&out));
        }
    } while (cursor != 0 && *written && !buf_failed(&out));
    bool failed = buf_failed(&out);
    buf_deinit(&out);
    return !failed;
}

static enum tool_status export_directory(const char *path) {
    struct kept_data kept;
    bool written = false;
    enum tool_status status = kept_data_open(&kept, &(struct kept_data_wish){.path = path, .what = "reading"});
    if (status == TOOL_OK && !write_state(&kept, &written)) {
        status = tool_say(TOOL_FAILED, "out of memory");
    } else if (status == TOOL_OK) {
        status = finish(written);
    }
    kept_data_close(&kept);
    return status;
}

/* --- Of a node --- */

struct stream {
    const char *url;
    struct progress progress;
    uint64_t bytes, lines;
    bool written;
    enum tool_status status;
};

static bool on_body(void *context, struct slice piece) {
    struct stream *stream = context;
    stream->written = write_out(piece);
    stream->bytes += piece.len;
    for (struct slice rest = piece; rest.len > 0;) {
        const char *lf = memchr(rest.ptr, '\n', rest.len);
        stream->lines += lf != NULL;
        rest = slice_skip(rest, lf == NULL ? rest.len : (size_t)(lf + 1 - rest.ptr));
    }
    progress_say(&stream->progress, stream->bytes, 0, stream->lines);
    return stream->written;
}

static bool on_answer(void *context, const struct http_answer *answer) {
    struct stream *stream = context;
    if (answer->status != 200) {
        stream->status = tool_say(TOOL_FAILED, "it answers %d: %.*s", answer->status, (int)answer->detail.len,
                                  answer->detail.ptr);
    }
    return stream->status == TOOL_OK;
}

static enum tool_status export_node(const char *text) {
    static const struct http_client_events events = {.on_body = on_body, .on_answer = on_answer};
    struct http_client client;
    struct url url;
    struct stream stream = {.url = text, .written = true, .status = TOOL_OK};
    const char *reason;
    if (!url_parse(slice_from_text(text), SLICE("http"), &url, &reason)) {
        return tool_say(TOOL_MISUSED, "-export: %s", reason);
    }
    progress_begin(&stream.progress, "exporting");
    bool done = http_client_open(&client, &url, &events, &stream);
    if (done) {
        http_client_request(&client, "GET", SLICE("/export"), NULL, 0);
        done = http_client_run(&client);
    }
    progress_end(&stream.progress);
    if (!done && client.tcp.reason[0] != '\0') {
        stream.status = tool_say(TOOL_FAILED, "%s", client.tcp.reason);
    }
    http_client_close(&client);
    return stream.status == TOOL_OK ? finish(stream.written) : stream.status;
}

enum tool_status tool_export(const struct options *options) {
    const char *from = options->tool.from;
    return strstr(from, "://") != NULL ? export_node(from) : export_directory(from);
}
