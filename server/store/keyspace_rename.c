#include "server/store/keyspace_internal.h"

/* The deletion takes one version of the store's, the write after it another one. */
static bool versions_left(const struct keyspace *keyspace, const struct entry *entry, const struct entry *old) {
    return entry_version(entry) < UINT64_MAX - 1 && keyspace->floor < UINT64_MAX - 1 &&
           (old == NULL || entry_version(old) < UINT64_MAX);
}

static uint64_t version_under(const struct keyspace *keyspace, const struct entry *entry,
                              const struct entry *old) {
    if (old != NULL) {
        return entry_version(old) + 1;
    }
    uint64_t deletion = entry_version(entry) + 1;
    return (deletion > keyspace->floor ? deletion : keyspace->floor) + 1;
}

/* The deletion goes first, as Redis tells of the two; but the one step that can fail goes before it, for a
 * value that was deleted already might find no memory to come back. */
enum err keyspace_rename(struct keyspace *keyspace, const struct key *from, const struct key *to) {
    struct table_place place = keyspace_find_live(keyspace, to);
    const struct entry *entry = keyspace_find_live(keyspace, from).entry, *old = place.entry;
    if (entry == NULL) {
        return ERR_NO_SUCH_KEY;
    }
    enum err err = keyspace_check_lengths(to, entry_value(entry).len);
    if (err != ERR_NONE) {
        return err;
    }
    if (!versions_left(keyspace, entry, old)) {
        return ERR_VERSIONS_EXHAUSTED;
    }
    bool is_new = old == NULL;
    int64_t now_ms = keyspace_now_ms(keyspace);
    struct entry_fields fields = {
        .value = entry_value(entry),
        .version = version_under(keyspace, entry, old),
        .timestamp_ms = now_ms,
        .deadline_ms = entry_deadline_ms(entry),
    };
    keyspace_batch_begin(keyspace);
    if (is_new) {
        keyspace_delete_in_the_way(keyspace, to);
    }
    struct entry *written = keyspace_put(keyspace, to, &place, &fields);
    if (written != NULL) {
        keyspace_tell(keyspace, KEYSPACE_DELETED, from->name);
        keyspace_delete_entry(keyspace, from, entry);
        keyspace->stats.deletes++;
        keyspace_say_entry(keyspace, to, written, &fields);
        keyspace_end_write(keyspace, to, written, fields.version,
                           keyspace_written_events(is_new, fields.deadline_ms != 0));
    }
    keyspace_batch_end(keyspace);
    return written == NULL ? ERR_NO_MEMORY : ERR_NONE;
}
