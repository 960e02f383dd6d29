/* A value that is to be taken back must not have been overwritten: every key gets a new entry, and the old one
 * is kept until the end. To exchange them again, or to take a new one out, needs no memory. */
#include "server/store/keyspace_internal.h"

#include <stdlib.h>

struct keyspace_written {
    struct key key;
    struct entry *entry, *old; /* old NULL: the key was missing */
};

void keyspace_many_begin(struct keyspace_many *many, struct keyspace *keyspace, size_t most) {
    *many = (struct keyspace_many){.keyspace = keyspace, .written = malloc(most * sizeof(*many->written))};
    many->err = many->written == NULL ? ERR_NO_MEMORY : ERR_NONE;
    keyspace_batch_begin(keyspace);
}

static struct entry *exchange(struct keyspace *keyspace, const struct key *key, const struct table_place *place,
                              const struct entry_fields *fields) {
    struct entry *entry = entry_create(key->name, fields, table_mark(keyspace->table));
    if (entry != NULL) {
        entry_set_access(entry, entry_access(place->entry));
        table_exchange(keyspace->table, place, entry);
    }
    return entry;
}

void keyspace_many_set(struct keyspace_many *many, const struct key *key, struct slice value) {
    struct keyspace *keyspace = many->keyspace;
    if (many->err == ERR_NONE) {
        many->err = keyspace_check_lengths(key, value.len);
    }
    if (many->err != ERR_NONE) {
        return;
    }
    struct table_place place = keyspace_find_live(keyspace, key);
    struct entry *old = place.entry;
    struct entry_fields fields = {.value = value};
    many->err = keyspace_begin_write(keyspace, key, old, &fields);
    if (many->err != ERR_NONE) {
        return;
    }
    struct entry *entry =
        old == NULL ? keyspace_put(keyspace, key, &place, &fields) : exchange(keyspace, key, &place, &fields);
    if (entry == NULL) {
        many->err = ERR_NO_MEMORY;
        return;
    }
    many->written[many->count++] = (struct keyspace_written){*key, entry, old};
}

/* In their order: a key that is there twice was written twice, and the first entry is the second's old one. */
static void tell_all(struct keyspace_many *many) {
    for (size_t i = 0; i < many->count; i++) {
        struct keyspace_written *written = &many->written[i];
        keyspace_say_entry(many->keyspace, &written->key, written->entry);
        keyspace_end_write(many->keyspace, &written->key, written->entry, written->old == NULL, false);
        if (written->old != NULL) {
            entry_destroy(written->old);
        }
    }
}

static void take_back_all(struct keyspace_many *many) {
    struct table *table = many->keyspace->table;
    while (many->count > 0) {
        struct keyspace_written *written = &many->written[--many->count];
        const struct key *key = &written->key;
        if (written->old == NULL) {
            table_remove(table, key->hash, key->name);
        } else {
            struct table_place place = table_find_place(table, key->hash, key->name);
            table_exchange(table, &place, written->old);
            entry_destroy(written->entry);
        }
    }
}

enum err keyspace_many_end(struct keyspace_many *many) {
    if (many->err == ERR_NONE) {
        tell_all(many);
    } else {
        take_back_all(many);
    }
    keyspace_batch_end(many->keyspace);
    free(many->written);
    return many->err;
}
