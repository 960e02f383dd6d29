/* journal_scene.h: a journal at work: the loop, a client behind the fence, a history, a store that is small and
 * known (tests/sim/model_store.h), a disk that is recorded, and voters that are played. And what must be true
 * of it whatever happens: nothing that a client was told is missing from what a recovery finds.
 *
 * The client says W (a change) or R (a look), and is told the number of the state that it may have seen: those
 * of the store are numbered through, and a digest is kept of each.
 */
#ifndef KVNODE_TESTS_UNIT_JOURNAL_SCENE_H
#define KVNODE_TESTS_UNIT_JOURNAL_SCENE_H

#include "tests/unit/played_clock.h"

#include "cluster/routing.h"
#include "server/acks.h"
#include "server/journal/journal_internal.h"
#include "server/journal/load.h"
#include "tests/sim/model_store.h"
#include "tests/unit/recorded_disk.h"

#include <sys/socket.h>

enum {
    SCENE_KEYS = 40,
    SCENE_VALUE_BYTES = 3000,
    SCENE_STATES = 4000,
    SCENE_PROMISES = 8000,
    SCENE_BACKLOG_BYTES = 1 << 20,
};

/* Told when so much was on the disk: a recovery of what is there from then on finds state, or a later one. */
struct promise {
    size_t ops, state;
};

struct scene {
    struct place place;
    struct recorded_disk *disk;
    struct journal_directory *directory;
    struct loop *loop;
    struct net *net;
    struct acks acks;
    struct routing routing; /* no more of it than the flag that acks sets */
    struct history *history;
    struct model_store store;
    struct journal *journal;
    struct random random;
    enum journal_fsync fsync;

    uint64_t digests[SCENE_STATES];
    size_t state;                        /* of the store, now */
    size_t state_of_index[SCENE_STATES]; /* of the history that there is, from first_index on */
    uint64_t first_index;

    struct conn *conn;
    int peer;
    char got[64];
    size_t got_bytes, asked, answers, refusals, breaks;
    struct promise told[SCENE_PROMISES], synced[SCENE_PROMISES];
    size_t told_count, synced_count;

    bool is_whole, high, refuses;
    size_t troubles, fatals, kept;
    void (*on_kept)(void); /* NULL: nobody asks */

    bool leads; /* a group that votes */
    uint64_t committed_index, round, asked_round;
    size_t deposed; /* conns that were closed for it */
};

static struct scene *scene;
static size_t scene_crashes; /* that were looked at, by all scenes */

/* --- The states of the store --- */

static uint64_t digest_add(uint64_t sum, const void *bytes, size_t n) {
    for (size_t i = 0; i < n; i++) {
        sum = (sum ^ ((const unsigned char *)bytes)[i]) * UINT64_C(0x100000001b3);
    }
    return sum;
}

static uint64_t scene_digest(const struct model_store *store) {
    uint64_t all = store->count;
    for (size_t b = 0; b < MODEL_BUCKETS; b++) {
        for (const struct model_entry *entry = store->buckets[b]; entry != NULL; entry = entry->next) {
            uint64_t sum =
                digest_add(UINT64_C(0xcbf29ce484222325), entry->bytes, entry->key_len + entry->value_len);
            sum = digest_add(sum, &entry->version, sizeof(entry->version));
            sum = digest_add(sum, &entry->timestamp_ms, sizeof(entry->timestamp_ms));
            sum = digest_add(sum, &entry->deadline_ms, sizeof(entry->deadline_ms));
            all += sum;
        }
    }
    return all;
}

static void scene_note_state(void) {
    assert_true(++scene->state < SCENE_STATES);
    scene->digests[scene->state] = scene_digest(&scene->store);
    uint64_t at = history_index(scene->history) - scene->first_index;
    assert_true(at < SCENE_STATES);
    scene->state_of_index[at] = scene->state;
}

/* Of the newest of the states up to that line of the history that there is. */
static size_t scene_state_of(uint64_t index) {
    size_t state = 0;
    for (uint64_t at = 0; index >= scene->first_index && at <= index - scene->first_index; at++) {
        state = scene->state_of_index[at] > state ? scene->state_of_index[at] : state;
    }
    return state;
}

static struct slice scene_key(char text[16], size_t k) {
    snprintf(text, 16, "key%02zu", k);
    return slice_from_text(text);
}

static struct slice scene_value(size_t bytes) {
    static char value[SCENE_VALUE_BYTES];
    int n = snprintf(value, sizeof(value), "%zu ", scene->state);
    memset(value + n, 'v', sizeof(value) - (size_t)n);
    return slice_of(value, bytes < 16 ? 16 : bytes);
}

/* Any change. */
static void scene_change(void) {
    char key[16];
    struct slice name = scene_key(key, random_below(&scene->random, SCENE_KEYS));
    scene->store.now_ms = loop_now_ms(scene->loop) & ~(int64_t)127; /* a CLOCK now and then */
    switch (random_below(&scene->random, 8)) {
    case 0:
        history_batch_begin(scene->history);
        for (size_t k = 0; k < 3; k++) {
            model_set(&scene->store, scene_key(key, k), scene_value(16), 0);
        }
        history_batch_end(scene->history);
        break;
    case 1:
        if (!model_delete(&scene->store, name)) {
            model_set(&scene->store, name, scene_value(100), 0);
        }
        break;
    case 2:
        model_patch(&scene->store, name, random_below(&scene->random, 20), scene_value(16));
        break;
    case 3:
        if (!model_expire(&scene->store, name, 4000000000000 + (int64_t)scene->state)) {
            model_set(&scene->store, name, scene_value(1000), 4000000000000);
        }
        break;
    default:
        model_set(&scene->store, name, scene_value(random_below(&scene->random, 1000)), 0);
        break;
    }
    scene_note_state();
}

static void scene_fill(void) {
    char key[16];
    scene->store.now_ms = loop_now_ms(scene->loop);
    for (size_t k = 0; k < SCENE_KEYS; k++) {
        model_set(&scene->store, scene_key(key, k), scene_value(SCENE_VALUE_BYTES), 0);
        scene_note_state();
    }
}

/* --- The client --- */

static size_t scene_on_input(struct conn *conn, void *context, struct slice in) {
    (void)context;
    for (size_t i = 0; i < in.len; i++) {
        char answer[32];
        if (in.ptr[i] == 'W' && scene->refuses) {
            buf_append_text(conn_out(conn), "refused\n");
            continue;
        }
        if (in.ptr[i] == 'W') {
            scene_change();
        }
        snprintf(answer, sizeof(answer), "%zu\n", scene->refuses ? 0 : scene->state);
        buf_append_text(conn_out(conn), answer);
    }
    return in.len;
}

static void scene_read_answers(void);

/* What became of what it asked is not known. */
static void scene_on_close(struct conn *conn, void *context, enum close_reason reason) {
    (void)conn;
    (void)context;
    scene->conn = NULL;
    scene_read_answers();
    scene->asked = 0;
    scene->breaks += reason == CLOSE_NOT_KEPT;
    scene->deposed += reason == CLOSE_DEPOSED;
}

static const struct conn_handler scene_handler = {
    .on_input = scene_on_input, .on_close = scene_on_close, .fenced = true};

static void scene_connect(void) {
    int fds[2];
    if (scene->peer >= 0) {
        close(scene->peer);
    }
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    scene->peer = fds[1];
    scene->got_bytes = 0;
    scene->asked = 0;
    scene->conn = conn_adopt(scene->net, fds[0], &scene_handler, NULL, 1 << 20);
    assert_non_null(scene->conn);
}

static size_t scene_ops(void) {
    pthread_mutex_lock(&scene->disk->mutex);
    size_t ops = scene->disk->op_count;
    pthread_mutex_unlock(&scene->disk->mutex);
    return ops;
}

static void scene_promise(struct promise *promises, size_t *count, size_t state) {
    if (*count == 0 || promises[*count - 1].state < state) {
        assert_true(*count < SCENE_PROMISES);
        promises[(*count)++] = (struct promise){.ops = scene_ops(), .state = state};
    }
}

static void scene_read_answers(void) {
    for (;;) {
        ssize_t n = recv(scene->peer, scene->got + scene->got_bytes, 1, MSG_DONTWAIT);
        if (n <= 0) {
            return;
        }
        if (scene->got[scene->got_bytes++] != '\n') {
            continue;
        }
        scene->got[scene->got_bytes - 1] = '\0';
        scene->got_bytes = 0;
        scene->answers++;
        scene->asked--;
        if (strcmp(scene->got, "refused") == 0) {
            scene->refusals++;
        } else {
            scene_promise(scene->told, &scene->told_count, strtoul(scene->got, NULL, 10));
        }
    }
}

/* --- Time --- */

static void scene_turn(void) {
    played_clock_pass_ms(1);
    ev_run(loop_ev(scene->loop), EVRUN_NOWAIT);
    scene_read_answers();
    if (scene->journal != NULL && journal_synced_index(scene->journal) > 0) {
        scene_promise(scene->synced, &scene->synced_count,
                      scene_state_of(journal_synced_index(scene->journal)));
    }
}

/* What the threads are at is done, and what follows from it, and so on. */
static void scene_settle(int turns) {
    for (int i = 0; i < turns; i++) {
        if (scene->journal != NULL) {
            worker_wait(scene->journal->worker);
            worker_wait(scene->journal->janitor);
        }
        scene_turn();
    }
}

/* Until the journal goes on: it tries once a second. */
static void scene_pass_ms(int ms) {
    for (int passed = 0; passed < ms; passed += 100) {
        played_clock_pass_ms(100);
        scene_settle(3);
    }
}

static void scene_send(const char *requests) {
    if (scene->conn == NULL) {
        scene_connect();
    }
    scene->asked += strlen(requests);
    assert_int_equal(send(scene->peer, requests, strlen(requests), MSG_NOSIGNAL), (ssize_t)strlen(requests));
}

/* All that was asked has been answered. */
static void scene_answers_all(void) {
    for (int i = 0; scene->asked > 0 && i < 60; i++) {
        scene_settle(5);
        if (i >= 10) {
            scene_pass_ms(200);
        }
    }
    assert_int_equal(scene->asked, 0);
}

/* --- The journal --- */

static bool scene_is_whole(void *context) {
    (void)context;
    return scene->is_whole;
}

static void scene_on_pressure(void *context, bool high) {
    (void)context;
    scene->high = high;
}

static void scene_on_trouble(void *context, const char *error) {
    (void)context;
    scene->refuses = error != NULL;
    scene->troubles += error != NULL;
}

static void scene_on_fatal(void *context, const char *message) {
    (void)context;
    assert_null(strchr(message, '\n'));
    scene->fatals++;
}

static void scene_on_kept(void *context) {
    (void)context;
    scene->kept++;
    if (scene->on_kept != NULL) {
        scene->on_kept();
    }
}

static const struct log scene_log = {.level = LOG_ERROR + 1, .fd = 2};

static void scene_start_journal(const struct journal_tail *tail) {
    const char *reason;
    const struct journal_config config = {
        .loop = scene->loop,
        .fence = &scene->acks.fence,
        .history = scene->history,
        .data = model_data(&scene->store),
        .directory = scene->directory,
        .log = &scene_log,
        .fsync = scene->fsync,
        .compact_ratio = 2,
        .is_whole = scene_is_whole,
        .on_pressure = scene_on_pressure,
        .on_trouble = scene_on_trouble,
        .on_fatal = scene_on_fatal,
        .on_kept = scene_on_kept,
    };
    scene->journal = journal_create(&config, tail, &reason);
    assert_non_null(scene->journal);
    acks_set_journal(&scene->acks, scene->journal);
}

static bool scene_quorum(void *context, uint64_t *committed_index, uint64_t *round) {
    (void)context;
    *committed_index = scene->committed_index;
    *round = scene->round;
    return scene->leads;
}

static uint64_t scene_ask_round(void *context) {
    (void)context;
    return scene->asked_round;
}

/* The client comes before there is a journal. */
static void scene_open_net(void) {
    scene->net = net_create(scene->loop);
    const struct acks_config config = {
        .net = scene->net,
        .history = scene->history,
        .routing = &scene->routing,
        .keeps = true,
        .quorum = scene_quorum,
        .ask_round = scene_ask_round,
    };
    acks_init(&scene->acks, &config);
    scene_connect();
}

static void scene_close_net(void) {
    net_destroy(&scene->net);
    journal_destroy(&scene->journal);
    acks_deinit(&scene->acks);
}

static void scene_begin(enum journal_fsync fsync, struct random random) {
    char reason[JOURNAL_REASON_BYTES];
    scene = calloc(1, sizeof(*scene));
    assert_non_null(scene);
    scene->peer = -1;
    scene->is_whole = true;
    scene->random = random;
    scene->fsync = fsync;
    place_make(&scene->place);
    scene->disk = disk_create();
    scene->loop = loop_create();
    scene->history = history_create(1000, SCENE_BACKLOG_BYTES);
    scene->store.history = scene->history;
    scene_open_net();
    scene->directory =
        journal_directory_open(&(struct journal_wish){.path = scene->place.path}, &scene->disk->disk, reason);
    assert_non_null(scene->directory);
    scene_start_journal(&(struct journal_tail){.next_number = 1});
}

static void scene_end(void) {
    disk_wait(scene->disk, 0);
    close(scene->peer);
    scene_close_net();
    journal_directory_close(&scene->directory);
    history_destroy(&scene->history);
    loop_destroy(&scene->loop);
    model_reset(&scene->store);
    disk_destroy(scene->disk);
    place_remove(&scene->place);
    free(scene);
    scene = NULL;
}

/* Another state is taken, as a follower takes one: it has that place in that history. */
static inline void scene_take_state(uint64_t history_id, uint64_t index) {
    char key[16];
    model_clear(&scene->store);
    for (size_t k = 0; k < SCENE_KEYS; k++) {
        model_put(&scene->store, scene_key(key, k), scene_value(1000), 7, 1000, 0);
    }
    history_restart(scene->history, history_id, index, NULL);
    scene->first_index = index;
    memset(scene->state_of_index, 0, sizeof(scene->state_of_index));
    scene_note_state();
}

/* A line that cannot be kept. */
static inline void scene_lose_lines(void) {
    history_skip(scene->history, 1);
    scene_note_state();
}

/* The process ends where it is, and another one starts on what is written. (Its client, too.) */
static inline void scene_start_again(void);

/* Until the journal is there. What waits has gone on up to there, and waits again. */
static void scene_reach(enum journal_phase phase) {
    for (int i = 0; scene->journal->phase != phase && i < 2000; i++) {
        unsigned waits = scene->disk->waits;
        disk_wait(scene->disk, 0);
        worker_wait(scene->journal->worker);
        worker_wait(scene->journal->janitor);
        disk_wait(scene->disk, waits);
        scene_turn();
    }
    assert_int_equal(scene->journal->phase, phase);
}

/* Another segment, up to that phase. What the thread does waits there. */
static void scene_compact_to(enum journal_phase phase) {
    if (phase == JOURNAL_PHASE_TAIL) {
        return;
    }
    disk_wait(scene->disk, DISK_FDATASYNC);
    assert_true(journal_compact(scene->journal));
    scene_reach(JOURNAL_PHASE_SWITCHING);
    if (phase == JOURNAL_PHASE_SWITCHING) {
        return;
    }
    scene_reach(phase);
    if (phase == JOURNAL_PHASE_STATE) {
        disk_wait(scene->disk, 0);
    }
}

/* All is as it should be: what is said is answered, and a next start finds all of it. */
static inline void scene_goes_on(void) {
    size_t refusals = scene->refusals;
    scene_send("WW");
    scene_answers_all();
    assert_int_equal(scene->refusals, refusals);
    assert_false(scene->refuses);
    scene_pass_ms(1500);
    scene_reach(JOURNAL_PHASE_TAIL);
    scene_compact_to(JOURNAL_PHASE_STATE);
    scene_send("W");
    scene_answers_all();
    scene_settle(5);
    scene_reach(JOURNAL_PHASE_TAIL);
    assert_int_equal(scene->told[scene->told_count - 1].state, scene->state);
}

static inline void scene_finishes(void) {
    assert_true(journal_finish(scene->journal));
    assert_true(journal_directory_meta(scene->directory)->clean);
    scene_promise(scene->synced, &scene->synced_count, scene->state);
}

/* --- What is found --- */

struct recovered {
    struct model_store store;
    uint64_t history_id, index, digest;
    struct lineage lineage;
    struct journal_loaded loaded;
    bool ended;
    char error[JOURNAL_REASON_BYTES];
};

static void recovered_on_end(void *context, const struct journal_loaded *loaded, const char *error) {
    struct recovered *recovered = context;
    recovered->ended = true;
    recovered->loaded = *loaded;
    snprintf(recovered->error, sizeof(recovered->error), "%s", error == NULL ? "" : error);
}

static void scene_recover(const struct place *place, struct recovered *out) {
    char reason[JOURNAL_REASON_BYTES];
    struct journal_disk disk = disk_for_a_look();
    struct loop *loop = loop_create();
    struct history *history = history_create(0, SCENE_BACKLOG_BYTES);
    *out = (struct recovered){.store = {.history = history}};
    struct journal_directory *directory =
        journal_directory_open(&(struct journal_wish){.path = place->path}, &disk, reason);
    assert_non_null(directory);
    place_mark(directory, false);
    const struct journal_load_config config = {
        .loop = loop,
        .history = history,
        .data = model_data(&out->store),
        .directory = directory,
        .log = &scene_log,
        .context = out,
        .on_end = recovered_on_end,
    };
    struct journal_load *load = journal_load_start(&config, reason, sizeof(reason));
    assert_non_null(load);
    while (!out->ended) {
        ev_run(loop_ev(loop), EVRUN_NOWAIT);
    }
    out->history_id = history_id(history);
    out->index = history_index(history);
    out->lineage = *history_lineage(history);
    out->digest = scene_digest(&out->store);
    journal_load_destroy(&load);
    journal_directory_close(&directory);
    history_destroy(&history);
    loop_destroy(&loop);
    model_reset(&out->store);
}

struct started {
    struct journal_loaded loaded;
    bool ended;
};

static inline void started_on_end(void *context, const struct journal_loaded *loaded, const char *error) {
    struct started *started = context;
    assert_null(error);
    started->ended = true;
    started->loaded = *loaded;
}

static inline void scene_start_again(void) {
    char reason[JOURNAL_REASON_BYTES];
    struct started started = {.ended = false};
    disk_wait(scene->disk, 0);
    scene_close_net();
    journal_directory_close(&scene->directory);
    history_restart(scene->history, 0, 0, NULL);
    model_reset(&scene->store);
    scene->refuses = false;
    scene_open_net();
    scene->directory =
        journal_directory_open(&(struct journal_wish){.path = scene->place.path}, &scene->disk->disk, reason);
    assert_non_null(scene->directory);
    const struct journal_load_config config = {
        .loop = scene->loop,
        .history = scene->history,
        .data = model_data(&scene->store),
        .directory = scene->directory,
        .log = &scene_log,
        .context = &started,
        .on_end = started_on_end,
    };
    struct journal_load *load = journal_load_start(&config, reason, sizeof(reason));
    assert_non_null(load);
    while (!started.ended) {
        ev_run(loop_ev(scene->loop), EVRUN_NOWAIT);
    }
    journal_load_destroy(&load);
    scene_note_state();
    scene_start_journal(&started.loaded.tail);
}

static size_t scene_promised(const struct promise *promises, size_t count, size_t ops) {
    size_t state = 0;
    for (size_t i = 0; i < count && promises[i].ops <= ops; i++) {
        state = promises[i].state;
    }
    return state;
}

static void place_remove_segments(const struct place *place) {
    DIR *names = opendir(place->path);
    const struct dirent *entry;
    if (names == NULL) {
        return;
    }
    while ((entry = readdir(names)) != NULL) {
        if (disk_is_recorded(entry->d_name)) {
            unlinkat(dirfd(names), entry->d_name, 0);
        }
    }
    closedir(names);
}

/* A crash behind that many operations of the disk. random NULL: of the process; else of the power. */
static void scene_crash_at(const struct place *place, size_t ops, struct random *random) {
    static struct image image;
    struct recovered recovered;
    scene_crashes++;
    size_t wanted = scene_promised(scene->synced, scene->synced_count, ops);
    if (random == NULL || scene->fsync == JOURNAL_FSYNC_ALWAYS) {
        size_t told = scene_promised(scene->told, scene->told_count, ops);
        wanted = told > wanted ? told : wanted;
    }
    image_make(&image, scene->disk, ops, random);
    image_store(&image, place);
    image_free(&image);
    scene_recover(place, &recovered);
    place_remove_segments(place);
    const char *crash = random == NULL ? "kill" : "power cut";
    if (recovered.error[0] != '\0') {
        fail_msg("%s behind %zu operations: refused: %s", crash, ops, recovered.error);
    }
    size_t found = scene->state + 1;
    while (found > 0 && scene->digests[found - 1] != recovered.digest) {
        found--;
    }
    if (found == 0 || found - 1 < wanted) {
        fail_msg("%s behind %zu of %zu operations: state %zu is found (index %llu), %zu was promised of %zu",
                 crash, ops, scene->disk->op_count, found - 1, (unsigned long long)recovered.index, wanted,
                 scene->state);
    }
}

/* Each kill, and so many power cuts between any two operations. */
static inline void scene_crash_everywhere(size_t power_cuts) {
    struct place place;
    struct recovered nothing;
    place_make(&place);
    scene_recover(&place, &nothing); /* makes it */
    for (size_t ops = 0; ops <= scene->disk->op_count; ops++) {
        scene_crash_at(&place, ops, NULL);
        for (size_t i = 0; i < power_cuts; i++) {
            scene_crash_at(&place, ops, &scene->random);
        }
    }
    place_remove(&place);
}

/* Where it stands now: after a kill, and after some power cuts. */
static inline void scene_crash_at_the_end(void) {
    struct place place;
    struct recovered nothing;
    place_make(&place);
    scene_recover(&place, &nothing);
    scene_crash_at(&place, scene->disk->op_count, NULL);
    for (int i = 0; i < 20; i++) {
        scene_crash_at(&place, scene->disk->op_count, &scene->random);
    }
    place_remove(&place);
}

#endif
