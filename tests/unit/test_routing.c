/* Who answers: the table of the design's section 7, row by row. */
#include "cluster/routing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { NOW_MS = 1000 };

/* self, in group 0 where nothing else is said; other nodes are heard as the tests tell. */
struct scene {
    struct membership *membership;
    struct routing routing;
};

static void drain(struct scene *scene) {
    struct membership_action action;
    while (membership_next(scene->membership, &action)) {
    }
}

static void hear(struct scene *scene, const char *text) {
    struct datagram datagram;
    assert_int_equal(datagram_decode(slice_from_text(text), &datagram), DATAGRAM_OK);
    membership_hear(scene->membership, &datagram, NOW_MS);
    drain(scene);
}

/* A leader of the group that has answered WHO, without endpoints. */
static void hear_leader(struct scene *scene, const char *id, unsigned port, unsigned group) {
    char text[96];
    snprintf(text, sizeof text, "ANNOUNCE|%s|10.0.0.2|%u|%u|true", id, port, group);
    hear(scene, text);
    struct datagram datagram;
    datagram_decode(slice_from_text(text), &datagram);
    membership_verified(scene->membership, &datagram, NULL, NOW_MS);
    drain(scene);
    assert_true(routing_rebuild(&scene->routing));
}

static struct scene *create(bool leader, uint16_t group) {
    static struct scene scene;
    struct member self = {.id = "self", .host = "10.0.0.1", .port = 8000, .api_port = 9000, .redis_port = 6379};
    self.leader = leader;
    self.group = group;
    scene.membership = membership_create(&self, 1);
    assert_non_null(scene.membership);
    membership_start(scene.membership, NOW_MS);
    drain(&scene);
    routing_init(&scene.routing, scene.membership);
    routing_set_self_state(&scene.routing, true);
    return &scene;
}

static struct scene *create_follower(void) { return create(false, 0); }

static struct scene *create_leader(void) {
    struct scene *scene = create(true, 0);
    routing_set_self_leader(&scene->routing, true);
    return scene;
}

static void join_own_group(struct scene *scene) {
    membership_join_group(scene->membership, 0);
    drain(scene);
    assert_true(routing_rebuild(&scene->routing));
}

static void end(struct scene *scene) { membership_destroy(&scene->membership); }

/* A key of the wanted group. */
static struct slice key_of(const struct scene *scene, uint16_t group) {
    static char key[16];
    for (unsigned i = 0; i < 10000; i++) {
        snprintf(key, sizeof key, "key%u", i);
        if (scene->routing.owners[slot_of_key(slice_from_text(key))] == group) {
            return slice_from_text(key);
        }
    }
    fail_msg("no key of group %u", (unsigned)group);
    return SLICE("");
}

static void assert_local(const struct scene *scene, struct slice key, enum routing_need need) {
    assert_int_equal(routing_decide(&scene->routing, key, need).verdict, ROUTING_LOCAL);
}

static void assert_down(const struct scene *scene, struct slice key, enum routing_need need) {
    struct routing_answer answer = routing_decide(&scene->routing, key, need);
    assert_int_equal(answer.verdict, ROUTING_DOWN);
    assert_int_equal(answer.slot, slot_of_key(key));
}

static void assert_moved(const struct scene *scene, struct slice key, enum routing_need need, const char *to) {
    struct routing_answer answer = routing_decide(&scene->routing, key, need);
    assert_int_equal(answer.verdict, ROUTING_MOVED);
    assert_int_equal(answer.slot, slot_of_key(key));
    assert_string_equal(answer.target->id, to);
}

static const enum routing_need READ = ROUTING_READ, WRITE = ROUTING_LEADER;

static void an_empty_ring_is_asked_of_the_own_group(void **state) {
    (void)state;
    struct slice key = SLICE("user1");
    struct scene *scene = create(true, 7);
    routing_set_self_leader(&scene->routing, true);
    assert_local(scene, key, READ);
    assert_local(scene, key, WRITE);
    end(scene);

    scene = create(false, 7);
    assert_local(scene, key, READ);
    assert_down(scene, key, WRITE);
    hear(scene, "ANNOUNCE|l|10.0.0.2|8001|7|true");
    struct datagram announce;
    datagram_decode(SLICE("ANNOUNCE|l|10.0.0.2|8001|7|true"), &announce);
    membership_verified(scene->membership, &announce, NULL, NOW_MS);
    drain(scene);                   /* but the ring is not built yet */
    assert_down(scene, key, WRITE); /* no endpoints */
    hear(scene, "ENDPOINTS|l|9001|6380");
    assert_moved(scene, key, WRITE, "l");
    assert_local(scene, key, READ);
    end(scene);
}

static void a_leader_alone_answers_everything(void **state) {
    (void)state;
    struct scene *scene = create_leader();
    join_own_group(scene);
    assert_true(scene->routing.owns_all);
    assert_local(scene, SLICE("user1"), READ);
    assert_local(scene, SLICE("user1"), WRITE);
    end(scene);
}

static void a_follower_reads_its_copy_and_names_the_leader_for_writes(void **state) {
    (void)state;
    struct scene *scene = create_follower();
    hear_leader(scene, "l", 8001, 0);
    assert_local(scene, SLICE("user1"), READ);
    assert_down(scene, SLICE("user1"), WRITE); /* a spec-only leader: nobody can be sent to it */
    hear(scene, "ENDPOINTS|l|9001|6380");
    assert_moved(scene, SLICE("user1"), WRITE, "l");
    hear(scene, "LEAVE|l");
    assert_down(scene, SLICE("user1"), WRITE);
    assert_local(scene, SLICE("user1"), READ);
    end(scene);
}

static void a_leader_that_does_not_take_writes_names_nobody_rather_than_itself(void **state) {
    (void)state;
    struct scene *scene = create(true, 0);
    join_own_group(scene);
    assert_local(scene, SLICE("user1"), READ);
    assert_down(scene, SLICE("user1"), WRITE);
    routing_set_self_leader(&scene->routing, true);
    assert_local(scene, SLICE("user1"), WRITE);
    end(scene);
}

static void another_group_is_named_by_its_leader(void **state) {
    (void)state;
    struct scene *scene = create_leader();
    join_own_group(scene);
    hear_leader(scene, "l5", 8001, 5);
    hear(scene, "ENDPOINTS|l5|9001|6380");
    assert_false(scene->routing.owns_all);
    struct slice ours = key_of(scene, 0);
    assert_local(scene, ours, READ);
    assert_local(scene, ours, WRITE);
    struct slice theirs = key_of(scene, 5);
    assert_moved(scene, theirs, READ, "l5");
    assert_moved(scene, theirs, WRITE, "l5");
    end(scene);
}

static void a_group_without_a_leader_is_read_from_a_follower(void **state) {
    (void)state;
    struct scene *scene = create_leader();
    join_own_group(scene);
    hear_leader(scene, "l5", 8001, 5);
    struct slice theirs = key_of(scene, 5);
    assert_down(scene, theirs, READ); /* a leader without endpoints, and nobody else */
    assert_down(scene, theirs, WRITE);
    hear(scene, "ANNOUNCE|f5|10.0.0.3|8001|5|false");
    assert_down(scene, theirs, READ); /* nor has the follower any */
    hear(scene, "ANNOUNCE|f0|10.0.0.4|8001|0|false");
    hear(scene, "ENDPOINTS|f0|9001|6380");
    assert_down(scene, theirs, READ); /* a follower of another group is of no use */
    hear(scene, "ENDPOINTS|f5|9001|6380");
    assert_moved(scene, theirs, READ, "f5");
    assert_down(scene, theirs, WRITE);
    hear(scene, "ENDPOINTS|l5|9001|6380");
    assert_moved(scene, theirs, READ, "l5");
    hear(scene, "LEAVE|l5");
    assert_moved(scene, theirs, READ, "f5");
    assert_down(scene, theirs, WRITE);
    for (int64_t now_ms = NOW_MS; now_ms <= NOW_MS + MEMBERSHIP_DEAD_AFTER_MS; now_ms += 1000) {
        membership_tick(scene->membership, now_ms);
    }
    drain(scene);
    assert_down(scene, theirs, READ); /* the follower is dead */
    end(scene);
}

static void a_follower_without_a_leader_keeps_its_group_in_the_ring(void **state) {
    (void)state;
    struct scene *scene = create_follower();
    membership_set_state(scene->membership, true, NOW_MS);
    hear_leader(scene, "l5", 8001, 5);
    hear(scene, "ENDPOINTS|l5|9001|6380");
    assert_false(scene->routing.owns_all);
    struct slice ours = key_of(scene, 0);
    assert_local(scene, ours, READ); /* the leader of 5, which sends such a client here, is not asked back */
    assert_down(scene, ours, WRITE);
    struct slice theirs = key_of(scene, 5);
    assert_moved(scene, theirs, READ, "l5");
    assert_moved(scene, theirs, WRITE, "l5");
    end(scene);
}

static void a_group_known_by_its_follower_alone_keeps_its_slots(void **state) {
    (void)state;
    struct scene *scene = create_leader();
    join_own_group(scene);
    hear(scene, "ANNOUNCE|f5|10.0.0.3|8001|5|false");
    hear(scene, "ENDPOINTS|f5|9001|6380");
    assert_true(scene->routing.owns_all);
    struct datagram announce;
    datagram_decode(SLICE("ANNOUNCE|f5|10.0.0.3|8001|5|false"), &announce);
    membership_verified(scene->membership, &announce, NULL, NOW_MS);
    drain(scene);
    assert_true(routing_rebuild(&scene->routing));
    assert_false(scene->routing.owns_all);
    struct slice theirs = key_of(scene, 5);
    assert_moved(scene, theirs, READ, "f5");
    assert_down(scene, theirs, WRITE);
    assert_local(scene, key_of(scene, 0), WRITE);
    end(scene);
}

static void a_follower_that_never_had_its_groups_state_has_no_slots_and_answers_no_reads(void **state) {
    (void)state;
    struct slice key = SLICE("user1");
    struct scene *scene = create(false, 7);
    routing_set_self_state(&scene->routing, false);
    assert_int_equal(routing_decide(&scene->routing, key, READ).verdict, ROUTING_LOADING);
    assert_down(scene, key, WRITE);
    hear_leader(scene, "l5", 8001, 5); /* there is a cluster, to which its group does not belong */
    hear(scene, "ENDPOINTS|l5|9001|6380");
    assert_moved(scene, key, READ, "l5");
    assert_moved(scene, key, WRITE, "l5");

    hear_leader(scene, "l7", 8002, 7);
    hear(scene, "ENDPOINTS|l7|9002|6381");
    struct slice ours = key_of(scene, 7);
    assert_int_equal(routing_decide(&scene->routing, ours, READ).verdict, ROUTING_LOADING);
    assert_moved(scene, ours, WRITE, "l7"); /* for that it needs no data */
    routing_set_self_state(&scene->routing, true);
    assert_local(scene, ours, READ);
    end(scene);
}

static void a_leader_that_starts_is_loading(void **state) {
    (void)state;
    struct scene *scene = create(true, 0);
    routing_set_self_state(&scene->routing, false);
    assert_int_equal(routing_decide(&scene->routing, SLICE("user1"), READ).verdict, ROUTING_LOADING);
    assert_int_equal(routing_decide(&scene->routing, SLICE("user1"), WRITE).verdict, ROUTING_LOADING);
    end(scene);
}

static void where_replies_wait_for_voters_a_followers_copy_is_for_who_takes_any(void **state) {
    (void)state;
    struct scene *scene = create_follower();
    join_own_group(scene);
    assert_true(routing_answers_all(&scene->routing, false));
    routing_set_quorum(&scene->routing, true);
    struct slice key = SLICE("user1");
    assert_false(routing_answers_all(&scene->routing, false));
    assert_down(scene, key, READ); /* and not LOADING: the data is there */
    assert_local(scene, key, ROUTING_ANY_COPY);

    hear_leader(scene, "l0", 8001, 0);
    hear(scene, "ENDPOINTS|l0|9001|6380");
    assert_moved(scene, key, READ, "l0");
    assert_moved(scene, key, WRITE, "l0");
    assert_local(scene, key, ROUTING_ANY_COPY);
    routing_set_self_state(&scene->routing, false);
    assert_moved(scene, key, READ, "l0");
    assert_int_equal(routing_decide(&scene->routing, key, ROUTING_ANY_COPY).verdict, ROUTING_LOADING);
    routing_set_self_state(&scene->routing, true);

    routing_set_self_leader(&scene->routing, true);
    assert_true(routing_answers_all(&scene->routing, false));
    assert_local(scene, key, READ);
    routing_set_self_leader(&scene->routing, false);
    routing_set_quorum(&scene->routing, false);
    assert_true(routing_answers_all(&scene->routing, false));
    assert_local(scene, key, READ);
    end(scene);
}

/* It is not known what replies of other groups wait for: their nodes say so. */
static void other_groups_have_rules_of_their_own(void **state) {
    (void)state;
    struct scene *scene = create_leader();
    join_own_group(scene);
    routing_set_quorum(&scene->routing, true);
    hear_leader(scene, "l5", 8001, 5);
    struct slice theirs = key_of(scene, 5);
    hear(scene, "LEAVE|l5");
    hear(scene, "ANNOUNCE|f5|10.0.0.3|8001|5|false");
    hear(scene, "ENDPOINTS|f5|9001|6380");
    assert_moved(scene, theirs, READ, "f5");
    assert_moved(scene, theirs, ROUTING_ANY_COPY, "f5");
    assert_down(scene, theirs, WRITE);
    end(scene);
}

static void nobody_is_sent_to_a_follower_that_has_nothing(void **state) {
    (void)state;
    struct scene *scene = create_leader();
    join_own_group(scene);
    hear_leader(scene, "l5", 8001, 5);
    struct slice theirs = key_of(scene, 5);
    hear(scene, "LEAVE|l5");
    hear(scene, "ANNOUNCE|f5|10.0.0.3|8001|5|false");
    hear(scene, "ENDPOINTS|f5|9001|6380|false|0");
    assert_down(scene, theirs, READ);
    hear(scene, "ENDPOINTS|f5|9001|6380|true|7");
    assert_moved(scene, theirs, READ, "f5");
    end(scene);
}

static void it_is_known_which_slots_nobody_serves(void **state) {
    (void)state;
    struct scene *scene = create_leader();
    join_own_group(scene);
    membership_set_state(scene->membership, true, NOW_MS);
    assert_int_equal(routing_gaps(&scene->routing).worst, ROUTING_SERVED);
    hear_leader(scene, "l5", 8001, 5);
    hear_leader(scene, "l6", 8002, 6);
    hear(scene, "ENDPOINTS|l5|9001|6380|true|0");
    hear(scene, "ENDPOINTS|l6|9002|6381|true|0");
    assert_int_equal(routing_gaps(&scene->routing).worst, ROUTING_SERVED);

    hear(scene, "ANNOUNCE|f5|10.0.0.3|8001|5|false");
    hear(scene, "ENDPOINTS|f5|9001|6380|true|0");
    hear(scene, "LEAVE|l5");
    struct routing_gaps gaps = routing_gaps(&scene->routing);
    assert_int_equal(gaps.worst, ROUTING_READ_ONLY);
    assert_int_equal(gaps.group, 5);
    assert_int_equal(gaps.read_only, routing_owned_slots(&scene->routing, 5));
    assert_int_equal(gaps.unserved, 0);

    hear(scene, "LEAVE|l6");
    gaps = routing_gaps(&scene->routing);
    assert_int_equal(gaps.worst, ROUTING_UNSERVED);
    assert_int_equal(gaps.group, 6);
    assert_int_equal(gaps.unserved, routing_owned_slots(&scene->routing, 6));
    hear(scene, "ENDPOINTS|f5|9001|6380|false|0");
    gaps = routing_gaps(&scene->routing);
    assert_int_equal(gaps.unserved,
                     routing_owned_slots(&scene->routing, 5) + routing_owned_slots(&scene->routing, 6));
    end(scene);
}

static void keys_of_one_hash_tag_go_one_way(void **state) {
    (void)state;
    struct scene *scene = create_leader();
    join_own_group(scene);
    hear_leader(scene, "l5", 8001, 5);
    hear(scene, "ENDPOINTS|l5|9001|6380");
    char key[64];
    struct slice tag = key_of(scene, 5);
    for (unsigned i = 0; i < 100; i++) {
        snprintf(key, sizeof key, "%u{%.*s}%u", i, (int)tag.len, tag.ptr, i);
        assert_moved(scene, slice_from_text(key), WRITE, "l5");
    }
    end(scene);
}

/* ---- the map that clients get ---- */

struct seen {
    size_t ranges, slots_of[3];
    uint16_t next, last_group;
};

static void see(void *context, uint16_t first, uint16_t last, uint16_t group) {
    struct seen *seen = context;
    assert_int_equal(first, seen->next);
    assert_true(last >= first && last < SLOT_COUNT);
    assert_true(seen->ranges == 0 || group != seen->last_group);
    seen->slots_of[group] += (size_t)(last - first + 1);
    seen->next = (uint16_t)(last + 1);
    seen->last_group = group;
    seen->ranges++;
}

static void ranges_cover_every_slot_once(void **state) {
    (void)state;
    struct scene *scene = create_leader();
    struct seen none = {0};
    routing_ranges(&scene->routing, see, &none);
    assert_int_equal(none.ranges, 0);
    assert_int_equal(routing_owned_slots(&scene->routing, 0), 0);

    join_own_group(scene);
    struct seen one = {0};
    routing_ranges(&scene->routing, see, &one);
    assert_int_equal(one.ranges, 1);
    assert_int_equal(routing_owned_slots(&scene->routing, 0), SLOT_COUNT);

    hear_leader(scene, "l1", 8001, 1);
    hear_leader(scene, "l2", 8002, 2);
    struct seen three = {0};
    routing_ranges(&scene->routing, see, &three);
    assert_int_equal(three.next, SLOT_COUNT);
    assert_int_equal(three.ranges, 304); /* as Python counts them: see ring_vectors.inc */
    for (uint16_t group = 0; group < 3; group++) {
        assert_int_equal(three.slots_of[group], routing_owned_slots(&scene->routing, group));
    }
    assert_int_equal(scene->routing.epoch, 3);
    end(scene);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_ring_is_asked_of_the_own_group),
        cmocka_unit_test(a_leader_alone_answers_everything),
        cmocka_unit_test(a_follower_reads_its_copy_and_names_the_leader_for_writes),
        cmocka_unit_test(a_leader_that_does_not_take_writes_names_nobody_rather_than_itself),
        cmocka_unit_test(another_group_is_named_by_its_leader),
        cmocka_unit_test(a_group_without_a_leader_is_read_from_a_follower),
        cmocka_unit_test(a_follower_without_a_leader_keeps_its_group_in_the_ring),
        cmocka_unit_test(a_group_known_by_its_follower_alone_keeps_its_slots),
        cmocka_unit_test(a_follower_that_never_had_its_groups_state_has_no_slots_and_answers_no_reads),
        cmocka_unit_test(a_leader_that_starts_is_loading),
        cmocka_unit_test(where_replies_wait_for_voters_a_followers_copy_is_for_who_takes_any),
        cmocka_unit_test(other_groups_have_rules_of_their_own),
        cmocka_unit_test(nobody_is_sent_to_a_follower_that_has_nothing),
        cmocka_unit_test(it_is_known_which_slots_nobody_serves),
        cmocka_unit_test(keys_of_one_hash_tag_go_one_way),
        cmocka_unit_test(ranges_cover_every_slot_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
