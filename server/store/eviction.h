/* eviction.h: which entry goes when memory runs out, and what an entry remembers of its use for that.
 *
 * Looks at the table and is told the time; it deletes nothing and knows no limit: server/store/keyspace.h does.
 *
 * An entry has 24 bits for it (entry_access), which the policy gives their meaning:
 *
 *   lfu policies:  minutes:16 | counter:8
 *       Redis's: a counter that a use raises with probability 1 / ((counter - 5) * lfu-log-factor + 1), and
 * that loses one every lfu-decay-time minutes; new keys have 5. The minutes (Unix, modulo 2^16) are of the last
 *       change.
 *   all others:    sign | exponent:5 | mantissa:18
 *       How long after the entry's write (its timestamp) it was last used, in ms: a clock that never wraps,
 * where Redis's 24 bits of seconds do after 194 days. It is exact to TOUCH_MS for the first four minutes, and
 * to 2^-18 of the entry's age later (a third of a second after a day, two minutes after a year), rounded so
 *       that an entry never looks older than it is. 0, what a new entry has: not used since it was written.
 *
 * After a change of the policy an entry has bits of the other kind until it is used: a time that is not in the
 * past counts as not used since the write.
 *
 * What goes is chosen as Redis does: a pool keeps the best candidates of all samples. Some things are better at
 * no byte a key: samples are taken all around the table in turn rather than at random, so that none is drawn
 * twice in a round; a candidate that was used since it came into the pool is ranked anew; of equal counters the
 * one that has had the longest time goes first; and what has expired goes before all others.
 */
#ifndef KVNODE_SERVER_STORE_EVICTION_H
#define KVNODE_SERVER_STORE_EVICTION_H

#include "server/store/table.h"

enum eviction_policy {
#define EVICTION_POLICY(name, text, volatile_only, by) EVICTION_##name,
#include "server/store/eviction_policies.def"
#undef EVICTION_POLICY
    EVICTION_POLICIES,
};

const char *eviction_policy_name(enum eviction_policy policy);

enum { EVICTION_POOL = 16, EVICTION_MAX_SAMPLES = 64 };

/* Embedded; the pool holds hashes, never pointers: it survives every change of the table. */
struct eviction_candidate {
    uint64_t hash;
    uint64_t rank; /* the lowest goes first */
};

struct eviction {
    enum eviction_policy policy; /* changed by eviction_set_policy only */
    unsigned samples;            /* entries looked at for each that goes, 1 to EVICTION_MAX_SAMPLES */
    unsigned lfu_log_factor;     /* how hard a counter is to raise */
    unsigned lfu_decay_minutes;  /* 0: counters keep their value */
    bool counts;                 /* an lfu policy */
    uint64_t random;             /* state of the generator; not 0 */
    uint64_t hand;               /* where in the table the next samples are */
    size_t pool_count;
    struct eviction_candidate pool[EVICTION_POOL]; /* lowest rank first */
};

/* noeviction, and Redis's defaults. random: any number. */
void eviction_init(struct eviction *eviction, uint64_t random);
void eviction_set_policy(struct eviction *eviction, enum eviction_policy policy);

/* Is there anything at all that the policy lets go? */
bool eviction_possible(const struct eviction *eviction, const struct table *table);

/* The entry that goes next, with its hash; looks at a bounded part of the table. NULL: none was found there,
 * which for a volatile policy does not mean that there is none elsewhere: the next call looks further on. */
struct entry *eviction_choose(struct eviction *eviction, const struct table *table, int64_t now_ms,
                              uint64_t *hash);

/* --- What an entry remembers. now_ms and timestamps: Unix ms. */

/* Uses of an entry within so many ms of each other are one: a key that is read all the time is seldom stored
 * to. One less than a power of two. */
enum { EVICTION_TOUCH_MS = 63 };

enum { EVICTION_MANTISSA_BITS = 18, EVICTION_SIGN = 1 << 23 };

/* Rounded away from zero. */
static inline uint32_t eviction_encode_distance(int64_t ms) {
    uint64_t magnitude = ms < 0 ? (uint64_t)-ms : (uint64_t)ms;
    uint32_t sign = ms < 0 ? EVICTION_SIGN : 0;
    if (magnitude >> EVICTION_MANTISSA_BITS == 0) {
        return sign | (uint32_t)magnitude;
    }
    unsigned shift = 63 - (unsigned)__builtin_clzll(magnitude) - EVICTION_MANTISSA_BITS;
    uint64_t steps = (magnitude + ((uint64_t)1 << shift) - 1) >> shift; /* 2^18 to 2^19 */
    return sign | (uint32_t)(((uint64_t)shift << EVICTION_MANTISSA_BITS) + steps);
}

static inline int64_t eviction_decode_distance(uint32_t access) {
    uint32_t code = access & (EVICTION_SIGN - 1), exponent = code >> EVICTION_MANTISSA_BITS;
    int64_t magnitude = code;
    if (exponent > 0) {
        uint32_t mantissa = code & ((1U << EVICTION_MANTISSA_BITS) - 1);
        magnitude = (int64_t)(mantissa + (1U << EVICTION_MANTISSA_BITS)) << (exponent - 1);
    }
    return (access & EVICTION_SIGN) != 0 ? -magnitude : magnitude;
}

uint32_t eviction_count_use(struct eviction *eviction, uint32_t access, int64_t now_ms);

/* The entry is used: on every read, so it stores only what changes. */
static inline void eviction_touch(struct eviction *eviction, struct entry *entry, int64_t now_ms) {
    uint32_t before = entry_access(entry);
    uint32_t after = eviction->counts
                         ? eviction_count_use(eviction, before, now_ms)
                         : eviction_encode_distance((now_ms | EVICTION_TOUCH_MS) - entry_timestamp_ms(entry));
    if (after != before) {
        entry_set_access(entry, after);
    }
}

void eviction_count_write(struct eviction *eviction, struct entry *entry, int64_t now_ms);

/* The entry has just been put into the table, or overwritten. The time of use counts from the write: there is a
 * new one. */
static inline void eviction_note_write(struct eviction *eviction, struct entry *entry, int64_t now_ms) {
    if (eviction->counts) {
        eviction_count_write(eviction, entry, now_ms);
    } else if (entry_access(entry) != 0) {
        entry_set_access(entry, 0);
    }
}

int64_t eviction_idle_ms(const struct entry *entry, int64_t now_ms);
void eviction_set_idle_ms(struct entry *entry, int64_t idle_ms, int64_t now_ms);
unsigned eviction_frequency(const struct eviction *eviction, const struct entry *entry, int64_t now_ms);
void eviction_set_frequency(struct entry *entry, unsigned frequency, int64_t now_ms); /* 0 to 255 */

#endif
