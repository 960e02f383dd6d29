#include "server/store/keyspace_internal.h"

#include "protocol/limits.h"

static enum err check_patches(const struct key *key, const struct entry_patch *patches, size_t count) {
    size_t end;
    const struct entry_patch *last = &patches[count - 1];
    return keyspace_check_lengths(key,
                                  __builtin_add_overflow(last->offset, last->bytes.len, &end) ? SIZE_MAX : end);
}

/* Are lines of the patches surely shorter than one of the key and its value? */
static bool lines_are_shorter(const struct key *key, const struct entry *entry, bool is_new,
                              const struct entry_patch *patches, size_t count) {
    size_t most = key->name.len + entry_value(entry).len,
           sum = is_new ? line_patch_bytes(key->name, SLICE("")) : 0;
    for (size_t i = 0; i < count && sum < most; i++) {
        bool too_long = patches[i].bytes.len >= most - sum;
        sum += too_long ? most : line_patch_bytes(key->name, patches[i].bytes);
    }
    return sum < most;
}

/* A PATCHX is about a key that is there: to one who does not have it, it is on its way. So a new key is said to
 * be there, and empty, before. */
static void say_patches(struct keyspace *keyspace, const struct key *key, const struct entry *entry,
                        bool is_new, const struct entry_patch *patches, size_t count) {
    bool several = is_new || count > 1;
    uint64_t version = entry_version(entry);
    int64_t timestamp_ms = entry_timestamp_ms(entry);
    if (several) {
        keyspace_batch_begin(keyspace);
    }
    if (is_new) {
        history_replicate(keyspace->history, key->name, SLICE(""), version, timestamp_ms, 0);
    }
    for (size_t i = 0; i < count; i++) {
        history_patch(keyspace->history, key->name, patches[i].offset, patches[i].bytes, version, timestamp_ms);
    }
    if (several) {
        keyspace_batch_end(keyspace);
    }
}

enum err keyspace_patch(struct keyspace *keyspace, const struct key *key, const struct table_place *found,
                        const struct entry_patch *patches, size_t count, struct keyspace_result *result) {
    enum err err = check_patches(key, patches, count);
    if (err != ERR_NONE) {
        return err;
    }
    struct table_place place = keyspace_place_to_write(keyspace, key, found);
    const struct entry *old = place.entry;
    bool is_new = old == NULL;
    struct entry_fields fields = {.patches = patches, .patch_count = count};
    if (!is_new) {
        fields.value = entry_value(old);
        fields.deadline_ms = entry_deadline_ms(old);
    }
    err = keyspace_begin_write(keyspace, key, old, &fields);
    if (err != ERR_NONE) {
        return err;
    }
    struct entry *entry = keyspace_put(keyspace, key, &place, &fields);
    if (entry == NULL) {
        return ERR_NO_MEMORY;
    }
    if (lines_are_shorter(key, entry, is_new, patches, count)) {
        say_patches(keyspace, key, entry, is_new, patches, count);
    } else {
        keyspace_say_entry(keyspace, key, entry, &fields);
    }
    keyspace_end_write(keyspace, key, entry, fields.version, keyspace_written_events(is_new, false));
    if (result != NULL) {
        *result = (struct keyspace_result){.version = fields.version, .timestamp_ms = fields.timestamp_ms};
    }
    return ERR_NONE;
}
