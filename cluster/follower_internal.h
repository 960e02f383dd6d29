/* follower_internal.h: the inside of a follower, for follower.c and follower_leader.c only: the first needs the
 * second.
 */
#ifndef KVNODE_CLUSTER_FOLLOWER_INTERNAL_H
#define KVNODE_CLUSTER_FOLLOWER_INTERNAL_H

#include "cluster/follower.h"

/* Both say why, and close. */
static inline enum follower_verdict follower_refuse(struct follower *follower, struct buf *out,
                                                    const char *reason) {
    follower->lines_refused++;
    line_error(out, reason);
    return FOLLOWER_CLOSE;
}

static inline enum follower_verdict follower_malformed(struct follower *follower, struct buf *out,
                                                       const char *reason) {
    follower->lines_malformed++;
    line_error(out, reason);
    return FOLLOWER_CLOSE;
}

/* --- follower_leader.c */
/* LEAD or NODE: who says so is asked. */
enum follower_verdict follower_begin_proving(struct follower_link *link, const struct line *line);
enum follower_verdict follower_on_lead(struct follower_link *link, struct follower *follower,
                                       const struct line *line, int64_t now_ms, struct buf *out);
/* Nobody has answered for it. */
enum follower_verdict follower_unproved(struct follower_link *link, struct follower *follower, struct buf *out);

#endif
