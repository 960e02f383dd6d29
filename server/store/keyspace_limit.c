#include "server/store/keyspace_internal.h"

enum {
    FREE_A_WRITE = 16,
    EVICT_A_SLICE = 32,
    EVICT_A_WRITE = 512, /* at most */
    EVICT_FRUITLESS_COST = 15,
};

/* --- The limit of memory --- */

void keyspace_set_maxmemory(struct keyspace *keyspace, size_t bytes) {
    keyspace->maxmemory_bytes = bytes;
    task_start(keyspace->loop, &keyspace->evict_task);
}
size_t keyspace_maxmemory_bytes(const struct keyspace *keyspace) { return keyspace->maxmemory_bytes; }

void keyspace_set_policy(struct keyspace *keyspace, enum eviction_policy policy) {
    eviction_set_policy(&keyspace->eviction, policy);
    task_start(keyspace->loop, &keyspace->evict_task);
}
enum eviction_policy keyspace_policy(const struct keyspace *keyspace) { return keyspace->eviction.policy; }

void keyspace_set_maxmemory_samples(struct keyspace *keyspace, unsigned samples) {
    keyspace->eviction.samples = samples < EVICTION_MAX_SAMPLES ? samples : EVICTION_MAX_SAMPLES;
}
unsigned keyspace_maxmemory_samples(const struct keyspace *keyspace) { return keyspace->eviction.samples; }

void keyspace_set_lfu_log_factor(struct keyspace *keyspace, unsigned factor) {
    keyspace->eviction.lfu_log_factor = factor;
}
void keyspace_set_lfu_decay_minutes(struct keyspace *keyspace, unsigned minutes) {
    keyspace->eviction.lfu_decay_minutes = minutes;
}
/* What was flushed and is not given back yet does not count: no key need go for it. */
static bool over_limit(const struct keyspace *keyspace) {
    return keyspace->maxmemory_bytes != 0 && table_used_bytes(keyspace->table) > keyspace->maxmemory_bytes;
}

/* False: none was found for now. */
static bool evict_one(struct keyspace *keyspace) {
    struct key key;
    struct entry *entry =
        eviction_choose(&keyspace->eviction, keyspace->table, keyspace_now_ms(keyspace), &key.hash);
    if (entry == NULL) {
        return false;
    }
    key.name = entry_key(entry);
    if (keyspace_expired(keyspace, entry)) {
        keyspace_delete_expired(keyspace, &key, entry, KEYSPACE_SWEPT);
    } else {
        keyspace_tell(keyspace, KEYSPACE_EVICTED, key.name);
        keyspace_delete_entry(keyspace, &key, entry);
        keyspace->stats.evicted++;
    }
    return true;
}

bool keyspace_evict_step(void *context) {
    struct keyspace *keyspace = context;
    for (int left = EVICT_A_SLICE; left > 0; left--) {
        if (!keyspace->owner || keyspace->paused || !over_limit(keyspace) ||
            !eviction_possible(&keyspace->eviction, keyspace->table)) {
            return false;
        }
        if (!evict_one(keyspace)) { /* a long look at a table in which little may go */
            left -= EVICT_FRUITLESS_COST;
        }
    }
    return true;
}

/* A write pays back twice what the data has grown by since the last one: so the data shrinks however far it is
 * over the limit, and no write works more than in proportion to what writes have brought. */
static void pay_back(struct keyspace *keyspace) {
    size_t used = table_used_bytes(keyspace->table);
    size_t grown = used > keyspace->settled_bytes ? used - keyspace->settled_bytes : 0;
    size_t goal = used > 2 * grown ? used - 2 * grown : 0;
    for (int i = 0; i < EVICT_A_WRITE && over_limit(keyspace); i++) {
        if (i > 0 && table_used_bytes(keyspace->table) <= goal) {
            return;
        }
        if (!evict_one(keyspace)) {
            return;
        }
    }
}

enum err keyspace_make_room(struct keyspace *keyspace) {
    if (keyspace->maxmemory_bytes == 0 || keyspace_used_bytes(keyspace) <= keyspace->maxmemory_bytes) {
        return ERR_NONE;
    }
    enum err err = ERR_NONE;
    if (keyspace->dead != NULL) { /* its memory is wanted */
        keyspace_free_flushed(keyspace, FREE_A_WRITE);
    }
    if (over_limit(keyspace) && keyspace->owner && !keyspace->paused) {
        pay_back(keyspace);
        if (over_limit(keyspace) && !eviction_possible(&keyspace->eviction, keyspace->table)) {
            err = ERR_OUT_OF_MEMORY;
        } else if (over_limit(keyspace)) {
            task_start(keyspace->loop, &keyspace->evict_task);
        }
    }
    keyspace->settled_bytes = table_used_bytes(keyspace->table);
    return err;
}

/* --- What entries remember of their use --- */

bool keyspace_set_touching(struct keyspace *keyspace, bool touching) {
    bool before = keyspace->touching;
    keyspace->touching = touching;
    return before;
}

int64_t keyspace_idle_ms(const struct keyspace *keyspace, const struct entry *entry) {
    return eviction_idle_ms(entry, keyspace_now_ms(keyspace));
}

unsigned keyspace_frequency(const struct keyspace *keyspace, const struct entry *entry) {
    return eviction_frequency(&keyspace->eviction, entry, keyspace_now_ms(keyspace));
}

bool keyspace_set_idle_ms(struct keyspace *keyspace, const struct key *key, int64_t idle_ms) {
    struct entry *entry = keyspace_find_live(keyspace, key).entry;
    if (entry != NULL) {
        eviction_set_idle_ms(entry, idle_ms, keyspace_now_ms(keyspace));
    }
    return entry != NULL;
}

bool keyspace_set_frequency(struct keyspace *keyspace, const struct key *key, unsigned frequency) {
    struct entry *entry = keyspace_find_live(keyspace, key).entry;
    if (entry != NULL) {
        eviction_set_frequency(entry, frequency, keyspace_now_ms(keyspace));
    }
    return entry != NULL;
}
