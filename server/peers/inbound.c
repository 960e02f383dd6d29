/* Accepted connections on the replication port: a leader's link, a peer that knows only the specification, or a
 * node that asks WHO. cluster/follower.h decides; here is its socket. */
#include "server/net/socket.h"
#include "server/peers/replication_internal.h"
#include "server/store/keyspace.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int64_t now_of(const struct inbound *inbound) { return loop_monotonic_ms(inbound->replication->loop); }

static void log_link(const struct inbound *inbound, enum log_level level, const char *event, const char *text) {
    log_write(inbound->replication->config.log, level, event, "peer=%s leader=%s text=%s",
              conn_peer(inbound->conn), inbound->link.peer_id[0] != '\0' ? inbound->link.peer_id : "-",
              log_quote(text));
}

static void send_facts(struct inbound *inbound) {
    const struct member *self = membership_self(inbound->replication->config.membership);
    static const enum datagram_verb verbs[] = {DATAGRAM_ANNOUNCE, DATAGRAM_ENDPOINTS, DATAGRAM_UPTIME};
    struct datagram datagram;
    struct buf *out = conn_out(inbound->conn);
    char text[LIMIT_DATAGRAM_BYTES];
    membership_describe(self, &datagram);
    datagram.index = replication_index(inbound->replication);
    datagram.uptime_ms = membership_uptime_ms(inbound->replication->config.membership, now_of(inbound));
    for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
        datagram.verb = verbs[i];
        buf_append(out, text, datagram_encode(&datagram, text));
        buf_append_byte(out, '\n');
    }
}

/* --- The answer to PULL --- */

/* Each adds to the output about so much; true: that was all. */
static bool add_state(struct inbound *inbound, struct buf *out) {
    size_t until = buf_used(out) + REPLICATION_FILL_BYTES;
    do {
        inbound->state_cursor = replicated_store_scan(inbound->replication->config.keyspace,
                                                      inbound->state_cursor, false, out, &inbound->state_count);
    } while (inbound->state_cursor != 0 && buf_used(out) < until);
    return inbound->state_cursor == 0;
}

static bool add_tail(struct inbound *inbound, struct buf *out) {
    const struct history *history = inbound->replication->config.history;
    struct slice lines;
    uint64_t last;
    if (!history_read(history, &inbound->tail, &lines, &last)) {
        conn_drain(inbound->conn, CLOSE_FELL_BEHIND);
        inbound->sending_state = false;
        return false;
    }
    lines = history_first_lines(lines, REPLICATION_FILL_BYTES); /* an ACK may come between */
    buf_append_slice(out, lines);
    history_advance(history, &inbound->tail, lines.len);
    return lines.len == 0;
}

static bool state_step(void *context) {
    struct inbound *inbound = context;
    struct buf *out = conn_out(inbound->conn);
    if (buf_used(out) >= CONN_OUT_LOW_BYTES) {
        conn_want_room(inbound->conn);
        return false;
    }
    if (inbound->link.pulled.tail ? add_tail(inbound, out) : add_state(inbound, out)) {
        line_end(out, inbound->state_count, follower_state_position(&inbound->replication->follower).index);
        inbound->sending_state = false;
    }
    conn_flush(inbound->conn);
    return inbound->sending_state;
}

static void begin_state(struct inbound *inbound) {
    struct replication *replication = inbound->replication;
    const struct follower_pulled *pulled = &inbound->link.pulled;
    struct position position = follower_state_position(&replication->follower);
    uint64_t floor = keyspace_floor(replication->config.keyspace);
    struct buf *out = conn_out(inbound->conn);
    inbound->state_cursor = inbound->state_count = 0;
    inbound->sending_state = true;
    if (pulled->tail) {
        history_open(replication->config.history, &inbound->tail, pulled->index);
        line_continue(out, position.history_id, pulled->index);
    } else {
        line_full(out, position.history_id, position.index, floor, &position.term);
        follower_write_state_context(&replication->follower, out);
    }
    task_start(replication->loop, &inbound->state_task);
    log_link(inbound, LOG_INFO, "state-asked",
             pulled->tail ? "the leader takes from this node what it lacks at the end of the history"
                          : "the leader takes the state back from this node");
}

/* --- Lines --- */

/* A link that is the leader's from now on takes the place of another one. */
static void leader_link_changed(struct inbound *inbound, struct follower_link *before) {
    struct replication *replication = inbound->replication;
    if (replication->follower.leader_link != &inbound->link || before == &inbound->link) {
        return;
    }
    for (struct inbound *other = replication->inbounds; before != NULL && other != NULL; other = other->next) {
        if (&other->link == before) {
            conn_close(other->conn, CLOSE_SUPERSEDED);
            break;
        }
    }
    replication->link_down_since_ms = 0;
    log_link(inbound, LOG_INFO, "leader-link-up", "this node follows it");
    replication->config.on_leader(replication->config.context);
}

/* Why a link ends: what was said to the peer, else what it said itself. */
static void log_refusal(const struct inbound *inbound, struct slice said, struct slice line) {
    const struct slice error = SLICE("ERROR|");
    struct slice reason = said.len > error.len ? slice_first(said, said.len - 1) : line;
    if (reason.len >= error.len && slice_equals(slice_first(reason, error.len), error)) {
        reason = slice_skip(reason, error.len);
    }
    char text[256];
    snprintf(text, sizeof(text), "%.*s", (int)(reason.len < sizeof(text) ? reason.len : sizeof(text) - 1),
             reason.ptr);
    log_link(inbound, LOG_WARN, said.len > 0 ? "peer-refused" : "refused-by-peer", text);
}

/* The link ends with what was said since, or with line if nothing was. It is drained, never closed at once:
 * inbound is still there when on_input goes on behind its lines. */
static void end_refused(struct inbound *inbound, size_t said, struct slice line) {
    log_refusal(inbound, slice_skip(buf_slice(conn_out(inbound->conn)), said), line);
    conn_drain(inbound->conn, CLOSE_PROTOCOL);
}

/* Said once a link. */
static void log_unknown(const struct inbound *inbound, struct slice line) {
    char text[96];
    snprintf(text, sizeof(text), "the leader's history has lines that this node does not know: %.*s",
             (int)(line.len < 16 ? line.len : 16), line.ptr);
    log_link(inbound, LOG_WARN, "unknown-line", text);
}

/* Over a connection on which it has proved who it is. */
static void take_vote(struct inbound *inbound, const struct line *line) {
    struct replication *replication = inbound->replication;
    if (line->verb == LINE_VOTER && strcmp(line->node_id, inbound->link.peer_id) == 0) {
        control_accepted(replication, inbound->link.peer_id, inbound->conn);
        voting_greet(replication, conn_out(inbound->conn));
    }
    voting_line(replication, inbound->link.peer_id, line);
}

/* False: no more lines now. */
static bool obey(struct inbound *inbound, enum follower_verdict verdict, const struct line *line) {
    struct replication *replication = inbound->replication;
    switch (verdict) {
    case FOLLOWER_FACTS:
        send_facts(inbound);
        return true;
    case FOLLOWER_MESSAGE:
        replication->config.on_message(replication->config.context, line->key, line->value);
        return true;
    case FOLLOWER_SEND_STATE:
        begin_state(inbound);
        return true;
    case FOLLOWER_PROVE: {
        const struct member *member = membership_find(replication->config.membership, inbound->link.peer_id);
        struct member voter;
        conn_pause(inbound->conn);
        if (member == NULL && control_address(replication, inbound->link.peer_id, &voter)) {
            member = &voter; /* not heard yet, but it is known where it was */
        }
        if (member != NULL) {
            proof_ask(replication, member);
        }
        return false;
    }
    case FOLLOWER_GO_ON:
        return true;
    case FOLLOWER_VOTING:
        take_vote(inbound, line);
        return !conn_closed(inbound->conn);
    case FOLLOWER_CLOSE:
    case FOLLOWER_STEP_DOWN: /* answers to a proof only */
    case FOLLOWER_ELECT:
        break;
    }
    return false;
}

static bool on_line(void *context, struct slice bytes) {
    struct inbound *inbound = context;
    struct replication *replication = inbound->replication;
    struct buf *out = conn_out(inbound->conn);
    size_t said = buf_used(out);
    struct line line;
    uint64_t unknown = inbound->link.unknown;
    enum follower_verdict verdict = follower_link_line(&inbound->link, &replication->follower, bytes,
                                                       now_of(inbound), &replication->scratch, &line, out);
    if (unknown == 0 && inbound->link.unknown > 0) {
        log_unknown(inbound, bytes);
    }
    if (verdict == FOLLOWER_CLOSE) {
        end_refused(inbound, said, bytes);
    }
    return obey(inbound, verdict, &line);
}

/* ELECT: not yet. */
static enum follower_verdict ask_election(struct inbound *inbound, const struct datagram *announce) {
    struct replication *replication = inbound->replication;
    struct buf *out = conn_out(inbound->conn);
    char reason[96];
    switch (voting_takes_lead(replication, &inbound->link)) {
    case VOTING_YES:
        inbound->link.is_elected = true;
        return follower_link_proof(&inbound->link, &replication->follower, announce, now_of(inbound), out);
    case VOTING_LATER:
        inbound->awaits_term = true;
        inbound->announce = *announce;
        return FOLLOWER_ELECT;
    case VOTING_NO:
        break;
    }
    snprintf(reason, sizeof(reason), "node %s was not elected, or another one was since",
             inbound->link.peer_id);
    line_error(out, reason);
    return FOLLOWER_CLOSE;
}

/* A node that is starting, and gives way, leaves the link as it is: it is about to end. */
void inbound_proof(struct inbound *inbound, const struct datagram *announce) {
    struct replication *replication = inbound->replication;
    struct follower *follower = &replication->follower;
    struct follower_link *before = follower->leader_link;
    struct buf *out = conn_out(inbound->conn);
    size_t said = buf_used(out);
    enum follower_verdict verdict =
        follower_link_proof(&inbound->link, follower, announce, now_of(inbound), out);
    if (verdict == FOLLOWER_STEP_DOWN) {
        replication_step_down(replication, inbound->link.peer_id, conn_peer(inbound->conn));
        if (replication_leads(replication)) {
            return;
        }
        verdict = follower_link_proof(&inbound->link, follower, announce, now_of(inbound), out);
    }
    if (verdict == FOLLOWER_ELECT) {
        verdict = ask_election(inbound, announce);
    }
    if (verdict == FOLLOWER_ELECT) {
        return; /* inbound_term_kept goes on */
    }
    if (verdict == FOLLOWER_CLOSE) {
        end_refused(inbound, said, SLICE(""));
        return;
    }
    leader_link_changed(inbound, before);
    conn_resume(inbound->conn);
}

static struct inbound *find_awaiting(const struct replication *replication) {
    struct inbound *inbound = replication->inbounds;
    while (inbound != NULL && (!inbound->awaits_term || conn_closed(inbound->conn))) {
        inbound = inbound->next;
    }
    return inbound;
}

void inbound_term_kept(struct replication *replication) {
    const struct election *election = &replication->voting->election;
    struct inbound *inbound;
    /* Each may close others; one that has to wait for more to be kept ends this: it is called again. */
    while (election_is_settled(election) && (inbound = find_awaiting(replication)) != NULL) {
        const struct datagram announce = inbound->announce;
        inbound->awaits_term = false;
        inbound_proof(inbound, &announce);
    }
}

void inbound_leave_leader(struct replication *replication) {
    for (struct inbound *inbound = replication->inbounds; inbound != NULL; inbound = inbound->next) {
        if (&inbound->link == replication->follower.leader_link) {
            conn_close(inbound->conn, CLOSE_OTHER_TERM);
            return;
        }
    }
}

void inbound_acknowledge(struct replication *replication) {
    struct follower *follower = &replication->follower;
    for (struct inbound *inbound = replication->inbounds; inbound != NULL; inbound = inbound->next) {
        if (&inbound->link == follower->leader_link && follower->durable_index > inbound->link.acked_durable) {
            follower_link_ack(&inbound->link, follower, now_of(inbound), conn_out(inbound->conn));
            conn_flush(inbound->conn);
            return;
        }
    }
}

static bool tick_link(struct inbound *inbound) {
    struct buf *out = conn_out(inbound->conn);
    size_t said = buf_used(out);
    if (inbound->link.phase != FOLLOWER_PROVING) { /* there it is not this peer that is waited for */
        follower_link_heard(&inbound->link, conn_listening_since_ms(inbound->conn));
    }
    enum follower_verdict verdict =
        follower_link_tick(&inbound->link, &inbound->replication->follower, now_of(inbound), out);
    if (verdict == FOLLOWER_CLOSE && buf_used(out) > said) {
        end_refused(inbound, said, SLICE(""));
    } else if (verdict == FOLLOWER_CLOSE) {
        conn_close(inbound->conn, CLOSE_TIMEOUT);
    }
    return verdict != FOLLOWER_CLOSE;
}

static void take_part(struct inbound *inbound, struct slice part) {
    struct buf *out = conn_out(inbound->conn);
    size_t said = buf_used(out);
    if (follower_link_part(&inbound->link, &inbound->replication->follower, part, now_of(inbound), out) ==
        FOLLOWER_CLOSE) {
        end_refused(inbound, said, SLICE(""));
    }
}

/* Of lines that have come. */
static size_t take_lines(struct conn *conn, struct inbound *inbound, struct slice in) {
    size_t consumed = replication_each_line(conn, in, &inbound->scanned, on_line, inbound);
    follower_link_keep(&inbound->link, &inbound->replication->follower);
    replication_state_moved(inbound->replication);
    if (!conn_closed(conn) && consumed < in.len) {
        take_part(inbound, slice_skip(in, consumed));
    }
    if (!conn_closed(conn)) {
        voting_heard(inbound->replication, &inbound->link);
        tick_link(inbound);
    }
    return consumed;
}

/* --- Lines that come packed ---
 *
 * A few bytes may stand for very many: they are unpacked a part at a time, and its lines taken, before the
 * next. As long as there is more to do, a byte of the input is left, though it is done with (unpacked_ahead):
 * so the conn offers it again in its turn, holds it back while this side's output is full, and forgets nothing
 * when the peer has gone. */

static void refuse_frame(struct inbound *inbound, const char *what) {
    struct buf *out = conn_out(inbound->conn);
    size_t said = buf_used(out);
    char reason[96];
    snprintf(reason, sizeof(reason), "no LZ4 frame that can be read: %s", what);
    follower_link_unreadable(&inbound->replication->follower, reason, out);
    end_refused(inbound, said, SLICE(""));
}

/* Lines are left that had no turn: as take_lines has left them. */
static bool has_lines(const struct inbound *inbound) { return inbound->scanned < buf_used(&inbound->unpacked); }

static void take_unpacked(struct conn *conn, struct inbound *inbound) {
    struct buf *unpacked = &inbound->unpacked;
    follower_link_heard(&inbound->link, now_of(inbound)); /* though it may be no line yet */
    buf_consume(unpacked, take_lines(conn, inbound, buf_slice(unpacked)));
    if (buf_used(unpacked) == 0) {
        buf_deinit(unpacked);
    }
}

static size_t take_packed(struct conn *conn, struct inbound *inbound, struct slice in) {
    size_t taken = inbound->unpacked_ahead;
    enum link_unpacked result = LINK_UNPACKED_PART;
    const char *reason = NULL;
    if (!has_lines(inbound)) {
        size_t n;
        result = link_unpack(&inbound->unpacker, slice_skip(in, taken), &inbound->unpacked, &n, &reason);
        taken += n;
    }
    take_unpacked(conn, inbound);
    if (conn_closed(conn)) {
        return in.len;
    }
    if (result == LINK_UNPACK_BAD) {
        refuse_frame(inbound, reason);
        return in.len;
    }
    bool more = result == LINK_UNPACKED_PART || has_lines(inbound);
    inbound->unpacked_ahead = more && taken == in.len ? 1 : 0;
    if (more) {
        conn_resume(conn);
    }
    return taken - inbound->unpacked_ahead;
}

static size_t on_input(struct conn *conn, void *session, struct slice in) {
    struct inbound *inbound = session;
    return inbound->link.lz4 ? take_packed(conn, inbound, in) : take_lines(conn, inbound, in);
}

static void on_room(struct conn *conn, void *session) {
    (void)conn;
    struct inbound *inbound = session;
    if (inbound->sending_state) {
        task_start(inbound->replication->loop, &inbound->state_task);
    }
}

static void on_close(struct conn *conn, void *session, enum close_reason reason) {
    (void)conn;
    struct inbound *inbound = session;
    struct replication *replication = inbound->replication;
    if (replication->follower.leader_link == &inbound->link) {
        log_link(inbound, LOG_WARN, "leader-link-down", close_reason_text(reason));
        replication->link_down_since_ms = loop_monotonic_ms(replication->loop);
    }
    task_stop(replication->loop, &inbound->state_task);
    history_close(replication->config.history, &inbound->tail);
    link_bytes_add(&replication->packed_in, &inbound->unpacker.bytes);
    link_unpacker_deinit(&inbound->unpacker);
    buf_deinit(&inbound->unpacked);
    follower_link_deinit(&inbound->link, &replication->follower);
    if (inbound->prev != NULL) {
        inbound->prev->next = inbound->next;
    } else {
        replication->inbounds = inbound->next;
    }
    if (inbound->next != NULL) {
        inbound->next->prev = inbound->prev;
    }
    replication->inbound_count--;
    free(inbound);
}

static const struct conn_handler inbound_handler = {
    .replicates = true, .on_input = on_input, .on_room = on_room, .on_close = on_close};

/* The oldest of those that have said nothing yet, or not proved who they are, or of all but the leader's. NULL:
 * there is none. */
static struct inbound *find_oldest(const struct replication *replication, bool silent) {
    struct inbound *oldest = NULL;
    for (struct inbound *inbound = replication->inbounds; inbound != NULL; inbound = inbound->next) {
        bool candidate = silent ? inbound->link.phase == FOLLOWER_NEW || inbound->link.phase == FOLLOWER_PROVING
                                : &inbound->link != replication->follower.leader_link;
        if (candidate && !conn_closed(inbound->conn)) {
            oldest = inbound; /* the newest comes first */
        }
    }
    return oldest;
}

/* Nobody has authenticated: so many silent strangers must not keep the leader out. */
static void make_room(struct replication *replication) {
    struct inbound *oldest = find_oldest(replication, true);
    if (oldest == NULL) {
        oldest = find_oldest(replication, false);
    }
    if (oldest != NULL) {
        log_link(oldest, LOG_WARN, "peer-dropped", "too many connections: the oldest goes");
        conn_close(oldest->conn, CLOSE_TOO_MANY);
    }
}

void inbound_accept(void *context, int fd) {
    struct replication *replication = context;
    if (!replication->started) {
        close(fd); /* it comes again */
        return;
    }
    if (replication->inbound_count >= replication->config.max_accepted) {
        make_room(replication);
    }
    struct inbound *inbound = calloc(1, sizeof(*inbound));
    if (inbound == NULL) {
        close(fd);
        return;
    }
    inbound->replication = replication;
    inbound->state_task = (struct task){.step = state_step, .context = inbound};
    buf_init(&inbound->unpacked, LIMIT_LINE_BYTES + LINK_UNPACK_BYTES);
    inbound->conn = conn_adopt(replication->config.net, fd, &inbound_handler, inbound, LIMIT_LINE_BYTES);
    if (inbound->conn == NULL) {
        free(inbound);
        close(fd);
        return;
    }
    inbound->accepted_ms = loop_monotonic_ms(replication->loop);
    follower_link_init(&inbound->link, inbound->accepted_ms);
    socket_set_keepalive(fd, REPLICATION_KEEPALIVE_S);
    inbound->next = replication->inbounds;
    if (inbound->next != NULL) {
        inbound->next->prev = inbound;
    }
    replication->inbounds = inbound;
    replication->inbound_count++;
}

/* Closing a conn calls on_close, which takes the link out of the list. */
void inbound_tick(struct replication *replication, int64_t now_ms) {
    (void)now_ms;
    for (struct inbound *inbound = replication->inbounds, *next; inbound != NULL; inbound = next) {
        next = inbound->next;
        if (!conn_closed(inbound->conn) && tick_link(inbound)) {
            conn_flush(inbound->conn);
        }
    }
}

void inbound_close_all(struct replication *replication, enum close_reason reason) {
    while (replication->inbounds != NULL) {
        conn_close(replication->inbounds->conn, reason);
    }
}
