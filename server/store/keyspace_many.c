/* A value that may have to come back must not be lost. So a key is written in one of three ways, each of which
 * can be undone without memory:
 *
 *   there is none             a new entry; it goes again
 *   a small one, and it fits  in place; an image of the entry as it was is put back
 *   any other one             by a successor; the old entry is kept, and takes its place again
 *
 * All is undone from the last to the first: a key that is there twice was written twice. What it was written
 * first stays where it is (entry_untold): it is told at the end, too.
 */
#include "server/store/keyspace_internal.h"

#include <stdlib.h>

/* A larger image costs more than a successor. */
enum { IMAGE_MAX_BYTES = 1024, IMAGES_FIRST_BYTES = 1024 };

enum way { WAY_NEW, WAY_IN_PLACE, WAY_SUCCESSOR };

struct keyspace_written {
    struct key key;
    struct entry *entry;
    uint64_t version;
    size_t value_len;
    enum way way;
    union {
        size_t image_at;   /* in many->images, up to the next one */
        struct entry *old; /* that was succeeded */
    };
};

void keyspace_many_begin(struct keyspace_many *many, struct keyspace *keyspace, size_t most) {
    *many = (struct keyspace_many){.keyspace = keyspace, .written = malloc(most * sizeof(*many->written))};
    many->err = many->written == NULL ? ERR_NO_MEMORY : ERR_NONE;
    buf_init(&many->images, SIZE_MAX);
    buf_reserve(&many->images, IMAGES_FIRST_BYTES);
    keyspace_batch_begin(keyspace);
}

/* False: not this way, and nothing has changed. */
static bool overwrite_in_place(struct keyspace_many *many, const struct table_place *place,
                               const struct entry_fields *fields, size_t *image_at) {
    struct slice image = entry_image(place->entry);
    struct buf *images = &many->images;
    *image_at = buf_used(images);
    if (image.len > IMAGE_MAX_BYTES || entry_untold(place->entry)) {
        return false;
    }
    buf_append_slice(images, image);
    if (!buf_failed(images) && table_overwrite_in_place(many->keyspace->table, place, fields)) {
        return true;
    }
    buf_truncate(images, *image_at);
    return false;
}

/* The entry is NULL: out of memory, and nothing has changed. */
static void write_one(struct keyspace_many *many, struct keyspace_written *written,
                      const struct table_place *place, const struct entry_fields *fields) {
    struct keyspace *keyspace = many->keyspace;
    if (place->entry == NULL) {
        written->way = WAY_NEW;
        written->entry = keyspace_put(keyspace, &written->key, place, fields);
    } else if (overwrite_in_place(many, place, fields, &written->image_at)) {
        written->way = WAY_IN_PLACE;
        written->entry = place->entry;
    } else {
        written->way = WAY_SUCCESSOR;
        written->old = place->entry;
        written->entry = table_succeed(keyspace->table, place, fields);
    }
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
    struct entry_fields fields = {.value = value};
    many->err = keyspace_begin_write(keyspace, key, place.entry, &fields);
    if (many->err != ERR_NONE) {
        return;
    }
    struct keyspace_written *written = &many->written[many->count];
    written->key = *key;
    written->version = fields.version;
    written->value_len = value.len;
    write_one(many, written, &place, &fields);
    if (written->entry == NULL) {
        many->err = ERR_NO_MEMORY;
        return;
    }
    entry_set_untold(written->entry, true);
    many->count++;
}

static void tell(struct keyspace *keyspace, const struct keyspace_written *written) {
    const struct key *key = &written->key;
    struct slice value = entry_value_of(written->entry, key->name.len, written->value_len);
    entry_set_untold(written->entry, false);
    history_replicate(keyspace->history, key->name, value, written->version, loop_now_ms(keyspace->loop), 0);
    keyspace_end_write(keyspace, key, written->entry, written->version,
                       keyspace_written_events(written->way == WAY_NEW, false));
}

static void tell_all(struct keyspace_many *many) {
    for (size_t i = 0; i < many->count; i++) {
        struct keyspace_written *written = &many->written[i];
        tell(many->keyspace, written);
        if (written->way == WAY_SUCCESSOR) {
            entry_destroy(written->old);
        }
    }
}

static void take_back(struct keyspace_many *many, struct keyspace_written *written) {
    struct table *table = many->keyspace->table;
    const struct key *key = &written->key;
    if (written->way == WAY_NEW) {
        table_remove(table, key->hash, key->name);
        return;
    }
    struct table_place place = table_find_place(table, key->hash, key->name);
    if (written->way == WAY_IN_PLACE) {
        table_restore(table, &place, slice_skip(buf_slice(&many->images), written->image_at));
        buf_truncate(&many->images, written->image_at);
    } else {
        table_exchange(table, &place, written->old);
        entry_destroy(written->entry);
    }
}

enum err keyspace_many_end(struct keyspace_many *many) {
    if (many->err == ERR_NONE) {
        tell_all(many);
    }
    while (many->err != ERR_NONE && many->count > 0) {
        take_back(many, &many->written[--many->count]);
    }
    keyspace_batch_end(many->keyspace);
    buf_deinit(&many->images);
    free(many->written);
    return many->err;
}
