/* ring.h: which group should own which slot: the consistent-hash ring. Pure; immutable once built.
 *
 * Specification, "Consistent Hashing": SHA-256, 150 virtual nodes a group, sorted array and binary search. The
 * position of virtual node i of group g is the first 64 bits, big-endian, of SHA-256("group:g:vnode:i"); slot s
 * stands at s * 2^50 and belongs to the first virtual node at or after it (wrapping).
 */
#ifndef KVNODE_CLUSTER_RING_H
#define KVNODE_CLUSTER_RING_H

#include "cluster/slot.h"

enum { RING_VIRTUAL_NODES = 150 };

struct ring;

/* groups: n distinct ids in any order; n may be 0. Returns NULL when out of memory. Caller owns the ring. */
struct ring *ring_create(const uint16_t *groups, size_t n);
void ring_destroy(struct ring **ring); /* NULL-safe, nulls it */

uint64_t ring_position(uint16_t group, unsigned virtual_node);

/* The owner of a position by binary search; the ring must have a group. */
uint16_t ring_owner(const struct ring *ring, uint64_t position);

/* owners[s] for each slot; the ring must have a group. */
void ring_fill_owners(const struct ring *ring, uint16_t owners[SLOT_COUNT]);

#endif
