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

/* --- What this leader's data is made of --- */

static bool has_all_of(const struct leader_known *known, uint64_t history_id, const struct term *term,
                       uint64_t index) {
    if (known->history_id != history_id) {
        return false;
    }
    return lineage_side(&known->lineage, known->index, term, index) == LINEAGE_ON;
}

static bool is_known(const struct leader *leader, const struct position *position) {
    for (size_t i = 0; i < leader->known_count; i++) {
        if (has_all_of(&leader->known[i], position->history_id, &position->term, position->index)) {
            return true;
        }
    }
    return false;
}

/* All up to line index of a history with these terms is here. What was known of the beginning of it is no news.
 */
static void remember(struct leader *leader, uint64_t history_id, uint64_t index,
                     const struct lineage *lineage) {
    const struct leader_known news = {history_id, index, *lineage};
    size_t kept = 0;
    for (size_t i = 0; i < leader->known_count; i++) {
        const struct leader_known *known = &leader->known[i];
        if (has_all_of(known, history_id, lineage_last(lineage), index)) {
            return;
        }
        if (!has_all_of(&news, known->history_id, lineage_last(&known->lineage), known->index)) {
            leader->known[kept++] = *known;
        }
    }
    leader->known_count = kept;
    if (leader->known_count == LEADER_KNOWN) {
        memmove(leader->known, leader->known + 1, sizeof(leader->known) - sizeof(leader->known[0]));
        leader->known_count--;
    }
    leader->known[leader->known_count++] = news;
}

static void remember_position(struct leader *leader, const struct position *position) {
    struct lineage lineage;
    lineage_begin(&lineage, &position->term, position->index);
    remember(leader, position->history_id, position->index, &lineage);
}

/* The history that this leader has led, and leaves: nobody has more of it. But of one that it was to go on with
 * somebody may. */
static void remember_before(struct leader *leader) {
    remember(leader, leader->before.history_id, leader->goes_on ? leader->before.index : UINT64_MAX,
             &leader->lineage_before);
}

static uint64_t larger(uint64_t a, uint64_t b) { return a > b ? a : b; }

/* Its id is younger than any that is known, whatever the clock says. */
static void begin_history(struct leader *leader, uint64_t youngest, int64_t now_ms) {
    int64_t youngest_ms = (int64_t)(larger(history_id(leader->history), youngest) >> 16);
    int64_t unix_ms = now_ms + leader->unix_offset_ms;
    uint64_t id = history_make_id(unix_ms > youngest_ms ? unix_ms : youngest_ms + 1, leader->random);
    history_restart(leader->history, id, 0, NULL);
    leader->goes_on = false;
}

/* "A leader that continues a history first writes the history line TERM|n|nodeID, n one more than any it knows,
 * fsynced in meta before the line is written". Where somebody has used up the numbers, it is another history.
 */
static void begin_serving(struct leader *leader, int64_t now_ms) {
    struct history *history = leader->history;
    uint64_t number = larger(leader->term_number, lineage_last(history_lineage(history))->number);
    leader->phase = LEADER_SERVING;
    if (leader->goes_on && number >= TERM_NUMBER_MAX) {
        remember(leader, history_id(history), history_index(history), history_lineage(history));
        begin_history(leader, 0, now_ms);
    }
    if (leader->goes_on) {
        leader->term_number = number + 1;
        leader->phase = LEADER_TERM;
    }
}

void leader_recover(struct leader *leader, uint64_t term_number) {
    leader->goes_on = true;
    leader->term_number = term_number;
    history_keep(leader->history); /* from the line TERM on */
}

void leader_elected(struct leader *leader, uint64_t term_number) {
    leader->is_elected = true;
    leader_recover(leader, term_number);
    leader_term_kept(leader);
}

void leader_term_kept(struct leader *leader) {
    struct term term = {.number = leader->term_number};
    memcpy(term.node_id, leader->node_id, sizeof(term.node_id));
    history_begin_term(leader->history, &term);
    leader->phase = LEADER_SERVING;
}

void leader_resume(struct leader *leader, const struct position *led, bool touched, int64_t now_ms) {
    leader->whole_of = (struct position){0};
    if (touched) {
        struct history *history = leader->history;
        bool is_led = history_id(history) == led->history_id;
        struct lineage lineage;
        remember(leader, history_id(history), is_led ? UINT64_MAX : history_index(history),
                 history_lineage(history));
        lineage_begin(&lineage, &led->term, led->index);
        remember(leader, led->history_id, UINT64_MAX, &lineage);
        begin_history(leader, led->history_id, now_ms);
    }
    if (leader->phase != LEADER_SERVING) { /* nor had it when it stepped down */
        begin_serving(leader, now_ms);
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

static bool has_data(const struct leader *leader) { return leader->goes_on || leader->known_count > 0; }

/* Part of a state is here, over what was here before. */
static bool state_is_under_way(const struct leader *leader) { return leader->taken.phase == FOLLOWER_FULL; }

/* The link that gave its state is gone before END. A leader that has data goes on with it: under a new history,
 * if part of the state is among it now. One that has none listens for the next candidate. */
static void take_broke_off(struct leader *leader, const struct leader_link *link, int64_t now_ms) {
    leader->taking = NULL;
    remember_failure(leader, link);
    if (link->take_adopts) {
        return;
    }
    bool mixed = state_is_under_way(leader);
    follower_link_deinit(&leader->taken, &leader->taker);
    if (has_data(leader)) {
        if (mixed) {
            remember_before(leader);
            begin_history(leader, 0, now_ms);
        }
        begin_serving(leader, now_ms);
        return;
    }
    if (mixed) {
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

static enum lineage_side side_of(const struct leader *leader, const struct leader_link *link) {
    return lineage_side(history_lineage(leader->history), history_index(leader->history), &link->position.term,
                        link->position.index);
}

static bool is_of_this_history(const struct leader *leader, const struct leader_link *link) {
    return link->position.history_id == history_id(leader->history);
}

/* It holds data that neither this history nor what this leader took before has. (Who is ahead in the term of a
 * leader that serves has miscounted.) */
static bool must_take_from(const struct leader *leader, const struct leader_link *link) {
    if (link->position.history_id == 0) {
        return false;
    }
    enum lineage_side side = is_of_this_history(leader, link) ? side_of(leader, link) : LINEAGE_OFF;
    if (leader->is_elected) {
        return false;
    }
    bool has_more = side == LINEAGE_OFF || (side == LINEAGE_AHEAD && leader->phase != LEADER_SERVING);
    return has_more && !is_known(leader, &link->position);
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
                  lineage_last(history_lineage(history)));
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

/* "Within its listening second a follower with the same history and a greater (term, index) is pulled from
 * first." */
static bool goes_further(const struct leader *leader, const struct leader_link *link) {
    struct position here = history_position(leader->history);
    return leader->phase == LEADER_LISTENING && is_of_this_history(leader, link) &&
           position_compare_in_history(&link->position, &here) > 0;
}

/* Wholly only what goes on from the state that is here, or when there is none: else what it lacks would be
 * dropped, though nobody may have it but this leader. And not from one whose state broke off before: it would
 * keep this leader from serving over and over.
 */
static bool may_take_wholly(const struct leader *leader, const struct leader_link *link) {
    if (leader->goes_on) {
        return goes_further(leader, link) && !has_failed(leader, link);
    }
    if (history_index(leader->history) > 0) {
        return false;
    }
    return leader->known_count == 0 ||
           (leader->whole_of.history_id == link->position.history_id && !has_failed(leader, link));
}

static void begin_taking(struct leader_link *link, struct leader *leader, int64_t now_ms) {
    link->phase = LEADER_LINK_TAKING;
    link->take_asked = link->take_began = false;
    link->take_adopts = !may_take_wholly(leader, link);
    link->taken = 0;
    leader->taking = link;
    leader->arriving.count = 0;
    leader->pulls++;
    if (link->take_adopts) {
        return;
    }
    leader->phase = LEADER_PULLING;
    leader->before = history_position(leader->history);
    leader->lineage_before = *history_lineage(leader->history);
    follower_init(&leader->taker, leader->node_id, leader->group, leader->history, &leader->data);
    leader->taker.leader_link = &leader->taken;
    follower_link_init(&leader->taken, now_ms);
    leader->taken.phase = FOLLOWER_SYNCING;
    leader->taken.began = true;
}

/* A link in HELD goes where the leader's phase and its own position let it. */
static void place(struct leader_link *link, struct leader *leader, int64_t now_ms, struct buf *out) {
    if (leader->phase != LEADER_SERVING || link->too_early) {
        return;
    }
    if (must_take_from(leader, link)) {
        if (leader->taking == NULL) {
            begin_taking(link, leader, now_ms);
        }
        return;
    }
    if (!link->spec_only && is_of_this_history(leader, link)) {
        bool is_on = side_of(leader, link) == LINEAGE_ON;
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

/* --- Taking what a follower has --- */

/* The history goes on with what was taken, if all that this leader had is at the beginning of that. Else a new
 * one begins, with what was taken or with both. */
static void take_whole_ended(struct leader_link *link, struct leader *leader, int64_t now_ms) {
    struct history *history = leader->history;
    bool goes_on = leader->goes_on && !leader->taken.joins && history_id(history) == leader->before.history_id;
    follower_link_deinit(&leader->taken, &leader->taker);
    if (!goes_on) {
        remember_before(leader);
        remember(leader, history_id(history), history_index(history), history_lineage(history));
        remember_position(leader, &link->position); /* a mixture's FULL names another */
        begin_history(leader, larger(leader->before.history_id, link->position.history_id), now_ms);
    }
    begin_serving(leader, now_ms);
}

static void take_ended(struct leader_link *link, struct leader *leader, int64_t now_ms, struct buf *out) {
    leader->taking = NULL;
    leader->failed_count = 0;
    if (!link->take_adopts) {
        take_whole_ended(link, leader, now_ms);
    }
    link->phase = LEADER_LINK_HELD;
    place(link, leader, now_ms, out);
}

static enum leader_verdict not_a_state(struct leader *leader, struct buf *out) {
    leader->lines_malformed++;
    line_error(out, "a state is expected: FULL, REPLICATEX, END");
    return LEADER_CLOSE;
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
static void adopt_begins(struct leader_link *link, const struct line *line) {
    link->take_began = true;
    link->take_history_id = line->history_id;
    link->take_floor = line->version;
}

static void adopt_ends(struct leader_link *link, struct leader *leader, const struct line *line, int64_t now_ms,
                       struct buf *out) {
    struct lineage *lineage = &leader->arriving;
    if (lineage->count == 0) {
        lineage_begin(lineage, NULL, line->index);
    }
    leader->data.adopt_floor(leader->data.context, link->take_floor);
    remember(leader, link->take_history_id, line->index, lineage);
    remember_position(leader, &link->position);
    take_ended(link, leader, now_ms, out);
}

static enum leader_verdict on_adopt_line(struct leader_link *link, struct leader *leader,
                                         const struct line *line, int64_t now_ms, struct buf *out) {
    struct term term = line_term_of(line);
    if (line->verb == LINE_FULL && !link->take_began) {
        adopt_begins(link, line);
        return LEADER_GO_ON;
    }
    if (!link->take_began) {
        return not_a_state(leader, out);
    }
    switch (line->verb) {
    case LINE_SINCE:
        return lineage_grow(&leader->arriving, &term, line->index) ? LEADER_GO_ON : not_a_state(leader, out);
    case LINE_REPLICATE:
        return adopt(link, leader, line);
    case LINE_END:
        adopt_ends(link, leader, line, now_ms, out);
        return LEADER_GO_ON;
    default:
        return not_a_state(leader, out);
    }
}

/* END of a tail is this side's: a follower's link knows none. */
static enum leader_verdict on_tail_end(struct leader_link *link, struct leader *leader, const struct line *line,
                                       int64_t now_ms, struct buf *out) {
    if (line->index != history_index(leader->history) || leader->taken.batch_left > 0) {
        return not_a_state(leader, out);
    }
    take_ended(link, leader, now_ms, out);
    return LEADER_GO_ON;
}

/* What this leader had, or has taken before, is not at the beginning of the state that ends: it stays beside
 * that. */
static bool has_parted(const struct leader *leader, const struct line *end) {
    const struct lineage *lineage = &leader->taker.arriving;
    const struct position *before = leader->goes_on ? &leader->before : &leader->whole_of;
    if (before->history_id == 0) {
        return false; /* it had nothing */
    }
    return leader->taken.history_id != before->history_id ||
           (lineage->count == 0
                ? term_compare(&before->term, &leader->taken.full_term) != 0
                : lineage_side(lineage, end->index, &before->term, before->index) != LINEAGE_ON);
}

/* FULL ... END, or CONTINUE ... END: this node does with it what a follower does. */
static enum leader_verdict on_whole_line(struct leader_link *link, struct leader *leader,
                                         const struct line *line, struct slice bytes, int64_t now_ms,
                                         struct buf *scratch, struct buf *out) {
    struct follower_link *taken = &leader->taken;
    struct line again;
    bool state = line->verb == LINE_FULL, begins = state || (line->verb == LINE_CONTINUE && leader->goes_on);
    bool ends = line->verb == LINE_END;
    if (begins == link->take_began) {
        return not_a_state(leader, out);
    }
    if (ends && taken->phase == FOLLOWER_STREAM) {
        return on_tail_end(link, leader, line, now_ms, out);
    }
    link->take_began = true;
    taken->joins = ends && has_parted(leader, line);
    leader->taker.unix_offset_ms = leader->unix_offset_ms;
    if (follower_link_line(taken, &leader->taker, bytes, now_ms, scratch, &again, out) != FOLLOWER_GO_ON) {
        return LEADER_CLOSE;
    }
    follower_link_keep(taken, &leader->taker);
    if (ends) { /* a mixture names another history than SYNC did */
        bool alone = !taken->joins && taken->history_id == link->position.history_id;
        leader->whole_of = alone ? history_position(leader->history) : (struct position){0};
        take_ended(link, leader, now_ms, out);
    }
    return LEADER_GO_ON;
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
    if (is_of_this_history(leader, link)) {
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

/* TAKING: only what is taken is a sign of life; ACK is no progress. */
static enum leader_verdict on_take_line(struct leader_link *link, struct leader *leader,
                                        const struct line *line, struct slice bytes, int64_t now_ms,
                                        struct buf *scratch, struct buf *out) {
    link->last_line_ms = now_ms;
    return link->take_adopts ? on_adopt_line(link, leader, line, now_ms, out)
                             : on_whole_line(link, leader, line, bytes, now_ms, scratch, out);
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
    bool a_failed = has_failed(leader, a), b_failed = has_failed(leader, b);
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
        if (link->phase == LEADER_LINK_HELD && must_take_from(leader, link) && may_take_wholly(leader, link) &&
            (best == NULL || is_better(leader, link, best))) {
            best = link;
        }
    }
    if (best != NULL) {
        if (has_failed(leader, best)) {
            leader->failed_count = 0; /* all have: once more round */
        }
        begin_taking(best, leader, now_ms);
    } else if (!may_wait || !somebody_is_silent(leader)) {
        begin_serving(leader, now_ms);
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
