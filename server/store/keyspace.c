#include "server/store/keyspace_internal.h"

#include "protocol/limits.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/random.h>

enum {
    EXPIRY_TICK_MS = 100,
    FREE_A_SLICE = 128,
    RANDOM_TRIES = 32,
    RANDOM_SAMPLE = 8,
    RANDOM_SCAN_BUCKETS = 1024,
    DEADLINE_SAMPLES = 32,
    DEADLINE_SAMPLES_MAX = DEADLINE_SAMPLES + 32, /* whole buckets are taken */
};

uint64_t keyspace_next_random(struct keyspace *keyspace) {
    uint64_t x = keyspace->random_state; /* xorshift64* */
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    keyspace->random_state = x;
    return x * 0x2545F4914F6CDD1DULL;
}

int64_t keyspace_now_ms(const struct keyspace *keyspace) { return loop_now_ms(keyspace->loop); }

bool keyspace_expired(const struct keyspace *keyspace, const struct entry *entry) {
    return entry_expired(entry, keyspace_now_ms(keyspace));
}

/* --- Life --- */

/* Of the tables that were flushed. */
void keyspace_free_flushed(struct keyspace *keyspace, size_t entries) {
    struct dead_table *dead = keyspace->dead;
    if (dead != NULL && table_destroy_slice(&dead->table, entries)) {
        keyspace->dead = dead->next;
        free(dead);
    }
}

static bool free_step(void *context) {
    struct keyspace *keyspace = context;
    keyspace_free_flushed(keyspace, FREE_A_SLICE);
    return keyspace->dead != NULL;
}

static struct table *new_table(const struct keyspace *keyspace) {
    struct table *table = table_create(keyspace->secret);
    for (unsigned i = 0; table != NULL && i < keyspace->pins; i++) {
        table_pin(table);
    }
    return table;
}

/* Out of memory for a new table: the old one is emptied where it stands, which takes as long as it takes. */
static void empty_slowly(struct keyspace *keyspace) {
    struct collection found = {.keyspace = keyspace};
    while (table_count(keyspace->table) > 0) {
        found.count =
            table_sample(keyspace->table, keyspace_next_random(keyspace), found.entries, KEYSPACE_COLLECT_MAX);
        for (size_t i = 0; i < found.count; i++) {
            struct slice name = entry_key(found.entries[i]);
            table_remove(keyspace->table, table_hash(keyspace->table, name), name);
        }
    }
}

void keyspace_empty(struct keyspace *keyspace) {
    keyspace_note_peak(keyspace);
    if (table_count(keyspace->table) == 0) {
        return;
    }
    struct dead_table *dead = malloc(sizeof(*dead));
    struct table *fresh = dead == NULL ? NULL : new_table(keyspace);
    if (fresh == NULL) {
        free(dead);
        empty_slowly(keyspace);
        return;
    }
    table_set_mark(fresh, table_mark(keyspace->table));
    *dead = (struct dead_table){.table = keyspace->table, .next = keyspace->dead};
    keyspace->table = fresh;
    keyspace->dead = dead;
    task_start(keyspace->loop, &keyspace->free_task);
}

/* --- Finding and deleting --- */

struct key keyspace_key(const struct keyspace *keyspace, struct slice name) {
    return (struct key){.name = name, .hash = table_hash(keyspace->table, name)};
}

void keyspace_prefetch_bucket(const struct keyspace *keyspace, const struct key *key) {
    table_prefetch_bucket(keyspace->table, key->hash);
}

void keyspace_prefetch_entries(const struct keyspace *keyspace, const uint64_t *hashes, size_t n) {
    table_prefetch_entries(keyspace->table, hashes, n);
}

/* The deletion takes the version after the last one (0: there is none left to take). */
uint64_t keyspace_delete_entry(struct keyspace *keyspace, const struct key *key, const struct entry *entry) {
    uint64_t last = entry_version(entry);
    uint64_t version = last == UINT64_MAX ? last : last + 1;
    history_delete(keyspace->history, key->name, version);
    keyspace_note_peak(keyspace);
    table_remove(keyspace->table, key->hash, key->name);
    if (version > keyspace->floor) {
        keyspace->floor = version;
    }
    keyspace_note_version(keyspace, version);
    return version;
}

/* key may lie in the entry itself: then it dies with it. */
void keyspace_delete_expired(struct keyspace *keyspace, const struct key *key, const struct entry *entry,
                             enum keyspace_event event) {
    keyspace_tell(keyspace, event, key->name);
    keyspace_delete_entry(keyspace, key, entry);
    keyspace->stats.expired++;
}

/* Of an entry that was found; false: it is missing for everybody, and has gone where it may go. */
static inline bool is_live(struct keyspace *keyspace, const struct key *key, const struct entry *entry) {
    if (__builtin_expect(!keyspace_expired(keyspace, entry) && keyspace->marks.dropped == 0, 1)) {
        return true;
    }
    if (keyspace_dropped(keyspace, entry)) {
        keyspace_tell(keyspace, KEYSPACE_DELETED, key->name);
        table_remove(keyspace->table, key->hash, key->name);
        return false;
    }
    if (!keyspace_expired(keyspace, entry)) {
        return true;
    }
    if (keyspace->owner && !keyspace->paused) {
        keyspace_delete_expired(keyspace, key, entry, KEYSPACE_EXPIRED);
    }
    return false;
}

struct table_place keyspace_find_live(struct keyspace *keyspace, const struct key *key) {
    struct table_place place = table_find_place(keyspace->table, key->hash, key->name);
    bool live = place.entry != NULL && is_live(keyspace, key, place.entry);
    return live ? place : (struct table_place){0};
}

const struct entry *keyspace_peek(const struct keyspace *keyspace, const struct key *key) {
    const struct entry *entry = table_find(keyspace->table, key->hash, key->name);
    bool missing = entry == NULL || keyspace_dropped(keyspace, entry) || keyspace_expired(keyspace, entry);
    return missing ? NULL : entry;
}

static inline void touch(struct keyspace *keyspace, struct entry *entry) {
    if (entry != NULL && keyspace->touching) {
        eviction_touch(&keyspace->eviction, entry, keyspace_now_ms(keyspace));
    }
}

static inline void note_find(struct keyspace *keyspace, const struct key *key, unsigned flags,
                             struct entry *entry) {
    if ((flags & KEYSPACE_COUNT) != 0) {
        keyspace->stats.hits += entry != NULL;
        keyspace->stats.misses += entry == NULL;
    }
    if (entry == NULL && (flags & KEYSPACE_TELL) != 0) {
        keyspace_tell(keyspace, KEYSPACE_MISSED, key->name);
    }
    if ((flags & KEYSPACE_TOUCH) != 0) {
        touch(keyspace, entry);
    }
}

struct table_place keyspace_find_place(struct keyspace *keyspace, const struct key *key, unsigned flags) {
    struct table_place place = keyspace_find_live(keyspace, key);
    note_find(keyspace, key, flags, place.entry);
    return place;
}

/* Not by its place: most finds are for a read. */
const struct entry *keyspace_find(struct keyspace *keyspace, const struct key *key, unsigned flags) {
    struct entry *entry = table_find(keyspace->table, key->hash, key->name);
    if (entry != NULL && !is_live(keyspace, key, entry)) {
        entry = NULL;
    }
    note_find(keyspace, key, flags, entry);
    return entry;
}

static bool condition_holds(const struct entry *entry, enum keyspace_condition condition, uint64_t version) {
    switch (condition) {
    case KEYSPACE_IF_ABSENT:
        return entry == NULL;
    case KEYSPACE_IF_PRESENT:
        return entry != NULL;
    case KEYSPACE_IF_VERSION:
        return entry != NULL && entry_version(entry) == version;
    case KEYSPACE_ALWAYS:
        break;
    }
    return true;
}

/* --- Writing --- */

enum err keyspace_check_lengths(const struct key *key, size_t value_bytes) {
    return key->name.len > LIMIT_KEY_BYTES   ? ERR_KEY_TOO_LONG
           : value_bytes > LIMIT_VALUE_BYTES ? ERR_VALUE_TOO_LONG
                                             : ERR_NONE;
}

void keyspace_delete_in_the_way(struct keyspace *keyspace, const struct key *key) {
    const struct entry *entry = table_find(keyspace->table, key->hash, key->name);
    if (entry != NULL && keyspace->owner) {
        keyspace_delete_expired(keyspace, key, entry, KEYSPACE_EXPIRED);
    }
}

/* Where no entry is live there may still be one. */
struct entry *keyspace_put(struct keyspace *keyspace, const struct key *key, const struct table_place *place,
                           const struct entry_fields *fields) {
    return place->entry == NULL ? table_put(keyspace->table, key->hash, key->name, fields)
                                : table_overwrite(keyspace->table, place, fields);
}

struct table_place keyspace_place_to_write(struct keyspace *keyspace, const struct key *key,
                                           const struct table_place *found) {
    return found == NULL ? keyspace_find_live(keyspace, key) : *found;
}

/* A write whose deadline has passed already: it is told as one that expires at once, as in Redis, where it
 * takes somebody to look. Nothing is stored. Returns the version, which is a deletion's if there was something
 * before.
 */
static uint64_t write_expired(struct keyspace *keyspace, const struct key *key, const struct entry *old,
                              uint64_t version, uint32_t events) {
    keyspace_tell(keyspace, events | KEYSPACE_EXPIRED, key->name);
    keyspace->stats.expired++;
    keyspace->stats.writes++;
    return old == NULL ? version : keyspace_delete_entry(keyspace, key, old);
}

static int64_t deadline_of(const struct keyspace_set *set, const struct entry *old) {
    switch (set->deadline) {
    case KEYSPACE_DEADLINE_SET:
        return set->deadline_ms;
    case KEYSPACE_DEADLINE_KEEP:
        return old == NULL ? 0 : entry_deadline_ms(old);
    case KEYSPACE_DEADLINE_CLEAR:
        break;
    }
    return 0;
}

static bool is_in_reserve(const struct key *key, const struct keyspace_set *set) {
    const struct entry_reserve *reserve = set->reserve;
    return reserve->entry != NULL && reserve->key_len == key->name.len &&
           reserve->value.ptr == set->value.ptr && reserve->value.len == set->value.len;
}

static inline struct entry *put(struct keyspace *keyspace, const struct key *key,
                                const struct table_place *place, const struct keyspace_set *set,
                                const struct entry_fields *fields) {
    if (__builtin_expect(set->reserve != NULL, 0) && is_in_reserve(key, set)) {
        return table_put_reserve(keyspace->table, key->hash, key->name, set->reserve, fields);
    }
    return keyspace_put(keyspace, key, place, fields);
}

enum err keyspace_set(struct keyspace *keyspace, const struct key *key, const struct keyspace_set *set,
                      struct keyspace_result *result) {
    enum err err = keyspace_check_lengths(key, set->value.len);
    if (err != ERR_NONE) {
        return err;
    }
    struct table_place place = keyspace_place_to_write(keyspace, key, set->place);
    struct entry *old = place.entry;
    if (!condition_holds(old, set->condition, set->version)) {
        touch(keyspace, old);
        return ERR_PRECONDITION;
    }
    struct entry_fields fields = {.value = set->value, .deadline_ms = deadline_of(set, old)};
    err = keyspace_begin_write(keyspace, key, old, &fields);
    if (err != ERR_NONE) {
        return err;
    }
    bool timed = set->deadline == KEYSPACE_DEADLINE_SET;
    uint32_t events = keyspace_written_events(old == NULL, timed);
    if (timed && set->deadline_ms <= fields.timestamp_ms) {
        fields.version = write_expired(keyspace, key, old, fields.version, events);
    } else {
        struct entry *entry = put(keyspace, key, &place, set, &fields);
        if (entry == NULL) {
            return ERR_NO_MEMORY;
        }
        keyspace_say_entry(keyspace, key, entry, &fields);
        keyspace_end_write(keyspace, key, entry, fields.version, events);
    }
    if (result != NULL) {
        *result = (struct keyspace_result){.version = fields.version, .timestamp_ms = fields.timestamp_ms};
    }
    return ERR_NONE;
}

enum err keyspace_delete(struct keyspace *keyspace, const struct key *key, enum keyspace_condition condition,
                         uint64_t version, struct keyspace_result *result) {
    const struct entry *entry = keyspace_find_live(keyspace, key).entry;
    if (entry == NULL) {
        return condition == KEYSPACE_ALWAYS ? ERR_NO_SUCH_KEY : ERR_PRECONDITION;
    }
    if (!condition_holds(entry, condition, version)) {
        return ERR_PRECONDITION;
    }
    keyspace_tell(keyspace, KEYSPACE_DELETED, key->name);
    uint64_t taken = keyspace_delete_entry(keyspace, key, entry);
    keyspace->stats.deletes++;
    if (result != NULL) {
        *result = (struct keyspace_result){.version = taken, .timestamp_ms = keyspace_now_ms(keyspace)};
    }
    return ERR_NONE;
}

enum err keyspace_expire(struct keyspace *keyspace, const struct key *key, int64_t deadline_ms) {
    struct table_place place = keyspace_find_live(keyspace, key);
    if (place.entry == NULL) {
        return ERR_NO_SUCH_KEY;
    }
    if (deadline_ms != 0 && deadline_ms <= keyspace_now_ms(keyspace)) {
        keyspace_tell(keyspace, KEYSPACE_DELETED, key->name);
        keyspace_delete_entry(keyspace, key, place.entry);
        keyspace->stats.deletes++;
        return ERR_NONE;
    }
    if (table_set_deadline(keyspace->table, &place, deadline_ms) == NULL) {
        return ERR_NO_MEMORY;
    }
    history_expire(keyspace->history, key->name, deadline_ms);
    keyspace_tell(keyspace, deadline_ms == 0 ? KEYSPACE_PERSISTED : KEYSPACE_DEADLINE, key->name);
    return ERR_NONE;
}

void keyspace_batch_begin(struct keyspace *keyspace) {
    if (keyspace->batch_depth++ == 0) {
        history_batch_begin(keyspace->history);
    }
}

void keyspace_batch_end(struct keyspace *keyspace) {
    assert(keyspace->batch_depth > 0);
    if (--keyspace->batch_depth == 0) {
        history_batch_end(keyspace->history);
    }
}

/* The floor rises to the highest version that any key may have had. */
void keyspace_flush(struct keyspace *keyspace) {
    keyspace_tell(keyspace, KEYSPACE_FLUSHED, SLICE(""));
    if (table_count(keyspace->table) == 0) {
        return;
    }
    keyspace_raise_floor(keyspace, keyspace->max_version);
    history_flush(keyspace->history, keyspace->floor);
    keyspace_empty(keyspace);
}

void keyspace_set_owner(struct keyspace *keyspace, bool owner) {
    keyspace->owner = owner;
    task_start(keyspace->loop, &keyspace->evict_task);
}

void keyspace_set_active_expiry(struct keyspace *keyspace, bool active) { keyspace->passive_expiry = !active; }

void keyspace_set_paused(struct keyspace *keyspace, bool paused) {
    keyspace->paused = paused;
    task_start(keyspace->loop, &keyspace->evict_task);
}
bool keyspace_paused(const struct keyspace *keyspace) { return keyspace->paused; }

/* --- Looking at all of it --- */

size_t keyspace_count(const struct keyspace *keyspace) { return table_count(keyspace->table); }
size_t keyspace_deadline_count(const struct keyspace *keyspace) {
    return table_deadline_count(keyspace->table);
}
uint64_t keyspace_floor(const struct keyspace *keyspace) { return keyspace->floor; }
const struct keyspace_stats *keyspace_stats(const struct keyspace *keyspace) { return &keyspace->stats; }
void keyspace_stats_reset(struct keyspace *keyspace) { keyspace->stats = (struct keyspace_stats){0}; }

size_t keyspace_used_bytes(const struct keyspace *keyspace) {
    size_t used = table_used_bytes(keyspace->table);
    for (const struct dead_table *dead = keyspace->dead; dead != NULL; dead = dead->next) {
        used += table_used_bytes(dead->table);
    }
    return used;
}

void keyspace_note_peak(struct keyspace *keyspace) {
    size_t used = keyspace_used_bytes(keyspace);
    if (used > keyspace->peak_bytes) {
        keyspace->peak_bytes = used;
    }
}

size_t keyspace_peak_bytes(struct keyspace *keyspace) {
    keyspace_note_peak(keyspace);
    return keyspace->peak_bytes;
}

struct scan_visit {
    const struct keyspace *keyspace;
    void (*visit)(void *context, const struct entry *entry);
    void *context;
};

static void visit_stored(void *context, struct entry *entry) {
    const struct scan_visit *scan = context;
    if (!keyspace_dropped(scan->keyspace, entry)) {
        scan->visit(scan->context, entry);
    }
}

static void visit_live(void *context, struct entry *entry) {
    const struct scan_visit *scan = context;
    if (!keyspace_expired(scan->keyspace, entry)) {
        visit_stored(context, entry);
    }
}

uint64_t keyspace_scan(const struct keyspace *keyspace, uint64_t cursor,
                       void (*visit)(void *context, const struct entry *entry), void *context) {
    struct scan_visit scan = {.keyspace = keyspace, .visit = visit, .context = context};
    return table_scan(keyspace->table, cursor, visit_live, &scan);
}

uint64_t keyspace_scan_stored(const struct keyspace *keyspace, uint64_t cursor,
                              void (*visit)(void *context, const struct entry *entry), void *context) {
    struct scan_visit scan = {.keyspace = keyspace, .visit = visit, .context = context};
    return table_scan(keyspace->table, cursor, visit_stored, &scan);
}

void keyspace_pin(struct keyspace *keyspace) {
    keyspace->pins++;
    table_pin(keyspace->table);
}

void keyspace_unpin(struct keyspace *keyspace) {
    assert(keyspace->pins > 0);
    keyspace->pins--;
    table_unpin(keyspace->table);
}

/* NULL: none of a few at some place. */
static const struct entry *sample_live(struct keyspace *keyspace) {
    struct entry *sample[RANDOM_SAMPLE];
    size_t n = table_sample(keyspace->table, keyspace_next_random(keyspace), sample, RANDOM_SAMPLE);
    size_t first = n == 0 ? 0 : (size_t)(keyspace_next_random(keyspace) % n);
    for (size_t i = 0; i < n; i++) {
        struct entry *entry = sample[(first + i) % n];
        if (keyspace_dropped(keyspace, entry)) {
            continue;
        }
        if (!keyspace_expired(keyspace, entry)) {
            return entry;
        }
        if (keyspace->owner && !keyspace->paused) {
            struct key key = keyspace_key(keyspace, entry_key(entry));
            keyspace_delete_expired(keyspace, &key, entry, KEYSPACE_SWEPT);
        }
    }
    return NULL;
}

static void take_entry(void *context, const struct entry *entry) { *(const struct entry **)context = entry; }

/* From some place on, through a part of the table. */
static const struct entry *scan_for_live(struct keyspace *keyspace) {
    const struct entry *found = NULL;
    uint64_t cursor = keyspace_next_random(keyspace);
    for (int i = 0; i < RANDOM_SCAN_BUCKETS && found == NULL; i++) {
        cursor = keyspace_scan(keyspace, cursor, take_entry, &found);
    }
    return found;
}

const struct entry *keyspace_random(struct keyspace *keyspace) {
    for (int i = 0; i < RANDOM_TRIES && table_count(keyspace->table) > 0; i++) {
        const struct entry *entry = sample_live(keyspace);
        if (entry != NULL) {
            return entry;
        }
    }
    return table_count(keyspace->table) == 0 ? NULL : scan_for_live(keyspace);
}

struct keyspace_deadlines keyspace_sample_deadlines(struct keyspace *keyspace) {
    struct entry *sample[DEADLINE_SAMPLES_MAX];
    uint64_t hand = keyspace_next_random(keyspace);
    int64_t sum_ms = 0, live = 0;
    size_t n = table_sample_next(keyspace->table, &hand, true, DEADLINE_SAMPLES, sample, DEADLINE_SAMPLES_MAX);
    for (size_t i = 0; i < n; i++) {
        int64_t left_ms = entry_deadline_ms(sample[i]) - keyspace_now_ms(keyspace);
        sum_ms += left_ms > 0 ? left_ms : 0;
        live += left_ms > 0;
    }
    return (struct keyspace_deadlines){
        .mean_ttl_ms = live == 0 ? 0 : sum_ms / live,
        .stale_percent = n == 0 ? 0 : 100 * (double)((int64_t)n - live) / (double)n,
    };
}

struct keyspace *keyspace_create(struct loop *loop, struct history *history, size_t maxmemory_bytes) {
    struct keyspace *keyspace = calloc(1, sizeof(*keyspace));
    if (keyspace == NULL) {
        return NULL;
    }
    *keyspace = (struct keyspace){
        .loop = loop,
        .history = history,
        .maxmemory_bytes = maxmemory_bytes,
        .touching = true,
    };
    if (getrandom(keyspace->secret, sizeof(keyspace->secret), 0) != sizeof(keyspace->secret) ||
        getrandom(&keyspace->random_state, sizeof(keyspace->random_state), 0) !=
            sizeof(keyspace->random_state) ||
        (keyspace->table = table_create(keyspace->secret)) == NULL) {
        free(keyspace);
        return NULL;
    }
    keyspace->random_state |= 1;
    eviction_init(&keyspace->eviction, keyspace_next_random(keyspace));
    keyspace->free_task = (struct task){.step = free_step, .context = keyspace};
    keyspace->evict_task = (struct task){.step = keyspace_evict_step, .context = keyspace};
    keyspace->expiry_task = (struct task){.step = keyspace_expiry_step, .context = keyspace};
    keyspace->marks.used = 1; /* the new table's mark is 0 */
    keyspace->marks.task = (struct task){.step = keyspace_marks_step, .context = keyspace};
    ev_timer_init(&keyspace->expiry_timer, keyspace_on_expiry_tick, EXPIRY_TICK_MS / 1e3, EXPIRY_TICK_MS / 1e3);
    keyspace->expiry_timer.data = keyspace;
    ev_timer_start(loop_ev(loop), &keyspace->expiry_timer);
    return keyspace;
}

void keyspace_destroy(struct keyspace **keyspace) {
    struct keyspace *gone = *keyspace;
    if (gone == NULL) {
        return;
    }
    ev_timer_stop(loop_ev(gone->loop), &gone->expiry_timer);
    task_stop(gone->loop, &gone->free_task);
    task_stop(gone->loop, &gone->evict_task);
    task_stop(gone->loop, &gone->expiry_task);
    task_stop(gone->loop, &gone->marks.task);
    while (gone->dead != NULL) {
        struct dead_table *dead = gone->dead;
        gone->dead = dead->next;
        table_destroy(&dead->table);
        free(dead);
    }
    table_destroy(&gone->table);
    free(gone);
    *keyspace = NULL;
}
