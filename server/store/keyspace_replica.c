#include "server/store/keyspace_internal.h"

enum {
    MARKS = 16,
};

/* --- Replication --- */

void keyspace_raise_floor(struct keyspace *keyspace, uint64_t floor) {
    if (floor > keyspace->floor) {
        keyspace->floor = floor;
    }
    keyspace_note_version(keyspace, floor);
}

static enum err apply_replicate(struct keyspace *keyspace, const struct key *key, const struct line *line,
                                int64_t timestamp_ms) {
    struct entry_fields fields = {
        .value = line->value,
        .version = line->version,
        .timestamp_ms = line->escaped ? line->timestamp_ms : timestamp_ms,
        .deadline_ms = line->deadline_ms,
    };
    keyspace_note_version(keyspace, line->version);
    struct entry *entry = table_put(keyspace->table, key->hash, key->name, &fields);
    if (entry == NULL) {
        return ERR_NO_MEMORY;
    }
    eviction_note_write(&keyspace->eviction, entry, keyspace_now_ms(keyspace));
    keyspace_tell(keyspace, KEYSPACE_WRITTEN, key->name);
    return ERR_NONE;
}

static enum err apply_expire(struct keyspace *keyspace, const struct key *key, int64_t deadline_ms) {
    struct entry *entry = table_find(keyspace->table, key->hash, key->name);
    if (entry == NULL) {
        return ERR_NONE;
    }
    if (table_set_deadline(keyspace->table, key->hash, entry, deadline_ms) == NULL) {
        return ERR_NO_MEMORY;
    }
    keyspace_tell(keyspace, deadline_ms == 0 ? KEYSPACE_PERSISTED : KEYSPACE_DEADLINE, key->name);
    return ERR_NONE;
}

enum err keyspace_apply(struct keyspace *keyspace, const struct line *line, int64_t timestamp_ms) {
    struct key key = keyspace_key(keyspace, line->key);
    switch (line->verb) {
    case LINE_REPLICATE:
        return apply_replicate(keyspace, &key, line, timestamp_ms);
    case LINE_DELETE:
        if (table_remove(keyspace->table, key.hash, key.name)) {
            keyspace_tell(keyspace, KEYSPACE_DELETED, key.name);
        }
        keyspace_raise_floor(keyspace, line->version);
        return ERR_NONE;
    case LINE_EXPIRE:
        return apply_expire(keyspace, &key, line->deadline_ms);
    case LINE_FLUSH:
        keyspace_raise_floor(keyspace, line->version);
        keyspace_tell(keyspace, KEYSPACE_FLUSHED, SLICE(""));
        keyspace_empty(keyspace);
        return ERR_NONE;
    default:
        return ERR_NONE;
    }
}

bool keyspace_apply_if_newer(struct keyspace *keyspace, const struct line *line, int64_t timestamp_ms) {
    if (line->verb == LINE_REPLICATE || line->verb == LINE_DELETE) {
        struct key key = keyspace_key(keyspace, line->key);
        const struct entry *entry = table_find(keyspace->table, key.hash, key.name);
        if (entry != NULL && line->version <= entry_version(entry)) {
            return false;
        }
    }
    return keyspace_apply(keyspace, line, timestamp_ms) == ERR_NONE;
}

bool keyspace_adopt(struct keyspace *keyspace, const struct line *line) {
    struct key key = keyspace_key(keyspace, line->key);
    if (line->verb != LINE_REPLICATE || keyspace_find_live(keyspace, &key) != NULL ||
        keyspace->floor == UINT64_MAX) {
        return false;
    }
    struct line newer = *line; /* the version must not be one that a deletion here has taken */
    newer.version = line->version > keyspace->floor ? line->version : keyspace->floor + 1;
    int64_t timestamp_ms = line->escaped ? line->timestamp_ms : keyspace_now_ms(keyspace);
    if (apply_replicate(keyspace, &key, &newer, timestamp_ms) != ERR_NONE) {
        return false;
    }
    history_replicate(keyspace->history, key.name, line->value, newer.version, timestamp_ms, line->deadline_ms);
    return true;
}

/* --- A full state: marks tell what it has touched --- */

static void collect_unmarked(void *context, struct entry *entry) {
    struct collection *found = context;
    if (found->count < KEYSPACE_COLLECT_MAX && entry_mark(entry) != table_mark(found->keyspace->table)) {
        found->entries[found->count++] = entry;
    }
}

/* One bucket; again the same one while it gives as much as is collected at once. */
static void drop_bucket(struct keyspace *keyspace) {
    struct collection found = {.keyspace = keyspace};
    uint64_t next = table_scan(keyspace->table, keyspace->drop_cursor, collect_unmarked, &found);
    for (size_t i = 0; i < found.count; i++) {
        struct slice name = entry_key(found.entries[i]);
        keyspace_tell(keyspace, KEYSPACE_DELETED, name);
        table_remove(keyspace->table, table_hash(keyspace->table, name), name);
    }
    if (found.count < KEYSPACE_COLLECT_MAX) {
        keyspace->drop_cursor = next;
        if (next == 0) {
            keyspace->fulls_since_drop = 0;
            keyspace->dropping = false;
        }
    }
}

bool keyspace_drop_step(void *context) {
    struct keyspace *keyspace = context;
    for (int i = 0; i < KEYSPACE_BUCKETS_A_SLICE && keyspace->fulls_since_drop != 0; i++) {
        drop_bucket(keyspace);
    }
    return keyspace->fulls_since_drop != 0;
}

/* So many states broke off that the marks come round: what is there is marked alike, all of it as old. */
static void mark_all_alike(struct keyspace *keyspace) {
    uint64_t cursor = 0;
    do {
        struct collection found = {.keyspace = keyspace};
        uint64_t next = table_scan(keyspace->table, cursor, collect_unmarked, &found);
        for (size_t i = 0; i < found.count; i++) {
            struct entry *entry = found.entries[i];
            uint64_t hash = table_hash(keyspace->table, entry_key(entry));
            table_set_deadline(keyspace->table, hash, entry, entry_deadline_ms(entry));
        }
        cursor = found.count < KEYSPACE_COLLECT_MAX ? next : cursor;
    } while (cursor != 0);
    keyspace->fulls_since_drop = 0;
}

void keyspace_full_begin(struct keyspace *keyspace) {
    task_stop(keyspace->loop, &keyspace->drop_task);
    keyspace->dropping = false;
    if (keyspace->fulls_since_drop == MARKS - 1) {
        mark_all_alike(keyspace);
    }
    keyspace->fulls_since_drop++;
    table_set_mark(keyspace->table, (table_mark(keyspace->table) + 1) % MARKS);
}

void keyspace_full_end(struct keyspace *keyspace) {
    keyspace->drop_cursor = 0;
    keyspace->dropping = true;
    task_start(keyspace->loop, &keyspace->drop_task);
}

bool keyspace_full_dropping(const struct keyspace *keyspace) { return task_active(&keyspace->drop_task); }
