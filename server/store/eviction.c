#include "server/store/eviction.h"

enum {
    DEFAULT_SAMPLES = 5,
    DEFAULT_LOG_FACTOR = 10,
    DEFAULT_DECAY_MINUTES = 1,
    COUNTER_OF_NEW = 5,
    COUNTER_BITS = 8,
    MINUTES_MASK = 0xffff,
    MINUTES_A_DAY = 24 * 60,
    MS_A_MINUTE = 60000,
    TIME_BITS = 48,                        /* of an entry's timestamp */
    FOUND_MAX = EVICTION_MAX_SAMPLES + 32, /* whole cells are taken: some more than asked for */
};

static const char *const names[EVICTION_POLICIES] = {
#define EVICTION_POLICY(name, text, volatile_only, by) [EVICTION_##name] = (text),
#include "server/store/eviction_policies.def"
#undef EVICTION_POLICY
};

/* By what the policies rank. */
enum measure { NOTHING, USE, FREQUENCY, CHANCE, DEADLINE };

static const struct {
    enum measure measure;
    bool volatile_only; /* only keys with a deadline go */
} policies[EVICTION_POLICIES] = {
#define EVICTION_POLICY(name, text, volatile_only, by) [EVICTION_##name] = {by, volatile_only},
#include "server/store/eviction_policies.def"
#undef EVICTION_POLICY
};

const char *eviction_policy_name(enum eviction_policy policy) { return names[policy]; }

void eviction_init(struct eviction *eviction, uint64_t random) {
    *eviction = (struct eviction){
        .policy = EVICTION_NOEVICTION,
        .samples = DEFAULT_SAMPLES,
        .lfu_log_factor = DEFAULT_LOG_FACTOR,
        .lfu_decay_minutes = DEFAULT_DECAY_MINUTES,
        .random = random | 1,
    };
}

void eviction_set_policy(struct eviction *eviction, enum eviction_policy policy) {
    eviction->policy = policy;
    eviction->counts = policies[policy].measure == FREQUENCY;
    eviction->pool_count = 0; /* ranked by the old one */
}

static uint64_t next_random(struct eviction *eviction) {
    uint64_t x = eviction->random; /* xorshift64* */
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    eviction->random = x;
    return x * 0x2545F4914F6CDD1DULL;
}

/* --- What an entry remembers --- */

static uint32_t minutes_at(int64_t now_ms) { return (uint32_t)(now_ms / MS_A_MINUTE) & MINUTES_MASK; }

/* The minutes come round in 45 days. What was used in the next day was used before the clock was set back: now.
 */
static uint32_t minutes_since(uint32_t access, int64_t now_ms) {
    uint32_t minutes = (minutes_at(now_ms) - (access >> COUNTER_BITS)) & MINUTES_MASK;
    return minutes > MINUTES_MASK - MINUTES_A_DAY ? 0 : minutes;
}

static unsigned decayed_counter(const struct eviction *eviction, uint32_t access, int64_t now_ms) {
    unsigned counter = access & UINT8_MAX;
    unsigned lost =
        eviction->lfu_decay_minutes == 0 ? 0 : minutes_since(access, now_ms) / eviction->lfu_decay_minutes;
    return counter > lost ? counter - lost : 0;
}

static uint32_t with_counter(unsigned counter, int64_t now_ms) {
    return minutes_at(now_ms) << COUNTER_BITS | counter;
}

uint32_t eviction_count_use(struct eviction *eviction, uint32_t access, int64_t now_ms) {
    unsigned counter = decayed_counter(eviction, access, now_ms);
    uint64_t above = counter > COUNTER_OF_NEW ? counter - COUNTER_OF_NEW : 0;
    if (counter < UINT8_MAX && next_random(eviction) % (above * eviction->lfu_log_factor + 1) == 0) {
        counter++;
    }
    return with_counter(counter, now_ms);
}

/* A counter of 0 in minute 0 is a new entry's: once in 45 days it may be an old one's, which is then as good as
 * new. */
void eviction_count_write(struct eviction *eviction, struct entry *entry, int64_t now_ms) {
    if (entry_access(entry) == 0) {
        entry_set_access(entry, with_counter(COUNTER_OF_NEW, now_ms));
    } else {
        eviction_touch(eviction, entry, now_ms);
    }
}

static int64_t last_use_ms(const struct entry *entry, int64_t now_ms) {
    int64_t written_ms = entry_timestamp_ms(entry), distance_ms = eviction_decode_distance(entry_access(entry));
    int64_t age_ms = now_ms > written_ms ? now_ms - written_ms : 0;
    int64_t rounding_ms = EVICTION_TOUCH_MS + (age_ms >> (EVICTION_MANTISSA_BITS - 1));
    return distance_ms <= age_ms + rounding_ms ? written_ms + distance_ms : written_ms;
}

int64_t eviction_idle_ms(const struct entry *entry, int64_t now_ms) {
    int64_t idle_ms = now_ms - last_use_ms(entry, now_ms);
    return idle_ms > 0 ? idle_ms : 0;
}

void eviction_set_idle_ms(struct entry *entry, int64_t idle_ms, int64_t now_ms) {
    entry_set_access(entry, eviction_encode_distance(now_ms - idle_ms - entry_timestamp_ms(entry)));
}

unsigned eviction_frequency(const struct eviction *eviction, const struct entry *entry, int64_t now_ms) {
    return decayed_counter(eviction, entry_access(entry), now_ms);
}

void eviction_set_frequency(struct entry *entry, unsigned frequency, int64_t now_ms) {
    entry_set_access(entry, with_counter(frequency & UINT8_MAX, now_ms));
}

/* --- What goes --- */

bool eviction_possible(const struct eviction *eviction, const struct table *table) {
    if (policies[eviction->policy].measure == NOTHING) {
        return false;
    }
    return (policies[eviction->policy].volatile_only ? table_deadline_count(table) : table_count(table)) > 0;
}

/* The lowest goes first; 0 is for what has expired. Of the counters that are equal, and most of the low ones
 * are, that of the entry goes first which has had the longest time to raise it. */
static uint64_t rank_of(const struct eviction *eviction, const struct entry *entry, int64_t now_ms) {
    if (entry_expired(entry, now_ms)) {
        return 0;
    }
    int64_t used_ms;
    switch (policies[eviction->policy].measure) {
    case USE:
        used_ms = last_use_ms(entry, now_ms);
        return used_ms > 0 ? (uint64_t)used_ms : 1;
    case FREQUENCY:
        return ((uint64_t)decayed_counter(eviction, entry_access(entry), now_ms) << TIME_BITS |
                (uint64_t)entry_timestamp_ms(entry)) +
               1;
    case DEADLINE:
        return (uint64_t)entry_deadline_ms(entry);
    case CHANCE:
    case NOTHING:
        break;
    }
    return 1;
}

static void pool_remove(struct eviction *eviction, size_t at) {
    eviction->pool_count--;
    memmove(&eviction->pool[at], &eviction->pool[at + 1],
            (eviction->pool_count - at) * sizeof(eviction->pool[0]));
}

/* A full pool forgets its highest rank, or does not take this one. */
static void pool_insert(struct eviction *eviction, struct eviction_candidate candidate) {
    struct eviction_candidate *pool = eviction->pool;
    if (eviction->pool_count == EVICTION_POOL) {
        if (candidate.rank >= pool[EVICTION_POOL - 1].rank) {
            return;
        }
        eviction->pool_count--;
    }
    size_t at = eviction->pool_count++;
    for (; at > 0 && pool[at - 1].rank > candidate.rank; at--) {
        pool[at] = pool[at - 1];
    }
    pool[at] = candidate;
}

static bool pool_has(const struct eviction *eviction, uint64_t hash) {
    for (size_t i = 0; i < eviction->pool_count; i++) {
        if (eviction->pool[i].hash == hash) {
            return true;
        }
    }
    return false;
}

static bool worth_a_place(const struct eviction *eviction, uint64_t rank) {
    return eviction->pool_count < EVICTION_POOL || rank < eviction->pool[EVICTION_POOL - 1].rank;
}

/* The hash is computed only of what gets into the pool: of few, once the pool is a good one. */
static void sample_into_pool(struct eviction *eviction, const struct table *table, int64_t now_ms) {
    struct entry *found[FOUND_MAX];
    bool volatile_only = policies[eviction->policy].volatile_only;
    size_t n = table_sample_next(table, &eviction->hand, volatile_only, eviction->samples, found, FOUND_MAX);
    for (size_t i = 0; i < n; i++) {
        uint64_t rank = rank_of(eviction, found[i], now_ms);
        if (!worth_a_place(eviction, rank)) {
            continue;
        }
        uint64_t hash = table_hash(table, entry_key(found[i]));
        if (!pool_has(eviction, hash)) {
            pool_insert(eviction, (struct eviction_candidate){hash, rank});
        }
    }
}

/* What has gone is left out; what was used meanwhile takes its new place. Its rank can rise only once: the loop
 * ends. */
static struct entry *take_from_pool(struct eviction *eviction, const struct table *table, int64_t now_ms,
                                    uint64_t *hash) {
    while (eviction->pool_count > 0) {
        struct eviction_candidate first = eviction->pool[0];
        struct entry *entry = table_find_hash(table, first.hash);
        pool_remove(eviction, 0);
        if (entry == NULL || (policies[eviction->policy].volatile_only && entry_deadline_ms(entry) == 0)) {
            continue;
        }
        uint64_t rank = rank_of(eviction, entry, now_ms);
        if (rank > first.rank && eviction->pool_count > 0 && rank > eviction->pool[0].rank) {
            pool_insert(eviction, (struct eviction_candidate){first.hash, rank});
            continue;
        }
        *hash = first.hash;
        return entry;
    }
    return NULL;
}

static struct entry *choose_by_chance(struct eviction *eviction, const struct table *table, uint64_t *hash) {
    struct entry *found[FOUND_MAX];
    size_t n = policies[eviction->policy].volatile_only
                   ? table_sample_next(table, &eviction->hand, true, 1, found, FOUND_MAX)
                   : table_sample(table, next_random(eviction), found, 1);
    if (n == 0) {
        return NULL;
    }
    struct entry *entry = found[next_random(eviction) % n];
    *hash = table_hash(table, entry_key(entry));
    return entry;
}

struct entry *eviction_choose(struct eviction *eviction, const struct table *table, int64_t now_ms,
                              uint64_t *hash) {
    if (!eviction_possible(eviction, table)) {
        return NULL;
    }
    if (policies[eviction->policy].measure == CHANCE) {
        return choose_by_chance(eviction, table, hash);
    }
    sample_into_pool(eviction, table, now_ms);
    return take_from_pool(eviction, table, now_ms, hash);
}
