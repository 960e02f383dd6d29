/* Control connections: between nodes of a group that elects its leader, for votes, pings and their echoes, so
 * that the history never delays them. Each voter dials each other one:
 *
 *   dialled:   waiting --> connecting --> NODE, VOTER said --> its VOTER has come: greeted --> closed -->
 * waiting accepted:  NODE --> WHO is asked (proof.c) --> VOTER has come: it may be answered, and written to
 *
 * Both say who is there: over either goes what is meant for that node, the dialled one first. A connection that
 * was greeted and is closed by its peer is dialled again at once: where nobody listens any more, that process
 * is gone (voting_gone).
 */
#include "server/net/socket.h"
#include "server/peers/replication_internal.h"

#include <stdlib.h>
#include <string.h>

enum {
    REDIAL_FIRST_MS = 100,
    REDIAL_MAX_MS = 1000,
    INPUT_BYTES = 64 << 10,
    OUTPUT_BYTES = 256 << 10, /* that wait for a peer that takes nothing: no more is said to it */
};

/* The one to write to; NULL: none stands. */
static struct conn *conn_to(const struct control *control) {
    struct conn *dialled = control->greeted && control->conn != NULL ? control->conn : NULL;
    struct conn *conn = dialled != NULL || control->accepted == 0
                            ? dialled
                            : conn_find(control->replication->config.net, control->accepted);
    return conn == NULL || conn_closed(conn) || conn_output_bytes(conn) > OUTPUT_BYTES ? NULL : conn;
}

static void on_connected(struct conn *conn, void *session) {
    struct control *control = session;
    const struct replication *replication = control->replication;
    dialler_connected(&control->dialler, conn);
    socket_set_user_timeout(conn_fd(conn), 2 * replication->config.election_timeout_ms);
    line_node(conn_out(conn), replication->follower.node_id);
    voting_greet(replication, conn_out(conn));
    conn_flush(conn);
}

/* False: somebody else is there than was dialled. */
static bool take_greeting(struct control *control, const struct line *line) {
    if (line->verb != LINE_VOTER || strcmp(line->node_id, control->dialler.node_id) != 0) {
        return line->verb == LINE_ERROR || line->verb == LINE_WHO;
    }
    control->greeted = true;
    dialler_soon(&control->dialler);
    return true;
}

static bool on_line(void *context, struct slice bytes) {
    struct control *control = context;
    struct replication *replication = control->replication;
    struct line line;
    const char *reason;
    enum line_result result = line_decode(bytes, &replication->scratch, &line, &reason);
    bool was_greeted = control->greeted;
    if (result == LINE_UNKNOWN) {
        return true;
    }
    if (result == LINE_MALFORMED || (!was_greeted && !take_greeting(control, &line))) {
        conn_drain(control->conn, CLOSE_PROTOCOL);
        return false;
    }
    if (control->greeted) {
        voting_line(replication, control->dialler.node_id, &line);
    }
    if (control->greeted && !was_greeted) {
        voting_linked(replication, control->dialler.node_id);
    }
    return control->conn != NULL && !conn_closed(control->conn);
}

static size_t on_input(struct conn *conn, void *session, struct slice in) {
    struct control *control = session;
    return replication_each_line(conn, in, &control->scanned, on_line, control);
}

static void on_close(struct conn *conn, void *session, enum close_reason reason) {
    (void)conn;
    struct control *control = session;
    bool was_greeted = control->greeted, suspect = control->suspect;
    control->conn = NULL;
    control->greeted = control->suspect = false;
    dialler_closed(&control->dialler, reason);
    if (conn_to(control) == NULL) {
        voting_unlinked(control->replication, control->dialler.node_id);
    }
    if (was_greeted && (reason == CLOSE_PEER || reason == CLOSE_SOCKET_ERROR)) {
        dialler_soon(&control->dialler);
        control->suspect = true;
    } else if (suspect && dialler_found_nobody(&control->dialler)) {
        voting_gone(control->replication, control->dialler.node_id);
    }
}

static const struct conn_handler control_handler = {
    .replicates = true, .on_connected = on_connected, .on_input = on_input, .on_close = on_close};

/* --- The set of them --- */

static struct control **find(struct replication *replication, const char *node_id) {
    struct control **at = &replication->controls;
    while (*at != NULL && strcmp((*at)->dialler.node_id, node_id) != 0) {
        at = &(*at)->next;
    }
    return at;
}

void control_aim(struct replication *replication, const struct member *member) {
    struct control **at = find(replication, member->id);
    if (*at == NULL) {
        *at = calloc(1, sizeof(**at)); /* NULL: at the next tick */
        if (*at == NULL) {
            return;
        }
        (*at)->replication = replication;
        dialler_init(&(*at)->dialler, replication->config.net, replication->config.log, "votes",
                     REDIAL_FIRST_MS, REDIAL_MAX_MS);
    }
    struct control *control = *at;
    if (dialler_aim(&control->dialler, member)) {
        if (control->conn != NULL) {
            conn_close(control->conn, CLOSE_SUPERSEDED);
        }
        dialler_soon(&control->dialler);
    }
}

static bool describe(const struct replication *replication, const struct control *control, struct member *out) {
    if (control == NULL) {
        return false;
    }
    *out = (struct member){.port = control->dialler.port,
                           .group = replication->follower.group,
                           .alive = true,
                           .has_endpoints = true};
    memcpy(out->id, control->dialler.node_id, sizeof(out->id));
    memcpy(out->host, control->dialler.host, sizeof(out->host));
    return true;
}

bool control_address(const struct replication *replication, const char *node_id, struct member *out) {
    const struct control *control = replication->controls;
    while (control != NULL && strcmp(control->dialler.node_id, node_id) != 0) {
        control = control->next;
    }
    return describe(replication, control, out);
}

bool control_at(const struct replication *replication, size_t i, struct member *out) {
    const struct control *control = replication->controls;
    while (control != NULL && i-- > 0) {
        control = control->next;
    }
    return describe(replication, control, out);
}

static void remove_at(struct control **at, enum close_reason reason) {
    struct control *control = *at;
    *at = control->next;
    if (control->conn != NULL) {
        conn_close(control->conn, reason);
    }
    free(control);
}

void control_keep_only(struct replication *replication,
                       bool (*is_wanted)(const struct replication *replication, const char *node_id)) {
    struct control **at = &replication->controls;
    while (*at != NULL) {
        if (is_wanted(replication, (*at)->dialler.node_id)) {
            at = &(*at)->next;
        } else {
            remove_at(at, CLOSE_ROLE_CHANGED);
        }
    }
}

void control_accepted(struct replication *replication, const char *node_id, struct conn *conn) {
    struct control *control = *find(replication, node_id);
    if (control != NULL) {
        control->accepted = conn_id(conn);
    }
}

/* --- Saying --- */

static void say(struct control *control, struct slice line) {
    struct conn *conn = conn_to(control);
    if (conn != NULL) {
        buf_append_slice(conn_out(conn), line);
        control->unsent = true;
    }
}

void control_say(struct replication *replication, const char *node_id, struct slice line) {
    struct control *control = *find(replication, node_id);
    if (control != NULL) {
        say(control, line);
    }
}

void control_say_to_all(struct replication *replication, struct slice line) {
    for (struct control *control = replication->controls; control != NULL; control = control->next) {
        say(control, line);
    }
}

bool control_stands(const struct replication *replication, const char *node_id) {
    const struct control *control = replication->controls;
    while (control != NULL && strcmp(control->dialler.node_id, node_id) != 0) {
        control = control->next;
    }
    return control != NULL && control->greeted;
}

void control_flush(struct replication *replication) {
    for (struct control *control = replication->controls; control != NULL; control = control->next) {
        struct conn *conn = control->unsent ? conn_to(control) : NULL;
        control->unsent = false;
        if (conn != NULL) {
            conn_flush(conn);
        }
    }
}

void control_tick(struct replication *replication) {
    for (struct control *control = replication->controls; control != NULL; control = control->next) {
        if (control->conn != NULL || !dialler_due(&control->dialler)) {
            continue;
        }
        control->scanned = 0;
        control->conn = dialler_dial(&control->dialler, &control_handler, control, INPUT_BYTES);
        if (control->conn == NULL && control->suspect && dialler_found_nobody(&control->dialler)) {
            control->suspect = false;
            voting_gone(replication, control->dialler.node_id);
        }
    }
}

void control_close_all(struct replication *replication) {
    while (replication->controls != NULL) {
        remove_at(&replication->controls, CLOSE_SHUTDOWN);
    }
}
