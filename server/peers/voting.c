/* Voting: the deciders of an elected leader (cluster/election.h, commit.h, forming.h), driven.
 *
 *   control.c ---- lines, links, who is gone ------.                 .---> control.c: lines to other voters
 *   inbound.c ---- LEAD, what its leader says -----+--> election ----+---> the disk: what must not be forgotten
 *   outbound.c --- ACK: what followers have -------+--> commit       +---> replication: LEAD, STOP, LEAVE
 *   the disk ----- kept; what is durable here -----'    forming      '---> fence: committed, confirmed
 *
 * There is a struct voting where there is a disk and the leader is not named by hand. It is active as soon as
 * this node wants to form a set of voters, or its history names one: a follower that has no vote takes part,
 * too, and nobody counts it.
 *
 * No ACK leaves while a term waits for the disk: with each greater term the leader's link is closed (LEAVE),
 * and the next one is not taken before it is there (voting_takes_lead).
 */
#include "server/peers/replication_internal.h"
#include "server/store/keyspace.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    TICK_MS = 20,
    PINGS_A_TIMEOUT = 6,
    TRANSFER_WITHIN_MS = 5000,
    LOG_MISSING_FIRST_MS = 3000,
    LOG_MISSING_EVERY_MS = 10000
};

static int64_t now_of(const struct replication *replication) { return loop_monotonic_ms(replication->loop); }

static bool is_active(const struct replication *replication) {
    return replication->voting != NULL && replication->voting->active;
}

/* --- The disk --- */

void voting_kept(struct replication *replication) {
    struct voting *voting = replication->voting;
    bool vote = voting->keeps_vote, formed = voting->keeps_formed;
    voting->keeps_vote = voting->keeps_formed = false;
    if (vote) {
        election_kept(&voting->election, now_of(replication));
    }
    if (formed) {
        forming_done(&voting->forming, now_of(replication));
    }
    voting_run(replication);
}

/* --- What an election asks for --- */

/* An election reads like a story. */
static void log_phase(struct replication *replication) {
    struct voting *voting = replication->voting;
    const struct election *election = &voting->election;
    bool same = election->phase == voting->logged_phase && election->kept.number == voting->logged_number;
    if (same || !voting->active) {
        return;
    }
    voting->logged_phase = election->phase;
    voting->logged_number = election->kept.number;
    log_write(replication->config.log, LOG_INFO, "election",
              "phase=%s term=%llu voted_for=%s leader=%s silent_ms=%lld index=%llu",
              election_phase_name(election->phase), (unsigned long long)election->kept.number,
              election->kept.voted_for[0] == '\0' ? "-" : election->kept.voted_for,
              election->leader[0] == '\0' ? "-" : election->leader,
              (long long)(now_of(replication) - election->heard_ms),
              (unsigned long long)history_index(replication->config.history));
}

static void note_reason(struct replication *replication, const char *reason) {
    snprintf(replication->voting->reason, sizeof(replication->voting->reason), "%.63s", reason);
    replication->voting->changed_ms = now_of(replication);
}

static void begin_leading(struct replication *replication, uint64_t number) {
    struct voting *voting = replication->voting;
    struct history *history = replication->config.history;
    replication_begin_leader(replication);
    leader_elected(&replication->leader, number);
    commit_begin(&voting->commit, replication->follower.node_id, history_voters(history),
                 history_index(history));
    if (history_voters_index(history) == 0) { /* that the set was formed stands in no line yet */
        const struct voters first = *history_voters(history);
        history_write_voters(history, &first);
    }
    voting->voters_index = history_voters_index(history);
    voting->elections++;
    voting->ping_at_ms = 0;
    voting->to_remove[0] = '\0';
    voting->disk_moved_ms = now_of(replication);
    note_reason(replication, "this node was elected");
    replication_leader_moved(replication);
    replication_dial_group(replication);
}

static void stop_leading(struct replication *replication, const char *reason) {
    bool by_itself = replication->voting->hand_over.phase == HAND_OVER_SAID;
    note_reason(replication, reason);
    log_write(replication->config.log, by_itself ? LOG_INFO : LOG_WARN, "deposed", "term=%llu text=%s",
              (unsigned long long)replication->voting->election.kept.number, log_quote(reason));
    replication_stop_leading(replication);
}

static void run_election(struct replication *replication) {
    struct voting *voting = replication->voting;
    struct election_action action;
    while (election_next(&voting->election, &action)) {
        switch (action.type) {
        case ELECTION_SEND:
            control_say(replication, action.to, slice_from_text(action.text));
            break;
        case ELECTION_KEEP:
            voting->kept.vote = action.kept;
            voting->keeps_vote = true;
            replication->config.keep(replication->config.context, &voting->kept);
            break;
        case ELECTION_LEAVE:
            inbound_leave_leader(replication);
            break;
        case ELECTION_LEAD:
            begin_leading(replication, action.kept.number);
            break;
        case ELECTION_STOP:
            stop_leading(replication, action.text);
            break;
        }
    }
}

/* --- Forming --- */

static void begin_history(struct replication *replication, const struct forming_kept *formed) {
    struct voting *voting = replication->voting;
    struct history *history = replication->config.history;
    if (history_id(history) != formed->history_id) {
        history_restart(history, formed->history_id, 0, NULL);
        history_note_voters(history, &formed->voters);
    }
    voting->election.proposes = formed->proposer;
    log_write(replication->config.log, LOG_INFO, "voters-formed", "history=%016llx voters=%zu proposer=%s",
              (unsigned long long)formed->history_id, formed->voters.count,
              formed->proposer ? "true" : "false");
    if (formed->proposer) {
        election_ask_now(&voting->election, now_of(replication));
    }
}

static void drop_history(struct replication *replication) {
    history_restart(replication->config.history, 0, 0, NULL);
    log_write(replication->config.log, LOG_WARN, "voters-withdrawn",
              "text=\"who proposed this group's voters has taken it back\"");
}

static void run_forming(struct replication *replication) {
    struct voting *voting = replication->voting;
    struct forming_action action;
    while (forming_next(&voting->forming, &action)) {
        switch (action.type) {
        case FORMING_SEND:
            control_say(replication, action.to, slice_from_text(action.text));
            break;
        case FORMING_KEEP:
            if (action.text[0] != '\0') {
                log_write(replication->config.log, LOG_WARN, "voters-not-formed", "text=%s",
                          log_quote(action.text));
            }
            voting->kept.formed = action.kept;
            voting->keeps_formed = true;
            replication->config.keep(replication->config.context, &voting->kept);
            break;
        case FORMING_BEGIN:
            begin_history(replication, &action.kept);
            break;
        case FORMING_DROP:
            drop_history(replication);
            break;
        }
    }
}

/* An empty history is none to others: it may be withdrawn. */
static uint64_t shown_history_id(const struct replication *replication) {
    const struct history *history = replication->config.history;
    return history_index(history) > 0 ? history_id(history) : 0;
}

/* Others are told when what is said in VOTER is another than before. */
static void tell_others(struct replication *replication) {
    struct voting *voting = replication->voting;
    uint64_t id = shown_history_id(replication), agreed_id = forming_id(&voting->forming);
    if (id == voting->told_history_id && agreed_id == voting->told_forming_id) {
        return;
    }
    struct buf line;
    buf_init(&line, LIMIT_LINE_BYTES);
    voting->told_history_id = id;
    voting->told_forming_id = agreed_id;
    voting_greet(replication, &line);
    control_say_to_all(replication, buf_slice(&line));
    buf_deinit(&line);
}

/* Between two ticks, too: those that ask a moment apart are not to ask at once. */
static void ask_in_time(struct replication *replication) {
    struct voting *voting = replication->voting;
    struct ev_loop *ev = loop_ev(replication->loop);
    int64_t left_ms = voting->election.ask_at_ms - now_of(replication);
    if (voting->election.phase != ELECTION_LEADING && left_ms < TICK_MS) {
        ev_timer_stop(ev, &voting->ask);
        ev_timer_set(&voting->ask, left_ms > 0 ? (double)left_ms / 1e3 : 0, 0);
        ev_timer_start(ev, &voting->ask);
    }
}

static void on_ask(struct ev_loop *ev, ev_timer *timer, int events) {
    (void)ev, (void)events;
    struct replication *replication = timer->data;
    if (is_active(replication) && !replication->stopping) {
        election_tick(&replication->voting->election, now_of(replication));
        voting_run(replication);
        control_flush(replication);
    }
}

void voting_run(struct replication *replication) {
    if (!is_active(replication)) {
        return;
    }
    run_forming(replication);
    run_election(replication);
    log_phase(replication);
    ask_in_time(replication);
}

/* Who waits for others is to know how many are missing. */
static void log_missing(struct replication *replication) {
    struct voting *voting = replication->voting;
    const struct forming *forming = &voting->forming;
    if (forming->phase != FORMING_WAITING || replication->config.voters == 0 ||
        now_of(replication) < voting->log_missing_ms) {
        return;
    }
    voting->log_missing_ms = now_of(replication) + LOG_MISSING_EVERY_MS;
    size_t same = 1, others = 0;
    for (size_t i = 0; i < forming->neighbour_count; i++) {
        const struct forming_neighbour *neighbour = &forming->neighbours[i];
        bool wants_the_same = neighbour->wanted == forming->wanted && neighbour->history_id == 0;
        same += neighbour->here && wants_the_same;
        others += neighbour->here && !wants_the_same;
    }
    log_write(replication->config.log, LOG_INFO, "voters-awaited",
              "wanted=%zu here=%zu others=%zu text=\"here: nodes that want as many, others: that want another "
              "number, or have a history\"",
              forming->wanted, same, others);
}

static void end_forming(struct replication *replication) {
    if (history_index(replication->config.history) > 0) {
        forming_end(&replication->voting->forming, history_id(replication->config.history),
                    now_of(replication));
    }
}

/* --- Activity --- */

/* Where the history names voters, this node goes by their rules; so does who wants to be one. */
static void follow_history(struct replication *replication) {
    struct voting *voting = replication->voting;
    bool votes = replication->config.voters > 0 || history_voters(replication->config.history)->count > 0;
    if (!votes || voting->active) {
        return;
    }
    voting->active = replication->follower.votes = true;
    inbound_leave_leader(replication); /* it comes again, and is asked for its term */
}

static bool is_voter(const struct replication *replication, const char *node_id) {
    const struct history *history = replication->config.history;
    return voters_find(history_voters(history), node_id) >= 0 ||
           voters_find(history_voters_before(history), node_id) >= 0;
}

/* With whom this node keeps a connection: voters with voters; and as long as there are none, all that may form
 * a set with all others. */
static bool is_peer(const struct replication *replication, const char *node_id) {
    if (history_voters(replication->config.history)->count == 0) {
        return replication->config.voters > 0;
    }
    return is_voter(replication, node_id) &&
           (is_voter(replication, replication->follower.node_id) || replication->role == REPLICATION_LEADER);
}

static void choose_peers(struct replication *replication) {
    const struct membership *membership = replication->config.membership;
    for (size_t i = 0; i < membership_count(membership); i++) {
        const struct member *member = membership_at(membership, i);
        if (!member->self && member->alive && member->group == replication->follower.group &&
            is_peer(replication, member->id)) {
            control_aim(replication, member);
        }
    }
    control_keep_only(replication, is_peer);
}

/* Voters are found again at the next start without being heard. */
static void keep_peers(struct replication *replication) {
    struct voting *voting = replication->voting;
    struct journal_peers peers = {0};
    struct member member;
    for (size_t i = 0; control_at(replication, i, &member) && peers.count < VOTERS_MOST; i++) {
        if (is_voter(replication, member.id)) {
            struct journal_peer *peer = &peers.all[peers.count++];
            memcpy(peer->node_id, member.id, sizeof(peer->node_id));
            memcpy(peer->host, member.host, sizeof(peer->host));
            peer->port = member.port;
        }
    }
    bool same = peers.count == voting->peers.count;
    for (size_t i = 0; same && i < peers.count; i++) {
        const struct journal_peer *a = &peers.all[i], *b = &voting->peers.all[i];
        same = strcmp(a->node_id, b->node_id) == 0 && strcmp(a->host, b->host) == 0 && a->port == b->port;
    }
    if (!same && peers.count > 0) {
        voting->peers = peers;
        replication->config.keep_peers(replication->config.context, peers.all, peers.count);
    }
}

static void aim_at_kept(struct replication *replication) {
    struct journal_peers *peers = &replication->voting->peers;
    peers->count = replication->config.peers(replication->config.context, peers->all);
    for (size_t i = 0; i < peers->count; i++) {
        const struct journal_peer *peer = &peers->all[i];
        struct member member = {.port = peer->port, .group = replication->follower.group};
        memcpy(member.id, peer->node_id, sizeof(member.id));
        memcpy(member.host, peer->host, sizeof(member.host));
        control_aim(replication, &member);
    }
}

/* --- Leading --- */

static void ping(struct replication *replication) {
    struct voting *voting = replication->voting;
    struct buf line;
    buf_init(&line, LIMIT_LINE_BYTES);
    line_ping_round(&line, history_index(replication->config.history), voting->commit.asked);
    control_say_to_all(replication, buf_slice(&line));
    buf_deinit(&line);
    voting->ping_at_ms = now_of(replication) + replication->config.election_timeout_ms / PINGS_A_TIMEOUT;
}

/* One round is under way at a time: what runs meanwhile shares the next one. */
static void begin_round(struct replication *replication) {
    struct voting *voting = replication->voting;
    if (voting->round_wanted && !commit_is_asking(&voting->commit)) {
        voting->round_wanted = false;
        commit_ask(&voting->commit);
        ping(replication);
    }
}

static void lead_on(struct replication *replication) {
    struct voting *voting = replication->voting;
    const struct history *history = replication->config.history;
    if (history_voters_index(history) != voting->voters_index) {
        voting->voters_index = history_voters_index(history);
        commit_set_voters(&voting->commit, history_voters(history));
    }
    commit_durable(&voting->commit, replication->follower.node_id, replication->follower.durable_index);
    replication->leader.committed_index = voting->commit.index;
    voters_go_on(replication);
    begin_round(replication);
    if (now_of(replication) >= voting->ping_at_ms) {
        ping(replication);
    }
}

/* Once an iteration, when the disk has said what is on it, and before the fence is raised. */
static void on_commit(void *context) {
    struct replication *replication = context;
    struct voting *voting = replication->voting;
    if (!replication->started) {
        return;
    }
    follow_history(replication);
    if (!voting->active) {
        return;
    }
    replication->follower.durable_index = replication->config.durable(replication->config.context);
    if (replication_leads(replication)) {
        lead_on(replication);
    } else {
        inbound_acknowledge(replication);
    }
    hand_over_go_on(replication);
    control_flush(replication);
}

bool replication_quorum(const struct replication *replication, struct replication_quorum *out) {
    if (!is_active(replication) || replication->role != REPLICATION_LEADER) {
        return false;
    }
    const struct commit *commit = &replication->voting->commit;
    *out = (struct replication_quorum){.committed_index = commit->index, .round = commit->round};
    return true;
}

uint64_t replication_elected_term(const struct replication *replication) {
    bool leads = is_active(replication) && replication_leads(replication);
    return leads ? replication->voting->election.kept.number : 0;
}

uint64_t replication_ask_round(struct replication *replication) {
    replication->voting->round_wanted = true;
    return replication->voting->commit.asked + 1;
}

/* --- Events --- */

void voting_greet(const struct replication *replication, struct buf *out) {
    const struct voting *voting = replication->voting;
    line_voter(out, replication->follower.node_id, replication->follower.group,
               voting == NULL ? 0 : replication->config.voters, shown_history_id(replication),
               voting == NULL ? 0 : forming_id(&voting->forming));
}

/* Who leads this node's term, and is followed, is told that it is heard. */
static void echo(struct replication *replication, const char *from, const struct line *ping_line) {
    struct voting *voting = replication->voting;
    bool links = replication->follower.leader_link != NULL && strcmp(voting->election.leader, from) == 0;
    if (!links || !election_is_settled(&voting->election)) {
        return;
    }
    struct buf line;
    buf_init(&line, LIMIT_LINE_BYTES);
    election_heard(&voting->election, now_of(replication));
    line_ack_round(&line, 0, 0, ping_line->count);
    control_say(replication, from, buf_slice(&line));
    buf_deinit(&line);
}

static void asked_to_hand_over(struct replication *replication, const char *from) {
    const char *reason = replication_hand_over(replication, from, TRANSFER_WITHIN_MS);
    if (reason != NULL) {
        log_write(replication->config.log, LOG_WARN, "hand-over-refused", "node=%s text=%s", from,
                  log_quote(reason));
    }
}

const char *replication_take_over(struct replication *replication, bool by_force) {
    if (!is_active(replication) || replication_leads(replication)) {
        return replication_leads(replication) ? "this node leads already"
                                              : "this group does not elect its leader";
    }
    struct election *election = &replication->voting->election;
    if (voters_find(history_voters(replication->config.history), replication->follower.node_id) < 0) {
        return "this node is not a voter";
    }
    if (by_force) {
        if (!election_stand_now(election, now_of(replication))) {
            return "this node cannot lead now: a state is on its way to it, or it stands already";
        }
        voting_run(replication);
        return NULL;
    }
    if (election->leader[0] == '\0' || !control_stands(replication, election->leader)) {
        return "the leader cannot be reached: FORCE asks the other voters alone";
    }
    struct buf line;
    buf_init(&line, LIMIT_LINE_BYTES);
    line_transfer(&line, replication->follower.node_id);
    control_say(replication, election->leader, buf_slice(&line));
    buf_deinit(&line);
    return NULL;
}

void voting_line(struct replication *replication, const char *from, const struct line *line) {
    struct voting *voting = replication->voting;
    int64_t now_ms = now_of(replication);
    if (!is_active(replication)) {
        return;
    }
    switch (line->verb) {
    case LINE_VOTER:
        forming_peer(&voting->forming, from, line, now_ms);
        break;
    case LINE_FORM:
    case LINE_FORMED:
    case LINE_UNFORM:
        forming_line(&voting->forming, from, line, now_ms);
        break;
    case LINE_PING:
        echo(replication, from, line);
        break;
    case LINE_ACK:
        if (replication_leads(replication)) {
            election_echo(&voting->election, from, now_ms);
            commit_echo(&voting->commit, from, line->round);
        }
        break;
    case LINE_TRANSFER:
        asked_to_hand_over(replication, from);
        break;
    default:
        election_line(&voting->election, from, line, now_ms);
    }
    voting_run(replication);
}

void voting_linked(struct replication *replication, const char *node_id) {
    if (is_active(replication)) {
        election_linked(&replication->voting->election, node_id);
        voting_run(replication);
    }
}

void voting_gone(struct replication *replication, const char *node_id) {
    if (is_active(replication)) {
        log_write(replication->config.log, LOG_INFO, "voter-gone",
                  "node=%s text=\"nobody listens there any more\"", node_id);
        election_gone(&replication->voting->election, node_id, now_of(replication));
    }
}

void voting_unlinked(struct replication *replication, const char *node_id) {
    if (is_active(replication)) {
        forming_peer_gone(&replication->voting->forming, node_id);
    }
}

enum voting_verdict voting_takes_lead(struct replication *replication, const struct follower_link *link) {
    struct voting *voting = replication->voting;
    struct election *election = &voting->election;
    const struct position *from = &link->leads_from;
    bool known = strcmp(election->leader, link->peer_id) == 0 && election->kept.number == from->term.number;
    bool taken = known || election_take_lead(election, link->peer_id, from, now_of(replication));
    voting_run(replication);
    return !taken ? VOTING_NO : election_is_settled(election) ? VOTING_YES : VOTING_LATER;
}

void voting_heard(struct replication *replication, const struct follower_link *link) {
    struct voting *voting = replication->voting;
    if (!is_active(replication) || replication->follower.leader_link != link) {
        return;
    }
    voting->election.arriving = link->phase == FOLLOWER_FULL;
    if (strcmp(voting->election.leader, link->peer_id) == 0) {
        election_heard(&voting->election, now_of(replication));
    }
    if (link->phase == FOLLOWER_STREAM && voting->election.kept.forgetful) {
        election_durable(&voting->election, replication->follower.durable_index);
        voting_run(replication);
    }
}

void voting_acknowledged(struct replication *replication, const struct leader_link *link) {
    if (is_active(replication) && link->phase == LEADER_LINK_STREAM && link->last_ack_ms >= 0) {
        commit_durable(&replication->voting->commit, link->node_id, link->durable_index);
    }
}

/* --- Time --- */

static void on_tick(struct ev_loop *ev, ev_timer *timer, int events) {
    (void)ev, (void)events;
    struct replication *replication = timer->data;
    struct voting *voting = replication->voting;
    if (!is_active(replication) || !replication->started || replication->stopping) {
        return;
    }
    /* "If it breaks off, memory is thrown away and the journal read again." */
    bool links = replication->follower.leader_link != NULL;
    voting->election.arriving &= links;
    if (!links && replication->follower.overlaid_by != 0 && !replication_leads(replication)) {
        replication->config.on_broken(replication->config.context);
        replication->follower.overlaid_by = 0;
    }
    choose_peers(replication);
    keep_peers(replication);
    control_tick(replication);
    end_forming(replication);
    if (replication->role == REPLICATION_LEADER) {
        hand_over_watch_disk(replication);
    }
    log_missing(replication);
    forming_tick(&voting->forming, now_of(replication), loop_now_ms(replication->loop));
    election_tick(&voting->election, now_of(replication));
    voting_run(replication);
    tell_others(replication);
    control_flush(replication);
}

/* --- Life --- */

bool voting_create(struct replication *replication) {
    struct voting *voting = calloc(1, sizeof(*voting));
    replication->voting = voting;
    if (voting == NULL) {
        return false;
    }
    voting->commit_hook = (struct loop_hook){.run = on_commit, .context = replication};
    loop_add_hook(replication->loop, LOOP_COMMIT, &voting->commit_hook);
    ev_timer_init(&voting->tick, on_tick, TICK_MS / 1e3, TICK_MS / 1e3);
    ev_timer_init(&voting->ask, on_ask, 0, 0);
    voting->tick.data = voting->ask.data = replication;
    return true;
}

void voting_start(struct replication *replication, const struct voting_kept *kept) {
    struct voting *voting = replication->voting;
    const struct history *history = replication->config.history;
    uint64_t newest = lineage_last(history_lineage(history))->number;
    voting->kept = *kept;
    voting->kept.vote.number = kept->vote.number > newest ? kept->vote.number : newest;
    if (kept->vote.number < newest) {
        voting->kept.vote.voted_for[0] = '\0';
    }
    int64_t now_ms = now_of(replication);
    election_init(&voting->election, replication->follower.node_id, replication->follower.group,
                  replication->config.election_timeout_ms, history, &voting->kept.vote,
                  replication->random_state, now_ms);
    forming_init(&voting->forming, replication->follower.node_id, replication->follower.group,
                 replication->config.voters, &voting->kept.formed, replication->follower.random, now_ms);
    end_forming(replication);
    ev_timer_start(loop_ev(replication->loop), &voting->tick);
    voting->log_missing_ms = now_ms + LOG_MISSING_FIRST_MS;
    aim_at_kept(replication);
    follow_history(replication);
    voting_run(replication);
}

void voting_destroy(struct replication *replication) {
    struct voting *voting = replication->voting;
    control_close_all(replication);
    if (voting == NULL) {
        return;
    }
    ev_timer_stop(loop_ev(replication->loop), &voting->tick);
    ev_timer_stop(loop_ev(replication->loop), &voting->ask);
    loop_remove_hook(replication->loop, &voting->commit_hook);
    free(voting);
    replication->voting = NULL;
}
