/* Membership, told as what one node ("self") hears and what it then does. */
#include "cluster/membership.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { TICK_MS = 50 };

/* self is a node of group 0 at 10.0.0.1:8000; now_ms is its clock. */
struct scene {
    struct membership *membership;
    int64_t now_ms;
};

static const char *const action_names[] = {
    [MEMBERSHIP_SEND_FACTS] = "send-facts",
    [MEMBERSHIP_SEND_WHO] = "send-who",
    [MEMBERSHIP_VERIFY] = "verify",
    [MEMBERSHIP_MEMBER_UP] = "up",
    [MEMBERSHIP_MEMBER_CHANGED] = "changed",
    [MEMBERSHIP_MEMBER_DEAD] = "dead",
    [MEMBERSHIP_MEMBER_GONE] = "gone",
    [MEMBERSHIP_GROUP_JOINED] = "joined",
    [MEMBERSHIP_GROUP_FORGOTTEN] = "forgotten",
    [MEMBERSHIP_GROUP_WITHOUT_LEADER] = "without-leader",
    [MEMBERSHIP_OTHER_LEADER] = "other-leader",
    [MEMBERSHIP_FULL] = "full",
    [MEMBERSHIP_DUPLICATE_ID] = "duplicate-id",
    [MEMBERSHIP_ASK_TWIN] = "ask",
    [MEMBERSHIP_OLDER_TWIN] = "older",
};

static void append_actions(struct scene *scene, char *text, size_t size) {
    struct membership_action action;
    while (membership_next(scene->membership, &action)) {
        size_t len = strlen(text);
        const char *what = action_names[action.type];
        if (action.type == MEMBERSHIP_GROUP_JOINED || action.type == MEMBERSHIP_GROUP_FORGOTTEN) {
            snprintf(text + len, size - len, "%s%s:%u", len > 0 ? " " : "", what,
                     (unsigned)action.member.group);
        } else if (action.type == MEMBERSHIP_SEND_FACTS || action.type == MEMBERSHIP_SEND_WHO) {
            snprintf(text + len, size - len, "%s%s", len > 0 ? " " : "", what);
        } else {
            snprintf(text + len, size - len, "%s%s:%s", len > 0 ? " " : "", what, action.member.id);
        }
    }
}

/* The actions in their order, as "up:b verify:b". */
#define assert_actions(scene, expected)                                                                        \
    do {                                                                                                       \
        char actions_text[4096] = "";                                                                          \
        append_actions((scene), actions_text, sizeof actions_text);                                            \
        assert_string_equal(actions_text, (expected));                                                         \
    } while (0)

static struct datagram parse(const char *text) {
    struct datagram datagram;
    assert_int_equal(datagram_decode(slice_from_text(text), &datagram), DATAGRAM_OK);
    return datagram;
}

static void hear(struct scene *scene, const char *text) {
    struct datagram datagram = parse(text);
    membership_hear(scene->membership, &datagram, scene->now_ms);
}

static void answer(struct scene *scene, const char *text) {
    struct datagram datagram = parse(text);
    membership_verified(scene->membership, &datagram, NULL, scene->now_ms);
}

/* ... and goes on with its ENDPOINTS. */
static void answer_all(struct scene *scene, const char *announce_text, const char *endpoints_text) {
    struct datagram announce = parse(announce_text), endpoints = parse(endpoints_text);
    membership_verified(scene->membership, &announce, &endpoints, scene->now_ms);
}

/* Lets time pass, and forgets the actions but returns how many of the type there were. */
static unsigned pass(struct scene *scene, int64_t ms, enum membership_action_type type) {
    unsigned n = 0;
    for (int64_t end_ms = scene->now_ms + ms; scene->now_ms < end_ms;) {
        scene->now_ms += TICK_MS;
        membership_tick(scene->membership, scene->now_ms);
        struct membership_action action;
        while (membership_next(scene->membership, &action)) {
            n += action.type == type;
        }
    }
    return n;
}

static void start_as(struct scene *scene, bool leader, uint64_t seed) {
    struct member self = {.id = "self", .host = "10.0.0.1", .port = 8000, .api_port = 9000, .redis_port = 6379};
    self.leader = leader;
    scene->membership = membership_create(&self, seed);
    assert_non_null(scene->membership);
    scene->now_ms = 1000000;
    membership_start(scene->membership, scene->now_ms);
    assert_actions(scene, "send-facts send-who");
}

static struct scene *follower_scene(void) {
    static struct scene scene;
    start_as(&scene, false, 1);
    return &scene;
}

static struct scene *leader_scene(void) {
    static struct scene scene;
    start_as(&scene, true, 1);
    return &scene;
}

static void end(struct scene *scene) {
    membership_destroy(&scene->membership);
    assert_null(scene->membership);
}

static const struct member *member(struct scene *scene, const char *id) {
    return membership_find(scene->membership, id);
}

/* ---- what self says ---- */

static void self_is_a_member_from_the_start(void **state) {
    (void)state;
    struct scene *scene = follower_scene();
    assert_int_equal(membership_count(scene->membership), 1);
    assert_ptr_equal(membership_at(scene->membership, 0), membership_self(scene->membership));
    assert_ptr_equal(member(scene, "self"), membership_self(scene->membership));
    assert_true(member(scene, "self")->self && member(scene, "self")->alive &&
                member(scene, "self")->has_endpoints);
    const uint16_t *groups;
    assert_int_equal(membership_groups(scene->membership, &groups), 0);
    end(scene);
}

static void facts_go_out_every_5_s_less_up_to_a_tenth(void **state) {
    (void)state;
    struct scene scene;
    start_as(&scene, false, 7);
    int64_t last_ms = scene.now_ms, shortest_ms = INT64_MAX, longest_ms = 0;
    for (int i = 0; i < 400; i++) {
        while (pass(&scene, TICK_MS, MEMBERSHIP_SEND_FACTS) == 0) {
        }
        int64_t gap_ms = scene.now_ms - last_ms;
        shortest_ms = gap_ms < shortest_ms ? gap_ms : shortest_ms;
        longest_ms = gap_ms > longest_ms ? gap_ms : longest_ms;
        last_ms = scene.now_ms;
    }
    assert_in_range(shortest_ms, 4500, 4600); /* the tick adds up to 50 ms */
    assert_in_range(longest_ms, 4950, 5000 + TICK_MS);
    end(&scene);
}

static void who_is_repeated_in_the_first_seconds_only(void **state) {
    (void)state;
    struct scene *scene = follower_scene(); /* the first */
    assert_int_equal(pass(scene, 1000, MEMBERSHIP_SEND_WHO), 3);
    assert_int_equal(pass(scene, 3500, MEMBERSHIP_SEND_WHO), 2);
    assert_int_equal(pass(scene, 600000, MEMBERSHIP_SEND_WHO), 0);
    end(scene);
}

static void several_who_are_answered_once_within_200_ms(void **state) {
    (void)state;
    int64_t longest_ms = 0;
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct scene scene;
        start_as(&scene, false, seed);
        int64_t asked_ms = scene.now_ms;
        hear(&scene, "WHO");
        assert_actions(&scene, ""); /* not in the same moment as everybody else */
        hear(&scene, "WHO");
        hear(&scene, "WHO");
        unsigned answers = 0;
        int64_t answered_ms = 0;
        for (int i = 0; i < 20; i++) {
            scene.now_ms += 10;
            membership_tick(scene.membership, scene.now_ms);
            struct membership_action action;
            while (membership_next(scene.membership, &action)) {
                if (action.type == MEMBERSHIP_SEND_FACTS) {
                    answers++;
                    answered_ms = scene.now_ms - asked_ms;
                }
            }
        }
        assert_int_equal(answers, 1);
        longest_ms = answered_ms > longest_ms ? answered_ms : longest_ms;
        assert_int_equal(pass(&scene, 3000, MEMBERSHIP_SEND_FACTS), 0);
        hear(&scene, "WHO");
        assert_int_equal(pass(&scene, 200, MEMBERSHIP_SEND_FACTS), 1); /* the next question is answered too */
        end(&scene);
    }
    assert_true(longest_ms > 150); /* the delay is spread over the window */
}

static void a_node_heard_for_the_first_time_is_answered_like_a_who(void **state) {
    (void)state;
    struct scene *scene = follower_scene();
    hear(scene, "ANNOUNCE|b|10.0.0.2|8000|0|false");
    assert_actions(scene, "up:b");
    assert_int_equal(pass(scene, 200, MEMBERSHIP_SEND_FACTS), 1);
    hear(scene, "ANNOUNCE|b|10.0.0.2|8000|0|false");
    assert_actions(scene, "");
    assert_int_equal(pass(scene, 3000, MEMBERSHIP_SEND_FACTS), 0);
    end(scene);
}

static void a_change_of_role_is_announced_at_once(void **state) {
    (void)state;
    struct scene *scene = follower_scene();
    membership_set_leader(scene->membership, true, 0, scene->now_ms);
    struct membership_action action;
    assert_true(membership_next(scene->membership, &action));
    assert_int_equal(action.type, MEMBERSHIP_SEND_FACTS);
    assert_true(action.member.leader);
    assert_actions(scene, "");
    membership_set_leader(scene->membership, true, 0, scene->now_ms);
    assert_actions(scene, "");
    membership_set_leader(scene->membership, false, 0, scene->now_ms);
    assert_actions(scene, "send-facts");
    assert_false(membership_self(scene->membership)->leader);
    end(scene);
}

/* ---- who is there ---- */

static void a_node_comes_says_its_ports_and_leaves(void **state) {
    (void)state;
    struct scene *scene = follower_scene();
    hear(scene, "ENDPOINTS|b|9001|6380"); /* before its ANNOUNCE: ignored, it comes again */
    assert_actions(scene, "");
    assert_null(member(scene, "b"));
    hear(scene, "ANNOUNCE|b|10.0.0.2|8001|3|false");
    assert_actions(scene, "up:b");
    assert_false(member(scene, "b")->has_endpoints);
    hear(scene, "ENDPOINTS|b|9001|6380");
    assert_actions(scene, "changed:b");
    hear(scene, "ENDPOINTS|b|9001|6380");
    hear(scene, "ANNOUNCE|b|10.0.0.2|8001|3|false");
    assert_actions(scene, "");

    const struct member *b = member(scene, "b");
    assert_string_equal(b->host, "10.0.0.2");
    assert_int_equal(b->port, 8001);
    assert_int_equal(b->group, 3);
    assert_int_equal(b->api_port, 9001);
    assert_int_equal(b->redis_port, 6380);
    assert_true(b->alive && b->has_endpoints && !b->leader && !b->self);
    assert_int_equal(b->first_heard_ms, scene->now_ms);

    hear(scene, "ENDPOINTS|b|9002|6380");
    assert_actions(scene, "changed:b");
    hear(scene, "LEAVE|b");
    assert_actions(scene, "gone:b");
    hear(scene, "LEAVE|b");
    assert_actions(scene, "");
    assert_null(member(scene, "b"));
    end(scene);
}

static void members_are_ordered_by_id(void **state) {
    (void)state;
    struct scene *scene = follower_scene();
    hear(scene, "ANNOUNCE|zz|10.0.0.2|8001|0|false");
    hear(scene, "ANNOUNCE|a|10.0.0.2|8002|0|false");
    hear(scene, "ANNOUNCE|m|10.0.0.2|8003|0|false");
    assert_actions(scene, "up:zz up:a up:m");
    static const char *const ids[] = {"a", "m", "self", "zz"};
    assert_int_equal(membership_count(scene->membership), 4);
    for (size_t i = 0; i < 4; i++) {
        assert_string_equal(membership_at(scene->membership, i)->id, ids[i]);
    }
    end(scene);
}

static void a_node_silent_for_30_s_is_dead_and_not_before(void **state) {
    (void)state;
    struct scene *scene = follower_scene();
    hear(scene, "ANNOUNCE|b|10.0.0.2|8001|0|false");
    assert_int_equal(pass(scene, 29950, MEMBERSHIP_MEMBER_DEAD), 0);
    assert_true(member(scene, "b")->alive);
    assert_int_equal(pass(scene, 50, MEMBERSHIP_MEMBER_DEAD), 1);
    assert_false(member(scene, "b")->alive);
    assert_int_equal(pass(scene, 60000, MEMBERSHIP_MEMBER_DEAD), 0); /* once */

    hear(scene, "ENDPOINTS|b|9001|6380");
    assert_false(member(scene, "b")->alive); /* the heartbeat is ANNOUNCE */
    hear(scene, "ANNOUNCE|b|10.0.0.2|8001|0|false");
    assert_actions(scene, "changed:b up:b verify:b");
    assert_int_equal(pass(scene, 29950, MEMBERSHIP_MEMBER_DEAD), 0);
    assert_int_equal(pass(scene, 50, MEMBERSHIP_MEMBER_DEAD), 1);
    end(scene);
}

static void each_announcement_gives_30_s_more(void **state) {
    (void)state;
    struct scene *scene = follower_scene();
    hear(scene, "ANNOUNCE|b|10.0.0.2|8001|0|false");
    hear(scene, "ANNOUNCE|c|10.0.0.3|8001|0|false");
    pass(scene, 20000, MEMBERSHIP_MEMBER_DEAD);
    hear(scene, "ANNOUNCE|b|10.0.0.2|8001|0|false");
    assert_int_equal(pass(scene, 29950, MEMBERSHIP_MEMBER_DEAD), 1); /* c */
    assert_true(member(scene, "b")->alive);
    assert_false(member(scene, "c")->alive);
    assert_int_equal(pass(scene, 50, MEMBERSHIP_MEMBER_DEAD), 1);
    end(scene);
}

static void dead_nodes_are_forgotten_after_a_day(void **state) {
    (void)state;
    struct scene *scene = follower_scene();
    hear(scene, "ANNOUNCE|b|10.0.0.2|8001|0|false");
    hear(scene, "ANNOUNCE|c|10.0.0.3|8001|0|false");
    assert_int_equal(pass(scene, MEMBERSHIP_FORGET_AFTER_MS - 50, MEMBERSHIP_MEMBER_GONE), 0);
    assert_non_null(member(scene, "b"));
    assert_int_equal(pass(scene, 50, MEMBERSHIP_MEMBER_GONE), 2);
    assert_int_equal(membership_count(scene->membership), 1);
    end(scene);
}

static void a_process_that_was_stopped_asks_before_it_calls_anybody_dead(void **state) {
    (void)state;
    struct scene *scene = follower_scene();
    hear(scene, "ANNOUNCE|b|10.0.0.2|8001|0|false");
    hear(scene, "ANNOUNCE|c|10.0.0.3|8001|0|false");
    pass(scene, 10000, MEMBERSHIP_SEND_FACTS);
    scene->now_ms += 60000;
    membership_tick(scene->membership, scene->now_ms);
    assert_actions(scene, "send-facts send-who");
    scene->now_ms += 200;
    hear(scene, "ANNOUNCE|b|10.0.0.2|8001|0|false");
    assert_actions(scene, "");
    assert_int_equal(pass(scene, 1000, MEMBERSHIP_MEMBER_DEAD), 1);
    assert_true(member(scene, "b")->alive);
    assert_false(member(scene, "c")->alive);
    end(scene);
}

static void a_restart_under_a_new_id_replaces_the_node_at_its_host_and_port(void **state) {
    (void)state;
    struct scene *scene = follower_scene();
    hear(scene, "ANNOUNCE|old|10.0.0.2|8001|0|false");
    hear(scene, "ANNOUNCE|other|10.0.0.2|8002|0|false");
    assert_actions(scene, "up:old up:other");
    hear(scene, "ANNOUNCE|new|10.0.0.2|8001|0|false");
    assert_actions(scene, "gone:old up:new");
    assert_int_equal(membership_count(scene->membership), 3);
    hear(scene, "ANNOUNCE|other|10.0.0.2|8001|0|false"); /* a known node moves to where another one was */
    assert_actions(scene, "gone:new changed:other");
    assert_int_equal(membership_count(scene->membership), 2);
    end(scene);
}

static void a_node_at_a_new_address_has_to_say_its_ports_again(void **state) {
    (void)state;
    struct scene *scene = follower_scene();
    hear(scene, "ANNOUNCE|b|10.0.0.2|8001|0|false");
    hear(scene, "ENDPOINTS|b|9001|6380");
    assert_actions(scene, "up:b changed:b");
    hear(scene, "ANNOUNCE|b|10.0.0.2|8001|1|false");
    assert_actions(scene, "changed:b");
    assert_true(member(scene, "b")->has_endpoints); /* another group, the same process */
    hear(scene, "ANNOUNCE|b|10.0.0.3|8001|1|false");
    assert_actions(scene, "changed:b");
    assert_false(member(scene, "b")->has_endpoints);
    assert_int_equal(member(scene, "b")->api_port, 0);
    end(scene);
}

static void echoes_and_former_selves_are_ignored(void **state) {
    (void)state;
    struct scene *scene = follower_scene();
    hear(scene, "ANNOUNCE|self|10.0.0.1|8000|0|false");
    hear(scene, "ENDPOINTS|self|9000|6379");
    hear(scene, "LEAVE|self");
    hear(scene, "ANNOUNCE|self|10.0.0.1|8000|0|true");  /* its role of a moment ago */
    hear(scene, "ANNOUNCE|ghost|10.0.0.1|8000|0|true"); /* what it was before its restart */
    hear(scene, "ENDPOINTS|ghost|9000|6379");
    hear(scene, "LEAVE|ghost");
    assert_actions(scene, "");
    assert_int_equal(membership_count(scene->membership), 1);
    assert_false(membership_self(scene->membership)->leader);
    end(scene);
}

static void a_leave_in_the_own_name_is_contradicted_at_once(void **state) {
    (void)state;
    struct scene *scene = follower_scene();
    hear(scene, "LEAVE|self"); /* said by another node of this id */
    assert_int_equal(pass(scene, TICK_MS, MEMBERSHIP_SEND_FACTS), 1);
    end(scene);
}

static void a_double_of_the_own_id_is_reported_every_5_s_at_most(void **state) {
    (void)state;
    struct scene *scene = follower_scene();
    hear(scene, "ANNOUNCE|self|10.0.0.9|8000|4|true");
    struct membership_action action;
    assert_true(membership_next(scene->membership, &action));
    assert_int_equal(action.type, MEMBERSHIP_DUPLICATE_ID);
    assert_string_equal(action.member.id, "self");
    assert_string_equal(action.member.host, "10.0.0.9");
    assert_int_equal(action.member.group, 4);
    assert_true(membership_next(scene->membership, &action));
    assert_int_equal(action.type, MEMBERSHIP_ASK_TWIN);
    assert_string_equal(action.member.host, "10.0.0.9");
    hear(scene, "ANNOUNCE|self|10.0.0.1|8001|0|false");
    scene->now_ms += 4999;
    hear(scene, "ANNOUNCE|self|10.0.0.9|8000|4|true");
    assert_actions(scene, "");
    scene->now_ms += 1;
    hear(scene, "ANNOUNCE|self|10.0.0.9|8000|4|true");
    assert_actions(scene, "duplicate-id:self ask:self");
    assert_string_equal(membership_self(scene->membership)->host, "10.0.0.1");
    assert_int_equal(membership_count(scene->membership), 1);
    end(scene);
}

static void answer_of_twin(struct scene *scene, const char *announce, int64_t uptime_ms) {
    struct datagram datagram = parse(announce);
    datagram.uptime_ms = uptime_ms;
    membership_twin_answered(scene->membership, &datagram);
}

static void of_two_nodes_with_one_id_the_later_goes(void **state) {
    (void)state;
    static const char twin[] = "ANNOUNCE|self|10.0.0.9|8000|4|true";
    struct scene *scene = follower_scene();
    scene->now_ms += 7000;
    int64_t uptime_ms = membership_uptime_ms(scene->membership, scene->now_ms);
    hear(scene, twin);
    assert_actions(scene, "duplicate-id:self ask:self");
    answer_of_twin(scene, twin, uptime_ms - 1); /* it is the later one, and finds that out */
    answer_of_twin(scene, twin, -1);            /* it does not say */
    answer_of_twin(scene, "ANNOUNCE|other|10.0.0.9|8000|4|true", INT64_MAX);
    answer_of_twin(scene, "ANNOUNCE|self|10.0.0.1|8000|0|false",
                   INT64_MAX); /* this node itself, by another way */
    scene->now_ms += 100;
    assert_actions(scene, "");
    answer_of_twin(scene, twin, uptime_ms); /* as old, when it answered: later than when it was asked */
    assert_actions(scene, "older:self");
    end(scene);
}

/* The others take a node whose id is announced from elsewhere to have moved: it says at once where it is. */
static void whoever_hears_its_own_id_from_elsewhere_announces_itself(void **state) {
    (void)state;
    struct scene *scene = follower_scene();
    assert_int_equal(pass(scene, 1000, MEMBERSHIP_SEND_FACTS), 0);
    hear(scene, "ANNOUNCE|self|10.0.0.9|8000|4|true");
    assert_actions(scene, "duplicate-id:self ask:self");
    assert_int_equal(pass(scene, MEMBERSHIP_WHO_ANSWER_WITHIN_MS + TICK_MS, MEMBERSHIP_SEND_FACTS), 1);
    end(scene);
}

static void two_others_of_one_id_are_reported_when_one_is_heard_again(void **state) {
    (void)state;
    struct scene *scene = follower_scene();
    hear(scene, "ANNOUNCE|b|10.0.0.2|8001|0|false");
    scene->now_ms += 2000;
    hear(scene, "ANNOUNCE|b|10.0.0.3|8001|0|false");
    assert_actions(scene, "up:b changed:b"); /* it may have moved */
    scene->now_ms += 3000;
    hear(scene, "ANNOUNCE|b|10.0.0.2|8001|0|false");
    assert_actions(scene, "duplicate-id:b changed:b");
    scene->now_ms += 2000;
    hear(scene, "ANNOUNCE|b|10.0.0.3|8001|0|false");
    assert_actions(scene, "changed:b"); /* said every 5 s at most */
    scene->now_ms += 3000;
    hear(scene, "ANNOUNCE|b|10.0.0.2|8001|0|false");
    assert_actions(scene, "duplicate-id:b changed:b");
    scene->now_ms += MEMBERSHIP_BACK_WITHIN_MS;
    hear(scene, "ANNOUNCE|b|10.0.0.3|8001|0|false"); /* moved, and moved back much later */
    hear(scene, "ANNOUNCE|b|10.0.0.4|8001|0|false"); /* and on */
    assert_actions(scene, "changed:b changed:b");
    end(scene);
}

/* ---- leaders and groups ---- */

static void a_group_joins_the_ring_when_its_leader_has_answered(void **state) {
    (void)state;
    struct scene *scene = follower_scene();
    const uint16_t *groups;
    hear(scene, "ANNOUNCE|b|10.0.0.2|8001|5|true");
    assert_actions(scene, "up:b verify:b");
    assert_int_equal(membership_groups(scene->membership, &groups), 0);
    assert_null(membership_leader(scene->membership, 5)); /* a stray datagram moves nothing */
    answer(scene, "ANNOUNCE|b|10.0.0.2|8001|5|true");
    assert_actions(scene, "joined:5"); /* the own group has not shown yet that it is one */
    assert_ptr_equal(membership_leader(scene->membership, 5), member(scene, "b"));

    hear(scene, "ANNOUNCE|c|10.0.0.3|8001|2|true");
    assert_actions(scene, "up:c verify:c");
    answer(scene, "ANNOUNCE|c|10.0.0.3|8001|2|true");
    answer(scene, "ANNOUNCE|c|10.0.0.3|8001|2|true");
    assert_actions(scene, "joined:2");
    membership_join_group(scene->membership, 0); /* a link to self's leader stands */
    assert_actions(scene, "joined:0");
    assert_int_equal(membership_groups(scene->membership, &groups), 3);
    assert_int_equal(groups[0], 0);
    assert_int_equal(groups[1], 2);
    assert_int_equal(groups[2], 5);

    pass(scene, 60000, MEMBERSHIP_MEMBER_DEAD);
    assert_null(membership_leader(scene->membership, 5));
    hear(scene, "LEAVE|c");
    assert_actions(scene, "gone:c");
    assert_int_equal(membership_groups(scene->membership, &groups), 3); /* no time-out takes a group out */
    end(scene);
}

static void the_own_group_joins_when_its_leader_is_known(void **state) {
    (void)state;
    struct scene *scene = follower_scene();
    hear(scene, "ANNOUNCE|f|10.0.0.3|8001|0|false");
    assert_int_equal(pass(scene, 5000, MEMBERSHIP_VERIFY), 0); /* a follower of the own group is no news */
    membership_join_group(scene->membership, 0);
    membership_join_group(scene->membership, 0);
    assert_actions(scene, "joined:0");
    end(scene);
}

/* f and g of group 5, which nobody leads, have its state; 300 ms are over. */
static void hear_followers(struct scene *scene) {
    hear(scene, "ANNOUNCE|f|10.0.0.2|8001|5|false");
    hear(scene, "ENDPOINTS|f|9001|6380|true|7");
    hear(scene, "ANNOUNCE|g|10.0.0.3|8001|5|false");
    hear(scene, "ENDPOINTS|g|9002|6381");                   /* an older node, which does not say */
    assert_actions(scene, "up:f changed:f up:g changed:g"); /* their leader may be about to answer, too */
    assert_int_equal(pass(scene, MEMBERSHIP_FOLLOWER_ASKED_AFTER_MS - TICK_MS, MEMBERSHIP_VERIFY), 0);
    scene->now_ms += TICK_MS;
    membership_tick(scene->membership, scene->now_ms);
    assert_actions(scene, "verify:f verify:g");
}

static void a_group_joins_on_the_word_of_a_follower_when_no_leader_is_heard(void **state) {
    (void)state;
    struct scene *scene = leader_scene();
    hear_followers(scene);
    membership_verify_failed(scene->membership, "f", scene->now_ms);
    const uint16_t *groups;
    assert_int_equal(membership_groups(scene->membership, &groups), 0); /* a stray datagram moves nothing */
    answer_all(scene, "ANNOUNCE|g|10.0.0.3|8001|5|false", "ENDPOINTS|g|9002|6381");
    assert_actions(scene, "joined:0 joined:5 without-leader:g");
    assert_false(member(scene, "g")->verified); /* it leads nothing */
    assert_null(membership_leader(scene->membership, 5));

    scene->now_ms += MEMBERSHIP_VERIFY_AGAIN_AFTER_MS;
    hear(scene, "ANNOUNCE|f|10.0.0.2|8001|5|false");
    assert_actions(scene, ""); /* known by now */
    hear(scene, "ANNOUNCE|l|10.0.0.4|8001|5|true");
    answer(scene, "ANNOUNCE|l|10.0.0.4|8001|5|true");
    assert_actions(scene, "up:l verify:l");
    assert_string_equal(membership_leader(scene->membership, 5)->id, "l");
    end(scene);
}

static void a_follower_that_has_nothing_brings_no_group_into_the_ring(void **state) {
    (void)state;
    struct scene *scene = leader_scene();
    const uint16_t *groups;
    hear(scene, "ANNOUNCE|f|10.0.0.2|8001|5|false"); /* somebody has typed the wrong group */
    hear(scene, "ENDPOINTS|f|9001|6380|false|0");
    assert_actions(scene, "up:f changed:f");
    for (int i = 0; i < 6; i++) {
        assert_int_equal(pass(scene, 5000, MEMBERSHIP_VERIFY), 0); /* it is not even asked */
        hear(scene, "ANNOUNCE|f|10.0.0.2|8001|5|false");
        hear(scene, "ENDPOINTS|f|9001|6380|false|0");
        assert_actions(scene, "");
    }
    hear(scene, "ENDPOINTS|f|9001|6380|true|0"); /* a stray datagram */
    assert_actions(scene, "changed:f");
    assert_int_equal(pass(scene, TICK_MS, MEMBERSHIP_VERIFY), 1);
    answer_all(scene, "ANNOUNCE|f|10.0.0.2|8001|5|false", "ENDPOINTS|f|9001|6380|false|0");
    assert_actions(scene, "changed:f"); /* it knows better */
    assert_int_equal(membership_groups(scene->membership, &groups), 0);

    hear(scene, "ANNOUNCE|g|10.0.0.3|8001|6|false"); /* knows only the specification: it says no ENDPOINTS */
    assert_int_equal(pass(scene, 5000, MEMBERSHIP_VERIFY), 0);
    end(scene);
}

static void a_follower_that_gets_its_groups_state_is_asked_at_once(void **state) {
    (void)state;
    struct scene *scene = leader_scene();
    hear(scene, "ANNOUNCE|f|10.0.0.2|8001|5|false");
    hear(scene, "ENDPOINTS|f|9001|6380|false|0");
    pass(scene, 1000, MEMBERSHIP_VERIFY);
    hear(scene, "ENDPOINTS|f|9001|6380|true|12");
    assert_actions(scene, "changed:f");
    assert_true(member(scene, "f")->tells_index && member(scene, "f")->index == 12);
    assert_int_equal(pass(scene, TICK_MS, MEMBERSHIP_VERIFY), 1);
    hear(scene, "ENDPOINTS|f|9001|6380|true|13");
    assert_actions(scene, ""); /* where it is, is no news */
    assert_true(member(scene, "f")->index == 13);
    answer_all(scene, "ANNOUNCE|f|10.0.0.2|8001|5|false", "ENDPOINTS|f|9001|6380|true|13");
    assert_actions(scene, "joined:0 joined:5 without-leader:f");
    end(scene);
}

static void a_follower_that_did_not_answer_is_asked_again_at_an_announcement(void **state) {
    (void)state;
    struct scene *scene = leader_scene();
    hear(scene, "ANNOUNCE|f|10.0.0.2|8001|5|false");
    hear(scene, "ENDPOINTS|f|9001|6380|true|7");
    assert_int_equal(pass(scene, 1000, MEMBERSHIP_VERIFY), 1);
    membership_verify_failed(scene->membership, "f", scene->now_ms);
    assert_int_equal(pass(scene, 4000, MEMBERSHIP_VERIFY), 0);
    hear(scene, "ANNOUNCE|f|10.0.0.2|8001|5|false");
    assert_actions(scene, "verify:f");
    hear(scene, "ANNOUNCE|f|10.0.0.2|8001|6|false");
    answer(scene, "ANNOUNCE|f|10.0.0.2|8001|5|false"); /* of the past */
    answer(scene, "ANNOUNCE|f|10.0.0.2|8001|6|false");
    assert_actions(scene, "changed:f verify:f joined:0 joined:6 without-leader:f");
    end(scene);
}

static void a_follower_whose_leader_answers_in_time_is_not_asked(void **state) {
    (void)state;
    struct scene *scene = follower_scene();
    hear(scene, "ANNOUNCE|f|10.0.0.2|8001|5|false");
    hear(scene, "ENDPOINTS|f|9001|6380|true|7");
    scene->now_ms += 200;
    hear(scene, "ANNOUNCE|l|10.0.0.4|8001|5|true");
    answer(scene, "ANNOUNCE|l|10.0.0.4|8001|5|true");
    assert_actions(scene, "up:f changed:f up:l verify:l joined:5");
    assert_int_equal(pass(scene, 5000, MEMBERSHIP_VERIFY), 0);
    end(scene);
}

static void the_own_group_is_learned_from_its_leader_or_a_follower_that_has_its_state(void **state) {
    (void)state;
    struct scene *scene = follower_scene();
    hear(scene, "ANNOUNCE|f|10.0.0.3|8001|0|false");
    hear(scene, "ENDPOINTS|f|9001|6380|true|7");
    hear(scene, "ANNOUNCE|l|10.0.0.2|8001|0|true");
    assert_actions(scene, "up:f changed:f up:l verify:l");
    answer(scene, "ANNOUNCE|l|10.0.0.2|8001|0|true");
    assert_actions(scene, "joined:0");
    assert_ptr_equal(membership_leader(scene->membership, 0), member(scene, "l"));
    assert_int_equal(pass(scene, 5000, MEMBERSHIP_VERIFY), 0); /* the follower is no news then */
    end(scene);

    scene = follower_scene(); /* restarted while its leader is down */
    hear(scene, "ANNOUNCE|f|10.0.0.3|8001|0|false");
    hear(scene, "ENDPOINTS|f|9001|6380|true|7");
    assert_int_equal(pass(scene, 1000, MEMBERSHIP_VERIFY), 1);
    answer_all(scene, "ANNOUNCE|f|10.0.0.3|8001|0|false", "ENDPOINTS|f|9001|6380|true|7");
    assert_actions(scene, "joined:0 without-leader:f");
    end(scene);

    scene = leader_scene(); /* a leader knows of its group */
    hear(scene, "ANNOUNCE|f|10.0.0.3|8001|0|false");
    hear(scene, "ENDPOINTS|f|9001|6380|true|7");
    assert_int_equal(pass(scene, 5000, MEMBERSHIP_VERIFY), 0);
    end(scene);
}

static void a_node_that_gets_its_groups_state_says_so_at_once_and_joins_it(void **state) {
    (void)state;
    struct scene *scene = follower_scene();
    membership_set_state(scene->membership, true, scene->now_ms);
    assert_actions(scene, "send-facts joined:0");
    struct datagram datagram = {.verb = DATAGRAM_ENDPOINTS};
    membership_describe(membership_self(scene->membership), &datagram);
    assert_true(datagram.tells_position && datagram.has_state);
    membership_set_state(scene->membership, true, scene->now_ms);
    assert_actions(scene, "");
    membership_set_state(scene->membership, false, scene->now_ms); /* a leader that takes a state after all */
    assert_actions(scene, "send-facts");
    end(scene);
}

/* ---- groups that are taken out of the ring ---- */

static void a_group_that_never_served_can_be_forgotten_when_its_nodes_are_gone(void **state) {
    (void)state;
    struct scene *scene = leader_scene();
    const uint16_t *groups;
    assert_int_equal(membership_forget_group(scene->membership, 5), MEMBERSHIP_NO_SUCH_GROUP);
    hear(scene, "ANNOUNCE|b|10.0.0.2|8001|5|true"); /* it starts, and is stopped before it serves */
    answer_all(scene, "ANNOUNCE|b|10.0.0.2|8001|5|true", "ENDPOINTS|b|9001|6380|false|0");
    hear(scene, "ANNOUNCE|f|10.0.0.3|8001|5|false");
    hear(scene, "ENDPOINTS|f|9002|6381|false|0");
    hear(scene, "ANNOUNCE|c|10.0.0.4|8001|2|false");
    assert_actions(scene, "up:b verify:b changed:b joined:0 joined:5 up:f changed:f up:c");
    assert_int_equal(membership_forget_group(scene->membership, 0), MEMBERSHIP_OWN_GROUP);
    assert_int_equal(membership_forget_group(scene->membership, 5), MEMBERSHIP_GROUP_LIVES);
    hear(scene, "LEAVE|b");
    assert_actions(scene, "gone:b");
    assert_int_equal(membership_forget_group(scene->membership, 5), MEMBERSHIP_GROUP_LIVES);
    pass(scene, 2 * MEMBERSHIP_DEAD_AFTER_MS, MEMBERSHIP_MEMBER_DEAD);
    assert_int_equal(membership_forget_group(scene->membership, 5), MEMBERSHIP_FORGOTTEN);
    assert_actions(scene, "gone:f forgotten:5");
    assert_non_null(member(scene, "c"));
    assert_int_equal(membership_groups(scene->membership, &groups), 1);
    assert_int_equal(groups[0], 0);
    assert_int_equal(membership_forget_group(scene->membership, 5), MEMBERSHIP_NO_SUCH_GROUP);

    hear(scene, "ANNOUNCE|b|10.0.0.2|8001|5|true"); /* it was meant to be, after all */
    answer(scene, "ANNOUNCE|b|10.0.0.2|8001|5|true");
    assert_actions(scene, "up:b verify:b joined:5");
    end(scene);
}

static void a_group_that_has_served_is_not_forgotten(void **state) {
    (void)state;
    struct scene *scene = leader_scene();
    hear(scene, "ANNOUNCE|b|10.0.0.2|8001|5|true"); /* it serves some time after it was proven */
    answer_all(scene, "ANNOUNCE|b|10.0.0.2|8001|5|true", "ENDPOINTS|b|9001|6380|false|0");
    hear(scene, "ENDPOINTS|b|9001|6380|true|0");
    hear(scene, "ANNOUNCE|c|10.0.0.3|8001|6|true"); /* an old leader, which does not say */
    answer(scene, "ANNOUNCE|c|10.0.0.3|8001|6|true");
    hear(scene, "ANNOUNCE|d|10.0.0.4|8001|7|false"); /* a follower that has its state */
    hear(scene, "ENDPOINTS|d|9001|6380|true|7");
    pass(scene, MEMBERSHIP_FOLLOWER_ASKED_AFTER_MS, MEMBERSHIP_VERIFY);
    answer_all(scene, "ANNOUNCE|d|10.0.0.4|8001|7|false", "ENDPOINTS|d|9001|6380|true|7");
    pass(scene, 2 * MEMBERSHIP_DEAD_AFTER_MS, MEMBERSHIP_MEMBER_DEAD);
    for (uint16_t group = 5; group <= 7; group++) {
        assert_int_equal(membership_forget_group(scene->membership, group), MEMBERSHIP_GROUP_SERVED);
    }
    end(scene);
}

static void a_leader_is_asked_one_question_at_a_time_and_again_2_s_after_a_failure(void **state) {
    (void)state;
    struct scene *scene = follower_scene();
    hear(scene, "ANNOUNCE|b|10.0.0.2|8001|5|true");
    assert_actions(scene, "up:b verify:b");
    hear(scene, "ANNOUNCE|b|10.0.0.2|8001|5|true");
    assert_actions(scene, ""); /* the question is under way */
    membership_verify_failed(scene->membership, "b", scene->now_ms);
    assert_actions(scene, "");
    scene->now_ms += 1999;
    hear(scene, "ANNOUNCE|b|10.0.0.2|8001|5|true");
    assert_actions(scene, "");
    scene->now_ms += 1;
    hear(scene, "ANNOUNCE|b|10.0.0.2|8001|5|true");
    assert_actions(scene, "verify:b");
    scene->now_ms += MEMBERSHIP_VERIFY_GIVE_UP_AFTER_MS; /* no word at all */
    hear(scene, "ANNOUNCE|b|10.0.0.2|8001|5|true");
    assert_actions(scene, "verify:b");
    membership_verify_failed(scene->membership, "nobody", scene->now_ms);
    membership_verify_failed(scene->membership, "self", scene->now_ms);
    assert_actions(scene, "");
    end(scene);
}

static void an_answer_with_other_facts_verifies_nothing(void **state) {
    (void)state;
    static const char *const answers[] = {
        "ANNOUNCE|b|10.0.0.2|8001|5|false", "ANNOUNCE|b|10.0.0.2|8001|6|true",
        "ANNOUNCE|b|10.0.0.2|8002|5|true",  "ANNOUNCE|b|10.0.0.3|8001|5|true",
        "ANNOUNCE|c|10.0.0.2|8001|5|true",
    };
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        struct scene *scene = follower_scene();
        hear(scene, "ANNOUNCE|b|10.0.0.2|8001|5|true");
        assert_actions(scene, "up:b verify:b");
        answer(scene, answers[i]);
        assert_actions(scene, "");
        assert_false(member(scene, "b")->verified);
        assert_null(membership_leader(scene->membership, 5));
        end(scene);
    }
}

static void a_changed_fact_makes_a_leader_unverified(void **state) {
    (void)state;
    static const char *const changes[] = {
        "ANNOUNCE|b|10.0.0.2|8002|5|true",
        "ANNOUNCE|b|10.0.0.3|8001|5|true",
        "ANNOUNCE|b|10.0.0.2|8001|6|true",
    };
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        struct scene *scene = follower_scene();
        hear(scene, "ANNOUNCE|b|10.0.0.2|8001|5|true");
        answer(scene, "ANNOUNCE|b|10.0.0.2|8001|5|true");
        assert_actions(scene, "up:b verify:b joined:5");
        hear(scene, changes[i]);
        assert_actions(scene, "changed:b verify:b");
        assert_false(member(scene, "b")->verified);
        assert_null(membership_leader(scene->membership, member(scene, "b")->group));
        answer(scene, changes[i]);
        assert_true(member(scene, "b")->verified);
        end(scene);
    }
}

static void a_leader_that_steps_down_and_up_again_is_asked_again(void **state) {
    (void)state;
    struct scene *scene = follower_scene();
    hear(scene, "ANNOUNCE|b|10.0.0.2|8001|5|true");
    answer(scene, "ANNOUNCE|b|10.0.0.2|8001|5|true");
    assert_actions(scene, "up:b verify:b joined:5");
    hear(scene, "ANNOUNCE|b|10.0.0.2|8001|5|false");
    assert_actions(scene, "changed:b");
    assert_null(membership_leader(scene->membership, 5));
    hear(scene, "ANNOUNCE|b|10.0.0.2|8001|5|true");
    assert_actions(scene, "changed:b verify:b");
    answer(scene, "ANNOUNCE|b|10.0.0.2|8001|5|true");
    assert_actions(scene, ""); /* the group is in the ring already */
    assert_non_null(membership_leader(scene->membership, 5));
    end(scene);
}

static void a_change_while_the_question_is_under_way_is_asked_about_when_it_is_answered(void **state) {
    (void)state;
    struct scene *scene = follower_scene();
    hear(scene, "ANNOUNCE|b|10.0.0.2|8001|5|true");
    assert_actions(scene, "up:b verify:b");
    hear(scene, "ANNOUNCE|b|10.0.0.2|8001|6|true");
    assert_actions(scene, "changed:b");
    answer(scene, "ANNOUNCE|b|10.0.0.2|8001|5|true"); /* of the past */
    assert_actions(scene, "verify:b");
    answer(scene, "ANNOUNCE|b|10.0.0.2|8001|6|true");
    assert_actions(scene, "joined:6");

    hear(scene, "ANNOUNCE|c|10.0.0.3|8001|7|true");
    hear(scene, "ANNOUNCE|c|10.0.0.4|8001|7|true");
    assert_actions(scene, "up:c verify:c changed:c");
    membership_verify_failed(scene->membership, "c", scene->now_ms); /* nobody at the old host */
    assert_actions(scene, "verify:c");
    membership_verify_failed(scene->membership, "c", scene->now_ms);
    assert_actions(scene, ""); /* but not in a circle */
    end(scene);
}

static void no_more_than_32_are_asked_at_once_and_the_others_are_not_forgotten(void **state) {
    (void)state;
    enum { LEADERS = 100 };
    struct scene *scene = follower_scene();
    char text[96], asked[LEADERS * 2][LIMIT_NODE_ID_BYTES + 1];
    for (unsigned i = 0; i < LEADERS; i++) {
        snprintf(text, sizeof text, "ANNOUNCE|n%u|10.0.0.2|%u|%u|true", i, 8001 + i, i + 1);
        hear(scene, text);
    }
    hear(scene, "LEAVE|n99"); /* it waits no longer */
    size_t n = 0, answered = 0;
    for (int ticks = 0; ticks < 1000 / TICK_MS; ticks++) {
        scene->now_ms += TICK_MS;
        membership_tick(scene->membership, scene->now_ms);
        struct membership_action action;
        while (membership_next(scene->membership, &action)) {
            if (action.type == MEMBERSHIP_VERIFY) {
                memcpy(asked[n++], action.member.id, sizeof asked[0]);
            }
        }
        assert_in_range(n - answered, 0, MEMBERSHIP_VERIFY_AT_ONCE);
        for (size_t end = answered + (n - answered) / 2 + 1; answered < end && answered < n; answered++) {
            unsigned i = (unsigned)strtoul(asked[answered] + 1, NULL, 10);
            if (i == 50) { /* one does not answer */
                membership_verify_failed(scene->membership, "n50", scene->now_ms);
                continue;
            }
            snprintf(text, sizeof text, "ANNOUNCE|n%u|10.0.0.2|%u|%u|true", i, 8001 + i, i + 1);
            answer(scene, text);
        }
    }
    const uint16_t *groups;
    assert_int_equal(n, LEADERS - 1);
    assert_int_equal(membership_groups(scene->membership, &groups), LEADERS - 2);
    end(scene);
}

/* Two verified leaders of group 5: a since ever, b since now; and c, which does not answer. */
static struct scene *two_leaders_scene(void) {
    struct scene *scene = follower_scene();
    hear(scene, "ANNOUNCE|a|10.0.0.2|8001|5|true");
    answer(scene, "ANNOUNCE|a|10.0.0.2|8001|5|true");
    assert_string_equal(membership_leader(scene->membership, 5)->id, "a");
    pass(scene, 20000, MEMBERSHIP_MEMBER_DEAD);
    hear(scene, "ANNOUNCE|c|10.0.0.4|8001|5|true");
    hear(scene, "ANNOUNCE|b|10.0.0.3|8001|5|true");
    answer(scene, "ANNOUNCE|b|10.0.0.3|8001|5|true");
    assert_actions(scene, "up:c verify:c up:b verify:b");
    assert_string_equal(membership_leader(scene->membership, 5)->id, "a");
    assert_null(membership_leader(scene->membership, 4));
    return scene;
}

static void the_leader_of_a_group_is_the_live_one_that_was_verified_first(void **state) {
    (void)state;
    struct scene *scene = two_leaders_scene();
    scene->now_ms += 200;
    hear(scene, "ANNOUNCE|a|10.0.0.2|8001|5|true"); /* answers the WHO of b */
    hear(scene, "ANNOUNCE|b|10.0.0.3|8001|5|true");
    answer(scene, "ANNOUNCE|b|10.0.0.3|8001|5|true"); /* of no consequence */
    pass(scene, 4000, MEMBERSHIP_MEMBER_DEAD);
    hear(scene, "ANNOUNCE|b|10.0.0.3|8001|5|true");
    assert_string_equal(membership_leader(scene->membership, 5)->id, "a");
    hear(scene, "ANNOUNCE|a|10.0.0.2|8001|5|false"); /* a steps down ... */
    assert_string_equal(membership_leader(scene->membership, 5)->id, "b");
    hear(scene, "ANNOUNCE|a|10.0.0.2|8001|5|true"); /* ... and comes too late */
    answer(scene, "ANNOUNCE|a|10.0.0.2|8001|5|true");
    pass(scene, 1000, MEMBERSHIP_MEMBER_DEAD);
    hear(scene, "ANNOUNCE|b|10.0.0.3|8001|5|true");
    assert_string_equal(membership_leader(scene->membership, 5)->id, "b");
    end(scene);
}

static void a_leader_that_is_silent_when_another_one_comes_is_passed_over(void **state) {
    (void)state;
    struct scene *scene = two_leaders_scene();
    pass(scene, MEMBERSHIP_LEADER_SILENT_MS - TICK_MS, MEMBERSHIP_MEMBER_DEAD);
    assert_string_equal(membership_leader(scene->membership, 5)->id, "a");
    pass(scene, TICK_MS, MEMBERSHIP_MEMBER_DEAD);
    assert_true(member(scene, "a")->alive);
    assert_string_equal(membership_leader(scene->membership, 5)->id, "b");
    hear(scene, "ANNOUNCE|a|10.0.0.2|8001|5|true"); /* its answers were lost */
    assert_string_equal(membership_leader(scene->membership, 5)->id, "a");
    end(scene);
}

static void of_those_that_were_elected_the_one_of_the_greatest_term_leads(void **state) {
    (void)state;
    struct scene *scene = two_leaders_scene();
    hear(scene, "ENDPOINTS|a|9001|6379|true|100|3");
    assert_string_equal(membership_leader(scene->membership, 5)->id, "a");
    hear(scene, "ENDPOINTS|b|9001|6379|true|90|4");
    assert_string_equal(membership_leader(scene->membership, 5)->id, "b");
    hear(scene, "ANNOUNCE|a|10.0.0.2|8001|5|true"); /* it does not know yet */
    hear(scene, "ENDPOINTS|a|9001|6379|true|100|3");
    assert_string_equal(membership_leader(scene->membership, 5)->id, "b");
    hear(scene, "ENDPOINTS|c|9001|6379|true|90|5"); /* it has not answered WHO */
    assert_string_equal(membership_leader(scene->membership, 5)->id, "b");
    end(scene);
}

static void a_leader_that_was_followed_by_another_counts_as_dead_at_once(void **state) {
    (void)state;
    struct scene *scene = two_leaders_scene();
    const struct membership *membership = scene->membership;
    hear(scene, "ENDPOINTS|a|9001|6379|true|100|3");
    assert_true(membership_is_alive(membership, member(scene, "a")));
    assert_true(membership_is_alive(membership, member(scene, "b"))); /* it was not elected: that is no sign */
    hear(scene, "ENDPOINTS|b|9001|6379|true|90|4");
    assert_false(membership_is_alive(membership, member(scene, "a")));
    assert_true(membership_is_alive(membership, member(scene, "b")));
    assert_true(membership_is_alive(membership, membership_self(membership)));
    hear(scene, "ANNOUNCE|a|10.0.0.2|8001|5|false"); /* it was there, and knows now */
    assert_true(membership_is_alive(membership, member(scene, "a")));
    pass(scene, MEMBERSHIP_DEAD_AFTER_MS, MEMBERSHIP_MEMBER_DEAD);
    assert_false(membership_is_alive(membership, member(scene, "b")));
    end(scene);
}

static void a_leader_back_from_the_dead_stands_behind_the_one_that_took_its_place(void **state) {
    (void)state;
    struct scene *scene = two_leaders_scene();
    pass(scene, 12000, MEMBERSHIP_MEMBER_DEAD);
    assert_false(member(scene, "a")->alive);
    hear(scene, "ANNOUNCE|a|10.0.0.2|8001|5|true"); /* restarted, with its former id */
    assert_true(member(scene, "a")->alive && member(scene, "a")->verified);
    assert_string_equal(membership_leader(scene->membership, 5)->id, "b");
    end(scene);
}

static void a_leader_hears_of_another_one_of_its_group(void **state) {
    (void)state;
    struct scene *scene = leader_scene();
    assert_ptr_equal(membership_leader(scene->membership, 0), membership_self(scene->membership));
    hear(scene, "ANNOUNCE|b|10.0.0.2|8001|0|true");
    assert_actions(scene, "up:b verify:b other-leader:b");
    hear(scene, "ANNOUNCE|b|10.0.0.2|8001|0|true");
    assert_actions(scene, "other-leader:b");
    hear(scene, "ANNOUNCE|c|10.0.0.3|8001|1|true"); /* of another group: as it should be */
    assert_actions(scene, "up:c verify:c");
    membership_set_leader(scene->membership, false, 0, scene->now_ms);
    hear(scene, "ANNOUNCE|b|10.0.0.2|8001|0|true");
    assert_actions(scene, "send-facts");
    membership_set_leader(scene->membership, true, 0, scene->now_ms);
    assert_actions(scene, "send-facts other-leader:b");
    end(scene);
}

/* ---- limits ---- */

/* As many as fit beside self, n0 first, each 1 ms later than the one before; proven: they say ENDPOINTS, too.
 */
static void fill_up(struct scene *scene, bool proven) {
    char text[96];
    for (unsigned i = 0; i < MEMBERSHIP_MAX_MEMBERS - 1; i++) {
        snprintf(text, sizeof text, "ANNOUNCE|n%u|10.0.1.%u|%u|%u|true", i, i % 256, 8000 + i, i);
        hear(scene, text);
        snprintf(text, sizeof text, "ENDPOINTS|n%u|1|1", i);
        if (proven) {
            hear(scene, text);
        }
        scene->now_ms++;
    }
    assert_int_equal(membership_count(scene->membership), MEMBERSHIP_MAX_MEMBERS);
}

static void one_too_many_takes_the_place_of_the_quietest_that_proved_nothing(void **state) {
    (void)state;
    struct scene *scene = follower_scene();
    fill_up(scene, false); /* nobody takes the actions: they wait */
    for (size_t i = 1; i < MEMBERSHIP_MAX_MEMBERS; i++) {
        assert_true(
            strcmp(membership_at(scene->membership, i - 1)->id, membership_at(scene->membership, i)->id) < 0);
    }
    struct membership_action action;
    unsigned up = 0, verify = 0;
    while (membership_next(scene->membership, &action)) {
        up += action.type == MEMBERSHIP_MEMBER_UP;
        verify += action.type == MEMBERSHIP_VERIFY;
    }
    assert_int_equal(up, MEMBERSHIP_MAX_MEMBERS - 1); /* no action is lost */
    assert_int_equal(verify, MEMBERSHIP_VERIFY_AT_ONCE);

    hear(scene, "ANNOUNCE|n0-again|10.0.1.0|8000|0|false"); /* a restart needs no room */
    assert_actions(scene, "gone:n0 up:n0-again");
    answer(scene, "ANNOUNCE|n1|10.0.1.1|8001|1|true");
    hear(scene, "ENDPOINTS|n2|1|1");
    hear(scene, "ANNOUNCE|n3|10.0.1.3|8003|3|true"); /* is heard again */
    assert_actions(scene, "joined:1 changed:n2");
    hear(scene, "ANNOUNCE|new|10.0.0.2|8000|0|false");
    assert_actions(scene, "full:n4 gone:n4 up:new");
    hear(scene, "ANNOUNCE|more|10.0.0.2|8001|0|false");
    assert_actions(scene, "gone:n5 up:more"); /* said once a minute */
    assert_int_equal(membership_evicted(scene->membership), 2);
    assert_int_equal(membership_ignored(scene->membership), 0);
    assert_int_equal(pass(scene, 30000, MEMBERSHIP_MEMBER_DEAD), MEMBERSHIP_MAX_MEMBERS - 1);
    end(scene);
}

static void one_too_many_beside_proven_ones_is_ignored_until_one_is_dead(void **state) {
    (void)state;
    struct scene *scene = follower_scene();
    fill_up(scene, true);
    pass(scene, TICK_MS, MEMBERSHIP_MEMBER_UP);
    hear(scene, "ANNOUNCE|new|10.0.0.2|8000|0|false");
    hear(scene, "ANNOUNCE|new|10.0.0.2|8000|0|false");
    assert_actions(scene, "full:new");
    assert_null(member(scene, "new"));
    assert_int_equal(membership_ignored(scene->membership), 2);
    pass(scene, MEMBERSHIP_DEAD_AFTER_MS - MEMBERSHIP_MAX_MEMBERS + 50, MEMBERSHIP_MEMBER_DEAD);
    assert_false(member(scene, "n0")->alive);
    assert_true(member(scene, "n1000")->alive);
    hear(scene, "ANNOUNCE|new|10.0.0.2|8000|0|false");
    assert_actions(scene, "gone:n0 up:new");
    pass(scene, MEMBERSHIP_FULL_EVERY_MS, MEMBERSHIP_MEMBER_DEAD);
    hear(scene, "ANNOUNCE|late|10.0.0.2|8001|0|false");
    assert_actions(scene, "full:n1 gone:n1 up:late");
    assert_int_equal(membership_evicted(scene->membership), 2);
    end(scene);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(self_is_a_member_from_the_start),
        cmocka_unit_test(facts_go_out_every_5_s_less_up_to_a_tenth),
        cmocka_unit_test(who_is_repeated_in_the_first_seconds_only),
        cmocka_unit_test(several_who_are_answered_once_within_200_ms),
        cmocka_unit_test(a_node_heard_for_the_first_time_is_answered_like_a_who),
        cmocka_unit_test(a_change_of_role_is_announced_at_once),
        cmocka_unit_test(a_node_comes_says_its_ports_and_leaves),
        cmocka_unit_test(members_are_ordered_by_id),
        cmocka_unit_test(a_node_silent_for_30_s_is_dead_and_not_before),
        cmocka_unit_test(each_announcement_gives_30_s_more),
        cmocka_unit_test(dead_nodes_are_forgotten_after_a_day),
        cmocka_unit_test(a_process_that_was_stopped_asks_before_it_calls_anybody_dead),
        cmocka_unit_test(a_restart_under_a_new_id_replaces_the_node_at_its_host_and_port),
        cmocka_unit_test(a_node_at_a_new_address_has_to_say_its_ports_again),
        cmocka_unit_test(echoes_and_former_selves_are_ignored),
        cmocka_unit_test(a_leave_in_the_own_name_is_contradicted_at_once),
        cmocka_unit_test(a_double_of_the_own_id_is_reported_every_5_s_at_most),
        cmocka_unit_test(of_two_nodes_with_one_id_the_later_goes),
        cmocka_unit_test(whoever_hears_its_own_id_from_elsewhere_announces_itself),
        cmocka_unit_test(two_others_of_one_id_are_reported_when_one_is_heard_again),
        cmocka_unit_test(a_group_joins_the_ring_when_its_leader_has_answered),
        cmocka_unit_test(the_own_group_joins_when_its_leader_is_known),
        cmocka_unit_test(a_group_joins_on_the_word_of_a_follower_when_no_leader_is_heard),
        cmocka_unit_test(a_follower_that_did_not_answer_is_asked_again_at_an_announcement),
        cmocka_unit_test(a_follower_whose_leader_answers_in_time_is_not_asked),
        cmocka_unit_test(the_own_group_is_learned_from_its_leader_or_a_follower_that_has_its_state),
        cmocka_unit_test(a_follower_that_has_nothing_brings_no_group_into_the_ring),
        cmocka_unit_test(a_follower_that_gets_its_groups_state_is_asked_at_once),
        cmocka_unit_test(a_node_that_gets_its_groups_state_says_so_at_once_and_joins_it),
        cmocka_unit_test(a_group_that_never_served_can_be_forgotten_when_its_nodes_are_gone),
        cmocka_unit_test(a_group_that_has_served_is_not_forgotten),
        cmocka_unit_test(a_leader_is_asked_one_question_at_a_time_and_again_2_s_after_a_failure),
        cmocka_unit_test(an_answer_with_other_facts_verifies_nothing),
        cmocka_unit_test(a_changed_fact_makes_a_leader_unverified),
        cmocka_unit_test(a_leader_that_steps_down_and_up_again_is_asked_again),
        cmocka_unit_test(a_change_while_the_question_is_under_way_is_asked_about_when_it_is_answered),
        cmocka_unit_test(no_more_than_32_are_asked_at_once_and_the_others_are_not_forgotten),
        cmocka_unit_test(the_leader_of_a_group_is_the_live_one_that_was_verified_first),
        cmocka_unit_test(a_leader_that_is_silent_when_another_one_comes_is_passed_over),
        cmocka_unit_test(of_those_that_were_elected_the_one_of_the_greatest_term_leads),
        cmocka_unit_test(a_leader_that_was_followed_by_another_counts_as_dead_at_once),
        cmocka_unit_test(a_leader_back_from_the_dead_stands_behind_the_one_that_took_its_place),
        cmocka_unit_test(a_leader_hears_of_another_one_of_its_group),
        cmocka_unit_test(one_too_many_takes_the_place_of_the_quietest_that_proved_nothing),
        cmocka_unit_test(one_too_many_beside_proven_ones_is_ignored_until_one_is_dead),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
