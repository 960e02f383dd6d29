/* Three nodes that want voters, of which one dies between any two steps. */
#include "cluster/forming.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define UNIX_MS INT64_C(0x19000000000)

static int64_t now_ms;

enum { NODES = 3, LETTERS = 256 };

struct member {
    struct forming forming;
    struct forming_kept disk, keeping;
    bool keeps;
    uint64_t history_id; /* it has begun; empty */
    bool proposes;       /* it may stand */
    int64_t back_at_ms;  /* 0: it is there */
};

static struct trio {
    struct member members[NODES];
    struct letter {
        size_t from, to;
        char text[FORMING_TEXT_BYTES];
    } letters[LETTERS];
    size_t letter_count;
    uint64_t proposed; /* every id for which somebody has begun as its proposer */
    int steps, dies_at;
    size_t dies, deaths;
    bool disk_was_faster; /* what was being kept when it died is on the disk */
} trio;

static const char *const names[NODES] = {"a", "b", "c"};

static void post(size_t from, size_t to, const char *text) {
    struct letter *letter = &trio.letters[trio.letter_count++];
    assert_true(trio.letter_count < LETTERS);
    *letter = (struct letter){.from = from, .to = to};
    snprintf(letter->text, sizeof(letter->text), "%s", text);
}

static void say_voter(size_t from, size_t to) {
    struct buf line;
    buf_init(&line, 200);
    line_voter(&line, names[from], 7, 3, 0, forming_id(&trio.members[from].forming));
    buf_append_byte(&line, '\0');
    post(from, to, buf_slice(&line).ptr);
    buf_deinit(&line);
}

static void connect(size_t self) {
    for (size_t i = 0; i < NODES; i++) {
        if (i != self && trio.members[i].back_at_ms == 0) {
            say_voter(self, i);
            say_voter(i, self);
        }
    }
}

static void die(size_t i) {
    struct member *member = &trio.members[i];
    size_t kept_count = 0;
    if (member->keeps && trio.disk_was_faster) {
        member->disk = member->keeping;
    }
    member->keeps = false;
    member->back_at_ms = now_ms + 700;
    trio.deaths++;
    for (size_t l = 0; l < trio.letter_count; l++) {
        if (trio.letters[l].from != i && trio.letters[l].to != i) {
            trio.letters[kept_count++] = trio.letters[l];
        }
    }
    trio.letter_count = kept_count;
    for (size_t j = 0; j < NODES; j++) {
        forming_peer_gone(&trio.members[j].forming, names[i]);
    }
}

static void start(size_t i) {
    struct member *member = &trio.members[i];
    member->back_at_ms = 0;
    member->history_id = 0;
    member->proposes = false;
    forming_init(&member->forming, names[i], 7, 3, &member->disk, (uint16_t)(i + 1), now_ms);
}

/* Each is one step, behind which the one that is to die does. */
static bool step(size_t i) {
    if (trio.members[i].back_at_ms == 0 && trio.steps++ == trio.dies_at && i == trio.dies) {
        die(i);
        return false;
    }
    if (trio.dies_at == trio.steps - 1) {
        trio.dies_at++; /* it is another one's step: at its next one */
    }
    return trio.members[i].back_at_ms == 0;
}

static void act(size_t i) {
    struct member *member = &trio.members[i];
    struct forming_action action;
    uint64_t shown = forming_id(&member->forming);
    while (member->back_at_ms == 0 && forming_next(&member->forming, &action)) {
        if (!step(i)) {
            return;
        }
        if (action.type == FORMING_SEND) {
            size_t to = (size_t)(action.to[0] - 'a');
            if (trio.members[to].back_at_ms == 0) {
                post(i, to, action.text);
            }
        } else if (action.type == FORMING_KEEP) {
            member->keeping = action.kept;
            member->keeps = true;
        } else {
            bool begins = action.type == FORMING_BEGIN;
            assert_true(begins ? action.kept.history_id == member->disk.history_id
                               : member->disk.history_id == 0);
            member->history_id = begins ? action.kept.history_id : 0;
            member->proposes = begins && action.kept.proposer;
        }
        if (member->proposes) { /* at most one ever may */
            assert_true(trio.proposed == 0 || trio.proposed == member->history_id);
            trio.proposed = member->history_id;
        }
        for (size_t j = 0; shown != forming_id(&member->forming) && j < NODES; j++) {
            if (j != i && trio.members[j].back_at_ms == 0) {
                say_voter(i, j);
            }
        }
        shown = forming_id(&member->forming);
    }
}

static void deliver_first(void) {
    struct letter letter = trio.letters[0];
    memmove(trio.letters, trio.letters + 1, --trio.letter_count * sizeof(letter));
    if (!step(letter.to)) {
        return;
    }
    struct forming *to = &trio.members[letter.to].forming;
    uint64_t shown = forming_id(to);
    struct buf scratch;
    struct line line;
    const char *reason;
    buf_init(&scratch, 1000);
    letter.text[strlen(letter.text) - 1] = '\0';
    assert_int_equal(line_decode(slice_from_text(letter.text), &scratch, &line, &reason), LINE_OK);
    if (line.verb == LINE_VOTER) {
        forming_peer(to, names[letter.from], &line, now_ms);
    } else {
        forming_line(to, names[letter.from], &line, now_ms);
    }
    buf_deinit(&scratch);
    for (size_t j = 0; shown != forming_id(to) && j < NODES; j++) {
        if (j != letter.to && trio.members[j].back_at_ms == 0) {
            say_voter(letter.to, j);
        }
    }
    act(letter.to);
}

static void pass_time(void) {
    now_ms += 50;
    for (size_t i = 0; i < NODES; i++) {
        struct member *member = &trio.members[i];
        if (member->back_at_ms != 0) {
            if (now_ms >= member->back_at_ms) {
                start(i);
                connect(i);
                act(i);
            }
            continue;
        }
        uint64_t shown = forming_id(&member->forming);
        if (member->keeps && step(i)) {
            member->keeps = false;
            member->disk = member->keeping;
            forming_done(&member->forming, now_ms);
        }
        if (member->back_at_ms == 0) {
            forming_tick(&member->forming, now_ms, UNIX_MS + now_ms);
            for (size_t j = 0; shown != forming_id(&member->forming) && j < NODES; j++) {
                if (j != i && trio.members[j].back_at_ms == 0) {
                    say_voter(i, j);
                }
            }
            act(i);
        }
    }
}

static bool all_have_begun(void) {
    const struct member *members = trio.members;
    return members[0].history_id != 0 && members[0].proposes && members[0].disk.complete &&
           members[1].history_id == members[0].history_id && members[2].history_id == members[0].history_id;
}

/* How many steps it took. */
static int live(size_t dies, int dies_at, bool disk_was_faster) {
    trio = (struct trio){.dies = dies, .dies_at = dies_at, .disk_was_faster = disk_was_faster};
    now_ms = 10000;
    for (size_t i = 0; i < NODES; i++) {
        start(i);
    }
    connect(0);
    say_voter(1, 2);
    say_voter(2, 1);
    for (int64_t end_ms = now_ms + 60000; !all_have_begun();) {
        while (trio.letter_count > 0) {
            deliver_first();
        }
        pass_time();
        assert_true(now_ms < end_ms);
    }
    return trio.steps;
}

static void test_whoever_dies_and_when_one_set_begins_in_the_end(void **state) {
    (void)state;
    int steps = live(0, -2, false);
    size_t deaths = 0;
    assert_true(trio.deaths == 0 && steps > 20);
    for (size_t dies = 0; dies < NODES; dies++) {
        for (int at = 0; at <= steps; at++) {
            live(dies, at, false);
            deaths += trio.deaths;
            live(dies, at, true);
            deaths += trio.deaths;
        }
    }
    assert_in_range(deaths, 5 * steps, 6 * (steps + 1)); /* but for some behind its last step */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whoever_dies_and_when_one_set_begins_in_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
