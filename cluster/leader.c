#include "cluster/leader.h"

#include "cluster/leader_internal.h"

#include <stdio.h>
#include <string.h>

void leader_init(struct leader *leader, const char *node_id, uint16_t group, struct history *history,
                 const struct group_data *data, int64_t now_ms) {
    *leader = (struct leader){.group = group, .history = history, .data = *data};
    leader_begin_listening(leader, now_ms);
    snprintf(leader->node_id, sizeof(leader->node_id), "%s", node_id);
}

void leader_link_open(struct leader_link *link, struct leader *leader, const char *node_id, bool knows_sync,
                      int64_t now_ms, struct buf *out) {
    *link = (struct leader_link){
        .phase = LEADER_LINK_HELLO,
        .knows_sync = knows_sync,
        .early = leader->goes_on && leader->phase != LEADER_SERVING,
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
    struct position here = history_position(leader->history);
    line_lead(out, leader->node_id, leader->group, here.history_id, here.index, &here.term, leader->offers_lz4);
}

/* --- Opening and closing a link --- */

void leader_link_close(struct leader_link *link, struct leader *leader, int64_t now_ms) {
    if (leader->taking == link) {
        leader_take_broke_off(leader, link, now_ms);
    }
    if (link->phase == LEADER_LINK_HELLO && link->refusal[0] != '\0') {
        leader->refused_until_ms = now_ms + LEADER_REFUSED_WAIT_MS;
    }
    history_close(leader->history, &link->reader);
    catch_up_end(&link->catch_up, &leader->archive);
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

/* Lines of the follower that are not on this leader's line are lost with the state: it is told which are not.
 * Of what is older than all that is known here, none is sure. */
static void say_full(const struct leader_link *link, const struct leader *leader, struct buf *out) {
    const struct history *history = leader->history;
    const struct lineage *lineage = history_lineage(history);
    uint64_t index = history_index(history), floor = leader->data.floor(leader->data.context);
    const struct term *term = lineage_last(lineage);
    struct term common;
    if (term->number == 0 || !leader_link_is_of_this_history(leader, link) ||
        leader_link_side(leader, link) == LINEAGE_ON) {
        line_full(out, history_id(history), index, floor, term);
        return;
    }
    uint64_t end = lineage_end_of(lineage, index, &link->position.term, &common);
    line_full_common(out, history_id(history), index, floor, term, end, &common);
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
        say_full(link, leader, out);
        history_write_context(history, history_index(history), out);
    }
}

/* phase: where the lines behind it come from. */
static void begin_lines(struct leader_link *link, struct leader *leader, enum leader_link_phase phase,
                        struct buf *out) {
    link->phase = phase;
    link->acked_index = link->position.index;
    leader->partial_syncs++;
    line_continue(out, link->position.history_id, link->position.index);
}

/* "CONTINUE is served from the backlog, and where that has moved on, from segments": as long as that pays. */
static bool begin_seek(struct leader_link *link, struct leader *leader, int64_t now_ms) {
    uint64_t most_bytes = LEADER_CATCH_UP_STATES * leader->data.bytes(leader->data.context);
    if (!catch_up_begin(&link->catch_up, &leader->archive, link->position.index, most_bytes, now_ms)) {
        return false;
    }
    link->phase = LEADER_LINK_SEEK;
    return true;
}

/* CONTINUE is not said before the line behind it is there. */
static void seek(struct leader_link *link, struct leader *leader, struct buf *out) {
    struct slice lines;
    switch (catch_up_read(&link->catch_up, &leader->archive, &lines)) {
    case ARCHIVE_LINES:
        leader->archive_syncs++;
        begin_lines(link, leader, LEADER_LINK_CATCH_UP, out);
        break;
    case ARCHIVE_LATER:
        break;
    case ARCHIVE_LOST:
        catch_up_end(&link->catch_up, &leader->archive);
        leader->partial_refused++;
        begin_state(link, leader, out);
    }
}

/* A link in HELD goes where the leader's phase and its own position let it. */
static void place(struct leader_link *link, struct leader *leader, int64_t now_ms, struct buf *out) {
    if (leader->phase != LEADER_SERVING || link->too_early) {
        return;
    }
    if (leader_must_take_from(leader, link)) {
        if (leader->taking == NULL) {
            leader_begin_taking(link, leader, now_ms);
        }
        return;
    }
    if (!link->spec_only && leader_link_is_of_this_history(leader, link)) {
        bool is_on = leader_link_side(leader, link) == LINEAGE_ON;
        if (is_on && history_open(leader->history, &link->reader, link->position.index)) {
            begin_lines(link, leader, LEADER_LINK_STREAM, out);
            return;
        }
        if (is_on && begin_seek(link, leader, now_ms)) {
            return;
        }
        leader->partial_refused++;
    }
    begin_state(link, leader, out);
}

/* --- Lines and time --- */

/* Who has part of a state of this history says that it has nothing, to a leader of the same term: but before it
 * begins a new one a leader is not the one that has sent that state. It is dialled again in the new term. */
static enum leader_verdict on_sync(struct leader_link *link, struct leader *leader, const struct line *line,
                                   int64_t now_ms, struct buf *out) {
    bool in_time = link->phase == LEADER_LINK_HELLO || (link->phase == LEADER_LINK_HELD && link->spec_only);
    link->knows_sync = true;
    if (!in_time) {
        return LEADER_CLOSE; /* it was taken for a spec-only peer: dialled again, it is known better */
    }
    link->spec_only = false;
    link->lz4 = leader->offers_lz4 && line->lz4;
    link->position = (struct position){line->history_id, line_term_of(line), line->index};
    link->too_early = link->early && link->position.history_id == 0;
    if (leader_link_is_of_this_history(leader, link)) {
        leader->term_number = larger(leader->term_number, link->position.term.number);
    }
    link->phase = LEADER_LINK_HELD;
    place(link, leader, now_ms, out);
    return LEADER_GO_ON;
}

static void on_ack(struct leader_link *link, struct leader *leader, const struct line *line, int64_t now_ms) {
    leader->acknowledgements++;
    link->last_ack_ms = now_ms;
    if (leader_link_sends_lines(link) && line->index <= history_index(leader->history)) {
        link->acked_index = line->index;
        link->durable_index = line->count;
    }
}

static enum leader_verdict on_take_line(struct leader_link *link, struct leader *leader,
                                        const struct line *line, struct slice bytes, int64_t now_ms,
                                        struct buf *scratch, struct buf *out) {
    enum leader_verdict verdict = leader_take_line(link, leader, line, bytes, now_ms, scratch, out);
    if (link->phase == LEADER_LINK_HELD) {
        place(link, leader, now_ms, out);
    }
    return verdict;
}

static enum leader_verdict on_line(struct leader_link *link, struct leader *leader, const struct line *line,
                                   int64_t now_ms, struct buf *out) {
    switch (line->verb) {
    case LINE_SYNC:
        return on_sync(link, leader, line, now_ms, out);
    case LINE_ACK:
        on_ack(link, leader, line, now_ms);
        return LEADER_GO_ON;
    case LINE_ERROR:
        snprintf(link->refusal, sizeof(link->refusal), "%.*s", (int)line->text.len, line->text.ptr);
        return LEADER_CLOSE;
    case LINE_WHO:
    case LINE_ANNOUNCE:
    case LINE_ENDPOINTS:
        return LEADER_GO_ON;
    default:
        leader->lines_malformed++;
        line_error(out, "a follower does not say that here");
        return LEADER_CLOSE;
    }
}

/* Of the verbs that a follower's link carries in its other direction. */
static bool is_taken_from(const struct line *line) {
    return line->verb <= LINE_LAST_OF_HISTORY || line->verb == LINE_FULL || line->verb == LINE_CONTINUE ||
           line->verb == LINE_SINCE || line->verb == LINE_END;
}

enum leader_verdict leader_link_line(struct leader_link *link, struct leader *leader, struct slice bytes,
                                     int64_t now_ms, struct buf *scratch, struct buf *out) {
    struct line line;
    const char *reason;
    bool taking = link->phase == LEADER_LINK_TAKING;
    if (!taking) {
        link->last_line_ms = now_ms;
    }
    switch (line_decode(bytes, scratch, &line, &reason)) {
    case LINE_MALFORMED:
        leader->lines_malformed++;
        line_error(out, reason);
        return LEADER_CLOSE;
    case LINE_UNKNOWN:
        leader->lines_unknown++;
        line.verb = LINE_LAST_OF_HISTORY; /* in a history it counts */
        return taking && !link->take_adopts && link->take_began
                   ? on_take_line(link, leader, &line, bytes, now_ms, scratch, out)
                   : LEADER_GO_ON;
    case LINE_OK:
        break;
    }
    return taking && is_taken_from(&line) ? on_take_line(link, leader, &line, bytes, now_ms, scratch, out)
                                          : on_line(link, leader, &line, now_ms, out);
}

static bool is_better(const struct leader *leader, const struct leader_link *a, const struct leader_link *b) {
    bool a_failed = leader_link_has_failed(leader, a), b_failed = leader_link_has_failed(leader, b);
    return a_failed != b_failed ? b_failed : position_compare(&a->position, &b->position) > 0;
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
        if (link->phase == LEADER_LINK_HELD && leader_must_take_from(leader, link) &&
            leader_may_take_wholly(leader, link) && (best == NULL || is_better(leader, link, best))) {
            best = link;
        }
    }
    if (best != NULL) {
        if (leader_link_has_failed(leader, best)) {
            leader->failed_count = 0; /* all have: once more round */
        }
        leader_begin_taking(best, leader, now_ms);
    } else if (!may_wait || !somebody_is_silent(leader)) {
        leader_begin_serving(leader, now_ms);
    }
}

void leader_link_ask(struct leader_link *link) { link->asked = true; }

void leader_link_heard(struct leader_link *link, int64_t at_ms) {
    link->last_line_ms = at_ms > link->last_line_ms ? at_ms : link->last_line_ms;
}

/* PING between lines only: never while a part of one is on its way. */
static bool ping_due(const struct leader_link *link, const struct leader *leader, int64_t now_ms) {
    bool waits = now_ms - link->last_sent_ms < LEADER_PING_EVERY_MS;
    if (link->spec_only || (!link->asked && waits)) {
        return false;
    }
    switch (link->phase) {
    case LEADER_LINK_HELD:
    case LEADER_LINK_SEEK:
    case LEADER_LINK_TAKING:
        return true;
    case LEADER_LINK_CATCH_UP: /* who asks waits for all of the history */
        return !waits && link->catch_up.left_bytes == 0;
    case LEADER_LINK_STREAM:
        return history_at_end(leader->history, &link->reader);
    default:
        return false;
    }
}

static void say_ping(const struct leader *leader, struct buf *out) {
    uint64_t index = history_index(leader->history);
    if (leader->committed_index == 0 || leader->committed_index > index) {
        line_ping(out, index);
    } else {
        line_ping_committed(out, index, 0, leader->committed_index);
    }
}

/* A leader that goes on names where it is: perhaps it lacks but a tail. */
static void ask_for_state(const struct leader_link *link, const struct leader *leader, struct buf *out) {
    struct position here = history_position(leader->history);
    bool names = leader->goes_on && !link->take_adopts;
    line_pull(out, names ? here.history_id : 0, here.index, &here.term);
}

enum leader_verdict leader_link_tick(struct leader_link *link, struct leader *leader, int64_t now_ms,
                                     struct buf *out) {
    if (link->phase == LEADER_LINK_HELLO && !link->knows_sync &&
        now_ms - link->opened_ms >= LEADER_SPEC_ONLY_AFTER_MS) {
        link->spec_only = true;
        link->phase = LEADER_LINK_HELD;
    }
    bool silent = !link->spec_only && now_ms - link->last_line_ms >= LINK_TIMEOUT_MS;
    if (silent || (link->too_early && leader->phase == LEADER_SERVING)) {
        return LEADER_CLOSE;
    }
    if (link->phase == LEADER_LINK_HELD) {
        place(link, leader, now_ms, out);
    }
    if (link->phase == LEADER_LINK_TAKING && !link->take_asked) {
        ask_for_state(link, leader, out);
        link->take_asked = true;
        link->last_sent_ms = now_ms;
    } else if (ping_due(link, leader, now_ms)) {
        say_ping(leader, out);
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
    if (link->phase == LEADER_LINK_SEEK) {
        seek(link, leader, out);
    }
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
    if (link->phase == LEADER_LINK_CATCH_UP) {
        return catch_up_read(&link->catch_up, &leader->archive, out) == ARCHIVE_LOST ? LEADER_CLOSE
                                                                                     : LEADER_GO_ON;
    }
    bool ok = link->spec_only ? plain_stream_read(&link->plain, leader->history, &link->reader, data->say,
                                                  data->context, out)
                              : history_read(leader->history, &link->reader, out, &last_index);
    return ok ? LEADER_GO_ON : LEADER_CLOSE;
}

void leader_link_sent(struct leader_link *link, const struct leader *leader, size_t n, int64_t now_ms) {
    link->last_sent_ms = now_ms;
    if (link->phase != LEADER_LINK_CATCH_UP) {
        take_history(link, leader, n);
    } else if (catch_up_advance(&link->catch_up, &leader->archive, n, leader->history, &link->reader)) {
        link->phase = LEADER_LINK_STREAM;
    }
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
    case LEADER_LINK_SEEK:
    case LEADER_LINK_CATCH_UP:
        return "catch-up";
    case LEADER_LINK_STREAM:
        break;
    }
    return link->spec_only ? "spec-only" : "online";
}
