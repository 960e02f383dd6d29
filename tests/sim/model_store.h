/* model_store.h: the data of a node as replication sees it, as simple as can be: what the deciders are tested
 * with. The rules of versions and floor are the keyspace's (server/store/keyspace.h).
 *
 * 16 buckets of linked entries; a scan goes bucket by bucket, so a key that is there from start to end is met.
 */
#ifndef KVNODE_TESTS_SIM_MODEL_STORE_H
#define KVNODE_TESTS_SIM_MODEL_STORE_H

#include "cluster/follower.h"
#include "cluster/leader.h"

#include <stdlib.h>

enum { MODEL_BUCKETS = 16 };

struct model_entry {
    struct model_entry *next;
    uint64_t version;
    int64_t timestamp_ms, deadline_ms;
    uint64_t mark;
    size_t key_len, value_len;
    char bytes[]; /* key, value */
};

struct model_store {
    struct model_entry *buckets[MODEL_BUCKETS];
    size_t count;
    uint64_t floor, max_version;
    uint64_t mark;           /* of what is put now: raised by each state that begins */
    uint64_t whole_mark;     /* the mark when no state was under way last */
    int64_t now_ms;          /* of the owner's writes; set by the test */
    struct history *history; /* NULL: changes are written nowhere */
    enum err fail_next;      /* what the next apply answers instead of applying */
    size_t fail_after;       /* but so many are applied first */
    uint64_t told_bytes;     /* 0, or what it is told to be as long as */
    bool refuse_full;        /* a state cannot begin now */
    size_t begun;            /* states */
    /* Told every state a key comes to have; may be NULL. */
    void (*on_put)(void *context, const struct model_store *store, const struct model_entry *entry);
    void *context;
};

static inline struct slice model_key(const struct model_entry *entry) {
    return slice_of(entry->bytes, entry->key_len);
}

static inline struct slice model_value(const struct model_entry *entry) {
    return slice_of(entry->bytes + entry->key_len, entry->value_len);
}

static inline struct model_entry **model_at(struct model_store *store, struct slice key) {
    unsigned hash = 5381;
    for (size_t i = 0; i < key.len; i++) {
        hash = hash * 33 + (unsigned char)key.ptr[i];
    }
    struct model_entry **at = &store->buckets[hash % MODEL_BUCKETS];
    while (*at != NULL && !slice_equals(model_key(*at), key)) {
        at = &(*at)->next;
    }
    return at;
}

static inline struct model_entry *model_find(struct model_store *store, struct slice key) {
    return *model_at(store, key);
}

static inline void model_raise_floor(struct model_store *store, uint64_t floor) {
    store->floor = floor > store->floor ? floor : store->floor;
    store->max_version = floor > store->max_version ? floor : store->max_version;
}

static inline bool model_remove(struct model_store *store, struct slice key) {
    struct model_entry **at = model_at(store, key), *gone = *at;
    if (gone == NULL) {
        return false;
    }
    *at = gone->next;
    store->count--;
    free(gone);
    return true;
}

static inline void model_put(struct model_store *store, struct slice key, struct slice value, uint64_t version,
                             int64_t timestamp_ms, int64_t deadline_ms) {
    struct model_entry *entry = malloc(sizeof(*entry) + key.len + value.len);
    if (entry == NULL) {
        abort();
    }
    *entry = (struct model_entry){.version = version,
                                  .timestamp_ms = timestamp_ms,
                                  .deadline_ms = deadline_ms,
                                  .mark = store->mark,
                                  .key_len = key.len,
                                  .value_len = value.len};
    if (key.len > 0) {
        memcpy(entry->bytes, key.ptr, key.len);
    }
    if (value.len > 0) {
        memcpy(entry->bytes + key.len, value.ptr, value.len);
    }
    model_remove(store, key);
    struct model_entry **at = model_at(store, model_key(entry));
    entry->next = *at;
    *at = entry;
    store->count++;
    store->max_version = version > store->max_version ? version : store->max_version;
    if (store->on_put != NULL) {
        store->on_put(store->context, store, entry);
    }
}

/* The value with bytes at offset, zeros before them where it is shorter. */
static inline void model_put_patched(struct model_store *store, struct slice key, struct slice value,
                                     size_t offset, struct slice bytes, uint64_t version, int64_t timestamp_ms,
                                     int64_t deadline_ms) {
    size_t len = offset + bytes.len > value.len ? offset + bytes.len : value.len;
    char *whole = calloc(1, len + 1);
    if (whole == NULL) {
        abort();
    }
    memcpy(whole, value.ptr, value.len);
    memcpy(whole + offset, bytes.ptr, bytes.len);
    model_put(store, key, slice_of(whole, len), version, timestamp_ms, deadline_ms);
    free(whole);
}

static inline void model_clear(struct model_store *store) {
    for (size_t b = 0; b < MODEL_BUCKETS; b++) {
        while (store->buckets[b] != NULL) {
            model_remove(store, model_key(store->buckets[b]));
        }
    }
}

/* Another life of the node: nothing is left. */
static inline void model_reset(struct model_store *store) {
    model_clear(store);
    store->floor = store->max_version = store->mark = store->whole_mark = 0;
}

/* --- What an owner does --- */

static inline void model_set(struct model_store *store, struct slice key, struct slice value,
                             int64_t deadline_ms) {
    const struct model_entry *old = model_find(store, key);
    uint64_t version = (old == NULL ? store->floor : old->version) + 1;
    model_put(store, key, value, version, store->now_ms, deadline_ms);
    history_replicate(store->history, key, value, version, store->now_ms, deadline_ms);
}

/* As the keyspace says it: a new key is there, and empty, before it is patched. */
static inline void model_patch(struct model_store *store, struct slice key, size_t offset, struct slice bytes) {
    const struct model_entry *old = model_find(store, key);
    bool is_new = old == NULL;
    uint64_t version = (is_new ? store->floor : old->version) + 1;
    model_put_patched(store, key, is_new ? SLICE("") : model_value(old), offset, bytes, version, store->now_ms,
                      is_new ? 0 : old->deadline_ms);
    if (is_new) {
        history_batch_begin(store->history);
        history_replicate(store->history, key, SLICE(""), version, store->now_ms, 0);
    }
    history_patch(store->history, key, offset, bytes, version, store->now_ms);
    if (is_new) {
        history_batch_end(store->history);
    }
}

static inline bool model_delete(struct model_store *store, struct slice key) {
    const struct model_entry *old = model_find(store, key);
    if (old == NULL) {
        return false;
    }
    uint64_t version = old->version + 1;
    history_delete(store->history, key, version);
    model_remove(store, key);
    model_raise_floor(store, version);
    return true;
}

static inline bool model_expire(struct model_store *store, struct slice key, int64_t deadline_ms) {
    struct model_entry *old = model_find(store, key);
    if (old == NULL) {
        return false;
    }
    old->deadline_ms = deadline_ms;
    old->mark = store->mark;
    history_expire(store->history, key, deadline_ms);
    return true;
}

static inline void model_flush(struct model_store *store) {
    model_raise_floor(store, store->max_version);
    history_flush(store->history, store->floor);
    model_clear(store);
}

/* --- What replication does --- */

/* A state has begun and not ended. */
static inline bool model_incomplete(const struct model_store *store) {
    return store->mark != store->whole_mark;
}

/* While a state arrives, that of a key which has not come yet is passed over. */
static inline void model_patch_line(struct model_store *store, const struct line *line) {
    const struct model_entry *old = model_find(store, line->key);
    if (model_incomplete(store) && (old == NULL || old->mark != store->mark)) {
        return;
    }
    struct slice value = old == NULL ? SLICE("") : model_value(old);
    model_put_patched(store, line->key, value, (size_t)line->offset, line->value, line->version,
                      line->timestamp_ms, old == NULL ? 0 : old->deadline_ms);
}

static inline enum err model_apply(void *context, const struct line *line, int64_t timestamp_ms) {
    struct model_store *store = context;
    if (store->fail_next != ERR_NONE && store->fail_after-- == 0) {
        enum err err = store->fail_next;
        store->fail_next = ERR_NONE;
        store->fail_after = 0;
        return err;
    }
    struct model_entry *entry;
    switch (line->verb) {
    case LINE_REPLICATE:
        model_put(store, line->key, line->value, line->version,
                  line->escaped ? line->timestamp_ms : timestamp_ms, line->deadline_ms);
        break;
    case LINE_PATCH:
        model_patch_line(store, line);
        break;
    case LINE_DELETE:
        model_remove(store, line->key);
        model_raise_floor(store, line->version);
        break;
    case LINE_EXPIRE:
        entry = model_find(store, line->key);
        if (entry != NULL) {
            entry->deadline_ms = line->deadline_ms;
            entry->mark = store->mark;
        }
        break;
    case LINE_FLUSH:
        model_raise_floor(store, line->version);
        model_clear(store);
        break;
    case LINE_FLOOR:
        model_raise_floor(store, line->version);
        break;
    default:
        abort(); /* the deciders keep everything else from the data */
    }
    return ERR_NONE;
}

static inline enum err model_apply_if_newer(void *context, const struct line *line, int64_t timestamp_ms) {
    struct model_store *store = context;
    const struct model_entry *entry = model_find(store, line->key);
    if (entry == NULL ? line->verb == LINE_DELETE : line->version <= entry->version) {
        return ERR_PRECONDITION;
    }
    return model_apply(store, line, timestamp_ms);
}

/* No version of the key is to repeat with another value, of those that the line's side has used. */
static inline void model_lift_above(struct model_store *store, const struct model_entry *old,
                                    const struct line *line) {
    if (line->version < old->version ||
        (line->version == old->version && slice_equals(model_value(old), line->value))) {
        return;
    }
    model_put(store, line->key, model_value(old), line->version + 1, old->timestamp_ms, old->deadline_ms);
    const struct model_entry *entry = model_find(store, line->key);
    history_replicate(store->history, line->key, model_value(entry), entry->version, entry->timestamp_ms,
                      entry->deadline_ms);
}

static inline enum err model_adopt(void *context, const struct line *line) {
    struct model_store *store = context;
    const struct model_entry *old = model_find(store, line->key);
    if (old != NULL) {
        model_lift_above(store, old, line);
        return ERR_PRECONDITION;
    }
    uint64_t version = line->version > store->floor ? line->version : store->floor + 1;
    int64_t timestamp_ms = line->escaped ? line->timestamp_ms : store->now_ms;
    model_put(store, line->key, line->value, version, timestamp_ms, line->deadline_ms);
    history_replicate(store->history, line->key, line->value, version, timestamp_ms, line->deadline_ms);
    return ERR_NONE;
}

static inline void model_adopt_floor(void *context, uint64_t floor) {
    struct model_store *store = context;
    if (floor > store->floor) {
        history_floor(store->history, floor);
        model_raise_floor(store, floor);
    }
}

static inline uint64_t model_floor(void *context) {
    const struct model_store *store = context;
    return store->floor;
}

static inline uint64_t model_bytes(void *context) {
    enum { BESIDE_KEY_AND_VALUE = 40 };
    const struct model_store *store = context;
    uint64_t bytes = 0;
    for (size_t b = 0; b < MODEL_BUCKETS && store->told_bytes == 0; b++) {
        for (const struct model_entry *entry = store->buckets[b]; entry != NULL; entry = entry->next) {
            bytes += entry->key_len + entry->value_len + BESIDE_KEY_AND_VALUE;
        }
    }
    return bytes + store->told_bytes;
}

static inline uint64_t model_scan(void *context, uint64_t cursor, bool plain, struct buf *out,
                                  uint64_t *count) {
    struct model_store *store = context;
    for (const struct model_entry *entry = store->buckets[cursor]; entry != NULL; entry = entry->next) {
        (plain ? line_replicate : line_replicate_x)(out, model_key(entry), model_value(entry), entry->version,
                                                    entry->timestamp_ms, entry->deadline_ms);
        ++*count;
    }
    return (cursor + 1) % MODEL_BUCKETS;
}

static inline void model_say(void *context, struct slice key, uint64_t version, struct buf *out) {
    const struct model_entry *entry = model_find(context, key);
    if (entry != NULL && entry->version == version) {
        line_replicate(out, key, model_value(entry), version, entry->timestamp_ms, entry->deadline_ms);
    }
}

static inline bool model_full_begin(void *context) {
    struct model_store *store = context;
    if (store->refuse_full) {
        return false;
    }
    store->mark++;
    store->begun++;
    return true;
}

static inline void model_full_end(void *context, uint64_t floor, bool joins) {
    struct model_store *store = context;
    model_raise_floor(store, floor);
    for (size_t b = 0; b < MODEL_BUCKETS && !joins; b++) {
        struct model_entry **at = &store->buckets[b];
        while (*at != NULL) {
            struct model_entry *entry = *at;
            if (entry->mark == store->mark) {
                at = &entry->next;
            } else {
                *at = entry->next;
                free(entry);
                store->count--;
            }
        }
    }
    store->whole_mark = store->mark;
}

static inline void model_empty(void *context) {
    struct model_store *store = context;
    model_clear(store);
    store->whole_mark = store->mark;
}

static inline struct group_data model_data(struct model_store *store) {
    return (struct group_data){.context = store,
                               .scan = model_scan,
                               .say = model_say,
                               .floor = model_floor,
                               .bytes = model_bytes,
                               .apply = model_apply,
                               .apply_if_newer = model_apply_if_newer,
                               .adopt = model_adopt,
                               .adopt_floor = model_adopt_floor,
                               .full_begin = model_full_begin,
                               .full_end = model_full_end,
                               .empty = model_empty};
}

static inline bool model_same_entry(const struct model_entry *a, const struct model_entry *b) {
    return a != NULL && b != NULL && a->version == b->version && a->timestamp_ms == b->timestamp_ms &&
           a->deadline_ms == b->deadline_ms && slice_equals(model_value(a), model_value(b));
}

/* Keys, values, versions, timestamps, deadlines. */
static inline bool model_equal(struct model_store *a, struct model_store *b) {
    if (a->count != b->count) {
        return false;
    }
    for (size_t i = 0; i < MODEL_BUCKETS; i++) {
        for (const struct model_entry *entry = a->buckets[i]; entry != NULL; entry = entry->next) {
            if (!model_same_entry(entry, model_find(b, model_key(entry)))) {
                return false;
            }
        }
    }
    return true;
}

#endif
