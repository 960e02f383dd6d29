/* The keyspace while memory fails: it grows, is overwritten, shrinks, is flushed, evicts. What was done is
 * there, what was refused is as before, and what it says to use is what it uses (its own asserts, at the end of
 * a table). */
#include "server/store/keyspace.h"
#include "tests/fault/failing_heap.h"

#include <ev.h>
#include <stdio.h>

enum { KEYS = 250, VALUE_BYTES = 700, LIMIT_BYTES = 30000 };

static struct {
    struct loop *loop;
    struct history *history;
    struct keyspace *keyspace;
    struct keyspace_observer observer;
    size_t told;          /* changes, to the observer */
    size_t turn;          /* of values: no two in a row are equal */
    size_t lengths[KEYS]; /* of the value; 0: missing */
    char firsts[KEYS];    /* its first byte */
    uint64_t versions[KEYS];
    bool timed[KEYS];
} store;

static char value_bytes[26 + VALUE_BYTES]; /* abc...zabc... */
static char names[8][16];                  /* of keys that are written together */

static struct key key_at(size_t i) {
    static char name[16];
    snprintf(name, sizeof(name), "key%zu", i);
    return keyspace_key(store.keyspace, slice_from_text(name));
}

static struct slice next_value(size_t length) { return slice_of(value_bytes + store.turn++ % 26, length); }

/* A write of it was answered with success. */
static void note_written(size_t i, struct slice value) {
    store.versions[i] = (store.lengths[i] == 0 ? keyspace_floor(store.keyspace) : store.versions[i]) + 1;
    store.lengths[i] = value.len;
    store.firsts[i] = value.ptr[0];
    store.timed[i] = false;
}

static void armed_loop(void) {
    fault_arm();
    ev_run(loop_ev(store.loop), EVRUN_NOWAIT);
    fault_disarm();
}

static void check_key(size_t i, bool may_be_gone) {
    struct key key = key_at(i);
    const struct entry *entry = keyspace_find(store.keyspace, &key, KEYSPACE_QUIETLY);
    struct slice expected = slice_of(value_bytes + (store.firsts[i] - 'a'), store.lengths[i]);
    if (entry == NULL ? store.lengths[i] > 0 && !may_be_gone : !slice_equals(entry_value(entry), expected)) {
        fault_fail("key %zu is not as it was answered", i);
    }
    if (entry != NULL && entry_version(entry) != store.versions[i]) {
        fault_fail("key %zu has version %llu, not %llu", i, (unsigned long long)entry_version(entry),
                   (unsigned long long)store.versions[i]);
    }
    if (entry != NULL && (entry_deadline_ms(entry) != 0) != store.timed[i]) {
        fault_fail("the deadline of key %zu is not as it was answered", i);
    }
}

static void check_all(bool may_be_gone) {
    size_t count = 0;
    for (size_t i = 0; i < KEYS; i++) {
        check_key(i, may_be_gone);
        count += store.lengths[i] > 0;
    }
    if (may_be_gone ? keyspace_count(store.keyspace) > count : keyspace_count(store.keyspace) != count) {
        fault_fail("%zu keys instead of %zu", keyspace_count(store.keyspace), count);
    }
}

static void set(size_t i, size_t length, bool may_be_gone) {
    struct key key = key_at(i);
    struct keyspace_set write = {.value = next_value(length)};
    fault_arm();
    enum err err = keyspace_set(store.keyspace, &key, &write, NULL);
    fault_disarm();
    if (err == ERR_NONE) {
        note_written(i, write.value);
    } else if (err != ERR_NO_MEMORY) {
        fault_fail("a write was answered with %d", (int)err);
    }
    check_key(i, may_be_gone && err != ERR_NONE);
}

static void expire(size_t i) {
    struct key key = key_at(i);
    fault_arm();
    enum err err = keyspace_expire(store.keyspace, &key, 4102444800000);
    fault_disarm();
    store.timed[i] = store.timed[i] || err == ERR_NONE;
    check_key(i, false);
}

enum { MANY = 7 };

/* MSET: some that are there and some that are not, one of them twice. All are written, or none is changed, and
 * nobody is told of it. */
static void set_many(size_t length) {
    static const size_t keys[MANY] = {0, 1, KEYS - 1, 2, KEYS - 2, 1, 3};
    struct slice values[MANY];
    uint64_t index = history_index(store.history), writes = keyspace_stats(store.keyspace)->writes;
    size_t told = store.told, deadlines = keyspace_deadline_count(store.keyspace);
    struct keyspace_many many;
    fault_arm();
    keyspace_many_begin(&many, store.keyspace, MANY);
    for (size_t i = 0; i < MANY; i++) {
        struct key key = key_at(keys[i]);
        key.name.ptr = names[i];
        memcpy(names[i], key_at(keys[i]).name.ptr, key.name.len);
        values[i] = next_value(length + i);
        keyspace_many_set(&many, &key, values[i]);
    }
    enum err err = keyspace_many_end(&many);
    fault_disarm();
    for (size_t i = 0; i < MANY && err == ERR_NONE; i++) {
        note_written(keys[i], values[i]);
    }
    if (err != ERR_NONE && (err != ERR_NO_MEMORY || history_index(store.history) != index)) {
        fault_fail("writes of many were answered with %d, and the index moved by %llu", (int)err,
                   (unsigned long long)(history_index(store.history) - index));
    }
    if (keyspace_stats(store.keyspace)->writes != writes + (err == ERR_NONE ? MANY : 0) ||
        store.told != told + (err == ERR_NONE ? MANY : 0)) {
        fault_fail("of the writes of many some count, or were told of, and some not");
    }
    if (err != ERR_NONE && keyspace_deadline_count(store.keyspace) != deadlines) {
        fault_fail("a deadline was not put back");
    }
    check_all(false);
}

static void delete (size_t i) {
    struct key key = key_at(i);
    fault_arm();
    keyspace_delete(store.keyspace, &key, KEYSPACE_ALWAYS, 0, NULL);
    fault_disarm();
    store.lengths[i] = 0;
    check_key(i, false);
}

static void flush(void) {
    fault_arm();
    keyspace_flush(store.keyspace);
    fault_disarm();
    memset(store.lengths, 0, sizeof(store.lengths));
    memset(store.timed, 0, sizeof(store.timed));
    armed_loop();
    check_all(false);
}

static void happened(void *context, const struct keyspace *keyspace, enum keyspace_event event,
                     struct slice key) {
    (void)context, (void)keyspace, (void)event, (void)key;
    store.told++;
}

static void begin(void) {
    memset(&store, 0, sizeof(store));
    memset(store.firsts, 'a', sizeof(store.firsts));
    for (size_t i = 0; i < sizeof(value_bytes); i++) {
        value_bytes[i] = (char)('a' + i % 26);
    }
    store.loop = loop_create();
    store.history = history_create(history_make_id(1000, 1), 1 << 16);
    history_keep(store.history);
    store.keyspace = keyspace_create(store.loop, store.history, 0);
    assert_non_null(store.keyspace);
    keyspace_set_owner(store.keyspace, true);
    store.observer = (struct keyspace_observer){.events = KEYSPACE_CHANGES, .happened = happened};
    keyspace_observe(store.keyspace, &store.observer);
}

static void end(void) {
    keyspace_destroy(&store.keyspace);
    history_destroy(&store.history);
    loop_destroy(&store.loop);
}

static void a_life(void) {
    begin();
    for (size_t i = 0; i < KEYS; i++) {
        set(i, 1 + i, false);
    }
    for (size_t i = 0; i < KEYS; i += 3) {
        set(i, VALUE_BYTES - i, false);
        expire(i);
    }
    check_all(false);
    for (size_t i = 0; i < KEYS; i++) {
        if (i % 10 != 0) {
            delete (i);
        }
    }
    armed_loop();
    check_all(false);
    set_many(50);
    for (size_t i = 0; i < KEYS; i += 10) {
        expire(i);
    }
    set_many(51); /* most of it in place, and key 0 had a deadline */
    set_many(600);
    flush();
    set_many(5);
    set(0, 1, false);
    fault_memory_is_back();
    for (size_t i = 0; i < KEYS; i++) {
        set(i, 9, false);
    }
    check_all(false);
    end();
}

/* Over its limit: it may refuse, and it evicts; what is there is right. */
static void a_full_store(void) {
    begin();
    keyspace_set_maxmemory(store.keyspace, LIMIT_BYTES);
    keyspace_set_policy(store.keyspace, EVICTION_ALLKEYS_LRU);
    for (size_t i = 0; i < KEYS; i++) {
        fault_arm();
        enum err err = keyspace_make_room(store.keyspace);
        fault_disarm();
        if (err == ERR_NONE) {
            set(i, VALUE_BYTES - i, true);
        }
        armed_loop();
    }
    check_all(true);
    assert_true(keyspace_used_bytes(store.keyspace) < 2 * LIMIT_BYTES);
    assert_true(keyspace_stats(store.keyspace)->evicted > 0);
    end();
}

static void test_a_life(void **state) {
    (void)state;
    fault_each(a_life);
}

static void test_a_full_store(void **state) {
    (void)state;
    fault_each(a_full_store);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_life),
        cmocka_unit_test(test_a_full_store),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
