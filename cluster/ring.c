#include "cluster/ring.h"

#include "protocol/sha256.h"

#include <stdio.h>
#include <stdlib.h>

struct point {
    uint64_t position;
    uint16_t group;
};

struct ring {
    size_t n;
    struct point points[]; /* ordered by position */
};

uint64_t ring_position(uint16_t group, unsigned virtual_node) {
    char text[48];
    int len = snprintf(text, sizeof text, "group:%u:vnode:%u", (unsigned)group, virtual_node);
    struct slice bytes = slice_of(text, (size_t)len);
    unsigned char digest[SHA256_BYTES];
    sha256_of(&bytes, 1, digest);
    uint64_t position = 0;
    for (size_t i = 0; i < sizeof position; i++) {
        position = position << 8 | digest[i];
    }
    return position;
}

/* Two groups at one position (1 in 2^64): the lower one comes first, on every node. */
static int compare_points(const void *left, const void *right) {
    const struct point *a = left, *b = right;
    if (a->position != b->position) {
        return a->position < b->position ? -1 : 1;
    }
    return (a->group > b->group) - (a->group < b->group);
}

struct ring *ring_create(const uint16_t *groups, size_t n) {
    struct ring *ring = malloc(sizeof *ring + n * RING_VIRTUAL_NODES * sizeof ring->points[0]);
    if (ring == NULL) {
        return NULL;
    }
    ring->n = 0;
    for (size_t i = 0; i < n; i++) {
        for (unsigned v = 0; v < RING_VIRTUAL_NODES; v++) {
            ring->points[ring->n++] =
                (struct point){.position = ring_position(groups[i], v), .group = groups[i]};
        }
    }
    qsort(ring->points, ring->n, sizeof ring->points[0], compare_points);
    return ring;
}

void ring_destroy(struct ring **ring) {
    free(*ring);
    *ring = NULL;
}

uint16_t ring_owner(const struct ring *ring, uint64_t position) {
    size_t low = 0, high = ring->n; /* all points below low are before the position, none from high on is */
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (ring->points[middle].position < position) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return ring->points[low < ring->n ? low : 0].group;
}

/* The same as ring_owner for each slot, in one walk along the ring: the slots are in its order already. */
void ring_fill_owners(const struct ring *ring, uint16_t owners[SLOT_COUNT]) {
    size_t at = 0;
    for (uint64_t slot = 0; slot < SLOT_COUNT; slot++) {
        uint64_t position = slot << 50; /* "slot s stands at s * 2^50" */
        while (at < ring->n && ring->points[at].position < position) {
            at++;
        }
        owners[slot] = ring->points[at < ring->n ? at : 0].group;
    }
}
