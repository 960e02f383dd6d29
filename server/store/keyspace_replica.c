#include "server/store/keyspace_internal.h"

/* --- Replication --- */

void keyspace_raise_floor(struct keyspace *keyspace, uint64_t floor) {
    if (floor > keyspace->floor) {
        keyspace->floor = floor;
    }
    keyspace_note_version(keyspace, floor);
}

static uint64_t version_after(uint64_t version) { return version == UINT64_MAX ? version : version + 1; }

static enum err put_line(struct keyspace *keyspace, const struct key *key, const struct entry_fields *fields) {
    keyspace_note_version(keyspace, fields->version);
    struct entry *entry = table_put(keyspace->table, key->hash, key->name, fields);
    if (entry == NULL) {
        return ERR_NO_MEMORY;
    }
    eviction_note_write(&keyspace->eviction, entry, keyspace_now_ms(keyspace));
    keyspace_tell(keyspace, KEYSPACE_WRITTEN, key->name);
    return ERR_NONE;
}

static enum err apply_replicate(struct keyspace *keyspace, const struct key *key, const struct line *line,
                                int64_t timestamp_ms) {
    const struct entry_fields fields = {
        .value = line->value,
        .version = line->version,
        .timestamp_ms = line->escaped ? line->timestamp_ms : timestamp_ms,
        .deadline_ms = line->deadline_ms,
    };
    return put_line(keyspace, key, &fields);
}

/* A key that is not part of the arriving state yet comes with its state line, which has these bytes. */
static enum err apply_patch(struct keyspace *keyspace, const struct key *key, const struct line *line) {
    const struct entry *entry = table_find(keyspace->table, key->hash, key->name);
    if (keyspace->filling && (entry == NULL || entry_mark(entry) != table_mark(keyspace->table))) {
        return ERR_NONE;
    }
    bool missing = entry == NULL || keyspace_dropped(keyspace, entry);
    const struct entry_patch patch = {.offset = (size_t)line->offset, .bytes = line->value};
    const struct entry_fields fields = {
        .value = missing ? SLICE("") : entry_value(entry),
        .version = line->version,
        .timestamp_ms = line->timestamp_ms,
        .deadline_ms = missing ? 0 : entry_deadline_ms(entry),
        .patches = &patch,
        .patch_count = 1,
    };
    return put_line(keyspace, key, &fields);
}

static enum err apply_expire(struct keyspace *keyspace, const struct key *key, int64_t deadline_ms) {
    struct table_place place = table_find_place(keyspace->table, key->hash, key->name);
    if (place.entry == NULL || keyspace_dropped(keyspace, place.entry)) {
        return ERR_NONE;
    }
    if (table_set_deadline(keyspace->table, &place, deadline_ms) == NULL) {
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
    case LINE_PATCH:
        return apply_patch(keyspace, &key, line);
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
    case LINE_FLOOR:
        keyspace_raise_floor(keyspace, line->version);
        return ERR_NONE;
    default:
        return ERR_NONE;
    }
}

/* A key that has expired or was dropped is missing: a line that writes it is newer, whatever its version. While
 * what has expired is still here, the key goes on from that version, so that none of its versions repeats. Of a
 * key that is gone altogether only the floor of all keys is known: above that, the next lines of a peer that
 * counts from 1 would be refused, so the line's version is taken. */
enum err keyspace_apply_if_newer(struct keyspace *keyspace, const struct line *line, int64_t timestamp_ms) {
    struct line newer = *line;
    if (line->verb == LINE_REPLICATE || line->verb == LINE_DELETE) {
        struct key key = keyspace_key(keyspace, line->key);
        const struct entry *live = keyspace_find_live(keyspace, &key).entry;
        const struct entry *entry = table_find(keyspace->table, key.hash, key.name);
        if (live == NULL ? line->verb == LINE_DELETE : line->version <= entry_version(live)) {
            return ERR_PRECONDITION;
        }
        if (entry != NULL && line->version <= entry_version(entry)) {
            newer.version = version_after(entry_version(entry));
        }
    }
    return keyspace_apply(keyspace, &newer, timestamp_ms);
}

/* The key has been here and elsewhere, and elsewhere its count went further, or another value has the same
 * version: to count on from here would repeat versions that somebody may hold as ETags. (Above the last version
 * there is none to go on from.) */
static bool would_repeat(const struct entry *entry, const struct line *line) {
    uint64_t version = entry_version(entry);
    if (line->version == UINT64_MAX) {
        return false;
    }
    return line->version > version ||
           (line->version == version && !slice_equals(entry_value(entry), line->value));
}

/* The entry's version rises, and all else of it stays. */
static enum err lift(struct keyspace *keyspace, const struct key *key, const struct table_place *place,
                     uint64_t version) {
    struct entry_fields fields = {
        .value = entry_value(place->entry),
        .version = version,
        .timestamp_ms = entry_timestamp_ms(place->entry),
        .deadline_ms = entry_deadline_ms(place->entry),
    };
    const struct entry *entry = table_overwrite(keyspace->table, place, &fields);
    if (entry == NULL) {
        return ERR_NO_MEMORY;
    }
    keyspace_note_version(keyspace, fields.version);
    history_replicate(keyspace->history, key->name, entry_value(entry), fields.version, fields.timestamp_ms,
                      fields.deadline_ms);
    keyspace_tell(keyspace, KEYSPACE_WRITTEN, key->name);
    return ERR_NONE;
}

enum err keyspace_adopt(struct keyspace *keyspace, const struct line *line) {
    struct key key = keyspace_key(keyspace, line->key);
    if (line->verb != LINE_REPLICATE) {
        return ERR_PRECONDITION;
    }
    struct table_place place = keyspace_find_live(keyspace, &key);
    if (place.entry != NULL && would_repeat(place.entry, line)) {
        enum err err = lift(keyspace, &key, &place, line->version + 1);
        return err == ERR_NONE ? ERR_PRECONDITION : err;
    }
    if (place.entry != NULL || keyspace->floor == UINT64_MAX) {
        return ERR_PRECONDITION;
    }
    struct line newer = *line; /* the version must not be one that a deletion here has taken */
    newer.version = line->version > keyspace->floor ? line->version : keyspace->floor + 1;
    int64_t timestamp_ms = line->escaped ? line->timestamp_ms : keyspace_now_ms(keyspace);
    enum err err = apply_replicate(keyspace, &key, &newer, timestamp_ms);
    if (err == ERR_NONE) {
        history_replicate(keyspace->history, key.name, line->value, newer.version, timestamp_ms,
                          line->deadline_ms);
    }
    return err;
}

void keyspace_adopt_floor(struct keyspace *keyspace, uint64_t floor) {
    if (floor > keyspace->floor) {
        history_floor(keyspace->history, floor);
        keyspace_raise_floor(keyspace, floor);
    }
}

/* --- A full state: marks tell what it has touched ---
 *
 *   FULL   takes a mark that no entry has: what is written from now on gets it (table_mark)
 *   END    drops all marks but that one: their entries are missing for everybody, whatever begins next
 *
 * A state that breaks off has no END: what it brought stays, as old as what was there before it. So that marks
 * are free again, passes over the table go on in the background as long as there is one that neither the last
 * FULL nor what is older needs: a pass removes entries that are dropped, and brings those of broken states to
 * the mark `old`. A mark that a pass is to free is never given to an entry before the pass is over, so a FULL,
 * an END or a FLUSH during a pass need not begin it again: what they leave is for the next one.
 */

static unsigned mark_bit(unsigned mark) { return 1U << mark; }

/* Unless one is under way; false: there is nothing to do. */
static bool begin_pass(struct keyspace *keyspace) {
    struct marks *marks = &keyspace->marks;
    if (marks->leaving == 0) {
        unsigned needed = mark_bit(table_mark(keyspace->table)) | mark_bit(marks->old);
        marks->leaving = (uint16_t)(marks->used & ~needed);
        marks->cursor = 0;
    }
    return marks->leaving != 0;
}

static void end_pass(struct marks *marks) {
    marks->used &= (uint16_t)~marks->leaving;
    marks->dropped &= (uint16_t)~marks->leaving;
    marks->leaving = 0;
}

static void collect_dropped(void *context, struct entry *entry) {
    struct collection *found = context;
    const struct marks *marks = &found->keyspace->marks;
    if (!keyspace_dropped(found->keyspace, entry)) {
        if ((marks->leaving & mark_bit(entry_mark(entry))) != 0) {
            entry_set_mark(entry, marks->old);
        }
    } else if (found->count < KEYSPACE_COLLECT_MAX) {
        found->entries[found->count++] = entry;
    }
}

/* One bucket; again the same one while it gives as much as is collected at once. */
static void pass_bucket(struct keyspace *keyspace) {
    struct marks *marks = &keyspace->marks;
    struct collection found = {.keyspace = keyspace};
    uint64_t next = table_scan(keyspace->table, marks->cursor, collect_dropped, &found);
    for (size_t i = 0; i < found.count; i++) {
        struct slice name = entry_key(found.entries[i]);
        keyspace_tell(keyspace, KEYSPACE_DELETED, name);
        table_remove(keyspace->table, table_hash(keyspace->table, name), name);
    }
    if (found.count < KEYSPACE_COLLECT_MAX) {
        marks->cursor = next;
        if (next == 0) {
            end_pass(marks);
        }
    }
}

bool keyspace_marks_step(void *context) {
    struct keyspace *keyspace = context;
    for (int i = 0; i < KEYSPACE_BUCKETS_A_SLICE; i++) {
        if (!begin_pass(keyspace)) {
            return false;
        }
        pass_bucket(keyspace);
    }
    return true;
}

bool keyspace_full_begin(struct keyspace *keyspace) {
    struct marks *marks = &keyspace->marks;
    unsigned free_marks = ~(unsigned)marks->used & (mark_bit(ENTRY_MARK_MAX + 1) - 1);
    if (free_marks == 0) {
        return false;
    }
    unsigned mark = (unsigned)__builtin_ctz(free_marks);
    marks->used |= (uint16_t)mark_bit(mark);
    table_set_mark(keyspace->table, mark);
    task_start(keyspace->loop, &marks->task);
    keyspace->filling = true;
    return true;
}

void keyspace_full_end(struct keyspace *keyspace, bool joins) {
    struct marks *marks = &keyspace->marks;
    keyspace->filling = false;
    marks->old = table_mark(keyspace->table);
    marks->dropped = joins ? marks->dropped : (uint16_t)(marks->used & ~mark_bit(marks->old));
    task_start(keyspace->loop, &marks->task);
}
