#include "server/store/keyspace_internal.h"

enum {
    EXPIRY_BUCKETS_A_TICK =
        16384, /* of a table in which little expires: 1 M keys are looked through once a second */
};

/* --- The sweep for what has expired: a part of the table each tick, more of it while much is found --- */

static void collect_expired(void *context, struct entry *entry) {
    struct collection *found = context;
    if (found->count < KEYSPACE_COLLECT_MAX && keyspace_expired(found->keyspace, entry)) {
        found->entries[found->count++] = entry;
    }
}

static void delete_found(struct keyspace *keyspace, const struct collection *found) {
    for (size_t i = 0; i < found->count; i++) {
        struct key key = keyspace_key(keyspace, entry_key(found->entries[i]));
        keyspace_delete_expired(keyspace, &key, found->entries[i], KEYSPACE_SWEPT);
    }
}

static bool sweep(struct keyspace *keyspace) {
    struct collection found = {.keyspace = keyspace};
    size_t deleted = 0;
    if (keyspace->paused) {
        return false;
    }
    for (size_t i = 0; i < KEYSPACE_BUCKETS_A_SLICE && deleted < KEYSPACE_COLLECT_MAX; i++) {
        found.count = 0;
        keyspace->expiry_cursor =
            table_scan_deadlines(keyspace->table, keyspace->expiry_cursor, collect_expired, &found);
        delete_found(keyspace, &found);
        deleted += found.count;
        if (found.count == 0 && keyspace->expiry_budget > 0) {
            keyspace->expiry_budget--;
        }
        if (keyspace->expiry_cursor == 0) { /* once round: not again before the next tick */
            return false;
        }
    }
    return keyspace->expiry_budget > 0 && keyspace->owner && table_deadline_count(keyspace->table) > 0;
}

bool keyspace_expiry_step(void *context) {
    struct keyspace *keyspace = context;
    uint64_t begin_us = loop_monotonic_us();
    bool more = sweep(keyspace);
    keyspace->stats.sweep_us += loop_monotonic_us() - begin_us;
    return more;
}

void keyspace_on_expiry_tick(struct ev_loop *ev, ev_timer *timer, int events) {
    (void)ev, (void)events;
    struct keyspace *keyspace = timer->data;
    if (keyspace->owner && !keyspace->paused && !keyspace->passive_expiry &&
        table_deadline_count(keyspace->table) > 0) {
        keyspace->expiry_budget = EXPIRY_BUCKETS_A_TICK;
        task_start(keyspace->loop, &keyspace->expiry_task);
    }
}
