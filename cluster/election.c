#include "cluster/election.h"

#include "cluster/planted.h"

#include <assert.h>
#include <stdio.h>

/* --- What is to be done --- */

enum { KEPT_FREE = 8 }; /* for what must not be dropped */

static struct election_action *push(struct election_queue *queue, enum election_action_type type) {
    size_t most = type == ELECTION_SEND ? ELECTION_ACTIONS - KEPT_FREE : ELECTION_ACTIONS;
    if (queue->count >= most) {
        return NULL; /* a vote that is lost is asked for again */
    }
    struct election_action *action = &queue->actions[(queue->first + queue->count++) % ELECTION_ACTIONS];
    *action = (struct election_action){.type = type};
    return action;
}

static void send(struct election *election, const char *to, struct buf *line) {
    struct election_action *action = push(&election->in_order, ELECTION_SEND);
    if (action != NULL && !buf_failed(line)) {
        assert(buf_used(line) < sizeof(action->text));
        memcpy(action->text, buf_slice(line).ptr, buf_used(line));
        snprintf(action->to, sizeof(action->to), "%s", to);
    }
    buf_reset(line);
}

/* One that waits behind another is the same one: it is given out as it is by then. */
static void keep(struct election *election) {
    struct election_queue *queue = &election->in_order;
    size_t last = (queue->first + queue->count - 1) % ELECTION_ACTIONS;
    bool given = queue->count == 1 && election->waits;
    if (queue->count == 0 || given || queue->actions[last].type != ELECTION_KEEP) {
        push(queue, ELECTION_KEEP);
    }
}

bool election_next(struct election *election, struct election_action *out) {
    struct election_queue *queue = election->at_once.count > 0 ? &election->at_once : &election->in_order;
    if (queue->count == 0 || (queue == &election->in_order && election->waits)) {
        return false;
    }
    *out = queue->actions[queue->first];
    if (out->type == ELECTION_KEEP) { /* it stays the first one until it is done */
        out->kept = election->kept;
        if (PLANTED(PLANTED_VOTE_NOT_KEPT)) {
            out->kept.voted_for[0] = '\0';
        }
        election->waits = true;
        return true;
    }
    bool won = out->type == ELECTION_LEAD;
    queue->first = (queue->first + 1) % ELECTION_ACTIONS;
    queue->count--;
    /* What was won, and is over before it is told, is nothing to be done any more. */
    return !won || (election->phase == ELECTION_LEADING && out->kept.number == election->kept.number) ||
           election_next(election, out);
}

bool election_is_settled(const struct election *election) {
    for (size_t i = 0; i < election->in_order.count; i++) {
        if (election->in_order.actions[(election->in_order.first + i) % ELECTION_ACTIONS].type ==
            ELECTION_KEEP) {
            return false;
        }
    }
    return true;
}

/* --- Time --- */

/* From a to b ms. */
static int64_t random_ms(struct election *election, int64_t a, int64_t b) {
    election->random_state = election->random_state * 6364136223846793005u + 1442695040888963407u;
    return a + (int64_t)((election->random_state >> 33) % (uint64_t)(b - a + 1));
}

static void wait_from(struct election *election, int64_t now_ms) {
    election->ask_at_ms = now_ms + random_ms(election, election->wait_ms, 2 * election->wait_ms);
}

static void follow(struct election *election, int64_t now_ms) {
    election->phase = ELECTION_FOLLOWER;
    wait_from(election, now_ms);
}

void election_init(struct election *election, const char *node_id, uint16_t group, int64_t timeout_ms,
                   const struct history *history, const struct election_kept *kept, uint64_t random,
                   int64_t now_ms) {
    *election = (struct election){
        .group = group,
        .timeout_ms = timeout_ms,
        .history = history,
        .random_state = random,
        .kept = *kept,
        .heard_ms = now_ms - timeout_ms,
        .wait_ms = timeout_ms,
        .firm_at = UINT64_MAX,
    };
    snprintf(election->node_id, sizeof(election->node_id), "%s", node_id);
    follow(election, now_ms);
}

const char *election_phase_name(enum election_phase phase) {
    static const char *const names[] = {"follower", "asking", "standing", "leading"};
    return names[phase];
}

/* --- Terms --- */

static void stop_leading(struct election *election, const char *reason) {
    if (election->phase == ELECTION_LEADING) {
        struct election_action *action = push(&election->at_once, ELECTION_STOP);
        snprintf(action->text, sizeof(action->text), "%s", reason);
    }
}

/* "A greater term seen makes a leader or candidate a follower at once; before it is answered the link of the
 * smaller term is closed." */
static void learn_number(struct election *election, uint64_t number, int64_t now_ms) {
    stop_leading(election, "a greater term was seen");
    if (!PLANTED(PLANTED_OLD_LINK_OUTLIVES_A_VOTE)) {
        push(&election->at_once, ELECTION_LEAVE);
    }
    election->kept.number = number;
    election->kept.voted_for[0] = '\0';
    election->leader[0] = '\0';
    follow(election, now_ms);
}

static void raise_number(struct election *election, uint64_t number, int64_t now_ms) {
    learn_number(election, number, now_ms);
    keep(election);
}

static void vote_for(struct election *election, const char *node_id) {
    snprintf(election->kept.voted_for, sizeof(election->kept.voted_for), "%s", node_id);
}

/* --- Asking --- */

static bool is_asking(const struct election *election) {
    return election->phase == ELECTION_ASKING || election->phase == ELECTION_STANDING;
}

/* That is asked about now. */
static uint64_t asked_number(const struct election *election) {
    return election->kept.number + (election->phase == ELECTION_ASKING);
}

static void send_vote(struct election *election, const char *to) {
    struct position here = history_position(election->history);
    struct buf line;
    buf_init(&line, ELECTION_TEXT_BYTES);
    line_vote(&line, election->node_id, election->group, asked_number(election), election->asks,
              here.history_id, here.index, &here.term);
    send(election, to, &line);
    buf_deinit(&line);
}

static void send_votes(struct election *election) {
    for (size_t i = 0; i < election->asked.count; i++) {
        if (strcmp(election->asked.ids[i], election->node_id) != 0) {
            send_vote(election, election->asked.ids[i]);
        }
    }
}

void election_linked(struct election *election, const char *node_id) {
    int at = voters_find(&election->asked, node_id);
    if (is_asking(election) && at >= 0 && !election->votes[at].yes) {
        send_vote(election, node_id);
    }
}

static void begin_round(struct election *election, enum election_phase phase, enum line_phase asks,
                        int64_t now_ms) {
    election->phase = phase;
    election->asks = asks;
    election->asked = *history_voters(election->history);
    memset(election->votes, 0, sizeof(election->votes));
    election->is_contested = false;
    election->ask_at_ms = now_ms + election->timeout_ms;
}

static void stand(struct election *election, enum line_phase asks, int64_t now_ms) {
    begin_round(election, ELECTION_STANDING, asks, now_ms);
    election->kept.number++;
    election->leader[0] = '\0';
    push(&election->at_once, ELECTION_LEAVE);
    vote_for(election, election->node_id);
    keep(election); /* its own vote counts when it is done */
    send_votes(election);
}

static void lead(struct election *election, int64_t now_ms) {
    election->phase = ELECTION_LEADING;
    memcpy(election->leader, election->node_id, sizeof(election->leader));
    election->echoing = election->asked;
    for (size_t i = 0; i < VOTERS_MOST; i++) {
        election->echo_ms[i] = now_ms;
    }
    election->wait_ms = election->timeout_ms;
    election->contests = 0;
    push(&election->in_order, ELECTION_LEAD)->kept = election->kept;
}

/* "A candidate wins with a majority of firm votes, or with the votes of all N; a forgetful one is a candidate
 * only when all N are there." */
static bool has_won(const struct election *election) {
    size_t yes = 0, firm = 0;
    for (size_t i = 0; i < election->asked.count; i++) {
        yes += election->votes[i].yes;
        firm +=
            election->votes[i].yes && (election->votes[i].firm || PLANTED(PLANTED_FORGETFUL_COUNTS_AS_FIRM));
    }
    bool may_by_majority = !election->kept.forgetful || PLANTED(PLANTED_FORGETFUL_COUNTS_AS_FIRM);
    return yes == election->asked.count || (may_by_majority && firm >= voters_majority(&election->asked));
}

static void count_vote(struct election *election, const char *voter, bool firm, int64_t now_ms) {
    int at = voters_find(&election->asked, voter);
    if (at < 0) {
        return;
    }
    election->votes[at] = (struct election_vote){.yes = true, .firm = firm};
    if (!has_won(election)) {
        return;
    }
    if (election->phase == ELECTION_ASKING) {
        stand(election, LINE_PHASE_REAL, now_ms);
    } else {
        lead(election, now_ms);
    }
}

/* Only of a whole history, and one that has begun: of a set that is forming the proposer alone knows that all
 * have agreed, and may still withdraw if it does not (forming.h). And a voter, or one that was until the last
 * change: that may not be committed, and then nobody may have more than it ("a server that is not part of its
 * own latest configuration should still start new elections", Ongaro 2014, 4.2.2). Its own vote does not count
 * then: count_vote. */
static bool may_stand(const struct election *election) {
    const struct history *history = election->history;
    bool votes = voters_find(history_voters(history), election->node_id) >= 0 ||
                 voters_find(history_voters_before(history), election->node_id) >= 0;
    bool has_begun = history_id(history) != 0 && (history_index(history) > 0 || election->proposes);
    return !election->arriving && has_begun && votes;
}

static void ask(struct election *election, int64_t now_ms) {
    if (!may_stand(election)) {
        follow(election, now_ms);
        return;
    }
    if (PLANTED(PLANTED_NO_PRE_VOTE)) {
        stand(election, LINE_PHASE_REAL, now_ms);
        return;
    }
    begin_round(election, ELECTION_ASKING, LINE_PHASE_PRE, now_ms);
    send_votes(election);
    count_vote(election, election->node_id, !election->kept.forgetful, now_ms);
}

void election_kept(struct election *election, int64_t now_ms) {
    struct election_queue *queue = &election->in_order;
    assert(election->waits && queue->count > 0);
    election->waits = false;
    queue->first = (queue->first + 1) % ELECTION_ACTIONS;
    queue->count--;
    if (election->phase == ELECTION_STANDING && election_is_settled(election)) {
        election->ask_at_ms = now_ms + election->timeout_ms; /* "from when the own vote is on disk" */
        count_vote(election, election->node_id, !election->kept.forgetful, now_ms);
    }
}

/* --- Being asked --- */

/* This node's, or any for one that has nothing, and has never acknowledged anything. */
static bool is_own_history(const struct election *election, uint64_t id) {
    return history_id(election->history) == 0 || history_id(election->history) == id;
}

/* Of its own history. */
static bool is_up_to_date(const struct election *election, const struct line *vote) {
    struct position here = history_position(election->history);
    struct position there = {vote->history_id, line_term_of(vote), vote->index};
    return here.history_id == 0 || position_compare_in_history(&there, &here) >= 0;
}

/* "Nobody says yes within the timeout after it last heard a leader (phase transfer excepted)." */
static bool hears_a_leader(const struct election *election, int64_t now_ms) {
    return election->phase == ELECTION_LEADING || now_ms - election->heard_ms < election->timeout_ms;
}

static void send_voted(struct election *election, const char *to, uint64_t number, enum line_phase phase,
                       bool yes) {
    struct buf line;
    if (number == 0) {
        return; /* a no that nobody can say: it knows of no term yet */
    }
    buf_init(&line, ELECTION_TEXT_BYTES);
    line_voted(&line, election->node_id, number, phase, yes, election->kept.forgetful);
    send(election, to, &line);
    buf_deinit(&line);
}

static void answer(struct election *election, const struct line *vote, bool yes) {
    send_voted(election, vote->node_id, yes ? vote->count : election->kept.number, vote->phase, yes);
}

static void on_vote(struct election *election, const struct line *vote, int64_t now_ms) {
    bool is_ours = vote->group == election->group && is_own_history(election, vote->history_id);
    bool hears = hears_a_leader(election, now_ms) && vote->phase != LINE_PHASE_TRANSFER;
    if (!is_ours || hears || vote->count < election->kept.number) {
        answer(election, vote, false);
        return;
    }
    if (vote->phase == LINE_PHASE_PRE) {
        answer(election, vote, vote->count > election->kept.number && is_up_to_date(election, vote));
        return;
    }
    if (vote->count > election->kept.number) {
        raise_number(election, vote->count, now_ms);
    }
    const char *voted_for = election->kept.voted_for;
    bool yes = (voted_for[0] == '\0' || strcmp(voted_for, vote->node_id) == 0) && is_up_to_date(election, vote);
    if (yes) {
        if (voted_for[0] == '\0') {
            keep(election);
        }
        vote_for(election, vote->node_id);
        wait_from(election, now_ms);
    }
    answer(election, vote, yes);
}

static void contest(struct election *election, int64_t now_ms) {
    int64_t soon_ms = now_ms + random_ms(election, 0, ELECTION_DEAD_WAIT_MS);
    if (!election->is_contested) {
        election->is_contested = true;
        election->ask_at_ms = soon_ms < election->ask_at_ms ? soon_ms : election->ask_at_ms;
    }
}

static void on_voted(struct election *election, const struct line *voted, int64_t now_ms) {
    if (!voted->yes) {
        if (voted->count > election->kept.number) {
            raise_number(election, voted->count, now_ms);
        } else if (voted->count == election->kept.number && election->phase == ELECTION_STANDING &&
                   voted->phase != LINE_PHASE_PRE) {
            contest(election, now_ms);
        }
        return;
    }
    bool late = PLANTED(PLANTED_LATE_PRE_VOTE_COUNTS) && election->phase == ELECTION_STANDING &&
                voted->phase == LINE_PHASE_PRE && voted->count == election->kept.number;
    if (is_asking(election) &&
        ((voted->phase == election->asks && voted->count == asked_number(election)) || late)) {
        count_vote(election, voted->node_id, !voted->forgetful, now_ms);
    }
}

bool election_stand_now(struct election *election, int64_t now_ms) {
    bool may = election->phase == ELECTION_FOLLOWER && may_stand(election);
    if (may) {
        stand(election, LINE_PHASE_TRANSFER, now_ms);
    }
    return may;
}

static void on_timeout_now(struct election *election, const char *from, const struct line *line,
                           int64_t now_ms) {
    if (line->count == election->kept.number && strcmp(from, election->leader) == 0) {
        election_stand_now(election, now_ms);
    }
}

void election_line(struct election *election, const char *from, const struct line *line, int64_t now_ms) {
    if (line->verb == LINE_TIMEOUT_NOW) {
        on_timeout_now(election, from, line, now_ms);
    } else if (strcmp(from, line->node_id) != 0) {
        return;
    } else if (line->verb == LINE_VOTE) {
        on_vote(election, line, now_ms);
    } else if (line->verb == LINE_VOTED) {
        on_voted(election, line, now_ms);
    }
}

/* --- A leader --- */

bool election_take_lead(struct election *election, const char *node_id, const struct position *position,
                        int64_t now_ms) {
    uint64_t number = position->term.number;
    bool of_this_history = is_own_history(election, position->history_id);
    if (of_this_history && number < election->kept.number) { /* it leads no more: it has to know */
        send_voted(election, node_id, election->kept.number, LINE_PHASE_REAL, false);
    }
    if (!of_this_history || strcmp(position->term.node_id, node_id) != 0 || number < election->kept.number ||
        (number == election->kept.number && election->phase == ELECTION_LEADING)) {
        return false;
    }
    if (number > election->kept.number) {
        learn_number(election, number, now_ms);
    }
    if (election->kept.voted_for[0] == '\0') { /* "Taking a LEAD counts as the vote of that term." */
        vote_for(election, node_id);
        if (!PLANTED(PLANTED_TERM_NOT_KEPT_BEFORE_AN_ACK)) {
            keep(election);
        }
    }
    snprintf(election->leader, sizeof(election->leader), "%s", node_id);
    election->firm_at = position->index;
    election_heard(election, now_ms);
    return true;
}

void election_heard(struct election *election, int64_t now_ms) {
    election->heard_ms = now_ms;
    election->wait_ms = election->timeout_ms;
    election->contests = 0;
    follow(election, now_ms);
}

void election_gone(struct election *election, const char *node_id, int64_t now_ms) {
    if (election->phase != ELECTION_FOLLOWER || strcmp(election->leader, node_id) != 0) {
        return;
    }
    election->leader[0] = '\0';
    election->heard_ms = now_ms - election->timeout_ms;
    int64_t soon_ms = now_ms + random_ms(election, 0, ELECTION_DEAD_WAIT_MS);
    election->ask_at_ms = soon_ms < election->ask_at_ms ? soon_ms : election->ask_at_ms;
}

void election_ask_now(struct election *election, int64_t now_ms) {
    if (election->phase == ELECTION_FOLLOWER) {
        election->ask_at_ms = now_ms;
    }
}

void election_durable(struct election *election, uint64_t index) {
    if (election->kept.forgetful && index >= election->firm_at) {
        election->kept.forgetful = false;
        keep(election);
    }
}

/* --- Leading --- */

void election_echo(struct election *election, const char *node_id, int64_t now_ms) {
    int at = voters_find(&election->echoing, node_id);
    if (at >= 0) {
        election->echo_ms[at] = now_ms;
    }
}

void election_hand_over(struct election *election, const char *node_id, int64_t now_ms) {
    struct buf line;
    assert(election->phase == ELECTION_LEADING);
    buf_init(&line, ELECTION_TEXT_BYTES);
    line_timeout_now(&line, election->kept.number);
    send(election, node_id, &line);
    buf_deinit(&line);
    stop_leading(election, "it has handed over");
    election->leader[0] = '\0';
    election->heard_ms = now_ms; /* the other one has its time */
    follow(election, now_ms);
}

/* Those that are new in the set have their time, too. */
static void follow_voters(struct election *election, int64_t now_ms) {
    const struct voters *voters = history_voters(election->history);
    int64_t echo_ms[VOTERS_MOST];
    for (size_t i = 0; i < voters->count; i++) {
        int at = voters_find(&election->echoing, voters->ids[i]);
        echo_ms[i] = at < 0 ? now_ms : election->echo_ms[at];
    }
    memcpy(election->echo_ms, echo_ms, voters->count * sizeof(echo_ms[0]));
    election->echoing = *voters;
}

/* "A leader that has had no echo from a majority for a timeout becomes a follower." */
static void count_echoes(struct election *election, int64_t now_ms) {
    size_t heard = 0;
    follow_voters(election, now_ms);
    for (size_t i = 0; i < election->echoing.count; i++) {
        bool self = strcmp(election->echoing.ids[i], election->node_id) == 0;
        heard += self || now_ms - election->echo_ms[i] < election->timeout_ms;
    }
    if (heard < voters_majority(&election->echoing)) {
        stop_leading(election, "no majority has echoed for a timeout");
        election->leader[0] = '\0';
        follow(election, now_ms);
    }
}

static void lose_round(struct election *election, int64_t now_ms) {
    int64_t short_ms = (int64_t)ELECTION_DEAD_WAIT_MS << election->contests;
    bool soon = election->is_contested && short_ms < election->timeout_ms;
    if (soon) {
        election->contests++;
    } else {
        election->wait_ms =
            election->wait_ms * 2 < ELECTION_LONGEST_WAIT_MS ? election->wait_ms * 2 : ELECTION_LONGEST_WAIT_MS;
    }
    follow(election, now_ms);
    if (soon) {
        election->ask_at_ms = now_ms + random_ms(election, 0, short_ms);
    }
}

void election_tick(struct election *election, int64_t now_ms) {
    if (election->phase == ELECTION_LEADING) {
        count_echoes(election, now_ms);
        return;
    }
    if (now_ms < election->ask_at_ms) {
        return;
    }
    if (election->phase == ELECTION_FOLLOWER) {
        ask(election, now_ms);
    } else {
        lose_round(election, now_ms);
    }
}
