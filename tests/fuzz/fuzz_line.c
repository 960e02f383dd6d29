/* fuzz_line.c: no line makes the decoder read past its end, and what was understood can be written and read
 * again: decode(encode(decode(x))) is decode(x). */
#include "protocol/line.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* assert() would vanish with NDEBUG. */
static void require(bool holds) {
    if (!holds) {
        abort();
    }
}

static void encode(struct buf *out, const struct line *line, struct slice original) {
    const struct term term = line_term_of(line); /* of those lines that name one */
    const struct term common = line_common_term_of(line);
    struct voters voters;
    switch (line->verb) {
    case LINE_REPLICATE:
        if (line->escaped) {
            line_replicate_x(out, line->key, line->value, line->version, line->timestamp_ms, line->deadline_ms);
        } else {
            line_replicate(out, line->key, line->value, line->version, 0, 0);
        }
        return;
    case LINE_PATCH:
        line_patch(out, line->key, line->offset, line->value, line->version, line->timestamp_ms);
        return;
    case LINE_DELETE:
        line_delete(out, line->key, line->version);
        return;
    case LINE_EXPIRE:
        line_expire(out, line->key, line->deadline_ms);
        return;
    case LINE_FLUSH:
        line_flush(out, line->version);
        return;
    case LINE_FLOOR:
        line_floor(out, line->version);
        return;
    case LINE_CLOCK:
        line_clock(out, line->timestamp_ms);
        return;
    case LINE_BATCH:
        line_batch(out, line->count);
        return;
    case LINE_TERM:
        line_term(out, &term);
        return;
    case LINE_LEAD:
        line_lead(out, line->node_id, line->group, line->history_id, line->index, &term, line->lz4);
        return;
    case LINE_SYNC:
        line_sync(out, line->node_id, line->history_id, line->index, &term, line->lz4);
        return;
    case LINE_CONTINUE:
        line_continue(out, line->history_id, line->index);
        return;
    case LINE_FULL:
        if (line->yes) {
            line_full_common(out, line->history_id, line->index, line->version, &term, line->count, &common);
        } else {
            line_full(out, line->history_id, line->index, line->version, &term);
        }
        return;
    case LINE_SINCE:
        line_since(out, line->index, &term);
        return;
    case LINE_END:
        line_end(out, line->count, line->index);
        return;
    case LINE_PING:
        if (line->committed_index > 0) {
            line_ping_committed(out, line->index, line->count, line->committed_index);
        } else if (line->count > 0) {
            line_ping_round(out, line->index, line->count);
        } else {
            line_ping(out, line->index);
        }
        return;
    case LINE_VOTERS:
        require(voters_parse(line->text, &voters));
        line_voters(out, &voters);
        return;
    case LINE_ACKS:
        line_acks(out, line->yes);
        return;
    case LINE_VOTE:
        line_vote(out, line->node_id, line->group, line->count, line->phase, line->history_id, line->index,
                  &term);
        return;
    case LINE_VOTED:
        line_voted(out, line->node_id, line->count, line->phase, line->yes, line->forgetful);
        return;
    case LINE_TIMEOUT_NOW:
        line_timeout_now(out, line->count);
        return;
    case LINE_TRANSFER:
        line_transfer(out, line->node_id);
        return;
    case LINE_VOTER:
        line_voter(out, line->node_id, line->group, (size_t)line->count, line->history_id, line->forming_id);
        return;
    case LINE_FORM:
        require(voters_parse(line->text, &voters));
        line_form(out, line->group, &voters, line->history_id);
        return;
    case LINE_FORMED:
        line_formed(out, line->node_id, line->history_id, line->yes, line->text);
        return;
    case LINE_UNFORM:
        line_unform(out, line->history_id);
        return;
    case LINE_ACK:
        if (line->round > 0) {
            line_ack_round(out, line->index, line->count, line->round);
        } else if (line->count > 0) {
            line_ack_durable(out, line->index, line->count);
        } else {
            line_ack(out, line->index);
        }
        return;
    case LINE_PULL:
        line_pull(out, line->history_id, line->index, &term);
        return;
    case LINE_NODE:
        line_node(out, line->node_id);
        return;
    case LINE_MESSAGE:
        line_message(out, line->key, line->value);
        return;
    case LINE_ERROR:
    case LINE_WHO:
    case LINE_ANNOUNCE:
    case LINE_ENDPOINTS:
        /* Written by others, or from a text without NUL: taken as they are. */
        buf_append_slice(out, original);
        buf_append_byte(out, '\n');
        return;
    }
    abort();
}

/* Every byte of a decoded slice is read, for a sanitizer to see where it lies. */
static unsigned sum(struct slice s) {
    unsigned sum = 0;
    for (size_t i = 0; i < s.len; i++) {
        sum += (unsigned char)s.ptr[i];
    }
    return sum;
}

static void require_equal(const struct line *a, const struct line *b) {
    require(a->verb == b->verb);
    require(slice_equals(a->key, b->key) && sum(a->key) == sum(b->key));
    require(slice_equals(a->value, b->value) && sum(a->value) == sum(b->value));
    require(a->offset == b->offset);
    require(a->version == b->version && a->timestamp_ms == b->timestamp_ms && a->deadline_ms == b->deadline_ms);
    require(a->index == b->index && a->count == b->count && a->round == b->round);
    require(a->committed_index == b->committed_index);
    require(a->yes == b->yes && a->forgetful == b->forgetful && a->phase == b->phase);
    require(strcmp(a->node_id, b->node_id) == 0);
    require(a->group == b->group && a->history_id == b->history_id && a->forming_id == b->forming_id);
    require(slice_equals(a->text, b->text) && sum(a->text) == sum(b->text));
}

static void require_domains(const struct line *line) {
    require(line->timestamp_ms >= 0 && line->timestamp_ms < LINE_TIME_LIMIT_MS);
    require(line->deadline_ms >= 0 && line->deadline_ms < LINE_TIME_LIMIT_MS);
    require(line->group <= LIMIT_GROUP);
    require((line->verb != LINE_REPLICATE && line->verb != LINE_PATCH) || line->version >= 1);
    require(line->verb != LINE_PATCH || line->offset + line->value.len <= LIMIT_VALUE_BYTES);
    require(line->verb != LINE_BATCH || (line->count >= 1 && line->count <= LIMIT_BATCH_LINES));
    require(line->verb != LINE_FORMED || line->text.len <= LINE_REASON_BYTES);
    require((line->verb != LINE_VOTER && line->verb != LINE_FORM) || line->count <= VOTERS_MOST);
    require(line->history_id != 0 || line->index == 0 || line->verb == LINE_END || line->verb == LINE_PING ||
            line->verb == LINE_ACK || line->verb == LINE_SINCE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct slice bytes = slice_of(data, size);
    if (size > 0 && memchr(data, '\n', size) != NULL) {
        return 0; /* a line has none */
    }
    struct buf scratch, scratch_again, text;
    buf_init(&scratch, 1 << 20);
    buf_init(&scratch_again, 1 << 20);
    buf_init(&text, 1 << 22);
    struct line line, again;
    const char *reason;
    enum line_result result = line_decode(bytes, &scratch, &line, &reason);
    require((result == LINE_MALFORMED) == (reason != NULL));
    for (size_t n = 0; result == LINE_OK && n <= size && n < 16; n++) {
        require(line_may_be_known(slice_first(bytes, n)));
    }
    require(result != LINE_UNKNOWN || memchr(data, '|', size) == NULL || !line_may_be_known(bytes));
    if (result == LINE_OK) {
        require_domains(&line);
        encode(&text, &line, bytes);
        require(!buf_failed(&text));
        struct slice written = buf_slice(&text);
        require(memchr(written.ptr, '\n', written.len) == written.ptr + written.len - 1);
        result = line_decode(slice_first(written, written.len - 1), &scratch_again, &again, &reason);
        require(result == LINE_OK);
        if (line.verb == LINE_REPLICATE && !line.escaped && again.escaped) {
            require(!line_is_plain(line.key, line.value)); /* a raw CR or NUL, which kvnode itself escapes */
        }
        require_equal(&line, &again);
    }
    buf_deinit(&scratch);
    buf_deinit(&scratch_again);
    buf_deinit(&text);
    return 0;
}
