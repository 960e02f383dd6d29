/* What a leader's data is made of, and under which history and term it is led on. */
#include "cluster/leader_internal.h"

#include <string.h>

void leader_begin_listening(struct leader *leader, int64_t now_ms) {
    leader->phase = LEADER_LISTENING;
    leader->serve_at_ms = now_ms + LEADER_LISTEN_MS;
    leader->wait_until_ms = now_ms + LEADER_WAIT_MOST_MS;
}

static bool has_all_of(const struct leader_known *known, uint64_t history_id, const struct term *term,
                       uint64_t index) {
    if (known->history_id != history_id) {
        return false;
    }
    return lineage_side(&known->lineage, known->index, term, index) == LINEAGE_ON;
}

bool leader_knows(const struct leader *leader, const struct position *position) {
    for (size_t i = 0; i < leader->known_count; i++) {
        if (has_all_of(&leader->known[i], position->history_id, &position->term, position->index)) {
            return true;
        }
    }
    return false;
}

/* All up to line index of a history with these terms is here. What was known of the beginning of it is no news.
 */
void leader_remember(struct leader *leader, uint64_t history_id, uint64_t index,
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

void leader_remember_position(struct leader *leader, const struct position *position) {
    struct lineage lineage;
    lineage_begin(&lineage, &position->term, position->index);
    leader_remember(leader, position->history_id, position->index, &lineage);
}

/* The history that this leader has led, and leaves: nobody has more of it. But of one that it was to go on with
 * somebody may. */
void leader_remember_before(struct leader *leader) {
    leader_remember(leader, leader->before.history_id, leader->goes_on ? leader->before.index : UINT64_MAX,
                    &leader->lineage_before);
}

/* Its id is younger than any that is known, whatever the clock says. */
void leader_begin_history(struct leader *leader, uint64_t youngest, int64_t now_ms) {
    int64_t youngest_ms = (int64_t)(larger(history_id(leader->history), youngest) >> 16);
    int64_t unix_ms = now_ms + leader->unix_offset_ms;
    uint64_t id = history_make_id(unix_ms > youngest_ms ? unix_ms : youngest_ms + 1, leader->random);
    history_restart(leader->history, id, 0, NULL);
    leader->goes_on = false;
}

/* "A leader that continues a history first writes the history line TERM|n|nodeID, n one more than any it knows,
 * fsynced in meta before the line is written". Where somebody has used up the numbers, it is another history.
 */
void leader_begin_serving(struct leader *leader, int64_t now_ms) {
    struct history *history = leader->history;
    uint64_t number = larger(leader->term_number, lineage_last(history_lineage(history))->number);
    leader->phase = LEADER_SERVING;
    if (leader->goes_on && number >= TERM_NUMBER_MAX) {
        leader_remember(leader, history_id(history), history_index(history), history_lineage(history));
        leader_begin_history(leader, 0, now_ms);
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
        leader_remember(leader, history_id(history), is_led ? UINT64_MAX : history_index(history),
                        history_lineage(history));
        leader_remember_position(leader, &(struct position){led->history_id, led->term, UINT64_MAX});
        leader_begin_history(leader, led->history_id, now_ms);
    }
    if (leader->phase != LEADER_SERVING) { /* nor had it when it stepped down */
        leader_begin_serving(leader, now_ms);
    }
}
