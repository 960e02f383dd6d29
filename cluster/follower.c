#include "cluster/follower_internal.h"
#include "cluster/planted.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

/* One line of a stranger must not use up the versions of a group: half of them are out of its reach. */
#define BARE_VERSION_MAX ((uint64_t)INT64_MAX)

/* A history of this node's own that began with nothing is older than any leader's: a node that holds little
 * must not pass for the most advanced of its group. */
enum { OLDEST_HISTORY_MS = 1 };

/* Lines go into the history in runs of about that: little enough to fill its chunks, and to be in the cache. */
enum { RUN_BYTES = 16 << 10 };

/* Of who has proved nothing a longer line is not waited for, unless it is a change that would be taken. */
enum { STRANGERS_LINE_BYTES = 4 << 10 };

void follower_init(struct follower *follower, const char *node_id, uint16_t group, struct history *history,
                   const struct group_data *data) {
    *follower = (struct follower){.group = group, .history = history, .data = *data};
    snprintf(follower->node_id, sizeof(follower->node_id), "%s", node_id);
}

void follower_follow(struct follower *follower) {
    follower->gave_way = follower->leading ? history_position(follower->history) : (struct position){0};
    follower->waits_since_ms = 0;
    follower->leading = false;
    follower->clock_ms = 0;
    follower->own_history = false;
    follower->overlaid_by = 0;
    follower->has_state = true;
}

void follower_lead(struct follower *follower) {
    follower->leading = true;
    follower->gave_way = (struct position){0};
}

struct position follower_position(const struct follower *follower) {
    return history_position(follower->history);
}

struct position follower_state_position(const struct follower *follower) {
    return follower->overlaid_by == 0 ? follower_position(follower)
                                      : (struct position){.history_id = follower->overlaid_by};
}

void follower_write_state_context(const struct follower *follower, struct buf *out) {
    if (follower->overlaid_by == 0) {
        history_write_context(follower->history, history_index(follower->history), out);
    }
}

bool follower_is_clean(const struct follower *follower) {
    return !follower->own_history && follower->overlaid_by == 0;
}

void follower_link_init(struct follower_link *link, int64_t now_ms) {
    *link = (struct follower_link){.phase = FOLLOWER_NEW, .last_line_ms = now_ms, .last_ack_ms = now_ms};
    buf_init(&link->batch, HISTORY_BATCH_LIMIT_BYTES);
}

void follower_link_deinit(struct follower_link *link, struct follower *follower) {
    assert(link->run_lines == 0);
    buf_deinit(&link->batch);
    if (follower->leader_link == link) {
        follower->leader_link = NULL;
    }
}

bool follower_linked(const struct follower *follower) { return follower->leader_link != NULL; }

/* Lines of the history are missing, or lie over it in part. */
static void overlay(struct follower *follower, uint64_t history_id, const struct term *term) {
    follower->overlaid_by = history_id;
    follower->overlaid_in = *term;
}

static void begin_own_history(struct follower *follower, int64_t began_ms) {
    history_restart(follower->history, history_make_id(began_ms, follower->random), 0, NULL);
    follower->durable_index = 0;
    follower->own_history = true;
}

/* --- Lines of a peer that said no LEAD: it knows only the specification --- */

static enum follower_verdict on_bare(struct follower_link *link, struct follower *follower,
                                     const struct line *line, int64_t now_ms, struct buf *out) {
    if (follower->leading) {
        return follower_refuse(follower, out,
                               "this node is the leader of its group: it takes no changes from others");
    }
    if (follower->votes) {
        return follower_refuse(follower, out, "this group elects its leader: it takes changes only from it");
    }
    if (follower_linked(follower)) {
        return follower_refuse(follower, out, "this node follows a live leader: it takes changes only from it");
    }
    link->phase = FOLLOWER_BARE;
    if (line->verb == LINE_CLOCK) {
        link->clock_ms = line->timestamp_ms;
        return FOLLOWER_GO_ON;
    }
    if (line->verb != LINE_REPLICATE && line->verb != LINE_DELETE) {
        return follower_refuse(follower, out, "not allowed without LEAD");
    }
    if (line->version > BARE_VERSION_MAX) {
        return follower_refuse(follower, out, "a version above 9223372036854775807 is not taken without LEAD");
    }
    int64_t unix_ms = now_ms + follower->unix_offset_ms;
    int64_t timestamp_ms = link->clock_ms != 0 ? link->clock_ms : unix_ms;
    enum err err = follower->data.apply_if_newer(follower->data.context, line, timestamp_ms);
    if (err == ERR_NO_MEMORY) {
        return follower_refuse(follower, out, err_text(err));
    }
    if (err == ERR_NONE) {
        /* The data is no longer what any leader's history says: it is a history of its own from here on. (Its
         * lines are not kept: what was applied may have another version than the line.) */
        if (!follower->own_history) {
            follower->has_state |= history_id(follower->history) == 0;
            begin_own_history(follower, history_id(follower->history) == 0 ? OLDEST_HISTORY_MS : unix_ms);
        }
        history_skip(follower->history, 1);
        follower->overlaid_by = 0; /* no leader has this */
    }
    return FOLLOWER_GO_ON;
}

/* --- The leader's lines --- */

void follower_link_keep(struct follower_link *link, struct follower *follower) {
    if (link->run_lines > 0) {
        history_append_lines(follower->history, link->run, link->run_lines);
        history_note_clock(follower->history, follower->clock_ms);
        link->run_lines = 0;
    }
}

/* A line was applied. Between the lines of a state the position is the old one; END names the new one. */
static void keep_line(struct follower_link *link, struct follower *follower, struct slice bytes) {
    if (link->phase != FOLLOWER_STREAM) {
        return;
    }
    assert(bytes.ptr[bytes.len] == '\n');
    if (link->run_lines > 0 && (bytes.ptr != link->run.ptr + link->run.len || link->run.len >= RUN_BYTES)) {
        follower_link_keep(link, follower);
    }
    if (link->run_lines == 0) {
        link->run = slice_of(bytes.ptr, 0);
    }
    link->run.len += bytes.len + 1;
    link->run_lines++;
}

static enum follower_verdict apply(struct follower *follower, const struct line *line, struct buf *out) {
    enum err err = follower->data.apply(follower->data.context, line, follower->clock_ms);
    return err == ERR_NONE ? FOLLOWER_GO_ON : follower_refuse(follower, out, err_text(err));
}

static void add_to_batch(struct follower_link *link, struct slice bytes) {
    buf_append_slice(&link->batch, bytes);
    buf_append_byte(&link->batch, '\n');
}

/* The whole batch is here: decode again and apply. All lines were found to be well-formed, or of the future,
 * before. If memory runs out in the middle, a part of it is there, and lies over the data of the position: a
 * FULL mends that. (A line alone that fails changes nothing: it is said again after CONTINUE.) */
static enum follower_verdict apply_batch(struct follower_link *link, struct follower *follower,
                                         struct buf *scratch, struct buf *out) {
    struct slice rest = buf_slice(&link->batch);
    enum follower_verdict verdict = FOLLOWER_GO_ON;
    size_t applied = 0;
    slice_take_until(&rest, '\n'); /* BATCH itself */
    while (rest.len > 0 && verdict == FOLLOWER_GO_ON) {
        struct line line;
        const char *reason;
        if (line_decode(slice_take_until(&rest, '\n'), scratch, &line, &reason) == LINE_OK) {
            verdict = apply(follower, &line, out);
            applied += verdict == FOLLOWER_GO_ON;
        }
    }
    if (verdict != FOLLOWER_GO_ON && applied > 0 && follower->overlaid_by == 0) {
        overlay(follower, history_id(follower->history), lineage_last(history_lineage(follower->history)));
    }
    return verdict;
}

static enum follower_verdict on_batch_line(struct follower_link *link, struct follower *follower,
                                           struct slice bytes, struct buf *scratch, struct buf *out) {
    add_to_batch(link, bytes);
    if (buf_failed(&link->batch)) {
        return follower_refuse(follower, out, "the BATCH is too large");
    }
    if (--link->batch_left > 0) {
        return FOLLOWER_GO_ON;
    }
    enum follower_verdict verdict = apply_batch(link, follower, scratch, out);
    if (verdict == FOLLOWER_GO_ON && link->phase == FOLLOWER_STREAM) {
        history_append_lines(follower->history, buf_slice(&link->batch), 1 + link->batch_count);
    }
    buf_deinit(&link->batch);
    return verdict;
}

/* Of a state: in force from its END on. */
static void note_arriving(struct follower_link *link, struct follower *follower, const struct line *line,
                          const struct term *term) {
    if (line->verb == LINE_TERM) {
        link->full_term = *term;
    } else if (line->verb == LINE_VOTERS) {
        voters_parse(line->text, &follower->arriving_voters);
    } else {
        follower->arriving_quorum = line->yes;
    }
}

static void note_in_force(struct history *history, const struct line *line, const struct term *term) {
    struct voters voters;
    if (line->verb == LINE_TERM) {
        history_note_term(history, term);
    } else if (line->verb == LINE_ACKS) {
        history_note_acks(history, line->yes);
    } else if (voters_parse(line->text, &voters)) {
        history_note_voters(history, &voters);
    }
}

/* TERM, VOTERS, ACKS: of no data, but they count. */
static enum follower_verdict on_control(struct follower_link *link, struct follower *follower,
                                        const struct line *line, struct slice bytes, struct buf *out) {
    bool arrives = link->phase == FOLLOWER_FULL;
    const struct term term = line_term_of(line);
    const struct term *before = arrives ? &link->full_term : lineage_last(history_lineage(follower->history));
    if (line->verb == LINE_TERM && term_compare(&term, before) <= 0) {
        return follower_malformed(follower, out, "TERM is not later than the one before it");
    }
    if (arrives) {
        note_arriving(link, follower, line, &term);
        return FOLLOWER_GO_ON;
    }
    keep_line(link, follower, bytes);
    follower_link_keep(link, follower);
    note_in_force(follower->history, line, &term);
    return FOLLOWER_GO_ON;
}

static enum follower_verdict on_change(struct follower_link *link, struct follower *follower,
                                       const struct line *line, struct slice bytes, struct buf *out) {
    if (link->phase == FOLLOWER_SYNCING) {
        return FOLLOWER_GO_ON; /* the leader took this node for one that knows no SYNC, and has not read it yet
                                */
    }
    if (line->verb == LINE_BATCH) {
        follower_link_keep(link, follower);
        link->batch_left = link->batch_count = line->count;
        add_to_batch(link, bytes);
        return FOLLOWER_GO_ON;
    }
    enum follower_verdict verdict = FOLLOWER_GO_ON;
    if (line->verb >= LINE_TERM) {
        return on_control(link, follower, line, bytes, out);
    }
    if (line->verb == LINE_CLOCK) {
        follower->clock_ms = line->timestamp_ms;
    } else {
        verdict = apply(follower, line, out);
    }
    if (verdict == FOLLOWER_GO_ON) {
        keep_line(link, follower, bytes);
    }
    return verdict;
}

static enum follower_verdict on_continue(struct follower_link *link, struct follower *follower,
                                         const struct line *line, struct buf *out) {
    bool from_here =
        line->history_id == history_id(follower->history) && line->index == history_index(follower->history);
    if (link->phase != FOLLOWER_SYNCING || !from_here || follower->overlaid_by != 0) {
        follower->had_by = from_here ? link->leads_from : follower->had_by;
        return follower_malformed(follower, out, "CONTINUE from where this node is not");
    }
    link->phase = FOLLOWER_STREAM;
    follower->clock_ms = history_clock_ms(follower->history);
    link->history_id = line->history_id;
    follower->gave_way = (struct position){0};
    follower->has_state = true;
    follower->partial_syncs++;
    return FOLLOWER_GO_ON;
}

/* The old position is kept until END: if the state breaks off, this node still has all the data of it to give.
 * Who had nothing then has a part of the state, which may be all that is left of it: that is no place in the
 * leader's history, but one of this node's own. */
static enum follower_verdict on_full(struct follower_link *link, struct follower *follower,
                                     const struct line *line, int64_t now_ms, struct buf *out) {
    if (!follower->data.full_begin(follower->data.context)) {
        return follower_refuse(follower, out, "too many states have broken off: a moment, please");
    }
    link->phase = FOLLOWER_FULL;
    follower->clock_ms = now_ms + follower->unix_offset_ms; /* until the leader says its own */
    link->history_id = line->history_id;
    link->full_floor = line->version;
    link->full_term = line_term_of(line);
    follower->arriving.count = 0;
    follower->arriving_voters.count = 0;
    follower->arriving_quorum = false;
    link->leader_index = line->index;
    overlay(follower, line->history_id, &link->full_term);
    if (history_id(follower->history) == 0 && !follower->votes) { /* a voter reads its disk again */
        begin_own_history(follower, OLDEST_HISTORY_MS);
    }
    return FOLLOWER_GO_ON;
}

static enum follower_verdict on_since(struct follower_link *link, struct follower *follower,
                                      const struct line *line, struct buf *out) {
    struct term term = line_term_of(line);
    if (link->phase != FOLLOWER_FULL || !lineage_grow(&follower->arriving, &term, line->index)) {
        return follower_malformed(follower, out, "SINCE out of place");
    }
    return FOLLOWER_GO_ON;
}

static enum follower_verdict on_end(struct follower_link *link, struct follower *follower,
                                    const struct line *line, struct buf *out) {
    if (link->phase != FOLLOWER_FULL) {
        return follower_malformed(follower, out, "END without FULL");
    }
    struct lineage *lineage = &follower->arriving;
    if (lineage->count > 0 && lineage->terms[lineage->count - 1].from > line->index) {
        return follower_malformed(follower, out, "SINCE is behind END");
    }
    follower->data.full_end(follower->data.context, link->full_floor, link->joins);
    if (lineage->count == 0 || term_compare(lineage_last(lineage), &link->full_term) != 0) {
        lineage_begin(lineage, &link->full_term,
                      line->index); /* a TERM came, of an index that nobody has said */
    }
    history_restart(follower->history, link->history_id, line->index, lineage);
    follower->had_by = (struct position){0};
    follower->durable_index = 0; /* what was durable is of another line */
    history_note_clock(follower->history, follower->clock_ms);
    if (follower->arriving_voters.count > 0) {
        history_note_voters(follower->history, &follower->arriving_voters);
    }
    history_note_acks(follower->history, follower->arriving_quorum);
    follower->own_history = false;
    follower->overlaid_by = 0;
    follower->gave_way = (struct position){0};
    follower->has_state = true;
    follower->full_syncs++;
    link->phase = FOLLOWER_STREAM;
    link->leader_index = line->index;
    return FOLLOWER_GO_ON;
}

static void send_ack(struct follower_link *link, struct follower *follower, int64_t now_ms, struct buf *out) {
    /* While a state arrives nothing of the new history is applied yet. */
    link->acked_index = link->phase == FOLLOWER_STREAM ? history_index(follower->history) : 0;
    if (PLANTED(PLANTED_ARRIVING_STATE_IS_A_POSITION) && link->phase == FOLLOWER_FULL) {
        link->acked_index = link->leader_index;
    }
    link->last_ack_ms = now_ms;
    if (follower->keeps) {
        uint64_t durable = follower->durable_index;
        link->acked_durable = durable < link->acked_index ? durable : link->acked_index;
        line_ack_durable(out, link->acked_index, link->acked_durable);
    } else {
        line_ack(out, link->acked_index);
    }
}

void follower_link_ack(struct follower_link *link, struct follower *follower, int64_t now_ms, struct buf *out) {
    if (link->phase == FOLLOWER_STREAM && link->batch_left == 0) {
        send_ack(link, follower, now_ms, out);
    }
}

static enum follower_verdict on_ping(struct follower_link *link, struct follower *follower,
                                     const struct line *line, int64_t now_ms, struct buf *out) {
    link->leader_index = line->index;
    if (link->phase == FOLLOWER_STREAM && line->index != history_index(follower->history)) {
        /* Lines were lost or counted differently: a FULL mends it. */
        overlay(follower, history_id(follower->history), lineage_last(history_lineage(follower->history)));
        return follower_malformed(follower, out, "PING names another index than this node has counted");
    }
    send_ack(link, follower, now_ms, out);
    return FOLLOWER_GO_ON;
}

static enum follower_verdict on_pull(struct follower_link *link, struct follower *follower,
                                     const struct line *line, struct buf *out) {
    const struct history *history = follower->history;
    struct term term = line_term_of(line);
    if (link->phase != FOLLOWER_SYNCING) {
        return follower_malformed(follower, out, "PULL after FULL");
    }
    bool is_beginning =
        line->history_id != 0 && line->history_id == history_id(history) && follower->overlaid_by == 0 &&
        lineage_side(history_lineage(history), history_index(history), &term, line->index) == LINEAGE_ON;
    link->pulled = (struct follower_pulled){
        .tail = is_beginning && line->index + 1 >= history_first_index(history),
        .index = line->index,
    };
    return FOLLOWER_SEND_STATE;
}

static enum follower_verdict on_leader_line(struct follower_link *link, struct follower *follower,
                                            const struct line *line, struct slice bytes, int64_t now_ms,
                                            struct buf *out) {
    if (line->verb <= LINE_LAST_OF_HISTORY) {
        return on_change(link, follower, line, bytes, out);
    }
    follower_link_keep(link, follower);
    switch (line->verb) {
    case LINE_CONTINUE:
        return on_continue(link, follower, line, out);
    case LINE_FULL:
        return on_full(link, follower, line, now_ms, out);
    case LINE_SINCE:
        return on_since(link, follower, line, out);
    case LINE_END:
        return on_end(link, follower, line, out);
    case LINE_PING:
        return on_ping(link, follower, line, now_ms, out);
    case LINE_PULL:
        return on_pull(link, follower, line, out);
    default:
        return follower_malformed(follower, out, "a leader does not say that");
    }
}

/* --- A connection's lines, and time --- */

/* "An unknown verb is ignored and counted, but not as the first line of a connection" */
static enum follower_verdict no_peer_begins_with_that(struct follower *follower, struct buf *out) {
    return follower_malformed(follower, out, "no peer begins with that");
}

/* "A line of an unknown verb inside a history counts, too": else no history could get a new kind of line. */
static enum follower_verdict on_unknown(struct follower_link *link, struct follower *follower,
                                        struct slice bytes, struct buf *scratch, struct buf *out) {
    follower->lines_unknown++;
    link->unknown += link->phase >= FOLLOWER_FULL;
    if (link->batch_left > 0) {
        return on_batch_line(link, follower, bytes, scratch, out);
    }
    keep_line(link, follower, bytes);
    return FOLLOWER_GO_ON;
}

/* "GET / HTTP/1.1": a method may be LEAD|..., and what follows it a field of the future. */
static bool is_http(struct slice line) {
    const struct slice version = SLICE("HTTP/1.1");
    line.len -= line.len > 0 && line.ptr[line.len - 1] == '\r';
    return line.len >= version.len &&
           slice_equals(slice_first(slice_skip(line, line.len - version.len), version.len - 1),
                        slice_first(version, version.len - 1));
}

static bool is_of_voters(const struct line *line) {
    return line->verb == LINE_PING || line->verb == LINE_ACK || line->verb >= LINE_FIRST_OF_VOTERS;
}

static enum follower_verdict on_line(struct follower_link *link, struct follower *follower,
                                     const struct line *line, struct slice bytes, int64_t now_ms,
                                     struct buf *out) {
    switch (line->verb) {
    case LINE_WHO:
        return FOLLOWER_FACTS;
    case LINE_ERROR:
        return FOLLOWER_CLOSE;
    case LINE_LEAD:
        return follower_on_lead(link, follower, line, now_ms, out);
    case LINE_NODE:
        return link->phase == FOLLOWER_NEW ? follower_begin_proving(link, line)
                                           : follower_malformed(follower, out, "NODE must be the first line");
    case LINE_MESSAGE:
        return link->phase == FOLLOWER_NODE
                   ? FOLLOWER_MESSAGE
                   : follower_refuse(follower, out, "MESSAGE is taken after NODE only");
    default:
        break;
    }
    if (link->phase >= FOLLOWER_SYNCING) {
        return on_leader_line(link, follower, line, bytes, now_ms, out);
    }
    if (link->phase == FOLLOWER_NODE && is_of_voters(line)) {
        return FOLLOWER_VOTING;
    }
    return line->verb <= LINE_LAST_OF_HISTORY && link->phase <= FOLLOWER_BARE
               ? on_bare(link, follower, line, now_ms, out)
               : follower_malformed(follower, out, "LEAD or REPLICATE is expected first");
}

static enum follower_verdict take_line(struct follower_link *link, struct follower *follower,
                                       struct slice bytes, int64_t now_ms, struct buf *scratch,
                                       struct line *line, struct buf *out) {
    const char *reason;
    bool first = !link->began;
    link->began = true;
    if (first && is_http(bytes)) {
        return no_peer_begins_with_that(follower, out);
    }
    enum line_result result = line_decode(bytes, scratch, line, &reason);
    if (result == LINE_MALFORMED) {
        return follower_malformed(follower, out, reason);
    }
    if (result == LINE_UNKNOWN && first) {
        return no_peer_begins_with_that(follower, out);
    }
    if (link->phase >= FOLLOWER_SYNCING && follower->leader_link != link) {
        return follower_refuse(follower, out, "another link has taken this one's place");
    }
    if (result == LINE_UNKNOWN) {
        return on_unknown(link, follower, bytes, scratch, out);
    }
    if (link->batch_left > 0) {
        return line->verb <= LINE_LAST_OF_CHANGES
                   ? on_batch_line(link, follower, bytes, scratch, out)
                   : follower_malformed(follower, out, "a BATCH holds changes only");
    }
    return on_line(link, follower, line, bytes, now_ms, out);
}

enum follower_verdict follower_link_line(struct follower_link *link, struct follower *follower,
                                         struct slice bytes, int64_t now_ms, struct buf *scratch,
                                         struct line *line, struct buf *out) {
    follower->lines_received++;
    link->last_line_ms = now_ms;
    enum follower_verdict verdict = take_line(link, follower, bytes, now_ms, scratch, line, out);
    if (verdict == FOLLOWER_CLOSE) {
        follower_link_keep(link, follower);
    }
    return verdict;
}

enum follower_verdict follower_link_part(struct follower_link *link, struct follower *follower,
                                         struct slice part, int64_t now_ms, struct buf *out) {
    link->last_line_ms = now_ms;
    if (!link->began && !line_may_be_known(part)) {
        return no_peer_begins_with_that(follower, out);
    }
    bool refuses_changes = follower->leading || follower_linked(follower);
    if (part.len > STRANGERS_LINE_BYTES && link->phase <= FOLLOWER_BARE && refuses_changes) {
        return follower_refuse(follower, out, "a line so long is taken of the group's leader only");
    }
    return FOLLOWER_GO_ON;
}

enum follower_verdict follower_link_unreadable(struct follower *follower, const char *reason, struct buf *out) {
    return follower_malformed(follower, out, reason);
}

void follower_link_heard(struct follower_link *link, int64_t at_ms) {
    link->last_line_ms = at_ms > link->last_line_ms ? at_ms : link->last_line_ms;
}

enum follower_verdict follower_link_tick(struct follower_link *link, struct follower *follower, int64_t now_ms,
                                         struct buf *out) {
    int64_t silent_ms = now_ms - link->last_line_ms;
    if (link->phase == FOLLOWER_PROVING && silent_ms >= FOLLOWER_PROOF_WITHIN_MS) {
        return follower_unproved(link, follower, out);
    }
    if (link->phase < FOLLOWER_SYNCING) {
        return FOLLOWER_GO_ON; /* a peer that knows only the specification may be silent for ever */
    }
    if (follower->leader_link != link || silent_ms >= LINK_TIMEOUT_MS) {
        return FOLLOWER_CLOSE;
    }
    bool news = link->phase == FOLLOWER_FULL || history_index(follower->history) != link->acked_index ||
                (follower->keeps && follower->durable_index > link->acked_durable);
    int64_t after_ms = news ? FOLLOWER_ACK_EVERY_MS : FOLLOWER_ACK_IDLE_MS;
    if (link->phase != FOLLOWER_SYNCING && now_ms - link->last_ack_ms >= after_ms) {
        send_ack(link, follower, now_ms, out);
    }
    return FOLLOWER_GO_ON;
}

bool follower_tick(struct follower *follower, bool other_leads, int64_t now_ms) {
    if (follower->gave_way.history_id == 0) {
        return false;
    }
    if (other_leads || follower_linked(follower) || follower->waits_since_ms == 0) {
        follower->waits_since_ms = now_ms;
    }
    return now_ms - follower->waits_since_ms >= FOLLOWER_LEADS_AGAIN_AFTER_MS;
}
