/* leader_internal.h: the inside of a leader, for leader.c, leader_take.c and leader_data.c only: each needs
 * those behind it. */
#ifndef KVNODE_CLUSTER_LEADER_INTERNAL_H
#define KVNODE_CLUSTER_LEADER_INTERNAL_H

#include "cluster/leader.h"

static inline uint64_t larger(uint64_t a, uint64_t b) { return a > b ? a : b; }

/* --- leader_take.c */
enum lineage_side leader_link_side(const struct leader *leader, const struct leader_link *link);
bool leader_link_is_of_this_history(const struct leader *leader, const struct leader_link *link);
/* Its state broke off before. */
bool leader_link_has_failed(const struct leader *leader, const struct leader_link *link);
/* It holds data that this leader has to take first; and may that take the place of what is here? */
bool leader_must_take_from(const struct leader *leader, const struct leader_link *link);
bool leader_may_take_wholly(const struct leader *leader, const struct leader_link *link);
void leader_begin_taking(struct leader_link *link, struct leader *leader, int64_t now_ms);
/* One line of what it gives. At the end of it the link is HELD. */
enum leader_verdict leader_take_line(struct leader_link *link, struct leader *leader, const struct line *line,
                                     struct slice bytes, int64_t now_ms, struct buf *scratch, struct buf *out);
void leader_take_broke_off(struct leader *leader, const struct leader_link *link, int64_t now_ms);

/* --- leader_data.c */
void leader_begin_listening(struct leader *leader, int64_t now_ms);
void leader_begin_serving(struct leader *leader, int64_t now_ms);
/* Younger than that one, and than the one that is left. */
void leader_begin_history(struct leader *leader, uint64_t youngest, int64_t now_ms);
bool leader_knows(const struct leader *leader, const struct position *position);
void leader_remember(struct leader *leader, uint64_t history_id, uint64_t index, const struct lineage *lineage);
void leader_remember_position(struct leader *leader, const struct position *position);
void leader_remember_before(struct leader *leader);

#endif
