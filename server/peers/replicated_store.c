#include "server/peers/replicated_store.h"

#include "server/store/keyspace.h"

struct state_writer {
    struct buf *out;
    bool plain;
    uint64_t count;
};

static void write_entry(void *context, const struct entry *entry) {
    struct state_writer *writer = context;
    void (*write)(struct buf *, struct slice, struct slice, uint64_t, int64_t, int64_t) =
        writer->plain ? line_replicate : line_replicate_x;
    write(writer->out, entry_key(entry), entry_value(entry), entry_version(entry), entry_timestamp_ms(entry),
          entry_deadline_ms(entry));
    writer->count++;
}

uint64_t replicated_store_scan(void *keyspace, uint64_t cursor, bool plain, struct buf *out, uint64_t *count) {
    struct state_writer writer = {.out = out, .plain = plain};
    cursor = keyspace_scan_stored(keyspace, cursor, write_entry, &writer);
    *count += writer.count;
    return cursor;
}

uint64_t replicated_store_export(const struct keyspace *keyspace, uint64_t cursor, struct buf *out,
                                 uint64_t *count) {
    struct state_writer writer = {.out = out};
    cursor = keyspace_scan(keyspace, cursor, write_entry, &writer);
    *count += writer.count;
    return cursor;
}

static void store_say(void *keyspace, struct slice name, uint64_t version, struct buf *out) {
    struct key key = keyspace_key(keyspace, name);
    const struct entry *entry = keyspace_peek(keyspace, &key);
    if (entry != NULL && entry_version(entry) == version) {
        line_replicate(out, name, entry_value(entry), version, entry_timestamp_ms(entry),
                       entry_deadline_ms(entry));
    }
}

static uint64_t store_floor(void *keyspace) { return keyspace_floor(keyspace); }

/* What an entry has beside key and value, and what a line has, is about the same. */
static uint64_t store_bytes(void *keyspace) { return keyspace_used_bytes(keyspace); }

static enum err store_apply(void *keyspace, const struct line *line, int64_t timestamp_ms) {
    return keyspace_apply(keyspace, line, timestamp_ms);
}

static enum err store_apply_if_newer(void *keyspace, const struct line *line, int64_t timestamp_ms) {
    return keyspace_apply_if_newer(keyspace, line, timestamp_ms);
}

static enum err store_adopt(void *keyspace, const struct line *line) { return keyspace_adopt(keyspace, line); }

static void store_adopt_floor(void *keyspace, uint64_t floor) { keyspace_adopt_floor(keyspace, floor); }

static bool store_full_begin(void *keyspace) { return keyspace_full_begin(keyspace); }

static void store_full_end(void *keyspace, uint64_t floor, bool joins) {
    keyspace_raise_floor(keyspace, floor);
    keyspace_full_end(keyspace, joins);
}

static void store_empty(void *keyspace) {
    keyspace_apply(keyspace, &(struct line){.verb = LINE_FLUSH, .version = keyspace_floor(keyspace)}, 0);
}

struct group_data replicated_store(struct keyspace *keyspace) {
    return (struct group_data){
        .context = keyspace,
        .scan = replicated_store_scan,
        .say = store_say,
        .floor = store_floor,
        .bytes = store_bytes,
        .apply = store_apply,
        .apply_if_newer = store_apply_if_newer,
        .adopt = store_adopt,
        .adopt_floor = store_adopt_floor,
        .full_begin = store_full_begin,
        .full_end = store_full_end,
        .empty = store_empty,
    };
}
