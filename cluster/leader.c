#include "cluster/leader.h"

#include "cluster/follower.h"

#include <stdio.h>
#include <string.h>

static void begin_listening(struct leader *leader, int64_t now_ms) {
    leader->phase = LEADER_LISTENING;
    leader->serve_at_ms = now_ms + LEADER_LISTEN_MS;
    leader->wait_until_ms = now_ms + LEADER_WAIT_MOST_MS;
}

void leader_init(struct leader *leader, const char *node_id, uint16_t group, struct history *history,
                 const struct group_data *data, int64_t now_ms) {
    *leader = (struct leader){.group = group, .history = history, .data = *data};
    begin_listening(leader, now_ms);
    snprintf(leader->node_id, sizeof(leader->node_id), "%s", node_id);
}

void leader_link_open(struct leader_link *link, struct leader *leader, const char *node_id, bool knows_sync,
                      int64_t now_ms, struct buf *out) {
    *link = (struct leader_link){
        .phase = LEADER_LINK_HELLO,
        .knows_sync = knows_sync,
        .opened_ms = now_ms,
        .last_line_ms = now_ms,
        .last_sent_ms = now_ms,
        .last_ack_ms = -1,
        .next = leader->links,
    };
    snprintf(link->node_id, sizeof(link->node_id), "%s", node_id);
    if (leader->links != NULL) {
        leader->links->prev = link;
    }
    leader->links = link;
    line_lead(out, leader->node_id, leader->group, history_id(leader->history), history_index(leader->history));
}

/* --- What this leader's data is made of --- */

static struct position *find_known(struct leader *leader, uint64_t history_id) {
    for (size_t i = 0; i < leader->known_count; i++) {
        if (leader->known[i].history_id == history_id) {
            return &leader->known[i];
        }
    }
    return NULL;
}

static void remember(struct leader *leader, struct position position) {
    struct position *known = find_known(leader, position.history_id);
    if (known != NULL) {
        known->index = position.index > known->index ? position.index : known->index;
        return;
    }
    if (leader->known_count == LEADER_KNOWN) {
        memmove(leader->known, leader->known + 1, sizeof(leader->known) - sizeof(leader->known[0]));
        leader->known_count--;
    }
    leader->known[leader->known_count++] = position;
}

static uint64_t larger(uint64_t a, uint64_t b) { return a > b ? a : b; }

/* Its id is younger than any that is known, whatever the clock says. */
static void begin_history(struct leader *leader, uint64_t youngest, int64_t now_ms) {
    uint64_t former = history_id(leader->history);
    uint64_t id = history_make_id(now_ms + leader->unix_offset_ms, (uint16_t)former);
    history_restart(leader->history, larger(id, larger(former, youngest) + 1), 0);
}

void leader_recover(struct leader *leader, bool keeps, int64_t now_ms) {
    struct position position = {history_id(leader->history), history_index(leader->history)};
    remember(leader, position);
    if (!keeps) {
        leader->whole_of = position.history_id;
        begin_history(leader, position.history_id, now_ms);
    }
}

void leader_resume(struct leader *leader, uint64_t led_history_id, bool touched, int64_t now_ms) {
    leader->phase = LEADER_SERVING;
    leader->whole_of = 0;
    if (touched) {
        remember(leader, (struct position){led_history_id, UINT64_MAX});
        remember(leader, (struct position){history_id(leader->history), history_index(leader->history)});
        begin_history(leader, led_history_id, now_ms);
    }
}

/* --- Whose state broke off --- */

static bool has_failed(const struct leader *leader, const struct leader_link *link) {
    for (size_t i = 0; i < leader->failed_count; i++) {
        if (strcmp(leader->failed[i], link->node_id) == 0) {
            return true;
        }
    }
    return false;
}

static void remember_failure(struct leader *leader, const struct leader_link *link) {
    if (has_failed(leader, link)) {
        return;
    }
    if (leader->failed_count == LEADER_FAILED) {
        memmove(leader->failed, leader->failed + 1, sizeof(leader->failed) - sizeof(leader->failed[0]));
        leader->failed_count--;
    }
    memcpy(leader->failed[leader->failed_count++], link->node_id, sizeof(link->node_id));
}

/* The link that gave its state is gone before END. A leader that has data goes on with it: under a new history,
 * for part of the state is among it now. One that has none listens for the next candidate. */
static void take_broke_off(struct leader *leader, const struct leader_link *link, int64_t now_ms) {
    leader->taking = NULL;
    remember_failure(leader, link);
    if (link->take_adopts) {
        return;
    }
    if (leader->known_count > 0) {
        if (link->take_began) {
            remember(leader, (struct position){history_id(leader->history), UINT64_MAX});
            begin_history(leader, 0, now_ms);
        }
        leader->phase = LEADER_SERVING;
        return;
    }
    if (link->take_began) {
        leader->data.empty(leader->data.context);
    }
    begin_listening(leader, now_ms);
}

/* --- Opening and closing a link --- */

void leader_link_close(struct leader_link *link, struct leader *leader, int64_t now_ms) {
    if (leader->taking == link) {
        take_broke_off(leader, link, now_ms);
    }
    if (link->phase == LEADER_LINK_HELLO && link->refusal[0] != '\0') {
        leader->refused_until_ms = now_ms + LEADER_REFUSED_WAIT_MS;
    }
    history_close(leader->history, &link->reader);
    plain_stream_deinit(&link->plain);
    if (link->prev != NULL) {
        link->prev->next = link->next;
    } else if (leader->links == link) {
        leader->links = link->next;
    }
    if (link->next != NULL) {
        link->next->prev = link->prev;
    }
    link->next = link->prev = NULL;
}

/* --- Where a follower's position puts it --- */

/* It holds data that neither this history nor what this leader took before has. */
static bool must_take_from(struct leader *leader, const struct leader_link *link) {
    if (link->position.history_id == 0 || link->position.history_id == history_id(leader->history)) {
        return false;
    }
    const struct position *known = find_known(leader, link->position.history_id);
    return known == NULL || known->index < link->position.index;
}

/* At the reader's place the stream goes on; the next plain line says its time, whatever this reader has heard.
 */
static void begin_state(struct leader_link *link, struct leader *leader, struct buf *out) {
    struct history *history = leader->history;
    history_open(history, &link->reader, history_index(history));
    history_forget_clock(history);
    link->phase = LEADER_LINK_STATE;
    link->scan_cursor = link->scan_count = 0;
    leader->full_syncs++;
    if (!link->spec_only) {
        line_full(out, history_id(history), history_index(history), leader->data.floor(leader->data.context),
                  NULL);
    }
}

static void begin_stream(struct leader_link *link, struct leader *leader, struct buf *out) {
    link->phase = LEADER_LINK_STREAM;
    link->acked_index = link->position.index;
    leader->partial_syncs++;
    line_continue(out, link->position.history_id, link->position.index);
}

/* Wholly only what goes on from the state that is here, or when there is none: else what it lacks would be
 * dropped, though nobody may have it but this leader. And not from one whose state broke off before: it would
 * keep this leader from serving over and over.
 */
static bool may_take_wholly(const struct leader_link *link, struct leader *leader) {
    if (history_index(leader->history) > 0) {
        return false;
    }
    return leader->known_count == 0 ||
           (leader->whole_of == link->position.history_id && !has_failed(leader, link));
}

static void begin_taking(struct leader_link *link, struct leader *leader) {
    link->phase = LEADER_LINK_TAKING;
    link->take_asked = link->take_began = false;
    link->take_adopts = !may_take_wholly(link, leader);
    link->taken = 0;
    leader->taking = link;
    leader->pulls++;
    if (!link->take_adopts) {
        leader->phase = LEADER_PULLING;
    }
}

/* A link in HELD goes where the leader's phase and its own position let it. */
static void place(struct leader_link *link, struct leader *leader, struct buf *out) {
    if (leader->phase != LEADER_SERVING) {
        return;
    }
    if (must_take_from(leader, link)) {
        if (leader->taking == NULL) {
            begin_taking(link, leader);
        }
        return;
    }
    if (!link->spec_only && link->position.history_id == history_id(leader->history)) {
        if (history_open(leader->history, &link->reader, link->position.index)) {
            begin_stream(link, leader, out);
            return;
        }
        leader->partial_refused++;
    }
    begin_state(link, leader, out);
}

/* --- Taking a state from a follower --- */

/* A new history begins with the state that was taken. */
static void take_whole_ended(struct leader_link *link, struct leader *leader, int64_t now_ms) {
    leader->data.full_end(leader->data.context, link->take_floor);
    remember(leader, (struct position){history_id(leader->history), UINT64_MAX});
    begin_history(leader, larger(link->take_history_id, link->position.history_id), now_ms);
    leader->phase = LEADER_SERVING;
}

static void on_take_end(struct leader_link *link, struct leader *leader, const struct line *line,
                        int64_t now_ms, struct buf *out) {
    struct position took = {.history_id = link->take_history_id, .index = line->index};
    if (link->take_adopts) {
        leader->data.adopt_floor(leader->data.context, link->take_floor);
    } else {
        take_whole_ended(link, leader, now_ms);
    }
    leader->taking = NULL;
    leader->failed_count = 0;
    remember(leader, took);
    remember(leader, link->position); /* a mixture's FULL names another */
    link->phase = LEADER_LINK_HELD;
    place(link, leader, out);
}

/* A key that there is no memory for must not count as taken: the FULL that follows would take it from the one
 * that has it. */
static enum leader_verdict adopt(struct leader_link *link, struct leader *leader, const struct line *line) {
    enum err err = leader->data.adopt(leader->data.context, line);
    leader->adopted += err == ERR_NONE;
    link->taken++;
    return err == ERR_NO_MEMORY ? LEADER_CLOSE : LEADER_GO_ON;
}

/* A follower on whose data lies part of another history's state names that in FULL: its place in the history of
 * SYNC does not tell what it holds. */
static enum leader_verdict on_take_full(struct leader_link *link, struct leader *leader,
                                        const struct line *line) {
    if (!link->take_adopts) {
        if (!leader->data.full_begin(leader->data.context)) {
            return LEADER_CLOSE;
        }
        leader->whole_of = line->history_id == link->position.history_id ? line->history_id : 0;
    }
    link->take_began = true;
    link->take_history_id = line->history_id;
    link->take_floor = line->version;
    return LEADER_GO_ON;
}

static enum leader_verdict on_take_line(struct leader_link *link, struct leader *leader,
                                        const struct line *line, int64_t now_ms, struct buf *out) {
    const struct group_data *data = &leader->data;
    link->last_line_ms = now_ms;
    if (line->verb == LINE_FULL && !link->take_began) {
        return on_take_full(link, leader, line);
    }
    if (line->verb == LINE_END && link->take_began) {
        on_take_end(link, leader, line, now_ms, out);
    } else if (line->verb == LINE_REPLICATE && link->take_began) {
        if (!link->take_adopts) {
            return data->apply(data->context, line, now_ms + leader->unix_offset_ms) == ERR_NONE ? LEADER_GO_ON
                                                                                                 : LEADER_CLOSE;
        }
        return adopt(link, leader, line);
    } else {
        leader->lines_malformed++;
        line_error(out, "a state is expected: FULL, REPLICATEX, END");
        return LEADER_CLOSE;
    }
    return LEADER_GO_ON;
}

/* --- Lines and time --- */

static enum leader_verdict on_sync(struct leader_link *link, struct leader *leader, const struct line *line,
                                   struct buf *out) {
    bool in_time = link->phase == LEADER_LINK_HELLO || (link->phase == LEADER_LINK_HELD && link->spec_only);
    link->knows_sync = true;
    if (!in_time) {
        return LEADER_CLOSE; /* it was taken for a spec-only peer: dialled again, it is known better */
    }
    link->spec_only = false;
    link->position = (struct position){.history_id = line->history_id, .index = line->index};
    link->phase = LEADER_LINK_HELD;
    place(link, leader, out);
    return LEADER_GO_ON;
}

enum leader_verdict leader_link_line(struct leader_link *link, struct leader *leader, struct slice bytes,
                                     int64_t now_ms, struct buf *scratch, struct buf *out) {
    struct line line;
    const char *reason;
    if (link->phase != LEADER_LINK_TAKING) { /* there only the state is a sign of life: ACK is no progress */
        link->last_line_ms = now_ms;
    }
    switch (line_decode(bytes, scratch, &line, &reason)) {
    case LINE_MALFORMED:
        leader->lines_malformed++;
        line_error(out, reason);
        return LEADER_CLOSE;
    case LINE_UNKNOWN:
        leader->lines_unknown++;
        return LEADER_GO_ON;
    case LINE_OK:
        break;
    }
    switch (line.verb) {
    case LINE_SYNC:
        return on_sync(link, leader, &line, out);
    case LINE_ACK:
        leader->acknowledgements++;
        link->last_ack_ms = now_ms;
        if (link->phase == LEADER_LINK_STREAM && line.index <= history_index(leader->history)) {
            link->acked_index = line.index;
            link->durable_index = line.count;
        }
        return LEADER_GO_ON;
    case LINE_ERROR:
        snprintf(link->refusal, sizeof(link->refusal), "%.*s", (int)line.text.len, line.text.ptr);
        return LEADER_CLOSE;
    case LINE_WHO:
    case LINE_ANNOUNCE:
    case LINE_ENDPOINTS:
        return LEADER_GO_ON;
    default:
        break;
    }
    if (link->phase == LEADER_LINK_TAKING) {
        return on_take_line(link, leader, &line, now_ms, out);
    }
    leader->lines_malformed++;
    line_error(out, "a follower does not say that here");
    return LEADER_CLOSE;
}

static bool is_better(const struct leader *leader, const struct leader_link *a, const struct leader_link *b) {
    bool a_failed = has_failed(leader, a), b_failed = has_failed(leader, b);
    return a_failed != b_failed ? b_failed : position_compare(a->position, b->position) > 0;
}

/* It is there, and what it holds is not known yet. */
static bool somebody_is_silent(const struct leader *leader) {
    for (const struct leader_link *link = leader->links; link != NULL; link = link->next) {
        if (link->phase == LEADER_LINK_HELLO && link->knows_sync) {
            return true;
        }
    }
    return false;
}

/* The listening is over: the most advanced follower that holds data gives it, first of those whose state did
 * not break off before; if there is none, this node serves. */
void leader_tick(struct leader *leader, int64_t now_ms) {
    bool may_wait = now_ms < leader->wait_until_ms;
    if (leader->phase != LEADER_LISTENING || now_ms < leader->serve_at_ms ||
        (may_wait && now_ms < leader->refused_until_ms)) {
        return;
    }
    struct leader_link *best = NULL;
    for (struct leader_link *link = leader->links; link != NULL; link = link->next) {
        if (link->phase == LEADER_LINK_HELD && must_take_from(leader, link) &&
            (best == NULL || is_better(leader, link, best))) {
            best = link;
        }
    }
    if (best != NULL) {
        if (has_failed(leader, best)) {
            leader->failed_count = 0; /* all have: once more round */
        }
        begin_taking(best, leader);
    } else if (!may_wait || !somebody_is_silent(leader)) {
        leader->phase = LEADER_SERVING;
    }
}

void leader_link_ask(struct leader_link *link) { link->asked = true; }

void leader_link_heard(struct leader_link *link, int64_t at_ms) {
    link->last_line_ms = at_ms > link->last_line_ms ? at_ms : link->last_line_ms;
}

/* PING between lines only: never while a part of one is on its way. */
static bool ping_due(const struct leader_link *link, const struct leader *leader, int64_t now_ms) {
    if (link->spec_only || (!link->asked && now_ms - link->last_sent_ms < LEADER_PING_EVERY_MS)) {
        return false;
    }
    switch (link->phase) {
    case LEADER_LINK_HELD:
    case LEADER_LINK_TAKING:
        return true;
    case LEADER_LINK_STREAM:
        return history_at_end(leader->history, &link->reader);
    default:
        return false;
    }
}

enum leader_verdict leader_link_tick(struct leader_link *link, struct leader *leader, int64_t now_ms,
                                     struct buf *out) {
    if (link->phase == LEADER_LINK_HELLO && !link->knows_sync &&
        now_ms - link->opened_ms >= LEADER_SPEC_ONLY_AFTER_MS) {
        link->spec_only = true;
        link->phase = LEADER_LINK_HELD;
    }
    if (!link->spec_only && now_ms - link->last_line_ms >= LINK_TIMEOUT_MS) {
        return LEADER_CLOSE;
    }
    if (link->phase == LEADER_LINK_HELD) {
        place(link, leader, out);
    }
    if (link->phase == LEADER_LINK_TAKING && !link->take_asked) {
        line_pull(out);
        link->take_asked = true;
        link->last_sent_ms = now_ms;
    } else if (ping_due(link, leader, now_ms)) {
        line_ping(out, history_index(leader->history));
        link->last_sent_ms = now_ms;
        link->asked = false;
    }
    return LEADER_GO_ON;
}

/* --- Sending the state and the history --- */

static void take_history(struct leader_link *link, const struct leader *leader, size_t n) {
    if (link->spec_only) {
        plain_stream_advance(&link->plain, leader->history, &link->reader, n);
    } else {
        history_advance(leader->history, &link->reader, n);
    }
}

enum leader_verdict leader_link_fill(struct leader_link *link, struct leader *leader, struct buf *out,
                                     size_t max_bytes) {
    while (link->phase == LEADER_LINK_STATE && buf_used(out) < max_bytes) {
        struct slice due;
        if (leader_link_peek(link, leader, &due) == LEADER_CLOSE) {
            return LEADER_CLOSE;
        }
        if (due.len > 0) { /* first what was written before the slice that comes next */
            due = slice_first(due, max_bytes - buf_used(out));
            buf_append_slice(out, due);
            take_history(link, leader, due.len);
        } else {
            link->scan_cursor = leader->data.scan(leader->data.context, link->scan_cursor, link->spec_only, out,
                                                  &link->scan_count);
            if (link->scan_cursor == 0) {
                if (!link->spec_only) {
                    line_end(out, link->scan_count, history_index(leader->history));
                }
                link->phase = LEADER_LINK_STREAM;
            }
        }
    }
    return buf_failed(out) ? LEADER_CLOSE : LEADER_GO_ON;
}

enum leader_verdict leader_link_peek(struct leader_link *link, const struct leader *leader, struct slice *out) {
    const struct group_data *data = &leader->data;
    uint64_t last_index;
    bool ok = link->spec_only ? plain_stream_read(&link->plain, leader->history, &link->reader, data->say,
                                                  data->context, out)
                              : history_read(leader->history, &link->reader, out, &last_index);
    return ok ? LEADER_GO_ON : LEADER_CLOSE;
}

void leader_link_sent(struct leader_link *link, const struct leader *leader, size_t n, int64_t now_ms) {
    take_history(link, leader, n);
    link->last_sent_ms = now_ms;
}

const char *leader_link_state(const struct leader_link *link) {
    switch (link->phase) {
    case LEADER_LINK_DIALLING:
        return "connecting";
    case LEADER_LINK_HELLO:
        return "handshake";
    case LEADER_LINK_HELD:
        return "held";
    case LEADER_LINK_TAKING:
        return "pull";
    case LEADER_LINK_STATE:
        return "full";
    case LEADER_LINK_STREAM:
        break;
    }
    return link->spec_only ? "spec-only" : "online";
}
