/* The links that a leader dials: one to every other node of its group (a node that leads too answers LEAD by
 * the rules for two leaders).
 *
 *   waiting --dial--> connecting --> LEAD ... the decider's phases (cluster/leader.h) --> closed --> waiting, a
 * while longer
 */
#include "server/peers/replication_internal.h"
#include "server/store/keyspace.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEPT_SAID_BYTES = 128 << 10 };

static const struct conn_handler outbound_handler;

static int64_t now_of(const struct outbound *outbound) {
    return loop_monotonic_ms(outbound->replication->loop);
}

static void dial(struct outbound *outbound) {
    outbound->scanned = 0;
    outbound->link.phase = LEADER_LINK_DIALLING;
    outbound->conn = dialler_dial(&outbound->dialler, &outbound_handler, outbound, LIMIT_LINE_BYTES);
}

/* --- What the decider says ---
 *
 * It is said to where begin_saying tells, and goes on its way by end_saying: as it is, or, from the answer to
 * SYNC on if the follower has taken the offer, packed. */

static struct buf *begin_saying(struct outbound *outbound) {
    return outbound->replication->config.lz4 ? &outbound->said : conn_out(outbound->conn);
}

/* A failure closes the conn in its next turn. */
static void pack(struct outbound *outbound, struct slice lines) {
    struct buf *out = conn_out(outbound->conn);
    buf_fail_if(out, !link_pack(&outbound->packer, lines, out));
}

static void end_saying(struct outbound *outbound) {
    struct buf *said = &outbound->said, *out = conn_out(outbound->conn);
    if (!outbound->replication->config.lz4) {
        return;
    }
    buf_fail_if(out, buf_failed(said));
    if (outbound->link.lz4) {
        pack(outbound, buf_slice(said));
    } else {
        buf_append_slice(out, buf_slice(said));
    }
    if (said->capacity > KEPT_SAID_BYTES) {
        buf_deinit(said);
    } else {
        buf_reset(said);
    }
}

/* --- Sending --- */

static void log_caught_up(const struct outbound *outbound) {
    const struct catch_up *catch_up = &outbound->link.catch_up;
    log_write(outbound->replication->config.log, LOG_INFO, "continued-from-disk",
              "node=%s lines=%llu bytes=%llu ms=%lld", outbound->member.id,
              (unsigned long long)(catch_up->index - catch_up->from), (unsigned long long)catch_up->bytes,
              (long long)(now_of(outbound) - catch_up->began_ms));
}

/* How much of the backlog's lines has gone: to the socket itself; packed, to the output, as long as that is
 * short: once for each link, for a frame leans on what its link was sent before. */
static size_t send_lines(struct outbound *outbound, struct slice lines) {
    struct conn *conn = outbound->conn;
    if (!outbound->link.lz4) {
        return lines.len == 0 ? 0 : conn_send_direct(conn, lines.ptr, lines.len);
    }
    if (lines.len > 0 && (conn_output_bytes(conn) >= CONN_OUT_LOW_BYTES || buf_failed(conn_out(conn)))) {
        conn_want_room(conn);
        return 0;
    }
    pack(outbound, lines);
    return lines.len;
}

/* The tail of the history, straight from the backlog, or from what was read of the disk. */
static void send_history(struct outbound *outbound) {
    struct leader_link *link = &outbound->link;
    size_t budget = REPLICATION_SEND_BYTES;
    while (leader_link_sends_lines(link) && budget > 0) {
        enum leader_link_phase before = link->phase;
        struct slice next;
        if (leader_link_peek(link, &outbound->replication->leader, &next) == LEADER_CLOSE) {
            conn_close(outbound->conn, before == LEADER_LINK_STREAM ? CLOSE_FELL_BEHIND : CLOSE_NOT_READ);
            return;
        }
        next = slice_first(next, link->lz4 && budget > LINK_PACK_BYTES ? LINK_PACK_BYTES : budget);
        size_t sent = send_lines(outbound, next);
        if (sent == 0) {
            return;
        }
        leader_link_sent(link, &outbound->replication->leader, sent, now_of(outbound));
        budget -= sent;
        if (link->phase != before) {
            log_caught_up(outbound);
        }
    }
    if (budget == 0) { /* the rest in the next iteration, whatever else happens */
        conn_want_room(outbound->conn);
    }
}

/* After any event of the link: what its phase asks of the driver. */
static void follow_phase(struct outbound *outbound) {
    if (outbound->conn != NULL && outbound->link.phase == LEADER_LINK_STATE &&
        !task_active(&outbound->fill_task)) {
        task_start(outbound->replication->loop, &outbound->fill_task);
    }
}

static void log_phase(const struct outbound *outbound) {
    log_write(outbound->replication->config.log, LOG_INFO, "follower-link", "node=%s state=%s index=%llu",
              outbound->member.id, leader_link_state(&outbound->link),
              (unsigned long long)outbound->link.position.index);
}

/* SEEK is over as soon as what is looked for is found, or is not. */
static void seek(struct outbound *outbound) {
    if (outbound->link.phase != LEADER_LINK_SEEK) {
        return;
    }
    if (leader_link_fill(&outbound->link, &outbound->replication->leader, begin_saying(outbound),
                         REPLICATION_FILL_BYTES) == LEADER_CLOSE) {
        conn_close(outbound->conn, CLOSE_FELL_BEHIND);
        return;
    }
    end_saying(outbound);
    if (outbound->link.phase == LEADER_LINK_STATE) {
        log_phase(outbound);
    }
    conn_flush(outbound->conn);
    follow_phase(outbound);
}

/* The same; of a node that stops, a link that has all of it ends. */
static void send_on(struct outbound *outbound) {
    struct slice next;
    seek(outbound);
    if (outbound->conn == NULL) {
        return;
    }
    send_history(outbound);
    if (outbound->conn != NULL && outbound->link.lz4) {
        conn_flush(outbound->conn);
    }
    if (!outbound->replication->stopping || outbound->conn == NULL) {
        return;
    }
    if (outbound->link.phase != LEADER_LINK_STREAM ||
        leader_link_peek(&outbound->link, &outbound->replication->leader, &next) == LEADER_CLOSE ||
        next.len == 0) {
        conn_drain(outbound->conn, CLOSE_SHUTDOWN);
    }
}

static bool fill_step(void *context) {
    struct outbound *outbound = context;
    struct buf *out = conn_out(outbound->conn);
    if (outbound->link.phase != LEADER_LINK_STATE) {
        return false;
    }
    if (buf_used(out) >= CONN_OUT_LOW_BYTES) {
        conn_want_room(outbound->conn);
        return false;
    }
    struct buf *said = begin_saying(outbound);
    if (leader_link_fill(&outbound->link, &outbound->replication->leader, said,
                         buf_used(said) + REPLICATION_FILL_BYTES) == LEADER_CLOSE) {
        conn_close(outbound->conn, CLOSE_FELL_BEHIND);
        return false;
    }
    end_saying(outbound);
    conn_flush(outbound->conn);
    bool more = outbound->conn != NULL && outbound->link.phase == LEADER_LINK_STATE;
    if (outbound->conn != NULL && !more) {
        log_write(outbound->replication->config.log, LOG_INFO, "state-sent", "node=%s keys=%llu index=%llu",
                  outbound->member.id, (unsigned long long)outbound->link.scan_count,
                  (unsigned long long)history_index(outbound->replication->config.history));
    }
    return more;
}

/* --- Events of the conn --- */

static void on_connected(struct conn *conn, void *session) {
    struct outbound *outbound = session;
    dialler_connected(&outbound->dialler, conn);
    outbound->connected = true;
    leader_link_open(&outbound->link, &outbound->replication->leader, outbound->member.id,
                     outbound->knows_sync || outbound->member.has_endpoints, now_of(outbound),
                     begin_saying(outbound));
    end_saying(outbound);
    conn_flush(conn);
}

/* "it first takes from such a follower the keys it lacks, says so in the log" */
static void log_taken(const struct outbound *outbound) {
    const struct log *log = outbound->replication->config.log;
    if (outbound->link.take_adopts) {
        log_write(log, LOG_WARN, "keys-adopted",
                  "node=%s keys=%llu text=\"this node had begun without them; what it has itself stays\"",
                  outbound->member.id, (unsigned long long)outbound->adopted);
    } else {
        log_write(log, LOG_INFO, "state-taken", "node=%s keys=%llu", outbound->member.id,
                  (unsigned long long)keyspace_count(outbound->replication->config.keyspace));
    }
}

static bool on_line(void *context, struct slice bytes) {
    struct outbound *outbound = context;
    struct replication *replication = outbound->replication;
    enum leader_phase before = replication->leader.phase;
    enum leader_link_phase phase = outbound->link.phase;
    uint64_t adopted = replication->leader.adopted;
    enum leader_verdict verdict =
        leader_link_line(&outbound->link, &replication->leader, bytes, now_of(outbound), &replication->scratch,
                         begin_saying(outbound));
    end_saying(outbound);
    outbound->knows_sync |= outbound->link.knows_sync;
    outbound->adopted += replication->leader.adopted - adopted;
    if (phase == LEADER_LINK_TAKING && outbound->link.phase != phase) {
        log_taken(outbound);
        outbound->adopted = 0;
    }
    if (outbound->link.phase != phase) {
        log_phase(outbound);
        dialler_soon(&outbound->dialler);
    }
    if (verdict == LEADER_CLOSE) {
        conn_drain(outbound->conn, outbound->link.refusal[0] != '\0' ? CLOSE_REFUSED : CLOSE_PROTOCOL);
        return false;
    }
    if (replication->leader.phase != before) {
        replication_leader_moved(replication);
    }
    return outbound->conn != NULL && !conn_closed(outbound->conn);
}

static size_t on_input(struct conn *conn, void *session, struct slice in) {
    struct outbound *outbound = session;
    size_t consumed = replication_each_line(conn, in, &outbound->scanned, on_line, outbound);
    if (outbound->connected && consumed < in.len) {
        leader_link_heard(&outbound->link, now_of(outbound));
    }
    if (outbound->connected) {
        voting_acknowledged(outbound->replication, &outbound->link);
    }
    follow_phase(outbound);
    return consumed;
}

static void on_room(struct conn *conn, void *session) {
    (void)conn;
    struct outbound *outbound = session;
    send_on(outbound);
    if (!outbound->replication->stopping) {
        follow_phase(outbound);
    }
}

/* A starting leader that another, older or spec-only, leader refuses has no place in the group. */
static void on_refused(struct outbound *outbound) {
    struct replication *replication = outbound->replication;
    log_write(replication->config.log, LOG_WARN, "follower-refused", "node=%s address=%s:%u reason=%s",
              outbound->member.id, outbound->member.host, outbound->member.port,
              log_quote(outbound->link.refusal));
    if (replication->role == REPLICATION_STARTING && outbound->member.leader) {
        snprintf(replication->gives_way_to, sizeof(replication->gives_way_to), "%s", outbound->member.id);
    }
}

static void on_close(struct conn *conn, void *session, enum close_reason reason) {
    (void)conn;
    struct outbound *outbound = session;
    struct replication *replication = outbound->replication;
    task_stop(replication->loop, &outbound->fill_task);
    if (outbound->connected) {
        enum leader_phase before = replication->leader.phase;
        leader_link_close(&outbound->link, &replication->leader, now_of(outbound));
        log_write(replication->config.log, LOG_INFO, "follower-link-down", "node=%s address=%s:%u reason=%s",
                  outbound->member.id, outbound->member.host, outbound->member.port,
                  log_quote(close_reason_text(reason)));
        if (outbound->link.refusal[0] != '\0') {
            on_refused(outbound);
        }
        if (replication->leader.phase != before) {
            replication_leader_moved(replication);
        }
    }
    outbound->connected = false;
    outbound->conn = NULL;
    link_bytes_add(&replication->packed_out, &outbound->packer.bytes);
    link_packer_deinit(&outbound->packer);
    buf_deinit(&outbound->said);
    outbound->adopted = 0;
    outbound->link.phase = LEADER_LINK_DIALLING;
    dialler_closed(&outbound->dialler, reason);
}

static const struct conn_handler outbound_handler = {
    .replicates = true,
    .on_input = on_input,
    .on_room = on_room,
    .on_connected = on_connected,
    .on_close = on_close,
};

/* --- The set of links --- */

static struct outbound **find(struct replication *replication, const char *node_id) {
    struct outbound **at = &replication->outbounds;
    while (*at != NULL && strcmp((*at)->member.id, node_id) != 0) {
        at = &(*at)->next;
    }
    return at;
}

void outbound_add(struct replication *replication, const struct member *member) {
    struct outbound *outbound = *find(replication, member->id);
    if (outbound != NULL) {
        bool moved = dialler_aim(&outbound->dialler, member);
        outbound->member = *member;
        outbound->link.knows_sync |= member->has_endpoints; /* it may be heard after LEAD was said */
        if (moved && outbound->conn != NULL) {
            conn_close(outbound->conn, CLOSE_SUPERSEDED);
        }
        dialler_soon(&outbound->dialler);
        return;
    }
    outbound = calloc(1, sizeof(*outbound));
    if (outbound == NULL) {
        return; /* heard again at its next announcement */
    }
    outbound->replication = replication;
    outbound->member = *member;
    dialler_init(&outbound->dialler, replication->config.net, replication->config.log, "replication",
                 REPLICATION_REDIAL_FIRST_MS, REPLICATION_REDIAL_MAX_MS);
    dialler_aim(&outbound->dialler, member);
    outbound->fill_task = (struct task){.step = fill_step, .context = outbound};
    buf_init(&outbound->said, CONN_OUT_MAX_BYTES);
    outbound->next = replication->outbounds;
    replication->outbounds = outbound;
    dial(outbound);
}

static void remove_at(struct outbound **at, enum close_reason reason) {
    struct outbound *outbound = *at;
    *at = outbound->next;
    if (outbound->conn != NULL) {
        conn_close(outbound->conn, reason);
    }
    free(outbound);
}

void outbound_remove(struct replication *replication, const char *node_id, enum close_reason reason) {
    struct outbound **at = find(replication, node_id);
    if (*at != NULL) {
        remove_at(at, reason);
    }
}

void outbound_remove_all(struct replication *replication, enum close_reason reason) {
    while (replication->outbounds != NULL) {
        remove_at(&replication->outbounds, reason);
    }
}

static void tick_link(struct outbound *outbound, int64_t now_ms) {
    struct replication *replication = outbound->replication;
    enum leader_phase before = replication->leader.phase;
    leader_link_heard(&outbound->link, conn_listening_since_ms(outbound->conn));
    if (leader_link_tick(&outbound->link, &replication->leader, now_ms, begin_saying(outbound)) ==
        LEADER_CLOSE) {
        conn_close(outbound->conn, CLOSE_TIMEOUT);
        return;
    }
    end_saying(outbound);
    if (replication->leader.phase != before) { /* a whole state is taken: nothing is written meanwhile */
        replication_leader_moved(replication);
    }
    conn_flush(outbound->conn);
    follow_phase(outbound);
}

void outbound_tick(struct replication *replication, int64_t now_ms) {
    for (struct outbound *outbound = replication->outbounds; outbound != NULL; outbound = outbound->next) {
        if (outbound->conn == NULL && !replication->stopping && dialler_due(&outbound->dialler)) {
            dial(outbound);
        } else if (outbound->connected && !conn_closed(outbound->conn)) {
            tick_link(outbound, now_ms);
        }
    }
}

void outbound_flush(struct replication *replication) {
    for (struct outbound *outbound = replication->outbounds; outbound != NULL; outbound = outbound->next) {
        if (outbound->connected && !conn_closed(outbound->conn)) {
            send_on(outbound);
        }
        if (outbound->connected && outbound->link.asked && !conn_closed(outbound->conn)) {
            tick_link(outbound, now_of(outbound));
        }
    }
}

void outbound_stop(struct replication *replication) {
    for (struct outbound *outbound = replication->outbounds; outbound != NULL; outbound = outbound->next) {
        if (outbound->conn != NULL && outbound->connected) {
            conn_ends_itself(outbound->conn);
            send_on(outbound);
        }
    }
}
