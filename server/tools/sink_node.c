/* sink_node.c: a node that runs, and the leaders that it sends us to: POST /set in pipelines, a batch at a
 * time. A key that another group has is answered with a redirect; then it is sent there, and so are those of
 * its slot from then on. */
#include "cluster/slot.h"
#include "protocol/base64.h"
#include "server/tools/http_client.h"
#include "server/tools/sink.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    BATCH_KEYS = 256,
    BATCH_BYTES = 1 << 20,
    MAX_TARGETS = 256,
    MAX_REDIRECTS = 8,           /* of one key */
    TARGET_KEY_BYTES = 16 << 10, /* a longer one may be over LIMIT_HTTP_TARGET_BYTES when it is escaped */
};

struct item {
    size_t key_at, key_len, value_len; /* in bytes: the value stands behind the key */
    int64_t deadline_ms;
    uint16_t slot;
    unsigned redirects;
    bool sent, done;
};

struct target {
    struct sink_node *to;
    struct http_client client;
    struct url url;
    size_t order[BATCH_KEYS]; /* of items that are asked */
    size_t asked, answered;
};

struct sink_node {
    struct sink sink;
    struct target *targets[MAX_TARGETS]; /* the first: that of the command line */
    size_t targets_count;
    uint8_t target_of_slot[SLOT_COUNT];
    struct item items[BATCH_KEYS];
    size_t items_count;
    struct buf bytes;
};

static struct sink_node *of(struct sink *sink) { return (struct sink_node *)(void *)sink; }

/* --- Targets --- */

static bool on_answer(void *context, const struct http_answer *answer);

static struct target *add_target(struct sink_node *to, const struct url *url) {
    static const struct http_client_events events = {.on_answer = on_answer};
    struct target *target = to->targets_count == MAX_TARGETS ? NULL : calloc(1, sizeof(*target));
    if (target == NULL) {
        snprintf(to->sink.reason, sizeof(to->sink.reason), "out of memory, or too many nodes");
        return NULL;
    }
    target->to = to;
    target->url = *url;
    to->targets[to->targets_count++] = target;
    if (!http_client_open(&target->client, url, &events, target)) {
        snprintf(to->sink.reason, sizeof(to->sink.reason), "%s", target->client.tcp.reason);
        return NULL;
    }
    return target;
}

/* The node that a redirect names; the password is that of the first. */
static bool follow(struct sink_node *to, struct item *item, struct slice location) {
    struct url url;
    const char *reason;
    if (++item->redirects > MAX_REDIRECTS) {
        snprintf(to->sink.reason, sizeof(to->sink.reason), "the nodes send us from one to the other for a key");
        return false;
    }
    if (!url_parse(slice_take_until(&location, '?'), SLICE("http"), &url, &reason)) {
        snprintf(to->sink.reason, sizeof(to->sink.reason), "a redirect to somewhere else: %s", reason);
        return false;
    }
    memcpy(url.password, to->targets[0]->url.password, sizeof(url.password));
    url.password_len = to->targets[0]->url.password_len;
    size_t i = 0;
    while (i < to->targets_count &&
           (to->targets[i]->url.port != url.port || strcmp(to->targets[i]->url.host, url.host) != 0)) {
        i++;
    }
    if (i == to->targets_count && add_target(to, &url) == NULL) {
        return false;
    }
    to->target_of_slot[item->slot] = (uint8_t)i;
    return true;
}

static bool on_answer(void *context, const struct http_answer *answer) {
    struct target *target = context;
    struct sink_node *to = target->to;
    struct item *item = &to->items[target->order[target->answered++]];
    if (answer->status == 200) {
        item->done = true;
        to->sink.written++;
        return true;
    }
    if (answer->status == 307) {
        return follow(to, item, answer->location);
    }
    snprintf(to->sink.reason, sizeof(to->sink.reason), "%s:%u answers %d: %.*s", target->url.host,
             target->url.port, answer->status, (int)answer->detail.len, answer->detail.ptr);
    return false;
}

/* --- Requests --- */

static void escape(struct buf *out, struct slice bytes) {
    static const char digits[] = "0123456789ABCDEF";
    for (size_t i = 0; i < bytes.len; i++) {
        unsigned char c = (unsigned char)bytes.ptr[i];
        bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
                     c == '_' || c == '.' || c == '~';
        if (plain) {
            buf_append_byte(out, (char)c);
        } else {
            const char text[3] = {'%', digits[c >> 4], digits[c & 15]};
            buf_append(out, text, 3);
        }
    }
}

static void ask_by_query(struct target *target, const struct item *item, struct slice key, struct slice value) {
    struct buf path;
    buf_init(&path, LIMIT_HTTP_TARGET_BYTES);
    buf_append_text(&path, "/set?key=");
    escape(&path, key);
    if (item->deadline_ms != 0) {
        buf_printf(&path, "&deadline=%lld", (long long)item->deadline_ms);
    }
    http_client_request(&target->client, "POST", buf_slice(&path), "application/octet-stream", value.len);
    buf_append_slice(&target->client.out, value);
    buf_fail_if(&target->client.out, buf_failed(&path));
    buf_deinit(&path);
}

/* A key that is too long for a URL. */
static void ask_by_json(struct target *target, const struct item *item, struct slice key, struct slice value) {
    struct buf json;
    char path[64] = "/set";
    buf_init(&json, LIMIT_HTTP_BODY_BYTES);
    buf_append_text(&json, "{\"key\":{\"base64\":\"");
    base64_encode(&json, key);
    buf_append_text(&json, "\"},\"value\":{\"base64\":\"");
    base64_encode(&json, value);
    buf_append_text(&json, "\"}}");
    if (item->deadline_ms != 0) {
        snprintf(path, sizeof(path), "/set?deadline=%lld", (long long)item->deadline_ms);
    }
    http_client_request(&target->client, "POST", slice_from_text(path), "application/json", buf_used(&json));
    buf_append_slice(&target->client.out, buf_slice(&json));
    buf_fail_if(&target->client.out, buf_failed(&json));
    buf_deinit(&json);
}

static void ask(struct target *target, size_t index) {
    const struct item *item = &target->to->items[index];
    const char *at = buf_slice(&target->to->bytes).ptr + item->key_at;
    struct slice key = slice_of(at, item->key_len), value = slice_of(at + item->key_len, item->value_len);
    target->order[target->asked++] = index;
    if (key.len <= TARGET_KEY_BYTES) {
        ask_by_query(target, item, key, value);
    } else {
        ask_by_json(target, item, key, value);
    }
}

static bool fail_as_client(struct target *target) {
    struct sink *sink = &target->to->sink;
    if (target->client.tcp.reason[0] != '\0') {
        snprintf(sink->reason, sizeof(sink->reason), "%s", target->client.tcp.reason);
    }
    return false;
}

/* What is not done of the slots that a target has, as far as is known. */
static bool ask_target(struct sink_node *to, size_t number) {
    struct target *target = to->targets[number];
    target->asked = target->answered = 0;
    if (target->client.is_over && !http_client_reopen(&target->client)) {
        return fail_as_client(target);
    }
    for (size_t i = 0; i < to->items_count; i++) {
        struct item *item = &to->items[i];
        if (!item->done && !item->sent && to->target_of_slot[item->slot] == number) {
            item->sent = true;
            ask(target, i);
        }
    }
    return http_client_run(&target->client) || fail_as_client(target);
}

/* All that is not done is asked once. Targets may be added meanwhile. */
static bool ask_all(struct sink_node *to, size_t *left, size_t *answered) {
    *left = *answered = 0;
    for (size_t i = 0; i < to->items_count; i++) {
        to->items[i].sent = false;
    }
    for (size_t t = 0; t < to->targets_count; t++) {
        if (!ask_target(to, t)) {
            return false;
        }
        *answered += to->targets[t]->answered;
    }
    for (size_t i = 0; i < to->items_count; i++) {
        *left += !to->items[i].done;
    }
    return true;
}

static bool flush(struct sink_node *to) {
    size_t left = to->items_count, answered;
    if (buf_failed(&to->bytes)) {
        snprintf(to->sink.reason, sizeof(to->sink.reason), "out of memory");
        return false;
    }
    while (left > 0) {
        if (!ask_all(to, &left, &answered)) {
            return false;
        }
        if (answered == 0) {
            snprintf(to->sink.reason, sizeof(to->sink.reason), "nothing is answered any more");
            return false;
        }
    }
    to->items_count = 0;
    buf_reset(&to->bytes);
    return true;
}

/* --- The sink --- */

static bool put(struct sink *sink, const struct sink_item *item) {
    struct sink_node *to = of(sink);
    to->items[to->items_count++] = (struct item){
        .key_at = buf_used(&to->bytes),
        .key_len = item->key.len,
        .value_len = item->value.len,
        .deadline_ms = item->deadline_ms,
        .slot = slot_of_key(item->key),
    };
    buf_append_slice(&to->bytes, item->key);
    buf_append_slice(&to->bytes, item->value);
    return to->items_count < BATCH_KEYS && buf_used(&to->bytes) < BATCH_BYTES ? true : flush(to);
}

static bool finish(struct sink *sink) { return flush(of(sink)); }

static void destroy(struct sink *sink) {
    struct sink_node *to = of(sink);
    for (size_t i = 0; i < to->targets_count; i++) {
        http_client_close(&to->targets[i]->client);
        free(to->targets[i]);
    }
    buf_deinit(&to->bytes);
    free(to);
}

struct sink *sink_to_node(const char *text, char reason[SINK_REASON_BYTES]) {
    static const struct sink_kind kind = {.put = put, .finish = finish, .destroy = destroy};
    struct url url;
    const char *why;
    if (!url_parse(slice_from_text(text), SLICE("http"), &url, &why)) {
        snprintf(reason, SINK_REASON_BYTES, "-to: %s", why);
        return NULL;
    }
    struct sink_node *to = calloc(1, sizeof(*to));
    if (to == NULL) {
        snprintf(reason, SINK_REASON_BYTES, "out of memory");
        return NULL;
    }
    to->sink.kind = &kind;
    buf_init(&to->bytes, SIZE_MAX);
    if (add_target(to, &url) == NULL) {
        snprintf(reason, SINK_REASON_BYTES, "%s", to->sink.reason);
        destroy(&to->sink);
        return NULL;
    }
    return &to->sink;
}
