/* conn_large.c: output that is not copied: large pieces go out from where they are, and what the socket does
 * not take of one is borrowed from its owner until it does. */
#include "server/net/conn_internal.h"

#include <stdlib.h>

enum { PARTS_BEFORE, PART_LARGE, PARTS_BEHIND };

/* False: it has to be copied. One loan at a time: with that the output is over the high mark, and its session
 * stops. */
static bool borrow(struct conn *conn, struct slice bytes, const struct conn_lender *lender, void *owner) {
    if (lender == NULL || conn->loan != NULL || bytes.len < CONN_LARGE_BYTES || conn_closed(conn)) {
        return false;
    }
    struct conn_loan *loan = malloc(sizeof(*loan));
    if (loan == NULL) {
        return false;
    }
    *loan = (struct conn_loan){
        .rest = bytes, .before_bytes = buf_used(&conn->out), .lender = lender, .owner = owner};
    lender->lend(owner);
    conn->loan = loan;
    return true;
}

void conn_give_back(struct conn *conn) {
    struct conn_loan *loan = conn->loan;
    if (loan != NULL) {
        conn->loan = NULL;
        loan->lender->give_back(loan->owner);
        free(loan);
    }
}

/* The first n bytes of them. */
static void cut_parts(struct slice parts[CONN_SEND_PARTS], size_t n) {
    for (size_t i = 0; i < CONN_SEND_PARTS; i++) {
        parts[i] = slice_first(parts[i], parts[i].len < n ? parts[i].len : n);
        n -= parts[i].len;
    }
}

void conn_write_loan(struct conn *conn) {
    struct conn_loan *loan = conn->loan;
    struct slice out = buf_slice(&conn->out);
    bool last = loan->rest.len <= CONN_WRITE_BYTES;
    struct slice parts[CONN_SEND_PARTS] = {
        [PARTS_BEFORE] = slice_first(out, loan->before_bytes),
        [PART_LARGE] = slice_first(loan->rest, last ? loan->rest.len : CONN_WRITE_BYTES),
        [PARTS_BEHIND] = last ? slice_skip(out, loan->before_bytes) : SLICE(""),
    };
    cut_parts(parts, conn_may_leave(conn));
    size_t sent = conn_send_parts(conn, parts);
    size_t before = sent < loan->before_bytes ? sent : loan->before_bytes;
    size_t large = sent - before < parts[PART_LARGE].len ? sent - before : parts[PART_LARGE].len;
    loan->before_bytes -= before;
    loan->rest = slice_skip(loan->rest, large);
    buf_consume(&conn->out, sent - large);
    if (loan->rest.len == 0) {
        conn_give_back(conn);
    }
}

void conn_write_large(struct conn *conn, struct slice large, struct slice tail,
                      const struct conn_lender *lender, void *owner) {
    struct buf *out = conn_out(conn);
    bool held = conn->hold != NULL && !conn_closed(conn) && conn_mark(conn, large.len + tail.len);
    if (!held && !conn_closed(conn) && conn_can_send(conn) && conn->loan == NULL && !buf_failed(out)) {
        bool whole = large.len <= CONN_WRITE_BYTES;
        const struct slice parts[CONN_SEND_PARTS] = {
            [PARTS_BEFORE] = buf_slice(out),
            [PART_LARGE] = slice_first(large, whole ? large.len : CONN_WRITE_BYTES),
            [PARTS_BEHIND] = whole ? tail : SLICE(""),
        };
        size_t sent = conn_send_parts(conn, parts);
        size_t queued = sent < parts[PARTS_BEFORE].len ? sent : parts[PARTS_BEFORE].len;
        buf_consume(out, queued);
        sent -= queued;
        size_t of_large = sent < large.len ? sent : large.len;
        large = slice_skip(large, of_large);
        tail = slice_skip(tail, sent - of_large);
        conn->unwritable |= !whole; /* the rest in the next turns */
    }
    if (!borrow(conn, large, lender, owner)) {
        buf_append_slice(conn_out(conn), large);
    }
    buf_append_slice(conn_out(conn), tail);
    if (!conn->in_turn) {
        conn_flush(conn);
    }
}
