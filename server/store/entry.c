#include "server/store/entry.h"

#include "protocol/limits.h"

#include <assert.h>

/* From this size of key and value on there is always room for a deadline, so that setting one never copies
 * them. What can be lent has room for any version: where its value is depends on the lengths alone. */
enum { DEADLINE_ALWAYS_FROM_BYTES = 1024 };

_Static_assert(LIMIT_KEY_BYTES <= UINT32_MAX && LIMIT_VALUE_BYTES <= UINT32_MAX,
               "a length has four bytes at most");

/* What decides where everything is. */
struct layout {
    unsigned flags; /* but for the mark */
    size_t key_at;
    size_t value_len;
    size_t total_bytes;
};

static unsigned width_for(uint64_t number) {
    return number <= UINT8_MAX ? 0U : number <= UINT16_MAX ? 1U : number <= UINT32_MAX ? 2U : 3U;
}

static struct layout layout_of(size_t key_len, const struct entry_fields *fields) {
    size_t value_len = entry_fields_value_len(fields);
    unsigned key_width = width_for(key_len);
    unsigned value_width = width_for(value_len);
    unsigned version_width = width_for(value_len >= ENTRY_LENDABLE_BYTES ? UINT64_MAX : fields->version);
    bool deadline = fields->deadline_ms != 0 || key_len + value_len >= DEADLINE_ALWAYS_FROM_BYTES;
    size_t numbers = ((size_t)1 << key_width) + ((size_t)1 << value_width) + ((size_t)1 << version_width);
    size_t key_at = ENTRY_NUMBERS_AT + numbers + (deadline ? ENTRY_TIME_BYTES : 0);
    return (struct layout){
        .flags = key_width << ENTRY_KEY_WIDTH | value_width << ENTRY_VALUE_WIDTH |
                 version_width << ENTRY_VERSION_WIDTH | (deadline ? ENTRY_DEADLINE_FIELD : 0U),
        .key_at = key_at,
        .value_len = value_len,
        .total_bytes = ENTRY_FLAGS_BYTES + key_at + key_len + value_len + entry_trailer_bytes(value_len),
    };
}

static uint8_t *store_number(uint8_t *at, uint64_t number, unsigned width_log2) {
    uint8_t one = (uint8_t)number;
    uint16_t two = (uint16_t)number;
    uint32_t four = (uint32_t)number;
    switch (width_log2) {
    case 0:
        *at = one;
        break;
    case 1:
        memcpy(at, &two, sizeof(two));
        break;
    case 2:
        memcpy(at, &four, sizeof(four));
        break;
    default:
        memcpy(at, &number, sizeof(number));
        break;
    }
    return at + ((size_t)1 << width_log2);
}

static uint8_t *store_time(uint8_t *at, int64_t time_ms) {
    assert(time_ms >= 0 && time_ms >> 48 == 0);
    memcpy(at, &time_ms, ENTRY_TIME_BYTES);
    return at + ENTRY_TIME_BYTES;
}

/* All but the access bits, the key and the value. */
static void store_header(struct entry *entry, const struct layout *layout, size_t key_len,
                         const struct entry_fields *fields, unsigned mark) {
    entry->flags = (uint16_t)(layout->flags | mark << ENTRY_MARK);
    store_time(entry->bytes + ENTRY_TIMESTAMP_AT, fields->timestamp_ms);
    uint8_t *at = store_number(entry->bytes + ENTRY_NUMBERS_AT, key_len, entry_width(entry, ENTRY_KEY_WIDTH));
    at = store_number(at, layout->value_len, entry_width(entry, ENTRY_VALUE_WIDTH));
    at = store_number(at, fields->version, entry_width(entry, ENTRY_VERSION_WIDTH));
    if ((layout->flags & ENTRY_DEADLINE_FIELD) != 0) {
        store_time(at, fields->deadline_ms);
    }
}

/* A value that is where it belongs already is left there: patches cost what they are long. */
static void store_value(uint8_t *to, const struct entry_fields *fields) {
    struct slice value = fields->value;
    if (value.len > 0 && (const uint8_t *)value.ptr != to) {
        memmove(to, value.ptr, value.len);
    }
    size_t end = value.len;
    for (size_t i = 0; i < fields->patch_count; i++) {
        const struct entry_patch *patch = &fields->patches[i];
        if (patch->offset > end) {
            memset(to + end, 0, patch->offset - end);
        }
        if (patch->bytes.len > 0) {
            memcpy(to + patch->offset, patch->bytes.ptr, patch->bytes.len);
        }
        end = patch->offset + patch->bytes.len > end ? patch->offset + patch->bytes.len : end;
    }
}

/* --- Loans: their number stands behind the value, with a bit for an entry that is in no table any more. */

#define NO_TABLE (UINT32_C(1) << 31)

/* Of an entry's value. */
static uint32_t borrowers(struct slice value) {
    return value.len < ENTRY_LENDABLE_BYTES ? 0
                                            : (uint32_t)entry_load((const uint8_t *)value.ptr + value.len, 2);
}

static void set_borrowers(struct slice value, uint32_t count) {
    if (value.len >= ENTRY_LENDABLE_BYTES) {
        memcpy((char *)value.ptr + value.len, &count, sizeof(count));
    }
}

void entry_lend(const struct entry *entry) {
    assert(entry_is_lendable(entry));
    set_borrowers(entry_value(entry), borrowers(entry_value(entry)) + 1);
}

void entry_give_back(const struct entry *entry) {
    uint32_t left = borrowers(entry_value(entry)) - 1;
    if (left == NO_TABLE) {
        heap_free((void *)entry);
    } else {
        set_borrowers(entry_value(entry), left);
    }
}

void entry_destroy(struct entry *entry) {
    uint32_t count = borrowers(entry_value(entry));
    if (__builtin_expect(count > 0, 0)) {
        set_borrowers(entry_value(entry), count | NO_TABLE);
    } else {
        heap_free(entry);
    }
}

/* --- Writing */

/* To memory that has room for it, and the value perhaps where it belongs. */
static inline struct entry *write_new(struct entry *entry, const struct layout *layout, struct slice key,
                                      const struct entry_fields *fields, unsigned mark, uint32_t access) {
    store_header(entry, layout, key.len, fields, mark);
    entry_set_access(entry, access);
    uint8_t *to = entry->bytes + layout->key_at;
    if (key.len > 0) {
        memcpy(to, key.ptr, key.len);
    }
    store_value(to + key.len, fields);
    set_borrowers(slice_of(to + key.len, layout->value_len), 0);
    return entry;
}

static struct entry *create(struct slice key, const struct entry_fields *fields, unsigned mark,
                            uint32_t access) {
    struct layout layout = layout_of(key.len, fields);
    struct entry *entry = heap_alloc(heap_class(layout.total_bytes));
    return entry == NULL ? NULL : write_new(entry, &layout, key, fields, mark, access);
}

static bool points_into(struct slice s, const struct entry *entry, size_t allocated_bytes) {
    uintptr_t offset = (uintptr_t)s.ptr - (uintptr_t)entry;
    return s.len > 0 && offset < allocated_bytes;
}

bool entry_reserve(struct entry_reserve *out, size_t key_len, size_t value_len) {
    assert(value_len >= ENTRY_LENDABLE_BYTES);
    const struct entry_fields fields = {.value = slice_of(NULL, value_len)};
    struct layout layout = layout_of(key_len, &fields);
    struct entry *entry = heap_alloc(heap_class(layout.total_bytes));
    *out = (struct entry_reserve){0};
    if (entry != NULL) {
        *out =
            (struct entry_reserve){entry, key_len, slice_of(entry->bytes + layout.key_at + key_len, value_len)};
    }
    return entry != NULL;
}

void entry_reserve_deinit(struct entry_reserve *reserve) {
    if (reserve->entry != NULL) {
        heap_free(reserve->entry);
        *reserve = (struct entry_reserve){0};
    }
}

struct entry *entry_fill(struct entry_reserve *reserve, struct slice key, const struct entry_fields *fields,
                         unsigned mark, uint32_t access) {
    assert(key.len == reserve->key_len && fields->value.ptr == reserve->value.ptr);
    struct layout layout = layout_of(key.len, fields);
    struct entry *entry = reserve->entry;
    *reserve = (struct entry_reserve){0};
    return write_new(entry, &layout, key, fields, mark, access);
}

struct entry *entry_create(struct slice key, const struct entry_fields *fields, unsigned mark) {
    return create(key, fields, mark, 0);
}

struct entry *entry_create_successor(const struct entry *old, const struct entry_fields *fields,
                                     unsigned mark) {
    return create(entry_key(old), fields, mark, entry_access(old));
}

bool entry_overwrite(struct entry *entry, const struct entry_fields *fields, unsigned mark) {
    struct slice key = entry_key(entry), value = entry_value(entry);
    struct layout layout = layout_of(key.len, fields);
    size_t allocated_bytes = entry_allocated_for(entry, value);
    if (heap_class(layout.total_bytes) != allocated_bytes || borrowers(value) > 0) {
        return false;
    }
    uint8_t *to = entry->bytes + layout.key_at;
    if (to != (const uint8_t *)key.ptr) {
        /* Moving the key may trample on a value that is part of this entry. */
        if (points_into(fields->value, entry, allocated_bytes)) {
            return false;
        }
        memmove(to, key.ptr, key.len);
    }
    store_value(to + key.len, fields);
    store_header(entry, &layout, key.len, fields, mark);
    set_borrowers(slice_of(to + key.len, layout.value_len), 0);
    return true;
}

struct entry *entry_set_deadline(struct entry *old, int64_t deadline_ms, unsigned mark) {
    /* Once there, the field stays until the next write: clearing a deadline moves nothing. */
    if ((old->flags & ENTRY_DEADLINE_FIELD) != 0) {
        store_time(old->bytes + entry_deadline_at(old), deadline_ms);
        entry_set_mark(old, mark);
        return old;
    }
    if (deadline_ms == 0) {
        entry_set_mark(old, mark);
        return old;
    }
    struct entry_fields fields = {.value = entry_value(old),
                                  .version = entry_version(old),
                                  .timestamp_ms = entry_timestamp_ms(old),
                                  .deadline_ms = deadline_ms};
    struct slice key = entry_key(old);
    struct layout layout = layout_of(key.len, &fields);
    if (heap_class(layout.total_bytes) != entry_allocated_bytes(old)) {
        struct entry *entry = entry_create_successor(old, &fields, mark);
        if (entry != NULL) {
            entry_destroy(old);
        }
        return entry;
    }
    memmove(old->bytes + layout.key_at, key.ptr, key.len + fields.value.len);
    store_header(old, &layout, key.len, &fields, mark);
    return old;
}
