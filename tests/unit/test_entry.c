#include "server/store/entry.h"

#include "tests/unit/random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

enum { LONGEST = 70000 }; /* lengths of one, two and four bytes */

static int allocated; /* entries */

void *heap_alloc(size_t bytes) {
    allocated++;
    return malloc(bytes);
}

void heap_free(void *memory) {
    allocated--;
    free(memory);
}

static const int64_t latest_ms = ((int64_t)1 << 48) - 1;

/* Text of that length that differs with the seed. Two calls may be alive at a time. */
static struct slice text(size_t len, uint64_t seed) {
    static char rooms[2][LONGEST];
    static unsigned turn;
    char *room = rooms[turn++ % 2];
    struct random random = {seed};
    assert_true(len <= LONGEST);
    random_bytes(&random, room, len);
    return slice_of(room, len);
}

static struct entry_fields fields_of(struct slice value, uint64_t version) {
    return (struct entry_fields){.value = value, .version = version, .timestamp_ms = 1700000000000};
}

static struct entry *create(struct slice key, const struct entry_fields *fields) {
    struct entry *entry = entry_create(key, fields, 0);
    assert_non_null(entry);
    return entry;
}

/* As a table does it: in place, or with a successor. */
static struct entry *overwrite(struct entry *old, const struct entry_fields *fields, unsigned mark) {
    if (entry_overwrite(old, fields, mark)) {
        return old;
    }
    struct entry *entry = entry_create_successor(old, fields, mark);
    assert_non_null(entry);
    entry_destroy(old);
    return entry;
}

static void assert_says(const struct entry *entry, struct slice key, const struct entry_fields *fields) {
    assert_true(slice_equals(entry_key(entry), key));
    assert_true(slice_equals(entry_value(entry), fields->value));
    assert_int_equal(entry_version(entry), fields->version);
    assert_int_equal(entry_timestamp_ms(entry), fields->timestamp_ms);
    assert_int_equal(entry_deadline_ms(entry), fields->deadline_ms);
}

static void says_what_it_was_given(void **state) {
    (void)state;
    const size_t lens[] = {0, 1, 7, 8, 15, 32, 255, 256, 1000, 1024, 65535, 65536, LONGEST};
    const uint64_t versions[] = {1, 255, 256, 65535, 65536, UINT32_MAX, (uint64_t)UINT32_MAX + 1, UINT64_MAX};
    const int64_t deadlines[] = {0, 1, 1700000000001, latest_ms};
    for (size_t k = 0; k < sizeof(lens) / sizeof(*lens); k++) {
        for (size_t v = 0; v < sizeof(lens) / sizeof(*lens); v++) {
            for (size_t i = 0; i < 32; i++) {
                struct slice key = text(lens[k], i);
                struct entry_fields fields = fields_of(text(lens[v], i + 1000), versions[i % 8]);
                fields.deadline_ms = deadlines[i / 8];
                fields.timestamp_ms = i % 2 == 0 ? 0 : latest_ms;
                struct entry *entry = entry_create(key, &fields, (unsigned)i % 16);
                assert_non_null(entry);
                assert_says(entry, key, &fields);
                assert_int_equal(entry_mark(entry), i % 16);
                assert_int_equal(entry_access(entry), 0);
                entry_destroy(entry);
            }
        }
    }
}

static void an_ordinary_entry_is_a_cache_line(void **state) {
    (void)state;
    struct entry_fields fields = fields_of(text(32, 1), UINT32_MAX);
    struct entry *entry = create(text(15, 2), &fields);
    assert_int_equal(entry_allocated_bytes(entry), 64);
    entry_destroy(entry);
}

static void expires_at_its_deadline(void **state) {
    (void)state;
    struct entry_fields fields = fields_of(SLICE("v"), 1);
    struct entry *never = create(SLICE("k"), &fields);
    fields.deadline_ms = 1000;
    struct entry *once = create(SLICE("k"), &fields);
    assert_false(entry_expired(never, latest_ms));
    assert_false(entry_expired(once, 999));
    assert_true(entry_expired(once, 1000));
    assert_true(entry_expired(once, 1001));
    entry_destroy(never);
    entry_destroy(once);
}

static void access_bits_stay_in_their_place(void **state) {
    (void)state;
    struct entry_fields fields = fields_of(SLICE("value"), 7);
    struct entry *entry = entry_create(SLICE("key"), &fields, 15);
    assert_non_null(entry);
    entry_set_access(entry, 0xffffff);
    assert_int_equal(entry_access(entry), 0xffffff);
    assert_says(entry, SLICE("key"), &fields);
    assert_int_equal(entry_mark(entry), 15);
    entry_set_access(entry, 0xabcdef);
    fields.value = text(3000, 1);
    entry = overwrite(entry, &fields, 3);
    assert_int_equal(entry_access(entry), 0xabcdef);
    assert_int_equal(entry_mark(entry), 3);
    entry_destroy(entry);
}

static void overwrites_the_same_size_in_place(void **state) {
    (void)state;
    struct slice key = SLICE("key:00000000001");
    struct entry_fields fields = fields_of(text(32, 1), 255);
    struct entry *entry = create(key, &fields);
    fields = fields_of(text(32, 2), 256); /* the version takes one byte more: the key moves */
    assert_ptr_equal(overwrite(entry, &fields, 0), entry);
    assert_says(entry, key, &fields);
    fields = fields_of(text(31, 3), 257);
    assert_ptr_equal(overwrite(entry, &fields, 0), entry);
    assert_says(entry, key, &fields);
    fields = fields_of(text(32, 4), 1); /* and back */
    assert_ptr_equal(overwrite(entry, &fields, 0), entry);
    assert_says(entry, key, &fields);
    entry_destroy(entry);
}

static void gives_back_what_a_shorter_value_leaves(void **state) {
    (void)state;
    struct entry_fields fields = fields_of(text(5000, 1), 1);
    struct entry *entry = create(SLICE("key"), &fields);
    fields = fields_of(text(5, 2), 2);
    entry = overwrite(entry, &fields, 0);
    assert_says(entry, SLICE("key"), &fields);
    assert_int_equal(entry_allocated_bytes(entry), 32);
    entry_destroy(entry);
}

/* Every part of an entry's own value and key as its new value, with the version and the deadline shifting them.
 */
static void a_value_may_be_part_of_the_entry_it_replaces(void **state) {
    (void)state;
    const size_t lens[] = {1, 20, 32, 100, 255, 256, 300};
    const uint64_t versions[] = {255, 256, 65536, 1};
    struct slice key = SLICE("a key of some length");
    for (size_t i = 0; i < sizeof(lens) / sizeof(*lens); i++) {
        for (size_t from = 0; from < lens[i]; from++) {
            for (size_t len = 0; from + len <= lens[i]; len += 1 + len / 8) {
                struct entry_fields before = fields_of(text(lens[i], i), versions[len % 4]);
                struct entry *entry = create(key, &before);
                struct entry_fields after =
                    fields_of(slice_first(slice_skip(entry_value(entry), from), len), versions[from % 4]);
                after.deadline_ms = (len + from) % 3 == 0 ? 77 : 0;
                entry = overwrite(entry, &after, 0);
                after.value = slice_first(slice_skip(before.value, from), len);
                assert_says(entry, key, &after);
                entry_destroy(entry);
            }
        }
    }
    struct entry_fields fields = fields_of(text(21, 9), 255);
    struct entry *entry = create(key, &fields);
    fields = fields_of(entry_key(entry), 256);
    entry = overwrite(entry, &fields, 0);
    fields.value = key;
    assert_says(entry, key, &fields);
    entry_destroy(entry);
}

static void a_deadline_comes_and_goes(void **state) {
    (void)state;
    struct slice key = text(15, 1);
    for (size_t len = 0; len < 1200; len++) {
        struct entry_fields fields = fields_of(text(len, len), 1 + len);
        key = text(15, 1);
        struct entry *entry = create(key, &fields);
        entry_set_access(entry, 0x123456);
        const int64_t deadlines[] = {0, 5000, latest_ms, 0, 9, 0};
        for (size_t i = 0; i < 6; i++) {
            entry = entry_set_deadline(entry, deadlines[i], 1 + (unsigned)i);
            fields.deadline_ms = deadlines[i];
            assert_says(entry, key, &fields);
            assert_int_equal(entry_mark(entry), 1 + i);
            assert_int_equal(entry_access(entry), 0x123456);
        }
        entry_destroy(entry);
    }
}

static void a_deadline_does_not_copy_a_large_value(void **state) {
    (void)state;
    for (size_t len = 1024; len < 40000; len += 97) {
        struct entry_fields fields = fields_of(text(len, 1), 1);
        struct entry *entry = create(SLICE("key"), &fields);
        const char *value = entry_value(entry).ptr;
        assert_ptr_equal(entry_set_deadline(entry, 5000, 0), entry);
        assert_ptr_equal(entry_value(entry).ptr, value);
        entry_destroy(entry);
    }
}

static void survives_random_overwrites(void **state) {
    (void)state;
    struct random random = random_start("test_entry");
    for (size_t round = 0; round < 200; round++) {
        char key_room[300], value_room[1500];
        struct slice key = slice_of(key_room, random_below(&random, sizeof(key_room)));
        random_bytes(&random, key_room, key.len);
        struct entry_fields fields = fields_of(slice_of(value_room, 0), 1);
        struct entry *entry = create(key, &fields);
        for (size_t i = 0; i < 100; i++) {
            fields.value.len = random_below(&random, sizeof(value_room));
            random_bytes(&random, value_room, fields.value.len);
            fields.version = random_magnitude(&random);
            fields.timestamp_ms = (int64_t)(random_magnitude(&random) >> 16);
            fields.deadline_ms = random_below(&random, 2) == 0 ? 0 : (int64_t)(random_magnitude(&random) >> 16);
            entry = overwrite(entry, &fields, 0);
            assert_says(entry, key, &fields);
        }
        entry_destroy(entry);
    }
}

/* What the value is after a patch, made the plain way. */
static struct slice patched(char room[4096], struct slice value, struct slice patch, size_t at) {
    size_t len = at + patch.len > value.len ? at + patch.len : value.len;
    memset(room, 0, len);
    memcpy(room, value.ptr, value.len);
    memcpy(room + at, patch.ptr, patch.len);
    return slice_of(room, len);
}

/* Of the entry's own value, and of another one; in its place, behind it, and with a gap between. */
static void patches_a_value(void **state) {
    (void)state;
    const size_t lens[] = {0, 1, 30, 200, 255, 256, 1000, 1023, 1500};
    const size_t patch_lens[] = {1, 2, 50, 300};
    struct slice key = SLICE("a key of some length");
    for (size_t i = 0; i < sizeof(lens) / sizeof(*lens); i++) {
        for (size_t at = 0; at < 2000; at += 37) {
            size_t patch_len = patch_lens[at % 4];
            char before[1500], patch[300], room[4096];
            memcpy(before, text(lens[i], 1).ptr, lens[i]);
            memcpy(patch, text(patch_len, 2).ptr, patch_len);
            struct entry_fields fields = fields_of(slice_of(before, lens[i]), 255);
            struct entry *entry = create(key, &fields);
            fields.value = at % 2 == 0 ? entry_value(entry) : slice_of(before, lens[i]);
            fields.version = at % 3 == 0 ? 256 : 254;
            const struct entry_patch one = {at, slice_of(patch, patch_len)};
            fields.patches = &one;
            fields.patch_count = 1;
            entry = overwrite(entry, &fields, 0);
            fields.value = patched(room, slice_of(before, lens[i]), one.bytes, at);
            fields.patch_count = 0;
            assert_says(entry, key, &fields);
            entry_destroy(entry);
        }
    }
}

static void a_patch_does_not_move_a_large_value(void **state) {
    (void)state;
    struct entry_fields fields = fields_of(text(5000, 1), 1);
    struct entry *entry = create(SLICE("key"), &fields);
    const char *value = entry_value(entry).ptr;
    for (size_t at = 0; at < 5010; at += 501) {
        const struct entry_patch patch = {at, SLICE("patched")};
        fields = (struct entry_fields){
            .value = entry_value(entry), .version = 2, .patches = &patch, .patch_count = 1};
        assert_ptr_equal(overwrite(entry, &fields, 0), entry);
        assert_ptr_equal(entry_value(entry).ptr, value);
    }
    entry_destroy(entry);
}

static void patches_at_several_places_with_zeros_between(void **state) {
    (void)state;
    struct entry_fields fields = fields_of(SLICE("0123456789"), 1);
    struct entry *entry = create(SLICE("key"), &fields);
    const struct entry_patch patches[] = {
        {0, SLICE("a")}, {3, SLICE("")}, {8, SLICE("bcd")}, {13, SLICE("e")}, {16, SLICE("")}};
    fields.value = entry_value(entry);
    fields.patches = patches;
    fields.patch_count = sizeof(patches) / sizeof(patches[0]);
    entry = overwrite(entry, &fields, 0);
    fields.value = SLICE("a1234567bcd\0\0e\0\0");
    fields.patch_count = 0;
    assert_says(entry, SLICE("key"), &fields);
    entry_destroy(entry);
}

/* --- loans */

static const struct entry *lent_twice(struct entry **entry, char room[LONGEST]) {
    struct entry_fields fields = fields_of(text(LONGEST, 1), 1);
    memcpy(room, fields.value.ptr, LONGEST);
    allocated = 0;
    *entry = create(SLICE("key"), &fields);
    assert_true(entry_is_lendable(*entry));
    entry_lend(*entry);
    entry_lend(*entry);
    return *entry;
}

static void give_back_twice(const struct entry *lent, const char room[LONGEST]) {
    assert_memory_equal(entry_value(lent).ptr, room, LONGEST);
    entry_give_back(lent);
    assert_memory_equal(entry_value(lent).ptr, room, LONGEST);
    int before = allocated;
    entry_give_back(lent);
    assert_int_equal(allocated, before - 1);
}

static void what_is_lent_stays_when_its_entry_is_destroyed(void **state) {
    (void)state;
    static char room[LONGEST];
    struct entry *entry;
    const struct entry *lent = lent_twice(&entry, room);
    entry_destroy(entry);
    give_back_twice(lent, room);
    assert_int_equal(allocated, 0);
}

static void what_is_lent_stays_when_it_is_overwritten(void **state) {
    (void)state;
    static char room[LONGEST], expected[LONGEST];
    struct entry *entry;
    const struct entry *lent = lent_twice(&entry, room);
    struct entry_fields fields = fields_of(entry_value(entry), 2);
    const struct entry_patch patch = {1000, SLICE("patched")};
    fields.patches = &patch;
    fields.patch_count = 1;
    entry = overwrite(entry, &fields, 0); /* otherwise in place */
    assert_ptr_not_equal(entry, lent);
    memcpy(expected, room, LONGEST);
    memcpy(expected + 1000, "patched", 7);
    fields.value = slice_of(expected, LONGEST);
    fields.patch_count = 0;
    assert_says(entry, SLICE("key"), &fields);
    const struct entry *second = entry; /* the new one is nobody's */
    assert_ptr_equal(overwrite(entry, &fields, 0), second);
    give_back_twice(lent, room);
    entry_destroy(entry);
    assert_int_equal(allocated, 0);
}

static void what_was_lent_and_given_back_is_as_before(void **state) {
    (void)state;
    static char room[LONGEST];
    struct entry *entry;
    const struct entry *lent = lent_twice(&entry, room);
    assert_ptr_equal(entry_set_deadline(entry, 5000, 3), entry); /* moves nothing */
    assert_memory_equal(entry_value(lent).ptr, room, LONGEST);
    entry_give_back(lent);
    entry_give_back(lent);
    struct entry_fields fields = fields_of(text(LONGEST, 2), 2);
    assert_ptr_equal(overwrite(entry, &fields, 0), entry);
    entry_destroy(entry);
    assert_int_equal(allocated, 0);
}

static void a_reserve_becomes_an_entry(void **state) {
    (void)state;
    const size_t key_lens[] = {0, 1, 255, 256, 65535, 65536};
    const uint64_t versions[] = {1, 256, UINT32_MAX, UINT64_MAX};
    for (size_t i = 0; i < 6 * 4 * 2; i++) {
        struct slice key = text(key_lens[i % 6], i), value = text(ENTRY_LENDABLE_BYTES + i, i + 1);
        struct entry_reserve reserve;
        assert_true(entry_reserve(&reserve, key.len, value.len));
        const char *at = reserve.value.ptr;
        assert_int_equal(reserve.value.len, value.len);
        memcpy((char *)at, value.ptr, value.len);
        memcpy((char *)at + value.len, "\r\n\r\n", ENTRY_BORROWERS_BYTES);
        struct entry_fields fields = fields_of(reserve.value, versions[i % 4]);
        fields.deadline_ms = i < 24 ? 0 : latest_ms;
        struct entry *entry = entry_fill(&reserve, key, &fields, 3, 77);
        assert_null(reserve.entry);
        fields.value = value;
        assert_says(entry, key, &fields);
        assert_ptr_equal(entry_value(entry).ptr, at);
        assert_int_equal(entry_mark(entry), 3);
        assert_int_equal(entry_access(entry), 77);
        struct entry *plain = create(key, &fields);
        assert_int_equal(entry_allocated_bytes(entry), entry_allocated_bytes(plain));
        entry_destroy(plain);
        entry_lend(entry);
        entry_destroy(entry);
        assert_true(slice_equals(entry_value(entry), value));
        entry_give_back(entry);
        assert_int_equal(allocated, 0);
    }
}

static void a_reserve_is_given_back(void **state) {
    (void)state;
    struct entry_reserve reserve;
    assert_true(entry_reserve(&reserve, 3, LONGEST));
    assert_int_equal(allocated, 1);
    entry_reserve_deinit(&reserve);
    entry_reserve_deinit(&reserve);
    assert_int_equal(allocated, 0);
}

static void a_short_value_is_not_lent(void **state) {
    (void)state;
    for (size_t len = ENTRY_LENDABLE_BYTES - 1; len <= ENTRY_LENDABLE_BYTES; len++) {
        struct entry_fields fields = fields_of(text(len, 1), 1);
        struct entry *entry = create(SLICE("key"), &fields);
        assert_int_equal(entry_is_lendable(entry), len == ENTRY_LENDABLE_BYTES);
        entry_destroy(entry);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(says_what_it_was_given),
        cmocka_unit_test(an_ordinary_entry_is_a_cache_line),
        cmocka_unit_test(expires_at_its_deadline),
        cmocka_unit_test(access_bits_stay_in_their_place),
        cmocka_unit_test(overwrites_the_same_size_in_place),
        cmocka_unit_test(gives_back_what_a_shorter_value_leaves),
        cmocka_unit_test(a_value_may_be_part_of_the_entry_it_replaces),
        cmocka_unit_test(a_deadline_comes_and_goes),
        cmocka_unit_test(a_deadline_does_not_copy_a_large_value),
        cmocka_unit_test(survives_random_overwrites),
        cmocka_unit_test(patches_a_value),
        cmocka_unit_test(a_patch_does_not_move_a_large_value),
        cmocka_unit_test(patches_at_several_places_with_zeros_between),
        cmocka_unit_test(what_is_lent_stays_when_its_entry_is_destroyed),
        cmocka_unit_test(what_is_lent_stays_when_it_is_overwritten),
        cmocka_unit_test(what_was_lent_and_given_back_is_as_before),
        cmocka_unit_test(a_short_value_is_not_lent),
        cmocka_unit_test(a_reserve_becomes_an_entry),
        cmocka_unit_test(a_reserve_is_given_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
