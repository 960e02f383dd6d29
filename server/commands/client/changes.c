#include "server/commands/client/changes.h"

#include <stdlib.h>

enum {
    MOST = 4096,
    MOST_BYTES = 1 << 20,
    KEPT = 64,
    KEPT_BYTES = 4096,
};

void changes_deinit(struct changes *changes) {
    free(changes->items);
    buf_deinit(&changes->bytes);
    *changes = (struct changes){0};
}

bool changes_full(const struct changes *changes, size_t key_bytes) {
    return changes->count == MOST || (changes->count > 0 && buf_used(&changes->bytes) + key_bytes > MOST_BYTES);
}

static bool grow(struct changes *changes) {
    size_t capacity = changes->capacity == 0 ? KEPT : changes->capacity * 2;
    struct change *items = realloc(changes->items, capacity * sizeof(*items));
    if (items == NULL) {
        return false;
    }
    changes->items = items;
    changes->capacity = capacity;
    return true;
}

bool changes_add(struct changes *changes, struct slice key, uint64_t client) {
    if (changes->count == changes->capacity && !grow(changes)) {
        return false;
    }
    struct change change = {.key = {.len = key.len}, .client = client, .at = buf_used(&changes->bytes)};
    changes->bytes.max_bytes = SIZE_MAX;
    buf_append_slice(&changes->bytes, key);
    if (buf_failed(&changes->bytes)) {
        return false;
    }
    changes->items[changes->count++] = change;
    return true;
}

static int compare(struct slice a, struct slice b) {
    size_t n = a.len < b.len ? a.len : b.len;
    int order = n == 0 ? 0 : memcmp(a.ptr, b.ptr, n);
    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

static int compare_changes(const void *a, const void *b) {
    return compare(((const struct change *)a)->key, ((const struct change *)b)->key);
}

void changes_sort(struct changes *changes) {
    struct change *items = changes->items;
    const char *bytes = buf_slice(&changes->bytes).ptr;
    for (size_t i = 0; i < changes->count; i++) {
        items[i].key.ptr = bytes + items[i].at;
    }
    if (changes->count < 2) {
        return;
    }
    qsort(items, changes->count, sizeof(*items), compare_changes);
    size_t last = 0;
    for (size_t i = 1; i < changes->count; i++) {
        if (compare(items[i].key, items[last].key) != 0) {
            items[++last] = items[i];
        } else if (items[i].client != items[last].client) {
            items[last].client = 0;
        }
    }
    changes->count = last + 1;
}

/* The first key that is not below the prefix; or, beyond: above all that begin with it. */
static size_t bound(const struct changes *changes, struct slice prefix, bool beyond) {
    size_t low = 0, high = changes->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = compare(slice_first(changes->items[middle].key, prefix.len), prefix);
        if (order < 0 || (beyond && order == 0)) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

const struct change *changes_range(const struct changes *changes, struct slice prefix, size_t *count) {
    size_t from = bound(changes, prefix, false);
    *count = bound(changes, prefix, true) - from;
    return changes->items + from;
}

void changes_reset(struct changes *changes) {
    if (changes->capacity > KEPT || changes->bytes.capacity > KEPT_BYTES) {
        changes_deinit(changes);
        return;
    }
    changes->count = 0;
    buf_reset(&changes->bytes);
}
