/* fuzz_follower.c: whatever lines arrive on a node's replication port, on two links at once, it does not crash,
 * and some things stay true. A line of the input is said on the first link; one that begins with '>' on the
 * second; '!' is time (50 ms and a tick for each), '<' closes and opens both. Who says LEAD or NODE is proved
 * at once; after '?' WHO is not answered, after '#' by a node of another group. The first byte says whether the
 * node leads. */
#include "cluster/follower.h"

#include "tests/sim/model_store.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LINKS = 2, INPUT_BYTES = 1 << 16 };

/* assert() would vanish with NDEBUG. */
static void require(bool holds) {
    if (!holds) {
        abort();
    }
}

struct port {
    struct model_store store;
    struct history *history;
    struct follower follower;
    struct follower_link links[LINKS];
    bool open[LINKS];
    struct buf scratch, out;
    int64_t now_ms;
    char answer; /* to WHO: '!' as it should be, '?' none, '#' of another group */
};

static void reopen(struct port *port, size_t i) {
    follower_link_deinit(&port->links[i], &port->follower);
    follower_link_init(&port->links[i], port->now_ms);
    port->open[i] = true;
}

/* Answers are whole lines of a follower's, and few. */
static void require_answers(struct port *port) {
    struct slice rest = buf_slice(&port->out);
    require(rest.len < 1000);
    while (rest.len > 0) {
        const char *end = memchr(rest.ptr, '\n', rest.len);
        require(end != NULL);
        size_t n = (size_t)(end - rest.ptr);
        struct line line;
        const char *reason;
        require(line_decode(slice_first(rest, n), &port->scratch, &line, &reason) == LINE_OK);
        require(line.verb == LINE_SYNC || line.verb == LINE_ACK || line.verb == LINE_ERROR);
        rest = slice_skip(rest, n + 1);
    }
    buf_reset(&port->out);
}

static void require_invariants(const struct port *port) {
    const struct follower *follower = &port->follower;
    for (size_t i = 0; i < LINKS; i++) {
        const struct follower_link *link = &port->links[i];
        require(link->batch_left <= link->batch_count);
        require(link->batch_left > 0 || buf_used(&link->batch) == 0 || !port->open[i]);
        require(link->batch_left == 0 || link->phase >= FOLLOWER_FULL);
        require(link->phase < FOLLOWER_PROVING || link->peer_id[0] != '\0');
        require(follower->leader_link != link || (link->phase >= FOLLOWER_SYNCING && link->leads));
    }
    struct position position = follower_position(follower);
    require(position.history_id != 0 || position.index == 0);
    require(history_first_index(port->history) <= position.index + 1);
    require(!follower->leading || port->store.count == 0);
}

/* Without it LEAD and NODE change nothing. */
static enum follower_verdict prove(struct port *port, size_t i) {
    struct follower *follower = &port->follower;
    struct follower_link *link = &port->links[i];
    struct datagram announce = {.verb = DATAGRAM_ANNOUNCE, .group = port->answer == '#', .leader = true};
    memcpy(announce.node_id, link->peer_id, sizeof(announce.node_id));
    require(link->phase == FOLLOWER_PROVING && buf_used(&port->out) == 0 && follower->leader_link != link);
    enum follower_verdict verdict =
        follower_link_proof(link, follower, port->answer == '?' ? NULL : &announce, port->now_ms, &port->out);
    if (verdict == FOLLOWER_STEP_DOWN) {
        require(follower->leading && buf_used(&port->out) == 0);
        follower_follow(follower);
        verdict = follower_link_proof(link, follower, &announce, port->now_ms, &port->out);
        require(verdict == FOLLOWER_GO_ON);
    }
    require(verdict == FOLLOWER_CLOSE || port->answer != '?');
    require(verdict == FOLLOWER_CLOSE || !link->leads || port->answer == '!');
    return verdict;
}

static void say(struct port *port, size_t i, struct slice bytes) {
    struct follower *follower = &port->follower;
    struct line line;
    bool began = port->links[i].began;
    uint64_t max_version = port->store.max_version;
    size_t count = port->store.count;
    uint64_t malformed = follower->lines_malformed, refused = follower->lines_refused;
    enum follower_verdict verdict =
        follower_link_line(&port->links[i], follower, bytes, port->now_ms, &port->scratch, &line, &port->out);
    require(began || line_may_be_known(bytes) || verdict == FOLLOWER_CLOSE);
    if (verdict == FOLLOWER_PROVE) {
        verdict = prove(port, i);
    }
    require(verdict != FOLLOWER_STEP_DOWN && verdict != FOLLOWER_PROVE);
    require(verdict != FOLLOWER_MESSAGE || port->links[i].phase == FOLLOWER_NODE);
    if (follower->lines_malformed != malformed || follower->lines_refused != refused) {
        require(verdict == FOLLOWER_CLOSE && port->store.max_version == max_version &&
                port->store.count == count);
        struct slice answer = buf_slice(&port->out);
        require(answer.len > 6 && memcmp(answer.ptr, "ERROR|", 6) == 0);
    }
    follower_link_keep(&port->links[i], follower);
    port->open[i] = verdict != FOLLOWER_CLOSE;
}

static void tick(struct port *port) {
    port->now_ms += 50;
    if (follower_tick(&port->follower, false, port->now_ms)) {
        require(port->follower.gave_way.history_id != 0 && port->follower.leader_link == NULL);
        follower_lead(&port->follower);
        model_reset(&port->store);
    }
    for (size_t i = 0; i < LINKS; i++) {
        if (port->open[i] &&
            follower_link_tick(&port->links[i], &port->follower, port->now_ms, &port->out) == FOLLOWER_CLOSE) {
            port->open[i] = false;
        }
    }
}

static void event(struct port *port, struct slice bytes) {
    if (bytes.len > 0 && bytes.ptr[0] == '!') {
        for (size_t i = 0; i < bytes.len; i++) {
            tick(port);
        }
    } else if (bytes.len > 0 && bytes.ptr[0] == '<') {
        reopen(port, 0);
        reopen(port, 1);
    } else if (bytes.len == 1 && (bytes.ptr[0] == '?' || bytes.ptr[0] == '#')) {
        port->answer = bytes.ptr[0];
    } else {
        size_t i = bytes.len > 0 && bytes.ptr[0] == '>';
        if (!port->open[i]) {
            reopen(port, i);
        }
        say(port, i, slice_skip(bytes, i));
    }
    require_answers(port);
    require_invariants(port);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0 || size > INPUT_BYTES) {
        return 0;
    }
    struct port port = {.now_ms = 1000000, .open = {true, true}, .answer = '!'};
    struct group_data model = model_data(&port.store);
    buf_init(&port.scratch, 1 << 20);
    buf_init(&port.out, 1 << 20);
    port.history = history_create(0, 1 << 16);
    require(port.history != NULL);
    follower_init(&port.follower, "me", 0, port.history, &model);
    port.follower.random = 7;
    follower_link_init(&port.links[0], port.now_ms);
    follower_link_init(&port.links[1], port.now_ms);
    if (data[0] == 'L') {
        history_restart(port.history, UINT64_C(0x20000), 0, NULL);
        follower_lead(&port.follower);
    }
    struct slice rest = slice_of(data + 1, size - 1);
    const char *end;
    while (rest.len > 0 && (end = memchr(rest.ptr, '\n', rest.len)) != NULL) {
        size_t n = (size_t)(end - rest.ptr);
        event(&port, slice_first(rest, n));
        rest = slice_skip(rest, n + 1);
    }
    for (size_t i = 0; i < LINKS; i++) {
        follower_link_deinit(&port.links[i], &port.follower);
    }
    require(port.follower.leader_link == NULL);
    model_reset(&port.store);
    history_destroy(&port.history);
    buf_deinit(&port.scratch);
    buf_deinit(&port.out);
    return 0;
}
